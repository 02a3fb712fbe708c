//! The first analysis: one state per jump target, joined over all ways that lead there, widened where a loop closes.
//! Its time is bounded by the size of the program times a small number, whatever the program does.
//!
//! Every cycle contains a jump backwards, so only the targets of such jumps are widened. Work is taken in the order of the PCs,
//! callees first: without loops each state is complete when its turn comes. A function is analysed once per chain of calls.

use super::{
    findings::Findings,
    machine::{Flow, Machine},
    state::State,
    structure::{filled, successors},
    value::Object,
    widen::{self, Step, Thresholds},
    Event, HelperLookup, Observer, Pass, VerifyError,
};
use crate::{
    isa::{Call, Insn},
    program::Program,
};
use alloc::{collections::BinaryHeap, vec::Vec};
use core::cmp::Reverse;

/// Chains of calls at most.
const MAX_CONTEXTS: usize = 256;
/// Bytes of states at most.
const MAX_BYTES: usize = 8 << 20;
/// Joins at a loop's head before growth goes to the limit, and before nothing is kept.
const PATIENCE: u8 = 12;
const GIVE_UP: u8 = 24;

const NONE: u32 = u32::MAX;

/// Where states are kept, and where loops are.
pub(super) struct Plan {
    /// Number of the state at each PC that is a jump target or follows a call, [`NONE`] elsewhere.
    nodes: Vec<u32>,
    count: u32,
    /// After the last jump that leads back there, by PC; 0 where none does.
    heads: Vec<u32>,
    /// Numbers at which growth halts.
    numbers: Vec<i64>,
    pub(super) loops: bool,
}

impl Plan {
    pub(super) fn new(program: &Program) -> Result<Plan, VerifyError> {
        let insns = &program.insns;
        let mut plan = Plan {
            nodes: filled(insns.len(), NONE)?,
            count: 0,
            heads: filled(insns.len(), 0)?,
            numbers: Vec::new(),
            loops: false,
        };
        for (pc, insn) in insns.iter().enumerate() {
            match insn {
                Insn::Jump { .. } | Insn::Branch { .. } => plan.jump(insns, pc),
                Insn::Call(Call::Local(_)) => plan.mark(pc.wrapping_add(1)),
                _ => {}
            }
        }
        for slot in &mut plan.nodes {
            if *slot != NONE {
                *slot = plan.count;
                plan.count = plan.count.wrapping_add(1);
            }
        }
        if plan.loops {
            plan.numbers = widen::numbers(insns)?;
        }
        Ok(plan)
    }

    fn mark(&mut self, pc: usize) {
        if let Some(slot) = self.nodes.get_mut(pc) {
            *slot = 0;
        }
    }

    fn jump(&mut self, insns: &[Insn], pc: usize) {
        let Some(target) = successors(insns, pc).jump else {
            return;
        };
        self.mark(target);
        if target <= pc {
            self.loops = true;
            if let Some(head) = self.heads.get_mut(target) {
                *head = pc.wrapping_add(1) as u32;
            }
        }
    }

    /// Number of the state at a PC.
    pub(super) fn node(&self, pc: usize) -> Option<u32> {
        self.nodes.get(pc).copied().filter(|&n| n != NONE)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count as usize
    }

    pub(super) fn is_head(&self, pc: usize) -> bool {
        self.heads.get(pc).is_some_and(|&end| end != 0)
    }

    /// Marks what lies between a jump back and its target.
    fn mark_loops(&self, findings: &mut Findings) {
        let mut end = 0;
        for (pc, &head) in self.heads.iter().enumerate() {
            end = end.max(head as usize);
            if pc < end {
                findings.mark_loop(pc);
            }
        }
    }
}

/// A chain of calls.
#[derive(Clone, Copy)]
struct Context {
    parent: u32,
    /// The call that led here.
    call: usize,
    depth: u8,
    /// Where its states are, by node number.
    slots: usize,
}

/// A place for a state.
#[derive(Clone, Copy)]
struct Slot {
    /// Index of the state, or [`NONE`].
    state: u32,
    joins: u8,
    queued: bool,
}

/// Work: deepest chain first, then lowest PC.
type Item = (u8, Reverse<usize>, Reverse<u32>);

