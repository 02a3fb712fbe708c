//! State that threads, interrupt handlers and CPUs share.

use core::cell::UnsafeCell;

use x86_64::instructions::interrupts;

/// State that threads and interrupt handlers use: interrupts are off while it is borrowed.
pub struct IrqCell<T>(spin::Mutex<T>);

impl<T> IrqCell<T> {
    /// Wraps the state.
    pub const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// Uses the state. Must not be nested for one cell.
    pub fn with<R>(&self, job: impl FnOnce(&mut T) -> R) -> R {
        interrupts::without_interrupts(|| job(&mut self.0.lock()))
    }

    /// Uses the state unless it stays in use: the image dies, and whoever uses it may be what died.
    pub fn with_patience<R>(&self, job: impl FnOnce(&mut T) -> R) -> Option<R> {
        const ROUNDS: usize = 1_000_000;
        interrupts::without_interrupts(|| {
            let mut state = (0..ROUNDS).find_map(|_| {
                core::hint::spin_loop();
                self.0.try_lock()
            })?;
            Some(job(&mut state))
        })
    }
}

/// Memory that is reached by its address only: page tables, stacks, descriptor tables.
#[repr(transparent)]
pub struct RawCell<T>(UnsafeCell<T>);

// SAFETY: the cell only gives out a raw pointer; whoever follows it says why that is right.
unsafe impl<T> Sync for RawCell<T> {}

impl<T> RawCell<T> {
    /// Wraps the value.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Address of the value.
    pub const fn get(&self) -> *mut T {
        self.0.get()
    }
}
