//! The rules that come with Skopos: `--rules builtin`.
//!
//! They live in the repository's folder `rules/`, as ordinary rule files with a runbook for every
//! alert and a test in which every alert fires and resolves. They are embedded, so that a server
//! needs no files beside it; users who want other thresholds copy them.

/// What `--rules` takes for these rules.
pub const SOURCE: &str = "builtin";

/// A file of the pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltinFile {
    /// Its path: `builtin/` and where it lies in the pack.
    pub path: &'static str,
    /// What is in it.
    pub text: &'static str,
}

impl BuiltinFile {
    /// The path within the pack: `runbooks/high-latency.md`.
    pub fn name(&self) -> &'static str {
        self.path.strip_prefix("builtin/").unwrap_or(self.path)
    }
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(BuiltinFile {
            path: concat!("builtin/", $name),
            text: include_str!(concat!("../../../rules/", $name)),
        }),*]
    };
}

const RULES: &[BuiltinFile] = files!["golden-signals.yml", "logs-and-series.yml", "skopos.yml"];

const TESTS: &[BuiltinFile] = files![
    "tests/day-long.yml",
    "tests/golden-signals.yml",
    "tests/logs-and-series.yml",
    "tests/skopos.yml",
];

const RUNBOOKS: &[BuiltinFile] = files![
    "runbooks/connection-pool-saturated.md",
    "runbooks/critical-route-errors.md",
    "runbooks/debug-logs-in-production.md",
    "runbooks/error-logs.md",
    "runbooks/head-series-growth.md",
    "runbooks/high-error-rate.md",
    "runbooks/high-latency.md",
    "runbooks/no-traffic.md",
    "runbooks/queue-growing.md",
    "runbooks/skopos-disk-filling.md",
    "runbooks/skopos-dropping-items.md",
    "runbooks/skopos-missed-evaluations.md",
    "runbooks/skopos-notification-failures.md",
    "runbooks/skopos-rule-failures.md",
    "runbooks/skopos-write-failure.md",
    "runbooks/traffic-spike.md",
];

/// The rule files.
pub fn rule_files() -> &'static [BuiltinFile] {
    RULES
}

/// Their tests, in promtool's format.
pub fn test_files() -> &'static [BuiltinFile] {
    TESTS
}

/// The pages that the alerts' `runbook` annotations name.
pub fn runbooks() -> &'static [BuiltinFile] {
    RUNBOOKS
}

/// The page that an alert's `runbook` annotation names: `runbooks/high-latency.md`, with or without
/// `builtin/` before it.
pub fn runbook(reference: &str) -> Option<&'static BuiltinFile> {
    let name = reference.strip_prefix("builtin/").unwrap_or(reference);
    RUNBOOKS.iter().find(|page| page.name() == name)
}
