//! A program takes the place of another one, wherever that is attached, at one moment.
//!
//! First everything is made that takes memory. Then the list of each site has both programs for a while, and its hooks take the general way.
//! The moment is that in which one number is raised, as with programs that are attached together: a hook looks at it once for a call
//! ([`Started`](super::probe::Started)), so that each call is seen by one of the two. At returns too: the new one has the id of the old one, so
//! that it is there for the calls that were entered before.

use super::{
    attach::{looks, AttachError},
    control::{new_list, Change, Replaced},
    point::Point,
    pool::HOOKS,
    probe::{AttachOptions, HookProgram, Probe, ProbeId, ProbeList},
    Tracer,
};
use crate::platform::{copied, has_room, shown, SMALL_THINGS_THAT_STAY};
use alloc::{string::String, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};

/// A program that is attached.
pub struct Present<'a> {
    /// Which one it is.
    pub id: ProbeId,
    /// What it hangs on.
    pub point: Point,
    /// The function, as it was named.
    pub function: &'a str,
    /// The program's name.
    pub program: &'a str,
    /// What runs.
    pub body: &'a dyn HookProgram,
    /// What was said of the function when it was attached.
    pub options: AttachOptions,
}

/// What takes its place.
pub struct Successor {
    /// The program's name.
    pub program: String,
    /// What runs.
    pub body: Arc<dyn HookProgram>,
}

/// Says of a program which one takes its place, if any does. It must not call the tracer.
pub type Choose<'c, E> = &'c mut dyn FnMut(&Present<'_>) -> Result<Option<Successor>, E>;

/// What is made, unpublished.
struct ReplacePlan {
    /// The number by which the new programs begin.
    moment: u64,
    sites: Vec<Changed>,
    olds: Vec<Arc<Probe>>,
    /// How many of the new ones may look at the two-key map.
    lookers: usize,
}

/// A site where programs are replaced: its number, the list with old and new ones, and that with the new ones.
struct Changed {
    at: usize,
    both: *mut ProbeList,
    after: *mut ProbeList,
}

impl Probe {
    fn present(&self) -> Present<'_> {
        let Probe { id, point, cookie, arguments, own, .. } = *self;
        let at_return = point.is_return();
        let options = AttachOptions { cookie, arguments, own, at_return, ..AttachOptions::default() };
        Present { id, point, function: &self.function, program: &self.program, body: &*self.body, options }
    }

    /// The probe of the program that takes the place of its own; `None` without memory.
    fn followed_by(&self, successor: Successor, moment: u64) -> Option<Probe> {
        Some(Probe {
            id: self.id,
            point: self.point,
            state: self.state,
            program: successor.program.into_boxed_str(),
            function: copied(&self.function)?.into_boxed_str(),
            looks: looks(&*successor.body),
            body: successor.body,
            max_runs: self.max_runs,
            cookie: self.cookie,
            arguments: self.arguments,
            own: self.own,
            wants_errno: self.wants_errno,
            deadline_ns: self.deadline_ns,
            since_ns: self.since_ns,
            misses_before: self.misses_before,
            from: moment,
            until: AtomicU64::new(u64::MAX),
            counts: self.counts.clone(),
        })
    }
}

