//! The OpenAPI document: complete, kept in the repository, and true.

use std::path::Path;

use serde_json::{Value, json};
use skopos_model::{SeverityNumber, Span, SpanId, SpanStatus, StatusCode, TraceId};
use skopos_server::config::Settings;
use skopos_server::http::{openapi, otlp, routes};

use crate::api::{Api, ago, record};

pub(crate) fn document() -> Value {
    openapi::document(&routes(&Settings::defaults()), &otlp::routes())
}

#[test]
fn every_route_is_in_it() {
    let document = document();
    let all = routes(&Settings::defaults()).into_iter().chain(otlp::routes());
    let mut ids = std::collections::BTreeSet::new();
    for route in all {
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        assert!(operation.is_object(), "{} {} is missing", route.method, route.path);
        let summary = operation["summary"].as_str().unwrap();
        assert!(summary.ends_with('.'), "{}: {summary:?} is no sentence", route.path);
        assert!(!operation["tags"][0].as_str().unwrap().is_empty(), "{} has no tag", route.path);
        let id = operation["operationId"].as_str().unwrap().to_owned();
        assert!(ids.insert(id.clone()), "{id} occurs twice");
    }
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    for reference in references {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is not defined");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.push(reference.clone());
            }
            map.values().for_each(|v| collect_references(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| collect_references(v, found)),
        _ => {}
    }
}

#[test]
fn probes_that_can_fail_say_so() {
    let paths = &document()["paths"];
    for (path, can_fail) in
        [("/health/live", false), ("/health/ready", true), ("/health/startup", true)]
    {
        let answer = &paths[path]["get"]["responses"]["503"];
        assert_eq!(answer["content"]["application/json"].is_object(), can_fail, "{path}");
    }
}

/// `SKOPOS_UPDATE_GOLDEN=1` writes the file anew.
#[test]
fn the_file_in_the_repository_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let fresh = format!("{:#}\n", document());
    if std::env::var_os("SKOPOS_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == fresh,
        "docs/openapi.json is stale: run this test with SKOPOS_UPDATE_GOLDEN=1 and read the diff"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn real_answers_fit_their_schemas() {
    let api = Api::start().await;
    assert_eq!(api.ok("/api/openapi.json", &[]).await, document());
    api.push("up{job=\"a\"}", &[(15, 1.0), (0, f64::NAN)]).await;
    api.push("ALERTS_FOR_STATE{alertname=\"A\"}", &[(60, 1_699_999_940.0)]).await;
    api.push_logs("s", vec![record(5, SeverityNumber::WARN, "text")]).await;
    let failed = Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        parent_span_id: SpanId([3; 8]),
        name: "op".into(),
        start_time: ago(5),
        end_time: ago(4),
        status: SpanStatus { code: StatusCode::Error, message: "no".into() },
        ..Span::default()
    };
    api.push_spans("s", vec![failed]).await;

    let trace = format!("/api/traces/{}", "01".repeat(16));
    let columns = format!("/api/v1/traces/{}", "01".repeat(16));
    let span = format!("{columns}/spans/{}", "02".repeat(8));
    let logs = api.ok("/api/v1/logs", &[]).await;
    let id = logs["data"]["logs"][0]["id"].as_str().unwrap();
    let context = format!("/api/v1/logs/{id}/context");
    let query = "/api/v1/query";
    for (path, parameters, schema) in [
        (query, vec![("query", "up")], "PrometheusQuery"),
        (query, vec![("query", "up[1m]"), ("stats", "all")], "PrometheusQuery"),
        (query, vec![("query", "1")], "PrometheusQuery"),
        (query, vec![("query", "\"x\"")], "PrometheusQuery"),
        (query, vec![("query", "up"), ("limit", "1")], "PrometheusQuery"),
        (query, vec![("query", "(")], "PrometheusError"),
        ("/api/v1/logs", vec![], "LogsAnswer"),
        ("/api/v1/logs", vec![("x", "y")], "EventsError"),
        ("/api/v1/logs", vec![("filter", "level>=eror")], "EventsError"),
        ("/api/v1/logs/histogram", vec![], "LogsHistogram"),
        ("/api/v1/logs/facets", vec![("field", "level")], "LogsFacets"),
        (&context, vec![], "LogsContext"),
        ("/api/v1/traces", vec![], "TraceSearch"),
        (&columns, vec![], "TraceColumns"),
        (&span, vec![], "SpanAnswer"),
        ("/api/v1/filter/check", vec![("filter", "a b")], "FilterCheck"),
        ("/api/v1/filter/complete", vec![("filter", "level=")], "FilterCompletion"),
        ("/api/v1/sql", vec![("query", "SELECT * FROM logs")], "SqlAnswer"),
        ("/api/v1/sql", vec![("query", "SELECT bdy FROM logs")], "SqlError"),
        ("/api/v1/cardinality", vec![], "CardinalityAnswer"),
        ("/api/v1/cardinality", vec![("metric", "up")], "CardinalityAnswer"),
        ("/api/v1/cardinality", vec![("label", "job")], "CardinalityAnswer"),
        ("/api/v1/cardinality", vec![("limit", "0")], "PrometheusError"),
        ("/api/v1/status/tsdb", vec![], "TsdbStatus"),
        ("/api/v1/status", vec![], "StatusAnswer"),
        ("/api/v1/skopos/alerts/history", vec![("since", "3d")], "AlertHistory"),
        ("/api/v1/skopos/alerts/report", vec![("since", "3d")], "AlertReport"),
        (&trace, vec![], "JaegerTraces"),
        ("/api/traces/ff", vec![], "JaegerError"),
    ] {
        let (_, answer) = api.get(path, &parameters).await;
        let document = document();
        let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
        if let Err(why) = fits(&document, &schema, &answer, "answer") {
            panic!("{path} {parameters:?}: {why}\n{answer}");
        }
        // The check itself can fail.
        assert!(fits(&document, &schema, &json!({"status": 1}), "answer").is_err());
    }
    api.stop().await;
}

