//! What the verifier and the interpreter must know of a helper.

/// Type of a helper's argument.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ArgType {
    /// Not looked at.
    Unused,
    /// Any number.
    Scalar,
    /// Address of a NUL-terminated string in memory the program may read; at most 256 bytes.
    CString,
    /// Address of memory the program may read; the length is in the next argument.
    MemRead,
    /// Address of memory the program may write; the length is in the next argument.
    MemWrite,
    /// Length in bytes of the preceding memory argument.
    Length,
    /// Any address; the helper itself reads it fault-safely.
    AnyAddress,
}

/// Type of a helper's result.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RetType {
    /// Any number.
    Scalar,
    /// Nothing; r0 becomes 0.
    Void,
    /// Zero ends the program with r0 = 0 (the classic `unwind`).
    EndIfZero,
}

/// Cost of one call in instructions, charged to the budget before the call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cost {
    /// Per call.
    pub base: u32,
    /// Per 8 bytes of each [`ArgType::Length`] argument.
    pub per_8_bytes: u32,
}

/// What a helper takes and gives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HelperSignature {
    /// The five argument registers r1 to r5.
    pub args: [ArgType; 5],
    /// The result.
    pub ret: RetType,
    /// The cost of a call.
    pub cost: Cost,
}
