//! Alerting: rules, the state of alerts, and the notifications they cause.
//!
//! What it is: [`rules`] reads Prometheus' rule files and says precisely what is wrong with them;
//! [`builtin`] are the rules that come with Skopos; [`rule_test`] runs tests of rule files in
//! promtool's format, [`backtest`] says when rules would have fired, and [`noise`] how noisy alerts
//! were and whether anybody acted on them; [`template`] is Go's template language; [`Engine`] turns the results of queries into alert states and recorded series;
//! [`slo`] keeps service level objectives and their error budgets;
//! [`notify::Dispatcher`] routes, groups and mutes alerts as Alertmanager does and decides whom to
//! tell; [`notify::DeliveryQueue`] says what to send when.
//!
//! What it is not: it has no storage, no HTTP, no timers, no runtime and no clock. It computes what
//! is due and what changed; the server sleeps, queries, commits and delivers.
//!
//! What it promises:
//! - One evaluation of one rule is one commit, named by rule and slot; replaying it changes nothing.
//! - The state restored from committed records is the state that was committed, for any `for`.
//! - An intent to notify is durable before it is sent, and carries the same key when repeated.
//! - A failing query, a broken template or our own downtime never resolves a firing alert.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::time::Duration;
//!
//! use skopos_alerting::template::NoQueries;
//! use skopos_alerting::{AlertState, Engine, SavedState, Settings, rules};
//! use skopos_model::{Labels, SampleValue, Timestamp};
//!
//! let file = "
//! groups:
//! - name: api
//!   rules:
//!   - alert: Down
//!     expr: up == 0
//!     for: 30s
//!     annotations: {summary: '{{ $labels.job }} is down'}
//! ";
//! let set = rules::load(&[("api.yml", file)]).unwrap();
//! let start = Timestamp::from_secs(1_700_000_000);
//! let (mut engine, _) = Engine::restore(Settings::default(), &set, &SavedState::default(), start);
//!
//! let rule = set.groups[0].rules[0].clone();
//! let mut slot = start;
//! for _ in 0..3 {
//!     // The server runs `rule.expr` at the slot; here the answer is always the same.
//!     let answer = vec![(Labels::from_pairs([("job", "shop")]), SampleValue::Float(0.0))];
//!     let result = rule.apply(answer, &BTreeMap::new(), "", &NoQueries(slot));
//!     let step = engine.step(rule.id, slot, result, Duration::from_millis(2));
//!     assert!(step.commit.is_some(), "the server makes this durable");
//!     slot = slot.saturating_add(Duration::from_secs(15));
//! }
//! let alert = &engine.active_alerts()[0];
//! assert_eq!(alert.state, AlertState::Firing);
//! assert_eq!(alert.annotations["summary"], "shop is down");
//! ```

pub mod alertmanager;
pub mod backtest;
pub mod builtin;
mod codec;
mod duration;
mod engine;
pub mod noise;
pub mod notify;
pub mod rule_test;
pub mod rules;
pub mod slo;
pub mod template;

pub use codec::DecodeError;
pub use duration::{InvalidDuration, format_duration, parse_duration};
pub use engine::{
    AlertOutcome, AlertState, AlertView, AlertingView, CorruptRecord, Engine, EvalFailure,
    Evaluated, Evaluation, GroupView, Health, Loaded, NextSlot, NoData, NotificationSettings,
    OnError, Policies, REASON_LABEL, RELOAD_SOURCE, ReadStats, Reason, RulePolicy, RuleStep,
    RuleView, SavedState, Schedule, SentAlert, Settings, Transition, UnknownPolicy,
    fuzz_state_records,
};
