//! `skopos rules test`: do rules fire when they should, and only then? Tests in promtool's format,
//! run in this process; no server is asked.

mod glob;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use skopos_alerting::rule_test::{self, FileReport, RuleFiles, RunOptions};
use skopos_promql::ParseOptions;

use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::output::{Format, dim, green, print_json, printable, red, write_stdout, yellow};

/// Run tests of rule files, in the format of `promtool test rules`.
#[derive(Debug, Args)]
#[command(after_help = "\
A test file names rule files, lays down series, and says what fires and what queries answer:

  rule_files: [rules.yml]
  evaluation_interval: 1m
  tests:
    - interval: 1m
      input_series:
        - series: 'up{job=\"shop\"}'
          values: '1x4 0x10'
      alert_rule_test:
        - eval_time: 10m
          alertname: Down
          exp_alerts:
            - exp_labels: {job: shop, severity: critical}
              exp_annotations: {summary: shop is down}
      promql_expr_test:
        - {expr: sum(up), eval_time: 4m, exp_samples: [{value: 1}]}

Values: 0+60x10 counts up, 5x3 repeats, _ is a gap, stale ends a series, {{schema:0 count:2 sum:3
buckets:[1 1]}} is a native histogram. Every annotation of the rule must be expected.

Examples:
  skopos rules test tests/*.yml
  skopos rules test tests/api.yml --run 'errors' --diff
  skopos rules test tests/api.yml --junit report.xml --format json

Exit codes: 0 all pass, 4 a test fails or a file is wrong, 1 a file could not be read.")]
pub(crate) struct TestArgs {
    /// Test files, or folders of them.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Run only the test groups whose name matches this regular expression.
    #[arg(long, value_name = "REGEX")]
    run: Option<regex::Regex>,
    /// Show only where expected and got differ.
    #[arg(long)]
    diff: bool,
    /// Show every series, recorded ones included, as it was at the end of each test group.
    #[arg(long)]
    debug: bool,
    /// Also write the results to FILE in JUnit's XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Allow the experimental parts of PromQL in rules and tests.
    #[arg(long)]
    experimental_promql: bool,
}

/// Rule files, found from the folder of the test file.
struct Files<'a> {
    folder: &'a Path,
}

impl RuleFiles for Files<'_> {
    fn find(&self, pattern: &str) -> Result<Vec<(String, String)>, String> {
        let read = |path: PathBuf| {
            let text = std::fs::read_to_string(&path);
            let text = text.map_err(|error| format!("read {}: {error}", path.display()))?;
            Ok((path.display().to_string(), text))
        };
        glob::find(self.folder, pattern)?.into_iter().map(read).collect()
    }
}

pub(crate) fn run(args: TestArgs, global: &GlobalArgs) -> Result<Outcome> {
    let language =
        if args.experimental_promql { ParseOptions::all() } else { ParseOptions::default() };
    let options = RunOptions { only: args.run.clone(), language, dump: args.debug };
    let mut reports = Vec::new();
    for (path, text) in super::read_files(&args.paths)? {
        let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
        reports.push(rule_test::run(&path, &text, &Files { folder }, &options));
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, rule_test::junit(&reports))
            .with_context(|| format!("write {}", path.display()))?;
    }
    let all_ok = reports.iter().all(FileReport::is_ok);
    match global.format {
        Format::Text => {
            let mut out = String::new();
            reports.iter().for_each(|report| render(report, &args, &mut out));
            write_stdout(&out);
        }
        Format::Ndjson => {
            for report in &reports {
                print_json(&to_json(report)?, Format::Ndjson);
            }
        }
        format => {
            let files: Vec<Value> = reports.iter().map(to_json).collect::<Result<_>>()?;
            print_json(&json!({"ok": all_ok, "files": files}), format);
        }
    }
    Ok(if all_ok { Outcome::Done } else { Outcome::ConditionFailed })
}

fn to_json(report: &FileReport) -> Result<Value> {
    let mut value = serde_json::to_value(report).context("print the report")?;
    value["ok"] = report.is_ok().into();
    Ok(value)
}

fn render(report: &FileReport, args: &TestArgs, out: &mut String) {
    let file = printable(&report.file);
    let verdict = match report.is_ok() {
        true => green("SUCCESS").to_string(),
        false => red("FAILED").to_string(),
    };
    let alerts: usize = report.groups.iter().map(|group| group.alert_tests).sum();
    let queries: usize = report.groups.iter().map(|group| group.expr_tests).sum();
    let groups = report.groups.len();
    let counts = format!("({groups} test groups, {alerts} alert tests, {queries} query tests)");
    out.push_str(&format!("{verdict} {file} {}\n", dim(counts)));
    for warning in &report.warnings {
        out.push_str(&format!("  {} {}\n", yellow("warning:"), printable(warning)));
    }
    for error in &report.errors {
        out.push_str(&indented(&error.to_string()));
    }
    for group in &report.groups {
        for failure in &group.failures {
            out.push_str(&indented(&failure.render(&report.file, args.diff)));
        }
        for line in group.dump.iter().flatten() {
            out.push_str(&format!("  {}\n", dim(format!("{}: {}", group.name, printable(line)))));
        }
    }
    if report.errors.is_empty() && report.skipped == 0 && !report.never_fired.is_empty() {
        let names = report.never_fired.join(", ");
        let text = format!("never seen firing in these tests: {}", printable(&names));
        out.push_str(&format!("  {}\n", dim(text)));
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {}\n", printable(line))).collect()
}
