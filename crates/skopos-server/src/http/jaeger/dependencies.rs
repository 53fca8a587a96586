//! Which service calls which, out of the parent links of recent spans.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use arrow_array::types::Int32Type;
use arrow_array::{Array as _, DictionaryArray, RecordBatch, StringArray};
use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use skopos_model::event::{EventOrder, EventScan, EventSignal};
use skopos_model::storage::StorageError;
use skopos_model::{TimeRange, Timestamp};

use super::search::{fixed_bytes, unexpected};
use super::{JaegerError, list};
use crate::http::params::Params;
use crate::query::QueryClass;
use crate::state::SharedState;

/// Most spans looked at, the newest: enough for a picture, little enough for a page that opens
/// often.
const MAX_SPANS: usize = 200_000;

pub(super) async fn dependencies(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, JaegerError> {
    let params = Params::read(request).await?;
    let millis = |name| params.parsed(name, "milliseconds", |text| text.parse::<u64>().ok());
    let end =
        millis("endTs")?.map(|ms| Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX)));
    let lookback = millis("lookback")?.map_or(Duration::from_secs(86_400), Duration::from_millis);
    let start = end.unwrap_or_else(|| state.clock.now()).saturating_sub(lookback);
    let columns = ["trace_id", "span_id", "parent_span_id", "service"];
    let scan = EventScan {
        projection: Some(columns.map(str::to_owned).to_vec()),
        order: EventOrder::NewestFirst,
        limit: Some(MAX_SPANS),
        ..EventScan::new(EventSignal::Spans, TimeRange::new(start, end.unwrap_or(Timestamp::MAX)))
    };
    let read = state.queries.begin("dependencies", None, QueryClass::Interactive).await?;
    let calls = read.run(async {
        let batches = state.store.scan(&scan, read.budget()).await?;
        Ok(read.on_blocking_pool(move || count_calls(&batches)).await??)
    });
    let calls = calls.await?;
    let items = calls.into_iter().map(
        |((parent, child), count)| json!({"parent": parent, "child": child, "callCount": count}),
    );
    Ok(list(items.collect()))
}

type SpanKey = ([u8; 16], [u8; 8]);

fn count_calls(batches: &[RecordBatch]) -> Result<BTreeMap<(String, String), u64>, StorageError> {
    let mut service_of: HashMap<SpanKey, &str> = HashMap::new();
    // A span that was sent twice is one call.
    let mut links = HashSet::new();
    for batch in batches {
        let traces = fixed_bytes(batch, "trace_id")?;
        let spans = fixed_bytes(batch, "span_id")?;
        let parents = fixed_bytes(batch, "parent_span_id")?;
        let services = batch.column_by_name("service");
        let services = services
            .and_then(|c| c.as_any().downcast_ref::<DictionaryArray<Int32Type>>())
            .and_then(|c| c.downcast_dict::<StringArray>())
            .ok_or_else(|| unexpected("service"))?;
        for (row, service) in services.into_iter().enumerate() {
            if traces.is_null(row) || spans.is_null(row) {
                continue;
            }
            let service = service.unwrap_or("");
            let key = |span: &[u8]| -> Option<SpanKey> {
                Some((traces.value(row).try_into().ok()?, span.try_into().ok()?))
            };
            service_of.extend(key(spans.value(row)).map(|key| (key, service)));
            if !parents.is_null(row) {
                let child = key(spans.value(row));
                links.extend(key(parents.value(row)).map(|parent| (parent, child, service)));
            }
        }
    }
    let mut calls = BTreeMap::new();
    for (parent, _, child) in links {
        match service_of.get(&parent) {
            Some(parent) if *parent != child => {
                *calls.entry(((*parent).to_owned(), child.to_owned())).or_default() += 1;
            }
            _ => {}
        }
    }
    Ok(calls)
}
