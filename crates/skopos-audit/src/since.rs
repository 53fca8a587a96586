//! Which lines changed since a revision: asked of git, with nothing of the repository's own configuration run.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;

/// Changed lines by path.
pub(crate) type Changed = BTreeMap<String, Vec<RangeInclusive<usize>>>;

/// Asks git which lines of the work tree are new since `revision`.
pub(crate) fn changed(root: &Path, revision: &str) -> Result<Changed, String> {
    if revision.starts_with('-') {
        return Err(format!("`{revision}` is no revision"));
    }
    let run = |args: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(root)
            .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"])
            .args(["-c", "core.quotePath=false"])
            // Nothing is fetched and nothing written.
            .envs([("GIT_NO_LAZY_FETCH", "1"), ("GIT_OPTIONAL_LOCKS", "0")])
            .args(args)
            .output()
            .map_err(|error| format!("git cannot be run: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("git: {}", said.trim()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // What the other branch changed since this one left it is not this one's.
    let base = run(&["merge-base", revision, "HEAD"]);
    let base = base.map_or_else(|_| revision.to_owned(), |base| base.trim().to_owned());
    let diff = run(&[
        "diff",
        "--relative",
        "--no-ext-diff",
        "--no-textconv",
        "--no-color",
        "--no-renames",
        "-U0",
        &base,
        "--",
        ".",
    ])?;
    let mut changed = parse(&diff);
    // What git does not know yet is new as a whole.
    for path in run(&["ls-files", "--others", "--exclude-standard"])?.lines() {
        changed.entry(path.to_owned()).or_default().push(1..=usize::MAX);
    }
    Ok(changed)
}

/// Reads a diff without context.
fn parse(diff: &str) -> Changed {
    let mut changed = Changed::new();
    let mut path: Option<String> = None;
    for line in diff.lines() {
        if let Some(name) = line.strip_prefix("+++ ") {
            path = name.strip_prefix("b/").map(|name| name.trim_end_matches('\t').to_owned());
        } else if let (Some(hunk), Some(path)) = (line.strip_prefix("@@ "), &path) {
            let Some(new) = hunk.split(' ').find_map(|part| part.strip_prefix('+')) else {
                continue;
            };
            let (start, count) = new.split_once(',').unwrap_or((new, "1"));
            if let (Ok(start), Ok(count)) = (start.parse::<usize>(), count.parse::<usize>())
                && count > 0
            {
                changed
                    .entry(path.clone())
                    .or_default()
                    .push(start..=start.saturating_add(count - 1));
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_says_which_lines_are_new() {
        let diff = "--- a/app.py\n+++ b/app.py\n@@ -1 +1,2 @@\n-x\n+y\n+z\n@@ -9,2 +10,0 @@\n-a\n-b\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n";
        let changed = parse(diff);
        assert_eq!(changed.len(), 1);
        assert_eq!(changed["app.py"], [1..=2]);
    }
}
