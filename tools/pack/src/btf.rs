//! The types that a compiler writes beside a program (Linux, `Documentation/bpf/btf.rst`): `.BTF`, and the relocations of `.BTF.ext`.

use crate::elf::File;

pub(crate) const MAGIC: u16 = 0xeb9f;
/// Of the encoding of an `int`.
pub(crate) const INT_SIGNED: u32 = 1;
pub(crate) const INT_BOOL: u32 = 4;
/// Where a member begins, in the word that also has its bits.
const BIT_OFFSET: u32 = 0xff_ffff;
/// Types within types that are followed: those of any honest object.
const DEPTH: usize = 64;

/// All types of an object. Number 0 is `void`.
#[derive(Clone, Default)]
pub struct Btf<'f> {
    types: Vec<Type>,
    strings: &'f [u8],
}

/// A type.
#[derive(Clone, Debug)]
pub struct Type {
    pub name: String,
    pub kind: Kind,
}

/// What a type is made of. Numbers are those of other types.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
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
        members: Vec<Member>,
    },
    Enum {
        size: u32,
        signed: bool,
        values: Vec<(String, u64)>,
    },
    Forward,
    /// Another name, or a qualifier.
    Alias(u32),
    /// A mark that a program's author gave.
    Tag(u32),
    Function(u32),
    Prototype,
    Variable(u32),
    Section(Vec<Placed>),
    Float {
        size: u32,
    },
    Other,
}

/// A member of a struct or union.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    pub name: String,
    pub kind: u32,
    /// Where it begins, in bits.
    pub offset: u32,
    /// Bits that it has, where it is a part of its type only; else 0.
    pub bits: u32,
}

/// A variable in its section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// Its number among the types.
    pub variable: u32,
    /// Where it begins, in bytes.
    pub offset: u32,
    /// Its bytes.
    pub size: u32,
}

/// A CO-RE relocation.
#[derive(Clone, Debug)]
pub struct CoreRelocation {
    /// Name of the section.
    pub section: String,
    /// The instruction, in bytes.
    pub offset: u32,
    /// The type that it is about.
    pub root: u32,
    /// Members, as `0:1:2`.
    pub access: String,
    pub kind: u32,
}

/// Numbers of what is left of some bytes.
struct Reader<'f> {
    bytes: &'f [u8],
    at: usize,
}

impl<'f> Reader<'f> {
    fn u32(&mut self) -> Result<u32, String> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk());
        let word = found.ok_or_else(|| format!("types: byte {:#x} is beyond their end", self.at))?;
        self.at += 4;
        Ok(u32::from_le_bytes(*word))
    }

    fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn part(bytes: &'f [u8], from: u64, length: u32, what: &str) -> Result<Reader<'f>, String> {
        let to = from.saturating_add(length.into());
        let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
        let bytes = range.and_then(|(from, to)| bytes.get(from..to));
        let bytes = bytes.ok_or_else(|| format!("{what} lie outside of their section"))?;
        Ok(Reader { bytes, at: 0 })
    }
}

/// The header that both sections begin with, and where what it describes begins.
fn header<'f>(bytes: &'f [u8], what: &str) -> Result<(Reader<'f>, u64), String> {
    let mut header = Reader { bytes, at: 0 };
    let first = header.u32()?;
    if first as u16 != MAGIC {
        return Err(format!("{what} begins with {:#06x} and not with {MAGIC:#06x}", first as u16));
    }
    let length = header.u32()?;
    Ok((header, length.into()))
}

/// So many entries of that many words, at most three.
fn list(reader: &mut Reader<'_>, count: u32, words: usize) -> Result<Vec<[u32; 3]>, String> {
    let mut list = Vec::new();
    for _ in 0..count {
        let mut one = [0; 3];
        for word in one.iter_mut().take(words) {
            *word = reader.u32()?;
        }
        list.push(one);
    }
    Ok(list)
}

