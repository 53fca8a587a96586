//! Limits of series and what is told about them: who is refused, what is folded, what leaves the
//! head, how many series there are and were.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use skopos_model::storage::{
    Append, CommitId, QueryBudget, SampleBuffer, SelectSeries, SeriesSelect, StateCommit, StateLog,
};
use skopos_model::{
    Appended, Clock, LabelMatcher, Labels, Metadata, MetricBatch, MetricType, STALE_NAN, Sample,
    SampleValue, SeriesSamples, SignalBatch, Temporality,
};
use skopos_store::cardinality::{
    Cardinality, CardinalityQuery, CardinalityReport, LimitAction, SeriesSender,
};
use skopos_store::{BlockConfig, OnLimit, ReplayProgress, SeriesLimits, Store, StoreConfig};
use skopos_testkit::VirtualClock;
use skopos_testkit::fault_fs::{FaultFs, Survival};
use skopos_testkit::generate::Random;

use crate::support::{DATA, block_on, eventually};

struct Fixture {
    fs: FaultFs,
    clock: Arc<VirtualClock>,
    limits: SeriesLimits,
    automatic: bool,
    store: Option<Store>,
}

impl Fixture {
    fn new(limits: SeriesLimits) -> Self {
        Self::with(limits, false)
    }

    /// With a store that flushes by itself when it should, or not.
    fn with(limits: SeriesLimits, automatic: bool) -> Self {
        let (fs, clock) = (FaultFs::new(), Arc::new(VirtualClock::default()));
        let mut fixture = Self { fs, clock, limits, automatic, store: None };
        fixture.open();
        fixture
    }

    fn open(&mut self) {
        let blocks = BlockConfig { automatic: self.automatic, ..BlockConfig::default() };
        let mut config = StoreConfig { blocks, ..StoreConfig::new(DATA) };
        config.head.limits = self.limits.clone();
        let (fs, clock) = (Arc::new(self.fs.clone()), Arc::clone(&self.clock));
        self.store = Some(Store::open_on(config, fs, clock, ReplayProgress::new()).unwrap());
    }

    fn restart(&mut self) {
        drop(self.store.take());
        self.fs.restart(Survival::Nothing);
        self.open();
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().as_millis()
    }

    fn append_batch(&self, batch: MetricBatch) -> Appended {
        block_on(self.store().append(SignalBatch::Metrics(batch))).unwrap()
    }

    fn append(&self, series: Vec<SeriesSamples>) -> Appended {
        self.append_batch(MetricBatch { series, metadata: vec![] })
    }

    /// Appends one sample now.
    fn push(&self, pairs: &[(&str, &str)], value: f64) -> Appended {
        self.append(vec![SeriesSamples::single(labels(pairs), self.now_ms(), value)])
    }

    fn flush(&self) {
        block_on(self.store().flush()).unwrap();
    }

    /// Every sample of a metric by the text of its series.
    fn read(&self, metric: &str) -> BTreeMap<String, Vec<(i64, f64)>> {
        let select = SeriesSelect {
            matchers: vec![LabelMatcher::equal("__name__", metric)],
            start_ms: i64::MIN,
            end_ms: i64::MAX,
            hints: Default::default(),
        };
        let found = block_on(self.store().select(&select, &QueryBudget::unlimited())).unwrap();
        let read = |samples: &dyn skopos_model::storage::SampleSource| {
            let mut out = SampleBuffer::default();
            samples.decode(i64::MIN, i64::MAX, &mut out).unwrap();
            out.timestamps.iter().copied().zip(out.values).collect()
        };
        found.series.iter().map(|s| (s.labels.to_string(), read(&*s.samples))).collect()
    }

