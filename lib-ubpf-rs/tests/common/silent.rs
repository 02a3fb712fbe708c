//! A host that knows no symbol, says nothing and reads nothing. Who takes this in has the names it uses.

use super::{Names, Nobody, Output, ReadMemory, RingLayout, Thread, Threads};

impl Names for Nobody {
    fn symbol_address(&self, _name: &[u8]) -> Option<u64> {
        None
    }
    fn trace_address(&self, _name: &[u8]) -> Option<u64> {
        None
    }
}

impl Output for Nobody {
    fn notify(&self, _address: u64) {}
    fn puts(&self, _text: &[u8]) {}
    fn ring(&self) -> Option<RingLayout> {
        None
    }
}

impl ReadMemory for Nobody {
    fn probe_read(&self, _address: u64, _dst: &mut [u8]) -> usize {
        0
    }
}

impl Threads for Nobody {
    fn thread(&self) -> Thread {
        Thread::ONLY
    }
    fn thread_name(&self, _into: &mut [u8]) -> usize {
        0
    }
}
