//! Shutting down: bounded whatever the collector does, on every runtime, with a true report.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use skopos::ShutdownReport;
use skopos::metrics::Format;

use crate::support::{Collector, Manner, Output, PATIENCE, builder, scoped, wait_until};

/// What waiting may cost beyond the time that was given, on a machine that is busy.
const SLACK: Duration = Duration::from_secs(2);

#[expect(clippy::disallowed_methods, reason = "what is measured is real waiting")]
fn emit(
    endpoint: &str,
    timeout: Duration,
    runtime: Option<tokio::runtime::Runtime>,
) -> (ShutdownReport, Duration) {
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(
        &output,
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "60000")],
    ));
    for number in 0..700 {
        tracing::info_span!("work", number).in_scope(|| tracing::info!("done"));
    }
    drop(guard);
    let started = Instant::now();
    let report = match runtime {
        Some(runtime) => runtime.block_on(telemetry.shutdown(timeout)),
        None => telemetry.shutdown_blocking(timeout),
    };
    (report, started.elapsed())
}

fn runtimes() -> [Option<tokio::runtime::Runtime>; 3] {
    use tokio::runtime::Builder;
    [
        None,
        Some(Builder::new_current_thread().build().unwrap()),
        Some(Builder::new_multi_thread().worker_threads(1).build().unwrap()),
    ]
}

#[test]
fn everything_arrives_when_the_collector_is_up() {
    for runtime in runtimes() {
        let collector = Collector::start(Manner::Accepts);
        let (report, _) = emit(&collector.endpoint(), Duration::from_secs(20), runtime);
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(report.exported, 1400);
        assert_eq!((collector.logs().len(), collector.spans().len()), (700, 700));
    }
}

#[test]
fn a_busy_collector_is_asked_again() {
    let collector = Collector::start(Manner::Busy(3));
    let (report, _) = emit(&collector.endpoint(), Duration::from_secs(20), None);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((collector.logs().len(), collector.spans().len()), (700, 700));
    assert!(collector.requests() > 4);
}

/// Others hang here: <https://github.com/open-telemetry/opentelemetry-rust/issues/2583>, `/2715` (a runtime of one thread), `/3589`
/// (a time-out that is not heeded).
#[test]
fn a_collector_that_hangs_or_is_down_costs_no_more_than_the_timeout() {
    let hanging = Collector::start(Manner::Hangs);
    // A port that was free a moment ago: nobody listens.
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for endpoint in [hanging.endpoint(), format!("http://{down}")] {
        for runtime in runtimes() {
            let timeout = Duration::from_millis(300);
            let (report, elapsed) = emit(&endpoint, timeout, runtime);
            assert!(elapsed < timeout + SLACK, "{endpoint}: {elapsed:?}");
            assert_eq!((report.logs_lost, report.spans_lost), (700, 700), "{report}");
            assert_eq!(report.exported, 0);
        }
    }
}

#[test]
fn what_is_refused_is_not_sent_twice() {
    let collector = Collector::start(Manner::Refuses);
    let (report, _) = emit(&collector.endpoint(), Duration::from_secs(20), None);
    assert_eq!((report.logs_lost, report.spans_lost, report.timed_out), (700, 700, false));
    assert_eq!(collector.requests(), 4, "two batches of each signal");
}

#[test]
fn a_full_queue_drops_and_says_so() {
    let collector = Collector::start(Manner::Hangs);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(
        &output,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_BLRP_MAX_QUEUE_SIZE", "10"),
            ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "10"),
        ],
    ));
    for _ in 0..1000 {
        tracing::info!("line");
    }
    drop(guard);
    let parsed = crate::exposition::parse(
        &telemetry.registry().encode(skopos::metrics::Format::Prometheus),
        skopos::metrics::Format::Prometheus,
    );
    let dropped =
        parsed.series[r#"skopos_telemetry_dropped_total{reason="queue_full",signal="logs"}"#];
    // Ten wait and at most ten are on their way.
    assert!((980.0..=990.0).contains(&dropped), "{dropped}");
    let report = telemetry.shutdown_blocking(Duration::from_millis(100));
    assert_eq!(report.logs_lost, 1000);
}

