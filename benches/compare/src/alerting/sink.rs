//! A webhook receiver that notes when each notification was read whole.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::now_ms;

/// A notification, and when it was here.
#[derive(Clone)]
pub struct Arrival {
    pub at: Instant,
    /// The same by the wall clock, in milliseconds.
    pub at_ms: i64,
    pub body: Value,
}

/// Receives until the harness ends.
pub struct Sink {
    pub address: SocketAddr,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl Sink {
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen for notifications")?;
        let address = listener.local_addr()?;
        let arrivals: Arc<Mutex<Vec<Arrival>>> = Arc::default();
        let into = Arc::clone(&arrivals);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let into = Arc::clone(&into);
                std::thread::spawn(move || {
                    // A connection that breaks is the sender's to repeat.
                    let _ = receive(stream, &into);
                });
            }
        });
        Ok(Self { address, arrivals })
    }

    pub fn len(&self) -> usize {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads requests of one connection until it is closed.
fn receive(stream: TcpStream, into: &Mutex<Vec<Arrival>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().context("read the length of a notification")?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (at, at_ms) = (Instant::now(), now_ms());
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        let body = serde_json::from_slice(&body).context("read a notification")?;
        into.lock().unwrap_or_else(PoisonError::into_inner).push(Arrival { at, at_ms, body });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_notifications_of_one_connection_are_kept_in_order() {
        let sink = Sink::start().unwrap();
        let mut stream = TcpStream::connect(sink.address).unwrap();
        for n in 1..=2 {
            let body = format!("{{\"n\":{n}}}");
            let length = body.len();
            write!(stream, "POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
            let mut answer = [0; 38];
            stream.read_exact(&mut answer).unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        }
        while sink.len() < 2 {
            std::thread::yield_now();
        }
        let bodies: Vec<Value> = sink.arrivals().into_iter().map(|a| a.body["n"].clone()).collect();
        assert_eq!(bodies, [1, 2]);
    }
}
