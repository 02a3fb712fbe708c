//! Start, state, console, two-key map, helpers of the application.

use super::{
    args::{self, Versioned},
    bindings::ubpf_platform,
    codes::{finish, invalid, ubpf_error, CallFailure, Result, UBPF_DENIED, UBPF_INVALID, UBPF_NOT_FOUND, UBPF_OK},
    platform,
};
use crate::{
    helpers::HelperFn,
    program::{ArgType, Cost, HelperSignature, RetType},
    runtime::{Config, Error, Runtime, Symbol},
};
use core::{
    ffi::{c_char, c_int, c_void},
    sync::atomic::{AtomicBool, Ordering},
};

/// Sizes and limits of the engine; but for `size`, 0 stands for what suits a small image.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ubpf_config {
    /// sizeof of this struct, as the caller knows it.
    pub size: usize,
    /// Budget of a program run by `ubpf_exec`: units of a nanosecond of machine code; no operation takes more than four times what
    /// it is charged. A run that is interpreted gets a thirtieth. Any number; 0: 1,000,000.
    pub exec_budget: u64,
    /// Budget of a program run at a function, in the same units. Any number; 0: 62,500.
    pub hook_budget: u64,
    /// Budget of a program run at a function in an interrupt, in the same units. Any number; 0: 8,192.
    pub irq_budget: u64,
    /// Entries of the two-key map, as many as there is memory for (up to 64 bytes each); 0: 1,024.
    pub map_entries: usize,
    /// Bytes of output that may wait for the console, rounded to what messages take, at least four of them; 0: 16,384.
    pub ring_bytes: usize,
    /// How many programs can run at functions at the same time, 1 to 64; 0: 8.
    pub hook_areas: usize,
    /// Bytes of memory that programs may share and write, rounded up to 8; 0: 4,096.
    pub arena_bytes: usize,
    /// Largest file that is read, in bytes; 0: 1,048,576.
    pub file_limit: usize,
    /// Policy of programs that are loaded without one, one of UBPF_POLICY; UBPF_POLICY_DEFAULT is UBPF_POLICY_GUARDED.
    pub policy: u32,
    /// Numbering of helpers of programs that are loaded without one, one of UBPF_ABI; UBPF_ABI_DEFAULT is
    /// UBPF_ABI_CLASSIC.
    pub abi: u32,
}

/// The state of the engine in numbers.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct ubpf_status {
    /// sizeof of this struct, as the caller knows it.
    pub size: usize,
    /// Loaded programs.
    pub programs: usize,
    /// Functions that can be traced.
    pub sites: usize,
    /// Symbols known.
    pub symbols: usize,
    /// Attached programs.
    pub probes: usize,
    /// Entries of the two-key map.
    pub map_entries: usize,
    /// How many it can hold.
    pub map_capacity: usize,
    /// Updates that it lost.
    pub map_lost: u64,
    /// Messages that found no room on their way to the console.
    pub output_lost: u64,
    /// 1 when run times are measured.
    pub stats: c_int,
}

/// The version of the library, for instance "0.1.0". The text stays.
///
/// Threads: any, at any time, also before ubpf_start.
#[no_mangle]
pub extern "C" fn ubpf_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Fills in the default sizes and limits, as much of them as `size` bytes hold, and the size itself. NULL is passed over.
///
/// Threads: any, at any time, also before ubpf_start.
///
/// Errors: UBPF_INVALID `size` is not that of a configuration.
///
/// # Safety
/// `config` is NULL or points to `size` writable bytes.
#[no_mangle]
pub unsafe extern "C" fn ubpf_config_default(config: *mut ubpf_config, size: usize) -> c_int {
    if config.is_null() {
        return UBPF_OK;
    }
    let default = Config::default();
    let default = ubpf_config {
        size,
        exec_budget: default.exec_budget,
        hook_budget: default.hook_budget,
        irq_budget: default.irq_budget,
        map_entries: default.map_entries,
        ring_bytes: default.ring_bytes,
        hook_areas: default.hook_areas,
        arena_bytes: default.arena_bytes,
        file_limit: default.file_limit,
        policy: args::UBPF_POLICY_DEFAULT,
        abi: args::UBPF_ABI_DEFAULT,
    };
    if size < size_of::<usize>() {
        return UBPF_INVALID;
    }
    // SAFETY: as the caller promises; the size stands first, and is within.
    let given = unsafe {
        config.cast::<usize>().write_unaligned(size);
        args::give(config, &default)
    };
    given.map_or(UBPF_INVALID, |()| UBPF_OK)
}

