//! The part of a hook that is written in Rust: runs the probes of the site on the claimed area.

use super::{
    arch::current::{self, Frame, Registers},
    direct,
    frames::{self, ReturnFrame, RETURNS},
    pool::{Control, Scratch},
    probe::{Failures, Hook, Probe, ProbeList, Returned, Sample, Started},
    site::SiteState,
    stack::StackAt,
    timer, Settings, TRACER,
};
use crate::platform::Thread;
use core::{ptr, sync::atomic::Ordering};

/// Called by the CPU's entry of hooks on a claimed area, with the vector registers saved.
///
/// # Safety
/// `site`, `frame` and `control` are what the entry made of them: a leaked state, the saved registers on the traced
/// stack, and the control block of an area that this call has to itself; `frame_pointer` may be anything.
pub(super) unsafe fn enter(
    key: u64,
    site: *const SiteState,
    frame: *const Frame,
    control: *const Control,
    frame_pointer: u64,
) {
    // SAFETY: see above. The list is not freed before this area is given back (`pool::Grace`), and the scratch memory belongs to
    // the area, hence to this call alone.
    let (list, site, frame, scratch) = unsafe {
        let list = (*site).probes.load(Ordering::SeqCst).as_ref();
        (list, &*site, &*frame, &mut *(*control).scratch.get())
    };
    let (Some(list), Some(settings)) = (list, TRACER.settings()) else {
        return;
    };
    direct::adopt_counters(settings);
    let started = Started::now();
    let own = is_own(settings, frame);
    let returns = site.flags.load(Ordering::Relaxed) & RETURNS != 0
        && list.probes.iter().any(|probe| probe.point.is_return() && probe.is_for(own));
    // SAFETY: programs are attached to returns only where the return address stands above the saved registers at the stub.
    if returns && !unsafe { frames::take(site, frame, settings) } {
        let missing = list.probes.iter().filter(|probe| probe.point.is_return() && probe.is_there(started));
        for probe in missing.filter(|probe| probe.is_for(own)) {
            probe.counts.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
    if own {
        // Those at a return of which a frame is kept are left out there.
        list.leave_out(|probe| probe.is_there(started) && !(returns && probe.point.is_return()));
    }
    // SAFETY: above the registers lies at least the frame of whoever called the entry.
    let above = unsafe { frame.above() };
    let run = &mut Runs {
        settings,
        scratch,
        site: HookSite { key, frame, returned: None, sample: None, above, frame_pointer },
    };
    run.all(list, started, |probe| !probe.point.is_return() && probe.is_for(own));
}

/// Whether it is the engine's own control path that passes.
fn is_own(settings: &Settings, registers: &Frame) -> bool {
    settings.platform.cpu.is_own(ptr::from_ref(registers) as u64)
}

/// Called by the pad on a claimed area, with the vector registers saved, for a call that returns, and for those that were made in place of
/// its return.
///
/// # Safety
/// `first` is the call's own frame, `registers` and `control` are as for [`enter`].
pub(super) unsafe fn leave(
    first: &'static ReturnFrame,
    registers: *const Frame,
    control: *const Control,
    frame_pointer: u64,
) {
    let mut next = Some(first);
    while let Some(frame) = next {
        // SAFETY: see above, and as in `enter`.
        let (list, registers, scratch) = unsafe {
            let list = frame.site().and_then(|site| site.probes.load(Ordering::SeqCst).as_ref());
            (list, &*registers, &mut *(*control).scratch.get())
        };
        if let (Some(list), Some(settings)) = (list, TRACER.settings()) {
            direct::adopt_counters(settings);
            let (started, own) = (Started::now(), is_own(settings, registers));
            if own {
                list.leave_out(|probe| probe.is_there(started) && frame.had(probe));
            }
            let key = frame.site().map_or(0, |site| site.key);
            let returned = Some(Returned {
                value: registers.result(),
                arguments: frame.arguments.each_ref().map(|argument| argument.load(Ordering::Relaxed)),
                home: frame.home.load(Ordering::Relaxed),
                stack: frame.slot() + 8,
                entered_ns: frame.entered_ns.load(Ordering::Relaxed),
            });
            let site = HookSite { key, frame: registers, returned, sample: None, above: 0, frame_pointer };
            let run = &mut Runs { settings, scratch, site };
            run.all(list, started, |probe| frame.had(probe) && probe.is_for(own));
        }
        next = frame.below();
        frame.release();
    }
}

/// Called by the CPU's entry of ticks on a claimed area, with the vector registers saved.
///
/// # Safety
/// `registers` can be read, and `control` is as for [`enter`].
pub(super) unsafe fn tick(registers: *const Registers, passed_ns: u64, of: u64, control: *const Control) {
    // SAFETY: see above, and as in `enter`.
    let (registers, scratch) = unsafe { (&*registers, &mut *(*control).scratch.get()) };
    let Some(settings) = TRACER.settings() else {
        return;
    };
    let (frame, [key, stack, frame_pointer]) = Frame::interrupted(registers);
    let (started, cpu) = (Started::now(), settings.platform.cpu);
    // No program of the application's time runs in what is none: samples of a halted CPU would cost more than those of a busy one are worth.
    let of_none = cpu.running() == Thread::IDLE || cpu.is_own(stack);
    timer::tick(passed_ns, of, settings, |state, timer| {
        // SAFETY: as in `enter`.
        if let Some(list) = unsafe { state.probes.load(Ordering::SeqCst).as_ref() } {
            let own = of_none && !timer.by_clock;
            if own {
                list.leave_out(|probe| probe.is_there(started));
            }
            let sample = Some(Sample { registers, period_ns: timer.period_ns });
            let site = HookSite { key, frame: &frame, returned: None, sample, above: 0, frame_pointer };
            Runs { settings, scratch: &mut *scratch, site }.all(list, started, |probe| probe.is_for(own));
        }
    });
}

struct HookSite<'a> {
    key: u64,
    frame: &'a Frame,
    returned: Option<Returned>,
    sample: Option<Sample<'a>>,
    /// The word above the registers.
    above: u64,
    /// What the register of frame pointers held.
    frame_pointer: u64,
}

impl HookSite<'_> {
    /// The stack, for programs of a probe here.
    fn stack(&self, probe: &Probe, start: u64) -> StackAt {
        let begun = !probe.point.site().kind.is_patched();
        let (caller, slot) = match &self.returned {
            // The walk finds the caller.
            _ if self.sample.is_some() => (0, 0),
            Some(returned) => (returned.home, 0),
            // What a function that calls the tracer by itself says of its caller.
            None if begun => (self.frame.argument(1).unwrap_or(0), 0),
            None => (self.above, self.frame.slot().unwrap_or(0)),
        };
        let on_stack = self
            .sample
            .as_ref()
            .map_or(ptr::from_ref(self.frame).cast(), |sample| ptr::from_ref(sample.registers).cast::<u8>());
        let (frame_pointer, stack) = (self.frame_pointer, on_stack as u64);
        let function = if start == 0 { self.key } else { start };
        let (pad, home) = (current::return_pad(), frames::home_of as fn(u64) -> Option<u64>);
        StackAt { function, caller, slot, frame_pointer, stack, begun, pad, home }
    }
}

