//! Why bytes are no package that can be loaded.

use crate::platform::Cancelled;

/// Why a package is refused. Offsets count bytes from its begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectError {
    /// It does not begin as one.
    NotAPackage,
    /// It is shorter or longer than it says.
    Length {
        /// Bytes there are.
        found: usize,
        /// Bytes it says it has.
        expected: usize,
    },
    /// Another major version.
    Version {
        /// Its version.
        found: u16,
        /// The reader's.
        known: u16,
        /// Which side to update.
        advice: &'static str,
    },
    /// The checksum is another one.
    Checksum {
        /// That of the bytes.
        found: u32,
        /// The one it says.
        expected: u32,
    },
    /// A section that this reader does not know, and that may not be left out.
    UnknownSection {
        /// Where it begins.
        at: usize,
        /// Its kind.
        kind: u16,
    },
    /// Something in it is not as it must be.
    Malformed {
        /// Where.
        at: usize,
        /// What.
        what: Malformed,
    },
    /// Nobody wants the answer any more.
    Cancelled,
    /// No memory.
    NoMemory,
}

/// What is wrong at a place of a package.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// A section or a record reaches beyond what holds it.
    Beyond(&'static str),
    /// A field that must be zero is not.
    Reserved(&'static str),
    /// A number that stands for nothing.
    Number {
        /// What it should be one of.
        what: &'static str,
        /// The number.
        number: u32,
    },
    /// A name or a text that cannot be shown, is too long, or lies outside of the table of strings.
    Text,
    /// Too many of something.
    TooMany {
        /// What.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// Sections, slots or functions are not in their order, or twice there.
    Order(&'static str),
    /// Two programs, maps or data sections have one name.
    Twice(&'static str),
    /// A place that lies outside of what it points into.
    Outside(&'static str),
    /// A claim about an instruction that the instruction contradicts.
    Claim(&'static str),
    /// An instruction that no package has.
    Instruction(&'static str),
    /// A section that must be there is not.
    NoProgram,
}

impl From<Cancelled> for ObjectError {
    fn from(_: Cancelled) -> Self {
        ObjectError::Cancelled
    }
}

pub(super) fn malformed(at: usize, what: Malformed) -> ObjectError {
    ObjectError::Malformed { at, what }
}
