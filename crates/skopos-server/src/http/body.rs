//! JSON answers of any size: written piece by piece, sent as the client reads, compressed when it
//! asks for that.
//!
//! An answer is an iterator of text pieces (one per series, record or trace). It is pulled by the
//! connection, so that a slow client holds back the writer instead of filling memory, and no
//! thread waits for it.

use std::convert::Infallible;
use std::io::Write as _;

use axum::body::{Body, Bytes};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};

/// Pieces are gathered to chunks of at least this size.
const CHUNK_BYTES: usize = 64 << 10;

/// Smaller answers are sent as they are.
const MIN_GZIP_BYTES: usize = 1 << 10;

/// An answer of type `application/json` out of pieces of text.
pub(crate) fn json<I>(request_headers: &HeaderMap, pieces: I) -> Response
where
    I: Iterator<Item = String> + Send + 'static,
{
    let mut plain = Gather { pieces };
    let first = plain.next().unwrap_or_default();
    let gzip = accepts_gzip(request_headers) && first.len() >= MIN_GZIP_BYTES;
    let body = if first.len() < CHUNK_BYTES && !gzip {
        // It was the only chunk: only the last one is smaller than the rest.
        Body::from(first)
    } else {
        let chunks = std::iter::once(first).chain(plain);
        if gzip { stream_of(Compressed::new(chunks)) } else { stream_of(chunks.map(Bytes::from)) }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn stream_of(chunks: impl Iterator<Item = Bytes> + Send + 'static) -> Body {
    Body::from_stream(stream::iter(chunks.map(Ok::<_, Infallible>)))
}

/// Whether the client takes gzip: named, or covered by `*`, and not with weight zero.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    let items = accepted.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    let mut any = false;
    for item in items {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let weight = parameters.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        let wanted = weight.is_ok_and(|weight| weight > 0.0);
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" => return wanted,
            "*" => any = wanted,
            _ => {}
        }
    }
    any
}

/// Joins pieces to chunks of at least [`CHUNK_BYTES`], the last one excepted.
struct Gather<I> {
    pieces: I,
}

impl<I: Iterator<Item = String>> Iterator for Gather<I> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut chunk = self.pieces.next()?;
        while chunk.len() < CHUNK_BYTES {
            match self.pieces.next() {
                Some(piece) => chunk.push_str(&piece),
                None => break,
            }
        }
        Some(chunk)
    }
}

struct Compressed<I> {
    chunks: I,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl<I> Compressed<I> {
    fn new(chunks: I) -> Self {
        Self { chunks, encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())) }
    }
}

impl<I: Iterator<Item = String>> Iterator for Compressed<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            let encoder = self.encoder.as_mut()?;
            let Some(chunk) = self.chunks.next() else {
                // Writing to a vector does not fail.
                return self.encoder.take()?.finish().ok().map(Bytes::from);
            };
            encoder.write_all(chunk.as_bytes()).ok()?;
            let out = std::mem::take(encoder.get_mut());
            if !out.is_empty() {
                return Some(Bytes::from(out));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http_body_util::BodyExt as _;

    use super::*;

    async fn bytes_of(response: Response) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn big_and_small_answers_arrive_whole() {
        for pieces in [0, 1, 20, 30_000] {
            let piece = |i: usize| format!("[{i},\"some text in a series\"]");
            let whole: String = (0..pieces).map(piece).collect();
            let plain = json(&HeaderMap::new(), (0..pieces).map(piece));
            assert_eq!(bytes_of(plain).await, whole.as_bytes());

            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("br, gzip;q=0.5"));
            let response = json(&headers, (0..pieces).map(piece));
            let gzipped = response.headers().contains_key(header::CONTENT_ENCODING);
            assert_eq!(gzipped, whole.len() >= MIN_GZIP_BYTES);
            let body = bytes_of(response).await;
            let mut text = String::new();
            if gzipped {
                flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
            } else {
                text.push_str(std::str::from_utf8(&body).unwrap());
            }
            assert_eq!(text, whole);
        }
    }

    #[test]
    fn weights_count() {
        for (value, want) in [
            ("gzip", true),
            ("deflate, GZIP;q=1.0", true),
            ("gzip;q=0", false),
            ("*", true),
            ("gzip;q=0, *", false),
            ("identity", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(accepts_gzip(&headers), want, "{value}");
        }
    }
}
