//! What differs between architectures: the bytes of an entry stub and of a call, and the entry of hooks. A CPU is a folder here with the
//! names that `none` has; a CPU without one has that.

mod stub;

#[cfg(any(not(target_arch = "x86_64"), ubpf_arch = "none"))]
pub mod none;
#[cfg(any(not(target_arch = "x86_64"), ubpf_arch = "none"))]
pub(super) use none as current;
#[cfg(all(target_arch = "x86_64", not(ubpf_arch = "none")))]
pub mod x86_64;
#[cfg(all(target_arch = "x86_64", not(ubpf_arch = "none")))]
pub(super) use x86_64 as current;
