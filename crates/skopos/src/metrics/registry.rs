//! All metrics of a process, by name.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::source::{Metric, Pushed, View};
use super::{
    Bounded, Counter, DEFAULT_SERIES_LIMIT, Family, Format, Gauge, Histogram, Kind, LabelSet,
    Source, Value, Visit, text, valid_label, valid_name,
};

crate::labels! {
    struct PanicLabels { metric: Bounded<50> }
}

/// All metrics of a process. Cloning shares it.
///
/// ```
/// use skopos::metrics::{Format, Registry};
///
/// let registry = Registry::new(); // a service uses `telemetry.registry()`
/// registry.counter("orders_placed", "Orders placed.").inc();
/// assert!(registry.encode(Format::Prometheus).contains("\norders_placed_total 1\n"));
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    metrics: Mutex<BTreeMap<String, Metric>>,
    series_limit: OnceLock<usize>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Registry").field("metrics", &self.lock().len()).finish()
    }
}

impl Registry {
    /// Returns an empty registry.
    ///
    /// ```
    /// let registry = skopos::metrics::Registry::new();
    /// # let _ = registry;
    /// ```
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Bounds the label sets that each family made after this keeps apart. The first call decides.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// registry.limit_series(500);
    /// ```
    pub fn limit_series(&self, limit: usize) {
        let _ = self.inner.series_limit.set(limit.max(1));
    }

    pub(crate) fn series_limit(&self) -> usize {
        self.inner.series_limit.get().copied().unwrap_or(DEFAULT_SERIES_LIMIT)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Metric>> {
        // Nothing below can leave the map half-changed, so a panic elsewhere does not spoil it.
        self.inner.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the counter of this name. A name that does not end in `_total` gets that ending.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let orders = registry.counter("orders_placed_total", "Orders placed.");
    /// orders.inc();
    /// ```
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.register(&counter_name(name), help, Kind::Counter, Counter::default)
    }

    /// Returns the gauge of this name.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let stock = registry.gauge("stock_items", "Items in stock.");
    /// stock.set(42.0);
    /// ```
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(name, help, Kind::Gauge, Gauge::default)
    }

