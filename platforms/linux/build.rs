//! Compiles the C side, and the traced C code of the tests in every variant of entry stub.

use std::process::Command;

/// Name, compiler, flags of each variant of `tests/c/traced.c`. Not position independent: gcc records no mcount
/// sites otherwise.
const VARIANTS: &[(&str, &str, &[&str])] = &[
    ("gcc_patchable", "gcc", &["-fpatchable-function-entry=5"]),
    ("gcc_patchable_cet", "gcc", &["-fpatchable-function-entry=5", "-fcf-protection=full"]),
    ("gcc_fentry", "gcc", &["-pg", "-mfentry", "-mrecord-mcount", "-mnop-mcount"]),
    ("gcc_pg", "gcc", &["-pg", "-mrecord-mcount", "-mnop-mcount"]),
    ("gcc_instrument", "gcc", &["-finstrument-functions"]),
    ("clang_patchable", "clang", &["-fpatchable-function-entry=5"]),
    ("clang_patchable_cet", "clang", &["-fpatchable-function-entry=5", "-fcf-protection=full"]),
    ("clang_instrument", "clang", &["-finstrument-functions"]),
];

fn main() {
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=tests/c");
    println!("cargo::rustc-check-cfg=cfg(clang)");
    let mut support = cc::Build::new();
    // Never instrumented itself, whatever the environment's flags say.
    support.file("c/support.c").flag("-fpatchable-function-entry=0,0").flag("-fno-instrument-functions");
    support.warnings(true).compile("ubpf_linux_support");
    if Command::new("clang").arg("--version").output().is_ok() {
        println!("cargo::rustc-cfg=clang");
    }
    for (name, compiler, flags) in VARIANTS {
        test_object(name, compiler, flags);
    }
    many_functions();
    returning();
    println!("cargo::rustc-link-arg-tests=-no-pie");
    println!("cargo::rustc-link-arg-tests=-Wl,-z,nostart-stop-gc");
}

/// Compiles one variant and links it into the tests. A compiler that is not there leaves its variants out.
fn test_object(name: &str, compiler: &str, flags: &[&str]) {
    let out = std::env::var("OUT_DIR").unwrap_or_default();
    let object = format!("{out}/traced-{name}.o");
    let done = Command::new(compiler)
        .args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-fno-pie", "-c", "tests/c/traced.c", "-o", &object])
        .arg(format!("-DPREFIX={name}"))
        .args(flags)
        .status();
    match done {
        Ok(status) if status.success() => println!("cargo::rustc-link-arg-tests={object}"),
        Ok(_) => println!("cargo::error={compiler} could not compile tests/c/traced.c as {name}"),
        Err(_) => {
            println!("cargo::warning={compiler} is not installed: tests of {name} are left out")
        }
    }
}

/// Functions in C++, for tests of returns.
fn returning() {
    let out = std::env::var("OUT_DIR").unwrap_or_default();
    let object = format!("{out}/returns.o");
    println!("cargo::rustc-check-cfg=cfg(cxx)");
    let done = Command::new("g++")
        .args(["-O2", "-Wall", "-Wextra", "-fno-pie", "-fpatchable-function-entry=5", "-c"])
        .args(["tests/c/returns.cc", "-o", &object])
        .status();
    match done {
        Ok(status) if status.success() => {
            println!("cargo::rustc-link-arg-tests={object}");
            println!("cargo::rustc-link-arg-tests=-lstdc++");
            println!("cargo::rustc-cfg=cxx");
        }
        Ok(_) => println!("cargo::error=g++ could not compile tests/c/returns.cc"),
        Err(_) => println!("cargo::warning=g++ is not installed: tests of returns are left out"),
    }
}

/// Number of the functions `many_0` and so on, each `long many_N(long n)`: n + N.
const MANY: usize = 400;

/// More functions than are attached to one by one in a test.
fn many_functions() {
    let out = std::env::var("OUT_DIR").unwrap_or_default();
    let (source, object) = (format!("{out}/many.c"), format!("{out}/many.o"));
    let functions =
        (0..MANY).map(|n| format!("__attribute__((noinline)) long many_{n}(long n) {{ return n + {n}; }}\n"));
    let names = (0..MANY).map(|n| format!("many_{n}, "));
    let text = functions.collect::<String>() + "long (*const many[])(long) = { " + &names.collect::<String>() + "};\n";
    if let Err(error) = std::fs::write(&source, text) {
        println!("cargo::error={source}: {error}");
    }
    let done = Command::new("gcc")
        .args(["-O2", "-fno-pie", "-fpatchable-function-entry=5", "-c"])
        .args([&source, "-o", &object])
        .status();
    match done {
        Ok(status) if status.success() => println!("cargo::rustc-link-arg-tests={object}"),
        _ => println!("cargo::warning=gcc is not installed: tests of many functions are left out"),
    }
}
