//! The C interface of the shell as plain C and C++ programs use it: linked with the shell's stand-alone archive alone, which
//! holds the engine, too.

#[path = "../../lib-ubpf-rs/tests/common/c.rs"]
mod c;

#[test]
fn every_call_from_c() {
    c::program(c::C99, "shell");
}

#[test]
fn every_call_from_cpp() {
    c::program(c::CPP, "shell");
}

#[test]
fn a_heap_of_every_size() {
    c::program(c::C99, "memory");
}

#[test]
fn memory_ends_anywhere_in_each_function() {
    c::memory_ends_in_each_function("ushell_", &[]);
}

#[test]
fn every_function_of_the_header_is_exported() {
    c::header_archive_and_exports_agree("ushell_rs.h", "ushell_");
}

#[test]
fn the_header_says_of_each_function_which_threads_may_call_it_and_its_errors() {
    c::each_function_is_described("ushell_rs.h");
}
