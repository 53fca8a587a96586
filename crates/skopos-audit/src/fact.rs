//! Facts: what a file of code says that matters to a rule, in words that no language owns.
//!
//! Extractors (`lang/`) turn code into facts, once per file; rules (`rules/`) are predicates over the
//! facts of a service and never look at code. A fact says what stands there, not whether it is good.

use serde::{Deserialize, Serialize};

use crate::Span;

/// One fact, its place, and what surrounds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Where it stands.
    pub span: Span,
    /// What surrounds it.
    pub scope: Scope,
    /// What it says.
    pub kind: FactKind,
}

/// What surrounds a fact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The function it stands in, innermost, as `Class.method` or `function`; none at the top of a file.
    pub function: Option<String>,
    /// Whether that function, or one around it, handles requests.
    pub in_handler: bool,
    /// Under which condition it runs.
    pub guard: Guard,
    /// Whether it stands in a `catch`, `except` or error branch.
    pub in_catch: bool,
    /// Whether it stands in a loop.
    pub in_loop: bool,
}

/// A condition that tells environments apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guard {
    /// None.
    #[default]
    Always,
    /// Runs only outside production (`if settings.debug`, `NODE_ENV !== "production"`, `#[cfg(test)]`).
    Development,
    /// Runs only in production.
    Production,
    /// Runs only when the file is the program (`if __name__ == "__main__"`).
    Main,
}

/// What a fact says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FactKind {
    /// A module, package or crate is imported: its full name (`opentelemetry.sdk.trace`, `pino`).
    Import(String),
    /// A server of requests is made or started.
    Server(Framework),
    /// A consumer of jobs or messages is made or started (Celery, BullMQ, a Kafka consumer loop).
    Worker(Framework),
    /// A command line is parsed by a framework (`argparse`, `commander`, `clap`).
    CommandLine(Framework),
    /// Code that runs in a browser or on a phone.
    Client(Framework),
    /// A program begins here: `main`, `if __name__ == "__main__"`.
    EntryPoint(String),
    /// A route of a server.
    Route(Route),
    /// A function and what it calls: enough to follow a handler to what it touches.
    Function(Function),
    /// A log call.
    Log(LogCall),
    /// Values reach the logs by another way than a log call: bound to a logger's context, so that every line to come has
    /// them, or written to the standard streams.
    Shown(LogCall),
    /// How a logging system is set up.
    LogSetup(LogSetup),
    /// A metric is defined.
    Metric(Metric),
    /// A metric is given label values or attributes.
    MetricUse(MetricUse),
    /// Metrics leave the process.
    MetricsExposed(Exposed),
    /// Something of distributed tracing.
    Tracing(Tracing),
    /// A value is put on a span or into baggage.
    SpanAttribute(Field),
    /// `service.name` is set in code; the name if it is a literal.
    ServiceName(Option<String>),
    /// A correlation or trace id is bound to logs or read from a request.
    Correlation(String),
    /// Secrets are taken out of logs: by what. Where a path of fields is named ([`TAKES_OUT`]), only what stands there.
    Redaction(String),
    /// Providers of telemetry, or a logger, are flushed or shut down: by what call.
    Flush(String),
    /// A handler of SIGTERM is installed, or a graceful stop is awaited: by what.
    Graceful(String),
    /// The process is ended at once (`os._exit`, `process.exit`, `os.Exit`, `log.Fatal`): by what call.
    Exit(String),
    /// A call to another service.
    Outbound(Outbound),
    /// A message is published or consumed.
    Message(Message),
    /// A framework's debug mode is switched on: by what.
    DebugMode(String),
    /// A handler answers with an error of the server.
    ErrorAnswer(ErrorAnswer),
    /// An environment variable is read.
    Environment(String),
    /// Authentication holds for every route: by what, and which paths are left out.
    AuthEverywhere {
        /// The middleware or setting.
        by: String,
        /// Paths that it exempts, where they are literals.
        except: Vec<String>,
    },
    /// The route of the metrics asks for authentication of its own: by what.
    MetricsGuarded(String),
    /// SQL statements are logged with their parameters: by what setting.
    SqlLogged(String),
    /// A client of HTTP prints what it sends and gets, headers and bodies: by what setting.
    TrafficLogged(String),
    /// An error tracker is set up (`sentry_sdk.init`): which.
    ErrorTracker(String),
    /// A type and its fields, for types that may be dumped whole.
    Type(TypeDef),
}

