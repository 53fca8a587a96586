//! What the Prometheus API refuses and how: the limit, the query, the place; and what it answers
//! where Prometheus has an endpoint.

use serde_json::{Value, json};

use crate::api::{Api, NOW};

/// The text of a refusal.
async fn refused(api: &Api, path: &str, query: &[(&str, &str)], status: u16) -> Value {
    let (got, answer) = api.post(path, query).await;
    assert_eq!(got, status, "{query:?}: {answer}");
    assert_eq!(answer["status"], "error", "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_query_cannot_take_the_memory_of_the_server() {
    let api = Api::start().await;
    api.push("temp{i=\"1\"}", &[(0, 1.0)]).await;
    let mut joined = "label_replace(temp,\"x\",\"a\",\"\",\"\")".to_owned();
    for _ in 0..11 {
        joined = format!(
            "label_join({joined},\"x\",\"\",\"x\",\"x\",\"x\",\"x\",\"x\",\"x\",\"x\",\"x\")"
        );
    }
    let joined = format!("count({joined})");
    let answer = refused(&api, "/api/v1/query", &[("query", &joined)], 422).await;
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("limits.query_label_bytes = 65536"), "{error}");
    assert!(error.contains("query: count(label_join("), "{error}");
    assert!(answer["position"]["column"].as_u64().unwrap() > 1, "{answer}");
    // It is still there.
    api.ok("/api/v1/query", &[("query", "temp")]).await;
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_their_place() {
    let api = Api::start().await;
    for (series, value) in
        [("l{a=\"1\"}", 1.0), ("r{a=\"1\",b=\"1\"}", 1.0), ("r{a=\"1\",b=\"2\"}", 1.0)]
    {
        api.push(series, &[(0, value)]).await;
    }
    for (query, status, at, text, error) in [
        (
            "foo{__name__=\"bar\"}",
            400,
            (1, 1),
            "foo{__name__=\"bar\"}",
            "set twice: \"foo\" or \"bar\"",
        ),
        ("temp[0s]", 400, (1, 6), "0s", "1:6: parse error: duration must be greater than 0"),
        ("temp[-1m]", 400, (1, 6), "-1m", "1:6: parse error: duration must be greater than 0"),
        ("temp[5m:0s]", 400, (1, 9), "0s", "1:9: parse error: duration must be greater than 0"),
        ("temp offset 9e18", 400, (1, 13), "9e18", "offset must be a finite number of seconds"),
        ("sum(", 400, (1, 4), "(", "1:4: parse error: unclosed left parenthesis"),
        ("1 +\n  l * on(a) r", 422, (2, 3), "l * on(a) r", "[{__name__=\"r\", a=\"1\", b=\""),
        (
            "count_over_time(temp[100y:1s])",
            422,
            (1, 17),
            "temp[100y:1s]",
            "limits.query_samples = 50000000; narrow the query, or raise the limit (query: count_over",
        ),
    ] {
        let answer = refused(&api, "/api/v1/query", &[("query", query)], status).await;
        let place = &answer["position"];
        assert_eq!((&place["line"], &place["column"]), (&json!(at.0), &json!(at.1)), "{answer}");
        let byte = |name: &str| place[name].as_u64().unwrap() as usize;
        assert_eq!(&query[byte("start")..byte("end")], text, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(error), "{answer}");
    }
    let answer = refused(&api, "/api/v1/query", &[("query", "temp offse 5m")], 400).await;
    assert_eq!(answer["suggestion"], "offset");
    let answer = refused(&api, "/api/v1/query", &[("query", "info(up)")], 400).await;
    assert!(answer["error"].as_str().unwrap().contains("query.experimental"), "{answer}");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_limit_and_query() {
    let api = Api::with(|settings| settings.max_query_series = 2).await;
    for i in 0..3 {
        api.push(&format!("gauge{i}{{a=\"b\"}}"), &[(30, 1.0), (0, 2.0)]).await;
    }
    let answer = refused(&api, "/api/v1/query", &[("query", "{a=\"b\"}")], 422).await;
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("limits.query_series = 2") && error.contains("query: {a="), "{error}");
    let start = (NOW - 20_000).to_string();
    let points =
        [("query", "gauge0"), ("start", &*start), ("end", &NOW.to_string()), ("step", "1")];
    let answer = refused(&api, "/api/v1/query_range", &points, 400).await;
    let error = answer["error"].as_str().unwrap();
    let text = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
    assert!(error.starts_with(text), "{error}");
    assert!(error.contains("20,001 points") && error.ends_with("(query: gauge0)"), "{error}");
    // Who asks for less time than there is cannot be helped by a longer limit.
    let impatient = [("query", "gauge0"), ("timeout", "0ms")];
    let answer = refused(&api, "/api/v1/query", &impatient, 503).await;
    let error = answer["error"].as_str().unwrap();
    assert!(!error.contains("limits.query_timeout") && error.contains("gauge0"), "{error}");
    for (name, time) in
        [("time", "9223372037"), ("time", "-1e18"), ("time", "2263-01-01T00:00:00Z")]
    {
        let answer = refused(&api, "/api/v1/query", &[("query", "1"), (name, time)], 400).await;
        assert!(answer["error"].as_str().unwrap().contains("2262"), "{answer}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn remarks_are_cut_at_ten() {
    let api = Api::start().await;
    for i in 0..12 {
        api.push(&format!("gauge{i}{{i=\"{i}\"}}"), &[(30, 1.0), (0, 2.0)]).await;
    }
    let query = [("query", "rate({__name__=~\"gauge.*\"}[1m])")];
    let answer = api.ok("/api/v1/query", &query).await;
    let infos = answer["infos"].as_array().unwrap();
    assert_eq!((infos.len(), &infos[10]), (11, &json!("2 more info annotations omitted")));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nowhere_is_said_in_prometheus_words() {
    let api = Api::start().await;
    for (path, status, kind) in
        [("/api/v1/nope", 404, "not_found"), ("/api/v1/label/%FF/values", 400, "bad_data")]
    {
        let (got, answer) = api.get(path, &[]).await;
        assert_eq!(got, status, "{path}: {answer}");
        assert_eq!((&answer["status"], &answer["errorType"]), (&json!("error"), &json!(kind)));
        assert!(answer["error"].is_string() && answer["error_code"].is_string(), "{answer}");
    }
    let (got, answer) = api.post("/api/v1/metadata", &[]).await;
    assert_eq!((got, &answer["error_code"]), (405, &json!("method_not_allowed")), "{answer}");
    assert_eq!((&answer["status"], &answer["errorType"]), (&json!("error"), &json!("bad_data")));
    for (path, status, text) in [
        ("/-/ready", 200, "Ready"),
        ("/-/healthy", 200, "Healthy"),
        ("/-/nope", 404, "no such path"),
    ] {
        let answer = api.client.get(format!("{}{path}", api.base)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert!(answer.text().await.unwrap().contains(text), "{path}");
    }
    api.server.as_ref().unwrap().state().health.mark_draining();
    let answer = api.client.get(format!("{}/-/ready", api.base)).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_clients_look_at() {
    let api = Api::start().await;
    for (path, field, want) in [
        ("/api/v1/status/buildinfo", "/version", json!("3.14.0")),
        ("/api/v1/status/runtimeinfo", "/reloadConfigSuccess", json!(true)),
        ("/api/v1/status/flags", "/query.timeout", json!("2m")),
        ("/api/v1/alertmanagers", "/activeAlertmanagers", json!([])),
        ("/api/v1/targets/metadata", "", json!([])),
    ] {
        let answer = api.ok(path, &[]).await;
        assert_eq!(answer["data"].pointer(field), Some(&want), "{path}: {answer}");
    }
    let config = api.ok("/api/v1/status/config", &[]).await;
    let yaml = config["data"]["yaml"].as_str().unwrap();
    assert!(yaml.starts_with("global:\n  scrape_interval: "), "{yaml}");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_prometheus_can_federate() {
    let api = Api::start().await;
    api.push("up{job=\"a\",instance=\"h:1\"}", &[(60, 0.0), (30, 1.0)]).await;
    api.push("up{job=\"b\"}", &[(10, 1e30)]).await;
    api.push("old{job=\"b\"}", &[(400, 1.0)]).await;
    let get = async |query: &[(&str, &str)]| {
        let request = api.client.get(format!("{}/federate", api.base)).query(query);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, text) = get(&[("match[]", "{job=~\".+\"}"), ("match[]", "up")]).await;
    let (first, second) = ((NOW - 30) * 1000, (NOW - 10) * 1000);
    let want = format!(
        "# TYPE up untyped\nup{{instance=\"h:1\", job=\"a\"}} 1 {first}\n\
         up{{job=\"b\",instance=\"\"}} 1e+30 {second}\n"
    );
    assert_eq!((status, text), (200, want));
    assert_eq!(get(&[]).await, (200, String::new()));
    assert_eq!(get(&[("match[]", "up{")]).await.0, 400);
    api.stop().await;
}
