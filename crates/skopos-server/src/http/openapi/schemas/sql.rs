//! Schemas of SQL.

use serde_json::{Value, json};

use super::object;

pub(super) fn all() -> Value {
    let text = json!({"type": "string"});
    let count = json!({"type": "integer"});
    let column = object(
        &["name", "type", "values"],
        json!({
            "name": text,
            "type": {"enum": [
                "null", "boolean", "integer", "float", "decimal", "timestamp", "date", "time",
                "interval", "bytes", "text", "list", "struct",
            ]},
            "values": {
                "description":
                    "A value per row. Times are RFC 3339; whole numbers beyond 2^53, NaN and \
                     infinities are text.",
                "type": "array",
            },
        }),
    );
    let data = object(
        &["columns", "rows", "truncated", "elapsed_ms"],
        json!({
            "columns": {"type": "array", "items": column},
            "rows": count,
            "truncated": {"type": "boolean", "description": "Whether `limit` left rows out."},
            "elapsed_ms": count,
        }),
    );
    json!({
        "SqlAnswer": object(
            &["status", "data"],
            json!({"status": {"const": "success"}, "data": data}),
        ),
        "SqlError": object(
            &["status", "errorType", "error"],
            json!({
                "status": {"const": "error"},
                "errorType": text,
                "error": text,
                "position": {
                    "description": "Where in the query, from 1.",
                    "type": "object",
                    "required": ["line", "column"],
                    "properties": {"line": count, "column": count},
                },
                "hint": {"type": "string", "description": "What to do."},
            }),
        ),
    })
}
