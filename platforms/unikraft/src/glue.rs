//! The functions of `ukglue.h`.
//!
//! Kept equal to the header by hand; a test of `ci/xtask` compares names and argument counts.
#![allow(missing_docs)]

use core::ffi::{c_char, c_int, c_long, c_void};

/// `struct ukglue_config`.
#[repr(C)]
pub struct Config {
    pub exec_budget: u64,
    pub hook_budget: u64,
    pub irq_budget: u64,
    pub map_entries: u32,
    pub ring_bytes: u32,
    pub hook_areas: u32,
    pub file_limit: u32,
    pub history: u32,
    pub strict: u32,
    pub uio_abi: u32,
    pub read_only: u32,
    pub directory: *const c_char,
    pub autoload: *const c_char,
    pub attach: *const *const c_char,
    pub attach_count: usize,
    pub port: *const c_char,
}

/// `struct ukglue_range`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Range {
    pub start: *const c_void,
    pub end: *const c_void,
}

impl Range {
    /// Length in bytes; 0 for a range that does not exist.
    pub fn len(&self) -> usize {
        (self.end as usize).saturating_sub(self.start as usize)
    }
}

/// What [`ukglue_dir_list`] calls for every entry.
pub type EachEntry = unsafe extern "C" fn(*mut c_void, *const c_char, usize, u64, c_int);

extern "C" {
    pub fn ukglue_config() -> *const Config;
    pub fn ukglue_version() -> *const c_char;
    pub fn ukglue_alloc(align: usize, len: usize) -> *mut c_void;
    pub fn ukglue_free(block: *mut c_void);
    pub fn ukglue_print(text: *const c_char, len: usize);
    pub fn ukglue_crash() -> !;
    pub fn ukglue_now() -> u64;
    pub fn ukglue_counter() -> u64;
    pub fn ukglue_cpu() -> u32;
    pub fn ukglue_several_cpus() -> c_int;
    pub fn ukglue_irqs_off() -> c_int;
    pub fn ukglue_raise(number: c_int) -> c_int;
    pub fn ukglue_read(addr: u64, into: *mut c_void, len: usize) -> usize;
    pub fn ukglue_text_write(
        addr: usize,
        old: *const c_void,
        fresh: *const c_void,
        len: usize,
    ) -> c_int;
    pub fn ukglue_exec_arena() -> Range;
    pub fn ukglue_exec_write(addr: usize, from: *const c_void, len: usize) -> c_int;
    pub fn ukglue_exec_protect(addr: usize, len: usize, executable: c_int) -> c_int;
    pub fn ukglue_exec_enforced() -> c_int;
    pub fn ukglue_records_patchable() -> Range;
    pub fn ukglue_records_mcount() -> Range;
    pub fn ukglue_symbols() -> Range;
    pub fn ukglue_file_size(path: *const c_char) -> c_long;
    pub fn ukglue_file_read(path: *const c_char, into: *mut c_void, len: usize) -> c_long;
    pub fn ukglue_file_write(path: *const c_char, from: *const c_void, len: usize) -> c_int;
    pub fn ukglue_file_remove(path: *const c_char) -> c_int;
    pub fn ukglue_dir_list(path: *const c_char, each: EachEntry, cookie: *mut c_void) -> c_int;
    pub fn ukglue_thread_start(body: extern "C" fn()) -> c_int;
    pub fn ukglue_wait(ns: u64);
    pub fn ukglue_port_present() -> c_int;
    pub fn ukglue_queue_receive(queue: u16, into: *mut c_void, len: usize) -> c_long;
    pub fn ukglue_queue_transmit(queue: u16, from: *const c_void, len: usize) -> c_int;
    pub fn ukglue_console_read(into: *mut c_void, len: usize) -> c_long;
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
