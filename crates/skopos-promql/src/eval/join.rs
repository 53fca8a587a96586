//! Operators between two vectors. Who may match whom is resolved once from labels; at each step
//! only presence is left to ask. Duplicates are an error only where both are present.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use skopos_model::Labels;

use super::binary::{Outcome, drops_name};
use super::key::Keys;
use super::{Evaluator, IDENTITY, any_present, merge_duplicates};
use crate::ast::{BinaryOp, Cardinality, VectorMatching};
use crate::error::EvalError;
use crate::format::format_labels;
use crate::plan::{BinaryNode, Grid};
use crate::span::Span;
use crate::value::{Bitmap, Block, Cell, Column};

/// Whether series are matched on a label.
fn is_matched(name: &str, matching: &VectorMatching) -> bool {
    let listed = matching.labels.iter().any(|l| l == name);
    if matching.on { listed } else { !IDENTITY.contains(&name) && !listed }
}

/// The labels on which a series is matched.
fn match_labels(labels: &Labels, matching: &VectorMatching) -> Labels {
    labels.filtered(|name| is_matched(name, matching))
}

/// The series of both sides that share a match key, by index.
#[derive(Default)]
struct Pairing {
    left: Vec<usize>,
    right: Vec<usize>,
}

fn pair_up(left: &[Block], right: &[Block], matching: &VectorMatching) -> Vec<Pairing> {
    let mut pairings: Vec<Pairing> = Vec::new();
    let mut index: HashMap<u128, usize> = HashMap::with_capacity(left.len());
    let mut keys = Keys::default();
    for (side, blocks) in [left, right].into_iter().enumerate() {
        for (i, block) in blocks.iter().enumerate() {
            let key = keys.of(&block.labels, |name| is_matched(name, matching));
            let at = *index.entry(key).or_insert_with(|| {
                pairings.push(Pairing::default());
                pairings.len() - 1
            });
            let members = if side == 0 { &mut pairings[at].left } else { &mut pairings[at].right };
            members.push(i);
        }
    }
    pairings
}

impl Evaluator<'_> {
    pub(super) fn set_operator(
        &mut self,
        node: &BinaryNode,
        mut left: Vec<Block>,
        mut right: Vec<Block>,
        span: Span,
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        let matching = node.matching.clone().unwrap_or_default();
        for pairing in pair_up(&left, &right, &matching) {
            self.budget.check()?;
            if node.op == BinaryOp::Or {
                let present = any_present(pairing.left.iter().map(|i| &left[*i]), grid.steps);
                for i in pairing.right {
                    right[i].column.present.subtract(&present);
                }
                continue;
            }
            let present = any_present(pairing.right.iter().map(|i| &right[*i]), grid.steps);
            for i in pairing.left {
                let own = &mut left[i].column.present;
                if node.op == BinaryOp::And {
                    own.intersect(&present);
                } else {
                    own.subtract(&present);
                }
            }
        }
        if node.op != BinaryOp::Or {
            left.retain(|b| b.column.any());
            return Ok(left);
        }
        left.append(&mut right);
        left.retain(|b| b.column.any());
        if self.params.delayed_name_removal { Ok(left) } else { merge_duplicates(left, span) }
    }

    pub(super) fn join(
        &mut self,
        node: &BinaryNode,
        left: Vec<Block>,
        right: Vec<Block>,
        span: Span,
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        let default = VectorMatching::default();
        let matching = node.matching.as_ref().unwrap_or(&default);
        // From here on the "many" side is the first.
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let pairings = pair_up(&many, &one, matching);
        // As in Prometheus, `fill_left` means the first side in this sense: with `group_right` it
        // fills the many side, which stands on the right.
        let (fill_many, fill_one) =
            (matching.fill_left.map(|f| f.0), matching.fill_right.map(|f| f.0));
        let mut join = Join {
            node,
            matching,
            swapped,
            span,
            // A step at which one side has nothing at all matches nothing, so nothing fails there.
            many_any: any_present(&many, grid.steps),
            one_any: any_present(&one, grid.steps),
            fill_many,
            fill_one,
            out: Vec::new(),
            index: HashMap::new(),
            latest: vec![None; many.len()],
            delayed: self.params.delayed_name_removal,
            many,
            one,
            drops: drops_name(node.op, node.return_bool),
            steps: grid.steps,
        };
        for pairing in &pairings {
            self.budget.check()?;
            if !join.plain_pair(self, pairing, grid)? {
                for step in 0..grid.steps {
                    join.step(self, pairing, step)?;
                }
            }
        }
        let mut out = join.out;
        out.retain(|b| b.column.any());
        for block in &out {
            self.charge_histograms(&block.column)?;
        }
        Ok(out)
    }
}

