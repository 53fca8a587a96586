//! `skopos notify test`: a marked alert by the real path of a running server.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, columns, green, print_json, printable, red, write_stdout};

/// Send a marked test and show what the receivers answer.
///
/// The server tells the receiver that a test alert fires and, where the receiver is told of that,
/// that it is over. The texts say that it is a test. An admin token is needed where there are
/// tokens.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos notify test --receiver team-x
  skopos notify test --severity P1 --format json

Exit codes: 0 all were delivered, 3 nobody is told of this severity, 4 a receiver did not take it,
1 no such receiver, or the server could not be asked.")]
pub(crate) struct TestArgs {
    /// Name of the receiver.
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "severity",
        required_unless_present = "severity"
    )]
    receiver: Option<String>,
    /// The receivers that an alert of this severity reaches: P1, P2, P3, or a word such as critical.
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: TestArgs, global: &GlobalArgs) -> Result<Outcome> {
    let body = match (&args.receiver, &args.severity) {
        (Some(receiver), _) => json!({"receiver": receiver}),
        (None, severity) => json!({"severity": severity}),
    };
    let client = Client::new(&args.server)?;
    let answer = block_on(client.post("/api/v1/skopos/notify/test", &body))?;
    let trials = answer["trials"].as_array().map_or(&[][..], Vec::as_slice);
    if let Format::Text = global.format {
        explain(&answer["severity"]);
    }
    match global.format {
        Format::Text if trials.is_empty() => {
            let receivers: Vec<&str> = answer["receivers"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            eprintln!("nobody is told: receiver {} has no integration", receivers.join(", "));
        }
        Format::Text => write_stdout(&columns(&trials.iter().map(row).collect::<Vec<_>>())),
        format => print_json(&answer, format),
    }
    Ok(match trials {
        [] => Outcome::NothingFound,
        all if all.iter().all(|trial| trial["outcome"] == "delivered") => Outcome::Done,
        _ => Outcome::ConditionFailed,
    })
}

/// Says on standard error which value of the label was used, where that is not what was asked for.
fn explain(severity: &Value) {
    let words = |name: &str| -> String {
        let all = severity[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        all.map(printable).collect::<Vec<_>>().join(", ")
    };
    let label = printable(severity["label"].as_str().unwrap_or_default());
    if severity["routed"] == false {
        let named = match words("routes_name") {
            none if none.is_empty() => "no route asks for a severity".to_owned(),
            named => format!("routes ask for: severity {named}"),
        };
        eprintln!(
            "no route asks for severity {} ({named}); it goes where all others go",
            words("tried")
        );
    } else if severity["tried"][0].as_str().is_some_and(|asked| asked != label) {
        eprintln!("tested as severity={label}, which the routes ask for");
    }
}

fn row(trial: &Value) -> Vec<String> {
    let cell = |name: &str| printable(trial[name].as_str().unwrap_or_default());
    let outcome = match cell("outcome").as_str() {
        "delivered" => green("delivered".to_owned()).to_string(),
        other => red(other.to_owned()).to_string(),
    };
    let time = format!("{:.0} ms", trial["seconds"].as_f64().unwrap_or_default() * 1000.0);
    vec![cell("receiver"), cell("integration"), cell("status"), outcome, time, cell("reason")]
}
