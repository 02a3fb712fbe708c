//! The virtio-serial multiport protocol (VIRTIO 1.2, section 5.3) as a state machine without device access.
//!
//! - [`control`]: the messages of the control queues, from and to bytes.
//! - [`Ports`]: which ports exist, what they are called, who has them open; says what to answer.
//! - [`ByteRing`]: bytes waiting for the reader or for the device.
//! - [`Queue`]: a virtqueue with its buffers, in memory that the platform provides; survives a device that keeps some.
//! - [`Driver`]: one named port over any [`Queues`]: connects, reads, writes, never blocks, never loses input.
//!
//! Everything that comes from the device is untrusted: lengths are clamped, messages that make no sense are
//! counted and ignored. There is no allocation and no unbounded work per call.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod control;
mod driver;
mod ports;
mod queue;
mod ring;
mod typed;

pub use control::Message;
pub use driver::{Counters, Driver, Input, Queues, CONTROL_BYTES, RECEIVE_BYTES, TRANSMIT_BYTES};
pub use ports::{Change, PortId, Ports, MAX_NAME};
pub use queue::{Areas, Buffers, Offer, Queue, MOST_BUFFERS};
pub use ring::ByteRing;
pub use typed::INTERRUPT;

/// Feature bit: several ports and the control queues.
pub const FEATURE_MULTIPORT: u64 = 1 << 1;

/// Index of the queue on which the device sends control messages.
pub const CONTROL_RECEIVE_QUEUE: u16 = 2;

/// Index of the queue on which the driver sends control messages.
pub const CONTROL_TRANSMIT_QUEUE: u16 = 3;

/// Index of the queue on which `port` receives.
pub const fn receive_queue(port: PortId) -> u16 {
    match port.0 {
        0 => 0,
        n => (n as u16).saturating_mul(2).saturating_add(2),
    }
}

/// Index of the queue on which `port` transmits.
pub const fn transmit_queue(port: PortId) -> u16 {
    receive_queue(port).saturating_add(1)
}

/// How many queues a device with this many ports has (port 0 and the control queues included).
pub const fn queue_count(ports: u8) -> u16 {
    (ports as u16).saturating_mul(2).saturating_add(2)
}
