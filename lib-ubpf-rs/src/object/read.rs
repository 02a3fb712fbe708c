//! The reader of packages. It believes nothing: each number is compared with what it counts, or points into, before it is used, and an
//! object is given as a whole or not at all.

use super::{
    check,
    crc32::Crc32,
    error::malformed,
    format::{self, held, record, section, slot},
    is_package, Data, FunctionName, Malformed, MapContent, MapEntry, Object, ObjectError, ObjectMap, ProgramDef,
    Relocation, SlotNeed, Variable, ID_BYTES, MAJOR, MAX_DATA_BYTES, MAX_MAPS, MAX_PROGRAMS, MAX_TYPES,
};
use crate::platform::{no_pause, Pause};
use alloc::vec::Vec;

impl<'a> Object<'a> {
    /// Reads a package.
    pub fn parse(bytes: &'a [u8]) -> Result<Object<'a>, ObjectError> {
        Self::parse_in_pieces(bytes, &mut no_pause)
    }

    /// As [`parse`](Self::parse), calling `pause` again and again.
    pub fn parse_in_pieces(bytes: &'a [u8], pause: &mut Pause<'_>) -> Result<Object<'a>, ObjectError> {
        let mut header = Reader::new(bytes);
        let minor_is_newer = header.envelope(bytes, pause)?;
        let sections = Sections::read(bytes, minor_is_newer)?;
        let strings = sections.strings;
        let object = Object {
            abi: header.one_of(&format::ABIS, "numbering of helpers")?,
            wish: header.one_of(&format::WISHES, "policy")?,
            name: header.name(strings)?,
            image: header.id()?,
            source: header.id()?,
            licence: sections.licence()?,
            maps: sections.list(section::MAPS, pause, |r| r.map(strings))?,
            data: sections.data()?,
            variables: sections.list(section::VARIABLES, pause, |r| r.variable(strings))?,
            programs: sections.programs()?,
            entries: sections.list(section::ENTRIES, pause, Reader::entry)?,
            slots: sections.list(section::SLOTS, pause, |r| r.slot(strings))?,
            functions: sections.list(section::FUNCTIONS, pause, |r| r.function(strings))?,
            types: sections.types()?,
        };
        header.zero("header")?;
        check::check(&object, &|kind| sections.begin(kind), pause)?;
        Ok(object)
    }
}

/// Sections as they stand.
struct Sections<'a> {
    /// By kind: where the section begins, and what is in it.
    known: [Option<Reader<'a>>; KNOWN],
    strings: &'a [u8],
}

const KNOWN: usize = section::TYPES as usize + 1;
/// Records read between two pauses.
const PIECE: usize = 256;
/// Bytes summed between two pauses.
const SUMMED: usize = 4096;

impl<'a> Sections<'a> {
    fn read(bytes: &'a [u8], newer: bool) -> Result<Sections<'a>, ObjectError> {
        let mut sections = Sections { known: [None; KNOWN], strings: &[] };
        let mut reader = Reader::new(bytes);
        reader.take(format::HEADER, "header")?;
        let mut last = 0;
        while !reader.rest.is_empty() {
            let at = reader.at;
            let (kind, flags) = (reader.u16("section")?, reader.u16("section")?);
            let length = reader.u32("section")?;
            let contents = Reader { at: reader.at, rest: reader.padded(length, "section")? };
            if flags & !section::OPTIONAL != 0 && !newer {
                return Err(malformed(at, Malformed::Reserved("section")));
            }
            match sections.known.get_mut(usize::from(kind)) {
                Some(place) if kind > 0 => {
                    if kind <= last {
                        return Err(malformed(at, Malformed::Order("section")));
                    }
                    last = kind;
                    *place = Some(contents);
                }
                _ if flags & section::OPTIONAL != 0 => {}
                _ => return Err(ObjectError::UnknownSection { at, kind }),
            }
        }
        sections.strings = sections.find(section::STRINGS).rest;
        Ok(sections)
    }

    /// What is in a section; nothing where there is none.
    #[inline(never)]
    fn find(&self, kind: u16) -> Reader<'a> {
        let place = self.known.get(usize::from(kind)).copied().flatten();
        place.unwrap_or(Reader { at: 0, rest: &[] })
    }

    fn begin(&self, kind: u16) -> usize {
        self.find(kind).at
    }

