//! The contract of [`SelectSeries`](skopos_model::storage::SelectSeries): matchers, ranges, bits, order, labels, metadata, exemplars.

use std::sync::Arc;

use skopos_model::storage::{BudgetLimit, ErrorKind, QueryBudget};
use skopos_model::{
    Clock, Exemplar, Labels, MatchOp, Metadata, MetricBatch, MetricType, STALE_NAN, SampleValue,
    SeriesSamples, SignalBatch,
};

use super::compare::{matcher, samples, select, series_select};
use super::{FullStore, NOW_MS, append_series};
use crate::VirtualClock;
use crate::generate::MetricGenerator;

/// Runs all cases of the contract for reading metrics.
pub async fn select_suite<S: FullStore>(make: impl AsyncFn(Arc<VirtualClock>) -> S) {
    let fresh = async || make(Arc::new(VirtualClock::default())).await;
    matchers_mean_what_prometheus_means(&fresh().await).await;
    ranges_include_both_ends(&fresh().await).await;
    values_keep_their_bits(&fresh().await).await;
    a_snapshot_stays_as_it_was(&fresh().await).await;
    labels_and_metadata(&fresh().await).await;
    exemplars_come_once_in_time_order(&fresh().await).await;
    budgets_stop_a_read(&fresh().await).await;
    the_oldest_sample_is_known(&fresh().await).await;
}

async fn the_oldest_sample_is_known<S: FullStore>(store: &S) {
    let oldest = async || store.oldest_sample_ms().await.expect("oldest sample");
    assert_eq!(oldest().await, None);
    for (name, back, want) in [("a", 50_000, 50_000), ("b", 0, 50_000), ("b", 90_000, 90_000)] {
        let labels = Labels::from_pairs([("__name__", name)]);
        let one = SeriesSamples::single(labels, NOW_MS - back, 1.0);
        append_series(store, vec![one]).await;
        assert_eq!(oldest().await, Some(NOW_MS - want), "after one of {back} ms ago");
    }
}

async fn matchers_mean_what_prometheus_means<S: FullStore>(store: &S) {
    let all = [
        vec![("__name__", "up"), ("job", "a"), ("zone", "eu")],
        vec![("__name__", "up"), ("job", "b")],
        vec![("__name__", "up"), ("job", "ab")],
        vec![("__name__", "down"), ("job", "a")],
    ]
    .map(Labels::from_pairs);
    let series = all.iter().map(|l| SeriesSamples::single(l.clone(), NOW_MS, 1.0)).collect();
    append_series(store, series).await;
    use MatchOp::*;
    for (matchers, want) in [
        (vec![], vec![0, 1, 2, 3]),
        (vec![("__name__", Equal, "up")], vec![0, 1, 2]),
        (vec![("job", Regex, "a")], vec![0, 3]),
        (vec![("job", Regex, "a.*")], vec![0, 2, 3]),
        (vec![("job", Regex, "a|b")], vec![0, 1, 3]),
        (vec![("job", NotEqual, "a")], vec![1, 2]),
        (vec![("zone", Equal, "")], vec![1, 2, 3]),
        (vec![("zone", NotEqual, "")], vec![0]),
        (vec![("zone", Regex, "eu|")], vec![0, 1, 2, 3]),
        (vec![("zone", NotRegex, "e.")], vec![1, 2, 3]),
        (vec![("absent", NotEqual, "x")], vec![0, 1, 2, 3]),
        (vec![("absent", Regex, ".+")], vec![]),
        (vec![("__name__", Equal, "up"), ("job", NotRegex, "a.*")], vec![1]),
        (vec![("__name__", Equal, "up"), ("__name__", Equal, "down")], vec![]),
    ] {
        let matchers: Vec<_> = matchers.iter().map(|(n, op, v)| matcher(n, *op, v)).collect();
        let shown = format!("{matchers:?}");
        let found = select(store, &series_select(matchers, NOW_MS, NOW_MS)).await;
        let found: Vec<_> = found.into_iter().map(|(labels, _)| labels).collect();
        let mut want: Vec<_> = want.into_iter().map(|i: usize| all[i].clone()).collect();
        want.sort();
        let want: Vec<_> = want.iter().map(Labels::to_string).collect();
        assert_eq!(found, want, "{shown}");
    }
}

async fn ranges_include_both_ends<S: FullStore>(store: &S) {
    let labels = Labels::from_pairs([("__name__", "up")]);
    // Enough for the store to have sealed some.
    for i in 0..700 {
        let time = NOW_MS + i * 100;
        append_series(store, vec![SeriesSamples::single(labels.clone(), time, i as f64)]).await;
    }
    for (start, end) in [(0, 69_900), (100, 100), (101, 199), (-50, 0), (23_950, 24_050), (10, 5)] {
        let found = select(store, &series_select(vec![], NOW_MS + start, NOW_MS + end)).await;
        let times: Vec<_> =
            found.into_iter().flat_map(|(_, s)| s).map(|(time, ..)| time - NOW_MS).collect();
        let want: Vec<_> =
            (0..700).map(|i| i * 100).filter(|t| (start..=end).contains(t)).collect();
        assert_eq!(times, want, "{start}..={end}");
    }
}

async fn values_keep_their_bits<S: FullStore>(store: &S) {
    let labels = Labels::from_pairs([("__name__", "odd")]);
    let odd = [
        f64::NAN,
        f64::from_bits(0x7ff8_dead_beef_cafe),
        f64::from_bits(0xfff0_0000_0000_0001),
        STALE_NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        5e-324,
        f64::MAX,
        0.1,
    ];
    let value = |i: i64| odd[i as usize % odd.len()];
    for i in 0..500 {
        append_series(store, vec![SeriesSamples::single(labels.clone(), NOW_MS + i, value(i))])
            .await;
    }
    let found = select(store, &series_select(vec![], i64::MIN, i64::MAX)).await;
    let bits: Vec<_> = found[0].1.iter().map(|(_, bits, _)| *bits).collect();
    let want: Vec<_> = (0..500).map(|i| value(i).to_bits()).collect();
    assert_eq!(bits, want);
}

