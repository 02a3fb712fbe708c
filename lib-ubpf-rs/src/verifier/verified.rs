//! What is known of a program that may run: how each access is made safe, what it uses, what it costs.

use super::{
    work::{pieces, price},
    Cap, Policy, VerifyError, Warning, Work,
};
use crate::{
    isa::{weight, Insn},
    program::{MapDef, Program},
};
use alloc::vec::Vec;

/// How one memory access is made safe.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// The instruction touches no memory.
    None,
    /// Shown to be in bounds, and aligned where it is atomic, on every path: may be emitted bare. A proof of an access to
    /// the argument holds for arguments of at least [`VerifiedProgram::argument_needed`] bytes.
    Proved,
    /// Checked at run time. A helper checks its memory arguments in any case; here it says whether they may be refused.
    Guarded,
}

/// Where an access leads, as far as it is known. For a guarded access no more than a hint which region to try first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// Not known, or not the same on every path.
    Unknown,
    /// The program's stack.
    Stack,
    /// The argument.
    Argument,
    /// Memory given by the runtime: map values, shared data.
    Arena,
    /// Constant data.
    Rodata,
}

bitflags::bitflags! {
    /// What the reachable part of a program makes use of.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Uses: u16 {
        /// r10 is read: without it nothing but a wild guarded access can touch the stack.
        const STACK = 1;
        /// Helpers are called: leaves generated code, unless the engine has the helper inline.
        const HELPERS = 1 << 1;
        /// A helper is called whose number is in a register.
        const CALLX = 1 << 2;
        /// Functions of the program are called.
        const LOCAL_CALLS = 1 << 3;
        /// There is an access that is checked at run time.
        const GUARDED = 1 << 4;
        /// There is a jump backwards.
        const LOOPS = 1 << 5;
        /// Memory is accessed by the program's own instructions.
        const MEMORY = 1 << 6;
        /// A register is read that may not have been set (see [`VerifiedProgram::warnings`]).
        const UNSET = 1 << 7;
    }
}

bitflags::bitflags! {
    /// What is known of one instruction.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(super) struct Fact: u8 {
        /// It may be executed.
        const REACHED = 1;
        /// It accesses memory.
        const ACCESS = 1 << 1;
        /// The access needs a check at run time.
        const GUARDED = 1 << 2;
        /// It divides, and the divisor may be zero.
        const MAYBE_ZERO = 1 << 3;
        /// It divides, and the divisor may be -1.
        const MAYBE_MINUS_ONE = 1 << 4;
        /// It lies between a jump backwards and its target.
        const IN_LOOP = 1 << 5;
        /// It is a load from the application's memory on a path that leads here.
        const PROBING = 1 << 6;
        /// The access is neither proved nor one that probes on every path that leads here.
        const FAILED = 1 << 7;
    }
}

/// What is known of one slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    pub(super) fact: Fact,
    pub(super) target: Target,
    /// The place of the map that a helper is given.
    pub(super) map: u16,
    /// Most that a call of a helper costs, the instruction included; `u32::MAX` where nothing limits it.
    pub(super) cost: u32,
}

impl Note {
    /// Of a slot that is never executed.
    pub(super) const DEAD: Note = Note { fact: Fact::empty(), target: Target::Unknown, map: Note::NO_MAP, cost: 0 };
    /// What one execution of the instruction is charged, its check included.
    pub(super) fn weight(&self, insn: &Insn) -> u32 {
        insn.weight().saturating_add(self.check(insn))
    }
    /// What the check of an access is charged: nothing for one that is proved.
    pub(super) fn check(&self, insn: &Insn) -> u32 {
        let access = matches!(insn, Insn::Load { .. } | Insn::Store { .. } | Insn::Atomic { .. });
        match access {
            true if self.fact.contains(Fact::PROBING) => {
                weight::CHECK.saturating_add(weight::READ).saturating_add(self.cost)
            }
            true if self.fact.contains(Fact::GUARDED) => weight::CHECK.saturating_add(self.cost),
            _ => 0,
        }
    }

    /// No helper is called there that takes a map.
    pub(super) const NO_MAP: u16 = u16::MAX;
    /// It is not always the same one.
    pub(super) const SEVERAL: u16 = u16::MAX - 1;
}

