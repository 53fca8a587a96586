//! Counters and gauges: one atomic each, no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Source, Value, Visit};

/// A number on a cache line of its own, so that threads that count different things do not hold each other up.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Cell(AtomicU64);

/// A number that only grows. Cloning shares it.
///
/// ```
/// # let registry = skopos::metrics::Registry::new();
/// let orders = registry.counter("orders_placed_total", "Orders placed.");
/// orders.inc();
/// assert_eq!(orders.get(), 1);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<Cell>);

impl Counter {
    /// Adds one.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let orders = registry.counter("orders_placed_total", "Orders placed.");
    /// orders.inc();
    /// ```
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds a number.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let orders = registry.counter("orders_placed_total", "Orders placed.");
    /// orders.add(3);
    /// # assert_eq!(orders.get(), 3);
    /// ```
    pub fn add(&self, number: u64) {
        self.0.0.fetch_add(number, Ordering::Relaxed);
    }

    /// Raises the sum to a number, for one who counts elsewhere; a lower number changes nothing.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let orders = registry.counter("orders_placed_total", "Orders placed.");
    /// orders.raise_to(17);
    /// orders.raise_to(5);
    /// assert_eq!(orders.get(), 17);
    /// ```
    pub fn raise_to(&self, number: u64) {
        self.0.0.fetch_max(number, Ordering::Relaxed);
    }

    /// Returns the sum so far.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let orders = registry.counter("orders_placed_total", "Orders placed.");
    /// assert_eq!(orders.get(), 0);
    /// ```
    pub fn get(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }
}

impl Source for Counter {
    fn visit(&self, visit: Visit<'_>) {
        visit(&[], Value::Counter(self.get()));
    }
}

/// A number that goes up and down. Cloning shares it.
///
/// ```
/// # let registry = skopos::metrics::Registry::new();
/// let carts = registry.gauge("carts_open", "Carts.");
/// carts.set(3.0);
/// carts.dec();
/// assert_eq!(carts.get(), 2.0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<Cell>);

impl Gauge {
    /// Sets the value.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let carts = registry.gauge("carts_open", "Carts.");
    /// carts.set(3.0);
    /// ```
    pub fn set(&self, value: f64) {
        self.0.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds a number, which may be negative.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let carts = registry.gauge("carts_open", "Carts.");
    /// carts.add(-1.5);
    /// # assert_eq!(carts.get(), -1.5);
    /// ```
    pub fn add(&self, number: f64) {
        add_float(&self.0.0, number);
    }

    /// Adds one.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let carts = registry.gauge("carts_open", "Carts.");
    /// carts.inc();
    /// ```
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Takes one away.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let carts = registry.gauge("carts_open", "Carts.");
    /// carts.dec();
    /// ```
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// Returns the value.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let carts = registry.gauge("carts_open", "Carts.");
    /// assert_eq!(carts.get(), 0.0);
    /// ```
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.0.load(Ordering::Relaxed))
    }

    /// Adds one now and takes it away when the guard is dropped, whatever happens between.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let carts = registry.gauge("carts_open", "Carts.");
    /// {
    ///     let _one_more = carts.track();
    ///     assert_eq!(carts.get(), 1.0);
    /// }
    /// assert_eq!(carts.get(), 0.0);
    /// ```
    #[must_use = "the gauge goes down when the guard is dropped"]
    pub fn track(&self) -> InFlight {
        self.inc();
        InFlight(self.clone())
    }
}

impl Source for Gauge {
    fn visit(&self, visit: Visit<'_>) {
        visit(&[], Value::Gauge(self.get()));
    }
}

/// Counts as one in a [`Gauge`] while it lives.
///
/// ```
/// # let registry = skopos::metrics::Registry::new();
/// let carts = registry.gauge("carts_open", "Carts.");
/// let guard: skopos::metrics::InFlight = carts.track();
/// drop(guard);
/// # assert_eq!(carts.get(), 0.0);
/// ```
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Adds to a float that is kept as bits.
pub(crate) fn add_float(bits: &AtomicU64, number: f64) {
    let mut current = bits.load(Ordering::Relaxed);
    loop {
        let next = (f64::from_bits(current) + number).to_bits();
        match bits.compare_exchange_weak(current, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(actual) => current = actual,
        }
    }
}
