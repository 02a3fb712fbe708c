//! Patching the text of the running process: bytes go through `/proc/self/mem`, so that the mapping stays read-only and
//! executable, and every step is made visible to all threads by `membarrier`.
//!
//! A five-byte instruction cannot be replaced by one store that is known to be atomic here, so the first byte becomes a
//! breakpoint, then the rest is written, then the first byte. A thread that meets the breakpoint steps over it when the
//! old or the new instruction is a nop (both then are allowed to have been executed), else it tries again. The kernel
//! ends a process of which a thread meets a breakpoint while it blocks SIGTRAP (`force_sig` of signal delivery): nothing
//! is changed while there is such a thread.

use std::{
    ffi::CStr,
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    sync::{
        atomic::{AtomicU64, AtomicUsize, Ordering},
        Mutex, Once,
    },
    time::Duration,
};
use ubpf_rs::platform::{PatchError, TextPatch};

const INT3: u8 = 0xcc;
const LONGEST: usize = 8;

/// Address being patched, 0 for none, and above it how far a thread that meets its breakpoint steps from there.
static PATCHING: AtomicUsize = AtomicUsize::new(0);
const STEP_SHIFT: u32 = 56;
/// Counts beginnings and ends of patches: odd during a patch.
static MOMENT: AtomicU64 = AtomicU64::new(0);
/// Breakpoints met by other threads, for tests.
static MET: AtomicU64 = AtomicU64::new(0);
/// What handled SIGTRAP before: handler address and flags.
static OLD_HANDLER: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
static OLD_FLAGS: AtomicUsize = AtomicUsize::new(0);

/// Patches the text of this process.
pub struct SelfPatch {
    /// One patch at a time.
    mem: Mutex<Option<File>>,
}

impl Default for SelfPatch {
    fn default() -> Self {
        Self::new()
    }
}

impl SelfPatch {
    /// Opens nothing yet; that happens at the first patch.
    pub fn new() -> SelfPatch {
        SelfPatch {
            mem: Mutex::new(None),
        }
    }

    /// How often a thread met a breakpoint that a patch had placed.
    pub fn breakpoints_met() -> u64 {
        MET.load(Ordering::Relaxed)
    }
}

impl TextPatch for SelfPatch {
    fn replace(&self, addr: usize, old: &[u8], new: &[u8]) -> Result<(), PatchError> {
        let refused = |code| PatchError::NotWritable { addr, code };
        if old.len() != new.len() || old.is_empty() || old.len() > LONGEST {
            return Err(refused(libc::EINVAL));
        }
        prepare().map_err(refused)?;
        let mut mem = self
            .mem
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if mem.is_none() {
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .open("/proc/self/mem");
            *mem = Some(opened.map_err(|e| refused(code_of(&e)))?);
        }
        let Some(mem) = mem.as_ref() else {
            return Err(refused(libc::EIO));
        };
        let mut found = [0; LONGEST];
        let found = &mut found[..old.len()];
        mem.read_exact_at(found, addr as u64)
            .map_err(|e| refused(code_of(&e)))?;
        if found != old {
            return Err(PatchError::Mismatch { addr });
        }
        if let Some(thread) = blocks_traps_for_long() {
            return Err(PatchError::TrapBlocked { addr, thread });
        }
        write_in_steps(mem, addr, old, new).map_err(|e| refused(code_of(&e)))
    }
}

/// A thread other than this one that blocks SIGTRAP, and goes on doing so: while it is started, each does for a moment.
fn blocks_traps_for_long() -> Option<i32> {
    const LOOKS: usize = 125;
    const BETWEEN: Duration = Duration::from_millis(2);
    let mut found = None;
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(BETWEEN);
        }
        found = blocks_traps();
        if found.is_none() {
            break;
        }
    }
    found
}

/// A thread other than this one that blocks SIGTRAP now. Allocates nothing of Rust's.
fn blocks_traps() -> Option<i32> {
    // SAFETY: the name ends with NUL; the stream is read and closed by this thread alone, and an entry's name ends with NUL.
    unsafe {
        let threads = libc::opendir(c"/proc/self/task".as_ptr());
        if threads.is_null() {
            return None;
        }
        let own = libc::gettid();
        let mut found = None;
        while let Some(entry) = libc::readdir(threads).as_ref() {
            let name = CStr::from_ptr(entry.d_name.as_ptr()).to_str();
            let thread = name.ok().and_then(|name| name.parse().ok());
            if let Some(thread) =
                thread.filter(|&thread| thread != own && has_traps_blocked(thread))
            {
                found = Some(thread);
                break;
            }
        }
        libc::closedir(threads);
        found
    }
}

/// Whether a thread of this process blocks SIGTRAP; false when it is gone.
fn has_traps_blocked(thread: i32) -> bool {
    /// Number of the field with the signals from 1 on that are blocked, counted from the thread's state, behind its name.
    const BLOCKED: usize = 29;
    let mut path = [0u8; 48];
    let mut text = [0u8; 1024];
    // The last byte stays 0.
    if write!(&mut path[..47], "/proc/self/task/{thread}/stat").is_err() {
        return false;
    }
    // SAFETY: the path ends with NUL, the text is as long as is said, and the file is closed by whoever opened it.
    let len = unsafe {
        let file = libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return false;
        }
        let len = libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
        len
    };
    let text = text.get(..usize::try_from(len).unwrap_or(0)).unwrap_or(&[]);
    let behind = text.iter().rposition(|&byte| byte == b')');
    let fields = behind.and_then(|at| std::str::from_utf8(text.get(at + 1..)?).ok());
    let blocked = fields.and_then(|fields| fields.split_ascii_whitespace().nth(BLOCKED));
    let blocked: u64 = blocked.and_then(|word| word.parse().ok()).unwrap_or(0);
    blocked & 1 << (libc::SIGTRAP - 1) != 0
}

