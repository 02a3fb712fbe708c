//! What a program costs at a call of a function, measured in the running image without touching the application.

use super::{attached::TracedProgram, room_for_small_things, Error, LoadOptions, Runtime};
use crate::{
    platform::{sort_by_in_pieces, SLICE_NS},
    tracer::{HookProgram, SiteKind, Subject, TimerPeriod, TRACER},
};
use alloc::{sync::Arc, vec::Vec};

/// Most calls between two readings of the clock, and between two drains of the console: what they print fits into the ring.
const BATCH: u64 = 40;
/// Batches at most.
const MOST_BATCHES: u64 = 25_000;
/// No new batch begins when one case has taken so long.
const LONGEST_NS: u64 = 100_000_000;

/// Hundredths of a nanosecond of one call, over all batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallTime {
    /// The fastest batch.
    pub least: u64,
    /// The middle one.
    pub median: u64,
    /// Calls measured.
    pub calls: u64,
}

/// What [`Runtime::measure`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measured {
    /// With nothing attached.
    pub stub: CallTime,
    /// With the programs that the function has now; `None` where there are none.
    pub present: Option<CallTime>,
    /// With the measured program behind them.
    pub with: CallTime,
    /// How many programs the function has now.
    pub programs: usize,
    /// Runs of the measured program that were stopped.
    pub failures: u64,
    /// Calls at which it could not run.
    pub misses: u64,
}

impl Runtime {
    /// Measures what the program in a file, or a program of the image, would cost at each call of a function, after those it has
    /// now. A function of the engine's own, entered in the same way, is called about `calls` times instead; the programs run for
    /// it, so what they count they count under its key, and what they leave there in the two-key map is removed. Nothing stays
    /// attached.
    ///
    /// # Errors
    /// [`Error::NoSubject`]: another measurement runs, or nothing can be attached here; those of [`load_file`](Self::load_file);
    /// [`Error::UnknownFunction`] and the like about the function.
    pub fn measure(&self, function: &str, path: &str, options: &LoadOptions, calls: u64) -> Result<Measured, Error> {
        let (_, site) = self.resolve(function)?;
        if TimerPeriod::of(site).is_some() {
            return Err(Error::NoSubject);
        }
        let loaded = self.prepare_file(path, options)?;
        let present = TRACER.bodies(site);
        room_for_small_things()?;
        let subject = Subject::take(site.kind).ok_or(Error::NoSubject)?;
        let key = Subject::key(site.kind);
        let services = self.services;
        let body = Arc::new(TracedProgram { loaded, services });
        // What it calls it calls as the application would.
        let result = self.for_application(|| self.measure_on(subject, present, body, calls));
        let mut pace = self.pace();
        if let Some(map) = self.services.map.get() {
            map.for_each(|key1, key2, _| {
                if key1 == key {
                    map.del(key1, key2);
                }
                // What was begun is cleaned up.
                pace.go_on();
            });
        }
        self.drain_console();
        result
    }

    fn measure_on(
        &self,
        mut subject: Subject,
        present: Vec<Arc<dyn HookProgram>>,
        body: Arc<TracedProgram>,
        calls: u64,
    ) -> Result<Measured, Error> {
        let programs = present.len();
        let stub = self.call_time(&subject, calls)?;
        let mut before = None;
        if programs > 0 {
            for body in present {
                subject.attach(body)?;
            }
            before = Some(self.call_time(&subject, calls)?);
        }
        subject.attach(body)?;
        let with = self.call_time(&subject, calls)?;
        let report = subject.reports().pop();
        let (failures, misses) = report.map_or((0, 0), |r| (r.failures, r.misses));
        Ok(Measured { stub, present: before, with, programs, failures, misses })
    }

    fn call_time(&self, subject: &Subject, calls: u64) -> Result<CallTime, Error> {
        // Once before: caches, and what a program makes at its first run.
        subject.call(1);
        self.drain_console();
        let start = self.now_ns();
        subject.call(1);
        let once = self.now_ns().saturating_sub(start).max(1);
        // Nobody waits longer for a batch than for a slice of another command.
        let batch = (SLICE_NS / once).clamp(1, BATCH);
        let batches = calls.div_ceil(batch).clamp(1, MOST_BATCHES);
        let mut times: Vec<u64> = Vec::new();
        times.try_reserve_exact(batches as usize).map_err(|_| Error::NoMemory)?;
        let mut pace = self.pace();
        let begin = self.now_ns();
        for _ in 0..batches {
            let start = self.now_ns();
            if start.saturating_sub(begin) > LONGEST_NS && !times.is_empty() {
                break;
            }
            subject.call(batch);
            let took = self.now_ns().saturating_sub(start);
            times.push(took.saturating_mul(100) / batch);
            self.drain_console();
            pace.point()?;
        }
        sort_by_in_pieces(&mut times, u64::lt, || pace.point())?;
        let at = |index: usize| times.get(index).copied().unwrap_or(0);
        Ok(CallTime { least: at(0), median: at(times.len() / 2), calls: (times.len() as u64).saturating_mul(batch) })
    }
}

/// Whether a message comes from a program that is measured.
pub(super) fn is_measured(key: u64) -> bool {
    [SiteKind::Patchable, SiteKind::Instrumented].iter().any(|kind| Subject::key(*kind) == key)
}
