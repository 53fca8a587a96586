//! `docs/coverage.md`: every demand of the guide has a row, and every row says what proves it or what will.
//!
//! A row is `| G2.07 | demand | where it is met | proved by |`. The last column names tests as `` `crate::path::test` ``;
//! the path in between may be the integration binary (`it`), modules or file names. A test is named only if it exists
//! and is a test; those of the web UI by their titles, `skopos-ui::e2e::walk::keys_alone_lead_as_far`. A row that is not met yet says `issue N` in its last column instead, or both while it is half met.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, SourceFile};

pub(super) const FILE: &str = "docs/coverage.md";

/// One demand of the guide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) id: String,
    pub(super) demand: String,
    place: String,
    proof: String,
    /// How many cells the line has; a row must have four.
    cells: usize,
}

impl Row {
    /// Returns the issues that will fill this row, or the rest of it.
    pub(super) fn waits_for(&self) -> BTreeSet<u32> {
        let mentions = self.proof.split("issue ").skip(1);
        let numbers = mentions.filter_map(|after| {
            let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            after[..end].parse().ok()
        });
        numbers.collect()
    }

    /// Returns the tests that its proof names.
    fn tests(&self) -> Vec<&str> {
        backticked(&self.proof).filter(|word| word.contains("::")).collect()
    }
}

/// Reads the rows: table lines whose first cell is an id (a `G`, digits, a dot).
pub(super) fn rows(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let cells = cells(line);
        let Some(id) = cells.first().filter(|cell| looks_like_id(cell)) else { continue };
        let cell = |n: usize| cells.get(n).cloned().unwrap_or_default();
        let (demand, place, proof) = (cell(1), cell(2), cell(3));
        rows.push(Row {
            line: index + 1,
            id: id.clone(),
            demand,
            place,
            proof,
            cells: cells.len(),
        });
    }
    rows
}

/// Checks form, uniqueness, and that what is named exists.
pub(super) fn check(rows: &[Row], files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if rows.is_empty() {
        findings.push(Finding::error(FILE, 1, "no row", "list the guide's demands, one row each"));
    }
    let mut ids = BTreeSet::new();
    for row in rows {
        let mut wrong = |what: String, remedy: &str| {
            findings.push(Finding::error(FILE, row.line, what, remedy))
        };
        if row.cells != 4 {
            wrong(
                format!("{} has {} cells", row.id, row.cells),
                "a row has four: id, demand, place, proof (write | as \\|)",
            );
            continue;
        }
        if !ids.insert(row.id.clone()) {
            wrong(
                format!("the id {} is used twice", row.id),
                "give the row the next free number of its section",
            );
        }
        if row.demand.is_empty() {
            wrong(format!("{} has no demand", row.id), "quote what the guide asks for");
        }
        if row.place.is_empty() {
            wrong(
                format!("{} does not say where it is met", row.id),
                "name the crate, file or command",
            );
        }
        let tests = row.tests();
        if tests.is_empty() && row.waits_for().is_empty() {
            wrong(
                format!("{} is proved by nothing", row.id),
                "name a test as `crate::path::test`, or what will fill it as `issue N`",
            );
        }
        for test in tests {
            if let Err(why) = find_test(test, files) {
                wrong(format!("{}: {why}", row.id), "name a test that exists");
            }
        }
        for path in backticked(&row.place)
            .chain(backticked(&row.proof))
            .filter(|word| is_project_path(word))
        {
            let exists = files.iter().any(|f| {
                f.path == path || f.path.starts_with(&format!("{}/", path.trim_end_matches('/')))
            });
            // What an issue will bring need not be there yet.
            if !exists && row.waits_for().is_empty() {
                wrong(format!("{}: there is no `{path}`", row.id), "name a file that exists");
            }
        }
    }
    findings
}

/// Says in one line how many rows are proved and how many wait for which issue.
pub(super) fn standing(rows: &[Row]) -> String {
    let mut waiting: BTreeMap<u32, usize> = BTreeMap::new();
    for issue in rows.iter().flat_map(Row::waits_for) {
        *waiting.entry(issue).or_default() += 1;
    }
    let proved = rows.iter().filter(|row| row.waits_for().is_empty()).count();
    let mut line = format!("{} demands, {proved} proved", rows.len());
    for (issue, count) in waiting {
        line.push_str(&format!(", {count} wait for issue {issue}"));
    }
    line
}

/// Looks `crate::path::test` up: a file of that crate whose path and modules fit, with a test function of that name.
fn find_test(name: &str, files: &[SourceFile]) -> Result<(), String> {
    let parts: Vec<&str> = name.split("::").collect();
    let [package, path @ .., function] = parts.as_slice() else {
        return Err(format!("`{name}` is no test name"));
    };
    let folder = match *package {
        "xtask" => "xtask/".to_owned(),
        "skopos-shop" => "examples/shop/".to_owned(),
        other => format!("crates/{other}/"),
    };
    let mut candidates = files
        .iter()
        .filter(|file| file.path.starts_with(&folder) && is_code(&file.path))
        .peekable();
    if candidates.peek().is_none() {
        return Err(format!("there is no crate `{package}`"));
    }
    let mut near = false;
    for file in candidates {
        if !defines_test(&file.text, function) {
            continue;
        }
        near = true;
        let fits = |part: &&str| {
            let in_path = file.path.split(['/', '.']).any(|piece| piece == *part);
            in_path || file.text.contains(&format!("mod {part} "))
        };
        if path.iter().all(fits) {
            return Ok(());
        }
    }
    if near {
        return Err(format!("`{function}` is in `{package}`, but not under `{}`", path.join("::")));
    }
    Err(format!("there is no test `{function}` in `{package}`"))
}

