//! Whether two answers of the HTTP API say the same.

use serde_json::Value;

use super::oracle::Answered;

/// Two floats that were added up in another order.
const RELATIVE: f64 = 1e-9;

/// The first difference, described.
pub(super) fn difference(theirs: &Answered, ours: &Answered, ordered: bool) -> Option<String> {
    if theirs.status != ours.status {
        let (a, b) = (shown(&theirs.body), shown(&ours.body));
        return Some(format!("theirs {} {a}, ours {} {b}", theirs.status, ours.status));
    }
    let (a, b) = (&theirs.body, &ours.body);
    if a["errorType"] != b["errorType"] {
        return Some(format!("theirs {}, ours {}", shown(a), shown(b)));
    }
    let (a, b) = (&a["data"], &b["data"]);
    if a["resultType"] != b["resultType"] {
        return Some(format!("theirs {}, ours {}", shown(a), shown(b)));
    }
    if !matches!(a["resultType"].as_str(), Some("vector" | "matrix")) {
        return (!same(&a["result"], &b["result"]))
            .then(|| format!("theirs {}, ours {}", shown(a), shown(b)));
    }
    let (mut a, mut b) = (series(a), series(b));
    if !ordered {
        a.sort_by_key(|series| series["metric"].to_string());
        b.sort_by_key(|series| series["metric"].to_string());
    }
    let labels =
        |all: &[Value]| -> Vec<String> { all.iter().map(|s| s["metric"].to_string()).collect() };
    let (theirs, ours) = (labels(&a), labels(&b));
    if theirs != ours {
        return Some(format!(
            "theirs has {} series {}, ours {} {}",
            theirs.len(),
            theirs.join(" "),
            ours.len(),
            ours.join(" ")
        ));
    }
    a.iter().zip(&b).find(|(a, b)| !same(a, b)).map(|(a, b)| first_sample(a, b))
}

fn series(data: &Value) -> Vec<Value> {
    data["result"].as_array().cloned().unwrap_or_default()
}

/// Points at the first sample that differs.
fn first_sample(a: &Value, b: &Value) -> String {
    let samples = |v: &Value| v["values"].as_array().cloned().unwrap_or_default();
    let (theirs, ours) = (samples(a), samples(b));
    let at = (0..theirs.len().max(ours.len())).find(|i| {
        let of = |all: &[Value]| all.get(*i).cloned().unwrap_or_default();
        !same(&of(&theirs), &of(&ours))
    });
    match at {
        Some(i) => {
            let of = |all: &[Value]| all.get(i).map_or("nothing".to_owned(), Value::to_string);
            format!("{}: theirs {}, ours {}", a["metric"], of(&theirs), of(&ours))
        }
        None => format!("theirs {}, ours {}", shown(a), shown(b)),
    }
}

fn shown(value: &Value) -> String {
    let mut text = value.to_string();
    text.truncate(text.floor_char_boundary(600));
    text
}

/// Equal, with numbers in strings within the tolerance.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Value::String(x), Value::String(y)) if x != y => {
            match (x.parse::<f64>(), y.parse::<f64>()) {
                (Ok(x), Ok(y)) => close(x, y),
                _ => false,
            }
        }
        _ => a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b),
    }
}

fn close(a: f64, b: f64) -> bool {
    let finite = a.is_finite() && b.is_finite();
    a == b
        || (a.is_nan() && b.is_nan())
        || (finite && (a - b).abs() <= RELATIVE * a.abs().max(b.abs()))
}

#[test]
fn small_differences_are_found() {
    let answer = |value: &str| Answered {
        status: 200,
        body: serde_json::json!({"data": {"resultType": "vector", "result": [
            {"metric": {"a": "b"}, "value": [1, value]}]}}),
    };
    let differ = |a: &str, b: &str| difference(&answer(a), &answer(b), true).is_some();
    assert!(!differ("1", "1.0000000001") && !differ("NaN", "NaN") && !differ("+Inf", "+Inf"));
    assert!(differ("1", "1.00000001") && differ("NaN", "0") && differ("+Inf", "-Inf"));
    assert!(differ("0", "1e-300"));
}
