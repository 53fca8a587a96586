//! `AnyValue` and `KeyValue` in JSON: the hot part, read straight into the protobuf messages.

use std::fmt;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::Mirror;
use super::scalar::{List, Num, Text, Truth};
use crate::otlp::base64;

/// `KeyValue`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Pair {
    key: Text,
    value: Option<Any>,
}

impl Mirror for Pair {
    type Message = KeyValue;

    fn message(self) -> KeyValue {
        let value = self.value.map(|any| AnyValue { value: any.0 });
        KeyValue { key: self.key.message(), value, key_strindex: 0 }
    }
}

/// `AnyValue`: an object with at most one of its fields; of several the last one counts.
#[derive(Default)]
pub(super) struct Any(Option<Value>);

impl Mirror for Any {
    type Message = AnyValue;

    fn message(self) -> AnyValue {
        AnyValue { value: self.0 }
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    StringValue,
    BoolValue,
    IntValue,
    DoubleValue,
    ArrayValue,
    KvlistValue,
    BytesValue,
    #[serde(other)]
    Other,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Values<T> {
    #[serde(bound(deserialize = "T: Deserialize<'de>"))]
    values: List<T>,
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnyVisitor).map(Self)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object such as {\"stringValue\": \"…\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(field) = map.next_key::<Field>()? {
            let value = match field {
                Field::StringValue => map.next_value::<Option<String>>()?.map(Value::StringValue),
                Field::BoolValue => map
                    .next_value::<Option<Truth>>()?
                    .map(|truth| Value::BoolValue(truth.message())),
                Field::IntValue => map
                    .next_value::<Option<Num<i64>>>()?
                    .map(|number| Value::IntValue(number.message())),
                Field::DoubleValue => map
                    .next_value::<Option<Num<f64>>>()?
                    .map(|number| Value::DoubleValue(number.message())),
                Field::ArrayValue => map
                    .next_value::<Option<Values<Any>>>()?
                    .map(|list| Value::ArrayValue(ArrayValue { values: list.values.message() })),
                Field::KvlistValue => map
                    .next_value::<Option<Values<Pair>>>()?
                    .map(|list| Value::KvlistValue(KeyValueList { values: list.values.message() })),
                Field::BytesValue => match map.next_value::<Option<String>>()? {
                    None => None,
                    Some(text) => Some(Value::BytesValue(
                        base64::decode(&text)
                            .ok_or_else(|| A::Error::custom("bytesValue is not base64"))?,
                    )),
                },
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if value.is_some() {
                found = value;
            }
        }
        Ok(found)
    }
}
