//! Crashes at every point of a workload of all signals and state: after reopening, everything
//! acknowledged is there, once.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use skopos_model::SignalBatch;
use skopos_model::storage::{Append, Committed, ErrorKind, StateKind, StateLog};
use skopos_store::Store;
use skopos_testkit::fault_fs::{FaultFs, Faults, OpCounts, Survival};

use crate::support::*;

#[derive(Clone, Debug)]
enum Step {
    Metric(i64),
    Log(i64),
    Span(i64),
    Commit(i64),
    Compact,
    Flush,
    Maintain,
    Reopen,
}

/// Flushes of all signals, one after another and with data in between, merges of their blocks, a
/// state log that leaves out what is in blocks.
fn blocks_workload() -> Vec<Step> {
    use Step::*;
    vec![
        Metric(1),
        Commit(1),
        Log(2),
        Span(3),
        Flush,
        Metric(4),
        Log(5),
        Commit(2),
        Flush,
        Log(6),
        Compact,
        Commit(3),
        Maintain,
        Span(7),
        Reopen,
        Log(8),
        Metric(9),
        Flush,
        Commit(4),
        Maintain,
        Log(10),
        Span(11),
        Commit(5),
        Log(12),
    ]
}

/// All signals, commits before and after a compaction, rotations, a restart in between.
fn workload() -> Vec<Step> {
    use Step::*;
    vec![
        Metric(1),
        Commit(1),
        Log(2),
        Span(3),
        Metric(4),
        Log(5),
        Commit(2),
        Log(6),
        Compact,
        Commit(3),
        Reopen,
        Span(7),
        Log(8),
        Commit(4),
        Metric(9),
        Log(10),
        Span(11),
        Compact,
        Commit(5),
        Log(12),
    ]
}

/// Names of things, as they are found again.
type Names = BTreeSet<String>;

/// What a run has sent and what of it was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Sent {
    tried: Names,
    acknowledged: Names,
}

impl Sent {
    fn note(&mut self, names: impl IntoIterator<Item = String>, acknowledged: bool) {
        for name in names {
            self.tried.insert(name.clone());
            if acknowledged {
                self.acknowledged.insert(name);
            }
        }
    }
}

fn commit_names(slot: i64) -> [String; 2] {
    [format!("alert rule/{slot}"), format!("recorded {slot}")]
}

/// Runs the steps as far as they go.
async fn run(fs: &FaultFs, steps: &[Step], sent: &mut Sent) {
    let Ok(mut store) = open(fs) else { return };
    for step in steps {
        let (name, batch): (String, SignalBatch) = match *step {
            Step::Metric(i) => (format!("metric {i}"), metric("up", i)),
            Step::Log(i) => (format!("log {i}"), log(&i.to_string())),
            Step::Span(i) => (format!("span {i}"), span(&i.to_string())),
            Step::Commit(slot) => {
                let answer = store.commit(commit("rule", slot)).await;
                sent.note(commit_names(slot), answer.is_ok());
                continue;
            }
            Step::Compact => {
                let _ = store.compact().await;
                continue;
            }
            Step::Flush => {
                let _ = store.flush().await;
                continue;
            }
            Step::Maintain => {
                let _ = store.maintain().await;
                continue;
            }
            Step::Reopen => {
                let _ = store.close().await;
                drop(store);
                match open(fs) {
                    Ok(opened) => store = opened,
                    Err(_) => return,
                }
                continue;
            }
        };
        let answer = store.append(batch).await;
        sent.note([name], answer.is_ok_and(|receipt| receipt.accepted == 1));
    }
    let _ = store.close().await;
}

