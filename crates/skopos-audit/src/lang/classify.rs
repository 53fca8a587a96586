//! What every classification shares: names through imports and assignments, and facts from bare words.

use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::ir::{Call, Context, Expr, Module};
use crate::fact::{Field, Function, LogCall, LogStyle, Route, Tracing, TracingRole};
use crate::{Fact, FactKind, Level, Scope, Span};

/// What follows a library's name and its dot: `get` of `requests.get`.
pub(crate) fn member_of<'p>(path: &'p str, library: &str) -> Option<&'p str> {
    path.strip_prefix(library)?.strip_prefix('.')
}

/// A module in the making of facts.
pub(crate) struct Classify<'m> {
    pub(crate) module: &'m Module,
    /// Alias → full name.
    pub(crate) aliases: HashMap<&'m str, String>,
    /// Variable → resolved callee of the call it was assigned from.
    pub(crate) made_by: HashMap<&'m str, String>,
    /// Functions that handle requests.
    pub(crate) handlers: Vec<usize>,
    pub(crate) facts: Vec<Fact>,
}

impl<'m> Classify<'m> {
    pub(crate) fn new(module: &'m Module) -> Self {
        let mut aliases = HashMap::new();
        for import in &module.imports {
            let full = match &import.name {
                Some(name) if name == "default" || name == "*" => import.module.clone(),
                Some(name) => format!("{}.{name}", import.module),
                None => import.module.clone(),
            };
            aliases.insert(import.alias.as_str(), full);
        }
        let mut this = Self {
            module,
            aliases,
            made_by: HashMap::new(),
            handlers: Vec::new(),
            facts: Vec::new(),
        };
        for assign in &module.assigns {
            let call = match &assign.value {
                Expr::Call(at, _) => Some(&module.calls[*at]),
                Expr::Choice(_, parts, _) => parts.iter().find_map(|part| match part {
                    Expr::Call(at, _) => Some(&module.calls[*at]),
                    _ => None,
                }),
                _ => None,
            };
            if let Some(call) = call {
                let made = this.resolve_root(module, call);
                this.made_by.entry(assign.target.as_str()).or_insert(made);
            } else if let Expr::Path(path, _) = &assign.value {
                let from = path.split('.').next().unwrap_or(path);
                if this.aliases.contains_key(from) {
                    let full = this.resolve(path);
                    this.made_by.entry(assign.target.as_str()).or_insert(full);
                }
            }
        }
        this
    }

    /// The resolved callee; for chains, of the first call (`structlog.get_logger().bind()` → `structlog.get_logger`).
    fn resolve_root(&self, module: &Module, call: &Call) -> String {
        let mut call = call;
        for _ in 0..8 {
            match call.receiver.and_then(|at| module.calls.get(at)) {
                Some(receiver) => call = receiver,
                None => break,
            }
        }
        // `require("pino")()` is made by what is required.
        match (call.callee.as_str(), call.positional(0).and_then(Expr::text)) {
            ("require", Some(module)) => module.to_owned(),
            _ => self.resolve(&call.callee),
        }
    }

    /// The full name of what a call calls; `require("express")()` calls `express`.
    pub(crate) fn full_name(&self, call: &Call) -> String {
        let Some(rest) = call.callee.trim_start_matches("new ").strip_prefix("require()") else {
            return self.resolve(&call.callee);
        };
        let module = self.resolve_root(self.module, call);
        match rest.trim_start_matches(".()") {
            "" => module,
            rest => format!("{module}.{}", rest.trim_start_matches('.')),
        }
    }

    /// A dotted path with its first part replaced by what it was imported as.
    pub(crate) fn resolve(&self, path: &str) -> String {
        // `import a.b` is used as `a.b.c`.
        let (root, rest) =
            path.split_once('.').map_or((path, None), |(root, rest)| (root, Some(rest)));
        let (new, root) = match root.strip_prefix("new ") {
            Some(root) => ("new ", root),
            None => ("", root),
        };
        match (self.aliases.get(root), rest) {
            // Compiled modules name the default export.
            (Some(full), Some("default")) => format!("{new}{full}"),
            (Some(full), Some(rest)) => {
                format!("{new}{full}.{}", rest.strip_prefix("default.").unwrap_or(rest))
            }
            (Some(full), None) => format!("{new}{full}"),
            (None, _) => path.to_owned(),
        }
    }

