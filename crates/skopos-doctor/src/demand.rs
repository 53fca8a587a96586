//! What is asked of a service: each demand with its section of the guide and what to do where it does not hold.

use serde::{Serialize, Serializer};

/// A section of the guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// 2, Structured Logging, with correlation ids.
    Logging,
    /// 3, OpenTelemetry Setup.
    Tracing,
    /// 4, Metrics (RED Method).
    Metrics,
    /// 5, Health Check Endpoints.
    Health,
    /// 9, Golden Signals Reference.
    GoldenSignals,
}

impl Section {
    /// Number and name, as the guide has them.
    pub fn title(self) -> &'static str {
        match self {
            Section::Logging => "2. Structured Logging",
            Section::Tracing => "3. OpenTelemetry (OTEL) Setup",
            Section::Metrics => "4. Metrics (RED Method)",
            Section::Health => "5. Health Check Endpoints",
            Section::GoldenSignals => "9. Golden Signals Reference",
        }
    }

    /// Its heading in a report.
    pub(crate) fn heading(self) -> String {
        format!("Guide {}", self.title())
    }
}

impl Serialize for Section {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.title())
    }
}

/// One demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Demand {
    /// Its name, stable.
    pub id: &'static str,
    /// What must hold, as a sentence without full stop.
    pub title: &'static str,
    /// Where the guide asks for it.
    pub section: Section,
    /// What to do where it does not hold, in any language.
    pub fix: &'static str,
}

