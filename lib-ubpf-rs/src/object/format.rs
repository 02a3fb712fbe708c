//! The numbers of the format. `docs/package.md` says what they mean.

use super::{ProgramKind, Wish};
use crate::program::{Abi, PointKind};

pub use crate::program::limits::MAX_MAPS;

/// The first bytes of a package: no instruction and no text begins so, and a transfer that changes line ends damages them.
pub const MAGIC: [u8; 8] = *b"\x8fUBPK\r\n\x1a";
/// Version of the format: a reader reads its own major version only.
pub const MAJOR: u16 = 1;
/// A newer minor version adds optional sections.
pub const MINOR: u16 = 0;

/// Bytes of the header.
pub(super) const HEADER: usize = 104;
/// Where the checksum stands in it.
pub(super) const CHECKSUM: core::ops::Range<usize> = 16..20;
/// Everything begins at a multiple of this.
pub(super) const ALIGN: usize = 8;

/// Most programs of an object.
pub const MAX_PROGRAMS: usize = 256;
/// Most bytes of data of an object.
pub const MAX_DATA_BYTES: usize = 16 << 20;
/// Most bytes of types for showing maps.
pub const MAX_TYPES: usize = 16 << 10;
/// Longest name in bytes.
pub const LONGEST_NAME: usize = 128;
/// Longest text in bytes.
pub const LONGEST_TEXT: usize = 256;

/// Kinds of sections, in the order in which they stand.
pub(super) mod section {
    pub const STRINGS: u16 = 1;
    pub const LICENCE: u16 = 2;
    pub const MAPS: u16 = 3;
    pub const DATA: u16 = 4;
    pub const VARIABLES: u16 = 5;
    pub const PROGRAMS: u16 = 6;
    pub const ENTRIES: u16 = 7;
    pub const SLOTS: u16 = 8;
    pub const FUNCTIONS: u16 = 9;
    pub const TYPES: u16 = 10;

    /// A reader that does not know it goes on behind it.
    pub const OPTIONAL: u16 = 1;
}

/// Bytes of a record.
pub(super) mod record {
    pub const MAP: usize = 40;
    pub const VARIABLE: usize = 24;
    pub const ENTRY: usize = 16;
    pub const SLOT: usize = 24;
    pub const FUNCTION: usize = 16;
}

/// Kinds of slots.
pub(super) mod slot {
    pub const HELPER: u32 = 1;
    pub const SYMBOL: u32 = 2;
    pub const WEAK_SYMBOL: u32 = 3;
    pub const MISSING: u32 = 4;
    pub const PROBING: u32 = 5;
}

/// What an entry holds.
pub(super) mod held {
    pub const MAP: u32 = 1;
    pub const PROGRAM: u32 = 2;
}

/// Numbers of what has a table: the number is the place in it.
pub(super) const ABIS: [Abi; Abi::ALL.len()] = Abi::ALL;
pub(super) const WISHES: [Wish; 3] = [Wish::None, Wish::Guarded, Wish::Strict];
pub(super) const KINDS: [ProgramKind; 10] = [
    ProgramKind::Memory,
    ProgramKind::Registers,
    ProgramKind::Arguments,
    ProgramKind::Xdp,
    ProgramKind::Classifier,
    ProgramKind::Socket,
    ProgramKind::Unfired,
    ProgramKind::Tracepoint,
    ProgramKind::Words,
    ProgramKind::Sample,
];
pub(super) const ATTACHES: [Option<PointKind>; 4] =
    [None, Some(PointKind::Entry), Some(PointKind::Return), Some(PointKind::Timer)];

/// The number of a value in its table.
pub(super) fn number<T: PartialEq>(table: &[T], value: &T) -> u32 {
    let place = table.iter().position(|one| one == value);
    place.map_or(u32::MAX, |place| place as u32)
}

/// The value of a number in its table.
pub(super) fn value<T: Copy>(table: &[T], number: u32) -> Option<T> {
    table.get(usize::try_from(number).ok()?).copied()
}

/// Whether a text can be shown in a line and is not too long.
pub(super) fn is_text(text: &str) -> bool {
    text.len() <= LONGEST_TEXT && !text.chars().any(char::is_control)
}

/// Whether a name can be typed and shown.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST_NAME && !name.chars().any(|c| c.is_control() || c.is_whitespace())
}
