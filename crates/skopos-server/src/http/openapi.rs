//! The OpenAPI document, made from the route table: a route that is not in the document does not
//! exist, and a parameter that is described here is described where it is read.
//!
//! The same document is kept in `docs/openapi.json`; a test compares the two.

mod schemas;

use axum::Json;
use axum::extract::State;
use http::Method;
use serde_json::{Map, Value, json};

use super::{ParamDoc, Route};
use crate::auth::Scope;
use crate::state::SharedState;

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/openapi.json", Scope::Read, openapi)
            .summary("This document.")
            .tag("skopos"),
    ]
}

async fn openapi(State(state): State<SharedState>) -> Json<Value> {
    Json(document(&super::routes(&state.settings), &super::otlp::routes()))
}

/// The OpenAPI 3.1 document of the main port's routes and of the OTLP port's.
pub fn document(main: &[Route], otlp: &[Route]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let otlp_servers = json!([{
        "url": "http://127.0.0.1:4318",
        "description": "OTLP over HTTP (otlp.http_listen)",
    }]);
    for (routes, servers) in [(main, None), (otlp, Some(&otlp_servers))] {
        for route in routes {
            let mut operation = operation(route);
            if let Some(servers) = servers {
                operation["servers"] = servers.clone();
            }
            let path = paths.entry(route.path).or_insert_with(|| json!({}));
            path[route.method.as_str().to_ascii_lowercase()] = operation;
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Skopos",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description":
                "Tokens are needed once the server has any: `Authorization: Bearer …`. Which scope \
                 opens an operation stands in its `x-skopos-scope`.",
        },
        "servers": [{"url": "http://127.0.0.1:4319", "description": "UI and API (http.listen)"}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas::all(),
        },
    })
}

fn operation(route: &Route) -> Value {
    let doc = &route.doc;
    let mut parameters: Vec<Value> = path_parameters(route.path)
        .map(|name| {
            json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
        })
        .collect();
    // A PromQL client sends the same parameters in a form.
    let has_form = route.method == Method::POST && !doc.params.is_empty();
    if !has_form {
        parameters.extend(doc.params.iter().map(query_parameter));
    }
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": doc.summary,
        "tags": [doc.tag],
        "responses": responses(route),
        "x-skopos-scope": scope_name(route.scope),
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if has_form {
        operation["requestBody"] = form(&doc.params);
        if doc.tag == "sql" {
            let content = &mut operation["requestBody"]["content"];
            content["application/json"] = content["application/x-www-form-urlencoded"].clone();
        }
    } else if let Some(body) = schemas::request_body(route.path, &route.method) {
        operation["requestBody"] = body;
    }
    if route.scope != Scope::Public {
        // Without tokens a loopback server is open: `{}` says that none may be needed.
        operation["security"] = json!([{}, {"token": []}]);
    }
    operation
}

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn query_parameter(param: &ParamDoc) -> Value {
    json!({
        "name": param.name,
        "in": "query",
        "required": param.required,
        "description": param.description,
        "schema": param_schema(param),
    })
}

fn param_schema(param: &ParamDoc) -> Value {
    if param.repeated {
        json!({"type": "array", "items": {"type": "string"}})
    } else {
        json!({"type": "string"})
    }
}

fn form(params: &[ParamDoc]) -> Value {
    let properties: Map<String, Value> = params
        .iter()
        .map(|param| {
            let mut schema = param_schema(param);
            schema["description"] = param.description.into();
            (param.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = params.iter().filter(|p| p.required).map(|p| p.name).collect();
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    json!({"content": {"application/x-www-form-urlencoded": {"schema": schema}}})
}

fn responses(route: &Route) -> Value {
    let doc = &route.doc;
    if doc.tag == "remote-write" {
        // Its statuses are a protocol, and its errors plain text.
        let text = |description: &str| {
            let content = json!({"text/plain": {"schema": {"type": "string"}}});
            json!({"description": description, "content": content})
        };
        return json!({
            "204": {"description": "All of it is stored."},
            "400": text("Some of it never will be stored, the rest is: do not repeat."),
            "503": text("Nothing is stored yet: repeat after Retry-After."),
            "default": text("Refused as a whole: do not repeat 4xx, repeat 5xx."),
        });
    }
    let produces = if doc.produces.is_empty() { "application/json" } else { doc.produces };
    let schema = match (doc.schema, produces) {
        ("", "application/json") => json!({}),
        ("", _) => json!({"type": "string"}),
        (name, _) => reference(name),
    };
    let error = match doc.tag {
        "prometheus" | "cardinality" => "PrometheusError",
        "jaeger" => "JaegerError",
        "otlp" => "RpcStatus",
        "events" | "logs" | "traces" => "EventsError",
        "sql" => "SqlError",
        _ => "Error",
    };
    let failure = |description: &str, schema: &str| {
        let content = json!({"application/json": {"schema": reference(schema)}});
        json!({"description": description, "content": content})
    };
    let good = json!({"description": "Done.", "content": {produces: {"schema": schema}}});
    let mut responses = json!({"200": good});
    if doc.tag == "sql" {
        for other in ["application/x-ndjson", "text/csv", skopos_sql::encode::ARROW_STREAM] {
            responses["200"]["content"][other] = json!({"schema": {"type": "string"}});
        }
    }
    if !doc.unavailable.is_empty() {
        responses["503"] = responses["200"].clone();
        responses["503"]["description"] = doc.unavailable.into();
    }
    if route.scope != Scope::Public {
        responses["401"] = failure("No token, or one that is not known.", "Error");
        responses["403"] = failure("The token does not cover this.", "Error");
        responses["default"] = failure("What went wrong, with the limit's name.", error);
    }
    responses
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn operation_id(route: &Route) -> String {
    let mut id = route.method.as_str().to_ascii_lowercase();
    for word in route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()) {
        let mut letters = word.chars();
        id.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        id.push_str(letters.as_str());
    }
    id
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Public => "public",
        Scope::Ingest => "ingest",
        Scope::Read => "read",
        Scope::Admin => "admin",
    }
}
