//! One BPF instruction after the other as machine code. The same semantics as the interpreter in everything a
//! program or its caller can see: result, memory, budget left, PC of a stop.
//!
//! A first pass takes every jump as long; passes are repeated until no position moves (jumps only become shorter). They
//! write nothing: the last one, of known length, goes straight into executable memory. What is rarely needed stands after all
//! functions.

use super::{
    super::analysis::{self, bit, function_of, jump_target, relative, Check, CodeAnalysis, Function, Fused, Place},
    super::code::{RegisterUse, StopSites, Style},
    super::context::{log2, stop},
    super::reciprocal::Reciprocal,
    super::run::PROBE,
    asm::{at, Alu, Asm, Cc, Gprs, Indexed, Mem, Shift, M, W},
    field::{self, Routine},
    regs::{native, Gpr, BUDGET, TMP, TMP2},
};
use crate::{
    helpers::{missed, Inline},
    isa::{AluOp, AtomicOp, Call, CmpOp, Endianness, ImmKind, Insn, Operand, Reg, Size, Width},
    jit::JitError,
    maps::{LookupForm, Maps, Strided},
    verifier::{
        pieces,
        planted::{self, Bug},
        Access, Cap, Uses, VerifiedProgram, Work,
    },
    vm::{FRAME_BYTES, MAX_FRAMES},
};
use alloc::vec::Vec;

/// Most bytes that one BPF instruction can become. What stands apart for it counts, and the second copy of a stretch.
const MAX_INSN_BYTES: usize = 224;
/// Passes before all jumps are made long, of a program with more instructions than [`LARGE`] too.
const MAX_PASSES: usize = 12;
const MAX_PASSES_LARGE: usize = 2;
const LARGE: usize = 8192;
/// Units of work to emit an instruction once, and units to look at one.
const EMIT: u64 = 24;
const GLANCE: u64 = 4;
/// No position yet: out of reach of a short jump.
const FAR: u32 = u32::MAX >> 1;

/// Machine code not yet written.
pub(in crate::jit) struct Draft<'p> {
    emitter: Emitter<'p>,
    len: usize,
    writes: Gprs,
}

impl<'p> Draft<'p> {
    /// Finds the layout of `program`.
    pub(in crate::jit) fn new(
        program: &'p VerifiedProgram,
        maps: Option<&'p Maps>,
        style: Style,
        work: &mut Work<'_>,
    ) -> Result<Self, JitError> {
        let mut emitter = Emitter::new(program, maps, style, work)?;
        let passes = if emitter.insns.len() > LARGE { MAX_PASSES_LARGE } else { MAX_PASSES };
        for pass in 0..passes + 4 {
            // Long jumps have one size: a pass or two more and nothing moves.
            emitter.long_jumps = pass >= passes;
            let mut asm = Asm::default();
            emitter.pass(&mut asm, work)?;
            emitter.turn();
            if !emitter.moved && pass > 0 {
                return Ok(Draft { len: asm.len(), writes: asm.writes(), emitter });
            }
        }
        Err(JitError::TooComplex { cap: Cap::Steps })
    }

    /// Bytes of the code.
    pub(in crate::jit) fn len(&self) -> usize {
        self.len
    }

    /// Writes the code to `out`, which is [`len`](Self::len) bytes long. Gives the offset of the entry and the places that can
    /// stop a run.
    pub(in crate::jit) fn write(mut self, out: &mut [u8], work: &mut Work<'_>) -> Result<(usize, StopSites), JitError> {
        let emitter = &mut self.emitter;
        let mut sites = Vec::new();
        let places = emitter.stop_count;
        work.hold(places.saturating_mul(size_of::<(u32, u32)>()))?;
        sites.try_reserve_exact(places).map_err(|_| JitError::NoMemory)?;
        emitter.sites = Some(sites);
        let mut asm = Asm::new(out);
        emitter.pass(&mut asm, work)?;
        work.release(emitter.bytes());
        match emitter.sites.take() {
            Some(sites) if asm.len() == self.len => Ok((emitter.entry, sites)),
            _ => Err(JitError::NoMemory),
        }
    }
}

impl Draft<'_> {
    /// Which registers the code changes and needs.
    pub(in crate::jit) fn registers(&self) -> RegisterUse {
        let Emitter { analysis, entry, returns, last_return, .. } = &self.emitter;
        RegisterUse {
            clobbers: self.writes,
            reads: analysis.reads,
            straight: *entry == 0 && *returns == 1 && *last_return == self.len,
        }
    }

    /// Where the code of each instruction starts, and what stands apart for it: offset, PC. Ascending by offset.
    pub(in crate::jit) fn starts(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let Emitter { old, cold, analysis, .. } = &self.emitter;
        let emitted = move |pc: &usize| {
            let fact = analysis.facts.get(*pc);
            fact.is_some_and(|f| f.reachable && f.fused != Fused::Second)
        };
        let slots = (0..old.slots.len()).filter(emitted).map(|pc| (get(&old.slots, pc), pc));
        let twice = move |pc: &usize| analysis.facts.get(*pc).is_some_and(|fact| fact.twice);
        let again = (0..old.again.len()).filter(emitted).filter(twice).map(|pc| (get(&old.again, pc), pc));
        let apart = cold.iter().enumerate().map(|(index, cold)| (get(&old.cold, index), cold.pc as usize));
        slots.chain(again).chain(apart)
    }
}

/// What stands after all functions.
#[derive(Clone, Copy)]
struct Cold {
    pc: u32,
    /// Where it goes back to.
    back: u32,
}

#[derive(Default)]
struct Positions {
    /// Of each slot's code.
    slots: Vec<u32>,
    /// Of each function's code, what a call leads to.
    functions: Vec<u32>,
    /// Of each slot's code where accesses are checked one by one; empty where nothing is emitted twice.
    again: Vec<u32>,
    /// Of what stands apart, in the order in which it was needed.
    cold: Vec<u32>,
}

struct Emitter<'p> {
    program: &'p VerifiedProgram,
    maps: Option<&'p Maps>,
    insns: &'p [Insn],
    style: Style,
    analysis: CodeAnalysis,
    /// Positions of the pass before: the targets of this one's jumps.
    old: Positions,
    new: Positions,
    cold: Vec<Cold>,
    long_jumps: bool,
    /// Something stands elsewhere than in the pass before.
    moved: bool,
    /// Why the program is not compiled: there was something for which there is no code.
    impossible: Option<JitError>,
    /// Set during the last pass.
    sites: Option<StopSites>,
    /// Places that can stop a run, counted in each pass.
    stop_count: usize,
    entry: usize,
    /// Returns from the first function, where nobody calls it, and the end of the last of them.
    returns: usize,
    last_return: usize,
    pc: usize,
    /// Accesses are checked one by one.
    one_by_one: bool,
    /// The function being emitted.
    function: usize,
    /// Where its first exit stands.
    exit: Option<usize>,
}

