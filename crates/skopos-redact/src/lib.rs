//! What must never be logged, and how it is taken out.
//!
//! A [`Redactor`] decides two things: whether a *name* (`user.password`, `Set-Cookie`, `apiKey`) must not carry its value,
//! and which parts of a *text* are secrets (card numbers, tokens, `password=…`, credentials in URLs). Skopos uses the same
//! one for its own log lines, spans and health answers, and for foreign log bodies and attributes at ingest.
//!
//! It is **not** a logger, knows no log format and does no I/O. It does not find secrets that nothing marks as such: an
//! unlabelled random string, or the second word of an unquoted `password=two words`, passes.
//!
//! It promises:
//! - the value of a denied name never survives, at any depth and in any spelling (`access_token`, `accessToken`, `Access-Token`);
//! - redacting twice changes nothing more;
//! - text in which nothing suspicious occurs is returned as it came, borrowed, after one pass;
//! - a rule that does not parse is an [`Error`], never a rule that silently matches nothing.
//!
//! ```
//! use skopos_redact::Redactor;
//!
//! let redactor = Redactor::builder().deny("**.pin").build()?;
//! assert!(redactor.redact_name("req.headers.Authorization"));
//! assert!(redactor.redact_name("account.pin"));
//! assert!(!redactor.redact_name("gen_ai.usage.input_tokens"));
//!
//! let redacted = redactor.redact_text("login failed: user=ann password=hunter2");
//! assert_eq!(redacted.text, "login failed: user=ann password=[REDACTED]");
//! assert_eq!(redacted.hits, ["password"]);
//! # Ok::<(), skopos_redact::Error>(())
//! ```
//!
//! A value that must not be logged is best given a type that cannot be: [`Secret<T>`], or `#[derive(skopos::Redacted)]` for
//! a struct of which some fields are secrets. A test of one's own plants a [`Canary`] and looks for it in every sink.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

mod canary;
mod detect;
mod names;
mod rules;
mod secret;
mod shown;
mod text;

pub use canary::Canary;
pub use detect::Detector;
pub use secret::Secret;
#[doc(hidden)]
pub use shown::{Hidden, Shown};

use detect::Detectors;
use names::Names;
use rules::PathRule;
use text::Scanner;

/// What stands in the place of a secret.
///
/// ```
/// let shown = skopos_redact::Redactor::default().redact_value("password", "hunter2");
/// assert_eq!(shown, skopos_redact::REDACTED);
/// ```
pub const REDACTED: &str = "[REDACTED]";

/// Why a redactor could not be built.
///
/// ```
/// use skopos_redact::{Error, Redactor};
///
/// let error = Redactor::builder().deny("user..pin").build().unwrap_err();
/// assert_eq!(error, Error::EmptySegment { rule: "user..pin".to_owned() });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The rule is empty, or one of its segments is (`a..b`).
    #[error("redaction rule `{rule}` has an empty segment")]
    EmptySegment {
        /// The rule as it was given.
        rule: String,
    },
    /// A character that no field name has.
    #[error("redaction rule `{rule}` has an unexpected `{character}` at byte {offset}")]
    UnexpectedCharacter {
        /// The rule as it was given.
        rule: String,
        /// The character.
        character: char,
        /// Where it stands, in bytes.
        offset: usize,
    },
    /// `**` stands for whole segments: it cannot be a part of one.
    #[error("redaction rule `{rule}` uses `**` inside a segment")]
    PartialDoubleStar {
        /// The rule as it was given.
        rule: String,
    },
    /// A rule of wildcards only would redact everything.
    #[error("redaction rule `{rule}` names nothing: it would match every field")]
    MatchesEverything {
        /// The rule as it was given.
        rule: String,
    },
    /// The names could not be compiled into one search.
    #[error("redaction rules could not be compiled: {reason}")]
    Compile {
        /// What the compiler of the search said.
        reason: String,
    },
}

/// A text after redaction.
///
/// ```
/// use std::borrow::Cow;
///
/// let redactor = skopos_redact::Redactor::default();
/// let redacted = redactor.redact_text("paid with 4111 1111 1111 1111");
/// assert_eq!((&*redacted.text, redacted.hits), ("paid with [REDACTED]", vec!["card_number_value"]));
/// assert!(matches!(redactor.redact_text("paid").text, Cow::Borrowed(_)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted<'r, 'a> {
    /// The text without its secrets; borrowed when there were none.
    pub text: Cow<'a, str>,
    /// The rule or detector behind each replacement, in text order; a closed set, fit for a metric label.
    pub hits: Vec<&'r str>,
}

