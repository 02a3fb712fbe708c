//! Commands of the application.

use super::codes::{USHELL_EXISTS, USHELL_INVALID, USHELL_NO_MEMORY, USHELL_OK};
use crate::{
    command::{check_texts, Call, Command, Failure, RegisterError},
    output::Output,
    registry,
};
use alloc::{format, vec::Vec};
use core::{
    ffi::{c_char, c_int, c_void, CStr},
    ptr,
};
use ubpf_rs::platform::{copied, has_room, SMALL_THINGS};

/// Where a command writes; valid during its call only.
pub struct ushell_output {
    _opaque: [u8; 0],
}

/// What runs when a command is called: on the shell's thread, with the words of the line. `argv[0]` is the command's
/// name and `argv[argc]` is NULL. Returns 0 when it did well; anything else is shown as a failure.
pub type ushell_command_fn = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        argc: c_int,
        argv: *const *const c_char,
        out: *mut ushell_output,
    ) -> c_int,
>;

/// Registers a command of the application with every shell of the image; from any thread, at any time.
///
/// `args` says what it takes and is checked before each call: `LEVEL [FILE...] on|off` for a required
/// argument, any number of optional ones, and a choice; NULL for anything. The first line of `help` is the summary in
/// the list of commands. `name` has at most 64 bytes (letters, digits, `_` and `-`), `args` 512 and `help` 8192. The texts are copied. Returns USHELL_OK, or why not.
///
/// Threads: any, at any time, also a command.
///
/// Errors: USHELL_EXISTS; USHELL_INVALID; USHELL_NO_MEMORY.
///
/// # Safety
/// `name`, `args` and `help` are NULL or NUL-terminated strings. `handler` may be called with `context` from the
/// shell's thread for as long as the image runs.
#[no_mangle]
pub unsafe extern "C" fn ushell_register_command(
    name: *const c_char,
    args: *const c_char,
    help: *const c_char,
    handler: ushell_command_fn,
    context: *mut c_void,
) -> c_int {
    // SAFETY: the caller promises strings or NULL, which is all that `text` asks for.
    let (name, args, help) = unsafe { (text(name), text(args), text(help)) };
    let (Ok(Some(name)), Ok(args), Ok(help)) = (name, args, help) else {
        return USHELL_INVALID;
    };
    let Some(function) = handler else {
        return USHELL_INVALID;
    };
    let texts = (name, args.unwrap_or("[ARG...]"), help.unwrap_or(""));
    register(texts, function, context).map_or_else(code, |()| USHELL_OK)
}

fn code(error: RegisterError) -> c_int {
    match error {
        RegisterError::NoMemory => USHELL_NO_MEMORY,
        RegisterError::Exists { .. } => USHELL_EXISTS,
        RegisterError::BadName { .. } | RegisterError::TooLong { .. } | RegisterError::BadArgs { .. } => USHELL_INVALID,
    }
}

fn register(
    (name, args, help): (&str, &str, &str),
    function: Function,
    context: *mut c_void,
) -> Result<(), RegisterError> {
    // Before anything is copied, whose size is the caller's.
    check_texts(name, args, help)?;
    let texts = copied(name).zip(copied(args)).zip(copied(help));
    let ((name, args), help) = texts.ok_or(RegisterError::NoMemory)?;
    if !has_room(SMALL_THINGS) {
        return Err(RegisterError::NoMemory);
    }
    let handler = CHandler { function, context };
    let run = move |call: &mut Call<'_>| handler.call(call);
    registry::register_command(Command::new(name, args, help, run))
}

/// Writes `length` bytes of text from within a command. What goes beyond the shell's buffer is dropped, and the reader
/// is told.
///
/// Threads: the one that called the command.
///
/// # Safety
/// `out` is what the command was called with, and the call has not ended; `text` points to `length` readable bytes.
#[no_mangle]
pub unsafe extern "C" fn ushell_write(out: *mut ushell_output, text: *const c_char, length: usize) {
    if out.is_null() || text.is_null() {
        return;
    }
    // SAFETY: `out` came from `Handler::call`, which lends its output to nobody else during the call.
    let output = unsafe { &mut *out.cast::<Output>() };
    // SAFETY: the caller promises `length` readable bytes, and nobody writes them meanwhile.
    output.bytes(unsafe { core::slice::from_raw_parts(text.cast(), length) });
}

/// A C string, if there is one; an error if it is not UTF-8.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and stays while the result is used.
unsafe fn text<'a>(text: *const c_char) -> Result<Option<&'a str>, ()> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, so NUL-terminated by the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| ())
}

type Function = unsafe extern "C" fn(*mut c_void, c_int, *const *const c_char, *mut ushell_output) -> c_int;

struct CHandler {
    function: Function,
    context: *mut c_void,
}

// SAFETY: `context` is only handed back to the application's function, which agreed at registration to be called with it
// from the shell's thread.
unsafe impl Send for CHandler {}
// SAFETY: as above; the handler itself is never changed.
unsafe impl Sync for CHandler {}

impl CHandler {
    fn call(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        let words = || core::iter::once(call.name).chain(call.args.from(0).iter().copied());
        if words().any(|word| word.contains('\0')) {
            return Err(Failure::message("an argument contains a NUL"));
        }
        let bytes = words().map(|word| word.len().saturating_add(1)).sum();
        let (mut text, mut argv) = (Vec::<u8>::new(), Vec::new());
        let argc = words().count();
        let room = text.try_reserve_exact(bytes);
        let room = room.and_then(|()| argv.try_reserve_exact(argc.saturating_add(1)));
        room.map_err(|_| Failure::message("out of memory"))?;
        words().for_each(|word| text.extend(word.bytes().chain([0])));
        let mut rest: &[u8] = &text;
        for word in words() {
            argv.push(rest.as_ptr().cast::<c_char>());
            rest = rest.get(word.len().saturating_add(1)..).unwrap_or(&[]);
        }
        let argc = c_int::try_from(argc).unwrap_or(c_int::MAX);
        argv.push(ptr::null());
        let out = ptr::from_mut(&mut *call.out).cast::<ushell_output>();
        // SAFETY: registered for exactly this; words and output live until it returns.
        match unsafe { (self.function)(self.context, argc, argv.as_ptr(), out) } {
            0 => Ok(()),
            code => Err(Failure::message(format!("{} failed (code {code})", call.name))),
        }
    }
}
