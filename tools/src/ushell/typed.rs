//! Maps by the types of their objects, which the image keeps and does not read: what comes is shown by name, what is typed becomes bytes.

use crate::json;
use serde_json::{json, Value as Json};
use std::{borrow::Cow, fmt};
use ubpf_client::{machine::Client, ClientError};
use ubpf_pack::{MapTypes, Shape, Types, Value};
use ubpf_rs::{
    isa::{self, Insn},
    object::MAX_TYPES,
};

/// A map whose types are known.
pub struct Typed {
    types: Types,
    of: MapTypes,
}

/// Why something is shown or taken as numbers.
pub type Reason = String;

impl Typed {
    /// What is known of a map; `None` where the image has no types for it, with the reason where they are wrong.
    pub fn of(client: &mut Client, map: &str) -> Result<(Option<Typed>, Option<Reason>), ClientError> {
        let question = format!("map types {}", ubpf_client::machine::quote(map));
        if question.len() > ushell_rs::frame::PAYLOAD {
            return Ok((None, None));
        }
        let lines = client.ask(&question)?;
        if lines.is_empty() {
            return Ok((None, None));
        }
        let known = bytes_of(&lines).and_then(|bytes| {
            let types = Types::parse(&bytes)?;
            let of = types.map(map)?;
            Ok(Typed { types, of })
        });
        Ok(match known {
            Ok(typed) => (Some(typed), None),
            Err(reason) => (None, Some(reason)),
        })
    }

    /// A key, as the image shows it.
    pub fn key(&self, text: &str) -> Result<Value, Reason> {
        self.shown(self.of.key.as_ref(), text)
    }

    /// A value, as the image shows it.
    pub fn value(&self, text: &str) -> Result<Value, Reason> {
        self.shown(self.of.value.as_ref(), text)
    }

    fn shown(&self, shape: Option<&Shape>, text: &str) -> Result<Value, Reason> {
        let Some(shape) = shape else { return untyped(text).ok_or_else(|| "it is no value".into()) };
        let size = self.types.size(shape)?;
        let bytes = bytes(text, size).ok_or_else(|| format!("its types have {size} bytes, and `{text}` has others"))?;
        self.types.show(shape, &bytes)
    }

    /// The bytes of a value, as the image shows it.
    pub fn value_bytes(&self, text: &str) -> Option<Vec<u8>> {
        bytes(text, self.types.size(self.of.value.as_ref()?).ok()?)
    }

    /// Keys and values have no types.
    pub fn is_untyped(&self) -> bool {
        self.of == MapTypes::default()
    }

    /// What a person has typed as a key, and what is left; as it is where the key has no type.
    pub fn read_key<'t>(&self, text: &'t str) -> Result<(Cow<'t, str>, &'t str), Reason> {
        self.read(self.of.key.as_ref(), text, None).map_err(|error| format!("KEY: {error}"))
    }

    /// The same for a value, where `before` is what the variables of a data section hold.
    pub fn read_value<'t>(&self, text: &'t str, before: Option<Vec<u8>>) -> Result<(Cow<'t, str>, &'t str), Reason> {
        self.read(self.of.value.as_ref(), text, before).map_err(|error| format!("VALUE: {error}"))
    }

    /// Whether values are the variables of a data section, which are set one by one.
    pub fn has_variables(&self) -> bool {
        matches!(self.of.value, Some(Shape::Section(_)))
    }

    fn read<'t>(
        &self,
        shape: Option<&Shape>,
        text: &'t str,
        before: Option<Vec<u8>>,
    ) -> Result<(Cow<'t, str>, &'t str), Reason> {
        let text = text.trim_start();
        // Bytes are the image's matter, which knows how many there have to be.
        let Some(shape) = shape.filter(|_| !text.starts_with("hex:")) else {
            let end = text.find(char::is_whitespace).unwrap_or(text.len());
            let (word, rest) = text.split_at(end);
            return Ok((Cow::Borrowed(word.strip_suffix(':').unwrap_or(word)), rest));
        };
        let size = self.types.size(shape)?;
        let size = usize::try_from(size).ok().filter(|&size| size <= ushell_rs::frame::PAYLOAD);
        let size = size.ok_or("there are more bytes than a line has room for")?;
        let mut bytes = before.unwrap_or_else(|| vec![0; size]);
        let rest = self.types.read(shape, text, &mut bytes)?;
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
            return Err(format!("`{}` follows", rest.chars().take(20).collect::<String>()));
        }
        Ok((Cow::Owned(Value::Bytes(bytes).to_string()), rest))
    }
}

/// What the image shows of a value; of one that each CPU has for itself those that are not zeros, with their sum where they are numbers.
pub struct FoundValue {
    sum: Option<Value>,
    each: Vec<Value>,
}

impl FoundValue {
    /// As `one` understands the text of a value.
    pub fn of(text: &str, mut one: impl FnMut(&str) -> Option<Value>) -> Option<FoundValue> {
        let (sum, each) = match text.split_once(" = ") {
            Some((sum, each)) => (Some(sum), each.split(" + ").map(&mut one).collect::<Option<_>>()?),
            None => (None, text.split(" | ").map(&mut one).collect::<Option<_>>()?),
        };
        let is_number = |value: &Value| matches!(value, Value::Number(_) | Value::Signed(_));
        // What is no number by its type has no sum, though it has the size of one.
        let sum = sum.and_then(one).filter(is_number);
        Some(FoundValue { sum, each })
    }

    /// All as one value: their sum.
    pub fn total(self) -> Option<Value> {
        self.sum.or_else(|| self.each.into_iter().map(Some).reduce(|all, one| added(all?, one?))?)
    }

