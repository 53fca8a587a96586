//! What is global to a process: the subscriber, the panic hook, standard output. Each case runs in a process of its own: this
//! binary, started again for one test with a variable that tells it what to do.

use std::process::{Command, Output};
use std::time::Duration;

use crate::support::{Collector, Manner, attribute, hex, wait_until};

const CANARY: &str = "cAnArY9Zx7Q";

fn child(role: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["install::child_process", "--exact", "--nocapture", "--test-threads=1"]);
    // Whoever listens at this machine's usual port is none of ours.
    command.env_clear().env("SKOPOS_TEST_ROLE", role).env("SKOPOS_LOCAL_COLLECTOR", "none");
    command.envs(variables.iter().copied());
    command.output().unwrap()
}

/// The JSON lines on standard output; the test harness writes there too.
fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| serde_json::from_str(line.get(line.find('{')?..)?).ok())
        .collect()
}

#[test]
fn child_process() {
    match std::env::var("SKOPOS_TEST_ROLE").as_deref() {
        Ok("panics") => {
            let telemetry = skopos::init().unwrap();
            assert!(matches!(skopos::init(), Err(skopos::InitError::SubscriberAlreadySet)));
            log::warn!(target: "old_library", "from the log crate, token={CANARY}");
            let span = tracing::info_span!("work", password = CANARY);
            let joined = std::thread::spawn(move || {
                let _entered = span.enter();
                panic!("no such user: token={CANARY}");
            })
            .join();
            assert!(joined.is_err());
            assert!(telemetry.shutdown_blocking(Duration::from_secs(20)).is_complete());
        }
        Ok("drops") => {
            let telemetry = skopos::init().unwrap();
            tracing::info_span!("work").in_scope(|| tracing::info!("last words"));
            drop(telemetry);
        }
        Ok("uses a library") => {
            let telemetry = skopos::init().unwrap();
            tracing::info_span!("order").in_scope(call_library);
            assert!(telemetry.shutdown_blocking(Duration::from_secs(20)).is_complete());
        }
        Ok("is a crate") => {
            let telemetry = skopos::init!().unwrap();
            tracing::info!("from cargo");
            let metrics = telemetry.registry().encode(skopos::metrics::Format::Prometheus);
            assert!(metrics.contains("\nprocess_cpu_seconds_total "), "it is watched: {metrics}");
            assert!(telemetry.shutdown_blocking(Duration::from_secs(20)).is_complete());
        }
        Ok("comes second") => {
            tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap();
            let problem = skopos::init().unwrap_err();
            assert!(problem.to_string().contains("Builder::build"), "{problem}");
        }
        #[cfg(unix)]
        Ok("is signalled") => {
            let telemetry = skopos::init().unwrap();
            let until = |temporary: Option<&str>| {
                signal_hook::low_level::raise(signal_hook::consts::SIGUSR1).unwrap();
                wait_until(|| telemetry.log_level().temporary.as_deref() == temporary);
            };
            until(Some("debug"));
            tracing::debug!("details");
            until(None);
            tracing::debug!("no details");
            assert!(telemetry.shutdown_blocking(Duration::from_secs(20)).is_complete());
        }
        Ok("gets no threads") => {
            let telemetry = skopos::Telemetry::builder(skopos::Service::new("shop"))
                .from_env()
                .without_signals()
                .without_panic_hook()
                .install()
                .unwrap();
            tracing::info_span!("work").in_scope(|| tracing::info!("done"));
            assert!(!telemetry.flush(Duration::from_secs(20)), "the metrics are told to nobody");
            let report = telemetry.shutdown_blocking(Duration::from_secs(20));
            assert_eq!((report.logs_lost, report.spans_lost, report.lines_lost), (1, 1, 1));
            assert!(report.metrics_lost && !report.timed_out, "{report:?}");
            let metrics = telemetry.registry().encode(skopos::metrics::Format::Prometheus);
            let name = "skopos_telemetry_dropped_total";
            for (reason, number) in [("closed", 1), ("queue_full", 0)] {
                let line = format!("{name}{{signal=\"spans\",reason=\"{reason}\"}} {number}\n");
                assert!(metrics.contains(&line), "{line}{metrics}");
            }
        }
        // Not a child: nothing to do.
        _ => {}
    }
}

