//! A file on its way in: the raw bytes after a `put` line.

use crate::{
    backend::Backend,
    command::{Call, Failure},
    crc32::Crc32,
    Output,
};
use alloc::{format, string::String, vec::Vec};
use core::fmt::Write;
use ubpf_rs::platform::{has_room, SMALL_THINGS_THAT_STAY};

/// Sizes beyond this are taken for a typing error, and nothing is awaited.
const ABSURD: u64 = u32::MAX as u64;

/// Bytes awaited, and what becomes of them.
pub(crate) struct Upload {
    name: String,
    left: u64,
    received: u64,
    crc: u32,
    /// That of what has arrived.
    sum: Crc32,
    /// What has arrived; or why the bytes are thrown away.
    contents: Result<Vec<u8>, Failure>,
}

impl Upload {
    /// Reads the arguments NAME SIZE CRC32. A file that cannot be taken is still awaited, so that its bytes are not
    /// taken for commands.
    pub(crate) fn new(call: &Call<'_>) -> Result<Self, Failure> {
        let name = String::from(call.args.required(0));
        let left = call.number(1, "SIZE")?;
        let crc = call.number(2, "CRC32")?;
        if left > ABSURD {
            return Err(Failure::message(format!("SIZE: at most {} bytes", call.config.file_limit)));
        }
        let crc = u32::try_from(crc).map_err(|_| Failure::message("CRC32: does not fit into 32 bits"));
        let (crc, contents) = match crc {
            Ok(crc) => {
                let room = || reserve(left, call.config.file_limit);
                (crc, check_name(&name).and_then(|()| room()))
            }
            Err(failure) => (0, Err(failure)),
        };
        Ok(Self { name, left, received: 0, crc, sum: Crc32::new(), contents })
    }

    /// A file of this size. Nothing is awaited if it cannot be taken.
    pub(crate) fn begin(name: String, size: u32, crc: u32, limit: usize) -> Result<Self, Failure> {
        check_name(&name)?;
        let left = u64::from(size);
        let contents = Ok(reserve(left, limit)?);
        Ok(Self { name, left, received: 0, crc, sum: Crc32::new(), contents })
    }

    /// How many bytes have come.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Takes what belongs to the file; returns how many bytes that is.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> usize {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        let count = wanted.min(bytes.len());
        if let Ok(contents) = &mut self.contents {
            let bytes = bytes.get(..count).unwrap_or(&[]);
            contents.extend_from_slice(bytes);
            self.sum.add(bytes);
        }
        self.left = self.left.saturating_sub(count as u64);
        self.received = self.received.saturating_add(count as u64);
        count
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// Checks and stores the file.
    pub(crate) fn finish(self, backend: &dyn Backend, out: &mut Output) -> Result<(), Failure> {
        let contents = self.contents?;
        let crc = self.sum.value();
        if crc != self.crc {
            return Err(Failure::message(format!(
                "{}: CRC32 is {crc:#010x}, expected {:#010x}; nothing was written",
                self.name, self.crc
            )));
        }
        let written = backend.write_file(&self.name, &contents);
        written.map_err(|error| Failure::File { path: self.name.clone(), error })?;
        let _ = writeln!(out, "{}: {} bytes written.", self.name, contents.len());
        Ok(())
    }
}

/// Longest name of a file that is taken, in bytes.
const NAME_BYTES: usize = 255;

fn check_name(name: &str) -> Result<(), Failure> {
    match name {
        "" => Err(Failure::message("NAME is empty; nothing was written")),
        name if name.len() > NAME_BYTES => {
            Err(Failure::message(format!("NAME has {} bytes (limit {NAME_BYTES}); nothing was written", name.len())))
        }
        name if name.chars().any(char::is_control) => {
            Err(Failure::message("NAME has control characters; nothing was written"))
        }
        _ => Ok(()),
    }
}

fn reserve(size: u64, limit: usize) -> Result<Vec<u8>, Failure> {
    let size = usize::try_from(size).ok().filter(|&size| size <= limit);
    let too_large = || format!("file too large (limit {limit} bytes); nothing was written");
    let size = size.ok_or_else(|| Failure::message(too_large()))?;
    let mut contents = Vec::new();
    let reserved = contents.try_reserve_exact(size).is_ok();
    // Commands that give memory back, `rm` among them, go on when files have taken the rest.
    if reserved && has_room(SMALL_THINGS_THAT_STAY) {
        return Ok(contents);
    }
    drop(contents);
    Err(Failure::message("out of memory; nothing was written"))
}
