//! The visit: listen, ask, wait for what comes, judge.

#![expect(
    clippy::disallowed_methods,
    reason = "a visit happens in real time: what it measures is what a caller waits"
)]

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderName, HeaderValue, Uri, header};
use skopos_ingest::exposition::ACCEPT;

use crate::heard::{Heard, Hearing};
use crate::{Error, Ids, Report, Seen, Source, Try, judge};

mod client;
mod command;
mod lines;
mod receiver;
mod skopos;

use client::{ANSWER_BYTES, Client, Header, METRICS_BYTES, Target};
use command::Service;
use receiver::Receiver;
use skopos::Asked;

/// Where services send OTLP unless told otherwise: HTTP and gRPC.
const USUAL_PORTS: [u16; 2] = [4318, 4317];
/// Between two attempts to reach a service that is starting, and two questions to a Skopos.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the service's OTLP goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Otlp {
    /// To the usual ports of this machine: those that are free are listened on; where one is taken, a Skopos is asked.
    Usual,
    /// To this address: it is listened on, or a Skopos that has it already is asked. Port 0 is any free one.
    At(SocketAddr),
    /// Nowhere that we could look.
    Nowhere,
}

/// A running Skopos to ask for what it took.
#[derive(Clone)]
pub struct Skopos {
    /// Address of its API.
    pub url: String,
    /// A token, when it wants one.
    pub token: Option<String>,
}

impl fmt::Debug for Skopos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Skopos").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Where the service's log lines can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logs {
    /// A file that it writes.
    File(PathBuf),
    /// Our standard input, into which its output is piped.
    Stdin,
}

/// What to visit and how.
#[derive(Clone)]
pub struct Options {
    /// Address of a route of the service that may be asked with GET.
    pub url: String,
    /// Where probes and `/metrics` are served, when not there.
    pub ops: Option<String>,
    /// Headers for the service's own routes, such as `Authorization`; never sent to probes and `/metrics`.
    pub headers: Vec<(String, String)>,
    /// Where its OTLP goes.
    pub otlp: Otlp,
    /// The Skopos to ask where an address for OTLP is taken.
    pub skopos: Skopos,
    /// Where its log lines are.
    pub logs: Option<Logs>,
    /// A command that starts the service: it is run for the time of the visit, its OTLP and its output come here.
    pub command: Vec<OsString>,
    /// How long to wait until the service answers.
    pub wait: Duration,
    /// How long to wait for spans and lines after the last answer. OpenTelemetry's SDKs send every 5 s.
    pub patience: Duration,
    /// How long one answer may take.
    pub timeout: Duration,
    /// How long a probe may take to be good.
    pub probe_limit: Duration,
    /// What to send; random when `None`.
    pub ids: Option<Ids>,
}

impl Options {
    /// The usual visit to this address.
    pub fn new(url: impl Into<String>) -> Options {
        Options {
            url: url.into(),
            ops: None,
            headers: Vec::new(),
            otlp: Otlp::Usual,
            skopos: Skopos { url: "http://127.0.0.1:4319".to_owned(), token: None },
            logs: None,
            command: Vec::new(),
            wait: Duration::ZERO,
            patience: Duration::from_secs(6),
            timeout: Duration::from_secs(10),
            probe_limit: Duration::from_secs(2),
            ids: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and the query of the address may be secrets.
        f.debug_struct("Options").field("otlp", &self.otlp).finish_non_exhaustive()
    }
}

/// What is being done, for who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// OTLP is taken here.
    Listening(Vec<SocketAddr>),
    /// A Skopos is asked for what it takes.
    AskingSkopos(String),
    /// The service does not answer yet.
    WaitingForService(String),
    /// Requests are sent.
    Asking(String),
    /// Spans and lines may still come.
    WaitingForTelemetry(Duration),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Listening(addresses) => {
                f.write_str("taking OTLP (gRPC and HTTP) at ")?;
                for (i, address) in addresses.iter().enumerate() {
                    write!(f, "{}http://{address}", if i > 0 { " and " } else { "" })?;
                }
                Ok(())
            }
            Step::AskingSkopos(url) => write!(f, "asking the Skopos at {url} for telemetry"),
            Step::WaitingForService(url) => write!(f, "waiting for {url} to answer"),
            Step::Asking(url) => write!(f, "asking {url}"),
            Step::WaitingForTelemetry(most) => {
                write!(f, "waiting up to {most:?} for spans and log lines")
            }
        }
    }
}

