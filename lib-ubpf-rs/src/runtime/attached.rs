//! A loaded program as the tracer runs it.

use super::{
    host::{registers, At, AtFunction, Services},
    programs::Loaded,
};
use crate::{
    maps::Lane,
    object::ProgramKind,
    program::limits::{CONTEXT_BYTES, HOOK_CONTEXT_BYTES, MOST_ARGUMENTS},
    tracer::{Failed, Hook, HookProgram, Returned},
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
        let Hook { key, start, cookie, frame, returned, arguments, .. } = hook;
        let at = At { key, start, cookie, frame, returned, arguments };
        let host = AtFunction { services: self.services, at: &at };
        let (context, stack, failures) = hook.split();
        let context = arrange(self.loaded.kind, context, &at, self.services);
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
                let (regions, name) = (run.memory.regions(), run.memory.stopped_in().unwrap_or(&self.loaded.name));
                Err(failures.report(format_args!("{stop}\n{regions}\nin program {name}")))
            }
        }
    }

    fn direct(&self) -> Option<Direct> {
        // What is called directly is given the key alone.
        let loaded = (!self.loaded.needs_registers()).then_some(&self.loaded)?;
        loaded.direct(self.services)
    }

    fn wants_entry_time(&self) -> bool {
        self.loaded.kind == ProgramKind::Memory && self.loaded.may_look_behind(BYTES_BEFORE_TIME)
    }
}

/// Bytes of the argument of a flat program at a return that stand before the time that the call took.
const BYTES_BEFORE_TIME: u64 = 64;

/// The argument of a program of this kind: the key and zeros, at a return the key, the result, the arguments and the time; the registers; or the
/// arguments in registers, behind them the result at a return, and zeros. *Hook path.*
fn arrange<'c>(
    kind: ProgramKind,
    context: &'c mut [u8; HOOK_CONTEXT_BYTES],
    at: &At<'_>,
    services: &Services,
) -> &'c mut [u8] {
    let mut fill = |words: &[u64]| {
        for (place, word) in context.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    };
    match kind {
        ProgramKind::Registers => {
            let ip = at.returned.map_or(at.key, |returned| returned.home);
            fill(&at.frame.registers(ip, at.returned.map(|returned| returned.stack)));
        }
        ProgramKind::Arguments => match at.returned {
            None => fill(&registers(at.frame)),
            Some(&Returned { arguments, value, .. }) => {
                let count = at.arguments.map_or(MOST_ARGUMENTS, usize::from);
                let mut words = [0; MOST_ARGUMENTS + 1];
                words.iter_mut().zip(arguments.iter().take(count)).for_each(|(to, from)| *to = *from);
                if let Some(result) = words.get_mut(count) {
                    *result = value;
                }
                fill(&words);
            }
        },
        ProgramKind::Memory => {
            if let Some(&Returned { value, arguments: [a, b, c, d, e, f], entered_ns, .. }) = at.returned {
                let since = |entered| services.platform.clock.now_ns().saturating_sub(entered);
                let took_ns = if entered_ns == 0 { 0 } else { since(entered_ns) };
                fill(&[at.key, value, a, b, c, d, e, f, took_ns]);
            }
            return context.get_mut(..CONTEXT_BYTES).unwrap_or(&mut []);
        }
        ProgramKind::Xdp
        | ProgramKind::Classifier
        | ProgramKind::Socket
        | ProgramKind::Unfired
        | ProgramKind::Tracepoint
        | ProgramKind::Words
        | ProgramKind::Sample => return context.get_mut(..CONTEXT_BYTES).unwrap_or(&mut []),
    }
    context
}

/// A configured budget is meant for machine code: a run that is interpreted gets its part of it. *Hook path.*
pub(super) fn divide_budget(code: &dyn Executable, run: &mut Run<'_>, in_slices: bool) {
    match code.interprets(run, in_slices) {
        true => run.budget /= INTERPRETED,
        false => run.memory.divide_for_callees(),
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
