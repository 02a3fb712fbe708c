//! The types that a compiler writes beside a program (Linux, `Documentation/bpf/btf.rst`): `.BTF`, and the relocations of `.BTF.ext`.

use crate::{
    elf::File,
    error::{refused, Error},
    work::{collected, name_at, Put, Steps},
};
use alloc::{borrow::Cow, vec::Vec};

pub(crate) const MAGIC: u16 = 0xeb9f;
/// Of the encoding of an `int`.
pub(crate) const INT_SIGNED: u32 = 1;
pub(crate) const INT_BOOL: u32 = 4;
/// Where a member begins, in the word that also has its bits.
const BIT_OFFSET: u32 = 0xff_ffff;
/// Types within types that are followed: those of any honest object.
pub(crate) const DEPTH: usize = 64;

/// All types of an object. Number 0 is `void`.
#[derive(Clone, Default)]
pub struct Btf<'f> {
    types: Vec<Type<'f>>,
    /// The numbers of those that are sections.
    sections: Vec<u32>,
    strings: &'f [u8],
}

/// A type.
#[derive(Clone, Debug)]
pub struct Type<'f> {
    pub name: Cow<'f, str>,
    pub kind: Kind<'f>,
}

/// What a type is made of. Numbers are those of other types.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind<'f> {
    Void,
    Int {
        size: u32,
        signed: bool,
        /// Whether it is one of the two numbers of a `_Bool`.
        boolean: bool,
    },
    Pointer(u32),
    Array {
        element: u32,
        count: u32,
    },
    Struct {
        /// All members begin at 0.
        union: bool,
        size: u32,
        members: Vec<Member<'f>>,
    },
    Enum {
        size: u32,
        signed: bool,
        values: Vec<(Cow<'f, str>, u64)>,
    },
    Forward,
    /// Another name, or a qualifier.
    Alias(u32),
    /// A mark that a program's author gave.
    Tag(u32),
    Function(u32),
    Prototype,
    Variable(u32),
    Section(Vec<PlacedVariable>),
    Float {
        size: u32,
    },
    Other,
}

/// A member of a struct or union.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member<'f> {
    pub name: Cow<'f, str>,
    pub kind: u32,
    /// Where it begins, in bits.
    pub offset: u32,
    /// Bits that it has, where it is a part of its type only; else 0.
    pub bits: u32,
}

/// A variable in its section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlacedVariable {
    /// Its number among the types.
    pub variable: u32,
    /// Where it begins, in bytes.
    pub offset: u32,
    /// Its bytes.
    pub size: u32,
}

/// A CO-RE relocation.
#[derive(Clone, Copy, Debug)]
pub struct CoreRelocation<'f> {
    /// Name of the section.
    pub section: &'f str,
    /// The instruction, in bytes.
    pub offset: u32,
    /// The type that it is about.
    pub root: u32,
    /// Members, as `0:1:2`.
    pub access: &'f str,
    pub kind: u32,
}

/// Numbers of what is left of some bytes.
struct Reader<'f> {
    bytes: &'f [u8],
    at: usize,
}

impl<'f> Reader<'f> {
    fn u32(&mut self) -> Result<u32, Error> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk());
        let word = found.ok_or_else(|| refused!("types: byte {:#x} is beyond their end", self.at))?;
        self.at = self.at.saturating_add(4);
        Ok(u32::from_le_bytes(*word))
    }

    fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn part(bytes: &'f [u8], from: u64, length: u32, what: &str) -> Result<Reader<'f>, Error> {
        let to = from.saturating_add(length.into());
        let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
        let bytes = range.and_then(|(from, to)| bytes.get(from..to));
        let bytes = bytes.ok_or_else(|| refused!("{what} lie outside of their section"))?;
        Ok(Reader { bytes, at: 0 })
    }
}

/// The header that both sections begin with, and where what it describes begins.
fn header<'f>(bytes: &'f [u8], what: &str) -> Result<(Reader<'f>, u64), Error> {
    let mut header = Reader { bytes, at: 0 };
    let first = header.u32()?;
    if first as u16 != MAGIC {
        return Err(refused!("{what} begins with {:#06x} and not with {MAGIC:#06x}", first as u16));
    }
    let length = header.u32()?;
    Ok((header, length.into()))
}