    /// Returns the histogram of this name with these upper bounds.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let seconds = registry.histogram("pack_seconds", "Packing.", &[0.1, 1.0, 10.0]);
    /// seconds.observe(0.25);
    /// ```
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.register(name, help, Kind::Histogram, || Histogram::new(bounds))
    }

    /// As [`Registry::histogram`], with exponential buckets besides: those are pushed by OTLP and tell quantiles within 5 %
    /// over any range, while the bounds, which the text formats need, may be few.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let sizes = registry.exponential_histogram("upload_size_bytes", "Uploads.", &[1e3, 1e6, 1e9]);
    /// sizes.observe(48_213.0);
    /// assert_eq!(sizes.count(), 1);
    /// ```
    pub fn exponential_histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.register(name, help, Kind::Histogram, || Histogram::with_exponential(bounds, true))
    }

    /// Returns the counters of this name, one for each label set.
    ///
    /// ```
    /// skopos::labels! { struct OrderLabels { region: skopos::metrics::Bounded<16> } }
    ///
    /// # let registry = skopos::metrics::Registry::new();
    /// let orders = registry.counter_family("orders_placed_total", "Orders placed.");
    /// orders.inc(&OrderLabels { region: "eu".into() });
    /// ```
    pub fn counter_family<L: LabelSet>(&self, name: &str, help: &str) -> Family<L, Counter> {
        let name = counter_name(name);
        self.register(&name, help, Kind::Counter, || {
            Family::new(&name, self.series_limit(), Counter::default)
        })
    }

    /// Returns the gauges of this name, one for each label set.
    ///
    /// ```
    /// skopos::labels! { struct OrderLabels { region: skopos::metrics::Bounded<16> } }
    ///
    /// # let registry = skopos::metrics::Registry::new();
    /// let stock = registry.gauge_family("stock_items", "Items in stock.");
    /// stock.set(&OrderLabels { region: "eu".into() }, 42.0);
    /// ```
    pub fn gauge_family<L: LabelSet>(&self, name: &str, help: &str) -> Family<L, Gauge> {
        self.register(name, help, Kind::Gauge, || {
            Family::new(name, self.series_limit(), Gauge::default)
        })
    }

    /// Returns the histograms of this name, one for each label set, with these upper bounds.
    ///
    /// ```
    /// skopos::labels! { struct OrderLabels { region: skopos::metrics::Bounded<16> } }
    ///
    /// # let registry = skopos::metrics::Registry::new();
    /// let values = registry.histogram_family("order_value_euros", "Values.", &[10.0, 100.0]);
    /// values.observe(&OrderLabels { region: "eu".into() }, 42.0);
    /// ```
    pub fn histogram_family<L: LabelSet>(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
    ) -> Family<L, Histogram> {
        self.histograms(name, help, bounds, false)
    }

    /// As [`Registry::histogram_family`], with exponential buckets besides: see [`Registry::exponential_histogram`].
    ///
    /// ```
    /// skopos::labels! { struct OrderLabels { region: skopos::metrics::Bounded<16> } }
    ///
    /// # let registry = skopos::metrics::Registry::new();
    /// let values = registry.exponential_histogram_family("order_value_euros", "Values.", &[10.0, 100.0]);
    /// values.observe(&OrderLabels { region: "eu".into() }, 42.0);
    /// ```
    pub fn exponential_histogram_family<L: LabelSet>(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
    ) -> Family<L, Histogram> {
        self.histograms(name, help, bounds, true)
    }

    fn histograms<L: LabelSet>(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
        is_exponential: bool,
    ) -> Family<L, Histogram> {
        let bounds = bounds.to_vec();
        self.register(name, help, Kind::Histogram, || {
            Family::new(name, self.series_limit(), move || {
                Histogram::with_exponential(&bounds, is_exponential)
            })
        })
    }

    /// Reads a gauge from a closure at each scrape. Several closures may share a name when their labels differ; the labels
    /// are fixed, so the number of series is the number of calls. A closure that panics costs that reading its series, counted in
    /// `skopos_metric_panics_total{metric}`.
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
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// static EVICTED: AtomicU64 = AtomicU64::new(3);
    /// registry.counter_fn("cache_evictions_total", "Evictions.", &[("cache", "carts")], || {
    ///     EVICTED.load(Ordering::Relaxed)
    /// });
    /// # assert!(registry.encode(skopos::metrics::Format::Prometheus).contains("cache_evictions_total{cache=\"carts\"} 3"));
    /// ```
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

    /// As [`Registry::counter_fn`], for a counter of fractions, such as seconds.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let started = std::time::Instant::now();
    /// registry.sum_fn("uptime_seconds_total", "Time since the start.", &[], move || {
    ///     started.elapsed().as_secs_f64()
    /// });
    /// ```
    pub fn sum_fn(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.add_read(&counter_name(name), help, Kind::Counter, labels, move || Value::Sum(read()));
    }

    fn add_read(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        labels: &[(&str, &str)],
        read: impl Fn() -> Value + Send + Sync + 'static,
    ) {
        let labels = labels
            .iter()
            .map(|(name, value)| (valid_label(name).into_owned(), (*value).to_owned()))
            .collect();
        self.add_source(name, help, kind, Arc::new(Read { labels, read }));
    }

    /// Adds a view: a metric that a closure tells at each reading, with labels of its own choosing.
    pub(crate) fn add_view(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        read: impl Fn(Visit<'_>) + Send + Sync + 'static,
    ) {
        self.add_source(name, help, kind, Arc::new(View(read)));
    }

    fn add_source(&self, name: &str, help: &str, kind: Kind, source: Arc<dyn Source>) {
        let name = valid_name(name).into_owned();
        let mut metrics = self.lock();
        let metric = metrics.entry(name.clone()).or_insert_with(|| Metric::new(help, kind));
        if metric.kind == kind {
            metric.sources.push(source);
        } else {
            drop(metrics);
            warn_conflict(&name);
        }
    }

    /// Makes a metric that is only in the text formats.
    pub(crate) fn do_not_push(&self, name: &str) {
        if let Some(metric) = self.lock().get_mut(&*valid_name(name)) {
            metric.pushed = None;
        }
    }

    /// Adds a metric that is only pushed, under a name of the semantic conventions.
    pub(crate) fn add_pushed(
        &self,
        name: &str,
        unit: &str,
        help: &str,
        kind: Kind,
        read: impl Fn(Visit<'_>) + Send + Sync + 'static,
    ) {
        let metric = Metric {
            is_text: false,
            pushed: Some(Pushed {
                name: Some(name.to_owned()),
                unit: Some(unit.to_owned()),
                scope: None,
            }),
            sources: vec![Arc::new(View(read))],
            ..Metric::new(help, kind)
        };
        // `pushed:` is no name that could be registered otherwise.
        self.lock().insert(format!("pushed:{name}"), metric);
    }

    /// Returns what is registered under the name, or registers what `make` makes. A name that is taken by something else
    /// yields an instrument that works and is not exposed: telemetry never stops a service.
    pub(crate) fn register<I: Source + Clone + 'static>(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        make: impl FnOnce() -> I,
    ) -> I {
        self.register_as(name, help, kind, Pushed::default(), make)
    }

    /// As [`Registry::register`], with what it is called where it is pushed.
    pub(crate) fn register_as<I: Source + Clone + 'static>(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        pushed: Pushed,
        make: impl FnOnce() -> I,
    ) -> I {
        let name = valid_name(name).into_owned();
        let mut metrics = self.lock();
        if let Some(metric) = metrics.get(&name) {
            let handle: &(dyn Any + Send + Sync) = &*metric.handle;
            if let Some(handle) = handle.downcast_ref::<I>().filter(|_| metric.kind == kind) {
                return handle.clone();
            }
            drop(metrics);
            warn_conflict(&name);
            return make();
        }
        let instrument = make();
        let metric = Metric {
            pushed: Some(pushed),
            sources: vec![Arc::new(instrument.clone())],
            handle: Arc::new(instrument.clone()),
            ..Metric::new(help, kind)
        };
        metrics.insert(name, metric);
        instrument
    }

    /// Returns all metrics by name. Read them without the registry's lock, so that a closure may use the registry.
    pub(crate) fn metrics(&self) -> Vec<(String, Metric)> {
        self.lock().iter().map(|(name, metric)| (name.clone(), metric.clone())).collect()
    }

    /// Reads the series of a metric. What is read through a closure of the service's own may panic: that costs its own series,
    /// is counted, and neither ends the thread that reads nor keeps the other metrics from being told. Returns whether all of
    /// them were read.
    pub(crate) fn read(&self, name: &str, metric: &Metric, visit: Visit<'_>) -> bool {
        let mut is_whole = true;
        for source in &metric.sources {
            if catch_unwind(AssertUnwindSafe(|| source.visit(&mut *visit))).is_err() {
                let help = "Readings of a metric that panicked and were left out.";
                self.counter_family("skopos_metric_panics_total", help)
                    .inc(&PanicLabels { metric: name.into() });
                is_whole = false;
            }
        }
        is_whole
    }

    /// Returns a recorder that takes the metrics of libraries that use the `metrics` facade into this registry.
    /// `metrics::set_global_recorder(telemetry.registry().recorder())` is all it needs.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// metrics::set_global_recorder(telemetry.registry().recorder())?;
    /// metrics::counter!("cache_hits").increment(1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "metrics-facade")]
    pub fn recorder(&self) -> super::FacadeRecorder {
        super::FacadeRecorder::new(self.clone())
    }

    /// Returns a meter provider of OpenTelemetry's API whose instruments live in this registry; the global one after
    /// [`Builder::install`](crate::Builder::install). Its type is not part of this API.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// use opentelemetry::metrics::MeterProvider as _;
    ///
    /// let meter = telemetry.registry().meter_provider().meter("my-library");
    /// meter.u64_counter("jobs.done").build().add(1, &[]);
    /// ```
    #[cfg(feature = "otel-metrics")]
    pub fn meter_provider(
        &self,
    ) -> impl opentelemetry::metrics::MeterProvider + Send + Sync + 'static {
        super::bridge::otel::Meters::new(self.clone())
    }

    /// Writes all metrics in a text format.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// registry.gauge("stock_items", "Items in stock.").set(42.0);
    /// let text = registry.encode(skopos::metrics::Format::Prometheus);
    /// assert_eq!(text, "# HELP stock_items Items in stock.\n# TYPE stock_items gauge\nstock_items 42\n");
    /// ```
    pub fn encode(&self, format: Format) -> String {
        text::encode(self, format)
    }
}

fn warn_conflict(metric: &str) {
    tracing::warn!(target: "skopos::metrics", metric, "metric name is taken by another kind of metric; this one is not exposed");
}

pub(crate) fn counter_name(name: &str) -> String {
    if name.ends_with("_total") { name.to_owned() } else { format!("{name}_total") }
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
