//! The `skopos` binary, driven as its users do: spawned, spoken to over HTTP, killed.

#![expect(clippy::disallowed_methods, reason = "these tests wait for real processes")]

mod audit;
mod client;
mod demo;
mod doctor;
mod errors;
mod harness;
mod kill;
mod notify;
mod operate;
mod packaging;
mod promqltest;
mod python;
mod rules;
mod rules_check;
mod shop;
mod slo;
mod snapshot;
mod sql;
mod tail;
