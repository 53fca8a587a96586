//! The evaluator's interface: what a plan asks for, budgets, annotations, kinds of results.

use std::sync::Arc;
use std::time::Duration;

use skopos_model::storage::{BudgetLimit, QueryBudget, SelectedSeries, SeriesSelect, SeriesSet};
use skopos_model::{Labels, STALE_NAN, Sample, SampleValue, SystemClock};
use skopos_promql::{
    EvalError, EvalParams, ParseOptions, Plan, PlanError, QueryResult, Value, evaluate, parse,
};

type Data = Vec<(Labels, Vec<Sample>)>;

fn series(name: &str, pairs: &[(&str, &str)], samples: &[(i64, f64)]) -> (Labels, Vec<Sample>) {
    let labels = Labels::from_pairs(pairs.iter().copied().chain([("__name__", name)]));
    (labels, samples.iter().map(|(t, v)| Sample::float(*t, *v)).collect())
}

fn select(data: &Data, select: &SeriesSelect) -> SeriesSet {
    let matches =
        |labels: &Labels| select.matchers.iter().all(|m| m.matches(labels.value(m.name())));
    let mut set = SeriesSet::default();
    for (labels, samples) in data.iter().filter(|(labels, _)| matches(labels)) {
        // Exactly what was asked for, so that a plan that asks for too little shows.
        let asked = |s: &&Sample| (select.start_ms..=select.end_ms).contains(&s.timestamp_ms);
        let samples: Vec<Sample> = samples.iter().filter(asked).cloned().collect();
        set.series.push(SelectedSeries { labels: labels.clone(), samples: Arc::new(samples) });
    }
    set.series.sort_by(|a, b| a.labels.cmp(&b.labels));
    set
}

fn plan(query: &str, params: EvalParams) -> Plan {
    Plan::new(&parse(query, &ParseOptions::all()).unwrap(), params).unwrap()
}

fn run_with(
    data: &Data,
    query: &str,
    params: EvalParams,
    budget: &QueryBudget,
) -> Result<QueryResult, EvalError> {
    let plan = plan(query, params);
    let sets = plan.selects().iter().map(|s| select(data, s)).collect();
    evaluate(&plan, sets, budget)
}

fn run(data: &Data, query: &str, params: EvalParams) -> QueryResult {
    run_with(data, query, params, &QueryBudget::unlimited()).unwrap()
}

fn minutes(n: i64) -> i64 {
    n * 60_000
}

#[test]
fn a_plan_asks_for_exactly_the_samples_it_needs() {
    // 10 to 20 minutes, each minute. Times are milliseconds; left ends are exclusive.
    let params = EvalParams::range(minutes(10), minutes(20), minutes(1));
    for (query, from, to, func, range) in [
        ("m", minutes(5) + 1, minutes(20), "", 0),
        ("m offset 2m", minutes(3) + 1, minutes(18), "", 0),
        ("m offset -2m", minutes(7) + 1, minutes(22), "", 0),
        ("m @ 60", minutes(-4) + 1, minutes(1), "", 0),
        ("m @ end()", minutes(15) + 1, minutes(20), "", 0),
        ("m @ start() offset 1m", minutes(4) + 1, minutes(9), "", 0),
        ("rate(m[3m])", minutes(7) + 1, minutes(20), "rate", minutes(3)),
        ("rate(m[3m] offset 1m)", minutes(6) + 1, minutes(19), "rate", minutes(3)),
        ("sum(m)", minutes(5) + 1, minutes(20), "sum", 0),
        // Inner steps at multiples of 2 minutes in (10 - 3, 20]: 8 … 20.
        ("max_over_time(m[3m:2m])", minutes(3) + 1, minutes(20), "max_over_time", 0),
        ("max_over_time(rate(m[1m])[3m:2m])", minutes(7) + 1, minutes(20), "rate", minutes(1)),
        ("max_over_time(m[3m:2m] @ 0)", minutes(-7) + 1, 0, "max_over_time", 0),
    ] {
        let plan = plan(query, params);
        let [select] = plan.selects() else { panic!("{query}: {:?}", plan.selects()) };
        assert_eq!((select.start_ms, select.end_ms), (from, to), "{query}");
        assert_eq!(select.hints.func, func, "{query}");
        assert_eq!(select.hints.range_ms, range, "{query}");
        assert_eq!(select.hints.step_ms, minutes(1), "{query}");
    }
}

