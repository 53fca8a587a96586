//! JSON Schema, draft 7, as far as the schemas under `resources/schema/` use it. A keyword that is not known here fails the
//! test: nothing is passed over in silence.

use regex::Regex;
use serde_json::{Map, Value};

/// Whether `instance` is what `schema` says.
pub(crate) fn validate(schema: &Value, instance: &Value) -> Result<(), String> {
    check(schema, schema, instance, "")
}

/// What describes and asserts nothing.
const NOTES: [&str; 8] =
    ["$schema", "$id", "$ref", "title", "description", "default", "definitions", "examples"];

fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Value::Object(keywords) = schema else {
        return if schema == &Value::Bool(false) {
            Err(format!("{at}: nothing is allowed"))
        } else {
            Ok(())
        };
    };
    if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
        let pointer = reference.strip_prefix('#').expect("a reference within the schema");
        return check(root, root.pointer(pointer).expect("it exists"), value, at);
    }
    for (keyword, wanted) in keywords.iter().filter(|(k, _)| !NOTES.contains(&k.as_str())) {
        one(root, keywords, keyword, wanted, value, at)?;
    }
    Ok(())
}

fn one(
    root: &Value,
    keywords: &Map<String, Value>,
    keyword: &str,
    wanted: &Value,
    value: &Value,
    at: &str,
) -> Result<(), String> {
    let holds = |is_so: bool| {
        if is_so {
            Ok(())
        } else {
            Err(format!("{at}: {keyword} {wanted} does not hold for {value}"))
        }
    };
    let all = |schemas: &Value| -> Vec<Result<(), String>> {
        let schemas = schemas.as_array().expect("a list of schemas");
        schemas.iter().map(|schema| check(root, schema, value, at)).collect()
    };
    match keyword {
        "type" => {
            let is = |name: &str| match name {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                "null" => value.is_null(),
                other => panic!("type {other}"),
            };
            let names =
                wanted.as_array().map_or_else(|| vec![wanted], |names| names.iter().collect());
            holds(names.into_iter().any(|name| is(name.as_str().expect("a name"))))
        }
        "enum" => holds(wanted.as_array().expect("a list").contains(value)),
        "required" => {
            let Some(object) = value.as_object() else { return Ok(()) };
            let names = wanted.as_array().expect("a list").iter();
            holds(
                names
                    .map(|name| name.as_str().expect("a name"))
                    .all(|name| object.contains_key(name)),
            )
        }
        "properties" => {
            let Some(object) = value.as_object() else { return Ok(()) };
            for (name, schema) in wanted.as_object().expect("schemas by name") {
                if let Some(member) = object.get(name) {
                    check(root, schema, member, &format!("{at}/{name}"))?;
                }
            }
            Ok(())
        }
        "additionalProperties" => {
            let Some(object) = value.as_object() else { return Ok(()) };
            let known = keywords.get("properties").and_then(Value::as_object);
            for (name, member) in object {
                if known.is_none_or(|known| !known.contains_key(name)) {
                    check(root, wanted, member, &format!("{at}/{name}"))?;
                }
            }
            Ok(())
        }
        "items" => {
            for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                check(root, wanted, item, &format!("{at}/{n}"))?;
            }
            Ok(())
        }
        "minItems" => {
            holds(value.as_array().is_none_or(|v| v.len() as u64 >= wanted.as_u64().unwrap()))
        }
        "maxItems" => {
            holds(value.as_array().is_none_or(|v| v.len() as u64 <= wanted.as_u64().unwrap()))
        }
        "uniqueItems" => holds(value.as_array().is_none_or(|items| {
            wanted == &Value::Bool(false)
                || items.iter().enumerate().all(|(n, item)| !items[..n].contains(item))
        })),
        "minimum" => holds(value.as_f64().is_none_or(|v| v >= wanted.as_f64().unwrap())),
        "maximum" => holds(value.as_f64().is_none_or(|v| v <= wanted.as_f64().unwrap())),
        "minLength" => holds(
            value.as_str().is_none_or(|v| v.chars().count() as u64 >= wanted.as_u64().unwrap()),
        ),
        "pattern" => {
            let pattern = Regex::new(wanted.as_str().unwrap()).unwrap();
            holds(value.as_str().is_none_or(|text| pattern.is_match(text)))
        }
        "format" => {
            let has_none_of = |signs: &str| {
                value.as_str().is_none_or(|text| !text.contains(|c| signs.contains(c)))
            };
            holds(match wanted.as_str() {
                Some("uri") => {
                    value.as_str().is_none_or(|text| text.contains(':'))
                        && has_none_of(" <>\"{}|\\^`")
                }
                Some("uri-reference") => {
                    has_none_of(" <>\"{}|\\^`") && value.as_str().is_none_or(str::is_ascii)
                }
                Some("date-time") => value.as_str().is_none_or(|text| text.contains('T')),
                other => panic!("format {other:?}"),
            })
        }
        "anyOf" => holds(all(wanted).iter().any(Result::is_ok)),
        "allOf" => all(wanted).into_iter().collect(),
        "oneOf" => holds(all(wanted).iter().filter(|said| said.is_ok()).count() == 1),
        "not" => holds(check(root, wanted, value, at).is_err()),
        "if" | "then" | "else" => panic!("{keyword} is not known here"),
        other => panic!("{other} is not known here"),
    }
}

#[test]
fn what_a_schema_forbids_is_found() {
    let schema = serde_json::json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {"a": {"$ref": "#/definitions/n"}, "b": {"enum": ["x"]}, "c": {"type": "array", "uniqueItems": true, "minItems": 1}},
        "definitions": {"n": {"type": "integer", "minimum": 0}}
    });
    let is_valid = |value: Value| validate(&schema, &value).is_ok();
    assert!(is_valid(serde_json::json!({"a": 1, "b": "x", "c": [1, 2]})));
    for wrong in [
        serde_json::json!([]),
        serde_json::json!({}),
        serde_json::json!({"a": -1}),
        serde_json::json!({"a": "1"}),
        serde_json::json!({"a": 1, "b": "y"}),
        serde_json::json!({"a": 1, "d": 0}),
        serde_json::json!({"a": 1, "c": []}),
        serde_json::json!({"a": 1, "c": [1, 1]}),
    ] {
        assert!(!is_valid(wrong.clone()), "{wrong}");
    }
}