struct Runs<'a> {
    settings: &'a Settings,
    scratch: &'a mut Scratch,
    site: HookSite<'a>,
}

impl Runs<'_> {
    fn all(&mut self, list: &ProbeList, started: Started, here: impl Fn(&Probe) -> bool) {
        let Runs { settings, scratch, site } = self;
        let interrupt = settings.platform.cpu.in_interrupt();
        let budget = if interrupt { settings.budget_interrupt } else { settings.budget };
        for probe in &list.probes {
            if here(probe) && probe.begin(started) {
                run_one(probe, settings, scratch, site, budget);
            }
        }
    }
}

fn run_one(probe: &Probe, settings: &Settings, scratch: &mut Scratch, site: &HookSite<'_>, budget: u64) {
    scratch.context.fill(0);
    scratch.context[..8].copy_from_slice(&site.key.to_ne_bytes());
    let failures = Failures { probe, settings };
    let start = probe.state.start.load(Ordering::Relaxed);
    let returned = site.returned.map(|returned| probe.told(returned, settings));
    let hook = Hook {
        context: &mut scratch.context,
        stack: &mut scratch.stack,
        budget,
        key: site.key,
        start,
        cookie: probe.cookie,
        arguments: probe.arguments,
        frame: site.frame,
        returned: returned.as_ref(),
        stack_at: site.stack(probe, start),
        sample: site.sample.as_ref(),
        failures,
    };
    let timed = TRACER.stats_on();
    let began = if timed { settings.platform.clock.now_ns() } else { 0 };
    let result = probe.body.run(hook);
    if timed {
        let took = settings.platform.clock.now_ns().saturating_sub(began);
        probe.counts.run_ns.fetch_add(took, Ordering::Relaxed);
        probe.counts.timed_runs.fetch_add(1, Ordering::Relaxed);
    }
    if result.is_err() {
        probe.counts.failures.fetch_add(1, Ordering::Relaxed);
    }
}
