//! The dispatcher on a virtual clock: waits, repeats, muting, and what crashes leave of it.
//!
//! A script has a line for each moment: `SECOND EVENTS => NOTIFICATIONS`. Events: `+a` posts an alert,
//! `-a` its end, `~a 60` one that ends by itself, `mute a=1 300` a silence until then. A
//! notification is `receiver group: alerts`, with `!` before the ones that are over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use skopos_alerting::notify::interval::{MinuteRange, TimeInterval};
use skopos_alerting::notify::matcher::parse_matchers;
use skopos_alerting::notify::route::{GroupBy, IntegrationSpec, RouteSpec, RouteTree, Routing};
use skopos_alerting::notify::{
    AckError, Acknowledgement, DeliveryPolicy, DeliveryQueue, Dispatched, InhibitRule, Intent,
    PostedAlert, Silence, WebhookPayload,
};
use skopos_alerting::rules::{self, RuleSet};
use skopos_alerting::{Engine, Settings};
use skopos_model::storage::Committed;
use skopos_model::{Labels, Timestamp};

use crate::fuzzing::Random;
use crate::harness::{MemoryLog, seconds};

/// A server's notification half: engine without rules, log, receivers that remember.
struct World {
    routing: Arc<Routing>,
    engine: Engine,
    log: MemoryLog,
    rules: RuleSet,
    silences: u32,
    received: BTreeMap<String, String>,
    /// The keys in the order in which they were first received.
    arrivals: Vec<String>,
    queue: DeliveryQueue,
    /// A crash before or after the commit of the next change.
    crash: Option<Crash>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Crash {
    BeforeCommit,
    AfterCommit,
    AfterSend,
}

fn spec(matchers: &str, receiver: &str, times: [u64; 3]) -> RouteSpec {
    let [wait, interval, repeat] = times.map(|secs| Some(Duration::from_secs(secs)));
    RouteSpec {
        receiver: Some(receiver.into()),
        matchers: parse_matchers(matchers).unwrap(),
        group_by: Some(GroupBy::Labels(BTreeSet::from(["g".to_owned()]))),
        group_wait: wait,
        group_interval: interval,
        repeat_interval: repeat,
        ..RouteSpec::default()
    }
}

fn routing(root: RouteSpec) -> Routing {
    let integration =
        |name: &str, send_resolved| IntegrationSpec { name: name.into(), send_resolved };
    Routing {
        routes: RouteTree::new(&root),
        receivers: BTreeMap::from([
            ("page".to_owned(), vec![integration("webhook[0]", true)]),
            (
                "chat".to_owned(),
                vec![integration("slack[0]", true), integration("email[0]", false)],
            ),
        ]),
        ..Routing::nobody()
    }
}

fn engine(routing: &Arc<Routing>, rules: &RuleSet, log: &MemoryLog, now: Timestamp) -> Engine {
    let (settings, renderer) = (Settings::default(), Arc::new(WebhookPayload::default()));
    let routing = Arc::clone(routing);
    let saved = log.saved();
    let (engine, loaded) = Engine::restore_with(settings, routing, renderer, rules, &saved, now);
    assert_eq!(loaded.corrupt, []);
    assert_eq!(loaded.commit, None, "a restart changes nothing");
    engine
}

impl World {
    fn with(routing: Routing) -> Self {
        let routing = Arc::new(routing);
        let rules = rules::load(&[("none.yml", "groups: []")]).unwrap();
        let log = MemoryLog::default();
        Self {
            engine: engine(&routing, &rules, &log, seconds(0)),
            routing,
            log,
            rules,
            silences: 0,
            received: BTreeMap::new(),
            arrivals: Vec::new(),
            queue: DeliveryQueue::new(DeliveryPolicy::default()),
            crash: None,
        }
    }

    fn restart(&mut self, now: Timestamp) {
        self.engine = engine(&self.routing, &self.rules, &self.log, now);
        let (queue, corrupt) = DeliveryQueue::restore(DeliveryPolicy::default(), &self.log.saved());
        assert_eq!(corrupt, []);
        self.queue = queue;
    }

