//! Maps of objects. Keys and values are shown as numbers where they have the size of one, else as bytes in hexadecimal.

use crate::{
    backend::{Backend, Map},
    command::{Call, Command, Failure, Stream},
    output::Printable,
    pace::Pace,
    words::number,
    Output,
};
use alloc::{format, sync::Arc, vec::Vec};
use core::fmt::Write;
use ubpf_rs::{
    maps::{Bytes, BytesMut, MapError, Slots},
    program::{MapFamily, MapKind},
};

pub(super) const COMMANDS: &[Command] = &[
Command::builtin(
    "map",
    "list|show|dump|lookup|update|delete|push|peek|pop|clear|keep|release|types [MAP] [KEY] [VALUE]",
    "maps of objects\n\
     A map is called OBJECT.MAP, or MAP where objects share it. KEY and VALUE are numbers, where they have 1, 2, 4 or 8 bytes; or all\n\
     of their bytes in hexadecimal, as hex:0a0b. show: one map, with its flags, its memory in bytes, and what was lost because it was\n\
     full or busy. clear: no entry stays; values of arrays become 0. keep: the map stays when its last program goes, until release.\n\
     push, peek and pop are for queues and stacks, and push VALUE and peek VALUE for filters, where peek says whether it is there.\n\
     Of maps that hold maps or programs, VALUE is the name of a map, of a program of the same object, or OBJECT:PROGRAM.\n\
     types: what its object says of keys and values, for tools, which show them by name.\n\
     Of a value per CPU, numbers are shown as their sum, with the slots that it is made of where there are several: 7 = 3 + 4; of others\n\
     the slots that are not all zeros. update puts the value into the first slot and zeros into the others.",
    map,
),
Command::builtin(
    "trace",
    "MAP [-n RECORDS] [--rest]",
    "show the records of a ring as they come\n\
     Until a key is pressed (^C for programs), or for so many RECORDS; --rest: only those that are there. Each is taken off the ring; who is slower than the programs\n\
     loses records, which `map show` counts.",
    trace,
),
];

fn map(call: &mut Call<'_>) -> Result<(), Failure> {
    let action = call.args.required(0);
    let words = match action {
        "list" => 1,
        "lookup" | "delete" | "push" | "peek" => 3,
        "update" => 4,
        _ => 2,
    };
    if let Some(word) = call.args.get(words) {
        return Err(Failure::excess(word));
    }
    if action == "list" {
        call.stream(Maps { next: Some(0) });
        return Ok(());
    }
    let missing = |what: &str| Failure::message(format!("map {action}: {what} is missing"));
    let name = call.args.get(1).ok_or_else(|| missing("MAP"))?;
    let found = find(call.backend, name)?;
    let (key, value) = (call.args.get(2), call.args.get(3));
    let key_size = found.def().key_size as usize;
    if matches!(action, "push" | "peek" | "pop") {
        return without_key(call, &found, action, key);
    }
    let key = || bytes("KEY", key.ok_or_else(|| missing("KEY"))?, key_size);
    let value = |what: &str| value.ok_or_else(|| missing(what));
    match action {
        "show" => {
            show_definition(call, name);
            Ok(())
        }
        "clear" => clear(call, &found),
        "dump" => {
            call.stream(MapEntries { map: found, next: Some(0), long: Long::default() });
            Ok(())
        }
        "types" => {
            if let Some(types) = call.backend.map_types(name) {
                call.stream(Types { types, written: 0 });
            }
            Ok(())
        }
        "lookup" => lookup(call, &found, &key()?),
        "update" if found.def().kind.holds_things() => {
            Ok(call.backend.hold(name, &key()?, value("the name of what is to be held")?)?)
        }
        "update" => {
            let size = found.def().value_size as usize;
            let value = bytes("VALUE", value("VALUE")?, size)?;
            done(found.update(Bytes::from(key()?.as_slice()), Bytes::from(value.as_slice()), 0, &mut 0))
        }
        "delete" => done(found.delete(Bytes::from(key()?.as_slice()), &mut 0)),
        _ => match call.backend.keep_map(name, action == "keep") {
            true => Ok(()),
            false => Err(Failure::message(format!("there is no map `{name}` any more"))),
        },
    }
}

