//! Opening a data folder: lock, replay, start the threads.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;

use skopos_model::{Clock, MetricBatch};
use tokio::sync::{mpsc, watch};

use super::append::AppendSetup;
use super::disk::Disk;
use super::flush::{self, FlushCounters, FlushSetup};
use super::ingest::{CommitSamples, HeadBounds, Ingest};
use super::segment::{Segment, SegmentBounds};
use super::view::Views;
use super::{LogHandle, Running, Store, append};
use crate::block::{BlockFiles, BlockMeta};
use crate::catalog::{Catalog, Edit};
use crate::codec::{self, DecodeError, NumberedSeries};
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::fs::{self, Fs, StdFs};
use crate::head::{Head, PreparedBatch};
use crate::recovery::{RecoveryReport, ReplayProgress};
use crate::snapshot;
use crate::state;
use crate::wal::poison::Poison;
use crate::wal::reader::Frame;
use crate::wal::writer::{LogCounters, WriterSetup};
use crate::wal::{WAL, frame, replay, writer};

/// Segments are not made shorter than this for the sake of a small head.
const LEAST_SEGMENT_BYTES: u64 = 1 << 20;
/// Longest segment, label sets aside: offsets in frames have 32 bits, the label sets may be four
/// times as much, and it may be exceeded by one batch.
const MAX_SEGMENT_BYTES: u64 = 512 << 20;

impl Store {
    /// Opens a data folder on the machine's file system: see [`open_on`](Self::open_on).
    pub fn open(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_on(config, Arc::new(StdFs), clock, ReplayProgress::new())
    }

