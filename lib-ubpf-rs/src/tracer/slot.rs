//! A value that is there from a start to a stop.

use alloc::boxed::Box;
use core::{
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// A place for one value, read without waiting.
pub struct Slot<T: 'static>(AtomicPtr<T>);

impl<T> Slot<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Slot(AtomicPtr::new(ptr::null_mut()))
    }

    /// The value.
    pub fn get(&self) -> Option<&'static T> {
        // SAFETY: it came from a box, which is freed only by who hid it and promises that nobody uses it any more.
        unsafe { self.0.load(Ordering::SeqCst).as_ref() }
    }

    /// Puts a value there.
    pub fn put(&self, value: Box<T>) {
        self.show(Box::into_raw(value));
    }

    /// Puts back what was hidden.
    pub fn show(&self, value: *mut T) {
        self.0.store(value, Ordering::SeqCst);
    }

    /// Takes the value away from those who come from now on. Those who have it go on using it: it is a box that only who knows that there
    /// are none may free.
    pub fn hide(&self) -> *mut T {
        self.0.swap(ptr::null_mut(), Ordering::SeqCst)
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self::new()
    }
}
