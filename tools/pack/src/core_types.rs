//! CO-RE: what a program wants to know of types that it does not bring along.
//!
//! A unikernel has none of Linux's types. The engine offers those that contexts are made of, and an image's debug file may have others; of all the rest a program is told that
//! they do not exist, and an instruction that needs more than that is marked as missing, with the name of the field.

use crate::{
    btf::{Btf, CoreRelocation, Kind, DEPTH},
    elf::File,
    error::{refused, text, Error},
    work::{Put, Steps},
};
use alloc::{string::String, vec::Vec};
use core::fmt;
use ubpf_rs::{
    object::LONGEST_TEXT,
    platform::{find, sort_by_in_pieces},
};

/// The types that CO-RE relocations are resolved with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CoreTypes {
    /// Those that the engine offers.
    #[default]
    Offered,
    /// The object's own, as if the kernel it was made for ran it: to verify it, and no more.
    Own,
}

/// What becomes of an instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// This number stands in it.
    Number(u64),
    /// What it needs is missing.
    Missing(String),
}

/// An instruction: its section and byte.
type InsnPlace = (usize, u64);

/// What CO-RE says of the instructions of an object.
#[derive(Default)]
pub struct Core {
    /// Ascending by place; of one place the last is what counts.
    changes: Vec<(InsnPlace, usize, Change)>,
    /// Those that go to a field of a type that the object does not bring along: where they load, they do so by an address that is not the
    /// program's. Ascending.
    fields: Vec<InsnPlace>,
    /// Whether it mattered what the types of the image say.
    pub uses_image: bool,
}

impl Core {
    /// What becomes of an instruction, if anything does.
    pub fn change(&self, section: usize, address: u64) -> Option<&Change> {
        let place = (section, address);
        let behind = self.changes.partition_point(|change| change.0 <= place);
        let last = self.changes.get(behind.checked_sub(1)?)?;
        (last.0 == place).then_some(&last.2)
    }

    /// Whether an instruction goes to a field of a type that the object does not bring along.
    pub fn is_field(&self, section: usize, address: u64) -> bool {
        self.fields.binary_search(&(section, address)).is_ok()
    }
}

/// Kinds of relocations (Linux, `enum bpf_core_relo_kind`).
pub mod kind {
    pub const BYTE_OFFSET: u32 = 0;
    pub const EXISTS: [u32; 4] = [2, 8, 10, 12];
    pub const LOCAL_ID: u32 = 6;
    pub const TARGET_ID: u32 = 7;
    pub const BYTE_SIZE: u32 = 1;
    pub const SIGNED: u32 = 3;
    pub const LEFT: u32 = 4;
    pub const RIGHT: u32 = 5;
    pub const TYPE_SIZE: u32 = 9;
    pub const LAST: u32 = 12;
}

/// The registers of x86-64 in Linux's order, by both of their names.
const REGISTERS: [(&str, &str); 21] = [
    ("r15", "r15"),
    ("r14", "r14"),
    ("r13", "r13"),
    ("r12", "r12"),
    ("bp", "rbp"),
    ("bx", "rbx"),
    ("r11", "r11"),
    ("r10", "r10"),
    ("r9", "r9"),
    ("r8", "r8"),
    ("ax", "rax"),
    ("cx", "rcx"),
    ("dx", "rdx"),
    ("si", "rsi"),
    ("di", "rdi"),
    ("orig_ax", "orig_rax"),
    ("ip", "rip"),
    ("cs", "cs"),
    ("flags", "eflags"),
    ("sp", "rsp"),
    ("ss", "ss"),
];

/// What programs are given at functions, and at timers, as Linux calls it.
const REGISTERS_TYPE: &str = "pt_regs";
const SAMPLE_TYPE: &str = "bpf_perf_event_data";
const REGISTERS_BYTES: u64 = 8 * REGISTERS.len() as u64;

/// The fields of the latter: names, where they begin, bytes.
const SAMPLE: [(&str, u64, u64); 3] =
    [("regs", 0, REGISTERS_BYTES), ("sample_period", REGISTERS_BYTES, 8), ("addr", REGISTERS_BYTES + 8, 8)];