/// A library that is instrumented with OpenTelemetry's API and knows neither `tracing` nor us.
fn call_library() {
    use opentelemetry::trace::{Span as _, TraceContextExt as _, Tracer as _};
    use opentelemetry::{Context, KeyValue, global};

    let mut span = global::tracer("some-library").start("library call");
    span.set_attribute(KeyValue::new("cache.hit", true));
    span.set_attribute(KeyValue::new("password", CANARY));
    let mut headers = std::collections::HashMap::new();
    let inside = Context::current_with_span(span);
    global::get_text_map_propagator(|propagator| propagator.inject_context(&inside, &mut headers));
    let arrived = global::get_text_map_propagator(|propagator| propagator.extract(&headers));
    assert_eq!(arrived.span().span_context().span_id(), inside.span().span_context().span_id());
    inside.span().end();
    tracing::info!(traceparent = headers["traceparent"], "the library called");
}

#[test]
fn init_reads_the_environment_and_a_panic_is_a_redacted_line() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = child(
        "panics",
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_SERVICE_NAME", "orders"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.version=9.9"),
            ("ENVIRONMENT", "staging"),
            ("OTEL_PROPAGATORS", "jaeger"),
        ],
    );
    assert!(output.status.success(), "{output:?}");
    let lines = lines(&output);
    let warning = lines.iter().find(|line| line["level"] == "WARN").unwrap();
    assert!(warning["message"].as_str().unwrap().contains("jaeger"), "{warning}");
    let foreign = lines.iter().find(|line| line["target"] == "old_library").unwrap();
    assert_eq!(foreign["message"], "from the log crate, token=[REDACTED]");
    assert!(foreign.get("log.line").is_none());
    let panic = lines.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!(panic["message"], "panic: no such user: token=[REDACTED]");
    assert_eq!(
        (&panic["service"], &panic["version"], &panic["environment"]),
        (&"orders".into(), &"9.9".into(), &"staging".into())
    );
    assert_eq!(panic["error.type"], "panic");
    assert_eq!(panic["trace_id"].as_str().unwrap().len(), 32);
    for bytes in [&output.stdout, &output.stderr, &collector.bytes()] {
        assert!(!String::from_utf8_lossy(bytes).contains(CANARY));
    }
    assert!(collector.logs().iter().any(|log| log.severity_text == "ERROR"));
    collector.span("work");
}

#[test]
fn dropping_the_last_handle_flushes_and_exports_nothing_of_its_own() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = child(
        "drops",
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_BLRP_SCHEDULE_DELAY", "60000"),
            ("SKOPOS_PENDING_SPANS", "false"),
            ("RUST_LOG", "trace,hyper=trace,ureq=trace"),
        ],
    );
    assert!(output.status.success(), "{output:?}");
    assert_eq!(lines(&output).len(), 1);
    assert_eq!((collector.logs().len(), collector.spans().len()), (1, 1));
}

#[test]
fn the_macro_names_the_service_after_the_crate_and_finds_out_where_it_runs() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("GIT_SHA", "abc1234"),
        ("POD_UID", "u-1"),
    ];
    let output = child("is a crate", &variables);
    assert!(output.status.success(), "{output:?}");
    let line = &lines(&output)[0];
    assert_eq!(
        (&line["service"], &line["version"]),
        (&"skopos".into(), &env!("CARGO_PKG_VERSION").into())
    );
    let resource = &collector.resources()[0].attributes;
    for (key, expected) in [
        ("service.name", "skopos"),
        ("service.instance.id", "u-1"),
        ("vcs.ref.head.revision", "abc1234"),
        ("os.type", std::env::consts::OS),
    ] {
        assert_eq!(attribute(resource, key).as_deref(), Some(expected), "{key}");
    }
    assert!(
        attribute(resource, "process.pid").is_some() && attribute(resource, "host.name").is_some()
    );
}

/// Where the system has no thread to give: here because each would get a stack larger than all memory.
#[test]
fn without_threads_all_is_lost_and_counted_and_nobody_panics() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("RUST_MIN_STACK", "1000000000000000"),
        ("SKOPOS_PENDING_SPANS", "false"),
    ];
    let output = child("gets no threads", &variables);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((collector.requests(), collector.pushes().len()), (0, 0));
}

