//! What every tool does with a shell: it brings its programs, attaches them for as long as its session lasts, asks, and ends.

use super::{
    count::several,
    object::{self, Wanted},
    screen::Screen,
    Failure,
};
use crate::{
    json::Form,
    session::{shown_text, Lines},
    typed,
};
use serde_json::{json, Value as Json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::{
    cell::Cell,
    collections::HashMap,
    io,
    rc::Rc,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};
use ubpf_client::{
    machine::{quote, Client},
    ClientError,
};
use ubpf_tools::output::{self, say};

/// How long a tool waits before it looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);
/// How often a picture at a terminal is drawn.
const LIVE: Duration = Duration::from_secs(1);

/// How long a tool goes on, and how it tells.
#[derive(Clone, Copy)]
pub struct Limits {
    /// What came in each so long is told.
    pub interval: Option<Duration>,
    pub duration: Option<Duration>,
    pub json: bool,
    /// The shell is not to ask about more than 300 functions.
    pub many: bool,
}

/// When a tool tells something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// What came since the one before.
    Part,
    /// All that came, for as long as nothing newer is there.
    Glance,
    /// What is still to be told.
    End,
}

/// What a record comes to.
#[derive(Default)]
pub struct Told {
    pub lines: Vec<String>,
    /// Nothing more is to be told.
    pub over: bool,
}

impl Told {
    pub fn line(line: String) -> Self {
        Self { lines: vec![line], over: false }
    }
}

/// A stretch of time, in seconds since the programs were attached.
#[derive(Clone, Copy)]
pub struct Span {
    from: f64,
    to: f64,
    /// It is one of several.
    parted: bool,
}

impl Span {
    /// The line before what came in it, where it is one of several.
    pub fn head(&self) -> String {
        match self.parted {
            true => format!("from {:.1} s to {:.1} s:\n", self.from, self.to),
            false => String::new(),
        }
    }

    pub fn seconds(&self) -> f64 {
        self.to - self.from
    }

    /// The value with the times in it.
    pub fn json(&self, mut value: Json) -> Json {
        value["from"] = json!(self.from);
        value["to"] = json!(self.to);
        value
    }
}

/// What is missing in counts.
#[derive(Clone, Copy, Default)]
pub struct Lost {
    /// Calls at which the program could not run, or was stopped.
    unseen: u64,
    /// What a map had no room for, or was too busy to take.
    full: u64,
    /// Calls that had not returned.
    outstanding: u64,
    /// Calls that somebody jumped out of, or whose thread has ended.
    abandoned: u64,
}

impl Lost {
    /// Lines, if anything is missing.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (count, which) in [
            (self.unseen, "missing: the program could not run"),
            (self.full, "missing: there was no room for them"),
            (self.outstanding, "not returned yet"),
            (self.abandoned, "without a return: jumped out of, or their thread has ended"),
        ] {
            if count > 0 {
                text.push_str(&format!("{} {which}\n", several(count, "call")));
            }
        }
        text
    }

    pub fn json(&self) -> Json {
        json!(self.unseen + self.full)
    }

    /// Calls of which no end was seen.
    pub fn unreturned(&self) -> u64 {
        self.outstanding + self.abandoned
    }
}

/// A tool at work.
pub struct Stage {
    tool: &'static str,
    client: Client,
    limits: Limits,
    screen: Screen,
    /// Set by the person.
    stop: Arc<AtomicBool>,
    /// Commands are not broken off: they are short, and what they say is wanted.
    patient: Arc<AtomicBool>,
    begin: Instant,
    /// When the tool ends by itself.
    deadline: Rc<Cell<Option<Instant>>>,
    /// Where what was told last ended.
    told: Instant,
    file: String,
}

impl Stage {
    pub fn new(tool: &'static str, mut client: Client, limits: Limits, quiet: bool) -> Self {
        let (stop, patient) = (stop_at_signals(), Arc::new(AtomicBool::new(false)));
        let deadline = Rc::new(Cell::new(None));
        let is_over = is_over(&stop, &deadline);
        let is_patient = patient.clone();
        client.set_interrupt(move || is_over() && !is_patient.load(Ordering::Relaxed));
        let screen = Screen::new(quiet || limits.json || limits.interval.is_some());
        let now = Instant::now();
        let file = format!("ushell-{tool}.pkg");
        Self { tool, client, limits, screen, stop, patient, begin: now, deadline, told: now, file }
    }

