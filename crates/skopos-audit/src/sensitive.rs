//! What must not be logged: names of values sorted into classes, and which calls make a value harmless.
//!
//! Only *values* count: a word in a message says nothing. Names are judged by their last part (`user.password`, not
//! `password.policy`), by the taxonomy of `skopos-redact` and the few that matter only to logs of services (personal data,
//! connection strings). What flows through a call that is not known to hand its argument on is another value.

use std::sync::LazyLock;

use skopos_redact::Redactor;

use crate::fact::{Field, Source};
use crate::{Case, FactKind, fact::TypeDef};

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

static REDACTOR: LazyLock<Redactor> = LazyLock::new(Redactor::default);

/// Calls that hand on what they are given.
const PASSES: &[&str] = &[
    "str",
    "repr",
    "String",
    "stringify",
    "dumps",
    "format",
    "to_string",
    "decode",
    "encode",
    "strip",
    "trim",
    "join",
    "dict",
    "list",
    "entries",
    "inspect",
    "toString",
    "model_dump",
    "model_dump_json",
    "dict",
    "json",
    "asdict",
    "vars",
    "toJSON",
    "toObject",
    "Sprintf",
    "Sprint",
    "Errorf",
    "valueOf",
    "upper",
    "lower",
    "toLowerCase",
    "toUpperCase",
    "assign",
    "clone",
    "to_owned",
    "as_str",
    "unwrap",
    "unwrap_or_default",
    "expose_secret",
    "get_secret_value",
    "Marshal",
    "bytes",
    "text",
    "fromEntries",
    "format!",
    "into",
    "Bytes",
    "pformat",
    "serialize",
    "Any",
    "as_ref",
    "ok",
    "jsonify",
    "to_dict",
    // Go's conversions and makers of fields.
    "string",
    "[]byte",
    "ByteString",
    "Stringer",
    "Reflect",
    "TrimSpace",
    "Sprintln",
    "Encode",
    "MarshalIndent",
    // Java's writers of JSON, Rust's and Python's makers of whole values.
    "writeValueAsString",
    "toJson",
    "toJSONString",
    "to_string_pretty",
    "from_utf8_lossy",
    "from_utf8",
    "collect",
    "copy",
    "jsonable_encoder",
    "deepcopy",
    "expect",
    "deref",
    "as_deref",
    "to_str",
    "into_inner",
    "from_utf8_lossy_owned",
];

/// Calls that leave a part of what they are given.
const PARTS: &[&str] = &["slice", "substring", "substr", "[:]", "padStart", "chars"];

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

/// First words of a name that make it a statement about the value.
const ABOUT_FIRST: &[&str] = &[
    "has",
    "is",
    "no",
    "num",
    "max",
    "min",
    "total",
    "missing",
    "invalid",
    "valid",
    "with",
    "without",
    "should",
    "use",
    "uses",
    "needs",
    "require",
    "requires",
    "required",
    "count",
    "n",
    "next",
    "page",
    "cursor",
    "continuation",
    "sync",
    "eos",
    "bos",
    "pad",
    "unk",
    "stop",
    "special",
    "current",
    "first",
    "last",
    "previous",
    "prev",
    "cancellation",
    "cancel",
    "validate",
    "verify",
    "check",
    "parse",
    "delete",
    "remove",
    "revoke",
    "expired",
    "input",
    "output",
    "prompt",
    "completion",
    "update",
    "reset",
    "change",
    "rotate",
    "show",
    "allow",
    "enable",
    "disable",
    "supports",
    "public",
];

