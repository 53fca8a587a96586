//! What a plan does, as a tree for people, and what each operator of it cost.

use std::fmt;
use std::time::Duration;

use skopos_model::LabelMatcher;
use skopos_model::storage::SeriesSelect;

use super::{Leaf, Node, NodeKind, Plan, RangeNode, RangeSource, Shift, Source};
use crate::ast::{Cardinality, RangeMode, VectorMatching};
use crate::format::{format_duration_ms, format_general};
use crate::span::Span;

/// What one operator cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Series it yielded.
    pub series: u64,
    /// Samples decoded for it and for everything below it.
    pub samples: u64,
    /// Time it took, with everything below it.
    pub time: Duration,
    /// How often it was asked; 0 when its value was not needed or is part of what asked for it.
    pub calls: u64,
}

/// The costs of an evaluation, by operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    pub(crate) costs: Vec<Cost>,
}

/// An operator of a plan, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// What it does, such as `sum by (job)`.
    pub name: String,
    /// Where it stands in the query.
    pub span: Span,
    /// Whether it is computed once for all steps.
    pub once: bool,
    /// What it cost, after an evaluation that measured it.
    pub cost: Option<Cost>,
    /// The operators below.
    pub children: Vec<Operator>,
}

/// A plan, for people: `Display` draws it as a tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Steps of the query.
    pub steps: u64,
    /// What is fetched, in the order of [`Plan::selects`].
    pub fetches: Vec<String>,
    /// Parts that several operators use, each computed once.
    pub shared: Vec<Operator>,
    /// The query.
    pub root: Operator,
}

impl Plan {
    /// Explains the plan, with the costs of an evaluation where there was one.
    pub fn explain(&self, profile: Option<&Profile>) -> Explanation {
        let operator = |node| operator(node, profile);
        Explanation {
            steps: self.params.points(),
            fetches: self.selects.iter().map(fetch).collect(),
            shared: self.shared.iter().map(|shared| operator(&shared.node)).collect(),
            root: operator(&self.root),
        }
    }
}

fn operator(node: &Node, profile: Option<&Profile>) -> Operator {
    let cost = profile.and_then(|p| p.costs.get(node.id)).copied().filter(|c| c.calls > 0);
    Operator {
        name: name(node),
        span: node.span,
        once: node.invariant && !matches!(node.kind, NodeKind::Number(_) | NodeKind::Text { .. }),
        cost,
        children: node.children().into_iter().map(|child| operator(child, profile)).collect(),
    }
}

fn matchers(all: &[LabelMatcher]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    format!("{{{}}}", all.join(", "))
}

fn fetch(select: &SeriesSelect) -> String {
    let (from, to) = (select.start_ms as f64 / 1000.0, select.end_ms as f64 / 1000.0);
    let mut text = format!("{} from {from} to {to}", matchers(&select.matchers));
    if !select.hints.func.is_empty() {
        text.push_str(&format!(" for {}", select.hints.func));
    }
    if let Some(projection) = &select.hints.projection {
        let word = if projection.include { "only" } else { "without" };
        text.push_str(&format!(", labels {word} ({})", projection.labels.join(", ")));
    }
    text
}

fn source(source: &Source) -> String {
    let mut text = format!("fetch {}", source.select);
    if !source.filter.is_empty() {
        text.push_str(&format!(" where {}", matchers(&source.filter)));
    }
    text
}

fn shift(shift: &Shift) -> String {
    let mut text = String::new();
    if let Some(at_ms) = shift.at_ms {
        text.push_str(&format!(" @ {}", at_ms as f64 / 1000.0));
    }
    if shift.offset_ms != 0 {
        let sign = if shift.offset_ms < 0 { "-" } else { "" };
        let length = format_duration_ms(shift.offset_ms.saturating_abs());
        text.push_str(&format!(" offset {sign}{length}"));
    }
    text
}

fn leaf(leaf: &Leaf) -> String {
    let mode = if leaf.smoothed { " smoothed" } else { "" };
    format!("{}{mode}{}", source(&leaf.source), shift(&leaf.shift))
}