    /// Brings the programs of an object, and attaches each of them to each of the functions.
    pub fn attach(&mut self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let package = object::package(wanted).map_err(Failure::Refused)?;
        let mut said = Vec::new();
        let take = &mut |page: &[u8]| {
            said.extend_from_slice(page);
            io::Result::Ok(())
        };
        let put = self.client.put(&self.file, &package, take, &mut |_| {});
        if !self.went_well(put)? {
            return Err(Failure::Refused(String::from_utf8_lossy(&said).trim_end().into()));
        }
        let file = quote(&self.file);
        let many = if self.limits.many { " --yes" } else { "" };
        let attached = self.ask(&format!("prog attach {file}{many}"));
        self.patient.store(true, Ordering::Relaxed);
        // The programs stay without it.
        let removed = self.ask(&format!("rm {file}"));
        let lines = attached?;
        removed?;
        self.begin = Instant::now();
        self.told = self.begin;
        self.deadline.set(self.limits.duration.and_then(|duration| self.begin.checked_add(duration)));
        say(&format!("{}: attached to {}; ^C ends it\n", self.tool, several(count(&lines), "function")));
        Ok(())
    }

    /// The functions with programs of this tool, by name, and how often they were called since.
    pub fn calls(&mut self) -> Result<Vec<(String, u64)>, Failure> {
        let all = self.own()?.into_iter();
        // Where two patterns fit, both programs have seen each call.
        let each = all.filter_map(|(function, programs)| {
            let most = programs.iter().map(|program| number(program, "runs") + number(program, "misses")).max();
            most.map(|most| (function, most))
        });
        Ok(each.collect())
    }

    /// The functions with programs of this tool, and what is said of those.
    fn own(&mut self) -> Result<Vec<(String, Vec<Json>)>, Failure> {
        let listed = Form::Attached.json(&self.ask("bpf_list -v")?);
        let each = listed["functions"].as_array().into_iter().flatten().map(|function| {
            let programs = function["programs"].as_array().into_iter().flatten();
            let own = programs.filter(|program| program["program"].as_str().is_some_and(|name| self.is_own(name)));
            (function["function"].as_str().unwrap_or("?").to_string(), own.cloned().collect())
        });
        Ok(each.collect())
    }

    /// The entries of a map of numbers by numbers.
    pub fn counts(&mut self, map: &str) -> Result<Vec<(u64, u64)>, Failure> {
        let entry = |line: &String| {
            let (key, value) = line.split_once(": ")?;
            // Behind the sum stand the slots that it is made of.
            let sum = value.split_once(" = ").map_or(value, |(sum, _)| sum);
            Some((key.parse().ok()?, sum.parse().ok()?))
        };
        Ok(self.ask(&format!("map dump {}", quote(map)))?.iter().filter_map(entry).collect())
    }

    /// The first of the entries of such a map.
    fn count(&mut self, map: &str) -> Result<u64, Failure> {
        Ok(self.counts(map)?.first().map_or(0, |entry| entry.1))
    }

    /// The words under a number.
    pub fn value(&mut self, map: &str, key: u64) -> Result<Vec<u64>, Failure> {
        let said = self.ask(&format!("map lookup {} {key}", quote(map)))?;
        Ok(said.first().and_then(|line| words(line)).unwrap_or_default())
    }

    /// The entries of a map of words by numbers.
    pub fn words(&mut self, map: &str) -> Result<Vec<(u64, Vec<u64>)>, Failure> {
        let entry = |line: &String| {
            let (key, value) = line.split_once(": ")?;
            let slots = value.split(" | ").map(|slot| words(slot).unwrap_or_default());
            let sums = slots.reduce(|sums, slot| sums.iter().zip(slot).map(|(a, b)| a.wrapping_add(b)).collect());
            Some((key.parse().ok()?, sums?))
        };
        Ok(self.ask(&format!("map dump {}", quote(map)))?.iter().filter_map(entry).collect())
    }

    /// The functions that a pattern fits, as the shell names them.
    fn fitting(&mut self, pattern: &str) -> Result<Vec<String>, Failure> {
        let mut all = self.ask(&format!("functions {}", quote(pattern)))?;
        // Without a `*`, parts of names fit, too.
        all.retain(|line| pattern.contains('*') || line.split(' ').next() == Some(pattern));
        Ok(all)
    }

    /// Whether a pattern fits some function.
    pub fn is_there(&mut self, pattern: &str) -> Result<bool, Failure> {
        Ok(!self.fitting(pattern)?.is_empty())
    }

    /// The shell is not asked about many functions: the person has not named them.
    pub fn take_many(&mut self) {
        self.limits.many = true;
    }