    fn report(&self, metric: Option<&str>, label: Option<&str>) -> CardinalityReport {
        let query = CardinalityQuery {
            metric: metric.map(Into::into),
            label: label.map(Into::into),
            limit: 3,
        };
        block_on(self.store().cardinality(&query, &QueryBudget::unlimited())).unwrap()
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn requests(user: usize) -> Labels {
    let user = format!("u-{user:05}");
    labels(&[
        ("__name__", "requests_total"),
        ("job", "eu/shop"),
        ("otel_scope_name", "axum"),
        ("path", "/pay"),
        ("user", &user),
    ])
}

fn limits(head_series: usize, metric_series: usize, on_limit: OnLimit) -> SeriesLimits {
    SeriesLimits { head_series, metric_series, on_limit, ..SeriesLimits::default() }
}

#[test]
fn a_label_that_explodes_is_named_and_known_series_go_on() {
    let fixture = Fixture::new(limits(1_000, 50, OnLimit::Refuse));
    let at = |user: usize| SeriesSamples::single(requests(user), fixture.now_ms(), user as f64);
    let receipt = fixture.append((0..60).map(at).collect());
    assert_eq!(receipt.accepted, 50);
    let [refused] = &receipt.rejected[..] else { panic!("{:?}", receipt.rejected) };
    assert_eq!(
        (&*refused.reason, &*refused.sender, refused.count),
        ("metric_series", "eu/shop", 10)
    );
    for word in [
        "requests_total",
        "job=\"eu/shop\"",
        "service=\"shop\"",
        "scope=\"axum\"",
        "\"user\"",
        "\"u-00050\"",
        "limits.metric_series = 50",
        "known series go on",
    ] {
        assert!(refused.message.contains(word), "{word}: {}", refused.message);
    }
    // Known ones, new ones of other metrics.
    fixture.clock.advance(Duration::from_secs(15));
    assert_eq!(fixture.append((0..50).map(at).collect()).rejected, []);
    assert_eq!(fixture.push(&[("__name__", "up"), ("job", "eu/shop")], 1.0).accepted, 1);
    assert_eq!(fixture.append(vec![at(50)]).accepted, 0);
    assert_eq!(fixture.read("requests_total").len(), 50);

    let refusals = fixture.store().refusals();
    let [refusal] = &refusals[..] else { panic!("{refusals:?}") };
    assert_eq!((refusal.reason, refusal.limit, refusal.samples), ("metric_series", 50, 11));
    assert_eq!(refusal.action, LimitAction::Refused);
    assert_eq!((&*refusal.metric, &*refusal.label), ("requests_total", "user"));
    assert_eq!(refusal.first_value, "u-00050");
    let sender =
        SeriesSender { job: "eu/shop".into(), service: "shop".into(), scope: "axum".into() };
    assert_eq!(refusal.sender, sender);
    assert!(refusal.first_at < refusal.last_at);
    let stats = fixture.store().stats();
    assert_eq!(stats.refused_series, [("metric_series", 11)]);
    assert_eq!((stats.series_created, stats.series_removed), (51, 0));

    // Told once in ten minutes.
    let told = || fixture.store().take_series_notices().len();
    assert_eq!((told(), told()), (1, 0));
    fixture.append(vec![at(51)]);
    assert_eq!(told(), 0);
    fixture.clock.advance(Duration::from_secs(600));
    fixture.append(vec![at(51), at(52)]);
    assert_eq!((told(), told()), (1, 0));
}

#[test]
fn all_series_together_have_a_limit_and_a_shape() {
    let fixture = Fixture::new(SeriesLimits {
        labels_per_series: 3,
        label_name_bytes: 10,
        label_value_bytes: 20,
        ..limits(3, 1_000, OnLimit::Refuse)
    });
    let reason = |pairs: &[(&str, &str)]| {
        let receipt = fixture.push(pairs, 1.0);
        receipt.rejected.first().map(|rejection| rejection.reason.to_string())
    };
    let long = "x".repeat(21);
    for (pairs, want) in [
        (&[("__name__", "a"), ("b", "1"), ("c", "1"), ("d", "1")][..], None),
        (
            &[("__name__", "a"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")],
            Some("labels_per_series"),
        ),
        (&[("__name__", "a"), ("b", &long)], Some("label_value_bytes")),
        (&[("__name__", "a"), (&long, "b")], Some("label_name_bytes")),
        (&[("__name__", &long)], Some("label_name_bytes")),
        (&[("__name__", "b")], None),
        (&[("job", "without a name")], None),
        (&[("__name__", "c")], Some("head_series")),
        (&[("__name__", "b")], None),
    ] {
        assert_eq!(reason(pairs).as_deref(), want, "{pairs:?}");
    }
    let refusals = fixture.store().refusals();
    assert_eq!(refusals.len(), 5);
    assert!(refusals.iter().all(|refusal| refusal.metric.len() <= 21));
    let shape = refusals.iter().find(|r| r.reason == "label_value_bytes").unwrap();
    assert_eq!((&*shape.label, &*shape.first_value), ("b", &*long));
    // A metric that is new: its name is what grew.
    let total = refusals.iter().find(|r| r.reason == "head_series").unwrap();
    assert_eq!((&*total.label, &*total.first_value), ("__name__", "c"));
}

#[test]
fn limits_hold_neither_for_replay_nor_for_rules() {
    let mut fixture = Fixture::new(limits(10, 10, OnLimit::Refuse));
    let at = |i: usize| SeriesSamples::single(requests(i), 1_700_000_000_000, 1.0);
    assert_eq!(fixture.append((0..10).map(at).collect()).accepted, 10);
    fixture.limits = limits(4, 4, OnLimit::Refuse);
    fixture.restart();
    assert_eq!(fixture.store().stats().head.series, 10);
    assert_eq!(fixture.append((0..10).map(at).collect()).accepted, 10);
    assert_eq!(fixture.append(vec![at(10)]).accepted, 0);
    let alerts = labels(&[("__name__", "ALERTS"), ("alertstate", "firing")]);
    let commit = StateCommit {
        id: CommitId { source: "rule".into(), slot: 1 },
        records: vec![],
        samples: vec![SeriesSamples::single(alerts, 1_700_000_000_000, 1.0)],
    };
    block_on(fixture.store().commit(commit)).unwrap();
    assert_eq!(fixture.read("ALERTS").len(), 1);
}

#[test]
fn one_refusal_of_several_metrics_names_them_and_folding_is_told() {
    let series = |now_ms: i64, metric: &str, i: usize| {
        let user = format!("u-{i}");
        let labels = Labels::from_pairs([("__name__", metric), ("job", "shop"), ("user", &*user)]);
        SeriesSamples::single(labels, now_ms, i as f64)
    };
    for (on_limit, action) in [(OnLimit::Refuse, "refused"), (OnLimit::Fold, "count under")] {
        let fixture = Fixture::new(limits(1_000, 5, on_limit));
        let all = (0..8).map(|i| series(fixture.now_ms(), "orders_total", i));
        let all = all.chain((0..9).map(|i| series(fixture.now_ms(), "requests_total", i)));
        let receipt = fixture.append(all.collect());
        let (told, other) = match on_limit {
            OnLimit::Refuse => (&receipt.rejected, &receipt.folded),
            OnLimit::Fold => (&receipt.folded, &receipt.rejected),
        };
        assert_eq!(*other, []);
        let [told] = &told[..] else { panic!("{told:?}") };
        assert_eq!((&*told.reason, &*told.sender, told.count), ("metric_series", "shop", 7));
        for word in ["orders_total", "\"user\"", action, "4 of requests_total, 3 of orders_total"] {
            assert!(told.message.contains(word), "{word}: {}", told.message);
        }
    }
}

/// What all folded series of the metric sum up to, in time order.
fn other(fixture: &Fixture) -> Vec<f64> {
    let read = fixture.read("requests_total");
    let found = read.iter().find(|(series, _)| series.contains("user=\"other\""));
    found.map(|(_, samples)| samples.iter().map(|(_, value)| *value).collect()).unwrap_or_default()
}

#[test]
fn folded_counters_grow_by_what_their_sources_grow() {
    let mut fixture = Fixture::new(limits(1_000, 3, OnLimit::Fold));
    let scrape = |fixture: &Fixture, values: &[(usize, f64)]| {
        fixture.clock.advance(Duration::from_secs(15));
        let series = values
            .iter()
            .map(|(user, value)| SeriesSamples::single(requests(*user), fixture.now_ms(), *value));
        let receipt = fixture.append(series.collect());
        assert_eq!(receipt.rejected, []);
        assert_eq!(receipt.accepted, values.len() as u64);
    };
    scrape(&fixture, &[(0, 1.0), (1, 1.0), (2, 1.0), (3, 100.0), (4, 7.0)]);
    assert_eq!(other(&fixture), [0.0], "nobody saw them grow");
    scrape(&fixture, &[(0, 2.0), (3, 103.0), (4, 9.0)]);
    assert_eq!(other(&fixture), [0.0, 5.0]);
    // A reset, a stale marker, a value that does not change.
    scrape(&fixture, &[(3, 2.0), (4, STALE_NAN)]);
    assert_eq!(other(&fixture)[2..], [7.0]);
    scrape(&fixture, &[(3, 2.0), (4, 10.0)]);
    assert_eq!(other(&fixture)[3..], [8.0]);
    // Across a flush and a restart the sum goes on; what grew meanwhile is missed, not counted
    // twice.
    fixture.flush();
    scrape(&fixture, &[(0, 3.0), (1, 1.0), (2, 1.0), (3, 3.0)]);
    assert_eq!(other(&fixture)[4..], [9.0]);
    fixture.restart();
    scrape(&fixture, &[(3, 5.0), (4, 12.0)]);
    scrape(&fixture, &[(3, 6.0), (4, 14.0)]);
    assert_eq!(other(&fixture)[5..], [9.0, 12.0]);
    // Once folding has settled a new source is new.
    for _ in 0..40 {
        scrape(&fixture, &[(3, 6.0)]);
    }
    scrape(&fixture, &[(5, 4.0), (6, 1.0)]);
    assert_eq!(other(&fixture).last(), Some(&17.0));
    assert_eq!(fixture.read("requests_total").len(), 4);
    assert_eq!(fixture.store().refusals()[0].action, LimitAction::Folded);
    let stats = fixture.store().stats();
    assert_eq!(stats.refused_series, []);
    assert_eq!(stats.folded_samples, 46, "since the restart");
}

#[test]
fn a_source_that_says_when_it_began_and_deltas_count_whole() {
    let fixture = Fixture::new(limits(1_000, 1, OnLimit::Fold));
    let single = |user, value| SeriesSamples::single(requests(user), fixture.now_ms(), value);
    fixture.append(vec![single(0, 1.0), single(1, 50.0)]);
    fixture.clock.advance(Duration::from_secs(15));
    let began = SeriesSamples { start_timestamp_ms: Some(fixture.now_ms() - 1), ..single(2, 4.0) };
    let delta = |value| SeriesSamples { temporality: Temporality::Delta, ..single(3, value) };
    fixture.append(vec![began, delta(10.0)]);
    assert_eq!(other(&fixture), [0.0, 14.0]);
    // The same delta again is a repeat; a sender's own `other` is one source among others.
    fixture.append(vec![delta(10.0)]);
    fixture.clock.advance(Duration::from_secs(15));
    let own = |value| {
        let mut own = requests(0).to_builder();
        own.set("user", "other");
        SeriesSamples::single(own.build(), fixture.now_ms(), value)
    };
    fixture.append(vec![delta(1.0), own(1_000.0)]);
    fixture.clock.advance(Duration::from_secs(15));
    fixture.append(vec![own(1_002.0)]);
    assert_eq!(other(&fixture), [0.0, 14.0, 15.0, 17.0]);
}

#[test]
fn what_cannot_be_added_up_is_refused() {
    let fixture = Fixture::new(limits(1_000, 2, OnLimit::Fold));
    let metadata = |metric: &str, metric_type| Metadata {
        metric: metric.into(),
        metric_type,
        unit: String::new(),
        help: String::new(),
    };
    let declared =
        vec![metadata("open_count", MetricType::Gauge), metadata("work", MetricType::Counter)];
    fixture.append_batch(MetricBatch { series: vec![], metadata: declared });
    for (metric, folds) in [
        ("temperature", false),
        ("open_count", false),
        ("work", true),
        ("bytes_sum", true),
        ("seconds_bucket", true),
    ] {
        for i in 0..4 {
            let pairs = [("__name__", metric), ("id", &*i.to_string())];
            let receipt = fixture.push(&pairs, 1.0);
            assert_eq!(receipt.accepted == 1, folds || i < 2, "{metric} {i}");
        }
        let names = fixture.read(metric).into_keys().collect::<String>();
        assert_eq!(names.contains("other"), folds, "{names}");
    }
    // Buckets fold by what grew, not by their bounds.
    for (le, id) in [("1", "a"), ("5", "b"), ("+Inf", "c")] {
        fixture.push(&[("__name__", "x_bucket"), ("le", le), ("id", id)], 1.0);
    }
    let names = fixture.read("x_bucket").into_keys().collect::<Vec<_>>();
    assert!(
        names.iter().any(|n| n.contains("le=\"+Inf\"") && n.contains("id=\"other\"")),
        "{names:?}"
    );
}

#[test]
fn series_that_have_ended_leave_the_head_after_a_flush() {
    let fixture = Fixture::new(SeriesLimits::default());
    let series = || fixture.store().stats().head.series;
    let minutes = |n: u64| fixture.clock.advance(Duration::from_secs(n * 60));
    let pod = |i: usize, value| {
        let pod = i.to_string();
        SeriesSamples::single(
            labels(&[("__name__", "pod"), ("pod", &pod)]),
            fixture.now_ms(),
            value,
        )
    };
    for round in 0..50 {
        fixture.append((0..100).map(|i| pod(round * 100 + i, 1.0)).collect());
        fixture.append((0..100).map(|i| pod(round * 100 + i, STALE_NAN)).collect());
        fixture.push(&[("__name__", "up")], 1.0);
        minutes(2);
        if round % 10 == 9 {
            fixture.flush();
            // 15 minutes' worth, and `up`.
            assert!(series() <= 801, "{}", series());
        }
    }
    minutes(16);
    fixture.push(&[("__name__", "up")], 1.0);
    fixture.flush();
    assert_eq!(series(), 1);
    let stats = fixture.store().stats();
    assert_eq!((stats.series_created, stats.series_removed), (5_001, 5_000));
    assert!(stats.head_bytes < 100_000, "{}", stats.head_bytes);
    // All of it is still there to be read.
    assert_eq!(fixture.read("pod").len(), 5_000);
    // Without a marker a series is known for the out-of-order window, one of deltas for hours.
    let delta = SeriesSamples { temporality: Temporality::Delta, ..pod(1, 5.0) };
    fixture.append(vec![delta, pod(2, 1.0)]);
    minutes(59);
    fixture.push(&[("__name__", "up")], 1.0);
    fixture.flush();
    assert_eq!(series(), 3);
    minutes(2);
    fixture.push(&[("__name__", "up")], 1.0);
    fixture.flush();
    assert_eq!(series(), 2);
    minutes(120);
    let more = SeriesSamples { temporality: Temporality::Delta, ..pod(1, 2.0) };
    fixture.append(vec![more]);
    fixture.flush();
    let sums = fixture.read("pod").remove("pod{pod=\"1\"}").unwrap();
    assert_eq!(sums.last().unwrap().1, 7.0);
}

#[test]
fn series_that_have_ended_make_room_although_nothing_else_comes() {
    let fixture = Fixture::with(limits(10, 10, OnLimit::Refuse), true);
    let generation = |n: usize, value| {
        let at = |i| SeriesSamples::single(requests(n * 10 + i), fixture.now_ms(), value);
        (0..10).map(at).collect::<Vec<_>>()
    };
    let is_empty = || fixture.store().stats().head.series == 0;
    fixture.append(generation(0, 1.0));
    fixture.append(generation(0, STALE_NAN));
    fixture.flush();
    assert_eq!(fixture.append(generation(1, 1.0)).accepted, 0);
    fixture.clock.advance(Duration::from_secs(16 * 60));
    block_on(eventually(is_empty));
    assert_eq!(fixture.append(generation(1, 1.0)).accepted, 10);
    // They also go because others want their places, long before the age of a flush.
    fixture.append(generation(1, STALE_NAN));
    fixture.clock.advance(Duration::from_secs(16 * 60));
    assert_eq!(fixture.append(generation(2, 1.0)).accepted, 0);
    block_on(eventually(is_empty));
    assert_eq!(fixture.append(generation(2, 1.0)).accepted, 10);
}

/// What the head should know, and what should become of a batch.
struct Model {
    limits: SeriesLimits,
    /// Time of the newest sample and whether it is a stale marker.
    known: HashMap<Labels, (i64, bool)>,
}

impl Model {
    fn append(&mut self, batch: &[SeriesSamples]) -> (u64, BTreeMap<String, u64>) {
        let (mut accepted, mut refused) = (0, BTreeMap::<String, u64>::new());
        for series in batch {
            let metric = series.labels.metric_name();
            let of_metric = self.known.keys().filter(|l| l.metric_name() == metric).count();
            let reason = match () {
                () if self.known.contains_key(&series.labels) => None,
                () if of_metric >= self.limits.metric_series => Some("metric_series"),
                () if self.known.len() >= self.limits.head_series => Some("head_series"),
                () => None,
            };
            let count = series.samples.len() as u64;
            if let Some(reason) = reason {
                *refused.entry(reason.into()).or_default() += count;
                continue;
            }
            accepted += count;
            for sample in &series.samples {
                let new = (sample.timestamp_ms, sample.value.is_stale());
                let newest = self.known.entry(series.labels.clone()).or_insert(new);
                if newest.0 <= new.0 {
                    *newest = new;
                }
            }
        }
        (accepted, refused)
    }

    fn flush(&mut self, now_ms: i64) {
        self.known.retain(|_, (newest, is_stale)| {
            *newest >= now_ms - if *is_stale { 900_000 } else { 3_600_000 }
        });
    }
}

#[test]
fn random_series_near_the_limits_agree_with_a_model() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let (head, metric) = (8 + random.below(8) as usize, 3 + random.below(4) as usize);
        let limits = limits(head, metric, OnLimit::Refuse);
        let fixture = Fixture::new(limits.clone());
        let mut model = Model { limits, known: HashMap::new() };
        for _ in 0..60 {
            if random.below(8) == 0 {
                fixture.flush();
                model.flush(fixture.now_ms());
            }
            fixture.clock.advance(Duration::from_secs(random.below(600)));
            let batch: Vec<SeriesSamples> = (0..1 + random.below(9))
                .map(|_| {
                    let metric = format!("m{}", random.below(4));
                    let user = random.below(6).to_string();
                    let series = labels(&[("__name__", &metric), ("user", &user)]);
                    let at = |back| fixture.now_ms() - back;
                    let value = if random.below(6) == 0 { STALE_NAN } else { 1.0 };
                    let mut single = SeriesSamples::single(series, at(0), value);
                    if random.below(3) == 0 {
                        let late = Sample::float(at(1 + random.below(1_000) as i64), 2.0);
                        single.samples.push(late);
                    }
                    single
                })
                .collect();
            let known: Vec<Labels> = model.known.keys().cloned().collect();
            let want = model.append(&batch);
            let mut of_known = batch.clone();
            of_known.retain(|series| known.contains(&series.labels));
            let receipt = fixture.append(batch);
            let mut refused = BTreeMap::new();
            for rejection in &receipt.rejected {
                *refused.entry(rejection.reason.to_string()).or_default() += rejection.count;
            }
            assert_eq!((receipt.accepted, refused), want, "seed {seed}");
            assert_eq!(
                fixture.store().stats().head.series,
                model.known.len() as u64,
                "seed {seed}"
            );
            // Existing series, whatever stands around them.
            assert_eq!(fixture.append(of_known).rejected, [], "seed {seed}");
        }
    }
}

/// Folding against the sum of what every source grew, whatever the order of things.
#[test]
fn random_counters_fold_to_the_sum_of_their_growth() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let fixture = Fixture::new(limits(1_000, 2, OnLimit::Fold));
        let mut values: HashMap<usize, f64> = HashMap::new();
        // Two that stay told apart.
        fixture.append(
            (0..2).map(|u| SeriesSamples::single(requests(u), fixture.now_ms(), 0.0)).collect(),
        );
        let mut grown = 0.0;
        for _ in 0..40 {
            fixture.clock.advance(Duration::from_secs(15));
            if random.below(10) == 0 {
                fixture.flush();
            }
            let batch = (0..1 + random.below(6)).map(|_| 2 + random.below(20) as usize);
            let mut users: Vec<usize> = batch.collect();
            users.sort_unstable();
            users.dedup();
            let series = users.into_iter().map(|user| {
                let by = random.below(50) as f64;
                match values.get_mut(&user) {
                    // A restart of the sender.
                    Some(value) if random.below(12) == 0 => {
                        *value = by;
                        grown += by;
                    }
                    Some(value) => {
                        *value += by;
                        grown += by;
                    }
                    None => drop(values.insert(user, by)),
                }
                SeriesSamples::single(requests(user), fixture.now_ms(), values[&user])
            });
            // A restart to less than before only: to more is growth by the difference for anybody.
            let series: Vec<SeriesSamples> = series.collect();
            fixture.append(series);
        }
        let sums = other(&fixture);
        assert!(sums.is_sorted(), "seed {seed}: {sums:?}");
        let last = sums.last().copied().unwrap_or(0.0);
        assert!(last <= grown, "seed {seed}: never more than there was: {last} of {grown}");
        assert!(last >= grown * 0.7, "seed {seed}: {last} of {grown}");
    }
}

