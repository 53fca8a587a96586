//! `cargo xtask test`: everything that must hold before a change lands, in the order that fails soonest.
//!
//! CI runs exactly this command. It installs what the tests need where it may, and otherwise says what is missing.
//! It works without nextest. It ends with one plain line, `N passed, N failed, N skipped`, over all runners, and fails
//! when no test ran at all: a filter gone wrong must not look like success.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::system::{self, Cmd, Stopwatch, human};
use crate::{tidy, ui};

/// How much of the checking is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it, as CI runs it.
    Full,
    /// Only what answers within a minute or two on a warm checkout.
    Fast,
}

/// The crates below the server: pure, or with small dependencies. `--fast` tests these.
const FAST_CRATES: &[&str] = &[
    "skopos-alerting",
    "skopos-ingest",
    "skopos-model",
    "skopos-promql",
    "skopos-redact",
    "skopos-testkit",
    "xtask",
];

/// One selection for clippy, tests and doctests, so that one build serves all of them and the demo.
pub(crate) const WHOLE: &str = "--workspace --features skopos-cli/demo,skopos/full";

/// The SDK with its heavy integrations. Built apart: what they need must not change what everybody else builds.
const SDK: &str = "-p skopos --features _integrations";

/// A program that building or testing needs, and the Debian package that brings it.
pub(crate) struct Need {
    pub(crate) probe: &'static str,
    pub(crate) package: &'static str,
    pub(crate) why: &'static str,
}

pub(crate) const PROMETHEUS: Need = Need {
    probe: "prometheus --version",
    package: "prometheus",
    why: "answers the same queries as our server; its service is not needed",
};

pub(crate) const ALERTMANAGER: Need = Need {
    probe: "amtool --version",
    package: "prometheus-alertmanager",
    why: "routes the same alerts as our server, and has amtool; its service is not needed",
};

const NEEDS: &[Need] = &[
    Need { probe: "cc --version", package: "build-essential", why: "compiles zstd and SQLite" },
    Need { probe: "git --version", package: "git", why: "tells tidy which files are ours" },
    PROMETHEUS,
    ALERTMANAGER,
    Need {
        probe: "python3 -c import\u{a0}venv,ensurepip",
        package: "python3-venv",
        why: "runs the OpenTelemetry Python SDK against our server",
    },
    Need {
        probe: "sh -c ls\u{a0}/usr/lib/postgresql/*/bin/postgres",
        package: "postgresql",
        why: "the SDK's queries run against it; its service is not needed",
    },
    Need {
        probe: "redis-server --version",
        package: "redis-server",
        why: "the SDK's commands run against it; its service is not needed",
    },
    Need { probe: "node --version", package: "nodejs", why: "builds and tests the web UI" },
    Need { probe: "npm --version", package: "npm", why: "installs what builds the web UI" },
    ui::CHROMIUM,
];

/// What the test runners said, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// Adds what a closing line of libtest, nextest, vitest or Node's runner says; any other line adds nothing.
    pub(crate) fn read(&mut self, line: &str) {
        let line = line.trim();
        if let Some(counted) = line.strip_prefix("ℹ ") {
            self.read_node(counted);
            return;
        }
        let vitest = line.starts_with("Tests  ") && line.ends_with(')');
        let libtest = line.starts_with("test result: ");
        let nextest = line.starts_with("Summary [") && line.contains(" run: ");
        if !libtest && !nextest && !vitest {
            return;
        }
        let mut previous = "";
        for word in line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()) {
            let number = previous.parse::<u64>().unwrap_or(0);
            match word {
                "passed" => self.passed += number,
                "failed" | "timed" => self.failed += number,
                // libtest's `filtered out` is our own choice of tests, and not counted.
                "ignored" | "skipped" => self.skipped += number,
                _ => {}
            }
            previous = word;
        }
    }
}

impl Counts {
    /// Node's runner tells one figure a line: `pass 6`.
    fn read_node(&mut self, line: &str) {
        let Some((what, number)) = line.split_once(' ') else { return };
        let Ok(number) = number.parse::<u64>() else { return };
        match what {
            "pass" => self.passed += number,
            "fail" | "cancelled" => self.failed += number,
            "skipped" | "todo" => self.skipped += number,
            _ => {}
        }
    }
}

/// The steps that have run, for the summary.
#[derive(Default)]
struct Report {
    steps: Vec<(String, &'static str, String)>,
    notes: Vec<String>,
    counts: Counts,
}

impl Report {
    fn step(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<bool>) {
        eprintln!("\n=== {name}");
        let watch = Stopwatch::start();
        let verdict = match work(self) {
            Ok(true) => "ok",
            Ok(false) => "FAILED",
            Err(error) => {
                eprintln!("error: {error:#}");
                "FAILED"
            }
        };
        let took = human(watch.elapsed());
        eprintln!("=== {name}: {verdict} in {took}");
        self.steps.push((name.to_owned(), verdict, took));
    }