/// One line: what `map list` says of it, and more.
fn show_definition(call: &mut Call<'_>, name: &str) {
    let (mut next, mut shown) = (Some(0), false);
    while let Some(first) = next.filter(|_| !shown) {
        next = call.backend.maps(first, &mut |known, map, kept| {
            shown = known == name;
            if shown {
                describe(call.out, known, map, kept);
                let (full, busy) = (map.lost_full(), map.lost_busy());
                let (flags, memory) = (map.def().flags.bits(), Map::memory(map.def()));
                let _ = writeln!(call.out, ", flags {flags:#x}, memory {memory}, full {full}, busy {busy}");
            }
            !shown
        });
    }
}

/// The map of this name.
fn find(backend: &dyn Backend, name: &str) -> Result<Arc<Map>, Failure> {
    let found = backend.map(name);
    found.ok_or_else(|| Failure::message(format!("there is no map `{name}` (`map list` shows those there are)")))
}

fn done(result: Result<(), MapError>) -> Result<(), Failure> {
    result.map_err(|error| Failure::message(format!("{error}")))
}

/// What is done to queues, stacks and filters.
fn without_key(call: &mut Call<'_>, map: &Map, action: &str, word: Option<&str>) -> Result<(), Failure> {
    let size = map.def().value_size as usize;
    let is_filter = map.def().kind == MapKind::BloomFilter && action != "pop";
    let mut value = match word {
        Some(word) if action == "push" || is_filter => bytes("VALUE", word, size)?,
        Some(word) => return Err(Failure::excess(word)),
        None if action == "push" || is_filter => {
            return Err(Failure::message(format!("map {action}: VALUE is missing")));
        }
        None => buffer(size)?,
    };
    if action == "push" {
        return done(map.push(Bytes::from(value.as_slice()), 0));
    }
    let mut out = BytesMut::from(value.as_mut_slice());
    let result = if action == "pop" { map.pop(&mut out) } else { map.peek(&mut out) };
    match result {
        Err(MapError::NoEntry) if is_filter => call.out.line("no"),
        Ok(()) if is_filter => call.out.line("maybe"),
        Err(MapError::NoEntry) => return Err(Failure::message("the map is empty")),
        result => {
            done(result)?;
            let rest = show(Bytes::from(value.as_slice()).into(), call.out)?;
            if !rest.is_over() {
                call.stream(rest);
            }
        }
    }
    Ok(())
}

fn lookup(call: &mut Call<'_>, map: &Map, key: &[u8]) -> Result<(), Failure> {
    if let Some(name) = call.backend.held_name(map, key) {
        call.out.line(&name);
        return Ok(());
    }
    let value = match map.two_key() {
        Some(_) => None,
        None => map.value(Bytes::from(key)),
    };
    let value = value.ok_or_else(|| Failure::message("the map does not have this key"))?;
    let rest = show(value, call.out)?;
    if !rest.is_over() {
        call.stream(rest);
    }
    Ok(())
}

/// Writes a line with a value, or begins to: what is left of it is given.
fn show(value: Slots<'_>, out: &mut Output) -> Result<Long, Failure> {
    let size = value.first().len();
    let filled = || value.iter().filter(|slot| slot.words().any(|word| word != 0));
    let count = filled().count();
    if is_number(size) {
        let mut between = "";
        if count != 1 {
            let sum = filled().fold(0u64, |sum, slot| sum.wrapping_add(slot.word(0)));
            let _ = write!(out, "{}", Shown(sum.to_le_bytes().get(..size).unwrap_or(&[])));
            between = " = ";
        }
        for slot in filled() {
            let _ = write!(out, "{between}{}", Shown(slot.word(0).to_le_bytes().get(..size).unwrap_or(&[])));
            between = " + ";
        }
        out.line("");
        return Ok(Long::default());
    }
    let mut bytes = buffer(count.max(1).saturating_mul(size))?;
    bytes.chunks_mut(size.max(1)).zip(filled()).for_each(|(copy, slot)| _ = slot.copy_to(copy));
    let mut rest = Long { bytes, size, written: 0 };
    while rest.bytes.len() <= SHOWN && rest.write(out) {}
    Ok(rest)
}

