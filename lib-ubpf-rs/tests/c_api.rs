//! The C interface as plain C and C++ programs use it: linked with the stand-alone archive alone.

use ubpf_rs::{
    helpers::{Registry, MAX_NUMBER},
    program::Abi,
};

#[path = "common/c.rs"]
mod c;

#[test]
fn every_call_from_c() {
    c::program(c::C99, "engine");
}

#[test]
fn every_call_from_cpp() {
    c::program(c::CPP, "engine");
}

#[test]
fn a_heap_of_every_size() {
    c::program(c::C99, "memory");
}

#[test]
fn calls_of_several_threads() {
    c::program(&["gcc", "-std=gnu99"], "threads");
}

#[test]
fn platforms_that_fail_lie_or_call_back() {
    c::program(c::C99, "bad_platform");
}

#[test]
fn the_engine_is_stopped_and_started_again() {
    c::program(&["gcc", "-std=gnu99"], "stop");
}

#[test]
fn memory_ends_anywhere_in_each_function() {
    let names = ["one", "two", "three"];
    let text: String = names.iter().map(|name| linked(name, "r0 = 7\nexit", false)).collect();
    c::memory_ends_in_each_function("ubpf_", &[assembly("linked-for-each-call", &text)]);
}

#[test]
fn every_function_of_the_header_is_exported() {
    c::header_archive_and_exports_agree("ubpf_rs.h", "ubpf_");
}

/// A program as `ubpf aot` has it, in assembly.
fn linked(name: &str, source: &str, spoil: bool) -> String {
    use std::fmt::Write;
    use ubpf_rs::{
        isa::assemble,
        jit::{Ahead, Options},
        program::Program,
        verifier::{verify, Environment, Policy, Work},
    };
    let bytecode = assemble(source).unwrap();
    let registry = Registry::with_builtins().unwrap();
    let program = Program::from_flat(name, &bytecode, Abi::Classic).unwrap();
    let verified = verify(program, Policy::Guarded, &Environment::new(&registry), &mut Work::default()).unwrap();
    let mut ahead = Ahead::new(&verified, &bytecode, Options { baseline: true, ..Options::default() }).unwrap();
    if spoil {
        *ahead.code.last_mut().unwrap() ^= 1;
    }
    let bytes = |bytes: &[u8]| bytes.iter().map(|b| format!(".byte {b}\n")).collect::<String>();
    let mut text = String::from(".section ubpf_programs,\"aw\"\n.balign 8\n");
    let parts = [(Ahead::NAME, 1), (Ahead::BYTECODE, 2), (Ahead::CODE, 3), (Ahead::SITES, 4)];
    for at in (0..ahead.entry.len() as u64).step_by(8) {
        match parts.iter().find(|part| part.0 == at) {
            Some((_, label)) => writeln!(text, ".quad {label}f").unwrap(),
            None => text += &bytes(&ahead.entry[at as usize..][..8]),
        }
    }
    text += ".text\n.balign 8\n";
    for (label, part) in [(1, name.as_bytes()), (2, &bytecode), (3, &ahead.code), (4, &ahead.sites)] {
        writeln!(text, ".balign 8\n{label}:\n{}", bytes(part)).unwrap();
    }
    text
}

#[test]
fn programs_compiled_ahead_of_time_are_given_to_a_platform_of_ones_own() {
    let long = "n".repeat(129);
    let table = [
        ("seven", "r0 = 7\nexit", false),
        ("answer.bin", "r0 = 43\nexit", false),
        ("seven", "r0 = 8\nexit", false),
        ("spoilt", "r0 = 9\nexit", true),
        (&long, "r0 = 10\nexit", false),
        ("a\u{1b}[31mb", "r0 = 11\nexit", false),
    ];
    let text: String = table.iter().map(|(name, source, spoil)| linked(name, source, *spoil)).collect();
    c::program_with(c::C99, "linked", &[assembly("linked-programs", &text)]);
}

/// A file of assembly.
fn assembly(name: &str, text: &str) -> std::path::PathBuf {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.s"));
    std::fs::write(&file, format!("{text}.section .note.GNU-stack,\"\",@progbits\n")).unwrap();
    file
}

/// Numbers above it are the application's, for ever.
const LAST_OWN_NUMBER: u32 = 511;

#[test]
fn the_header_lists_the_numbers_of_helpers_that_are_taken() {
    let registry = Registry::with_builtins().unwrap();
    let taken =
        |number: &u32| [Abi::Classic, Abi::Uio, Abi::Linux].iter().any(|abi| registry.get(*abi, *number).is_some());
    let numbers: Vec<u32> = (0..=MAX_NUMBER).filter(taken).collect();
    assert!(numbers.last() <= Some(&LAST_OWN_NUMBER));
    let runs = numbers.chunk_by(|a, b| a + 1 == *b);
    let shown = runs.map(|run| match run {
        [one] => one.to_string(),
        _ => format!("{} to {}", run[0], run[run.len() - 1]),
    });
    let line = format!("// Numbers of helpers that are taken: {}.", shown.collect::<Vec<_>>().join(", "));
    let header = std::fs::read_to_string(c::root().join("include/ubpf_rs.h")).unwrap();
    assert!(header.contains(&line), "`cargo xtask headers` writes this:\n{line}");
}

#[test]
fn the_header_says_of_each_function_which_threads_may_call_it_and_its_errors() {
    c::each_function_is_described("ubpf_rs.h");
}
