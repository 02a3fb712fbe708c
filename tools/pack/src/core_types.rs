//! CO-RE: what a program wants to know of types that it does not bring along.
//!
//! A unikernel has none of Linux's types. The engine offers those that contexts are made of, and an image's debug file may have others; of all the rest a program is told that
//! they do not exist, and an instruction that needs more than that is marked as missing, with the name of the field.

use crate::{
    btf::{Btf, CoreRelocation, Kind},
    elf::File,
    image::Image,
};
use std::collections::{HashMap, HashSet};

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
type Place = (String, u64);

/// What CO-RE says of the instructions of an object.
#[derive(Default)]
pub struct Core {
    pub changes: HashMap<Place, Change>,
    /// Those that go to a field of a type that the object does not bring along: where they load, they do so by an address that is not the
    /// program's.
    pub fields: HashSet<Place>,
    /// Whether it mattered what the types of the image say.
    pub uses_image: bool,
}

/// Kinds of relocations (Linux, `enum bpf_core_relo_kind`).
mod kind {
    pub const BYTE_OFFSET: u32 = 0;
    pub const EXISTS: [u32; 4] = [2, 8, 10, 12];
    pub const LOCAL_ID: u32 = 6;
    pub const TARGET_ID: u32 = 7;
    pub const BYTE_SIZE: u32 = 1;
    pub const SIGNED: u32 = 3;
    pub const LEFT: u32 = 4;
    pub const RIGHT: u32 = 5;
    pub const FIELD_EXISTS: u32 = 2;
    pub const TYPE_EXISTS: u32 = 8;
    pub const TYPE_SIZE: u32 = 9;
    pub const ENUM_EXISTS: u32 = 10;
    pub const ENUM_VALUE: u32 = 11;
    pub const TYPE_MATCHES: u32 = 12;
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

/// What the relocations of an object say. With an image, its types are asked for what the engine does not offer.
pub fn read(file: &File<'_>, btf: &Btf<'_>, types: CoreTypes, image: Option<&Image>) -> Result<Core, String> {
    let mut core = Core::default();
    for one in btf.relocations(file)? {
        let place = (one.section.clone(), one.offset.into());
        let is_context = flavourless(&btf.get(one.root)?.name) == "pt_regs";
        if one.kind == kind::BYTE_OFFSET && !is_context {
            core.fields.insert(place.clone());
        }
        let Some(mut change) = resolve(btf, &one, types)? else { continue };
        if let Some(image) = image.filter(|_| !is_context && one.kind != kind::TARGET_ID) {
            change = in_image(btf, &one, &image.types, change)?;
            core.uses_image = true;
        }
        core.changes.insert(place, change);
    }
    Ok(core)
}

/// A step of an access.
enum Step {
    Member(String),
    Index(u64),
}

/// A field as it was found.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Found {
    /// Where it begins, in bits.
    at: u64,
    /// Bits that it has, where it is a part of its type only; else 0.
    bits: u32,
    /// Bytes of its type.
    size: u64,
    signed: bool,
}

