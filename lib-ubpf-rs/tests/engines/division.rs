//! Division by constants: whatever the machine code makes of it.

use crate::support::{program, Engines, World};
use ubpf_rs::isa::{AluOp, ImmKind, Insn, Operand, Reg, Width};
use ubpf_rs::vm::Executable;

const DIVISORS: [i32; 22] = [
    3,
    5,
    6,
    7,
    9,
    10,
    11,
    13,
    14,
    25,
    31,
    60,
    100,
    641,
    1000,
    65521,
    1_000_000,
    1_000_000_007,
    i32::MAX,
    -3,
    -1000,
    i32::MIN,
];

/// `dst op= divisor` on a number, with all other registers known and looked at afterwards.
fn division(op: AluOp, width: Width, dst: Reg, divisor: i32, number: u64) -> Vec<Insn> {
    let mut insns = Vec::new();
    let all = (0..10).filter_map(Reg::new);
    for reg in all.clone() {
        let imm = if reg == dst { number } else { u64::from(reg.number()) * 0x1111_1111_1111 };
        insns.extend([Insn::LoadImm64 { kind: ImmKind::Value, dst: reg, imm }, Insn::WideTail]);
    }
    let alu = |op, dst, src| Insn::Alu { op, width: Width::W64, dst, src };
    insns.push(Insn::Alu { op, width, dst, src: Operand::Imm(divisor) });
    for reg in all.filter(|&reg| reg != Reg::R0) {
        insns.push(alu(AluOp::Mul, Reg::R0, Operand::Imm(31)));
        insns.push(alu(AluOp::Add, Reg::R0, Operand::Reg(reg)));
    }
    insns.push(Insn::Exit);
    insns
}

#[test]
fn quotients_and_remainders_by_constants_are_those_of_the_interpreter() {
    let mut world = World::new();
    let mut programs = 0;
    for (divisor, op) in
        DIVISORS.into_iter().flat_map(|d| [AluOp::Div, AluOp::Mod, AluOp::Sdiv, AluOp::Smod].map(|op| (d, op)))
    {
        let c = i64::from(divisor) as u64;
        let last = u64::MAX / c * c;
        let numbers = [0, c - 1, c, 7 * (c >> 3), last, last - 1, u64::MAX, 1 << 63, 0xffff_ffff, 0x8000_0000];
        for (index, number) in numbers.into_iter().enumerate() {
            // Those that division needs itself, and one that it does not.
            let dst = [Reg::R0, Reg::R3, Reg::R4, Reg::R7][index % 4];
            for width in [Width::W32, Width::W64] {
                let insns = division(op, width, dst, divisor, number);
                let engines = Engines::new(program(insns), &world.registry).unwrap();
                assert!(engines.interpreter.verified().worst_cost().is_some());
                engines.agree(&mut world, 1000).result.unwrap();
                programs += 1;
            }
        }
    }
    assert_eq!(programs, DIVISORS.len() * 4 * 10 * 2);
}
