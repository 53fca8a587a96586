//! Skopos, Prometheus 2.42 and VictoriaMetrics 1.79 side by side: the same samples by remote write,
//! the same queries over the same HTTP API, result caches off, in turns, answers compared first.
//!
//! Usage: `skopos-compare SKOPOS_BINARY REPORT.md CIRCUMSTANCES`, the last a file that names machine
//! and commit; `cargo xtask bench promql` does that. `SKOPOS_COMPARE=1k` or `100k` runs one data set only and
//! writes no report; `SKOPOS_COMPARE_QUERY=TEXT` only the queries whose names contain the text.
//! `SKOPOS_COMPARE_HOLD=1` waits for Enter once all is loaded, for profilers and for asking by hand.

mod answers;
mod data;
mod report;
mod systems;

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};

use answers::Distance;
use data::DataSet;
use report::{Loaded, Row, Table};
use systems::{Question, System};

const QUERIES: &str = include_str!("../queries.txt");
/// Rounds of each query, fewer when one system takes more than `LONGEST` for them.
const ROUNDS: usize = 15;
const LEAST_ROUNDS: usize = 3;
const LONGEST: Duration = Duration::from_secs(12);

struct Query {
    set: String,
    name: String,
    is_range: bool,
    /// VictoriaMetrics means something else.
    differs: bool,
    text: &'static str,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let mut argument = || arguments.next().context("SKOPOS_BINARY REPORT.md CIRCUMSTANCES");
    let (skopos, path, circumstances) = (argument()?, argument()?, argument()?);
    let circumstances = std::fs::read_to_string(circumstances).context("read circumstances")?;
    let only = std::env::var("SKOPOS_COMPARE").unwrap_or_default();
    let sets = [
        DataSet { name: "1k series, 24 h".into(), series: 1_000, seconds: 86_400, step: 60 },
        DataSet { name: "100k series, 1 h".into(), series: 100_000, seconds: 3_600, step: 15 },
    ];
    let mut tables = Vec::new();
    for set in sets.iter().filter(|set| set.name.starts_with(&only)) {
        tables.push(measure(set, &skopos)?);
    }
    let text = report::print(&circumstances, &tables);
    println!("\n{text}");
    if only.is_empty() && std::env::var_os("SKOPOS_COMPARE_QUERY").is_none() {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).context("make the report's folder")?;
        }
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn queries() -> Result<Vec<Query>> {
    let wanted = std::env::var("SKOPOS_COMPARE_QUERY").unwrap_or_default();
    let (mut set, mut all) = (String::new(), Vec::new());
    for line in QUERIES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            set = name.trim_end_matches(']').to_owned();
            continue;
        }
        let mut parts = line.splitn(3, '|').map(str::trim);
        let (Some(name), Some(kind), Some(text)) = (parts.next(), parts.next(), parts.next())
        else {
            bail!("not `name | kind | query`: {line}");
        };
        let (name, differs) = match name.strip_prefix('~') {
            Some(name) => (name.trim(), true),
            None => (name, false),
        };
        let (set, name) = (set.clone(), name.to_owned());
        if name.contains(&wanted) {
            all.push(Query { set, name, is_range: kind == "range", differs, text });
        }
    }
    Ok(all)
}

fn measure(set: &DataSet, skopos: &std::path::Path) -> Result<Table> {
    let systems = [System::skopos(skopos)?, System::prometheus()?, System::victoria_metrics()?];
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() as i64;
    // A full minute some minutes ago.
    let end = (now - 300) / 60 * 60;
    let loaded = load(set, end, &systems)?;
    if std::env::var_os("SKOPOS_COMPARE_HOLD").is_some() {
        systems.iter().for_each(|system| println!("{}: {}", system.name, system.base()));
        println!("end: {end}; Enter goes on");
        std::io::stdin().read_line(&mut String::new())?;
    }
    let mut rows = Vec::new();
    for query in queries()?.into_iter().filter(|query| query.set == set.name) {
        let row = run(set, &query, end, &systems)?;
        println!("{}", report::line(&row));
        rows.push(row);
    }
    let memory = systems.each_ref().map(System::memory_mib);
    Ok(Table { name: set.name.clone(), loaded, memory, rows })
}

