//! The class of a name: which words make a value sensitive, and which make it a statement about one.

use std::sync::LazyLock;

use skopos_redact::Redactor;

use super::request::{of_call, of_request};
use super::{Class, words};
use crate::Case;

static REDACTOR: LazyLock<Redactor> = LazyLock::new(Redactor::default);
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
    "time",
    "latency",
    "cost",
];

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
        && !is_whose(&own)
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
    let jar = |part: &&str| matches!(*part, "cookies" | "COOKIES" | "cookies()" | "signedCookies");
    if let Some(at) = parts.iter().position(jar)
        && parts[at + 1..].iter().any(|key| {
            let key = key.to_ascii_lowercase();
            of_session.iter().any(|word| key.contains(word))
        })
    {
        // Of a cookie in hand, its value.
        let is_whole = at + 2 >= parts.len()
            || !matches!(joined.as_str(), "name" | "path" | "domain" | "expires");
        return is_whole.then_some(Class::Header);
    }
    if is_connection(&own, &joined) {
        return Some(Class::Connection);
    }
    let personal = matches!(
        joined.as_str(),
        "email"
            | "e_mail"
            | "email_address"
            | "emailaddress"
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
    // Where somebody lives; hosts have addresses too, but no streets.
    let of_home = || {
        matches!(
            joined.as_str(),
            "street"
                | "street1"
                | "line1"
                | "address_line1"
                | "zip"
                | "zip_code"
                | "postcode"
                | "postal_code"
                | "house_number"
        ) && words(before).last().is_some_and(|word| word == "address")
    };
    if personal || joined == "full_name" && of_person() || of_home() {
        return Some(Class::Personal);
    }
    class_by_rule(last)
}

/// Names whose first word looks like a verb or a count and is none: `first_name`, `reset_token`, `current_password`.
fn is_whose(own: &[String]) -> bool {
    let [first, second] = own else { return false };
    match second.as_str() {
        "name" => matches!(first.as_str(), "first" | "last"),
        "token" | "code" | "link" => first == "reset",
        "password" | "passwd" => {
            matches!(first.as_str(), "current" | "previous" | "prev" | "last" | "input" | "next")
        }
        _ => false,
    }
}

/// Everything the process was given: keys and passwords are among it.
pub(super) fn is_environment(path: &str) -> bool {
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

/// Whether a name is of what holds an account's name and password: elsewhere `pass` is a verb or a count.
fn is_account(name: &str) -> bool {
    words(name).last().is_some_and(|word| {
        const HOLDS: [&str; 14] = [
            "form",
            "creds",
            "cred",
            "credentials",
            "login",
            "auth",
            "account",
            "config",
            "cfg",
            "conf",
            "smtp",
            "mail",
            "db",
            "user",
        ];
        HOLDS.contains(&word.as_str())
    })
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
            | "secret_answer"
            | "security_answer"
            | "seed_phrase"
            | "mnemonic"
    ) || joined == "code" && matches!(before, "otp" | "totp" | "mfa")
        || joined == "session_key" && before == "session"
        || joined == "pass" && is_account(before)
}

/// The class of a name by the redactor's taxonomy alone.
pub(super) fn class_by_rule(name: &str) -> Option<Class> {
    class_of_rule(REDACTOR.name_rule(name)?)
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

/// What a getter gets: `user.getPassword()` is `user.password`. A record's accessor (`user.password()`) is one where the
/// word leaves no doubt.
fn gotten(parts: &[&str], own: &[String]) -> Option<String> {
    let before = parts.len().checked_sub(2).map_or("", |at| parts[at]);
    let verb = own.first().map(String::as_str).unwrap_or_default();
    if own.len() > 1 && matches!(verb, "get" | "retrieve" | "reveal" | "decrypt") {
        // `getAccountabilityForToken()` gives no token.
        let own = match own.iter().skip(2).position(|word| word == "for") {
            Some(at) => &own[..at + 2],
            None => own,
        };
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

/// Whether the name of a type says that its values are addresses with credentials: `type DBConnString string`.
pub(crate) fn is_connection_type(declared: &str) -> bool {
    let name = declared.rsplit(['.', ':']).next().unwrap_or(declared);
    let own = words(name);
    let joined = own.join("_");
    ["conn_string", "conn_str", "connection_string", "dsn"].iter().any(|end| joined.ends_with(end))
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
        "datasource",
        "jdbc",
    ];
    joined == "connection_string"
        || joined.ends_with("connect_string")
        || joined == "conn_string"
        || joined == "conn_str"
        || joined == "connstr"
        || joined == "conninfo"
        || joined == "dsn"
        || joined.ends_with("_dsn")
        || joined.ends_with("connection_string")
        || (matches!(last, "url" | "uri") && own.iter().any(|word| stores.contains(&word.as_str())))
        || joined == "databaseurl"
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
