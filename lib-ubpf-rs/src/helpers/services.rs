//! What helpers ask of the layers above, one trait a service. No method has a default: a host says of each service what it gives, also
//! when that is nothing.
//!
//! Every method is on the path from a hook: it must not block, allocate, or take a lock that a thread can hold.

use super::RingLayout;
use crate::{
    maps::TwoKeyMap,
    platform::{Thread, Ticks},
};

/// Where a host keeps the two-key map.
#[derive(Clone, Copy)]
pub enum TwoKey<'a> {
    /// In a map, which machine code may also use by itself.
    Map(&'a TwoKeyMap),
    /// In something that behaves like one, for tests.
    Model(&'a dyn TwoKeyModel),
    /// Nowhere: nothing is found there, and nothing is kept.
    Nothing,
}

/// What behaves like the two-key map.
pub trait TwoKeyModel {
    /// Value under the keys.
    fn get(&self, key1: u64, key2: u64) -> Option<u64>;
    /// Inserts or replaces.
    fn put(&self, key1: u64, key2: u64, value: u64);
    /// Removes.
    fn del(&self, key1: u64, key2: u64);
}

/// The two-key map.
pub trait TwoKeyMaps {
    /// Where it is.
    fn two_key(&self) -> TwoKey<'_>;
}

/// What is known of the image's functions and variables.
pub trait Names {
    /// Address of a symbol of the image.
    fn symbol_address(&self, name: &[u8]) -> Option<u64>;
    /// Address by which a traced function is known (its entry stub's return address).
    fn trace_address(&self, name: &[u8]) -> Option<u64>;
}

/// The way to the console.
pub trait Output {
    /// Queues `Notify: <function at address>`.
    fn notify(&self, address: u64);
    /// Queues text.
    fn puts(&self, text: &[u8]);
    /// The output ring, when machine code may queue there in place of [`notify`](Self::notify).
    fn ring(&self) -> Option<RingLayout>;
}

/// The application's memory.
pub trait ReadMemory {
    /// Fault-safe read; how many leading bytes were readable.
    fn probe_read(&self, address: u64, dst: &mut [u8]) -> usize;
}

/// The time.
pub trait Time {
    /// Monotonic time in nanoseconds.
    fn now_ns(&self) -> u64;
    /// How machine code reads the time in place of [`now_ns`](Self::now_ns).
    fn ticks(&self) -> Option<Ticks>;
}

/// The call of a traced function that a program runs at.
pub trait TracedCall {
    /// That call; `None` for a program that is run by itself.
    fn traced(&self) -> Option<Traced>;
    /// Writes where the function begins, and behind it the addresses to which the calls return that led to it, the innermost first; how many.
    fn stack(&self, out: &mut [u64]) -> usize;
}

/// A call of a traced function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Traced {
    /// Where the function begins.
    pub start: u64,
    /// What it was given in registers; `None` where that is not known.
    pub arguments: Option<[u64; 6]>,
    /// How many of them it has, as far as somebody said so; else all of them.
    pub argument_count: usize,
    /// What it returns; `None` at its entry.
    pub result: Option<u64>,
    /// The number that the program was attached with.
    pub cookie: u64,
}

/// The thread that a program runs in.
pub trait Threads {
    /// Its numbers.
    fn thread(&self) -> Thread;
    /// Writes its name, as much of it as there is room for; how many bytes it has then.
    fn thread_name(&self, into: &mut [u8]) -> usize;
}

/// All services.
pub trait Host: TwoKeyMaps + Names + Output + ReadMemory + Time + TracedCall + Threads + Sync {}

impl<T: TwoKeyMaps + Names + Output + ReadMemory + Time + TracedCall + Threads + Sync> Host for T {}
