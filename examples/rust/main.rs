// SPDX-License-Identifier: BSD-3-Clause
//! The price of things is told by a program in a file, which can call back.

use std::{env, error::Error, process::ExitCode};
use ubpf_platform_linux::platform;
use ubpf_rs::{
    helpers::{HelperCall, HelperFault, HelperFn},
    program::{ArgType, Cost, HelperSignature, RetType},
    runtime::{Config, LoadOptions, Runtime},
};

/// What programs call by the number 100: the rate of value added tax in percent, for one kind of things.
fn tax(call: &mut HelperCall<'_>) -> Result<u64, HelperFault> {
    match call.args[0] {
        0 => Ok(7),
        1 => Ok(19),
        _ => Err(HelperFault { reason: "there is no such kind of things" }),
    }
}

const TAX: HelperSignature = HelperSignature {
    args: [ArgType::Scalar, ArgType::Unused, ArgType::Unused, ArgType::Unused, ArgType::Unused],
    ret: RetType::Scalar,
    cost: Cost { base: 10, per_8_bytes: 0, walk: 0 },
};

fn run() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("usage: prices PROGRAM")?;
    let engine = Runtime::init(platform(".".into()), Config::default())?;
    engine.register_helper("tax", 100, TAX, HelperFn::Rust(tax))?;
    let program = engine.load_file(&file, &LoadOptions::default())?;
    for (name, price, kind) in [("bread", 200u32, 0u32), ("lamp", 5000, 1), ("star", 1, 2)] {
        // What the program finds at r1.
        let mut thing = [price.to_ne_bytes(), kind.to_ne_bytes()].concat();
        match engine.exec(program, &mut thing, None) {
            Ok(report) => println!("{name}: {}", report.value),
            Err(error) => println!("{name}: {error}"),
        }
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
