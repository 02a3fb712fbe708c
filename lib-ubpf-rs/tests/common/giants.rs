//! Programs of up to 65,536 instructions, each made to cost a verifier or a compiler as much as possible.

use ubpf_rs::isa::{AluOp, Call, CmpOp, Insn, Operand, Reg, Size, Width};

fn mov(dst: Reg, imm: i32) -> Insn {
    alu(AluOp::Mov, dst, Operand::Imm(imm))
}

fn alu(op: AluOp, dst: Reg, src: Operand) -> Insn {
    Insn::Alu { op, width: Width::W64, dst, src }
}

fn branch(op: CmpOp, dst: Reg, src: Operand, off: i16) -> Insn {
    Insn::Branch { op, width: Width::W64, dst, src, off }
}

fn load(size: Size, dst: Reg, base: Reg, off: i16) -> Insn {
    Insn::Load { size, signed: false, dst, base, off }
}

fn store(base: Reg, off: i16, src: Operand) -> Insn {
    Insn::Store { size: Size::DW, base, off, src }
}

/// Slots that a program may have.
pub const LARGEST: usize = 65_536;

/// All of them, with their names.
pub fn giants() -> Vec<(&'static str, Vec<Insn>)> {
    vec![
        ("a straight line", straight_line()),
        ("diamonds whose ways stay apart", diamonds(LARGEST - 4)),
        ("diamonds, few", diamonds(300)),
        ("a staircase of branches", staircase()),
        ("loops in loops", nested_loops(LARGEST / 8)),
        ("loops in loops, few", nested_loops(40)),
        ("a loop with a stack full of numbers", full_stack_loop()),
        ("calls of calls", calls(8, 6)),
        ("many calls of calls", calls(8, 1_000)),
        ("a comb of jumps back", comb()),
        ("full frames at every depth", deep_frames()),
        ("joins of full stacks", joins_of_full_stacks(1_800, 8)),
        ("joins of full stacks, most", joins_of_full_stacks(60_000, 20)),
        ("many functions", many_functions()),
        ("a fan of jumps back", fan_of_jumps_back()),
        ("counters in loops", counters_in_loops(10_000)),
        ("checked accesses", checked_accesses()),
        ("strings without an end", strings()),
        ("writes that take values apart", writes_that_take_apart()),
        ("writes somewhere in a full frame", writes_somewhere()),
    ]
}

/// For each operation a line of `len` instructions at most, which combines numbers of which some bits are known, here and there, and their
/// halves: what a step costs beside its price shows here.
pub fn operations(len: usize) -> Vec<(String, Vec<Insn>)> {
    const PAIRS: [(Reg, Reg); 4] = [(Reg::R4, Reg::R5), (Reg::R5, Reg::R4), (Reg::R5, Reg::R2), (Reg::R3, Reg::R4)];
    let line = |step: &dyn Fn(Width, Reg, Reg) -> Vec<Insn>| {
        let mut insns = vec![load(Size::DW, Reg::R2, Reg::R1, 0), load(Size::DW, Reg::R3, Reg::R1, 8)];
        for (sparse, open, set) in [(Reg::R4, 0x6b43_a9b5, 0x1428_5412), (Reg::R5, -0x2653_9c75, 0x0611_1834)] {
            insns.push(alu(AluOp::Mov, sparse, Operand::Reg(Reg::R2)));
            insns.push(alu(AluOp::And, sparse, Operand::Imm(open)));
            insns.push(alu(AluOp::Or, sparse, Operand::Imm(set)));
        }
        let times = PAIRS.iter().flat_map(|&(a, b)| [Width::W64, Width::W32].map(|width| (width, a, b)));
        for (width, a, b) in times.cycle() {
            let step = step(width, a, b);
            if insns.len() + step.len() + 2 > len {
                break;
            }
            insns.extend(step);
        }
        insns.extend([mov(Reg::R0, 0), Insn::Exit]);
        insns
    };
    let alu_line = |op| {
        line(&|width, a, b| {
            let copy = alu(AluOp::Mov, Reg::R6, Operand::Reg(a));
            vec![copy, Insn::Alu { op, width, dst: Reg::R6, src: Operand::Reg(b) }]
        })
    };
    let branch_line =
        |op| line(&|width, dst, src| vec![Insn::Branch { op, width, dst, src: Operand::Reg(src), off: 0 }]);
    let alu_lines = AluOp::ALL.map(|op| (format!("op {op:?}"), alu_line(op)));
    let branch_lines = CmpOp::ALL.map(|op| (format!("branch {op:?}"), branch_line(op)));
    alu_lines.into_iter().chain(branch_lines).collect()
}

