//! Whether what was counted can be what somebody meant.
//!
//! The commonest mistake of an objective is a selector. More good events than events, a bucket that the histogram does not
//! have, good events that nobody ever saw: the budget would be whole or gone, and neither is true. Such
//! objectives say what is wrong with them, and no gate says go by them.

use std::collections::{BTreeMap, BTreeSet};

use skopos_model::Labels;
use skopos_promql::MatrixSeries;

use super::super::indicator::{Asks, Bucket, ranged};
use super::super::{Role, tidy};

/// Most bounds and groups that a text names.
const MOST_NAMED: usize = 12;
/// So many times the [`slack`] are the events from which on a former problem is gone when they are as they should be: of
/// fewer a tenth too much would be within it.
const ENOUGH_SLACKS: f64 = 10.0;
/// With less of them so much time has to have passed.
const ENOUGH_MS: i64 = 3_600_000;

/// What is known of an objective before a read.
pub(in crate::slo) struct Known<'a> {
    /// Whether its good or bad events were ever there.
    pub(in crate::slo) is_seen: bool,
    /// The group whose numbers could not be meant at the last read.
    pub(in crate::slo) suspect: Option<&'a Labels>,
}

/// What is wrong with what an objective counts.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::slo) struct Problem {
    pub(in crate::slo) text: String,
    /// The group that it is about; all of them when none.
    pub(in crate::slo) group: Option<Labels>,
}

impl Problem {
    pub(super) fn of_group(text: String, group: &Labels) -> Self {
        Self { text, group: Some(group.clone()) }
    }

    /// Whether it is about a group.
    pub(in crate::slo) fn concerns(&self, group: &Labels) -> bool {
        self.group.as_ref().is_none_or(|own| own == group)
    }
}

/// Groups, or series of some, that have events, of which nobody knows whether they are bad.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::slo) struct Unmatched {
    /// Where the first of them begins.
    pub(in crate::slo) since_ms: i64,
    /// How many groups.
    count: usize,
    /// Some of them.
    groups: Vec<Labels>,
    /// Histograms without the bucket beside others that have it: how many, and some of them by name.
    series: usize,
    named: BTreeSet<String>,
    /// Whether anything happened in them.
    has_events: bool,
}

impl Unmatched {
    fn with<'a>(found: &'a mut Option<Self>, slices: &BTreeMap<i64, f64>) -> Option<&'a mut Self> {
        let (first, _) = slices.first_key_value()?;
        let own = found.get_or_insert(Self {
            since_ms: *first,
            count: 0,
            groups: Vec::new(),
            series: 0,
            named: BTreeSet::new(),
            has_events: false,
        });
        own.since_ms = own.since_ms.min(*first);
        own.has_events |= slices.values().any(|events| *events > 0.0);
        Some(own)
    }

    pub(super) fn add(found: &mut Option<Self>, group: &Labels, slices: &BTreeMap<i64, f64>) {
        let Some(own) = Self::with(found, slices) else { return };
        own.count += 1;
        if own.groups.len() < MOST_NAMED {
            own.groups.push(group.clone());
        }
    }

    /// A series without the bucket in a group in which others have it. A process is known by its instance.
    pub(super) fn add_series(
        found: &mut Option<Self>,
        series: &Labels,
        slices: &BTreeMap<i64, f64>,
    ) {
        let Some(own) = Self::with(found, slices) else { return };
        own.series += 1;
        if own.named.len() < MOST_NAMED {
            let name = match series.get("instance") {
                Some(instance) => format!("instance={instance}"),
                None => text_of(series),
            };
            own.named.insert(name);
        }
    }
}

fn text_of(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
    pairs.join(" ")
}

/// The events of a read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Volume {
    /// Bad or good ones.
    pub(super) part: f64,
    pub(super) all: f64,
}

impl Volume {
    /// Whether they are enough to tell.
    pub(super) fn is_enough(self, asks: &Asks, length_ms: i64) -> bool {
        self.all >= ENOUGH_SLACKS * slack(asks) || (self.all > 0.0 && length_ms >= ENOUGH_MS)
    }
}

/// How much more may be the difference of two reads: of events, or of shares, one of each slice.
fn slack(asks: &Asks) -> f64 {
    if asks.total.is_some() { 5.0 } else { 0.5 }
}