async fn a_snapshot_stays_as_it_was<S: FullStore>(store: &S) {
    let labels = Labels::from_pairs([("__name__", "up")]);
    append_series(store, vec![SeriesSamples::single(labels.clone(), NOW_MS, 1.0)]).await;
    let everything = series_select(vec![], i64::MIN, i64::MAX);
    let set = store.select(&everything, &QueryBudget::unlimited()).await.expect("select");
    for i in 0..600 {
        append_series(store, vec![SeriesSamples::single(labels.clone(), NOW_MS + i, 2.0)]).await;
    }
    let held = samples(&set.series[0], i64::MIN, i64::MAX);
    assert_eq!(held, [(NOW_MS, 1_f64.to_bits(), String::new())]);
    assert_eq!(select(store, &everything).await[0].1.len(), 600);
}

async fn labels_and_metadata<S: FullStore>(store: &S) {
    let series = |pairs: &[(&str, &str)], time| {
        SeriesSamples::single(Labels::from_pairs(pairs.iter().copied()), time, 1.0)
    };
    let metadata = |metric: &str, help: &str| Metadata {
        metric: metric.into(),
        metric_type: MetricType::Counter,
        unit: String::new(),
        help: help.into(),
    };
    let batch = MetricBatch {
        series: vec![
            series(&[("__name__", "a"), ("job", "x"), ("only_a", "1")], NOW_MS),
            series(&[("__name__", "b"), ("job", "y")], NOW_MS + 1000),
        ],
        metadata: vec![metadata("b", "2"), metadata("a", "1"), metadata("b", "1")],
    };
    store.append(SignalBatch::Metrics(batch.clone())).await.expect("append");
    store.append(SignalBatch::Metrics(batch)).await.expect("append");
    let budget = QueryBudget::unlimited();
    let names = store.label_names(&[], &budget).await.expect("label names");
    assert_eq!(names, ["__name__", "job", "only_a"]);
    let values = store.label_values("job", &[], &budget).await.expect("label values");
    assert_eq!(values, ["x", "y"]);
    let of_b = series_select(vec![matcher("__name__", MatchOp::Equal, "b")], NOW_MS, NOW_MS + 1000);
    let only_b = [of_b.clone()];
    let names = store.label_names(&only_b, &budget).await.expect("label names");
    assert_eq!(names, ["__name__", "job"]);
    let both = [of_b, series_select(vec![], NOW_MS, NOW_MS)];
    let values = store.label_values("job", &both, &budget).await.expect("label values");
    assert_eq!(values, ["x", "y"]);
    assert!(store.label_values("absent", &[], &budget).await.expect("label values").is_empty());

    let all = store.metadata(None).await.expect("metadata");
    assert_eq!(all, [metadata("a", "1"), metadata("b", "1"), metadata("b", "2")]);
    let of_b = store.metadata(Some("b")).await.expect("metadata");
    assert_eq!(of_b, [metadata("b", "1"), metadata("b", "2")]);
    assert!(store.metadata(Some("c")).await.expect("metadata").is_empty());
}

async fn exemplars_come_once_in_time_order<S: FullStore>(store: &S) {
    let exemplar = |time: i64| Exemplar {
        labels: Labels::from_pairs([("trace_id", format!("{time:032x}"))]),
        timestamp_ms: NOW_MS + time,
        value: time as f64,
    };
    let labels = Labels::from_pairs([("__name__", "latency_bucket"), ("le", "1")]);
    for times in [vec![5, 3], vec![4, 3]] {
        let exemplars = times.into_iter().map(exemplar).collect();
        let one = SeriesSamples { exemplars, ..SeriesSamples::single(labels.clone(), NOW_MS, 1.0) };
        append_series(store, vec![one]).await;
    }
    let budget = QueryBudget::unlimited();
    let select = series_select(vec![], NOW_MS, NOW_MS + 4);
    let found = store.exemplars(&select, &budget).await.expect("exemplars");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].labels, labels);
    assert_eq!(found[0].exemplars, [exemplar(3), exemplar(4)]);
    let before = series_select(vec![], 0, NOW_MS);
    assert!(store.exemplars(&before, &budget).await.expect("exemplars").is_empty());
}

async fn budgets_stop_a_read<S: FullStore>(store: &S) {
    let mut generator = MetricGenerator::new(9, 70, NOW_MS, 15_000);
    for _ in 0..5 {
        let batch = generator.next_batch();
        assert!(batch.series.iter().any(|s| matches!(
            s.samples.first().map(|s| &s.value),
            Some(SampleValue::Histogram(_))
        )));
        store.append(SignalBatch::Metrics(batch)).await.expect("append");
    }
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::default());
    let everything = series_select(vec![], i64::MIN, i64::MAX);
    let limit = BudgetLimit { max_bytes: 100, ..BudgetLimit::default() };
    let error = store.select(&everything, &QueryBudget::new(limit, clock)).await;
    assert_eq!(error.err().map(|e| e.kind), Some(ErrorKind::ResourceExhausted));
    let cancelled = QueryBudget::unlimited();
    cancelled.cancel();
    let error = store.select(&everything, &cancelled).await;
    assert_eq!(error.err().map(|e| e.kind), Some(ErrorKind::Cancelled));
}
