//! A disk that fails, rules that are late, a clock that goes back, records that cannot be read:
//! the probes and the metrics say so, and what can go on does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use serde_json::{Value, json};
use skopos_ingest::remote_write::encode;
use skopos_model::storage::{CommitId, StateCommit, StateKind, StateLog, StateRecord};
use skopos_model::{Clock, SystemClock, Timestamp};
use skopos_server::config::FloorSetting;
use skopos_store::{Store, StoreConfig};
use skopos_testkit::VirtualClock;
use skopos_testkit::fault_fs::{FaultFs, Faults, Survival};
use tempfile::TempDir;

use crate::harness::{TestServer, eventually};
use crate::otlp::logs_request;

const RULES: &str = "
groups:
- name: depth
  interval: 20ms
  rules:
  - record: queue:depth:max
    expr: max(queue_depth)
";

/// An interval of the rules.
const TICK: Duration = Duration::from_millis(20);
const NEXT_FSYNC_FAILS: Faults =
    Faults { fail_sync: Some(1), crash_at: None, torn_bytes: 0, fail_write: None, no_space: false };

struct Setup {
    disk: FaultFs,
    clock: Arc<VirtualClock>,
    rules: TempDir,
}

impl Setup {
    fn new() -> Self {
        let setup = Self {
            disk: FaultFs::new(),
            clock: Arc::new(VirtualClock::default()),
            rules: tempfile::tempdir().unwrap(),
        };
        setup.rules(RULES);
        setup
    }

    fn rules(&self, text: &str) {
        std::fs::write(self.rules.path().join("rules.yml"), text).unwrap();
    }

    async fn start(&self) -> TestServer {
        TestServer::on(&self.disk, &self.clock, |settings| {
            settings.rule_files = vec![self.rules.path().join("rules.yml").display().to_string()];
        })
        .await
    }

    /// Lets the clock go on until something becomes true.
    async fn in_time<Fut: Future<Output = bool>>(&self, what: &str, is_so: impl Fn() -> Fut) {
        eventually(what, || {
            self.clock.advance(TICK);
            is_so()
        })
        .await;
    }

    /// Sends `queue_depth` as of now.
    async fn push(&self, server: &TestServer, service: &str, value: f64) -> reqwest::Response {
        let resource =
            json!({"attributes": [{"key": "service.name", "value": {"stringValue": service}}]});
        let at = self.clock.now().as_nanos().to_string();
        let body = json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [
            {"name": "queue.depth", "gauge": {"dataPoints": [{"timeUnixNano": at, "asDouble": value}]}}
        ]}]}]});
        let request = server.client.post(server.otlp("/v1/metrics"));
        let request = request.header("content-type", "application/json");
        request.body(body.to_string()).send().await.unwrap()
    }
}

async fn probe(server: &TestServer, path: &str) -> (u16, Value) {
    let response = server.client.get(server.http(path)).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// The names of the checks that fail; asserts that status, code and liveness agree with them.
async fn failing(server: &TestServer) -> Vec<String> {
    let (code, ready) = probe(server, "/health/ready").await;
    let checks = ready["checks"].as_object().unwrap();
    let failing: Vec<String> = checks
        .iter()
        .filter(|(_, check)| check["status"] != "healthy")
        .map(|(name, check)| {
            assert_eq!(check["status"], "unhealthy");
            assert!(!check["error"].as_str().unwrap().is_empty(), "{ready}");
            name.clone()
        })
        .collect();
    let (want_code, want) = if failing.is_empty() { (200, "ready") } else { (503, "not_ready") };
    assert_eq!((code, ready["status"].as_str()), (want_code, Some(want)), "{ready}");
    assert_eq!(probe(server, "/health/live").await.0, 200);
    failing
}

async fn recorded(server: &TestServer) -> usize {
    server.series("queue:depth:max").await.into_values().next().map_or(0, |samples| samples.len())
}

/// The value of a metric without labels.
async fn metric(server: &TestServer, name: &str) -> f64 {
    let page = server.get_text("/metrics").await;
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} in {page}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_wal_stops_ingest_and_nothing_else() {
    let setup = Setup::new();
    let server = setup.start().await;
    assert_eq!(setup.push(&server, "shop", 9.0).await.status(), 200);
    assert!(failing(&server).await.is_empty());

    // The clock stands, so that no rule writes meanwhile.
    eventually("the rules rest", || async {
        let before = setup.disk.counts();
        tokio::time::sleep(Duration::from_millis(60)).await;
        setup.disk.counts() == before
    })
    .await;
    setup.disk.set_faults(NEXT_FSYNC_FAILS);
    for _ in 0..2 {
        let refused = setup.push(&server, "refused", 10.0).await;
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.headers()["retry-after"], "60", "somebody must restart it first");
    }
    assert_eq!(failing(&server).await, ["wal"]);
    assert_eq!(metric(&server, "skopos_store_wal_poisoned").await, 1.0);

    let now = setup.clock.now().as_secs_f64();
    let query = format!("/api/v1/query?query=queue_depth{{job=%22shop%22}}&time={now}");
    let answer = server.get_json(&query).await;
    assert_eq!(answer["data"]["result"][0]["value"][1], "9", "queries go on");
    let before = recorded(&server).await;
    setup.in_time("rules go on", || async { recorded(&server).await > before }).await;
    assert_eq!(failing(&server).await, ["wal"]);
    drop(server.kill());
}

