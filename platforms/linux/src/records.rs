//! The compiler's records of entry stubs in this executable.

use ubpf_rs::jit::LinkedProgram;

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
    programs: *const LinkedProgram,
    programs_end: *const LinkedProgram,
}

extern "C" {
    fn ubpf_linux_records(bounds: *mut Bounds);
}

fn bounds() -> Bounds {
    let none = std::ptr::null();
    let mut bounds = Bounds {
        patchable: none,
        patchable_end: none,
        mcount: none,
        mcount_end: none,
        programs: std::ptr::null(),
        programs_end: std::ptr::null(),
    };
    // SAFETY: the function fills the struct behind the pointer.
    unsafe { ubpf_linux_records(&mut bounds) };
    bounds
}

/// Programs compiled ahead of time that are linked into this executable.
pub fn programs() -> &'static [LinkedProgram] {
    let Bounds { programs, programs_end, .. } = bounds();
    let bytes = (programs_end as usize).saturating_sub(programs as usize);
    if programs.is_null() {
        return &[];
    }
    // SAFETY: both are bounds that the linker set round one section, which holds nothing but such entries.
    unsafe { std::slice::from_raw_parts(programs, bytes / size_of::<LinkedProgram>()) }
}

/// The records of this executable; empty where it was compiled without.
pub fn own() -> Records {
    let bounds = bounds();
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
