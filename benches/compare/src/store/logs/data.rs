//! Log lines as services of a shop write them: requests that leave lines in several services under
//! one trace id, and lines of work in the background.
//!
//! What decides how well they compress is what is random in them: a trace id of 16 random bytes in
//! about four lines, a span id of 8 in each of these, identifiers, durations and addresses.

use std::fmt::Write;

use crate::otlp::{Attribute, Attributes, ENVIRONMENT, Service};
use crate::random::{Random, mix};

/// In no line.
pub const ABSENT: &str = "quokka";
/// In twenty lines.
pub const RARE: &str = "zebrafish";
/// In about every fifth line.
pub const COMMON: &str = "finished";
pub const RARE_LINES: u64 = 20;

pub struct Line {
    pub time_ns: i64,
    /// Number and text.
    pub severity: (i32, &'static str),
    /// Place among the services.
    pub service: usize,
    pub message: String,
    pub trace: Option<([u8; 16], [u8; 8])>,
    pub attributes: Attributes,
}

const INFO: (i32, &str) = (9, "INFO");
const DEBUG: (i32, &str) = (5, "DEBUG");
const WARN: (i32, &str) = (13, "WARN");
const ERROR: (i32, &str) = (17, "ERROR");
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const ROUTES: [&str; 12] = [
    "/api/orders/{id}",
    "/api/catalog/{id}",
    "/api/search",
    "/api/cart",
    "/api/checkout",
    "/login",
    "/api/accounts/{id}",
    "/api/shipping/{id}",
    "/api/payments",
    "/api/reviews/{id}",
    "/health",
    "/api/orders",
];
const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "okhttp/4.12.0",
    "shop-mobile/8.3.1 (Android 16)",
];
const STATEMENTS: [&str; 6] = [
    "SELECT id, status, total FROM orders WHERE id = $1",
    "SELECT * FROM products WHERE category = $1 ORDER BY rank LIMIT 50",
    "UPDATE carts SET updated_at = now() WHERE customer_id = $1",
    "INSERT INTO payments (order_id, amount, currency) VALUES ($1, $2, $3)",
    "SELECT c.id, c.name FROM customers c JOIN sessions s ON s.customer_id = c.id WHERE s.token = $1",
    "DELETE FROM reservations WHERE expires_at < now()",
];
const ERRORS: [(&str, &str); 4] = [
    ("TimeoutError", "upstream did not answer in time"),
    ("PoolExhausted", "no connection became free"),
    ("CardDeclined", "issuer declined the card"),
    ("ConstraintViolation", "duplicate key value violates unique constraint"),
];

/// Lines in the order of time.
pub struct Lines {
    random: Random,
    now_ns: i64,
    step_ns: i64,
    requests: u64,
    /// Lines made, and after how many the next rare one comes.
    made: u64,
    next_rare: u64,
    rare_each: u64,
    pending: Vec<Line>,
}

impl Lines {
    /// About `expected` lines over `seconds` from `start_ns` on.
    pub fn new(start_ns: i64, seconds: i64, expected: u64) -> Self {
        let rare_each = expected / (RARE_LINES + 1);
        Self {
            random: Random::new(0x1095),
            now_ns: start_ns,
            step_ns: seconds * 1_000_000_000 / expected.max(1) as i64,
            requests: 0,
            made: 0,
            next_rare: rare_each,
            rare_each,
            pending: Vec::new(),
        }
    }

    pub fn next(&mut self) -> Line {
        let mut line = match self.pending.pop() {
            Some(line) => line,
            None if self.random.below(4) == 0 => self.background(),
            None => self.request(),
        };
        self.now_ns += self.random.below(2 * self.step_ns as u64) as i64;
        line.time_ns = self.now_ns;
        self.made += 1;
        if self.made == self.next_rare {
            let is_last = self.made + self.rare_each > RARE_LINES * self.rare_each;
            self.next_rare = if is_last { u64::MAX } else { self.made + self.rare_each };
            let _ = write!(line.message, " ({RARE})");
        }
        line
    }

    fn background(&mut self) -> Line {
        let random = &mut self.random;
        let service = random.below(8) as usize;
        let (severity, message) = match random.below(5) {
            0 => (
                DEBUG,
                format!(
                    "cache refreshed: {} entries in {} ms",
                    random.below(5_000),
                    random.below(90)
                ),
            ),
            1 => (INFO, format!("job {} finished", random.below(1 << 24))),
            2 => (
                INFO,
                format!(
                    "connection pool: {} in use, {} idle, 0 waiting",
                    random.below(40),
                    random.below(40)
                ),
            ),
            3 => (
                INFO,
                format!(
                    "consumed {} messages from partition {} at offset {}",
                    random.below(500),
                    random.below(12),
                    80_000_000 + self.made
                ),
            ),
            _ => (
                WARN,
                format!(
                    "retrying delivery of webhook {} in {} s",
                    random.below(1 << 20),
                    1 << random.below(7)
                ),
            ),
        };
        let thread = Attribute::Text(format!("worker-{}", random.below(16)));
        let attributes = vec![("thread.name", thread)];
        Line { time_ns: 0, severity, service, message, trace: None, attributes }
    }

