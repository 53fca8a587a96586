//! LIF001–LIF003: does the last thing a service says before it ends arrive?

use std::collections::BTreeSet;

use crate::fact::{Guard, TracingRole};
use crate::{Case, Fact, FactKind, File, Language, Place, Role, Verdicts};

/// Whether a provider of telemetry is set up in code: agents flush themselves.
fn provider<'r>(case: &Case<'r>) -> Option<(&'r crate::File, &'r crate::Fact)> {
    case.facts().find(|(_, fact)| {
        matches!(&fact.kind, FactKind::Tracing(tracing)
            if tracing.role == TracingRole::Provider || buffers_itself(&tracing.what))
            && fact.scope.guard != Guard::Development
    })
}

/// Exporters of before OpenTelemetry, which hold spans back without a provider: OpenCensus', Zipkin's, Jaeger's.
fn buffers_itself(what: &str) -> bool {
    let last = what.rsplit('.').next().unwrap_or(what);
    matches!(last, "RegisterExporter" | "NewHTTPCollector" | "NewReporter" | "NewKafkaCollector")
}

/// LIF001: what is buffered at exit is lost.
pub(super) fn flush(case: &Case<'_>, verdicts: &mut Verdicts) {
    let Some((file, fact)) = provider(case) else {
        verdicts.not_applicable();
        return;
    };
    if case.any(|kind| matches!(kind, FactKind::Flush(_))) {
        return;
    }
    verdicts.finding(
        file.place(fact.span),
        "telemetry is set up here and never flushed: the last spans before a restart, those that explain it, are lost",
    );
}

/// LIF002: the process is ended past its flush.
pub(super) fn exit(case: &Case<'_>, verdicts: &mut Verdicts) {
    // Exporters of before OpenTelemetry that nothing flushes lose the same however the process ends: LIF001.
    let is_never_flushed = |fact: &Fact| {
        matches!(&fact.kind, FactKind::Tracing(tracing) if buffers_itself(&tracing.what))
            && !case.any(|kind| matches!(kind, FactKind::Flush(_)))
    };
    let Some((setup, provider)) = provider(case).filter(|(_, fact)| !is_never_flushed(fact)) else {
        return past_deferred(case, verdicts);
    };
    for (file, fact) in case.facts() {
        let FactKind::Exit(by) = &fact.kind else { continue };
        let is_before = file.path == setup.path && is_before(file, fact, provider);
        // In another file of a compiled program only `main` is known to run after the set-up.
        let scripts = [Language::JavaScript, Language::TypeScript];
        let is_far = file.path != setup.path
            && !file.language.is_some_and(|language| scripts.contains(&language))
            && fact.scope.function.as_deref() != Some("main");
        if is_far {
            continue;
        }
        let flushes_first = case.facts().any(|(other, near)| {
            matches!(&near.kind, FactKind::Flush(by) if !by.starts_with("defer "))
                && other.path == file.path
                && near.scope.function == fact.scope.function
                && near.span.start < fact.span.start
                && !by.to_lowercase().contains("fatal")
        });
        if is_before
            || flushes_first
            || is_flushed_within(case, file, fact)
            || file.path != setup.path && is_before_start(case, file, fact, provider)
            || fact.scope.guard == Guard::Development
        {
            continue;
        }
        verdicts.finding(
            file.place(fact.span),
            format!("`{by}` ends the process at once: deferred flushes do not run, and the error that led here is lost"),
        );
    }
}

/// What flushes is deferred, and what set telemetry up lies in a package that is not here: an exit below it in the same
/// function skips it.
fn past_deferred(case: &Case<'_>, verdicts: &mut Verdicts) {
    // Loggers that write at once lose nothing.
    let is_deferred = |fact: &Fact| matches!(&fact.kind, FactKind::Flush(by) if by.starts_with("defer ") && !by.ends_with("Sync"));
    if !case.facts().any(|(_, fact)| is_deferred(fact)) {
        verdicts.not_applicable();
        return;
    }
    for (file, fact) in case.facts() {
        let FactKind::Exit(by) = &fact.kind else { continue };
        let is_past = file.facts.iter().any(|other| {
            is_deferred(other)
                && deferred_by(file, other) == fact.scope.function.as_deref()
                && other.span.start < fact.span.start
        });
        if is_past && fact.scope.guard != Guard::Development {
            verdicts.finding(
                file.place(fact.span),
                format!("`{by}` ends the process at once: what was deferred to flush telemetry does not run"),
            );
        }
    }
}

