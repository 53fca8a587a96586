//! Finding and reading rule files, and those of objectives.
//!
//! A source is a file, a folder (its `.yml` and `.yaml` files in name order), a pattern such as
//! `rules/*.yml`, or `builtin` for the rules that come with Skopos. Folders and patterns are looked at anew at every load, so that files that come
//! and go are noticed.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use skopos_alerting::builtin;
use skopos_alerting::rules::{self, RuleSet, glob_matches};
use skopos_promql::ParseOptions;

use crate::ServerError;

/// Reads the files given with `--rules`. `language` says which parts of PromQL rules may use.
pub(crate) fn load(sources: &[String], language: &ParseOptions) -> Result<RuleSet, ServerError> {
    let mut texts = Vec::new();
    let given = read(sources)?;
    if sources.iter().any(|source| source == builtin::SOURCE) {
        let files = builtin::rule_files().iter();
        texts.extend(files.map(|file| (file.path.to_owned(), file.text.to_owned())));
    }
    texts.extend(given);
    let files: Vec<(&str, &str)> = texts.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let set = rules::load_with(&files, language).map_err(ServerError::Rules)?;
    for file in without_rules(&set, &texts) {
        tracing::warn!(file, "the rule file holds no rules");
    }
    Ok(set)
}

/// The files that the sources stand for, each with its text.
pub(crate) fn read(sources: &[String]) -> Result<Vec<(String, String)>, ServerError> {
    let mut texts = Vec::new();
    // Told here and not where files are looked at every few seconds.
    for pattern in sources.iter().filter(|source| *source != builtin::SOURCE) {
        let path = Path::new(pattern);
        if !path.is_dir() && expand(path)?.is_empty() {
            tracing::warn!(pattern, "no file matches the pattern");
        }
    }
    for path in paths(sources)? {
        let text = std::fs::read_to_string(&path).map_err(failed(&path))?;
        texts.push((path.display().to_string(), text));
    }
    Ok(texts)
}

/// What can be seen of the rule files without reading them: equal as long as nobody touched them.
/// A symbolic link that points elsewhere, as container platforms swap whole folders, differs too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look(Vec<(PathBuf, u64, u128, u64)>, Option<String>);

/// Looks at the files.
pub(super) fn look(sources: &[String]) -> Look {
    let paths = match paths(sources) {
        Ok(paths) => paths,
        Err(error) => return Look(Vec::new(), Some(error.to_string())),
    };
    let mut files = Vec::new();
    for path in paths {
        let Ok(seen) = std::fs::metadata(&path) else { continue };
        let changed = seen.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let changed = changed.map_or(0, |since| since.as_nanos());
        files.push((path, seen.len(), changed, inode(&seen)));
    }
    Look(files, None)
}

#[cfg(unix)]
fn inode(seen: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(seen)
}

#[cfg(not(unix))]
fn inode(_seen: &std::fs::Metadata) -> u64 {
    0
}

/// The files on disk that the sources stand for, each once.
fn paths(sources: &[String]) -> Result<Vec<PathBuf>, ServerError> {
    let mut all: Vec<PathBuf> = Vec::new();
    for source in sources.iter().filter(|source| *source != builtin::SOURCE) {
        for path in expand(Path::new(source))? {
            if !all.contains(&path) {
                all.push(path);
            }
        }
    }
    Ok(all)
}

/// Files of which nothing is in the set: right by the letter, but hardly what somebody wanted.
fn without_rules<'a>(set: &RuleSet, texts: &'a [(String, String)]) -> Vec<&'a str> {
    let has_rules = |path: &str| set.groups.iter().any(|g| g.file == path && !g.rules.is_empty());
    texts.iter().map(|(path, _)| path.as_str()).filter(|path| !has_rules(path)).collect()
}

fn expand(path: &Path) -> Result<Vec<PathBuf>, ServerError> {
    if !path.is_dir() {
        // A file of that very name is meant before a pattern.
        let is_pattern = path.to_string_lossy().contains(['*', '?', '[']) && !path.exists();
        return if is_pattern { matching(path) } else { Ok(vec![path.to_path_buf()]) };
    }
    let mut files = Vec::new();
    for file in entries(path)? {
        let is_yaml = file.extension().is_some_and(|e| e == "yml" || e == "yaml");
        if is_yaml && file.is_file() {
            files.push(file);
        }
    }
    Ok(files)
}

