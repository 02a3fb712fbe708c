//! Which engine a program gets.

use super::{host::Services, room_for_small_things, Engine, Error};
use crate::{
    helpers::Registry,
    maps::Maps,
    platform::{Pace, Platform},
    program::Abi,
    verifier::{VerifiedProgram, Work},
    vm::{Direct, Executable, Interpreter},
};
use alloc::sync::Arc;

/// A program ready to run, and why it is interpreted where machine code was to be expected.
pub(super) struct Made {
    pub(super) code: Arc<dyn Executable>,
    pub(super) fallback: Option<&'static str>,
}

impl Made {
    fn interpreted(
        program: VerifiedProgram,
        fallback: Option<&'static str>,
        platform: &Platform,
    ) -> Result<Made, Error> {
        let mut pace = Pace::new(platform);
        let code = shared(Interpreter::in_pieces(program, &mut || pace.go_on()))?;
        Ok(Made { code, fallback })
    }
}

/// What was made may have taken the room that was there before.
fn shared(code: impl Executable + 'static) -> Result<Arc<dyn Executable>, Error> {
    room_for_small_things()?;
    Ok(Arc::new(code))
}

/// How often a program will run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// Once, then it is forgotten.
    Once,
    /// Nobody knows how often.
    Often,
}

/// A program that runs once and costs at most so much is interpreted before it could be compiled.
const ONCE: u64 = 1000;

/// Makes a program ready to run. What is not asked for by name falls back to the interpreter.
pub(super) fn make(
    program: VerifiedProgram,
    maps: Option<Arc<Maps>>,
    engine: Engine,
    how: Use,
    platform: &Platform,
    work: &mut Work<'_>,
) -> Result<Made, Error> {
    let short = program.worst_cost().is_some_and(|cost| cost <= ONCE);
    if engine == Engine::Auto && how == Use::Once && short {
        return Ok(Made { code: shared(Interpreter::plain(program))?, fallback: None });
    }
    if engine == Engine::Interpreter {
        return Made::interpreted(program, None, platform);
    }
    match compile(program, maps, platform, work) {
        Ok(code) => Ok(Made { code: code?, fallback: None }),
        Err((_, CANCELLED)) => Err(Error::Cancelled),
        Err((program, reason)) if engine == Engine::Auto => {
            let expected = why_interpreted(platform).is_none();
            let reason = expected.then_some(reason);
            Made::interpreted(program, reason, platform)
        }
        Err((_, reason)) => Err(Error::NotCompiled { reason }),
    }
}

/// Why a program that nobody wants any more was not compiled.
const CANCELLED: &str = "compiling it was cancelled";

/// Whether the image has a compiler.
const COMPILER: bool = cfg!(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")));

const NO_MEMORY: &str = "this platform has no executable memory";
const NO_COMPILER: &str = "this image was built without the compiler";

/// Why no program becomes machine code here; `None` where they do.
pub(super) fn why_interpreted(platform: &Platform) -> Option<&'static str> {
    match (platform.exec, COMPILER) {
        (None, _) => Some(NO_MEMORY),
        (_, false) => Some(NO_COMPILER),
        (Some(_), true) => None,
    }
}

/// Lets programs share the pages of the platform's executable memory.
#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
pub(super) fn share_pages(platform: Platform) -> Platform {
    let exec = platform.exec.map(|m| crate::jit::CODE_HEAP.over(m));
    Platform { exec, ..platform }
}

/// Gives back the pages that no code is in.
#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
pub(super) fn give_back_pages() {
    crate::jit::CODE_HEAP.stop();
}

#[cfg(not(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none"))))]
pub(super) fn give_back_pages() {}

#[cfg(not(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none"))))]
pub(super) fn share_pages(platform: Platform) -> Platform {
    platform
}

#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
pub(super) use crate::jit::trampoline::Helpers;

/// The helpers of a program that runs directly; `None` without memory, or where something it needs is not there.
#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
pub(super) fn helpers_of(
    program: &Direct,
    around: (Abi, Option<Arc<Maps>>),
    registry: &'static Registry,
    services: &'static Services,
) -> Option<Helpers> {
    Helpers::new(program, around, registry, services, crate::tracer::helper_entry())
}

/// There are none where no program runs directly.
#[cfg(not(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none"))))]
pub(super) enum Helpers {}

#[cfg(not(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none"))))]
impl Helpers {
    pub(super) fn block(&self) -> u64 {
        match *self {}
    }
}

#[cfg(not(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none"))))]
pub(super) fn helpers_of(
    _program: &Direct,
    _around: (Abi, Option<Arc<Maps>>),
    _registry: &'static Registry,
    _services: &'static Services,
) -> Option<Helpers> {
    None
}

/// The program as machine code (unless there is no room to keep it), or given back with the reason why not.
type Compiled = Result<Result<Arc<dyn Executable>, Error>, (VerifiedProgram, &'static str)>;

#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
#[allow(clippy::result_large_err)] // the program is given back
fn compile(program: VerifiedProgram, maps: Option<Arc<Maps>>, platform: &Platform, work: &mut Work<'_>) -> Compiled {
    use crate::{
        jit::{JitError, JitProgram, Options},
        verifier::Cap,
    };
    let Some(memory) = platform.exec else {
        return Err((program, NO_MEMORY));
    };
    match JitProgram::with_maps(program, maps, memory, Options::default(), work) {
        Ok(code) => Ok(shared(code)),
        Err((error, program)) => Err((
            program,
            match error {
                JitError::NoMemory => "out of memory",
                JitError::TooComplex { cap } => match cap {
                    Cap::Cancelled => CANCELLED,
                    Cap::Memory => "compiling it takes more memory than it may",
                    _ => "compiling it takes more work than it may",
                },
                JitError::NoRoom { .. } => "no executable memory is left",
                JitError::OtherMaps => "it was verified for other maps",
                JitError::NoCode { .. } => "there is no machine code for one of its instructions",
                JitError::NotExecutable => "the platform refused to make memory executable",
            },
        )),
    }
}

#[cfg(not(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none"))))]
#[allow(clippy::result_large_err)] // the program is given back
fn compile(program: VerifiedProgram, _maps: Option<Arc<Maps>>, _platform: &Platform, _work: &mut Work<'_>) -> Compiled {
    Err((program, NO_COMPILER))
}
