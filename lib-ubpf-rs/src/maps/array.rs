//! Arrays: values by a number from 0, all of them always there; one for all, or one for each lane.

use super::{
    values::{Between, Change, Values},
    Bytes, LookupForm, MapError, Strided,
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

    pub fn update(&self, key: Bytes<'_>, value: Bytes<'_>, flags: u64, change: Change) -> Result<(), MapError> {
        let index = self.index(key).ok_or(MapError::Full { capacity: self.entries as usize })?;
        if flags == super::update::NEW {
            return Err(MapError::Exists);
        }
        self.values.set(change, index, value);
        Ok(())
    }

    /// How machine code finds a value.
    pub fn lookup_form(&self) -> LookupForm {
        let (base, _) = self.values.place();
        let (stride, apart) = (self.values.stride() as u32, self.values.apart() as u32);
        LookupForm::Indexed(Strided { base, entries: self.entries, stride, apart })
    }
}
