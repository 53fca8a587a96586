//! The request that code runs for: its id and its trace, found through the current span or, where spans are filtered out,
//! through the request's future.
//!
//! Ids are looked up, never guessed: the ids on a log line are those of the exported span. Propagation does not depend on a
//! span being enabled.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::UNIX_EPOCH;

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};
use tracing::Dispatch;
use tracing_subscriber::Registry;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use crate::clock;

mod b3;
pub(crate) mod global;
pub(crate) mod propagators;

use propagators::Propagators;

/// Longest request id that is accepted from outside.
const LONGEST_REQUEST_ID: usize = 128;
/// Longest baggage header that is passed on.
const LONGEST_BAGGAGE: usize = 8192;

/// The ids of a span.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceIds {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    pub(crate) sampled: bool,
}

impl fmt::Debug for TraceIds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.trace, self.span)
    }
}

impl From<&SpanContext> for TraceIds {
    fn from(context: &SpanContext) -> TraceIds {
        TraceIds {
            trace: context.trace_id(),
            span: context.span_id(),
            sampled: context.is_sampled(),
        }
    }
}

/// The request id bound to a span, kept in the span's extensions.
#[derive(Clone)]
pub(crate) struct BoundRequestId(pub(crate) Arc<str>);

/// Trace ids of a span, kept in its extensions once they are known.
struct KnownTraceIds(TraceIds);

/// The request that a span was made for, kept in its extensions.
struct BoundRequest(Weak<RequestContext>);

/// What a request brought along, for code that runs inside it.
#[derive(Default)]
pub(crate) struct RequestContext {
    pub(crate) request_id: Arc<str>,
    /// The caller's span, for propagation when no span of ours is enabled.
    pub(crate) remote: Option<SpanContext>,
    pub(crate) baggage: Option<Arc<str>>,
    /// Where rejected input of this request is counted.
    #[cfg(feature = "axum")]
    pub(crate) validation: Option<crate::validation::Failures>,
    /// Why it failed although nothing shows it: see [`mark_failed`].
    pub(crate) failure: OnceLock<Cow<'static, str>>,
}

impl RequestContext {
    /// Makes this the request of all code that runs inside the span, spawned tasks that carry it included.
    pub(crate) fn bind(self: &Arc<Self>, span: &tracing::Span) {
        span.with_subscriber(|(id, dispatch)| {
            let registry = dispatch.downcast_ref::<Registry>()?;
            registry.span(id)?.extensions_mut().replace(BoundRequest(Arc::downgrade(self)));
            Some(())
        });
    }

    /// Returns the request of the current span, else that of the future under poll.
    fn of_span() -> Option<Arc<RequestContext>> {
        let bound = tracing::dispatcher::get_default(|dispatch| {
            let registry = dispatch.downcast_ref::<Registry>()?;
            let span = registry.span(dispatch.current_span().id()?)?;
            span.scope().find_map(|span| span.extensions().get::<BoundRequest>()?.0.upgrade())
        });
        bound.or_else(RequestContext::current)
    }
}

/// Marks the current request, message or job as failed, whatever it will answer: a wrong 200 is an error too. The first
/// reason given stays.
///
/// The request then counts in `http_request_errors_total{reason}` and among the slow or fast failures, its span has the status
/// ERROR, and its access line is a WARN; all with the reason as `error.type`. Take reasons from a small closed set: at most
/// twenty are kept apart as a label.
///
/// Code outside any request marks nothing.
///
/// ```
/// # let total = -1;
/// if total < 0 {
///     skopos::mark_failed("negative_total");
/// }
/// ```
pub fn mark_failed(reason: impl Into<Cow<'static, str>>) {
    if let Some(request) = RequestContext::of_span() {
        let _ = request.failure.set(reason.into());
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<RequestContext>>> = const { RefCell::new(None) };
}

/// Restores the request that ran before, when dropped.
pub(crate) struct Scope(Option<Arc<RequestContext>>);

impl RequestContext {
    /// Makes this the current request of the thread for as long as the scope lives: one poll of its future.
    pub(crate) fn enter(self: &Arc<Self>) -> Scope {
        Scope(CURRENT.try_with(|current| current.borrow_mut().replace(self.clone())).ok().flatten())
    }

    pub(crate) fn current() -> Option<Arc<RequestContext>> {
        CURRENT.try_with(|current| current.try_borrow().ok()?.clone()).ok().flatten()
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let before = self.0.take();
        let _ = CURRENT.try_with(|current| *current.borrow_mut() = before);
    }
}

/// Returns the id of the request that the current code runs for.
///
/// It is known inside [`http_layer`](crate::Telemetry::http_layer) and in tasks that carry the request's span
/// (`tracing::Instrument`).
///
/// ```
/// // Inside a request: the id to show to whoever reports a problem.
/// let id = skopos::current_request_id();
/// # assert_eq!(id, None);
/// ```
pub fn current_request_id() -> Option<String> {
    current_request_id_arc().map(|id| id.to_string())
}

pub(crate) fn current_request_id_arc() -> Option<Arc<str>> {
    let bound = tracing::dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let span = registry.span(dispatch.current_span().id()?)?;
        span.scope()
            .find_map(|span| span.extensions().get::<BoundRequestId>().map(|id| id.0.clone()))
    });
    bound.or_else(|| RequestContext::current().map(|context| context.request_id.clone()))
}

