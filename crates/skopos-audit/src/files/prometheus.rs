//! Prometheus: its configuration, rule files, and what `skopos rules check` says of them.
//!
//! Rules are read twice: for their structure here, because rules of the audit need every alert with
//! its place even where a file does not load; and by `skopos-lint`, so that both commands judge
//! alike. The reader of `skopos-alerting` is not used directly: it reads one document, refuses what
//! Prometheus refuses, and stands in a layer that the audit does not know.

use super::node::Node;
use super::text::Text;
use crate::Span;

/// `prometheus.yml`, or the agent's.
#[derive(Clone, Debug, Default)]
pub struct Prometheus {
    /// `global.scrape_interval`.
    pub interval: Option<Text>,
    /// `rule_files`.
    pub rule_files: Vec<Text>,
    /// Where alerts are sent: static targets, or a marker for what is discovered.
    pub alertmanagers: Vec<Text>,
    /// `scrape_configs`.
    pub jobs: Vec<Job>,
    /// Whether other files bring scrape jobs.
    pub has_scrape_config_files: bool,
    /// Where it stands.
    pub span: Span,
}

/// A scrape job.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// `job_name`.
    pub name: Text,
    /// `metrics_path`; `/metrics` when not given.
    pub path: Option<Text>,
    /// `scrape_interval`.
    pub interval: Option<Text>,
    /// Static targets, `host:port`.
    pub targets: Vec<Text>,
    /// Whether it finds targets by itself (Kubernetes, Consul, files, …).
    pub discovers: bool,
    /// Whether it authenticates.
    pub has_auth: bool,
}

/// Rules of one document.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The groups.
    pub groups: Vec<Group>,
    /// What `skopos-lint` says of them: code, place, message, hint.
    pub lint: Vec<LintFinding>,
    /// Whether parts come from a template, so that texts may hold `{{ … }}` of it.
    pub is_template: bool,
}

/// A rule group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Its name.
    pub name: Text,
    /// `interval`.
    pub interval: Option<Text>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// The alert's name, or that of the recorded metric.
    pub name: Text,
    /// Whether it is an alert.
    pub is_alert: bool,
    /// `expr`.
    pub expr: Text,
    /// `for`.
    pub hold: Option<Text>,
    /// `keep_firing_for`.
    pub keep_firing_for: Option<Text>,
    /// Labels, with those of the group.
    pub labels: Vec<(Text, Text)>,
    /// Annotations.
    pub annotations: Vec<(Text, Text)>,
    /// All of it.
    pub span: Span,
}

/// A finding of `skopos-lint` with its place in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LintFinding {
    /// `area/name`.
    pub code: &'static str,
    /// Where.
    pub span: Span,
    /// The alert or recorded metric.
    pub rule: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Rule {
    /// A label's value.
    pub fn label(&self, name: &str) -> Option<&Text> {
        self.labels.iter().find(|(key, _)| key.value == name).map(|(_, value)| value)
    }

    /// An annotation's value.
    pub fn annotation(&self, name: &str) -> Option<&Text> {
        self.annotations.iter().find(|(key, _)| key.value == name).map(|(_, value)| value)
    }
}

impl Rules {
    /// Every alert.
    pub fn alerts(&self) -> impl Iterator<Item = &Rule> {
        self.groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.is_alert)
    }
}

/// Whether a document is a Prometheus configuration.
pub fn is_prometheus(root: &Node) -> bool {
    !root.get("scrape_configs").items().is_empty()
        || root.get("rule_files").items().iter().any(|item| item.text().is_some())
        || !root.at("alerting.alertmanagers").items().is_empty()
}

/// Reads a configuration.
pub fn read(root: &Node) -> Prometheus {
    let mut managers = Vec::new();
    for item in root.at("alerting.alertmanagers").items() {
        let targets: Vec<Text> = targets(item);
        if targets.is_empty() && item.entries().iter().any(|(k, _)| is_discovery(k.text())) {
            managers.push(Text::new("discovered", item.span));
        }
        managers.extend(targets);
    }
    Prometheus {
        interval: root.text_at("global.scrape_interval"),
        rule_files: root.get("rule_files").texts(),
        alertmanagers: managers,
        jobs: root.get("scrape_configs").items().iter().map(|item| job(item)).collect(),
        has_scrape_config_files: !root.get("scrape_config_files").items().is_empty(),
        span: Span { start: root.span.start, end: root.last_byte() },
    }
}

fn job(node: &Node) -> Job {
    let auth = [
        "basic_auth",
        "authorization",
        "oauth2",
        "bearer_token",
        "bearer_token_file",
        "tls_config",
    ];
    Job {
        name: node.text_at("job_name").unwrap_or_else(|| Text::new("", node.span)),
        path: node.text_at("metrics_path"),
        interval: node.text_at("scrape_interval"),
        targets: targets(node),
        discovers: node.entries().iter().any(|(key, _)| is_discovery(key.text())),
        has_auth: auth.iter().any(|key| node.has(key)),
    }
}

fn is_discovery(key: Option<&str>) -> bool {
    key.is_some_and(|key| key.ends_with("_sd_configs"))
}

fn targets(node: &Node) -> Vec<Text> {
    let items = node.get("static_configs").items().iter();
    items.flat_map(|item| item.get("targets").texts()).collect()
}

/// Whether a document (or the `spec` of a PrometheusRule) holds Prometheus rules.
pub fn is_rules(root: &Node) -> bool {
    root.get("groups").items().iter().any(|group| {
        group
            .get("rules")
            .items()
            .iter()
            .any(|rule| (rule.has("alert") || rule.has("record")) && rule.has("expr"))
    })
}

