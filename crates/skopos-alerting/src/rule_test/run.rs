//! Runs the test groups of a file: the real engine on a virtual clock, over series in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use skopos_model::storage::QueryBudget;
use skopos_model::{Labels, METRIC_NAME, Sample, SampleValue, Timestamp};
use skopos_promql::promqltest::{Store, same_histogram};
use skopos_promql::{EvalParams, Expr, ParseOptions, Plan, Value, evaluate};

use super::file::{AlertTest, ExprTest, FiringAlert, TestFile, TestGroup};
use super::report::{Item, alert_items, dump, sample_items};
use super::{Failure, FileReport, GroupReport, RuleFiles, RunOptions};
use crate::duration::format_duration;
use crate::engine::{AlertState, Engine, EvalFailure, SavedState, Settings};
use crate::rules::{self, RuleError, RuleGroup, RuleId, RuleSet};
use crate::template::TemplateHost;

/// Series by their elements, as a rule's expression returns them.
type Elements = Vec<(Labels, SampleValue)>;

/// Runs all groups that are asked for.
pub(super) fn run(
    file: &TestFile,
    files: &dyn RuleFiles,
    options: &RunOptions,
    report: &mut FileReport,
) {
    let wanted = |group: &&TestGroup| options.only.as_ref().is_none_or(|o| o.is_match(&group.name));
    let groups: Vec<&TestGroup> = file.groups.iter().filter(wanted).collect();
    report.skipped = file.groups.len() - groups.len();
    if groups.is_empty() {
        return;
    }
    let set = match load(file, files, options, report) {
        Ok(set) => set,
        Err(errors) => {
            report.errors = errors;
            return;
        }
    };
    let mut seen = Seen::default();
    for group in groups {
        let mut world = World::new(file, group, &set, options);
        report.groups.push(world.run(&mut seen));
    }
    let alerts: BTreeSet<&str> = set
        .groups
        .iter()
        .flat_map(|group| &group.rules)
        .filter(|rule| rule.alerting().is_some())
        .map(|rule| rule.name.as_str())
        .collect();
    let without = |names: &BTreeSet<String>| {
        alerts.iter().filter(|name| !names.contains(**name)).map(|name| (*name).into()).collect()
    };
    report.never_fired = without(&seen.fired);
    report.never_resolved = without(&seen.resolved);
}

/// Alerts that fired, and those that were over again.
#[derive(Default)]
struct Seen {
    fired: BTreeSet<String>,
    resolved: BTreeSet<String>,
}

fn load(
    file: &TestFile,
    files: &dyn RuleFiles,
    options: &RunOptions,
    report: &mut FileReport,
) -> Result<RuleSet, Vec<RuleError>> {
    let mut texts: Vec<(String, String)> = Vec::new();
    for pattern in &file.rule_files {
        match files.find(pattern) {
            Ok(found) if found.is_empty() => {
                report.warnings.push(format!("no file matches {pattern:?}"));
            }
            // A file that two patterns name is one file.
            Ok(found) => {
                for (path, text) in found {
                    if !texts.iter().any(|(known, _)| *known == path) {
                        texts.push((path, text));
                    }
                }
            }
            Err(message) => {
                return Err(vec![RuleError {
                    file: pattern.clone(),
                    line: 1,
                    column: 1,
                    width: 1,
                    code: "unreadable",
                    message,
                    hint: Some("paths in `rule_files` start at the test file".into()),
                    snippet: String::new(),
                }]);
            }
        }
    }
    let borrowed: Vec<_> = texts.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    rules::load_with(&borrowed, &options.language)
}

struct World<'a> {
    file: &'a TestFile,
    group: &'a TestGroup,
    options: &'a RunOptions,
    rule_groups: Vec<std::sync::Arc<RuleGroup>>,
    expressions: HashMap<RuleId, Expr>,
    engine: Engine,
    store: Store,
    /// How many points of each input series are in the store.
    loaded: Vec<usize>,
}

