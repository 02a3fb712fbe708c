//! The structural pass: functions, targets, reachability, cycles without a way out, registers that are never set.
//! Linear in the size of the program, but for a factor of at most the number of registers in the register analysis.

use super::{
    work::{pieces, price, Cap, Work},
    Environment, Policy, VerifyError,
};
use crate::{
    isa::{Call, ImmKind, Insn, Reg},
    program::{Abi, Program},
};
use alloc::vec::Vec;

/// What the pass found.
pub(super) struct Structure {
    /// Start of each function, ascending.
    pub(super) functions: Vec<usize>,
    /// Whether each slot can be reached.
    pub(super) reachable: Vec<bool>,
    /// The first read of each register that nothing has set, by register number.
    pub(super) unset: [Option<usize>; Reg::COUNT],
}

/// Where control goes after one instruction.
pub(super) struct Next {
    pub(super) fall: Option<usize>,
    pub(super) jump: Option<usize>,
}

/// Successors within the function; the program's targets must have been checked.
pub(super) fn successors(insns: &[Insn], pc: usize) -> Next {
    let next = pc.wrapping_add(1);
    let to = |off: i64| usize::try_from((next as i64).wrapping_add(off)).ok();
    match insns.get(pc) {
        Some(Insn::LoadImm64 { .. }) => Next { fall: Some(next.wrapping_add(1)), jump: None },
        Some(Insn::Jump { off, .. }) => Next { fall: None, jump: to(i64::from(*off)) },
        Some(Insn::Branch { off, .. }) => Next { fall: Some(next), jump: to(i64::from(*off)) },
        Some(Insn::Exit) | None => Next { fall: None, jump: None },
        Some(_) => Next { fall: Some(next), jump: None },
    }
}

/// A list of so many. It is filled in pieces: there are platforms that fill memory byte by byte.
pub(super) fn filled<T: Clone>(len: usize, value: T, work: &mut Work<'_>) -> Result<Vec<T>, VerifyError> {
    let mut list = Vec::new();
    list.try_reserve_exact(len).map_err(|_| VerifyError::NoMemory)?;
    for piece in pieces(0..len) {
        work.spend(FILL)?;
        list.resize(piece.end, value.clone());
    }
    Ok(list)
}

/// Units for a piece of a list.
const FILL: u64 = 100;

/// Runs the pass.
pub(super) fn check(
    program: &Program,
    policy: Policy,
    env: &Environment<'_>,
    work: &mut Work<'_>,
) -> Result<Structure, VerifyError> {
    let insns = &program.insns;
    for (pc, insn) in insns.iter().enumerate() {
        work.spend(price::LOOK)?;
        check_insn(program, pc, insn, policy, env)?;
    }
    let functions = functions(program, work)?;
    check_function_bounds(insns, &functions, work)?;
    let reachable = reachable(insns, &functions, work)?;
    check_ends(insns, &reachable, work)?;
    check_loops(insns, &reachable, work)?;
    let unset = unset_registers(program, &functions, work)?;
    Ok(Structure { functions, reachable, unset })
}

fn check_insn(
    program: &Program,
    pc: usize,
    insn: &Insn,
    policy: Policy,
    env: &Environment<'_>,
) -> Result<(), VerifyError> {
    if insn.written() == Some(Reg::R10) {
        return Err(VerifyError::WritesFramePointer { pc });
    }
    match *insn {
        Insn::Jump { off, .. } => check_target(&program.insns, pc, i64::from(off)),
        Insn::Branch { off, .. } => check_target(&program.insns, pc, i64::from(off)),
        // What compilers leave for the linker; a call that calls itself would never return.
        Insn::Call(Call::Local(-1) | Call::Helper(u32::MAX)) => Err(VerifyError::UnresolvedCall { pc }),
        Insn::Call(Call::Local(off)) => check_target(&program.insns, pc, i64::from(off)),
        Insn::Call(Call::Helper(number)) => {
            let abi = program.abi;
            let known = env.helpers.signature(abi, number);
            known.map(|_| ()).ok_or_else(|| VerifyError::UnknownHelper {
                pc,
                number,
                abi,
                elsewhere: Abi::ALL.into_iter().find(|&other| env.helpers.signature(other, number).is_some()),
            })
        }
        Insn::Call(Call::Register(_)) if policy == Policy::Strict => {
            Err(VerifyError::UnprovedEnd { pc, what: "call through a register" })
        }
        Insn::LegacyPacket { .. } => Err(VerifyError::Unsupported { pc, what: "legacy packet access" }),
        Insn::LoadImm64 { .. } if pc.wrapping_add(2) >= program.insns.len() => Err(VerifyError::FallsOff { pc }),
        Insn::LoadImm64 { kind, imm, .. } => check_wide(pc, kind, imm, env),
        _ => Ok(()),
    }
}

