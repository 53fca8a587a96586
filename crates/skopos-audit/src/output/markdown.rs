//! A summary in Markdown, for a pull request.

use std::fmt::Write as _;

use super::text::{production_summary, summary};
use crate::Report;

/// At most so many findings are listed; the rest is counted.
const MOST: usize = 50;

/// The report as Markdown.
pub fn markdown(report: &Report) -> String {
    let mut out = String::from("## skopos audit\n\n");
    let _ = writeln!(out, "{}\n", summary(report));
    if let Some(check) = &report.production_check {
        let _ = writeln!(out, "**{}**\n", production_summary(check).replace("  ", ": "));
    }
    let scored: Vec<_> =
        report.services.iter().filter_map(|s| Some((s, s.score.as_ref()?))).collect();
    if !scored.is_empty() {
        out.push_str("| service | grade | points | logs | metrics | tracing | health | alerting | safety |\n|---|---|---|---|---|---|---|---|---|\n");
        for (service, score) in scored {
            let _ =
                write!(out, "| {} | {} | {:.0} |", cell(&service.name), score.grade, score.points);
            for pillar in &score.pillars {
                let sign = if pillar.passes { "✓" } else { "✗" };
                let _ = write!(out, " {sign} {:.0}/{} |", pillar.points, pillar.of);
            }
            out.push('\n');
        }
        out.push('\n');
        if let Some(why) = report.services.iter().find_map(|s| s.score.as_ref()?.partial.as_ref()) {
            let _ = writeln!(out, "Grades {why}.\n");
        }
    }
    let failures: Vec<_> = report.failures().collect();
    if !failures.is_empty() {
        out.push_str("| rule | severity | where | what |\n|---|---|---|---|\n");
        for finding in failures.iter().take(MOST) {
            let place = format!("`{}:{}`", finding.path.replace('`', "'"), finding.line);
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} |",
                finding.rule,
                finding.severity,
                cell(&place),
                cell(&finding.message)
            );
        }
        if failures.len() > MOST {
            let _ = writeln!(out, "\nand {} more", failures.len() - MOST);
        }
    }
    if !report.not_in_force.is_empty() {
        out.push_str("\nHold nothing back:\n\n");
        for idle in report.not_in_force.iter().take(MOST) {
            let path = crate::output::visible(&idle.path.replace('`', "'"));
            let _ = writeln!(out, "- `{path}:{}`: {}", idle.line, cell(&idle.message));
        }
    }
    out
}

/// A text within a cell of a table.
fn cell(text: &str) -> String {
    let escaped = text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;");
    super::visible(&escaped)
}