/// As much of JSON Schema as the document uses; properties that a schema does not name are
/// mistakes, except where it says nothing about properties.
pub(crate) fn fits(
    document: &Value,
    schema: &Value,
    value: &Value,
    at: &str,
) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        return fits(document, document.pointer(pointer).unwrap(), value, at);
    }
    if let Some(options) = schema["oneOf"].as_array() {
        let results: Vec<_> = options.iter().map(|o| fits(document, o, value, at)).collect();
        return match results.iter().filter(|r| r.is_ok()).count() {
            1 => Ok(()),
            n => Err(format!("{at} fits {n} of the alternatives: {results:?}")),
        };
    }
    if let Some(constant) = schema.get("const")
        && constant != value
    {
        return Err(format!("{at} is not {constant}"));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        return Err(format!("{at} is none of {allowed:?}"));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is = |name: &Value| name == kind || name == "integer" && (value.is_i64() || value.is_u64());
    match &schema["type"] {
        Value::Null => {}
        Value::Array(kinds) if kinds.iter().any(is) => {}
        name if is(name) => {}
        other => return Err(format!("{at} is {kind}, not {other}")),
    }
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        let schema = schema["prefixItems"].get(i).or_else(|| schema.get("items"));
        if let Some(schema) = schema {
            fits(document, schema, item, &format!("{at}[{i}]"))?;
        }
    }
    let Some(object) = value.as_object() else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !object.contains_key(name.as_str().unwrap()) {
            return Err(format!("{at} has no {name}"));
        }
    }
    for (name, item) in object {
        let place = format!("{at}.{name}");
        let known = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
        match known {
            Some(schema) => fits(document, schema, item, &place)?,
            None if schema.get("properties").is_some() => {
                return Err(format!("{place} is not in the document"));
            }
            None => {}
        }
    }
    Ok(())
}