/// A wide load names a map that there is, or a place in the only value of one.
fn check_wide(pc: usize, kind: ImmKind, imm: u64, env: &Environment<'_>) -> Result<(), VerifyError> {
    let (slot, offset) = wide_map(imm);
    let map = env.maps.get(slot as usize);
    match kind {
        ImmKind::Value => Ok(()),
        _ if env.maps.is_empty() => {
            let what = "wide load of a map, variable or code address in a flat program";
            Err(VerifyError::Unsupported { pc, what })
        }
        ImmKind::MapIndex | ImmKind::MapIndexValue if map.is_none() => {
            Err(VerifyError::UnknownMap { pc, slot, maps: env.maps.len() })
        }
        ImmKind::MapIndex if offset == 0 => Ok(()),
        ImmKind::MapIndexValue if map.is_some_and(|map| map.def.has_one_value() && offset < map.def.value_size) => {
            Ok(())
        }
        ImmKind::MapIndex | ImmKind::MapIndexValue => Err(VerifyError::UnknownMapPlace { pc, slot, offset }),
        ImmKind::MapFd | ImmKind::MapValue => {
            Err(VerifyError::Unsupported { pc, what: "wide load of a map by file descriptor" })
        }
        ImmKind::Variable => Err(VerifyError::Unsupported { pc, what: "wide load of a platform variable" }),
        ImmKind::Code => Err(VerifyError::Unsupported { pc, what: "wide load of a code address" }),
    }
}

/// The place of the map that a wide load names, and the offset in its value.
pub(super) fn wide_map(imm: u64) -> (u32, u32) {
    (imm as u32, (imm >> 32) as u32)
}

fn check_target(insns: &[Insn], pc: usize, off: i64) -> Result<(), VerifyError> {
    let target = (pc as i64).wrapping_add(1).wrapping_add(off);
    let at = usize::try_from(target).ok().and_then(|t| insns.get(t).map(|i| (t, i)));
    match at {
        None => Err(VerifyError::TargetOutside { pc, target, len: insns.len() }),
        Some((target, Insn::WideTail)) => Err(VerifyError::TargetInsideWide { pc, target }),
        Some(_) => Ok(()),
    }
}

/// Functions start at slot 0, at the entry, and wherever a local call leads.
fn functions(program: &Program, work: &mut Work<'_>) -> Result<Vec<usize>, VerifyError> {
    let len = program.insns.len();
    let mut starts = filled(len, false, work)?;
    let mut count = 0usize;
    let mut mark = |start: usize| {
        if let Some(flag) = starts.get_mut(start) {
            count = count.wrapping_add(usize::from(!core::mem::replace(flag, true)));
        }
    };
    [0, program.entry].into_iter().for_each(&mut mark);
    for piece in pieces(0..len) {
        work.spend_each(piece.len(), price::GLANCE)?;
        for pc in piece {
            if let Some(Insn::Call(Call::Local(off))) = program.insns.get(pc) {
                call_target(pc, *off).into_iter().for_each(&mut mark);
            }
        }
    }
    let mut list = Vec::new();
    list.try_reserve_exact(count).map_err(|_| VerifyError::NoMemory)?;
    for piece in pieces(0..len) {
        work.spend_each(piece.len(), price::LOOK.wrapping_sub(price::GLANCE))?;
        list.extend(piece.filter(|&pc| starts.get(pc) == Some(&true)));
    }
    Ok(list)
}

/// Where a local call leads.
pub(super) fn call_target(pc: usize, off: i32) -> Option<usize> {
    usize::try_from((pc as i64).wrapping_add(1).wrapping_add(i64::from(off))).ok()
}

/// Jumps stay in their function.
fn check_function_bounds(insns: &[Insn], functions: &[usize], work: &mut Work<'_>) -> Result<(), VerifyError> {
    let owner = |pc: usize| functions.partition_point(|&start| start <= pc);
    for pc in 0..insns.len() {
        work.spend(price::SEARCH)?;
        let Some(target) = successors(insns, pc).jump else {
            continue;
        };
        if owner(pc) != owner(target) {
            return Err(VerifyError::TargetInOtherFunction { pc, target });
        }
    }
    // A function may not begin by falling into it from the one before: found by `check_ends`.
    for &start in functions.iter().skip(1) {
        work.spend(price::GLANCE)?;
        let last = start.wrapping_sub(1);
        let last = if insns.get(last) == Some(&Insn::WideTail) { last.wrapping_sub(1) } else { last };
        if successors(insns, last).fall.is_some() {
            return Err(VerifyError::FallsOff { pc: last });
        }
    }
    Ok(())
}

