//! A client of the server's HTTP API, for the commands that ask a running server.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use skopos_promql::Span;

use crate::cli::ServerArgs;

/// Longer than the server's own limit for a query, so that its answer is seen.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(150);

/// How a server's answer begins that has no such path.
const NO_PATH: &str = "no such path";

/// What a server refused, in its words.
#[derive(Debug)]
pub(crate) struct Refusal {
    text: String,
    /// Whether a query read more than it may, or took longer.
    pub(crate) too_much: bool,
    /// What is not there, when that is it.
    pub(crate) not_found: Option<String>,
    /// What of the query is at fault.
    pub(crate) span: Option<Span>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

/// Nothing listens at the server's address.
#[derive(Debug)]
pub(crate) struct NoServer {
    base: String,
}

impl std::fmt::Display for NoServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let base = &self.base;
        write!(
            f,
            "{base}: nothing answers there; is `skopos serve` running? (--server URL asks another \
             one)"
        )
    }
}

impl std::error::Error for NoServer {}

/// A server and how to speak to it.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(args: &ServerArgs) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .build()
            .context("set up the HTTP client")?;
        let base = args.server.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            bail!("--server {base:?} is no URL; write it as http://127.0.0.1:4319");
        }
        Ok(Self { http, base, token: args.token.clone() })
    }

    /// GETs a path and reads the JSON answer.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value> {
        let request = self.request(Method::GET, path).query(query);
        self.json(request.timeout(ANSWER_TIMEOUT)).await
    }

    /// GETs a path and reads the JSON answer; what does not exist is said on standard error and
    /// is no failure.
    pub(crate) async fn get_if_found(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Option<Value>> {
        found(self.get(path, query).await)
    }

    /// POSTs JSON and reads the JSON answer.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.json(self.request(Method::POST, path).json(body).timeout(ANSWER_TIMEOUT)).await
    }

    /// POSTs a form, for what may be too long for an address, and reads the JSON answer.
    pub(crate) async fn post_form(&self, path: &str, fields: &[(&str, String)]) -> Result<Value> {
        let request = self.request(Method::POST, path).form(fields);
        self.json(request.timeout(ANSWER_TIMEOUT)).await
    }

    /// DELETEs and reads the JSON answer.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        self.json(self.request(Method::DELETE, path).timeout(ANSWER_TIMEOUT)).await
    }

    /// GETs a path whose answer goes on and on.
    pub(crate) async fn stream(&self, path: &str, query: &[(&str, String)]) -> Result<Response> {
        let response = self.send(self.request(Method::GET, path).query(query)).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.text().await.unwrap_or_default();
        Err(refusal(status, serde_json::from_str(&body).ok().as_ref(), &body))
    }

    /// POSTs JSON and leaves the answer, of any length and form, to be read as it comes.
    pub(crate) async fn post_stream(&self, path: &str, body: &Value) -> Result<Response> {
        let response = self.send(self.request(Method::POST, path).json(body)).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.text().await.unwrap_or_default();
        Err(refusal(status, serde_json::from_str(&body).ok().as_ref(), &body))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        // The header says that this is no web page's form (see the server's origin checks).
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = request.header("x-skopos-request", "cli");
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn json(&self, request: RequestBuilder) -> Result<Value> {
        let response = self.send(request).await?;
        let status = response.status();
        let body = response.bytes().await.context("read the server's answer")?;
        let value: Option<Value> = serde_json::from_slice(&body).ok();
        if status.is_success() {
            return value.ok_or_else(|| anyhow!("{} did not answer in JSON", self.base));
        }
        Err(refusal(status, value.as_ref(), &String::from_utf8_lossy(&body)))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        request.send().await.map_err(|error| {
            if error.is_connect() {
                return NoServer { base: self.base.clone() }.into();
            }
            let why =
                if error.is_timeout() { "no answer in time" } else { "the connection failed" };
            anyhow!("{}: {why}", self.base)
        })
    }
}

/// What the server does not know is said on standard error and is no failure.
pub(crate) fn found<T>(asked: Result<T>) -> Result<Option<T>> {
    let Err(error) = asked else { return asked.map(Some) };
    let unknown = error.downcast_ref::<Refusal>().and_then(|refusal| refusal.not_found.as_ref());
    let Some(message) = unknown else { return Err(error) };
    eprintln!("{}", crate::output::printable(message));
    Ok(None)
}

/// What a server's refusal means, in the words of its answer.
fn refusal(status: StatusCode, answer: Option<&Value>, body: &str) -> anyhow::Error {
    let message = answer
        .and_then(|v| {
            let errors = v["errors"][0]["msg"].as_str();
            v["error"].as_str().or(v["message"].as_str()).or(errors)
        })
        .unwrap_or(body.trim());
    let hint = match status {
        StatusCode::UNAUTHORIZED => " (give a token with --token or SKOPOS_TOKEN)",
        StatusCode::FORBIDDEN => " (the token does not allow this)",
        _ => "",
    };
    let what_to_do = answer.and_then(|v| v["hint"].as_str());
    let what_to_do = what_to_do.map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    let text = format!("the server answered {}: {message}{hint}{what_to_do}", status.as_u16());
    let timed_out = answer.is_some_and(|v| v["errorType"] == "timeout");
    let too_much = timed_out || status == StatusCode::UNPROCESSABLE_ENTITY;
    let byte = |name: &str| usize::try_from(answer?["position"][name].as_u64()?).ok();
    let span = byte("start").zip(byte("end")).map(|(start, end)| Span::new(start, end));
    // Only in our words is it a thing that is not there: otherwise somebody else answers, or an older server to which the
    // path says nothing.
    let is_ours = answer.is_some_and(|v| v["error_code"] == "not_found");
    let is_thing = status == StatusCode::NOT_FOUND && is_ours && !message.starts_with(NO_PATH);
    let not_found = is_thing.then(|| message.to_owned());
    Refusal { text, too_much, not_found, span }.into()
}

/// Runs a client command on a small runtime; Ctrl-C ends it with exit code 130.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the async runtime")?;
    runtime.block_on(async {
        tokio::select! {
            result = future => result,
            _ = tokio::signal::ctrl_c() => std::process::exit(130),
        }
    })
}
