//! Layers: which crate may know which. The column "must never know" of the design, as data.
//!
//! Workspace crates are checked by what each may name directly; foreign crates by what may not appear anywhere in its
//! tree of normal dependencies, because a heavy crate costs the same wherever it comes in. Development dependencies are
//! free: `skopos-testkit` lives there. A crate without a row here fails, so that a new one is placed deliberately.

use std::path::Path;

use super::Finding;

/// What one crate may and may not know. A pattern ending in `*` matches by prefix.
struct Layer {
    package: &'static str,
    /// The workspace crates that it may name.
    may: &'static [&'static str],
    /// Foreign crates that must not be in its tree at any depth.
    never: &'static [&'static str],
    /// Foreign crates that it must not name itself, though something below may bring them.
    never_itself: &'static [&'static str],
    /// When given, the only foreign crates in its tree.
    only: Option<&'static [&'static str]>,
    because: &'static str,
}

const NOTHING: &[&str] = &[];

/// `mio` is what every asynchronous socket on this platform ends in: without it nothing does network I/O.
const LAYERS: &[Layer] = &[
    Layer {
        package: "skopos-model",
        may: NOTHING,
        never: &[
            "tokio*",
            "mio",
            "futures*",
            "arrow*",
            "parquet",
            "object_store",
            "serde*",
            "hyper*",
            "axum*",
            "tonic*",
        ],
        never_itself: NOTHING,
        only: None,
        because: "the model knows no I/O, no runtime, no arrow, no serde",
    },
    Layer {
        package: "skopos-redact",
        may: NOTHING,
        never: NOTHING,
        never_itself: NOTHING,
        only: Some(&[
            "regex",
            "regex-automata",
            "regex-syntax",
            "aho-corasick",
            "memchr",
            "serde_core",
            "thiserror",
        ]),
        because: "redaction knows nothing but regular expressions, and how a secret is deserialised",
    },
    Layer {
        package: "skopos-filter",
        may: &["skopos-model"],
        never: &["tokio*", "mio", "futures*", "arrow*", "parquet", "serde*", "hyper*", "axum*"],
        never_itself: NOTHING,
        only: None,
        because: "the filter language is pure: text to predicate",
    },
    Layer {
        package: "skopos-ingest",
        may: &["skopos-model", "skopos-redact"],
        never: &[
            "mio",
            "hyper",
            "hyper-util",
            "axum*",
            "reqwest",
            "object_store",
            "parquet",
            "datafusion*",
        ],
        never_itself: &["tokio*", "tower*"],
        only: None,
        because: "decoding does no I/O",
    },
    Layer {
        package: "skopos-promql",
        may: &["skopos-model"],
        never: &[
            "tokio*",
            "mio",
            "futures*",
            "arrow*",
            "parquet",
            "object_store",
            "datafusion*",
            "hyper*",
            "axum*",
        ],
        never_itself: NOTHING,
        only: None,
        because: "PromQL is pure and synchronous, and knows no storage",
    },
    Layer {
        package: "skopos-store",
        may: &["skopos-model"],
        never: &["axum*", "datafusion*", "promql-parser"],
        never_itself: &["hyper*", "tonic*", "reqwest", "http"],
        only: None,
        because: "the store knows no PromQL, no SQL, no HTTP",
    },
    Layer {
        package: "skopos-sql",
        may: &["skopos-model", "skopos-store"],
        never: &["axum*", "tonic*"],
        never_itself: &["hyper*", "http", "reqwest"],
        only: None,
        because: "SQL knows no HTTP",
    },
    Layer {
        package: "skopos-alerting",
        may: &["skopos-model", "skopos-promql", "skopos-redact"],
        never: &["arrow*", "parquet", "object_store", "datafusion*", "axum*"],
        never_itself: NOTHING,
        only: None,
        because: "alerting reads through a query function and persists through StateLog, never through storage",
    },
    Layer {
        package: "skopos-lint",
        may: &["skopos-model", "skopos-promql", "skopos-alerting"],
        never: &[
            "arrow*",
            "parquet",
            "object_store",
            "datafusion*",
            "axum*",
            "hyper*",
            "reqwest",
            "mio",
        ],
        never_itself: NOTHING,
        only: None,
        because: "lint knows no storage and no HTTP",
    },
    Layer {
        package: "skopos-ui",
        may: NOTHING,
        never: &["tokio*", "axum*", "hyper*", "arrow*", "datafusion*"],
        never_itself: NOTHING,
        only: None,
        because: "the UI is a leaf: it builds and embeds files",
    },
    Layer {
        package: "skopos-server",
        may: &[
            "skopos",
            "skopos-alerting",
            "skopos-filter",
            "skopos-ingest",
            "skopos-lint",
            "skopos-model",
            "skopos-promql",
            "skopos-redact",
            "skopos-sql",
            "skopos-store",
            "skopos-ui",
        ],
        never: NOTHING,
        never_itself: &["clap*"],
        only: None,
        because: "the server wires the crates below; the command line and the audit stand above and beside it",
    },
    Layer {
        package: "skopos-doctor",
        may: &["skopos-ingest", "skopos-model", "skopos-redact"],
        never: &["arrow*", "parquet", "object_store", "datafusion*", "clap*"],
        never_itself: NOTHING,
        only: None,
        because: "the doctor meets a service from outside: it knows no storage, and a Skopos only by its API",
    },
    Layer {
        package: "skopos-audit",
        may: &["skopos", "skopos-lint", "skopos-model", "skopos-promql", "skopos-redact"],
        never: &["arrow*", "parquet", "object_store", "datafusion*", "axum*"],
        never_itself: NOTHING,
        only: None,
        because: "the audit knows neither the server nor what stands under it, lint, promql and model aside",
    },
    Layer {
        package: "skopos",
        may: &["skopos-macros", "skopos-redact"],
        never: &["arrow*", "parquet", "object_store", "datafusion*"],
        never_itself: NOTHING,
        only: None,
        because: "the SDK knows no server crate: it goes into everybody's services",
    },
    Layer {
        package: "skopos-macros",
        may: NOTHING,
        never: &["tokio*", "axum*", "hyper*"],
        never_itself: NOTHING,
        only: None,
        because: "the derives know no server crate",
    },
    Layer {
        package: "skopos-testkit",
        may: &["skopos-model", "skopos-store"],
        never: &["object_store", "datafusion*", "axum*"],
        never_itself: NOTHING,
        only: None,
        because: "it implements the model's seams and the store's (`ScanEvents`, `Fs`), nothing above",
    },
    Layer {
        package: "hello",
        may: &["skopos"],
        never: NOTHING,
        never_itself: NOTHING,
        only: None,
        because: "the smallest example: it knows only the SDK",
    },
    Layer {
        package: "skopos-shop",
        may: &["skopos"],
        never: NOTHING,
        never_itself: NOTHING,
        only: None,
        because: "the shop is code that a user would copy: it knows only the SDK",
    },
    Layer {
        package: "skopos-cli",
        may: &[
            "skopos",
            "skopos-alerting",
            "skopos-audit",
            "skopos-doctor",
            "skopos-filter",
            "skopos-lint",
            "skopos-model",
            "skopos-promql",
            "skopos-server",
            "skopos-shop",
            "skopos-sql",
            "skopos-store",
        ],
        never: NOTHING,
        never_itself: NOTHING,
        only: None,
        because: "the command line stands on the server, the audit and the shop",
    },
    Layer {
        package: "xtask",
        may: NOTHING,
        never: &["tokio*", "axum*"],
        never_itself: NOTHING,
        only: None,
        because: "xtask must build in seconds and run when the workspace does not compile",
    },
];

