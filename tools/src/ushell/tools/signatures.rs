//! Arguments by the image's debug file: as many as a function has, by their names and types.

use super::{arguments::Argument, image_file::read_file};
use crate::names::parts;
use clap::{value_parser, Arg, ArgMatches};
use serde_json::Value as Json;
use std::fmt::Write;
use ubpf_pack::{Outcome, ParameterKind, Signature, Signatures};
use ubpf_tools::cli::path;

/// The option for the file.
pub fn debug() -> Arg {
    path("debug").long("debug").value_name("FILE").help(
        "The image's debug file (.dbg), or the program itself, compiled with -g: arguments have names and types, and are as many as a function has",
    )
}

/// The option for how many are shown where nobody knows.
pub fn count(help: &'static str) -> Arg {
    Arg::new("args").long("args").value_name("N").value_parser(value_parser!(u8).range(0..=6)).help(help)
}

/// What the command line says of that.
pub fn read_count(matches: &ArgMatches) -> Option<usize> {
    matches.get_one::<u8>("args").map(|&count| count.into())
}

/// What the file of the command line says, if one is named.
pub fn read_debug(matches: &ArgMatches) -> Result<Known, String> {
    Ok(Known(read_file(matches, "debug", Signatures::read)?))
}

/// What is known of functions; nothing without a debug file.
pub struct Known(Option<Signatures>);

impl Known {
    /// What is known of a function, by the name that the shell gives it. Of the handlers of a system call, the function with its body says more.
    fn of(&self, function: &str) -> Option<&Signature> {
        let all = self.0.as_ref()?;
        // Of several functions of a name the address says which; the file is not asked for that.
        let (name, None) = parts(function) else { return None };
        all.of(&format!("__{name}")).filter(|_| name.starts_with("uk_syscall_")).or_else(|| all.of(name))
    }

    /// The arguments of a call, in words: those that the function has; where that is not known, the first `most`.
    pub fn text(&self, function: &str, words: &[u64; 6], most: usize) -> String {
        let Some(signature) = self.of(function) else {
            return words.iter().take(most).map(|&word| shown(word)).collect::<Vec<_>>().join(", ");
        };
        let mut text = String::new();
        for (parameter, &word) in signature.parameters.iter().zip(words) {
            let separator = if text.is_empty() { "" } else { ", " };
            let named = if parameter.name.is_empty() { "" } else { "=" };
            // Writing to memory does not fail.
            let _ = write!(text, "{separator}{}{named}{}", parameter.name, value(parameter.bits, parameter.kind, word));
        }
        if signature.open {
            text.push_str(if text.is_empty() { "..." } else { ", ..." });
        }
        text
    }

    /// What a call gave back, as `= …`; nothing where it gives nothing.
    pub fn result(&self, function: &str, word: u64) -> String {
        match self.of(function).map(|signature| signature.result) {
            None => format!(" = {}", shown(word)),
            Some(Outcome::Number { bits, kind }) => format!(" = {}", value(bits, kind, word)),
            Some(Outcome::Elsewhere) => " = ...".into(),
            Some(Outcome::Nothing) => String::new(),
        }
    }

    /// Whether there is a debug file.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Puts that register into the value of a call as `result`, unless it is known to hold none.
    pub fn put_result(&self, call: &mut Json, function: &str, word: u64) {
        let outcome = self.of(function).map(|signature| signature.result);
        if !matches!(outcome, Some(Outcome::Nothing | Outcome::Elsewhere)) {
            call["result"] = word.into();
        }
    }

    /// Puts the arguments into the value of a call: as `arguments` those words, and as `names` their names where they are known.
    pub fn put(&self, call: &mut Json, function: &str, words: &[u64; 6], most: usize) {
        let signature = self.of(function);
        let count = signature.map_or(most, |signature| signature.parameters.len());
        call["arguments"] = words.iter().take(count).copied().collect();
        if let Some(signature) = signature {
            call["names"] = signature.parameters.iter().map(|one| one.name.as_str()).collect();
        }
    }

    /// The argument of a function that has this name.
    pub fn argument(&self, function: &str, name: &str) -> Result<Argument, String> {
        if self.0.is_none() {
            return Err(format!("`{name}`: with --debug FILE an argument is found by its name, else it is a number"));
        }
        let signature =
            self.of(function).ok_or_else(|| format!("the debug file does not tell which arguments {function} has"))?;
        let found = signature.parameters.iter().position(|one| one.name == name);
        let (at, one) = found.and_then(|at| Some((at, signature.parameters.get(at)?))).ok_or_else(|| {
            let names: Vec<&str> = signature.parameters.iter().map(|one| one.name.as_str()).collect();
            format!(
                "{function} has no argument {name} in a register; it has {}",
                if names.is_empty() { "none".into() } else { names.join(", ") }
            )
        })?;
        Ok(Argument { number: at as u32 + 1, bits: one.bits, signed: one.kind == ParameterKind::Signed })
    }
}

/// A value of a type: the bits beyond it mean nothing.
fn value(bits: u32, kind: ParameterKind, word: u64) -> String {
    let beyond = 64u32.saturating_sub(bits).min(63);
    match kind {
        ParameterKind::Signed => ((word << beyond) as i64 >> beyond).to_string(),
        ParameterKind::Unsigned => (word << beyond >> beyond).to_string(),
        ParameterKind::Pointer => format!("{word:#x}"),
    }
}

/// A word, of which nobody knows whether it is a number or an address.
pub fn shown(word: u64) -> String {
    match i16::try_from(word as i64) {
        Ok(small) => small.to_string(),
        Err(_) if word <= 0xffff => word.to_string(),
        Err(_) => format!("{word:#x}"),
    }
}
