//! Why a request failed, in words that say what to do: for the line that tells of it, and for the report at the end.
//!
//! The libraries wrap the cause several times over and name only the outermost wrapper (`transport error`). Here the chain is
//! followed to the part that somebody can act on. What a collector answered is foreign text: it is cut.

use std::error::Error;
use std::io;
use std::time::Duration;

/// Characters of a collector's own words that are repeated.
const LONGEST_ANSWER: usize = 200;
/// Wrappers that are taken off; a cause may, wrongly, name itself.
const DEEPEST: usize = 16;

/// Says why no answer came, from the error of whichever library.
pub(super) fn of_error(error: &(dyn Error + 'static)) -> String {
    let chain: Vec<&(dyn Error + 'static)> =
        std::iter::successors(Some(error), |error| inner(*error)).take(DEEPEST).collect();
    #[cfg(feature = "tls")]
    if let Some(error) = chain.iter().find_map(|error| error.downcast_ref::<rustls::Error>()) {
        return of_handshake(error);
    }
    let system = chain.iter().find_map(|error| error.downcast_ref::<io::Error>());
    if let Some(error) = system.filter(|error| error.raw_os_error().is_some()) {
        return error.to_string();
    }
    // The innermost says most.
    let text = chain.last().map_or_else(String::new, ToString::to_string);
    #[cfg(feature = "tls")]
    if let Some(alert) = alert_in(&text) {
        return of_handshake(&rustls::Error::AlertReceived(alert));
    }
    if NO_GRPC.iter().any(|sign| text.contains(sign)) {
        return format!("{SPEAKS_HTTP} ({text})");
    }
    text
}

/// What comes of gRPC where HTTP/1.1 is spoken, in the words of h2 and tonic.
const NO_GRPC: &[&str] = &["frame with invalid size", "invalid compression flag"];
const SPEAKS_HTTP: &str = "it does not speak gRPC: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, whose usual port is 4318";
const SPEAKS_GRPC: &str = "it does not speak HTTP/1.1; if it speaks gRPC, set OTEL_EXPORTER_OTLP_PROTOCOL=grpc, \
    whose usual port is 4317";

/// Finds the alert of TLS in a text: h2 keeps only the text of what failed below it.
#[cfg(feature = "tls")]
fn alert_in(text: &str) -> Option<rustls::AlertDescription> {
    use rustls::AlertDescription as Alert;
    let (_, name) = text.split_once("received fatal alert: ")?;
    [
        Alert::CertificateRequired,
        Alert::UnknownCA,
        Alert::BadCertificate,
        Alert::CertificateUnknown,
        Alert::CertificateExpired,
        Alert::CertificateRevoked,
        Alert::AccessDenied,
        Alert::DecryptError,
        Alert::HandshakeFailure,
        Alert::ProtocolVersion,
    ]
    .into_iter()
    .find(|alert| name.trim() == format!("{alert:?}"))
}

/// What is wrapped. An error of I/O hides its content from `source`, which begins one further in.
fn inner<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(content) => Some(content),
        None => error.source(),
    }
}

/// Says why no answer came over HTTP.
pub(super) fn of_request(error: &ureq::Error, timeout: Duration) -> String {
    match error {
        ureq::Error::Io(error) => of_error(error),
        #[cfg(feature = "tls")]
        ureq::Error::Rustls(error) => of_handshake(error),
        ureq::Error::Timeout(_) => no_answer(timeout),
        ureq::Error::HostNotFound => "the host is not known".to_owned(),
        ureq::Error::Protocol(error) => format!("{SPEAKS_GRPC} ({error})"),
        other => other.to_string(),
    }
}

pub(super) fn no_answer(timeout: Duration) -> String {
    format!("no answer within {timeout:.1?}")
}

/// Says what the collector answered, with its own words as far as they help.
pub(super) fn of_answer(status: &str, words: &str) -> String {
    let words: String =
        words.chars().filter(|character| !character.is_control()).take(LONGEST_ANSWER).collect();
    if NO_GRPC.iter().any(|sign| words.contains(sign)) {
        return SPEAKS_HTTP.to_owned();
    }
    let mut cause = format!("it answered {status}");
    if !words.trim().is_empty() {
        cause.push_str(": ");
        cause.push_str(words.trim());
    }
    if status.starts_with("404") || status == "Unimplemented" {
        cause.push_str("; if it does not take this signal, OTEL_…_EXPORTER=none turns it off");
    }
    cause
}

