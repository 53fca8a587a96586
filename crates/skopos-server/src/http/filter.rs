//! The filter language for editors: is this a filter, and what may stand here.
//!
//! Completion looks at the newest events of a window and counts what they have; it is an aid, so
//! it looks at a bounded number of them.

use std::ops::ControlFlow;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use skopos_filter::complete::{Known, Place, Source, complete, place};
use skopos_filter::{Filter, parse_field};
use skopos_model::event::{EventScan, EventSignal, Field};
use skopos_store::event::{Facet, FacetCounter, KeyCounter};

use super::Route;
use super::events::{self, EventError, success};
use super::params::Params;
use crate::auth::Scope;
use crate::query::{QueryClass, Read};
use crate::state::SharedState;

/// Events looked at for completion.
const LOOKED_AT: usize = 100_000;
/// Values counted for completion.
const VALUES: usize = 200;

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    let check = Route::get("/api/v1/filter/check", Scope::Read, check)
        .summary("Whether a text is a filter: its normal form, or what is wrong and where.")
        .param("filter", "The text.")
        .param("signal", "`logs` or `spans`; filters mean the same for both.");
    let complete = Route::get("/api/v1/filter/complete", Scope::Read, completion)
        .summary("What may stand at a place of a filter: fields, operators, values, keywords.")
        .param("filter", "The text so far.")
        .param("at", "The cursor in bytes; the end unless given.")
        .param("signal", "`logs` or `spans`: fields and values of these; logs unless given.")
        .param("start", "Values of events from this time on; the last hour unless given.")
        .param("end", "Values of events before this time.")
        .schema("FilterCompletion");
    vec![check.tag("events").schema("FilterCheck"), complete.tag("events")]
}

fn signal(params: &Params) -> Result<Option<EventSignal>, EventError> {
    Ok(params.parsed("signal", "`logs` or `spans`", |text| match text {
        "logs" => Some(EventSignal::Logs),
        "spans" => Some(EventSignal::Spans),
        _ => None,
    })?)
}

async fn check(request: Request) -> Result<Json<Value>, EventError> {
    let params = Params::read(request).await?;
    params.check_names(&["filter", "signal"], &[])?;
    signal(&params)?;
    let filter = Filter::parse(params.get("filter").unwrap_or(""))?;
    Ok(success(json!({"filter": filter.to_string()})))
}

async fn completion(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, EventError> {
    let params = Params::read(request).await?;
    params.check_names(&["filter", "at", "signal", "start", "end"], &[])?;
    let text = params.get("filter").unwrap_or("");
    let at = params.parsed("at", "a number of bytes", |text| text.parse::<usize>().ok())?;
    let cursor = at.unwrap_or(text.len());
    let signal = signal(&params)?;
    let range = events::window(&params, state.clock.now(), Duration::from_secs(3600))?;
    let scan = EventScan::new(signal.unwrap_or(EventSignal::Logs), range);
    let read = state.queries.begin("filter/complete", None, QueryClass::Interactive).await?;
    let data = match place(text, cursor).0 {
        Place::Term { .. } => read.run(keys(&state, &read, scan)).await?,
        Place::Value { field, .. } => read.run(values(&state, &read, scan, field)).await?,
        _ => Data::default(),
    };
    let request = skopos_filter::complete::Request { text, cursor, signal };
    let answer = complete(&request, &data);
    let items = answer.items.into_iter().map(|item| {
        json!({
            "text": item.text, "label": item.label, "kind": item.kind.as_str(), "count": item.count,
        })
    });
    Ok(success(json!({
        "replace": {"start": answer.replace.start, "end": answer.replace.end},
        "items": items.collect::<Vec<_>>(),
    })))
}

/// What the data has.
#[derive(Default)]
struct Data {
    fields: Vec<Known>,
    values: Vec<Known>,
}

impl Source for Data {
    fn fields(&self) -> Vec<Known> {
        self.fields.clone()
    }

    fn values(&self, _: &Field) -> Vec<Known> {
        self.values.clone()
    }
}

async fn keys(
    state: &SharedState,
    read: &Read,
    scan: EventScan,
) -> Result<Data, crate::query::QueryError> {
    let scan = EventScan { projection: events::columns(KeyCounter::COLUMNS), ..scan };
    let counter = events::fold(state, read, &scan, KeyCounter::default(), |counter, events| {
        counter.add(events)?;
        Ok(enough(counter.rows()))
    });
    let counter = counter.await?;
    let known = |(name, count): (&str, u64)| Known { text: name.to_owned(), count: Some(count) };
    // A name that means a field of ours does not name the attribute.
    let is_attribute = |(name, _): &(&str, u64)| matches!(parse_field(name), Field::Attribute(_));
    let fields = counter.keys().into_iter().filter(is_attribute).map(known).collect();
    Ok(Data { fields, ..Data::default() })
}

async fn values(
    state: &SharedState,
    read: &Read,
    scan: EventScan,
    field: Field,
) -> Result<Data, crate::query::QueryError> {
    if matches!(field, Field::Body | Field::Duration | Field::Text) {
        return Ok(Data::default());
    }
    let counter = FacetCounter::new(vec![field.clone()], read.budget().clone());
    let projection = events::columns(counter.columns(scan.signal));
    let scan = EventScan { projection, ..scan };
    let counter = events::fold(state, read, &scan, counter, |counter, events| {
        counter.add(events)?;
        Ok(enough(counter.total() as usize))
    });
    let facets = counter.await?.finish(VALUES);
    let known = |(value, count): (String, u64)| {
        let text = match field {
            Field::Severity | Field::Status => value.to_lowercase(),
            _ => value,
        };
        Known { text, count: Some(count) }
    };
    let values = facets.into_iter().flat_map(|Facet { values, .. }| values).map(known).collect();
    Ok(Data { values, ..Data::default() })
}

fn enough(seen: usize) -> ControlFlow<()> {
    if seen < LOOKED_AT { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}
