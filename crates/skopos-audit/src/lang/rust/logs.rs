//! Rust's logging: tracing, log, slog, and what prints.

use crate::fact::{LogFormat, LogSetup, LogStyle};
use crate::lang::classify::Classify;
use crate::lang::ir::{Arg, Call, Expr};
use crate::lang::shared::{chain, with_args};
use crate::{FactKind, Level};

use super::lower::format_of;

pub(super) fn log(c: &mut Classify<'_>, call: &Call, full: &str) {
    setup(c, call, full);
    let Some(name) = full.strip_suffix('!') else { return };
    let last = name.rsplit('.').next().unwrap_or(name);
    spans(c, call, last);
    if last == "o" && call.args.iter().any(|arg| arg.name.is_some()) {
        return c.show(call, "slog");
    }
    if matches!(
        name,
        "println"
            | "eprintln"
            | "print"
            | "eprint"
            | "dbg"
            | "std.println"
            | "std.eprintln"
            | "std.dbg"
    ) {
        let rewritten = message_first(call);
        let mut log = c.log_call(&rewritten, "print", LogStyle::Print, None);
        log.interpolated |= log.message.as_deref().is_some_and(|text| text.contains("{}"));
        c.push(call.span, call.at, FactKind::Log(log));
        return;
    }
    let found = match last {
        "event" => level_argument(call),
        "crit" => Some(Level::Error),
        _ => Level::from_name(last)
            .filter(|_| matches!(last, "trace" | "debug" | "info" | "warn" | "error")),
    };
    if found.is_none() && last != "event" {
        return;
    }
    let imports = |name: &str| {
        c.module
            .imports
            .iter()
            .any(|import| import.module == name || import.module.starts_with(&format!("{name}.")))
    };
    let (system, style) = match () {
        () if name.starts_with("tracing.") || (name == last && imports("tracing")) => {
            ("tracing", LogStyle::Structured)
        }
        () if name.starts_with("slog.") || (name == last && imports("slog")) => {
            ("slog", LogStyle::Structured)
        }
        () if name.starts_with("log.") || (name == last && imports("log")) => {
            ("log", LogStyle::Text)
        }
        () if name == last => ("logger", LogStyle::Unknown),
        () => return,
    };
    let rewritten = message_first(call);
    let mut log = c.log_call(&rewritten, system, style, found);
    log.interpolated |= log.message.as_deref().is_some_and(|text| text.contains("{}"));
    log.has_error = rewritten.args.iter().any(|arg| {
        let is_error = |text: &str| {
            matches!(text, "e" | "err" | "error" | "source") || text.ends_with(".error")
        };
        arg.name.as_deref().is_some_and(is_error) || arg.value.path().is_some_and(is_error)
    });
    c.push(call.span, call.at, FactKind::Log(log));
}

/// `info_span!("login", user = %user)`: fields of a span stand in every line in it.
fn spans(c: &mut Classify<'_>, call: &Call, last: &str) {
    let is_span = matches!(
        last,
        "span" | "trace_span" | "debug_span" | "info_span" | "warn_span" | "error_span"
    );
    if !is_span {
        return;
    }
    for arg in &call.args {
        let is_setting = matches!(arg.name.as_deref(), Some("target" | "parent"));
        let path = arg.value.path();
        if is_setting || path.is_some_and(|path| path.contains("Level.")) {
            continue;
        }
        let name = arg.name.as_deref().or(path);
        // Bound to the span of a request, it stands in every line in it.
        let key = name
            .unwrap_or_default()
            .trim_matches('"')
            .to_ascii_lowercase()
            .replace(['.', '-'], "_");
        let ends = ["request_id", "trace_id", "correlation_id", "req_id", "requestid", "traceid"];
        if ends.iter().any(|end| key.ends_with(end)) {
            c.push(call.span, call.at, FactKind::Correlation(key));
        }
        for field in c.module.fields(name, &arg.value, call.at.function) {
            if !field.sources.is_empty() {
                c.push(field.span, call.at, FactKind::SpanAttribute(field));
            }
        }
    }
}

fn level_argument(call: &Call) -> Option<Level> {
    let path = call.args.first()?.value.path()?;
    Level::from_name(path.rsplit('.').next()?)
}