fn straight_line() -> Vec<Insn> {
    let mut insns = vec![mov(Reg::R0, 1)];
    while insns.len() < LARGEST - 1 {
        let off = -8 * (1 + (insns.len() % 64) as i16);
        insns.push(store(Reg::R10, off, Operand::Reg(Reg::R0)));
        insns.push(load(Size::DW, Reg::R0, Reg::R10, off));
    }
    insns.truncate(LARGEST - 1);
    insns.push(Insn::Exit);
    insns
}

/// Each way through is another value of r3: 2 to the power of the number of diamonds.
fn diamonds(len: usize) -> Vec<Insn> {
    let mut insns = vec![mov(Reg::R3, 0), load(Size::DW, Reg::R4, Reg::R1, 0)];
    while insns.len() + 4 < len {
        let bit = (insns.len() / 3 % 31) as u32;
        insns.push(branch(CmpOp::Set, Reg::R4, Operand::Imm(1 << bit), 1));
        insns.push(alu(AluOp::Add, Reg::R3, Operand::Imm(1 << (bit % 20))));
        insns.push(alu(AluOp::Mul, Reg::R3, Operand::Imm(3)));
    }
    insns.push(mov(Reg::R0, 0));
    insns.push(Insn::Exit);
    insns
}

/// Every branch goes to the same end, each with another state.
fn staircase() -> Vec<Insn> {
    let len = 32_000;
    let mut insns = vec![load(Size::DW, Reg::R4, Reg::R1, 0), mov(Reg::R0, 0)];
    while insns.len() < len {
        let left = (len - insns.len()) as i16;
        insns.push(branch(CmpOp::Gt, Reg::R4, Operand::Imm(insns.len() as i32), left));
        insns.push(alu(AluOp::Add, Reg::R0, Operand::Imm(1)));
    }
    insns.push(Insn::Exit);
    insns.push(Insn::Exit);
    insns
}

/// Jumps back to the start, one inside the other, each on a number from the argument.
fn nested_loops(depth: usize) -> Vec<Insn> {
    let mut insns = vec![load(Size::DW, Reg::R4, Reg::R1, 0), mov(Reg::R0, 0)];
    for _ in 0..depth.min(8_000) {
        insns.push(alu(AluOp::Add, Reg::R0, Operand::Imm(1)));
        insns.push(alu(AluOp::Rsh, Reg::R4, Operand::Imm(1)));
        let back = 1 - insns.len() as i32;
        insns.push(branch(CmpOp::Ne, Reg::R4, Operand::Imm(0), back as i16));
    }
    insns.push(Insn::Exit);
    insns
}

fn full_stack_loop() -> Vec<Insn> {
    let mut insns = vec![load(Size::DW, Reg::R4, Reg::R1, 0)];
    for slot in 1..=64 {
        insns.push(store(Reg::R10, -8 * slot, Operand::Imm(i32::from(slot))));
    }
    let head = insns.len();
    for slot in 1..=64 {
        insns.push(load(Size::DW, Reg::R5, Reg::R10, -8 * slot));
        insns.push(alu(AluOp::Add, Reg::R5, Operand::Reg(Reg::R4)));
        insns.push(branch(CmpOp::Gt, Reg::R5, Operand::Imm(77), 1));
        insns.push(store(Reg::R10, -8 * slot, Operand::Reg(Reg::R5)));
        insns.push(alu(AluOp::Rsh, Reg::R4, Operand::Imm(1)));
    }
    let back = head as i32 - insns.len() as i32 - 1;
    insns.push(branch(CmpOp::Ne, Reg::R4, Operand::Imm(0), back as i16));
    insns.push(mov(Reg::R0, 0));
    insns.push(Insn::Exit);
    insns
}

/// Each function calls the next one `times` times: so many to the power of the depth chains of calls.
fn calls(depth: usize, times: usize) -> Vec<Insn> {
    let mut insns = Vec::new();
    for level in 0..depth {
        let end = insns.len() + times + 2;
        insns.push(mov(Reg::R0, level as i32));
        for _ in 0..times {
            let off = (end - insns.len()) as i32 - 1;
            insns.push(match level + 1 == depth {
                true => alu(AluOp::Add, Reg::R0, Operand::Imm(1)),
                false => Insn::Call(Call::Local(off)),
            });
        }
        insns.push(Insn::Exit);
    }
    insns
}

