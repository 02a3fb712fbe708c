//! A loaded program as the tracer runs it.

use super::{
    host::{AtFunction, Services},
    programs::Loaded,
};
use crate::{
    maps::Lane,
    object::ProgramKind,
    program::limits::{CONTEXT_BYTES, HOOK_CONTEXT_BYTES},
    tracer::{Failed, Frame, Hook, HookProgram},
    vm::{Direct, Executable, Memory, Run, INTERPRETED},
};

/// Bytes of stack that a run needs.
pub const STACK_BYTES: usize = crate::vm::STACK_BYTES;

pub(super) struct Attached {
    pub(super) loaded: Loaded,
    pub(super) services: &'static Services,
}

impl HookProgram for Attached {
    fn run(&self, mut hook: Hook<'_>) -> Result<(), Failed> {
        let budget = hook.budget;
        let host = AtFunction { services: self.services, stack: core::ptr::from_ref(hook.frame) as u64 };
        let (key, frame) = (hook.key, hook.frame);
        let (context, stack, failures) = hook.split();
        let context = arrange(self.loaded.kind, context, frame, key);
        let len = context.len() as u64;
        let Ok(lane) = self.loaded.claim_lane() else {
            let name = &self.loaded.name;
            return Err(failures.report(format_args!("{NO_LANE}\nin program {name}")));
        };
        let memory = surrounded(Memory::new(context, stack), &self.loaded, lane.as_ref(), self.services);
        let mut run =
            Run { args: [memory.argument().base, len], memory, budget, helpers: self.loaded.helpers, host: &host };
        divide_budget(&*self.loaded.code, &mut run, false);
        match self.loaded.code.run(&mut run) {
            Ok(_) => Ok(()),
            Err(stop) => {
                let (memory, name) = (run.memory, &self.loaded.name);
                Err(failures.report(format_args!("{stop}\n{memory}\nin program {name}")))
            }
        }
    }

    fn direct(&self) -> Option<Direct> {
        // What is called directly is given the key alone.
        let loaded = (!self.loaded.needs_registers()).then_some(&self.loaded)?;
        loaded.direct(self.services)
    }
}

/// The argument of a program of this kind: the key and zeros, the registers, or the arguments in registers and zeros. *Hook path.*
fn arrange<'c>(kind: ProgramKind, context: &'c mut [u8; HOOK_CONTEXT_BYTES], frame: &Frame, key: u64) -> &'c mut [u8] {
    let mut fill = |words: &[u64]| {
        for (place, word) in context.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    };
    match kind {
        ProgramKind::Registers => fill(&frame.registers(key)),
        ProgramKind::Arguments => fill(&[0, 1, 2, 3, 4, 5].map(|n| frame.argument(n).unwrap_or(0))),
        ProgramKind::Memory
        | ProgramKind::Xdp
        | ProgramKind::Classifier
        | ProgramKind::Socket
        | ProgramKind::Unfired => return context.get_mut(..CONTEXT_BYTES).unwrap_or(&mut []),
    }
    context
}

/// A configured budget is meant for machine code: a run that is interpreted gets its part of it. *Hook path.*
pub(super) fn divide_budget(code: &dyn Executable, run: &mut Run<'_>, in_slices: bool) {
    if code.interprets(run, in_slices) {
        run.budget /= INTERPRETED;
    }
}

/// Why a run does not begin.
pub(super) const NO_LANE: &str =
    "all slots of values per CPU are in use: more such programs are running than have one each";

/// Adds the shared memory of the engine and the program's maps, of which it may have slots of its own, to a run's regions. *Hook path.*
pub(super) fn surrounded<'a>(
    memory: Memory<'a>,
    loaded: &'a Loaded,
    lane: Option<&Lane>,
    services: &Services,
) -> Memory<'a> {
    let memory = memory.in_lane(lane.map_or(0, Lane::number));
    let (base, len) = services.arena;
    // SAFETY: the arena was leaked when the engine started, so it is valid for ever; only programs and the application's
    // atomics touch it.
    let memory = unsafe { memory.with_arena(base, len) };
    match &loaded.maps {
        Some(maps) => memory.with_maps(maps),
        None => memory,
    }
}
