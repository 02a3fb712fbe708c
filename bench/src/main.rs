//! The measuring process of `cargo xtask bench`. Each run of it is one sample: it goes through all cases in turns and prints
//! `name<TAB>value` per figure; the caller runs it several times and takes medians.

mod answers;
mod charges;
mod doc;
mod plot;
mod probes;
mod stacks;
mod stopwatch;
mod traced;

use std::process::ExitCode;

const USAGE: &str = "usage: ubpf-bench probes SAMPLES [ROUNDS]
       ubpf-bench probe-instructions SAMPLES CASE CALLS
       ubpf-bench charges [PASSES]
       ubpf-bench answers [PASSES]
       ubpf-bench stacks [PASSES]
       ubpf-bench plot RESULTS FOLDER
       ubpf-bench doc RESULTS PAGE";

/// Why a part of the bench failed, in words.
struct Failure(String);

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.to_string())
    }
}

/// What a part of the bench gives.
type Result<T> = std::result::Result<T, Failure>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse::<usize>().map_err(|_| Failure(format!("{word}: a number is needed")));
    let result = match words.as_slice() {
        ["probes", samples] => probes::run(samples.as_ref(), 15),
        ["probes", samples, rounds] => number(rounds).and_then(|n| probes::run(samples.as_ref(), n)),
        ["probe-instructions", samples, case, calls] => {
            number(calls).and_then(|n| probes::only(samples.as_ref(), case, n as u64))
        }
        ["charges"] => charges::run(40),
        ["charges", passes] => number(passes).and_then(charges::run),
        ["answers"] => answers::run(5),
        ["answers", passes] => number(passes).and_then(answers::run),
        ["stacks"] => stacks::run(40),
        ["stacks", passes] => number(passes).and_then(stacks::run),
        ["plot", results, folder] => plot::run(results.as_ref(), folder.as_ref()),
        ["doc", results, page] => doc::run(results.as_ref(), page.as_ref()),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(why)) => {
            eprintln!("ubpf-bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Prints one figure.
fn figure(name: &str, value: f64) {
    println!("{name}\t{value}");
}