    /// By what the thing was made that a call is made on:
    /// `client.get` with `client = httpx.AsyncClient()` → `httpx.AsyncClient`.
    pub(crate) fn made_on(&self, call: &Call) -> Option<String> {
        let object = call.object();
        if object.is_empty() {
            return None;
        }
        if let Some(made) = self.made_by.get(object) {
            return Some(made.clone());
        }
        if let Some(receiver) = call.receiver.and_then(|at| self.module.calls.get(at)) {
            return Some(self.resolve_root(self.module, receiver));
        }
        None
    }

    /// `span.setTag(key, value)`: the value leaves with the span, by that name.
    pub(crate) fn push_attribute(&mut self, call: &Call) {
        let key = call.positional(0).and_then(Expr::text).map(str::to_owned);
        let Some(value) = call.positional(1) else { return };
        for mut field in self.module.fields(None, value, call.at.function) {
            field.name = field.name.or_else(|| key.clone());
            self.push(call.span, call.at, FactKind::SpanAttribute(field));
        }
    }

    pub(crate) fn scope(&self, at: Context) -> Scope {
        let function = at.function.and_then(|index| self.module.functions.get(index));
        let mut in_handler = false;
        let mut index = at.function;
        while let Some(inner) = index {
            in_handler |= self.handlers.contains(&inner);
            index = self.module.functions.get(inner).and_then(|f| f.parent);
        }
        Scope {
            function: function.map(super::ir::Function::qualified),
            in_handler,
            guard: at.guard,
            in_catch: at.catch.is_some(),
            in_loop: at.in_loop,
        }
    }

    pub(crate) fn push(&mut self, span: Span, at: Context, kind: FactKind) {
        let scope = self.scope(at);
        self.facts.push(Fact { span, scope, kind });
    }

    pub(crate) fn push_at_top(&mut self, span: Span, kind: FactKind) {
        self.facts.push(Fact { span, scope: Scope::default(), kind });
    }

    /// Something of tracing that a call does.
    pub(crate) fn push_tracing(&mut self, call: &Call, role: TracingRole, what: &str) {
        let what = what.to_owned();
        self.push(call.span, call.at, FactKind::Tracing(Tracing { role, what }));
    }

    /// Functions with what they call, for rules that follow handlers.
    pub(crate) fn push_functions(&mut self) {
        for (index, function) in self.module.functions.iter().enumerate() {
            let calls = self.calls_within(index);
            if calls.is_empty() {
                continue;
            }
            let kind = FactKind::Function(Function { name: function.qualified(), calls });
            let at = Context { function: function.parent, ..Context::default() };
            self.push(function.span, at, kind);
        }
    }

    /// Adds where `main` of a compiled program returns before it serves anything, as calls of `return`: that ends the
    /// program as `exit` does.
    pub(crate) fn push_ends_of_main(&mut self) {
        let module = self.module;
        let is_main = |f: &super::ir::Function| f.name == "main" && f.class.is_none();
        let Some(main) = module.functions.iter().position(is_main) else { return };
        let serves = |call: &Call| {
            let name = call.name().to_ascii_lowercase();
            let words = ["serve", "listen", "run", "start", "consume", "subscribe"];
            call.at.function == Some(main) && words.iter().any(|word| name.contains(word))
        };
        let served = module.calls.iter().filter(|call| serves(call)).map(|call| call.span.start);
        let until = served.min().unwrap_or(u32::MAX);
        let ends = module.returns.iter().filter_map(|(value, at)| {
            let is_end = at.function == Some(main) && !at.in_loop;
            (is_end && value.span().start < until).then(|| ("return".to_owned(), value.span()))
        });
        let ends: Vec<(String, Span)> = ends.collect();
        let span = module.functions[main].span;
        for fact in self.facts.iter_mut().filter(|fact| fact.span == span) {
            if let FactKind::Function(known) = &mut fact.kind {
                return known.calls.extend(ends);
            }
        }
    }

    /// What a function calls, inner functions included.
    pub(crate) fn calls_within(&self, index: usize) -> Vec<(String, Span)> {
        let inside = |at: Option<usize>| {
            let mut at = at;
            while let Some(inner) = at {
                if inner == index {
                    return true;
                }
                at = self.module.functions.get(inner).and_then(|f| f.parent);
            }
            false
        };
        let calls = self.module.calls.iter().filter(|call| inside(call.at.function));
        calls.take(200).map(|call| (call.callee.clone(), call.span)).collect()
    }

