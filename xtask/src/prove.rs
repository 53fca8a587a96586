//! `cargo xtask prove NAME`: the acceptance proofs, each a few commands that a sceptic can run.
//!
//! A proof that selects tests by name fails when the selection is empty. Tests are built with the
//! selection of `cargo xtask test`, or their dependencies would be compiled a second time, and
//! started by themselves.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::Usage;
use crate::system::{Cmd, Stopwatch, human};
use crate::test::{ALERTMANAGER, Counts, Need, PROMETHEUS, WHOLE, install};

/// One command of a proof.
enum Step {
    /// Must exit with 0.
    Plain(&'static str),
    /// The SDK with this feature alone, or with none, must build without a warning.
    Feature(&'static str),
    /// Must pass at least one test, and the tests must say what they enumerated, nothing of it lost
    /// or doubled.
    Enumerated(Tests),
    /// Must pass at least one test; none may skip for want of a program.
    Tests(Tests),
    /// As `Tests`, of a package that is not of the workspace: the command.
    Foreign(&'static str),
}

/// Tests of one crate's `tests/it` whose path begins with one of `named`.
struct Tests {
    package: &'static str,
    named: &'static str,
}

struct Proof {
    name: &'static str,
    what: &'static str,
    /// Programs it needs beside cargo; they are installed where that is possible.
    needs: &'static [Need],
    steps: &'static [Step],
}

const PROOFS: &[Proof] = &[
    Proof {
        name: "loop",
        what: "from an alert to the slow span and back to healthy, on real services",
        needs: &[],
        steps: &[Step::Plain("cargo demo --scripted")],
    },
    Proof {
        name: "durability",
        what: "what was acknowledged survives crashes at every point and kill -9 under load, once",
        needs: &[],
        steps: &[
            Step::Enumerated(Tests { package: "skopos-store", named: "crash::" }),
            Step::Enumerated(Tests { package: "skopos-store", named: "want_of_space" }),
            Step::Enumerated(Tests { package: "skopos-cli", named: "kill::" }),
        ],
    },
    Proof {
        name: "alerting",
        what: "alerts, notifications and silences are exact after a crash at any point and after kill -9; Debian's Prometheus, Alertmanager and amtool agree with us",
        needs: &[PROMETHEUS, ALERTMANAGER],
        steps: &[
            Step::Enumerated(Tests { package: "skopos-alerting", named: "crash" }),
            Step::Enumerated(Tests { package: "skopos-cli", named: "kill::alert_state" }),
            Step::Tests(Tests { package: "skopos-server", named: "alertmanager" }),
            Step::Tests(Tests { package: "skopos-alerting", named: "rule_tests" }),
            Step::Tests(Tests { package: "skopos-alerting", named: "builtin" }),
        ],
    },
    Proof {
        name: "interleavings",
        what: "the lock-free parts of the SDK hold in every order in which threads can meet",
        needs: &[],
        steps: &[Step::Foreign(
            "cargo test --locked --manifest-path proofs/interleavings/Cargo.toml -- --nocapture",
        )],
    },
    Proof {
        name: "features",
        what: "each feature of the SDK builds alone, without a warning, and all build together",
        needs: &[],
        steps: &[
            Step::Feature(""),
            Step::Feature("axum"),
            Step::Feature("otlp"),
            Step::Feature("grpc"),
            Step::Feature("tls"),
            Step::Feature("reqwest"),
            Step::Feature("metrics-facade"),
            Step::Feature("otel-metrics"),
            Step::Feature("redis"),
            Step::Feature("sqlx"),
            Step::Feature("derive"),
            Step::Feature("disk"),
            Step::Feature("serde"),
            Step::Feature("testing"),
            Step::Plain("cargo clippy -p skopos --no-deps --all-features -- -D warnings"),
        ],
    },
];

/// Prints the proofs there are.
pub(crate) fn list() -> Result<bool> {
    for proof in PROOFS {
        println!("{:<12} {}", proof.name, proof.what);
    }
    Ok(true)
}

/// Runs one proof; it stops at the first step that fails.
pub(crate) fn run(name: &str) -> Result<bool> {
    let Some(proof) = PROOFS.iter().find(|proof| proof.name == name) else {
        return Err(
            Usage(format!("there is no proof `{name}`; `cargo xtask prove` lists them")).into()
        );
    };
    let watch = Stopwatch::start();
    println!("to prove: {}", proof.what);
    if !proof.needs.is_empty() {
        install(proof.needs)?;
    }
    let mut tally = Tally::default();
    for (done, step) in proof.steps.iter().enumerate() {
        println!("step {} of {}, after {}", done + 1, proof.steps.len(), human(watch.elapsed()));
        if !run_step(step, &mut tally)? {
            println!("{tally}NOT proven: {name}, after {}", human(watch.elapsed()));
            return Ok(false);
        }
    }
    print!("{tally}");
    println!("proven: {name}, in {}", human(watch.elapsed()));
    Ok(true)
}

fn run_step(step: &Step, tally: &mut Tally) -> Result<bool> {
    match step {
        Step::Plain(line) => Cmd::new(line).run(),
        Step::Feature(feature) => {
            let mut command = Cmd::new("cargo clippy -p skopos --no-deps --no-default-features");
            if !feature.is_empty() {
                command = command.args("--features").arg(feature);
            }
            command.args("-- -D warnings").run()
        }
        Step::Tests(tests) => run_tests(&tests.command()?, tally),
        Step::Foreign(line) => run_tests(&Cmd::new(line), tally),
        Step::Enumerated(tests) => run_enumerated(&tests.command()?, tally),
    }
}

impl Tests {
    /// Builds the crate's tests and returns the command that runs these.
    fn command(&self) -> Result<Cmd> {
        let build = Cmd::new("cargo test --no-run --test it").args(WHOLE);
        if !build.run()? {
            bail!("the tests do not build");
        }
        // Everything is fresh now: the second call only tells where.
        let (program, folder) =
            test_program(&build.args("--message-format=json").capture()?, self.package)
                .with_context(|| format!("find the tests of {}", self.package))?;
        Ok(Cmd::program(&program).args("--nocapture").arg(self.named).in_folder(&folder))
    }
}

/// Returns the program of a crate's `tests/it` and the crate's folder, from cargo's messages.
fn test_program(messages: &str, package: &str) -> Option<(PathBuf, PathBuf)> {
    messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
        let is_it = message["target"]["name"] == "it" && folder.file_name()? == package;
        is_it.then_some((message["executable"].as_str()?.into(), folder.to_owned()))
    })
}

fn run_enumerated(command: &Cmd, tally: &mut Tally) -> Result<bool> {
    let before = tally.points;
    let ok = run_tests(command, tally)?;
    if ok && tally.points == before {
        println!("nothing was enumerated: no test of `{}` says `{SAYS}…`", command.line());
    }
    Ok(ok && tally.points > before && tally.is_clean())
}

fn run_tests(command: &Cmd, tally: &mut Tally) -> Result<bool> {
    let mut counts = Counts::default();
    let command = command.clone().env("SKOPOS_TOOLS_REQUIRED", "1");
    let ok = command.run_watched(|line| {
        counts.read(line);
        tally.read(line);
    })?;
    if ok && counts.passed == 0 {
        println!("no test passed: `{}` selects none", command.line());
    }
    Ok(ok && counts.passed > 0)
}

/// How tests begin the line that says what they enumerated:
/// `proof: WHAT: 123 points, lost 0, doubled 0`.
const SAYS: &str = "proof: ";

/// What the tests of a proof enumerated, added up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    points: u64,
    lost: u64,
    doubled: u64,
}