/// Whether what flushes has returned by then: `main` calls `run`, whose deferred calls flush, and ends the process.
fn is_flushed_within(case: &Case<'_>, file: &File, exit: &Fact) -> bool {
    let Some(here) = exit.scope.function.as_deref() else { return false };
    let flushing: Vec<&str> = case
        .facts()
        .filter(|(_, fact)| matches!(fact.kind, FactKind::Flush(_)))
        .filter_map(|(file, fact)| deferred_by(file, fact))
        .filter(|name| !name.is_empty() && !name.contains('<'))
        .collect();
    if flushing.contains(&here) {
        return false;
    }
    file.facts.iter().any(|fact| match &fact.kind {
        FactKind::Function(function) if function.name == here => {
            function.calls.iter().any(|(call, span)| {
                let last = call.rsplit('.').next().unwrap_or(call);
                span.start < exit.span.start
                    && flushing.iter().any(|name| name.rsplit('.').next() == Some(last))
            })
        }
        _ => false,
    })
}

/// The function at whose end something runs: `defer func() { … }()` runs at the end of what it stands in.
fn deferred_by<'r>(file: &'r File, fact: &'r Fact) -> Option<&'r str> {
    let own = fact.scope.function.as_deref();
    let is_deferred = matches!(&fact.kind, FactKind::Flush(by) if by.starts_with("defer "));
    if !is_deferred || own.is_some_and(|name| !name.contains('<')) {
        return own;
    }
    let around = file.facts.iter().filter_map(|other| match &other.kind {
        FactKind::Function(function)
            if other.span.contains(fact.span) && !function.name.contains('<') =>
        {
            Some((other.span.start, function.name.as_str()))
        }
        _ => None,
    });
    around.max().map(|(_, name)| name)
}

/// Whether `main`, in another file than the set-up of telemetry, ends before it calls what leads there: flags that are
/// wrong, `--version`.
fn is_before_start(case: &Case<'_>, file: &File, fact: &Fact, provider: &Fact) -> bool {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let Some(setup) = provider.scope.function.as_deref() else { return false };
    let functions = || {
        case.facts().filter_map(|(_, fact)| match &fact.kind {
            FactKind::Function(function) => Some(function),
            _ => None,
        })
    };
    let mut leads = BTreeSet::from([last(setup)]);
    for _ in 0..4 {
        let callers: Vec<String> = functions()
            .filter(|function| function.calls.iter().any(|(call, _)| leads.contains(&last(call))))
            .map(|function| last(&function.name))
            .filter(|name| name != "main")
            .collect();
        leads.extend(callers);
    }
    let starts = file.facts.iter().filter_map(|fact| match &fact.kind {
        FactKind::Function(function) if last(&function.name) == "main" => {
            let mut calls = function.calls.iter();
            calls.find(|(call, _)| leads.contains(&last(call))).map(|(_, span)| span.start)
        }
        _ => None,
    });
    starts.min().is_some_and(|start| fact.span.start < start)
}

/// Whether code of a file runs before its telemetry starts: then there is nothing to flush.
fn is_before(file: &File, fact: &Fact, provider: &Fact) -> bool {
    if fact.scope.function == provider.scope.function {
        return fact.span.start < provider.span.start;
    }
    let setup = provider.scope.function.as_deref().unwrap_or_default();
    let functions = file.facts.iter().filter_map(|fact| match &fact.kind {
        FactKind::Function(function) => Some(function),
        _ => None,
    });
    // The function that sets up is called somewhere: what stands above that call runs before it.
    let mut calls = functions
        .filter(|function| Some(&function.name) == fact.scope.function.as_ref())
        .flat_map(|function| &function.calls)
        .filter(|(callee, _)| callee.rsplit('.').next() == Some(setup));
    match calls.next() {
        Some((_, span)) => fact.span.start < span.start,
        None => fact.span.start < provider.span.start,
    }
}

/// Servers that stop on SIGTERM by themselves.
const STOP_BY_THEMSELVES: [&str; 25] = [
    "asgi",
    "wsgi",
    "twisted",
    "fastapi",
    "starlette",
    "flask",
    "django",
    "aiohttp",
    "uvicorn",
    "gunicorn",
    "hypercorn",
    "sanic",
    "tornado",
    "quart",
    "litestar",
    "falcon",
    "spring",
    "spring-boot",
    "quarkus",
    "micronaut",
    "actix",
    "actix-web",
    "rocket",
    "next",
    "helidon",
];

