//! Series of libraries that choose their labels at run time: what the bridges stand on.
//!
//! The labels' names are as open as their values, so only the number of label sets is bounded. What does not fit is counted in
//! one series with the label `otel.metric.overflow="true"`, as OpenTelemetry has it.

#![cfg_attr(
    not(any(feature = "otel-metrics", feature = "metrics-facade")),
    allow(dead_code, reason = "only the bridges need it")
)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::family::{Instrument, warn_overflow};
use super::{Source, Visit, valid_label};

const OVERFLOW: &str = "otel.metric.overflow";

/// Names and values, ordered by name.
type Labels = Box<[(Box<str>, Box<str>)]>;

/// Instruments of one name, told apart by labels that are not known beforehand. Cloning shares it.
pub(crate) struct DynamicFamily<I> {
    inner: Arc<Inner<I>>,
}

impl<I> Clone for DynamicFamily<I> {
    fn clone(&self) -> Self {
        DynamicFamily { inner: self.inner.clone() }
    }
}

struct Inner<I> {
    name: String,
    series_limit: usize,
    make: Box<dyn Fn() -> I + Send + Sync>,
    series: RwLock<HashMap<Labels, I>>,
    overflow: AtomicU64,
}

impl<I: Instrument> DynamicFamily<I> {
    pub(crate) fn new(
        name: &str,
        series_limit: usize,
        make: impl Fn() -> I + Send + Sync + 'static,
    ) -> Self {
        DynamicFamily {
            inner: Arc::new(Inner {
                name: name.to_owned(),
                series_limit,
                make: Box::new(make),
                series: RwLock::new(HashMap::new()),
                overflow: AtomicU64::new(0),
            }),
        }
    }

    /// Returns the instrument of a label set. Labels that Prometheus would call the same are joined by `;`.
    #[track_caller]
    pub(crate) fn get<'l>(&self, labels: impl Iterator<Item = (&'l str, String)>) -> I {
        let labels = ordered(labels);
        let inner = &*self.inner;
        {
            let series = inner.series.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(instrument) = series.get(&labels) {
                return instrument.clone();
            }
        }
        let mut series = inner.series.write().unwrap_or_else(PoisonError::into_inner);
        if series.len() < inner.series_limit || series.contains_key(&labels) {
            return series.entry(labels).or_insert_with(|| (inner.make)()).clone();
        }
        let is_first = inner.overflow.fetch_add(1, Ordering::Relaxed) == 0;
        let blamed = if is_first { widest(&series) } else { String::new() };
        let overflow: Labels = Box::new([(OVERFLOW.into(), "true".into())]);
        let instrument = series.entry(overflow).or_insert_with(|| (inner.make)()).clone();
        drop(series);
        if is_first {
            let caller = std::panic::Location::caller();
            warn_overflow(&inner.name, &blamed, inner.series_limit, caller);
        }
        instrument
    }
}

fn ordered<'l>(labels: impl Iterator<Item = (&'l str, String)>) -> Labels {
    // By the name that Prometheus will see, with the name as it was given.
    let mut by_name: BTreeMap<String, (Box<str>, String)> = BTreeMap::new();
    for (name, value) in labels {
        match by_name.get_mut(&*valid_label(name)) {
            Some((_, joined)) => {
                joined.push(';');
                joined.push_str(&value);
            }
            None => {
                by_name.insert(valid_label(name).into_owned(), (name.into(), value));
            }
        }
    }
    by_name.into_values().map(|(name, value)| (name, value.into())).collect()
}

/// Returns the label with the most values: the likeliest culprit.
fn widest<I>(series: &HashMap<Labels, I>) -> String {
    let mut values: HashMap<&str, HashSet<&str>> = HashMap::new();
    for (name, value) in series.keys().flat_map(|labels| labels.iter()) {
        values.entry(name).or_default().insert(value);
    }
    let widest = values.into_iter().max_by_key(|(name, values)| (values.len(), name.len()));
    widest.map(|(name, _)| name.to_owned()).unwrap_or_default()
}

impl<I: Instrument> Source for DynamicFamily<I> {
    fn visit(&self, visit: Visit<'_>) {
        let mut series: Vec<(Labels, I)> = {
            let series = self.inner.series.read().unwrap_or_else(PoisonError::into_inner);
            series.iter().map(|(labels, instrument)| (labels.clone(), instrument.clone())).collect()
        };
        series.sort_by(|left, right| left.0.cmp(&right.0));
        for (labels, instrument) in &series {
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(name, value)| (&**name, &**value)).collect();
            visit(&labels, instrument.read().0);
        }
    }

    fn overflows(&self) -> Vec<(String, u64)> {
        match self.inner.overflow.load(Ordering::Relaxed) {
            0 => Vec::new(),
            count => vec![(OVERFLOW.to_owned(), count)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DynamicFamily;
    use crate::metrics::{Counter, Source as _, Value};

    fn series(family: &DynamicFamily<Counter>) -> Vec<(String, u64)> {
        let mut series = Vec::new();
        family.visit(&mut |labels, value| {
            let Value::Counter(count) = value else { panic!("{value:?}") };
            series.push((format!("{labels:?}"), count));
        });
        series
    }

    #[test]
    fn the_order_of_labels_does_not_matter_and_names_that_become_one_are_joined() {
        let family = DynamicFamily::new("calls", 10, Counter::default);
        let get = |labels: &[(&'static str, &str)]| {
            family.get(labels.iter().map(|(name, value)| (*name, (*value).to_owned())))
        };
        get(&[("b", "2"), ("a.x", "1")]).inc();
        get(&[("a.x", "1"), ("b", "2")]).inc();
        get(&[("a.x", "1"), ("a_x", "3")]).inc();
        let expected = [
            (r#"[("a.x", "1"), ("b", "2")]"#.to_owned(), 2),
            (r#"[("a.x", "1;3")]"#.to_owned(), 1),
        ];
        assert_eq!(series(&family), expected);
    }

    #[test]
    fn beyond_the_limit_there_is_one_more_series() {
        let family = DynamicFamily::new("calls", 3, Counter::default);
        for user in 0..100 {
            family.get([("user", user.to_string())].into_iter()).inc();
        }
        assert_eq!(series(&family).len(), 4);
        assert_eq!(series(&family).iter().map(|(_, count)| count).sum::<u64>(), 100);
        assert_eq!(family.overflows(), [("otel.metric.overflow".to_owned(), 97)]);
    }
}
