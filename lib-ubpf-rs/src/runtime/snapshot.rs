//! A value that hooks read without waiting while the control path replaces it.

use alloc::{boxed::Box, vec::Vec};
use core::{
    ops::Deref,
    ptr,
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst},
};
use spin::Mutex;

/// Holds one current `T`. Reading is wait-free (also in an interrupt, also on several CPUs); a replaced value is
/// freed once a moment without readers was seen after the replacement.
pub(super) struct Snapshot<T> {
    current: AtomicPtr<T>,
    readers: AtomicUsize,
    /// Replaced values that a reader may still hold. Locked on the control path only.
    retired: Mutex<Vec<Retired<T>>>,
}

/// A value taken out of `current`, owned by the retired list.
struct Retired<T>(*mut T);

// SAFETY: a `Retired` is the only owner of its value, as a `Box` would be.
unsafe impl<T: Send> Send for Retired<T> {}
// SAFETY: the snapshot hands out `&T` to any thread and drops `T` on the control path.
unsafe impl<T: Send + Sync> Sync for Snapshot<T> {}
// SAFETY: the snapshot owns its values.
unsafe impl<T: Send> Send for Snapshot<T> {}

/// A borrowed current value; while it lives, no replaced value is freed.
pub(super) struct Ref<'a, T> {
    snapshot: &'a Snapshot<T>,
    value: &'a T,
}

impl<T> Snapshot<T> {
    /// A snapshot that holds `value`.
    pub(super) fn new(value: T) -> Self {
        Snapshot {
            current: AtomicPtr::new(Box::into_raw(Box::new(value))),
            readers: AtomicUsize::new(0),
            retired: Mutex::new(Vec::new()),
        }
    }

    /// The current value.
    pub(super) fn read(&self) -> Ref<'_, T> {
        self.readers.fetch_add(1, SeqCst);
        let current = self.current.load(SeqCst);
        // SAFETY: `current` came from `Box::into_raw`; it is freed only after `readers` was seen as 0 after it had
        // been replaced, and this reader was counted before it loaded the pointer.
        let value = unsafe { &*current };
        Ref { snapshot: self, value }
    }

    /// Replaces the value. Control path only.
    pub(super) fn replace(&self, value: Box<T>) {
        let mut retired = self.retired.lock();
        let old = self.current.swap(Box::into_raw(value), SeqCst);
        retired.push(Retired(old));
        if self.readers.load(SeqCst) == 0 {
            for Retired(value) in retired.drain(..) {
                // SAFETY: all of these were replaced before `readers` was seen as 0: nobody holds them any more.
                drop(unsafe { Box::from_raw(value) });
            }
        }
    }
}

impl<T> Drop for Snapshot<T> {
    fn drop(&mut self) {
        let current = core::mem::replace(self.current.get_mut(), ptr::null_mut());
        for value in self.retired.get_mut().drain(..).map(|r| r.0).chain([current]) {
            // SAFETY: `&mut self` shows that there is no reader; each pointer came from `Box::into_raw`.
            drop(unsafe { Box::from_raw(value) });
        }
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.value
    }
}

impl<T> Drop for Ref<'_, T> {
    fn drop(&mut self) {
        self.snapshot.readers.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_held_value_survives_replacement_and_is_freed_later() {
        let first = Arc::new(1);
        let snapshot = Snapshot::new(first.clone());
        let held = snapshot.read();
        snapshot.replace(Box::new(Arc::new(2)));
        assert_eq!((**held, Arc::strong_count(&first)), (1, 2));
        drop(held);
        snapshot.replace(Box::new(Arc::new(3)));
        assert_eq!((**snapshot.read(), Arc::strong_count(&first)), (3, 1));
    }
}
