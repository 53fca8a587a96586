//! The label index: label name → value → series, and the answer to matchers.
//!
//! Constraints: series are numbered in order of creation and never renumbered, so lists grow at
//! their end and stay sorted. A matcher that accepts the empty value also accepts series without
//! the label; such matchers only ever take series away.

use std::collections::HashMap;

use skopos_model::storage::{QueryBudget, StorageError};
use skopos_model::{LabelMatcher, Labels};

/// Number of a series within the head.
pub(crate) type SeriesRef = u32;

type Values = HashMap<Box<str>, Vec<SeriesRef>>;

/// The label index.
#[derive(Default)]
pub(crate) struct Postings {
    names: HashMap<Box<str>, Values>,
    size_bytes: usize,
}

impl Postings {
    /// Adds a series with a number higher than all before.
    pub(crate) fn add(&mut self, series: SeriesRef, labels: &Labels) {
        for (name, value) in labels.iter() {
            if !self.names.contains_key(name) {
                self.names.insert(name.into(), Values::new());
                self.size_bytes += name.len() + size_of::<(Box<str>, Values)>() * 2;
            }
            let Some(values) = self.names.get_mut(name) else { continue };
            if !values.contains_key(value) {
                values.insert(value.into(), Vec::new());
                self.size_bytes += value.len() + size_of::<(Box<str>, Vec<SeriesRef>)>() * 2;
            }
            let Some(list) = values.get_mut(value) else { continue };
            let before = list.capacity();
            list.push(series);
            self.size_bytes += (list.capacity() - before) * size_of::<SeriesRef>();
        }
    }

    /// Bytes held, about.
    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// All label names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }

    /// All values of a label.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.names.get(name).into_iter().flat_map(|values| values.keys().map(|v| &**v))
    }

    /// The series with a value of a label, ascending.
    pub(crate) fn of_value(&self, name: &str, value: &str) -> &[SeriesRef] {
        self.names.get(name).and_then(|values| values.get(value)).map_or(&[], |list| list)
    }

    /// Every value of a label with the number of its series.
    pub(crate) fn counts(&self, name: &str) -> impl Iterator<Item = (&str, usize)> {
        let values = self.names.get(name).into_iter().flatten();
        values.map(|(value, list)| (&**value, list.len()))
    }

    /// The series that satisfy all matchers, ascending. `count` is the number of series;
    /// `labels_of` yields the labels of one.
    pub(crate) fn select<'a>(
        &self,
        matchers: &[LabelMatcher],
        count: usize,
        labels_of: impl Fn(SeriesRef) -> &'a Labels,
        budget: &QueryBudget,
    ) -> Result<Vec<SeriesRef>, StorageError> {
        let (taking_away, choosing): (Vec<_>, Vec<_>) =
            matchers.iter().partition(|m| m.matches_empty());
        let (literal, scanning): (Vec<_>, Vec<_>) =
            choosing.into_iter().partition(|m| m.literal_values().is_some());

        let mut chosen: Option<Vec<SeriesRef>> = None;
        let mut narrow = |list: Vec<SeriesRef>| match &mut chosen {
            Some(chosen) => intersect(chosen, &list),
            none => *none = Some(list),
        };
        for matcher in literal {
            narrow(self.of_literals(matcher));
        }
        // When few are left, looking at each one's label is cheaper than at all values.
        let few = |chosen: &Option<Vec<SeriesRef>>, values: usize| {
            chosen.as_ref().is_some_and(|chosen| chosen.len() <= values)
        };
        for matcher in scanning {
            budget.check()?;
            let Some(values) = self.names.get(matcher.name()) else { return Ok(Vec::new()) };
            match &mut chosen {
                Some(list) if list.len() <= values.len() => {
                    list.retain(|&r| matcher.matches(labels_of(r).value(matcher.name())));
                }
                _ => {
                    let hits = union(values, |value| matcher.matches(value));
                    match &mut chosen {
                        Some(chosen) => intersect(chosen, &hits),
                        none => *none = Some(hits),
                    }
                }
            }
        }
        for matcher in taking_away {
            budget.check()?;
            let Some(values) = self.names.get(matcher.name()) else { continue };
            if few(&chosen, values.len()) {
                if let Some(list) = &mut chosen {
                    list.retain(|&r| matcher.matches(labels_of(r).value(matcher.name())));
                }
                continue;
            }
            let misses = union(values, |value| !matcher.matches(value));
            let list = chosen.get_or_insert_with(|| (0..count as SeriesRef).collect());
            subtract(list, &misses);
        }
        Ok(chosen.unwrap_or_else(|| (0..count as SeriesRef).collect()))
    }

    fn of_literals(&self, matcher: &LabelMatcher) -> Vec<SeriesRef> {
        let Some(values) = self.names.get(matcher.name()) else { return Vec::new() };
        let mut wanted = matcher.literal_values().unwrap_or_default();
        wanted.sort_unstable();
        wanted.dedup();
        merge_sorted(wanted.into_iter().filter_map(|value| values.get(value)))
    }
}

