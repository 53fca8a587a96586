//! The names whose values are never shown, whatever their spelling.
//!
//! A path is cut into words: at dots, at everything that is not a letter or digit, and where camelCase turns. A rule is a run
//! of words. It matches where the run ends together with a segment (`user.access_token`, `card.number`), so `max_tokens`,
//! `token_count` and `passwordless` stay readable. Trailing words that say nothing (`password_hash`, `cookie.value`) are
//! looked through. A denied segment denies what lies below it (`cookie.session`), unless the last segment is only about the
//! value (`http.request.body.size`, `gen_ai.token.type`).

use std::collections::HashMap;

/// The guide's never-log list and its common spellings. The first form names the rule in reports.
const DENIED: &[&[&str]] = &[
    &["password"],
    &["passwords"],
    &["passwd"],
    &["pwd"],
    &["passphrase"],
    &["passcode"],
    &["db", "pass"],
    &["user", "pass"],
    &["token"],
    &["access", "tokens"],
    &["refresh", "tokens"],
    &["bearer"],
    &["jwt"],
    &["authorization"],
    &["authorisation"],
    &["auth", "header"],
    &["cookie"],
    &["cookies"],
    &["secret"],
    &["secrets"],
    &["credential"],
    &["credentials"],
    &["api", "key"],
    &["api", "keys"],
    &["private", "key"],
    &["access", "key"],
    &["secret", "key"],
    &["signing", "key"],
    &["encryption", "key"],
    &["credit", "card"],
    &["card", "number"],
    &["card", "no"],
    &["card", "num"],
    &["cc", "number"],
    &["cc", "num"],
    &["cvv"],
    &["cvv2"],
    &["cvc"],
    &["cvc2"],
    &["security", "code"],
    &["ssn"],
    &["social", "security"],
    &["social", "security", "number"],
    &["request", "body"],
    &["response", "body"],
    &["req", "body"],
    &["res", "body"],
    &["resp", "body"],
    &["raw", "body"],
    // What identifies a person.
    &["email"],
    &["emails"],
    &["e", "mail"],
    &["email", "address"],
    &["mail", "address"],
    &["phone"],
    &["phones"],
    &["phone", "number"],
    &["phone", "no"],
    &["telephone"],
    &["telephone", "number"],
    &["mobile", "number"],
    &["msisdn"],
    ADDRESS,
    &["addresses"],
    &["date", "of", "birth"],
    &["birth", "date"],
    &["birthday"],
    &["dob"],
    // The secret half of signed URLs.
    &["amz", "signature"],
    &["goog", "signature"],
    &["access", "key", "id"],
    // Words that people write together without any boundary.
    &["accesstoken"],
    &["refreshtoken"],
    &["authtoken"],
    &["idtoken"],
    &["clientsecret"],
    &["setcookie"],
];

/// The one name whose meaning depends on what stands before it.
const ADDRESS: &[&str] = &["address"];

/// What makes an address that of a machine.
const OF_A_MACHINE: &[&str] = &[
    "admin",
    "advertised",
    "api",
    "base",
    "bind",
    "bound",
    "broker",
    "client",
    "cluster",
    "collector",
    "database",
    "db",
    "dest",
    "destination",
    "downstream",
    "dst",
    "endpoint",
    "gateway",
    "grpc",
    "host",
    "http",
    "instance",
    "interface",
    "ip",
    "ipv4",
    "ipv6",
    "listen",
    "listener",
    "listening",
    "local",
    "mac",
    "memory",
    "metrics",
    "net",
    "network",
    "node",
    "ops",
    "otlp",
    "peer",
    "physical",
    "pod",
    "proxy",
    "redis",
    "remote",
    "return",
    "scrape",
    "server",
    "service",
    "socket",
    "source",
    "src",
    "target",
    "upstream",
    "virtual",
];

/// Words at the end of a name that still denote the secret itself.
const LOOKED_THROUGH: &[&str] = &[
    "value",
    "header",
    "hash",
    "hashed",
    "confirmation",
    "confirm",
    "raw",
    "plain",
    "plaintext",
    "text",
    "string",
    "str",
    "again",
    "encoded",
    "base64",
    "old",
    "new",
    "json",
];

/// Last segments that describe the secret and do not contain it.
const ABOUT: &[&str] = &[
    "type",
    "types",
    "count",
    "counts",
    "size",
    "length",
    "len",
    "bytes",
    "name",
    "names",
    "arn",
    "present",
    "expires",
    "expiry",
    "expired",
    "expiration",
    "ttl",
    "version",
    "kind",
    "status",
    "valid",
    "age",
    "state",
    "limit",
    "usage",
    "scheme",
    "provider",
    "source",
    "at",
    "in",
    "truncated",
    "sent",
    "verified",
    "domain",
    "template",
];

