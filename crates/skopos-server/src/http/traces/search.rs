//! From conditions on spans to traces, page by page.
//!
//! Newest first: matching spans are scanned newest first, a stretch at a time, so that a search for
//! twenty traces reads neither one of them to its end nor the whole window. A trace stands where
//! its latest matching span stands, so a page begins after the last span of the page before, and
//! leaves out traces that had a later one.
//!
//! Slowest first: all matching spans are visited for their traces, then all spans around the window
//! for how long those took.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use skopos_model::event::{EventOrder, EventScan, EventSignal, Predicate};
use skopos_model::{EventId, TimeRange, TraceId};

use super::summary::{Columns, Summary, summaries};
use crate::http::events::{self, EventError, event_id, success};
use crate::http::params::Params;
use crate::query::{QueryClass, QueryError, Read};
use crate::state::SharedState;

/// The window when a request names none.
const DEFAULT_WINDOW: Duration = Duration::from_secs(3600);
/// Spans of a trace this far from the window still belong to its summary.
const AROUND: Duration = Duration::from_secs(3600);
/// Spans looked at per trace wanted, to begin with; each further stretch is so much longer.
const SPANS_PER_TRACE: usize = 16;
const GROWTH: usize = 4;
/// Bytes charged per trace that a search for the slowest keeps in mind.
const BYTES_PER_TRACE: u64 = 96;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Newest,
    Slowest,
}

/// Where a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cursor {
    /// The latest matching span of the last trace.
    Newest(EventId),
    /// Duration and id of the last trace.
    Slowest(u64, TraceId),
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('-') {
            None => event_id(text).map(Self::Newest),
            Some((duration, id)) => Some(Self::Slowest(duration.parse().ok()?, id.parse().ok()?)),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Newest(id) => id.to_string(),
            Self::Slowest(duration, id) => format!("{duration}-{id}"),
        }
    }
}

/// A checked request.
struct Search {
    predicates: Vec<Predicate>,
    window: TimeRange,
    limit: usize,
    order: Order,
    cursor: Option<Cursor>,
}

/// Traces in order, with what comes after them.
type Page = (Vec<(TraceId, Summary)>, Option<Cursor>);

pub(super) async fn search(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, EventError> {
    let params = Params::read(request).await?;
    params.check_names(&["filter", "start", "end", "limit", "order", "cursor"], &[])?;
    let order = params.parsed("order", "`newest` or `slowest`", |text| match text {
        "newest" => Some(Order::Newest),
        "slowest" => Some(Order::Slowest),
        _ => None,
    })?;
    let order = order.unwrap_or(Order::Newest);
    let cursor =
        params.parsed("cursor", "the `next_cursor` of an answer in this order", |text| {
            let cursor = Cursor::parse(text);
            cursor.filter(|c| matches!(c, Cursor::Newest(_)) == (order == Order::Newest))
        })?;
    let search = Search {
        predicates: events::filter(&params)?,
        window: events::window(&params, state.clock.now(), DEFAULT_WINDOW)?,
        limit: events::number(&params, "limit", (1, 20, 200))?,
        order,
        cursor,
    };
    let read = state.queries.begin("traces", None, QueryClass::Interactive).await?;
    let page = read.run(async {
        match search.order {
            Order::Newest => newest(&state, &read, &search).await,
            Order::Slowest => slowest(&state, &read, &search).await,
        }
    });
    let (traces, next) = page.await?;
    let traces: Vec<Value> = traces.iter().map(|(id, summary)| summary.to_json(*id)).collect();
    Ok(success(json!({"traces": traces, "next_cursor": next.map(Cursor::text)})))
}

impl Search {
    fn scan(&self) -> EventScan {
        EventScan {
            predicates: self.predicates.clone(),
            projection: events::columns(["id", "trace_id"]),
            ..EventScan::new(EventSignal::Spans, self.window)
        }
    }

    /// The window and what is around it.
    fn around(&self) -> TimeRange {
        let TimeRange { start, end } = self.window;
        TimeRange::new(start.saturating_sub(AROUND), end.saturating_add(AROUND))
    }
}

async fn newest(state: &SharedState, read: &Read, search: &Search) -> Result<Page, QueryError> {
    let before = match search.cursor {
        Some(Cursor::Newest(id)) => Some(id),
        _ => None,
    };
    let mut after = before;
    let mut stretch = search.limit.saturating_mul(SPANS_PER_TRACE);
    let mut seen: HashSet<TraceId> = HashSet::new();
    let mut page: Vec<(TraceId, Summary)> = Vec::new();
    loop {
        let scan = EventScan {
            order: EventOrder::NewestFirst,
            limit: Some(stretch),
            after,
            ..search.scan()
        };
        let batches = state.store.scan(&scan, read.budget()).await?;
        let mut found = Vec::new();
        let mut rows = 0;
        let mut is_cut = false;
        'stretch: for batch in &batches {
            let columns = Columns::new(batch);
            let (trace_ids, ids) = (columns.trace_ids()?, columns.ids()?);
            rows += batch.num_rows();
            for row in 0..batch.num_rows() {
                // One more than wanted tells whether there is a next page.
                if page.len() + found.len() > search.limit {
                    is_cut = true;
                    break 'stretch;
                }
                after = Some(ids(row));
                if let Some(id) = trace_ids(row).filter(|id| seen.insert(*id)) {
                    found.push(id);
                }
            }
        }
        let all =
            summaries(state, read, &found, &search.predicates, search.window, search.around());
        let mut all = all.await?;
        for id in found {
            let summary = all.remove(&id).filter(|summary| {
                // It stood on a page before when it has a matching span from then.
                before.is_none_or(|before| summary.latest.is_some_and(|latest| latest < before))
            });
            page.extend(summary.map(|summary| (id, summary)));
        }
        if page.len() > search.limit {
            page.truncate(search.limit);
            let last = page.last().and_then(|(_, summary)| summary.latest);
            return Ok((page, last.map(Cursor::Newest)));
        }
        if !is_cut && rows < stretch {
            return Ok((page, None));
        }
        stretch = stretch.saturating_mul(GROWTH);
    }
}

