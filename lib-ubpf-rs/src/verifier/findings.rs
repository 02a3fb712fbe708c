//! What an analysis says of a program: how each access is made safe and why not better, what is read unset, what calls cost,
//! how far counters go.

use super::{
    scalar::Part,
    structure::filled,
    value::{Value, ValueKind},
    verified::{Fact, Note},
    work::{pieces, price, Cap, Work},
    Target, VerifyError,
};
use crate::{
    isa::{AluOp, Operand, Reg},
    program::MapFamily,
};
use alloc::vec::Vec;

/// What an access would have needed to be proved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// The base is a number, or was never set.
    Pointer,
    /// The address may be outside: the base must be within these bytes of where it counts from.
    Within {
        /// Least offset.
        least: i64,
        /// Greatest offset.
        most: i64,
    },
    /// The address must be a multiple of this.
    Alignment(u64),
    /// The pointer may be null.
    NotNull,
    /// The memory is read-only.
    Writable,
    /// A string's NUL is not known to lie within the memory.
    StringEnd,
    /// It is not a map, not always the same one, or none that such helpers take.
    Map(MapFamily),
    /// How long a key or a value is depends on a map that is not known.
    KnownMap,
    /// It is not the start of a record that the program holds.
    Record,
}

impl Need {
    /// What it was that needed it.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Need::StringEnd => "string argument",
            Need::Map(_) => "map argument",
            Need::Record => "record argument",
            _ => "memory access",
        }
    }
}

/// What was known of a register when an access through it was not proved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    pub(crate) kind: ValueKind,
    pub(crate) least: i64,
    pub(crate) most: i64,
}

/// An access that is not proved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    pub(super) pc: usize,
    pub(super) base: Reg,
    pub(super) known: Known,
    pub(super) off: i64,
    pub(super) need: Need,
}

impl Failure {
    pub(super) fn new(pc: usize, base: Reg, value: &Value, off: i64, need: Need) -> Failure {
        let known = Known { kind: value.kind, least: value.num.whole.smin, most: value.num.whole.smax };
        Failure { pc, base, known, off, need }
    }

    /// Whether the base is of this kind.
    pub(super) fn is_of(&self, kind: ValueKind) -> bool {
        self.known.kind == kind
    }

    /// Whether it fails on each path that leads here, if no pointer was lost where they met: the base is no pointer at all, or the
    /// argument, of whose contents nothing is known.
    fn fails_on_every_path(&self) -> bool {
        match self.known.kind {
            ValueKind::Scalar => true,
            ValueKind::Argument => self.need == Need::StringEnd,
            _ => false,
        }
    }
}

/// How far a register goes that an instruction moves by a constant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Counter {
    pub(super) pc: usize,
    /// What it counts, or `None` when that is not always the same.
    pub(super) kind: Option<ValueKind>,
    pub(super) unsigned: (u64, u64),
    pub(super) signed: (i64, i64),
}

impl Counter {
    fn add(&mut self, new: &Counter) {
        if self.kind != new.kind {
            self.kind = None;
        }
        let (a, b) = (self.unsigned, new.unsigned);
        self.unsigned = (a.0.min(b.0), a.1.max(b.1));
        let (a, b) = (self.signed, new.signed);
        self.signed = (a.0.min(b.0), a.1.max(b.1));
    }
}

/// What the proof of an access says of the argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Claim {
    /// Least length that is taken for granted; 0 where the program has compared the length itself.
    pub(super) needed: u64,
    /// The first byte that is touched, and the end of the last.
    pub(super) first: u64,
    pub(super) end: u64,
    /// Bytes below the end of a frame that are touched.
    pub(super) stack: u64,
}

impl Claim {
    /// Other memory is accessed.
    pub(super) const NONE: Claim = Claim { needed: 0, first: u64::MAX, end: 0, stack: 0 };
}

