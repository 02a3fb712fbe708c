//! `ubpf flat`: the flat program of a compiler's object.

use crate::{
    object,
    options::{given, input, output, output_of},
    read_bytes, refused, write_output, Failure, LARGEST,
};
use clap::{Arg, ArgMatches, Command};
use std::process::ExitCode;
use ubpf_embed::files::shown;

pub fn definition() -> Command {
    Command::new("flat")
        .about("Makes a flat program of a compiler's object")
        .arg(input("OBJECT").help("The object; `-` is standard input"))
        .arg(output("FILE").required(true).help("Where the flat program goes"))
        .arg(
            Arg::new("entry")
                .long("entry")
                .value_name("NAME")
                .help("The function that the program starts with [default: bpf_prog, or the one that no other calls]"),
        )
}

pub fn main(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let input = given(matches, "OBJECT");
    let bytes = read_bytes(input, LARGEST)?;
    let entry = matches.get_one::<String>("entry").map(String::as_str);
    let flat = object::flatten(&bytes, entry);
    let flat = flat.map_err(|reason| refused(&format_args!("{}: {reason}", shown(input.as_ref()))))?;
    write_output(output_of(matches).unwrap_or("".as_ref()), &flat, input)?;
    Ok(ExitCode::SUCCESS)
}