    /// Of one that each CPU has for itself with what each has.
    pub fn json(&self, per_cpu: bool) -> Json {
        let one = self.sum.as_ref().or(self.each.first().filter(|_| self.each.len() == 1));
        let value = one.map_or(Json::Null, json::value);
        match per_cpu {
            true => json!({ "value": value, "values": self.each.iter().map(json::value).collect::<Vec<_>>() }),
            false => json!({ "value": value }),
        }
    }
}

impl fmt::Display for FoundValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut before, between) = ("", if self.sum.is_some() { " + " } else { " | " });
        if let Some(sum) = &self.sum {
            write!(f, "{sum} = ")?;
        }
        for value in &self.each {
            write!(f, "{before}{value}")?;
            before = between;
        }
        Ok(())
    }
}

/// The sum of two values, number by number; `None` where they are something else.
fn added(all: Value, one: Value) -> Option<Value> {
    Some(match (all, one) {
        (Value::Number(all), Value::Number(one)) => Value::Number(all.wrapping_add(one)),
        (Value::Signed(all), Value::Signed(one)) => Value::Signed(all.wrapping_add(one)),
        (Value::List(all), Value::List(one)) => {
            Value::List(all.into_iter().zip(one).map(|(all, one)| added(all, one)).collect::<Option<_>>()?)
        }
        (Value::Fields(all), Value::Fields(one)) => {
            let sum = |(all, one): ((String, Value), (String, Value))| Some((all.0, added(all.1, one.1)?));
            Value::Fields(all.into_iter().zip(one).map(sum).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// What has no type: a number, bytes, or the name of what a map holds.
pub fn untyped(text: &str) -> Option<Value> {
    let is_name = !text.is_empty() && !text.contains(char::is_whitespace);
    plain(text).or_else(|| is_name.then(|| Value::Name(text.into())))
}

/// A value without its type: a number, or bytes.
pub fn plain(text: &str) -> Option<Value> {
    match text.strip_prefix("hex:") {
        Some(digits) => pairs(digits).map(Value::Bytes),
        None => text.parse().ok().map(Value::Number),
    }
}

/// The bytes of a key or value, as the image shows it: a number has those of its type.
pub fn bytes(text: &str, size: u64) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("hex:") {
        return pairs(digits);
    }
    let number: u64 = text.parse().ok()?;
    let size = [1, 2, 4, 8].into_iter().find(|&possible| possible as u64 >= size)?;
    let all = number.to_le_bytes();
    all[size..].iter().all(|&byte| byte == 0).then(|| all[..size].to_vec())
}

fn pairs(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)
    };
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

/// An instruction in a line of `prog dump`: where it stands, and its bytes.
pub fn slot(line: &str) -> Option<(usize, Vec<u8>)> {
    let (pc, digits) = line.trim_start().split_once(": ")?;
    let bytes = pairs(digits).filter(|bytes| bytes.len() == 8)?;
    Some((pc.parse().ok()?, bytes))
}

/// Instructions as text, one a line; in hexadecimal where they are none. Takes them all.
pub fn disassembled(slots: &mut Vec<(usize, Vec<u8>)>) -> Vec<String> {
    let code: Vec<u8> = slots.iter().flat_map(|slot| slot.1.iter().copied()).collect();
    let insns = isa::decode(&code).ok();
    let line = |(at, (pc, bytes)): (usize, (usize, Vec<u8>))| match insns.as_ref().and_then(|insns| insns.get(at)) {
        Some(Insn::WideTail) => None,
        Some(insn) => Some(format!("{pc:8}: {insn}")),
        None => Some(format!("{pc:8}: {}", Value::Bytes(bytes))),
    };
    slots.drain(..).enumerate().filter_map(line).collect()
}

/// The bytes in lines of hexadecimal.
fn bytes_of(lines: &[String]) -> Result<Vec<u8>, Reason> {
    let digits = lines.concat();
    if digits.len() > 2 * MAX_TYPES {
        return Err(format!("there are more than {MAX_TYPES} bytes of types"));
    }
    pairs(&digits).ok_or_else(|| "they are no bytes in hexadecimal".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_each_cpu_are_added_up() {
        let signed = |text: &str| text.parse().ok().map(|number: u64| Value::Signed(number as i64));
        let found = FoundValue::of("18446744073709551614 = 18446744073709551611 + 3", signed).unwrap();
        assert_eq!(found.to_string(), "-2 = -5 + 3");
        assert_eq!(found.json(true), json!({ "value": -2, "values": [-5, 3] }));
        let fields = |text: &str| Some(Value::Fields(vec![("n".into(), Value::List(vec![plain(text)?]))]));
        // It has the size of a number.
        let found = FoundValue::of("7 = 3 + 4", fields).unwrap();
        assert_eq!(found.to_string(), "{n = [3]} + {n = [4]}".replace(" + ", " | "));
        assert_eq!(found.total().unwrap().to_string(), "{n = [7]}");
        let found = FoundValue::of("hex:01 | hex:02", untyped).unwrap();
        assert_eq!((found.to_string(), found.json(false)), ("hex:01 | hex:02".into(), json!({ "value": null })));
        assert_eq!(found.total(), None);
        assert!(FoundValue::of("7 = 3 + x y", plain).is_none());
    }

    #[test]
    fn numbers_have_the_bytes_of_their_type() {
        assert_eq!(bytes("258", 4), Some(vec![2, 1, 0, 0]));
        assert_eq!(bytes("258", 1), None);
        assert_eq!(bytes("5", 5), Some(vec![5, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(bytes("hex:0a0B", 2), Some(vec![10, 11]));
        for wrong in ["hex:0", "hex:+1", "x", "-1", "hex:ä0"] {
            assert_eq!(bytes(wrong, 2), None, "{wrong}");
        }
        assert_eq!(bytes("1", 9), None);
    }
}
