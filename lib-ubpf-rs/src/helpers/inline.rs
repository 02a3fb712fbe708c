//! Helpers that machine code does by itself, and what it has to know for that.

use super::{Host, Row, TwoKey, BUILTINS, TWO_KEY_HELPERS};
use crate::{
    maps::TwoKeyLayout,
    platform::Ticks,
    program::{Abi, ArgType},
};

/// The row of the built-in helper with this number.
fn row(abi: Abi, number: u32) -> Option<&'static Row> {
    BUILTINS.iter().find(|row| row.numbers.contains(&(abi, number)))
}

/// The name of the built-in helper with this number.
pub fn name_of(abi: Abi, number: u32) -> Option<&'static str> {
    row(abi, number).map(|row| row.name)
}

/// What a program that runs directly is given of a helper for which there is no room just then; `None` for a helper that it must not call.
pub fn missed(abi: Abi, number: u32) -> Option<i64> {
    row(abi, number)?.missed
}

/// What a program that runs directly needs for a helper that is not inline; `None` for one that it must not call.
pub fn needs_of_call(abi: Abi, number: u32) -> Option<Needs> {
    let row = row(abi, number)?;
    row.missed?;
    let two_key = TWO_KEY_HELPERS.contains(&row.name);
    let map = if two_key { Needs::MAP } else { Needs::empty() };
    Some(Needs::HELPERS | Needs::FRAME | map)
}

/// Whether a helper is given a map of the program's.
pub fn takes_a_map(abi: Abi, number: u32) -> bool {
    row(abi, number).is_some_and(|row| row.args.iter().any(|(_, kind)| matches!(kind, ArgType::Map(_))))
}

/// A helper that machine code has inline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inline {
    /// `bpf_map_get`
    MapGet,
    /// `bpf_map_put`
    MapPut,
    /// `bpf_map_add`
    MapAdd,
    /// `bpf_notify`
    Notify,
    /// `bpf_time_get_ns`
    Time,
    /// `bpf_map_lookup_elem`, for maps that say how
    Lookup,
    /// `bpf_map_update_elem`, for the same
    Update,
    /// `bpf_map_delete_elem`, for the same
    Delete,
    /// `bpf_get_smp_processor_id`
    Lane,
    /// `bpf_ringbuf_reserve`, where the program runs directly
    Reserve,
    /// `bpf_ringbuf_submit`, likewise
    Submit,
    /// `bpf_ringbuf_discard`, likewise
    Discard,
    /// `bpf_get_func_ip`, likewise
    FuncIp,
    /// `bpf_get_attach_cookie`, likewise
    Cookie,
}

impl Inline {
    /// Which of them a number stands for.
    pub fn of(abi: Abi, number: u32) -> Option<Inline> {
        row(abi, number)?.inline
    }

    /// Whether it depends on the map that it is given.
    pub fn is_of_a_map(self) -> bool {
        matches!(self, Inline::Lookup | Inline::Update | Inline::Delete | Inline::Reserve)
    }

    /// What it needs.
    pub fn needs(self) -> Needs {
        match self {
            // What is not found at once, the helper looks for.
            Inline::MapGet | Inline::MapPut | Inline::MapAdd => Needs::MAP.union(Needs::HELPERS),
            Inline::Notify => Needs::OUTPUT.union(Needs::TIME),
            Inline::Time => Needs::TIME,
            // What is not near, the helper does.
            Inline::Lookup | Inline::Update | Inline::Delete => Needs::HELPERS.union(Needs::FRAME),
            Inline::Lane => Needs::LANE,
            Inline::Reserve | Inline::Submit | Inline::Discard => Needs::RECORDS,
            Inline::FuncIp | Inline::Cookie => Needs::SITE.union(Needs::FRAME),
        }
    }
}

bitflags::bitflags! {
    /// What a program's inline helpers need.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Needs: u8 {
        /// The two-key map.
        const MAP = 1;
        /// The output ring.
        const OUTPUT = 2;
        /// A counter of the CPU as the time.
        const TIME = 4;
        /// A way to call helpers.
        const HELPERS = 8;
        /// The end of the program's frame in r10, also where the program does not use it: a helper reads the program's memory.
        const FRAME = 16;
        /// A lane of its own for each run.
        const LANE = 32;
        /// Records of rings that know their own lengths.
        const RECORDS = 64;
        /// Above the end of the frame, where the traced function begins, and behind that the number that the program was attached with.
        const SITE = 128;
    }
}

/// Where inline helpers find what they need. A helper whose needs are not met is done by Rust.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InlinePlaces {
    /// The two-key map.
    pub map: Option<TwoKeyLayout>,
    /// The output ring.
    pub output: Option<RingLayout>,
    /// The time.
    pub time: Option<Ticks>,
}

impl InlinePlaces {
    /// Those of a host.
    pub fn of(host: &dyn Host) -> InlinePlaces {
        InlinePlaces {
            map: match host.two_key() {
                TwoKey::Map(map) => Some(map.layout()),
                TwoKey::Model(_) | TwoKey::Nothing => None,
            },
            output: host.ring(),
            time: host.ticks(),
        }
    }

    /// What there is.
    pub fn has(&self) -> Needs {
        let mut has = Needs::empty();
        has.set(Needs::MAP, self.map.is_some());
        has.set(Needs::OUTPUT, self.output.is_some());
        has.set(Needs::TIME, self.time.is_some());
        has.insert(Needs::HELPERS | Needs::FRAME | Needs::LANE | Needs::RECORDS | Needs::SITE);
        has
    }
}

/// What machine code needs to queue a `Notify` as the output ring itself does: claim the slot at the head by moving the head on,
/// fill it, publish it through its turn.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RingLayout {
    /// Address of the slots.
    pub slots: u64,
    /// Number of slots less one; a power of two less one.
    pub mask: u64,
    /// Address of the position of the head. The slot of a position is free for it when its turn equals it, and filled one above.
    pub head: u64,
    /// Address of the number of lost records.
    pub lost: u64,
}

impl RingLayout {
    /// Size of a slot is two to this power.
    pub const SLOT_BITS: u32 = 8;
    /// Offset in a slot of its turn, eight bytes.
    pub const TURN: usize = 0;
    /// Of the time, eight bytes.
    pub const TIME: usize = 8;
    /// Of the key of the traced function, eight bytes.
    pub const KEY: usize = 16;
    /// Of the kind, one byte, and the length of the text, one byte behind it.
    pub const KIND: usize = 24;
    /// Kind of a `Notify`; its text has no length.
    pub const NOTIFY: u8 = 0;
}
