//! The SDK seen from outside: through its lines, an OTLP collector in the process, real HTTP, and the text formats.

#[cfg(feature = "derive")]
mod derives;
mod export;
mod exposition;
mod health;
mod http;
mod install;
mod isolation;
mod level;
mod lines;
mod redaction;
mod shutdown;
mod spans;
mod support;
