//! `ubpf pack`: the package of a compiler's object.

use crate::{parse_abi, read_bytes, text, usage, Failure, EXIT_REFUSED};
use lexopt::Arg::{Long, Short, Value};
use std::{path::Path, process::ExitCode};
use ubpf_pack::{CoreTypes, Options};
use ubpf_rs::object::Wish;

pub fn main(mut args: lexopt::Parser) -> Result<ExitCode, Failure> {
    let (mut input, mut output, mut options) = (None, None, Options::default());
    while let Some(arg) = args.next()? {
        match arg {
            Short('o') => output = Some(text(&mut args)?),
            Long("name") => options.name = text(&mut args)?,
            Long("abi") => options.abi = Some(parse_abi(&text(&mut args)?)?),
            Long("policy") => options.wish = parse_wish(&text(&mut args)?)?,
            Value(value) if input.is_none() => input = Some(value.to_string_lossy().into_owned()),
            Value(value) => options.values.push(assignment(&value.to_string_lossy())?),
            other => return Err(other.unexpected().into()),
        }
    }
    let input = input.ok_or_else(|| usage("OBJECT is missing"))?;
    let output = output.ok_or_else(|| usage("-o FILE is missing"))?;
    if options.name.is_empty() {
        options.name = name_of(&input);
    }
    let package = package(&input, &read_bytes(&input)?, &options)?;
    let refused = |reason: String| Failure(EXIT_REFUSED, reason);
    std::fs::write(&output, package).map_err(|error| refused(format!("{output}: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

/// The package of an object that a file holds.
pub fn package(input: &str, bytes: &[u8], options: &Options) -> Result<Vec<u8>, Failure> {
    let refused = |reason: String| Failure(EXIT_REFUSED, format!("{input}: {reason}"));
    if !ubpf_pack::is_object(bytes) {
        return Err(refused("this is no object: compile with clang -target bpf -c".into()));
    }
    ubpf_pack::pack(bytes, options).map_err(refused)
}

/// Options for an object that is only looked at here.
#[allow(dead_code)]
pub fn options_of(input: &str, types: CoreTypes) -> Options {
    Options { name: name_of(input), types, ..Options::default() }
}

/// The name of an object: that of its file, without the ending.
fn name_of(input: &str) -> String {
    let stem = Path::new(input).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name: String = stem.unwrap_or_default().chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    match name.as_str() {
        "" | "-" => "object".into(),
        _ => name,
    }
}

fn parse_wish(value: &str) -> Result<Wish, Failure> {
    match value {
        "guarded" => Ok(Wish::Guarded),
        "strict" => Ok(Wish::Strict),
        other => Err(usage(format!("--policy {other}: guarded or strict is expected"))),
    }
}

fn assignment(text: &str) -> Result<(String, String), Failure> {
    let (name, value) = text.split_once('=').ok_or_else(|| usage(format!("{text}: NAME=VALUE is expected")))?;
    Ok((name.into(), value.into()))
}
