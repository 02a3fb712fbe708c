//! The helper registry: name, number per ABI, signature, function. Knows nothing about engines.
#![forbid(unsafe_code)]

mod builtin;
mod inline;
mod registry;

pub use builtin::MAP_MISS;
pub use inline::{Inline, Needs, Places, RingLayout};
pub use registry::{
    is_name, CHelper, Helper, HelperCall, HelperFault, HelperFn, RegisterError, Registry, RustHelper, LONGEST_NAME,
    MAX_NUMBER,
};

use crate::{maps::TwoKeyMap, platform::Ticks};

/// What helpers ask of the layers above. Every method is on the path from a hook: it must not block, allocate, or
/// take a lock that a thread can hold. What a host does not have it leaves out: helpers then find nothing, and their output is lost.
pub trait Host: Sync {
    /// The two-key map, which machine code may also use in place of [`map2_get`](Self::map2_get) and
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
    fn map2_get(&self, key1: u64, key2: u64) -> Option<u64> {
        self.map2()?.get(key1, key2)
    }
    /// Inserts or replaces; false when the map is full or busy (counted by the map).
    fn map2_put(&self, key1: u64, key2: u64, value: u64) -> bool {
        self.map2().is_some_and(|map| map.put(key1, key2, value).is_ok())
    }
    /// Adds to a value, none counting as 0; false when the map is full or busy (counted by the map).
    fn map2_add(&self, key1: u64, key2: u64, more: u64) -> bool {
        match self.map2() {
            Some(map) => map.add_to(key1, key2, more).is_ok(),
            None => {
                let before = self.map2_get(key1, key2).unwrap_or(0);
                self.map2_put(key1, key2, before.wrapping_add(more))
            }
        }
    }
    /// Removes; whether there was an entry.
    fn map2_del(&self, key1: u64, key2: u64) -> bool {
        self.map2().is_some_and(|map| map.del(key1, key2))
    }
    /// Address of a symbol of the image.
    fn symbol_address(&self, _name: &[u8]) -> Option<u64> {
        None
    }
    /// Address by which a traced function is known (its entry stub's return address).
    fn trace_address(&self, _name: &[u8]) -> Option<u64> {
        None
    }
    /// Queues `Notify: <function at address>` for the console.
    fn notify(&self, _address: u64) {}
    /// Queues text for the console.
    fn puts(&self, _text: &[u8]) {}
    /// Fault-safe read of application memory; how many leading bytes were readable.
    fn probe_read(&self, _address: u64, _dst: &mut [u8]) -> usize {
        0
    }
    /// Monotonic time in nanoseconds.
    fn now_ns(&self) -> u64;
}
