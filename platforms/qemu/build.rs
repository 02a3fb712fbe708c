//! Compiles the demo application and hands the linker our script.

use std::path::Path;

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets this");
    let script = Path::new(&here).join("link.ld");
    for argument in [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
        "-Wl,-z,max-page-size=4096",
        "-Wl,-z,noexecstack",
        "-Wl,--gc-sections",
        &format!("-Wl,-T,{}", script.display()),
    ] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rerun-if-changed={}", script.display());
    application(&Path::new(&here).join("app.c"));
}

/// The application in C, with entry stubs that the tracer can patch.
fn application(source: &Path) {
    println!("cargo:rerun-if-changed={}", source.display());
    let mut build = cc::Build::new();
    build
        .file(source)
        .opt_level(2)
        .pic(false)
        .debug(true)
        .warnings(true);
    for flag in [
        "-ffreestanding",
        "-fno-pie",
        "-mno-red-zone",
        "-fno-stack-protector",
        "-fcf-protection=none",
        "-ffunction-sections",
        "-fno-asynchronous-unwind-tables",
        "-fno-omit-frame-pointer",
        "-fpatchable-function-entry=5",
    ] {
        build.flag(flag);
    }
    build.compile("app");
}
