//! The reference semantics: small, plain, every check on. Every other engine is compared with it.

use super::{
    call::{call_helper, Called},
    charge, AccessKind, AccessMode, Memory, Metering, Run, Stop, StopKind, FRAME_BYTES, MAX_FRAMES,
};
use crate::{
    isa::{AtomicOp, Call, Endianness, ImmKind, Insn, Operand, Reg, Size, Width},
    program::Abi,
    verifier::VerifiedProgram,
};
use core::sync::atomic::Ordering::SeqCst;

/// The machine before an instruction.
pub struct Moment<'m> {
    /// The instruction.
    pub pc: usize,
    /// r0 to r10.
    pub regs: &'m [u64],
    /// What the program may touch.
    pub memory: &'m Memory<'m>,
    frames: &'m [CallFrame],
}

impl Moment<'_> {
    /// PCs of the calls that led here, outermost first.
    pub fn calls(&self) -> impl Iterator<Item = usize> + '_ {
        self.frames.iter().map(|frame| frame.return_to)
    }
}

/// Sixteen, so that a masked number needs no bounds check; r11 to r15 do not exist.
pub(super) const SLOTS: usize = 16;

#[derive(Clone, Copy, Default)]
struct CallFrame {
    return_to: usize,
    saved: [u64; 4],
}

pub(super) struct Machine<'m, 'a> {
    pub(super) program: &'m VerifiedProgram,
    pub(super) run: &'m mut Run<'a>,
    metering: Metering,
    pub(super) regs: [u64; SLOTS],
    pub(super) pc: usize,
    frames: [CallFrame; MAX_FRAMES],
    depth: usize,
}

/// What an instruction asks the loop to do.
pub(super) enum Flow {
    Next,
    Jump(i64),
    End(u64),
}

/// Changes a cell; gives what was there.
macro_rules! modify {
    ($op:expr, $cell:expr, $operand:expr, $expected:expr) => {
        match $op {
            AtomicOp::Add | AtomicOp::FetchAdd => $cell.fetch_add($operand, SeqCst),
            AtomicOp::Or | AtomicOp::FetchOr => $cell.fetch_or($operand, SeqCst),
            AtomicOp::And | AtomicOp::FetchAnd => $cell.fetch_and($operand, SeqCst),
            AtomicOp::Xor | AtomicOp::FetchXor => $cell.fetch_xor($operand, SeqCst),
            AtomicOp::Xchg => $cell.swap($operand, SeqCst),
            AtomicOp::CmpXchg => $cell.compare_exchange($expected, $operand, SeqCst, SeqCst).unwrap_or_else(|old| old),
            // They change nothing by what was there.
            AtomicOp::LoadAcquire | AtomicOp::StoreRelease => $operand,
        }
    };
}

impl<'m, 'a> Machine<'m, 'a> {
    pub(super) fn new(program: &'m VerifiedProgram, run: &'m mut Run<'a>, metering: Metering) -> Self {
        let mut regs = [0; SLOTS];
        let [r1, r2] = run.args;
        regs[Reg::R1.index()] = r1;
        regs[Reg::R2.index()] = r2;
        regs[Reg::R10.index()] = run.memory.stack_top();
        run.memory.set_frames(1);
        Machine {
            program,
            run,
            metering,
            regs,
            pc: program.program().entry,
            frames: [CallFrame::default(); MAX_FRAMES],
            depth: 0,
        }
    }

    /// Charges where the run is metered.
    #[inline(always)]
    fn charge(&mut self, cost: u64) -> Result<(), Stop> {
        match self.metering {
            Metering::Prepaid => Ok(()),
            Metering::Metered => charge(&mut self.run.budget, cost, self.pc),
        }
    }

