//! State records: reading through the log's contract, damage, and the fixture of version 1.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use skopos_alerting::{Engine, SavedState, fuzz_state_records};
use skopos_model::storage::{
    Committed, StateCommit, StateKind, StateLog, StateRecord, StorageError,
};

use crate::harness::{MemoryLog, World, elements, seconds, settings};

#[derive(Default)]
struct SharedLog(Mutex<MemoryLog>);

#[async_trait]
impl StateLog for SharedLog {
    async fn commit(&self, commit: StateCommit) -> Result<Committed, StorageError> {
        Ok(self.0.lock().unwrap().commit(commit))
    }

    async fn load(&self, kind: StateKind) -> Result<Vec<StateRecord>, StorageError> {
        Ok(self.0.lock().unwrap().load(kind))
    }

    async fn last_slot(&self, source: &str) -> Result<Option<i64>, StorageError> {
        Ok(self.0.lock().unwrap().last_slots.get(source).copied())
    }

    async fn compact(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

/// The log above never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the log waits"),
    }
}

const RULES: &str = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: m, for: 15s, annotations: {s: 'é {{ $value }}'}}\n  - {record: r, expr: m}\n";

fn world() -> World {
    let mut world = World::new(RULES, settings());
    for (slot, answer) in [(15, "a=1,b=2"), (30, "a=0.5"), (45, "-"), (60, "c=3")] {
        let step = world.evaluate(0, 0, seconds(slot), elements(answer));
        step.commit.map(|commit| world.log.commit(commit));
        world.step(0, 1, seconds(slot), elements(answer));
    }
    world
}

#[test]
fn loading_through_the_contract_finds_everything() {
    let world = world();
    let log = SharedLog(Mutex::new(world.log.clone()));
    let saved = ready(SavedState::load(&log, &world.set)).unwrap();
    assert_eq!(saved, world.log.saved());
    assert_eq!(saved.last_slots.len(), 2);
    assert!(!saved.alerts.is_empty() && !saved.groups.is_empty() && !saved.intents.is_empty());
}

#[test]
fn damaged_records_are_reported_and_cost_only_themselves() {
    let world = world();
    let mut saved = world.log.saved();
    let sound = saved.alerts.len();
    let mut broken = saved.alerts[0].clone();
    broken.key = "0000000000000001/5".into();
    broken.value.as_mut().unwrap().push(0);
    saved.alerts.push(broken);
    let mut elsewhere = saved.alerts[0].clone();
    elsewhere.key = format!("{}x", elsewhere.key);
    saved.alerts.push(elsewhere);
    saved.groups[0].value = Some(vec![9]);
    let (kind, key) = (StateKind::NotificationLog, "told/0".to_string());
    saved.notification_log.push(StateRecord { kind, key, value: None });
    let (engine, loaded) = Engine::restore(settings(), &world.set, &saved, seconds(61));
    let reasons: Vec<&str> = loaded.corrupt.iter().map(|c| c.reason.as_str()).collect();
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    assert!(reasons.contains(&"key and value do not belong together"));
    let alerts = engine.view()[0].rules[0].alerting.clone().unwrap().alerts;
    assert_eq!(alerts.len(), sound);
}

/// Writes the fixtures of the present versions when asked to; otherwise checks that they are still
/// what is written.
#[test]
fn records_are_written_as_they_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/state");
    let mut world = world();
    let saved = world.log.saved();
    world.set = skopos_alerting::rules::load(&[("rules.yml", "groups: []")]).unwrap();
    world.restart(seconds(61));
    let retired = world.log.saved().groups;
    let records: Vec<&StateRecord> = [&saved.alerts, &saved.groups, &saved.intents, &retired]
        .into_iter()
        .flat_map(|records| records.first())
        .collect();
    assert_eq!(records.len(), 4);
    let names = ["v2-alert", "v1-series", "v3-intent", "v1-retired"];
    for (name, record) in names.iter().zip(records) {
        let path = folder.join(name);
        let value = record.value.as_deref().unwrap();
        if std::env::var_os("SKOPOS_WRITE_FIXTURES").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, value).unwrap();
        }
        let fixture = std::fs::read(&path).unwrap();
        assert_eq!(fixture, value, "{name}: a changed encoding needs a new version");
    }
}

#[test]
fn alerts_of_version_1_are_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/state/v1-alert");
    let world = world();
    let mut saved = world.log.saved();
    let present = saved.alerts[0].value.replace(std::fs::read(path).unwrap());
    assert_ne!(present, saved.alerts[0].value);
    let (engine, loaded) = Engine::restore(settings(), &world.set, &saved, seconds(61));
    assert_eq!(loaded.corrupt, []);
    let view = |engine: &Engine| engine.view()[0].rules[0].alerting.clone();
    assert_eq!(view(&engine), view(&world.engine));
}

#[test]
fn fuzz() {
    crate::fuzzing::run("state", fuzz_state_records);
}
