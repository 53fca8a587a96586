//! Metrics: one registry, instruments without locks, labels of bounded size.
//!
//! An instrument that is held ([`Counter`], [`Gauge`], [`Histogram`]) is a few atomics. A [`Family`] finds the instrument for
//! a set of labels; it never grows beyond its limits: what does not fit is counted under the label value `other`, one WARN
//! names the label, and `skopos_label_overflow_total{metric,label}` counts on.
//!
//! ```
//! use skopos::metrics::{Bounded, Registry, buckets};
//!
//! skopos::label_values! {
//!     /// How an order was paid.
//!     pub enum PaymentMethod { Card => "card", Invoice => "invoice" }
//! }
//! skopos::labels! {
//!     /// Labels of placed orders.
//!     pub struct OrderLabels { payment_method: PaymentMethod, region: Bounded<16> }
//! }
//!
//! let registry = Registry::new();
//! let orders = registry.counter_family::<OrderLabels>("orders_placed_total", "Orders placed.");
//! orders.get(&OrderLabels { payment_method: PaymentMethod::Card, region: "eu".into() }).inc();
//! let value = registry.histogram("order_value_dollars", "Order value.", &buckets::linear(10.0, 10.0, 5));
//! value.observe(42.0);
//!
//! let text = registry.encode(skopos::metrics::Format::Prometheus);
//! assert!(text.contains(r#"orders_placed_total{payment_method="card",region="eu"} 1"#));
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod family;
mod histogram;
mod instrument;
mod labels;
mod text;

pub use family::{Family, Instrument};
pub use histogram::Histogram;
pub use instrument::{Counter, Gauge, InFlight};
pub use labels::{Bounded, LabelSet, LabelValue};
#[cfg(feature = "derive")]
#[doc(no_inline)]
pub use skopos_macros::{LabelSet, LabelValue};
pub use text::Format;

pub(crate) use histogram::{Exemplar, HistogramSnapshot};

/// Bucket bounds.
pub mod buckets {
    /// Durations of requests, in seconds: the guide's buckets, and 0.2, because its latency objective asks for `le="0.2"`.
    pub const HTTP: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

    /// `count` bounds from `start`, each `width` above the one before.
    pub fn linear(start: f64, width: f64, count: usize) -> Vec<f64> {
        std::iter::successors(Some(start), |bound| Some(bound + width)).take(count).collect()
    }

    /// `count` bounds from `start`, each `factor` times the one before.
    pub fn exponential(start: f64, factor: f64, count: usize) -> Vec<f64> {
        std::iter::successors(Some(start), |bound| Some(bound * factor)).take(count).collect()
    }
}

/// Label sets that one family keeps apart, unless said otherwise.
pub const DEFAULT_SERIES_LIMIT: usize = 2_000;

/// What a metric is, in the words of Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The state of one series when it is read.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Counter(u64),
    Gauge(f64),
    Histogram(HistogramSnapshot),
}

/// Calls back with the labels and value of each series.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[(&str, &str)], Value);

/// Something that a registry can read.
pub(crate) trait Source: Send + Sync {
    fn visit(&self, visit: Visit<'_>);

    /// Label values that did not fit, by label.
    fn overflows(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

pub(crate) struct Metric {
    pub(crate) help: String,
    pub(crate) kind: Kind,
    pub(crate) sources: Vec<Box<dyn Source>>,
    /// The instrument as it was handed out, to be handed out again.
    handle: Box<dyn std::any::Any + Send + Sync>,
}

/// All metrics of a process. Cloning shares it.
#[derive(Clone, Default)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    metrics: Mutex<BTreeMap<String, Metric>>,
    series_limit: std::sync::OnceLock<usize>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Registry").field("metrics", &self.lock().len()).finish()
    }
}

impl Registry {
    /// Returns an empty registry.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Bounds the label sets that each family made after this keeps apart. The first call decides.
    pub fn limit_series(&self, limit: usize) {
        let _ = self.inner.series_limit.set(limit.max(1));
    }

    fn series_limit(&self) -> usize {
        self.inner.series_limit.get().copied().unwrap_or(DEFAULT_SERIES_LIMIT)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Metric>> {
        // Nothing below can leave the map half-changed, so a panic elsewhere does not spoil it.
        self.inner.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the counter of this name. A name that does not end in `_total` gets that ending.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.register(&counter_name(name), help, Kind::Counter, Counter::default)
    }

    /// Returns the gauge of this name.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(name, help, Kind::Gauge, Gauge::default)
    }

    /// Returns the histogram of this name with these upper bounds.
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.register(name, help, Kind::Histogram, || Histogram::new(bounds))
    }

