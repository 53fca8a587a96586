//! Receivers that are away or refuse: what they missed is told as it is now, not as it was.

use skopos_alerting::notify::{DeliveryPolicy, DeliveryQueue, Intent, Verdict};
use skopos_model::Timestamp;
use skopos_model::storage::{Committed, StateKind};

use crate::harness::{World, elements, seconds, settings, summary};

const RULES: &str = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: m}\n";

/// A world whose alerts are told to a receiver that answers as the caller says.
struct Told {
    world: World,
    arrived: Vec<String>,
    keys: Vec<(String, String)>,
}

impl Told {
    fn new() -> Self {
        Self { world: World::new(RULES, settings()), arrived: Vec::new(), keys: Vec::new() }
    }

    /// Evaluates, commits and queues.
    fn evaluate(&mut self, at: i64, answer: &str) -> Vec<Intent> {
        let step = self.world.evaluate(0, 0, seconds(at), elements(answer));
        if let Some(commit) = step.commit {
            assert_eq!(self.world.log.commit(commit), Committed::Applied);
        }
        self.accept(step.intents.clone(), seconds(at));
        step.intents
    }

    fn accept(&mut self, intents: Vec<Intent>, now: Timestamp) {
        self.keys.extend(intents.iter().map(|i| (i.idempotency_key(), summary(i))));
        if let Some(dropped) = self.world.queue.accept(intents, now) {
            assert_eq!(self.world.log.commit(dropped.commit), Committed::Applied);
        }
    }

    fn deliver(&mut self, now: i64, status: u16) {
        self.world.deliver(seconds(now), |_| status);
        let (world, keys) = (&self.world, &self.keys);
        let said = |key: &String| keys.iter().find(|(k, _)| k == key).unwrap().1.clone();
        self.arrived = world.arrivals.iter().map(said).collect();
    }

    fn queued(&self) -> Vec<String> {
        self.world.queue.waiting().map(|(intent, ..)| summary(intent)).collect()
    }

    /// Verdicts of the log, oldest first.
    fn verdicts(&self) -> Vec<&'static str> {
        let word = |record: &skopos_alerting::notify::DeliveryRecord| match record.is_superseded() {
            true => "superseded",
            false => record.verdict.as_str(),
        };
        self.world.queue.log().map(word).collect()
    }
}

#[test]
fn a_receiver_that_was_away_is_told_how_things_are_now() {
    let mut told = Told::new();
    told.evaluate(15, "a=1");
    told.deliver(15, 503);
    told.evaluate(30, "a=1,b=1");
    assert_eq!(told.queued(), ["firing a b"], "the newer one stands for both");
    told.deliver(30, 503);
    let (_, attempts, reason) = told.world.queue.waiting().next().unwrap();
    assert_eq!((attempts, reason), (2, "receiver answered 503"), "delays go on");
    told.evaluate(45, "-");
    assert_eq!(told.queued(), ["resolved ~a ~b"]);
    // Since when the receiver takes nothing is not forgotten with what it did not take.
    let stuck = |before: i64| told.world.queue.stuck(seconds(before)).next().map(|s| s.1);
    assert_eq!((stuck(15), stuck(16)), (None, Some(seconds(15))));
    told.world.restart(seconds(60));
    told.deliver(60, 200);
    assert_eq!(told.arrived, ["resolved ~a ~b"], "one message after the alert has ended");
    assert_eq!(told.verdicts(), ["superseded", "superseded", "delivered"]);
    assert!(told.world.log.load(StateKind::NotificationIntent).is_empty());
}

#[test]
fn what_was_not_tried_yet_is_not_superseded() {
    let mut told = Told::new();
    told.evaluate(15, "a=1");
    told.evaluate(30, "-");
    assert_eq!(told.queued(), ["firing a", "resolved ~a"]);
    // What is being sent when the newer one arrives is superseded when it fails.
    told.deliver(30, 503);
    assert_eq!(told.queued(), ["resolved ~a"]);
    assert_eq!(told.verdicts(), ["superseded"]);
    assert_eq!(told.world.queue.due(seconds(30)), [], "it waits in the place of the first");
}

#[test]
fn the_end_of_an_alert_is_not_lost_with_the_message_that_tells_it() {
    let mut told = Told::new();
    told.evaluate(15, "a=1,b=1");
    told.deliver(15, 200);
    told.evaluate(30, "a=1");
    told.deliver(30, 503);
    // The newer one says nothing of b: the group has let go of it.
    told.evaluate(45, "a=1,c=1");
    assert_eq!(told.queued(), ["firing a ~b", "firing a c"]);
    told.deliver(46, 200);
    told.deliver(47, 200);
    assert_eq!(told.arrived, ["firing a b", "firing a ~b", "firing a c"]);

    // Firing anew takes the place of an end that nobody heard of.
    told.evaluate(60, "a=1");
    told.deliver(60, 503);
    told.evaluate(75, "a=1,c=1");
    assert_eq!(told.queued(), ["firing a c"]);
}

#[test]
fn a_group_has_one_dead_letter_and_none_once_something_newer_waits() {
    let mut told = Told::new();
    let mut failed = Vec::new();
    for (at, answer) in [(15, "a=1"), (30, "a=1,b=1"), (45, "a=1,b=1,c=1")] {
        failed.extend(told.evaluate(at, answer));
        assert_eq!(told.world.queue.dead_letters().len(), 0, "{at}: a newer one waits");
        told.deliver(at, 400);
        assert_eq!(told.world.queue.dead_letters().len(), 1, "{at}");
        told.world.restart(seconds(at));
        let dead: Vec<_> = told.world.queue.dead_letters().map(|d| d.intent.id).collect();
        assert_eq!(dead, [failed.last().unwrap().id], "{at}: the newest");
    }
    assert_eq!(told.verdicts(), ["failed"; 3], "the log has them all");
    let (count, commit) = told.world.queue.retry_dead(None, seconds(50));
    assert_eq!(count, 1);
    told.world.log.commit(commit);
    told.deliver(50, 200);
    assert_eq!(told.arrived, ["firing a b c"]);
    assert_eq!(told.world.queue.log().filter(|r| r.verdict == Verdict::Failed).count(), 2);
}

#[test]
fn letters_of_which_something_newer_waits_are_forgotten_at_a_restart() {
    let mut told = Told::new();
    told.evaluate(15, "a=1");
    told.deliver(15, 400);
    // The server crashes between the commit of the intent and its way into the queue.
    let step = told.world.evaluate(0, 0, seconds(30), elements("a=1,b=1"));
    told.keys.extend(step.intents.iter().map(|i| (i.idempotency_key(), summary(i))));
    told.world.log.commit(step.commit.unwrap());
    told.world.restart(seconds(30));
    assert_eq!(told.world.queue.dead_letters().len(), 0);
    told.deliver(31, 200);
    assert_eq!(told.arrived, ["firing a b"]);
    // Durably: it does not come back when nothing newer waits any more.
    let (queue, _) = DeliveryQueue::restore(DeliveryPolicy::default(), &told.world.log.saved());
    assert_eq!(queue.dead_letters().len(), 0);
}
