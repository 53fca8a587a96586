//! Schemas of runbooks: a page is a tree of blocks, and blocks hold blocks.

use serde_json::{Value, json};

use super::{object, reference};

pub(super) fn all() -> Value {
    let text = json!({"type": "string"});
    let maybe_text = json!({"type": ["string", "null"]});
    let whole = json!({"type": "integer"});
    let blocks = json!({"type": "array", "items": reference("RunbookBlock")});
    let inlines = json!({"type": "array", "items": reference("RunbookText")});
    let cells = json!({"type": "array", "items": inlines});
    let ticks = json!({"type": "array", "items": reference("RunbookTick")});
    let problem = object(
        &["code", "line", "message", "hint"],
        json!({"code": text, "line": whole, "message": text, "hint": text}),
    );
    let page = json!({
        "description": "Null when there is no file behind the link.",
        "type": ["object", "null"],
        "required": ["name", "title", "owner", "problems", "steps", "blocks"],
        "properties": {
            "name": text,
            "title": maybe_text,
            "owner": maybe_text,
            "problems": {"type": "array", "items": problem},
            "steps": {"description": "Names of the diagnostic steps, in order.", "type": "array", "items": text},
            "blocks": blocks,
        },
    });
    let data = object(
        &["alert", "link", "url", "problem", "page", "ticks"],
        json!({
            "alert": text,
            "link": {"type": ["string", "null"], "description": "As the rule writes it."},
            "url": {"type": ["string", "null"], "description": "The link where it is an address."},
            "problem": {"type": ["string", "null"], "description": "Why there is no page."},
            "page": page,
            "ticks": ticks,
        }),
    );
    let item = object(&["blocks"], json!({"step": text, "blocks": blocks}));
    json!({
        "Runbook": object(&["status", "data"], json!({"status": {"const": "success"}, "data": data})),
        "RunbookTicks": object(
            &["status", "data"],
            json!({"status": {"const": "success"}, "data": object(&["ticks"], json!({"ticks": ticks}))}),
        ),
        "RunbookTick": object(
            &["step", "at_ms", "by"],
            json!({"step": text, "at_ms": whole, "by": maybe_text}),
        ),
        "RunbookBlock": object(
            &["type"],
            json!({
                "type": {"enum": ["heading", "paragraph", "list", "code", "quote", "table", "rule"]},
                "level": {"type": "integer", "description": "Of a heading: 1 to 6."},
                "text": {
                    "description": "Pieces of text; of `code` the text itself.",
                    "oneOf": [text, inlines],
                },
                "start": {"type": "integer", "description": "First number of a numbered list."},
                "items": {"type": "array", "items": item},
                "language": text,
                "blocks": blocks,
                "head": cells,
                "rows": {"type": "array", "items": cells},
            }),
        ),
        "RunbookText": object(
            &["type"],
            json!({
                "type": {"enum": ["text", "code", "emphasis", "strong", "deleted", "link", "break"]},
                "text": {
                    "description": "The text; pieces of it where there is markup within.",
                    "oneOf": [text, inlines],
                },
                "href": {"type": "string", "description": "http, https, mailto, or a place relative to the page."},
            }),
        ),
    })
}

/// The body that ticks a step.
pub(super) fn set_tick() -> Value {
    let (text, whole) = (json!({"type": "string"}), json!({"type": "integer"}));
    let schema = object(
        &["alert", "fingerprint", "starts_at_ms", "step", "done"],
        json!({
            "alert": text,
            "fingerprint": text,
            "starts_at_ms": whole,
            "step": text,
            "done": {"type": "boolean"},
            "by": text,
        }),
    );
    json!({"application/json": {"schema": schema}})
}
