//! The web UI as files in the binary, with the headers each must be served with.
//!
//! **What it is.** A leaf: the build script runs Vite on `web/` (or takes a folder that is built already) and this crate
//! embeds the result, compressed beforehand, and answers "which bytes, which headers" for a request path.
//! **What it is not.** A server: it knows no HTTP types, no runtime and no other crate of Skopos.
//!
//! It promises that a path never leaves the folder, that files whose names carry a hash may be kept for ever, that
//! [`POLICY`] fits what Vite emits (no inline script, no foreign origin), and that a browser without Brotli gets gzip,
//! and one without either the plain file.
//!
//! ```
//! use skopos_ui::Files;
//!
//! let page = Files::Embedded.page("/logs", "gzip, br").expect("embedded files are always readable");
//! let page = page.expect("every path of the application is its page");
//! assert_eq!(page.content_type, "text/html; charset=utf-8");
//! assert_eq!(page.cache_control, "no-cache");
//! assert!(Files::Embedded.page("/assets/no-such-file.js", "").unwrap().is_none());
//! ```

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::path::{Component, Path, PathBuf};

/// The Content-Security-Policy of every file: only our own origin, nothing inline, nobody may frame us, and no string
/// becomes markup except through Svelte's own template policy.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html";

/// Paths and contents, sorted by path; the build script writes the list.
static BUILT: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/ui.rs"));

/// Where the files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// The binary.
    Embedded,
    /// A folder that Vite has written (`--ui-dir`), read anew for each request.
    Folder(PathBuf),
}

/// One file, ready to be sent.
#[derive(Clone, Debug)]
pub struct File {
    /// The body.
    pub bytes: Cow<'static, [u8]>,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// `Content-Encoding`; `None` for the plain file.
    pub content_encoding: Option<&'static str>,
    /// `Cache-Control`.
    pub cache_control: &'static str,
    /// `ETag`, with its quotes; weak where the encoding was chosen.
    pub etag: String,
}

impl Files {
    /// Returns the file for a request path, or the application's page for a path that names no file, because such
    /// paths are the application's own; `None` for a missing file (a last segment with a dot, or under `/assets/`).
    ///
    /// `accept_encoding` is the request's header, empty when there is none. Errors come from reading a folder.
    pub fn page(&self, path: &str, accept_encoding: &str) -> io::Result<Option<File>> {
        let path = path.trim_start_matches('/');
        if let Some(file) = self.file(path, accept_encoding)? {
            return Ok(Some(file));
        }
        let last = path.rsplit('/').next().unwrap_or("");
        // Trace ids and rule names have no dot in the last segment; a file has one.
        if path.starts_with("assets/") || has_extension(last) {
            return Ok(None);
        }
        self.file("index.html", accept_encoding)
    }

    /// Returns exactly this file, in the best encoding that is accepted and there.
    fn file(&self, path: &str, accept_encoding: &str) -> io::Result<Option<File>> {
        let is_plain = Path::new(path).components().all(|c| matches!(c, Component::Normal(_)));
        if path.is_empty() || !is_plain || path.contains('\\') {
            return Ok(None);
        }
        for (name, suffix) in [("br", ".br"), ("gzip", ".gz")] {
            if !accepts(accept_encoding, name) {
                continue;
            }
            if let Some(bytes) = self.read(&format!("{path}{suffix}"))? {
                return Ok(Some(describe(path, bytes, Some(name))));
            }
        }
        Ok(self.read(path)?.map(|bytes| describe(path, bytes, None)))
    }

    fn read(&self, path: &str) -> io::Result<Option<Cow<'static, [u8]>>> {
        match self {
            Self::Embedded => {
                let found = BUILT.binary_search_by_key(&path, |(name, _)| name);
                Ok(found.ok().and_then(|at| BUILT.get(at)).map(|(_, bytes)| Cow::Borrowed(*bytes)))
            }
            Self::Folder(folder) => match std::fs::read(folder.join(path)) {
                Ok(bytes) => Ok(Some(bytes.into())),
                Err(error) if is_absence(&error) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }
}

fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | IsADirectory | NotADirectory)
}

fn describe(path: &str, bytes: Cow<'static, [u8]>, encoding: Option<&'static str>) -> File {
    // Vite puts a hash of the content into the name of everything under assets/.
    let immutable = path.starts_with("assets/");
    let mut hash = DefaultHasher::new();
    hash.write(&bytes);
    File {
        content_type: content_type(path),
        content_encoding: encoding,
        cache_control: if immutable { "public, max-age=31536000, immutable" } else { "no-cache" },
        etag: format!("\"{:016x}\"", hash.finish()),
        bytes,
    }
}

