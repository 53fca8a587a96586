//! One group: its slots, and the evaluation of its rules: in the order of the file where one reads
//! what another writes, a few at a time where nobody can tell the difference.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use skopos_alerting::rules::{Rule, RuleGroup};
use skopos_alerting::template::TemplateHost;
use skopos_alerting::{AlertState, EvalFailure, Evaluated, ReadStats, RuleStep, Schedule};
use skopos_model::{Labels, SampleValue, Timestamp};
use skopos_promql::value::Value;
use tokio_util::sync::CancellationToken;

use super::Inner;
use crate::query::{QueryClass, QueryEngine, QueryOptions};

/// How an evaluation ended.
enum Outcome {
    /// What follows from it is durable.
    Durable,
    /// The rule was evaluated at this slot or a later one before.
    Skipped,
    /// The server stops.
    Stopped,
}

impl Inner {
    /// Evaluates the group at its slots until told to stop.
    pub(super) async fn run_group(
        self: Arc<Self>,
        index: usize,
        group: &RuleGroup,
        schedule: Schedule,
        stop: &CancellationToken,
    ) {
        let waves = group.waves();
        let mut slot = schedule.first(self.clock.now());
        let mut missed = 0;
        // Whether a clock that was set back has been reported.
        let mut told = false;
        loop {
            let wait = slot.since(self.clock.now());
            if wait > schedule.interval() {
                self.note_skipped(group, group.rules.len(), &mut told);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                // At most an interval: the clock may be put right again meanwhile.
                () = tokio::time::sleep(wait.min(schedule.interval())) => {}
            }
            if self.clock.now() < slot {
                // The wall clock was set back, or tokio woke a little early: wait on.
                continue;
            }
            let begun = self.clock.monotonic();
            let mut skipped = 0;
            for wave in &waves {
                match self.evaluate_wave(group, wave, slot, stop).await {
                    Some(so_many) => skipped += so_many,
                    None => return,
                }
            }
            if skipped > 0 {
                self.note_skipped(group, skipped, &mut told);
            } else {
                told = false;
            }
            let took = self.clock.monotonic().saturating_sub(begun);
            self.lock_engine().finish_slot(index, slot, took, missed);
            self.end_retired().await;
            self.metrics.missed.add(missed);
            self.metrics.duration.observe_duration(took);
            let next = schedule.next(slot, self.clock.now());
            (slot, missed) = (next.slot, next.missed);
            if missed > 0 {
                tracing::warn!(group = %group.name, missed, "evaluation took longer than the interval, slots were missed");
            }
        }
    }

    /// Evaluates rules that do not touch each other, a few at a time. Says how many were skipped;
    /// nothing when the server stops.
    async fn evaluate_wave(
        &self,
        group: &RuleGroup,
        wave: &[usize],
        slot: Timestamp,
        stop: &CancellationToken,
    ) -> Option<usize> {
        let mut waiting = wave.iter().filter_map(|at| group.rules.get(*at));
        let mut running = FuturesUnordered::new();
        let mut skipped = 0;
        loop {
            while running.len() < self.concurrency && !stop.is_cancelled() {
                let Some(rule) = waiting.next() else { break };
                running.push(self.evaluate(group, rule, slot));
            }
            match running.next().await {
                Some(Outcome::Durable) => {}
                Some(Outcome::Skipped) => skipped += 1,
                Some(Outcome::Stopped) => return None,
                None => return (!stop.is_cancelled()).then_some(skipped),
            }
        }
    }

    /// Counts evaluations that a clock set back prevents, and says so once until it is put right.
    fn note_skipped(&self, group: &RuleGroup, rules: usize, told: &mut bool) {
        self.metrics.skipped.add(rules as u64);
        if !std::mem::replace(told, true) {
            tracing::warn!(group = %group.name, "the clock was set back, rules wait until it passes the last slot that was evaluated");
        }
    }

    /// Ends the series of rules that went two intervals ago.
    async fn end_retired(&self) {
        if !self.lock_engine().has_retired(self.clock.now()) {
            return;
        }
        let _order = self.commit_order.lock().await;
        let commit = self.lock_engine().end_retired(self.clock.now());
        self.commit(commit.as_ref()).await;
    }

