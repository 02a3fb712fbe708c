//! `graph`: calls of a function with what is called in them, as they return.

use super::{
    object::Wanted,
    read_patterns,
    signatures::{self, Known},
    slower,
    stage::{Stage, Told},
    Failure, Tool, Work,
};
use crate::names::Function;
use clap::{value_parser, Arg, ArgMatches, Command};
use serde_json::{json, Value as Json};
use std::collections::HashMap;

pub const TOOL: Tool = Tool {
    name: "graph",
    about: "Shows calls of a function, what is called in them, and how long each of that takes",
    usage: "[OPTIONS] FUNC [PATTERN]...",
    details: "\
Functions that a PATTERN fits are shown where they are called within FUNC, by the same thread. A call is shown when it returns; that is said with \
the seconds since the programs were attached, and the thread. With --args or --debug calls have arguments, as they were at the entry, and what they \
returned; braces enclose what was called within.",
    define,
    read,
};

fn define(command: Command) -> Command {
    let number = |name: &'static str| Arg::new(name).long(name).value_parser(value_parser!(u64).range(1..));
    command
        .arg(Arg::new("FUNC").required(true).help("The function"))
        .arg(Arg::new("PATTERN").num_args(0..).help("Functions that are called in it"))
        .arg(number("least").value_name("MICROSECONDS").help("Only calls of FUNC that take so long"))
        .arg(number("calls").value_name("N").help("End after so many of them were shown"))
        .arg(signatures::count(
            "Show arguments and results, and so many arguments of functions of which nobody knows how many they have, 0 to 6; with --debug 3 unless told",
        ))
        .arg(signatures::debug())
}

fn read(matches: &ArgMatches) -> Result<Box<dyn Work>, String> {
    let number = |name| matches.get_one::<u64>(name).copied();
    let least_ns = number("least").unwrap_or(0).checked_mul(1000).ok_or("--least: so long takes nothing")?;
    let (known, count) = (signatures::read_debug(matches)?, signatures::read_count(matches));
    let with_values = count.is_some() || known.is_some();
    Ok(Box::new(Graph {
        function: matches.get_one::<String>("FUNC").cloned().unwrap_or_default(),
        patterns: read_patterns(matches),
        least_ns,
        calls: number("calls").unwrap_or(u64::MAX),
        values: with_values.then(|| CallValues { known, arguments: count.unwrap_or(slower::ARGUMENTS) }),
    }))
}

struct Graph {
    function: String,
    patterns: Vec<String>,
    least_ns: u64,
    calls: u64,
    /// How what calls were given and gave back is shown, where it is.
    values: Option<CallValues>,
}

struct CallValues {
    known: Known,
    /// Arguments of functions of which nothing is known.
    arguments: usize,
}

impl Work for Graph {
    fn run(&self, stage: &mut Stage) -> Result<(), Failure> {
        let (root, function, target) = self.root(stage)?;
        let mut targets = stage.targets(&self.patterns)?;
        stage.distinct(&targets)?;
        let names = stage.addresses(&targets)?;
        let mut shown = ShownCalls { names, values: self.values.as_ref() };
        if shown.names.insert(root, function).is_none() {
            targets.push(target.clone());
        }
        let begin = stage.now_ns()?;
        let values = [("root", root.to_string())];
        let first = Some(target.as_str());
        let (programs, ring, lost) = match self.values {
            None => ("graph", "graph.events", "graph.lost"),
            Some(_) => ("graph_values", "graph_values.events", "graph_values.lost"),
        };
        stage.attach(&Wanted { programs, values: &values, targets: &targets, first, ..Wanted::default() })?;
        let (is_json, mut left, mut threads) = (stage.is_json(), self.calls, Threads::default());
        stage.follow(ring, |words| {
            let Some((&[when, thread, outermost, function, ns, entered, lost], rest)) = words.split_first_chunk()
            else {
                return Told::line(format!("{words:x?}"));
            };
            let call = Call { values: rest.try_into().unwrap_or_default(), ..Call::new(when, function, entered, ns) };
            let call = threads.take(thread, call, outermost != 0);
            let Some(call) = call.filter(|call| call.ns >= self.least_ns && left > 0) else { return Told::default() };
            left -= 1;
            let at = when.saturating_sub(begin) as f64 / 1e9;
            let lines = match is_json {
                true => {
                    vec![json!({ "at": at, "thread": thread, "lost": lost, "call": call.json(&shown) }).to_string()]
                }
                false => {
                    let mut lines = vec![format!("at {at:.6} s, thread {thread}:")];
                    call.lines(&shown, 0, &mut lines);
                    let incomplete = || format!("there was no room for {lost} of the calls in it");
                    lines.extend((lost > 0).then(incomplete));
                    lines
                }
            };
            Told { lines, over: left == 0 }
        })?;
        stage.tell_lost((left > 0).then_some(ring), Some(lost))?;
        Ok(())
    }
}

