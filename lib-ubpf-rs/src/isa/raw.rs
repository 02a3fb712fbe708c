//! The 8-byte form of an instruction (RFC 9669 section 3) and its fields' values.

/// One slot as it stands in memory, little endian.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RawInsn {
    /// Opcode.
    pub opcode: u8,
    /// Destination register field.
    pub dst: u8,
    /// Source register field.
    pub src: u8,
    /// Offset field.
    pub off: i16,
    /// Immediate field.
    pub imm: i32,
}

impl RawInsn {
    /// Splits eight bytes.
    pub const fn from_bytes(b: [u8; 8]) -> RawInsn {
        let [opcode, regs, o0, o1, i0, i1, i2, i3] = b;
        RawInsn {
            opcode,
            dst: regs & 0xf,
            src: regs >> 4,
            off: i16::from_le_bytes([o0, o1]),
            imm: i32::from_le_bytes([i0, i1, i2, i3]),
        }
    }

    /// Joins the fields.
    pub const fn to_bytes(self) -> [u8; 8] {
        let [o0, o1] = self.off.to_le_bytes();
        let [i0, i1, i2, i3] = self.imm.to_le_bytes();
        [self.opcode, (self.src << 4) | (self.dst & 0xf), o0, o1, i0, i1, i2, i3]
    }
}