impl<'f> Btf<'f> {
    /// The types of an object; none where it was compiled without `-g`.
    pub fn read(file: &File<'f>) -> Result<Btf<'f>, String> {
        match file.section(".BTF") {
            Some((_, section)) => Btf::parse(section.bytes),
            None => Ok(Btf::default()),
        }
    }

    /// Types as they stand in `.BTF`.
    pub fn parse(bytes: &'f [u8]) -> Result<Btf<'f>, String> {
        let (mut words, begin) = header(bytes, ".BTF")?;
        let (type_off, type_len) = (words.u32()?, words.u32()?);
        let (str_off, str_len) = (words.u32()?, words.u32()?);
        let part = |off: u32, len, what| Reader::part(bytes, begin + u64::from(off), len, what);
        let mut btf = Btf {
            types: vec![Type { name: String::new(), kind: Kind::Void }],
            strings: part(str_off, str_len, "names of types")?.bytes,
        };
        let mut reader = part(type_off, type_len, "types")?;
        while !reader.is_empty() {
            let one = btf.one(&mut reader)?;
            btf.types.push(one);
        }
        Ok(btf)
    }

    /// Types that were read elsewhere.
    pub fn of(types: Vec<Type>) -> Btf<'static> {
        Btf { types, strings: &[] }
    }

    /// The numbers of the types with this name.
    pub fn all_called<'b>(&'b self, name: &'b str) -> impl Iterator<Item = u32> + 'b {
        (0..).zip(&self.types).filter(move |(_, one)| one.name == name).map(|(number, _)| number)
    }

    /// The same without the texts that relocations need.
    pub fn without_strings(self) -> Btf<'static> {
        Btf { types: self.types, strings: &[] }
    }

    /// The first type that has this name.
    pub fn find(&self, name: &str) -> Option<u32> {
        let at = self
            .types
            .iter()
            .position(|one| one.name == name && !matches!(one.kind, Kind::Variable(_) | Kind::Section(_)))?;
        u32::try_from(at).ok().filter(|_| !name.is_empty())
    }

