//! What a small query cannot do: hold more memory than its budget says, whatever it is made of.

use std::sync::Arc;

use skopos_model::storage::{
    BudgetLimit, ErrorKind, MemoryPool, QueryBudget, SelectedSeries, SeriesSet,
};
use skopos_model::{Histogram, Labels, Sample, SampleValue, SystemClock};
use skopos_promql::{EvalError, EvalParams, ParseOptions, Plan, evaluate, parse};

const MINUTE: i64 = 60_000;

/// Series `temp{i="0"}`, … with a sample each minute for an hour.
fn floats(count: usize) -> SeriesSet {
    let series = |i: usize| {
        let samples: Vec<Sample> =
            (0..60).map(|m| Sample::float(m * MINUTE, (m * 7 + i as i64) as f64)).collect();
        let labels = Labels::from_pairs([("__name__", "temp"), ("i", &i.to_string())]);
        SelectedSeries { labels, samples: Arc::new(samples) }
    };
    SeriesSet { series: (0..count).map(series).collect() }
}

/// One native histogram of 160 buckets, growing each minute.
fn natives() -> SeriesSet {
    let histogram = |m: i64| {
        let span = skopos_model::BucketSpan { offset: 0, length: 160 };
        Histogram {
            schema: 3,
            count: 160.0 * m as f64,
            sum: m as f64,
            positive_spans: vec![span],
            positive_buckets: vec![m as f64; 160],
            ..Histogram::default()
        }
    };
    let sample = |m| Sample {
        timestamp_ms: m * MINUTE,
        value: SampleValue::Histogram(Arc::new(histogram(m))),
    };
    let samples: Vec<Sample> = (1..60).map(sample).collect();
    let labels = Labels::from_pairs([("__name__", "temp")]);
    SeriesSet { series: vec![SelectedSeries { labels, samples: Arc::new(samples) }] }
}

/// Evaluates; the most bytes held at a time.
fn run(
    query: &str,
    params: EvalParams,
    data: &SeriesSet,
    max_bytes: u64,
) -> Result<u64, EvalError> {
    let expr = parse(query, &ParseOptions::all()).unwrap_or_else(|e| panic!("{query}: {e}"));
    let plan = Plan::new(&expr, params).unwrap_or_else(|e| panic!("{query}: {e}"));
    let limit = BudgetLimit { timeout: None, max_bytes, ..BudgetLimit::default() };
    let pool = MemoryPool::new(u64::MAX);
    let budget = QueryBudget::in_pool(limit, Arc::new(SystemClock::new()), pool.clone());
    let data = vec![data.clone(); plan.selects().len()];
    evaluate(&plan, data, &budget).map(|_| pool.peak_bytes())
}

fn joined(levels: usize) -> String {
    let mut query = "label_replace(temp,\"x\",\"a\",\"\",\"\")".to_owned();
    for _ in 0..levels {
        query = format!(
            "label_join({query},\"x\",\"\",\"x\",\"x\",\"x\",\"x\",\"x\",\"x\",\"x\",\"x\")"
        );
    }
    format!("count({query})")
}

#[test]
fn labels_grow_no_further_than_the_limit() {
    let now = EvalParams::instant(59 * MINUTE);
    let doubled = |levels| {
        let start = "label_replace(temp,\"x\",\"aa\",\"\",\"\")".to_owned();
        (0..levels)
            .fold(start, |query, _| format!("label_replace({query},\"x\",\"$1$1\",\"x\",\"(.*)\")"))
    };
    for (query, func) in [(joined(11), "label_join"), (doubled(25), "label_replace")] {
        match run(&query, now, &floats(3), u64::MAX) {
            Err(EvalError::LabelTooLong { func: got, limit: 65_536, span, .. }) => {
                assert_eq!(got, func);
                assert!(span.text(&query).starts_with(func), "{span:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    // Below the limit the bytes count.
    let used = run(&joined(5), now, &floats(3), u64::MAX).unwrap();
    assert!(used > 3 * 32_768, "{used}");
    assert!(matches!(run(&joined(5), now, &floats(3), 50_000), Err(EvalError::Budget(_))));
    let tight = EvalParams { max_label_bytes: 1, ..now };
    let counted = run("count_values(\"v\", temp)", tight, &floats(3), u64::MAX);
    assert!(matches!(counted, Err(EvalError::LabelTooLong { func: "count_values", .. })));
}

#[test]
fn amplifiers_are_charged_before_they_take_memory() {
    let range = EvalParams::range(0, 59 * MINUTE, 1_000);
    let now = EvalParams::instant(59 * MINUTE);
    let labelled = floats(200);
    for (query, params, data, at_least) in [
        // A series per value, each a column.
        ("count_values(\"v\", temp)", range, &labelled, 500 * 3_541 * 8),
        ("histogram_quantiles(temp, \"q\", time())", range, &natives(), 3_000 * 3_541 * 8),
        // As many partners as steps.
        (
            "label_replace(temp, \"a\", \"x\", \"\", \"\") * on(a) group_left(v) \
             count_values without () (\"v\", label_replace(temp{i=\"0\"}, \"a\", \"x\", \"\", \"\"))",
            range,
            &floats(1),
            60 * 3_541 * 8,
        ),
        // Histograms made anew at every step.
        ("rate(temp[5m])", range, &natives(), 3_000 * 160 * 8),
        ("sum(temp)", range, &natives(), 3_000 * 160 * 8),
        ("temp * 2", range, &natives(), 3_000 * 160 * 8),
        ("-temp", range, &natives(), 3_000 * 160 * 8),
        // Windows and what is kept of them.
        ("count_over_time(vector(1)[5h:1s])", now, &floats(0), 18_000 * 8),
        ("temp[1h]", now, &labelled, 200 * 59 * 24),
        ("temp or temp or temp", range, &labelled, 3 * 200 * 3_541 * 8),
        ("topk(1e9, temp)", range, &labelled, 200 * 3_541 * 8),
        ("sum without (nothing) (temp)", now, &labelled, 200 * 72),
    ] {
        let used = run(query, params, data, u64::MAX).unwrap_or_else(|e| panic!("{query}: {e}"));
        assert!(used >= at_least, "{query}: {used} bytes of {at_least}");
        match run(query, params, data, at_least / 2) {
            Err(EvalError::Budget(error)) => {
                assert_eq!(error.kind, ErrorKind::ResourceExhausted, "{query}");
            }
            other => panic!("{query}: {other:?}"),
        }
    }
}

#[test]
fn remarks_beyond_ten_are_counted() {
    let series = |i: usize| SelectedSeries {
        labels: Labels::from_pairs([
            ("__name__", format!("gauge{i}").as_str()),
            ("i", &i.to_string()),
        ]),
        samples: Arc::new(vec![Sample::float(0, 1.0), Sample::float(1_000, 2.0)]),
    };
    let set = |n| SeriesSet { series: (0..n).map(series).collect() };
    let query = "rate({__name__=~\"gauge.*\"}[1m])";
    let expr = parse(query, &ParseOptions::default()).unwrap();
    let plan = Plan::new(&expr, EvalParams::instant(1_000)).unwrap();
    for (n, last) in [
        (
            10,
            "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"gauge9\" (1:6)",
        ),
        (11, "1 more info annotations omitted"),
        (25, "15 more info annotations omitted"),
    ] {
        let result = evaluate(&plan, vec![set(n)], &QueryBudget::unlimited()).unwrap();
        let infos = result.annotations.infos(query);
        assert_eq!(infos.len(), n.min(11));
        assert_eq!(infos.last().map(String::as_str), Some(last));
        assert!(result.annotations.warnings(query).is_empty());
    }
}
