//! LOG: structured logging.

use super::prints::is_last_of_a_command;
use super::{first, is_live, is_live_profile, log_files, prints, runs, used};
use crate::fact::{LogCall, LogFormat, LogStyle};
use crate::files::environment::Environment;
use crate::files::{Document, name as file_name};
use crate::repository::Role;
use crate::sensitive::words;
use crate::{Case, Fact, FactKind, File, Guard, Language, Level, Place, Verdicts};

/// Packages that make log lines structured by themselves.
const STRUCTURED: &[&str] = &[
    "structlog",
    "python-json-logger",
    "json-logging",
    "ecs-logging",
    "logfire",
    "pino",
    "nestjs-pino",
    "pino-http",
    "winston",
    "nest-winston",
    "bunyan",
    "tracing",
    "slog",
    "skopos",
    "go.uber.org/zap",
    "github.com/rs/zerolog",
    "log/slog",
    "github.com/sirupsen/logrus",
    "net.logstash.logback:logstash-logback-encoder",
    "co.elastic.logging:*",
    "io.quarkus:quarkus-logging-json",
    "@google-cloud/logging*",
    "google-cloud-logging",
    "aws-lambda-powertools",
    "@aws-lambda-powertools/logger",
    "loglayer",
    "tslog",
    "json-log-formatter",
    "django-structlog",
];

pub(super) fn log001(case: &Case<'_>, out: &mut Verdicts) {
    let is_structured = |kind: &FactKind| match kind {
        FactKind::LogSetup(setup) => setup.format == LogFormat::Structured,
        FactKind::Log(log) => log.style == LogStyle::Structured,
        FactKind::Import(name) => matches!(name.as_str(), "log/slog" | "structlog" | "pino"),
        _ => false,
    };
    let by_settings = runs::environment(case)
        .into_iter()
        .any(|(_, key, value)| is_structured_setting(&key, &value));
    let by_file = log_files(case).any(|(_, f)| f.appenders.iter().any(|a| a.is_structured));
    if case.any(is_structured) || used::is_used(case, STRUCTURED) || by_settings || by_file {
        return;
    }
    if let Some((at, by)) = exported_logs(case) {
        return out.mitigated(
            None,
            at,
            format!("lines on the console are text; the {by} exports them as records"),
        );
    }
    let chosen =
        first(case, |kind| matches!(kind, FactKind::LogSetup(s) if s.format == LogFormat::Chosen));
    if chosen.is_some() {
        return out.unknown(
            "a setting decides what log lines look like",
            "the format that it has in production",
        );
    }
    // A logger that a package brings which this repository does not hold.
    let unknown =
        |kind: &FactKind| matches!(kind, FactKind::Log(log) if log.style == LogStyle::Unknown);
    let foreign = case.documents().find_map(|(file, _, document)| match document {
        Document::Manifest(manifest) => manifest
            .dependencies
            .iter()
            .find(|d| {
                let name = d.name.to_ascii_lowercase();
                let own = name.rsplit(['/', '-', '_']).next().unwrap_or_default().to_owned();
                !d.is_dev
                    && matches!(own.as_str(), "logger" | "logging" | "telemetry" | "observability")
            })
            .map(|d| (file.place(d.span), d.name.clone())),
        _ => None,
    });
    if let Some((_, name)) = foreign.filter(|_| case.any(unknown)) {
        out.unknown(
            format!("log lines go through `{name}`, which is not in this repository"),
            format!("the source of `{name}`, or `ignore = [\"LOG001\"]` with the reason"),
        );
        return;
    }
    let text = first(case, |kind| matches!(kind, FactKind::LogSetup(_) | FactKind::Log(_)));
    let text = text.or_else(|| text_layout(case).map(|(place, _)| place));
    if let Some(idle) = used::idle(case, STRUCTURED) {
        return idle.say("log lines are text", out);
    }
    let judgement = out.absent(match text {
        Some(_) => {
            "log lines are text: no structured logger is set up, and none is among the dependencies"
        }
        None => "nothing is logged through a structured logger, and none is among the dependencies",
    });
    judgement.place = text;
}