    /// That no function fits two of these: its calls would be told of twice.
    pub fn distinct(&mut self, patterns: &[String]) -> Result<(), Failure> {
        let mut known: HashMap<String, &String> = HashMap::new();
        for pattern in patterns.iter().filter(|_| patterns.len() > 1) {
            for function in self.fitting(pattern)? {
                if let Some(before) = known.get(&function) {
                    return Err(Failure::Refused(format!("{function} is named by {before} and by {pattern}")));
                }
                known.insert(function, pattern);
            }
        }
        Ok(())
    }

    /// The functions that these patterns fit, by the addresses under which programs know them.
    pub fn addresses(&mut self, patterns: &[String]) -> Result<HashMap<u64, String>, Failure> {
        let mut all = HashMap::new();
        for pattern in patterns {
            let mut fitting = self.fitting(pattern)?;
            if fitting.is_empty() && !pattern.contains('*') {
                // It may be an address; else the shell says what it is not.
                fitting.push(pattern.clone());
            }
            for function in fitting {
                // Of several functions of a name the address says which.
                let question = function.split_once(' ').map_or(function.as_str(), |(_, address)| address);
                let address = self.ask(&format!("bpf_get_ret_addr {}", quote(question)))?;
                if let Some(address) = address.first().and_then(|text| hex(text)) {
                    all.insert(address, function);
                }
            }
        }
        Ok(all)
    }

