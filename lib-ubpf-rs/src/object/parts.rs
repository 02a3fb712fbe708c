//! The maps of an object as they are made: those that it defines, then its data sections, in one numbering.

use super::{Data, Object, Variable};
use crate::program::{InnerDef, MapDef, MapDefError, MapFlags, MapKind, MapName};

/// Why a map of an object cannot be made. The texts are the object's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartError<'a> {
    /// No map has this number.
    NoMap,
    /// A kind that nobody knows.
    Kind {
        /// The map.
        map: &'a str,
        /// Its number.
        kind: u32,
    },
    /// Flags that nobody knows.
    Flags {
        /// The map.
        map: &'a str,
        /// Those that are unknown.
        flags: u32,
    },
    /// A name that a map cannot have.
    Name {
        /// The map.
        map: &'a str,
    },
    /// There can be no such map.
    Definition {
        /// The map.
        map: &'a str,
        /// Why not.
        error: MapDefError,
    },
}

impl<'a> Object<'a> {
    /// How many maps there are, data sections among them.
    pub fn map_count(&self) -> usize {
        self.maps.len().saturating_add(self.data.len())
    }

    /// The data section in a place.
    pub fn data_at(&self, slot: usize) -> Option<&Data<'a>> {
        self.data.get(slot.checked_sub(self.maps.len())?)
    }

    /// The name of the map in a place.
    pub fn map_name(&self, slot: usize) -> Option<&'a str> {
        match self.maps.get(slot) {
            Some(map) => Some(map.name),
            None => Some(self.data_at(slot)?.name),
        }
    }

    /// The definition of the map in a place, checked.
    pub fn definition(&self, slot: usize) -> Result<MapDef, PartError<'a>> {
        let template = self.maps.get(slot).and_then(|map| map.inner);
        let inner = match template {
            Some(template) => Some(InnerDef::of(&self.plain_definition(template as usize, None)?)),
            None => None,
        };
        self.plain_definition(slot, inner)
    }

    /// The same, with what the maps within it are like.
    fn plain_definition(&self, slot: usize, inner: Option<InnerDef>) -> Result<MapDef, PartError<'a>> {
        let map = self.map_name(slot).ok_or(PartError::NoMap)?;
        let name = MapName::new(map).ok_or(PartError::Name { map })?;
        let def = match self.maps.get(slot) {
            Some(one) => MapDef {
                kind: MapKind::new(one.kind).ok_or(PartError::Kind { map, kind: one.kind })?,
                key_size: one.key_size,
                value_size: one.value_size,
                max_entries: one.max_entries,
                flags: MapFlags::from_bits(one.flags).ok_or_else(|| {
                    let flags = one.flags & !MapFlags::all().bits();
                    PartError::Flags { map, flags }
                })?,
                inner,
                name,
            },
            None => {
                let data = self.data_at(slot).ok_or(PartError::NoMap)?;
                let flags = if data.read_only { MapFlags::RDONLY_PROG } else { MapFlags::empty() };
                let (kind, value_size) = (MapKind::Array, data.size);
                MapDef { kind, key_size: 4, value_size, max_entries: 1, flags, inner: None, name }
            }
        };
        def.check().map_err(|error| PartError::Definition { map, error })?;
        Ok(def)
    }

    /// What the map in a place holds from the start: the bytes of a data section; nothing where all is zero.
    pub fn contents(&self, slot: usize) -> &'a [u8] {
        self.data_at(slot).map_or(&[], |data| data.bytes)
    }

    /// Whether the map in a place is frozen before the programs are verified.
    pub fn is_frozen(&self, slot: usize) -> bool {
        self.data_at(slot).is_some_and(|data| data.read_only)
    }

    /// The variable of a name, with the place of its map.
    pub fn variable(&self, name: &str) -> Option<(usize, &Variable<'a>)> {
        let variable = self.variables.iter().find(|variable| variable.name == name)?;
        Some((self.maps.len().saturating_add(variable.data as usize), variable))
    }
}