/// A workspace member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// Path of its manifest from the root.
    pub(super) manifest: String,
}

/// Returns the members that `cargo metadata` names.
pub(super) fn members(metadata: &serde_json::Value) -> Vec<Member> {
    let root = Path::new(metadata["workspace_root"].as_str().unwrap_or_default());
    let ids: Vec<&serde_json::Value> =
        metadata["workspace_members"].as_array().into_iter().flatten().collect();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let ours = packages.filter(|package| ids.contains(&&package["id"]));
    ours.filter_map(|package| {
        let manifest = Path::new(package["manifest_path"].as_str()?).strip_prefix(root).ok()?;
        let manifest = manifest.to_string_lossy().into_owned();
        Some(Member { name: package["name"].as_str()?.to_owned(), manifest })
    })
    .collect()
}

/// Finds members without a layer, and members other than `skopos-sql` that name DataFusion in any kind of dependency.
pub(super) fn check_members(metadata: &serde_json::Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members(metadata) {
        // Small programs that show one thing (`examples/hello`) are users, not layers.
        let is_example = member.manifest.starts_with("examples/");
        if !is_example && !LAYERS.iter().any(|layer| layer.package == member.name) {
            findings.push(Finding::error(
                &member.manifest,
                1,
                format!("{} has no layer", member.name),
                "add a row to LAYERS in xtask/src/tidy/layers.rs and to ARCHITECTURE.md",
            ));
        }
        let package = metadata["packages"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|p| p["name"] == member.name.as_str());
        let names =
            package.into_iter().flat_map(|p| p["dependencies"].as_array().into_iter().flatten());
        let datafusion =
            names.filter_map(|d| d["name"].as_str()).find(|name| name.starts_with("datafusion"));
        if let Some(name) = datafusion.filter(|_| member.name != "skopos-sql") {
            findings.push(Finding::error(
                &member.manifest,
                1,
                format!("{} names {name}", member.name),
                "only skopos-sql may: ask it through a function of its own",
            ));
        }
    }
    findings
}