    /// The literal path of a route: as it is written, in a constant of the same file, or in a call that puts a base
    /// before it (`basePath(Healthz)`).
    pub(crate) fn route_path(&self, expr: &'m Expr) -> Option<&'m str> {
        if let Some(text) = expr.route_text() {
            return Some(text);
        }
        let found = match expr {
            Expr::Path(path, _) => {
                let last = path.rsplit('.').next().unwrap_or(path);
                let mut assigns = self.module.assigns.iter();
                let constant = assigns
                    .find(|a| a.at.function.is_none() && a.target.rsplit('.').next() == Some(last));
                constant?.value.route_text()
            }
            Expr::Call(at, _) => {
                let call = self.module.calls.get(*at)?;
                let name = call.name().to_lowercase();
                let puts_before = name.contains("path") || name.contains("join");
                self.route_path(&call.args.last().filter(|_| puts_before)?.value)
            }
            Expr::Join(parts, _) => self.route_path(parts.last()?),
            _ => None,
        };
        found.filter(|path| path.starts_with('/'))
    }

    /// The address that an expression is, with `{}` for what is put into it: as it is written, or where a variable of
    /// this file was given it.
    pub(crate) fn address(&self, expr: &Expr) -> Option<String> {
        let literal = |expr: &Expr| match expr {
            Expr::Str(text, _) | Expr::Interpolated(text, _, _) => Some(text.clone()),
            Expr::Join(parts, _) => {
                Some(parts.iter().map(|part| part.text().unwrap_or("{}")).collect())
            }
            _ => None,
        };
        let found = literal(expr).or_else(|| match expr {
            Expr::Path(path, span) => {
                let before = |a: &&super::ir::Assign| {
                    a.target == *path && (a.at.function.is_none() || a.span.end <= span.start)
                };
                let nearest =
                    self.module.assigns.iter().filter(before).max_by_key(|a| a.span.start)?;
                literal(&nearest.value).or_else(|| self.wrapped_address(&nearest.value))
            }
            other => self.wrapped_address(other),
        });
        found.filter(|text| text.contains("://"))
    }

    /// The names that a call's address may be made of: of its first two arguments, and where they come from.
    pub(crate) fn target(&self, call: &Call) -> String {
        let mut names: Vec<String> = Vec::new();
        for arg in call.args.iter().take(2) {
            for source in self.module.sources(&arg.value, call.at.function).into_iter().take(3) {
                names.push(source.path);
                names.extend(source.origins);
            }
        }
        names.join(" ")
    }

    /// `new URL("https://…")`.
    fn wrapped_address(&self, expr: &Expr) -> Option<String> {
        let Expr::Call(at, _) = expr else { return None };
        let call = self.module.calls.get(*at)?;
        let text = call.positional(0).and_then(Expr::text);
        text.filter(|_| matches!(call.name(), "new URL" | "URL" | "Request")).map(str::to_owned)
    }

    /// The call that made what a call is made on, the nearest before it: `client = httpx.Client(…)` of `client.get(…)`.
    pub(crate) fn maker(&self, call: &Call) -> Option<&'m Call> {
        let object = call.object();
        let makes = self.module.assigns.iter().filter(|a| !object.is_empty() && a.target == object);
        let nearest = makes.max_by_key(|a| {
            let is_before = a.span.end <= call.span.start;
            (a.at.function == call.at.function, is_before, a.span.start)
        })?;
        match &nearest.value {
            Expr::Call(at, _) => self.module.calls.get(*at),
            _ => None,
        }
    }

    /// The innermost function of this name.
    pub(crate) fn function_named(&self, path: &str) -> Option<usize> {
        let name = path.rsplit('.').next().unwrap_or(path);
        self.module.functions.iter().position(|f| f.name == name)
    }

    /// Whether a log call stands in the same catch.
    pub(crate) fn is_recorded(&self, catch: Option<usize>) -> bool {
        let Some(catch) = catch else { return false };
        let span = self.module.catches[catch].span;
        self.module.catches[catch].raises
            || self.module.calls.iter().any(|call| span.contains(call.span) && records(call))
    }

