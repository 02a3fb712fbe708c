//! What there is to say of a built-in helper. Its registration, the C headers and what machine code does inline derive from it.

use super::{Helper, HelperFn, Inline, RustHelper};
use crate::program::{Abi, ArgType, Cost, HelperSignature, RetType};

/// Text for people who write programs: it is in no image.
macro_rules! prose {
    ($text:literal) => {
        if cfg!(feature = "docs") {
            $text
        } else {
            ""
        }
    };
}
pub(super) use prose;

/// One built-in helper.
pub struct Row {
    /// Name, as a program's source calls it.
    pub name: &'static str,
    /// What it does, for the C headers: whole sentences. Empty without the feature `docs`.
    pub doc: &'static str,
    /// Its numbers.
    pub numbers: &'static [(Abi, u32)],
    /// Names and types of its arguments, from r1 on.
    pub args: &'static [(&'static str, ArgType)],
    /// Its result.
    pub ret: RetType,
    /// What a call costs.
    pub cost: Cost,
    /// What machine code does in its place.
    pub inline: Option<Inline>,
    /// What a program that runs directly is given where there is no room to call it just then; nothing for one that may end a program, or
    /// that reads the application's memory, where it matters on which stack that is: those are not called so.
    pub missed: Option<i64>,
    /// The function.
    pub function: RustHelper,
}

impl Row {
    /// As it is registered.
    pub(super) fn helper(&self) -> Helper {
        let mut args = [ArgType::Unused; 5];
        args.iter_mut().zip(self.args).for_each(|(all, given)| *all = given.1);
        let signature = HelperSignature { args, ret: self.ret, cost: self.cost };
        Helper { name: self.name, signature, function: HelperFn::Rust(self.function) }
    }

    /// Its number in an ABI.
    pub fn number(&self, abi: Abi) -> Option<u32> {
        self.numbers.iter().find(|(of, _)| *of == abi).map(|&(_, number)| number)
    }
}

/// So much per call, and nothing else.
pub(super) const fn flat(base: u32) -> Cost {
    Cost { base, per_8_bytes: 0, walk: 0 }
}

/// So much per call, and for what is walked in the map.
pub(super) const fn walks(base: u32, walk: u32) -> Cost {
    Cost { base, per_8_bytes: 0, walk }
}

/// So much per call, and for each 8 bytes of its string.
pub(super) const fn text(base: u32) -> Cost {
    Cost { base, per_8_bytes: 1, walk: 0 }
}

/// So much per call, for each 8 bytes of key and value, and for what is walked.
pub(super) const fn of_map(base: u32, walk: u32) -> Cost {
    Cost { base, per_8_bytes: 2, walk }
}