/// Every second instruction jumps back a little on an unknown number: no loop is in the other.
fn comb() -> Vec<Insn> {
    let mut insns = vec![load(Size::DW, Reg::R4, Reg::R1, 0), mov(Reg::R0, 0)];
    while insns.len() < LARGEST - 3 {
        insns.push(alu(AluOp::Xor, Reg::R4, Operand::Reg(Reg::R0)));
        insns.push(alu(AluOp::Add, Reg::R0, Operand::Reg(Reg::R4)));
        insns.push(branch(CmpOp::Sgt, Reg::R4, Operand::Reg(Reg::R0), -3));
    }
    insns.push(Insn::Exit);
    insns
}

/// Eight functions, each with its frame full of numbers before it calls the next; the last one has a loop of many branches.
fn deep_frames() -> Vec<Insn> {
    let mut insns = Vec::new();
    for level in 0..8 {
        insns.push(mov(Reg::R0, 0));
        for slot in 1..=64 {
            insns.push(store(Reg::R10, -8 * slot, Operand::Imm(i32::from(slot) + level)));
        }
        if level < 7 {
            insns.push(Insn::Call(Call::Local(1)));
            insns.push(Insn::Exit);
        }
    }
    let head = insns.len();
    insns.push(load(Size::B, Reg::R4, Reg::R10, -8));
    for step in 0..3_000 {
        insns.push(branch(CmpOp::Gt, Reg::R0, Operand::Imm(step), 1));
        insns.push(alu(AluOp::Add, Reg::R0, Operand::Imm(3)));
    }
    let back = head as i32 - insns.len() as i32 - 1;
    insns.push(branch(CmpOp::Lt, Reg::R0, Operand::Reg(Reg::R4), back as i16));
    insns.push(Insn::Exit);
    insns
}

/// Each function of a chain fills its frame with numbers that are not known and calls the next one; the innermost one has `branches`
/// branches to one place, where as many states of full stacks are joined. The outermost calls the chain `chains` times.
fn joins_of_full_stacks(branches: usize, chains: usize) -> Vec<Insn> {
    let mut insns = vec![load(Size::B, Reg::R8, Reg::R1, 0)];
    let fill = |insns: &mut Vec<Insn>| {
        for cell in 1..=128 {
            insns.push(Insn::Store { size: Size::W, base: Reg::R10, off: -4 * cell, src: Operand::Reg(Reg::R8) });
        }
    };
    fill(&mut insns);
    for left in (0..chains as i32).rev() {
        insns.push(alu(AluOp::Mov, Reg::R1, Operand::Reg(Reg::R8)));
        insns.push(Insn::Call(Call::Local(2 * left + 2)));
    }
    insns.push(mov(Reg::R0, 0));
    insns.push(Insn::Exit);
    for _ in 0..6 {
        insns.push(alu(AluOp::Mov, Reg::R8, Operand::Reg(Reg::R1)));
        fill(&mut insns);
        insns.push(Insn::Call(Call::Local(1)));
        insns.push(Insn::Exit);
    }
    insns.push(alu(AluOp::Mov, Reg::R8, Operand::Reg(Reg::R1)));
    fill(&mut insns);
    let mut left = branches;
    while left > 0 {
        let block = left.min(30_000);
        for number in (0..block).rev() {
            let imm = Operand::Imm((number * 7 % 200 + 20) as i32);
            insns.push(branch(CmpOp::Eq, Reg::R8, imm, number as i16));
        }
        left -= block;
    }
    insns.push(mov(Reg::R0, 0));
    insns.push(Insn::Exit);
    insns
}

/// So many functions of two instructions, each called once, from one that only calls.
fn many_functions() -> Vec<Insn> {
    let count = LARGEST / 3;
    let mut insns = Vec::new();
    for number in 0..count {
        let start = count + 1 + 2 * number;
        insns.push(Insn::Call(Call::Local((start - number - 1) as i32)));
    }
    insns.push(Insn::Exit);
    for _ in 0..count {
        insns.push(mov(Reg::R0, 0));
        insns.push(Insn::Exit);
    }
    insns
}

