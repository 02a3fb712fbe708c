//! The engine's platform traits over the glue.

use crate::{
    carried,
    glue::{self, Range},
};
use alloc::{ffi::CString, string::String, vec::Vec};
use core::{
    ffi::{c_char, c_int, c_void},
    sync::atomic::{AtomicU64, Ordering},
};
use ubpf_rs::platform::{
    has_room, sort_by_in_pieces, Clock, Console, Counting, Cpu, DirEntry, ExecBlock, ExecMemory, FaultSafeRead,
    FileError, Files, GiveWay, OwnMark, Pace, PatchError, Platform, TextPatch, Thread, ThreadWord, Ticking, Ticks,
    Timer, Walk, SMALL_THINGS,
};

const ENOENT: i32 = 2;
const ENOMEM: i32 = 12;
const EBUSY: i32 = 16;
const EILSEQ: i32 = 84;
const ENOSYS: i32 = 38;
const EFBIG: i32 = 27;

/// Unikraft as the engine sees it.
#[derive(Debug)]
pub struct Unikraft;

/// Everything below the engine, as this image is configured. To be called once, before anybody asks for the time.
pub fn platform() -> Platform {
    measure();
    // SAFETY: the glue returns a static string.
    let name = unsafe { glue::static_str(glue::ukglue_version()) };
    Platform {
        name,
        clock: &Unikraft,
        probe_read: &Unikraft,
        console: &Unikraft,
        text: Some(&Unikraft),
        exec: cfg!(feature = "jit").then_some(&Unikraft as &dyn ExecMemory),
        files: &Unikraft,
        cpu: &Unikraft,
        give_way: &Unikraft,
        timer: Some(&Unikraft),
    }
}

/// How the counter becomes time; a scale of 0 where there is none.
static TICKS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// One nanosecond for each count.
const COUNTS: Ticks = Ticks { start: 0, scale: 1 << 32 };

/// Measures the CPU's counter against Unikraft's clock, which is made from it: an instant is enough for that. Without a counter
/// Unikraft is asked each time. Its clock stands still where the counter does not exceed 1 GHz (its 32-bit scale overflows):
/// so under QEMU's `-icount shift=0`.
fn measure() {
    const INSTANT_NS: u64 = 200_000;
    // SAFETY: no preconditions.
    let both = || unsafe { (glue::ukglue_counter(), glue::ukglue_now()) };
    if both().0 == 0 {
        return;
    }
    let ticks = Ticks::measured(both, INSTANT_NS).unwrap_or_else(|| {
        crate::say(format_args!("ubpf: Unikraft's clock stands still; times are counts of the CPU"));
        COUNTS
    });
    TICKS[0].store(ticks.start, Ordering::Relaxed);
    TICKS[1].store(ticks.scale, Ordering::Relaxed);
}

impl Clock for Unikraft {
    fn now_ns(&self) -> u64 {
        // SAFETY: no preconditions.
        unsafe {
            match self.ticks() {
                Some(ticks) => ticks.ns(glue::ukglue_counter()),
                None => glue::ukglue_now(),
            }
        }
    }

    fn ticks(&self) -> Option<Ticks> {
        let [start, scale] = &TICKS;
        let (start, scale) = (start.load(Ordering::Relaxed), scale.load(Ordering::Relaxed));
        (scale != 0).then_some(Ticks { start, scale })
    }
}

// SAFETY: a fault ends the read, and nothing but the destination is written.
unsafe impl FaultSafeRead for Unikraft {
    fn read(&self, addr: u64, dst: &mut [u8]) -> usize {
        // SAFETY: dst is writable for its length; the source may be anything.
        let count = unsafe { glue::ukglue_read(addr, dst.as_mut_ptr().cast(), dst.len()) };
        count.min(dst.len())
    }

    fn walk(&self, walk: &Walk, out: &mut [u64]) -> usize {
        walk.go(out, |at| {
            let mut pair = [0; 2];
            // SAFETY: `pair` is writable; the source may be anything.
            (unsafe { glue::ukglue_read_pair(at, pair.as_mut_ptr()) } != 0).then_some(pair)
        })
    }

    fn may_fault(&self, stack: u64) -> bool {
        // SAFETY: compares numbers.
        unsafe { glue::ukglue_may_fault(stack) != 0 }
    }
}

impl Console for Unikraft {
    fn write(&self, bytes: &[u8]) {
        print(bytes);
    }
}

/// Writes to the kernel's console.
pub fn print(bytes: &[u8]) {
    // SAFETY: bytes is readable for its length.
    unsafe { glue::ukglue_print(bytes.as_ptr().cast(), bytes.len()) }
}

