//! SEC: what must not be logged. Arguments are matched, never the words of a message.

use super::{message, shown, used};
use crate::fact::{Field, LogCall, Source, TAKES_OUT};
use crate::files::name as file_name;
use crate::sensitive::{Class, Leak, card_field, class_of, leak, passes, secret_field, words};
use crate::{Case, Fact, FactKind, File, Guard, Language, Level, Place, Verdicts};

/// The leaks of a class, each with its call.
fn leaks<'r>(
    case: &Case<'r>,
    class: Class,
) -> Vec<(&'r File, &'r Fact, &'r LogCall, &'r Field, Leak)> {
    let mut found: Vec<(&File, &Fact, &LogCall, &Field, Leak)> = Vec::new();
    for (file, fact, log) in shown(case) {
        for field in &log.fields {
            if let Some(leak) = leak(field, case).filter(|leak| leak.class == class) {
                // What a logger is bound to is told once, at the binding or at the line that is chained on it.
                let is_told = found.iter().rev().take(4).any(|(other, _, _, told, _)| {
                    other.path == file.path && told.span == field.span
                });
                if !is_told {
                    found.push((file, fact, log, field, leak));
                }
                break;
            }
        }
    }
    found
}

/// A leak is a finding, unless the logger takes out what stands under the field's name.
fn tell(
    case: &Case<'_>,
    file: &File,
    log: &LogCall,
    field: &Field,
    message: String,
    out: &mut Verdicts,
) {
    match taken_out(case, log, field) {
        Some(at) => out.mitigated(Some(file.place(field.span)), at, message),
        None => {
            out.finding(file.place(field.span), message);
        }
    }
}

/// Where the service's logger is told to take out what stands under a field's name: `redact: ['password', '*.token']`.
/// Of all headers it has to take the authorization.
fn taken_out(case: &Case<'_>, log: &LogCall, field: &Field) -> Option<Place> {
    let name = field.name.as_deref()?;
    if !matches!(log.system.as_str(), "pino" | "logger" | "context") {
        return None;
    }
    let whole: Vec<&str> = name.split('.').collect();
    let covers = |path: &str| {
        let path = path.replace(['[', ']'], ".").replace(['"', '\''], "");
        let parts: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
        let same = |(part, own): (&&str, &&str)| *part == "*" || part == own;
        let begins = parts.iter().zip(&whole).all(same);
        let takes_header = || {
            parts.len() == whole.len() + 1
                && parts.last().is_some_and(|last| matches!(*last, "authorization" | "*"))
                && whole.last().is_some_and(|last| last.eq_ignore_ascii_case("headers"))
        };
        begins && (parts.len() <= whole.len() || takes_header())
    };
    case.facts().find_map(|(file, fact)| match &fact.kind {
        FactKind::Redaction(by) => {
            let path = by.strip_prefix(TAKES_OUT)?;
            covers(path).then(|| file.place(fact.span))
        }
        _ => None,
    })
}

pub(super) fn sec001(case: &Case<'_>, out: &mut Verdicts) {
    for (file, fact, log, field, leak) in leaks(case, Class::Credential) {
        let says_little = |s: &Source| s.origins.iter().all(|origin| origin.contains("uuid"));
        // "read the key from {}": where it lies.
        let message = log.message.as_deref().unwrap_or_default().to_lowercase();
        let is_where = leak.what.to_lowercase().ends_with("key")
            && ["from {}", "file {}", "path {}", "from %s", "file %s"]
                .iter()
                .any(|w| message.contains(w));
        if is_where {
            continue;
        }
        let own = words(leak.what.trim_end_matches("()").rsplit('.').next().unwrap_or_default());
        // `parser.getToken()` says no more than `token`.
        let is_token = leak.what == "token" || own == ["get", "token"];
        let mut same = field.sources.iter().filter(|source| source.path == leak.what);
        let is_bare = is_token && field.name.is_none() && same.all(says_little);
        if is_token && is_parser(&file.path)
            || is_bare && !is_about_access(file, fact, log, &leak.what)
        {
            continue;
        }
        let message = format!("the value of `{}` is logged", leak.what);
        tell(case, file, log, field, message, out);
    }
}

/// Whether the code around a value that is only called `token` is about who may do what: limiters and parsers have
/// tokens too.
fn is_about_access(file: &File, fact: &Fact, log: &LogCall, what: &str) -> bool {
    let function = fact.scope.function.as_deref().unwrap_or_default();
    let message = log.message.as_deref().unwrap_or_default();
    let around = format!("{} {function} {message} {what}", file.path).to_lowercase();
    const ABOUT: [&str; 24] = [
        "auth",
        "login",
        "signin",
        "sign_in",
        "session",
        "jwt",
        "bearer",
        "api",
        "oauth",
        "user",
        "secret",
        "credential",
        "access",
        "refresh",
        "invite",
        "reset",
        "password",
        "verif",
        "account",
        "newtoken",
        "payment",
        "charg",
        "security",
        "sso",
    ];
    ABOUT.iter().any(|word| around.contains(word))
}

