//! The demo left running for exploration: banner, progress line, keys.

#![expect(clippy::disallowed_methods, reason = "shows how long the demo runs")]

use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use anyhow::Result;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use tokio::sync::mpsc;

use super::fleet::Fleet;
use super::sink::Sink;
use crate::Outcome;
use crate::output::{bold, dim, green, red, yellow};

/// How often the progress line is renewed on a terminal, and elsewhere.
const REFRESH: Duration = Duration::from_secs(1);
const REFRESH_PLAIN: Duration = Duration::from_secs(10);

/// What it takes the guide's HighErrorRate to see a fault and wait its shortened `for`.
const PAGE_AFTER: u32 = 10;

const KEYS: [(char, &str); 3] =
    [('1', "payment-errors"), ('2', "payment-latency"), ('3', "db-pool")];

/// Shows what goes on until `q` or Ctrl-C.
pub(super) async fn explore(fleet: &Fleet, sink: &Sink) -> Result<Outcome> {
    banner(fleet);
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let _raw = terminal.then(RawMode::enter).flatten();
    let mut keys = if terminal { read_keys() } else { mpsc::channel(1).1 };
    let mut refresh = tokio::time::interval(if terminal { REFRESH } else { REFRESH_PLAIN });
    let (mut webhooks, started) = (0, Instant::now());
    let mut outcome = Ok(Outcome::Done);
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            _ = terminate.recv() => break,
            Some(key) = keys.recv() => match key {
                KeyCode::Char('q') | KeyCode::Esc => break,
                KeyCode::Char(c) => {
                    if let Some((_, name)) = KEYS.iter().find(|(k, _)| *k == c) {
                        toggle(fleet, name).await;
                    }
                }
                _ => {}
            },
            _ = refresh.tick() => {
                for payload in sink.since(webhooks) {
                    webhooks += 1;
                    say(&format!("webhook  {}", describe(&payload)));
                }
                if let Some(casualty) = fleet.casualty() {
                    say(&red(casualty.replace('\n', "\r\n")).to_string());
                    outcome = Err(anyhow::anyhow!("a process of the demo ended by itself"));
                    break;
                }
                progress(&status(fleet, started).await, terminal);
            }
        }
    }
    say("stopping: services flush, then the server …");
    outcome
}

fn banner(fleet: &Fleet) {
    let api = &fleet.api_url;
    let (grpc, http) = &fleet.otlp;
    let payment = &fleet.fault_urls["payment-errors"];
    println!(
        "\n  {title}   data {data}\n\
         \n  API      {api}            OTLP  grpc {grpc} · http {http}\
         \n  Shop     POST {order}/orders        (20 orders/s are being placed)\
         \n  Rules    the guide's, interval 1 s, every `for` a hundredth of the guide's\
         \n  SLOs     order-availability 99.9 %, order-latency 99 % within 1 s\n\
         \n  Faults   keys 1 payment-errors · 2 payment-latency · 3 db-pool · q ends\
         \n           or: curl -X PUT {payment}/faults/payment-errors -H 'content-type: application/json' -d '{{\"on\":true}}'\n\
         \n  Try      export SKOPOS_SERVER={api}\
         \n           skopos query 'sum by (job) (rate(http_requests_total[1m]))'\
         \n           skopos logs --severity error       skopos tail\
         \n           skopos trace --service payment-service --errors\
         \n           skopos slo status              skopos slo gate --service order-service\
         \n           curl {api}/api/v1/alerts\n",
        title = bold("skopos demo"),
        data = fleet.data.display(),
        order = fleet.order_url,
    );
}

async fn toggle(fleet: &Fleet, name: &'static str) {
    let on = !fleet.faults_on().await.contains(name);
    match fleet.switch_fault(name, on).await {
        Ok(()) if on => {
            say(&format!(
                "fault    {name} {}   (expect a page in about {PAGE_AFTER} s)",
                red("on")
            ));
        }
        Ok(()) => say(&format!("fault    {name} {}", green("off"))),
        Err(error) => say(&format!("fault    {name}: {error:#}")),
    }
}

/// One line: orders, errors, latency, alerts, faults.
async fn status(fleet: &Fleet, started: Instant) -> String {
    let number = async |promql: &str| fleet.number(promql).await.ok().flatten();
    let orders = number("sum(rate(orders_placed_total[10s]))").await.unwrap_or(0.0);
    let errors = number(
        r#"sum(rate(http_requests_total{status_code=~"5.."}[1m])) / sum(rate(http_requests_total[1m]))"#,
    )
    .await
    .unwrap_or(0.0);
    let p99 = number(
        "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[1m])))",
    )
    .await
    .unwrap_or(0.0);
    let firing = number(r#"count(ALERTS{alertstate="firing"})"#).await.unwrap_or(0.0);
    let pending = number(r#"count(ALERTS{alertstate="pending"})"#).await.unwrap_or(0.0);
    let faults: Vec<_> = fleet.faults_on().await.into_iter().collect();
    let alerts = match (firing, pending) {
        (0.0, 0.0) => green("no alerts").to_string(),
        (0.0, pending) => yellow(format!("{pending} pending")).to_string(),
        (firing, _) => red(format!("{firing} firing")).to_string(),
    };
    format!(
        "{:>5.0} s  {orders:>5.1} orders/s  {:>5.2} % errors  p99 {:>5.0} ms  {alerts}{}",
        started.elapsed().as_secs_f64(),
        errors * 100.0,
        p99 * 1000.0,
        if faults.is_empty() { String::new() } else { format!("  {}", dim(faults.join(", "))) },
    )
}

fn describe(payload: &serde_json::Value) -> String {
    let status = payload["status"].as_str().unwrap_or("");
    let alerts = payload["alerts"].as_array().map_or(&[][..], Vec::as_slice);
    let first = alerts.first().map_or("", |a| a["annotations"]["summary"].as_str().unwrap_or(""));
    let name = payload["groupLabels"]["alertname"].as_str().unwrap_or("");
    let status = if status == "firing" { red(status) } else { green(status) };
    format!("{name} {status}  {}", crate::output::printable(first))
}

/// Renews the progress line in place on a terminal, else prints one more line.
fn progress(line: &str, terminal: bool) {
    let mut out = std::io::stdout().lock();
    let _ = if terminal { write!(out, "\r\x1b[2K{line}") } else { writeln!(out, "{line}") };
    let _ = out.flush();
}

/// Prints a line of its own above the progress line. Raw mode needs the carriage return.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "\r\x1b[2K{line}\r\n");
    let _ = out.flush();
}

/// Raw terminal mode until dropped.
struct RawMode;

impl RawMode {
    fn enter() -> Option<Self> {
        crossterm::terminal::enable_raw_mode().ok().map(|()| Self)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = crossterm::terminal::disable_raw_mode();
        println!();
    }
}

/// Reads keys on a thread of its own, which ends when nobody listens. In raw mode Ctrl-C is a key.
fn read_keys() -> mpsc::Receiver<KeyCode> {
    let (sender, receiver) = mpsc::channel(16);
    let read = move || {
        while !sender.is_closed() {
            match crossterm::event::poll(Duration::from_millis(200)) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(_) => return,
            }
            let Ok(Event::Key(KeyEvent { code, modifiers, .. })) = crossterm::event::read() else {
                continue;
            };
            let interrupt = code == KeyCode::Char('c') && modifiers.contains(KeyModifiers::CONTROL);
            let key = if interrupt { KeyCode::Char('q') } else { code };
            if sender.blocking_send(key).is_err() {
                return;
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("keys".into()).spawn(read) {
        eprintln!("keys are not read: {error}");
    }
    receiver
}
