//! `scrape_configs` in Prometheus' YAML, as far as static targets go.
//!
//! Keys that Prometheus knows and this version does not act on are refused inside a scrape
//! configuration, because ignoring a relabelling would store other series than the file says;
//! whole sections for other purposes (`rule_files`, `alerting`, `remote_write`, …) are skipped and
//! named in [`ScrapeConfig::skipped`]. Unknown keys are refused with line and nearest name.

use std::path::Path;
use std::time::Duration;

use crate::config::{ConfigError, parse_bytes, parse_duration};
use crate::yaml::{self, Node, YamlError};

/// What a `prometheus.yml` says about scraping.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScrapeConfig {
    /// The jobs.
    pub jobs: Vec<ScrapeJob>,
    /// Sections that are there but serve other purposes.
    pub skipped: Vec<String>,
}

/// One scrape configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrapeJob {
    /// The value of the `job` label.
    pub name: String,
    /// From scrape to scrape.
    pub interval: Duration,
    /// For one scrape.
    pub timeout: Duration,
    /// Path on the target.
    pub metrics_path: String,
    /// `http`; https comes with TLS.
    pub scheme: String,
    /// Query parameters.
    pub params: Vec<(String, String)>,
    /// Whether the target's `job`, `instance` and other labels win over ours.
    pub honor_labels: bool,
    /// Whether timestamps in the exposition are used.
    pub honor_timestamps: bool,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Whether gzip is asked for.
    pub enable_compression: bool,
    /// Most samples per scrape; 0 for no limit.
    pub sample_limit: usize,
    /// Most bytes per scrape after decompression; 0 for the server's request limit.
    pub body_size_limit: usize,
    /// Where to scrape.
    pub targets: Vec<StaticTarget>,
}

/// A static target.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticTarget {
    /// `host:port`.
    pub address: String,
    /// Labels put on its samples.
    pub labels: Vec<(String, String)>,
}

impl ScrapeJob {
    /// A job with Prometheus' defaults.
    pub fn new(name: &str, interval: Duration, timeout: Duration) -> Self {
        Self {
            name: name.to_owned(),
            interval,
            timeout,
            metrics_path: "/metrics".into(),
            scheme: "http".into(),
            params: Vec::new(),
            honor_labels: false,
            honor_timestamps: true,
            follow_redirects: true,
            enable_compression: true,
            sample_limit: 0,
            body_size_limit: 0,
            targets: Vec::new(),
        }
    }

    /// The job of a `--scrape` argument: `URL` or `JOB=URL`. Without a name, the job is `scrape`.
    pub fn from_url(text: &str, interval: Duration, timeout: Duration) -> Result<Self, String> {
        let (name, url) = match text.split_once('=') {
            Some((name, url)) if !name.contains(['/', ':', '?']) => (name, url),
            _ => ("scrape", text),
        };
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: http::Uri = url.parse().map_err(|_| "is not a URL".to_owned())?;
        let authority = uri.authority().ok_or("names no host")?;
        if authority.as_str().contains('@') {
            return Err("must not hold a password".into());
        }
        let scheme = uri.scheme_str().unwrap_or("http");
        if scheme != "http" {
            return Err("is not an http URL; no other scheme is supported by this version".into());
        }
        let mut job = Self::new(name, interval, timeout.min(interval));
        job.scheme = scheme.into();
        if uri.path() != "/" {
            job.metrics_path = uri.path().into();
        }
        for pair in uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            job.params.push((key.into(), value.into()));
        }
        let address = authority.as_str().to_owned();
        job.targets.push(StaticTarget { address, labels: Vec::new() });
        Ok(job)
    }
}

/// Sections of `prometheus.yml` that are not about scraping.
const OTHER_SECTIONS: [&str; 9] = [
    "rule_files",
    "alerting",
    "remote_write",
    "remote_read",
    "storage",
    "tracing",
    "runtime",
    "otlp",
    "scrape_config_files",
];

/// Keys of a scrape configuration that Prometheus knows and this version cannot honour.
const UNSUPPORTED: [&str; 12] = [
    "relabel_configs",
    "metric_relabel_configs",
    "basic_auth",
    "authorization",
    "oauth2",
    "tls_config",
    "proxy_url",
    "file_sd_configs",
    "http_sd_configs",
    "dns_sd_configs",
    "kubernetes_sd_configs",
    "consul_sd_configs",
];

/// Reads the text of a `prometheus.yml`.
pub fn parse(path: &Path, text: &str) -> Result<ScrapeConfig, ConfigError> {
    read(text).map_err(|error| ConfigError {
        place: format!("{}:{}:{}", path.display(), error.line, error.column),
        message: error.message,
    })
}

#[derive(Clone, Copy)]
struct Global {
    interval: Duration,
    timeout: Duration,
    sample_limit: usize,
    body_size_limit: usize,
}

