//! One metric with labels: an instrument for each label set, and the limits that hold whatever callers do.
//!
//! Labels of closed sets find their instrument by index. With an open label a look-up takes a read lock and one hash; hold
//! the instrument to avoid even that. Only a new label set takes the write lock, and only it allocates. A value beyond its
//! label's limit, or a label set beyond the family's limit, is folded into `other`; the folding is decided under the read
//! lock, so a flood of new values costs no more than ordinary ones.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::{Counter, Gauge, Histogram, LabelSet, Source, Value, Visit};

/// What a label says when its own value does not fit.
pub(crate) const OTHER: &str = "other";
/// Stands between the values of a key; a value that contains it is changed.
const SEPARATOR: char = '\u{1}';
/// Label sets that are found by index at most: beyond this the table would cost more than it saves.
const MOST_CELLS: usize = 4096;

/// An instrument that a [`Family`] can hold.
///
/// ```
/// use skopos::metrics::{Counter, Family, Instrument, LabelSet};
///
/// fn series<L: LabelSet, I: Instrument>(family: &Family<L, I>, labels: &L) -> I {
///     family.get(labels)
/// }
/// # let _ = series::<L, Counter>;
/// # skopos::labels! { struct L { region: skopos::metrics::Bounded<2> } }
/// ```
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
///
/// ```
/// skopos::labels! { struct OrderLabels { region: skopos::metrics::Bounded<16> } }
///
/// # let registry = skopos::metrics::Registry::new();
/// let orders = registry.counter_family::<OrderLabels>("orders_placed_total", "Orders placed.");
/// orders.inc(&OrderLabels { region: "eu".into() });
/// # assert_eq!(orders.get(&OrderLabels { region: "eu".into() }).get(), 1);
/// ```
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
    /// The instruments of label sets of closed sets, by number. They stand in `state` too.
    cells: Box<[OnceLock<I>]>,
    state: RwLock<State<I>>,
    overflows: Vec<Overflow>,
}

/// What did not fit, by label.
#[derive(Default)]
struct Overflow {
    count: AtomicU64,
    is_told: AtomicBool,
}

/// Calls back with labels and instrument.
type EachSeries<'a, I> = &'a mut dyn FnMut(&[(&str, &str)], &I);

struct State<I> {
    series: HashMap<Box<str>, I>,
    /// The values met so far, for each label.
    values: Vec<HashSet<Box<str>>>,
}

thread_local! {
    /// The key under construction; kept, so that a look-up does not allocate.
    static KEY: RefCell<String> = const { RefCell::new(String::new()) };
}

