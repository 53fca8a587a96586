//! Work that no HTTP request brings: background jobs, messages taken from a queue, messages put into one.
//!
//! A message is a piece of work of its own: its span begins a new trace and has a *link* to the span that sent it, because a
//! message may wait for hours, and one batch may have many senders. Where a consumer rather belongs into the sender's trace,
//! [`Work::as_child`] says so. The sender's request id goes on either way, so log lines of both sides are found together.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
//! # let sent: std::sync::Mutex<Vec<(String, String)>> = Default::default();
//! // The sender puts the headers beside the message …
//! telemetry.publish("nats", "orders").run(|headers| async {
//!     sent.lock().unwrap().extend(headers);
//!     Ok::<(), std::io::Error>(())
//! }).await.unwrap();
//!
//! // … and the receiver takes them from there.
//! # let headers = sent.into_inner().unwrap();
//! let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
//! telemetry.consume("nats", "orders").sent_by(headers).run(async {
//!     tracing::info!("order packed"); // with the sender's request id
//!     Ok::<(), std::io::Error>(())
//! }).await.unwrap();
//!
//! telemetry.job("clean_up").run(async { Ok::<(), std::io::Error>(()) }).await.unwrap();
//! # }
//! ```

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::clock;
use crate::context::propagators::Propagators;
use crate::context::{self, RequestContext};
use crate::error;
use crate::log::HTTP_TARGET;
use crate::metrics::{Bounded, Family, Gauge, Histogram, Registry};

crate::label_values! {
    pub(crate) enum Outcome { Success => "success", Failure => "failure" }
}

crate::labels! {
    pub(crate) struct TaskLabels { task: Bounded<50> }
}

crate::labels! {
    pub(crate) struct FinishedLabels { task: Bounded<50>, outcome: Outcome }
}

/// Durations of jobs, in seconds.
const BOUNDS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// The metrics of all work.
#[derive(Clone)]
pub(crate) struct WorkMetrics {
    duration: Family<FinishedLabels, Histogram>,
    in_progress: Family<TaskLabels, Gauge>,
}

impl WorkMetrics {
    pub(crate) fn register(registry: &Registry) -> WorkMetrics {
        let help = "Duration of jobs and of the processing of messages.";
        WorkMetrics {
            duration: registry.histogram_family("task_duration_seconds", help, BOUNDS),
            in_progress: registry.gauge_family("tasks_in_progress", "Jobs and messages under way."),
        }
    }
}

/// A job or a message about to be worked on; made by [`Telemetry::job`](crate::Telemetry::job) and
/// [`Telemetry::consume`](crate::Telemetry::consume).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
/// let done = telemetry.job("clean_up").run(async { Ok::<_, std::io::Error>(3) }).await;
/// assert_eq!(done.unwrap(), 3);
/// # }
/// ```
#[must_use = "work does nothing until it is run"]
#[derive(Clone)]
pub struct Work {
    metrics: WorkMetrics,
    propagators: Propagators,
    name: String,
    /// Messaging system and queue of a message.
    source: Option<(String, String)>,
    sender: Option<SpanContext>,
    request_id: Option<Arc<str>>,
    baggage: Option<Arc<str>>,
    is_child: bool,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Work").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Work {
    pub(crate) fn job(metrics: WorkMetrics, propagators: Propagators, name: &str) -> Work {
        Work {
            metrics,
            propagators,
            name: name.to_owned(),
            source: None,
            sender: None,
            request_id: None,
            baggage: None,
            is_child: false,
        }
    }

    pub(crate) fn message(
        metrics: WorkMetrics,
        propagators: Propagators,
        system: &str,
        queue: &str,
    ) -> Work {
        Work {
            source: Some((system.to_owned(), queue.to_owned())),
            ..Work::job(metrics, propagators, &format!("process {queue}"))
        }
    }

