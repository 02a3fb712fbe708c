//! `ubpf image-id` and `ubpf symbols`: what is known of a Unikraft image by its debug file.

use crate::{
    options::{given, input, output, output_of},
    out, read_bytes, refused, write_output, Failure,
};
use clap::{value_parser, Arg, ArgMatches, Command};
use std::{fmt::Write, process::ExitCode};
use ubpf_embed::{files::shown, id, id::Id, Elf};
use ubpf_tools::output;

/// Largest image that is read.
pub const LARGEST: u64 = 1 << 30;

pub fn id_definition() -> Command {
    Command::new("image-id")
        .about("Prints the id of a Unikraft image, of its debug file (.dbg) or itself; `status` in its shell shows the same")
        .arg(input("FILE").help("The file; `-` is standard input"))
        .arg(
            Arg::new("expect")
                .long("expect")
                .value_name("ID")
                .value_parser(value_parser!(Id))
                .help("Print nothing when this is the id, otherwise say so and end with 2"),
        )
}

pub fn id(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let path = given(matches, "FILE");
    let of = |reason: String| refused(&format_args!("{}: {reason}", shown(path.as_ref())));
    let id = id::of_file(&read_bytes(path, LARGEST)?).map_err(of)?;
    match matches.get_one::<Id>("expect") {
        None => out(format_args!("{id}"))?,
        Some(expected) if *expected == id => {}
        Some(expected) => return Err(of(format!("this is of image {id}, not of {expected}"))),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn symbols_definition() -> Command {
    Command::new("symbols")
        .about("Writes the symbols of a debug file (.dbg) as a list for the shell's `load`; an image of another id refuses it")
        .arg(input("FILE").help("The file; `-` is standard input"))
        .arg(output("LIST").help("Where the list goes [default: standard output]"))
}

pub fn symbols(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let path = given(matches, "FILE");
    let file = read_bytes(path, LARGEST)?;
    let of = |reason: String| refused(&format_args!("{}: {reason}", shown(path.as_ref())));
    let elf = Elf::new(&file).map_err(of)?;
    let mut symbols: Vec<_> = elf.functions().collect();
    if symbols.is_empty() {
        return Err(of("it has no names of functions: give the image's debug file".into()));
    }
    symbols.sort_by_key(|symbol| (symbol.address, symbol.name));
    let mut list = format!("# image {}\n", id::of_file(&file).map_err(of)?);
    // A name with a space, an end of a line or bytes that are no text is no word of a list.
    let word = |name: &&str| !name.contains(|c: char| c.is_whitespace() || c.is_control());
    for symbol in symbols {
        let kind = if symbol.global { 'T' } else { 't' };
        if let Some(name) = std::str::from_utf8(symbol.name).ok().filter(word) {
            // Writing to memory does not fail.
            let _ = writeln!(list, "{:016x} {kind} {name}", symbol.address);
        }
    }
    match output_of(matches) {
        Some(output) => write_output(output, list.as_bytes(), path)?,
        None => output::print(list.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}
