// Made from platforms/unikraft/ukglue.h by `cargo xtask headers`.

pub const UKGLUE_PAGE_WRITABLE: u32 = 1;
pub const UKGLUE_PAGE_EXECUTABLE: u32 = 2;
#[repr(C)]
#[derive(Copy, Clone)]
pub struct ukglue_config {
    pub exec_budget: u64,
    pub hook_budget: u64,
    pub irq_budget: u64,
    pub map_entries: u32,
    pub ring_bytes: u32,
    pub hook_areas: u32,
    pub hook_stack: u32,
    pub file_limit: u32,
    pub history: u32,
    pub strict: u32,
    pub uio_abi: u32,
    pub read_only: u32,
    pub directory: *const ::core::ffi::c_char,
    pub autoload: *const ::core::ffi::c_char,
    pub attach: *const *const ::core::ffi::c_char,
    pub attach_count: usize,
    pub port: *const ::core::ffi::c_char,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of ukglue_config"][::core::mem::size_of::<ukglue_config>() - 104usize];
    ["Alignment of ukglue_config"][::core::mem::align_of::<ukglue_config>() - 8usize];
    ["Offset of field: ukglue_config::exec_budget"][::core::mem::offset_of!(ukglue_config, exec_budget) - 0usize];
    ["Offset of field: ukglue_config::hook_budget"][::core::mem::offset_of!(ukglue_config, hook_budget) - 8usize];
    ["Offset of field: ukglue_config::irq_budget"][::core::mem::offset_of!(ukglue_config, irq_budget) - 16usize];
    ["Offset of field: ukglue_config::map_entries"][::core::mem::offset_of!(ukglue_config, map_entries) - 24usize];
    ["Offset of field: ukglue_config::ring_bytes"][::core::mem::offset_of!(ukglue_config, ring_bytes) - 28usize];
    ["Offset of field: ukglue_config::hook_areas"][::core::mem::offset_of!(ukglue_config, hook_areas) - 32usize];
    ["Offset of field: ukglue_config::hook_stack"][::core::mem::offset_of!(ukglue_config, hook_stack) - 36usize];
    ["Offset of field: ukglue_config::file_limit"][::core::mem::offset_of!(ukglue_config, file_limit) - 40usize];
    ["Offset of field: ukglue_config::history"][::core::mem::offset_of!(ukglue_config, history) - 44usize];
    ["Offset of field: ukglue_config::strict"][::core::mem::offset_of!(ukglue_config, strict) - 48usize];
    ["Offset of field: ukglue_config::uio_abi"][::core::mem::offset_of!(ukglue_config, uio_abi) - 52usize];
    ["Offset of field: ukglue_config::read_only"][::core::mem::offset_of!(ukglue_config, read_only) - 56usize];
    ["Offset of field: ukglue_config::directory"][::core::mem::offset_of!(ukglue_config, directory) - 64usize];
    ["Offset of field: ukglue_config::autoload"][::core::mem::offset_of!(ukglue_config, autoload) - 72usize];
    ["Offset of field: ukglue_config::attach"][::core::mem::offset_of!(ukglue_config, attach) - 80usize];
    ["Offset of field: ukglue_config::attach_count"][::core::mem::offset_of!(ukglue_config, attach_count) - 88usize];
    ["Offset of field: ukglue_config::port"][::core::mem::offset_of!(ukglue_config, port) - 96usize];
};
#[repr(C)]
#[derive(Copy, Clone)]
pub struct ukglue_range {
    pub start: *const ::core::ffi::c_void,
    pub end: *const ::core::ffi::c_void,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of ukglue_range"][::core::mem::size_of::<ukglue_range>() - 16usize];
    ["Alignment of ukglue_range"][::core::mem::align_of::<ukglue_range>() - 8usize];
    ["Offset of field: ukglue_range::start"][::core::mem::offset_of!(ukglue_range, start) - 0usize];
    ["Offset of field: ukglue_range::end"][::core::mem::offset_of!(ukglue_range, end) - 8usize];
};
unsafe extern "C" {
    pub fn ukglue_config() -> *const ukglue_config;
}
unsafe extern "C" {
    pub fn ukglue_version() -> *const ::core::ffi::c_char;
}
unsafe extern "C" {
    pub fn ukglue_pages_take(count: usize) -> *mut ::core::ffi::c_void;
}
unsafe extern "C" {
    pub fn ukglue_pages_give_back(start: *mut ::core::ffi::c_void, count: usize);
}
unsafe extern "C" {
    pub fn ukglue_print(text: *const ::core::ffi::c_char, len: usize);
}
unsafe extern "C" {
    pub fn ukglue_crash() -> !;
}
unsafe extern "C" {
    pub fn ukglue_now() -> u64;
}
unsafe extern "C" {
    pub fn ukglue_counter() -> u64;
}
unsafe extern "C" {
    pub fn ukglue_cpu() -> u32;
}
unsafe extern "C" {
    pub fn ukglue_several_cpus() -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_irqs_off() -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_raise(number: ::core::ffi::c_int) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_errno() -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_read(addr: u64, into: *mut ::core::ffi::c_void, len: usize) -> usize;
}
unsafe extern "C" {
    pub fn ukglue_read_pair(addr: u64, into: *mut u64) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_may_fault(stack: u64) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_timer_start(period_ns: u64) -> u64;
}
unsafe extern "C" {
    pub fn ukglue_timer_stop();
}
unsafe extern "C" {
    pub fn ukglue_text_write(
        addr: usize,
        old: *const ::core::ffi::c_void,
        fresh: *const ::core::ffi::c_void,
        len: usize,
    ) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_exec_arena() -> ukglue_range;
}
unsafe extern "C" {
    pub fn ukglue_exec_protect(addr: usize, len: usize, executable: ::core::ffi::c_int) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_exec_enforced() -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_exec_write(addr: usize, from: *const ::core::ffi::c_void, len: usize) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_text() -> ukglue_range;
}
unsafe extern "C" {
    pub fn ukglue_pages(
        each: ::core::option::Option<
            unsafe extern "C" fn(cookie: *mut ::core::ffi::c_void, address: u64, size: u64, rights: u32),
        >,
        cookie: *mut ::core::ffi::c_void,
    ) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_programs() -> ukglue_range;
}
unsafe extern "C" {
    pub fn ukglue_carried() -> *const ::core::ffi::c_void;
}
unsafe extern "C" {
    pub fn ukglue_records_patchable() -> ukglue_range;
}
unsafe extern "C" {
    pub fn ukglue_records_mcount() -> ukglue_range;
}
unsafe extern "C" {
    pub fn ukglue_symbols() -> ukglue_range;
}
unsafe extern "C" {
    pub fn ukglue_file_size(path: *const ::core::ffi::c_char) -> ::core::ffi::c_long;
}
unsafe extern "C" {
    pub fn ukglue_file_read(
        path: *const ::core::ffi::c_char,
        into: *mut ::core::ffi::c_void,
        len: usize,
    ) -> ::core::ffi::c_long;
}
unsafe extern "C" {
    pub fn ukglue_file_write(
        path: *const ::core::ffi::c_char,
        from: *const ::core::ffi::c_void,
        len: usize,
    ) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_file_remove(path: *const ::core::ffi::c_char) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_dir_list(
        path: *const ::core::ffi::c_char,
        each: ::core::option::Option<
            unsafe extern "C" fn(
                cookie: *mut ::core::ffi::c_void,
                name: *const ::core::ffi::c_char,
                name_len: usize,
                size: u64,
                dir: ::core::ffi::c_int,
            ),
        >,
        cookie: *mut ::core::ffi::c_void,
    ) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_running() -> u32;
}
unsafe extern "C" {
    pub fn ukglue_running_name(into: *mut ::core::ffi::c_char, length: usize) -> usize;
}
unsafe extern "C" {
    pub fn ukglue_running_at() -> u64;
}
unsafe extern "C" {
    pub fn ukglue_thread_ended(thread: u64) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_set_own(own: ::core::ffi::c_int) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_is_own(stack: u64) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_own_at() -> u64;
}
unsafe extern "C" {
    pub fn ukglue_yield();
}
unsafe extern "C" {
    pub fn ukglue_thread_start(body: ::core::option::Option<unsafe extern "C" fn()>) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_in_shell() -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_wait(ns: u64);
}
unsafe extern "C" {
    pub fn ukglue_port_present() -> ::core::ffi::c_int;
}
#[repr(C)]
#[derive(Copy, Clone)]
pub struct ukglue_queue {
    pub descriptors: *mut ::core::ffi::c_void,
    pub driver: *mut ::core::ffi::c_void,
    pub device: *mut ::core::ffi::c_void,
    pub size: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of ukglue_queue"][::core::mem::size_of::<ukglue_queue>() - 32usize];
    ["Alignment of ukglue_queue"][::core::mem::align_of::<ukglue_queue>() - 8usize];
    ["Offset of field: ukglue_queue::descriptors"][::core::mem::offset_of!(ukglue_queue, descriptors) - 0usize];
    ["Offset of field: ukglue_queue::driver"][::core::mem::offset_of!(ukglue_queue, driver) - 8usize];
    ["Offset of field: ukglue_queue::device"][::core::mem::offset_of!(ukglue_queue, device) - 16usize];
    ["Offset of field: ukglue_queue::size"][::core::mem::offset_of!(ukglue_queue, size) - 24usize];
};
unsafe extern "C" {
    pub fn ukglue_queue(number: u16, queue: *mut ukglue_queue) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ukglue_queue_notify(number: u16);
}
unsafe extern "C" {
    pub fn ukglue_physical(memory: *const ::core::ffi::c_void) -> u64;
}
unsafe extern "C" {
    pub fn ukglue_console_read(into: *mut ::core::ffi::c_void, len: usize) -> ::core::ffi::c_long;
}
unsafe extern "C" {
    pub fn ukglue_console_write(from: *const ::core::ffi::c_void, len: usize) -> ::core::ffi::c_long;
}
unsafe extern "C" {
    pub fn ukglue_console_wakes() -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn ubpf_uk_start();
}
