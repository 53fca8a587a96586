//! Counts the values of fields over many events, and which attributes there are.
//!
//! Counts are exact as long as a field has no more than [`MOST_VALUES`] values; of what comes
//! beyond, only values seen before are told apart. Values of repeated columns (service, name,
//! resource) are counted by their place in the batch's dictionary and looked up once per batch;
//! attributes are found in one walk over a row's JSON, without building it.

use std::borrow::Cow;
use std::collections::HashMap;

use arrow_array::Array;
use skopos_model::SeverityNumber;
use skopos_model::event::{EventFields, EventSignal, Field, FieldValue};
use skopos_model::storage::{QueryBudget, StorageError};

use super::columns::{Dictionary, EventColumns, OwnColumns, Row};
use super::json;
use crate::scan::EventRows;

/// Most values of a field that are told apart.
const MOST_VALUES: usize = 100_000;

/// Counts the values of some fields.
#[derive(Debug)]
pub struct FacetCounter {
    fields: Vec<(Field, Values)>,
    total: u64,
    budget: QueryBudget,
}

#[derive(Debug, Default)]
struct Values {
    counts: HashMap<Box<str>, u64>,
    beyond: u64,
    missing: u64,
}

/// The values of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    /// The field.
    pub field: Field,
    /// The most frequent values with their counts, the most frequent first.
    pub values: Vec<(String, u64)>,
    /// Events with another value.
    pub other: u64,
    /// Events without the field, or with an empty value.
    pub missing: u64,
    /// How many values there are; at the limit there may be more.
    pub distinct: usize,
}

impl Values {
    fn add(&mut self, value: &str, count: u64, budget: &QueryBudget) -> Result<(), StorageError> {
        if value.is_empty() {
            self.missing += count;
        } else if let Some(known) = self.counts.get_mut(value) {
            *known += count;
        } else if self.counts.len() < MOST_VALUES {
            budget.charge_bytes(value.len() as u64 + 64)?;
            self.counts.insert(value.into(), count);
        } else {
            self.beyond += count;
        }
        Ok(())
    }
}

impl FacetCounter {
    /// Nothing counted yet. New values are charged to the budget.
    pub fn new(fields: Vec<Field>, budget: QueryBudget) -> Self {
        let fields = fields.into_iter().map(|field| (field, Values::default())).collect();
        Self { fields, total: 0, budget }
    }

    /// The columns of a signal that must have been asked for.
    pub fn columns(&self, signal: EventSignal) -> Vec<&'static str> {
        let mut columns = vec!["time"];
        for (field, _) in &self.fields {
            columns.extend(crate::block::events::columns_of(signal, field));
        }
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Counts events.
    pub fn add(&mut self, events: &EventRows<'_>) -> Result<(), StorageError> {
        let columns = EventColumns::new(events.signal, events.batch)?;
        self.total += events.rows.len() as u64;
        let mut in_json = Vec::new();
        for (field, values) in &mut self.fields {
            if let Some(column) = super::filter::dictionary(&columns, field) {
                let mut counts = vec![0_u64; column.values.len()];
                for &row in events.rows {
                    counts[column.key(row as usize)] += 1;
                }
                for (at, count) in counts.into_iter().enumerate().filter(|(_, n)| *n > 0) {
                    values.add(column.values.value(at), count, &self.budget)?;
                }
                continue;
            }
            match (&*field, &columns.own) {
                (Field::Severity, OwnColumns::Logs(logs)) => {
                    let mut counts = [0_u64; 256];
                    let severities = logs.severity.values();
                    for &row in events.rows {
                        counts[usize::from(severities[row as usize])] += 1;
                    }
                    for (number, count) in counts.into_iter().enumerate().filter(|(_, n)| *n > 0) {
                        let name = SeverityNumber(number as u8).name();
                        values.add(name, count, &self.budget)?;
                    }
                }
                (Field::Attribute(key), _) => in_json.push((key.as_str(), values)),
                (field, _) => {
                    for &row in events.rows {
                        let row = Row { columns: &columns, row: row as usize };
                        let value = row.field(field);
                        let text = value.as_ref().map_or(Cow::Borrowed(""), FieldValue::text);
                        values.add(&text, 1, &self.budget)?;
                    }
                }
            }
        }
        if !in_json.is_empty() {
            count_attributes(&columns, events.rows, &mut in_json, &self.budget)?;
        }
        Ok(())
    }

    /// Events counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// At most `limit` values of each field, ties by value.
    pub fn finish(self, limit: usize) -> Vec<Facet> {
        let facet = |(field, values): (Field, Values)| {
            let distinct = values.counts.len();
            let all: u64 = values.counts.values().sum();
            let mut counts: Vec<(Box<str>, u64)> = values.counts.into_iter().collect();
            counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            counts.truncate(limit);
            let shown: u64 = counts.iter().map(|(_, count)| count).sum();
            Facet {
                field,
                values: counts.into_iter().map(|(value, count)| (value.into(), count)).collect(),
                other: all - shown + values.beyond,
                missing: values.missing,
                distinct,
            }
        };
        self.fields.into_iter().map(facet).collect()
    }
}

