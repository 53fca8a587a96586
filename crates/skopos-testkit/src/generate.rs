//! Seeded telemetry: series of every kind, logs and traces of the shop.
//!
//! Constraints: everything follows from the seed and the times given; generators hold no clock.
//! They make what is hard on purpose: resets, gaps, NaN, stale markers, late and repeated samples,
//! histograms, bytes and nested values in attributes.

mod logs;
mod metrics;
mod random;
mod traces;

pub use logs::log_batch;
pub use metrics::{MetricGenerator, histogram};
pub use random::Random;
pub use traces::trace_batch;

use std::sync::Arc;

use skopos_model::{Attributes, Resource, Scope};

/// The services of the shop.
pub const SERVICES: [&str; 3] = ["order-service", "payment-service", "inventory-service"];

/// The resource of a service of the shop.
pub fn resource(service: &str) -> Arc<Resource> {
    let mut attributes = Attributes::new();
    attributes.set("service.name", service);
    attributes.set("deployment.environment.name", "production");
    attributes.set("service.instance.id", format!("{service}-1"));
    Arc::new(Resource {
        attributes,
        dropped_attributes_count: 0,
        schema_url: "https://opentelemetry.io/schemas/1.30.0".into(),
    })
}

/// The scope that the shop's services instrument themselves with.
pub fn scope() -> Arc<Scope> {
    Arc::new(Scope { name: "shop".into(), version: "0.1.0".into(), ..Scope::default() })
}
