//! `ubpf pack`: the package of a compiler's object.

use crate::{
    image,
    options::{given, input, numbering, output, output_of},
    read_bytes, refused, write_output, Failure, LARGEST,
};
use clap::{
    builder::{PossibleValuesParser, TypedValueParser},
    Arg, ArgAction, ArgMatches, Command,
};
use std::{ffi::OsStr, path::PathBuf, process::ExitCode};
use ubpf_embed::{files::shown, id};
use ubpf_pack::{Image, Options};
use ubpf_rs::{object::Wish, program::Abi};
use ubpf_tools::cli::{flag, path};

pub fn definition() -> Command {
    let wish = PossibleValuesParser::new(["guarded", "strict"]).map(|name| match name.as_str() {
        "strict" => Wish::Strict,
        _ => Wish::Guarded,
    });
    Command::new("pack")
        .about("Makes a package of a compiler's object: all of its programs, maps and data, for an image to load")
        .arg(input("OBJECT").help("The object; `-` is standard input"))
        .arg(
            Arg::new("CONSTANT=VALUE")
                .action(ArgAction::Append)
                .value_parser(assignment)
                .help("Numbers that are set, by their names; those declared `const volatile` decide branches"),
        )
        .arg(output("FILE").required(true).help("Where the package goes"))
        .arg(
            path("image")
                .long("image")
                .value_name("FILE")
                .help("The image's debug file (.dbg): fields of its types are found by name (CO-RE), and the package is for this image alone"),
        )
        .arg(
            Arg::new("name")
                .long("name")
                .value_name("NAME")
                .help("Name of the object [default: its file's name without the ending]"),
        )
        .arg(numbering(&Abi::ALL).help(
            "How helpers are numbered [default: linux for an object with maps or sections as on Linux, else classic]",
        ))
        .arg(Arg::new("policy").long("policy").value_name("POLICY").value_parser(wish).help(
            "How much must be proved before a run, where the image asks for less [default: what the image asks for]",
        ))
        .arg(
            flag("no-types")
                .help("Leave out the types of keys, values and variables, by which tools show maps (16 KiB at most)"),
        )
}

pub fn main(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let input = given(matches, "OBJECT");
    let image = matches.get_one::<PathBuf>("image").map(|path| types_of(path.as_os_str())).transpose()?;
    let options = Options {
        image,
        name: matches.get_one("name").cloned().unwrap_or_else(|| ubpf_pack::object_name(input.as_ref())),
        abi: matches.get_one::<Abi>("abi").copied(),
        wish: matches.get_one("policy").copied().unwrap_or_default(),
        values: matches.get_many("CONSTANT=VALUE").into_iter().flatten().cloned().collect(),
        no_types: matches.get_flag("no-types"),
        ..Options::default()
    };
    let package = package(input, &read_bytes(input, LARGEST)?, &options)?;
    write_output(output_of(matches).unwrap_or("".as_ref()), &package, input)?;
    Ok(ExitCode::SUCCESS)
}

/// The types of an image.
fn types_of(path: &OsStr) -> Result<Image, Failure> {
    let file = read_bytes(path, image::LARGEST)?;
    let of = |reason: String| refused(&format_args!("{}: {reason}", shown(path.as_ref())));
    let id = id::of_file(&file).map_err(of)?;
    Image::read(&file, &id.0).map_err(of)
}

/// The package of an object that a file holds.
pub fn package(input: &OsStr, bytes: &[u8], options: &Options) -> Result<Vec<u8>, Failure> {
    let of = |reason: String| refused(&format_args!("{}: {reason}", shown(input.as_ref())));
    if !ubpf_pack::is_object(bytes) {
        return Err(of("this is no object: compile with clang -target bpf -c".into()));
    }
    ubpf_pack::pack(bytes, options).map_err(of)
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    Ok((name.into(), value.into()))
}
