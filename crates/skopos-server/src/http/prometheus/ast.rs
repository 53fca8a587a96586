//! `/api/v1/parse_query`: syntax trees as Prometheus' API writes them.
//!
//! Durations are milliseconds. One that is computed (`[2 * step()]`) is 0, with its text beside it
//! as Prometheus has it: `rangeExpr`, `offsetExpr`, `stepExpr`.

use serde_json::{Map, Value, json};
use skopos_model::{LabelMatcher, METRIC_NAME, MatchOp};
use skopos_promql::ValueType;
use skopos_promql::ast::{
    AtModifier, Cardinality, DurationExpr, Expr, ExprKind, RangeMode, VectorMatching,
    VectorSelector,
};
use skopos_promql::functions::Function;

/// The tree of an expression.
pub(super) fn tree(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Number(number) => {
            json!({"type": "numberLiteral", "val": skopos_promql::format_value(number.value)})
        }
        ExprKind::String(text) => json!({"type": "stringLiteral", "val": text.value}),
        ExprKind::Paren(inner) => json!({"type": "parenExpr", "expr": tree(inner)}),
        ExprKind::Unary { negative, expr } => {
            let op = if *negative { "-" } else { "+" };
            json!({"type": "unaryExpr", "op": op, "expr": tree(expr)})
        }
        ExprKind::Vector(vector) => Value::Object(selector("vectorSelector", vector)),
        ExprKind::Matrix { selector: vector, range } => {
            let mut fields = selector("matrixSelector", vector);
            duration(&mut fields, "range", Some(range));
            Value::Object(fields)
        }
        ExprKind::Subquery(subquery) => {
            let mut fields = Map::new();
            fields.insert("type".into(), "subquery".into());
            fields.insert("expr".into(), tree(&subquery.expr));
            duration(&mut fields, "range", Some(&subquery.range));
            duration(&mut fields, "offset", subquery.offset.as_ref());
            duration(&mut fields, "step", subquery.step.as_ref());
            at(&mut fields, subquery.at);
            Value::Object(fields)
        }
        ExprKind::Call(call) => json!({
            "type": "call",
            "func": function(call.func),
            "args": call.args.iter().map(tree).collect::<Vec<_>>(),
        }),
        ExprKind::Aggregate(aggregate) => json!({
            "type": "aggregation",
            "op": aggregate.op.as_str(),
            "expr": tree(&aggregate.expr),
            "param": aggregate.param.as_ref().map(tree),
            "grouping": aggregate.grouping,
            "without": aggregate.without,
        }),
        ExprKind::Binary(binary) => json!({
            "type": "binaryExpr",
            "op": binary.op.as_str(),
            "lhs": tree(&binary.lhs),
            "rhs": tree(&binary.rhs),
            "matching": binary.matching.as_ref().map(matching),
            "bool": binary.return_bool,
        }),
    }
}

fn selector(kind: &str, selector: &VectorSelector) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("type".into(), kind.into());
    fields.insert("name".into(), selector.name.clone().unwrap_or_default().into());
    duration(&mut fields, "offset", selector.offset.as_ref());
    let matchers: Vec<Value> = selector.matchers.iter().map(matcher).collect();
    fields.insert("matchers".into(), matchers.into());
    at(&mut fields, selector.at);
    fields.insert("anchored".into(), (selector.mode == Some(RangeMode::Anchored)).into());
    fields.insert("smoothed".into(), (selector.mode == Some(RangeMode::Smoothed)).into());
    fields
}

fn matcher(matcher: &LabelMatcher) -> Value {
    debug_assert!(matches!(
        matcher.op(),
        MatchOp::Equal | MatchOp::NotEqual | MatchOp::Regex | MatchOp::NotRegex
    ));
    let name = if matcher.name().is_empty() { METRIC_NAME } else { matcher.name() };
    json!({"name": name, "value": matcher.value(), "type": matcher.op().as_str()})
}

fn duration(fields: &mut Map<String, Value>, name: &str, expr: Option<&DurationExpr>) {
    let literal = expr.map_or(Some(0), DurationExpr::literal_ms);
    fields.insert(name.into(), literal.unwrap_or(0).into());
    if let (None, Some(expr)) = (literal, expr) {
        fields.insert(format!("{name}Expr"), expr.to_string().into());
    }
}

fn at(fields: &mut Map<String, Value>, at: Option<AtModifier>) {
    let (timestamp, word) = match at {
        Some(AtModifier::Time(ms)) => (Value::from(ms), Value::Null),
        Some(AtModifier::Start) => (Value::Null, "start".into()),
        Some(AtModifier::End) => (Value::Null, "end".into()),
        None => (Value::Null, Value::Null),
    };
    fields.insert("timestamp".into(), timestamp);
    fields.insert("startOrEnd".into(), word);
}

fn function(func: &Function) -> Value {
    let types: Vec<&str> = func.params.iter().copied().map(ValueType::as_str).collect();
    let variadic = match func.max_args() {
        Some(most) => (most - func.required) as i64,
        None => -1,
    };
    json!({
        "name": func.name,
        "argTypes": types,
        "variadic": variadic,
        "returnType": func.returns.as_str(),
    })
}

fn matching(matching: &VectorMatching) -> Value {
    let card = match matching.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    let fill = |value: Option<skopos_promql::ast::Fill>| value.map(|fill| fill.0);
    json!({
        "card": card,
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
        "fillValues": {"lhs": fill(matching.fill_left), "rhs": fill(matching.fill_right)},
    })
}
