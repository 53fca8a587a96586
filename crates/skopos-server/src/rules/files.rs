//! Finding and reading rule files.

use std::path::{Path, PathBuf};

use skopos_alerting::rules::{self, RuleSet};

use crate::ServerError;

/// Reads the files and folders given with `--rules`. A folder stands for its `.yml` and `.yaml`
/// files in name order.
pub(crate) fn load(sources: &[String]) -> Result<RuleSet, ServerError> {
    let mut texts = Vec::new();
    for source in sources {
        if source == "builtin" {
            return Err(ServerError::NotBuilt { what: "--rules builtin" });
        }
        for path in expand(Path::new(source))? {
            let text = std::fs::read_to_string(&path).map_err(failed(&path))?;
            texts.push((path.display().to_string(), text));
        }
    }
    let files: Vec<(&str, &str)> = texts.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    rules::load(&files).map_err(ServerError::Rules)
}

fn expand(path: &Path) -> Result<Vec<PathBuf>, ServerError> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed(path))? {
        let file = entry.map_err(failed(path))?.path();
        let is_yaml = file.extension().is_some_and(|e| e == "yml" || e == "yaml");
        if is_yaml && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> ServerError {
    let path = path.to_path_buf();
    move |source| ServerError::File { path, source }
}
