//! `ubpf`: runs, verifies and disassembles programs on the host.

mod aot;
mod code_memory;
mod disasm;
mod flat;
mod object;
mod pack;
mod run;
mod verify;

use std::{
    io::{Read, Write},
    process::ExitCode,
};
use ubpf_rs::{program::Abi, verifier::Policy};

const USAGE: &str = "\
usage: ubpf run PROG [ARG] [--mem-hex HEX | --mem FILE] [--abi classic|uio]
                [--budget N] [--engine interp|jit] [--policy checked|guarded|strict]
       ubpf verify [--policy checked|guarded|strict] [--abi classic|uio] [--json] [-v] FILE...
       ubpf aot PROG -o OBJECT [--name NAME] [--abi classic|uio]
                [--policy checked|guarded|strict] [--guard-all] [--bmi2]
       ubpf flat OBJECT -o FILE [--entry NAME]
       ubpf pack OBJECT -o FILE [--name NAME] [--abi classic|uio|linux] [--policy guarded|strict]
                [CONSTANT=VALUE]...
       ubpf disasm PROG
       ubpf disasm --native [--abi classic|uio] [--policy checked|guarded|strict] [--guard-all] PROG

`aot` compiles PROG to an object to be linked into an image, which then has it under NAME (else
PROG's file name); with --bmi2 for CPUs that have BMI2.
`flat` makes a flat program of a compiler's object: the function NAME (else `bpf_prog`, else the one
that no other calls) and what it calls. The other commands do the same when PROG is an object.
`pack` makes a package of it, with all of its programs, maps and data, for an image to load; constants
(`const volatile`) are set by their names.
`disasm --native` shows the machine code of each instruction, checks that are rarely needed last.
PROG `-` reads the program from standard input.
`run` prints r0 and exits 0; it exits 2 when the program is refused, 3 when it was stopped,
64 when the command line is wrong. `verify` exits 2 when a program is refused.
";

/// Exit status for a wrong command line (sysexits.h, EX_USAGE).
const EXIT_USAGE: u8 = 64;
/// Exit status when a program is refused at load.
const EXIT_REFUSED: u8 = 2;
/// Exit status when a program was stopped at run time.
const EXIT_STOPPED: u8 = 3;
/// Exit status when the result cannot be written.
const EXIT_OUTPUT: u8 = 74;

/// Why the tool ends without having done its work: exit status and reason.
struct Failure(u8, String);

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        usage(error.to_string())
    }
}

fn usage(reason: impl Into<String>) -> Failure {
    Failure(EXIT_USAGE, format!("{}\n\n{USAGE}", reason.into()))
}

fn main() -> ExitCode {
    // A reader that has seen enough (`ubpf disasm … | head`) ends the tool quietly.
    // SAFETY: no other thread runs yet, and the default action is a valid handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    match dispatch() {
        Ok(code) => code,
        Err(Failure(code, reason)) => {
            eprintln!("ubpf: {}", reason.trim_end());
            ExitCode::from(code)
        }
    }
}

fn dispatch() -> Result<ExitCode, Failure> {
    let mut args = lexopt::Parser::from_env();
    let command = match args.next()? {
        Some(lexopt::Arg::Value(name)) => name.to_string_lossy().into_owned(),
        Some(lexopt::Arg::Long("help") | lexopt::Arg::Short('h')) => "help".into(),
        Some(other) => return Err(other.unexpected().into()),
        None => return Err(usage("a command is missing")),
    };
    match command.as_str() {
        "run" => run::main(args),
        "verify" => verify::main(args),
        "disasm" => disasm::main(args),
        "aot" => aot::main(args),
        "flat" => flat::main(args),
        "pack" => pack::main(args),
        "help" => {
            out(format_args!("{}", USAGE.trim_end()));
            Ok(ExitCode::SUCCESS)
        }
        other => Err(usage(format!("unknown command `{other}`"))),
    }
}

/// A line on standard output. Where it cannot be written (a full disk), the tool ends and says why.
fn out(line: std::fmt::Arguments<'_>) {
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        eprintln!("ubpf: standard output: {error}");
        std::process::exit(i32::from(EXIT_OUTPUT));
    }
}

/// A flat program, made of an object where the file is one.
fn read_program(path: &str) -> Result<Vec<u8>, Failure> {
    let bytes = read_bytes(path)?;
    if !object::is_object(&bytes) {
        return Ok(bytes);
    }
    let flat = object::flatten(&bytes, None);
    flat.map_err(|reason| Failure(EXIT_REFUSED, format!("{path}: {reason}")))
}

/// The bytes of a file; `-` is standard input.
fn read_bytes(path: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match path {
        "-" => std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes),
        path => std::fs::read(path),
    };
    read.map_err(|error| Failure(EXIT_REFUSED, format!("{path}: {error}")))
}

fn parse_abi(value: &str) -> Result<Abi, Failure> {
    match value {
        "classic" => Ok(Abi::Classic),
        "uio" => Ok(Abi::Uio),
        "linux" => Ok(Abi::Linux),
        other => Err(usage(format!("--abi {other}: classic, uio or linux is expected"))),
    }
}

fn parse_policy(value: &str) -> Result<Policy, Failure> {
    match value {
        "checked" => Ok(Policy::Checked),
        "guarded" => Ok(Policy::Guarded),
        "strict" => Ok(Policy::Strict),
        other => Err(usage(format!("--policy {other}: checked, guarded or strict is expected"))),
    }
}

/// A number, decimal or `0x…`.
fn parse_number(option: &str, value: &str) -> Result<u64, Failure> {
    let bad = || usage(format!("{option} {value}: a number is expected"));
    if value.contains('+') {
        return Err(bad());
    }
    let number = match value.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => value.parse(),
    };
    number.map_err(|_| bad())
}

/// The value of an option as text.
fn text(args: &mut lexopt::Parser) -> Result<String, Failure> {
    Ok(args.value()?.to_string_lossy().into_owned())
}
