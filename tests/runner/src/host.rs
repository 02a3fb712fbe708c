//! Surroundings of a program that are the same in every run.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use spin::Mutex;
use ubpf_rs::{
    helpers::{
        Names, Output, ReadMemory, RingLayout, Threads, Time, Traced, TracedCall, TwoKey, TwoKeyMaps, TwoKeyModel,
    },
    platform::{copy_of, Thread, Ticks},
};

/// Symbols that are no traced functions: one that cannot be read, one that can.
const SYMBOLS: &[(&[u8], u64)] = &[(b"known", 0x4000), (b"bytes", READABLE.start)];
/// By what the traced function `myfun` is known.
const TRACED: (&[u8], u64) = (b"myfun", 0x5005);
/// Application memory that can be read: 16 bytes, each holding its distance from the first plus 0x10.
const READABLE: core::ops::Range<u64> = 0x6000..0x6010;
/// The thread that everything runs in.
const THREAD: Thread = Thread { process: 7, thread: 12 };
const THREAD_NAME: &str = "worker";
/// The stack: where a function begins, and two calls that led to it.
const STACK: [u64; 3] = [0x7000, 0x7105, 0x7205];
/// What the clock shows.
const NOW: u64 = 123_456_789;

/// The surroundings.
#[derive(Default)]
pub struct FixedHost {
    /// The two-key map.
    pub map: Mutex<BTreeMap<(u64, u64), u64>>,
    /// Lines printed.
    pub output: Mutex<Vec<String>>,
}

impl TwoKeyMaps for FixedHost {
    fn two_key(&self) -> TwoKey<'_> {
        TwoKey::Model(self)
    }
}

impl TwoKeyModel for FixedHost {
    fn get(&self, key1: u64, key2: u64) -> Option<u64> {
        self.map.lock().get(&(key1, key2)).copied()
    }
    fn put(&self, key1: u64, key2: u64, value: u64) {
        self.map.lock().insert((key1, key2), value);
    }
    fn del(&self, key1: u64, key2: u64) {
        self.map.lock().remove(&(key1, key2));
    }
}

impl Names for FixedHost {
    fn symbol_address(&self, name: &[u8]) -> Option<u64> {
        let known = SYMBOLS.iter().find(|symbol| symbol.0 == name);
        known.map(|symbol| symbol.1)
    }
    fn trace_address(&self, name: &[u8]) -> Option<u64> {
        (name == TRACED.0).then_some(TRACED.1)
    }
}

impl Output for FixedHost {
    fn notify(&self, address: u64) {
        self.output.lock().push(format!("Notify: {address:#x}"));
    }
    fn puts(&self, text: &[u8]) {
        let text = String::from_utf8_lossy(text).to_string();
        self.output.lock().push(text);
    }
    fn ring(&self) -> Option<RingLayout> {
        None
    }
}

impl ReadMemory for FixedHost {
    fn probe_read(&self, address: u64, dst: &mut [u8]) -> usize {
        // Bytes behind the last address there is are not asked for.
        let bytes = dst.iter_mut().zip(address..=u64::MAX);
        let readable = bytes.take_while(|(_, at)| READABLE.contains(at));
        readable.map(|(byte, at)| *byte = (at - READABLE.start) as u8 + 0x10).count()
    }
}

impl TracedCall for FixedHost {
    fn traced(&self) -> Option<Traced> {
        None
    }
    fn stack(&self, out: &mut [u64]) -> usize {
        out.iter_mut().zip(STACK).map(|(to, address)| *to = address).count()
    }
}

impl Time for FixedHost {
    fn now_ns(&self) -> u64 {
        NOW
    }
    fn ticks(&self) -> Option<Ticks> {
        None
    }
}

impl Threads for FixedHost {
    fn thread(&self) -> Thread {
        THREAD
    }
    fn thread_name(&self, into: &mut [u8]) -> usize {
        copy_of(THREAD_NAME, into)
    }
}
