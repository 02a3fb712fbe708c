//! The interpreter's quick way through what programs do most. Each instruction is found by one number, which is made of its operation's
//! place in the rows of [`isa`](crate::isa); what has no such number is done by [`Machine::step`]. Semantics and checks are the same: what
//! both do, they do with the same functions.

use super::{
    machine::{Flow, Machine, SLOTS},
    Stop, StopKind,
};
use crate::isa::{each_alu_op, each_cmp_op, each_size, AluOp, CmpOp, ImmKind, Insn, Operand, Size, Width};
use alloc::{boxed::Box, vec::Vec};

/// One slot: what its instruction is called here, and its fields as they are encoded.
#[derive(Clone, Copy)]
pub(super) struct Op {
    number: u8,
    /// Destination in the low half, source in the high half.
    regs: u8,
    off: i16,
    imm: i32,
}

/// The numbers of instructions.
mod number {
    use super::{AluOp, CmpOp, Size, Width};

    /// [`Machine::step`](super::Machine::step) does it.
    pub const STEP: u8 = 0;
    pub const JUMP: u8 = 1;
    pub const WIDE: u8 = 2;
    const LOAD: u8 = 3;
    const STORE: u8 = LOAD + Size::ALL.len() as u8;
    const ALU: u8 = STORE + 2 * Size::ALL.len() as u8;
    const BRANCH: u8 = ALU + 4 * AluOp::ALL.len() as u8;

    const fn form(width: Width, register: bool) -> u8 {
        2 * matches!(width, Width::W32) as u8 + register as u8
    }
    pub const fn load(size: Size) -> u8 {
        LOAD + size as u8
    }
    pub const fn store(size: Size, register: bool) -> u8 {
        STORE + 2 * size as u8 + register as u8
    }
    pub const fn alu(op: AluOp, width: Width, register: bool) -> u8 {
        ALU + 4 * op as u8 + form(width, register)
    }
    pub const fn branch(op: CmpOp, width: Width, register: bool) -> u8 {
        BRANCH + 4 * op as u8 + form(width, register)
    }

    /// The numbers of an operation under its name: of 64 bits with an immediate and with a register, then of 32 bits.
    macro_rules! of_operations {
        (($module:ident, $of:path, $name:ident) [$($op:ident)*]) => {
            pub mod $module {
                $(
                    #[allow(non_snake_case, reason = "named as the operation is")]
                    pub mod $op {
                        use super::super::{$name, Width};
                        pub const IMM64: u8 = $of($name::$op, Width::W64, false);
                        pub const REG64: u8 = $of($name::$op, Width::W64, true);
                        pub const IMM32: u8 = $of($name::$op, Width::W32, false);
                        pub const REG32: u8 = $of($name::$op, Width::W32, true);
                    }
                )*
            }
        };
    }
    super::each_alu_op!(of_operations(alu_ops, super::super::alu, AluOp));
    super::each_cmp_op!(of_operations(cmp_ops, super::super::branch, CmpOp));

    /// The numbers of an access under its size.
    macro_rules! of_accesses {
        (() [$($size:ident)*]) => {
            $(
                pub mod $size {
                    use super::{load, store, Size};
                    pub const LOAD: u8 = load(Size::$size);
                    pub const STORE_IMM: u8 = store(Size::$size, false);
                    pub const STORE_REG: u8 = store(Size::$size, true);
                }
            )*
        };
    }
    pub mod accesses {
        #![allow(non_snake_case, reason = "named as the size is")]
        use super::{load, store, Size};
        super::super::each_size!(of_accesses());
    }
}

