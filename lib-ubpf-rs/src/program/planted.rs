//! Mistakes that can be planted in tests, to see that the tests of soundness find them. Outside of tests none is ever active.

/// A mistake, modelled on those that verifiers have had.
#[cfg_attr(not(any(test, feature = "fuzz")), allow(dead_code, reason = "planted in tests only"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// Sums are thought not to wrap around.
    AddWraps,
    /// A comparison of 32 bits says the same of 64 (CVE-2020-8835).
    HalfIsWhole,
    /// Bits known of the one operand are taken for those of the result's low half (CVE-2021-3490).
    BitwiseHalf,
    /// A pointer that may be null stays one when it is moved (CVE-2022-23222).
    MovedNull,
    /// A comparison with 0 is thought to say the same of a pointer on both sides.
    NullBothSides,
    /// Whatever map is looked into, the value is thought to be of the first one.
    FirstMap,
    /// A sign-extending load is taken for a zero-extending one.
    SignedLoad,
    /// The size of an access is left out.
    AccessSize,
    /// A value in the stack outlives a write to a part of it.
    PartialSpill,
    /// A join keeps what the first path knew.
    JoinKeepsFirst,
    /// A write that may go anywhere leaves the stack as it is.
    WildStore,
    /// `a <= b` is taken for `a < b` when the argument's length is compared.
    RoomBeyond,
    /// Shifting by an amount beyond the width is taken for that amount.
    ShiftBeyond,
    /// Half of a counter's passes are left out.
    FewPasses,
    /// A program of one function is taken for one that calls nothing.
    StraightRecursion,
    /// A callee's frame is thought to be its caller's.
    SameFrame,
    /// Numbers shifted by 32 bits are thought to come from the same one on two ways.
    ShiftedAlike,
    /// What is proved by a comparison of the argument's length is left out of how far a program goes there.
    ReachForgotten,
    /// What is done with whole states, copies and joins of the first analysis, is not charged to the account of work.
    FreeStates,
    /// An account that is used up goes on.
    NoLimit,
    /// The memory of states is not counted.
    WeightlessStates,
    /// What a register holds of another one outlives a change of that one.
    StaleRelation,
    /// A remainder of a part of a number is taken for one of the number.
    RemainderOfPart,
    /// Any pointer is taken for the argument's end.
    AnyEnd,
    /// A copy of a record's address outlives the record.
    StaleRecord,
    /// What a helper writes over keeps its value.
    KeptWord,
    /// A record that is held on one of two ways that meet is thought to be held on none.
    HeldOnOneWay,
    /// The proofs are thought to hold for an argument of any length.
    AnyArgument,
    /// Machine code: the size of an access is left out of the check at run time.
    GuardSize,
    /// Machine code: a move of 32 bits keeps the other half.
    WideMove,
    /// Machine code: a sign-extending load fills with zeros.
    ZeroFill,
    /// Machine code: what a probing load gives does not come to its register.
    ProbeLost,
    /// Machine code: a jump back costs one less.
    CheapLoop,
    /// Charges: an atomic access or a division weighs as much as an addition in the proved cost.
    LightOperation,
    /// Trampoline: one of the registers that programs change is not kept.
    LostRegister,
    /// Trampoline: only the first program is given its argument.
    OneArgument,
    /// Trampoline: the argument is not cleared behind its first word.
    DirtyArgument,
    /// Tracer: what was counted at a site goes to the first program alone.
    OneCounted,
    /// Machine code: of a key of four bytes eight are looked for.
    WideKey,
    /// Trampoline: records that a program holds are not lent to helpers.
    RecordNotLent,
    /// Packages: a place in data may be beyond its end.
    OffsetBeyond,
    /// Packages: a map that does not exist is taken for one.
    MapBeyond,
    /// Packages: a function may begin within a wide load.
    MiddleOfWide,
    /// Packages: two may have one name.
    TwoOfOneName,
    /// Packages: a map holds something beyond its last entry.
    KeyBeyond,
    /// Packages: what an instruction needs is not compared with the instruction.
    AnyInstruction,
    /// Maps: all lanes have one slot of a value.
    OneSlot,
    /// Maps: a new key has the slots that the one before it had.
    OldSlots,
    /// Maps: where a queue is full, the newest value makes room.
    NewestGoes,
    /// Maps: the bits behind a prefix that share its last byte stay.
    PrefixUncut,
    /// Maps: a hash map replaces also where only a new key is wanted.
    FlagsForgotten,
    /// Maps: one of the bits of a value is not put into a filter.
    FewerBits,
    /// Maps: the stack trace in a place is taken for any other.
    SameHash,
    /// Maps: what was under a key is still held when something else has taken its place.
    StillHeld,
    /// Maps: a map takes maps of another definition in.
    AnyInner,
    /// Maps: what was under a key is given back while runs that have found it go on.
    NoGrace,
    /// Maps: programs stay in a map that nobody has any more.
    KeptPrograms,
    /// Objects: a relocation may lie outside of its section.
    RelocationOutside,
    /// Objects: a relocation may have no symbol.
    NoSymbol,
    /// Objects: a symbol may be in a section that there is none of.
    SectionBeyond,
    /// Objects: sections may have the same bytes.
    SharedBytes,
    /// Tail calls: there may be any number of them.
    EndlessChain,
    /// Tail calls: what the next program leaves of the budget is given out again.
    FreshBudget,
}

