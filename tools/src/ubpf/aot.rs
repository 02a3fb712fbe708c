//! `ubpf aot`: a program as a relocatable object.

use crate::{
    options::{abi, abi_of, given, guard_all, input, output, output_of, policy, policy_of},
    read_program, refused, write_output, Failure,
};
use clap::{Arg, ArgMatches, Command};
use object::{
    elf,
    write::{Object, Relocation, SectionId, StandardSegment, Symbol, SymbolId, SymbolSection},
    Architecture, BinaryFormat, Endianness, FileFlags, RelocationFlags, SectionFlags, SectionKind, SymbolFlags,
    SymbolKind, SymbolScope,
};
use std::{ffi::OsStr, path::Path, process::ExitCode};
use ubpf_rs::{
    helpers::{is_name, Registry, LONGEST_NAME},
    jit::{self, Ahead, LinkedProgram},
    program::Program,
    verifier,
};
use ubpf_tools::{
    cli::flag,
    output::say,
    progress::{Progress, Unit},
};

pub fn definition() -> Command {
    Command::new("aot")
        .about("Compiles a program to an object to be linked into an image, which then has it under its name")
        .arg(input("PROG"))
        .arg(output("OBJECT").required(true).help("Where the object goes"))
        .arg(
            Arg::new("name")
                .long("name")
                .value_name("NAME")
                .value_parser(name)
                .help("Its name in the image [default: the program's file name]"),
        )
        .arg(abi())
        .arg(policy())
        .arg(guard_all())
        .arg(flag("bmi2").help("Compile for CPUs that have BMI2"))
}

pub fn main(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let path = given(matches, "PROG");
    let code = jit::Options {
        baseline: !matches.get_flag("bmi2"),
        guard_all: matches.get_flag("guard-all"),
        ..jit::Options::default()
    };
    if !code.baseline && !has_bmi2() {
        return Err(Failure::Usage("--bmi2: this machine has no BMI2".into()));
    }
    let name = match matches.get_one::<String>("name") {
        Some(name) => name.clone(),
        None if path == "-" => return Err(Failure::Usage("a program from standard input needs --name".into())),
        None => name_of(path),
    };
    let bytes = read_program(path)?;
    let progress = Progress::new("compiling", Unit::Time);
    let helpers = Registry::with_builtins().map_err(|error| refused(&error))?;
    let program = Program::from_flat(&name, &bytes, abi_of(matches));
    let program = program.map_err(|error| refused(&error))?;
    let verified = verifier::verify(
        program,
        policy_of(matches),
        &verifier::Environment::new(&helpers),
        &mut verifier::Work::default(),
    );
    let verified = verified.map_err(|error| refused(&error))?;
    for warning in verified.warnings() {
        say(&format!("ubpf: {warning}\n"));
    }
    let code = Ahead::new(&verified, &bytes, code);
    let code = code.ok_or_else(|| refused(&"the program is too large to be compiled"))?;
    let object = object(&name, &bytes, &code).map_err(|error| refused(&error))?;
    drop(progress);
    write_output(output_of(matches).unwrap_or("".as_ref()), &object, path)?;
    Ok(ExitCode::SUCCESS)
}

/// A name that the image takes.
fn name(text: &str) -> Result<String, String> {
    match is_name(text) {
        true => Ok(text.into()),
        false => Err(format!("a name has 1 to {LONGEST_NAME} bytes, and no spaces or control characters")),
    }
}

/// The program's name by that of its file. What no name can have becomes `_`, and that is said.
fn name_of(path: &OsStr) -> String {
    let file = Path::new(path).file_name().unwrap_or(path).to_string_lossy();
    let mut name: String = file.chars().map(|c| if c.is_control() || c.is_whitespace() { '_' } else { c }).collect();
    while name.len() > LONGEST_NAME {
        name.pop();
    }
    if name.is_empty() {
        name.push('_');
    }
    if name != file || Path::new(path).to_str().is_none() {
        say(&format!("ubpf: the program is called {name} in the image (--name gives it another name)\n"));
    }
    name
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
