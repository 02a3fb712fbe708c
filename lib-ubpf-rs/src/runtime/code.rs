//! Which engine a program gets.

use super::{Engine, Error};
use crate::{
    platform::Platform,
    verifier::VerifiedProgram,
    vm::{Executable, Interpreter},
};
use alloc::sync::Arc;

/// Makes a program ready to run. What is not asked for by name falls back to the interpreter.
pub(super) fn make(
    program: VerifiedProgram,
    engine: Engine,
    platform: &Platform,
) -> Result<Arc<dyn Executable>, Error> {
    if engine == Engine::Interpreter {
        return Ok(Arc::new(Interpreter::new(program)));
    }
    match compile(program, platform) {
        Ok(code) => Ok(code),
        Err((program, _)) if engine == Engine::Auto => Ok(Arc::new(Interpreter::new(program))),
        Err((_, reason)) => Err(Error::NotCompiled { reason }),
    }
}

/// The program as machine code, or given back with the reason why not.
type Compiled = Result<Arc<dyn Executable>, (VerifiedProgram, &'static str)>;

#[cfg(all(feature = "jit", target_arch = "x86_64"))]
#[allow(clippy::result_large_err)] // the program is given back
fn compile(program: VerifiedProgram, platform: &Platform) -> Compiled {
    use crate::jit::{JitError, JitProgram, Options};
    let Some(memory) = platform.exec else {
        return Err((program, "this platform has no executable memory"));
    };
    match JitProgram::new(program, memory, Options::default()) {
        Ok(code) => Ok(Arc::new(code)),
        Err((error, program)) => Err((
            program,
            match error {
                JitError::NoMemory => "out of memory",
                JitError::NoRoom { .. } => "no executable memory is left",
                JitError::NotExecutable => "the platform refused to make memory executable",
            },
        )),
    }
}

#[cfg(not(all(feature = "jit", target_arch = "x86_64")))]
#[allow(clippy::result_large_err)] // the program is given back
fn compile(program: VerifiedProgram, _platform: &Platform) -> Compiled {
    Err((program, "this image was built without the compiler"))
}
