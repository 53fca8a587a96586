//! Go's logging: log, fmt, slog, zap, zerolog, logrus.

use crate::fact::{LogFormat, LogSetup, LogStyle};
use crate::lang::classify::Classify;
use crate::lang::ir::{Arg, Call, Expr};
use crate::lang::shared::{chain, level, mentions, root, with_args};
use crate::{FactKind, Level};

const ZEROLOG: &str = "github.com/rs/zerolog";
const LOGRUS: &str = "github.com/sirupsen/logrus";
const ZAP: &str = "go.uber.org/zap";
/// Other loggers of Go: the beginning of their package, what they are called, and whether they take keys and values.
const OTHERS: [(&str, &str, LogStyle); 13] = [
    // What the standard library's slog was before it was one.
    ("golang.org/x/exp/slog", "slog", LogStyle::Structured),
    ("github.com/hashicorp/go-hclog", "hclog", LogStyle::Structured),
    ("github.com/go-logr/logr", "logr", LogStyle::Structured),
    ("github.com/inconshreveable/log15", "log15", LogStyle::Structured),
    ("github.com/apex/log", "apex", LogStyle::Structured),
    ("github.com/phuslu/log", "phuslu", LogStyle::Structured),
    ("github.com/charmbracelet/log", "charm", LogStyle::Structured),
    ("github.com/golang/glog", "glog", LogStyle::Text),
    ("k8s.io/klog", "klog", LogStyle::Text),
    ("github.com/cihub/seelog", "seelog", LogStyle::Text),
    ("github.com/op/go-logging", "go-logging", LogStyle::Text),
    ("github.com/labstack/gommon/log", "gommon", LogStyle::Text),
    ("github.com/google/logger", "logger", LogStyle::Text),
];

/// Which system a call belongs to, by what it is made on.
fn system(c: &Classify<'_>, call: &Call, full: &str) -> Option<(&'static str, LogStyle)> {
    let made = c.made_on(call).unwrap_or_default();
    let begins = c.resolve(&root(c, call).callee);
    let declared = declared(c, call).unwrap_or_default();
    let of = |package: &str| {
        [full, made.as_str(), begins.as_str(), declared.as_str()]
            .iter()
            .any(|path| path.starts_with(package))
    };
    if of("log/slog") {
        Some(("slog", LogStyle::Structured))
    } else if of(ZAP) {
        Some(("zap", LogStyle::Structured))
    } else if of(ZEROLOG) {
        Some(("zerolog", LogStyle::Structured))
    } else if of(LOGRUS) {
        Some(("logrus", LogStyle::Text))
    } else if let Some((_, name, style)) = OTHERS.iter().find(|(package, ..)| of(package)) {
        Some((name, *style))
    } else if made.starts_with("log.")
        || declared == "log.Logger"
        || (full.starts_with("log.") && c.aliases.get("log").is_some_and(|module| module == "log"))
    {
        Some(("log", LogStyle::Text))
    } else {
        let object = root(c, call).object().rsplit('.').next().unwrap_or_default().to_lowercase();
        let is_named = matches!(object.as_str(), "log" | "logger" | "l" | "lg" | "sugar")
            || object.ends_with("logger")
            || object.ends_with("log");
        let imports =
            |package: &str| c.module.imports.iter().any(|i| i.module.starts_with(package));
        let (name, style) = match () {
            () if !is_named => return None,
            () if imports("log/slog") => ("slog", LogStyle::Structured),
            () if imports(ZAP) => ("zap", LogStyle::Structured),
            () if imports(ZEROLOG) => ("zerolog", LogStyle::Structured),
            () if imports(LOGRUS) => ("logrus", LogStyle::Text),
            () => match OTHERS.iter().find(|(package, ..)| imports(package)) {
                Some((_, name, style)) => (*name, *style),
                None if object == "l" => return None,
                None => ("logger", LogStyle::Unknown),
            },
        };
        Some((name, style))
    }
}

/// The full name of the type that a call's logger is declared to be: a parameter's, or that of a field.
fn declared(c: &Classify<'_>, call: &Call) -> Option<String> {
    let first = root(c, call);
    let object = first.object();
    if object.is_empty() || c.aliases.contains_key(object) {
        return None;
    }
    let declared = c.module.declared(object, first.span, first.at.function)?;
    Some(c.resolve(declared.trim_start_matches('*')))
}