/// Words that make a name a statement about the value, or another kind of token, wherever they stand.
const ABOUT: &[&str] = &[
    "sync",
    "page",
    "pagination",
    "cursor",
    "continuation",
    "reservation",
    "lease",
    "slot",
    "log",
    "masked",
    "redacted",
    "safe",
    "printable",
    "hidden",
    "or",
    "orm",
    "without",
    "excluding",
    "dummy",
    "placeholder",
    "encrypted",
    "hashed",
    "from",
    "by",
    "permit",
    "permissions",
    "xsrf",
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

/// The class of a name, by its last part.
pub(crate) fn class_of(path: &str, case: &Case<'_>) -> Option<Class> {
    if is_environment(path) {
        return Some(Class::Credential);
    }
    let is_call = path.ends_with("()");
    let path = path.trim_end_matches("()");
    let parts: Vec<&str> =
        path.split('.').filter(|part| !part.is_empty() && *part != "[]").collect();
    let last = *parts.last()?;
    let before = parts.len().checked_sub(2).map_or("", |at| parts[at]);
    let same = |name: &String| name.eq_ignore_ascii_case(last);
    if case.config.harmless.iter().any(same) {
        return None;
    }
    if case.config.sensitive.iter().any(same) {
        return Some(Class::Credential);
    }
    let own = words(last);
    let first = own.first()?.as_str();
    if is_call {
        let value = gotten(&parts, &own).and_then(|value| class_of(&value, case));
        return of_call(&parts, &own).or(value);
    }
    if own.len() > 1
        && (ABOUT_FIRST.contains(&first) || own.iter().any(|w| ABOUT.contains(&w.as_str())))
    {
        return None;
    }
    // A file or an address of a secret is not the secret.
    if parts.iter().rev().skip(1).any(|part| matches!(*part, "files" | "paths" | "path")) {
        return None;
    }
    let joined = own.join("_");
    if let Some(class) = of_request(&joined, before, path) {
        return Some(class);
    }
    if is_card(&joined, before) {
        return Some(Class::Card);
    }
    if is_one_time(&joined, before) {
        return Some(Class::Credential);
    }
    // A cookie that says who somebody is, by its name: `cookies.get("sid")`.
    let of_session = ["sid", "sess", "auth", "token", "jwt", "login"];
    if matches!(before, "cookies" | "COOKIES" | "cookies()" | "signedCookies")
        && of_session.iter().any(|word| joined.contains(word))
    {
        return Some(Class::Header);
    }
    if is_connection(&own, &joined) {
        return Some(Class::Connection);
    }
    let personal = matches!(
        joined.as_str(),
        "email"
            | "e_mail"
            | "email_address"
            | "user_email"
            | "customer_email"
            | "phone"
            | "phone_number"
            | "mobile_number"
            | "date_of_birth"
            | "dob"
            | "birth_date"
            | "birthdate"
            | "passport_number"
            | "home_address"
            | "street_address"
            | "billing_address"
            | "shipping_address"
            | "postal_address"
            | "first_name"
            | "last_name"
            | "national_id"
            | "tax_id"
            | "iban"
    );
    // Whose address it is leaves no doubt that it is one.
    const WHOSE: [&str; 14] = [
        "user",
        "customer",
        "recipient",
        "receiver",
        "member",
        "contact",
        "to",
        "login",
        "owner",
        "personal",
        "normalized",
        "account",
        "subscriber",
        "invitee",
    ];
    let of_whom = own.len() == 2
        && matches!(own[1].as_str(), "email" | "emails")
        && WHOSE.contains(&own[0].as_str())
        || joined == "email_recipients";
    if of_whom {
        return Some(Class::Personal);
    }
    // What a token is made of.
    let is_whole = matches!(joined.as_str(), "key" | "value")
        && words(before)
            .last()
            .is_some_and(|word| matches!(word.as_str(), "token" | "secret" | "apikey"));
    if is_whole {
        return Some(Class::Credential);
    }
    // Repositories and tables have full names too.
    let of_person = || {
        let whose = words(before);
        whose.iter().any(|w| {
            ["user", "customer", "person", "member", "patient", "employee", "contact", "profile"]
                .contains(&w.as_str())
        })
    };
    if personal || joined == "full_name" && of_person() {
        return Some(Class::Personal);
    }
    let rule = REDACTOR.name_rule(last)?;
    class_of_rule(rule)
}

/// Everything the process was given: keys and passwords are among it.
fn is_environment(path: &str) -> bool {
    matches!(
        path,
        "process.env"
            | "os.environ"
            | "environ"
            | "Bun.env"
            | "Deno.env.toObject()"
            | "os.Environ()"
            | "syscall.Environ()"
            // Without a name: all of it.
            | "System.getenv"
            | "std.env.vars()"
            | "env.vars()"
    )
}

/// What opens a door once: codes by text message, links that sign somebody in.
fn is_one_time(joined: &str, before: &str) -> bool {
    matches!(
        joined,
        "otp"
            | "otp_code"
            | "totp"
            | "totp_code"
            | "one_time_password"
            | "one_time_code"
            | "one_time_pin"
            | "mfa_code"
            | "two_factor_code"
            | "twofactorcode"
            | "tfa_code"
            | "sms_code"
            | "verification_code"
            | "login_code"
            | "passcode"
            | "recovery_code"
            | "recovery_codes"
            | "backup_codes"
            | "magic_link"
            | "seed_phrase"
            | "mnemonic"
    ) || joined == "code" && matches!(before, "otp" | "totp" | "mfa")
}

/// The class of a rule of the redactor. What it hides for other reasons (addresses, names) is not for us to report.
fn class_of_rule(rule: &str) -> Option<Class> {
    match rule {
        "authorization" | "authorisation" | "auth_header" | "cookie" | "cookies" | "setcookie" => {
            Some(Class::Header)
        }
        "credit_card" | "card_number" | "card_no" | "card_num" | "cc_number" | "cc_num" | "cvv"
        | "cvv2" | "cvc" | "cvc2" | "security_code" => Some(Class::Card),
        "ssn" | "social_security" | "social_security_number" => Some(Class::Personal),
        "access_key_id" => None,
        "request_body" | "response_body" | "req_body" | "res_body" | "resp_body" | "raw_body" => {
            Some(Class::Body)
        }
        _ => {
            let secret =
                ["pass", "pwd", "token", "jwt", "bearer", "secret", "credential", "key", "private"];
            secret.iter().any(|word| rule.contains(word)).then_some(Class::Credential)
        }
    }
}

/// What a call gives back, when its name says so: `request.get_json()`, `generate_token()`.
fn of_call(parts: &[&str], own: &[String]) -> Option<Class> {
    let last = parts.last()?;
    let before = parts.len().checked_sub(2).map_or("", |at| parts[at]);
    let request = is_request(before);
    if request
        && matches!(*last, "json" | "get_json" | "body" | "form" | "text" | "get_data" | "formData")
    {
        return Some(Class::Body);
    }
    // Rust's accessors, and Go's whole dumps.
    if request && matches!(*last, "headers" | "metadata" | "cookies" | "Cookies")
        || parts.len() > 1
            && matches!(*last, "DumpRequest" | "DumpRequestOut" | "DumpResponse")
            && before == "httputil"
    {
        return Some(Class::Header);
    }
    if is_response(before) && matches!(*last, "json" | "text" | "read" | "body" | "get_data") {
        return Some(Class::Body);
    }
    let gives = ["generate", "create", "issue", "make", "fetch", "mint", "sign", "encode"];
    let verb = own.first().map(String::as_str).unwrap_or_default();
    if own.len() > 1 && gives.contains(&verb) {
        let rest = own[1..].join("_");
        return class_of_rule(REDACTOR.name_rule(&rest)?)
            .filter(|class| *class == Class::Credential);
    }
    None
}

/// What a getter gets: `user.getPassword()` is `user.password`. A record's accessor (`user.password()`) is one where the
/// word leaves no doubt.
fn gotten(parts: &[&str], own: &[String]) -> Option<String> {
    let before = parts.len().checked_sub(2).map_or("", |at| parts[at]);
    let verb = own.first().map(String::as_str).unwrap_or_default();
    if own.len() > 1 && matches!(verb, "get" | "retrieve" | "reveal" | "decrypt") {
        let rest = match own.last().map(String::as_str) {
            Some("string" | "value") if own.len() > 2 => own[1..own.len() - 1].join("_"),
            _ => own[1..].join("_"),
        };
        return Some(format!("{before}.{rest}"));
    }
    let accessors = [
        "password",
        "passwd",
        "api_key",
        "access_token",
        "client_secret",
        "secret_key",
        "private_key",
        "card_number",
        "cvv",
        "ssn",
        "email",
        "phone_number",
    ];
    let joined = own.join("_");
    (!before.is_empty() && accessors.contains(&joined.as_str()))
        .then(|| format!("{before}.{joined}"))
}

fn is_request(name: &str) -> bool {
    matches!(
        name.trim_end_matches("()"),
        "request"
            | "req"
            | "r"
            | "ctx"
            | "_request"
            | "httpRequest"
            | "http_request"
            | "event"
            // Go's contexts hold the request as a field.
            | "Request"
    )
}

fn is_response(name: &str) -> bool {
    matches!(name.trim_end_matches("()"), "response" | "resp" | "res" | "reply" | "http_response")
}

fn of_request(last: &str, before: &str, path: &str) -> Option<Class> {
    let of_request = is_request(before);
    if last == "headers"
        || last == "rawheaders"
        || last == "raw_headers"
        || (last == "header" && matches!(before, "r" | "req" | "Request" | "request"))
    {
        let is_outgoing =
            path.contains("response") || path.contains("res.") || path.contains("resp");
        return (of_request && !is_outgoing).then_some(Class::Header);
    }
    // A message of gRPC is a body, whatever carries it.
    if path == "call.request" {
        return Some(Class::Body);
    }
    if matches!(last, "body" | "raw_body" | "rawbody") && (of_request || is_response(before)) {
        return Some(Class::Body);
    }
    if of_request
        && matches!(last, "json" | "data" | "form" | "post" | "payload")
        && !matches!(before, "r" | "event")
    {
        return Some(Class::Body);
    }
    // Go's parsed forms, and what Django calls the headers.
    if of_request && ["Form", "PostForm", "MultipartForm"].iter().any(|form| ends_with(path, form))
    {
        return Some(Class::Body);
    }
    if of_request && ends_with(path, "META") {
        return Some(Class::Header);
    }
    // `requests.post(…).text`, `r = httpx.get(…)` and then `r.text`.
    if matches!(last, "text" | "content") && is_answer(path) {
        return Some(Class::Body);
    }
    if is_response(before) && matches!(last, "text" | "content" | "data") {
        return Some(Class::Body);
    }
    matches!(
        last,
        "request_body"
            | "response_body"
            | "response_body_as"
            | "req_body"
            | "body_bytes"
            | "raw_request"
            | "message_body"
            | "msg_body"
            | "http_body"
            | "request_payload"
            | "response_payload"
            | "raw_payload"
    )
    .then_some(Class::Body)
}

/// Whether the last part of a path is exactly this.
fn ends_with(path: &str, last: &str) -> bool {
    path.rsplit('.').next() == Some(last)
}

/// Whether a path begins with what a client of HTTP gave back.
fn is_answer(path: &str) -> bool {
    let Some((call, _)) = path.rsplit_once("().") else { return false };
    let Some((client, method)) = call.rsplit_once('.') else { return false };
    let client = client.rsplit('.').next().unwrap_or(client);
    matches!(method, "get" | "post" | "put" | "patch" | "delete" | "request")
        && matches!(
            client.trim_end_matches("()"),
            "requests" | "httpx" | "session" | "client" | "http_client" | "AsyncClient" | "Client"
        )
}

fn is_card(joined: &str, before: &str) -> bool {
    let card = words(before).last().is_some_and(|w| w == "card" || w == "payment" || w == "cc");
    matches!(
        joined,
        "pan"
            | "primary_account_number"
            | "card_pan"
            | "cardnumber"
            | "creditcard"
            | "credit_card_number"
            | "card_cvv"
            // As many write it.
            | "ccv"
    ) || (card && matches!(joined, "number" | "cvv" | "cvc" | "pan" | "code" | "cc_number"))
}

fn is_connection(own: &[String], joined: &str) -> bool {
    let last = own.last().map(String::as_str).unwrap_or_default();
    let stores = [
        "database",
        "db",
        "redis",
        "mongo",
        "mongodb",
        "postgres",
        "postgresql",
        "mysql",
        "amqp",
        "broker",
        "rabbitmq",
        "sqlalchemy",
        "rabbit",
    ];
    joined == "connection_string"
        || joined == "conn_string"
        || joined == "conn_str"
        || joined == "connstr"
        || joined == "dsn"
        || joined.ends_with("_dsn")
        || joined.ends_with("connection_string")
        || (matches!(last, "url" | "uri") && own.iter().any(|word| stores.contains(&word.as_str())))
        || joined == "databaseurl"
}

/// Whether the calls around a value leave it what it is.
fn passes(source: &Source, case: &Case<'_>) -> bool {
    if source.only_truth {
        return false;
    }
    source.wrapped.iter().all(|callee| {
        let name = last_of(callee);
        let lower = callee.to_ascii_lowercase();
        let is_own = case.config.sanitizers.iter().any(|s| s == name || s == callee);
        !is_own
            && (PASSES.contains(&name) || PARTS.contains(&name))
            && !CLEANS.iter().any(|word| lower.contains(word))
    })
}

/// The name of what a call calls, without what it is called on; `[:]` is a name.
fn last_of(callee: &str) -> &str {
    if callee == "[:]" {
        return callee;
    }
    callee.rsplit(['.', ':']).next().unwrap_or(callee)
}

/// Whether only a part of a value is left: the last digits of a card tell little, the first thousand bytes of a body all.
fn is_part(class: Class, source: &Source) -> bool {
    let takes_part = |callee: &String| PARTS.contains(&last_of(callee));
    class != Class::Body && class != Class::Header && source.wrapped.iter().any(takes_part)
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
        if !passes(source, case) || hides(source.declared.as_deref()) || is_error(&source.path) {
            continue;
        }
        // A call of which nothing is known hides what went in.
        if let Some(class) = class_of(&source.path, case)
            .filter(|class| !is_doubtful(*class, source) && !is_part(*class, source))
        {
            take(class, &source.path);
            continue;
        }
        if is_carried_body(source) && !is_part(Class::Body, source) {
            take(Class::Body, &source.path);
            continue;
        }
        let is_shown = words(source.path.rsplit('.').next().unwrap_or_default())
            .iter()
            .any(|word| SHOWN.contains(&word.as_str()));
        if let Some(origin) = source.origins.iter().find(|origin| class_of(origin, case).is_some())
            && let Some(class) = class_of(origin, case)
            && is_same_value(&source.path, origin)
            && !is_shown
            && !(class == Class::Body && is_small(&source.path))
            && !is_part(class, source)
            && !(class == Class::Credential && origin.ends_with("[]"))
        {
            take(class, origin);
        }
    }
    // `password=pw`: the name says what the value is, unless the value is plainly something else.
    if let Some(name) = field.name.as_deref()
        && field.sources.iter().any(|s| {
            passes(s, case)
                && !hides(s.declared.as_deref())
                && !is_cleaned(&s.path, case)
                && !is_part(Class::Credential, s)
                && !is_statement(&s.path)
        })
        && let Some(class) = class_of(name, case)
    {
        take(class, name);
    }
    found
}

