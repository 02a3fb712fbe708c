//! What the emitter wants to know of a program before it writes: which instructions run at all, which are jumped to, which
//! registers are read later, which pairs become one instruction, how deep calls nest. Linear in the size of the program, times
//! the nesting of its loops.

use super::JitError;
use crate::{
    isa::{AluOp, Call, Insn, Operand, Reg, Width},
    verifier::{pieces, Cap, Target, VerifiedProgram, Work},
    vm::MAX_FRAMES,
};
use alloc::vec::Vec;
use core::ops::Range;

/// A set of registers, one bit each.
pub(super) type Regs = u16;

pub(super) const fn bit(reg: Reg) -> Regs {
    1 << reg.number()
}
const R1_TO_R5: Regs = 0b11_1110;
const R0_TO_R9: Regs = 0b11_1111_1111;

/// The region an access is tried against first, inline. The rest is searched out of line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Argument,
    /// The frame of the function that runs; needs no window, r10 is its end.
    Frame,
    Arena,
}

/// How two instructions become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fused {
    /// It stands for itself.
    No,
    /// With the next: `dst = src; dst += imm`.
    MoveAdd,
    /// With the next: `dst = src; dst += other`.
    MoveSum,
    /// With the next: shift left and back right by 32: the lower half, zero-extended.
    LowZero,
    /// With the next: shift left and back right by 32, arithmetic: the lower half, sign-extended.
    LowSign,
    /// With the next two: `dst = src; dst += other` and a load or store through `dst`, which nobody reads afterwards.
    Indexed,
    /// With the next three: `other = x; other >>= N - n; x <<= n; x |= other`, or with the shifts the other way round: a rotation of x, of
    /// N bits, to the left by so many.
    Rotate(Width, u8),
    /// Part of one before.
    Second,
}

#[derive(Clone, Copy)]
pub(super) struct Facts {
    /// Registers that are read after this instruction before they are written.
    pub(super) live: Regs,
    /// Whether a path leads here.
    pub(super) reachable: bool,
    /// Whether a jump leads here.
    pub(super) target: bool,
    pub(super) fused: Fused,
    /// Where a memory access probably goes: decides what is compared first, no more.
    pub(super) place: Place,
    /// How a checked access is checked.
    pub(super) check: Check,
    /// Whether it is emitted a second time, with every access checked by itself.
    pub(super) twice: bool,
}

impl Facts {
    /// Of a slot that has not been looked at.
    pub(super) const NONE: Facts = Facts {
        live: R0_TO_R9,
        reachable: false,
        target: false,
        fused: Fused::No,
        place: Place::Argument,
        check: Check::Own,
        twice: false,
    };
}

/// How an access that is not proved is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Check {
    /// By itself.
    Own,
    /// Together with later ones through the same register: so many bytes from that register's value plus `from`. When not
    /// all of them are in the region that is likeliest, the run goes on where accesses are checked one by one.
    Span { from: i16, bytes: u8 },
    /// By an earlier one.
    Covered,
}

/// One function of the program.
#[derive(Clone, Copy)]
pub(super) struct Function {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Frames in use when it runs at its deepest; more than [`MAX_FRAMES`] where a bound is not known.
    pub(super) depth: usize,
    pub(super) called: bool,
    /// Whether the function needs its r10: it names r10, it calls, or one of its accesses is searched.
    pub(super) uses_frame: bool,
    /// Registers it writes.
    pub(super) written: Regs,
}

pub(super) struct CodeAnalysis {
    pub(super) facts: Vec<Facts>,
    pub(super) functions: Vec<Function>,
    /// Registers that must be zero at the start.
    pub(super) zeroed: Regs,
    /// Registers read before they are written, seen from the start.
    pub(super) reads: Regs,
}

/// Slot that a jump at `pc` leads to.
pub(super) fn jump_target(pc: usize, insn: &Insn) -> Option<usize> {
    let off = match *insn {
        Insn::Jump { off, .. } => i64::from(off),
        Insn::Branch { off, .. } => i64::from(off),
        _ => return None,
    };
    Some(relative(pc, off))
}

