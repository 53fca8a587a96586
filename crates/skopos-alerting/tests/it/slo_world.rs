//! Objectives on the virtual clock: samples in memory, the real query language, the engine of objectives and the
//! engine of alerts, and a log that survives restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use skopos_alerting::rules::{self, RuleKind, RuleSet};
use skopos_alerting::slo::{self, SavedSlos, SloEngine, SloSet, SloSettings, SloStatus, SloStep};
use skopos_alerting::template::TemplateHost;
use skopos_alerting::{AlertState, Engine, SavedState, Settings};
use skopos_model::storage::{Committed, QueryBudget, StateCommit, StateKind};
use skopos_model::{Labels, METRIC_NAME, SampleValue, Timestamp};
use skopos_promql::promqltest::Store;
use skopos_promql::{EvalParams, MatrixSeries, ParseOptions, Plan, Value, evaluate, parse};

use crate::harness::MemoryLog;

/// A Monday at midnight UTC.
pub(crate) const START: i64 = 1_767_571_200_000;
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Usual time between slots.
pub(crate) const SLOTS: i64 = 15_000;

/// A shop whose failures are 500s: 99 % of a week.
pub(crate) fn slo(more: &str) -> String {
    format!(
        "slo: shop\nservice: shop\nowner: o\nrunbook: r.md\nsli: {{bad: 'req_total{{code=\"500\"}}', total: req_total}}\n\
         target: 99%\nwindow: 7d\n{more}"
    )
}

/// The status of its only budget.
pub(crate) fn status(world: &World, now: i64) -> SloStatus {
    world.engine.statuses(at(now)).remove(0)
}

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

pub(crate) fn set_of(text: &str) -> SloSet {
    slo::load(&[("slo.yml", text)]).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

pub(crate) fn query(store: &Store, expr: &str, params: EvalParams) -> Result<Value, String> {
    let expr = parse(expr, &ParseOptions::default()).map_err(|e| e.to_string())?;
    let plan = Plan::new(&expr, params).map_err(|e| e.to_string())?;
    let data = plan.selects().iter().map(|select| store.select(select)).collect();
    Ok(evaluate(&plan, data, &QueryBudget::unlimited()).map_err(|e| e.to_string())?.value)
}

pub(crate) fn instant(store: &Store, expr: &str, at_ms: i64) -> Vec<(Labels, SampleValue)> {
    match query(store, expr, EvalParams::instant(at_ms)).unwrap_or_else(|e| panic!("{expr}: {e}")) {
        Value::Vector(vector) => vector.into_iter().map(|s| (s.labels, s.value)).collect(),
        Value::Scalar { value, .. } => vec![(Labels::empty(), SampleValue::Float(value))],
        other => panic!("{expr}: {other:?}"),
    }
}

pub(crate) fn answers(store: &Store, plan: &slo::Plan) -> Vec<Result<Vec<MatrixSeries>, String>> {
    plan.queries.iter().map(|ask| answer(store, ask)).collect()
}

fn answer(store: &Store, ask: &slo::SloQuery) -> Result<Vec<MatrixSeries>, String> {
    let params = match ask.step_ms {
        Some(step) => EvalParams::range(ask.start_ms, ask.end_ms, step),
        None => EvalParams::instant(ask.end_ms),
    };
    match query(store, &ask.expr, params)? {
        Value::Matrix(series) => Ok(series),
        other => Err(format!("{other:?}")),
    }
}

/// All chunks of the history that an engine begins to fill in.
pub(crate) fn history_plans(
    engine: &mut SloEngine,
    now_ms: i64,
    oldest: Option<i64>,
) -> Vec<slo::Plan> {
    let count = engine.begin_backfill(at(now_ms), oldest.map(at));
    let plans: Vec<slo::Plan> = std::iter::from_fn(|| engine.next_backfill()).collect();
    assert_eq!(plans.len(), count);
    plans
}

/// All chunks that are still to be read: a round of them.
pub(crate) fn unread_plans(engine: &mut SloEngine, now_ms: i64) -> Vec<slo::Plan> {
    let mut after = None;
    let round = std::iter::from_fn(|| {
        let plan = engine.next_unread(at(now_ms), after)?;
        after = Some(plan.slot);
        Some(plan)
    });
    round.collect()
}

/// The answers of a plan and of the queries that turn out to be needed.
pub(crate) fn all_answers(
    store: &Store,
    engine: &SloEngine,
    plan: &mut slo::Plan,
) -> Vec<Result<Vec<MatrixSeries>, String>> {
    let mut found = answers(store, plan);
    engine.look_back(plan, &found);
    found.extend(plan.queries[found.len()..].iter().map(|ask| answer(store, ask)));
    found
}
struct Host<'a>(&'a Store, Timestamp);

impl TemplateHost for Host<'_> {
    fn now(&self) -> Timestamp {
        self.1
    }

    fn query(&self, expr: &str) -> Result<Vec<(Labels, f64)>, String> {
        let float = |value: SampleValue| match value {
            SampleValue::Float(value) => value,
            SampleValue::Histogram(_) => f64::NAN,
        };
        let found = instant(self.0, expr, self.1.as_millis());
        Ok(found.into_iter().map(|(labels, value)| (labels, float(value))).collect())
    }
}

/// Evaluates the rules of a set, group by group, over a store into which they record.
pub(crate) struct Rules {
    pub(crate) set: RuleSet,
    pub(crate) engine: Engine,
}

impl Rules {
    pub(crate) fn new(set: RuleSet, now_ms: i64) -> Self {
        let settings = Settings { restart_hold: false, ..Settings::default() };
        let (engine, _) = Engine::restore(settings, &set, &SavedState::default(), at(now_ms));
        Self { set, engine }
    }