/// Visits a service and says what of the guide it meets.
///
/// # Errors
/// The address is wrong or does not answer, or something that was asked for (a log file, an address for OTLP) cannot be had.
pub async fn examine(options: &Options, step: &(dyn Fn(Step) + Sync)) -> Result<Report, Error> {
    let seen = visit(options, step).await?;
    Ok(judge::judge(&seen))
}

/// Who takes the service's OTLP.
struct Ears {
    receivers: Vec<Receiver>,
    asked: Option<Asked>,
}

async fn visit(options: &Options, step: &(dyn Fn(Step) + Sync)) -> Result<Seen, Error> {
    let client = Client::new(options.timeout)?;
    let target = Target::parse(&options.url)?;
    let ops = options.ops.as_deref().map(Target::parse).transpose()?;
    let ops = ops.unwrap_or_else(|| target.clone());
    let own = headers(&options.headers)?;
    let ids = options.ids.clone().map_or_else(Ids::random, Ok)?;
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();

    let hearing = Hearing::default();
    let ears = listen(options, &client, &hearing, step).await?;
    let mut readers = Vec::new();
    match &options.logs {
        Some(Logs::File(path)) => readers.push(lines::follow(path.clone(), hearing.clone()).await?),
        Some(Logs::Stdin) => lines::read_stdin(hearing.clone()),
        None => {}
    }
    let mut service = None;
    if !options.command.is_empty() {
        service = Some(Service::start(&options.command, &variables(&ears), &hearing)?);
    }
    reach(options, &client, &target, &own, service.as_mut(), step).await?;
    if let Some(service) = &service {
        service.judge_lines();
    }

    step(Step::Asking(target.shown()));
    let asker = Asker { client: &client, target: &target, ops: &ops, own: &own, ids: &ids };
    let mut seen = asker.ask(options).await?;
    seen.source = source(options, &ears);
    step(Step::WaitingForTelemetry(options.patience));
    hear(options, &ears, &hearing, &seen, began).await;
    let mut heard = hearing.read(Heard::clone);
    if let Some(asked) = &ears.asked
        && let Ok(theirs) = asked.heard(&seen.ids, began).await
    {
        heard.spans.extend(theirs.spans);
        heard.lines.extend(theirs.lines);
        heard.exports += theirs.exports;
    }
    seen.heard = heard;
    for reader in readers {
        reader.abort();
    }
    if let Some(service) = service {
        service.stop().await;
    }
    Ok(seen)
}

async fn listen(
    options: &Options,
    client: &Client,
    hearing: &Hearing,
    step: &(dyn Fn(Step) + Sync),
) -> Result<Ears, Error> {
    let mut ears = Ears { receivers: Vec::new(), asked: None };
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let addresses: Vec<SocketAddr> = match &options.otlp {
        Otlp::Nowhere => return Ok(ears),
        // Its own port, so that nothing else is heard.
        Otlp::Usual if !options.command.is_empty() => vec![loopback(0)],
        Otlp::Usual => USUAL_PORTS.map(loopback).to_vec(),
        Otlp::At(address) => vec![*address],
    };
    let mut taken = None;
    for address in addresses {
        match Receiver::bind(address, hearing.clone()).await {
            Ok(receiver) => ears.receivers.push(receiver),
            Err(error) => taken = Some((address, error)),
        }
    }
    if !ears.receivers.is_empty() {
        step(Step::Listening(ears.receivers.iter().map(|receiver| receiver.address).collect()));
    }
    let Some((address, error)) = taken else { return Ok(ears) };
    let asked = Asked::new(client.clone(), &options.skopos.url, options.skopos.token.as_deref())?;
    match asked.answers().await {
        Ok(()) => {
            step(Step::AskingSkopos(asked.address().to_owned()));
            ears.asked = Some(asked);
        }
        // Asked for by name it must be had; the usual ports are a guess.
        Err(reason) if matches!(options.otlp, Otlp::At(_)) => {
            let reason = format!(
                "{error}; and the Skopos at {} (--server) cannot be asked instead: {reason}",
                asked.address()
            );
            return Err(Error::Listen { address: address.to_string(), reason });
        }
        Err(_) => {}
    }
    Ok(ears)
}

