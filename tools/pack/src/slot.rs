//! Instruction slots: what is read of them, and put into them, without decoding.

pub const WIDE_LOAD: u8 = 0x18;
pub const CALL: u8 = 0x85;
/// `gotol`, which has its distance in the immediate.
pub const LONG_JUMP: u8 = 0x06;
/// Source field of a call of a function of the program.
pub const LOCAL: u8 = 1;

pub fn imm(slot: [u8; 8]) -> i64 {
    i64::from(i32::from_le_bytes([slot[4], slot[5], slot[6], slot[7]]))
}

pub fn set_imm(slot: &mut [u8; 8], imm: u32) {
    slot[4..].copy_from_slice(&imm.to_le_bytes());
}

/// Whether it is a jump within its function: no call and no exit.
pub fn is_jump(slot: [u8; 8]) -> bool {
    matches!(slot[0] & 7, 5 | 6) && !matches!(slot[0] & 0xf0, 0x80 | 0x90)
}

/// How far a jump leads, from the instruction behind it.
pub fn distance(slot: [u8; 8]) -> i64 {
    match slot[0] {
        LONG_JUMP => imm(slot),
        _ => i64::from(i16::from_le_bytes([slot[2], slot[3]])),
    }
}

/// Whether it loads from memory.
pub fn is_load(slot: [u8; 8]) -> bool {
    slot[0] & 7 == 1
}
