//! What every tool does with a shell: it brings its programs, attaches them for as long as its session lasts, asks, and ends.

use super::{count::several, object, screen::Screen, Failure};
use crate::json::Form;
use serde_json::{json, Value as Json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::{
    io,
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
use ubpf_tools::output::say;

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
}

impl Lost {
    /// Lines, if anything is missing.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (count, why) in [
            (self.unseen, "were not counted: the program could not run"),
            (self.full, "were not counted: the map has no room for more"),
        ] {
            if count > 0 {
                text.push_str(&format!("{count} of the calls {why}\n"));
            }
        }
        text
    }

    pub fn json(&self) -> Json {
        json!(self.unseen + self.full)
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
    /// Commands are not broken off any more.
    ending: Arc<AtomicBool>,
    begin: Instant,
    /// Where what was told last ended.
    told: Instant,
    file: String,
}

impl Stage {
    pub fn new(tool: &'static str, mut client: Client, limits: Limits, quiet: bool) -> Self {
        let (stop, ending) = (stop_at_signals(), Arc::new(AtomicBool::new(false)));
        let flags = (stop.clone(), ending.clone());
        client.set_interrupt(move || flags.0.load(Ordering::Relaxed) && !flags.1.load(Ordering::Relaxed));
        let screen = Screen::new(quiet || limits.json || limits.interval.is_some());
        let now = Instant::now();
        Self { tool, client, limits, screen, stop, ending, begin: now, told: now, file: format!("ushell-{tool}.pkg") }
    }

    /// Brings the programs of an object with these numbers set, and attaches each to each of these functions.
    pub fn attach(&mut self, programs: &str, values: &[(&str, String)], targets: &[String]) -> Result<(), Failure> {
        let package = object::package(programs, values, targets).map_err(Failure::Refused)?;
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
        // The programs stay without it.
        let removed = self.ask(&format!("rm {file}"));
        let lines = attached?;
        removed?;
        self.begin = Instant::now();
        self.told = self.begin;
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

    /// What was not counted in this map.
    pub fn lost(&mut self, map: &str) -> Result<Lost, Failure> {
        let shown = Form::Maps.json(&self.ask(&format!("map show {}", quote(map)))?);
        let programs = self.own()?.into_iter().flat_map(|(_, programs)| programs);
        let unseen = programs.map(|program| number(&program, "misses") + number(&program, "failures")).sum();
        Ok(Lost { unseen, full: number(&shown[0], "full") + number(&shown[0], "busy") })
    }

    fn is_own(&self, program: &str) -> bool {
        program.strip_prefix(&self.file).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
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
            Err(ClientError::BrokenOff) if self.stop.load(Ordering::Relaxed) => Err(Failure::Ended),
            answer => Ok(answer?),
        }
    }

    /// Waits until there is something to tell. An image that goes is an error.
    pub fn wait(&mut self) -> Result<Turn, Failure> {
        let end = self.limits.duration.map(|duration| self.begin + duration);
        let (turn, pause) = match (self.limits.interval, self.screen.is_live()) {
            (Some(interval), _) => (Turn::Part, Some(interval)),
            (None, true) => (Turn::Glance, Some(LIVE)),
            (None, false) => (Turn::End, None),
        };
        let next = pause.map(|pause| self.told + pause);
        loop {
            let now = Instant::now();
            if self.stop.load(Ordering::Relaxed) || end.is_some_and(|end| now >= end) {
                self.ending.store(true, Ordering::Relaxed);
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
        self.ending.store(true, Ordering::Relaxed);
        self.client.answer("quit").map(drop)
    }
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
