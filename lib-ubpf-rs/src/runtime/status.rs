//! The state of the engine in numbers.

use super::{code, Runtime};
use crate::{maps::TwoKeyMap, tracer::TRACER};

/// A snapshot of the engine's counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// Name of the platform.
    pub platform: &'static str,
    /// What tells this image from others, where it knows: `ubpf image-id` finds the same in the image's debug file.
    pub image_id: Option<[u8; 16]>,
    /// Loaded programs that `unload` has not named.
    pub programs: usize,
    /// Places that can be traced.
    pub sites: usize,
    /// Symbols known.
    pub symbols: usize,
    /// Attached programs.
    pub probes: usize,
    /// Entries of the two-key map.
    pub map_entries: usize,
    /// How many it can hold.
    pub map_capacity: usize,
    /// Updates that it lost.
    pub map_lost: u64,
    /// Messages that found the output ring full.
    pub output_lost: u64,
    /// Whether run times are measured.
    pub stats: bool,
    /// Ticks of the platform's timer, the fastest of them; 0 while no program is at a timer.
    pub ticks_per_second: u64,
    /// Whether generated code is never writable; `None` without executable memory.
    pub enforces_wx: Option<bool>,
    /// Why programs run in the interpreter; `None` where they become machine code.
    pub interpreted: Option<&'static str>,
    /// Areas of hooks that did not come back, and lists of programs kept for them.
    pub lost_hooks: (usize, usize),
    /// Areas of hooks whose stack was used to its end, so that memory below it may have been written: they need more
    /// ([`Config::hook_stack`](super::Config::hook_stack)).
    pub full_stacks: usize,
    /// Sites whose hooks go the general way, some fifty times as long, because no executable memory was left for the short one.
    pub cramped_sites: usize,
    /// How many programs were left to the interpreter since the start although machine code was to be expected, and why the last
    /// one was.
    pub fallbacks: Option<(u64, &'static str)>,
}

impl Runtime {
    /// The state of the engine.
    pub fn status(&self) -> Status {
        TRACER.tally(None);
        let services = self.services;
        let image = services.image.read();
        Status {
            platform: services.platform.name,
            image_id: self.image_id.get().copied(),
            programs: self.programs.lock().len(),
            sites: image.sites.len(),
            symbols: image.symbols.len(),
            probes: TRACER.probe_count(),
            map_entries: services.map.get().map_or(0, TwoKeyMap::len),
            map_capacity: self.config.map_entries.max(1),
            map_lost: services.map.get().map_or(0, TwoKeyMap::lost).saturating_add(TRACER.helpers_missed()),
            output_lost: services.ring.lost(),
            stats: TRACER.stats_on(),
            ticks_per_second: TRACER.ticks_per_second(),
            enforces_wx: services.platform.exec.map(|e| e.enforces_wx()),
            interpreted: code::why_interpreted(&services.platform),
            lost_hooks: TRACER.lost(),
            full_stacks: TRACER.full_stacks(),
            cramped_sites: TRACER.cramped(),
            fallbacks: *self.fallbacks.lock(),
        }
    }
}