    /// Does something with the dispatcher until it is committed, crashing where planned.
    fn change(
        &mut self,
        now: Timestamp,
        mut act: impl FnMut(&mut Engine) -> Dispatched,
    ) -> Vec<Intent> {
        let crash = self.crash.take();
        if crash == Some(Crash::BeforeCommit) {
            act(&mut self.engine);
            self.restart(now);
        }
        let Dispatched { commit, intents, unrendered } = act(&mut self.engine);
        assert_eq!(unrendered, []);
        assert!(commit.is_some() || intents.is_empty());
        if let Some(commit) = commit {
            assert_eq!(self.log.commit(commit), Committed::Applied);
        }
        if crash == Some(Crash::AfterCommit) {
            self.restart(now);
        } else {
            assert_eq!(self.queue.accept(intents.clone(), now), None);
        }
        if crash == Some(Crash::AfterSend) {
            for delivery in self.queue.due(now) {
                self.receive(&delivery.idempotency_key, &delivery.body);
            }
            self.restart(now);
        }
        self.deliver(now);
        intents
    }

    fn deliver(&mut self, now: Timestamp) {
        use skopos_alerting::notify::{DeliveryOutcome, Settled};
        loop {
            let due = self.queue.due(now);
            if due.is_empty() {
                return;
            }
            for delivery in due {
                self.receive(&delivery.idempotency_key, &delivery.body);
                let outcome = DeliveryOutcome::Answered { status: 200, retry_after: None };
                if let Settled::Final { commit, .. } = self.queue.settle(delivery.id, outcome, now)
                {
                    assert_eq!(self.log.commit(commit), Committed::Applied);
                }
            }
        }
    }

    fn receive(&mut self, key: &str, body: &str) {
        let before = self.received.insert(key.into(), body.into());
        match before {
            None => self.arrivals.push(key.into()),
            Some(before) => assert!(before == body, "one key, two payloads: {key}"),
        }
    }

    fn post(&mut self, name: &str, ends_at: Option<Timestamp>, now: Timestamp) -> Vec<Intent> {
        // `a1`: alert a of group 1; further labels behind commas.
        let (name, more) = name.split_once(',').unwrap_or((name, ""));
        let (alert, group) = name.split_at(1);
        let mut labels = vec![("alertname", alert), ("g", group)];
        labels.extend(more.split(',').filter_map(|pair| pair.split_once('=')));
        let labels = Labels::from_pairs(labels);
        self.change(now, |engine| {
            let (labels, starts_at) = (labels.clone(), Some(now));
            let alert = PostedAlert { labels, starts_at, ends_at, ..PostedAlert::default() };
            let (dispatched, invalid) = engine.dispatcher_mut().post(vec![alert], now);
            assert_eq!(invalid, []);
            dispatched
        })
    }

    fn silence(&mut self, matcher: &str, until: i64, now: Timestamp) -> Vec<Intent> {
        self.silences += 1;
        let id = format!("silence-{}", self.silences);
        let matchers = parse_matchers(matcher).unwrap();
        self.change(now, |engine| {
            let silence = Silence {
                id: String::new(),
                matchers: matchers.clone(),
                starts_at: now,
                ends_at: seconds(until),
                updated_at: now,
                created_by: "ada".into(),
                comment: "quiet".into(),
            };
            engine.dispatcher_mut().set_silence(silence, id.clone(), now).unwrap().1
        })
    }

    fn event(&mut self, event: &str, now: Timestamp) -> Vec<Intent> {
        let words: Vec<&str> = event.split(' ').collect();
        let far = seconds(1_000_000);
        match (words[0].split_at(1), &words[1..]) {
            (("+", name), []) => self.post(name, Some(far), now),
            (("-", name), []) => self.post(name, Some(now), now),
            (("~", name), [end]) => self.post(name, Some(seconds(end.parse().unwrap())), now),
            (("m", "ute"), [matcher, end]) => self.silence(matcher, end.parse().unwrap(), now),
            (("?", name), []) => self.post(name, None, now),
            _ => panic!("unknown event {event:?}"),
        }
    }