/// Zeros of this size.
fn buffer(size: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| Failure::message("out of memory"))?;
    bytes.resize(size, 0);
    Ok(bytes)
}

/// The bytes of a key or value as it was typed.
pub(super) fn bytes(what: &str, word: &str, size: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = buffer(size)?;
    if let Some(digits) = word.strip_prefix("hex:") {
        let wrong = || Failure::message(format!("{what}: `{word}`: {size} bytes in hexadecimal are expected"));
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        if !rest.is_empty() || pairs.len() != size {
            return Err(wrong());
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            let digits = core::str::from_utf8(pair).ok().filter(|digits| !digits.starts_with('+'));
            *byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or_else(wrong)?;
        }
        return Ok(bytes);
    }
    let value = number(word).map_err(|error| Failure::message(format!("{what}: `{word}` {error}")))?;
    let all = value.to_le_bytes();
    let fits = is_number(size) && all.iter().skip(size).all(|&byte| byte == 0);
    if !fits {
        return Err(Failure::message(format!(
            "{what}: `{word}` is no number of {size} bytes; give all of them as hex:0a0b"
        )));
    }
    bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
    Ok(bytes)
}

/// Whether so many bytes are shown as a number.
fn is_number(size: usize) -> bool {
    matches!(size, 1 | 2 | 4 | 8)
}

/// Bytes as a number, or in hexadecimal.
struct Shown<'b>(&'b [u8]);

impl core::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if is_number(self.0.len()) {
            let number = self.0.iter().rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
            return write!(f, "{number}");
        }
        write!(f, "hex:{}", Hex(self.0))
    }
}

/// Removes all entries, or what arrays hold, giving way in between. What comes meanwhile may stay.
fn clear(call: &Call<'_>, map: &Map) -> Result<(), Failure> {
    let mut pace = Pace::new(call.backend);
    match map.def().kind {
        _ if is_ring(map) => clear_ring(map, &mut pace),
        kind if kind.offers(MapFamily::Pop) => clear_queue(map, &mut pace),
        _ => clear_keys(map, &mut pace),
    }
}

/// What waits now; programs may write on.
fn clear_ring(map: &Map, pace: &mut Pace<'_>) -> Result<(), Failure> {
    let (mut waiting, mut word) = (map.len(), [0; 8]);
    while let Some(len) = map.read_record(&mut word).filter(|_| waiting > 0) {
        waiting = waiting.saturating_sub(len.saturating_add(word.len()));
        pace.point()?;
    }
    Ok(())
}

fn clear_queue(map: &Map, pace: &mut Pace<'_>) -> Result<(), Failure> {
    let mut value = buffer(map.def().value_size as usize)?;
    for _ in 0..map.len() {
        match map.pop(&mut BytesMut::from(value.as_mut_slice())) {
            Ok(()) => pace.point()?,
            Err(MapError::NoEntry) => break,
            Err(error) => return done(Err(error)),
        }
    }
    Ok(())
}

fn clear_keys(map: &Map, pace: &mut Pace<'_>) -> Result<(), Failure> {
    let (mut key, zeros) = (buffer(map.def().key_size as usize)?, buffer(map.def().value_size as usize)?);
    let mut next = Some(0);
    while let Some(first) = next {
        let mut found = false;
        next = map.for_some(first, &mut |one, _| {
            // One at a time: it is gone when the next one is looked for.
            let take = !found && one.len() == key.len();
            if take {
                key.copy_from_slice(one);
                found = true;
            }
            take
        });
        let key = Bytes::from(key.as_slice());
        match if found { map.delete(key, &mut 0) } else { Ok(()) } {
            Ok(()) | Err(MapError::NoEntry) => {}
            // Entries of arrays stay.
            Err(MapError::Invalid) => done(map.update(key, Bytes::from(zeros.as_slice()), 0, &mut 0))?,
            Err(error) => return done(Err(error)),
        }
        pace.point()?;
    }
    Ok(())
}