/// What a relocation changes with the types of an image; `missing` is what is said without them.
fn in_image(btf: &Btf<'_>, one: &CoreRelocation, image: &Btf<'static>, missing: Change) -> Result<Change, String> {
    let root = btf.get(one.root)?;
    let name = flavourless(&root.name);
    let is_enum = matches!(btf.plain(one.root)?.kind, Kind::Enum { .. });
    let fits = |number: &u32| match image.plain(*number).map(|plain| &plain.kind) {
        Ok(Kind::Forward) | Err(_) => false,
        Ok(Kind::Enum { .. }) => is_enum,
        Ok(_) => !is_enum,
    };
    let all: Vec<u32> = image.all_called(name).filter(fits).collect();
    let exists = |is: bool| Change::Number(u64::from(is));
    let agreed = |numbers: Vec<u64>, what: &str| match numbers.as_slice() {
        [] => missing.clone(),
        [first, others @ ..] if others.iter().all(|other| other == first) => Change::Number(*first),
        _ => Change::Missing(format!("{what}, of which this image has several that differ")),
    };
    let path = path(btf, one)?;
    let what = match path.as_slice() {
        [] => name.to_string(),
        path => format!("{} of {name}", path.join(".")),
    };
    Ok(match one.kind {
        kind::TYPE_EXISTS | kind::TYPE_MATCHES => exists(!all.is_empty()),
        kind::TYPE_SIZE => agreed(all.iter().filter_map(|&number| image.size(number).ok()).collect(), &what),
        kind::ENUM_EXISTS | kind::ENUM_VALUE => {
            let wanted = path.first().map_or("", |name| flavourless(name));
            let value = |&number: &u32| match image.plain(number).map(|plain| &plain.kind) {
                Ok(Kind::Enum { values, .. }) => values.iter().find(|(name, _)| name == wanted).map(|found| found.1),
                _ => None,
            };
            let values: Vec<u64> = all.iter().filter_map(value).collect();
            match one.kind {
                kind::ENUM_EXISTS => exists(!values.is_empty()),
                _ => agreed(values, &what),
            }
        }
        _ => {
            let steps = steps(btf, one)?;
            let found: Vec<Found> = all.iter().filter_map(|&number| follow(image, number, &steps)).collect();
            if one.kind == kind::FIELD_EXISTS {
                return Ok(exists(!found.is_empty()));
            }
            let own = follow(btf, one.root, &steps);
            if let (kind::BYTE_OFFSET, Some(own), Some(first)) = (one.kind, own, found.first()) {
                if own.size != first.size && own.bits == 0 {
                    let (bytes, wanted) = (first.size, own.size);
                    return Ok(Change::Missing(format!(
                        "{what}, which has {bytes} bytes in this image, and not {wanted}"
                    )));
                }
            }
            agreed(found.iter().map(|found| found.answer(one.kind)).collect(), &what)
        }
    })
}

impl Found {
    /// Bytes to load, and where they begin (libbpf, `bpf_core_calc_field_relo`).
    fn unit(&self) -> (u64, u64) {
        let mut size = self.size.max(1);
        if self.bits == 0 {
            return (self.at / 8, size);
        }
        let mut at = self.at / 8 / size * size;
        while self.at + u64::from(self.bits) - at * 8 > size * 8 && size < 8 {
            size *= 2;
            at = self.at / 8 / size * size;
        }
        (at, size)
    }

    fn answer(&self, kind: u32) -> u64 {
        let (at, size) = self.unit();
        let bits = if self.bits == 0 { 8 * size } else { self.bits.into() };
        match kind {
            kind::BYTE_OFFSET => at,
            kind::BYTE_SIZE => size,
            kind::SIGNED => u64::from(self.signed),
            kind::LEFT => 64u64.saturating_sub(self.at + bits - at * 8),
            _ => 64u64.saturating_sub(bits),
        }
    }
}

fn does_not_fit(one: &CoreRelocation) -> String {
    format!("the access `{}` does not fit type {}", one.access, one.root)
}

/// The numbers of an access; the first is that of an array round the type, or of an enum's value.
fn indexes(one: &CoreRelocation) -> Result<Vec<u64>, String> {
    one.access.split(':').map(|index| index.parse().map_err(|_| does_not_fit(one))).collect()
}

/// The steps of an access, by names: members of what has no name are found as if they stood outside of it.
fn steps(btf: &Btf<'_>, one: &CoreRelocation) -> Result<Vec<Step>, String> {
    let wrong = || does_not_fit(one);
    let mut indexes = indexes(one)?.into_iter();
    let mut steps = vec![Step::Index(indexes.next().ok_or_else(wrong)?)];
    let mut current = btf.plain(one.root)?;
    for index in indexes {
        let next = match &current.kind {
            Kind::Struct { members, .. } => {
                let member = members.get(index as usize).ok_or_else(wrong)?;
                if !member.name.is_empty() {
                    steps.push(Step::Member(member.name.clone()));
                }
                member.kind
            }
            Kind::Array { element, .. } => {
                steps.push(Step::Index(index));
                *element
            }
            _ => return Err(wrong()),
        };
        current = btf.plain(next)?;
    }
    Ok(steps)
}

/// Goes the same way through other types.
fn follow(btf: &Btf<'_>, root: u32, steps: &[Step]) -> Option<Found> {
    let (mut at, mut bits, mut number) = (0u64, 0, root);
    for (place, step) in steps.iter().enumerate() {
        match step {
            // The first is that of an array round the type.
            Step::Index(index) if place == 0 => {
                at = at.checked_add(btf.size(number).ok()?.checked_mul(8)?.checked_mul(*index)?)?
            }
            Step::Index(index) => {
                let Kind::Array { element, .. } = btf.plain(number).ok()?.kind else { return None };
                at = at.checked_add(btf.size(element).ok()?.checked_mul(8)?.checked_mul(*index)?)?;
                number = element;
            }
            Step::Member(name) => {
                let (offset, member_bits, kind) = member(btf, number, name, (16, &mut { MEMBERS }))?;
                (at, bits, number) = (at.checked_add(offset)?, member_bits, kind);
            }
        }
    }
    let signed =
        matches!(btf.plain(number).ok()?.kind, Kind::Int { signed: true, .. } | Kind::Enum { signed: true, .. });
    Some(Found { at, bits, size: btf.size(number).ok()?, signed })
}

