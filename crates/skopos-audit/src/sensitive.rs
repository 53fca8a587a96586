//! What must not be logged: names of values sorted into classes, and which calls make a value harmless.
//!
//! Only *values* count: a word in a message says nothing. Names are judged by their last part (`user.password`, not
//! `password.policy`), by the taxonomy of `skopos-redact` and the few that matter only to logs of services (personal data,
//! connection strings). What flows through a call that is not known to hand its argument on is another value.

mod card;
mod forms;
mod name;
mod printed;
mod request;

use crate::Case;
use crate::fact::{Field, Source};
use crate::lang::KEY;

pub(crate) use forms::{keeps_all, writes_fields};
pub(crate) use name::class_of;
use printed::prints_itself;
pub(crate) use printed::{card_field, secret_field};

/// Classes of sensitive values, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// Payment cards.
    Card,
    /// Authorization, cookies, all headers of a request.
    Header,
    /// Addresses with credentials.
    Connection,
    /// Passwords, tokens, keys.
    Credential,
    /// Bodies of requests and answers.
    Body,
    /// Personal data.
    Personal,
}

/// A sensitive value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leak {
    pub(crate) class: Class,
    /// Its name as it stands there.
    pub(crate) what: String,
}

/// Calls that show what a type hides.
const REVEALS: &[&str] = &["expose_secret", "get_secret_value", "expose", "reveal"];

/// Words of a call that make a value harmless.
const CLEANS: &[&str] = &[
    "mask",
    "redact",
    "hash",
    "sha",
    "md5",
    "scrub",
    "sanit",
    "censor",
    "obfusc",
    "anonym",
    "pseudonym",
    "hide",
    "encrypt",
    "fingerprint",
    "last4",
    "lastfour",
    "truncate",
    "safe",
    "omit",
    "strip_secrets",
    "without",
    "clean",
];

/// Words of a variable's name that say that its value was made fit to be shown.
const SHOWN: &[&str] = &["log", "masked", "redacted", "safe", "printable", "hidden", "short"];

/// Words of a variable's name that say which small part of a body it is (`api_version = response.json()`).
const SMALL: &[&str] = &["version", "status", "id", "code", "count", "name", "url"];

/// The words of a name, in lower case: `apiKey` and `API_KEY` are two.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut previous = '_';
    for letter in name.chars() {
        if !letter.is_alphanumeric() {
            previous = '_';
            continue;
        }
        if previous == '_' || (letter.is_uppercase() && !previous.is_uppercase()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(letter.to_lowercase());
        }
        previous = letter;
    }
    words
}

/// Whether a variable's name says that its value was made fit to be shown.
pub(crate) fn says_shown(name: &str) -> bool {
    words(name).iter().any(|word| SHOWN.contains(&word.as_str()))
}

/// Whether a variable's name says that what it was made of is not to be told by it: made harmless, or a label.
pub(crate) fn says_other(name: &str) -> bool {
    const LABELS: [&str; 12] = [
        "name", "id", "ids", "type", "kind", "count", "status", "version", "alias", "label",
        "file", "filename",
    ];
    let own = words(name);
    own.iter().any(|word| SHOWN.contains(&word.as_str()))
        || own.last().is_some_and(|word| LABELS.contains(&word.as_str()))
        || says_clean(name)
}

/// Whether a variable's name says that it is a small part of what it was made from.
pub(crate) fn says_small(name: &str) -> bool {
    words(name).iter().any(|word| SMALL.contains(&word.as_str()))
}

/// Whether a call's name says that it makes a value harmless.
pub(crate) fn says_clean(callee: &str) -> bool {
    let lower = callee.to_ascii_lowercase();
    CLEANS.iter().any(|word| lower.contains(word))
}

/// Whether the calls around a value leave it what it is.
pub(crate) fn passes(source: &Source, case: &Case<'_>) -> bool {
    if source.only_truth {
        return false;
    }
    source.wrapped.iter().all(|callee| {
        let name = last_of(callee);
        let is_own = case.config.sanitizers.iter().any(|s| s == name || s == callee);
        let is_known = forms::hands_on(name) || callee == "JSON.parse";
        !is_own && is_known && (REVEALS.contains(&name) || !says_clean(callee))
    })
}

/// The name of what a call calls, without what it is called on; `[:]` is a name.
fn last_of(callee: &str) -> &str {
    if callee.starts_with('[') {
        return callee;
    }
    let name = callee.rsplit(['.', ':']).next().unwrap_or(callee);
    name.strip_prefix("new ").unwrap_or(name)
}

