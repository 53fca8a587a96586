//! One trace as columns, for drawing: a number or a short text per span and column, names once.
//!
//! Spans stand depth first, children by start. A span whose parent is not there is a root; spans
//! that are their own ancestors hang under none and come last. What a sender sent twice stands
//! once.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::ops::ControlFlow;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, RecordBatch};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use skopos_model::event::{EventScan, EventSignal};
use skopos_model::storage::{ErrorKind, StorageError};
use skopos_model::{SpanId, TraceId};

use super::{of_trace, refuse_parameters, trace_id};
use crate::error::ApiError;
use crate::http::body;
use crate::http::events::{self, EventError};
use crate::http::json::{push_string, push_strings};
use crate::query::{QueryClass, QueryError, Read};
use crate::state::SharedState;

const COLUMNS: [&str; 10] = [
    "span_id",
    "parent_span_id",
    "service",
    "name",
    "kind",
    "status",
    "time",
    "duration",
    "events",
    "links",
];

pub(super) async fn trace(
    State(state): State<SharedState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, EventError> {
    let headers = request.headers().clone();
    refuse_parameters(request).await?;
    let id = trace_id(&id)?;
    let read = state.queries.begin("trace", None, QueryClass::Interactive).await?;
    let found = read.run(async {
        let projection = events::columns(COLUMNS);
        let scan = EventScan { projection, ..of_trace(EventSignal::Spans, id) };
        let batches = state.store.scan(&scan, read.budget()).await?;
        let logs = logs_per_span(&state, &read, id).await?;
        let work = move || -> Result<Option<String>, StorageError> {
            let spans = read_spans(&batches)?;
            let count = logs.values().sum::<u64>();
            let is_there = !spans.is_empty() || count > 0;
            Ok(is_there.then(|| print(id, &spans, &logs)))
        };
        Ok(read.on_blocking_pool(work).await??)
    });
    let trace = found.await?.ok_or_else(|| ApiError::not_found("trace not found"))?;
    Ok(body::json(&headers, std::iter::once(trace)))
}

/// How many log records belong to each span of a trace, those of no span among them.
async fn logs_per_span(
    state: &SharedState,
    read: &Read,
    id: TraceId,
) -> Result<HashMap<SpanId, u64>, QueryError> {
    let projection = events::columns(["span_id"]);
    let scan = EventScan { projection, ..of_trace(EventSignal::Logs, id) };
    events::fold(state, read, &scan, HashMap::new(), |counts, events| {
        let batch = events.to_batch()?;
        let ids = batch.column(0).as_fixed_size_binary_opt().ok_or_else(|| wrong("span_id"))?;
        for row in 0..ids.len() {
            let id = if ids.is_null(row) { None } else { SpanId::from_slice(ids.value(row)) };
            *counts.entry(id.unwrap_or_default()).or_insert(0) += 1;
        }
        Ok(ControlFlow::Continue(()))
    })
    .await
}

fn wrong(column: &str) -> StorageError {
    let message = format!("events have no column {column} of its type");
    StorageError::new(ErrorKind::Internal, message)
}

/// What is drawn of a span.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Row {
    id: SpanId,
    parent: SpanId,
    service: String,
    name: String,
    kind: String,
    status: u8,
    start: i64,
    duration: u64,
    events: usize,
    links: usize,
}