const KEPT: [Reg; 4] = [Reg::R6, Reg::R7, Reg::R8, Reg::R9];
const FRAME: i32 = FRAME_BYTES as i32;

fn filled(len: usize, value: u32, work: &mut Work<'_>) -> Result<Vec<u32>, JitError> {
    let mut list = Vec::new();
    list.try_reserve_exact(len).map_err(|_| JitError::NoMemory)?;
    for piece in pieces(0..len) {
        work.spend_each(piece.len(), 1)?;
        list.resize(piece.end, value);
    }
    Ok(list)
}

fn get(list: &[u32], index: usize) -> usize {
    list.get(index).copied().unwrap_or(0) as usize
}

/// Writes a position down; whether it was not there in the pass before.
fn set(new: &mut [u32], old: &[u32], index: usize, position: usize) -> bool {
    if let Some(slot) = new.get_mut(index) {
        *slot = position as u32;
    }
    get(old, index) != position
}

fn width(width: Width) -> W {
    match width {
        Width::W32 => W::D,
        Width::W64 => W::Q,
    }
}

fn operand_size(size: Size) -> M {
    match size {
        Size::B => M::B,
        Size::H => M::H,
        Size::W => M::D,
        Size::DW => M::Q,
    }
}

/// The parts of a sum, with the one in front that needs no displacement as a base.
fn base_and_index(a: Reg, b: Reg) -> (Gpr, Gpr) {
    let (a, b) = (native(a), native(b));
    match a.number() & 7 {
        5 => (b, a),
        _ => (a, b),
    }
}

impl<'p> Emitter<'p> {
    fn new(
        program: &'p VerifiedProgram,
        maps: Option<&'p Maps>,
        style: Style,
        work: &mut Work<'_>,
    ) -> Result<Self, JitError> {
        let insns = program.program().insns.as_slice();
        let bare = |pc| !style.guard_all && program.access(pc) == Access::Proved;
        let analysis = analysis::analyse(program, &bare, work)?;
        // Positions fit 32 bits.
        let most = insns.len().checked_mul(MAX_INSN_BYTES);
        most.and_then(|most| u32::try_from(most).ok()).ok_or(JitError::NoMemory)?;
        let twice = |pc: usize| analysis.facts.get(pc).is_some_and(|fact| fact.twice);
        let (mut apart, mut again) = (0, 0);
        for piece in pieces(0..insns.len()) {
            work.spend_each(piece.len(), 3 * GLANCE)?;
            for pc in piece {
                if twice(pc) {
                    again = insns.len();
                }
                if let Some(Insn::Load { .. } | Insn::Store { .. } | Insn::Atomic { .. }) = insns.get(pc) {
                    apart += usize::from(!bare(pc)) * (1 + usize::from(twice(pc)));
                }
            }
        }
        let functions = analysis.functions.len();
        let positions = insns.len() + functions + again + apart;
        let positions = positions.saturating_mul(2 * size_of::<u32>());
        work.hold(positions.saturating_add(apart * size_of::<Cold>()))?;
        let mut cold = Vec::new();
        cold.try_reserve_exact(apart).map_err(|_| JitError::NoMemory)?;
        let mut positions = |far| {
            let mut filled = |len| filled(len, far, work);
            Ok::<_, JitError>(Positions {
                slots: filled(insns.len())?,
                functions: filled(functions)?,
                again: filled(again)?,
                cold: filled(apart)?,
            })
        };
        Ok(Emitter {
            program,
            maps,
            insns,
            style,
            // What is not emitted stays as it is here in both.
            old: positions(FAR)?,
            new: positions(FAR)?,
            analysis,
            cold,
            long_jumps: false,
            moved: false,
            impossible: None,
            sites: None,
            stop_count: 0,
            entry: 0,
            returns: 0,
            last_return: 0,
            pc: 0,
            one_by_one: false,
            function: 0,
            exit: None,
        })
    }

    /// Bytes of memory that it holds, sites aside.
    fn bytes(&self) -> usize {
        let positions = [&self.old, &self.new]
            .map(|p| p.slots.capacity() + p.functions.capacity() + p.again.capacity() + p.cold.capacity());
        let positions = positions.iter().sum::<usize>() * size_of::<u32>();
        positions + self.cold.capacity() * size_of::<Cold>() + self.analysis.bytes()
    }

    /// Makes this pass the one before.
    fn turn(&mut self) {
        core::mem::swap(&mut self.old, &mut self.new);
    }

    fn facts(&self) -> analysis::Facts {
        let fact = self.analysis.facts.get(self.pc).copied();
        fact.unwrap_or(analysis::Facts::NONE)
    }

    fn live(&self, reg: Reg) -> bool {
        self.facts().live & bit(reg) != 0
    }

    /// What an instruction is made of makes no sense here, although the program was verified: rather no machine code than another one.
    fn refuse(&mut self) {
        self.impossible.get_or_insert(JitError::NoCode { pc: self.pc });
    }

    /// Where the code of a slot stood in the pass before.
    fn slot(&mut self, pc: usize) -> usize {
        let position = self.old.slots.get(pc).copied();
        self.known(position)
    }

    fn known(&mut self, position: Option<u32>) -> usize {
        if position.is_none() {
            self.refuse();
        }
        position.unwrap_or(FAR) as usize
    }

    fn pass(&mut self, asm: &mut Asm<'_>, work: &mut Work<'_>) -> Result<(), JitError> {
        self.cold.clear();
        self.stop_count = 0;
        self.returns = 0;
        self.moved = false;
        self.start(asm);
        for index in 0..self.analysis.functions.len() {
            if let Some(function) = self.analysis.functions.get(index).copied() {
                if function.depth != 0 {
                    self.emit_function(asm, index, function, work)?;
                }
            }
        }
        self.emit_again(asm, work)?;
        for index in 0..self.cold.len() {
            work.spend(EMIT)?;
            self.moved |= set(&mut self.new.cold, &self.old.cold, index, asm.len());
            if let Some(cold) = self.cold.get(index).copied() {
                self.emit_cold(asm, cold);
            }
        }
        self.impossible.map_or(Ok(()), Err)
    }

    /// What is emitted twice: stretches that are entered at an access, whose check of several at once failed, and left at their end. No
    /// jump leads into them otherwise.
    fn emit_again(&mut self, asm: &mut Asm<'_>, work: &mut Work<'_>) -> Result<(), Cap> {
        self.one_by_one = true;
        for pc in 0..self.new.again.len() {
            work.spend(EMIT)?;
            self.pc = pc;
            let fact = self.facts();
            let Some(insn) = self.insns.get(pc).copied().filter(|_| fact.twice) else {
                continue;
            };
            self.moved |= set(&mut self.new.again, &self.old.again, pc, asm.len());
            if fact.reachable {
                self.insn(asm, &insn);
            }
            // The last of a stretch is an access, of one slot.
            let next = self.analysis.facts.get(pc + 1);
            if !next.is_some_and(|next| next.twice) {
                self.jump(asm, pc + 1);
            }
        }
        self.one_by_one = false;
        Ok(())
    }

