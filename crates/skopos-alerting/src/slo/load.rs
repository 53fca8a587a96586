//! From files to objectives: documents of either kind, references between them, unique names.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use skopos_promql::ParseOptions;

use super::indicator::Mistake;
use super::{Budgeting, Indicator, Slo, SloSet, millis, native, openslo};
use crate::rules::RuleError;
use crate::rules::load::Reader;
use crate::rules::yaml::{self, Node, NodeKind};

/// Reads specifications given as (path, text). Either every objective of every file is valid, or
/// all errors of all files are returned.
///
/// A file holds any number of YAML documents; a document is an objective in the native form, a
/// list of such, a mapping with the list under `slos`, or an object of OpenSLO v1. Objects of OpenSLO refer to
/// each other across files.
pub fn load(files: &[(&str, &str)]) -> Result<SloSet, Vec<RuleError>> {
    load_with(files, &ParseOptions::default())
}

/// Like [`load`], with a say in which parts of PromQL may be used.
pub fn load_with(
    files: &[(&str, &str)],
    language: &ParseOptions,
) -> Result<SloSet, Vec<RuleError>> {
    let mut ids: Vec<HashMap<u64, usize>> = vec![HashMap::new(); files.len()];
    let mut readers: Vec<Reader<'_>> = files
        .iter()
        .zip(&mut ids)
        .map(|((path, text), group_ids)| Reader {
            path,
            text,
            language,
            errors: Vec::new(),
            group_ids,
        })
        .collect();
    let mut found: Vec<(usize, Rc<Node>, Slo)> = Vec::new();
    let mut objects = openslo::Objects::default();
    for (file, reader) in readers.iter_mut().enumerate() {
        for document in documents(reader) {
            if openslo::is_openslo(&document) {
                objects.collect(reader, file, &document);
                continue;
            }
            for node in native_nodes(reader, &document) {
                if let Some(slo) = native::read(reader, &node) {
                    found.push((file, node, slo));
                }
            }
        }
    }
    found.extend(objects.read(&mut readers));
    found.sort_by_key(|(file, node, _)| (*file, node.span.start));

    let mut names: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut set = SloSet::default();
    for (file, node, slo) in found {
        match names.get(&slo.name) {
            Some((other, line)) => {
                let place = format!("{}:{line}", files[*other].0);
                let message = format!("objective {:?} exists already: {place}", slo.name);
                readers[file].error_on(&node, "duplicate", message);
            }
            None => {
                names.insert(slo.name.clone(), (file, slo.line));
                set.slos.push(Arc::new(slo));
            }
        }
    }
    let mut errors = Vec::new();
    for mut reader in readers {
        reader.errors.sort_by_key(|e| (e.line, e.column));
        errors.append(&mut reader.errors);
    }
    if errors.is_empty() { Ok(set) } else { Err(errors) }
}

fn documents(reader: &mut Reader<'_>) -> Vec<Rc<Node>> {
    match yaml::parse_all(reader.text) {
        Ok(documents) => documents,
        Err(error) => {
            match tab_of_indentation(reader.text, error.offset) {
                Some(offset) => {
                    let hint = Some("indent by spaces".to_string());
                    let message = "this line is indented by a tab, which YAML does not take";
                    reader.error_with_hint(offset, 1, "yaml", message, hint);
                }
                None => reader.error(error.offset, 1, "yaml", error.message),
            }
            Vec::new()
        }
    }
}

/// A tab before the text of the line of a mistake, or of the next: scanners blame the line before it.
fn tab_of_indentation(text: &str, mistake: usize) -> Option<usize> {
    let before = text.get(..mistake)?;
    let mut start = before.rfind('\n').map_or(0, |end| end + 1);
    for line in text[start..].split_inclusive('\n').take(2) {
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..indentation].find('\t') {
            return Some(start + tab);
        }
        start += line.len();
    }
    None
}

/// The objectives of a native document.
fn native_nodes(reader: &mut Reader<'_>, document: &Rc<Node>) -> Vec<Rc<Node>> {
    match &document.kind {
        NodeKind::Sequence(items) => items.clone(),
        NodeKind::Mapping(pairs) if pairs.iter().any(|(key, _)| key.text() == Some("slos")) => {
            let Some(fields) = reader.fields(document, &["slos"], "a file of objectives") else {
                return Vec::new();
            };
            fields.get("slos").map_or(Vec::new(), |(_, list)| reader.list(list, "slos").to_vec())
        }
        _ => vec![document.clone()],
    }
}

