//! E-mail over SMTP: one connection per message, STARTTLS or TLS from the start.

use std::time::{Duration, SystemTime};

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailboxes, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, Identity, Tls, TlsParameters, TlsVersion};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use skopos_alerting::alertmanager::{Email, Integration, Settings, Source, TlsConfig};
use skopos_alerting::notify::DeliveryOutcome;
use skopos_alerting::notify::receivers::{Judgement, Mail};
use skopos_model::Timestamp;

use super::secrets::read_now;
use super::veil::Veil;
use super::{is_unresolved, secrets};

/// Longest text of a mail server in a reason, characters.
const MAX_REASON: usize = 200;

/// Sends one e-mail.
pub(super) async fn send(
    source: &Source,
    integration: &Integration,
    mail: &Mail,
    timeout: Duration,
    now: Timestamp,
) -> DeliveryOutcome {
    let Settings::Email(config) = &integration.settings else {
        return failed("the receiver is no e-mail address any more");
    };
    let message = match message(mail, now) {
        Ok(message) => message,
        Err(reason) => return failed(&reason),
    };
    let transport = match transport(source, config, timeout).await {
        Ok(transport) => transport,
        Err(outcome) => return outcome,
    };
    match transport.send(message).await {
        Ok(_) => DeliveryOutcome::Judged(Judgement::Delivered),
        Err(error) if error.is_timeout() => DeliveryOutcome::TimedOut,
        Err(error) => {
            let host = config.smarthost.rsplit_once(':').map_or("", |(host, _)| host);
            let reason = reason(&error, host, &Veil::of(source, integration).await);
            match error.is_permanent() {
                true => DeliveryOutcome::Judged(Judgement::Failed { reason }),
                false => DeliveryOutcome::Judged(Judgement::Retry { reason, after: None }),
            }
        }
    }
}

fn failed(reason: &str) -> DeliveryOutcome {
    DeliveryOutcome::Judged(Judgement::Failed { reason: reason.into() })
}

fn message(mail: &Mail, now: Timestamp) -> Result<Message, String> {
    let from: Mailboxes = mail.from.parse().map_err(|_| "`from` is no e-mail address")?;
    let to: Mailboxes = mail.to.parse().map_err(|_| "`to` is no list of e-mail addresses")?;
    let sender = match from.iter().count() {
        1 => from.iter().next().map(|mailbox| mailbox.email.clone()),
        _ => return Err("`from` must be exactly one e-mail address".into()),
    };
    let receivers: Vec<Address> = to.iter().map(|mailbox| mailbox.email.clone()).collect();
    let envelope = Envelope::new(sender, receivers).map_err(|_| "`to` names nobody")?;
    let since_epoch = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
    let mut builder = Message::builder().date(SystemTime::UNIX_EPOCH + since_epoch);
    let has = |name: &str| mail.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    if !has("From") {
        builder = builder.mailbox(lettre::message::header::From::from(from));
    }
    if !has("To") {
        builder = builder.mailbox(lettre::message::header::To::from(to));
    }
    for (name, value) in &mail.headers {
        let header = HeaderName::new_from_ascii(name.clone())
            .map_err(|_| format!("{name:?} is no name of a header"))?;
        builder = builder.raw_header(HeaderValue::new(header, value.clone()));
    }
    // Many readers show the last part that they can.
    let built = builder.envelope(envelope);
    let built = match (mail.text.is_empty(), mail.html.is_empty()) {
        (false, true) => built.singlepart(SinglePart::plain(mail.text.clone())),
        (true, false) => built.singlepart(SinglePart::html(mail.html.clone())),
        _ => {
            built.multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()))
        }
    };
    built.map_err(|error| format!("the e-mail cannot be put together: {error}"))
}