/// Starts the engine over the application's platform; there is one engine in an image. Where a platform of this project
/// has started it (Unikraft, ubpf_linux_start), this gives UBPF_EXISTS, and the engine can be used at once.
/// `config` may be NULL for the defaults.
///
/// Threads: any; of several one starts it, and the others get UBPF_EXISTS. Until it has returned, nothing else may be called.
///
/// Errors: UBPF_EXISTS it runs already; UBPF_INVALID the platform lacks what is required, or a number of the
/// configuration is out of its range.
///
/// # Safety
/// `platform` is NULL or keeps to platform.h; `config` is NULL or readable; `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_start(
    platform: *const ubpf_platform,
    config: *const ubpf_config,
    error: *mut ubpf_error,
) -> c_int {
    // SAFETY: as the caller promises.
    let result = unsafe { start(platform, config) };
    // SAFETY: as the caller promises.
    unsafe { finish(result, error) }
}

/// # Safety
/// As for [`ubpf_start`].
unsafe fn start(platform: *const ubpf_platform, config: *const ubpf_config) -> Result<()> {
    if Runtime::get().is_some() {
        return Err(Error::AlreadyRunning.into());
    }
    // SAFETY: as the caller promises.
    let config = match unsafe { args::sized(config) }? {
        Some(config) => engine_config(&config)?,
        None => Config::default(),
    };
    // SAFETY: as the caller promises.
    let platform = unsafe { platform::platform(platform) }?;
    match Runtime::init(platform, config) {
        Ok(runtime) => {
            let address = ubpf_start as *const () as u64;
            runtime.set_known_function(Symbol { name: "ubpf_start", address, function: true });
            OVER_C.store(true, Ordering::SeqCst);
            Ok(())
        }
        Err(error) => {
            // SAFETY: an engine that did not start keeps nothing.
            unsafe { platform::give_back(platform) };
            Err(error.into())
        }
    }
}

fn engine_config(config: &ubpf_config) -> Result<Config> {
    let default = Config::default();
    if config.hook_areas > crate::tracer::MAX_AREAS {
        return Err(invalid("hook_areas is not in 1 to 64"));
    }
    let budget = |given: u64, default| if given == 0 { default } else { given };
    let size = |given: usize, default| if given == 0 { default } else { given };
    Ok(Config {
        exec_budget: budget(config.exec_budget, default.exec_budget),
        hook_budget: budget(config.hook_budget, default.hook_budget),
        irq_budget: budget(config.irq_budget, default.irq_budget),
        map_entries: size(config.map_entries, default.map_entries),
        ring_bytes: size(config.ring_bytes, default.ring_bytes),
        hook_areas: size(config.hook_areas, default.hook_areas),
        arena_bytes: size(config.arena_bytes, default.arena_bytes),
        file_limit: size(config.file_limit, default.file_limit),
        policy: args::policy(config.policy)?.unwrap_or(default.policy),
        flat_abi: args::abi(config.abi)?.unwrap_or(default.flat_abi),
        ..default
    })
}

args::sized_structs!(ubpf_config, ubpf_status, ubpf_helper);

/// Ends the engine and gives everything back: programs are detached and forgotten, hooks are waited for, memory is freed, and the
/// functions of the platform are called no more. Symbols, sites, helpers, programs of the image and the map are gone; ubpf_start may follow,
/// with another platform, too. What is kept for the next start is what threads may stand in without being seen: some 100 bytes for each
/// function that ever had a program, and a page of executable memory for each hundred. Handles from before are stale.
///
/// After an error the engine runs on, with nothing loaded or attached if it came that far, and the call can be made again.
///
/// Threads: any, but no helper at a traced function. Other calls that are being made give UBPF_BUSY here; those that begin meanwhile get
/// UBPF_NOT_STARTED.
///
/// Errors: UBPF_BUSY another call is being made, a session of the shell is open (ushell_close), or a program at a function does not end;
/// UBPF_IO a call could not be taken out of the text; UBPF_DENIED the engine was not started by ubpf_start.
///
/// # Safety
/// `error` is NULL or writable. The arena, and texts that the engine showed, are used no more.
#[no_mangle]
pub unsafe extern "C" fn ubpf_stop(error: *mut ubpf_error) -> c_int {
    // SAFETY: as the caller promises.
    let result = unsafe { stop() };
    // SAFETY: as the caller promises.
    unsafe { finish(result, error) }
}

