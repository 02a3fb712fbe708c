//! `funclatency`: how long calls take. The engine knows when each call began, so that one program at the return is enough, and recursion and
//! threads make no difference.

use super::{
    count::{several, Counts, Words},
    object::{places, Wanted},
    patterns, read_patterns,
    stage::{Stage, Turn},
    Failure, Tool, Work,
};
use crate::hist::Histogram;
use clap::{ArgMatches, Command};
use serde_json::{json, Value as Json};
use std::collections::{BTreeMap, HashMap};
use ubpf_tools::cli::flag;

pub const TOOL: Tool = Tool {
    name: "funclatency",
    about: "Shows how long calls of functions take, from entry to return",
    usage: "[OPTIONS] PATTERN...",
    details: "A call counts when it returns. The time of a function has that of the functions it calls in it.",
    define,
    read,
};

fn define(command: Command) -> Command {
    command.arg(patterns()).arg(flag("each").help("Show each function by itself"))
}

fn read(matches: &ArgMatches) -> Result<Box<dyn Work>, String> {
    Ok(Box::new(Latencies { patterns: read_patterns(matches), each: matches.get_flag("each") }))
}

struct Latencies {
    patterns: Vec<String>,
    each: bool,
}

impl Work for Latencies {
    fn run(&self, stage: &mut Stage) -> Result<(), Failure> {
        let programs = if self.each { "funclatency_each" } else { "funclatency" };
        stage.distinct(&self.patterns)?;
        let names = if self.each { stage.addresses(&self.patterns)? } else { HashMap::new() };
        let places = self.each.then(|| places(names.len()));
        stage.attach(&Wanted { programs, targets: &self.patterns, places, ..Wanted::default() })?;
        let mut counts = Counts::default();
        loop {
            let turn = stage.wait()?;
            let (span, words) = (stage.span(), self.words(stage)?);
            let lost = stage.lost(self.each.then_some("funclatency_each.lost"))?;
            let all = latencies(counts.take_words(words, stage.is_parted()), &names);
            let text = || {
                let each = all.iter().map(Latency::text).collect::<String>();
                let each = if all.is_empty() { "no call has returned\n" } else { &each };
                format!("{}{each}{}", span.head(), lost.text())
            };
            let value = || {
                let each: Vec<Json> = all.iter().map(Latency::json).collect();
                span.json(json!({ "latencies": each, "lost": lost.json(), "not_returned": lost.unreturned() }))
            };
            stage.show(turn, text, value)?;
            if turn == Turn::End {
                return Ok(());
            }
        }
    }
}

impl Latencies {
    /// The words of `struct latency`, by the addresses of functions where each has one.
    fn words(&self, stage: &mut Stage) -> Result<Vec<(u64, Vec<u64>)>, Failure> {
        if !self.each {
            return stage.words("funclatency.latency");
        }
        // Only those that were called: the others are many zeros.
        let functions = stage.counts("funclatency_each.functions")?.into_iter().filter(|(_, function)| *function != 0);
        let each = functions.map(|(at, function)| Ok((function, stage.value("funclatency_each.latency", at)?)));
        each.collect()
    }
}

/// How long the calls of a function took, or of several together.
struct Latency {
    function: Option<String>,
    calls: u64,
    ns: u64,
    /// By powers of two.
    slots: Vec<(u64, u64)>,
}

/// What the words of `struct latency` say, those of most time together first.
fn latencies(words: Words, names: &HashMap<u64, String>) -> Vec<Latency> {
    let mut all: BTreeMap<u64, Latency> = BTreeMap::new();
    for ((key, place), word) in words {
        let function = names.get(&key).cloned();
        let one = all.entry(key).or_insert(Latency { function, calls: 0, ns: 0, slots: Vec::new() });
        match place {
            0 => one.calls = word,
            1 => one.ns = word,
            place => one.slots.push((place as u64 - 2, word)),
        }
    }
    let mut all: Vec<Latency> = all.into_values().filter(|one| one.calls > 0).collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.ns));
    all
}

impl Latency {
    fn mean(&self) -> u64 {
        self.ns.checked_div(self.calls).unwrap_or(0)
    }

    fn text(&self) -> String {
        let name = self.function.as_ref().map_or(String::new(), |name| format!("{name}:\n"));
        let picture = Histogram::of_powers(&self.slots).picture("ns");
        let (calls, total) = (several(self.calls, "call"), self.ns as f64 / 1e6);
        format!("{name}{picture}{calls}, mean {} ns, together {total:.3} ms\n", self.mean())
    }

    fn json(&self) -> Json {
        let slots = Histogram::of_powers(&self.slots).json();
        json!({
            "function": self.function, "calls": self.calls, "mean_ns": self.mean(), "total_ns": self.ns,
            "slots": slots["slots"],
        })
    }
}
