//! The text of a file to its cases.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;
use ubpf_rs::{
    isa::assemble,
    program::{Abi, InnerDef, MapDef, MapFlags, MapKind, MapName},
    verifier::Policy,
};

/// A program, what it is given, and what must become of it.
pub struct Case {
    /// Name within the file.
    pub name: String,
    /// The program.
    pub code: Vec<u8>,
    /// The argument.
    pub memory: Vec<u8>,
    /// What the run may be charged.
    pub budget: u64,
    /// Numbering of helpers.
    pub abi: Abi,
    /// Policies under which it is loaded; the outcome is the same under all of them.
    pub policies: Vec<Policy>,
    /// Entries of the two-key map: keys and value.
    pub map: Vec<[u64; 3]>,
    /// Its maps, by their place.
    pub maps: Vec<MapDef>,
    /// Maps that others hold: place of the one that holds it, key, and its own place.
    pub held: Vec<(u16, Vec<u8>, u16)>,
    /// Programs that they hold: place of the map, key and instructions.
    pub programs: Vec<(u16, Vec<u8>, Vec<u8>)>,
    /// What they hold: place of the map, key and value. In maps of which programs only read the one value, it is frozen then.
    pub entries: Vec<(u16, Vec<u8>, Vec<u8>)>,
    /// PCs of its probing loads, ascending.
    pub probing: Vec<u32>,
    /// What must become of it.
    pub expected: Expected,
}

/// What must become of a program.
pub struct Expected {
    /// How it ends.
    pub end: End,
    /// The argument afterwards.
    pub memory: Vec<u8>,
    /// Entries of the two-key map afterwards, `None` for one that must not be there.
    pub map: Vec<(u64, u64, Option<u64>)>,
    /// What its maps hold afterwards, `None` for a key that must not be there.
    pub entries: Vec<(u16, Vec<u8>, Option<Vec<u8>>)>,
    /// Records that its rings hold afterwards: place of the map, and the bytes.
    pub records: Vec<(u16, Vec<u8>)>,
    /// Lines it prints.
    pub output: Vec<String>,
    /// What the run is charged, where the file says so.
    pub charged: Option<u64>,
}

/// How a program ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// It runs to its end with this result.
    Returned(Place),
    /// It is stopped there.
    Stopped {
        /// The instruction.
        pc: usize,
        /// Why.
        why: Why,
    },
    /// It is not loaded; the reason begins with this.
    Refused(String),
}

/// Why a program is stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// An access that is not allowed: `load`, `store`, `atomic`, `helper-read`, `helper-write` or `unaligned`.
    Access(String, Place, u64),
    /// The budget is at its end.
    Budget,
    /// Too many nested calls.
    Depth,
    /// No such helper.
    UnknownHelper(u64),
    /// This helper refuses its arguments.
    Helper(String),
}

/// A number, or an address relative to something that lies elsewhere in every run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A number.
    Number(u64),
    /// Relative to the argument.
    Memory(i64),
    /// Relative to the outermost function's frame pointer.
    Stack(i64),
    /// Relative to the first value of a map.
    Value(u16, i64),
    /// Nobody knows before.
    Somewhere,
}

/// What is wrong with a file.
#[derive(Debug)]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

type Parsed<T> = Result<T, String>;

/// Reads a file.
pub fn parse(text: &str) -> Result<Vec<Case>, SyntaxError> {
    let mut cases: Vec<Case> = Vec::new();
    let mut draft: Option<Draft> = None;
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let error = |problem| SyntaxError { line: line_number, problem };
        if let Some(name) = line.strip_prefix("== ") {
            if let Some(draft) = draft.take() {
                cases.push(draft.finish()?);
            }
            if cases.iter().any(|case| case.name == name) {
                return Err(error(format!("a second case named {name}")));
            }
            draft = Some(Draft::new(name, line_number));
        } else if let Some(draft) = &mut draft {
            draft.line(line).map_err(error)?;
        } else if !line.trim().is_empty() && !line.starts_with('#') {
            return Err(error("a case begins with `== NAME`".into()));
        }
    }
    cases.extend(draft.map(Draft::finish).transpose()?);
    Ok(cases)
}

/// A case while its lines are read.
struct Draft {
    case: Case,
    /// Of the program, and of each that a map holds.
    sources: Vec<String>,
    line: usize,
    end: Option<End>,
    memory_after: Option<Vec<u8>>,
}

impl Draft {
    fn new(name: &str, line: usize) -> Draft {
        let expected = Expected {
            end: End::Returned(Place::Number(0)),
            memory: Vec::new(),
            map: Vec::new(),
            entries: Vec::new(),
            records: Vec::new(),
            output: Vec::new(),
            charged: None,
        };
        let case = Case {
            name: name.into(),
            code: Vec::new(),
            memory: Vec::new(),
            budget: 1_000_000,
            abi: Abi::Classic,
            policies: [Policy::Checked, Policy::Guarded].into(),
            map: Vec::new(),
            maps: Vec::new(),
            held: Vec::new(),
            programs: Vec::new(),
            entries: Vec::new(),
            probing: Vec::new(),
            expected,
        };
        Draft { case, sources: [String::new()].into(), line, end: None, memory_after: None }
    }

