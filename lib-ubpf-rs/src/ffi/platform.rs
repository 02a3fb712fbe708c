//! The engine's platform traits over the table of functions that a C application gives.

use super::{
    args::{self, Versioned},
    bindings::{ubpf_exec_block, ubpf_platform},
    codes::{invalid, Result},
};
use crate::{
    platform::{
        Clock, Console, Cpu, DirEntry, ExecBlock, ExecMemory, FaultSafeRead, FileError, Files, GiveWay, PatchError,
        Platform, Preemptive, TextPatch, PATIENCE_NS,
    },
    runtime::Error,
};
use alloc::{boxed::Box, string::String, vec::Vec};
use core::ffi::{c_char, c_int, c_void, CStr};

const ENOENT: c_int = 2;
const ENOMEM: c_int = 12;
const EROFS: c_int = 30;
const EILSEQ: c_int = 84;

args::sized_structs!(ubpf_platform);

/// The application's table, with what must be there taken out of its options.
struct PlatformTable {
    table: ubpf_platform,
    now_ns: unsafe extern "C" fn(*mut c_void) -> u64,
    probe_read: unsafe extern "C" fn(*mut c_void, u64, *mut c_void, usize) -> usize,
    console_write: unsafe extern "C" fn(*mut c_void, *const c_char, usize),
}

// SAFETY: the application promises with the table that its functions may be called with its context from any thread.
unsafe impl Send for PlatformTable {}
// SAFETY: as above; the table itself never changes.
unsafe impl Sync for PlatformTable {}

/// The platform of a C application. What it refers to is never freed.
///
/// # Safety
/// `table` is NULL or points to a table whose name is NULL or a NUL-terminated string, and whose functions keep to
/// `platform.h` for as long as the image runs.
pub(super) unsafe fn platform(table: *const ubpf_platform) -> Result<Platform> {
    // SAFETY: as the caller promises.
    let table = &unsafe { args::sized(table) }?.ok_or(invalid("platform is NULL"))?;
    // SAFETY: as the caller promises.
    let name = unsafe { args::optional_text(table.name, "the platform's name is not UTF-8") }?;
    let (Some(now_ns), Some(probe_read), Some(console_write)) = (table.now_ns, table.probe_read, table.console_write)
    else {
        return Err(invalid("the platform needs now_ns, probe_read and console_write"));
    };
    let exec = [
        table.exec_alloc.is_some(),
        table.exec_seal.is_some(),
        table.exec_free.is_some(),
        table.exec_enforced.is_some(),
    ];
    if exec.contains(&true) && exec.contains(&false) {
        return Err(invalid("the platform needs all four functions of memory for code, or none"));
    }
    let name = leaked_text(name.unwrap_or("C application"))?;
    let leaked = leaked(PlatformTable { table: *table, now_ns, probe_read, console_write });
    let Ok(table) = leaked else {
        // SAFETY: leaked above from memory of this layout; nobody has it.
        drop(unsafe { Box::from_raw(core::ptr::from_ref(name).cast_mut()) });
        return Err(Error::NoMemory.into());
    };
    Ok(Platform {
        name,
        clock: table,
        probe_read: table,
        console: table,
        text: table.table.text_replace.map(|_| table as &dyn TextPatch),
        exec: table.table.exec_alloc.map(|_| table as &dyn ExecMemory),
        files: table,
        cpu: table,
        give_way: table,
        timer: None,
    })
}

fn leaked_text(text: &str) -> Result<&'static str> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len()).map_err(|_| Error::NoMemory)?;
    copy.push_str(text);
    Ok(Box::leak(copy.into_boxed_str()))
}

/// Frees what [`platform`] has made, when nobody took it.
///
/// # Safety
/// The value came from [`platform`], and nobody has it any more.
pub(super) unsafe fn give_back(platform: Platform) {
    let table = core::ptr::from_ref(platform.clock).cast::<PlatformTable>().cast_mut();
    let name = core::ptr::from_ref(platform.name).cast_mut();
    // SAFETY: both were leaked by `platform` from memory of exactly these layouts.
    unsafe {
        drop(Box::from_raw(table));
        drop(Box::from_raw(name));
    }
}

fn leaked(table: PlatformTable) -> Result<&'static PlatformTable> {
    let mut one = Vec::new();
    one.try_reserve_exact(1).map_err(|_| Error::NoMemory)?;
    one.push(table);
    let one: &'static [PlatformTable] = Box::leak(one.into_boxed_slice());
    one.first().ok_or(Error::NoMemory.into())
}

impl Clock for PlatformTable {
    fn now_ns(&self) -> u64 {
        // SAFETY: the application's function with its context.
        unsafe { (self.now_ns)(self.table.context) }
    }
}

