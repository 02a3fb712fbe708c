//! The target's console as a growing list of lines.

use super::{BODY, PATIENCE};
use crate::Result;
use std::{
    fs::File,
    io::Read,
    os::unix::{fs::FileTypeExt, net::UnixStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// The console; a thread of its own reads it until the process ends.
pub struct Console {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Console {
    /// Opens a file that grows, or a socket.
    pub fn open(path: &Path) -> Result<Console> {
        let is_socket = std::fs::metadata(path)?.file_type().is_socket();
        let source: Box<dyn Read + Send> =
            if is_socket { Box::new(UnixStream::connect(path)?) } else { Box::new(File::open(path)?) };
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        thread::spawn(move || follow(source, &sink));
        Ok(Console { lines })
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().map_or_else(|_| Vec::new(), |lines| lines.clone())
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.lock().map_or(0, |lines| lines.len())
    }

    /// How many lines of the application stand in `from..to`.
    pub fn bodies(&self, from: usize, to: usize) -> u64 {
        let lines = self.lines();
        let part = lines.get(from..to).unwrap_or(&[]);
        part.iter().filter(|line| *line == BODY).count() as u64
    }

    /// Waits until `count` lines of the application stand behind line `from`.
    pub fn wait_bodies(&self, from: usize, count: u64) -> Result<()> {
        let what = format!("{count} lines `{BODY}`");
        self.wait(&what, |lines| {
            let later = lines.get(from..).unwrap_or(&[]);
            let bodies = later.iter().filter(|line| *line == BODY).count() as u64;
            (bodies >= count).then_some(())
        })
    }

    /// Waits for a line behind line `from` that begins with `start`; gives it.
    pub fn wait_for(&self, from: usize, start: &str) -> Result<String> {
        self.wait(&format!("a line `{start}…`"), |lines| {
            let mut later = lines.get(from..).unwrap_or(&[]).iter();
            later.find(|line| line.starts_with(start)).cloned()
        })
    }

    fn wait<T>(&self, what: &str, found: impl Fn(&[String]) -> Option<T>) -> Result<T> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(value) = found(&self.lines()) {
                return Ok(value);
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err(format!("the console did not show {what} within {PATIENCE:?}").into())
    }
}

fn follow(mut source: Box<dyn Read + Send>, lines: &Mutex<Vec<String>>) {
    let (mut buffer, mut part) = ([0; 4096], Vec::new());
    loop {
        match source.read(&mut buffer) {
            // The end of a file that grows is not its end.
            Ok(0) => thread::sleep(Duration::from_millis(1)),
            Ok(count) => take(buffer.get(..count).unwrap_or(&[]), &mut part, lines),
            Err(_) => return,
        }
    }
}

fn take(bytes: &[u8], part: &mut Vec<u8>, lines: &Mutex<Vec<String>>) {
    for &byte in bytes {
        match byte {
            b'\n' => {
                let line = String::from_utf8_lossy(part).into_owned();
                part.clear();
                if let Ok(mut lines) = lines.lock() {
                    lines.push(line);
                }
            }
            b'\r' => {}
            byte => part.push(byte),
        }
    }
}