impl Op {
    fn of(insn: &Insn) -> Op {
        let register = |operand: Operand| matches!(operand, Operand::Reg(_));
        let number = match *insn {
            Insn::Alu { op, width, src, .. } => number::alu(op, width, register(src)),
            Insn::Branch { op, width, src, .. } => number::branch(op, width, register(src)),
            Insn::Load { size, signed: false, .. } => number::load(size),
            Insn::Store { size, src, .. } => number::store(size, register(src)),
            Insn::Jump { long: false, .. } => number::JUMP,
            Insn::LoadImm64 { kind: ImmKind::Value, .. } => number::WIDE,
            Insn::MovSx { .. }
            | Insn::Neg { .. }
            | Insn::Endian { .. }
            | Insn::WideTail
            | Insn::Load { signed: true, .. }
            | Insn::Atomic { .. }
            | Insn::LegacyPacket { .. }
            | Insn::LoadImm64 {
                kind:
                    ImmKind::MapFd
                    | ImmKind::MapValue
                    | ImmKind::Variable
                    | ImmKind::Code
                    | ImmKind::MapIndex
                    | ImmKind::MapIndexValue,
                ..
            }
            | Insn::Jump { long: true, .. }
            | Insn::Call(_)
            | Insn::Exit => number::STEP,
        };
        // Of the second slot of a wide instruction only the immediate counts; it is written by `quick`.
        let raw = insn.to_raw().filter(|_| number != number::STEP);
        raw.map_or(Op { number: number::STEP, regs: 0, off: 0, imm: 0 }, |(raw, _)| Op {
            number,
            regs: raw.src << 4 | raw.dst & 0xf,
            off: raw.off,
            imm: raw.imm,
        })
    }
}

/// Slots between two calls of `between`.
const PIECE: usize = 1024;

/// A program for [`Machine::execute_quick`]; `None` without memory. `between` is called now and then.
pub(super) fn quick(insns: &[Insn], between: &mut dyn FnMut()) -> Option<Box<[Op]>> {
    let mut ops: Vec<Op> = Vec::new();
    ops.try_reserve_exact(insns.len()).ok()?;
    let mut upper = 0;
    for (pc, insn) in insns.iter().enumerate() {
        if pc % PIECE == PIECE - 1 {
            between();
        }
        let op = Op::of(insn);
        ops.push(match insn {
            Insn::WideTail => Op { imm: upper, ..op },
            _ => op,
        });
        if let Insn::LoadImm64 { imm, .. } = insn {
            upper = (imm >> 32) as i32;
        }
    }
    Some(ops.into_boxed_slice())
}

/// What comes after an instruction.
enum After {
    /// The next one.
    Next,
    /// Where its offset leads.
    Jump,
    /// Nothing was done: [`Machine::step`] does it, or says why not.
    Step,
}

/// The loop's `match`.
macro_rules! dispatch {
    (($machine:ident, $op:ident, [$($alu:ident)*], [$($cmp:ident)*], { $($rest:tt)* }) [$($size:ident)*]) => {
        match $op.number {
            $(
                number::alu_ops::$alu::IMM64 => $machine.alu64($op, AluOp::$alu, $op.imm as i64 as u64),
                number::alu_ops::$alu::REG64 => $machine.alu64($op, AluOp::$alu, $machine.src($op)),
                number::alu_ops::$alu::IMM32 => $machine.alu32($op, AluOp::$alu, $op.imm as u32),
                number::alu_ops::$alu::REG32 => $machine.alu32($op, AluOp::$alu, $machine.src($op) as u32),
            )*
            $(
                number::cmp_ops::$cmp::IMM64 => $machine.branch64($op, CmpOp::$cmp, $op.imm as i64 as u64),
                number::cmp_ops::$cmp::REG64 => $machine.branch64($op, CmpOp::$cmp, $machine.src($op)),
                number::cmp_ops::$cmp::IMM32 => $machine.branch32($op, CmpOp::$cmp, $op.imm as u32),
                number::cmp_ops::$cmp::REG32 => $machine.branch32($op, CmpOp::$cmp, $machine.src($op) as u32),
            )*
            $(
                number::accesses::$size::LOAD => $machine.load($op, Size::$size),
                number::accesses::$size::STORE_IMM => $machine.store($op, Size::$size, $op.imm as i64 as u64),
                number::accesses::$size::STORE_REG => $machine.store($op, Size::$size, $machine.src($op)),
            )*
            $($rest)*
        }
    };
}
macro_rules! with_alu_ops {
    (($machine:ident, $op:ident, $rest:tt) $alu:tt) => {
        each_cmp_op!(with_cmp_ops($machine, $op, $alu, $rest))
    };
}
macro_rules! with_cmp_ops {
    (($machine:ident, $op:ident, $alu:tt, $rest:tt) $cmp:tt) => {
        each_size!(dispatch($machine, $op, $alu, $cmp, $rest))
    };
}

