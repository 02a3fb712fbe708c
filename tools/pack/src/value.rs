//! Keys and values of maps by the types of their object: bytes to what a person reads, and back. The types come from an image that anybody may
//! have given them to: they are believed nothing, and what is wrong with them is an error.

use crate::{
    btf::{Btf, Kind, Member, PlacedVariable},
    variables,
    work::Steps,
};
use std::fmt;
use ubpf_rs::platform::no_pause;

/// The types of a map's object.
pub struct Types {
    btf: Btf<'static>,
}

/// What the bytes of a key or value are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// A value of this type.
    Type(u32),
    /// A data section: its variables with their names, types and places.
    Section(Vec<(String, u32, PlacedVariable)>),
}

/// What is known of a map.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MapTypes {
    /// Of its keys.
    pub key: Option<Shape>,
    /// Of its values; of a ring, of its records.
    pub value: Option<Shape>,
}

/// Bytes as their type has them.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A number without a sign.
    Number(u64),
    /// A number with a sign.
    Signed(i64),
    /// `true` or `false`.
    Bool(bool),
    /// A pointer.
    Address(u64),
    /// A number with a fraction.
    Float(f64),
    /// A value of an enum.
    Name(String),
    /// Characters, up to the first zero.
    Text(Vec<u8>),
    /// What has no other form.
    Bytes(Vec<u8>),
    /// Elements of an array.
    List(Vec<Value>),
    /// Members, or variables.
    Fields(Vec<(String, Value)>),
}

/// Types within types that are followed.
const DEPTH: usize = 32;
/// Members without names that are looked into.
const NAMELESS: u32 = 10_000;
/// Values within a value, and bytes of names: of those that a package can describe, and a map can hold, each byte has some.
const PARTS: usize = 1 << 21;

impl Types {
    /// Reads types as a package has them.
    ///
    /// # Errors
    /// In words: they are no types.
    pub fn parse(bytes: &[u8]) -> Result<Types, String> {
        Ok(Types { btf: Btf::parse(bytes, &mut Steps::new(&mut no_pause))?.into_owned() })
    }

    /// What is known of the map of this name, as an image calls it: `OBJECT.MAP`, or `MAP`.
    ///
    /// # Errors
    /// In words: the types lead nowhere.
    pub fn map(&self, name: &str) -> Result<MapTypes, String> {
        let is = |known: &str| name == known || name.strip_suffix(known).is_some_and(|rest| rest.ends_with('.'));
        let sections = self.btf.sections().filter(|section| *section != ".maps" && is(section));
        if let Some(section) = sections.max_by_key(|section| section.len()) {
            let variables =
                self.btf.variables(section).map(|one| one.map(|(name, kind, place)| (shown(name), kind, place)));
            return Ok(MapTypes { key: None, value: Some(Shape::Section(variables.collect::<Result<_, _>>()?)) });
        }
        let maps = self.btf.variables(".maps").collect::<Result<Vec<_>, _>>()?;
        let found = maps.iter().filter(|(known, ..)| is(known)).max_by_key(|(known, ..)| known.len());
        let Some(&(_, definition, _)) = found else { return Ok(MapTypes::default()) };
        let mut types = MapTypes::default();
        if let Kind::Struct { members, .. } = &self.btf.plain(definition)?.kind {
            for member in members {
                let Kind::Pointer(to) = self.btf.plain(member.kind)?.kind else { continue };
                match member.name.as_ref() {
                    "key" => types.key = Some(Shape::Type(to)),
                    "value" => types.value = Some(Shape::Type(to)),
                    _ => {}
                }
            }
        }
        Ok(types)
    }

    /// The struct, union, enum or other name that a person means.
    pub fn named(&self, name: &str) -> Option<Shape> {
        let number = self.btf.find(name)?;
        Some(Shape::Type(number))
    }

    /// Bytes of such a value; of a section what its variables reach to.
    ///
    /// # Errors
    /// In words: the types are wrong.
    pub fn size(&self, shape: &Shape) -> Result<u64, String> {
        match shape {
            Shape::Type(number) => Ok(self.btf.size(*number)?),
            Shape::Section(variables) => {
                let ends = variables.iter().map(|(_, _, place)| u64::from(place.offset) + u64::from(place.size));
                Ok(ends.max().unwrap_or(0))
            }
        }
    }