/// One dependency: the chain of crate names from the direct dependency down to it.
pub(super) type Chain = Vec<String>;

/// Reads the output of `cargo tree --prefix depth`, for example `0skopos-model v0.1.0`, `1regex v1.13.2`.
pub(super) fn parse_tree(text: &str) -> Vec<Chain> {
    let mut chains = Vec::new();
    let mut path: Vec<String> = Vec::new();
    for line in text.lines() {
        let digits = line.chars().take_while(char::is_ascii_digit).count();
        let (depth, rest) = line.split_at(digits);
        let (Ok(depth), Some(name)) = (depth.parse::<usize>(), rest.split_whitespace().next())
        else {
            continue;
        };
        path.truncate(depth);
        path.push(name.to_owned());
        if depth > 0 {
            chains.push(path[1..].to_vec());
        }
    }
    chains
}

/// Checks one crate's tree against its layer; each unwanted crate is reported once, with how it comes in.
pub(super) fn check(member: &Member, chains: &[Chain], manifest: &str) -> Vec<Finding> {
    let Some(layer) = LAYERS.iter().find(|layer| layer.package == member.name) else {
        return Vec::new();
    };
    let mut findings: Vec<Finding> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for chain in chains {
        let (Some(direct), Some(last)) = (chain.first(), chain.last()) else { continue };
        let Some(verdict) = judge(layer, chain) else { continue };
        if seen.contains(&last.as_str()) {
            continue;
        }
        seen.push(last);
        let way = if chain.len() == 1 {
            String::new()
        } else {
            format!(" (through {})", chain.join(" → "))
        };
        findings.push(Finding::error(
            &member.manifest,
            line_naming(manifest, direct),
            format!("{} {verdict} {last}{way}", member.name),
            format!("remove it, or move the code to a crate that may: {}", layer.because),
        ));
    }
    findings
}

fn judge(layer: &Layer, chain: &Chain) -> Option<&'static str> {
    let name = chain.last()?.as_str();
    let is_direct = chain.len() == 1;
    if is_ours(name) {
        return (is_direct && !layer.may.contains(&name)).then_some("must not name");
    }
    // What a crate of ours brings in is that crate's business, but its weight is everybody's: `never` still counts.
    if matches_any(layer.never, name) {
        return Some("must not depend on");
    }
    if is_direct && matches_any(layer.never_itself, name) {
        return Some("must not name");
    }
    let only = layer.only?;
    (!matches_any(only, name)).then_some("must not depend on")
}

fn is_ours(name: &str) -> bool {
    name == "skopos" || name.starts_with("skopos-") || name == "xtask"
}

fn matches_any(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *pattern,
    })
}

