//! Sites, symbols, attach, detach, list.

use super::{
    args::{self, handle, ubpf_limits, PROBE},
    codes::{finish, invalid, ubpf_error, CText, CallFailure, Result, UBPF_NOT_FOUND},
    programs::ubpf_program,
};
use crate::{
    runtime::{Error, Refusal, SymbolError},
    tracer::{ProbeReport, SiteKind, Unusable},
};
use alloc::{string::ToString, vec::Vec};
use core::{
    ffi::{c_char, c_int, c_void},
    fmt::Write,
};

/// Names a program attached to a function; 0 names none. Never given twice.
pub type ubpf_probe = u64;

/// An attached program; valid during the call that shows it.
#[repr(C)]
pub struct ubpf_probe_info {
    /// sizeof of this struct, as the library knows it: fields beyond are not there.
    pub size: usize,
    /// Its handle.
    pub probe: ubpf_probe,
    /// Name of the function.
    pub function: *const c_char,
    /// Name of the program.
    pub program: *const c_char,
    /// Address by which programs know the function.
    pub address: u64,
    /// Calls of the function since the attach: `runs + misses + outstanding + abandoned`.
    pub hits: u64,
    /// How often the program ran.
    pub runs: u64,
    /// How often it could not run.
    pub misses: u64,
    /// How many of its runs were stopped.
    pub failures: u64,
    /// Stopped runs that were not reported, to bound the rate.
    pub unreported: u64,
    /// Nanoseconds of those runs that were measured.
    pub run_ns: u64,
    /// How many runs were measured (ubpf_stats).
    pub timed_runs: u64,
    /// 1 if it runs when the function returns, 0 if when it is called.
    pub at_return: u64,
    /// Of a program at returns: calls that have not returned yet.
    pub outstanding: u64,
    /// Of a program at returns: calls that will not return, since somebody jumped out of them or their thread has ended.
    pub abandoned: u64,
    /// Calls that the engine's own control path has made, at which it did not run (UBPF_ATTACH_OWN); they are no hits.
    pub left_out: u64,
    /// By which way it runs: `direct`, straight from the function; `general: ` and why, through the engine's entry; or `interpreted`.
    pub way: *const c_char,
}

/// Longest way, with its NUL.
const WAY_BYTES: usize = 96;

/// Called for each attached program. It may call the engine.
pub type ubpf_each_probe = Option<unsafe extern "C" fn(context: *mut c_void, info: *const ubpf_probe_info)>;

/// Records of `-fpatchable-function-entry=5` (the section `__patchable_function_entries`).
pub const UBPF_SITES_PATCHABLE: u32 = 1;
/// Records of `-pg -mrecord-mcount -mnop-mcount` (the section `__mcount_loc`).
pub const UBPF_SITES_MCOUNT: u32 = 2;
/// Addresses of functions compiled with `-finstrument-functions`.
pub const UBPF_SITES_INSTRUMENTED: u32 = 3;

/// Attaches a loaded program to a function, to its entry unless its section or `limits` says that it is for returns; the function is given by name or as an address ("0x401000"). `limits` and `probe`
/// may be NULL.
///
/// Threads: any, at any time, but no helper at a traced function; changes take turns.
///
/// Errors: UBPF_STALE the program; UBPF_NOT_FOUND, UBPF_AMBIGUOUS, UBPF_NO_STUB and UBPF_DENIED the function; UBPF_EXISTS
/// a program of this name is attached there; UBPF_UNSUPPORTED the platform cannot change text, or a program cannot run at the return of
/// this function; UBPF_IO it failed to.
///
/// # Safety
/// `function` is NULL or NUL-terminated; `limits` is NULL or readable; `probe` and `error` are NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_attach(
    function: *const c_char,
    program: ubpf_program,
    limits: *const ubpf_limits,
    probe: *mut ubpf_probe,
    error: *mut ubpf_error,
) -> c_int {
    let attach = || {
        let mut unused = 0;
        // SAFETY: as the caller promises.
        let into = unsafe { probe.as_mut() }.unwrap_or(&mut unused);
        *into = 0;
        // SAFETY: as the caller promises.
        let (function, limits) = unsafe { (args::text(function, FUNCTION)?, args::limits(limits)?) };
        let id = args::runtime()?.attach(function, args::program(program)?, limits)?;
        *into = handle(PROBE, id.raw());
        Ok(())
    };
    // SAFETY: as the caller promises.
    unsafe { finish(attach(), error) }
}