impl<'a> World<'a> {
    fn new(
        file: &'a TestFile,
        group: &'a TestGroup,
        set: &RuleSet,
        options: &'a RunOptions,
    ) -> Self {
        let settings = Settings {
            evaluation_interval: file.evaluation_interval,
            external_labels: group.external_labels.clone(),
            external_url: group.external_url.clone(),
            restart_hold: false,
            ..Settings::default()
        };
        let start = Timestamp::from_millis(group.start_ms);
        let (engine, _) = Engine::restore(settings, set, &SavedState::default(), start);
        let mut rule_groups = set.groups.clone();
        let order = |name: &str| file.group_eval_order.iter().position(|g| g == name).unwrap_or(0);
        rule_groups.sort_by_key(|group| order(&group.name));
        let rules = rule_groups.iter().flat_map(|group| &group.rules);
        let expressions = rules
            .filter_map(|rule| {
                let expr = skopos_promql::parse(rule.expr.as_str(), &options.language).ok()?;
                Some((rule.id, expr))
            })
            .collect();
        let loaded = vec![0; group.input.len()];
        let store = Store::default();
        Self { file, group, options, rule_groups, expressions, engine, store, loaded }
    }

    fn run(&mut self, seen: &mut Seen) -> GroupReport {
        let group = self.group;
        let mut report = GroupReport {
            name: group.name.clone(),
            line: group.line,
            alert_tests: group.alert_tests.len(),
            expr_tests: group.expr_tests.len(),
            ..GroupReport::default()
        };
        let interval = millis(self.file.evaluation_interval).max(1);
        let ats = group.alert_tests.iter().map(|t| t.at);
        let last = ats.chain(group.expr_tests.iter().map(|t| t.at)).max().unwrap_or_default();
        let mut passed = 0;
        while passed <= millis(last) {
            let slot = group.start_ms.saturating_add(passed);
            self.lay_down(slot);
            let failures = self.evaluate_rules(slot, seen);
            if !failures.is_empty() {
                report.failures.extend(failures);
                report.dump = self.dump();
                return report;
            }
            for test in &group.alert_tests {
                // A time between two evaluations is looked at as of the earlier.
                if (passed..passed.saturating_add(interval)).contains(&millis(test.at)) {
                    report.failures.extend(self.check_alert(test));
                }
            }
            passed = passed.saturating_add(interval);
        }
        for test in &group.expr_tests {
            report.failures.extend(self.check_expr(test));
        }
        report.dump = self.dump();
        report
    }

    /// Puts the input's samples up to a time into the store.
    fn lay_down(&mut self, until: i64) {
        let step = millis(self.group.interval).max(1);
        for ((labels, points), loaded) in self.group.input.iter().zip(&mut self.loaded) {
            while let Some(point) = points.get(*loaded) {
                let steps = i64::try_from(*loaded).unwrap_or(i64::MAX);
                let at = self.group.start_ms.saturating_add(step.saturating_mul(steps));
                if at > until {
                    break;
                }
                if let Some(value) = point {
                    self.store.insert(labels, at, value.clone());
                }
                *loaded += 1;
            }
        }
    }

    fn evaluate_rules(&mut self, slot: i64, seen: &mut Seen) -> Vec<Failure> {
        let mut failures = Vec::new();
        for group in self.rule_groups.clone() {
            let at = slot.saturating_sub(millis(group.query_offset.unwrap_or_default()));
            for rule in &group.rules {
                let found = match self.expressions.get(&rule.id) {
                    Some(expr) => self.elements(expr, at).map_err(EvalFailure::Query),
                    None => Err(EvalFailure::Query("the expression does not parse".into())),
                };
                let host = Host { world: self, at };
                let result = found.and_then(|elements| {
                    let Settings { external_labels, external_url, .. } = self.engine.settings();
                    rule.apply(elements, external_labels, external_url, &host)
                });
                let time = Timestamp::from_millis(slot);
                let step = self.engine.step(rule.id, time, result, Duration::ZERO);
                let mut error = step.error;
                for series in step.commit.into_iter().flat_map(|commit| commit.samples) {
                    for sample in series.samples {
                        error = error.or(self.record(&series.labels, sample));
                    }
                }
                for change in step.transitions {
                    if change.to == Some(AlertState::Firing) {
                        seen.fired.insert(rule.name.clone());
                    } else if change.from == Some(AlertState::Firing) {
                        seen.resolved.insert(rule.name.clone());
                    }
                }
                if let Some(error) = error {
                    let passed = slot.saturating_sub(self.group.start_ms);
                    failures.push(Failure {
                        line: self.group.line,
                        what: format!(
                            "rule {} at {} ({}:{})",
                            rule.name,
                            written(passed),
                            group.file,
                            rule.line
                        ),
                        message: Some(error),
                        ..Failure::default()
                    });
                }
            }
        }
        failures
    }

