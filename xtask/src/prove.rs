//! `cargo xtask prove NAME`: the acceptance proofs, each a few commands that a sceptic can run.
//!
//! A proof that selects tests by name fails when the selection is empty.

use anyhow::Result;

use crate::Usage;
use crate::system::{Cmd, Stopwatch, human};
use crate::test::Counts;

/// One command of a proof.
enum Step {
    /// Must exit with 0.
    Plain(&'static str),
    /// Must exit with 0 and have passed at least one test.
    Tests(&'static str),
}

struct Proof {
    name: &'static str,
    what: &'static str,
    steps: &'static [Step],
}

const PROOFS: &[Proof] = &[
    Proof {
        name: "loop",
        what: "from an alert to the slow span and back to healthy, on real services",
        steps: &[Step::Plain("cargo demo --scripted")],
    },
    Proof {
        name: "durability",
        what: "what was acknowledged survives crashes at every point and kill -9 under load, once",
        steps: &[
            Step::Tests("cargo test -p skopos-store crash -- --nocapture"),
            Step::Tests("cargo test -p skopos-cli --features demo kill -- --nocapture"),
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
    for step in proof.steps {
        if !run_step(step)? {
            println!("NOT proven: {name}, after {}", human(watch.elapsed()));
            return Ok(false);
        }
    }
    println!("proven: {name}, in {}", human(watch.elapsed()));
    Ok(true)
}

fn run_step(step: &Step) -> Result<bool> {
    match step {
        Step::Plain(line) => Cmd::new(line).run(),
        Step::Tests(line) => {
            let mut counts = Counts::default();
            let ok = Cmd::new(line).run_watched(|line| counts.read(line))?;
            if ok && counts.passed == 0 {
                println!("no test passed: `{line}` selects none");
            }
            Ok(ok && counts.passed > 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_without_tests_proves_nothing() {
        assert!(!run_step(&Step::Tests("true")).expect("true starts"));
        assert!(run_step(&Step::Plain("true")).expect("true starts"));
        assert!(!run_step(&Step::Plain("false")).expect("false starts"));
    }
}
