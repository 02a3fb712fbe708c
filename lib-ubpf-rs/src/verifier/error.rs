//! Why a program is refused: the instruction, what is wrong with it, what would do.

use super::{Cap, Known, Need};
use crate::{isa::Reg, program::Abi};

/// Why a program is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VerifyError {
    /// A cycle of instructions that nothing leaves.
    InfiniteLoop {
        /// The jump that closes the cycle.
        pc: usize,
    },
    /// A jump or call leads outside of the program.
    TargetOutside {
        /// The jump or call.
        pc: usize,
        /// Where it leads.
        target: i64,
        /// Slots of the program.
        len: usize,
    },
    /// A jump or call leads to the second slot of a wide instruction.
    TargetInsideWide {
        /// The jump or call.
        pc: usize,
        /// Where it leads.
        target: usize,
    },
    /// A jump leads into another function.
    TargetInOtherFunction {
        /// The jump.
        pc: usize,
        /// Where it leads.
        target: usize,
    },
    /// The last instruction of a function is neither an exit nor a jump.
    FallsOff {
        /// The last instruction.
        pc: usize,
    },
    /// A wide load names a map that the program does not have.
    UnknownMap {
        /// The load.
        pc: usize,
        /// The map's place.
        slot: u32,
        /// Maps there are.
        maps: usize,
    },
    /// A wide load names a place that the map's value does not have, or a value of a map that has not just one.
    UnknownMapPlace {
        /// The load.
        pc: usize,
        /// The map's place.
        slot: u32,
        /// The byte.
        offset: u32,
    },
    /// What an instruction needs is missing in the image, and the instruction can be reached: a call by BTF id, as which an object's
    /// reader marks it.
    Missing {
        /// The instruction.
        pc: usize,
    },
    /// A call of a function that the linker should have put in.
    UnresolvedCall {
        /// The call.
        pc: usize,
    },
    /// An address that the linker should have put in is used: that of a string, a table, a variable or a function.
    MissingAddress {
        /// Where it is used.
        pc: usize,
        /// What it is used for.
        what: &'static str,
        /// Where it is loaded.
        load: usize,
    },
    /// The frame pointer is written.
    WritesFramePointer {
        /// The instruction.
        pc: usize,
    },
    /// The helper does not exist.
    UnknownHelper {
        /// The call.
        pc: usize,
        /// Its number.
        number: u32,
        /// The numbering.
        abi: Abi,
        /// Another numbering that has one of this number.
        elsewhere: Option<Abi>,
    },
    /// The instruction exists but cannot run here.
    Unsupported {
        /// The instruction.
        pc: usize,
        /// What it is.
        what: &'static str,
    },
    /// Under `strict`: a register is read that nothing has set.
    UnsetRegister {
        /// The instruction.
        pc: usize,
        /// The register.
        register: Reg,
    },
    /// Under `strict`: an access is not shown to be in bounds.
    UnprovedAccess {
        /// The instruction.
        pc: usize,
        /// The base register.
        base: Reg,
        /// What the base register is known to be.
        known: Known,
        /// The instruction's own offset in bytes.
        off: i64,
        /// What would have done.
        need: Need,
    },
    /// Under `strict`: the analysis came to a limit.
    TooComplex {
        /// Which one.
        cap: Cap,
    },
    /// No answer under any policy: the account of work was too small, or the pause ended it.
    Unfinished {
        /// Why.
        cap: Cap,
    },
    /// Under `strict`: nothing shows that the program ends in time.
    UnprovedEnd {
        /// The instruction.
        pc: usize,
        /// What stands against it.
        what: &'static str,
    },
    /// Under `strict`: the program may end with a record that it has reserved; else a warning.
    HeldRecord {
        /// Where the program ends.
        pc: usize,
        /// Where it was reserved.
        reserved: usize,
    },
    /// No memory.
    NoMemory,
}

impl From<Cap> for VerifyError {
    fn from(cap: Cap) -> Self {
        VerifyError::Unfinished { cap }
    }
}

/// What is to be said of a program that is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Warning {
    /// The analysis came to a limit: every access is checked.
    Unproved {
        /// Which one.
        cap: Cap,
    },
    /// It may end with a record that it has reserved.
    HeldRecord {
        /// Where it ends.
        pc: usize,
        /// Where the record was reserved.
        reserved: usize,
    },
    /// A register is read that may not have been set.
    UnsetRegister {
        /// The instruction.
        pc: usize,
        /// The register.
        register: Reg,
    },
}