// SAFETY: a fault ends the read, and nothing but the destination is written.
unsafe impl FaultSafeRead for PlatformTable {
    fn read(&self, addr: u64, dst: &mut [u8]) -> usize {
        let (into, len) = (dst.as_mut_ptr().cast(), dst.len());
        // SAFETY: the application's function with its context; `into` is writable for `len` bytes.
        let count = unsafe { (self.probe_read)(self.table.context, addr, into, len) };
        count.min(len)
    }

    fn may_fault(&self, stack: u64) -> bool {
        let context = self.table.context;
        // SAFETY: the application's function with its context.
        self.table.may_fault.is_none_or(|ask| unsafe { ask(context, stack) } != 0)
    }
}

impl Console for PlatformTable {
    fn write(&self, bytes: &[u8]) {
        // SAFETY: the application's function with its context; the bytes are readable.
        unsafe { (self.console_write)(self.table.context, bytes.as_ptr().cast(), bytes.len()) }
    }
}

impl Cpu for PlatformTable {
    fn id(&self) -> u32 {
        // SAFETY: the application's function with its context.
        self.table.cpu.map_or(0, |cpu| unsafe { cpu(self.table.context) })
    }

    fn in_interrupt(&self) -> bool {
        let context = self.table.context;
        // SAFETY: the application's function with its context.
        self.table.in_interrupt.is_some_and(|ask| unsafe { ask(context) } != 0)
    }
}

impl GiveWay for PlatformTable {
    fn give_way(&self) {
        match self.table.give_way {
            // SAFETY: the application's function with its context.
            Some(give_way) => unsafe { give_way(self.table.context) },
            None => Preemptive.give_way(),
        }
    }

    fn patience_ns(&self) -> u64 {
        match self.table.give_way {
            Some(_) => PATIENCE_NS,
            None => Preemptive.patience_ns(),
        }
    }

    fn is_cancelled(&self) -> bool {
        let context = self.table.context;
        // SAFETY: the application's function with its context.
        self.table.cancelled.is_some_and(|ask| unsafe { ask(context) } != 0)
    }
}

// SAFETY: no byte is changed but those named, where the old ones stand, and each change is one step for whoever executes it.
unsafe impl TextPatch for PlatformTable {
    unsafe fn replace(&self, addr: usize, old: &[u8], new: &[u8]) -> core::result::Result<(), PatchError> {
        let Some(replace) = self.table.text_replace.filter(|_| old.len() == new.len()) else {
            return Err(PatchError::Mismatch { addr });
        };
        let (old, new, len) = (old.as_ptr().cast(), new.as_ptr().cast(), new.len());
        // SAFETY: the application's function with its context; both are readable for `len` bytes.
        match unsafe { replace(self.table.context, addr, old, new, len) } {
            0 => Ok(()),
            EILSEQ => Err(PatchError::Mismatch { addr }),
            code => Err(PatchError::NotWritable { addr, code }),
        }
    }
}

fn c_block(block: ExecBlock) -> ubpf_exec_block {
    ubpf_exec_block { write: block.write, exec: block.exec, length: block.len }
}

// SAFETY: a block is one mapping of its own, or one part of one, writable until it is sealed and executable afterwards.
unsafe impl ExecMemory for PlatformTable {
    fn alloc(&self, len: usize) -> Option<ExecBlock> {
        let mut block = ubpf_exec_block { write: 0, exec: 0, length: 0 };
        let alloc = self.table.exec_alloc?;
        // SAFETY: the application's function with its context and a live block.
        let code = unsafe { alloc(self.table.context, len, &mut block) };
        // A block that cannot be written to, or run, is none.
        let good = code == 0 && block.length >= len && block.write != 0 && block.exec != 0;
        good.then_some(ExecBlock { write: block.write, exec: block.exec, len: block.length })
    }

    fn seal(&self, block: ExecBlock) -> bool {
        let Some(seal) = self.table.exec_seal else {
            return false;
        };
        // SAFETY: the application's function with its context and a live block.
        unsafe { seal(self.table.context, &c_block(block)) == 0 }
    }

    unsafe fn free(&self, block: ExecBlock) {
        if let Some(free) = self.table.exec_free {
            // SAFETY: the application's function with its context and a live block.
            unsafe { free(self.table.context, &c_block(block)) }
        }
    }

    fn enforces_wx(&self) -> bool {
        let context = self.table.context;
        // SAFETY: the application's function with its context.
        self.table.exec_enforced.is_some_and(|ask| unsafe { ask(context) } != 0)
    }
}

type FileAnswer<T> = core::result::Result<T, FileError>;

