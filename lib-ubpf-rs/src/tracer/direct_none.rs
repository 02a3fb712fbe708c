//! Without machine code every hook takes the general entry.

use super::{
    arch::current::{
        self,
        patch::{self, STUB_LEN},
    },
    probe::{Probe, ProbeList},
    site::SiteState,
    Settings,
};
use crate::vm::Detour;
use alloc::sync::Arc;

/// No program runs directly.
pub(super) unsafe fn helper(_block: u64, _number: u64, _args: &[u64; 5], _frame_end: u64) -> u64 {
    0
}

#[derive(Clone, Copy)]
pub(super) enum GateRef {}

pub(super) struct Gates;

impl Gates {
    pub const fn new() -> Gates {
        Gates
    }
    pub fn of(&mut self, _site: &SiteState, _sites: usize, _settings: &Settings) -> Option<GateRef> {
        None
    }
    pub fn for_returns(&mut self, _site: &SiteState, _sites: usize, _settings: &Settings) -> Option<GateRef> {
        None
    }
    pub fn thunk(&mut self, _site: &SiteState, _gate: GateRef, _settings: &Settings) -> Option<u64> {
        None
    }
    pub fn give_back(&mut self, gate: GateRef) {
        match gate {}
    }
    pub fn any_spoilt(&self) -> bool {
        false
    }
}

pub(super) fn adopt_counters(_settings: &Settings) {}

pub(super) struct Trampoline;

impl Trampoline {
    pub fn new(_gate: Option<GateRef>, _thunk: Option<u64>, _wanted: bool) -> Trampoline {
        Trampoline
    }
    pub fn at_return() -> Trampoline {
        Trampoline
    }
    pub fn find_gate(&mut self, _list: &ProbeList, _gate: impl FnOnce() -> Option<GateRef>) {}
    pub fn gate(&self) -> Option<GateRef> {
        None
    }
    pub fn is_cramped(&self) -> bool {
        false
    }
    pub fn detour(&self, probe: &Arc<Probe>, _settings: &Settings) -> Option<Detour> {
        Some(probe.body.direct().err().unwrap_or(Detour::Stub))
    }
    pub fn thunk(&self) -> Option<u64> {
        None
    }
    pub fn jump_by(&mut self, _thunk: Option<u64>) {}
    pub fn patch(&self, at: u64) -> Option<[u8; STUB_LEN]> {
        patch::call(at, current::hook_entry())
    }
    pub fn opened(&self) -> u64 {
        0
    }
    pub fn runs(&self) -> u64 {
        0
    }
    pub fn is_tallied(&self) -> bool {
        false
    }
    pub fn tally(&mut self, _key: u64) {}
    pub fn open(&mut self, _site: &'static SiteState, _list: &ProbeList, _settings: &Settings, _tallies: bool) {}
    pub fn leave(&mut self) -> Option<Leaving> {
        None
    }
    pub fn left(&mut self, _key: u64, _list: &ProbeList, _settings: &Settings, _empty: bool) {}
}

/// There was nobody in a trampoline.
pub(super) fn after_fork() {}

/// There is nobody in what there is not.
#[derive(Clone, Copy)]
pub(super) enum Leaving {}

impl Leaving {
    pub fn begin(&self, _settings: &Settings) {}
    pub fn is_over(&self) -> bool {
        true
    }
}
