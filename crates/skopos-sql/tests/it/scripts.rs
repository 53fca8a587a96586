//! Runs the scripts of `testdata/*.slt` on stores that hold the data set in memory, in blocks, and in
//! both; with and without push-down.
//!
//! A script is a list of records, separated by empty lines; `#` begins a comment:
//!
//! ```text
//! query            the answer: a line of column names, then a line per row
//! query sorted     the same, rows in the order of their text
//! plan             lines that occur, in this order, in the plan with push-down
//! error            the message, and the hint if there is one
//! SELECT …
//! ----
//! expected lines
//! ```
//!
//! `SKOPOS_UPDATE_GOLDEN=1` writes what the first store answers into the scripts (but for plans).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use skopos_model::storage::QueryBudget;
use skopos_sql::SqlQuery;

use crate::data::{Bench, PLACES, Place, shop};

struct Record {
    comment: String,
    kind: String,
    sql: String,
    expected: Vec<String>,
}

fn read(text: &str) -> Vec<Record> {
    text.split("\n\n")
        .map(|part| part.trim_matches('\n'))
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (asked, expected) = part.split_once("\n----").unwrap_or((part, ""));
            let mut lines = asked.lines().peekable();
            let mut comment = String::new();
            while let Some(line) = lines.next_if(|line| line.starts_with('#')) {
                let _ = writeln!(comment, "{line}");
            }
            let kind = lines.next().unwrap_or_default().to_owned();
            let sql = lines.collect::<Vec<_>>().join("\n");
            let expected = expected.trim_start_matches('\n').lines().map(str::to_owned).collect();
            Record { comment, kind, sql, expected }
        })
        .collect()
}

fn write(records: &[Record]) -> String {
    let text = |r: &Record| {
        if r.kind.is_empty() {
            return r.comment.clone();
        }
        format!("{}{}\n{}\n----\n{}\n", r.comment, r.kind, r.sql, r.expected.join("\n"))
    };
    records.iter().map(text).collect::<Vec<_>>().join("\n")
}

async fn answer(bench: &Bench, record: &Record, push_down: bool) -> Vec<String> {
    let mut query = SqlQuery::new(&record.sql, QueryBudget::unlimited());
    if !push_down {
        query = query.without_push_down();
    }
    match bench.ask(query).await {
        Ok(table) => {
            let mut rows: Vec<String> = table.rows().iter().map(|row| row.join(" | ")).collect();
            if record.kind == "query sorted" {
                rows.sort();
            }
            let rows = rows.iter().flat_map(|row| row.lines()).map(str::trim_end);
            std::iter::once(table.header().join(" | ")).chain(rows.map(str::to_owned)).collect()
        }
        Err(error) => {
            let hint = error.hint().map(|hint| format!("hint: {hint}"));
            std::iter::once(error.to_string()).chain(hint).collect()
        }
    }
}

fn check(path: &Path, record: &Record, got: &[String], on: &str) {
    let where_ = || format!("{}: {}\n{}", path.display(), on, record.sql);
    if record.kind == "plan" {
        let mut lines = got.iter();
        for wanted in &record.expected {
            let found = lines.any(|line| line.contains(wanted.trim()));
            assert!(found, "{}\nno line with {wanted:?} in\n{}", where_(), got.join("\n"));
        }
    } else {
        assert_eq!(got, record.expected, "{}", where_());
    }
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "slt"));
    paths.sort();
    assert!(paths.len() >= 4, "scripts are missing: {paths:?}");
    paths
}

#[tokio::test]
async fn scripts_give_the_answers_they_state() {
    let update = std::env::var_os("SKOPOS_UPDATE_GOLDEN").is_some();
    let mut benches = Vec::new();
    for place in PLACES {
        benches.push((place, Bench::new(shop(), place).await));
    }
    for path in scripts() {
        let mut records = read(&std::fs::read_to_string(&path).unwrap());
        for record in records.iter_mut().filter(|record| !record.kind.is_empty()) {
            for (place, bench) in &benches {
                for push_down in [true, false] {
                    if record.kind == "plan" && !push_down {
                        continue;
                    }
                    let got = answer(bench, record, push_down).await;
                    if update && *place == Place::Head && push_down && record.kind != "plan" {
                        record.expected.clone_from(&got);
                    }
                    check(&path, record, &got, &format!("{place:?}, push-down {push_down}"));
                }
            }
        }
        if update {
            std::fs::write(&path, write(&records)).unwrap();
        }
    }
    for (_, bench) in benches {
        bench.close().await;
    }
}
