//! The writer of packages. What it writes, the reader reads.

use super::{
    format::{self, held, section, slot},
    read, Data, FunctionName, MapContent, MapEntry, Object, ObjectError, ObjectMap, ProgramDef, Relocation, SlotNeed,
    Variable, MAGIC, MAJOR, MINOR,
};
use crate::platform::{no_pause, sort_by_in_pieces, Cancelled, Pause};
use alloc::vec::Vec;

/// Why an object cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteError {
    /// It is larger than a package can be.
    TooLarge,
    /// The reader would refuse it.
    Unreadable(ObjectError),
    /// Nobody wants the answer any more.
    Cancelled,
    /// No memory.
    NoMemory,
}

impl From<Cancelled> for WriteError {
    fn from(_: Cancelled) -> Self {
        WriteError::Cancelled
    }
}

impl From<ObjectError> for WriteError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::NoMemory => WriteError::NoMemory,
            ObjectError::Cancelled => WriteError::Cancelled,
            error => WriteError::Unreadable(error),
        }
    }
}

/// The package of an object.
///
/// # Errors
/// It is too large, or the reader would refuse it.
pub fn write(object: &Object<'_>) -> Result<Vec<u8>, WriteError> {
    write_in_pieces(object, &mut no_pause)
}

/// As [`write()`], calling `pause` again and again.
///
/// # Errors
/// Those of [`write()`]; or there is no memory, or `pause` said no.
pub fn write_in_pieces(object: &Object<'_>, pause: &mut Pause<'_>) -> Result<Vec<u8>, WriteError> {
    let mut writer = Writer { out: Vec::new(), texts: Vec::new(), places: None, pause };
    // Once for the texts that the records need, and once more when it is known where these stand.
    writer.text(object.name)?;
    writer.records(object)?;
    writer.out.clear();
    let strings = writer.place_texts()?;
    let package = writer.package(object, &strings)?;
    Object::parse_in_pieces(&package, pause)?;
    Ok(package)
}

struct Writer<'a, 'w, 'p> {
    out: Vec<u8>,
    /// All texts; where they have places, ascending, each once.
    texts: Vec<&'a str>,
    /// Where each of them stands in the strings.
    places: Option<Vec<u32>>,
    pause: &'w mut Pause<'p>,
}

type Done = Result<(), WriteError>;

impl<'a> Writer<'a, '_, '_> {
    /// Gives each text a place; all of them.
    fn place_texts(&mut self) -> Result<Vec<u8>, WriteError> {
        sort_by_in_pieces(&mut self.texts, |one, other| one < other, &mut *self.pause)?;
        self.texts.dedup();
        let (mut strings, mut places) = (Vec::new(), Vec::new());
        for text in &self.texts {
            put(&mut places, &[u32::try_from(strings.len()).map_err(|_| WriteError::TooLarge)?])?;
            put(&mut strings, text.as_bytes())?;
        }
        self.places = Some(places);
        Ok(strings)
    }

    fn package(mut self, object: &Object<'a>, strings: &[u8]) -> Result<Vec<u8>, WriteError> {
        self.header(object)?;
        self.section(section::STRINGS, 0, |writer| writer.bytes(strings))?;
        self.records(object)?;
        let mut package = self.out;
        let length = u32::try_from(package.len()).map_err(|_| WriteError::TooLarge)?;
        fill(&mut package, 12, length);
        let sum = read::checksum(&package, self.pause)?;
        fill(&mut package, format::CHECKSUM.start, sum);
        Ok(package)
    }

    fn header(&mut self, object: &Object<'a>) -> Done {
        self.bytes(&MAGIC)?;
        self.bytes(&MAJOR.to_le_bytes())?;
        self.bytes(&MINOR.to_le_bytes())?;
        // Length and checksum follow when they are known.
        self.words(&[0, 0])?;
        let abi = format::number(&format::ABIS, &object.abi);
        self.words(&[abi, format::number(&format::WISHES, &object.wish)])?;
        self.text(object.name)?;
        self.bytes(&object.image)?;
        self.bytes(&object.source)?;
        self.words(&[0])
    }

    fn records(&mut self, object: &Object<'a>) -> Done {
        let optional = section::OPTIONAL;
        if !object.licence.is_empty() {
            self.section(section::LICENCE, optional, |writer| writer.text(object.licence))?;
        }
        self.list(section::MAPS, 0, &object.maps, Self::map)?;
        self.list(section::DATA, 0, &object.data, Self::data)?;
        self.list(section::VARIABLES, optional, &object.variables, Self::variable)?;
        self.list(section::PROGRAMS, 0, &object.programs, Self::program)?;
        self.list(section::ENTRIES, 0, &object.entries, Self::entry)?;
        self.list(section::SLOTS, 0, &object.slots, Self::slot)?;
        self.list(section::FUNCTIONS, optional, &object.functions, Self::function)?;
        match object.types {
            [] => Ok(()),
            types => self.section(section::TYPES, optional, |writer| writer.bytes(types)),
        }
    }

