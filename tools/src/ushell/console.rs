//! The application's console beside the conversation: its lines, marked, as they come.

use crate::session::mask_controls;
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::{fs::FileTypeExt, net::UnixStream},
    path::Path,
    thread,
    time::Duration,
};

/// How often a file is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// Opens a console: a socket, or a file that grows, of which only what comes is shown.
pub fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if std::fs::metadata(path)?.file_type().is_socket() {
        return Ok(Box::new(UnixStream::connect(path)?));
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(0))?;
    Ok(Box::new(Growing(file)))
}

/// A file whose end is not the end.
struct Growing(File);

impl Read for Growing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(into) {
                Ok(0) => thread::sleep(PAUSE),
                result => return result,
            }
        }
    }
}

/// Shows each line until the console ends, in a thread of its own.
pub fn follow(console: Box<dyn Read + Send>, mut show: impl FnMut(String) + Send + 'static) {
    thread::spawn(move || {
        let mut lines = WholeLines::default();
        let mut console = console;
        let mut page = [0; 4096];
        while let Ok(count @ 1..) = console.read(&mut page) {
            lines.take(&page[..count], &mut show);
        }
    });
}

/// Finds whole lines.
#[derive(Default)]
struct WholeLines {
    part: Vec<u8>,
}

impl WholeLines {
    fn take(&mut self, bytes: &[u8], show: &mut impl FnMut(String)) {
        for &byte in bytes {
            match byte {
                b'\n' => {
                    let mut line = std::mem::take(&mut self.part);
                    mask_controls(&mut line, &mut 0);
                    show(format!("| {}\n", String::from_utf8_lossy(&line)));
                }
                b'\r' => {}
                byte => self.part.push(byte),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_harmless() {
        let mut lines = WholeLines::default();
        let mut shown = Vec::new();
        for piece in [&b"one\r\ntw"[..], b"o\n", b"\x1b[2J\xc2\x9bx\n\n", b"rest"] {
            lines.take(piece, &mut |line| shown.push(line));
        }
        assert_eq!(shown, ["| one\n", "| two\n", "| ?[2J\u{fffd}?x\n", "| \n"]);
    }
}
