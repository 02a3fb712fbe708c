//! Sessions: bytes in, bytes out.

use super::codes::{
    USHELL_BUSY, USHELL_INVALID, USHELL_NOT_STARTED, USHELL_NO_MEMORY, USHELL_OK, USHELL_STALE, USHELL_UNSUPPORTED,
};
use crate::{Config, Shell};
use alloc::{boxed::Box, vec::Vec};
use core::ffi::{c_int, c_void};
use spin::Mutex;
use ubpf_rs::{
    ffi::{sized, SizeError, Versioned},
    platform::{has_room, SMALL_THINGS},
    runtime::Using,
};

/// Names a session; 0 names none. A number that is never given twice.
pub type ushell_session = u64;

/// Raises a signal in the application; returns 0 or an errno value.
pub type ushell_raise_fn = Option<extern "C" fn(signal: c_int) -> c_int>;

/// Limits of a session; but for `size`, all zeros for the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ushell_config {
    /// sizeof of this struct, as the caller knows it.
    pub size: usize,
    /// Bytes of output kept for a slow reader; 0: 16384. At least 8192 are kept.
    pub output_bytes: usize,
    /// Largest file that `put` takes, in bytes; 0: 1048576.
    pub file_limit: usize,
    /// Lines that the history keeps; 0: 64.
    pub history_lines: usize,
    /// What `kill` calls; NULL: the application has no signals.
    pub raise: ushell_raise_fn,
}

// SAFETY: `repr(C)`, begins with `size: usize`, and has numbers and a pointer only.
unsafe impl Versioned for ushell_config {
    const WRONG_SIZE: &'static str = "ushell_config.size is wrong: set it to sizeof(ushell_config)";
    const UNKNOWN: &'static str = "ushell_config has fields that this version of the library does not know";
}

/// The kind of the handle, in its highest byte.
const KIND: u64 = 0x73 << 56;

/// What a session needs beside its queue of output.
const SESSION_BYTES: usize = 16 * 1024;

struct Slot {
    handle: ushell_session,
    /// Taken out while a call works on it, so that a command may call this interface, too.
    shell: Option<Kept>,
    /// The engine does not stop while a session is open.
    using: Using,
}

/// One shell in memory of its own, as a box would have it.
type Kept = Box<[Shell]>;

struct Sessions {
    slots: Vec<Slot>,
    last: u64,
}

static SESSIONS: Mutex<Sessions> = Mutex::new(Sessions { slots: Vec::new(), last: KIND });

impl Sessions {
    fn slot(&mut self, handle: ushell_session) -> Result<&mut Slot, c_int> {
        let slot = self.slots.iter_mut().find(|slot| slot.handle == handle);
        slot.ok_or(USHELL_STALE)
    }

    fn insert(&mut self, shell: Kept, using: Using) -> Result<ushell_session, c_int> {
        let room = self.slots.try_reserve(1);
        room.map_err(|_| USHELL_NO_MEMORY)?;
        self.last = self.last.saturating_add(1);
        self.slots.push(Slot { handle: self.last, shell: Some(shell), using });
        Ok(self.last)
    }

    fn take(&mut self, handle: ushell_session) -> Result<Kept, c_int> {
        self.slot(handle)?.shell.take().ok_or(USHELL_BUSY)
    }

    /// In the order in which they are to be dropped.
    fn remove(&mut self, handle: ushell_session) -> Result<(Kept, Using), c_int> {
        let shell = self.take(handle)?;
        let at = self.slots.iter().position(|slot| slot.handle == handle);
        let slot = self.slots.swap_remove(at.ok_or(USHELL_STALE)?);
        if self.slots.is_empty() {
            self.slots = Vec::new();
        }
        Ok((shell, slot.using))
    }
}

/// Works on a session. No lock is held meanwhile.
fn with<T>(handle: ushell_session, work: impl FnOnce(&mut Shell) -> T) -> Result<T, c_int> {
    let mut shell = SESSIONS.lock().take(handle)?;
    let result = shell.first_mut().map(work);
    if let Ok(slot) = SESSIONS.lock().slot(handle) {
        slot.shell = Some(shell);
    }
    result.ok_or(USHELL_STALE)
}

fn code(result: Result<(), c_int>) -> c_int {
    result.err().unwrap_or(USHELL_OK)
}

/// A count of bytes, or a code.
fn count(result: Result<usize, c_int>) -> isize {
    let count = result.map(|count| isize::try_from(count).unwrap_or(isize::MAX));
    count.unwrap_or_else(|code| isize::try_from(code).unwrap_or(isize::MIN))
}

/// Opens a session of the shell over the engine of the image. `config` may be NULL for the defaults. The platform's
/// loop then tells it when a reader comes and goes, feeds it what the reader sends, and sends what it drains.
///
/// Threads: any, at any time.
///
/// Errors: USHELL_NOT_STARTED; USHELL_INVALID `session` is NULL, or `size` is not that of a configuration; USHELL_UNSUPPORTED the
/// configuration has more than this library knows of; USHELL_NO_MEMORY.
///
/// # Safety
/// `config` is NULL or readable, and its `raise` may be called from the thread that feeds; `session` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ushell_open(config: *const ushell_config, session: *mut ushell_session) -> c_int {
    // SAFETY: as the caller promises.
    let Some(into) = (unsafe { session.as_mut() }) else {
        return USHELL_INVALID;
    };
    *into = 0;
    // SAFETY: as the caller promises; NULL gives the defaults.
    let config = match unsafe { sized(config) } {
        Ok(config) => config.as_ref().map_or_else(Config::default, limits),
        Err(SizeError::Wrong(_)) => return USHELL_INVALID,
        Err(SizeError::Unknown(_)) => return USHELL_UNSUPPORTED,
    };
    code(open(config).map(|handle| *into = handle))
}

