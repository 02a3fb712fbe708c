//! A function of the engine's own, with an entry stub, on which programs are measured: the application is not touched.

use super::{
    arch::current,
    attach::{AttachError, AttachRequest},
    control::{DetachError, Tracer, TRACER},
    point::Point,
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
            SiteKind::Patchable | SiteKind::Mcount | SiteKind::Timer => SiteKind::Patchable,
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
            point: Point::Entry(self.site),
            function: "the measured function",
            start: Self::address(),
            program: &program,
            body,
            options: AttachOptions::default(),
        })?;
        self.probes.push(id);
        Ok(())
    }

    /// Calls the function so often.
    pub fn call(&self, calls: u64) {
        current::call_subject(calls, !self.site.kind.is_patched());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        platform::{Clock, Console, Cpu, DirEntry, FaultSafeRead, FileError, Files, Platform, Preemptive, Ticks},
        tracer::{Failed, Hook, Ring, TracerConfig},
    };
    use alloc::boxed::Box;
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

    /// A platform without anything that instrumented functions need.
    struct Bare;
    static BARE: Bare = Bare;

    impl Clock for Bare {
        fn now_ns(&self) -> u64 {
            0
        }
        fn ticks(&self) -> Option<Ticks> {
            None
        }
    }
    // SAFETY: a fault ends the read, and nothing but the destination is written.
    unsafe impl FaultSafeRead for Bare {
        fn read(&self, _addr: u64, _dst: &mut [u8]) -> usize {
            0
        }
        fn may_fault(&self, _stack: u64) -> bool {
            true
        }
    }
    impl Console for Bare {
        fn write(&self, _bytes: &[u8]) {}
    }
    impl Cpu for Bare {
        fn id(&self) -> u32 {
            0
        }
        fn in_interrupt(&self) -> bool {
            false
        }
    }
    impl Files for Bare {
        fn read(&self, _path: &str, _limit: usize) -> Result<Vec<u8>, FileError> {
            Err(FileError::NotFound)
        }
        fn list(&self, _path: &str) -> Result<Vec<DirEntry>, FileError> {
            Err(FileError::NotFound)
        }
        fn write(&self, _path: &str, _contents: &[u8]) -> Result<(), FileError> {
            Err(FileError::ReadOnly)
        }
        fn remove(&self, _path: &str) -> Result<(), FileError> {
            Err(FileError::ReadOnly)
        }
    }

    /// Says by what it was called.
    #[derive(Default)]
    struct Last(AtomicU64);

    impl HookProgram for Last {
        fn run(&self, hook: Hook<'_>) -> Result<(), Failed> {
            self.0.store(u64::from_le_bytes(*hook.context.first_chunk().unwrap()), Relaxed);
            match hook.context.iter().skip(8).all(|&byte| byte == 0) {
                true => Ok(()),
                false => Err(hook.fail(crate::tracer::Fault::NoLane, "a context with more than the key")),
            }
        }
    }

    #[test]
    fn programs_on_an_instrumented_function_run_at_each_call_of_it() {
        let platform = Platform {
            name: "bare",
            clock: &BARE,
            probe_read: &BARE,
            console: &BARE,
            text: None,
            exec: None,
            files: &BARE,
            cpu: &BARE,
            give_way: &Preemptive,
            timer: None,
        };
        let ring: &'static Ring = Box::leak(Box::new(Ring::new(4).unwrap()));
        TRACER.init(TracerConfig::default(), platform, ring).unwrap();
        let mut subject = Subject::take(SiteKind::Instrumented).unwrap();
        subject.call(3);
        let (first, second) = (Arc::new(Last::default()), Arc::new(Last::default()));
        subject.attach(first.clone()).unwrap();
        subject.call(5);
        subject.attach(second.clone()).unwrap();
        subject.call(7);
        let counts: Vec<_> = subject.reports().iter().map(|r| (r.hits, r.runs, r.misses, r.failures)).collect();
        assert_eq!(counts, [(12, 12, 0, 0), (7, 7, 0, 0)]);
        let key = Subject::key(SiteKind::Instrumented);
        assert_eq!((first.0.load(Relaxed), second.0.load(Relaxed)), (key, key));
        drop(subject);
        let site = Site { addr: Subject::address(), kind: SiteKind::Instrumented };
        assert!(TRACER.probes(site).is_empty());
    }
}