/// Below the floor, and with no space at all: every door refuses, names folder and figures and asks
/// for a repeat; the rest goes on; and space is all it needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_ingest_at_every_door_until_there_is_space() {
    const BALLAST: &str = "/ballast";
    let setup = Setup::new();
    setup.disk.set_capacity(Some(32 << 20));
    let server = TestServer::on(&setup.disk, &setup.clock, |settings| {
        settings.rule_files = vec![setup.rules.path().join("rules.yml").display().to_string()];
        settings.disk_floor = FloorSetting::Bytes(16 << 20);
        settings.scrape_self = true;
        settings.scrape_interval = Duration::from_millis(50);
    })
    .await;
    assert_eq!(setup.push(&server, "shop", 9.0).await.status(), 200);

    setup.disk.put(Path::new(BALLAST), vec![0; 20 << 20]);
    let refused = setup.push(&server, "shop", 10.0).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "15");
    let says_why = |text: &str| {
        for part in ["/data", "bytes free", "floor of 16777216 bytes"] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    };
    says_why(&refused.text().await.unwrap());
    let write = server.client.post(server.http("/api/v1/write")).body({
        let labels = skopos_model::Labels::from_pairs([("__name__", "written")]);
        let at = setup.clock.now().as_millis();
        let series = vec![skopos_model::SeriesSamples::single(labels, at, 1.0)];
        encode(&skopos_model::MetricBatch { series, metadata: vec![] })
    });
    let write = write.header("content-type", "application/x-protobuf");
    let write = write.header("content-encoding", "snappy").send().await.unwrap();
    assert_eq!(
        (write.status().as_u16(), &write.headers()["retry-after"]),
        (503, &"15".parse().unwrap())
    );
    says_why(&write.text().await.unwrap());
    let url = format!("http://{}", server.server.addresses().otlp_grpc);
    let channel = tonic::transport::Channel::from_shared(url).unwrap().connect().await.unwrap();
    let status = LogsServiceClient::new(channel).export(logs_request("shop")).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    says_why(status.message());
    setup
        .in_time("a scrape is refused", || async {
            let targets = server.get_json("/api/v1/targets").await;
            targets.to_string().contains("floor of 16777216 bytes")
        })
        .await;

    // Shown, but nothing that a restart or another instance would help.
    let (code, ready) = probe(&server, "/health/ready").await;
    assert_eq!(code, 200, "{ready}");
    says_why(ready["checks"]["disk"]["error"].as_str().unwrap());
    assert_eq!(metric(&server, "skopos_store_disk_low").await, 1.0);
    assert!(metric(&server, "skopos_store_refused_disk_low_total").await >= 4.0);
    let receipts = server.get_json("/api/v1/skopos/receipts").await.to_string();
    assert!(receipts.contains("storage_full"), "{receipts}");
    assert_eq!(server.series("queue_depth").await.len(), 1, "queries go on");
    let before = recorded(&server).await;
    setup.in_time("rules go on", || async { recorded(&server).await > before }).await;

    // Not a byte is left.
    let used = setup.disk.used_bytes();
    setup.disk.set_capacity(Some(used));
    setup
        .in_time("the state log finds no space", || async {
            metric(&server, "skopos_store_state_log_no_space").await == 1.0
        })
        .await;
    assert_eq!(probe(&server, "/health/live").await.0, 200);

    setup.disk.set_capacity(Some(64 << 20));
    setup.disk.put(Path::new(BALLAST), vec![]);
    setup
        .in_time("ingest goes on", || async {
            setup.push(&server, "shop", 11.0).await.status() == 200
        })
        .await;
    let before = recorded(&server).await;
    setup.in_time("rules go on", || async { recorded(&server).await > before }).await;
    assert!(failing(&server).await.is_empty());
    assert_eq!(metric(&server, "skopos_store_state_log_no_space").await, 0.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_state_log_stops_rules_until_a_restart() {
    let setup = Setup::new();
    let server = setup.start().await;
    assert_eq!(setup.push(&server, "shop", 9.0).await.status(), 200);
    setup.disk.set_faults(NEXT_FSYNC_FAILS);
    setup
        .in_time("the log is poisoned", || async { failing(&server).await == ["state_log"] })
        .await;
    assert_eq!(metric(&server, "skopos_store_state_log_poisoned").await, 1.0);
    assert_eq!(setup.push(&server, "shop", 10.0).await.status(), 200, "ingest goes on");
    setup.clock.advance(Duration::from_secs(60));
    assert_eq!(failing(&server).await, ["rules", "state_log"], "a rule that waits is late");
    drop(server.kill());

    setup.disk.restart(Survival::Nothing);
    let server = setup.start().await;
    setup.in_time("rules are evaluated again", || async { recorded(&server).await > 0 }).await;
    assert!(failing(&server).await.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_rule_group_is_not_ready() {
    let setup = Setup::new();
    setup.rules(&RULES.replace("20ms", "1h"));
    let server = setup.start().await;
    assert!(failing(&server).await.is_empty());
    // The group sleeps in real time: as if it hung.
    setup.clock.advance(Duration::from_secs(2 * 3600 + 10));
    assert!(failing(&server).await.is_empty(), "two intervals and the grace");
    setup.clock.advance(Duration::from_millis(1));
    assert_eq!(failing(&server).await, ["rules"]);
    let (_, ready) = probe(&server, "/health/ready").await;
    let error = ready["checks"]["rules"]["error"].as_str().unwrap();
    assert!(error.contains("group depth") && error.contains("7210 s"), "{error}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_skips_evaluations_and_says_so() {
    const SKIPPED: &str = "skopos_rules_evaluations_skipped_total";
    let setup = Setup::new();
    let server = setup.start().await;
    assert_eq!(setup.push(&server, "shop", 9.0).await.status(), 200);
    setup.in_time("an evaluation", || async { recorded(&server).await > 0 }).await;
    assert_eq!(metric(&server, SKIPPED).await, 0.0);
    let good = setup.clock.now();

    // While it runs: the slots to come are far away.
    setup.clock.set(good.saturating_sub(Duration::from_secs(3600)));
    eventually("the skip is counted", || async { metric(&server, SKIPPED).await > 0.0 }).await;
    let before = recorded(&server).await;
    setup.clock.set(good);
    setup.in_time("it goes on at once", || async { recorded(&server).await > before }).await;
    let good = setup.clock.now();
    server.stop().await;

    // Over a restart: the slots were committed before.
    setup.clock.set(good.saturating_sub(Duration::from_secs(3600)));
    setup.disk.restart(Survival::Nothing);
    let server = setup.start().await;
    let before = recorded(&server).await;
    setup.in_time("the skip is counted", || async { metric(&server, SKIPPED).await > 0.0 }).await;
    assert_eq!(recorded(&server).await, before);
    setup.clock.set(good);
    setup.in_time("it goes on", || async { recorded(&server).await > before }).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_records_that_cannot_be_read_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let store = Store::open(StoreConfig::new(folder.path()), clock.clone()).unwrap();
    let record = |kind, key: &str| StateRecord { kind, key: key.into(), value: Some(vec![0xff]) };
    let records = vec![
        record(StateKind::Alert, "not an alert"),
        record(StateKind::NotificationIntent, "not an intent"),
    ];
    let id = CommitId { source: "test".into(), slot: Timestamp::from_secs(1).as_millis() };
    store.commit(StateCommit { id, records, samples: Vec::new() }).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let server = TestServer::reopen(folder, |_| {}).await;
    assert_eq!(metric(&server, "skopos_rules_corrupt_state_records_total").await, 2.0);
    assert!(failing(&server).await.is_empty(), "the rest goes on");
    server.stop().await;
}
