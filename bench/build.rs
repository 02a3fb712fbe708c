//! Compiles the traced functions.

fn main() {
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rustc-link-arg-bins=-no-pie");
    println!("cargo::rustc-link-arg-bins=-Wl,-z,nostart-stop-gc");
    cc::Build::new()
        .compiler("gcc")
        .file("c/subjects.c")
        .opt_level(2)
        .pic(false)
        .flag("-fno-pie")
        .flag("-fpatchable-function-entry=5")
        .warnings(true)
        .compile("subjects");
}