    /// Values that a logger is bound to, or that are written past it.
    pub(crate) fn show(&mut self, call: &Call, system: &str) {
        let log = self.log_call(call, system, LogStyle::Structured, None);
        if !log.fields.is_empty() {
            self.push(call.span, call.at, FactKind::Shown(log));
        }
    }

    /// The parts of a log call that all languages share. `message` is where the message stands among the arguments.
    pub(crate) fn log_call(
        &self,
        call: &Call,
        system: &str,
        style: LogStyle,
        level: Option<Level>,
    ) -> LogCall {
        let function = call.at.function;
        let mut log = LogCall {
            system: system.to_owned(),
            style,
            level,
            message: None,
            interpolated: false,
            fields: Vec::new(),
            has_error: false,
            rethrown: call.at.catch.is_some_and(|at| self.module.catches[at].raises),
        };
        let mut is_first = true;
        for arg in &call.args {
            let fields = self.module.fields(arg.name.as_deref(), &arg.value, function);
            if let (None, true) = (&arg.name, is_first) {
                match &arg.value {
                    Expr::Str(text, _) => {
                        log.message = Some(text.clone());
                        is_first = false;
                        continue;
                    }
                    Expr::Interpolated(text, parts, _) => {
                        log.message = Some(text.clone());
                        log.interpolated = !parts.is_empty();
                        is_first = false;
                    }
                    Expr::Join(parts, _) => {
                        let texts: Vec<&str> =
                            parts.iter().map(|p| p.text().unwrap_or("{}")).collect();
                        log.message = Some(texts.concat());
                        log.interpolated = parts.iter().any(|p| p.text().is_none());
                        is_first = false;
                    }
                    Expr::Call(at, _)
                        if matches!(self.module.calls[*at].name(), "format" | "Sprintf") =>
                    {
                        let inner = &self.module.calls[*at];
                        log.message = inner.positional(0).and_then(Expr::text).map(str::to_owned);
                        log.interpolated = true;
                        is_first = false;
                    }
                    Expr::Dict(..) => {}
                    _ => is_first = false,
                }
            }
            log.fields.extend(
                fields
                    .into_iter()
                    .filter(|field: &Field| !field.sources.is_empty() || field.literal.is_some()),
            );
        }
        log
    }
}

/// Whether a call tells somebody about an error.
pub(crate) fn records(call: &Call) -> bool {
    let name = call.name();
    let object = call.object().to_ascii_lowercase();
    let is_logger = object.contains("log")
        || object == "console"
        || object.ends_with("tracing")
        || matches!(object.rsplit('.').next(), Some("l" | "lg" | "sugar" | "zap" | "slog"));
    let is_level = super::shared::level(name).is_some()
        // What Go's loggers call it, and the ends of their chains.
        || matches!(
            name,
            "Print" | "Println" | "Printf" | "Msg" | "Msgf" | "Send" | "Log" | "LogAttrs" | "Output"
        );
    let lower = name.to_ascii_lowercase();
    // A function of the house that says what it does: `logErr(…)`, `app.reportError(…)`; not `logIn(…)`.
    let after = name.strip_prefix("log").or_else(|| name.strip_prefix("Log"));
    let says_so = after.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_uppercase() || c == '_') && rest != "In" && rest != "Out"
    }) || lower.starts_with("report") && lower.contains("err");
    let to_stream = matches!(call.callee.as_str(), "fmt.Println" | "fmt.Printf" | "println")
        || lower == "fprintf"
        || lower == "fprintln";
    // gin's and echo's contexts keep errors for the middleware that logs them.
    let is_kept = name == "Error" && matches!(object.as_str(), "c" | "ctx" | "context");
    // `s.Warnf(…)`: only loggers are called so; `Errorf` makes errors too.
    let is_formatted =
        matches!(name, "Tracef" | "Debugf" | "Infof" | "Noticef" | "Warnf" | "Warningf" | "Fatalf")
            || name == "Errorf"
                && !matches!(
                    object.as_str(),
                    "fmt" | "errors" | "xerrors" | "status" | "t" | "eris" | "pkgerrors"
                );
    (is_logger && is_level)
        || is_formatted
        || says_so
        || is_kept
        || to_stream
        || matches!(
            name,
            "capture_exception"
                | "captureException"
                | "record_exception"
                | "recordException"
                | "captureError"
                | "error!"
                | "warn!"
                | "next"
                | "reportError"
                | "notice_error"
                | "set_status"
                | "RecordError"
                | "print_exc"
                | "printStackTrace"
                | "notify"
                | "logError"
                | "log_error"
                | "handleError"
        )
}

