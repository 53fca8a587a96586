//! OTLP requests, put together from the protocol's own messages.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

pub const PROTOBUF: &str = "application/x-protobuf";
pub const JSON: &str = "application/json";

/// An attribute's value.
#[derive(Clone, Debug)]
pub enum Attribute {
    Fixed(&'static str),
    Text(String),
    Integer(i64),
    Float(f64),
}

pub type Attributes = Vec<(&'static str, Attribute)>;

/// A sender of telemetry.
pub struct Service {
    pub name: &'static str,
    pub instance: String,
}

pub const ENVIRONMENT: &str = "production";

/// Eight services with names as in a shop.
pub fn services() -> Vec<Service> {
    let names =
        ["gateway", "orders", "checkout", "payments", "catalog", "search", "accounts", "shipping"];
    let service = |(i, name): (usize, &&'static str)| Service {
        name,
        instance: format!("{name}-7d9c5b6f4-{:05x}", 0x9e37 * (i + 3)),
    };
    names.iter().enumerate().map(service).collect()
}

pub fn resource(service: &Service) -> Option<Resource> {
    let attributes = vec![
        pair("service.name", Value::StringValue(service.name.into())),
        pair("service.instance.id", Value::StringValue(service.instance.clone())),
        pair("service.version", Value::StringValue("1.42.0".into())),
        pair("deployment.environment.name", Value::StringValue(ENVIRONMENT.into())),
    ];
    Some(Resource { attributes, ..Resource::default() })
}

pub fn attributes(attributes: &Attributes) -> Vec<KeyValue> {
    let value = |attribute: &Attribute| match attribute {
        Attribute::Fixed(text) => Value::StringValue((*text).to_owned()),
        Attribute::Text(text) => Value::StringValue(text.clone()),
        Attribute::Integer(number) => Value::IntValue(*number),
        Attribute::Float(number) => Value::DoubleValue(*number),
    };
    attributes.iter().map(|(key, attribute)| pair(key, value(attribute))).collect()
}

pub fn text(value: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) })
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
