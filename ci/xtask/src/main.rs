//! Repository chores: `cargo xtask <command>`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

mod headers;
mod qemu;
mod samples;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or(&[]);
    let result = match arguments.first().map(String::as_str) {
        Some("headers") => headers::main(&root(), rest).map_err(Into::into),
        Some("qemu") => qemu::main(&root(), rest),
        Some("demo") => qemu::demo(&root(), rest),
        Some("samples") => samples::build(&root()),
        Some("test") => test(&root()),
        _ => Err("usage: cargo xtask samples | test | headers [--check] | demo [--script] | qemu build | test | tour | run".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the samples and runs every test of the workspace.
fn test(root: &Path) -> Result<(), Box<dyn std::error::Error>> {
    samples::build(root)?;
    let mut cargo = Command::new("cargo");
    samples::run(cargo.args(["test", "--workspace"]).current_dir(root))
}

/// The repository's top folder.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