/// Where OpenTelemetry's agent for Java takes what is logged and exports it with its fields.
fn exported_logs(case: &Case<'_>) -> Option<(Place, &'static str)> {
    let is_off = runs::environment(case)
        .iter()
        .any(|(_, key, value)| key == "OTEL_LOGS_EXPORTER" && value == "none");
    if is_off {
        return None;
    }
    let by_agent = runs::agent(case).filter(|(_, by)| by.contains("javaagent"));
    by_agent.map(|(at, _)| (at, "agent")).or_else(|| {
        // Logback's and Log4j's appender of OpenTelemetry's.
        case.documents().find_map(|(file, _, document)| {
            let Document::Manifest(manifest) = document else { return None };
            let appender = manifest.dependencies.iter().find(|d| {
                !d.is_dev
                    && d.name.starts_with("io.opentelemetry.instrumentation:opentelemetry-lo")
                    && d.name.contains("-appender")
            })?;
            Some((file.place(appender.span), "appender"))
        })
    })
}

/// Whether a setting of a framework makes log lines structured.
fn is_structured_setting(key: &str, value: &str) -> bool {
    let is_on = !matches!(value.trim(), "" | "false" | "off");
    is_on
        && (key.starts_with("logging.structured.format")
            || key.starts_with("LOGGING_STRUCTURED_FORMAT")
            || matches!(
                key,
                "quarkus.log.console.json"
                    | "quarkus.log.console.json.enabled"
                    | "QUARKUS_LOG_CONSOLE_JSON"
            ))
}

/// Where a file of Logback or Log4j makes production write text, and by what.
fn text_layout(case: &Case<'_>) -> Option<(Place, String)> {
    let live = |a: &&crate::files::log_xml::Appender| is_live_profile(a.profile.as_ref());
    if log_files(case).any(|(_, f)| f.appenders.iter().filter(live).any(|a| a.is_structured)) {
        return None;
    }
    log_files(case).find_map(|(file, found)| {
        let appender = found.appenders.iter().filter(live).find(|a| a.pattern.is_some())?;
        let pattern = appender.pattern.as_ref()?;
        Some((file.place(pattern.span), format!("the appender `{}`", appender.name)))
    })
}

pub(super) fn log002(case: &Case<'_>, out: &mut Verdicts) {
    for (file, fact, log) in prints(case) {
        let what = match file.language {
            Some(Language::JavaScript | Language::TypeScript) => "console",
            _ => log.system.as_str(),
        };
        out.finding(
            file.place(fact.span),
            format!("{what} is used as a logger: no level, no fields, no context"),
        );
    }
}

pub(super) fn log003(case: &Case<'_>, out: &mut Verdicts) {
    let setups = || {
        case.facts().filter_map(|(file, fact)| match &fact.kind {
            FactKind::LogSetup(setup) => Some((file, fact, setup)),
            _ => None,
        })
    };
    if setups().any(|(_, _, s)| {
        s.format == LogFormat::Structured && matches!(s.system.as_str(), "logging" | "structlog")
    }) {
        return;
    }
    for (file, fact, setup) in setups() {
        let counts = matches!(fact.scope.guard, Guard::Always | Guard::Production);
        if setup.by == "logging.basicConfig"
            && setup.format == LogFormat::Text
            && counts
            && !runs_once(file)
        {
            out.finding(
                file.place(fact.span),
                "logging.basicConfig() without a JSON formatter: every line is text",
            );
        }
    }
}

/// Whether a file is a program of its own that does something once: it begins, and serves nothing.
pub(super) fn runs_once(file: &File) -> bool {
    let has = |test: &dyn Fn(&FactKind) -> bool| file.facts.iter().any(|fact| test(&fact.kind));
    let stem = file_name(&file.path).split('.').next().unwrap_or_default();
    has(&|kind| matches!(kind, FactKind::EntryPoint(_) | FactKind::CommandLine(_)))
        && !has(&|kind| matches!(kind, FactKind::Server(_) | FactKind::Worker(_)))
        && !matches!(
            stem,
            "main" | "app" | "server" | "worker" | "run" | "index" | "__main__" | "wsgi" | "asgi"
        )
        && !stem.ends_with("Application")
}

