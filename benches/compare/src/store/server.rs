//! A server under measurement: started on loopback in a folder of its own, stopped, killed, started
//! again on the same folder, ended and its folder removed when dropped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::Setup;

/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a server that refuses is asked again.
const MOST_REFUSALS: usize = 3_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Skopos,
    Prometheus,
    VictoriaMetrics,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Skopos, Self::Prometheus, Self::VictoriaMetrics];

    pub fn name(self) -> &'static str {
        match self {
            Self::Skopos => "Skopos",
            Self::Prometheus => "Prometheus 2.42",
            Self::VictoriaMetrics => "VictoriaMetrics 1.79",
        }
    }

    pub fn program(self, setup: &Setup) -> PathBuf {
        match self {
            Self::Skopos => setup.skopos.clone(),
            Self::Prometheus => "prometheus".into(),
            Self::VictoriaMetrics => "victoria-metrics".into(),
        }
    }

    /// Those that can be measured here; says which cannot.
    pub fn here(setup: &Setup) -> Vec<Self> {
        let here = |kind: &Self| {
            let mut probe = Command::new(kind.program(setup));
            let found = probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            let found = found.is_ok_and(|status| status.success());
            if !found {
                eprintln!("{} is not installed: its column stays empty", kind.name());
            }
            found
        };
        Self::ALL.into_iter().filter(here).collect()
    }

    fn ready_path(self) -> &'static str {
        match self {
            Self::Skopos => "/health/ready",
            Self::Prometheus => "/-/ready",
            Self::VictoriaMetrics => "/health",
        }
    }
}

pub struct Server {
    pub kind: Kind,
    program: PathBuf,
    /// Settings beside the defaults: environment of Skopos.
    settings: Vec<(String, String)>,
    folder: TempDir,
    child: Option<Child>,
    base: String,
    otlp: String,
    agent: ureq::Agent,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What was asked and how it went.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Server {
    /// Starts with an empty folder; returns the time until it was ready too.
    pub fn start(kind: Kind, setup: &Setup) -> Result<(Self, Duration)> {
        // No metrics of its own among those that are counted.
        Self::start_with(kind, setup, &[("SKOPOS__SCRAPE__SELF", "false")])
    }

    pub fn start_with(
        kind: Kind,
        setup: &Setup,
        settings: &[(&str, &str)],
    ) -> Result<(Self, Duration)> {
        let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None);
        let mut server = Self {
            kind,
            program: kind.program(setup),
            settings,
            folder: tempfile::Builder::new().prefix("skopos-bench-").tempdir()?,
            child: None,
            base: String::new(),
            otlp: String::new(),
            agent: ureq::Agent::new_with_config(config.http_status_as_error(false).build()),
        };
        let took = server.start_again()?;
        Ok((server, took))
    }

