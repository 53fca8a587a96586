//! Tests of the decoders through their public functions.

mod bad_input;
mod compression;
mod conformance;
mod derive;
mod exposition;
mod fuzz;
mod label_cache;
mod limits;
mod logs;
mod metrics;
mod redaction;
mod remote_write;
mod remote_write_v2;
mod responses;
mod round_trip;
mod support;
mod traces;