// SAFETY: no byte is changed but those named, where the old ones stand, and each change is one step for whoever executes it.
unsafe impl TextPatch for Unikraft {
    unsafe fn replace(&self, addr: usize, old: &[u8], new: &[u8]) -> Result<(), PatchError> {
        if old.len() != new.len() {
            return Err(PatchError::Mismatch { addr });
        }
        // SAFETY: both are readable for the length; the glue checks that addr lies in the text.
        let code = unsafe { glue::ukglue_text_write(addr, old.as_ptr().cast(), new.as_ptr().cast(), new.len()) };
        match -code {
            0 => Ok(()),
            EILSEQ => Err(PatchError::Mismatch { addr }),
            EBUSY => Err(PatchError::SeveralCpus {
                remedy: "start the image with one CPU (QEMU: -smp 1), or build it for one (UKPLAT_LCPU_MAXCOUNT, \
                         since Unikraft 0.21 UKPLAT_CPU_MAXCOUNT)",
            }),
            code => Err(PatchError::NotWritable { addr, code }),
        }
    }

    fn exclusive(&self) -> bool {
        // SAFETY: no preconditions.
        unsafe { glue::ukglue_several_cpus() == 0 }
    }
}

impl Cpu for Unikraft {
    fn id(&self) -> u32 {
        // SAFETY: no preconditions.
        unsafe { glue::ukglue_cpu() }
    }

    fn in_interrupt(&self) -> bool {
        // SAFETY: no preconditions.
        unsafe { glue::ukglue_irqs_off() != 0 }
    }

    fn running(&self) -> Thread {
        // SAFETY: no preconditions.
        match unsafe { glue::ukglue_running() } {
            0 => Thread::IDLE,
            thread => Thread { process: 1, thread },
        }
    }

    fn running_name(&self, into: &mut [u8]) -> usize {
        // SAFETY: into is writable for its length.
        let length = unsafe { glue::ukglue_running_name(into.as_mut_ptr().cast(), into.len()) };
        length.min(into.len())
    }

    fn thread_word(&self) -> Option<ThreadWord> {
        // SAFETY: no preconditions.
        let address = unsafe { glue::ukglue_running_at() };
        (address != 0).then_some(ThreadWord::At { address })
    }

    fn thread(&self) -> u64 {
        match self.thread_word() {
            // SAFETY: the glue gives the address of a variable of the image, which only threads' switches change.
            Some(ThreadWord::At { address }) => unsafe { (address as *const u64).read_volatile() },
            Some(ThreadWord::OfThread { .. }) | None => 0,
        }
    }

    fn is_own(&self, stack: u64) -> bool {
        // SAFETY: compares numbers.
        unsafe { glue::ukglue_is_own(stack) != 0 }
    }

    fn own_mark(&self) -> Option<OwnMark> {
        let ThreadWord::At { address: running } = self.thread_word()? else { return None };
        // SAFETY: no preconditions.
        Some(OwnMark::Same { running, own: unsafe { glue::ukglue_own_at() } })
    }

    fn set_own(&self, own: bool) -> bool {
        // SAFETY: called in a thread.
        unsafe { glue::ukglue_set_own(own.into()) != 0 }
    }

    fn errno(&self) -> Option<i32> {
        // SAFETY: called where somebody has just set it.
        Some(unsafe { glue::ukglue_errno() })
    }

    fn has_ended(&self, thread: u64) -> bool {
        // SAFETY: called on the control path, in a thread.
        unsafe { glue::ukglue_thread_ended(thread) != 0 }
    }

    fn counting(&self) -> Counting {
        // SAFETY: no preconditions.
        match unsafe { glue::ukglue_several_cpus() } {
            0 => Counting::OneCpu,
            _ => Counting::Locked,
        }
    }
}

impl Timer for Unikraft {
    fn start(&self, wanted: Ticking) -> Result<Ticking, &'static str> {
        let Ticking { of_cpu_ns, by_clock_ns } = wanted;
        // 0 is none.
        let fastest = of_cpu_ns.wrapping_sub(1).min(by_clock_ns.wrapping_sub(1)).wrapping_add(1);
        // SAFETY: called on the control path, in a thread, with something wanted.
        match unsafe { glue::ukglue_timer_start(fastest) } {
            0 => Err("this release of Unikraft does not tell what an interrupt has interrupted"),
            tick => {
                let there_is = |wanted| if wanted == 0 { 0 } else { tick };
                Ok(Ticking { of_cpu_ns: there_is(of_cpu_ns), by_clock_ns: there_is(by_clock_ns) })
            }
        }
    }

    fn stop(&self) {
        // SAFETY: called on the control path, in a thread.
        unsafe { glue::ukglue_timer_stop() };
    }
}