    /// Starts on the same folder; returns the time from the start of the process until it was ready.
    pub fn start_again(&mut self) -> Result<Duration> {
        let address = free_address()?;
        self.base = format!("http://{address}");
        let otlp = free_address()?;
        self.otlp = format!("http://{otlp}");
        let mut command = self.command(&address, &otlp)?;
        let log = std::fs::File::create(self.folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let began = Instant::now();
        let name = self.kind.name();
        self.child = Some(command.spawn().with_context(|| format!("start {name}"))?);
        while began.elapsed() < PATIENCE {
            let answer = self.agent.get(self.url(self.kind.ready_path())).call();
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(began.elapsed());
            }
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                bail!("{name} ended ({status}):\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("{name} does not become ready:\n{}", self.log())
    }

    fn command(&self, address: &str, otlp: &str) -> Result<Command> {
        let mut command = Command::new(&self.program);
        let data = self.data().to_string_lossy().into_owned();
        match self.kind {
            Kind::Skopos => {
                command.args(["serve", "--no-open", "--otlp-grpc", "127.0.0.1:0"]);
                command.args(["--otlp-http", otlp, "--listen", address, "--data", &data]);
                command.current_dir(self.folder.path());
                command.envs(self.settings.iter().map(|(name, value)| (name, value)));
            }
            Kind::Prometheus => {
                let config = self.folder.path().join("prometheus.yml");
                std::fs::write(&config, "global: {evaluation_interval: 15s}\n")?;
                command.arg(format!("--config.file={}", config.display()));
                command.arg(format!("--storage.tsdb.path={data}"));
                command.arg(format!("--web.listen-address={address}"));
                command.args(["--web.enable-remote-write-receiver", "--log.level=error"]);
            }
            Kind::VictoriaMetrics => {
                command.arg(format!("-storageDataPath={data}"));
                command.arg(format!("-httpListenAddr={address}"));
                command.args(["-retentionPeriod=1y", "-loggerLevel=ERROR"]);
                command.args(["-search.disableCache", "-search.latencyOffset=0s"]);
            }
        }
        Ok(command)
    }

    /// Asks it to end and waits; returns how long that took.
    pub fn stop(&mut self) -> Result<Duration> {
        let Some(mut child) = self.child.take() else { return Ok(Duration::ZERO) };
        let began = Instant::now();
        let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        if !asked.context("run kill")?.success() {
            let _ = child.kill();
        }
        while began.elapsed() < PATIENCE {
            if child.try_wait()?.is_some() {
                return Ok(began.elapsed());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
        bail!("{} does not end:\n{}", self.kind.name(), self.log())
    }

    /// Ends it without a word, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Where its data lies.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A sender of its own with a connection of its own.
    pub fn sender(&self) -> Sender {
        Sender {
            agent: self.agent.clone(),
            name: self.kind.name(),
            base: self.base.clone(),
            otlp: self.otlp.clone(),
            refusals: 0,
        }
    }

    pub fn get(&self, path: &str) -> Result<Answer> {
        let answer = self.agent.get(self.url(path)).call();
        read(answer.with_context(|| format!("ask {} for {path}", self.kind.name()))?)
    }

    /// Asks and wants success.
    pub fn get_ok(&self, path: &str) -> Result<Vec<u8>> {
        let answer = self.get(path)?;
        if !(200..300).contains(&answer.status) {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            bail!("{} answers {} to {path}: {text}", self.kind.name(), answer.status);
        }
        Ok(answer.body)
    }

    /// The value of an instant query that has one.
    pub fn query(&self, query: &str, at_seconds: i64) -> Result<f64> {
        let query = encode(query);
        let body =
            self.get_ok(&format!("/api/v1/query?query={query}&time={at_seconds}&nocache=1"))?;
        let answer: serde_json::Value = serde_json::from_slice(&body).context("read an answer")?;
        let value = &answer["data"]["result"][0]["value"][1];
        let value = value.as_str().and_then(|text| text.parse().ok());
        value.with_context(|| format!("{} has no value: {answer}", self.kind.name()))
    }

    /// Sum over a metric's series on its own metrics page.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let text = String::from_utf8(self.get_ok("/metrics")?).context("read metrics")?;
        let of_metric =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let values = text.lines().filter(of_metric).map(|line| line.rsplit(' ').next());
        let values: Vec<f64> = values.filter_map(|text| text?.parse().ok()).collect();
        if values.is_empty() {
            bail!("{} has no metric {name}", self.kind.name());
        }
        Ok(values.iter().sum())
    }

    /// Processor time used so far, in seconds (ticks of 10 ms).
    pub fn cpu_seconds(&self) -> f64 {
        let text = self.proc("stat");
        // The command's name may hold spaces; fields count from behind its parenthesis.
        let rest = text.rsplit(')').next().unwrap_or_default();
        let ticks = |i: usize| rest.split_whitespace().nth(i).and_then(|t| t.parse::<f64>().ok());
        (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0
    }

    /// A size of the process in MB: `VmRSS` now, `VmHWM` at most since it started.
    pub fn memory_mb(&self, what: &str) -> f64 {
        let text = self.proc("status");
        let line = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
        let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or(f64::NAN) * 1024.0 / 1e6
    }

    fn proc(&self, file: &str) -> String {
        let Some(child) = &self.child else { return String::new() };
        std::fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap_or_default()
    }

    /// Waits until it uses less than 3 % of a processor for two seconds.
    pub fn settle(&self) {
        let began = Instant::now();
        let mut quiet = 0;
        while quiet < 2 && began.elapsed() < PATIENCE {
            let before = self.cpu_seconds();
            std::thread::sleep(Duration::from_secs(1));
            quiet = if self.cpu_seconds() - before <= 0.03 { quiet + 1 } else { 0 };
        }
    }

    /// Moves all of Skopos' recent data to blocks, and lets it compact: by a restart with a short
    /// age for flushing, as a server does by itself over the hours. `held` is `samples`, `logs` or
    /// `spans`: what was sent; what is derived of it goes on being counted.
    pub fn flush_by_restart(&mut self, held: &str) -> Result<()> {
        let settings = self.settings.clone();
        self.stop()?;
        self.settings.push(("SKOPOS__DATA__FLUSH_AGE".into(), "1s".into()));
        self.start_again()?;
        self.wait_until_flushed(held)?;
        self.stop()?;
        self.settings = settings;
        self.start_again()?;
        Ok(())
    }

    /// Waits until Skopos has none of these in its head and is at rest.
    pub fn wait_until_flushed(&self, held: &str) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.metric(&format!("skopos_store_head_{held}"))? == 0.0 {
                self.settle();
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        bail!("Skopos does not flush:\n{}", self.log())
    }

    /// Forgets what the system keeps of its files in memory, so that they are read from disk.
    pub fn drop_page_cache(&self) -> Result<()> {
        let _ = Command::new("sync").status();
        for file in files(&self.data())? {
            drop_cached(&file.path);
        }
        Ok(())
    }
}

/// Forgets what the system keeps of a file in memory.
pub fn drop_cached(path: &Path) {
    let of = format!("if={}", path.display());
    let mut dd = Command::new("dd");
    dd.args([&*of, "iflag=nocache", "count=0"]).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = dd.status();
}

/// A file and its size.
pub struct File {
    pub path: PathBuf,
    pub bytes: u64,
}

/// All files below a folder, with their lengths.
pub fn files(folder: &Path) -> Result<Vec<File>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry.context("read a folder")?;
            // Files may go while we look.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                found.push(File { path: entry.path(), bytes: metadata.len() });
            }
        }
    }
    Ok(found)
}

