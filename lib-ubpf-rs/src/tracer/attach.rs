//! Attaching: programs go to their points all together, or none does. First everything is made that can fail for the function's sake or for
//! want of memory, and nothing of it can be seen. Then the text is changed, and changed back where it fails in one place. The programs run
//! from the moment on in which one number is raised: [`Hooks::started`](super::pool::Hooks).

use super::{
    arch::current::{
        self,
        patch::{self, Stub, NOP5, STUB_LEN},
    },
    control::{copy_of, new_list, Attached, Change, Replaced, Settings, Stuck, TracerState},
    deny,
    direct::{GateRef, Trampoline},
    frames,
    point::Point,
    pool::HOOKS,
    probe::{AttachOptions, HookProgram, Probe, ProbeId, ProbeList},
    site::{self, Site, SiteKind, SiteState},
    timer::{self, TimerPeriod},
    Tracer,
};
use crate::platform::{copied, has_room, sets_errno, shown, PatchError, TextChange, TextPatch, SMALL_THINGS_THAT_STAY};
use alloc::{string::String, sync::Arc, vec::Vec};
use core::{
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

/// Why a program could not be attached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AttachError {
    /// The tracer was not initialised.
    NotInitialised,
    /// Nothing to attach to.
    NoSite {
        /// The function asked for.
        function: String,
    },
    /// The function is on the no-probe list.
    Denied {
        /// The function asked for.
        function: String,
        /// Why it is on the list.
        reason: &'static str,
    },
    /// Calls of the function cannot be made to come back.
    NoReturn {
        /// The function asked for.
        function: String,
        /// Why.
        reason: &'static str,
    },
    /// There is no such timer.
    NoTimer {
        /// Why.
        reason: &'static str,
    },
    /// The same program sits there already.
    AlreadyAttached {
        /// The function asked for.
        function: String,
        /// Name of the program.
        program: String,
    },
    /// The platform has no way to change text.
    NoTextPatch,
    /// The call would not reach the entry of hooks.
    OutOfReach {
        /// Address of the site.
        addr: u64,
    },
    /// The text could not be changed.
    Patch(PatchError),
    /// Another operation changes what is attached, and takes its time.
    Busy {
        /// The other operation.
        command: &'static str,
    },
    /// No memory.
    NoMemory,
}

impl From<PatchError> for AttachError {
    fn from(error: PatchError) -> Self {
        AttachError::Patch(error)
    }
}

/// What to attach where.
pub struct AttachRequest<'a> {
    /// What it is to hang on.
    pub point: Point,
    /// Name of its function.
    pub function: &'a str,
    /// Where the function begins; 0 where that is unknown.
    pub start: u64,
    /// Name of the program.
    pub program: &'a str,
    /// What runs.
    pub body: Arc<dyn HookProgram>,
    /// How long it stays.
    pub options: AttachOptions,
}

/// Takes the requests that are refused: which one, and why.
pub type RefusedRequests<'r> = &'r mut dyn FnMut(usize, AttachError);

/// Changes of the text without giving way where threads give way by themselves, and elsewhere, where each piece is waited for once.
const PIECE: usize = 64;
const PIECE_ELSEWHERE: usize = 256;

/// Programs that come together.
struct Batch<'r> {
    requests: &'r [AttachRequest<'r>],
    /// Id of the first one; the others count on.
    first_id: u64,
    now_ns: u64,
}

/// What is made for them, unpublished.
struct AttachPlan {
    firsts: Vec<FirstProbe>,
    behind: Vec<Behind>,
}

impl AttachPlan {
    /// Sites whose text is not yet as it is to be.
    fn differing(&self) -> impl Iterator<Item = &FirstProbe> {
        self.firsts.iter().filter(|first| first.call != first.present)
    }
}

/// A site that has no programs yet.
struct FirstProbe {
    attached: Attached,
    /// What stands in the text.
    present: [u8; STUB_LEN],
    /// What is to stand there.
    call: [u8; STUB_LEN],
}

/// A site that has some: its number, and the list with them and the new ones.
struct Behind {
    at: usize,
    list: *mut ProbeList,
}

impl FirstProbe {
    fn is_timer(&self) -> bool {
        self.attached.site.kind == SiteKind::Timer
    }

    /// Its gate, unless a call that is still in the text leads to it.
    fn unused_gate(&self) -> Option<GateRef> {
        self.attached.trampoline.gate().filter(|_| self.present == self.attached.stub)
    }
}

