//! No stub is known: sites that are patched cannot be used, instrumented functions can.

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

/// What stands at an entry; never made.
#[allow(dead_code, reason = "the tracer asks for them on every CPU")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stub {
    /// A stub that can be used as it is.
    Nop5 {
        /// Distance from the entry.
        offset: usize,
        /// The stub.
        bytes: [u8; STUB_LEN],
    },
    /// A stub that is rewritten before use.
    Nops {
        /// Distance from the entry.
        offset: usize,
        /// Bytes of it.
        length: usize,
        /// What makes it one that can be used.
        rewrite: Rewrite,
    },
}

/// Bytes that take the place of others; never made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rewrite {}

impl Rewrite {
    /// What must be there.
    pub fn old(&self) -> &[u8] {
        match *self {}
    }

    /// What is written.
    pub fn fresh(&self) -> &[u8] {
        match *self {}
    }
}

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
