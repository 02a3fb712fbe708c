//! The writer of packages. What it writes, the reader reads.

use super::{
    format::{self, held, section, slot},
    read, Data, Entry, Function, Held, MapDef, Object, ObjectError, ProgramDef, Slot, SlotNeed, Variable, MAGIC, MAJOR,
    MINOR,
};
use crate::platform::no_pause;
use alloc::{collections::BTreeMap, vec::Vec};

/// Why an object cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteError {
    /// It is larger than a package can be.
    TooLarge,
    /// The reader would refuse it.
    Unreadable(ObjectError),
}

/// The package of an object. Memory is allocated as it is needed: for the host.
pub fn write(object: &Object<'_>) -> Result<Vec<u8>, WriteError> {
    let mut writer = Writer::default();
    let package = writer.package(object);
    let package = package.filter(|_| !writer.too_large);
    let package = package.ok_or(WriteError::TooLarge)?;
    match Object::parse(&package) {
        Ok(_) => Ok(package),
        Err(error) => Err(WriteError::Unreadable(error)),
    }
}

#[derive(Default)]
struct Writer<'a> {
    out: Vec<u8>,
    strings: Vec<u8>,
    /// Where each text stands in the strings.
    known: BTreeMap<&'a str, u32>,
    too_large: bool,
}

impl<'a> Writer<'a> {
    fn package(&mut self, object: &Object<'a>) -> Option<Vec<u8>> {
        // The records come first, for the strings that they need.
        self.licence(object.licence);
        self.section(section::MAPS, 0, &object.maps, Self::map);
        self.section(section::DATA, 0, &object.data, Self::data);
        let optional = section::OPTIONAL;
        self.section(section::VARIABLES, optional, &object.variables, Self::variable);
        self.section(section::PROGRAMS, 0, &object.programs, Self::program);
        self.section(section::ENTRIES, 0, &object.entries, Self::entry);
        self.section(section::SLOTS, 0, &object.slots, Self::slot);
        self.section(section::FUNCTIONS, optional, &object.functions, Self::function);
        self.section(section::TYPES, optional, object.types, |writer, &byte| writer.out.push(byte));
        let records = core::mem::take(&mut self.out);
        self.header(object);
        let strings = core::mem::take(&mut self.strings);
        self.strings(&strings);
        self.out.extend(records);
        let mut package = core::mem::take(&mut self.out);
        let length = u32::try_from(package.len()).ok()?;
        package.get_mut(12..16)?.copy_from_slice(&length.to_le_bytes());
        let sum = read::checksum(&package, &mut no_pause).ok()?;
        package.get_mut(format::CHECKSUM)?.copy_from_slice(&sum.to_le_bytes());
        Some(package)
    }

    fn header(&mut self, object: &Object<'a>) {
        self.out.extend(MAGIC);
        self.out.extend(MAJOR.to_le_bytes());
        self.out.extend(MINOR.to_le_bytes());
        // Length and checksum follow when they are known.
        self.words(&[0, 0]);
        let abi = format::number(&format::ABIS, &object.abi);
        self.words(&[abi, format::number(&format::WISHES, &object.wish)]);
        self.text(object.name);
        self.out.extend(object.image);
        self.out.extend(object.source);
        self.words(&[0]);
    }

    fn strings(&mut self, strings: &[u8]) {
        self.head(section::STRINGS, 0, strings.len());
        self.out.extend(strings);
        self.pad();
    }

    fn licence(&mut self, licence: &'a str) {
        if !licence.is_empty() {
            self.head(section::LICENCE, section::OPTIONAL, 8);
            self.text(licence);
        }
    }

    /// A section of what is in a list, if there is any.
    fn section<T>(&mut self, kind: u16, flags: u16, list: &[T], one: fn(&mut Self, &T)) {
        if list.is_empty() {
            return;
        }
        let before = core::mem::take(&mut self.out);
        list.iter().for_each(|item| one(self, item));
        let contents = core::mem::replace(&mut self.out, before);
        self.head(kind, flags, contents.len());
        self.out.extend(contents);
        self.pad();
    }

    fn head(&mut self, kind: u16, flags: u16, length: usize) {
        self.out.extend(kind.to_le_bytes());
        self.out.extend(flags.to_le_bytes());
        self.length(length);
    }

    fn length(&mut self, length: usize) {
        let fits = u32::try_from(length);
        self.too_large |= fits.is_err();
        self.words(&[fits.unwrap_or(u32::MAX)]);
    }

    fn words(&mut self, words: &[u32]) {
        words.iter().for_each(|word| self.out.extend(word.to_le_bytes()));
    }

    fn pad(&mut self) {
        let len = self.out.len().next_multiple_of(format::ALIGN);
        self.out.resize(len, 0);
    }

    fn text(&mut self, text: &'a str) {
        let next = u32::try_from(self.strings.len());
        self.too_large |= next.is_err();
        let place = match self.known.get(text) {
            Some(&place) => place,
            None => {
                let place = next.unwrap_or(u32::MAX);
                self.strings.extend(text.as_bytes());
                self.known.insert(text, place);
                place
            }
        };
        self.words(&[place]);
        self.length(text.len());
    }

    fn map(&mut self, map: &MapDef<'a>) {
        self.text(map.name);
        self.words(&[map.kind, map.key_size, map.value_size, map.max_entries, map.flags]);
        let inner = map.inner.map_or(0, |inner| inner.saturating_add(1));
        self.words(&[u32::from(map.shared), inner, 0]);
    }

    fn data(&mut self, data: &Data<'a>) {
        self.text(data.name);
        self.words(&[u32::from(data.read_only), data.size]);
        self.length(data.bytes.len());
        self.words(&[0]);
        self.out.extend(data.bytes);
        self.pad();
    }

    fn variable(&mut self, variable: &Variable<'a>) {
        self.text(variable.name);
        let signed = u32::from(variable.signed);
        self.words(&[variable.data, variable.offset, variable.size, signed]);
    }

    fn program(&mut self, program: &ProgramDef<'a>) {
        self.text(program.name);
        self.text(program.section);
        let kind = format::number(&format::KINDS, &program.kind);
        self.words(&[kind, format::number(&format::ATTACHES, &program.attach)]);
        self.text(program.target);
        self.out.extend(program.offset.to_le_bytes());
        self.length(program.code.len());
        self.words(&[0]);
        self.out.extend(program.code);
        self.pad();
    }

    fn entry(&mut self, entry: &Entry) {
        let (kind, index) = match entry.value {
            Held::Map(index) => (held::MAP, index),
            Held::Program(index) => (held::PROGRAM, index),
        };
        self.words(&[entry.map, entry.key, kind, index]);
    }

    fn slot(&mut self, place: &Slot<'a>) {
        let (kind, text) = match place.need {
            SlotNeed::Helper(name) => (slot::HELPER, Some(name)),
            SlotNeed::Symbol(name) => (slot::SYMBOL, Some(name)),
            SlotNeed::WeakSymbol(name) => (slot::WEAK_SYMBOL, Some(name)),
            SlotNeed::Missing(text) => (slot::MISSING, Some(text)),
            SlotNeed::Probing => (slot::PROBING, None),
        };
        self.words(&[place.program, place.pc, kind, 0]);
        match text {
            Some(text) => self.text(text),
            None => self.words(&[0, 0]),
        }
    }

    fn function(&mut self, function: &Function<'a>) {
        self.words(&[function.program, function.start]);
        self.text(function.name);
    }
}
