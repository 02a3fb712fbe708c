//! Return codes, their texts, and the version.

use core::ffi::{c_char, c_int, CStr};

/// The call did what it says.
pub const USHELL_OK: c_int = 0;
/// The engine was not started: call ubpf_start first.
pub const USHELL_NOT_STARTED: c_int = -3;
/// The handle names no session: it was closed, or never given.
pub const USHELL_STALE: c_int = -9;
/// There is no memory; nothing was changed.
pub const USHELL_NO_MEMORY: c_int = -12;
/// Another call works on this session at this moment.
pub const USHELL_BUSY: c_int = -16;
/// There is a command of this name already.
pub const USHELL_EXISTS: c_int = -17;
/// A pointer is NULL, a length or a text is not what it must be, or the name of a command has characters other than
/// letters, digits, `_` and `-`.
pub const USHELL_INVALID: c_int = -22;
/// A struct has fields that this version of the library does not know, and they are not zero.
pub const USHELL_UNSUPPORTED: c_int = -95;

/// The version of the library, for instance "0.1.0". The text stays.
///
/// Threads: any, at any time.
#[no_mangle]
pub extern "C" fn ushell_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// A code in words, for instance "no such session". The text stays.
///
/// Threads: any, at any time.
#[no_mangle]
pub extern "C" fn ushell_error_text(code: c_int) -> *const c_char {
    text_of(code).as_ptr()
}

fn text_of(code: c_int) -> &'static CStr {
    match code {
        // A count of bytes is no error either.
        USHELL_OK.. => c"no error",
        USHELL_NOT_STARTED => c"the engine was not started: call ubpf_start first",
        USHELL_STALE => c"no such session: it was closed, or never opened",
        USHELL_NO_MEMORY => c"out of memory",
        USHELL_BUSY => c"another call works on this session",
        USHELL_EXISTS => c"there is a command of this name already",
        USHELL_INVALID => c"an argument is NULL, out of range, not UTF-8, or no name for a command",
        USHELL_UNSUPPORTED => c"the configuration has fields that this version of the library does not know",
        _ => c"unknown code",
    }
}
