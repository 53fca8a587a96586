//! What was made out of code before: facts by content, so that a second audit parses only what has changed.
//!
//! One file a repository, outside of it. An entry is known by a hash of the engine, the file's path and its bytes: nothing
//! has to be told that a file has changed, and another build of Skopos finds nothing to its taste. Findings are not kept:
//! rules judge anew every time, and configuration is always read anew. What cannot be read is as good as not there, and
//! what cannot be written costs time and nothing else.
//!
//! The file: a line `skopos-audit-cache 1`, then for each entry a line `KEY CHECKSUM LENGTH` (hexadecimal, hexadecimal,
//! decimal) and so many bytes of JSON, closed by a line break. It is written whole, beside, and renamed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::RULES_VERSION;
use crate::lang::Extracted;

/// How the file begins.
const HEAD: &str = "skopos-audit-cache 1\n";

/// A file beyond this is neither read nor written.
const LARGEST: u64 = 256 << 20;

/// Facts of code that was seen before.
#[derive(Debug)]
pub struct Cache {
    file: PathBuf,
    engine: String,
    bytes: Vec<u8>,
    entries: HashMap<u128, Entry>,
    used: Mutex<BTreeSet<u128>>,
    added: Mutex<BTreeMap<u128, Vec<u8>>>,
    /// Whether all that is to be written has been.
    is_written: AtomicBool,
}

/// Where the JSON of an entry stands, and what it should sum up to.
#[derive(Clone, Debug)]
struct Entry {
    sum: u64,
    json: Range<usize>,
}

impl Cache {
    /// The cache of the repository at `root`, in a folder of caches; empty when there is none yet.
    pub fn open(folder: &Path, root: &Path) -> Self {
        let name = xxh3_64(root.as_os_str().as_encoded_bytes());
        let file = folder.join(format!("{name:016x}.cache"));
        let is_small = fs::metadata(&file).is_ok_and(|m| m.is_file() && m.len() <= LARGEST);
        let bytes = if is_small { fs::read(&file).unwrap_or_default() } else { Vec::new() };
        let entries = index(&bytes);
        let (used, added, is_written) = Default::default();
        Self { file, engine: engine(), bytes, entries, used, added, is_written }
    }

    /// The folder of caches: `SKOPOS_AUDIT_CACHE`, else `skopos/audit` where the user's caches are. None without a home.
    pub fn default_folder() -> Option<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(folder) = set("SKOPOS_AUDIT_CACHE") {
            return Some(folder.into());
        }
        let caches = set("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| set("HOME").map(|home| Path::new(&home).join(".cache")))?;
        Some(caches.join("skopos/audit"))
    }

    /// What a file is known by.
    pub(crate) fn key(&self, path: &str, text: &str) -> u128 {
        let head = format!("{}\0{path}\0{:032x}", self.engine, xxh3_128(text.as_bytes()));
        xxh3_128(head.as_bytes())
    }

    /// What was made of it before, or in this very run: who compares with the tree of then reads most files twice.
    pub(crate) fn get(&self, key: u128) -> Option<Extracted> {
        if let Some(json) = self.kept(key) {
            let extracted = serde_json::from_slice(json).ok()?;
            lock(&self.used).insert(key);
            return Some(extracted);
        }
        // Taken apart outside of the lock.
        let json = lock(&self.added).get(&key).cloned()?;
        serde_json::from_slice(&json).ok()
    }

    /// An entry of the file, when it is whole.
    fn kept(&self, key: u128) -> Option<&[u8]> {
        let entry = self.entries.get(&key)?;
        let json = self.bytes.get(entry.json.clone())?;
        (entry.sum == xxh3_64(json)).then_some(json)
    }

    /// Keeps what was made of it.
    pub(crate) fn put(&self, key: u128, extracted: &Extracted) {
        if let Ok(json) = serde_json::to_vec(extracted) {
            lock(&self.added).insert(key, json);
            self.is_written.store(false, Ordering::Relaxed);
        }
    }

    /// Writes what is new, and what of the old was of use.
    ///
    /// # Errors
    /// What the file system says; the audit is none the worse for it.
    pub fn save(&self) -> std::io::Result<()> {
        let added = lock(&self.added);
        let used = lock(&self.used);
        // Entries of other branches stay, until they outnumber what is of use.
        let is_stale = self.entries.len() > 2 * used.len() + 1000;
        let has_news = !added.is_empty() || is_stale;
        if !has_news || self.is_written.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let mut out = HEAD.as_bytes().to_vec();
        let mut entry = |key: u128, sum: u64, json: &[u8]| {
            // Writing to memory does not fail.
            let _ = writeln!(out, "{key:032x} {sum:016x} {}", json.len());
            out.extend_from_slice(json);
            out.push(b'\n');
        };
        let kept = self
            .entries
            .iter()
            .filter(|(key, _)| (!is_stale || used.contains(*key)) && !added.contains_key(*key));
        let mut kept: Vec<_> = kept.collect();
        kept.sort_unstable_by_key(|(key, _)| **key);
        for (key, old) in kept {
            entry(*key, old.sum, self.bytes.get(old.json.clone()).unwrap_or_default());
        }
        for (key, json) in added.iter() {
            entry(*key, xxh3_64(json), json);
        }
        if out.len() as u64 > LARGEST {
            return Ok(());
        }
        self.write(&out)
    }

    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let mut builder = fs::DirBuilder::new();
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
            // It holds literals of the code: nobody else's to read.
            builder.mode(0o700);
            options.mode(0o600);
        }
        builder.recursive(true).create(folder)?;
        let beside = self.file.with_extension(format!("{}.part", std::process::id()));
        let written = options
            .open(&beside)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(&beside, &self.file));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }
}

