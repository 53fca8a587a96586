//! Whatever a service does, a visit ends, soon, and within its bounds.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http_body::Frame;
use skopos_doctor::{Error, Options, Otlp, Status};
use tokio::io::AsyncWriteExt as _;

use crate::double::{Port, answer, options, serve, visit};

fn quick(address: SocketAddr) -> Options {
    Options {
        timeout: Duration::from_millis(200),
        patience: Duration::from_millis(50),
        otlp: Otlp::Nowhere,
        ..options(address)
    }
}

#[tokio::test]
async fn nothing_there_is_said_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = visit(&quick(address), &Port::default()).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Unreachable { .. }) && text.contains("refused"), "{text}");
}

#[tokio::test]
async fn who_is_no_service_is_not_reached() {
    for greeting in ["", "220 mail ESMTP\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"]
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(greeting.as_bytes()).await.unwrap();
                open.push(stream);
            }
        });
        let error = visit(&quick(address), &Port::default()).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{greeting:?}: {error}");
    }
}

#[tokio::test]
async fn endless_answers_are_cut_and_redirects_not_followed() {
    let address = serve(|request: Request| async move {
        match request.uri().path() {
            "/" => {
                let mut response = answer(302, "text/plain", "");
                response.headers_mut().insert("location", "http://192.0.2.1/".parse().unwrap());
                response
            }
            _ => {
                let chunk = Bytes::from(vec![b'x'; 64 << 10]);
                answer(200, "text/plain", Body::new(Endless(chunk)))
            }
        }
    })
    .await;
    let options = Options { timeout: Duration::from_secs(60), ..quick(address) };
    let report = visit(&options, &Port::default()).await.unwrap();
    let found = |id: &str| {
        let verdict = report.verdicts.iter().find(|verdict| verdict.demand.id == id).unwrap();
        (verdict.status, verdict.found.clone())
    };
    assert_eq!(found("metrics-open"), (Status::Failed, "/metrics is longer than 16 MiB".into()));
    let (status, text) = found("probe-live");
    assert!(status == Status::Failed && text.len() < 300, "{text}");
    assert!(report.notes[0].contains("redirects are not followed"), "{:?}", report.notes);
}

/// A body without end.
struct Endless(Bytes);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(self.0.clone()))))
    }
}

#[tokio::test]
async fn addresses_that_are_none_are_refused_without_their_secrets() {
    for (url, expected) in [
        ("127.0.0.1:8000", "scheme"),
        ("localhost", "scheme"),
        ("ftp://x/", "scheme"),
        ("http://", "parse"),
        ("http://127.0.0.1:99999", "from 1 to 65535"),
        ("http://127.0.0.1:0/x", "from 1 to 65535"),
        ("http://[::1]:70000/", "from 1 to 65535"),
        ("http://ann:hunter2@127.0.0.1:1/", "\"http://127.0.0.1:1/\" is no address"),
        ("http://ann:hunter2@127.0.0.1:1/", "--header"),
        ("http://ann:hunter2@bad host/", "parse"),
        ("http://x y/?token=hunter2", "parse"),
    ] {
        let options = Options { otlp: Otlp::Nowhere, ..Options::new(url) };
        let text = visit(&options, &Port::default()).await.unwrap_err().to_string();
        assert!(text.contains(expected) && !text.contains("hunter2"), "{url}: {text}");
    }
    let headers = vec![("authorization".to_owned(), "hunter2\n".to_owned())];
    let options = Options { headers, otlp: Otlp::Nowhere, ..Options::new("http://127.0.0.1:1") };
    let text = visit(&options, &Port::default()).await.unwrap_err().to_string();
    assert!(text.contains("authorization") && !text.contains("hunter2"), "{text}");
    assert!(!format!("{options:?}").contains("hunter2"));
}

#[cfg(unix)]
#[tokio::test]
async fn a_command_that_ends_is_told_with_its_last_words() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let script = "echo starting; echo 'no such port' >&2; exit 3";
    let options = Options {
        command: ["sh", "-c", script].map(Into::into).to_vec(),
        wait: Duration::from_secs(20),
        otlp: Otlp::Usual,
        ..quick(address)
    };
    let error = visit(&options, &Port::default()).await.unwrap_err().to_string();
    assert!(error.contains("exit status: 3") && error.contains("\n  no such port"), "{error}");

    let options = Options { command: vec!["/no/such/program".into()], ..options };
    let error = visit(&options, &Port::default()).await.unwrap_err().to_string();
    assert!(error.contains("start /no/such/program"), "{error}");
}

#[tokio::test]
async fn an_address_for_otlp_that_is_taken_by_another_is_an_error_with_the_reason() {
    let address = serve(|_| async { answer(404, "text/plain", "no Skopos") }).await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = quick(address);
    options.otlp = Otlp::At(taken.local_addr().unwrap());
    options.skopos.url = format!("http://{address}");
    options.skopos.token = Some("hunter2".to_owned());
    let error = visit(&options, &Port::default()).await.unwrap_err().to_string();
    assert!(error.contains("it answers 404") && error.contains("--server"), "{error}");
    assert!(!format!("{options:?}{error}").contains("hunter2"));
}