    /// Opens a data folder: makes it when missing, locks it, reads both logs into the head, of which
    /// it flushes what is more than a head may hold, and starts the writers. Blocks until replay is done; call it where that is allowed and watch
    /// `progress` from elsewhere.
    pub fn open_on(
        config: StoreConfig,
        fs: Arc<dyn Fs>,
        clock: Arc<dyn Clock>,
        progress: ReplayProgress,
    ) -> Result<Self, StoreError> {
        let started = clock.monotonic();
        let root = &config.data_dir;
        let wal_dir = root.join("default").join("wal");
        let state_dir = root.join("default").join("state");
        fs::create_dirs(&*fs, root).map_err(StoreError::io("create", root))?;
        let lock = snapshot::lock(&*fs, root)?;
        // Before whatever tells threads to end, so that it goes after that: they are waited for when
        // opening fails, because nobody may write to the folder once the lock is gone.
        let mut threads = Threads::default();
        snapshot::check_finished(&*fs, root)?;
        let block_dir = root.join("default").join("blocks");
        let catalog_dir = root.join("default").join("catalog");
        for dir in [&wal_dir, &state_dir, &block_dir, &catalog_dir] {
            fs::create_dirs(&*fs, dir).map_err(StoreError::io("create", dir))?;
        }
        let files = Arc::new(BlockFiles::new(Arc::clone(&fs), block_dir, config.cache_bytes));
        let catalog = Arc::new(Catalog::open(Arc::clone(&fs), catalog_dir, files)?);
        let version = catalog.snapshot();
        // What is in blocks must not come back from the WAL.
        replay::remove_before(&*fs, &wal_dir, &WAL, version.wal_from)?;
        for dir in [&wal_dir, &state_dir] {
            for entry in fs.list(dir).map_err(StoreError::io("list", dir))? {
                progress.add_total(entry.len);
            }
        }

        let bounds = HeadBounds::new(&config);
        let head = Head::new(config.head.clone(), Arc::clone(&clock));
        head.raise_sequence(version.next_sequence);
        let mut replay =
            Replay { head, carried_bytes: 0, flushed: None, catalog: &catalog, bounds };
        let wal_replayed = replay_wal(&*fs, &wal_dir, &mut replay, version.wal_from, &progress)?;
        let Replay { head, carried_bytes, flushed, .. } = replay;

        let wal = LogHandle::new("write-ahead log");
        let state_log = LogHandle::new("state log");
        let (ended, alive) = watch::channel(());
        wal.counters.bytes.store(wal_replayed.bytes, Ordering::Relaxed);
        let mut segment = Segment::new(SegmentBounds {
            bytes: config.segment_bytes.min(MAX_SEGMENT_BYTES),
            // Replay flushes between segments only.
            head_bytes: (bounds.flush_bytes / 4).max(LEAST_SEGMENT_BYTES),
        });
        let setup = WriterSetup {
            fs: Arc::clone(&fs),
            clock: Arc::clone(&clock),
            dir: wal_dir.clone(),
            sync: config.sync,
            poison: wal.poison.clone(),
            counters: Arc::clone(&wal.counters),
        };
        // What a restart must know of the flushed is durable before it looks at less.
        let first = flushed.as_ref().map(|_| segment.carried_frames(&head.carry_over()));
        let (frames, wal_thread) = writer::spawn(
            setup,
            wal_replayed.next_number,
            &first.unwrap_or_default(),
            alive.clone(),
        )?;
        threads.0.push(wal_thread);
        let version = match flushed {
            None => version,
            Some(Flushed { blocks, wal_from }) => {
                let edit = Edit {
                    added: blocks,
                    wal_from: Some(wal_from),
                    next_sequence: Some(head.next_sequence()),
                    ..Edit::default()
                };
                let version = catalog.commit(version.number, edit)?;
                let freed = replay::remove_before(&*fs, &wal_dir, &WAL, wal_from)?;
                wal.counters.bytes.fetch_sub(freed, Ordering::Relaxed);
                version
            }
        };

        let head = Arc::new(head);
        let recovered = state::recover::recover(&*fs, &state_dir, &progress, |series| {
            if !series.is_empty() {
                head.note_commit_samples(&series);
                head.apply(PreparedBatch::Metrics(MetricBatch { series, metadata: Vec::new() }));
            }
        })?;
        let disk = Disk::new(Arc::clone(&fs), root.clone(), config.disk_floor);
        let views = Views::new(head, version);
        let ingest = Arc::new(Ingest::new(views, bounds, carried_bytes, disk));

        let (appends, requests) = mpsc::channel(config.queue_len.max(1));
        let (flushes, flush_queue) = flush::channel();
        let setup = AppendSetup {
            ingest: Arc::clone(&ingest),
            clock: Arc::clone(&clock),
            poison: wal.poison.clone(),
            wal: frames,
            segment,
            counters: Arc::clone(&wal.counters),
            flusher: flushes.clone(),
        };
        let appender = append::spawn(setup, requests, &alive);
        threads.0.extend(appender.map_err(StoreError::io("start the appender of", root))?);

        let counters = Arc::new(FlushCounters::default());
        let setup = FlushSetup {
            config: config.blocks.clone(),
            fs: Arc::clone(&fs),
            clock: Arc::clone(&clock),
            data_dir: root.clone(),
            wal_dir,
            wal_counters: Arc::clone(&wal.counters),
            ingest: Arc::clone(&ingest),
            catalog: Arc::clone(&catalog),
            counters: Arc::clone(&counters),
            appends: appends.downgrade(),
        };
        let flusher = flush::spawn(setup, flush_queue, alive.clone());
        threads.0.push(flusher.map_err(StoreError::io("start the flusher of", root))?);

        let mut report = RecoveryReport {
            wal_batches: wal_replayed.frames,
            state_frames: recovered.frames,
            torn: wal_replayed.torn.into_iter().collect(),
            ..RecoveryReport::default()
        };
        report.torn.extend(recovered.torn);
        let map = Arc::new(RwLock::new(recovered.map));
        let setup = state::writer::StateSetup {
            fs,
            clock: Arc::clone(&clock),
            dir: state_dir,
            compact_bytes: config.compact_state_bytes,
            poison: state_log.poison.clone(),
            counters: Arc::clone(&state_log.counters),
            map: Arc::clone(&map),
            sink: Box::new(CommitSamples(Arc::clone(&ingest))),
        };
        let (commits, state_thread) = state::writer::spawn(setup, &recovered.plan, alive)?;
        threads.0.push(state_thread);

        report.took = clock.monotonic().saturating_sub(started);
        progress.finish();
        let threads = std::mem::take(&mut threads.0);
        Ok(Self {
            ingest,
            flush_counters: counters,
            max_head_bytes: config.max_head_bytes,
            catalog,
            state: map,
            wal,
            state_log,
            progress,
            report,
            running: RwLock::new(Some(Running { appends, commits, flushes })),
            ended,
            threads: Mutex::new(Some((threads, lock))),
        })
    }
}

