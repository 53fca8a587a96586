//! A mail server that keeps what it is sent: plain, or with STARTTLS and AUTH PLAIN.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

type Certificate = rcgen::CertifiedKey<rcgen::KeyPair>;

/// An e-mail as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) to: Vec<String>,
    pub(super) data: String,
    pub(super) encrypted: bool,
    /// `user:password`
    pub(super) login: Option<String>,
}

/// A mail server on a port of its own.
pub(super) struct Mailbox {
    pub(super) address: std::net::SocketAddr,
    messages: Arc<Mutex<Vec<Message>>>,
}

/// TLS with a certificate.
pub(super) fn acceptor(certificate: &Certificate) -> TlsAcceptor {
    let key = PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], PrivateKeyDer::from(key))
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Reads one request to the end of its body and answers 200.
pub(super) async fn answer_http(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !seen.ends_with(b"}") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => seen.extend_from_slice(&buffer[..length]),
        }
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let _ = stream.flush().await;
}

impl Mailbox {
    /// With a certificate it offers STARTTLS, and then wants the password `hunter2`.
    pub(super) async fn start(certificate: Option<&Certificate>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let messages: Arc<Mutex<Vec<Message>>> = Arc::default();
        let acceptor = certificate.map(acceptor);
        let kept = Arc::clone(&messages);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, kept) = (acceptor.clone(), Arc::clone(&kept));
                tokio::spawn(async move { serve(stream, acceptor, kept).await });
            }
        });
        Self { address, messages }
    }

    pub(super) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }
}

async fn serve(stream: TcpStream, acceptor: Option<TlsAcceptor>, kept: Arc<Mutex<Vec<Message>>>) {
    let mut stream = BufReader::new(stream);
    if stream.write_all(b"220 mail.example ESMTP\r\n").await.is_err() {
        return;
    }
    let wants_tls = acceptor.is_some();
    let session = Session { encrypted: false, wants_tls, kept: &kept };
    if session.run(&mut stream).await == End::StartTls
        && let Some(acceptor) = acceptor
        && let Ok(stream) = acceptor.accept(stream.into_inner()).await
    {
        let mut stream = BufReader::new(stream);
        let session = Session { encrypted: true, wants_tls, kept: &kept };
        session.run(&mut stream).await;
    }
}

#[derive(PartialEq)]
enum End {
    StartTls,
    Closed,
}

struct Session<'a> {
    encrypted: bool,
    wants_tls: bool,
    kept: &'a Mutex<Vec<Message>>,
}

impl Session<'_> {
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut BufReader<S>) -> End {
        let mut message = Message { encrypted: self.encrypted, ..Message::default() };
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return End::Closed;
            }
            let line = line.trim_end();
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let answer = match verb.as_str() {
                "EHLO" if self.encrypted => "250-mail.example\r\n250 AUTH PLAIN\r\n".to_owned(),
                "EHLO" if self.wants_tls => "250-mail.example\r\n250 STARTTLS\r\n".to_owned(),
                "EHLO" => "250 mail.example\r\n".to_owned(),
                "STARTTLS" => {
                    let _ = stream.write_all(b"220 go ahead\r\n").await;
                    return End::StartTls;
                }
                "AUTH" => {
                    let encoded = line.rsplit(' ').next().unwrap_or_default();
                    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded);
                    let text = String::from_utf8(decoded.unwrap_or_default()).unwrap_or_default();
                    let login = text.trim_start_matches('\0').replace('\0', ":");
                    match login.ends_with(":hunter2") {
                        true => {
                            message.login = Some(login);
                            "235 welcome\r\n".to_owned()
                        }
                        // Some servers repeat what they refuse.
                        false => format!("535 {line} is wrong: {login}\r\n"),
                    }
                }
                "RCPT" => {
                    let address = line.split(['<', '>']).nth(1).unwrap_or_default();
                    message.to.push(address.to_owned());
                    "250 ok\r\n".to_owned()
                }
                "DATA" => {
                    let _ = stream.write_all(b"354 go on\r\n").await;
                    loop {
                        let mut line = String::new();
                        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                            return End::Closed;
                        }
                        if line == ".\r\n" {
                            break;
                        }
                        message.data.push_str(&line);
                    }
                    self.kept.lock().unwrap().push(message.clone());
                    "250 kept\r\n".to_owned()
                }
                "QUIT" => {
                    let _ = stream.write_all(b"221 bye\r\n").await;
                    return End::Closed;
                }
                _ => "250 ok\r\n".to_owned(),
            };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return End::Closed;
            }
        }
    }
}
