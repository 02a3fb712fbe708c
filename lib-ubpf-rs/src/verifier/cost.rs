//! What a run costs at most: how often each instruction runs at most, times its cost.
//!
//! An instruction in loops runs at most as often as the product of the rounds of these loops. A loop's rounds are limited by a
//! *counter*: an instruction that every round passes, the only one in the loop to write its register, that moves it by a
//! constant in one direction. The analysis says between which numbers the register lies there; moving without wrapping around,
//! it can pass only so many of them. That is so whatever else the loop does, and however it ends.

use super::{
    findings::{Counter, Findings, UNLIMITED},
    planted::{self, Bug},
    structure::{call_target, filled, successors, Predecessors},
    verified::Fact,
    work::{pieces, price, Cap, Work},
    VerifyError,
};
use crate::{
    isa::{AluOp, Call, Insn, Operand, Reg, Width},
    program::Program,
};
use alloc::vec::Vec;

/// Why there is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unbounded {
    /// The instruction that stands against it.
    pub(super) pc: usize,
    /// What it is.
    pub(super) what: &'static str,
}

type Bound = Result<u64, Unbounded>;

/// Instructions looked at, per instruction of the program, before the loops count as too entangled.
const EFFORT: usize = 64;

/// A function whose cost is being added up.
struct Sum {
    function: usize,
    /// The next instruction.
    pc: usize,
    cost: u64,
}

/// What is known of a function's cost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KnownCost {
    Nothing,
    /// It is being added up: who calls it now calls in a circle.
    Open,
    Cost(u64),
}

/// What one run of the program costs at most.
pub(super) fn worst(
    program: &Program,
    functions: &[usize],
    findings: &Findings,
    loops: bool,
    work: &mut Work<'_>,
) -> Result<Bound, VerifyError> {
    let insns = program.insns.as_slice();
    // One function may still call itself.
    let calls = has_calls(insns, work)? && !planted::active(Bug::StraightRecursion);
    if !loops && !calls && functions.len() <= 1 {
        return straight(insns, findings, work);
    }
    let mut costs = Costs {
        insns,
        functions,
        findings,
        before: Predecessors::new(insns, work)?,
        counts: filled(insns.len(), 1, work)?,
        marks: filled(insns.len(), 0, work)?,
        mark: 0,
        queue: Vec::new(),
        work,
        effort: insns.len().saturating_mul(EFFORT).saturating_add(4096),
    };
    if let Err(unbounded) = costs.count_loops()? {
        return Ok(Err(unbounded));
    }
    costs.sum(program.entry)
}

/// The cost of one execution.
fn cost(insns: &[Insn], findings: &Findings, pc: usize) -> Bound {
    let Some(note) = findings.notes.get(pc) else {
        return Ok(0);
    };
    if !note.fact.contains(Fact::REACHED) {
        return Ok(0);
    }
    match insns.get(pc) {
        Some(Insn::Call(Call::Helper(_) | Call::Register(_))) if note.cost == UNLIMITED => {
            let what = "helper call whose cost has no limit";
            Err(Unbounded { pc, what })
        }
        Some(insn @ Insn::Call(Call::Helper(_) | Call::Register(_))) => Ok(u64::from(note.cost.max(insn.weight()))),
        Some(insn) => Ok(light(note.weight(insn))),
        None => Ok(0),
    }
}

/// What an instruction weighs.
pub(super) fn weight(insn: &Insn) -> u64 {
    light(insn.weight())
}

fn light(weight: u32) -> u64 {
    let most = if planted::active(Bug::LightOperation) { 1 } else { u32::MAX };
    weight.min(most).into()
}