impl Batch<'_> {
    fn site(&self, index: usize) -> Site {
        self.requests[index].point.site()
    }

    /// The requests by site, those of one site as they were given; `None` without memory.
    fn order(&self) -> Option<Vec<usize>> {
        let mut order = Vec::new();
        order.try_reserve_exact(self.requests.len()).ok()?;
        order.extend(0..self.requests.len());
        let place = |index: usize| (self.site(index), index);
        crate::platform::sort_by(&mut order, |&a, &b| place(a) < place(b));
        Some(order)
    }
}

impl Tracer {
    /// Attaches a program behind those already at its point.
    pub fn attach(&self, request: AttachRequest<'_>) -> Result<ProbeId, AttachError> {
        self.attach_all(&[request], &mut |_, _| {})
    }

    /// Attaches programs, all of them or none, each behind those already at its point and those before it in the list. All of them run
    /// from one moment on. Gives the id of the first; the others count on from there.
    ///
    /// # Errors
    /// The first reason, after each request that was refused was shown to `refused`, one for each function at least; or a reason that is no
    /// request's.
    pub fn attach_all(
        &self,
        requests: &[AttachRequest<'_>],
        refused: RefusedRequests<'_>,
    ) -> Result<ProbeId, AttachError> {
        let settings = self.settings().ok_or(AttachError::NotInitialised)?;
        let busy = |command| AttachError::Busy { command };
        let mut change = Change::begin(self, settings, "attach").map_err(busy)?;
        let now_ns = settings.platform.clock.now_ns();
        change.reap(now_ns);
        let lookers = requests.iter().filter(|request| looks(&*request.body)).count();
        change.expect_lookers(lookers);
        let done = change.attach(requests, now_ns, refused);
        if done.is_err() {
            change.lock().lookers -= lookers;
        }
        done
    }
}

impl Change<'_> {
    fn attach(
        &mut self,
        requests: &[AttachRequest<'_>],
        now_ns: u64,
        refused: RefusedRequests<'_>,
    ) -> Result<ProbeId, AttachError> {
        let mut state = self.lock();
        let batch = Batch { requests, first_id: state.next_id, now_ns };
        let returns = requests.iter().any(|request| request.point.is_return());
        state.next_id += requests.len() as u64;
        let limited = |options: &AttachOptions| options.max_runs.is_some() || options.max_ns.is_some();
        state.limited |= requests.iter().any(|request| limited(&request.options));
        drop(state);
        if returns {
            frames::prepare(self.settings.return_frames, self.settings).ok_or(AttachError::NoMemory)?;
        }
        let order = batch.order().ok_or(AttachError::NoMemory)?;
        let mut plan = AttachPlan { firsts: Vec::new(), behind: Vec::new() };
        let planned = self.plan(&batch, &order, &mut plan, refused);
        let changes = planned.and_then(|()| self.text_changes(&plan));
        let seen = changes.is_ok();
        if let Err(error) = changes.and_then(|changes| self.patch_in(&batch, &order, &plan, changes, refused)) {
            self.give_up(plan, seen);
            if requests.iter().any(|request| TimerPeriod::of(request.point.site()).is_some()) {
                self.arm();
            }
            return Err(error);
        }
        self.carry_out(&batch, plan);
        Ok(ProbeId(batch.first_id))
    }

    /// Makes what is needed for all of them.
    fn plan(
        &mut self,
        batch: &Batch<'_>,
        order: &[usize],
        plan: &mut AttachPlan,
        refused: RefusedRequests<'_>,
    ) -> Result<(), AttachError> {
        let mut result = Ok(());
        for group in order.chunk_by(|&a, &b| batch.site(a) == batch.site(b)) {
            match self.prepare(batch, group, plan) {
                Err((_, AttachError::NoMemory)) => return Err(AttachError::NoMemory),
                Err((index, error)) => {
                    result = result.and(Err(error.clone()));
                    refused(index, error);
                }
                Ok(()) => {}
            }
            self.pace.go_on();
        }
        result
    }

    /// The same for those of one site. An error says which one is refused.
    fn prepare(
        &mut self,
        batch: &Batch<'_>,
        group: &[usize],
        plan: &mut AttachPlan,
    ) -> Result<(), (usize, AttachError)> {
        let site = batch.site(group[0]);
        let whole = |error| (group[0], error);
        let no_memory = || whole(AttachError::NoMemory);
        has_room(SMALL_THINGS_THAT_STAY).then_some(()).ok_or_else(no_memory)?;
        let mut state = self.lock();
        let known = state.sites.binary_search(&site).is_ok();
        let site_state = match (TimerPeriod::of(site), known) {
            (Some(timer), _) => timer::state(timer).map_err(|reason| whole(AttachError::NoTimer { reason }))?,
            (None, true) => site::state(&HOOKS.table, site.key()).ok_or_else(no_memory)?,
            (None, false) => {
                return Err(whole(AttachError::NoSite { function: shown(batch.requests[group[0]].function) }))
            }
        };
        let has_probes = !site_state.probes.load(Ordering::Relaxed).is_null();
        let at = || state.attached.iter().position(|a| a.site == site);
        let place = has_probes.then(at).flatten();
        let present = place.map_or(&[][..], |at| state.attached[at].probes());
        let mut probes = copy_of(present, |_| true, group.len()).ok_or_else(no_memory)?;
        for &index in group {
            let settings = self.settings;
            batch.add(index, site_state, &mut probes, settings).map_err(|error| (index, error))?;
        }
        if let Some(at) = place {
            plan.behind.try_reserve(1).map_err(|_| no_memory())?;
            let list = new_list(probes).ok_or_else(no_memory)?;
            plan.behind.push(Behind { at, list });
            return Ok(());
        }
        plan.firsts.try_reserve(1).map_err(|_| no_memory())?;
        let first = state.first(self.settings, site, site_state, probes).map_err(whole)?;
        plan.firsts.push(first);
        Ok(())
    }

    /// What is to be changed in the text, and the room in the tracer's own lists: the last that takes memory. No hook has seen anything yet.
    fn text_changes<'p>(&self, plan: &'p AttachPlan) -> Result<Vec<TextChange<'p>>, AttachError> {
        let mut changes = Vec::new();
        changes.try_reserve_exact(plan.differing().count()).map_err(|_| AttachError::NoMemory)?;
        self.lock().room_for_first(plan.firsts.len()).ok_or(AttachError::NoMemory)?;
        changes.extend(plan.differing().map(|f| TextChange::new(f.attached.site.addr as usize, &f.present, &f.call)));
        Ok(changes)
    }

    /// Publishes the lists of sites that have none yet, and changes the text there: everywhere, or nowhere.
    fn patch_in<'p>(
        &mut self,
        batch: &Batch<'_>,
        order: &[usize],
        plan: &'p AttachPlan,
        mut changes: Vec<TextChange<'p>>,
        refused: RefusedRequests<'_>,
    ) -> Result<(), AttachError> {
        for first in &plan.firsts {
            first.attached.state.show(first.attached.list);
        }
        if plan.firsts.iter().any(FirstProbe::is_timer) {
            timer::arm(self.settings).map_err(|reason| AttachError::NoTimer { reason })?;
        }
        if changes.is_empty() {
            return Ok(());
        }
        let text = self.settings.platform.text.ok_or(AttachError::NoTextPatch)?;
        self.apply(text, &mut changes);
        let mut result = Ok(());
        for (first, change) in plan.differing().zip(&changes) {
            let Err(error) = change.result else { continue };
            let of = |&&index: &&usize| batch.site(index) == first.attached.site;
            order.iter().find(of).into_iter().for_each(|&index| refused(index, error.into()));
            result = result.and(Err(error.into()));
        }
        if result.is_err() {
            self.patch_back(text, &mut changes, plan);
        }
        result
    }

    fn apply(&mut self, text: &dyn TextPatch, changes: &mut [TextChange<'_>]) {
        let piece = if text.exclusive() { PIECE } else { PIECE_ELSEWHERE };
        for changes in changes.chunks_mut(piece) {
            // SAFETY: a stub is replaced by a call of the entry of hooks or of a gate, which keep every register, or such a call by the stub.
            unsafe { text.replace_all(changes) };
            self.pace.go_on();
        }
    }

    /// Takes back those changes that were made. What stays in the text finds no probe.
    fn patch_back(&mut self, text: &dyn TextPatch, changes: &mut Vec<TextChange<'_>>, plan: &AttachPlan) {
        changes.retain(|change| change.result.is_ok());
        for change in changes.iter_mut() {
            core::mem::swap(&mut change.old, &mut change.new);
        }
        self.apply(text, changes);
        let mut state = self.lock();
        for failed in changes.iter().filter(|change| change.result.is_err()) {
            let there = |first: &&FirstProbe| first.attached.site.addr as usize == failed.addr;
            if let Some(FirstProbe { attached, call, .. }) = plan.firsts.iter().find(there) {
                state.stuck.push(Stuck { site: attached.site, call: *call, stub: attached.stub });
            }
        }
    }

    /// Frees what was made for nothing: at once what no hook can have `seen`.
    fn give_up(&mut self, plan: AttachPlan, seen: bool) {
        // Under the lock, as whoever counts abandoned calls reads the lists.
        let state = self.lock();
        for first in plan.firsts.iter().filter(|_| seen) {
            first.attached.state.show(ptr::null_mut());
        }
        drop(state);
        for first in plan.firsts {
            let list = Replaced(first.attached.list);
            match seen {
                true => self.retire(list),
                // SAFETY: it was never published.
                false => unsafe { list.free() },
            }
            let mut state = self.lock();
            let stuck = state.stuck.iter().any(|stuck| stuck.site == first.attached.site);
            let gate = first.unused_gate().filter(|_| !stuck);
            gate.into_iter().for_each(|gate| state.gates.give_back(gate));
        }
        for behind in plan.behind {
            // SAFETY: no hook has seen it.
            unsafe { Replaced(behind.list).free() };
        }
    }

    /// Does what cannot fail: publishes the lists, lets all of the programs run at one moment, and gives them their short ways.
    fn carry_out(&mut self, batch: &Batch<'_>, plan: AttachPlan) {
        let mut state = self.lock();
        let firsts = state.attached.len()..state.attached.len() + plan.firsts.len();
        for FirstProbe { attached, .. } in plan.firsts {
            state.stuck.retain(|stuck| stuck.site != attached.site);
            state.attached.push(attached);
        }
        drop(state);
        for behind in &plan.behind {
            let old = self.publish(behind.at, behind.list);
            old.into_iter().for_each(|old| self.retire(old));
            self.pace.go_on();
        }
        let is_instrumented = |&index: &usize| batch.site(index).kind == SiteKind::Instrumented;
        let instrumented = (0..batch.requests.len()).filter(is_instrumented);
        HOOKS.instrumented.fetch_add(instrumented.count() as u64, Ordering::SeqCst);
        HOOKS.started.store(batch.first_id + batch.requests.len() as u64, Ordering::SeqCst);
        for at in firsts.chain(plan.behind.iter().map(|behind| behind.at)) {
            self.open(at);
            self.pace.go_on();
        }
    }
}