impl GiveWay for Unikraft {
    fn give_way(&self) {
        // SAFETY: called on the control path, in a thread.
        unsafe { glue::ukglue_yield() };
        #[cfg(feature = "shell")]
        crate::shell::beat(self);
    }

    #[cfg(feature = "shell")]
    fn is_cancelled(&self) -> bool {
        crate::shell::is_cancelled()
    }
}

const PAGE: usize = 4096;
/// Pages of the arena in use; what lies beyond the 64th is not used.
static PAGES: AtomicU64 = AtomicU64::new(0);

fn pages(len: usize) -> usize {
    len.div_ceil(PAGE).max(1)
}

/// `count` bits from bit `at`.
fn mask(at: usize, count: usize) -> u64 {
    let ones = if count >= 64 { u64::MAX } else { (1 << count) - 1 };
    ones << at
}

// SAFETY: a block is one mapping of its own, or one part of one, writable until it is sealed and executable afterwards.
unsafe impl ExecMemory for Unikraft {
    fn alloc(&self, len: usize) -> Option<ExecBlock> {
        // SAFETY: no preconditions.
        let arena: Range = unsafe { glue::ukglue_exec_arena() };
        let (total, count) = ((arena.len() / PAGE).min(64), pages(len));
        let mut used = PAGES.load(Ordering::Relaxed);
        let at = loop {
            let at = (0..=total.checked_sub(count)?).find(|at| used & mask(*at, count) == 0)?;
            let taken = used | mask(at, count);
            match PAGES.compare_exchange(used, taken, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => break at,
                Err(now) => used = now,
            }
        };
        let start = arena.start as usize + at * PAGE;
        Some(ExecBlock { write: start, exec: start, len: count * PAGE })
    }

    fn seal(&self, block: ExecBlock) -> bool {
        // SAFETY: the block is one of the arena's.
        unsafe { glue::ukglue_exec_protect(block.exec, pages(block.len) * PAGE, 1) == 0 }
    }

    unsafe fn free(&self, block: ExecBlock) {
        // SAFETY: the block is one of the arena's and nothing executes in it.
        let (open, arena) = unsafe {
            (glue::ukglue_exec_protect(block.exec, pages(block.len) * PAGE, 0) == 0, glue::ukglue_exec_arena())
        };
        // A block that could not be opened again is never handed out.
        if open {
            let at = (block.exec - arena.start as usize) / PAGE;
            PAGES.fetch_and(!mask(at, pages(block.len)), Ordering::Release);
        }
    }

    fn enforces_wx(&self) -> bool {
        // SAFETY: no preconditions.
        unsafe { glue::ukglue_exec_enforced() != 0 }
    }

    fn rewrites(&self) -> bool {
        true
    }

    unsafe fn rewrite(&self, at: usize, code: &[u8]) -> bool {
        // SAFETY: code is readable for its length; the glue checks that the place lies in the arena, and it is the caller's.
        unsafe { glue::ukglue_exec_write(at, code.as_ptr().cast(), code.len()) == 0 }
    }
}

/// A file name as C wants it, put under the configured directory when it is relative.
fn c_path(path: &str) -> Result<CString, FileError> {
    // SAFETY: the configuration's strings are static.
    let directory = unsafe { glue::static_str(glue::config().directory) };
    let mut full = String::new();
    full.try_reserve(directory.len() + path.len() + 2).map_err(|_| FileError::NoMemory)?;
    if !path.starts_with('/') {
        full.push_str(directory);
        if !full.ends_with('/') {
            full.push('/');
        }
    }
    full.push_str(path);
    if full.len() > 1 && full.ends_with('/') {
        full.pop();
    }
    CString::new(full).map_err(|_| FileError::NotFound)
}

fn file_error(code: i32) -> FileError {
    match code {
        ENOENT => FileError::NotFound,
        ENOMEM => FileError::NoMemory,
        ENOSYS => FileError::Unsupported,
        EFBIG => FileError::TooLarge { limit: 0 },
        code => FileError::Io(code),
    }
}

/// Refuses changes where the configuration says so.
fn writable() -> Result<(), FileError> {
    match glue::config().read_only {
        0 => Ok(()),
        _ => Err(FileError::ReadOnly),
    }
}

fn check(code: c_int) -> Result<(), FileError> {
    if code < 0 {
        return Err(file_error(-code));
    }
    Ok(())
}

impl Files for Unikraft {
    /// The file system's file, else the one that the image carries.
    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, FileError> {
        let from_files = read_file(path, limit);
        match (from_files, carried::find(path)) {
            (Err(FileError::NotFound | FileError::Unsupported | FileError::Io(_)), Some(file)) => {
                copy(file.contents, limit)
            }
            (from_files, _) => from_files,
        }
    }

