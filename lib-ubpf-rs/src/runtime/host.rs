//! What helpers ask of the engine. Everything here is on the path from a hook: no allocation, no lock.

use super::{image::Image, snapshot::Snapshot};
use crate::{
    helpers::{Names, Output, ReadMemory, RingLayout, Threads, Time, Traced, TracedCall, TwoKey, TwoKeyMaps},
    maps::TwoKeyMap,
    platform::{Platform, Thread, Ticks},
    program::limits::MOST_ARGUMENTS,
    tracer::{Frame, Returned, Ring, Sample, StackAt, Sums},
};
use spin::Once;

/// The services behind the helpers of all ABIs.
pub(super) struct Services {
    pub(super) platform: Platform,
    /// The two-key map, from when the first program that looks into it was loaded, or something was put there.
    pub(super) map: Once<TwoKeyMap>,
    pub(super) image: Snapshot<Image>,
    pub(super) ring: Ring,
    /// Memory that programs may share: address and length.
    pub(super) arena: (u64, u64),
}

impl TwoKeyMaps for Services {
    fn two_key(&self) -> TwoKey<'_> {
        self.map.get().map_or(TwoKey::Nothing, TwoKey::Map)
    }
}

impl Names for Services {
    fn symbol_address(&self, name: &[u8]) -> Option<u64> {
        self.image.read().symbols.address(name)
    }
    fn trace_address(&self, name: &[u8]) -> Option<u64> {
        let image = self.image.read();
        let site = image.sites_of(name).next();
        site.map(|(_, site)| site.key())
    }
}

impl Output for Services {
    fn notify(&self, address: u64) {
        self.ring.push_notify(self.now_ns(), address);
    }
    fn puts(&self, text: &[u8]) {
        self.ring.push_text(self.now_ns(), text);
    }
    fn ring(&self) -> Option<RingLayout> {
        Some(self.ring.layout())
    }
}

impl ReadMemory for Services {
    fn probe_read(&self, address: u64, dst: &mut [u8]) -> usize {
        self.platform.probe_read.read(address, dst)
    }
}

impl TracedCall for Services {
    fn traced(&self) -> Option<Traced> {
        None
    }
    fn stack(&self, _out: &mut [u64]) -> usize {
        0
    }
}

impl Time for Services {
    fn now_ns(&self) -> u64 {
        self.platform.clock.now_ns()
    }
    fn ticks(&self) -> Option<Ticks> {
        self.platform.clock.ticks()
    }
}

impl Threads for Services {
    fn thread(&self) -> Thread {
        self.platform.cpu.running()
    }
    fn thread_name(&self, into: &mut [u8]) -> usize {
        self.platform.cpu.running_name(into)
    }
}

impl Sums for Services {
    fn add_often(&self, key1: u64, key2: u64, more: u64, times: u64) {
        if let Some(map) = self.map.get() {
            map.add_often(key1, key2, more, times);
        }
    }
}

/// The call that a program runs at, or what a timer has interrupted.
pub(super) struct At<'a> {
    pub(super) key: u64,
    pub(super) start: u64,
    pub(super) cookie: u64,
    pub(super) frame: &'a Frame,
    pub(super) returned: Option<&'a Returned>,
    /// What a timer has interrupted; nothing at a function.
    pub(super) sample: Option<&'a Sample<'a>>,
    pub(super) arguments: Option<u8>,
    pub(super) stack_at: StackAt,
}

impl At<'_> {
    /// What helpers tell of it: made for those that ask. *Hook path.*
    fn traced(&self) -> Traced {
        let at_entry = || self.frame.argument(0).filter(|_| self.sample.is_none());
        let in_registers = || at_entry().map(|_| registers(self.frame));
        Traced {
            start: self.start,
            arguments: self.returned.map_or_else(in_registers, |returned| Some(returned.arguments)),
            argument_count: self.arguments.map_or(MOST_ARGUMENTS, usize::from).min(MOST_ARGUMENTS),
            result: self.returned.map(|returned| returned.value),
            cookie: self.cookie,
        }
    }
}

/// Arguments of the traced function in registers. *Hook path.*
pub(super) fn registers(frame: &Frame) -> [u64; MOST_ARGUMENTS] {
    [0, 1, 2, 3, 4, 5].map(|n| frame.argument(n).unwrap_or(0))
}

/// The same for a program that runs at a traced function.
pub(super) struct AtFunction<'a> {
    pub(super) services: &'static Services,
    /// The call.
    pub(super) at: &'a At<'a>,
}

impl TwoKeyMaps for AtFunction<'_> {
    fn two_key(&self) -> TwoKey<'_> {
        self.services.two_key()
    }
}

impl Names for AtFunction<'_> {
    fn symbol_address(&self, name: &[u8]) -> Option<u64> {
        self.services.symbol_address(name)
    }
    fn trace_address(&self, name: &[u8]) -> Option<u64> {
        self.services.trace_address(name)
    }
}

impl Output for AtFunction<'_> {
    fn notify(&self, address: u64) {
        self.services.notify(address);
    }
    fn puts(&self, text: &[u8]) {
        self.services.puts(text);
    }
    fn ring(&self) -> Option<RingLayout> {
        self.services.ring()
    }
}

impl ReadMemory for AtFunction<'_> {
    fn probe_read(&self, address: u64, dst: &mut [u8]) -> usize {
        let reads = self.services.platform.probe_read;
        if !reads.may_fault(self.at.stack_at.stack) {
            return 0;
        }
        reads.read(address, dst)
    }
}

impl TracedCall for AtFunction<'_> {
    fn traced(&self) -> Option<Traced> {
        Some(self.at.traced())
    }
    fn stack(&self, out: &mut [u64]) -> usize {
        self.at.stack_at.addresses(self.services.platform.probe_read, out)
    }
}

impl Time for AtFunction<'_> {
    fn now_ns(&self) -> u64 {
        self.services.now_ns()
    }
    fn ticks(&self) -> Option<Ticks> {
        self.services.ticks()
    }
}

impl Threads for AtFunction<'_> {
    fn thread(&self) -> Thread {
        self.services.thread()
    }
    fn thread_name(&self, into: &mut [u8]) -> usize {
        self.services.thread_name(into)
    }
}
