//! File name patterns as Go's `filepath.Glob` has them: `*`, `?` and `[a-z]` within one folder.

use std::path::{Component, Path, PathBuf};

use skopos_alerting::rules::glob_matches;

/// The files that a pattern means, in order of name. A pattern that is no absolute path starts at
/// `folder`. Folders that cannot be read hold nothing; a malformed pattern is an error.
pub(super) fn find(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::new()];
    let pattern = folder.join(pattern);
    let mut is_first = true;
    for component in pattern.components() {
        let text = component.as_os_str().to_string_lossy();
        let is_plain =
            !matches!(component, Component::Normal(_)) || !text.contains(['*', '?', '[', '\\']);
        if is_plain {
            found.iter_mut().for_each(|path| path.push(component));
        } else {
            if !is_well_formed(&text) {
                return Err(format!("malformed pattern {text:?}"));
            }
            let mut matching = Vec::new();
            for base in &found {
                let listed = if is_first { Path::new(".") } else { base };
                let Ok(entries) = std::fs::read_dir(listed) else { continue };
                let names = entries.filter_map(|entry| entry.ok().map(|e| e.file_name()));
                let mut names: Vec<_> = names.collect();
                names.sort();
                for name in names {
                    if glob_matches(&text, &name.to_string_lossy()) {
                        matching.push(base.join(name));
                    }
                }
            }
            found = matching;
        }
        is_first = false;
    }
    found.retain(|path| path.exists());
    Ok(found)
}

/// Whether every class is closed and every escape names a character.
fn is_well_formed(pattern: &str) -> bool {
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        let is_whole = match c {
            '\\' => characters.next().is_some(),
            '[' => characters.any(|c| c == ']'),
            _ => true,
        };
        if !is_whole {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_may_have_patterns_too() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/x.yml", "b/y.yml", "b/z.yaml"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let found = find(folder.path(), pattern).unwrap();
            let relative = found.iter().map(|p| p.strip_prefix(folder.path()).unwrap());
            relative.map(|p| p.display().to_string()).collect()
        };
        assert_eq!(names("*/*.yml"), ["a/x.yml", "b/y.yml"]);
        assert_eq!(names("b/z.yaml"), ["b/z.yaml"]);
        assert_eq!(names("c/z.yaml"), [""; 0]);
        assert_eq!(names("[ab]/?.y*"), ["a/x.yml", "b/y.yml", "b/z.yaml"]);
        for malformed in ["[", "a[b", "x\\"] {
            assert!(find(folder.path(), malformed).is_err(), "{malformed}");
        }
    }
}
