//! The table of helpers and how one is called.

use super::{Host, BUILTINS};
use crate::maps::{Bytes, BytesMut, HeldProgram, Map, Records};
use crate::program::{Abi, HelperSignature, SignatureError};
use crate::verifier::HelperLookup;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use spin::Once;

/// A helper's arguments and surroundings during one call. Memory arguments were checked by the engine against the
/// helper's signature before the call.
pub struct HelperCall<'a> {
    /// r1 to r5.
    pub args: [u64; 5],
    /// The string that a [`ArgType::CString`](crate::program::ArgType::CString) argument points to, without its NUL.
    pub text: &'a [u8],
    /// The map of a [`ArgType::Map`](crate::program::ArgType::Map) argument.
    pub map: Option<&'a Map>,
    /// The records that the run holds.
    pub records: &'a Records<'a>,
    /// The bytes of a [`ArgType::MapKey`](crate::program::ArgType::MapKey) argument.
    pub key: Bytes<'a>,
    /// The bytes of a [`ArgType::MemRead`](crate::program::ArgType::MemRead) argument.
    pub data: Bytes<'a>,
    /// Those of a second one.
    pub second: Bytes<'a>,
    /// The bytes of a [`ArgType::MemWrite`](crate::program::ArgType::MemWrite) argument.
    pub out: BytesMut<'a>,
    /// The bytes of a [`ArgType::MapValue`](crate::program::ArgType::MapValue) argument.
    pub value: Bytes<'a>,
    /// The slot of values per CPU that is the run's.
    pub lane: u32,
    /// Services.
    pub host: &'a dyn Host,
    /// What the helper sets to be charged for what it walked, in units of budget: at most its [`Cost`](crate::program::Cost)'s
    /// `walk`. 0 before the call.
    pub walked: u32,
    /// What a helper of [`RetType::TailCall`](crate::program::RetType::TailCall) sets: the program in which the run is to go on.
    pub next: Option<&'a HeldProgram>,
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
/// The same with what it was registered with in front.
pub type CHelperWithContext = extern "C" fn(*mut c_void, u64, u64, u64, u64, u64) -> u64;

/// A helper's function.
#[derive(Clone, Copy)]
pub enum HelperFn {
    /// Written in Rust.
    Rust(RustHelper),
    /// Registered by the application.
    C(CHelper),
    /// Registered by the application with something of its own.
    CWithContext {
        /// The function.
        function: CHelperWithContext,
        /// The address it gets.
        context: usize,
    },
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

/// Largest helper number of an ABI.
pub const MAX_NUMBER: u32 = 1023;
const NONE: u16 = u16::MAX;

/// Longest name of a helper, in bytes.
pub const LONGEST_NAME: usize = 128;

/// All helpers that programs of this image may call: by name, and by number in each ABI. Helpers are only ever added, in place while
/// there is room: programs that were loaded before see them too, and call none of them.
pub struct Registry {
    /// Filled from the front.
    helpers: Vec<Once<Helper>>,
    used: AtomicUsize,
    /// Index into `helpers` by number, one table per ABI.
    numbers: [Vec<AtomicU16>; Abi::ALL.len()],
}

/// Why a helper was not registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegisterError {
    /// The name is in use.
    NameTaken,
    /// The number is in use in this ABI.
    NumberTaken {
        /// The number.
        number: u32,
    },
    /// The number is too large.
    NumberTooLarge {
        /// The number.
        number: u32,
        /// The largest.
        limit: u32,
    },
    /// The name is empty, too long, or cannot be shown in a line.
    BadName,
    /// Its arguments cannot be checked.
    BadSignature(SignatureError),
    /// There is no room in this table.
    Full,
    /// No memory.
    NoMemory,
}

impl Registry {
    /// A registry with the built-in helpers of all ABIs.
    pub fn with_builtins() -> Result<Registry, RegisterError> {
        let numbers = BUILTINS.iter().flat_map(|row| row.numbers);
        let largest = numbers.map(|(_, number)| *number as usize).max();
        let registry = Registry::with_room(BUILTINS.len(), largest.map_or(0, |number| number + 1));
        let registry = registry.ok_or(RegisterError::NoMemory)?;
        for row in BUILTINS {
            registry.add(row.helper(), row.numbers)?;
        }
        Ok(registry)
    }

