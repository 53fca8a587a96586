//! Schemas of objectives. Times are milliseconds since the epoch, shares lie between 0 and 1; what is left of a
//! budget goes below 0 when it is overspent.

use serde_json::{Value, json};

use super::{object, reference};

fn text() -> Value {
    json!({"type": "string"})
}

fn number() -> Value {
    json!({"type": "number"})
}

fn whole() -> Value {
    json!({"type": "integer"})
}

fn maybe(kind: &str) -> Value {
    json!({"type": [kind, "null"]})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn list(of: &str) -> Value {
    json!({"type": "array", "items": reference(of)})
}

fn texts() -> Value {
    json!({"type": "array", "items": text()})
}

fn group() -> Value {
    json!({
        "description": "Labels of the group; empty where the objective is not split.",
        "type": "object",
        "additionalProperties": {"type": "string"},
    })
}

/// An object all of whose members are always there.
fn whole_object(properties: Value) -> Value {
    let names: Vec<String> =
        properties.as_object().into_iter().flat_map(|all| all.keys().cloned()).collect();
    object(&names.iter().map(String::as_str).collect::<Vec<_>>(), properties)
}

fn answer(data: Value) -> Value {
    whole_object(json!({"status": {"const": "success"}, "data": whole_object(data)}))
}

pub(super) fn all() -> Value {
    let mut all = statuses();
    for more in [definitions(), notes(), decisions()] {
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
    }
    all
}

fn statuses() -> Value {
    let verdicts = json!({"enum": ["ok", "warning", "critical", "no_data"]});
    json!({
        "SloList": answer(json!({"slos": list("SloStatus"), "state": reference("SloState")})),
        "SloState": whole_object(json!({
            "loaded_at_ms": whole(),
            "error": {"type": ["string", "null"], "description": "Why changed files are not in force."},
            "interval_seconds": number(),
            "last_slot_ms": maybe("integer"),
            "backfill": whole_object(json!({
                "state": {"enum": ["none", "running", "done", "failed"]},
                "done": whole(),
                "chunks": whole(),
                "reached_ms": maybe("integer"),
                "error": maybe("string"),
            })),
        })),
        "SloStatus": whole_object(json!({
            "slo": text(),
            "service": text(),
            "owner": text(),
            "description": text(),
            "runbook": text(),
            "group": group(),
            "target": number(),
            "window": {"type": "string", "description": "`30d`, `month (Europe/Athens)`."},
            "budgeting": {"enum": ["occurrences", "timeslices", "ratio_timeslices"]},
            "window_start_ms": whole(),
            "window_end_ms": whole(),
            "good_ratio": maybe("number"),
            "bad": number(),
            "total": number(),
            "budget_remaining": maybe("number"),
            "budget_minutes": number(),
            "budget_minutes_left": maybe("number"),
            "coverage": {"type": "number", "description": "The share of the window that has data."},
            "burn": list("SloBurn"),
            "alerts": list("SloAlert"),
            "hours_to_exhaustion": {"type": ["number", "null"], "description": "At the rate of the last hour; none when it lasts."},
            "last_data_ms": maybe("integer"),
            "health": verdicts,
            "corrections": {
                "description": "Corrections in the window, with the events that each takes out.",
                "type": "array",
                "items": {"allOf": [
                    reference("SloCorrection"),
                    whole_object(json!({"bad": number(), "total": number()})),
                ]},
            },
            "budget_remaining_uncorrected": maybe("number"),
            "error": {"type": ["string", "null"], "description": "Why the last queries failed."},
            "problem": {"type": ["string", "null"], "description": "Why what it counts cannot be what was meant: a bucket that is not there, more good events than events."},
            "sentence": text(),
            "is_filling": {"type": "boolean", "description": "Its history is being filled in; until then it is not evaluated."},
        })),
        "SloBurn": whole_object(json!({
            "window": text(),
            "rate": {"type": ["number", "null"], "description": "Times as fast as the budget bears."},
            "bad": number(),
            "total": number(),
        })),
        "SloAlert": whole_object(json!({
            "name": text(),
            "severity": text(),
            "factor": number(),
            "windows": texts(),
            "is_met": flag(),
            "is_guarded": {"type": "boolean", "description": "Only the guard against low traffic keeps it from firing."},
        })),
        "SloChart": answer(json!({
            "slo": text(),
            "group": group(),
            "target": number(),
            "window": text(),
            "start_ms": whole(),
            "end_ms": whole(),
            "step_ms": whole(),
            "window_start_ms": whole(),
            "window_end_ms": whole(),
            "points": list("SloPoint"),
            "annotations": list("SloAnnotation"),
            "corrections": list("SloCorrection"),
        })),
        "SloPoint": whole_object(json!({
            "at_ms": whole(),
            "remaining": {"type": ["number", "null"], "description": "The share of the budget left then, of the window that ended there."},
            "bad": number(),
            "total": number(),
            "burn_down": {"type": ["number", "null"], "description": "From 1 at the first point, less what was spent since, of what the events of the whole chart allow, or those expected of the whole unit of the calendar."},
        })),
    })
}

fn definitions() -> Value {
    json!({
        "SloDetail": answer(json!({
            "slo": reference("SloDefinition"),
            "budgets": list("SloStatus"),
            "forecasts": list("SloForecast"),
            "spenders": list("SloSpender"),
            "annotations": list("SloAnnotation"),
            "corrections": list("SloCorrection"),
            "gate": reference("SloGate"),
        })),
        "SloDefinition": whole_object(json!({
            "name": text(),
            "service": text(),
            "owner": text(),
            "description": text(),
            "runbook": text(),
            "target": number(),
            "window": text(),
            "is_calendar": flag(),
            "budgeting": text(),
            "group_by": texts(),
            "labels": group(),
            "policy": whole_object(json!({
                "caution_below": number(),
                "freeze_below": number(),
                "go_after_seconds": {"type": "number", "description": "How much data the gate needs to say go."},
                "override_by": texts(),
                "review": {"enum": ["monthly", "quarterly", "yearly"]},
            })),
            "file": text(),
            "line": whole(),
            "native": {"type": "string", "description": "The specification as YAML."},
            "queries": whole_object(json!({
                "error_ratio": {"type": "string", "description": "PromQL over five minutes."},
                "bad": maybe("string"),
                "total": maybe("string"),
            })),
        })),
        "SloForecast": whole_object(json!({
            "slo": text(),
            "group": group(),
            "outcome": object(&["kind"], json!({
                "kind": {"enum": ["insufficient_data", "exhausted", "lasts", "exhaustion"]},
                "reason": text(),
                "until_ms": whole(),
                "early_ms": whole(),
                "middle_ms": maybe("integer"),
                "late_ms": maybe("integer"),
                "probability": number(),
            })),
            "sentence": text(),
        })),
        "SloSpender": whole_object(json!({
            "annotation": reference("SloAnnotation"),
            "slo": text(),
            "group": group(),
            "until_ms": whole(),
            "spent": {"type": "number", "description": "The share of the budget spent from then on."},
            "spent_before": {"type": "number", "description": "The share spent in as much time before."},
            "sentence": text(),
        })),
        "SloInit": answer(json!({
            "service": text(),
            "text": {"type": "string", "description": "The file of objectives."},
            "found": whole_object(json!({"requests": maybe("string"), "durations": maybe("string")})),
        })),
    })
}

fn notes() -> Value {
    json!({
        "SloAnnotation": whole_object(json!({
            "id": text(),
            "kind": kinds(),
            "service": text(),
            "start_ms": whole(),
            "end_ms": maybe("integer"),
            "text": text(),
            "by": text(),
            "link": text(),
        })),
        "SloAnnotations": answer(json!({"annotations": list("SloAnnotation")})),
        "SloAnnotationAnswer": answer(json!({"annotation": reference("SloAnnotation")})),
        "SloCorrection": whole_object(json!({
            "id": text(),
            "slo": text(),
            "start_ms": whole(),
            "end_ms": whole(),
            "reason": text(),
            "by": text(),
            "created_ms": whole(),
            "revoked_ms": maybe("integer"),
        })),
        "SloCorrections": answer(json!({"corrections": list("SloCorrection")})),
        "SloCorrectionAnswer": answer(json!({"correction": reference("SloCorrection")})),
        "SloOverride": whole_object(json!({
            "id": text(),
            "service": text(),
            "reason": text(),
            "by": text(),
            "created_ms": whole(),
            "until_ms": whole(),
        })),
        "SloOverrides": answer(json!({"overrides": list("SloOverride")})),
        "SloOverrideAnswer": answer(json!({"override": reference("SloOverride")})),
    })
}

fn decisions() -> Value {
    let verdict = json!({"enum": ["go", "caution", "freeze"]});
    json!({
        "SloGate": whole_object(json!({
            "service": text(),
            "verdict": verdict,
            "exit_code": {"enum": [0, 1, 2]},
            "verdict_without_override": verdict,
            "override": {"oneOf": [reference("SloOverride"), {"type": "null"}]},
            "reasons": {"type": "array", "items": whole_object(json!({
                "slo": text(),
                "group": group(),
                "verdict": verdict,
                "reason": text(),
                "budget_remaining": maybe("number"),
            }))},
            "sentence": text(),
        })),
        "SloGateAnswer": whole_object(
            json!({"status": {"const": "success"}, "data": reference("SloGate")}),
        ),
        "SloReviews": answer(json!({"reviews": list("SloReview")})),
        "SloReview": whole_object(json!({
            "slo": text(),
            "group": group(),
            "target": number(),
            "suggestion": {"enum": ["tighten", "loosen", "keep", "insufficient_data"]},
            "suggested_target": maybe("number"),
            "why": text(),
            "periods": {"type": "array", "items": whole_object(json!({
                "start_ms": whole(),
                "end_ms": whole(),
                "good_ratio": maybe("number"),
                "spent": maybe("number"),
                "bad": number(),
                "coverage": number(),
                "is_met": maybe("boolean"),
                "deploys": whole(),
                "incidents": whole(),
                "spent_by_incidents": number(),
            }))},
        })),
    })
}

fn kinds() -> Value {
    json!({"enum": ["deploy", "incident", "drill", "note"]})
}

/// The body that notes something.
pub(super) fn annotate() -> Value {
    let schema = object(
        &["kind", "service", "text"],
        json!({
            "kind": kinds(),
            "service": text(),
            "text": text(),
            "start_ms": {"type": ["integer", "null"], "description": "Now when absent."},
            "end_ms": maybe("integer"),
            "by": text(),
            "link": text(),
        }),
    );
    json!({"application/json": {"schema": schema}})
}

/// The body of a correction.
pub(super) fn correct() -> Value {
    let schema = whole_object(json!({
        "slo": text(),
        "start_ms": whole(),
        "end_ms": whole(),
        "reason": text(),
        "by": text(),
    }));
    json!({"application/json": {"schema": schema}})
}

/// The body of an override.
pub(super) fn override_gate() -> Value {
    let schema = whole_object(json!({
        "service": text(),
        "reason": text(),
        "by": text(),
        "until_ms": whole(),
    }));
    json!({"application/json": {"schema": schema}})
}