    /// A section of what is in a list, if there is any.
    fn list<T>(&mut self, kind: u16, flags: u16, list: &[T], one: fn(&mut Self, &T) -> Done) -> Done {
        if list.is_empty() {
            return Ok(());
        }
        self.section(kind, flags, |writer| {
            list.iter().try_for_each(|item| {
                (writer.pause)()?;
                one(writer, item)
            })
        })
    }

    fn section(&mut self, kind: u16, flags: u16, contents: impl FnOnce(&mut Self) -> Done) -> Done {
        self.bytes(&kind.to_le_bytes())?;
        self.bytes(&flags.to_le_bytes())?;
        let place = self.out.len();
        self.words(&[0])?;
        let begin = self.out.len();
        contents(self)?;
        let length = u32::try_from(self.out.len().saturating_sub(begin)).map_err(|_| WriteError::TooLarge)?;
        fill(&mut self.out, place, length);
        self.pad()
    }

    fn bytes(&mut self, bytes: &[u8]) -> Done {
        put(&mut self.out, bytes)
    }

    fn length(&mut self, length: usize) -> Done {
        self.words(&[u32::try_from(length).map_err(|_| WriteError::TooLarge)?])
    }

    fn words(&mut self, words: &[u32]) -> Done {
        words.iter().try_for_each(|word| self.bytes(&word.to_le_bytes()))
    }

    fn pad(&mut self) -> Done {
        let more = self.out.len().next_multiple_of(format::ALIGN).saturating_sub(self.out.len());
        self.bytes([0; format::ALIGN].get(..more).unwrap_or_default())
    }

    fn text(&mut self, text: &'a str) -> Done {
        let place = match &self.places {
            Some(places) => {
                let at = self.texts.binary_search(&text).ok();
                at.and_then(|at| places.get(at)).copied().unwrap_or(u32::MAX)
            }
            None => {
                put(&mut self.texts, &[text])?;
                0
            }
        };
        self.words(&[place])?;
        self.length(text.len())
    }

    fn map(&mut self, map: &ObjectMap<'a>) -> Done {
        self.text(map.name)?;
        self.words(&[map.kind, map.key_size, map.value_size, map.max_entries, map.flags])?;
        let inner = map.inner.map_or(0, |inner| inner.saturating_add(1));
        self.words(&[u32::from(map.shared), inner, 0])
    }

    fn data(&mut self, data: &Data<'a>) -> Done {
        self.text(data.name)?;
        self.words(&[u32::from(data.read_only), data.size])?;
        self.length(data.bytes.len())?;
        self.words(&[0])?;
        self.bytes(data.bytes)?;
        self.pad()
    }

    fn variable(&mut self, variable: &Variable<'a>) -> Done {
        self.text(variable.name)?;
        let signed = u32::from(variable.signed);
        self.words(&[variable.data, variable.offset, variable.size, signed])
    }

    fn program(&mut self, program: &ProgramDef<'a>) -> Done {
        self.text(program.name)?;
        self.text(program.section)?;
        let kind = format::number(&format::KINDS, &program.kind);
        self.words(&[kind, format::number(&format::ATTACHES, &program.attach)])?;
        self.text(program.target)?;
        self.bytes(&program.offset.to_le_bytes())?;
        self.length(program.code.len())?;
        self.words(&[0])?;
        self.bytes(program.code)?;
        self.pad()
    }

    fn entry(&mut self, entry: &MapEntry) -> Done {
        let (kind, index) = match entry.value {
            MapContent::Map(index) => (held::MAP, index),
            MapContent::Program(index) => (held::PROGRAM, index),
        };
        self.words(&[entry.map, entry.key, kind, index])
    }

    fn slot(&mut self, place: &Relocation<'a>) -> Done {
        let (kind, text) = match place.need {
            SlotNeed::Helper(name) => (slot::HELPER, Some(name)),
            SlotNeed::Symbol(name) => (slot::SYMBOL, Some(name)),
            SlotNeed::WeakSymbol(name) => (slot::WEAK_SYMBOL, Some(name)),
            SlotNeed::Missing(text) => (slot::MISSING, Some(text)),
            SlotNeed::Probing => (slot::PROBING, None),
        };
        self.words(&[place.program, place.pc, kind, 0])?;
        match text {
            Some(text) => self.text(text),
            None => self.words(&[0, 0]),
        }
    }

    fn function(&mut self, function: &FunctionName<'a>) -> Done {
        self.words(&[function.program, function.start])?;
        self.text(function.name)
    }
}

fn put<T: Copy>(list: &mut Vec<T>, more: &[T]) -> Done {
    list.try_reserve(more.len()).map_err(|_| WriteError::NoMemory)?;
    list.extend_from_slice(more);
    Ok(())
}

/// Puts a word in its place.
fn fill(bytes: &mut [u8], at: usize, word: u32) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = word.to_le_bytes();
    }
}
