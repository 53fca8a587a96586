//! The table of samples: `metrics`, a row per sample.
//!
//! Constraints:
//! - Classic histograms and summaries are what they are in Prometheus: series with `_bucket`,
//!   `_sum`, `_count`, and labels `le` and `quantile`.
//! - A native histogram is one row: `value` is NULL, and `histogram_count`, `histogram_sum` and
//!   `histogram` (buckets as JSON) are set. They are NULL in all other rows.
//! - Stale markers say that a series ended; they are no samples and no rows.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, DictionaryArray, Float64Builder, Int32Builder, RecordBatch, RecordBatchOptions,
    StringArray, StringBuilder, TimestampNanosecondBuilder,
};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures_util::stream;
use skopos_model::metric::is_stale;
use skopos_model::storage::{QueryBudget, SampleBuffer, SelectHints, SelectSeries, SeriesSelect};
use skopos_model::{LabelMatcher, Labels, TimeRange, Timestamp};

use super::events::DisplayRange;
use super::feed::{BATCH_ROWS, Feed, feed, from_store};
use super::filter::intersection;
use super::histogram;
use super::series_filter::{NAME, SeriesConditions};

const UTC: &str = "UTC";

fn metrics_schema() -> SchemaRef {
    let repeated = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into()));
    Arc::new(Schema::new(vec![
        Field::new("time", time, false),
        Field::new("metric", DataType::Utf8View, false),
        Field::new("labels", repeated, false),
        Field::new("value", DataType::Float64, true),
        Field::new("histogram_count", DataType::Float64, true),
        Field::new("histogram_sum", DataType::Float64, true),
        Field::new("histogram", DataType::Utf8, true),
    ]))
}

/// `metrics`.
pub(crate) struct MetricTable {
    schema: SchemaRef,
    store: Arc<dyn SelectSeries>,
    within: TimeRange,
    push_down: bool,
    budget: QueryBudget,
}

impl MetricTable {
    pub(crate) fn new(
        store: Arc<dyn SelectSeries>,
        within: TimeRange,
        budget: QueryBudget,
    ) -> Self {
        Self { schema: metrics_schema(), store, within, push_down: true, budget }
    }

    /// Whether the store is told what the query looks for. Answers are the same either way.
    pub(crate) fn with_push_down(mut self, push_down: bool) -> Self {
        self.push_down = push_down;
        self
    }
}

impl fmt::Debug for MetricTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricTable").finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for MetricTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let kind = |filter: &&Expr| {
            if !self.push_down {
                return TableProviderFilterPushDown::Unsupported;
            }
            match SeriesConditions::of(filter) {
                Some(conditions) if conditions.exact => TableProviderFilterPushDown::Exact,
                Some(_) => TableProviderFilterPushDown::Inexact,
                None => TableProviderFilterPushDown::Unsupported,
            }
        };
        Ok(filters.iter().map(kind).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let places = match projection {
            Some(places) => places.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let mut range = self.within;
        let mut matchers = Vec::new();
        for conditions in filters.iter().filter_map(SeriesConditions::of) {
            range = intersection(range, conditions.range);
            matchers.extend(conditions.matchers);
        }
        let schema = Arc::new(self.schema.project(&places)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(SeriesExec {
            store: Arc::clone(&self.store),
            budget: self.budget.clone(),
            matchers,
            range,
            places: places.into(),
            schema,
            limit: limit.filter(|_| self.push_down),
            properties: Arc::new(properties),
        }))
    }
}

/// Reads samples, series by series.
struct SeriesExec {
    store: Arc<dyn SelectSeries>,
    budget: QueryBudget,
    matchers: Vec<LabelMatcher>,
    range: TimeRange,
    places: Arc<[usize]>,
    schema: SchemaRef,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for SeriesExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as(DisplayFormatType::Default, f)
    }
}

impl DisplayAs for SeriesExec {
    /// What `EXPLAIN` shows of what was pushed down.
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeriesExec: table=metrics, columns=[")?;
        for (i, field) in self.schema.fields().iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, field.name())?;
        }
        write!(f, "], time={}, matchers={{", DisplayRange(self.range))?;
        for (i, matcher) in self.matchers.iter().enumerate() {
            write!(f, "{}{matcher}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("}")?;
        match self.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

/// The milliseconds inside a range, first and last; `None` when there are none.
fn millis(range: TimeRange) -> Option<(i64, i64)> {
    const NANOS: i64 = 1_000_000;
    let start = range.start.0.div_euclid(NANOS) + i64::from(range.start.0.rem_euclid(NANOS) > 0);
    let end = match range.end {
        Timestamp::MAX => i64::MAX.div_euclid(NANOS),
        end => end.0.checked_sub(1)?.div_euclid(NANOS),
    };
    (start <= end).then_some((start, end))
}

impl ExecutionPlan for SeriesExec {
    fn name(&self) -> &'static str {
        "SeriesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("SeriesExec has one partition, not {partition}");
        }
        let (feed, mut rows) = feed();
        if let Some((start_ms, end_ms)) = millis(self.range) {
            let select = SeriesSelect {
                matchers: self.matchers.clone(),
                start_ms,
                end_ms,
                hints: SelectHints::default(),
            };
            let rows = Rows::new(Arc::clone(&self.schema), Arc::clone(&self.places), self.limit);
            let (store, budget) = (Arc::clone(&self.store), self.budget.clone());
            // A task of its own that nobody drops: see `events`.
            tokio::spawn(read(store, budget, select, rows, feed));
        }
        let batches = stream::poll_fn(move |context| rows.poll_recv(context));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}

