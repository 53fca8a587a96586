//! What the API tells about queries themselves: their tree, their layout, their plan, what they cost.

use serde_json::json;

use crate::api::{Api, NOW};

#[tokio::test(flavor = "multi_thread")]
async fn syntax_trees_are_prometheus_own() {
    let api = Api::start().await;
    let query =
        r#"sum by (job) (rate(a{b!="c"}[5m] offset 1m)) / on (job) round(-up @ start(), 2)"#;
    let answer = api.ok("/api/v1/parse_query", &[("query", query)]).await;
    assert_eq!(
        answer["data"],
        json!({
            "type": "binaryExpr",
            "op": "/",
            "bool": false,
            "matching": {
                "card": "one-to-one", "labels": ["job"], "on": true, "include": [],
                "fillValues": {"lhs": null, "rhs": null},
            },
            "lhs": {
                "type": "aggregation", "op": "sum", "param": null, "grouping": ["job"],
                "without": false,
                "expr": {
                    "type": "call",
                    "func": {
                        "name": "rate", "argTypes": ["matrix"], "variadic": 0,
                        "returnType": "vector",
                    },
                    "args": [{
                        "type": "matrixSelector", "name": "a", "range": 300_000,
                        "offset": 60_000, "timestamp": null, "startOrEnd": null,
                        "anchored": false, "smoothed": false,
                        "matchers": [
                            {"name": "__name__", "value": "a", "type": "="},
                            {"name": "b", "value": "c", "type": "!="},
                        ],
                    }],
                },
            },
            "rhs": {
                "type": "call",
                "func": {
                    "name": "round", "argTypes": ["vector", "scalar"], "variadic": 1,
                    "returnType": "vector",
                },
                "args": [
                    {"type": "unaryExpr", "op": "-", "expr": {
                        "type": "vectorSelector", "name": "up", "offset": 0, "timestamp": null,
                        "startOrEnd": "start", "anchored": false, "smoothed": false,
                        "matchers": [{"name": "__name__", "value": "up", "type": "="}],
                    }},
                    {"type": "numberLiteral", "val": "2"},
                ],
            },
        })
    );
    for (query, path, want) in [
        ("a[1h:5m] @ 12.5", "timestamp", json!(12_500)),
        ("a[1h:5m]", "step", json!(300_000)),
        ("a[2 * step()]", "rangeExpr", json!("2 * step()")),
        ("a[2 * step()]", "range", json!(0)),
        ("(\"x\")", "expr", json!({"type": "stringLiteral", "val": "x"})),
        (
            "label_join(a, \"b\", \"-\", \"c\")",
            "func",
            json!({
                "name": "label_join", "argTypes": ["vector", "string", "string", "string"],
                "variadic": -1, "returnType": "vector",
            }),
        ),
    ] {
        let (status, answer) = api.post("/api/v1/parse_query", &[("query", query)]).await;
        assert_eq!(status, 200, "{query}: {answer}");
        assert_eq!(answer["data"][path], want, "{query}");
    }
    let (status, answer) = api.get("/api/v1/parse_query", &[("query", "sum(")]).await;
    assert_eq!((status, &answer["errorType"]), (400, &json!("bad_data")), "{answer}");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_queries_are_laid_out() {
    let api = Api::start().await;
    let query = "sum(rate(http_requests_total{status_code=~\"5..\"}[5m])) by (job) / \
                 sum(rate(http_requests_total[5m])) by (job) > 0.01";
    let (status, answer) = api.post("/api/v1/format_query", &[("query", query)]).await;
    let want = "    sum by (job) (rate(http_requests_total{status_code=~\"5..\"}[5m]))\n\
                \x20 /\n\
                \x20   sum by (job) (rate(http_requests_total[5m]))\n\
                >\n\
                \x20 0.01";
    assert_eq!((status, answer["data"].as_str()), (200, Some(want)));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_show_what_operators_cost() {
    let api = Api::start().await;
    for job in ["a", "b"] {
        let samples: Vec<_> = (0..20).rev().map(|i| (i * 15, 100.0 - i as f64)).collect();
        api.push(&format!("hits_total{{job=\"{job}\"}}"), &samples).await;
    }
    let query = [("query", "sum(rate(hits_total[1m]))")];
    let plan = &api.ok("/api/v1/skopos/explain", &query).await["data"];
    assert_eq!((&plan["analyzed"], &plan["steps"]), (&json!(true), &json!(1)));
    assert_eq!((&plan["series"], &plan["samples"]), (&json!(2), &json!(8)));
    let root = &plan["root"];
    assert!(root["name"].as_str().unwrap().starts_with("sum"), "{root}");
    assert_eq!(root["cost"]["series"], 1);
    assert_eq!(root["children"][0]["cost"]["series"], 2);
    assert_eq!(root["children"][0]["cost"]["samples"], 8);

    let (start, end) = ((NOW - 60).to_string(), NOW.to_string());
    let range = [
        ("query", "sum(rate(hits_total[1m]))"),
        ("start", &*start),
        ("end", &*end),
        ("step", "15"),
        ("analyze", "false"),
    ];
    let (status, answer) = api.post("/api/v1/skopos/explain", &range).await;
    assert_eq!(status, 200, "{answer}");
    let plan = &answer["data"];
    assert_eq!((&plan["analyzed"], &plan["steps"]), (&json!(false), &json!(5)));
    assert!(plan["root"]["cost"].is_null());
    assert!(plan["fetches"][0].as_str().unwrap().contains("hits_total"));

    let bad = [("query", "up"), ("analyze", "perhaps")];
    let (status, answer) = api.get("/api/v1/skopos/explain", &bad).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("analyze"), "{answer}");
    let too_many = [("query", "up"), ("start", "0"), ("end", "100000"), ("step", "1")];
    let (status, answer) = api.get("/api/v1/skopos/explain", &too_many).await;
    assert_eq!((status, &answer["errorType"]), (400, &json!("bad_data")), "{answer}");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_tell_what_was_looked_at() {
    let api = Api::start().await;
    for job in ["a", "b", "c"] {
        api.push(&format!("up{{job=\"{job}\"}}"), &[(0, 1.0)]).await;
    }
    let answer = api.ok("/api/v1/query", &[("query", "up"), ("stats", "all")]).await;
    let stats = &answer["data"]["stats"];
    let timings = [
        "evalTotalTime",
        "execQueueTime",
        "execTotalTime",
        "innerEvalTime",
        "queryPreparationTime",
        "resultSortTime",
    ];
    let names: Vec<&String> = stats["timings"].as_object().unwrap().keys().collect();
    assert_eq!(names, timings);
    assert!(timings.iter().all(|name| stats["timings"][name].is_number()), "{stats}");
    let now = NOW;
    assert_eq!(
        stats["samples"],
        json!({
            "totalQueryableSamples": 3,
            "samplesRead": 3,
            "peakSamples": 3,
            "totalQueryableSamplesPerStep": [[now, 3]],
            "samplesReadPerStep": [[now, 3]],
        })
    );
    assert_eq!(stats.as_object().unwrap().len(), 2);
    // Any other value tells no steps; none at all tells nothing.
    let answer = api.ok("/api/v1/query", &[("query", "up"), ("stats", "true")]).await;
    let samples = &answer["data"]["stats"]["samples"];
    assert_eq!(samples, &json!({ "totalQueryableSamples": 3, "samplesRead": 3, "peakSamples": 3 }));
    let answer = api.ok("/api/v1/query", &[("query", "up"), ("stats", "")]).await;
    assert!(answer["data"].get("stats").is_none());
    // A part that occurs twice is looked at twice, and each step has its own count.
    let (start, end) = ((now - 60).to_string(), now.to_string());
    let range = [
        ("query", "sum(up) / count(up)"),
        ("start", &*start),
        ("end", &*end),
        ("step", "30"),
        ("stats", "all"),
    ];
    let answer = api.ok("/api/v1/query_range", &range).await;
    assert_eq!(
        answer["data"]["stats"]["samples"]["totalQueryableSamplesPerStep"],
        json!([[now - 60, 0], [now - 30, 0], [now, 6]])
    );
    api.stop().await;
}