    /// The way in: [`super::context`] says in which state. A first function that is called too gets a frame like all.
    fn start(&mut self, asm: &mut Asm<'_>) {
        let entry = self.program.program().entry;
        let main = function_of(&self.analysis.functions, entry);
        let called = self.analysis.functions.get(main).is_some_and(|f| f.called);
        if !called {
            return;
        }
        self.entry = asm.len();
        self.zero_registers(asm);
        asm.alu_ri(W::Q, Alu::Add, Gpr::Rbp, FRAME);
        asm.call(get(&self.old.functions, main));
        asm.ret();
    }

    fn zero_registers(&self, asm: &mut Asm<'_>) {
        for number in 0..10 {
            if let Some(reg) = Reg::new(number).filter(|&r| self.analysis.zeroed & bit(r) != 0) {
                asm.alu_rr(W::D, Alu::Xor, native(reg), native(reg));
            }
        }
    }

    fn emit_function(
        &mut self,
        asm: &mut Asm<'_>,
        index: usize,
        function: Function,
        work: &mut Work<'_>,
    ) -> Result<(), Cap> {
        self.function = index;
        self.exit = None;
        let (new, old) = (&mut self.new.functions, &self.old.functions);
        self.moved |= set(new, old, index, asm.len());
        if function.called {
            self.prologue(asm, function);
        } else {
            self.entry = asm.len();
            self.zero_registers(asm);
        }
        for pc in function.start..function.end {
            work.spend(EMIT)?;
            self.pc = pc;
            self.moved |= set(&mut self.new.slots, &self.old.slots, pc, asm.len());
            let Some(insn) = self.insns.get(pc).copied() else {
                self.refuse();
                continue;
            };
            if self.facts().reachable {
                self.insn(asm, &insn);
            }
        }
        Ok(())
    }

    fn saved(function: Function) -> impl DoubleEndedIterator<Item = Reg> {
        KEPT.into_iter().filter(move |&reg| function.written & bit(reg) != 0)
    }

    fn prologue(&self, asm: &mut Asm<'_>, function: Function) {
        for reg in Self::saved(function) {
            asm.push(native(reg));
        }
        if function.uses_frame {
            asm.alu_ri(W::Q, Alu::Sub, Gpr::Rbp, FRAME);
        }
    }

    fn insn_exit(&mut self, asm: &mut Asm<'_>) {
        let function = self.analysis.functions.get(self.function).copied();
        let Some(function) = function.filter(|f| f.called) else {
            asm.ret();
            self.returns += 1;
            self.last_return = asm.len();
            return;
        };
        if let Some(exit) = self.exit {
            return self.jump_back(asm, exit);
        }
        self.exit = Some(asm.len());
        if function.uses_frame {
            asm.alu_ri(W::Q, Alu::Add, Gpr::Rbp, FRAME);
        }
        for reg in Self::saved(function).rev() {
            asm.pop(native(reg));
        }
        asm.ret();
    }

    /// To a position of this pass.
    fn jump_back(&self, asm: &mut Asm<'_>, target: usize) {
        if self.long_jumps {
            asm.jmp_long(target);
        } else {
            asm.jmp(target);
        }
    }

    fn jump(&mut self, asm: &mut Asm<'_>, target: usize) {
        let position = self.slot(target);
        self.jump_back(asm, position);
    }

    fn branch_to(&self, asm: &mut Asm<'_>, cc: Cc, position: usize) {
        if self.long_jumps {
            asm.jcc_long(cc, position);
        } else {
            asm.jcc(cc, position);
        }
    }

    /// A call that can stop the run: its end is known by the PC.
    fn stopping_call(&mut self, asm: &mut Asm<'_>, routine: Routine) {
        asm.call_mem(routine.address, routine.writes);
        self.stop_count += 1;
        if let Some(sites) = &mut self.sites {
            sites.push((asm.len() as u32, self.pc as u32));
        }
    }

    fn insn(&mut self, asm: &mut Asm<'_>, insn: &Insn) {
        match self.facts().fused {
            Fused::No => {}
            Fused::Second => return,
            Fused::Indexed => return self.indexed(asm, insn),
            Fused::Rotate(w, count) => return self.rotate(asm, insn, width(w), count),
            fused => return self.pair(asm, insn, fused),
        }
        match *insn {
            Insn::Alu { op, width: w, dst, src } => self.alu(asm, op, width(w), dst, src),
            Insn::MovSx { width: w, from, dst, src } => {
                asm.movsx_rr(width(w), operand_size(from), native(dst), native(src));
            }
            Insn::Neg { width: w, dst } => asm.unary(width(w), super::asm::Unary::Neg, native(dst)),
            Insn::Endian { kind, size, dst } => endian(asm, kind, size, native(dst)),
            Insn::LoadImm64 { dst, kind: ImmKind::Value, imm } => asm.mov_ri(native(dst), imm),
            Insn::LoadImm64 { dst, kind, imm } => match self.maps.and_then(|maps| maps.loaded(kind, imm)) {
                Some(value) => asm.mov_ri(native(dst), value),
                None => self.impossible = Some(JitError::OtherMaps),
            },
            Insn::Load { size, signed, dst, base, off } => {
                self.guard(asm, base, off, size);
                let mem = at(native(base), off.into());
                if signed && !planted::active(Bug::ZeroFill) {
                    asm.load_sx(operand_size(size), native(dst), mem);
                } else {
                    asm.load(operand_size(size), native(dst), mem);
                }
                self.behind_probe(asm);
            }
            Insn::Store { size, base, off, src } => {
                self.guard(asm, base, off, size);
                let mem = at(native(base), off.into());
                match src {
                    Operand::Reg(src) => asm.store(operand_size(size), mem, native(src)),
                    Operand::Imm(imm) => asm.store_imm(operand_size(size), mem, imm),
                }
            }
            Insn::Atomic { op, size, base, off, src } => {
                self.guard(asm, base, off, size);
                self.check_aligned(asm, base, off, size);
                self.atomic(asm, op, size, at(native(base), off.into()), src);
            }
            Insn::Jump { .. } => self.insn_jump(asm, insn),
            Insn::Branch { op, width: w, dst, src, .. } => self.branch(asm, insn, op, width(w), dst, src),
            Insn::Call(call) => self.call(asm, call),
            Insn::Exit => self.insn_exit(asm),
            Insn::WideTail | Insn::LegacyPacket { .. } => self.refuse(),
        }
    }

    fn pair(&mut self, asm: &mut Asm<'_>, first: &Insn, fused: Fused) {
        let second = self.insns.get(self.pc + 1);
        let (Insn::Alu { dst, src, .. }, Some(Insn::Alu { src: second, .. })) = (*first, second) else {
            return;
        };
        let to = native(dst);
        match (fused, src, *second) {
            (Fused::MoveAdd, Operand::Reg(from), Operand::Imm(imm)) => asm.lea(W::Q, to, at(native(from), imm)),
            (Fused::MoveSum, Operand::Reg(from), Operand::Reg(other)) => {
                let (base, index) = base_and_index(from, other);
                asm.lea_sum(to, base, index);
            }
            (Fused::LowZero, ..) => asm.mov_rr(W::D, to, to),
            (Fused::LowSign, ..) => asm.movsx_rr(W::Q, M::D, to, to),
            _ => self.refuse(),
        }
    }

