//! Load, run, forget.

use super::{
    args::{self, handle, ubpf_load_options, Versioned, PROGRAM},
    codes::{finish, ubpf_error, Result},
};
use crate::runtime::{Error, ProgramId};
use core::ffi::{c_char, c_int, c_void};

/// Names a loaded program; 0 names none. A number that is never given twice, so that one whose program was forgotten
/// is an error and never another program.
pub type ubpf_program = u64;

/// What a run gave.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct ubpf_run {
    /// sizeof of this struct, as the caller knows it.
    pub size: usize,
    /// r0.
    pub value: u64,
    /// What is left of the budget. Also filled in when the program was stopped.
    pub budget_left: u64,
}

args::sized_structs!(ubpf_run);

/// Loads a program from memory and checks it. `name` is for messages and lists; `options` may be NULL.
///
/// Errors: UBPF_REFUSED, with the reason as text; UBPF_UNSUPPORTED machine code was asked for, and there is none here.
///
/// # Safety
/// `name` is NULL or NUL-terminated; `bytes` points to `length` readable bytes; `options` is NULL or readable;
/// `program` and `error` are NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_load(
    name: *const c_char,
    bytes: *const c_void,
    length: usize,
    options: *const ubpf_load_options,
    program: *mut ubpf_program,
    error: *mut ubpf_error,
) -> c_int {
    let load = || {
        // SAFETY: as the caller promises.
        let (name, bytes, options) = unsafe {
            (args::text(name, "name is NULL or not UTF-8")?, args::bytes(bytes, length)?, args::options(options)?)
        };
        Ok(args::runtime()?.load(name, bytes, &options)?)
    };
    // SAFETY: as the caller promises.
    unsafe { finish(give(program, load), error) }
}

/// Loads a program from a file of the platform and checks it. `options` may be NULL.
///
/// Errors: those of ubpf_load; UBPF_NOT_FOUND, UBPF_TOO_LARGE and UBPF_IO of the file; UBPF_UNSUPPORTED also where the
/// platform has no files.
///
/// # Safety
/// As for ubpf_load.
#[no_mangle]
pub unsafe extern "C" fn ubpf_load_file(
    path: *const c_char,
    options: *const ubpf_load_options,
    program: *mut ubpf_program,
    error: *mut ubpf_error,
) -> c_int {
    let load = || {
        // SAFETY: as the caller promises.
        let (path, options) = unsafe { (args::text(path, "path is NULL or not UTF-8")?, args::options(options)?) };
        Ok(args::runtime()?.load_file(path, &options)?)
    };
    // SAFETY: as the caller promises.
    unsafe { finish(give(program, load), error) }
}

/// Runs `load` and gives its program to `into`, which is 0 when that fails.
///
/// # Safety
/// `into` is NULL or writable.
unsafe fn give(into: *mut ubpf_program, load: impl FnOnce() -> Result<ProgramId>) -> Result<()> {
    // SAFETY: as the caller promises.
    let into = unsafe { args::out(into, "program is NULL") }?;
    *into = 0;
    *into = handle(PROGRAM, load()?.raw());
    Ok(())
}

/// Checks a program as ubpf_load does, and keeps nothing.
///
/// Errors: those of ubpf_load.
///
/// # Safety
/// As for ubpf_load.
#[no_mangle]
pub unsafe extern "C" fn ubpf_verify(
    name: *const c_char,
    bytes: *const c_void,
    length: usize,
    options: *const ubpf_load_options,
    error: *mut ubpf_error,
) -> c_int {
    let verify = || {
        // SAFETY: as the caller promises.
        let (name, bytes, options) = unsafe {
            (args::text(name, "name is NULL or not UTF-8")?, args::bytes(bytes, length)?, args::options(options)?)
        };
        Ok(args::runtime()?.check(name, bytes, &options)?)
    };
    // SAFETY: as the caller promises.
    unsafe { finish(verify(), error) }
}

/// Forgets a loaded program. Where it is attached it goes on.
///
/// Errors: UBPF_STALE.
///
/// # Safety
/// `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_unload(program: ubpf_program, error: *mut ubpf_error) -> c_int {
    let unload = || Ok(args::runtime()?.unload(args::program(program)?)?);
    // SAFETY: as the caller promises.
    unsafe { finish(unload(), error) }
}

/// Runs a program once with `memory` as its argument (r1 its address, r2 its length), which it may read and write.
/// `budget` is in units of a nanosecond of machine code, 0 for the configured one. UBPF_STOPPED when it did not come to its end; where and why
/// stands in `error` and on the console. `run` may be NULL.
///
/// Errors: UBPF_STALE; UBPF_STOPPED.
///
/// # Safety
/// `memory` points to `length` readable and writable bytes that nobody else uses meanwhile; `run` and `error` are NULL or
/// writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_exec(
    program: ubpf_program,
    memory: *mut c_void,
    length: usize,
    budget: u64,
    run: *mut ubpf_run,
    error: *mut ubpf_error,
) -> c_int {
    let exec = || {
        let mut unused = ubpf_run { size: size_of::<ubpf_run>(), ..ubpf_run::default() };
        let into = if run.is_null() { &raw mut unused } else { run };
        let mut run = ubpf_run::default();
        // SAFETY: as the caller promises, also for the second call.
        unsafe { args::give(into, &run) }?;
        // SAFETY: as the caller promises.
        let memory = unsafe { args::bytes_mut(memory, length) }?;
        let budget = (budget != 0).then_some(budget);
        let report = args::runtime()?.exec(args::program(program)?, memory, budget);
        match &report {
            Ok(report) => (run.value, run.budget_left) = (report.value, report.budget_left),
            Err(Error::Stopped(stopped)) => run.budget_left = stopped.budget_left,
            Err(_) => {}
        }
        // SAFETY: as above.
        unsafe { args::give(into, &run) }?;
        report?;
        Ok(())
    };
    // SAFETY: as the caller promises.
    unsafe { finish(exec(), error) }
}