pub(super) struct Fixpoint<'a, 'o, 'p> {
    plan: &'a Plan,
    machine: Machine<'a>,
    contexts: Vec<Context>,
    slots: Vec<Slot>,
    states: Vec<State>,
    free: Vec<u32>,
    work: BinaryHeap<Item>,
    bytes: usize,
    pub(super) steps: usize,
    /// A pointer on one way was something else on another: path by path it may be known.
    pub(super) lost_pointer: bool,
    observer: Option<&'o mut Observer<'p>>,
}

/// Why an analysis has no result.
pub(super) enum Ended {
    /// It is complete.
    Complete,
    /// A limit was reached.
    Limit,
}

impl<'a, 'o, 'p> Fixpoint<'a, 'o, 'p> {
    pub(super) fn new(
        program: &'a Program,
        helpers: &'a dyn HelperLookup,
        objects: &'a [Object],
        plan: &'a Plan,
        observer: Option<&'o mut Observer<'p>>,
    ) -> Result<Self, VerifyError> {
        let mut machine = Machine::new(program, helpers, objects)?;
        if plan.loops {
            plan.mark_loops(&mut machine.findings);
        }
        Ok(Fixpoint {
            plan,
            machine,
            contexts: Vec::new(),
            slots: Vec::new(),
            states: Vec::new(),
            free: Vec::new(),
            work: BinaryHeap::new(),
            bytes: 0,
            steps: 0,
            lost_pointer: false,
            observer,
        })
    }

    /// Runs it.
    pub(super) fn run(&mut self, entry: usize, limit: usize) -> Result<Ended, VerifyError> {
        let Some(outermost) = self.context(0, usize::MAX, 0)? else {
            return Ok(Ended::Limit);
        };
        let mut state = State::start();
        let mut at = (outermost, entry);
        loop {
            if !self.walk(&mut state, at, limit)? {
                return Ok(Ended::Limit);
            }
            let Some((_, Reverse(pc), Reverse(context))) = self.work.pop() else {
                if let Some(observer) = self.observer.as_deref_mut() {
                    observer(Event::Complete(Pass::Joined));
                }
                return Ok(Ended::Complete);
            };
            self.take(context, pc, &mut state)?;
            at = (context, pc);
        }
    }

    pub(super) fn findings(self) -> Findings {
        self.machine.findings
    }

    /// Follows the instructions until the path ends or meets a kept state. False at a limit.
    fn walk(
        &mut self,
        state: &mut State,
        at: (u32, usize),
        limit: usize,
    ) -> Result<bool, VerifyError> {
        let (mut context, mut pc) = at;
        loop {
            self.steps = self.steps.wrapping_add(1);
            if self.steps > limit || self.bytes > MAX_BYTES {
                return Ok(false);
            }
            if let Some(observer) = self.observer.as_deref_mut() {
                observer(Event::Before {
                    pass: Pass::Joined,
                    pc,
                    state,
                });
            }
            match self.machine.step(state, pc)? {
                Flow::To(next) => pc = next,
                Flow::Fork { fall, jump } => {
                    let taken = core::mem::replace(&mut self.machine.taken, State::EMPTY);
                    let merged = self.merge(context, jump, &taken);
                    self.machine.taken = taken;
                    merged?;
                    pc = fall;
                }
                Flow::Into(start) => {
                    let Some(inner) = self.inner(context, pc)? else {
                        return Ok(false);
                    };
                    (context, pc) = (inner, start);
                }
                Flow::Back(call) => {
                    let outer = self.contexts.get(context as usize).map_or(0, |c| c.parent);
                    (context, pc) = (outer, call.wrapping_add(1));
                }
                Flow::End => return Ok(true),
            }
            if self.plan.node(pc).is_some() {
                self.merge(context, pc, state)?;
                return Ok(true);
            }
        }
    }

    fn inner(&mut self, parent: u32, call: usize) -> Result<Option<u32>, VerifyError> {
        let known = self
            .contexts
            .iter()
            .position(|c| c.parent == parent && c.call == call);
        if let Some(index) = known {
            return Ok(Some(index as u32));
        }
        let depth = self.contexts.get(parent as usize).map_or(0, |c| c.depth);
        self.context(parent, call, depth.wrapping_add(1))
    }