/// Whether the platform is one of a C application.
static OVER_C: AtomicBool = AtomicBool::new(false);

/// # Safety
/// As for [`ubpf_stop`].
unsafe fn stop() -> Result<()> {
    let runtime = args::runtime()?;
    if !OVER_C.load(Ordering::SeqCst) {
        return Err(CallFailure::Argument(
            UBPF_DENIED,
            "the engine was started by its platform: it runs as long as that",
        ));
    }
    // SAFETY: everybody who has the engine by this interface is counted, and nobody else can have one over a C platform.
    let platform = unsafe { Runtime::stop(runtime) }?;
    OVER_C.store(false, Ordering::SeqCst);
    // SAFETY: it came from `platform::platform`, and the engine that had it is gone.
    unsafe { platform::give_back(platform) };
    Ok(())
}

/// Detaches every program, forgets every loaded one, and empties the two-key map: the engine is as after its start, but
/// for helpers, symbols and sites. Handles from before are stale.
///
/// Threads: any, at any time, but no helper at a traced function; changes take turns.
///
/// Errors: UBPF_IO a call could not be taken out of the text (all programs are off all the same).
///
/// # Safety
/// `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_reset(error: *mut ubpf_error) -> c_int {
    let result = args::runtime().and_then(|runtime| Ok(runtime.reset()?));
    // SAFETY: as the caller promises.
    unsafe { finish(result, error) }
}

/// Writes what programs queued (notifications, text, errors) to the console. To be called before the application
/// writes there itself, and now and then.
///
/// Threads: any, at any time; while another drains, and for a helper at a traced function, it does nothing.
#[no_mangle]
pub extern "C" fn ubpf_drain() {
    if let Ok(runtime) = args::runtime() {
        runtime.drain_console();
    }
}

/// Detaches programs whose runs or time are used up. To be called now and then.
///
/// Threads: any, at any time; while another changes what is attached, and for a helper at a traced function, it does nothing.
#[no_mangle]
pub extern "C" fn ubpf_poll() {
    if let Ok(runtime) = args::runtime() {
        runtime.poll();
    }
}

/// Switches the measuring of programs' run times: 0 off, else on. Off, it costs nothing.
///
/// Threads: any, at any time, but no helper at a traced function; changes take turns.
///
/// Errors: those of every call.
///
/// # Safety
/// `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_stats(on: c_int, error: *mut ubpf_error) -> c_int {
    let result = args::runtime().and_then(|runtime| Ok(runtime.set_stats(on != 0)?));
    // SAFETY: as the caller promises.
    unsafe { finish(result, error) }
}

/// The state of the engine.
///
/// Threads: any, at any time, but no helper at a traced function.
///
/// Errors: those of every call.
///
/// # Safety
/// `status` and `error` are NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_get_status(status: *mut ubpf_status, error: *mut ubpf_error) -> c_int {
    // SAFETY: as the caller promises.
    let result = unsafe { args::out(status, "status is NULL") }.and_then(|into| {
        // SAFETY: as the caller promises, also for the second call.
        unsafe { args::give(into, &ubpf_status::default()) }?;
        let status = args::runtime()?.status();
        let status = ubpf_status {
            size: 0,
            programs: status.programs,
            sites: status.sites,
            symbols: status.symbols,
            probes: status.probes,
            map_entries: status.map_entries,
            map_capacity: status.map_capacity,
            map_lost: status.map_lost,
            output_lost: status.output_lost,
            stats: status.stats.into(),
        };
        // SAFETY: as above.
        Ok(unsafe { args::give(into, &status) }?)
    });
    // SAFETY: as the caller promises.
    unsafe { finish(result, error) }
}