/// Whether only a part of a value is left: the last digits of a card tell little, the first thousand bytes of a body all.
fn is_part(class: Class, source: &Source) -> bool {
    if is_keys(class, source) {
        return true;
    }
    let takes_part = |callee: &str| forms::takes_part(last_of(callee));
    // One value of a body or of a list of keys is what its own name says; one of all headers is as good as all.
    let is_one = class != Class::Header
        && !name::is_environment(&source.path)
        && source.wrapped.iter().any(|callee| callee == "[each]");
    // `list(payload)` are the keys of a mapping.
    let is_keys = matches!(class, Class::Body | Class::Header)
        && source.wrapped.iter().any(|callee| callee == "list")
        && !source.wrapped.iter().any(|callee| matches!(last_of(callee), "items" | "values"));
    is_one
        || is_keys
        || class != Class::Body
            && (source.wrapped.iter().any(|callee| takes_part(callee))
                || source.path.strip_suffix("()").is_some_and(takes_part))
}

/// Whether only the keys of a mapping are left: `list(request.headers)`, `", ".join(body)`.
fn is_keys(class: Class, source: &Source) -> bool {
    matches!(class, Class::Header | Class::Body)
        && source
            .wrapped
            .first()
            .is_some_and(|callee| matches!(callee.as_str(), "list" | "''.join"))
}

/// Whether what a call gives back is harmless by the call's name: `mask()`, `len()`.
fn is_cleaned(path: &str, case: &Case<'_>) -> bool {
    let Some(callee) = path.strip_suffix("()") else { return false };
    let name = callee.rsplit(['.', ':']).next().unwrap_or(callee);
    let lower = name.to_ascii_lowercase();
    // `sha256(token).hexdigest()`: what a call before it made harmless stays so.
    let links = callee.to_ascii_lowercase();
    let was_cleaned =
        links.split("().").any(|link| CLEANS.iter().any(|word| last_of(link).contains(word)));
    let about = [
        "len",
        "bool",
        "type",
        "count",
        "isinstance",
        "id",
        "int",
        "exists",
        "sum",
        "boolean",
        "size",
        "number",
    ];
    about.contains(&lower.as_str())
        || was_cleaned
        || case.config.sanitizers.iter().any(|s| s == name || s == callee)
}

/// Whether a value's declared type hides it, and nothing on the way shows it.
fn is_hidden(source: &Source) -> bool {
    hides(source.declared.as_deref())
        && !source.wrapped.iter().any(|callee| REVEALS.contains(&last_of(callee)))
}

/// Whether a declared type hides its value when it is printed.
fn hides(declared: Option<&str>) -> bool {
    declared
        .is_some_and(|t| t.contains("Secret") || matches!(t, "bool" | "boolean" | "int" | "number"))
}

/// What of a logged value must not be logged.
pub(crate) fn leak(field: &Field, case: &Case<'_>) -> Option<Leak> {
    let mut found: Option<Leak> = None;
    let mut take = |class: Class, what: &str| {
        if found.as_ref().is_none_or(|leak| class < leak.class) {
            found = Some(Leak { class, what: what.to_owned() });
        }
    };
    for source in &field.sources {
        if !passes(source, case) || is_hidden(source) || is_error(&source.path) {
            continue;
        }
        // A type of the repository says itself what is printed of it, whatever the variable is called.
        let is_typed = source.declared.as_deref().is_some_and(|of| prints_itself(of, case));
        let is_named = is_typed && !source.path.contains('.');
        // An answer of Spring prints its body and its headers.
        let is_answer = |t: &str| t.starts_with("ResponseEntity<") && !t.contains("Void");
        if !is_named
            && source.declared.as_deref().is_some_and(is_answer)
            && !source.path.contains(['.', '('])
        {
            take(Class::Body, &source.path);
            continue;
        }
        // A call of which nothing is known hides what went in.
        let told = class_of(&source.path, case).or_else(|| card::part_of_card(source, case));
        if let Some(class) = told
            .filter(|class| !is_doubtful(*class, source) && !is_part(*class, source))
            .filter(|class| *class != Class::Credential || !is_named)
        {
            take(class, &source.path);
            continue;
        }
        if source.declared.as_deref().is_some_and(name::is_connection_type) {
            take(Class::Connection, &source.path);
            continue;
        }
        if is_carried_body(source) && !is_part(Class::Body, source) {
            take(Class::Body, &source.path);
            continue;
        }
        if is_written_answer(source) && !is_part(Class::Body, source) {
            take(Class::Body, &source.path);
            continue;
        }
        let is_shown = says_shown(source.path.rsplit('.').next().unwrap_or_default());
        for origin in &source.origins {
            let key = origin.strip_prefix(KEY);
            let name = key.unwrap_or(origin);
            let Some(class) = class_of(name, case) else { continue };
            let is_it = match key {
                Some(key) => !is_statement(key, &source.path) && !is_cleaned(&source.path, case),
                None => {
                    let is_small = class == Class::Body && is_small(&source.path);
                    let is_slice = class == Class::Credential && origin.ends_with("[]");
                    is_same_value(&source.path, origin) && !is_shown && !is_small && !is_slice
                }
            };
            if is_it && !is_part(class, source) && !(is_named && class == Class::Credential) {
                take(class, name);
                break;
            }
        }
    }
    // `password=pw`: the name says what the value is, unless the value is plainly something else.
    if let Some(name) = field.name.as_deref()
        && field.sources.iter().any(|s| {
            passes(s, case)
                && !is_hidden(s)
                && !is_cleaned(&s.path, case)
                && !is_part(Class::Credential, s)
                && !is_statement(name, &s.path)
        })
        && let Some(class) = class_of(name, case)
    {
        take(class, name);
    }
    found
}

