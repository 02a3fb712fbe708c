//! `ubpf`: runs, verifies and disassembles programs on the host.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod aot;
mod code_memory;
mod disasm;
mod flat;
mod image;
mod kernel;
mod load;
mod object;
mod options;
mod pack;
mod run;
mod verify;

use clap::{ArgMatches, Command};
use std::{ffi::OsStr, fs::File, io, path::Path, process::ExitCode};
use ubpf_embed::files::{read_bounded, shown};
use ubpf_tools::{
    cli,
    output::{self, say},
};

const ABOUT: &str = "Runs, verifies, compiles and disassembles eBPF programs on this machine";

const AFTER: &str = "\
PROG is a flat program; `run` and `verify` take packages and compilers' objects as well. `aot` and `disasm` make a flat program of an
object: the function `bpf_prog`, else the one that no other calls, and what it calls. PROG `-` is standard input.";

/// What every command ends with.
const STATUS: &str = "\
Exit status: 0 done; 2 a program, image or file is refused, or a file cannot be read or written; 3 a program was stopped; 64 wrong
usage; 74 standard output cannot be written; 141 nobody reads it any more.";

/// Exit status when a program is refused at load.
const EXIT_REFUSED: u8 = 2;
/// Exit status when a program was stopped at run time.
const EXIT_STOPPED: u8 = 3;

/// Largest program that is read: a device may have no end.
const LARGEST: u64 = 64 << 20;

/// Why the tool ends without having done its work.
enum Failure {
    /// The command line is wrong in a way that its definition cannot say.
    Usage(String),
    /// Exit status and reason.
    Work(u8, String),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

fn refused(reason: &dyn std::fmt::Display) -> Failure {
    Failure::Work(EXIT_REFUSED, reason.to_string())
}

/// A command: how it is defined, and what does it.
type Part = (fn() -> Command, fn(&ArgMatches) -> Result<ExitCode, Failure>);

const PARTS: [Part; 8] = [
    (run::definition, run::main),
    (verify::definition, verify::main),
    (aot::definition, aot::main),
    (flat::definition, flat::main),
    (pack::definition, pack::main),
    (disasm::definition, disasm::main),
    (image::id_definition, image::id),
    (image::symbols_definition, image::symbols),
];

fn definition() -> Command {
    let parts = PARTS.iter().map(|(definition, _)| definition().after_help(STATUS));
    let tool = Command::new("ubpf").about(ABOUT).after_help(format!("{AFTER}\n\n{STATUS}"));
    cli::with_documents(tool.subcommands(parts))
}

fn main() -> ExitCode {
    let parsed = cli::parse(definition, std::env::args_os(), |matches| match matches.subcommand() {
        Some((name, matches)) => Ok((name.to_owned(), matches.clone())),
        None => Err(cli::mistake(definition(), None, "a command is missing")),
    });
    let (name, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(end) => return end,
    };
    let part = PARTS.iter().find(|(definition, _)| definition().get_name() == name);
    let result = part.map_or(Ok(ExitCode::SUCCESS), |(_, act)| act(&matches));
    result.unwrap_or_else(|failure| ended(&name, failure))
}

fn ended(command: &str, failure: Failure) -> ExitCode {
    match failure {
        Failure::Usage(reason) => {
            say(&cli::mistake(definition(), Some(command), &reason).render().to_string());
            ExitCode::from(cli::EXIT_USAGE)
        }
        Failure::Work(code, reason) => {
            say(&format!("ubpf: {}\n", reason.trim_end()));
            ExitCode::from(code)
        }
        Failure::Output(error) => output::failed("ubpf", &error),
    }
}

/// A line on standard output.
fn out(line: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    Ok(output::print(format!("{line}\n").as_bytes())?)
}

/// A flat program, made of an object where the file is one.
fn read_program(path: &OsStr) -> Result<Vec<u8>, Failure> {
    let bytes = read_bytes(path, LARGEST)?;
    if !ubpf_pack::is_object(&bytes) {
        return Ok(bytes);
    }
    let flat = object::flatten(&bytes, None);
    flat.map_err(|reason| refused(&format_args!("{}: {reason}", shown(path.as_ref()))))
}

/// The bytes of a file; `-` is standard input.
fn read_bytes(path: &OsStr, limit: u64) -> Result<Vec<u8>, Failure> {
    let read = match path == "-" {
        true => read_bounded(io::stdin().lock(), limit),
        false => File::open(path).and_then(|file| read_bounded(file, limit)),
    };
    read.map_err(|error| refused(&format_args!("{}: {error}", shown(path.as_ref()))))
}

/// Replaces the output as a whole; what was read is never written over.
fn write_output(output: &Path, contents: &[u8], input: &OsStr) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt;
    let file = |path: &Path| std::fs::metadata(path).ok().filter(|about| about.is_file());
    let same = file(output).zip(file(input.as_ref())).is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino()));
    if same && input != "-" {
        return Err(Failure::Usage(format!("-o {}: this is the file that is read", shown(output))));
    }
    ubpf_embed::files::replace(&[(output, contents)]).map_err(|reason| refused(&reason))
}
