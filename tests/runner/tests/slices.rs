//! A run that is cut into slices ends as a run at a stretch does: same result, memory, output and budget left, on both engines, for every
//! program, however short the slices are.

use std::sync::{
    atomic::{AtomicU64, Ordering::Relaxed},
    Arc, Mutex,
};
use ubpf_program_tests::{run_all, BoundMaps, Engine};
use ubpf_rs::{
    platform::Cancelled,
    verifier::VerifiedProgram,
    vm::{Executable, Interpreter, Run, Slices, Stop, StopKind},
};

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[path = "../../../lib-ubpf-rs/tests/engines/pages.rs"]
mod pages;

/// What is left of the budget of each run, and how many pauses there were in all.
#[derive(Default)]
struct Seen {
    left: Mutex<Vec<u64>>,
    pauses: AtomicU64,
}

/// Programs on an engine, at a stretch or in slices of so many units.
struct Cut {
    compiled: bool,
    units: Option<u64>,
    seen: Arc<Seen>,
}

struct Program {
    code: Box<dyn Executable>,
    units: Option<u64>,
    seen: Arc<Seen>,
}

impl Engine for Cut {
    fn prepare(&self, program: VerifiedProgram, maps: BoundMaps) -> Result<Box<dyn Executable>, String> {
        Ok(Box::new(Program {
            code: prepare(program, maps, self.compiled)?,
            units: self.units,
            seen: self.seen.clone(),
        }))
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn prepare(program: VerifiedProgram, maps: BoundMaps, compiled: bool) -> Result<Box<dyn Executable>, String> {
    use ubpf_rs::jit::{JitProgram, Options};
    if !compiled {
        return Ok(Box::new(Interpreter::new(program)));
    }
    let options = Options { metered: true, ..Options::default() };
    let code = JitProgram::with_maps(program, maps, &pages::Pages, options, &mut Default::default());
    code.map(|code| Box::new(code) as _).map_err(|(error, _)| error.to_string())
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn prepare(program: VerifiedProgram, _: BoundMaps, _: bool) -> Result<Box<dyn Executable>, String> {
    Ok(Box::new(Interpreter::new(program)))
}

impl Executable for Program {
    fn run(&self, run: &mut Run<'_>) -> Result<u64, Stop> {
        let seen = &self.seen;
        let result = match self.units {
            None => self.code.run(run),
            Some(units) => {
                let mut pause = || {
                    seen.pauses.fetch_add(1, Relaxed);
                    Ok(())
                };
                let pause = &mut pause;
                self.code.run_in_slices(run, Slices { units, pause })
            }
        };
        seen.left.lock().unwrap().push(run.budget);
        result
    }
    /// That of a program in which a run goes on.
    fn run_in_slices(&self, run: &mut Run<'_>, slices: Slices<'_>) -> Result<u64, Stop> {
        let result = self.code.run_in_slices(run, slices);
        self.seen.left.lock().unwrap().push(run.budget);
        result
    }
    fn verified(&self) -> &VerifiedProgram {
        self.code.verified()
    }
    fn engine(&self) -> &'static str {
        self.code.engine()
    }
    fn interprets(&self, run: &Run<'_>, in_slices: bool) -> bool {
        self.code.interprets(run, in_slices)
    }
}

/// What was left of each budget, and the number of pauses.
fn run(compiled: bool, units: Option<u64>) -> (Vec<u64>, u64) {
    let seen = Arc::new(Seen::default());
    let summary = run_all(&Cut { compiled, units, seen: seen.clone() });
    let faults: Vec<String> = summary.faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "in slices of {units:?}:\n{}", faults.join("\n"));
    let left = std::mem::take(&mut *seen.left.lock().unwrap());
    (left, seen.pauses.load(Relaxed))
}

#[test]
fn slices_of_any_length_change_nothing() {
    for compiled in [false, true] {
        let (whole, _) = run(compiled, None);
        assert!(whole.len() >= 250);
        let mut before = u64::MAX;
        for units in [1, 7, 100, 20_000] {
            let (cut, pauses) = run(compiled, Some(units));
            assert_eq!(cut, whole, "compiled {compiled}, slices of {units}");
            assert!(pauses < before, "{pauses} of {units}");
            before = pauses;
        }
    }
}

/// The programs of a chain may all be over at once, and are many: a run gives way between two of them, however long its slices are.
#[test]
fn chains_of_programs_give_way() {
    let (_, pauses) = run(true, Some(u64::MAX));
    assert!(pauses >= 33, "{pauses}");
}

/// Programs that are ended at one of their pauses.
struct Ended {
    compiled: bool,
    pauses: u64,
}

struct EndedProgram {
    code: Box<dyn Executable>,
    pauses: u64,
}

impl Engine for Ended {
    fn prepare(&self, program: VerifiedProgram, maps: BoundMaps) -> Result<Box<dyn Executable>, String> {
        Ok(Box::new(EndedProgram { code: prepare(program, maps, self.compiled)?, pauses: self.pauses }))
    }
}

impl Executable for EndedProgram {
    fn run(&self, run: &mut Run<'_>) -> Result<u64, Stop> {
        let budget = run.budget;
        let mut left = self.pauses;
        let pause = &mut || {
            let fewer = left.checked_sub(1).ok_or(Cancelled)?;
            left = fewer;
            Ok(())
        };
        let result = self.code.run_in_slices(run, Slices { units: 1, pause });
        let ended = matches!(&result, Err(stop) if stop.kind == StopKind::Cancelled);
        assert!(!ended || left == 0);
        assert!(run.budget <= budget, "{} of {budget}", run.budget);
        result
    }
    fn run_in_slices(&self, run: &mut Run<'_>, slices: Slices<'_>) -> Result<u64, Stop> {
        self.code.run_in_slices(run, slices)
    }
    fn verified(&self) -> &VerifiedProgram {
        self.code.verified()
    }
    fn engine(&self) -> &'static str {
        self.code.engine()
    }
    fn interprets(&self, run: &Run<'_>, in_slices: bool) -> bool {
        self.code.interprets(run, in_slices)
    }
}

/// A run stops at the pause that says so. What it wrote before stays.
#[test]
fn a_pause_can_end_a_run() {
    for compiled in [false, true] {
        let mut before = usize::MAX;
        for pauses in [0, 3, 100] {
            let summary = run_all(&Ended { compiled, pauses });
            let faults = summary.faults.iter();
            let cancelled = faults.filter(|fault| fault.what.contains("cancelled at PC")).count();
            assert!((1..before).contains(&cancelled), "{cancelled} of {pauses}");
            before = cancelled;
        }
    }
}
