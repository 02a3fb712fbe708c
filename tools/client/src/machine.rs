//! The machine mode of the shell, from the other side: commands go out, lines and a status come back.

use crate::ClientError;
use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// One event of a command's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// A line of output, without its end.
    Line(Vec<u8>),
    /// The command is done.
    Done {
        /// It did well.
        good: bool,
        /// The last line had an end.
        whole: bool,
    },
}

/// A shell in machine mode.
pub struct Client {
    stream: UnixStream,
    timeout: Duration,
    /// Received, not yet given out.
    buffer: Vec<u8>,
}

impl Client {
    /// Connects, and brings the shell into machine mode whatever it was at before.
    pub fn connect(socket: &Path, timeout: Duration, wait: Duration) -> Result<Self, ClientError> {
        let until = Instant::now() + wait;
        loop {
            let tried = Self::open(socket).and_then(|stream| {
                let mut client = Self {
                    stream,
                    timeout,
                    buffer: Vec::new(),
                };
                let left = until.saturating_duration_since(Instant::now());
                client.set_timeout(timeout.max(left))?;
                client.synchronize()?;
                client.set_timeout(timeout)?;
                Ok(client)
            });
            match tried {
                Err(ClientError::Connect { .. } | ClientError::Vanished)
                    if Instant::now() < until =>
                {
                    thread::sleep(Duration::from_millis(50));
                }
                result => return result,
            }
        }
    }

    fn open(socket: &Path) -> Result<UnixStream, ClientError> {
        let failed = |error| ClientError::Connect {
            socket: socket.display().to_string(),
            error,
        };
        UnixStream::connect(socket).map_err(failed)
    }

    fn set_timeout(&mut self, timeout: Duration) -> Result<(), ClientError> {
        self.timeout = timeout;
        self.stream.set_read_timeout(Some(timeout))?;
        self.stream.set_write_timeout(Some(timeout))?;
        Ok(())
    }

    /// Skips whatever comes until the answer to a command nobody else has given.
    fn synchronize(&mut self) -> Result<(), ClientError> {
        let mark = format!("sync-{}", std::process::id());
        self.write(format!("\x03mode machine\n{mark}\n").as_bytes())?;
        loop {
            let line = self.read_line()?;
            if String::from_utf8_lossy(&line).contains(&mark) {
                break;
            }
        }
        match self.answer()? {
            Answer::Done { .. } => Ok(()),
            Answer::Line(line) => Err(protocol(&line)),
        }
    }

    /// Sends a command.
    pub fn send(&mut self, line: &str) -> Result<(), ClientError> {
        self.write(format!("{line}\n").as_bytes())
    }

    /// Sends raw bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.stream
            .write_all(bytes)
            .map_err(|error| self.explain(error))
    }

    /// The next part of the answer to the command that was sent.
    pub fn answer(&mut self) -> Result<Answer, ClientError> {
        let line = self.read_line()?;
        let done = |good, whole| Ok(Answer::Done { good, whole });
        match line.as_slice() {
            [b'|', text @ ..] => Ok(Answer::Line(text.to_vec())),
            b"=ok" => done(true, true),
            b"=ok-" => done(true, false),
            b"=error" => done(false, true),
            b"=error-" => done(false, false),
            other => Err(protocol(other)),
        }
    }

    /// Sends a command and collects its output, for questions that are not shown.
    pub fn ask(&mut self, line: &str) -> Result<Vec<String>, ClientError> {
        self.send(line)?;
        let mut lines = Vec::new();
        loop {
            match self.answer()? {
                Answer::Line(line) => lines.push(String::from_utf8_lossy(&line).into_owned()),
                Answer::Done { good: true, .. } => return Ok(lines),
                Answer::Done { good: false, .. } => return Ok(Vec::new()),
            }
        }
    }

    fn read_line(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut searched = 0;
        loop {
            let new = &self.buffer[searched..];
            if let Some(end) = new.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=searched + end).collect();
                line.pop();
                return Ok(line);
            }
            searched = self.buffer.len();
            let mut page = [0; 4096];
            match self.stream.read(&mut page) {
                Ok(0) => return Err(ClientError::Vanished),
                Ok(count) => self.buffer.extend(&page[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.explain(error)),
            }
        }
    }

    fn explain(&self, error: io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                ClientError::Timeout(self.timeout)
            }
            _ => error.into(),
        }
    }
}

fn protocol(line: &[u8]) -> ClientError {
    ClientError::Protocol(String::from_utf8_lossy(line).into_owned())
}

/// A word as the shell reads it back.
pub fn quote(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}