#[test]
fn what_a_flush_has_no_time_for_is_sent_when_the_collector_is_back() {
    // A port that was free a moment ago: nobody listens.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{address}");
    let output = Output::default();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    tracing::info_span!("work").in_scope(|| tracing::info!("done"));
    drop(guard);
    assert!(!telemetry.flush(Duration::from_millis(200)), "nobody took anything");
    let text = telemetry.registry().encode(Format::Prometheus);
    for signal in ["logs", "spans"] {
        let lost = "skopos_telemetry_dropped_total";
        let lost = format!("{lost}{{signal=\"{signal}\",reason=\"unreachable\"}} 0\n");
        assert!(text.contains(&lost), "{text}");
    }
    let collector = Collector::start_at(address, Manner::Accepts);
    assert!(telemetry.flush(PATIENCE));
    assert_eq!((collector.logs().len(), collector.spans().len()), (1, 1));
    assert!(telemetry.shutdown_blocking(PATIENCE).is_complete());
}

#[test]
fn a_flush_waits_for_what_was_there_and_not_for_what_comes() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_METRICS_EXPORTER", "none"),
        // So small that it takes a request for each few, and is never empty for long.
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "64"),
    ];
    let (telemetry, guard) = scoped(builder(&Output::default(), &variables));
    let is_over = AtomicBool::new(false);
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    let is_flushed = std::thread::scope(|scope| {
        scope.spawn(|| {
            tracing::dispatcher::with_default(&dispatch, || {
                while !is_over.load(Ordering::Relaxed) {
                    drop(tracing::info_span!("work"));
                }
            });
        });
        wait_until(|| collector.requests() > 0);
        let is_flushed = telemetry.flush(PATIENCE);
        is_over.store(true, Ordering::Relaxed);
        is_flushed
    });
    drop(guard);
    assert!(is_flushed);
}

#[test]
fn a_flush_whose_items_are_refused_says_so() {
    let collector = Collector::start(Manner::Refuses);
    let endpoint = collector.endpoint();
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_METRICS_EXPORTER", "none")];
    let (telemetry, guard) = scoped(builder(&Output::default(), &variables));
    tracing::info!("one");
    drop(guard);
    assert!(!telemetry.flush(PATIENCE));
    assert!(telemetry.flush(PATIENCE), "there was nothing more to send");
}

#[test]
fn what_is_left_behind_or_comes_later_is_counted_and_told_each_time() {
    let collector = Collector::start(Manner::Hangs);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ("OTEL_BLRP_SCHEDULE_DELAY", "0")];
    let (telemetry, guard) = scoped(builder(&output, &variables));
    tracing::info!("before");
    // On its way, for ten seconds.
    wait_until(|| collector.requests() == 1);
    let shut_down = || {
        let report = telemetry.shutdown_blocking(Duration::from_millis(100));
        (report.logs_lost, report.metrics_lost, report.timed_out)
    };
    assert_eq!(shut_down(), (1, true, true));
    assert_eq!(shut_down(), (1, true, true));
    tracing::info!("after");
    drop(guard);
    assert_eq!(shut_down(), (2, true, true));
    let text = telemetry.registry().encode(Format::Prometheus);
    let dropped = |reason: &str, number: u64| {
        let name = "skopos_telemetry_dropped_total";
        let line = format!("{name}{{signal=\"logs\",reason=\"{reason}\"}} {number}\n");
        assert!(text.contains(&line), "{line}{text}");
    };
    dropped("queue_full", 0);
    dropped("closed", 2);

    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    tracing::info!("before");
    drop(guard);
    for _ in 0..2 {
        assert!(telemetry.shutdown_blocking(PATIENCE).is_complete());
    }
}

/// The feedback loop of <https://github.com/open-telemetry/opentelemetry-rust/issues/761> and `/1171`.
#[test]
fn the_exporter_does_not_export_itself() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(
        &output,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("SKOPOS_ALLOW_DEBUG", "1"),
            ("RUST_LOG", "trace"),
        ],
    ));
    tracing::info!("one");
    for _ in 0..5 {
        assert!(telemetry.flush(Duration::from_secs(20)));
    }
    drop(guard);
    assert_eq!(collector.logs().len(), 1);
    assert_eq!(collector.requests(), 1);
}
