//! Who sends telemetry: OpenTelemetry's resource and instrumentation scope.

use crate::attributes::Attributes;

/// The entity that produces telemetry, shared by everything it sends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// Its attributes, such as `service.name`.
    pub attributes: Attributes,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// Schema of the attributes' names.
    pub schema_url: String,
}

impl Resource {
    /// `service.name`, or the empty string.
    pub fn service_name(&self) -> &str {
        self.attributes.str("service.name").unwrap_or("")
    }
}

/// The library or module that produced telemetry within a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Further attributes.
    pub attributes: Attributes,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// Schema of the attributes' names.
    pub schema_url: String,
}
