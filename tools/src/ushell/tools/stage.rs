//! What every tool does with a shell: it brings its programs, attaches them for as long as its session lasts, asks, and ends.

use super::{
    object::{self, Wanted},
    screen::Screen,
    Failure,
};
use crate::{
    json::Form,
    names::{self, names, Function, Resolver},
    session::{shown_text, Lines},
    typed,
};
use serde_json::{json, Value as Json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, HashMap},
    io, mem,
    rc::Rc,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, LazyLock,
    },
    time::{Duration, Instant},
};
use ubpf_client::{
    machine::{quote, Client},
    ClientError,
};
use ubpf_rs::platform::is_pattern;
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
    /// What the shell does itself is told, too.
    pub own: bool,
    /// Functions are named as the image has them.
    pub mangled: bool,
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

/// So many of something, in words.
pub fn several(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// A stretch of time, in seconds since the programs were attached.
#[derive(Clone, Copy, Default)]
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

/// How often a program at a timer runs.
#[derive(Clone, Copy)]
pub struct Rates {
    /// Times a second that were asked for.
    pub asked: f64,
    /// Those that it came to.
    pub reached: f64,
    /// Times in which the shell itself was at work, or nobody.
    pub left_out: u64,
}

impl Rates {
    /// By the counters of a program; where there is none, it does not run.
    fn of(program: Option<&Json>) -> Self {
        let rate = |name: &str| program.and_then(|program| program[name].as_f64()).unwrap_or(0.0);
        let left_out = program.map_or(0, |program| sum(program, ["left_out"]));
        Self { asked: rate("asked_hz"), reached: rate("reached_hz"), left_out }
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
    /// By the counters of programs, and by what those say that they had no room for.
    fn of<'p>(full: u64, programs: impl Iterator<Item = &'p Json>) -> Self {
        let mut lost = Self { full, ..Self::default() };
        for program in programs {
            lost.unseen = lost.unseen.saturating_add(sum(program, ["misses", "failures"]));
            lost.outstanding = lost.outstanding.saturating_add(sum(program, ["outstanding"]));
            lost.abandoned = lost.abandoned.saturating_add(sum(program, ["abandoned"]));
        }
        lost
    }

    /// With so much more for which there was no room.
    pub fn and_full(self, more: u64) -> Self {
        Self { full: self.full.saturating_add(more), ..self }
    }

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
        json!(self.unseen.saturating_add(self.full))
    }

    /// Calls of which no end was seen.
    pub fn unreturned(&self) -> u64 {
        self.outstanding.saturating_add(self.abandoned)
    }
}

/// Tells whether the person wants what is at work to end.
pub type Keys = Rc<dyn Fn() -> bool>;

/// How a tool is started.
pub struct Start {
    /// Something else writes on the terminal.
    pub quiet: bool,
    /// The session goes on when the tool has ended, so it takes off by itself what it has attached.
    pub within: bool,
    /// Where `^C` is a key; else it is a signal.
    pub keys: Option<Keys>,
}

/// What ends a tool.
#[derive(Clone)]
struct Ends {
    /// Set by the person.
    stop: Arc<AtomicBool>,
    keys: Option<Keys>,
    /// When the tool ends by itself.
    deadline: Rc<Cell<Option<Instant>>>,
}

impl Ends {
    fn new(keys: Option<Keys>) -> Self {
        let stop = match keys {
            Some(_) => Arc::default(),
            None => stop_at_signals(),
        };
        Self { stop, keys, deadline: Rc::default() }
    }