    fn context(&mut self, parent: u32, call: usize, depth: u8) -> Result<Option<u32>, VerifyError> {
        let slots = self.slots.len();
        let count = self.plan.count as usize;
        let bytes = count.saturating_mul(size_of::<Slot>());
        self.bytes = self.bytes.saturating_add(bytes);
        if self.contexts.len() >= MAX_CONTEXTS || self.bytes > MAX_BYTES {
            return Ok(None);
        }
        self.contexts
            .try_reserve(1)
            .map_err(|_| VerifyError::NoMemory)?;
        self.slots
            .try_reserve(count)
            .map_err(|_| VerifyError::NoMemory)?;
        let empty = Slot {
            state: NONE,
            joins: 0,
            queued: false,
        };
        self.slots.resize(slots.saturating_add(count), empty);
        self.contexts.push(Context {
            parent,
            call,
            depth,
            slots,
        });
        Ok(Some((self.contexts.len() as u32).wrapping_sub(1)))
    }

    fn slot(&self, context: u32, pc: usize) -> Option<usize> {
        let base = self.contexts.get(context as usize)?.slots;
        let node = self.plan.node(pc)?;
        Some(base.saturating_add(node as usize))
    }

    /// Joins a state into the one kept at a PC; queues the PC when that grows.
    fn merge(&mut self, context: u32, pc: usize, state: &State) -> Result<(), VerifyError> {
        let Some(index) = self.slot(context, pc) else {
            return Ok(());
        };
        let Some(&slot) = self.slots.get(index) else {
            return Ok(());
        };
        let mut new = slot;
        match self.states.get_mut(slot.state as usize) {
            None => new.state = self.keep(state)?,
            Some(kept) => {
                if kept.includes(state) {
                    return Ok(());
                }
                let before = kept.bytes();
                let step = match slot.joins {
                    0..PATIENCE => Step::Next,
                    PATIENCE..GIVE_UP => Step::Limit,
                    _ => Step::Top,
                };
                let thresholds = Thresholds {
                    numbers: &self.plan.numbers,
                    step,
                };
                // The first time round shows what changes; a flag that has two values keeps them.
                let widens = self.plan.is_head(pc) && slot.joins > 0;
                let lost = kept.join(state, widens.then_some(&thresholds))?;
                self.lost_pointer |= lost;
                self.bytes = self
                    .bytes
                    .saturating_add(kept.bytes())
                    .saturating_sub(before);
                new.joins = slot.joins.saturating_add(1);
            }
        }
        if !slot.queued {
            new.queued = true;
            let depth = self.contexts.get(context as usize).map_or(0, |c| c.depth);
            self.work
                .try_reserve(1)
                .map_err(|_| VerifyError::NoMemory)?;
            self.work.push((depth, Reverse(pc), Reverse(context)));
        }
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = new;
        }
        Ok(())
    }

    /// Index of a new copy.
    fn keep(&mut self, state: &State) -> Result<u32, VerifyError> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.states
                    .try_reserve(1)
                    .map_err(|_| VerifyError::NoMemory)?;
                self.states.push(State::EMPTY);
                (self.states.len() as u32).wrapping_sub(1)
            }
        };
        if let Some(kept) = self.states.get_mut(index as usize) {
            kept.copy_from(state)?;
            self.bytes = self.bytes.saturating_add(kept.bytes());
        }
        Ok(index)
    }

    /// Takes a queued state; where no loop can lead back to it, it is not kept.
    fn take(&mut self, context: u32, pc: usize, state: &mut State) -> Result<(), VerifyError> {
        let Some(slot) = self.slot(context, pc).and_then(|i| self.slots.get_mut(i)) else {
            return Ok(());
        };
        slot.queued = false;
        let index = slot.state;
        let Some(kept) = self.states.get_mut(index as usize) else {
            return Ok(());
        };
        if self.plan.loops {
            return state.copy_from(kept);
        }
        slot.state = NONE;
        self.bytes = self.bytes.saturating_sub(kept.bytes());
        core::mem::swap(kept, state);
        self.free
            .try_reserve(1)
            .map_err(|_| VerifyError::NoMemory)?;
        self.free.push(index);
        Ok(())
    }
}
