//! What a program will find around it, as far as verification has to know.

use crate::object::ProgramKind;
use crate::program::{
    limits::{CONTEXT_BYTES, HOOK_CONTEXT_BYTES, SAMPLE_BYTES, TRACEPOINT_BYTES, WORDS_BYTES},
    Abi, HelperSignature, MapDef,
};

/// Where the verifier learns which helpers exist; implemented by the helper registry.
pub trait HelperLookup {
    /// Signature of helper `number` in the numbering of `abi`.
    fn signature(&self, abi: Abi, number: u32) -> Option<HelperSignature>;
}

/// What a program will find around it.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    /// The helpers that there are.
    pub helpers: &'a dyn HelperLookup,
    /// The maps that the program's instructions name by their place in this list.
    pub maps: &'a [MapInfo<'a>],
    /// What it is given.
    pub context: Context,
}

impl<'a> Environment<'a> {
    /// That of a flat program: helpers, and the context of hooks.
    pub fn new(helpers: &'a dyn HelperLookup) -> Environment<'a> {
        Environment { helpers, maps: &[], context: Context::default() }
    }

    /// The same with maps.
    pub fn with_maps(self, maps: &'a [MapInfo<'a>]) -> Environment<'a> {
        Environment { maps, ..self }
    }

    /// The map in this place, or what the maps within it are like ([`INNER`]).
    pub(super) fn map(&self, slot: u16) -> Option<MapInfo<'a>> {
        let map = *self.maps.get(usize::from(slot & !INNER))?;
        match slot & INNER {
            0 => Some(map),
            _ => Some(MapInfo { def: map.def.inner?.named(map.def.name), frozen: None }),
        }
    }

    /// What a search among all maps, and all maps within them, is charged.
    pub(super) fn search(&self) -> u32 {
        MapDef::search_all(self.maps.iter().map(|map| map.def))
    }

    /// What all of them are like, and all that may be within them.
    pub(super) fn definitions(&self) -> impl Iterator<Item = MapDef> + use<'a> {
        self.maps.iter().flat_map(|map| [Some(map.def), map.def.inner.map(|inner| inner.named(map.def.name))]).flatten()
    }
}

/// In the place of a map: not that map is meant, but one of those that it holds.
pub(crate) const INNER: u16 = 1 << 14;

/// A map as a program sees it.
#[derive(Clone, Copy, Debug)]
pub struct MapInfo<'a> {
    /// What it is.
    pub def: MapDef,
    /// What its only value holds, if nobody can ever change that.
    pub frozen: Option<&'a [u8]>,
}

/// What a program is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// Bytes that every argument has at least. A run with fewer is checked.
    pub bytes: u32,
}

impl Context {
    /// That of a program of an object: registers of a hook; a packet, of which nothing is known; what Linux would give, where nothing here
    /// does; else that of a flat program.
    pub fn of(kind: ProgramKind) -> Context {
        match kind {
            ProgramKind::Registers | ProgramKind::Arguments => Context { bytes: HOOK_CONTEXT_BYTES as u32 },
            ProgramKind::Xdp | ProgramKind::Classifier | ProgramKind::Socket => Context { bytes: 0 },
            ProgramKind::Tracepoint => Context { bytes: TRACEPOINT_BYTES as u32 },
            ProgramKind::Words => Context { bytes: WORDS_BYTES as u32 },
            ProgramKind::Sample => Context { bytes: SAMPLE_BYTES as u32 },
            ProgramKind::Memory | ProgramKind::Unfired => Context::default(),
        }
    }
}

impl Default for Context {
    /// That of a hook.
    fn default() -> Self {
        Context { bytes: CONTEXT_BYTES as u32 }
    }
}
