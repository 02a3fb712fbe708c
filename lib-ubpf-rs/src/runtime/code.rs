//! Which engine a program gets.

use super::{compiler, room_for_small_things, Engine, Error};
use crate::{
    maps::Maps,
    platform::{Pace, Platform},
    verifier::{VerifiedProgram, Work},
    vm::{Executable, Interpreter},
};
use alloc::sync::Arc;

/// A program ready to run, and why it is interpreted where machine code was to be expected.
pub(super) struct ReadyProgram {
    pub(super) code: Arc<dyn Executable>,
    pub(super) fallback: Option<&'static str>,
}

impl ReadyProgram {
    fn interpreted(
        program: VerifiedProgram,
        fallback: Option<&'static str>,
        platform: &Platform,
    ) -> Result<ReadyProgram, Error> {
        let mut pace = Pace::new(platform);
        let code = shared(Interpreter::in_pieces(program, &mut || pace.go_on()))?;
        Ok(ReadyProgram { code, fallback })
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
) -> Result<ReadyProgram, Error> {
    let short = program.worst_cost().is_some_and(|cost| cost <= ONCE);
    if engine == Engine::Auto && how == Use::Once && short {
        return Ok(ReadyProgram { code: shared(Interpreter::plain(program))?, fallback: None });
    }
    if engine == Engine::Interpreter {
        return ReadyProgram::interpreted(program, None, platform);
    }
    let why_not = why_interpreted(platform);
    let compiled = match (why_not, platform.exec) {
        (None, Some(memory)) => compiler::compile(program, maps, memory, work),
        _ => Err((program, why_not)),
    };
    match compiled {
        Ok(code) => Ok(ReadyProgram { code: shared(code)?, fallback: None }),
        Err((_, None)) => Err(Error::Cancelled),
        Err((program, reason)) if engine == Engine::Auto => {
            // Where no program is compiled, nobody expects it of this one.
            ReadyProgram::interpreted(program, reason.filter(|_| why_not.is_none()), platform)
        }
        Err((_, Some(reason))) => Err(Error::NotCompiled { reason }),
    }
}

/// Why no program becomes machine code here; `None` where they do.
pub(super) fn why_interpreted(platform: &Platform) -> Option<&'static str> {
    match platform.exec {
        None => Some("this platform has no executable memory"),
        Some(_) => compiler::WHY_NOT,
    }
}