/// The built-in rules, indexed by their last word.
#[derive(Debug)]
pub(crate) struct Names {
    by_last_word: HashMap<String, Vec<Rule>>,
}

#[derive(Debug)]
struct Rule {
    words: Vec<String>,
    label: String,
}

/// One word of a path: its place in the lower-case buffer, and whether a segment ends with it.
#[derive(Debug, Clone, Copy)]
struct Word {
    start: usize,
    end: usize,
    segment: usize,
}

impl Names {
    pub(crate) fn builtin() -> Names {
        let mut by_last_word: HashMap<String, Vec<Rule>> = HashMap::new();
        let mut add = |words: Vec<String>, label: String| {
            if let Some(last) = words.last().cloned() {
                by_last_word.entry(last).or_default().push(Rule { words, label });
            }
        };
        for words in DENIED {
            let label = words.join("_");
            add(words.iter().map(|word| (*word).to_owned()).collect(), label.clone());
            if words.len() > 1 {
                add(vec![words.concat()], label);
            }
        }
        Names { by_last_word }
    }

    /// Returns the last word of every rule: one of them occurs in every path that [`Names::rule`] matches.
    pub(crate) fn last_words(&self) -> impl Iterator<Item = &str> {
        self.by_last_word.keys().map(String::as_str)
    }

    /// Returns the literal texts one of which occurs (in any case) in a usual spelling of every
    /// denied name. Longer than [`Names::last_words`], so that ordinary text rarely contains one.
    pub(crate) fn literals(&self) -> Vec<String> {
        let mut literals: Vec<String> =
            self.by_last_word.keys().filter(|word| word.len() > 4).cloned().collect();
        for rules in self.by_last_word.values() {
            for rule in rules {
                // A short or common last word (`key`, `body`) is looked for together with the word before it.
                let is_common = rule.words.len() > 1
                    || matches!(rule.words.last().map(String::len), Some(0..=4));
                if is_common {
                    for separator in ["", "_", "-", ".", " "] {
                        literals.push(rule.words.join(separator));
                    }
                }
            }
        }
        literals.retain(|literal| {
            !matches!(literal.as_str(), "number" | "security" | "header" | "tokens")
        });
        literals.sort();
        literals.dedup();
        literals
    }

    /// Returns the label of the rule that denies this path.
    pub(crate) fn rule(&self, path: &str) -> Option<&str> {
        let mut lower = String::with_capacity(path.len());
        let words = split_words(path, &mut lower);
        let last_segment = words.last()?.segment;
        let word_at = |index: usize| -> &str {
            words.get(index).and_then(|word| lower.get(word.start..word.end)).unwrap_or_default()
        };

        for end in 0..words.len() {
            let word = words.get(end)?;
            let ends_segment = self.ends_segment(&words, &lower, end);
            if !ends_segment {
                continue;
            }
            let Some(rules) = lower.get(word.start..word.end).and_then(|last| {
                // `cvv2` is a name of its own, `password2` is one of many.
                let unnumbered = last.trim_end_matches(|letter: char| letter.is_ascii_digit());
                self.by_last_word.get(last).or_else(|| self.by_last_word.get(unnumbered))
            }) else {
                continue;
            };
            let found = rules.iter().find(|rule| {
                rule.words.len() <= end + 1
                    // The last word is known to match.
                    && rule.words.iter().enumerate().rev().skip(1).all(|(index, expected)| {
                        word_at(end + 1 - rule.words.len() + index) == expected
                    })
            });
            let Some(rule) = found else { continue };
            let of_a_machine =
                rule.words == ADDRESS && end > 0 && OF_A_MACHINE.contains(&word_at(end - 1));
            if of_a_machine {
                continue;
            }
            let only_about = word.segment < last_segment
                && words.iter().filter(|word| word.segment == last_segment).all(|word| {
                    lower.get(word.start..word.end).is_some_and(|word| ABOUT.contains(&word))
                });
            if !only_about {
                return Some(&rule.label);
            }
        }
        None
    }

    /// Returns whether nothing that matters follows this word in its segment.
    fn ends_segment(&self, words: &[Word], lower: &str, index: usize) -> bool {
        let Some(this) = words.get(index) else { return false };
        words.iter().skip(index + 1).take_while(|word| word.segment == this.segment).all(|word| {
            lower.get(word.start..word.end).is_some_and(|word| {
                LOOKED_THROUGH.contains(&word) || word.bytes().all(|byte| byte.is_ascii_digit())
            })
        })
    }
}

/// The label of the rule about addresses.
pub(crate) fn is_address_rule(label: &str) -> bool {
    ADDRESS == [label]
}

