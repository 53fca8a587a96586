//! OpenTelemetry's metrics API: a meter provider whose instruments live in our registry.
//!
//! There is no second pipeline and no second set of limits. Views are not supported; a histogram's boundaries are those that its
//! library advises. An instrument that is asked for twice is the same one.

use std::sync::Arc;

use opentelemetry::metrics::{
    AsyncInstrument, AsyncInstrumentBuilder, Callback, Counter as OtelCounter, Gauge as OtelGauge,
    Histogram as OtelHistogram, HistogramBuilder, InstrumentBuilder, InstrumentProvider, Meter,
    MeterProvider, ObservableCounter, ObservableGauge, ObservableUpDownCounter, SyncInstrument,
    UpDownCounter,
};
use opentelemetry::{InstrumentationScope, KeyValue};

use super::{BOUNDS, text_name};
use crate::metrics::dynamic::DynamicFamily;
use crate::metrics::family::{Instrument, Reading};
use crate::metrics::source::Pushed;
use crate::metrics::{Gauge, Histogram, Kind, Registry, Source, Value, Visit};

/// Hands out meters; the global one after [`Builder::install`](crate::Builder::install).
#[derive(Debug, Clone)]
pub(crate) struct Meters {
    registry: Registry,
}

impl Meters {
    pub(crate) fn new(registry: Registry) -> Meters {
        Meters { registry }
    }
}

impl MeterProvider for Meters {
    fn meter_with_scope(&self, scope: InstrumentationScope) -> Meter {
        let scope = scope.name().to_owned();
        Meter::new(Arc::new(Instruments { registry: self.registry.clone(), scope }))
    }
}

/// The instruments of one library.
struct Instruments {
    registry: Registry,
    scope: String,
}

/// What a library says of an instrument.
struct Described<'d> {
    name: &'d str,
    unit: Option<&'d str>,
    help: &'d str,
}

impl Instruments {
    fn register<S: Source + Clone + 'static>(
        &self,
        described: &Described<'_>,
        kind: Kind,
        make: impl FnOnce(&str) -> S,
    ) -> S {
        let name = text_name(described.name, described.unit, kind);
        let named = Pushed {
            name: Some(described.name.to_owned()),
            unit: Some(described.unit.unwrap_or_default().to_owned()),
            scope: Some(self.scope.clone()),
        };
        self.registry.register_as(&name, described.help, kind, named, || make(&name))
    }

    fn family<I: Instrument>(
        &self,
        described: &Described<'_>,
        kind: Kind,
        make: impl Fn() -> I + Send + Sync + 'static,
    ) -> Bridged<I> {
        let limit = self.registry.series_limit();
        Bridged(self.register(described, kind, |name| DynamicFamily::new(name, limit, make)))
    }

    fn observed<T: Number>(
        &self,
        described: &Described<'_>,
        kind: Kind,
        callbacks: Vec<Callback<T>>,
    ) {
        let limit = self.registry.series_limit();
        let callbacks = Arc::new(callbacks);
        self.register(described, kind, |_| Observed { callbacks, kind, limit });
    }
}

/// A number that OpenTelemetry's instruments take.
trait Number: Copy + Send + Sync + 'static {
    fn float(self) -> f64;
}

impl Number for f64 {
    fn float(self) -> f64 {
        self
    }
}

impl Number for u64 {
    fn float(self) -> f64 {
        self as f64
    }
}

impl Number for i64 {
    fn float(self) -> f64 {
        self as f64
    }
}

/// A sum that may have fractions. Not a [`Gauge`] to the registry, which tells it as a counter.
#[derive(Debug, Clone, Default)]
struct Sum(Gauge);

impl Instrument for Sum {
    fn read(&self) -> Reading {
        Reading(Value::Sum(self.0.get()))
    }
}

/// The instruments of one name behind OpenTelemetry's trait.
struct Bridged<I>(DynamicFamily<I>);

impl<I: Instrument> Bridged<I> {
    fn of(&self, attributes: &[KeyValue]) -> I {
        self.0.get(labels(attributes))
    }
}

fn labels(attributes: &[KeyValue]) -> impl Iterator<Item = (&str, String)> {
    attributes.iter().map(|attribute| (attribute.key.as_str(), attribute.value.to_string()))
}

impl<T: Number> SyncInstrument<T> for Bridged<Sum> {
    fn measure(&self, measurement: T, attributes: &[KeyValue]) {
        // A counter does not go down; by the specification such a measurement is ignored.
        if measurement.float() >= 0.0 {
            self.of(attributes).0.add(measurement.float());
        }
    }
}

/// Adds to a gauge, where the one below sets it.
struct UpDown(Bridged<Gauge>);

impl<T: Number> SyncInstrument<T> for UpDown {
    fn measure(&self, measurement: T, attributes: &[KeyValue]) {
        self.0.of(attributes).add(measurement.float());
    }
}

impl<T: Number> SyncInstrument<T> for Bridged<Gauge> {
    fn measure(&self, measurement: T, attributes: &[KeyValue]) {
        self.of(attributes).set(measurement.float());
    }
}