/// Threads that are waited for when this goes.
#[derive(Default)]
struct Threads(Vec<JoinHandle<()>>);

impl Drop for Threads {
    fn drop(&mut self) {
        for thread in self.0.drain(..) {
            // One that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

impl LogHandle {
    fn new(log: &'static str) -> Self {
        Self { poison: Poison::new(log), counters: Arc::new(LogCounters::default()) }
    }
}

/// The head that replay fills, flushed as it goes: a log that holds more than a head may hold needs
/// no more memory than the head.
///
/// Nothing of it is in the catalog before all of the log has been read: a crash leaves blocks that
/// the next start removes, and the log as it was.
struct Replay<'a> {
    head: Head,
    /// Bytes of the head right after it took what was carried over.
    carried_bytes: u64,
    flushed: Option<Flushed>,
    catalog: &'a Catalog,
    bounds: HeadBounds,
}

/// What replay has moved to blocks.
struct Flushed {
    blocks: Vec<BlockMeta>,
    /// The first segment with nothing of it.
    wal_from: u64,
}

impl Replay<'_> {
    /// Flushes the head when it holds enough; `next` is the segment that has not been read yet.
    fn begin(&mut self, next: u64) -> Result<(), StoreError> {
        if !self.bounds.is_full_enough(self.head.size_bytes(), self.carried_bytes) {
            return Ok(());
        }
        let written = flush::write_blocks(&self.head, self.catalog)?;
        let flushed = self.flushed.get_or_insert(Flushed { blocks: Vec::new(), wal_from: next });
        flushed.blocks.extend(written);
        flushed.wal_from = next;
        let carried = self.head.carry_over();
        let known = self.head.stats().series;
        // The old one goes before the new one is filled.
        self.head = self.head.successor();
        self.head.adopt(carried);
        let removed = known.saturating_sub(self.head.stats().series);
        self.head.guard().note_removed(removed);
        self.carried_bytes = self.head.size_bytes();
        Ok(())
    }
}

fn replay_wal(
    fs: &dyn Fs,
    dir: &Path,
    to: &mut Replay<'_>,
    from: u64,
    progress: &ReplayProgress,
) -> Result<replay::Replayed, StoreError> {
    replay::remove_temporaries(fs, dir)?;
    let files = replay::list_files(fs, dir, &WAL)?;
    // The segment was durable before the catalog named it.
    if from > 0 && files.first().is_none_or(|file| file.number != from) {
        let missing = dir.join(WAL.file_name(from));
        return Err(StoreError::corrupt(&missing, 0, "segment that follows the blocks is missing"));
    }
    let (mut reading, mut series) = (None, NumberedSeries::new());
    replay::replay(fs, dir, &WAL, &files, |file, frame| {
        if reading.replace(file.number) != Some(file.number) {
            to.begin(file.number)?;
            series = NumberedSeries::new();
        }
        progress.add_done(frame.body.len() as u64);
        let batch = decode(frame, &mut series, &to.head)
            .map_err(|error| StoreError::corrupt(&file.path, frame.offset, error.to_string()))?;
        to.head.apply(batch);
        Ok(())
    })
}

/// A frame of the WAL as a prepared batch; `series` are those of its segment.
fn decode(
    frame: Frame<'_>,
    series: &mut NumberedSeries,
    head: &Head,
) -> Result<PreparedBatch, DecodeError> {
    Ok(match frame.kind {
        frame::LOGS => {
            let (first_sequence, batch) = codec::decode_logs(frame.body)?;
            PreparedBatch::Logs { first_sequence, batch }
        }
        frame::TRACES => {
            let (first_sequence, batch) = codec::decode_traces(frame.body)?;
            PreparedBatch::Traces { first_sequence, batch }
        }
        frame::NUMBERED => PreparedBatch::Metrics(codec::decode_numbered_with(
            frame.body,
            series,
            // The head's own: one copy of each, and no look-up for every sample.
            |labels| head.own_labels(labels),
        )?),
        _ => PreparedBatch::Metrics(codec::decode_metrics(frame.body)?),
    })
}