/// Whether anything in Go's code hears signals: by itself, or through a package that runs programs. A `Shutdown` that no
/// signal leads to is never called.
fn is_told_of_signals(case: &Case<'_>) -> bool {
    const RUNNERS: [&str; 12] = [
        "go.uber.org/fx",
        "oklog/run",
        "go-kratos/kratos",
        "go-svc",
        "controller-runtime",
        "k8s.io/apiserver",
        "go-zero",
        "hertz",
        "goravel",
        "dskit",
        "cloudflare/tableflip",
        "fvbock/endless",
    ];
    let hears = |name: &str| {
        let lower = name.to_lowercase();
        lower.contains("signal")
            || lower.contains("interrupt")
            || lower.contains("graceful")
            || lower.contains("terminat")
    };
    case.files().any(|file| {
        file.facts.iter().any(|fact| match &fact.kind {
            FactKind::Import(name) => {
                hears(name) || RUNNERS.iter().any(|runner| name.contains(runner))
            }
            FactKind::Function(function) => function.calls.iter().any(|(call, _)| hears(call)),
            _ => false,
        })
    })
}

/// The first of these places whose file a command of production starts: `python app.py`, and no server around it.
fn run_by_python<'r>(
    case: &Case<'r>,
    mut places: impl Iterator<Item = (&'r File, &'r Fact)>,
) -> Option<(&'r File, &'r Fact)> {
    let lines = super::runs::commands(case);
    let servers = ["gunicorn", "uwsgi", "waitress", "hypercorn", "uvicorn", "gevent", "flask run"];
    if lines.iter().any(|(_, line)| servers.iter().any(|server| line.contains(server))) {
        return None;
    }
    places.find(|(file, _)| {
        let own = crate::files::name(&file.path);
        lines.iter().any(|(_, line)| {
            let words: Vec<&str> = line.split([' ', '"', '\'']).collect();
            let python =
                words.iter().position(|word| crate::files::name(word).starts_with("python"));
            python.is_some_and(|at| words[at..].iter().any(|word| crate::files::name(word) == own))
        })
    })
}

/// What starts Flask's own server: `flask run`.
fn by_flask(case: &Case<'_>) -> Option<Place> {
    let is_it = |line: &str| {
        let is_between = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '[' | ']');
        let words: Vec<&str> = line.split(is_between).filter(|word| !word.is_empty()).collect();
        words.windows(2).any(|pair| crate::files::name(pair[0]) == "flask" && pair[1] == "run")
    };
    super::runs::commands(case).into_iter().find_map(|(place, line)| is_it(&line).then_some(place))
}

/// LIF003: a server that SIGTERM cuts off in the middle of requests.
pub(super) fn sigterm(case: &Case<'_>, verdicts: &mut Verdicts) {
    let servers = || {
        case.facts().filter_map(|(file, fact)| match &fact.kind {
            FactKind::Server(framework) => Some((file, fact, framework)),
            _ => None,
        })
    };
    let server = servers().find(|(_, _, f)| f.0 != "tcp").or_else(|| servers().next());
    let Some((file, fact, framework)) = server else {
        verdicts.not_applicable();
        return;
    };
    let name = framework.0.to_lowercase();
    let is_told = is_told_of_signals(case);
    // tokio's `ctrl_c` hears SIGINT alone: an orchestrator sends SIGTERM.
    let in_rust = || {
        case.files().filter(|file| file.language == Some(Language::Rust)).flat_map(|file| {
            file.facts.iter().filter_map(|fact| match &fact.kind {
                FactKind::Graceful(by) => Some(by),
                _ => None,
            })
        })
    };
    let is_ctrl_c = |by: &str| by.ends_with("ctrl_c");
    let only_ctrl_c = in_rust().any(|by| is_ctrl_c(by))
        && !in_rust().any(|by| by.contains("terminate") || by.contains("signal_hook"));
    let stops = |file: &File, by: &str| match file.language {
        Some(Language::Go) => by.contains("otify") || is_told,
        Some(Language::Rust) => !only_ctrl_c,
        _ => true,
    };
    let handles = case.files().any(|file| {
        // What starts the server may stand in a script beside it.
        matches!(file.role, Role::Production | Role::Script)
            && file
                .facts
                .iter()
                .any(|fact| matches!(&fact.kind, FactKind::Graceful(by) if stops(file, by)))
    });
    if handles {
        return;
    }
    if name == "flask" {
        if let Some(place) = by_flask(case) {
            verdicts.finding(
                place,
                "`flask run` is a server for development: on SIGTERM it cuts requests and telemetry off",
            );
            return;
        }
        let run = servers().filter(|(_, _, framework)| framework.0 == "werkzeug");
        if let Some((file, fact)) = run_by_python(case, run.map(|(file, fact, _)| (file, fact))) {
            verdicts.finding(
                file.place(fact.span),
                "Flask's own server runs in production and does not handle SIGTERM: a deployment cuts requests and telemetry off",
            );
        }
        return;
    }
    if STOP_BY_THEMSELVES.contains(&name.as_str()) {
        return;
    }
    verdicts.finding(
        file.place(fact.span),
        format!("this server ({}) does not handle SIGTERM: a deployment cuts requests and telemetry off", framework.0),
    );
}
