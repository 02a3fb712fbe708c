//! Load, run, forget.

#[cfg(not(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none"))))]
use super::codes::{CallFailure, UBPF_UNSUPPORTED};
use super::{
    args::{self, handle, ubpf_load_options, Versioned, PROGRAM},
    codes::{finish, ubpf_error, Result},
};
use crate::runtime::{Error, LinkedCount, ProgramId, Runtime};
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

/// Loads a program from memory and checks it. `name` is for messages and lists: 1 to 256 bytes of UTF-8 without control
/// characters; `options` may be NULL.
///
/// Threads: any, at any time, but no helper at a traced function.
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

/// Loads a program from a file of the platform and checks it. `options` may be NULL. A program of the image (ubpf_add_linked) whose
/// name `path` is comes first, unless `options` ask for what it is not: another numbering, another policy, or the interpreter.
///
/// Threads: any, at any time, but no helper at a traced function.
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

/// Gives the engine programs that were compiled ahead of time (`ubpf aot`) and linked into this image: those between `start` and `end`,
/// which are the linker's `__start_ubpf_programs` and `__stop_ubpf_programs`. Each is verified once more. ubpf_load_file and the
/// shell's commands find them by their names, before files; they stay until the engine ends. `added` (NULL is good) gets how many they
/// are.
///
/// Threads: any, at any time, but no helper at a traced function.
///
/// Errors: UBPF_REFUSED some cannot be used (another version of ubpf, other helpers, another CPU, a name that is taken, longer than 128
/// bytes, or cannot be shown): the text says why the first of them, the console why each; the others are added. UBPF_UNSUPPORTED this
/// library was built without the compiler. After UBPF_NO_MEMORY, too, some may be added.
///
/// # Safety
/// Between `start` and `end` lies what `ubpf aot` has written and the linker put there, for as long as the image runs; `added` and
/// `error` are NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_add_linked(
    start: *const c_void,
    end: *const c_void,
    added: *mut usize,
    error: *mut ubpf_error,
) -> c_int {
    let add = || {
        let mut unused = 0;
        // SAFETY: as the caller promises.
        let added = unsafe { added.as_mut() }.unwrap_or(&mut unused);
        *added = 0;
        let runtime = args::runtime()?;
        // SAFETY: as the caller promises.
        let count = unsafe { add_linked(&runtime, start, end) }?;
        *added = count.added;
        count.first_refused.map_or(Ok(()), |why| Err(why.into()))
    };
    // SAFETY: as the caller promises.
    unsafe { finish(add(), error) }
}

/// # Safety
/// As for [`ubpf_add_linked`].
#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
unsafe fn add_linked(runtime: &Runtime, start: *const c_void, end: *const c_void) -> Result<LinkedCount> {
    use super::codes::invalid;
    use crate::jit::LinkedProgram;
    let (record, bytes) = (size_of::<LinkedProgram>(), end.addr().wrapping_sub(start.addr()));
    let whole = start.addr().is_multiple_of(align_of::<LinkedProgram>()) && bytes.is_multiple_of(record);
    if start.is_null() != end.is_null() || !whole || bytes > isize::MAX as usize {
        return Err(invalid("start and end are not those of a table of programs"));
    }
    if bytes == 0 {
        return Ok(LinkedCount::default());
    }
    // SAFETY: as the caller promises; not NULL, aligned, and of whole records.
    Ok(unsafe { runtime.add_linked(core::slice::from_raw_parts(start.cast(), bytes.checked_div(record).unwrap_or(0))) })
}

/// # Safety
/// None.
#[cfg(not(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none"))))]
unsafe fn add_linked(_: &Runtime, _: *const c_void, _: *const c_void) -> Result<LinkedCount> {
    Err(CallFailure::Argument(UBPF_UNSUPPORTED, "this library was built without the compiler"))
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
/// Threads: any, at any time, but no helper at a traced function.
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
/// Threads: any, at any time, but no helper at a traced function.
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
/// Threads: any, at any time, but no helper at a traced function; a program may run on several.
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
