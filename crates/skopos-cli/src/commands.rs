//! The commands, one per file.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod cardinality;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod export;
pub(crate) mod filter;
pub(crate) mod health;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod notify;
pub(crate) mod open;
pub(crate) mod promqltest;
pub(crate) mod query;
pub(crate) mod rules;
pub(crate) mod runbook;
pub(crate) mod serve;
pub(crate) mod slo;
pub(crate) mod snapshot;
pub(crate) mod sql;
pub(crate) mod status;
pub(crate) mod tail;
pub(crate) mod token;
pub(crate) mod trace;
pub(crate) mod verify;