/// Whether there is a call of a function of the program.
fn has_calls(insns: &[Insn], work: &mut Work<'_>) -> Result<bool, Cap> {
    let local = |insn: &Insn| matches!(insn, Insn::Call(Call::Local(_)));
    for mut piece in pieces(0..insns.len()) {
        work.spend_each(piece.len(), price::GLANCE)?;
        if piece.any(|pc| insns.get(pc).is_some_and(local)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Without loops and calls each instruction runs once at most.
fn straight(insns: &[Insn], findings: &Findings, work: &mut Work<'_>) -> Result<Bound, VerifyError> {
    let mut sum = 0u64;
    for piece in pieces(0..insns.len()) {
        work.spend_each(piece.len(), price::LOOK)?;
        for pc in piece {
            match cost(insns, findings, pc) {
                Ok(cost) => sum = sum.saturating_add(cost),
                Err(unbounded) => return Ok(Err(unbounded)),
            }
        }
    }
    Ok(Ok(sum))
}

struct Costs<'a, 'w, 'b> {
    insns: &'a [Insn],
    functions: &'a [usize],
    findings: &'a Findings,
    before: Predecessors<'a>,
    /// How often each instruction runs at most in one call of its function.
    counts: Vec<u64>,
    /// Members of the set in hand have the current mark.
    marks: Vec<u32>,
    mark: u32,
    queue: Vec<u32>,
    work: &'w mut Work<'b>,
    /// What is left of it.
    effort: usize,
}

impl Costs<'_, '_, '_> {
    fn reached(&self, pc: usize) -> bool {
        let note = self.findings.notes.get(pc);
        note.is_some_and(|note| note.fact.contains(Fact::REACHED))
    }

    /// The jump back of an instruction, if it is one.
    fn back(&self, pc: usize) -> Option<usize> {
        let target = successors(self.insns, pc).jump?;
        (target <= pc && self.reached(pc)).then_some(target)
    }

    /// Pays for going over so many instructions.
    fn look(&mut self, insns: usize, price: u64) -> Result<(), VerifyError> {
        Ok(self.work.spend_each(insns, price)?)
    }

    /// Multiplies the counts in every loop by its rounds.
    fn count_loops(&mut self) -> Result<Result<(), Unbounded>, VerifyError> {
        let mut heads = Vec::new();
        for piece in pieces(0..self.insns.len()) {
            self.look(piece.len(), price::LOOK)?;
            for pc in piece {
                if let Some(head) = self.back(pc) {
                    heads.try_reserve(1).map_err(|_| VerifyError::NoMemory)?;
                    heads.push((head as u32, pc as u32));
                }
            }
        }
        // So it is asked three times for two of them.
        let one = price::SEARCH.saturating_mul(3);
        crate::platform::sort_by_in_pieces(&mut heads, PartialOrd::lt, || self.work.spend(one))?;
        for group in heads.chunk_by(|a, b| a.0 == b.0) {
            if let Err(unbounded) = self.count_loop(group)? {
                return Ok(Err(unbounded));
            }
        }
        Ok(Ok(()))
    }

    /// One loop: the jumps back to one head.
    fn count_loop(&mut self, jumps: &[(u32, u32)]) -> Result<Result<(), Unbounded>, VerifyError> {
        let Some(&(head, source)) = jumps.last() else {
            return Ok(Ok(()));
        };
        let (head, source) = (head as usize, source as usize);
        let unbounded = |what| Ok(Err(Unbounded { pc: source, what }));
        let Some((body, first, last)) = self.body(head, jumps)? else {
            return unbounded("loop that is entered in more than one place");
        };
        self.look(self.findings.counters.len(), price::LOOK)?;
        let mut rounds = None;
        for counter in &self.findings.counters {
            let inside = self.marks.get(counter.pc).is_some_and(|&mark| mark >= body);
            let Some(passes) = passes(self.insns, counter).filter(|_| inside) else {
                continue;
            };
            if self.is_only_write(counter.pc, body, first, last)? && self.every_round(counter.pc, head, body, jumps)? {
                let bound = passes.saturating_add(1);
                rounds = Some(rounds.map_or(bound, |r: u64| r.min(bound)));
            }
        }
        let Some(rounds) = rounds else {
            return unbounded("loop");
        };
        for piece in pieces(first..last.saturating_add(1)) {
            self.look(piece.len(), price::GLANCE)?;
            for pc in piece {
                if let (Some(count), Some(&mark)) = (self.counts.get_mut(pc), self.marks.get(pc)) {
                    // Marks of later sets are greater.
                    if mark >= body {
                        *count = count.saturating_mul(rounds);
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    fn spend(&mut self) -> Result<bool, VerifyError> {
        self.look(1, price::LOOK)?;
        let left = self.effort.checked_sub(1);
        self.effort = left.unwrap_or(0);
        Ok(left.is_some())
    }

    fn push(&mut self, pc: usize) -> Result<(), VerifyError> {
        self.queue.try_reserve(1).map_err(|_| VerifyError::NoMemory)?;
        self.queue.push(pc as u32);
        Ok(())
    }

    /// Marks what can reach the jumps back without passing the head. Gives the mark, and the first and last PC; `None` when
    /// there is a way in past the head, or the effort is spent.
    fn body(&mut self, head: usize, jumps: &[(u32, u32)]) -> Result<Option<(u32, usize, usize)>, VerifyError> {
        self.mark = self.mark.wrapping_add(1);
        let mark = self.mark;
        self.queue.clear();
        for &(_, source) in jumps {
            self.push(source as usize)?;
        }
        let (mut first, mut last) = (head, head);
        while let Some(pc) = self.queue.pop().map(|pc| pc as usize) {
            if !self.spend()? {
                return Ok(None);
            }
            let Some(slot) = self.marks.get_mut(pc) else {
                continue;
            };
            if core::mem::replace(slot, mark) == mark {
                continue;
            }
            (first, last) = (first.min(pc), last.max(pc));
            if pc == head {
                continue;
            }
            if self.functions.binary_search(&pc).is_ok() {
                return Ok(None);
            }
            self.queue_before(pc)?;
        }
        Ok(Some((mark, first, last)))
    }

    /// Queues where this PC is reached from and the mark is not: by fall-through from two places at most, by jump from any number.
    fn queue_before(&mut self, pc: usize) -> Result<(), VerifyError> {
        let mut full = false;
        let (queue, notes, marks) = (&mut self.queue, &self.findings.notes, &self.marks);
        self.before.each(pc, self.work, |before| {
            let reached = notes.get(before).is_some_and(|n| n.fact.contains(Fact::REACHED));
            let new = marks.get(before).is_some_and(|&m| m != self.mark);
            match queue.try_reserve(1) {
                Ok(()) if reached && new => queue.push(before as u32),
                Ok(()) => {}
                Err(_) => full = true,
            }
        })?;
        if full {
            return Err(VerifyError::NoMemory);
        }
        Ok(())
    }

    /// Whether no other instruction of the loop writes the counter's register.
    fn is_only_write(&mut self, counter: usize, body: u32, first: usize, last: usize) -> Result<bool, VerifyError> {
        let Some(reg) = self.insns.get(counter).and_then(Insn::written) else {
            return Ok(false);
        };
        for mut piece in pieces(first..last.saturating_add(1)) {
            self.look(piece.len(), price::GLANCE)?;
            if piece.any(|pc| pc != counter && self.writes(pc, reg, body)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether an instruction of the loop writes the register.
    fn writes(&self, pc: usize, reg: Reg, body: u32) -> bool {
        let member = self.marks.get(pc).is_some_and(|&mark| mark >= body) && self.reached(pc);
        member
            && match self.insns.get(pc) {
                Some(Insn::Call(_)) => reg <= Reg::R5,
                Some(insn) => insn.written() == Some(reg),
                None => false,
            }
    }
    /// Whether no way from the head to a jump back leaves the counter out.
    fn every_round(
        &mut self,
        counter: usize,
        head: usize,
        body: u32,
        jumps: &[(u32, u32)],
    ) -> Result<bool, VerifyError> {
        if counter == head {
            return Ok(true);
        }
        self.mark = self.mark.wrapping_add(1);
        let mark = self.mark;
        self.queue.clear();
        self.push(head)?;
        while let Some(pc) = self.queue.pop().map(|pc| pc as usize) {
            if !self.spend()? {
                return Ok(false);
            }
            let Some(slot) = self.marks.get_mut(pc) else {
                continue;
            };
            if *slot < body || *slot == mark || pc == counter {
                continue;
            }
            *slot = mark;
            // They are sorted.
            if jumps.binary_search_by_key(&pc, |&(_, source)| source as usize).is_ok() {
                return Ok(false);
            }
            let next = successors(self.insns, pc);
            for to in [next.fall, next.jump].into_iter().flatten().filter(|&to| to != head) {
                self.push(to)?;
            }
        }
        Ok(true)
    }

    /// Adds the functions up, callees first.
    fn sum(&mut self, entry: usize) -> Result<Bound, VerifyError> {
        let mut known = filled(self.functions.len(), KnownCost::Nothing, self.work)?;
        let mut path: Vec<Sum> = Vec::new();
        let Ok(entry) = self.functions.binary_search(&entry) else {
            let what = "program";
            return Ok(Err(Unbounded { pc: entry, what }));
        };
        self.open(entry, &mut path, &mut known)?;
        while let Some(sum) = path.last_mut() {
            let callee = match self.add(sum, &known)? {
                Ok(callee) => callee,
                Err(unbounded) => return Ok(Err(unbounded)),
            };
            let (function, cost, pc) = (sum.function, sum.cost, sum.pc);
            let Some(callee) = callee else {
                path.pop();
                if let Some(slot) = known.get_mut(function) {
                    *slot = KnownCost::Cost(cost);
                }
                continue;
            };
            if known.get(callee) == Some(&KnownCost::Open) {
                let what = "recursive call";
                return Ok(Err(Unbounded { pc, what }));
            }
            self.open(callee, &mut path, &mut known)?;
        }
        match known.get(entry) {
            Some(&KnownCost::Cost(cost)) => Ok(Ok(cost)),
            _ => Ok(Err(Unbounded { pc: 0, what: "program" })),
        }
    }

    /// Begins with a function.
    fn open(&self, function: usize, path: &mut Vec<Sum>, known: &mut [KnownCost]) -> Result<(), VerifyError> {
        path.try_reserve(1).map_err(|_| VerifyError::NoMemory)?;
        let pc = self.functions.get(function).copied().unwrap_or(0);
        path.push(Sum { function, pc, cost: 0 });
        if let Some(slot) = known.get_mut(function) {
            *slot = KnownCost::Open;
        }
        Ok(())
    }

    /// Goes on adding up a function, to its end or to the call of one whose cost is not known yet: gives that one.
    fn add(&mut self, sum: &mut Sum, known: &[KnownCost]) -> Result<Result<Option<usize>, Unbounded>, VerifyError> {
        let start = self.functions.get(sum.function).copied().unwrap_or(0);
        let end = self.functions.get(sum.function.wrapping_add(1));
        let end = end.copied().unwrap_or(self.insns.len());
        while sum.pc < end {
            let pc = sum.pc;
            self.look(1, price::LOOK)?;
            let mut once = match cost(self.insns, self.findings, pc) {
                Ok(cost) => cost,
                Err(unbounded) => return Ok(Err(unbounded)),
            };
            if let Some(callee) = self.callee(pc) {
                self.look(1, price::SEARCH)?;
                match known.get(callee) {
                    Some(KnownCost::Cost(cost)) => once = once.saturating_add(*cost),
                    _ => return Ok(Ok(Some(callee))),
                }
            }
            let times = self.counts.get(pc).copied().unwrap_or(1);
            sum.cost = sum.cost.saturating_add(once.saturating_mul(times));
            sum.pc = pc.wrapping_add(1);
        }
        if sum.cost == u64::MAX {
            let what = "loops of too many rounds";
            return Ok(Err(Unbounded { pc: start, what }));
        }
        Ok(Ok(None))
    }

    /// The function that a reached instruction calls.
    fn callee(&self, pc: usize) -> Option<usize> {
        let Some(Insn::Call(Call::Local(off))) = self.insns.get(pc) else {
            return None;
        };
        let target = call_target(pc, *off).filter(|_| self.reached(pc))?;
        self.functions.binary_search(&target).ok()
    }
}

/// How often an instruction that moves a register by a constant can run until it must have wrapped around; `None` when it may.
fn passes(insns: &[Insn], counter: &Counter) -> Option<u64> {
    let Some(Insn::Alu { op, width, src: Operand::Imm(imm), .. }) = insns.get(counter.pc) else {
        return None;
    };
    counter.kind?;
    let (bits, top) = match width {
        Width::W64 => (64, u64::MAX),
        Width::W32 => (32, u64::from(u32::MAX)),
    };
    let step = u64::from(imm.unsigned_abs());
    let (least, most) = counter.unsigned;
    match op {
        AluOp::Add if *imm > 0 => up(counter, step, top),
        AluOp::Sub if *imm < 0 => up(counter, step, top),
        AluOp::Sub if *imm > 0 => down(counter, step, bits),
        AluOp::Add if *imm < 0 => down(counter, step, bits),
        AluOp::Rsh if least > 0 && imm & (bits as i32).wrapping_sub(1) != 0 => Some(64),
        AluOp::Div if least > 0 && *imm > 1 && most > 0 => Some(64),
        _ => None,
    }
}

fn up(counter: &Counter, step: u64, top: u64) -> Option<u64> {
    let (least, most) = counter.unsigned;
    let unsigned = most.checked_add(step).filter(|&end| end <= top);
    let unsigned = unsigned.and_then(|_| rounds(most.wrapping_sub(least), step));
    let (low, high) = counter.signed;
    let limit = (top >> 1) as i64;
    let signed = high.checked_add_unsigned(step).filter(|&end| end <= limit);
    let signed = signed.and_then(|_| rounds(high.abs_diff(low), step));
    least_of(unsigned, signed)
}

fn down(counter: &Counter, step: u64, bits: u32) -> Option<u64> {
    let (least, most) = counter.unsigned;
    let unsigned = least.checked_sub(step);
    let unsigned = unsigned.and_then(|_| rounds(most.wrapping_sub(least), step));
    let (low, high) = counter.signed;
    let limit = i64::MIN.wrapping_shr(64u32.wrapping_sub(bits));
    let signed = low.checked_sub_unsigned(step).filter(|&end| end >= limit);
    let signed = signed.and_then(|_| rounds(high.abs_diff(low), step));
    least_of(unsigned, signed)
}

/// Numbers `step` apart that fit in a range of this length.
fn rounds(length: u64, step: u64) -> Option<u64> {
    let length = length >> u32::from(planted::active(Bug::FewPasses));
    Some(length.checked_div(step)?.saturating_add(1))
}

fn least_of(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