impl Batch<'_> {
    /// Puts the probe of a request behind those of its site.
    fn add(
        &self,
        index: usize,
        state: &'static SiteState,
        probes: &mut Vec<Arc<Probe>>,
        settings: &Settings,
    ) -> Result<(), AttachError> {
        let request = &self.requests[index];
        state.start.store(request.start, Ordering::Relaxed);
        let function = || shown(request.function);
        if let Some(reason) = deny::reason(request.function) {
            return Err(AttachError::Denied { function: function(), reason });
        }
        if let Some(reason) = no_return(request, settings) {
            return Err(AttachError::NoReturn { function: function(), reason });
        }
        if probes.iter().any(|probe| probe.point == request.point && *probe.program == *request.program) {
            return Err(AttachError::AlreadyAttached { function: function(), program: shown(request.program) });
        }
        let id = ProbeId(self.first_id + index as u64);
        let probe = new_probe(id, request, state, self.now_ns).ok_or(AttachError::NoMemory)?;
        probes.push(Arc::new(probe));
        Ok(())
    }
}

/// Whether a stub is the first of its function, but for what the CPU wants at entries.
fn stands_first(request: &AttachRequest<'_>, settings: &Settings) -> bool {
    let mut before = [0; patch::ENDBR64.len()];
    match request.point.site().addr.checked_sub(request.start) {
        Some(0) => true,
        Some(distance) if distance == before.len() as u64 => {
            settings.platform.probe_read.read(request.start, &mut before) == before.len() && before == patch::ENDBR64
        }
        _ => false,
    }
}

