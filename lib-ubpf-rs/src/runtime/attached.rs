//! A loaded program as the tracer runs it.

use super::{
    host::{registers, At, AtFunction, Services},
    programs::Loaded,
};
use crate::{
    maps::Lane,
    object::ProgramKind,
    program::limits::{
        BYTES_BEFORE_TIME, CONTEXT_BYTES, HOOK_CONTEXT_BYTES, MOST_ARGUMENTS, MOST_CONTEXT_BYTES, SAMPLE_BYTES,
    },
    tracer::{Failed, Fault, Hook, HookProgram, Returned},
    vm::{Detour, Direct, Executable, Given, Memory, Run, INTERPRETED},
};

/// Bytes of stack that a run needs.
pub const STACK_BYTES: usize = crate::vm::STACK_BYTES;

pub(super) struct TracedProgram {
    pub(super) loaded: Loaded,
    pub(super) services: &'static Services,
}

impl HookProgram for TracedProgram {
    fn run(&self, mut hook: Hook<'_>) -> Result<(), Failed> {
        let budget = hook.budget;
        let Hook { key, start, cookie, frame, returned, sample, arguments, stack_at, .. } = hook;
        let at = At { key, start, cookie, frame, returned, sample, arguments, stack_at };
        let host = AtFunction { services: self.services, at: &at };
        let (context, stack, failures) = hook.split();
        let context = arrange(self.loaded.kind, context, &at, self.services);
        let len = context.len() as u64;
        let Ok(lane) = self.loaded.claim_lane() else {
            return Err(failures.report(Fault::NoLane, &self.loaded.name));
        };
        let memory = surrounded(Memory::new(context, stack), &self.loaded, lane.as_ref(), self.services);
        let mut run =
            Run { args: [memory.argument().base, len], memory, budget, helpers: self.loaded.helpers, host: &host };
        divide_budget(&*self.loaded.code, &mut run, false);
        match self.loaded.code.run(&mut run) {
            Ok(_) => Ok(()),
            Err(stop) => {
                let (regions, name) = (run.memory.regions(), run.memory.stopped_in().unwrap_or(&self.loaded.name));
                Err(failures.report(Fault::Stopped { stop, regions }, name))
            }
        }
    }

    fn direct(&self) -> Result<Direct, Detour> {
        let given = match self.loaded.kind {
            ProgramKind::Registers => Given::Registers,
            ProgramKind::Arguments => Given::Arguments(MOST_ARGUMENTS as u8),
            ProgramKind::Memory => Given::Call,
            // Nothing is known of what they would be given.
            _ if self.loaded.may_look_behind(0) => return self.loaded.direct(self.services).and(Err(Detour::Argument)),
            _ => Given::Call,
        };
        Ok(Direct { given, ..self.loaded.direct(self.services)? })
    }

    fn wants_entry_time(&self) -> bool {
        self.loaded.kind == ProgramKind::Memory && self.loaded.may_look_behind(BYTES_BEFORE_TIME)
    }
}

/// The argument of a program of this kind: the key and zeros, at a return the key, the result, the arguments, the time and when it began; the
/// registers; the arguments in registers, behind them the result at a return, and zeros; or what a timer has interrupted, its period, and 0.
/// *Hook path.*
fn arrange<'c>(
    kind: ProgramKind,
    context: &'c mut [u8; MOST_CONTEXT_BYTES],
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
            let bp = at.stack_at.frame_pointer;
            fill(&at.frame.registers(ip, bp, at.returned.map(|returned| [returned.stack, returned.value])));
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
                fill(&[at.key, value, a, b, c, d, e, f, took_ns, entered_ns]);
            }
            return context.get_mut(..CONTEXT_BYTES).unwrap_or(&mut []);
        }
        ProgramKind::Sample => {
            if let Some(sample) = at.sample {
                fill(sample.registers);
                let place = context.get_mut(HOOK_CONTEXT_BYTES..).and_then(|rest| rest.first_chunk_mut());
                place.into_iter().for_each(|place| *place = sample.period_ns.to_le_bytes());
            }
            return context.get_mut(..SAMPLE_BYTES).unwrap_or(&mut []);
        }
        ProgramKind::Xdp
        | ProgramKind::Classifier
        | ProgramKind::Socket
        | ProgramKind::Unfired
        | ProgramKind::Tracepoint
        | ProgramKind::Words => return context.get_mut(..CONTEXT_BYTES).unwrap_or(&mut []),
    }
    context.get_mut(..HOOK_CONTEXT_BYTES).unwrap_or(&mut [])
}

/// A configured budget is meant for machine code: a run that is interpreted gets its part of it. *Hook path.*
pub(super) fn divide_budget(code: &dyn Executable, run: &mut Run<'_>, in_slices: bool) {
    match code.interprets(run, in_slices) {
        true => {
            run.budget /= INTERPRETED;
            run.memory.divide_for_helpers();
        }
        false => run.memory.divide_for_callees(),
    }
}

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