impl<T: Number> SyncInstrument<T> for Bridged<Histogram> {
    fn measure(&self, measurement: T, attributes: &[KeyValue]) {
        self.of(attributes).observe(measurement.float());
    }
}

/// An instrument whose library is asked when metrics are read.
struct Observed<T> {
    callbacks: Arc<Vec<Callback<T>>>,
    kind: Kind,
    limit: usize,
}

impl<T> Clone for Observed<T> {
    fn clone(&self) -> Self {
        Observed { callbacks: self.callbacks.clone(), kind: self.kind, limit: self.limit }
    }
}

/// Takes what one reading observes.
struct Reader(DynamicFamily<Gauge>);

impl<T: Number> AsyncInstrument<T> for Reader {
    fn observe(&self, measurement: T, attributes: &[KeyValue]) {
        self.0.get(labels(attributes)).set(measurement.float());
    }
}

impl<T: Number> Source for Observed<T> {
    fn visit(&self, visit: Visit<'_>) {
        let reader = Reader(DynamicFamily::new("", self.limit, Gauge::default));
        for callback in self.callbacks.iter() {
            callback(&reader);
        }
        reader.0.visit(&mut |labels, value| {
            let value = match (self.kind, value) {
                (Kind::Counter, Value::Gauge(value)) => Value::Sum(value),
                (_, value) => value,
            };
            visit(labels, value);
        });
    }
}

fn described<'d, I>(builder: &'d InstrumentBuilder<'_, I>) -> Described<'d> {
    Described {
        name: &builder.name,
        unit: builder.unit.as_deref(),
        help: builder.description.as_deref().unwrap_or_default(),
    }
}

macro_rules! counters {
    ($($method:ident: $number:ty),+) => {$(
        fn $method(&self, builder: InstrumentBuilder<'_, OtelCounter<$number>>) -> OtelCounter<$number> {
            OtelCounter::new(Arc::new(self.family(&described(&builder), Kind::Counter, Sum::default)))
        }
    )+};
}

macro_rules! up_down_counters {
    ($($method:ident: $number:ty),+) => {$(
        fn $method(&self, builder: InstrumentBuilder<'_, UpDownCounter<$number>>) -> UpDownCounter<$number> {
            let family = self.family(&described(&builder), Kind::UpDownCounter, Gauge::default);
            UpDownCounter::new(Arc::new(UpDown(family)))
        }
    )+};
}

macro_rules! gauges {
    ($($method:ident: $number:ty),+) => {$(
        fn $method(&self, builder: InstrumentBuilder<'_, OtelGauge<$number>>) -> OtelGauge<$number> {
            OtelGauge::new(Arc::new(self.family(&described(&builder), Kind::Gauge, Gauge::default)))
        }
    )+};
}

macro_rules! histograms {
    ($($method:ident: $number:ty),+) => {$(
        fn $method(&self, builder: HistogramBuilder<'_, OtelHistogram<$number>>) -> OtelHistogram<$number> {
            let described = Described {
                name: &builder.name,
                unit: builder.unit.as_deref(),
                help: builder.description.as_deref().unwrap_or_default(),
            };
            let bounds = builder.boundaries.clone().unwrap_or_else(|| BOUNDS.to_vec());
            let is_exponential = builder.boundaries.is_none();
            OtelHistogram::new(Arc::new(self.family(&described, Kind::Histogram, move || {
                Histogram::with_exponential(&bounds, is_exponential)
            })))
        }
    )+};
}

macro_rules! observables {
    ($($method:ident: $instrument:ident<$number:ty> as $kind:ident),+) => {$(
        fn $method(
            &self,
            builder: AsyncInstrumentBuilder<'_, $instrument<$number>, $number>,
        ) -> $instrument<$number> {
            let described = Described {
                name: &builder.name,
                unit: builder.unit.as_deref(),
                help: builder.description.as_deref().unwrap_or_default(),
            };
            self.observed(&described, Kind::$kind, builder.callbacks);
            $instrument::new()
        }
    )+};
}

impl InstrumentProvider for Instruments {
    counters!(u64_counter: u64, f64_counter: f64);
    up_down_counters!(i64_up_down_counter: i64, f64_up_down_counter: f64);
    gauges!(u64_gauge: u64, f64_gauge: f64, i64_gauge: i64);
    histograms!(f64_histogram: f64, u64_histogram: u64);
    observables!(
        u64_observable_counter: ObservableCounter<u64> as Counter,
        f64_observable_counter: ObservableCounter<f64> as Counter,
        i64_observable_up_down_counter: ObservableUpDownCounter<i64> as UpDownCounter,
        f64_observable_up_down_counter: ObservableUpDownCounter<f64> as UpDownCounter,
        u64_observable_gauge: ObservableGauge<u64> as Gauge,
        f64_observable_gauge: ObservableGauge<f64> as Gauge,
        i64_observable_gauge: ObservableGauge<i64> as Gauge
    );
}