/// A program that may run: every jump and call lands on an instruction of the program, reserved fields are
/// zero, helpers exist, no path falls off the end.
///
/// # Charging
/// The same on every engine; [`vm::begin`](crate::vm::begin) decides at the start of each run.
/// - **Prepaid**: when [`worst_cost`](Self::worst_cost) is `Some(w)`, the budget is at least `w` and the proofs hold, the run is charged `w` when it
///   starts and nothing afterwards, whatever path it takes and however it ends. It cannot run out of budget.
/// - **Metered** otherwise. On entry to a function, the start of the program included, the budget is charged
///   [`function_charge`](Self::function_charge): the weights ([`Insn::weight`]) of all its instructions; on a taken jump from `pc` to
///   `target <= pc` it is charged [`jump_charge`](Self::jump_charge): those from `target` to `pc`; for the call of a helper what its
///   signature says ([`Cost`](crate::program::Cost)). A charge that the budget cannot pay leaves the budget as it was and stops
///   the run with the PC of the jump or call (the entry PC at the start). So what is executed never weighs more than what was charged.
///
/// The check of an access and each memory argument of a helper are also charged for a search among the maps, where they are many, and among the
/// maps that they hold ([`MapDef::search_all`]).
///
/// A unit of budget is a nanosecond of machine code on the machine of `docs/performance.md`, with warm caches: nothing takes more than
/// four times what it is charged. An interpreter may take thirty times as long ([`INTERPRETED`](crate::vm::INTERPRETED)).
///
/// # What proofs assume
/// That r1 and r2 start as address and length of the run's argument, the length being at least
/// [`argument_needed`](Self::argument_needed) and at most [`ARGUMENT_MAX`](Self::ARGUMENT_MAX), the address at most
/// [`ARGUMENT_BASE_MAX`](Self::ARGUMENT_BASE_MAX). An engine that leaves out the check of a proved access asks
/// [`vm::proofs_hold`](crate::vm::proofs_hold) when a run starts; when the answer is no it checks every access, and the run is metered.
#[derive(Clone, Debug)]
pub struct VerifiedProgram {
    pub(super) program: Program,
    /// One per slot.
    pub(super) notes: Vec<Note>,
    /// Start PC of each function, ascending; the first is 0.
    pub(super) functions: Vec<usize>,
    /// Weight of all slots before each, and of all.
    pub(super) weights: Vec<u32>,
    pub(super) policy: Policy,
    pub(super) uses: Uses,
    pub(super) worst_cost: Option<u64>,
    pub(super) argument_needed: u64,
    pub(super) argument_first: u64,
    pub(super) argument_reach: u64,
    pub(super) stack_reach: u64,
    pub(super) steps: usize,
    pub(super) cap: Option<Cap>,
    pub(super) warnings: Vec<Warning>,
    /// The maps it was verified for, by their place.
    pub(super) maps: Vec<MapDef>,
    /// How many are proved, and how many are guarded.
    pub(super) accesses: (usize, usize),
    /// The greatest of what entries to functions are charged.
    pub(super) longest: u64,
}