struct Join<'a> {
    node: &'a BinaryNode,
    matching: &'a VectorMatching,
    swapped: bool,
    span: Span,
    many: Vec<Block>,
    one: Vec<Block>,
    many_any: Bitmap,
    one_any: Bitmap,
    fill_many: Option<f64>,
    fill_one: Option<f64>,
    out: Vec<Block>,
    /// Results by labels and whether the name is to go.
    index: HashMap<(Labels, bool), usize>,
    /// By series of the many side: its latest partner and where their results go. Partners change
    /// seldom, and labels cost more than all else of a step.
    latest: Vec<Option<(Option<usize>, usize)>>,
    delayed: bool,
    drops: bool,
    steps: usize,
}

impl Join<'_> {
    /// The common case, one float series on the "one" side, whole columns at a time. Whether it was
    /// one.
    fn plain_pair(
        &mut self,
        evaluator: &Evaluator<'_>,
        pairing: &Pairing,
        grid: Grid,
    ) -> Result<bool, EvalError> {
        let no_fill = self.fill_many.is_none() && self.fill_one.is_none();
        let &[one] = pairing.right.as_slice() else {
            // Without a partner and without filling there is nothing to do.
            return Ok(pairing.right.is_empty() && no_fill);
        };
        let is_plain = |block: &Block| !block.column.has_histograms();
        let is_single = self.matching.cardinality == Cardinality::OneToOne;
        if !no_fill
            || (is_single && pairing.left.len() > 1)
            || !is_plain(&self.one[one])
            || !pairing.left.iter().all(|i| is_plain(&self.many[*i]))
            || matches!(self.node.op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
        {
            return Ok(false);
        }
        for &many in &pairing.left {
            evaluator.charge(1, grid)?;
            let column = self.plain_column(many, one);
            if !column.any() {
                evaluator.release(1, grid);
                continue;
            }
            evaluator.charge_labels(&self.many[many].labels)?;
            let (labels, drop_name) = self.result_labels(&self.many[many], Some(&self.one[one]));
            match self.index.entry((labels.clone(), drop_name)) {
                Entry::Vacant(entry) => {
                    entry.insert(self.out.len());
                    self.out.push(Block { labels, drop_name, column });
                }
                Entry::Occupied(entry) => {
                    let earlier = &mut self.out[*entry.get()].column;
                    if earlier.present.overlaps(&column.present) {
                        return Err(self.not_unique());
                    }
                    earlier.absorb(column);
                }
            }
        }
        Ok(true)
    }

    /// What two series of floats come to.
    fn plain_column(&self, many: usize, one: usize) -> Column {
        let (a, b) = (&self.many[many].column, &self.one[one].column);
        let mut present = a.present.clone();
        present.intersect(&b.present);
        let op = self.node.op;
        let sides = |(x, y): (&f64, &f64)| if self.swapped { (*y, *x) } else { (*x, *y) };
        let pairs = a.values.iter().zip(&b.values).map(sides);
        if !op.is_comparison() || self.node.return_bool {
            let values = pairs.map(|(lhs, rhs)| op.arithmetic(lhs, rhs)).collect();
            return Column { values, present, histograms: Vec::new() };
        }
        let mut values = Vec::with_capacity(self.steps);
        for (i, (lhs, rhs)) in pairs.enumerate() {
            if !op.compare(lhs, rhs) {
                present.clear(i);
            }
            values.push(lhs);
        }
        Column { values, present, histograms: Vec::new() }
    }

    fn not_unique(&self) -> EvalError {
        let message = if self.matching.cardinality == Cardinality::OneToOne {
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
        } else {
            "multiple matches for labels: grouping labels must ensure unique matches"
        };
        EvalError::execution(self.span, message)
    }

    /// The place of a result with these labels.
    fn slot(
        &mut self,
        evaluator: &Evaluator<'_>,
        labels: Labels,
        drop_name: bool,
    ) -> Result<usize, EvalError> {
        Ok(match self.index.entry((labels, drop_name)) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let labels = entry.key().0.clone();
                evaluator.charge_labels(&labels)?;
                evaluator.budget.charge_bytes(self.steps as u64 * 8 + 64)?;
                self.out.push(Block { labels, drop_name, column: Column::empty(self.steps) });
                *entry.insert(self.out.len() - 1)
            }
        })
    }

    fn step(
        &mut self,
        evaluator: &mut Evaluator<'_>,
        pairing: &Pairing,
        step: usize,
    ) -> Result<(), EvalError> {
        let (has_many, has_one) = (self.many_any.get(step), self.one_any.get(step));
        let can_match =
            (has_many || self.fill_many.is_some()) && (has_one || self.fill_one.is_some());
        if !can_match {
            return Ok(());
        }
        let mut partners =
            pairing.right.iter().copied().filter(|i| self.one[*i].column.present.get(step));
        let partner = partners.next();
        if let (Some(first), Some(second)) = (partner, partners.next()) {
            return Err(self.duplicates(first, second));
        }
        let is_single = self.matching.cardinality == Cardinality::OneToOne;
        let (mut matched, mut produced) = (false, false);
        for &i in &pairing.left {
            if !self.many[i].column.present.get(step) {
                continue;
            }
            matched = true;
            let filled = self.fill_one.map(Cell::Float);
            let Some(cell) = self.many[i].column.cell(step) else { continue };
            let other = partner.and_then(|p| self.one[p].column.cell(step)).or(filled);
            let Some(other) = other else { continue };
            let (lhs, rhs) = if self.swapped { (other, cell) } else { (cell, other) };
            let outcome =
                evaluator.operate(self.node.op, self.node.return_bool, lhs, rhs, self.span);
            let Outcome::Value(value) = outcome else { continue };
            // One to one, whatever labels the results would have.
            if is_single && std::mem::replace(&mut produced, true) {
                return Err(self.not_unique());
            }
            let at = match self.latest[i] {
                Some((latest, at)) if latest == partner => at,
                _ => {
                    let (labels, drop_name) =
                        self.result_labels(&self.many[i], partner.map(|p| &self.one[p]));
                    let at = self.slot(evaluator, labels, drop_name)?;
                    self.latest[i] = Some((partner, at));
                    at
                }
            };
            if self.out[at].column.present.get(step) {
                return Err(self.not_unique());
            }
            self.out[at].column.set_value(step, value);
        }
        if let (false, Some(fill), Some(partner)) = (matched, self.fill_many, partner) {
            let Some(other) = self.one[partner].column.cell(step) else { return Ok(()) };
            let filled = Cell::Float(fill);
            let (lhs, rhs) = if self.swapped { (other, filled) } else { (filled, other) };
            let outcome =
                evaluator.operate(self.node.op, self.node.return_bool, lhs, rhs, self.span);
            if let Outcome::Value(value) = outcome {
                // The missing series would have had at least the labels matched on.
                let stand_in = Block {
                    labels: match_labels(&self.one[partner].labels, self.matching),
                    drop_name: false,
                    column: Column::default(),
                };
                let (labels, drop_name) = self.result_labels(&stand_in, Some(&self.one[partner]));
                let at = self.slot(evaluator, labels, drop_name)?;
                if self.out[at].column.present.get(step) {
                    return Err(self.not_unique());
                }
                self.out[at].column.set_value(step, value);
            }
        }
        Ok(())
    }

    fn duplicates(&self, first: usize, second: usize) -> EvalError {
        let side = if self.swapped { "left" } else { "right" };
        let message = format!(
            "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
            format_labels(&match_labels(&self.one[first].labels, self.matching)),
            format_labels(&self.one[second].labels),
            format_labels(&self.one[first].labels)
        );
        EvalError::execution(self.span, message)
    }

    /// The labels of a result, and whether its name is to be dropped later.
    fn result_labels(&self, many: &Block, one: Option<&Block>) -> (Labels, bool) {
        let matching = self.matching;
        let listed = |name: &str| matching.labels.iter().any(|l| l == name);
        let drop_now = self.drops && !self.delayed;
        let mut labels =
            if drop_now { super::without_identity(&many.labels) } else { many.labels.clone() };
        if matching.cardinality == Cardinality::OneToOne {
            labels = if matching.on {
                labels.filtered(listed)
            } else if matching.labels.is_empty() {
                labels
            } else {
                labels.filtered(|name| !listed(name))
            };
        } else if !matching.include.is_empty()
            && let Some(one) = one
        {
            let mut builder = labels.to_builder();
            for name in &matching.include {
                builder.set(name, one.labels.value(name));
            }
            labels = builder.build();
        }
        let drop_name = self.delayed && (self.drops || many.drop_name);
        (labels, drop_name)
    }
}
