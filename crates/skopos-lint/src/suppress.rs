//! From drafts to the report: which findings a comment holds back, and which comments do nothing.

use std::cell::Cell;
use std::ops::Range;

use crate::comment::{Ask, Comment};
use crate::context::{Context, Draft};
use crate::source::RuleFile;
use crate::{Check, Finding, Options, Report, Severity, Suppressed};

/// What no comment can hold back: the file does not load.
const KEEPS_FROM_LOADING: [&str; 3] = ["promql/syntax", "rule/schema", "yaml/parse"];

/// A comment that holds findings back, with what it belongs to.
struct Hold<'a> {
    code: &'a str,
    reason: Option<&'a str>,
    span: &'a Range<usize>,
    is_ours: bool,
    target: Target,
    used: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    File,
    /// A rule; `true` when the comment stands above all rules of the group.
    Rule(usize, usize, bool),
}

/// Sorts, holds back, and counts.
pub(crate) fn report(context: Context<'_>) -> Report {
    let Context { files, originals, options, drafts, .. } = context;
    let mut report = Report { files: files.len(), ..Report::default() };
    let rules = || files.iter().flat_map(|f| &f.groups).flat_map(|g| &g.rules);
    report.groups = files.iter().map(|f| f.groups.len()).sum();
    report.alerting_rules = rules().filter(|rule| rule.is_alert).count();
    report.recording_rules = rules().count() - report.alerting_rules;
    let mut by_file: Vec<Vec<Draft>> = files.iter().map(|_| Vec::new()).collect();
    for draft in drafts {
        by_file[draft.file].push(draft);
    }
    for (at, (file, mut drafts)) in files.iter().zip(by_file).enumerate() {
        let (holds, mut remarks) = holds(at, file, options);
        drafts.append(&mut remarks);
        drafts.sort_by(|a, b| {
            (a.span.start, a.code, a.span.end).cmp(&(b.span.start, b.code, b.span.end))
        });
        drafts.dedup_by(|a, b| a.code == b.code && a.span == b.span && a.message == b.message);
        let place = |draft: &Draft| placed(draft, file, originals[at]);
        for draft in drafts {
            if !is_wanted(draft.code, options) {
                continue;
            }
            let by = holds.iter().find(|hold| hold.holds(&draft));
            match by {
                None => report.findings.push(place(&draft)),
                Some(hold) => {
                    hold.used.set(true);
                    let reason = hold.reason.map(str::to_owned);
                    report.suppressed.push(Suppressed { finding: place(&draft), reason });
                }
            }
        }
        // Whether a comment does something cannot be told when not every check runs.
        if options.only.is_empty() && options.except.is_empty() {
            let idle = holds.iter().filter(|hold| hold.is_ours && !hold.used.get());
            report.findings.extend(idle.map(|hold| place(&unused(at, hold))));
        }
    }
    report.findings.sort_by(|a, b| {
        let order = |f: &Finding| (f.line, f.column);
        (&a.file, order(a), a.code).cmp(&(&b.file, order(b), b.code))
    });
    report
}

fn is_wanted(code: &str, options: &Options) -> bool {
    let named = |list: &[String]| list.iter().any(|wanted| Ask::names(code, wanted));
    (options.only.is_empty() || named(&options.only)) && !named(&options.except)
}

fn unused(file: usize, hold: &Hold<'_>) -> Draft {
    Draft {
        code: "lint/unused",
        severity: Severity::Warning,
        file,
        about: None,
        span: hold.span.clone(),
        message: format!("this comment holds nothing back: there is no {} here", hold.code),
        hint: Some("remove it".into()),
    }
}

