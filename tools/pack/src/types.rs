//! The types that go along with a package, so that who looks at its maps later sees names: BTF of the keys and values of maps and of the
//! variables of data sections, and nothing else of the object's.

use crate::{
    btf::{Btf, Kind, Member, PlacedVariable, INT_BOOL, INT_SIGNED, MAGIC},
    elf::{File, Place},
    error::Error,
    link::DataSection,
    maps::Maps,
    work::{Put, Steps},
};
use alloc::{borrow::Cow, vec::Vec};
use ubpf_rs::object::{crc32::Crc32, MAX_TYPES};

/// Most bytes of one map; what is larger is left out.
const OF_A_MAP: usize = 4096;
/// Types within types that are followed.
const DEPTH: usize = 64;
/// The section of a map's variable.
const MAPS: &str = ".maps";

/// The types of all maps; nothing where there are none. Of what is too large nothing is said.
pub fn of<'f>(
    file: &File<'f>,
    btf: &Btf<'f>,
    maps: &Maps<'_>,
    data: &[DataSection<'_>],
    steps: &mut Steps<'_>,
) -> Result<Vec<u8>, Error> {
    let mut writer = Writer { btf, made: Made::default(), known: Vec::new(), steps };
    writer.known.grow(btf.len(), 0)?;
    let mut variables = Vec::new();
    for map in &maps.list {
        if (map.key_type, map.value_type) == (None, None) {
            continue;
        }
        let written = writer.try_add(|writer| writer.map(&map.name, map.key_type, map.value_type))?;
        if let Some(variable) = written {
            variables.put(PlacedVariable { variable, offset: 0, size: 0 })?;
        }
    }
    writer.try_add(|writer| writer.section(MAPS, &variables))?;
    for section in data {
        writer.try_add(|writer| {
            let mut variables = Vec::new();
            for one in btf.variables(&section.name) {
                let (name, kind, placed) = one?;
                let Some(offset) = place_of(file, section, name, placed, writer.steps)? else { continue };
                let kind = writer.copy(kind, DEPTH)?;
                let variable = writer.variable(name, kind)?;
                variables.put(PlacedVariable { variable, offset, size: placed.size })?;
            }
            writer.section(&section.name, &variables)
        })?;
    }
    match writer.made.count {
        0 => Ok(Vec::new()),
        _ => writer.finish(),
    }
}

/// Where a variable lies: compilers leave that to the symbols. `None` where it lies in another section: of a constant that a linker may
/// merge with others the types do not know that.
fn place_of(
    file: &File<'_>,
    section: &DataSection<'_>,
    name: &str,
    placed: PlacedVariable,
    steps: &mut Steps<'_>,
) -> Result<Option<u32>, Error> {
    let Some(index) = section.index else {
        return Ok(section.settings.iter().find(|setting| setting.0 == name).map(|setting| setting.1));
    };
    steps.take(file.symbols.len() / 4)?;
    let mut places = file.symbols.iter().filter(|symbol| symbol.name == name).peekable();
    if places.peek().is_none() {
        return Ok(Some(placed.offset));
    }
    let symbol = places.find(|symbol| symbol.place == Place::Section(index));
    Ok(symbol.and_then(|symbol| u32::try_from(symbol.address).ok()))
}

/// Why something is left out: it is too large, or its types are wrong; or why nothing goes on.
enum Without {
    It,
    All(Error),
}

impl From<Error> for Without {
    fn from(error: Error) -> Self {
        match error.0 {
            Some(_) => Without::It,
            None => Without::All(error),
        }
    }
}

/// What is made.
#[derive(Default)]
struct Made {
    types: Vec<u8>,
    /// How many there are.
    count: u32,
    strings: Vec<u8>,
    /// Checksums and places of the names in `strings`.
    names: Vec<(u32, u32)>,
    /// The object's types that have a number here.
    copied: Vec<u32>,
}

/// BTF as it is made.
struct Writer<'w, 'f, 'p> {
    btf: &'w Btf<'f>,
    made: Made,
    /// The number that a type of the object has here, or 0.
    known: Vec<u32>,
    steps: &'w mut Steps<'p>,
}