/// Returns the current trace id, 32 hex digits, as it stands on log lines and exported spans.
///
/// ```
/// // Inside a request: the id that finds its trace.
/// let id = skopos::current_trace_id();
/// # assert_eq!(id, None);
/// ```
pub fn current_trace_id() -> Option<String> {
    current_trace().map(|ids| ids.trace.to_string())
}

/// Tells pipelines apart that may have had their registry at the same address, one after the other.
static PIPELINES: AtomicU64 = AtomicU64::new(0);

/// Makes what threads remember of spans invalid: a new pipeline may give out the same ids.
pub(crate) fn begin_pipeline() {
    PIPELINES.fetch_add(1, Ordering::Relaxed);
}

/// The span whose ids a thread looked up last: which one, and the ids.
type Remembered = ((u64, usize, u64), TraceIds);

thread_local! {
    static REMEMBERED: Cell<Option<Remembered>> = const { Cell::new(None) };
}

/// Returns the ids of the current span. Cheap when a thread asks again inside the same span.
pub(crate) fn current_trace() -> Option<TraceIds> {
    tracing::dispatcher::get_default(|dispatch| {
        let span = dispatch.current_span();
        let id = span.id()?;
        let registry = std::ptr::from_ref(dispatch.downcast_ref::<Registry>()?).addr();
        let key = (PIPELINES.load(Ordering::Relaxed), registry, id.into_u64());
        let remembered = REMEMBERED.try_with(Cell::get).ok().flatten();
        if let Some((_, ids)) = remembered.filter(|(known, _)| *known == key) {
            return Some(ids);
        }
        let ids = trace_of(dispatch, id)?;
        let _ = REMEMBERED.try_with(|remembered| remembered.set(Some((key, ids))));
        Some(ids)
    })
}

/// Returns the ids of a span if somebody asked for them before.
pub(crate) fn known_trace<'r, R: LookupSpan<'r>>(span: &SpanRef<'r, R>) -> Option<TraceIds> {
    span.extensions().get::<KnownTraceIds>().map(|known| known.0)
}

/// Returns the ids of a span, starting it for OpenTelemetry if that has not happened yet.
pub(crate) fn trace_of(dispatch: &Dispatch, id: &tracing::span::Id) -> Option<TraceIds> {
    let registry = dispatch.downcast_ref::<Registry>()?;
    let span = registry.span(id)?;
    if let Some(known) = span.extensions().get::<KnownTraceIds>() {
        return Some(known.0);
    }
    // No guard of the extensions may be held here: the look-up locks them itself.
    let context = tracing_opentelemetry::get_otel_context(id, dispatch)?;
    let span_context = context.span().span_context().clone();
    if !span_context.is_valid() {
        return None;
    }
    let ids = TraceIds::from(&span_context);
    span.extensions_mut().replace(KnownTraceIds(ids));
    Some(ids)
}

/// Returns the headers that carry the current request to the next service: `traceparent`, `tracestate` and `baggage`, or what
/// `OTEL_PROPAGATORS` says instead, and `x-request-id`; those of them that are known. For clients that this crate does not wrap.
///
/// ```
/// let mut request = http::Request::post("http://inventory/reserve").body(())?;
/// for (name, value) in skopos::propagation_headers() {
///     request.headers_mut().insert(name, value.parse()?);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn propagation_headers() -> Vec<(&'static str, String)> {
    let mut headers = Vec::with_capacity(4);
    let propagators = Propagators::current();
    let request = RequestContext::current();
    let current = tracing::dispatcher::get_default(|dispatch| {
        let span = dispatch.current_span();
        let context = tracing_opentelemetry::get_otel_context(span.id()?, dispatch)?;
        let context = context.span().span_context().clone();
        context.is_valid().then_some(context)
    });
    if let Some(context) =
        current.or_else(|| request.as_ref().and_then(|request| request.remote.clone()))
    {
        propagators.inject(&context, |name, value| headers.push((name, value)));
    }
    let baggage = request.as_ref().and_then(|request| request.baggage.as_deref());
    if let Some(baggage) = baggage.filter(|_| propagators.baggage) {
        headers.push(("baggage", baggage.to_owned()));
    }
    if let Some(id) = current_request_id_arc() {
        headers.push(("x-request-id", id.to_string()));
    }
    headers
}