/// Everything in a store by name, and how often.
async fn read(store: &Store) -> BTreeMap<String, usize> {
    let mut names = Vec::new();
    for (labels, _, bits) in samples(store).await {
        let kind = if labels.starts_with("up") { "metric" } else { "recorded" };
        names.push(format!("{kind} {}", f64::from_bits(bits)));
    }
    let (logs, spans) = (logs(store).await, spans(store).await);
    let ids: BTreeSet<u128> = logs.iter().chain(&spans).map(|(id, _)| *id).collect();
    assert_eq!(ids.len(), logs.len() + spans.len(), "event ids repeat");
    names.extend(logs.into_iter().map(|(_, body)| format!("log {body}")));
    names.extend(spans.into_iter().map(|(_, name)| format!("span {name}")));
    let alerts = store.load(StateKind::Alert).await.unwrap();
    names.extend(alerts.iter().map(|record| format!("alert {}", record.key)));
    // The third part of a commit: the slot, and the record that each commit overwrites.
    let slots = alerts.iter().filter_map(|record| record.key.rsplit('/').next()?.parse().ok());
    let last = slots.max();
    assert_eq!(store.last_slot("rule").await.unwrap(), last);
    let group = store.load(StateKind::RuleGroup).await.unwrap();
    let written = group.first().and_then(|record| record.value.clone());
    assert_eq!(written, last.map(|slot: i64| slot.to_string().into_bytes()));
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// What was enumerated and what was found wrong; `cargo xtask prove durability` adds these up.
///
/// Every point is enumerated and run. Many leave the same: a crash between two fsyncs of one file, or
/// at an operation that writes nothing, is the same disk whatever survives. Each disk is looked at
/// once for what its run had acknowledged.
#[derive(Default)]
struct Tally {
    points: u64,
    disks: HashSet<(u64, Sent)>,
    lost: BTreeSet<String>,
    doubled: BTreeSet<String>,
}

impl Tally {
    /// Says the result, and fails when it is not clean.
    fn report(self, what: &str) {
        let Self { points, disks, lost, doubled } = self;
        println!("proof: {what}: {points} points, lost {}, doubled {}", lost.len(), doubled.len());
        println!("{what}: {} disks that differ", disks.len());
        assert!(lost.is_empty(), "lost: {lost:?}");
        assert!(doubled.is_empty(), "doubled: {doubled:?}");
        assert!(points > 0, "nothing was enumerated");
    }
}

/// Checks a disk after a crash: opens it three times, writing in between.
async fn check(fs: &FaultFs, sent: &Sent, context: &str, tally: &mut Tally) {
    tally.points += 1;
    if !tally.disks.insert((fs.fingerprint(), sent.clone())) {
        return;
    }
    let store = open(fs).unwrap_or_else(|error| panic!("{context}: {error}"));
    let found = read(&store).await;
    let lost = sent.acknowledged.iter().filter(|name| !found.contains_key(*name));
    let said = store.recovery();
    tally.lost.extend(lost.map(|name| format!("{context}: {name} ({said:?})")));
    let doubled = found.iter().filter(|(_, count)| **count != 1);
    tally.doubled.extend(doubled.map(|(name, count)| format!("{context}: {name} × {count}")));
    for name in found.keys() {
        assert!(sent.tried.contains(name), "{context}: {name} came from nowhere");
    }
    for slot in 1..=5 {
        let there = commit_names(slot).iter().filter(|name| found.contains_key(*name)).count();
        assert!(there != 1, "{context}: {there} of 2 parts of commit {slot}");
    }
    // Goes on working, and a repeated commit changes nothing.
    store.append(log("after the crash")).await.unwrap();
    if let Some(last) = store.last_slot("rule").await.unwrap() {
        let again = store.commit(commit("rule", last)).await.unwrap();
        assert_eq!(again, Committed::AlreadyApplied, "{context}");
    }
    // A third of the time what was found goes through a flush, which costs more than all the rest.
    if found.len() % 3 == 0 {
        store.flush().await.unwrap_or_else(|error| panic!("{context}: flush: {error}"));
        store.maintain().await.unwrap_or_else(|error| panic!("{context}: maintain: {error}"));
        assert_eq!(store.stats().head.logs + store.stats().head.spans, 0, "{context}");
    }
    drop(store);
    for _ in 0..2 {
        let store = open(fs).unwrap_or_else(|error| panic!("{context}: again: {error}"));
        assert!(store.recovery().torn.is_empty(), "{context}: torn again");
        let mut again = read(&store).await;
        assert_eq!(again.remove("log after the crash"), Some(1), "{context}");
        assert_eq!(again, found, "{context}: recovery is not idempotent");
    }
}

/// A part of a workload between two restarts of the process, and the disk that it begins on: what
/// happens before need not happen again for each of its points.
struct Stage<'a> {
    /// From here to the end of the workload, later stages too.
    steps: &'a [Step],
    fs: FaultFs,
    sent: Sent,
    /// Operations of this stage alone.
    counts: OpCounts,
}