    pub(crate) fn of(text: &str, now_ms: i64) -> Self {
        let set = rules::load(&[("r.yml", text)]).unwrap_or_else(|e| panic!("{}\n{text}", e[0]));
        Self::new(set, now_ms)
    }

    /// Evaluates every rule at a slot.
    pub(crate) fn step(&mut self, store: &mut Store, slot_ms: i64) {
        for group in &self.set.groups {
            for rule in &group.rules {
                let found = instant(store, rule.expr.as_str(), slot_ms);
                let host = Host(store, at(slot_ms));
                let result = rule.apply(found, &BTreeMap::new(), "", &host);
                let step = self.engine.step(rule.id, at(slot_ms), result, Duration::ZERO);
                assert_eq!(step.error, None, "{}", rule.name);
                if let (RuleKind::Recording, Some(commit)) = (&rule.kind, step.commit) {
                    insert(store, &commit);
                }
            }
        }
    }

    /// The names of the alerts that fire.
    pub(crate) fn firing(&self) -> BTreeSet<String> {
        let active = self.engine.active_alerts().into_iter();
        active
            .filter(|alert| alert.state == AlertState::Firing)
            .map(|alert| alert.labels.value("alertname").to_string())
            .collect()
    }
}

fn insert(store: &mut Store, commit: &StateCommit) {
    for series in &commit.samples {
        for sample in &series.samples {
            store.insert(&series.labels, sample.timestamp_ms, sample.value.clone());
        }
    }
}

pub(crate) struct World {
    pub(crate) set: SloSet,
    pub(crate) settings: SloSettings,
    pub(crate) store: Store,
    pub(crate) engine: SloEngine,
    pub(crate) rules: Rules,
    pub(crate) log: MemoryLog,
}

impl World {
    pub(crate) fn new(text: &str, interval: i64, now_ms: i64) -> Self {
        let set = set_of(text);
        let interval = Duration::from_millis(interval as u64);
        let settings = SloSettings { interval, ..SloSettings::default() };
        let saved = SavedSlos::default();
        let (engine, restored) = SloEngine::restore(settings.clone(), &set, &saved, at(now_ms));
        assert_eq!(restored, slo::RestoredSlos::default());
        let alerts = slo::rules::alert_rules(&set).unwrap_or_else(|e| panic!("{}", e[0]));
        let rules = Rules::new(alerts, now_ms);
        Self { set, settings, store: Store::default(), engine, rules, log: MemoryLog::default() }
    }

    /// Adds samples of a counter, as (time, value).
    pub(crate) fn counter(&mut self, labels: &[(&str, &str)], points: &[(i64, f64)]) {
        let labels = Labels::from_pairs(labels.iter().copied());
        assert!(!labels.value(METRIC_NAME).is_empty());
        for (time, value) in points {
            self.store.insert(&labels, *time, SampleValue::Float(*value));
        }
    }

    pub(crate) fn commit(&mut self, commit: Option<StateCommit>) {
        let Some(commit) = commit else { return };
        insert(&mut self.store, &commit);
        assert_eq!(self.log.commit(commit), Committed::Applied);
    }

    /// One slot of the engine of objectives.
    pub(crate) fn slot(&mut self, slot_ms: i64) -> SloStep {
        let mut plan = self.engine.plan(at(slot_ms));
        let answers = all_answers(&self.store, &self.engine, &mut plan);
        let step = self.engine.step(&plan, &answers);
        self.commit(step.commit.clone());
        step
    }

    /// One slot of both engines.
    pub(crate) fn step(&mut self, slot_ms: i64) {
        let step = self.slot(slot_ms);
        assert_eq!(step.failures, []);
        self.rules.step(&mut self.store, slot_ms);
    }

    pub(crate) fn backfill(&mut self, now_ms: i64, history: i64) {
        let plans = history_plans(&mut self.engine, now_ms, Some(now_ms - history));
        self.fill(plans, now_ms);
    }

    /// Runs plans over history, and takes and commits the answers.
    pub(crate) fn fill(&mut self, plans: Vec<slo::Plan>, now_ms: i64) {
        for mut plan in plans {
            let answers = all_answers(&self.store, &self.engine, &mut plan);
            let step = self.engine.take_backfill(&plan, &answers, at(now_ms));
            assert_eq!(step.failures, []);
            self.commit(step.commit);
        }
    }

    /// The same, with queries that fail.
    pub(crate) fn fill_in_vain(&mut self, plan: &slo::Plan, now_ms: i64) {
        let failed = vec![Err("away".to_string()); plan.queries.len()];
        let step = self.engine.take_backfill(plan, &failed, at(now_ms));
        self.commit(step.commit);
    }

    /// A slot whose queries fail.
    pub(crate) fn slot_in_vain(&mut self, slot_ms: i64) {
        let plan = self.engine.plan(at(slot_ms));
        let failed = vec![Err("away".to_string()); plan.queries.len()];
        let step = self.engine.step(&plan, &failed);
        self.commit(step.commit);
    }

    pub(crate) fn saved(&self) -> SavedSlos {
        SavedSlos {
            slices: self.log.load(StateKind::SloSlice),
            notes: self.log.load(StateKind::Annotation),
            last_slots: self.log.last_slots.clone(),
        }
    }

    /// Loses everything in memory and starts from the log.
    pub(crate) fn restart(&mut self, now_ms: i64) {
        let (engine, restored) =
            SloEngine::restore(self.settings.clone(), &self.set, &self.saved(), at(now_ms));
        assert_eq!(restored.corrupt, []);
        self.engine = engine;
        self.commit(restored.commit);
    }
}