/// Rust, and the web UI's tests.
fn is_code(path: &str) -> bool {
    [".rs", ".test.ts", ".test.mjs"].iter().any(|ending| path.ends_with(ending))
}

/// A title of the web UI's tests as a name: its ASCII words, joined by `_`.
fn name_of_title(line: &str) -> Option<String> {
    let title = line.strip_prefix("it('")?.split_once("',")?.0;
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    Some(words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_"))
}

fn defines_test(text: &str, function: &str) -> bool {
    if text.lines().any(|line| name_of_title(line.trim()).is_some_and(|name| name == function)) {
        return true;
    }
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let start = format!("fn {function}(");
    for (index, line) in lines.iter().enumerate() {
        let Some(at) = line.find(&start) else { continue };
        let is_word_start = at == 0 || line[..at].ends_with(' ');
        if line.starts_with("//") || !is_word_start {
            continue;
        }
        let above = lines[..index].iter().rev();
        let mut attributes =
            above.take_while(|above| above.starts_with("#[") || above.starts_with("//"));
        if attributes.any(|above| above.starts_with("#[") && above.contains("test")) {
            return true;
        }
    }
    false
}

fn looks_like_id(cell: &str) -> bool {
    let Some((section, number)) = cell.strip_prefix('G').and_then(|rest| rest.split_once('.'))
    else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    digits(section) && digits(number)
}

/// Splits a table line; `\|` is a bar inside a cell.
fn cells(line: &str) -> Vec<String> {
    let Some(inner) = line.trim().strip_prefix('|').and_then(|rest| rest.strip_suffix('|')) else {
        return Vec::new();
    };
    let inner = inner.replace("\\|", "\u{0}");
    inner.split('|').map(|cell| cell.replace('\u{0}', "|").trim().to_owned()).collect()
}

fn backticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_project_path(word: &str) -> bool {
    let folders = ["crates/", "docs/", "examples/", "xtask/", "rules/", "packaging/"];
    folders.iter().any(|folder| word.starts_with(folder)) && !word.contains([' ', '*', '{', '<'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> Vec<SourceFile> {
        vec![
            SourceFile::new(
                "crates/skopos-promql/tests/it/guide.rs",
                "/// Doc.\n#[test]\nfn guide_rules() {}\n\nfn helper() {}\n",
            ),
            SourceFile::new(
                "crates/skopos-store/src/wal.rs",
                "mod tests {\n    #[tokio::test]\n    async fn torn_tail() {}\n}\n",
            ),
            SourceFile::new("examples/guide/rules.yml", "groups: []\n"),
            SourceFile::new(
                "crates/skopos-ui/web/e2e/walk.test.mjs",
                "  it('alert → logs, in 2 clicks', async () => {\n",
            ),
        ]
    }

    fn found(table: &str) -> Vec<String> {
        check(&rows(table), &project()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn good_rows_pass() {
        let table = "| id | demand | where | proved by |\n|---|---|---|---|\n\
            | G6.01 | rules run | `examples/guide/rules.yml` | `skopos-promql::it::guide_rules` |\n\
            | G6.02 | a \\| b | PromQL | `skopos-promql::guide_rules`, `skopos-store::wal::tests::torn_tail` |\n\
            | G6.03 | later | `crates/skopos-audit` | issue 8 |\n\
            | G6.04 | seen | the UI | `skopos-ui::e2e::walk::alert_logs_in_2_clicks` |\n";
        assert_eq!(found(table), Vec::<String>::new());
        assert_eq!(rows(table)[1].demand, "a | b");
        assert_eq!(standing(&rows(table)), "4 demands, 3 proved, 1 wait for issue 8");
    }

    #[test]
    fn each_rule_finds_its_bad_row() {
        let cases = [
            ("", "no row"),
            ("| G1.01 | a | b |", "has 3 cells"),
            ("| G1.01 | a | b | c | issue 2 |", "has 5 cells"),
            ("| G1.01 | a | b | issue 2 |\n| G1.01 | a | b | issue 2 |", "used twice"),
            ("| G1.01 |  | b | issue 2 |", "no demand"),
            ("| G1.01 | a |  | issue 2 |", "where it is met"),
            ("| G1.01 | a | b |  |", "proved by nothing"),
            ("| G1.01 | a | b | soon |", "proved by nothing"),
            ("| G1.01 | a | b | `skopos-promql::it::gone` |", "no test `gone`"),
            ("| G1.01 | a | b | `skopos-promql::it::helper` |", "no test `helper`"),
            ("| G1.01 | a | b | `skopos-promql::eval::guide_rules` |", "not under `eval`"),
            ("| G1.01 | a | b | `skopos-ui::e2e::walk::alert` |", "no test `alert`"),
            ("| G1.01 | a | b | `skopos-none::x` |", "no crate `skopos-none`"),
            ("| G1.01 | a | `docs/none.md` | `skopos-promql::guide_rules` |", "no `docs/none.md`"),
        ];
        for (table, part) in cases {
            let findings = found(table);
            assert_eq!(findings.len(), 1, "{table}: {findings:?}");
            assert!(findings[0].contains(part), "{table}: {findings:?}");
        }
    }

    #[test]
    fn a_half_met_row_names_a_test_and_still_waits() {
        let table =
            "| G1.01 | a | b | `skopos-promql::it::guide_rules`; the rest: issue 7, issue 8 |";
        assert!(found(table).is_empty());
        assert_eq!(rows(table)[0].waits_for(), BTreeSet::from([7, 8]));
    }
}