    /// Evaluates one rule at a slot and makes everything that follows durable.
    async fn evaluate(&self, group: &RuleGroup, rule: &Arc<Rule>, slot: Timestamp) -> Outcome {
        let begun = self.clock.monotonic();
        let at = slot.saturating_sub(group.query_offset.unwrap_or(self.query_offset));
        let result = match self.query(rule, at).await {
            // Templates speak of the slot, whatever the offset of the data.
            Ok((elements, read)) => {
                self.apply(rule, elements, slot).await.map(|evaluated| evaluated.with_read(read))
            }
            Err(failure) => Err(failure),
        };
        let result = match result {
            Ok(evaluated) if !self.is_answered_by_fresh_data(rule, at).await => {
                Ok(evaluated.without_fresh_data())
            }
            result => result,
        };
        let took = self.clock.monotonic().saturating_sub(begun);
        self.metrics.evaluations.inc();
        if result.is_err() {
            self.metrics.failures.inc();
        }
        let order = self.commit_order.lock().await;
        let step = self.lock_engine().step(rule.id, slot, result, took);
        let durable = self.commit(step.commit.as_ref()).await;
        drop(order);
        if step.skipped {
            return Outcome::Skipped;
        }
        if !durable {
            return Outcome::Stopped;
        }
        report(rule, &step);
        self.report_unrendered(&step.unrendered);
        self.delivering.accept(step.intents).await;
        self.handover.push(step.sends);
        self.dispatcher_changed.notify_one();
        Outcome::Durable
    }

    /// Whether an empty result means anything: it does not while an alert is held and nothing that
    /// the rule reads has arrived since the start.
    async fn is_answered_by_fresh_data(&self, rule: &Rule, at: Timestamp) -> bool {
        if !self.lock_engine().awaits_fresh_data(rule.id) {
            return true;
        }
        let (since, at) = (self.started_at.as_millis() + 1, at.as_millis());
        // A query that fails shows nothing; the hold ends after an hour at the latest.
        self.queries.has_samples(rule.expr.as_str(), since, at).await.unwrap_or(false)
    }

    async fn query(
        &self,
        rule: &Rule,
        at: Timestamp,
    ) -> Result<(Vec<(Labels, SampleValue)>, ReadStats), EvalFailure> {
        let options = QueryOptions { class: QueryClass::Rule, ..QueryOptions::default() };
        let selectors = rule.expr.selectors().iter().map(|s| s.matchers.clone()).collect();
        let query = rule.expr.as_str();
        let answer = self.queries.instant_counted(query, at.as_millis(), &options, selectors).await;
        let (answer, series) = answer.map_err(|error| EvalFailure::Query(error.to_string()))?;
        let read = ReadStats { series, samples: answer.result.stats.samples };
        let elements = match answer.result.value {
            Value::Vector(samples) => samples.into_iter().map(|s| (s.labels, s.value)).collect(),
            Value::Scalar { value, .. } => vec![(Labels::empty(), SampleValue::Float(value))],
            other => {
                let kind = other.value_type();
                let message = format!("rule result is not a vector or scalar: {kind:?}");
                return Err(EvalFailure::Query(message));
            }
        };
        Ok((elements, read))
    }

    async fn apply(
        &self,
        rule: &Arc<Rule>,
        elements: Vec<(Labels, SampleValue)>,
        at: Timestamp,
    ) -> Result<Evaluated, EvalFailure> {
        let host = Host {
            at,
            queries: Arc::clone(&self.queries),
            runtime: tokio::runtime::Handle::current(),
        };
        if !rule.queries_in_templates() {
            return rule.apply(elements, &self.external_labels, &self.external_url, &host);
        }
        let rule = Arc::clone(rule);
        let (labels, url) = (self.external_labels.clone(), self.external_url.clone());
        let applied =
            tokio::task::spawn_blocking(move || rule.apply(elements, &labels, &url, &host)).await;
        applied.unwrap_or_else(|error| Err(EvalFailure::Query(error.to_string())))
    }
}

/// Answers queries of templates; only ever asked on the blocking pool.
struct Host {
    at: Timestamp,
    queries: Arc<QueryEngine>,
    runtime: tokio::runtime::Handle,
}

impl TemplateHost for Host {
    fn now(&self) -> Timestamp {
        self.at
    }

    fn query(&self, expr: &str) -> Result<Vec<(Labels, f64)>, String> {
        let options = QueryOptions { class: QueryClass::Rule, ..QueryOptions::default() };
        let query = self.queries.instant(expr, self.at.as_millis(), &options);
        let answer = self.runtime.block_on(query).map_err(|error| error.to_string())?;
        match answer.result.value {
            Value::Vector(samples) => {
                let element = |(labels, value)| match value {
                    SampleValue::Float(value) => Some((labels, value)),
                    SampleValue::Histogram(_) => None,
                };
                Ok(samples.into_iter().map(|s| (s.labels, s.value)).filter_map(element).collect())
            }
            Value::Scalar { value, .. } => Ok(vec![(Labels::empty(), value)]),
            _ => Err("the query returns neither a vector nor a scalar".into()),
        }
    }
}

fn report(rule: &Rule, step: &RuleStep) {
    if let Some(error) = &step.error {
        tracing::warn!(rule = %rule.name, %error, "rule evaluation failed");
    }
    for transition in &step.transitions {
        let word = |state: Option<AlertState>| state.map_or("none", AlertState::as_str);
        let (from, to) = (word(transition.from), word(transition.to));
        tracing::info!(alert = %rule.name, labels = %transition.labels, from, to, "alert changed");
    }
}
