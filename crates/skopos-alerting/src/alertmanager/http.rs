//! `http_config`: how to reach a receiver over HTTP.

use std::path::PathBuf;

use super::reader::Reader;
use super::section::Section;
use super::{Secret, SecretSource};

/// How to reach a receiver over HTTP.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpConfig {
    /// The `Authorization` header.
    pub authorization: Option<Authorization>,
    /// User name and password.
    pub basic_auth: Option<BasicAuth>,
    /// A token fetched from a token service.
    pub oauth2: Option<OAuth2>,
    /// TLS beyond the defaults.
    pub tls: TlsConfig,
    /// The proxy's URL, which may hold a password.
    pub proxy_url: Option<Secret>,
    /// Hosts that are reached without the proxy, separated by commas.
    pub no_proxy: Option<String>,
    /// Whether `HTTPS_PROXY` and its kin count.
    pub proxy_from_environment: bool,
    /// Whether a redirect is followed (Alertmanager's default is yes).
    pub follow_redirects: bool,
    /// Further headers.
    pub headers: Vec<HttpHeader>,
}

impl HttpConfig {
    /// What holds without any `http_config`.
    pub fn standard() -> Self {
        Self { follow_redirects: true, ..Self::default() }
    }
}

/// Type and credentials of the `Authorization` header.
#[derive(Clone, Debug, PartialEq)]
pub struct Authorization {
    /// `Bearer` unless given.
    pub scheme: String,
    /// What stands behind it.
    pub credentials: Option<SecretSource>,
}

/// User name and password.
#[derive(Clone, Debug, PartialEq)]
pub struct BasicAuth {
    /// The user's name.
    pub username: SecretSource,
    /// The password.
    pub password: Option<SecretSource>,
}

/// The client-credentials flow of OAuth 2.
#[derive(Clone, Debug, PartialEq)]
pub struct OAuth2 {
    /// The client's name.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<SecretSource>,
    /// Where tokens come from.
    pub token_url: String,
    /// What the token is for.
    pub scopes: Vec<String>,
    /// Further parameters of the request for a token.
    pub endpoint_params: Vec<(String, String)>,
}

/// What is trusted, and who we are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsConfig {
    /// Certificates of authorities trusted beside the system's (PEM).
    pub ca: Option<SecretSource>,
    /// Our certificate (PEM).
    pub cert: Option<SecretSource>,
    /// Its key (PEM).
    pub key: Option<SecretSource>,
    /// The name to expect in the certificate instead of the host's.
    pub server_name: Option<String>,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
    /// `TLS12` or `TLS13`; older versions are not spoken.
    pub min_version: Option<String>,
    /// `TLS12` or `TLS13`.
    pub max_version: Option<String>,
}

/// A header of `http_headers`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpHeader {
    /// Its name.
    pub name: String,
    /// Its values; all but those written as `values` are secrets.
    pub values: Vec<SecretSource>,
}

/// An inline secret, or else the file with it.
pub(super) fn source_of(section: &Section, inline: &str, file: &str) -> Option<SecretSource> {
    let written = section.secret(inline).map(SecretSource::Inline);
    let in_clear = || section.filled(inline).map(SecretSource::inline);
    let from_file = || section.filled(file).map(|path| SecretSource::File(PathBuf::from(path)));
    written.or_else(in_clear).or_else(from_file)
}