    fn licence(&self) -> Result<&'a str, ObjectError> {
        let mut reader = self.find(section::LICENCE);
        if reader.rest.is_empty() {
            return Ok("");
        }
        let licence = reader.text(self.strings)?;
        reader.end("licence")?;
        Ok(licence)
    }

    fn types(&self) -> Result<&'a [u8], ObjectError> {
        let Reader { at, rest } = self.find(section::TYPES);
        let (what, limit) = ("bytes of types", MAX_TYPES);
        (rest.len() <= limit).then_some(rest).ok_or_else(|| malformed(at, Malformed::TooMany { what, limit }))
    }

    /// A section of records of one size.
    fn list<T>(
        &self,
        kind: u16,
        pause: &mut Pause<'_>,
        mut one: impl FnMut(&mut Reader<'a>) -> Result<T, ObjectError>,
    ) -> Result<Vec<T>, ObjectError> {
        let (reader, count, what) = self.records(kind)?;
        let mut list = reserved(count)?;
        reader.each(count, what, pause, &mut |reader| {
            list.push(one(reader)?);
            Ok(())
        })?;
        Ok(list)
    }

    /// A section of records of one size: how many there are, and what they are called.
    fn records(&self, kind: u16) -> Result<(Reader<'a>, usize, &'static str), ObjectError> {
        let reader = self.find(kind);
        let (size, what, limit) = match kind {
            section::MAPS => (record::MAP, "maps", MAX_MAPS),
            section::VARIABLES => (record::VARIABLE, "variables", usize::MAX),
            section::ENTRIES => (record::ENTRY, "entries", usize::MAX),
            section::SLOTS => (record::SLOT, "slots", usize::MAX),
            _ => (record::FUNCTION, "functions", usize::MAX),
        };
        let count = reader.rest.len().checked_div(size).unwrap_or(0);
        if count > limit {
            return Err(malformed(reader.at, Malformed::TooMany { what, limit }));
        }
        Ok((reader, count, what))
    }

    fn data(&self) -> Result<Vec<Data<'a>>, ObjectError> {
        let strings = self.strings;
        let mut reader = self.find(section::DATA);
        let count = reader.count(|r| r.data(strings).map(drop), MAX_MAPS, "data sections")?;
        let mut list = reserved(count)?;
        let mut bytes = 0usize;
        for _ in 0..count {
            let at = reader.at;
            let data = reader.data(strings)?;
            bytes = bytes.saturating_add(data.size as usize);
            if bytes > MAX_DATA_BYTES {
                let (what, limit) = ("bytes of data", MAX_DATA_BYTES);
                return Err(malformed(at, Malformed::TooMany { what, limit }));
            }
            list.push(data);
        }
        Ok(list)
    }

    fn programs(&self) -> Result<Vec<ProgramDef<'a>>, ObjectError> {
        let strings = self.strings;
        let mut reader = self.find(section::PROGRAMS);
        if reader.rest.is_empty() {
            return Err(malformed(reader.at, Malformed::NoProgram));
        }
        let count = reader.count(|r| r.program(strings).map(drop), MAX_PROGRAMS, "programs")?;
        let mut list = reserved(count)?;
        for _ in 0..count {
            list.push(reader.program(strings)?);
        }
        Ok(list)
    }
}

fn reserved<T>(count: usize) -> Result<Vec<T>, ObjectError> {
    let mut list = Vec::new();
    list.try_reserve_exact(count).map_err(|_| ObjectError::NoMemory)?;
    Ok(list)
}

