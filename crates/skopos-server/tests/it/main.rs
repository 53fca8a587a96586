//! Integration tests of the server, through its sockets.

mod api;
mod auth;
mod bad_input;
mod cardinality;
mod derive;
mod differential;
mod events;
mod failures;
mod grpc_raw;
mod harness;
mod jaeger;
mod lifecycle;
mod logs;
mod memory;
mod openapi;
mod otlp;
mod prometheus;
mod promql_api;
mod remote_write;
mod rules;
mod scrape;
mod sql;
mod status;
mod tail;
mod traces;
mod ui;