/// Whether a value's own name says that it is about the thing, not the thing: `otpEnabled`, `secretRef.Name`. Secrets,
/// keys and tokens have names; a password has none, so `password=user.name` shows one.
fn is_statement(key: &str, path: &str) -> bool {
    if path.ends_with("()") {
        return false;
    }
    let last = words(path.rsplit('.').next().unwrap_or(path));
    let ends = ["enabled", "disabled", "required", "sent", "present", "valid", "count"];
    let has_name = || {
        let own = words(key.rsplit('.').next().unwrap_or(key));
        !own.iter().any(|word| {
            matches!(word.as_str(), "password" | "passwd" | "pwd" | "pin" | "cvv" | "cvc")
        })
    };
    last.last().is_some_and(|word| ends.contains(&word.as_str()) || word == "name" && has_name())
}

/// What a parser calls so, a slice, and what a call gave back beside an error.
fn is_doubtful(class: Class, source: &Source) -> bool {
    let lower = source.path.to_ascii_lowercase();
    class == Class::Credential
        && (lower.contains("lexer")
            || lower.contains("tokeniz")
            || lower == "bearer"
            || lower.ends_with("[]"))
}

/// An error is not what the call that failed would have given (`key, err := makeKey()`).
fn is_error(path: &str) -> bool {
    let last = path.trim_end_matches("()").rsplit('.').next().unwrap_or_default();
    matches!(last, "err" | "error" | "e" | "ex" | "exc" | "exception") || last.ends_with("Err")
}

/// Whether a variable that is only called `body` holds that of a message or of an answer: by what it was taken from.
fn is_carried_body(source: &Source) -> bool {
    let carries = |origin: &String| {
        let plain = origin.trim_end_matches("()");
        matches!(plain, "message" | "msg" | "delivery")
            || origin.ends_with("getBody()")
            || origin.ends_with("GetData()")
    };
    source.path == "body" && source.origins.iter().any(carries)
}

/// Whether an answer is written out as JSON: `json.dumps(response)`.
fn is_written_answer(source: &Source) -> bool {
    let writes = ["dumps", "stringify", "pformat", "inspect"];
    let last = words(&source.path);
    let is_answer = matches!(last.last().map(String::as_str), Some("response" | "resp"));
    is_answer
        && !source.path.contains(['.', '('])
        && source.wrapped.iter().any(|callee| writes.contains(&last_of(callee)))
}

/// Whether a variable's name says that little of a body is in it.
fn is_small(path: &str) -> bool {
    says_small(path.rsplit('.').next().unwrap_or(path))
}

/// A field taken out of a body (`order = request.json`, then `order.id`) is not the body.
fn is_same_value(path: &str, origin: &str) -> bool {
    let depth = |text: &str| text.matches('.').count();
    // All that a message carries is told where it stands whole: `msg.content.toString()`.
    depth(path) <= depth(origin) || !path.contains('.') || origin == "message.message_body"
}
