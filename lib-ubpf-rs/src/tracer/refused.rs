//! Stubs that cannot be used, and why.

use super::site::SiteKind;
use crate::platform::PatchError;

/// Why a stub cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unusable {
    /// No symbol stands where the function begins.
    NoSymbol,
    /// It was of no use at start, for want of a symbol.
    TooLate,
    /// Fewer nops than a call takes.
    TooShort {
        /// How many there are.
        found: usize,
    },
    /// It calls the profiler.
    Calls,
    /// The next symbol stands in it.
    NotInside,
    /// It cannot be read.
    Unreadable,
    /// The platform cannot change text.
    NoTextPatch,
    /// Its nops could not be made one instruction.
    Patch(PatchError),
}

/// A stub that cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Start of its function; where that is unknown, what the compiler recorded.
    pub function: u64,
    /// Why.
    pub reason: Unusable,
    pub(super) record: u64,
    pub(super) kind: SiteKind,
    /// It has become a site, and is about to be taken out of the list.
    pub(super) usable: bool,
}