    /// Takes the sender's context from the headers of the message. What does not parse is ignored.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let work = telemetry.consume("nats", "orders").sent_by([("x-request-id", "r-1")]);
    /// # let _ = work;
    /// ```
    pub fn sent_by<'h>(mut self, headers: impl IntoIterator<Item = (&'h str, &'h str)>) -> Work {
        let headers: Vec<(&str, &str)> = headers.into_iter().collect();
        let header = |wanted: &str| {
            let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| *value)
        };
        self.sender = self.propagators.extract(header);
        let baggage = header("baggage").filter(|_| self.propagators.baggage);
        self.baggage = baggage.and_then(context::bearable_baggage);
        self.request_id = header("x-request-id").and_then(context::accepted_request_id);
        self
    }

    /// Continues the sender's trace, instead of beginning one that is linked to it.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let headers = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    /// let work = telemetry.consume("nats", "orders").sent_by(headers).as_child();
    /// # let _ = work;
    /// ```
    pub fn as_child(mut self) -> Work {
        self.is_child = true;
        self
    }

    fn span(&self, request_id: &str) -> Span {
        let (system, queue) = self
            .source
            .as_ref()
            .map_or((None, None), |(system, queue)| (Some(system.as_str()), Some(queue.as_str())));
        let span = tracing::info_span!(
            target: HTTP_TARGET,
            parent: None,
            "task",
            otel.name = self.name,
            otel.kind = if system.is_some() { "consumer" } else { "internal" },
            otel.status_code = Empty,
            request_id,
            messaging.system = system,
            messaging.destination.name = queue,
            messaging.operation.type = system.map(|_| "process"),
            "error.type" = Empty,
        );
        if let Some(sender) = &self.sender {
            if self.is_child {
                let parent = opentelemetry::Context::new().with_remote_span_context(sender.clone());
                // Fails only when spans are off, and then there is nothing to set.
                let _ = span.set_parent(parent);
            } else {
                span.add_link(sender.clone());
            }
        }
        span
    }

    /// Does the work: in a span and a request of its own, timed in `task_duration_seconds{task,outcome}` and counted in
    /// `tasks_in_progress{task}` meanwhile. An error, a panic, and a future that is dropped are failures; so is what is
    /// marked by [`mark_failed`](crate::mark_failed). An error is told by one line at ERROR.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let failed = telemetry.job("clean_up").run(async { Err::<(), _>("no space") }).await;
    /// assert_eq!(failed, Err("no space"));
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the work itself.
    pub async fn run<T, E: Display>(
        self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let request_id =
            self.request_id.clone().unwrap_or_else(|| Arc::from(context::new_request_id()));
        let span = self.span(&request_id);
        let request = Arc::new(RequestContext {
            request_id,
            remote: self.sender.clone().filter(|_| self.is_child),
            baggage: self.baggage.clone(),
            ..RequestContext::default()
        });
        request.bind(&span);
        let task: Bounded<50> = Bounded::new(self.name.clone());
        let in_progress = self.metrics.in_progress.get(&TaskLabels { task: task.clone() }).track();
        let mut finish = Finish {
            metrics: self.metrics.clone(),
            task,
            span: span.clone(),
            request: request.clone(),
            started: clock::instant(),
            is_success: false,
        };
        let mut work = pin!(work);
        let result = poll_fn(|context| {
            let _scope = request.enter();
            let _entered = span.enter();
            work.as_mut().poll(context)
        })
        .await;
        finish.is_success = result.is_ok();
        if let Err(problem) = &result {
            let _scope = request.enter();
            let _entered = span.enter();
            error::record(&span, std::any::type_name::<E>(), &problem.to_string());
            tracing::error!(target: "skopos::task", task = self.name, error = %problem, "task failed");
        }
        drop(finish);
        drop(in_progress);
        result
    }
}

/// Ends a piece of work, whatever ended it.
struct Finish {
    metrics: WorkMetrics,
    task: Bounded<50>,
    span: Span,
    request: Arc<RequestContext>,
    started: std::time::Instant,
    is_success: bool,
}

impl Drop for Finish {
    fn drop(&mut self) {
        let marked = self.request.failure.get();
        let is_success = self.is_success && marked.is_none();
        let outcome = if is_success { Outcome::Success } else { Outcome::Failure };
        if !is_success {
            self.span.record("otel.status_code", "ERROR");
            if let Some(reason) = marked {
                self.span.record("error.type", &**reason);
            } else if !self.is_success {
                let kind = if std::thread::panicking() { "panic" } else { "failed_or_dropped" };
                self.span.record("error.type", kind);
            }
        }
        let trace = || {
            self.span.with_subscriber(|(id, dispatch)| context::trace_of(dispatch, id)).flatten()
        };
        let labels = FinishedLabels { task: self.task.clone(), outcome };
        let elapsed = self.started.elapsed().as_secs_f64();
        self.metrics.duration.with(&labels, |duration| duration.observe_in(elapsed, trace));
    }
}

/// A message about to be sent; made by [`Telemetry::publish`](crate::Telemetry::publish).
///
/// ```
/// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
/// let publish = telemetry.publish("nats", "orders");
/// # let _ = publish;
/// ```
#[must_use = "nothing is sent until it is run"]
#[derive(Debug, Clone)]
pub struct Publish {
    system: String,
    queue: String,
}

impl Publish {
    pub(crate) fn new(system: &str, queue: &str) -> Publish {
        Publish { system: system.to_owned(), queue: queue.to_owned() }
    }

    /// Sends, in a PRODUCER span. The headers, which carry the current request, are to travel with the message.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let sent = telemetry.publish("nats", "orders").run(|headers| async move {
    ///     // client.publish_with_headers("orders", headers, payload).await
    ///     Ok::<_, std::io::Error>(headers.len())
    /// });
    /// # let _ = sent.await.unwrap();
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the sending itself.
    pub async fn run<T, E: Display, F: Future<Output = Result<T, E>>>(
        self,
        send: impl FnOnce(Vec<(String, String)>) -> F,
    ) -> Result<T, E> {
        use tracing::Instrument as _;
        let fresh = context::current_request_id_arc().is_none().then(context::new_request_id);
        let span = tracing::info_span!(
            target: HTTP_TARGET,
            "publish",
            otel.name = format!("publish {}", self.queue),
            otel.kind = "producer",
            otel.status_code = Empty,
            request_id = fresh,
            messaging.system = self.system,
            messaging.destination.name = self.queue,
            messaging.operation.type = "send",
            "error.type" = Empty,
        );
        let mut headers: Vec<(String, String)> = span.in_scope(|| {
            let known = context::propagation_headers().into_iter();
            known.map(|(name, value)| (name.to_owned(), value)).collect()
        });
        if let Some(id) = fresh.filter(|_| !headers.iter().any(|(name, _)| name == "x-request-id"))
        {
            headers.push(("x-request-id".to_owned(), id));
        }
        let sending = span.in_scope(|| send(headers));
        let result = sending.instrument(span.clone()).await;
        if let Err(problem) = &result {
            span.record("otel.status_code", "ERROR");
            error::record(&span, std::any::type_name::<E>(), &problem.to_string());
        }
        result
    }
}