    /// What a type is called.
    pub fn name(&self, shape: &Shape) -> String {
        match shape {
            Shape::Section(_) => "variables".into(),
            Shape::Type(number) => self.name_of(*number, DEPTH),
        }
    }

    fn name_of(&self, number: u32, depth: usize) -> String {
        let Some((one, depth)) = self.btf.get(number).ok().zip(depth.checked_sub(1)) else { return "?".into() };
        let name = shown(&one.name);
        let named = |what: &str| format!("{what} {}", if name.is_empty() { "{…}" } else { &name });
        match &one.kind {
            Kind::Struct { union: true, .. } => named("union"),
            Kind::Struct { .. } => named("struct"),
            Kind::Enum { .. } => named("enum"),
            Kind::Pointer(_) => "pointer".into(),
            Kind::Array { element, count } => format!("{}[{count}]", self.name_of(*element, depth)),
            Kind::Alias(to) | Kind::Tag(to) if name.is_empty() => self.name_of(*to, depth),
            _ => name,
        }
    }

    /// The bytes of a key or value, by name; of a value that each CPU has, a list of them.
    ///
    /// # Errors
    /// In words: the types are wrong, or describe more than there is.
    pub fn show(&self, shape: &Shape, bytes: &[u8]) -> Result<Value, String> {
        let mut reader = Shower { btf: &self.btf, left: PARTS };
        match shape {
            Shape::Type(number) => {
                let size = self.btf.size(*number)?;
                let (len, of_a_cpu) = (bytes.len() as u64, size.next_multiple_of(8));
                if len == size || of_a_cpu == 0 {
                    return reader.value(*number, bytes, DEPTH);
                }
                // A value for each CPU.
                if len % of_a_cpu != 0 {
                    return Err(format!("its types have {size} bytes of {len}"));
                }
                let each = bytes.chunks(of_a_cpu as usize).map(|bytes| reader.value(*number, bytes, DEPTH));
                Ok(Value::List(each.collect::<Result<_, _>>()?))
            }
            Shape::Section(variables) => {
                let mut fields = Vec::new();
                for (name, kind, place) in variables {
                    let part = part(bytes, place.offset.into(), self.btf.size(*kind)?)?;
                    fields.push((name.clone(), reader.value(*kind, part, DEPTH)?));
                }
                Ok(Value::Fields(fields))
            }
        }
    }

    /// Reads a value as a person writes it, or as it is shown, from the beginning of `text`, over what `bytes` hold: what is not named stays.
    /// Gives what is left of the text.
    ///
    /// # Errors
    /// In words: what is expected there.
    pub fn read<'t>(&self, shape: &Shape, text: &'t str, bytes: &mut [u8]) -> Result<&'t str, String> {
        let mut reader = ValueReader { btf: &self.btf, rest: text.trim_start() };
        if let Some(rest) = reader.rest.strip_prefix("hex:") {
            reader.rest = rest;
            reader.hex(bytes)?;
            return Ok(reader.rest);
        }
        match shape {
            Shape::Type(number) => reader.value(*number, bytes, DEPTH)?,
            Shape::Section(variables) => {
                let fields = variables.iter().map(|(name, kind, place)| Field {
                    name,
                    kind: *kind,
                    at: u64::from(place.offset) * 8,
                    bits: 0,
                });
                reader.fields(&fields.collect::<Vec<_>>(), bytes, DEPTH)?;
            }
        }
        Ok(reader.rest)
    }
}

/// What names may be shown as: an image's types may have anything in them.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn part(bytes: &[u8], from: u64, len: u64) -> Result<&[u8], String> {
    let part = range(from, len).and_then(|range| bytes.get(range));
    part.ok_or_else(|| format!("its types have bytes {from} to {} of {}", from.saturating_add(len), bytes.len()))
}

struct Shower<'b> {
    btf: &'b Btf<'static>,
    /// Values that may still be made.
    left: usize,
}