impl Tracer {
    /// Calls `each` with every attached program; it must not call the tracer.
    pub fn for_each_present(&self, each: &mut dyn FnMut(&Present<'_>)) {
        let state = self.control.lock();
        state.attached.iter().flat_map(|attached| attached.probes()).for_each(|probe| each(&probe.present()));
    }

    /// Replaces programs: all that `choose` gives another one for, at one moment, or none. Each call of their functions is seen by the old or
    /// by the new one. A new one has the id, the place in the order, the counts and the limits of the old one. When this returns, the old ones
    /// run no more. Gives how many it were.
    ///
    /// # Errors
    /// Those of `choose`; [`AttachError::AlreadyAttached`]: the new program is there already; [`AttachError::Busy`]; [`AttachError::NoMemory`].
    pub fn replace<E: From<AttachError>>(&self, choose: Choose<'_, E>) -> Result<usize, E> {
        let settings = self.settings().ok_or(AttachError::NotInitialised)?;
        let busy = |command| AttachError::Busy { command };
        let mut change = Change::begin(self, settings, "replace").map_err(busy)?;
        change.reap(settings.platform.clock.now_ns());
        let mut state = change.lock();
        let moment = state.next_id;
        state.next_id += 1;
        drop(state);
        let mut plan = ReplacePlan { moment, sites: Vec::new(), olds: Vec::new(), lookers: 0 };
        let mut at = 0;
        while at < change.lock().attached.len() {
            if let Err(error) = change.plan_site(at, &mut plan, choose) {
                plan.give_up();
                return Err(error);
            }
            change.pace.go_on();
            at += 1;
        }
        let count = plan.olds.len();
        change.exchange(plan);
        Ok(count)
    }
}

impl ReplacePlan {
    fn give_up(self) {
        for site in self.sites {
            // SAFETY: no hook has seen them.
            unsafe {
                Replaced(site.both).free();
                Replaced(site.after).free();
            }
        }
    }
}

/// No two of these are the same program at the same point.
fn are_different(probes: &[Arc<Probe>]) -> Result<(), AttachError> {
    let mut rest = probes;
    while let Some((one, others)) = rest.split_first() {
        if others.iter().any(|other| other.point == one.point && other.program == one.program) {
            let (function, program) = (shown(&one.function), shown(&one.program));
            return Err(AttachError::AlreadyAttached { function, program });
        }
        rest = others;
    }
    Ok(())
}

impl Change<'_> {
    /// Makes what is needed where programs of a site are replaced.
    fn plan_site<E: From<AttachError>>(
        &self,
        at: usize,
        plan: &mut ReplacePlan,
        choose: Choose<'_, E>,
    ) -> Result<(), E> {
        let no_memory = || AttachError::NoMemory;
        let state = self.lock();
        let Some(attached) = state.attached.get(at) else { return Ok(()) };
        let present = attached.probes();
        let (mut both, mut after): (Vec<Arc<Probe>>, Vec<Arc<Probe>>) = (Vec::new(), Vec::new());
        both.try_reserve_exact(present.len().saturating_mul(2)).map_err(|_| no_memory())?;
        after.try_reserve_exact(present.len()).map_err(|_| no_memory())?;
        plan.olds.try_reserve(present.len()).map_err(|_| no_memory())?;
        plan.sites.try_reserve(1).map_err(|_| no_memory())?;
        for probe in present {
            both.push(probe.clone());
            let Some(successor) = choose(&probe.present())? else {
                after.push(probe.clone());
                continue;
            };
            has_room(SMALL_THINGS_THAT_STAY).then_some(()).ok_or_else(no_memory)?;
            let next = Arc::new(probe.followed_by(successor, plan.moment).ok_or_else(no_memory)?);
            plan.lookers += usize::from(next.looks);
            plan.olds.push(probe.clone());
            both.push(next.clone());
            after.push(next);
        }
        if both.len() == present.len() {
            return Ok(());
        }
        are_different(&after)?;
        let both = new_list(both).ok_or_else(no_memory)?;
        let after = new_list(after).ok_or_else(|| {
            // SAFETY: no hook has seen it.
            unsafe { Replaced(both).free() };
            no_memory()
        })?;
        plan.sites.push(Changed { at, both, after });
        Ok(())
    }

    /// Does what cannot fail.
    fn exchange(&mut self, plan: ReplacePlan) {
        self.expect_lookers(plan.lookers);
        plan.olds.iter().for_each(|old| old.until.store(plan.moment, Ordering::SeqCst));
        for site in &plan.sites {
            // Who has seen the list before has ended: from here on every hook of the site sees both.
            let before = self.publish(site.at, site.both);
            before.into_iter().for_each(|list| self.retire(list));
            self.pace.go_on();
        }
        HOOKS.started.store(plan.moment + 1, Ordering::SeqCst);
        for site in &plan.sites {
            let both = self.publish(site.at, site.after);
            self.open(site.at);
            both.into_iter().for_each(|list| self.retire(list));
            self.pace.go_on();
        }
        let looked = plan.olds.iter().filter(|old| old.looks).count();
        self.lock().lookers -= looked;
    }
}
