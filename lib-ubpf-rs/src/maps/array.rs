//! Arrays: values by a number from 0, all of them always there; one for all, or one for each lane.

use super::{
    values::{Between, SlotChange, Values},
    Bytes, BytesMut, LookupForm, MapError, Slots, Strided,
};
use crate::program::MapDef;

/// An array.
pub(super) struct Array {
    values: Values,
    entries: u32,
}

impl Array {
    pub fn new(def: &MapDef, between: &mut Between<'_>) -> Option<Array> {
        Some(Array { values: Values::new(def, between)?, entries: def.max_entries })
    }

    pub fn values(&self) -> &Values {
        &self.values
    }

    pub fn freeze(&mut self) {
        self.values.freeze();
    }

    /// The place of a key of four bytes.
    fn index(&self, key: Bytes<'_>) -> Option<usize> {
        let index = key.word(0) as u32;
        (index < self.entries).then_some(index as usize)
    }

    pub fn lookup(&self, key: Bytes<'_>) -> Option<usize> {
        self.index(key)
    }

    pub fn update(&self, key: Bytes<'_>, value: Bytes<'_>, flags: u64, change: SlotChange) -> Result<(), MapError> {
        let index = self.index(key).ok_or(MapError::Full { capacity: self.entries as usize })?;
        if flags == super::update::NEW {
            return Err(MapError::Exists);
        }
        self.values.set(change, index, value);
        Ok(())
    }

    /// Shows values, as [`Map::for_some`](super::Map::for_some) does.
    pub fn for_some(&self, first: usize, each: &mut dyn FnMut(&[u8], Slots<'_>) -> bool) -> Option<usize> {
        let entries = self.entries as usize;
        let last = first.checked_add(super::SOME)?.min(entries);
        for index in first..last {
            let key = (index as u32).to_le_bytes();
            if self.values.slots(index).is_some_and(|value| !each(&key, value)) {
                return Some(index);
            }
        }
        (last < entries).then_some(last)
    }

    /// Copies the key in a place, as [`Map::key_at`](super::Map::key_at) does.
    pub fn key_at(&self, index: usize, out: &mut BytesMut<'_>) -> Option<bool> {
        (index < self.entries as usize).then(|| out.write(0, &(index as u32).to_le_bytes()))?;
        Some(true)
    }

    /// How machine code finds a value.
    pub fn lookup_form(&self) -> LookupForm {
        let (base, _) = self.values.place();
        let (stride, apart) = (self.values.stride() as u32, self.values.apart() as u32);
        LookupForm::Indexed(Strided { base, entries: self.entries, stride, apart })
    }
}
