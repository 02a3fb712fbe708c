//! `cargo xtask test`: everything that can be tested on this machine.

use crate::{bad_input, demo, fuzz, samples, setup, Result};
use std::{path::Path, process::Command};

/// Installs what is needed, builds the samples, runs the unit and integration tests, then the tours.
pub fn main(root: &Path) -> Result<()> {
    setup::ensure()?;
    samples::build(root)?;
    // For the tests that run the tools.
    let mut build = Command::new(env!("CARGO"));
    setup::run(build.args(["build", "--quiet", "--workspace"]).current_dir(root))?;
    let tours = demo::tours(root)? + 2;
    bad_input::run(root)?;
    for part in ["tour", "test"] {
        let mut in_qemu = Command::new(env!("CARGO"));
        setup::run(in_qemu.args(["xtask", "qemu", part]).current_dir(root))?;
    }
    let mut tests = Command::new(env!("CARGO"));
    // Text is patched under running threads a million times.
    tests.env("UBPF_TEST_PATCHES", "1000000");
    setup::run(tests.args(["test", "--workspace"]).current_dir(root))?;
    fuzz::main(root, &["--seconds".into(), "4".into()])?;
    println!("tours: {tours} passed, 0 failed");
    Ok(())
}