const FUNCTION: &str = "function is NULL or not UTF-8";

/// Detaches one program; it runs no more when this returns.
///
/// Threads: any, at any time, but no helper at a traced function; changes take turns.
///
/// Errors: UBPF_STALE; UBPF_IO its call could not be taken out of the text (the program is off all the same).
///
/// # Safety
/// `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_detach(probe: ubpf_probe, error: *mut ubpf_error) -> c_int {
    let detach = || {
        let (runtime, id) = (args::runtime()?, args::probe(probe)?);
        let done = runtime.detach_probe(id);
        runtime.drain_console();
        Ok(done?)
    };
    // SAFETY: as the caller promises.
    unsafe { finish(detach(), error) }
}

/// Lets a loaded program take the place of an attached one: each call of the function is seen by one of the two, and by the new one alone when
/// this returns. `probe` names the new one then, which keeps what was said when the old one was attached, and its counts.
///
/// Threads: any, at any time, but no helper at a traced function; changes take turns.
///
/// Errors: UBPF_STALE the probe or the program; UBPF_EXISTS a program of this name is attached there; UBPF_UNSUPPORTED the new program cannot
/// be where the old one is.
///
/// # Safety
/// `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_replace(probe: ubpf_probe, program: ubpf_program, error: *mut ubpf_error) -> c_int {
    let replace = || Ok(args::runtime()?.replace_probe(args::probe(probe)?, args::program(program)?)?);
    // SAFETY: as the caller promises.
    unsafe { finish(replace(), error) }
}

/// Detaches from a function the program of this name, or all of its programs where `program` is NULL. `count` (NULL is
/// good) gets how many they were. A pattern, with `*` for any characters, is all functions that it fits.
///
/// Threads: any, at any time, but no helper at a traced function; changes take turns.
///
/// Errors: UBPF_NOT_FOUND the function, or the program there; UBPF_AMBIGUOUS and UBPF_NO_STUB the function; UBPF_IO as
/// ubpf_detach.
///
/// # Safety
/// `function` and `program` are NULL or NUL-terminated; `count` and `error` are NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_detach_function(
    function: *const c_char,
    program: *const c_char,
    count: *mut usize,
    error: *mut ubpf_error,
) -> c_int {
    let detach = || {
        let mut unused = 0;
        // SAFETY: as the caller promises.
        let count = unsafe { count.as_mut() }.unwrap_or(&mut unused);
        *count = 0;
        // SAFETY: as the caller promises.
        let (function, program) =
            unsafe { (args::text(function, FUNCTION)?, args::optional_text(program, "program is not UTF-8")?) };
        *count = args::runtime()?.detach(function, program)?;
        Ok(())
    };
    // SAFETY: as the caller promises.
    unsafe { finish(detach(), error) }
}

/// Calls `each` for every attached program of a function, or of all functions where that is NULL, in the order they run.
///
/// Threads: any, at any time, but no helper at a traced function.
///
/// Errors: UBPF_NOT_FOUND, UBPF_AMBIGUOUS and UBPF_NO_STUB the function.
///
/// # Safety
/// `function` is NULL or NUL-terminated; `each` may be called with `context`; `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_list(
    function: *const c_char,
    each: ubpf_each_probe,
    context: *mut c_void,
    error: *mut ubpf_error,
) -> c_int {
    let list = || {
        // SAFETY: as the caller promises.
        let function = unsafe { args::optional_text(function, FUNCTION) }?;
        let each = each.ok_or(invalid("each is NULL"))?;
        let runtime = args::runtime()?;
        let mut pace = runtime.pace();
        for report in runtime.list(function)? {
            for probe in &report.probes {
                pace.point().map_err(Error::from)?;
                show(probe, &report.function, |info| {
                    // SAFETY: as the caller promises; the info lives during the call.
                    unsafe { each(context, info) }
                })?;
            }
        }
        Ok(())
    };
    // SAFETY: as the caller promises.
    unsafe { finish(list(), error) }
}