pub(super) fn log004(case: &Case<'_>, out: &mut Verdicts) {
    let structured: Vec<&str> = case
        .facts()
        .filter_map(|(_, fact)| match &fact.kind {
            FactKind::LogSetup(s) if s.format == LogFormat::Structured => Some(s.system.as_str()),
            _ => None,
        })
        .collect();
    for (file, fact) in case.facts() {
        let FactKind::LogSetup(setup) = &fact.kind else { continue };
        let elsewhere = setup.by == "logging.basicConfig" || setup.system == "morgan";
        let counts = matches!(fact.scope.guard, Guard::Always | Guard::Production);
        if setup.format == LogFormat::Text
            && counts
            && !elsewhere
            && !structured.contains(&setup.system.as_str())
        {
            out.finding(
                file.place(fact.span),
                format!("{} writes text in production too", setup.by),
            );
        }
    }
    if let Some((place, by)) = text_layout(case) {
        out.finding(place, format!("{by} writes text in production too"));
    }
}

pub(super) fn log005(case: &Case<'_>, out: &mut Verdicts) {
    for (file, fact) in case.facts() {
        let FactKind::Log(log) = &fact.kind else { continue };
        if log.interpolated
            && log.style != LogStyle::Print
            && fact.scope.guard != Guard::Development
        {
            out.finding(
                file.place(fact.span),
                "values are put into the message: it cannot be grouped, and the values cannot be searched",
            );
        }
    }
}

pub(super) fn log006(case: &Case<'_>, out: &mut Verdicts) {
    let bridges = |kind: &FactKind| match kind {
        FactKind::LogSetup(s) => {
            // A subscriber of `tracing` takes in what comes through `log`.
            s.system == "tracing"
                || s.format == LogFormat::Structured
                    && (s.by.contains("structlog") || s.system == "logging")
        }
        FactKind::Type(def) => def.name.contains("InterceptHandler"),
        FactKind::Import(name) => name.contains("LogTracer") || name.contains("tracing_log"),
        FactKind::Function(function) => function.calls.iter().any(|(call, _)| {
            let name = call.rsplit('.').next().unwrap_or(call);
            matches!(
                name,
                "SetDefault" | "RedirectStdLog" | "RedirectStdLogAt" | "NewStdLog" | "LogrToStdLog"
            )
        }),
        _ => false,
    };
    let structured = case.facts().find_map(|(_, fact)| match &fact.kind {
        FactKind::Log(log) if log.style == LogStyle::Structured => Some(log.system.clone()),
        _ => None,
    });
    let Some(structured) = structured else { return out.not_applicable() };
    if case.any(bridges) {
        return;
    }
    let second = case.facts().find_map(|(file, fact)| match &fact.kind {
        FactKind::Log(log) if log.style == LogStyle::Text && log.system != structured => {
            Some((file.place(fact.span), log.system.clone()))
        }
        FactKind::LogSetup(s) if s.system == "morgan" && is_live(fact) => {
            Some((file.place(fact.span), s.system.clone()))
        }
        _ => None,
    });
    if let Some((place, system)) = second {
        out.finding(place, format!("{system} logs beside {structured}: its lines have another form and none of the context"));
    }
}