/// The memory that programs may share and write: where it is and how long. The application gives its address to programs
/// through a helper, and accesses it atomically.
///
/// Threads: any, at any time, also a helper at a traced function.
///
/// Errors: those of every call.
///
/// # Safety
/// `base`, `length` and `error` are NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_arena(base: *mut *mut c_void, length: *mut usize, error: *mut ubpf_error) -> c_int {
    // SAFETY: as the caller promises.
    let places = unsafe { (args::out(base, "base is NULL"), args::out(length, "length is NULL")) };
    let result = args::engine_for_helpers().and_then(|runtime| {
        let (base, length) = (places.0?, places.1?);
        let (at, len) = runtime.arena();
        *base = at as *mut c_void;
        *length = usize::try_from(len).unwrap_or(0);
        Ok(())
    });
    // SAFETY: as the caller promises.
    unsafe { finish(result, error) }
}

/// Value in the two-key map; UBPF_NOT_FOUND, and 0, where there is none.
///
/// Threads: any, at any time, also a helper at a traced function.
///
/// Errors: UBPF_NOT_FOUND.
///
/// # Safety
/// `value` and `error` are NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_map_get(key1: u64, key2: u64, value: *mut u64, error: *mut ubpf_error) -> c_int {
    // SAFETY: as the caller promises.
    let result = unsafe { args::out(value, "value is NULL") }.and_then(|into| {
        *into = 0;
        let found = args::engine_for_helpers()?.map_get(key1, key2);
        *into = found.ok_or(NO_ENTRY)?;
        Ok(())
    });
    // SAFETY: as the caller promises.
    unsafe { finish(result, error) }
}

const NO_ENTRY: CallFailure = CallFailure::Argument(UBPF_NOT_FOUND, "the map has no entry of these keys");

/// Inserts or replaces in the two-key map; UBPF_FULL when it is full.
///
/// Threads: any, at any time, also a helper at a traced function.
///
/// Errors: UBPF_FULL.
///
/// # Safety
/// `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_map_put(key1: u64, key2: u64, value: u64, error: *mut ubpf_error) -> c_int {
    let result = args::engine_for_helpers().and_then(|runtime| Ok(runtime.map_put(key1, key2, value)?));
    // SAFETY: as the caller promises.
    unsafe { finish(result, error) }
}

/// Removes from the two-key map; UBPF_NOT_FOUND where there was nothing.
///
/// Threads: any, at any time, also a helper at a traced function.
///
/// Errors: UBPF_NOT_FOUND.
///
/// # Safety
/// `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_map_del(key1: u64, key2: u64, error: *mut ubpf_error) -> c_int {
    let result = args::engine_for_helpers().and_then(|runtime| match runtime.map_del(key1, key2) {
        true => Ok(()),
        false => Err(NO_ENTRY),
    });
    // SAFETY: as the caller promises.
    unsafe { finish(result, error) }
}

/// The argument is not looked at.
pub const UBPF_ARG_UNUSED: u32 = 0;
/// The argument is a number.
pub const UBPF_ARG_NUMBER: u32 = 1;
/// The argument is the address of a string of at most 256 bytes, its NUL included, that the program may read.
pub const UBPF_ARG_STRING: u32 = 2;
/// The argument is the address of memory that the program may read; its length is the next argument.
pub const UBPF_ARG_READ: u32 = 3;
/// The argument is the address of memory that the program may write; its length is the next argument.
pub const UBPF_ARG_WRITE: u32 = 4;
/// The argument is the length in bytes of the memory before it.
pub const UBPF_ARG_LENGTH: u32 = 5;
/// The argument is any address; the helper itself takes care.
pub const UBPF_ARG_ADDRESS: u32 = 6;

