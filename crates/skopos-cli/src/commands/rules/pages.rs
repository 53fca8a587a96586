//! Where `rules check` finds runbooks: beside the rule file, in folders, and with `--online` by HTTP.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method, Response, StatusCode};
use skopos_lint::runbook::{MAX_PAGE_BYTES, places};
use skopos_lint::{Fetched, Pages};
use tokio::runtime::Runtime;

/// How long one address may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Runbooks in files, and on the network when that is asked for.
pub(crate) struct Files {
    folders: Vec<PathBuf>,
    online: Option<Online>,
}

struct Online {
    runtime: Runtime,
    client: Client,
    /// Many alerts link one page: each address is asked once.
    answers: RefCell<HashMap<String, Fetched>>,
}

impl Files {
    pub(crate) fn new(folders: Vec<PathBuf>, online: bool) -> Result<Self> {
        for folder in &folders {
            if !folder.is_dir() {
                bail!("--runbooks {}: there is no such folder", folder.display());
            }
        }
        let online = match online {
            false => None,
            true => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .context("start the runtime")?;
                let client =
                    Client::builder().timeout(TIMEOUT).build().context("set up the HTTP client")?;
                Some(Online { runtime, client, answers: RefCell::default() })
            }
        };
        Ok(Self { folders, online })
    }
}

impl Pages for Files {
    fn page(&self, file: &str, link: &str) -> Result<Option<String>, String> {
        let Some(path) =
            places(Path::new(file), link, &self.folders).into_iter().find(|path| path.is_file())
        else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(&path);
        text.map(Some).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn fetch(&self, url: &str) -> Fetched {
        let Some(online) = &self.online else { return Fetched::NotAsked };
        if let Some(known) = online.answers.borrow().get(url) {
            return known.clone();
        }
        let answer = online.runtime.block_on(ask(&online.client, url));
        online.answers.borrow_mut().insert(url.to_owned(), answer.clone());
        answer
    }
}

/// HEAD, and GET where that is refused or the page is Markdown to be read.
async fn ask(client: &Client, url: &str) -> Fetched {
    let head = client.request(Method::HEAD, url).send().await;
    let refused = [
        StatusCode::METHOD_NOT_ALLOWED,
        StatusCode::NOT_IMPLEMENTED,
        StatusCode::FORBIDDEN,
        StatusCode::BAD_REQUEST,
    ];
    let response = match head {
        Ok(response) if response.status().is_success() && !is_markdown(&response) => {
            return Fetched::Found(None);
        }
        Ok(response) if response.status().is_success() || refused.contains(&response.status()) => {
            client.get(url).send().await
        }
        other => other,
    };
    let mut response = match response {
        Ok(response) => response,
        Err(error) => return Fetched::Failed(reason(&error)),
    };
    let status = response.status();
    if status == StatusCode::NOT_FOUND || status == StatusCode::GONE {
        return Fetched::Missing(status.to_string());
    }
    if !status.is_success() {
        return Fetched::Failed(format!("the server answers {status}"));
    }
    if !is_markdown(&response) {
        return Fetched::Found(None);
    }
    let mut body = Vec::new();
    while body.len() <= MAX_PAGE_BYTES {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Fetched::Failed(reason(&error)),
        }
    }
    Fetched::Found(Some(String::from_utf8_lossy(&body).into_owned()))
}

fn is_markdown(response: &Response) -> bool {
    let kind = response.headers().get(reqwest::header::CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/markdown")
        || (kind.starts_with("text/plain") && response.url().path().ends_with(".md"))
}

/// What went wrong, without the address: it may carry a token.
fn reason(error: &reqwest::Error) -> String {
    match () {
        () if error.is_timeout() => format!("no answer within {} s", TIMEOUT.as_secs()),
        () if error.is_connect() => "no connection".into(),
        () if error.is_redirect() => "too many redirects".into(),
        () => "the answer cannot be read".into(),
    }
}
