//! Service level objectives as files: OpenSLO, Sloth, Pyrra, Google's and our own.

use super::node::Node;
use super::text::Text;
use crate::Span;

/// An objective.
#[derive(Clone, Debug)]
pub struct Objective {
    /// Its name.
    pub name: Text,
    /// Whose format it is in.
    pub format: &'static str,
    /// The target as written.
    pub target: Text,
    /// The target as a share of 1.
    pub share: f64,
    /// The service it is about, where that is said.
    pub service: Option<String>,
    /// All of it.
    pub span: Span,
}

/// Whether a target can never be kept: all of it.
pub fn is_perfect(share: f64) -> bool {
    share >= 1.0
}

/// The objectives of a document; empty when it holds none.
pub fn read(root: &Node) -> Vec<Objective> {
    let span = Span { start: root.span.start, end: root.last_byte() };
    let api = root.get("apiVersion").text().unwrap_or_default();
    let kind = root.get("kind").text().unwrap_or_default();
    let name = root.text_at("metadata.name").unwrap_or_default();
    let mut found = Vec::new();
    let mut add =
        |name: Text, format, target: Option<Text>, percent: bool, service: Option<Text>| {
            let Some(target) = target else { return };
            let Ok(number) = target.trim().trim_end_matches('%').trim().parse::<f64>() else {
                return;
            };
            let is_percent = percent || target.contains('%') || number > 1.0;
            let share = if is_percent { number / 100.0 } else { number };
            let service = service.map(|text| text.value);
            found.push(Objective { name, format, target, share, service, span });
        };
    if api.starts_with("openslo/") && kind == "SLO" {
        for objective in root.at("spec.objectives").items() {
            let service = root.text_at("spec.service");
            add(name.clone(), "openslo", objective.text_at("target"), false, service.clone());
            add(name.clone(), "openslo", objective.text_at("targetPercent"), true, service);
        }
    } else if kind == "ServiceLevelObjective" {
        add(name, "pyrra", root.text_at("spec.target"), true, None);
    } else if kind == "PrometheusServiceLevel" || !root.get("slos").items().is_empty() {
        let spec = if root.has("spec") { root.get("spec") } else { root };
        for slo in spec.get("slos").items() {
            let name = slo.text_at("name").unwrap_or_else(|| Text::new("", slo.span));
            let is_sloth = slo.has("sli") || slo.has("objective");
            let format = if is_sloth && spec.has("service") { "sloth" } else { "slo" };
            let service = spec.text_at("service").or_else(|| slo.text_at("service"));
            // Sloth writes percent, everybody else who has this list writes what the number shows.
            let target = slo.text_at("objective").or_else(|| slo.text_at("target"));
            add(name, format, target, format == "sloth", service);
        }
    } else if root.has("goal") && root.has("slo_name") {
        add(
            root.text_at("slo_name").unwrap_or_default(),
            "slo-generator",
            root.text_at("goal"),
            false,
            None,
        );
    } else if root.at("spec.goal").text().is_some() && api.starts_with("sre.google") {
        add(name, "slo-generator", root.text_at("spec.goal"), false, None);
    }
    found
}

/// Reads any bytes as objectives, for the fuzzer.
pub fn fuzz_audit_objective(data: &[u8]) {
    for document in super::yaml::read(&String::from_utf8_lossy(data)).documents {
        for objective in read(&document) {
            let _ = is_perfect(objective.share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_unit() {
        let cases = [
            (
                "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: a}\nspec: {objectives: [{target: 1.0}]}\n",
                1.0,
            ),
            (
                "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: a}\nspec: {objectives: [{targetPercent: 1}]}\n",
                0.01,
            ),
            (
                "version: prometheus/v1\nservice: a\nslos: [{name: x, objective: 99.9, sli: {}}]\n",
                0.999,
            ),
            (
                "apiVersion: pyrra.dev/v1alpha1\nkind: ServiceLevelObjective\nmetadata: {name: a}\nspec: {target: '100'}\n",
                1.0,
            ),
            ("slos: [{name: x, target: 99.9%}]\n", 0.999),
        ];
        for (text, share) in cases {
            let found = crate::files::yaml::read(text);
            let objectives = read(&found.documents[0]);
            assert_eq!(objectives.len(), 1, "{text}");
            assert!((objectives[0].share - share).abs() < 1e-9, "{text}: {objectives:?}");
        }
    }
}
