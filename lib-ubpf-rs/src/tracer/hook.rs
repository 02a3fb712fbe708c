//! The part of a hook that is written in Rust: runs the probes of the site on the claimed area.

use super::{
    arch::current::Frame,
    direct,
    frames::{self, ReturnFrame, RETURNS},
    pool::{Control, Scratch},
    probe::{Failures, Hook, Probe, ProbeList, Returned},
    site::SiteState,
    Settings, TRACER,
};
use core::sync::atomic::Ordering;

/// Called by the CPU's entry of hooks on a claimed area, with the vector registers saved.
///
/// # Safety
/// `site`, `frame` and `control` are what the trampoline made of them: a leaked state, the saved registers on the traced
/// stack, and the control block of an area that this call has to itself.
pub(super) unsafe fn enter(key: u64, site: *const SiteState, frame: *const Frame, control: *const Control) {
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
    let returns = site.flags.load(Ordering::Relaxed) & RETURNS != 0;
    // SAFETY: programs are attached to returns only where the return address stands above the saved registers at the stub.
    if returns && !unsafe { frames::take(site, frame, settings) } {
        let missing = list.probes.iter().filter(|probe| probe.point.is_return() && probe.has_started());
        for probe in missing {
            probe.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
    let run = &mut Runs { settings, scratch, site: Site { key, frame, returned: None } };
    run.all(list, |probe| !probe.point.is_return());
}

/// Called by the pad on a claimed area, with the vector registers saved, for a call that returns, and for those that were made in place of
/// its return.
///
/// # Safety
/// `first` is the call's own frame, `registers` and `control` are as for [`enter`].
pub(super) unsafe fn leave(first: &'static ReturnFrame, registers: *const Frame, control: *const Control) {
    let mut next = Some(first);
    while let Some(frame) = next {
        // SAFETY: see above, and as in `enter`.
        let (list, registers, scratch) = unsafe {
            let list = frame.site().and_then(|site| site.probes.load(Ordering::SeqCst).as_ref());
            (list, &*registers, &mut *(*control).scratch.get())
        };
        if let (Some(list), Some(settings)) = (list, TRACER.settings()) {
            direct::adopt_counters(settings);
            let key = frame.site().map_or(0, |site| site.key);
            let returned = Some(Returned {
                value: registers.result(),
                arguments: frame.arguments.each_ref().map(|argument| argument.load(Ordering::Relaxed)),
                home: frame.home.load(Ordering::Relaxed),
                stack: frame.slot() + 8,
                entered_ns: frame.entered_ns.load(Ordering::Relaxed),
            });
            let run = &mut Runs { settings, scratch, site: Site { key, frame: registers, returned } };
            run.all(list, |probe| frame.had(probe));
        }
        next = frame.below();
        frame.release();
    }
}

struct Site<'a> {
    key: u64,
    frame: &'a Frame,
    returned: Option<Returned>,
}

struct Runs<'a> {
    settings: &'a Settings,
    scratch: &'a mut Scratch,
    site: Site<'a>,
}

impl Runs<'_> {
    fn all(&mut self, list: &ProbeList, here: impl Fn(&Probe) -> bool) {
        let Runs { settings, scratch, site } = self;
        let interrupt = settings.platform.cpu.in_interrupt();
        let budget = if interrupt { settings.budget_interrupt } else { settings.budget };
        for probe in &list.probes {
            if here(probe) && probe.begin() {
                run_one(probe, settings, scratch, site, budget);
            }
        }
    }
}

fn run_one(probe: &Probe, settings: &Settings, scratch: &mut Scratch, site: &Site<'_>, budget: u64) {
    scratch.context.fill(0);
    scratch.context[..8].copy_from_slice(&site.key.to_ne_bytes());
    let failures = Failures { probe, settings };
    let hook = Hook {
        context: &mut scratch.context,
        stack: &mut scratch.stack,
        budget,
        key: site.key,
        start: probe.state.start.load(Ordering::Relaxed),
        cookie: probe.cookie,
        arguments: probe.arguments,
        frame: site.frame,
        returned: site.returned.as_ref(),
        failures,
    };
    let timed = TRACER.stats_on();
    let start = if timed { settings.platform.clock.now_ns() } else { 0 };
    let result = probe.body.run(hook);
    if timed {
        let took = settings.platform.clock.now_ns().saturating_sub(start);
        probe.run_ns.fetch_add(took, Ordering::Relaxed);
        probe.timed_runs.fetch_add(1, Ordering::Relaxed);
    }
    if result.is_err() {
        probe.failures.fetch_add(1, Ordering::Relaxed);
    }
}
