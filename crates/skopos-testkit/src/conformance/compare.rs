//! Answers in a form that can be compared: bits instead of floats (NaN is not equal to itself),
//! records instead of Arrow batches.

use arrow_array::RecordBatch;
use skopos_model::event::{EventScan, EventSignal};
use skopos_model::storage::{
    QueryBudget, SampleBuffer, SelectHints, SelectSeries, SelectedSeries, SeriesSelect,
};
use skopos_model::{LabelMatcher, MatchOp};
use skopos_store::event;
use skopos_store::scan::ScanEvents;

/// A matcher that must compile.
pub fn matcher(name: &str, op: MatchOp, value: &str) -> LabelMatcher {
    LabelMatcher::new(name, op, value).expect("valid expression")
}

/// A request for series in a range, both ends inclusive.
pub fn series_select(matchers: Vec<LabelMatcher>, start_ms: i64, end_ms: i64) -> SeriesSelect {
    SeriesSelect { matchers, start_ms, end_ms, hints: SelectHints::default() }
}

/// The samples of a series: time, bits of the value, histogram in its debug form.
pub fn samples(series: &SelectedSeries, start_ms: i64, end_ms: i64) -> Vec<(i64, u64, String)> {
    let mut buffer = SampleBuffer::default();
    series.samples.decode(start_ms, end_ms, &mut buffer).expect("samples decode");
    assert_eq!(buffer.timestamps.len(), buffer.values.len());
    assert!(buffer.timestamps.is_sorted_by(|a, b| a < b), "{}: times ascend", series.labels);
    (0..buffer.len())
        .map(|i| {
            let histogram = buffer.histogram(i).map(|h| format!("{h:?}")).unwrap_or_default();
            (buffer.timestamps[i], buffer.values[i].to_bits(), histogram)
        })
        .collect()
}

/// One series with its samples.
pub type SeriesAnswer = (String, Vec<(i64, u64, String)>);

/// The answer to a request for series, those without samples left out; checks the label order.
pub async fn select(store: &impl SelectSeries, select: &SeriesSelect) -> Vec<SeriesAnswer> {
    let set = store.select(select, &QueryBudget::unlimited()).await.expect("select");
    assert!(set.series.is_sorted_by(|a, b| a.labels < b.labels), "label order, each series once");
    set.series
        .iter()
        .map(|series| (series.labels.to_string(), samples(series, select.start_ms, select.end_ms)))
        .filter(|(_, samples)| !samples.is_empty())
        .collect()
}

/// Rows in the debug form of the records they hold, ids included. The batches must have all
/// columns.
pub fn rows(signal: EventSignal, batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches {
        assert_eq!(*batch.schema(), *event::event_schema(signal), "the documented schema");
        match signal {
            EventSignal::Logs => rows.extend(
                event::logs(batch).expect("logs read back").iter().map(|log| format!("{log:?}")),
            ),
            EventSignal::Spans => rows.extend(
                event::spans(batch).expect("spans read back").iter().map(|s| format!("{s:?}")),
            ),
        }
    }
    rows
}

/// The answer to a request for events, row by row.
pub async fn scan(store: &impl ScanEvents, scan: &EventScan) -> Vec<String> {
    let batches = store.scan(scan, &QueryBudget::unlimited()).await.expect("scan");
    rows(scan.signal, &batches)
}
