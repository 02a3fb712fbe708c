//! The inputs of `tests/hostile`: every one has its line there, and the programs do no harm on any engine.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

#[path = "../../../lib-ubpf-rs/tests/engines/pages.rs"]
mod pages;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use ubpf_program_tests::{Buffers, FixedHost};
use ubpf_rs::{
    helpers::Registry,
    isa::assemble,
    jit::{JitProgram, Options},
    program::{Abi, Program},
    verifier::{self, Policy, VerifiedProgram},
    vm::{Executable, Interpreter, Memory, Run, Stop},
};

/// What a hook may be charged.
const BUDGET: u64 = 65_536;
const POLICIES: [Policy; 3] = [Policy::Checked, Policy::Guarded, Policy::Strict];
const ARGUMENTS: [usize; 5] = [0, 1, 8, 128, 4096];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn folder() -> PathBuf {
    root().join("tests/hostile")
}

/// A line of the table.
struct Row {
    input: String,
    becomes: Vec<String>,
    test: String,
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(folder().join("README.md")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with('|')).skip(2);
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [input, becomes, attacks, stops, test] = cells.as_slice() else {
                panic!("five cells are expected: {line}");
            };
            assert!(!attacks.is_empty() && !stops.is_empty(), "{line}");
            Row {
                input: input.trim_matches('`').into(),
                becomes: becomes.split(", ").map(str::to_string).collect(),
                test: test.trim_matches('`').into(),
            }
        })
        .collect()
}

/// All files below the folder but the table, relative to it.
fn inputs(below: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in fs::read_dir(below).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(inputs(&path));
        } else if path.file_name().is_some_and(|name| name != "README.md") {
            let name = path.strip_prefix(folder()).unwrap();
            found.insert(name.to_string_lossy().into_owned());
        }
    }
    found
}

/// Everything in the sources, to look for tests in.
fn sources(below: &Path, text: &mut String) {
    for path in fs::read_dir(below).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, text);
        } else if name.ends_with(".rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_hostile_input_has_its_line_and_its_test() {
    let rows = rows();
    let mut code = String::new();
    sources(&root(), &mut code);
    let mut listed = BTreeSet::new();
    for row in &rows {
        assert!(code.contains(&format!("fn {}(", row.test)), "{}: no test {}", row.input, row.test);
        if !row.input.starts_with('(') {
            assert!(listed.insert(row.input.clone()), "{}: two lines", row.input);
        }
    }
    assert_eq!(inputs(&folder()), listed, "files, and lines of README.md");
}

/// What can be seen of a run.
#[derive(PartialEq, Eq, Debug)]
struct Seen {
    result: Result<u64, Stop>,
    budget_left: u64,
    argument: Vec<u8>,
    output: Vec<String>,
}

/// One run; addresses of the argument and the stack are those of `buffers`.
fn run(code: &dyn Executable, buffers: &mut Buffers, helpers: &Registry) -> Seen {
    let host = FixedHost::default();
    let (argument, stack) = buffers.parts();
    for (index, byte) in argument.iter_mut().enumerate() {
        *byte = index as u8;
    }
    stack.fill(0);
    let len = argument.len() as u64;
    let memory = Memory::new(argument, stack);
    let mut run = Run { args: [memory.argument().base, len], memory, budget: BUDGET, helpers, host: &host };
    let result = code.run(&mut run);
    let budget_left = run.budget;
    drop(run);
    let (argument, _) = buffers.parts();
    let output = host.output.lock().clone();
    Seen { result, budget_left, argument: argument.to_vec(), output }
}

fn load(name: &str, bytes: &[u8], policy: Policy) -> Result<VerifiedProgram, String> {
    let helpers = Registry::with_builtins().unwrap();
    let program = Program::from_flat(name, bytes, Abi::Classic).map_err(|e| e.to_string())?;
    verifier::verify(program, policy, &verifier::Environment::new(&helpers), &mut Default::default())
        .map_err(|e| e.to_string())
}

/// Loads and runs it everywhere; gives what became of it.
fn play(name: &str, bytes: &[u8], policy: Policy) -> BTreeSet<&'static str> {
    let verified = || load(name, bytes, policy);
    let first = match verified() {
        Ok(program) => Interpreter::new(program),
        Err(reason) => {
            assert!(!reason.is_empty(), "{name} {policy:?}");
            return BTreeSet::from(["refused"]);
        }
    };
    let compiled = [false, true].map(|guard_all| {
        let options = Options { guard_all, ..Options::default() };
        let code = JitProgram::new(verified().unwrap(), &pages::Pages, options, &mut Default::default());
        code.unwrap_or_else(|(error, _)| panic!("{name} {policy:?}: {error}"))
    });
    let helpers = Registry::with_builtins().unwrap();
    let mut became = BTreeSet::new();
    for len in ARGUMENTS {
        let mut buffers = Buffers::new(&vec![0; len]);
        let reference = run(&first, &mut buffers, &helpers);
        assert!(reference.budget_left <= BUDGET, "{name} {policy:?}");
        for code in &compiled {
            let seen = run(code, &mut buffers, &helpers);
            assert_eq!(seen, reference, "{name} {policy:?}, argument of {len}");
        }
        assert!(buffers.margins_are_untouched(), "{name} {policy:?}");
        became.insert(match reference.result {
            Ok(_) => "ends",
            Err(_) => "stopped",
        });
    }
    became
}

#[test]
fn hostile_programs_do_no_harm() {
    let (mut played, mut wrong) = (0, Vec::new());
    for row in rows() {
        let Some(name) = row.input.strip_prefix("programs/") else {
            continue;
        };
        let text = fs::read_to_string(folder().join(&row.input)).unwrap();
        let bytes = assemble(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut became = BTreeSet::new();
        for policy in POLICIES {
            became.extend(play(name, &bytes, policy));
        }
        let listed: BTreeSet<&str> = row.becomes.iter().map(String::as_str).collect();
        if became != listed {
            wrong.push(format!("{name}: became {became:?}, its line says {listed:?}"));
        }
        played += 1;
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(played >= 13, "{played} programs");
}
