//! `ubpf disasm`: one line per instruction.

use crate::{read_program, usage, Failure, EXIT_REFUSED};
use std::process::ExitCode;
use ubpf_rs::isa;

pub fn main(mut args: lexopt::Parser) -> Result<ExitCode, Failure> {
    let program = args.next()?;
    let Some(lexopt::Arg::Value(program)) = program else {
        return Err(usage("PROG is missing"));
    };
    if let Some(more) = args.next()? {
        return Err(more.unexpected().into());
    }
    let bytes = read_program(&program.to_string_lossy())?;
    let insns = isa::decode(&bytes).map_err(|error| Failure(EXIT_REFUSED, error.to_string()))?;
    for (pc, insn) in insns.iter().enumerate() {
        if !matches!(insn, isa::Insn::WideTail) {
            println!("{pc:8}: {insn}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
