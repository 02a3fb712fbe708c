//! The table of names in an image: a magic word, its capacity, how much of it is used (`ukglue.c`), and then:
//!
//! - the [`id`](crate::id) of the image, 16 bytes;
//! - the address of the first function, `u64`, and the number of names, `u32`;
//! - for each name, in order of address: `u32` address minus that of the first function, `u8` kind of stub (0 none, 1 nops, 2 a nop of
//!   the `-pg` kind, 3 calls `__cyg_profile_func_enter`), `u8` distance of the stub from the entry, `u16` length of the name, the name.
//!   Several names of one address come after each other; the first has the stub.
//!
//! Numbers are little-endian. Nothing moves: the table is filled in place.

use crate::{elf, id::Id, names::Function};

/// Marks the table, and says in which format it is.
pub const MAGIC: &[u8; 16] = b"ubpf-rs\x1bsymtab\x03\0";

/// What is written behind the id.
pub fn encode(functions: &[Function<'_>]) -> Result<Vec<u8>, String> {
    let base = functions.first().ok_or("no function symbols")?.address;
    let mut table = base.to_le_bytes().to_vec();
    table.extend((functions.len() as u32).to_le_bytes());
    for function in functions {
        let distance =
            u32::try_from(function.address - base).map_err(|_| "the text is larger than 4 GiB".to_string())?;
        let name = function.name.as_bytes();
        let len = u16::try_from(name.len()).map_err(|_| "a name is too long".to_string())?;
        table.extend(distance.to_le_bytes());
        table.extend([function.stub.0, function.stub.1]);
        table.extend(len.to_le_bytes());
        table.extend(name);
    }
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
