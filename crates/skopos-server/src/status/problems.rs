//! What is wrong, and what to do about it.

mod notifications;

use std::collections::{BTreeMap, BTreeSet};

use skopos_alerting::{GroupView, Health};
use skopos_ingest::derive::Folded;
use skopos_store::{DiskStats, StoreHealth};

use crate::notify::Notifier;
use crate::receipts::Receipt;
use crate::rules::{Part, ReloadFailure, ReloadStatus};
use crate::scrape::{TargetHealth, TargetStatus};
use crate::slos::{Doubtful, Slos};
use crate::state::AppState;

/// How much a problem weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Data or pages are being lost, or will be soon.
    Error,
    /// Worth a look.
    Warning,
}

impl Severity {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) severity: Severity,
    pub(crate) what: String,
    pub(crate) remedy: &'static str,
}

/// Problems of one kind that are named one by one; further ones are only counted.
const NAMED: usize = 3;
/// Space below which there may be too little for compaction, as a share of the disk.
const SCARCE_PERCENT: u64 = 5;

/// Memory that the process may take beside its data and half as much again: program, threads,
/// requests being decoded.
const BESIDE_DATA_BYTES: u64 = 192 << 20;

/// Collects all problems, the worst first.
pub(crate) fn problems(state: &AppState, health: &StoreHealth, disk: &DiskStats) -> Vec<Problem> {
    let mut list = List::default();
    list.store(health);
    list.disk(disk);
    list.memory(super::resident_bytes(), state.memory_bytes);
    if let Err(late) = state.rules.check_recent() {
        list.error(late, "see `cpu` and `disk` of the machine; restart if it does not recover");
    }
    list.reload(&state.rules.reload_status());
    list.rules(&state.rules.groups());
    list.slos(&state.slos);
    let notifier = state.rules.notifier();
    list.notifications(&state.rules, &notifier);
    list.unreachable(notifier.undeliverable());
    if state.settings.alertmanager_config.is_none() {
        let alerts = state.rules.active_alerts();
        list.severities(alerts.iter().map(|alert| alert.labels.value("severity")), &notifier);
    }
    list.targets(&state.targets.snapshot());
    list.receipts(&state.receipts.snapshot());
    list.folded(&state.deriver.folded());
    list.finish()
}

#[derive(Default)]
struct List(Vec<Problem>);

impl List {
    fn error(&mut self, what: impl Into<String>, remedy: &'static str) {
        self.0.push(Problem { severity: Severity::Error, what: what.into(), remedy });
    }

    fn warn(&mut self, what: impl Into<String>, remedy: &'static str) {
        self.0.push(Problem { severity: Severity::Warning, what: what.into(), remedy });
    }

    fn store(&mut self, health: &StoreHealth) {
        if !health.open {
            return self.error("the store is closed", "the server is stopping; start it again");
        }
        if let Some(cause) = &health.disk_failure {
            self.error(
                format!("telemetry is not stored: {cause}"),
                "free space there; if blocks take most of it (`disk` below), lower retention.*_bytes; \
                 it goes on by itself",
            );
        }
        if let Some(cause) = &health.wal_failure {
            self.error(
                format!("telemetry is not stored: the write-ahead log failed: {cause}"),
                "mend the disk, then restart the server",
            );
        }
        if let Some(cause) = &health.state_failure {
            self.error(
                format!("rules wait and nobody is notified: the state log failed: {cause}"),
                "mend the disk, then restart the server",
            );
        }
        let damaged = health.damaged_blocks.iter();
        let damaged = damaged.map(|block| format!("{block}; what it holds cannot be read"));
        self.some(
            Severity::Error,
            damaged,
            "blocks are damaged",
            "restore a snapshot; or stop the server, `skopos verify --set-aside`, start it: all else stays",
        );
        if health.head_full {
            self.error(
                "ingest is refused: recent data has reached its bound in memory",
                "look for a failed flush below; else give memory.limit more, or send less",
            );
        }
        if let Some(cause) = &health.flush_failure {
            self.error(
                format!("recent data could not be written to blocks: {cause}"),
                "free space or mend the disk; it is tried again by itself",
            );
        }
    }

    fn disk(&mut self, disk: &DiskStats) {
        let DiskStats { free_bytes, total_bytes, floor_bytes, .. } = *disk;
        // Below the floor there is an error already.
        let scarce = (total_bytes / 100 * SCARCE_PERCENT).max(floor_bytes.saturating_mul(2));
        if total_bytes > 0 && (floor_bytes..scarce).contains(&free_bytes) {
            let mebibytes = free_bytes >> 20;
            self.warn(
                format!("the disk of the data folder is nearly full: {mebibytes} MiB are free"),
                "set or lower retention.*_bytes, or give it more space",
            );
        }
    }