impl<L: LabelSet, I: Clone + Send + Sync + 'static> Family<L, I> {
    pub(crate) fn new(
        name: &str,
        series_limit: usize,
        make: impl Fn() -> I + Send + Sync + 'static,
    ) -> Self {
        let cells = if L::CELLS <= MOST_CELLS { L::CELLS } else { 0 };
        Family {
            inner: Arc::new(Inner {
                name: name.to_owned(),
                series_limit,
                make: Box::new(make),
                cells: (0..cells).map(|_| OnceLock::new()).collect(),
                state: RwLock::new(State {
                    series: HashMap::new(),
                    values: L::NAMES.iter().map(|_| HashSet::new()).collect(),
                }),
                overflows: L::NAMES.iter().map(|_| Overflow::default()).collect(),
            }),
            labels: PhantomData,
        }
    }

    /// Returns the instrument of a label set, to be held.
    ///
    /// ```
    /// skopos::labels! { struct OrderLabels { region: skopos::metrics::Bounded<16> } }
    ///
    /// # let registry = skopos::metrics::Registry::new();
    /// let orders = registry.counter_family::<OrderLabels>("orders_placed_total", "Orders placed.");
    /// let in_europe = orders.get(&OrderLabels { region: "eu".into() }); // once, where it is hot
    /// in_europe.inc();
    /// ```
    #[track_caller]
    pub fn get(&self, labels: &L) -> I {
        self.with(labels, I::clone)
    }

    /// Uses the instrument of a label set without taking hold of it.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// skopos::label_values! { enum Outcome { Sent => "sent", Lost => "lost" } }
    /// skopos::labels! { struct MailLabels { outcome: Outcome } }
    /// let mails = registry.counter_family::<MailLabels>("mails_total", "Mails.");
    /// let sent = mails.with(&MailLabels { outcome: Outcome::Sent }, |counter| {
    ///     counter.inc();
    ///     counter.get()
    /// });
    /// assert_eq!(sent, 1);
    /// ```
    #[track_caller]
    pub fn with<R>(&self, labels: &L, use_it: impl FnOnce(&I) -> R) -> R {
        let Some(cell) = self.inner.cells.get(labels.cell()) else {
            return use_it(&self.look_up(labels, Location::caller()).0);
        };
        if let Some(instrument) = cell.get() {
            return use_it(instrument);
        }
        let (instrument, fits) = self.look_up(labels, Location::caller());
        if fits {
            // Others may have been first, with the same instrument.
            let _ = cell.set(instrument.clone());
        }
        use_it(&instrument)
    }

    /// Returns the instrument by hash, and whether it is that of the label set itself and not of `other`.
    fn look_up(&self, labels: &L, caller: &Location<'_>) -> (I, bool) {
        // The key is taken out while callbacks run: a label that itself uses metrics finds an empty one.
        let mut key = KEY.try_with(RefCell::take).unwrap_or_default();
        key.clear();
        let mut is_first = true;
        labels.visit(&mut |value| {
            push_value(&mut key, value, is_first);
            is_first = false;
        });
        let found = self.by_key(&key, caller);
        let _ = KEY.try_with(|kept| *kept.borrow_mut() = key);
        found
    }

    fn by_key(&self, key: &str, caller: &Location<'_>) -> (I, bool) {
        let inner = &*self.inner;
        let folded = {
            let state = inner.state.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(instrument) = state.series.get(key) {
                return (instrument.clone(), true);
            }
            state.fold(key, L::LIMITS, inner.series_limit)
        };
        if let Some((folded, label)) = &folded {
            inner.count_overflow::<L>(*label, caller);
            let state = inner.state.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(instrument) = state.series.get(folded.as_str()) {
                return (instrument.clone(), false);
            }
        }
        let mut state = inner.state.write().unwrap_or_else(PoisonError::into_inner);
        // Others may have come first: decide once more. What is folded twice stays folded.
        let (key, fits) = match (folded, state.fold(key, L::LIMITS, inner.series_limit)) {
            (_, Some((folded, _))) | (Some((folded, _)), None) => (folded, false),
            (None, None) => (key.to_owned(), true),
        };
        if let Some(instrument) = state.series.get(key.as_str()) {
            return (instrument.clone(), fits);
        }
        for (values, value) in state.values.iter_mut().zip(key.split(SEPARATOR)) {
            if value != OTHER {
                values.insert(value.into());
            }
        }
        let instrument = (inner.make)();
        state.series.insert(key.into(), instrument.clone());
        (instrument, fits)
    }

    /// Calls back with the labels of each series, in order, and its instrument.
    pub(crate) fn each(&self, visit: EachSeries<'_, I>) {
        // Copied out, so that slow readers do not hold the lock.
        let mut series: Vec<(Box<str>, I)> = {
            let state = self.inner.state.read().unwrap_or_else(PoisonError::into_inner);
            state.series.iter().map(|(key, instrument)| (key.clone(), instrument.clone())).collect()
        };
        series.sort_by(|left, right| left.0.cmp(&right.0));
        for (key, instrument) in &series {
            let labels: Vec<(&str, &str)> =
                L::NAMES.iter().copied().zip(key.split(SEPARATOR)).collect();
            visit(&labels, instrument);
        }
    }

    /// Returns how often each label's values did not fit; labels without such are left out.
    pub(crate) fn folded(&self) -> Vec<(String, u64)> {
        L::NAMES
            .iter()
            .zip(&self.inner.overflows)
            .map(|(name, overflow)| ((*name).to_owned(), overflow.count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

impl<L: LabelSet> Family<L, Counter> {
    /// Adds one to the counter of a label set.
    ///
    /// ```
    /// skopos::labels! { struct OrderLabels { region: skopos::metrics::Bounded<16> } }
    ///
    /// # let registry = skopos::metrics::Registry::new();
    /// let orders = registry.counter_family::<OrderLabels>("orders_placed_total", "Orders placed.");
    /// orders.inc(&OrderLabels { region: "eu".into() });
    /// ```
    #[track_caller]
    pub fn inc(&self, labels: &L) {
        self.with(labels, Counter::inc);
    }

    /// Adds a number to the counter of a label set.
    ///
    /// ```
    /// skopos::labels! { struct OrderLabels { region: skopos::metrics::Bounded<16> } }
    ///
    /// # let registry = skopos::metrics::Registry::new();
    /// let items = registry.counter_family::<OrderLabels>("items_sold_total", "Items sold.");
    /// items.add(&OrderLabels { region: "eu".into() }, 3);
    /// ```
    #[track_caller]
    pub fn add(&self, labels: &L, number: u64) {
        self.with(labels, |counter| counter.add(number));
    }
}

impl<L: LabelSet> Family<L, Gauge> {
    /// Sets the gauge of a label set.
    ///
    /// ```
    /// skopos::labels! { struct OrderLabels { region: skopos::metrics::Bounded<16> } }
    ///
    /// # let registry = skopos::metrics::Registry::new();
    /// let stock = registry.gauge_family::<OrderLabels>("stock_items", "Items in stock.");
    /// stock.set(&OrderLabels { region: "eu".into() }, 42.0);
    /// ```
    #[track_caller]
    pub fn set(&self, labels: &L, value: f64) {
        self.with(labels, |gauge| gauge.set(value));
    }
}

impl<L: LabelSet> Family<L, Histogram> {
    /// Counts an observation in the histogram of a label set.
    ///
    /// ```
    /// skopos::labels! { struct OrderLabels { region: skopos::metrics::Bounded<16> } }
    ///
    /// # let registry = skopos::metrics::Registry::new();
    /// let values = registry.histogram_family::<OrderLabels>("order_value_euros", "Values.", &[10.0, 100.0]);
    /// values.observe(&OrderLabels { region: "eu".into() }, 42.0);
    /// ```
    #[track_caller]
    pub fn observe(&self, labels: &L, value: f64) {
        self.with(labels, |histogram| histogram.observe(value));
    }
}

impl<I> Inner<I> {
    fn count_overflow<L: LabelSet>(&self, label: usize, caller: &Location<'_>) {
        let Some(overflow) = self.overflows.get(label) else { return };
        overflow.count.fetch_add(1, Ordering::Relaxed);
        if !overflow.is_told.swap(true, Ordering::Relaxed) {
            let label = L::NAMES.get(label).copied().unwrap_or_default();
            warn_overflow(&self.name, label, self.series_limit, caller);
        }
    }
}

/// Tells, once for each label of a metric, which call made too many values.
pub(crate) fn warn_overflow(metric: &str, label: &str, series_limit: usize, caller: &Location<'_>) {
    tracing::warn!(
        target: "skopos::metrics",
        metric,
        label,
        call_site = %caller,
        series_limit,
        "label has too many values; further ones are counted as `other`"
    );
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
                push_value(&mut folded, value, label == 0);
            } else {
                push_value(&mut folded, OTHER, label == 0);
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
            for label in 0..self.values.len() {
                push_value(&mut folded, OTHER, label == 0);
            }
            blamed = blamed.or(Some(worst));
        }
        blamed.map(|label| (folded, label))
    }
}

/// Appends a value to a key.
fn push_value(key: &mut String, value: &str, is_first: bool) {
    if !is_first {
        key.push(SEPARATOR);
    }
    if value.contains(SEPARATOR) {
        key.extend(
            value.chars().map(|letter| {
                if letter == SEPARATOR { char::REPLACEMENT_CHARACTER } else { letter }
            }),
        );
    } else {
        key.push_str(value);
    }
}

impl<L: LabelSet, I: Instrument> Source for Family<L, I> {
    fn visit(&self, visit: Visit<'_>) {
        self.each(&mut |labels, instrument| visit(labels, instrument.read().0));
    }

    fn overflows(&self) -> Vec<(String, u64)> {
        self.folded()
    }
}
