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

/// Cost of one call in units of budget: nanoseconds on the machine of `docs/performance.md`. The call instruction has a weight beside it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Cost {
    /// Per call, charged before it.
    pub base: u32,
    /// Per 8 bytes of each [`ArgType::Length`] argument, charged before the call, and of a string, charged when it was read; that a
    /// string is read costs [`Cost::READ`] more.
    pub per_8_bytes: u32,
    /// Most that the helper adds by itself for what it walked ([`HelperCall::walked`](crate::helpers::HelperCall::walked)), charged
    /// after the call.
    pub walk: u32,
}

impl Cost {
    /// Per 8 bytes of a string: what it takes to read it.
    pub const READ: u32 = 3;

    /// What a string of so many bytes adds.
    pub const fn of_string(&self, bytes: u64) -> u64 {
        (bytes / 8).saturating_mul(self.per_8_bytes as u64 + Self::READ as u64)
    }

    /// What so many bytes add.
    pub const fn of_bytes(&self, bytes: u64) -> u64 {
        (bytes / 8).saturating_mul(self.per_8_bytes as u64)
    }
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