/// Whether a call is made on a logger.
pub(super) fn is_logger(c: &Classify<'_>, call: &Call, full: &str) -> bool {
    system(c, call, full).is_some()
}

pub(super) fn log(c: &mut Classify<'_>, call: &Call, full: &str) {
    setup(c, call, full);
    let binds = matches!(call.name(), "With" | "WithField" | "WithFields" | "Str" | "Any");
    let ids = ["requestID", "requestId", "RequestID", "request_id", "reqID", "TraceID", "traceID"];
    if binds && mentions(c, call, &ids) {
        c.push(call.span, call.at, FactKind::Correlation(call.callee.clone()));
    }
    let is_builtin = || c.function_named(full).is_none();
    if matches!(full, "fmt.Println" | "fmt.Printf" | "fmt.Print")
        || matches!(full, "println" | "print") && is_builtin()
    {
        let log = c.log_call(&formatted(call), "print", LogStyle::Print, None);
        c.push(call.span, call.at, FactKind::Log(log));
        return;
    }
    let name = call.name();
    // `fmt.Fprintf(os.Stderr, …)`: collected as all else that the process prints.
    if matches!(full, "fmt.Fprintf" | "fmt.Fprintln" | "fmt.Fprint")
        && call.positional(0).and_then(Expr::path).is_some_and(|to| to.starts_with("os.Std"))
    {
        let args = call.args.iter().skip(1).cloned().collect();
        c.show(&formatted(&with_args(call, args)), "print");
        return;
    }
    // `zap.Error(err)` makes a field, `err.Error()` a text: neither is a log call.
    let makes_field = full.strip_prefix(ZAP).is_some_and(|rest| !rest.contains("()"));
    if makes_field || name == "Error" && call.args.is_empty() {
        return;
    }
    let Some((system, style)) = system(c, call, full) else { return };
    if system == "zerolog" && matches!(name, "Msg" | "Msgf" | "Send" | "MsgFunc") {
        return zerolog(c, call);
    }
    bound(c, call, system);
    let found = match (system, name) {
        ("log", "Print" | "Println" | "Printf") => Some(Level::Info),
        ("zerolog", _) => None,
        _ => level(name),
    };
    // `log.Fatal(err)` of the standard library, `logger.Log(ctx, slog.LevelInfo, …)`.
    let is_log = name == "Log" || name == "LogAttrs";
    if found.is_none() && !is_log || call.object().is_empty() {
        return;
    }
    let mut args = call.args.clone();
    // Contexts and levels before the message are no message.
    while args.len() > 1 && args.first().is_some_and(|arg| is_lead(c, arg)) {
        args.remove(0);
    }
    let is_format = name.ends_with('f');
    let args = if is_format { args } else { named(c, args) };
    let mut all = args;
    for link in chain(c, call).into_iter().skip(1) {
        if matches!(link.name(), "With" | "WithFields" | "WithField" | "WithError") {
            all.extend(match link.name() {
                "WithField" => pair(link),
                _ => named_after(c, link.args.clone()),
            });
        }
    }
    let rewritten = with_args(call, all);
    let rewritten = if is_format { formatted(&rewritten) } else { rewritten };
    let mut log = c.log_call(&rewritten, system, style, found);
    log.has_error =
        has_error(&rewritten) || chain(c, call).iter().any(|link| link.name() == "WithError");
    c.push(call.span, call.at, FactKind::Log(log));
}

/// What a logger is bound to stands in every line to come; what is chained on it is a log call of its own.
fn bound(c: &mut Classify<'_>, call: &Call, system: &str) {
    let is_chained_on = || {
        let on = |other: &Call| other.receiver.and_then(|at| c.module.calls.get(at));
        c.module.calls.iter().any(|other| on(other).is_some_and(|on| on.span == call.span))
    };
    let args = match call.name() {
        "With" | "WithFields" | "WithGroup" if system != "zerolog" && !is_chained_on() => {
            named_after(c, call.args.clone())
        }
        "WithField" if !is_chained_on() => pair(call),
        // `log.With().Str("user", user).Logger()`.
        "Logger" if system == "zerolog" => {
            chain(c, call).iter().skip(1).flat_map(|link| pair(link)).collect()
        }
        _ => return,
    };
    c.show(&with_args(call, args), "context");
}

