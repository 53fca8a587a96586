//! The three servers: each started on loopback with a data folder of its own, written to and asked
//! over the same HTTP API, killed when dropped.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

pub struct System {
    pub name: &'static str,
    base: String,
    /// Turns result caches off.
    nocache: bool,
    agent: ureq::Agent,
    child: Child,
    _folder: TempDir,
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One question: path and parameters without `nocache`.
pub struct Question<'a> {
    pub query: &'a str,
    /// Start, end, step; an instant query at `end` when start and end are the same.
    pub times: (i64, i64, i64),
}

impl System {
    pub fn skopos(program: &Path) -> Result<Self> {
        Self::start("Skopos", "/health/ready", false, |folder, address| {
            let mut command = Command::new(program);
            command.args(["serve", "--no-open", "--otlp-grpc", "127.0.0.1:0"]);
            command.args(["--otlp-http", "127.0.0.1:0", "--listen", address, "--data"]);
            command.arg(folder.join("data"));
            command.env("SKOPOS__SCRAPE__SELF", "false");
            command.env("SKOPOS__DATA__MAX_HEAD_BYTES", "8GiB");
            command.env("SKOPOS__LIMITS__QUERY_BYTES", "8GiB");
            Ok(command)
        })
    }

    pub fn prometheus() -> Result<Self> {
        Self::start("Prometheus", "/-/ready", false, |folder, address| {
            let config = folder.join("prometheus.yml");
            std::fs::write(&config, "global: {evaluation_interval: 15s}\n")?;
            let mut command = Command::new("prometheus");
            command.arg(format!("--config.file={}", config.display()));
            command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
            command.arg(format!("--web.listen-address={address}"));
            command.args(["--web.enable-remote-write-receiver", "--log.level=error"]);
            Ok(command)
        })
    }

    pub fn victoria_metrics() -> Result<Self> {
        Self::start("VictoriaMetrics", "/health", true, |folder, address| {
            let mut command = Command::new("victoria-metrics");
            command.arg(format!("-storageDataPath={}", folder.join("data").display()));
            command.arg(format!("-httpListenAddr={address}"));
            command.args(["-retentionPeriod=1y", "-loggerLevel=ERROR"]);
            command.args(["-search.disableCache", "-search.latencyOffset=0s"]);
            command.args(["-search.maxUniqueTimeseries=1000000", "-search.maxQueryDuration=2m"]);
            Ok(command)
        })
    }

    fn start(
        name: &'static str,
        ready: &str,
        nocache: bool,
        command: impl Fn(&Path, &str) -> Result<Command>,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = command(folder.path(), &address)?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(180)));
        let agent =
            ureq::Agent::new_with_config(config.proxy(None).http_status_as_error(false).build());
        let base = format!("http://{address}");
        let system = Self { name, base, nocache, agent, child, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            let answer = system.agent.get(format!("{}{ready}", system.base)).call();
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(system);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(system._folder.path().join("log")).unwrap_or_default();
        bail!("{name} does not become ready:\n{log}")
    }

    /// Where it answers.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn write(&self, body: &[u8]) -> Result<()> {
        let request = self.agent.post(format!("{}/api/v1/write", self.base));
        let request = request
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0");
        let mut answer = request.send(body).with_context(|| format!("write to {}", self.name))?;
        if !answer.status().is_success() {
            bail!(
                "{} answers {}: {}",
                self.name,
                answer.status(),
                answer.body_mut().read_to_string()?
            );
        }
        Ok(())
    }

    /// Asks and reads the whole answer; the time covers both.
    pub fn ask(&self, question: &Question<'_>) -> Result<(Duration, Vec<u8>)> {
        let (start, end, step) = question.times;
        let (start, end, step) = (start.to_string(), end.to_string(), step.to_string());
        let mut form = vec![("query", question.query)];
        let path = if start == end {
            form.push(("time", &*end));
            "query"
        } else {
            form.extend([("start", &*start), ("end", &*end), ("step", &*step)]);
            "query_range"
        };
        if self.nocache {
            form.push(("nocache", "1"));
        }
        let began = Instant::now();
        let request = self.agent.post(format!("{}/api/v1/{path}", self.base));
        let mut answer = request.send_form(form).with_context(|| format!("ask {}", self.name))?;
        let body = answer.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        let took = began.elapsed();
        if !answer.status().is_success() {
            let text = String::from_utf8_lossy(&body);
            bail!("{} answers {} to {}: {text}", self.name, answer.status(), question.query);
        }
        Ok((took, body))
    }

    /// A number from the system's own metrics.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let mut answer = self.agent.get(format!("{}/metrics", self.base)).call().ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Makes what was written searchable, where that needs asking.
    pub fn flush(&self) {
        let _ = self.agent.get(format!("{}/internal/force_flush", self.base)).call();
    }

    /// Processor time used so far, in seconds (ticks of 10 ms).
    pub fn cpu_seconds(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let text = text.unwrap_or_default();
        // The command's name may hold spaces; fields count from behind its parenthesis.
        let rest = text.rsplit(')').next().unwrap_or_default();
        let ticks = |i: usize| rest.split_whitespace().nth(i).and_then(|t| t.parse::<f64>().ok());
        (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0
    }

    /// Resident memory in MiB.
    pub fn memory_mib(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let text = text.unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
    }
}
