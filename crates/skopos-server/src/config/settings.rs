//! [`Settings`]: the configuration understood and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use skopos_alerting::{Policies, UnknownPolicy};
use skopos_store::{OnLimit, SeriesLimits};

use super::keys::{Key, Kind};
use super::units::{parse_bytes, parse_duration};
use super::{ConfigError, Effective, Origin, Secret};
use crate::auth::{Scopes, is_token_name};
use crate::listen::ListenAddr;
use crate::notify::{MailServer, Named, SeverityTable};

/// When an append is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncSetting {
    /// After fsync.
    Commit,
    /// After writing; fsync this often.
    Interval(Duration),
}

/// Free space below which ingest is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloorSetting {
    /// What fits the disk.
    Auto,
    /// So many bytes; 0 for none.
    Bytes(u64),
}

/// Form of the server's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// How long a signal stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionSetting {
    /// Age beyond which data goes.
    pub age: Duration,
    /// Bytes beyond which the oldest data goes; 0 for no bound.
    pub bytes: u64,
}

/// A token from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEntry {
    /// Its name, for logs.
    pub name: String,
    /// What it opens.
    pub scopes: Scopes,
    /// SHA-256 of the token in hexadecimal.
    pub hash: Secret<String>,
}

/// Everything the server can be told. Field by field the keys of [`KEYS`](super::KEYS); sizes that
/// are `None` follow from the machine ([`MemoryPlan`](crate::memory::MemoryPlan)).
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each field is a key of the table, which documents it")]
pub struct Settings {
    pub data_dir: PathBuf,
    pub sync: SyncSetting,
    pub disk_floor: FloorSetting,
    pub memory_limit: Option<u64>,
    pub max_head_bytes: Option<u64>,
    pub flush_bytes: u64,
    pub flush_age: Duration,
    pub retention_metrics: RetentionSetting,
    pub retention_logs: RetentionSetting,
    pub retention_traces: RetentionSetting,
    pub http_listen: ListenAddr,
    pub allowed_hosts: Vec<String>,
    pub external_url: Option<String>,
    pub ready_file: Option<PathBuf>,
    pub otlp_grpc_listen: ListenAddr,
    pub otlp_http_listen: ListenAddr,
    pub tokens: Vec<TokenEntry>,
    pub allow_without_tokens: bool,
    pub protect_metrics: bool,
    pub max_request_bytes: usize,
    pub max_inflight_bytes: usize,
    pub max_concurrent_requests: usize,
    pub request_timeout: Duration,
    pub query_timeout: Duration,
    pub max_query_samples: u64,
    pub max_query_bytes: Option<u64>,
    pub max_query_series: u64,
    pub max_query_label_bytes: usize,
    pub max_concurrent_queries: usize,
    pub series_limits: SeriesLimits,
    pub experimental_queries: bool,
    pub derive_spans: bool,
    pub derive_logs: bool,
    pub derive_interval: Duration,
    pub max_derived_operations: usize,
    pub max_derived_span_names: usize,
    pub drop_debug_in_production: bool,
    pub scrape_targets: Vec<String>,
    pub prometheus_config: Option<PathBuf>,
    pub scrape_interval: Duration,
    pub scrape_timeout: Duration,
    pub scrape_self: bool,
    pub rule_files: Vec<String>,
    pub reload_interval: Option<Duration>,
    pub runbooks: Vec<PathBuf>,
    pub evaluation_interval: Duration,
    pub query_offset: Duration,
    pub rule_concurrency: usize,
    pub external_labels: BTreeMap<String, String>,
    pub rule_policies: Policies,
    pub resend_delay: Duration,
    pub slo_files: Vec<String>,
    pub restart_hold: bool,
    pub webhooks: Vec<Secret<String>>,
    pub notify_timeout: Duration,
    pub notify: Named,
    pub severities: SeverityTable,
    pub heartbeat_url: Option<Secret<String>>,
    pub heartbeat_interval: Duration,
    pub alertmanager_config: Option<PathBuf>,
    pub alertmanagers: Vec<Secret<String>>,
    pub log_format: LogFormat,
    pub open_browser: bool,
    pub ui_dir: Option<PathBuf>,
}

