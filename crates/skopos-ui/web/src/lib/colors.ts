// Resolved colours for canvases: custom properties with light-dark() are token streams until an element uses them.

const probes = new Map<string, string>();
let theme = '';
let host: HTMLElement | undefined;

/** The colour of a token, such as `--accent`, in the theme that is shown now. */
export function color(token: string): string {
  const now = `${document.documentElement.dataset.theme}/${matchMedia('(prefers-color-scheme: dark)').matches}`;
  if (now !== theme) {
    probes.clear();
    theme = now;
  }
  const known = probes.get(token);
  if (known !== undefined) return known;
  if (!host) {
    host = document.createElement('span');
    host.hidden = true;
    document.body.append(host);
  }
  host.style.color = `var(${token})`;
  const value = getComputedStyle(host).color;
  probes.set(token, value);
  return value;
}

/** A canvas sized in device pixels whose context counts in CSS pixels. */
export function prepare(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const ratio = devicePixelRatio || 1;
  const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const context = canvas.getContext('2d');
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  context?.clearRect(0, 0, width, height);
  return context;
}
