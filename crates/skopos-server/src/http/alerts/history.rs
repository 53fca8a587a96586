//! Incidents that are over, and those that go on: when each alert was active, when it fired, when it ended.
//!
//! Read from the series that rules record, so that restarts and rules that are gone lose nothing: `ALERTS_FOR_STATE`
//! says which incident a sample belongs to (its value is the second in which the alert became active), `ALERTS` when it
//! fired, and [`ACKNOWLEDGED_METRIC`] when somebody took it on. A day is read at a time; what stays in memory is the
//! incidents. What the engine holds active now is not over, however old its last sample is.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use skopos_alerting::notify::{ACKNOWLEDGED_METRIC, fingerprint};
use skopos_model::{LabelMatcher, Labels, METRIC_NAME, SampleValue, Timestamp};
use skopos_promql::MatrixSeries;
use skopos_promql::value::Value as Answer;

use super::pairs;
use crate::auth::Scope;
use crate::config::parse_duration;
use crate::error::ApiError;
use crate::http::Route;
use crate::http::params::{Params, invalid};
use crate::query::QueryOptions;
use crate::state::{AppState, SharedState};

/// What is read at a time.
const STRETCH_MS: i64 = 24 * 3_600_000;
/// The longest time told of.
const MAX_SINCE: Duration = Duration::from_secs(31 * 24 * 3600);
const DEFAULT_SINCE: Duration = Duration::from_secs(24 * 3600);
const MAX_LIMIT: usize = 1_000;
const DEFAULT_LIMIT: usize = 100;

pub(super) fn route() -> Route {
    Route::get("/api/v1/skopos/alerts/history", Scope::Read, history)
        .summary(
            "When alerts were active: each incident with its beginning, when it fired, when it ended and when \
             somebody acknowledged it, newest first.",
        )
        .param("rule", "Only alerts of this name.")
        .param("fingerprint", "Only the alert whose labels have this fingerprint.")
        .param("since", "How far back, a duration of at most 31d; 24h by default.")
        .param("to", "Until when: RFC 3339, Unix seconds, or now-1d; now by default.")
        .param("limit", "Most incidents, 1 to 1000; 100 by default.")
        .schema("AlertHistory")
}

async fn history(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request).await?;
    params.check_names(&["rule", "fingerprint", "since", "to", "limit"], &[])?;
    let is_fit = |since: &Duration| !since.is_zero() && *since <= MAX_SINCE;
    let since = params.parsed("since", "a duration from 1ms to 31d, such as 7d", |text| {
        parse_duration(text).filter(is_fit)
    })?;
    let limit = params.parsed("limit", "a number from 1 to 1000", |text| {
        text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit))
    })?;
    let now = state.clock.now();
    let end = params.time("to", now)?.unwrap_or(now);
    let start = end.saturating_sub(since.unwrap_or(DEFAULT_SINCE));
    if start >= end {
        let text = params.get("to").unwrap_or("");
        return Err(invalid("to", text, "a time before which anything can be"));
    }
    let found = gather(&state, params.get("rule"), start.as_millis(), end.as_millis()).await?;
    let external = &state.settings.external_labels;
    let wanted = params.get("fingerprint");
    let mut incidents: Vec<(Labels, Incident)> = Vec::new();
    for (labels, runs) in found.told(external, &active_now(&state), end.as_millis()) {
        if wanted.is_none_or(|wanted| fingerprint(&labels) == wanted) {
            incidents.extend(runs.into_iter().map(|run| (labels.clone(), run)));
        }
    }
    incidents.sort_by(|(a_labels, a), (b_labels, b)| {
        b.active_ms.cmp(&a.active_ms).then_with(|| a_labels.cmp(b_labels))
    });
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let more = incidents.len().saturating_sub(limit);
    incidents.truncate(limit);
    let incidents: Vec<Value> = incidents.iter().map(|(labels, each)| each.print(labels)).collect();
    let data = json!({
        "from": start.to_string(), "to": end.to_string(), "incidents": incidents, "more": more,
    });
    Ok(Json(json!({"status": "success", "data": data})))
}

/// The second in which each active alert became active.
fn active_now(state: &AppState) -> BTreeMap<Labels, i64> {
    let alerts = state.rules.active_alerts().into_iter();
    alerts.map(|alert| (alert.labels, alert.active_at.as_millis().div_euclid(1000))).collect()
}

