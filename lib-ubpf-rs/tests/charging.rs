//! What a run is charged: the proved cost once, or piece by piece.

mod common;

use common::{insns, run, Outcome};
use ubpf_rs::{isa::assemble, vm::StopKind};

/// `r0 = 7; exit`, with a proved cost of 2.
const SHORT: &str = "b7 00 0000 07000000  95 00 0000 00000000";
/// `r1 = 3; loop: r1 -= 1; if r1 != 0 goto loop; r0 = 0; exit` with the counter from the argument: no proved cost.
const LOOP: &str = "71 11 0000 00000000  17 01 0000 01000000  55 01 feff 00000000  \
                    b7 00 0000 00000000  95 00 0000 00000000";

#[test]
fn a_run_with_a_proved_cost_is_charged_it_once() {
    let outcome = run(&insns(SHORT), &mut [], 10);
    assert_eq!(outcome, Outcome { result: Ok(7), left: 8 });
}

#[test]
fn a_budget_below_the_proved_cost_stops_the_run_at_its_entry() {
    let outcome = run(&insns(SHORT), &mut [], 1);
    let Err((pc, StopKind::BudgetExhausted)) = outcome.result else {
        panic!("{outcome:?}");
    };
    assert_eq!((pc, outcome.left), (0, 1));
}

#[test]
fn a_metered_run_pays_for_the_function_and_for_each_jump_back() {
    // Six on entry, of which the load is two, then two jumps back over two instructions each.
    let outcome = run(&insns(LOOP), &mut [3], 100);
    assert_eq!(outcome, Outcome { result: Ok(0), left: 100 - 6 - 2 * 2 });
}

#[test]
fn a_metered_run_stops_at_the_jump_it_cannot_pay() {
    let outcome = run(&insns(LOOP), &mut [3], 6 + 2 + 1);
    assert_eq!(outcome.result, Err((2, StopKind::BudgetExhausted)));
    assert_eq!(outcome.left, 1, "a charge that cannot be paid is not taken");
}

#[test]
fn a_check_is_charged_where_the_program_is_gone_through_path_by_path() {
    let far = "r2 = *(u8 *)(r1 + 0)\nr3 = r1\nr3 += r2\nif r2 == 0 goto +1\nr0 = *(u8 *)(r3 + 1000)\nr0 = 0\nexit";
    let outcome = run(&assemble(far).unwrap(), &mut [1; 2000], 100);
    assert_eq!(outcome, Outcome { result: Ok(0), left: 100 - 9 - 4 });
}

#[test]
fn an_access_that_is_proved_on_the_dearest_path_alone_pays_for_its_check_there_too() {
    let longer = "r4 = 0\n".repeat(6);
    let either = format!(
        "r2 = *(u8 *)(r1 + 0)\nr3 = r1\nif r2 > 100 goto +7\n{longer}goto +1\nr3 += 1000\n\
         r0 = *(u8 *)(r3 + 0)\nr0 = 0\nexit"
    );
    // All of it once: what is between the paths is one instruction.
    let outcome = run(&assemble(&either).unwrap(), &mut [1; 2000], 100);
    assert_eq!(outcome, Outcome { result: Ok(0), left: 100 - 16 - 4 });
}
