//! `kill -9` under load: what was acknowledged is there afterwards, once; what was not sent is not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use skopos_model::{Clock, SystemClock};

use crate::harness::Server;

const ROUNDS: u64 = 20;

/// Ids of one signal: sent, and of those acknowledged.
#[derive(Default)]
struct Ledger {
    sent: BTreeSet<String>,
    acknowledged: BTreeSet<String>,
}

type Ledgers = Arc<Mutex<BTreeMap<&'static str, Ledger>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_data_survives_twenty_kills() {
    let data = tempfile::tempdir().unwrap();
    let ledgers = Ledgers::default();
    for round in 0..ROUNDS {
        let server = Arc::new(Server::start(data.path(), &[]).await);
        let senders: Vec<_> = ["logs", "traces", "metrics"]
            .into_iter()
            .flat_map(|signal| (0..2).map(move |worker| (signal, worker)))
            .map(|(signal, worker)| {
                let (server, ledgers) = (Arc::clone(&server), Arc::clone(&ledgers));
                tokio::spawn(async move { send(&server, &ledgers, signal, round, worker).await })
            })
            .collect();
        // Different from round to round, the same in every run.
        tokio::time::sleep(Duration::from_millis(60 + round * 37 % 160)).await;
        let pid = server.child.id().to_string();
        let killed = std::process::Command::new("kill").args(["-9", &pid]).status().unwrap();
        assert!(killed.success());
        for sender in senders {
            sender.await.unwrap();
        }
        Arc::into_inner(server).unwrap().kill();
    }

    let server = Server::start(data.path(), &[]).await;
    let ledgers = std::mem::take(&mut *ledgers.lock().unwrap());
    let (mut all_lost, mut all_doubled) = (0, 0);
    for (signal, ledger) in &ledgers {
        let stored = read_back(&server, signal).await;
        let unique: BTreeSet<_> = stored.iter().cloned().collect();
        all_doubled += stored.len() - unique.len();
        let lost: Vec<_> = ledger.acknowledged.difference(&unique).collect();
        all_lost += lost.len();
        if let Some(first) = lost.first() {
            println!("{signal}: acknowledged and lost: {}, the first is {first}", lost.len());
        }
        let invented: Vec<_> = unique.difference(&ledger.sent).take(5).collect();
        assert!(invented.is_empty(), "{signal}: stored but never sent: {invented:?}");
        println!(
            "{signal}: {} sent, {} acknowledged, {} read back after {ROUNDS} kills",
            ledger.sent.len(),
            ledger.acknowledged.len(),
            unique.len()
        );
        assert!(ledger.acknowledged.len() >= ROUNDS as usize, "{signal}: the load was real");
    }
    println!("proof: kill -9 under load: {ROUNDS} points, lost {all_lost}, doubled {all_doubled}");
    assert_eq!((all_lost, all_doubled), (0, 0), "lost and doubled");
}

/// Sends until the server no longer acknowledges.
async fn send(server: &Server, ledgers: &Ledgers, signal: &'static str, round: u64, worker: u64) {
    for number in 0.. {
        let id = format!("r{round:02}w{worker}n{number:05}");
        let note = |acknowledged: bool| {
            let mut ledgers = ledgers.lock().unwrap();
            let ledger = ledgers.entry(signal).or_default();
            let set = if acknowledged { &mut ledger.acknowledged } else { &mut ledger.sent };
            set.insert(id.clone());
        };
        note(false);
        if !server.post(&format!("/v1/{signal}"), &payload(signal, &id)).await {
            return;
        }
        note(true);
    }
}

fn payload(signal: &str, id: &str) -> Value {
    let now = SystemClock::new().now().as_nanos().to_string();
    let resource = json!({"attributes": [
        {"key": "service.name", "value": {"stringValue": "kill-test"}}
    ]});
    let marker = json!([{"key": "marker", "value": {"stringValue": id}}]);
    match signal {
        "logs" => json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [
            {"timeUnixNano": now, "severityNumber": 9, "body": {"stringValue": id}}
        ]}]}]}),
        "traces" => json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [
            {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": span_id(id), "name": id,
             "kind": 1, "startTimeUnixNano": now, "endTimeUnixNano": now}
        ]}]}]}),
        _ => json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [
            {"name": "kill_test", "gauge": {"dataPoints": [
                {"timeUnixNano": now, "asDouble": 1.0, "attributes": marker}
            ]}}
        ]}]}]}),
    }
}

/// Eight bytes that differ for every id and are never all zero.
fn span_id(id: &str) -> String {
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{:016x}", hash | 1)
}