/// Says why there is no secure connection.
#[cfg(feature = "tls")]
fn of_handshake(error: &rustls::Error) -> String {
    use rustls::AlertDescription as Alert;
    use rustls::CertificateError as Bad;

    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::UnknownIssuer => "its certificate is signed by nobody we trust; \
                OTEL_EXPORTER_OTLP_CERTIFICATE names the authority to trust"
                .to_owned(),
            Bad::Expired | Bad::ExpiredContext { .. } => "its certificate has expired".to_owned(),
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                "its certificate is not valid yet".to_owned()
            }
            Bad::NotValidForName => "its certificate is for another name".to_owned(),
            Bad::NotValidForNameContext { expected, presented } => {
                // They come as `DnsName("collector.example")`.
                let names: Vec<&str> =
                    presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name)).collect();
                let (expected, names) = (expected.to_str(), names.join(", "));
                format!("its certificate is not for {expected}, but for {names}")
            }
            Bad::Revoked => "its certificate is revoked".to_owned(),
            other => format!("its certificate does not hold: {other}"),
        },
        rustls::Error::AlertReceived(Alert::CertificateRequired) => {
            "it asks for a client certificate: OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and \
             OTEL_EXPORTER_OTLP_CLIENT_KEY"
                .to_owned()
        }
        rustls::Error::AlertReceived(
            alert @ (Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::AccessDenied
            | Alert::DecryptError),
        ) => format!("it does not accept our client certificate ({alert:?})"),
        rustls::Error::AlertReceived(Alert::HandshakeFailure | Alert::ProtocolVersion)
        | rustls::Error::PeerIncompatible(_) => {
            "it and we have no version or cipher of TLS in common".to_owned()
        }
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS; an endpoint without it begins with http://".to_owned()
        }
        other => format!("TLS: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{of_answer, of_error, of_request};
    use std::io;
    use std::time::Duration;

    #[test]
    fn the_innermost_cause_is_told() {
        let refused = || io::Error::from_raw_os_error(111);
        let told = refused().to_string();
        assert_eq!(of_error(&io::Error::other(refused())), told);
        assert_eq!(of_request(&ureq::Error::Io(refused()), Duration::ZERO), told);
        assert_eq!(of_error(&io::Error::other(io::Error::other("the end"))), "the end");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_failed_handshake_says_what_to_do() {
        use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
        for (error, part) in [
            (CertificateError::UnknownIssuer.into(), "OTEL_EXPORTER_OTLP_CERTIFICATE"),
            (CertificateError::Expired.into(), "has expired"),
            (CertificateError::NotValidYet.into(), "not valid yet"),
            (CertificateError::NotValidForName.into(), "another name"),
            (CertificateError::BadSignature.into(), "does not hold"),
            (Error::AlertReceived(AlertDescription::CertificateRequired), "CLIENT_KEY"),
            (Error::AlertReceived(AlertDescription::UnknownCA), "our client certificate"),
            (Error::AlertReceived(AlertDescription::ProtocolVersion), "in common"),
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), "http://"),
            (Error::HandshakeNotComplete, "TLS: "),
        ] {
            let is_alert = matches!(error, Error::AlertReceived(_));
            let text = io::Error::other(format!("connection: {error}"));
            let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
            let told = of_error(&wrapped);
            assert!(told.contains(part), "{told}");
            if is_alert {
                assert_eq!(of_error(&text), told, "as h2 has it");
            }
        }
    }

    #[test]
    fn a_port_of_the_other_protocol_is_told_with_the_way_out() {
        let h2 = io::Error::other("frame with invalid size");
        assert!(of_error(&h2).contains("OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"));
        let answered = "protocol error: received message with invalid compression flag: 123";
        let told = of_answer("Internal", answered);
        assert!(told.contains("OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"), "{told}");
        // What HTTP/2 sends first, where an answer of HTTP/1.1 is awaited.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0@\0");
        });
        let error = ureq::get(&url).call().unwrap_err();
        let told = of_request(&error, Duration::ZERO);
        assert!(told.contains("OTEL_EXPORTER_OTLP_PROTOCOL=grpc"), "{told}");
    }

    #[test]
    fn what_a_collector_says_is_cut_and_cannot_drive_a_terminal() {
        assert_eq!(of_answer("401 Unauthorized", ""), "it answered 401 Unauthorized");
        assert!(of_answer("404 Not Found", "").contains("_EXPORTER=none"));
        let told = of_answer("INTERNAL", &format!("\u{1b}[2J{}", "x".repeat(9_000)));
        assert!(told.starts_with("it answered INTERNAL: [2Jxxx") && told.len() < 300, "{told}");
    }
}