impl VerifiedProgram {
    /// Longest argument, in bytes, for which the proofs hold.
    pub const ARGUMENT_MAX: u64 = super::value::ARGUMENT_MAX;
    /// Highest address of an argument for which the proofs hold: an offset of 32 bits does not wrap around.
    pub const ARGUMENT_BASE_MAX: u64 = u64::MAX - (1 << 33);

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }
    fn fact(&self, pc: usize) -> Fact {
        self.notes.get(pc).map_or(Fact::empty(), |note| note.fact)
    }
    /// How the access at this PC is made safe.
    pub fn access(&self, pc: usize) -> Access {
        let fact = self.fact(pc);
        if !fact.contains(Fact::ACCESS) {
            return Access::None;
        }
        if fact.contains(Fact::GUARDED) {
            return Access::Guarded;
        }
        Access::Proved
    }
    /// Whether the load at this PC is from the application's memory where it is not from the program's. Such an access is [`Access::Guarded`].
    pub fn is_probing(&self, pc: usize) -> bool {
        self.fact(pc).contains(Fact::PROBING)
    }
    /// How many accesses are proved, and how many are checked at run time. A helper that takes memory is one access.
    pub fn accesses(&self) -> (usize, usize) {
        self.accesses
    }
    /// Most that is charged for the entry to any of the functions: what is executed between two charges weighs no more.
    pub fn longest_stretch(&self) -> u64 {
        self.longest
    }
    pub(super) fn find_longest(&mut self, work: &mut Work<'_>) -> Result<(), Cap> {
        for &start in &self.functions {
            work.spend(price::SEARCH)?;
            self.longest = self.longest.max(self.function_charge(start));
        }
        Ok(())
    }
    /// Where the access at this PC leads.
    pub fn target(&self, pc: usize) -> Target {
        self.notes.get(pc).map_or(Target::Unknown, |n| n.target)
    }
    /// What the maps are for which it was verified, by their place.
    pub fn maps(&self) -> &[MapDef] {
        &self.maps
    }
    /// The place of the map that the helper called at this PC is given, if it is the same on every path.
    pub fn map_at(&self, pc: usize) -> Option<u16> {
        let map = self.notes.get(pc).map_or(Note::NO_MAP, |note| note.map);
        (map < Note::SEVERAL).then_some(map)
    }
    /// Whether the instruction at this PC can be executed; false says that no run ever gets there.
    pub fn reachable(&self, pc: usize) -> bool {
        self.fact(pc).contains(Fact::REACHED)
    }
    /// Whether the division or modulo at this PC never has a zero divisor (in its width).
    pub fn divisor_is_not_zero(&self, pc: usize) -> bool {
        !self.fact(pc).contains(Fact::MAYBE_ZERO)
    }
    /// Whether the division or modulo at this PC never has the divisor -1 (in its width).
    pub fn divisor_is_not_minus_one(&self, pc: usize) -> bool {
        !self.fact(pc).contains(Fact::MAYBE_MINUS_ONE)
    }
    /// What the program makes use of.
    pub fn uses(&self) -> Uses {
        self.uses
    }
    /// Least length of the argument, in bytes, for which the proofs hold. 0 to [`Context::bytes`](super::Context::bytes).
    pub fn argument_needed(&self) -> u64 {
        self.argument_needed
    }
    /// Bytes at the start of the argument in which all proved accesses to it lie, of an argument of any length: more than
    /// [`argument_needed`](Self::argument_needed) where the program compares the length before it goes farther.
    pub fn argument_reach(&self) -> u64 {
        self.argument_reach
    }
    /// Bytes at the start of the argument that no proved access touches: at most [`argument_reach`](Self::argument_reach).
    pub fn argument_first(&self) -> u64 {
        self.argument_first.min(self.argument_reach)
    }
    /// Bytes below the end of a frame in which all proved accesses to it lie. 0 to 512.
    pub fn stack_reach(&self) -> u64 {
        self.stack_reach
    }
    /// Start PCs of the program's functions, ascending.
    pub fn functions(&self) -> &[usize] {
        &self.functions
    }
    /// What an entry to the function that starts at `start` is charged.
    pub fn function_charge(&self, start: usize) -> u64 {
        let next = self.functions.partition_point(|&f| f <= start);
        let end = self.functions.get(next).copied();
        self.weight_of(start, end.unwrap_or(self.program.insns.len()))
    }
    /// What a taken jump back from `pc` to `target` is charged.
    #[inline]
    pub fn jump_charge(&self, pc: usize, target: usize) -> u64 {
        self.weight_of(target, pc.wrapping_add(1))
    }
    /// What one execution of the instruction at this PC is charged, the check of its access included; of the call of a helper, the way
    /// there and back.
    pub fn insn_charge(&self, pc: usize) -> u64 {
        self.weight_of(pc, pc.wrapping_add(1))
    }
    #[inline]
    fn weight_of(&self, from: usize, to: usize) -> u64 {
        let before = |pc: usize| self.weights.get(pc).copied().unwrap_or(0);
        u64::from(before(to).wrapping_sub(before(from)))
    }
    /// The policy it was admitted under.
    pub fn policy(&self) -> Policy {
        self.policy
    }
    /// Proved upper bound of what one run costs, in units of budget, on any path and whatever it reads; `None` where there is no
    /// proof.
    pub fn worst_cost(&self) -> Option<u64> {
        self.worst_cost
    }
    /// Instructions that the verifier went through, repetitions included.
    pub fn steps(&self) -> usize {
        self.steps
    }
    /// The limit that the analysis came to: there may be more to prove than is proved.
    pub fn cap(&self) -> Option<Cap> {
        self.cap
    }
    /// Bytes of memory that it holds.
    pub(super) fn bytes(&self) -> usize {
        let of = |count: usize, size: usize| count.saturating_mul(size);
        [
            of(self.program.insns.capacity(), size_of::<Insn>()),
            of(self.program.probing.capacity(), size_of::<u32>()),
            of(self.weights.capacity(), size_of::<u32>()),
            of(self.notes.capacity(), size_of::<Note>()),
            of(self.functions.capacity(), size_of::<usize>()),
            of(self.maps.capacity(), size_of::<MapDef>()),
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }
    /// Remarks for the person who loaded it.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// Weight of all slots before each slot, and of all: what a stretch weighs is a difference.
pub(super) fn weights(insns: &[Insn], notes: &[Note], work: &mut Work<'_>) -> Result<Vec<u32>, VerifyError> {
    let mut weights = Vec::new();
    weights.try_reserve_exact(insns.len().saturating_add(1)).map_err(|_| VerifyError::NoMemory)?;
    let mut sum = 0u32;
    weights.push(sum);
    for piece in pieces(0..insns.len()) {
        work.spend_each(piece.len(), price::LOOK)?;
        let notes = notes.get(piece.clone()).unwrap_or_default();
        for (insn, note) in insns.get(piece).unwrap_or_default().iter().zip(notes) {
            // Of the longest program with the heaviest instructions it is far from 32 bits.
            sum = sum.saturating_add(note.weight(insn));
            weights.push(sum);
        }
    }
    Ok(weights)
}