/// Why a part and a whole of a stretch of time cannot be what somebody meant: more good or bad events than events. A
/// little more is the difference of two reads.
pub(super) fn nonsense(asks: &Asks, Volume { part, all }: Volume) -> Option<String> {
    let what = match asks.role {
        Role::Bad => "bad",
        Role::Good => "good",
    };
    let slack = slack(asks);
    if part <= all * 1.1 || part - all <= slack {
        return None;
    }
    let (part, all) = (tidy(part), tidy(all));
    Some(match asks.total {
        Some(_) => format!(
            "there are more {what} events than events ({part} of {all} in what was read last): `{what}` must count a part of \
             what `total` counts"
        ),
        None => format!("the share of {what} events is not between 0 and 1"),
    })
}

/// What to say of events of which nobody knows whether they are bad. `bounds` are those that the histogram has, where
/// somebody looked.
pub(in crate::slo) fn unmatched_text(
    asks: &Asks,
    unmatched: &Unmatched,
    bounds: Option<&[String]>,
) -> Option<String> {
    let named: Vec<String> =
        unmatched.groups.iter().filter(|group| !group.is_empty()).map(text_of).collect();
    let more = unmatched.count.saturating_sub(unmatched.groups.len());
    let of_groups = match (named.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!(" (of {})", named.join(", ")),
        (false, more) => format!(" (of {} and {more} more)", named.join(", ")),
    };
    if let Some(Bucket { bound, .. }) = &asks.bucket {
        let there = match bounds {
            None => String::new(),
            Some([]) => "; the histogram has no buckets: if it is a native one, `native: true` takes any threshold".into(),
            Some(bounds) if bounds.len() > MOST_NAMED => {
                let (low, high) = (&bounds[0], &bounds[bounds.len() - 1]);
                let near = nearest(bound, bounds);
                format!("; there are {} from {low} to {high}, the nearest are {}", bounds.len(), near.join(", "))
            }
            Some(bounds) => format!("; there are {}", bounds.join(", ")),
        };
        let of_series = match unmatched.series {
            0 => String::new(),
            series => {
                let named: Vec<&str> = unmatched.named.iter().map(String::as_str).collect();
                let more =
                    if named.len() == MOST_NAMED && series > MOST_NAMED { ", …" } else { "" };
                format!(" (of {}{more}, whose requests are not counted)", named.join(", "))
            }
        };
        return Some(match unmatched.count {
            0 => format!("some of its series have no bucket le=\"{bound}\"{of_series}{there}"),
            _ => format!("its histogram has no bucket le=\"{bound}\"{of_groups}{of_series}{there}"),
        });
    }
    // An idle service has no good events either.
    unmatched.has_events.then(|| {
        format!(
            "nothing matches the selector of its good events{of_groups}, though there are events: either it is wrong, or \
             nothing was ever good"
        )
    })
}

/// The bounds beside one that is not there.
fn nearest(bound: &str, bounds: &[String]) -> Vec<String> {
    let Ok(wanted) = bound.parse::<f64>() else { return bounds[..3].to_vec() };
    let above = bounds.partition_point(|b| b.parse::<f64>().is_ok_and(|b| b < wanted));
    let from = above.saturating_sub(2).min(bounds.len() - 3);
    bounds[from..from + 3].to_vec()
}

/// Asks for the bounds of a histogram's buckets.
pub(in crate::slo) fn bounds_query(all: &str) -> String {
    format!("group by (le) (last_over_time({}))", ranged(all, "5m"))
}

/// The bounds in its answer, ascending, without the last that has everything.
pub(in crate::slo) fn bounds_of(series: &[MatrixSeries]) -> Vec<String> {
    let bound = |one: &MatrixSeries| {
        let text = one.labels.value("le").to_string();
        let value: f64 = text.parse().ok()?;
        value.is_finite().then_some((value, text))
    };
    let mut bounds: Vec<(f64, String)> = series.iter().filter_map(bound).collect();
    bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    bounds.into_iter().map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_bounds_the_nearest_are_named() {
        let bounds: Vec<String> = (1..=20).map(|n| format!("{}", f64::from(n) / 10.0)).collect();
        for (bound, want) in [
            ("0.55", ["0.4", "0.5", "0.6"]),
            ("300", ["1.8", "1.9", "2"]),
            ("0.01", ["0.1", "0.2", "0.3"]),
            ("0.2|0.5", ["0.1", "0.2", "0.3"]),
        ] {
            assert_eq!(nearest(bound, &bounds), want, "{bound}");
        }
    }

    #[test]
    fn bounds_are_numbers_in_their_order() {
        let series = ["10", "+Inf", "0.5", "", "x", "1.0"].map(|le| MatrixSeries {
            labels: Labels::from_pairs([("le", le)]),
            samples: Vec::new(),
        });
        assert_eq!(bounds_of(&series), ["0.5", "1.0", "10"]);
    }
}