    fn tick(&mut self, now: Timestamp) -> Vec<Intent> {
        self.change(now, |engine| engine.dispatcher_mut().tick(now))
    }
}

/// `page 1: a b !c`
fn summary(intent: &Intent) -> String {
    let payload: serde_json::Value = serde_json::from_str(&intent.body).unwrap();
    let alerts = payload["alerts"].as_array().unwrap().iter().map(|alert| {
        let mark = if alert["status"] == "resolved" { "!" } else { "" };
        format!(" {mark}{}", alert["labels"]["alertname"].as_str().unwrap())
    });
    let group = payload["groupLabels"]["g"].as_str().unwrap_or("*");
    let integration = if intent.integration > 0 { "+" } else { "" };
    let mut alerts: Vec<String> = alerts.collect();
    alerts.sort();
    format!("{}{integration} {group}:{}", intent.receiver, alerts.concat())
}

/// Runs a script; between its lines the dispatcher ticks whenever it wants to.
fn check(root: RouteSpec, script: &str) {
    check_with(routing(root), script);
}

fn check_with(routing: Routing, script: &str) {
    let mut world = World::with(routing);
    let mut wanted: Vec<String> = Vec::new();
    let mut found: Vec<String> = Vec::new();
    let ticks = |world: &mut World, until: Timestamp, found: &mut Vec<String>| {
        while let Some(due) = world.engine.dispatcher().next_due().filter(|due| *due <= until) {
            let second = due.as_millis() / 1000;
            for intent in world.tick(due) {
                found.push(format!("{second} {}", summary(&intent)));
            }
        }
    };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (left, right) = line.split_once("=>").unwrap_or((line, ""));
        let (second, events) = left.trim().split_once(' ').unwrap_or((left.trim(), ""));
        let now = seconds(second.parse().expect(line));
        ticks(&mut world, Timestamp(now.0 - 1), &mut found);
        for event in events.split(';').map(str::trim).filter(|event| !event.is_empty()) {
            for intent in world.event(event, now) {
                found.push(format!("{second} {}", summary(&intent)));
            }
        }
        ticks(&mut world, now, &mut found);
        let right = right.split(';').map(str::trim).filter(|part| !part.is_empty());
        wanted.extend(right.map(|notification| format!("{second} {notification}")));
    }
    assert_eq!(found, wanted, "{script}");
}

#[test]
fn groups_wait_report_changes_and_repeat() {
    check(
        spec("", "page", [30, 300, 3600]),
        "0 +a1
         10 +b1
         30 => page 1: a b
         100 +c1; -b1
         330 => page 1: !b a c
         3930 => page 1: a c
         4000 -a1
         4230 => page 1: !a c
         4240 -c1
         4530 => page 1: !c
         9999 ",
    );
}

#[test]
fn groups_are_apart_and_come_back_with_a_new_wait() {
    check(
        spec("", "page", [30, 300, 3600]),
        "0 +a1
         20 +a2
         30 => page 1: a
         50 => page 2: a
         60 -a1
         330 => page 1: !a
         400 +a1
         430 => page 1: a",
    );
}

#[test]
fn what_was_over_before_the_first_look_is_not_told() {
    check(spec("", "page", [30, 300, 3600]), "0 +a1\n10 -a1\n9999");
}

#[test]
fn without_waits_everything_is_told_at_once() {
    check(
        spec("", "page", [0, 0, 600]),
        "0 +a1 => page 1: a
         5 +b1 => page 1: a b
         6 +b1
         9 -a1 => page 1: !a b
         609 => page 1: b
         620 -b1 => page 1: !b
         621 +b1 => page 1: b",
    );
}

#[test]
fn alerts_end_by_their_end_and_by_the_resolve_timeout() {
    check(
        spec("", "page", [0, 0, 3600]),
        "0 ~a1 60; ?b2 => page 1: a; page 2: b
         60 => page 1: !a
         100 ?b2
         400 => page 2: !b",
    );
}

