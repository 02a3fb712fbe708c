//! What it takes to answer the worst programs: to decode them, to verify them, and to compile them where they are admitted.

use crate::{figure, Result};
use giants::{giants, operations, LARGEST};
use std::iter::repeat_n;
use ubpf_rs::{
    helpers::Registry,
    isa::encode,
    jit::JitProgram,
    program::{Abi, Program},
    verifier::{self, Environment, Policy, Work},
};

#[path = "../../lib-ubpf-rs/tests/common/giants.rs"]
mod giants;
#[path = "../../lib-ubpf-rs/tests/engines/pages.rs"]
mod pages;

const POLICIES: [(&str, Policy); 2] = [("strict", Policy::Strict), ("guarded", Policy::Guarded)];

/// CPU time of this thread in nanoseconds.
fn cpu_time() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists, and the time is ours to write.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Nanoseconds from the bytes to the machine code or the refusal, and the units of work that were spent.
fn answer(code: &[u8], policy: Policy, helpers: &Registry) -> Result<(f64, u64)> {
    let mut work = Work::default();
    let start = cpu_time();
    let program = Program::from_flat("giant", code, Abi::Classic)?;
    if let Ok(verified) = verifier::verify(program, policy, &Environment::new(helpers), &mut work) {
        let _ = JitProgram::new(verified, &pages::Pages, Default::default(), &mut work);
    }
    Ok((cpu_time() - start, work.spent()))
}

/// The least of some passes for each program and policy.
pub fn run(passes: usize) -> Result<()> {
    let helpers = Registry::with_builtins()?;
    // Of the operations the worst unit is of interest, not each time.
    let giants = giants().into_iter().map(|(name, insns)| (name.to_owned(), insns, true));
    let operations = operations(LARGEST).into_iter().map(|(name, insns)| (name, insns, false));
    for (name, insns, told) in giants.chain(operations) {
        let code = encode(&insns)?;
        for (word, policy) in POLICIES {
            let answers = repeat_n((), passes).map(|()| answer(&code, policy, &helpers));
            let answers = answers.collect::<Result<Vec<(f64, u64)>>>()?;
            let least = answers.iter().map(|answer| answer.0).fold(f64::INFINITY, f64::min);
            let name = name.replace([' ', ','], "_");
            if told {
                figure(&format!("answer.{word}.{name}"), least / 1e6);
            }
            figure(
                &format!("answer-unit.{word}.{name}"),
                least / answers.first().map_or(1, |answer| answer.1.max(1)) as f64,
            );
        }
    }
    Ok(())
}