    /// Whether the person, or the time, ends the tool.
    fn is_over(&self) -> bool {
        if self.keys.as_ref().is_some_and(|pressed| pressed()) {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.stop.load(Ordering::Relaxed) || self.deadline.get().is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// A tool at work.
pub struct Stage<'c> {
    tool: &'static str,
    client: &'c mut Client,
    limits: Limits,
    screen: Screen,
    ends: Ends,
    within: bool,
    /// Commands are not broken off: they are short, and what they say is wanted.
    patient: Arc<AtomicBool>,
    begin: Instant,
    /// Where what was told last ended.
    told: Instant,
    file: String,
    resolver: Resolver,
    /// The lines of `status`, once it was asked.
    status: Vec<String>,
}

impl<'c> Stage<'c> {
    pub fn new(tool: &'static str, client: &'c mut Client, limits: Limits, start: Start) -> Self {
        let Start { quiet, within, keys } = start;
        let (ends, patient) = (Ends::new(keys), Arc::new(AtomicBool::new(false)));
        let (asked, is_patient) = (ends.clone(), patient.clone());
        client.set_interrupt(move || asked.is_over() && !is_patient.load(Ordering::Relaxed));
        let screen = Screen::new(quiet || limits.json || limits.interval.is_some());
        let now = Instant::now();
        let file = format!("ushell-{tool}.pkg");
        let (resolver, status) = (Resolver::default(), Vec::new());
        Self { tool, client, limits, screen, ends, within, patient, begin: now, told: now, file, resolver, status }
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
        let own = if self.limits.own { " --own" } else { "" };
        let attached = self.ask(&format!("prog attach {file}{many}{own}"));
        self.patient.store(true, Ordering::Relaxed);
        // The programs stay without it.
        let removed = self.ask(&format!("rm {file}"));
        let lines = attached?;
        removed?;
        self.begin = Instant::now();
        self.told = self.begin;
        self.ends.deadline.set(self.limits.duration.and_then(|duration| self.begin.checked_add(duration)));
        let to = match wanted.targets {
            [timer] if timer.starts_with("profile:") => timer.clone(),
            _ => several(count(&lines), "function"),
        };
        lines.iter().filter(|line| line.starts_with("warning: ")).for_each(|line| say(&format!("{line}\n")));
        say(&format!("{}: attached to {to}; ^C ends it\n", self.tool));
        Ok(())
    }

    /// The functions with programs of this tool, by name, and how often they were called since.
    pub fn calls(&mut self) -> Result<Vec<(Function, u64)>, Failure> {
        let all = self.own()?.into_iter();
        // Where two patterns fit, both programs have seen each call.
        let each = all.filter_map(|(function, programs)| {
            let most = programs.iter().map(|program| sum(program, ["runs", "misses"])).max();
            most.map(|most| (self.function(&function), most))
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

    /// Puts a number under a number into a map of numbers.
    pub fn set(&mut self, map: &str, key: u64, value: u64) -> Result<(), Failure> {
        self.ask(&format!("map update {} {key} {value}", quote(map))).map(drop)
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

    /// Bytes of the application's memory, as many as can be read.
    pub fn bytes(&mut self, address: u64, size: usize) -> Result<Vec<u8>, Failure> {
        let answer = self.client.answer(&format!("bpf_probe_read {address:#x} {size}"));
        let (_, lines) = self.went_well(answer)?;
        let row = |line: &String| {
            let (_, bytes) = line.split_once(": ")?;
            let bytes = bytes.split_once("  ").map_or(bytes, |(bytes, _)| bytes);
            Some(bytes.split(' ').map_while(|byte| u8::from_str_radix(byte, 16).ok()).collect::<Vec<u8>>())
        };
        Ok(lines.iter().filter_map(row).flatten().collect())
    }

    /// What the image is told of functions, or patterns, as the person has named them.
    pub fn targets(&mut self, named: &[String]) -> Result<Vec<String>, Failure> {
        if self.limits.mangled {
            return Ok(named.to_vec());
        }
        let (mut all, mut resolver) = (Vec::new(), mem::take(&mut self.resolver));
        for name in named {
            let found = resolver.targets(name, &mut |line| self.ask(line))?.map_err(Failure::Refused)?;
            found.into_iter().for_each(|target| {
                if !all.contains(&target) {
                    all.push(target);
                }
            });
        }
        self.resolver = resolver;
        Ok(all)
    }

    /// A function, by what the image calls it.
    fn function(&self, symbol: &str) -> Function {
        Function::of(symbol, self.limits.mangled)
    }

    /// The functions that a pattern fits, as the shell names them.
    fn fitting(&mut self, pattern: &str) -> Result<Vec<String>, Failure> {
        let mut all = self.ask(&format!("functions {}", quote(pattern)))?;
        // Without a `*`, parts of names fit, too.
        all.retain(|line| is_pattern(pattern) || names::parts(line).0 == pattern);
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

    /// What the shell does itself is told, too.
    pub fn take_own(&mut self) {
        self.limits.own = true;
    }

    /// That no function fits two of these: its calls would be told of twice.
    pub fn distinct(&mut self, patterns: &[String]) -> Result<(), Failure> {
        let mut known: HashMap<String, &String> = HashMap::new();
        for pattern in patterns.iter().filter(|_| patterns.len() > 1) {
            for function in self.fitting(pattern)? {
                if let Some(before) = known.get(&function) {
                    let function = self.function(&function);
                    return Err(Failure::Refused(format!("{function} is named by {before} and by {pattern}")));
                }
                known.insert(function, pattern);
            }
        }
        Ok(())
    }

    /// The functions that these patterns fit, by the addresses under which programs know them.
    pub fn addresses(&mut self, patterns: &[String]) -> Result<HashMap<u64, Function>, Failure> {
        let mut all = HashMap::new();
        for pattern in patterns {
            let mut fitting = self.fitting(pattern)?;
            if fitting.is_empty() && !is_pattern(pattern) {
                // It may be an address; else the shell says what it is not.
                fitting.push(pattern.clone());
            }
            for function in fitting {
                // Of several functions of a name the address says which.
                let question = names::parts(&function).1.unwrap_or(&function);
                let address = self.ask(&format!("bpf_get_ret_addr {}", quote(question)))?;
                if let Some(address) = address.first().and_then(|text| hex(text)) {
                    all.insert(address, self.function(&function));
                }
            }
        }
        Ok(all)
    }

    /// Names of the functions that addresses lie in, as far as they are known.
    pub fn names_of(&mut self, addresses: BTreeSet<u64>) -> Result<HashMap<u64, Function>, Failure> {
        let all = names(addresses, |line| self.ask(line))?;
        Ok(all.into_iter().map(|(address, name)| (address, self.function(&name))).collect())
    }

    /// The id of the image, if it has one, as text.
    pub fn image_id(&mut self) -> Result<Option<String>, Failure> {
        Ok(self.status("image")?.map(String::from))
    }

    /// Whether the shell is in a Linux process.
    pub fn is_process(&mut self) -> Result<bool, Failure> {
        Ok(self.status("platform")? == Some("linux"))
    }

    /// What `status` says of something that stays as it is: it is asked once.
    fn status(&mut self, what: &str) -> Result<Option<&str>, Failure> {
        if self.status.is_empty() {
            self.status = self.ask("status")?;
        }
        let mut lines = self.status.iter().filter_map(|line| line.split_once(": "));
        Ok(lines.find_map(|(name, value)| (name == what).then_some(value)))
    }

    /// The time on the image's clock, in nanoseconds.
    pub fn now_ns(&mut self) -> Result<u64, Failure> {
        let said = self.ask("bpf_time_get_ns")?;
        Ok(said.first().and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Shows the records of a ring as they come, as `change` tells of the words of each, until the end; then those that had come until then.
    pub fn follow(&mut self, ring: &str, mut change: impl FnMut(&[u64]) -> Told) -> Result<(), Failure> {
        let (lines, over, stop) = (RefCell::new(Lines::default()), Cell::new(false), self.ends.stop.clone());
        let take = &mut |page: &[u8]| {
            let mut text = String::new();
            lines.borrow_mut().take(page, &mut |line| {
                if over.get() {
                    return;
                }
                let told = words(line).map_or_else(|| Told::line(line.into()), |words| change(&words));
                told.lines.iter().for_each(|line| text.extend([&shown_text(line), "\n"]));
                if told.over {
                    over.set(true);
                    stop.store(true, Ordering::Relaxed);
                }
            });
            output::print(text.as_bytes())
        };
        let ring = quote(ring);
        self.patient.store(false, Ordering::Relaxed);
        let traced = self.client.run(&format!("trace {ring}"), take);
        self.patient.store(true, Ordering::Relaxed);
        let mut traced = self.went_well(traced);
        if matches!(traced, Err(Failure::Ended)) && !over.get() {
            // A long record that was on its way is broken off.
            lines.take();
            // Where the time was over, the person may still end it.
            self.ends.deadline.set(None);
            self.patient.store(self.ends.stop.load(Ordering::Relaxed), Ordering::Relaxed);
            let rest = self.client.run(&format!("trace {ring} --rest"), take);
            self.patient.store(true, Ordering::Relaxed);
            traced = self.went_well(rest);
        }
        match traced {
            Ok(true) | Err(Failure::Ended) => Ok(()),
            Err(failure) => Err(failure),
            Ok(false) => Err(Failure::Refused(format!("{ring} cannot be traced"))),
        }
    }

    /// Says what a tool that showed calls one by one has not shown: what this ring had no room for, and what its programs say in `map`.
    pub fn tell_lost(&mut self, ring: Option<&str>, map: Option<&str>) -> Result<(), Failure> {
        let mut lost = self.lost(map)?;
        if let Some(ring) = ring {
            lost = lost.and_full(self.refused_by(ring)?);
        }
        // Calls that go on are none that were to be shown.
        say(&Lost { outstanding: 0, ..lost }.text());
        Ok(())
    }

    /// Records that a ring had no room for.
    pub fn refused_by(&mut self, ring: &str) -> Result<u64, Failure> {
        let shown = Form::Maps.json(&self.ask(&format!("map show {}", quote(ring)))?);
        Ok(sum(&shown[0], ["full", "busy"]))
    }

    /// Where a function of the image lies, by its name.
    pub fn address_of(&mut self, function: &str) -> Result<Option<u64>, Failure> {
        let answer = self.client.answer(&format!("bpf_get_addr {}", quote(function)));
        let (good, lines) = self.went_well(answer)?;
        Ok(lines.first().filter(|_| good).and_then(|text| hex(text)).filter(|address| *address != 0))
    }

    /// What is missing in the counts; in `map` the programs say what they had no room for.
    pub fn lost(&mut self, map: Option<&str>) -> Result<Lost, Failure> {
        Ok(self.lost_and_rates(map)?.0)
    }

    /// The same, and how often the tool's program at a timer runs, by one look at its programs.
    pub fn lost_and_rates(&mut self, map: Option<&str>) -> Result<(Lost, Rates), Failure> {
        let full = map.map_or(Ok(0), |map| self.count(map))?;
        let own = self.own()?;
        let mut programs = own.iter().flat_map(|(_, programs)| programs);
        Ok((Lost::of(full, programs.clone()), Rates::of(programs.next())))
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
            Err(ClientError::BrokenOff) if self.ends.is_over() => Err(Failure::Ended),
            answer => Ok(answer?),
        }
    }

    /// Waits until there is something to tell. An image that goes is an error.
    pub fn wait(&mut self) -> Result<Turn, Failure> {
        let end = self.ends.deadline.get();
        let (turn, pause) = match (self.limits.interval, self.screen.is_live()) {
            (Some(interval), _) => (Turn::Part, Some(interval)),
            (None, true) => (Turn::Glance, Some(LIVE)),
            (None, false) => (Turn::End, None),
        };
        // A pause that never ends has no end.
        let next = pause.and_then(|pause| self.told.checked_add(pause));
        loop {
            let now = Instant::now();
            if self.ends.is_over() {
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

    /// Takes off everything that was attached: with the session, or from a session that goes on.
    pub fn end(&mut self) -> Result<(), ClientError> {
        self.patient.store(true, Ordering::Relaxed);
        if self.ends.keys.is_none() {
            // The next signal is not for this tool.
            self.ends.stop.store(true, Ordering::Relaxed);
        }
        match self.within {
            true => self.detach(),
            false => self.client.answer("quit").map(drop),
        }
    }

    /// Detaches the tool's programs. Its file is still there where it was ended while it attached them; what is not there is no failure.
    fn detach(&mut self) -> Result<(), ClientError> {
        let file = quote(&self.file);
        for command in ["prog detach", "rm"] {
            self.client.answer(&format!("{command} {file}"))?;
        }
        Ok(())
    }
}

/// Set by ^C and by what ends programs; where it was set before, this one ends at once. Tools of one session share it: their handlers stay.
fn stop_at_signals() -> Arc<AtomicBool> {
    static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // Without a handler the signal ends the tool, and the image detaches what is attached.
            let _ = signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.clone());
            let _ = signal_hook::flag::register(signal, stop.clone());
        }
        stop
    });
    STOP.store(false, Ordering::Relaxed);
    STOP.clone()
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
    lines.iter().map(|line| functions(line).unwrap_or(1)).fold(0, u64::saturating_add)
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

/// The numbers of these names together, as far as there are such. What an image says may be too large for any sum.
fn sum<const N: usize>(of: &Json, names: [&str; N]) -> u64 {
    names.iter().fold(0, |sum, name| of[*name].as_u64().unwrap_or(0).saturating_add(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_counted_as_they_were_attached() {
        let lines =
            ["Program a.pkg:x was attached to 12 functions successfully.", "Program b was attached to f successfully."];
        assert_eq!(count(&lines.map(String::from)), 13);
    }

    /// Such numbers come from an image that is not in order.
    #[test]
    fn sums_that_are_too_large_are_the_largest() {
        let line = format!("Program a was attached to {} functions successfully.", u64::MAX);
        assert_eq!(count(&[line.clone(), line]), u64::MAX);
        assert_eq!(sum(&json!({ "full": u64::MAX, "busy": 1 }), ["full", "busy"]), u64::MAX);
        assert_eq!(sum(&json!("no map"), ["full"]), 0);
        let most = u64::MAX;
        let lost = Lost { unseen: most, full: most, outstanding: most, abandoned: most };
        assert_eq!((lost.json(), lost.unreturned(), lost.text().lines().count()), (json!(most), most, 4));
    }
}
