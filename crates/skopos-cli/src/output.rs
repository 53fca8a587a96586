//! What users see: formats, colours, tables, errors.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people; `table` is another name of it.
    #[value(alias = "table")]
    Text,
    /// One JSON document.
    Json,
    /// One JSON document per line.
    Ndjson,
    /// Comma-separated values with a line of names, where the answer is a table.
    Csv,
    /// An Arrow IPC stream, of `skopos sql`.
    Arrow,
    /// A Parquet file, of `skopos export`.
    Parquet,
    /// Findings as SARIF 2.1.0, of `skopos audit` and `skopos rules check`.
    Sarif,
    /// One line a finding, of `skopos audit`.
    Concise,
    /// Annotations of GitHub, of `skopos audit`.
    Github,
    /// Code quality of GitLab, of `skopos audit`.
    Gitlab,
    /// A summary for a pull request, of `skopos audit`.
    Markdown,
}

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ColorChoice {
    /// When standard output is a terminal and `NO_COLOR` is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

static COLOR: AtomicBool = AtomicBool::new(false);

/// Decides once, for the whole run, whether output is coloured.
pub(crate) fn set_color(choice: ColorChoice) {
    let on = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                && (io::stdout().is_terminal() || std::env::var_os("CLICOLOR_FORCE").is_some())
        }
    };
    COLOR.store(on, Ordering::Relaxed);
}

/// Whether output is coloured.
pub(crate) fn is_colored() -> bool {
    COLOR.load(Ordering::Relaxed)
}

/// Text with a style that vanishes when output is not coloured.
pub(crate) struct Styled<T>(T, &'static str);

/// Marks what went wrong.
pub(crate) fn red<T>(text: T) -> Styled<T> {
    Styled(text, "31")
}

/// Marks warnings.
pub(crate) fn yellow<T>(text: T) -> Styled<T> {
    Styled(text, "33")
}

/// Marks what went well.
pub(crate) fn green<T>(text: T) -> Styled<T> {
    Styled(text, "32")
}

/// Marks what matters less.
pub(crate) fn dim<T>(text: T) -> Styled<T> {
    Styled(text, "2")
}

/// Marks headings.
pub(crate) fn bold<T>(text: T) -> Styled<T> {
    Styled(text, "1")
}

/// Marks what was looked for.
pub(crate) fn reversed<T>(text: T) -> Styled<T> {
    Styled(text, "7")
}

/// Gives a service one colour, the same in every run, out of a colour-blind-safe set.
pub(crate) fn service_color(service: &str) -> Styled<&str> {
    const CODES: [&str; 6] = ["38;5;75", "38;5;214", "38;5;79", "38;5;227", "38;5;140", "38;5;180"];
    let hash = service.bytes().fold(5381_usize, |h, b| h.wrapping_mul(33) ^ usize::from(b));
    Styled(service, CODES[hash % CODES.len()])
}

impl<T: fmt::Display> fmt::Display for Styled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if COLOR.load(Ordering::Relaxed) {
            write!(f, "\x1b[{}m", self.1)?;
            self.0.fmt(f)?;
            f.write_str("\x1b[0m")
        } else {
            self.0.fmt(f)
        }
    }
}

/// Makes stored text safe for a terminal: control characters, escape sequences among them, are
/// shown instead of obeyed.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push('⏎'),
            '\t' => out.push(' '),
            // Line separators and marks that turn the direction of text are no glyphs either.
            c if c.is_control()
                || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// Writes to standard output; a closed pipe ends the program quietly, any other failure (a full disk) with 1.
pub(crate) fn write_stdout(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        stdout_failed(&error);
    }
}

/// Writes to standard output, for a command whose exit code is an answer too: it is kept when the reader has seen enough.
pub(crate) fn write_answer(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context(NOT_WRITTEN))
        }
        _ => Ok(()),
    }
}

const NOT_WRITTEN: &str = "standard output could not be written";

/// Ends the program because standard output takes no more: quietly when its reader has seen enough.
pub(crate) fn stdout_failed(error: &io::Error) -> ! {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    let _ = writeln!(io::stderr(), "error: {NOT_WRITTEN}\n  because {error}");
    std::process::exit(1);
}

