//! Reads a program in assembly from a file and says what the verifier knows of it:
//! `cargo run -p ubpf-rs --example verify PROGRAM`.

use std::{env, error::Error, fs, process::ExitCode};
use ubpf_rs::{
    helpers::Registry,
    isa::assemble,
    program::{Abi, Program},
    verifier::{verify, Environment, Policy, Work},
};

fn run() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("usage: verify PROGRAM")?;
    let code = assemble(&fs::read_to_string(&file)?).map_err(|error| format!("{file}: {error}"))?;
    let program = Program::from_flat(&file, &code, Abi::Classic)?;
    let helpers = Registry::with_builtins()?;
    let program = verify(program, Policy::Guarded, &Environment::new(&helpers), &mut Work::new(Work::LIMIT))?;
    println!("{} bytes, admitted", code.len());
    match program.worst_cost() {
        Some(cost) => println!("costs at most {cost} units of budget"),
        None => println!("its end is not proved: it is charged while it runs"),
    }
    Ok(())
}

fn main() -> ExitCode {
    if let Err(error) = run() {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
