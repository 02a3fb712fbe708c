//! Files: the initrd (a cpio archive, "newc") and what was written since, which stays in memory.

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::ops::Range;

use ubpf_rs::platform::{has_room, DirEntry, FileError, Files, Pace, SMALL_THINGS};

use crate::platform::PLATFORM;

/// All written files together may have so many bytes.
const WRITE_LIMIT: usize = 4 << 20;
const CPIO_HEADER: usize = 110;
/// What an entry of a list takes while the list is made, without its name.
const ENTRY_BYTES: usize = 4 * size_of::<DirEntry>();

static INITRD: spin::Once<&'static [u8]> = spin::Once::new();
static WRITTEN: spin::Mutex<ByName<Option<Vec<u8>>>> = spin::Mutex::new(ByName(Vec::new()));

/// Things by their names, ascending. There are few, and most come in their order.
struct ByName<T>(Vec<(String, T)>);

impl<T> ByName<T> {
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }

    fn get(&self, name: &str) -> Option<&T> {
        self.0.get(self.place(name).ok()?).map(|(_, thing)| thing)
    }

    fn insert(&mut self, name: &str, thing: T) -> Result<(), FileError> {
        match self.place(name) {
            Ok(at) => self.0[at].1 = thing,
            Err(at) => {
                self.0.try_reserve(1).map_err(|_| FileError::NoMemory)?;
                self.0.insert(at, (name.to_owned(), thing));
            }
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) {
        if let Ok(at) = self.place(name) {
            self.0.remove(at);
        }
    }
}

/// Takes the initrd into use. Returns a complaint when it is not a whole archive.
pub fn init(initrd: Option<Range<usize>>) -> Option<&'static str> {
    let Some(range) = initrd else {
        return Some("no initrd: no files");
    };
    // SAFETY: the boot loader put the archive there; the heap ends below it and nobody writes to it.
    let bytes = unsafe { core::slice::from_raw_parts(range.start as *const u8, range.len()) };
    INITRD.call_once(|| bytes);
    let mut entries = Archive { rest: bytes, complete: false };
    while entries.next().is_some() {}
    (!entries.complete).then_some("the initrd is not a whole cpio archive; files after the damage are missing")
}

/// Goes through a cpio archive; ends at the trailer or at the first damage.
struct Archive<'a> {
    rest: &'a [u8],
    complete: bool,
}

struct Entry<'a> {
    name: &'a str,
    is_dir: bool,
    contents: &'a [u8],
}

impl<'a> Iterator for Archive<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let header = self.rest.get(..CPIO_HEADER)?;
        if !header.starts_with(b"070701") {
            return None;
        }
        let field = |number: usize| {
            let digits = header.get(6 + 8 * number..14 + 8 * number)?;
            usize::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
        };
        let (mode, size, name_size) = (field(1)?, field(6)?, field(11)?);
        let name_end = CPIO_HEADER.checked_add(name_size)?;
        let begin = name_end.checked_next_multiple_of(4)?;
        let end = begin.checked_add(size)?;
        let name = core::str::from_utf8(self.rest.get(CPIO_HEADER..name_end.checked_sub(1)?)?).ok()?;
        if name == "TRAILER!!!" {
            self.complete = true;
            return None;
        }
        let contents = self.rest.get(begin..end)?;
        self.rest = self.rest.get(end.checked_next_multiple_of(4)?..).unwrap_or(&[]);
        Some(Entry { name: plain(name), is_dir: mode & 0o170_000 == 0o040_000, contents })
    }
}

fn archive() -> Archive<'static> {
    Archive { rest: INITRD.get().copied().unwrap_or(&[]), complete: false }
}

/// A path without what says nothing: leading and trailing slashes and ".".
fn plain(path: &str) -> &str {
    let mut path = path.trim_matches('/');
    while let Some(rest) = path.strip_prefix("./") {
        path = rest.trim_start_matches('/');
    }
    if path == "." {
        ""
    } else {
        path
    }
}

/// The image's files.
pub struct MemoryFiles;

fn room_for(bytes: usize) -> Result<(), FileError> {
    has_room(bytes + SMALL_THINGS).then_some(()).ok_or(FileError::NoMemory)
}

