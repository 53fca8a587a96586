//! `cargo xtask fuzz TARGET [--seconds N]`: mutate a decoder's inputs for longer than the tests do.
//!
//! A fuzz target is a plain `pub fn fuzz_<target>(data: &[u8])` in a crate; a test with `fuzz_<target>` in its name
//! drives it from the committed corpus. This command only finds the target and lengthens that test.

use std::path::Path;

use anyhow::Result;

use crate::Usage;
use crate::system::{self, Cmd};
use crate::test::Counts;
use crate::tidy::sources;

pub(crate) const DEFAULT_SECONDS: u64 = 30;

/// A fuzz function and the crate that has it.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    package: String,
    name: String,
}

/// Prints the fuzz targets there are.
pub(crate) fn list() -> Result<bool> {
    for target in find(&system::root()?)? {
        println!("{:<28} in {}", target.name, target.package);
    }
    Ok(true)
}

/// Runs the test of one target for `seconds`.
pub(crate) fn run(name: &str, seconds: u64) -> Result<bool> {
    let name = name.strip_prefix("fuzz_").unwrap_or(name);
    let targets = find(&system::root()?)?;
    let Some(target) = targets.iter().find(|target| target.name == name) else {
        return Err(Usage(format!(
            "there is no fuzz target `{name}`; `cargo xtask fuzz` lists them"
        ))
        .into());
    };
    let cmd = Cmd::new(&format!("cargo test -p {} fuzz_{name} -- --nocapture", target.package))
        .env("SKOPOS_FUZZ_SECONDS", seconds.to_string());
    let mut counts = Counts::default();
    let ok = cmd.run_watched(|line| counts.read(line))?;
    if ok && counts.passed == 0 {
        println!("no test drives fuzz_{name}: write one whose name contains `fuzz_{name}`");
    }
    Ok(ok && counts.passed > 0)
}

fn find(root: &Path) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for file in sources::tracked(root)? {
        let Some(package) = package_of(&file) else { continue };
        if !file.ends_with(".rs") {
            continue;
        }
        // A file deleted in the work tree but not yet in git is no error here.
        let Ok(text) = std::fs::read_to_string(root.join(&file)) else { continue };
        let names = targets_in(&text).into_iter();
        targets.extend(names.map(|name| Target { package: package.to_owned(), name }));
    }
    targets.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    Ok(targets)
}

fn package_of(file: &str) -> Option<&str> {
    file.strip_prefix("crates/")?.split('/').next()
}

fn targets_in(text: &str) -> Vec<String> {
    let marker = "pub fn fuzz_";
    let starts = text.lines().filter_map(|line| line.trim_start().strip_prefix(marker));
    starts.filter_map(|rest| rest.split('(').next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_public_fuzz_functions() {
        let text = "pub fn fuzz_otlp_logs(data: &[u8]) {}\n// pub fn fuzz_old(data: &[u8])\nfn fuzz_private(d: &[u8]) {}\n    pub fn fuzz_nested(data: &[u8]) {}\n";
        assert_eq!(targets_in(text), ["otlp_logs", "nested"]);
    }

    #[test]
    fn a_file_belongs_to_its_crate() {
        assert_eq!(package_of("crates/skopos-ingest/src/fuzz.rs"), Some("skopos-ingest"));
        assert_eq!(package_of("xtask/src/fuzz.rs"), None);
    }
}
