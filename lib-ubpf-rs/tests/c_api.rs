//! The C interface as plain C and C++ programs use it: linked with the stand-alone archive alone.

#[path = "common/c.rs"]
mod c;

#[test]
fn every_call_from_c() {
    c::program(c::C99, "engine");
}

#[test]
fn every_call_from_cpp() {
    c::program(c::CPP, "engine");
}

#[test]
fn a_heap_of_every_size() {
    c::program(c::C99, "memory");
}

#[test]
fn calls_of_several_threads() {
    c::program(&["gcc", "-std=gnu99"], "threads");
}

#[test]
fn memory_ends_anywhere_in_each_function() {
    c::memory_ends_in_each_function("ubpf_");
}

#[test]
fn every_function_of_the_header_is_exported() {
    c::header_archive_and_exports_agree("ubpf_rs.h", "ubpf_");
}