/// Members without names that are looked into: types may lead anywhere.
const MEMBERS: u32 = 10_000;

/// A member by its name, also within members that have none.
fn member(btf: &Btf<'_>, number: u32, name: &str, (depth, left): (u32, &mut u32)) -> Option<(u64, u32, u32)> {
    let depth = depth.checked_sub(1)?;
    *left = left.checked_sub(1)?;
    let Kind::Struct { members, .. } = &btf.plain(number).ok()?.kind else { return None };
    members.iter().find_map(|one| match one.name.as_str() {
        found if found == name => Some((one.offset.into(), one.bits, one.kind)),
        "" => {
            let (offset, bits, kind) = member(btf, one.kind, name, (depth, &mut *left))?;
            Some((offset + u64::from(one.offset), bits, kind))
        }
        _ => None,
    })
}

/// What a relocation changes; `None` leaves the number that the compiler has put in, which is that of the object's own types.
fn resolve(btf: &Btf<'_>, one: &CoreRelocation, types: CoreTypes) -> Result<Option<Change>, String> {
    if one.kind > kind::LAST {
        return Err(format!("a CO-RE relocation of kind {}, which is unknown", one.kind));
    }
    let root = btf.get(one.root)?;
    if types == CoreTypes::Own || one.kind == kind::LOCAL_ID {
        return Ok(None);
    }
    let path = path(btf, one)?;
    let wanted = flavourless(&root.name);
    if let ("pt_regs", [register]) = (wanted, path.as_slice()) {
        return Ok(of_register(one.kind, register));
    }
    let exists = wanted == "pt_regs" && path.is_empty();
    Ok(Some(match one.kind {
        kind if kind::EXISTS.contains(&kind) => Change::Number(u64::from(exists)),
        kind::TARGET_ID => Change::Number(0),
        kind::TYPE_SIZE if exists => Change::Number(8 * REGISTERS.len() as u64),
        _ => Change::Missing(missing(wanted, &root.kind, &path)),
    }))
}

/// The register of this name, in the layout that the engine offers.
fn of_register(kind: u32, name: &str) -> Option<Change> {
    let place = REGISTERS.iter().position(|&(short, long)| name == short || name == long);
    let Some(place) = place else {
        return Some(match kind::EXISTS.contains(&kind) {
            true => Change::Number(0),
            false => Change::Missing(format!("register {name} of pt_regs")),
        });
    };
    Some(Change::Number(match kind {
        kind::BYTE_OFFSET => 8 * place as u64,
        kind::BYTE_SIZE => 8,
        kind::SIGNED | kind::LEFT | kind::RIGHT => 0,
        kind if kind::EXISTS.contains(&kind) => 1,
        _ => return None,
    }))
}

/// `x___old` is another shape of `x`.
fn flavourless(name: &str) -> &str {
    name.find("___").and_then(|at| name.get(..at)).filter(|name| !name.is_empty()).unwrap_or(name)
}

/// The names of the members that are gone through, without those that have none. Of an enum's value its name.
fn path(btf: &Btf<'_>, one: &CoreRelocation) -> Result<Vec<String>, String> {
    if let Kind::Enum { values, .. } = &btf.plain(one.root)?.kind {
        let value = indexes(one)?.first().and_then(|&index| values.get(index as usize));
        return Ok(value.map(|value| value.0.clone()).into_iter().collect());
    }
    let name = |step| match step {
        Step::Member(name) => Some(name),
        Step::Index(_) => None,
    };
    Ok(steps(btf, one)?.into_iter().filter_map(name).collect())
}

fn missing(name: &str, kind: &Kind, path: &[String]) -> String {
    let what = match kind {
        Kind::Enum { .. } => "enum",
        Kind::Struct { .. } | Kind::Forward => "struct",
        _ => "type",
    };
    match path {
        [] => format!("{what} {name}, which this image does not have"),
        path => format!("{} of {what} {name}, which this image does not have", path.join(".")),
    }
}