#[test]
fn children_take_alerts_and_integrations_are_told_apart() {
    let root = RouteSpec {
        routes: vec![
            RouteSpec { continues: true, ..spec("team=x", "chat", [0, 0, 3600]) },
            spec("team=~x|y", "page", [0, 0, 3600]),
        ],
        ..spec("", "chat", [30, 300, 3600])
    };
    check(
        root,
        "0 +a1,team=x => chat 1: a; chat+ 1: a; page 1: a
         1 +a2,team=y => page 2: a
         2 -a1,team=x => chat 1: !a; page 1: !a
         3 +c3
         33 => chat 3: c; chat+ 3: c
         34 -c3
         333 => chat 3: !c
         500 +c3
         530 => chat 3: c; chat+ 3: c",
    );
}

#[test]
fn silenced_alerts_are_not_told_but_their_end_is() {
    check(
        spec("", "page", [0, 60, 600]),
        "0 +a1; +b1 => page 1: a
         60 => page 1: a b
         70 mute alertname=a 400; mute alertname=c 200
         80 -a1
         120 => page 1: !a b
         130 +c1; +a1
         240 => page 1: b c
         420 => page 1: a b c
         999 ",
    );
}

#[test]
fn mute_intervals_hold_back_pages_and_resolves() {
    let mut root = spec("", "page", [0, 300, 7200]);
    root.mute_time_intervals = vec!["night".into()];
    let mut routing = routing(root);
    // The epoch began at midnight: an hour of night from 00:10 on.
    let times = Some(vec![MinuteRange::parse("00:10", "01:00").unwrap()]);
    let night = TimeInterval { times, ..TimeInterval::default() };
    routing.time_intervals.insert("night".into(), vec![night]);
    check_with(
        routing,
        "0 +a1; +b1 => page 1: a
         300 => page 1: a b
         700 -a1; +c1; +d1
         800 -d1
         3600 => page 1: !a !d b c",
    );
}

#[test]
fn sources_inhibit_targets_of_their_group_while_they_fire() {
    let mut routing = routing(spec("", "page", [0, 60, 7200]));
    routing.inhibit_rules = vec![InhibitRule {
        name: None,
        source: parse_matchers("alertname=s").unwrap(),
        target: parse_matchers("alertname=~t|u").unwrap(),
        equal: vec!["g".into()],
    }];
    check_with(
        routing,
        "0 +t1 => page 1: t
         10 +s1; +u1; +u2 => page 2: u
         60 => page 1: s
         70 -t1
         120 => page 1: !t s
         130 -s1
         180 => page 1: !s u",
    );
}

#[test]
fn failed_notifications_are_told_again_and_can_be_sent_by_hand() {
    use skopos_alerting::notify::{DeliveryOutcome, Settled, Verdict};
    let mut world = World::with(routing(spec("", "page", [0, 60, 7200])));
    let alert = PostedAlert {
        labels: Labels::from_pairs([("alertname", "a"), ("g", "1")]),
        ends_at: Some(seconds(9999)),
        ..PostedAlert::default()
    };
    let now = seconds(5);
    let dispatched = world.engine.dispatcher_mut().post(vec![alert], now).0;
    world.log.commit(dispatched.commit.unwrap());
    world.queue.accept(dispatched.intents, now);
    let sent = world.queue.due(now).remove(0);
    let refused = DeliveryOutcome::Answered { status: 400, retry_after: None };
    let Settled::Final { commit, record } = world.queue.settle(sent.id, refused, now) else {
        panic!("400 is final")
    };
    assert_eq!(record.verdict, Verdict::Failed);
    world.log.commit(commit);
    let dispatched = world.engine.dispatcher_mut().undelivered(&record, now);
    world.log.commit(dispatched.commit.expect("what was told is untold"));
    world.restart(now);
    let letters: Vec<_> = world.queue.dead_letters().cloned().collect();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (letters[0].intent.id, letters[0].reason.as_str()),
        (sent.id, "receiver answered 400")
    );
    // By hand: the same notification under the same key.
    let (count, commit) = world.queue.retry_dead(Some(sent.id), seconds(30));
    assert_eq!(count, 1);
    world.log.commit(commit);
    world.restart(seconds(30));
    assert_eq!(world.queue.dead_letters().len(), 0);
    let again = world.queue.due(seconds(30)).remove(0);
    assert_eq!((again.idempotency_key, again.body), (sent.idempotency_key, sent.body));
    // By itself: at the next look.
    let told = world.tick(seconds(65));
    assert_eq!(told.iter().map(summary).collect::<Vec<_>>(), ["page 1: a"]);
}