/// Decides what must not be logged. Compiled once; cloning shares it.
///
/// ```
/// let redactor = skopos_redact::Redactor::default();
/// assert!(redactor.redact_name("user.password"));
/// assert_eq!(redactor.redact_text("token=abc123").text, "token=[REDACTED]");
/// ```
#[derive(Debug, Clone)]
pub struct Redactor {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    names: Names,
    deny: Vec<PathRule>,
    allow: Vec<PathRule>,
    scanner: Scanner,
}

/// Collects the rules of a [`Redactor`].
///
/// ```
/// let redactor = skopos_redact::Redactor::builder()
///     .deny("payment.*.iban")
///     .allow("address")
///     .build()?;
/// assert!(redactor.redact_name("payment.refund.iban") && !redactor.redact_name("address"));
/// # Ok::<(), skopos_redact::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Builder {
    deny: Vec<String>,
    allow: Vec<String>,
    detectors: Detectors,
}

impl Builder {
    /// Adds a dotted path whose value is never shown. `*` stands for one segment or a part of one, `**` for any number of
    /// segments. Case, `_` and `-` do not matter. What lies below a denied path is denied too.
    ///
    /// ```
    /// let redactor = skopos_redact::Redactor::builder().deny("req.*.pin").deny("**.iban").build()?;
    /// assert!(redactor.redact_name("req.body.PIN") && redactor.redact_name("a.b.iban.country"));
    /// assert!(!redactor.redact_name("pin"));
    /// # Ok::<(), skopos_redact::Error>(())
    /// ```
    #[must_use]
    pub fn deny(mut self, rule: impl Into<String>) -> Self {
        self.deny.push(rule.into());
        self
    }

    /// Adds several paths, as [`Builder::deny`].
    ///
    /// ```
    /// let redactor = skopos_redact::Redactor::builder().deny_all(["**.pin", "**.iban"]).build()?;
    /// assert!(redactor.redact_name("pin") && redactor.redact_name("payee.iban"));
    /// # Ok::<(), skopos_redact::Error>(())
    /// ```
    #[must_use]
    pub fn deny_all<I: IntoIterator<Item: Into<String>>>(mut self, rules: I) -> Self {
        self.deny.extend(rules.into_iter().map(Into::into));
        self
    }

    /// Exempts a dotted path from the built-in names (never from rules given by [`Builder::deny`]).
    ///
    /// ```
    /// let redactor = skopos_redact::Redactor::builder().allow("shop.phone").build()?;
    /// assert!(!redactor.redact_name("shop.phone") && redactor.redact_name("user.phone"));
    /// # Ok::<(), skopos_redact::Error>(())
    /// ```
    #[must_use]
    pub fn allow(mut self, rule: impl Into<String>) -> Self {
        self.allow.push(rule.into());
        self
    }

    /// Turns a detector on; all but [`Detector::Email`] are on anyway.
    ///
    /// ```
    /// use skopos_redact::{Detector, Redactor};
    ///
    /// let redactor = Redactor::builder().detect(Detector::Email).build()?;
    /// assert_eq!(redactor.redact_text("mail to ann@example.org.").text, "mail to [REDACTED].");
    /// # Ok::<(), skopos_redact::Error>(())
    /// ```
    #[must_use]
    pub fn detect(mut self, detector: Detector) -> Self {
        self.detectors.set(detector, true);
        self
    }

    /// Turns a detector off, for texts in which it is more often wrong than right.
    ///
    /// ```
    /// use skopos_redact::{Detector, Redactor};
    ///
    /// let redactor = Redactor::builder().ignore(Detector::UsSsn).build()?;
    /// assert_eq!(redactor.redact_text("part 078-05-1120").text, "part 078-05-1120");
    /// # Ok::<(), skopos_redact::Error>(())
    /// ```
    #[must_use]
    pub fn ignore(mut self, detector: Detector) -> Self {
        self.detectors.set(detector, false);
        self
    }

