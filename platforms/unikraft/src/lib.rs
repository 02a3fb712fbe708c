//! The one Rust archive of a Unikraft image: engine, tracer and shell over `ukglue.c`.
#![no_std]

extern crate alloc;

mod carried;
mod glue;
mod image;
mod platform;
#[cfg(feature = "shell")]
mod port;
#[cfg(feature = "shell")]
mod shell;
#[cfg(feature = "shell")]
mod walk;

use core::{
    alloc::{GlobalAlloc, Layout},
    fmt::{self, Write},
    panic::PanicInfo,
};
use platform::print;
use ubpf_rs::{
    program::Abi,
    runtime::{Config, Runtime, WithReserve},
    verifier::Policy,
};

/// Unikraft's default allocator. A failure is reported as such: null.
struct UkAlloc;

// SAFETY: blocks come from uk_posix_memalign and go back to uk_free, both safe from any thread.
unsafe impl GlobalAlloc for UkAlloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the alignment is a power of two; the glue returns null without memory.
        unsafe { glue::ukglue_alloc(layout.align(), layout.size()).cast() }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block came from `alloc`.
        unsafe { glue::ukglue_free(block.cast()) }
    }
}

#[global_allocator]
static ALLOCATOR: WithReserve<UkAlloc> = WithReserve(UkAlloc);

/// The kernel's console for `write!`.
struct Stdout;

impl Write for Stdout {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        print(text.as_bytes());
        Ok(())
    }
}

/// One line on the kernel's console.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(Stdout, "{line}");
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say(format_args!("ubpf: {info}"));
    // SAFETY: does not return.
    unsafe { glue::ukglue_crash() }
}

/// Called by the glue once files and devices are there, before the application's `main`. Whatever fails here is said
/// on the console, and the application starts all the same.
#[no_mangle]
pub extern "C" fn ubpf_uk_start() {
    let runtime = match Runtime::init(platform::platform(), config()) {
        Ok(runtime) => runtime,
        Err(error) => return say(format_args!("ubpf: not started: {error}")),
    };
    let (functions, sites) = image::describe(runtime);
    say(format_args!("ubpf: {}, {functions} functions, {sites} can be traced", runtime.platform().name));
    #[cfg(feature = "jit")]
    image::add_programs(runtime);
    #[cfg(feature = "tracer")]
    autoload(runtime);
    #[cfg(feature = "shell")]
    shell::start();
}

fn config() -> Config {
    let menu = glue::config();
    Config {
        exec_budget: menu.exec_budget,
        hook_budget: menu.hook_budget,
        irq_budget: menu.irq_budget,
        map_entries: menu.map_entries as usize,
        ring_bytes: menu.ring_bytes as usize,
        hook_areas: menu.hook_areas as usize,
        file_limit: menu.file_limit as usize,
        policy: if menu.strict != 0 { Policy::Strict } else { Policy::Guarded },
        flat_abi: if menu.uio_abi != 0 { Abi::Uio } else { Abi::Classic },
        ..Config::default()
    }
}

/// Attaches what the configuration and the kernel command line name as `function:file`, as `function:package:program`, or as a package alone, whose
/// sections name the functions.
#[cfg(feature = "tracer")]
fn autoload(runtime: &Runtime) {
    let config = glue::config();
    // SAFETY: the configuration's strings are static.
    let configured = unsafe { glue::static_str(config.autoload) };
    configured.split_ascii_whitespace().for_each(|pair| attach_at_boot(runtime, pair));
    for number in 0..config.attach_count {
        // SAFETY: the table has that many entries; each is null or a string of the command line, which stays.
        let pair = unsafe {
            let text = *config.attach.add(number);
            if text.is_null() {
                continue;
            }
            glue::static_str(text)
        };
        attach_at_boot(runtime, pair);
    }
}

/// What fails is reported, and the application starts all the same.
#[cfg(feature = "tracer")]
fn attach_at_boot(runtime: &Runtime, wanted: &str) {
    let mut parts = wanted.splitn(3, ':');
    let result = match (parts.next().unwrap_or(""), parts.next(), parts.next()) {
        (package, None, _) => {
            let attached = runtime.attach_object(package, &Default::default(), Default::default());
            attached.map(|report| {
                for one in report.attached {
                    say(format_args!("ubpf: {} of {package} is attached to {}", one.program, one.function));
                }
            })
        }
        (function, Some(file), program) => {
            let options = ubpf_rs::runtime::LoadOptions { program, ..Default::default() };
            let attached = runtime.attach_file(function, file, &options, Default::default());
            attached.map(|_| say(format_args!("ubpf: {file} is attached to {function}")))
        }
    };
    if let Err(error) = result {
        say(format_args!("ubpf: at boot: {wanted}: {error}"));
    }
}
