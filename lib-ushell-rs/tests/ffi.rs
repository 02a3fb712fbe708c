//! Commands registered through the C interface.
#![cfg(feature = "capi")]

mod common;

use common::Session;
use std::{
    ffi::{c_char, c_int, c_void, CStr},
    ptr,
};
use ushell_rs::ffi::{
    ushell_command_fn, ushell_output, ushell_register_command, ushell_write, USHELL_EXISTS, USHELL_INVALID, USHELL_OK,
};

/// Counts its calls and writes its words; fails without an argument.
unsafe extern "C" fn greet(
    context: *mut c_void,
    argc: c_int,
    argv: *const *const c_char,
    out: *mut ushell_output,
) -> c_int {
    // SAFETY: the test passes a counter.
    unsafe { *context.cast::<c_int>() += 1 };
    for index in 0..argc as usize {
        // SAFETY: there are `argc` strings.
        let word = unsafe { CStr::from_ptr(*argv.add(index)) };
        // SAFETY: `out` is ours during the call, and the string has this length.
        unsafe { ushell_write(out, word.as_ptr(), word.count_bytes()) };
        // SAFETY: as above.
        unsafe { ushell_write(out, c";".as_ptr(), 1) };
    }
    // SAFETY: the list ends with NULL.
    assert!(unsafe { *argv.add(argc as usize) }.is_null());
    (argc < 2).into()
}

#[test]
fn registered_while_a_shell_runs() {
    let mut session = Session::new();
    session.drain();
    let mut count: c_int = 0;
    let context: *mut c_void = ptr::from_mut(&mut count).cast();
    let register = |name: *const c_char, args: *const c_char, handler: ushell_command_fn| {
        // SAFETY: strings or NULL; the handler is called only below, while the counter lives.
        unsafe { ushell_register_command(name, args, c"greet someone".as_ptr(), handler, context) }
    };
    let (greet, anything) = (Some(greet as _), ptr::null());
    assert_eq!(register(ptr::null(), anything, greet), USHELL_INVALID);
    assert_eq!(register(c"greet".as_ptr(), anything, None), USHELL_INVALID);
    assert_eq!(register(c"a b".as_ptr(), anything, greet), USHELL_INVALID);
    assert_eq!(register(c"\xff".as_ptr(), anything, greet), USHELL_INVALID);
    assert_eq!(register(c"ls".as_ptr(), anything, greet), USHELL_EXISTS);
    assert!(session.text("greet you\n").starts_with("unknown command `greet`"));
    assert_eq!(register(c"greet".as_ptr(), anything, greet), USHELL_OK);
    assert_eq!(register(c"greet".as_ptr(), anything, greet), USHELL_EXISTS);
    assert_eq!(register(c"greet2".as_ptr(), c"NAME".as_ptr(), greet), USHELL_OK);

    assert_eq!(session.text("greet you 'and me'\n"), "greet;you;and me;\n> ");
    assert_eq!(session.text("greet\n"), "greet;\ngreet failed (code 1)\n> ");
    assert_eq!(session.text("greet2\n"), "NAME is missing\nUsage: greet2 NAME\n> ");
    assert_eq!(session.text("complete gree\n"), "greet\ngreet2\n> ");
    assert_eq!(count, 2);
}
