//! Finds parts that occur more than once, so that they are computed once.
//!
//! Two parts are the same when their operators, their times and what they read are the same,
//! wherever they stand in the text. A part that reads only some series of another that is computed
//! anyway (`rate(x{code="500"}[5m]) / rate(x[5m])`) takes its series from there.

use std::collections::HashMap;
use std::fmt::Write;

use skopos_model::LabelMatcher;
use xxhash_rust::xxh3::xxh3_128;

use super::{Grid, Leaf, Node, NodeKind, RangeNode, RangeSource, SharedNode, Source};
use crate::ast::ValueType;
use crate::eval::IDENTITY;
use crate::functions::FunctionKind;

/// Replaces parts that occur more than once and returns them, each before those that use it. The
/// nodes below `root` are numbered below `count`.
pub(super) fn share(root: &mut Node, count: usize, grid: Grid) -> Vec<SharedNode> {
    let mut sharing = Sharing { keys: vec![Keys::default(); count], ..Sharing::default() };
    sharing.learn(root, grid);
    let is_twice =
        |(key, exact): (&u128, &usize)| exact + sharing.derived.get(key).copied().unwrap_or(0) > 1;
    if !sharing.exact.iter().any(is_twice) {
        return Vec::new();
    }
    sharing.replace(root);
    let Sharing { mut nodes, uses, .. } = sharing;
    put_back(root, &uses, &mut nodes);
    for slot in 0..nodes.len() {
        if let Some(mut node) = nodes[slot].take() {
            put_back(&mut node, &uses, &mut nodes);
            nodes[slot] = Some(node);
        }
    }
    let mut place = vec![0; nodes.len()];
    let mut shared: Vec<SharedNode> = Vec::new();
    for (slot, node) in nodes.into_iter().enumerate() {
        place[slot] = shared.len();
        shared.extend(node.map(|node| SharedNode { node, uses: uses[slot] }));
    }
    renumber(root, &place);
    shared.iter_mut().for_each(|s| renumber(&mut s.node, &place));
    shared
}

/// What a node is known by.
#[derive(Clone, Copy, Default)]
struct Keys {
    /// Equal for equal parts.
    own: u128,
    /// The key of the same part without conditions on what it reads, where leaving them out and
    /// filtering the result by label is the same.
    whole: Option<u128>,
    /// Whether it yields a vector read from series: others are not worth keeping.
    shareable: bool,
    reads: bool,
}

#[derive(Default)]
struct Sharing {
    /// By node id.
    keys: Vec<Keys>,
    /// How often each part occurs.
    exact: HashMap<u128, usize>,
    /// How often parts occur that could be drawn from each.
    derived: HashMap<u128, usize>,
    slots: HashMap<u128, usize>,
    nodes: Vec<Option<Node>>,
    /// By slot: whether its part is known so far only from a part of it.
    guessed: Vec<bool>,
    uses: Vec<usize>,
}

impl Sharing {
    fn learn(&mut self, node: &Node, grid: Grid) {
        let inner = match &node.kind {
            NodeKind::Range(range) => match &range.source {
                RangeSource::Subquery { step_ms, .. } => {
                    grid.subquery(range.shift, range.range_ms, *step_ms)
                }
                RangeSource::Series(_) => grid,
            },
            _ => grid,
        };
        for child in node.children() {
            self.learn(child, inner);
        }
        self.learn_one(node, grid);
    }

    /// Of its own, because trees are deep and this needs much of the stack.
    #[inline(never)]
    fn learn_one(&mut self, node: &Node, grid: Grid) {
        let children: Vec<Keys> =
            node.children().into_iter().map(|child| self.keys[child.id]).collect();
        let source = node.source();
        let hash = |filter: &[LabelMatcher], child_key: fn(&Keys) -> u128| {
            let mut text = description(node);
            let _ = write!(text, " {grid:?} {} {filter:?}", node.invariant);
            for child in &children {
                let _ = write!(text, " {:x}", child_key(child));
            }
            xxh3_128(text.as_bytes())
        };
        let own = hash(source.map_or(&[], |s| &s.filter), |child| child.own);
        let reads = source.is_some() || children.iter().any(|child| child.reads);
        let whole = match &node.kind {
            NodeKind::Instant(_)
            | NodeKind::SampleTime(_)
            | NodeKind::SampleStart(_)
            | NodeKind::Range(_) => {
                source.is_some_and(can_filter_later).then(|| hash(&[], |child| child.own))
            }
            NodeKind::Call { func, .. } if matches!(func.kind, FunctionKind::Range(_)) => {
                let any = children.iter().any(|child| child.whole.is_some());
                any.then(|| hash(&[], |child| child.whole.unwrap_or(child.own)))
            }
            _ => None,
        };
        let shareable = reads && is_vector(node);
        if shareable {
            *self.exact.entry(own).or_default() += 1;
            if let Some(whole) = whole {
                *self.derived.entry(whole).or_default() += 1;
            }
        }
        self.keys[node.id] = Keys { own, whole, shareable, reads };
    }

    /// Goes from right to left: of equal parts the last one is kept, because a remark that is
    /// made twice stands where it was made last.
    fn replace(&mut self, node: &mut Node) {
        if self.replace_whole(node) {
            return;
        }
        for child in node.children_mut().into_iter().rev() {
            self.replace(child);
        }
    }