/// What a service needs to know to send its telemetry here, soon.
fn variables(ears: &Ears) -> Vec<(&'static str, String)> {
    let Some(receiver) = ears.receivers.first() else { return Vec::new() };
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", receiver.address)),
        ("OTEL_BSP_SCHEDULE_DELAY", "300".to_owned()),
        ("OTEL_BLRP_SCHEDULE_DELAY", "300".to_owned()),
        ("PYTHONUNBUFFERED", "1".to_owned()),
    ]
}

fn source(options: &Options, ears: &Ears) -> Source {
    let addresses: Vec<String> =
        ears.receivers.iter().map(|receiver| format!("http://{}", receiver.address)).collect();
    let otlp = match &ears.asked {
        Some(asked) => Some(format!("the Skopos at {}", asked.address())),
        None => (!addresses.is_empty()).then(|| addresses.join(" and ")),
    };
    let logs = match (&options.logs, options.command.is_empty()) {
        (Some(Logs::File(path)), _) => Some(path.display().to_string()),
        (Some(Logs::Stdin), _) => Some("standard input".to_owned()),
        (None, false) => Some("its output".to_owned()),
        (None, true) => None,
    };
    let advice = match options.command.is_empty() {
        true => "let the doctor start it: skopos doctor URL -- COMMAND; or start it with \
                 OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 while the doctor listens there, and give its output with \
                 --logs FILE"
            .to_owned(),
        false => "give the address of a route that logs and is traced, or wait longer with --patience 15s".to_owned(),
    };
    Source { otlp, from_skopos: ears.asked.is_some(), logs, advice }
}

