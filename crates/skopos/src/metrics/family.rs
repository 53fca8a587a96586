//! One metric with labels: an instrument for each label set, and the limits that hold whatever callers do.
//!
//! A look-up takes a read lock and one hash; hold the instrument to avoid even that. Only a new label set takes the write
//! lock. A value beyond its label's limit, or a label set beyond the family's limit, is folded into `other`; the folding is
//! decided under the read lock, so a flood of new values costs no more than ordinary ones.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::{Counter, Gauge, Histogram, LabelSet, Source, Value, Visit};

/// What a label says when its own value does not fit.
const OTHER: &str = "other";
/// Stands between the values of a key; a value that contains it is changed.
const SEPARATOR: char = '\u{1}';

/// An instrument that a [`Family`] can hold.
pub trait Instrument: Clone + Send + Sync + 'static {
    #[doc(hidden)]
    fn read(&self) -> Reading;
}

/// An opaque reading of an instrument.
#[doc(hidden)]
pub struct Reading(pub(crate) Value);

impl Instrument for Counter {
    fn read(&self) -> Reading {
        Reading(Value::Counter(self.get()))
    }
}

impl Instrument for Gauge {
    fn read(&self) -> Reading {
        Reading(Value::Gauge(self.get()))
    }
}

impl Instrument for Histogram {
    fn read(&self) -> Reading {
        Reading(Value::Histogram(self.snapshot()))
    }
}

/// Instruments of one name, told apart by labels. Cloning shares it.
pub struct Family<L, I> {
    inner: Arc<Inner<I>>,
    labels: PhantomData<fn(L)>,
}

impl<L, I> Clone for Family<L, I> {
    fn clone(&self) -> Self {
        Family { inner: self.inner.clone(), labels: PhantomData }
    }
}

impl<L, I> std::fmt::Debug for Family<L, I> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Family").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

struct Inner<I> {
    name: String,
    series_limit: usize,
    make: Box<dyn Fn() -> I + Send + Sync>,
    state: RwLock<State<I>>,
    overflows: Vec<AtomicU64>,
    warned: AtomicBool,
}

struct State<I> {
    series: HashMap<Box<str>, I>,
    /// The values met so far, for each label.
    values: Vec<HashSet<Box<str>>>,
}

thread_local! {
    /// The key under construction; kept, so that a look-up does not allocate.
    static KEY: RefCell<String> = const { RefCell::new(String::new()) };
}

impl<L: LabelSet, I: Instrument> Family<L, I> {
    pub(crate) fn new(
        name: &str,
        series_limit: usize,
        make: impl Fn() -> I + Send + Sync + 'static,
    ) -> Self {
        Family {
            inner: Arc::new(Inner {
                name: name.to_owned(),
                series_limit,
                make: Box::new(make),
                state: RwLock::new(State {
                    series: HashMap::new(),
                    values: L::NAMES.iter().map(|_| HashSet::new()).collect(),
                }),
                overflows: L::NAMES.iter().map(|_| AtomicU64::new(0)).collect(),
                warned: AtomicBool::new(false),
            }),
            labels: PhantomData,
        }
    }

    /// Returns the instrument of a label set.
    pub fn get(&self, labels: &L) -> I {
        // The key is taken out while callbacks run: a label that itself uses metrics finds an empty one.
        let mut key = KEY.try_with(RefCell::take).unwrap_or_default();
        key.clear();
        labels.visit(&mut |value| {
            push_value(&mut key, value);
        });
        let instrument = self.by_key(&key);
        let _ = KEY.try_with(|kept| *kept.borrow_mut() = key);
        instrument
    }

