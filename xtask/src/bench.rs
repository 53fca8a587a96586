//! `cargo xtask bench [NAME]`: benchmarks, by hand or nightly, never as a test.
//!
//! A figure without its machine and commit is worthless, so both are printed before every run.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::Usage;
use crate::dist;
use crate::system::{self, Cmd};
use crate::test::{self, Need};

/// The bench that is no target of the workspace: `benches/compare`, with a lock file of its own.
const COMPARE: &str = "promql";

/// The storage figures, measured by the same package.
const STORAGE: &str = "store";
const STORAGE_ROWS: &[&str] = &["metrics", "bytes", "logs", "traces", "restart", "idle"];

/// The alerting figures, measured by the same package.
const ALERTING: &str = "alerting";
const ALERTING_ROWS: &[&str] = &["latency", "rules"];
const ALERTING_NEEDS: &[Need] = &[Need {
    probe: "taskset --version",
    package: "util-linux",
    why: "binds the server to one core",
}];

/// What the storage rows need besides.
const STORAGE_NEEDS: &[Need] = &[
    Need {
        probe: "prometheus-node-exporter --version",
        package: "prometheus-node-exporter",
        why: "its metrics are recorded; its service is not needed",
    },
    Need { probe: "zstd --version", package: "zstd", why: "measured beside us" },
    Need { probe: "strip --version", package: "binutils", why: "tells the size without symbols" },
];

/// The SDK beside what people use instead: `benches/sdk`.
const SDK: &str = "sdk";

/// What it measures ourselves against.
const COMPARED: &[Need] = &[
    Need {
        probe: "prometheus --version",
        package: "prometheus",
        why: "measured beside us; its service is not needed",
    },
    Need {
        probe: "victoria-metrics --version",
        package: "victoria-metrics",
        why: "measured beside us; its service is not needed",
    },
];

/// A bench target of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bench {
    package: String,
    name: String,
}

impl Bench {
    /// True when `name` is the target's name, its crate's name, or the crate's name without `skopos-`.
    fn answers_to(&self, name: &str) -> bool {
        self.name == name
            || self.package == name
            || self.package.strip_prefix("skopos-").is_some_and(|short| short == name)
    }
}

/// Prints the benchmarks there are.
pub(crate) fn list() -> Result<bool> {
    for bench in find()? {
        println!("{:<24} in {}", bench.name, bench.package);
    }
    println!("{COMPARE:<24} in benches/compare: PromQL beside Prometheus and VictoriaMetrics");
    println!("{SDK:<24} in benches/sdk: lines, spans, metrics and requests beside other libraries");
    println!("{STORAGE:<24} in benches/compare: storage; rows: {}", STORAGE_ROWS.join(", "));
    println!("{ALERTING:<24} in benches/compare: alerting; rows: {}", ALERTING_ROWS.join(", "));
    Ok(true)
}

/// Runs every benchmark that answers to `name`.
pub(crate) fn run(name: &str) -> Result<bool> {
    let chosen: Vec<Bench> = find()?.into_iter().filter(|bench| bench.answers_to(name)).collect();
    if chosen.is_empty() && name != COMPARE {
        return Err(Usage(format!(
            "there is no benchmark `{name}`; `cargo xtask bench` lists them"
        ))
        .into());
    }
    println!("{}", circumstances());
    let mut all_ok = true;
    for bench in chosen {
        let cmd = Cmd::new(&format!("cargo bench -p {} --bench {}", bench.package, bench.name));
        all_ok &= cmd.run()?;
    }
    if name == COMPARE {
        all_ok &= compare()?;
    }
    Ok(all_ok)
}

/// Measures queries beside the others'.
fn compare() -> Result<bool> {
    test::install(COMPARED)?;
    let Some(built) = build()? else { return Ok(false) };
    Cmd::new(&built.harnesses.join("skopos-compare").to_string_lossy())
        .arg(built.server)
        .arg("docs/benchmarks/promql.md")
        .arg(built.circumstances)
        .run()
}

/// Measures the storage rows named, or all.
pub(crate) fn store(arguments: &[&str]) -> Result<bool> {
    check_rows(STORAGE, STORAGE_ROWS, arguments)?;
    println!("{}", circumstances());
    test::install(STORAGE_NEEDS)?;
    // Whoever is not here is left out by the harness, which says so.
    if let Err(error) = test::install(COMPARED) {
        eprintln!("{error:#}; measuring without");
    }
    let Some(built) = build()? else { return Ok(false) };
    let cache = system::target_folder()?.join("bench");
    let cmd = built.harness("skopos-store-bench", "docs/benchmarks/store.md", arguments);
    cmd.arg("--cache").arg(cache).run()
}