/// What a type is marked with while it is copied: one that holds itself is none.
const ON_THE_WAY: u32 = u32::MAX;

impl<'f> Writer<'_, 'f, '_> {
    /// Does it, unless that makes it too large, or the object's types are wrong: then all is as before.
    fn try_add<T>(&mut self, add: impl FnOnce(&mut Self) -> Result<T, Without>) -> Result<Option<T>, Error> {
        let made = &self.made;
        let (types, count, strings) = (made.types.len(), made.count, made.strings.len());
        let (names, copied) = (made.names.len(), made.copied.len());
        let size = self.size();
        let done = match add(self) {
            Ok(done) => Some(done),
            Err(Without::It) => None,
            Err(Without::All(error)) => return Err(error),
        };
        let fits = self.size() <= MAX_TYPES && self.size().saturating_sub(size) <= OF_A_MAP;
        if done.is_some() && fits {
            return Ok(done);
        }
        self.made.types.truncate(types);
        self.made.count = count;
        self.made.strings.truncate(strings);
        self.made.names.truncate(names);
        while self.made.copied.len() > copied {
            let number = self.made.copied.pop();
            number.and_then(|number| self.known.get_mut(number as usize)).into_iter().for_each(|known| *known = 0);
        }
        Ok(None)
    }

    fn size(&self) -> usize {
        HEADER.saturating_add(self.made.types.len()).saturating_add(self.made.strings.len()).saturating_add(1)
    }

    /// A variable of the map's name, of a struct with what is known of `key` and `value`: as the object has it, and shorter.
    fn map(&mut self, name: &str, key: Option<u32>, value: Option<u32>) -> Result<u32, Without> {
        let mut members = Vec::new();
        for (name, kind) in [("key", key), ("value", value)] {
            let Some(kind) = kind else { continue };
            let to = self.copy(kind, DEPTH)?;
            let kind = self.one("", POINTER, to, &[])?;
            let offset = (members.len() as u32).wrapping_mul(64);
            members.put(Member { name: Cow::Borrowed(name), kind, offset, bits: 0 })?;
        }
        let size = (members.len() as u32).wrapping_mul(8);
        let kind = self.members("", false, size, &members)?;
        self.variable(name, kind)
    }

    fn section(&mut self, name: &str, variables: &[PlacedVariable]) -> Result<u32, Without> {
        if variables.is_empty() {
            return Err(Without::It);
        }
        let mut words = Vec::new();
        for one in variables {
            words.put_all(&[one.variable, one.offset, one.size])?;
        }
        self.one(name, SECTION | count(variables)?, 0, &words)
    }

    fn variable(&mut self, name: &str, kind: u32) -> Result<u32, Without> {
        self.one(name, VARIABLE, kind, &[1])
    }

