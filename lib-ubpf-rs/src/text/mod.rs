//! What errors say. In all other rooms they are codes and numbers; here each has its sentence, in the table of `errors`, and one small
//! interpreter puts the numbers in. A sentence without a place for one of its numbers, or with a place for none, does not compile.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod errors;
mod template;
#[cfg(feature = "texts")]
mod texts;

#[cfg(feature = "texts")]
pub use texts::{code_of, expand, sentences, Sentence};

use crate::{
    helpers::name_of,
    isa::Reg,
    program::{Abi, MapName, PointKind},
    tracer::SiteKind,
    verifier::Policy,
    vm::Detour,
};
use core::fmt::{self, Display, Formatter, Write as _};
use template::How;

/// What is shown by its word or name.
macro_rules! by_word {
    ($($named:ty: $word:ident),+ $(,)?) => {
        $(impl Display for $named {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str(self.$word())
            }
        })+
    };
}

by_word!(Abi: word, PointKind: word, Policy: word, SiteKind: word, MapName: as_str);

/// By which way it runs, and why; without a comma.
impl Display for Detour {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let why = match *self {
            Detour::Interpreted => return f.write_str("interpreted"),
            Detour::Helper(abi, number) => {
                f.write_str("general: calls ")?;
                return match name_of(abi, number) {
                    Some(name) => f.write_str(name),
                    None => write!(f, "helper {number}"),
                };
            }
            Detour::Timer => "at a timer",
            Detour::Calls => "has functions of its own",
            Detour::Guarded => "accesses are checked as it runs",
            Detour::Metered => "time is charged as it runs",
            Detour::Record => "may keep a record",
            Detour::Argument => "looks at too much of its argument",
            Detour::Cost => "may cost more than an interrupt has",
            Detour::Stack => "takes too much stack",
            Detour::Limited => "has a limit of runs",
            Detour::Errno => "result becomes -errno",
            Detour::Others => "another program here takes it or did",
            Detour::Measured => "run times are measured",
            Detour::Stub => "stub or platform has no other",
            Detour::Memory => "no memory",
            Detour::Room => "executable memory is full",
            Detour::Stuck => "a run did not come back",
        };
        f.write_str("general: ")?;
        f.write_str(why)
    }
}

impl fmt::Debug for MapName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A number in a sentence, as it is handed to the interpreter.
trait Number {
    fn wide(&self) -> u64;
}

macro_rules! numbers {
    ($($kind:ty),*) => {
        $(impl Number for $kind {
            fn wide(&self) -> u64 {
                *self as u64
            }
        })*
    };
}

numbers!(u8, u16, u32, u64, usize, i32, i64);

impl Number for Reg {
    fn wide(&self) -> u64 {
        u64::from(self.number())
    }
}

/// Writes a sentence of numbers alone.
#[cold]
#[inline(never)]
fn say(f: &mut Formatter<'_>, template: &[u8], first: u64, second: u64, third: u64) -> fmt::Result {
    say_with(f, template, &[first, second, third], &[])
}

/// Writes a sentence of numbers and of what has a text of its own.
#[cold]
#[inline(never)]
fn say_with(f: &mut Formatter<'_>, template: &[u8], numbers: &[u64], shown: &[&dyn Display]) -> fmt::Result {
    let mut rest = template;
    let is_coded = cfg!(feature = "terse") && template.first() == Some(&template::MARK);
    while let Some(at) = rest.iter().position(|byte| !byte.is_ascii()) {
        let (words, hole) = rest.split_at(at);
        write(f, words)?;
        let Some((&code, after)) = hole.split_first() else { break };
        fill(f, code, is_coded, numbers, shown)?;
        rest = after;
    }
    write(f, rest)
}

fn write(f: &mut Formatter<'_>, words: &[u8]) -> fmt::Result {
    f.write_str(core::str::from_utf8(words).unwrap_or(""))
}

/// What stands around values is escaped in them, so that who makes text of codes finds their ends.
struct Escaped<'a, 'b>(&'a mut Formatter<'b>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_char(c))
    }
    fn write_char(&mut self, c: char) -> fmt::Result {
        if u8::try_from(c).is_ok_and(|byte| byte == template::ESCAPE || template::AROUND.contains(&byte)) {
            self.0.write_char(char::from(template::ESCAPE))?;
        }
        self.0.write_char(c)
    }
}

fn fill(f: &mut Formatter<'_>, code: u8, is_coded: bool, numbers: &[u64], shown: &[&dyn Display]) -> fmt::Result {
    let (how, index) = How::of_code(code);
    let number = numbers.get(index).copied().unwrap_or(0);
    match how {
        How::Shown if is_coded => shown.get(index).map_or(Ok(()), |shown| write!(Escaped(f), "{shown}")),
        How::Shown => shown.get(index).map_or(Ok(()), |shown| shown.fmt(f)),
        How::Plain => number.fmt(f),
        How::Signed => (number as i64).fmt(f),
        How::Offset => write!(f, "{:+}", number as i64),
        How::Hex => write!(f, "{number:#x}"),
        How::Byte => write!(f, "{number:#04x}"),
        How::Word => write!(f, "{number:#010x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{errors::sentences, Number};
    use std::string::ToString;

    enum Every {
        Numbers(usize, i64, i32),
        Hex(u8, u32, u64),
        Mixed(u64, &'static str),
        Twice(&'static str),
        Plain,
    }

    sentences! {
        Every {
            Every::Numbers(a, b, c) => "{a}, {b:-}, {c:+}" [a, b, c],
            Every::Hex(a, b, c) => "{c:#x}{b:#010x} {a:#04x}." [a, b, c],
            Every::Mixed(a, b) => "{b} at {a}" [a; b],
            Every::Twice(a) => "{a} and {a}" [; a],
            Every::Plain => "words",
        }
    }

    #[test]
    fn numbers_and_texts_stand_in_their_holes() {
        assert_eq!(Every::Numbers(1, -2, 3).to_string(), "1, -2, +3");
        assert_eq!(
            Every::Numbers(usize::MAX, i64::MIN, -3).to_string(),
            "18446744073709551615, -9223372036854775808, -3"
        );
        assert_eq!(Every::Hex(7, 8, 0xfff).to_string(), "0xfff0x00000008 0x07.");
        assert_eq!(Every::Mixed(9, "one").to_string(), "one at 9");
        assert_eq!(Every::Twice("one").to_string(), "one and one");
        assert_eq!(Every::Plain.to_string(), "words");
    }
}
