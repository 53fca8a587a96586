//! Telemetry in your own tests: capture what the code under test logs, traces and counts, and assert on it.
//!
//! A [`Capture`] belongs to one test. It does not touch the process: tests run in parallel, each with its own. It holds the
//! thread that made it; code on other threads is brought in by [`Capture::attach`] (a future) or [`Capture::on_thread`].
//! Everything has passed the redactor, as it would on its way out: [`Capture::assert_absent`] looks for a planted
//! [`Canary`](crate::redact::Canary) in every sink.
//!
//! ```
//! use skopos::testing::Capture;
//! use tracing::Level;
//!
//! fn place_order(id: &str) {
//!     let span = tracing::info_span!("process_order", order_id = id);
//!     let _entered = span.enter();
//!     tracing::info!(amount = 99.99, password = "hunter2", "order placed");
//! }
//!
//! let capture = Capture::start();
//! place_order("o-1");
//! let line = capture.assert_logged(Level::INFO, "order placed");
//! assert_eq!((line.field("order_id"), line.field("password")), (Some("o-1"), Some("[REDACTED]")));
//! assert_eq!(line.trace_id, Some(capture.assert_span("process_order").trace_id));
//! capture.assert_no_errors();
//! ```

use std::fmt::Write as _;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::instrument::{WithDispatch, WithSubscriber as _};
use tracing::{Dispatch, Level};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::log::Sink;
use crate::log::record::{Record, Value};
use crate::metrics::{Format, Registry};
use crate::redact::Canary;
use crate::{Builder, Service, Telemetry};

mod spans;

pub(crate) use spans::Collecting;
pub use spans::{Span, SpanEvent};

/// A log record, as it would have left.
///
/// ```
/// let capture = skopos::testing::Capture::start();
/// tracing::info!(order_id = "o-1", "order placed");
/// let log = &capture.logs()[0];
/// assert_eq!((log.message.as_str(), log.field("order_id")), ("order placed", Some("o-1")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// How grave it is.
    pub level: Level,
    /// Who says it: the module.
    pub target: String,
    /// The text.
    pub message: String,
    /// The request that it belongs to.
    pub request_id: Option<String>,
    /// Its trace, 32 hex digits.
    pub trace_id: Option<String>,
    /// Its span, 16 hex digits.
    pub span_id: Option<String>,
    /// The fields of the enclosing spans and the event, as text.
    pub fields: Vec<(String, String)>,
}

impl Log {
    /// Returns the text of a field; by their names also what stands on each line: `request_id`, `trace_id`, `span_id`,
    /// `message`, `target` and `level`.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// tracing::info!(amount = 2, request_id = "r-1", "paid");
    /// let log = &capture.logs()[0];
    /// assert_eq!((log.field("amount"), log.field("request_id")), (Some("2"), Some("r-1")));
    /// ```
    pub fn field(&self, name: &str) -> Option<&str> {
        match name {
            "request_id" => self.request_id.as_deref(),
            "trace_id" => self.trace_id.as_deref(),
            "span_id" => self.span_id.as_deref(),
            "message" => Some(&self.message),
            "target" => Some(&self.target),
            "level" => Some(self.level.as_str()),
            _ => {
                let (_, value) = self.fields.iter().find(|(existing, _)| existing == name)?;
                Some(value)
            }
        }
    }
}

/// Keeps what it is given.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<Log>>>);

impl Sink for Logs {
    fn write(&self, record: &Record) {
        let log = Log {
            level: record.level,
            target: record.target.clone(),
            message: record.message.clone(),
            request_id: record.request_id.as_deref().map(str::to_owned),
            trace_id: record.trace.map(|ids| ids.trace.to_string()),
            span_id: record.trace.map(|ids| ids.span.to_string()),
            fields: record
                .fields()
                .map(|field| (field.name.to_owned(), text_of(field.value)))
                .collect(),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(log);
    }
}

fn text_of(value: Value<&str>) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Unsigned(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
    }
}

/// Captures telemetry until it is dropped.
///
/// ```
/// let capture = skopos::testing::Capture::start();
/// tracing::warn!("stock is low");
/// capture.assert_logged(tracing::Level::WARN, "stock is low");
/// ```
pub struct Capture {
    telemetry: Telemetry,
    dispatch: Dispatch,
    logs: Logs,
    spans: Collecting,
    _default: tracing::subscriber::DefaultGuard,
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Capture")
            .field("telemetry", &self.telemetry)
            .finish_non_exhaustive()
    }
}