#[cfg(any(test, feature = "fuzz"))]
impl Bug {
    /// All of them.
    pub const ALL: &[Bug] = &[
        Bug::AddWraps,
        Bug::HalfIsWhole,
        Bug::BitwiseHalf,
        Bug::MovedNull,
        Bug::NullBothSides,
        Bug::FirstMap,
        Bug::SignedLoad,
        Bug::AccessSize,
        Bug::PartialSpill,
        Bug::JoinKeepsFirst,
        Bug::WildStore,
        Bug::RoomBeyond,
        Bug::ShiftBeyond,
        Bug::FewPasses,
        Bug::StraightRecursion,
        Bug::SameFrame,
        Bug::ShiftedAlike,
        Bug::ReachForgotten,
        Bug::FreeStates,
        Bug::NoLimit,
        Bug::WeightlessStates,
        Bug::StaleRelation,
        Bug::RemainderOfPart,
        Bug::AnyEnd,
        Bug::StaleRecord,
        Bug::KeptWord,
        Bug::HeldOnOneWay,
        Bug::AnyArgument,
        Bug::GuardSize,
        Bug::WideMove,
        Bug::ZeroFill,
        Bug::ProbeLost,
        Bug::CheapLoop,
        Bug::LightOperation,
        Bug::LostRegister,
        Bug::OneArgument,
        Bug::DirtyArgument,
        Bug::OneCounted,
        Bug::WideKey,
        Bug::RecordNotLent,
        Bug::OffsetBeyond,
        Bug::MapBeyond,
        Bug::MiddleOfWide,
        Bug::TwoOfOneName,
        Bug::KeyBeyond,
        Bug::AnyInstruction,
        Bug::OneSlot,
        Bug::OldSlots,
        Bug::NewestGoes,
        Bug::PrefixUncut,
        Bug::FlagsForgotten,
        Bug::FewerBits,
        Bug::SameHash,
        Bug::StillHeld,
        Bug::AnyInner,
        Bug::NoGrace,
        Bug::KeptPrograms,
        Bug::RelocationOutside,
        Bug::NoSymbol,
        Bug::SectionBeyond,
        Bug::SharedBytes,
        Bug::EndlessChain,
        Bug::FreshBudget,
    ];
}

#[cfg(any(test, feature = "fuzz"))]
std::thread_local! {
    static PLANTED: core::cell::Cell<Option<Bug>> = const { core::cell::Cell::new(None) };
}

/// Whether a mistake is planted.
#[cfg(any(test, feature = "fuzz"))]
pub fn active(bug: Bug) -> bool {
    PLANTED.with(|planted| planted.get() == Some(bug))
}

/// Whether a mistake is planted: never.
#[cfg(not(any(test, feature = "fuzz")))]
#[inline(always)]
pub const fn active(_bug: Bug) -> bool {
    false
}

/// Plants a mistake for the rest of the thread.
#[cfg(any(test, feature = "fuzz"))]
pub fn plant(bug: Bug) {
    PLANTED.with(|planted| planted.set(Some(bug)));
}

/// Runs something with a mistake planted.
#[cfg(any(test, feature = "fuzz"))]
pub fn with<T>(bug: Bug, run: impl FnOnce() -> T) -> T {
    plant(bug);
    let result = run();
    PLANTED.with(|planted| planted.set(None));
    result
}
