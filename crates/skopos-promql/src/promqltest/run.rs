//! Runs the commands of a script.

use skopos_model::storage::QueryBudget;

use super::compare;
use super::script::{Command, Eval, ScriptError, When, parse as parse_script};
use super::store::{Store, with_custom_buckets};
use crate::ast::{AtModifier, Expr, ExprKind, ValueType};
use crate::functions::FunctionKind;
use crate::plan::{EvalParams, Plan};
use crate::span::{LineColumn, Span};
use crate::value::{QueryResult, Value, VectorSample};
use crate::{ParseOptions, evaluate, parse};

/// What a script came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One per `eval`, in order.
    pub cases: Vec<Case>,
}

impl Report {
    /// How many cases passed.
    pub fn passed(&self) -> usize {
        self.cases.iter().filter(|c| c.failure.is_none()).count()
    }
}

/// One `eval`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Line of the `eval`, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// What differed; `None` when all was as expected.
    pub failure: Option<String>,
}

/// Runs a script. Unreadable scripts are an error; cases that fail are part of the report.
pub fn run(script: &str) -> Result<Report, ScriptError> {
    let mut store = Store::default();
    let mut report = Report::default();
    for command in parse_script(script)? {
        match command {
            Command::Clear => store.clear(),
            Command::Load { step_ms, with_custom_buckets: custom, series, starts } => {
                for (labels, offsets) in &starts {
                    store.load_starts(step_ms, labels, offsets);
                }
                for (labels, points) in &series {
                    store.load(step_ms, labels, points);
                }
                if custom {
                    for (labels, points) in &with_custom_buckets(&series) {
                        store.load(step_ms, labels, points);
                    }
                }
            }
            Command::Eval(eval) => {
                let failure = check(&store, &eval).err();
                let (line, query) = (eval.line, eval.query);
                report.cases.push(Case { line, query, failure });
            }
        }
    }
    Ok(report)
}

fn params(mut params: EvalParams) -> EvalParams {
    params.delayed_name_removal = true;
    params.start_timestamps = true;
    params
}

/// A query that failed, and where in it when that is known.
struct Failed {
    message: String,
    span: Option<Span>,
}

impl Failed {
    /// The message with line and column in the query.
    fn at(&self, query: &str) -> String {
        match self.span {
            Some(span) => format!("{}: {}", LineColumn::of(query, span.start), self.message),
            None => self.message.clone(),
        }
    }
}

impl From<Failed> for String {
    fn from(failed: Failed) -> Self {
        failed.message
    }
}

fn query(store: &Store, expr: &Expr, with: EvalParams) -> Result<QueryResult, Failed> {
    let plan = Plan::new(expr, params(with))
        .map_err(|e| Failed { message: e.to_string(), span: e.span() })?;
    let data = plan.selects().iter().map(|s| store.select(s)).collect();
    evaluate(&plan, data, &QueryBudget::unlimited())
        .map_err(|e| Failed { message: e.to_string(), span: e.span() })
}

fn check(store: &Store, eval: &Eval) -> Result<(), String> {
    let parsed = parse(&eval.query, &ParseOptions::all())
        .map_err(|e| Failed { message: e.message, span: Some(e.span) });
    let with = match eval.when {
        When::Instant(time_ms) => EvalParams::instant(time_ms),
        When::Range { start_ms, end_ms, step_ms } => EvalParams::range(start_ms, end_ms, step_ms),
    };
    let result = parsed.and_then(|expr| Ok((query(store, &expr, with)?, expr)));
    let (result, expr) = match (result, &eval.expect.fail) {
        (Err(failed), Some(expected)) if expected.accepts(&failed.message) => return Ok(()),
        (Err(failed), Some(_)) => {
            return Err(format!("failed with another error: {}", failed.at(&eval.query)));
        }
        (Err(failed), None) => return Err(format!("failed: {}", failed.at(&eval.query))),
        (Ok(_), Some(_)) => return Err("expected a failure".into()),
        (Ok(found), None) => found,
    };
    compare::annotations(eval, &result.annotations)?;
    match eval.when {
        When::Instant(time_ms) => {
            compare_instant(eval, &result)?;
            instant_variants(store, eval, &expr, time_ms)
        }
        When::Range { start_ms, step_ms, .. } => match &result.value {
            Value::Matrix(got) => compare::matrix(&eval.expect.series, start_ms, step_ms, got),
            other => Err(format!("range query yields {:?}", other.value_type())),
        },
    }
}