impl Shower<'_> {
    fn spend(&mut self, parts: usize) -> Result<(), String> {
        self.left = self.left.checked_sub(parts).ok_or("its types have too many parts")?;
        Ok(())
    }

    fn value(&mut self, number: u32, bytes: &[u8], depth: usize) -> Result<Value, String> {
        self.spend(1)?;
        let depth = depth.checked_sub(1).ok_or("its types hold themselves")?;
        let one = self.btf.plain(number)?;
        match &one.kind {
            Kind::Struct { members, .. } => {
                let mut fields = Vec::new();
                self.members(members, bytes, depth, &mut fields)?;
                Ok(Value::Fields(fields))
            }
            Kind::Array { element, count } => {
                let size = self.btf.size(*element)?;
                let bytes = part(bytes, 0, size.saturating_mul((*count).into()))?;
                if is_character(self.btf, *element)? {
                    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
                    return Ok(Value::Text(bytes[..end].to_vec()));
                }
                let mut list = Vec::new();
                for index in 0..u64::from(*count) {
                    list.push(self.value(*element, part(bytes, index * size, size)?, depth)?);
                }
                Ok(Value::List(list))
            }
            kind => scalar(kind, part(bytes, 0, self.btf.size(number)?)?),
        }
    }

    fn members(
        &mut self,
        members: &[Member],
        bytes: &[u8],
        depth: usize,
        fields: &mut Vec<(String, Value)>,
    ) -> Result<(), String> {
        for member in members {
            self.spend(1 + member.name.len())?;
            if member.bits != 0 {
                let value = bits(self.btf, member, bytes)?;
                fields.push((shown(&member.name), value));
                continue;
            }
            let inner = &self.btf.plain(member.kind)?.kind;
            let size = self.btf.size(member.kind)?;
            let part = part(bytes, (member.offset / 8).into(), size)?;
            match inner {
                // Members of what has no name are named as if they stood outside.
                Kind::Struct { members, .. } if member.name.is_empty() => {
                    let depth = depth.checked_sub(1).ok_or("its types hold themselves")?;
                    self.members(members, part, depth, fields)?;
                }
                _ => fields.push((shown(&member.name), self.value(member.kind, part, depth)?)),
            }
        }
        Ok(())
    }
}

/// Whether arrays of it are texts.
fn is_character(btf: &Btf<'_>, number: u32) -> Result<bool, String> {
    let one = btf.plain(number)?;
    Ok(matches!(one.kind, Kind::Int { size: 1, boolean: false, .. }) && one.name == "char")
}

