//! The table of configuration keys: the one source of what can be set, its default and its
//! meaning. File, environment, `config show` and the reference page are all made from it.

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    /// `section.name`; in the environment `SKOPOS__SECTION__NAME`.
    pub name: &'static str,
    /// The `serve` flag that sets it, where there is one.
    pub flag: Option<&'static str>,
    /// Default; several for lists, none when unset.
    pub default: &'static [&'static str],
    /// What values look like.
    pub kind: Kind,
    /// What it does.
    pub doc: &'static str,
}

/// The form of a key's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A file or folder.
    Path,
    /// `host:port`; port 0 lets the system choose.
    Address,
    /// `15s`, `2m`, `1h30m`, `250ms`.
    Duration,
    /// `64MiB`, `1GiB`, `4096`.
    Bytes,
    /// A whole number.
    Count,
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    List,
    /// A list of texts that are never printed.
    SecretList,
}

const fn key(
    name: &'static str,
    flag: Option<&'static str>,
    default: &'static [&'static str],
    kind: Kind,
    doc: &'static str,
) -> Key {
    Key { name, flag, default, kind, doc }
}

/// All keys, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    key(
        "data.dir",
        Some("--data"),
        &["./skopos-data"],
        Kind::Path,
        "Folder that holds everything. `SKOPOS_DATA` sets it too.",
    ),
    key(
        "data.sync",
        None,
        &["commit"],
        Kind::Text,
        "`commit`: acknowledge after fsync. A duration such as `100ms`: acknowledge after writing and fsync that often.",
    ),
    key(
        "data.disk_floor",
        None,
        &["auto"],
        Kind::Text,
        "Free space below which ingest is refused with 503 while queries, rules and notification go on; it goes on by itself once there is space. `auto`: 1GiB, or 5% of a smaller disk. `0`: no floor.",
    ),
    key(
        "data.max_head_bytes",
        None,
        &["auto"],
        Kind::Text,
        "Memory for recent data; beyond it ingest is refused with 503 while queries go on. Flushing begins long before. `auto`: its share of memory.limit.",
    ),
    key(
        "data.flush_bytes",
        None,
        &["256MiB"],
        Kind::Bytes,
        "Recent data goes from memory to blocks on disk once it takes this much; at the latest at half of data.max_head_bytes.",
    ),
    key(
        "data.flush_age",
        None,
        &["2h"],
        Kind::Duration,
        "Recent data goes to blocks once its oldest part is in memory for this long.",
    ),
    key(
        "memory.limit",
        Some("--memory"),
        &["auto"],
        Kind::Text,
        "Memory for data: 1/2 for recent data, 1/4 for queries together, 1/8 for what is kept of blocks; 1/8 is left for requests under way and everything else. `auto`: half of the machine's memory or of the cgroup's limit, whichever is less.",
    ),
    key(
        "retention.metrics_age",
        None,
        &["90d"],
        Kind::Duration,
        "How long samples stay. Blocks go as a whole, once all of one is older.",
    ),
    key(
        "retention.metrics_bytes",
        None,
        &["0"],
        Kind::Bytes,
        "Blocks of samples beyond this size go, oldest first; 0 sets no bound.",
    ),
    key("retention.logs_age", None, &["15d"], Kind::Duration, "How long log records stay."),
    key(
        "retention.logs_bytes",
        None,
        &["0"],
        Kind::Bytes,
        "Blocks of log records beyond this size go, oldest first; 0 sets no bound.",
    ),
    key("retention.traces_age", None, &["15d"], Kind::Duration, "How long spans stay."),
    key(
        "retention.traces_bytes",
        None,
        &["0"],
        Kind::Bytes,
        "Blocks of spans beyond this size go, oldest first; 0 sets no bound.",
    ),
    key(
        "http.listen",
        Some("--listen"),
        &["127.0.0.1:4319"],
        Kind::Address,
        "Address of UI, API, compatible read APIs, /metrics and /health.",
    ),
    key(
        "http.allowed_hosts",
        None,
        &[],
        Kind::List,
        "Further host names by which the server may be addressed on loopback without tokens.",
    ),
    key(
        "http.external_url",
        None,
        &[],
        Kind::Text,
        "The URL under which users reach the server, for links in notifications.",
    ),
    key(
        "http.ready_file",
        Some("--ready-file"),
        &[],
        Kind::Path,
        "File that receives the addresses as JSON once the server is ready.",
    ),
    key(
        "otlp.grpc_listen",
        Some("--otlp-grpc"),
        &["127.0.0.1:4317"],
        Kind::Address,
        "Address of OTLP over gRPC.",
    ),
    key(
        "otlp.http_listen",
        Some("--otlp-http"),
        &["127.0.0.1:4318"],
        Kind::Address,
        "Address of OTLP over HTTP.",
    ),
    key(
        "auth.tokens",
        None,
        &[],
        Kind::SecretList,
        "Tokens as `NAME:SCOPES:SHA256`, SCOPES joined by `+` out of ingest, read, admin; beside those made by `skopos token create`.",
    ),
    key(
        "auth.allow_without_tokens",
        None,
        &["false"],
        Kind::Switch,
        "Listen beyond loopback although no token is configured.",
    ),
    key(
        "auth.protect_metrics",
        None,
        &["false"],
        Kind::Switch,
        "Ask for a read token on /metrics too.",
    ),
    key(
        "limits.request_bytes",
        None,
        &["64MiB"],
        Kind::Bytes,
        "Largest request after decompression.",
    ),
    key(
        "limits.inflight_bytes",
        None,
        &["256MiB"],
        Kind::Bytes,
        "Request bytes held at once by ingest; beyond it requests get 503 with Retry-After.",
    ),
    key(
        "limits.concurrent_requests",
        None,
        &["256"],
        Kind::Count,
        "Ingest requests handled at once; beyond it requests get 503 with Retry-After.",
    ),
    key(
        "limits.request_timeout",
        None,
        &["30s"],
        Kind::Duration,
        "Longest time for receiving a request.",
    ),
    key(
        "limits.head_series",
        None,
        &["1000000"],
        Kind::Count,
        "Most series in memory; beyond it new series are refused, known ones go on. Rules are not concerned.",
    ),
    key(
        "limits.metric_series",
        None,
        &["100000"],
        Kind::Count,
        "Most series of one metric in memory; beyond it new series of that metric are refused, known ones go on.",
    ),
    key(
        "limits.labels_per_series",
        None,
        &["128"],
        Kind::Count,
        "Most labels of a new series, its name not counted.",
    ),
    key(
        "limits.label_name_bytes",
        None,
        &["1KiB"],
        Kind::Bytes,
        "Longest name of a label or metric of a new series.",
    ),
    key(
        "limits.label_value_bytes",
        None,
        &["2KiB"],
        Kind::Bytes,
        "Longest value of a label of a new series.",
    ),
    key(
        "limits.on_limit",
        None,
        &["refuse"],
        Kind::Choice(&["refuse", "fold"]),
        "What happens to new series at limits.head_series and limits.metric_series. `fold` adds counters up in one series in which the label that grew has the value `other`; what cannot be added up is refused.",
    ),
    key("limits.query_timeout", None, &["2m"], Kind::Duration, "Longest run time of a query."),
    key(
        "limits.query_samples",
        None,
        &["50000000"],
        Kind::Count,
        "Most samples or events one query may read.",
    ),
    key(
        "limits.query_bytes",
        None,
        &["auto"],
        Kind::Text,
        "Most bytes one query may hold. `auto`: half of what queries may hold together by memory.limit.",
    ),
    key(
        "limits.query_series",
        None,
        &["2000000"],
        Kind::Count,
        "Most series one query may read, counted once for each selector that reads them.",
    ),
    key(
        "limits.query_label_bytes",
        None,
        &["64KiB"],
        Kind::Bytes,
        "Longest label value that a query may make, by `label_replace`, `label_join` or `count_values`.",
    ),
    key(
        "limits.concurrent_queries",
        None,
        &["20"],
        Kind::Count,
        "Queries that run at once; others wait until their timeout.",
    ),
    key(
        "query.experimental",
        None,
        &["false"],
        Kind::Switch,
        "All that Prometheus keeps behind feature flags in PromQL: experimental functions, `anchored` and `smoothed`, `fill`.",
    ),
    key(
        "derive.span_metrics",
        None,
        &["true"],
        Kind::Switch,
        "Count spans at ingest: traces_spanmetrics_calls_total and traces_spanmetrics_latency by service, span name, kind and status.",
    ),
    key(
        "derive.log_metrics",
        None,
        &["true"],
        Kind::Switch,
        "Count log records at ingest: log_records_total by service and severity.",
    ),
    key("derive.interval", None, &["5s"], Kind::Duration, "How often derived metrics are written."),
    key(
        "derive.max_operations",
        None,
        &["2000"],
        Kind::Count,
        "Operations (service, span name, kind, status) told apart, 17 series each; further ones are counted as `other`.",
    ),
    key(
        "derive.max_span_names",
        None,
        &["200"],
        Kind::Count,
        "Span names told apart per service; further ones are counted as `other`.",
    ),
    key(
        "derive.drop_debug_in_production",
        None,
        &["false"],
        Kind::Switch,
        "Do not store DEBUG and TRACE records of services whose deployment.environment.name is production or prod. They are counted either way.",
    ),
    key("scrape.targets", Some("--scrape"), &[], Kind::List, "URLs of metrics pages to scrape."),
    key(
        "scrape.prometheus_config",
        Some("--prometheus-config"),
        &[],
        Kind::Path,
        "A prometheus.yml whose scrape_configs with static targets are used.",
    ),
    key("scrape.interval", None, &["15s"], Kind::Duration, "Interval for scrape.targets."),
    key(
        "scrape.timeout",
        None,
        &["10s"],
        Kind::Duration,
        "Timeout for scrape.targets; never longer than the interval.",
    ),
    key(
        "scrape.self",
        None,
        &["true"],
        Kind::Switch,
        "Store the server's own metrics under job=\"skopos\".",
    ),
    key(
        "rules.files",
        Some("--rules"),
        &[],
        Kind::List,
        "Prometheus rule files, folders of them, or patterns such as `rules/*.yml`; `builtin` for the rules that come with Skopos.",
    ),
    key(
        "rules.reload_interval",
        None,
        &["5s"],
        Kind::Text,
        "How often rule files are looked at for changes; `0`: only SIGHUP and POST /-/reload read them again. Files with a mistake are refused as a whole.",
    ),
    key(
        "rules.runbooks",
        Some("--runbooks"),
        &[],
        Kind::List,
        "Folders of runbooks: links of alerts are looked up beside their rule file and here, addresses by their last part.",
    ),
    key(
        "rules.evaluation_interval",
        Some("--evaluation-interval"),
        &["15s"],
        Kind::Duration,
        "Interval of groups that name none.",
    ),
    key(
        "rules.query_offset",
        None,
        &["0s"],
        Kind::Duration,
        "How far behind the slot groups that name no query_offset read their data; more than 0 when data arrives late.",
    ),
    key(
        "rules.concurrency",
        None,
        &["4"],
        Kind::Count,
        "Rules of one group that are evaluated at a time, where none reads what another writes.",
    ),
    key(
        "rules.external_labels",
        None,
        &[],
        Kind::List,
        "Labels as `name=value` that every alert is sent with, unless it has them; `$externalLabels` in templates.",
    ),
    key(
        "rules.no_data",
        None,
        &[],
        Kind::List,
        "What it means when an alerting rule returns nothing and a selector that it needs matches no series, as `PATTERN=ok`, `PATTERN=keep` or `PATTERN=alert` for alerts by name; the first that matches decides, `ok` when none does. `keep`: alerts stay what they are. `alert`: they do, and an alert with the label reason=\"no_data\" begins.",
    ),
    key(
        "rules.on_error",
        None,
        &[],
        Kind::List,
        "What it means when an alerting rule cannot be evaluated, as `PATTERN=keep` or `PATTERN=alert` for alerts by name; the first that matches decides, `keep` when none does. An error never resolves an alert. `alert`: an alert with the label reason=\"error\" begins.",
    ),
    key(
        "rules.resend_delay",
        None,
        &["1m"],
        Kind::Duration,
        "How long after it was sent to an Alertmanager an alert is sent again.",
    ),
    key(
        "rules.slos",
        Some("--slo"),
        &[],
        Kind::List,
        "Files of service level objectives (native or OpenSLO v1), folders of them, or patterns: docs/slo.md. A set with any mistake is refused as a whole.",
    ),
    key(
        "rules.restart_hold",
        Some("--no-restart-hold"),
        &["true"],
        Kind::Switch,
        "After a restart, hold firing alerts until one full range of fresh data has arrived; where none arrives, for at most an hour.",
    ),
    key(
        "notify.webhooks",
        Some("--webhook"),
        &[],
        Kind::SecretList,
        "URL of the default webhook receiver.",
    ),
    key("notify.timeout", None, &["10s"], Kind::Duration, "Longest time for one delivery."),
    key(
        "notify.alertmanager_config",
        Some("--alertmanager-config"),
        &[],
        Kind::Path,
        "An alertmanager.yml with routes and receivers, unchanged; instead of the severity table.",
    ),
    key(
        "notify.pagerduty_key",
        None,
        &[],
        Kind::SecretList,
        "Routing key of a PagerDuty integration (Events API v2): P1 goes there. `SKOPOS_PAGERDUTY_KEY` sets it too.",
    ),
    key(
        "notify.slack_url",
        None,
        &[],
        Kind::SecretList,
        "URL of a Slack incoming webhook: P2 goes there, and P1 where there is no pager. `SKOPOS_SLACK_URL` sets it too.",
    ),
    key(
        "notify.email_to",
        None,
        &[],
        Kind::List,
        "Addresses for e-mails: P3 goes there. `SKOPOS_EMAIL_TO` sets it too.",
    ),
    key(
        "notify.smtp_url",
        None,
        &[],
        Kind::SecretList,
        "The mail server: smtp://USER:PASSWORD@HOST:587 (STARTTLS) or smtps://…:465, with ?from=ADDRESS, and ?tls=none where nothing else is spoken. `SKOPOS_SMTP_URL` sets it too.",
    ),
    key(
        "notify.ticket_url",
        None,
        &[],
        Kind::SecretList,
        "URL of a webhook that opens tickets, beside e-mail: P3 goes there. `SKOPOS_TICKET_URL` sets it too.",
    ),
    key(
        "alerting.severities",
        None,
        &[
            "critical=P1",
            "page=P1",
            "P1=P1",
            "high=P2",
            "error=P2",
            "P2=P2",
            "warning=P3",
            "info=P3",
            "ticket=P3",
            "P3=P3",
        ],
        Kind::List,
        "What each value of the label `severity` means: P1 to the pager, P2 to chat, P3 to e-mail and tickets. Other words go the way of P2 and are reported.",
    ),
    key(
        "alerting.heartbeat_url",
        None,
        &[],
        Kind::SecretList,
        "URL of a dead man's switch outside, fetched at an interval while rules are evaluated in time.",
    ),
    key(
        "alerting.heartbeat_interval",
        None,
        &["1m"],
        Kind::Duration,
        "How often alerting.heartbeat_url is fetched.",
    ),
    key(
        "alerting.alertmanagers",
        Some("--alertmanager-url"),
        &[],
        Kind::SecretList,
        "URLs of external Alertmanagers to hand alerts over to, each to all of them, as Prometheus does.",
    ),
    key(
        "log.format",
        Some("--log-format"),
        &["auto"],
        Kind::Choice(&["auto", "json", "pretty"]),
        "Form of the server's own log; auto is pretty on a terminal, JSON otherwise.",
    ),
    key(
        "ui.open",
        Some("--no-open"),
        &["true"],
        Kind::Switch,
        "Open the browser when started on a terminal.",
    ),
    key(
        "ui.dir",
        Some("--ui-dir"),
        &[],
        Kind::Path,
        "Folder with a built web UI to serve instead of the one inside the binary.",
    ),
];

impl Key {
    /// The key of this name.
    pub fn named(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("SKOPOS__{}", self.name.replace('.', "__").to_ascii_uppercase())
    }

    /// Whether it holds more than one value.
    pub fn is_list(&self) -> bool {
        matches!(self.kind, Kind::List | Kind::SecretList)
    }

    /// Whether its values are never printed.
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::SecretList
    }
}