/// Functions of which every use is for one opcode. Without optimisation they stay functions: else a run would need much stack.
macro_rules! small {
    ($($(#[$meta:meta])* fn $name:ident($($argument:tt)*) -> $result:ty $body:block)*) => {
        $(
            $(#[$meta])*
            #[cfg_attr(debug_assertions, inline(never))]
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn $name($($argument)*) -> $result $body
        )*
    };
}

small! {
    fn taken(holds: bool) -> After {
        if holds {
            After::Jump
        } else {
            After::Next
        }
    }
}

impl Machine<'_, '_> {
    small! {
        fn dst(&self, op: Op) -> u64 {
            self.regs[usize::from(op.regs) % SLOTS]
        }

        fn src(&self, op: Op) -> u64 {
            self.regs[usize::from(op.regs >> 4) % SLOTS]
        }

        fn put(&mut self, op: Op, value: u64) -> After {
            self.regs[usize::from(op.regs) % SLOTS] = value;
            After::Next
        }

        fn alu64(&mut self, op: Op, alu: AluOp, second: u64) -> After {
            self.put(op, alu.compute64(self.dst(op), second))
        }

        fn alu32(&mut self, op: Op, alu: AluOp, second: u32) -> After {
            self.put(op, alu.compute32(self.dst(op) as u32, second).into())
        }

        fn branch64(&self, op: Op, cmp: CmpOp, second: u64) -> After {
            taken(cmp.holds64(self.dst(op), second))
        }

        fn branch32(&self, op: Op, cmp: CmpOp, second: u32) -> After {
            taken(cmp.holds32(self.dst(op) as u32, second))
        }

        fn load(&mut self, op: Op, size: Size) -> After {
            let addr = self.src(op).wrapping_add(op.off as i64 as u64);
            match self.run.memory.load(addr, size) {
                Some(value) => self.put(op, value),
                None => After::Step,
            }
        }

        fn store(&mut self, op: Op, size: Size, value: u64) -> After {
            let addr = self.dst(op).wrapping_add(op.off as i64 as u64);
            match self.run.memory.store(addr, size, value) {
                Some(()) => After::Next,
                None => After::Step,
            }
        }
    }

    /// Runs the program that `ops` was made of.
    pub(super) fn execute_quick(&mut self, ops: &[Op]) -> Result<u64, Stop> {
        let insns = self.program.program().insns.as_slice();
        let mut pc = self.pc;
        loop {
            let Some(&op) = ops.get(pc) else {
                self.pc = pc;
                return Err(self.stop(StopKind::Internal));
            };
            let after = each_alu_op!(with_alu_ops (self, op, {
                number::JUMP => After::Jump,
                number::WIDE => {
                    pc = pc.wrapping_add(1);
                    let upper = ops.get(pc).map_or(0, |tail| tail.imm as u32);
                    self.put(op, u64::from(upper) << 32 | u64::from(op.imm as u32))
                }
                _ => After::Step,
            }));
            match after {
                After::Next => pc = pc.wrapping_add(1),
                After::Jump => {
                    self.pc = pc;
                    self.jump(op.off.into())?;
                    pc = self.pc;
                }
                After::Step => {
                    self.pc = pc;
                    let Some(insn) = insns.get(pc) else {
                        return Err(self.stop(StopKind::Internal));
                    };
                    match self.step(insn)? {
                        Flow::Next => self.pc = self.pc.wrapping_add(1),
                        Flow::Jump(off) => self.jump(off)?,
                        Flow::End(value) => return Ok(value),
                    }
                    pc = self.pc;
                }
            }
        }
    }
}
