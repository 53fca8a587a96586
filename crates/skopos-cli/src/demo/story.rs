//! The scripted story: each step waits until the public API really shows it.
//!
//! *An alert fires on a metric → its logs → a trace id → the slow service → the fix → the metric
//! recovers.* A step that is not seen in time ends the script with exit code 1 and its name.

#![expect(clippy::disallowed_methods, reason = "the script waits for real processes")]

mod budget;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use skopos_model::{Clock, SystemClock, Timestamp};

use super::Part;
use super::fleet::Fleet;
use super::sink::Sink;
use crate::Outcome;
use crate::output::{Format, dim, green, print_json, red, write_stdout};

pub(super) use budget::burn;

/// The script gives up after this long, all steps together.
const DEADLINE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(200);
const ALERT: &str = "HighErrorRate";
const FAULT: &str = "payment-errors";
/// The guide's HighErrorRate without its threshold.
const ERROR_RATIO: &str = r#"sum(rate(http_requests_total{status_code=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))"#;
const THRESHOLD: f64 = 0.01;
/// Healthy orders wanted before the fault.
const HEALTHY_ORDERS: f64 = 100.0;

/// Plays the story of an alert: from the metric to the trace, and back to healthy.
pub(super) async fn play(
    fleet: &Fleet,
    sink: &Sink,
    without: Option<Part>,
    format: Format,
) -> Result<Outcome> {
    let mut script = Script { fleet, started: Instant::now(), number: 0, format };
    script.step("healthy traffic", 30, async || healthy(fleet).await).await?;

    script
        .step("fault on", 5, async || {
            if without == Some(Part::Fault) {
                return Ok(Some("left out".into()));
            }
            fleet.switch_fault(FAULT, true).await?;
            Ok(Some(format!("{FAULT} in payment-service")))
        })
        .await?;

    script.step("alert pending", 20, async || alert_in(fleet, "pending").await).await?;
    let window_start = alert_window_start(fleet).await?;
    script.step("alert firing", 20, async || alert_in(fleet, "firing").await).await?;

    script
        .step("webhook received", 10, async || {
            Ok(sink.find(ALERT, "firing", 0).map(|payload| {
                let text = &payload["alerts"][0]["annotations"]["summary"];
                format!("version {}: {}", text_of(&payload["version"]), text_of(text))
            }))
        })
        .await?;

    let mut trace_id = String::new();
    script
        .step("logs of the alert's window", 10, async || {
            let query = [
                ("service", "payment-service".to_owned()),
                ("severity", "error".into()),
                ("start", window_start.clone()),
                ("end", SystemClock::new().now().to_string()),
            ];
            let answer = fleet.api.get("/api/v1/logs", &query).await?;
            let logs = answer["data"]["logs"].as_array().map_or(&[][..], Vec::as_slice);
            let Some(log) = logs.iter().find(|l| !text_of(&l["trace_id"]).is_empty()) else {
                return Ok(None);
            };
            trace_id = text_of(&log["trace_id"]).to_owned();
            let reason = text_of(&log["attributes"]["reason"]);
            Ok(Some(format!("{} errors: {} ({reason})", logs.len(), text_of(&log["body"]))))
        })
        .await?;

    script
        .step("trace id from a log line", 1, async || {
            let valid = trace_id.parse::<skopos_model::TraceId>().is_ok();
            Ok(valid.then(|| trace_id.clone()))
        })
        .await?;

    script
        .step("failing span in payment-service", 10, async || {
            let path = format!("/api/traces/{trace_id}");
            let Ok(answer) = fleet.api.get(&path, &[]).await else { return Ok(None) };
            Ok(failing_span(&answer["data"][0], "payment-service"))
        })
        .await?;

    script
        .step("fault off", 5, async || {
            fleet.switch_fault(FAULT, false).await?;
            Ok(Some("payment-service repaired".into()))
        })
        .await?;

    script
        .step("alert resolved", 80, async || {
            let state = alert_state(fleet).await?;
            Ok(state.is_none().then(|| format!("{ALERT} no longer active")))
        })
        .await?;

    script
        .step("resolved notification received", 15, async || {
            Ok(sink
                .find(ALERT, "resolved", 0)
                .map(|payload| format!("for {}", text_of(&payload["groupLabels"]["alertname"]))))
        })
        .await?;

    script
        .step("metric below the threshold", 10, async || {
            let ratio = fleet.number(ERROR_RATIO).await?.unwrap_or(0.0);
            Ok((ratio < THRESHOLD).then(|| format!("{:.2} % of requests fail", ratio * 100.0)))
        })
        .await?;

    script.finish();
    Ok(Outcome::Done)
}

async fn healthy(fleet: &Fleet) -> Result<Option<String>> {
    let orders = fleet.number("sum(orders_placed_total)").await?.unwrap_or(0.0);
    let up = fleet.number("sum(up)").await?.unwrap_or(0.0);
    Ok((orders >= HEALTHY_ORDERS && up >= 3.0)
        .then(|| format!("{orders} orders placed, {up} targets up")))
}