fn show(report: &ProbeReport, function: &str, each: impl FnOnce(&ubpf_probe_info)) -> Result<()> {
    let (function, program) = (c_text(function)?, c_text(&report.program)?);
    let mut way = [0; WAY_BYTES];
    // What does not fit is cut.
    let _ = match report.detour {
        None => CText::new(&mut way).write_str("direct"),
        Some(detour) => write!(CText::new(&mut way), "{detour}"),
    };
    each(&ubpf_probe_info {
        size: size_of::<ubpf_probe_info>(),
        probe: handle(PROBE, report.id.raw()),
        function: function.as_ptr(),
        program: program.as_ptr(),
        address: report.point.key(),
        hits: report.hits,
        runs: report.runs,
        misses: report.misses,
        failures: report.failures,
        unreported: report.unreported,
        run_ns: report.run_ns,
        timed_runs: report.timed_runs,
        at_return: report.point.is_return().into(),
        outstanding: report.outstanding,
        abandoned: report.abandoned,
        left_out: report.left_out,
        way: way.as_ptr().cast(),
    });
    Ok(())
}

/// A copy with a NUL.
fn c_text(text: &str) -> Result<Vec<c_char>> {
    let mut copy = Vec::new();
    let len = text.len().saturating_add(1);
    copy.try_reserve_exact(len).map_err(|_| Error::NoMemory)?;
    copy.extend(text.bytes().chain([0]).map(|byte| byte as c_char));
    Ok(copy)
}

/// Called for each name; returns 0 to end the list.
pub type ubpf_each_name = Option<unsafe extern "C" fn(context: *mut c_void, name: *const c_char) -> c_int>;

/// Calls `each` with the names of the functions that can be traced, ascending. It must not call the engine.
///
/// Threads: any, at any time, but no helper at a traced function.
///
/// Errors: those of every call.
///
/// # Safety
/// `each` may be called with `context`; `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_functions(each: ubpf_each_name, context: *mut c_void, error: *mut ubpf_error) -> c_int {
    let list = || {
        let each = each.ok_or(invalid("each is NULL"))?;
        let runtime = args::runtime()?;
        let mut pace = runtime.pace();
        let mut result = Ok(true);
        let mut next = Some(0);
        while let Some(first) = next {
            next = runtime.functions(first, &mut |name, _| {
                result = c_text(name).map(|name| {
                    // SAFETY: as the caller promises; the name lives during the call.
                    unsafe { each(context, name.as_ptr()) != 0 }
                });
                matches!(result, Ok(true))
            });
            if !matches!(result, Ok(true)) {
                break;
            }
            pace.point().map_err(Error::from)?;
        }
        result.map(drop)
    };
    // SAFETY: as the caller promises.
    unsafe { finish(list(), error) }
}

/// Tells the engine where the compiler left entry stubs: `count` addresses. `kind` is one of UBPF_SITES. `added` (NULL is good)
/// gets how many of them can be traced. To be called at start, before threads run in these functions, and after
/// ubpf_add_symbols: a stub of nops is used when a symbol says where its function begins. Why the others are not used says
/// ubpf_refused_stubs, and ubpf_attach to such a function.
///
/// Threads: one, at start.
///
/// Errors: UBPF_REFUSED none of them lies in a function that the symbols name, so they are of another image or were not moved with this
/// one; nothing was taken. After UBPF_NO_MEMORY some may be known; the call can be made again.
///
/// # Safety
/// `records` points to `count` readable numbers, which the compiler made for this image; `added` and `error` are NULL or
/// writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_add_sites(
    kind: u32,
    records: *const u64,
    count: usize,
    added: *mut usize,
    error: *mut ubpf_error,
) -> c_int {
    let add = || {
        let mut unused = 0;
        // SAFETY: as the caller promises.
        let added = unsafe { added.as_mut() }.unwrap_or(&mut unused);
        *added = 0;
        let named = |one| {
            Some(match one {
                SiteKind::Patchable => UBPF_SITES_PATCHABLE,
                SiteKind::Mcount => UBPF_SITES_MCOUNT,
                SiteKind::Instrumented => UBPF_SITES_INSTRUMENTED,
                SiteKind::Timer => return None,
            })
        };
        let found = SiteKind::ALL.into_iter().find(|&one| named(one) == Some(kind));
        let kind = found.ok_or_else(|| invalid("kind is none of UBPF_SITES"))?;
        // SAFETY: as the caller promises.
        let records = unsafe { numbers(records, count) }?;
        args::room()?;
        let runtime = args::runtime()?;
        runtime.check_sites(&records).map_err(refused)?;
        let count = runtime.add_sites(&records, kind);
        if count.without_memory > 0 {
            return Err(Error::NoMemory.into());
        }
        *added = count.added;
        Ok(())
    };
    // SAFETY: as the caller promises.
    unsafe { finish(add(), error) }
}

