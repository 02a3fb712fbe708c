//! Why there is no talking to the unikernel.

use std::{fmt, io, time::Duration};
use ushell_rs::frame::{PAYLOAD, VERSION};

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
    /// Another client talks to the port.
    Held {
        /// Its process; 0: it has just gone.
        process: i32,
        /// The name of its program.
        name: String,
    },
    /// Reading or writing failed.
    Broken(io::Error),
    /// The other side has gone.
    Vanished,
    /// No shell has answered, not even at first.
    Silent(Duration),
    /// Nothing came for too long.
    Timeout(Duration),
    /// The shell speaks another version of the framed mode; `None`: one from before there was any.
    Version(Option<u32>),
    /// The shell knows nothing of this conversation.
    Forgotten,
    /// What was asked for was ended before its end.
    BrokenOff,
    /// The answer did not come whole.
    Lost {
        /// Bytes that did not come.
        lost: u32,
        /// Bytes of the answer.
        of: u32,
        /// Whether the command did well.
        good: bool,
    },
    /// A command or name of so many bytes.
    LongLine(usize),
    /// A file of more than 4 GiB.
    LargeFile,
    /// What the shell said cannot be shown.
    Output(io::Error),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { socket, error } => write!(f, "{socket}: {error}"),
            Self::Held { process, name } => write!(
                f,
                "the port takes one client at a time, and process {process} ({name}) holds it"
            ),
            Self::Broken(error) => write!(f, "connection broke: {error}"),
            Self::Vanished => f.write_str("the unikernel or process has closed the connection, or has ended"),
            Self::Silent(time) => write!(
                f,
                "no answer for {} s: the application does not give way (--timeout waits longer), or the image has no shell at this port \
                 (QEMU: virtserialport,name=ushell; the console of a Unikraft image says so)",
                time.as_secs_f64()
            ),
            Self::Timeout(time) => write!(f, "no answer for {} s", time.as_secs_f64()),
            Self::Version(None) => f.write_str(
                "the shell in the image is older than this tool: update the image's ushell-rs, or use socat",
            ),
            Self::Version(Some(theirs)) => {
                let update = match *theirs > VERSION {
                    true => "update this tool",
                    false => "update the image's ushell-rs",
                };
                write!(f, "the shell speaks version {theirs} of the framed mode, this tool {VERSION}: {update}")
            }
            Self::Forgotten => f.write_str(
                "the shell has forgotten this conversation: another client took the port, or the unikernel has restarted",
            ),
            Self::BrokenOff => f.write_str(
                "broken off: ended by ^C, or by a new connection; a part may have been done",
            ),
            Self::Lost { lost, of, good } => {
                let how = if *good { "did well" } else { "failed" };
                write!(f, "{lost} of {of} bytes of the answer were lost; the command {how}")
            }
            Self::LongLine(bytes) => {
                write!(f, "too long: {bytes} bytes (limit {PAYLOAD} bytes); nothing was sent")
            }
            Self::LargeFile => f.write_str("a file has at most 4 GiB; nothing was sent"),
            Self::Output(error) => write!(f, "standard output: {error}"),
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
