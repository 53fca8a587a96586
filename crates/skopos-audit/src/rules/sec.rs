//! SEC: what must not be logged. Arguments are matched, never the words of a message.

use super::logs;
use crate::fact::{Field, LogCall};
use crate::files::name as file_name;
use crate::sensitive::{Class, Leak, leak, secret_field};
use crate::{Case, Fact, FactKind, File, Guard, Level, Verdicts};

/// The leaks of a class, each with its call.
fn leaks<'r>(
    case: &Case<'r>,
    class: Class,
) -> Vec<(&'r File, &'r Fact, &'r LogCall, &'r Field, Leak)> {
    let mut found = Vec::new();
    for (file, fact, log) in logs(case) {
        for field in &log.fields {
            if let Some(leak) = leak(field, case).filter(|leak| leak.class == class) {
                found.push((file, fact, log, field, leak));
                break;
            }
        }
    }
    found
}

pub(super) fn sec001(case: &Case<'_>, out: &mut Verdicts) {
    for (file, _, _, field, leak) in leaks(case, Class::Credential) {
        if leak.what == "token" && is_parser(&file.path) {
            continue;
        }
        out.finding(file.place(field.span), format!("the value of `{}` is logged", leak.what));
    }
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
    for (file, fact, log) in logs(case) {
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
    for (file, _, _, field, leak) in leaks(case, Class::Header) {
        out.finding(
            file.place(field.span),
            format!("`{}` is logged: it holds credentials", leak.what),
        );
    }
}

pub(super) fn sec004(case: &Case<'_>, out: &mut Verdicts) {
    for (file, _, log, field, leak) in leaks(case, Class::Body) {
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
    for (file, _, log) in logs(case) {
        for field in &log.fields {
            let found = field.sources.iter().find_map(|source| {
                let whole = !source.path.contains('.')
                    && !source.path.ends_with("()")
                    && !source.only_truth;
                let dumps = source.wrapped.iter().all(|w| {
                    let name = w.rsplit('.').next().unwrap_or(w);
                    [
                        "str",
                        "repr",
                        "dumps",
                        "stringify",
                        "model_dump",
                        "model_dump_json",
                        "dict",
                        "json",
                        "asdict",
                        "vars",
                        "inspect",
                        "format",
                        "Sprintf",
                        "format!",
                        "Any",
                    ]
                    .contains(&name)
                });
                let declared = source.declared.as_deref().filter(|_| whole && dumps)?;
                secret_field(declared, case)
            });
            if let Some((def, secret)) = found {
                out.finding(
                    file.place(field.span),
                    format!("a whole {} is logged: its field `{secret}` is secret", def.name),
                );
            }
        }
    }
}

pub(super) fn sec006(case: &Case<'_>, out: &mut Verdicts) {
    for (file, _, _, field, leak) in leaks(case, Class::Card) {
        out.finding(file.place(field.span), format!("card data is logged: `{}`", leak.what));
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
    for (file, _, _, field, leak) in leaks(case, Class::Personal) {
        out.finding(file.place(field.span), format!("personal data is logged: `{}`", leak.what));
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
}

pub(super) fn sec010(case: &Case<'_>, out: &mut Verdicts) {
    if !case.any(|kind| matches!(kind, FactKind::Log(_) | FactKind::LogSetup(_))) {
        return out.not_applicable();
    }
    let libraries =
        ["skopos", "logfire", "secrecy", "pino-noir", "@hapi/hoek", "scrubadub", "fast-redact"];
    if case.any(|kind| matches!(kind, FactKind::Redaction(_)))
        || case.dependency(&libraries).is_some()
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
    ];
    for file in case.files() {
        let uses = file.facts.iter().any(|fact| match &fact.kind {
            FactKind::Import(name) => models.iter().any(|m| {
                name == m
                    || name.starts_with(&format!("{m}."))
                    || (m.ends_with('/') && name.starts_with(m))
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
                    let last = s
                        .path
                        .trim_end_matches("()")
                        .rsplit('.')
                        .next()
                        .unwrap_or_default()
                        .to_ascii_lowercase();
                    let is_text = matches!(
                        last.as_str(),
                        "prompt"
                            | "prompts"
                            | "system_prompt"
                            | "systemprompt"
                            | "user_prompt"
                            | "userprompt"
                            | "completion"
                            | "completions"
                            | "messages"
                            | "chat_history"
                    );
                    let is_answer = s.path.contains("choices")
                        || s.origins
                            .iter()
                            .any(|o| o.contains("choices") || o.ends_with("message.content"));
                    let opaque = s.wrapped.iter().any(|w| {
                        matches!(
                            w.rsplit('.').next(),
                            Some("len" | "hash" | "count" | "count_tokens" | "encode")
                        )
                    });
                    (is_text || is_answer) && !s.only_truth && !opaque
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
