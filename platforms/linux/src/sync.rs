//! What one thread does to memory, made visible to all others of the process (`membarrier`).

use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Once,
};

/// Makes every thread of the process fetch its instructions anew.
pub(crate) fn cores() -> std::io::Result<()> {
    const PRIVATE_EXPEDITED_SYNC_CORE: libc::c_int = 1 << 5;
    membarrier(PRIVATE_EXPEDITED_SYNC_CORE)
}

fn membarrier(command: libc::c_int) -> std::io::Result<()> {
    // SAFETY: membarrier takes numbers only.
    match unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) } {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Makes every thread see what this one has written, and this one what they have.
pub(crate) fn see_all() {
    // Registered before anybody needs it, after which it cannot fail.
    let _ = cores();
}

/// Registers for core synchronisation, once.
pub(crate) fn prepare() -> Result<(), i32> {
    const REGISTER_PRIVATE_EXPEDITED_SYNC_CORE: libc::c_int = 1 << 6;
    static ONCE: Once = Once::new();
    static ERROR: AtomicUsize = AtomicUsize::new(0);
    ONCE.call_once(|| {
        let error = membarrier(REGISTER_PRIVATE_EXPEDITED_SYNC_CORE).err();
        let code = error.map_or(0, |e| e.raw_os_error().unwrap_or(libc::EIO));
        ERROR.store(code as usize, Ordering::SeqCst);
    });
    match ERROR.load(Ordering::SeqCst) {
        0 => Ok(()),
        code => Err(code as i32),
    }
}