    /// An access through a sum, of which this is the first instruction.
    fn indexed(&mut self, asm: &mut Asm<'_>, first: &Insn) {
        let rest = (self.insns.get(self.pc + 1), self.insns.get(self.pc + 2));
        let (Insn::Alu { src: Operand::Reg(a), .. }, (Some(&Insn::Alu { src: Operand::Reg(b), .. }), Some(access))) =
            (*first, rest)
        else {
            return self.refuse();
        };
        let (base, index) = base_and_index(a, b);
        let place = |off: i16| Indexed { base, index, disp: off.into() };
        match *access {
            Insn::Load { size, dst, off, .. } => {
                asm.load_indexed(operand_size(size), native(dst), place(off));
            }
            Insn::Store { size, off, src: Operand::Reg(src), .. } => {
                asm.store_indexed(operand_size(size), place(off), native(src))
            }
            _ => self.refuse(),
        }
    }

    /// A rotation made of four instructions, of which this is the first.
    fn rotate(&mut self, asm: &mut Asm<'_>, first: &Insn, w: W, count: u8) {
        let Insn::Alu { dst: other, src: Operand::Reg(x), .. } = *first else {
            return self.refuse();
        };
        let after = self.analysis.facts.get(self.pc + 3);
        if after.is_none_or(|fact| fact.live & bit(other) != 0) {
            // What the second instruction leaves there.
            let Some(&Insn::Alu { op, src: Operand::Imm(imm), .. }) = self.insns.get(self.pc + 1) else {
                return self.refuse();
            };
            asm.mov_rr(W::Q, native(other), native(x));
            self.alu(asm, op, w, other, Operand::Imm(imm));
        }
        asm.rotate_left(w, native(x), count);
    }

    fn alu(&mut self, asm: &mut Asm<'_>, op: AluOp, w: W, dst: Reg, src: Operand) {
        let d = native(dst);
        let same = src == Operand::Reg(dst);
        match op {
            AluOp::Add => add(asm, w, d, src),
            AluOp::Sub => subtract(asm, w, d, src),
            AluOp::Mul => multiply(asm, w, d, src),
            AluOp::Div => self.division(asm, QUOTIENT, w, dst, src),
            AluOp::Mod => self.division(asm, REMAINDER, w, dst, src),
            AluOp::Sdiv => self.division(asm, Division { signed: true, ..QUOTIENT }, w, dst, src),
            AluOp::Smod => self.division(asm, Division { signed: true, ..REMAINDER }, w, dst, src),
            AluOp::Or => plain(asm, Alu::Or, w, d, src),
            AluOp::And => and(asm, w, d, src),
            AluOp::Xor => plain(asm, Alu::Xor, if same { W::D } else { w }, d, src),
            AluOp::Mov => move_to(asm, w, d, src),
            AluOp::Lsh => self.shift(asm, Shift::Shl, w, d, src),
            AluOp::Rsh => self.shift(asm, Shift::Shr, w, d, src),
            AluOp::Arsh => self.shift(asm, Shift::Sar, w, d, src),
        }
    }

    fn shift(&mut self, asm: &mut Asm<'_>, op: Shift, w: W, d: Gpr, src: Operand) {
        let s = match src {
            Operand::Imm(imm) => return shift_imm(asm, op, w, d, imm),
            Operand::Reg(src) => native(src),
        };
        if s == Gpr::Rcx {
            return asm.shift_cl(w, op, d);
        }
        if self.style.extended {
            return asm.shiftx(w, op, d, d, s);
        }
        if d == Gpr::Rcx {
            asm.mov_rr(W::Q, TMP, d);
            asm.mov_rr(W::D, Gpr::Rcx, s);
            asm.shift_cl(w, op, TMP);
            return asm.mov_rr(W::Q, d, TMP);
        }
        let keep = self.live(Reg::R4);
        if keep {
            asm.mov_rr(W::Q, TMP, Gpr::Rcx);
        }
        asm.mov_rr(W::D, Gpr::Rcx, s);
        asm.shift_cl(w, op, d);
        if keep {
            asm.mov_rr(W::Q, Gpr::Rcx, TMP);
        }
    }

    fn insn_jump(&mut self, asm: &mut Asm<'_>, insn: &Insn) {
        let Some(target) = jump_target(self.pc, insn) else {
            return self.refuse();
        };
        if target == self.pc + 1 {
            return;
        }
        if target <= self.pc && self.style.metered {
            return self.metered_back(asm, target);
        }
        self.jump(asm, target);
    }

    /// A jump back that is charged. The budget goes below zero when it cannot pay; Rust, which knows the charge, puts it back.
    fn metered_back(&mut self, asm: &mut Asm<'_>, target: usize) {
        let less = u64::from(planted::active(Bug::CheapLoop));
        self.charge(asm, self.program.jump_charge(self.pc, target) - less);
        let position = self.slot(target);
        self.branch_to(asm, Cc::Ae, position);
        self.stopping_call(asm, field::STOP_BUDGET);
        // A run in slices comes back with the next one.
        self.jump(asm, target);
    }

    fn charge(&self, asm: &mut Asm<'_>, cost: u64) {
        asm.alu_ri(W::Q, Alu::Sub, BUDGET, cost as i32);
    }

    fn branch(&mut self, asm: &mut Asm<'_>, insn: &Insn, op: CmpOp, w: W, dst: Reg, src: Operand) {
        let Some(target) = jump_target(self.pc, insn) else {
            return self.refuse();
        };
        if target == self.pc + 1 {
            return;
        }
        let d = native(dst);
        match (op, src) {
            (CmpOp::Set, Operand::Reg(src)) => asm.test_rr(w, d, native(src)),
            (CmpOp::Set, Operand::Imm(imm)) => asm.test_ri(w, d, imm),
            (_, Operand::Reg(src)) => asm.alu_rr(w, Alu::Cmp, d, native(src)),
            (_, Operand::Imm(0)) => asm.test_rr(w, d, d),
            (_, Operand::Imm(imm)) => asm.alu_ri(w, Alu::Cmp, d, imm),
        }
        let cc = condition(op);
        if target <= self.pc && self.style.metered {
            let over = asm.skip_if(cc.inverse());
            self.metered_back(asm, target);
            return asm.land(over);
        }
        let position = self.slot(target);
        self.branch_to(asm, cc, position);
    }