/// Waits until the service answers anything at all.
async fn reach(
    options: &Options,
    client: &Client,
    target: &Target,
    own: &[Header],
    mut service: Option<&mut Service>,
    step: &(dyn Fn(Step) + Sync),
) -> Result<(), Error> {
    let started = Instant::now();
    let mut is_told = false;
    loop {
        let Err(reason) = client.get(&target.uri, own, ANSWER_BYTES).await else { return Ok(()) };
        let url = target.shown();
        if let Some(service) = service.as_deref_mut()
            && let Some(status) = service.ended()
        {
            // Its last words may still be on their way through the pipe.
            tokio::time::sleep(PAUSE).await;
            return Err(Error::CommandEnded { url, status, output: service.output() });
        }
        if started.elapsed() >= options.wait {
            return Err(Error::Unreachable { url, reason });
        }
        if !is_told {
            step(Step::WaitingForService(url));
            is_told = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the marked request's span and a line of it are here, or patience is at its end.
async fn hear(options: &Options, ears: &Ears, hearing: &Hearing, seen: &Seen, began: u64) {
    let ids = &seen.ids;
    let has_all = |heard: &Heard| judge::is_heard(seen, heard);
    let waited = async {
        let Some(asked) = &ears.asked else { return hearing.wait(has_all).await };
        loop {
            let mut both = hearing.read(Heard::clone);
            if let Ok(theirs) = asked.heard(ids, began).await {
                both.spans.extend(theirs.spans);
                both.lines.extend(theirs.lines);
            }
            if has_all(&both) {
                return;
            }
            tokio::time::sleep(5 * PAUSE).await;
        }
    };
    // Running out of patience is an answer too.
    let _ = tokio::time::timeout(options.patience, waited).await;
}

fn headers(given: &[(String, String)]) -> Result<Vec<Header>, Error> {
    let mut headers = Vec::new();
    for (name, value) in given {
        let wrong = |reason| Error::Header { name: crate::shown::shown(name), reason };
        let parsed = HeaderName::from_bytes(name.as_bytes());
        let parsed = parsed.map_err(|_| wrong("this is no name of a header"))?;
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| wrong("its value has characters that no header may have"))?;
        value.set_sensitive(true);
        headers.push((parsed, value));
    }
    Ok(headers)
}

/// Sends the requests of a visit.
struct Asker<'a> {
    client: &'a Client,
    target: &'a Target,
    ops: &'a Target,
    own: &'a [Header],
    ids: &'a Ids,
}

impl Asker<'_> {
    async fn ask(&self, options: &Options) -> Result<Seen, Error> {
        let ids = self.ids;
        let uri = &self.target.uri;
        let metrics = self.ops.at("/metrics")?;
        let metrics_before = self.metrics(&metrics).await;

        let plain = [self.app(uri, &[]).await, self.app(uri, &[]).await];
        let marks = [("x-request-id", ids.request_id()), ("traceparent", ids.traceparent())];
        let marked = self.app(uri, &marks).await;
        let correlated = self.app(uri, &[("x-correlation-id", ids.correlation_id())]).await;
        let hostile = [
            ("x-request-id", format!("\"}} {} \\n {{", "x".repeat(300))),
            ("traceparent", "00-zz-not-a-trace-01".to_owned()),
            ("tracestate", "=,=;".to_owned()),
            ("baggage", "=".repeat(100)),
        ];
        let hostile = self.app(uri, &hostile).await;
        let canary = ids.canary();
        let secret = self.target.with_query(&format!("access_token={canary}&password={canary}"))?;
        let credentials = [
            ("authorization", format!("Bearer {canary}")),
            ("cookie", format!("session={canary}")),
            ("x-api-key", canary.clone()),
            ("x-request-id", format!("{}-s", ids.request_id())),
        ];
        let secretive = self.app(&secret, &credentials).await;
        let unknown = self.target.at(&ids.unknown_path())?;
        let unknown =
            self.app(&unknown, &[("x-request-id", format!("{}-u", ids.request_id()))]).await;

        let live = self.probe("live").await?;
        let ready = self.probe("ready").await?;
        let startup = self.probe("startup").await?;
        let metrics_after = self.metrics(&metrics).await;
        let asked = [&plain[0], &plain[1], &marked, &correlated, &hostile, &secretive, &unknown];
        let requests = asked.iter().filter(|answer| answer.is_ok()).count();
        Ok(Seen {
            url: self.target.shown(),
            path: self.target.uri.path().to_owned(),
            ids: ids.clone(),
            probe_limit: options.probe_limit,
            requests: u64::try_from(requests).unwrap_or(u64::MAX),
            plain,
            marked,
            correlated,
            hostile,
            secretive,
            unknown,
            live,
            ready,
            startup,
            metrics_before,
            metrics_after,
            source: Source::default(),
            heard: Heard::default(),
        })
    }

    /// Asks the service itself, with the headers that were given for it.
    async fn app(&self, uri: &Uri, more: &[(&'static str, String)]) -> Try {
        let mut headers = self.own.to_vec();
        for (name, value) in more {
            let Ok(value) = HeaderValue::from_str(value) else { continue };
            headers.push((HeaderName::from_static(name), value));
        }
        self.client.get(uri, &headers, ANSWER_BYTES).await
    }

    async fn probe(&self, name: &str) -> Result<Try, Error> {
        let uri = self.ops.at(&format!("/health/{name}"))?;
        Ok(self.client.get(&uri, &[], ANSWER_BYTES).await)
    }

    async fn metrics(&self, uri: &Uri) -> Try {
        let accept = (header::ACCEPT, HeaderValue::from_static(ACCEPT));
        self.client.get(uri, &[accept], METRICS_BYTES).await
    }
}