fn range(range: &RangeNode) -> String {
    let mode = match range.mode {
        None => "",
        Some(RangeMode::Anchored) => " anchored",
        Some(RangeMode::Smoothed) => " smoothed",
    };
    let width = format_duration_ms(range.range_ms);
    let shift = shift(&range.shift);
    match &range.source {
        RangeSource::Series(from) => format!("window [{width}]{mode}{shift} of {}", source(from)),
        RangeSource::Subquery { step_ms, .. } => {
            format!("subquery [{width}:{}]{shift}", format_duration_ms(*step_ms))
        }
    }
}

fn matching(matching: &VectorMatching) -> String {
    let mut text = String::new();
    if matching.on || !matching.labels.is_empty() {
        let word = if matching.on { "on" } else { "ignoring" };
        text.push_str(&format!(" {word} ({})", matching.labels.join(", ")));
    }
    let group = match matching.cardinality {
        Cardinality::ManyToOne => "group_left",
        Cardinality::OneToMany => "group_right",
        _ => return text,
    };
    text + &format!(" {group} ({})", matching.include.join(", "))
}

fn name(node: &Node) -> String {
    match &node.kind {
        NodeKind::Shared { slot, filter } if filter.is_empty() => format!("shared {slot}"),
        NodeKind::Shared { slot, filter } => format!("shared {slot} where {}", matchers(filter)),
        NodeKind::Number(value) => format!("number {}", format_general(*value)),
        NodeKind::Text { value, .. } => format!("text {value:?}"),
        NodeKind::Instant(instant) => format!("newest of {}", leaf(instant)),
        NodeKind::SampleTime(instant) => format!("time of newest of {}", leaf(instant)),
        NodeKind::SampleStart(instant) => format!("start of newest of {}", leaf(instant)),
        NodeKind::Range(window) => range(window),
        NodeKind::Call { func, .. } => func.name.to_owned(),
        NodeKind::Absent { labels, .. } => format!("absent, else {labels}"),
        NodeKind::Info(info) => format!("info from {}", leaf(&info.info)),
        NodeKind::Aggregate(aggregate) => {
            let word = if aggregate.without { "without" } else { "by" };
            let grouped = aggregate.without || !aggregate.grouping.is_empty();
            let labels = aggregate.grouping.join(", ");
            let by = if grouped { format!(" {word} ({labels})") } else { String::new() };
            format!("{}{by}", aggregate.op.as_str())
        }
        NodeKind::Binary(binary) => {
            let bool = if binary.return_bool { " bool" } else { "" };
            let on = binary.matching.as_ref().map(matching).unwrap_or_default();
            format!("{}{bool}{on}", binary.op.as_str())
        }
        NodeKind::Negate(_) => "negate".into(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "steps: {}", self.steps)?;
        for (i, fetch) in self.fetches.iter().enumerate() {
            writeln!(f, "fetch {i}: {fetch}")?;
        }
        for (i, part) in self.shared.iter().enumerate() {
            writeln!(f, "shared {i}:")?;
            part.draw(f, "  ", "  ")?;
        }
        self.root.draw(f, "", "")
    }
}

impl Operator {
    fn draw(&self, f: &mut fmt::Formatter<'_>, head: &str, tail: &str) -> fmt::Result {
        write!(f, "{head}{}", self.name)?;
        if self.once {
            write!(f, " [once]")?;
        }
        if let Some(cost) = &self.cost {
            let ms = cost.time.as_secs_f64() * 1e3;
            write!(f, "  ({} series, {} samples, {ms:.3} ms)", cost.series, cost.samples)?;
        }
        writeln!(f)?;
        for (i, child) in self.children.iter().enumerate() {
            let is_last = i + 1 == self.children.len();
            let (own, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            child.draw(f, &format!("{tail}{own}"), &format!("{tail}{below}"))?;
        }
        Ok(())
    }
}
