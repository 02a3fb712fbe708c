//! Control messages: an 8-byte little-endian header (port, event, value), after it perhaps a name.

/// Bytes of the header.
pub const HEADER_BYTES: usize = 8;

/// The driver is ready for control messages (value 1).
pub const DEVICE_READY: u16 = 0;
/// A port appeared.
pub const PORT_ADD: u16 = 1;
/// A port vanished.
pub const PORT_REMOVE: u16 = 2;
/// The driver is ready to use the port (value 1) or refuses it (value 0).
pub const PORT_READY: u16 = 3;
/// The port is a console.
pub const CONSOLE_PORT: u16 = 4;
/// The console's size changed.
pub const RESIZE: u16 = 5;
/// The other side opened (value 1) or closed (value 0) the port.
pub const PORT_OPEN: u16 = 6;
/// The port's name follows.
pub const PORT_NAME: u16 = 7;

/// The header of a control message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// Number of the port (not checked).
    pub port: u32,
    /// What happened: one of the constants of this module, or anything.
    pub event: u16,
    /// Meaning depends on the event.
    pub value: u16,
}

impl Message {
    /// Splits bytes into header and rest; `None` when they are too few.
    pub fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let ([p0, p1, p2, p3, e0, e1, v0, v1], rest) = bytes.split_first_chunk()?;
        let message = Self {
            port: u32::from_le_bytes([*p0, *p1, *p2, *p3]),
            event: u16::from_le_bytes([*e0, *e1]),
            value: u16::from_le_bytes([*v0, *v1]),
        };
        Some((message, rest))
    }

    /// The header's bytes.
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let [p0, p1, p2, p3] = self.port.to_le_bytes();
        let [e0, e1] = self.event.to_le_bytes();
        let [v0, v1] = self.value.to_le_bytes();
        [p0, p1, p2, p3, e0, e1, v0, v1]
    }
}
