//! `funclatency`: how long calls take. The engine knows when each call began, so that one program at the return is enough, and recursion and
//! threads make no difference.

use super::{
    count::{first, read_top, top, Counts, Words},
    object::{places, Wanted},
    patterns, read_patterns,
    stage::{several, Stage, Turn},
    Failure, Tool, Work,
};
use crate::{hist::Histogram, names::Function};
use clap::{ArgGroup, ArgMatches, Command};
use serde_json::{json, Value as Json};
use std::collections::{BTreeMap, HashMap};
use ubpf_tools::cli::flag;

pub const TOOL: Tool = Tool {
    name: "funclatency",
    about: "Shows how long calls of functions take, from entry to return",
    usage: "[OPTIONS] PATTERN...",
    details: "\
A call counts when it returns. The time of a function has that of the functions it calls in it: to find where time goes by itself, begin with `profile`.",
    define,
    read,
};

fn define(command: Command) -> Command {
    command
        .arg(patterns())
        .arg(flag("each").help("Show each function by itself, those of most time together first"))
        .arg(
            flag("summary").conflicts_with("each").help("The same with a line for each function in place of a picture"),
        )
        .arg(top().requires("by_function"))
        .group(ArgGroup::new("by_function").args(["each", "summary"]))
}

fn read(matches: &ArgMatches) -> Result<Box<dyn Work>, String> {
    let summary = matches.get_flag("summary");
    let each = summary || matches.get_flag("each");
    Ok(Box::new(Latencies { patterns: read_patterns(matches), each, summary, top: read_top(matches) }))
}

struct Latencies {
    patterns: Vec<String>,
    each: bool,
    /// A line for each, without a picture.
    summary: bool,
    /// Functions that are shown.
    top: usize,
}

impl Work for Latencies {
    fn run(&self, stage: &mut Stage) -> Result<(), Failure> {
        let programs = if self.each { "funclatency_each" } else { "funclatency" };
        let targets = stage.targets(&self.patterns)?;
        stage.distinct(&targets)?;
        let names = if self.each { stage.addresses(&targets)? } else { HashMap::new() };
        let places = self.each.then(|| places(names.len()));
        stage.attach(&Wanted { programs, targets: &targets, places, ..Wanted::default() })?;
        let mut counts = Counts::default();
        loop {
            let turn = stage.wait()?;
            let (span, words) = (stage.span(), self.words(stage)?);
            let lost = stage.lost(self.each.then_some("funclatency_each.lost"))?;
            let all = latencies(counts.take_words(words, stage.is_parted()), &names);
            let text = || format!("{}{}{}", span.head(), self.text(&all), lost.text());
            let value = || {
                let each: Vec<Json> = first(&all, self.top).0.iter().map(Latency::json).collect();
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
    /// What is shown of these functions.
    fn text(&self, all: &[Latency]) -> String {
        let (shown, rest) = first(all, self.top);
        let functions = several(all.len() as u64, "function");
        match shown {
            [] => "no call has returned\n".into(),
            _ if self.summary => {
                let lines = shown.iter().map(Latency::line).collect::<String>();
                format!("{:>14} {:>12} {:>12}  function\n{lines}{functions}{rest}\n", "together ms", "calls", "mean ns")
            }
            _ => {
                let rest = if rest.is_empty() { rest } else { format!("{functions}{rest}\n") };
                shown.iter().map(Latency::text).collect::<String>() + &rest
            }
        }
    }

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
    function: Option<Function>,
    calls: u64,
    ns: u64,
    /// By powers of two.
    slots: Vec<(u64, u64)>,
}

/// What the words of `struct latency` say, those of most time together first.
fn latencies(words: Words, names: &HashMap<u64, Function>) -> Vec<Latency> {
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

    fn line(&self) -> String {
        let name = self.function.as_ref().map_or("?".into(), Function::to_string);
        format!("{:>14.3} {:>12} {:>12}  {name}\n", self.ns as f64 / 1e6, self.calls, self.mean())
    }

    fn json(&self) -> Json {
        let slots = Histogram::of_powers(&self.slots).json();
        let mut value = json!({
            "function": null, "calls": self.calls, "mean_ns": self.mean(), "total_ns": self.ns, "slots": slots["slots"],
        });
        if let Some(function) = &self.function {
            function.put(&mut value, "function");
        }
        value
    }
}