    fn line(&mut self, line: &str) -> Parsed<()> {
        let kept = if let Some(given) = line.strip_prefix("<- ") {
            self.given(given)?;
            ""
        } else if let Some(expected) = line.strip_prefix("-> ") {
            self.expected(expected)?;
            ""
        } else {
            line
        };
        // Every line has its place, so that the assembler's line numbers fit the file.
        let lines = self.sources.first().map_or(0, |source| source.matches('\n').count());
        let (last, before) = self.sources.split_last_mut().ok_or("no source")?;
        while last.matches('\n').count() < lines {
            last.push('\n');
        }
        last.push_str(kept);
        last.push('\n');
        if let Some(first) = before.first_mut() {
            first.push('\n');
        }
        Ok(())
    }

    fn given(&mut self, text: &str) -> Parsed<()> {
        let (key, value) = text.split_once(' ').unwrap_or((text, ""));
        match key {
            "mem" => self.case.memory = bytes(value)?,
            "budget" => self.case.budget = number(value)?,
            "abi" => {
                self.case.abi = Abi::of_word(value).ok_or_else(|| format!("no ABI {value}"))?;
            }
            "policy" => {
                let policy = Policy::of_word(value).ok_or_else(|| format!("no policy {value}"))?;
                self.case.policies = [policy].into();
            }
            "map" => {
                let words: Vec<u64> = value.split(' ').map(number).collect::<Parsed<_>>()?;
                let entry = <[u64; 3]>::try_from(words);
                let entry = entry.map_err(|_| "map KEY1 KEY2 VALUE".to_string())?;
                self.case.map.push(entry);
            }
            "maps" => {
                let map = definition(value, &self.case.maps)?;
                self.case.maps.push(map);
            }
            "held" => {
                let (slot, key, what) = entry(value)?;
                self.case.held.push((slot, key, number(what)? as u16));
            }
            "probing" => {
                let pcs = value.split(' ').map(|pc| number(pc).map(|pc| pc as u32));
                self.case.probing = pcs.collect::<Parsed<_>>()?;
            }
            "entry" => {
                let (slot, key, value) = entry(value)?;
                self.case.entries.push((slot, key, bytes(value)?));
            }
            // What follows is that program.
            "program" => {
                let (slot, key) = value.split_once(' ').ok_or("program MAP KEY")?;
                self.case.programs.push((number(slot)? as u16, bytes(key)?, Vec::new()));
                self.sources.push(String::new());
            }
            // A program too large to be written out: one instruction, many times.
            "repeat" => {
                let (count, insn) = value.split_once(' ').ok_or("repeat COUNT INSTRUCTION")?;
                let one = assemble(insn).map_err(|error| error.problem.to_string())?;
                for _ in 0..number(count)? {
                    self.case.code.extend_from_slice(&one);
                }
            }
            _ => return Err(format!("nothing can be given as {key}")),
        }
        Ok(())
    }