    fn copied_members<'m>(&mut self, members: &'m [Member<'_>], depth: usize) -> Result<Vec<Member<'m>>, Without> {
        let mut copied = Vec::new();
        for member in members {
            let name = Cow::Borrowed(member.name.as_ref());
            let kind = self.copy(member.kind, depth)?;
            copied.put(Member { name, kind, offset: member.offset, bits: member.bits })?;
        }
        Ok(copied)
    }

    fn members(&mut self, name: &str, union: bool, size: u32, members: &[Member<'_>]) -> Result<u32, Without> {
        let mut words = Vec::new();
        for member in members {
            words.put_all(&[self.name(&member.name)?, member.kind, member.offset | member.bits << 24])?;
        }
        let kind = if union { UNION } else { STRUCT };
        self.one(name, kind | FLAG | count(members)?, size, &words)
    }

    /// A type of the object, without what numbers are not shown by: what pointers point to, qualifiers, marks.
    fn copy(&mut self, number: u32, depth: usize) -> Result<u32, Without> {
        let place = number as usize;
        match self.known.get_mut(place) {
            None | Some(&mut ON_THE_WAY) => return Err(Without::It),
            Some(known @ &mut 0) => *known = ON_THE_WAY,
            Some(&mut known) => return Ok(known),
        }
        self.made.copied.put(number)?;
        self.steps.take(1)?;
        let made = self.copied(number, depth.checked_sub(1).ok_or(Without::It)?)?;
        if let Some(known) = self.known.get_mut(place) {
            *known = made;
        }
        Ok(made)
    }

    fn copied(&mut self, number: u32, depth: usize) -> Result<u32, Without> {
        let btf = self.btf;
        let one = btf.get(number)?;
        match &one.kind {
            Kind::Int { size, signed, boolean } => {
                let encoding = if *signed { INT_SIGNED } else { 0 } | if *boolean { INT_BOOL } else { 0 };
                let bits = size.checked_mul(8).ok_or(Without::It)? & 0xff;
                self.one(&one.name, INT, *size, &[encoding << 24 | bits])
            }
            Kind::Float { size } => self.one(&one.name, FLOAT, *size, &[]),
            Kind::Pointer(_) => self.one("", POINTER, 0, &[]),
            Kind::Enum { size, signed, values } => {
                let mut words = Vec::new();
                for (name, value) in values {
                    words.put_all(&[self.name(name)?, *value as u32, (*value >> 32) as u32])?;
                }
                let flag = if *signed { FLAG } else { 0 };
                self.one(&one.name, ENUM64 | flag | count(values)?, *size, &words)
            }
            Kind::Array { element, count } => {
                let element = self.copy(*element, depth)?;
                self.one("", ARRAY, 0, &[element, element, *count])
            }
            Kind::Struct { union, size, members } => {
                let copied = self.copied_members(members, depth)?;
                self.members(&one.name, *union, *size, &copied)
            }
            Kind::Alias(to) if !one.name.is_empty() => {
                let to = self.copy(*to, depth)?;
                self.one(&one.name, TYPEDEF, to, &[])
            }
            Kind::Alias(to) | Kind::Tag(to) => self.copy(*to, depth),
            _ => Err(Without::It),
        }
    }

    /// A type; its number.
    fn one(&mut self, name: &str, info: u32, size: u32, words: &[u32]) -> Result<u32, Without> {
        let name = self.name(name)?;
        // What outgrows all is dropped before it takes memory.
        if self.made.types.len() > 4 * MAX_TYPES {
            return Err(Without::It);
        }
        self.steps.take(words.len())?;
        for word in [name, info, size].iter().chain(words) {
            self.made.types.put_all(&word.to_le_bytes())?;
        }
        self.made.count = self.made.count.saturating_add(1);
        Ok(self.made.count)
    }

    fn name(&mut self, name: &str) -> Result<u32, Without> {
        if name.is_empty() {
            return Ok(0);
        }
        let mut sum = Crc32::new();
        sum.add(name.as_bytes());
        let sum = sum.value();
        self.steps.take(self.made.names.len() / 8)?;
        let strings = &mut self.made.strings;
        // The empty name stands before all.
        let is_there = |place: u32| {
            let rest =
                strings.get((place as usize).saturating_sub(1)..).and_then(|rest| rest.strip_prefix(name.as_bytes()));
            rest.is_some_and(|rest| rest.first() == Some(&0))
        };
        let known = self.made.names.iter().find(|known| known.0 == sum && is_there(known.1));
        if let Some(known) = known {
            return Ok(known.1);
        }
        let place = u32::try_from(strings.len().saturating_add(1)).map_err(|_| Without::It)?;
        if place as usize >= 4 * MAX_TYPES {
            return Err(Without::It);
        }
        strings.put_all(name.as_bytes())?;
        strings.put(0)?;
        self.made.names.put((sum, place))?;
        Ok(place)
    }

    fn finish(&self) -> Result<Vec<u8>, Error> {
        let made = &self.made;
        let (types, strings) = (made.types.len() as u32, (made.strings.len() as u32).saturating_add(1));
        let mut bytes = Vec::new();
        let first = u32::from(MAGIC) | 1 << 16;
        for word in [first, HEADER as u32, 0, types, types, strings] {
            bytes.put_all(&word.to_le_bytes())?;
        }
        bytes.put_all(&made.types)?;
        bytes.put(0)?;
        bytes.put_all(&made.strings)?;
        Ok(bytes)
    }
}

fn count<T>(list: &[T]) -> Result<u32, Without> {
    u32::try_from(list.len()).map_err(|_| Without::It)
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