fn has_extension(segment: &str) -> bool {
    Path::new(segment)
        .extension()
        .is_some_and(|extension| content_type_of(extension.to_str()).is_some())
}

fn content_type(path: &str) -> &'static str {
    content_type_of(Path::new(path).extension().and_then(|e| e.to_str()))
        .unwrap_or("application/octet-stream")
}

fn content_type_of(extension: Option<&str>) -> Option<&'static str> {
    Some(match extension? {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" | "map" | "webmanifest" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

/// Whether `Accept-Encoding` takes this coding: named, or `*`, and not with `q=0`.
fn accepts(header: &str, coding: &str) -> bool {
    let mut any = false;
    for item in header.split(',') {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let weight = parameters.trim().strip_prefix("q=").map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if name.trim().eq_ignore_ascii_case(coding) {
            return weight > 0.0;
        }
        any |= name.trim() == "*" && weight > 0.0;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_negotiated() {
        for (header, coding, want) in [
            ("gzip, deflate, br", "br", true),
            ("gzip;q=1.0, br;q=0", "br", false),
            ("*", "gzip", true),
            ("*;q=0", "gzip", false),
            ("br;q=0, *", "br", false),
            ("GZIP;q=0.5", "gzip", true),
            ("", "gzip", false),
            ("brotli", "br", false),
        ] {
            assert_eq!(accepts(header, coding), want, "{header} {coding}");
        }
    }

    fn folder() -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        std::fs::create_dir_all(site.join("assets")).unwrap();
        std::fs::write(folder.path().join("secret.txt"), "secret").unwrap();
        for (name, text) in [
            ("index.html", "page"),
            ("favicon.svg", "icon"),
            ("assets/a-1234.js", "script"),
            ("assets/a-1234.js.br", "brotli"),
            ("assets/a-1234.js.gz", "gzip"),
        ] {
            std::fs::write(site.join(name), text).unwrap();
        }
        let files = Files::Folder(site);
        (folder, files)
    }

    #[test]
    fn paths_find_files_pages_or_nothing() {
        let (_folder, files) = folder();
        for (path, accept, want) in [
            ("/", "", Some("page")),
            ("/index.html", "br", Some("page")),
            ("/logs", "", Some("page")),
            ("/alerts/High%20rate/1f/1700000000000", "", Some("page")),
            ("/alerts/job.rate", "", Some("page")),
            ("/traces/4bf92f3577b34da6a3ce929d0e0e4736", "", Some("page")),
            ("/favicon.svg", "br", Some("icon")),
            ("/favicon.ico", "", None),
            ("/assets/a-1234.js", "", Some("script")),
            ("/assets/a-1234.js", "gzip", Some("gzip")),
            ("/assets/a-1234.js", "gzip, br", Some("brotli")),
            ("/assets/b-1234.js", "", None),
            ("/assets/x", "", None),
            ("/assets", "", Some("page")),
            ("/../secret.txt", "", None),
            ("/assets/../../secret.txt", "", None),
            ("//etc/passwd", "", Some("page")),
            ("/..\\secret.txt", "", None),
        ] {
            let file = files.page(path, accept).unwrap();
            let text = file.map(|f| String::from_utf8(f.bytes.into_owned()).unwrap());
            assert_eq!(text.as_deref(), want, "{path} {accept}");
        }
    }

    #[test]
    fn only_hashed_names_are_kept_for_ever() {
        let (_folder, files) = folder();
        let script = files.page("/assets/a-1234.js", "br").unwrap().unwrap();
        assert!(script.cache_control.contains("immutable"));
        assert_eq!(script.content_type, "text/javascript; charset=utf-8");
        assert_eq!(script.content_encoding, Some("br"));
        let page = files.page("/", "br").unwrap().unwrap();
        assert_eq!((page.cache_control, page.content_encoding), ("no-cache", None));
        let gzip = files.page("/assets/a-1234.js", "gzip").unwrap().unwrap();
        assert_ne!(gzip.etag, script.etag);
    }

    #[test]
    fn the_embedded_page_names_no_foreign_origin() {
        let page = Files::Embedded.page("/", "").unwrap().unwrap();
        let text = String::from_utf8(page.bytes.into_owned()).unwrap();
        assert!(text.contains("<title>Skopos</title>"), "{text}");
        assert!(!text.contains("://"), "{text}");
    }
}