fn read_spans(batches: &[RecordBatch]) -> Result<Vec<Row>, StorageError> {
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    for batch in batches {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| wrong(name));
        let text = |name: &'static str| {
            let column = column(name)?.as_dictionary_opt::<Int32Type>();
            let column = column.ok_or_else(|| wrong(name))?;
            let values = column.values().as_string_opt::<i32>().ok_or_else(|| wrong(name))?;
            Ok::<_, StorageError>(move |row: usize| {
                values.value(column.keys().value(row) as usize).to_owned()
            })
        };
        let id = |name: &'static str| {
            let column = column(name)?.as_fixed_size_binary_opt().ok_or_else(|| wrong(name))?;
            Ok::<_, StorageError>(move |row: usize| {
                let id = column.is_valid(row).then(|| SpanId::from_slice(column.value(row)));
                id.flatten().unwrap_or_default()
            })
        };
        let items = |name: &'static str| {
            let column = column(name)?.as_string_opt::<i32>().ok_or_else(|| wrong(name))?;
            Ok::<_, StorageError>(move |row: usize| {
                if column.is_null(row) {
                    return 0;
                }
                let items: Result<Vec<serde::de::IgnoredAny>, _> =
                    serde_json::from_str(column.value(row));
                items.map_or(0, |items| items.len())
            })
        };
        let (span_id, parent) = (id("span_id")?, id("parent_span_id")?);
        let (service, name) = (text("service")?, text("name")?);
        let (kind, status) = (text("kind")?, text("status")?);
        let (events, links) = (items("events")?, items("links")?);
        let times = column("time")?.as_primitive_opt::<TimestampNanosecondType>();
        let times = times.ok_or_else(|| wrong("time"))?;
        let durations = column("duration")?.as_primitive_opt::<UInt64Type>();
        let durations = durations.ok_or_else(|| wrong("duration"))?;
        for row in 0..batch.num_rows() {
            let span = Row {
                id: span_id(row),
                parent: parent(row),
                service: service(row),
                name: name(row),
                kind: kind(row),
                status: match status(row).as_str() {
                    "OK" => 1,
                    "ERROR" => 2,
                    _ => 0,
                },
                start: times.value(row),
                duration: durations.value(row),
                events: events(row),
                links: links(row),
            };
            if seen.insert(span.clone()) {
                rows.push(span);
            }
        }
    }
    Ok(rows)
}

/// The spans' places depth first, each with the place of its parent in that order.
fn depth_first(spans: &[Row]) -> Vec<(usize, Option<usize>)> {
    let mut place_of: HashMap<SpanId, usize> = HashMap::new();
    for (at, span) in spans.iter().enumerate() {
        if span.id.is_valid() {
            // Of spans that share an id the first is the parent.
            place_of.entry(span.id).or_insert(at);
        }
    }
    let parent = |at: usize, span: &Row| place_of.get(&span.parent).copied().filter(|p| *p != at);
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut roots = Vec::new();
    for (at, span) in spans.iter().enumerate() {
        match parent(at, span) {
            Some(parent) => children[parent].push(at),
            None => roots.push(at),
        }
    }
    let by_start = |list: &mut Vec<usize>| list.sort_by_key(|&at| (spans[at].start, at));
    by_start(&mut roots);
    children.iter_mut().for_each(by_start);
    let mut order = Vec::with_capacity(spans.len());
    let mut is_placed = vec![false; spans.len()];
    // An explicit stack: a stored trace may be as deep as its sender liked.
    let mut walk = |roots: &[usize], is_placed: &mut Vec<bool>| {
        let mut stack: Vec<(usize, Option<usize>)> =
            roots.iter().rev().map(|&at| (at, None)).collect();
        while let Some((at, parent)) = stack.pop() {
            if std::mem::replace(&mut is_placed[at], true) {
                continue;
            }
            let place = order.len();
            order.push((at, parent));
            stack.extend(children[at].iter().rev().map(|&child| (child, Some(place))));
        }
    };
    walk(&roots, &mut is_placed);
    for at in 0..spans.len() {
        if !is_placed[at] {
            walk(&[at], &mut is_placed);
        }
    }
    order
}

/// Texts once each, in order of their first use.
#[derive(Default)]
struct Names<'a> {
    all: Vec<&'a str>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn place(&mut self, name: &'a str) -> usize {
        *self.places.entry(name).or_insert_with(|| {
            self.all.push(name);
            self.all.len() - 1
        })
    }
}

