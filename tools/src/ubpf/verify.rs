//! `ubpf verify`: one line per program, tab-separated or JSON.

use crate::{
    load::{load, How, Loaded},
    options::{input, numbering, policy, policy_of},
    out, refused, Failure, EXIT_REFUSED,
};
use clap::{ArgAction, ArgMatches, Command};
use serde_json::Value;
use std::{
    ffi::{OsStr, OsString},
    io::{self, IsTerminal},
    process::ExitCode,
};
use ubpf_pack::CoreTypes;
use ubpf_rs::{
    helpers::Registry,
    maps::Maps,
    program::{Abi, Program},
    verifier::{self, Environment, Event, Pass, Policy, VerifiedProgram, VerifyError, Work},
};
use ubpf_tools::{
    cli::flag,
    output::say,
    progress::{Progress, Unit},
};

const COLUMNS: &str = "\
Prints a line for each program of each file: file, section, program, verdict, instructions, steps of the verifier, accesses that are proved to be in
bounds, accesses that are checked at run time, reason or remarks; separated by tabs, or at a terminal below each other with a head";

/// One line of the output.
struct Row {
    file: String,
    section: String,
    program: String,
    insns: usize,
    verdict: Result<Counts, String>,
}

struct Counts {
    steps: usize,
    proved: usize,
    guarded: usize,
    remarks: String,
}

pub fn definition() -> Command {
    Command::new("verify")
        .about("Says whether programs are admitted")
        .long_about(format!("Says whether programs are admitted. {COLUMNS}."))
        .arg(policy())
        .arg(numbering(&Abi::ALL).help("How helpers are numbered [default: as the object has it, else classic]"))
        .arg(flag("json").help("Print each line as a JSON object"))
        .arg(flag("verbose").short('v').help("Show the state before each instruction on standard error"))
        .arg(input("FILE").num_args(1..).action(ArgAction::Append).help("Programs; `-` is standard input"))
}

/// What is asked of each file.
struct Wanted {
    abi: Option<Abi>,
    policy: Policy,
    verbose: bool,
}

pub fn main(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let wanted = Wanted {
        abi: matches.get_one::<Abi>("abi").copied(),
        policy: policy_of(matches),
        verbose: matches.get_flag("verbose"),
    };
    let helpers = Registry::with_builtins().map_err(|error| refused(&error))?;
    let files: Vec<&OsString> = matches.get_many("FILE").into_iter().flatten().collect();
    let progress = Progress::new("verifying", Unit::Items(files.len() as u64));
    let (mut all_ok, mut table) = (true, Vec::new());
    let for_people = io::stdout().is_terminal();
    for (done, file) in (0..).zip(files) {
        progress.set(done);
        for row in rows(file, &wanted, &helpers) {
            all_ok &= row.verdict.is_ok();
            match matches.get_flag("json") {
                true => out(format_args!("{}", row.json()))?,
                false if for_people => table.push(row),
                false => out(format_args!("{}", row.tabs()))?,
            }
        }
    }
    drop(progress);
    for line in below_each_other(&table) {
        out(format_args!("{line}"))?;
    }
    Ok(ExitCode::from(if all_ok { 0 } else { EXIT_REFUSED }))
}

/// The head of the table for people.
const HEAD: [&str; 8] = ["file", "section", "program", "verdict", "insns", "steps", "proved", "checked"];
/// Its columns with text; behind them stand numbers.
const TEXTS: usize = 4;

/// The rows with a head, in columns; reasons and remarks stand below their row.
fn below_each_other(rows: &[Row]) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.tabs().split('\t').map(String::from).collect()).collect();
    let width = |at: usize| cells.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = HEAD.iter().enumerate().map(|(at, head)| width(at).unwrap_or(0).max(head.len())).collect();
    let line = |row: &[&str]| -> String {
        let each = row.iter().zip(&widths).enumerate().map(|(at, (cell, &width))| match at < TEXTS {
            true => format!("{cell:<width$}"),
            false => format!("{cell:>width$}"),
        });
        each.collect::<Vec<_>>().join("  ")
    };
    let mut lines = vec![line(&HEAD)];
    for row in &cells {
        let row: Vec<&str> = row.iter().map(String::as_str).collect();
        lines.push(line(row.get(..HEAD.len()).unwrap_or(&row)));
        lines.extend(row.get(HEAD.len()).filter(|reason| !reason.is_empty()).map(|reason| format!("    {reason}")));
    }
    lines
}