/// Measures the alerting rows named, or both.
pub(crate) fn alerting(arguments: &[&str]) -> Result<bool> {
    check_rows(ALERTING, ALERTING_ROWS, arguments)?;
    println!("{}", circumstances());
    test::install(ALERTING_NEEDS)?;
    let Some(built) = build()? else { return Ok(false) };
    built.harness("skopos-alerting-bench", "docs/benchmarks/alerting.md", arguments).run()
}

/// Arguments are rows of a benchmark, and `--quick`.
fn check_rows(bench: &str, known: &[&str], arguments: &[&str]) -> Result<()> {
    match arguments.iter().find(|a| **a != "--quick" && !known.contains(a)) {
        None => Ok(()),
        Some(other) => {
            let rows = known.join(", ");
            let text = format!("`bench {bench}` takes rows ({rows}) and --quick, not `{other}`");
            Err(Usage(text).into())
        }
    }
}

/// Measures the SDK: all of it, with a report, or what has a word in its name.
pub(crate) fn sdk(words: &[&str]) -> Result<bool> {
    let word = match words {
        [] => None,
        [word] => Some(*word),
        _ => return Err(Usage("`bench sdk` takes one WORD at most".to_owned()).into()),
    };
    println!("{}", circumstances());
    let folder = system::target_folder()?;
    let build = Cmd::new("cargo build --release --locked --manifest-path benches/sdk/Cargo.toml");
    if !build.env("CARGO_TARGET_DIR", &folder).run()? {
        return Ok(false);
    }
    let bench = folder.join("bench");
    std::fs::create_dir_all(&bench).context("make the folder of benchmarks")?;
    let circumstances = bench.join("circumstances.txt");
    std::fs::write(&circumstances, self::circumstances()).context("write down the machine")?;
    let others = bench.join("sdk-others.json");
    // With a word only our own process is asked.
    let others_are_here = word.is_none() && measure_others(&bench, &others)?;
    let harness = folder.join("release/skopos-sdk-bench");
    let cmd = ahead_of_others(&harness).arg("docs/benchmarks/sdk.md").arg(circumstances);
    let cmd = if others_are_here { cmd.arg(others) } else { cmd.arg("-") };
    match word {
        Some(word) => cmd.arg(word).run(),
        None => cmd.run(),
    }
}

/// Has pino and structlog measure themselves. Who cannot be installed is left out, which is said.
fn measure_others(bench: &std::path::Path, report: &std::path::Path) -> Result<bool> {
    let mut figures: Vec<serde_json::Value> = Vec::new();
    let mut take = |name: &str, printed: Result<String>| match printed {
        Ok(printed) => match serde_json::from_str::<Vec<serde_json::Value>>(&printed) {
            Ok(more) => figures.extend(more),
            Err(error) => eprintln!("{name} is left out: it printed no figures: {error}"),
        },
        Err(error) => eprintln!("{name} is left out: {error:#}"),
    };
    let modules = bench.join("node");
    let pino = || {
        std::fs::create_dir_all(&modules).context("make a folder for pino")?;
        Cmd::new("npm install --silent --no-audit --no-fund --prefix")
            .arg(&modules)
            .arg("pino@10")
            .capture()?;
        let modules = modules.join("node_modules");
        ahead_of_others("node".as_ref())
            .arg("benches/sdk/others/pino.mjs")
            .env("SKOPOS_BENCH_MODULES", modules)
            .capture()
    };
    take("pino", pino());
    let venv = bench.join("structlog");
    let structlog = || {
        let python = venv.join("bin/python");
        if !python.exists() {
            Cmd::new("python3 -m venv").arg(&venv).capture()?;
        }
        let python = python.to_string_lossy().into_owned();
        Cmd::new(&python)
            .args("-m pip install --quiet --disable-pip-version-check --no-input")
            .args("structlog>=25 orjson")
            .capture()?;
        ahead_of_others(python.as_ref()).arg("benches/sdk/others/structlog_bench.py").capture()
    };
    take("structlog", structlog());
    let text = serde_json::to_string(&figures).context("write the others' figures")?;
    std::fs::write(report, text).context("write the others' figures")?;
    Ok(!figures.is_empty())
}

