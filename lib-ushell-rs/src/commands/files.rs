//! Files of the unikernel.

use super::lines::Text;
use crate::{
    backend::Backend,
    command::{Call, Command, Failure, Stream, Then},
    upload::Upload,
    Output,
};
use alloc::vec::IntoIter;
use core::fmt::Write;
use ubpf_rs::platform::{DirEntry, FileError};

pub(super) const COMMANDS: &[Command] = &[
    Command::builtin("ls", "[DIR] [-l]", "list files\n-l shows their sizes.", ls),
    Command::builtin("cat", "FILE", "show a file", cat),
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
    move |error| Failure::File {
        path: path.into(),
        error,
    }
}

fn ls(call: &mut Call<'_>) -> Result<(), Failure> {
    let directory = call.args.get(0).unwrap_or("");
    let entries = call
        .backend
        .list_files(directory)
        .map_err(failure(directory))?;
    let sizes = call.args.option("-l").is_some();
    let entries = entries.into_iter();
    call.stream(Entries { entries, sizes });
    Ok(())
}

/// What is left of a listing.
struct Entries {
    entries: IntoIter<DirEntry>,
    sizes: bool,
}

impl Stream for Entries {
    fn page(&mut self, _: &dyn Backend, out: &mut Output) -> bool {
        let Some(DirEntry { name, size, is_dir }) = self.entries.next() else {
            return false;
        };
        let slash = if is_dir { "/" } else { "" };
        let _ = match self.sizes {
            true => writeln!(out, "{size:>10} {name}{slash}"),
            false => writeln!(out, "{name}{slash}"),
        };
        true
    }
}

fn cat(call: &mut Call<'_>) -> Result<(), Failure> {
    let path = call.args.required(0);
    let bytes = call.backend.read_file(path).map_err(failure(path))?;
    call.stream(Text::of(bytes)?);
    Ok(())
}

fn rm(call: &mut Call<'_>) -> Result<(), Failure> {
    let path = call.args.required(0);
    call.backend.remove_file(path).map_err(failure(path))
}

fn put(call: &mut Call<'_>) -> Result<(), Failure> {
    call.then = Then::Receive(Upload::new(call)?);
    Ok(())
}
