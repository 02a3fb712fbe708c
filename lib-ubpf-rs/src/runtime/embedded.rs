//! Symbols as a step after linking leaves them in an image (`platforms/unikraft/tool/src/table.rs` has the format): in order both of
//! addresses and of names, so that they are used where they stand.

/// The symbols of an image, all of them functions. A table that lies gives other names, or none.
#[derive(Clone, Copy)]
pub struct Embedded {
    /// The address from which the others count.
    base: u64,
    count: usize,
    /// Eight bytes for each symbol, ascending by address: how far it is from `base`, and where its name begins, with the stub in the
    /// highest byte.
    entries: &'static [u8],
    /// Bytes of a number in `by_name`.
    width: usize,
    /// Numbers of the symbols in order of their names.
    by_name: &'static [u8],
    /// Each ends with a zero.
    names: &'static [u8],
}

/// Where a number of two bytes is enough for all symbols.
const NARROW: usize = 1 << 16;

impl Embedded {
    /// Reads what stands at the beginning of a table; `None` where that is none.
    pub fn new(table: &'static [u8]) -> Option<Self> {
        let (base, rest) = table.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let (base, count) = (u64::from_le_bytes(*base), u32::from_le_bytes(*count) as usize);
        let (entries, rest) = rest.split_at_checked(count.checked_mul(8)?)?;
        let width = if count <= NARROW { 2 } else { 4 };
        let (by_name, names) = rest.split_at_checked(count.checked_mul(width)?)?;
        Some(Self { base, count, entries, width, by_name, names })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where the functions have their stubs of this kind.
    pub fn stubs(&self, kind: u8) -> impl Iterator<Item = u64> + '_ {
        (0..self.count).filter_map(move |at| {
            let (distance, rest) = self.entry(at)?;
            let stub = (rest >> 24) as u8;
            (stub & 3 == kind).then(|| self.base.wrapping_add(distance.into()).wrapping_add(u64::from(stub >> 2)))
        })
    }

    fn entry(&self, at: usize) -> Option<(u32, u32)> {
        let (first, second) = self.entries.get(at.checked_mul(8)?..)?.split_first_chunk::<4>()?;
        Some((u32::from_le_bytes(*first), u32::from_le_bytes(*second.first_chunk()?)))
    }

    pub(super) fn address(&self, at: usize) -> u64 {
        self.entry(at).map_or(0, |(distance, _)| self.base.wrapping_add(distance.into()))
    }

    pub(super) fn name(&self, at: usize) -> &'static [u8] {
        let start = self.entry(at).map_or(usize::MAX, |(_, rest)| (rest & 0xff_ffff) as usize);
        let names = self.names.get(start..).unwrap_or(&[]);
        names.split(|byte| *byte == 0).next().unwrap_or(&[])
    }

    /// The number of the symbol that has this place in the order of names.
    pub(super) fn by_name(&self, place: usize) -> usize {
        let bytes = place.checked_mul(self.width).and_then(|at| self.by_name.get(at..)?.get(..self.width));
        bytes.unwrap_or(&[]).iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::SymbolTable;
    use std::{boxed::Box, vec::Vec};

    /// `b` at 0x1010 with a stub of kind 1 four bytes behind, `a` at 0x1000.
    fn bytes() -> Vec<u8> {
        let mut bytes = 0x1000u64.to_le_bytes().to_vec();
        for word in [2, 0, 0, 0x10, 2 | (1 | 4 << 2) << 24] {
            bytes.extend(u32::to_le_bytes(word));
        }
        bytes.extend([0, 0, 1, 0]);
        bytes.extend(b"a\0b\0");
        bytes
    }

    fn embedded(bytes: &[u8]) -> Option<Embedded> {
        Embedded::new(Box::leak(bytes.to_vec().into_boxed_slice()))
    }

    #[test]
    fn names_addresses_and_stubs_are_read_where_they_stand() {
        let embedded = embedded(&bytes()).expect("a table");
        assert_eq!(embedded.stubs(1).collect::<Vec<_>>(), [0x1014]);
        assert_eq!(embedded.stubs(2).count(), 0);
        let table = SymbolTable::from(embedded);
        assert_eq!((table.address(b"b"), table.address(b"a"), table.address(b"c")), (Some(0x1010), Some(0x1000), None));
        let (symbol, distance) = table.containing(0x1019).expect("b");
        assert_eq!((symbol.name, symbol.function, distance), ("b", true, 9));
        assert_eq!(table.by_name(1).map(|s| s.name).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_table_that_lies_ends_nothing() {
        let whole = bytes();
        for at in 0..whole.len() {
            let _ = embedded(&whole[..at]).map(SymbolTable::from).map(|table| table.iter().count());
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                let Some(embedded) = embedded(&changed).filter(|embedded| embedded.len() < 1000) else {
                    continue;
                };
                let table = SymbolTable::from(embedded);
                assert!(table.iter().count() == table.by_name(0).len());
                let _ = (table.address(b"a"), table.containing(0x1005).is_some(), table.at(0x1000).count());
            }
        }
    }
}
