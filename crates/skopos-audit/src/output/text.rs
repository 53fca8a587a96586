//! Text for people: the services first, findings with the line of code, the score with what to mend next.

use std::fmt::Write as _;

use super::{count, visible};
use crate::{
    FileProblem, Finding, Pass, ProductionCheck, Report, Rule, Safety, ServiceReport, Severity,
};

/// How much is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Show {
    /// One line for each finding.
    pub concise: bool,
    /// What is mitigated and what cannot be told, too.
    pub verbose: bool,
    /// Coloured, for a terminal.
    pub color: bool,
}

/// A text in a colour of the terminal (`31` red), or as it is.
fn paint(text: &str, code: &str, show: Show) -> String {
    if show.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

fn severity_color(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "1;31",
        Severity::Important => "31",
        Severity::Normal => "33",
        Severity::Low => "2",
    }
}

/// The report as text.
pub fn text(report: &Report, show: Show) -> String {
    let mut out = String::new();
    if !show.concise {
        services(report, &mut out);
    }
    // Who asked a server wants to hear of everybody who sends to it.
    let is_shown =
        |f: &&Finding| f.verdict == "finding" || show.verbose || f.rule.starts_with("LIV");
    for finding in report.findings.iter().filter(is_shown) {
        one(finding, show, &mut out);
    }
    if !show.concise {
        for service in report.services.iter().filter(|s| s.score.is_some()) {
            score(service, show, &mut out);
        }
        not_understood(report, &mut out);
    }
    for idle in &report.not_in_force {
        let _ = writeln!(out, "{}", not_in_force(idle));
    }
    if !show.concise {
        for (path, why) in &report.left_out {
            let _ = writeln!(out, "left out: {}: {}", visible(path), visible(why));
        }
    }
    let _ = writeln!(out, "{}", summary(report));
    out
}

