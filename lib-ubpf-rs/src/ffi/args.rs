//! From the arguments of a C call to Rust values; a NULL or a wrong text is an error.

use super::codes::{invalid, CallFailure, Result, UBPF_DENIED, UBPF_NOT_STARTED, UBPF_STALE};
pub(super) use super::sized::{give, sized, Versioned};
use crate::{
    platform::{has_room, SMALL_THINGS},
    program::{limits::MOST_ARGUMENTS, Abi},
    runtime::{Engine, Error, LoadOptions, ProgramId, Using},
    tracer::{AttachOptions, ProbeId, TRACER},
    verifier::Policy,
};
use core::ffi::{c_char, c_void, CStr};

/// The kind of a handle, in its highest byte.
pub(super) const PROGRAM: u64 = 0x70;
pub(super) const PROBE: u64 = 0x62;
const KIND_SHIFT: u32 = 56;
const VALUE: u64 = (1 << KIND_SHIFT) - 1;

/// A handle of a kind. The value has at most 56 bits.
pub(super) fn handle(kind: u64, value: u64) -> u64 {
    kind << KIND_SHIFT | value & VALUE
}

fn value_of(kind: u64, handle: u64, why: &'static str) -> Result<u64> {
    match handle >> KIND_SHIFT == kind {
        true => Ok(handle & VALUE),
        false => Err(CallFailure::Argument(UBPF_STALE, why)),
    }
}

pub(super) fn program(handle: u64) -> Result<ProgramId> {
    value_of(PROGRAM, handle, "this is no handle of a program").map(ProgramId::from_raw)
}

pub(super) fn probe(handle: u64) -> Result<ProbeId> {
    value_of(PROBE, handle, "this is no handle of an attached program").map(ProbeId::from_raw)
}

/// The engine, once it was started, for calls that may wait for others or allocate: not for helpers at a traced function, which would
/// wait for themselves.
pub(super) fn runtime() -> Result<Using> {
    if TRACER.in_hook() {
        return Err(CallFailure::Argument(
            UBPF_DENIED,
            "a helper cannot make this call while its program runs at a traced function",
        ));
    }
    engine_for_helpers()
}

/// The engine, once it was started, for calls that wait for nobody.
pub(super) fn engine_for_helpers() -> Result<Using> {
    Using::begin().ok_or(CallFailure::Argument(UBPF_NOT_STARTED, "the engine was not started: call ubpf_start first"))
}

/// Checks that there is memory for the small things of a call.
pub(super) fn room() -> Result<()> {
    match has_room(SMALL_THINGS) {
        true => Ok(()),
        false => Err(Error::NoMemory.into()),
    }
}

/// A text.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and stays while the result is used.
pub(super) unsafe fn text<'a>(text: *const c_char, why: &'static str) -> Result<&'a str> {
    // SAFETY: as the caller promises.
    unsafe { optional_text(text, why) }?.ok_or(invalid(why))
}

/// A text, or `None` for NULL.
///
/// # Safety
/// As for [`text`].
pub(super) unsafe fn optional_text<'a>(text: *const c_char, why: &'static str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, so NUL-terminated.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| invalid(why))
}

/// Bytes; NULL is good for none.
///
/// # Safety
/// `bytes` is NULL or points to `len` readable bytes that nobody writes while the result is used.
pub(super) unsafe fn bytes<'a>(bytes: *const c_void, len: usize) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if bytes.is_null() || len > isize::MAX as usize {
        return Err(invalid("bytes are NULL, or their length is out of range"));
    }
    // SAFETY: as the caller promises.
    Ok(unsafe { core::slice::from_raw_parts(bytes.cast(), len) })
}

