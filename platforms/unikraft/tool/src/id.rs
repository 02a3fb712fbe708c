//! Which image a file belongs to: 16 bytes over its code, with the stubs left out that are exchanged while it runs, and over the
//! names of its functions.
//!
//! The hash is FNV-1a of 128 bits. It guards against mistakes, not against attackers: a few lines of code, with published values to test
//! them by, and two texts of one length that differ in one byte never have the same one.

use crate::{
    elf::Elf,
    names::{self, Function},
    nops, table,
};
pub use table::Id;

/// The id of the image that a debug file belongs to; or, where a file has no names of functions, the one in its table. (A finished
/// image need not be a file for x86-64: boot loaders may want a header for 32 bits.)
pub fn of_file(file: &[u8]) -> Result<Id, String> {
    let elf = Elf::new(file);
    if let Ok(elf) = &elf {
        let (functions, _) = names::functions(elf);
        if !functions.is_empty() {
            return Ok(of_image(elf, &functions, &table::encode(&functions)?));
        }
    }
    match (table::stored(file), elf) {
        (Ok(Some(id)), _) => Ok(id),
        (Ok(None), _) => Err("nothing was written into its table of names".into()),
        (Err(_), Err(error)) | (Err(error), Ok(_)) => Err(error),
    }
}

/// The id of an image with these functions, as its table has them.
pub fn of_image(elf: &Elf<'_>, functions: &[Function<'_>], table: &[u8]) -> Id {
    let mut hash = Fnv::new();
    let mut stubs = functions.iter().filter(|f| matches!(f.stub.0, 1 | 2));
    let mut next = stubs.next();
    let mut sections: Vec<_> = elf.code().collect();
    sections.sort_by_key(|section| section.addr);
    for section in sections {
        hash.take(&section.addr.to_le_bytes());
        hash.take(&(section.data.len() as u64).to_le_bytes());
        let mut text = section.data.to_vec();
        while let Some(function) = next {
            let at = function.address + u64::from(function.stub.1);
            let place = at.checked_sub(section.addr).map(|at| at as usize);
            match place.filter(|&at| at < text.len()) {
                Some(at) => leave_out(&mut text[at..]),
                // In a later section.
                None if at >= section.addr => break,
                None => {}
            }
            next = stubs.next();
        }
        hash.take(&text);
    }
    hash.take(table);
    Id(hash.0.to_be_bytes())
}

/// Five nops of one byte, or the nop that stands first.
fn leave_out(text: &mut [u8]) {
    let length = nops::stub(text).map_or(nops::STUB_LEN, |(_, length)| length);
    let length = length.min(text.len());
    text[..length].fill(0);
}

/// FNV-1a, 128 bits (draft-eastlake-fnv).
struct Fnv(u128);

impl Fnv {
    fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        let of = |text: &[u8]| {
            let mut hash = Fnv::new();
            hash.take(text);
            Id(hash.0.to_be_bytes()).to_string()
        };
        assert_eq!(of(b""), "6c62272e07bb014262b821756295c58d");
        assert_eq!(of(b"a"), "d228cb696f1a8caf78912b704e4a8964");
        assert_eq!(of(b"foobar"), "343e1662793c64bf6f0d3597ba446f18");
    }

    #[test]
    fn ids_as_text() {
        let text = "00112233445566778899aabbccddeeff";
        assert_eq!(text.parse::<Id>().unwrap().to_string(), text);
        for wrong in ["", "+0112233445566778899aabbccddeeff", &text[1..]] {
            assert!(wrong.parse::<Id>().is_err(), "{wrong}");
        }
    }
}
