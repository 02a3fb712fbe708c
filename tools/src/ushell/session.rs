//! Commands and uploads over a client, their output on standard output.

use crate::options::{self, Step};
use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::Path,
};
use ubpf_client::{
    machine::{quote, Answer, Client},
    ClientError,
};
use ushell_rs::{crc32::crc32, words};

/// A conversation.
pub struct Session {
    pub client: Client,
    echo: bool,
    over: bool,
}

impl Session {
    pub fn new(client: Client, echo: bool) -> Self {
        Self {
            client,
            echo,
            over: false,
        }
    }

    /// Whether the conversation was ended by `quit`.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Runs one line; tells whether it did well. What would break the conversation is done here.
    pub fn command(&mut self, line: &str) -> Result<bool, ClientError> {
        if self.echo {
            writeln!(io::stdout(), "> {line}")?;
        }
        let words = words::split(line).unwrap_or_default();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] => Ok(true),
            ["quit" | "exit"] => {
                self.over = true;
                self.client.send("quit").map(|()| true)
            }
            ["mode" | "terminal", ..] => {
                eprintln!("ushell: this tool needs the shell in machine mode");
                Ok(false)
            }
            ["put", file] => self.put_as(options::upload(file)),
            ["put", file, name] => self.put_as(options::upload(&format!("{file}={name}"))),
            ["put", ..] => {
                eprintln!("Usage: put FILE [NAME]");
                Ok(false)
            }
            _ => {
                self.client.send(&line.replace(['\n', '\r'], " "))?;
                self.show()
            }
        }
    }

    fn put_as(&mut self, step: Result<Step, String>) -> Result<bool, ClientError> {
        match step {
            Ok(Step::Put { file, name }) => self.put(&file, &name),
            Ok(Step::Command(_)) => Ok(false),
            Err(error) => {
                eprintln!("ushell: {error}");
                Ok(false)
            }
        }
    }

    /// Uploads a file; tells whether it did well.
    pub fn put(&mut self, file: &Path, name: &str) -> Result<bool, ClientError> {
        let contents = match fs::read(file) {
            Ok(contents) => contents,
            Err(error) => {
                eprintln!("ushell: {}: {error}", file.display());
                return Ok(false);
            }
        };
        let (size, crc) = (contents.len(), crc32(&contents));
        if size > u32::MAX as usize {
            eprintln!("ushell: {}: too large", file.display());
            return Ok(false);
        }
        self.client
            .send(&format!("put {} {size} {crc:#010x}", quote(name)))?;
        let progress = io::stderr().is_terminal() && size > PAGE;
        for (index, page) in contents.chunks(PAGE).enumerate() {
            self.client.write(page)?;
            if progress {
                let done = index * PAGE + page.len();
                eprint!("\r{name}: {done} of {size} bytes ({} %)", done * 100 / size);
            }
        }
        if progress {
            eprint!("\r\x1b[K");
        }
        self.show()
    }

    /// Shows the answer to what was sent; tells whether it is a good one.
    fn show(&mut self) -> Result<bool, ClientError> {
        let mut out = io::stdout().lock();
        let harmless = out.is_terminal();
        let mut first = true;
        loop {
            match self.client.answer()? {
                Answer::Line(mut line) => {
                    if harmless {
                        mask_controls(&mut line);
                    }
                    // The end of a line is written when it is known that the line has one.
                    if !first {
                        out.write_all(b"\n")?;
                    }
                    first = false;
                    out.write_all(&line)?;
                }
                Answer::Done { good, whole } => {
                    if whole && !first {
                        out.write_all(b"\n")?;
                    }
                    out.flush()?;
                    return Ok(good);
                }
            }
        }
    }
}

/// Contents of files must not drive the person's terminal.
pub fn mask_controls(line: &mut [u8]) {
    for byte in line {
        if matches!(byte, 0..=8 | 11..=31 | 127) {
            *byte = b'?';
        }
    }
}

/// Bytes of an upload sent at once.
const PAGE: usize = 4096;