    fn reload(&mut self, status: &ReloadStatus) {
        let Some(ReloadFailure { part, error }) = &status.failure else { return };
        let remedy = match part {
            Part::Rules => {
                "mend the file, it is then read again; `skopos rules check` names every mistake"
            }
            Part::Objectives => {
                "mend the file, it is then read again; `skopos slo check` names every mistake"
            }
            Part::Receivers => {
                "mend the file, it is then read again; `skopos notify check` names every mistake"
            }
        };
        self.error(
            format!("changed files are not in force, those of {} are: {error}", status.loaded_at),
            remedy,
        );
    }

    fn memory(&mut self, used: Option<u64>, budget: u64) {
        let Some(used) = used else { return };
        if used > budget.saturating_add(budget / 2).saturating_add(BESIDE_DATA_BYTES) {
            let (used, budget) = (used >> 20, budget >> 20);
            self.warn(
                format!(
                    "the process holds {used} MiB, much more than the {budget} MiB of memory.limit"
                ),
                "memory.limit is for data (docs/operating.md, Memory): lower it, or look for large \
                 requests and many queries at once",
            );
        }
    }

    fn rules(&mut self, groups: &[GroupView]) {
        let rules = groups.iter().flat_map(|group| &group.rules);
        let failing = rules.filter(|rule| rule.health == Health::Err).map(|rule| {
            let error = rule.last_error.as_deref().unwrap_or("unknown error");
            format!("rule {} cannot be evaluated: {error}", rule.name)
        });
        let remedy =
            "mend its expression or the data it needs: `skopos query` shows what it returns";
        self.some(Severity::Error, failing, "rules cannot be evaluated", remedy);
        let missed: u64 = groups.iter().map(|group| group.iterations_missed).sum();
        if missed > 0 {
            self.warn(
                format!("{missed} evaluations of rule groups were missed since the start"),
                "rules take longer than their interval: raise it, or split the group",
            );
        }
    }

    fn slos(&mut self, slos: &Slos) {
        let remedy = "see what its queries return: `skopos slo status NAME` shows them; does its service send them?";
        let all = slos.doubtful();
        let failing = all.iter().filter_map(|one| {
            let error = one.error.as_ref()?;
            Some(format!("objective {} cannot be read: {error}", one.name))
        });
        self.some(Severity::Error, failing, "objectives cannot be read", remedy);
        let wrong = all.iter().filter_map(|one| {
            let problem = one.problem.as_ref().filter(|_| one.error.is_none())?;
            Some(format!("objective {} cannot be relied on: {problem}", one.name))
        });
        let mend = "mend its `sli`: docs/slo.md says what may be counted";
        self.some(Severity::Error, wrong, "objectives cannot be relied on", mend);
        let is_silent = |one: &&Doubtful| one.error.is_none() && one.problem.is_none();
        let silent = all.iter().filter(is_silent);
        let silent = silent.map(|one| match &one.since {
            Some(since) => {
                format!("objective {}: nothing that it counts has arrived since {since}", one.name)
            }
            None => {
                let bucket = one.bucket.as_ref().map_or(String::new(), |bound| {
                    format!("; its histogram must have the bucket le=\"{bound}\"")
                });
                format!("objective {}: nothing that it counts has ever arrived{bucket}", one.name)
            }
        });
        self.some(Severity::Warning, silent, "objectives have no data", remedy);
        if let Some(error) = slos.state().history.error {
            self.warn(
                format!("part of the history of objectives could not be read: {error}"),
                "the budget counts without it, and `coverage` says how much of the window has data; mend the query, or raise limits.query_timeout",
            );
        }
    }

    fn unreachable(&mut self, receivers: impl Iterator<Item = String>) {
        let remedy =
            "name another receiver in alertmanager.yml; `skopos notify check` has all of them";
        self.some(Severity::Warning, receivers, "receivers are told nothing", remedy);
    }

