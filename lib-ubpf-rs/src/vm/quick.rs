//! The interpreter's quick way through what programs do most. Each instruction is found by one number, its opcode byte; what has no
//! such number here is done by [`Machine::step`]. Semantics and checks are the same: what both do, they do with the same functions.

use super::{
    interpreter::{alu32, alu64, compare, Flow, Machine, SLOTS},
    Stop, StopKind,
};
use crate::isa::{AluOp, CmpOp, Insn, Size};
use alloc::{boxed::Box, vec::Vec};

/// One slot: as it is encoded, with the opcode [`STEP`] where [`Machine::step`] does it.
#[derive(Clone, Copy)]
pub(super) struct Op {
    opcode: u8,
    /// Destination in the low half, source in the high half.
    regs: u8,
    off: i16,
    imm: i32,
}

/// No instruction has this opcode.
const STEP: u8 = 0;

impl Op {
    fn of(insn: &Insn) -> Op {
        let slow = match insn {
            Insn::Alu { op: AluOp::Sdiv | AluOp::Smod, .. }
            | Insn::MovSx { .. }
            | Insn::Neg { .. }
            | Insn::Endian { .. }
            | Insn::WideTail
            | Insn::Load { signed: true, .. }
            | Insn::Atomic { .. }
            | Insn::LegacyPacket { .. }
            | Insn::Jump { long: true, .. }
            | Insn::Call(_)
            | Insn::Exit => true,
            Insn::Alu { .. }
            | Insn::LoadImm64 { .. }
            | Insn::Load { .. }
            | Insn::Store { .. }
            | Insn::Jump { .. }
            | Insn::Branch { .. } => false,
        };
        // Of the second slot of a wide instruction only the immediate counts; it is written by `quick`.
        let raw = insn.to_raw().filter(|_| !slow);
        raw.map_or(Op { opcode: STEP, regs: 0, off: 0, imm: 0 }, |(raw, _)| Op {
            opcode: raw.opcode,
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

/// The loop's `match`. Numbers are opcodes: of 64 bits with an immediate and with a register, then of 32 bits.
macro_rules! dispatch {
    (
        $machine:ident, $op:ident,
        arithmetic { $($alu:ident $ak:literal $ax:literal $wk:literal $wx:literal,)* }
        branches { $($cmp:ident $jk:literal $jx:literal $vk:literal $vx:literal,)* }
        loads { $($lsize:ident $load:literal,)* }
        stores { $($ssize:ident $imm:literal $reg:literal,)* }
        $($rest:tt)*
    ) => {
        match $op.opcode {
            $(
                $ak => $machine.alu64_imm($op, AluOp::$alu),
                $ax => $machine.alu64_reg($op, AluOp::$alu),
                $wk => $machine.alu32_imm($op, AluOp::$alu),
                $wx => $machine.alu32_reg($op, AluOp::$alu),
            )*
            $(
                $jk => $machine.branch64_imm($op, CmpOp::$cmp),
                $jx => $machine.branch64_reg($op, CmpOp::$cmp),
                $vk => $machine.branch32_imm($op, CmpOp::$cmp),
                $vx => $machine.branch32_reg($op, CmpOp::$cmp),
            )*
            $( $load => $machine.load($op, Size::$lsize), )*
            $(
                $imm => $machine.store($op, Size::$ssize, $op.imm as i64 as u64),
                $reg => $machine.store($op, Size::$ssize, $machine.src($op)),
            )*
            $($rest)*
        }
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

    fn branch64(op: CmpOp, a: u64, b: u64) -> After {
        taken(compare(op, a, b, a as i64, b as i64))
    }

    fn branch32(op: CmpOp, a: u64, b: u32) -> After {
        let a = a as u32;
        taken(compare(op, a, b, a as i32, b as i32))
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

        fn alu64_imm(&mut self, op: Op, alu: AluOp) -> After {
            self.put(op, alu64(alu, self.dst(op), op.imm as i64 as u64))
        }

        fn alu64_reg(&mut self, op: Op, alu: AluOp) -> After {
            self.put(op, alu64(alu, self.dst(op), self.src(op)))
        }

        fn alu32_imm(&mut self, op: Op, alu: AluOp) -> After {
            self.put(op, alu32(alu, self.dst(op) as u32, op.imm as u32).into())
        }

        fn alu32_reg(&mut self, op: Op, alu: AluOp) -> After {
            self.put(op, alu32(alu, self.dst(op) as u32, self.src(op) as u32).into())
        }

        fn branch64_imm(&self, op: Op, cmp: CmpOp) -> After {
            branch64(cmp, self.dst(op), op.imm as i64 as u64)
        }

        fn branch64_reg(&self, op: Op, cmp: CmpOp) -> After {
            branch64(cmp, self.dst(op), self.src(op))
        }

        fn branch32_imm(&self, op: Op, cmp: CmpOp) -> After {
            branch32(cmp, self.dst(op), op.imm as u32)
        }

        fn branch32_reg(&self, op: Op, cmp: CmpOp) -> After {
            branch32(cmp, self.dst(op), self.src(op) as u32)
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
            let after = dispatch! {
                self, op,
                arithmetic {
                    Add 0x07 0x0f 0x04 0x0c,
                    Sub 0x17 0x1f 0x14 0x1c,
                    Mul 0x27 0x2f 0x24 0x2c,
                    Div 0x37 0x3f 0x34 0x3c,
                    Or 0x47 0x4f 0x44 0x4c,
                    And 0x57 0x5f 0x54 0x5c,
                    Lsh 0x67 0x6f 0x64 0x6c,
                    Rsh 0x77 0x7f 0x74 0x7c,
                    Mod 0x97 0x9f 0x94 0x9c,
                    Xor 0xa7 0xaf 0xa4 0xac,
                    Mov 0xb7 0xbf 0xb4 0xbc,
                    Arsh 0xc7 0xcf 0xc4 0xcc,
                }
                branches {
                    Eq 0x15 0x1d 0x16 0x1e,
                    Gt 0x25 0x2d 0x26 0x2e,
                    Ge 0x35 0x3d 0x36 0x3e,
                    Set 0x45 0x4d 0x46 0x4e,
                    Ne 0x55 0x5d 0x56 0x5e,
                    Sgt 0x65 0x6d 0x66 0x6e,
                    Sge 0x75 0x7d 0x76 0x7e,
                    Lt 0xa5 0xad 0xa6 0xae,
                    Le 0xb5 0xbd 0xb6 0xbe,
                    Slt 0xc5 0xcd 0xc6 0xce,
                    Sle 0xd5 0xdd 0xd6 0xde,
                }
                loads { W 0x61, H 0x69, B 0x71, DW 0x79, }
                stores { W 0x62 0x63, H 0x6a 0x6b, B 0x72 0x73, DW 0x7a 0x7b, }
                0x05 => After::Jump,
                0x18 => {
                    pc = pc.wrapping_add(1);
                    let upper = ops.get(pc).map_or(0, |tail| tail.imm as u32);
                    self.put(op, u64::from(upper) << 32 | u64::from(op.imm as u32))
                }
                _ => After::Step,
            };
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
