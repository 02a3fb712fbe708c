//! What differs between architectures: the bytes of an entry stub and of a call, and the hook's trampoline.

#[cfg(target_arch = "x86_64")]
pub mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(super) use x86_64 as current;
