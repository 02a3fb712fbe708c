//! Who talks to a port: it takes one client at a time, and a second one waits in silence.

use crate::ClientError;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::{
    fs, io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::MetadataExt,
            net::{SocketAddr, UnixListener, UnixStream},
        },
    },
    path::Path,
};

/// Says to other clients, by a name that belongs to the socket and vanishes with this process, that the port is taken.
pub(crate) struct Holder {
    _name: UnixListener,
}

impl Holder {
    /// `None` where that cannot be said: then the port tells by its silence.
    pub(crate) fn take(socket: &Path) -> Result<Option<Self>, ClientError> {
        let Some(name) = name(socket) else {
            return Ok(None);
        };
        match UnixListener::bind_addr(&name) {
            Ok(listener) => Ok(Some(Self { _name: listener })),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(held(&name)),
            Err(_) => Ok(None),
        }
    }
}

fn name(socket: &Path) -> Option<SocketAddr> {
    let file = fs::metadata(socket).ok()?;
    let name = format!("ubpf-client-{}-{}", file.dev(), file.ino());
    SocketAddr::from_abstract_name(name).ok()
}

fn held(name: &SocketAddr) -> ClientError {
    let stream = UnixStream::connect_addr(name).ok();
    let holder = stream.and_then(|stream| getsockopt(&stream, PeerCredentials).ok());
    let process = holder.map_or(0, |holder| holder.pid());
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    let name = name.trim_end().to_owned();
    ClientError::Held { process, name }
}
