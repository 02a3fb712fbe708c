//! Shell over a byte stream: bytes in, bytes out.
#![no_std]
extern crate alloc;