fn line_naming(manifest: &str, dependency: &str) -> usize {
    let names_it = |line: &str| {
        line.trim_start()
            .strip_prefix(dependency)
            .is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    manifest.lines().position(names_it).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(package: &str, tree: &str) -> Vec<String> {
        let member =
            Member { name: package.into(), manifest: format!("crates/{package}/Cargo.toml") };
        let manifest =
            "[dependencies]\nregex.workspace = true\nhttp-body.workspace = true\nhttp = \"1\"\n";
        check(&member, &parse_tree(tree), manifest).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_line_of_must_never_know_can_fail() {
        let cases = [
            ("skopos-model", "1serde_core v1"),
            ("skopos-model", "1regex v1\n2tokio v1"),
            ("skopos-model", "1arrow-array v59"),
            ("skopos-model", "1skopos-redact v0"),
            ("skopos-redact", "1serde_json v1"),
            ("skopos-ingest", "1tokio v1"),
            ("skopos-ingest", "1x v1\n2mio v1"),
            ("skopos-promql", "1skopos-model v0\n2tokio v1"),
            ("skopos-promql", "1skopos-store v0"),
            ("skopos-store", "1skopos-promql v0"),
            ("skopos-store", "1skopos-sql v0"),
            ("skopos-store", "1axum v0"),
            ("skopos-sql", "1http v1"),
            ("skopos-alerting", "1skopos-store v0"),
            ("skopos-lint", "1reqwest v0"),
            ("skopos-ui", "1skopos-model v0"),
            ("skopos-doctor", "1skopos-server v0"),
            ("skopos-server", "1skopos-audit v0"),
            ("skopos-audit", "1skopos-server v0"),
            ("skopos", "1skopos-model v0"),
            ("skopos-macros", "1skopos v0"),
            ("skopos-testkit", "1skopos-promql v0"),
            ("skopos-server", "1skopos-testkit v0"),
            ("skopos-shop", "1skopos-server v0"),
            ("skopos-cli", "1skopos-testkit v0"),
            ("xtask", "1skopos-model v0"),
        ];
        for (package, dependency) in cases {
            let found = findings(package, &format!("0{package} v0.1.0 (path)\n{dependency}\n"));
            assert_eq!(found.len(), 1, "{package} with {dependency}: {found:?}");
        }
    }

    #[test]
    fn what_is_allowed_is_not_reported() {
        let cases = [
            ("skopos-model", "1regex v1\n2memchr v2\n1xxhash-rust v0"),
            ("skopos-redact", "1regex v1\n2regex-automata v0\n3memchr v2"),
            ("skopos-ingest", "1opentelemetry-proto v0\n2tonic v0\n3tokio v1\n1skopos-redact v0"),
            ("skopos-store", "1skopos-model v0\n1tokio v1\n1http-body v1"),
            ("skopos-server", "1skopos v0\n2skopos-redact v0\n1axum v0"),
        ];
        for (package, dependencies) in cases {
            let found = findings(package, &format!("0{package} v0.1.0\n{dependencies}\n"));
            assert!(found.is_empty(), "{package}: {found:?}");
        }
    }

    #[test]
    fn a_finding_names_the_line_and_the_way_in() {
        let found = findings(
            "skopos-model",
            "0skopos-model v0\n1regex v1\n2odd v1\n3tokio v1\n2tokio v1 (*)\n",
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/skopos-model/Cargo.toml:2: "), "{}", found[0]);
        assert!(found[0].contains("through regex → odd → tokio"), "{}", found[0]);
        let direct = findings("skopos-store", "0skopos-store v0\n1http v1\n");
        assert!(direct[0].starts_with("crates/skopos-store/Cargo.toml:4: "), "{}", direct[0]);
    }

    #[test]
    fn a_crate_without_a_layer_and_a_second_datafusion_are_found() {
        let metadata = serde_json::json!({
            "workspace_root": "/w",
            "workspace_members": ["a", "b", "c"],
            "packages": [
                {"id": "a", "name": "skopos-common", "manifest_path": "/w/crates/skopos-common/Cargo.toml", "dependencies": []},
                {"id": "b", "name": "skopos-store", "manifest_path": "/w/crates/skopos-store/Cargo.toml", "dependencies": [{"name": "datafusion"}]},
                {"id": "c", "name": "skopos-sql", "manifest_path": "/w/crates/skopos-sql/Cargo.toml", "dependencies": [{"name": "datafusion"}]},
            ]
        });
        let found: Vec<String> = check_members(&metadata).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("skopos-common has no layer"));
        assert!(found[1].contains("skopos-store names datafusion"));
    }
}
