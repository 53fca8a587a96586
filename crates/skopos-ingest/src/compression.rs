//! Undoing `Content-Encoding`, with the size limit applied to what comes out.
//!
//! The output is produced piece by piece and the work stops at the first byte beyond the limit, so
//! a bomb costs no more than an honest request of the largest size. zstd frames that ask for a
//! window above 8 MiB, the bound that RFC 9659 sets for HTTP, are refused before anything is
//! allocated for them.

use std::borrow::Cow;
use std::io::Read;

/// How a request body is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ContentEncoding {
    /// Not at all.
    #[default]
    Identity,
    /// gzip (RFC 1952), also of several members.
    Gzip,
    /// zlib (RFC 1950), which HTTP calls `deflate`.
    Deflate,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl ContentEncoding {
    /// From the value of a `Content-Encoding` or `grpc-encoding` header; `None` when unknown (HTTP
    /// 415). An empty value means identity.
    pub fn from_header(value: &str) -> Option<Self> {
        let value = value.trim();
        [
            ("", Self::Identity),
            ("identity", Self::Identity),
            ("gzip", Self::Gzip),
            ("x-gzip", Self::Gzip),
            ("deflate", Self::Deflate),
            ("zstd", Self::Zstd),
        ]
        .into_iter()
        .find_map(|(name, encoding)| value.eq_ignore_ascii_case(name).then_some(encoding))
    }

    /// The name used in HTTP headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }
}

/// Why a body could not be decompressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// The body is larger than allowed (HTTP 413, gRPC RESOURCE_EXHAUSTED without RetryInfo).
    #[error("body exceeds limit `request_bytes` of {max_bytes} bytes after decompression")]
    TooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// The body is not what its encoding says (HTTP 400, gRPC INVALID_ARGUMENT).
    #[error("body is not valid {}: {reason}", encoding.as_str())]
    Corrupt {
        /// The encoding that was declared.
        encoding: ContentEncoding,
        /// What the decompressor said.
        reason: String,
    },
}

impl DecompressError {
    /// A word for labels and rejections.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "request_bytes",
            Self::Corrupt { .. } => "corrupt_encoding",
        }
    }
}

/// zstd's logarithm of 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Decompresses `body`; an uncompressed body is lent as it is. At most `max_bytes` come out.
pub fn decompress(
    encoding: ContentEncoding,
    body: &[u8],
    max_bytes: usize,
) -> Result<Cow<'_, [u8]>, DecompressError> {
    match encoding {
        ContentEncoding::Identity if body.len() > max_bytes => {
            Err(DecompressError::TooLarge { max_bytes })
        }
        ContentEncoding::Identity => Ok(Cow::Borrowed(body)),
        ContentEncoding::Gzip => {
            read_limited(flate2::bufread::MultiGzDecoder::new(body), encoding, body, max_bytes)
        }
        ContentEncoding::Deflate => {
            read_limited(flate2::bufread::ZlibDecoder::new(body), encoding, body, max_bytes)
        }
        ContentEncoding::Zstd => {
            let corrupt =
                |e: std::io::Error| DecompressError::Corrupt { encoding, reason: e.to_string() };
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(corrupt)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(corrupt)?;
            read_limited(decoder, encoding, body, max_bytes)
        }
    }
}

fn read_limited<'a>(
    reader: impl Read,
    encoding: ContentEncoding,
    body: &[u8],
    max_bytes: usize,
) -> Result<Cow<'a, [u8]>, DecompressError> {
    let mut out = Vec::with_capacity(body.len().saturating_mul(4).min(max_bytes).min(1 << 20));
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    reader
        .take(limit)
        .read_to_end(&mut out)
        .map_err(|e| DecompressError::Corrupt { encoding, reason: e.to_string() })?;
    if out.len() > max_bytes {
        return Err(DecompressError::TooLarge { max_bytes });
    }
    Ok(Cow::Owned(out))
}