/// The ids stored, as often as they are stored.
async fn read_back(server: &Server, signal: &str) -> Vec<String> {
    let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
    match signal {
        "logs" => {
            let mut found = Vec::new();
            // Pages of the API's greatest size, oldest first.
            let mut start = "now-1h".to_owned();
            let mut seen = BTreeSet::new();
            loop {
                let query = [
                    ("service", "kill-test"),
                    ("start", start.as_str()),
                    ("limit", "5000"),
                    ("direction", "forward"),
                ];
                let answer = server.get("/api/v1/logs", &query).await;
                let logs = answer["data"]["logs"].as_array().unwrap();
                let new: Vec<_> = logs.iter().filter(|l| seen.insert(text(&l["id"]))).collect();
                found.extend(new.iter().map(|l| text(&l["body"])));
                let Some(last) = new.last() else { return found };
                start = text(&last["time"]);
            }
        }
        "traces" => {
            let answer = server.get("/api/traces/5b8efff798038103d269b633813fc60c", &[]).await;
            let spans = answer["data"][0]["spans"].as_array().unwrap();
            spans.iter().map(|s| text(&s["operationName"])).collect()
        }
        _ => {
            let query = [("match[]", "kill_test"), ("start", "0")];
            let answer = server.get("/api/v1/series", &query).await;
            answer["data"].as_array().unwrap().iter().map(|s| text(&s["marker"])).collect()
        }
    }
}

const RULE: &str = r#"
groups:
  - name: kill
    interval: 1s
    rules:
      - alert: TooManyUsers
        expr: active_users_current > 5
        for: 2s
        labels: { severity: critical }
        annotations: { summary: "{{ $value }} users" }
"#;

/// The alert as `/api/v1/alerts` shows it: state and since when.
async fn alert(server: &Server) -> Option<(String, String)> {
    let answer = server.get("/api/v1/alerts", &[]).await;
    let alert = answer["data"]["alerts"].get(0)?;
    let text = |key: &str| alert[key].as_str().unwrap_or("").to_owned();
    Some((text("state"), text("activeAt")))
}

async fn users(server: &Server, count: u64) {
    let now = SystemClock::new().now().as_nanos().to_string();
    let body = json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "kill-test"}}]},
        "scopeMetrics": [{"metrics": [{"name": "active_users_current", "gauge": {"dataPoints": [
            {"timeUnixNano": now, "asInt": count.to_string()}
        ]}}]}]
    }]});
    assert!(server.post("/v1/metrics", &body).await);
}

/// Looks until the alert is in this state; a busy machine gets its time.
async fn until(server: &Server, wanted: &str) -> String {
    for _ in 0..300 {
        if let Some((state, active_at)) = alert(server).await
            && state == wanted
        {
            return active_at;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the alert is not {wanted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_survives_kills_while_pending_and_while_firing() {
    let data = tempfile::tempdir().unwrap();
    let rules = data.path().join("kill.yml");
    std::fs::write(&rules, RULE).unwrap();
    let sink = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!("http://{}/hook", sink.local_addr().unwrap());
    let keys = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(receive(sink, Arc::clone(&keys)));
    let flags = ["--rules", rules.to_str().unwrap(), "--webhook", &webhook];

    let server = Server::start(data.path(), &flags).await;
    users(&server, 9).await;
    let since = until(&server, "pending").await;
    server.kill();

    let server = Server::start(data.path(), &flags).await;
    assert_eq!(until(&server, "firing").await, since, "`for` went on counting over the kill");
    server.kill();

    let server = Server::start(data.path(), &flags).await;
    assert_eq!(alert(&server).await, Some(("firing".into(), since)), "at once, not after `for`");
    users(&server, 1).await;
    for _ in 0..300 {
        if keys.lock().unwrap().iter().any(|(status, _)| status == "resolved") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let received = keys.lock().unwrap().clone();
    let of = |wanted: &str| {
        let keys: BTreeSet<_> =
            received.iter().filter(|(s, _)| s == wanted).map(|(_, key)| key.clone()).collect();
        keys
    };
    assert_eq!(of("firing").len(), 1, "one page, however often it was sent: {received:?}");
    assert_eq!(of("resolved").len(), 1, "{received:?}");
    assert!(of("firing").is_disjoint(&of("resolved")));
}

/// `Long` stays pending and `Steady` fires for the whole test; `Flap` fires and resolves in between.
const MANY_RULES: &str = r#"
groups:
  - name: kill
    interval: 1s
    rules:
      - { alert: Long, expr: users_steady > 5, for: 1h }
      - { alert: Steady, expr: users_steady > 5, for: 1s, keep_firing_for: 1h }
      - { alert: Flap, expr: users_flap > 5 }
"#;

async fn gauge(server: &Server, name: &str, value: u64) {
    let now = SystemClock::new().now().as_nanos().to_string();
    let points = json!([{"timeUnixNano": now, "asInt": value.to_string()}]);
    let body = json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "kill-test"}}]},
        "scopeMetrics": [{"metrics": [{"name": name, "gauge": {"dataPoints": points}}]}]
    }]});
    assert!(server.post("/v1/metrics", &body).await);
}

