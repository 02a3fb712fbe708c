//! The types that go along with a package, so that who looks at its maps later sees names: BTF of the keys and values of maps and of the
//! variables of data sections, and nothing else of the object's.

use crate::{
    btf::{Btf, Kind, Member, Placed, INT_BOOL, INT_SIGNED, MAGIC},
    elf::{File, Place},
    link::Section,
    maps::Maps,
};
use std::collections::BTreeMap;
use ubpf_rs::object::MAX_TYPES;

/// Most bytes of one map; what is larger is left out.
const OF_A_MAP: usize = 4096;
/// Types within types that are followed.
const DEPTH: usize = 64;
/// The section of a map's variable.
const MAPS: &str = ".maps";

/// The types of all maps; nothing where there are none. Of what is too large nothing is said.
pub fn of(file: &File<'_>, btf: &Btf<'_>, maps: &Maps, data: &[Section]) -> Vec<u8> {
    let mut writer = Writer::default();
    let mut variables = Vec::new();
    for map in &maps.list {
        let of = (map.key_type, map.value_type);
        if of == (None, None) {
            continue;
        }
        let written = writer.try_add(&|writer| writer.map(btf, &map.name, of));
        variables.extend(written.map(|variable| Placed { variable, offset: 0, size: 0 }));
    }
    writer.try_add(&|writer| writer.section(MAPS, &variables));
    for section in data {
        writer.try_add(&|writer| {
            let mut variables = Vec::new();
            for (name, kind, placed) in btf.variables(&section.name).ok()? {
                let Some(offset) = place_of(file, section, name, placed) else { continue };
                let kind = writer.copy(btf, kind, DEPTH)?;
                let variable = writer.variable(name, kind)?;
                variables.push(Placed { variable, offset, size: placed.size });
            }
            writer.section(&section.name, &variables)
        });
    }
    match writer.count {
        0 => Vec::new(),
        _ => writer.finish(),
    }
}

/// Where a variable lies: compilers leave that to the symbols. `None` where it lies in another section: of a constant that a linker may
/// merge with others the types do not know that.
fn place_of(file: &File<'_>, section: &Section, name: &str, placed: Placed) -> Option<u32> {
    let Some(index) = section.index else { return section.settings.get(name).copied() };
    let mut places = file.symbols.iter().filter(|symbol| symbol.name == name).peekable();
    if places.peek().is_none() {
        return Some(placed.offset);
    }
    let symbol = places.find(|symbol| symbol.place == Place::Section(index))?;
    u32::try_from(symbol.address).ok()
}

/// BTF as it is made.
#[derive(Clone, Default)]
struct Writer {
    types: Vec<u8>,
    /// How many there are.
    count: u32,
    strings: Vec<u8>,
    names: BTreeMap<String, u32>,
    /// The number that a type of the object has here.
    known: BTreeMap<u32, u32>,
}

impl Writer {
    /// Does it, unless that makes it too large, or the object's types are wrong: then all is as before.
    fn try_add<T>(&mut self, add: &dyn Fn(&mut Self) -> Option<T>) -> Option<T> {
        let mut with = self.clone();
        let done = add(&mut with)?;
        let size = with.size();
        if size > MAX_TYPES || size - self.size() > OF_A_MAP {
            return None;
        }
        *self = with;
        Some(done)
    }

    fn size(&self) -> usize {
        HEADER + self.types.len() + self.strings.len() + 1
    }

    /// A variable of the map's name, of a struct with what is known of `key` and `value`: as the object has it, and shorter.
    fn map(&mut self, btf: &Btf<'_>, name: &str, (key, value): (Option<u32>, Option<u32>)) -> Option<u32> {
        let mut members = Vec::new();
        for (name, kind) in [("key", key), ("value", value)] {
            let Some(kind) = kind else { continue };
            let to = self.copy(btf, kind, DEPTH)?;
            let kind = self.one("", POINTER, to, &[])?;
            members.push(Member { name: name.into(), kind, offset: 64 * members.len() as u32, bits: 0 });
        }
        let size = 8 * members.len() as u32;
        let kind = self.members("", false, size, &members)?;
        self.variable(name, kind)
    }

    fn section(&mut self, name: &str, variables: &[Placed]) -> Option<u32> {
        if variables.is_empty() {
            return None;
        }
        let words: Vec<u32> = variables.iter().flat_map(|one| [one.variable, one.offset, one.size]).collect();
        self.one(name, SECTION | variables.len() as u32, 0, &words)
    }