    fn by_key(&self, key: &str) -> I {
        let inner = &*self.inner;
        let folded = {
            let state = inner.state.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(instrument) = state.series.get(key) {
                return instrument.clone();
            }
            state.fold(key, L::LIMITS, inner.series_limit)
        };
        if let Some((folded, label)) = &folded {
            inner.count_overflow::<L>(*label);
            let state = inner.state.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(instrument) = state.series.get(folded.as_str()) {
                return instrument.clone();
            }
        }
        let mut state = inner.state.write().unwrap_or_else(PoisonError::into_inner);
        // Others may have come first: decide once more. What is folded twice stays folded.
        let key = match (folded, state.fold(key, L::LIMITS, inner.series_limit)) {
            (_, Some((folded, _))) | (Some((folded, _)), None) => folded,
            (None, None) => key.to_owned(),
        };
        if let Some(instrument) = state.series.get(key.as_str()) {
            return instrument.clone();
        }
        for (values, value) in state.values.iter_mut().zip(key.split(SEPARATOR)) {
            if value != OTHER {
                values.insert(value.into());
            }
        }
        let instrument = (inner.make)();
        state.series.insert(key.into(), instrument.clone());
        instrument
    }
}

impl<I> Inner<I> {
    fn count_overflow<L: LabelSet>(&self, label: usize) {
        if let Some(overflow) = self.overflows.get(label) {
            overflow.fetch_add(1, Ordering::Relaxed);
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            let label = L::NAMES.get(label).copied().unwrap_or_default();
            tracing::warn!(
                target: "skopos::metrics",
                metric = %self.name,
                label,
                series_limit = self.series_limit,
                "label has too many values; further ones are counted as `other`"
            );
        }
    }
}

impl<I> State<I> {
    /// Returns the key under which an unknown label set is counted and the label that is to blame, or nothing if it fits.
    fn fold(&self, key: &str, limits: &[usize], series_limit: usize) -> Option<(String, usize)> {
        let mut folded = String::with_capacity(key.len());
        let mut blamed = None;
        for (label, value) in key.split(SEPARATOR).enumerate() {
            let limit = limits.get(label).copied().unwrap_or(0);
            let fits = value == OTHER
                || self
                    .values
                    .get(label)
                    .is_some_and(|known| known.contains(value) || known.len() < limit);
            if fits {
                push_value(&mut folded, value);
            } else {
                push_value(&mut folded, OTHER);
                blamed = blamed.or(Some(label));
            }
        }
        let is_full =
            !self.series.contains_key(folded.as_str()) && self.series.len() >= series_limit;
        if is_full {
            // The label with the most values is the likeliest culprit; one more series takes all that does not fit.
            let worst = self
                .values
                .iter()
                .enumerate()
                .max_by_key(|(_, values)| values.len())
                .map_or(0, |(label, _)| label);
            folded.clear();
            for _ in 0..self.values.len() {
                push_value(&mut folded, OTHER);
            }
            blamed = blamed.or(Some(worst));
        }
        blamed.map(|label| (folded, label))
    }
}

/// Appends a value to a key; the key of the first value has no separator before it, so an empty first value is marked.
fn push_value(key: &mut String, value: &str) {
    if !key.is_empty() {
        key.push(SEPARATOR);
    }
    if value.is_empty() {
        // An empty label value is the same as no label to Prometheus; it still has to hold its place in the key.
        key.push('\u{2}');
    } else if value.contains(['\u{1}', '\u{2}']) {
        key.extend(
            value.chars().map(|letter| {
                if matches!(letter, '\u{1}' | '\u{2}') { '\u{fffd}' } else { letter }
            }),
        );
    } else {
        key.push_str(value);
    }
}

impl<L: LabelSet, I: Instrument> Source for Family<L, I> {
    fn visit(&self, visit: Visit<'_>) {
        // Copied out, so that slow readers do not hold the lock.
        let mut series: Vec<(Box<str>, I)> = {
            let state = self.inner.state.read().unwrap_or_else(PoisonError::into_inner);
            state.series.iter().map(|(key, instrument)| (key.clone(), instrument.clone())).collect()
        };
        series.sort_by(|left, right| left.0.cmp(&right.0));
        for (key, instrument) in &series {
            let labels: Vec<(&str, &str)> = L::NAMES
                .iter()
                .zip(key.split(SEPARATOR))
                .map(|(name, value)| (*name, if value == "\u{2}" { "" } else { value }))
                .collect();
            visit(&labels, instrument.read().0);
        }
    }

    fn overflows(&self) -> Vec<(&'static str, u64)> {
        L::NAMES
            .iter()
            .zip(&self.inner.overflows)
            .map(|(name, count)| (*name, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}
