//! Writes the names of functions, and the image's id, into a linked Unikraft image: `ubpf-embed IMAGE.dbg IMAGE`.
//!
//! Both files are replaced, by renaming, when everything is known to be right.
#![forbid(unsafe_code)]

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};
use ubpf_embed::{
    files::{read_ordinary, replace, shown},
    id, names, search, table, Elf,
};

const HELP: &str = "\
Writes the names of functions, and an id, into a linked Unikraft image

Usage: ubpf-embed IMAGE.dbg IMAGE

IMAGE.dbg has the names and the code; IMAGE is the same without names. Both get them in the place that LIBUBPF_RS_SYMBOLS
reserves. Neither is changed unless both can be.

Options:
  -h, --help     Print help
  -V, --version  Print version

Exit status: 0 done; 1 not done, and both files are as they were; 64 wrong usage; 74 standard output cannot be written.
";

/// Largest file that is read.
const LARGEST: u64 = 1 << 30;
/// Wrong usage (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;
/// Standard output cannot be written (`EX_IOERR`).
const EXIT_OUTPUT: u8 = 74;

fn main() -> ExitCode {
    let args: Vec<_> = env::args_os().skip(1).map(PathBuf::from).collect();
    match args.as_slice() {
        [one] if one.as_os_str() == "--help" || one.as_os_str() == "-h" => print(HELP),
        [one] if one.as_os_str() == "--version" || one.as_os_str() == "-V" => {
            print(concat!("ubpf-embed ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        [debug, image] => match embed(debug, image) {
            Ok(said) => say(&said, ExitCode::SUCCESS),
            Err(error) => say(&error, ExitCode::FAILURE),
        },
        _ => say("two files are needed: ubpf-embed IMAGE.dbg IMAGE (--help says more)", ExitCode::from(EXIT_USAGE)),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say(&format!("standard output: {error}"), ExitCode::from(EXIT_OUTPUT)),
    }
}

/// A closed standard error is no reason to stop.
fn say(text: &str, code: ExitCode) -> ExitCode {
    for line in text.lines() {
        let _ = writeln!(io::stderr(), "ubpf-embed: {line}");
    }
    code
}

fn embed(debug: &Path, image: &Path) -> Result<String, String> {
    let of = |path: &Path, error: String| format!("{}: {error}", shown(path));
    let debug_file = read_ordinary(debug, LARGEST)?;
    let elf = Elf::new(&debug_file).map_err(|e| of(debug, e))?;
    let (functions, remarks) = names::functions(&elf);
    let table = table::encode(&functions).map_err(|e| of(debug, e))?;
    let id = id::of_image(&elf, &functions, &table);
    let mut image_file = read_ordinary(image, LARGEST)?;
    if let Some(section) = elf.code().find(|code| !search::holds(&image_file, code.data)) {
        return Err(format!(
            "{} is of another build than {}: its section {} is not in the image",
            shown(debug),
            shown(image),
            section.name
        ));
    }
    let room = table::fill(&mut image_file, id, &table).map_err(|e| of(image, e))?;
    let mut filled = debug_file.clone();
    table::fill(&mut filled, id, &table).map_err(|e| of(debug, e))?;
    replace(&[(debug, &filled), (image, &image_file)])?;
    let stubs = functions.iter().filter(|f| f.stub.0 != 0).count();
    Ok(format!(
        "image {id}: {} names, {stubs} with entry stubs, {} of {room} bytes\n{remarks}",
        functions.len(),
        table.len() + id.0.len()
    ))
}
