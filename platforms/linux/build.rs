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
        let prefix = format!("-DPREFIX={name}");
        links(compiler, "tests/c/traced.c", name, &[&["-std=gnu11", &prefix], *flags].concat());
    }
    many_functions();
    returning();
    stacks();
    println!("cargo::rustc-link-arg-tests=-no-pie");
    println!("cargo::rustc-link-arg-tests=-Wl,-z,nostart-stop-gc");
}

/// Compiles a source and links it into the tests; whether that was done. A compiler that is not there leaves out what is made of it.
fn links(compiler: &str, source: &str, name: &str, flags: &[&str]) -> bool {
    let object = format!("{}/{name}.o", std::env::var("OUT_DIR").unwrap_or_default());
    let done = Command::new(compiler)
        .args(["-O2", "-Wall", "-Wextra", "-fno-pie"])
        .args(flags)
        .args(["-c", source, "-o", &object])
        .status();
    match &done {
        Ok(status) if status.success() => println!("cargo::rustc-link-arg-tests={object}"),
        Ok(_) => println!("cargo::error={compiler} could not compile {source} as {name}"),
        Err(_) => println!("cargo::warning={compiler} is not installed: tests of {name} are left out"),
    }
    done.is_ok_and(|status| status.success())
}

/// Functions in C++, for tests of returns.
fn returning() {
    println!("cargo::rustc-check-cfg=cfg(cxx)");
    if links("g++", "tests/c/returns.cc", "returns", &["-fpatchable-function-entry=5"]) {
        println!("cargo::rustc-link-arg-tests=-lstdc++");
        println!("cargo::rustc-cfg=cxx");
    }
}

/// Functions with frame pointers, for tests of stacks: with stubs, and under other names calling the tracer by themselves.
fn stacks() {
    println!("cargo::rustc-check-cfg=cfg(stacks)");
    let renamed =
        ["leaf", "branch", "root", "recursion", "begin"].map(|name| format!("-Dstacks_{name}=calling_{name}"));
    let mut calling = vec!["-finstrument-functions", "-DNO_ASSEMBLY"];
    calling.extend(renamed.iter().map(String::as_str));
    let both = [("stacks", vec!["-fpatchable-function-entry=5"]), ("calling", calling)];
    let linked = both.map(|(name, flags)| {
        let all = [&["-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"][..], &flags].concat();
        links("gcc", "tests/c/stacks.c", name, &all)
    });
    if linked == [true; 2] {
        println!("cargo::rustc-cfg=stacks");
    }
}

/// Number of the functions `many_0` and so on, each `long many_N(long n)`: n + N.
const MANY: usize = 400;

/// More functions than are attached to one by one in a test.
fn many_functions() {
    let source = format!("{}/many.c", std::env::var("OUT_DIR").unwrap_or_default());
    let functions =
        (0..MANY).map(|n| format!("__attribute__((noinline)) long many_{n}(long n) {{ return n + {n}; }}\n"));
    let names = (0..MANY).map(|n| format!("many_{n}, "));
    let text = functions.collect::<String>() + "long (*const many[])(long) = { " + &names.collect::<String>() + "};\n";
    if let Err(error) = std::fs::write(&source, text) {
        println!("cargo::error={source}: {error}");
    }
    links("gcc", &source, "many", &["-fpatchable-function-entry=5"]);
}