    fn call(&mut self, asm: &mut Asm<'_>, call: Call) {
        match call {
            Call::Helper(number) => {
                let inline = Inline::of(self.program.program().abi, number);
                if inline == Some(Inline::Lane) && !self.style.metered {
                    return asm.load(M::D, native(Reg::R0), field::LANE);
                }
                if inline.is_some_and(|inline| self.in_map(asm, inline, number)) {
                    return;
                }
                asm.push_imm(number as i32);
                match inline {
                    Some(Inline::MapGet) => self.stopping_call(asm, field::MAP_GET),
                    Some(Inline::MapPut) => self.stopping_call(asm, field::MAP_PUT),
                    Some(Inline::MapAdd) => self.stopping_call(asm, field::MAP_ADD),
                    Some(Inline::Notify) => self.stopping_call(asm, field::NOTIFY),
                    Some(Inline::Time) => self.stopping_call(asm, field::TIME),
                    Some(Inline::FuncIp) => self.stopping_call(asm, field::FUNC_IP),
                    Some(Inline::Cookie) => self.stopping_call(asm, field::COOKIE),
                    Some(Inline::Lookup | Inline::Update | Inline::Delete | Inline::Lane)
                    | Some(Inline::Reserve | Inline::Submit | Inline::Discard)
                    | None => {
                        self.missed(asm, number);
                        self.helper(asm);
                    }
                }
            }
            Call::Register(reg) => {
                asm.push(native(reg));
                self.helper(asm);
            }
            Call::Local(off) => self.call_local(asm, relative(self.pc, i64::from(off))),
            // The verifier has shown that nothing gets here; no helper has this number, so a run that did would stop.
            Call::Btf(_) => {
                asm.push_imm(-1);
                self.helper(asm);
            }
        }
    }

    /// Does to a map what a helper would, where it is known which map that is, the map says how, and nothing is left to be checked or charged.
    fn in_map(&mut self, asm: &mut Asm<'_>, inline: Inline, number: u32) -> bool {
        let checked = !self.proofs_count() || self.program.access(self.pc) == Access::Guarded;
        if checked || self.style.metered {
            return false;
        }
        let (layout, wide, routine) = match (inline, map_form(self.program, self.maps, self.pc)) {
            (Inline::Lookup, LookupForm::Indexed(values)) => {
                lookup_indexed(asm, values);
                return true;
            }
            (Inline::Lookup, LookupForm::Hashed(hash)) => (hash.layout, Some(hash.wide), field::HASH_GET),
            (Inline::Update, LookupForm::Hashed(hash)) if hash.changes => {
                (hash.layout, Some(hash.wide), field::HASH_PUT)
            }
            (Inline::Delete, LookupForm::Hashed(hash)) if hash.removes => {
                (hash.layout, Some(hash.wide), field::HASH_DELETE)
            }
            (Inline::Reserve, LookupForm::Records(layout)) => (layout, None, field::RING_RESERVE),
            (Inline::Submit, _) => (0, None, field::RING_SUBMIT),
            (Inline::Discard, _) => (0, None, field::RING_DISCARD),
            _ => return false,
        };
        asm.push_imm(number as i32);
        if let Some(wide) = wide {
            let wide = wide || planted::active(Bug::WideKey);
            asm.load(if wide { M::Q } else { M::D }, TMP2, at(native(Reg::R2), 0));
        }
        if layout != 0 {
            asm.mov_ri(TMP, layout);
        }
        self.stopping_call(asm, routine);
        true
    }

    /// Where a program may run directly: r0 is what it gets of a helper for which there is no room.
    fn missed(&self, asm: &mut Asm<'_>, number: u32) {
        let elsewhere = self.style.metered || self.program.uses().intersects(NEVER_DIRECT);
        let missed = missed(self.program.program().abi, number).filter(|_| !elsewhere);
        if let Some(missed) = missed {
            asm.mov_ri(native(Reg::R0), missed as u64);
        }
    }

    fn helper(&mut self, asm: &mut Asm<'_>) {
        let args = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
        let keep = args.into_iter().any(|reg| self.live(reg));
        let routine = if keep { field::HELPER_KEEP } else { field::HELPER };
        self.stopping_call(asm, routine);
    }

    fn call_local(&mut self, asm: &mut Asm<'_>, target: usize) {
        let index = function_of(&self.analysis.functions, target);
        let Some(callee) = self.analysis.functions.get(index).copied() else {
            return self.refuse();
        };
        if callee.depth > MAX_FRAMES {
            asm.alu_rm(W::Q, Alu::Cmp, Gpr::Rbp, field::FLOOR);
            let over = asm.skip_if(Cc::A);
            self.stopping_call(asm, field::STOP_DEPTH);
            asm.land(over);
        }
        if self.style.metered {
            self.charge(asm, self.program.function_charge(callee.start));
            let over = asm.skip_if(Cc::Ae);
            self.stopping_call(asm, field::STOP_BUDGET);
            asm.land(over);
        }
        let function = self.old.functions.get(index).copied();
        asm.call(self.known(function));
    }

    /// Whether what the verifier proved is made use of.
    fn proofs_count(&self) -> bool {
        !self.style.guard_all
    }

    fn bare(&self, pc: usize) -> bool {
        self.proofs_count() && self.program.access(pc) == Access::Proved
    }

    /// Compares the address with the likeliest region; all others are searched apart.
    fn guard(&mut self, asm: &mut Asm<'_>, base: Reg, off: i16, size: Size) {
        if self.bare(self.pc) {
            return;
        }
        match self.facts().check {
            Check::Covered if !self.one_by_one => return,
            Check::Span { from, bytes } if !self.one_by_one => {
                let (from, bytes) = (i32::from(from), i32::from(bytes));
                return self.guard_span(asm, base, from, from + bytes);
            }
            _ => {}
        }
        let off = i32::from(off);
        self.compare(asm, base, off, size.bytes() as i32);
        let apart = self.old.cold.get(self.cold.len()).copied();
        let apart = self.known(apart);
        self.branch_to(asm, Cc::Ae, apart);
        let cold = Cold { pc: self.pc as u32, back: asm.len() as u32 };
        if self.cold.len() == self.cold.capacity() {
            return self.refuse();
        }
        self.cold.push(cold);
    }

    /// Checks several accesses at once: that the first and the last bytes of their span are in one region.
    fn guard_span(&mut self, asm: &mut Asm<'_>, base: Reg, from: i32, to: i32) {
        let one_by_one = self.old.again.get(self.pc).copied();
        let one_by_one = self.known(one_by_one);
        let bytes = to.wrapping_sub(from);
        if self.facts().place == Place::Frame || matches!(bytes, 1 | 2 | 4 | 8) {
            self.compare(asm, base, from, bytes);
            return self.branch_to(asm, Cc::Ae, one_by_one);
        }
        let part = if bytes > 8 {
            8
        } else if bytes > 4 {
            4
        } else {
            2
        };
        for start in [from, to.wrapping_sub(part)] {
            self.compare(asm, base, start, part);
            self.branch_to(asm, Cc::Ae, one_by_one);
        }
    }

