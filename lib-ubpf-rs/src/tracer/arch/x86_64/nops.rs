//! The nops that compilers leave at a function's entry. This file is read by the engine and by the tool that writes names into
//! a linked image (`platforms/unikraft/tool`), so that both take the same bytes for a stub.

/// Length of every stub and of the call that replaces it.
pub const STUB_LEN: usize = 5;

/// What gcc emits for `-fpatchable-function-entry=5`.
pub const FIVE_NOPS: [u8; STUB_LEN] = [NOP; STUB_LEN];

/// What `-fcf-protection` puts first at an entry.
pub const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// The one-byte nop.
pub const NOP: u8 = 0x90;

/// The longest nop that a call can be made of.
pub const LONGEST_NOP: usize = 10;

/// Where the nops of a stub stand at an entry, and how many bytes they are together: five of one byte, or one of 5 to
/// [`LONGEST_NOP`] bytes. `None` when it is something else.
pub fn stub(entry: &[u8]) -> Option<(usize, usize)> {
    let (offset, rest) = match entry.strip_prefix(&ENDBR64) {
        Some(rest) => (ENDBR64.len(), rest),
        None => (0, entry),
    };
    let length = match rest.starts_with(&FIVE_NOPS) {
        true => STUB_LEN,
        false => nop(rest)?,
    };
    let fits = (STUB_LEN..=LONGEST_NOP).contains(&length);
    fits.then_some((offset, length))
}

/// Length of the nop that stands first, if one does.
pub fn nop(bytes: &[u8]) -> Option<usize> {
    let prefixes = bytes.iter().take_while(|b| matches!(b, 0x66 | 0x2e));
    let prefixes = prefixes.count();
    let length = prefixes
        + match bytes.get(prefixes..)? {
            [NOP, ..] => 1,
            // nop r/m: no operand, a displacement of one byte or of four, each with or without an index.
            [0x0f, 0x1f, modrm, ..] => match modrm {
                0x00..=0x03 | 0x06..=0x07 => 3,
                0x40..=0x43 | 0x45..=0x47 => 4,
                0x44 => 5,
                0x80..=0x83 | 0x85..=0x87 => 7,
                0x84 => 8,
                _ => return None,
            },
            _ => return None,
        };
    (length <= bytes.len()).then_some(length)
}

/// Bytes of nops that stand first.
pub fn nops(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = bytes.get(at..).and_then(nop) {
        at += length;
    }
    at
}