impl Graph {
    /// The function whose calls are shown: its address, its names, and what the image is told of it.
    fn root(&self, stage: &mut Stage) -> Result<(u64, Function, String), Failure> {
        let targets = stage.targets(std::slice::from_ref(&self.function))?;
        let mut all = stage.addresses(&targets)?.into_iter();
        match (all.next(), all.next(), targets.into_iter().next()) {
            (Some((address, function)), None, Some(target)) => Ok((address, function, target)),
            _ => {
                let reason =
                    "is several functions: name one with its parameters or by its address (`functions` shows them)";
                Err(Failure::Refused(format!("{} {reason}", self.function)))
            }
        }
    }
}

/// A call that has returned, and those in it.
struct Call {
    /// When its program told of it: after its return.
    when: u64,
    function: u64,
    entered: u64,
    ns: u64,
    /// What it returned, and its arguments, where those are told.
    values: [u64; 7],
    within: Vec<Call>,
    /// How many of those stand in each other.
    levels: usize,
}

/// Calls of each thread that wait for that which they were made in.
#[derive(Default)]
struct Threads(HashMap<u64, Vec<Call>>);

/// Calls of a thread that wait at most: that which they were made in may have been lost.
const WAITING: usize = 100_000;

/// Calls in each other that are kept: no image remembers so many at a time, but what one says may be wrong.
const LEVELS: usize = 512;

impl Threads {
    /// Takes a call as it returns; gives it where it is the outermost. Those that returned after it began were made in it.
    fn take(&mut self, thread: u64, mut call: Call, outermost: bool) -> Option<Call> {
        let waiting = self.0.entry(thread).or_default();
        let first = waiting.iter().rposition(|other| other.when <= call.entered).map_or(0, |last| last + 1);
        call.contain(waiting.split_off(first));
        if outermost {
            waiting.clear();
            return Some(call);
        }
        if waiting.len() >= WAITING {
            waiting.clear();
        }
        waiting.push(call);
        None
    }
}

impl Call {
    fn new(when: u64, function: u64, entered: u64, ns: u64) -> Self {
        Self { when, function, entered, ns, values: [0; 7], within: Vec::new(), levels: 0 }
    }

    /// Takes those that were made in it, unless too many stand in each other.
    fn contain(&mut self, within: Vec<Call>) {
        let levels = within.iter().map(|call| call.levels + 1).max().unwrap_or(0);
        if levels < LEVELS {
            (self.within, self.levels) = (within, levels);
        }
    }

    fn lines(&self, how: &ShownCalls<'_>, depth: usize, lines: &mut Vec<String>) {
        let (function, indent, us) = (how.function(self.function), 2 * depth, self.ns as f64 / 1e3);
        let line = |what: String| format!("{us:>12.3} us  {:indent$}{what}", "");
        let Some(CallValues { known, arguments }) = how.values else {
            lines.push(line(function.to_string()));
            return self.within.iter().for_each(|call| call.lines(how, depth + 1, lines));
        };
        let ([result, given @ ..], symbol, name) = (&self.values, function.symbol(), function.without_parameters());
        let (given, result) = (known.text(symbol, given, *arguments), known.result(symbol, *result));
        if self.within.is_empty() {
            return lines.push(line(format!("{name}({given}){result};")));
        }
        lines.push(line(format!("{name}({given}) {{")));
        self.within.iter().for_each(|call| call.lines(how, depth + 1, lines));
        lines.push(format!("{:17}{:indent$}}}{result};", "", ""));
    }

