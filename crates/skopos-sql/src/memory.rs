//! The memory of a query's operators, charged to the query's budget.
//!
//! Sorting, grouping and joining thus share their limit with what the query reads, and all queries
//! share one pool, SQL or not. What an operator holds it gives back as it shrinks or ends.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};
use skopos_model::storage::{ErrorKind, QueryBudget};

/// DataFusion's view of a budget.
#[derive(Debug)]
pub(crate) struct BudgetPool {
    budget: QueryBudget,
    reserved: AtomicUsize,
}

impl BudgetPool {
    pub(crate) fn new(budget: QueryBudget) -> Self {
        Self { budget, reserved: AtomicUsize::new(0) }
    }
}

impl fmt::Display for BudgetPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query budget, {} bytes reserved", self.reserved())
    }
}

impl MemoryPool for BudgetPool {
    fn name(&self) -> &'static str {
        "query budget"
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        self.budget.charge_held_bytes(additional as u64);
        self.reserved.fetch_add(additional, Ordering::Relaxed);
    }

    fn shrink(&self, _: &MemoryReservation, shrink: usize) {
        self.budget.release_bytes(shrink as u64);
        self.reserved.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, _: &MemoryReservation, additional: usize) -> Result<(), DataFusionError> {
        self.budget.charge_bytes(additional as u64).map_err(|error| match error.kind {
            ErrorKind::ResourceExhausted => DataFusionError::ResourcesExhausted(error.message),
            _ => DataFusionError::External(Box::new(error)),
        })?;
        self.reserved.fetch_add(additional, Ordering::Relaxed);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Unknown
    }
}