fn is_parser(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    ["lexer", "parser", "tokeniz", "nlp"].iter().any(|word| path.contains(word))
}

pub(super) fn sec002(case: &Case<'_>, out: &mut Verdicts) {
    let words = [
        "password",
        "passwd",
        "token",
        "secret",
        "authorization",
        "api key",
        "api_key",
        "apikey",
        "credential",
    ];
    for (file, fact, log) in shown(case) {
        let message = log.message.as_deref().unwrap_or_default().to_ascii_lowercase();
        let has_values = log.interpolated
            || message.contains("%s")
            || message.contains("{}")
            || !log.fields.is_empty();
        if let Some(word) = words.iter().find(|word| message.contains(*word)).filter(|_| has_values)
        {
            out.finding(file.place(fact.span), format!("a message about `{word}` carries values"));
        }
    }
}

pub(super) fn sec003(case: &Case<'_>, out: &mut Verdicts) {
    for (file, _, log, field, leak) in leaks(case, Class::Header) {
        let message = format!("`{}` is logged: it holds credentials", leak.what);
        tell(case, file, log, field, message, out);
    }
    for (file, fact) in case.facts() {
        let FactKind::TrafficLogged(by) = &fact.kind else { continue };
        if fact.scope.guard != Guard::Development && file.role == crate::Role::Production {
            let message = format!(
                "{by} prints every request that goes out, its headers too: they hold credentials"
            );
            out.finding(file.place(fact.span), message);
        }
    }
    // A request of Node is a thing with headers: a logger writes it whole, unless something takes them out.
    if case.any(|kind| matches!(kind, FactKind::Redaction(_))) {
        return;
    }
    for (file, _, log) in shown(case).filter(|(_, fact, _)| fact.scope.in_handler) {
        let is_node = matches!(file.language, Some(Language::JavaScript | Language::TypeScript));
        // Go's and Rust's requests print their headers too, where it is one of theirs.
        let has_headers = |source: &Source| {
            let declared = source.declared.as_deref().unwrap_or_default();
            is_node && matches!(source.path.as_str(), "req" | "request")
                || matches!(file.language, Some(Language::Go)) && declared.ends_with("http.Request")
                || matches!(file.language, Some(Language::Rust)) && is_request_of_rust(declared)
        };
        let whole = log.fields.iter().find_map(|field| {
            let is_whole = |source: &&Source| {
                has_headers(source) && source.origins.is_empty() && source.wrapped.is_empty()
            };
            let source = field.sources.iter().find(is_whole)?;
            (field.sources.len() == 1).then_some((field, &source.path))
        });
        if let Some((field, path)) = whole {
            let message =
                format!("all of `{path}` is logged, its headers too: they hold credentials");
            out.finding(file.place(field.span), message);
        }
    }
}

/// A request of hyper, axum, actix or tonic: its `Debug` has every header.
fn is_request_of_rust(declared: &str) -> bool {
    let bare = declared.trim_start_matches(['&', ' ']).trim_start_matches("mut ");
    let name = bare.split('<').next().unwrap_or(bare);
    matches!(name.rsplit("::").next(), Some("Request" | "HttpRequest" | "ServiceRequest"))
}

pub(super) fn sec004(case: &Case<'_>, out: &mut Verdicts) {
    for (file, _, log, field, leak) in leaks(case, Class::Body) {
        // What a model answered is SEC012's.
        if field.sources.iter().any(is_answer) {
            continue;
        }
        let level = match log.level {
            Some(level) if level <= Level::Debug => " (at debug)",
            _ => "",
        };
        out.finding(
            file.place(field.span),
            format!("the body `{}` is logged whole{level}", leak.what),
        );
    }
}

pub(super) fn sec005(case: &Case<'_>, out: &mut Verdicts) {
    for (file, _, log) in shown(case) {
        for field in &log.fields {
            let found = field.sources.iter().find_map(|source| {
                let declared = source.declared.as_deref().filter(|_| message::is_dump(source))?;
                secret_field(declared, message::is_json(source), case)
            });
            if let Some((def, secret)) = found {
                out.finding(
                    file.place(field.span),
                    format!("a whole {} is logged: its field `{secret}` is secret", def.name),
                );
            }
        }
    }
    // `#[instrument]` puts every argument that is not skipped on the span, by its `Debug`.
    for (file, fact) in case.facts() {
        let FactKind::SpanAttribute(field) = &fact.kind else { continue };
        if fact.scope.guard == Guard::Development || file.role != crate::Role::Production {
            continue;
        }
        let found = field.sources.iter().find_map(|source| {
            let declared = source.declared.as_deref().filter(|_| message::is_dump(source))?;
            secret_field(declared, message::is_json(source), case)
        });
        if let Some((def, secret)) = found {
            let message =
                format!("a whole {} is put on a span: its field `{secret}` is secret", def.name);
            out.finding(file.place(fact.span), message);
        }
    }
    let is_secret = |name: &str| {
        let class = class_of(name, case);
        matches!(class, Some(Class::Card | Class::Credential | Class::Header))
    };
    for dumped in message::dumped(case) {
        if let Some(secret) = dumped.holds(&is_secret) {
            out.finding(
                dumped.file.place(dumped.field.span),
                format!("a whole {} is logged: its field `{secret}` is secret", dumped.message),
            );
        }
    }
}

