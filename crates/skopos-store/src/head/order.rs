//! The label order of all series, kept, so that answers need not compare labels.
//!
//! Comparing label sets is what a large answer would spend its time on. Series are never removed or
//! renumbered, so an order once found stays true; new series are sorted among themselves and merged
//! in when an answer large enough to pay for it needs them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::postings::SeriesRef;
use super::series::Series;

/// Below this size of an answer, comparing labels is cheap enough.
const SMALL: usize = 256;
/// New series are merged in for an answer of more than one in so many of all series.
const SHARE: usize = 16;

/// Places of series in label order.
#[derive(Default)]
pub(crate) struct LabelOrder(Mutex<Order>);

#[derive(Default)]
struct Order {
    /// Series in label order.
    sorted: Vec<SeriesRef>,
    /// The place of each series in `sorted`, by its number.
    places: Arc<Vec<u32>>,
}

/// Some series with their numbers.
pub(crate) type Picked = Vec<(SeriesRef, Arc<Series>)>;

impl LabelOrder {
    /// Whether putting these series into order will want all series, of which there are `count`.
    pub(crate) fn wants_all(&self, refs: &[SeriesRef], count: usize) -> bool {
        let large = refs.len() >= SMALL && refs.len() > count / SHARE;
        large && refs.last().is_some_and(|&newest| newest as usize >= self.lock().places.len())
    }

    /// Puts series, given by ascending number, into label order; with `all` series new ones are
    /// learned first. Takes its time when they are many: call it without the index lock.
    pub(crate) fn sort(&self, picked: &mut Picked, all: Option<&[Arc<Series>]>) {
        let Some(&(newest, _)) = picked.last() else { return };
        let places = {
            let mut order = self.lock();
            match all {
                Some(all) if all.len() > order.places.len() => order.add_new(all),
                _ => {}
            }
            Arc::clone(&order.places)
        };
        if picked.len() < SMALL || newest as usize >= places.len() {
            return picked.sort_unstable_by(|(_, a), (_, b)| a.labels.cmp(&b.labels));
        }
        picked.sort_unstable_by_key(|(r, _)| places[*r as usize]);
    }

    fn lock(&self) -> MutexGuard<'_, Order> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Order {
    fn add_new(&mut self, all: &[Arc<Series>]) {
        let labels = |r: SeriesRef| &all[r as usize].labels;
        let mut new: Vec<SeriesRef> =
            (self.places.len() as SeriesRef..all.len() as SeriesRef).collect();
        new.sort_unstable_by(|&a, &b| labels(a).cmp(labels(b)));
        let mut merged = Vec::with_capacity(all.len());
        let mut rest = self.sorted.as_slice();
        for r in new {
            // Few are new among many, as a rule: look for the place instead of walking to it.
            let before = rest.partition_point(|&old| labels(old) < labels(r));
            merged.extend_from_slice(&rest[..before]);
            merged.push(r);
            rest = &rest[before..];
        }
        merged.extend_from_slice(rest);
        let mut places = vec![0; all.len()];
        for (place, &r) in merged.iter().enumerate() {
            places[r as usize] = place as u32;
        }
        self.sorted = merged;
        self.places = Arc::new(places);
    }
}

#[cfg(test)]
mod tests {
    use skopos_model::Labels;

    use super::*;

    #[test]
    fn kept_order_is_label_order() {
        let order = LabelOrder::default();
        let mut all = Vec::new();
        // 7919 is prime: numbers come in no order.
        for i in 0..3000_u32 {
            let labels = Labels::from_pairs([("i", (i * 7919 % 3001).to_string())]);
            all.push(Arc::new(Series::new(labels)));
            if i % 500 == 0 || i == 2999 {
                for step in [1, 2, 40] {
                    let refs: Vec<SeriesRef> = (0..=i).step_by(step).collect();
                    let wanted = order.wants_all(&refs, all.len()).then_some(all.as_slice());
                    let pick = |&r: &SeriesRef| (r, Arc::clone(&all[r as usize]));
                    let mut picked: Picked = refs.iter().map(pick).collect();
                    order.sort(&mut picked, wanted);
                    assert!(picked.is_sorted_by(|(_, a), (_, b)| a.labels < b.labels));
                    assert_eq!(picked.len(), (i as usize) / step + 1);
                }
            }
        }
    }
}
