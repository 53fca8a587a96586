//! E-mail's settings.

use super::super::http::source_of;
use super::super::reader::Reader;
use super::super::section::Section;
use super::super::{SecretSource, TlsConfig};
use super::{Globals, template};

/// E-mail over SMTP. `to`, `from`, `headers`, `html` and `text` are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct Email {
    /// Who is told: addresses separated by commas.
    pub to: String,
    /// The sender's address.
    pub from: String,
    /// How we introduce ourselves.
    pub hello: String,
    /// The mail server's `host:port`.
    pub smarthost: String,
    /// The user's name; without it nobody logs in.
    pub auth_username: Option<String>,
    /// The password, for PLAIN and LOGIN.
    pub auth_password: Option<SecretSource>,
    /// The secret, for CRAM-MD5.
    pub auth_secret: Option<SecretSource>,
    /// The identity to act as, for PLAIN.
    pub auth_identity: Option<String>,
    /// Headers by their canonical names; `Subject` is always among them.
    pub headers: Vec<(String, String)>,
    /// The body as HTML; empty for none.
    pub html: String,
    /// The body as text; empty for none.
    pub text: String,
    /// Whether nothing is sent without TLS (STARTTLS).
    pub require_tls: bool,
    /// Whether TLS begins with the connection; by default on port 465.
    pub implicit_tls: bool,
    /// What is trusted.
    pub tls: TlsConfig,
    /// Whether e-mails about one group form a thread in the reader's mailbox.
    pub threads: bool,
    /// Whether each day begins a thread of its own.
    pub thread_by_date: bool,
}

impl Reader<'_> {
    pub(super) fn email(&mut self, section: &Section, globals: &Globals) -> Option<Email> {
        let global = &globals.section;
        self.at_least_one(section, &["to"], "an email receiver");
        self.at_most_one(section, &["auth_password", "auth_password_file"]);
        self.at_most_one(section, &["auth_secret", "auth_secret_file"]);
        let either =
            |own: &str, shared: &str| section.filled(own).or_else(|| global.filled(shared));
        let smarthost = either("smarthost", "smtp_smarthost");
        let from = either("from", "smtp_from");
        for (value, own, shared) in
            [(&smarthost, "smarthost", "smtp_smarthost"), (&from, "from", "smtp_from")]
        {
            if value.is_none() {
                let message = format!("an email receiver needs `{own}`, or `{shared}` in global");
                self.error(section.place, "missing-key", message);
            }
        }
        let switch =
            |own: &str, shared: &str| section.switch(own).or_else(|| global.switch(shared));
        let secret = |own: [&str; 2], shared: [&str; 2]| {
            source_of(section, own[0], own[1]).or_else(|| source_of(global, shared[0], shared[1]))
        };
        let own_tls = section.section("tls_config").map(|tls| self.tls_config(tls));
        let threading = section.section("threading");
        let implicit_tls = switch("force_implicit_tls", "smtp_force_implicit_tls");
        let headers = self.headers_of(section);
        let port_is_465 = smarthost.as_ref().is_some_and(|host| host.ends_with(":465"));
        Some(Email {
            to: section.filled("to")?,
            from: from?,
            hello: either("hello", "smtp_hello").unwrap_or_else(|| "localhost".into()),
            smarthost: smarthost?,
            auth_username: either("auth_username", "smtp_auth_username"),
            auth_password: secret(
                ["auth_password", "auth_password_file"],
                ["smtp_auth_password", "smtp_auth_password_file"],
            ),
            auth_secret: secret(
                ["auth_secret", "auth_secret_file"],
                ["smtp_auth_secret", "smtp_auth_secret_file"],
            ),
            auth_identity: either("auth_identity", "smtp_auth_identity"),
            headers,
            html: template(section, "html", r#"{{ template "email.default.html" . }}"#),
            text: template(section, "text", ""),
            require_tls: switch("require_tls", "smtp_require_tls").unwrap_or(true),
            implicit_tls: implicit_tls.unwrap_or(port_is_465),
            tls: own_tls.unwrap_or_else(|| globals.smtp_tls.clone()),
            threads: threading.is_some_and(|t| t.switch("enabled").unwrap_or(false)),
            thread_by_date: threading
                .is_some_and(|t| t.text("thread_by_date").as_deref() != Some("none")),
        })
    }

    /// The headers by their canonical names: `message-id` is `Message-Id`.
    fn headers_of(&mut self, section: &Section) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, value) in section.map("headers") {
            let canonical = canonical(&name.value);
            if headers.iter().any(|(known, _)| *known == canonical) {
                let message = format!("header {canonical:?} occurs twice");
                self.error(name.place, "duplicate", message);
                continue;
            }
            headers.push((canonical, value.value.clone()));
        }
        if !headers.iter().any(|(name, _)| name == "Subject") {
            let subject = r#"{{ template "email.default.subject" . }}"#;
            headers.push(("Subject".into(), subject.into()));
        }
        headers
    }
}

fn canonical(name: &str) -> String {
    let mut upper = true;
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        out.push(if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() });
        upper = c == '-';
    }
    out
}