fn read(text: &str) -> Result<ScrapeConfig, YamlError> {
    let document = yaml::parse(text)?;
    let mut fields = document.fields()?;
    let mut config = ScrapeConfig::default();
    let mut global = Global {
        interval: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        sample_limit: 0,
        body_size_limit: 0,
    };
    if let Some(node) = fields.take("global") {
        read_global(node, &mut global)?;
    }
    let jobs = fields.take("scrape_configs").map_or(Ok(&[][..]), Node::list)?;
    for section in OTHER_SECTIONS {
        if fields.take(section).is_some() {
            config.skipped.push(section.to_owned());
        }
    }
    fields.finish()?;
    for node in jobs {
        let job = read_job(node, global)?;
        if config.jobs.iter().any(|other| other.name == job.name) {
            return Err(node.error(format!("job_name `{}` occurs twice", job.name)));
        }
        config.jobs.push(job);
    }
    Ok(config)
}

fn read_global(node: &Node, global: &mut Global) -> Result<(), YamlError> {
    let mut fields = node.fields()?;
    if let Some(interval) = fields.take("scrape_interval") {
        global.interval = duration(interval)?;
        global.timeout = global.timeout.min(global.interval);
    }
    if let Some(timeout) = fields.take("scrape_timeout") {
        global.timeout = duration(timeout)?;
    }
    if let Some(limit) = fields.take("sample_limit") {
        global.sample_limit = count(limit)?;
    }
    if let Some(limit) = fields.take("body_size_limit") {
        global.body_size_limit = bytes(limit)?;
    }
    // These concern rules and remote systems; stored samples carry no external labels.
    for other in ["evaluation_interval", "external_labels", "query_log_file", "scrape_protocols"] {
        fields.take(other);
    }
    fields.finish()
}

fn read_job(node: &Node, global: Global) -> Result<ScrapeJob, YamlError> {
    let mut fields = node.fields()?;
    for name in UNSUPPORTED {
        if let Some(node) = fields.take(name) {
            return Err(node.error(format!("`{name}` is not supported by this version")));
        }
    }
    let name = fields.take("job_name").ok_or_else(|| node.error("job_name is missing"))?;
    if name.scalar()?.is_empty() {
        return Err(name.error("job_name is empty"));
    }
    let mut job = ScrapeJob::new(name.scalar()?, global.interval, global.timeout);
    job.sample_limit = global.sample_limit;
    job.body_size_limit = global.body_size_limit;
    let own_interval = fields.take("scrape_interval");
    if let Some(interval) = own_interval {
        job.interval = duration(interval)?;
        job.timeout = job.timeout.min(job.interval);
    }
    if let Some(timeout) = fields.take("scrape_timeout") {
        job.timeout = duration(timeout)?;
        if job.timeout > job.interval {
            return Err(timeout.error("scrape_timeout is longer than scrape_interval"));
        }
    }
    if let Some(path) = fields.take("metrics_path") {
        job.metrics_path = path.scalar()?.to_owned();
    }
    if let Some(scheme) = fields.take("scheme") {
        job.scheme = scheme.scalar()?.to_owned();
        if job.scheme != "http" {
            return Err(scheme.error("only http is supported by this version"));
        }
    }
    if let Some(params) = fields.take("params") {
        for (key, values) in params.map()? {
            for value in values.texts()? {
                job.params.push((key.name.clone(), value));
            }
        }
    }
    for (name, slot) in [
        ("honor_labels", &mut job.honor_labels),
        ("honor_timestamps", &mut job.honor_timestamps),
        ("follow_redirects", &mut job.follow_redirects),
        ("enable_compression", &mut job.enable_compression),
    ] {
        if let Some(node) = fields.take(name) {
            *slot = node.scalar()?.parse().map_err(|_| node.error("expected true or false"))?;
        }
    }
    if let Some(limit) = fields.take("sample_limit") {
        job.sample_limit = count(limit)?;
    }
    if let Some(limit) = fields.take("body_size_limit") {
        job.body_size_limit = bytes(limit)?;
    }
    // Which exposition formats to offer is ours to choose.
    fields.take("scrape_protocols");
    let groups = fields.take("static_configs").map_or(Ok(&[][..]), Node::list)?;
    fields.finish()?;
    for group in groups {
        // The same target twice is one target, as in Prometheus.
        for target in read_static(group)? {
            if !job.targets.contains(&target) {
                job.targets.push(target);
            }
        }
    }
    Ok(job)
}

