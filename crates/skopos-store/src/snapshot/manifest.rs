//! The list of a snapshot's files with their lengths and checksums: text, one file a line.

use std::path::Path;

use crate::error::StoreError;
use crate::fs::{Fs, replace_file};

/// Its name in the snapshot's folder.
const NAME: &str = "MANIFEST";
/// How the first line begins.
const TITLE: &str = "skopos snapshot ";
/// The version of the format.
const VERSION: u32 = 1;
/// Longest manifest that is read.
const MAX_BYTES: u64 = 64 << 20;

/// The files of a snapshot.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) files: Vec<Listed>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// From the snapshot's folder, with `/`.
    pub(super) path: String,
    pub(super) len: u64,
    /// CRC-32C of all its bytes.
    pub(super) checksum: u32,
}

impl Manifest {
    /// Puts the manifest in place, at once and durably.
    pub(super) fn write(&self, fs: &dyn Fs, dir: &Path) -> Result<(), StoreError> {
        let text = self.encode();
        replace_file(fs, dir, NAME, |file| {
            file.write_all(text.as_bytes()).map_err(StoreError::io("write", &dir.join(NAME)))
        })
    }

    /// Reads the manifest of a snapshot.
    pub(super) fn read(fs: &dyn Fs, dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(NAME);
        let file = fs.open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StoreError::InvalidInput {
                reason: format!("{} is no finished snapshot: it has no {NAME}", dir.display()),
            },
            _ => StoreError::io("open", &path)(error),
        })?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_BYTES), &mut text)
            .map_err(StoreError::io("read", &path))?;
        Self::decode(&text).map_err(|problem| match problem {
            Problem::Newer(found) => StoreError::UnsupportedVersion {
                path,
                what: "format version",
                found,
                supported: VERSION,
            },
            Problem::Damaged(offset, reason) => StoreError::corrupt(&path, offset as u64, reason),
        })
    }

    fn encode(&self) -> String {
        let mut text = format!("{TITLE}{VERSION}\n");
        for Listed { path, len, checksum } in &self.files {
            text.push_str(&format!("{checksum:08x} {len} {path}\n"));
        }
        let checksum = crc32c::crc32c(text.as_bytes());
        text.push_str(&format!("end {} {checksum:08x}\n", self.files.len()));
        text
    }

    fn decode(text: &str) -> Result<Self, Problem> {
        let (title, rest) = text.split_once('\n').ok_or(Problem::Damaged(0, "it is empty"))?;
        let version = title.strip_prefix(TITLE).and_then(|version| version.parse().ok());
        match version {
            Some(VERSION) => {}
            Some(newer) if newer > VERSION => return Err(Problem::Newer(newer)),
            _ => return Err(Problem::Damaged(0, "not a manifest of skopos")),
        }
        let mut offset = title.len() + 1;
        let mut manifest = Self::default();
        for line in rest.split_inclusive('\n') {
            if let Some(end) = line.strip_prefix("end ") {
                let checksum = crc32c::crc32c(text.get(..offset).unwrap_or_default().as_bytes());
                let want = format!("{} {checksum:08x}\n", manifest.files.len());
                let last = offset + line.len() == text.len();
                return match end == want && last {
                    true => Ok(manifest),
                    false => Err(Problem::Damaged(offset, "its checksum does not fit")),
                };
            }
            let listed = listed(line).ok_or(Problem::Damaged(offset, "line is not understood"))?;
            manifest.files.push(listed);
            offset += line.len();
        }
        Err(Problem::Damaged(offset, "its end is missing"))
    }
}

/// Why a text is no manifest.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    Newer(u32),
    Damaged(usize, &'static str),
}

fn listed(line: &str) -> Option<Listed> {
    let mut words = line.strip_suffix('\n')?.splitn(3, ' ');
    let (checksum, len, path) = (words.next()?, words.next()?, words.next()?);
    let checksum = u32::from_str_radix(checksum, 16).ok()?;
    // Exactly where a snapshot puts files, and nowhere else.
    let (part, name) = path.strip_prefix("default/")?.split_once('/')?;
    let is_ours = super::PARTS.contains(&part)
        && !name.is_empty()
        && !name.contains(['/', '\\', '\0'])
        && !name.starts_with('.');
    is_ours.then(|| Some(Listed { path: path.to_owned(), len: len.parse().ok()?, checksum }))?
}

/// Fuzz entry: reads arbitrary bytes as a manifest; what is read must survive writing and reading
/// again.
pub fn fuzz_manifest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(manifest) = Manifest::decode(&text) {
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let file = |path: &str, len| Listed { path: path.into(), len, checksum: 7 };
        Manifest {
            files: vec![file("default/wal/0000000001.wal", 24), file("default/blocks/a", 0)],
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let text = manifest().encode();
        assert_eq!(Manifest::decode(&text), Ok(manifest()));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            assert!(Manifest::decode(&changed).is_err(), "byte {at}: {changed}");
            assert!(Manifest::decode(&text[..at]).is_err(), "cut at {at}");
        }
        let more = format!("{text}more\n");
        assert!(Manifest::decode(&more).is_err());
        let newer = text.replace("snapshot 1", "snapshot 2");
        assert_eq!(Manifest::decode(&newer), Err(Problem::Newer(2)));
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        for path in ["/etc/passwd", "default/wal/../x", "default/else/x", "default/wal/", "wal/x"] {
            let file = Listed { path: path.into(), len: 1, checksum: 1 };
            let text = Manifest { files: vec![file] }.encode();
            assert!(matches!(Manifest::decode(&text), Err(Problem::Damaged(..))), "{path}");
        }
    }
}
