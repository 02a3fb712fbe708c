//! Commands and uploads over a client, their output on standard output.

use crate::options::{upload, Upload, OBJECT};
use std::{
    fs::File,
    io::{self, IsTerminal, Write},
};
use ubpf_client::{machine::Client, ClientError};
use ubpf_embed::files::{read_bounded, shown};
use ubpf_tools::{
    output::say,
    progress::{Progress, Unit},
};
use ushell_rs::words;

/// A conversation.
pub struct Session {
    pub client: Client,
    echo: bool,
    over: bool,
}

impl Session {
    pub fn new(client: Client, echo: bool) -> Self {
        Self { client, echo, over: false }
    }

    /// Whether the conversation was ended by `quit`.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Shows a line that nobody has typed.
    pub fn show_line(&self, line: &str) -> Result<(), ClientError> {
        writeln!(io::stdout(), "> {line}").map_err(ClientError::Output)
    }

    /// Runs one line; tells whether it did well. What would break the conversation is done here.
    pub fn command(&mut self, line: &str) -> Result<bool, ClientError> {
        if self.echo {
            self.show_line(line)?;
        }
        let Ok(words) = words::split(line) else {
            // The shell says what is wrong with it.
            return self.run(line);
        };
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
            ["put", file] => self.put_as(upload(file.as_ref())),
            ["put", file, name] => self.put_as(upload(format!("{file}={name}").as_ref())),
            ["put", ..] => {
                say("Usage: put FILE [NAME]\n");
                Ok(false)
            }
            _ => self.run(line),
        }
    }

    fn put_as(&mut self, upload: Result<Upload, String>) -> Result<bool, ClientError> {
        match upload {
            Ok(upload) => self.put(&upload),
            Err(error) => {
                say(&format!("ushell: {error}\n"));
                Ok(false)
            }
        }
    }

    /// Uploads a file; tells whether it did well.
    pub fn put(&mut self, upload: &Upload) -> Result<bool, ClientError> {
        let Upload { file, name } = upload;
        let contents = match File::open(file).and_then(|file| read_bounded(file, LARGEST)) {
            Ok(contents) => contents,
            Err(error) => {
                say(&format!("ushell: {}: {error}\n", shown(file)));
                return Ok(false);
            }
        };
        let contents = match packed(name, contents) {
            Ok(contents) => contents,
            Err(reason) => {
                say(&format!("ushell: {}: {reason}\n", shown(file)));
                return Ok(false);
            }
        };
        let progress = Progress::new(name, Unit::Bytes(contents.len() as u64));
        let mut shown = Shown::new();
        let result =
            self.client.put(name, &contents, &mut |page| shown.take(page), &mut |done| progress.set(done as u64));
        drop(progress);
        shown.end()?;
        self.told(result)
    }

    /// Runs a command and shows its output; tells whether it did well.
    fn run(&mut self, line: &str) -> Result<bool, ClientError> {
        let mut shown = Shown::new();
        let result = self.client.run(line, &mut |page| shown.take(page));
        shown.end()?;
        self.told(result)
    }

    /// What is wrong with one command alone does not end the conversation.
    fn told(&self, result: Result<bool, ClientError>) -> Result<bool, ClientError> {
        use ClientError::{BrokenOff, LargeFile, LongLine, Lost};
        match result {
            Err(error @ (BrokenOff | LargeFile | LongLine(_) | Lost { .. })) => {
                say(&format!("ushell: {error}\n"));
                Ok(false)
            }
            result => result,
        }
    }
}

/// The package of a compiler's object, unless it is to be there as an object; any other file as it is.
fn packed(name: &str, contents: Vec<u8>) -> Result<Vec<u8>, String> {
    if !ubpf_pack::is_object(&contents) || name.ends_with(OBJECT) {
        return Ok(contents);
    }
    let options = ubpf_pack::Options { name: ubpf_pack::object_name(name.as_ref()), ..ubpf_pack::Options::default() };
    ubpf_pack::pack(&contents, &options)
}

/// Largest file that is read; no shell takes more. A device may have no end.
const LARGEST: u64 = 256 << 20;

/// Output of a command on its way to standard output.
struct Shown {
    /// Control characters are shown as `?`, and the prompt gets a line of its own.
    terminal: bool,
    /// The last line has no end yet.
    open: bool,
    /// The last byte.
    before: u8,
}

impl Shown {
    fn new() -> Self {
        Self { terminal: io::stdout().is_terminal(), open: false, before: 0 }
    }

    fn take(&mut self, page: &[u8]) -> io::Result<()> {
        let mut page = page.to_vec();
        self.open = page.last().is_some_and(|&byte| byte != b'\n');
        if self.terminal {
            mask_controls(&mut page, &mut self.before);
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

/// Contents of files must not drive the person's terminal: control characters become `?`, also those of two bytes (U+0080 to
/// U+009F). `before` is the last byte of the piece before, and becomes that of this one.
pub fn mask_controls(piece: &mut [u8], before: &mut u8) {
    for byte in piece {
        let is_control = matches!(byte, 0..=8 | 11..=31 | 127) || (*before == 0xc2 && matches!(byte, 0x80..=0x9f));
        *before = *byte;
        if is_control {
            *byte = b'?';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::mask_controls;

    #[test]
    fn control_characters_are_masked_in_pieces_of_any_size() {
        let text = "a\tb\u{1b}[2J\u{9b}é\u{7f}\n".as_bytes();
        let wanted = b"a\tb?[2J\xc2?\xc3\xa9?\n";
        for size in 1..text.len() {
            let mut before = 0;
            let mut masked = text.to_vec();
            masked.chunks_mut(size).for_each(|piece| mask_controls(piece, &mut before));
            assert_eq!(masked, wanted, "{size}");
        }
    }
}
