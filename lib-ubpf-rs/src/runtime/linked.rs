//! Programs that were compiled ahead of time and are part of the image.

use super::{programs::Loaded, Engine, Error, LoadOptions, Runtime};

impl Runtime {
    /// A program of the image, unless it is asked for in a way in which it is not there: then a file of its name is.
    pub(super) fn linked(&self, name: &str, options: &LoadOptions) -> Option<Loaded> {
        let linked = self.linked.lock();
        let loaded = linked.iter().find(|loaded| loaded.name == name)?;
        let verified = loaded.code.verified();
        let same_abi = options.abi.is_none_or(|abi| abi == verified.program().abi);
        let same_policy = options.policy.is_none_or(|p| p == verified.policy());
        let fits = same_abi && same_policy && options.engine != Engine::Interpreter;
        fits.then(|| loaded.clone())
    }

    /// Shows the names of the programs that are part of the image.
    pub fn linked_programs(&self, visit: &mut dyn FnMut(&str)) {
        self.linked.lock().iter().for_each(|loaded| visit(&loaded.name));
    }
}

/// What has become of a table of programs.
#[derive(Debug, Default)]
pub struct LinkedCount {
    /// How many are there now.
    pub added: usize,
    /// How many were left out.
    pub refused: usize,
    /// Why the first of these was.
    pub first_refused: Option<Error>,
}

#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
mod add {
    use super::{
        super::{copy, room_for_small_things, Refusal},
        Error, LinkedCount, Loaded, Runtime,
    };
    use crate::{
        helpers::{is_name, Time},
        jit::{JitProgram, LinkedProgram},
        platform::shown,
        program::{LoadError, Program},
        verifier::{self, VerifyError, Work},
    };
    use alloc::{format, string::ToString, sync::Arc};
    use core::fmt::Display;

    impl Runtime {
        /// Adds the programs of a table that the linker has made. Each is verified once more; one that is refused is reported on the
        /// console and left out.
        ///
        /// # Safety
        /// The table, and what its entries point to, is what `ubpf aot` has written, linked into this image.
        pub unsafe fn add_linked(&self, table: &'static [LinkedProgram]) -> LinkedCount {
            let mut count = LinkedCount::default();
            for record in table {
                let Err(error) = self.add_one(record) else {
                    count.added += 1;
                    continue;
                };
                let text = format!("uBPF error: {error}");
                self.services.ring.push_text(self.services.now_ns(), text.as_bytes());
                count.refused += 1;
                count.first_refused.get_or_insert(error);
            }
            self.drain_console();
            count
        }

        fn add_one(&self, record: &'static LinkedProgram) -> Result<(), Error> {
            room_for_small_things()?;
            if !record.is_known() {
                return Err(refused("?", &"it was compiled by another version of ubpf"));
            }
            let name = record.name();
            if !is_name(name) {
                return Err(refused(name, &"its name is empty, too long, or cannot be shown in a line"));
            }
            if self.linked.lock().iter().any(|loaded| loaded.name == name) {
                return Err(refused(name, &"there is one of this name"));
            }
            let helpers = *self.helpers.lock();
            let program = Program::from_flat(name, record.bytecode(), record.abi()).map_err(|error| match error {
                LoadError::NoMemory => Error::NoMemory,
                error => refused(name, &error),
            })?;
            let environment = verifier::Environment::new(helpers);
            let verified = verifier::verify(program, record.policy(), &environment, &mut Work::default());
            let verified = verified.map_err(|error| match error {
                VerifyError::NoMemory => Error::NoMemory,
                error => refused(name, &error),
            })?;
            let code = JitProgram::linked(verified, record).map_err(|why| refused(name, &why))?;
            room_for_small_things()?;
            let (own, code) = (copy(name)?, Arc::new(code));
            let loaded = self.with_its_map(Loaded::new(own, code, helpers, None, None))?;
            let mut linked = self.linked.lock();
            linked.try_reserve(1).map_err(|_| Error::NoMemory)?;
            linked.push(loaded);
            Ok(())
        }
    }

    fn refused(name: &str, reason: &dyn Display) -> Error {
        Error::Linked(Refusal::new(shown(name), reason.to_string()))
    }
}
