//! Finding and reading rule files.

use std::path::{Path, PathBuf};

use skopos_alerting::rules::{self, RuleSet};
use skopos_promql::ParseOptions;

use crate::ServerError;

/// Reads the files and folders given with `--rules`. A folder stands for its `.yml` and `.yaml`
/// files in name order. `language` says which parts of PromQL rules may use.
pub(crate) fn load(sources: &[String], language: &ParseOptions) -> Result<RuleSet, ServerError> {
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
    let set = rules::load_with(&files, language).map_err(ServerError::Rules)?;
    for file in without_rules(&set, &texts) {
        tracing::warn!(file, "the rule file holds no rules");
    }
    Ok(set)
}

/// Files of which nothing is in the set: right by the letter, but hardly what somebody wanted.
fn without_rules<'a>(set: &RuleSet, texts: &'a [(String, String)]) -> Vec<&'a str> {
    let has_rules = |path: &str| set.groups.iter().any(|g| g.file == path && !g.rules.is_empty());
    texts.iter().map(|(path, _)| path.as_str()).filter(|path| !has_rules(path)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experimental_promql_is_for_who_switched_it_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.yml");
        let rule = "groups: [{name: g, rules: [{record: a, expr: 'mad_over_time(b[5m])'}]}]";
        std::fs::write(&path, rule).unwrap();
        let sources = [path.display().to_string()];
        assert!(load(&sources, &ParseOptions::default()).is_err());
        assert_eq!(load(&sources, &ParseOptions::all()).unwrap().groups.len(), 1);
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
}
