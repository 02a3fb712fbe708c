//! Programs with single bytes changed are refused, end or are stopped, and never write outside of their memory.

use ubpf_program_tests::{check, parse, BoundMaps, Engine, FILES};
use ubpf_rs::{
    verifier::VerifiedProgram,
    vm::{Executable, Interpreter},
};

struct Interp;

impl Engine for Interp {
    fn prepare(&self, program: VerifiedProgram, _maps: BoundMaps) -> Result<Box<dyn Executable>, String> {
        Ok(Box::new(Interpreter::new(program)))
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[path = "../../../lib-ubpf-rs/tests/engines/pages.rs"]
mod pages;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
struct Jit;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
impl Engine for Jit {
    fn prepare(&self, program: VerifiedProgram, maps: BoundMaps) -> Result<Box<dyn Executable>, String> {
        let code = ubpf_rs::jit::JitProgram::with_maps(
            program,
            maps,
            &pages::Pages,
            Default::default(),
            &mut Default::default(),
        );
        code.map(|code| Box::new(code) as _).map_err(|(error, _)| error.to_string())
    }
}

#[test]
fn changed_bytes_change_the_outcome_and_nothing_else() {
    change_bytes(&Interp);
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn changed_bytes_change_the_outcome_of_machine_code_and_nothing_else() {
    change_bytes(&Jit);
}

fn change_bytes(engine: &dyn Engine) {
    let mut state = 88_172_645_463_325_252u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 16
    };
    for (file, text) in FILES {
        for mut case in parse(text).unwrap() {
            if case.code.is_empty() || case.code.len() > 4096 {
                continue;
            }
            case.budget = case.budget.min(10_000);
            for _ in 0..20 {
                let at = random() as usize % case.code.len();
                let before = case.code[at];
                case.code[at] = match random() % 3 {
                    0 => before ^ (1 << (random() % 8)),
                    1 => random() as u8,
                    _ => before.wrapping_add(1),
                };
                for fault in check(file, &case, engine) {
                    let worse = fault.what.contains("outside") || fault.what.contains("more than the budget");
                    assert!(!worse, "{fault}: byte {at} is {:#x}", case.code[at]);
                    assert!(!fault.what.contains("internal error"), "{fault}: byte {at} is {:#x}", case.code[at]);
                }
                case.code[at] = before;
            }
        }
    }
}
