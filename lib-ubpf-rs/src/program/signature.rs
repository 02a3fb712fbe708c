//! What the verifier and the interpreter must know of a helper.

use super::MapFamily;

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
    /// Address of eight bytes that the helper writes.
    WriteWord,
    /// Length in bytes of the preceding memory argument.
    Length,
    /// Any address; the helper itself reads it fault-safely.
    AnyAddress,
    /// One of the program's maps, of a kind that helpers of this family take. A helper takes one at most.
    Map(MapFamily),
    /// Address of memory the program may read, as long as a key of the map before it.
    MapKey,
    /// Address of memory the program may read, as long as a value of the map before it.
    MapValue,
    /// Address of memory the program may write, as long as a value of the map before it.
    MapValueOut,
    /// Bytes of the record that the helper reserves in the ring before it.
    RecordSize,
    /// Address of a record that the program has reserved; after the call it is not the program's any more.
    Record,
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
    /// Address of a value of the map that it was given, or 0.
    MapValueOrNull,
    /// Address of a record that the program holds from now on, or 0.
    RecordOrNull,
    /// The run goes on in another program; or the number of an error.
    TailCall,
}

/// Cost of one call in units of budget: nanoseconds on the machine of `docs/performance.md`. The call instruction has a weight beside it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Cost {
    /// Per call, charged before it.
    pub base: u32,
    /// Per 8 bytes of each [`ArgType::Length`] argument, key and value, charged before the call, and of a string, charged when it was read; that a
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

impl ArgType {
    /// Whether the engine looks for the memory that it names before the call.
    pub(crate) const fn is_memory(&self) -> bool {
        match self {
            ArgType::MapKey | ArgType::MapValue | ArgType::MapValueOut => true,
            ArgType::MemRead | ArgType::MemWrite | ArgType::WriteWord | ArgType::CString => true,
            ArgType::Unused | ArgType::Scalar | ArgType::AnyAddress | ArgType::Length => false,
            ArgType::Map(_) | ArgType::RecordSize | ArgType::Record => false,
        }
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

/// Why the arguments of a helper cannot be checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignatureError {
    /// Memory without a length, or a length without memory.
    Unpaired {
        /// The register of it, from 1.
        register: usize,
    },
    /// A key, a value or a pointer to one without a map before it, or a second map.
    NoMap {
        /// The register of it.
        register: usize,
    },
    /// A helper is given one string at most.
    SecondString {
        /// The register of the second.
        register: usize,
    },
}

impl HelperSignature {
    /// Whether it is given numbers only: nothing to look up, to check or to charge by the byte.
    #[inline]
    pub fn takes_numbers(&self) -> bool {
        self.args.iter().all(|kind| match kind {
            ArgType::Unused | ArgType::Scalar | ArgType::AnyAddress | ArgType::RecordSize | ArgType::Record => true,
            ArgType::CString | ArgType::MemRead | ArgType::MemWrite | ArgType::WriteWord | ArgType::Length => false,
            ArgType::Map(_) | ArgType::MapKey | ArgType::MapValue | ArgType::MapValueOut => false,
        })
    }

    /// Whether it is given nothing that lies in the program's memory.
    pub fn touches_no_memory(&self) -> bool {
        self.args.iter().all(|kind| match kind {
            ArgType::Unused | ArgType::Scalar | ArgType::AnyAddress | ArgType::Length | ArgType::Map(_) => true,
            ArgType::RecordSize | ArgType::Record => true,
            ArgType::CString | ArgType::MemRead | ArgType::MemWrite | ArgType::WriteWord => false,
            ArgType::MapKey | ArgType::MapValue | ArgType::MapValueOut => false,
        })
    }

    /// Checks that the engine can check what a program passes: a length stands behind each memory and nowhere else, and there is one
    /// string at most.
    pub fn check(&self) -> Result<(), SignatureError> {
        let (mut memory, mut string, mut map) = (None, false, false);
        for (register, kind) in (1..).zip(self.args) {
            if let Some(before) = memory.filter(|_| kind != ArgType::Length) {
                return Err(SignatureError::Unpaired { register: before });
            }
            if kind == ArgType::Length && memory.is_none() {
                return Err(SignatureError::Unpaired { register });
            }
            if kind == ArgType::CString && core::mem::replace(&mut string, true) {
                return Err(SignatureError::SecondString { register });
            }
            match kind {
                ArgType::Map(_) if core::mem::replace(&mut map, true) => {
                    return Err(SignatureError::NoMap { register })
                }
                ArgType::MapKey | ArgType::MapValue | ArgType::MapValueOut | ArgType::RecordSize if !map => {
                    return Err(SignatureError::NoMap { register })
                }
                ArgType::Map(_) | ArgType::MapKey | ArgType::MapValue | ArgType::MapValueOut => {}
                ArgType::Unused | ArgType::Scalar | ArgType::CString | ArgType::AnyAddress | ArgType::Record => {}
                ArgType::MemRead | ArgType::MemWrite | ArgType::WriteWord | ArgType::Length | ArgType::RecordSize => {}
            }
            memory = matches!(kind, ArgType::MemRead | ArgType::MemWrite).then_some(register);
        }
        if matches!(self.ret, RetType::MapValueOrNull | RetType::RecordOrNull) && !map {
            return Err(SignatureError::NoMap { register: 0 });
        }
        match memory {
            Some(register) => Err(SignatureError::Unpaired { register }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ArgType::*, *};

    #[test]
    fn memory_has_a_length_and_strings_are_single() {
        let check = |args| {
            let cost = Cost::default();
            let ret = RetType::Scalar;
            HelperSignature { args, ret, cost }.check()
        };
        let unpaired = |register| Err(SignatureError::Unpaired { register });
        assert_eq!(check([MemRead, Length, MemWrite, Length, Scalar]), Ok(()));
        assert_eq!(check([AnyAddress, CString, Unused, MemRead, Length]), Ok(()));
        assert_eq!(check([Unused, Unused, Unused, Unused, MemWrite]), unpaired(5));
        assert_eq!(check([MemWrite, Scalar, Length, Unused, Unused]), unpaired(1));
        assert_eq!(check([Length, Unused, Unused, Unused, Unused]), unpaired(1));
        assert_eq!(check([MemRead, Length, Length, Unused, Unused]), unpaired(3));
        assert_eq!(check([MemRead, MemRead, Length, Unused, Unused]), unpaired(1));
        let second = Err(SignatureError::SecondString { register: 3 });
        assert_eq!(check([CString, Scalar, CString, Unused, Unused]), second);
    }
}