/// Every instruction jumps back to the same place.
fn fan_of_jumps_back() -> Vec<Insn> {
    let mut insns = vec![load(Size::DW, Reg::R4, Reg::R1, 0), mov(Reg::R0, 0)];
    let head = insns.len();
    insns.push(alu(AluOp::Add, Reg::R0, Operand::Imm(1)));
    while insns.len() < 32_000 {
        let back = head as i32 - insns.len() as i32 - 1;
        let imm = Operand::Imm(insns.len() as i32);
        insns.push(branch(CmpOp::Lt, Reg::R0, imm, back as i16));
    }
    insns.push(Insn::Exit);
    insns
}

/// Loops in loops, each with a counter of its own that is looked for among the counters of all.
fn counters_in_loops(depth: usize) -> Vec<Insn> {
    let mut insns = vec![mov(Reg::R0, 0)];
    let heads: Vec<usize> = (0..depth)
        .map(|_| {
            insns.push(mov(Reg::R3, 0));
            insns.len() - 1
        })
        .collect();
    for head in heads.into_iter().rev() {
        insns.push(alu(AluOp::Add, Reg::R3, Operand::Imm(1)));
        let back = head as i32 - insns.len() as i32 - 1;
        insns.push(branch(CmpOp::Lt, Reg::R3, Operand::Imm(2), back as i16));
    }
    insns.push(Insn::Exit);
    insns
}

/// Accesses that nothing is known of, in groups that are checked together.
fn checked_accesses() -> Vec<Insn> {
    let mut insns = vec![load(Size::DW, Reg::R3, Reg::R1, 0)];
    while insns.len() < LARGEST - 4 {
        insns.push(load(Size::B, Reg::R0, Reg::R3, 0));
        insns.push(load(Size::B, Reg::R0, Reg::R3, 1));
        insns.push(load(Size::DW, Reg::R3, Reg::R3, 3));
    }
    insns.push(Insn::Exit);
    insns
}

/// Calls of a helper with strings that may end nowhere in the stack.
fn strings() -> Vec<Insn> {
    let mut insns = vec![mov(Reg::R0, 1)];
    for slot in 1..=64 {
        insns.push(store(Reg::R10, -8 * slot, Operand::Imm(0x0101_0101)));
    }
    while insns.len() < LARGEST - 6 {
        insns.push(alu(AluOp::Mov, Reg::R1, Operand::Reg(Reg::R10)));
        insns.push(alu(AluOp::Add, Reg::R1, Operand::Imm(-512)));
        insns.push(Insn::Call(Call::Helper(4)));
    }
    insns.push(mov(Reg::R0, 0));
    insns.push(Insn::Exit);
    insns
}

/// A number of eight bytes is written to the stack, then one to each half of it, over and over: each write takes apart what stood there.
fn writes_that_take_apart() -> Vec<Insn> {
    let mut insns = vec![load(Size::DW, Reg::R2, Reg::R1, 0), mov(Reg::R0, 0)];
    while insns.len() < LARGEST - 5 {
        let off = -8 * (1 + (insns.len() % 64) as i16);
        insns.push(store(Reg::R10, off, Operand::Reg(Reg::R2)));
        insns.push(Insn::Store { size: Size::B, base: Reg::R10, off: off + 1, src: Operand::Reg(Reg::R2) });
        insns.push(Insn::Store { size: Size::W, base: Reg::R10, off: off + 4, src: Operand::Reg(Reg::R2) });
    }
    insns.push(Insn::Exit);
    insns
}

/// The frame is filled, then a byte is written somewhere in it, over and over.
fn writes_somewhere() -> Vec<Insn> {
    let mut insns = vec![
        load(Size::DW, Reg::R2, Reg::R1, 0),
        alu(AluOp::Mov, Reg::R3, Operand::Reg(Reg::R2)),
        alu(AluOp::And, Reg::R3, Operand::Imm(511)),
        alu(AluOp::Mov, Reg::R4, Operand::Reg(Reg::R10)),
        alu(AluOp::Sub, Reg::R4, Operand::Reg(Reg::R3)),
        mov(Reg::R0, 0),
    ];
    while insns.len() < LARGEST - 70 {
        for cell in 1..=64 {
            insns.push(store(Reg::R10, -8 * cell, Operand::Reg(Reg::R2)));
        }
        insns.push(Insn::Store { size: Size::B, base: Reg::R4, off: -1, src: Operand::Reg(Reg::R2) });
    }
    insns.push(Insn::Exit);
    insns
}
