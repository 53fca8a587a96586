//! `skopos slo gate`: may this service be deployed?

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use skopos_model::{Clock, SystemClock};

use super::{items, listed, moment, name_of, word};
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{
    Format, bold, dim, green, json_text, print_json, red, write_answer, write_stdout, yellow,
};
use crate::timespec::parse_duration;

/// Say whether a service may be deployed: go, caution or freeze.
///
/// The worst of its objectives decides. Freeze: a budget is exhausted, or burns at a rate that pages.
/// Caution: little is left, or there is no data: no data is not go. Nor is too little of it: an objective needs half an
/// hour of data in its window, or as much as its policy says (`go_after`), before it says go. With `--override`, leave is
/// given for a while; who, why and until when stay on record, and the policy of an objective may say who.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos slo gate --service checkout && ./deploy.sh
  skopos slo gate --service checkout --format json | jq -r .verdict
  skopos slo gate --service checkout --override 'the fix of the fault' --by ada --for 2h
  skopos slo gate --overrides

Exit codes: 0 go; 1 caution, or nobody could be asked; 2 freeze, or wrong usage; with --overrides 3 when there are
none. Only 0 is go.")]
pub(crate) struct GateArgs {
    /// The service to be deployed.
    #[arg(long, value_name = "NAME", required_unless_present = "overrides")]
    service: Option<String>,
    /// Give leave although the gate says no, with the reason.
    #[arg(long = "override", value_name = "REASON", requires = "by", conflicts_with = "overrides")]
    reason: Option<String>,
    /// Who gives leave.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// How long the leave holds: 7d at most.
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", requires = "reason")]
    hold: String,
    /// List the leaves that were given, those that ended too.
    #[arg(long, conflicts_with = "service")]
    overrides: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: GateArgs, global: &GlobalArgs) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    let Some(service) = args.service else {
        let mut answer = block_on(client.get("/api/v1/slo/overrides", &[]))?;
        return Ok(list(&answer["data"].take(), global));
    };
    let now = SystemClock::new().now();
    let asked = block_on(async {
        if let (Some(reason), Some(by)) = (&args.reason, &args.by) {
            let until = now.saturating_add(parse_duration(&args.hold).context("read --for")?);
            let until_ms = until.as_millis();
            let body =
                json!({"service": service, "reason": reason, "by": by, "until_ms": until_ms});
            client.post("/api/v1/slo/overrides", &body).await?;
        }
        client.get("/api/v1/slo/gate", &[("service", service.clone())]).await
    });
    let mut answer = match asked {
        Ok(answer) => answer,
        // Whoever reads a decision gets one: only go is go.
        Err(error) if global.format != Format::Text => {
            print_json(&undecided(&service, &error), global.format);
            return Ok(Outcome::Verdict(1));
        }
        Err(error) => return Err(error),
    };
    let decision = answer["data"].take();
    match global.format {
        Format::Text => write_answer(&text(&decision))?,
        format => write_answer(&json_text(&decision, format))?,
    }
    let code = decision["exit_code"].as_u64().and_then(|code| u8::try_from(code).ok());
    Ok(Outcome::Verdict(code.context("the server's answer has no verdict")?))
}

/// What is said for a server that could not be asked.
fn undecided(service: &str, error: &anyhow::Error) -> Value {
    let reason = format!("nobody could be asked: {error:#}");
    json!({
        "service": service, "verdict": "caution", "verdict_without_override": "caution",
        "exit_code": 1, "override": null, "sentence": format!("{service}: caution. {reason}."),
        "reasons": [{
            "slo": "", "group": {}, "verdict": "caution", "reason": reason, "budget_remaining": null,
        }],
    })
}

fn text(decision: &Value) -> String {
    let mut out = format!("{}\n", bold(word(&decision["sentence"])));
    for reason in items(&decision["reasons"]) {
        let verdict = word(&reason["verdict"]);
        let padded = format!("{verdict:8}");
        let verdict = match verdict.as_str() {
            "go" => green(padded),
            "caution" => yellow(padded),
            _ => red(padded),
        };
        let name = name_of(reason);
        let separator = if name.is_empty() { "" } else { ": " };
        out += &format!("  {verdict} {name}{separator}{}\n", word(&reason["reason"]));
    }
    let leave = &decision["override"];
    if leave.is_object() {
        out += &format!(
            "  {}\n",
            dim(format!(
                "by leave of {} until {} UTC: {}",
                word(&leave["by"]),
                moment(&leave["until_ms"]),
                word(&leave["reason"])
            ))
        );
    }
    out
}

fn list(data: &Value, global: &GlobalArgs) -> Outcome {
    let ended = listed(data, "overrides", "nobody gave leave");
    if global.format != Format::Text {
        print_json(data, global.format);
        return ended;
    }
    let mut rows = Vec::new();
    for leave in items(&data["overrides"]) {
        rows.push(vec![
            moment(&leave["created_ms"]),
            moment(&leave["until_ms"]),
            word(&leave["service"]),
            word(&leave["by"]),
            word(&leave["reason"]),
        ]);
    }
    if rows.is_empty() {
        return ended;
    }
    let head = ["GIVEN (UTC)", "UNTIL (UTC)", "SERVICE", "BY", "REASON"].map(str::to_owned);
    rows.insert(0, head.to_vec());
    write_stdout(&crate::output::columns(&rows));
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_says_why_and_by_whose_leave() {
        let decision = json!({
            "sentence": "shop: go, by override of ada (fix); without it freeze: a: exhausted.",
            "override": {"by": "ada", "until_ms": 1_700_000_000_000_i64, "reason": "fix"},
            "reasons": [
                {"slo": "a", "group": {}, "verdict": "freeze", "reason": "exhausted"},
                {"slo": "", "group": {}, "verdict": "caution", "reason": "nobody knows"},
            ],
        });
        let want = "shop: go, by override of ada (fix); without it freeze: a: exhausted.\n  \
                    freeze   a: exhausted\n  caution  nobody knows\n  \
                    by leave of ada until 2023-11-14 22:13:20 UTC: fix\n";
        assert_eq!(text(&decision), want);
    }
}