fn reachable(insns: &[Insn], functions: &[usize], work: &mut Work<'_>) -> Result<Vec<bool>, VerifyError> {
    let mut seen = filled(insns.len(), false, work)?;
    let mut queue = WorkQueue::new(insns.len())?;
    for &start in functions {
        work.spend(price::GLANCE)?;
        queue.push(&mut seen, start);
    }
    while let Some(pc) = queue.pop() {
        work.spend(price::LOOK)?;
        let next = successors(insns, pc);
        for to in [next.fall, next.jump].into_iter().flatten() {
            queue.push(&mut seen, to);
        }
    }
    Ok(seen)
}

/// Slots that wait for their turn, each at most once at a time.
struct WorkQueue(Vec<u32>);

impl WorkQueue {
    fn new(len: usize) -> Result<WorkQueue, VerifyError> {
        let mut list = Vec::new();
        list.try_reserve_exact(len).map_err(|_| VerifyError::NoMemory)?;
        Ok(WorkQueue(list))
    }

    /// Adds a slot that is not marked yet, and marks it.
    fn push(&mut self, marked: &mut [bool], pc: usize) {
        match marked.get_mut(pc) {
            // There is room for each slot once.
            Some(mark) if !*mark && self.0.len() < self.0.capacity() => {
                *mark = true;
                self.0.push(pc as u32);
            }
            _ => {}
        }
    }

    fn pop(&mut self) -> Option<usize> {
        self.0.pop().map(|pc| pc as usize)
    }
}

fn check_ends(insns: &[Insn], reachable: &[bool], work: &mut Work<'_>) -> Result<(), VerifyError> {
    for mut piece in pieces(0..insns.len()) {
        work.spend_each(piece.len(), price::GLANCE)?;
        let falls_off = |pc: usize| {
            let fall = successors(insns, pc).fall;
            fall.is_some_and(|to| to >= insns.len()) && reachable.get(pc) == Some(&true)
        };
        if let Some(pc) = piece.find(|&pc| falls_off(pc)) {
            return Err(VerifyError::FallsOff { pc });
        }
    }
    Ok(())
}

/// Every reachable instruction must have a way to an exit.
fn check_loops(insns: &[Insn], reachable: &[bool], work: &mut Work<'_>) -> Result<(), VerifyError> {
    let ends = reaching_exit(insns, work)?;
    let stuck = |pc: usize| reachable.get(pc) == Some(&true) && ends.get(pc) == Some(&false);
    let closes = |pc: usize| successors(insns, pc).jump.is_some_and(|to| to <= pc && stuck(to));
    for mut piece in pieces(0..insns.len()) {
        work.spend_each(piece.len(), price::GLANCE)?;
        if let Some(pc) = piece.find(|&pc| stuck(pc) && closes(pc)) {
            return Err(VerifyError::InfiniteLoop { pc });
        }
    }
    Ok(())
}

/// Where control may come from, by instruction. By fall-through that is known; by jump it is a linked list per target.
pub(super) struct Predecessors<'a> {
    insns: &'a [Insn],
    /// Last jump to each slot.
    head: Vec<u32>,
    /// The jump before it to the same slot.
    link: Vec<u32>,
}

impl<'a> Predecessors<'a> {
    const NONE: u32 = u32::MAX;

    pub(super) fn new(insns: &'a [Insn], work: &mut Work<'_>) -> Result<Predecessors<'a>, VerifyError> {
        let len = insns.len();
        let (mut head, mut link) = (filled(len, Self::NONE, work)?, filled(len, Self::NONE, work)?);
        for piece in pieces(0..len) {
            work.spend_each(piece.len(), price::GLANCE)?;
            for pc in piece {
                let target = successors(insns, pc).jump;
                let Some(first) = target.and_then(|to| head.get_mut(to)) else {
                    continue;
                };
                let before = core::mem::replace(first, pc as u32);
                if let Some(slot) = link.get_mut(pc) {
                    *slot = before;
                }
            }
        }
        Ok(Predecessors { insns, head, link })
    }

    /// Shows each instruction that may come before the one at `pc`. There may be as many as the program has.
    pub(super) fn each(&self, pc: usize, work: &mut Work<'_>, mut show: impl FnMut(usize)) -> Result<(), Cap> {
        for from in [pc.wrapping_sub(1), pc.wrapping_sub(2)] {
            if successors(self.insns, from).fall == Some(pc) {
                show(from);
            }
        }
        let mut from = self.head.get(pc).copied().unwrap_or(Self::NONE);
        while from != Self::NONE {
            work.spend(price::GLANCE)?;
            show(from as usize);
            from = self.link.get(from as usize).copied().unwrap_or(Self::NONE);
        }
        Ok(())
    }
}