/// Returns whether a value is the address of a machine: `10.0.0.1`, `[::1]:80`, `db:5432`, `:8080`, `http://…`.
pub(crate) fn is_network_address(value: &str) -> bool {
    let value = value.trim();
    let unbracketed = value.trim_start_matches('[').trim_end_matches(']');
    if unbracketed.parse::<core::net::IpAddr>().is_ok()
        || value.parse::<core::net::SocketAddr>().is_ok()
    {
        return true;
    }
    if let Some((scheme, rest)) = value.split_once("://") {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-');
        return !scheme.is_empty() && scheme.chars().all(is_plain) && !rest.contains(' ');
    }
    let Some((host, port)) = value.rsplit_once(':') else { return false };
    port.parse::<u16>().is_ok()
        && host
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_'))
}

/// Cuts a path into lower-case words, which it appends to `lower`.
fn split_words(path: &str, lower: &mut String) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::with_capacity(8);
    let mut segment = 0;
    let mut word_start: Option<usize> = None;
    let mut previous: Option<char> = None;
    let mut characters = path.chars().peekable();
    while let Some(character) = characters.next() {
        if !character.is_alphanumeric() {
            if let Some(start) = word_start.take() {
                words.push(Word { start, end: lower.len(), segment });
            }
            if character == '.' && !words.is_empty() {
                segment += 1;
            }
            previous = None;
            continue;
        }
        let turns = match previous {
            // `accessToken`, `card2Number`
            Some(before) if character.is_uppercase() && !before.is_uppercase() => true,
            // `HTTPToken`: the last capital belongs to the next word.
            Some(before) if character.is_uppercase() && before.is_uppercase() => {
                characters.peek().is_some_and(|next| next.is_lowercase())
            }
            _ => false,
        };
        if turns && let Some(start) = word_start.take() {
            words.push(Word { start, end: lower.len(), segment });
        }
        if word_start.is_none() {
            word_start = Some(lower.len());
        }
        lower.extend(character.to_lowercase());
        previous = Some(character);
    }
    if let Some(start) = word_start {
        words.push(Word { start, end: lower.len(), segment });
    }
    words
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn denied_and_readable_names() {
        let names = Names::builtin();
        for denied in [
            "password",
            "Password",
            "PASSWORD",
            "user.password",
            "newPassword",
            "password_hash",
            "password2",
            "db_passwd",
            "pwd",
            "token",
            "access_token",
            "accessToken",
            "Access-Token",
            "x-csrf-token",
            "idToken",
            "http.request.header.authorization",
            "Proxy-Authorization",
            "cookie",
            "Set-Cookie",
            "cookie.session",
            "client_secret",
            "apiKey",
            "api_key",
            "API-KEY",
            "x-api-key",
            "apikey",
            "APIKey",
            "credit_card",
            "creditCardNumber",
            "card.number",
            "cardnumber",
            "cvv",
            "ssn",
            "user.SSN",
            "socialSecurityNumber",
            "request.body",
            "http.request.body",
            "requestBody",
            "request.body.email",
            "res.body",
            "aws_secret_access_key",
            "HTTPToken",
            "headers.x-auth-token",
            "privateKey",
            "a.b.c.d.e.secret",
            "email",
            "user.email",
            "customerEmail",
            "e-mail",
            "email_address",
            "phone",
            "phoneNumber",
            "customer.phone_number",
            "address",
            "billing_address",
            "shippingAddress",
            "user.address.street",
            "date_of_birth",
            "dateOfBirth",
            "dob",
            "user.birth_date",
            "X-Amz-Signature",
            "AWSAccessKeyId",
        ] {
            assert!(names.rule(denied).is_some(), "{denied} must be denied");
        }
        for readable in [
            "",
            ".",
            "user_id",
            "max_tokens",
            "token_count",
            "token_type",
            "gen_ai.usage.input_tokens",
            "gen_ai.token.type",
            "http.request.body.size",
            "passwordless",
            "k8s.secret.name",
            "request_id",
            "keyspace",
            "cache.key",
            "cardinality",
            "body",
            "message",
            "payment_method",
            "classname",
            "secretary",
            "cookie.count",
            "tokenizer",
            "author",
            "authorized",
            "server.address",
            "client.address",
            "network.peer.address",
            "remote_address",
            "ip_address",
            "email_count",
            "email.sent",
            "emailer",
            "phone_type",
            "address_id",
            "update_date",
        ] {
            assert_eq!(names.rule(readable), None, "{readable} must stay readable");
        }
    }

    #[test]
    fn every_denied_path_contains_a_literal() {
        let names = Names::builtin();
        let literals = names.literals();
        for words in super::DENIED {
            for separator in ["", "_", "-", ".", " "] {
                let text = words.join(separator);
                assert!(literals.iter().any(|literal| text.contains(literal.as_str())), "{text}");
            }
        }
    }
}