pub(super) fn log007(case: &Case<'_>, out: &mut Verdicts) {
    let logs = case.any(|kind| {
        matches!(kind, FactKind::Log(log) if log.style != LogStyle::Print)
            || matches!(kind, FactKind::LogSetup(_))
    });
    if !logs && prints(case).next().is_none() {
        return out.not_applicable();
    }
    let binds = case.any(|kind| matches!(kind, FactKind::Correlation(_)))
        || log_files(case).any(|(_, found)| found.correlation.is_some())
        || runs::environment(case).iter().any(|(_, key, value)| {
            (matches!(key.as_str(), "OTEL_PYTHON_LOG_CORRELATION" | "DD_LOGS_INJECTION")
                && !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
                || (key.starts_with("logging.pattern") && value.to_lowercase().contains("traceid"))
        });
    let agents = [
        "skopos",
        "asgi-correlation-id",
        "django-guid",
        "express-request-id",
        // Each request has a logger of its own, with an id in it.
        "pino-http",
        "express-pino-logger",
        "koa-pino-logger",
        "nestjs-pino",
        "logfire",
        "opentelemetry-instrumentation-logging",
        "@opentelemetry/instrumentation-pino",
        "@opentelemetry/instrumentation-winston",
        "@opentelemetry/auto-instrumentations-node",
        "io.micrometer:micrometer-tracing*",
        "org.springframework.cloud:spring-cloud-starter-sleuth",
        // Spring Boot 4's: a bridge of Micrometer's is in it.
        "org.springframework.boot:spring-boot-starter-opentelemetry",
        "org.springframework.boot:spring-boot-starter-zipkin",
    ];
    // Elastic's processors and filters of log records bring the ids along.
    let by_handler = case.any(|kind| {
        matches!(kind, FactKind::Import(name) if name.starts_with("elasticapm.handlers.")
            && ["structlog", "LoggingFilter", "Formatter"].iter().any(|what| name.contains(what)))
    });
    let by_agent = by_handler
        || runs::agent(case).is_some_and(|(_, by)| by.contains("auto-instrumentations-node"));
    // What is printed goes past every logger that an agent knows.
    let is_bound = binds || logs && (by_agent || used::is_used(case, &agents));
    if !is_bound {
        out.absent("no request or trace id is bound to log lines: one request's lines cannot be found together");
    }
}

pub(super) fn log008(case: &Case<'_>, out: &mut Verdicts) {
    for (file, fact) in case.facts() {
        let FactKind::ErrorAnswer(answer) = &fact.kind else { continue };
        // A check that says no by a flag has caught nothing, and is asked every few seconds.
        let function = fact.scope.function.as_deref().unwrap_or_default().to_lowercase();
        let checks = ["health", "ready", "readiness", "liveness", "livez"];
        let is_of_check = |other: &Fact| {
            matches!(&other.kind, FactKind::Route(route)
                if checks.iter().any(|word| route.path.contains(word))
                    && route.calls.iter().any(|(_, at)| *at == fact.span))
        };
        let is_check =
            checks.iter().any(|word| function.contains(word)) || file.facts.iter().any(is_of_check);
        if is_check && !fact.scope.in_catch {
            continue;
        }
        if !answer.recorded {
            out.finding(
                file.place(fact.span),
                format!(
                    "answers {} and says nothing about the error that it caught",
                    answer.status
                ),
            );
        }
    }
}

pub(super) fn log009(case: &Case<'_>, out: &mut Verdicts) {
    for (file, fact) in case.facts() {
        let FactKind::Log(log) = &fact.kind else { continue };
        let is_error = log.level == Some(Level::Error) && log.style != LogStyle::Print;
        if !is_error || !fact.scope.in_catch || log.has_error || log.rethrown {
            continue;
        }
        // What a command says to people has no stack, and should have none.
        if is_last_of_a_command(file, fact) {
            continue;
        }
        let message = match file.language {
            // Errors of Rust are values that a macro prints in many ways.
            Some(Language::Rust) => continue,
            // Errors of Go have no stack: their text in the line is all there is, and it must be there.
            Some(Language::Go) if names_error(log) || is_named_beside(file, fact) => continue,
            _ if is_beside(file, fact) => continue,
            Some(Language::Go) => "an error is logged without itself: nobody can tell what failed",
            _ => "a caught error is logged without itself: no type, no stack",
        };
        out.finding(file.place(fact.span), message);
    }
}

/// Whether anything that is logged is an error, or comes from one.
fn names_error(log: &LogCall) -> bool {
    let is_error = |path: &String| {
        words(path).iter().any(|word| {
            word.starts_with("err") || word == "e" || matches!(word.as_str(), "cause" | "stack")
        })
    };
    log.fields.iter().any(|field| {
        field.name.as_ref().is_some_and(is_error)
            || field.sources.iter().any(|s| is_error(&s.path) || s.origins.iter().any(is_error))
    })
}

/// Whether a line nearby in the same branch names the error: one of two that are written together is enough.
fn is_named_beside(file: &File, fact: &Fact) -> bool {
    const NEAR: u32 = 500;
    file.facts.iter().any(|other| match &other.kind {
        FactKind::Log(log) => {
            other.scope.in_catch
                && other.scope.function == fact.scope.function
                && other.span.start.abs_diff(fact.span.start) < NEAR
                && names_error(log)
        }
        _ => false,
    })
}

/// Whether a line nearby in the same branch holds the error itself.
fn is_beside(file: &File, fact: &Fact) -> bool {
    const NEAR: u32 = 200;
    file.facts.iter().any(|other| match &other.kind {
        FactKind::Log(log) => {
            log.has_error
                && other.scope.in_catch
                && other.span != fact.span
                && other.scope.function == fact.scope.function
                && other.span.start.abs_diff(fact.span.start) < NEAR
        }
        _ => false,
    })
}

/// The level that a command line asks for: `--log-level debug`, `--loglevel=DEBUG`, Celery's `-l debug`.
fn asked_level(line: &str) -> Option<&str> {
    let words: Vec<&str> =
        line.split_whitespace().map(|w| w.trim_matches(['"', '\'', ','])).collect();
    let is_celery = words.iter().any(|word| word.rsplit('/').next() == Some("celery"));
    words.iter().enumerate().find_map(|(at, word)| {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (*word, words.get(at + 1).copied()),
        };
        let plain = flag.trim_start_matches('-').replace(['-', '_', '.'], "").to_lowercase();
        let is_flag = flag.starts_with('-') && plain == "loglevel" || is_celery && flag == "-l";
        value.filter(|_| is_flag)
    })
}