/// The files that a pattern matches, part by part; none is no mistake, as in Prometheus.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>, ServerError> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let mut next = Vec::new();
        for folder in found {
            let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
            if !folder.is_dir() {
                continue;
            }
            let is_match = |path: &PathBuf| {
                let name = path.file_name().map(|name| name.to_string_lossy());
                // Hidden files and folders are meant only by who writes the dot.
                let is_hidden = |name: &str| name.starts_with('.') && !text.starts_with('.');
                name.is_some_and(|name| !is_hidden(&name) && glob_matches(&text, &name))
            };
            next.extend(entries(&folder)?.into_iter().filter(is_match));
        }
        found = next;
    }
    found.retain(|path| path.is_file());
    Ok(found)
}

/// What is in a folder, in name order.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, ServerError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        found.push(entry.map_err(failed(folder))?.path());
    }
    found.sort();
    Ok(found)
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> ServerError {
    let path = path.to_path_buf();
    move |source| ServerError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "groups: [{name: g, rules: [{record: a, expr: 'mad_over_time(b[5m])'}]}]";

    #[test]
    fn experimental_promql_is_for_who_switched_it_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.yml");
        std::fs::write(&path, RULE).unwrap();
        let sources = [path.display().to_string()];
        assert!(load(&sources, &ParseOptions::default()).is_err());
        assert_eq!(load(&sources, &ParseOptions::all()).unwrap().groups.len(), 1);
    }

    #[test]
    fn builtin_stands_beside_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.yml");
        std::fs::write(&path, "groups: [{name: g, rules: [{record: a, expr: b}]}]").unwrap();
        let sources = ["builtin".to_owned(), path.display().to_string()];
        let set = load(&sources, &ParseOptions::default()).unwrap();
        assert!(set.groups.len() > 3);
        assert!(set.groups[0].file.starts_with("builtin/"));
        assert_eq!(set.groups.last().unwrap().name, "g");
    }

    #[test]
    fn files_without_rules_are_noticed() {
        let rule = "groups: [{name: g, rules: [{record: a, expr: b}]}]";
        let texts = [
            ("empty.yml", ""),
            ("comment.yml", "# later\n"),
            ("groups.yml", "groups: []"),
            ("group.yml", "groups: [{name: nothing, rules: []}]"),
            ("rule.yml", rule),
        ];
        let set = rules::load(&texts).unwrap();
        let texts = texts.map(|(path, text)| (path.to_owned(), text.to_owned()));
        let found = without_rules(&set, &texts);
        assert_eq!(found, ["empty.yml", "comment.yml", "groups.yml", "group.yml"]);
    }

    #[test]
    fn files_folders_and_patterns_stand_for_files_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir_all(folder.path().join("team/deep")).unwrap();
        for name in ["b.yml", "a.yaml", "notes.txt", ".hidden.yml", "team/c.yml", "team/deep/d.yml"]
        {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names = |sources: &[String]| -> Vec<String> {
            let found = paths(sources).unwrap();
            let name =
                |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
            found.iter().map(name).collect()
        };
        assert_eq!(names(&[at("")]), [".hidden.yml", "a.yaml", "b.yml"]);
        assert_eq!(names(&[at("*.yml")]), ["b.yml"]);
        assert_eq!(names(&[at("*/*.yml")]), ["team/c.yml"]);
        assert_eq!(names(&[at("*/de[a-f]p/?.yml")]), ["team/deep/d.yml"]);
        assert_eq!(names(&[at("b.yml"), at("*.y*ml")]), ["b.yml", "a.yaml"]);
        assert_eq!(names(&[at("nothing*.yml")]), Vec::<String>::new());
        assert_eq!(names(&[at("missing.yml")]), ["missing.yml"], "reading it says what is wrong");
        std::fs::write(folder.path().join("[x].yml"), "").unwrap();
        assert_eq!(names(&[at("[x].yml")]), ["[x].yml"], "a file of that very name");
    }

    #[test]
    fn a_look_tells_whether_anybody_touched_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let sources = [folder.path().display().to_string()];
        let empty = look(&sources);
        std::fs::write(folder.path().join("a.yml"), "groups: []").unwrap();
        let one = look(&sources);
        assert_ne!(empty, one);
        assert_eq!(look(&sources), one);
        std::fs::write(folder.path().join("a.yml"), "groups: [] # longer").unwrap();
        assert_ne!(look(&sources), one);
        std::fs::remove_file(folder.path().join("a.yml")).unwrap();
        assert_eq!(look(&sources), empty);
    }
}
