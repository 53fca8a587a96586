//! `skopos doctor` as people use it: against the smallest example, a bad service, and nothing at all.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{Server, run, skopos};

/// The example's binary, beside ours; built when only this package was.
fn hello() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_skopos")).with_file_name("hello");
    if !path.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo).args(["build", "-p", "hello"]).status();
        assert!(built.expect("cargo starts").success(), "hello builds");
    }
    path
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the example on a free port; its address.
fn start_hello(variables: &[(&str, &str)]) -> (Running, String) {
    let mut child = Command::new(hello())
        .env_clear()
        .env("SKOPOS_LOCAL_COLLECTOR", "none")
        .envs(variables.iter().copied())
        .env("LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the example starts");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let running = Running(child);
    let first = lines.next().expect("a line").expect("the line is read");
    let first: Value = serde_json::from_str(&first).expect("the line is JSON");
    let fields = first.as_object().expect("an object").values();
    let address = fields.filter_map(Value::as_str).find(|text| text.starts_with("127.0.0.1:"));
    let address = format!("http://{}", address.expect("the line says where"));
    std::thread::spawn(move || lines.for_each(drop));
    (running, address)
}

fn text(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}\n{}", String::from_utf8_lossy(&output.stderr))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn the_smallest_example_meets_every_demand() {
    let address = format!("127.0.0.1:{}", free_port());
    let output = skopos()
        .args(["doctor", &format!("http://{address}"), "--strict", "--patience", "30s", "--"])
        .arg("env")
        .arg(format!("LISTEN={address}"))
        .arg(hello())
        .output()
        .expect("the binary starts");
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains(" 0 failed, 0 unknown"), "{text}");
    // What was started is gone.
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn the_smallest_example_that_runs_already_meets_every_demand_when_only_its_address_is_given() {
    // As at 127.0.0.1:4318, where both look unless told otherwise; a test must not take that port.
    let collector = format!("127.0.0.1:{}", free_port());
    let (_hello, address) = start_hello(&[("SKOPOS_LOCAL_COLLECTOR", &collector)]);
    let output = run(&["doctor", &address, "--otlp", &collector, "--strict", "--patience", "30s"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("29 demands: 29 ok, 0 failed, 0 unknown"), "{text}");
    // In production it looks for nobody.
    let variables = [("SKOPOS_LOCAL_COLLECTOR", collector.as_str()), ("ENVIRONMENT", "production")];
    let (_hello, address) = start_hello(&variables);
    let args = ["doctor", &address, "--otlp", &collector, "--patience", "2s", "--format", "json"];
    let output = run(&args);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&report["failed"], report["unknown"].as_u64() > Some(0)), (&0.into(), true));
}

#[test]
fn of_a_service_that_runs_already_nothing_is_wrong_and_what_was_not_seen_is_said() {
    let (_hello, address) = start_hello(&[]);
    let args = ["doctor", &address, "--otlp", "127.0.0.1:0", "--patience", "100ms"];
    let output = run(&[&args[..], &["--format", "json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["failed"], 0, "{report:#}");
    let verdicts = report["verdicts"].as_array().unwrap();
    for verdict in verdicts.iter().filter(|verdict| verdict["status"] == "unknown") {
        assert!(verdict["settle"].as_str().unwrap().contains("skopos doctor URL -- COMMAND"));
    }
    let strict = run(&[&args[..], &["--strict"]].concat());
    assert_eq!(strict.status.code(), Some(4), "{}", text(&strict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_skopos_is_asked_for_what_it_took() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]).await;
    let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", server.otlp_http.as_str())];
    let (_hello, address) = start_hello(&endpoint);
    let otlp = server.otlp_http.trim_start_matches("http://");
    let output = run(&[
        "doctor",
        &address,
        "--otlp",
        otlp,
        "--server",
        &server.http,
        "--patience",
        "30s",
        "--format",
        "ndjson",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let verdicts: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let status = |id: &str| verdicts.iter().find(|v| v["id"] == id).unwrap()["status"].clone();
    for id in ["trace-continued", "trace-resource", "trace-request-span", "log-correlated"] {
        assert_eq!(status(id), "ok", "{id}: {lines}");
    }
    // It redacts what it takes: no proof of what the service sent.
    assert_eq!(status("log-no-secrets"), "unknown");
}

#[test]
fn a_bad_service_fails_with_4_and_an_absent_one_with_1() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let answer = "HTTP/1.1 500 Oops\r\nserver: bad/1.0\r\nconnection: close\r\ncontent-length: 4\r\n\r\noops";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let output = run(&["doctor", &address, "--otlp", "none"]);
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(4), "{shown}");
    for expected in [
        "FAILED   the service answers, and an unknown path is 404, not 500",
        "found  server: bad/1.0",
        "fix    serve /metrics from the process",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }

    let nobody = format!("http://127.0.0.1:{}", free_port());
    let output = run(&["doctor", &nobody, "--otlp", "none"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("cannot be reached"), "{}", text(&output));
}

#[test]
fn wrong_usage_says_how_and_shows_no_secret() {
    for (args, expected) in [
        (&["doctor"][..], "<URL>"),
        (&["doctor", "http://x", "--otlp", "nowhere"], "127.0.0.1:4318"),
        (&["doctor", "http://x", "-H", "Authorization=hunter2"], "no colon"),
        (&["doctor", "http://x", "--format", "csv"], "csv"),
        (&["doctor", "127.0.0.1:8000"], "scheme"),
        (&["doctor", "http://127.0.0.1:99999"], "from 1 to 65535"),
        (&["doctor", "http://ann:hunter2@127.0.0.1:1"], "--header"),
        (&["doctor", "http://127.0.0.1:1", "--ops", "127.0.0.1:9090"], "scheme"),
        (&["k8s", "probes"], "--port"),
        (&["k8s", "probes", "--port", "0"], "1..=65535"),
        (&["k8s", "probes", "--port", "80", "--path-prefix", "a b"], "/internal"),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output));
        assert!(text(&output).contains(expected), "{args:?}: {}", text(&output));
        assert!(!text(&output).contains("hunter2"), "{args:?}: {}", text(&output));
    }
}

#[test]
fn the_probes_for_kubernetes_have_the_guides_numbers_in_every_format() {
    let yaml = run(&["k8s", "probes", "--port", "8000"]);
    assert_eq!(yaml.status.code(), Some(0));
    let yaml: Value = serde_saphyr::from_str(&String::from_utf8_lossy(&yaml.stdout)).unwrap();
    let json = run(&["k8s", "probes", "--port", "8000", "--format", "json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(yaml, json);
    let probe = |path: &str, numbers: &[(&str, u32)]| {
        let mut probe = serde_json::json!({ "httpGet": { "path": path, "port": 8000 } });
        for (name, number) in numbers {
            probe[name] = (*number).into();
        }
        probe
    };
    let (delay, period) = ("initialDelaySeconds", "periodSeconds");
    let (timeout, failures) = ("timeoutSeconds", "failureThreshold");
    assert_eq!(
        json,
        serde_json::json!({
            "livenessProbe": probe("/health/live", &[(delay, 5), (period, 15), (timeout, 3), (failures, 3)]),
            "readinessProbe": probe("/health/ready", &[(delay, 5), (period, 10), (timeout, 5), (failures, 3)]),
            "startupProbe": probe("/health/startup", &[(period, 5), (failures, 30)]),
        })
    );
    let under = run(&["k8s", "probes", "--port", "9090", "--path-prefix", "/internal/"]);
    assert!(text(&under).contains("{ path: /internal/health/ready, port: 9090 }"));
}
