//! `ubpf disasm`: one line per instruction, with `--native` followed by its machine code.

use crate::{parse_abi, parse_policy, read_program, text, usage, Failure, EXIT_REFUSED};
use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use lexopt::Arg::{Long, Value};
use std::process::ExitCode;
use ubpf_rs::{
    helpers::Registry,
    isa::{self, Insn},
    jit::{self, Listing},
    program::{Abi, Program},
    verifier::{self, Policy},
};

struct Options {
    program: String,
    native: bool,
    guard_all: bool,
    abi: Option<Abi>,
    policy: Option<Policy>,
}

pub fn main(args: lexopt::Parser) -> Result<ExitCode, Failure> {
    let options = parse(args)?;
    let bytes = read_program(&options.program)?;
    if options.native {
        native(&options, &bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let insns = isa::decode(&bytes).map_err(|error| refused(&error))?;
    for (pc, insn) in insns.iter().enumerate() {
        if !matches!(insn, Insn::WideTail) {
            crate::out(format_args!("{pc:8}: {insn}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn refused(error: &dyn std::fmt::Display) -> Failure {
    Failure(EXIT_REFUSED, error.to_string())
}

fn parse(mut args: lexopt::Parser) -> Result<Options, Failure> {
    let mut program = None;
    let (mut native, mut guard_all, mut abi, mut policy) = (false, false, None, None);
    while let Some(arg) = args.next()? {
        match arg {
            Long("native") => native = true,
            Long("guard-all") => guard_all = true,
            Long("abi") => abi = Some(parse_abi(&text(&mut args)?)?),
            Long("policy") => policy = Some(parse_policy(&text(&mut args)?)?),
            Value(value) if program.is_none() => program = Some(value.to_string_lossy().into_owned()),
            other => return Err(other.unexpected().into()),
        }
    }
    if !native && (guard_all || abi.is_some() || policy.is_some()) {
        return Err(usage("--guard-all, --abi and --policy need --native"));
    }
    let program = program.ok_or_else(|| usage("PROG is missing"))?;
    Ok(Options { program, native, guard_all, abi, policy })
}

fn native(options: &Options, bytes: &[u8]) -> Result<(), Failure> {
    let abi = options.abi.unwrap_or(Abi::Classic);
    let policy = options.policy.unwrap_or(Policy::Guarded);
    let helpers = Registry::with_builtins().map_err(|error| refused(&error))?;
    let program = Program::from_flat(&options.program, bytes, abi).map_err(|error| refused(&error))?;
    let verified =
        verifier::verify(program, policy, &verifier::Environment::new(&helpers), &mut verifier::Work::default())
            .map_err(|error| refused(&error))?;
    let style = jit::Options { guard_all: options.guard_all, ..jit::Options::default() };
    let listing = Listing::new(&verified, style).ok_or_else(|| refused(&"out of memory"))?;
    let insns = &verified.program().insns;
    let mut starts = listing.starts.iter().peekable();
    let mut decoder = Decoder::new(64, &listing.bytes, DecoderOptions::NONE);
    while decoder.can_decode() {
        let at = decoder.position();
        while let Some((_, pc)) = starts.next_if(|&&(start, _)| start <= at) {
            if let Some(insn) = insns.get(*pc) {
                crate::out(format_args!("{pc:8}: {insn}"));
            }
        }
        print_native(&mut decoder, &listing.bytes);
    }
    let count = insns.iter().filter(|insn| !matches!(insn, Insn::WideTail)).count();
    let total = listing.bytes.len();
    crate::out(format_args!(
        "{count} instructions, {total} bytes, {:.2} bytes per instruction",
        total as f64 / count as f64
    ));
    Ok(())
}

/// The next machine instruction: offset, bytes, text.
fn print_native(decoder: &mut Decoder<'_>, code: &[u8]) {
    let at = decoder.position();
    let instruction = decoder.decode();
    let bytes = code.get(at..decoder.position()).unwrap_or(&[]);
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut line = String::new();
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_space_after_operand_separator(true);
    formatter.format(&instruction, &mut line);
    crate::out(format_args!("          {at:5x}  {:30} {line}", hex.join(" ")));
}
