//! Files of the unikernel.

use super::{lines::Text, memory::dump_row};
use crate::{
    backend::Backend,
    command::{Call, Command, Failure, Stream, Then},
    output::Printable,
    upload::Upload,
    Output,
};
use alloc::vec::{IntoIter, Vec};
use core::fmt::Write;
use ubpf_rs::platform::{DirEntry, FileError};

pub(super) const COMMANDS: &[Command] = &[
    Command::builtin("ls", "[DIR] [-l]", "list files\n-l shows their sizes.", ls),
    Command::builtin(
        "cat",
        "FILE [--raw]",
        "show a file\nBytes that are no text are shown as a dump in hexadecimal, unless --raw is given.",
        cat,
    ),
    Command::builtin("rm", "FILE", "remove a file", rm),
    Command::builtin(
        "put",
        "NAME SIZE CRC32",
        "take a file from this connection\n\
         Exactly SIZE raw bytes follow the line. The file is written when all of them have come and their\n\
         CRC-32 (that of zlib) is right; otherwise a file of this name stays as it was.",
        put,
    ),
];

fn failure(path: &str) -> impl FnOnce(FileError) -> Failure + '_ {
    let path = if path.is_empty() { "." } else { path };
    move |error| Failure::File { path: path.into(), error }
}

fn ls(call: &mut Call<'_>) -> Result<(), Failure> {
    let directory = call.args.get(0).unwrap_or("");
    let entries = call.backend.list_files(directory).map_err(failure(directory))?;
    let sizes = call.args.option("-l").is_some();
    let entries = entries.into_iter();
    call.stream(DirectoryEntries { entries, sizes });
    Ok(())
}

/// What is left of a listing.
struct DirectoryEntries {
    entries: IntoIter<DirEntry>,
    sizes: bool,
}

impl Stream for DirectoryEntries {
    fn page(&mut self, _: &dyn Backend, out: &mut Output) -> bool {
        let Some(DirEntry { name, size, is_dir }) = self.entries.next() else {
            return false;
        };
        let slash = if is_dir { "/" } else { "" };
        let _ = match self.sizes {
            true => writeln!(out, "{size:>10} {}{slash}", Printable(&name)),
            false => writeln!(out, "{}{slash}", Printable(&name)),
        };
        true
    }
}

fn cat(call: &mut Call<'_>) -> Result<(), Failure> {
    let path = call.args.required(0);
    let bytes = call.backend.read_file(path).map_err(failure(path))?;
    if call.args.option("--raw").is_some() || is_text(&bytes) {
        call.stream(Text::of(bytes)?);
    } else {
        call.stream(FileDump { bytes, shown: 0 });
    }
    Ok(())
}

/// Whether a person can read it, by its beginning.
fn is_text(bytes: &[u8]) -> bool {
    let begin = bytes.get(..512).unwrap_or(bytes);
    let text = match core::str::from_utf8(begin) {
        // A character that the end cuts.
        Err(error) if error.error_len().is_none() => begin.get(..error.valid_up_to()),
        Err(_) => None,
        Ok(_) => Some(begin),
    };
    let odd = |byte: &u8| byte.is_ascii_control() && !b"\n\r\t\x1b".contains(byte);
    text.is_some_and(|text| !text.iter().any(odd))
}

/// Bytes of a file in hexadecimal, from place `shown` on.
struct FileDump {
    bytes: Vec<u8>,
    shown: usize,
}

impl Stream for FileDump {
    fn page(&mut self, _: &dyn Backend, out: &mut Output) -> bool {
        let rest = self.bytes.get(self.shown..).unwrap_or(&[]);
        let Some(line) = rest.chunks(16).next() else {
            return false;
        };
        dump_row(self.shown as u64, line, out);
        self.shown = self.shown.saturating_add(line.len());
        self.shown < self.bytes.len()
    }
}

fn rm(call: &mut Call<'_>) -> Result<(), Failure> {
    let path = call.args.required(0);
    call.backend.remove_file(path).map_err(failure(path))
}

fn put(call: &mut Call<'_>) -> Result<(), Failure> {
    call.then = Then::Receive(Upload::new(call)?);
    Ok(())
}