/// Why a program that is to run at returns cannot.
fn no_return(request: &AttachRequest<'_>, settings: &Settings) -> Option<&'static str> {
    if !request.point.is_return() {
        return None;
    }
    match request.point.site().kind {
        SiteKind::Instrumented => return Some(
            "where -finstrument-functions calls there is no return address: compile it with -fpatchable-function-entry=5",
        ),
        SiteKind::Patchable | SiteKind::Mcount if current::return_pad() == 0 => {
            return Some("on this CPU only entries of functions can be traced")
        }
        SiteKind::Mcount if !stands_first(request, settings) => {
            return Some(
                "its stub stands behind its first instructions, where the return address is not found: compile it with -mfentry",
            )
        }
        SiteKind::Patchable | SiteKind::Mcount | SiteKind::Timer => {}
    }
    if settings.platform.cpu.protects_returns() {
        return Some("this process has a shadow stack, which ends it when a return address is changed");
    }
    deny::returns_twice(request.function)
}

impl TracerState {
    /// Makes room for so many sites that have no programs yet; `None` without memory. It is the last that an attach takes.
    fn room_for_first(&mut self, firsts: usize) -> Option<()> {
        self.attached.try_reserve(firsts).ok()?;
        // Taken beforehand, so that a detach needs no memory.
        let done = self.stuck.try_reserve(self.attached.len() + firsts).ok();
        if done.is_none() && self.attached.is_empty() {
            self.attached = Vec::new();
        }
        done
    }

    /// What is made for a site that has no programs yet.
    fn first(
        &mut self,
        settings: &Settings,
        site: Site,
        state: &'static SiteState,
        probes: Vec<Arc<Probe>>,
    ) -> Result<FirstProbe, AttachError> {
        let (present, stub) = self.current_stub(settings, site)?;
        let patched = site.kind.is_patched();
        let direct = |probe: &Arc<Probe>| probe.point.is_return() || probe.body.direct().is_ok();
        let wanted = patched && probes.iter().all(direct);
        let gate = wanted.then(|| self.gates.of(state, self.sites.len(), settings)).flatten();
        // Calls that come back are made above the pad.
        let returns = probes.iter().any(|probe| probe.point.is_return());
        let thunk = gate.filter(|_| returns).and_then(|gate| self.gates.thunk(state, gate, settings));
        let trampoline = Trampoline::new(gate, thunk, wanted);
        let call = match patched {
            true => trampoline.patch(site.addr),
            false => Some(present),
        };
        let (list, returns) = (ptr::null_mut(), Trampoline::at_return());
        let attached = Attached { site, state, stub, list, trampoline, returns };
        let mut first = FirstProbe { attached, present, call: call.unwrap_or(present) };
        let list = match call {
            Some(_) => new_list(probes).ok_or(AttachError::NoMemory),
            None => Err(AttachError::OutOfReach { addr: site.addr }),
        };
        if list.is_err() {
            first.unused_gate().into_iter().for_each(|gate| self.gates.give_back(gate));
        }
        first.attached.list = list?;
        Ok(first)
    }

    /// What stands at a site that has no probe, and what stood there before the first one came.
    fn current_stub(&self, settings: &Settings, site: Site) -> Result<([u8; STUB_LEN], [u8; STUB_LEN]), AttachError> {
        if !site.kind.is_patched() {
            return Ok((NOP5, NOP5));
        }
        let mut present = [0; STUB_LEN];
        let readable = settings.platform.probe_read.read(site.addr, &mut present);
        if let Some(Stub::Nop5 { offset: 0, bytes }) = patch::recognise(present.get(..readable).unwrap_or(&[])) {
            return Ok((bytes, bytes));
        }
        // A call that could not be taken out before: it is ours to use again.
        let ours = |s: &&Stuck| s.site == site && s.call == present;
        if let Some(stuck) = self.stuck.iter().find(ours) {
            return Ok((present, stuck.stub));
        }
        Err(PatchError::Mismatch { addr: site.addr as usize }.into())
    }
}

/// Whether a program may look at the two-key map, or change it in a way that the number of its runs does not tell.
pub(super) fn looks(body: &dyn HookProgram) -> bool {
    body.direct().map_or(true, |direct| direct.looks_at_map())
}

fn new_probe(id: ProbeId, request: &AttachRequest<'_>, state: &'static SiteState, now_ns: u64) -> Option<Probe> {
    let max_ns = request.options.max_ns;
    Some(Probe {
        id,
        point: request.point,
        state,
        program: copied(request.program)?.into_boxed_str(),
        function: copied(request.function)?.into_boxed_str(),
        body: request.body.clone(),
        looks: looks(&*request.body),
        max_runs: request.options.max_runs.unwrap_or(u64::MAX),
        cookie: request.options.cookie,
        arguments: request.options.arguments,
        own: request.options.own,
        wants_errno: request.point.is_return() && sets_errno(request.function),
        deadline_ns: max_ns.map_or(u64::MAX, |ns| now_ns.saturating_add(ns)),
        since_ns: timer::time_of(request.point),
        misses_before: [&state.misses, &state.return_misses].map(|misses| misses.load(Ordering::Relaxed)),
        from: id.0,
        until: AtomicU64::new(u64::MAX),
        counts: Arc::default(),
    })
}
