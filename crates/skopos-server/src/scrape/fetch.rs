//! Getting a target's page: over HTTP with limits, or from the server itself.

use bytes::{Bytes, BytesMut};
use reqwest::header;
use skopos_ingest::exposition::{ACCEPT, ExpositionFormat};
use skopos_ingest::{ContentEncoding, decompress};

use super::OwnMetrics;
use super::config::{ScrapeJob, StaticTarget};

/// Where a target's page comes from.
pub(super) enum Source {
    /// Over the network.
    Http { client: reqwest::Client, url: String, params: Vec<(String, String)>, compressed: bool },
    /// From this process.
    Own(OwnMetrics),
}

/// A page as fetched.
pub(super) struct Page {
    pub(super) body: Bytes,
    pub(super) format: ExpositionFormat,
}

impl Source {
    pub(super) fn http(client: reqwest::Client, job: &ScrapeJob, target: &StaticTarget) -> Self {
        Self::Http {
            client,
            url: format!("{}://{}{}", job.scheme, target.address, job.metrics_path),
            params: job.params.clone(),
            compressed: job.enable_compression,
        }
    }

    /// Fetches the page; at most `max_bytes` after decompression. Errors are for
    /// `/api/v1/targets` and name no secret.
    pub(super) async fn fetch(&self, max_bytes: usize, timeout: f64) -> Result<Page, String> {
        match self {
            Self::Own(render) => Ok(Page { body: render(), format: ExpositionFormat::Text }),
            Self::Http { client, url, params, compressed } => {
                let encoding = if *compressed { "gzip" } else { "identity" };
                let request = client
                    .get(url)
                    .query(params)
                    .header(header::ACCEPT, ACCEPT)
                    .header(header::ACCEPT_ENCODING, encoding)
                    .header("x-prometheus-scrape-timeout-seconds", timeout.to_string());
                let response = request.send().await.map_err(describe)?;
                read(response, max_bytes).await
            }
        }
    }
}

async fn read(mut response: reqwest::Response, max_bytes: usize) -> Result<Page, String> {
    let status = response.status();
    if !status.is_success() {
        return Err(format!("server returned HTTP status {status}"));
    }
    let text = |name: header::HeaderName| match response.headers().get(name) {
        None => Ok(String::new()),
        Some(value) => {
            value.to_str().map(str::to_owned).map_err(|_| "header is not text".to_owned())
        }
    };
    let content_type = text(header::CONTENT_TYPE)?;
    let format = ExpositionFormat::from_content_type(&content_type)
        .ok_or_else(|| format!("Content-Type {content_type:?} is no metrics format"))?;
    let encoding = text(header::CONTENT_ENCODING)?;
    let encoding = ContentEncoding::from_header(&encoding)
        .ok_or_else(|| format!("Content-Encoding {encoding:?} is not known"))?;
    let mut raw = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(describe)? {
        if raw.len() + chunk.len() > max_bytes {
            return Err(format!("body exceeds body_size_limit = {max_bytes}"));
        }
        raw.extend_from_slice(&chunk);
    }
    let raw = raw.freeze();
    let body = if encoding == ContentEncoding::Identity {
        raw
    } else {
        let out = decompress(encoding, &raw, max_bytes).map_err(|error| error.to_string())?;
        out.into_owned().into()
    };
    Ok(Page { body, format })
}

/// The innermost cause says most: "connection refused" rather than "error sending request".
fn describe(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "context deadline exceeded".into();
    }
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
