//! The function tracer: attaches programs to the entries of functions, at places the compiler left for it.
//!
//! - [`Tracer`]: the one tracer of an image, [`TRACER`]; everything on it is control path, for any thread. `attach`: how programs come.
//! - `site`: the instrumented places; `point`: what a probe hangs on; `probe`: programs there; `pool`: where hooks run; `hook`: what a hook does.
//! - `frames`: calls that come back; `stack`: those that led to a function.
//! - `direct`: the short way for programs that are machine code and need nothing but their argument; `gates`: where sites enter it.
//! - `stubs`: which of the compiler's stubs can be used.
//! - `timer`: programs that run again and again, at what is interrupted then.
//! - `subject`: a function of the engine's own to measure on.
//! - [`Ring`]: what hooks want said, until somebody may write it out.
//! - `arch`: bytes of stubs, the entry of hooks.
//!
//! It does not know what a program is made of: the layer above wraps one as a [`HookProgram`].
//!
//! A hook takes no lock and allocates nothing. It finds the probes of its site through two pointers to memory that is
//! never changed once published; what is replaced is freed after a grace period in which every hook that might still read it ends.

mod arch;
mod attach;
mod control;
#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
mod counters;
mod deny;
#[cfg_attr(not(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none"))), path = "direct_none.rs")]
mod direct;
mod frames;
#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
mod gates;
mod hook;
mod point;
mod pool;
mod probe;
mod refused;
mod replace;
mod ring;
mod site;
mod slot;
mod stack;
mod stubs;
mod subject;
mod timer;

#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
pub use arch::current::helper_entry;
pub use arch::current::{patch::led_to, FpMode, Frame, Registers};
pub use attach::{AttachError, AttachRequest, RefusedRequests};
pub use control::{DetachError, InitError, NoReport, Tracer, TracerConfig, TRACER};
pub use deny::{reason as deny_reason, returns_twice, Denied, BUILT_IN as DENIED};
pub use point::{AtSite, Point};
pub use pool::{fp_mode, stack_used, CONTEXT_BYTES, MAX_AREAS, PROGRAM_STACK};
pub use probe::{
    goes_by, AttachOptions, Failed, Failures, Hook, HookProgram, ProbeId, ProbeReport, Returned, Sample, Sums,
    REPORT_INTERVAL_NS,
};
pub use refused::{Refused, Unusable};
pub use replace::{Choose, Present, Successor};
pub use ring::{Fault, Record, RecordKind, Ring, TEXT_BYTES};
pub use site::{Site, SiteKind};
pub use slot::Slot;
pub use stack::StackAt;
pub use stubs::{Neighbours, SiteCount, StubMoment, Symbols, STUB_REACH};
pub use subject::Subject;
pub use timer::{sample, TimerPeriod, BY_CLOCK, OF_CPU};

use control::Settings;