fn is_ring(map: &Map) -> bool {
    map.def().kind.offers(MapFamily::Ring) || map.def().kind.offers(MapFamily::Events)
}

fn trace(call: &mut Call<'_>) -> Result<(), Failure> {
    let name = call.args.required(0);
    let (left, rest) = (call.number_option("-n")?, call.args.option("--rest").is_some());
    let map = find(call.backend, name)?;
    if !is_ring(&map) {
        return Err(Failure::message(format!("{name} is no ring: its kind is {}", map.def().kind.name())));
    }
    let record = buffer(ring_bytes(&map).min(LONGEST_RECORD))?;
    // Up to the last one that is there now, else it had no end where they come as fast as they are read.
    let until = rest.then(|| map.ring_number(WRITTEN));
    call.stream(Records { map, left, until, record, long: Long::default(), waits: false });
    Ok(())
}

/// Bytes that all records have together at most.
fn ring_bytes(map: &Map) -> usize {
    map.def().bytes().try_into().unwrap_or(usize::MAX)
}

/// What [`Map::ring_number`] gives: bytes that were read of a ring since the beginning, and that were written.
const READ: u64 = 2;
const WRITTEN: u64 = 3;

/// Bytes of a record that are shown at most.
const LONGEST_RECORD: usize = 64 << 10;

/// Records of a ring, as they come.
struct Records {
    map: Arc<Map>,
    /// Those that are still to be shown, where there is an end.
    left: Option<u64>,
    /// It ends when so many bytes of the ring were read, or where there is none.
    until: Option<u64>,
    /// Room for one.
    record: Vec<u8>,
    long: Long,
    waits: bool,
}

impl Stream for Records {
    fn page(&mut self, _: &dyn Backend, out: &mut Output) -> bool {
        self.waits = false;
        let read = self.map.ring_number(READ);
        let is_at_end = self.until.is_some_and(|until| read >= until);
        if self.long.write(out) || self.left == Some(0) || is_at_end {
            return !self.long.is_over();
        }
        let Some(len) = self.map.read_record(&mut self.record) else {
            self.waits = self.until.is_none();
            // Of those that were discarded it has passed over so many at a time.
            return self.waits || self.map.ring_number(READ) != read;
        };
        self.left = self.left.map(|left| left.saturating_sub(1));
        let record = self.record.get(..len).unwrap_or(&self.record);
        if record.len() <= SHOWN {
            let _ = writeln!(out, "{}", Shown(record));
            return true;
        }
        match buffer(record.len()) {
            Ok(mut copy) => {
                copy.copy_from_slice(record);
                self.long = Long::of(copy);
            }
            Err(failure) => {
                let _ = writeln!(out, "{failure}");
            }
        }
        true
    }

    fn waits(&self) -> bool {
        self.waits
    }

    fn ends_at_a_key(&self) -> bool {
        true
    }
}

/// A line without its end.
fn describe(out: &mut Output, name: &str, map: &Map, kept: bool) {
    let def = map.def();
    let _ = write!(
        out,
        "{} {} key {} value {} entries {} of {}",
        Printable(name),
        def.kind.name(),
        def.key_size,
        def.value_size,
        map.len(),
        def.max_entries
    );
    if map.frozen().is_some() {
        let _ = write!(out, ", read-only");
    }
    if kept {
        let _ = write!(out, ", kept");
    }
}

/// Maps from place `next` on.
struct Maps {
    next: Option<usize>,
}

impl Stream for Maps {
    fn page(&mut self, backend: &dyn Backend, out: &mut Output) -> bool {
        let Some(first) = self.next else { return false };
        self.next = backend.maps(first, &mut |name, map, kept| {
            let room = out.has_room();
            if room {
                describe(out, name, map, kept);
                out.line("");
            }
            room
        });
        self.next.is_some()
    }
}

/// Bytes that are shown at once.
const SHOWN: usize = 256;