/// Writable bytes; NULL is good for none.
///
/// # Safety
/// `bytes` is NULL or points to `len` readable and writable bytes that only the result uses.
pub(super) unsafe fn bytes_mut<'a>(bytes: *mut c_void, len: usize) -> Result<&'a mut [u8]> {
    if len == 0 {
        return Ok(&mut []);
    }
    if bytes.is_null() || len > isize::MAX as usize {
        return Err(invalid("memory is NULL, or its length is out of range"));
    }
    // SAFETY: as the caller promises.
    Ok(unsafe { core::slice::from_raw_parts_mut(bytes.cast(), len) })
}

macro_rules! sized_structs {
    ($($name:ident),* $(,)?) => { $(
        // SAFETY: `repr(C)`, begins with `size: usize`, and has numbers and pointers only.
        unsafe impl Versioned for $name {
            const WRONG_SIZE: &'static str =
                concat!(stringify!($name), ".size is wrong: set it to sizeof(", stringify!($name), ")");
            const UNKNOWN: &'static str = concat!(
                stringify!($name),
                " has fields that this version of the library does not know, and they are not zero"
            );
        }
    )* };
}
pub(super) use sized_structs;

sized_structs!(ubpf_load_options, ubpf_limits);

/// Where a result goes.
///
/// # Safety
/// `into` is NULL or points to writable memory for a `T`, used by nobody else meanwhile.
pub(super) unsafe fn out<'a, T>(into: *mut T, why: &'static str) -> Result<&'a mut T> {
    // SAFETY: as the caller promises.
    unsafe { into.as_mut() }.ok_or(invalid(why))
}

/// Numbering of helpers as the file's kind has it.
pub const UBPF_ABI_DEFAULT: u32 = 0;
/// Numbering of the original C tracer.
pub const UBPF_ABI_CLASSIC: u32 = 1;
/// Numbering of uIO.
pub const UBPF_ABI_UIO: u32 = 2;
/// Linux helper numbers.
pub const UBPF_ABI_LINUX: u32 = 3;

/// Policy as the engine was started with.
pub const UBPF_POLICY_DEFAULT: u32 = 0;
/// Structure only; every access is checked at run time.
pub const UBPF_POLICY_CHECKED: u32 = 1;
/// What is proved is not checked, the rest is.
pub const UBPF_POLICY_GUARDED: u32 = 2;
/// Everything must be proved, the end included.
pub const UBPF_POLICY_STRICT: u32 = 3;

/// The fastest engine that the platform allows.
pub const UBPF_ENGINE_DEFAULT: u32 = 0;
/// The interpreter.
pub const UBPF_ENGINE_INTERPRETER: u32 = 1;
/// Machine code; UBPF_UNSUPPORTED where the image cannot have it.
pub const UBPF_ENGINE_JIT: u32 = 2;

/// How a program is loaded; but for `size`, all zeros for the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ubpf_load_options {
    /// sizeof of this struct, as the caller knows it.
    pub size: usize,
    /// Numbering of helpers, one of UBPF_ABI.
    pub abi: u32,
    /// How much must be proved, one of UBPF_POLICY.
    pub policy: u32,
    /// What runs it, one of UBPF_ENGINE.
    pub engine: u32,
}

/// How long an attached program stays and what it is told; but for `size`, all zeros: for ever, at entries.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ubpf_limits {
    /// sizeof of this struct, as the caller knows it.
    pub size: usize,
    /// Detached after this many runs; 0: no limit.
    pub max_runs: u64,
    /// Detached after this many nanoseconds; 0: no limit.
    pub max_ns: u64,
    /// A number that the program asks for with bpf_get_attach_cookie.
    pub cookie: u64,
    /// UBPF_ATTACH.
    pub flags: u32,
    /// With UBPF_ATTACH_ARGUMENTS how many arguments the function has, 0 to 6.
    pub arguments: u32,
}

/// The program runs when the function returns, also if its section does not say so; refused if it says that it is for entries.
pub const UBPF_ATTACH_RETURN: u32 = 1;
/// `arguments` says how many arguments the function has: where the result is in the array of a program of a section fexit depends on it.
pub const UBPF_ATTACH_ARGUMENTS: u32 = 2;
/// The program also runs when the engine's own control path calls the function, as the thread that serves the shell does; at a timer of a
/// CPU's time also in that thread, and in the one that runs where no other can.
pub const UBPF_ATTACH_OWN: u32 = 4;