#[test]
fn lookback_is_left_open_and_stale_markers_end_a_series() {
    let data = vec![
        series("m", &[], &[(30_000, 1.0)]),
        series("n", &[], &[(0, 1.0), (60_000, STALE_NAN), (120_000, f64::NAN)]),
    ];
    let present = |query: &str, at: i64| match run(&data, query, EvalParams::instant(at)).value {
        Value::Vector(vector) => vector.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(present("m", 329_999), 1);
    assert_eq!(present("m", 330_000), 0);
    assert_eq!(present("m", 29_999), 0);
    assert_eq!(present("n", 59_999), 1);
    assert_eq!(present("n", 60_000), 0);
    assert_eq!(present("n", 120_000), 1, "an ordinary NaN is a value");
    let counted = run(&data, "count_over_time(n[5m])", EvalParams::instant(120_000)).value;
    let Value::Vector(counted) = counted else { panic!() };
    assert_eq!(counted[0].value, SampleValue::Float(2.0));
}

#[test]
fn each_kind_of_expression_has_its_kind_of_result() {
    let data = vec![series("m", &[("a", "b")], &[(0, 1.0), (30_000, 2.0)])];
    let instant = EvalParams::instant(60_000);
    assert_eq!(
        run(&data, "1 + 1", instant).value,
        Value::Scalar { timestamp_ms: 60_000, value: 2.0 }
    );
    assert_eq!(
        run(&data, "\"x\"", instant).value,
        Value::String { timestamp_ms: 60_000, value: "x".into() }
    );
    let Value::Matrix(raw) = run(&data, "m[1m]", instant).value else { panic!() };
    assert_eq!(raw[0].samples, [Sample::float(30_000, 2.0)]);
    assert_eq!(raw[0].labels.to_string(), "m{a=\"b\"}");
    let range = EvalParams::range(0, 60_000, 30_000);
    let Value::Matrix(scalars) = run(&data, "time()", range).value else { panic!() };
    assert_eq!(scalars[0].labels, Labels::empty());
    let values: Vec<_> = scalars[0].samples.iter().map(|s| s.value.clone()).collect();
    assert_eq!(values, [0.0, 30.0, 60.0].map(SampleValue::Float));
    let expr = parse("m[1m]", &ParseOptions::all()).unwrap();
    assert!(matches!(Plan::new(&expr, range), Err(PlanError::NotForRangeQuery(_))));
}

#[test]
fn parameters_without_sense_are_refused() {
    let expr = parse("m", &ParseOptions::all()).unwrap();
    let refused = |params| Plan::new(&expr, params).unwrap_err();
    assert_eq!(refused(EvalParams::range(10, 0, 1)), PlanError::EndBeforeStart);
    assert_eq!(refused(EvalParams::range(0, 10, 0)), PlanError::BadStep);
    assert_eq!(refused(EvalParams::range(0, 10, -1)), PlanError::BadStep);
    let params = EvalParams::range(0, 11_001, 1);
    assert!(params.check_points(11_000).is_err());
    assert!(EvalParams::range(0, 11_000, 1).check_points(11_000).is_ok());
    let zero = parse("m[1m - 1m]", &ParseOptions::all()).unwrap();
    assert!(matches!(Plan::new(&zero, EvalParams::instant(0)), Err(PlanError::BadDuration { .. })));
}

#[test]
fn metric_names_go_at_once_by_default() {
    let data =
        vec![series("a", &[("x", "1")], &[(0, 1.0)]), series("b", &[("x", "1")], &[(0, 2.0)])];
    let error = run_with(
        &data,
        "abs({__name__=~\"a|b\"})",
        EvalParams::instant(0),
        &QueryBudget::unlimited(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("same labelset"), "{error}");
    let by_name = run(&data, "sum by (__name__) (-a)", EvalParams::instant(0)).value;
    let Value::Vector(by_name) = by_name else { panic!() };
    assert_eq!(by_name[0].labels, Labels::empty());
}

#[test]
fn annotations_carry_their_place() {
    let data = vec![series("m", &[], &[(0, 1.0), (60_000, 2.0)])];
    let query = "sum(\n  rate(m[5m]))";
    let result = run(&data, query, EvalParams::instant(60_000));
    assert_eq!(
        result.annotations.infos(query),
        [
            "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"m\" (2:8)"
        ]
    );
    assert!(result.annotations.warnings(query).is_empty());
}

#[test]
fn budgets_stop_queries_by_name() {
    let samples: Vec<(i64, f64)> = (0..100).map(|i| (i * 1000, 1.0)).collect();
    let data = vec![series("m", &[], &samples)];
    let clock = Arc::new(SystemClock::new());
    let limit = |max_samples, max_bytes, timeout| {
        let limit = BudgetLimit { timeout, max_samples, max_bytes, ..BudgetLimit::default() };
        QueryBudget::new(limit, clock.clone())
    };
    let params = EvalParams::range(0, 99_000, 1000);
    let failure = |budget: &QueryBudget| match run_with(&data, "m", params, budget) {
        Err(EvalError::Budget(error)) => error.message,
        other => panic!("{other:?}"),
    };
    assert!(failure(&limit(50, u64::MAX, None)).contains("max_samples = 50"));
    assert!(failure(&limit(1000, 100, None)).contains("max_bytes = 100"));
    assert!(failure(&limit(1000, u64::MAX, Some(Duration::ZERO))).contains("timeout"));
    let cancelled = QueryBudget::unlimited();
    cancelled.cancel();
    assert!(failure(&cancelled).contains("cancelled"));
    let enough = limit(100, 1 << 20, None);
    let result = run_with(&data, "m", params, &enough).unwrap();
    assert_eq!((result.stats.samples, result.stats.series, result.stats.steps), (100, 1, 100));
    assert_eq!(enough.samples_used(), 100);
}

#[test]
fn wrong_data_is_an_error() {
    let plan = plan("m", EvalParams::instant(0));
    let error = evaluate(&plan, Vec::new(), &QueryBudget::unlimited()).unwrap_err();
    assert!(matches!(error, EvalError::WrongData { wanted: 1, given: 0 }));
}

#[test]
fn matching_fails_only_where_both_duplicates_are_present() {
    let data = vec![
        series("left", &[("k", "1")], &[(0, 1.0), (600_000, 1.0)]),
        series("right", &[("k", "1"), ("v", "a")], &[(0, 10.0)]),
        series("right", &[("k", "1"), ("v", "b")], &[(600_000, 20.0)]),
    ];
    let query = "left * on(k) right";
    let Value::Matrix(fine) = run(&data, query, EvalParams::range(0, 600_000, 300_000)).value
    else {
        panic!()
    };
    let values: Vec<_> =
        fine[0].samples.iter().map(|s| (s.timestamp_ms, s.value.clone())).collect();
    let want = [(0, SampleValue::Float(10.0)), (600_000, SampleValue::Float(20.0))];
    assert_eq!(values, want);
    let mut clash = data.clone();
    clash[2].1.insert(0, Sample::float(0, 5.0));
    let error =
        run_with(&clash, query, EvalParams::instant(0), &QueryBudget::unlimited()).unwrap_err();
    let message = error.to_string();
    let group = "found duplicate series for the match group {k=\"1\"} on the right hand-side of the operation: [{__name__=\"right\", k=\"1\", v=\"b\"}, {__name__=\"right\", k=\"1\", v=\"a\"}]";
    assert!(message.starts_with(group), "{message}");
    assert_eq!(error.span().map(|span| span.text(query)), Some(query));
}

#[test]
fn plans_and_trees_can_cross_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Plan>();
    check::<QueryResult>();
    check::<EvalError>();
    check::<skopos_promql::Expr>();
    check::<skopos_promql::ParseError>();
}

#[test]
fn the_longest_and_deepest_queries_fit_a_small_stack() {
    let data = vec![series("up", &[], &[(0, 1.0)])];
    let chain = format!("up{}", " + up".repeat(1_000));
    let value = |query: &str| match run(&data, query, EvalParams::instant(0)).value {
        Value::Vector(vector) => vector[0].value.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(value(&chain), SampleValue::Float(1_001.0));
    let deep = format!("{}up{}", "abs(".repeat(120), ")".repeat(120));
    assert_eq!(value(&deep), SampleValue::Float(1.0));
}

#[test]
fn endless_subqueries_are_refused_or_stopped() {
    let expr = parse("vector(1)[290y:1ms]", &ParseOptions::all()).unwrap();
    assert!(matches!(
        Plan::new(&expr, EvalParams::instant(0)),
        Err(PlanError::SubqueryTooLong { limit: 50_000_000, .. })
    ));
    for (query, at) in
        [("m[step()]", "step()"), ("m[5m:2*step()]", "2*step()"), ("m offset 9e18", "9e18")]
    {
        let expr = parse(query, &ParseOptions::all()).unwrap();
        let error = Plan::new(&expr, EvalParams::instant(0)).unwrap_err();
        assert_eq!(error.span().map(|span| span.text(query)), Some(at), "{query}");
    }
    let clock = Arc::new(SystemClock::new());
    let limit = BudgetLimit {
        timeout: None,
        max_samples: 100,
        max_bytes: 1 << 20,
        ..BudgetLimit::default()
    };
    let query = "count_over_time((vector(1) + time())[1000s:1ms])";
    let result =
        run_with(&Vec::new(), query, EvalParams::instant(0), &QueryBudget::new(limit, clock));
    assert!(matches!(result, Err(EvalError::Budget(_))), "{result:?}");
}
