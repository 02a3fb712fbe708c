//! The table of helpers and how one is called.

use super::Host;
use crate::program::{Abi, HelperSignature};
use crate::verifier::HelperLookup;
use alloc::{string::String, vec::Vec};

/// A helper's arguments and surroundings during one call. Memory arguments were checked by the engine against the
/// helper's signature before the call.
pub struct HelperCall<'a> {
    /// r1 to r5.
    pub args: [u64; 5],
    /// The string that a [`ArgType::CString`](crate::program::ArgType::CString) argument points to, without its NUL.
    pub text: &'a [u8],
    /// Services.
    pub host: &'a dyn Host,
    /// What the helper sets to be charged for what it walked, in units of budget: at most its [`Cost`](crate::program::Cost)'s
    /// `walk`. 0 before the call.
    pub walked: u32,
}

/// Why a helper stopped the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HelperFault {
    /// For the message, lower case.
    pub reason: &'static str,
}

/// A helper written in Rust: r0, or the end of the run.
pub type RustHelper = fn(&mut HelperCall<'_>) -> Result<u64, HelperFault>;
/// A helper of the application. It gets r1 to r5; memory arguments were checked against the signature.
pub type CHelper = extern "C" fn(u64, u64, u64, u64, u64) -> u64;

/// A helper's function.
#[derive(Clone, Copy)]
pub enum HelperFn {
    /// Written in Rust.
    Rust(RustHelper),
    /// Registered by the application.
    C(CHelper),
}

/// One helper.
#[derive(Clone, Copy)]
pub struct Helper {
    /// Name, as a program's source calls it.
    pub name: &'static str,
    /// What it takes and gives.
    pub signature: HelperSignature,
    /// What it does.
    pub function: HelperFn,
}

/// Most distinct helper numbers of one ABI.
const MAX_NUMBER: u32 = 1023;
const NONE: u16 = u16::MAX;

/// All helpers that programs of this image may call: by name, and by number in each ABI.
#[derive(Default)]
pub struct Registry {
    helpers: Vec<Helper>,
    /// Index into `helpers` by number, one table per ABI.
    numbers: [Vec<u16>; 3],
}

/// Why a helper was not registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum RegisterError {
    /// The name is in use.
    #[error("a helper of this name exists")]
    NameTaken,
    /// The number is in use in this ABI.
    #[error("helper number {number} is taken")]
    NumberTaken {
        /// The number.
        number: u32,
    },
    /// The number is too large.
    #[error("helper number {number} is too large (at most {limit})")]
    NumberTooLarge {
        /// The number.
        number: u32,
        /// The largest.
        limit: u32,
    },
    /// No memory.
    #[error("out of memory")]
    NoMemory,
}

impl Registry {
    /// A registry with the built-in helpers of all ABIs.
    pub fn with_builtins() -> Result<Registry, RegisterError> {
        let mut registry = Registry::default();
        for (helper, numbers) in super::builtin::TABLE {
            registry.add(*helper, numbers)?;
        }
        Ok(registry)
    }

    /// The same helpers once more; `None` without memory.
    pub fn copy(&self) -> Option<Registry> {
        let mut copy = Registry::default();
        copy.helpers.try_reserve_exact(self.helpers.len()).ok()?;
        copy.helpers.extend_from_slice(&self.helpers);
        for (to, from) in copy.numbers.iter_mut().zip(&self.numbers) {
            to.try_reserve_exact(from.len()).ok()?;
            to.extend_from_slice(from);
        }
        Some(copy)
    }

    /// Adds a helper under the given numbers.
    pub fn add(&mut self, helper: Helper, numbers: &[(Abi, u32)]) -> Result<(), RegisterError> {
        if self.by_name(helper.name).is_some() {
            return Err(RegisterError::NameTaken);
        }
        for &(abi, number) in numbers {
            if number > MAX_NUMBER {
                return Err(RegisterError::NumberTooLarge {
                    number,
                    limit: MAX_NUMBER,
                });
            }
            if self.get(abi, number).is_some() {
                return Err(RegisterError::NumberTaken { number });
            }
            let table = &mut self.numbers[abi as usize];
            let missing = (number as usize + 1).saturating_sub(table.len());
            table
                .try_reserve(missing)
                .map_err(|_| RegisterError::NoMemory)?;
        }
        self.helpers
            .try_reserve(1)
            .map_err(|_| RegisterError::NoMemory)?;
        let index = self.helpers.len() as u16;
        self.helpers.push(helper);
        for &(abi, number) in numbers {
            let table = &mut self.numbers[abi as usize];
            if table.len() <= number as usize {
                table.resize(number as usize + 1, NONE);
            }
            table[number as usize] = index;
        }
        Ok(())
    }

    /// Adds a helper of the application under a name made at run time.
    pub fn add_named(
        &mut self,
        name: String,
        signature: HelperSignature,
        function: HelperFn,
        numbers: &[(Abi, u32)],
    ) -> Result<(), RegisterError> {
        if self.by_name(&name).is_some() {
            return Err(RegisterError::NameTaken);
        }
        // Helpers are never removed, so neither is the name.
        let helper = Helper {
            name: name.leak(),
            signature,
            function,
        };
        self.add(helper, numbers)
    }

    /// The helper with this number.
    #[inline]
    pub fn get(&self, abi: Abi, number: u32) -> Option<&Helper> {
        let index = *self.numbers[abi as usize].get(number as usize)?;
        self.helpers.get(index as usize)
    }

    /// The helper with this name.
    pub fn by_name(&self, name: &str) -> Option<&Helper> {
        self.helpers.iter().find(|h| h.name == name)
    }
}

impl HelperLookup for Registry {
    fn signature(&self, abi: Abi, number: u32) -> Option<HelperSignature> {
        self.get(abi, number).map(|h| h.signature)
    }
}
