//! Instruction slots: what is read of them, and put into them, without decoding.

/// An instruction slot.
pub type Slot = [u8; 8];

pub const WIDE_LOAD: u8 = 0x18;
pub const CALL: u8 = 0x85;
pub const EXIT: u8 = 0x95;
/// `gotol`, which has its distance in the immediate.
pub const LONG_JUMP: u8 = 0x06;
pub const JUMP: u8 = 0x05;
pub const JUMP_UNEQUAL: u8 = 0x55;
/// Of registers, and of numbers.
pub const MOVE: u8 = 0xbf;
pub const SET: u8 = 0xb7;
pub const ADD: u8 = 0x07;
/// Of 64 bits.
pub const LOAD: u8 = 0x79;
pub const STORE: u8 = 0x7b;
/// Source field of a call of a function of the program.
pub const LOCAL: u8 = 1;

/// A slot of these fields.
pub const fn slot(opcode: u8, dst: u8, src: u8, off: i16, imm: i32) -> Slot {
    let ([low, high], [i0, i1, i2, i3]) = (off.to_le_bytes(), imm.to_le_bytes());
    [opcode, src << 4 | dst, low, high, i0, i1, i2, i3]
}

/// `dst = src`
pub const fn moved(dst: u8, src: u8) -> Slot {
    slot(MOVE, dst, src, 0, 0)
}

/// `dst = number`
pub const fn set(dst: u8, number: i32) -> Slot {
    slot(SET, dst, 0, 0, number)
}

/// `dst += number`
pub const fn add(dst: u8, number: i32) -> Slot {
    slot(ADD, dst, 0, 0, number)
}

/// `dst = *(u64 *)(src + off)`
pub const fn load(dst: u8, src: u8, off: i16) -> Slot {
    slot(LOAD, dst, src, off, 0)
}

/// `*(u64 *)(dst + off) = src`
pub const fn store(dst: u8, off: i16, src: u8) -> Slot {
    slot(STORE, dst, src, off, 0)
}

/// `call helper`
pub const fn call(helper: u8) -> Slot {
    slot(CALL, 0, 0, 0, helper as i32)
}

/// A call of a function of the program; how far it is, is put in later.
pub const CALL_LOCAL: Slot = slot(CALL, 0, LOCAL, 0, 0);

/// `exit`
pub const END: Slot = slot(EXIT, 0, 0, 0, 0);

pub fn dst(slot: Slot) -> u8 {
    slot[1] & 0xf
}

pub fn src(slot: Slot) -> u8 {
    slot[1] >> 4
}

pub fn set_src(slot: &mut Slot, src: u8) {
    slot[1] = src << 4 | dst(*slot);
}

/// Makes what a wide load or a call refers to the object of this kind (the source register's field) and number.
pub fn set_ref(slot: &mut Slot, kind: u8, number: u32) {
    set_src(slot, kind);
    set_imm(slot, number);
}

pub fn off(slot: Slot) -> i16 {
    i16::from_le_bytes([slot[2], slot[3]])
}

pub fn set_off(slot: &mut Slot, off: i16) {
    [slot[2], slot[3]] = off.to_le_bytes();
}

pub fn imm(slot: Slot) -> i64 {
    i64::from(i32::from_le_bytes([slot[4], slot[5], slot[6], slot[7]]))
}

pub fn set_imm(slot: &mut Slot, imm: u32) {
    [slot[4], slot[5], slot[6], slot[7]] = imm.to_le_bytes();
}

/// Whether it is a jump within its function: no call and no exit.
pub fn is_jump(slot: Slot) -> bool {
    matches!(slot[0] & 7, 5 | 6) && !matches!(slot[0] & 0xf0, 0x80 | 0x90)
}

/// How far a jump leads, from the instruction behind it.
pub fn distance(slot: Slot) -> i64 {
    match slot[0] {
        LONG_JUMP => imm(slot),
        _ => off(slot).into(),
    }
}

/// Where a jump at `pc` leads.
pub fn target(pc: usize, slot: Slot) -> Option<usize> {
    pc.checked_add(1)?.checked_add_signed(isize::try_from(distance(slot)).ok()?)
}

/// How far it is from the instruction behind `from` to `to`.
pub fn between(from: usize, to: usize) -> i64 {
    (to as i64).wrapping_sub(from as i64).wrapping_sub(1)
}

/// Whether it loads from memory.
pub fn is_load(slot: Slot) -> bool {
    slot[0] & 7 == 1
}
