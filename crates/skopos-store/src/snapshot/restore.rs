//! Putting a snapshot back as a data folder.

use std::path::Path;

use super::manifest::{Listed, Manifest};
use super::{PARTS, SnapshotReport, copy_file, holds_nothing, lock, sum};
use crate::error::StoreError;
use crate::fs::{self, Fs, replace_file};

/// The file that says that a restore was begun and not finished.
const UNFINISHED: &str = "restore-unfinished";

/// Makes a data folder out of a snapshot, after every byte of that has been checked. A folder that
/// holds anything is refused, unless `replace` says that its data may go. Nobody may have it open.
pub fn restore(
    fs: &dyn Fs,
    snapshot: &Path,
    data: &Path,
    replace: bool,
) -> Result<SnapshotReport, StoreError> {
    let manifest = Manifest::read(fs, snapshot)?;
    for file in &manifest.files {
        verify(fs, snapshot, file)?;
    }
    fs::create_dirs(fs, data).map_err(StoreError::io("create", data))?;
    let _lock = lock(fs, data)?;
    let may_go = replace || is_unfinished(fs, data)?;
    if !may_go && !holds_nothing(fs, data)? {
        let reason = format!(
            "{} is not empty: its data would be lost; name another folder, or say that it \
                     is to be replaced",
            data.display()
        );
        return Err(StoreError::InvalidInput { reason });
    }
    replace_file(fs, data, UNFINISHED, |_| Ok(()))?;
    for part in PARTS {
        let dir = data.join("default").join(part);
        fs::create_dirs(fs, &dir).map_err(StoreError::io("create", &dir))?;
        for entry in fs.list(&dir).map_err(StoreError::io("list", &dir))? {
            let path = dir.join(entry.name);
            fs.remove(&path).map_err(StoreError::io("remove", &path))?;
        }
    }
    let mut report = SnapshotReport::default();
    for file in &manifest.files {
        let linked = put(fs, snapshot, data, file)?;
        report.files += 1;
        report.bytes += file.len;
        report.linked_bytes += if linked { file.len } else { 0 };
    }
    for part in PARTS {
        let dir = data.join("default").join(part);
        fs.sync_dir(&dir).map_err(StoreError::io("sync", &dir))?;
    }
    let mark = data.join(UNFINISHED);
    fs.remove(&mark).map_err(StoreError::io("remove", &mark))?;
    fs.sync_dir(data).map_err(StoreError::io("sync", data))?;
    Ok(report)
}

fn verify(fs: &dyn Fs, root: &Path, file: &Listed) -> Result<(), StoreError> {
    let path = root.join(&file.path);
    let mut from = fs.open(&path).map_err(StoreError::io("open", &path))?;
    let found = sum(&mut from, u64::MAX, |_| Ok(())).map_err(StoreError::io("read", &path))?;
    check(&path, file, found)
}

fn check(path: &Path, file: &Listed, found: (u64, u32)) -> Result<(), StoreError> {
    if found == (file.len, file.checksum) {
        return Ok(());
    }
    Err(StoreError::corrupt(path, 0, "its bytes are not those the manifest lists"))
}

/// Puts one file in place; whether by a link. Only what is never written again is linked: the
/// snapshot must not change with the folder.
fn put(fs: &dyn Fs, snapshot: &Path, data: &Path, file: &Listed) -> Result<bool, StoreError> {
    let (from, to) = (snapshot.join(&file.path), data.join(&file.path));
    if file.path.starts_with("default/blocks/") && fs.hard_link(&from, &to).is_ok() {
        return Ok(true);
    }
    let found = copy_file(fs, &from, &to, u64::MAX).map_err(StoreError::io("copy", &from))?;
    check(&from, file, found)?;
    Ok(false)
}

fn is_unfinished(fs: &dyn Fs, data: &Path) -> Result<bool, StoreError> {
    let entries = fs.list(data).map_err(StoreError::io("list", data))?;
    Ok(entries.iter().any(|entry| entry.name == UNFINISHED))
}

/// Refuses a data folder whose restore did not come to its end.
pub(crate) fn check_finished(fs: &dyn Fs, data: &Path) -> Result<(), StoreError> {
    match is_unfinished(fs, data)? {
        false => Ok(()),
        true => {
            let reason = format!(
                "a restore into {} was not finished: repeat `skopos restore`",
                data.display()
            );
            Err(StoreError::InvalidInput { reason })
        }
    }
}
