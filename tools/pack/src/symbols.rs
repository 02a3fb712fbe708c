//! Loads from variables of the image (`.ksyms`): where one follows the address of a symbol without a jump between, its address is the symbol's.

use crate::{
    error::Error,
    slot::{dst, is_jump, is_load, src, target, Slot, ADD, CALL, MOVE, WIDE_LOAD},
    work::{Put, Steps},
};
use alloc::vec::Vec;
use ubpf_rs::platform::sort_by_in_pieces;

const R0_TO_R5: u16 = 0b11_1111;

/// Where jumps go to, ascending.
fn targets(slots: &[Slot], steps: &mut Steps<'_>) -> Result<Vec<usize>, Error> {
    let mut targets = Vec::new();
    for (pc, &slot) in slots.iter().enumerate().filter(|(_, slot)| is_jump(**slot)) {
        if let Some(target) = target(pc, slot) {
            targets.put(target)?;
        }
    }
    sort_by_in_pieces(&mut targets, |one, other| one < other, || steps.take(1))?;
    Ok(targets)
}

/// The instructions of a function that load from symbols, ascending; `is_symbol` says at which the address of one is taken.
pub fn loads(slots: &[Slot], is_symbol: impl Fn(usize) -> bool, steps: &mut Steps<'_>) -> Result<Vec<usize>, Error> {
    let mut targets = targets(slots, steps)?.into_iter().peekable();
    let mut found = Vec::new();
    // Registers that hold such an address.
    let mut held = 0u16;
    let mut second_half = false;
    for (pc, &slot) in slots.iter().enumerate() {
        let mut is_target = false;
        while let Some(target) = targets.next_if(|&target| target <= pc) {
            is_target |= target == pc;
        }
        if core::mem::take(&mut second_half) {
            continue;
        }
        if is_target {
            held = 0;
        }
        let (dst, src) = (1 << dst(slot), 1 << src(slot));
        let set = |held: u16, is: bool| if is { held | dst } else { held & !dst };
        if is_load(slot) && held & src != 0 {
            found.put(pc)?;
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
    Ok(found)
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
            let is_symbol = |pc: usize| slots[pc][0] == WIDE_LOAD && slots[pc][4] == 7;
            loads(slots, is_symbol, &mut Steps::new(&mut ubpf_rs::platform::no_pause)).unwrap()
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
