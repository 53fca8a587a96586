//! Reads the files under `templates`.

use std::path::{Component, Path, PathBuf};

use skopos_alerting::alertmanager::Config;
use skopos_alerting::notify::template::Templates;
use skopos_alerting::rules::glob_matches;

use crate::ServerError;

/// Largest template file, bytes.
const MAX_FILE: u64 = 4 << 20;

/// The built-in templates and those of the configuration. A pattern may match nothing; a text that
/// calls a template which nobody defines is a mistake.
pub(super) fn read(config: &Config) -> Result<Templates, ServerError> {
    let mut templates = Templates::builtin();
    for pattern in &config.templates {
        for path in expand(&config.source.resolve(&pattern.value)) {
            let failed = |source| ServerError::File { path: path.clone(), source };
            if std::fs::metadata(&path).map_err(failed)?.len() > MAX_FILE {
                return Err(failed(std::io::Error::other("it is too large for a template")));
            }
            let text = std::fs::read_to_string(&path).map_err(failed)?;
            let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            templates
                .add_file(&name, &text)
                .map_err(|error| failed(std::io::Error::other(error.to_string())))?;
        }
    }
    let errors = templates.check(config);
    if errors.is_empty() { Ok(templates) } else { Err(ServerError::Rules(errors)) }
}

/// The files that a pattern matches, part by part, in order of their names.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        let is_pattern = matches!(part, Component::Normal(_)) && text.contains(['*', '?', '[']);
        found = found
            .into_iter()
            .flat_map(|base| match is_pattern {
                false => vec![base.join(part)],
                true => matching(&base, &text),
            })
            .collect();
    }
    found.retain(|path| path.is_file());
    found
}

fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let shown = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(shown) else { return Vec::new() };
    let mut names: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .filter(|name| glob_matches(pattern, &name.to_string_lossy()))
        .collect();
    names.sort();
    names.into_iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_expanded_part_by_part() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for file in ["a/x.tmpl", "a/y.txt", "b/x.tmpl", "b/z.tmpl"] {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = |pattern: &str| -> Vec<String> {
            let found = expand(&root.join(pattern));
            found.iter().map(|p| p.strip_prefix(root).unwrap().display().to_string()).collect()
        };
        assert_eq!(found("*/*.tmpl"), ["a/x.tmpl", "b/x.tmpl", "b/z.tmpl"]);
        assert_eq!(found("b/[xy].tmpl"), ["b/x.tmpl"]);
        assert_eq!(found("a/y.txt"), ["a/y.txt"]);
        assert!(found("none/*.tmpl").is_empty());
    }
}