/// An error in symbols that come from no file.
fn refused(error: SymbolError) -> Error {
    Error::Symbols(Refusal::new("symbols".into(), error))
}

/// An entry stub that cannot be used; valid during the call that shows it.
#[repr(C)]
pub struct ubpf_refused_stub {
    /// sizeof of this struct, as the library knows it: fields beyond are not there.
    pub size: usize,
    /// Name of the function; empty where it is unknown.
    pub function: *const c_char,
    /// Address of the function; where that is unknown, what was recorded.
    pub address: u64,
    /// Why, in words.
    pub reason: *const c_char,
}

/// Called for each stub that cannot be used; returns 0 to end the list.
pub type ubpf_each_refused_stub =
    Option<unsafe extern "C" fn(context: *mut c_void, stub: *const ubpf_refused_stub) -> c_int>;

/// Calls `each` for every entry stub that cannot be used. It must not call the engine.
///
/// Threads: any, at any time, but no helper at a traced function.
///
/// Errors: those of every call.
///
/// # Safety
/// `each` may be called with `context`; `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_refused_stubs(
    each: ubpf_each_refused_stub,
    context: *mut c_void,
    error: *mut ubpf_error,
) -> c_int {
    let list = || {
        let each = each.ok_or(invalid("each is NULL"))?;
        let runtime = args::runtime()?;
        args::room()?;
        let (mut result, mut next) = (Ok(true), Some(0));
        let show = &mut |function: &str, address, reason: Unusable| {
            let (function, reason) = (c_text(function)?, c_text(&reason.to_string())?);
            let stub = ubpf_refused_stub {
                size: size_of::<ubpf_refused_stub>(),
                function: function.as_ptr(),
                address,
                reason: reason.as_ptr(),
            };
            // SAFETY: as the caller promises; the stub and its texts live during the call.
            Ok(unsafe { each(context, &stub) != 0 })
        };
        while let (Some(first), Ok(true)) = (next, &result) {
            next = runtime.refused_stubs(first, &mut |function, address, reason| {
                result = show(function, address, reason);
                matches!(result, Ok(true))
            });
        }
        result.map(|_| ())
    };
    // SAFETY: as the caller promises.
    unsafe { finish(list(), error) }
}

/// A copy of numbers, which need not be aligned.
///
/// # Safety
/// `numbers` is NULL or points to `count` readable numbers.
unsafe fn numbers(numbers: *const u64, count: usize) -> Result<Vec<u64>> {
    let len = count.checked_mul(8).ok_or(invalid("count is too large"))?;
    // SAFETY: as the caller promises.
    let bytes = unsafe { args::bytes(numbers.cast(), len) }?;
    let mut copy = Vec::new();
    copy.try_reserve_exact(count).map_err(|_| Error::NoMemory)?;
    let words = bytes.chunks_exact(8);
    copy.extend(words.filter_map(|word| Some(u64::from_ne_bytes(word.try_into().ok()?))));
    Ok(copy)
}

