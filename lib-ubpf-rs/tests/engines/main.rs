//! All engines against each other: same result, memory, output, budget left, and reason and place of a stop.
#![cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux", not(ubpf_arch = "none")))]

mod division;
mod indexed;
mod long_argument;
mod map;
mod output;
mod pages;
mod random;
mod recursion;
mod rotation;
mod spans;
mod support;
