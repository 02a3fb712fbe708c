//! Why there is no talking to the unikernel.

use std::{fmt, io, time::Duration};

/// Why there is no talking to the unikernel (any more).
#[derive(Debug)]
pub enum ClientError {
    /// The socket cannot be opened.
    Connect {
        /// Its name.
        socket: String,
        /// Why not.
        error: io::Error,
    },
    /// Reading or writing failed.
    Broken(io::Error),
    /// The other side has gone.
    Vanished,
    /// Nothing came for too long.
    Timeout(Duration),
    /// What came is not what a shell says.
    Protocol(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { socket, error } => write!(f, "{socket}: {error}"),
            Self::Broken(error) => write!(f, "connection broke: {error}"),
            Self::Vanished => f.write_str("the unikernel closed the connection"),
            Self::Timeout(time) => write!(f, "no answer for {} s", time.as_secs_f64()),
            Self::Protocol(text) => write!(f, "unexpected answer `{}`", text.escape_debug()),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Vanished,
            _ => Self::Broken(error),
        }
    }
}