pub(super) fn abi(number: u32) -> Result<Option<Abi>> {
    let named = |abi| match abi {
        Abi::Classic => UBPF_ABI_CLASSIC,
        Abi::Uio => UBPF_ABI_UIO,
        Abi::Linux => UBPF_ABI_LINUX,
    };
    one_of(number, UBPF_ABI_DEFAULT, Abi::ALL, named, "abi is none of UBPF_ABI")
}

pub(super) fn policy(number: u32) -> Result<Option<Policy>> {
    let named = |policy| match policy {
        Policy::Checked => UBPF_POLICY_CHECKED,
        Policy::Guarded => UBPF_POLICY_GUARDED,
        Policy::Strict => UBPF_POLICY_STRICT,
    };
    one_of(number, UBPF_POLICY_DEFAULT, Policy::ALL, named, "policy is none of UBPF_POLICY")
}

/// What a number of the C interface means: one of `all`, or nothing where it is `default`.
fn one_of<T: Copy, const N: usize>(
    number: u32,
    default: u32,
    all: [T; N],
    named: impl Fn(T) -> u32,
    otherwise: &'static str,
) -> Result<Option<T>> {
    if number == default {
        return Ok(None);
    }
    let found = all.into_iter().find(|&one| named(one) == number);
    found.map(Some).ok_or_else(|| invalid(otherwise))
}

fn engine(number: u32) -> Result<Engine> {
    Ok(match number {
        UBPF_ENGINE_DEFAULT => Engine::Auto,
        UBPF_ENGINE_INTERPRETER => Engine::Interpreter,
        UBPF_ENGINE_JIT => Engine::Jit,
        _ => return Err(invalid("engine is none of UBPF_ENGINE")),
    })
}

/// The options, or the defaults for NULL.
///
/// # Safety
/// `options` is NULL or points to readable options.
pub(super) unsafe fn options(options: *const ubpf_load_options) -> Result<LoadOptions<'static>> {
    // SAFETY: as the caller promises.
    let Some(options) = unsafe { sized(options) }? else {
        return Ok(LoadOptions::default());
    };
    let (abi, policy, engine) = (abi(options.abi)?, policy(options.policy)?, engine(options.engine)?);
    Ok(LoadOptions { abi, policy, engine, ..LoadOptions::default() })
}

/// The limits, or none for NULL.
///
/// # Safety
/// `limits` is NULL or points to readable limits.
pub(super) unsafe fn limits(limits: *const ubpf_limits) -> Result<AttachOptions> {
    // SAFETY: as the caller promises.
    let Some(limits) = unsafe { sized(limits) }? else {
        return Ok(AttachOptions::default());
    };
    let some = |number| (number != 0).then_some(number);
    if limits.flags & !(UBPF_ATTACH_RETURN | UBPF_ATTACH_ARGUMENTS | UBPF_ATTACH_OWN) != 0 {
        return Err(invalid("flags of the limits has a bit that is none of UBPF_ATTACH"));
    }
    let arguments = match limits.flags & UBPF_ATTACH_ARGUMENTS {
        0 => None,
        _ => Some(u8::try_from(limits.arguments).ok().filter(|&count| usize::from(count) <= MOST_ARGUMENTS)),
    };
    if arguments == Some(None) || arguments.is_none() && limits.arguments != 0 {
        return Err(invalid("arguments of the limits is 0 to 6, and with UBPF_ATTACH_ARGUMENTS"));
    }
    Ok(AttachOptions {
        max_runs: some(limits.max_runs),
        max_ns: some(limits.max_ns),
        cookie: limits.cookie,
        arguments: arguments.flatten(),
        at_return: limits.flags & UBPF_ATTACH_RETURN != 0,
        own: limits.flags & UBPF_ATTACH_OWN != 0,
    })
}
