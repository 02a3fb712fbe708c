//! `ubpf disasm`: one line per instruction, with `--native` followed by its machine code.

use crate::{
    options::{abi, abi_of, given, guard_all, input, policy, policy_of},
    out, read_program, refused, Failure,
};
use clap::{ArgMatches, Command};
use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use std::process::ExitCode;
use ubpf_embed::files::shown;
use ubpf_rs::{
    helpers::Registry,
    isa::{self, Insn},
    jit::{self, Listing},
    program::Program,
    verifier,
};
use ubpf_tools::{
    cli::flag,
    progress::{Progress, Unit},
};

pub fn definition() -> Command {
    Command::new("disasm")
        .about("Disassembles a program; with --native its machine code, too, checks that are rarely needed last")
        .arg(input("PROG"))
        .arg(flag("native").help("Show the machine code of each instruction"))
        .arg(abi().requires("native"))
        .arg(policy().requires("native"))
        .arg(guard_all().requires("native"))
}

pub fn main(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let bytes = read_program(given(matches, "PROG"))?;
    if matches.get_flag("native") {
        native(matches, &bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let insns = isa::decode(&bytes).map_err(|error| refused(&error))?;
    for (pc, insn) in insns.iter().enumerate() {
        if !matches!(insn, Insn::WideTail) {
            out(format_args!("{pc:8}: {insn}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn native(matches: &ArgMatches, bytes: &[u8]) -> Result<(), Failure> {
    let progress = Progress::new("compiling", Unit::Time);
    let helpers = Registry::with_builtins().map_err(|error| refused(&error))?;
    let name = shown(given(matches, "PROG").as_ref());
    let program = Program::from_flat(&name, bytes, abi_of(matches)).map_err(|error| refused(&error))?;
    let verified = verifier::verify(
        program,
        policy_of(matches),
        &verifier::Environment::new(&helpers),
        &mut verifier::Work::default(),
    )
    .map_err(|error| refused(&error))?;
    let style = jit::Options { guard_all: matches.get_flag("guard-all"), ..jit::Options::default() };
    let listing = Listing::new(&verified, style).ok_or_else(|| refused(&"out of memory"))?;
    drop(progress);
    let insns = &verified.program().insns;
    let mut starts = listing.starts.iter().peekable();
    let mut decoder = Decoder::new(64, &listing.bytes, DecoderOptions::NONE);
    while decoder.can_decode() {
        let at = decoder.position();
        while let Some((_, pc)) = starts.next_if(|&&(start, _)| start <= at) {
            if let Some(insn) = insns.get(*pc) {
                out(format_args!("{pc:8}: {insn}"))?;
            }
        }
        print_native(&mut decoder, &listing.bytes)?;
    }
    let count = insns.iter().filter(|insn| !matches!(insn, Insn::WideTail)).count();
    let total = listing.bytes.len();
    out(format_args!("{count} instructions, {total} bytes, {:.2} bytes per instruction", total as f64 / count as f64))
}

/// The next machine instruction: offset, bytes, text.
fn print_native(decoder: &mut Decoder<'_>, code: &[u8]) -> Result<(), Failure> {
    let at = decoder.position();
    let instruction = decoder.decode();
    let bytes = code.get(at..decoder.position()).unwrap_or(&[]);
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut line = String::new();
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_space_after_operand_separator(true);
    formatter.format(&instruction, &mut line);
    out(format_args!("          {at:5x}  {:30} {line}", hex.join(" ")))
}
