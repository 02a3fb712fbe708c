//! `ubpf verify`: one line per program, tab-separated or JSON.

use crate::{parse_abi, parse_policy, read_program, text, usage, Failure, EXIT_REFUSED};
use lexopt::Arg::{Long, Short, Value};
use std::process::ExitCode;
use ubpf_rs::{
    helpers::Registry,
    program::{Abi, Program},
    verifier::{self, Event, Pass, Policy, VerifiedProgram, VerifyError, Work},
};

/// One line of the output.
struct Row {
    file: String,
    insns: usize,
    verdict: Result<Counts, String>,
}

struct Counts {
    steps: usize,
    proved: usize,
    guarded: usize,
    remarks: String,
}

pub fn main(mut args: lexopt::Parser) -> Result<ExitCode, Failure> {
    let (mut policy, mut abi, mut files) = (Policy::Guarded, Abi::Classic, Vec::new());
    let (mut json, mut verbose) = (false, false);
    while let Some(arg) = args.next()? {
        match arg {
            Long("policy") => policy = parse_policy(&text(&mut args)?)?,
            Long("abi") => abi = parse_abi(&text(&mut args)?)?,
            Long("json") => json = true,
            Short('v') | Long("verbose") => verbose = true,
            Value(file) => files.push(file.to_string_lossy().into_owned()),
            other => return Err(other.unexpected().into()),
        }
    }
    if files.is_empty() {
        return Err(usage("FILE is missing"));
    }
    let helpers = Registry::with_builtins();
    let helpers = helpers.map_err(|error| Failure(EXIT_REFUSED, error.to_string()))?;
    let rows: Vec<Row> = files
        .into_iter()
        .map(|file| {
            let row = row(file, abi, policy, &helpers, verbose);
            let text = if json { row.json() } else { row.tabs() };
            crate::out(format_args!("{text}"));
            row
        })
        .collect();
    let all_ok = rows.iter().all(|row| row.verdict.is_ok());
    Ok(ExitCode::from(if all_ok { 0 } else { EXIT_REFUSED }))
}

fn row(file: String, abi: Abi, policy: Policy, helpers: &Registry, verbose: bool) -> Row {
    let bytes = match read_program(&file) {
        Ok(bytes) => bytes,
        Err(Failure(_, reason)) => return Row { file, insns: 0, verdict: Err(reason) },
    };
    let verified = Program::from_flat(&file, &bytes, abi)
        .map_err(|error| error.to_string())
        .and_then(|p| check(p, policy, helpers, verbose).map_err(|error| error.to_string()));
    let verdict = verified.map(|program| counts(&program));
    Row { file, insns: bytes.len() / 8, verdict }
}

/// Verifies; with `verbose`, each instruction goes to standard error with the state before it as the verifier comes to it, so that
/// standard output has the lines alone.
fn check(program: Program, policy: Policy, helpers: &Registry, verbose: bool) -> Result<VerifiedProgram, VerifyError> {
    if !verbose {
        return verifier::verify(program, policy, &verifier::Environment::new(helpers), &mut Work::default());
    }
    let insns = program.insns.clone();
    let mut show = |event: Event<'_>| match event {
        Event::Before { pc, state, .. } => match insns.get(pc) {
            Some(insn) => eprintln!("{pc:5}: {:40} ; {state}", insn.to_string()),
            None => eprintln!("{pc:5}: ; {state}"),
        },
        Event::Complete(Pass::Joined) => eprintln!("states joined over all paths: complete"),
        Event::Complete(Pass::Paths) => eprintln!("path by path: complete"),
    };
    verifier::verify_observed(
        program,
        policy,
        &verifier::Environment::new(helpers),
        &mut Work::default(),
        Some(&mut show),
    )
}

fn counts(program: &VerifiedProgram) -> Counts {
    let (proved, guarded) = program.accesses();
    let mut remarks = program.warnings().to_vec();
    if guarded > 0 && program.policy() == Policy::Guarded {
        let all = proved + guarded;
        remarks.push(format!("{guarded} of {all} memory accesses are checked at run time"));
    }
    Counts { steps: program.steps(), proved, guarded, remarks: remarks.join("; ") }
}

impl Row {
    fn fields(&self) -> (&str, usize, usize, usize, &str) {
        match &self.verdict {
            Ok(c) => ("ok", c.steps, c.proved, c.guarded, &c.remarks),
            Err(reason) => ("rejected", 0, 0, 0, reason),
        }
    }

    fn tabs(&self) -> String {
        let (verdict, steps, proved, guarded, reason) = self.fields();
        let (file, insns) = (one_line(&self.file), self.insns);
        let reason = one_line(reason);
        format!("{file}\t.text\tprogram\t{verdict}\t{insns}\t{steps}\t{proved}\t{guarded}\t{reason}")
    }

    fn json(&self) -> String {
        let (verdict, steps, proved, guarded, reason) = self.fields();
        format!(
            "{{\"file\":{},\"section\":\".text\",\"program\":\"program\",\"verdict\":\"{verdict}\",\"insns\":{},\
             \"steps\":{steps},\"proved\":{proved},\"guarded\":{guarded},\"reason\":{}}}",
            quoted(&self.file),
            self.insns,
            quoted(reason)
        )
    }
}

/// A field of a line: tabs and line ends would be taken for the ends of fields and lines.
fn one_line(text: &str) -> String {
    text.replace(['\t', '\n', '\r'], " ")
}

/// A JSON string (RFC 8259 section 7).
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