async fn gather(
    state: &AppState,
    rule: Option<&str>,
    start: i64,
    end: i64,
) -> Result<Found, ApiError> {
    let matcher = rule.map(|name| LabelMatcher::equal("alertname", name).to_string());
    let matcher = matcher.unwrap_or_default();
    let mut found = Found::default();
    let mut from = start;
    while from < end {
        let to = end.min(from.saturating_add(STRETCH_MS));
        let mut answers: [Vec<MatrixSeries>; 3] = Default::default();
        for (metric, answer) in
            ["ALERTS", "ALERTS_FOR_STATE", ACKNOWLEDGED_METRIC].iter().zip(&mut answers)
        {
            // Ranges are open at their beginning, so that no sample is in two of them.
            let query = format!("{metric}{{{matcher}}}[{}ms]", to - from);
            let evaluated = state.queries.instant(&query, to, &QueryOptions::default()).await?;
            if let Answer::Matrix(series) = evaluated.result.value {
                *answer = series;
            }
        }
        found.take(answers);
        from = to;
    }
    let groups = state.rules.groups();
    for group in &groups {
        let interval = i64::try_from(group.interval.as_millis()).unwrap_or(0);
        found.of_rules.extend(group.rules.iter().map(|rule| (rule.name.clone(), interval)));
    }
    Ok(found)
}

/// One incident of one alert.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Incident {
    /// When it became active.
    active_ms: i64,
    fired_ms: Option<i64>,
    /// Nothing while it goes on.
    ended_ms: Option<i64>,
    /// When somebody took it on, and after how many seconds.
    acknowledged: Option<(i64, f64)>,
}

impl Incident {
    fn print(&self, labels: &Labels) -> Value {
        let time = |ms: Option<i64>| ms.map(|ms| Timestamp::from_millis(ms).to_string());
        json!({
            "labels": pairs(labels),
            "fingerprint": fingerprint(labels),
            "active_at": Timestamp::from_millis(self.active_ms).to_string(),
            "fired_at": time(self.fired_ms),
            "ended_at": time(self.ended_ms),
            "acknowledged_at": time(self.acknowledged.map(|(at, _)| at)),
            "response_seconds": self.acknowledged.map(|(_, seconds)| seconds),
        })
    }
}

/// Samples of one incident.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// What the samples say, in seconds.
    active_at: i64,
    first_ms: i64,
    last_ms: i64,
    fired_ms: Option<i64>,
}

#[derive(Default)]
struct Found {
    /// By the alert's labels, each in order of time.
    runs: BTreeMap<Labels, Vec<Run>>,
    /// The shortest time between two samples of each alert: its rule's interval as it was then.
    intervals: BTreeMap<Labels, i64>,
    /// By labels with external ones: when, and after how many seconds.
    acknowledged: BTreeMap<Labels, Vec<(i64, f64)>>,
    /// The intervals of the rules in force, for alerts of which there is a single sample.
    of_rules: BTreeMap<String, i64>,
}

impl Found {
    /// Takes in a stretch of time, the older first: `ALERTS`, `ALERTS_FOR_STATE`, acknowledgements.
    fn take(&mut self, [alerts, for_state, acknowledged]: [Vec<MatrixSeries>; 3]) {
        let mut fired: BTreeMap<Labels, Vec<i64>> = BTreeMap::new();
        for series in alerts.iter().filter(|s| s.labels.get("alertstate") == Some("firing")) {
            let labels = series.labels.filtered(|n| n != METRIC_NAME && n != "alertstate");
            fired.entry(labels).or_default().extend(floats(series).map(|(at, _)| at));
        }
        for series in for_state {
            let labels = series.labels.filtered(|name| name != METRIC_NAME);
            let fired = fired.get(&labels).map_or(&[][..], Vec::as_slice);
            let times: Vec<i64> = series.samples.iter().map(|sample| sample.timestamp_ms).collect();
            let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
            if let Some(shortest) = gaps.filter(|gap| *gap > 0).min() {
                let known = self.intervals.entry(labels.clone()).or_insert(shortest);
                *known = shortest.min(*known);
            }
            let runs = self.runs.entry(labels).or_default();
            for (at, value) in floats(&series) {
                let active_at = value as i64;
                let fires = fired.binary_search(&at).is_ok();
                match runs.last_mut().filter(|last| last.active_at == active_at) {
                    Some(last) => {
                        last.last_ms = at;
                        last.fired_ms = last.fired_ms.or(fires.then_some(at));
                    }
                    None => runs.push(Run {
                        active_at,
                        first_ms: at,
                        last_ms: at,
                        fired_ms: fires.then_some(at),
                    }),
                }
            }
        }
        for series in acknowledged {
            let labels = series.labels.filtered(|name| name != METRIC_NAME);
            self.acknowledged.entry(labels).or_default().extend(floats(&series));
        }
    }