impl Tally {
    fn read(&mut self, line: &str) {
        // The name of the test may stand before it on the same line.
        let Some((_, said)) = line.split_once(SAYS) else { return };
        let Some((_, figures)) = said.rsplit_once(": ") else { return };
        let number = |before: &str, after: &str| {
            let (_, rest) = figures.split_once(before)?;
            let end = rest.find(after).unwrap_or(rest.len());
            rest.get(..end)?.trim().parse::<u64>().ok()
        };
        let figures = (number("", " points"), number("lost ", ","), number("doubled ", "\n"));
        if let (Some(points), Some(lost), Some(doubled)) = figures {
            self.points += points;
            self.lost += lost;
            self.doubled += doubled;
        }
    }

    fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { points, lost, doubled } = self;
        match points {
            0 => Ok(()),
            _ => writeln!(f, "crash points enumerated {points}, lost {lost}, doubled {doubled}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_without_tests_proves_nothing() {
        let nothing = Cmd::new("true");
        assert!(!run_enumerated(&nothing, &mut Tally::default()).expect("it starts"));
        assert!(!run_tests(&nothing, &mut Tally::default()).expect("it starts"));
        let plain = |line| run_step(&Step::Plain(line), &mut Tally::default()).expect("it starts");
        assert!(plain("true"));
        assert!(!plain("false"));
    }

    #[test]
    fn the_tests_of_a_crate_are_found_among_cargos_messages() {
        let messages = r#"
{"reason":"compiler-artifact","manifest_path":"/w/crates/a/Cargo.toml","target":{"name":"a"},"executable":null}
{"reason":"compiler-artifact","manifest_path":"/w/crates/b/Cargo.toml","target":{"name":"it"},"executable":"/t/it-1"}
{"reason":"compiler-artifact","manifest_path":"/w/crates/a/Cargo.toml","target":{"name":"it"},"executable":"/t/it-2"}
{"reason":"build-finished","success":true}"#;
        let found = |package| test_program(messages, package);
        assert_eq!(found("a"), Some(("/t/it-2".into(), "/w/crates/a".into())));
        assert_eq!(found("c"), None);
    }

    #[test]
    fn every_feature_of_the_sdk_is_proven_alone() {
        let manifest = include_str!("../../crates/skopos/Cargo.toml");
        let (_, features) = manifest.split_once("[features]").expect("there is such a table");
        let features = features.split("\n[").next().unwrap_or_default();
        let declared: Vec<&str> = features
            .lines()
            .filter_map(|line| line.split_once(" = [").map(|(name, _)| name))
            // These are others put together.
            .filter(|name| !matches!(*name, "default" | "full" | "_integrations"))
            .collect();
        let proof = PROOFS.iter().find(|proof| proof.name == "features").expect("it is there");
        for name in &declared {
            let is_proven = |step: &Step| matches!(step, Step::Feature(feature) if feature == name);
            assert!(proof.steps.iter().any(is_proven), "no step for `{name}`");
        }
        assert!(declared.len() > 10, "{declared:?}");
    }

    #[test]
    fn what_tests_say_is_added_up() {
        let mut tally = Tally::default();
        for line in [
            "test crash::a ... proof: crashes of the logs: 1200 points, lost 0, doubled 0",
            "proof: kill -9 under load: 20 points, lost 3, doubled 1",
            "proof: unfinished: 20 points",
            "test result: ok. 1 passed; 0 failed",
        ] {
            tally.read(line);
        }
        assert_eq!(tally, Tally { points: 1220, lost: 3, doubled: 1 });
        assert!(!tally.is_clean());
        assert_eq!(tally.to_string(), "crash points enumerated 1220, lost 3, doubled 1\n");
    }
}
