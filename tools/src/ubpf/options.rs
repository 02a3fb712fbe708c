//! Options and arguments that several commands have.

use clap::{
    builder::{PossibleValuesParser, TypedValueParser},
    value_parser, Arg, ArgMatches, ValueHint,
};
use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};
use ubpf_rs::{program::Abi, verifier::Policy};
use ubpf_tools::cli::{flag, path};

/// `PROG`, or another argument that is a file or `-`.
pub fn input(name: &'static str) -> Arg {
    Arg::new(name)
        .required(true)
        .value_parser(value_parser!(OsString))
        .value_hint(ValueHint::FilePath)
        .help("The program; `-` is standard input")
}

/// The value of a required argument of this name.
pub fn given<'m>(matches: &'m ArgMatches, name: &str) -> &'m OsStr {
    matches.get_one::<OsString>(name).map_or(OsStr::new(""), OsString::as_os_str)
}

/// `-o FILE`.
pub fn output(value: &'static str) -> Arg {
    path("output").short('o').long("output").value_name(value)
}

/// The value of `-o`.
pub fn output_of(matches: &ArgMatches) -> Option<&Path> {
    matches.get_one::<PathBuf>("output").map(PathBuf::as_path)
}

/// `--abi`: how helpers are numbered.
pub fn abi() -> Arg {
    numbering(&[Abi::Classic, Abi::Uio])
}

/// `--abi` of these.
pub fn numbering(abis: &[Abi]) -> Arg {
    let names = abis.iter().map(|abi| abi.word());
    let parser = PossibleValuesParser::new(names).try_map(|name| Abi::of_word(&name).ok_or("no numbering of helpers"));
    Arg::new("abi")
        .long("abi")
        .value_name("ABI")
        .value_parser(parser)
        .help("How helpers are numbered [default: classic]")
}

/// The value of `--abi`.
pub fn abi_of(matches: &ArgMatches) -> Abi {
    matches.get_one("abi").copied().unwrap_or(Abi::Classic)
}

/// `--policy`: what is admitted.
pub fn policy() -> Arg {
    let names = Policy::ALL.map(Policy::word);
    let parser = PossibleValuesParser::new(names).try_map(|name| Policy::of_word(&name).ok_or("no policy"));
    Arg::new("policy")
        .long("policy")
        .value_name("POLICY")
        .value_parser(parser)
        .help("How much must be proved before a run [default: guarded]")
}

/// The value of `--policy`.
pub fn policy_of(matches: &ArgMatches) -> Policy {
    matches.get_one("policy").copied().unwrap_or(Policy::Guarded)
}

/// `--guard-all`.
pub fn guard_all() -> Arg {
    flag("guard-all").help("Check every access while the program runs, proved or not")
}

/// A number, decimal or `0x…`.
pub fn number(value: &str) -> Result<u64, String> {
    let number = match value.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => value.parse(),
    };
    number.ok().filter(|_| !value.contains('+')).ok_or_else(|| "a number is expected".into())
}

/// Pairs of hexadecimal digits.
pub fn hex(digits: &str) -> Result<Vec<u8>, String> {
    let bad = || "pairs of hexadecimal digits are expected".to_owned();
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Err(bad());
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| bad())).collect()
}
