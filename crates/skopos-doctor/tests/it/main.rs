//! The doctor: what it makes of what it saw, and whole visits to doubles of services.

mod double;
mod limits;
mod telemetry;
mod verdicts;
mod visits;
