//! Python's logging: logging, structlog, loguru, logfire, print.

use crate::fact::{Exposed, LogFormat, LogSetup, LogStyle, Tracing, TracingRole};
use crate::lang::classify::Classify;
use crate::lang::ir::{Arg, Call, Expr};
use crate::lang::shared::{mentions, with_args};
use crate::{FactKind, Level};

const LEVELS: &[&str] = &[
    "debug",
    "info",
    "warning",
    "warn",
    "error",
    "exception",
    "critical",
    "fatal",
    "log",
    "trace",
    "success",
    "msg",
];

pub(super) fn log_call(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    if full == "print"
        || full == "pprint.pprint"
        || matches!(full, "sys.stdout.write" | "sys.stdout.buffer.write")
    {
        let elsewhere =
            call.named("file").and_then(Expr::path).is_some_and(|path| !path.starts_with("sys."));
        // A function of the house that is called so as well.
        let is_own = full == "print" && c.function_named("print").is_some();
        if !elsewhere && !is_own {
            let log = c.log_call(call, "print", LogStyle::Print, None);
            // What has no words is data on its way through.
            if full == "sys.stdout.write" && log.message.is_none() {
                return;
            }
            c.push(call.span, call.at, FactKind::Log(log));
        }
        return;
    }
    bound(c, call, full);
    if full == "sys.stderr.write" {
        return c.show(call, "print");
    }
    if !LEVELS.contains(&name) || call.object().is_empty() {
        return;
    }
    let made = c.made_on(call).unwrap_or_default();
    let object = call.object().rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let (system, style) = if full.starts_with("logging.") || made.starts_with("logging.") {
        ("logging", LogStyle::Text)
    } else if made.starts_with("structlog") || full.starts_with("structlog") {
        ("structlog", LogStyle::Structured)
    } else if full.starts_with("loguru.") || made.starts_with("loguru") {
        ("loguru", LogStyle::Text)
    } else if full.starts_with("logfire.") {
        ("logfire", LogStyle::Structured)
    } else if call.object().ends_with("app.logger") || made == "celery.utils.log.get_task_logger" {
        ("logging", LogStyle::Text)
    } else if matches!(object.as_str(), "logger" | "log" | "_logger" | "_log" | "logging")
        || object.ends_with("logger")
        || object.ends_with("_log")
    {
        ("logger", LogStyle::Unknown)
    } else {
        return;
    };
    let level = match name {
        "msg" => Some(Level::Info),
        "log" => call
            .positional(0)
            .and_then(Expr::path)
            .and_then(|p| Level::from_name(p.rsplit('.').next()?)),
        _ => Level::from_name(name),
    };
    let mut log = c.log_call(call, system, style, level);
    let is_true = |key: &str| {
        call.named(key).is_some_and(|value| !matches!(value, Expr::Bool(false, _) | Expr::Null(_)))
    };
    log.has_error = name == "exception"
        || is_true("exc_info")
        || call.callee.contains("opt()")
        || mentions(c, call, &["format_exc", "format_exception"]);
    log.fields.retain(|field| {
        !matches!(field.name.as_deref(), Some("exc_info" | "stack_info" | "stacklevel"))
    });
    for field in &mut log.fields {
        if let Some(name) = field.name.as_deref().and_then(|n| n.strip_prefix("extra.")) {
            field.name = Some(name.to_owned());
        }
    }
    c.push(call.span, call.at, FactKind::Log(log));
}

/// Whether a level is set on a logger. What a handler lets through is no more than what its loggers hand it.
fn of_logger(made: &str, full: &str) -> bool {
    let is_handler = made.starts_with("logging.handlers.")
        || made.ends_with("Handler")
        || full.rsplit_once('.').is_some_and(|(object, _)| {
            object.trim_end_matches("()").to_lowercase().ends_with("handler")
        });
    !is_handler && (made.starts_with("logging.") || full.contains("logging."))
}

