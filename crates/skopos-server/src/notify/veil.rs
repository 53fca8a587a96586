//! Takes our secrets out of what receivers say: a mail server that refuses a login may repeat it, a gateway the
//! request's headers, and what it says is logged, stored and shown.
//!
//! Hidden are an integration's URL with its parts, its keys, user names, passwords and header values, as they
//! are and in the encodings in which they travel. A secret that comes back cut or changed is not known again.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use http::Uri;
use skopos_alerting::alertmanager::{Integration, SecretSource, Settings, Source};

use super::http::percent_decoded;
use super::secrets;

/// What stands in place of a secret, as in Alertmanager.
const MARK: &str = "<secret>";
/// Shorter texts are hidden only where they are words of their own.
const SHORT: usize = 4;
/// Shorter parts of a URL's path are no secrets: `v2`, `api`.
const PATH_PART: usize = 8;

/// The secrets of one integration.
#[derive(Default)]
pub(super) struct Veil(Vec<String>);

impl Veil {
    /// Reads them; files that cannot be read hold nothing that could come back.
    pub(super) async fn of(source: &Source, integration: &Integration) -> Self {
        let mut veil = Self::default();
        if let Some(url) = read(source, integration.endpoint().as_ref()).await {
            veil.hide_url(&url);
        }
        if let Some(key) = read(source, integration.key().as_ref()).await {
            veil.hide(&key);
        }
        let http = &integration.http;
        if let Some(auth) = &http.basic_auth {
            let user = read(source, Some(&auth.username)).await.unwrap_or_default();
            let password = read(source, auth.password.as_ref()).await.unwrap_or_default();
            veil.hide_login(&user, &password);
        }
        if let Some(auth) = &http.authorization
            && let Some(credentials) = read(source, auth.credentials.as_ref()).await
        {
            veil.hide(&credentials);
        }
        for value in http.headers.iter().flat_map(|header| &header.values) {
            if let Some(value) = read(source, Some(value)).await {
                veil.hide(&value);
            }
        }
        if let Some(proxy) = &http.proxy_url {
            veil.hide_url(proxy.expose());
        }
        if let Settings::Email(email) = &integration.settings {
            let user = email.auth_username.clone().unwrap_or_default();
            let password = read(source, email.auth_password.as_ref()).await.unwrap_or_default();
            veil.hide_login(&user, &password);
            let identity = email.auth_identity.as_deref().unwrap_or_default();
            for identity in ["", identity] {
                veil.add(STANDARD.encode(format!("{identity}\0{user}\0{password}")));
            }
            if let Some(secret) = read(source, email.auth_secret.as_ref()).await {
                veil.hide(&secret);
            }
        }
        veil.0.sort();
        veil.0.dedup();
        veil
    }

    /// A text, as it is and encoded.
    fn hide(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
            self.add(engine.encode(text));
        }
        self.add(form_urlencoded::byte_serialize(text.as_bytes()).collect());
        self.add(text.to_owned());
    }

    fn hide_login(&mut self, user: &str, password: &str) {
        self.hide(user);
        self.hide(password);
        if !password.is_empty() {
            self.hide(&format!("{user}:{password}"));
        }
    }

    /// A URL and what of it may be secret; its host is not.
    fn hide_url(&mut self, url: &str) {
        self.add(url.to_owned());
        let Ok(uri) = url.parse::<Uri>() else { return };
        if let Some((login, _)) = uri.authority().and_then(|a| a.as_str().rsplit_once('@')) {
            self.add(login.to_owned());
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            self.hide_login(&percent_decoded(user), &percent_decoded(password));
        }
        let path = uri.path().trim_matches('/');
        for part in path.split('/').chain([path]).filter(|part| part.len() >= PATH_PART) {
            self.hide(part);
        }
        for (_, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            self.hide(&value);
        }
    }

    fn add(&mut self, text: String) {
        if !text.is_empty() {
            self.0.push(text.to_ascii_lowercase());
        }
    }

    /// The text without the secrets, in upper or lower case.
    pub(super) fn redact(&self, text: &str) -> String {
        // Of ASCII only, so that places stay the same.
        let lower = text.to_ascii_lowercase();
        let mut hidden: Vec<(usize, usize)> = Vec::new();
        for secret in &self.0 {
            let places =
                lower.match_indices(secret.as_str()).map(|(at, _)| (at, at + secret.len()));
            hidden.extend(places.filter(|place| secret.len() >= SHORT || is_word(&lower, *place)));
        }
        hidden.sort_unstable();
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for (start, end) in hidden {
            if start >= at {
                out.push_str(&text[at..start]);
                out.push_str(MARK);
            }
            at = at.max(end);
        }
        out.push_str(&text[at..]);
        out
    }
}

fn is_word(text: &str, (start, end): (usize, usize)) -> bool {
    let is_outside = |c: Option<char>| !c.is_some_and(char::is_alphanumeric);
    is_outside(text[..start].chars().next_back()) && is_outside(text[end..].chars().next())
}

async fn read(source: &Source, secret: Option<&SecretSource>) -> Option<String> {
    secrets::read(source, secret?).await.ok().map(|text| text.expose().clone())
}

#[cfg(test)]
mod tests {
    use skopos_alerting::alertmanager;

    use super::*;

    /// The veil of the first integration of a receiver.
    async fn veil(receiver: &str) -> Veil {
        let text = format!("route: {{receiver: r}}\nreceivers:\n- name: r\n  {receiver}\n");
        let config = alertmanager::load("am.yml", &text);
        let config = config.unwrap_or_else(|errors| panic!("{}", errors[0]));
        Veil::of(&config.source, &config.receivers[0].integrations[0]).await
    }

    #[tokio::test]
    async fn logins_are_hidden_in_every_form_in_which_they_travel() {
        let veil = veil(
            "email_configs: [{to: a@x, from: b@x, smarthost: 'h:25', auth_username: Ada+1, auth_password: 'se cret'}]",
        )
        .await;
        for (said, want) in [
            ("535 no user Ada+1 with se cret", "535 no user <secret> with <secret>"),
            ("ADA+1 is unknown", "<secret> is unknown"),
            (&format!("got {}.", STANDARD.encode("\0Ada+1\0se cret")), "got <secret>."),
            (&format!("got {}.", STANDARD.encode("Ada+1")), "got <secret>."),
            (&format!("got {}.", STANDARD_NO_PAD.encode("se cret")), "got <secret>."),
            ("Ada%2B1 se+cret", "<secret> <secret>"),
            ("nothing of ours", "nothing of ours"),
            ("", ""),
        ] {
            assert_eq!(veil.redact(said), want, "{said}");
        }
    }

    #[tokio::test]
    async fn urls_keys_and_headers_are_hidden_but_not_the_host() {
        let veil = veil(
            "webhook_configs: [{url: 'https://bob:p%40ss@hooks.example/v2/T000000000/b?token=abcdef', http_config: {http_headers: {X-Key: {values: [k3y!]}}}}]",
        )
        .await;
        for (said, want) in [
            ("hooks.example/v2 says bob:p@ss", "hooks.example/v2 says <secret>"),
            ("bobbing is bob", "bobbing is <secret>"),
            ("T000000000, abcdef, k3y!", "<secret>, <secret>, <secret>"),
            (&STANDARD.encode("bob:p@ss"), "<secret>"),
            ("/v2/t000000000/b", "/<secret>"),
        ] {
            assert_eq!(veil.redact(said), want, "{said}");
        }
    }
}