/// The alert's state, as `/api/v1/alerts` shows it.
async fn alert_state(fleet: &Fleet) -> Result<Option<Value>> {
    let answer = fleet.api.get("/api/v1/alerts", &[]).await?;
    let alerts = answer["data"]["alerts"].as_array().map_or(&[][..], Vec::as_slice);
    Ok(alerts.iter().find(|a| a["labels"]["alertname"] == ALERT).cloned())
}

/// Where the alert's window begins: a minute before it became active.
async fn alert_window_start(fleet: &Fleet) -> Result<String> {
    let alert = alert_state(fleet).await?.unwrap_or_default();
    let active_at = text_of(&alert["activeAt"]);
    let active_at = crate::timespec::parse_time(active_at, SystemClock::new().now())
        .context("read the alert's activeAt")?;
    Ok(active_at.saturating_sub(Duration::from_secs(60)).to_string())
}

async fn alert_in(fleet: &Fleet, wanted: &str) -> Result<Option<String>> {
    let Some(alert) = alert_state(fleet).await? else { return Ok(None) };
    let state = text_of(&alert["state"]);
    // Between two looks a pending alert may have gone on to firing.
    let seen = state == wanted || (wanted == "pending" && state == "firing");
    let value: f64 = text_of(&alert["value"]).parse().unwrap_or(f64::NAN);
    Ok(seen.then(|| format!("{ALERT} {state} at {:.2} %", value * 100.0)))
}

/// The innermost failed span (the one that began last) of a service in a trace that another service began.
fn failing_span(trace: &Value, service: &str) -> Option<String> {
    let spans = trace["spans"].as_array()?;
    let service_of = |span: &Value| {
        let process = text_of(&span["processID"]);
        text_of(&trace["processes"][process]["serviceName"]).to_owned()
    };
    let failed = |span: &&Value| {
        span["tags"].as_array().is_some_and(|tags| {
            tags.iter().any(|t| t["key"] == "error" && (t["value"] == true || t["value"] == "true"))
        })
    };
    let crosses = spans.iter().any(|s| service_of(s) == "order-service");
    let failing = spans
        .iter()
        .filter(|s| service_of(s) == service)
        .filter(failed)
        .max_by_key(|s| s["startTime"].as_i64())?;
    crosses.then(|| {
        let millis = failing["duration"].as_f64().unwrap_or(0.0) / 1000.0;
        format!("{} ({millis:.1} ms) of {} spans", text_of(&failing["operationName"]), spans.len())
    })
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// Steps, each seen before the next begins.
struct Script<'a> {
    fleet: &'a Fleet,
    started: Instant,
    number: u32,
    format: Format,
}

impl Script<'_> {
    /// Repeats `look` until it sees something, within `limit_secs` and the script's own deadline.
    async fn step(
        &mut self,
        name: &str,
        limit_secs: u64,
        mut look: impl AsyncFnMut() -> Result<Option<String>>,
    ) -> Result<()> {
        self.number += 1;
        let began = Instant::now();
        let limit =
            Duration::from_secs(limit_secs).min(DEADLINE.saturating_sub(self.started.elapsed()));
        let mut trouble = None;
        loop {
            let seen = match tokio::time::timeout(limit.max(POLL), look()).await {
                Ok(Ok(seen)) => seen,
                Ok(Err(error)) => {
                    trouble = Some(format!("{error:#}"));
                    None
                }
                Err(_) => None,
            };
            if let Some(what) = seen {
                self.report(true, name, began.elapsed(), &what);
                return Ok(());
            }
            if began.elapsed() >= limit {
                let what = trouble.unwrap_or_else(|| "not seen".into());
                self.report(false, name, began.elapsed(), &what);
                if let Some(casualty) = self.fleet.casualty() {
                    eprintln!("{casualty}");
                }
                bail!("step {} was not seen: {name}", self.number);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn report(&self, seen: bool, name: &str, took: Duration, what: &str) {
        let seconds = took.as_secs_f64();
        if self.format == Format::Text {
            let mark = if seen { green("✔").to_string() } else { red("✖").to_string() };
            let number = self.number;
            write_stdout(&format!(
                "{mark} {number:>2} {name:<32} {seconds:>5.1} s  {}\n",
                dim(what)
            ));
        } else {
            let time = Timestamp::to_string(&SystemClock::new().now());
            let line = json!({
                "step": self.number, "name": name, "seen": seen, "seconds": seconds,
                "what": what, "time": time,
            });
            print_json(&line, Format::Ndjson);
        }
    }

    fn finish(&self) {
        if self.format == Format::Text {
            let total = self.started.elapsed().as_secs_f64();
            write_stdout(&format!("the whole story in {total:.1} s\n"));
        }
    }
}
