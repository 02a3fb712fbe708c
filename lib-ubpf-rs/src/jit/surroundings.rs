//! What a program that runs directly finds for its helpers: a block that its code reaches through r9, with the places of what is inline, and a
//! way to call any other helper that does not end it.

use super::{
    arch::{inline_routines, routines},
    context::{RunContext, BIAS},
};
use crate::{
    helpers::{Host, InlinePlaces, Needs, Registry},
    maps::{Lane, Maps},
    platform::boxed,
    program::{limits::OWN_LANES, Abi},
    verifier::planted::{self, Bug},
    vm::{call_helper, Called, Direct, Memory, Metering, Run},
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{ops::Range, slice};

/// Helpers for one program that runs directly. It stays where it is, as long as the program can be called.
pub struct Helpers {
    /// Shared with machine code, which never changes it; one for each lane where that matters. Its `session` leads to the rest.
    contexts: Box<[RunContext]>,
    rest: Box<[HelperNeeds; 1]>,
}

/// What a call of a helper needs.
struct HelperNeeds {
    registry: &'static Registry,
    host: &'static dyn Host,
    maps: Option<Arc<Maps>>,
    abi: Abi,
    /// Bytes below the end of the program's frame that are the program's, and of its argument below them.
    stack: u64,
    argument: u64,
}

// SAFETY: nothing in it changes once it is made; the addresses in the context lead to what lives as long as it, or for ever.
unsafe impl Send for Helpers {}
// SAFETY: as above.
unsafe impl Sync for Helpers {}

impl Helpers {
    /// Those of `program`. `entry` is the routine that leads to [`call_helper_directly`]: it is called as machine code calls helpers. `None`
    /// without memory, or where something that the program needs inline is not there.
    pub fn new(
        program: &Direct,
        (abi, maps): (Abi, Option<Arc<Maps>>),
        registry: &'static Registry,
        host: &'static dyn Host,
        entry: usize,
    ) -> Option<Helpers> {
        let places = InlinePlaces::of(host);
        if !places.has().contains(program.needs) {
            return None;
        }
        let argument = argument_words(program).count().wrapping_mul(8) as u64;
        let rest = boxed(HelperNeeds { registry, host, maps, abi, stack: program.stack, argument })?;
        let lanes = if program.needs.contains(Needs::LANE) { OWN_LANES } else { 1 };
        let mut contexts = Vec::new();
        contexts.try_reserve_exact(lanes).ok()?;
        contexts.extend((0..lanes).map(|place| {
            let memory = Memory::new(&mut [], &mut []).in_lane(Lane::own(place));
            let mut context = RunContext::new(&memory, routines());
            context.work_with(&places, &inline_routines());
            context.runs_directly(&inline_routines());
            context.routines.helper = entry;
            context.routines.helper_keep = entry;
            context.session = rest.as_ptr() as usize;
            context
        }));
        Some(Helpers { contexts: contexts.into_boxed_slice(), rest })
    }

    /// What r9 must hold, in the first lane; in the next ones [`LANE_STEP`](super::trampoline::LANE_STEP) more each.
    pub fn block(&self) -> u64 {
        debug_assert_eq!(self.rest.len(), 1);
        (self.contexts.as_ptr() as u64).wrapping_add(BIAS as u64)
    }
}

/// Calls a helper for a program that runs directly, on a stack with room for it, and gives r0. `frame_end` is the program's r10 where it has
/// one. *Hook path.*
///
/// # Safety
/// `block` is that of [`Helpers`] that live, and the program is one whose code was emitted for them: what it proved of its arguments holds.
pub unsafe fn call_helper_directly(block: u64, number: u64, args: &[u64; 5], frame_end: u64) -> u64 {
    // SAFETY: see above; neither is changed by anybody.
    let (rest, lane) = unsafe {
        let context = (block as usize).wrapping_sub(BIAS) as *const RunContext;
        (&*((*context).session as *const HelperNeeds), (*context).lane as u32)
    };
    let number = number as u32;
    let Some(helper) = rest.registry.get(rest.abi, number) else { return 0 };
    let part = |below: u64, len: u64| {
        let at = frame_end.wrapping_sub(below) as *mut u8;
        // SAFETY: the trampoline has put so much there for this run alone, which waits for this call.
        unsafe { slice::from_raw_parts_mut(at, len as usize) }
    };
    let (stack, argument) = (rest.stack, rest.argument);
    let memory = match frame_end {
        _ if helper.signature.touches_no_memory() => Memory::new(&mut [], &mut []),
        _ => Memory::new(part(stack.wrapping_add(argument), argument), part(stack, stack)),
    };
    let memory = match &rest.maps {
        Some(maps) if planted::active(Bug::RecordNotLent) => memory.with_maps(maps),
        Some(maps) => memory.with_maps(maps).with_unlisted_records(),
        None => memory,
    };
    let memory = memory.in_lane(lane);
    let mut run = Run { args: [0; 2], memory, budget: 0, helpers: rest.registry, host: rest.host };
    match call_helper(&mut run, helper, *args, Metering::Prepaid, 0) {
        Ok(Called::Returned(value)) => value,
        // Its arguments were proved, and it does not end programs.
        Ok(Called::Ended) | Err(_) => 0,
    }
}

/// The words of the argument that a program has, by their number: none where it does not read it, else those from the first to the last that
/// it may touch.
pub(super) fn argument_words(program: &Direct) -> Range<usize> {
    let Direct { argument_first, argument, .. } = *program;
    let (first, last) = (argument_first / 8, argument.div_ceil(8));
    match program.reads_argument {
        true => first as usize..last.max(first.saturating_add(1)) as usize,
        false => 0..0,
    }
}