/// Gives the engine the symbols of this image, as the output of `nm`; they replace those known before. `count` (NULL
/// is good) gets how many they are. To be called at start, before ubpf_add_sites. Addresses are those of the running image,
/// or those of its file, as `nm` of it prints them: how far the program was moved when it was loaded is found by ubpf_start, or a local
/// name of the engine, which one of is in the list then.
///
/// Threads: one, at start.
///
/// Errors: UBPF_REFUSED no symbols, those of another image, or none that has one of the sites that are known.
///
/// # Safety
/// `text` points to `length` readable bytes; `count` and `error` are NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_add_symbols(
    text: *const c_char,
    length: usize,
    count: *mut usize,
    error: *mut ubpf_error,
) -> c_int {
    let add = || {
        let mut unused = 0;
        // SAFETY: as the caller promises.
        let count = unsafe { count.as_mut() }.unwrap_or(&mut unused);
        *count = 0;
        // SAFETY: as the caller promises.
        let text = unsafe { args::bytes(text.cast(), length) }?;
        args::room()?;
        *count = args::runtime()?.add_symbol_list(text).map_err(refused)?;
        Ok(())
    };
    // SAFETY: as the caller promises.
    unsafe { finish(add(), error) }
}

/// Reads symbols from a file of the platform (the output of `nm`), when it is of this image. `count` (NULL is good) gets
/// how many are known then.
///
/// Threads: any, at any time, but no helper at a traced function.
///
/// Errors: UBPF_REFUSED no symbols, or those of another image; UBPF_NOT_FOUND, UBPF_TOO_LARGE, UBPF_IO and
/// UBPF_UNSUPPORTED of the file.
///
/// # Safety
/// `path` is NULL or NUL-terminated; `count` and `error` are NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_load_symbols(path: *const c_char, count: *mut usize, error: *mut ubpf_error) -> c_int {
    let load = || {
        let mut unused = 0;
        // SAFETY: as the caller promises.
        let count = unsafe { count.as_mut() }.unwrap_or(&mut unused);
        *count = 0;
        // SAFETY: as the caller promises.
        let path = unsafe { args::text(path, "path is NULL or not UTF-8") }?;
        *count = args::runtime()?.load_symbols(path)?;
        Ok(())
    };
    // SAFETY: as the caller promises.
    unsafe { finish(load(), error) }
}

const NO_SYMBOL: CallFailure = CallFailure::Argument(UBPF_NOT_FOUND, "there is no such symbol");

/// Address of a symbol; UBPF_NOT_FOUND, and 0, where there is none.
///
/// Threads: any, at any time, also a helper at a traced function.
///
/// Errors: UBPF_NOT_FOUND.
///
/// # Safety
/// `name` is NULL or NUL-terminated; `address` and `error` are NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_symbol_address(name: *const c_char, address: *mut u64, error: *mut ubpf_error) -> c_int {
    let look = || {
        // SAFETY: as the caller promises.
        let into = unsafe { args::out(address, "address is NULL") }?;
        *into = 0;
        // SAFETY: as the caller promises.
        let name = unsafe { args::text(name, "name is NULL or not UTF-8") }?;
        *into = args::engine_for_helpers()?.symbol_address(name).ok_or(NO_SYMBOL)?;
        Ok(())
    };
    // SAFETY: as the caller promises.
    unsafe { finish(look(), error) }
}

/// Name of the symbol at or before an address, and the distance from it. At most `length` bytes are written, always with a
/// NUL; a longer name is cut. `distance` may be NULL.
///
/// Threads: any, at any time, also a helper at a traced function.
///
/// Errors: UBPF_NOT_FOUND.
///
/// # Safety
/// `name` points to `length` writable bytes; `distance` and `error` are NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_symbol_name(
    address: u64,
    name: *mut c_char,
    length: usize,
    distance: *mut u64,
    error: *mut ubpf_error,
) -> c_int {
    let look = || {
        // SAFETY: as the caller promises.
        let bytes = unsafe { args::bytes_mut(name.cast(), length) }?;
        let mut unused = 0;
        // SAFETY: as the caller promises.
        let distance = unsafe { distance.as_mut() }.unwrap_or(&mut unused);
        *distance = 0;
        let mut text = CText::new(bytes);
        let found = args::engine_for_helpers()?.with_symbol(address, &mut |name, away| {
            *distance = away;
            // A longer name is cut.
            let _ = text.write_str(name);
        });
        found.then_some(()).ok_or(NO_SYMBOL)
    };
    // SAFETY: as the caller promises.
    unsafe { finish(look(), error) }
}