/// A framework or library, by its usual lower-case name (`fastapi`, `express`, `celery`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Framework(pub String);

/// A route of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// `GET`, or none when it takes every method.
    pub method: Option<String>,
    /// The path as written, without the prefix of a router it may be mounted under.
    pub path: String,
    /// The function that handles it, where it has a name.
    pub handler: Option<String>,
    /// Everything the handler's own lines call, when it has no name.
    pub calls: Vec<(String, Span)>,
}

/// A function and what it calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// `Class.method` or `function`.
    pub name: String,
    /// What its own lines call, dotted (`request.app.state.redis.ping`).
    pub calls: Vec<(String, Span)>,
}

/// A log level, ordered by how much it weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Finer than debug.
    Trace,
    /// Developer diagnostics.
    Debug,
    /// Business events.
    Info,
    /// Unexpected but handled.
    Warning,
    /// Needs a person.
    Error,
}

impl Level {
    /// By the names that logging libraries use, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "trace" | "silly" | "finest" | "finer" | "all" => Self::Trace,
            "debug" | "verbose" | "fine" => Self::Debug,
            "info" | "information" | "notice" | "log" | "http" | "success" => Self::Info,
            "warn" | "warning" => Self::Warning,
            "error" | "err" | "exception" | "critical" | "fatal" | "severe" | "panic"
            | "dpanic" => Self::Error,
            _ => return None,
        })
    }

    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Which kind of logging a call belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogStyle {
    /// To a stream, without level (`print`, `console.log`, `println!`, `System.out.println`).
    Print,
    /// A logger whose lines are text unless set up otherwise (stdlib `logging`, `log`, `java.util.logging`).
    Text,
    /// A logger that is structured by itself (structlog, pino, zap, slog, `tracing`).
    Structured,
    /// A logger that comes from elsewhere: its system is not known from this file.
    Unknown,
}

/// A log call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogCall {
    /// Usual lower-case name of the system: `print`, `logging`, `structlog`, `pino`, `console`, `tracing`, …
    pub system: String,
    /// Its kind.
    pub style: LogStyle,
    /// The level; none for prints.
    pub level: Option<Level>,
    /// The message where it is a literal; interpolated parts are `{}`.
    pub message: Option<String>,
    /// Whether values are put into the message (f-string, concatenation, `%`, `format`, template literal).
    pub interpolated: bool,
    /// What is logged beside the literal text.
    pub fields: Vec<Field>,
    /// Whether the error itself, with its stack, goes along.
    pub has_error: bool,
    /// Whether a catch around it raises again.
    pub rethrown: bool,
}

/// A value that is logged, put on a span, or used as a label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Its name, for keyword arguments, keys of objects, and attribute keys.
    pub name: Option<String>,
    /// Where the value stands.
    pub span: Span,
    /// The value where it is a literal text.
    pub literal: Option<String>,
    /// What flows into it: variables, attributes, calls. Empty for literals.
    pub sources: Vec<Source>,
}

/// What a [`FactKind::Redaction`] begins with that names a path of fields.
pub(crate) const TAKES_OUT: &str = "path ";

/// Something that flows into a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Dotted: `user.password`, `request.headers.authorization`, `json.dumps` for the result of a call.
    pub path: String,
    /// What the variable was assigned from in the same function, as a path, nearest first
    /// (`token = request.headers["Authorization"]` → `request.headers.Authorization`).
    pub origins: Vec<String>,
    /// Calls around it, innermost first (`len`, `mask`, `json.dumps`): rules know which of them make it harmless.
    pub wrapped: Vec<String>,
    /// Whether only a truth value of it is used (`bool(token)`, `token is not None`, `!!token`).
    pub only_truth: bool,
    /// Its declared type, where it stands in the same file (`SecretStr`).
    pub declared: Option<String>,
    /// Of a part of a variable (`order.total`, `order.getTotal()`), the declared type of the variable.
    pub owner: Option<String>,
}

