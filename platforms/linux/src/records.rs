//! The compiler's records of entry stubs in this executable.

/// Addresses as the compiler recorded them.
#[derive(Clone, Debug)]
pub struct Records {
    /// `__patchable_function_entries`.
    pub patchable: Vec<u64>,
    /// `__mcount_loc`.
    pub mcount: Vec<u64>,
}

/// `struct ubpf_linux_records` of `c/support.c`.
#[repr(C)]
struct Bounds {
    patchable: *const u64,
    patchable_end: *const u64,
    mcount: *const u64,
    mcount_end: *const u64,
}

extern "C" {
    fn ubpf_linux_records(bounds: *mut Bounds);
}

/// The records of this executable; empty where it was compiled without.
pub fn own() -> Records {
    let none = std::ptr::null();
    let mut bounds = Bounds {
        patchable: none,
        patchable_end: none,
        mcount: none,
        mcount_end: none,
    };
    // SAFETY: the function fills the struct behind the pointer.
    unsafe { ubpf_linux_records(&mut bounds) };
    Records {
        patchable: between(bounds.patchable, bounds.patchable_end),
        mcount: between(bounds.mcount, bounds.mcount_end),
    }
}

/// gcc does not align `__mcount_loc`.
fn between(start: *const u64, end: *const u64) -> Vec<u64> {
    let bytes = (end as usize).saturating_sub(start as usize);
    if start.is_null() || bytes == 0 {
        return Vec::new();
    }
    // SAFETY: both are bounds that the linker set round one section of 8-byte addresses, relocated before main.
    let text = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), bytes) };
    let (words, _) = text.as_chunks::<8>();
    words.iter().map(|word| u64::from_ne_bytes(*word)).collect()
}
