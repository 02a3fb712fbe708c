//! Mistakes that can be planted in tests, to see that the tests of soundness find them. Outside of tests none is ever active.

/// A mistake, modelled on those that verifiers have had.
#[cfg_attr(not(test), allow(dead_code, reason = "planted in tests only"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// Sums are thought not to wrap around.
    AddWraps,
    /// A comparison of 32 bits says the same of 64 (CVE-2020-8835).
    HalfIsWhole,
    /// Bits known of the one operand are taken for those of the result's low half (CVE-2021-3490).
    BitwiseHalf,
    /// A pointer that may be null stays one when it is moved (CVE-2022-23222).
    MovedNull,
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
    /// A counter's last pass is not counted.
    LastPass,
    /// A callee's frame is thought to be its caller's.
    SameFrame,
}

#[cfg(test)]
std::thread_local! {
    static PLANTED: core::cell::Cell<Option<Bug>> = const { core::cell::Cell::new(None) };
}

/// Whether a mistake is planted.
#[cfg(test)]
pub(crate) fn active(bug: Bug) -> bool {
    PLANTED.with(|planted| planted.get() == Some(bug))
}

/// Whether a mistake is planted: never.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn active(_bug: Bug) -> bool {
    false
}

/// Runs something with a mistake planted.
#[cfg(test)]
pub(crate) fn with<T>(bug: Bug, run: impl FnOnce() -> T) -> T {
    PLANTED.with(|planted| planted.set(Some(bug)));
    let result = run();
    PLANTED.with(|planted| planted.set(None));
    result
}