fn code_of(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

fn write_in_steps(mem: &File, addr: usize, old: &[u8], new: &[u8]) -> std::io::Result<()> {
    let step = if is_nop(old) || is_nop(new) {
        old.len()
    } else {
        0
    };
    PATCHING.store(addr | step << STEP_SHIFT, Ordering::SeqCst);
    MOMENT.fetch_add(1, Ordering::SeqCst);
    let steps = || {
        mem.write_all_at(&[INT3], addr as u64)?;
        sync_cores()?;
        mem.write_all_at(&new[1..], addr as u64 + 1)?;
        sync_cores()?;
        mem.write_all_at(&new[..1], addr as u64)?;
        sync_cores()
    };
    let result = steps();
    MOMENT.fetch_add(1, Ordering::SeqCst);
    PATCHING.store(0, Ordering::SeqCst);
    result
}

fn is_nop(bytes: &[u8]) -> bool {
    bytes.iter().all(|&b| b == 0x90)
        || bytes.starts_with(&[0x0f, 0x1f])
        || bytes.starts_with(&[0x66, 0x0f, 0x1f])
}

/// Makes every thread of the process fetch its instructions anew.
pub(crate) fn sync_cores() -> std::io::Result<()> {
    const PRIVATE_EXPEDITED_SYNC_CORE: libc::c_int = 1 << 5;
    membarrier(PRIVATE_EXPEDITED_SYNC_CORE)
}

fn membarrier(command: libc::c_int) -> std::io::Result<()> {
    // SAFETY: membarrier takes numbers only.
    match unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) } {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Makes every thread see what this one has written, and this one what they have.
pub(crate) fn see_all() {
    // Registered before anybody needs it, after which it cannot fail.
    let _ = sync_cores();
}

/// The result of something done at most once.
struct Done {
    once: Once,
    error: AtomicUsize,
}

impl Done {
    const fn new() -> Done {
        Done {
            once: Once::new(),
            error: AtomicUsize::new(0),
        }
    }

    fn get(&self, what: impl FnOnce() -> Result<(), i32>) -> Result<(), i32> {
        self.once.call_once(|| {
            let code = what().err().unwrap_or(0);
            self.error.store(code as usize, Ordering::SeqCst);
        });
        match self.error.load(Ordering::SeqCst) {
            0 => Ok(()),
            code => Err(code as i32),
        }
    }
}

/// Registers for core synchronisation, once.
pub(crate) fn prepare_sync() -> Result<(), i32> {
    const REGISTER_PRIVATE_EXPEDITED_SYNC_CORE: libc::c_int = 1 << 6;
    static DONE: Done = Done::new();
    DONE.get(|| membarrier(REGISTER_PRIVATE_EXPEDITED_SYNC_CORE).map_err(|e| code_of(&e)))
}

/// Registers for core synchronisation and installs the breakpoint handler, once.
fn prepare() -> Result<(), i32> {
    static DONE: Done = Done::new();
    prepare_sync()?;
    DONE.get(install_handler)
}

fn install_handler() -> Result<(), i32> {
    // SAFETY: both structs are plain data for which zeros are valid; the handler keeps to what a signal handler may do.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut old: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_trap;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        if libc::sigaction(libc::SIGTRAP, &action, &mut old) != 0 {
            return Err(super::errno());
        }
        OLD_HANDLER.store(old.sa_sigaction, Ordering::SeqCst);
        OLD_FLAGS.store(old.sa_flags as usize, Ordering::SeqCst);
    }
    Ok(())
}

extern "C" fn on_trap(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes the interrupted context to an SA_SIGINFO handler; it is ours until we return. The byte before the
    // instruction pointer was just executed, so it is mapped.
    unsafe {
        let rip = &mut (*context).uc_mcontext.gregs[libc::REG_RIP as usize];
        let at = (*rip as usize).wrapping_sub(1);
        match after_breakpoint(at, || std::ptr::read_volatile(at as *const u8)) {
            Some(next) => {
                MET.fetch_add(1, Ordering::Relaxed);
                *rip = next as i64;
            }
            None => pass_on(signal, info, context.cast()),
        }
    }
}

/// Where a thread goes on that met a breakpoint; `None` when it is not ours.
fn after_breakpoint(at: usize, byte: impl Fn() -> u8) -> Option<usize> {
    loop {
        let moment = MOMENT.load(Ordering::SeqCst);
        let patching = PATCHING.load(Ordering::SeqCst);
        if patching & ((1 << STEP_SHIFT) - 1) == at {
            return Some(at + (patching >> STEP_SHIFT));
        }
        if byte() != INT3 {
            // The patch was finished between trap and handler.
            return Some(at);
        }
        // Unless another patch came in between, nobody patches there.
        if MOMENT.load(Ordering::SeqCst) == moment {
            return None;
        }
    }
}

/// Gives a trap that is not ours to whoever handled SIGTRAP before.
///
/// # Safety
/// Arguments of a signal handler, passed on.
unsafe fn pass_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let handler = OLD_HANDLER.load(Ordering::SeqCst);
    let with_info = OLD_FLAGS.load(Ordering::SeqCst) as i32 & libc::SA_SIGINFO != 0;
    // SAFETY: `handler` is what sigaction gave us, called by the convention that its flags name.
    unsafe {
        match handler {
            libc::SIG_IGN => {}
            libc::SIG_DFL => {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
            _ if with_info => {
                let call: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(handler);
                call(signal, info, context);
            }
            _ => {
                let call: extern "C" fn(i32) = std::mem::transmute(handler);
                call(signal);
            }
        }
    }
}
