//! Which records are wanted: parameters to predicates.

use axum::extract::Request;
use skopos_model::event::{Comparison, EventOrder, EventScan, EventSignal, Field, Predicate};
use skopos_model::{EventId, SpanId, TimeRange, Timestamp, TraceId};

use crate::config::parse_duration;
use crate::error::ApiError;
use crate::http::Route;
use crate::http::events::{self, EventError, event_id};
use crate::http::params::{Params, invalid, parse_severity, shown};

/// Records answered unless asked otherwise.
const DEFAULT_LIMIT: usize = 100;
/// Most records answered at once.
pub(super) const MAX_LIMIT: usize = 5_000;
/// Most attribute conditions of one request.
const MAX_ATTRIBUTES: usize = 32;

const COMMON: &[&str] =
    &["filter", "service", "severity", "contains", "trace_id", "span_id", "attr", "start"];

/// Parameters that only this endpoint knows.
pub(super) const QUERY: &[&str] = &["end", "direction", "limit", "cursor"];
/// Parameters that only these endpoints know.
pub(super) const HISTOGRAM: &[&str] = &["end", "buckets"];
/// Parameters that only these endpoints know.
pub(super) const FACETS: &[&str] = &["end", "field", "limit"];
/// Parameters that only this endpoint knows.
pub(super) const FOLLOW: &[&str] = &["since", "limit"];

/// A checked request.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) predicates: Vec<Predicate>,
    pub(super) range: TimeRange,
    /// Where the page before this one ended.
    after: Option<EventId>,
    pub(super) limit: usize,
    pub(super) order: EventOrder,
    /// Whether the request said where to begin.
    pub(super) has_start: bool,
}

/// Describes the common parameters.
pub(super) fn document(route: Route) -> Route {
    route
        .param("filter", "Only records that pass this filter (docs/filter.md).")
        .param("service", "Only this service (`service.name`).")
        .param("severity", "At least this severe: trace, debug, info, warn, error, fatal, or 1–24.")
        .param("contains", "Only records whose text contains this, ignoring case.")
        .param("trace_id", "Only records of this trace: 32 hexadecimal digits.")
        .param("span_id", "Only records of this span: 16 hexadecimal digits.")
        .repeated(
            "attr",
            "`key=value`: only records with this attribute, their own or the sender's.",
        )
        .param("start", "Only records from this time on: RFC 3339, Unix seconds, or now-15m.")
}

impl Filter {
    /// Reads and checks the parameters; `extra` are those beyond the common ones.
    pub(super) async fn read(
        request: Request,
        now: Timestamp,
        extra: &[&str],
    ) -> Result<Self, EventError> {
        let params = Params::read(request).await?;
        Self::from_params(&params, now, extra)
    }

    /// Checks the parameters.
    pub(super) fn from_params(
        params: &Params,
        now: Timestamp,
        extra: &[&str],
    ) -> Result<Self, EventError> {
        let known: Vec<&str> = COMMON.iter().chain(extra).copied().collect();
        params.check_names(&known, &["attr", "field"])?;
        let limit = events::number(params, "limit", (1, DEFAULT_LIMIT, MAX_LIMIT))?;
        let direction = params.parsed("direction", "`backward` or `forward`", super::order)?;
        let since = params.parsed("since", "a duration such as 10s", parse_duration)?;
        let mut start = params.time("start", now)?;
        if let Some(since) = since {
            if start.is_some() {
                return Err(ApiError::bad_request("give `start` or `since`, not both").into());
            }
            start = Some(now.saturating_sub(since));
        }
        let end = params.time("end", now)?;
        let range = TimeRange::new(
            start.unwrap_or(TimeRange::ALL.start),
            end.unwrap_or(TimeRange::ALL.end),
        );
        if range.start > range.end {
            return Err(ApiError::bad_request("`start` lies after `end`").into());
        }
        let after = params.parsed("cursor", "the `next_cursor` of an answer", event_id)?;
        let mut all = events::filter(params)?;
        all.extend(predicates(params)?);
        Ok(Self {
            predicates: all,
            after,
            range,
            limit,
            order: direction.unwrap_or(EventOrder::NewestFirst),
            has_start: start.is_some(),
        })
    }

    /// The scan for it.
    pub(super) fn scan(&self, order: EventOrder) -> EventScan {
        EventScan {
            predicates: self.predicates.clone(),
            order,
            limit: Some(self.limit),
            after: self.after,
            ..EventScan::new(EventSignal::Logs, self.range)
        }
    }
}

fn predicates(params: &Params) -> Result<Vec<Predicate>, ApiError> {
    let mut all = Vec::new();
    if let Some(service) = params.get("service") {
        all.push(Predicate::Equals(Field::Service, service.to_owned()));
    }
    if let Some(least) =
        params.parsed("severity", "a level's name or a number from 0 to 24", parse_severity)?
    {
        let least = f64::from(least.0);
        all.push(Predicate::Compare(Field::Severity, Comparison::GreaterOrEqual, least));
    }
    if let Some(text) = params.get("contains") {
        all.push(Predicate::Contains(Field::Body, text.to_owned()));
    }
    let trace =
        params.parsed("trace_id", "32 hexadecimal digits", |t| t.parse::<TraceId>().ok())?;
    all.extend(trace.map(|id| Predicate::Equals(Field::TraceId, id.to_string())));
    let span = params.parsed("span_id", "16 hexadecimal digits", |t| t.parse::<SpanId>().ok())?;
    all.extend(span.map(|id| Predicate::Equals(Field::SpanId, id.to_string())));
    for (i, text) in params.all("attr").enumerate() {
        if i == MAX_ATTRIBUTES {
            return Err(ApiError::bad_request(format!(
                "more than {MAX_ATTRIBUTES} `attr` conditions"
            )));
        }
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                all.push(Predicate::Equals(Field::Attribute(key.to_owned()), value.to_owned()));
            }
            _ => return Err(invalid("attr", &shown(text), "of the form key=value")),
        }
    }
    Ok(all)
}
