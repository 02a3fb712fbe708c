//! Checks for what a machine needs beyond Rust, and installs it where it may.

use crate::Result;
use std::{
    io::{self, IsTerminal as _},
    process::{Command, Stdio},
};

/// A program, the Debian package that brings it, and what it is for.
struct Need {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const NEEDS: &[Need] = &[
    Need { program: "gcc", package: "gcc libc6-dev", purpose: "compiles the demo application" },
    Need { program: "g++", package: "g++", purpose: "compiles the C headers as C++ in tests" },
    Need { program: "clang", package: "clang", purpose: "compiles programs for BPF" },
    Need { program: "llvm-objcopy", package: "llvm", purpose: "takes the text out of objects" },
    Need { program: "make", package: "make", purpose: "reads the build files for Unikraft in tests" },
    Need { program: "qemu-system-x86_64", package: "qemu-system-x86", purpose: "boots the freestanding image" },
    Need { program: "llvm-objdump", package: "llvm", purpose: "disassembles programs in tests" },
];

/// What only measurements need.
const NEEDS_OF_BENCH: &[Need] = &[
    Need { program: "cmake", package: "cmake", purpose: "builds uBPF, to compare with" },
    Need { program: "valgrind", package: "valgrind", purpose: "counts instructions" },
];

/// Makes sure that everything is there that builds and tests need: installs it where that is allowed, else says with which
/// command.
pub fn ensure() -> Result<()> {
    ensure_all(NEEDS)
}

/// Makes sure that everything is there, for measurements too.
pub fn ensure_for_bench() -> Result<()> {
    ensure()?;
    ensure_all(NEEDS_OF_BENCH)
}

fn ensure_all(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !have(need.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        eprintln!("{} is missing: it {}", need.program, need.purpose);
    }
    let mut packages: Vec<&str> = missing.iter().flat_map(|need| need.package.split(' ')).collect();
    packages.sort_unstable();
    packages.dedup();
    let by_hand = format!("apt-get install -y {}", packages.join(" "));
    if !is_root() || !have("apt-get") {
        return Err(format!("install what is missing, for instance with: sudo {by_hand}").into());
    }
    eprintln!("installing: {by_hand}");
    install(&packages).map_err(|error| format!("{error}\ninstall what is missing, for instance with: {by_hand}"))?;
    match needs.iter().find(|need| !have(need.program)) {
        Some(need) => Err(format!("{} is still missing after: {by_hand}", need.program).into()),
        None => Ok(()),
    }
}

fn install(packages: &[&str]) -> Result<()> {
    run(Command::new("apt-get").arg("update").stdout(Stdio::null()))?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "-y", "--no-install-recommends"]).args(packages);
    run(install.stdout(Stdio::null()))
}

/// Whether a program can be started.
pub fn have(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// What a build by cargo is told: a person at a terminal sees how far it is, a log only what goes wrong.
pub fn loudness() -> &'static [&'static str] {
    match io::stderr().is_terminal() {
        true => &[],
        false => &["--quiet"],
    }
}

/// Runs a command; its failure is an error that names it.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status();
    let status = status.map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?} ended with {status}").into())
}
