//! CRC-32 as zlib and Ethernet have it (polynomial 0xedb88320, reflected), for packages and uploads: it finds what transfers damage.

const TABLE: [u32; 256] = table();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // evaluated by the compiler
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// CRC-32 of what comes in pieces.
pub struct Crc32(u32);

impl Default for Crc32 {
    fn default() -> Self {
        Self::new()
    }
}

impl Crc32 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(u32::MAX)
    }

    /// Of `bytes` as well.
    pub fn add(&mut self, bytes: &[u8]) {
        let step = |crc: u32, &byte: &u8| {
            let index = (crc ^ u32::from(byte)) & 0xff;
            (crc >> 8) ^ TABLE.get(index as usize).copied().unwrap_or(0)
        };
        self.0 = bytes.iter().fold(self.0, step);
    }

    /// Of all that was added.
    pub fn value(&self) -> u32 {
        !self.0
    }
}

/// CRC-32 of `bytes`.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc32::new();
    crc.add(bytes);
    crc.value()
}

#[cfg(test)]
mod tests {
    #[test]
    fn check_value_of_the_standard() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(super::crc32(b""), 0);
    }
}
