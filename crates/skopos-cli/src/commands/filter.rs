//! Which events are wanted: a filter, and the options that are short for the usual ones.
//!
//! Options become one filter in the language of the API, read here first: a mistake is shown with
//! its place before any server is asked.

use clap::Args;
use clap::error::ErrorKind;
use skopos_filter::{Filter, parse_field};
use skopos_model::event::Field;

/// Conditions of `logs` and `tail`.
#[derive(Clone, Debug, Args)]
pub(crate) struct FilterArgs {
    /// Conditions, such as `service=payment level>=error "pool timeout"`; all that is given must
    /// hold. One that begins with `-` stands after `--`: `skopos logs -- -level=info`.
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// Only this service.
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// At least this severe: trace, debug, info, warn, error, fatal.
    #[arg(long, visible_alias = "severity", value_name = "LEVEL")]
    pub(crate) level: Option<String>,
    /// Only what contains this text, in any case.
    #[arg(long, value_name = "TEXT")]
    pub(crate) contains: Option<String>,
    /// Only events of this trace.
    #[arg(long, value_name = "ID")]
    pub(crate) trace: Option<String>,
    /// Only events with this attribute; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) attr: Vec<String>,
    /// Leave out what passes this filter; may be repeated.
    #[arg(long, value_name = "FILTER")]
    pub(crate) exclude: Vec<String>,
}

/// A filter out of parts that must all hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions(Vec<String>);

impl FilterArgs {
    /// Everything but the level, which `tail` reads in its own way.
    pub(crate) fn conditions(&self) -> Conditions {
        let mut all = Conditions::default();
        all.add_filter(&self.filter.join(" "));
        all.add_equal("service.name", self.service.as_deref());
        if let Some(text) = &self.contains {
            all.add(quoted(text));
        }
        all.add_equal("trace_id", self.trace.as_deref());
        for pair in &self.attr {
            let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                refuse(&format!("--attr {pair:?} is not of the form KEY=VALUE"));
            };
            let name = match parse_field(key) {
                Field::Attribute(key) => key,
                // What is a field of ours by its name is meant as an attribute here.
                _ => format!("attributes.{key}"),
            };
            all.add(format!("{}={}", quoted(&name), quoted(value)));
        }
        for filter in &self.exclude {
            checked(filter);
            all.add(format!("NOT ({filter})"));
        }
        all
    }
}

impl Conditions {
    /// Adds a condition that is written here.
    pub(crate) fn add(&mut self, condition: String) {
        self.0.push(condition);
    }

    /// Adds what a user wrote.
    pub(crate) fn add_filter(&mut self, text: &str) {
        if !checked(text).is_empty() {
            self.0.push(format!("({text})"));
        }
    }

    /// Adds equality with a value, if there is one.
    pub(crate) fn add_equal(&mut self, field: &str, value: Option<&str>) {
        self.0.extend(value.map(|value| format!("{field}={}", quoted(value))));
    }

    /// The whole filter in its normal form.
    pub(crate) fn filter(&self) -> String {
        checked(&self.0.join(" ")).to_string()
    }
}

/// Text in quotes, in which nothing is special.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Reads a filter; a mistake ends the program as wrong usage.
fn checked(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| {
        let snippet: Vec<String> = error.snippet(text).lines().map(cut).collect();
        refuse(&format!("filter: {error}\n\n  {}", snippet.join("\n  ")))
    })
}

/// The beginning of a line, as much as a terminal can bear.
fn cut(line: &str) -> String {
    const MOST: usize = 160;
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Ends the program: what was asked for makes no sense.
pub(crate) fn refuse(message: &str) -> ! {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{message}\n")).exit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_one_filter() {
        let args = FilterArgs {
            filter: vec!["level>=warn".into(), "or".into(), "a".into()],
            service: Some("my service".into()),
            level: None,
            contains: Some("say \"hi\"".into()),
            trace: None,
            attr: vec!["status=500".into(), "http.route=/a=b".into()],
            exclude: vec!["health or ready".into()],
        };
        assert_eq!(
            args.conditions().filter(),
            "(level>=warn OR a) service.name=\"my service\" \"say \\\"hi\\\"\" \
             attributes.status=500 http.route=/a=b NOT (health OR ready)"
        );
    }
}