/// Words that show something wherever they stand in code.
const CORRELATION: &[&str] = &[
    "x-request-id",
    "x-correlation-id",
    "correlation_id",
    "correlationid",
    "correlation-id",
    "oteltraceid",
    "traceparent",
    "bind_contextvars",
    "asynclocalstorage",
    "cls-rtracer",
    "cls-hooked",
    "genreqid",
    "requestidlogger",
    "trace_id",
    "traceid",
    "mdc.put",
    "mdc.",
    "setrequestid",
    "middleware.requestid",
    "propagaterequestid",
    "otelzap",
    "opentelemetrytracingbridge",
    "tracinglogger",
    "requestidlayer",
    "otelslog",
    "otellogrus",
    "spancontextfromcontext",
    "requestid.new",
    "request-id",
    "requestid(",
];
const REDACTION: &[&str] = &[
    "redact",
    "scrub",
    "secretstr",
    "censor",
    "mask_sensitive",
    "masksensitive",
    "secrecy::",
    "maskpattern",
    "mask_secret",
    "sanitize_log",
    "sanitizelog",
    "sensitive_fields",
    "sensitivefields",
    "send_default_pii",
    "drop_secret",
    "filter_secret",
    "remove_secret",
    "strip_secret",
    "hide_secret",
    "drop_sensitive",
    "filter_sensitive",
    "remove_sensitive",
    "mask_pii",
    "mask_keys",
    "***",
];

/// Variables that switch tracing on: languages read them in many ways, most of them no call.
const SWITCHES: &[&str] =
    &["ENABLE_TRACING", "TRACING_ENABLED", "ENABLE_OTEL", "OTEL_ENABLED", "ENABLE_OPENTELEMETRY"];

/// The signal to end.
const SIGNAL: &str = "SIGTERM";

/// Paths that a server may compare by hand.
const PATHS: &[&str] = &["/health", "/healthz", "/livez", "/readyz", "/metrics", "/_health"];

/// Every such word, whatever the case: most files hold none, and are passed over once.
static WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(CORRELATION.iter().chain(REDACTION).chain(SWITCHES).chain(PATHS).chain([&SIGNAL]))
        .expect("a few literals: the tests build them")
});

/// Facts of bare words; lines that are comments do not count.
pub(crate) fn words(text: &str, facts: &mut Vec<Fact>) {
    let (mut correlation, mut redaction) = (0, 0);
    let mut passed = 0;
    for found in WORDS.find_iter(text) {
        // A word lies within one line, and each line is looked at once.
        if found.start() < passed {
            continue;
        }
        let at = text[..found.start()].rfind('\n').map_or(0, |end| end + 1);
        let end = text[found.end()..].find('\n').map_or(text.len(), |end| found.end() + end + 1);
        let line = &text[at..end];
        passed = end;
        let trimmed = line.trim_start();
        let is_comment = ["#", "//", "*", "/*"].iter().any(|sign| trimmed.starts_with(sign))
            && !trimmed.starts_with("#[");
        if is_comment {
            continue;
        }
        let reads = line.contains("env") || line.contains("ENV");
        if reads && let Some(name) = SWITCHES.iter().find(|name| line.contains(**name)) {
            let from = at + line.find(name).unwrap_or_default();
            let span = Span::new(from, from + name.len());
            let kind = FactKind::Environment((*name).to_owned());
            facts.push(Fact { span, scope: Scope::default(), kind });
        }
        let lower = line.to_ascii_lowercase();
        // Signals are taken in too many ways to know each call; sending one is another thing.
        if line.contains(SIGNAL) && !lower.contains("kill(") {
            let from = at + line.find(SIGNAL).unwrap_or_default();
            let span = Span::new(from, from + SIGNAL.len());
            let kind = FactKind::Graceful(SIGNAL.to_owned());
            facts.push(Fact { span, scope: Scope::default(), kind });
        }
        if let Some((from, path)) = by_hand(line, &lower) {
            let span = Span::new(at + from, at + from + path.len());
            let route = Route { method: None, path, handler: None, calls: Vec::new() };
            facts.push(Fact { span, scope: Scope::default(), kind: FactKind::Route(route) });
        }
        let find = |words: &[&str]| {
            words.iter().find_map(|w| Some((lower.find(w)?, w.len(), (*w).to_owned())))
        };
        if correlation < 3
            && let Some((from, len, word)) = find(CORRELATION)
        {
            correlation += 1;
            let span = Span::new(at + from, at + from + len);
            facts.push(Fact { span, scope: Scope::default(), kind: FactKind::Correlation(word) });
        }
        if redaction < 3
            && let Some((from, len, word)) = find(REDACTION)
            && redacts(&lower, from, &word)
        {
            redaction += 1;
            let span = Span::new(at + from, at + from + len);
            facts.push(Fact { span, scope: Scope::default(), kind: FactKind::Redaction(word) });
        }
    }
}