    #[inline]
    pub(super) fn execute(&mut self, watch: &mut impl FnMut(Moment<'_>)) -> Result<u64, Stop> {
        loop {
            if let Some(value) = self.some(u64::MAX, watch)? {
                return Ok(value);
            }
        }
    }

    /// Executes so many instructions, or fewer when the program ends before.
    #[inline]
    pub(super) fn some(&mut self, count: u64, watch: &mut impl FnMut(Moment<'_>)) -> Result<Option<u64>, Stop> {
        let insns = self.program.program().insns.as_slice();
        for _ in 0..count {
            watch(Moment {
                pc: self.pc,
                regs: &self.regs[..Reg::COUNT],
                memory: &self.run.memory,
                frames: &self.frames[..self.depth],
            });
            let Some(insn) = insns.get(self.pc) else {
                return Err(self.stop(StopKind::Internal));
            };
            match self.step(insn)? {
                Flow::Next => self.pc = self.pc.wrapping_add(1),
                Flow::Jump(off) => self.jump(off)?,
                Flow::End(value) => return Ok(Some(value)),
            }
        }
        Ok(None)
    }

    /// To the next slot plus `off`; charged when that is back.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn jump(&mut self, off: i64) -> Result<(), Stop> {
        let target = (self.pc as i64).wrapping_add(1).wrapping_add(off) as usize;
        if target <= self.pc {
            self.charge(self.program.jump_charge(self.pc, target))?;
        }
        self.pc = target;
        Ok(())
    }

    #[inline(always)]
    fn get(&self, reg: Reg) -> u64 {
        self.regs[reg.index() % SLOTS]
    }

    #[inline(always)]
    fn set(&mut self, reg: Reg, value: u64) {
        self.regs[reg.index() % SLOTS] = value;
    }

    #[inline(always)]
    fn operand(&self, operand: Operand) -> u64 {
        match operand {
            Operand::Reg(reg) => self.get(reg),
            Operand::Imm(imm) => imm as i64 as u64,
        }
    }

    pub(super) fn stop(&self, kind: StopKind) -> Stop {
        Stop { pc: self.pc, kind }
    }

    pub(super) fn step(&mut self, insn: &Insn) -> Result<Flow, Stop> {
        match *insn {
            Insn::Alu { op, width, dst, src } => {
                let (a, b) = (self.get(dst), self.operand(src));
                let value = match width {
                    Width::W64 => op.compute64(a, b),
                    Width::W32 => u64::from(op.compute32(a as u32, b as u32)),
                };
                self.set(dst, value);
            }
            Insn::MovSx { width, from, dst, src } => {
                let value = sign_extend(self.get(src), from);
                self.set(dst, narrow(value, width));
            }
            Insn::Neg { width, dst } => {
                let value = self.get(dst).wrapping_neg();
                self.set(dst, narrow(value, width));
            }
            Insn::Endian { kind, size, dst } => {
                let value = convert(self.get(dst), kind, size);
                self.set(dst, value);
            }
            Insn::LoadImm64 { dst, kind: ImmKind::Value, imm } => {
                self.set(dst, imm);
                return Ok(Flow::Jump(1));
            }
            Insn::LoadImm64 { dst, kind, imm } => {
                let maps = self.run.memory.maps();
                let value = maps.and_then(|maps| maps.loaded(kind, imm));
                self.set(dst, value.ok_or_else(|| self.stop(StopKind::Internal))?);
                return Ok(Flow::Jump(1));
            }
            Insn::Load { size, signed, dst, base, off } => {
                let addr = self.get(base).wrapping_add(off as i64 as u64);
                let own = self.run.memory.load(addr, size);
                let Some(value) = own.or_else(|| self.probed(addr, size)) else {
                    return Err(self.out_of_bounds(AccessKind::Load, addr, size));
                };
                self.set(dst, if signed { sign_extend(value, size) } else { value });
            }
            Insn::Store { size, base, off, src } => {
                let addr = self.get(base).wrapping_add(off as i64 as u64);
                let value = self.operand(src);
                if self.run.memory.store(addr, size, value).is_none() {
                    return Err(self.out_of_bounds(AccessKind::Store, addr, size));
                }
            }
            Insn::Atomic { op, size, base, off, src } => {
                let addr = self.get(base).wrapping_add(off as i64 as u64);
                self.atomic(op, size, addr, src)?;
            }
            Insn::Jump { off, .. } => return Ok(Flow::Jump(i64::from(off))),
            Insn::Branch { op, width, dst, src, off } => {
                let (a, b) = (self.get(dst), self.operand(src));
                let taken = match width {
                    Width::W64 => op.holds64(a, b),
                    Width::W32 => op.holds32(a as u32, b as u32),
                };
                if taken {
                    return Ok(Flow::Jump(i64::from(off)));
                }
            }
            Insn::Call(call) => return self.call(call),
            Insn::Exit => return Ok(self.exit()),
            Insn::WideTail | Insn::LegacyPacket { .. } => return Err(self.stop(StopKind::Internal)),
        }
        Ok(Flow::Next)
    }

    /// What a probing load gives of memory that the program does not own; `None` of other loads.
    #[inline(never)]
    fn probed(&self, addr: u64, size: Size) -> Option<u64> {
        self.program.is_probing(self.pc).then(|| super::probe(self.run.host, addr, size))
    }

    fn out_of_bounds(&self, access: AccessKind, addr: u64, size: Size) -> Stop {
        let size = size.bytes() as u64;
        self.stop(StopKind::OutOfBounds { access, addr, size })
    }

    fn call(&mut self, call: Call) -> Result<Flow, Stop> {
        match call {
            Call::Helper(number) => self.helper(u64::from(number)),
            Call::Register(reg) => self.helper(self.get(reg)),
            Call::Local(off) => {
                let target = (self.pc as i64).wrapping_add(1).wrapping_add(i64::from(off)) as usize;
                self.call_local(target)
            }
            Call::Btf(_) => Err(self.stop(StopKind::Internal)),
        }
    }

    fn helper(&mut self, number: u64) -> Result<Flow, Stop> {
        let abi: Abi = self.program.program().abi;
        let known = u32::try_from(number).ok().and_then(|n| self.run.helpers.get(abi, n));
        let Some(helper) = known else {
            return Err(self.stop(StopKind::UnknownHelper { number }));
        };
        let [_, r1, r2, r3, r4, r5, ..] = self.regs;
        match call_helper(self.run, helper, [r1, r2, r3, r4, r5], self.metering, self.pc)? {
            Called::Returned(value) => {
                self.set(Reg::R0, value);
                Ok(Flow::Next)
            }
            Called::Ended => Ok(Flow::End(0)),
        }
    }

    fn call_local(&mut self, target: usize) -> Result<Flow, Stop> {
        let r6 = Reg::R6.index();
        let mut saved = [0; 4];
        saved.copy_from_slice(&self.regs[r6..r6 + 4]);
        if self.depth + 1 >= MAX_FRAMES {
            return Err(self.stop(StopKind::CallDepth));
        }
        self.charge(self.program.function_charge(target))?;
        self.frames[self.depth] = CallFrame { return_to: self.pc, saved };
        self.depth += 1;
        self.run.memory.set_frames(self.depth + 1);
        self.regs[Reg::R10.index()] = self.regs[Reg::R10.index()].wrapping_sub(FRAME_BYTES as u64);
        // The charge of the function's entry is the only one: the jump itself is free, also backwards.
        self.pc = target.wrapping_sub(1);
        Ok(Flow::Next)
    }

    fn exit(&mut self) -> Flow {
        let value = self.get(Reg::R0);
        if self.depth == 0 {
            return Flow::End(value);
        }
        self.depth -= 1;
        let frame = self.frames[self.depth];
        let r6 = Reg::R6.index();
        self.regs[r6..r6 + 4].copy_from_slice(&frame.saved);
        self.regs[Reg::R10.index()] = self.regs[Reg::R10.index()].wrapping_add(FRAME_BYTES as u64);
        self.run.memory.set_frames(self.depth + 1);
        self.pc = frame.return_to;
        Flow::Next
    }

    fn atomic(&mut self, op: AtomicOp, size: Size, addr: u64, src: Reg) -> Result<(), Stop> {
        match op {
            AtomicOp::LoadAcquire => {
                let value = self.run.memory.load_acquire(addr, size);
                let value = value.ok_or_else(|| self.bad_atomic(AccessMode::Read, addr, size))?;
                self.set(src, value);
                return Ok(());
            }
            AtomicOp::StoreRelease => {
                let stored = self.run.memory.store_release(addr, size, self.get(src));
                return stored.ok_or_else(|| self.bad_atomic(AccessMode::Write, addr, size));
            }
            _ => {}
        }
        let (operand, expected) = (self.get(src), self.get(Reg::R0));
        let old = if size == Size::W {
            let cell = self.run.memory.atomic32(addr);
            cell.map(|cell| u64::from(modify!(op, cell, operand as u32, expected as u32)))
        } else {
            self.run.memory.atomic64(addr).map(|cell| modify!(op, cell, operand, expected))
        };
        let Some(old) = old else {
            return Err(self.bad_atomic(AccessMode::Write, addr, size));
        };
        if let Some(reg) = op.result(src) {
            self.set(reg, old);
        }
        Ok(())
    }

    fn bad_atomic(&self, access: AccessMode, addr: u64, size: Size) -> Stop {
        let bytes = size.bytes() as u64;
        if self.run.memory.allows(access, addr, bytes) {
            return self.stop(StopKind::Unaligned { addr, size: bytes });
        }
        self.out_of_bounds(AccessKind::Atomic, addr, size)
    }
}

fn narrow(value: u64, width: Width) -> u64 {
    match width {
        Width::W64 => value,
        Width::W32 => u64::from(value as u32),
    }
}

/// The low bytes of `value`, sign-extended to 64 bits.
fn sign_extend(value: u64, from: Size) -> u64 {
    match from {
        Size::B => value as i8 as i64 as u64,
        Size::H => value as i16 as i64 as u64,
        Size::W => value as i32 as i64 as u64,
        Size::DW => value,
    }
}

fn convert(value: u64, kind: Endianness, size: Size) -> u64 {
    let swap = match kind {
        Endianness::ToLe => cfg!(target_endian = "big"),
        Endianness::ToBe => cfg!(target_endian = "little"),
        Endianness::Swap => true,
    };
    match (size, swap) {
        (Size::B, _) => u64::from(value as u8),
        (Size::H, false) => u64::from(value as u16),
        (Size::H, true) => u64::from((value as u16).swap_bytes()),
        (Size::W, false) => u64::from(value as u32),
        (Size::W, true) => u64::from((value as u32).swap_bytes()),
        (Size::DW, false) => value,
        (Size::DW, true) => value.swap_bytes(),
    }
}
