//! Merging blocks into one.
//!
//! Constraints: inputs are sorted alike, so that they are merged as streams: memory for a window of
//! series or one batch of rows per input, and for the file that is made. Checksums of inputs are
//! verified, because what is copied must not carry damage on unseen.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_select::interleave::interleave_record_batch;
use skopos_model::event::EventSignal;
use skopos_model::storage::{ErrorKind, QueryBudget, SampleBuffer, SampleSource, StorageError};
use skopos_model::{EventId, Exemplar, Labels};

use super::metrics::{MetricWriter, sort_key};
use super::series::MetricIndex;
use super::{Block, BlockFiles, BlockMeta, events};
use crate::merge;

/// Series fetched from each input at once.
const WINDOW: usize = 1024;

/// Merges metric blocks, oldest first: of samples of one time the later block's counts.
pub(crate) fn metrics(
    files: &BlockFiles,
    number: u64,
    level: u32,
    blocks: &[Arc<Block>],
) -> Result<Option<BlockMeta>, StorageError> {
    let mut inputs = Vec::new();
    let mut writer = MetricWriter::default();
    for block in blocks {
        block.verify()?;
        let index = block.metrics()?;
        writer.add_metadata(index.metadata().iter().cloned());
        inputs.push(Input::new(index)?);
    }
    let indexes: Vec<Arc<MetricIndex>> = inputs.iter().map(|i| Arc::clone(&i.index)).collect();
    let mut keys: Vec<&Labels> = indexes.iter().flat_map(|index| index.all_labels()).collect();
    keys.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
    keys.dedup();
    let (mut below, mut layer) = (SampleBuffer::default(), SampleBuffer::default());
    let mut spare = SampleBuffer::default();
    for window in keys.chunks(WINDOW) {
        for input in &mut inputs {
            input.fetch(window)?;
        }
        for labels in window {
            below.clear();
            let mut exemplars = Vec::new();
            for input in &mut inputs {
                layer.clear();
                if input.take(labels, &mut layer, &mut exemplars)? {
                    spare.clear();
                    merge::overlay(&mut below, &layer, &mut spare);
                }
            }
            merge::exemplars(&mut exemplars);
            writer.push(labels, &below, &exemplars)?;
        }
    }
    writer.finish(files, number, level)
}

/// A block that is merged, with the series of the window.
struct Input {
    index: Arc<MetricIndex>,
    /// First series not taken yet.
    next: usize,
    fetched: VecDeque<Arc<dyn SampleSource>>,
    exemplars: HashMap<u32, Vec<Exemplar>>,
}

impl Input {
    fn new(index: Arc<MetricIndex>) -> Result<Self, StorageError> {
        let exemplars = index.all_exemplars()?;
        Ok(Self { index, next: 0, fetched: Default::default(), exemplars })
    }

    /// Reads the chunks of the window's series.
    fn fetch(&mut self, window: &[&Labels]) -> Result<(), StorageError> {
        let Some(last) = window.last() else { return Ok(()) };
        let in_window = self
            .index
            .all_labels()
            .skip(self.next)
            .take_while(|labels| sort_key(labels) <= sort_key(last))
            .count();
        let wanted: Range<usize> = self.next..self.next + in_window;
        self.fetched = self.index.fetch_all(wanted, &QueryBudget::unlimited())?.into();
        Ok(())
    }

    /// Takes a series, when it is the next one.
    fn take(
        &mut self,
        labels: &Labels,
        samples: &mut SampleBuffer,
        exemplars: &mut Vec<Exemplar>,
    ) -> Result<bool, StorageError> {
        if self.index.labels(self.next) != Some(labels) {
            return Ok(false);
        }
        let Some(source) = self.fetched.pop_front() else { return Ok(false) };
        source.decode(i64::MIN, i64::MAX, samples)?;
        exemplars.extend(self.exemplars.remove(&(self.next as u32)).unwrap_or_default());
        self.next += 1;
        Ok(true)
    }
}

/// Merges event blocks.
pub(crate) fn events(
    files: &BlockFiles,
    number: u64,
    level: u32,
    signal: EventSignal,
    blocks: &[Arc<Block>],
) -> Result<Option<BlockMeta>, StorageError> {
    let mut inputs = Vec::new();
    for block in blocks {
        block.verify()?;
        inputs.push(Stream::new(block.events()?.read_rows()?)?);
    }
    // (service, id) of the next row of each input, the smallest on top.
    let mut heads: BinaryHeap<Reverse<(events::RowKey, usize)>> = BinaryHeap::new();
    for (at, input) in inputs.iter().enumerate() {
        heads.extend(input.key().map(|key| Reverse((key, at))));
    }
    let rows = blocks.iter().map(|block| block.meta.rows).sum();
    let mut writer = events::EventWriter::new(signal, rows, level)?;
    let mut places: Vec<(usize, usize)> = Vec::new();
    let mut last: Option<EventId> = None;
    while let Some(Reverse((key, at))) = heads.pop() {
        let Some(input) = inputs.get_mut(at) else { continue };
        if last != Some(key.1) {
            writer.note(key.1);
            places.push((at, input.row));
        }
        last = Some(key.1);
        input.row += 1;
        let exhausted = input.row >= input.len();
        if exhausted || places.len() >= events::BATCH_ROWS {
            // Before the batch goes that the places point into.
            write(&mut writer, &inputs, &mut places)?;
        }
        let Some(input) = inputs.get_mut(at) else { continue };
        if exhausted {
            input.advance()?;
        }
        heads.extend(input.key().map(|key| Reverse((key, at))));
    }
    write(&mut writer, &inputs, &mut places)?;
    writer.finish(files, number)
}

fn write(
    writer: &mut events::EventWriter,
    inputs: &[Stream],
    places: &mut Vec<(usize, usize)>,
) -> Result<(), StorageError> {
    if places.is_empty() {
        return Ok(());
    }
    let batches: Vec<&RecordBatch> = inputs.iter().map(|input| &input.batch).collect();
    let batch = interleave_record_batch(&batches, places).map_err(|error| {
        StorageError::with_source(ErrorKind::Internal, "cannot put event rows together", error)
    })?;
    places.clear();
    writer.write(&batch)
}

/// The rows of one block, batch by batch.
struct Stream {
    rows: events::Rows,
    batch: RecordBatch,
    keys: Vec<events::RowKey>,
    row: usize,
}

impl Stream {
    fn new(rows: events::Rows) -> Result<Self, StorageError> {
        let batch = rows.empty();
        let mut stream = Self { rows, batch, keys: Vec::new(), row: 0 };
        stream.advance()?;
        Ok(stream)
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn key(&self) -> Option<events::RowKey> {
        self.keys.get(self.row).cloned()
    }

    fn advance(&mut self) -> Result<(), StorageError> {
        (self.row, self.keys) = (0, Vec::new());
        // The old batch stays at the end of the stream: others of the merge stand beside it.
        if let Some(batch) = self.rows.next()? {
            self.keys = events::row_keys(&batch)?;
            self.batch = batch;
        }
        Ok(())
    }
}