fn file_error(code: c_int) -> FileError {
    match code {
        ENOENT => FileError::NotFound,
        ENOMEM => FileError::NoMemory,
        EROFS => FileError::ReadOnly,
        code => FileError::Io(code),
    }
}

fn done(code: c_int) -> FileAnswer<()> {
    match code {
        0 => Ok(()),
        code => Err(file_error(code)),
    }
}

/// A size, or the error in a negative number.
fn size(count: i64) -> FileAnswer<usize> {
    usize::try_from(count).map_err(|_| {
        let code = count.checked_neg().and_then(|code| c_int::try_from(code).ok());
        file_error(code.unwrap_or(c_int::MAX))
    })
}

/// A path with its NUL. One that contains a NUL names no file.
fn c_path(path: &str) -> FileAnswer<Vec<u8>> {
    let len = path.len().saturating_add(1);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| FileError::NoMemory)?;
    bytes.extend_from_slice(path.as_bytes());
    bytes.push(0);
    match CStr::from_bytes_with_nul(&bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => Err(FileError::NotFound),
    }
}

impl Files for PlatformTable {
    fn read(&self, path: &str, limit: usize) -> FileAnswer<Vec<u8>> {
        let (Some(size_of), Some(read)) = (self.table.file_size, self.table.file_read) else {
            return Err(FileError::Unsupported);
        };
        let path = c_path(path)?;
        // SAFETY: the application's function with its context and a string.
        let len = size(unsafe { size_of(self.table.context, path.as_ptr().cast()) })?;
        if len > limit {
            return Err(FileError::TooLarge { limit });
        }
        let mut contents: Vec<u8> = Vec::new();
        contents.try_reserve_exact(len).map_err(|_| FileError::NoMemory)?;
        contents.resize(len, 0);
        let into = contents.as_mut_ptr().cast();
        // SAFETY: as above; `into` is writable for `len` bytes.
        let count = size(unsafe { read(self.table.context, path.as_ptr().cast(), into, len) })?;
        contents.truncate(count);
        Ok(contents)
    }

    fn list(&self, path: &str) -> FileAnswer<Vec<DirEntry>> {
        let Some(list) = self.table.directory_list else {
            return Err(FileError::Unsupported);
        };
        let path = c_path(path)?;
        let mut found = ListedFiles { entries: Vec::new(), error: None };
        let cookie = core::ptr::from_mut(&mut found).cast();
        // SAFETY: the application's function with its context and a string; it calls `take_entry` with our cookie during the
        // call only.
        done(unsafe { list(self.table.context, path.as_ptr().cast(), Some(take_entry), cookie) })?;
        match found.error {
            Some(error) => Err(error),
            None => {
                crate::platform::sort_by(&mut found.entries, |a, b| a.name < b.name);
                Ok(found.entries)
            }
        }
    }

    fn write(&self, path: &str, contents: &[u8]) -> FileAnswer<()> {
        let write = self.table.file_write.ok_or(FileError::Unsupported)?;
        let path = c_path(path)?;
        let (from, len) = (contents.as_ptr().cast(), contents.len());
        // SAFETY: the application's function with its context, a string, and readable bytes.
        done(unsafe { write(self.table.context, path.as_ptr().cast(), from, len) })
    }

    fn remove(&self, path: &str) -> FileAnswer<()> {
        let remove = self.table.file_remove.ok_or(FileError::Unsupported)?;
        let path = c_path(path)?;
        // SAFETY: the application's function with its context and a string.
        done(unsafe { remove(self.table.context, path.as_ptr().cast()) })
    }
}

/// What a listing has given so far.
struct ListedFiles {
    entries: Vec<DirEntry>,
    error: Option<FileError>,
}

/// Takes one entry; a name that is not UTF-8 is left out, since it cannot be typed.
unsafe extern "C" fn take_entry(
    cookie: *mut c_void,
    name: *const c_char,
    length: usize,
    size: u64,
    is_directory: c_int,
) {
    // SAFETY: the cookie that `list` gave, during its call.
    let found = unsafe { &mut *cookie.cast::<ListedFiles>() };
    // SAFETY: the application says that the name has this length.
    let Ok(bytes) = (unsafe { args::bytes(name.cast(), length) }) else {
        return;
    };
    let Ok(text) = core::str::from_utf8(bytes) else {
        return;
    };
    let mut name = String::new();
    let room = name.try_reserve_exact(text.len()).is_ok() && found.entries.try_reserve(1).is_ok();
    if !room {
        found.error = Some(FileError::NoMemory);
        return;
    }
    name.push_str(text);
    found.entries.push(DirEntry { name, size, is_dir: is_directory != 0 });
}
