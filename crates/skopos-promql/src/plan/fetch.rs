//! Decides what is fetched: selectors that can share one fetch do.
//!
//! Selectors with the same conditions share a fetch where their times touch or overlap, so that no
//! more is read than both would have read. A selector whose conditions include all of another's,
//! and whose time lies within the other's, filters the other's series by label instead of
//! fetching them again: the numerator of an error ratio costs no second fetch.

use std::collections::HashMap;

use skopos_model::storage::{SelectHints, SeriesSelect};
use skopos_model::{LabelMatcher, METRIC_NAME, MatchOp};

use super::{Node, Source};

/// Most fetches compared with each other for being part of one another; comparing takes time
/// square in their number.
const MAX_COMPARED: usize = 256;

/// A condition in a form that can be compared and hashed.
type Condition = (String, MatchOp, String);

fn condition(matcher: &LabelMatcher) -> Condition {
    (matcher.name().to_owned(), matcher.op(), matcher.value().to_owned())
}

fn conditions(select: &SeriesSelect) -> Vec<Condition> {
    let mut all: Vec<_> = select.matchers.iter().map(condition).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Merges fetches and points the leaves below `root` to what remains.
pub(super) fn merge(root: &mut Node, selects: Vec<SeriesSelect>) -> Vec<SeriesSelect> {
    let (selects, same) = merge_equal(selects);
    let (selects, within) = absorb_parts(selects);
    let targets: Vec<Source> = same.into_iter().map(|at| within[at].clone()).collect();
    redirect(root, &targets);
    selects
}

fn redirect(node: &mut Node, targets: &[Source]) {
    if let Some(source) = node.source_mut() {
        *source = targets[source.select].clone();
    }
    node.children_mut().into_iter().for_each(|child| redirect(child, targets));
}

/// Joins fetches with equal conditions whose times touch; says where each one went.
fn merge_equal(selects: Vec<SeriesSelect>) -> (Vec<SeriesSelect>, Vec<usize>) {
    let mut groups: HashMap<Vec<Condition>, Vec<usize>> = HashMap::new();
    for (i, select) in selects.iter().enumerate() {
        groups.entry(conditions(select)).or_default().push(i);
    }
    // `into[i]` is the select that takes `i` in; it may be `i` itself.
    let mut into: Vec<usize> = (0..selects.len()).collect();
    let mut merged: Vec<SeriesSelect> = selects.clone();
    for mut members in groups.into_values() {
        members.sort_by_key(|i| (selects[*i].start_ms, *i));
        let mut run = 0;
        for at in 1..members.len() {
            let (first, next) = (members[run], members[at]);
            if selects[next].start_ms <= merged[first].end_ms.saturating_add(1) {
                into[next] = first;
                let end_ms = merged[first].end_ms.max(selects[next].end_ms);
                merged[first].end_ms = end_ms;
                let hints = common(&merged[first].hints, &selects[next].hints);
                merged[first].hints = hints;
            } else {
                run = at;
            }
        }
    }
    compact(merged, into)
}

/// Keeps those that stand for themselves, in order of first mention.
fn compact(selects: Vec<SeriesSelect>, into: Vec<usize>) -> (Vec<SeriesSelect>, Vec<usize>) {
    let mut place: HashMap<usize, usize> = HashMap::new();
    let mut kept = Vec::new();
    let mut targets = Vec::with_capacity(into.len());
    for target in into {
        let at = *place.entry(target).or_insert_with(|| {
            kept.push(selects[target].clone());
            kept.len() - 1
        });
        targets.push(at);
    }
    (kept, targets)
}

/// Hints that hold for both uses.
fn common(a: &SelectHints, b: &SelectHints) -> SelectHints {
    SelectHints {
        step_ms: a.step_ms,
        func: if a.func == b.func { a.func.clone() } else { String::new() },
        range_ms: a.range_ms.max(b.range_ms),
        projection: match (&a.projection, &b.projection) {
            (Some(a), Some(b)) if a == b => Some(a.clone()),
            _ => None,
        },
    }
}

/// Lets fetches that are part of others read those; says where each one went.
fn absorb_parts(selects: Vec<SeriesSelect>) -> (Vec<SeriesSelect>, Vec<Source>) {
    let all: Vec<Vec<Condition>> = selects.iter().map(conditions).collect();
    let contains = |outer: usize, inner: usize| {
        let (o, i) = (&selects[outer], &selects[inner]);
        outer != inner
            && all[outer].len() < all[inner].len()
            && o.start_ms <= i.start_ms
            && i.end_ms <= o.end_ms
            && names_one_metric(o)
            && all[outer].iter().all(|c| all[inner].binary_search(c).is_ok())
    };
    let compared = selects.len().min(MAX_COMPARED);
    // Containing is transitive, so a fetch contained in any is contained in one that stays.
    let outer: Vec<Option<usize>> = (0..selects.len())
        .map(|inner| {
            let outers = (0..compared).filter(|outer| inner < compared && contains(*outer, inner));
            outers.min_by_key(|outer| all[*outer].len())
        })
        .collect();
    let into: Vec<usize> = outer.iter().enumerate().map(|(i, o)| o.unwrap_or(i)).collect();
    let filters: Vec<Vec<LabelMatcher>> = into
        .iter()
        .enumerate()
        .map(|(i, target)| {
            let known = &all[*target];
            let is_new = |m: &&LabelMatcher| known.binary_search(&condition(m)).is_err();
            selects[i].matchers.iter().filter(is_new).cloned().collect()
        })
        .collect();
    let mut used = selects.clone();
    for (i, target) in into.iter().enumerate().filter(|(i, target)| i != *target) {
        // The conditions left are asked of labels, so all labels matter.
        let hints = common(&used[*target].hints, &selects[i].hints);
        used[*target].hints = SelectHints { projection: None, ..hints };
    }
    let (kept, targets) = compact(used, into);
    let sources = targets.into_iter().zip(filters);
    (kept, sources.map(|(select, filter)| Source { select, filter }).collect())
}

/// Filtering reads the labels of everything fetched, so what is fetched should be one metric.
fn names_one_metric(select: &SeriesSelect) -> bool {
    select.matchers.iter().any(|m| m.name() == METRIC_NAME && m.op() == MatchOp::Equal)
}