/// Whether a value's own name says that it is about the thing, not the thing: `otpEnabled`, `secretRef.Name`.
fn is_statement(path: &str) -> bool {
    if path.ends_with("()") {
        return false;
    }
    let last = words(path.rsplit('.').next().unwrap_or(path));
    let ends = ["enabled", "disabled", "required", "name", "sent", "present", "valid", "count"];
    last.last().is_some_and(|word| ends.contains(&word.as_str()))
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

/// Whether a variable's name says that little of a body is in it.
fn is_small(path: &str) -> bool {
    words(path.rsplit('.').next().unwrap_or(path)).iter().any(|word| SMALL.contains(&word.as_str()))
}

/// A field taken out of a body (`order = request.json`, then `order.id`) is not the body.
fn is_same_value(path: &str, origin: &str) -> bool {
    let depth = |text: &str| text.matches('.').count();
    depth(path) <= depth(origin) || !path.contains('.')
}

/// A type whose printed form holds a secret: its name and the field.
/// Written as JSON, a type's own way of printing itself does not count.
pub(crate) fn secret_field<'r>(
    declared: &str,
    is_json: bool,
    case: &Case<'r>,
) -> Option<(&'r TypeDef, &'r str)> {
    let is_secret = |class: Option<Class>| {
        matches!(class, Some(Class::Card | Class::Credential | Class::Header))
    };
    printed_field(declared, is_json, case, &is_secret, 0)
}