/// A value of more bytes than are shown at once, on its way: as it was when it was looked at.
#[derive(Default)]
pub(super) struct Long {
    /// Of all its slots that are shown.
    bytes: Vec<u8>,
    /// Bytes of a slot.
    size: usize,
    written: usize,
}

impl Long {
    fn of(bytes: Vec<u8>) -> Self {
        Self { size: bytes.len(), bytes, written: 0 }
    }

    fn is_over(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All of these bytes.
    pub(super) fn show(call: &mut Call<'_>, bytes: Vec<u8>) {
        call.stream(Self::of(bytes));
    }

    /// Writes on; whether there is more.
    fn write(&mut self, out: &mut Output) -> bool {
        let behind = self.written.checked_rem(self.size).unwrap_or(0);
        let most = self.size.saturating_sub(behind).min(SHOWN);
        let rest = self.bytes.get(self.written..).unwrap_or(&[]);
        let Some(piece) = rest.chunks(most.max(1)).next() else { return false };
        let _ = match (self.written, behind) {
            (0, _) => out.write_str("hex:"),
            (_, 0) => out.write_str(" | hex:"),
            _ => Ok(()),
        };
        let _ = write!(out, "{}", Hex(piece));
        self.written = self.written.saturating_add(piece.len());
        let more = self.written < self.bytes.len();
        if !more {
            *self = Self::default();
            out.line("");
        }
        more
    }
}

impl Stream for Long {
    fn page(&mut self, _: &dyn Backend, out: &mut Output) -> bool {
        self.write(out)
    }
}

/// Bytes in hexadecimal.
pub(super) struct Hex<'b>(pub(super) &'b [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The types of a map, in hexadecimal.
struct Types {
    types: Arc<Vec<u8>>,
    written: usize,
}

impl Stream for Types {
    fn page(&mut self, _: &dyn Backend, out: &mut Output) -> bool {
        let piece = self.types.get(self.written..).and_then(|rest| rest.chunks(SHOWN).next());
        let Some(piece) = piece else { return false };
        let _ = writeln!(out, "{}", Hex(piece));
        self.written = self.written.saturating_add(piece.len());
        true
    }
}

/// Entries of a map from place `next` on.
struct MapEntries {
    map: Arc<Map>,
    next: Option<usize>,
    long: Long,
}

impl Stream for MapEntries {
    fn page(&mut self, backend: &dyn Backend, out: &mut Output) -> bool {
        if self.long.write(out) {
            return true;
        }
        let Some(first) = self.next else { return false };
        let (map, long) = (&self.map, &mut self.long);
        self.next = self.map.for_some(first, &mut |key, value| {
            let room = out.has_room() && long.is_over();
            if !room {
                return false;
            }
            if !key.is_empty() {
                let _ = write!(out, "{}: ", Shown(key));
            }
            if map.def().kind.holds_things() {
                // It may have gone meanwhile.
                out.line(backend.held_name(map, key).as_deref().unwrap_or("-"));
                return true;
            }
            match show(value, out) {
                Ok(rest) => *long = rest,
                Err(failure) => {
                    let _ = writeln!(out, "{failure}");
                }
            }
            true
        });
        self.next.is_some() || !self.long.is_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn keys_and_values_as_they_are_typed_and_shown() {
        let good =
            |word: &str, size, expected: &[u8]| assert_eq!(bytes("KEY", word, size).unwrap(), expected, "{word}");
        let bad = |word: &str, size| drop(bytes("KEY", word, size).unwrap_err());
        good("258", 4, &[2, 1, 0, 0]);
        good("0xff", 1, &[255]);
        good("hex:0a0b0c", 3, &[10, 11, 12]);
        bad("256", 1);
        bad("1", 3);
        bad("hex:0a0b", 3);
        bad("hex:+a0b0c", 3);
        bad("hex:0ä0b", 2);
        bad("x", 4);
        assert_eq!(Shown(&[2, 1]).to_string(), "258");
        assert_eq!(Shown(&[2, 1, 0]).to_string(), "hex:020100");
    }
}
