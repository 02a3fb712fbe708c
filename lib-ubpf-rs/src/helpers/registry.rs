//! The table of helpers and how one is called.

use super::Host;
use crate::program::{Abi, HelperSignature};
use crate::verifier::HelperLookup;
use alloc::vec::Vec;

/// A helper's arguments and surroundings during one call. Memory arguments were checked by the engine against the
/// helper's signature before the call.
pub struct HelperCall<'a> {
    /// r1 to r5.
    pub args: [u64; 5],
    /// Services.
    pub host: &'a dyn Host,
}

/// Why a helper stopped the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HelperFault {
    /// For the message, lower case.
    pub reason: &'static str,
}

/// A helper's function: r0, or the end of the run.
pub type HelperFn = fn(&mut HelperCall<'_>) -> Result<u64, HelperFault>;

/// All helpers that programs of this image may call.
#[derive(Default)]
pub struct Registry {
    entries: Vec<Entry>,
}

#[allow(dead_code)]
struct Entry {
    abi: Abi,
    number: u32,
    name: &'static str,
    signature: HelperSignature,
    function: HelperFn,
}

impl HelperLookup for Registry {
    fn signature(&self, abi: Abi, number: u32) -> Option<HelperSignature> {
        let found = self
            .entries
            .iter()
            .find(|e| e.abi == abi && e.number == number);
        found.map(|e| e.signature)
    }
}
