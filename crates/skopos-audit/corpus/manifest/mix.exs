defmodule Shop.MixProject do
  def project, do: [app: :shop, deps: deps()]
  defp deps, do: [{:phoenix, "~> 1.7"}, {:oban, "~> 2.17"}]
end
