//! What checks look at, and where they leave what they find.

use std::collections::HashMap;
use std::ops::Range;

use skopos_promql::{Expr, Span};

use crate::source::{Group, Rule, RuleFile, Text};
use crate::{Check, Options, Pages, Priority, Severity};

/// All files of a run, and the findings so far.
pub(crate) struct Context<'a> {
    pub(crate) files: Vec<RuleFile>,
    /// The texts as given, for snippets.
    pub(crate) originals: Vec<&'a str>,
    pub(crate) options: &'a Options,
    pub(crate) pages: &'a dyn Pages,
    pub(crate) drafts: Vec<Draft>,
}

/// A finding whose place is still bytes of a file.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    pub(crate) file: usize,
    /// The group, and the rule in it, that it is about.
    pub(crate) about: Option<(usize, Option<usize>)>,
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        files: &[(&str, &'a str)],
        options: &'a Options,
        pages: &'a dyn Pages,
    ) -> Self {
        let read = |(path, text): &(&str, &'a str)| RuleFile::read(path, text, &options.language);
        Self {
            files: files.iter().map(read).collect(),
            originals: files.iter().map(|(_, text)| *text).collect(),
            options,
            pages,
            drafts: Vec::new(),
        }
    }
}

/// One rule with what stands around it.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) options: &'a Options,
    pub(crate) pages: &'a dyn Pages,
    pub(crate) records: &'a Records<'a>,
    pub(crate) file: &'a RuleFile,
    pub(crate) group: &'a Group,
    pub(crate) rule: &'a Rule,
    /// Positions of file, group and rule.
    pub(crate) at: (usize, usize, usize),
}

impl<'a> Subject<'a> {
    /// What its severity means; `None` when it has none, or one that is not known.
    pub(crate) fn priority(&self) -> Option<Priority> {
        let (_, severity) = self.rule.label("severity")?;
        self.options.severities.priority(&severity.value)
    }

    /// A finding about a stretch of the file.
    pub(crate) fn finding(
        &self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Draft {
        let severity = Check::find(code).map_or(Severity::Error, |check| check.severity);
        let (file, group, rule) = self.at;
        let about = Some((group, Some(rule)));
        Draft { code, severity, file, about, span, message: message.into(), hint: None }
    }

    /// A finding about the rule as a whole: it points to its name.
    pub(crate) fn about(&self, code: &'static str, message: impl Into<String>) -> Draft {
        self.finding(code, self.rule.name.span(), message)
    }

    /// A finding about a piece of the expression.
    pub(crate) fn in_expr(
        &self,
        code: &'static str,
        at: Span,
        message: impl Into<String>,
    ) -> Draft {
        let span = match &self.rule.expr {
            Some(expr) => expr.text.place(&self.file.text, at),
            None => self.rule.name.span(),
        };
        self.finding(code, span, message)
    }

    /// A finding about byte `offset` of a text, up to the end of the word.
    pub(crate) fn in_text(
        &self,
        code: &'static str,
        text: &Text,
        offset: usize,
        message: impl Into<String>,
    ) -> Draft {
        let rest = &text.value[offset.min(text.value.len())..];
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '$' | '.' | '_');
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len()).max(1);
        let piece = Span::new(offset, offset + length);
        self.finding(code, text.place(&self.file.text, piece), message)
    }

    /// The expression's text of a piece, on one line.
    pub(crate) fn quote(&self, at: Span) -> String {
        let text = self.rule.expr.as_ref().map_or("", |expr| at.text(&expr.text.value));
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(70) {
            Some((cut, _)) => format!("{}…", &line[..cut]),
            None => line,
        }
    }
}

impl Draft {
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// Recorded metrics and the rules that record them.
#[derive(Default)]
pub(crate) struct Records<'a> {
    by_name: HashMap<&'a str, Vec<&'a Rule>>,
}

impl<'a> Records<'a> {
    pub(crate) fn of(files: &'a [RuleFile]) -> Self {
        let mut by_name: HashMap<&str, Vec<&Rule>> = HashMap::new();
        let rules = files.iter().flat_map(|f| &f.groups).flat_map(|g| &g.rules);
        for rule in rules.filter(|rule| !rule.is_alert) {
            by_name.entry(&rule.name.value).or_default().push(rule);
        }
        Self { by_name }
    }

    /// The rules that record a metric.
    pub(crate) fn rules(&self, name: &str) -> &[&'a Rule] {
        self.by_name.get(name).map_or(&[], |rules| rules)
    }

    /// The expressions that a metric is recorded from; empty when one of them cannot be read.
    pub(crate) fn expressions(&self, name: &str) -> Vec<&'a Expr> {
        let all: Option<Vec<&Expr>> = self.rules(name).iter().map(|rule| rule.ast()).collect();
        all.unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}
