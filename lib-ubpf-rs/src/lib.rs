//! eBPF runtime for unikernels: loader, verifier, interpreter, maps, helpers and a dynamic function tracer.
//!
//! The folders are layers; each uses only those named before it:
//! `isa`, `platform`, `program`, `object`, `verifier`, `maps`, `helpers`, `vm`, `jit`, `tracer`, `text`, `runtime`, `ffi`.
//! The library assumes no operating system and no threads: what it needs from below is in [`platform`].
//!
//! # Example
//!
//! A program is loaded, checked and run on memory of the application. The platform has a clock and lacks everything else:
//!
//! ```
//! use std::{sync::OnceLock, time::Instant};
//! use ubpf_rs::{
//!     isa::assemble,
//!     platform::{Clock, Platform},
//!     runtime::{Config, LoadOptions, Runtime},
//! };
//!
//! struct Uptime;
//!
//! impl Clock for Uptime {
//!     fn now_ns(&self) -> u64 {
//!         static START: OnceLock<Instant> = OnceLock::new();
//!         START.get_or_init(Instant::now).elapsed().as_nanos() as u64
//!     }
//! }
//!
//! let platform = Platform::bare("example", &Uptime);
//! let engine = Runtime::init(platform, Config::default())?;
//!
//! // r1 is the address of the memory that the program is given.
//! let product = assemble(
//!     "r0 = *(u8 *)(r1 + 0)
//!      r2 = *(u8 *)(r1 + 1)
//!      r0 *= r2
//!      exit",
//! )?;
//! let product = engine.load("product", &product, &LoadOptions::default())?;
//! assert_eq!(engine.exec(product, &mut [6, 7], None)?.value, 42);
//!
//! // What the verifier can see to be wrong is refused, the rest stops the program when it happens: memory of two bytes has no third one.
//! let endless = assemble("goto -1\nexit")?;
//! assert!(engine.load("endless", &endless, &LoadOptions::default()).is_err());
//! let wild = assemble("r0 = *(u8 *)(r1 + 2)\nexit")?;
//! let wild = engine.load("wild", &wild, &LoadOptions::default())?;
//! assert!(engine.exec(wild, &mut [6, 7], None).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Tracing, files and machine code need more of the platform: `examples/` has whole programs, `ubpf-platform-linux` a whole platform.
#![no_std]
// What packages alone use stays in the source of an image without them, and is left out when that is linked.
#![cfg_attr(not(feature = "packages"), allow(dead_code, unused_imports))]

extern crate alloc;
// What tests share with those outside of the crate names it so.
#[cfg(test)]
extern crate self as ubpf_rs;
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
#[cfg(not(feature = "texts"))]
mod text;
#[cfg(feature = "texts")]
pub mod text;
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
