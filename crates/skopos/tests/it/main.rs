//! The SDK seen from outside: through its lines, an OTLP collector in the process, real HTTP, and the text formats.

mod allocations;
#[cfg(feature = "_integrations")]
mod bridges;
mod clients;
#[cfg(feature = "_integrations")]
mod databases;
#[cfg(feature = "derive")]
mod derives;
mod export;
mod exposition;
mod golden_signals;
mod health;
mod http;
mod install;
mod isolation;
mod level;
mod lines;
mod local;
mod objectives;
mod pages;
#[cfg(feature = "_integrations")]
mod pool_health;
mod push;
mod python;
mod redaction;
mod shutdown;
mod spans;
mod support;
#[cfg(feature = "testing")]
mod testing;
#[cfg(feature = "tls")]
mod tls;
mod validation;
mod work;
