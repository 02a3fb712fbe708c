//! eBPF runtime for unikernels: loader, verifier, interpreter, maps, helpers and a dynamic function tracer.
//!
//! The folders are layers; each uses only those named before it:
//! `isa`, `platform`, `program`, `object`, `verifier`, `maps`, `helpers`, `vm`, `jit`, `tracer`, `runtime`, `ffi`.
//! The library assumes no operating system and no threads: what it needs from below is in [`platform`].
#![no_std]

extern crate alloc;
#[cfg(any(test, feature = "fuzz"))]
extern crate std;

#[cfg(feature = "capi")]
pub mod ffi;
pub mod helpers;
pub mod isa;
#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
pub mod jit;
pub mod maps;
pub mod object;
pub mod platform;
pub mod program;
pub mod runtime;
pub mod tracer;
pub mod verifier;
pub mod vm;

/// What `?` takes where any error is good.
macro_rules! errors {
    ($($error:ty),+ $(,)?) => {
        $(impl core::error::Error for $error {})+
    };
}

errors! {
    helpers::RegisterError,
    isa::AsmError,
    isa::DecodeError,
    isa::EncodeError,
    platform::Cancelled,
    platform::FileError,
    platform::PatchError,
    program::LoadError,
    program::SignatureError,
    runtime::Error,
    runtime::SymbolError,
    tracer::AttachError,
    tracer::DetachError,
    verifier::VerifyError,
}