async fn transport(
    source: &Source,
    config: &Email,
    timeout: Duration,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, DeliveryOutcome> {
    let Some((host, port)) = config.smarthost.rsplit_once(':') else {
        return Err(failed("`smarthost` is not host:port"));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = match port {
        "smtp" => 25,
        "submission" => 587,
        "smtps" | "submissions" => 465,
        number => number.parse().map_err(|_| failed("`smarthost` has no valid port"))?,
    };
    let uses_tls = config.implicit_tls || config.require_tls;
    let tls = match uses_tls {
        false => Tls::None,
        true => {
            let parameters = tls_parameters(source, &config.tls, host);
            let parameters = parameters.map_err(|reason| failed(&reason))?;
            if config.implicit_tls { Tls::Wrapper(parameters) } else { Tls::Required(parameters) }
        }
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(port)
        .hello_name(ClientId::Domain(config.hello.clone()))
        .timeout(Some(timeout))
        .tls(tls);
    if let (Some(username), Some(password)) = (&config.auth_username, &config.auth_password) {
        let password = secrets::read(source, password).await?;
        builder = builder
            .credentials(Credentials::new(username.clone(), password.expose().clone()))
            .authentication(mechanisms(uses_tls, host));
    }
    Ok(builder.build())
}

/// As in Alertmanager, PLAIN is not spoken in clear, but to this machine.
fn mechanisms(uses_tls: bool, host: &str) -> Vec<Mechanism> {
    match uses_tls || matches!(host, "localhost" | "127.0.0.1" | "::1") {
        true => vec![Mechanism::Plain, Mechanism::Login],
        false => vec![Mechanism::Login],
    }
}

fn tls_parameters(source: &Source, tls: &TlsConfig, host: &str) -> Result<TlsParameters, String> {
    fn wrong(key: &str, error: impl std::fmt::Display) -> String {
        format!("tls_config: {key}: {error}")
    }
    let name = tls.server_name.clone().unwrap_or_else(|| host.to_owned());
    let mut builder =
        TlsParameters::builder(name).dangerous_accept_invalid_certs(tls.insecure_skip_verify);
    if tls.min_version.as_deref() == Some("TLS13") {
        builder = builder.set_min_tls_version(TlsVersion::Tlsv13);
    }
    if let Some(ca) = &tls.ca {
        let pem = read_now(source, ca).map_err(|error| wrong("ca", error))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| wrong("ca", error))?;
        builder = builder.add_root_certificate(certificate);
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        let cert = read_now(source, cert).map_err(|error| wrong("cert", error))?;
        let key = read_now(source, key).map_err(|error| wrong("key", error))?;
        let identity = Identity::from_pem(&cert, &key).map_err(|error| wrong("cert", error))?;
        builder = builder.identify_with(identity);
    }
    builder.build_rustls().map_err(|error| wrong("certificates", error))
}

/// What the mail server said, without what it repeated of ours, or what kind of trouble there was.
fn reason(error: &lettre::transport::smtp::Error, host: &str, veil: &Veil) -> String {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            if is_unresolved(io) {
                return format!("cannot resolve host {host}");
            }
            let tls = io.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
            return tls.map_or_else(|| io.kind().to_string(), super::tls::reason);
        }
        cause = inner.source();
    }
    let text: String = match error.status() {
        Some(_) => format!("mail server: {error}"),
        None if error.is_client() => format!("mail: {error}"),
        None => "the exchange with the mail server broke off".into(),
    };
    let printable: String = text.chars().filter(|c| !c.is_control()).collect();
    veil.redact(&printable).chars().take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(from: &str, to: &str) -> Mail {
        Mail {
            from: from.into(),
            to: to.into(),
            headers: vec![
                ("Subject".into(), "[FIRING:1] Größe".into()),
                ("Message-Id".into(), "<1.a@skopos>".into()),
            ],
            text: "grün".into(),
            html: "<p>grün</p>".into(),
        }
    }

    #[test]
    fn messages_are_put_together() {
        let made = message(
            &mail("Skopos <s@example.org>", "a@example.org, B <b@example.org>"),
            Timestamp::from_secs(1),
        )
        .unwrap();
        assert_eq!(made.envelope().from().unwrap().to_string(), "s@example.org");
        assert_eq!(made.envelope().to().len(), 2);
        let text = String::from_utf8(made.formatted()).unwrap();
        for line in [
            "Date: Thu, 01 Jan 1970 00:00:01 +0000",
            "From: Skopos <s@example.org>",
            "Message-Id: <1.a@skopos>",
            "Content-Type: multipart/alternative;",
            "Content-Type: text/html; charset=utf-8",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("Größe"), "headers are encoded\n{text}");
    }

    #[test]
    fn addresses_are_checked() {
        for (from, to, want) in [
            ("nobody", "a@example.org", "`from` is no e-mail address"),
            (
                "a@example.org, b@example.org",
                "a@example.org",
                "`from` must be exactly one e-mail address",
            ),
            ("a@example.org", "x", "`to` is no list of e-mail addresses"),
        ] {
            assert_eq!(message(&mail(from, to), Timestamp::from_secs(1)).unwrap_err(), want);
        }
    }
}