/// How a logging system is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSetup {
    /// As in [`LogCall::system`].
    pub system: String,
    /// What its lines look like.
    pub format: LogFormat,
    /// The level that is set, where it is a literal.
    pub level: Option<Level>,
    /// By what (`logging.basicConfig`, `pino`).
    pub by: String,
}

/// What log lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogFormat {
    /// JSON or logfmt.
    Structured,
    /// For people.
    Text,
    /// A setting decides, which the code does not hold.
    Chosen,
    /// Told elsewhere, or not at all.
    Unsaid,
}

/// Kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets.
    Histogram,
    /// Quantiles at the client.
    Summary,
    /// A library that makes several by itself.
    Automatic,
}

/// A metric is defined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Usual lower-case name of the library: `prometheus`, `opentelemetry`, `statsd`, `micrometer`, …
    pub library: String,
    /// Its kind.
    pub kind: MetricKind,
    /// Its name where it is a literal.
    pub name: Option<String>,
    /// The names of its labels, where they are literals.
    pub labels: Vec<(String, Span)>,
}

/// A metric is given label values or attributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricUse {
    /// The variable of the metric (`REQUESTS`), to find its definition.
    pub metric: String,
    /// Label values; positional ones have no name.
    pub labels: Vec<Field>,
    /// Whether it stands where only success leads to (behind an `await` without `finally`).
    pub success_only: bool,
}

/// How metrics leave the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exposed {
    /// On a route or port of its own, by what (`prometheus_client.start_http_server`).
    Pulled(String),
    /// Pushed (OTLP, StatsD, remote write), by what.
    Pushed(String),
    /// By a library that also makes the usual request metrics (`prometheus-fastapi-instrumentator`).
    Middleware(String),
    /// Several processes share one set (`multiprocess.MultiProcessCollector`).
    Multiprocess(String),
}

/// What of tracing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TracingRole {
    /// A provider or SDK is set up.
    Provider,
    /// Spans are exported to a backend or collector.
    Exporter,
    /// Spans are printed, or each is exported at once: for development.
    DevelopmentExporter,
    /// A library is instrumented; `what` says for what (`fastapi`, `httpx`).
    Instrumentation,
    /// A span is made by hand.
    Span,
    /// Context is injected into or extracted from a carrier.
    Propagation,
    /// A vendor's agent or SDK (`ddtrace`, `newrelic`, Sentry with tracing).
    Vendor,
}

/// Something of distributed tracing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracing {
    /// What is done.
    pub role: TracingRole,
    /// By what call, or for what library.
    pub what: String,
}

/// A call to another service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbound {
    /// Library (`requests`, `httpx`, `axios`, `fetch`, `net/http`, `reqwest`).
    pub client: String,
    /// The address where it is a literal.
    pub url: Option<String>,
    /// The names that the address is made of, where it is no literal (`self.stock_url`, `process.env.STOCK_HOST`).
    pub target: String,
    /// Whether context is handed on in the call itself (headers with `traceparent` or a request id, `ctx`).
    pub has_context: bool,
}

/// A message is published or consumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `kafka`, `rabbitmq`, `sqs`, `redis`, …
    pub broker: String,
    /// Published, or else consumed.
    pub published: bool,
    /// Whether context is injected or extracted.
    pub has_context: bool,
}

/// A handler answers with a status from 500.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAnswer {
    /// The status.
    pub status: u16,
    /// Whether the same branch logs or records the error, or raises it again.
    pub recorded: bool,
}

/// A type and its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeDef {
    /// Its name.
    pub name: String,
    /// Its fields with their declared types.
    pub fields: Vec<(String, String)>,
    /// Whether it prints itself with care (own `__repr__`, `Debug`, `toString`).
    pub own_print: bool,
}