pub(super) fn log010(case: &Case<'_>, out: &mut Verdicts) {
    for (file, fact) in case.facts() {
        let FactKind::LogSetup(setup) = &fact.kind else { continue };
        let stem = file_name(&file.path).split('.').next().unwrap_or_default();
        // `settings/dev.py`, `settings_local.py`.
        let counts = matches!(fact.scope.guard, Guard::Always | Guard::Production)
            && (!stem.contains("settings") && !file.path.contains("settings/")
                || Environment::of_path(&file.path).may_be_production());
        if counts && setup.level.is_some_and(|level| level <= Level::Debug) {
            out.finding(
                file.place(fact.span),
                format!("{} sets the level to debug in production too", setup.by),
            );
        }
    }
    for (file, found) in log_files(case) {
        for (level, profile) in &found.root {
            let is_debug = matches!(level.to_ascii_lowercase().as_str(), "debug" | "trace" | "all");
            if is_debug && is_live_profile(profile.as_ref()) {
                out.finding(
                    file.place(level.span),
                    format!("the root logger's level is {level} in production too"),
                );
            }
        }
    }
    let keys = [
        "LOG_LEVEL",
        "LOGLEVEL",
        "LOGGING_LEVEL",
        "LOGGING_LEVEL_ROOT",
        "RUST_LOG",
        "PINO_LOG_LEVEL",
        "logging.level.root",
        "LOGURU_LEVEL",
        "QUARKUS_LOG_LEVEL",
        "quarkus.log.level",
    ];
    for (place, key, value) in runs::environment(case) {
        let is_debug = |level: &str| {
            matches!(level.trim().to_ascii_lowercase().as_str(), "debug" | "trace" | "all")
        };
        // Directives of Rust: `info,kube=debug`.
        let is_debug = match key.as_str() {
            "RUST_LOG" => {
                value.split(',').any(|part| is_debug(part.rsplit('=').next().unwrap_or(part)))
            }
            _ => is_debug(&value),
        };
        let is_deployed = is_deployed(&place.path);
        if keys.contains(&key.as_str()) && is_debug && is_deployed {
            out.finding(place, format!("{key}={value} in what is deployed"));
        }
    }
    for (place, name, level) in debug_categories(case) {
        out.finding(place, format!("`{name}` logs at {level} in production too"));
    }
    for (place, line) in runs::commands(case) {
        let level = asked_level(&line).and_then(Level::from_name);
        if level.is_some_and(|level| level <= Level::Debug) && is_deployed(&place.path) {
            out.finding(place, "the command that starts the service asks for debug lines");
        }
    }
}