/// A type whose printed form holds data of payment cards, however deep: its name and the field.
pub(crate) fn card_field<'r>(
    declared: &str,
    is_json: bool,
    case: &Case<'r>,
) -> Option<(&'r TypeDef, &'r str)> {
    printed_field(declared, is_json, case, &|class| class == Some(Class::Card), 0)
}

/// The field of a class that the printed form of a type holds, in types of its fields too.
fn printed_field<'r>(
    declared: &str,
    is_json: bool,
    case: &Case<'r>,
    is_meant: &dyn Fn(Option<Class>) -> bool,
    depth: usize,
) -> Option<(&'r TypeDef, &'r str)> {
    // An annotation before a type is none of it.
    let bare = match declared.starts_with('@') {
        true => declared.split_once(") ").or(declared.split_once(' ')).map_or("", |(_, t)| t),
        false => declared,
    };
    let bare = bare.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
    let bare = bare.rsplit(['.', ':', '[', ']', '<', '&', '*']).next().unwrap_or(bare);
    case.facts().find_map(|(_, fact)| {
        let FactKind::Type(def) = &fact.kind else { return None };
        if def.name != bare || def.own_print && !is_json {
            return None;
        }
        let field = def.fields.iter().find(|(name, of)| {
            let is_left_out = is_json && of.starts_with("@JsonIgnore");
            !is_left_out
                && !hides(Some(of))
                && !is_own_type(of, case)
                && is_meant(class_of(name, case))
        });
        if let Some((name, _)) = field {
            return Some((def, name.as_str()));
        }
        let deeper = def.fields.iter().filter(|(_, of)| depth < 3 && *of != def.name);
        let mut found =
            deeper.filter_map(|(_, of)| printed_field(of, is_json, case, is_meant, depth + 1));
        found.next()
    })
}

