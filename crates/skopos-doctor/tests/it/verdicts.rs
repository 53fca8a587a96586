//! Judging alone: a visit to a service that meets every demand, and what one thing less makes of it.

use std::time::Duration;

use skopos_doctor::judge::judge;
use skopos_doctor::{Answer, DEMANDS, Heard, HeardSpan, Ids, Line, Seen, Source, Status, Try};

pub(crate) fn ids() -> Ids {
    Ids {
        tag: "5eed5eed5eed".to_owned(),
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        span_id: "00f067aa0ba902b7".to_owned(),
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Try {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Ok(Answer {
        status,
        headers: headers.collect(),
        body: body.to_owned(),
        is_cut: false,
        took: Duration::from_millis(3),
    })
}

fn json(status: u16, body: &str) -> Try {
    answer(status, &[("content-type", "application/json")], body)
}

/// A page on which the marked path was asked so often, and one path that does not exist so often.
fn metrics(good: u32, unknown: u32) -> Try {
    let mut body = String::from("# TYPE http_requests_total counter\n");
    for (endpoint, status, count) in [("/", 200, good), ("unmatched", 404, unknown)] {
        let labels = format!("method=\"GET\",endpoint=\"{endpoint}\"");
        body += &format!("http_requests_total{{{labels},status_code=\"{status}\"}} {count}\n");
        for bound in
            ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]
        {
            body += &format!(
                "http_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {count}\n"
            );
        }
        body += &format!("http_request_duration_seconds_count{{{labels}}} {count}\n");
        body += &format!("http_request_duration_seconds_sum{{{labels}}} 0.1\n");
        body += &format!("http_requests_in_progress{{{labels}}} 0\n");
    }
    body += "process_resident_memory_bytes 1e7\nbuild_info{revision=\"0123456789abcdef0123\"} 1\n";
    answer(200, &[("content-type", "text/plain; version=0.0.4")], &body)
}

fn line(request_id: &str, trace_id: &str) -> String {
    format!(
        "{{\"timestamp\":\"2026-11-23T05:00:00Z\",\"level\":\"INFO\",\"service\":\"shop\",\"message\":\"placed\",\"request_id\":\"{request_id}\",\"trace_id\":\"{trace_id}\"}}"
    )
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn good() -> Seen {
    let ids = ids();
    let with_id = |status, id: &str| answer(status, &[("x-request-id", id)], "hello\n");
    let mut heard = Heard { exports: 1, ..Heard::default() };
    heard.add_line(Line::parse(&line(&ids.request_id(), &ids.trace_id)));
    heard.add_span(HeardSpan {
        trace_id: ids.trace_id.clone(),
        parent_id: ids.span_id.clone(),
        name: "GET /".to_owned(),
        kind: "server".to_owned(),
        resource: pairs(&[
            ("service.name", "shop"),
            ("service.version", "1.2.3"),
            ("deployment.environment.name", "production"),
        ]),
        attributes: pairs(&[
            ("http.request.method", "GET"),
            ("http.route", "/"),
            ("http.response.status_code", "200"),
        ]),
        text: "GET /".to_owned(),
    });
    Seen {
        url: "http://shop:8000".to_owned(),
        path: "/".to_owned(),
        probe_limit: Duration::from_secs(2),
        plain: [with_id(200, "a"), with_id(200, "b")],
        marked: with_id(200, &ids.request_id()),
        correlated: with_id(200, &ids.correlation_id()),
        hostile: with_id(200, "c"),
        secretive: with_id(200, "d"),
        unknown: answer(404, &[("x-request-id", "e")], "not found\n"),
        live: json(200, r#"{"status":"alive","timestamp":"2026-11-23T05:00:00.1Z"}"#),
        ready: json(200, r#"{"status":"ready","checks":{"database":{"status":"healthy"}}}"#),
        startup: json(200, r#"{"status":"started"}"#),
        metrics_before: metrics(1, 0),
        metrics_after: metrics(7, 1),
        requests: 7,
        source: Source {
            otlp: Some("http://127.0.0.1:4318".to_owned()),
            from_skopos: false,
            logs: Some("its output".to_owned()),
            advice: "look closer".to_owned(),
        },
        heard,
        ids,
    }
}

#[test]
fn every_demand_is_judged_once_and_a_good_service_meets_all() {
    let report = judge(&good());
    let judged: Vec<&str> = report.verdicts.iter().map(|verdict| verdict.demand.id).collect();
    let demands: Vec<&str> = DEMANDS.iter().map(|demand| demand.id).collect();
    assert_eq!(judged, demands);
    let mut unique = demands.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), demands.len());
    for verdict in &report.verdicts {
        assert_eq!(verdict.status, Status::Ok, "{}: {}", verdict.demand.id, verdict.found);
    }
}

/// One change, and the demands that it makes fail or leaves open; all others must stay good.
type Case = (&'static str, fn(&mut Seen), &'static [(&'static str, Status, &'static str)]);

const FAILED: Status = Status::Failed;
const UNKNOWN: Status = Status::Unknown;

fn body(answer: &mut Try, change: impl FnOnce(&mut String)) {
    change(&mut answer.as_mut().unwrap().body);
}

fn pages(seen: &mut Seen, from: &str, to: &str) {
    for page in [&mut seen.metrics_before, &mut seen.metrics_after] {
        body(page, |body| *body = body.replace(from, to));
    }
}

const CASES: &[Case] = &[
    (
        "another id comes back",
        |seen| seen.marked.as_mut().unwrap().headers[0].1 = "other".to_owned(),
        &[("request-id-echoed", FAILED, "other came back")],
    ),
    (
        "no ids",
        |seen| {
            let Seen { plain: [first, second], marked, correlated, .. } = seen;
            for answer in [first, second, marked, correlated] {
                answer.as_mut().unwrap().headers.clear();
            }
        },
        &[
            ("request-id-echoed", FAILED, "none came back"),
            ("request-id-generated", FAILED, "has no X-Request-ID"),
            ("correlation-id-taken", FAILED, "no X-Request-ID came back"),
        ],
    ),
    (
        "one id for all",
        |seen| seen.plain[1] = seen.plain[0].clone(),
        &[("request-id-generated", FAILED, "the same id, a")],
    ),
    (
        "errors without id",
        |seen| seen.unknown.as_mut().unwrap().headers.clear(),
        &[("request-id-generated", FAILED, "unknown path")],
    ),
    (
        "malformed ids break it",
        |seen| seen.hostile = answer(500, &[], "oops"),
        &[("hostile-ids-harmless", FAILED, "is answered 500, without them 200")],
    ),
    (
        "malformed ids hang it",
        |seen| seen.hostile = Err("no answer within 10s".to_owned()),
        &[("hostile-ids-harmless", FAILED, "no answer within 10s")],
    ),
    (
        "plain lines",
        |seen| seen.heard.add_line(Line::parse("something went wrong\u{1b}[2J")),
        &[(
            "log-structured",
            FAILED,
            "1 of 2 lines are none, such as: something went wrong\\u{1b}",
        )],
    ),
    (
        "lines without service and time",
        |seen| seen.heard.add_line(Line::parse(r#"{"level":"info","msg":"x"}"#)),
        &[("log-complete", FAILED, "time, service missing")],
    ),
    (
        "lines without request id",
        |seen| {
            let trace_id = seen.ids.trace_id.clone();
            seen.heard.add_line(Line::parse(&line("another", &trace_id)));
        },
        &[("log-correlated", FAILED, "no request_id of the request")],
    ),
    (
        "lines without trace id",
        |seen| {
            let request_id = seen.ids.request_id();
            seen.heard.add_line(Line::parse(&line(&request_id, "")));
        },
        &[("log-correlated", FAILED, "no trace_id of the request")],
    ),
    (
        "an access line without ids",
        |seen| {
            let path = seen.ids.unknown_path();
            seen.heard.lines =
                vec![Line::parse(&line("", "").replace("placed", &format!("GET {path} 404")))];
        },
        &[("log-correlated", FAILED, "a line of a request has neither id")],
    ),
    (
        "lines, but not of the request",
        |seen| seen.heard.lines = vec![Line::parse(&line("", ""))],
        &[("log-correlated", UNKNOWN, "no line was written for the request")],
    ),
    (
        "debug lines",
        |seen| seen.heard.add_line(Line::parse(&line("", "").replace("INFO", "DEBUG"))),
        &[("log-level", FAILED, "1 lines below INFO")],
    ),
    (
        "probes in the access log",
        |seen| {
            seen.heard
                .add_line(Line::parse(&line("", "").replace("placed", "GET /health/live 200")))
        },
        &[("probes-not-logged", FAILED, "/health/live")],
    ),
    (
        "the canary in lines, spans and labels",
        |seen| {
            let canary = seen.ids.canary();
            seen.heard.add_line(Line::parse(&line("", "").replace("placed", &canary)));
            seen.heard.spans[0].text += &canary;
            body(&mut seen.metrics_after, |body| *body += &format!("x{{y=\"{canary}\"}} 1\n"));
        },
        &[
            ("log-no-secrets", FAILED, "stands in log lines and spans and /metrics"),
            ("answers-no-secrets", FAILED, "/metrics shows a token of another request"),
            // It holds the visit's word, as the unknown path does.
            ("labels-unknown-paths", FAILED, "x{y="),
        ],
    ),
    (
        "a real secret in a line",
        |seen| {
            seen.heard.add_line(Line::parse(&line("", "").replace("placed", "password=hunter2")))
        },
        &[("log-no-secrets", FAILED, "password=[REDACTED]")],
    ),
    (
        "a Skopos redacts",
        |seen| seen.source.from_skopos = true,
        &[("log-no-secrets", UNKNOWN, "redacted already")],
    ),
    (
        "no telemetry",
        |seen| {
            seen.heard = Heard::default();
            seen.source.logs = None;
        },
        &[
            ("log-structured", UNKNOWN, "no log record came to http://127.0.0.1:4318"),
            ("log-complete", UNKNOWN, "no log record came"),
            ("log-correlated", UNKNOWN, "no log record came"),
            ("log-level", UNKNOWN, "no log record came"),
            ("log-no-secrets", UNKNOWN, "neither lines nor spans came"),
            ("trace-continued", UNKNOWN, "no span came"),
            ("trace-resource", UNKNOWN, "no span came"),
            ("trace-request-span", UNKNOWN, "no span came"),
            ("probes-not-logged", UNKNOWN, "no log record came"),
        ],
    ),
    (
        "an exemplar instead of spans",
        |seen| {
            seen.heard.spans.clear();
            let trace_id = seen.ids.trace_id.clone();
            let page = seen.metrics_after.as_mut().unwrap();
            page.headers[0].1 = "application/openmetrics-text; version=1.0.0".to_owned();
            page.body = page.body.replacen(
                "le=\"+Inf\"} 7\n",
                &format!("le=\"+Inf\"}} 7 # {{trace_id=\"{trace_id}\"}} 0.1\n"),
                1,
            );
            page.body += "# EOF\n";
        },
        &[
            ("trace-resource", UNKNOWN, "no span came"),
            ("trace-request-span", UNKNOWN, "no span came"),
        ],
    ),
    (
        "a stack trace",
        |seen| {
            body(&mut seen.unknown, |body| {
                *body = "Traceback (most recent call last):\n".to_owned()
            })
        },
        &[("answers-no-secrets", FAILED, "unknown path shows a stack trace")],
    ),
    (
        "a password in health details",
        |seen| {
            seen.ready = json(
                503,
                r#"{"status":"not_ready","checks":{"db":{"status":"unhealthy","error":"postgres://u:pw123@db refused"}}}"#,
            );
        },
        &[("answers-no-secrets", FAILED, "/health/ready shows a secret")],
    ),
    (
        "versions in headers",
        |seen| {
            let headers = &mut seen.plain[0].as_mut().unwrap().headers;
            headers.push(("server".to_owned(), "nginx/1.2.3".to_owned()));
            headers.push(("x-powered-by".to_owned(), "Express".to_owned()));
        },
        &[("answers-no-versions", FAILED, "server: nginx/1.2.3, x-powered-by: Express")],
    ),
    (
        "a trace of its own",
        |seen| seen.heard.spans[0].trace_id = "f".repeat(32),
        &[
            ("trace-continued", FAILED, "1 spans came, none with the caller's trace id"),
            ("trace-request-span", UNKNOWN, "no span of the request"),
        ],
    ),
    (
        "another parent",
        |seen| seen.heard.spans[0].parent_id.clear(),
        &[("trace-continued", FAILED, "no span has the caller's span as its parent")],
    ),
    (
        "a nameless sender",
        |seen| seen.heard.spans[0].resource = pairs(&[("service.name", "unknown_service:python")]),
        &[(
            "trace-resource",
            FAILED,
            "lack service.name, service.version, deployment.environment.name",
        )],
    ),
    (
        "an empty span",
        |seen| {
            seen.heard.spans[0].attributes.clear();
            seen.heard.spans[0].kind = "internal".to_owned();
        },
        &[(
            "trace-request-span",
            FAILED,
            "lacks kind SERVER, http.request.method, http.route, http.response.status_code",
        )],
    ),
    (
        "metrics behind a password",
        |seen| {
            seen.metrics_before = answer(401, &[], "");
            seen.metrics_after = answer(401, &[], "");
        },
        &[
            ("metrics-open", FAILED, "/metrics wants credentials (401)"),
            ("red-rate", UNKNOWN, "401"),
            ("red-errors", UNKNOWN, "401"),
            ("red-duration", UNKNOWN, "401"),
            ("red-in-progress", UNKNOWN, "401"),
            ("labels-bounded", UNKNOWN, "401"),
            ("labels-unknown-paths", UNKNOWN, "401"),
            ("saturation", UNKNOWN, "401"),
        ],
    ),
    (
        "metrics that do not parse",
        |seen| body(&mut seen.metrics_after, |body| *body += "up{zone=} 1\n"),
        &[
            ("metrics-open", FAILED, "column 9"),
            ("red-rate", UNKNOWN, "column 9"),
            ("red-errors", UNKNOWN, "column 9"),
            ("red-duration", UNKNOWN, "column 9"),
            ("red-in-progress", UNKNOWN, "column 9"),
            ("labels-bounded", UNKNOWN, "column 9"),
            ("labels-unknown-paths", UNKNOWN, "column 9"),
            ("saturation", UNKNOWN, "column 9"),
        ],
    ),
    (
        "names of its own",
        |seen| pages(seen, "http_requests_total", "http_server_requests_seconds_count"),
        &[
            ("red-rate", FAILED, "but http_server_requests_seconds_count"),
            ("red-errors", FAILED, "there is no http_requests_total"),
        ],
    ),
    (
        "labels of its own",
        |seen| pages(seen, "endpoint=", "handler="),
        &[
            ("red-rate", FAILED, "has no label endpoint"),
            ("red-duration", FAILED, "has no label endpoint"),
            ("red-in-progress", FAILED, "has no label endpoint"),
        ],
    ),
    (
        "counting half",
        |seen| seen.metrics_after = metrics(3, 1),
        &[("red-rate", FAILED, "rose by 3 while 7 requests")],
    ),
    (
        "not counting",
        |seen| seen.metrics_after = seen.metrics_before.clone(),
        &[
            ("red-rate", FAILED, "did not rise while 7 requests"),
            ("red-errors", FAILED, "an answer 404 left no trace"),
            ("red-duration", FAILED, "did not rise"),
        ],
    ),
    (
        "buckets of milliseconds",
        |seen| {
            for (seconds, millis) in [
                ("\"0.", "\"1"),
                ("\"1\"", "\"1000\""),
                ("\"2.5\"", "\"2500\""),
                ("\"5\"", "\"5000\""),
                ("\"10\"", "\"10000\""),
            ] {
                pages(seen, &format!("le={seconds}"), &format!("le={millis}"));
            }
        },
        &[("red-duration", FAILED, "do not resolve 5 ms to 10 s")],
    ),
    (
        "a summary",
        |seen| {
            pages(seen, "http_request_duration_seconds_bucket", "http_request_duration_seconds");
            pages(seen, "le=", "quantile=");
            pages(seen, "quantile=\"+Inf\"", "quantile=\"0.99\"");
        },
        &[("red-duration", FAILED, "is a summary")],
    ),
    (
        "a gauge that fell below zero",
        |seen| pages(seen, "endpoint=\"/\"} 0\n", "endpoint=\"/\"} -1\n"),
        &[("red-in-progress", FAILED, "is -1")],
    ),
    (
        "a user id",
        |seen| body(&mut seen.metrics_after, |body| *body += "orders_total{user_id=\"ann\"} 1\n"),
        &[("labels-bounded", FAILED, "orders_total{user_id} is an id by its name")],
    ),
    (
        "an id under a plain name",
        |seen| body(&mut seen.metrics_after, |body| *body += "orders_total{who=\"/users/17\"} 1\n"),
        &[("labels-bounded", FAILED, "orders_total{who} is a path with an id in it: /users/17")],
    ),
    (
        "a hundred values",
        |seen| {
            body(&mut seen.metrics_after, |body| {
                (0..100).for_each(|i| *body += &format!("orders_total{{shop=\"s{i}\"}} 1\n"));
            });
        },
        &[("labels-bounded", FAILED, "orders_total{shop} has 100 values")],
    ),
    (
        "paths as labels",
        |seen| {
            let path = seen.ids.unknown_path();
            pages(seen, "unmatched", &path);
        },
        &[("labels-unknown-paths", FAILED, "whoever tries paths makes series")],
    ),
    (
        "no saturation",
        |seen| pages(seen, "process_resident_memory_bytes", "things"),
        &[("saturation", FAILED, "nothing on /metrics")],
    ),
    (
        "a pool in per cent",
        |seen| body(&mut seen.metrics_after, |body| *body += "db_connection_pool_usage_ratio 80\n"),
        &[("saturation", FAILED, "is 80, not between 0 and 1")],
    ),
    (
        "no probes",
        |seen| {
            for probe in [&mut seen.live, &mut seen.ready, &mut seen.startup] {
                *probe = answer(404, &[], "not found");
            }
        },
        &[
            ("probe-live", FAILED, "there is no /health/live (404)"),
            ("probe-live-alone", UNKNOWN, "does not answer 200"),
            ("probe-ready", FAILED, "there is no /health/ready (404)"),
            ("probe-startup", FAILED, "there is no /health/startup (404)"),
            ("probes-open", UNKNOWN, "there is no probe"),
        ],
    ),
    (
        "probes behind a login",
        |seen| seen.ready = answer(302, &[("location", "/login")], ""),
        &[
            ("probe-ready", FAILED, "redirects (302)"),
            ("probes-open", FAILED, "/health/ready (302)"),
        ],
    ),
    (
        "other words",
        |seen| {
            seen.live = json(200, r#"{"status":"ok"}"#);
            seen.ready = json(503, r#"{"status":"ready","checks":{}}"#);
            seen.startup = json(200, "{}");
        },
        &[
            ("probe-live", FAILED, "200 with \"status\":\"ok\""),
            ("probe-ready", FAILED, "503 with \"status\":\"ready\""),
            ("probe-startup", FAILED, "200 without \"status\""),
        ],
    ),
    (
        "alive without time",
        |seen| seen.live = json(200, r#"{"status":"alive","timestamp":"now"}"#),
        &[("probe-live", FAILED, "no \"timestamp\" in ISO 8601")],
    ),
    (
        "alive with a database",
        |seen| {
            body(&mut seen.live, |body| *body = body.replace('}', ",\"database\":\"up\"}"));
        },
        &[("probe-live-alone", FAILED, "its answer has database")],
    ),
    (
        "checks without words",
        |seen| seen.ready = json(200, r#"{"status":"ready","checks":{"db":true}}"#),
        &[("probe-ready", FAILED, "check db is neither healthy nor unhealthy")],
    ),
    (
        "slow probes",
        |seen| seen.live.as_mut().unwrap().took = Duration::from_secs(3),
        &[("probe-live", FAILED, "takes longer than 2s")],
    ),
    (
        "an unknown path is 500",
        |seen| {
            seen.unknown.as_mut().unwrap().status = 500;
            pages(seen, "status_code=\"404\"", "status_code=\"500\"");
        },
        &[("errors-honest", FAILED, "does not exist and answers 500")],
    ),
    (
        "every path is a page",
        |seen| seen.unknown.as_mut().unwrap().status = 200,
        &[
            ("red-errors", UNKNOWN, "no error could be caused"),
            ("errors-honest", UNKNOWN, "answers 200"),
        ],
    ),
];

#[test]
fn one_thing_less_is_found_and_nothing_else() {
    for (name, change, expected) in CASES {
        let mut seen = good();
        change(&mut seen);
        let report = judge(&seen);
        for verdict in &report.verdicts {
            let id = verdict.demand.id;
            let about = format!("{name}: {id}: {}", verdict.found);
            match expected.iter().find(|(expected, ..)| *expected == id) {
                Some((_, status, found)) => {
                    assert_eq!(verdict.status, *status, "{about}");
                    assert!(verdict.found.contains(found), "{about}");
                }
                None => assert_eq!(verdict.status, Status::Ok, "{about}"),
            }
        }
    }
}

#[test]
fn every_demand_can_fail() {
    for demand in DEMANDS {
        let fails = |(_, _, expected): &Case| {
            expected.iter().any(|(id, status, _)| *id == demand.id && *status == FAILED)
        };
        assert!(CASES.iter().any(fails), "{} fails in no case", demand.id);
    }
}

#[test]
fn not_being_ready_is_no_fault_of_the_probe() {
    let mut seen = good();
    seen.ready = json(
        503,
        r#"{"status":"not_ready","checks":{"database":{"status":"unhealthy","error":"refused"}}}"#,
    );
    let report = judge(&seen);
    assert_eq!(report.failed(), 0);
    let found = |id: &str| {
        report.verdicts.iter().find(|verdict| verdict.demand.id == id).unwrap().found.clone()
    };
    assert_eq!(found("probe-ready"), "it is not ready now: database");
    assert_eq!(found("probe-live-alone"), "it is alive while the service is not ready");
}

#[test]
fn reports_are_json_with_the_guides_sections() {
    let mut seen = good();
    seen.live = json(200, r#"{"status":"ok"}"#);
    seen.heard.spans.clear();
    seen.heard.lines.clear();
    let report = judge(&seen).to_json();
    assert_eq!(report["failed"], 1);
    assert_eq!(report["demands"], DEMANDS.len());
    let verdicts = report["verdicts"].as_array().unwrap();
    let live = verdicts.iter().find(|verdict| verdict["id"] == "probe-live").unwrap();
    assert_eq!(live["status"], "failed");
    assert_eq!(live["section"], "5. Health Check Endpoints");
    assert!(live["fix"].as_str().unwrap().contains("alive"));
    assert!(live["settle"].is_null());
    let trace = verdicts.iter().find(|verdict| verdict["id"] == "trace-continued").unwrap();
    assert_eq!((&trace["status"], &trace["settle"]), (&"unknown".into(), &"look closer".into()));
}
