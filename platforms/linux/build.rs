//! Compiles the C side, and the traced C code of the tests in every variant of entry stub.

use std::process::Command;

/// Name, compiler, flags of each variant of `tests/c/traced.c`. Not position independent: gcc records no mcount
/// sites otherwise.
const VARIANTS: &[(&str, &str, &[&str])] = &[
    ("gcc_patchable", "gcc", &["-fpatchable-function-entry=5"]),
    (
        "gcc_patchable_cet",
        "gcc",
        &["-fpatchable-function-entry=5", "-fcf-protection=full"],
    ),
    (
        "gcc_fentry",
        "gcc",
        &["-pg", "-mfentry", "-mrecord-mcount", "-mnop-mcount"],
    ),
    ("gcc_pg", "gcc", &["-pg", "-mrecord-mcount", "-mnop-mcount"]),
    ("gcc_instrument", "gcc", &["-finstrument-functions"]),
    (
        "clang_patchable",
        "clang",
        &["-fpatchable-function-entry=5"],
    ),
    (
        "clang_patchable_cet",
        "clang",
        &["-fpatchable-function-entry=5", "-fcf-protection=full"],
    ),
    ("clang_instrument", "clang", &["-finstrument-functions"]),
];

fn main() {
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=tests/c");
    println!("cargo::rustc-check-cfg=cfg(clang)");
    let mut support = cc::Build::new();
    // Never instrumented itself, whatever the environment's flags say.
    support
        .file("c/support.c")
        .flag("-fpatchable-function-entry=0,0")
        .flag("-fno-instrument-functions");
    support.warnings(true).compile("ubpf_linux_support");
    if Command::new("clang").arg("--version").output().is_ok() {
        println!("cargo::rustc-cfg=clang");
    }
    for (name, compiler, flags) in VARIANTS {
        test_object(name, compiler, flags);
    }
    println!("cargo::rustc-link-arg-tests=-no-pie");
    println!("cargo::rustc-link-arg-tests=-Wl,-z,nostart-stop-gc");
}

/// Compiles one variant and links it into the tests. A compiler that is not there leaves its variants out.
fn test_object(name: &str, compiler: &str, flags: &[&str]) {
    let out = std::env::var("OUT_DIR").unwrap_or_default();
    let object = format!("{out}/traced-{name}.o");
    let done = Command::new(compiler)
        .args([
            "-std=gnu11",
            "-O2",
            "-Wall",
            "-Wextra",
            "-fno-pie",
            "-c",
            "tests/c/traced.c",
            "-o",
            &object,
        ])
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
