//! Whether a text is one of big-endian instructions. The file does not say so, and much of such a text can be read the other way
//! round; but then its numbers are large where those of programs are small, and registers are read that nothing has set.

use super::limits::PIECE;
use crate::{
    isa::{self, Insn, RawInsn, Reg},
    platform::{Cancelled, Pause},
};

/// What speaks for each byte order.
#[derive(Default)]
struct Signs {
    little: u32,
    big: u32,
}

/// Whether `bytes` are instructions in big-endian order, and not those of a program with unusual numbers.
pub(super) fn is_big_endian(bytes: &[u8], pause: &mut Pause<'_>) -> Result<bool, Cancelled> {
    let (slots, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Ok(false);
    }
    let mut signs = Signs::default();
    for piece in slots.chunks(PIECE) {
        for slot in piece {
            signs.numbers(*slot);
            if signs.little > 0 {
                return Ok(false);
            }
        }
        pause()?;
    }
    signs.registers(slots, pause)?;
    Ok(signs.little == 0 && signs.big >= 2 && decodes_swapped(slots, pause)?)
}

impl Signs {
    fn numbers(&mut self, slot: [u8; 8]) {
        let raw = RawInsn::from_bytes(slot);
        let swapped = RawInsn::from_bytes(swapped(slot));
        self.number((raw.imm.into(), swapped.imm.into()), 1 << 16);
        self.number((raw.off.into(), swapped.off.into()), 1 << 8);
    }

    fn registers(&mut self, slots: &[[u8; 8]], pause: &mut Pause<'_>) -> Result<(), Cancelled> {
        let (mut little, mut big) = (Straight::new(), Straight::new());
        for (at, slot) in slots.iter().enumerate() {
            if little.0.is_none() && big.0.is_none() {
                return Ok(());
            }
            // Each slot is decoded twice, with memory of its own.
            if at.is_multiple_of(PIECE / 4) {
                pause()?;
            }
            let [raw, swapped] = [*slot, swapped(*slot)].map(RawInsn::from_bytes);
            self.big += u32::from(little.reads_unset(slot, raw));
            self.little += u32::from(big.reads_unset(slot, swapped));
        }
        Ok(())
    }

    /// One field, read both ways.
    fn number(&mut self, (little, big): (i64, i64), limit: u64) {
        match (little.unsigned_abs() < limit, big.unsigned_abs() < limit) {
            (true, false) => self.little += 1,
            (false, true) => self.big += 1,
            _ => {}
        }
    }
}

/// The registers that are set, up to the first jump, call or exit.
struct Straight(Option<u16>);

impl Straight {
    fn new() -> Straight {
        Straight(Some(1 << 1 | 1 << 2 | 1 << 10))
    }

    /// Whether the next instruction, read in this order, is one that reads a register nothing has set.
    fn reads_unset(&mut self, slot: &[u8; 8], raw: RawInsn) -> bool {
        let Some(set) = self.0 else {
            return false;
        };
        let mut wide = [0; 16];
        wide[..8].copy_from_slice(&raw.to_bytes());
        // The second slot of a wide instruction looks like nothing else.
        let is_wide = slot[0] == 0x18;
        let one = isa::decode(if is_wide { &wide } else { &wide[..8] });
        let insn = one.ok().and_then(|list| list.first().copied());
        self.0 = match insn {
            None if slot[0] == 0 => Some(set),
            None | Some(Insn::Jump { .. } | Insn::Branch { .. } | Insn::Call(_) | Insn::Exit) => None,
            Some(insn) => Some(set | insn.written().map_or(0, bit)),
        };
        let read = insn.map_or([None; 3], |insn| insn.read());
        read.into_iter().flatten().any(|reg| set & bit(reg) == 0)
    }
}

fn bit(reg: Reg) -> u16 {
    1 << reg.number()
}

/// The same instruction in the other byte order: the halves of the registers' byte, offset and number change places.
fn swapped(slot: [u8; 8]) -> [u8; 8] {
    let [opcode, registers, o0, o1, i0, i1, i2, i3] = slot;
    [opcode, registers.rotate_left(4), o1, o0, i3, i2, i1, i0]
}

fn decodes_swapped(slots: &[[u8; 8]], pause: &mut Pause<'_>) -> Result<bool, Cancelled> {
    let mut bytes = alloc::vec::Vec::new();
    if bytes.try_reserve_exact(slots.len().saturating_mul(8)).is_err() {
        return Ok(false);
    }
    for piece in slots.chunks(PIECE) {
        piece.iter().for_each(|slot| bytes.extend(swapped(*slot)));
        pause()?;
    }
    let mut insns = alloc::vec::Vec::new();
    loop {
        match isa::decode_some(&bytes, &mut insns, PIECE) {
            Ok(true) => pause()?,
            done => return Ok(done.is_ok()),
        }
    }
}