/// So many entries of that many words, at most three, each made into something.
fn list<T>(
    reader: &mut Reader<'_>,
    count: u32,
    words: usize,
    steps: &mut Steps<'_>,
    make: impl Fn([u32; 3], &mut Steps<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let one = |_| {
        let mut one = [0; 3];
        one.iter_mut().take(words).try_for_each(|word| reader.u32().map(|read| *word = read))?;
        make(one, steps)
    };
    collected((0..count).map(one))
}

impl<'f> Btf<'f> {
    /// The types of an object; none where it was compiled without `-g`.
    pub fn read(file: &File<'f>, steps: &mut Steps<'_>) -> Result<Btf<'f>, Error> {
        match file.section(".BTF") {
            Some((_, section)) => Btf::parse(section.bytes, steps),
            None => Ok(Btf::default()),
        }
    }

    /// Types as they stand in `.BTF`.
    pub fn parse(bytes: &'f [u8], steps: &mut Steps<'_>) -> Result<Btf<'f>, Error> {
        let (mut words, begin) = header(bytes, ".BTF")?;
        let (type_off, type_len) = (words.u32()?, words.u32()?);
        let (str_off, str_len) = (words.u32()?, words.u32()?);
        let part = |off: u32, len, what| Reader::part(bytes, begin.saturating_add(off.into()), len, what);
        let strings = part(str_off, str_len, "names of types")?.bytes;
        let mut btf = Btf { types: Vec::new(), sections: Vec::new(), strings };
        btf.types.put(Type { name: Cow::Borrowed(""), kind: Kind::Void })?;
        let mut reader = part(type_off, type_len, "types")?;
        while !reader.is_empty() {
            let one = btf.one(&mut reader, steps)?;
            if let Kind::Section(_) = one.kind {
                btf.sections.put(btf.types.len() as u32)?;
            }
            btf.types.put(one)?;
        }
        Ok(btf)
    }

    /// Types that were read elsewhere.
    #[cfg(feature = "host")]
    pub fn of(types: Vec<Type<'static>>) -> Btf<'static> {
        Btf { types, sections: Vec::new(), strings: &[] }
    }

    /// How many there are.
    #[cfg(feature = "host")]
    pub fn len(&self) -> usize {
        self.types.len()
    }

    /// The numbers of the types with this name.
    #[cfg(feature = "host")]
    pub fn all_called<'b>(&'b self, name: &'b str) -> impl Iterator<Item = u32> + 'b {
        (0..).zip(&self.types).filter(move |(_, one)| one.name == name).map(|(number, _)| number)
    }

    /// The same with names of its own, and without the texts that relocations need.
    #[cfg(feature = "host")]
    pub fn into_owned(self) -> Btf<'static> {
        let own = |name: Cow<'_, str>| Cow::Owned(name.into_owned());
        let kind = |kind| match kind {
            Kind::Struct { union, size, members } => {
                let members = members.into_iter().map(|one: Member<'_>| Member { name: own(one.name), ..one });
                Kind::Struct { union, size, members: members.collect() }
            }
            Kind::Enum { size, signed, values } => {
                let values = values.into_iter().map(|(name, value)| (own(name), value));
                Kind::Enum { size, signed, values: values.collect() }
            }
            Kind::Void => Kind::Void,
            Kind::Int { size, signed, boolean } => Kind::Int { size, signed, boolean },
            Kind::Pointer(to) => Kind::Pointer(to),
            Kind::Array { element, count } => Kind::Array { element, count },
            Kind::Forward => Kind::Forward,
            Kind::Alias(to) => Kind::Alias(to),
            Kind::Tag(to) => Kind::Tag(to),
            Kind::Function(to) => Kind::Function(to),
            Kind::Prototype => Kind::Prototype,
            Kind::Variable(of) => Kind::Variable(of),
            Kind::Section(placed) => Kind::Section(placed),
            Kind::Float { size } => Kind::Float { size },
            Kind::Other => Kind::Other,
        };
        let types = self.types.into_iter().map(|one| Type { name: own(one.name), kind: kind(one.kind) });
        Btf { types: types.collect(), sections: self.sections, strings: &[] }
    }

    /// The first type that has this name.
    #[cfg(feature = "host")]
    pub fn find(&self, name: &str) -> Option<u32> {
        let at = self
            .types
            .iter()
            .position(|one| one.name == name && !matches!(one.kind, Kind::Variable(_) | Kind::Section(_)))?;
        u32::try_from(at).ok().filter(|_| !name.is_empty())
    }

    fn one(&self, reader: &mut Reader<'_>, steps: &mut Steps<'_>) -> Result<Type<'f>, Error> {
        let (name, info, size) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (count, flag) = (info & 0xffff, info >> 31 != 0);
        let named = |name, steps: &mut Steps<'_>| self.name(name, steps).map(Cow::Borrowed);
        let name = named(name, steps)?;
        let kind = match info >> 24 & 0x1f {
            1 => {
                let encoding = reader.u32()? >> 24;
                Kind::Int { size, signed: encoding & INT_SIGNED != 0, boolean: encoding & INT_BOOL != 0 }
            }
            2 => Kind::Pointer(size),
            3 => {
                let (element, _, count) = (reader.u32()?, reader.u32()?, reader.u32()?);
                Kind::Array { element, count }
            }
            kind @ (4 | 5) => {
                let members = list(reader, count, 3, steps, |[name, kind, place], steps| {
                    let (offset, bits) = if flag { (place & BIT_OFFSET, place >> 24) } else { (place, 0) };
                    Ok(Member { name: named(name, steps)?, kind, offset, bits })
                })?;
                Kind::Struct { union: kind == 5, size, members }
            }
            kind @ (6 | 19) => {
                let words = if kind == 6 { 2 } else { 3 };
                let values = list(reader, count, words, steps, |[name, low, high], steps| {
                    let value = match (kind, flag) {
                        (6, true) => i64::from(low as i32) as u64,
                        _ => u64::from(high) << 32 | u64::from(low),
                    };
                    Ok((named(name, steps)?, value))
                })?;
                Kind::Enum { size, signed: flag, values }
            }
            7 => Kind::Forward,
            8..=11 => Kind::Alias(size),
            12 => Kind::Function(size),
            13 => {
                list(reader, count, 2, steps, |_, steps| steps.take(1))?;
                Kind::Prototype
            }
            14 => {
                reader.u32()?;
                Kind::Variable(size)
            }
            15 => {
                let placed = |[variable, offset, size]: [u32; 3], steps: &mut Steps<'_>| {
                    steps.take(1)?;
                    Ok(PlacedVariable { variable, offset, size })
                };
                Kind::Section(list(reader, count, 3, steps, placed)?)
            }
            16 => Kind::Float { size },
            17 => {
                reader.u32()?;
                Kind::Other
            }
            18 => Kind::Tag(size),
            kind => {
                let number = self.types.len();
                return Err(refused!("type {number} is of kind {kind}, which is unknown: use another compiler"));
            }
        };
        Ok(Type { name, kind })
    }

    fn name(&self, at: u32, steps: &mut Steps<'_>) -> Result<&'f str, Error> {
        let name = name_at(self.strings, at as usize).or((at == 0).then_some(""));
        let name =
            name.ok_or_else(|| refused!("the name of a type at {at:#x} is no text, or lies outside of the names"))?;
        steps.take((name.len() / 8).saturating_add(1))?;
        Ok(name)
    }

    /// A type by its number.
    pub fn get(&self, number: u32) -> Result<&Type<'f>, Error> {
        self.types.get(number as usize).ok_or_else(|| refused!("there is no type {number}"))
    }

    /// What a type is behind its other names and marks.
    pub fn plain(&self, number: u32) -> Result<&Type<'f>, Error> {
        let mut number = number;
        for _ in 0..DEPTH {
            match self.get(number)?.kind {
                Kind::Alias(next) | Kind::Tag(next) => number = next,
                _ => return self.get(number),
            }
        }
        Err(refused!("type {number} leads to itself"))
    }

    /// Whether a type, or one of its other names, is marked or named so.
    pub fn is_called(&self, number: u32, wanted: &dyn Fn(&str) -> bool) -> Result<bool, Error> {
        let mut number = number;
        for _ in 0..DEPTH {
            let one = self.get(number)?;
            if wanted(&one.name) {
                return Ok(true);
            }
            match one.kind {
                Kind::Alias(next) | Kind::Tag(next) => number = next,
                _ => return Ok(false),
            }
        }
        Err(refused!("type {number} leads to itself"))
    }

    /// Bytes of a type.
    pub fn size(&self, number: u32) -> Result<u64, Error> {
        self.size_within(number, DEPTH)
    }

    fn size_within(&self, number: u32, depth: usize) -> Result<u64, Error> {
        let within = depth.checked_sub(1).ok_or_else(|| refused!("type {number} holds itself"))?;
        match self.get(number)?.kind {
            Kind::Int { size, .. } | Kind::Struct { size, .. } => Ok(size.into()),
            Kind::Enum { size, .. } | Kind::Float { size } => Ok(size.into()),
            Kind::Pointer(_) => Ok(8),
            Kind::Array { element, count } => {
                let size = self.size_within(element, within)?.checked_mul(count.into());
                size.ok_or_else(|| refused!("type {number} is too large"))
            }
            Kind::Alias(next) | Kind::Tag(next) | Kind::Variable(next) => self.size_within(next, within),
            _ => Err(refused!("type {number} has no size")),
        }
    }

    fn placed(&self) -> impl Iterator<Item = (&str, &[PlacedVariable])> {
        let sections = self.sections.iter().filter_map(|&number| self.types.get(number as usize));
        sections.filter_map(|one| match &one.kind {
            Kind::Section(variables) => Some((one.name.as_ref(), variables.as_slice())),
            _ => None,
        })
    }

    /// Name and type of what is placed in a section; nothing where it is no variable.
    fn placed_variable(&self, placed: &PlacedVariable) -> Result<Option<(&Cow<'f, str>, u32)>, Error> {
        match self.get(placed.variable)? {
            Type { name, kind: Kind::Variable(kind) } => Ok(Some((name, *kind))),
            _ => Ok(None),
        }
    }

    /// The variables of a section, in their order: name, type, place.
    #[cfg(feature = "host")]
    pub fn variables<'b>(
        &'b self,
        section: &'b str,
    ) -> impl Iterator<Item = Result<(&'b Cow<'f, str>, u32, PlacedVariable), Error>> + 'b {
        let of = self.placed().filter(move |one| one.0 == section);
        of.flat_map(|one| one.1).filter_map(|placed| {
            let variable = self.placed_variable(placed).transpose()?;
            Some(variable.map(|(name, kind)| (name, kind, *placed)))
        })
    }

    /// The names of the sections that have variables.
    #[cfg(feature = "host")]
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.placed().map(|section| section.0)
    }

    /// The type of the variable of this name in this section.
    pub fn variable(&self, section: &str, name: &str, steps: &mut Steps<'_>) -> Result<Option<u32>, Error> {
        for (of, all) in self.placed() {
            // What is passed over counts as well.
            steps.take(1)?;
            for placed in if of == section { all } else { &[] } {
                steps.take(1)?;
                match self.placed_variable(placed)? {
                    Some((known, kind)) if known == name => return Ok(Some(kind)),
                    _ => {}
                }
            }
        }
        Ok(None)
    }

    /// The CO-RE relocations of an object.
    pub fn relocations(&self, file: &File<'_>, steps: &mut Steps<'_>) -> Result<Vec<CoreRelocation<'f>>, Error> {
        let Some((_, section)) = file.section(".BTF.ext") else {
            return Ok(Vec::new());
        };
        let (mut words, begin) = header(section.bytes, ".BTF.ext")?;
        // Functions and lines.
        (0..4).try_for_each(|_| words.u32().map(drop))?;
        // Old compilers write none of these.
        if begin < 32 {
            return Ok(Vec::new());
        }
        let (from, length) = (words.u32()?, words.u32()?);
        let mut all = Vec::new();
        if length == 0 {
            return Ok(all);
        }
        let from = begin.saturating_add(from.into());
        let mut reader = Reader::part(section.bytes, from, length, "CO-RE relocations")?;
        let size = reader.u32()?;
        if size < 16 || size % 4 != 0 {
            return Err(refused!("CO-RE relocations have {size} bytes each, not 16"));
        }
        while !reader.is_empty() {
            let (section, count) = (self.name(reader.u32()?, steps)?, reader.u32()?);
            for _ in 0..count {
                let [offset, root, access, kind] = [reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?];
                (16..size).step_by(4).try_for_each(|_| reader.u32().map(drop))?;
                let access = self.name(access, steps)?;
                all.put(CoreRelocation { section, offset, root, access, kind })?;
            }
        }
        Ok(all)
    }
}