/// Steps for each character of an access, of which two make an index: behind each there may be as many names of types as are followed.
const OF_AN_ACCESS: usize = DEPTH / 2;

/// What an image that is known says of a relocation, of which the last is said without it.
pub type Known<'k> = dyn Fn(&CoreRelocation<'_>, Change) -> Result<Change, Error> + 'k;

/// What the relocations of an object say. With an image, its types are asked for what the engine does not offer.
pub fn read<'f>(
    file: &File<'f>,
    btf: &Btf<'f>,
    types: CoreTypes,
    image: Option<&Known<'_>>,
    steps: &mut Steps<'_>,
) -> Result<Core, Error> {
    let mut core = Core::default();
    // Those of a section stand together.
    let mut section = ("", None);
    for one in btf.relocations(file, steps)? {
        steps.take(one.access.len().saturating_mul(OF_AN_ACCESS).saturating_add(8))?;
        if one.section != section.0 {
            steps.take(file.sections.len())?;
            section = (one.section, file.section(one.section).map(|found| found.0));
        }
        let place = (section.1.unwrap_or(usize::MAX), one.offset.into());
        let is_context = [REGISTERS_TYPE, SAMPLE_TYPE].contains(&flavourless(&btf.get(one.root)?.name));
        if one.kind == kind::BYTE_OFFSET && !is_context {
            core.fields.put(place)?;
        }
        let Some(change) = resolve(btf, &one, types)? else { continue };
        let change = match image.filter(|_| !is_context && one.kind != kind::TARGET_ID) {
            Some(image) => {
                core.uses_image = true;
                image(&one, change)?
            }
            None => change,
        };
        let order = core.changes.len();
        core.changes.put((place, order, change))?;
    }
    sort_by_in_pieces(&mut core.changes, |one, other| (one.0, one.1) < (other.0, other.1), || steps.take(1))?;
    sort_by_in_pieces(&mut core.fields, |one, other| one < other, || steps.take(1))?;
    Ok(core)
}

/// A step of an access.
pub enum Step<'b> {
    Member(&'b str),
    #[cfg_attr(not(feature = "host"), allow(dead_code))]
    Index(u64),
}

fn does_not_fit(one: &CoreRelocation<'_>) -> Error {
    refused!("the access `{}` does not fit type {}", one.access, one.root)
}

/// The numbers of an access; the first is that of an array round the type, or of an enum's value.
fn indexes<'b>(one: &'b CoreRelocation<'_>) -> impl Iterator<Item = Result<u64, Error>> + 'b {
    one.access.split(':').map(|index| index.parse().map_err(|_| does_not_fit(one)))
}

/// The steps of an access, by names: members of what has no name are found as if they stood outside of it.
pub fn steps<'b>(btf: &'b Btf<'_>, one: &CoreRelocation<'_>) -> Result<Vec<Step<'b>>, Error> {
    let wrong = || does_not_fit(one);
    let mut indexes = indexes(one);
    let mut steps = Vec::new();
    steps.put(Step::Index(indexes.next().ok_or_else(wrong)??))?;
    let mut current = btf.plain(one.root)?;
    for index in indexes {
        let index = index?;
        let next = match &current.kind {
            Kind::Struct { members, .. } => {
                let member = members.get(index as usize).ok_or_else(wrong)?;
                if !member.name.is_empty() {
                    steps.put(Step::Member(&member.name))?;
                }
                member.kind
            }
            Kind::Array { element, .. } => {
                steps.put(Step::Index(index))?;
                *element
            }
            _ => return Err(wrong()),
        };
        current = btf.plain(next)?;
    }
    Ok(steps)
}

