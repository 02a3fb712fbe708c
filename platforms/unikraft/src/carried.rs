//! Files that the image carries: the build puts them into the image (`LIBUBPF_RS_CARRIED`), so that they are there without a
//! file system. A file of the same name in the file system comes first.

use crate::glue;

/// The table that the build writes (`Makefile.rules`, `ubpf_carried`): how many entries, then the entries. Offsets count from
/// its first byte, so that it needs no relocation.
#[repr(C)]
struct Table {
    count: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    name: u32,
    name_len: u32,
    data: u32,
    data_len: u32,
}

/// A file that the image carries.
#[derive(Clone, Copy)]
pub struct Carried {
    /// Its name, without a directory.
    pub name: &'static str,
    /// Its contents.
    pub contents: &'static [u8],
}

/// All of them, in the order of the build.
pub fn files() -> impl Iterator<Item = Carried> {
    // SAFETY: no preconditions.
    let table = unsafe { glue::ukglue_carried() }.cast::<u8>();
    let count = match table.is_null() {
        true => 0,
        // SAFETY: a table that is there begins with its head.
        false => unsafe { (*table.cast::<Table>()).count },
    };
    (0..count as usize).filter_map(move |index| {
        // SAFETY: the build wrote `count` entries behind the head, and what they name lies in the same section, which is
        // constant and stays for ever.
        let (name, contents) = unsafe {
            let entry = *table.add(size_of::<Table>()).cast::<Entry>().add(index);
            let bytes = |at: u32, len: u32| core::slice::from_raw_parts(table.add(at as usize), len as usize);
            (bytes(entry.name, entry.name_len), bytes(entry.data, entry.data_len))
        };
        Some(Carried { name: core::str::from_utf8(name).ok()?, contents })
    })
}

/// The one of this name. A leading directory is taken off where it is the one that relative names start at.
pub fn find(path: &str) -> Option<Carried> {
    let name = in_directory(path)?;
    files().find(|file| file.name == name)
}

/// Whether `path` is the directory that relative names start at.
pub fn is_directory(path: &str) -> bool {
    let directory = directory();
    path.is_empty() || path == "." || path.trim_end_matches('/') == directory.trim_end_matches('/')
}

fn directory() -> &'static str {
    // SAFETY: the configuration's strings are static.
    unsafe { glue::static_str(glue::config().directory) }
}

fn in_directory(path: &str) -> Option<&str> {
    if !path.starts_with('/') {
        return Some(path);
    }
    let below = path.strip_prefix(directory().trim_end_matches('/'))?;
    below.strip_prefix('/')
}
