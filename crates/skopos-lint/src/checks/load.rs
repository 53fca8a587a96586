//! `yaml/parse`, `promql/syntax`, `rule/schema`, and templates that do not parse: what Prometheus
//! would refuse, as the rule loader tells it.

use skopos_alerting::rules::{RuleError, load_with};

use crate::Severity;
use crate::context::{Context, Draft};

pub(super) fn check(context: &Context<'_>, found: &mut Vec<Draft>) {
    for (at, file) in context.files.iter().enumerate() {
        let given = [(file.path.as_str(), file.text.as_str())];
        let Err(errors) = load_with(&given, &context.options.language) else { continue };
        for error in errors {
            let RuleError { message, hint, width, .. } = &error;
            let start = offset(&file.text, error.line, error.column);
            let line = file.text[start..].split('\n').next().unwrap_or("");
            let length = line.char_indices().nth(*width).map_or(line.len(), |(end, _)| end);
            let code = match error.code {
                "yaml" => "yaml/parse",
                "promql" => "promql/syntax",
                "template" => "alerts/template",
                _ => "rule/schema",
            };
            found.push(Draft {
                code,
                severity: Severity::Error,
                file: at,
                about: None,
                span: start..start + length,
                message: message.clone(),
                hint: hint.clone(),
            });
        }
    }
}

/// Byte of a line and column, both from 1.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = text.get(start..).unwrap_or("");
    let within = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(i, _)| i);
    (start + within).min(text.len())
}
