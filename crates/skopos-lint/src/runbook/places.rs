//! Where the page behind a link may lie. Names only: whether something is there is for the caller to see.

use std::path::{Component, Path, PathBuf};

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

/// The link by which a rule file names a page: the way there from the rule file's folder, with `/` on every
/// system, as [`places`] follows it. Both paths are absolute, or from the same folder; `None` where no way leads from one
/// to the other (a rule file above that folder, another drive).
///
/// ```
/// use std::path::Path;
/// use skopos_lint::runbook::link_to;
///
/// let link = link_to(Path::new("rules/api.yml"), Path::new("runbooks/disk-full.md"));
/// assert_eq!(link.as_deref(), Some("../runbooks/disk-full.md"));
/// ```
pub fn link_to(rule_file: &Path, page: &Path) -> Option<String> {
    let folder = plain(rule_file.parent().unwrap_or(Path::new("")));
    let page = plain(page);
    let common = folder.iter().zip(&page).take_while(|(a, b)| a == b).count();
    let is_name = |part: &Component<'_>| matches!(part, Component::Normal(_));
    if !folder[common..].iter().chain(&page[common..]).all(|part| {
        // A page above the common folder is reached; a folder there has no known name.
        is_name(part) || (common == folder.len() && *part == Component::ParentDir)
    }) {
        return None;
    }
    let up = std::iter::repeat_n("..".into(), folder.len() - common);
    let down = page[common..].iter().map(|part| part.as_os_str().to_string_lossy());
    Some(up.chain(down).collect::<Vec<_>>().join("/"))
}

/// The parts of a path without `.`, and without the `..` that take a name back.
fn plain(path: &Path) -> Vec<Component<'_>> {
    let mut parts = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => drop(parts.pop()),
            (Component::ParentDir, Some(Component::RootDir)) => {}
            _ => parts.push(part),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_from_the_rule_file_to_the_page() {
        for (rule_file, page, want) in [
            ("api.yml", "rb/disk-full.md", Some("rb/disk-full.md")),
            ("./api.yml", "./rb/disk-full.md", Some("rb/disk-full.md")),
            ("rules/api.yml", "rb/disk-full.md", Some("../rb/disk-full.md")),
            ("rules/team/api.yml", "rules/rb/disk-full.md", Some("../rb/disk-full.md")),
            ("rules/api.yml", "rules/disk-full.md", Some("disk-full.md")),
            ("/etc/rules/api.yml", "/srv/rb/x.md", Some("../../srv/rb/x.md")),
            ("/etc/rules/../api.yml", "/etc/rb/../x.md", Some("x.md")),
            ("../rules/api.yml", "../rb/x.md", Some("../rb/x.md")),
            ("api.yml", "../rb/x.md", Some("../rb/x.md")),
            ("../rules/api.yml", "rb/x.md", None),
            ("/etc/api.yml", "rb/x.md", None),
        ] {
            let link = link_to(Path::new(rule_file), Path::new(page));
            assert_eq!(link.as_deref(), want, "{rule_file} {page}");
            let Some(link) = link else { continue };
            let place = &places(Path::new(rule_file), &link, &[])[0];
            assert_eq!(plain(place), plain(Path::new(page)), "{rule_file} {page}");
        }
    }
}
