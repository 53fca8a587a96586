//! `skopos rules backtest`: rules over what a server has stored, before anybody is woken by them.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use serde_json::Value;
use skopos_alerting::backtest::{
    BacktestOptions, BacktestReport, History, RuleBacktest, Verdict, backtest,
};
use skopos_alerting::{builtin, rules};
use skopos_model::{Clock, LabelsBuilder, Sample, SampleValue, SystemClock, Timestamp};
use skopos_promql::{MatrixSeries, ParseOptions};

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{
    Format, columns, compact, dim, green, print_json, printable, red, span_of, write_stdout, yellow,
};
use crate::timespec::{parse_duration, parse_time};

/// Say when rules would have fired over stored history, and how noisily.
#[derive(Debug, Args)]
#[command(after_help = "\
Each alerting rule is evaluated at its interval over what the server has stored; `for` and
keep_firing_for count as they do in a running server. Series that rules of the same files record
are computed anew, so the rules need not have been running.

Examples:
  skopos rules backtest rules.yml --since 7d
  skopos rules backtest builtin --rule HighErrorRate --from 2026-01-01T00:00:00Z --to now
  skopos rules backtest rules.yml --max-per-week 5 --format json

Exit codes: 0 done, 4 a rule fired more often than --max-per-week, 1 failed, 3 no such rule.")]
pub(crate) struct BacktestArgs {
    /// Prometheus rule files, folders of them, or `builtin`.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Replay this long, until now or --to.
    #[arg(long, value_name = "DURATION", default_value = "7d", conflicts_with = "from")]
    since: String,
    /// Replay from here: RFC 3339, Unix seconds, or now-1h.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Replay until here, in the same forms.
    #[arg(long, value_name = "TIME", default_value = "now")]
    to: String,
    /// Replay only the alerts of this name.
    #[arg(long, value_name = "ALERT")]
    rule: Option<String>,
    /// Interval of groups that name none, as the server's --evaluation-interval.
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    evaluation_interval: String,
    /// Exit with 4 when a rule fires more often than this in a week.
    #[arg(long, value_name = "N")]
    max_per_week: Option<f64>,
    /// List every firing.
    #[arg(long)]
    firings: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// What a server has stored.
struct Server {
    client: Client,
}

impl History for Server {
    fn range(
        &self,
        expr: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<Vec<MatrixSeries>, String> {
        let seconds = |ms: i64| format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000));
        let fields = [
            ("query", expr.to_owned()),
            ("start", seconds(start_ms)),
            ("end", seconds(end_ms)),
            ("step", seconds(step_ms)),
        ];
        let answer = block_on(self.client.post_form("/api/v1/query_range", &fields));
        let answer = answer.map_err(|error| format!("{error:#}"))?;
        let series = answer["data"]["result"].as_array().map_or(&[][..], Vec::as_slice);
        series.iter().map(read_series).collect::<Option<_>>().ok_or_else(|| {
            "the server's answer is no range of samples; is it Skopos or Prometheus?".to_owned()
        })
    }
}

fn read_series(series: &Value) -> Option<MatrixSeries> {
    let mut labels = LabelsBuilder::default();
    for (name, value) in series["metric"].as_object()? {
        labels.set(name, value.as_str()?);
    }
    let time = |pair: &Value| Some((pair[0].as_f64()? * 1000.0).round() as i64);
    let mut samples = Vec::new();
    for pair in series["values"].as_array().into_iter().flatten() {
        let value = match pair[1].as_str()? {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            text => text.parse().ok()?,
        };
        samples.push(Sample { timestamp_ms: time(pair)?, value: SampleValue::Float(value) });
    }
    // Alerts only ask whether there is an element; templates see 0 for a histogram.
    for pair in series["histograms"].as_array().into_iter().flatten() {
        samples.push(Sample { timestamp_ms: time(pair)?, value: SampleValue::Float(0.0) });
    }
    samples.sort_by_key(|sample| sample.timestamp_ms);
    Some(MatrixSeries { labels: labels.build(), samples })
}