    /// Compares `bytes` bytes at a register's value plus `off` with the likeliest region: `below` when they are inside. Of a window,
    /// the number is 1, 2, 4 or 8.
    fn compare(&self, asm: &mut Asm<'_>, base: Reg, off: i32, bytes: i32) {
        let base = native(base);
        let bytes = if planted::active(Bug::GuardSize) { 1 } else { bytes };
        match field::window(self.facts().place, bytes) {
            Some((lo, limit)) => {
                if off == 0 {
                    asm.mov_rr(W::Q, TMP, base);
                } else {
                    asm.lea(W::Q, TMP, at(base, off));
                }
                asm.alu_rm(W::Q, Alu::Sub, TMP, lo);
                asm.alu_rm(W::Q, Alu::Cmp, TMP, limit);
            }
            None => {
                asm.lea(W::Q, TMP, at(base, off + FRAME));
                asm.alu_rr(W::Q, Alu::Sub, TMP, Gpr::Rbp);
                asm.alu_ri(W::Q, Alu::Cmp, TMP, FRAME + 1 - bytes);
            }
        }
    }

    /// What stands apart of a probing load does all of it, and goes on behind it.
    fn behind_probe(&mut self, asm: &Asm<'_>) {
        if self.program.is_probing(self.pc) {
            if let Some(cold) = self.cold.last_mut() {
                cold.back = asm.len() as u32;
            }
        }
    }

    /// A load of memory that is not in the likeliest region, and may be the application's.
    fn probe(&mut self, asm: &mut Asm<'_>, size: Size, signed: bool, dst: Reg) {
        let (dst, result) = (native(dst), native(Reg::R0));
        asm.store(M::Q, field::STOP_ADDR, TMP);
        asm.store_imm(M::D, field::STOP, stop::PROBE as i32);
        asm.push(result);
        asm.push_imm(PROBE | log2(size) as i32);
        self.stopping_call(asm, field::HELPER_KEEP);
        asm.mov_rr(W::Q, TMP, result);
        asm.pop(result);
        match size {
            _ if planted::active(Bug::ProbeLost) => {}
            Size::B | Size::H | Size::W if signed => asm.movsx_rr(W::Q, operand_size(size), dst, TMP),
            _ => asm.mov_rr(W::Q, dst, TMP),
        }
    }

    fn emit_cold(&mut self, asm: &mut Asm<'_>, cold: Cold) {
        self.pc = cold.pc as usize;
        let (base, off, size, store) = match self.insns.get(self.pc) {
            Some(&Insn::Load { base, off, size, .. }) => (base, off, size, false),
            Some(&Insn::Store { base, off, size, .. }) => (base, off, size, true),
            Some(&Insn::Atomic { op, base, off, size, .. }) => (base, off, size, op != AtomicOp::LoadAcquire),
            _ => return self.refuse(),
        };
        asm.lea(W::Q, TMP, at(native(base), off.into()));
        match self.insns.get(self.pc) {
            Some(&Insn::Load { size, signed, dst, .. }) if self.program.is_probing(self.pc) => {
                self.probe(asm, size, signed, dst);
            }
            _ => self.stopping_call(asm, field::search(size, store)),
        }
        self.jump_back(asm, cold.back as usize);
    }

    fn check_aligned(&mut self, asm: &mut Asm<'_>, base: Reg, off: i16, size: Size) {
        if self.bare(self.pc) || size == Size::B {
            return;
        }
        asm.lea(W::Q, TMP, at(native(base), off.into()));
        asm.test_ri(W::D, TMP, size.bytes() as i32 - 1);
        let over = asm.skip_if(Cc::E);
        self.stopping_call(asm, field::STOP_UNALIGNED);
        asm.land(over);
    }

    fn atomic(&mut self, asm: &mut Asm<'_>, op: AtomicOp, size: Size, mem: Mem, src: Reg) {
        let w = if size == Size::W { W::D } else { W::Q };
        let s = native(src);
        match op {
            AtomicOp::FetchAdd => asm.lock_xadd(w, mem, s),
            AtomicOp::Add => asm.lock_alu(w, Alu::Add, mem, s),
            AtomicOp::Or => asm.lock_alu(w, Alu::Or, mem, s),
            AtomicOp::And => asm.lock_alu(w, Alu::And, mem, s),
            AtomicOp::Xor => asm.lock_alu(w, Alu::Xor, mem, s),
            AtomicOp::FetchOr => fetch_loop(asm, w, Alu::Or, mem, s),
            AtomicOp::FetchAnd => fetch_loop(asm, w, Alu::And, mem, s),
            AtomicOp::FetchXor => fetch_loop(asm, w, Alu::Xor, mem, s),
            AtomicOp::Xchg => asm.xchg(w, mem, s),
            // The CPU's own order: loads acquire, stores release.
            AtomicOp::LoadAcquire => asm.load(operand_size(size), s, mem),
            AtomicOp::StoreRelease => asm.store(operand_size(size), mem, s),
            AtomicOp::CmpXchg => {
                asm.lock_cmpxchg(w, mem, s);
                if w == W::D {
                    // r0 keeps its upper half when the exchange took place.
                    asm.mov_rr(W::D, Gpr::Rax, Gpr::Rax);
                }
            }
        }
    }

    fn division(&mut self, asm: &mut Asm<'_>, by: Division, w: W, dst: Reg, src: Operand) {
        match src {
            Operand::Reg(_) => self.divide(asm, by, w, dst, src),
            Operand::Imm(imm) => self.divide_imm(asm, by, w, dst, imm),
        }
    }

    fn divide_imm(&mut self, asm: &mut Asm<'_>, by: Division, w: W, dst: Reg, imm: i32) {
        let d = native(dst);
        let divisor = if w == W::Q { i64::from(imm) as u64 } else { u64::from(imm as u32) };
        let Division { signed, remainder } = by;
        match (imm, remainder) {
            // By zero the quotient is zero and the remainder the dividend; by one it is the other way round.
            (0, true) | (1, false) => zero_extend(asm, w, d),
            (0, false) | (1, true) => asm.mov_ri(d, 0),
            (-1, false) if signed => asm.unary(w, super::asm::Unary::Neg, d),
            (-1, true) if signed => asm.mov_ri(d, 0),
            _ if !signed && divisor.is_power_of_two() && !remainder => {
                asm.shift_ri(w, Shift::Shr, d, divisor.trailing_zeros() as u8);
            }
            // A 32-bit immediate has no power of two above 2^30 but in its sign bit.
            _ if !signed && divisor.is_power_of_two() && imm > 0 => asm.alu_ri(W::D, Alu::And, d, imm - 1),
            _ => match Reciprocal::of(imm, if w == W::Q { 64 } else { 32 }).filter(|_| !signed) {
                Some(reciprocal) if w == W::D => multiply_32(asm, reciprocal, d, imm, remainder),
                Some(reciprocal) => self.multiply_64(asm, reciprocal, d, imm, remainder),
                None => self.divide(asm, by, w, dst, Operand::Imm(imm)),
            },
        }
    }

