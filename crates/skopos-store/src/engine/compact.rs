//! Compaction and retention of blocks.
//!
//! Policy: neighbouring blocks of one kind and level, once there are enough of them, become one of
//! the next level, unless it would grow too large; neighbours only, because of samples of one time
//! the later block's counts. A block goes as a whole when all of it is too old, or when the signal
//! has too many bytes and it is the oldest.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use skopos_model::Timestamp;
use skopos_model::event::EventSignal;

use super::flush::{Flusher, MaintenanceReport, remove_blocks};
use crate::block::{Block, BlockKind, BlockMeta, compact};
use crate::catalog::Edit;
use crate::config::{BlockConfig, Retention};
use crate::error::StoreError;

/// Levels beyond which blocks are not merged any more.
const MOST_LEVELS: u32 = 4;

impl Flusher {
    /// Removes what is too old, then merges while there is something to merge; merging waits while
    /// the disk is low, because it needs space before it gives any back.
    pub(super) fn maintain(&mut self) -> Result<MaintenanceReport, StoreError> {
        let mut report = MaintenanceReport { expired: self.expire()?, ..Default::default() };
        if self.setup.ingest.disk().low().is_some() {
            return Ok(report);
        }
        while let Some(run) = self.next_run() {
            let (merged, written) = (run.len() as u64, self.merge(run)?);
            report.merged += merged;
            report.written += written;
            self.setup.counters.merged.fetch_add(merged, Ordering::Relaxed);
        }
        Ok(report)
    }

    fn expire(&self) -> Result<u64, StoreError> {
        let view = self.setup.ingest.views().current();
        let now = self.setup.clock.now();
        let mut removed = Vec::new();
        for kind in BlockKind::ALL {
            let blocks = Self::blocks_of(&view, kind);
            let metas: Vec<&BlockMeta> = blocks.iter().map(|block| &block.meta).collect();
            removed.extend(expired(&metas, retention(&self.setup.config, kind), now));
        }
        let count = removed.len() as u64;
        if count > 0 {
            self.exchange(&view, Edit { removed, ..Edit::default() })?;
            self.setup.counters.expired.fetch_add(count, Ordering::Relaxed);
        }
        Ok(count)
    }

    fn next_run(&self) -> Option<Vec<Arc<Block>>> {
        let view = self.setup.ingest.views().current();
        let config = &self.setup.config;
        // One that cannot be read must not keep all others from being merged.
        let damaged = self.setup.catalog.files().damaged();
        let is_whole =
            |block: &BlockMeta| block.files.iter().all(|file| !damaged.contains_key(&file.name));
        BlockKind::ALL.into_iter().find_map(|kind| {
            let blocks = Self::blocks_of(&view, kind);
            let metas: Vec<&BlockMeta> = blocks.iter().map(|block| &block.meta).collect();
            let (from, to) = run(&metas, config.compact_count, config.compact_bytes, is_whole)?;
            Some(blocks.get(from..to)?.to_vec())
        })
    }

    fn merge(&self, run: Vec<Arc<Block>>) -> Result<u64, StoreError> {
        let view = self.setup.ingest.views().current();
        let catalog = &self.setup.catalog;
        let level = run.iter().map(|block| block.meta.level).max().unwrap_or(0) + 1;
        let Some(kind) = run.first().map(|block| block.meta.kind) else { return Ok(0) };
        let (files, number) = (catalog.files(), catalog.take_block_number());
        let merged = match kind {
            BlockKind::Metrics => compact::metrics(files, number, level, &run),
            BlockKind::Logs => compact::events(files, number, level, EventSignal::Logs, &run),
            BlockKind::Spans => compact::events(files, number, level, EventSignal::Spans, &run),
        };
        let merged = merged.map_err(StoreError::block("compact blocks"))?;
        files.sync().inspect_err(|_| remove_blocks(files, merged.as_slice()))?;
        let written = u64::from(merged.is_some());
        let removed = run.iter().map(|block| block.meta.number).collect();
        let edit = Edit { removed, added: merged.into_iter().collect(), ..Edit::default() };
        self.exchange(&view, edit)?;
        Ok(written)
    }
}

fn retention(config: &BlockConfig, kind: BlockKind) -> Retention {
    match kind {
        BlockKind::Metrics => config.metrics,
        BlockKind::Logs => config.logs,
        BlockKind::Spans => config.spans,
    }
}

