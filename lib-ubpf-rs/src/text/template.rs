//! Sentences with holes, made ready when the engine is compiled: a hole `{name:how}` becomes one byte that no ASCII text has. In a terse
//! image a long sentence becomes its code and its holes alone, `#1a2b3c(hole|hole)`.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic, reason = "the compiler runs it")]

/// How a number is written, or that something writes itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    /// Something with a text of its own.
    Shown,
    /// `{n}`: in decimal.
    Plain,
    /// `{n:-}`: in decimal, with a sign where it is negative.
    Signed,
    /// `{n:+}`: in decimal, always with a sign.
    Offset,
    /// `{n:#x}`: in hexadecimal.
    Hex,
    /// `{n:#04x}`: the same in two digits.
    Byte,
    /// `{n:#010x}`: the same in eight digits.
    Word,
}

/// Bits of a hole's code below the way of writing: which of the values it is.
const INDEX_BITS: u32 = 2;
const HOLE: u8 = 0x80;

impl How {
    const ALL: [How; 7] = [How::Shown, How::Plain, How::Signed, How::Offset, How::Hex, How::Byte, How::Word];

    /// How a number with this behind its name is written.
    const fn of_spec(spec: &[u8]) -> How {
        match spec {
            b"" => How::Plain,
            b"-" => How::Signed,
            b"+" => How::Offset,
            b"#x" => How::Hex,
            b"#04x" => How::Byte,
            b"#010x" => How::Word,
            _ => panic!("numbers are written in one of the ways of `How`"),
        }
    }

    const fn code(self, index: usize) -> u8 {
        assert!(index < 1 << INDEX_BITS, "a sentence has at most four numbers and four texts");
        HOLE | (self as u8) << INDEX_BITS | index as u8
    }

    /// The way of writing of a hole, and which value it is.
    pub(super) fn of_code(code: u8) -> (How, usize) {
        let how = usize::from((code & !HOLE) >> INDEX_BITS);
        let index = usize::from(code & ((1 << INDEX_BITS) - 1));
        (How::ALL.get(how).copied().unwrap_or(How::Plain), index)
    }
}

/// Words fewer than these, in bytes, stand as they are.
const SHORTEST_CODED: usize = 16;

/// Begins a code.
pub(super) const MARK: u8 = b'#';
/// Stand around values and between them.
pub(super) const AROUND: [u8; 3] = *b"(|)";
/// Stands before one of them, or before itself, in a value.
pub(super) const ESCAPE: u8 = b'\\';
/// Bytes of a code with its mark.
pub(super) const CODE_BYTES: usize = 7;

/// Whether a terse image has a code in the place of a sentence.
pub(super) const fn is_coded(text: &str) -> bool {
    let (text, mut at, mut words) = (text.as_bytes(), 0, 0);
    while at < text.len() {
        match text[at] {
            b'{' => at = find(text, at, b'}'),
            _ => words += 1,
        }
        at += 1;
    }
    words >= SHORTEST_CODED
}

