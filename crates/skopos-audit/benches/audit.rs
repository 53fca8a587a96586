//! What an audit of 20,000 files costs: cold, and with what is remembered; on one rule beside ast-grep and semgrep.
//!
//! `cargo xtask bench audit`. The others are taken from the folder in `SKOPOS_BENCH_TOOLS` (`python3 -m venv /tmp/tools && /tmp/tools/bin/pip install
//! semgrep ast-grep-cli`, then `SKOPOS_BENCH_TOOLS=/tmp/tools/bin`), or left out. Every row is a process of its own over the same
//! tree, all files read once before; its processor time is what the system counts for it, children included.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use skopos_audit::cli::{Args, Format, run};
use skopos_model::{Clock, SystemClock};

/// Files of the tree.
const FILES: usize = 20_000;

/// Times that each row is measured, but for semgrep's; the best counts.
const RUNS: usize = 3;

const RULES: &str = "id: print\nlanguage: python\nrule: { pattern: print($$$A) }\n---\nid: console-js\nlanguage: javascript\nrule: { pattern: console.$M($$$A) }\n---\nid: console-ts\nlanguage: typescript\nrule: { pattern: console.$M($$$A) }\n";

const SEMGREP: &str = "rules:\n- { id: print, languages: [python], severity: INFO, message: print, pattern: print(...) }\n- { id: console, languages: [javascript, typescript], severity: INFO, message: console, pattern: console.$M(...) }\n";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // The row that is measured: this very program, as the command would run.
    if let Some(at) = words.iter().position(|word| word == "--audit") {
        let mut rest = words[at + 1..].iter();
        let mut args = Args { format: Format::Ndjson, exit_zero: true, ..Args::default() };
        args.path = rest.next().expect("a folder").into();
        for word in rest {
            match word.split_once('=') {
                Some(("cache", folder)) => args.cache = Some(folder.into()),
                Some(("select", rule)) => args.select = vec![rule.to_owned()],
                _ => args.no_cache = true,
            }
        }
        let done = run(&args, "bench").expect("an audit");
        print!("{}", done.output);
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("tree");
    let bytes = plant(&root);
    let cache = format!("cache={}", folder.path().join("cache").display());
    std::fs::write(folder.path().join("sg.yml"), RULES).expect("rules");
    std::fs::write(folder.path().join("semgrep.yml"), SEMGREP).expect("rules");
    let own = std::env::current_exe().expect("this program");
    let own = own.to_str().expect("a path");
    let tree = root.to_str().expect("a path");
    println!("{FILES} files, {:.1} MB, {} cores\n", bytes as f64 / 1e6, cores());
    println!("| | CPU s | wall s | files per CPU second | findings |\n|---|---:|---:|---:|---:|");
    let row = |name: &str, program: &str, arguments: &[&str]| -> Option<f64> {
        let mut best: Option<Spent> = None;
        // What takes minutes is measured once.
        let runs = if name.starts_with("semgrep") { 1 } else { RUNS };
        for _ in 0..runs {
            let spent = measure(program, arguments)?;
            if best.as_ref().is_none_or(|best| spent.cpu < best.cpu) {
                best = Some(spent);
            }
        }
        let best = best?;
        println!(
            "| {name} | {:.2} | {:.2} | {:.0} | {} |",
            best.cpu,
            best.wall,
            FILES as f64 / best.cpu,
            best.lines
        );
        Some(best.cpu)
    };
    row("skopos audit, every rule, nothing remembered", own, &["--audit", tree, "no-cache"]);
    // Filled once, so that every run of the next row finds it full.
    let _ = measure(own, &["--audit", tree, &cache]);
    row("skopos audit, every rule, all remembered", own, &["--audit", tree, &cache]);
    let many = |n: usize| {
        let folder = folder.path().join(format!("many{n}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        let lines: String = (0..n).map(|n| format!("print({n})\n")).collect();
        let app = "from fastapi import FastAPI\napp = FastAPI()\n".to_owned() + &lines;
        std::fs::write(folder.join("app.py"), app).expect("a file");
        let folder = folder.to_str().expect("a path").to_owned();
        (1..=RUNS)
            .filter_map(|_| measure(own, &["--audit", &folder, "no-cache"]))
            .map(|s| s.cpu)
            .fold(f64::INFINITY, f64::min)
    };
    let one = row("skopos audit, LOG002", own, &["--audit", tree, "select=LOG002", "no-cache"]);
    println!("\n| findings in one file | CPU s |\n|---:|---:|");
    for n in [1_000, 10_000, 60_000] {
        println!("| {n} | {:.2} |", many(n));
    }
    println!("\n| | CPU s | wall s | files per CPU second | findings |\n|---|---:|---:|---:|---:|");
    let Some(tools) = std::env::var_os("SKOPOS_BENCH_TOOLS").map(PathBuf::from) else {
        println!("\nast-grep and semgrep are not measured: SKOPOS_BENCH_TOOLS names no folder");
        return;
    };
    let tool = |name: &str| tools.join(name).display().to_string();
    let rules = |name: &str| folder.path().join(name).display().to_string();
    let grep = row(
        "ast-grep scan, print and console",
        &tool("ast-grep"),
        &["scan", "--rule", &rules("sg.yml"), "--json=stream", tree],
    );
    let semgrep = row(
        "semgrep scan, print and console",
        &tool("semgrep"),
        &[
            "scan",
            "--config",
            &rules("semgrep.yml"),
            "--metrics=off",
            "--disable-version-check",
            "--quiet",
            "--no-git-ignore",
            "--max-target-bytes=0",
            "--emacs",
            tree,
        ],
    );
    let mut out = String::new();
    for (name, other) in [("ast-grep", grep), ("semgrep", semgrep)] {
        if let (Some(one), Some(other)) = (one, other) {
            let _ = writeln!(out, "{:.1} × {name} per CPU second", other / one);
        }
    }
    print!("\n{out}");
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

struct Spent {
    cpu: f64,
    wall: f64,
    /// Of what it wrote: findings, one a line.
    lines: usize,
}

/// Runs a program to its end; none when there is none, or it fails.
fn measure(program: &str, arguments: &[&str]) -> Option<Spent> {
    let clock = SystemClock::new();
    let (before, began) = (children(), clock.monotonic());
    let done =
        Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).output();
    let (cpu, wall) = (children() - before, (clock.monotonic() - began).as_secs_f64());
    let done = match done {
        Ok(done) if done.status.code().is_some_and(|code| code <= 1) => done,
        Ok(done) => {
            println!("{program}: {}", String::from_utf8_lossy(&done.stderr));
            return None;
        }
        Err(error) => {
            println!("{program}: {error}");
            return None;
        }
    };
    let lines = done.stdout.iter().filter(|byte| **byte == b'\n').count();
    Some(Spent { cpu, wall, lines })
}

/// Processor seconds of every child that has ended: fields 16 and 17 of `/proc/self/stat`, in hundredths.
fn children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = stat.rsplit(") ").next().unwrap_or_default();
    let fields: Vec<f64> = behind.split(' ').map(|f| f.parse().unwrap_or(0.0)).collect();
    fields.get(13..15).map_or(0.0, |both| both.iter().sum::<f64>() / 100.0)
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// Writes the tree: half Python, a third JavaScript and TypeScript, the rest Go, Rust, Java and YAML; a third of the files says something
/// that a rule may want to hear, as in repositories that were counted.
fn plant(root: &Path) -> usize {
    let mut random = Random(0x5eed_cafe);
    let mut bytes = 0;
    for n in 0..FILES {
        let (ending, speaks) = match random.below(20) {
            0..10 => ("py", random.below(3) == 0),
            10..14 => ("js", random.below(3) == 0),
            14..17 => ("ts", random.below(3) == 0),
            17 => ("go", true),
            18 => ("rs", random.below(3) == 0),
            _ => (["java", "yaml"][random.below(2)], false),
        };
        // JavaScript beside Python would be pages for a browser.
        let part = if matches!(ending, "js" | "ts") { "node" } else { "part" };
        let path = root.join(format!("{part}{}/unit{}/file{n}.{ending}", n % 20, n / 20 % 50));
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        let text = text(ending, speaks, &mut random);
        bytes += text.len();
        std::fs::write(path, text).expect("a file");
    }
    for n in 0..20 {
        let folder = root.join(format!("part{n}"));
        std::fs::write(folder.join("requirements.txt"), "fastapi\nuvicorn\n").expect("a file");
        let app = "from fastapi import FastAPI\napp = FastAPI()\n\n\n@app.get('/orders/{id}')\ndef order(id):\n    print('order', id)\n    return {}\n";
        std::fs::write(folder.join("app.py"), app).expect("a file");
        let folder = root.join(format!("node{n}"));
        let package = "{\"name\": \"node\", \"dependencies\": {\"express\": \"5\"}, \"scripts\": {\"start\": \"node app.js\"}}";
        std::fs::write(folder.join("package.json"), package).expect("a file");
        let app = "const express = require('express');\nconst app = express();\napp.get('/orders/:id', (req, res) => res.json({}));\napp.listen(8080);\n";
        std::fs::write(folder.join("app.js"), app).expect("a file");
    }
    bytes
}

fn text(ending: &str, speaks: bool, random: &mut Random) -> String {
    let mut out = String::new();
    let functions = 3 + random.below(14);
    match ending {
        "go" => out.push_str("package parts\n\n"),
        "yaml" => out.push_str("kind: table\nrows:\n"),
        "java" => out.push_str("package parts;\n\npublic class Part {\n"),
        _ => {}
    }
    for n in 0..functions {
        let (a, b) = (random.below(1000), random.below(1000));
        let says = speaks && n % 4 == 0;
        let _ = match ending {
            "py" => {
                let say =
                    if says { format!("    print('sum of {a}', total)\n") } else { String::new() };
                write!(
                    out,
                    "def part_{n}_{a}(values, scale={b}):\n    \"\"\"Adds what is over {a}.\"\"\"\n    total = 0\n    for index, value in enumerate(values):\n        if value > {a} and index % 3 != {c}:\n            total += value * scale - (index << 2)\n        else:\n            total -= min(value, {b})\n{say}    return {{'total': total, 'parts': [v for v in values if v != {a}]}}\n\n\n",
                    c = a % 3
                )
            }
            "js" | "ts" => {
                let say = if says {
                    format!("  console.log('sum of {a}', total);\n")
                } else {
                    String::new()
                };
                let typed = if ending == "ts" { ": number[]" } else { "" };
                write!(
                    out,
                    "export function part{n}x{a}(values{typed}, scale = {b}) {{\n  let total = 0;\n  for (const [index, value] of values.entries()) {{\n    if (value > {a} && index % 3 !== 1) {{\n      total += value * scale - (index << 2);\n    }} else {{\n      total -= Math.min(value, {b});\n    }}\n  }}\n{say}  return {{ total, parts: values.filter((v) => v !== {a}) }};\n}}\n\n"
                )
            }
            "go" => write!(
                out,
                "// part{n} adds what is over {a}.\nfunc part{n}x{a}(values []int) int {{\n\ttotal := 0\n\tfor index, value := range values {{\n\t\tif value > {a} {{\n\t\t\ttotal += value*{b} - index<<2\n\t\t}}\n\t}}\n\treturn total\n}}\n\n"
            ),
            "rs" => {
                let say = if says { "    println!(\"{total}\");\n" } else { "" };
                write!(
                    out,
                    "pub fn part{n}x{a}(values: &[i64]) -> i64 {{\n    let mut total = 0;\n    for (index, value) in values.iter().enumerate() {{\n        if *value > {a} {{\n            total += value * {b} - index as i64;\n        }}\n    }}\n{say}    total\n}}\n\n"
                )
            }
            "java" => write!(
                out,
                "    static long part{n}x{a}(long[] values) {{\n        long total = 0;\n        for (long value : values) {{\n            if (value > {a}) {{\n                total += value * {b};\n            }}\n        }}\n        return total;\n    }}\n\n"
            ),
            _ => writeln!(out, "- {{ name: part{n}, low: {a}, high: {b}, kinds: [one, two] }}"),
        };
    }
    if ending == "java" {
        out.push_str("}\n");
    }
    out
}