/// What a logger is bound to stands in every line to come: `log.bind(user=…)`, `bind_contextvars(…)`,
/// `LoggerAdapter(logger, {…})`.
fn bound(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let of_library = full.starts_with("structlog.") || full.starts_with("loguru.");
    let object = call.object().rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let made = c.made_on(call).unwrap_or_default();
    let on_logger = made.starts_with("structlog")
        || made.starts_with("loguru")
        || matches!(object.as_str(), "log" | "logger" | "_log" | "_logger")
        || object.ends_with("logger")
        || object.ends_with("_log");
    let binds = match name {
        "bind_contextvars" | "bound_contextvars" | "bind_threadlocal" => true,
        "bind" | "contextualize" | "new" | "try_bind" => of_library || on_logger,
        _ => false,
    };
    if binds {
        c.show(call, "context");
    } else if name == "LoggerAdapter"
        && let Some(extra) = call.positional(1).or_else(|| call.named("extra"))
    {
        let args = vec![Arg { name: None, value: extra.clone() }];
        c.show(&with_args(call, args), "context");
    }
}

fn level_of(expr: Option<&Expr>) -> Option<Level> {
    match expr? {
        Expr::Path(path, _) | Expr::Str(path, _) => Level::from_name(path.rsplit('.').next()?),
        Expr::Number(number, _) => match number.parse::<u32>().ok()? {
            0..=9 => Some(Level::Trace),
            10..=19 => Some(Level::Debug),
            20..=29 => Some(Level::Info),
            _ => Some(Level::Warning),
        },
        _ => None,
    }
}

/// The level of the root logger in the dictionary of a set-up: of `root`, or of the logger without a name.
pub(super) fn root_level(dictionary: &Expr) -> Option<Level> {
    let root = dictionary
        .key("root")
        .or_else(|| dictionary.key("loggers").and_then(|loggers| loggers.key("")));
    level_of(root?.key("level"))
}

/// Words of formats that a machine reads.
pub(super) const JSON: &[&str] =
    &["json", "Json", "JSON", "logfmt", "Logfmt", "ecs_logging", "stdlib.ProcessorFormatter"];