/// What could not be made out: the first place of each file, and how many more there are.
fn not_understood(report: &Report, out: &mut String) {
    for of_file in report.problems.chunk_by(|a, b| a.path == b.path) {
        let Some(first) = of_file.first() else { continue };
        let more = match of_file.len() - 1 {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        let (path, message) = (visible(&first.path), visible(&first.message));
        let _ = writeln!(out, "not understood: {path}:{}: {message}{more}", first.line);
    }
}

/// A comment or an acceptance that holds nothing back, in one line.
pub fn not_in_force(idle: &FileProblem) -> String {
    let line = if idle.line == 0 { String::new() } else { format!(":{}", idle.line) };
    format!("not in force: {}{line}: {}", visible(&idle.path), visible(&idle.message))
}

/// The summary in one line.
pub fn summary(report: &Report) -> String {
    let of = |verdict: &str| report.findings.iter().filter(|f| f.verdict == verdict).count();
    let watched = report.services.iter().filter(|s| s.kind.is_watched()).count();
    let mut parts = vec![count(of("finding"), "finding")];
    for (n, what) in [
        (of("mitigated"), "mitigated"),
        (of("unknown"), "cannot be told"),
        (report.suppressed.len(), "held back"),
    ] {
        if n > 0 {
            parts.push(format!("{n} {what}"));
        }
    }
    format!(
        "{} in {} of {}",
        parts.join(", "),
        count(watched, "service"),
        count(report.stats.files, "file")
    )
}

fn services(report: &Report, out: &mut String) {
    if report.services.is_empty() {
        let _ = writeln!(
            out,
            "no service was found: no manifest, no Dockerfile, no code that serves\n"
        );
        return;
    }
    for service in &report.services {
        let why = service.evidence.first().map_or("", String::as_str);
        let path = &service.path;
        let language = service.language.as_str();
        let _ = writeln!(
            out,
            "{:<8} {} ({language}, {path}): {}",
            service.kind.as_str(),
            visible(&service.name),
            visible(why)
        );
        if let Some(why) = &service.not_judged {
            let _ = writeln!(out, "         not judged: {why}");
        }
    }
    out.push('\n');
}

fn one(finding: &Finding, show: Show, out: &mut String) {
    let Finding { rule, severity, path, line, column, message, .. } = finding;
    let service =
        finding.service.as_deref().map(|s| format!(" ({})", visible(s))).unwrap_or_default();
    let verdict = match finding.verdict {
        "finding" => String::new(),
        other => format!("{other}: "),
    };
    let _ = writeln!(
        out,
        "{}:{line}:{column}: {}: {verdict}{}{service}",
        visible(path),
        paint(&format!("{severity}[{rule}]"), severity_color(*severity), show),
        visible(message)
    );
    if show.concise {
        return;
    }
    let number = line.to_string();
    let blank = " ".repeat(number.len());
    if !finding.snippet.is_empty() {
        let before = finding.snippet.chars().take(column.saturating_sub(1));
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let _ = writeln!(out, "  {number} | {}", visible(&finding.snippet));
        let _ = writeln!(
            out,
            "  {blank} | {indent}{}",
            paint(&"^".repeat(finding.width), severity_color(*severity), show)
        );
    }
    let fix =
        Rule::find(rule).and_then(|rule| rule.section("Fix")).and_then(|fix| fix.lines().next());
    if let Some(at) = &finding.mitigated_at {
        let _ = writeln!(out, "  {blank} = by: {}", visible(at));
    }
    if let Some(settle) = &finding.settle {
        let _ = writeln!(out, "  {blank} = settled by: {}", visible(settle));
    }
    if let Some(hint) = finding.hint.as_deref().or(fix) {
        let by = match finding.fix {
            Some(Safety::Safe) => " (--fix does it)",
            Some(Safety::Unsafe) => " (--fix --unsafe-fixes does it)",
            None => "",
        };
        let _ = writeln!(out, "  {blank} = fix: {}{by}", visible(hint));
    }
    out.push('\n');
}

fn score(service: &ServiceReport, show: Show, out: &mut String) {
    let Some(score) = &service.score else { return };
    let _ = writeln!(
        out,
        "{}: {} ({:.0} of 100){}",
        paint(&visible(&service.name), "1", show),
        paint(&score.grade, "1", show),
        score.points,
        score.partial.as_ref().map(|why| format!(", {why}")).unwrap_or_default()
    );
    if let Some(cap) = &score.cap {
        let _ = writeln!(out, "  {cap}");
    }
    for pillar in &score.pillars {
        let share = if pillar.of == 0 { 0.0 } else { pillar.points / f64::from(pillar.of) };
        let filled = (share * 10.0).round() as usize;
        let bar = format!("{}{}", "#".repeat(filled.min(10)), ".".repeat(10 - filled.min(10)));
        let _ = writeln!(
            out,
            "  {:<9} {bar} {:>4.1} of {}",
            pillar.pillar.as_str(),
            pillar.points,
            pillar.of
        );
    }
    let next: Vec<String> = score
        .lost
        .iter()
        .take(3)
        .map(|lost| {
            let title = Rule::find(lost.rule).map_or("", |rule| rule.title);
            format!("{} {title} (+{:.1})", lost.rule, lost.points)
        })
        .collect();
    if !next.is_empty() {
        let _ = writeln!(out, "  mend next: {}", next.join("; "));
    }
    out.push('\n');
}

/// The six pillars of every watched service, passed or failed, and by which rules: for a release.
pub fn production_check(check: &ProductionCheck) -> String {
    let mut out = String::new();
    for service in &check.services {
        let name = visible(&service.name);
        let _ = match (&service.grade, &service.not_judged) {
            (Some(grade), _) => writeln!(out, "{name}: grade {grade}"),
            (None, why) => {
                writeln!(out, "{name}: FAIL  not judged: {}", why.as_deref().unwrap_or_default())
            }
        };
        for pillar in &service.pillars {
            let titled =
                |code: &&str| format!("{code} {}", Rule::find(code).map_or("", |rule| rule.title));
            let by: Vec<String> = pillar.rules.iter().map(titled).collect();
            let by = if by.is_empty() { by.concat() } else { format!(": {}", by.join("; ")) };
            let (name, of) = (pillar.pillar.as_str(), pillar.of);
            let verdict = loud(pillar.verdict);
            let _ = writeln!(out, "  {verdict}  {name:<9} {:>4.1} of {of}{by}", pillar.points);
        }
    }
    let _ = writeln!(out, "{}", production_summary(check));
    out
}

/// The verdict in one line.
pub fn production_summary(check: &ProductionCheck) -> String {
    let verdict = loud(check.verdict);
    if let Some(reason) = check.reason {
        return format!("production check: {verdict}  {reason}");
    }
    let passed = check.services.iter().filter(|service| service.verdict.0).count();
    let all = count(check.services.len(), "service");
    format!("production check: {verdict}  {passed} of {all} passes every pillar")
}

fn loud(pass: Pass) -> &'static str {
    if pass.0 { "pass" } else { "FAIL" }
}