fn print(id: TraceId, spans: &[Row], logs: &HashMap<SpanId, u64>) -> String {
    let start = spans.iter().map(|span| span.start).min().unwrap_or(0);
    let end = spans.iter().map(|span| span.start.saturating_add_unsigned(span.duration)).max();
    let order = depth_first(spans);
    let (mut services, mut names) = (Names::default(), Names::default());
    let mut counted = HashSet::new();
    let mut columns: [String; 11] = Default::default();
    for (i, &(at, parent)) in order.iter().enumerate() {
        let span = &spans[at];
        let separator = if i > 0 { "," } else { "" };
        columns.iter_mut().for_each(|column| column.push_str(separator));
        let [ids, parents, service, name, kinds, starts, durations, status, events, links, of_span] =
            &mut columns;
        let _ = write!(ids, "\"{}\"", span.id);
        let _ = match parent {
            Some(place) => write!(parents, "{place}"),
            None => write!(parents, "-1"),
        };
        let _ = write!(service, "{}", services.place(&span.service));
        let _ = write!(name, "{}", names.place(&span.name));
        push_string(kinds, &span.kind);
        let _ = write!(starts, "{}", span.start.saturating_sub(start));
        let _ = write!(durations, "{}", span.duration);
        let _ = write!(status, "{}", span.status);
        let _ = write!(events, "{}", span.events);
        let _ = write!(links, "{}", span.links);
        // Records of an id that two spans share are told once.
        let count = if counted.insert(span.id) { logs.get(&span.id) } else { None };
        let _ = write!(of_span, "{}", count.copied().unwrap_or(0));
    }
    let mut out = format!(
        r#"{{"status":"success","data":{{"trace_id":"{id}","start_unix_nano":"{start}","duration_ns":{}"#,
        end.unwrap_or(start).saturating_sub(start)
    );
    out.push_str(",\"services\":");
    push_strings(&mut out, &services.all);
    out.push_str(",\"names\":");
    push_strings(&mut out, &names.all);
    out.push_str(",\"spans\":{");
    const KEYS: [&str; 11] = [
        "id",
        "parent",
        "service",
        "name",
        "kind",
        "start_ns",
        "duration_ns",
        "status",
        "events",
        "links",
        "logs",
    ];
    for (i, (key, column)) in KEYS.iter().zip(&columns).enumerate() {
        let separator = if i > 0 { "," } else { "" };
        let _ = write!(out, "{separator}\"{key}\":[{column}]");
    }
    let _ = write!(out, "}},\"logs\":{}}}}}", logs.values().sum::<u64>());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: u8, parent: u8, start: i64) -> Row {
        let id_of = |n: u8| if n == 0 { SpanId::INVALID } else { SpanId([n; 8]) };
        Row {
            id: id_of(id),
            parent: id_of(parent),
            service: "s".into(),
            name: format!("n{id}"),
            kind: "server".into(),
            status: 0,
            start,
            duration: 5,
            events: 0,
            links: 0,
        }
    }

    #[test]
    fn spans_stand_depth_first_and_each_once() {
        let order = |spans: &[Row]| {
            let order = depth_first(spans);
            let text = |(at, parent): &(usize, Option<usize>)| {
                format!("{}<{}", spans[*at].name, parent.map_or(-1, |p| p as i64))
            };
            order.iter().map(text).collect::<Vec<_>>().join(" ")
        };
        let tree = [span(1, 0, 10), span(4, 2, 13), span(3, 1, 12), span(2, 1, 11), span(5, 9, 1)];
        assert_eq!(order(&tree), "n5<-1 n1<-1 n2<1 n4<2 n3<1");
        // Its own parent, and two that are each other's.
        assert_eq!(order(&[span(1, 1, 0)]), "n1<-1");
        assert_eq!(order(&[span(1, 2, 0), span(2, 1, 1)]), "n1<-1 n2<0");
        // Two spans of one id: the first is the parent of both's children.
        assert_eq!(order(&[span(1, 0, 0), span(1, 0, 1), span(2, 1, 2)]), "n1<-1 n2<0 n1<-1");
        let deep: Vec<Row> = (0..50_000_u32)
            .map(|i| Row {
                id: SpanId(u64::from(i + 1).to_be_bytes()),
                parent: SpanId(u64::from(i).to_be_bytes()),
                ..span(1, 0, i64::from(i))
            })
            .collect();
        assert_eq!(depth_first(&deep).len(), deep.len());
    }

    #[test]
    fn a_trace_prints_as_json() {
        let logs = HashMap::from([(SpanId([1; 8]), 2), (SpanId::INVALID, 1)]);
        let text = print(TraceId([7; 16]), &[span(1, 0, 100), span(2, 1, 101)], &logs);
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        let data = &answer["data"];
        assert_eq!(data["logs"], 3);
        assert_eq!(data["duration_ns"], 6);
        assert_eq!(data["spans"]["logs"], serde_json::json!([2, 0]));
        assert_eq!(data["spans"]["parent"], serde_json::json!([-1, 0]));
        assert_eq!(data["names"], serde_json::json!(["n1", "n2"]));
        let empty: serde_json::Value =
            serde_json::from_str(&print(TraceId([7; 16]), &[], &logs)).unwrap();
        assert_eq!(empty["data"]["spans"]["id"], serde_json::json!([]));
    }
}
