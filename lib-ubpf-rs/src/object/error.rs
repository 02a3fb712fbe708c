//! Why bytes are no package that can be loaded.

use crate::platform::Cancelled;

/// Why a package is refused. Offsets count bytes from its begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum ObjectError {
    /// It does not begin as one.
    #[error("this is no package: make one with `ubpf pack FILE.o -o FILE.pkg`")]
    NotAPackage,
    /// It is shorter or longer than it says.
    #[error("the package has {found} bytes and should have {expected}: it was not transferred as a whole")]
    Length {
        /// Bytes there are.
        found: usize,
        /// Bytes it says it has.
        expected: usize,
    },
    /// Another major version.
    #[error("the package has format {found}, and this image reads format {known}: {advice}")]
    Version {
        /// Its version.
        found: u16,
        /// The reader's.
        known: u16,
        /// Which side to update.
        advice: &'static str,
    },
    /// The checksum is another one.
    #[error("the package was damaged (checksum {found:#010x}, should be {expected:#010x}): transfer it again")]
    Checksum {
        /// That of the bytes.
        found: u32,
        /// The one it says.
        expected: u32,
    },
    /// A section that this reader does not know, and that may not be left out.
    #[error("the package has a section of kind {kind} at byte {at}, which this image does not know: update the image")]
    UnknownSection {
        /// Where it begins.
        at: usize,
        /// Its kind.
        kind: u16,
    },
    /// Something in it is not as it must be.
    #[error("package, byte {at}: {what}")]
    Malformed {
        /// Where.
        at: usize,
        /// What.
        what: Malformed,
    },
    /// Nobody wants the answer any more.
    #[error("cancelled")]
    Cancelled,
    /// No memory.
    #[error("out of memory")]
    NoMemory,
}

/// What is wrong at a place of a package.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum Malformed {
    /// A section or a record reaches beyond what holds it.
    #[error("{0} reaches beyond its end")]
    Beyond(&'static str),
    /// A field that must be zero is not.
    #[error("a reserved field of {0} is not zero")]
    Reserved(&'static str),
    /// A number that stands for nothing.
    #[error("{what} {number} does not exist")]
    Number {
        /// What it should be one of.
        what: &'static str,
        /// The number.
        number: u32,
    },
    /// A name or a text that cannot be shown, is too long, or lies outside of the table of strings.
    #[error("a name or text lies outside of the strings, is empty or too long, or cannot be shown")]
    Text,
    /// Too many of something.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// Sections, slots or functions are not in their order, or twice there.
    #[error("{0} is there twice or out of order")]
    Order(&'static str),
    /// Two programs, maps or data sections have one name.
    #[error("there are two {0} of one name")]
    Twice(&'static str),
    /// A place that lies outside of what it points into.
    #[error("{0} points outside of the data")]
    Outside(&'static str),
    /// A claim about an instruction that the instruction contradicts.
    #[error("the instruction is not what the package says of it: {0}")]
    Claim(&'static str),
    /// An instruction that no package has.
    #[error("{0}")]
    Instruction(&'static str),
    /// A section that must be there is not.
    #[error("there is no program in it")]
    NoProgram,
}

impl From<Cancelled> for ObjectError {
    fn from(_: Cancelled) -> Self {
        ObjectError::Cancelled
    }
}