fn has_error(call: &Call) -> bool {
    call.args.iter().any(|arg| match &arg.value {
        Expr::Path(path, _) => {
            let last = path.rsplit('.').next().unwrap_or(path).to_lowercase();
            last == "err" || last == "error" || last.ends_with("err")
        }
        _ => arg.name.as_deref() == Some("error"),
    })
}

fn is_lead(c: &Classify<'_>, arg: &Arg) -> bool {
    match &arg.value {
        Expr::Path(path, _) => {
            path == "ctx" || path.ends_with(".ctx") || path.contains("slog.Level")
        }
        Expr::Call(at, _) => {
            matches!(c.module.calls[*at].name(), "Context" | "Background" | "TODO")
        }
        _ => false,
    }
}

/// `Printf("user %s", name)`: the message with `{}` for each verb.
fn formatted(call: &Call) -> Call {
    let mut args = call.args.clone();
    let has_more = args.len() > 1;
    if let Some(arg) = args.first_mut()
        && let Expr::Str(text, span) = &arg.value
        && text.contains('%')
        && has_more
    {
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            let verb = rest[at + 1..].find(|c: char| c.is_ascii_alphabetic() || c == '%');
            let Some(verb) = verb else { break };
            out.push_str("{}");
            // `at + 1 + verb` is the verb, which is ASCII.
            rest = &rest[at + verb + 2..];
        }
        out.push_str(rest);
        arg.value = Expr::Interpolated(out, vec![Expr::Null(*span)], *span);
    }
    with_args(call, args)
}

fn pair(link: &Call) -> Vec<Arg> {
    let name = link.positional(0).and_then(Expr::text).map(str::to_owned);
    link.positional(1).map(|value| Arg { name, value: value.clone() }).into_iter().collect()
}

/// A message, then keys and values, or makers of fields (`zap.String("k", v)`).
fn named(c: &Classify<'_>, args: Vec<Arg>) -> Vec<Arg> {
    let mut args = args.into_iter();
    let mut out: Vec<Arg> = args.next().into_iter().collect();
    out.extend(named_after(c, args.collect()));
    out
}

fn named_after(c: &Classify<'_>, args: Vec<Arg>) -> Vec<Arg> {
    let mut out = Vec::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match &arg.value {
            Expr::Str(key, _) => match args.next() {
                Some(value) => out.push(Arg { name: Some(key.clone()), value: value.value }),
                None => out.push(arg),
            },
            Expr::Call(at, _) => {
                let call = &c.module.calls[*at];
                let key = call.positional(0).and_then(Expr::text);
                let is_maker = c.resolve(&call.callee).starts_with(ZAP)
                    || call.callee.starts_with("slog.")
                    || call.callee.starts_with("zap.");
                match (key, call.positional(1)) {
                    (Some(key), Some(value)) if is_maker => {
                        out.push(Arg { name: Some(key.to_owned()), value: value.clone() });
                    }
                    _ if is_maker && call.name() == "Error" => {
                        let value = call.positional(0).cloned().unwrap_or(arg.value.clone());
                        out.push(Arg { name: Some("error".into()), value });
                    }
                    // `logrus.Fields{…}` is taken apart by its keys.
                    _ => match call.args.first().map(|inner| &inner.value) {
                        Some(dict @ Expr::Dict(..)) => {
                            out.push(Arg { name: None, value: dict.clone() })
                        }
                        _ => out.push(arg),
                    },
                }
            }
            _ => out.push(arg),
        }
    }
    out
}

