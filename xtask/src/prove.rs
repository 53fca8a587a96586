//! `cargo xtask prove NAME`: the acceptance proofs, each a few commands that a sceptic can run.
//!
//! A proof that selects tests by name fails when the selection is empty.

use anyhow::Result;

use crate::Usage;
use crate::system::{Cmd, Stopwatch, human};
use crate::test::{ALERTMANAGER, Counts, Need, PROMETHEUS, install};

/// One command of a proof.
enum Step {
    /// Must exit with 0.
    Plain(&'static str),
    /// Must exit with 0 and have passed at least one test, and its tests must say what they
    /// enumerated, nothing of it lost or doubled.
    Enumerated(&'static str),
    /// Must exit with 0 and have passed at least one test; none may skip for want of a program.
    Tests(&'static str),
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
            Step::Enumerated("cargo test -p skopos-store --test it crash -- --nocapture"),
            Step::Enumerated("cargo test -p skopos-store --test it want_of_space -- --nocapture"),
            Step::Enumerated(
                "cargo test -p skopos-cli --features demo --test it kill -- --nocapture",
            ),
        ],
    },
    Proof {
        name: "alerting",
        what: "alerts, notifications and silences are exact after a crash at any point and after kill -9; Debian's Prometheus, Alertmanager and amtool agree with us",
        needs: &[PROMETHEUS, ALERTMANAGER],
        steps: &[
            Step::Enumerated("cargo test -p skopos-alerting --test it crash -- --nocapture"),
            Step::Enumerated(
                "cargo test -p skopos-cli --features demo --test it kill::alert_state -- --nocapture",
            ),
            Step::Tests("cargo test -p skopos-server --test it alertmanager -- --nocapture"),
            Step::Tests("cargo test -p skopos-alerting --test it rule_tests -- --nocapture"),
            Step::Tests("cargo test -p skopos-alerting --test it builtin -- --nocapture"),
        ],
    },
    Proof {
        name: "interleavings",
        what: "the lock-free parts of the SDK hold in every order in which threads can meet",
        needs: &[],
        steps: &[Step::Tests(
            "cargo test --locked --manifest-path proofs/interleavings/Cargo.toml -- --nocapture",
        )],
    },
    Proof {
        name: "features",
        what: "what a service may choose of the SDK builds alone",
        needs: &[],
        steps: &[
            Step::Plain("cargo check -p skopos --no-default-features"),
            Step::Plain("cargo check -p skopos --no-default-features --features axum"),
            Step::Plain("cargo check -p skopos --no-default-features --features otlp"),
            Step::Plain("cargo check -p skopos --no-default-features --features grpc"),
            Step::Plain("cargo check -p skopos --no-default-features --features tls"),
            Step::Plain("cargo check -p skopos --no-default-features --features reqwest"),
            Step::Plain("cargo check -p skopos --no-default-features --features metrics-facade"),
            Step::Plain("cargo check -p skopos --no-default-features --features otel-metrics"),
            Step::Plain("cargo check -p skopos --no-default-features --features redis"),
            Step::Plain("cargo check -p skopos --no-default-features --features sqlx"),
            Step::Plain("cargo check -p skopos --no-default-features --features derive"),
            Step::Plain("cargo check -p skopos --no-default-features --features disk"),
            Step::Plain("cargo check -p skopos --no-default-features --features serde"),
            Step::Plain("cargo check -p skopos --no-default-features --features testing"),
            Step::Plain("cargo check -p skopos --all-features"),
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
    for step in proof.steps {
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
        Step::Tests(line) => run_tests(line, tally),
        Step::Enumerated(line) => {
            let before = tally.points;
            let ok = run_tests(line, tally)?;
            if ok && tally.points == before {
                println!("nothing was enumerated: no test of `{line}` says `{SAYS}…`");
            }
            Ok(ok && tally.points > before && tally.is_clean())
        }
    }
}

fn run_tests(line: &str, tally: &mut Tally) -> Result<bool> {
    let mut counts = Counts::default();
    let command = Cmd::new(line).env("SKOPOS_TOOLS_REQUIRED", "1");
    let ok = command.run_watched(|line| {
        counts.read(line);
        tally.read(line);
    })?;
    if ok && counts.passed == 0 {
        println!("no test passed: `{line}` selects none");
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
        let run = |step| run_step(&step, &mut Tally::default()).expect("it starts");
        assert!(!run(Step::Enumerated("true")));
        assert!(!run(Step::Tests("true")));
        assert!(run(Step::Plain("true")));
        assert!(!run(Step::Plain("false")));
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
