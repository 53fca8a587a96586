//! `sort…`: order of instant results. Range results are always in label order.

use std::cmp::Ordering;

use super::Evaluator;
use crate::annotations::Remark;
use crate::error::EvalError;
use crate::plan::{Grid, Node};
use crate::span::Span;
use crate::value::Block;

impl Evaluator<'_> {
    fn sorts(&mut self, span: Span) -> bool {
        if self.params.is_range() {
            self.note(Remark::SortInRangeQuery, span);
        }
        !self.params.is_range()
    }

    pub(super) fn sort_by_value(
        &mut self,
        arg: &Node,
        descending: bool,
        span: Span,
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        let mut blocks = self.vector(arg, grid)?;
        for block in &mut blocks {
            block.column.drop_histograms();
        }
        blocks.retain(|b| b.column.any());
        if self.sorts(span) && grid.steps == 1 {
            // NaN comes last in both directions.
            blocks.sort_by(|a, b| {
                let (a, b) = (a.column.values[0], b.column.values[0]);
                match a.partial_cmp(&b) {
                    Some(order) if descending => order.reverse(),
                    Some(order) => order,
                    None => a.is_nan().cmp(&b.is_nan()),
                }
            });
        }
        Ok(blocks)
    }

    pub(super) fn sort_by_label(
        &mut self,
        arg: &Node,
        names: &[Node],
        func: &str,
        descending: bool,
        span: Span,
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        let mut blocks = self.vector(arg, grid)?;
        let names = names
            .iter()
            .map(|name| super::labels::label_param(name, func))
            .collect::<Result<Vec<_>, _>>()?;
        if self.sorts(span) {
            blocks.sort_by(|a, b| {
                let by_names = names
                    .iter()
                    .map(|name| natural_order(a.labels.value(name), b.labels.value(name)));
                let order = by_names
                    .fold(Ordering::Equal, Ordering::then)
                    .then_with(|| a.labels.cmp(&b.labels));
                if descending { order.reverse() } else { order }
            });
        }
        Ok(blocks)
    }
}

/// Compares texts so that runs of digits count as numbers: `cpu2` before `cpu10`.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        let (chunk_a, rest_a) = chunk(a);
        let (chunk_b, rest_b) = chunk(b);
        let is_number = |s: &str| s.starts_with(|c: char| c.is_ascii_digit());
        let order = if is_number(chunk_a) && is_number(chunk_b) {
            let (x, y) = (chunk_a.trim_start_matches('0'), chunk_b.trim_start_matches('0'));
            // More digits, larger number; leading zeros only break ties.
            x.len().cmp(&y.len()).then(x.cmp(y)).then(chunk_b.len().cmp(&chunk_a.len()))
        } else {
            chunk_a.cmp(chunk_b)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The leading run of digits or of other characters.
fn chunk(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_within_text_count() {
        let mut values = vec!["cpu10", "cpu2", "cpu1a", "cpu", "a", "cpu01", "10", "9"];
        values.sort_by(|a, b| natural_order(a, b));
        assert_eq!(values, ["9", "10", "a", "cpu", "cpu01", "cpu1a", "cpu2", "cpu10"]);
    }
}