/// Whether a declared type is one of the repository's: then its name says little of what is in it.
fn is_own_type(declared: &str, case: &Case<'_>) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    let names: Vec<&str> = declared.split(|c| !is_letter(c)).filter(|n| !n.is_empty()).collect();
    case.facts().any(
        |(_, fact)| matches!(&fact.kind, FactKind::Type(def) if names.contains(&def.name.as_str())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Repository};

    #[test]
    fn names_have_classes() {
        let (repository, config) = (Repository::default(), Config::default());
        let case = Case { repository: &repository, service: None, config: &config, live: None };
        let cases = [
            ("user.password", Some(Class::Credential)),
            ("req.headers.authorization", Some(Class::Header)),
            ("request.headers", Some(Class::Header)),
            ("response.headers", None),
            ("req.body", Some(Class::Body)),
            ("req.body.email", Some(Class::Personal)),
            ("request.get_json()", Some(Class::Body)),
            ("card.number", Some(Class::Card)),
            ("cardNumber", Some(Class::Card)),
            ("settings.DATABASE_URL", Some(Class::Connection)),
            ("apiKey", Some(Class::Credential)),
            ("generate_token()", Some(Class::Credential)),
            ("validate_token()", None),
            ("has_token", None),
            ("next_token", None),
            ("token_count", None),
            ("old_sync_token", None),
            ("reservation_token", None),
            ("db_log_url", None),
            ("project.files.credentials", None),
            ("dataset.full_name", None),
            ("user.full_name", Some(Class::Personal)),
            ("secret_name", None),
            ("token.user_id", None),
            ("password_policy", None),
            ("user.getPassword()", Some(Class::Credential)),
            ("u.get_password()", Some(Class::Credential)),
            ("req.GetPassword()", Some(Class::Credential)),
            ("user.password()", Some(Class::Credential)),
            ("user.getEmail()", Some(Class::Personal)),
            ("card.getCardNumber()", Some(Class::Card)),
            ("request.getHeaders()", Some(Class::Header)),
            ("c.Request.Header", Some(Class::Header)),
            ("c.Request.Body", Some(Class::Body)),
            ("entry.getKey()", None),
            ("user.getTokenCount()", None),
            ("policy.getPasswordPolicy()", None),
            ("page.getNextToken()", None),
            ("token.key", Some(Class::Credential)),
            ("recipient_email", Some(Class::Personal)),
            ("send_email", None),
            ("uncertainty", None),
            ("monkey", None),
            ("author", None),
            ("passenger", None),
            ("user.id", None),
            ("process.env", Some(Class::Credential)),
            ("process.env.PORT", None),
            ("os.Environ()", Some(Class::Credential)),
            ("otp", Some(Class::Credential)),
            ("mfa.code", Some(Class::Credential)),
            ("status.code", None),
            ("r.PostForm", Some(Class::Body)),
            ("r.Form.city", None),
            ("request.META", Some(Class::Header)),
            ("request.meta", None),
            ("req.headers()", Some(Class::Header)),
            ("httputil.DumpRequest()", Some(Class::Header)),
            ("ctx.cookies.sid", Some(Class::Header)),
            ("request.cookies.theme", None),
            ("requests.post().text", Some(Class::Body)),
            ("widget.post().text", None),
        ];
        for (name, class) in cases {
            assert_eq!(class_of(name, &case), class, "{name}");
        }
    }
}