    fn variable(&mut self, name: &str, kind: u32) -> Option<u32> {
        self.one(name, VARIABLE, kind, &[1])
    }

    fn members(&mut self, name: &str, union: bool, size: u32, members: &[Member]) -> Option<u32> {
        let mut words = Vec::new();
        for member in members {
            words.extend([self.name(&member.name)?, member.kind, member.offset | member.bits << 24]);
        }
        let kind = if union { UNION } else { STRUCT };
        self.one(name, kind | FLAG | u32::try_from(members.len()).ok()?, size, &words)
    }

    /// A type of the object, without what numbers are not shown by: what pointers point to, qualifiers, marks.
    fn copy(&mut self, btf: &Btf<'_>, number: u32, depth: usize) -> Option<u32> {
        if let Some(&known) = self.known.get(&number) {
            return Some(known);
        }
        let depth = depth.checked_sub(1)?;
        let one = btf.get(number).ok()?;
        let made = match &one.kind {
            Kind::Int { size, signed, boolean } => {
                let encoding = if *signed { INT_SIGNED } else { 0 } | if *boolean { INT_BOOL } else { 0 };
                self.one(&one.name, INT, *size, &[encoding << 24 | size.checked_mul(8)? & 0xff])?
            }
            Kind::Float { size } => self.one(&one.name, FLOAT, *size, &[])?,
            Kind::Pointer(_) => self.one("", POINTER, 0, &[])?,
            Kind::Enum { size, signed, values } => {
                let mut words = Vec::new();
                for (name, value) in values {
                    words.extend([self.name(name)?, *value as u32, (*value >> 32) as u32]);
                }
                let flag = if *signed { FLAG } else { 0 };
                self.one(&one.name, ENUM64 | flag | u32::try_from(values.len()).ok()?, *size, &words)?
            }
            Kind::Array { element, count } => {
                let element = self.copy(btf, *element, depth)?;
                self.one("", ARRAY, 0, &[element, element, *count])?
            }
            Kind::Struct { union, size, members } => {
                let mut copied = members.clone();
                for member in &mut copied {
                    member.kind = self.copy(btf, member.kind, depth)?;
                }
                self.members(&one.name, *union, *size, &copied)?
            }
            Kind::Alias(to) if !one.name.is_empty() => {
                let to = self.copy(btf, *to, depth)?;
                self.one(&one.name, TYPEDEF, to, &[])?
            }
            Kind::Alias(to) | Kind::Tag(to) => self.copy(btf, *to, depth)?,
            _ => return None,
        };
        self.known.insert(number, made);
        Some(made)
    }

    /// A type; its number.
    fn one(&mut self, name: &str, info: u32, size: u32, words: &[u32]) -> Option<u32> {
        let name = self.name(name)?;
        // What outgrows all is dropped before it takes memory.
        if self.types.len() > 4 * MAX_TYPES {
            return None;
        }
        for word in [name, info, size].iter().chain(words) {
            self.types.extend(word.to_le_bytes());
        }
        self.count += 1;
        Some(self.count)
    }

    fn name(&mut self, name: &str) -> Option<u32> {
        if name.is_empty() {
            return Some(0);
        }
        if let Some(&known) = self.names.get(name) {
            return Some(known);
        }
        // The empty name stands before all.
        let place = u32::try_from(self.strings.len() + 1).ok().filter(|&place| (place as usize) < 4 * MAX_TYPES)?;
        self.strings.extend(name.bytes().chain([0]));
        self.names.insert(name.into(), place);
        Some(place)
    }

    fn finish(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32 + 1);
        let first = u32::from(MAGIC) | 1 << 16;
        for word in [first, HEADER as u32, 0, types, types, strings] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(&self.types);
        bytes.push(0);
        bytes.extend(&self.strings);
        bytes
    }
}

/// Bytes of the header.
const HEADER: usize = 24;

/// Kinds, as the word behind the name has them.
const INT: u32 = 1 << 24;
const POINTER: u32 = 2 << 24;
const ARRAY: u32 = 3 << 24;
const STRUCT: u32 = 4 << 24;
const UNION: u32 = 5 << 24;
const TYPEDEF: u32 = 8 << 24;
const VARIABLE: u32 = 14 << 24;
const SECTION: u32 = 15 << 24;
const FLOAT: u32 = 16 << 24;
const ENUM64: u32 = 19 << 24;
/// Members say their bits; an enum has a sign.
const FLAG: u32 = 1 << 31;