    /// Severities of alerts that go another way than their author meant, perhaps.
    fn severities<'a>(&mut self, severities: impl Iterator<Item = &'a str>, notifier: &Notifier) {
        let unknown: BTreeSet<&str> =
            severities.filter(|severity| !notifier.knows_severity(severity)).collect();
        let unknown = unknown.into_iter().map(|severity| match severity {
            "" => "an alert has no severity: it goes the way of P2".to_owned(),
            word => format!("an alert has the unknown severity {word:?}: it goes the way of P2"),
        });
        let remedy = "correct the rule's label, or add the word to alerting.severities";
        self.some(Severity::Warning, unknown, "unknown severities", remedy);
    }

    fn targets(&mut self, targets: &[TargetStatus]) {
        let down = targets.iter().filter(|t| t.health == TargetHealth::Down);
        let down =
            down.map(|t| format!("target of job {} is down: {}", t.scrape_pool, t.last_error));
        let remedy =
            "start it, or take it out of the configuration; /api/v1/targets has all of them";
        self.some(Severity::Warning, down, "targets are down", remedy);
    }

    fn receipts(&mut self, senders: &BTreeMap<String, Receipt>) {
        let mut refused: Vec<(u64, String)> = Vec::new();
        for (sender, receipt) in senders {
            for (key, count) in &receipt.rejected {
                let (signal, reason) = (key.0.as_str(), &key.1);
                let said = receipt.messages.get(key).map_or("", String::as_str);
                refused.push((
                    *count,
                    format!("{sender}: {count} {signal} refused ({reason}): {said}"),
                ));
            }
        }
        refused.sort_by(|a, b| b.cmp(a));
        let remedy = "/api/v1/skopos/receipts has what each sender sent and what became of it";
        let refused = refused.into_iter().map(|(_, what)| what);
        self.some(Severity::Warning, refused, "further refusals", remedy);
        let twice = senders.iter().filter(|(_, receipt)| receipt.is_both_scraped_and_pushed());
        let twice =
            twice.map(|(sender, _)| format!("{sender}: metrics are both scraped and pushed"));
        let remedy = "stop one of the two: sums over them count twice";
        self.some(Severity::Warning, twice, "senders are scraped and push", remedy);
    }

    fn folded(&mut self, folded: &[Folded]) {
        let told = folded.iter().map(|Folded { service, limit, count, first }| {
            format!("{service}: {count} spans or records count as `other` (limit {limit}), first {first:?}")
        });
        let remedy = "put ids into attributes instead of span names, or raise derive.max_*";
        self.some(Severity::Warning, told, "services have too many operations", remedy);
    }

    /// Names the first few and counts the others.
    fn some(
        &mut self,
        severity: Severity,
        mut all: impl Iterator<Item = String>,
        others: &str,
        remedy: &'static str,
    ) {
        let named = all.by_ref().take(NAMED);
        self.0.extend(named.map(|what| Problem { severity, what, remedy }));
        let more = all.count();
        if more > 0 {
            self.0.push(Problem { severity, what: format!("{more} more: {others}"), remedy });
        }
    }

    fn finish(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|problem| problem.severity);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use skopos_model::Timestamp;
    use skopos_store::verify::DamagedBlock;

    use super::*;

    fn healthy() -> StoreHealth {
        StoreHealth {
            open: true,
            wal_writable: true,
            state_writable: true,
            disk_failure: None,
            wal_failure: None,
            state_failure: None,
            flush_failure: None,
            head_full: false,
            replay_finished: true,
            replay_fraction: 1.0,
            damaged_blocks: Vec::new(),
        }
    }

    fn collected(fill: impl FnOnce(&mut List)) -> Vec<String> {
        let mut list = List::default();
        fill(&mut list);
        let line = |p: &Problem| format!("{} {}", p.severity.as_str(), p.what);
        list.finish().iter().map(line).collect()
    }

    #[test]
    fn a_healthy_store_has_no_problem_and_each_failure_is_one() {
        assert!(collected(|list| list.store(&healthy())).is_empty());
        let failed = StoreHealth {
            wal_writable: false,
            wal_failure: Some("no space left".into()),
            disk_failure: Some("below the floor".into()),
            state_failure: Some("torn".into()),
            flush_failure: Some("input/output error".into()),
            head_full: true,
            damaged_blocks: vec![DamagedBlock {
                number: 7,
                signal: "logs",
                first: Timestamp::from_secs(0),
                last: Timestamp::from_secs(3600),
                rows: 12,
                file: "0000000007-logs.parquet".into(),
                reason: "its bytes are not those that were written".into(),
            }],
            ..healthy()
        };
        let found = collected(|list| list.store(&failed));
        assert_eq!(found.len(), 6, "{found:#?}");
        let damaged = found.iter().find(|what| what.contains("0000000007-logs.parquet")).unwrap();
        assert!(damaged.starts_with("error") && damaged.contains("12 items of logs"), "{damaged}");
        assert!(found[0].contains("error telemetry is not stored: below the floor"), "{found:#?}");
        let closed = StoreHealth { open: false, ..healthy() };
        assert_eq!(collected(|list| list.store(&closed)), ["error the store is closed"]);
    }

    #[test]
    fn much_more_memory_than_the_figure_is_told() {
        let told = |used: u64| collected(|list| list.memory(Some(used << 20), 64 << 20));
        assert!(told(105).is_empty() && told(288).is_empty());
        let warned = told(289);
        assert!(warned[0].contains("289 MiB, much more than the 64 MiB"), "{warned:?}");
        assert!(collected(|list| list.memory(None, 1)).is_empty());
    }

    #[test]
    fn the_worst_come_first_and_many_are_counted() {
        let found = collected(|list| {
            for free_bytes in [20 << 20, 40 << 20, 500 << 20] {
                let (total_bytes, floor_bytes) = (1 << 30, 30 << 20);
                list.disk(&DiskStats { free_bytes, total_bytes, floor_bytes, refused: 0 });
            }
            let lost = (0..10).map(|i| format!("lost {i}"));
            list.some(Severity::Error, lost, "notifications were not delivered", "look");
        });
        let want = [
            "error lost 0",
            "error lost 1",
            "error lost 2",
            "error 7 more: notifications were not delivered",
            "warning the disk of the data folder is nearly full: 40 MiB are free",
        ];
        assert_eq!(found, want);
    }
}
