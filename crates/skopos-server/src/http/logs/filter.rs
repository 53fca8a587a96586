//! Which records are wanted: parameters to predicates.

use axum::extract::Request;
use skopos_model::event::{Comparison, EventOrder, EventScan, EventSignal, Field, Predicate};
use skopos_model::{SpanId, TimeRange, Timestamp, TraceId};

use crate::config::parse_duration;
use crate::error::ApiError;
use crate::http::Route;
use crate::http::params::{Params, invalid, parse_severity, shown};

/// Records answered unless asked otherwise.
const DEFAULT_LIMIT: usize = 100;
/// Most records answered at once.
pub(super) const MAX_LIMIT: usize = 5_000;
/// Most attribute conditions of one request.
const MAX_ATTRIBUTES: usize = 32;

const COMMON: &[&str] =
    &["service", "severity", "contains", "trace_id", "span_id", "attr", "start", "limit"];

/// Parameters that only this endpoint knows.
pub(super) const QUERY: &[&str] = &["end", "direction"];
/// Parameters that only this endpoint knows.
pub(super) const FOLLOW: &[&str] = &["since"];

/// A checked request.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    predicates: Vec<Predicate>,
    range: TimeRange,
    pub(super) limit: usize,
    pub(super) order: EventOrder,
    /// Whether the request said where to begin.
    pub(super) has_start: bool,
}

/// Describes the common parameters.
pub(super) fn document(route: Route) -> Route {
    route
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
        .param("limit", "At most so many stored records, 100 by default, 5000 at most.")
}

impl Filter {
    /// Reads and checks the parameters; `extra` are those beyond the common ones.
    pub(super) async fn read(
        request: Request,
        now: Timestamp,
        extra: &[&str],
    ) -> Result<Self, ApiError> {
        let params = Params::read(request).await?;
        let known: Vec<&str> = COMMON.iter().chain(extra).copied().collect();
        params.check_names(&known, &["attr"])?;
        let limit = params.parsed("limit", "a whole number from 1 to 5000", |text| {
            text.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n))
        })?;
        let direction = params.parsed("direction", "`backward` or `forward`", super::order)?;
        let since = params.parsed("since", "a duration such as 10s", parse_duration)?;
        let mut start = params.time("start", now)?;
        if let Some(since) = since {
            if start.is_some() {
                return Err(ApiError::bad_request("give `start` or `since`, not both"));
            }
            start = Some(now.saturating_sub(since));
        }
        let end = params.time("end", now)?;
        let range = TimeRange::new(
            start.unwrap_or(TimeRange::ALL.start),
            end.unwrap_or(TimeRange::ALL.end),
        );
        if range.start > range.end {
            return Err(ApiError::bad_request("`start` lies after `end`"));
        }
        Ok(Self {
            predicates: predicates(&params)?,
            range,
            limit: limit.unwrap_or(DEFAULT_LIMIT),
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
