//! Reading the state log at start: the newest snapshot, then the logs that follow it.

use std::path::Path;

use skopos_model::SeriesSamples;

use super::record;
use super::snapshot;
use super::{COMMIT, LOG, SNAPSHOT, StateMap};
use crate::error::StoreError;
use crate::fs::Fs;
use crate::recovery::{ReplayProgress, TornTail};
use crate::wal::replay::{LogFile, list_files, remove_temporaries, replay};

/// What the state log said.
#[derive(Debug, Default)]
pub(crate) struct RecoveredState {
    pub(crate) map: StateMap,
    pub(crate) plan: WritePlan,
    /// Commits and snapshot frames read.
    pub(crate) frames: u64,
    pub(crate) torn: Option<TornTail>,
}

/// Where the writer goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WritePlan {
    /// Number of the log to write next.
    pub(crate) next_number: u64,
    /// Bytes of the newest snapshot, 0 without one.
    pub(crate) snapshot_bytes: u64,
    /// Bytes of the logs after it.
    pub(crate) log_bytes: u64,
}

/// The files that count.
pub(crate) struct StateFiles {
    pub(crate) snapshot: Option<LogFile>,
    pub(crate) logs: Vec<LogFile>,
    /// Leftovers of an interrupted compaction.
    pub(crate) obsolete: Vec<LogFile>,
}

/// Sorts the folder's files into those that count and those that do not.
pub(crate) fn find_files(fs: &dyn Fs, dir: &Path) -> Result<StateFiles, StoreError> {
    let mut snapshots = list_files(fs, dir, &SNAPSHOT)?;
    let snapshot = snapshots.pop();
    let from = snapshot.as_ref().map_or(0, |snapshot| snapshot.number);
    let logs = list_files(fs, dir, &LOG)?;
    let (logs, old_logs): (Vec<_>, Vec<_>) = logs.into_iter().partition(|log| log.number >= from);
    snapshots.extend(old_logs);
    Ok(StateFiles { snapshot, logs, obsolete: snapshots })
}

/// Reads everything; samples go to `samples` as they come.
pub(crate) fn recover(
    fs: &dyn Fs,
    dir: &Path,
    progress: &ReplayProgress,
    mut samples: impl FnMut(Vec<SeriesSamples>),
) -> Result<RecoveredState, StoreError> {
    remove_temporaries(fs, dir)?;
    let files = find_files(fs, dir)?;
    for file in &files.obsolete {
        fs.remove(&file.path).map_err(StoreError::io("remove", &file.path))?;
    }
    let mut state = RecoveredState::default();
    if let Some(file) = &files.snapshot {
        state.frames += snapshot::read(fs, file, &mut state.map, &mut samples)?;
        state.plan.snapshot_bytes = file.len;
        progress.add_done(file.len);
        if files.logs.first().is_none_or(|log| log.number != file.number) {
            let missing = dir.join(LOG.file_name(file.number));
            return Err(StoreError::corrupt(
                &missing,
                0,
                "log that follows the snapshot is missing",
            ));
        }
    }
    let map = &mut state.map;
    let replayed = replay(fs, dir, &LOG, &files.logs, |file, frame| {
        debug_assert_eq!(frame.kind, COMMIT);
        progress.add_done(frame.body.len() as u64);
        let commit = record::decode_commit(frame.body)
            .map_err(|error| StoreError::corrupt(&file.path, frame.offset, error.to_string()))?;
        if map.is_new(&commit.id.source, commit.id.slot) {
            map.set_slot(commit.id.source, commit.id.slot);
            map.apply(commit.records);
            samples(commit.samples);
        }
        Ok(())
    })?;
    state.frames += replayed.frames;
    state.plan.log_bytes = replayed.bytes;
    state.torn = replayed.torn;
    let after_snapshot = files.snapshot.as_ref().map_or(1, |file| file.number);
    state.plan.next_number = replayed.next_number.max(after_snapshot);
    Ok(state)
}