fn load(set: &DataSet, end: i64, systems: &[System; 3]) -> Result<Loaded> {
    let mut wall = [Duration::ZERO; 3];
    let before = systems.each_ref().map(System::cpu_seconds);
    let samples = set.send(end, |batch| {
        let body = skopos_ingest::remote_write::encode(&batch);
        for (system, wall) in systems.iter().zip(&mut wall) {
            let began = Instant::now();
            system.write(&body)?;
            *wall += began.elapsed();
        }
        Ok(())
    })?;
    let mut cpu = systems.each_ref().map(System::cpu_seconds);
    cpu.iter_mut().zip(before).for_each(|(after, before)| *after -= before);
    println!(
        "{}: {samples} samples; seconds to write {wall:.1?}, of processor {cpu:.1?}",
        set.name
    );
    settle(set, end, systems);
    Ok(Loaded { samples, wall, cpu })
}

/// Waits for what the systems do on their own after a bulk load: compaction of what has left
/// Prometheus' head, VictoriaMetrics' flush.
fn settle(set: &DataSet, end: i64, systems: &[System; 3]) {
    systems[2].flush();
    let deadline = Instant::now() + Duration::from_secs(240);
    while set.seconds > 3 * 3_600 && Instant::now() < deadline {
        let head = systems[1].metric("prometheus_tsdb_head_min_time_seconds ");
        if head.is_some_and(|head| head >= (end - 4 * 3_600) as f64) {
            break;
        }
        std::thread::sleep(Duration::from_secs(2));
    }
    // Idle: less than 2 % of a processor each, over two seconds.
    while Instant::now() < deadline {
        let before = systems.each_ref().map(System::cpu_seconds);
        std::thread::sleep(Duration::from_secs(2));
        let after = systems.each_ref().map(System::cpu_seconds);
        if before.iter().zip(after).all(|(before, after)| after - before <= 0.04) {
            break;
        }
    }
}

fn run(set: &DataSet, query: &Query, end: i64, systems: &[System; 3]) -> Result<Row> {
    // Windows of subqueries must not have a step on their edge either.
    let end = end - 27;
    let start = if query.is_range { end - (set.seconds - 60) / set.step * set.step } else { end };
    let question = Question { query: query.text, times: (start, end, set.step) };
    let mut slowest = Duration::ZERO;
    let mut bodies = Vec::new();
    for system in systems {
        let _ = system.ask(&question)?;
        let (took, body) = system.ask(&question)?;
        slowest = slowest.max(took);
        bodies.push(body);
    }
    let strict = Distance::between(&bodies[0], &bodies[1])?;
    let loose = Distance::between(&bodies[0], &bodies[2])?;
    let bytes = bodies[0].len();
    drop(bodies);
    let fit = LONGEST.as_secs_f64() / slowest.as_secs_f64().max(1e-6);
    let rounds = (fit as usize).clamp(LEAST_ROUNDS, ROUNDS);
    let mut times = [const { Vec::new() }; 3];
    let mut cpu = [0.0; 3];
    for round in 0..rounds {
        // In turns, each first as often as the others.
        for i in (0..3).map(|i| (i + round) % 3) {
            let before = systems[i].cpu_seconds();
            let (took, _) = systems[i].ask(&question)?;
            cpu[i] += systems[i].cpu_seconds() - before;
            times[i].push(took);
        }
    }
    times.iter_mut().for_each(|times| times.sort());
    let (name, text, differs) = (query.name.clone(), query.text, query.differs);
    let cpu = cpu.map(|seconds| seconds / rounds as f64);
    Ok(Row { name, text, differs, times, cpu, strict, loose, bytes })
}
