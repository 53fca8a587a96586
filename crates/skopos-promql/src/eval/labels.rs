//! `label_replace` and `label_join`. The length of a new value is known and charged before the
//! value is made: nested calls could otherwise multiply a short label beyond any memory.

mod replacement;

use skopos_model::METRIC_NAME;

use self::replacement::Replacement;
use super::{Evaluator, merge_duplicates};
use crate::error::EvalError;
use crate::plan::{Grid, Node, NodeKind};
use crate::span::Span;
use crate::value::Block;

fn text(node: Option<&Node>) -> Result<(&str, Option<&[u8]>), EvalError> {
    match node.map(|n| &n.kind) {
        Some(NodeKind::Text { value, invalid }) => Ok((value, invalid.as_deref())),
        _ => {
            let span = node.map(|n| n.span).unwrap_or_default();
            Err(EvalError::execution(span, "expected a string literal"))
        }
    }
}

/// A string argument that names a label: UTF-8 and not empty.
pub(super) fn label_param(node: &Node, func: &str) -> Result<String, EvalError> {
    let (name, invalid) = text(Some(node))?;
    if invalid.is_some() || name.is_empty() {
        let message = format!("invalid label name {name:?} in {func}()");
        return Err(EvalError::execution(node.span, message));
    }
    Ok(name.to_owned())
}

fn set_label(block: &mut Block, name: &str, value: &str) {
    let mut labels = block.labels.to_builder();
    labels.set(name, value);
    block.labels = labels.build();
    if name == METRIC_NAME {
        // A name given on purpose stays.
        block.drop_name = false;
    }
}

impl Evaluator<'_> {
    pub(super) fn label_replace(
        &mut self,
        args: &[Node],
        span: Span,
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        let [arg, target, replacement, source, pattern] = args else {
            return Err(EvalError::execution(span, "label_replace takes five arguments"));
        };
        let (pattern_text, _) = text(Some(pattern))?;
        let regex = skopos_model::re2::anchored_regex(pattern_text).map_err(|_| {
            let message = format!("invalid regular expression in label_replace(): {pattern_text}");
            EvalError::execution(pattern.span, message)
        })?;
        let (target_name, invalid) = text(Some(target))?;
        if invalid.is_some() || target_name.is_empty() {
            let message =
                format!("invalid destination label name in label_replace(): {target_name}");
            return Err(EvalError::execution(target.span, message));
        }
        let (replacement_text, _) = text(Some(replacement))?;
        let replacement = Replacement::new(replacement_text, &regex);
        let (source, _) = text(Some(source))?;
        let mut blocks = self.vector(arg, grid)?;
        for block in &mut blocks {
            self.budget.check()?;
            let Some(captures) = regex.captures(block.labels.value(source)) else { continue };
            let bytes = replacement.expanded_bytes(&captures);
            self.charge_label(&block.labels, target_name, bytes, "label_replace", span)?;
            let value = replacement.expand(&captures);
            set_label(block, target_name, &value);
        }
        merge_duplicates(blocks, span)
    }

    pub(super) fn label_join(
        &mut self,
        args: &[Node],
        span: Span,
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        let [arg, target, separator, sources @ ..] = args else {
            return Err(EvalError::execution(span, "label_join takes three arguments or more"));
        };
        let (target_name, invalid) = text(Some(target))?;
        if invalid.is_some() || target_name.is_empty() {
            let message = format!("invalid destination label name in label_join(): {target_name}");
            return Err(EvalError::execution(target.span, message));
        }
        let (separator, _) = text(Some(separator))?;
        let mut names = Vec::with_capacity(sources.len());
        for source in sources {
            let (name, invalid) = text(Some(source))?;
            if invalid.is_some() || name.is_empty() {
                let message = format!("invalid source label name in label_join(): {name}");
                return Err(EvalError::execution(source.span, message));
            }
            names.push(name);
        }
        let separators = separator.len().saturating_mul(names.len().saturating_sub(1));
        let mut blocks = self.vector(arg, grid)?;
        for block in &mut blocks {
            self.budget.check()?;
            let values: Vec<&str> = names.iter().map(|name| block.labels.value(name)).collect();
            let bytes =
                values.iter().map(|value| value.len()).fold(separators, usize::saturating_add);
            self.charge_label(&block.labels, target_name, bytes, "label_join", span)?;
            let joined = values.join(separator);
            set_label(block, target_name, &joined);
        }
        merge_duplicates(blocks, span)
    }
}
