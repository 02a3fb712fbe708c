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
    fmt::{self, Write},
    panic::PanicInfo,
};
use platform::print;
use ubpf_rs::{
    platform::SYSCALL,
    program::Abi,
    runtime::{Blocks, Config, Pages, Runtime, WithReserve},
    verifier::Policy,
};

/// Pages of Unikraft's default allocator.
struct UkPages;

// SAFETY: pages come from uk_palloc and go back to uk_pfree, both safe from any thread.
unsafe impl Pages for UkPages {
    fn take(&self, count: usize) -> *mut u8 {
        // SAFETY: the glue returns null without memory.
        unsafe { glue::ukglue_pages_take(count).cast() }
    }

    unsafe fn give_back(&self, start: *mut u8, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { glue::ukglue_pages_give_back(start.cast(), count) }
    }
}

#[global_allocator]
static ALLOCATOR: WithReserve<Blocks<UkPages>> = WithReserve(Blocks::new(UkPages));

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
    #[cfg(feature = "elf")]
    runtime.pack_objects_with(ubpf_pack::pack_for_engine);
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
        hook_stack: menu.hook_stack as usize,
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
    // That of a system call has a colon in it.
    let begin = if wanted.starts_with(SYSCALL) { SYSCALL.len() } else { 0 };
    let mut parts = wanted.get(begin..).unwrap_or("").splitn(3, ':');
    let function = parts.next().and_then(|name| wanted.get(..begin.saturating_add(name.len())));
    let result = match (function.unwrap_or(""), parts.next(), parts.next()) {
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
