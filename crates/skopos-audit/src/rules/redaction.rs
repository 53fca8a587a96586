//! COL004: what code puts on spans, and what the Collector takes out again.

use std::collections::BTreeSet;

use super::collector::{collectors, processors_span};
use crate::{Case, FactKind, File, Span, Verdicts};

/// COL004: the service sends what nobody should read, and the pipeline lets it pass.
pub(super) fn redaction(case: &Case<'_>, verdicts: &mut Verdicts) {
    let redactor = skopos_redact::Redactor::default();
    let collectors: Vec<_> = collectors(case)
        .into_iter()
        .filter(|(_, c)| c.pipelines.iter().any(|p| p.signal() == "traces"))
        .collect();
    let attributes: Vec<(&File, Span, &str)> = case
        .facts()
        .filter_map(|(file, fact)| match &fact.kind {
            FactKind::SpanAttribute(field) => Some((file, field.span, field.name.as_deref()?)),
            _ => None,
        })
        .filter(|(_, _, name)| is_sensitive(&redactor, name))
        .collect();
    if collectors.is_empty() || attributes.is_empty() {
        verdicts.not_applicable();
        return;
    }
    let mut seen = BTreeSet::new();
    for (code, span, name) in attributes {
        if !seen.insert(name) {
            continue;
        }
        for (file, collector) in &collectors {
            match collector.takes_out("traces", name) {
                Some(at) => verdicts.mitigated(
                    Some(code.place(span)),
                    file.place(at),
                    format!("`{name}` is put on spans and taken out by the Collector"),
                ),
                None => {
                    let traces = collector.pipelines.iter().find(|p| p.signal() == "traces");
                    let at = traces.map_or(collector.span, processors_span);
                    verdicts.finding(
                        file.place(at),
                        format!("`{name}` (put on spans in {}) passes this pipeline: no processor takes it out", code.path),
                    );
                }
            }
        }
    }
}

/// Names whose values nobody should read: those of the redactor, and those of persons.
fn is_sensitive(redactor: &skopos_redact::Redactor, name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let persons = [
        "email",
        "e_mail",
        "phone",
        "phone_number",
        "ssn",
        "full_name",
        "address",
        "birthdate",
        "date_of_birth",
    ];
    redactor.redact_name(name)
        || redactor.redact_name(last)
        || persons.contains(&last.to_lowercase().as_str())
}