pub(crate) fn run(args: BacktestArgs, global: &GlobalArgs) -> Result<Outcome> {
    let now = SystemClock::new().now();
    let end = parse_time(&args.to, now).context("read --to")?;
    let start = match &args.from {
        Some(from) => parse_time(from, now).context("read --from")?,
        None => end.saturating_sub(parse_duration(&args.since).context("read --since")?),
    };
    if start >= end {
        bail!("the window starts at {start}, not before its end at {end}");
    }
    let evaluation_interval =
        parse_duration(&args.evaluation_interval).context("read --evaluation-interval")?;
    let mut files: Vec<(String, String)> = Vec::new();
    let (pack, paths): (Vec<PathBuf>, Vec<PathBuf>) =
        args.paths.iter().cloned().partition(|path| path.as_os_str() == builtin::SOURCE);
    if !pack.is_empty() {
        let embedded = builtin::rule_files().iter();
        files.extend(embedded.map(|file| (file.path.to_owned(), file.text.to_owned())));
    }
    if !paths.is_empty() {
        files.extend(super::read_files(&paths)?);
    }
    let borrowed: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let language = ParseOptions::all();
    let set = rules::load_with(&borrowed, &language).map_err(|errors| {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow!("the rule files cannot be loaded\n{}", texts.join("\n"))
    })?;
    let server = Server { client: Client::new(&args.server)? };
    block_on(server.client.get("/api/v1/status/buildinfo", &[])).context("ask the server")?;
    let options =
        BacktestOptions { start, end, evaluation_interval, only: args.rule.clone(), language };
    let report = backtest(&set, &server, &options);
    if report.rules.is_empty() {
        let which = args.rule.as_deref().unwrap_or("with `alert:`");
        eprintln!("no alerting rule {} in these files", printable(which));
        return Ok(Outcome::NothingFound);
    }
    match global.format {
        Format::Text => write_stdout(&render(&report, args.firings)),
        format => print_json(&serde_json::to_value(&report).context("print the report")?, format),
    }
    let too_often =
        |rule: &RuleBacktest| args.max_per_week.is_some_and(|most| rule.firings_per_week > most);
    if report.rules.iter().any(too_often) {
        return Ok(Outcome::ConditionFailed);
    }
    if report.rules.iter().all(|rule| rule.verdict == Verdict::Failed) {
        bail!("no rule could be replayed");
    }
    Ok(Outcome::Done)
}

fn render(report: &BacktestReport, firings: bool) -> String {
    let header =
        ["ALERT", "FIRED", "PER WEEK", "FIRING FOR", "MEDIAN", "LONGEST", "FLAPS", "VERDICT"];
    let mut rows = vec![header.map(String::from).to_vec()];
    for rule in &report.rules {
        let time = |seconds: f64| if seconds > 0.0 { span_of(seconds) } else { "-".into() };
        rows.push(vec![
            printable(&rule.name),
            rule.firings.len().to_string(),
            compact(rule.firings_per_week),
            time(rule.firing_seconds),
            time(rule.median_seconds),
            time(rule.longest_seconds),
            rule.flaps.to_string(),
            verdict(rule.verdict),
        ]);
    }
    let (start, end) = (report.start_ms, report.end_ms);
    let span = span_of((end - start) as f64 / 1000.0);
    let (from, to) = (Timestamp::from_millis(start), Timestamp::from_millis(end));
    let mut out = format!("{}\n", dim(format!("{span}, from {from} to {to}")));
    out.push_str(&columns(&rows));
    for rule in &report.rules {
        let name = printable(&rule.name);
        if let Some(error) = &rule.error {
            out.push_str(&format!("{} {name}: {}\n", red("error"), printable(error)));
        }
        if let Some(advice) = rule.advice() {
            let text = format!("{name} ({}:{}): {advice}", printable(&rule.file), rule.line);
            out.push_str(&format!("{}\n", dim(text)));
        }
        for firing in rule.firings.iter().filter(|_| firings) {
            let since = Timestamp::from_millis(firing.since_ms);
            let lasted = firing.until_ms.unwrap_or(report.end_ms) - firing.since_ms;
            let still = if firing.until_ms.is_none() { ", still firing at the end" } else { "" };
            out.push_str(&format!(
                "  {since}  {}{still}  {}\n",
                span_of(lasted as f64 / 1000.0),
                printable(&firing.labels)
            ));
        }
    }
    out
}

fn verdict(verdict: Verdict) -> String {
    let word = verdict.as_str();
    match verdict {
        Verdict::Calm => green(word).to_string(),
        Verdict::Silent => dim(word).to_string(),
        Verdict::Failed => red(word).to_string(),
        _ => yellow(word).to_string(),
    }
}
