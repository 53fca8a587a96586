//! Delivery: order, retries, giving up, overflow, and what survives a restart.

use std::time::Duration;

use skopos_alerting::notify::{
    Delivery, DeliveryOutcome, DeliveryPolicy, DeliveryQueue, Dropped, Intent, Settled, Verdict,
};
use skopos_model::Timestamp;
use skopos_model::storage::{Committed, StateKind};

use crate::harness::{MemoryLog, World, elements, seconds, settings};

const RULES: &str =
    "groups:\n- name: g\n  rules:\n  - {alert: A, expr: m}\n  - {alert: B, expr: m}\n";

/// Intents of the groups A and B: A fires, resolves and fires again; B fires.
fn intents() -> (MemoryLog, Vec<Intent>) {
    let mut world = World::new(RULES, settings());
    let mut intents = Vec::new();
    for (rule, slot, answer) in [(0, 15, "a=1"), (1, 15, "b=1"), (0, 30, "-"), (0, 45, "a=1")] {
        let step = world.evaluate(0, rule, seconds(slot), elements(answer));
        assert_eq!(world.log.commit(step.commit.unwrap()), Committed::Applied);
        intents.extend(step.intents);
    }
    assert_eq!(intents.len(), 4);
    (world.log, intents)
}

fn answered(status: u16) -> DeliveryOutcome {
    DeliveryOutcome::Answered { status, retry_after: None }
}

fn ids(deliveries: &[Delivery]) -> Vec<i64> {
    deliveries.iter().map(|d| d.id.generation).collect()
}

#[test]
fn one_group_is_told_in_order_and_groups_do_not_wait_for_each_other() {
    let (mut log, intents) = intents();
    let mut queue = DeliveryQueue::new(DeliveryPolicy::default());
    assert_eq!(queue.accept(intents.clone(), seconds(50)), None);
    let mut first = queue.due(seconds(50));
    assert_eq!(ids(&first), [15_000, 15_000], "the first of each group");
    first.sort_by_key(|delivery| delivery.id != intents[0].id);
    assert_eq!(queue.due(seconds(50)), [], "nothing is sent twice while in flight");
    // Group B, of which nothing newer waits, is tried again; A goes on in order.
    first.swap(0, 1);
    let retry = queue.settle(first[0].id, answered(503), seconds(51));
    let Settled::Retry { at, reason } = retry else { panic!("{retry:?}") };
    assert_eq!(reason, "receiver answered 503");
    assert!(at > seconds(51) && at <= seconds(52));
    assert_eq!(queue.next_due(), Some(at));
    assert_eq!(queue.due(seconds(51)), [], "later ones of a group wait too");
    let again = queue.due(at);
    assert_eq!(again[0].attempt, 2);
    assert_eq!(
        (&again[0].idempotency_key, &again[0].body),
        (&first[0].idempotency_key, &first[0].body)
    );
    let settled = queue.settle(again[0].id, answered(200), at);
    let Settled::Final { commit, record } = settled else { panic!("{settled:?}") };
    assert_eq!((record.verdict, record.attempts), (Verdict::Delivered, 2));
    log.commit(commit);
    let settled = queue.settle(first[1].id, answered(200), at);
    let Settled::Final { commit, .. } = settled else { panic!("{settled:?}") };
    log.commit(commit);
    assert_eq!(ids(&queue.due(at)), [30_000]);
    assert_eq!(queue.settle(again[0].id, answered(200), at), Settled::Unknown);
    let keys: std::collections::BTreeSet<_> = intents.iter().map(Intent::idempotency_key).collect();
    assert_eq!(keys.len(), 4);
}

#[test]
fn answers_decide_between_retry_and_failure() {
    let unreachable = DeliveryOutcome::Unreachable { reason: "refused".into() };
    for (outcome, want) in [
        (answered(200), Some(Verdict::Delivered)),
        (answered(204), Some(Verdict::Delivered)),
        (answered(302), Some(Verdict::Failed)),
        (answered(400), Some(Verdict::Failed)),
        (answered(404), Some(Verdict::Failed)),
        (answered(408), None),
        (answered(429), None),
        (answered(500), None),
        (answered(503), None),
        (DeliveryOutcome::TimedOut, None),
        (unreachable, None),
    ] {
        let mut queue = DeliveryQueue::new(DeliveryPolicy::default());
        queue.accept(intents().1.into_iter().take(1), seconds(15));
        let id = queue.due(seconds(15))[0].id;
        let found = match queue.settle(id, outcome.clone(), seconds(16)) {
            Settled::Final { record, .. } => Some(record.verdict),
            Settled::Retry { .. } => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, want, "{outcome:?}");
        let failed = queue.log().filter(|r| r.verdict == Verdict::Failed).count();
        assert_eq!(failed, usize::from(want == Some(Verdict::Failed)), "stays visible");
    }
}