    /// The first line of a request; its others are pending.
    fn request(&mut self) -> Line {
        self.requests += 1;
        let trace = trace_id(self.requests);
        let random = &mut self.random;
        let (method, route) = (random.pick(&METHODS), random.pick(&ROUTES));
        let id = random.below(1 << 23);
        let path = route.replace("{id}", &id.to_string());
        let took = random.latency_ms(18.0);
        let fails = random.below(100) == 0;
        let status = if fails { 500 } else { random.pick(&[200, 200, 201, 204, 304, 404]) };
        let service = 1 + random.below(7) as usize;
        let mut span = || Some((trace, random.bits().to_be_bytes()));
        let spans = [span(), span(), span()];
        let customer = Attribute::Text(format!("cus_{:08x}", mix(random.below(200_000)) as u32));
        let address =
            format!("203.{}.{}.{}", random.below(4), random.below(256), random.below(256));
        // In turn from the last: they are popped.
        self.pending.push(Line {
            time_ns: 0,
            severity: if fails { ERROR } else { INFO },
            service: 0,
            message: format!("{method} {path} {status} {took:.1}ms"),
            trace: spans[0],
            attributes: vec![
                ("http.request.method", Attribute::Fixed(method)),
                ("url.path", Attribute::Text(path)),
                ("http.route", Attribute::Fixed(route)),
                ("http.response.status_code", Attribute::Integer(status)),
                ("duration_ms", Attribute::Float((took * 1e3).round() / 1e3)),
                ("client.address", Attribute::Text(address)),
                ("user_agent.original", Attribute::Fixed(self.random.pick(&AGENTS))),
            ],
        });
        if fails {
            let (kind, said) = self.random.pick(&ERRORS);
            self.pending.push(self.failure(service, kind, said, spans[1]));
        }
        let random = &mut self.random;
        for _ in 0..1 + random.below(2) {
            let took = random.latency_ms(2.0);
            self.pending.push(Line {
                time_ns: 0,
                severity: DEBUG,
                service,
                message: format!("query finished in {took:.2} ms"),
                trace: spans[2],
                attributes: vec![
                    ("db.system.name", Attribute::Fixed("postgresql")),
                    ("db.query.text", Attribute::Fixed(random.pick(&STATEMENTS))),
                    ("db.response.returned_rows", Attribute::Integer(random.below(50) as i64)),
                ],
            });
        }
        Line {
            time_ns: 0,
            severity: INFO,
            service,
            message: format!("handling {method} {route} for {id}"),
            trace: spans[1],
            attributes: vec![
                ("enduser.id", customer),
                ("feature.variant", Attribute::Fixed(random.pick(&["a", "b"]))),
            ],
        }
    }

    fn failure(
        &self,
        service: usize,
        kind: &'static str,
        said: &str,
        trace: Option<([u8; 16], [u8; 8])>,
    ) -> Line {
        let stack = format!(
            "{kind}: {said}\n    at charge (/app/src/payments/client.ts:{}:17)\n    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)\n    at handle (/app/src/http/router.ts:88:12)",
            40 + self.requests % 90
        );
        Line {
            time_ns: 0,
            severity: ERROR,
            service,
            message: format!("request failed: {said}"),
            trace,
            attributes: vec![
                ("exception.type", Attribute::Fixed(kind)),
                ("exception.stacktrace", Attribute::Text(stack)),
            ],
        }
    }
}

fn trace_id(request: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&mix(request).to_be_bytes());
    id[8..].copy_from_slice(&mix(!request).to_be_bytes());
    id
}

/// The line as a service prints it that logs in JSON: one object, ends with a line feed.
pub fn print(line: &Line, services: &[Service], out: &mut String) {
    let service = &services[line.service];
    out.push_str("{\"timestamp\":\"");
    print_time(line.time_ns, out);
    let (_, level) = line.severity;
    let _ = write!(
        out,
        "\",\"level\":\"{level}\",\"service\":\"{}\",\"instance\":\"{}\",\"version\":\"1.42.0\",\"environment\":\"{ENVIRONMENT}\",\"message\":",
        service.name, service.instance
    );
    print_text(&line.message, out);
    if let Some((trace, span)) = &line.trace {
        let _ = write!(out, ",\"trace_id\":\"{}\"", crate::otlp::hex(trace));
        let _ = write!(out, ",\"span_id\":\"{}\"", crate::otlp::hex(span));
    }
    for (key, value) in &line.attributes {
        let _ = write!(out, ",\"{key}\":");
        match value {
            Attribute::Fixed(text) => print_text(text, out),
            Attribute::Text(text) => print_text(text, out),
            Attribute::Integer(number) => {
                let _ = write!(out, "{number}");
            }
            Attribute::Float(number) => {
                let _ = write!(out, "{number}");
            }
        }
    }
    out.push_str("}\n");
}

pub fn print_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// RFC 3339 with nanoseconds.
fn print_time(ns: i64, out: &mut String) {
    let (seconds, ns) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to a date: years begin in March here, so that leap days come last.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ns:09}Z");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::services;

    #[test]
    fn times_are_rfc_3339() {
        for (ns, expect) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (1_763_834_399_500_000_000, "2025-11-22T17:59:59.500000000Z"),
        ] {
            let mut text = String::new();
            print_time(ns, &mut text);
            assert_eq!(text, expect);
        }
    }

    #[test]
    fn lines_are_json_and_tokens_as_frequent_as_said() {
        let (services, count) = (services(), 100_000);
        let mut lines = Lines::new(0, 600, count);
        let (mut common, mut rare, mut last) = (0, 0, 0);
        for _ in 0..count {
            let line = lines.next();
            assert!(line.time_ns >= last);
            last = line.time_ns;
            let mut text = String::new();
            print(&line, &services, &mut text);
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
            common += u64::from(text.contains(COMMON));
            rare += u64::from(text.contains(RARE));
            assert!(!text.contains(ABSENT));
        }
        assert_eq!(rare, RARE_LINES);
        assert!((count / 8..count / 2).contains(&common), "{common}");
        assert!((500..700).contains(&(last / 1_000_000_000)), "{last}");
    }
}
