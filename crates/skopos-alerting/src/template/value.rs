//! The values templates work on, and how Go names and prints them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::humanize::format_float;
use super::time::{format_duration, format_time, format_zoned};

/// A value. The shared parts make copies cheap; text is atomically shared because parsed
/// templates hold literals and travel between threads.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    /// Text that needs no escaping where the output is HTML.
    Safe(Arc<str>),
    /// `map[string]string`: a missing key is the empty text.
    Labels(Arc<BTreeMap<String, String>>),
    /// `map[string]interface{}`, made by `args`.
    Map(Arc<BTreeMap<String, Value>>),
    List(Arc<Vec<Value>>),
    /// An element of a query's result: fields `Labels` and `Value`.
    Sample(Arc<BTreeMap<String, String>>, f64),
    /// The data a rule's template is given: fields `Labels`, `ExternalLabels`, `ExternalURL`,
    /// `Value`.
    Alert(Arc<AlertData>),
    /// Fields by name: what a notification's template is given.
    Record(Arc<Record>),
    /// Milliseconds since the epoch, in UTC.
    Time(i64),
    /// Milliseconds since the epoch, as clocks in a time zone show them.
    ZonedTime(i64, Zone),
    /// Nanoseconds.
    Duration(i64),
}

/// Fields by name.
#[derive(Debug)]
pub(crate) struct Record {
    /// The name of the Go type.
    pub(crate) type_name: &'static str,
    pub(crate) fields: Vec<(&'static str, Value)>,
}

/// A time zone at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    /// Seconds east of UTC.
    pub(crate) offset: i32,
    /// Its abbreviation: `CET`.
    pub(crate) name: Arc<str>,
}

#[derive(Debug)]
pub(crate) struct AlertData {
    pub(crate) labels: Arc<BTreeMap<String, String>>,
    pub(crate) external_labels: Arc<BTreeMap<String, String>>,
    pub(crate) external_url: Arc<str>,
    pub(crate) value: f64,
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl Value {
    /// Go's truth: not the zero value, not empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(b) => *b,
            Self::Int(n) => *n != 0,
            Self::Float(n) => *n != 0.0,
            Self::Text(text) | Self::Safe(text) => !text.is_empty(),
            Self::Labels(map) => !map.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Sample(..) | Self::Alert(_) | Self::Record(_) => true,
            Self::Time(_) | Self::ZonedTime(..) => true,
            Self::Duration(n) => *n != 0,
        }
    }

    /// The name of the Go type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Labels(_) => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::List(_) => "template.queryResult",
            Self::Sample(..) => "*template.sample",
            Self::Alert(_) => {
                "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"
            }
            Self::Safe(_) => "template.HTML",
            Self::Record(record) => record.type_name,
            Self::Time(_) | Self::ZonedTime(..) => "*time.Time",
            Self::Duration(_) => "*time.Duration",
        }
    }

    /// What `%v` prints.
    pub(super) fn print(&self) -> String {
        match self {
            Self::Nil => "<nil>".into(),
            Self::Bool(b) => b.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Float(n) => format_float(*n, 'g', None),
            Self::Text(text) | Self::Safe(text) => text.to_string(),
            Self::Labels(map) => print_map(map.iter().map(|(k, v)| (k, v.clone()))),
            Self::Map(map) => print_map(map.iter().map(|(k, v)| (k, v.print()))),
            Self::List(list) => {
                let items: Vec<String> = list.iter().map(Value::print).collect();
                format!("[{}]", items.join(" "))
            }
            Self::Sample(labels, value) => {
                let labels = print_map(labels.iter().map(|(k, v)| (k, v.clone())));
                format!("{{{labels} {}}}", format_float(*value, 'g', None))
            }
            Self::Alert(data) => {
                let map =
                    |m: &BTreeMap<String, String>| print_map(m.iter().map(|(k, v)| (k, v.clone())));
                let value = format_float(data.value, 'g', None);
                let (labels, external) = (map(&data.labels), map(&data.external_labels));
                format!("{{{labels} {external} {} {value}}}", data.external_url)
            }
            Self::Record(record) => {
                let fields: Vec<String> = record.fields.iter().map(|(_, v)| v.print()).collect();
                format!("{{{}}}", fields.join(" "))
            }
            Self::Time(ms) => format_time(*ms),
            Self::ZonedTime(ms, zone) => format_zoned(*ms, zone),
            Self::Duration(nanos) => format_duration(*nanos),
        }
    }

    /// A field, or a map's entry.
    pub(super) fn field(&self, name: &str) -> Result<Value, String> {
        let missing = || Err(format!("can't evaluate field {name} in type {}", self.type_name()));
        Ok(match self {
            Self::Labels(map) => Value::from(map.get(name).cloned().unwrap_or_default()),
            Self::Map(map) => map.get(name).cloned().unwrap_or(Value::Nil),
            Self::Sample(labels, value) => match name {
                "Labels" => Self::Labels(labels.clone()),
                "Value" => Self::Float(*value),
                _ => return missing(),
            },
            Self::Alert(data) => match name {
                "Labels" => Self::Labels(data.labels.clone()),
                "ExternalLabels" => Self::Labels(data.external_labels.clone()),
                "ExternalURL" => Self::Text(data.external_url.clone()),
                "Value" => Self::Float(data.value),
                _ => return missing(),
            },
            Self::Record(record) => match record.fields.iter().find(|(field, _)| *field == name) {
                Some((_, value)) => value.clone(),
                None => return missing(),
            },
            Self::Nil => return Err(format!("nil pointer evaluating interface {{}}.{name}")),
            _ => return missing(),
        })
    }
}

fn print_map<'a>(entries: impl Iterator<Item = (&'a String, String)>) -> String {
    let entries: Vec<String> = entries.map(|(name, value)| format!("{name}:{value}")).collect();
    format!("map[{}]", entries.join(" "))
}