/// Runs a program before other work on the machine, where that is allowed.
fn ahead_of_others(program: &std::path::Path) -> Cmd {
    let may_go_first = Cmd::new("nice -n -10 true").capture().is_ok();
    if may_go_first {
        Cmd::new("nice -n -10").arg(program)
    } else {
        Cmd::new(&program.to_string_lossy())
    }
}

/// What `benches/compare` works with.
struct Built {
    /// The binary that is measured.
    server: PathBuf,
    /// Where the harnesses are.
    harnesses: PathBuf,
    /// A file that names machine and commit.
    circumstances: PathBuf,
}

impl Built {
    /// A harness with rows, to measure the server and write a report.
    fn harness(&self, name: &str, report: &str, arguments: &[&str]) -> Cmd {
        // The servers inherit it.
        let cmd = ahead_of_others(&self.harnesses.join(name));
        cmd.args(&arguments.join(" "))
            .arg("--skopos")
            .arg(&self.server)
            .arg("--report")
            .arg(report)
            .arg("--circumstances")
            .arg(&self.circumstances)
    }
}

/// Builds the server as it is released, and the harnesses; `None` when that fails.
fn build() -> Result<Option<Built>> {
    let Some(server) = dist::build()? else { return Ok(None) };
    let harness =
        Cmd::new("cargo build --release --locked --manifest-path benches/compare/Cargo.toml");
    let folder = system::target_folder()?;
    // One target folder for both, or the harness would build the shared crates beside its manifest.
    if !harness.env("CARGO_TARGET_DIR", &folder).run()? {
        return Ok(None);
    }
    let harnesses = folder.join("release");
    let circumstances = harnesses.join("circumstances.txt");
    std::fs::write(&circumstances, self::circumstances()).context("write down the machine")?;
    Ok(Some(Built { server, harnesses, circumstances }))
}

fn find() -> Result<Vec<Bench>> {
    let text = Cmd::new("cargo metadata --format-version 1 --no-deps").capture()?;
    let metadata: serde_json::Value = serde_json::from_str(&text).context("read cargo metadata")?;
    Ok(benches_of(&metadata))
}

fn benches_of(metadata: &serde_json::Value) -> Vec<Bench> {
    let mut benches = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        for target in package["targets"].as_array().into_iter().flatten() {
            let kinds = target["kind"].as_array().into_iter().flatten();
            if !kinds.into_iter().any(|kind| kind == "bench") {
                continue;
            }
            if let (Some(package), Some(name)) = (package["name"].as_str(), target["name"].as_str())
            {
                benches.push(Bench { package: package.to_owned(), name: name.to_owned() });
            }
        }
    }
    benches
}

/// Returns commit, processor, cores, memory and compiler on a few lines.
fn circumstances() -> String {
    let read = |line: &str| Cmd::new(line).capture().unwrap_or_default().trim().to_owned();
    let field = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(':'))
            .map_or("unknown".to_owned(), |(_, v)| v.trim().to_owned())
    };
    let changed = if read("git status --porcelain --untracked-files=no").is_empty() {
        ""
    } else {
        ", with changes"
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "commit    {}{changed}\nprocessor {}, {cores} cores\nmemory    {}\ncompiler  {}",
        read("git rev-parse --short=12 HEAD"),
        field("/proc/cpuinfo", "model name"),
        field("/proc/meminfo", "MemTotal"),
        read("rustc --version"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benches_are_found_and_answer_to_three_names() {
        let metadata = serde_json::json!({"packages": [{"name": "skopos-store", "targets": [
            {"kind": ["lib"], "name": "skopos_store"},
            {"kind": ["bench"], "name": "wal"},
        ]}]});
        let benches = benches_of(&metadata);
        assert_eq!(benches, [Bench { package: "skopos-store".into(), name: "wal".into() }]);
        for name in ["wal", "store", "skopos-store"] {
            assert!(benches[0].answers_to(name), "{name}");
        }
        assert!(!benches[0].answers_to("skopos"));
    }

    #[test]
    fn only_rows_that_there_are_are_measured() {
        assert!(check_rows(ALERTING, ALERTING_ROWS, &["latency", "--quick"]).is_ok());
        let error = check_rows(ALERTING, ALERTING_ROWS, &["rules", "x"]).unwrap_err();
        let want = "`bench alerting` takes rows (latency, rules) and --quick, not `x`";
        assert_eq!(error.to_string(), want);
    }

    #[test]
    fn circumstances_name_compiler_and_cores() {
        let text = circumstances();
        assert!(text.contains("rustc ") && text.contains(" cores"), "{text}");
    }
}