/// Which instructions have a path to an exit: backwards from the exits.
fn reaching_exit(insns: &[Insn], work: &mut Work<'_>) -> Result<Vec<bool>, VerifyError> {
    let len = insns.len();
    let before = Predecessors::new(insns, work)?;
    let mut ends = filled(len, false, work)?;
    let mut queue = WorkQueue::new(len)?;
    for piece in pieces(0..len) {
        work.spend_each(piece.len(), price::GLANCE)?;
        piece.filter(|&pc| insns.get(pc) == Some(&Insn::Exit)).for_each(|pc| queue.push(&mut ends, pc));
    }
    while let Some(pc) = queue.pop() {
        work.spend(price::LOOK)?;
        before.each(pc, work, |from| queue.push(&mut ends, from))?;
    }
    Ok(ends)
}

const ALL_REGISTERS: u16 = (1 << Reg::COUNT) - 1;
const fn bit(reg: Reg) -> u16 {
    1 << reg.number()
}
const R1_TO_R5: u16 = 0b11_1110;

/// Forward analysis: which registers are set on every path, from fixed sets at each function's start. A slot's set shrinks each time
/// it is queued again, so that is at most as often as there are registers.
fn unset_registers(
    program: &Program,
    functions: &[usize],
    work: &mut Work<'_>,
) -> Result<[Option<usize>; Reg::COUNT], VerifyError> {
    let insns = &program.insns;
    // Not yet visited: everything set, the neutral value of the intersection.
    let mut known = filled(insns.len(), ALL_REGISTERS, work)?;
    let mut visited = filled(insns.len(), false, work)?;
    let mut queued = filled(insns.len(), false, work)?;
    let mut queue = WorkQueue::new(insns.len())?;
    let mut join = |known: &mut [u16], queue: &mut WorkQueue, queued: &mut [bool], pc: usize, set| {
        let have: Option<&mut u16> = known.get_mut(pc);
        let seen: Option<&mut bool> = visited.get_mut(pc);
        let (Some(have), Some(seen)) = (have, seen) else {
            return;
        };
        let joined = *have & set;
        if joined != *have || !*seen {
            *have = joined;
            *seen = true;
            queue.push(queued, pc);
        }
    };
    for &start in functions {
        let callee = if start == program.entry { 0b110 } else { R1_TO_R5 };
        let set = callee | bit(Reg::R10);
        work.spend(price::LOOK)?;
        join(&mut known, &mut queue, &mut queued, start, set);
    }
    while let Some(pc) = queue.pop() {
        work.spend(price::LOOK)?;
        let (Some(&have), Some(waits), Some(insn)) = (known.get(pc), queued.get_mut(pc), insns.get(pc)) else {
            continue;
        };
        *waits = false;
        let after = after(insn, have);
        let next = successors(insns, pc);
        for to in [next.fall, next.jump].into_iter().flatten() {
            join(&mut known, &mut queue, &mut queued, to, after);
        }
    }
    let mut unset = [None; Reg::COUNT];
    for piece in pieces(0..insns.len()) {
        work.spend_each(piece.len(), price::LOOK)?;
        for pc in piece.filter(|&pc| visited.get(pc) == Some(&true)) {
            let have = known.get(pc).copied().unwrap_or(ALL_REGISTERS);
            let read = insns.get(pc).map_or([None; 3], Insn::read);
            for reg in read.into_iter().flatten().filter(|&r| have & bit(r) == 0) {
                if let Some(first) = unset.get_mut(reg.index()) {
                    first.get_or_insert(pc);
                }
            }
        }
    }
    Ok(unset)
}

fn after(insn: &Insn, set: u16) -> u16 {
    match insn {
        Insn::Call(_) => (set & !R1_TO_R5) | bit(Reg::R0),
        other => set | other.written().map_or(0, bit),
    }
}