#[test]
fn who_comes_second_sends_nothing_in_the_name_of_the_first() {
    // One that hangs would hold up the caller, too.
    for manner in [Manner::Accepts, Manner::Hangs] {
        let collector = Collector::start(manner);
        let endpoint = collector.endpoint();
        let output = child("comes second", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!((collector.requests(), collector.pushes().len()), (0, 0));
        assert!(collector.bytes().is_empty());
    }
}

#[test]
fn a_filter_that_is_a_slip_is_told() {
    for (filter, part) in [
        ("warn,[", "does not parse"),
        ("info,skopos=banana", "does not parse"),
        ("info,dbug", "`dbug` is no level"),
    ] {
        let output = child("is a crate", &[("RUST_LOG", filter)]);
        assert!(output.status.success(), "{output:?}");
        let lines = lines(&output);
        let warnings: Vec<_> = lines.iter().filter(|line| line["level"] == "WARN").collect();
        assert_eq!(warnings.len(), 1, "{filter}: {lines:?}");
        let message = warnings[0]["message"].as_str().unwrap();
        assert!(message.contains("RUST_LOG") && message.contains(part), "{message}");
    }
}

#[test]
fn at_a_desk_init_finds_the_collector_of_this_machine_and_says_so() {
    for (environment, is_found) in
        [("", cfg!(debug_assertions)), ("dev", true), ("production", false)]
    {
        let collector = Collector::start(Manner::Accepts);
        let endpoint = collector.endpoint();
        let mut variables = vec![
            ("SKOPOS_LOCAL_COLLECTOR", endpoint.as_str()),
            ("SKOPOS_PENDING_SPANS", "false"),
            // Not for whoever happens to listen.
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20k"),
        ];
        variables.extend((!environment.is_empty()).then_some(("ENVIRONMENT", environment)));
        let output = child("drops", &variables);
        assert!(output.status.success(), "{output:?}");
        let lines = lines(&output);
        let greetings = lines.iter().filter(|line| line["target"] == "skopos::export");
        let greetings: Vec<_> = greetings.map(|line| line["endpoint"].as_str().unwrap()).collect();
        let expected = if is_found { vec![endpoint.as_str()] } else { Vec::new() };
        assert_eq!(greetings, expected, "{environment}: one line, whatever the signals");
        let came = (collector.logs().len(), collector.spans().len());
        assert_eq!(came, (usize::from(is_found), usize::from(is_found)), "{environment}");
        assert!(collector.headers().iter().all(|headers| !headers.contains_key("authorization")));
    }
}

#[cfg(unix)]
#[test]
fn sigusr1_toggles_debug() {
    let output = child("is signalled", &[]);
    assert!(output.status.success(), "{output:?}");
    let lines = lines(&output);
    let messages: Vec<&str> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    let (details, changes): (Vec<&str>, Vec<&str>) =
        messages.iter().partition(|message| message.contains("details"));
    assert_eq!(changes, ["log level changed for a while", "log level restored"]);
    // The level holds before its line is written, by another thread: the first of "details" may come before that line.
    assert_eq!(details, ["details"]);
}

#[test]
fn spans_of_libraries_that_use_opentelemetry_directly_go_out_too() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = child("uses a library", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    assert!(output.status.success(), "{output:?}");

    let (order, call) = (collector.span("order"), collector.span("library call"));
    assert_eq!(call.trace_id, order.trace_id);
    assert_eq!(call.parent_span_id, order.span_id);
    assert_eq!(attribute(&call.attributes, "cache.hit").as_deref(), Some("true"));
    assert_eq!(attribute(&call.attributes, "password").as_deref(), Some("[REDACTED]"));
    assert_eq!(collector.scope_of("library call"), "some-library");
    assert_eq!(collector.scope_of("order"), "skopos");
    let line = &lines(&output)[0];
    let expected = format!("00-{}-{}-01", hex(&call.trace_id), hex(&call.span_id));
    assert_eq!(line["traceparent"], expected, "what the library sends to the next service");
}
