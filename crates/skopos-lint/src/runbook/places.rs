//! Where the page behind a link may lie. Names only: whether something is there is for the caller to see.

use std::path::{Path, PathBuf};

use super::is_url;

/// The places where the page that a rule file links may lie, likeliest first: beside the rule file, in the folders
/// of runbooks, there by its name alone; addresses in the folders by their last part. Always Markdown files.
///
/// ```
/// use std::path::{Path, PathBuf};
/// use skopos_lint::runbook::places;
///
/// let folders = [PathBuf::from("runbooks")];
/// let found = places(Path::new("rules/api.yml"), "https://wiki.internal/pages/high-error-rate", &folders);
/// assert_eq!(found, [PathBuf::from("runbooks/high-error-rate.md")]);
/// ```
pub fn places(rule_file: &Path, link: &str, folders: &[PathBuf]) -> Vec<PathBuf> {
    let link = link.trim().split('#').next().unwrap_or_default();
    let mut places = Vec::new();
    if is_url(link) {
        let path = link.split('?').next().unwrap_or(link).trim_end_matches('/');
        // The last part of the path; of an address without one the host would be left.
        let name = path.splitn(4, '/').nth(3).and_then(|rest| rest.rsplit('/').next());
        if let Some(name) = name.filter(|name| !matches!(*name, "" | "." | "..")) {
            let stem = name.strip_suffix(".html").unwrap_or(name);
            places.extend(folders.iter().map(|folder| folder.join(stem)));
        }
    } else if !link.is_empty() {
        places.push(rule_file.parent().unwrap_or(Path::new("")).join(link));
        places.extend(folders.iter().map(|folder| folder.join(link)));
        if let Some(name) = Path::new(link).file_name() {
            places.extend(folders.iter().map(|folder| folder.join(name)));
        }
    }
    for place in &mut places {
        if place.extension().is_none_or(|e| e != "md" && e != "markdown") {
            place.as_mut_os_string().push(".md");
        }
    }
    places.dedup();
    places
}