    fn runner(&mut self, name: &str, cmd: &Cmd) {
        self.step(name, |report| cmd.run_watched(|line| report.counts.read(line)));
    }

    fn all_ok(&self) -> bool {
        self.steps.iter().all(|(_, verdict, _)| *verdict == "ok")
    }
}

/// Runs the checks, prints the summary, and returns true when everything held.
///
/// A failed step does not keep the later ones from running: one round shows all that is wrong.
pub(crate) fn run(extent: Extent) -> Result<bool> {
    let whole = Stopwatch::start();
    let mut report = Report::default();
    let mut python = None;
    if extent == Extent::Full {
        report.step("what tests need", |report| {
            install(NEEDS).inspect_err(|error| report.notes.push(error.to_string()))?;
            python = python_environment(report)?;
            Ok(true)
        });
    }
    let with_python = |cmd: Cmd| match &python {
        Some(path) => cmd.env("SKOPOS_PY_OTEL", path),
        None => cmd,
    };
    report.step("fmt", |_| Cmd::new("cargo fmt --all --check").run());
    report.step("tidy", |_| tidy::run());
    if extent == Extent::Full {
        let clippy = Cmd::new("cargo clippy --all-targets").args(WHOLE).args("-- -D warnings");
        report.step("clippy", |_| clippy.run());
    }
    if extent == Extent::Full {
        let clippy = Cmd::new("cargo clippy --all-targets").args(SDK).args("-- -D warnings");
        report.step("sdk clippy", |_| clippy.run());
    }
    let selection = match extent {
        Extent::Full => WHOLE.to_owned(),
        Extent::Fast => FAST_CRATES.iter().map(|name| format!("-p {name} ")).collect(),
    };
    if system::has_program("cargo-nextest") {
        let nextest = Cmd::new("cargo nextest run --no-fail-fast").args(&selection);
        report.runner("tests", &with_python(nextest));
    } else {
        report
            .notes
            .push("cargo-nextest is not installed: ran `cargo test`, without time limits".into());
        let libtest = Cmd::new("cargo test --no-fail-fast --tests").args(&selection);
        report.runner("tests", &with_python(libtest));
    }
    if extent == Extent::Full {
        let integrations = Cmd::new("cargo test --no-fail-fast --lib --tests").args(SDK);
        report.runner("sdk integrations", &integrations);
        let doctests = Cmd::new("cargo test --no-fail-fast --doc").args(SDK);
        report.runner("sdk doctests", &doctests);
        report.step("ui types", |_| ui::check().run());
        report.runner("ui units", &ui::unit());
        report.step("ui in a browser", |report| {
            ui::browser(WHOLE)?.run_watched(|line| report.counts.read(line))
        });
        report.runner("doctests", &Cmd::new("cargo test --no-fail-fast --doc").args(WHOLE));
    }
    // A lock file that cargo had to complete means that other people's builds resolve differently.
    if system::in_ci() && Cmd::new("git diff --quiet HEAD -- Cargo.lock").capture().is_err() {
        report
            .notes
            .push("Cargo.lock in git is not complete: commit the one that cargo wrote".into());
    }
    Ok(conclude(&report, &human(whole.elapsed())))
}

fn conclude(report: &Report, took: &str) -> bool {
    let Counts { passed, failed, skipped } = report.counts;
    let ran_something = passed + failed > 0;
    println!("\nSummary");
    for (name, verdict, took) in &report.steps {
        println!("  {verdict:<6}  {name:<16}  {took}");
    }
    for note in &report.notes {
        println!("  note    {note}");
    }
    if !ran_something {
        println!("  FAILED  no test ran");
    }
    let ok = report.all_ok() && failed == 0 && ran_something;
    println!("{} in {took}", if ok { "all checks hold" } else { "something FAILED, see above," });
    // The plain closing line that CI reads, alone on its line.
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    ok
}

/// Installs the missing Debian packages as root, or through sudo when it asks for no password.
pub(crate) fn install(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !probe(need.probe)).collect();
    if missing.is_empty() {
        eprintln!("every program that is needed is here");
        return Ok(());
    }
    for need in &missing {
        eprintln!("missing: {} ({})", need.package, need.why);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let by_hand = format!("apt-get install {}", packages.join(" "));
    let Some(prefix) = installer() else {
        bail!("cannot install {} here; as root: {by_hand}", packages.join(", "));
    };
    let apt =
        |line: &str| Cmd::new(&format!("{prefix} {line}")).env("DEBIAN_FRONTEND", "noninteractive");
    // An old list may still serve, so a failed update is no reason to stop.
    if !apt("apt-get -q update").run()? {
        eprintln!("apt-get update failed; trying with the lists that are here");
    }
    let line = format!("apt-get -q install -y --no-install-recommends {}", packages.join(" "));
    if !apt(&line).run()? {
        bail!("`{line}` failed");
    }
    Ok(())
}

/// A no-break space stands for a space inside one argument.
fn probe(line: &str) -> bool {
    let mut words = line.split(' ').map(|word| word.replace('\u{a0}', " "));
    let Some(program) = words.next() else { return false };
    let cmd = words.fold(Cmd::new(&program), |cmd, word| cmd.arg(word));
    cmd.capture().is_ok()
}

/// Returns the words that must stand before `apt-get`, or `None` where installing is not for us.
fn installer() -> Option<&'static str> {
    if std::env::var_os("SKOPOS_NO_INSTALL").is_some() || !system::has_program("apt-get") {
        return None;
    }
    let is_root = Cmd::new("id -u").capture().is_ok_and(|uid| uid.trim() == "0");
    if is_root {
        return Some("env");
    }
    probe("sudo -n true").then_some("sudo -n env")
}

