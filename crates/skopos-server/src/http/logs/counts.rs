//! Counts over all matching records: a histogram in time, and the values of fields.
//!
//! Records are shown to a counter batch by batch with only the columns it counts; nothing of them
//! is held.

use std::ops::ControlFlow;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use skopos_filter::{field_name, parse_field};
use skopos_model::event::{EventOrder, EventScan, Field};
use skopos_model::{TimeRange, Timestamp};
use skopos_store::event::{FacetCounter, KeyCounter, SeverityCounts};

use super::filter::{self, Filter};
use crate::auth::Scope;
use crate::error::ApiError;
use crate::http::Route;
use crate::http::events::{self, EventError, success};
use crate::http::params::Params;
use crate::query::{QueryClass, QueryError, Read};
use crate::state::SharedState;

/// The window when a request names none.
const DEFAULT_WINDOW: Duration = Duration::from_secs(3600);
/// Most fields of one request.
const MAX_FIELDS: usize = 32;
/// Attributes chosen when a request names no field.
const CHOSEN_FIELDS: usize = 6;
/// Records looked at to choose them.
const CHOOSE_FROM: usize = 20_000;

pub(super) fn routes() -> Vec<Route> {
    let histogram = Route::get("/api/v1/logs/histogram", Scope::Read, histogram)
        .summary("How many matching records there are per slice of time and severity.")
        .schema("LogsHistogram");
    let histogram = filter::document(histogram)
        .param("end", "Only records before this time; now unless given, `start` an hour before.")
        .param("buckets", "Slices of time, 60 by default, 1000 at most.");
    let facets = Route::get("/api/v1/logs/facets", Scope::Read, facets)
        .summary("The most frequent values of fields over all matching records.")
        .schema("LogsFacets");
    let facets = filter::document(facets)
        .param("end", "Only records before this time; now unless given, `start` an hour before.")
        .repeated(
            "field",
            "Count the values of this field, named as in filters; without any: service.name, \
             severity and the attributes that tell most.",
        )
        .param("limit", "Values per field, 10 by default, 200 at most.");
    vec![histogram, facets]
}

/// The request's records, whatever order and limit.
fn scan(params: &Params, now: Timestamp, extra: &[&str]) -> Result<EventScan, EventError> {
    let filter = Filter::from_params(params, now, extra)?;
    let range = events::window(params, now, DEFAULT_WINDOW)?;
    let scan = EventScan { limit: None, ..filter.scan(EventOrder::OldestFirst) };
    Ok(EventScan { range, ..scan })
}

async fn histogram(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, EventError> {
    let params = Params::read(request).await?;
    let buckets = events::number(&params, "buckets", (1, 60, 1000))?;
    let mut scan = scan(&params, state.clock.now(), filter::HISTOGRAM)?;
    scan.projection = events::columns(SeverityCounts::COLUMNS);
    let TimeRange { start, end } = scan.range;
    let step = step(start, end, buckets);
    let read = state.queries.begin("logs/histogram", None, QueryClass::Interactive).await?;
    let counts = SeverityCounts::new(start, step, buckets);
    let counts = events::fold(&state, &read, &scan, counts, |counts, events| {
        counts.add(events)?;
        Ok(ControlFlow::Continue(()))
    });
    let counts = read.run(counts).await?;
    let series: Vec<Value> = counts
        .bands()
        .map(|(severity, counts)| json!({"severity": severity, "counts": counts}))
        .collect();
    Ok(success(json!({
        "start": start.as_secs_f64(),
        "step": step.as_secs_f64(),
        "buckets": buckets,
        "series": series,
        "total": counts.total(),
    })))
}

/// The length of each of so many slices that together cover a range.
fn step(start: Timestamp, end: Timestamp, buckets: usize) -> Duration {
    let nanos = u64::try_from(i128::from(end.0) - i128::from(start.0)).unwrap_or(u64::MAX);
    Duration::from_nanos(nanos.div_ceil(buckets.max(1) as u64).max(1))
}

async fn facets(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, EventError> {
    let params = Params::read(request).await?;
    let limit = events::number(&params, "limit", (1, 10, 200))?;
    let mut names: Vec<String> = params.all("field").map(str::to_owned).collect();
    if names.len() > MAX_FIELDS {
        return Err(ApiError::bad_request(format!("more than {MAX_FIELDS} `field`s")).into());
    }
    let scan = scan(&params, state.clock.now(), filter::FACETS)?;
    let read = state.queries.begin("logs/facets", None, QueryClass::Interactive).await?;
    let counter = read.run(async {
        if names.is_empty() {
            names = chosen(&state, &read, &scan).await?;
        }
        let fields = names.iter().map(|name| parse_field(name)).collect();
        let counter = FacetCounter::new(fields, read.budget().clone());
        let projection = events::columns(counter.columns(scan.signal));
        let scan = EventScan { projection, ..scan.clone() };
        events::fold(&state, &read, &scan, counter, |counter, events| {
            counter.add(events)?;
            Ok(ControlFlow::Continue(()))
        })
        .await
    });
    let counter = counter.await?;
    let total = counter.total();
    let facets: Vec<Value> = counter
        .finish(limit)
        .into_iter()
        .zip(&names)
        .map(|(facet, name)| {
            let value = |(value, count): (String, u64)| json!({"value": value, "count": count});
            json!({
                "field": name,
                "values": facet.values.into_iter().map(value).collect::<Vec<_>>(),
                "other": facet.other,
                "missing": facet.missing,
                "distinct": facet.distinct,
            })
        })
        .collect();
    Ok(success(json!({"total": total, "facets": facets})))
}

/// Service, severity and the attributes that tell most.
async fn chosen(
    state: &SharedState,
    read: &Read,
    scan: &EventScan,
) -> Result<Vec<String>, QueryError> {
    let projection = events::columns(KeyCounter::COLUMNS);
    let scan = EventScan { projection, ..scan.clone() };
    let keys = events::fold(state, read, &scan, KeyCounter::default(), |keys, events| {
        keys.add(events)?;
        let is_enough = keys.rows() >= CHOOSE_FROM;
        Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    let keys = keys.await?;
    let attributes = keys.telling().into_iter().filter(|name| *name != "service.name");
    // What means a field of ours by its name is told to be an attribute.
    let name = |name: &str| match parse_field(name) {
        Field::Attribute(_) => name.to_owned(),
        _ => field_name(&Field::EventAttribute(name.to_owned())),
    };
    let own = ["service.name", "severity"].map(str::to_owned);
    Ok(own.into_iter().chain(attributes.take(CHOSEN_FIELDS).map(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_the_range() {
        for (nanos, buckets, want) in [(60, 60, 1), (61, 60, 2), (0, 60, 1), (10, 3, 4)] {
            let step = step(Timestamp(5), Timestamp(5 + nanos), buckets);
            assert_eq!(step, Duration::from_nanos(want), "{nanos} in {buckets}");
            assert!(step.as_nanos() * buckets as u128 >= nanos as u128);
        }
        assert!(step(Timestamp::MIN, Timestamp::MAX, 60) > Duration::from_secs(1));
    }
}