/// What programs may call. The engine checks r1 to r5 against `args` before each call. The function may be called from
/// a traced function, also in an interrupt: it must not block or allocate. There it may use the two-key map, the arena and the
/// symbols; any other call of the engine gives UBPF_DENIED.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ubpf_helper {
    /// sizeof of this struct, as the caller knows it.
    pub size: usize,
    /// Name, 1 to 128 bytes of UTF-8 without spaces and control characters; copied.
    pub name: *const c_char,
    /// Number, in every numbering: at most 1023, and none that is taken. The engine's own are listed at the top of this header; none of
    /// them will ever be above 511.
    pub number: u32,
    /// What r1 to r5 are, UBPF_ARG_UNUSED and so on.
    pub args: [u32; 5],
    /// Whether the helper gives nothing: r0 is 0 then.
    pub returns_nothing: c_int,
    /// Cost of a call in nanoseconds (0 to 4,294,967,295), charged to the program's budget.
    pub cost: u32,
    /// Cost of each 8 bytes of memory that it is given.
    pub cost_per_8_bytes: u32,
    /// The function; this or `function_with_context` is required, and the other is NULL.
    pub function: ubpf_helper_fn,
    /// The function where it is to get `context`.
    pub function_with_context: ubpf_helper_context_fn,
    /// What `function_with_context` gets in front; the engine does not look at it.
    pub context: *mut c_void,
}

/// A helper: r1 to r5, gives r0.
pub type ubpf_helper_fn = Option<extern "C" fn(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64) -> u64>;

/// A helper that gets the `context` of its registration in front.
pub type ubpf_helper_context_fn =
    Option<extern "C" fn(context: *mut c_void, r1: u64, r2: u64, r3: u64, r4: u64, r5: u64) -> u64>;

/// Registers a helper of the application, for programs loaded from now on. It cannot be taken back.
///
/// A helper that is given memory must be given its length next: UBPF_ARG_READ or UBPF_ARG_WRITE without UBPF_ARG_LENGTH behind it,
/// UBPF_ARG_LENGTH elsewhere, or two strings are refused.
///
/// Threads: any, at any time, but no helper at a traced function.
///
/// Errors: UBPF_EXISTS name or number is taken; UBPF_INVALID the number is above 1023, the name or the types of arguments cannot be.
///
/// # Safety
/// `helper` is NULL or readable, with a name that is NULL or NUL-terminated; its function may be called, with its context, for as long
/// as the image runs. `error` is NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn ubpf_register_helper(helper: *const ubpf_helper, error: *mut ubpf_error) -> c_int {
    // SAFETY: as the caller promises.
    let result = unsafe { register_helper(helper) };
    // SAFETY: as the caller promises.
    unsafe { finish(result, error) }
}

/// # Safety
/// As for [`ubpf_register_helper`].
unsafe fn register_helper(helper: *const ubpf_helper) -> Result<()> {
    // SAFETY: as the caller promises.
    let helper = unsafe { args::sized(helper) }?.ok_or(invalid("helper is NULL"))?;
    // SAFETY: as the caller promises.
    let name = unsafe { args::text(helper.name, "the helper's name is NULL or not UTF-8") }?;
    let function = match (helper.function, helper.function_with_context) {
        (Some(function), None) => HelperFn::C(function),
        (None, Some(function)) => HelperFn::CWithContext { function, context: helper.context as usize },
        _ => return Err(invalid("one of function and function_with_context is required, and the other must be NULL")),
    };
    let signature = HelperSignature {
        args: argument_types(&helper.args)?,
        ret: match helper.returns_nothing {
            0 => RetType::Scalar,
            _ => RetType::Void,
        },
        cost: Cost { base: helper.cost, walk: 0, per_8_bytes: helper.cost_per_8_bytes },
    };
    let runtime = args::runtime()?;
    Ok(runtime.register_helper(name, helper.number, signature, function)?)
}

/// Types of arguments.
fn argument_types(numbers: &[u32; 5]) -> Result<[ArgType; 5]> {
    let mut types = [ArgType::Unused; 5];
    for (slot, number) in types.iter_mut().zip(numbers) {
        *slot = match *number {
            UBPF_ARG_UNUSED => ArgType::Unused,
            UBPF_ARG_NUMBER => ArgType::Scalar,
            UBPF_ARG_STRING => ArgType::CString,
            UBPF_ARG_READ => ArgType::MemRead,
            UBPF_ARG_WRITE => ArgType::MemWrite,
            UBPF_ARG_LENGTH => ArgType::Length,
            UBPF_ARG_ADDRESS => ArgType::AnyAddress,
            _ => return Err(invalid("a type in args is none of UBPF_ARG")),
        };
    }
    Ok(types)
}