async fn read(
    store: Arc<dyn SelectSeries>,
    budget: QueryBudget,
    select: SeriesSelect,
    mut rows: Rows,
    feed: Feed,
) {
    let failed = feed.clone();
    let set = match store.select(&select, &budget).await {
        Ok(set) => set,
        Err(error) => return failed.fail(from_store(error)).await,
    };
    let work = move || -> Result<()> {
        let mut samples = SampleBuffer::default();
        for series in &set.series {
            samples.clear();
            series
                .samples
                .decode(select.start_ms, select.end_ms, &mut samples)
                .map_err(from_store)?;
            budget.charge_samples(samples.len() as u64).map_err(from_store)?;
            if rows.add(&series.labels, &samples, &feed)?.is_break() {
                return Ok(());
            }
        }
        rows.hand_on(&feed).map(|_| ())
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => failed.fail(error).await,
        Err(panic) => {
            let error = internal_datafusion_err!("reading samples failed: {panic}");
            failed.fail(error).await;
        }
    }
}

/// Rows on their way into a batch.
struct Rows {
    schema: SchemaRef,
    places: Arc<[usize]>,
    left: usize,
    /// Metric and labels of the series that have rows in the batch.
    metrics: Vec<String>,
    labels: Vec<String>,
    /// Which of them a row belongs to.
    series: Int32Builder,
    time: TimestampNanosecondBuilder,
    value: Float64Builder,
    count: Float64Builder,
    sum: Float64Builder,
    histogram: StringBuilder,
    rows: usize,
}

impl Rows {
    fn new(schema: SchemaRef, places: Arc<[usize]>, limit: Option<usize>) -> Self {
        Self {
            schema,
            places,
            left: limit.unwrap_or(usize::MAX),
            metrics: Vec::new(),
            labels: Vec::new(),
            series: Int32Builder::new(),
            time: TimestampNanosecondBuilder::new().with_timezone(UTC),
            value: Float64Builder::new(),
            count: Float64Builder::new(),
            sum: Float64Builder::new(),
            histogram: StringBuilder::new(),
            rows: 0,
        }
    }

    fn add(
        &mut self,
        labels: &Labels,
        samples: &SampleBuffer,
        feed: &Feed,
    ) -> Result<ControlFlow<()>> {
        let mut named = false;
        let mut histograms = samples.histograms.iter().peekable();
        for (i, (&time_ms, &value)) in samples.timestamps.iter().zip(&samples.values).enumerate() {
            let histogram = histograms.next_if(|(at, _)| *at == i).map(|(_, h)| h);
            if is_stale(value) {
                continue;
            }
            if !named {
                self.metrics.push(labels.get(NAME).unwrap_or_default().to_owned());
                self.labels.push(labels_json(labels));
                named = true;
            }
            let series = self.metrics.len() - 1;
            self.series.append_value(i32::try_from(series).unwrap_or(i32::MAX));
            self.time.append_value(Timestamp::from_millis(time_ms).0);
            match histogram {
                None => {
                    self.value.append_value(value);
                    self.count.append_null();
                    self.sum.append_null();
                    self.histogram.append_null();
                }
                Some(histogram) => {
                    self.value.append_null();
                    self.count.append_value(histogram.count);
                    self.sum.append_value(histogram.sum);
                    self.histogram.append_value(histogram::json(histogram));
                }
            }
            self.rows += 1;
            self.left = self.left.saturating_sub(1);
            if self.rows == BATCH_ROWS || self.left == 0 {
                let flow = self.hand_on(feed)?;
                if flow.is_break() || self.left == 0 {
                    return Ok(ControlFlow::Break(()));
                }
                named = false;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Sends what has gathered.
    fn hand_on(&mut self, feed: &Feed) -> Result<ControlFlow<()>> {
        if self.rows == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        let series = self.series.finish();
        let metrics: ArrayRef = Arc::new(StringArray::from(std::mem::take(&mut self.metrics)));
        let labels: ArrayRef = Arc::new(StringArray::from(std::mem::take(&mut self.labels)));
        let metric = take(&cast(&metrics, &DataType::Utf8View)?, &series, None)?;
        let labels = DictionaryArray::<Int32Type>::try_new(series, labels)?;
        let all: [ArrayRef; 7] = [
            Arc::new(self.time.finish()),
            metric,
            Arc::new(labels),
            Arc::new(self.value.finish()),
            Arc::new(self.count.finish()),
            Arc::new(self.sum.finish()),
            Arc::new(self.histogram.finish()),
        ];
        let arrays = self.places.iter().filter_map(|&place| all.get(place).cloned()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        Ok(feed.give(&batch))
    }
}

/// All labels but the metric's name, as a JSON object.
fn labels_json(labels: &Labels) -> String {
    let pairs = labels.iter().filter(|(name, _)| *name != NAME);
    let map: serde_json::Map<String, serde_json::Value> =
        pairs.map(|(name, value)| (name.to_owned(), value.into())).collect();
    serde_json::Value::Object(map).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_become_the_milliseconds_inside() {
        let range = |start, end| TimeRange::new(Timestamp(start), Timestamp(end));
        for (given, want) in [
            (range(0, 1), Some((0, 0))),
            (range(1, 1_000_000), None),
            (range(1, 1_000_001), Some((1, 1))),
            (range(-1_500_000, 0), Some((-1, -1))),
            (range(5, 5), None),
        ] {
            assert_eq!(millis(given), want, "{given:?}");
        }
        let (start, end) = millis(TimeRange::ALL).unwrap();
        assert!(start < -9_000_000_000_000 && end > 9_000_000_000_000);
    }
}
