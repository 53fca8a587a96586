//! The SDK beside what people use instead: the same work, in one process, in turns.
//!
//! Usage: `skopos-sdk-bench REPORT.md CIRCUMSTANCES [OTHERS.json] [WORD]`; `cargo xtask bench sdk` does that. CIRCUMSTANCES is a
//! file that names machine and commit; OTHERS what pino and structlog measured of themselves, or `-`. With a WORD only what has
//! it in its name is measured, and no report is written.

mod logs;
mod measure;
mod metrics;
mod middleware;
mod report;
mod sink;
mod spans;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().context("REPORT.md CIRCUMSTANCES [OTHERS.json] [WORD]");
    let (path, circumstances) = (argument()?, argument()?);
    let circumstances = std::fs::read_to_string(circumstances).context("read circumstances")?;
    let others = match arguments.next().filter(|path| path != "-") {
        Some(path) => report::others(&std::fs::read_to_string(path).context("read the others")?)?,
        None => Vec::new(),
    };
    let mut bench = measure::Bench { wanted: arguments.next(), rows: Vec::new() };
    let middleware = middleware::Others::install();
    for pass in 1..=measure::PASSES {
        println!("pass {pass} of {}", measure::PASSES);
        metrics::run(&mut bench);
        logs::run(&mut bench);
        spans::run(&mut bench);
        middleware.run(&mut bench);
    }
    let text = report::print(&circumstances, &bench.rows, &others);
    println!("\n{text}");
    if bench.wanted.is_none() {
        std::fs::write(&path, text).with_context(|| format!("write {path}"))?;
    }
    Ok(())
}