impl Stage<'_> {
    /// Runs from here with a fault; what was sent until the end.
    fn run(&self, faults: Faults) -> (FaultFs, Sent) {
        let (fs, mut sent) = (self.fs.fork(), self.sent.clone());
        fs.set_faults(faults);
        block_on(run(&fs, self.steps, &mut sent));
        (fs, sent)
    }
}

fn stages(all: &[Step]) -> Vec<Stage<'_>> {
    let (mut fs, mut sent) = (FaultFs::new(), Sent::default());
    let (mut stages, mut at) = (Vec::new(), 0);
    for part in all.split(|step| matches!(step, Step::Reopen)) {
        let (begin, before) = (fs.fork(), sent.clone());
        fs.set_faults(Faults::default());
        block_on(run(&fs, part, &mut sent));
        let counts = fs.counts();
        fs = fs.fork();
        stages.push(Stage { steps: &all[at..], fs: begin, sent: before, counts });
        at += part.len() + 1;
    }
    assert_eq!(sent.acknowledged, sent.tried);
    assert_eq!(sent.tried.len(), 12 + 5 * 2);
    block_on(check(&fs, &sent, "no fault", &mut Tally::default()));
    stages
}

fn crash_everywhere(what: &str, steps: &[Step], torn: &[usize]) -> u64 {
    let mut tally = Tally::default();
    let mut operations = 0;
    for (nth, stage) in stages(steps).iter().enumerate() {
        let mut crashed = 0;
        for crash_at in 1..=stage.counts.all {
            let mut crash = |torn_bytes| {
                let faults = Faults { crash_at: Some(crash_at), torn_bytes, ..Faults::default() };
                let (fs, sent) = stage.run(faults);
                for survival in Survival::ALL {
                    let fs = fs.fork();
                    fs.restart(survival);
                    let at = format!("stage {nth}, crash at {crash_at}, {torn_bytes} bytes");
                    block_on(check(&fs, &sent, &format!("{at}, {survival:?}"), &mut tally));
                }
                fs
            };
            let Some((first, others)) = torn.split_first() else { break };
            let fs = crash(*first);
            crashed += u64::from(fs.has_crashed());
            // Only a write can be torn.
            if fs.has_torn() {
                others.iter().for_each(|torn_bytes| drop(crash(*torn_bytes)));
            }
        }
        // The two logs close side by side, so a last operation or two may fall away.
        assert!(crashed >= stage.counts.all - 4, "{crashed} crashes in stage {nth}");
        operations += stage.counts.all;
    }
    tally.report(what);
    operations
}

#[test]
fn a_crash_at_every_point_loses_nothing_and_doubles_nothing() {
    let operations = crash_everywhere("crashes of the logs", &workload(), &[0, 5, 30, usize::MAX]);
    assert!(operations > 80, "{operations} operations are too few to mean anything");
}

/// Within a flush: between freezing the head, writing blocks, the catalog's commit and the removal
/// of segments; within a compaction likewise.
#[test]
fn a_crash_at_every_point_of_flush_and_compaction_loses_nothing_and_doubles_nothing() {
    let operations =
        crash_everywhere("crashes of flush and compaction", &blocks_workload(), &[0, 30]);
    assert!(operations > 200, "{operations} operations are too few to mean anything");
}

/// A crash while recovering from a crash.
#[test]
fn a_crash_during_recovery_changes_nothing() {
    let mut tally = Tally::default();
    crash_recovery(&workload(), 60, &mut tally);
    // In the middle of things that a start cleans up: blocks without a commit, old segments.
    for crash_at in [70, 90, 120, 150, 180] {
        crash_recovery(&blocks_workload(), crash_at, &mut tally);
    }
    tally.report("crashes of recovery");
}

