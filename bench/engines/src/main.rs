//! One sample of `cargo xtask bench engines`: prints `name<TAB>value` per figure.

mod engines;
mod peers;
#[path = "../../src/stopwatch.rs"]
mod stopwatch;

use std::process::ExitCode;

/// Why it failed, in words.
struct Failure(String);

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.to_string())
    }
}

type Result<T> = std::result::Result<T, Failure>;

fn main() -> ExitCode {
    let rounds = std::env::args().nth(1).map_or(Ok(9), |word| word.parse());
    let result = match rounds {
        Ok(rounds) => engines::run(rounds),
        Err(_) => Err(Failure("usage: ubpf-bench-engines [ROUNDS]".into())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(why)) => {
            eprintln!("ubpf-bench-engines: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Prints one figure.
fn figure(name: &str, value: f64) {
    println!("{name}\t{value}");
}