/// What a mutex holds; a thread that ended with it leaves it whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What makes facts: the rules, and the very program, so that a new build trusts nothing of an old one.
fn engine() -> String {
    let program = std::env::current_exe().and_then(fs::metadata);
    let built = program.map_or_else(
        |_| String::new(),
        |file| format!("{} {:?}", file.len(), file.modified().ok()),
    );
    format!("{RULES_VERSION} {} {built}", env!("CARGO_PKG_VERSION"))
}

/// Where entries stand. What is torn ends the index.
fn index(bytes: &[u8]) -> HashMap<u128, Entry> {
    let mut entries = HashMap::new();
    let Some(mut rest) = bytes.strip_prefix(HEAD.as_bytes()) else { return entries };
    while let Some(end) = rest.iter().take(96).position(|byte| *byte == b'\n') {
        let Some(line) = rest.get(..end).and_then(|line| std::str::from_utf8(line).ok()) else {
            break;
        };
        let mut words = line.split(' ');
        let (Some(key), Some(sum), Some(length)) = (words.next(), words.next(), words.next())
        else {
            break;
        };
        let (Ok(key), Ok(sum), Ok(length)) =
            (u128::from_str_radix(key, 16), u64::from_str_radix(sum, 16), length.parse::<usize>())
        else {
            break;
        };
        let start = bytes.len() - rest.len() + end + 1;
        let Some(next) = length.checked_add(end + 2).and_then(|to| rest.get(to..)) else { break };
        entries.insert(key, Entry { sum, json: start..start + length });
        rest = next;
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Language;

    #[test]
    fn what_this_run_made_is_not_made_nor_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let text = "print('a')\n";
        let made = Language::Python.extract("app.py", text);
        let cache = Cache::open(folder.path(), Path::new("/some/repository"));
        let key = cache.key("app.py", text);
        cache.put(key, &made);
        assert_eq!(cache.get(key), Some(made.clone()), "before it is written");
        cache.save().unwrap();
        let whole = fs::read(&cache.file).unwrap();
        fs::remove_file(&cache.file).unwrap();
        cache.save().unwrap();
        assert!(!cache.file.exists(), "there was nothing new");

        // What is torn is made anew, once, and then it is whole.
        let mut torn = whole.clone();
        let last = torn.len() - 3;
        torn[last] ^= 1;
        fs::write(&cache.file, &torn).unwrap();
        let cache = Cache::open(folder.path(), Path::new("/some/repository"));
        assert_eq!(cache.get(key), None);
        cache.put(key, &made);
        assert_eq!(cache.get(key), Some(made));
        cache.save().unwrap();
        assert_eq!(fs::read(&cache.file).unwrap(), whole);
    }

    #[test]
    fn what_was_kept_comes_back_and_what_is_torn_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new("/some/repository");
        let text = "print('a')\n";
        let made = Language::Python.extract("app.py", text);
        assert!(!made.facts.is_empty());
        let cache = Cache::open(folder.path(), root);
        let key = cache.key("app.py", text);
        assert_eq!(cache.get(key), None);
        cache.put(key, &made);
        cache.save().unwrap();

        let cache = Cache::open(folder.path(), root);
        assert_eq!(cache.get(key), Some(made));
        assert_ne!(cache.key("b.py", text), key, "another path");
        assert_ne!(cache.key("app.py", "print('b')\n"), key, "another content");
        assert!(Cache::open(folder.path(), Path::new("/other")).get(key).is_none());

        let whole = fs::read(&cache.file).unwrap();
        for at in 0..whole.len() {
            fs::write(&cache.file, &whole[..at]).unwrap();
            assert!(Cache::open(folder.path(), root).get(key).is_none(), "cut at {at}");
            let mut other = whole.clone();
            other[at] ^= 1;
            fs::write(&cache.file, &other).unwrap();
            let got = Cache::open(folder.path(), root).get(key);
            assert!(got.is_none() || got == cache.get(key), "changed at {at}");
        }
    }
}