/// What is left of the bytes, and where they stand.
#[derive(Clone, Copy)]
struct Reader<'a> {
    at: usize,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { at: 0, rest: bytes }
    }

    /// What is round everything: that it is a package, whole, undamaged, and of a version that can be read. Whether the version is a newer
    /// one with more in it.
    fn envelope(&mut self, bytes: &[u8], pause: &mut Pause<'_>) -> Result<bool, ObjectError> {
        if !is_package(bytes) {
            return Err(ObjectError::NotAPackage);
        }
        let cut = |_| ObjectError::Length { found: bytes.len(), expected: format::HEADER };
        self.take(format::MAGIC.len(), "header").map_err(cut)?;
        let major = self.u16("header").map_err(cut)?;
        let minor = self.u16("header").map_err(cut)?;
        if major != MAJOR {
            return Err(ObjectError::Version {
                found: major,
                known: MAJOR,
                advice: if major > MAJOR {
                    "update the image, or use an older `ubpf`"
                } else {
                    "make it again with a newer `ubpf`"
                },
            });
        }
        let expected = self.u32("header").map_err(cut)? as usize;
        if expected != bytes.len() || expected < format::HEADER {
            return Err(ObjectError::Length { found: bytes.len(), expected: expected.max(format::HEADER) });
        }
        let expected = self.u32("header")?;
        let found = checksum(bytes, pause)?;
        if found != expected {
            return Err(ObjectError::Checksum { found, expected });
        }
        Ok(minor > format::MINOR)
    }

    #[inline(never)]
    fn take(&mut self, bytes: usize, what: &'static str) -> Result<&'a [u8], ObjectError> {
        let (taken, rest) =
            self.rest.split_at_checked(bytes).ok_or_else(|| malformed(self.at, Malformed::Beyond(what)))?;
        self.rest = rest;
        self.at = self.at.saturating_add(bytes);
        Ok(taken)
    }

    /// So many bytes, and zeros behind them up to where the next thing begins.
    fn padded(&mut self, bytes: u32, what: &'static str) -> Result<&'a [u8], ObjectError> {
        let bytes = bytes as usize;
        let taken = self.take(bytes, what)?;
        let padding = bytes.next_multiple_of(format::ALIGN).saturating_sub(bytes);
        let at = self.at;
        match self.take(padding, what)?.iter().all(|&byte| byte == 0) {
            true => Ok(taken),
            false => Err(malformed(at, Malformed::Reserved(what))),
        }
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ObjectError> {
        let at = self.at;
        let taken = self.take(N, what)?;
        taken.try_into().map_err(|_| malformed(at, Malformed::Beyond(what)))
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, ObjectError> {
        self.array(what).map(u16::from_le_bytes)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, ObjectError> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, ObjectError> {
        self.array(what).map(u64::from_le_bytes)
    }

    fn id(&mut self) -> Result<[u8; ID_BYTES], ObjectError> {
        self.array("header")
    }

    fn one_of<T: Copy>(&mut self, table: &[T], what: &'static str) -> Result<T, ObjectError> {
        let at = self.at;
        let number = self.u32(what)?;
        format::value(table, number).ok_or_else(|| malformed(at, Malformed::Number { what, number }))
    }

    fn zero(&mut self, what: &'static str) -> Result<(), ObjectError> {
        let at = self.at;
        match self.u32(what)? {
            0 => Ok(()),
            _ => Err(malformed(at, Malformed::Reserved(what))),
        }
    }

    fn flag(&mut self, what: &'static str) -> Result<bool, ObjectError> {
        self.one_of(&[false, true], what)
    }

    /// Nothing is left.
    fn end(&self, what: &'static str) -> Result<(), ObjectError> {
        match self.rest {
            [] => Ok(()),
            _ => Err(malformed(self.at, Malformed::Beyond(what))),
        }
    }

    /// Reads so many, calling `pause` again and again. Nothing may follow.
    fn each(
        mut self,
        count: usize,
        what: &'static str,
        pause: &mut Pause<'_>,
        one: &mut dyn FnMut(&mut Self) -> Result<(), ObjectError>,
    ) -> Result<(), ObjectError> {
        for at in 0..count {
            if at.is_multiple_of(PIECE) {
                pause()?;
            }
            one(&mut self)?;
        }
        self.end(what)
    }

    /// How many there are of something whose size varies.
    fn count(
        mut self,
        mut skip: impl FnMut(&mut Self) -> Result<(), ObjectError>,
        limit: usize,
        what: &'static str,
    ) -> Result<usize, ObjectError> {
        let mut count = 0usize;
        while !self.rest.is_empty() {
            if count == limit {
                return Err(malformed(self.at, Malformed::TooMany { what, limit }));
            }
            count = count.saturating_add(1);
            skip(&mut self)?;
        }
        Ok(count)
    }

    /// A text of the strings.
    fn text(&mut self, strings: &'a [u8]) -> Result<&'a str, ObjectError> {
        let at = self.at;
        let (from, length) = (self.u32("text")? as usize, self.u32("text")? as usize);
        let bytes = strings.get(from..).and_then(|from| from.get(..length));
        let text = bytes.and_then(|bytes| core::str::from_utf8(bytes).ok());
        text.filter(|text| format::is_text(text)).ok_or_else(|| malformed(at, Malformed::Text))
    }

    fn name(&mut self, strings: &'a [u8]) -> Result<&'a str, ObjectError> {
        let at = self.at;
        let name = self.text(strings)?;
        match format::is_name(name) {
            true => Ok(name),
            false => Err(malformed(at, Malformed::Text)),
        }
    }

    fn map(&mut self, strings: &'a [u8]) -> Result<ObjectMap<'a>, ObjectError> {
        let map = ObjectMap {
            name: self.name(strings)?,
            kind: self.u32("map")?,
            key_size: self.u32("map")?,
            value_size: self.u32("map")?,
            max_entries: self.u32("map")?,
            flags: self.u32("map")?,
            shared: self.flag("kind of sharing")?,
            inner: self.u32("map")?.checked_sub(1),
        };
        self.zero("map")?;
        Ok(map)
    }

    fn data(&mut self, strings: &'a [u8]) -> Result<Data<'a>, ObjectError> {
        let (at, name) = (self.at, self.name(strings)?);
        let read_only = self.flag("kind of data")?;
        let (size, stored) = (self.u32("data")?, self.u32("data")?);
        self.zero("data")?;
        if stored != 0 && stored != size || size == 0 {
            return Err(malformed(at, Malformed::Outside("data section")));
        }
        let bytes = self.padded(stored, "data")?;
        Ok(Data { name, read_only, size, bytes })
    }

    fn variable(&mut self, strings: &'a [u8]) -> Result<Variable<'a>, ObjectError> {
        Ok(Variable {
            name: self.name(strings)?,
            data: self.u32("variable")?,
            offset: self.u32("variable")?,
            size: self.u32("variable")?,
            signed: self.flag("sign of a variable")?,
        })
    }

    fn program(&mut self, strings: &'a [u8]) -> Result<ProgramDef<'a>, ObjectError> {
        let (name, section) = (self.name(strings)?, self.text(strings)?);
        let kind = self.one_of(&format::KINDS, "kind of program")?;
        let attach = self.one_of(&format::ATTACHES, "way to attach")?;
        let (target, offset) = (self.text(strings)?, self.u64("program")?);
        let bytes = self.u32("program")?;
        self.zero("program")?;
        Ok(ProgramDef { name, section, kind, attach, target, offset, code: self.padded(bytes, "program")? })
    }

    fn entry(&mut self) -> Result<MapEntry, ObjectError> {
        let (map, key) = (self.u32("entry")?, self.u32("entry")?);
        let at = self.at;
        let (kind, index) = (self.u32("entry")?, self.u32("entry")?);
        let value = match kind {
            held::MAP => MapContent::Map(index),
            held::PROGRAM => MapContent::Program(index),
            number => {
                let what = "kind of entry";
                return Err(malformed(at, Malformed::Number { what, number }));
            }
        };
        Ok(MapEntry { map, key, value })
    }

    fn slot(&mut self, strings: &'a [u8]) -> Result<Relocation<'a>, ObjectError> {
        let (program, pc) = (self.u32("slot")?, self.u32("slot")?);
        let at = self.at;
        let kind = self.u32("slot")?;
        self.zero("slot")?;
        let need = match kind {
            slot::HELPER => SlotNeed::Helper(self.name(strings)?),
            slot::SYMBOL => SlotNeed::Symbol(self.name(strings)?),
            slot::WEAK_SYMBOL => SlotNeed::WeakSymbol(self.name(strings)?),
            slot::MISSING => SlotNeed::Missing(self.text(strings)?),
            slot::PROBING => {
                self.zero("slot")?;
                self.zero("slot")?;
                SlotNeed::Probing
            }
            number => {
                let what = "kind of slot";
                return Err(malformed(at, Malformed::Number { what, number }));
            }
        };
        Ok(Relocation { program, pc, need })
    }

    fn function(&mut self, strings: &'a [u8]) -> Result<FunctionName<'a>, ObjectError> {
        Ok(FunctionName { program: self.u32("function")?, start: self.u32("function")?, name: self.name(strings)? })
    }
}

/// The sum of all but the place where it stands.
pub(super) fn checksum(bytes: &[u8], pause: &mut Pause<'_>) -> Result<u32, ObjectError> {
    let mut crc = Crc32::new();
    let before = bytes.get(..format::CHECKSUM.start).unwrap_or_default();
    let behind = bytes.get(format::CHECKSUM.end..).unwrap_or_default();
    crc.add(before);
    for piece in behind.chunks(SUMMED) {
        crc.add(piece);
        pause()?;
    }
    Ok(crc.value())
}