    fn list(&self, path: &str) -> Result<Vec<DirEntry>, FileError> {
        let listed = list_directory(path);
        if !carried::is_directory(path) || carried::files().next().is_none() {
            return listed;
        }
        // Without a file system there are those of the image.
        let mut entries = match listed {
            Err(FileError::NoMemory) => return Err(FileError::NoMemory),
            listed => listed.unwrap_or_default(),
        };
        let mut pace = Pace::of(&Unikraft, &Unikraft);
        for file in carried::files() {
            pace.go_on();
            if entries.iter().any(|entry| entry.name == file.name) {
                continue;
            }
            if entries.try_reserve(1).is_err() || !has_room(SMALL_THINGS) {
                return Err(FileError::NoMemory);
            }
            entries.push(DirEntry { name: file.name.into(), size: file.contents.len() as u64, is_dir: false });
        }
        sort(&mut entries);
        Ok(entries)
    }

    fn write(&self, path: &str, contents: &[u8]) -> Result<(), FileError> {
        writable()?;
        let path = c_path(path)?;
        // SAFETY: path is a C string, contents is readable for its length.
        check(unsafe { glue::ukglue_file_write(path.as_ptr(), contents.as_ptr().cast(), contents.len()) })
    }

    /// A file that the image carries stays.
    fn remove(&self, path: &str) -> Result<(), FileError> {
        writable()?;
        let c_path = c_path(path)?;
        // SAFETY: path is a C string.
        match check(unsafe { glue::ukglue_file_remove(c_path.as_ptr()) }) {
            Err(_) if carried::find(path).is_some() => Err(FileError::ReadOnly),
            result => result,
        }
    }
}

/// The bytes in memory of their own.
fn copy(contents: &[u8], limit: usize) -> Result<Vec<u8>, FileError> {
    if contents.len() > limit {
        return Err(FileError::TooLarge { limit });
    }
    let mut copy = Vec::new();
    copy.try_reserve_exact(contents.len()).map_err(|_| FileError::NoMemory)?;
    copy.extend_from_slice(contents);
    Ok(copy)
}

fn read_file(path: &str, limit: usize) -> Result<Vec<u8>, FileError> {
    let path = c_path(path)?;
    // SAFETY: path is a C string.
    let size = unsafe { glue::ukglue_file_size(path.as_ptr()) };
    let size = usize::try_from(size).map_err(|_| file_error(-size as i32))?;
    if size > limit {
        return Err(FileError::TooLarge { limit });
    }
    let mut contents: Vec<u8> = Vec::new();
    contents.try_reserve_exact(size).map_err(|_| FileError::NoMemory)?;
    // SAFETY: there is room for so many bytes. They are not filled first: Unikraft's own C library does that byte by byte, without a pause.
    let read = unsafe { glue::ukglue_file_read(path.as_ptr(), contents.as_mut_ptr().cast(), size) };
    let read = usize::try_from(read).map_err(|_| file_error(-read as i32))?;
    // SAFETY: so many bytes were read.
    unsafe { contents.set_len(read.min(size)) };
    Ok(contents)
}

fn list_directory(path: &str) -> Result<Vec<DirEntry>, FileError> {
    let path = c_path(path)?;
    let mut listing = Listing::default();
    // SAFETY: each_entry casts the cookie back to what it is.
    check(unsafe { glue::ukglue_dir_list(path.as_ptr(), Some(each_entry), (&raw mut listing).cast::<c_void>()) })?;
    if listing.cut {
        return Err(FileError::NoMemory);
    }
    sort(&mut listing.entries);
    Ok(listing.entries)
}

/// Sorts by name, and gives way in between. Whether the command is to end is asked when it goes on.
fn sort(entries: &mut [DirEntry]) {
    let mut pace = Pace::of(&Unikraft, &Unikraft);
    let pause = || {
        pace.go_on();
        Ok::<(), core::convert::Infallible>(())
    };
    let _ = sort_by_in_pieces(entries, |a, b| a.name < b.name, pause);
}

/// The entries of a directory so far, and whether one found no memory.
#[derive(Default)]
struct Listing {
    entries: Vec<DirEntry>,
    cut: bool,
}

unsafe extern "C" fn each_entry(cookie: *mut c_void, name: *const c_char, len: usize, size: u64, dir: c_int) {
    // SAFETY: the cookie is that of `list`, the name is readable for its length during the call.
    let (listing, name) =
        unsafe { (&mut *cookie.cast::<Listing>(), core::slice::from_raw_parts(name.cast::<u8>(), len)) };
    listing.cut |= listing.entries.try_reserve(1).is_err() || !has_room(SMALL_THINGS);
    if listing.cut {
        return;
    }
    let name = String::from_utf8_lossy(name).into_owned();
    listing.entries.push(DirEntry { name, size, is_dir: dir != 0 });
}