/// Loggers of Spring or Quarkus whose level the settings of production, or of every environment, lower to debug.
fn debug_categories(case: &Case<'_>) -> Vec<(Place, String, String)> {
    let is_debug = |level: &str| {
        matches!(level.trim_matches('"').to_ascii_lowercase().as_str(), "debug" | "trace" | "all")
    };
    let settings = || {
        case.documents().filter_map(|(file, _, document)| match document {
            Document::Settings(settings) if file.role == Role::Production => Some((file, settings)),
            _ => None,
        })
    };
    let category = |key: &str| -> Option<String> {
        let key = key.strip_prefix("%prod.").unwrap_or(key);
        let name = key.strip_prefix("logging.level.").or_else(|| {
            key.strip_prefix("quarkus.log.category.").and_then(|rest| rest.strip_suffix(".level"))
        })?;
        let name = name.trim_matches(['"', '[', ']']);
        let is_of_tests = ["test", "mock", "junit"].iter().any(|word| name.contains(word));
        (name != "root" && !name.is_empty() && !is_of_tests).then(|| name.to_owned())
    };
    // What production says otherwise.
    let is_raised = |name: &str| {
        settings().any(|(_, settings)| {
            let is_live = settings
                .profile
                .as_deref()
                .is_some_and(|profile| Environment::from_name(profile) == Environment::Production);
            settings.values.iter().any(|(key, value)| {
                (is_live || key.value.starts_with("%prod."))
                    && category(&key.value).is_some_and(|own| own == name)
                    && !is_debug(&value.value)
            })
        })
    };
    let mut found = Vec::new();
    for (file, settings) in settings() {
        if !is_live_profile(settings.profile.as_ref()) || !is_deployed(&file.path) {
            continue;
        }
        for (key, value) in settings.values.iter().filter(|(_, value)| is_debug(&value.value)) {
            if let Some(name) = category(&key.value).filter(|name| !is_raised(name)) {
                found.push((file.place(value.span), name, value.value.to_lowercase()));
            }
        }
    }
    found
}

/// Whether a file may run in production: not one for development, tests, examples, nor a plain `.env` of a laptop.
fn is_deployed(path: &str) -> bool {
    let name = file_name(path);
    Environment::of_path(path).may_be_production()
        && name != ".env"
        && !name.contains("example")
        && !name.contains("sample")
        && !name.contains("local")
}

/// What of a command line is for development only.
fn debug_command(line: &str) -> Option<&'static str> {
    let words: Vec<&str> =
        line.split_whitespace().map(|w| w.trim_matches(['"', '\'', ',', '[', ']'])).collect();
    let has = |word: &str| words.iter().any(|w| w.rsplit('/').next() == Some(word));
    let follows = |first: &str, second: &str| words.windows(2).any(|pair| pair == [first, second]);
    match () {
        () if has("--reload") && (has("uvicorn") || has("gunicorn") || has("hypercorn")) => {
            Some("--reload")
        }
        () if has("flask") && has("--debug") => Some("flask --debug"),
        () if follows("fastapi", "dev") => Some("fastapi dev"),
        () if has("nodemon") => Some("nodemon"),
        () if follows("next", "dev") => Some("next dev"),
        () if follows("run", "dev") && (has("npm") || has("yarn") || has("pnpm")) => {
            Some("npm run dev")
        }
        () => None,
    }
}

pub(super) fn log011(case: &Case<'_>, out: &mut Verdicts) {
    for (place, key, value) in runs::environment(case) {
        let on = match key.as_str() {
            "FLASK_DEBUG" | "DJANGO_DEBUG" => {
                matches!(value.to_ascii_lowercase().as_str(), "1" | "true")
            }
            "FLASK_ENV" | "NODE_ENV" => value == "development",
            _ => false,
        };
        let is_deployed = is_deployed(&place.path);
        if on && is_deployed {
            out.finding(place, format!("{key}={value} in what is deployed"));
        }
    }
    for (place, line) in runs::commands(case) {
        // Compose files are for laptops more often than not.
        let is_elsewhere = file_name(&place.path).contains("compose");
        if let Some(by) = debug_command(&line).filter(|_| is_deployed(&place.path) && !is_elsewhere)
        {
            out.finding(
                place,
                format!("`{by}`: what starts the service is a server for development"),
            );
        }
    }
    let served =
        case.dependency(&["gunicorn", "uvicorn", "waitress", "hypercorn", "uwsgi", "mod-wsgi"]);
    for (file, fact) in case.facts() {
        let FactKind::DebugMode(by) = &fact.kind else { continue };
        let is_other_way = fact.scope.guard == Guard::Main && served.is_some();
        if fact.scope.guard != Guard::Development && !is_other_way {
            out.finding(
                file.place(fact.span),
                format!(
                    "{by}: debug mode in production shows stack traces and settings to anybody"
                ),
            );
        }
    }
}