    fn one(&self, reader: &mut Reader<'_>) -> Result<Type, String> {
        let (name, info, size) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (count, flag) = (info & 0xffff, info >> 31 != 0);
        let mut list = |words| list(reader, count, words);
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
                let members = list(3)?.into_iter().map(|[name, kind, place]| {
                    let name = self.name(name)?;
                    let (offset, bits) = if flag { (place & BIT_OFFSET, place >> 24) } else { (place, 0) };
                    Ok(Member { name, kind, offset, bits })
                });
                let members = members.collect::<Result<_, String>>()?;
                Kind::Struct { union: kind == 5, size, members }
            }
            6 => {
                let value = |value: u32| match flag {
                    true => i64::from(value as i32) as u64,
                    false => u64::from(value),
                };
                let values = list(2)?.into_iter().map(|[name, low, _]| Ok((self.name(name)?, value(low))));
                Kind::Enum { size, signed: flag, values: values.collect::<Result<_, String>>()? }
            }
            7 => Kind::Forward,
            8..=11 => Kind::Alias(size),
            12 => Kind::Function(size),
            13 => {
                list(2)?;
                Kind::Prototype
            }
            14 => {
                reader.u32()?;
                Kind::Variable(size)
            }
            15 => {
                let placed = |[variable, offset, size]: [u32; 3]| Placed { variable, offset, size };
                Kind::Section(list(3)?.into_iter().map(placed).collect())
            }
            16 => Kind::Float { size },
            17 => {
                reader.u32()?;
                Kind::Other
            }
            18 => Kind::Tag(size),
            19 => {
                let values = list(3)?
                    .into_iter()
                    .map(|[name, low, high]| Ok((self.name(name)?, u64::from(high) << 32 | u64::from(low))));
                Kind::Enum { size, signed: flag, values: values.collect::<Result<_, String>>()? }
            }
            kind => {
                let number = self.types.len();
                return Err(format!("type {number} is of kind {kind}, which is unknown: use another compiler"));
            }
        };
        Ok(Type { name: self.name(name)?, kind })
    }

    fn name(&self, at: u32) -> Result<String, String> {
        let rest = self.strings.get(at as usize..);
        let name = rest.and_then(|rest| rest.split(|&byte| byte == 0).next());
        match name {
            Some(name) => Ok(String::from_utf8_lossy(name).into()),
            None if at == 0 => Ok(String::new()),
            None => Err(format!("the name of a type lies outside of the names, at {at:#x}")),
        }
    }

    /// A type by its number.
    pub fn get(&self, number: u32) -> Result<&Type, String> {
        self.types.get(number as usize).ok_or_else(|| format!("there is no type {number}"))
    }

    /// What a type is behind its other names and marks.
    pub fn plain(&self, number: u32) -> Result<&Type, String> {
        let mut number = number;
        for _ in 0..DEPTH {
            match self.get(number)?.kind {
                Kind::Alias(next) | Kind::Tag(next) => number = next,
                _ => return self.get(number),
            }
        }
        Err(format!("type {number} leads to itself"))
    }

    /// Whether a type, or one of its other names, is marked or named so.
    pub fn is_called(&self, number: u32, wanted: &dyn Fn(&str) -> bool) -> Result<bool, String> {
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
        Err(format!("type {number} leads to itself"))
    }

    /// Bytes of a type.
    pub fn size(&self, number: u32) -> Result<u64, String> {
        self.size_within(number, DEPTH)
    }

    fn size_within(&self, number: u32, depth: usize) -> Result<u64, String> {
        let within = depth.checked_sub(1).ok_or_else(|| format!("type {number} holds itself"))?;
        match self.get(number)?.kind {
            Kind::Int { size, .. } | Kind::Struct { size, .. } => Ok(size.into()),
            Kind::Enum { size, .. } | Kind::Float { size } => Ok(size.into()),
            Kind::Pointer(_) => Ok(8),
            Kind::Array { element, count } => {
                let size = self.size_within(element, within)?.checked_mul(count.into());
                size.ok_or_else(|| format!("type {number} is too large"))
            }
            Kind::Alias(next) | Kind::Tag(next) | Kind::Variable(next) => self.size_within(next, within),
            _ => Err(format!("type {number} has no size")),
        }
    }

    /// The variables of a section, in their order: name, type, place.
    pub fn variables(&self, section: &str) -> Result<Vec<(&str, u32, Placed)>, String> {
        let mut all = Vec::new();
        for one in self.types.iter().filter(|one| one.name == section) {
            let Kind::Section(variables) = &one.kind else {
                continue;
            };
            for &placed in variables {
                let variable = self.get(placed.variable)?;
                if let Kind::Variable(kind) = variable.kind {
                    all.push((variable.name.as_str(), kind, placed));
                }
            }
        }
        Ok(all)
    }

    /// The names of the sections that have variables.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        let sections = self.types.iter().filter(|one| matches!(one.kind, Kind::Section(_)));
        sections.map(|section| section.name.as_str())
    }

    /// The type of the variable of this name in this section.
    pub fn variable(&self, section: &str, name: &str) -> Result<Option<u32>, String> {
        let all = self.variables(section)?;
        Ok(all.iter().find(|variable| variable.0 == name).map(|variable| variable.1))
    }

    /// The CO-RE relocations of an object.
    pub fn relocations(&self, file: &File<'_>) -> Result<Vec<CoreRelocation>, String> {
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
        let from = begin + u64::from(from);
        let mut reader = Reader::part(section.bytes, from, length, "CO-RE relocations")?;
        let size = reader.u32()?;
        if size < 16 || size % 4 != 0 {
            return Err(format!("CO-RE relocations have {size} bytes each, not 16"));
        }
        while !reader.is_empty() {
            let (name, count) = (self.name(reader.u32()?)?, reader.u32()?);
            for _ in 0..count {
                let [offset, root, access, kind] = [reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?];
                (16..size).step_by(4).try_for_each(|_| reader.u32().map(drop))?;
                let section = name.clone();
                let access = self.name(access)?;
                all.push(CoreRelocation { section, offset, root, access, kind });
            }
        }
        Ok(all)
    }
}
