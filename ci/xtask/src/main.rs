//! Repository chores: `cargo xtask <command>`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod headers;
mod qemu;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or(&[]);
    let result = match arguments.first().map(String::as_str) {
        Some("headers") => headers::main(&root(), rest).map_err(Into::into),
        Some("qemu") => qemu::main(&root(), rest),
        Some("demo") => qemu::demo(&root(), rest),
        _ => Err("usage: cargo xtask headers [--check] | demo [--script] | qemu build | test | tour | run".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's top folder.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