/// Bytes of the files below a folder whose paths satisfy `wanted`.
pub fn bytes_of(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<u64> {
    let files = files(folder)?;
    let of_wanted = files.iter().filter(|file| wanted(&file.path.to_string_lossy()));
    Ok(of_wanted.map(|file| file.bytes).sum())
}

/// Sends to one server; one for each thread that sends.
pub struct Sender {
    agent: ureq::Agent,
    name: &'static str,
    base: String,
    otlp: String,
    /// How often the server asked to come again later.
    pub refusals: usize,
}

impl Sender {
    /// By Prometheus remote write 1.0.
    pub fn write(&mut self, body: &[u8]) -> Result<()> {
        let url = format!("{}/api/v1/write", self.base);
        let headers = [
            ("content-type", "application/x-protobuf"),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "0.1.0"),
        ];
        self.post(&url, &headers, body)
    }

    /// By OTLP over HTTP.
    pub fn otlp(&mut self, signal: &str, content_type: &str, body: &[u8]) -> Result<()> {
        let url = format!("{}/v1/{signal}", self.otlp);
        self.post(&url, &[("content-type", content_type)], body)
    }

    /// A server that is full for the moment is asked again, as its senders would.
    fn post(&mut self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<()> {
        for _ in 0..MOST_REFUSALS {
            let mut request = self.agent.post(url);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer = request.send(body).with_context(|| format!("send to {}", self.name))?;
            let answer = read(answer)?;
            match answer.status {
                200..300 => return Ok(()),
                429 | 503 => {
                    self.refusals += 1;
                    std::thread::sleep(Duration::from_millis(100));
                }
                status => {
                    let text = String::from_utf8_lossy(&answer.body).into_owned();
                    bail!("{} answers {status}: {text}", self.name);
                }
            }
        }
        bail!("{} refuses for minutes", self.name)
    }
}

fn read(mut answer: ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(1 << 30).read_to_vec()?;
    Ok(Answer { status, body })
}

fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Percent-encodes for a query string.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