fn crash_recovery(steps: &[Step], crash_at: u64, tally: &mut Tally) {
    let fs = FaultFs::new();
    fs.set_faults(Faults { crash_at: Some(crash_at), torn_bytes: 20, ..Faults::default() });
    let mut sent = Sent::default();
    block_on(run(&fs, steps, &mut sent));
    assert!(fs.has_crashed());
    fs.restart(Survival::Everything);
    let healthy = fs.fork();
    healthy.set_faults(Faults::default());
    block_on(open(&healthy).unwrap().close()).unwrap();
    let operations = healthy.counts().all;
    assert!(operations >= 6, "{operations}");
    for crash_at in 1..=operations {
        for survival in Survival::ALL {
            let fs = fs.fork();
            fs.set_faults(Faults { crash_at: Some(crash_at), torn_bytes: 9, ..Faults::default() });
            if let Ok(store) = open(&fs) {
                let _ = block_on(store.close());
            }
            fs.restart(survival);
            let context = format!("recovery crash at {crash_at}, {survival:?}");
            block_on(check(&fs, &sent, &context, tally));
        }
    }
}

#[test]
fn every_failing_fsync_and_write_is_survived() {
    fail_everywhere("failures of the logs", &workload());
}

#[test]
fn every_failing_fsync_and_write_of_flush_and_compaction_is_survived() {
    fail_everywhere("failures of flush and compaction", &blocks_workload());
}

fn fail_everywhere(what: &str, steps: &[Step]) {
    let mut tally = Tally::default();
    for (nth, stage) in stages(steps).iter().enumerate() {
        let syncs =
            (1..=stage.counts.syncs).map(|n| Faults { fail_sync: Some(n), ..Faults::default() });
        let writes =
            (1..=stage.counts.writes).map(|n| Faults { fail_write: Some(n), ..Faults::default() });
        for faults in syncs.chain(writes) {
            fail(stage, faults, &format!("stage {nth}, {faults:?}"), &mut tally);
        }
    }
    tally.report(what);
}

fn fail(stage: &Stage<'_>, faults: Faults, context: &str, tally: &mut Tally) {
    let (fs, mut sent) = stage.run(faults);
    for survival in Survival::ALL {
        let fs = fs.fork();
        fs.restart(survival);
        block_on(check(&fs, &sent, &format!("{context}, {survival:?}"), tally));
    }
    // The process restarts and goes on, and the machine dies later: what the failed fsync left in
    // the page cache must not have been built upon.
    fs.set_faults(Faults::default());
    let store = open(&fs).unwrap_or_else(|error| panic!("{context}: {error}"));
    block_on(async {
        sent.note(["log later".to_owned()], store.append(log("later")).await.is_ok());
        // What the first life could not say for sure may be there now.
        let found = read(&store).await;
        sent.tried.extend(found.into_keys());
    });
    assert!(sent.acknowledged.contains("log later"));
    let copy = fs.fork();
    copy.restart(Survival::Nothing);
    block_on(check(&copy, &sent, &format!("{context}, restart, then power failure"), tally));
}

/// The hook for a test with real processes: ids handed out on acknowledgement equal ids read back.
#[test]
fn acknowledged_batches_equal_batches_read_back_after_an_unclean_end() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    let mut acknowledged = Vec::new();
    block_on(async {
        for i in 0..50 {
            let body = format!("request {i}");
            match store.append(log(&body)).await {
                Ok(receipt) => {
                    assert_eq!(receipt.accepted, 1);
                    acknowledged.push(body);
                }
                Err(error) => assert_eq!(error.kind, ErrorKind::Poisoned),
            }
            if i == 30 {
                fs.set_faults(Faults { crash_at: Some(5), torn_bytes: 11, ..Faults::default() });
            }
        }
    });
    drop(store);
    fs.restart(Survival::Nothing);
    let store = open(&fs).unwrap();
    let read: Vec<String> = block_on(logs(&store)).into_iter().map(|(_, body)| body).collect();
    assert_eq!(read, acknowledged);
    assert!((31..50).contains(&read.len()), "{}", read.len());
}