    /// The time on the image's clock, in nanoseconds.
    pub fn now_ns(&mut self) -> Result<u64, Failure> {
        let said = self.ask("bpf_time_get_ns")?;
        Ok(said.first().and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Shows the records of a ring as they come, as `change` tells of the words of each, until the end.
    pub fn follow(&mut self, ring: &str, mut change: impl FnMut(&[u64]) -> Told) -> Result<(), Failure> {
        let (mut lines, stop) = (Lines::default(), self.stop.clone());
        self.patient.store(false, Ordering::Relaxed);
        let traced = self.client.run(&format!("trace {}", quote(ring)), &mut |page| {
            let mut text = String::new();
            lines.take(page, &mut |line| {
                let told = words(line).map_or_else(|| Told::line(line.into()), |words| change(&words));
                told.lines.iter().for_each(|line| text.extend([&shown_text(line), "\n"]));
                if told.over {
                    stop.store(true, Ordering::Relaxed);
                }
            });
            output::print(text.as_bytes())
        });
        self.patient.store(true, Ordering::Relaxed);
        match self.went_well(traced) {
            Ok(true) | Err(Failure::Ended) => Ok(()),
            Ok(false) => Err(Failure::Refused(format!("{ring} cannot be traced"))),
            Err(failure) => Err(failure),
        }
    }

    /// Says what a tool that showed calls one by one has not shown: what this ring had no room for, and what its programs say in `map`.
    pub fn tell_lost(&mut self, ring: Option<&str>, map: Option<&str>) -> Result<(), Failure> {
        let mut lost = self.lost(map)?;
        if let Some(ring) = ring {
            let shown = Form::Maps.json(&self.ask(&format!("map show {}", quote(ring)))?);
            lost.full += number(&shown[0], "full") + number(&shown[0], "busy");
        }
        // Calls that go on are none that were to be shown.
        say(&Lost { outstanding: 0, ..lost }.text());
        Ok(())
    }

    /// What is missing in the counts; in `map` the programs say what they had no room for.
    pub fn lost(&mut self, map: Option<&str>) -> Result<Lost, Failure> {
        let full = map.map_or(Ok(0), |map| self.count(map))?;
        let mut lost = Lost { full, ..Lost::default() };
        for program in self.own()?.iter().flat_map(|(_, programs)| programs) {
            lost.unseen += number(program, "misses") + number(program, "failures");
            lost.outstanding += number(program, "outstanding");
            lost.abandoned += number(program, "abandoned");
        }
        Ok(lost)
    }

    fn is_own(&self, program: &str) -> bool {
        // Behind it stand the program, and where in the function it is.
        program.strip_prefix(&self.file).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', ' ']))
    }

    /// The lines that a command says; one that fails is an error.
    pub fn ask(&mut self, line: &str) -> Result<Vec<String>, Failure> {
        let answer = self.client.answer(line);
        let (good, lines) = self.went_well(answer)?;
        match good {
            true => Ok(lines),
            false => Err(Failure::Refused(lines.join("\n"))),
        }
    }

    /// A command that the person has broken off is no failure.
    fn went_well<T>(&self, answer: Result<T, ClientError>) -> Result<T, Failure> {
        match answer {
            Err(ClientError::BrokenOff) if is_over(&self.stop, &self.deadline)() => Err(Failure::Ended),
            answer => Ok(answer?),
        }
    }

    /// Waits until there is something to tell. An image that goes is an error.
    pub fn wait(&mut self) -> Result<Turn, Failure> {
        let (end, is_over) = (self.deadline.get(), is_over(&self.stop, &self.deadline));
        let (turn, pause) = match (self.limits.interval, self.screen.is_live()) {
            (Some(interval), _) => (Turn::Part, Some(interval)),
            (None, true) => (Turn::Glance, Some(LIVE)),
            (None, false) => (Turn::End, None),
        };
        // A pause that never ends has no end.
        let next = pause.and_then(|pause| self.told.checked_add(pause));
        loop {
            let now = Instant::now();
            if is_over() {
                return Ok(Turn::End);
            }
            if next.is_some_and(|next| now >= next) {
                return Ok(turn);
            }
            let nearest = [end, next].into_iter().flatten().min();
            let left = nearest.map_or(TICK, |nearest| nearest.saturating_duration_since(now));
            self.client.idle(left.clamp(Duration::from_millis(1), TICK))?;
        }
    }

    /// The stretch that is told of now.
    pub fn span(&mut self) -> Span {
        let now = Instant::now();
        let parted = self.is_parted();
        let from = if parted { self.told } else { self.begin };
        self.told = now;
        let since = |then: Instant| then.saturating_duration_since(self.begin).as_secs_f64();
        Span { from: since(from), to: since(now), parted }
    }

    /// Whether values of JSON are wanted.
    pub fn is_json(&self) -> bool {
        self.limits.json
    }

    /// Whether what came in each interval is told by itself.
    pub fn is_parted(&self) -> bool {
        self.limits.interval.is_some()
    }

    /// Shows this, as text or as a value.
    pub fn show(
        &mut self,
        turn: Turn,
        text: impl FnOnce() -> String,
        value: impl FnOnce() -> Json,
    ) -> Result<(), Failure> {
        Ok(match (self.limits.json, turn) {
            (true, _) => self.screen.json(&value()),
            (false, Turn::Glance) => self.screen.draw(&text()),
            (false, _) => self.screen.print(&text()),
        }?)
    }

    /// Ends the session, and with it everything that was attached.
    pub fn end(&mut self) -> Result<(), ClientError> {
        self.patient.store(true, Ordering::Relaxed);
        self.client.answer("quit").map(drop)
    }
}

/// Whether the person, or the time, ends the tool.
fn is_over(stop: &Arc<AtomicBool>, deadline: &Rc<Cell<Option<Instant>>>) -> impl Fn() -> bool + use<> {
    let (stop, deadline) = (stop.clone(), deadline.clone());
    move || stop.load(Ordering::Relaxed) || deadline.get().is_some_and(|deadline| Instant::now() >= deadline)
}

/// Set by ^C and by what ends programs; at the second time it ends this one at once.
fn stop_at_signals() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Without a handler the signal ends the tool, and the image detaches what is attached.
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.clone());
        let _ = signal_hook::flag::register(signal, stop.clone());
    }
    stop
}

/// Says why a tool does nothing.
pub fn refuse(tool: &str, reason: &str) {
    say(&format!("{tool}: {reason}\n"));
}

/// How many functions `prog attach` says it has attached to.
fn count(lines: &[String]) -> u64 {
    let functions = |line: &String| {
        let words = line.strip_suffix(" functions successfully.")?;
        words.rsplit_once(' ')?.1.parse().ok()
    };
    lines.iter().map(|line| functions(line).unwrap_or(1)).sum()
}

/// The words of a value as the shell shows it.
fn words(text: &str) -> Option<Vec<u64>> {
    let bytes = typed::plain(text)?;
    match bytes {
        ubpf_pack::Value::Bytes(bytes) => {
            let (words, rest) = bytes.as_chunks::<8>();
            rest.is_empty().then(|| words.iter().map(|word| u64::from_le_bytes(*word)).collect())
        }
        _ => None,
    }
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn number(of: &Json, name: &str) -> u64 {
    of[name].as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn functions_are_counted_as_they_were_attached() {
        let lines =
            ["Program a.pkg:x was attached to 12 functions successfully.", "Program b was attached to f successfully."];
        assert_eq!(count(&lines.map(String::from)), 13);
    }
}