    /// Division of 64 bits by a constant: the upper half of a product, in rdx.
    fn multiply_64(&mut self, asm: &mut Asm<'_>, by: Reciprocal, d: Gpr, imm: i32, remainder: bool) {
        let (rax, rdx) = (Gpr::Rax, Gpr::Rdx);
        let keep_rax = d != rax && self.live(Reg::R0);
        let keep_rdx = d != rdx && self.live(Reg::R3);
        if keep_rax {
            asm.mov_rr(W::Q, TMP2, rax);
        }
        if keep_rdx {
            asm.push(rdx);
        }
        asm.mov_rr(W::Q, TMP, d);
        asm.mov_ri(rax, by.factor);
        asm.unary(W::Q, super::asm::Unary::Mul, TMP);
        if by.long {
            asm.mov_rr(W::Q, rax, TMP);
            add_dividend(asm, by, rdx, rax);
        } else if by.shift > 0 {
            asm.shift_ri(W::Q, Shift::Shr, rdx, by.shift);
        }
        if remainder {
            asm.imul_rri(W::Q, rdx, rdx, imm);
            asm.alu_rr(W::Q, Alu::Sub, TMP, rdx);
        } else {
            asm.mov_rr(W::Q, TMP, rdx);
        }
        if keep_rdx {
            asm.pop(rdx);
        }
        if keep_rax {
            asm.mov_rr(W::Q, rax, TMP2);
        }
        asm.mov_rr(W::Q, d, TMP);
    }

    /// `div` and `idiv` take rdx:rax and give the quotient in rax, the remainder in rdx.
    fn divide(&mut self, asm: &mut Asm<'_>, by: Division, w: W, dst: Reg, src: Operand) {
        let d = native(dst);
        let Division { signed, remainder } = by;
        let s = match src {
            Operand::Imm(imm) => {
                asm.mov_ri(TMP, i64::from(imm) as u64);
                TMP
            }
            Operand::Reg(reg) if matches!(native(reg), Gpr::Rax | Gpr::Rdx) => {
                asm.mov_rr(W::Q, TMP, native(reg));
                TMP
            }
            Operand::Reg(reg) => native(reg),
        };
        let known = self.proofs_count();
        let maybe_zero = matches!(src, Operand::Reg(_)) && !(known && self.program.divisor_is_not_zero(self.pc));
        let maybe_minus_one =
            matches!(src, Operand::Reg(_)) && !(known && self.program.divisor_is_not_minus_one(self.pc));
        let by_zero = maybe_zero.then(|| {
            asm.test_rr(w, s, s);
            asm.skip_if(Cc::E)
        });
        let keep_rax = d != Gpr::Rax && self.live(Reg::R0);
        let keep_rdx = d != Gpr::Rdx && self.live(Reg::R3);
        if keep_rax {
            asm.mov_rr(W::Q, TMP2, Gpr::Rax);
        }
        if keep_rdx {
            asm.push(Gpr::Rdx);
        }
        if d != Gpr::Rax {
            asm.mov_rr(w, Gpr::Rax, d);
        }
        if signed {
            signed_division(asm, w, s, maybe_minus_one, remainder);
        } else {
            asm.alu_rr(W::D, Alu::Xor, Gpr::Rdx, Gpr::Rdx);
            asm.unary(w, super::asm::Unary::Div, s);
        }
        let result = if remainder { Gpr::Rdx } else { Gpr::Rax };
        if d != result {
            asm.mov_rr(w, d, result);
        }
        if keep_rdx {
            asm.pop(Gpr::Rdx);
        }
        if keep_rax {
            asm.mov_rr(W::Q, Gpr::Rax, TMP2);
        }
        let Some(by_zero) = by_zero else { return };
        if remainder && w == W::Q {
            return asm.land(by_zero);
        }
        let end = asm.skip();
        asm.land(by_zero);
        if remainder {
            zero_extend(asm, w, d);
        } else {
            asm.mov_ri(d, 0);
        }
        asm.land(end);
    }
}

/// Programs that use these do not run directly.
const NEVER_DIRECT: Uses = Uses::CALLX.union(Uses::LOCAL_CALLS).union(Uses::GUARDED);

/// How the map is reached that a helper is given, if that is always the same.
pub(in crate::jit) fn map_form(program: &VerifiedProgram, maps: Option<&Maps>, pc: usize) -> LookupForm {
    let map = || maps?.get(program.map_at(pc)?);
    map().map_or(LookupForm::Helper, |map| map.lookup_form())
}

/// r0 = the address of the value with the number that r2 points to, or 0.
fn lookup_indexed(asm: &mut Asm<'_>, Strided { base, entries, stride, apart }: Strided) {
    let (value, key) = (native(Reg::R0), native(Reg::R2));
    asm.load(M::D, value, at(key, 0));
    asm.alu_ri(W::D, Alu::Cmp, value, entries as i32);
    let missing = asm.skip_if(Cc::Ae);
    multiply(asm, W::Q, value, Operand::Imm(stride as i32));
    asm.mov_ri(TMP, base);
    asm.alu_rr(W::Q, Alu::Add, value, TMP);
    if apart != 0 {
        asm.load(M::D, TMP, field::LANE);
        multiply(asm, W::Q, TMP, Operand::Imm(apart as i32));
        asm.alu_rr(W::Q, Alu::Add, value, TMP);
    }
    let end = asm.skip();
    asm.land(missing);
    asm.mov_ri(value, 0);
    asm.land(end);
}

/// What is wanted of a division.
#[derive(Clone, Copy)]
struct Division {
    signed: bool,
    /// The remainder, not the quotient.
    remainder: bool,
}
const QUOTIENT: Division = Division { signed: false, remainder: false };
const REMAINDER: Division = Division { signed: false, remainder: true };

/// Division of 32 bits by a constant.
fn multiply_32(asm: &mut Asm<'_>, by: Reciprocal, d: Gpr, imm: i32, remainder: bool) {
    asm.mov_rr(W::D, TMP, d);
    asm.mov_ri(TMP2, by.factor);
    asm.imul_rr(W::Q, TMP2, TMP);
    if by.long {
        asm.shift_ri(W::Q, Shift::Shr, TMP2, 32);
        add_dividend(asm, by, TMP2, TMP);
    } else {
        asm.shift_ri(W::Q, Shift::Shr, TMP2, by.shift + 32);
    }
    if remainder {
        asm.imul_rri(W::D, TMP2, TMP2, imm);
        asm.alu_rr(W::D, Alu::Sub, d, TMP2);
    } else {
        asm.mov_rr(W::D, d, TMP2);
    }
}

/// The factor's highest bit, which the product is without: adds the dividend, `n`, to the upper half and shifts; the sum may not fit,
/// so half of the difference is added. Changes `n`. Such a factor's shift is at least 1.
fn add_dividend(asm: &mut Asm<'_>, by: Reciprocal, product: Gpr, n: Gpr) {
    asm.alu_rr(W::Q, Alu::Sub, n, product);
    asm.shift_ri(W::Q, Shift::Shr, n, 1);
    asm.alu_rr(W::Q, Alu::Add, product, n);
    if by.shift > 1 {
        asm.shift_ri(W::Q, Shift::Shr, product, by.shift - 1);
    }
}

