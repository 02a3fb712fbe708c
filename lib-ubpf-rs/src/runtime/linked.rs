//! Programs that were compiled ahead of time and are part of the image.

use super::{programs::Loaded, Engine, LoadOptions, Runtime};

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

#[cfg(all(feature = "jit", target_arch = "x86_64"))]
mod add {
    use super::{Loaded, Runtime};
    use crate::{
        helpers::{is_name, Time},
        jit::{JitProgram, LinkedProgram},
        program::Program,
        verifier::{self, Work},
    };
    use alloc::{string::ToString, sync::Arc};

    impl Runtime {
        /// Adds the programs of a table that the linker has made. Each is verified once more; one that is refused is reported on the
        /// console and left out. Gives how many were added.
        ///
        /// # Safety
        /// The table, and what its entries point to, is what `ubpf aot` has written, linked into this image.
        pub unsafe fn add_linked(&self, table: &'static [LinkedProgram]) -> usize {
            let added = table.iter().filter(|record| self.add_one(record)).count();
            self.drain_console();
            added
        }

        fn add_one(&self, record: &'static LinkedProgram) -> bool {
            let refused = |name: &str, why: &dyn core::fmt::Display| {
                let now = self.services.now_ns();
                let text = format_args!("program {name} of the image: {why}");
                self.services.ring.push_error(now, text);
                false
            };
            if !record.is_known() {
                return refused("?", &"it was compiled by another version of ubpf");
            }
            let name = record.name();
            if !is_name(name) {
                return refused("?", &"its name is empty, too long, or cannot be shown in a line");
            }
            let helpers = *self.helpers.lock();
            let program = match Program::from_flat(name, record.bytecode(), record.abi()) {
                Ok(program) => program,
                Err(error) => return refused(name, &error),
            };
            let verified = match verifier::verify(
                program,
                record.policy(),
                &verifier::Environment::new(helpers),
                &mut Work::default(),
            ) {
                Ok(verified) => verified,
                Err(error) => return refused(name, &error),
            };
            let code = match JitProgram::linked(verified, record) {
                Ok(code) => Arc::new(code),
                Err(why) => return refused(name, &why),
            };
            let mut linked = self.linked.lock();
            if linked.iter().any(|loaded| loaded.name == name) {
                return refused(name, &"there are two of this name");
            }
            if linked.try_reserve(1).is_err() {
                return refused(name, &"out of memory");
            }
            linked.push(Loaded { name: name.to_string(), code, helpers, fallback: None, maps: None });
            true
        }
    }
}
