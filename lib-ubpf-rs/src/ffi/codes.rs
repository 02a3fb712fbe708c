//! Return codes, and the error of a call as code and text.

use super::sized::SizeError;
use crate::{
    helpers::RegisterError,
    platform::{FileError, PatchError},
    runtime::{Error, SymbolError},
    tracer::{AttachError, DetachError},
};
use core::{
    ffi::{c_char, c_int},
    fmt::{self, Write},
};

/// The call did what it says.
pub const UBPF_OK: c_int = 0;
/// There is no such file, function, symbol or map entry, or the program is not attached there.
pub const UBPF_NOT_FOUND: c_int = -2;
/// The engine was not started.
pub const UBPF_NOT_STARTED: c_int = -3;
/// The platform reported a failure.
pub const UBPF_IO: c_int = -5;
/// The bytes are no program, the program is not admitted, or the symbols are of another image.
pub const UBPF_REFUSED: c_int = -8;
/// The handle names nothing: it is of another kind, or what it named is gone.
pub const UBPF_STALE: c_int = -9;
/// There is no memory; nothing was changed.
pub const UBPF_NO_MEMORY: c_int = -12;
/// The function must not be traced, files may not be changed, or a helper made the call at a traced function.
pub const UBPF_DENIED: c_int = -13;
/// The program was stopped before its end.
pub const UBPF_STOPPED: c_int = -14;
/// Another call, made by another thread, changes what this one must change, and takes its time; the text names it. Nothing was changed.
pub const UBPF_BUSY: c_int = -16;
/// It is there already: the engine, a helper of this name or number, or the program at this function.
pub const UBPF_EXISTS: c_int = -17;
/// A pointer is NULL, a text is not UTF-8, a name is too long or cannot be shown, or a number is out of its range.
pub const UBPF_INVALID: c_int = -22;
/// The file is larger than the limit.
pub const UBPF_TOO_LARGE: c_int = -27;
/// The map or the table is full.
pub const UBPF_FULL: c_int = -28;
/// The function was compiled without an entry stub.
pub const UBPF_NO_STUB: c_int = -61;
/// Several functions have this name.
pub const UBPF_AMBIGUOUS: c_int = -76;
/// The platform cannot do this.
pub const UBPF_UNSUPPORTED: c_int = -95;
/// The platform's `cancelled` said that the call is to end.
pub const UBPF_CANCELLED: c_int = -125;

/// Bytes of an error's text, its NUL included.
pub const UBPF_ERROR_BYTES: usize = 252;

/// Why a call failed. Every call that can fail takes a pointer to one, or NULL, and fills it also when it
/// succeeds (`UBPF_OK` and an empty text). It is the caller's memory, so calls of several threads do not disturb each
/// other.
///
/// Every call can give UBPF_NOT_STARTED, UBPF_INVALID (an argument; the text says which) and UBPF_NO_MEMORY; every call that changes
/// something UBPF_BUSY, and every one that takes long UBPF_CANCELLED. What else one can give stands with it.
#[repr(C)]
pub struct ubpf_error {
    /// What the call returned.
    pub code: c_int,
    /// The reason in words, always with a NUL; cut where it is longer.
    pub text: [c_char; UBPF_ERROR_BYTES],
}

/// A failed call.
pub(super) enum CallFailure {
    /// The engine refused.
    Engine(Error),
    /// The arguments are wrong.
    Argument(c_int, &'static str),
}

pub(super) type Result<T> = core::result::Result<T, CallFailure>;

impl From<Error> for CallFailure {
    fn from(error: Error) -> CallFailure {
        CallFailure::Engine(error)
    }
}

impl From<SizeError> for CallFailure {
    fn from(error: SizeError) -> CallFailure {
        match error {
            SizeError::Wrong(why) => invalid(why),
            SizeError::Unknown(why) => CallFailure::Argument(UBPF_UNSUPPORTED, why),
        }
    }
}

/// An argument that cannot be.
pub(super) fn invalid(why: &'static str) -> CallFailure {
    CallFailure::Argument(UBPF_INVALID, why)
}

impl CallFailure {
    fn code(&self) -> c_int {
        match self {
            CallFailure::Engine(error) => code(error),
            CallFailure::Argument(code, _) => *code,
        }
    }
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallFailure::Engine(error) => write!(f, "{error}"),
            CallFailure::Argument(_, why) => f.write_str(why),
        }
    }
}

