//! The `metrics` facade: a recorder that keeps its series in our registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ::metrics::{
    Counter as FacadeCounter, CounterFn, Gauge as FacadeGauge, GaugeFn,
    Histogram as FacadeHistogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString,
    Unit,
};

use super::{BOUNDS, text_name};
use crate::metrics::dynamic::DynamicFamily;
use crate::metrics::family::Instrument;
use crate::metrics::source::Pushed;
use crate::metrics::{Counter, Gauge, Histogram, Kind, Registry};

/// Descriptions that are kept at most; libraries describe their metrics once, at their start.
const MOST_DESCRIPTIONS: usize = 10_000;

/// A recorder for the `metrics` facade; made by [`Registry::recorder`].
///
/// ```
/// let registry = skopos::metrics::Registry::new();
/// metrics::with_local_recorder(&registry.recorder(), || {
///     metrics::counter!("mails_sent", "folder" => "in").increment(2);
/// });
/// let text = registry.encode(skopos::metrics::Format::Prometheus);
/// assert!(text.contains(r#"mails_sent_total{folder="in"} 2"#));
/// ```
#[derive(Clone)]
pub struct FacadeRecorder {
    registry: Registry,
    described: Arc<Mutex<HashMap<String, Description>>>,
}

#[derive(Clone, Default)]
struct Description {
    unit: Option<&'static str>,
    help: String,
}

impl std::fmt::Debug for FacadeRecorder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FacadeRecorder").finish_non_exhaustive()
    }
}

impl FacadeRecorder {
    pub(crate) fn new(registry: Registry) -> FacadeRecorder {
        FacadeRecorder { registry, described: Arc::default() }
    }

    fn describe(&self, key: &KeyName, unit: Option<Unit>, help: &SharedString) {
        let mut described = self.described.lock().unwrap_or_else(PoisonError::into_inner);
        if described.len() < MOST_DESCRIPTIONS {
            let unit = unit.map(|unit| unit.as_str()).filter(|unit| *unit != "count");
            let description = Description { unit, help: help.to_string() };
            described.insert(key.as_str().to_owned(), description);
        }
    }

    fn instrument<I: Instrument>(
        &self,
        key: &Key,
        kind: Kind,
        make: impl Fn() -> I + Send + Sync + 'static,
    ) -> I {
        let description = {
            let described = self.described.lock().unwrap_or_else(PoisonError::into_inner);
            described.get(key.name()).cloned().unwrap_or_default()
        };
        let name = text_name(key.name(), description.unit, kind);
        let limit = self.registry.series_limit();
        // Under the same name, which says the unit.
        let named = Pushed { scope: Some("metrics".to_owned()), ..Pushed::default() };
        let family = self.registry.register_as(&name, &description.help, kind, named, || {
            DynamicFamily::new(&name, limit, make)
        });
        family.get(key.labels().map(|label| (label.key(), label.value().to_owned())))
    }
}

impl Recorder for FacadeRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&key, unit, &help);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&key, unit, &help);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&key, unit, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> FacadeCounter {
        let counter = self.instrument(key, Kind::Counter, Counter::default);
        FacadeCounter::from_arc(Arc::new(Bridged(counter)))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> FacadeGauge {
        let gauge = self.instrument(key, Kind::Gauge, Gauge::default);
        FacadeGauge::from_arc(Arc::new(Bridged(gauge)))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> FacadeHistogram {
        let make = || Histogram::with_exponential(BOUNDS, true);
        let histogram = self.instrument(key, Kind::Histogram, make);
        FacadeHistogram::from_arc(Arc::new(Bridged(histogram)))
    }
}

/// One of our instruments in the facade's clothes.
struct Bridged<I>(I);

impl CounterFn for Bridged<Counter> {
    fn increment(&self, value: u64) {
        self.0.add(value);
    }

    fn absolute(&self, value: u64) {
        self.0.raise_to(value);
    }
}

impl GaugeFn for Bridged<Gauge> {
    fn increment(&self, value: f64) {
        self.0.add(value);
    }

    fn decrement(&self, value: f64) {
        self.0.add(-value);
    }

    fn set(&self, value: f64) {
        self.0.set(value);
    }
}

impl HistogramFn for Bridged<Histogram> {
    fn record(&self, value: f64) {
        self.0.observe(value);
    }
}
