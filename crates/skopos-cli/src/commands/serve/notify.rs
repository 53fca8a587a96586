//! Tells a service manager that the server is ready or stopping: systemd's notification protocol,
//! one datagram to the socket that `NOTIFY_SOCKET` names (sd_notify(3)).

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixDatagram;

/// Where the manager listens; none when nobody asked to be told.
pub(super) struct Manager(Option<OsString>);

impl Manager {
    pub(super) fn from_env() -> Self {
        Self(std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()))
    }

    /// The server answers.
    pub(super) fn ready(&self) {
        self.tell("READY=1\nSTATUS=ready\n");
    }

    /// The server was asked to stop.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing answers under way\n");
    }

    fn tell(&self, message: &str) {
        let Some(socket) = &self.0 else { return };
        if let Err(error) = send(socket, message.as_bytes()) {
            tracing::warn!(%error, "the service manager could not be told (NOTIFY_SOCKET)");
        }
    }
}

fn send(socket: &OsString, message: &[u8]) -> io::Result<()> {
    let datagram = UnixDatagram::unbound()?;
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::unix::ffi::OsStrExt::as_bytes(&**socket).strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return datagram.send_to_addr(message, &address).map(drop);
    }
    datagram.send_to(message, socket).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_ready_and_stopping() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = Manager(Some(path.into()));
        manager.ready();
        manager.stopping();
        let heard = || {
            let mut bytes = [0; 64];
            let len = socket.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..len].to_vec()).unwrap()
        };
        assert!(heard().starts_with("READY=1\n"));
        assert!(heard().starts_with("STOPPING=1\n"));
        Manager(None).ready();
        Manager(Some("/no/such/socket".into())).ready();
    }
}