/// What was written, by the name, with its length, or `None` where it was removed.
fn sizes_written() -> Result<ByName<Option<usize>>, FileError> {
    let written = WRITTEN.lock();
    let bytes = written.0.iter().fold(0, |bytes, (name, _)| bytes + name.len() + ENTRY_BYTES);
    room_for(bytes)?;
    Ok(ByName(written.0.iter().map(|(name, contents)| (name.clone(), contents.as_ref().map(Vec::len))).collect()))
}

impl Files for MemoryFiles {
    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, FileError> {
        let path = plain(path);
        let written = WRITTEN.lock();
        let contents: &[u8] = match written.get(path) {
            Some(contents) => contents.as_deref().ok_or(FileError::NotFound)?,
            None => {
                let entry = archive().find(|entry| !entry.is_dir && entry.name == path);
                entry.ok_or(FileError::NotFound)?.contents
            }
        };
        copy(contents, limit)
    }

    fn list(&self, path: &str) -> Result<Vec<DirEntry>, FileError> {
        let folder = plain(path);
        // Other threads may run between two entries, and write files: what is listed is what was there at first.
        let written = sizes_written()?;
        let mut pace = Pace::new(&PLATFORM);
        let names = archive().map(|entry| entry.name).chain(written.0.iter().map(|(name, _)| name.as_str()));
        let listed = names.filter(|name| inside(name, folder).is_some());
        let bytes = listed.fold(0, |bytes, name| {
            pace.go_on();
            bytes + name.len() + ENTRY_BYTES
        });
        room_for(bytes)?;
        let mut found = ByName(Vec::new());
        let mut exists = folder.is_empty();
        let mut add = |path: &str, size: usize, is_dir: bool| {
            pace.go_on();
            let Some(rest) = inside(path, folder) else {
                return Ok(());
            };
            exists = true;
            match rest.split_once('/') {
                _ if rest.is_empty() => Ok(()),
                Some((name, _)) => found.insert(name, (0, true)),
                None => found.insert(rest, (size as u64, is_dir)),
            }
        };
        for entry in archive().filter(|entry| written.get(entry.name).is_none()) {
            add(entry.name, if entry.is_dir { 0 } else { entry.contents.len() }, entry.is_dir)?;
        }
        for (name, size) in &written.0 {
            if let Some(size) = size {
                add(name, *size, false)?;
            }
        }
        let entries = found.0.into_iter().map(|(name, (size, is_dir))| {
            pace.go_on();
            DirEntry { name, size, is_dir }
        });
        exists.then(|| entries.collect()).ok_or(FileError::NotFound)
    }

    fn write(&self, path: &str, contents: &[u8]) -> Result<(), FileError> {
        let mut written = WRITTEN.lock();
        let path = plain(path);
        let others = written.0.iter().filter(|(name, _)| *name != path);
        let used: usize = others.filter_map(|(_, contents)| Some(contents.as_ref()?.len())).sum();
        let limit = WRITE_LIMIT.saturating_sub(used);
        let contents = copy(contents, limit)?;
        if !has_room(SMALL_THINGS) {
            return Err(FileError::NoMemory);
        }
        written.insert(path, Some(contents))
    }

    fn remove(&self, path: &str) -> Result<(), FileError> {
        let mut written = WRITTEN.lock();
        let path = plain(path);
        let in_archive = archive().any(|entry| !entry.is_dir && entry.name == path);
        let was = written.get(path).map(Option::is_some);
        match (was, in_archive) {
            (Some(false), _) | (None, false) => return Err(FileError::NotFound),
            (_, true) => written.insert(path, None)?,
            (_, false) => written.remove(path),
        }
        Ok(())
    }
}

/// What follows `folder` in `path`.
fn inside<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    if folder.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix('/')
    }
}

fn copy(contents: &[u8], limit: usize) -> Result<Vec<u8>, FileError> {
    if contents.len() > limit {
        return Err(FileError::TooLarge { limit });
    }
    let mut copy = Vec::new();
    copy.try_reserve_exact(contents.len()).map_err(|_| FileError::NoMemory)?;
    copy.extend_from_slice(contents);
    Ok(copy)
}