impl Capture {
    /// Captures what this thread says from now on, DEBUG and above, whatever the environment says.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// tracing::debug!("seen, too");
    /// assert_eq!(capture.logs().len(), 1);
    /// ```
    pub fn start() -> Capture {
        Capture::with(Telemetry::builder(Service::new("test")).filter("debug"))
    }

    /// As [`Capture::start`], with settings of one's own: a redactor, a filter, a service.
    ///
    /// ```
    /// use skopos::testing::Capture;
    ///
    /// let capture = Capture::with(skopos::Telemetry::builder(skopos::Service::new("shop")).filter("warn"));
    /// tracing::info!("not seen");
    /// assert!(capture.logs().is_empty());
    /// ```
    ///
    /// # Panics
    /// The filter does not parse.
    #[track_caller]
    pub fn with(builder: Builder) -> Capture {
        let (logs, spans) = (Logs::default(), Collecting::default());
        let builder = builder.without_lines().lines_per_second(0);
        let captured = builder.capturing(Box::new(logs.clone()), spans.clone());
        let (telemetry, layer) = match captured.build() {
            Ok(built) => built,
            Err(error) => panic!("{error}"),
        };
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        let default = tracing::dispatcher::set_default(&dispatch);
        Capture { telemetry, dispatch, logs, spans, _default: default }
    }

    /// Returns the telemetry that captures, for its layers and clients.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// let layer = capture.telemetry().http_layer(); // for the router under test
    /// # let _ = layer;
    /// ```
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Returns the registry that captures.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// capture.registry().counter("orders_placed_total", "Orders placed.").inc();
    /// capture.assert_metric("orders_placed_total", &[], 1.0);
    /// ```
    pub fn registry(&self) -> &Registry {
        self.telemetry.registry()
    }

    /// Brings a future in that another thread will poll.
    ///
    /// ```
    /// # #[tokio::main(flavor = "multi_thread")] async fn main() {
    /// let capture = skopos::testing::Capture::start();
    /// tokio::spawn(capture.attach(async { tracing::info!("elsewhere") })).await.unwrap();
    /// capture.assert_logged(tracing::Level::INFO, "elsewhere");
    /// # }
    /// ```
    pub fn attach<F: Future>(&self, future: F) -> WithDispatch<F> {
        future.with_subscriber(self.dispatch.clone())
    }