/// The code of a sentence: 24 bits of its FNV-1a hash. It stays while the sentence does.
pub(super) const fn code(text: &str) -> [u8; CODE_BYTES] {
    let (text, mut at, mut hash) = (text.as_bytes(), 0, 0x811c_9dc5u32);
    while at < text.len() {
        hash = (hash ^ text[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash = (hash >> 24) ^ (hash & 0x00ff_ffff);
    let mut code = [MARK; CODE_BYTES];
    let mut place = 1;
    while place < CODE_BYTES {
        let digit = (hash >> (4 * (CODE_BYTES - 1 - place)) & 15) as u8;
        code[place] = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        place += 1;
    }
    code
}

/// Bytes of a sentence as an image has it: whole, or of its code and this many holes.
pub(super) const fn len(text: &str, holes: usize) -> usize {
    if cfg!(feature = "terse") && is_coded(text) {
        return CODE_BYTES + 2 * holes + if holes > 0 { 1 } else { 0 };
    }
    whole_len(text)
}

/// A sentence as an image has it.
pub(super) const fn compile<const N: usize>(text: &str, numbers: &[&str], shown: &[&str]) -> [u8; N] {
    assert!(text.is_ascii(), "a sentence is ASCII");
    match cfg!(feature = "terse") && is_coded(text) {
        true => coded(text, numbers, shown),
        false => whole(text, numbers, shown),
    }
}

/// The code of a sentence with its holes: first those of numbers, then the others.
const fn coded<const N: usize>(text: &str, numbers: &[&str], shown: &[&str]) -> [u8; N] {
    let (code, mut bytes, mut at) = (code(text), [0; N], 0);
    while at < CODE_BYTES {
        bytes[at] = code[at];
        at += 1;
    }
    let mut index = 0;
    while index < numbers.len() + shown.len() {
        bytes[at] = if index == 0 { AROUND[0] } else { AROUND[1] };
        let name = if index < numbers.len() { numbers[index] } else { shown[index - numbers.len()] };
        bytes[at + 1] = first_hole(text.as_bytes(), name.as_bytes(), numbers, shown);
        (at, index) = (at + 2, index + 1);
    }
    if index > 0 {
        bytes[at] = AROUND[2];
    }
    bytes
}

/// The code of the first hole of this name.
const fn first_hole(text: &[u8], name: &[u8], numbers: &[&str], shown: &[&str]) -> u8 {
    let mut at = find(text, 0, b'{');
    while at < text.len() {
        let inner = inside(text, at + 1, find(text, at, b'}'));
        if is_same(inside(inner, 0, find(inner, 0, b':')), name) {
            return hole(inner, numbers, shown).0;
        }
        at = find(text, at + 1, b'{');
    }
    panic!("each name has a hole")
}

/// Bytes of a sentence whose holes are one byte each.
const fn whole_len(text: &str) -> usize {
    let (text, mut at, mut len) = (text.as_bytes(), 0, 0);
    while at < text.len() {
        at = if text[at] == b'{' { find(text, at, b'}') + 1 } else { at + 1 };
        len += 1;
    }
    len
}

/// The sentence with a code for each hole. Each hole has one of the names, and each name at least one hole.
const fn whole<const N: usize>(text: &str, numbers: &[&str], shown: &[&str]) -> [u8; N] {
    let text = text.as_bytes();
    let (mut bytes, mut at, mut to, mut used) = ([0; N], 0, 0, 0);
    while at < text.len() {
        bytes[to] = text[at];
        if text[at] == b'{' {
            let end = find(text, at, b'}');
            let (code, bit) = hole(inside(text, at + 1, end), numbers, shown);
            (bytes[to], used) = (code, used | bit);
            at = end;
        }
        (at, to) = (at + 1, to + 1);
    }
    assert!(used + 1 == 1 << (numbers.len() + shown.len()), "each name has a hole");
    bytes
}

/// The code of a hole, and the bit of its name.
const fn hole(hole: &[u8], numbers: &[&str], shown: &[&str]) -> (u8, u32) {
    let colon = find(hole, 0, b':');
    let name = inside(hole, 0, colon);
    let number = place(name, numbers);
    if number < numbers.len() {
        let spec = if colon < hole.len() { inside(hole, colon + 1, hole.len()) } else { b"" };
        return (How::of_spec(spec).code(number), 1 << number);
    }
    let text = place(name, shown);
    assert!(text < shown.len() && colon == hole.len(), "a hole has one of the names behind the sentence");
    (How::Shown.code(text), 1 << (numbers.len() + text))
}

/// Where a byte stands, from a place on; the end where it does not.
const fn find(text: &[u8], from: usize, byte: u8) -> usize {
    let mut at = from;
    while at < text.len() && text[at] != byte {
        at += 1;
    }
    at
}

const fn inside(text: &[u8], from: usize, to: usize) -> &[u8] {
    text.split_at(to).0.split_at(from).1
}

/// Where a name stands in a list; the end where it does not.
const fn place(name: &[u8], names: &[&str]) -> usize {
    let mut at = 0;
    while at < names.len() && !is_same(name, names[at].as_bytes()) {
        at += 1;
    }
    at
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}