#[test]
fn delays_double_up_to_a_limit_and_old_notifications_are_given_up() {
    let policy =
        DeliveryPolicy { give_up_after: Duration::from_secs(600), ..DeliveryPolicy::default() };
    let mut queue = DeliveryQueue::new(policy.clone());
    queue.accept(intents().1.into_iter().take(1), seconds(15));
    let mut now = seconds(15);
    let mut delays = Vec::new();
    let record = loop {
        let id = queue.due(now)[0].id;
        match queue.settle(id, DeliveryOutcome::TimedOut, now) {
            Settled::Retry { at, .. } => {
                delays.push(at.since(now));
                now = at;
            }
            Settled::Final { record, .. } => break record,
            other => panic!("{other:?}"),
        }
    };
    for (n, delay) in delays.iter().enumerate() {
        let full = policy.first_delay.saturating_mul(1 << n).min(policy.max_delay);
        assert!(*delay >= full / 2 && *delay <= full, "attempt {n}: {delay:?} of {full:?}");
    }
    assert!(delays.len() > 8);
    assert_eq!((record.verdict, record.reason.as_str()), (Verdict::Failed, "timed out"));
    assert!(now <= seconds(615));
    assert!(queue.is_empty());
}

#[test]
fn a_receiver_may_ask_for_a_longer_wait() {
    let mut queue = DeliveryQueue::new(DeliveryPolicy::default());
    queue.accept(intents().1.into_iter().take(1), seconds(15));
    let id = queue.due(seconds(15))[0].id;
    let retry_after = Some(Duration::from_secs(30));
    let outcome = DeliveryOutcome::Answered { status: 429, retry_after };
    let reason = "receiver answered 429".into();
    assert_eq!(queue.settle(id, outcome, seconds(15)), Settled::Retry { at: seconds(45), reason });
}

#[test]
fn a_full_queue_drops_the_oldest_and_says_so() {
    let policy = DeliveryPolicy { capacity: 2, ..DeliveryPolicy::default() };
    let (mut log, intents) = intents();
    let mut queue = DeliveryQueue::new(policy.clone());
    let Dropped { commit, overflowed, superseded } =
        queue.accept(intents, seconds(50)).expect("two too many");
    assert_eq!((overflowed, superseded), (2, 0));
    assert_eq!(queue.len(), 2);
    log.commit(commit);
    assert_eq!(log.load(StateKind::NotificationIntent).len(), 2);
    let dropped: Vec<_> = queue.log().map(|r| (r.verdict, r.id.generation)).collect();
    assert_eq!(dropped, [(Verdict::Dropped, 15_000), (Verdict::Dropped, 15_000)]);
    let (restored, corrupt) = DeliveryQueue::restore(policy, &log.saved());
    assert_eq!(corrupt, []);
    assert!(restored.log().eq(queue.log()));
}

#[test]
fn a_restart_repeats_what_was_in_flight_under_the_same_key() {
    let (mut log, intents) = intents();
    let mut queue = DeliveryQueue::new(DeliveryPolicy::default());
    queue.accept(intents, seconds(50));
    let sent = queue.due(seconds(50));
    let Settled::Final { commit, .. } = queue.settle(sent[0].id, answered(200), seconds(50)) else {
        panic!("not final")
    };
    log.commit(commit);
    let (mut restored, corrupt) = DeliveryQueue::restore(DeliveryPolicy::default(), &log.saved());
    assert_eq!(corrupt, []);
    let due = restored.due(seconds(60));
    assert!(due.iter().all(|d| d.attempt == 1));
    let repeated = due.iter().find(|d| d.id == sent[1].id).expect("still due");
    assert_eq!(
        (&repeated.idempotency_key, &repeated.body),
        (&sent[1].idempotency_key, &sent[1].body)
    );
    assert!(due.iter().all(|d| d.id != sent[0].id), "what was settled stays settled");
}

#[test]
fn the_log_is_bounded_and_commits_ascend_though_the_clock_does_not() {
    let policy = DeliveryPolicy { log_entries: 2, ..DeliveryPolicy::default() };
    let (mut log, intents) = intents();
    let mut queue = DeliveryQueue::new(policy);
    queue.accept(intents, seconds(50));
    // The clock goes backwards while notifications are settled.
    for now in [50, 49, 48, 47] {
        let now = seconds(now);
        let Some(delivery) = queue.due(now).into_iter().next() else { panic!("nothing due") };
        // Report the others as unreachable later; only one is settled each round.
        if let Settled::Final { commit, .. } = queue.settle(delivery.id, answered(200), now) {
            assert_eq!(log.commit(commit), Committed::Applied, "at {now}");
        }
        let (restored, _) = DeliveryQueue::restore(
            DeliveryPolicy { log_entries: 2, ..DeliveryPolicy::default() },
            &log.saved(),
        );
        queue = restored;
    }
    assert_eq!(queue.log().len(), 2);
    let kept = log.load(StateKind::NotificationLog);
    assert_eq!(kept.iter().filter(|r| r.key.starts_with("delivery/")).count(), 2);
    assert!(log.load(StateKind::NotificationIntent).is_empty());
    assert_eq!(queue.next_due(), None::<Timestamp>);
}

#[test]
fn no_more_are_in_flight_than_allowed_and_nobody_is_told_to_spin() {
    let policy = DeliveryPolicy { max_in_flight: 1, ..DeliveryPolicy::default() };
    let mut queue = DeliveryQueue::new(policy);
    queue.accept(intents().1, seconds(50));
    assert_eq!(queue.next_due(), Some(seconds(15)));
    let first = queue.due(seconds(50));
    assert_eq!(first.len(), 1);
    assert_eq!((queue.due(seconds(50)).len(), queue.next_due()), (0, None));
    queue.settle(first[0].id, answered(200), seconds(50));
    assert_eq!(queue.due(seconds(50)).len(), 1);
}