/// A path for health or metrics that a server compares by hand (`if path == "/health"`, `"/metrics" => …`), or keeps in a
/// constant; those that a client asks do not count.
fn by_hand(line: &str, lower: &str) -> Option<(usize, String)> {
    let compares = [
        "==",
        "case ",
        "=>",
        "startswith",
        "starts_with",
        "hasprefix",
        "const ",
        "path =",
        ".equals(",
    ];
    // A list of paths is something else, and so is what asks.
    let asks = [
        "[",
        "fetch",
        "requests.",
        "axios",
        "://",
        "http.get",
        "curl",
        "client",
        "assert",
        "import",
        "require(",
        "publish(",
        "probe",
        "expect(",
    ];
    if !PATHS.iter().any(|path| lower.contains(path))
        || !compares.iter().any(|word| lower.contains(word))
        || asks.iter().any(|word| lower.contains(word))
    {
        return None;
    }
    let is_quote = |c: char| matches!(c, '"' | '\'' | '`');
    let mut start = 0;
    while let Some(open) = line[start..].find(is_quote).map(|at| start + at) {
        let rest = &line[open + 1..];
        let close = rest.find(is_quote)?;
        let text = &rest[..close];
        let is_path = text.len() < 60
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.'));
        let ends = PATHS.iter().any(|path| text.to_ascii_lowercase().ends_with(path));
        if is_path && ends {
            let path = if text.starts_with('/') { text.to_owned() } else { format!("/{text}") };
            return Some((open + 1, path));
        }
        start = open + 1 + close + 1;
    }
    None
}

/// Whether a word of redaction stands for doing it: not in a value that somebody already took out by hand
/// (`password: "[REDACTED]"`), and not where it is switched off.
fn redacts(line: &str, from: usize, word: &str) -> bool {
    if word == "send_default_pii" {
        return line[from..].contains("false");
    }
    if word == "***" {
        // Stars that take the place of a value: `event[key] = "***"`, `return "***"`, `.replace(…, "***")`.
        let before = line[..from].trim_end_matches(['*', '"', '\'', '`', '<', '[', ' ']);
        let is_logged = ["log.", "logger", "print", "console."].iter().any(|w| line.contains(w));
        return !is_logged
            && (before.ends_with("] =")
                || before.ends_with("]=")
                || before.trim_end().ends_with("return")
                || [".replace(", ".sub(", "replaceall(", "replace_all("]
                    .iter()
                    .any(|call| before.contains(call)));
    }
    let before = line[..from].trim_end_matches(['[', '<', '*', '(', '_']);
    let Some(before) = before.strip_suffix(['"', '\'', '`']) else { return true };
    let is_literal = line[from..].starts_with("redacted");
    let is_logged = ["log", "print", "console."].iter().any(|word| before.contains(word));
    let is_value = before.ends_with([':', '=']) || before.ends_with(": ");
    let is_constant = before.trim_start().starts_with("const ") || before.ends_with(" = ");
    !is_literal || !(is_logged || is_value) || is_constant && !is_logged
}

/// Brings facts into order of place.
pub(crate) fn finish(mut facts: Vec<Fact>) -> Vec<Fact> {
    facts.sort_by_key(|fact| (fact.span.start, fact.span.end));
    facts
}
