//! The part of a hook that is written in Rust: runs the probes of the site on the claimed area.

use super::{
    arch::current::Frame,
    direct,
    point::Point,
    pool::{Control, Scratch},
    probe::{Failures, Hook, Probe, ProbeList},
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
    let (list, frame, scratch) = unsafe {
        let list = (*site).probes.load(Ordering::SeqCst).as_ref();
        (list, &*frame, &mut *(*control).scratch.get())
    };
    let (Some(list), Some(settings)) = (list, TRACER.settings()) else {
        return;
    };
    direct::adopt_counters(settings);
    run_all(list, settings, scratch, Site { key, frame });
}

struct Site<'a> {
    key: u64,
    frame: &'a Frame,
}

fn run_all(list: &ProbeList, settings: &Settings, scratch: &mut Scratch, site: Site<'_>) {
    let interrupt = settings.platform.cpu.in_interrupt();
    let budget = if interrupt { settings.budget_interrupt } else { settings.budget };
    for probe in &list.probes {
        let here = match probe.point {
            Point::Entry(_) => true,
        };
        if here && probe.begin() {
            run_one(probe, settings, scratch, &site, budget);
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
        frame: site.frame,
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
