//! The story of a budget: a deploy brings a fault, the budget burns, somebody is paged, the gate closes, and the status
//! says what happened. Decisions are asked of the binary itself, as a pipeline would.

use anyhow::Result;
use serde_json::Value;

use super::{Script, healthy, text_of};
use crate::Outcome;
use crate::demo::Part;
use crate::demo::fleet::Fleet;
use crate::demo::sink::Sink;
use crate::output::Format;

const SLO: &str = "order-availability";
const ALERT: &str = "SLOBurnFast";
const SERVICE: &str = "order-service";
const FAULT: &str = "payment-errors";
const VERSION: &str = "v2";

/// Plays it; `Done` when every step was seen.
pub(in crate::demo) async fn burn(
    fleet: &Fleet,
    sink: &Sink,
    without: Option<Part>,
    format: Format,
) -> Result<Outcome> {
    let mut script = Script { fleet, started: std::time::Instant::now(), number: 0, format };
    script.step("healthy traffic", 30, async || healthy(fleet).await).await?;

    // Data in two minutes of the clock is needed to say go.
    script.step("the gate is open: go", 90, async || gate(fleet, 0).await).await?;

    script
        .step("the deploy is noted", 10, async || {
            let args =
                ["annotate", "--service", SERVICE, "--kind", "deploy", VERSION, "--by", "ci"];
            let (code, text) = fleet.slo(&args).await?;
            Ok((code == Some(0)).then(|| text.trim().to_owned()))
        })
        .await?;

    script
        .step("the deploy brings a fault", 5, async || {
            if without == Some(Part::Fault) {
                return Ok(Some("left out".into()));
            }
            fleet.switch_fault(FAULT, true).await?;
            Ok(Some(format!("{FAULT} in payment-service")))
        })
        .await?;

    script
        .step("the budget burns too fast", 30, async || {
            let status = budget(fleet).await?;
            let burn =
                status["burn"].as_array().and_then(|all| all.iter().find(|b| b["window"] == "1h"));
            let rate = burn.and_then(|burn| burn["rate"].as_f64()).unwrap_or(0.0);
            Ok((rate > 14.4).then(|| format!("{rate:.1} times as fast as it can bear")))
        })
        .await?;

    script
        .step("the fast-burn alert fires", 30, async || {
            let answer = fleet.api.get("/api/v1/alerts", &[]).await?;
            let alerts = answer["data"]["alerts"].as_array().map_or(&[][..], Vec::as_slice);
            let is_it = |alert: &&Value| {
                alert["labels"]["alertname"] == ALERT
                    && alert["labels"]["slo"] == SLO
                    && alert["state"] == "firing"
            };
            let alert = alerts.iter().find(is_it);
            Ok(alert.map(|alert| text_of(&alert["annotations"]["summary"]).to_owned()))
        })
        .await?;

    script
        .step("somebody is paged", 15, async || {
            Ok(sink.find(ALERT, "firing", 0).map(|payload| {
                let annotations = &payload["alerts"][0]["annotations"];
                format!("budget left {}", text_of(&annotations["budget_left"]))
            }))
        })
        .await?;

    script.step("the gate is closed: freeze", 15, async || gate(fleet, 2).await).await?;

    script
        .step("the status says what happened", 15, async || {
            let (code, text) = fleet.slo(&["status"]).await?;
            let told =
                text.lines().find(|line| line.contains(&format!("Deploy \"{VERSION}\" burned")));
            // Of the second after the deploy it would say that nothing was burned.
            let told = told.filter(|line| code == Some(0) && !line.contains("burned 0 %"));
            Ok(told.map(str::to_owned))
        })
        .await?;

    script.finish();
    Ok(Outcome::Done)
}

/// What the gate says, when it ends with this code.
async fn gate(fleet: &Fleet, wanted: i32) -> Result<Option<String>> {
    let (code, text) = fleet.slo(&["gate", "--service", SERVICE]).await?;
    let sentence = text.lines().next().unwrap_or("").to_owned();
    Ok((code == Some(wanted)).then(|| format!("exit code {wanted}: {sentence}")))
}

async fn budget(fleet: &Fleet) -> Result<Value> {
    let mut answer = fleet.api.get(&format!("/api/v1/slos/{SLO}"), &[]).await?;
    Ok(answer["data"]["budgets"][0].take())
}
