//! `ubpf aot`: a program as a relocatable object.

use crate::{parse_abi, parse_policy, read_program, text, usage, Failure, EXIT_REFUSED};
use lexopt::Arg::{Long, Short, Value};
use object::{
    elf,
    write::{Object, Relocation, SectionId, StandardSegment, Symbol, SymbolId, SymbolSection},
    Architecture, BinaryFormat, Endianness, FileFlags, RelocationFlags, SectionFlags, SectionKind, SymbolFlags,
    SymbolKind, SymbolScope,
};
use std::{path::Path, process::ExitCode};
use ubpf_rs::{
    helpers::Registry,
    jit::{self, Ahead, LinkedProgram},
    program::{Abi, Program},
    verifier::{self, Policy},
};

struct Options {
    program: String,
    output: String,
    name: String,
    abi: Abi,
    policy: Policy,
    code: jit::Options,
}

pub fn main(args: lexopt::Parser) -> Result<ExitCode, Failure> {
    let options = parse(args)?;
    let bytes = read_program(&options.program)?;
    let helpers = Registry::with_builtins().map_err(|error| refused(&error))?;
    let program = Program::from_flat(&options.name, &bytes, options.abi);
    let program = program.map_err(|error| refused(&error))?;
    let verified = verifier::verify(
        program,
        options.policy,
        &verifier::Environment::new(&helpers),
        &mut verifier::Work::default(),
    );
    let verified = verified.map_err(|error| refused(&error))?;
    for warning in verified.warnings() {
        eprintln!("ubpf: {warning}");
    }
    let code = Ahead::new(&verified, &bytes, options.code);
    let code = code.ok_or_else(|| refused(&"the program is too large to be compiled"))?;
    let object = object(&options.name, &bytes, &code).map_err(|error| refused(&error))?;
    std::fs::write(&options.output, object).map_err(|error| refused(&format!("{}: {error}", options.output)))?;
    Ok(ExitCode::SUCCESS)
}

fn refused(error: &dyn std::fmt::Display) -> Failure {
    Failure(EXIT_REFUSED, error.to_string())
}

fn parse(mut args: lexopt::Parser) -> Result<Options, Failure> {
    let (mut program, mut output, mut name) = (None, None, None);
    let (mut abi, mut policy) = (Abi::Classic, Policy::Guarded);
    let mut code = jit::Options { baseline: true, ..jit::Options::default() };
    while let Some(arg) = args.next()? {
        match arg {
            Short('o') => output = Some(text(&mut args)?),
            Long("name") => name = Some(text(&mut args)?),
            Long("abi") => abi = parse_abi(&text(&mut args)?)?,
            Long("policy") => policy = parse_policy(&text(&mut args)?)?,
            Long("guard-all") => code.guard_all = true,
            Long("bmi2") => code.baseline = false,
            Value(value) if program.is_none() => program = Some(value.to_string_lossy().into_owned()),
            other => return Err(other.unexpected().into()),
        }
    }
    if !code.baseline && !has_bmi2() {
        return Err(usage("--bmi2: this machine has no BMI2"));
    }
    let program = program.ok_or_else(|| usage("PROG is missing"))?;
    if program == "-" && name.is_none() {
        return Err(usage("a program from standard input needs --name"));
    }
    let file_name = Path::new(&program).file_name();
    let own = file_name.map_or_else(|| program.clone(), |n| n.to_string_lossy().into_owned());
    Ok(Options {
        name: name.unwrap_or(own),
        output: output.ok_or_else(|| usage("-o OBJECT is missing"))?,
        program,
        abi,
        policy,
        code,
    })
}

fn has_bmi2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("bmi2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// A section of its own with these contents, and a symbol at its start.
fn part(object: &mut Object<'_>, name: &str, kind: SectionKind, bytes: &[u8]) -> (SectionId, SymbolId) {
    let segment = match kind {
        SectionKind::Text => StandardSegment::Text,
        _ => StandardSegment::Data,
    };
    let segment = object.segment_name(segment).to_vec();
    let section = object.add_section(segment, name.into(), kind);
    object.append_section_data(section, bytes, 16);
    (section, object.section_symbol(section))
}

fn object(name: &str, bytecode: &[u8], code: &Ahead) -> Result<Vec<u8>, object::write::Error> {
    const ABI_GNU: u8 = elf::ELFOSABI_GNU;
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    object.flags = FileFlags::Elf { os_abi: ABI_GNU, abi_version: 0, e_flags: 0 };
    object.add_file_symbol(name.into());
    let data = SectionKind::ReadOnlyData;
    let (text, code_at) = part(&mut object, ".text.ubpf_aot", SectionKind::Text, &code.code);
    let (_, name_at) = part(&mut object, ".rodata.ubpf_aot.name", data, &[name.as_bytes(), &[0]].concat());
    let (_, bytecode_at) = part(&mut object, ".rodata.ubpf_aot.program", data, bytecode);
    let (_, sites_at) = part(&mut object, ".rodata.ubpf_aot.sites", data, &code.sites);
    // For whoever looks at the image with a debugger or a profiler.
    object.add_symbol(Symbol {
        name: [b"ubpf_aot_", symbol_name(name).as_bytes()].concat(),
        value: 0,
        size: code.code.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Compilation,
        weak: false,
        section: SymbolSection::Section(text),
        flags: SymbolFlags::None,
    });
    // Written by the loader of position-independent images, and kept although nothing names it.
    let section = object.add_section(Vec::new(), LinkedProgram::SECTION.into(), SectionKind::Data);
    object.section_mut(section).flags =
        SectionFlags::Elf { sh_flags: u64::from(elf::SHF_ALLOC | elf::SHF_WRITE | elf::SHF_GNU_RETAIN) };
    object.append_section_data(section, &code.entry, 8);
    for (offset, symbol) in
        [(Ahead::NAME, name_at), (Ahead::BYTECODE, bytecode_at), (Ahead::CODE, code_at), (Ahead::SITES, sites_at)]
    {
        let relocation =
            Relocation { offset, symbol, addend: 0, flags: RelocationFlags::Elf { r_type: elf::R_X86_64_64 } };
        object.add_relocation(section, relocation)?;
    }
    // The object asks for no executable stack.
    object.add_section(Vec::new(), b".note.GNU-stack".to_vec(), SectionKind::Other);
    object.write()
}

/// The name with nothing in it that a symbol cannot have.
fn symbol_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(plain).collect()
}