/// Numbers of the blocks of one kind that go.
fn expired(blocks: &[&BlockMeta], retention: Retention, now: Timestamp) -> Vec<u64> {
    let mut by_age: Vec<&&BlockMeta> = blocks.iter().collect();
    by_age.sort_by_key(|block| (block.last_ns, block.number));
    let oldest = now.saturating_sub(retention.age);
    let mut bytes: u64 = blocks.iter().map(|block| block.size_bytes()).sum();
    let mut removed = Vec::new();
    for block in by_age {
        let too_many = retention.bytes.is_some_and(|most| bytes > most);
        if Timestamp(block.last_ns) >= oldest && !too_many {
            break;
        }
        bytes -= block.size_bytes();
        removed.push(block.number);
    }
    removed
}

/// Where a run of neighbours begins and ends that should and may become one block.
fn run(
    blocks: &[&BlockMeta],
    count: usize,
    most_bytes: u64,
    may: impl Fn(&BlockMeta) -> bool,
) -> Option<(usize, usize)> {
    let count = count.max(2);
    (0..MOST_LEVELS).find_map(|level| {
        let last_start = (blocks.len() + 1).checked_sub(count)?;
        (0..last_start).find_map(|from| {
            let run = blocks.get(from..from + count)?;
            let bytes: u64 = run.iter().map(|block| block.size_bytes()).sum();
            let fits = run.iter().all(|block| block.level == level && may(block));
            (fits && bytes <= most_bytes).then_some((from, from + count))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::block::FileMeta;

    fn block(number: u64, level: u32, last_secs: i64, len: u64) -> BlockMeta {
        let file = FileMeta { name: String::new(), len, checksum: 0 };
        BlockMeta {
            number,
            kind: BlockKind::Logs,
            level,
            first_ns: 0,
            last_ns: Timestamp::from_secs(last_secs).0,
            rows: 1,
            files: vec![file],
        }
    }

    #[test]
    fn neighbours_of_one_level_are_merged() {
        let blocks = |levels: &[u32]| -> Vec<BlockMeta> {
            levels.iter().enumerate().map(|(i, &l)| block(i as u64, l, 0, 10)).collect()
        };
        for (levels, want) in [
            (&[0, 0, 0][..], None),
            (&[0, 0, 0, 0], Some((0, 4))),
            (&[1, 0, 0, 0, 0, 0], Some((1, 5))),
            (&[1, 1, 1, 1, 0], Some((0, 4))),
            (&[0, 0, 1, 0, 0], None),
            (&[4, 4, 4, 4], None),
            (&[], None),
        ] {
            let blocks = blocks(levels);
            let metas: Vec<_> = blocks.iter().collect();
            assert_eq!(run(&metas, 4, 100, |_| true), want, "{levels:?}");
            assert_eq!(run(&metas, 4, 39, |_| true), None, "too large");
        }
    }

    #[test]
    fn a_damaged_block_stays_where_it_is_and_others_are_merged() {
        let blocks: Vec<BlockMeta> = (0..9).map(|number| block(number, 0, 0, 10)).collect();
        let metas: Vec<_> = blocks.iter().collect();
        let without = |damaged: u64| run(&metas, 4, 100, |block| block.number != damaged);
        assert_eq!(without(2), Some((3, 7)));
        assert_eq!(without(4), Some((0, 4)));
        assert_eq!(without(3), Some((4, 8)));
    }

    #[test]
    fn age_and_bytes_take_the_oldest() {
        // Late data can make a later block older.
        let blocks = [block(1, 0, 100, 10), block(2, 0, 300, 10), block(3, 0, 200, 10)];
        let metas: Vec<_> = blocks.iter().collect();
        let now = Timestamp::from_secs(1000);
        let keep = |secs, bytes| Retention { age: Duration::from_secs(secs), bytes };
        for (retention, want) in [
            (keep(1000, None), &[][..]),
            (keep(900, None), &[]),
            (keep(899, None), &[1]),
            (keep(750, None), &[1, 3]),
            (keep(1000, Some(30)), &[]),
            (keep(1000, Some(29)), &[1]),
            (keep(1000, Some(10)), &[1, 3]),
            (keep(1000, Some(0)), &[1, 3, 2]),
        ] {
            assert_eq!(expired(&metas, retention, now), want, "{retention:?}");
        }
    }
}