fn union(values: &Values, keep: impl Fn(&str) -> bool) -> Vec<SeriesRef> {
    merge_sorted(values.iter().filter(|(value, _)| keep(value)).map(|(_, list)| list))
}

/// A series has one value per label, so the lists of different values share nothing.
fn merge_sorted<'a>(lists: impl Iterator<Item = &'a Vec<SeriesRef>>) -> Vec<SeriesRef> {
    let mut all = Vec::new();
    let mut count = 0;
    for list in lists {
        all.extend_from_slice(list);
        count += 1;
    }
    if count > 1 {
        all.sort_unstable();
    }
    all
}

/// Keeps what both sorted lists have.
fn intersect(list: &mut Vec<SeriesRef>, other: &[SeriesRef]) {
    let mut rest = other;
    list.retain(|r| {
        rest = &rest[gallop(rest, *r)..];
        rest.first() == Some(r)
    });
}

/// Removes what the other sorted list has.
fn subtract(list: &mut Vec<SeriesRef>, other: &[SeriesRef]) {
    let mut rest = other;
    list.retain(|r| {
        rest = &rest[gallop(rest, *r)..];
        rest.first() != Some(r)
    });
}

/// Index of the first element not below `target`, by steps that double: cheap when it is near.
fn gallop(list: &[SeriesRef], target: SeriesRef) -> usize {
    let mut step = 1;
    while list.get(step - 1).is_some_and(|&r| r < target) {
        step *= 2;
    }
    let from = step / 2;
    let to = step.min(list.len());
    from + list[from..to].partition_point(|&r| r < target)
}

#[cfg(test)]
mod tests {
    use skopos_model::MatchOp;

    use super::*;

    #[test]
    fn matchers_agree_with_looking_at_every_series() {
        let mut all = Vec::new();
        for i in 0..200 {
            let mut pairs = vec![("__name__", format!("m{}", i % 3)), ("i", i.to_string())];
            if i % 2 == 0 {
                pairs.push(("job", ["shop", "pay", "mail"][i % 7 % 3].into()));
            }
            if i % 5 == 0 {
                pairs.push(("code", (200 + i).to_string()));
            }
            all.push(Labels::from_pairs(pairs));
        }
        let mut postings = Postings::default();
        all.iter().enumerate().for_each(|(i, labels)| postings.add(i as SeriesRef, labels));
        let matcher = |(name, op, value): &(&str, MatchOp, &str)| {
            LabelMatcher::new(name, *op, value).unwrap()
        };
        use MatchOp::*;
        let conditions = [
            ("__name__", Equal, "m1"),
            ("__name__", Equal, "absent"),
            ("job", Equal, "shop"),
            ("job", Equal, ""),
            ("job", NotEqual, "shop"),
            ("job", NotEqual, ""),
            ("job", Regex, "shop|pay"),
            ("job", Regex, "shop|"),
            ("job", Regex, "s.*"),
            ("job", Regex, ".*"),
            ("job", Regex, ".+"),
            ("job", NotRegex, "s.*"),
            ("job", NotRegex, ".+"),
            ("job", NotRegex, ".*"),
            ("code", Regex, "2.5"),
            ("code", NotRegex, "2.5|3.*"),
            ("absent", Equal, ""),
            ("absent", NotEqual, ""),
            ("absent", NotEqual, "x"),
            ("i", Regex, "1.*"),
        ];
        let budget = QueryBudget::unlimited();
        let check = |matchers: Vec<LabelMatcher>| {
            let want: Vec<_> = (0..all.len() as SeriesRef)
                .filter(|&i| {
                    let labels = &all[i as usize];
                    matchers.iter().all(|m| m.matches(labels.value(m.name())))
                })
                .collect();
            let got = postings.select(&matchers, all.len(), |i| &all[i as usize], &budget).unwrap();
            assert_eq!(got, want, "{matchers:?}");
        };
        check(Vec::new());
        for a in &conditions {
            check(vec![matcher(a)]);
            for b in &conditions {
                check(vec![matcher(a), matcher(b)]);
                check(vec![matcher(a), matcher(b), matcher(&("i", NotRegex, ".*7"))]);
            }
        }
    }
}