/// The comments that hold findings back, and what is wrong with those that cannot.
fn holds<'a>(at: usize, file: &'a RuleFile, options: &Options) -> (Vec<Hold<'a>>, Vec<Draft>) {
    let mut holds = Vec::new();
    let mut remarks = Vec::new();
    let mut remark = |comment: &Comment, message: String, hint: String| {
        remarks.push(Draft {
            code: "lint/comment",
            severity: Severity::Warning,
            file: at,
            about: None,
            span: comment.span.clone(),
            message,
            hint: Some(hint),
        });
    };
    for comment in &file.comments {
        match &comment.ask {
            Ask::Owner { .. } => {}
            Ask::Unknown(verb) => remark(
                comment,
                format!("`skopos:{verb}` is no comment that the checks know"),
                "write `# skopos:ignore CODE reason` or `# skopos:ignore-file CODE reason`".into(),
            ),
            Ask::Ignore { code, reason, whole_file, is_ours, until } => {
                let is_known = Check::all().iter().any(|check| Ask::names(check.code, code));
                if *is_ours && !is_known {
                    let hint = match Check::nearest(code) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "`skopos rules check --explain list` names the codes".into(),
                    };
                    remark(comment, format!("there is no check {code:?}"), hint);
                    continue;
                }
                if *is_ours && reason.is_none() {
                    let hint = format!("say why: `# skopos:ignore {code} because …`");
                    remark(comment, "a comment without a reason holds nothing back".into(), hint);
                    continue;
                }
                let is_over = match (until, &options.today) {
                    // ISO dates compare as text.
                    (Some(until), Some(today)) => until.get(..10).is_none_or(|day| day < &**today),
                    _ => false,
                };
                let target = if *whole_file { Some(Target::File) } else { target(file, comment) };
                if let (false, Some(target)) = (is_over, target) {
                    holds.push(Hold {
                        code,
                        reason: reason.as_deref(),
                        span: &comment.span,
                        is_ours: *is_ours,
                        target,
                        used: Cell::new(false),
                    });
                } else if target.is_none() && *is_ours {
                    let hint = "put it above the rule, or write `skopos:ignore-file`".into();
                    remark(comment, "no rule stands here or below".into(), hint);
                }
            }
        }
    }
    (holds, remarks)
}

/// The rule whose lines a comment stands in, else the next one below.
fn target(file: &RuleFile, comment: &Comment) -> Option<Target> {
    let end_of_line = |offset: usize| {
        let rest = file.text.get(offset..).unwrap_or("");
        offset + rest.find('\n').unwrap_or(rest.len())
    };
    for (g, group) in file.groups.iter().enumerate() {
        for (r, rule) in group.rules.iter().enumerate() {
            if comment.span.start <= end_of_line(rule.span.end) {
                let in_head = r == 0 && comment.span.start < rule.span.start;
                return Some(Target::Rule(g, r, in_head));
            }
        }
    }
    None
}

/// Who a comment says owns this rule, or the file.
pub(crate) fn owner_by_comment(file: &RuleFile, group: usize, rule: usize) -> Option<&str> {
    file.comments.iter().find_map(|comment| match &comment.ask {
        Ask::Owner { name, whole_file: true } => Some(name.as_str()),
        Ask::Owner { name, .. } => match target(file, comment) {
            Some(Target::Rule(g, r, _)) if (g, r) == (group, rule) => Some(name.as_str()),
            _ => None,
        },
        _ => None,
    })
}

impl Hold<'_> {
    fn holds(&self, draft: &Draft) -> bool {
        let is_final = draft.code.starts_with("lint/") || KEEPS_FROM_LOADING.contains(&draft.code);
        if is_final || !Ask::names(draft.code, self.code) {
            return false;
        }
        match (self.target, draft.about) {
            (Target::File, _) => true,
            (Target::Rule(g, r, _), Some((group, Some(rule)))) => (g, r) == (group, rule),
            (Target::Rule(g, _, in_head), Some((group, None))) => in_head && g == group,
            (Target::Rule(..), None) => false,
        }
    }
}

/// The finding with its line and column.
fn placed(draft: &Draft, file: &RuleFile, original: &str) -> Finding {
    let mut start = draft.span.start.min(original.len());
    while !original.is_char_boundary(start) {
        start -= 1;
    }
    let line_start = original[..start].rfind('\n').map_or(0, |at| at + 1);
    let line = original[line_start..].split('\n').next().unwrap_or("").trim_end_matches('\r');
    let line_chars = line.chars().count();
    let column = (original[line_start..start].chars().count() + 1).min(line_chars + 1);
    let covered = original.get(start..draft.span.end.max(start)).unwrap_or("");
    let covered = covered.split('\n').next().unwrap_or("").trim_end().chars().count();
    let group = draft.about.and_then(|(group, _)| file.groups.get(group));
    let rule = match draft.about {
        Some((_, Some(rule))) => group.and_then(|group| group.rules.get(rule)),
        _ => None,
    };
    Finding {
        code: draft.code,
        severity: draft.severity,
        file: file.path.clone(),
        line: original[..start].matches('\n').count() + 1,
        column,
        width: covered.clamp(1, (line_chars + 1).saturating_sub(column).max(1)),
        group: group.map(|group| group.name.clone()),
        rule: rule.map(|rule| rule.name.value.clone()),
        message: draft.message.clone(),
        hint: draft.hint.clone(),
        snippet: line.to_owned(),
    }
}
