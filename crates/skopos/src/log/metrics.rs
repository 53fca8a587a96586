//! Metrics as lines: `OTEL_METRICS_EXPORTER=console`, for a look without a collector.
//!
//! Every ten seconds (`OTEL_METRIC_EXPORT_INTERVAL`), and when telemetry is flushed or shut down, a line of the target
//! [`TARGET`] for each series that changed since it was last told: its name and labels as on `/metrics`, and its value; of a
//! histogram how much was observed, and how large it was on the average. It is for a desk: nothing limits how many series
//! there are.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tracing::Level;

use super::Sink;
use super::record::{Record, Value as Field};
use crate::clock::{self, Clock};
use crate::filter;
use crate::metrics::{self, Registry, Value};

/// The target of these lines.
const TARGET: &str = "skopos::metric";

/// Tells the metrics of a registry. Cloning shares it.
#[derive(Clone)]
pub(crate) struct ConsoleMetrics {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    lines: Arc<dyn Sink>,
    clock: Clock,
    /// What was told of each series.
    told: Mutex<HashMap<String, Told>>,
    is_closed: Mutex<bool>,
    closing: Condvar,
}

/// The state of a series, as far as it is told.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    Count(u64),
    Number(f64),
    Observations { count: u64, sum: f64 },
}

impl Told {
    fn of(value: &Value) -> Told {
        match value {
            Value::Counter(count) => Told::Count(*count),
            Value::Sum(number) | Value::Gauge(number) => Told::Number(*number),
            Value::Histogram(histogram) => {
                Told::Observations { count: histogram.count(), sum: histogram.sum }
            }
        }
    }

    /// Whether there is nothing new to tell. A number that is none is never equal to itself, and yet no news.
    fn is_as(&self, other: Option<&Told>) -> bool {
        match (self, other) {
            (Told::Number(now), Some(Told::Number(before))) => {
                now == before || (now.is_nan() && before.is_nan())
            }
            (now, Some(before)) => now == before,
            (_, None) => false,
        }
    }
}

impl ConsoleMetrics {
    /// Starts the telling thread; [`ConsoleMetrics::close`] ends it.
    pub(crate) fn spawn(
        registry: Registry,
        lines: Arc<dyn Sink>,
        clock: Clock,
        interval: Duration,
    ) -> ConsoleMetrics {
        let console = ConsoleMetrics {
            shared: Arc::new(Shared {
                registry,
                lines,
                clock,
                told: Mutex::default(),
                is_closed: Mutex::new(false),
                closing: Condvar::new(),
            }),
        };
        let for_thread = console.clone();
        // Without a thread they are told when telemetry is flushed.
        let _ = std::thread::Builder::new().name("skopos-console".to_owned()).spawn(move || {
            filter::silence_thread();
            while !for_thread.rest(interval) {
                for_thread.tell();
            }
        });
        console
    }

    /// Writes a line for each series that changed.
    pub(crate) fn tell(&self) {
        let Shared { registry, lines, clock, told, .. } = &*self.shared;
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        let time = clock.now();
        for (name, metric) in registry.metrics() {
            if !metric.is_text {
                continue;
            }
            registry.read(&name, &metric, &mut |labels, value| {
                let series = metrics::series(&name, labels);
                let now = Told::of(&value);
                if !now.is_as(told.get(&series)) {
                    lines.write(&record(time, &series, now));
                    told.insert(series, now);
                }
            });
        }
    }

    /// Tells a last time and ends the thread.
    pub(crate) fn close(&self) {
        self.tell();
        self.abandon();
    }

    /// Ends the thread.
    pub(crate) fn abandon(&self) {
        *self.shared.is_closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.closing.notify_all();
    }

    /// Waits for the interval; returns whether it is all over.
    fn rest(&self, interval: Duration) -> bool {
        let due = clock::instant() + interval;
        let mut is_closed = self.shared.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = due.saturating_duration_since(clock::instant());
            if *is_closed || left.is_zero() {
                return *is_closed;
            }
            let waited = self.shared.closing.wait_timeout(is_closed, left);
            is_closed = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn record(time: std::time::SystemTime, series: &str, told: Told) -> Record {
    let mut record = Record::default();
    record.reset(time, Level::INFO, TARGET);
    record.put("message", Field::Text(series));
    match told {
        Told::Count(count) => record.put("value", Field::Unsigned(count)),
        Told::Number(number) => record.put("value", Field::Float(number)),
        Told::Observations { count, sum } => {
            record.put("count", Field::Unsigned(count));
            record.put("sum", Field::Float(sum));
            if count > 0 {
                record.put("mean", Field::Float(sum / count as f64));
            }
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use super::ConsoleMetrics;
    use crate::clock::Clock;
    use crate::log::testing::Lines;
    use crate::metrics::Registry;
    use std::sync::Arc;
    use std::time::Duration;

    fn spawn(registry: Registry, lines: &Lines) -> ConsoleMetrics {
        let interval = Duration::from_secs(3600);
        ConsoleMetrics::spawn(registry, Arc::new(lines.clone()), Clock::system(), interval)
    }

    #[test]
    fn a_series_is_told_when_it_changed_and_only_then() {
        let registry = Registry::new();
        let orders = registry.counter("orders_placed_total", "Orders.");
        registry.gauge_fn("level", "None yet.", &[("place", "a\"b")], || f64::NAN);
        let seconds = registry.histogram("work_seconds", "Work.", &[1.0]);
        let lines = Lines::default();
        let console = spawn(registry, &lines);
        let told = || {
            console.tell();
            lines.take()
        };
        assert_eq!(
            told(),
            [
                r#"INFO level{place="a\"b"} value=NaN"#,
                "INFO orders_placed_total value=0",
                "INFO work_seconds count=0 sum=0.0",
            ]
        );
        assert_eq!(told(), [""; 0]);
        orders.add(2);
        seconds.observe(0.5);
        seconds.observe(1.5);
        assert_eq!(
            told(),
            ["INFO orders_placed_total value=2", "INFO work_seconds count=2 sum=2.0 mean=1.0"]
        );
        orders.inc();
        console.close();
        assert_eq!(lines.take(), ["INFO orders_placed_total value=3"]);
    }

    #[test]
    fn a_closure_that_panics_is_counted_and_costs_the_others_nothing() {
        let registry = Registry::new();
        registry.gauge_fn("broken", "Broken.", &[], || panic!("no such pool"));
        registry.gauge_fn("sound", "Sound.", &[], || 1.0);
        let lines = Lines::default();
        let console = spawn(registry, &lines);
        console.tell();
        assert_eq!(lines.take(), ["INFO sound value=1.0"]);
        console.close();
        // Known since the first reading, so told by the second, during which it grew.
        assert_eq!(lines.take(), [r#"INFO skopos_metric_panics_total{metric="broken"} value=2"#]);
    }
}
