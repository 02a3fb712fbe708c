//! The helper registry: name, number per ABI, signature, function. Knows nothing about engines.
#![forbid(unsafe_code)]

mod builtin;
mod inline;
mod registry;

pub use builtin::MAP_MISS;
pub use inline::{Inline, Needs, Places, RingLayout};
pub use registry::{
    CHelper, Helper, HelperCall, HelperFault, HelperFn, RegisterError, Registry, RustHelper,
};

use crate::{maps::TwoKeyMap, platform::Ticks};

/// What helpers ask of the layers above. Every method is on the path from a hook: it must not block, allocate, or
/// take a lock that a thread can hold.
pub trait Host: Sync {
    /// The two-key map itself, when machine code may use it in place of [`map2_get`](Self::map2_get) and
    /// [`map2_put`](Self::map2_put).
    fn map2(&self) -> Option<&TwoKeyMap> {
        None
    }
    /// The output ring, when machine code may queue there in place of [`notify`](Self::notify).
    fn output(&self) -> Option<RingLayout> {
        None
    }
    /// How machine code reads the time in place of [`now_ns`](Self::now_ns).
    fn ticks(&self) -> Option<Ticks> {
        None
    }
    /// Value in the two-key map.
    fn map2_get(&self, key1: u64, key2: u64) -> Option<u64>;
    /// Inserts or replaces; false when the map is full or busy (counted by the map).
    fn map2_put(&self, key1: u64, key2: u64, value: u64) -> bool;
    /// Removes; whether there was an entry.
    fn map2_del(&self, key1: u64, key2: u64) -> bool;
    /// Address of a symbol of the image.
    fn symbol_address(&self, name: &[u8]) -> Option<u64>;
    /// Address by which a traced function is known (its entry stub's return address).
    fn trace_address(&self, name: &[u8]) -> Option<u64>;
    /// Queues `Notify: <function at address>` for the console.
    fn notify(&self, address: u64);
    /// Queues text for the console.
    fn puts(&self, text: &[u8]);
    /// Fault-safe read of application memory; how many leading bytes were readable.
    fn probe_read(&self, address: u64, dst: &mut [u8]) -> usize;
    /// Monotonic time in nanoseconds.
    fn now_ns(&self) -> u64;
}
