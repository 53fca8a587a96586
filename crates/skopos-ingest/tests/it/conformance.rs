//! The examples that OpenTelemetry publishes beside the protocol, read from the shared folder.

use std::path::Path;

use skopos_ingest::otlp::{OtlpEncoding, OtlpOptions, decode_logs, decode_metrics, decode_traces};

use crate::support::{NOW, render};

fn example(name: &str) -> Option<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/otlp");
    let read = std::fs::read(root.join(name)).ok();
    if read.is_none() {
        println!("skipped: ../shared/conformance/otlp/{name} is not here");
    }
    read
}

#[test]
fn logs_example() {
    let Some(body) = example("logs.json") else { return };
    let report = decode_logs(OtlpEncoding::Json, &body, &OtlpOptions::default(), NOW).unwrap();
    assert_eq!((report.decoded.rejected.len(), report.adjusted.len()), (0, 0));
    let group = &report.decoded.value.groups[0];
    assert_eq!(group.resource.service_name(), "my.service");
    assert_eq!(group.scope.attributes.str("my.scope.attribute"), Some("some scope attribute"));
    let record = &group.records[0];
    assert_eq!(record.body.as_str(), Some("Example log record"));
    assert_eq!(record.trace_id.to_string(), "5b8efff798038103d269b633813fc60c");
    let mut json = String::new();
    record.attributes.write_json(&mut json).unwrap();
    assert_eq!(
        json,
        r#"{"string.attribute":"some string","boolean.attribute":true,"int.attribute":10,"double.attribute":637.704,"array.attribute":["many","values"],"map.attribute":{"some.map.key":"some value"}}"#
    );
}

#[test]
fn events_example() {
    let Some(body) = example("events.json") else { return };
    let report = decode_logs(OtlpEncoding::Json, &body, &OtlpOptions::default(), NOW).unwrap();
    assert_eq!((report.decoded.rejected.len(), report.adjusted.len()), (0, 0));
    let records = &report.decoded.value.groups[0].records;
    assert!(!records.is_empty() && records.iter().all(|r| !r.event_name.is_empty()));
}

#[test]
fn trace_example() {
    let Some(body) = example("trace.json") else { return };
    let report = decode_traces(OtlpEncoding::Json, &body, &OtlpOptions::default()).unwrap();
    assert_eq!((report.decoded.rejected.len(), report.adjusted.len()), (0, 0));
    let span = &report.decoded.value.groups[0].spans[0];
    assert_eq!(&*span.name, "I'm a server span");
    assert_eq!(span.parent_span_id.to_string(), "eee19b7ec3c1b173");
    assert_eq!(span.duration(), std::time::Duration::from_secs(1));
}

#[test]
fn metrics_example() {
    let Some(body) = example("metrics.json") else { return };
    let report = decode_metrics(OtlpEncoding::Json, &body, &OtlpOptions::default()).unwrap();
    assert_eq!((report.decoded.rejected.len(), report.adjusted.len()), (0, 0));
    assert_eq!(
        render(&report.decoded.value),
        [
            r#"my_counter_total{job="my.service", my_counter_attr="some value"} 5 @1544712660300 since 1544712660300 delta"#,
            r#"my_gauge_ratio{job="my.service", my_gauge_attr="some value"} 10 @1544712660300"#,
            r#"my_histogram_bucket{job="my.service", le="1.0", my_histogram_attr="some value"} 1 @1544712660300 since 1544712660300 delta"#,
            r#"my_histogram_bucket{job="my.service", le="+Inf", my_histogram_attr="some value"} 2 @1544712660300 since 1544712660300 delta"#,
            r#"my_histogram_sum{job="my.service", my_histogram_attr="some value"} 2 @1544712660300 since 1544712660300 delta"#,
            r#"my_histogram_count{job="my.service", my_histogram_attr="some value"} 2 @1544712660300 since 1544712660300 delta"#,
            r#"my_exponential_histogram{job="my.service", my_exponential_histogram_attr="some value"} schema=0 count=3 sum=10 zero=1≤1e-128 +[(3, 1)][2.0] -[][] @1544712660300 since 1544712660300 delta"#,
        ]
    );
}