/// Ends a call: its code, which is also written with the reason to `error`.
///
/// # Safety
/// `error` is NULL or points to writable memory for one.
pub(super) unsafe fn finish(result: Result<()>, error: *mut ubpf_error) -> c_int {
    let code = result.as_ref().err().map_or(UBPF_OK, CallFailure::code);
    // SAFETY: as the caller promises; every byte pattern is valid for the struct.
    if let Some(error) = unsafe { error.as_mut() } {
        error.code = code;
        error.text = [0; UBPF_ERROR_BYTES];
        if let Err(failure) = &result {
            let at = error.text.as_mut_ptr().cast();
            // SAFETY: these are the bytes of the struct, borrowed exclusively.
            let into = unsafe { core::slice::from_raw_parts_mut(at, UBPF_ERROR_BYTES) };
            let mut text = CText::new(into);
            // What does not fit is cut.
            let _ = write!(text, "{failure}");
        }
    }
    code
}

/// Text in a C array, cut at the last whole character that fits before the NUL.
pub(super) struct CText<'a> {
    into: &'a mut [u8],
    len: usize,
}

impl<'a> CText<'a> {
    pub(super) fn new(into: &'a mut [u8]) -> Self {
        into.fill(0);
        CText { into, len: 0 }
    }
}

impl Write for CText<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let end = self.len.saturating_add(character.len_utf8());
            // The last byte stays 0.
            if end >= self.into.len() {
                return Err(fmt::Error);
            }
            let mut bytes = [0; 4];
            let bytes = character.encode_utf8(&mut bytes).bytes();
            let into = self.into.get_mut(self.len..end).unwrap_or(&mut []);
            into.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
            self.len = end;
        }
        Ok(())
    }
}

fn code(error: &Error) -> c_int {
    match error {
        Error::AlreadyRunning => UBPF_EXISTS,
        Error::Cancelled => UBPF_CANCELLED,
        Error::Busy { .. } => UBPF_BUSY,
        Error::NoMemory => UBPF_NO_MEMORY,
        Error::Helper(helper) => helper_code(&helper.about),
        Error::ProgramName { .. } | Error::NoPacket(_) => UBPF_INVALID,
        Error::Load(_) | Error::Verify(_) | Error::Linked(_) | Error::Object { .. } => UBPF_REFUSED,
        Error::NoTimer(_) => UBPF_INVALID,
        Error::NotAttachable(_) | Error::NoneAttached { .. } | Error::NotAll { .. } => UBPF_UNSUPPORTED,
        Error::File(file) => file_code(&file.about),
        Error::NotCompiled { .. } | Error::NoSubject => UBPF_UNSUPPORTED,
        Error::StaleProgram { .. } => UBPF_STALE,
        Error::Stopped(_) => UBPF_STOPPED,
        Error::UnknownFunction { .. } | Error::NotAttached(_) | Error::NoMap { .. } => UBPF_NOT_FOUND,
        Error::NoStub { .. } | Error::UnusableStub(_) => UBPF_NO_STUB,
        Error::Ambiguous(_) => UBPF_AMBIGUOUS,
        Error::Attach(error) => attach_code(error),
        Error::MapFull { .. } => UBPF_FULL,
        Error::MapExists { .. } => UBPF_EXISTS,
        Error::MapMemory { .. } => UBPF_NO_MEMORY,
        Error::Map(_) | Error::TooManyMaps { .. } => UBPF_REFUSED,
        Error::Detach(error) => detach_code(error),
        Error::NoLane => UBPF_BUSY,
        Error::Symbols(symbols) => symbol_code(&symbols.about),
    }
}