impl Reader<'_> {
    /// Complains when more than one of the keys holds something.
    pub(super) fn at_most_one(&mut self, section: &Section, keys: &[&str]) {
        let mut given = keys.iter().filter(|key| section.is_filled(key));
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            let message = format!("at most one of `{first}` and `{second}` may be given");
            self.error(section.key_place(second), "conflict", message);
        }
    }

    /// Complains when none of the keys holds something.
    pub(super) fn at_least_one(&mut self, section: &Section, keys: &[&str], what: &str) {
        if !keys.iter().any(|key| section.is_filled(key)) {
            let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
            let message = format!("{what} needs {}", keys.join(" or "));
            self.error(section.place, "missing-key", message);
        }
    }

    pub(super) fn http_config(&mut self, section: &Section) -> HttpConfig {
        self.at_most_one(section, &["bearer_token", "bearer_token_file"]);
        self.at_most_one(
            section,
            &["basic_auth", "authorization", "oauth2", "bearer_token", "bearer_token_file"],
        );
        self.proxy(section);
        let bearer = source_of(section, "bearer_token", "bearer_token_file");
        let authorization = section.section("authorization").map(|auth| self.authorization(auth));
        let basic_auth = section.section("basic_auth").map(|auth| {
            self.at_most_one(auth, &["username", "username_file"]);
            self.at_most_one(auth, &["password", "password_file"]);
            self.no_references(auth, &["username_ref", "password_ref"]);
            BasicAuth {
                username: source_of(auth, "username", "username_file")
                    .unwrap_or_else(|| SecretSource::inline("")),
                password: source_of(auth, "password", "password_file"),
            }
        });
        let headers = section.sections("http_headers").iter().map(|header| {
            let files = header.texts("files").into_iter();
            let texts = header.texts("values").into_iter().chain(header.texts("secrets"));
            HttpHeader {
                name: header.text("name").unwrap_or_default(),
                values: texts
                    .map(SecretSource::inline)
                    .chain(files.map(|path| SecretSource::File(path.into())))
                    .collect(),
            }
        });
        HttpConfig {
            headers: headers.collect(),
            oauth2: section.section("oauth2").map(|oauth2| self.oauth2(oauth2)),
            authorization: authorization.or(bearer
                .map(|token| Authorization { scheme: "Bearer".into(), credentials: Some(token) })),
            basic_auth,
            tls: section.section("tls_config").map(|tls| self.tls_config(tls)).unwrap_or_default(),
            proxy_url: section.secret("proxy_url"),
            no_proxy: section.filled("no_proxy"),
            proxy_from_environment: section.switch("proxy_from_environment").unwrap_or(false),
            follow_redirects: section.switch("follow_redirects").unwrap_or(true),
        }
    }

    fn authorization(&mut self, section: &Section) -> Authorization {
        self.at_most_one(section, &["credentials", "credentials_file"]);
        self.no_references(section, &["credentials_ref"]);
        let scheme = section.filled("type").unwrap_or_else(|| "Bearer".into());
        if scheme.trim().eq_ignore_ascii_case("basic") {
            let message = "`authorization` cannot be of type Basic: use `basic_auth`";
            self.error(section.key_place("type"), "value", message);
        }
        let credentials = source_of(section, "credentials", "credentials_file");
        Authorization { scheme: scheme.trim().into(), credentials }
    }

    fn oauth2(&mut self, section: &Section) -> OAuth2 {
        self.at_most_one(section, &["client_secret", "client_secret_file"]);
        self.no_references(section, &["client_secret_ref", "client_certificate_key_ref"]);
        self.at_least_one(section, &["client_id"], "oauth2");
        self.at_least_one(section, &["token_url"], "oauth2");
        self.proxy(section);
        if let Some(tls) = section.section("tls_config") {
            self.tls_config(tls);
        }
        let params = section.map("endpoint_params");
        OAuth2 {
            client_id: section.text("client_id").unwrap_or_default(),
            client_secret: source_of(section, "client_secret", "client_secret_file"),
            token_url: section.text("token_url").unwrap_or_default(),
            scopes: section.texts("scopes"),
            endpoint_params: params
                .iter()
                .map(|(k, v)| (k.value.clone(), v.value.clone()))
                .collect(),
        }
    }

    fn proxy(&mut self, section: &Section) {
        if section.switch("proxy_from_environment") == Some(true) {
            for key in ["proxy_url", "no_proxy"] {
                if section.is_filled(key) {
                    let message = format!("`{key}` cannot stand beside `proxy_from_environment`");
                    self.error(section.key_place(key), "conflict", message);
                }
            }
        } else if section.is_filled("no_proxy") && !section.is_filled("proxy_url") {
            let message = "`no_proxy` needs `proxy_url`";
            self.error(section.key_place("no_proxy"), "missing-key", message);
        }
    }

    pub(super) fn tls_config(&mut self, section: &Section) -> TlsConfig {
        self.at_most_one(section, &["ca", "ca_file"]);
        self.at_most_one(section, &["cert", "cert_file"]);
        self.at_most_one(section, &["key", "key_file"]);
        self.no_references(section, &["ca_ref", "cert_ref", "key_ref"]);
        let tls = TlsConfig {
            ca: source_of(section, "ca", "ca_file"),
            cert: source_of(section, "cert", "cert_file"),
            key: source_of(section, "key", "key_file"),
            server_name: section.filled("server_name"),
            insecure_skip_verify: section.switch("insecure_skip_verify").unwrap_or(false),
            min_version: section.filled("min_version"),
            max_version: section.filled("max_version"),
        };
        if tls.cert.is_some() != tls.key.is_some() {
            let message = "a certificate needs its key, and a key its certificate";
            self.error(section.place, "missing-key", message);
        }
        if tls.min_version > tls.max_version && tls.max_version.is_some() {
            let message = "`min_version` is above `max_version`";
            self.error(section.key_place("min_version"), "conflict", message);
        }
        tls
    }

    /// Alertmanager has no store of secrets to refer to, and refuses this as well.
    fn no_references(&mut self, section: &Section, keys: &[&str]) {
        for key in keys {
            if section.is_filled(key) {
                let message = format!("`{key}` refers to a secret store, and there is none");
                self.error(section.key_place(key), "value", message);
            }
        }
    }
}
