//! Compiles the compute programs for BPF and natively.

use std::{
    env,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const VARIANTS: [(&str, &[&str]); 2] = [("provable", &["-DPROVABLE"]), ("unprovable", &[])];

fn main() {
    println!("cargo::rerun-if-changed=programs");
    println!("cargo::rustc-link-arg-bins=-no-pie");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let mut programs: Vec<PathBuf> = fs::read_dir("programs")
        .expect("there are programs")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "c"))
        .collect();
    programs.sort();
    let mut table = String::new();
    let mut natives: Vec<PathBuf> = Vec::new();
    for program in &programs {
        let name = program.file_stem().expect("it has one").to_string_lossy();
        for (variant, flags) in VARIANTS {
            bpf(&out, program, &name, variant, flags);
            for compiler in ["gcc", "clang"] {
                natives.push(native(&out, program, &name, variant, flags, compiler));
            }
        }
        let _ = writeln!(table, "program!({name}),");
    }
    fs::write(out.join("programs.in"), declarations(&programs, &table)).expect("it can be written");
    let mut archive = cc::Build::new();
    natives.iter().for_each(|object| {
        archive.object(object);
    });
    archive.compile("natives");
}

fn declarations(programs: &[PathBuf], table: &str) -> String {
    let mut text = String::from("extern \"C\" {\n");
    for program in programs {
        let name = program.file_stem().expect("it has one").to_string_lossy();
        for compiler in ["gcc", "clang"] {
            for (variant, _) in VARIANTS {
                let _ = writeln!(text, "    fn {compiler}_{name}_{variant}(memory: *mut u8, length: u64) -> u64;");
            }
        }
    }
    let _ = write!(text, "}}\nconst COMPILED: &[Compiled] = &[\n");
    for line in table.lines() {
        let name = line.trim_start_matches("program!(").trim_end_matches("),");
        let _ = writeln!(text, "    Compiled {{ name: \"{name}\", variants: [");
        for (variant, _) in VARIANTS {
            let _ = writeln!(
                text,
                "        Variant {{ code: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}-{variant}.bin\")), gcc: gcc_{name}_{variant}, clang: clang_{name}_{variant} }},"
            );
        }
        text.push_str("    ] },\n");
    }
    text.push_str("];\n");
    text
}

fn run(command: &mut Command) {
    let status = command.status();
    if !status.as_ref().is_ok_and(|status| status.success()) {
        println!("cargo::error={command:?}: {status:?}");
        std::process::exit(1);
    }
}

/// The flat text of a program. The verifier proves the end of loops that are entered at their first instruction; clang's
/// placement of blocks turns many round otherwise.
fn bpf(out: &Path, program: &Path, name: &str, variant: &str, flags: &[&str]) {
    let object = out.join(format!("{name}-{variant}.bpf.o"));
    let mut clang = Command::new("clang");
    clang
        .args(["-target", "bpf", "-mcpu=v3", "-O2", "-ffreestanding", "-fno-jump-tables"])
        .args(["-mllvm", "-disable-block-placement", "-Wall", "-Wextra", "-Wno-unused-parameter"])
        .args(flags);
    run(clang.arg("-c").arg(program).arg("-o").arg(&object));
    let mut objcopy = Command::new("llvm-objcopy");
    objcopy.args(["-O", "binary", "--only-section=.text"]);
    run(objcopy.arg(&object).arg(out.join(format!("{name}-{variant}.bin"))));
}

fn native(out: &Path, program: &Path, name: &str, variant: &str, flags: &[&str], compiler: &str) -> PathBuf {
    let object = out.join(format!("{compiler}-{name}-{variant}.o"));
    let mut command = Command::new(compiler);
    command
        // Where functions start decides how fast loops are; so it is the same in each build.
        .args(["-O2", "-falign-functions=64", "-fno-pie", "-Wall", "-Wextra", "-Wno-unused-parameter"])
        .arg(format!("-DNAME={compiler}_{name}_{variant}"))
        .args(flags);
    run(command.arg("-c").arg(program).arg("-o").arg(&object));
    object
}