    fn json(&self, how: &ShownCalls<'_>) -> Json {
        let within: Vec<Json> = self.within.iter().map(|call| call.json(how)).collect();
        let mut call = json!({ "function": null, "ns": self.ns, "calls": within });
        let function = how.function(self.function);
        if how.names.contains_key(&self.function) {
            function.put(&mut call, "function");
        }
        if let Some(CallValues { known, arguments }) = how.values {
            let (symbol, [result, given @ ..]) = (function.symbol(), &self.values);
            known.put(&mut call, symbol, given, *arguments);
            known.put_result(&mut call, symbol, *result);
        }
        call
    }
}

/// How calls are shown.
struct ShownCalls<'v> {
    names: HashMap<u64, Function>,
    values: Option<&'v CallValues>,
}

impl ShownCalls<'_> {
    fn function(&self, address: u64) -> Function {
        self.names.get(&address).cloned().unwrap_or_else(|| "?".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_stand_in_those_they_were_made_in() {
        let mut threads = Threads::default();
        let mut take = |thread, from, when, function, outermost| {
            threads.take(thread, Call::new(when, function, from, when - from), outermost).map(|call| {
                let mut lines = Vec::new();
                let names = [(1, "a"), (2, "b"), (3, "c")].map(|(at, name)| (at, name.into()));
                call.lines(&ShownCalls { names: names.into(), values: None }, 0, &mut lines);
                lines.iter().map(|line| line.split_once("us  ").unwrap().1.to_string()).collect::<Vec<_>>()
            })
        };
        // Lost was that in which this one was made; another thread works meanwhile.
        assert_eq!(take(7, 1, 2, 3, false), None);
        assert_eq!(take(7, 20, 30, 3, false), None);
        assert_eq!(take(8, 15, 35, 1, true), Some(vec!["a".into()]));
        assert_eq!(take(7, 15, 40, 2, false), None);
        assert_eq!(take(7, 41, 50, 3, false), None);
        let shown = ["a", "  b", "    c", "  c"].map(String::from).to_vec();
        assert_eq!(take(7, 10, 60, 1, true), Some(shown));
        assert_eq!(take(7, 70, 80, 1, true), Some(vec!["a".into()]));
    }

    /// Something else may run between a return and the program that tells of it.
    #[test]
    fn calls_that_are_told_late_keep_what_was_made_in_them() {
        let mut threads = Threads::default();
        assert!(threads.take(7, Call::new(12, 2, 11, 1), false).is_none());
        assert!(threads.take(7, Call::new(25, 2, 21, 1), false).is_none());
        let call = threads.take(7, Call::new(90, 1, 20, 10), true).expect("the outermost");
        assert_eq!(call.within.iter().map(|inner| inner.when).collect::<Vec<_>>(), [25]);
    }

    /// No image has so many calls in each other; what one says must not exhaust the stack.
    #[test]
    fn calls_without_end_in_each_other() {
        let mut threads = Threads::default();
        for when in 1..200_000 {
            assert!(threads.take(1, Call::new(when, 1, 0, when), false).is_none());
        }
        let call = threads.take(1, Call::new(200_000, 1, 0, 200_000), true).unwrap();
        let (mut lines, shown) = (Vec::new(), ShownCalls { names: HashMap::new(), values: None });
        call.lines(&shown, 0, &mut lines);
        assert!(lines.len() <= LEVELS, "{}", lines.len());
        assert_eq!(call.json(&shown).to_string().matches("\"ns\"").count(), lines.len());
    }
}
