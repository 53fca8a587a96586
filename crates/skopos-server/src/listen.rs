//! Listening addresses: parsing, binding, and a useful error when the port is taken.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpListener;

use crate::ServerError;

/// `host:port` as configured; the host is resolved when binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddr {
    host: String,
    port: u16,
}

impl ListenAddr {
    /// Reads `127.0.0.1:4319`, `[::1]:4319` or `localhost:4319`. A bare `:4319` means all interfaces.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match (host, bare) {
            ("", _) => "0.0.0.0",
            (_, Some(v6)) => v6.parse::<std::net::Ipv6Addr>().ok().map(|_| v6)?,
            (name, None) if !name.contains([':', '/', ' ']) => name,
            _ => return None,
        };
        Some(Self { host: host.to_owned(), port })
    }

    /// Loopback with a port chosen by the system.
    pub fn any_port() -> Self {
        Self { host: "127.0.0.1".into(), port: 0 }
    }

    /// Whether only this machine can reach it. Names other than `localhost` count as reachable.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// Binds. A taken port yields an error that says who holds it.
    pub async fn bind(&self, purpose: &'static str) -> Result<TcpListener, ServerError> {
        TcpListener::bind((self.host.as_str(), self.port)).await.map_err(|source| {
            if source.kind() == std::io::ErrorKind::AddrInUse {
                let holder = port_holder(self.port);
                return ServerError::PortTaken { address: self.to_string(), purpose, holder };
            }
            ServerError::Bind { address: self.to_string(), purpose, source }
        })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The process that holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortHolder {
    /// Its process id.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

impl fmt::Display for PortHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Who listens on a TCP port, as far as /proc tells: only processes of the same user can be named,
/// and elsewhere than on Linux none.
pub fn port_holder(port: u16) -> Option<PortHolder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        for file in files.flatten() {
            let Ok(target) = std::fs::read_link(file.path()) else { continue };
            if inodes.iter().any(|inode| target.as_os_str() == inode.as_str()) {
                let name = std::fs::read_to_string(process.path().join("comm"));
                let name = name.unwrap_or_default().trim().to_owned();
                return Some(PortHolder { pid, name });
            }
        }
    }
    None
}

/// Inodes of the listening sockets on `port` in the text of `/proc/net/tcp`.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, hex_port) = fields.get(1)?.rsplit_once(':')?;
        let same_port = u16::from_str_radix(hex_port, 16) == Ok(port);
        if same_port && fields.get(3) == Some(&LISTEN) { fields.get(9)?.parse().ok() } else { None }
    };
    table.lines().skip(1).filter_map(line).collect()
}

/// The addresses a running server listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// UI, API, /metrics, /health.
    pub http: SocketAddr,
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, shown, loopback) in [
            ("127.0.0.1:4319", Some("127.0.0.1:4319"), true),
            ("localhost:0", Some("localhost:0"), true),
            ("[::1]:80", Some("[::1]:80"), true),
            ("0.0.0.0:80", Some("0.0.0.0:80"), false),
            (":80", Some("0.0.0.0:80"), false),
            ("monitor.example:80", Some("monitor.example:80"), false),
            ("::1:80", None, false),
            ("http://x:80", None, false),
            ("x", None, false),
            ("x:99999", None, false),
        ] {
            let address = ListenAddr::parse(text);
            assert_eq!(address.as_ref().map(ToString::to_string).as_deref(), shown, "{text}");
            if let Some(address) = address {
                assert_eq!(address.is_loopback(), loopback, "{text}");
            }
        }
    }

    #[test]
    fn reads_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx rx tr when retrnsmt uid timeout inode\n\
            0: 0100007F:10DF 00000000:0000 0A 0:0 0:0 0 1000 0 4711 1\n\
            1: 0100007F:10DF 0100007F:9999 01 0:0 0:0 0 1000 0 4712 1\n";
        assert_eq!(listening_inodes(table, 4319), [4711]);
        assert!(listening_inodes(table, 4318).is_empty());
    }

    #[tokio::test]
    async fn a_taken_port_names_its_holder() {
        let held = ListenAddr::any_port().bind("test").await.unwrap();
        let port = held.local_addr().unwrap().port();
        let address = ListenAddr::parse(&format!("127.0.0.1:{port}")).unwrap();
        let error = address.bind("HTTP API").await.unwrap_err().to_string();
        assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
        if cfg!(target_os = "linux") {
            assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        }
    }
}