    /// The incidents of each alert; `active` are those that go on.
    fn told(
        self,
        external: &BTreeMap<String, String>,
        active: &BTreeMap<Labels, i64>,
        end_ms: i64,
    ) -> Vec<(Labels, Vec<Incident>)> {
        let Self { runs, intervals, acknowledged, of_rules } = self;
        let told = runs.into_iter().map(|(labels, runs)| {
            let mut full = labels.to_builder();
            for (name, value) in external {
                if labels.get(name).is_none() {
                    full.set(name, value);
                }
            }
            let given = acknowledged.get(&full.build()).map_or(&[][..], Vec::as_slice);
            let interval =
                intervals.get(&labels).or_else(|| of_rules.get(labels.value("alertname")));
            let interval = interval.copied().unwrap_or(0);
            let incidents = runs.iter().enumerate().map(|(i, run)| {
                let goes_on = active.get(&labels) == Some(&run.active_at);
                let next_ms = runs.get(i + 1).map_or(i64::MAX, |next| next.first_ms);
                // The evaluation that did not return it.
                let over_ms = run.last_ms.saturating_add(interval).min(next_ms).min(end_ms);
                let mut during =
                    given.iter().filter(|(at, _)| *at >= run.first_ms && *at < next_ms);
                Incident {
                    // The evaluation itself where it is known, which is exact to the millisecond.
                    active_ms: match run.first_ms.div_euclid(1000) == run.active_at {
                        true => run.first_ms,
                        false => run.active_at.saturating_mul(1000),
                    },
                    fired_ms: run.fired_ms,
                    ended_ms: (!goes_on).then_some(over_ms),
                    acknowledged: during.next().copied(),
                }
            });
            let incidents = incidents.collect();
            (labels, incidents)
        });
        told.collect()
    }
}

fn floats(series: &MatrixSeries) -> impl Iterator<Item = (i64, f64)> {
    series.samples.iter().filter_map(|sample| match sample.value {
        SampleValue::Float(value) => Some((sample.timestamp_ms, value)),
        SampleValue::Histogram(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use skopos_model::Sample;

    use super::*;

    fn series(name: &str, state: &str, samples: &[(i64, f64)]) -> MatrixSeries {
        let mut labels = Labels::from_pairs([(METRIC_NAME, name), ("alertname", "A")]);
        if !state.is_empty() {
            let mut builder = labels.to_builder();
            builder.set("alertstate", state);
            labels = builder.build();
        }
        let samples = samples.iter().map(|(at, value)| Sample::float(*at, *value)).collect();
        MatrixSeries { labels, samples }
    }

    fn own() -> Labels {
        Labels::from_pairs([("alertname", "A")])
    }

    fn incidents(found: Found, active: Option<i64>) -> Vec<Incident> {
        let active = active.map(|at| (own(), at)).into_iter().collect();
        let mut told = found.told(&BTreeMap::new(), &active, 1_000_000);
        assert_eq!(told.len(), 1);
        told.remove(0).1
    }

    #[test]
    fn an_incident_is_told_to_the_evaluation_over_stretches() {
        let mut found = Found::default();
        let state = [(10_250, 10.0), (20_250, 10.0), (30_250, 10.0)];
        let firing = [(20_250, 1.0), (30_250, 1.0)];
        found.take([
            vec![
                series("ALERTS", "pending", &[(10_250, 1.0)]),
                series("ALERTS", "firing", &firing),
            ],
            vec![series("ALERTS_FOR_STATE", "", &state)],
            vec![series(ACKNOWLEDGED_METRIC, "", &[(26_000, 15.75)])],
        ]);
        // It goes on in the next stretch; then it comes back and goes before it fires.
        found.take([
            vec![series("ALERTS", "firing", &[(40_250, 1.0)])],
            vec![series("ALERTS_FOR_STATE", "", &[(40_250, 10.0), (90_250, 90.0)])],
            vec![],
        ]);
        let [first, second] = incidents(found, None)[..] else { panic!("two incidents") };
        assert_eq!(
            first,
            Incident {
                active_ms: 10_250,
                fired_ms: Some(20_250),
                ended_ms: Some(50_250),
                acknowledged: Some((26_000, 15.75)),
            }
        );
        assert_eq!((second.active_ms, second.fired_ms), (90_250, None));
        assert_eq!(second.ended_ms, Some(100_250), "its rule was evaluated every 10 s");
        assert_eq!(second.acknowledged, None);
    }

    #[test]
    fn what_is_active_now_is_not_over() {
        let mut found = Found::default();
        let state = series("ALERTS_FOR_STATE", "", &[(10_000, 10.0), (50_000, 40.0)]);
        found.take([vec![], vec![state], vec![]]);
        let ended: Vec<_> = incidents(found, Some(40)).iter().map(|each| each.ended_ms).collect();
        assert_eq!(ended, [Some(50_000), None], "an end is never after the next beginning");
    }

    #[test]
    fn a_beginning_before_the_stretch_is_as_its_samples_say() {
        let mut found = Found { of_rules: [("A".to_owned(), 5_000)].into(), ..Found::default() };
        found.take([vec![], vec![series("ALERTS_FOR_STATE", "", &[(90_000, 12.0)])], vec![]]);
        let [only] = incidents(found, None)[..] else { panic!("one incident") };
        assert_eq!((only.active_ms, only.ended_ms), (12_000, Some(95_000)));
    }
}
