//! The `skopos` binary, driven as its users do: spawned, spoken to over HTTP, killed.

mod demo;
mod errors;
mod harness;
mod kill;
mod python;