fn open(config: Config) -> Result<ushell_session, c_int> {
    let using = Using::begin().ok_or(USHELL_NOT_STARTED)?;
    let wanted = config.output_bytes.saturating_add(SESSION_BYTES);
    if !has_room(wanted.saturating_add(SMALL_THINGS)) {
        return Err(USHELL_NO_MEMORY);
    }
    let mut shell = Vec::new();
    let room = shell.try_reserve_exact(1);
    room.map_err(|_| USHELL_NO_MEMORY)?;
    shell.push(Shell::try_new(using.runtime(), config).ok_or(USHELL_NO_MEMORY)?);
    SESSIONS.lock().insert(shell.into_boxed_slice(), using)
}

fn limits(given: &ushell_config) -> Config {
    let default = Config::default();
    let or = |value: usize, default| if value == 0 { default } else { value };
    Config {
        output_bytes: or(given.output_bytes, default.output_bytes),
        file_limit: or(given.file_limit, default.file_limit),
        history_lines: or(given.history_lines, default.history_lines),
        raise: given.raise,
        ..default
    }
}

/// Closes a session and forgets it. What commands of it have attached stays attached.
///
/// Threads: any, one at a time for a session: a second call meanwhile gives USHELL_BUSY.
///
/// Errors: USHELL_STALE; USHELL_BUSY.
#[no_mangle]
pub extern "C" fn ushell_close(session: ushell_session) -> c_int {
    // The shell is dropped after the lock is given back.
    let removed = SESSIONS.lock().remove(session);
    code(removed.map(drop))
}

/// A reader has come: the session starts afresh, in plain mode, with a prompt.
///
/// Threads: any, one at a time for a session: a second call meanwhile gives USHELL_BUSY.
///
/// Errors: USHELL_STALE; USHELL_BUSY.
#[no_mangle]
pub extern "C" fn ushell_connected(session: ushell_session) -> c_int {
    code(with(session, Shell::connected))
}

/// The reader has gone: a half-taken file, a half-typed line and unread output are dropped; the history stays.
///
/// Threads: any, one at a time for a session: a second call meanwhile gives USHELL_BUSY.
///
/// Errors: USHELL_STALE; USHELL_BUSY.
#[no_mangle]
pub extern "C" fn ushell_disconnected(session: ushell_session) -> c_int {
    code(with(session, Shell::disconnected))
}

/// Gives the session input; commands run within this call. Returns how many of the bytes it took, or a negative code: the
/// rest is to be offered again after output was drained, so that a reader who is slow holds the writer up. Input
/// without a reader begins a new conversation.
///
/// Threads: any, one at a time for a session: a second call meanwhile gives USHELL_BUSY.
///
/// Errors: USHELL_STALE; USHELL_BUSY; USHELL_INVALID `bytes` is NULL.
///
/// # Safety
/// `bytes` points to `length` readable bytes.
#[no_mangle]
pub unsafe extern "C" fn ushell_feed(session: ushell_session, bytes: *const c_void, length: usize) -> isize {
    if length == 0 {
        return count(with(session, |_| 0));
    }
    if bytes.is_null() || isize::try_from(length).is_err() {
        return count(Err(USHELL_INVALID));
    }
    // SAFETY: not NULL, of a possible length, and readable as the caller promises.
    let bytes = unsafe { core::slice::from_raw_parts(bytes.cast(), length) };
    count(with(session, |shell| shell.feed(bytes)))
}

/// Takes output for the reader; commands with much output go on writing within this call. Returns how many bytes it wrote to
/// `into`, 0 when there is nothing to send, or a negative code. `trace` waits for what programs write: while it runs, 0 is no end, and the
/// call is to be made again now and then.
///
/// Threads: any, one at a time for a session: a second call meanwhile gives USHELL_BUSY.
///
/// Errors: USHELL_STALE; USHELL_BUSY; USHELL_INVALID `into` is NULL.
///
/// # Safety
/// `into` points to `length` writable bytes.
#[no_mangle]
pub unsafe extern "C" fn ushell_drain(session: ushell_session, into: *mut c_void, length: usize) -> isize {
    if length == 0 {
        return count(with(session, |_| 0));
    }
    if into.is_null() || isize::try_from(length).is_err() {
        return count(Err(USHELL_INVALID));
    }
    // SAFETY: as the caller promises; bytes of C are initialised for what is done here, which is to write them.
    let into = unsafe { core::slice::from_raw_parts_mut(into.cast(), length) };
    count(with(session, |shell| shell.drain(into)))
}

/// Whether the reader asked to end (`quit`) and has all output: 1 or 0, or a negative code. The platform then closes the
/// connection; where it cannot, the next input begins a new conversation.
///
/// Threads: any, one at a time for a session: a second call meanwhile gives USHELL_BUSY.
///
/// Errors: USHELL_STALE; USHELL_BUSY.
#[no_mangle]
pub extern "C" fn ushell_wants_close(session: ushell_session) -> c_int {
    let wants = with(session, |shell| c_int::from(shell.wants_close()));
    wants.unwrap_or_else(|code| code)
}