/// The literal with `{}` first, then what is put into it and the fields; targets and loggers left out.
fn message_first(call: &Call) -> Call {
    let mut args: Vec<Arg> = Vec::new();
    let found = format_of(&call.args);
    if let Some((text, values, at)) = &found {
        let span = call.args[*at].value.span();
        args.push(Arg {
            name: None,
            value: Expr::Interpolated(text.clone(), values.clone(), span),
        });
    }
    let message = found.as_ref().map(|(.., at)| *at);
    for (index, arg) in call.args.iter().enumerate() {
        let is_setting = matches!(arg.name.as_deref(), Some("target" | "parent" | "logger"));
        let is_level = arg.value.path().is_some_and(|path| path.contains("Level."));
        if Some(index) == message || is_setting || is_level {
            continue;
        }
        // A bare field before the message is its own name.
        let name = arg.name.clone().or_else(|| {
            let path = arg.value.path()?;
            message.filter(|at| index < *at).map(|_| path.to_owned())
        });
        args.push(Arg { name, value: arg.value.clone() });
    }
    if message.is_none() {
        args.insert(0, Arg { name: None, value: Expr::Str(String::new(), call.span) });
    }
    with_args(call, args)
}

fn setup(c: &mut Classify<'_>, call: &Call, full: &str) {
    let links = chain(c, call);
    let has = |name: &str| links.iter().any(|link| link.name() == name);
    let is_started = matches!(call.name(), "init" | "try_init" | "build");
    let begins = links.last().map(|link| c.resolve(&link.callee)).unwrap_or_default();
    let (system, format) = match full {
        "env_logger.init"
        | "env_logger.try_init"
        | "simple_logger.init"
        | "pretty_env_logger.init" => ("log", LogFormat::Text),
        "tracing_subscriber.fmt.init" | "tracing_subscriber.fmt.try_init" => {
            ("tracing", LogFormat::Text)
        }
        "skopos.init" => ("tracing", LogFormat::Structured),
        _ if begins == "skopos.Telemetry.builder" && call.name() == "install" => {
            ("tracing", LogFormat::Structured)
        }
        _ if full.contains("slog_json.Json") => ("slog", LogFormat::Structured),
        _ if full.contains("slog_term.") => ("slog", LogFormat::Text),
        // `fmt()…init()` and `fmt::layer()…`: the end of the chain knows whether it was JSON on the way.
        _ if begins.starts_with("tracing_subscriber.fmt") && is_end(c, call) => {
            let is_json = has("json") || begins.contains("json");
            let format = match is_json {
                true => LogFormat::Structured,
                false if is_made_json(c, call) => LogFormat::Unsaid,
                false => LogFormat::Text,
            };
            ("tracing", format)
        }
        _ if begins.starts_with("env_logger.Builder.") && is_end(c, call) && is_started => {
            ("log", LogFormat::Text)
        }
        "log.set_max_level" => ("log", LogFormat::Unsaid),
        _ if full.starts_with("tracing_bunyan_formatter.BunyanFormattingLayer")
            || full.starts_with("tracing_stackdriver") =>
        {
            ("tracing", LogFormat::Structured)
        }
        _ => return,
    };
    let levels = ["with_max_level", "filter_level", "set_max_level"];
    let level = links.iter().find(|link| levels.contains(&link.name())).and_then(|link| {
        let path = link.args.first()?.value.path()?;
        Level::from_name(path.rsplit('.').next()?)
    });
    let setup = LogSetup { system: system.to_owned(), format, level, by: call.callee.clone() };
    c.push(call.span, call.at, FactKind::LogSetup(setup));
}

/// Whether what a layer is kept as is made JSON further on: `let layer = fmt::layer(); … Format::Json => layer.json()`.
fn is_made_json(c: &Classify<'_>, call: &Call) -> bool {
    let kept =
        c.module.assigns.iter().find(|assign| {
            assign.at.function == call.at.function && assign.value.span() == call.span
        });
    kept.is_some_and(|kept| {
        c.module.calls.iter().any(|other| {
            other.at.function == call.at.function
                && other.name() == "json"
                && other.object() == kept.target
        })
    })
}

/// Whether no other call is made on this one.
fn is_end(c: &Classify<'_>, call: &Call) -> bool {
    !c.module.calls.iter().any(|other| {
        other.receiver.and_then(|at| c.module.calls.get(at)).is_some_and(|on| on.span == call.span)
    })
}
