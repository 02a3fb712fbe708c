//! Memory runs out anywhere in a command of the shell: the command fails with a message, what is attached goes on, and with
//! memory again the same command succeeds.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    fs,
};
use ubpf_platform_linux::{platform, records, symbols};
use ubpf_rs::{
    isa::assemble,
    platform::{Console, Platform},
    runtime::{Config, Runtime, Symbol, SymbolTable},
    tracer::SiteKind,
};
use ushell_rs::Shell;

extern "C" {
    fn gcc_patchable_myfun();
}

/// Lets each thread have only so much more memory than it has.
struct Limited;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX / 2) };
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

fn take(bytes: usize) -> bool {
    let left = LEFT.get().checked_sub(bytes as u64);
    match left {
        Some(left) => LEFT.set(left),
        None => REFUSED.set(true),
    }
    left.is_some()
}

// SAFETY: what is not refused is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LEFT.set(LEFT.get() + layout.size() as u64);
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Limited = Limited;

struct Nowhere;

impl Console for Nowhere {
    fn write(&self, _: &[u8]) {}
}

const FUNCTION: &str = "gcc_patchable_myfun";

fn start() -> &'static Runtime {
    let folder = std::env::temp_dir().join(format!("ubpf-memory-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let count = "r6 = *(u64 *)(r1 + 0)\nr1 = r6\nr2 = 1\ncall 0\nr3 = r0\nif r3 != -1 goto +1\nr3 = 0\nr3 += 1\n\
                 r1 = r6\nr2 = 1\ncall 1\nr0 = 0\nexit";
    for (name, source) in [
        ("count.bin", count),
        ("seven.bin", "r0 = 7\nexit"),
        ("notify.bin", "r1 = *(u64 *)(r1 + 0)\ncall 3\nr0 = 0\nexit"),
        ("unset.bin", "r0 = r3\nexit"),
        ("oob.bin", "r1 = 0\nr0 = *(u32 *)(r1 + 0)\nexit"),
        ("large.bin", &("r0 = 1\n".repeat(3000) + "exit")),
    ] {
        fs::write(folder.join(name), assemble(source).unwrap()).unwrap();
    }
    let platform = Platform {
        console: &Nowhere,
        ..platform(folder.clone())
    };
    let engine = Runtime::init(platform, Config::default()).unwrap();
    let own = symbols::own().unwrap();
    let mut nm = String::new();
    for symbol in own.iter().filter(|s| s.name.starts_with("gcc_patchable_")) {
        nm += &format!("{:016x} T {}\n", symbol.address, symbol.name);
    }
    fs::write(folder.join("symbols"), nm).unwrap();
    let named = own.iter().filter(|s| s.name.starts_with("gcc_patchable_"));
    let table = SymbolTable::new(named.map(|symbol| Symbol {
        address: symbol.address,
        name: &symbol.name,
        function: symbol.is_function,
    }));
    engine.add_symbols(table.unwrap());
    engine.add_sites(&records::own().patchable, SiteKind::Patchable);
    engine
}

fn say(shell: &mut Shell, line: &str) -> String {
    let mut said = Vec::with_capacity(64 * 1024);
    let mut input = line.as_bytes();
    let mut output = [0; 4096];
    loop {
        let taken = shell.feed(input);
        input = &input[taken..];
        let count = shell.drain(&mut output);
        said.extend_from_slice(&output[..count]);
        if count == 0 && input.is_empty() {
            return String::from_utf8(said).unwrap();
        }
    }
}

#[test]
fn a_command_without_memory_fails_and_nothing_else_does() {
    let engine = start();
    let mut shell = Shell::new(engine, ushell_rs::Config::default());
    shell.connected();
    say(&mut shell, &format!("bpf_attach {FUNCTION} count.bin\n"));
    // Each command, and one that takes back what it did.
    let commands = [
        (
            format!("bpf_attach {FUNCTION} notify.bin"),
            format!("bpf_detach {FUNCTION} notify.bin"),
        ),
        (
            format!("bpf_attach {FUNCTION} unset.bin"),
            format!("bpf_detach {FUNCTION} unset.bin"),
        ),
        ("bpf_exec seven.bin".into(), String::new()),
        ("bpf_exec oob.bin".into(), String::new()),
        ("bpf_exec large.bin".into(), String::new()),
        ("bpf_exec missing.bin".into(), String::new()),
        ("bpf_list".into(), String::new()),
        (format!("bpf_list {FUNCTION}"), String::new()),
        ("bpf_map_put 1 2 3".into(), "bpf_map_del 1 2".into()),
        ("bpf_get_addr gcc_patchable_myfun".into(), String::new()),
        ("load symbols".into(), String::new()),
        ("ls".into(), String::new()),
        ("cat symbols".into(), String::new()),
        ("help".into(), String::new()),
        ("status".into(), String::new()),
        ("nonsense".into(), String::new()),
        ("bpf_exec \"unfinished".into(), String::new()),
    ];
    for (command, undo) in commands {
        let line = format!("{command}\n");
        let usual = say(&mut shell, &line);
        say(&mut shell, &format!("{undo}\n"));
        let mut limit = 0;
        loop {
            REFUSED.set(false);
            // The transcript's own memory is not the shell's.
            LEFT.set(limit + 64 * 1024);
            let said = say(&mut shell, &line);
            LEFT.set(u64::MAX / 2);
            let enough = !REFUSED.get();
            // SAFETY: a C function without arguments.
            unsafe { gcc_patchable_myfun() };
            if said != usual {
                let expected = !enough && said.contains("out of memory");
                assert!(
                    expected || command == "status",
                    "{command} with {limit} bytes: {said}"
                );
            }
            say(&mut shell, &format!("{undo}\n"));
            if enough {
                break;
            }
            limit += 509;
        }
        println!("{command}: {limit}");
    }
    let listed = say(&mut shell, &format!("bpf_list {FUNCTION}\n"));
    assert!(listed.contains(" - count.bin\n"), "{listed}");
}