    fn with_room(helpers: usize, numbers: usize) -> Option<Registry> {
        let mut registry = Registry {
            helpers: Vec::new(),
            used: AtomicUsize::new(0),
            numbers: [const { Vec::new() }; Abi::ALL.len()],
        };
        registry.helpers.try_reserve_exact(helpers).ok()?;
        registry.helpers.resize_with(helpers, Once::new);
        for table in &mut registry.numbers {
            table.try_reserve_exact(numbers).ok()?;
            table.resize_with(numbers, || AtomicU16::new(NONE));
        }
        Some(registry)
    }

    /// The same helpers once more, with room for as many as the next power of two says, and for every number; `None` without memory.
    pub fn larger(&self) -> Option<Registry> {
        const LEAST: usize = 32;
        let helpers = self.helpers.len().saturating_add(1).next_power_of_two().max(LEAST);
        let copy = Registry::with_room(helpers, MAX_NUMBER as usize + 1)?;
        for (to, from) in copy.helpers.iter().zip(&self.helpers) {
            if let Some(helper) = from.get() {
                to.call_once(|| *helper);
            }
        }
        copy.used.store(self.used.load(Ordering::Relaxed), Ordering::Relaxed);
        for (to, from) in copy.numbers.iter().zip(&self.numbers) {
            for (to, from) in to.iter().zip(from) {
                to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        Some(copy)
    }

    /// Adds a helper under the given numbers, or nothing. For one caller at a time.
    pub fn add(&self, helper: Helper, numbers: &[(Abi, u32)]) -> Result<(), RegisterError> {
        self.check(helper.name, &helper.signature, numbers)?;
        let index = self.used.load(Ordering::Relaxed);
        let slot = self.helpers.get(index).ok_or(RegisterError::Full)?;
        let place = |&(abi, number): &(Abi, u32)| self.table(abi).get(number as usize);
        if numbers.iter().any(|number| place(number).is_none()) {
            return Err(RegisterError::Full);
        }
        slot.call_once(|| helper);
        self.used.store(index + 1, Ordering::Release);
        for place in numbers.iter().filter_map(place) {
            place.store(index as u16, Ordering::Release);
        }
        Ok(())
    }

    /// Whether a helper can have this name, this signature and these numbers.
    pub fn check(&self, name: &str, signature: &HelperSignature, numbers: &[(Abi, u32)]) -> Result<(), RegisterError> {
        if !is_name(name) {
            return Err(RegisterError::BadName);
        }
        signature.check().map_err(RegisterError::BadSignature)?;
        if self.by_name(name).is_some() {
            return Err(RegisterError::NameTaken);
        }
        for &(abi, number) in numbers {
            if number > MAX_NUMBER {
                return Err(RegisterError::NumberTooLarge { number, limit: MAX_NUMBER });
            }
            if self.get(abi, number).is_some() {
                return Err(RegisterError::NumberTaken { number });
            }
        }
        Ok(())
    }

    /// The table of an ABI: there is one for each.
    #[inline]
    fn table(&self, abi: Abi) -> &[AtomicU16] {
        self.numbers.get(abi as usize).map_or(&[], Vec::as_slice)
    }

    /// The helper with this number.
    #[inline]
    pub fn get(&self, abi: Abi, number: u32) -> Option<&Helper> {
        let index = self.table(abi).get(number as usize)?;
        self.helpers.get(usize::from(index.load(Ordering::Acquire)))?.get()
    }

    /// The helper with this name.
    pub fn by_name(&self, name: &str) -> Option<&Helper> {
        let mut helpers = self.helpers.iter().map_while(Once::get);
        helpers.find(|h| h.name == name)
    }

    /// The number of the helper with this name.
    pub fn number(&self, abi: Abi, name: &str) -> Option<u32> {
        let helpers = self.helpers.iter().map_while(Once::get);
        let index = helpers.into_iter().position(|helper| helper.name == name)?;
        let place = |number: &AtomicU16| usize::from(number.load(Ordering::Acquire)) == index;
        let number = self.table(abi).iter().position(place)?;
        u32::try_from(number).ok()
    }
}

/// Whether a helper or a program of the image can have this name: it is not empty, not too long, and can be shown in a line.
pub fn is_name(name: &str) -> bool {
    let shown = |c: char| !c.is_control() && !c.is_whitespace();
    !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(shown)
}

impl HelperLookup for Registry {
    fn signature(&self, abi: Abi, number: u32) -> Option<HelperSignature> {
        self.get(abi, number).map(|h| h.signature)
    }
}