    /// Adds a sample that a rule made. Why it cannot be, if the input has another there.
    fn record(&mut self, labels: &Labels, sample: Sample) -> Option<String> {
        let Sample { timestamp_ms, value } = sample;
        if let Some((newest, known)) = self.store.samples(labels).and_then(|s| s.last_key_value())
            && *newest >= timestamp_ms
        {
            let is_same = *newest == timestamp_ms && *known == value;
            return match (is_same || value.is_stale(), *newest == timestamp_ms) {
                (true, _) => None,
                (false, true) => Some(format!("duplicate sample for timestamp: {labels}")),
                (false, false) => Some(format!("out of order sample: {labels}")),
            };
        }
        self.store.insert(labels, timestamp_ms, value);
        None
    }

    fn check_alert(&self, test: &AlertTest) -> Option<Failure> {
        let views = self.engine.view();
        let rules = views.iter().flat_map(|group| &group.rules);
        let alerts = rules
            .filter(|rule| rule.name == test.alert)
            .filter_map(|rule| rule.alerting.as_ref())
            .flat_map(|alerting| &alerting.alerts)
            .filter(|alert| alert.state == AlertState::Firing);
        let mut got: Vec<FiringAlert> = alerts
            .map(|alert| FiringAlert {
                labels: owned(&alert.labels),
                annotations: alert.annotations.clone(),
            })
            .collect();
        got.sort();
        if got == test.expected {
            return None;
        }
        let is_known = self.rule_groups.iter().flat_map(|g| &g.rules).any(|r| r.name == test.alert);
        let hint = if !is_known {
            Some(format!("no rule file has an alert named {:?}", test.alert))
        } else {
            self.pending_hint(&test.alert).filter(|_| got.len() < test.expected.len())
        };
        Some(Failure {
            line: test.line,
            what: format!("alert {} at {}", test.alert, format_duration(test.at)),
            expected: alert_items(&test.expected),
            got: alert_items(&got),
            message: None,
            hint,
        })
    }

    /// What to know about an alert that does not fire although its expression returns it.
    fn pending_hint(&self, name: &str) -> Option<String> {
        let view = self.engine.view();
        let rules = view.iter().flat_map(|group| &group.rules).filter(|rule| rule.name == name);
        for alerting in rules.filter_map(|rule| rule.alerting.as_ref()) {
            let pending = alerting.alerts.iter().find(|a| a.state == AlertState::Pending);
            if let Some(alert) = pending {
                let since = alert.active_at.as_millis().saturating_sub(self.group.start_ms);
                return Some(format!(
                    "an alert is pending since {} and fires once that is {} ago (`for`)",
                    written(since),
                    format_duration(alerting.hold)
                ));
            }
        }
        None
    }

