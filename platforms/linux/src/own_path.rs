//! Which threads do the engine's own work. What they call is not the application's.

use ubpf_rs::platform::OwnMark;

extern "C" {
    fn ubpf_linux_own_path() -> *mut OwnPath;
    fn ubpf_linux_own_path_offset() -> libc::c_long;
}

/// What a thread knows of itself that does the engine's own work.
#[repr(C)]
pub(crate) struct OwnPath {
    /// Not 0 while it does.
    pub own: u64,
    /// The address of its block of counters, which it is without meanwhile.
    pub counters: u64,
}

/// Where threads say that they do the engine's own work.
pub(crate) fn mark() -> Option<OwnMark> {
    // SAFETY: takes nothing; reads the thread pointer.
    let offset = unsafe { ubpf_linux_own_path_offset() };
    Some(OwnMark::OfThread { offset: i32::try_from(offset).ok()? })
}

/// Looks at what the calling thread knows of itself, or changes it. `work` does not come here again.
pub(crate) fn with<R>(work: impl FnOnce(&mut OwnPath) -> R) -> R {
    // SAFETY: points to a variable of the calling thread, which nobody else touches.
    work(unsafe { &mut *ubpf_linux_own_path() })
}

/// Whether the calling thread does the engine's own work. *Hook path.*
pub(crate) fn is_own() -> bool {
    with(|path| path.own != 0)
}
