//! Text of codes, for who talks to an image that has codes alone (feature `terse`): the same table, read the other way.

use super::{
    errors,
    template::{code, is_coded, AROUND, CODE_BYTES, ESCAPE, MARK},
};
use alloc::{string::String, vec::Vec};

/// A sentence of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sentence {
    /// With a hole `{name}` or `{name:how}` for each value.
    pub text: &'static str,
    /// What the values are called, in the order in which they stand behind the code.
    pub names: &'static [&'static str],
}

/// The sentences that are codes in a terse image.
pub fn sentences() -> impl Iterator<Item = &'static Sentence> {
    errors::all().iter().copied().flatten().filter(|sentence| is_coded(sentence.text))
}

/// The code of a sentence, with its mark.
pub fn code_of(text: &str) -> String {
    code(text).into_iter().map(char::from).collect()
}

/// What is said, with the sentences of the codes in it. What is no code, or none of this version, stays as it is.
pub fn expand(said: &str) -> String {
    let mut text = String::new();
    let mut rest = said;
    while let Some(at) = rest.find(char::from(MARK)) {
        let (before, behind) = rest.split_at(at);
        text.push_str(before);
        match sentence(behind) {
            Some((sentence, after)) => {
                text.push_str(&sentence);
                rest = after;
            }
            None => {
                text.push(char::from(MARK));
                rest = behind.get(1..).unwrap_or("");
            }
        }
    }
    text.push_str(rest);
    text
}

/// The sentence of the code at the beginning of a text, and what stands behind it and its values.
fn sentence(text: &str) -> Option<(String, &str)> {
    let (code, mut rest) = text.split_at_checked(CODE_BYTES)?;
    let Sentence { text, names } = sentences().find(|sentence| code_of(sentence.text) == code)?;
    let mut values = Vec::new();
    for index in 0..names.len() {
        rest = rest.strip_prefix(char::from(*AROUND.get(index.min(1))?))?;
        let (value, after) = value(rest)?;
        values.push(expand(&value));
        rest = after;
    }
    if !names.is_empty() {
        rest = rest.strip_prefix(char::from(*AROUND.last()?))?;
    }
    Some((filled(text, names, &values), rest))
}

/// A value without its escapes, and what stands behind it.
fn value(text: &str) -> Option<(String, &str)> {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match u8::try_from(c) {
            _ if escaped => escaped = false,
            Ok(ESCAPE) => {
                escaped = true;
                continue;
            }
            Ok(byte) if AROUND.contains(&byte) => return Some((value, text.get(at..)?)),
            _ => {}
        }
        value.push(c);
    }
    None
}

/// A sentence with values in its holes.
fn filled(text: &str, names: &[&str], values: &[String]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, (hole, after))) = rest.split_once('{').and_then(|(b, r)| Some((b, r.split_once('}')?))) {
        let name = hole.split(':').next().unwrap_or(hole);
        let value = names.iter().position(|known| *known == name).and_then(|at| values.get(at));
        filled.push_str(before);
        filled.push_str(value.map_or("", String::as_str));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        isa::DecodeError,
        platform::FileError,
        program::LoadError,
        tracer::{AttachError, Unusable},
    };
    use std::{collections::BTreeSet, string::ToString, vec::Vec};

    /// What a terse engine says and what a full one says are told apart by the feature: in both, the text comes out.
    #[test]
    fn text_comes_of_what_is_said() {
        let reason = "it is (a|b) \\ odd {x}";
        let nested = AttachError::Denied { function: "f(int|char)".into(), reason };
        let patch = Unusable::Patch(crate::platform::PatchError::Mismatch { addr: 0x1000 });
        for (said, wanted) in [
            (
                LoadError::Decode(DecodeError::UnknownOpcode { pc: 3, opcode: 0xff }).to_string(),
                "unknown opcode 0xff at PC 3",
            ),
            (nested.to_string(), "function f(int|char) cannot be traced: it is (a|b) \\ odd {x}"),
            (
                patch.to_string(),
                "its nops could not be made one instruction: text at 0x1000 holds other bytes than expected",
            ),
            (FileError::Io(-5).to_string(), "input/output error (code -5)"),
            (LoadError::Empty.to_string(), "the program is empty: it has no instruction"),
            (FileError::NotFound.to_string(), "no such file"),
        ] {
            let shown = std::format!("#12 {said}; {said}");
            assert_eq!(expand(&shown), std::format!("#12 {wanted}; {wanted}"), "{said}");
            let is_code = said.starts_with('#');
            assert_eq!(is_code, cfg!(feature = "terse") && wanted != "no such file", "{said}");
            assert!(!is_code || said.len() < wanted.len() + 16, "{said}");
        }
    }

    #[test]
    fn what_is_no_code_stays() {
        let known = code_of("the program is empty: it has no instruction");
        for text in ["#", "##", "#zz", "#12345", "#gggggg", "a # b", "#00000\u{e9}", &known[..6], "#123456(1|2)"] {
            assert_eq!(expand(text), text);
        }
        // A sentence with values, without them.
        let holed = sentences().find(|sentence| sentence.names.len() == 2).expect("one");
        for end in ["", "(", "(1", "(1|", "(1|2", "(1)", "(1|2|3)"] {
            let text = code_of(holed.text) + end;
            assert_eq!(expand(&text), text);
        }
    }

    #[test]
    fn no_two_sentences_have_one_code() {
        let texts: BTreeSet<&str> = sentences().map(|sentence| sentence.text).collect();
        let codes: BTreeSet<String> = texts.iter().map(|text| code_of(text)).collect();
        assert_eq!(codes.len(), texts.len());
        let all: Vec<&Sentence> = sentences().collect();
        assert!(all.len() > 150, "{}", all.len());
    }
}