async fn slowest(state: &SharedState, read: &Read, search: &Search) -> Result<Page, QueryError> {
    // Start and end of each trace with a matching span.
    let mut spans: HashMap<TraceId, (i64, i64)> = HashMap::new();
    let budget = read.budget().clone();
    spans = events::fold(state, read, &search.scan(), spans, move |spans, events| {
        let batch = events.to_batch()?;
        let ids = Columns::new(&batch).trace_ids()?;
        for id in (0..batch.num_rows()).filter_map(ids) {
            if let Entry::Vacant(new) = spans.entry(id) {
                budget.charge_bytes(BYTES_PER_TRACE)?;
                new.insert((i64::MAX, i64::MIN));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
    .await?;
    let all = EventScan {
        projection: events::columns(["trace_id", "time", "duration"]),
        ..EventScan::new(EventSignal::Spans, search.around())
    };
    spans = events::fold(state, read, &all, spans, |spans, events| {
        let batch = events.to_batch()?;
        let columns = Columns::new(&batch);
        let (ids, times, durations) =
            (columns.trace_ids()?, columns.times()?, columns.durations()?);
        for row in 0..batch.num_rows() {
            if let Some(span) = ids(row).and_then(|id| spans.get_mut(&id)) {
                span.0 = span.0.min(times[row]);
                span.1 = span.1.max(times[row].saturating_add_unsigned(durations[row]));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
    .await?;
    let mut ranked: Vec<(u64, TraceId)> = spans
        .into_iter()
        .map(|(id, (start, end))| (u64::try_from(end.saturating_sub(start)).unwrap_or(0), id))
        .filter(|place| match search.cursor {
            Some(Cursor::Slowest(duration, id)) => *place < (duration, id),
            _ => true,
        })
        .collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    let is_more = ranked.len() > search.limit;
    ranked.truncate(search.limit);
    let ids: Vec<TraceId> = ranked.iter().map(|(_, id)| *id).collect();
    let mut all =
        summaries(state, read, &ids, &search.predicates, search.window, search.around()).await?;
    let page = ids.iter().filter_map(|id| Some((*id, all.remove(id)?))).collect();
    let last = ranked.last().filter(|_| is_more);
    Ok((page, last.map(|(duration, id)| Cursor::Slowest(*duration, *id))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back() {
        for cursor in [Cursor::Newest(EventId(7)), Cursor::Slowest(99, TraceId([0xab; 16]))] {
            assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        }
        for text in ["", "x", "1-2", "-", "ffff"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
