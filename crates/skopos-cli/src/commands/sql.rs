//! `skopos sql`: SQL from a terminal.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value};
use skopos_model::{Clock as _, SystemClock, Timestamp};

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, columns, dim, print_json, printable, stdout_failed, write_stdout};
use crate::timespec::{parse_duration, parse_time};

/// Query logs, spans and metrics with SQL.
///
/// The tables are logs, spans and metrics; `skopos sql 'DESCRIBE logs'` shows the columns of one.
/// Attributes, resources and labels are JSON: attributes->>'http.route' is text, and
/// (attributes->>'http.response.status_code')::int a number. Only reading is possible.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos sql \"SELECT service, count(*) FROM logs WHERE level = 'ERROR' GROUP BY service\" --since 1h
  skopos sql \"SELECT attributes->>'http.route' AS route, approx_percentile_cont(0.99) WITHIN GROUP (ORDER BY duration_ms) AS p99 FROM spans GROUP BY route ORDER BY p99 DESC\"
  skopos sql \"SELECT l.time, l.body, s.duration_ms FROM logs l JOIN spans s ON l.trace_id = s.trace_id WHERE s.status = 'ERROR' ORDER BY l.time\"
  skopos sql \"SELECT labels->>'job' AS job, max(value) FROM metrics WHERE metric = 'up' GROUP BY job\" --format csv
  skopos sql --file report.sql --format arrow > report.arrow
  skopos sql \"EXPLAIN SELECT body FROM logs WHERE service = 'checkout' ORDER BY time DESC LIMIT 10\"")]
pub(crate) struct SqlArgs {
    /// The query.
    #[arg(required_unless_present = "file")]
    sql: Option<String>,
    /// Read the query from this file; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "sql")]
    file: Option<PathBuf>,
    #[command(flatten)]
    window: SqlWindow,
    /// Look only at log records and spans that satisfy this filter.
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// Most rows; a table has 10000 unless given.
    #[arg(long, value_name = "ROWS")]
    limit: Option<usize>,
    /// Most time, such as 30s; can only shorten the server's limit.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// A window of time; all of time unless given.
#[derive(Clone, Debug, Args)]
pub(crate) struct SqlWindow {
    /// Look only at the last while, such as 15m or 1h30m.
    #[arg(long, value_name = "DURATION", conflicts_with = "from")]
    since: Option<String>,
    /// Look only at what is not before this time: RFC 3339, Unix seconds, or now-1h.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Look only at what is before this time, in the same forms.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

impl SqlWindow {
    /// Start and end, where given.
    pub(crate) fn resolve(&self) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
        let now = SystemClock::new().now();
        let time = |text: &Option<String>| text.as_deref().map(|t| parse_time(t, now)).transpose();
        let to = time(&self.to).context("read --to")?;
        let from = match &self.since {
            None => time(&self.from).context("read --from")?,
            Some(since) => {
                let since = parse_duration(since).context("read --since")?;
                Some(to.unwrap_or(now).saturating_sub(since))
            }
        };
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            bail!("the window starts at {from}, after its end at {to}");
        }
        Ok((from, to))
    }
}

pub(crate) fn run(args: SqlArgs, global: &GlobalArgs) -> Result<Outcome> {
    let sql = match (&args.sql, &args.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(file)) => read_file(file)?,
        (None, None) => bail!("give a query, or --file"),
    };
    if global.format == Format::Arrow && io::stdout().is_terminal() {
        bail!("--format arrow is not for people: send standard output to a file or a program");
    }
    let mut body = Map::new();
    body.insert("query".into(), sql.into());
    let (from, to) = args.window.resolve()?;
    for (name, time) in [("start", from), ("end", to)] {
        if let Some(time) = time {
            body.insert(name.into(), rfc3339(time).into());
        }
    }
    body.extend(args.filter.map(|filter| ("filter".into(), filter.into())));
    body.extend(args.limit.map(|limit| ("limit".into(), limit.into())));
    body.extend(args.timeout.map(|timeout| ("timeout".into(), timeout.into())));
    let client = Client::new(&args.server)?;
    let streamed = match global.format {
        Format::Ndjson => "ndjson",
        Format::Csv => "csv",
        Format::Arrow => "arrow",
        _ => return block_on(whole(&client, body, global)),
    };
    body.insert("format".into(), streamed.into());
    let header_lines = usize::from(global.format == Format::Csv);
    block_on(async {
        let mut response = client.post_stream("/api/v1/sql", &Value::Object(body)).await?;
        let (mut lines, mut line_ends) = (0, LineEnds::default());
        let mut out = io::stdout().lock();
        while let Some(chunk) = response.chunk().await.context("the answer broke off")? {
            lines += chunk.iter().filter(|&&byte| byte == b'\n').count();
            let written = match global.format {
                Format::Csv => out.write_all(&line_ends.of(&chunk)),
                _ => out.write_all(&chunk),
            };
            written.unwrap_or_else(|error| stdout_failed(&error));
        }
        out.flush().unwrap_or_else(|error| stdout_failed(&error));
        let none = global.format != Format::Arrow && lines <= header_lines;
        Ok(if none { Outcome::NothingFound } else { Outcome::Done })
    })
}