/// The slot after `pc`, plus `off`. Checked by the verifier to be a slot of the program.
pub(super) fn relative(pc: usize, off: i64) -> usize {
    (pc as i64).wrapping_add(1).wrapping_add(off) as usize
}

fn falls(insn: &Insn) -> bool {
    !matches!(insn, Insn::Jump { .. } | Insn::Exit)
}

/// Slots of an instruction.
pub(super) fn width_in_slots(insn: &Insn) -> usize {
    if matches!(insn, Insn::LoadImm64 { .. }) {
        2
    } else {
        1
    }
}

impl CodeAnalysis {
    /// Bytes of memory that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.facts.capacity() * size_of::<Facts>() + self.functions.capacity() * size_of::<Function>()
    }
}

/// Units of work: to look at an instruction once, to find a function.
const LOOK: u64 = 8;
const GLANCE: u64 = 2;
const SEARCH: u64 = 40;

/// Analyses `program`; `bare` says whether the access at a slot is emitted without a check.
pub(super) fn analyse(
    program: &VerifiedProgram,
    bare: &dyn Fn(usize) -> bool,
    work: &mut Work<'_>,
) -> Result<CodeAnalysis, JitError> {
    let insns = &program.program().insns;
    let functions = program.functions().len();
    let bytes = insns.len() * size_of::<Facts>() + functions * size_of::<Function>();
    work.hold(bytes)?;
    let mut facts = Vec::new();
    facts.try_reserve_exact(insns.len()).map_err(|_| JitError::NoMemory)?;
    for piece in pieces(0..insns.len()) {
        work.spend_each(piece.len(), LOOK)?;
        facts.resize(piece.end, Facts::NONE);
        for pc in piece {
            if let Some(fact) = facts.get_mut(pc) {
                fact.place = place(program.target(pc));
            }
        }
    }
    let mut functions = self::functions(program, work)?;
    let entry = program.program().entry;
    reach(insns, entry, &mut facts, work)?;
    depths(insns, &facts, &mut functions, entry, work)?;
    uses(insns, &facts, &mut functions, bare, work)?;
    let zeroed = live(insns, &functions, entry, &mut facts, work)?;
    fuse(insns, &mut facts, bare, work)?;
    for function in &functions {
        spans(program, &mut facts, *function, bare, work)?;
    }
    let reads = before(insns, &facts, entry);
    Ok(CodeAnalysis { facts, functions, zeroed, reads })
}

fn functions(program: &VerifiedProgram, work: &mut Work<'_>) -> Result<Vec<Function>, JitError> {
    let starts = program.functions();
    let mut list = Vec::new();
    list.try_reserve_exact(starts.len()).map_err(|_| JitError::NoMemory)?;
    for (index, &start) in starts.iter().enumerate() {
        work.spend(LOOK)?;
        let end = starts.get(index + 1).copied();
        list.push(Function {
            start,
            end: end.unwrap_or(program.program().insns.len()),
            depth: 0,
            called: false,
            uses_frame: false,
            written: 0,
        });
    }
    Ok(list)
}

/// The function that a slot belongs to.
pub(super) fn function_of(functions: &[Function], pc: usize) -> usize {
    functions.partition_point(|f| f.start <= pc).saturating_sub(1)
}

fn reach(insns: &[Insn], entry: usize, facts: &mut [Facts], work: &mut Work<'_>) -> Result<(), JitError> {
    let mut queue = Vec::new();
    queue.try_reserve(insns.len().saturating_add(1)).map_err(|_| JitError::NoMemory)?;
    queue.push(entry);
    while let Some(mut pc) = queue.pop() {
        work.spend(LOOK)?;
        // Along the fall-through; jumps and calls are kept for later, each instruction's once.
        while let (Some(fact), Some(insn)) = (facts.get_mut(pc), insns.get(pc)) {
            if core::mem::replace(&mut fact.reachable, true) {
                break;
            }
            work.spend(LOOK)?;
            if let Some(target) = jump_target(pc, insn) {
                if let Some(fact) = facts.get_mut(target) {
                    fact.target = true;
                }
                queue.push(target);
            }
            if let Insn::Call(Call::Local(off)) = *insn {
                queue.push(relative(pc, i64::from(off)));
            }
            if !falls(insn) {
                break;
            }
            pc += width_in_slots(insn);
        }
    }
    Ok(())
}