pub(crate) fn format_traceparent(context: &SpanContext) -> String {
    let mut text = String::with_capacity(55);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "00-{}-{}-{:02x}",
        context.trace_id(),
        context.span_id(),
        context.trace_flags().to_u8()
    );
    text
}

/// Parses a W3C `traceparent` header; versions above 00 may be longer.
pub(crate) fn parse_traceparent(text: &str, state: Option<&str>) -> Option<SpanContext> {
    let is_lower_hex =
        |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.trim().splitn(5, '-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let has_more = parts.next().is_some();
    let well_formed = version.len() == 2
        && version != "ff"
        && trace.len() == 32
        && span.len() == 16
        && flags.len() == 2
        && [version, trace, span, flags].into_iter().all(is_lower_hex)
        && (version != "00" || !has_more);
    if !well_formed {
        return None;
    }
    let state = state.and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
    // Only the sampled flag is known; the others must not be passed on blindly.
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(sampled),
        true,
        state,
    );
    context.is_valid().then_some(context)
}

/// Returns the caller's request id if it is fit to be repeated, or a new one.
pub(crate) fn request_id(headers: &http::HeaderMap) -> Arc<str> {
    let accepted = ["x-request-id", "x-correlation-id"]
        .into_iter()
        .find_map(|name| accepted_request_id(headers.get(name)?.to_str().ok()?));
    accepted.unwrap_or_else(|| Arc::from(new_request_id()))
}

/// Returns a request id from outside if it is fit to be repeated.
pub(crate) fn accepted_request_id(id: &str) -> Option<Arc<str>> {
    let fits = (1..=LONGEST_REQUEST_ID).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    fits.then(|| Arc::from(id))
}

/// Makes a request id: a UUID (version 7) that begins with the time. It is unique, not a secret.
///
/// ```
/// let (first, second) = (skopos::new_request_id(), skopos::new_request_id());
/// assert!(first.len() == 36 && first != second);
/// ```
pub fn new_request_id() -> String {
    let millis = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    // The thread's own generator, which trace ids come from too: no system call for each request.
    let [.., a, b, c, d, e, f, g, h, i, j] = RandomIdGenerator::default().new_trace_id().to_bytes();
    uuid::Builder::from_unix_timestamp_millis(
        u64::try_from(millis).unwrap_or(u64::MAX),
        &[a, b, c, d, e, f, g, h, i, j],
    )
    .into_uuid()
    .to_string()
}

/// Returns the caller's baggage if it is of a bearable size.
pub(crate) fn baggage(headers: &http::HeaderMap) -> Option<Arc<str>> {
    bearable_baggage(headers.get("baggage")?.to_str().ok()?)
}

/// As [`baggage`], from its text. Control characters would break the headers of the next call.
pub(crate) fn bearable_baggage(text: &str) -> Option<Arc<str>> {
    let is_bearable = text.len() <= LONGEST_BAGGAGE && !text.contains(|c: char| c.is_control());
    is_bearable.then(|| Arc::from(text))
}

#[cfg(test)]
mod tests {
    use super::{format_traceparent, parse_traceparent, request_id};
    use http::HeaderMap;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn traceparent_by_the_specification() {
        let context = parse_traceparent(VALID, Some("a=1,b=2")).unwrap();
        assert_eq!(format_traceparent(&context), VALID);
        assert_eq!(context.trace_state().header(), "a=1,b=2");
        assert!(
            parse_traceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what", None)
                .is_some()
        );
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(parse_traceparent(bad, None).is_none(), "{bad}");
        }
    }

    #[test]
    fn request_ids_from_outside_are_checked() {
        let id = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            request_id(&headers).to_string()
        };
        assert_eq!(id(&[("x-request-id", "req-abc.123_X")]), "req-abc.123_X");
        assert_eq!(id(&[("x-correlation-id", "c1")]), "c1");
        assert_eq!(id(&[("x-request-id", "r1"), ("x-correlation-id", "c1")]), "r1");
        assert_eq!(id(&[("x-request-id", "bad id"), ("x-correlation-id", "c1")]), "c1");
        assert_eq!(id(&[("x-request-id", &"a".repeat(128))]).len(), 128);
        for bad in ["", "a b", "a\"b", &"a".repeat(129)] {
            let made = id(&[("x-request-id", bad)]);
            assert!(uuid::Uuid::parse_str(&made).is_ok(), "{bad}: {made}");
        }
        assert_ne!(id(&[]), id(&[]));
        let made = uuid::Uuid::parse_str(&id(&[])).unwrap();
        assert_eq!((made.get_version_num(), made.get_variant()), (7, uuid::Variant::RFC4122));
        let (seconds, _) = made.get_timestamp().unwrap().to_unix();
        assert!(seconds.abs_diff(crate::clock::unix_seconds(crate::clock::now()) as u64) < 60);
    }
}