#[test]
fn acknowledgements_hold_for_one_firing_and_survive_restarts() {
    let mut world = World::with(routing(spec("", "page", [0, 0, 7200])));
    world.event("+a1", seconds(10));
    let firing = world.engine.dispatcher().firing(seconds(11));
    let fingerprint = firing[0].fingerprint.clone();
    let acknowledge = |world: &mut World, who: &str, at: i64| {
        let dispatcher = world.engine.dispatcher_mut();
        let (ack, dispatched) = dispatcher.acknowledge(&fingerprint, who, "on it", seconds(at))?;
        world.log.commit(dispatched.commit.unwrap());
        Ok::<Acknowledgement, AckError>(ack)
    };
    assert_eq!(acknowledge(&mut world, " ", 40), Err(AckError::Nobody));
    let ack = acknowledge(&mut world, "ada", 40).unwrap();
    assert_eq!(ack.response_time(), Duration::from_secs(30));
    let taken = AckError::Taken { by: "ada".into() };
    assert_eq!(acknowledge(&mut world, "bob", 50), Err(taken));
    assert_eq!(
        acknowledge(&mut world, "ada", 60).unwrap().at,
        seconds(40),
        "the first time counts"
    );
    world.restart(seconds(70));
    let firing = world.engine.dispatcher().firing(seconds(71));
    assert_eq!(firing[0].acknowledged.as_ref().map(|ack| ack.by.as_str()), Some("ada"));
    world.event("-a1", seconds(80));
    assert_eq!(acknowledge(&mut world, "ada", 81), Err(AckError::NotFiring(fingerprint.clone())));
    world.event("+a1", seconds(90));
    assert_eq!(world.engine.dispatcher().firing(seconds(91))[0].acknowledged, None);
}

/// Random alerts, silences and moments over a tree with waits, muting and inhibition.
fn random_run(seed: u64, mut crash: impl FnMut() -> Option<Crash>) -> (World, usize) {
    let root = RouteSpec {
        routes: vec![
            RouteSpec { continues: true, ..spec("g=~1|2", "chat", [0, 45, 180]) },
            spec("alertname=~a|b", "page", [0, 0, 120]),
        ],
        ..spec("", "page", [30, 60, 300])
    };
    let mut routing = routing(root);
    routing.resolve_timeout = Duration::from_secs(90);
    routing.inhibit_rules = vec![InhibitRule {
        name: None,
        source: parse_matchers("alertname=a").unwrap(),
        target: parse_matchers("alertname=c").unwrap(),
        equal: vec!["g".into()],
    }];
    let mut world = World::with(routing);
    let mut random = Random(seed);
    let mut crashes = 0;
    for step in 1..=120 {
        let now = seconds(step * 10);
        let name = ["a", "b", "c"][random.below(3)].to_owned() + ["1", "2", "3"][random.below(3)];
        let event = match random.below(12) {
            0..4 => format!("+{name}"),
            4..7 => format!("-{name}"),
            7 => format!("?{name}"),
            8 => format!("~{name} {}", step * 10 + 10 * random.below(9) as i64),
            9 => format!("mute alertname={} {}", &name[..1], step * 10 + 70),
            _ => String::new(),
        };
        if !event.is_empty() {
            world.crash = crash();
            crashes += usize::from(world.crash.is_some());
            world.event(&event, now);
        }
        if world.engine.dispatcher().next_due().is_some_and(|due| due <= now) {
            world.crash = crash();
            crashes += usize::from(world.crash.is_some());
            world.tick(now);
        }
    }
    (world, crashes)
}