/// A row for each program of a file.
fn rows(path: &OsStr, wanted: &Wanted, helpers: &Registry) -> Vec<Row> {
    let file = path.to_string_lossy().into_owned();
    let flat =
        |verdict| Row { file: file.clone(), section: ".text".into(), program: "program".into(), insns: 0, verdict };
    let loaded = match load(path, &How { abi: wanted.abi, types: CoreTypes::Own, refused: "", helpers }) {
        Ok(loaded) => loaded,
        Err(Failure::Work(_, reason) | Failure::Usage(reason)) => return vec![flat(Err(reason))],
        Err(Failure::Output(error)) => return vec![flat(Err(error.to_string()))],
    };
    let infos = loaded.maps.as_deref().and_then(Maps::infos).unwrap_or_default();
    let environment = Environment::new(helpers).with_maps(&infos);
    let row = |one: &Loaded| {
        let environment = Environment { context: one.context, ..environment };
        let verified = check(one.program.clone(), wanted, &environment);
        let verdict = verified.map(|program| counts(&program)).map_err(|error| one.explain(&error));
        let insns = one.program.insns.len();
        match loaded.maps {
            None => Row { insns, ..flat(verdict) },
            Some(_) => Row { section: one.section.clone(), program: one.program.name.clone(), insns, ..flat(verdict) },
        }
    };
    loaded.programs.iter().map(row).collect()
}

/// Verifies; with `verbose`, each instruction goes to standard error with the state before it as the verifier comes to it, so that
/// standard output has the lines alone.
fn check(program: Program, wanted: &Wanted, environment: &Environment<'_>) -> Result<VerifiedProgram, VerifyError> {
    let policy = wanted.policy;
    if !wanted.verbose {
        return verifier::verify(program, policy, environment, &mut Work::default());
    }
    let insns = program.insns.clone();
    let mut show = |event: Event<'_>| match event {
        Event::Before { pc, state, .. } => match insns.get(pc) {
            Some(insn) => say(&format!("{pc:5}: {:40} ; {state}\n", insn.to_string())),
            None => say(&format!("{pc:5}: ; {state}\n")),
        },
        Event::Complete(Pass::Joined) => say("states joined over all paths: complete\n"),
        Event::Complete(Pass::Paths) => say("path by path: complete\n"),
    };
    verifier::verify_observed(program, policy, environment, &mut Work::default(), Some(&mut show))
}

fn counts(program: &VerifiedProgram) -> Counts {
    let (proved, guarded) = program.accesses();
    let mut remarks: Vec<String> = program.warnings().iter().map(ToString::to_string).collect();
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
        let (section, program) = (one_line(&self.section), one_line(&self.program));
        format!("{file}\t{section}\t{program}\t{verdict}\t{insns}\t{steps}\t{proved}\t{guarded}\t{reason}")
    }

    fn json(&self) -> String {
        let (verdict, steps, proved, guarded, reason) = self.fields();
        format!(
            "{{\"file\":{},\"section\":{},\"program\":{},\"verdict\":\"{verdict}\",\"insns\":{},\
             \"steps\":{steps},\"proved\":{proved},\"guarded\":{guarded},\"reason\":{}}}",
            quoted(&self.file),
            quoted(&self.section),
            quoted(&self.program),
            self.insns,
            quoted(reason)
        )
    }
}

/// A field of a line: tabs and line ends would be taken for the ends of fields and lines, other control characters by the terminal.
fn one_line(text: &str) -> String {
    let shown = |c: char| match c {
        '\t' | '\n' | '\r' => ' ',
        c if c.is_control() => '?',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// A JSON string.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_columns_with_a_head() {
        let row = |file: &str, verdict| Row {
            file: file.into(),
            section: "kprobe/f".into(),
            program: "p".into(),
            insns: 12,
            verdict,
        };
        let good = Counts { steps: 1234567, proved: 2, guarded: 0, remarks: String::new() };
        let rows = [row("a.o", Ok(good)), row("long.o", Err("why\tnot".into()))];
        assert_eq!(
            below_each_other(&rows),
            [
                "file    section   program  verdict   insns    steps  proved  checked",
                "a.o     kprobe/f  p        ok           12  1234567       2        0",
                "long.o  kprobe/f  p        rejected     12        0       0        0",
                "    why not",
            ]
        );
        assert!(below_each_other(&[]).is_empty());
    }
}
