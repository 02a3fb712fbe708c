//! Programs with single bytes changed are refused, end or are stopped, and never write outside of their memory.

use ubpf_program_tests::{check, parse, Engine, FILES};
use ubpf_rs::{
    verifier::VerifiedProgram,
    vm::{Executable, Interpreter},
};

struct Interp;

impl Engine for Interp {
    fn prepare(&self, program: VerifiedProgram) -> Result<Box<dyn Executable>, String> {
        Ok(Box::new(Interpreter::new(program)))
    }
}

#[test]
fn changed_bytes_change_the_outcome_and_nothing_else() {
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
                for fault in check(file, &case, &Interp) {
                    let worse = fault.what.contains("outside")
                        || fault.what.contains("more than the budget");
                    assert!(!worse, "{fault}: byte {at} is {:#x}", case.code[at]);
                    assert!(
                        !fault.what.contains("internal error"),
                        "{fault}: byte {at} is {:#x}",
                        case.code[at]
                    );
                }
                case.code[at] = before;
            }
        }
    }
}
