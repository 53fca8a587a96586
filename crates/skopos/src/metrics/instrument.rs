//! Counters and gauges: one atomic each, no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Source, Value, Visit};

/// A number on a cache line of its own, so that threads that count different things do not hold each other up.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Cell(AtomicU64);

/// A number that only grows. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<Cell>);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds a number.
    pub fn add(&self, number: u64) {
        self.0.0.fetch_add(number, Ordering::Relaxed);
    }

    /// Raises the sum to a number, for one who counts elsewhere; a lower number changes nothing.
    pub fn raise_to(&self, number: u64) {
        self.0.0.fetch_max(number, Ordering::Relaxed);
    }

    /// Returns the sum so far.
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
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<Cell>);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.0.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds a number, which may be negative.
    pub fn add(&self, number: f64) {
        add_float(&self.0.0, number);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Takes one away.
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// Returns the value.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.0.load(Ordering::Relaxed))
    }

    /// Adds one now and takes it away when the guard is dropped, whatever happens between.
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