/// Counts attributes: an event's own, else its resource's.
fn count_attributes(
    columns: &EventColumns<'_>,
    rows: &[u32],
    wanted: &mut [(&str, &mut Values)],
    budget: &QueryBudget,
) -> Result<(), StorageError> {
    // What a resource has for each field wanted, found once per resource.
    let resources = columns.resource;
    let mut of_resource: Vec<Option<Box<[Cow<'_, str>]>>> = vec![None; resources.values.len()];
    let mut found: Vec<Option<Cow<'_, str>>> = vec![None; wanted.len()];
    for &row in rows {
        let row = row as usize;
        if columns.notes(row).is_some() {
            let row = Row { columns, row };
            for (key, values) in wanted.iter_mut() {
                let value = row.field(&Field::Attribute((*key).to_owned()));
                let text = value.as_ref().map_or(Cow::Borrowed(""), FieldValue::text);
                values.add(&text, 1, budget)?;
            }
            continue;
        }
        found.fill(None);
        let _ = json::each(columns.attributes.value(row), |name, raw| {
            for ((key, _), place) in wanted.iter().zip(&mut found) {
                if *key == name && place.is_none() {
                    *place = Some(json::text_of(raw).unwrap_or_default());
                }
            }
        });
        let resource = of_resource[resources.key(row)].get_or_insert_with(|| {
            let text = resources.get(row);
            let value = |(key, _): &(&str, &mut Values)| match json::find(text, key) {
                Some(FieldValue::Text(text)) => text,
                Some(number) => Cow::Owned(number.text().into_owned()),
                None => Cow::Borrowed(""),
            };
            wanted.iter().map(value).collect()
        });
        for (((_, values), own), inherited) in wanted.iter_mut().zip(&found).zip(resource.iter()) {
            values.add(own.as_deref().unwrap_or(inherited), 1, budget)?;
        }
    }
    Ok(())
}

/// Finds out which attributes events have, and how often.
#[derive(Debug, Default)]
pub struct KeyCounter {
    keys: HashMap<Box<str>, Key>,
    rows: usize,
}

#[derive(Debug, Default)]
struct Key {
    count: u64,
    /// Hashes of the values seen, up to a bound: how many values there are.
    values: std::collections::HashSet<u64>,
}

/// Most attribute names told apart.
const MOST_KEYS: usize = 2_000;
/// A name with more values than this, nearly as many as events, is an id.
const MOST_HASHES: usize = 1_000;

impl KeyCounter {
    /// The columns that must have been asked for.
    pub const COLUMNS: [&str; 3] = ["time", "attributes", "resource"];

    /// Looks at events.
    pub fn add(&mut self, events: &EventRows<'_>) -> Result<(), StorageError> {
        let columns = EventColumns::new(events.signal, events.batch)?;
        let mut resources = vec![0_u64; columns.resource.values.len()];
        for &row in events.rows {
            let row = row as usize;
            resources[columns.resource.key(row)] += 1;
            self.note(columns.attributes.value(row), 1);
        }
        let Dictionary { values, .. } = columns.resource;
        for (at, count) in resources.into_iter().enumerate().filter(|(_, n)| *n > 0) {
            self.note(values.value(at), count);
        }
        self.rows += events.rows.len();
        Ok(())
    }

    fn note(&mut self, object: &str, count: u64) {
        let _ = json::each(object, |name, raw| {
            if !self.keys.contains_key(name) {
                if self.keys.len() >= MOST_KEYS {
                    return;
                }
                self.keys.insert(name.into(), Key::default());
            }
            let Some(key) = self.keys.get_mut(name) else { return };
            key.count += count;
            if key.values.len() < MOST_HASHES {
                key.values.insert(xxhash_rust::xxh3::xxh3_64(raw.as_bytes()));
            }
        });
    }

    /// Events looked at.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// All names with their counts, the most frequent first.
    pub fn keys(&self) -> Vec<(&str, u64)> {
        let mut keys: Vec<_> = self.keys.iter().map(|(name, key)| (&**name, key.count)).collect();
        keys.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        keys
    }

    /// Names that tell events apart without naming each: more than one value, and not nearly as
    /// many as events.
    pub fn telling(&self) -> Vec<&str> {
        let is_telling = |name: &str| {
            self.keys.get(name).is_some_and(|key| {
                let values = key.values.len();
                values > 1 && values < MOST_HASHES && (values as u64).saturating_mul(2) <= key.count
            })
        };
        self.keys().into_iter().map(|(name, _)| name).filter(|name| is_telling(name)).collect()
    }
}
