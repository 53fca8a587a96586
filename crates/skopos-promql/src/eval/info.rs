//! `info`: adds labels from info series (such as `target_info`) that share `job` and `instance`.

use std::collections::{BTreeMap, HashMap};

use skopos_model::{Labels, METRIC_NAME};

use super::counted::Apart;
use super::select::Reads;
use super::{Evaluator, merge_duplicates};
use crate::error::EvalError;
use crate::format::format_labels;
use crate::plan::{Grid, InfoNode};
use crate::span::Span;
use crate::value::{Block, Column};

/// The labels that tie a series to its info series.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

fn identity(labels: &Labels) -> Option<[String; 2]> {
    let values = IDENTIFYING.map(|name| labels.value(name).to_owned());
    values.iter().any(|v| !v.is_empty()).then_some(values)
}

/// An info series with its sample times per step.
struct InfoSeries {
    labels: Labels,
    times: Column,
}

impl Evaluator<'_> {
    pub(super) fn info(
        &mut self,
        node: &InfoNode,
        span: Span,
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        let base = self.vector(&node.base, grid)?;
        let values = self.instant(&node.info, grid, Reads::Value)?;
        if values.iter().any(|b| b.column.has_histograms()) {
            let message = "this should be an info metric, with float samples";
            return Err(EvalError::execution(span, message));
        }
        // The same samples again, so they do not count again.
        let read_times = |this: &mut Self| this.instant(&node.info, grid, Reads::Time);
        let times = self.counted_apart(Apart::Uncounted(grid), read_times)?;
        let mut by_identity: HashMap<[String; 2], Vec<InfoSeries>> = HashMap::new();
        for block in times {
            if let Some(identity) = identity(&block.labels) {
                let series = InfoSeries { labels: block.labels, times: block.column };
                by_identity.entry(identity).or_default().push(series);
            }
        }
        let mut out: Vec<Block> = Vec::new();
        let mut index: HashMap<(Labels, bool), usize> = HashMap::new();
        for block in base {
            self.budget.check()?;
            let name = block.labels.metric_name();
            let is_info = node.name_matchers.iter().all(|m| m.matches(name));
            let related = identity(&block.labels).and_then(|id| by_identity.get(&id));
            for step in block.column.present.ones() {
                let labels = if is_info {
                    block.labels.clone()
                } else {
                    let related = related.map_or(&[][..], Vec::as_slice);
                    match enrich(node, &block.labels, related, step, span)? {
                        Some(labels) => labels,
                        None => continue,
                    }
                };
                let key = (labels, block.drop_name);
                let at = match index.get(&key) {
                    Some(at) => *at,
                    None => {
                        self.charge(1, grid)?;
                        self.charge_labels(&key.0)?;
                        let (labels, column) = (key.0.clone(), Column::empty(grid.steps));
                        out.push(Block { labels, drop_name: block.drop_name, column });
                        index.insert(key, out.len() - 1);
                        out.len() - 1
                    }
                };
                if out[at].column.present.get(step) {
                    let message = "vector cannot contain metrics with the same labelset";
                    return Err(EvalError::execution(span, message));
                }
                if let Some(value) = block.column.sample(step) {
                    out[at].column.set_value(step, value);
                }
            }
        }
        if self.params.delayed_name_removal { Ok(out) } else { merge_duplicates(out, span) }
    }
}

/// The labels of a base series with those of its info series at a step; `None` when the series is
/// filtered out.
fn enrich(
    node: &InfoNode,
    base: &Labels,
    related: &[InfoSeries],
    step: usize,
    span: Span,
) -> Result<Option<Labels>, EvalError> {
    // Of several series of one info metric, the one with the newest sample holds.
    let mut newest: BTreeMap<&str, (f64, &Labels)> = BTreeMap::new();
    for series in related {
        let Some(time) = series.times.float(step) else { continue };
        let metric = series.labels.metric_name();
        match newest.get(metric) {
            Some((earlier, _)) if *earlier > time => {}
            Some((earlier, labels)) if *earlier == time => {
                let message = format!(
                    "found duplicate series for info metric: existing {} @ {time}, new {} @ {time}",
                    format_labels(labels),
                    format_labels(&series.labels)
                );
                return Err(EvalError::execution(span, message));
            }
            _ => {
                newest.insert(metric, (time, &series.labels));
            }
        }
    }
    if newest.is_empty() {
        // A condition that needs a value cannot be met without an info series.
        let all_optional = node.data_matchers.iter().all(|m| m.matches_empty());
        return Ok(all_optional.then(|| base.clone()));
    }
    let wanted = |name: &str| {
        name != METRIC_NAME
            && base.get(name).is_none()
            && (node.data_matchers.is_empty()
                || node.data_matchers.iter().any(|m| m.name() == name))
    };
    let mut labels = base.to_builder();
    for (_, info) in newest.values() {
        for (name, value) in info.iter().filter(|(name, _)| wanted(name)) {
            if labels.get(name).is_some_and(|other| other != value) {
                let message = format!("conflicting label: {name}");
                return Err(EvalError::execution(span, message));
            }
            labels.set(name, value);
        }
    }
    Ok(Some(labels.build()))
}