/// Longest chain of calls to each function, capped just above the limit: then the limit is checked at run time.
fn depths(
    insns: &[Insn],
    facts: &[Facts],
    functions: &mut [Function],
    entry: usize,
    work: &mut Work<'_>,
) -> Result<(), JitError> {
    let main = function_of(functions, entry);
    if let Some(main) = functions.get_mut(main) {
        main.depth = 1;
    }
    // From which function to which.
    let mut calls: Vec<(u32, u32)> = Vec::new();
    for piece in pieces(0..insns.len()) {
        work.spend_each(piece.len(), GLANCE)?;
        for pc in piece {
            let (Some(&Insn::Call(Call::Local(off))), true) =
                (insns.get(pc), facts.get(pc).is_some_and(|f| f.reachable))
            else {
                continue;
            };
            work.spend(2 * SEARCH)?;
            let from = function_of(functions, pc);
            let to = function_of(functions, relative(pc, i64::from(off)));
            if let Some(callee) = functions.get_mut(to) {
                callee.called = true;
            }
            let call = (from as u32, to as u32);
            if calls.last() != Some(&call) {
                calls.try_reserve(1).map_err(|_| JitError::NoMemory)?;
                calls.push(call);
            }
        }
    }
    for _ in 0..=MAX_FRAMES {
        let mut changed = false;
        for piece in pieces(0..calls.len()) {
            work.spend_each(piece.len(), LOOK)?;
            for &(from, to) in calls.get(piece).unwrap_or_default() {
                let from = functions.get(from as usize).map_or(0, |f| f.depth);
                let Some(callee) = functions.get_mut(to as usize) else {
                    continue;
                };
                if from >= callee.depth && from != 0 && callee.depth <= MAX_FRAMES {
                    callee.depth = from + 1;
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
    Ok(())
}

fn uses(
    insns: &[Insn],
    facts: &[Facts],
    functions: &mut [Function],
    bare: &dyn Fn(usize) -> bool,
    work: &mut Work<'_>,
) -> Result<(), Cap> {
    for function in functions {
        for piece in pieces(function.start..function.end) {
            work.spend_each(piece.len(), LOOK)?;
            for pc in piece.filter(|&pc| facts.get(pc).is_some_and(|f| f.reachable)) {
                let Some(insn) = insns.get(pc) else { continue };
                function.written |= writes(insn);
                let access = matches!(insn, Insn::Load { .. } | Insn::Store { .. } | Insn::Atomic { .. });
                function.uses_frame |=
                    reads(insn) & bit(Reg::R10) != 0 || matches!(insn, Insn::Call(_)) || access && !bare(pc);
            }
        }
    }
    Ok(())
}

/// Registers that an instruction writes, of a call r0 alone.
fn writes(insn: &Insn) -> Regs {
    match insn {
        Insn::Call(Call::Helper(_) | Call::Register(_)) => bit(Reg::R0),
        insn => insn.written().map_or(0, bit),
    }
}

/// Registers that an instruction reads, inside one function.
fn reads(insn: &Insn) -> Regs {
    let own = insn.read().into_iter().flatten();
    let own = own.fold(0, |regs, reg| regs | bit(reg));
    match insn {
        Insn::Call(Call::Helper(_) | Call::Register(_)) => own | R1_TO_R5,
        // The callee sees all registers.
        Insn::Call(Call::Local(_) | Call::Btf(_)) => R0_TO_R9,
        _ => own,
    }
}

/// Backwards over the program until nothing changes; gives what must be zero at the start. Should that take too long, every
/// register counts as read everywhere.
fn live(
    insns: &[Insn],
    functions: &[Function],
    entry: usize,
    facts: &mut [Facts],
    work: &mut Work<'_>,
) -> Result<Regs, Cap> {
    const ROUNDS: usize = 24;
    all_live(facts, 0, work)?;
    for _ in 0..ROUNDS {
        if !live_round(insns, functions, facts, work)? {
            return Ok(before(insns, facts, entry) & R0_TO_R9 & !bit(Reg::R1) & !bit(Reg::R2));
        }
    }
    all_live(facts, R0_TO_R9, work)?;
    Ok(R0_TO_R9 & !bit(Reg::R1) & !bit(Reg::R2))
}

fn all_live(facts: &mut [Facts], live: Regs, work: &mut Work<'_>) -> Result<(), Cap> {
    for piece in pieces(0..facts.len()) {
        work.spend_each(piece.len(), GLANCE)?;
        let facts = facts.get_mut(piece).unwrap_or_default();
        facts.iter_mut().for_each(|fact| fact.live = live);
    }
    Ok(())
}

/// Registers read at or after a slot before they are written.
fn before(insns: &[Insn], facts: &[Facts], pc: usize) -> Regs {
    match (insns.get(pc), facts.get(pc)) {
        (Some(insn), Some(fact)) => fact.live & !writes(insn) | reads(insn),
        _ => 0,
    }
}

fn live_round(insns: &[Insn], functions: &[Function], facts: &mut [Facts], work: &mut Work<'_>) -> Result<bool, Cap> {
    let mut changed = false;
    for function in functions {
        // What a called function leaves in r0 to r5 its caller may read.
        let at_exit = if function.called { bit(Reg::R0) | R1_TO_R5 } else { bit(Reg::R0) };
        for piece in pieces(function.start..function.end).rev() {
            work.spend_each(piece.len(), LOOK)?;
            for pc in piece.rev() {
                let Some(insn) = insns.get(pc) else { continue };
                let mut after = match insn {
                    Insn::Exit => at_exit,
                    insn if falls(insn) => before(insns, facts, pc + width_in_slots(insn)),
                    _ => 0,
                };
                if let Some(target) = jump_target(pc, insn) {
                    after |= before(insns, facts, target);
                }
                if let Some(fact) = facts.get_mut(pc) {
                    changed |= fact.live != after;
                    fact.live = after;
                }
            }
        }
    }
    Ok(changed)
}

fn fuse(insns: &[Insn], facts: &mut [Facts], bare: &dyn Fn(usize) -> bool, work: &mut Work<'_>) -> Result<(), Cap> {
    for piece in pieces(0..insns.len()) {
        work.spend_each(piece.len(), 2 * LOOK)?;
        fuse_some(insns, facts, bare, piece);
    }
    Ok(())
}

fn fuse_some(insns: &[Insn], facts: &mut [Facts], bare: &dyn Fn(usize) -> bool, piece: Range<usize>) {
    for pc in piece {
        if let Some(Fused::Rotate(width, count)) = rotation(insns, pc) {
            let mut parts = facts.iter_mut().skip(pc);
            let first = parts.next().filter(|f| f.fused == Fused::No);
            let mut rest = [parts.next(), parts.next(), parts.next()];
            let plain =
                |f: &Option<&mut Facts>| f.as_ref().is_some_and(|f| !f.target && f.reachable && f.fused == Fused::No);
            if let (Some(first), true) = (first, rest.iter().all(plain)) {
                first.fused = Fused::Rotate(width, count);
                for fact in rest.iter_mut().flatten() {
                    fact.fused = Fused::Second;
                }
            }
        }
        let (Some(first), Some(second)) = (insns.get(pc), insns.get(pc + 1)) else {
            return;
        };
        let free = facts.get(pc).is_some_and(|f| f.fused == Fused::No)
            && facts.get(pc + 1).is_some_and(|f| !f.target && f.reachable);
        let fused = if free { pair(first, second) } else { Fused::No };
        if fused == Fused::MoveSum && bare(pc + 2) && is_indexed(insns, facts, pc) {
            for (at, fused) in [(pc, Fused::Indexed), (pc + 1, Fused::Second), (pc + 2, Fused::Second)] {
                if let Some(fact) = facts.get_mut(at) {
                    fact.fused = fused;
                }
            }
        } else if fused != Fused::No {
            for (at, fused) in [(pc, fused), (pc + 1, Fused::Second)] {
                if let Some(fact) = facts.get_mut(at) {
                    fact.fused = fused;
                }
            }
        }
    }
}

/// Whether the access after the sum at `pc` is the only one that reads it.
fn is_indexed(insns: &[Insn], facts: &[Facts], pc: usize) -> bool {
    let sum = insns.get(pc).and_then(Insn::written);
    let (base, own) = match insns.get(pc + 2) {
        Some(&Insn::Load { signed: false, base, dst, .. }) => (base, dst == base),
        Some(&Insn::Store { base, src: Operand::Reg(src), .. }) if src != base => (base, false),
        _ => return false,
    };
    let unread = |fact: &Facts| {
        let dead = own || fact.live & bit(base) == 0;
        !fact.target && fact.reachable && dead
    };
    sum == Some(base) && facts.get(pc + 2).is_some_and(unread)
}

/// The rotation that starts at `pc`.
fn rotation(insns: &[Insn], pc: usize) -> Option<Fused> {
    let alu = |at: usize| match *insns.get(pc.wrapping_add(at))? {
        Insn::Alu { op, width, dst, src } => Some((op, width, dst, src)),
        _ => None,
    };
    let (AluOp::Mov, moved, other, Operand::Reg(x)) = alu(0)? else {
        return None;
    };
    let (shift1, width, dst1, Operand::Imm(count1)) = alu(1)? else {
        return None;
    };
    let (shift2, width2, dst2, Operand::Imm(count2)) = alu(2)? else {
        return None;
    };
    let together = alu(3)? == (AluOp::Or, width, x, Operand::Reg(other));
    let bits = match width {
        Width::W32 => 32,
        Width::W64 => 64,
    };
    let left = match (shift1, shift2) {
        (AluOp::Rsh, AluOp::Lsh) => count2,
        (AluOp::Lsh, AluOp::Rsh) => count1,
        _ => return None,
    };
    // Of 32 bits moved, 32 may be rotated.
    let enough = moved == Width::W64 || width == Width::W32;
    let fits = enough && other != x && dst1 == other && dst2 == x && width2 == width && together;
    let whole = (1..bits).contains(&left) && count1.checked_add(count2) == Some(bits);
    (fits && whole).then_some(Fused::Rotate(width, left as u8))
}

fn pair(first: &Insn, second: &Insn) -> Fused {
    let (
        Insn::Alu { op: op1, width: Width::W64, dst, src: src1 },
        Insn::Alu { op: op2, width: Width::W64, dst: dst2, src: src2 },
    ) = (*first, *second)
    else {
        return Fused::No;
    };
    if dst != dst2 {
        return Fused::No;
    }
    match (op1, src1, op2, src2) {
        (AluOp::Mov, Operand::Reg(from), AluOp::Add, Operand::Imm(_)) if from != dst => Fused::MoveAdd,
        (AluOp::Mov, Operand::Reg(from), AluOp::Add, Operand::Reg(other)) if from != dst && other != dst => {
            Fused::MoveSum
        }
        (AluOp::Lsh, Operand::Imm(32), AluOp::Rsh, Operand::Imm(32)) => Fused::LowZero,
        (AluOp::Lsh, Operand::Imm(32), AluOp::Arsh, Operand::Imm(32)) => Fused::LowSign,
        _ => Fused::No,
    }
}

/// Accesses through one register that follow each other without a jump in between.
#[derive(Clone, Copy)]
struct Group {
    first: usize,
    last: usize,
    count: usize,
    from: i32,
    to: i32,
    place: Place,
}

/// Farthest apart that accesses are checked together.
const MAX_SPAN: i32 = 128;

impl Group {
    /// With one more access, where that is close enough.
    fn with(self, other: Group) -> Option<Group> {
        let (from, to) = (self.from.min(other.from), self.to.max(other.to));
        let fits = self.place == other.place && to - from <= MAX_SPAN;
        fits.then_some(Group { last: other.last, count: self.count + 1, from, to, ..self })
    }

    /// Comparisons that it takes to check all at once: a window has limits for sizes that one access can have.
    fn comparisons(self) -> usize {
        let one = self.place == Place::Frame || matches!(self.to - self.from, 1 | 2 | 4 | 8);
        if one {
            1
        } else {
            2
        }
    }
}

/// Finds what is checked together. A group ends where its register changes, where a jump leads in, at calls, and at a load through the register
/// that probes: what it is to read is seldom where anything else is.
fn spans(
    program: &VerifiedProgram,
    facts: &mut [Facts],
    function: Function,
    bare: &dyn Fn(usize) -> bool,
    work: &mut Work<'_>,
) -> Result<(), Cap> {
    let insns = program.program().insns.as_slice();
    let mut open = [None; Reg::COUNT];
    for piece in pieces(function.start..function.end) {
        work.spend_each(piece.len(), 3 * LOOK)?;
        for pc in piece {
            let (Some(insn), Some(fact)) = (insns.get(pc), facts.get(pc).copied()) else {
                break;
            };
            if fact.target || !fact.reachable && *insn != Insn::WideTail {
                close_all(insns, facts, &mut open, work)?;
            }
            let access = checked_access(insn, pc, fact.place).filter(|_| !bare(pc));
            if let Some((base, access)) = access {
                if let Some(slot) = open.get_mut(base.index()) {
                    let access = Some(access).filter(|_| !program.is_probing(pc));
                    match slot.zip(access).and_then(|(group, access): (Group, Group)| group.with(access)) {
                        Some(group) => *slot = Some(group),
                        None => close(insns, facts, base, core::mem::replace(slot, access), work)?,
                    }
                }
            }
            if let Some(reg) = insn.written() {
                let group = open.get_mut(reg.index()).and_then(Option::take);
                close(insns, facts, reg, group, work)?;
            }
            if matches!(insn, Insn::Call(_)) || !falls(insn) {
                close_all(insns, facts, &mut open, work)?;
            }
        }
    }
    close_all(insns, facts, &mut open, work)
}

/// The register and the bytes of a load or store. Atomic accesses are checked by themselves, since they must be aligned too.
fn checked_access(insn: &Insn, pc: usize, place: Place) -> Option<(Reg, Group)> {
    let (Insn::Load { base, off, size, .. } | Insn::Store { base, off, size, .. }) = *insn else {
        return None;
    };
    let group =
        Group { first: pc, last: pc, count: 1, from: off.into(), to: i32::from(off) + size.bytes() as i32, place };
    Some((base, group))
}

fn close_all(
    insns: &[Insn],
    facts: &mut [Facts],
    open: &mut [Option<Group>; Reg::COUNT],
    work: &mut Work<'_>,
) -> Result<(), Cap> {
    for (number, group) in open.iter_mut().enumerate() {
        if let Some(reg) = Reg::new(number as u8) {
            close(insns, facts, reg, group.take(), work)?;
        }
    }
    Ok(())
}

/// Writes down what was found, where it makes less comparisons.
fn close(insns: &[Insn], facts: &mut [Facts], reg: Reg, group: Option<Group>, work: &mut Work<'_>) -> Result<(), Cap> {
    let Some(group) = group.filter(|group| group.comparisons() < group.count) else {
        return Ok(());
    };
    for piece in pieces(group.first..group.last + 1) {
        work.spend_each(piece.len(), GLANCE)?;
        for pc in piece {
            let (Some(insn), Some(fact)) = (insns.get(pc), facts.get_mut(pc)) else {
                break;
            };
            fact.twice = true;
            let member = checked_access(insn, pc, fact.place);
            if member.is_some_and(|(base, _)| base == reg) {
                fact.check = Check::Covered;
            }
            if pc == group.first {
                // Offsets have 16 bits, and a span is no longer than `MAX_SPAN`.
                let (from, bytes) = (group.from as i16, (group.to - group.from) as u8);
                fact.check = Check::Span { from, bytes };
            }
        }
    }
    Ok(())
}

/// The region to try first.
fn place(target: Target) -> Place {
    match target {
        Target::Stack => Place::Frame,
        Target::Arena => Place::Arena,
        Target::Argument | Target::Unknown | Target::Rodata => Place::Argument,
    }
}
