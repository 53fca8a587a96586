//! Traces as a shop's services would send them.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use crate::otlp::{self, Attribute, Attributes, Service};
use crate::random::{Random, mix};

/// Spans of a trace.
pub const SPANS: u64 = 10;
const SPANS_PER_REQUEST: usize = 512;
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const ROUTES: [&str; 8] = [
    "/orders/{id}",
    "/catalog/{id}",
    "/search",
    "/cart",
    "/checkout",
    "/accounts/{id}",
    "/payments",
    "/reviews/{id}",
];
const STATEMENTS: [&str; 4] = [
    "SELECT id, status, total FROM orders WHERE id = $1",
    "SELECT * FROM products WHERE category = $1 ORDER BY rank LIMIT 50",
    "UPDATE carts SET updated_at = now() WHERE customer_id = $1",
    "INSERT INTO payments (order_id, amount, currency) VALUES ($1, $2, $3)",
];
/// OTLP's numbers.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const INTERNAL: i32 = 1;

/// The id of a trace, known without keeping it.
pub fn trace_id(trace: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&mix(trace).to_be_bytes());
    id[8..].copy_from_slice(&mix(!trace).to_be_bytes());
    id
}

/// Spans that wait until a request is full, by service.
pub struct Spans {
    services: Vec<Service>,
    waiting: Vec<Vec<Span>>,
}

impl Default for Spans {
    fn default() -> Self {
        let services = otlp::services();
        let waiting = services.iter().map(|_| Vec::new()).collect();
        Self { services, waiting }
    }
}

impl Spans {
    /// Adds the spans of a trace: the entry, a call and its handling in three services, each with a
    /// query, nested in time.
    pub fn add(&mut self, trace: u64, start_ns: i64) {
        let mut random = Random::new(trace);
        let id = trace_id(trace);
        let root = random.bits();
        let (method, route) = (random.pick(&METHODS), random.pick(&ROUTES));
        let took_ns = (random.latency_ms(60.0) * 1e6) as i64;
        let failed = random.below(50) == 0;
        let mut add =
            |service: usize, span: (u64, u64), kind, name: String, from, to, attributes| {
                self.waiting[service].push(Span {
                    trace_id: id.to_vec(),
                    span_id: span.0.to_be_bytes().to_vec(),
                    parent_span_id: if span.1 == 0 {
                        Vec::new()
                    } else {
                        span.1.to_be_bytes().to_vec()
                    },
                    name,
                    kind,
                    start_time_unix_nano: from as u64,
                    end_time_unix_nano: to as u64,
                    attributes: otlp::attributes(&attributes),
                    status: failed.then(|| opentelemetry_proto::tonic::trace::v1::Status {
                        message: String::new(),
                        code: 2,
                    }),
                    ..Span::default()
                });
            };
        let status = if failed { 500 } else { 200 };
        let attributes = http(method, route, status, &mut random);
        let end_ns = start_ns + took_ns;
        add(0, (root, 0), SERVER, format!("{method} {route}"), start_ns, end_ns, attributes);
        let third = took_ns / 3;
        for call in 0..3 {
            let service = 1 + random.below(7) as usize;
            let from = start_ns + call * third + random.below(third.max(2) as u64 / 8) as i64;
            let to = from + third - third / 8;
            let (client, server, query) = (random.bits(), random.bits(), random.bits());
            let attributes = http(method, route, status, &mut random);
            add(0, (client, root), CLIENT, method.to_owned(), from, to, attributes);
            let attributes = http(method, route, status, &mut random);
            let (inner_from, inner_to) = (from + third / 20, to - third / 20);
            let name = format!("{method} {route}");
            add(service, (server, client), SERVER, name, inner_from, inner_to, attributes);
            let statement = random.pick(&STATEMENTS);
            let attributes = vec![
                ("db.system.name", Attribute::Fixed("postgresql")),
                ("db.query.text", Attribute::Fixed(statement)),
                ("db.response.returned_rows", Attribute::Integer(random.below(50) as i64)),
                ("server.address", Attribute::Fixed("db.shop.internal")),
                ("thread.name", Attribute::Text(format!("worker-{}", random.below(16)))),
            ];
            let name = statement.split(' ').next().unwrap_or_default().to_owned();
            let kind = if random.below(4) == 0 { INTERNAL } else { CLIENT };
            add(service, (query, server), kind, name, inner_from + 40_000, inner_to, attributes);
        }
    }

    /// A request that is full.
    pub fn full(&mut self) -> Option<Vec<u8>> {
        let at = self.waiting.iter().position(|spans| spans.len() >= SPANS_PER_REQUEST)?;
        Some(request(std::mem::take(&mut self.waiting[at]), &self.services[at]))
    }

    /// Requests of all that waits.
    pub fn rest(&mut self) -> Vec<Vec<u8>> {
        let waiting = self.waiting.iter_mut().zip(&self.services);
        let full = waiting.filter(|(spans, _)| !spans.is_empty());
        full.map(|(spans, service)| request(std::mem::take(spans), service)).collect()
    }
}

fn http(method: &'static str, route: &'static str, status: i64, random: &mut Random) -> Attributes {
    let path = route.replace("{id}", &random.below(1 << 23).to_string());
    vec![
        ("http.request.method", Attribute::Fixed(method)),
        ("http.route", Attribute::Fixed(route)),
        ("url.path", Attribute::Text(path)),
        ("http.response.status_code", Attribute::Integer(status)),
        ("network.protocol.version", Attribute::Fixed("1.1")),
        ("http.response.body.size", Attribute::Integer(random.below(20_000) as i64)),
    ]
}

fn request(spans: Vec<Span>, service: &Service) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource = otlp::resource(service);
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// A request with one log record of a trace.
pub fn log_of(trace: u64, time_ns: i64) -> Vec<u8> {
    let record = LogRecord {
        time_unix_nano: time_ns as u64,
        body: otlp::text("fresh record"),
        trace_id: trace_id(trace).to_vec(),
        span_id: trace.to_be_bytes().to_vec(),
        ..LogRecord::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
    let resource = otlp::services().first().and_then(otlp::resource);
    let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_has_its_spans_and_one_root() {
        let mut spans = Spans::default();
        spans.add(7, 1_000_000);
        let requests = spans.rest();
        let decoded = requests
            .iter()
            .map(|body| ExportTraceServiceRequest::decode(&**body).expect("own encoding decodes"));
        let all: Vec<Span> = decoded
            .flat_map(|request| request.resource_spans)
            .flat_map(|of_resource| of_resource.scope_spans)
            .flat_map(|of_scope| of_scope.spans)
            .collect();
        assert_eq!(all.len() as u64, SPANS);
        assert_eq!(all.iter().filter(|span| span.parent_span_id.is_empty()).count(), 1);
        for span in &all {
            assert_eq!(span.trace_id, trace_id(7));
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        }
        assert!(spans.rest().is_empty());
    }
}