pub(super) fn sec006(case: &Case<'_>, out: &mut Verdicts) {
    for (file, _, log, field, leak) in leaks(case, Class::Card) {
        let message = format!("card data is logged: `{}`", leak.what);
        tell(case, file, log, field, message, out);
    }
    for (file, _, log) in shown(case) {
        let of = |source: &Source| {
            let declared = source.declared.as_deref().filter(|_| message::is_dump(source))?;
            card_field(declared, message::is_json(source), case)
        };
        for field in &log.fields {
            if let Some((def, card)) = field.sources.iter().find_map(of) {
                let whole =
                    field.sources.iter().find_map(|s| s.declared.as_deref()).unwrap_or(&def.name);
                let message = format!("card data is logged: `{card}` of a whole {whole}");
                out.finding(file.place(field.span), message);
            }
        }
    }
    let is_card = |name: &str| class_of(name, case) == Some(Class::Card);
    for dumped in message::dumped(case) {
        if let Some(card) = dumped.holds(&is_card) {
            out.finding(
                dumped.file.place(dumped.field.span),
                format!("card data is logged: `{card}` of a whole {}", dumped.message),
            );
        }
    }
    for (file, fact) in case.facts() {
        let FactKind::SpanAttribute(field) = &fact.kind else { continue };
        if let Some(leak) = leak(field, case).filter(|leak| leak.class == Class::Card) {
            out.finding(
                file.place(fact.span),
                format!("card data is put on a span: `{}`", leak.what),
            );
        }
    }
}

pub(super) fn sec007(case: &Case<'_>, out: &mut Verdicts) {
    for (file, _, log, field, leak) in leaks(case, Class::Personal) {
        let message = format!("personal data is logged: `{}`", leak.what);
        tell(case, file, log, field, message, out);
    }
}

pub(super) fn sec008(case: &Case<'_>, out: &mut Verdicts) {
    for (file, fact) in case.facts() {
        let FactKind::SpanAttribute(field) = &fact.kind else { continue };
        let Some(leak) = leak(field, case).filter(|leak| leak.class != Class::Card) else {
            continue;
        };
        let key = field.name.clone().unwrap_or_else(|| leak.what.clone());
        let message = format!("`{}` leaves with every trace, as `{key}`", leak.what);
        match super::removed_by_collector(case, &key) {
            Some(at) => out.mitigated(Some(file.place(fact.span)), at, message),
            None => {
                out.finding(file.place(fact.span), message);
            }
        }
    }
}

pub(super) fn sec009(case: &Case<'_>, out: &mut Verdicts) {
    for (file, _, _, field, leak) in leaks(case, Class::Connection) {
        out.finding(
            file.place(field.span),
            format!("`{}` is logged with the credentials in it", leak.what),
        );
    }
    for (file, fact, log) in shown(case) {
        let literals =
            log.fields.iter().filter_map(|field| Some((field.literal.as_deref()?, field.span)));
        let message = log.message.as_deref().map(|text| (text, fact.span));
        if let Some((_, span)) = literals.chain(message).find(|(text, _)| has_credentials(text)) {
            let message = "an address with a user and a password is logged";
            out.finding(file.place(span), message);
        }
    }
}

/// Whether a literal holds an address with a user and a password that are no placeholders.
fn has_credentials(text: &str) -> bool {
    let lower = text.to_lowercase();
    let is_example = ["form", "example", "e.g", "expect", "usage", "syntax", "invalid", "must be"];
    !is_example.iter().any(|word| lower.contains(word)) && names_password(text)
}

fn names_password(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#', ' ', '"', '\'']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return names_password(rest) };
    let Some((name, password)) = user.split_once(':') else { return names_password(rest) };
    let is_placeholder = password.is_empty()
        || password.contains(['{', '<', '$', '%', '*', '[', '.'])
        || password.to_lowercase().trim_matches('x').is_empty()
        || matches!(
            password.to_lowercase().as_str(),
            "pass" | "password" | "passwd" | "pwd" | "pw" | "secret" | "redacted"
        );
    !name.contains(['{', '<', '$', '%']) && !is_placeholder || names_password(rest)
}