/// Reads arbitrary bytes as a specification; for fuzzing. Positions of errors must lie in the file,
/// and what loads must survive being written and read again.
pub fn fuzz_slo_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match load(&[("fuzz.yml", text)]) {
        Err(errors) => {
            for error in errors {
                let lines = text.split('\n').count();
                assert!((1..=lines).contains(&error.line), "{error:?}");
                let length = error.snippet.chars().count();
                assert!(error.column >= 1 && error.column <= length + 1, "{error:?}");
                let _ = error.to_string();
            }
        }
        Ok(set) => {
            for slo in &set.slos {
                let written = super::to_native(slo);
                let again = load(&[("fuzz.yml", &written)]);
                let again = again.unwrap_or_else(|e| panic!("{}\n{written}", e[0]));
                let mut want = Slo::clone(slo);
                want.line = again.slos[0].line;
                assert_eq!(*again.slos[0], want, "{written}");
            }
        }
    }
}

/// Reports a mistake inside a scalar at its place in the file.
pub(super) fn report(reader: &mut Reader<'_>, node: &Node, mistake: Mistake) {
    let start = node.source_offset(reader.text, mistake.offset);
    reader.error_with_hint(start, mistake.length, "promql", mistake.message, mistake.hint);
}

/// Reports a mistake about a whole node, with what to do.
pub(super) fn error_with_hint(
    reader: &mut Reader<'_>,
    node: &Node,
    code: &'static str,
    message: impl Into<String>,
    hint: impl Into<String>,
) {
    let raw = reader.text.get(node.span.clone()).unwrap_or("");
    let length = raw.trim_end().split('\n').next().unwrap_or("").chars().count();
    reader.error_with_hint(node.span.start, length, code, message, Some(hint.into()));
}

/// Line of a node, from 1.
pub(super) fn line_of(reader: &Reader<'_>, node: &Node) -> usize {
    reader.text[..node.span.start.min(reader.text.len())].matches('\n').count() + 1
}

/// A share: `99.9%` or `0.999`.
pub(super) fn share(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<f64> {
    let text = reader.string(node, key)?;
    let text = text.trim();
    let (number, divisor) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim(), 100.0),
        None => (text, 1.0),
    };
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() => Some(super::tidy(value / divisor)),
        _ => {
            let message = format!("`{key}` must be a share, found {text:?}");
            error_with_hint(reader, node, "value", message, "write `99.9%` or `0.999`");
            None
        }
    }
}

/// Refuses targets that promise nothing or too much.
pub(super) fn check_target(reader: &mut Reader<'_>, node: &Node, target: f64) -> Option<f64> {
    let (message, hint) = if target == 1.0 {
        let message = "a target of 100 % leaves no error budget: every failure breaks it, and no change may ever be \
                       deployed";
        (message.to_string(), "start at 99.9% and adjust to what users need".to_string())
    } else if target > 1.0 {
        let hint = format!("write `{target}%` for percent");
        (format!("a target is a share of good events, and {target} is more than all of them"), hint)
    } else if target <= 0.0 {
        ("a target must be above 0".to_string(), "start at 99.9%".to_string())
    } else if target > 0.999_999_9 {
        let message =
            "a target this close to 100 % allows less than one failure in ten million events";
        (message.to_string(), "start at 99.9% and adjust to what users need".to_string())
    } else {
        return Some(target);
    };
    error_with_hint(reader, node, "target", message, hint);
    None
}

/// Checks what only the whole objective shows: alerts that cannot fire, windows that do not fit, shares
/// without weights.
pub(super) fn check_whole(
    reader: &mut Reader<'_>,
    slo: &Slo,
    alerts_at: &Node,
    indicator_at: &Node,
) {
    for alert in &slo.alerts.burn {
        if let Some(message) = alert.cannot_fire(slo.target) {
            let hint =
                format!("leave it out (`alerts: {{{}: off}}`), or raise the target", alert.class);
            error_with_hint(reader, alerts_at, "unfireable", message, hint);
        }
        if alert.long > slo.window.nominal() {
            let window = crate::format_duration(alert.long);
            let message = format!(
                "the {} burn alert looks back {window}, beyond the objective's window",
                alert.class
            );
            error_with_hint(reader, alerts_at, "value", message, "choose a shorter window for it");
        }
        let narrowest = alert.short.unwrap_or(alert.long);
        if millis(narrowest) < millis(slo.slice()) {
            let message = format!(
                "the {} burn alert has a window of {}, narrower than a slice of {}",
                alert.class,
                crate::format_duration(narrowest),
                crate::format_duration(slo.slice())
            );
            error_with_hint(reader, alerts_at, "unfireable", message, "choose a narrower slice");
        }
    }
    let is_share = matches!(slo.indicator, Indicator::Ratio { .. });
    if is_share && slo.budgeting == Budgeting::Occurrences {
        let message =
            "a ratio does not say how many events there were, so occurrences cannot be counted";
        let hint = "give `bad` (or `good`) and `total`, or write `budgeting: ratio_timeslices`";
        error_with_hint(reader, indicator_at, "conflict", message, hint);
    }
}