pub(super) fn log_setup(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let made = c.made_on(call).unwrap_or_default();
    let (system, format, level) = if full == "logging.basicConfig" {
        let told = call.named("handlers").is_some() || call.named("filename").is_some();
        let format = if mentions(c, call, JSON) {
            LogFormat::Structured
        } else if told {
            LogFormat::Unsaid
        } else if call.named("format").is_some_and(|value| is_setting(c, value)) {
            LogFormat::Chosen
        } else {
            LogFormat::Text
        };
        ("logging", format, level_of(call.named("level")))
    } else if name == "JsonFormatter"
        || name == "JSONFormatter"
        || name == "StdlibFormatter"
        || full.starts_with("json_log_formatter.")
    {
        ("logging", LogFormat::Structured, None)
    } else if full == "logging.Formatter" {
        (
            "logging",
            if mentions(c, call, &["{\""]) {
                LogFormat::Structured
            } else if call.args.first().is_some_and(|arg| is_setting(c, &arg.value)) {
                LogFormat::Chosen
            } else {
                LogFormat::Text
            },
            None,
        )
    } else if full == "structlog.configure" {
        let format = if mentions(
            c,
            call,
            &[
                "JSONRenderer",
                "LogfmtRenderer",
                "wrap_for_formatter",
                "renderer",
                "KeyValueRenderer",
            ],
        ) {
            LogFormat::Structured
        } else if mentions(c, call, &["ConsoleRenderer"]) {
            LogFormat::Text
        } else {
            LogFormat::Unsaid
        };
        ("structlog", format, None)
    } else if name == "JSONRenderer" && full.starts_with("structlog") {
        ("structlog", LogFormat::Structured, None)
    } else if name == "dictConfig" {
        let format =
            if mentions(c, call, JSON) { LogFormat::Structured } else { LogFormat::Unsaid };
        ("logging", format, call.positional(0).and_then(root_level))
    } else if full == "loguru.logger.add" || full == "loguru.logger.configure" {
        let format =
            if mentions_named(call, "serialize") { LogFormat::Structured } else { LogFormat::Text };
        ("loguru", format, level_of(call.named("level")))
    } else if name == "setLevel" && of_logger(&made, full) {
        // `logging.getLogger("name").setLevel(…)`, or of what was assigned from that.
        let assigned = || {
            let mut assigns = c.module.assigns.iter();
            match &assigns.find(|assign| assign.target == call.object())?.value {
                Expr::Call(at, _) => Some(*at),
                _ => None,
            }
        };
        let of = call
            .receiver
            .or_else(assigned)
            .map(|at| &c.module.calls[at])
            .and_then(|r| r.positional(0))
            .and_then(Expr::text);
        let level = level_of(call.positional(0));
        if of.is_some_and(|of| of.starts_with("sqlalchemy"))
            && level.is_some_and(|l| l <= Level::Info)
        {
            c.push(call.span, call.at, FactKind::SqlLogged("sqlalchemy.engine".into()));
            return;
        }
        // A logger of one name is not all of them; a library's at debug writes a line for all that is sent.
        ("logging", LogFormat::Unsaid, level.filter(|_| of.is_none_or(is_chatty)))
    } else if full == "logfire.configure" {
        let token = call.named("service_name").and_then(Expr::text).map(str::to_owned);
        if call.named("service_name").is_some() {
            c.push(call.span, call.at, FactKind::ServiceName(token));
        }
        for role in [TracingRole::Provider, TracingRole::Exporter] {
            c.push(call.span, call.at, FactKind::Tracing(Tracing { role, what: "logfire".into() }));
        }
        c.push(call.span, call.at, FactKind::MetricsExposed(Exposed::Pushed("logfire".into())));
        c.push(call.span, call.at, FactKind::Correlation("logfire".into()));
        ("logfire", LogFormat::Structured, None)
    } else if name == "LoggingHandler" && full.contains("opentelemetry")
        || name == "OTLPLogExporter"
    {
        c.push(call.span, call.at, FactKind::Correlation("OpenTelemetry logs".into()));
        ("logging", LogFormat::Structured, None)
    } else {
        return;
    };
    let setup = LogSetup { system: system.into(), format, level, by: full.to_owned() };
    c.push(call.span, call.at, FactKind::LogSetup(setup));
}

/// Whether a value comes from the settings: an attribute of them, or an environment variable without a default here.
fn is_setting(c: &Classify<'_>, value: &Expr) -> bool {
    let of_settings = |path: &str| {
        let first = path.split('.').next().unwrap_or(path).to_ascii_lowercase();
        path.contains('.')
            && (matches!(first.as_str(), "settings" | "config" | "conf" | "cfg" | "options")
                || c.resolve(path).starts_with("os.environ"))
    };
    match value {
        Expr::Path(path, _) => of_settings(path),
        Expr::Call(at, _) => c.module.calls.get(*at).is_some_and(|call| {
            let reads = matches!(c.resolve(&call.callee).as_str(), "os.getenv" | "os.environ.get");
            (reads || of_settings(&call.callee)) && call.args.len() < 2
        }),
        _ => false,
    }
}

/// Whether a logger is that of a library which tells all that it sends at debug.
fn is_chatty(name: &str) -> bool {
    const LIBRARIES: [&str; 10] = [
        "urllib3",
        "requests",
        "http.client",
        "httpx",
        "httpcore",
        "botocore",
        "boto3",
        "aiohttp",
        "kafka",
        "pika",
    ];
    let mut rests = LIBRARIES.iter().filter_map(|library| name.strip_prefix(library));
    rests.any(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether an argument of this name is given, and not switched off.
pub(super) fn mentions_named(call: &Call, name: &str) -> bool {
    call.named(name).is_some_and(|value| !matches!(value, Expr::Bool(false, _) | Expr::Null(_)))
}
