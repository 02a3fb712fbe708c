//! The shell's plain mode: a prompt, a line, an answer, a prompt.

use crate::ClientError;
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};
use ushell_rs::crc32::crc32;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// Ends what a shell that waits for a command has written.
pub const PROMPT: &[u8] = b"> ";

/// For tests, whose failures are words.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A connection to the port.
pub struct TextClient {
    /// The socket, to be written to as it pleases.
    pub stream: UnixStream,
}

impl TextClient {
    /// Connects; nothing is read.
    pub fn connect(socket: &Path) -> Result<TextClient> {
        let begin = Instant::now();
        loop {
            match UnixStream::connect(socket) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    return Ok(TextClient { stream });
                }
                Err(error) if begin.elapsed() > PATIENCE => {
                    let socket = socket.display().to_string();
                    return Err(ClientError::Connect { socket, error }.into());
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Connects and reads the first prompt. It may stand behind what the device had been given for a client before, wherever that was cut: at
    /// that one's own prompt, or in the middle of a line.
    pub fn at_prompt(socket: &Path) -> Result<TextClient> {
        let mut client = Self::connect(socket)?;
        client.until(|text| text.ends_with(PROMPT))?;
        Ok(client)
    }

    /// Connects behind a client that did not read. What the device had been given for that one may come first, and
    /// what is sent before the prompt may count as that one's; so a word that is no command is sent until it is answered.
    pub fn synchronised(socket: &Path) -> Result<TextClient> {
        let mut client = Self::connect(socket)?;
        client.stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        let (begin, mut last) = (Instant::now(), None);
        while begin.elapsed() < PATIENCE {
            client.stream.write_all(b"beginning\n")?;
            let wanted = |text: &[u8]| text.ends_with(PROMPT) && contains(text, b"unknown command `beginning`");
            match client.until(wanted) {
                Ok(_) => {
                    // Answers to what was sent before.
                    while client.until(|text| text.ends_with(PROMPT)).is_ok() {}
                    client.stream.set_read_timeout(Some(PATIENCE))?;
                    return Ok(client);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| ClientError::Timeout(PATIENCE).into()))
    }

    /// Reads up to the next prompt; what stands before it.
    pub fn answer(&mut self) -> Result<String> {
        let text = self.until(|text| text == PROMPT || text.ends_with(b"\n> "))?;
        Ok(String::from_utf8_lossy(&text).trim_end_matches("> ").replace('\r', ""))
    }

    /// Reads until this is true of what came; gives that.
    pub fn until(&mut self, reached: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        while !reached(&text) {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ClientError::Vanished.into()),
                Ok(count) => text.extend_from_slice(buffer.get(..count).unwrap_or(&[])),
                Err(error) => {
                    let end = text.get(text.len().saturating_sub(200)..).unwrap_or(&[]);
                    let end = String::from_utf8_lossy(end);
                    return Err(format!("no prompt but {end:?}: {error}").into());
                }
            }
        }
        Ok(text)
    }

    /// Reads these bytes and no others.
    pub fn read_exactly(&mut self, wanted: &[u8]) -> Result<()> {
        let text = self.until(|text| text.len() >= wanted.len())?;
        if text == wanted {
            return Ok(());
        }
        Err(format!("{text:?} came, expected {wanted:?}").into())
    }

    /// Reads until the port is closed or says nothing for a while.
    pub fn rest(&mut self) -> String {
        let mut text = Vec::new();
        // An error is the end of what comes.
        let _ = self.stream.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Runs a command; its answer.
    pub fn command(&mut self, line: &str) -> Result<String> {
        self.stream.write_all(format!("{line}\n").as_bytes())?;
        self.answer().map_err(|error| format!("`{line}`: {error}").into())
    }

    /// Runs a command, whose answer must contain these words.
    pub fn expect(&mut self, line: &str, words: &str) -> Result<()> {
        let answer = self.command(line)?;
        if answer.contains(words) {
            return Ok(());
        }
        let answer: String = answer.chars().take(500).collect();
        Err(format!("`{line}` answered {answer:?}, expected \"{words}\"").into())
    }

    /// Runs a command; the first number in its answer.
    pub fn number(&mut self, line: &str) -> Result<u64> {
        let answer = self.command(line)?;
        let number = answer.split_whitespace().find_map(|word| word.parse().ok());
        number.ok_or_else(|| format!("`{line}` answered {answer:?}").into())
    }

    /// Uploads a file; the answer.
    pub fn put(&mut self, name: &str, contents: &[u8]) -> Result<String> {
        self.stream.write_all(&put(name, contents))?;
        self.answer().map_err(|error| format!("put {name}: {error}").into())
    }

    /// Uploads a file, which must arrive.
    pub fn send(&mut self, name: &str, contents: &[u8]) -> Result<()> {
        let answer = self.put(name, contents)?;
        match answer.contains("bytes written") {
            true => Ok(()),
            false => Err(format!("put {name}: {answer}").into()),
        }
    }
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|part| part == words)
}

/// The bytes of an upload.
pub fn put(name: &str, contents: &[u8]) -> Vec<u8> {
    let line = format!("put {name} {} {:#010x}\n", contents.len(), crc32(contents));
    [line.as_bytes(), contents].concat()
}