fn number(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// A number of so many bits with its sign.
fn extended(number: u64, bits: u32) -> i64 {
    let unused = 64u32.saturating_sub(bits).min(63);
    (number << unused) as i64 >> unused
}

/// A number of so many bits, as a type of numbers or names shows it; `None` for any other type.
fn whole_value(kind: &Kind, number: u64, bits: u32) -> Option<Value> {
    let with_sign = extended(number, bits);
    match kind {
        Kind::Int { boolean: true, .. } if number <= 1 => Some(Value::Bool(number == 1)),
        Kind::Int { signed: true, .. } => Some(Value::Signed(with_sign)),
        Kind::Int { .. } => Some(Value::Number(number)),
        Kind::Enum { values, signed, .. } => {
            // It has 32 bits or more, of which some compilers do not say that the first is a sign.
            let is = |value: u64| value == number || extended(value, bits.max(32)) == with_sign;
            Some(match values.iter().find(|(_, value)| is(*value)) {
                Some((name, _)) => Value::Name(shown(name)),
                None if *signed => Value::Signed(with_sign),
                None => Value::Number(number),
            })
        }
        _ => None,
    }
}

fn scalar(kind: &Kind, bytes: &[u8]) -> Result<Value, String> {
    let Some(word) = number(bytes) else { return Ok(Value::Bytes(bytes.to_vec())) };
    if let Some(value) = whole_value(kind, word, 8 * bytes.len() as u32) {
        return Ok(value);
    }
    Ok(match kind {
        Kind::Pointer(_) => Value::Address(word),
        Kind::Float { .. } => match bytes.len() {
            4 => Value::Float(f32::from_bits(word as u32).into()),
            8 => Value::Float(f64::from_bits(word)),
            _ => Value::Bytes(bytes.to_vec()),
        },
        _ => return Err("its types have a value of a kind that has none".into()),
    })
}

fn mask(bits: u32) -> u64 {
    u64::MAX.checked_shr(64u32.saturating_sub(bits)).unwrap_or(0)
}

/// Where a member of some bits lies: its bytes, and how far its first bit is in them.
fn place(at: u64, bits: u32) -> Result<(std::ops::Range<u64>, u32), String> {
    if bits > 64 {
        return Err(format!("its types have a member of {bits} bits"));
    }
    Ok((at / 8..(at + u64::from(bits)).div_ceil(8), (at % 8) as u32))
}

fn bits(btf: &Btf<'_>, member: &Member, bytes: &[u8]) -> Result<Value, String> {
    let (range, shift) = place(member.offset.into(), member.bits)?;
    let bytes = part(bytes, range.start, range.end - range.start)?;
    let all = bytes.iter().rev().fold(0u128, |number, &byte| number << 8 | u128::from(byte));
    let number = (all >> shift) as u64 & mask(member.bits);
    let value = whole_value(&btf.plain(member.kind)?.kind, number, member.bits);
    Ok(value.unwrap_or(Value::Number(number)))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Signed(number) => write!(f, "{number}"),
            Value::Bool(is) => write!(f, "{is}"),
            Value::Address(address) => write!(f, "{address:#x}"),
            Value::Float(number) => write!(f, "{number:?}"),
            Value::Name(name) => f.write_str(name),
            Value::Text(bytes) => text(f, bytes),
            Value::Bytes(bytes) => {
                f.write_str("hex:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Value::List(list) => {
                f.write_str("[")?;
                for (index, value) in list.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Value::Fields(fields) => {
                f.write_str("{")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    write!(f, "{}{name} = {value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Characters between quotes; what could drive a terminal, or is no text, as `\x1b`.
fn text(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("\"")?;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => {
                    c.encode_utf8(&mut [0; 4]).bytes().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
                }
                c => write!(f, "{c}")?,
            }
        }
        chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
    }
    f.write_str("\"")
}

/// A member, or a variable.
struct Field<'n> {
    name: &'n str,
    kind: u32,
    /// Where it begins, in bits.
    at: u64,
    /// How many it has, where that is not its type's matter.
    bits: u32,
}

/// What a person has written, and not been read yet.
struct ValueReader<'b, 't> {
    btf: &'b Btf<'static>,
    rest: &'t str,
}

impl<'t> ValueReader<'_, 't> {
    fn value(&mut self, number: u32, bytes: &mut [u8], depth: usize) -> Result<(), String> {
        let depth = depth.checked_sub(1).ok_or("its types hold themselves")?;
        let one = self.btf.plain(number)?;
        match &one.kind {
            Kind::Struct { members, .. } => {
                let mut fields = Vec::new();
                flattened(self.btf, members, 0, (DEPTH, &mut { NAMELESS }), &mut fields)?;
                self.fields(&fields, bytes, depth)
            }
            Kind::Array { element, .. } if is_character(self.btf, *element)? && self.peek() == Some('"') => {
                let text = self.text()?;
                if text.len() > bytes.len() {
                    return Err(format!("a text of {} bytes has no room in {}", text.len(), bytes.len()));
                }
                bytes.fill(0);
                bytes[..text.len()].copy_from_slice(&text);
                Ok(())
            }
            Kind::Array { element, count } => self.elements(*element, *count, bytes, depth),
            kind => {
                let size = self.btf.size(number)?;
                let bits = 8 * u32::try_from(size).ok().filter(|size| *size <= 8).ok_or("write it as hex:…")?;
                let number = self.number(kind, bits)?;
                let place = bytes.get_mut(..size as usize).ok_or("its types are larger than the map's values")?;
                place.copy_from_slice(&number.to_le_bytes()[..size as usize]);
                Ok(())
            }
        }
    }

    /// `{.a = 1, b = 2}`, or values in the order of the fields.
    fn fields(&mut self, fields: &[Field<'_>], bytes: &mut [u8], depth: usize) -> Result<(), String> {
        self.expect('{')?;
        let mut next = 0;
        while !self.take('}') {
            let field = match self.name()? {
                Some(name) => {
                    let found = fields.iter().position(|field| shown(field.name) == name);
                    next = found.ok_or_else(|| no_field(name, fields))?;
                    &fields[next]
                }
                None => fields.get(next).ok_or_else(|| format!("there are {} members, and no more", fields.len()))?,
            };
            next += 1;
            self.field(field, bytes, depth).map_err(|error| format!("{}: {error}", shown(field.name)))?;
            if !self.take(',') && self.peek() != Some('}') {
                return Err(self.expected("`,` or `}`"));
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &Field<'_>, bytes: &mut [u8], depth: usize) -> Result<(), String> {
        let lies = || "its types are larger than the map's values".to_string();
        if field.bits == 0 {
            let size = self.btf.size(field.kind)?;
            let range = range(field.at / 8, size).ok_or_else(lies)?;
            return self.value(field.kind, bytes.get_mut(range).ok_or_else(lies)?, depth);
        }
        let number = self.number(&self.btf.plain(field.kind)?.kind, field.bits)?;
        let (place, shift) = place(field.at, field.bits)?;
        let range = range(place.start, place.end - place.start).ok_or_else(lies)?;
        let bytes = bytes.get_mut(range).ok_or_else(lies)?;
        let (with, without) = (u128::from(number) << shift, u128::from(mask(field.bits)) << shift);
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = *byte & !((without >> (8 * index)) as u8) | (with >> (8 * index)) as u8;
        }
        Ok(())
    }

    /// `[1, 2]` or `{1, 2}`; those that are not written stay.
    fn elements(&mut self, element: u32, count: u32, bytes: &mut [u8], depth: usize) -> Result<(), String> {
        let end = if self.take('[') { ']' } else { '}' };
        if end == '}' {
            self.expect('{')?;
        }
        let size = self.btf.size(element)?;
        let mut index = 0u64;
        while !self.take(end) {
            if index >= count.into() {
                return Err(format!("there are {count} elements, and no more"));
            }
            let place = range(index * size, size).and_then(|range| bytes.get_mut(range));
            self.value(element, place.ok_or("its types are larger than the map's values")?, depth)
                .map_err(|error| format!("[{index}]: {error}"))?;
            index += 1;
            if !self.take(',') && self.peek() != Some(end) {
                return Err(self.expected(&format!("`,` or `{end}`")));
            }
        }
        Ok(())
    }

    /// `.name =` or `name =`, if that stands here.
    fn name(&mut self) -> Result<Option<&'t str>, String> {
        self.space();
        let rest = self.rest.strip_prefix('.').unwrap_or(self.rest);
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let behind = behind.trim_start();
        match behind.strip_prefix('=') {
            Some(behind) if !name.is_empty() => {
                self.rest = behind;
                Ok(Some(name))
            }
            _ if self.rest.starts_with('.') => Err(self.expected("`.NAME = …`")),
            _ => Ok(None),
        }
    }

    fn number(&mut self, kind: &Kind, bits: u32) -> Result<u64, String> {
        if !(1..=64).contains(&bits) {
            return Err(format!("its types have a number of {bits} bits"));
        }
        self.space();
        let end = self.rest.find(|c: char| c.is_whitespace() || ",}]:".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let number = match kind {
            Kind::Int { boolean: true, .. } if word == "true" => 1,
            Kind::Int { boolean: true, .. } if word == "false" => 0,
            Kind::Enum { values, .. } if values.iter().any(|(name, _)| shown(name) == word) => {
                let value = values.iter().find(|(name, _)| shown(name) == word);
                value.map_or(0, |(_, value)| value & mask(bits))
            }
            Kind::Float { .. } => {
                let float: f64 = word.parse().map_err(|_| self.expected("a number"))?;
                if bits == 32 {
                    u64::from((float as f32).to_bits())
                } else {
                    float.to_bits()
                }
            }
            Kind::Enum { signed, values, .. } => whole(word, bits, *signed).ok_or_else(|| {
                let names: Vec<String> = values.iter().take(20).map(|(name, _)| shown(name)).collect();
                self.expected(&format!("one of {}, or its number,", names.join(", ")))
            })?,
            Kind::Int { signed, .. } => {
                whole(word, bits, *signed).ok_or_else(|| self.expected(&of_bits(bits, *signed)))?
            }
            Kind::Pointer(_) => whole(word, bits, false).ok_or_else(|| self.expected(&of_bits(bits, false)))?,
            _ => return Err("its types have a value of a kind that has none".into()),
        };
        self.rest = rest;
        Ok(number)
    }

    fn text(&mut self) -> Result<Vec<u8>, String> {
        let open = || "a quote is not closed".to_string();
        let mut chars = self.rest.char_indices().skip(1);
        let mut text = Vec::new();
        loop {
            let (at, c) = chars.next().ok_or_else(open)?;
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\\' => match chars.next().ok_or_else(open)?.1 {
                    'n' => text.push(b'\n'),
                    't' => text.push(b'\t'),
                    '0' => text.push(0),
                    'x' => {
                        let digits = self.rest.get(at + 2..at + 4);
                        let byte = digits.filter(|d| !d.starts_with('+')).and_then(|d| u8::from_str_radix(d, 16).ok());
                        text.push(byte.ok_or("two hexadecimal digits are expected behind \\x")?);
                        chars.nth(1);
                    }
                    c => text.extend(c.encode_utf8(&mut [0; 4]).bytes()),
                },
                c => text.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
    }

    /// All bytes, in hexadecimal.
    fn hex(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        let end = self.rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        if digits.len() != 2 * bytes.len() {
            return Err(format!("{} bytes in hexadecimal are expected", bytes.len()));
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).unwrap_or("");
            *byte = u8::from_str_radix(pair, 16).unwrap_or(0);
        }
        self.rest = rest;
        Ok(())
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn peek(&mut self) -> Option<char> {
        self.space();
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let is = self.peek() == Some(wanted);
        if is {
            self.rest = &self.rest[wanted.len_utf8()..];
        }
        is
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        match self.take(wanted) {
            true => Ok(()),
            false => Err(self.expected(&format!("`{wanted}`"))),
        }
    }

    fn expected(&self, what: &str) -> String {
        let found: String = self.rest.trim_start().chars().take(20).collect();
        match found.is_empty() {
            true => format!("{what} is expected at the end"),
            false => format!("{what} is expected at `{}`", found.escape_debug()),
        }
    }
}

fn range(from: u64, len: u64) -> Option<std::ops::Range<usize>> {
    Some(usize::try_from(from).ok()?..usize::try_from(from.checked_add(len)?).ok()?)
}

fn of_bits(bits: u32, signed: bool) -> String {
    match signed {
        true => format!("a number of {bits} bits with a sign"),
        false => format!("a number of {bits} bits"),
    }
}

fn no_field(name: &str, fields: &[Field<'_>]) -> String {
    let names: Vec<String> = fields.iter().map(|field| shown(field.name)).filter(|name| !name.is_empty()).collect();
    format!("there is no `{name}`; there are {}", names.join(", "))
}

/// The members of a struct, those of members without a name among them.
fn flattened<'b>(
    btf: &'b Btf<'static>,
    members: &'b [Member],
    base: u64,
    (depth, left): (usize, &mut u32),
    fields: &mut Vec<Field<'b>>,
) -> Result<(), String> {
    let depth = depth.checked_sub(1).ok_or("its types hold themselves")?;
    *left = left.checked_sub(1).ok_or("its types have too many parts")?;
    for member in members {
        let at = base + u64::from(member.offset);
        match &btf.plain(member.kind)?.kind {
            Kind::Struct { members, .. } if member.name.is_empty() => {
                flattened(btf, members, at, (depth, &mut *left), fields)?
            }
            _ => fields.push(Field { name: &member.name, kind: member.kind, at, bits: member.bits }),
        }
        if fields.len() > PARTS {
            return Err("its types have too many parts".into());
        }
    }
    Ok(())
}

/// A number, decimal or `0x…`, that so many bits hold.
fn whole(word: &str, bits: u32, signed: bool) -> Option<u64> {
    let number = variables::number(word)?;
    variables::range(bits, signed).contains(&number).then_some(number as u64 & mask(bits))
}