/// Makes the line ends of CSV on the wire (RFC 4180: CR LF) those of a terminal and its tools. Quoted
/// cells keep theirs.
#[derive(Default)]
struct LineEnds {
    quoted: bool,
    /// A CR that came last in a chunk.
    held: bool,
}

impl LineEnds {
    fn of(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(chunk.len() + 1);
        for &byte in chunk {
            if std::mem::take(&mut self.held) && byte != b'\n' {
                out.push(b'\r');
            }
            match byte {
                b'\r' if !self.quoted => {
                    self.held = true;
                    continue;
                }
                // A quote inside of a quoted cell stands twice, which turns it off and on again.
                b'"' => self.quoted = !self.quoted,
                _ => {}
            }
            out.push(byte);
        }
        out
    }
}

/// An answer that is printed when it is there as a whole.
async fn whole(client: &Client, body: Map<String, Value>, global: &GlobalArgs) -> Result<Outcome> {
    let answer = client.post("/api/v1/sql", &Value::Object(body)).await?;
    let data = &answer["data"];
    let rows = data["rows"].as_u64().unwrap_or(0);
    if global.format == Format::Json {
        print_json(data, Format::Json);
    } else {
        write_stdout(&table(data));
        let more = match data["truncated"] == true {
            true => ", and there are more: raise --limit",
            false => "",
        };
        let took = data["elapsed_ms"].as_u64().unwrap_or(0);
        let s = if rows == 1 { "" } else { "s" };
        eprintln!("{}", dim(format!("{rows} row{s} in {took} ms{more}")));
    }
    Ok(if rows == 0 { Outcome::NothingFound } else { Outcome::Done })
}

fn table(data: &Value) -> String {
    let all: Vec<&Value> = data["columns"].as_array().into_iter().flatten().collect();
    let is_plan = all.first().is_some_and(|column| column["name"] == "plan_type");
    let mut rows =
        vec![all.iter().map(|c| printable(c["name"].as_str().unwrap_or(""))).collect::<Vec<_>>()];
    for row in 0..data["rows"].as_u64().unwrap_or(0) as usize {
        let cells = all.iter().map(|column| match &column["values"][row] {
            Value::Null => "NULL".to_owned(),
            // A plan is a tree of several lines.
            Value::String(text) if is_plan => text.trim_end().replace('\n', "\n  "),
            Value::String(text) => printable(text),
            other => other.to_string(),
        });
        rows.push(cells.collect());
    }
    if is_plan {
        let parts = rows.iter().skip(1).map(|row| row.join(":\n  "));
        return parts.map(|part| part + "\n").collect();
    }
    columns(&rows)
}

fn read_file(file: &PathBuf) -> Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("read the query from standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("read the query from {}", file.display()))
}

/// A time with all its digits.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time.0)) {
        Ok(time) => time.to_string(),
        Err(_) => time.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn line_ends_of_csv_are_those_of_a_terminal() {
        let wire = b"a,b\r\n\"x\r\ny\",\"q\"\"\r\n\"\r\n1,2\r\n";
        for cut in 0..wire.len() {
            let (first, second) = wire.split_at(cut);
            let mut ends = LineEnds::default();
            let out = [ends.of(first), ends.of(second)].concat();
            assert_eq!(out, b"a,b\n\"x\r\ny\",\"q\"\"\r\n\"\n1,2\n", "cut at {cut}");
        }
    }

    #[test]
    fn tables_show_null_and_plans_as_trees() {
        let data = json!({"rows": 2, "columns": [
            {"name": "service", "values": ["a", "b\u{1b}[31m"]},
            {"name": "n", "values": [1, null]},
        ]});
        assert_eq!(table(&data), "service      n\na            1\nb\\u{1b}[31m  NULL\n");
        let plan = json!({"rows": 1, "columns": [
            {"name": "plan_type", "values": ["physical_plan"]},
            {"name": "plan", "values": ["Filter\n  Scan\n"]},
        ]});
        assert_eq!(table(&plan), "physical_plan:\n  Filter\n    Scan\n");
    }
}
