//! Objects: programs that belong together, with their maps and data, as a *package* brings them into an image. The host makes a package of
//! a compiler's object; the image reads it here and believes nothing of it. `docs/package.md` has the format. Knows nothing about how maps
//! are made and programs are run.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod check;
pub mod crc32;
mod error;
mod format;
mod lower;
mod packet;
mod parts;
mod read;
mod write;

pub use error::{Malformed, ObjectError};
pub use format::{LONGEST_NAME, LONGEST_TEXT, MAGIC, MAJOR, MAX_DATA_BYTES, MAX_MAPS, MAX_PROGRAMS, MAX_TYPES, MINOR};
pub use lower::{Externs, LowerError, Missing};
pub use packet::{NoPacket, MAX_PACKET};
pub use parts::PartError;
pub use write::{write, write_in_pieces, WriteError};

use crate::program::{Abi, PointKind};
use alloc::vec::Vec;

/// Whether this image takes packages.
pub const TAKEN: bool = cfg!(feature = "packages");

/// Whether these are the bytes of a package.
pub fn is_package(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Programs with their maps and data. Borrows from the bytes it was read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object<'a> {
    /// Name of the object, for messages and for the names of its maps.
    pub name: &'a str,
    /// Numbering of helpers and layout of contexts.
    pub abi: Abi,
    /// How much its author wants to be proved. The image's own policy is never weakened by it.
    pub wish: Wish,
    /// The image whose types were used when it was made; zeros where none were.
    pub image: [u8; ID_BYTES],
    /// SHA-256 of the file it was made of.
    pub source: [u8; ID_BYTES],
    /// Licence, as the object names it; may be empty.
    pub licence: &'a str,
    /// Maps. Instructions name them by their place here.
    pub maps: Vec<ObjectMap<'a>>,
    /// What maps that hold maps or programs hold at first.
    pub entries: Vec<MapEntry>,
    /// Data sections: maps of one value, which instructions name by their place here, counted on behind the maps.
    pub data: Vec<Data<'a>>,
    /// Constants of the data that a person may set by name before the object is loaded.
    pub variables: Vec<Variable<'a>>,
    /// Programs.
    pub programs: Vec<ProgramDef<'a>>,
    /// What instructions need that they cannot say themselves, ascending by program and instruction.
    pub slots: Vec<Relocation<'a>>,
    /// Names of functions, ascending by program and start.
    pub functions: Vec<FunctionName<'a>>,
    /// Types of keys, values and variables, for who shows them: bytes that nobody here looks into. At most [`MAX_TYPES`].
    pub types: &'a [u8],
}

/// Bytes of an id of an image, and of a hash.
pub const ID_BYTES: usize = 32;

/// How much an author wants to be proved of the programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Wish {
    /// As the image has it.
    #[default]
    None,
    /// What is not proved is checked at run time.
    Guarded,
    /// Everything.
    Strict,
}

/// A map, as its object defines it. Whether there is such a kind, and whether the sizes fit it, is the map's matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectMap<'a> {
    /// Name.
    pub name: &'a str,
    /// Linux's number of the kind (`BPF_MAP_TYPE_…`).
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// Linux's flags (`BPF_F_…`).
    pub flags: u32,
    /// Whether objects that define a map of this name share one.
    pub shared: bool,
    /// For maps that hold maps: the map of this object that shows what they look like.
    pub inner: Option<u32>,
}

/// What a map holds under a key at first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapEntry {
    /// The map.
    pub map: u32,
    /// The key: an index.
    pub key: u32,
    /// What is held.
    pub value: MapContent,
}

/// A map or a program in a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapContent {
    /// A map of the object.
    Map(u32),
    /// A program of the object.
    Program(u32),
}

/// A data section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Data<'a> {
    /// Name of the section.
    pub name: &'a str,
    /// Whether it is frozen before the programs are verified, and never written again.
    pub read_only: bool,
    /// Bytes.
    pub size: u32,
    /// Contents; nothing where all is zero.
    pub bytes: &'a [u8],
}

/// A variable of a data section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variable<'a> {
    /// Name.
    pub name: &'a str,
    /// The data section, by its place in [`Object::data`].
    pub data: u32,
    /// Where it begins, in bytes.
    pub offset: u32,
    /// Bytes: 1, 2, 4 or 8.
    pub size: u32,
    /// Whether it has a sign.
    pub signed: bool,
}

/// What calls a program, and so what its argument is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ProgramKind {
    /// Memory: what a flat program gets.
    Memory,
    /// The registers at a function's entry or exit (`kprobe`, `uprobe` and the like).
    Registers,
    /// The arguments of a function, and at its exit the result (`fentry`, `fexit`).
    Arguments,
    /// A packet (`xdp`).
    Xdp,
    /// A packet (`tc`, `classifier`, `action`).
    Classifier,
    /// A packet (`socket`).
    Socket,
    /// Something that no unikernel fires, and that has no form of its own (`cgroup`, `struct_ops` …).
    Unfired,
    /// A record of a trace point (`tracepoint`, `tp`), which no unikernel fires.
    Tracepoint,
    /// Words (`raw_tp`, `tp_btf`, `iter`, `lsm` …), of something that no unikernel fires.
    Words,
    /// Registers and two words of a sample (`perf_event`), which no unikernel takes.
    Sample,
}

/// A program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProgramDef<'a> {
    /// Name: that of its function.
    pub name: &'a str,
    /// Name of its section, as it was written.
    pub section: &'a str,
    /// What calls it.
    pub kind: ProgramKind,
    /// What it wants to be attached to, if it says.
    pub attach: Option<PointKind>,
    /// The function it wants, or a pattern of such; may be empty.
    pub target: &'a str,
    /// How far into the function, in bytes.
    pub offset: u64,
    /// Its instructions and those of the functions it calls, in the encoding of RFC 9669. A map is a wide load of source 5, its data one of source
    /// 6, a function's address one of source 4.
    pub code: &'a [u8],
}

/// What an instruction needs that it cannot say itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Relocation<'a> {
    /// The program.
    pub program: u32,
    /// The instruction.
    pub pc: u32,
    /// What it needs.
    pub need: SlotNeed<'a>,
}

/// What an instruction needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotNeed<'a> {
    /// A call: the helper of this name. Where the call has a number as well, it is that helper's.
    Helper(&'a str),
    /// A wide load: the address of this symbol of the image.
    Symbol(&'a str),
    /// As [`Symbol`](Self::Symbol), but 0 where there is none.
    WeakSymbol(&'a str),
    /// Anything: it was not resolved, and the program is refused if it can be reached. The text says what is missing.
    Missing(&'a str),
    /// A load: from the application's memory, by an address that is the application's. It is read as `probe_read` reads, where the program does not
    /// own it.
    Probing,
}

/// The name of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FunctionName<'a> {
    /// The program.
    pub program: u32,
    /// Its first instruction.
    pub start: u32,
    /// Its name.
    pub name: &'a str,
}