    /// Captures what another thread says, for as long as the guard lives there.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// let join = capture.on_thread();
    /// std::thread::spawn(move || {
    ///     let _captured = join();
    ///     tracing::info!("elsewhere");
    /// })
    /// .join()
    /// .unwrap();
    /// capture.assert_logged(tracing::Level::INFO, "elsewhere");
    /// ```
    pub fn on_thread(&self) -> impl FnOnce() -> tracing::subscriber::DefaultGuard + Send + 'static {
        let dispatch = self.dispatch.clone();
        move || tracing::dispatcher::set_default(&dispatch)
    }

    /// Returns the log records so far, in order.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// assert!(capture.logs().is_empty());
    /// ```
    pub fn logs(&self) -> Vec<Log> {
        self.logs.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the spans that ended so far, in the order in which they ended.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// tracing::info_span!("pack").in_scope(|| ());
    /// assert_eq!(capture.spans()[0].name, "pack");
    /// ```
    pub fn spans(&self) -> Vec<Span> {
        self.spans.all()
    }

    /// Returns the value of a series: of a counter or gauge, or of a histogram's `_count` and `_sum`.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// capture.registry().counter("orders_placed_total", "Orders placed.").inc();
    /// assert_eq!(capture.metric("orders_placed_total", &[]), Some(1.0));
    /// ```
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let text = self.registry().encode(Format::Prometheus);
        let mut labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        labels.sort();
        text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, pairs) = match series.split_once('{') {
                Some((found, pairs)) => (found, pairs.trim_end_matches('}')),
                None => (series, ""),
            };
            let mut pairs: Vec<&str> = pairs.split(',').filter(|pair| !pair.is_empty()).collect();
            pairs.sort_unstable();
            (found == name && pairs == labels).then(|| value.parse().ok())?
        })
    }

    /// Returns the first record of this level with this message.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// tracing::info!("order placed");
    /// capture.assert_logged(tracing::Level::INFO, "order placed");
    /// ```
    ///
    /// # Panics
    /// There is none; the message shows what there is.
    #[track_caller]
    pub fn assert_logged(&self, level: Level, message: &str) -> Log {
        let logs = self.logs();
        let found = logs.iter().find(|log| log.level == level && log.message == message);
        match found {
            Some(log) => log.clone(),
            None => panic!("no {level} line {message:?} among:\n{}", self.snapshot()),
        }
    }

    /// Returns the first ended span of this name.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// tracing::info_span!("pack", order_id = "o-1").in_scope(|| ());
    /// assert_eq!(capture.assert_span("pack").attribute("order_id"), Some("o-1"));
    /// ```
    ///
    /// # Panics
    /// There is none; the message shows what there is.
    #[track_caller]
    pub fn assert_span(&self, name: &str) -> Span {
        match self.spans().into_iter().find(|span| span.name == name) {
            Some(span) => span,
            None => panic!("no span {name:?} has ended among:\n{}", self.snapshot()),
        }
    }

    /// Asserts that nothing was logged as ERROR and no span failed.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// tracing::warn!("a warning is no error");
    /// capture.assert_no_errors();
    /// ```
    ///
    /// # Panics
    /// Something was.
    #[track_caller]
    pub fn assert_no_errors(&self) {
        let is_bad = self.logs().iter().any(|log| log.level == Level::ERROR)
            || self.spans().iter().any(|span| span.error.is_some());
        assert!(!is_bad, "there were errors:\n{}", self.snapshot());
    }

    /// Asserts that a series has this value.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// capture.registry().gauge("stock_items", "Stock.").set(3.0);
    /// capture.assert_metric("stock_items", &[], 3.0);
    /// ```
    ///
    /// # Panics
    /// It has another, or there is no such series.
    #[track_caller]
    pub fn assert_metric(&self, name: &str, labels: &[(&str, &str)], expected: f64) {
        let found = self.metric(name, labels);
        assert!(
            found == Some(expected),
            "{name}{labels:?} is {found:?}, not {expected}:\n{}",
            self.registry().encode(Format::Prometheus)
        );
    }

    /// Asserts that a planted secret reached no sink: no line, no span, no metric.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// let canary = skopos::redact::Canary::new("login");
    /// tracing::info!(password = canary.as_str(), "login");
    /// capture.assert_absent(&canary);
    /// ```
    ///
    /// # Panics
    /// It did; the message names the sink.
    #[track_caller]
    pub fn assert_absent(&self, canary: &Canary) {
        canary.assert_absent("the log", format!("{:?}", self.logs()));
        canary.assert_absent("the spans", format!("{:?}", self.spans()));
        canary.assert_absent("the metrics", self.registry().encode(Format::OpenMetrics));
    }

    /// Returns what was captured as stable text, for snapshot tests: lines, spans as a tree with their attributes, counters.
    /// Ids are replaced by numbers in order of appearance; times and durations are left out.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// tracing::info!(target: "shop", order_id = "o-1", "order placed");
    /// assert_eq!(capture.snapshot(), "INFO shop: order placed order_id=o-1\n");
    /// ```
    pub fn snapshot(&self) -> String {
        let mut text = String::new();
        for log in self.logs() {
            // Writing to a string cannot fail, here and below.
            let _ = write!(text, "{} {}: {}", log.level, log.target, log.message);
            for (name, value) in &log.fields {
                if !name.ends_with("duration_ms") {
                    let _ = write!(text, " {name}={value}");
                }
            }
            text.push('\n');
        }
        spans::push_tree(&mut text, &self.spans());
        let metrics = self.registry().encode(Format::Prometheus);
        for line in metrics.lines() {
            let is_counter =
                line.split(['{', ' ']).next().is_some_and(|name| name.ends_with("_total"));
            let is_own = line.starts_with("skopos_") || line.starts_with('#');
            if is_counter && !is_own && !line.ends_with(" 0") {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }
}
