//! Loads from variables of the image (`.ksyms`): where one follows the address of a symbol without a jump between, its address is the symbol's.

use crate::slot::{distance, is_jump, is_load, CALL, WIDE_LOAD};
use std::collections::BTreeSet;

/// `reg += number` of 64 bits.
const ADD: u8 = 0x07;
const MOVE: u8 = 0xbf;
const R0_TO_R5: u16 = 0b11_1111;

/// The instructions of a function that load from symbols; `is_symbol` says at which the address of one is taken.
pub fn loads(slots: &[[u8; 8]], is_symbol: impl Fn(usize) -> bool) -> BTreeSet<usize> {
    let target = |(pc, slot): (usize, &[u8; 8])| usize::try_from(pc as i64 + 1 + distance(*slot)).ok();
    let jumps = || slots.iter().enumerate().filter(|(_, slot)| is_jump(**slot));
    let targets: BTreeSet<usize> = jumps().filter_map(target).collect();
    let mut found = BTreeSet::new();
    // Registers that hold such an address.
    let mut held = 0u16;
    let mut second_half = false;
    for (pc, &slot) in slots.iter().enumerate() {
        if std::mem::take(&mut second_half) {
            continue;
        }
        if targets.contains(&pc) {
            held = 0;
        }
        let (dst, src) = (1 << (slot[1] & 0xf), 1 << (slot[1] >> 4));
        let set = |held: u16, is: bool| if is { held | dst } else { held & !dst };
        if is_load(slot) && held & src != 0 {
            found.insert(pc);
        }
        held = match slot[0] {
            WIDE_LOAD => {
                second_half = true;
                set(held, is_symbol(pc))
            }
            ADD => held,
            MOVE => set(held, held & src != 0),
            CALL => held & !R0_TO_R5,
            // What a store or a comparison is given stays as it is.
            opcode if matches!(opcode & 7, 2 | 3 | 5 | 6) => held,
            _ => set(held, false),
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use ubpf_rs::isa::assemble;

    #[test]
    fn a_load_is_a_symbols_as_long_as_its_address_is() {
        let found = |text: &str| {
            let bytes = assemble(text).unwrap();
            let slots = bytes.as_chunks::<8>().0;
            // The wide loads of 7 stand for symbols.
            let of = loads(slots, |pc| slots[pc][0] == WIDE_LOAD && slots[pc][4] == 7);
            of.into_iter().collect::<Vec<usize>>()
        };
        assert_eq!(found("r1 = 7 ll\nr0 = *(u32 *)(r1 + 0)\nexit"), [2]);
        assert_eq!(found("r1 = 8 ll\nr0 = *(u32 *)(r1 + 0)\nexit"), [0usize; 0]);
        assert_eq!(found("r1 = 7 ll\nr1 += 8\nr2 = r1\nr2 = *(u8 *)(r2 + 0)\nr2 = *(u8 *)(r2 + 0)\nexit"), [4]);
        assert_eq!(found("r6 = 7 ll\nr1 = 7 ll\ncall 1\nr6 = *(u8 *)(r6 + 0)\nr1 = *(u8 *)(r1 + 0)\nexit"), [5]);
        assert_eq!(found("r1 = 7 ll\n*(u8 *)(r1 + 0) = 1\nr1 *= 2\nr1 = *(u8 *)(r1 + 0)\nexit"), [0usize; 0]);
        // Another address may come from elsewhere.
        assert_eq!(found("r1 = 7 ll\nnext:\nr1 = *(u8 *)(r1 + 0)\nif r1 != 0 goto next\nexit"), [0usize; 0]);
    }
}