/// `log.Info().Str("user", name).Msg("signed in")`.
fn zerolog(c: &mut Classify<'_>, call: &Call) {
    let links = chain(c, call);
    let found = links.iter().rev().find_map(|link| level(link.name()));
    let mut args: Vec<Arg> = call.args.clone();
    if args.is_empty() {
        args.push(Arg { name: None, value: Expr::Str(String::new(), call.span) });
    }
    let mut has_error = false;
    for link in links.iter().skip(1) {
        match link.name() {
            "Err" | "Stack" => has_error = true,
            "Dict" | "Logger" | "With" => {}
            _ => args.extend(pair(link)),
        }
    }
    if links.iter().any(|link| link.name() == "Fatal") {
        c.push(call.span, call.at, FactKind::Exit("Fatal()".into()));
    }
    let rewritten = with_args(call, args);
    let rewritten = if call.name() == "Msgf" { formatted(&rewritten) } else { rewritten };
    let mut log = c.log_call(&rewritten, "zerolog", LogStyle::Structured, found);
    log.has_error = has_error;
    c.push(call.span, call.at, FactKind::Log(log));
}

fn setup(c: &mut Classify<'_>, call: &Call, full: &str) {
    let (system, format) = match full {
        "log/slog.NewJSONHandler" => ("slog", LogFormat::Structured),
        "log/slog.NewTextHandler" => ("slog", LogFormat::Text),
        "github.com/hashicorp/go-hclog.LoggerOptions" if mentions(c, call, &["JSONFormat"]) => {
            ("hclog", LogFormat::Structured)
        }
        "github.com/rs/zerolog.New" => ("zerolog", LogFormat::Structured),
        "github.com/rs/zerolog.ConsoleWriter" => ("zerolog", LogFormat::Text),
        "github.com/sirupsen/logrus.JSONFormatter" => ("logrus", LogFormat::Structured),
        "github.com/go-kit/kit/log.NewLogfmtLogger"
        | "github.com/go-kit/kit/log.NewJSONLogger"
        | "github.com/go-kit/log.NewLogfmtLogger"
        | "github.com/go-kit/log.NewJSONLogger" => ("go-kit", LogFormat::Structured),
        "github.com/sirupsen/logrus.TextFormatter" => ("logrus", LogFormat::Text),
        "github.com/sirupsen/logrus.New" => ("logrus", LogFormat::Unsaid),
        "go.uber.org/zap.NewProduction" | "go.uber.org/zap.NewProductionConfig" => {
            ("zap", LogFormat::Structured)
        }
        "go.uber.org/zap.NewDevelopment"
        | "go.uber.org/zap.NewDevelopmentConfig"
        | "go.uber.org/zap.NewExample" => ("zap", LogFormat::Text),
        "go.uber.org/zap/zapcore.NewJSONEncoder" => ("zap", LogFormat::Structured),
        "go.uber.org/zap/zapcore.NewConsoleEncoder" => ("zap", LogFormat::Text),
        _ if call.name() == "SetLevel"
            && (full.starts_with(LOGRUS) || is_made(c, call, LOGRUS)) =>
        {
            ("logrus", LogFormat::Unsaid)
        }
        _ if full == "github.com/rs/zerolog.SetGlobalLevel" => ("zerolog", LogFormat::Unsaid),
        _ => return,
    };
    let levels =
        [("DebugLevel", Level::Debug), ("LevelDebug", Level::Debug), ("TraceLevel", Level::Trace)];
    let level = levels.iter().find(|(word, _)| mentions(c, call, &[word])).map(|(_, level)| *level);
    let setup = LogSetup { system: system.to_owned(), format, level, by: call.callee.clone() };
    c.push(call.span, call.at, FactKind::LogSetup(setup));
}

/// `log.Level = logrus.DebugLevel`, without a call.
pub(super) fn assigned_levels(c: &mut Classify<'_>) {
    let module = c.module;
    for assign in module.assigns.iter().filter(|a| a.target.ends_with(".Level")) {
        let Expr::Path(path, _) = &assign.value else { continue };
        let full = c.resolve(path);
        let level = match full.strip_prefix(LOGRUS) {
            Some(".DebugLevel") => Level::Debug,
            Some(".TraceLevel") => Level::Trace,
            _ => continue,
        };
        let by = format!("{} = {path}", assign.target);
        let setup = LogSetup {
            system: "logrus".to_owned(),
            format: LogFormat::Unsaid,
            level: Some(level),
            by,
        };
        c.push(assign.span, assign.at, FactKind::LogSetup(setup));
    }
}

fn is_made(c: &Classify<'_>, call: &Call, package: &str) -> bool {
    c.made_on(call).is_some_and(|made| made.starts_with(package))
}