fn helper_code(error: &RegisterError) -> c_int {
    match error {
        RegisterError::NameTaken | RegisterError::NumberTaken { .. } => UBPF_EXISTS,
        RegisterError::NumberTooLarge { .. } | RegisterError::BadName | RegisterError::BadSignature(_) => UBPF_INVALID,
        RegisterError::NoMemory | RegisterError::Full => UBPF_NO_MEMORY,
    }
}

fn attach_code(error: &AttachError) -> c_int {
    match error {
        AttachError::NotInitialised => UBPF_NOT_STARTED,
        AttachError::NoSite { .. } => UBPF_NO_STUB,
        AttachError::Denied { .. } => UBPF_DENIED,
        AttachError::AlreadyAttached { .. } => UBPF_EXISTS,
        AttachError::NoTextPatch
        | AttachError::NoReturn { .. }
        | AttachError::NoTimer { .. }
        | AttachError::OutOfReach { .. }
        | AttachError::Patch(PatchError::SeveralCpus { .. }) => UBPF_UNSUPPORTED,
        AttachError::Patch(_) => UBPF_IO,
        AttachError::Busy { .. } => UBPF_BUSY,
        AttachError::NoMemory => UBPF_NO_MEMORY,
    }
}

fn detach_code(error: &DetachError) -> c_int {
    match error {
        DetachError::NotAttached => UBPF_STALE,
        DetachError::Patch(_) => UBPF_IO,
        DetachError::Busy { .. } => UBPF_BUSY,
        DetachError::NoMemory => UBPF_NO_MEMORY,
    }
}

fn file_code(error: &FileError) -> c_int {
    match error {
        FileError::NotFound => UBPF_NOT_FOUND,
        FileError::TooLarge { .. } => UBPF_TOO_LARGE,
        FileError::Unsupported => UBPF_UNSUPPORTED,
        FileError::ReadOnly => UBPF_DENIED,
        FileError::NoMemory => UBPF_NO_MEMORY,
        FileError::Io(_) => UBPF_IO,
    }
}

fn symbol_code(error: &SymbolError) -> c_int {
    match error {
        SymbolError::NoMemory => UBPF_NO_MEMORY,
        SymbolError::Cancelled => UBPF_CANCELLED,
        _ => UBPF_REFUSED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{ffi::CStr, string::String};

    fn text_of(error: Error) -> (c_int, String) {
        let mut into = ubpf_error { code: 1, text: [1; UBPF_ERROR_BYTES] };
        // SAFETY: a live struct.
        let code = unsafe { finish(Err(error.into()), &mut into) };
        assert_eq!(code, into.code);
        // SAFETY: `finish` leaves a NUL.
        let text = unsafe { CStr::from_ptr(into.text.as_ptr()) };
        (code, text.to_str().unwrap().into())
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        for shift in 0..3 {
            let mut name = "x".repeat(shift);
            name.push_str(&"\u{20ac}".repeat(200));
            let (code, text) = text_of(Error::UnknownFunction { name });
            assert_eq!(code, UBPF_NOT_FOUND);
            assert!(text.starts_with("no function x") || shift == 0);
            assert!((UBPF_ERROR_BYTES - 4..UBPF_ERROR_BYTES).contains(&text.len()));
        }
    }

    #[test]
    fn success_clears_the_text() {
        let mut into = ubpf_error { code: 1, text: [1; UBPF_ERROR_BYTES] };
        // SAFETY: a live struct, then NULL.
        let codes = unsafe { [finish(Ok(()), &mut into), finish(Ok(()), core::ptr::null_mut())] };
        assert_eq!((codes, into.code, into.text[0]), ([0, 0], 0, 0));
    }
}
