//! The functions of `ukglue.h`, as bindgen reads them.

use core::ffi::c_char;

#[allow(
    missing_docs,
    non_camel_case_types,
    dead_code,
    clippy::missing_safety_doc,
    reason = "generated; the header has the words"
)]
mod bindings {
    include!("bindings.rs");
}

pub use bindings::*;

/// Values of the configuration menu.
pub type Config = ukglue_config;

/// A table in the image; empty when it has none.
pub type Range = ukglue_range;

impl Range {
    /// Length in bytes; 0 for a range that does not exist.
    pub fn len(&self) -> usize {
        (self.end as usize).saturating_sub(self.start as usize)
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: u64) -> bool {
        (self.start as u64..self.end as u64).contains(&address)
    }
}

/// A C string of the configuration as text; empty where it is not UTF-8.
///
/// # Safety
/// `text` points to a string that lives as long as the image.
pub unsafe fn static_str(text: *const c_char) -> &'static str {
    // SAFETY: as the caller promises.
    let text = unsafe { core::ffi::CStr::from_ptr(text) };
    text.to_str().unwrap_or("")
}

/// The values of the configuration menu.
pub fn config() -> &'static Config {
    // SAFETY: the glue returns a static value that never changes.
    unsafe { &*ukglue_config() }
}