#[test]
fn series_are_counted_now_and_a_day_ago() {
    let mut fixture = Fixture::new(SeriesLimits::default());
    let push = |fixture: &Fixture, users: std::ops::Range<usize>| {
        let at = |user| SeriesSamples::single(requests(user), fixture.now_ms(), 1.0);
        fixture.append(users.map(at).collect());
    };
    push(&fixture, 0..30);
    fixture.push(&[("__name__", "up"), ("job", "eu/shop")], 1.0);
    let report = fixture.report(None, None);
    assert_eq!((report.total.series, report.total.active), (31, Some(31)));
    assert_eq!(report.total.day_ago, None, "nothing is as old");
    assert_eq!(report.metrics[0].metric, "requests_total");
    assert_eq!((&*report.metrics[0].label, report.metrics[0].label_values), ("user", 30));
    let user = report.labels.iter().find(|label| label.label == "user").unwrap();
    assert!(user.id_like && user.values == 30, "{user:?}");
    fixture.flush();

    // A day later: other users, in two heads and a block.
    fixture.clock.advance(Duration::from_secs(24 * 3600 + 600));
    push(&fixture, 25..60);
    fixture.flush();
    push(&fixture, 50..75);
    fixture.push(&[("__name__", "up"), ("job", "eu/shop")], 1.0);
    fixture.restart();
    let report = fixture.report(None, None);
    assert_eq!((report.total.active, report.total.day_ago), (Some(51), Some(31)));
    let counts = report.metrics[0].counts;
    assert_eq!((counts.series, counts.active, counts.day_ago), (50, Some(50), Some(30)));
    assert_eq!((report.metrics_total, report.labels_total), (2, 4));

    let report = fixture.report(Some("requests_total"), None);
    assert_eq!((report.total.series, report.total.day_ago), (50, Some(30)));
    let label = &report.labels[0];
    assert_eq!((&*label.label, label.values, label.values_day_ago), ("user", 50, Some(30)));
    assert_eq!(label.examples.len(), 3);
    let job = report.labels.iter().find(|label| label.label == "job").unwrap();
    assert_eq!((job.values, job.counts.series, job.counts.day_ago), (1, 50, Some(30)));

    let report = fixture.report(Some("requests_total"), Some("user"));
    assert_eq!((report.values_total, report.values.len()), (50, 3));
    assert_eq!((&*report.values[0].value, report.values[0].counts.day_ago), ("u-00025", Some(1)));
    let report = fixture.report(None, Some("job"));
    assert_eq!((report.values_total, report.total.series), (1, 51));
    let counts = report.values[0].counts;
    assert_eq!((counts.series, counts.active, counts.day_ago), (51, Some(51), Some(31)));
    let report = fixture.report(Some("nothing"), None);
    assert_eq!((report.total.series, report.total.day_ago, report.metrics.len()), (0, Some(0), 0));
}