/// Every demand, in the order of reports: the guide's.
pub static DEMANDS: &[Demand] = &[
    Demand {
        id: "request-id-echoed",
        title: "the caller's X-Request-ID comes back",
        section: Section::Logging,
        fix: "in the outermost middleware take X-Request-ID from the request, bind it to the logger and set it on every \
              answer",
    },
    Demand {
        id: "request-id-generated",
        title: "a request without an id gets one of its own",
        section: Section::Logging,
        fix: "where a request brings no id make a new UUID, and answer with it in X-Request-ID",
    },
    Demand {
        id: "correlation-id-taken",
        title: "X-Correlation-ID serves where there is no X-Request-ID",
        section: Section::Logging,
        fix: "read X-Request-ID, else X-Correlation-ID, else make a new id",
    },
    Demand {
        id: "hostile-ids-harmless",
        title: "ids that are none break nothing",
        section: Section::Logging,
        fix: "treat an id that is too long or has other characters than letters, digits, dot, dash and underscore as \
              missing; a traceparent that does not parse begins a new trace",
    },
    Demand {
        id: "log-structured",
        title: "log lines are JSON objects or OTLP records",
        section: Section::Logging,
        fix: "write JSON in production (structlog's JSONRenderer, pino, skopos::init), and let libraries and the access \
              log go through the same formatter",
    },
    Demand {
        id: "log-complete",
        title: "every line names time, level, message and service",
        section: Section::Logging,
        fix: "add a time stamp, the level and the service's name to the logger's processors, not to single calls",
    },
    Demand {
        id: "log-correlated",
        title: "lines of a request carry its request id and trace id",
        section: Section::Logging,
        fix: "bind request_id, and trace_id of the current span, to the logger's context for the length of the request",
    },
    Demand {
        id: "log-level",
        title: "nothing below INFO is logged",
        section: Section::Logging,
        fix: "set the root level to INFO, and libraries that talk much to WARN",
    },
    Demand {
        id: "log-no-secrets",
        title: "credentials of a request reach no line, span or label",
        section: Section::Logging,
        fix: "log method, route, status and duration only; never headers, query or body; redact password, token, secret, \
              authorization and cookie before anything is written",
    },
    Demand {
        id: "answers-no-secrets",
        title: "answers, probes and metrics show no secrets and no stack traces",
        section: Section::Logging,
        fix: "answer errors with a code and a request id, keep the cause for the log; put no credential into health details \
              or labels",
    },
    Demand {
        id: "answers-no-versions",
        title: "answers do not tell which software in which version runs",
        section: Section::Logging,
        fix: "turn off X-Powered-By and the version in Server (uvicorn --no-server-header, nginx server_tokens off)",
    },
    Demand {
        id: "trace-continued",
        title: "the caller's trace goes on: traceparent is taken",
        section: Section::Tracing,
        fix: "instrument the server framework with OpenTelemetry and keep the W3C propagator (OTEL_PROPAGATORS=tracecontext,\
              baggage)",
    },
    Demand {
        id: "trace-resource",
        title: "spans name service, version and environment",
        section: Section::Tracing,
        fix: "set OTEL_SERVICE_NAME, and service.version and deployment.environment.name in OTEL_RESOURCE_ATTRIBUTES",
    },
    Demand {
        id: "trace-request-span",
        title: "the span of a request says method, route and status",
        section: Section::Tracing,
        fix: "let the framework's instrumentation make the server span: kind SERVER, http.request.method, http.route, \
              http.response.status_code",
    },
    Demand {
        id: "metrics-open",
        title: "/metrics answers without credentials, in a format that Prometheus reads",
        section: Section::Metrics,
        fix: "serve /metrics from the process (prometheus_client, prom-client, skopos) and exclude it from authentication",
    },
    Demand {
        id: "red-rate",
        title: "http_requests_total{method,endpoint,status_code} counts requests",
        section: Section::Metrics,
        fix: "count every request once, when it ends, in a counter http_requests_total with labels method, endpoint (the \
              route's template) and status_code",
    },
    Demand {
        id: "red-errors",
        title: "errors are told from successes",
        section: Section::Metrics,
        fix: "put the status of the answer into status_code, also for answers that the framework makes by itself (404, \
              405, 500)",
    },
    Demand {
        id: "red-duration",
        title: "http_request_duration_seconds{method,endpoint} is a histogram of seconds",
        section: Section::Metrics,
        fix: "observe every request in a histogram http_request_duration_seconds with buckets 0.005, 0.01, 0.025, 0.05, \
              0.1, 0.25, 0.5, 1, 2.5, 5, 10",
    },
    Demand {
        id: "red-in-progress",
        title: "http_requests_in_progress shows requests under way",
        section: Section::Metrics,
        fix: "keep a gauge http_requests_in_progress{method,endpoint}: up when a request begins, down however it ends",
    },
    Demand {
        id: "labels-bounded",
        title: "labels have few values, and none are ids",
        section: Section::Metrics,
        fix: "drop the label, or give it a small closed set of values; per-user and per-request facts belong in logs and \
              spans",
    },
    Demand {
        id: "labels-unknown-paths",
        title: "paths that do not exist make no new series",
        section: Section::Metrics,
        fix: "label with the route's template, and all requests that match no route with one word, such as `unmatched`",
    },
    Demand {
        id: "probe-live",
        title: "/health/live answers 200 {\"status\":\"alive\",\"timestamp\":…}",
        section: Section::Health,
        fix: "serve GET /health/live with status 200 and {\"status\":\"alive\",\"timestamp\":\"<ISO 8601>\"}, at once",
    },
    Demand {
        id: "probe-live-alone",
        title: "/health/live looks at no dependency",
        section: Section::Health,
        fix: "keep database, cache and other services out of the liveness probe: a slow one must not restart this one",
    },
    Demand {
        id: "probe-ready",
        title: "/health/ready answers 200 ready or 503 not_ready, with its checks",
        section: Section::Health,
        fix: "serve GET /health/ready with {\"status\":\"ready\"|\"not_ready\",\"checks\":{name:{\"status\":\"healthy\"|\
              \"unhealthy\"}}}, all checks at once, 2 s each",
    },
    Demand {
        id: "probe-startup",
        title: "/health/startup answers 200 started or 503 starting",
        section: Section::Health,
        fix: "serve GET /health/startup with {\"status\":\"started\"} and 200 once the service has started, else \
              {\"status\":\"starting\"} and 503",
    },
    Demand {
        id: "probes-open",
        title: "probes need no credentials",
        section: Section::Health,
        fix: "exclude /health/* from authentication, or serve it on a port of its own (--ops)",
    },
    Demand {
        id: "probes-not-logged",
        title: "probes leave no line in the access log",
        section: Section::Health,
        fix: "exclude /health/* from the access log: a probe every few seconds buries everything else",
    },
    Demand {
        id: "errors-honest",
        title: "the service answers, and an unknown path is 404, not 500",
        section: Section::GoldenSignals,
        fix: "answer 404 for routes that do not exist: a 500 counts against the error rate and pages somebody",
    },
    Demand {
        id: "saturation",
        title: "/metrics shows saturation: pools, queues, memory",
        section: Section::GoldenSignals,
        fix: "export db_connection_pool_usage_ratio (0 to 1), task_queue_depth{queue_name}, and the process' own metrics",
    },
];

impl Demand {
    /// The demand of this name.
    pub fn find(id: &str) -> Option<&'static Demand> {
        DEMANDS.iter().find(|demand| demand.id == id)
    }
}
