//! Configuration: defaults < file < environment < flags, resolved once into [`Settings`].
//!
//! Everything that can be set stands in one table ([`KEYS`]). [`resolve`] is pure: it reads no
//! file, no variable and no clock, and reports every mistake with its place. No file is needed to
//! start.

mod file;
mod keys;
mod secret;
mod settings;
mod units;

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub use file::ConfigFile;
pub use keys::{KEYS, Key, Kind};
pub use secret::Secret;
pub use settings::{FloorSetting, LogFormat, RetentionSetting, Settings, SyncSetting, TokenEntry};
pub use units::{format_duration, parse_bytes, parse_duration};

/// A mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ConfigError {
    /// `file:line:column`, the variable's name, or the flag.
    pub place: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// What the command line sets; `None` or empty leaves the lower layers in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `--data`
    pub data: Option<PathBuf>,
    /// `--runbooks`, repeatable.
    pub runbooks: Vec<String>,
    /// `--rules`, repeatable.
    pub rules: Vec<String>,
    /// `--slo`, repeatable.
    pub slos: Vec<String>,
    /// `--alertmanager-config`
    pub alertmanager_config: Option<PathBuf>,
    /// `--scrape`, repeatable.
    pub scrape: Vec<String>,
    /// `--prometheus-config`
    pub prometheus_config: Option<PathBuf>,
    /// `--listen`
    pub listen: Option<String>,
    /// `--otlp-grpc`
    pub otlp_grpc: Option<String>,
    /// `--otlp-http`
    pub otlp_http: Option<String>,
    /// `--evaluation-interval`
    pub evaluation_interval: Option<String>,
    /// `--no-restart-hold`
    pub no_restart_hold: bool,
    /// `--webhook`
    pub webhook: Option<String>,
    /// `--alertmanager-url`
    pub alertmanagers: Vec<String>,
    /// `--memory`
    pub memory: Option<String>,
    /// `--log-format`
    pub log_format: Option<String>,
    /// `--no-open`
    pub no_open: bool,
    /// `--ui-dir`
    pub ui_dir: Option<PathBuf>,
    /// `--ready-file`
    pub ready_file: Option<PathBuf>,
    /// `--allow-without-tokens`
    pub allow_without_tokens: bool,
}