/// What a relocation changes; `None` leaves the number that the compiler has put in, which is that of the object's own types.
fn resolve(btf: &Btf<'_>, one: &CoreRelocation<'_>, types: CoreTypes) -> Result<Option<Change>, Error> {
    if one.kind > kind::LAST {
        return Err(refused!("a CO-RE relocation of kind {}, which is unknown", one.kind));
    }
    let root = btf.get(one.root)?;
    if types == CoreTypes::Own || one.kind == kind::LOCAL_ID {
        return Ok(None);
    }
    let path = path(btf, one)?;
    let wanted = flavourless(&root.name);
    match (wanted, path.as_slice()) {
        (REGISTERS_TYPE, [register]) => return of_register(one.kind, register),
        (SAMPLE_TYPE, ["regs", register]) => return of_register(one.kind, register),
        (SAMPLE_TYPE, [field]) => return of_field(one.kind, field, &SAMPLE),
        _ => {}
    }
    let size = match wanted {
        REGISTERS_TYPE => REGISTERS_BYTES,
        SAMPLE_TYPE => REGISTERS_BYTES + 16,
        _ => 0,
    };
    let exists = size > 0 && path.is_empty();
    Ok(Some(match one.kind {
        kind if kind::EXISTS.contains(&kind) => Change::Number(u64::from(exists)),
        kind::TARGET_ID => Change::Number(0),
        kind::TYPE_SIZE if exists => Change::Number(size),
        _ => Change::Missing(missing(wanted, &root.kind, &path)?),
    }))
}

/// The register of this name, in the layout that the engine offers.
fn of_register(kind: u32, name: &str) -> Result<Option<Change>, Error> {
    let place = REGISTERS.iter().position(|&(short, long)| name == short || name == long);
    let found = place.map(|place| ((place as u64).saturating_mul(8), 8));
    of_place(kind, found, format_args!("register {name} of pt_regs"))
}

/// The field of this name of a structure of these.
fn of_field(kind: u32, name: &str, fields: &[(&str, u64, u64)]) -> Result<Option<Change>, Error> {
    let field = fields.iter().find(|field| field.0 == name);
    of_place(kind, field.map(|&(_, at, bytes)| (at, bytes)), format_args!("field {name} of {SAMPLE_TYPE}"))
}

/// What there is to say of where something begins and how many bytes it has.
fn of_place(kind: u32, place: Option<(u64, u64)>, what: fmt::Arguments<'_>) -> Result<Option<Change>, Error> {
    let Some((at, bytes)) = place else {
        return Ok(Some(match kind::EXISTS.contains(&kind) {
            true => Change::Number(0),
            false => Change::Missing(text(what, LONGEST_TEXT)?),
        }));
    };
    Ok(Some(Change::Number(match kind {
        kind::BYTE_OFFSET => at,
        kind::BYTE_SIZE => bytes,
        kind::SIGNED | kind::LEFT | kind::RIGHT => 0,
        kind if kind::EXISTS.contains(&kind) => 1,
        _ => return Ok(None),
    })))
}

/// `x___old` is another shape of `x`.
pub fn flavourless(name: &str) -> &str {
    find(name, "___").and_then(|at| name.get(..at)).filter(|name| !name.is_empty()).unwrap_or(name)
}

/// The names of the members that are gone through, without those that have none. Of an enum's value its name.
pub fn path<'b>(btf: &'b Btf<'_>, one: &CoreRelocation<'_>) -> Result<Vec<&'b str>, Error> {
    let mut names = Vec::new();
    if let Kind::Enum { values, .. } = &btf.plain(one.root)?.kind {
        let index = indexes(one).next().transpose()?;
        if let Some(value) = index.and_then(|index| values.get(index as usize)) {
            names.put(value.0.as_ref())?;
        }
        return Ok(names);
    }
    for step in steps(btf, one)? {
        if let Step::Member(name) = step {
            names.put(name)?;
        }
    }
    Ok(names)
}

/// The names of members with dots between them.
pub struct Path<'p>(pub &'p [&'p str]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(at, name)| write!(f, "{}{name}", if at == 0 { "" } else { "." }))
    }
}

fn missing(name: &str, kind: &Kind<'_>, path: &[&str]) -> Result<String, Error> {
    let what = match kind {
        Kind::Enum { .. } => "enum",
        Kind::Struct { .. } | Kind::Forward => "struct",
        _ => "type",
    };
    let of = if path.is_empty() { "" } else { " of " };
    text(format_args!("{}{of}{what} {name}, which this image does not have", Path(path)), LONGEST_TEXT)
}