/// What an analysis says of a program.
pub(super) struct Findings {
    /// One per slot.
    pub(super) notes: Vec<Note>,
    /// First read of each register that may not have been set.
    pub(super) unset: [Option<usize>; Reg::COUNT],
    pub(super) argument_needed: u64,
    /// The first byte of the argument that a proved access touches, and the end of the last.
    pub(super) argument_first: u64,
    pub(super) argument_reach: u64,
    /// Bytes below the end of a frame that a proved access touches.
    pub(super) stack_reach: u64,
    /// The first reason of each access that is not proved, of [`MAX_FAILURES`] of them.
    pub(super) failures: Vec<Failure>,
    /// There are more.
    pub(super) more_failures: bool,
    /// What an access that is checked is charged beside that, and each memory argument of a helper.
    pub(super) search: u32,
    /// Counters in loops, ascending by PC.
    pub(super) counters: Vec<Counter>,
    /// A call for which there may be no frame.
    pub(super) too_deep: Option<usize>,
    /// An end of the program at which it may hold a record, and where that was reserved.
    pub(super) held: Option<(usize, usize)>,
}

/// Cost of a call that nothing limits.
pub(super) const UNLIMITED: u32 = u32::MAX;
/// Reasons that are kept.
const MAX_FAILURES: usize = 4096;
/// Most counters that are followed.
const MAX_COUNTERS: usize = 256;

impl Findings {
    /// `search` is what it takes beside the check of an access to search maps within maps.
    pub(super) fn new(len: usize, search: u32, work: &mut Work<'_>) -> Result<Findings, VerifyError> {
        Ok(Findings {
            search,
            notes: filled(len, Note::DEAD, work)?,
            unset: [None; Reg::COUNT],
            argument_needed: 0,
            argument_first: u64::MAX,
            argument_reach: 0,
            stack_reach: 0,
            failures: Vec::new(),
            more_failures: false,
            counters: Vec::new(),
            too_deep: None,
            held: None,
        })
    }

    fn note(&mut self, pc: usize, fact: Fact) {
        if let Some(note) = self.notes.get_mut(pc) {
            note.fact |= fact;
        }
    }

    fn has(&self, pc: usize, fact: Fact) -> bool {
        self.notes.get(pc).is_some_and(|note| note.fact.contains(fact))
    }

    pub(super) fn reach(&mut self, pc: usize) {
        self.note(pc, Fact::REACHED);
    }

    /// Marks an instruction that lies in a loop: counters are followed there.
    pub(super) fn mark_loop(&mut self, pc: usize) {
        self.note(pc, Fact::IN_LOOP);
    }

    pub(super) fn in_loop(&self, pc: usize) -> bool {
        self.has(pc, Fact::IN_LOOP)
    }