impl Settings {
    /// The defaults, without file, environment or flags.
    pub fn defaults() -> Self {
        let effective = Effective::new(None, [], &super::Overrides::default());
        let settings = effective.and_then(|effective| resolve(&effective));
        settings.expect("the table's defaults are valid; a test says so")
    }
}

pub(super) fn resolve(effective: &Effective) -> Result<Settings, Vec<ConfigError>> {
    let mut r = Resolver { effective, errors: Vec::new() };
    let settings = Settings {
        data_dir: r.text("data.dir").unwrap_or_default().into(),
        sync: r.sync(),
        disk_floor: r.disk_floor(),
        memory_limit: r.auto_bytes("memory.limit", 64 << 20),
        max_head_bytes: r.auto_bytes("data.max_head_bytes", 1 << 20),
        flush_bytes: r.bytes("data.flush_bytes", 1 << 20),
        flush_age: r.duration("data.flush_age"),
        retention_metrics: r.retention("retention.metrics_age", "retention.metrics_bytes"),
        retention_logs: r.retention("retention.logs_age", "retention.logs_bytes"),
        retention_traces: r.retention("retention.traces_age", "retention.traces_bytes"),
        http_listen: r.address("http.listen"),
        allowed_hosts: r.list("http.allowed_hosts"),
        external_url: r.url("http.external_url"),
        ready_file: r.text("http.ready_file").map(PathBuf::from),
        otlp_grpc_listen: r.address("otlp.grpc_listen"),
        otlp_http_listen: r.address("otlp.http_listen"),
        tokens: r.tokens(),
        allow_without_tokens: r.switch("auth.allow_without_tokens"),
        protect_metrics: r.switch("auth.protect_metrics"),
        max_request_bytes: r.size("limits.request_bytes"),
        max_inflight_bytes: r.size("limits.inflight_bytes"),
        max_concurrent_requests: r.count("limits.concurrent_requests") as usize,
        request_timeout: r.duration("limits.request_timeout"),
        query_timeout: r.duration("limits.query_timeout"),
        max_query_samples: r.count("limits.query_samples"),
        max_query_bytes: r.auto_bytes("limits.query_bytes", 1),
        max_query_series: r.count("limits.query_series"),
        max_query_label_bytes: r.size("limits.query_label_bytes"),
        max_concurrent_queries: r.count("limits.concurrent_queries") as usize,
        series_limits: r.series_limits(),
        experimental_queries: r.switch("query.experimental"),
        derive_spans: r.switch("derive.span_metrics"),
        derive_logs: r.switch("derive.log_metrics"),
        derive_interval: r.duration("derive.interval"),
        max_derived_operations: r.count("derive.max_operations") as usize,
        max_derived_span_names: r.count("derive.max_span_names") as usize,
        drop_debug_in_production: r.switch("derive.drop_debug_in_production"),
        scrape_targets: r.list("scrape.targets"),
        prometheus_config: r.text("scrape.prometheus_config").map(PathBuf::from),
        scrape_interval: r.duration("scrape.interval"),
        scrape_timeout: r.duration("scrape.timeout"),
        scrape_self: r.switch("scrape.self"),
        rule_files: r.list("rules.files"),
        reload_interval: r.reload_interval(),
        runbooks: r.list("rules.runbooks").into_iter().map(PathBuf::from).collect(),
        evaluation_interval: r.duration("rules.evaluation_interval"),
        query_offset: r.query_offset(),
        rule_concurrency: r.count("rules.concurrency") as usize,
        external_labels: r.external_labels(),
        rule_policies: Policies {
            no_data: r.by_pattern("rules.no_data"),
            on_error: r.by_pattern("rules.on_error"),
        },
        resend_delay: r.duration("rules.resend_delay"),
        slo_files: r.list("rules.slos"),
        restart_hold: r.switch("rules.restart_hold"),
        webhooks: r.webhooks(),
        notify_timeout: r.duration("notify.timeout"),
        notify: r.named(),
        severities: r.severities(),
        heartbeat_url: r.secret_url("alerting.heartbeat_url"),
        heartbeat_interval: r.duration("alerting.heartbeat_interval"),
        alertmanager_config: r.text("notify.alertmanager_config").map(PathBuf::from),
        alertmanagers: r.alertmanagers(),
        log_format: match r.choice("log.format").as_str() {
            "json" => LogFormat::Json,
            "pretty" => LogFormat::Pretty,
            _ => LogFormat::Auto,
        },
        open_browser: r.switch("ui.open"),
        ui_dir: r.text("ui.dir").map(PathBuf::from),
    };
    let sizes_are_known = !r.errors.iter().any(|e| {
        e.message.contains("limits.inflight_bytes") || e.message.contains("limits.request_bytes")
    });
    if sizes_are_known && settings.max_inflight_bytes < settings.max_request_bytes {
        r.error("limits.inflight_bytes", "must be at least limits.request_bytes");
    }
    if r.errors.is_empty() { Ok(settings) } else { Err(r.errors) }
}

