//! The compiler, where the image has one: `compiler_none.rs` has the same names where it has none.

pub(super) use crate::jit::trampoline::Helpers;

use super::host::Services;
use crate::{
    helpers::Registry,
    jit::{JitError, JitProgram, Options, CODE_HEAP},
    maps::Maps,
    platform::{ExecMemory, Platform},
    program::Abi,
    verifier::{Cap, VerifiedProgram, Work},
    vm::Direct,
};
use alloc::sync::Arc;

/// Why no program is compiled.
pub(super) const WHY_NOT: Option<&str> = None;

/// Lets programs share the pages of the platform's executable memory.
pub(super) fn share_pages(platform: Platform) -> Platform {
    let exec = platform.exec.map(|m| CODE_HEAP.over(m));
    Platform { exec, ..platform }
}

/// Gives back the pages that no code is in.
pub(super) fn give_back_pages() {
    CODE_HEAP.stop();
}

/// The helpers of a program that runs directly; `None` without memory, or where something it needs is not there.
pub(super) fn helpers_of(
    program: &Direct,
    around: (Abi, Option<Arc<Maps>>),
    registry: &'static Registry,
    services: &'static Services,
) -> Option<Helpers> {
    Helpers::new(program, around, registry, services, crate::tracer::helper_entry())
}

/// The program as machine code, or given back with the reason why not; without a reason where nobody wants it any more.
#[allow(clippy::result_large_err)] // the program is given back
pub(super) fn compile(
    program: VerifiedProgram,
    maps: Option<Arc<Maps>>,
    memory: &'static dyn ExecMemory,
    work: &mut Work<'_>,
) -> Result<JitProgram, (VerifiedProgram, Option<&'static str>)> {
    JitProgram::with_maps(program, maps, memory, Options::default(), work)
        .map_err(|(error, program)| (program, reason(error)))
}

fn reason(error: JitError) -> Option<&'static str> {
    Some(match error {
        JitError::NoMemory => "out of memory",
        JitError::TooComplex { cap: Cap::Cancelled } => return None,
        JitError::TooComplex { cap: Cap::Memory } => "compiling it takes more memory than it may",
        JitError::TooComplex { .. } => "compiling it takes more work than it may",
        JitError::NoRoom { .. } => "no executable memory is left",
        JitError::OtherMaps => "it was verified for other maps",
        JitError::NoCode { .. } => "there is no machine code for one of its instructions",
        JitError::NotExecutable => "the platform refused to make memory executable",
    })
}
