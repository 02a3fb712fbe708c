//! A function of the engine's own, with an entry stub, on which programs are measured: the application is not touched.

use super::{
    arch::current,
    control::{AttachError, AttachRequest, DetachError, Tracer, TRACER},
    probe::{AttachOptions, HookProgram, ProbeId, ProbeReport},
    site::{Site, SiteKind},
    stubs::Neighbours,
};
use alloc::{format, sync::Arc, vec::Vec};
use spin::{Mutex, MutexGuard};

/// One at a time.
static TURN: Mutex<()> = Mutex::new(());

/// The function while somebody measures on it. What was attached is taken off when it is dropped.
pub struct Subject {
    site: Site,
    probes: Vec<ProbeId>,
    _turn: MutexGuard<'static, ()>,
}

impl Subject {
    /// Key by which programs know the function.
    pub fn key(kind: SiteKind) -> u64 {
        Self::site(kind).key()
    }

    /// The function's name in the image.
    pub const SYMBOL: &'static str = "ubpf_subject";

    /// Where it begins.
    pub fn address() -> u64 {
        current::subject()
    }

    fn site(kind: SiteKind) -> Site {
        let addr = Self::address();
        let kind = match kind {
            SiteKind::Instrumented => kind,
            SiteKind::Patchable | SiteKind::Mcount => SiteKind::Patchable,
        };
        Site { addr, kind }
    }

    /// Takes the function, entered as sites of this kind are. `None` while another has it, or where it cannot be had.
    pub fn take(kind: SiteKind) -> Option<Subject> {
        let turn = TURN.try_lock()?;
        let site = Self::site(kind);
        let count = TRACER.add_sites(&[site.addr], site.kind, &|_| Neighbours::default());
        // Where stubs are found by their bytes, it may be a known site; it is none of the application's.
        (count.refused == 0 && count.without_memory == 0).then(|| Subject { site, probes: Vec::new(), _turn: turn })
    }

    /// Attaches a program behind those already there.
    pub fn attach(&mut self, body: Arc<dyn HookProgram>) -> Result<(), AttachError> {
        self.probes.try_reserve(1).map_err(|_| AttachError::NoMemory)?;
        let program = format!("{}", self.probes.len());
        let id = TRACER.attach(AttachRequest {
            site: self.site,
            function: "the measured function",
            program: &program,
            body,
            options: AttachOptions::default(),
        })?;
        self.probes.push(id);
        Ok(())
    }

    /// Calls the function so often.
    pub fn call(&self, calls: u64) {
        current::call_subject(calls, self.site.kind == SiteKind::Instrumented);
    }

    /// What has become of the programs.
    pub fn reports(&self) -> Vec<ProbeReport> {
        TRACER.probes(self.site)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        for id in self.probes.drain(..) {
            // A call that stays in the text finds no program; the next attach uses it again. Another operation is waited for.
            while let Err(DetachError::Busy { .. }) = TRACER.detach(id) {}
        }
        TRACER.forget_site(self.site);
    }
}

impl Tracer {
    /// What is attached to a site, in attach order; without memory for all of it, the first of it.
    pub fn bodies(&self, site: Site) -> Vec<Arc<dyn HookProgram>> {
        let mut bodies = Vec::new();
        self.for_each_probe(site, &mut |probe| {
            if bodies.try_reserve(1).is_ok() {
                bodies.push(probe.body.clone());
            }
        });
        bodies
    }
}