    fn check_expr(&self, test: &ExprTest) -> Option<Failure> {
        let mut failure = Failure {
            line: test.line,
            what: format!("query {:?} at {}", test.expr, format_duration(test.at)),
            ..Failure::default()
        };
        let at = self.group.start_ms.saturating_add(millis(test.at));
        let parsed = skopos_promql::parse(&test.expr, &self.options.language);
        let found = parsed.map_err(|e| e.message).and_then(|expr| self.elements(&expr, at));
        let mut got = match found {
            Ok(got) => got,
            Err(message) => {
                failure.message = Some(message);
                return Some(failure);
            }
        };
        got.sort_by(|(a, _), (b, _)| a.cmp(b));
        let same = |((want, a), (label, b)): (&(Labels, SampleValue), &(Labels, SampleValue))| {
            want == label && self.is_same(a, b)
        };
        let want = &test.expected;
        if want.len() == got.len() && want.iter().zip(&got).all(same) {
            return None;
        }
        (failure.expected, failure.got) = (sample_items(want), sample_items(&got));
        failure.hint = hint(&failure.expected, &failure.got, want, &got);
        Some(failure)
    }

    fn is_same(&self, want: &SampleValue, got: &SampleValue) -> bool {
        let fuzzy = self.file.fuzzy_compare;
        let equal = |a: f64, b: f64| a == b || fuzzy && (a.next_up() == b || a.next_down() == b);
        match (want, got) {
            (SampleValue::Float(want), SampleValue::Float(got)) => equal(*want, *got),
            (SampleValue::Histogram(want), SampleValue::Histogram(got)) => {
                same_histogram(want, got, equal)
            }
            _ => false,
        }
    }

    fn elements(&self, expr: &Expr, at: i64) -> Result<Elements, String> {
        let subquery_step_ms = millis(self.file.evaluation_interval).max(1);
        let params = EvalParams { subquery_step_ms, ..EvalParams::instant(at) };
        let plan = Plan::new(expr, params).map_err(|e| e.to_string())?;
        let data = plan.selects().iter().map(|select| self.store.select(select)).collect();
        let result = evaluate(&plan, data, &QueryBudget::unlimited()).map_err(|e| e.to_string())?;
        match result.value {
            Value::Vector(samples) => {
                Ok(samples.into_iter().map(|s| (s.labels, s.value)).collect())
            }
            Value::Scalar { value, .. } => Ok(vec![(Labels::empty(), SampleValue::Float(value))]),
            _ => Err("rule result is not a vector or scalar".into()),
        }
    }

    fn dump(&self) -> Option<Vec<String>> {
        self.options.dump.then(|| dump(&self.store, self.group.start_ms))
    }
}

/// Answers the queries of templates.
struct Host<'a> {
    world: &'a World<'a>,
    at: i64,
}

impl TemplateHost for Host<'_> {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.at)
    }

    fn query(&self, expr: &str) -> Result<Vec<(Labels, f64)>, String> {
        let language: &ParseOptions = &self.world.options.language;
        let expr = skopos_promql::parse(expr, language).map_err(|error| error.message)?;
        let floats =
            self.world.elements(&expr, self.at)?.into_iter().filter_map(|(l, v)| match v {
                SampleValue::Float(value) => Some((l, value)),
                SampleValue::Histogram(_) => None,
            });
        Ok(floats.collect())
    }
}

/// What users commonly overlook when a query test fails.
fn hint(
    expected: &[Item],
    got: &[Item],
    want: &[(Labels, SampleValue)],
    found: &[(Labels, SampleValue)],
) -> Option<String> {
    let is_nan = |(_, v): &(Labels, SampleValue)| matches!(v, SampleValue::Float(v) if v.is_nan());
    let name = |(labels, _): &(Labels, SampleValue)| !labels.value(METRIC_NAME).is_empty();
    if want.iter().any(is_nan) {
        let text = "NaN equals nothing, as in promtool; query `x != x` and expect the series";
        return Some(text.into());
    }
    if expected == got {
        let text =
            "the numbers differ in their last digits; `fuzzy_compare: true` allows the last bit";
        return Some(text.into());
    }
    if want.len() == found.len() && want.iter().any(name) != found.iter().any(name) {
        return Some("the metric's name is on one side only; functions drop it".into());
    }
    None
}

fn owned(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn written(ms: i64) -> String {
    format_duration(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
