// Made from include/ubpf/platform.h by `cargo xtask headers`.

#[repr(C)]
#[derive(Copy, Clone)]
pub struct ubpf_exec_block {
    pub write: usize,
    pub exec: usize,
    pub length: usize,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of ubpf_exec_block"][::core::mem::size_of::<ubpf_exec_block>() - 24usize];
    ["Alignment of ubpf_exec_block"][::core::mem::align_of::<ubpf_exec_block>() - 8usize];
    ["Offset of field: ubpf_exec_block::write"][::core::mem::offset_of!(ubpf_exec_block, write) - 0usize];
    ["Offset of field: ubpf_exec_block::exec"][::core::mem::offset_of!(ubpf_exec_block, exec) - 8usize];
    ["Offset of field: ubpf_exec_block::length"][::core::mem::offset_of!(ubpf_exec_block, length) - 16usize];
};
pub type ubpf_each_entry = ::core::option::Option<
    unsafe extern "C" fn(
        cookie: *mut ::core::ffi::c_void,
        name: *const ::core::ffi::c_char,
        length: usize,
        size: u64,
        is_directory: ::core::ffi::c_int,
    ),
>;
#[repr(C)]
#[derive(Copy, Clone)]
pub struct ubpf_platform {
    pub size: usize,
    pub name: *const ::core::ffi::c_char,
    pub context: *mut ::core::ffi::c_void,
    pub now_ns: ::core::option::Option<unsafe extern "C" fn(context: *mut ::core::ffi::c_void) -> u64>,
    pub probe_read: ::core::option::Option<
        unsafe extern "C" fn(
            context: *mut ::core::ffi::c_void,
            address: u64,
            into: *mut ::core::ffi::c_void,
            length: usize,
        ) -> usize,
    >,
    pub console_write: ::core::option::Option<
        unsafe extern "C" fn(context: *mut ::core::ffi::c_void, bytes: *const ::core::ffi::c_char, length: usize),
    >,
    pub cpu: ::core::option::Option<unsafe extern "C" fn(context: *mut ::core::ffi::c_void) -> u32>,
    pub in_interrupt:
        ::core::option::Option<unsafe extern "C" fn(context: *mut ::core::ffi::c_void) -> ::core::ffi::c_int>,
    pub text_replace: ::core::option::Option<
        unsafe extern "C" fn(
            context: *mut ::core::ffi::c_void,
            address: usize,
            old_bytes: *const ::core::ffi::c_void,
            new_bytes: *const ::core::ffi::c_void,
            length: usize,
        ) -> ::core::ffi::c_int,
    >,
    pub exec_alloc: ::core::option::Option<
        unsafe extern "C" fn(
            context: *mut ::core::ffi::c_void,
            length: usize,
            block: *mut ubpf_exec_block,
        ) -> ::core::ffi::c_int,
    >,
    pub exec_seal: ::core::option::Option<
        unsafe extern "C" fn(context: *mut ::core::ffi::c_void, block: *const ubpf_exec_block) -> ::core::ffi::c_int,
    >,
    pub exec_free:
        ::core::option::Option<unsafe extern "C" fn(context: *mut ::core::ffi::c_void, block: *const ubpf_exec_block)>,
    pub exec_enforced:
        ::core::option::Option<unsafe extern "C" fn(context: *mut ::core::ffi::c_void) -> ::core::ffi::c_int>,
    pub file_size: ::core::option::Option<
        unsafe extern "C" fn(context: *mut ::core::ffi::c_void, path: *const ::core::ffi::c_char) -> i64,
    >,
    pub file_read: ::core::option::Option<
        unsafe extern "C" fn(
            context: *mut ::core::ffi::c_void,
            path: *const ::core::ffi::c_char,
            into: *mut ::core::ffi::c_void,
            length: usize,
        ) -> i64,
    >,
    pub file_write: ::core::option::Option<
        unsafe extern "C" fn(
            context: *mut ::core::ffi::c_void,
            path: *const ::core::ffi::c_char,
            from: *const ::core::ffi::c_void,
            length: usize,
        ) -> ::core::ffi::c_int,
    >,
    pub file_remove: ::core::option::Option<
        unsafe extern "C" fn(context: *mut ::core::ffi::c_void, path: *const ::core::ffi::c_char) -> ::core::ffi::c_int,
    >,
    pub directory_list: ::core::option::Option<
        unsafe extern "C" fn(
            context: *mut ::core::ffi::c_void,
            path: *const ::core::ffi::c_char,
            each: ubpf_each_entry,
            cookie: *mut ::core::ffi::c_void,
        ) -> ::core::ffi::c_int,
    >,
    pub give_way: ::core::option::Option<unsafe extern "C" fn(context: *mut ::core::ffi::c_void)>,
    pub cancelled:
        ::core::option::Option<unsafe extern "C" fn(context: *mut ::core::ffi::c_void) -> ::core::ffi::c_int>,
    pub may_fault: ::core::option::Option<
        unsafe extern "C" fn(context: *mut ::core::ffi::c_void, stack: u64) -> ::core::ffi::c_int,
    >,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of ubpf_platform"][::core::mem::size_of::<ubpf_platform>() - 168usize];
    ["Alignment of ubpf_platform"][::core::mem::align_of::<ubpf_platform>() - 8usize];
    ["Offset of field: ubpf_platform::size"][::core::mem::offset_of!(ubpf_platform, size) - 0usize];
    ["Offset of field: ubpf_platform::name"][::core::mem::offset_of!(ubpf_platform, name) - 8usize];
    ["Offset of field: ubpf_platform::context"][::core::mem::offset_of!(ubpf_platform, context) - 16usize];
    ["Offset of field: ubpf_platform::now_ns"][::core::mem::offset_of!(ubpf_platform, now_ns) - 24usize];
    ["Offset of field: ubpf_platform::probe_read"][::core::mem::offset_of!(ubpf_platform, probe_read) - 32usize];
    ["Offset of field: ubpf_platform::console_write"][::core::mem::offset_of!(ubpf_platform, console_write) - 40usize];
    ["Offset of field: ubpf_platform::cpu"][::core::mem::offset_of!(ubpf_platform, cpu) - 48usize];
    ["Offset of field: ubpf_platform::in_interrupt"][::core::mem::offset_of!(ubpf_platform, in_interrupt) - 56usize];
    ["Offset of field: ubpf_platform::text_replace"][::core::mem::offset_of!(ubpf_platform, text_replace) - 64usize];
    ["Offset of field: ubpf_platform::exec_alloc"][::core::mem::offset_of!(ubpf_platform, exec_alloc) - 72usize];
    ["Offset of field: ubpf_platform::exec_seal"][::core::mem::offset_of!(ubpf_platform, exec_seal) - 80usize];
    ["Offset of field: ubpf_platform::exec_free"][::core::mem::offset_of!(ubpf_platform, exec_free) - 88usize];
    ["Offset of field: ubpf_platform::exec_enforced"][::core::mem::offset_of!(ubpf_platform, exec_enforced) - 96usize];
    ["Offset of field: ubpf_platform::file_size"][::core::mem::offset_of!(ubpf_platform, file_size) - 104usize];
    ["Offset of field: ubpf_platform::file_read"][::core::mem::offset_of!(ubpf_platform, file_read) - 112usize];
    ["Offset of field: ubpf_platform::file_write"][::core::mem::offset_of!(ubpf_platform, file_write) - 120usize];
    ["Offset of field: ubpf_platform::file_remove"][::core::mem::offset_of!(ubpf_platform, file_remove) - 128usize];
    ["Offset of field: ubpf_platform::directory_list"]
        [::core::mem::offset_of!(ubpf_platform, directory_list) - 136usize];
    ["Offset of field: ubpf_platform::give_way"][::core::mem::offset_of!(ubpf_platform, give_way) - 144usize];
    ["Offset of field: ubpf_platform::cancelled"][::core::mem::offset_of!(ubpf_platform, cancelled) - 152usize];
    ["Offset of field: ubpf_platform::may_fault"][::core::mem::offset_of!(ubpf_platform, may_fault) - 160usize];
};
unsafe extern "C" {
    pub fn ubpf_platform_alloc(align: usize, length: usize) -> *mut ::core::ffi::c_void;
}
unsafe extern "C" {
    pub fn ubpf_platform_free(block: *mut ::core::ffi::c_void);
}
unsafe extern "C" {
    pub fn ubpf_platform_panic(text: *const ::core::ffi::c_char, length: usize);
}
unsafe extern "C" {
    pub fn ubpf_instrument_entry(function: *mut ::core::ffi::c_void, call_site: *mut ::core::ffi::c_void);
}
