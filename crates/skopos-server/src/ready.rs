//! The ready file: where scripts learn the addresses once the server is ready.

use std::io;
use std::path::Path;

use serde_json::json;

use crate::listen::Addresses;

/// Writes `{"pid":…,"http":"host:port","otlp_grpc":"host:port","otlp_http":"host:port"}` in one
/// step: a reader sees the whole line or no file.
pub(crate) fn write(path: &Path, addresses: &Addresses) -> io::Result<()> {
    let line = json!({
        "pid": std::process::id(),
        "http": addresses.http.to_string(),
        "otlp_grpc": addresses.otlp_grpc.to_string(),
        "otlp_http": addresses.otlp_http.to_string(),
    });
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    std::fs::write(&temporary, format!("{line}\n"))?;
    std::fs::rename(&temporary, path)
}