    /// The registers that may be read without having been set, and where that is first.
    pub(super) fn unset_registers(&self) -> impl Iterator<Item = (Reg, usize)> + '_ {
        let read = (0u8..).zip(self.unset);
        read.filter_map(|(register, pc)| Some((Reg::new(register)?, pc?)))
    }

    #[inline(never)]
    pub(super) fn unset(&mut self, reg: Reg, pc: usize) {
        if let Some(first) = self.unset.get_mut(reg.index()) {
            *first = Some(first.map_or(pc, |first| first.min(pc)));
        }
    }

    fn target(&mut self, pc: usize, target: Target) {
        if let Some(note) = self.notes.get_mut(pc) {
            let first = !note.fact.contains(Fact::ACCESS);
            note.target = if first || note.target == target { target } else { Target::Unknown };
            note.fact |= Fact::ACCESS;
        }
    }

    pub(super) fn prove(&mut self, pc: usize, target: Target, argument: Claim) {
        self.target(pc, target);
        self.argument_needed = self.argument_needed.max(argument.needed);
        self.argument_first = self.argument_first.min(argument.first);
        self.argument_reach = self.argument_reach.max(argument.end);
        self.stack_reach = self.stack_reach.max(argument.stack);
    }

    pub(super) fn guard(&mut self, pc: usize, target: Target, failure: Failure) {
        self.target(pc, target);
        if self.has(pc, Fact::FAILED) {
            return;
        }
        self.note(pc, Fact::GUARDED | Fact::FAILED);
        self.searched(pc);
        if self.failures.len() < MAX_FAILURES && self.failures.try_reserve(1).is_ok() {
            self.failures.push(failure);
        } else {
            self.more_failures = true;
        }
    }

    fn searched(&mut self, pc: usize) {
        if let Some(note) = self.notes.get_mut(pc) {
            note.cost = note.cost.max(self.search);
        }
    }

    /// A load from the application's memory: by an address that is none of the program's, and needs not be.
    pub(super) fn probe(&mut self, pc: usize) {
        self.target(pc, Target::Unknown);
        self.note(pc, Fact::GUARDED | Fact::PROBING);
        self.searched(pc);
    }

    pub(super) fn divisor(&mut self, pc: usize, zero: bool, minus_one: bool) {
        let fact = |on, fact| if on { fact } else { Fact::empty() };
        self.note(pc, fact(zero, Fact::MAYBE_ZERO) | fact(minus_one, Fact::MAYBE_MINUS_ONE));
    }

    /// Which map a helper is given; `None` where that is not known.
    pub(super) fn map(&mut self, pc: usize, slot: Option<u16>) {
        if let Some(note) = self.notes.get_mut(pc) {
            let slot = slot.unwrap_or(Note::SEVERAL);
            let same = note.map == Note::NO_MAP || note.map == slot;
            note.map = if same { slot } else { Note::SEVERAL };
        }
    }

    /// What a helper's call costs, its own instruction included.
    pub(super) fn call(&mut self, pc: usize, cost: u64) {
        let cost = u32::try_from(cost).unwrap_or(UNLIMITED);
        if let Some(note) = self.notes.get_mut(pc) {
            note.cost = note.cost.max(cost);
        }
    }

    pub(super) fn too_deep(&mut self, pc: usize) {
        self.too_deep.get_or_insert(pc);
    }

    /// Follows a register that a constant is added to, subtracted from or that is divided by one, in a loop.
    pub(super) fn count(&mut self, pc: usize, op: AluOp, part: Part, before: &Value, by: Operand) {
        let counts = matches!(op, AluOp::Add | AluOp::Sub | AluOp::Rsh | AluOp::Div);
        if !counts || !matches!(by, Operand::Imm(_)) || !self.in_loop(pc) {
            return;
        }
        let num = match (part, before.kind) {
            (Part::Half, ValueKind::Scalar) => before.num.half,
            (Part::Half, _) => return,
            // The offsets of pointers count too, as long as the memory is the same.
            (Part::Whole, _) => before.num.whole,
        };
        let new = Counter { pc, kind: Some(before.kind), unsigned: (num.umin, num.umax), signed: (num.smin, num.smax) };
        match self.counters.binary_search_by_key(&pc, |c| c.pc) {
            Ok(index) => {
                if let Some(old) = self.counters.get_mut(index) {
                    old.add(&new);
                }
            }
            Err(index) => {
                let free = self.counters.len() < MAX_COUNTERS;
                if free && self.counters.try_reserve(1).is_ok() {
                    self.counters.insert(index, new);
                }
            }
        }
    }

    /// Whether no access failed but those that fail on each path that leads to them.
    pub(super) fn fails_on_every_path(&self) -> bool {
        !self.more_failures && self.failures.iter().all(Failure::fails_on_every_path)
    }

    /// What both analyses of the same program say, each being right.
    pub(super) fn combine(&mut self, other: &Findings, work: &mut Work<'_>) -> Result<(), Cap> {
        for piece in pieces(0..self.notes.len()) {
            work.spend_each(piece.len(), price::GLANCE)?;
            let (own, other) =
                (self.notes.get_mut(piece.clone()).unwrap_or_default(), other.notes.get(piece).unwrap_or_default());
            for (a, b) in own.iter_mut().zip(other) {
                a.fact &= b.fact;
                a.cost = a.cost.min(b.cost);
                if a.map >= Note::SEVERAL {
                    a.map = b.map;
                }
                if a.target == Target::Unknown {
                    a.target = b.target;
                }
            }
        }
        for (a, b) in self.unset.iter_mut().zip(other.unset) {
            *a = (*a).and(b);
        }
        // Either may have relied on its own.
        self.argument_needed = self.argument_needed.max(other.argument_needed);
        self.argument_first = self.argument_first.min(other.argument_first);
        self.argument_reach = self.argument_reach.max(other.argument_reach);
        self.stack_reach = self.stack_reach.max(other.stack_reach);
        self.too_deep = self.too_deep.and(other.too_deep);
        self.held = self.held.and(other.held);
        let notes = &self.notes;
        let still = |f: &Failure| notes.get(f.pc).is_some_and(|n| n.fact.contains(Fact::FAILED));
        self.failures.retain(still);
        Ok(())
    }
}
