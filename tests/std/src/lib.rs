//! The part of `std` that tests use, for images that have none: `extern crate ubpf_tests_std as std;` at the root of a
//! crate lets the same test files be compiled there.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub use alloc::{borrow, collections, fmt, string, vec};
pub use core::{mem, str};

/// Sharing.
pub mod sync {
    pub use alloc::sync::Arc;
    use core::convert::Infallible;
    pub use core::sync::atomic;

    /// A lock that waits by spinning.
    #[derive(Default)]
    pub struct Mutex<T>(spin::Mutex<T>);

    impl<T> Mutex<T> {
        /// A lock over this value.
        pub const fn new(value: T) -> Self {
            Self(spin::Mutex::new(value))
        }

        /// Waits for the value. Without unwinding nothing is ever poisoned.
        pub fn lock(&self) -> Result<spin::MutexGuard<'_, T>, Infallible> {
            Ok(self.0.lock())
        }
    }
}