pub(super) fn sec010(case: &Case<'_>, out: &mut Verdicts) {
    if !case.any(|kind| matches!(kind, FactKind::Log(_) | FactKind::LogSetup(_))) {
        return out.not_applicable();
    }
    let libraries =
        ["skopos", "logfire", "secrecy", "pino-noir", "@hapi/hoek", "scrubadub", "fast-redact"];
    if case.any(|kind| matches!(kind, FactKind::Redaction(_)))
        || used::is_used(case, &libraries)
        || super::log_files(case).any(|(_, found)| found.masks.is_some())
    {
        return;
    }
    if let Some(at) = super::collector_redacts(case) {
        return out.mitigated(None, at, "the service redacts nothing; the collector does");
    }
    out.absent("nothing takes secrets out of log lines: one careless call leaks");
}

pub(super) fn sec011(case: &Case<'_>, out: &mut Verdicts) {
    for (file, fact) in case.facts() {
        let FactKind::SqlLogged(by) = &fact.kind else { continue };
        let name = file_name(&file.path);
        let is_other = name.contains("test") || name.contains("dev");
        if fact.scope.guard != Guard::Development && !is_other {
            out.finding(
                file.place(fact.span),
                format!("{by} logs SQL statements with their values"),
            );
        }
    }
}

pub(super) fn sec012(case: &Case<'_>, out: &mut Verdicts) {
    let models = [
        "openai",
        "anthropic",
        "@anthropic-ai/",
        "langchain",
        "cohere",
        "google.generativeai",
        "mistralai",
        "litellm",
        "ollama",
        "@google/generative-ai",
        "llama_index",
        "ai",
        "async_openai",
        "org.springframework.ai",
        "dev.langchain4j",
        "com.openai",
        "com.theokanning.openai",
        "com.anthropic",
        "github.com/sashabaranov/go-openai",
        "github.com/openai/openai-go",
        "github.com/anthropics/anthropic-sdk-go",
        "github.com/tmc/langchaingo",
    ];
    for file in case.files() {
        let uses = file.facts.iter().any(|fact| match &fact.kind {
            FactKind::Import(name) => models.iter().any(|m| {
                name == m
                    || name.starts_with(&format!("{m}."))
                    || (m.contains('/') && name.starts_with(m))
                    || name.starts_with(&format!("{m}_"))
            }),
            _ => false,
        });
        if !uses || file.role != crate::Role::Production {
            continue;
        }
        for fact in &file.facts {
            let FactKind::Log(log) = &fact.kind else { continue };
            let found = log.fields.iter().find_map(|field| {
                let source = field.sources.iter().find(|s| {
                    let is_harmless = s.wrapped.iter().any(|w| is_counted(w));
                    !is_harmless && passes(s, case) && (is_prompt(&s.path) || is_answer(s))
                })?;
                Some((field, source.path.clone()))
            });
            if let Some((field, what)) = found {
                out.finding(
                    file.place(field.span),
                    format!("what people asked a model, or what it said, is logged: `{what}`"),
                );
            }
        }
    }
}

/// Whether a name is what people asked a model.
fn is_prompt(path: &str) -> bool {
    let last = path.trim_end_matches("()").rsplit('.').next().unwrap_or_default();
    let own = words(last);
    let (Some(first), Some(end)) = (own.first(), own.last()) else { return false };
    let is_about = matches!(first.as_str(), "max" | "num" | "n" | "total" | "has" | "is" | "use");
    let is_text = matches!(end.as_str(), "prompt" | "prompts" | "completion" | "completions");
    let is_talk = matches!(own.join("_").as_str(), "messages" | "chat_history" | "conversation");
    !path.ends_with("()") && !is_about && (is_text || is_talk)
}

/// Whether a value is what a model answered: all of an answer, or its text.
fn is_answer(source: &Source) -> bool {
    let calls = [
        "completions.create()",
        "messages.create()",
        "responses.create()",
        ".invoke()",
        ".ainvoke()",
        "generate_content()",
        "generateContent()",
        "call().content()",
        "chat().create()",
        "createChatCompletion()",
        "CreateChatCompletion()",
        "generateText()",
        "choices",
        "message.content",
    ];
    let last = source.path.rsplit('.').next().unwrap_or_default();
    let is_text = !source.path.contains('.')
        || matches!(last, "content" | "text" | "message" | "choices" | "output_text" | "output");
    source.path.contains("choices")
        || is_text && source.origins.iter().any(|o| calls.iter().any(|call| o.contains(call)))
}

/// Calls that leave only a number or a sum of a text.
fn is_counted(call: &str) -> bool {
    let last = call.rsplit('.').next().unwrap_or(call);
    matches!(last, "len" | "length" | "size" | "hash" | "count" | "count_tokens" | "encode")
}
