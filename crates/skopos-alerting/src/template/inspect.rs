//! What a template uses of its alert, without expanding it: for checks of rule files.

use super::Template;
use super::parser::{Branch, Node, Operand, Pipeline, Term};
use super::value::Value;

/// One use of the alert's value or of a label of its element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// What is used.
    pub kind: UseKind,
    /// Byte offset in the template.
    pub offset: usize,
    /// The functions that it passes through before it is printed, innermost first.
    pub functions: Vec<String>,
}

/// What a template uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UseKind {
    /// `$value`, `.Value`.
    Value,
    /// `$labels.job`, `.Labels.job`, `index $labels "job"`.
    Label(String),
}

impl Template {
    /// Every use of `$value` and of a single label, in the order of the text. What only bodies of
    /// `range`, `with` and `define` call by `.` is left out: there it may be anything.
    pub fn uses(&self) -> Vec<Use> {
        let mut found = Vec::new();
        nodes(&self.parsed.body, true, &mut found);
        for body in self.parsed.defined.values() {
            nodes(body, false, &mut found);
        }
        found.sort_by_key(|one| one.offset);
        found
    }

    /// The templates that are called and nowhere defined in this text, with the byte offset of each
    /// call: expanding them fails.
    pub fn undefined(&self) -> impl Iterator<Item = (&str, usize)> {
        let calls = self.parsed.called.iter();
        let calls = calls.filter(|(name, _)| !self.parsed.defined.contains_key(name));
        calls.map(|(name, offset)| (name.as_str(), *offset))
    }
}

fn nodes(all: &[Node], dot_is_alert: bool, found: &mut Vec<Use>) {
    for node in all {
        match node {
            Node::Action(action) => pipeline(action, dot_is_alert, &[], found),
            Node::If(branch) => in_branch(branch, dot_is_alert, dot_is_alert, found),
            Node::With(branch) | Node::Range(branch) => {
                in_branch(branch, dot_is_alert, false, found);
            }
            Node::Template { argument: Some(argument), .. } => {
                pipeline(argument, dot_is_alert, &[], found);
            }
            Node::Text(_)
            | Node::Template { argument: None, .. }
            | Node::Break
            | Node::Continue => {}
        }
    }
}

fn in_branch(branch: &Branch, outside: bool, inside: bool, found: &mut Vec<Use>) {
    pipeline(&branch.pipeline, outside, &[], found);
    nodes(&branch.body, inside, found);
    nodes(&branch.otherwise, outside, found);
}

fn pipeline(pipeline: &Pipeline, dot_is_alert: bool, outer: &[String], found: &mut Vec<Use>) {
    for (at, command) in pipeline.commands.iter().enumerate() {
        let Some((first, rest)) = command.operands.split_first() else { continue };
        let function = function_of(first);
        // What comes through a pipe passes the later commands, and what stands around the parentheses.
        let later = pipeline.commands.iter().skip(at + 1);
        let mut through: Vec<String> =
            later.filter_map(|c| c.operands.first().and_then(function_of)).collect();
        through.extend(outer.iter().cloned());
        if function.as_deref() == Some("index")
            && let [subject, label] = rest
            && is_labels(subject, dot_is_alert)
            && let Term::Literal(Value::Text(name)) = &label.term
        {
            let kind = UseKind::Label(name.to_string());
            found.push(Use { kind, offset: subject.offset, functions: through });
            continue;
        }
        let inner: Vec<String> = function.clone().into_iter().chain(through.clone()).collect();
        for (i, operand) in command.operands.iter().enumerate() {
            let functions = if i == 0 && function.is_none() { &through } else { &inner };
            if let Term::Parens(within) = &operand.term {
                self::pipeline(within, dot_is_alert, functions, found);
            }
            if let Some(kind) = kind_of(operand, dot_is_alert) {
                found.push(Use { kind, offset: operand.offset, functions: functions.clone() });
            }
        }
    }
}

fn function_of(operand: &Operand) -> Option<String> {
    match &operand.term {
        Term::Function(name) => Some(name.clone()),
        _ => None,
    }
}

fn is_labels(operand: &Operand, dot_is_alert: bool) -> bool {
    match (&operand.term, &*operand.fields) {
        (Term::Variable(name), []) => name == "labels",
        (Term::Dot, [field]) => dot_is_alert && field == "Labels",
        _ => false,
    }
}

fn kind_of(operand: &Operand, dot_is_alert: bool) -> Option<UseKind> {
    match (&operand.term, &*operand.fields) {
        (Term::Variable(name), []) if name == "value" => Some(UseKind::Value),
        (Term::Variable(name), [label, ..]) if name == "labels" => {
            Some(UseKind::Label(label.clone()))
        }
        // `$` is the alert everywhere.
        (Term::Variable(name), [field, rest @ ..]) if name.is_empty() => field_use(field, rest),
        (Term::Dot, [field, rest @ ..]) if dot_is_alert => field_use(field, rest),
        _ => None,
    }
}

fn field_use(field: &str, rest: &[String]) -> Option<UseKind> {
    match (field, rest) {
        ("Value", []) => Some(UseKind::Value),
        ("Labels", [label, ..]) => Some(UseKind::Label(label.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_with_what_they_pass_through() {
        let cases = [
            ("{{ $value }}", "value"),
            ("{{ $value | humanize }}", "value humanize"),
            (r#"{{ printf "%.2f" $value }}%"#, "value printf"),
            ("{{ humanize (printf \"%f\" $value) }}", "value printf humanize"),
            (
                "{{ .Value | humanizePercentage }} {{ .Labels.job }}",
                "value humanizePercentage, job",
            ),
            ("{{ $labels.job }} on {{ index $labels \"a b\" | toUpper }}", "job, a b toUpper"),
            ("{{ if $labels.x }}{{ .Labels.y }}{{ else }}{{ .Value }}{{ end }}", "x, y, value"),
            (
                "{{ range query \"up\" }}{{ .Labels.no }}{{ .Value }}{{ $labels.yes }}{{ end }}",
                "yes",
            ),
            ("{{ with $labels.a }}{{ . }}{{ end }}", "a"),
            ("plain", ""),
        ];
        for (text, want) in cases {
            let uses = Template::parse(text).unwrap().uses();
            let shown: Vec<String> = uses
                .iter()
                .map(|one| {
                    let what = match &one.kind {
                        UseKind::Value => "value",
                        UseKind::Label(name) => name,
                    };
                    [what]
                        .into_iter()
                        .chain(one.functions.iter().map(String::as_str))
                        .collect::<Vec<_>>()
                        .join(" ")
                })
                .collect();
            assert_eq!(shown.join(", "), want, "{text}");
            for one in uses {
                assert!(text.is_char_boundary(one.offset) && one.offset < text.len());
            }
        }
    }
}