fn read_static(node: &Node) -> Result<Vec<StaticTarget>, YamlError> {
    let mut fields = node.fields()?;
    let targets = fields.take("targets").map_or(Ok(&[][..]), Node::list)?;
    let mut labels = Vec::new();
    if let Some(node) = fields.take("labels") {
        for (name, value) in node.map()? {
            if !skopos_model::labels::is_legacy_label_name(&name.name) {
                let message = format!("`{}` is not a label name", name.name);
                return Err(YamlError { line: name.line, column: name.column, message });
            }
            labels.push((name.name.clone(), value.scalar()?.to_owned()));
        }
    }
    fields.finish()?;
    let mut out = Vec::new();
    for target in targets {
        let address = target.scalar()?.to_owned();
        if address.is_empty() || address.contains('/') || address.contains('@') {
            return Err(target.error(format!("`{address}` is not host:port")));
        }
        out.push(StaticTarget { address, labels: labels.clone() });
    }
    Ok(out)
}

fn duration(node: &Node) -> Result<Duration, YamlError> {
    let parsed = parse_duration(node.scalar()?).filter(|duration| !duration.is_zero());
    parsed.ok_or_else(|| node.error("expected a duration such as 15s"))
}

fn count(node: &Node) -> Result<usize, YamlError> {
    node.scalar()?.parse().map_err(|_| node.error("expected a whole number"))
}

fn bytes(node: &Node) -> Result<usize, YamlError> {
    let parsed = parse_bytes(node.scalar()?).and_then(|n| usize::try_from(n).ok());
    parsed.ok_or_else(|| node.error("expected a size such as 10MB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_prometheus_reads() {
        let text = "
global:
  scrape_interval: 5s
  external_labels: {region: eu}
rule_files: [rules.yml]
scrape_configs:
  - job_name: shop
    scrape_timeout: 2s
    metrics_path: /m
    honor_labels: true
    params: {format: [prometheus, text]}
    sample_limit: 100
    body_size_limit: 1MB
    static_configs:
      - targets: ['a:1', 'b:2']
        labels: {env: prod}
      - targets: ['c:3']
";
        let config = parse(Path::new("p.yml"), text).unwrap();
        assert_eq!(config.skipped, ["rule_files"]);
        let job = &config.jobs[0];
        assert_eq!((job.interval.as_secs(), job.timeout.as_secs()), (5, 2));
        assert_eq!(job.targets.len(), 3);
        assert_eq!(job.targets[1].labels, [("env".to_owned(), "prod".to_owned())]);
        assert_eq!(job.params.len(), 2);
        assert!(job.honor_labels && job.honor_timestamps);
        assert_eq!((job.sample_limit, job.body_size_limit), (100, 1_000_000));
    }

    #[test]
    fn mistakes_have_a_place() {
        for (text, want) in [
            (
                "scrape_config: []\n",
                "p.yml:1:1: unknown key `scrape_config`, did you mean `scrape_configs`?",
            ),
            ("scrape_configs:\n  - job_nam: x\n", "p.yml:2:5: job_name is missing"),
            (
                "scrape_configs:\n  - job_name: x\n    honour_labels: true\n",
                "p.yml:3:5: unknown key `honour_labels`, did you mean `honor_labels`?",
            ),
            (
                "scrape_configs:\n  - job_name: x\n    relabel_configs: []\n",
                "p.yml:3:22: `relabel_configs` is not supported",
            ),
            (
                "scrape_configs:\n  - job_name: x\n    scrape_interval: 1s\n    scrape_timeout: 2s\n",
                "p.yml:4:21: scrape_timeout is longer",
            ),
            (
                "scrape_configs:\n  - job_name: x\n  - job_name: x\n",
                "p.yml:3:5: job_name `x` occurs twice",
            ),
            (
                "scrape_configs:\n  - job_name: x\n    static_configs:\n      - targets: ['http://a:1/m']\n",
                "is not host:port",
            ),
        ] {
            let error = parse(Path::new("p.yml"), text).unwrap_err().to_string();
            assert!(error.starts_with(want) || error.contains(want), "\n got {error}\nwant {want}");
        }
    }

    #[test]
    fn urls_of_the_command_line() {
        let second = Duration::from_secs(1);
        let job = |text: &str| ScrapeJob::from_url(text, second, second * 10);
        let plain = job("http://127.0.0.1:8001").unwrap();
        assert_eq!(plain.name, "scrape");
        assert_eq!(plain.metrics_path, "/metrics");
        assert_eq!(plain.targets[0].address, "127.0.0.1:8001");
        assert_eq!(plain.timeout, second, "never longer than the interval");
        let named = job("order-service=localhost:8001/m?x=1&y").unwrap();
        assert_eq!((named.name.as_str(), named.metrics_path.as_str()), ("order-service", "/m"));
        assert_eq!(named.params.len(), 2);
        let query = job("http://a:1/metrics?job=x").unwrap();
        assert_eq!(query.name, "scrape");
        assert!(job("ftp://x:1").is_err());
        assert!(job("http://user:secret@x:1").is_err());
    }
}