/// Makes the Python environment with the pinned OpenTelemetry SDK, or returns the one that is there.
///
/// Without it (no network) the tests that need it say so and skip; in CI that is an error.
fn python_environment(report: &mut Report) -> Result<Option<PathBuf>> {
    if let Some(given) = std::env::var_os("SKOPOS_PY_OTEL") {
        return Ok(Some(given.into()));
    }
    let pins_path = system::root()?.join("xtask/py-otel.txt");
    let pins = std::fs::read_to_string(&pins_path).context("read xtask/py-otel.txt")?;
    let folder = system::target_folder()?.join("py-otel");
    // The stamp is written last: a half-made environment is made anew.
    let stamp = folder.join("skopos-pins.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == pins) {
        eprintln!("the Python environment is here: {}", folder.display());
        return Ok(Some(folder));
    }
    if std::env::var_os("SKOPOS_NO_INSTALL").is_some() {
        report.notes.push("no OpenTelemetry Python SDK (SKOPOS_NO_INSTALL): its tests skip".into());
        return Ok(None);
    }
    let made = Cmd::new("python3 -m venv --clear").arg(&folder).run()?
        && Cmd::new(&folder.join("bin/python").to_string_lossy())
            .args("-m pip install --quiet --disable-pip-version-check --no-input -r")
            .arg(&pins_path)
            .run()?;
    if made {
        std::fs::write(&stamp, pins).context("stamp the Python environment")?;
        return Ok(Some(folder));
    }
    if system::in_ci() {
        bail!("the OpenTelemetry Python SDK could not be installed");
    }
    report.notes.push("the OpenTelemetry Python SDK could not be installed: its tests skip".into());
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(lines: &[&str]) -> Counts {
        let mut counts = Counts::default();
        for line in lines {
            counts.read(line);
        }
        counts
    }

    #[test]
    fn closing_lines_of_both_runners_are_summed() {
        let libtest = "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 9 filtered out; finished in 0.02s";
        assert_eq!(counts(&[libtest]), Counts { passed: 12, failed: 0, skipped: 3 });
        let nextest = "     Summary [  1.234s] 25 tests run: 22 passed (1 slow), 2 failed, 1 timed out, 4 skipped";
        assert_eq!(counts(&[nextest]), Counts { passed: 22, failed: 3, skipped: 4 });
        let one = "     Summary [   0.005s] 1 test run: 1 passed, 0 skipped";
        assert_eq!(counts(&[one, libtest]), Counts { passed: 13, failed: 0, skipped: 3 });
    }

    #[test]
    fn closing_lines_of_the_web_uis_runners_are_summed() {
        let vitest = "      Tests  1 failed | 31 passed | 2 skipped (34)";
        assert_eq!(counts(&[vitest]), Counts { passed: 31, failed: 1, skipped: 2 });
        let node =
            ["ℹ tests 9", "ℹ suites 3", "ℹ pass 6", "ℹ fail 1", "ℹ cancelled 2", "ℹ skipped 0"];
        assert_eq!(counts(&node), Counts { passed: 6, failed: 3, skipped: 0 });
    }

    #[test]
    fn other_lines_count_nothing() {
        let lines =
            ["running 5 tests", "test a ... ok", "2 passed", "Summary of 3 failed requests"];
        assert_eq!(counts(&lines), Counts::default());
    }

    #[test]
    fn a_run_without_tests_or_with_a_failed_step_fails() {
        let good = Counts { passed: 1, failed: 0, skipped: 0 };
        let report = |verdict, counts| Report {
            steps: vec![("step".into(), verdict, String::new())],
            notes: Vec::new(),
            counts,
        };
        assert!(conclude(&report("ok", good), ""));
        assert!(!conclude(&report("FAILED", good), ""));
        assert!(!conclude(&report("ok", Counts::default()), ""));
        assert!(!conclude(&report("ok", Counts { failed: 1, ..good }), ""));
    }

    #[test]
    fn probes_find_what_is_here_and_miss_what_is_not() {
        assert!(probe("sh -c exit\u{a0}0"));
        assert!(!probe("sh -c exit\u{a0}1"));
        assert!(!probe("no-such-program-as-this"));
    }
}