struct Resolver<'a> {
    effective: &'a Effective,
    errors: Vec<ConfigError>,
}

impl Resolver<'_> {
    fn error(&mut self, name: &str, message: impl std::fmt::Display) {
        let origin = self.effective.get(name).map_or(&Origin::Default, |value| &value.origin);
        self.errors
            .push(ConfigError { place: origin.to_string(), message: format!("{name}: {message}") });
    }

    fn list(&self, name: &str) -> Vec<String> {
        debug_assert!(Key::named(name).is_some(), "{name} is not in the table");
        self.effective.get(name).map(|value| value.items.clone()).unwrap_or_default()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.list(name).into_iter().next().filter(|text| !text.is_empty())
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name).unwrap_or_default();
        let value = parse(&text);
        if value.is_none() {
            self.error(name, format_args!("{text:?} is not {wanted}"));
        }
        value
    }

    fn duration(&mut self, name: &str) -> Duration {
        let positive = |text: &str| parse_duration(text).filter(|d| !d.is_zero());
        self.parsed(name, "a duration such as 15s or 1h30m", positive)
            .unwrap_or(Duration::from_secs(1))
    }

    fn retention(&mut self, age: &str, bytes: &str) -> RetentionSetting {
        RetentionSetting { age: self.duration(age), bytes: self.bytes(bytes, 0) }
    }

    fn series_limits(&mut self) -> SeriesLimits {
        let mut count = |name| usize::try_from(self.count(name)).unwrap_or(usize::MAX);
        SeriesLimits {
            head_series: count("limits.head_series"),
            metric_series: count("limits.metric_series"),
            labels_per_series: count("limits.labels_per_series"),
            label_name_bytes: self.size("limits.label_name_bytes"),
            label_value_bytes: self.size("limits.label_value_bytes"),
            on_limit: match self.choice("limits.on_limit").as_str() {
                "fold" => OnLimit::Fold,
                _ => OnLimit::Refuse,
            },
        }
    }

    fn bytes(&mut self, name: &str, least: u64) -> u64 {
        let enough = |text: &str| parse_bytes(text).filter(|n| *n >= least);
        let unit = if least == 1 { "byte" } else { "bytes" };
        self.parsed(name, &format!("a size of at least {least} {unit}, such as 64MiB"), enough)
            .unwrap_or(least)
    }

    /// A size; `None` for `auto`.
    fn auto_bytes(&mut self, name: &str, least: u64) -> Option<u64> {
        let unit = if least == 1 { "byte" } else { "bytes" };
        let wanted = format!("`auto` or a size of at least {least} {unit}, such as 64MiB");
        let size = self.parsed(name, &wanted, |text| match text {
            "auto" => Some(None),
            size => parse_bytes(size).filter(|n| *n >= least).map(Some),
        });
        size.flatten()
    }

    /// A size that fits semaphores and buffers of this machine.
    fn size(&mut self, name: &str) -> usize {
        let bytes = self.bytes(name, 1);
        match usize::try_from(bytes).ok().filter(|n| *n <= usize::MAX >> 4) {
            Some(size) => size,
            None => {
                self.error(name, "is too large for this machine");
                1
            }
        }
    }

    fn count(&mut self, name: &str) -> u64 {
        self.parsed(name, "a whole number above zero", |t| t.parse().ok().filter(|n| *n > 0))
            .unwrap_or(1)
    }

    fn switch(&mut self, name: &str) -> bool {
        self.parsed(name, "true or false", |text| text.parse().ok()).unwrap_or(false)
    }

    fn address(&mut self, name: &str) -> ListenAddr {
        self.parsed(name, "an address such as 127.0.0.1:4319", ListenAddr::parse)
            .unwrap_or_else(ListenAddr::any_port)
    }

    fn choice(&mut self, name: &str) -> String {
        let Some(Key { kind: Kind::Choice(words), .. }) = Key::named(name) else {
            return String::new();
        };
        let text = self.text(name).unwrap_or_default();
        if !words.contains(&text.as_str()) {
            self.error(name, format_args!("{text:?}: expected one of {}", words.join(", ")));
        }
        text
    }

    fn url(&mut self, name: &str) -> Option<String> {
        let url = self.text(name)?;
        if !is_http_url(&url) {
            self.error(name, "expected a URL that begins with http:// or https://");
        }
        Some(url.trim_end_matches('/').to_owned())
    }

    fn sync(&mut self) -> SyncSetting {
        let policy =
            self.parsed("data.sync", "`commit` or a duration such as 100ms", |text| match text {
                "commit" => Some(SyncSetting::Commit),
                other => parse_duration(other).filter(|d| !d.is_zero()).map(SyncSetting::Interval),
            });
        policy.unwrap_or(SyncSetting::Commit)
    }

    fn disk_floor(&mut self) -> FloorSetting {
        let wanted = "`auto` or a size such as 1GiB";
        let floor = self.parsed("data.disk_floor", wanted, |text| match text {
            "auto" => Some(FloorSetting::Auto),
            size => parse_bytes(size).map(FloorSetting::Bytes),
        });
        floor.unwrap_or(FloorSetting::Auto)
    }

    /// How often to look for changes; `None`: not at all.
    fn reload_interval(&mut self) -> Option<Duration> {
        let wanted = "a duration such as 5s, or 0";
        let interval = self.parsed("rules.reload_interval", wanted, |text| match text {
            "0" => Some(None),
            other => parse_duration(other).map(|d| Some(d).filter(|d| !d.is_zero())),
        });
        interval.flatten()
    }

    fn query_offset(&mut self) -> Duration {
        let wanted = "a duration such as 30s or 0s";
        self.parsed("rules.query_offset", wanted, parse_duration).unwrap_or_default()
    }

    fn external_labels(&mut self) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        for text in self.list("rules.external_labels") {
            match text.split_once('=') {
                Some((name, value)) if is_label_name(name) => {
                    if labels.insert(name.to_owned(), value.to_owned()).is_some() {
                        self.error("rules.external_labels", format_args!("{name} occurs twice"));
                    }
                }
                _ => self.error(
                    "rules.external_labels",
                    format_args!("{text:?} is not name=value with a name of letters, digits and _"),
                ),
            }
        }
        labels
    }

    /// `PATTERN=POLICY`; a pattern may hold `=` itself, a policy does not.
    fn by_pattern<T: FromStr<Err = UnknownPolicy>>(&mut self, name: &str) -> Vec<(String, T)> {
        let mut policies = Vec::new();
        for text in self.list(name) {
            let Some((pattern, word)) = text.rsplit_once('=').filter(|(p, _)| !p.is_empty()) else {
                self.error(
                    name,
                    format_args!("{text:?} is not PATTERN=POLICY, such as High*=keep"),
                );
                continue;
            };
            match word.parse() {
                Ok(policy) => policies.push((pattern.to_owned(), policy)),
                Err(error) => self.error(name, format_args!("{text:?}: {error}")),
            }
        }
        policies
    }

    /// Webhook URLs are secrets: a mistake is reported without the value.
    fn webhooks(&mut self) -> Vec<Secret<String>> {
        let urls = self.list("notify.webhooks");
        if urls.iter().any(|url| !is_http_url(url)) {
            self.error("notify.webhooks", "expected URLs that begin with http:// or https://");
        }
        if urls.len() > 1 {
            self.error("notify.webhooks", "only one default receiver can be given");
        }
        if !urls.is_empty() && self.text("notify.alertmanager_config").is_some() {
            let message = "has no place beside notify.alertmanager_config: name the webhook there";
            self.error("notify.webhooks", message);
        }
        urls.into_iter().map(Secret::new).collect()
    }

    fn alertmanagers(&mut self) -> Vec<Secret<String>> {
        let urls = self.list("alerting.alertmanagers");
        let reasons =
            urls.iter().enumerate().filter_map(|(i, url)| Some((i + 1, base_url(url).err()?)));
        let reasons: Vec<(usize, &str)> = reasons.collect();
        for (place, reason) in reasons {
            let message =
                format!("URL {place} {reason}; expected such as http://alertmanager:9093");
            self.error("alerting.alertmanagers", message);
        }
        urls.into_iter().map(Secret::new).collect()
    }

    /// One secret; a list only because those are what can be secret.
    fn secret(&mut self, name: &str) -> Option<Secret<String>> {
        let mut items = self.list(name).into_iter();
        let first = items.next().filter(|text| !text.is_empty());
        if items.next().is_some() {
            self.error(name, "only one can be given");
        }
        first.map(Secret::new)
    }

    /// A secret URL: a mistake is reported without the value.
    fn secret_url(&mut self, name: &str) -> Option<Secret<String>> {
        let url = self.secret(name)?;
        if !is_http_url(url.expose()) {
            self.error(name, "expected a URL that begins with http:// or https://");
            return None;
        }
        Some(url)
    }

    fn severities(&mut self) -> SeverityTable {
        let entries = self.list("alerting.severities");
        SeverityTable::parse(entries.iter().map(String::as_str)).unwrap_or_else(|error| {
            self.error("alerting.severities", error);
            SeverityTable::default()
        })
    }

    fn named(&mut self) -> Named {
        let smtp_url = self.secret("notify.smtp_url");
        let smtp = smtp_url.and_then(|url| match MailServer::parse(url.expose()) {
            Ok(server) => Some(server),
            Err(error) => {
                self.error("notify.smtp_url", error);
                None
            }
        });
        let named = Named {
            pagerduty_key: self.secret("notify.pagerduty_key"),
            slack_url: self.secret_url("notify.slack_url"),
            email_to: self.list("notify.email_to"),
            smtp,
            ticket_url: self.secret_url("notify.ticket_url"),
        };
        let is_named = |name: &str| !self.list(name).is_empty();
        match (is_named("notify.email_to"), is_named("notify.smtp_url")) {
            (true, false) => self.error("notify.email_to", "needs notify.smtp_url as well"),
            (false, true) => self.error("notify.smtp_url", "needs notify.email_to as well"),
            _ => {}
        }
        if self.text("notify.alertmanager_config").is_some() {
            for name in ["pagerduty_key", "slack_url", "email_to", "smtp_url", "ticket_url"] {
                let name = format!("notify.{name}");
                if !self.list(&name).is_empty() {
                    let message = "has no place beside notify.alertmanager_config: name it there";
                    self.error(&name, message);
                }
            }
        }
        named
    }

    fn tokens(&mut self) -> Vec<TokenEntry> {
        let mut tokens = Vec::new();
        let mut names = BTreeSet::new();
        for (i, text) in self.list("auth.tokens").into_iter().enumerate() {
            let parts: Vec<&str> = text.split(':').collect();
            let entry = match parts.as_slice() {
                [name, scopes, hash] => Scopes::parse(scopes)
                    .filter(|_| is_token_name(name) && is_sha256(hash))
                    .map(|scopes| TokenEntry {
                        name: (*name).to_owned(),
                        scopes,
                        hash: Secret::new(hash.to_ascii_lowercase()),
                    }),
                _ => None,
            };
            match entry {
                Some(entry) if names.insert(entry.name.clone()) => tokens.push(entry),
                Some(entry) => {
                    self.error("auth.tokens", format_args!("name `{}` occurs twice", entry.name));
                }
                None => self.error(
                    "auth.tokens",
                    format_args!(
                        "entry {} is not NAME:SCOPES:SHA256 with a NAME of letters, digits, `.`, `_`, `-` and SCOPES out of ingest, read, admin joined by +",
                        i + 1
                    ),
                ),
            }
        }
        tokens
    }
}

fn is_http_url(url: &str) -> bool {
    url.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
    })
}

/// Whether paths can be appended to a URL; the reason does not show it.
fn base_url(url: &str) -> Result<(), &'static str> {
    if !is_http_url(url) {
        return Err("does not begin with http:// or https:// and a host");
    }
    let Ok(url) = reqwest::Url::parse(url) else { return Err("has no valid host or port") };
    if url.port() == Some(0) {
        return Err("has no valid host or port");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or a fragment, a path would not go behind that");
    }
    match url.path().contains("/api/v") {
        true => Err("names the path of an API, which is added by itself"),
        false => Ok(()),
    }
}

fn is_label_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
