//! Programs attached to a function that does nothing: the cost of a hit by program, and by how many programs sit there.

use crate::{figure, stopwatch, Result};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};
use ubpf_platform_linux::{platform, records, symbols};
use ubpf_rs::{
    platform::{Console, Platform},
    runtime::{AttachLimits, Config, LoadOptions, ProgramId, Runtime, Symbol, SymbolTable},
    tracer::{ProbeReport, SiteKind},
};

extern "C" {
    fn call_plain(calls: u64);
    fn call_subject(calls: u64);
    fn call_hand_written(calls: u64);
}

const SUBJECT: &str = "subject";
/// Numbers of programs on one function.
const NUMBERS: [usize; 6] = [1, 2, 4, 8, 12, 16];
/// Calls between two readings of the clock.
const BATCH: u64 = 20_000;
/// Of programs that write to the ring: less than it has room for.
const BATCH_RING: u64 = 40;
/// Of those that fill the ring of an object, which has room for more.
const BATCH_RECORDS: u64 = 2_000;

/// Swallows what hooks print, and counts the bytes.
struct CountingSink(AtomicU64);

impl Console for CountingSink {
    fn write(&self, bytes: &[u8]) {
        self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
}

static SINK: CountingSink = CountingSink(AtomicU64::new(0));

#[derive(Clone, Copy)]
enum ProbeCase {
    /// A function without a stub.
    Plain,
    /// A function that calls a trampoline written by hand.
    HandWritten,
    /// Programs of this name on one function, so many.
    Programs(&'static str, usize),
    /// A program at its returns.
    AtReturn(&'static str),
    /// A program of the bench's own object.
    Object(&'static str),
    /// The programs of the sample `latency`: one at its entry, one at its return.
    Latency,
}

impl ProbeCase {
    fn name(self) -> String {
        match self {
            ProbeCase::Plain => "probe.plain".into(),
            ProbeCase::HandWritten => "probe.hand".into(),
            ProbeCase::Programs(_, 0) => "probe.none".into(),
            ProbeCase::Programs("noop", count) => format!("probe.noop.{count}"),
            ProbeCase::Programs(program, 1) => format!("probe.{program}"),
            ProbeCase::Programs(program, count) => format!("probe.{program}.{count}"),
            ProbeCase::AtReturn(program) => format!("probe.return.{program}"),
            ProbeCase::Object(program) => format!("probe.object.{program}"),
            ProbeCase::Latency => "probe.latency".into(),
        }
    }

    fn batch(self) -> u64 {
        match self {
            ProbeCase::Programs("notify", _) => BATCH_RING,
            ProbeCase::Object("reserves") => BATCH_RECORDS,
            _ => BATCH,
        }
    }
}

fn cases() -> Vec<ProbeCase> {
    let mut cases = vec![ProbeCase::Plain, ProbeCase::HandWritten, ProbeCase::Programs("noop", 0)];
    cases.extend(["count", "get_count", "notify"].map(|program| ProbeCase::Programs(program, 1)));
    cases.extend(NUMBERS.map(|count| ProbeCase::Programs("noop", count)));
    // Empty programs may cost nothing each; these do something.
    cases.extend(NUMBERS[1..].iter().map(|count| ProbeCase::Programs("count", *count)));
    cases.extend([ProbeCase::AtReturn("noop"), ProbeCase::AtReturn("count"), ProbeCase::Latency]);
    cases.extend(["nothing", "asks", "counts", "looks_up", "updates", "reserves"].map(ProbeCase::Object));
    cases
}

struct Bench {
    engine: &'static Runtime,
    programs: Vec<(&'static str, Vec<ProgramId>)>,
}

impl Bench {
    /// The engine of this process, with the sample programs loaded; noop and count so often that one function can have many.
    fn start(samples: &Path) -> Result<Bench> {
        let platform = Platform { console: &SINK, ..platform(samples.to_path_buf()) };
        let engine = Runtime::init(platform, Config::default())?;
        let own = symbols::own()?;
        let table = own.iter().map(Symbol::from);
        engine.add_symbols(SymbolTable::new(table)?);
        engine.add_sites(&records::own().patchable, SiteKind::Patchable);
        let mut programs = Vec::new();
        for name in ["noop", "count", "get_count", "notify"] {
            let code = fs::read(samples.join(name).with_extension("bin"))?;
            let copies = if ["noop", "count"].contains(&name) { 16 } else { 1 };
            let load = |copy| engine.load(&format!("{name}{copy}"), &code, &LoadOptions::default());
            let ids = (0..copies).map(load).collect::<std::result::Result<Vec<_>, _>>()?;
            programs.push((name, ids));
        }
        Ok(Bench { engine, programs })
    }

    fn attach(&self, case: ProbeCase) -> Result<()> {
        let (name, count, at_return) = match case {
            ProbeCase::Programs(name, count) => (name, count, false),
            ProbeCase::AtReturn(name) => (name, 1, true),
            ProbeCase::Object(program) => {
                let options = LoadOptions { program: Some(program), ..LoadOptions::default() };
                self.engine.attach_file(SUBJECT, "bench.pkg", &options, AttachLimits::default())?;
                if let Some(hash) = self.engine.map("bench.hash") {
                    hash.update(7u64.to_le_bytes()[..].into(), [1; 8][..].into(), 0, &mut 0)
                        .map_err(|e| format!("{e:?}"))?;
                }
                return Ok(());
            }
            ProbeCase::Latency => {
                for program in ["enters", "returns"] {
                    let options = LoadOptions { program: Some(program), ..LoadOptions::default() };
                    self.engine.attach_file(SUBJECT, "latency.pkg", &options, AttachLimits::default())?;
                }
                return Ok(());
            }
            ProbeCase::Plain | ProbeCase::HandWritten => return Ok(()),
        };
        let ids = self.programs.iter().find(|(program, _)| *program == name);
        for id in ids.iter().flat_map(|(_, ids)| ids).take(count) {
            self.engine.attach(SUBJECT, *id, AttachLimits { at_return, ..AttachLimits::default() })?;
        }
        Ok(())
    }

    /// Makes room in the rings.
    fn drain(&self) {
        self.engine.drain_console();
        if let Some(ring) = self.engine.map("bench.ring") {
            while ring.read_record(&mut [0; 16]).is_some() {}
        }
    }

    fn detach(&self, case: ProbeCase) -> Result<()> {
        match case {
            ProbeCase::Programs(_, 0) | ProbeCase::Plain | ProbeCase::HandWritten => Ok(()),
            ProbeCase::Programs(..) | ProbeCase::AtReturn(_) | ProbeCase::Object(_) | ProbeCase::Latency => {
                Ok(self.engine.detach(SUBJECT, None).map(drop)?)
            }
        }
    }

    fn round(&self, case: ProbeCase) -> Result<f64> {
        self.attach(case)?;
        // Once before: caches, and the entry of the map that count makes.
        call(case, case.batch());
        self.drain();
        let times: Vec<f64> = (0..5)
            .map(|_| {
                let time = stopwatch::per_call(case.batch(), |calls| call(case, calls));
                self.drain();
                time
            })
            .collect();
        self.all_hit(case, case.batch() * (1 + times.len() as u64))?;
        self.detach(case)?;
        Ok(stopwatch::least(&times))
    }

    /// Every program that is attached ran at every call, to its end: what costs next to nothing is counted all the same.
    fn all_hit(&self, case: ProbeCase, calls: u64) -> Result<()> {
        let count = match case {
            ProbeCase::Plain | ProbeCase::HandWritten | ProbeCase::Programs(_, 0) => return Ok(()),
            ProbeCase::Programs(_, count) => count,
            ProbeCase::AtReturn(_) | ProbeCase::Object(_) => 1,
            ProbeCase::Latency => 2,
        };
        let reports = self.engine.list(Some(SUBJECT))?;
        let probes: Vec<_> = reports.iter().flat_map(|function| &function.probes).collect();
        let good = |probe: &&&ProbeReport| (probe.runs, probe.misses, probe.failures) == (calls, 0, 0);
        match probes.iter().filter(good).count() {
            good if good == count => Ok(()),
            good => {
                Err(format!("{}: only {good} of {count} programs ran at each of {calls} calls", case.name()).into())
            }
        }
    }

    /// get_count from its file and from memory, with everything that belongs to a run.
    fn exec(&self) -> Result<[f64; 2]> {
        let mut argument = *b"subject\0";
        let mut file = || self.engine.exec_file("get_count.bin", &mut argument, &LoadOptions::default());
        file()?;
        let mut results = Vec::new();
        let from_file = stopwatch::per_call(50, |calls| (0..calls).for_each(|_| results.push(file().is_ok())));
        let id = self.programs.iter().find(|(name, _)| *name == "get_count").and_then(|(_, ids)| ids.first());
        let id = *id.ok_or("get_count is not loaded")?;
        let mut memory = || self.engine.exec(id, &mut argument, None);
        let from_memory = stopwatch::per_call(500, |calls| (0..calls).for_each(|_| results.push(memory().is_ok())));
        match results.iter().all(|good| *good) {
            true => Ok([from_file, from_memory]),
            false => Err("get_count failed".into()),
        }
    }
}

fn call(case: ProbeCase, calls: u64) {
    // SAFETY: C functions that take a number and touch nothing but registers.
    unsafe {
        match case {
            ProbeCase::Plain => call_plain(calls),
            ProbeCase::HandWritten => call_hand_written(calls),
            ProbeCase::Programs(..) | ProbeCase::AtReturn(_) | ProbeCase::Object(_) | ProbeCase::Latency => {
                call_subject(calls)
            }
        }
    }
}

/// One sample of every case: the least of `rounds` in turns.
pub fn run(samples: &Path, rounds: usize) -> Result<()> {
    let bench = Bench::start(samples)?;
    let cases = cases();
    let mut times = vec![Vec::new(); cases.len()];
    let mut execs = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (case, times) in cases.iter().zip(&mut times) {
            times.push(bench.round(*case)?);
        }
        for (times, time) in execs.iter_mut().zip(bench.exec()?) {
            times.push(time);
        }
    }
    for (case, times) in cases.iter().zip(&times) {
        figure(&case.name(), stopwatch::least(times));
    }
    let [file, memory] = &execs;
    figure("exec.file", stopwatch::least(file));
    figure("exec.memory", stopwatch::least(memory));
    match bench.engine.status().output_lost {
        0 => Ok(()),
        lost => Err(format!("{lost} messages were lost: the ring was full").into()),
    }
}

/// One case alone, for tools that count instructions.
pub fn only(samples: &Path, name: &str, calls: u64) -> Result<()> {
    let bench = Bench::start(samples)?;
    let case = cases().into_iter().find(|case| case.name() == name);
    let case = case.ok_or_else(|| format!("no case {name}"))?;
    bench.attach(case)?;
    for _ in 0..calls.div_ceil(case.batch()) {
        call(case, case.batch().min(calls));
        bench.drain();
    }
    bench.detach(case)
}