/// Prints one JSON document: indented for `json`, on one line for `ndjson`.
pub(crate) fn print_json(value: &serde_json::Value, format: Format) {
    write_stdout(&json_text(value, format));
}

/// One JSON document: indented for `json`, on one line for `ndjson`.
pub(crate) fn json_text(value: &serde_json::Value, format: Format) -> String {
    match format {
        Format::Ndjson => format!("{value}\n"),
        _ => format!("{value:#}\n"),
    }
}

/// Prints an error with its causes: what failed, why, what to do.
pub(crate) fn print_error(error: &anyhow::Error) {
    let mut text = format!("error: {error}\n");
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !last.contains(&cause) {
            let _ = writeln!(text, "  because {cause}");
        }
        last = cause;
    }
    // Nobody is left to be told when this fails.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// One line of comma-separated values, as RFC 4180 has them.
pub(crate) fn csv_row(cells: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut out = String::new();
    for (i, cell) in cells.enumerate() {
        let cell = cell.as_ref();
        if i > 0 {
            out.push(',');
        }
        if cell.contains(['"', ',', '\n', '\r']) {
            let _ = write!(out, "\"{}\"", cell.replace('"', "\"\""));
        } else {
            out.push_str(cell);
        }
    }
    out + "\n"
}

/// A size in binary units with one digit after the point where it says something: `1.2 GiB`.
pub(crate) fn bytes(size: f64) -> String {
    scaled(size, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB"])
}

/// A count or rate for the eye: `0.25`, `999`, `12.4M`.
pub(crate) fn compact(number: f64) -> String {
    if number > 0.0 && number < 10.0 {
        let text = format!("{number:.2}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    scaled(number, 1000.0, &["", "k", "M", "G", "T"])
}

fn scaled(mut number: f64, step: f64, units: &[&str]) -> String {
    let mut units = units.iter();
    let mut unit = units.next().unwrap_or(&"");
    // What would be printed as a whole step belongs to the next unit.
    while number >= step - 0.5
        && let Some(next) = units.next()
    {
        number /= step;
        unit = next;
    }
    let text = if number < 100.0 { format!("{number:.1}") } else { format!("{number:.0}") };
    format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// A span of time in its two largest units: `3 d 4 h`.
pub(crate) fn span_of(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(n, _)| *n > 0).unwrap_or(parts.len() - 1);
    let shown = parts.iter().skip(first).take(2).filter(|(n, _)| *n > 0 || seconds == 0);
    shown.map(|(n, unit)| format!("{n} {unit}")).collect::<Vec<_>>().join(" ")
}

/// Lays rows out in columns, the last one unpadded.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let mut out = String::new();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if i + 1 < row.len() {
                let pad = width(i).saturating_sub(cell.chars().count()) + 2;
                out.extend(std::iter::repeat_n(' ', pad));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_shown_not_obeyed() {
        assert_eq!(printable("a\x1b[31mb\nc\u{7}"), "a\\u{1b}[31mb⏎c\\u{7}");
        assert_eq!(printable("\u{202e}exe"), "\\u{202e}exe");
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(csv_row(["a", "b,c", "d\"e", ""].iter()), "a,\"b,c\",\"d\"\"e\",\n");
    }

    #[test]
    fn figures_for_the_eye() {
        for (size, want) in
            [(0.0, "0 B"), (1023.0, "1023 B"), (1024.0, "1 KiB"), (1_288_490_188.0, "1.2 GiB")]
        {
            assert_eq!(bytes(size), want);
        }
        for (number, want) in [
            (0.0, "0"),
            (0.25, "0.25"),
            (7.0, "7"),
            (12.34, "12.3"),
            (999.4, "999"),
            (999.7, "1k"),
            (12_400_000.0, "12.4M"),
        ] {
            assert_eq!(compact(number), want);
        }
        for (seconds, want) in [
            (0.4, "0 s"),
            (59.0, "59 s"),
            (3_600.0, "1 h"),
            (3_725.0, "1 h 2 min"),
            (93_784.0, "1 d 2 h"),
        ] {
            assert_eq!(span_of(seconds), want);
        }
    }

    #[test]
    fn columns_line_up() {
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        assert_eq!(columns(&[row("a", "1"), row("long", "2")]), "a     1\nlong  2\n");
    }
}
