//! Manifests: versions stand once, in the workspace; crates that must move together are pinned together.

use super::{Finding, SourceFile};

/// A family of crates of which two versions in one build would silently bring two incompatible stacks.
struct Pin {
    /// A pattern ending in `*` matches by prefix.
    family: &'static str,
    version: &'static str,
    /// A member of the family that the workspace must name, or nothing while no crate uses the family.
    anchor: Option<&'static str>,
}

const PINS: &[Pin] = &[
    Pin { family: "arrow*", version: "59", anchor: Some("arrow-array") },
    Pin { family: "parquet*", version: "59", anchor: None },
    Pin { family: "datafusion*", version: "55", anchor: None },
    Pin { family: "object_store", version: "0.13", anchor: None },
    Pin { family: "sqlx*", version: "0.9", anchor: None },
];

/// Checks the root manifest, the members' manifests and the lock file.
pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        match file.path.as_str() {
            "Cargo.toml" => findings.extend(check_pins(file)),
            "Cargo.lock" => findings.extend(check_lock(file)),
            path if path.ends_with("/Cargo.toml") && in_workspace(path) => {
                findings.extend(check_member(file))
            }
            _ => {}
        }
    }
    findings
}

/// Fixtures and the comparison benches (own lock file) have manifests that are not ours to judge.
fn in_workspace(path: &str) -> bool {
    let depth = path.matches('/').count();
    path == "xtask/Cargo.toml"
        || (depth == 2 && (path.starts_with("crates/") || path.starts_with("examples/")))
}

fn check_pins(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let dependencies = section_lines(&file.text, "[workspace.dependencies]");
    for pin in PINS {
        for (number, line) in &dependencies {
            let Some((name, value)) = line.split_once('=') else { continue };
            let name = name.trim();
            if matches(pin.family, name) && first_string(value) != Some(pin.version) {
                let what = format!("{name} is not pinned to {}", pin.version);
                let remedy = "the family moves together (see the design, §4): pin them alike, or write an ADR";
                findings.push(Finding::error(&file.path, *number, what, remedy));
            }
        }
        let Some(anchor) = pin.anchor else { continue };
        if !dependencies
            .iter()
            .any(|(_, line)| line.split('=').next().is_some_and(|name| name.trim() == anchor))
        {
            let what = format!("{anchor} is not pinned");
            let remedy =
                format!("add `{anchor} = \"{}\"` to [workspace.dependencies]", pin.version);
            findings.push(Finding::error(&file.path, 1, what, remedy));
        }
    }
    findings
}

/// Finds a second version of a pinned family that some dependency brought in.
fn check_lock(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines: Vec<&str> = file.text.lines().collect();
    for (index, pair) in lines.windows(2).enumerate() {
        let (Some(name), Some(version)) =
            (quoted(pair[0], "name = "), quoted(pair[1], "version = "))
        else {
            continue;
        };
        let Some(pin) = PINS.iter().find(|pin| matches(pin.family, name)) else { continue };
        if !(version == pin.version || version.starts_with(&format!("{}.", pin.version))) {
            let what = format!("{name} {version} is beside the pinned {}", pin.version);
            let remedy = format!(
                "find out with `cargo tree -i {name}@{version}` who brings it, and hold that crate back"
            );
            findings.push(Finding::error(&file.path, index + 2, what, remedy));
        }
    }
    findings
}

fn check_member(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !section_lines(&file.text, "[lints]").iter().any(|(_, line)| *line == "workspace = true") {
        let remedy = "add `[lints]` with `workspace = true`";
        findings.push(Finding::error(
            &file.path,
            1,
            "the workspace's lints are not taken over",
            remedy,
        ));
    }
    for header in ["[dependencies]", "[dev-dependencies]", "[build-dependencies]"] {
        for (number, line) in section_lines(&file.text, header) {
            let Some((name, value)) = line.split_once('=') else { continue };
            // A list that goes on over several lines is a value, not a dependency.
            if !name.trim().starts_with(|c: char| c.is_ascii_alphabetic()) {
                continue;
            }
            let by_workspace =
                name.trim().ends_with(".workspace") || value.contains("workspace = true");
            if !by_workspace && first_string(value).is_some() {
                let what = format!("{} has a version or path of its own", name.trim());
                let remedy =
                    "put it into [workspace.dependencies] and say `.workspace = true` here";
                findings.push(Finding::error(&file.path, number, what, remedy));
            }
        }
    }
    findings
}

/// Returns the lines of one TOML table with their numbers, comments and blank lines left out.
fn section_lines<'a>(text: &'a str, header: &str) -> Vec<(usize, &'a str)> {
    let mut inside = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line == header;
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            lines.push((index + 1, line));
        }
    }
    lines
}

fn matches(family: &str, name: &str) -> bool {
    match family.strip_suffix('*') {
        // `arrow*` means arrow and arrow-…, not every word that begins so.
        Some(prefix) => {
            name == prefix || name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('-'))
        }
        None => name == family,
    }
}

fn first_string(value: &str) -> Option<&str> {
    value.split('"').nth(1)
}

fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&[SourceFile::new(path, text)]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn pins_must_be_there_and_alike() {
        let missing = found("Cargo.toml", "[workspace.dependencies]\nanyhow = \"1\"\n");
        assert!(missing[0].contains("arrow-array is not pinned"), "{missing:?}");
        let wrong = found(
            "Cargo.toml",
            "[workspace.dependencies]\narrow-array = \"59\"\narrow-schema = { version = \"60\" }\nobject_store = \"0.14\"\n",
        );
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(
            wrong[0].starts_with("Cargo.toml:3: arrow-schema is not pinned to 59"),
            "{wrong:?}"
        );
        assert!(found("Cargo.toml", "[workspace.dependencies]\narrow-array = \"59\"\n").is_empty());
    }

    #[test]
    fn a_second_stack_in_the_lock_file_is_found() {
        let lock = "[[package]]\nname = \"arrow-array\"\nversion = \"60.1.0\"\n\n[[package]]\nname = \"parquet\"\nversion = \"59.2.0\"\n";
        let findings = found("Cargo.lock", lock);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with("Cargo.lock:3: arrow-array 60.1.0"), "{findings:?}");
    }

    #[test]
    fn members_take_versions_and_lints_from_the_workspace() {
        let good = "[package]\n[lints]\nworkspace = true\n[dependencies]\na.workspace = true\nb = { workspace = true, features = [\n  \"x\",\n] }\n";
        assert!(found("crates/skopos-x/Cargo.toml", good).is_empty());
        let bad = "[package]\n[dependencies]\na = \"1\"\nb = { path = \"../b\" }\n";
        let findings = found("crates/skopos-x/Cargo.toml", bad);
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(
            found("crates/skopos-audit/resources/bad/Cargo.toml", bad).is_empty(),
            "fixtures are not judged"
        );
    }
}