    fn expected(&mut self, text: &str) -> Parsed<()> {
        let (key, value) = text.split_once(' ').unwrap_or((text, ""));
        let expected = &mut self.case.expected;
        match key {
            "mem" => self.memory_after = Some(bytes(value)?),
            "charged" => expected.charged = Some(number(value)?),
            "output" => expected.output.push(value.into()),
            "map" => {
                let words: Vec<&str> = value.split(' ').collect();
                let [key1, key2, value] = words.as_slice() else {
                    return Err("map KEY1 KEY2 VALUE|none".into());
                };
                let value = (*value != "none").then(|| number(value)).transpose()?;
                expected.map.push((number(key1)?, number(key2)?, value));
            }
            "entry" => {
                let (slot, key, value) = entry(value)?;
                let value = (value != "none").then(|| bytes(value)).transpose()?;
                expected.entries.push((slot, key, value));
            }
            "record" => {
                let (slot, record) = value.split_once(' ').ok_or("record MAP BYTES")?;
                expected.records.push((number(slot)? as u16, bytes(record)?));
            }
            "r0" | "refused" | "stop" if self.end.is_some() => {
                return Err("a case ends in one way only".into());
            }
            "r0" => self.end = Some(End::Returned(place(value)?)),
            "refused" => self.end = Some(End::Refused(value.into())),
            "stop" => self.end = Some(stop(value)?),
            _ => return Err(format!("nothing can be expected of {key}")),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Case, SyntaxError> {
        let begins = self.line;
        let error = |line: usize, problem: String| SyntaxError { line, problem };
        let code = |source: &String| assemble(source).map_err(|e| error(begins + e.line, e.problem.to_string()));
        for (number, source) in self.sources.iter().enumerate() {
            match number.checked_sub(1).and_then(|at| self.case.programs.get_mut(at)) {
                Some((.., program)) => *program = code(source)?,
                None => self.case.code.extend_from_slice(&code(source)?),
            }
        }
        let end = self.end;
        let missing = || error(begins, "`-> r0`, `-> stop` or `-> refused` is missing".into());
        self.case.expected.end = end.ok_or_else(missing)?;
        let before = || self.case.memory.clone();
        self.case.expected.memory = self.memory_after.unwrap_or_else(before);
        Ok(self.case)
    }
}

/// `PC 3 load mem+8 4`
fn stop(text: &str) -> Parsed<End> {
    let words: Vec<&str> = text.split(' ').collect();
    let ["PC", pc, rest @ ..] = words.as_slice() else {
        return Err("`stop PC N REASON` is expected".into());
    };
    let why = match rest {
        ["budget"] => Why::Budget,
        ["depth"] => Why::Depth,
        ["unknown-helper", helper] => Why::UnknownHelper(number(helper)?),
        ["helper", name] => Why::Helper((*name).into()),
        [kind, address, size] => Why::Access((*kind).into(), place(address)?, number(size)?),
        _ => return Err(format!("no reason `{text}`")),
    };
    let pc = number(pc)? as usize;
    Ok(End::Stopped { pc, why })
}

/// `hash 4 8 16`, `array 4 24 1 read-only`, `array_of_maps 4 4 8 of 0`: kind, bytes of a key and of a value, entries; the place of a map like
/// which those are that it holds
fn definition(text: &str, before: &[MapDef]) -> Parsed<MapDef> {
    let words: Vec<&str> = text.split(' ').collect();
    let (sizes, read_only, inner) = match words.as_slice() {
        [sizes @ .., "read-only"] => (sizes, true, None),
        [sizes @ .., "of", slot] => {
            let inner = before.get(number(slot)? as usize).ok_or("there is no such map yet")?;
            (sizes, false, Some(InnerDef::of(inner)))
        }
        sizes => (sizes, false, None),
    };
    let [kind, key, value, entries] = sizes else {
        return Err("maps KIND KEY VALUE ENTRIES [read-only|of PLACE]".into());
    };
    let mut kinds = MapKind::ALL.iter().copied();
    let size = |text| number(text).map(|number| number as u32);
    Ok(MapDef {
        kind: kinds.find(|known| known.name() == *kind).ok_or(format!("no kind of map {kind}"))?,
        key_size: size(key)?,
        value_size: size(value)?,
        max_entries: size(entries)?,
        flags: if read_only { MapFlags::RDONLY_PROG } else { MapFlags::empty() },
        inner,
        name: MapName::new("map").ok_or("a name")?,
    })
}

/// `0 01 00 00 00 = 2a 00`: place of the map, key, and the text of the value
fn entry(text: &str) -> Parsed<(u16, Vec<u8>, &str)> {
    let parts = text.split_once(" = ").and_then(|(left, value)| Some((left.split_once(' ')?, value)));
    let ((slot, key), value) = parts.ok_or("entry MAP KEY = VALUE")?;
    Ok((number(slot)? as u16, bytes(key)?, value))
}

/// `5`, `-1`, `0xff`, `mem+8`, `stack-4`, `value0+8`, `?`
fn place(text: &str) -> Parsed<Place> {
    if text == "?" {
        return Ok(Place::Somewhere);
    }
    if let Some(rest) = text.strip_prefix("value") {
        let end = rest.find(['+', '-']).unwrap_or(rest.len());
        let (slot, distance) = rest.split_at(end);
        return Ok(Place::Value(number(slot)? as u16, signed(distance)?));
    }
    if let Some(distance) = text.strip_prefix("mem") {
        return Ok(Place::Memory(signed(distance)?));
    }
    if let Some(distance) = text.strip_prefix("stack") {
        return Ok(Place::Stack(signed(distance)?));
    }
    number(text).map(Place::Number)
}

fn signed(text: &str) -> Parsed<i64> {
    if text.is_empty() {
        return Ok(0);
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    Ok(number(text)? as i64)
}

fn number(text: &str) -> Parsed<u64> {
    let (magnitude, negative) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let value = match magnitude.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => magnitude.parse(),
    };
    let value = value.map_err(|_| format!("`{text}` is no number"))?;
    Ok(if negative { value.wrapping_neg() } else { value })
}

/// `01 02 03`, or `"text"` followed by a NUL; `*N` repeats the last byte to N in all.
fn bytes(text: &str) -> Parsed<Vec<u8>> {
    if let Some(text) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        return Ok([text.as_bytes(), &[0]].concat());
    }
    let mut found: Vec<u8> = Vec::new();
    for word in text.split_whitespace() {
        if let Some(count) = word.strip_prefix('*') {
            let (&last, count) = (found.last().ok_or("nothing to repeat")?, number(count)?);
            found.resize(found.len() - 1 + count as usize, last);
            continue;
        }
        if !word.len().is_multiple_of(2) {
            return Err(format!("`{word}` are no bytes"));
        }
        for pair in word.as_bytes().chunks(2) {
            let digits = core::str::from_utf8(pair).map_err(|e| e.to_string())?;
            let byte = u8::from_str_radix(digits, 16);
            found.push(byte.map_err(|_| format!("`{digits}` is no byte"))?);
        }
    }
    Ok(found)
}
