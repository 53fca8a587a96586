//! Licences, bans and sources: `deny.toml` enforced without cargo-deny, which a fresh clone does not have.
//!
//! Reads the same file, so there is one policy. Only the parts that the file uses are understood: `allow` under
//! `[licenses]` with its `exceptions`, and `deny` under `[bans]`, each entry on a line of its own.

use super::Finding;

pub(super) const FILE: &str = "deny.toml";

/// What `deny.toml` says.
#[derive(Debug, Default)]
pub(super) struct Policy {
    allowed: Vec<String>,
    exceptions: Vec<(String, String)>,
    banned: Vec<String>,
}

impl Policy {
    pub(super) fn read(text: &str) -> Self {
        let mut policy = Self::default();
        let (mut section, mut list) = (String::new(), String::new());
        for line in text.lines() {
            let line = line.split_once(" #").map_or(line, |(code, _)| code).trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name.to_owned();
                continue;
            }
            if let Some((key, _)) = line.split_once(" = [").filter(|_| !line.starts_with('{')) {
                list = key.to_owned();
            }
            let strings: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
            match (section.as_str(), list.as_str(), strings.as_slice()) {
                ("licenses", "allow", [licence]) => policy.allowed.push((*licence).to_owned()),
                ("licenses", "exceptions", [name, licence]) => {
                    policy.exceptions.push(((*name).to_owned(), (*licence).to_owned()));
                }
                ("bans", "deny", [name, ..]) => policy.banned.push((*name).to_owned()),
                _ => {}
            }
            if line.ends_with(']') {
                list.clear();
            }
        }
        policy
    }

    fn allows(&self, package: &str, licence: &str) -> bool {
        let excepted =
            self.exceptions.iter().any(|(name, allowed)| name == package && allowed == licence);
        excepted || self.allowed.iter().any(|allowed| allowed == licence)
    }
}

/// Checks every package that the build can pull in.
pub(super) fn check(metadata: &serde_json::Value, policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    if policy.allowed.is_empty() {
        findings.push(Finding::error(
            FILE,
            1,
            "no licence is allowed",
            "list them under [licenses] allow",
        ));
        return findings;
    }
    let used: Vec<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|node| node["id"].as_str())
        .collect();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let (Some(id), Some(name)) = (package["id"].as_str(), package["name"].as_str()) else {
            continue;
        };
        if !used.contains(&id) {
            continue;
        }
        let version = package["version"].as_str().unwrap_or_default();
        findings.extend(judge(package, name, version, policy));
    }
    findings
}

fn judge(
    package: &serde_json::Value,
    name: &str,
    version: &str,
    policy: &Policy,
) -> Option<Finding> {
    if policy.banned.iter().any(|banned| banned == name) {
        let remedy =
            "find out with `cargo tree -i` who brings it, and switch that feature or crate off";
        return Some(Finding::error(FILE, 1, format!("{name} {version} is banned"), remedy));
    }
    // Path dependencies have no source: they are ours.
    let source = package["source"].as_str()?;
    if !source.starts_with("registry+") {
        let what = format!("{name} {version} comes from {source}");
        return Some(Finding::error("Cargo.lock", 1, what, "depend on a published version"));
    }
    let Some(licence) = package["license"].as_str() else {
        let what = format!("{name} {version} states no licence expression");
        return Some(Finding::error(
            FILE,
            1,
            what,
            "read its licence file, then add an exception or drop it",
        ));
    };
    let accepted = accepts(licence, &|one| policy.allows(name, one));
    let what = format!("the licence of {name} {version}, `{licence}`, is not allowed");
    let remedy = "drop the crate, or allow the licence with a reason";
    (!accepted).then(|| Finding::error(FILE, 1, what, remedy))
}

/// Evaluates an SPDX expression: `AND` binds closer than `OR`; the old `A/B` means `A OR B`.
fn accepts(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut position = 0;
    let accepted = any_of(&words, &mut position, allowed);
    accepted && position == words.len()
}

fn any_of(words: &[&str], position: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut accepted = all_of(words, position, allowed);
    while words.get(*position) == Some(&"OR") {
        *position += 1;
        accepted |= all_of(words, position, allowed);
    }
    accepted
}

fn all_of(words: &[&str], position: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut accepted = one_of(words, position, allowed);
    while words.get(*position) == Some(&"AND") {
        *position += 1;
        accepted &= one_of(words, position, allowed);
    }
    accepted
}

fn one_of(words: &[&str], position: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
    let Some(word) = words.get(*position) else { return false };
    *position += 1;
    if *word == "(" {
        let accepted = any_of(words, position, allowed);
        let closed = words.get(*position) == Some(&")");
        *position += 1;
        return accepted && closed;
    }
    if words.get(*position) == Some(&"WITH") {
        let exception = words.get(*position + 1).copied().unwrap_or_default();
        *position += 2;
        return allowed(&format!("{word} WITH {exception}")) || allowed(word);
    }
    allowed(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = "\
[licenses]
allow = [
    \"MIT\", # short
    \"Apache-2.0\",
]
exceptions = [
    { crate = \"odd\", allow = [\"Zlib\"] },
]
[bans]
deny = [
    { crate = \"openssl\", reason = \"rustls\" },
]
";

    #[test]
    fn the_policy_is_read() {
        let policy = Policy::read(DENY);
        assert_eq!(policy.allowed, ["MIT", "Apache-2.0"]);
        assert_eq!(policy.exceptions, [("odd".to_owned(), "Zlib".to_owned())]);
        assert_eq!(policy.banned, ["openssl"]);
    }

    #[test]
    fn expressions_are_evaluated() {
        let policy = Policy::read(DENY);
        let cases = [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND Apache-2.0", true),
            ("MIT AND (GPL-3.0 OR BSD-3-Clause)", false),
            ("GPL-3.0 AND MIT OR Apache-2.0", true),
            ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
            ("Zlib", false),
            ("MIT )", false),
            ("", false),
        ];
        for (expression, expected) in cases {
            let accepted = accepts(expression, &|one| policy.allows("any", one));
            assert_eq!(accepted, expected, "{expression}");
        }
        assert!(accepts("Zlib", &|one| policy.allows("odd", one)));
    }

    #[test]
    fn bad_packages_are_found_and_unused_ones_are_not() {
        let registry = "registry+https://index.invalid";
        let metadata = serde_json::json!({
            "resolve": {"nodes": [{"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "d"}, {"id": "ours"}]},
            "packages": [
                {"id": "a", "name": "copyleft", "version": "1", "license": "GPL-3.0", "source": registry},
                {"id": "b", "name": "openssl", "version": "1", "license": "MIT", "source": registry},
                {"id": "c", "name": "forked", "version": "1", "license": "MIT", "source": "git+https://git.invalid/x"},
                {"id": "d", "name": "silent", "version": "1", "license": null, "source": registry},
                {"id": "ours", "name": "skopos", "version": "1", "license": "Apache-2.0", "source": null},
                {"id": "unused", "name": "other", "version": "1", "license": "GPL-3.0", "source": registry},
            ]
        });
        let found: Vec<String> =
            check(&metadata, &Policy::read(DENY)).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 4, "{found:?}");
        for (finding, part) in
            found.iter().zip(["`GPL-3.0`, is not allowed", "is banned", "git+https", "no licence"])
        {
            assert!(finding.contains(part), "{finding}");
        }
    }

    #[test]
    fn an_empty_policy_is_itself_a_finding() {
        assert_eq!(check(&serde_json::json!({}), &Policy::default()).len(), 1);
    }
}