/// Alerts by name: state and since when.
type Alerts = BTreeMap<String, (String, String)>;

async fn alerts(server: &Server) -> Alerts {
    let answer = server.get("/api/v1/alerts", &[]).await;
    let alerts = answer["data"]["alerts"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    alerts
        .map(|a| (text(&a["labels"]["alertname"]), (text(&a["state"]), text(&a["activeAt"]))))
        .collect()
}

/// Alert state survives twenty kills at different moments of the slots; with `--no-restart-hold`
/// alerts resolve after a restart as they would have without one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alert_state_survives_twenty_kills() {
    let data = tempfile::tempdir().unwrap();
    let rules = data.path().join("kill.yml");
    std::fs::write(&rules, MANY_RULES).unwrap();
    let sink = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!("http://{}/hook", sink.local_addr().unwrap());
    let keys = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(receive(sink, Arc::clone(&keys)));
    let rules = rules.to_str().unwrap();
    let flags = ["--rules", rules, "--webhook", &webhook, "--no-restart-hold"];
    let wait = async |server: &Server, wanted: &dyn Fn(&Alerts) -> bool| {
        for _ in 0..400 {
            let alerts = alerts(server).await;
            if wanted(&alerts) {
                return alerts;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the alerts are not as wanted: {:?}", alerts(server).await);
    };

    let server = Server::start(data.path(), &flags).await;
    gauge(&server, "users_steady", 9).await;
    let is = |state: &'static str, name: &'static str| {
        move |alerts: &Alerts| alerts.get(name).is_some_and(|(found, _)| found == state)
    };
    let first = wait(&server, &|a| is("firing", "Steady")(a) && is("pending", "Long")(a)).await;
    server.kill();

    let mut lost = 0;
    let mut flaps = 0;
    for round in 1..ROUNDS {
        let server = Server::start(data.path(), &flags).await;
        let restored = alerts(&server).await;
        for name in ["Long", "Steady"] {
            // The alert, its state and since when: all as before the first kill.
            if restored.get(name) != first.get(name) {
                println!(
                    "round {round}: {name} was {:?}, is {:?}",
                    first.get(name),
                    restored.get(name)
                );
                lost += 1;
            }
        }
        // So that it stays within what expressions look back over, however slow the machine is.
        gauge(&server, "users_steady", 9).await;
        if round % 5 == 0 {
            flaps += 1;
            gauge(&server, "users_flap", if flaps % 2 == 1 { 9 } else { 1 }).await;
            let fires = is("firing", "Flap");
            wait(&server, &|alerts| fires(alerts) == (flaps % 2 == 1)).await;
        }
        // Different from round to round, the same in every run.
        tokio::time::sleep(Duration::from_millis(30 + round * 137 % 700)).await;
        server.kill();
    }

    let server = Server::start(data.path(), &flags).await;
    let fires = is("firing", "Flap");
    assert_eq!(flaps, 3);
    wait(&server, &|alerts| fires(alerts)).await;
    gauge(&server, "users_flap", 1).await;
    let of = |wanted: &str| -> BTreeSet<String> {
        let keys = keys.lock().unwrap();
        keys.iter().filter(|(s, _)| s == wanted).map(|(_, key)| key.clone()).collect()
    };
    for _ in 0..400 {
        if of("resolved").len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Steady fired once, Flap twice, and each time that it was over was told.
    let (firing, resolved) = (of("firing"), of("resolved"));
    let doubled = firing.intersection(&resolved).count();
    println!("proof: alert state over kill -9: {ROUNDS} points, lost {lost}, doubled {doubled}");
    assert_eq!((firing.len(), resolved.len()), (3, 2), "{:?}", keys.lock().unwrap());
    assert_eq!((lost, doubled), (0, 0), "lost and doubled");
}

/// A webhook receiver: notes each notification's status and idempotency key.
async fn receive(listener: tokio::net::TcpListener, keys: Arc<Mutex<Vec<(String, String)>>>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        let (head, body) = loop {
            let Ok(n @ 1..) = stream.read(&mut buffer).await else { break Default::default() };
            bytes.extend_from_slice(&buffer[..n]);
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let header = |name: &str| {
                head.lines().find_map(|l| {
                    let (key, value) = l.split_once(": ")?;
                    key.eq_ignore_ascii_case(name).then(|| value.to_owned())
                })
            };
            let length: usize = header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                break (header("idempotency-key").unwrap_or_default(), body.to_owned());
            }
        };
        let status = serde_json::from_str(&body)
            .map_or(String::new(), |v: Value| v["status"].as_str().unwrap_or("").to_owned());
        keys.lock().unwrap().push((status, head));
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}