/// Whether a file that holds no rules is meant to: nothing but `groups`, which are none of Prometheus', at a place that is
/// for its rules. Much else has groups; by their form alone nobody could tell.
pub fn is_meant_as_rules(path: &str, root: &Node) -> bool {
    if !matches!(root.entries(), [(key, _)] if key.text() == Some("groups")) {
        return false;
    }
    let groups = root.get("groups");
    let is_wrong = |group: &Node| {
        let rules = group.get("rules");
        !rules.entries().is_empty() || (group.has("rules") && !group.has("name"))
    };
    if groups.entries().is_empty() && !groups.items().iter().any(|group| is_wrong(group)) {
        return false;
    }
    let path = path.to_ascii_lowercase();
    let words = || path.split(|c: char| !c.is_ascii_alphanumeric());
    let has = |names: &[&str]| words().any(|word| names.contains(&word));
    let is_for_rules = has(&["prometheus", "alert", "alerts", "alerting"])
        || (has(&["monitoring"]) && has(&["rule", "rules"]));
    is_for_rules && !has(&["grafana", "loki", "test", "tests"])
}

/// Reads rules; what `skopos-lint` says is added by [`lint`].
pub fn read_rules(root: &Node) -> Rules {
    let groups = root.get("groups").items().iter().map(|node| {
        let inherited = node.get("labels").pairs();
        Group {
            name: node.text_at("name").unwrap_or_else(|| Text::new("", node.span)),
            interval: node.text_at("interval"),
            rules: node.get("rules").items().iter().filter_map(|n| rule(n, &inherited)).collect(),
        }
    });
    Rules { groups: groups.collect(), ..Rules::default() }
}

fn rule(node: &Node, inherited: &[(Text, Text)]) -> Option<Rule> {
    let alert = node.text_at("alert");
    let is_alert = alert.is_some();
    let mut labels = node.get("labels").pairs();
    for (key, value) in inherited {
        if !labels.iter().any(|(own, _)| own.value == key.value) {
            labels.push((key.clone(), value.clone()));
        }
    }
    Some(Rule {
        name: alert.or_else(|| node.text_at("record"))?,
        is_alert,
        expr: node.text_at("expr").unwrap_or_else(|| Text::new("", node.span)),
        hold: node.text_at("for"),
        keep_firing_for: node.text_at("keep_firing_for"),
        labels,
        annotations: node.get("annotations").pairs(),
        span: Span { start: node.span.start, end: node.last_byte() },
    })
}

/// What `skopos-lint` says of a text with one document of rules; `base` is where it stands in its file.
///
/// Findings that need the pages of runbooks are left to the audit, which sees the whole tree.
pub fn lint(path: &str, text: &str, base: usize) -> Vec<LintFinding> {
    // Whoever writes what is experimental has switched it on.
    let language = skopos_promql::ParseOptions::all();
    let options = skopos_lint::Options { language, ..skopos_lint::Options::default() };
    let report = skopos_lint::check(&[(path, text)], &options, &skopos_lint::NoPages);
    let starts: Vec<usize> = super::text::lines(text).map(|(at, _)| at).collect();
    let place = |line: usize, column: usize, width: usize| {
        let start = starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let rest = text.get(start..).unwrap_or_default();
        let byte = |column: usize| {
            rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
        };
        Span::new(base + start + byte(column), base + start + byte(column + width))
    };
    let findings = report.findings.into_iter().map(|finding| LintFinding {
        code: finding.code,
        span: place(finding.line, finding.column, finding.width),
        rule: finding.rule,
        message: finding.message,
        hint: finding.hint,
    });
    findings.collect()
}

/// Reads any bytes as Prometheus' configuration and rules, for the fuzzer.
pub fn fuzz_audit_prometheus(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for document in super::yaml::read(&text).documents {
        let _ = (is_prometheus(&document), read(&document), read_rules(&document));
    }
    for finding in lint("rules.yml", &text, 0) {
        assert!(finding.span.end as usize <= text.len(), "{finding:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_rule_files_and_alertmanagers() {
        let text = "global: {scrape_interval: 30s}\nrule_files: [rules/*.yml]\nalerting:\n  alertmanagers:\n  - static_configs: [{targets: ['am:9093']}]\nscrape_configs:\n- job_name: api\n  metrics_path: /m\n  static_configs: [{targets: ['api:8080', 'b:1']}]\n- job_name: pods\n  kubernetes_sd_configs: [{role: pod}]\n";
        let found = crate::files::yaml::read(text);
        assert!(is_prometheus(&found.documents[0]));
        let config = read(&found.documents[0]);
        assert_eq!(config.alertmanagers[0].value, "am:9093");
        assert_eq!(config.jobs[0].targets.len(), 2);
        assert!(config.jobs[1].discovers && !config.jobs[0].discovers);
        assert_eq!(config.interval.as_ref().map(|t| t.value.as_str()), Some("30s"));
    }

    #[test]
    fn rules_have_places_and_findings() {
        let text = "groups:\n- name: g\n  labels: {team: a}\n  rules:\n  - alert: High\n    expr: rate(x_total[5m])\n    labels: {severity: page}\n";
        let found = crate::files::yaml::read(text);
        assert!(is_rules(&found.documents[0]));
        let rules = read_rules(&found.documents[0]);
        let alert = rules.alerts().next().unwrap();
        assert_eq!(alert.label("team").map(|t| t.value.as_str()), Some("a"));
        assert!(alert.hold.is_none());
        let codes: Vec<&str> = lint("a.yml", text, 0).iter().map(|f| f.code).collect();
        assert!(codes.contains(&"alerts/comparison") && codes.contains(&"rule/for"), "{codes:?}");
    }
}
