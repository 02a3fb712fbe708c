//! The target's shell in its plain mode: a prompt, a line, an answer, a prompt.

use crate::Result;
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};
use ushell_rs::crc32::crc32;

const PROMPT: &[u8] = b"> ";
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to a shell.
pub struct Shell {
    stream: UnixStream,
}

impl Shell {
    /// Connects, waiting for the target to come up.
    pub fn connect(socket: &Path) -> Result<Shell> {
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if start.elapsed() > PATIENCE => {
                    return Err(format!("{}: {error}", socket.display()).into());
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        };
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        let mut shell = Shell { stream };
        shell.synchronise()?;
        Ok(shell)
    }

    /// Comes to a fresh prompt, whatever the connection shows at first.
    fn synchronise(&mut self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            self.stream.write_all(b"\n")?;
            if self.read_to_prompt(Duration::from_secs(1)).is_ok() {
                while self.read_some().is_some_and(|bytes| !bytes.is_empty()) {}
                return Ok(());
            }
        }
        Err("the shell shows no prompt".into())
    }

    /// Runs a command; the lines of its answer. Prints both as they come.
    pub fn command(&mut self, line: &str) -> Result<Vec<String>> {
        println!("> {line}");
        self.stream.write_all(line.as_bytes())?;
        self.stream.write_all(b"\n")?;
        let answer = self
            .read_to_prompt(PATIENCE)
            .map_err(|error| format!("`{line}`: {error}"))?;
        let lines: Vec<String> = answer.lines().map(String::from).collect();
        lines.iter().for_each(|line| println!("{line}"));
        Ok(lines)
    }

    /// Uploads a file.
    pub fn put(&mut self, name: &str, contents: &[u8]) -> Result<()> {
        let crc = crc32(contents);
        let line = format!("put {name} {} {crc:#010x}\n", contents.len());
        self.stream.write_all(line.as_bytes())?;
        self.stream.write_all(contents)?;
        let answer = self.read_to_prompt(PATIENCE)?;
        if answer.contains("rror") || answer.contains("not ") {
            return Err(format!("put {name}: {answer}").into());
        }
        Ok(())
    }

    fn read_to_prompt(&mut self, patience: Duration) -> Result<String> {
        let (start, mut answer) = (Instant::now(), Vec::new());
        while start.elapsed() < patience {
            let Some(bytes) = self.read_some() else {
                return Err("the shell hung up".into());
            };
            answer.extend_from_slice(&bytes);
            if answer == PROMPT || answer.ends_with(b"\n> ") {
                answer.truncate(answer.len() - PROMPT.len());
                return Ok(String::from_utf8_lossy(&answer).replace('\r', ""));
            }
        }
        Err(format!("no prompt after {:?}", String::from_utf8_lossy(&answer)).into())
    }

    /// What came within the time-out; `None` when the shell hung up.
    fn read_some(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => None,
            Ok(count) => Some(buffer[..count].to_vec()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Some(Vec::new())
            }
            Err(_) => None,
        }
    }
}