#[test]
fn the_status_of_the_head_is_that_of_prometheus() {
    let fixture = Fixture::new(SeriesLimits::default());
    let status = || block_on(fixture.store().tsdb_status(2, &QueryBudget::unlimited())).unwrap();
    assert_eq!((status().series, status().min_time_ms, status().max_time_ms), (0, None, None));
    let first = fixture.now_ms();
    for user in 0..4 {
        let sample = Sample { timestamp_ms: fixture.now_ms(), value: SampleValue::Float(1.0) };
        let series = SeriesSamples {
            samples: vec![sample],
            ..SeriesSamples::single(requests(user), 0, 0.0)
        };
        fixture.append(vec![series]);
        fixture.clock.advance(Duration::from_secs(1));
    }
    fixture.push(&[("__name__", "up"), ("job", "eu/shop")], 1.0);
    let status = status();
    assert_eq!((status.series, status.label_pairs), (5, 9));
    assert_eq!((status.min_time_ms, status.max_time_ms), (Some(first), Some(first + 4_000)));
    let row = |name: &str, n| (name.to_owned(), n);
    assert_eq!(status.series_by_metric, [row("requests_total", 4), row("up", 1)]);
    assert_eq!(status.values_by_label, [row("user", 4), row("__name__", 2)]);
    assert_eq!(status.bytes_by_label, [row("user", 28), row("__name__", 16)]);
    assert_eq!(status.series_by_pair, [row("job=eu/shop", 5), row("__name__=requests_total", 4)]);
}