/// The smallest number divided by -1 traps: any number divided by -1 is its negative, without remainder.
fn signed_division(asm: &mut Asm<'_>, w: W, s: Gpr, maybe_minus_one: bool, remainder: bool) {
    let minus_one = maybe_minus_one.then(|| {
        asm.alu_ri(w, Alu::Cmp, s, -1);
        asm.skip_if(Cc::E)
    });
    asm.sign_to_rdx(w);
    asm.unary(w, super::asm::Unary::Idiv, s);
    let Some(minus_one) = minus_one else { return };
    let end = asm.skip();
    asm.land(minus_one);
    if remainder {
        asm.alu_rr(W::D, Alu::Xor, Gpr::Rdx, Gpr::Rdx);
    } else {
        asm.unary(w, super::asm::Unary::Neg, Gpr::Rax);
    }
    asm.land(end);
}

fn zero_extend(asm: &mut Asm<'_>, w: W, reg: Gpr) {
    if w == W::D {
        asm.mov_rr(W::D, reg, reg);
    }
}

/// An operation of which the register form and the immediate form are alike.
fn plain(asm: &mut Asm<'_>, op: Alu, w: W, d: Gpr, src: Operand) {
    match src {
        Operand::Reg(src) => asm.alu_rr(w, op, d, native(src)),
        Operand::Imm(imm) => asm.alu_ri(w, op, d, imm),
    }
}

fn move_to(asm: &mut Asm<'_>, w: W, d: Gpr, src: Operand) {
    match src {
        Operand::Imm(imm) if w == W::Q => asm.mov_ri(d, i64::from(imm) as u64),
        Operand::Imm(imm) => asm.mov_ri(d, u64::from(imm as u32)),
        Operand::Reg(src) if w == W::Q && d == native(src) => {}
        Operand::Reg(src) if planted::active(Bug::WideMove) => asm.mov_rr(W::Q, d, native(src)),
        Operand::Reg(src) => asm.mov_rr(w, d, native(src)),
    }
}

fn and(asm: &mut Asm<'_>, w: W, d: Gpr, src: Operand) {
    match src {
        Operand::Imm(0xff) => asm.movzx_rr(M::B, d, d),
        Operand::Imm(0xffff) => asm.movzx_rr(M::H, d, d),
        Operand::Imm(0..) => plain(asm, Alu::And, W::D, d, src),
        Operand::Imm(_) | Operand::Reg(_) => plain(asm, Alu::And, w, d, src),
    }
}

fn add(asm: &mut Asm<'_>, w: W, d: Gpr, src: Operand) {
    match src {
        Operand::Reg(src) => asm.alu_rr(w, Alu::Add, d, native(src)),
        Operand::Imm(imm) => add_imm(asm, w, d, imm),
    }
}

fn subtract(asm: &mut Asm<'_>, w: W, d: Gpr, src: Operand) {
    match src {
        Operand::Reg(_) | Operand::Imm(i32::MIN) => plain(asm, Alu::Sub, w, d, src),
        Operand::Imm(imm) => add_imm(asm, w, d, imm.wrapping_neg()),
    }
}

fn add_imm(asm: &mut Asm<'_>, w: W, d: Gpr, imm: i32) {
    match imm {
        0 => zero_extend(asm, w, d),
        1 => asm.step(w, true, d),
        -1 => asm.step(w, false, d),
        // One byte, where +128 needs four.
        128 => asm.alu_ri(w, Alu::Sub, d, -128),
        imm => asm.alu_ri(w, Alu::Add, d, imm),
    }
}

fn multiply(asm: &mut Asm<'_>, w: W, d: Gpr, src: Operand) {
    let imm = match src {
        Operand::Reg(src) => return asm.imul_rr(w, d, native(src)),
        Operand::Imm(imm) => imm,
    };
    match imm {
        0 => asm.mov_ri(d, 0),
        1 => zero_extend(asm, w, d),
        imm if imm > 0 && imm & (imm - 1) == 0 => asm.shift_ri(w, Shift::Shl, d, imm.trailing_zeros() as u8),
        // d + d * 2, 4 or 8
        3 | 5 | 9 => asm.lea_scaled(w, d, d, d, (imm - 1).trailing_zeros() as u8),
        imm => asm.imul_rri(w, d, d, imm),
    }
}

fn shift_imm(asm: &mut Asm<'_>, op: Shift, w: W, d: Gpr, imm: i32) {
    let count = imm as u8 & if w == W::Q { 63 } else { 31 };
    if count == 0 {
        zero_extend(asm, w, d);
    } else {
        asm.shift_ri(w, op, d, count);
    }
}

fn endian(asm: &mut Asm<'_>, kind: Endianness, size: Size, d: Gpr) {
    let swap = kind != Endianness::ToLe;
    match (size, swap) {
        (Size::B, _) => asm.movzx_rr(M::B, d, d),
        (Size::H, swap) => {
            if swap {
                asm.swap_bytes_16(d);
            }
            asm.movzx_rr(M::H, d, d);
        }
        (Size::W, false) => asm.mov_rr(W::D, d, d),
        (Size::W, true) => asm.bswap(W::D, d),
        (Size::DW, false) => {}
        (Size::DW, true) => asm.bswap(W::Q, d),
    }
}

fn condition(op: CmpOp) -> Cc {
    match op {
        CmpOp::Eq => Cc::E,
        CmpOp::Ne | CmpOp::Set => Cc::Ne,
        CmpOp::Gt => Cc::A,
        CmpOp::Ge => Cc::Ae,
        CmpOp::Lt => Cc::B,
        CmpOp::Le => Cc::Be,
        CmpOp::Sgt => Cc::G,
        CmpOp::Sge => Cc::Ge,
        CmpOp::Slt => Cc::L,
        CmpOp::Sle => Cc::Le,
    }
}

/// Or, and, xor that give the old value: there is no such instruction but compare-and-exchange, which takes rax.
fn fetch_loop(asm: &mut Asm<'_>, w: W, op: Alu, mem: Mem, s: Gpr) {
    asm.mov_rr(W::Q, TMP2, Gpr::Rax);
    let operand = if s == Gpr::Rax { TMP2 } else { s };
    let mem = if mem.base == Gpr::Rax { at(TMP2, mem.disp) } else { mem };
    let size = if w == W::D { M::D } else { M::Q };
    asm.load(size, Gpr::Rax, mem);
    let again = asm.len();
    asm.mov_rr(W::Q, TMP, Gpr::Rax);
    asm.alu_rr(w, op, TMP, operand);
    asm.lock_cmpxchg(w, mem, TMP);
    asm.jcc(Cc::Ne, again);
    if s != Gpr::Rax {
        asm.mov_rr(w, s, Gpr::Rax);
        asm.mov_rr(W::Q, Gpr::Rax, TMP2);
    } else if w == W::D {
        asm.mov_rr(W::D, Gpr::Rax, Gpr::Rax);
    }
}
