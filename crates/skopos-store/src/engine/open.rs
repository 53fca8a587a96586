//! Opening a data folder: lock, replay, start the threads.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, RwLock};

use skopos_model::{Clock, MetricBatch};
use tokio::sync::{mpsc, watch};

use super::flush::{self, FlushCounters, FlushSetup};
use super::ingest::{CommitSamples, Ingest};
use super::view::Views;
use super::{LogHandle, Running, Store, append};
use crate::block::BlockFiles;
use crate::catalog::Catalog;
use crate::codec::{self, DecodeError};
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::fs::{self, Fs, LockAttempt, LockGuard, StdFs};
use crate::head::{Head, PreparedBatch};
use crate::recovery::{RecoveryReport, ReplayProgress};
use crate::state;
use crate::wal::poison::Poison;
use crate::wal::reader::Frame;
use crate::wal::writer::{LogCounters, WriterSetup};
use crate::wal::{WAL, frame, replay, writer};

/// Longest segment: offsets in frames have 32 bits, and a segment may be exceeded by one group.
const MAX_SEGMENT_BYTES: u64 = 2 << 30;

impl Store {
    /// Opens a data folder on the machine's file system: see [`open_on`](Self::open_on).
    pub fn open(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_on(config, Arc::new(StdFs), clock, ReplayProgress::new())
    }

    /// Opens a data folder: makes it when missing, locks it, reads both logs into the head and
    /// starts the writers. Blocks until replay is done; call it where that is allowed and watch
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
        let lock = lock(&*fs, root)?;
        let block_dir = root.join("default").join("blocks");
        let catalog_dir = root.join("default").join("catalog");
        for dir in [&wal_dir, &state_dir, &block_dir, &catalog_dir] {
            fs::create_dirs(&*fs, dir).map_err(StoreError::io("create", dir))?;
        }
        let files = Arc::new(BlockFiles::new(Arc::clone(&fs), block_dir));
        let catalog = Arc::new(Catalog::open(Arc::clone(&fs), catalog_dir, files)?);
        let version = catalog.snapshot();
        // What is in blocks must not come back from the WAL.
        replay::remove_before(&*fs, &wal_dir, &WAL, version.wal_from)?;
        for dir in [&wal_dir, &state_dir] {
            for entry in fs.list(dir).map_err(StoreError::io("list", dir))? {
                progress.add_total(entry.len);
            }
        }

        let head = Arc::new(Head::new(config.head.clone(), Arc::clone(&clock)));
        let wal_replayed = replay_wal(&*fs, &wal_dir, &head, version.wal_from, &progress)?;
        head.raise_sequence(version.next_sequence);
        let recovered = state::recover::recover(&*fs, &state_dir, &progress, |series| {
            if !series.is_empty() {
                head.note_commit_samples(&series);
                head.apply(PreparedBatch::Metrics(MetricBatch { series, metadata: Vec::new() }));
            }
        })?;

        let views = Views::new(head, version);
        let ingest = Arc::new(Ingest::new(views, config.max_head_bytes, config.blocks.flush_bytes));
        let wal = LogHandle::new("write-ahead log");
        let state_log = LogHandle::new("state log");
        let (ended, alive) = watch::channel(());

        wal.counters.bytes.store(wal_replayed.bytes, Ordering::Relaxed);
        let setup = WriterSetup {
            fs: Arc::clone(&fs),
            clock: Arc::clone(&clock),
            dir: wal_dir.clone(),
            sync: config.sync,
            segment_bytes: config.segment_bytes.min(MAX_SEGMENT_BYTES),
            poison: wal.poison.clone(),
            counters: Arc::clone(&wal.counters),
        };
        let (frames, wal_thread) = writer::spawn(setup, wal_replayed.next_number, alive.clone())?;

        let (appends, requests) = mpsc::channel(config.queue_len.max(1));
        let (flushes, flush_queue) = flush::channel();
        let append_thread = append::spawn(
            Arc::clone(&ingest),
            wal.poison.clone(),
            requests,
            frames,
            flushes.clone(),
            alive.clone(),
        )
        .map_err(StoreError::io("start the appender of", root))?;

        let counters = Arc::new(FlushCounters::default());
        let setup = FlushSetup {
            config: config.blocks.clone(),
            fs: Arc::clone(&fs),
            clock: Arc::clone(&clock),
            wal_dir,
            wal_counters: Arc::clone(&wal.counters),
            ingest: Arc::clone(&ingest),
            catalog: Arc::clone(&catalog),
            counters: Arc::clone(&counters),
            appends: appends.downgrade(),
        };
        let flush_thread = flush::spawn(setup, flush_queue, alive.clone())
            .map_err(StoreError::io("start the flusher of", root))?;

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

        report.took = clock.monotonic().saturating_sub(started);
        progress.finish();
        let threads = vec![append_thread, wal_thread, state_thread, flush_thread];
        Ok(Self {
            ingest,
            flush_counters: counters,
            max_head_bytes: config.max_head_bytes,
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

impl LogHandle {
    fn new(log: &'static str) -> Self {
        Self { poison: Poison::new(log), counters: Arc::new(LogCounters::default()) }
    }
}

fn lock(fs: &dyn Fs, root: &Path) -> Result<LockGuard, StoreError> {
    let path = root.join("lock");
    match fs.lock(&path).map_err(StoreError::io("lock", &path))? {
        LockAttempt::Acquired(guard) => Ok(guard),
        LockAttempt::Held(pid) => Err(StoreError::Locked { path: root.to_path_buf(), pid }),
    }
}

fn replay_wal(
    fs: &dyn Fs,
    dir: &Path,
    head: &Head,
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
    replay::replay(fs, dir, &WAL, &files, |file, frame| {
        progress.add_done(frame.body.len() as u64);
        let batch = decode(frame)
            .map_err(|error| StoreError::corrupt(&file.path, frame.offset, error.to_string()))?;
        head.apply(batch);
        Ok(())
    })
}

/// A frame of the WAL as a prepared batch.
fn decode(frame: Frame<'_>) -> Result<PreparedBatch, DecodeError> {
    Ok(match frame.kind {
        frame::LOGS => {
            let (first_sequence, batch) = codec::decode_logs(frame.body)?;
            PreparedBatch::Logs { first_sequence, batch }
        }
        frame::TRACES => {
            let (first_sequence, batch) = codec::decode_traces(frame.body)?;
            PreparedBatch::Traces { first_sequence, batch }
        }
        _ => PreparedBatch::Metrics(codec::decode_metrics(frame.body)?),
    })
}
