//! Commands and uploads over a client, their output on standard output.

use crate::options::{self, Step};
use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::Path,
};
use ubpf_client::{machine::Client, ClientError};
use ushell_rs::words;

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
                self.run("quit")
            }
            ["mode" | "terminal" | "session", ..] => {
                say("ushell: this tool needs the shell in its own mode\n");
                Ok(false)
            }
            ["put", file] => self.put_as(options::upload(file)),
            ["put", file, name] => self.put_as(options::upload(&format!("{file}={name}"))),
            ["put", ..] => {
                say("Usage: put FILE [NAME]\n");
                Ok(false)
            }
            _ => self.run(line),
        }
    }

    fn put_as(&mut self, step: Result<Step, String>) -> Result<bool, ClientError> {
        match step {
            Ok(Step::Put { file, name }) => self.put(&file, &name),
            Ok(Step::Command(_)) => Ok(false),
            Err(error) => {
                say(&format!("ushell: {error}\n"));
                Ok(false)
            }
        }
    }

    /// Uploads a file; tells whether it did well.
    pub fn put(&mut self, file: &Path, name: &str) -> Result<bool, ClientError> {
        let contents = match fs::read(file) {
            Ok(contents) => contents,
            Err(error) => {
                say(&format!("ushell: {}: {error}\n", file.display()));
                return Ok(false);
            }
        };
        let size = contents.len();
        let progress = io::stderr().is_terminal() && size > PAGE;
        let mut shown = Shown::new();
        let result = self
            .client
            .put(name, &contents, &mut |page| shown.take(page), &mut |done| {
                if progress {
                    let percent = done * 100 / size;
                    say(&format!("\r{name}: {done} of {size} bytes ({percent} %)"));
                }
            });
        if progress {
            say("\r\x1b[K");
        }
        shown.end()?;
        result
    }

    /// Runs a command and shows its output; tells whether it did well.
    fn run(&mut self, line: &str) -> Result<bool, ClientError> {
        let mut shown = Shown::new();
        let result = self.client.run(line, &mut |page| shown.take(page));
        shown.end()?;
        result
    }
}

/// Output of a command on its way to standard output.
struct Shown {
    /// Control characters are shown as `?`, and the prompt gets a line of its own.
    terminal: bool,
    /// The last line has no end yet.
    open: bool,
}

impl Shown {
    fn new() -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
            open: false,
        }
    }

    fn take(&mut self, page: &[u8]) -> io::Result<()> {
        let mut page = page.to_vec();
        self.open = page.last().is_some_and(|&byte| byte != b'\n');
        if self.terminal {
            mask_controls(&mut page);
        }
        io::stdout().write_all(&page)
    }

    fn end(self) -> Result<(), ClientError> {
        if self.open && self.terminal {
            io::stdout().write_all(b"\n").map_err(ClientError::Output)?;
        }
        io::stdout().flush().map_err(ClientError::Output)
    }
}

/// Writes to standard error; who has closed it or has no room for it misses nothing that matters.
pub fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Contents of files must not drive the person's terminal.
pub fn mask_controls(line: &mut [u8]) {
    for byte in line {
        if matches!(byte, 0..=8 | 11..=31 | 127) {
            *byte = b'?';
        }
    }
}

/// Uploads of more bytes show how far they are.
const PAGE: usize = 4096;
