//! What the image proves of itself: each in a machine of its own, ended with a status for the host.

use super::{
    machine::{Machine, Options},
    EXIT_FAILURE, EXIT_FAULT, EXIT_SUCCESS,
};
use crate::Result;
use std::{path::Path, time::Duration};

/// Proofs that the image runs on itself: name, exit status, and words that its console must show.
const TESTS: &[(&str, i32, &str)] = &[
    ("patch", EXIT_SUCCESS, "body of function myfun"),
    ("code", EXIT_SUCCESS, "test code passed"),
    ("probe", EXIT_SUCCESS, "test probe passed"),
    ("read-in-trap", EXIT_SUCCESS, "test read-in-trap passed"),
    ("heap", EXIT_SUCCESS, "test heap passed"),
    ("two-cpus", EXIT_SUCCESS, "test two-cpus passed"),
    ("fault-two-cpus", EXIT_FAULT, "page fault at selftest::run"),
    ("panic", EXIT_FAILURE, "  called from selftest::run"),
    ("null", EXIT_FAULT, "page fault at "),
    ("write-text", EXIT_FAULT, "error 0x3"),
    ("write-rodata", EXIT_FAULT, "error 0x3"),
    ("run-data", EXIT_FAULT, "error 0x11"),
    ("run-rodata", EXIT_FAULT, "error 0x11"),
    ("stack", EXIT_FAULT, "page fault at selftest::endless"),
];

/// Tests of the libraries that need no Linux process, in an image of their own.
const INSIDE: &[(&str, i32, &str)] =
    &[("programs", EXIT_SUCCESS, "test programs passed"), ("shell", EXIT_SUCCESS, "test shell passed")];

/// Runs the proofs.
pub fn run(root: &Path, image: &Path) -> Result<()> {
    run_each(root, image, TESTS)
}

/// Runs the tests of the libraries, in the image that has them.
pub fn run_inside(root: &Path, image: &Path) -> Result<()> {
    run_each(root, image, INSIDE)
}

fn run_each(root: &Path, image: &Path, tests: &[(&str, i32, &str)]) -> Result<()> {
    for (name, expected, words) in tests {
        let options = Options {
            cpus: if name.ends_with("two-cpus") { 2 } else { 1 },
            command_line: format!("test={name}"),
            ..Options::default()
        };
        let mut machine = Machine::start(root, image, &options)?;
        let status = machine.wait(Duration::from_secs(60))?;
        let console = machine.console();
        if status != Some(*expected) || !console.contains(words) {
            return Err(format!("test {name}: status {status:?}, console:\n{console}").into());
        }
        for line in console.lines().filter(|line| line.ends_with(" passed")) {
            println!("{line}");
        }
        println!("test {name} ok");
    }
    Ok(())
}
