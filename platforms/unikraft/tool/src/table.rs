//! The table of names in an image: a magic word, its capacity, how much of it is used (`ukglue.c`), and then:
//!
//! - the [`id`](crate::id) of the image, 16 bytes;
//! - the address of the first function, `u64`, and the number of names, `u32`;
//! - for each name, in order of address, eight bytes: the address minus that of the first function, `u32`; where the name begins among the
//!   names, 24 bits; the stub: its kind (0 none, 1 nops, 2 a nop of the `-pg` kind, 3 calls `__cyg_profile_func_enter`) in two bits, its
//!   distance from the entry in six. Of several names of one address that of the source comes last, and one has the stub;
//! - numbers of these in the order of the names, then of addresses: `u16` each, `u32` where there are more than 65,536;
//! - the names, each ended by a zero.
//!
//! Numbers are little-endian. Nothing moves: the table is filled in place.

use crate::{elf, names::Function};
use std::fmt;

/// Marks the table, and says in which format it is.
pub const MAGIC: &[u8; 16] = b"ubpf-rs\x1bsymtab\x04\0";

/// The id of an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Id(pub [u8; 16]);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() == 32 && text.bytes().all(|c| c.is_ascii_hexdigit());
        let id = u128::from_str_radix(text, 16).ok().filter(|_| digits);
        id.map(|id| Self(id.to_be_bytes())).ok_or_else(|| "an image's id has 32 hexadecimal digits".into())
    }
}

/// What is written behind the id.
pub fn encode(functions: &[Function<'_>]) -> Result<Vec<u8>, String> {
    let base = functions.first().ok_or("no function symbols")?.address;
    let mut functions: Vec<&Function<'_>> = functions.iter().collect();
    let mangled = |name: &str| name.starts_with("_Z") || name.starts_with("_R");
    functions.sort_by_key(|function| (function.address, !mangled(&function.name), &function.name));
    let mut by_name: Vec<u32> = (0..functions.len() as u32).collect();
    by_name.sort_by_key(|number| (&functions[*number as usize].name, functions[*number as usize].address));
    let mut table = base.to_le_bytes().to_vec();
    table.extend((functions.len() as u32).to_le_bytes());
    let mut names = Vec::new();
    for function in &functions {
        let distance =
            u32::try_from(function.address - base).map_err(|_| "the text is larger than 4 GiB".to_string())?;
        let (kind, behind) = function.stub;
        if names.len() >> 24 != 0 || behind >> 6 != 0 || kind > 3 {
            return Err("names of more than 16 MiB, or a stub far behind its function".into());
        }
        table.extend(distance.to_le_bytes());
        table.extend((names.len() as u32 | u32::from(kind | behind << 2) << 24).to_le_bytes());
        names.extend(function.name.bytes().chain([0]));
    }
    let width = if by_name.len() <= 1 << 16 { 2 } else { 4 };
    table.extend(by_name.iter().flat_map(|number| number.to_le_bytes().into_iter().take(width)));
    table.extend(names);
    Ok(table)
}

/// Puts the table into its place and says how large that is.
pub fn fill(file: &mut [u8], id: Id, table: &[u8]) -> Result<usize, String> {
    let (head, capacity) = place(file)?;
    let table = [&id.0, table].concat();
    if table.len() > capacity {
        return Err(format!(
            "names need {} bytes, there are {capacity}: set LIBUBPF_RS_SYMBOLS_KIB to {} or more",
            table.len(),
            table.len().div_ceil(1024)
        ));
    }
    let used = (table.len() as u32).to_le_bytes();
    let space = &mut file[head + 4..head + 8 + capacity];
    space.fill(0);
    space[..4].copy_from_slice(&used);
    space[4..][..table.len()].copy_from_slice(&table);
    Ok(capacity)
}

/// The id that stands in the table of an image; `None` as long as nothing was written there.
pub fn stored(file: &[u8]) -> Result<Option<Id>, String> {
    let (head, _) = place(file)?;
    let used = elf::u32_at(file, head + 4).unwrap_or(0);
    let id = file.get(head + 8..head + 24).and_then(|id| id.try_into().ok());
    Ok(id.filter(|_| used >= 16).map(Id))
}

/// Where the numbers of the only table stand, and the capacity: all of it lies in the file.
fn place(file: &[u8]) -> Result<(usize, usize), String> {
    let mut found = file.windows(MAGIC.len()).enumerate().filter(|(_, window)| window == MAGIC).map(|(at, _)| at);
    let (Some(at), None) = (found.next(), found.next()) else {
        let count = file.windows(MAGIC.len()).filter(|w| w == MAGIC).count();
        return Err(format!("{count} places for names, one expected; is LIBUBPF_RS linked?"));
    };
    let head = at + MAGIC.len();
    let ends = || "the file ends in the table".to_string();
    let capacity = elf::u32_at(file, head).ok_or_else(ends)? as usize;
    match file.len() - head >= capacity.saturating_add(8) {
        true => Ok((head, capacity)),
        false => Err(ends()),
    }
}
