//! No stub is known: sites that are patched cannot be used, instrumented functions can.

pub use super::super::stub::{Rewrite, Stub};

/// Length of a stub.
pub const STUB_LEN: usize = 4;

/// What stands at a site while nothing is attached.
pub const NOP5: [u8; STUB_LEN] = [0; STUB_LEN];

/// What may stand before a stub.
pub const ENDBR64: [u8; 4] = [0; 4];

/// The shortest nop.
pub const NOP: u8 = 0;

/// The longest nop that is recognised.
pub const LONGEST_NOP: usize = STUB_LEN;

/// Recognises the stub at an entry: none.
pub fn recognise(_bytes: &[u8]) -> Option<Stub> {
    None
}

/// Bytes of nops that stand first: none is known.
pub fn nops(_bytes: &[u8]) -> usize {
    0
}

/// A call at a site: there is none.
pub fn call(_site: u64, _target: u64) -> Option<[u8; STUB_LEN]> {
    None
}

/// Where a call or jump leads: not known.
pub fn led_to(_site: u64, _bytes: &[u8]) -> Option<u64> {
    None
}