    #[inline(never)]
    fn replace_whole(&mut self, node: &mut Node) -> bool {
        let keys = self.keys[node.id];
        if !keys.shareable {
            return false;
        }
        if let Some(whole) = keys.whole.filter(|whole| self.exact.contains_key(whole)) {
            let mut definition = node.clone();
            let filter = take_filter(&mut definition);
            self.refer(node, definition, whole, filter);
            return true;
        }
        let occurs = |map: &HashMap<u128, usize>| map.get(&keys.own).copied().unwrap_or(0);
        let is_shared = occurs(&self.exact) + occurs(&self.derived) > 1;
        if is_shared {
            let definition = node.clone();
            self.refer(node, definition, keys.own, Vec::new());
        }
        is_shared
    }

    fn refer(&mut self, node: &mut Node, definition: Node, key: u128, filter: Vec<LabelMatcher>) {
        let is_exact = self.keys[node.id].own == key;
        let slot = match self.slots.get(&key) {
            Some(&slot) => {
                if is_exact
                    && std::mem::take(&mut self.guessed[slot])
                    && let Some(known) = &mut self.nodes[slot]
                {
                    // Remarks belong where the whole part stands.
                    copy_spans(&definition, known);
                }
                slot
            }
            None => {
                let mut definition = definition;
                for child in definition.children_mut().into_iter().rev() {
                    self.replace(child);
                }
                self.nodes.push(Some(definition));
                self.guessed.push(!is_exact);
                self.uses.push(0);
                self.slots.insert(key, self.nodes.len() - 1);
                self.nodes.len() - 1
            }
        };
        self.uses[slot] += 1;
        node.kind = NodeKind::Shared { slot, filter };
    }
}

fn is_vector(node: &Node) -> bool {
    match &node.kind {
        NodeKind::Instant(_)
        | NodeKind::SampleTime(_)
        | NodeKind::SampleStart(_)
        | NodeKind::Absent { .. }
        | NodeKind::Info(_)
        | NodeKind::Aggregate(_) => true,
        NodeKind::Call { func, .. } => func.returns == ValueType::Vector,
        NodeKind::Binary(binary) => binary.scalars != (true, true),
        NodeKind::Negate(inner) => is_vector(inner),
        NodeKind::Number(_)
        | NodeKind::Text { .. }
        | NodeKind::Range(_)
        | NodeKind::Shared { .. } => false,
    }
}

/// Whether the conditions of a source can be asked of results too, which may have lost the labels
/// that say what a metric is.
fn can_filter_later(source: &Source) -> bool {
    !source.filter.is_empty() && source.filter.iter().all(|m| !IDENTITY.contains(&m.name()))
}

/// Removes the conditions from what a node reads, itself or by its range vector.
fn take_filter(node: &mut Node) -> Vec<LabelMatcher> {
    if let Some(source) = node.source_mut() {
        return std::mem::take(&mut source.filter);
    }
    node.children_mut().into_iter().map(take_filter).find(|f| !f.is_empty()).unwrap_or_default()
}

fn copy_spans(from: &Node, to: &mut Node) {
    to.span = from.span;
    for (from, to) in from.children().into_iter().zip(to.children_mut()) {
        copy_spans(from, to);
    }
}

/// Everything about a node that its value depends on, without what is below it and its filter.
fn description(node: &Node) -> String {
    match &node.kind {
        NodeKind::Shared { slot, filter } => format!("shared {slot} {filter:?}"),
        NodeKind::Number(value) => format!("number {:x}", value.to_bits()),
        NodeKind::Text { value, invalid } => format!("text {value:?} {invalid:?}"),
        NodeKind::Instant(leaf) => {
            let Leaf { source, shift, smoothed, resets } = leaf;
            format!("instant {} {shift:?} {smoothed} {resets:?}", source.select)
        }
        NodeKind::SampleStart(leaf) => {
            format!("start {} {:?} {}", leaf.source.select, leaf.shift, leaf.smoothed)
        }
        NodeKind::SampleTime(leaf) => {
            format!("time {} {:?} {}", leaf.source.select, leaf.shift, leaf.smoothed)
        }
        NodeKind::Range(range) => {
            let source = match &range.source {
                RangeSource::Series(source) => format!("select {}", source.select),
                RangeSource::Subquery { step_ms, .. } => format!("step {step_ms}"),
            };
            let RangeNode { range_ms, shift, mode, resets, .. } = &**range;
            format!("range {source} {range_ms} {shift:?} {mode:?} {resets:?}")
        }
        NodeKind::Call { func, .. } => format!("call {}", func.name),
        NodeKind::Absent { labels, .. } => format!("absent {labels}"),
        NodeKind::Info(info) => format!(
            "info {} {:?} {:?} {:?}",
            info.info.source.select, info.info.shift, info.name_matchers, info.data_matchers
        ),
        NodeKind::Aggregate(a) => {
            format!("{:?} {} {:?} {}", a.op, a.without, a.grouping, a.param.is_some())
        }
        NodeKind::Binary(b) => {
            format!("{:?} {} {:?} {:?}", b.op, b.return_bool, b.matching, b.scalars)
        }
        NodeKind::Negate(_) => "negate".into(),
    }
}

/// Puts parts that are used once after all back in their place: those that occur twice only
/// because what they are part of does.
fn put_back(node: &mut Node, uses: &[usize], nodes: &mut [Option<Node>]) {
    if let NodeKind::Shared { slot, filter } = &node.kind
        && uses[*slot] == 1
        && filter.is_empty()
        && let Some(definition) = nodes[*slot].take()
    {
        *node = definition;
    }
    node.children_mut().into_iter().for_each(|child| put_back(child, uses, nodes));
}

fn renumber(node: &mut Node, place: &[usize]) {
    if let NodeKind::Shared { slot, .. } = &mut node.kind {
        *slot = place[*slot];
    }
    node.children_mut().into_iter().for_each(|child| renumber(child, place));
}
