//! Why a program is refused: the instruction, what is wrong with it, what would do.

use super::{Cap, Known, Need};
use crate::{isa::Reg, program::Abi};
use core::fmt;

/// An instruction's offset, where it has one.
struct Offset(i64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            off => write!(f, "{off:+}"),
        }
    }
}

/// Why a program is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum VerifyError {
    /// A cycle of instructions that nothing leaves.
    #[error("infinite loop at PC {pc}")]
    InfiniteLoop {
        /// The jump that closes the cycle.
        pc: usize,
    },
    /// A jump or call leads outside of the program.
    #[error("jump out of the program at PC {pc}: target {target} is not in 0..{len}")]
    TargetOutside {
        /// The jump or call.
        pc: usize,
        /// Where it leads.
        target: i64,
        /// Slots of the program.
        len: usize,
    },
    /// A jump or call leads to the second slot of a wide instruction.
    #[error("jump into the middle of a wide instruction at PC {pc}: target {target}")]
    TargetInsideWide {
        /// The jump or call.
        pc: usize,
        /// Where it leads.
        target: usize,
    },
    /// A jump leads into another function.
    #[error("jump into another function at PC {pc}: target {target}")]
    TargetInOtherFunction {
        /// The jump.
        pc: usize,
        /// Where it leads.
        target: usize,
    },
    /// The last instruction of a function is neither an exit nor a jump.
    #[error("execution runs past the end of the function after PC {pc}: an exit is missing")]
    FallsOff {
        /// The last instruction.
        pc: usize,
    },
    /// A wide load names a map that the program does not have.
    #[error("wide load of map {slot} at PC {pc}: the program has {maps} maps, numbered from 0")]
    UnknownMap {
        /// The load.
        pc: usize,
        /// The map's place.
        slot: u32,
        /// Maps there are.
        maps: usize,
    },
    /// A wide load names a place that the map's value does not have, or a value of a map that has not just one.
    #[error(
        "wide load of byte {offset} of map {slot}'s value at PC {pc}: it must be within the one value of an array"
    )]
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
    #[error("PC {pc} needs something that this image does not have (it is a call by BTF id)")]
    Missing {
        /// The instruction.
        pc: usize,
    },
    /// A call of a function that the linker should have put in.
    #[error("the call at PC {pc} was not resolved; load the object file (`ubpf flat FILE.o -o FILE.bin` makes a flat program of it)")]
    UnresolvedCall {
        /// The call.
        pc: usize,
    },
    /// An address that the linker should have put in is used: that of a string, a table, a variable or a function.
    #[error("{what} at PC {pc} needs an address that the flat file lacks: PC {load} loads a place in the object; load the object file (`ubpf flat FILE.o -o FILE.bin`)")]
    MissingAddress {
        /// Where it is used.
        pc: usize,
        /// What it is used for.
        what: &'static str,
        /// Where it is loaded.
        load: usize,
    },
    /// The frame pointer is written.
    #[error("write to r10 at PC {pc}: the frame pointer is read-only")]
    WritesFramePointer {
        /// The instruction.
        pc: usize,
    },
    /// The helper does not exist.
    #[error(
        "unknown helper {number} at PC {pc} (helpers are numbered as in the {abi} ABI{})",
        Elsewhere(*.elsewhere)
    )]
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
    #[error("{what} at PC {pc} is not supported")]
    Unsupported {
        /// The instruction.
        pc: usize,
        /// What it is.
        what: &'static str,
    },
    /// Under `strict`: a register is read that nothing has set.
    #[error("r{} is read at PC {pc} but was not set on every path to it", .register.number())]
    UnsetRegister {
        /// The instruction.
        pc: usize,
        /// The register.
        register: Reg,
    },
    /// Under `strict`: an access is not shown to be in bounds.
    #[error("{} at PC {pc} through r{}{} is not proved to be in bounds: r{} is {known}; {need} (strict policy)", .need.what(), .base.number(), Offset(*.off), .base.number())]
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
    #[error("the program is too complex to be proved (strict policy): {cap}; the guarded policy takes it")]
    TooComplex {
        /// Which one.
        cap: Cap,
    },
    /// No answer under any policy: the account of work was too small, or the pause ended it.
    #[error("the program was not verified: {cap}")]
    Unfinished {
        /// Why.
        cap: Cap,
    },
    /// Under `strict`: nothing shows that the program ends in time.
    #[error("{what} at PC {pc}: the end is not proved (strict policy)")]
    UnprovedEnd {
        /// The instruction.
        pc: usize,
        /// What stands against it.
        what: &'static str,
    },
    /// Under `strict`: the program may end with a record that it has reserved; else a warning.
    #[error("the record reserved at PC {reserved} may still be held where the program ends at PC {pc}: submit or discard it on every path")]
    HeldRecord {
        /// Where the program ends.
        pc: usize,
        /// Where it was reserved.
        reserved: usize,
    },
    /// No memory.
    #[error("out of memory")]
    NoMemory,
}

impl From<Cap> for VerifyError {
    fn from(cap: Cap) -> Self {
        VerifyError::Unfinished { cap }
    }
}

/// What to try where another numbering knows the helper.
struct Elsewhere(Option<Abi>);

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(abi) => write!(f, "; there is one in the {abi} ABI: try --abi {abi}"),
        }
    }
}
