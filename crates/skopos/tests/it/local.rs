//! The collector of this machine that nobody has named: sent to when it is there, and no trouble when it is not.

use std::net::{SocketAddr, TcpListener};

use crate::support::{Collector, Manner, Output, PATIENCE, builder, scoped, wait_until};

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_collector_that_comes_later_gets_what_comes_later_and_what_came_before_is_no_loss() {
    let address = free_address();
    let at = address.to_string();
    let output = Output::default();
    let variables = [
        ("ENVIRONMENT", "development"),
        ("SKOPOS_LOCAL_COLLECTOR", at.as_str()),
        ("SKOPOS_PENDING_SPANS", "false"),
    ];
    let (telemetry, guard) = scoped(builder(&output, &variables).local_collector());
    tracing::info_span!("early").in_scope(|| tracing::info!("nobody listens"));
    assert!(telemetry.flush(PATIENCE), "there is nobody to wait for");
    let metrics = telemetry.registry().encode(skopos::metrics::Format::Prometheus);
    for expected in [
        "skopos_telemetry_unheard_total{signal=\"logs\"} 1",
        "skopos_telemetry_unheard_total{signal=\"spans\"} 1",
        "skopos_telemetry_dropped_total{signal=\"logs\",reason=\"unreachable\"} 0",
        "skopos_telemetry_failed_requests_total{signal=\"metrics\"} 0",
    ] {
        assert!(metrics.contains(expected), "{expected}: {metrics}");
    }

    let collector = Collector::start_at(address, Manner::Accepts);
    tracing::info_span!("late").in_scope(|| tracing::info!("somebody listens"));
    assert!(telemetry.flush(PATIENCE));
    drop(guard);
    let report = telemetry.shutdown_blocking(PATIENCE);
    assert!(report.is_complete(), "{report}");
    let spans: Vec<String> = collector.spans().into_iter().map(|span| span.name).collect();
    assert_eq!((spans, collector.logs().len()), (vec!["late".to_owned()], 1));
    wait_until(|| !collector.pushes().is_empty());
    let said: Vec<_> = output.lines().into_iter().map(|line| line["message"].clone()).collect();
    let greeting = "development telemetry goes to the collector of this machine";
    assert_eq!(said.iter().filter(|message| **message == greeting).count(), 1, "{said:?}");
    assert_eq!(said.len(), 3, "{said:?}");
}

#[test]
fn who_has_the_port_and_takes_nothing_is_left_alone() {
    let collector = Collector::start(Manner::Refuses);
    let at = collector.endpoint();
    let output = Output::default();
    let variables = [("ENVIRONMENT", "local"), ("SKOPOS_LOCAL_COLLECTOR", at.as_str())];
    let (telemetry, guard) = scoped(builder(&output, &variables).local_collector());
    tracing::info!("refused");
    assert!(telemetry.flush(PATIENCE));
    drop(guard);
    let report = telemetry.shutdown_blocking(PATIENCE);
    assert!(report.is_complete(), "{report}");
    assert!(collector.requests() > 0, "it was tried");
    assert_eq!(output.lines().len(), 1, "no word of it: {}", output.text());
}

#[test]
fn only_who_asks_for_it_and_only_at_a_desk() {
    let collector = Collector::start(Manner::Accepts);
    let at = collector.endpoint();
    for (environment, asks) in [("production", true), ("staging", true), ("development", false)] {
        let variables = [("ENVIRONMENT", environment), ("SKOPOS_LOCAL_COLLECTOR", at.as_str())];
        let builder = builder(&Output::default(), &variables);
        let builder = if asks { builder.local_collector() } else { builder };
        let (telemetry, guard) = scoped(builder);
        tracing::info_span!("work").in_scope(|| tracing::info!("done"));
        drop(guard);
        assert!(telemetry.shutdown_blocking(PATIENCE).is_complete());
        assert_eq!(collector.requests(), 0, "{environment}");
    }
}
