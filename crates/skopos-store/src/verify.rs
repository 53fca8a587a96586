//! Are the blocks what was written? And the way on without those that are not.
//!
//! Constraints:
//! - Looking takes no lock and changes nothing: a server may have the folder open, whose compaction
//!   removes files meanwhile.
//! - Setting aside is for a folder that nobody has open. The files are kept, outside of what the
//!   catalog names, before the catalog forgets them: something may still be saved from them.
//! - The logs are not looked at: a start reads them whole and says what is wrong.

use std::io;
use std::path::{Path, PathBuf};

use skopos_model::Timestamp;

use crate::block::{self, BlockKind, BlockMeta};
use crate::catalog::{self, Stored};
use crate::error::StoreError;
use crate::fs::{self, Fs};
use crate::snapshot::{check_finished, copy_file, lock};

/// Where files go that are set aside, in the data folder.
const ASIDE: &str = "damaged";
/// How often the catalog is read again because a file it named has gone.
const MOST_LOOKS: usize = 10;
/// Blocks that an error names one by one.
const NAMED: usize = 3;

/// A block that cannot be read, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedBlock {
    /// Its number, unique in the data folder.
    pub number: u64,
    /// What it holds: `metrics`, `logs` or `traces`.
    pub signal: &'static str,
    /// Time of the earliest sample or event.
    pub first: Timestamp,
    /// Time of the latest sample or event.
    pub last: Timestamp,
    /// Samples or events.
    pub rows: u64,
    /// The first file of it that is damaged.
    pub file: String,
    /// What is wrong with that file.
    pub reason: String,
}

impl DamagedBlock {
    pub(crate) fn new(block: &BlockMeta, file: &str, reason: impl ToString) -> Self {
        Self {
            number: block.number,
            signal: match block.kind {
                BlockKind::Metrics => "metrics",
                BlockKind::Logs => "logs",
                BlockKind::Spans => "traces",
            },
            first: Timestamp(block.first_ns),
            last: Timestamp(block.last_ns),
            rows: block.rows,
            file: file.to_owned(),
            reason: reason.to_string(),
        }
    }
}

impl std::fmt::Display for DamagedBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { signal, first, last, rows, file, reason, .. } = self;
        write!(f, "block file {file} ({rows} items of {signal}, {first} to {last}): {reason}")
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Blocks looked at.
    pub blocks: u64,
    /// Their files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks that are not what was written.
    pub damaged: Vec<DamagedBlock>,
    /// Where the files of these are now, when they were set aside.
    pub set_aside: Option<PathBuf>,
}

/// Reads every block of a data folder and compares it with its checksum.
pub fn verify(fs: &dyn Fs, data: &Path) -> Result<VerifyReport, StoreError> {
    let catalog = catalog_dir(fs, data)?;
    check_finished(fs, data)?;
    let mut looks = 0;
    loop {
        looks += 1;
        let newest = catalog::newest(fs, &catalog)?;
        let (number, stored) =
            newest.map_or_else(Default::default, |(file, stored)| (file.number, stored));
        let report = look(fs, data, &stored)?;
        // What is damaged in a version that is not the newest any more may be a file that has gone.
        let newer = catalog::newest(fs, &catalog)?.map_or(0, |(file, _)| file.number);
        if report.damaged.is_empty() || newer == number || looks == MOST_LOOKS {
            return Ok(report);
        }
    }
}

/// Does as [`verify`] does, and takes damaged blocks out of the data folder's catalog; their files
/// are kept in its folder `damaged`. Nobody may have the folder open.
pub fn set_aside(fs: &dyn Fs, data: &Path) -> Result<VerifyReport, StoreError> {
    let catalog = catalog_dir(fs, data)?;
    let _lock = lock(fs, data)?;
    check_finished(fs, data)?;
    let Some((file, mut stored)) = catalog::newest(fs, &catalog)? else {
        return Ok(VerifyReport::default());
    };
    let mut report = look(fs, data, &stored)?;
    if report.damaged.is_empty() {
        return Ok(report);
    }
    let is_damaged =
        |block: &BlockMeta| report.damaged.iter().any(|damaged| damaged.number == block.number);
    let aside = data.join(ASIDE);
    fs::create_dirs(fs, &aside).map_err(StoreError::io("create", &aside))?;
    let blocks = data.join("default").join("blocks");
    let damaged: Vec<BlockMeta> = stored.blocks.iter().filter(|b| is_damaged(b)).cloned().collect();
    for name in damaged.iter().flat_map(|block| &block.files).map(|file| &file.name) {
        keep(fs, &blocks.join(name), &aside.join(name))?;
    }
    fs.sync_dir(&aside).map_err(StoreError::io("sync", &aside))?;
    stored.blocks.retain(|block| !is_damaged(block));
    // The next start removes the files, which no version names any more, and the older version.
    catalog::write(fs, &catalog, file.number + 1, &stored)?;
    report.set_aside = Some(aside);
    Ok(report)
}

/// What an error says about damaged blocks.
pub(crate) fn listed(damaged: &[DamagedBlock]) -> String {
    let named: Vec<String> = damaged.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match damaged.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!(
        "{} damaged: {}{more}; restore an earlier snapshot, or go on without them: \
         `skopos snapshot --skip-damaged` leaves them out",
        match damaged.len() {
            1 => "1 block is".to_owned(),
            many => format!("{many} blocks are"),
        },
        named.join("; "),
    )
}

fn catalog_dir(fs: &dyn Fs, data: &Path) -> Result<PathBuf, StoreError> {
    let dir = data.join("default").join("catalog");
    match fs.is_dir(&dir) {
        true => Ok(dir),
        false => {
            let reason = format!("{} is no data folder of skopos", data.display());
            Err(StoreError::InvalidInput { reason })
        }
    }
}

fn look(fs: &dyn Fs, data: &Path, stored: &Stored) -> Result<VerifyReport, StoreError> {
    let files = || stored.blocks.iter().flat_map(|block| &block.files);
    Ok(VerifyReport {
        blocks: stored.blocks.len() as u64,
        files: files().count() as u64,
        bytes: files().map(|file| file.len).sum(),
        damaged: damaged_of(fs, data, &stored.blocks)?,
        set_aside: None,
    })
}

/// Those of the blocks that are not what was written.
pub(crate) fn damaged_of(
    fs: &dyn Fs,
    data: &Path,
    blocks: &[BlockMeta],
) -> Result<Vec<DamagedBlock>, StoreError> {
    let dir = data.join("default").join("blocks");
    let mut damaged = Vec::new();
    for block in blocks {
        for file in &block.files {
            let path = dir.join(&file.name);
            match block::verify(fs, &path, file) {
                Ok(()) => {}
                Err(error) if block::is_damage(&error) => {
                    damaged.push(DamagedBlock::new(block, &file.name, error));
                    break;
                }
                Err(error) => return Err(StoreError::io("read", &path)(error)),
            }
        }
    }
    Ok(damaged)
}

/// Gives a file a second place; one that is not there is left.
fn keep(fs: &dyn Fs, from: &Path, to: &Path) -> Result<(), StoreError> {
    if fs.hard_link(from, to).is_ok() {
        return Ok(());
    }
    match copy_file(fs, from, to, u64::MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // As much of it as the disk gives.
        Err(error) if block::is_damage(&error) => Ok(()),
        copied => copied.map(drop).map_err(StoreError::io("copy", from)),
    }
}
