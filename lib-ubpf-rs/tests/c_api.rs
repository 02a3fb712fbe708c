//! The C interface as plain C and C++ programs use it: linked with the stand-alone archive alone.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// C99 with every warning an error; the same for C++.
const STRICT: &[&str] = &["-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}",
        output.status
    );
}

/// The archive, built once, in a folder of its own: the tests' own build has other features.
fn archive() -> &'static Path {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standalone");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["rustc", "--package", "ubpf-rs", "--lib"]);
        cargo.args(["--crate-type", "staticlib", "--features", "standalone"]);
        cargo.current_dir(root()).env_remove("RUSTFLAGS");
        run(cargo.arg("--target-dir").arg(&target));
        target.join("debug/libubpf_rs.a")
    })
}

/// Compiles a test program with a compiler and runs it.
fn program(compiler: &[&str], source: &str) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let name = format!("{source}-{}", compiler.join("").replace(['=', '+'], "_"));
    let object = |file: &str| out.join(format!("{name}-{file}.o"));
    let compile = |compiler: &[&str], file: &str, more: &[&str]| {
        let mut command = Command::new(compiler[0]);
        command.args(&compiler[1..]).args(STRICT).args(more);
        command
            .arg("-I")
            .arg(root().join("include"))
            .arg("-I")
            .arg(&here);
        command
            .arg("-c")
            .arg(here.join(file))
            .arg("-o")
            .arg(object(file));
        run(&mut command);
    };
    compile(&["gcc", "-std=c99"], "platform.c", &["-D_DEFAULT_SOURCE"]);
    compile(
        &["gcc", "-std=c99"],
        "traced.c",
        &["-fpatchable-function-entry=5"],
    );
    compile(compiler, &format!("{source}.c"), &[]);
    let executable = out.join(&name);
    let mut link = Command::new("gcc");
    for file in ["platform.c", "traced.c", &format!("{source}.c")] {
        link.arg(object(file));
    }
    link.arg(archive())
        .args(["-lpthread", "-no-pie", "-Wl,-z,nostart-stop-gc"]);
    run(link.arg("-o").arg(&executable));
    run(&mut Command::new(executable));
}

#[test]
fn every_call_from_c() {
    program(&["gcc", "-std=c99"], "engine");
}

#[test]
fn every_call_from_cpp() {
    program(&["g++", "-std=c++11", "-x", "c++"], "engine");
}

#[test]
fn a_heap_of_every_size() {
    program(&["gcc", "-std=c99"], "memory");
}

#[test]
fn calls_of_several_threads() {
    program(&["gcc", "-std=gnu99"], "threads");
}

/// What `include/ubpf_rs.h` declares is in the archive, and the list for Unikraft has it.
#[test]
fn every_function_of_the_header_is_exported() {
    let list = std::fs::read_to_string(root().join("exportsyms.uk")).expect("the list of exports");
    let mut nm = Command::new("nm");
    let symbols = nm.args(["-g", "--defined-only"]).arg(archive()).output();
    let symbols = symbols.expect("nm starts").stdout;
    let symbols = String::from_utf8_lossy(&symbols).into_owned();
    let names = list.lines().filter(|line| line.starts_with("ubpf_"));
    let mut count = 0;
    for name in names {
        assert!(
            symbols.contains(&format!(" T {name}\n")),
            "{name} is not in the archive"
        );
        count += 1;
    }
    assert!(count > 25, "{count} functions");
}