    /// Returns the counters of this name, one for each label set.
    pub fn counter_family<L: LabelSet>(&self, name: &str, help: &str) -> Family<L, Counter> {
        let name = counter_name(name);
        self.register(&name, help, Kind::Counter, || {
            Family::new(&name, self.series_limit(), Counter::default)
        })
    }

    /// Returns the gauges of this name, one for each label set.
    pub fn gauge_family<L: LabelSet>(&self, name: &str, help: &str) -> Family<L, Gauge> {
        self.register(name, help, Kind::Gauge, || {
            Family::new(name, self.series_limit(), Gauge::default)
        })
    }

    /// Returns the histograms of this name, one for each label set, with these upper bounds.
    pub fn histogram_family<L: LabelSet>(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
    ) -> Family<L, Histogram> {
        let bounds = bounds.to_vec();
        self.register(name, help, Kind::Histogram, || {
            Family::new(name, self.series_limit(), move || Histogram::new(&bounds))
        })
    }

    /// Reads a gauge from a closure at each scrape. Several closures may share a name when their labels differ; the labels
    /// are fixed, so the number of series is the number of calls.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let queue = std::sync::Arc::new(std::sync::Mutex::new(vec![1, 2]));
    /// let depth = queue.clone();
    /// registry.gauge_fn("task_queue_depth", "Tasks waiting.", &[("queue_name", "emails")], move || {
    ///     depth.lock().map_or(f64::NAN, |queue| queue.len() as f64)
    /// });
    /// # assert!(registry.encode(skopos::metrics::Format::Prometheus).contains("task_queue_depth{queue_name=\"emails\"} 2"));
    /// ```
    pub fn gauge_fn(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.add_read(name, help, Kind::Gauge, labels, move || Value::Gauge(read()));
    }

    /// Reads a counter from a closure at each scrape, as [`Registry::gauge_fn`].
    pub fn counter_fn(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.add_read(&counter_name(name), help, Kind::Counter, labels, move || {
            Value::Counter(read())
        });
    }

    fn add_read(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        labels: &[(&str, &str)],
        read: impl Fn() -> Value + Send + Sync + 'static,
    ) {
        let labels =
            labels.iter().map(|(name, value)| (valid_name(name), (*value).to_owned())).collect();
        let source = Box::new(Read { labels, read });
        let name = valid_name(name);
        let mut metrics = self.lock();
        let metric = metrics.entry(name.clone()).or_insert_with(|| Metric {
            help: help.to_owned(),
            kind,
            sources: Vec::new(),
            handle: Box::new(()),
        });
        if metric.kind == kind {
            metric.sources.push(source);
        } else {
            drop(metrics);
            warn_conflict(&name);
        }
    }

    /// Returns what is registered under the name, or registers what `make` makes. A name that is taken by something else
    /// yields an instrument that works and is not exposed: telemetry never stops a service.
    fn register<I: Source + Clone + 'static>(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        make: impl FnOnce() -> I,
    ) -> I {
        let name = valid_name(name);
        let mut metrics = self.lock();
        if let Some(metric) = metrics.get(&name) {
            if let Some(handle) = metric.handle.downcast_ref::<I>() {
                return handle.clone();
            }
            drop(metrics);
            warn_conflict(&name);
            return make();
        }
        let instrument = make();
        let metric = Metric {
            help: help.to_owned(),
            kind,
            sources: vec![Box::new(instrument.clone())],
            handle: Box::new(instrument.clone()),
        };
        metrics.insert(name, metric);
        instrument
    }

    /// Writes all metrics in a text format.
    pub fn encode(&self, format: Format) -> String {
        text::encode(&self.lock(), format)
    }
}

fn warn_conflict(metric: &str) {
    tracing::warn!(target: "skopos::metrics", metric, "metric name is taken by another kind of metric; this one is not exposed");
}

fn counter_name(name: &str) -> String {
    if name.ends_with("_total") { name.to_owned() } else { format!("{name}_total") }
}

/// Replaces what Prometheus does not allow in a name.
fn valid_name(name: &str) -> String {
    let mut valid = String::with_capacity(name.len() + 1);
    if name.bytes().next().is_none_or(|first| first.is_ascii_digit()) {
        valid.push('_');
    }
    valid.extend(name.chars().map(|letter| {
        if letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':') { letter } else { '_' }
    }));
    valid
}

/// A series that a closure reads.
struct Read<F> {
    labels: Vec<(String, String)>,
    read: F,
}

impl<F: Fn() -> Value + Send + Sync> Source for Read<F> {
    fn visit(&self, visit: Visit<'_>) {
        let labels: Vec<(&str, &str)> =
            self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        visit(&labels, (self.read)());
    }
}
