//! `ubpf flat`: the flat program of a compiler's object.

use crate::{object, read_bytes, text, usage, Failure, EXIT_REFUSED};
use lexopt::Arg::{Long, Short, Value};
use std::process::ExitCode;

pub fn main(mut args: lexopt::Parser) -> Result<ExitCode, Failure> {
    let (mut input, mut output, mut entry) = (None, None, None);
    while let Some(arg) = args.next()? {
        match arg {
            Short('o') => output = Some(text(&mut args)?),
            Long("entry") => entry = Some(text(&mut args)?),
            Value(value) if input.is_none() => input = Some(value.to_string_lossy().into_owned()),
            other => return Err(other.unexpected().into()),
        }
    }
    let input = input.ok_or_else(|| usage("OBJECT is missing"))?;
    let output = output.ok_or_else(|| usage("-o FILE is missing"))?;
    let refused = |reason: String| Failure(EXIT_REFUSED, reason);
    let bytes = read_bytes(&input)?;
    let flat = object::flatten(&bytes, entry.as_deref());
    let flat = flat.map_err(|reason| refused(format!("{input}: {reason}")))?;
    std::fs::write(&output, flat).map_err(|error| refused(format!("{output}: {error}")))?;
    Ok(ExitCode::SUCCESS)
}