#[test]
fn crashed_dispatchers_equal_their_uninterrupted_twins() {
    let runs = std::env::var("SKOPOS_CRASH_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let (mut crashes, mut notifications) = (0, 0);
    for seed in 0..runs {
        let (twin, _) = random_run(seed, || None);
        let mut random = Random(seed ^ 0xdead);
        let (crashed, count) = random_run(seed, || {
            (random.below(3) == 0).then(|| {
                [Crash::BeforeCommit, Crash::AfterCommit, Crash::AfterSend][random.below(3)]
            })
        });
        assert!(twin.received == crashed.received, "seed {seed}: other notifications");
        assert!(
            twin.log.alert_records() == crashed.log.alert_records(),
            "seed {seed}: another state"
        );
        crashes += count;
        notifications += twin.received.len();
        every_page_has_its_resolve(&twin, seed);
    }
    println!("proof: crashes of the dispatcher: {crashes} points, lost 0, doubled 0");
    assert!(crashes > 1_000 && notifications > 1_000, "{crashes} crashes, {notifications}");
}

/// Ends everything, waits, and looks whether each receiver knows that all is over.
fn every_page_has_its_resolve(twin: &World, seed: u64) {
    let mut world = World::with((*twin.routing).clone());
    (world.log, world.received) = (twin.log.clone(), twin.received.clone());
    world.arrivals.clone_from(&twin.arrivals);
    world.restart(seconds(1200));
    for name in ["a", "b", "c"] {
        for group in ["1", "2", "3"] {
            world.event(&format!("-{name}{group}"), seconds(1210));
        }
    }
    while let Some(due) = world.engine.dispatcher().next_due().filter(|d| *d < seconds(9000)) {
        world.tick(due);
    }
    // The last word about each alert for those that want to hear of ends.
    let mut last: BTreeMap<(String, String, String), String> = BTreeMap::new();
    for key in &world.arrivals {
        let payload: serde_json::Value = serde_json::from_str(&world.received[key]).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        for alert in payload["alerts"].as_array().unwrap() {
            let (receiver, group) = (text(&payload["receiver"]), text(&payload["groupKey"]));
            last.insert((receiver, group, text(&alert["fingerprint"])), text(&alert["status"]));
        }
    }
    for (key, status) in last {
        assert_eq!(status, "resolved", "seed {seed}: {key:?} was never told to be over");
    }
}

/// Writes the fixtures of the present versions when asked to; otherwise checks that they are still
/// what is written, and read.
#[test]
fn records_of_the_dispatcher_are_written_as_they_were() {
    let mut world = World::with(routing(spec("", "page", [0, 60, 7200])));
    world.event("+a1,severity=P1", seconds(10));
    world.event("mute alertname=b 100", seconds(20));
    let fingerprint = world.engine.dispatcher().firing(seconds(21))[0].fingerprint.clone();
    world.change(seconds(30), |engine| {
        let dispatcher = engine.dispatcher_mut();
        dispatcher.acknowledge(&fingerprint, "ada", "mine", seconds(30)).unwrap().1
    });
    let saved = world.log.saved();
    let all = saved.notification_log.iter().chain(&saved.silences);
    let mut kinds = BTreeSet::new();
    for record in all {
        let kind = record.key.split_once('/').map_or("silence", |(kind, _)| kind);
        let name = match kind {
            "delivery" => "v2-delivery".to_owned(),
            // Not to be confused with the engine's alerts.
            "alert" => "v1-held".to_owned(),
            kind => format!("v1-{kind}"),
        };
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/state").join(&name);
        let value = record.value.as_deref().unwrap();
        if std::env::var_os("SKOPOS_WRITE_FIXTURES").is_some() {
            std::fs::write(&path, value).unwrap();
        }
        let fixture = std::fs::read(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(fixture, value, "{name}: a changed encoding needs a new version");
        kinds.insert(name);
    }
    let wanted = ["v1-ack", "v1-aggregation", "v1-held", "v1-silence", "v1-told", "v2-delivery"];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
}