    /// Compiles the rules.
    ///
    /// ```
    /// // Fails closed: a rule that would match nothing, or everything, is an error.
    /// assert!(skopos_redact::Redactor::builder().deny("**").build().is_err());
    /// ```
    ///
    /// # Errors
    /// The first rule that does not parse.
    pub fn build(self) -> Result<Redactor, Error> {
        let parse = |rules: Vec<String>| {
            rules.iter().map(|rule| PathRule::parse(rule)).collect::<Result<Vec<_>, _>>()
        };
        let deny = parse(self.deny)?;
        let allow = parse(self.allow)?;
        let names = Names::builtin();
        let scanner = Scanner::compile(&names, &deny, self.detectors)?;
        Ok(Redactor { inner: Arc::new(Inner { names, deny, allow, scanner }) })
    }
}

impl Default for Redactor {
    /// The built-in names and detectors, no rules of one's own. Compiled once a process.
    fn default() -> Self {
        static BUILT_IN: LazyLock<Redactor> = LazyLock::new(|| {
            Builder::default().build().expect("the built-in names compile: a unit test builds them")
        });
        BUILT_IN.clone()
    }
}

impl Redactor {
    /// Starts from the built-in names and detectors.
    ///
    /// ```
    /// let redactor = skopos_redact::Redactor::builder().deny("**.pin").build()?;
    /// assert!(redactor.redact_name("pin") && redactor.redact_name("password"));
    /// # Ok::<(), skopos_redact::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns whether the value at this dotted path must not be shown.
    ///
    /// ```
    /// let redactor = skopos_redact::Redactor::default();
    /// assert!(redactor.redact_name("headers.Set-Cookie") && redactor.redact_name("apiKey"));
    /// assert!(!redactor.redact_name("order_id"));
    /// ```
    pub fn redact_name(&self, path: &str) -> bool {
        self.name_rule(path).is_some()
    }

    /// Returns the rule that forbids to show the value at this dotted path.
    ///
    /// ```
    /// let redactor = skopos_redact::Redactor::builder().deny("**.pin").build()?;
    /// assert_eq!(redactor.name_rule("account.pin"), Some("**.pin"));
    /// assert_eq!(redactor.name_rule("order_id"), None);
    /// # Ok::<(), skopos_redact::Error>(())
    /// ```
    pub fn name_rule(&self, path: &str) -> Option<&str> {
        let inner = &*self.inner;
        if let Some(rule) = inner.deny.iter().find(|rule| rule.matches(path)) {
            return Some(rule.source());
        }
        if !inner.scanner.may_name(path) {
            return None;
        }
        let name = inner.names.rule(path)?;
        if inner.allow.iter().any(|rule| rule.matches(path)) {
            return None;
        }
        Some(name)
    }

    /// Takes the secrets out of a text.
    ///
    /// ```
    /// let redactor = skopos_redact::Redactor::default();
    /// let redacted = redactor.redact_text("postgres://app:hunter2@db/orders");
    /// assert_eq!(redacted.text, "postgres://app:[REDACTED]@db/orders");
    /// ```
    pub fn redact_text<'r, 'a>(&'r self, text: &'a str) -> Redacted<'r, 'a> {
        let Some(candidates) = self.inner.scanner.candidates(text) else {
            return Redacted { text: Cow::Borrowed(text), hits: Vec::new() };
        };
        let spans = text::secrets(self, text, &candidates);
        if spans.is_empty() {
            return Redacted { text: Cow::Borrowed(text), hits: Vec::new() };
        }
        let mut output = String::with_capacity(text.len());
        let mut hits = Vec::with_capacity(spans.len());
        let mut copied = 0;
        for span in &spans {
            output.push_str(text.get(copied..span.start).unwrap_or_default());
            output.push_str(REDACTED);
            hits.push(span.rule);
            copied = span.end;
        }
        output.push_str(text.get(copied..).unwrap_or_default());
        Redacted { text: Cow::Owned(output), hits }
    }

    /// Returns what may be shown of a named text value: the text, its clean part, or [`REDACTED`].
    ///
    /// ```
    /// let redactor = skopos_redact::Redactor::default();
    /// assert_eq!(redactor.redact_value("password", "hunter2"), "[REDACTED]");
    /// assert_eq!(redactor.redact_value("note", "token=abc123"), "token=[REDACTED]");
    /// assert_eq!(redactor.redact_value("order_id", "o-1"), "o-1");
    /// ```
    pub fn redact_value<'a>(&self, path: &str, value: &'a str) -> Cow<'a, str> {
        match self.name_rule(path) {
            Some(rule) if !(names::is_address_rule(rule) && names::is_network_address(value)) => {
                Cow::Borrowed(REDACTED)
            }
            _ => self.redact_text(value).text,
        }
    }
}