impl Overrides {
    fn values(&self) -> Vec<(&'static str, &'static str, Vec<String>)> {
        let one = |text: &Option<String>| text.clone().into_iter().collect::<Vec<_>>();
        let path = |path: &Option<PathBuf>| {
            path.iter().map(|p| p.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let switch = |set: bool, value: &str| if set { vec![value.to_owned()] } else { vec![] };
        vec![
            ("data.dir", "--data", path(&self.data)),
            ("rules.files", "--rules", self.rules.clone()),
            ("rules.slos", "--slo", self.slos.clone()),
            ("rules.runbooks", "--runbooks", self.runbooks.clone()),
            (
                "notify.alertmanager_config",
                "--alertmanager-config",
                path(&self.alertmanager_config),
            ),
            ("scrape.targets", "--scrape", self.scrape.clone()),
            ("scrape.prometheus_config", "--prometheus-config", path(&self.prometheus_config)),
            ("http.listen", "--listen", one(&self.listen)),
            ("otlp.grpc_listen", "--otlp-grpc", one(&self.otlp_grpc)),
            ("otlp.http_listen", "--otlp-http", one(&self.otlp_http)),
            ("rules.evaluation_interval", "--evaluation-interval", one(&self.evaluation_interval)),
            ("rules.restart_hold", "--no-restart-hold", switch(self.no_restart_hold, "false")),
            ("notify.webhooks", "--webhook", one(&self.webhook)),
            ("alerting.alertmanagers", "--alertmanager-url", self.alertmanagers.clone()),
            ("memory.limit", "--memory", one(&self.memory)),
            ("log.format", "--log-format", one(&self.log_format)),
            ("ui.open", "--no-open", switch(self.no_open, "false")),
            ("ui.dir", "--ui-dir", path(&self.ui_dir)),
            ("http.ready_file", "--ready-file", path(&self.ready_file)),
            (
                "auth.allow_without_tokens",
                "--allow-without-tokens",
                switch(self.allow_without_tokens, "true"),
            ),
        ]
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
    },
    /// An environment variable.
    Variable(String),
    /// The command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A key's texts and where they came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The texts: one for plain keys, any number for lists, none when unset.
    pub items: Vec<String>,
    /// Who set them.
    pub origin: Origin,
}

/// Short names of variables.
const ALIASES: [(&str, &str); 6] = [
    ("SKOPOS_DATA", "data.dir"),
    ("SKOPOS_EMAIL_TO", "notify.email_to"),
    ("SKOPOS_PAGERDUTY_KEY", "notify.pagerduty_key"),
    ("SKOPOS_SLACK_URL", "notify.slack_url"),
    ("SKOPOS_SMTP_URL", "notify.smtp_url"),
    ("SKOPOS_TICKET_URL", "notify.ticket_url"),
];

/// The texts in force for every key, before they are understood; what `config show` prints.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective(BTreeMap<&'static str, Value>);

impl Effective {
    /// Puts the layers on top of each other. A list set by a higher layer replaces the lower one's.
    pub fn new(
        file: Option<&ConfigFile>,
        variables: impl IntoIterator<Item = (String, String)>,
        overrides: &Overrides,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut values: BTreeMap<&'static str, Value> = BTreeMap::new();
        for key in KEYS {
            let items = key.default.iter().map(|text| (*text).to_owned()).collect();
            values.insert(key.name, Value { items, origin: Origin::Default });
        }
        for (key, value) in file.into_iter().flat_map(|file| &file.values) {
            values.insert(key.name, value.clone());
        }
        for (name, text) in variables {
            let dotted = match name.strip_prefix("SKOPOS__") {
                Some(rest) => rest.replace("__", ".").to_ascii_lowercase(),
                None => match ALIASES.iter().find(|(alias, _)| *alias == name) {
                    Some((_, key)) => (*key).to_owned(),
                    None => continue,
                },
            };
            let Some(key) = Key::named(&dotted) else {
                let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
                let message = file::unknown("variable", &name, known.iter().map(String::as_str));
                errors.push(ConfigError { place: "environment".into(), message });
                continue;
            };
            let items = if key.is_list() {
                text.split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect()
            } else {
                vec![text]
            };
            values.insert(key.name, Value { items, origin: Origin::Variable(name) });
        }
        for (name, flag, items) in overrides.values() {
            if !items.is_empty() {
                values.insert(name, Value { items, origin: Origin::Flag(flag) });
            }
        }
        if errors.is_empty() { Ok(Self(values)) } else { Err(errors) }
    }

    /// The value of a key of the table.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All keys in the table's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Key, &Value)> {
        KEYS.iter().filter_map(|key| Some((key, self.0.get(key.name)?)))
    }

    /// The values as YAML, each with its origin in a comment, secrets redacted.
    pub fn to_yaml(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for (key, value) in self.iter() {
            let (head, name) = key.name.split_once('.').unwrap_or(("", key.name));
            if head != section {
                section = head;
                let _ = writeln!(out, "{section}:");
            }
            let shown: Vec<String> = value
                .items
                .iter()
                .map(|item| if key.is_secret() { "[REDACTED]".into() } else { item.clone() })
                .map(|item| serde_json::Value::String(item).to_string())
                .collect();
            let text = match (key.is_list(), shown.as_slice()) {
                (true, items) => format!("[{}]", items.join(", ")),
                (false, [item]) => item.clone(),
                (false, _) => "null".into(),
            };
            let _ = writeln!(out, "  {name}: {text}  # {}", value.origin);
        }
        out
    }
}

/// The default configuration as a commented file.
pub fn default_yaml() -> String {
    let mut out = String::from("# Every key with its default. Remove what you do not change.\n");
    let mut section = "";
    for key in KEYS {
        let (head, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if head != section {
            section = head;
            let _ = writeln!(out, "{section}:");
        }
        let _ = writeln!(out, "  # {}", key.doc);
        let set_by = match key.flag {
            Some(flag) => format!("{}, {flag}", key.variable()),
            None => key.variable(),
        };
        let _ = writeln!(out, "  # ({set_by})");
        let _ = match key.default {
            [] if key.is_list() => writeln!(out, "  {name}: []"),
            [] => writeln!(out, "  # {name}:"),
            items if key.is_list() => writeln!(out, "  {name}: {items:?}"),
            [item, ..] => writeln!(out, "  {name}: {item:?}"),
        };
    }
    out
}

/// Understands the effective texts. All mistakes are reported, not only the first.
pub fn resolve(effective: &Effective) -> Result<Settings, Vec<ConfigError>> {
    settings::resolve(effective)
}

/// All mistakes in a file, of its form and of its values, in the order of their places.
pub fn check(path: &Path, text: &str) -> Vec<ConfigError> {
    let (file, mut errors) = ConfigFile::parse_what_is_right(path, text);
    let resolved = Effective::new(Some(&file), [], &Overrides::default())
        .and_then(|effective| resolve(&effective));
    errors.extend(resolved.err().unwrap_or_default());
    let numbers = |error: &ConfigError| {
        let mut numbers = error.place.rsplit(':').map_while(|part| part.parse::<u64>().ok());
        let column = numbers.next();
        (numbers.next(), column)
    };
    errors.sort_by_key(numbers);
    errors
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    fn settings(
        yaml: &str,
        variables: &[(&str, &str)],
        overrides: &Overrides,
    ) -> Result<Settings, Vec<String>> {
        let texts = |errors: Vec<ConfigError>| errors.iter().map(ToString::to_string).collect();
        let file = ConfigFile::parse(Path::new("skopos.yaml"), yaml).map_err(texts)?;
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let effective = Effective::new(Some(&file), variables, overrides).map_err(texts)?;
        resolve(&effective).map_err(texts)
    }

    #[test]
    fn higher_layers_win() {
        let yaml = "http:\n  listen: 127.0.0.1:1\nrules:\n  files: [a.yml, b.yml]\n";
        let none = Overrides::default();
        let s = settings(yaml, &[], &none).unwrap();
        assert_eq!(s.http_listen.to_string(), "127.0.0.1:1");
        assert_eq!(s.rule_files, ["a.yml", "b.yml"]);
        assert_eq!(s.evaluation_interval, Duration::from_secs(15));

        let variables =
            [("SKOPOS__HTTP__LISTEN", "127.0.0.1:2"), ("SKOPOS__RULES__FILES", "c.yml, d.yml")];
        let s = settings(yaml, &variables, &none).unwrap();
        assert_eq!(s.http_listen.to_string(), "127.0.0.1:2");
        assert_eq!(s.rule_files, ["c.yml", "d.yml"]);

        let flags = Overrides { listen: Some("localhost:0".into()), ..Overrides::default() };
        assert_eq!(
            settings(yaml, &variables, &flags).unwrap().http_listen.to_string(),
            "localhost:0"
        );
    }

    #[test]
    fn rules_have_policies_labels_and_a_hold_by_name() {
        use skopos_alerting::{NoData, OnError};
        let yaml = "rules:\n  no_data: [\"Batch*=keep\", \"*=alert\"]\n  on_error: [\"X=alert\"]\n  external_labels: [region=eu]\n  query_offset: 30s\n  reload_interval: 0\n";
        let flags = Overrides { no_restart_hold: true, ..Overrides::default() };
        let s = settings(yaml, &[], &flags).unwrap();
        let of = |name: &str| (s.rule_policies.of(name).no_data, s.rule_policies.of(name).on_error);
        assert_eq!(of("BatchLate"), (NoData::Keep, OnError::Keep));
        assert_eq!(of("X"), (NoData::Alert, OnError::Alert));
        assert_eq!(s.external_labels["region"], "eu");
        assert_eq!((s.query_offset, s.reload_interval), (Duration::from_secs(30), None));
        assert!(!s.restart_hold);
        let plain = settings("", &[], &Overrides::default()).unwrap();
        assert_eq!(plain.reload_interval, Some(Duration::from_secs(5)));
        assert!(plain.restart_hold && plain.query_offset.is_zero());
    }

    #[test]
    fn every_mistake_has_its_place_and_a_hint() {
        let none = Overrides::default();
        for (yaml, variables, want) in [
            (
                "htpp:\n  listen: x:1\n",
                &[][..],
                "skopos.yaml:1:1: unknown section `htpp`, did you mean `http`?",
            ),
            (
                "http:\n  lisen: x:1\n",
                &[],
                "skopos.yaml:2:3: unknown key `lisen`, did you mean `listen`?",
            ),
            ("http:\n  listen: nowhere\n", &[], "skopos.yaml:2:11: http.listen"),
            (
                "limits:\n  request_bytes: 5 parsecs\n",
                &[],
                "skopos.yaml:2:18: limits.request_bytes",
            ),
            ("log:\n  format: yaml\n", &[], "expected one of auto, json, pretty"),
            ("", &[("SKOPOS__HTTP__LISTN", "x")][..], "did you mean `SKOPOS__HTTP__LISTEN`?"),
            (
                "",
                &[("SKOPOS__SCRAPE__INTERVAL", "fast")],
                "SKOPOS__SCRAPE__INTERVAL: scrape.interval",
            ),
            ("auth:\n  tokens: [\"x:write:00\"]\n", &[], "auth.tokens"),
            ("rules:\n  no_data: [High*=warn]\n", &[], "\"warn\" is none of ok, keep, alert"),
            ("rules:\n  on_error: [keep]\n", &[], "is not PATTERN=POLICY"),
            ("rules:\n  external_labels: [\"a-b=c\"]\n", &[], "is not name=value"),
            ("rules:\n  reload_interval: often\n", &[], "rules.reload_interval"),
            (
                "notify:\n  webhooks: https://h/T0KEN\n  alertmanager_config: am.yml\n",
                &[],
                "has no place beside notify.alertmanager_config",
            ),
            (
                "",
                &[("SKOPOS_SLACK_URL", "T0KEN")],
                "SKOPOS_SLACK_URL: notify.slack_url: expected a URL",
            ),
            ("", &[("SKOPOS_EMAIL_TO", "a@example.org")], "needs notify.smtp_url as well"),
            ("alerting:\n  severities: [\"critical=P0\"]\n", &[], "is not WORD=P1"),
            ("notify:\n  webhooks: [\"ftp://h/T0KEN\"]\n", &[], "begin with http://"),
            (
                "alerting:\n  alertmanagers: [\"http://am:9093\", \"am:9093/T0KEN\"]\n",
                &[],
                "alerting.alertmanagers: URL 2 does not begin with http://",
            ),
            (
                "alerting:\n  alertmanagers: \"http://T0KEN@am:90931\"\n",
                &[],
                "alerting.alertmanagers: URL 1 has no valid host or port",
            ),
            ("alerting:\n  alertmanagers: \"http://am:0/T0KEN\"\n", &[], "no valid host or port"),
            ("alerting:\n  alertmanagers: \"http://am/?x=T0KEN\"\n", &[], "has a query"),
            (
                "alerting:\n  alertmanagers: \"http://T0KEN@am/api/v2/alerts\"\n",
                &[],
                "names the path of an API",
            ),
        ] {
            let errors = settings(yaml, variables, &none).unwrap_err().join("\n");
            assert!(errors.contains(want), "{yaml:?}\n got {errors}\nwant {want}");
            assert!(!errors.contains("T0KEN"), "{errors}");
        }
    }

    #[test]
    fn a_check_reports_everything_at_once() {
        let text = "limits:\n  request_bytes: much\n  query_bytes: 0\nhttp:\n  lisen: x\nlog: {format: xml}\n";
        let found: Vec<String> =
            check(Path::new("s.yaml"), text).iter().map(ToString::to_string).collect();
        let wants = [
            "s.yaml:2:18: limits.request_bytes: \"much\" is not a size of at least 1 byte, such as 64MiB",
            "s.yaml:3:16: limits.query_bytes: \"0\" is not `auto` or a size of at least 1 byte, such as 64MiB",
            "s.yaml:5:3: unknown key `lisen`, did you mean `listen`?",
            "s.yaml:6:15: log.format: \"xml\": expected one of auto, json, pretty",
        ];
        assert_eq!(found, wants);
        // What is wrong in itself is not compared with something else on top.
        let found = check(Path::new("s.yaml"), "limits:\n  inflight_bytes: x\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(check(Path::new("s.yaml"), "a: [\n").len(), 1);
        assert_eq!(check(Path::new("s.yaml"), &default_yaml()), []);
    }

    #[test]
    fn show_names_origins_and_hides_secrets() {
        let overrides = Overrides {
            webhook: Some("http://hooks.example/services/T0KEN".into()),
            ..Overrides::default()
        };
        let variables = [("SKOPOS__SCRAPE__INTERVAL".to_owned(), "5s".to_owned())];
        let shown = Effective::new(None, variables, &overrides).unwrap().to_yaml();
        assert!(shown.contains("webhooks: [\"[REDACTED]\"]  # --webhook"), "{shown}");
        assert!(shown.contains("interval: \"5s\"  # SKOPOS__SCRAPE__INTERVAL"), "{shown}");
        assert!(!shown.contains("T0KEN"));
        let s = resolve(&Effective::new(None, [], &overrides).unwrap()).unwrap();
        assert!(!format!("{s:?}").contains("T0KEN"));
    }

    /// `SKOPOS_UPDATE_GOLDEN=1` writes the file anew.
    #[test]
    fn the_reference_in_docs_is_fresh() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/skopos.yaml");
        let wanted = default_yaml();
        if std::env::var_os("SKOPOS_UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == wanted, "docs/reference/skopos.yaml is stale: SKOPOS_UPDATE_GOLDEN=1");
    }

    #[test]
    fn the_default_file_is_the_default() {
        let file = ConfigFile::parse(Path::new("d.yaml"), &default_yaml()).unwrap();
        let none = Overrides::default();
        let from_file = resolve(&Effective::new(Some(&file), [], &none).unwrap()).unwrap();
        let built_in = resolve(&Effective::new(None, [], &none).unwrap()).unwrap();
        assert_eq!(from_file, built_in);
    }
}
