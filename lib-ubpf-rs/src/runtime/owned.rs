//! What the engine has made for as long as it runs, and who uses it meanwhile.

use super::{host::Services, Runtime, RUNTIME};
use crate::helpers::Registry;
use alloc::{boxed::Box, vec::Vec};
use core::{
    ops::Deref,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Memory that is referred to as if it were there for ever. Freed with the engine.
pub(super) struct Owned {
    pub services: *mut Services,
    pub arena: *mut [u64],
    /// Those that were replaced by larger ones, too: loaded programs keep theirs.
    pub registries: Vec<*mut Registry>,
    /// Names of helpers.
    pub names: Vec<*mut str>,
}

// SAFETY: it is the only owner of all of them, as boxes would be; what they are may be used from any thread.
unsafe impl Send for Owned {}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: all of them came from boxes, and nobody uses them any more: the engine, which this is the last part of, is gone.
        unsafe {
            drop(Box::from_raw(self.services));
            drop(Box::from_raw(self.arena));
            self.registries.drain(..).for_each(|registry| drop(Box::from_raw(registry)));
            self.names.drain(..).for_each(|name| drop(Box::from_raw(name)));
        }
    }
}

/// How many have the engine.
static USERS: AtomicUsize = AtomicUsize::new(0);

/// The engine, which does not stop while somebody has this.
pub struct Using(&'static Runtime);

impl Using {
    /// The engine, if it was started and does not stop.
    pub fn begin() -> Option<Using> {
        // Counted first, so that who stops it sees this or is seen.
        USERS.fetch_add(1, Ordering::SeqCst);
        let runtime = RUNTIME.get();
        if runtime.is_none() {
            USERS.fetch_sub(1, Ordering::SeqCst);
        }
        runtime.map(Using)
    }

    /// The engine as those have it who are sure that it does not stop. It must not outlive this.
    pub fn runtime(&self) -> &'static Runtime {
        self.0
    }

    /// Whether nobody else has one.
    pub(super) fn alone(&self) -> bool {
        USERS.load(Ordering::SeqCst) == 1
    }
}

impl Deref for Using {
    type Target = Runtime;
    fn deref(&self) -> &Runtime {
        self.0
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        USERS.fetch_sub(1, Ordering::SeqCst);
    }
}