fn compare_instant(eval: &Eval, result: &QueryResult) -> Result<(), String> {
    match &result.value {
        Value::Scalar { value, .. } => compare::scalar(&eval.expect, *value),
        Value::Vector(got) => compare::vector(&eval.expect, got),
        Value::String { value, .. } => match &eval.expect.string {
            Some(want) if want == value => Ok(()),
            want => Err(format!("expected string {want:?} but got {value:?}")),
        },
        Value::Matrix(got) => match eval.expect.matrix {
            Some((start_ms, _, step_ms)) => {
                compare::matrix(&eval.expect.series, start_ms, step_ms, got)
            }
            None => Err("got a range vector".into()),
        },
    }
}

/// The same case as a step of a range query, and with the evaluation time pinned by `@`.
fn instant_variants(store: &Store, eval: &Eval, expr: &Expr, time_ms: i64) -> Result<(), String> {
    let simple = matches!(expr.value_type(), ValueType::Scalar | ValueType::Vector);
    if !simple || mentions_query_bounds(expr) {
        return Ok(());
    }
    as_range_step(store, eval, expr, time_ms).map_err(|m| format!("as a range query: {m}"))?;
    if changes_with_time(expr) {
        return Ok(());
    }
    let pinned = pin(expr.clone(), time_ms);
    for other in [-10 * time_ms, 0, time_ms / 5, time_ms, 10 * time_ms] {
        let wrap = |m| format!("pinned by @ and evaluated at {other} ms: {m}");
        let result = query(store, &pinned, EvalParams::instant(other));
        let result = result.map_err(|failed| wrap(failed.message))?;
        compare_instant(eval, &result).map_err(wrap)?;
        as_range_step(store, eval, &pinned, other)
            .map_err(|m| wrap(format!("as a range query: {m}")))?;
    }
    Ok(())
}

fn as_range_step(store: &Store, eval: &Eval, expr: &Expr, time_ms: i64) -> Result<(), String> {
    const STEP_MS: i64 = 60_000;
    let with = EvalParams::range(time_ms - STEP_MS, time_ms + STEP_MS, STEP_MS);
    let result = query(store, expr, with)?;
    let Value::Matrix(series) = result.value else { return Err("not a matrix".into()) };
    if eval.expect.ordered {
        return Ok(());
    }
    let mut vector = Vec::new();
    for series in series {
        if let Some(sample) = series.samples.into_iter().find(|s| s.timestamp_ms == time_ms) {
            let (labels, value) = (series.labels, sample.value);
            vector.push(VectorSample { labels, timestamp_ms: time_ms, value });
        }
    }
    match (expr.value_type(), vector.as_slice()) {
        (ValueType::Scalar, [VectorSample { value: skopos_model::SampleValue::Float(v), .. }]) => {
            compare::scalar(&eval.expect, *v)
        }
        _ => compare::vector(&eval.expect, &vector),
    }
}

/// Whether the query looks at its own start, end, step or range.
fn mentions_query_bounds(expr: &Expr) -> bool {
    let text = expr.to_string();
    ["start()", "end()", "step()", "range()"].iter().any(|word| text.contains(word))
}

fn changes_with_time(expr: &Expr) -> bool {
    crate::ast::functions(expr).iter().any(|(_, func)| {
        matches!(func.kind, FunctionKind::Date(_) | FunctionKind::Time | FunctionKind::Timestamp)
            || func.name == "predict_linear"
    })
}

/// Puts `@ time` on every selector and subquery that has none. What is within a subquery moves
/// with it.
fn pin(mut expr: Expr, time_ms: i64) -> Expr {
    pin_in_place(&mut expr, time_ms);
    expr
}

fn pin_in_place(expr: &mut Expr, time_ms: i64) {
    let pinned = AtModifier::Time(time_ms);
    match &mut expr.kind {
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
            selector.at.get_or_insert(pinned);
        }
        ExprKind::Subquery(subquery) => {
            subquery.at.get_or_insert(pinned);
        }
        ExprKind::Call(call) => {
            // The second argument of `info` is no selector of its own.
            let own = if matches!(call.func.kind, FunctionKind::Info) { 1 } else { usize::MAX };
            call.args.iter_mut().take(own).for_each(|arg| pin_in_place(arg, time_ms));
        }
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.iter_mut().for_each(|param| pin_in_place(param, time_ms));
            pin_in_place(&mut aggregate.expr, time_ms);
        }
        ExprKind::Binary(binary) => {
            pin_in_place(&mut binary.lhs, time_ms);
            pin_in_place(&mut binary.rhs, time_ms);
        }
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => pin_in_place(expr, time_ms),
        ExprKind::Number(_) | ExprKind::String(_) => {}
    }
}
