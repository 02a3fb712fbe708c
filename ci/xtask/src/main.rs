//! Repository chores: `cargo xtask <command>`.

use std::{
    fmt,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Whoever reads may have gone, and a disk may be full: no chore ends in the middle for that.
macro_rules! println {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// As `println`, for standard error.
macro_rules! eprintln {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

mod archive;
mod bad_input;
mod bench;
mod demo;
mod fuzz;
mod headers;
mod noise;
mod objects;
mod qemu;
mod samples;
mod setup;
mod size;
mod tables;
mod target;
mod test;
mod tools;
mod tour;
mod unikraft;

type Error = Box<dyn std::error::Error>;
type Result<T> = std::result::Result<T, Error>;

/// What is wrong with the command line.
#[derive(Debug)]
struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The error of a command line that is not understood.
fn usage(text: impl Into<String>) -> Error {
    Usage(text.into()).into()
}

const USAGE: &str = "usage: cargo xtask COMMAND
  demo [--linux] [--script | --serve] [--accel tcg|kvm] [--smp N]
                       start the demo application in QEMU (or in a Linux process) and enter its shell;
                       --script plays and checks the tour instead, --serve leaves the shell to ushell in another terminal
  tour --socket SHELL --console FILE|SOCKET
                       play and check the tour against a running target
  objects --socket SHELL [--unpacked]
                       run what clang makes of the sources in tests/objects in a running image
  tools --socket SHELL (--sqlite CONSOLE | --redis PORT)
                       play the tools of ushell against SQLite or Redis in a running Unikraft image
  samples              compile the sample programs to target/bpf/{O0,O2}
  archive [ubpf-rs|ushell-rs|linux]... [--to FOLDER]
                       make archives for C programs, and their headers, in target/archive or FOLDER
  bad-input            play bad input of every kind against the demo in a Linux process
  test                 run all tests
  bench [NAME...] [--doc]
                       measure what hits, engines and entry stubs cost, beside what they must reach
  fuzz [soundness|engines|direct|slow|package|object|maps] [--seconds N] [--planted]
                       look for programs that prove the engine wrong; --planted plants mistakes that must be found
  headers [--check]    write the C headers, or compare them with the committed ones
  size BUILD...        how large the image of a Unikraft build is, and our code in it, by part
  size [--doc] UK_ROOT...
                       build a series of images, and write the tables of docs/unikraft.md
  qemu build|test|tour|bench|gaps|run
                       build, prove, play with, measure or start the freestanding image
  qemu sessions N      play N rude sessions with its shell: everything is as before then
  gaps UK_ROOT...      how long each command of the shell keeps an application of Unikraft waiting";

const STATUS: &str = "
Exit status: 0 done; 1 not done; 64 wrong usage";

/// Wrong usage (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let mut arguments = Vec::new();
    for argument in std::env::args_os().skip(1) {
        match argument.into_string() {
            Ok(argument) => arguments.push(argument),
            Err(argument) => return said(&format!("{argument:?} is not UTF-8"), EXIT_USAGE),
        }
    }
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) || words == ["help"] {
        return shown(&format!("{USAGE}\n{STATUS}\n"));
    }
    if let ["--version" | "-V"] = words.as_slice() {
        return shown(concat!("xtask ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    let result = target::init(&root()).and_then(|()| command(&arguments));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = if error.is::<Usage>() { EXIT_USAGE } else { 1 };
            said(&error.to_string(), code)
        }
    }
}

fn shown(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => said(&format!("standard output: {error}"), 1),
    }
}

/// A closed standard error changes nothing.
fn said(text: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "xtask: {text}");
    ExitCode::from(code)
}

fn command(arguments: &[String]) -> Result<()> {
    let rest = arguments.get(1..).unwrap_or(&[]);
    let alone = |command: fn(&Path) -> Result<()>| match rest {
        [] => command(&root()),
        [other, ..] => Err(usage(format!("unknown argument {other}\n{USAGE}"))),
    };
    match arguments.first().map(String::as_str) {
        Some("archive") => archive::main(&root(), rest),
        Some("headers") => headers::main(&root(), rest),
        Some("bench") => bench::main(&root(), rest),
        Some("demo") => demo::main(&root(), rest),
        Some("fuzz") => fuzz::main(&root(), rest),
        Some("bad-input") => alone(bad_input::run),
        Some("test") => alone(test::main),
        Some("samples") => alone(samples::main),
        Some("gaps") => qemu::gaps(&root(), rest),
        Some("size") => size::main(&root(), rest),
        Some("objects") => objects::main(&root(), rest),
        Some("tools") => tools::main(&root(), rest),
        Some("tour") => tour::main(&root(), rest),
        Some("qemu") if rest == ["tour"] => demo::tours_in_qemu(&root()),
        Some("qemu") => qemu::main(&root(), rest),
        _ => Err(usage(USAGE)),
    }
}

/// The repository's top folder.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
