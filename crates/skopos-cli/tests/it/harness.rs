//! Starts `skopos serve` on free ports with a data folder of its own, and speaks to it.

use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a server may take to become ready on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) fn skopos() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skopos"));
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|n| n.starts_with("SKOPOS") || n.starts_with("OTEL_"));
        if ours {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    skopos().args(args).output().expect("the binary starts")
}

/// A running `skopos serve`. Killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) http: String,
    pub(crate) otlp_http: String,
    pub(crate) otlp_grpc: String,
    agent: reqwest::Client,
}

impl Server {
    /// Starts a server on `data` and waits until it says it is ready.
    pub(crate) async fn start(data: &Path, more: &[&str]) -> Self {
        Self::start_with(skopos(), "127.0.0.1:0", data, more).await
    }

    /// The same with a prepared command and another address of the API.
    pub(crate) async fn start_with(
        mut command: Command,
        listen: &str,
        data: &Path,
        more: &[&str],
    ) -> Self {
        let ready_file = data.join("ready.json");
        let _ = std::fs::remove_file(&ready_file);
        let mut child = command
            .args(["serve", "--no-open", "--log-format", "json"])
            .args(["--listen", listen])
            .args(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"])
            .arg("--data")
            .arg(data.join("data"))
            .arg("--ready-file")
            .arg(&ready_file)
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = collect(child.stderr.take().expect("stderr is piped"));
        let started = Instant::now();
        let ready = loop {
            let text = std::fs::read_to_string(&ready_file).unwrap_or_default();
            if let Ok(ready) = serde_json::from_str::<Value>(&text) {
                break ready;
            }
            if let Some(status) = child.try_wait().expect("the child can be watched") {
                panic!("skopos serve ended ({status}):\n{}", log.join().unwrap_or_default());
            }
            assert!(started.elapsed() < READY_TIMEOUT, "skopos serve is not ready in time");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        // What listens everywhere is asked over loopback.
        let address =
            |key: &str| ready[key].as_str().expect("an address").replace("0.0.0.0:", "127.0.0.1:");
        Self {
            child,
            http: format!("http://{}", address("http")),
            otlp_http: format!("http://{}", address("otlp_http")),
            otlp_grpc: format!("http://{}", address("otlp_grpc")),
            agent: reqwest::Client::new(),
        }
    }

    /// GETs JSON from the API.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let answer = self.agent.get(format!("{}{path}", self.http)).query(query).send().await;
        let answer = answer.expect("the server answers");
        let status = answer.status();
        let value = answer.json().await.expect("the answer is JSON");
        assert!(status.is_success(), "{path}: {status}: {value}");
        value
    }

    /// POSTs OTLP/JSON; whether it was acknowledged.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> bool {
        let request = self.agent.post(format!("{}{path}", self.otlp_http)).json(body);
        request.send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child can be reaped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a pipe to its end on a thread, so that the child never blocks on it.
fn collect(pipe: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        let mut reader = BufReader::new(pipe);
        while reader.read_line(&mut text).is_ok_and(|n| n > 0) && text.len() < 1 << 20 {}
        let _ = reader.read_to_end(&mut Vec::new());
        text
    })
}

/// A file of the repository.
pub(crate) fn repository_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
