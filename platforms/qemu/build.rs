//! Compiles the demo application and the C library it needs and hands the linker our script.

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
    let here = Path::new(&here);
    let library = compiler(&here.join("libc"));
    compile(library, "libc", &here.join("libc/libc.c"));
    let mut application = compiler(&here.join("libc"));
    application.flag("-fpatchable-function-entry=5");
    application.file(here.join("libc/calls.c")).file(here.join("libc/work.c"));
    compile(application, "app", &here.join("../../app-demo/main.c"));
}

/// A compiler for code without an operating system, with the image's C library.
fn compiler(library: &Path) -> cc::Build {
    let mut build = cc::Build::new();
    build.opt_level(2).pic(false).debug(true).warnings(true).warnings_into_errors(true).include(library);
    for flag in [
        "-ffreestanding",
        "-nostdinc",
        "-fno-pie",
        "-mno-red-zone",
        "-fno-stack-protector",
        "-fcf-protection=none",
        "-ffunction-sections",
        "-fno-asynchronous-unwind-tables",
        "-fno-omit-frame-pointer",
    ] {
        build.flag(flag);
    }
    println!("cargo:rerun-if-changed={}", library.display());
    build
}

fn compile(mut build: cc::Build, name: &str, source: &Path) {
    println!("cargo:rerun-if-changed={}", source.display());
    build.file(source).compile(name);
}
