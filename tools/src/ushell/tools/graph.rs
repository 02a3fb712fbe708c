//! `graph`: calls of a function with what is called in them, as they return.

use super::{
    object::Wanted,
    read_patterns,
    stage::{Stage, Told},
    Failure, Tool, Work,
};
use clap::{value_parser, Arg, ArgMatches, Command};
use serde_json::{json, Value as Json};
use std::collections::HashMap;

pub const TOOL: Tool = Tool {
    name: "graph",
    about: "Shows calls of a function, what is called in them, and how long each of that takes",
    usage: "[OPTIONS] FUNC [PATTERN]...",
    details: "\
Functions that a PATTERN fits are shown where they are called within FUNC, by the same thread. A call is shown when it returns; that is said with \
the seconds since the programs were attached, and the thread.",
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
}

fn read(matches: &ArgMatches) -> Result<Box<dyn Work>, String> {
    let number = |name| matches.get_one::<u64>(name).copied();
    let least_ns = number("least").unwrap_or(0).checked_mul(1000).ok_or("--least: so long takes nothing")?;
    Ok(Box::new(Graph {
        function: matches.get_one::<String>("FUNC").cloned().unwrap_or_default(),
        patterns: read_patterns(matches),
        least_ns,
        calls: number("calls").unwrap_or(u64::MAX),
    }))
}

struct Graph {
    function: String,
    patterns: Vec<String>,
    least_ns: u64,
    calls: u64,
}

impl Work for Graph {
    fn run(&self, stage: &mut Stage) -> Result<(), Failure> {
        let roots = stage.addresses(std::slice::from_ref(&self.function))?;
        let root = match roots.keys().collect::<Vec<_>>().as_slice() {
            [root] => **root,
            _ => {
                let reason =
                    format!("{} is several functions: name one by its address (`functions` shows it)", self.function);
                return Err(Failure::Refused(reason));
            }
        };
        stage.distinct(&self.patterns)?;
        let mut names = stage.addresses(&self.patterns)?;
        let mut targets = self.patterns.clone();
        if names.insert(root, self.function.clone()).is_none() {
            targets.push(self.function.clone());
        }
        let begin = stage.now_ns()?;
        let values = [("root", root.to_string())];
        let first = Some(self.function.as_str());
        stage.attach(&Wanted { programs: "graph", values: &values, targets: &targets, first, ..Wanted::default() })?;
        let (is_json, mut left, mut threads) = (stage.is_json(), self.calls, Threads::default());
        stage.follow("graph.events", |words| {
            let &[when, thread, outermost, function, ns, lost] = words else {
                return Told::line(format!("{words:x?}"));
            };
            let call = threads.take(thread, Call { when, function, ns, within: Vec::new() }, outermost != 0);
            let Some(call) = call.filter(|call| call.ns >= self.least_ns && left > 0) else { return Told::default() };
            left -= 1;
            let at = when.saturating_sub(begin) as f64 / 1e9;
            let lines = match is_json {
                true => {
                    vec![json!({ "at": at, "thread": thread, "lost": lost, "call": call.json(&names) }).to_string()]
                }
                false => {
                    let mut lines = vec![format!("at {at:.6} s, thread {thread}:")];
                    call.lines(&names, 0, &mut lines);
                    let incomplete = || format!("there was no room for {lost} of the calls in it");
                    lines.extend((lost > 0).then(incomplete));
                    lines
                }
            };
            Told { lines, over: left == 0 }
        })?;
        stage.tell_lost((left > 0).then_some("graph.events"), Some("graph.lost"))?;
        Ok(())
    }
}

/// A call that has returned, and those in it.
struct Call {
    when: u64,
    function: u64,
    ns: u64,
    within: Vec<Call>,
}

/// Calls of each thread that wait for that which they were made in.
#[derive(Default)]
struct Threads(HashMap<u64, Vec<Call>>);

/// Calls of a thread that wait at most: that which they were made in may have been lost.
const WAITING: usize = 100_000;

impl Threads {
    /// Takes a call as it returns; gives it where it is the outermost. Those that returned after it began were made in it.
    fn take(&mut self, thread: u64, mut call: Call, outermost: bool) -> Option<Call> {
        let waiting = self.0.entry(thread).or_default();
        let begin = call.when.saturating_sub(call.ns);
        let first = waiting.iter().rposition(|other| other.when <= begin).map_or(0, |last| last + 1);
        call.within = waiting.split_off(first);
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
    fn lines(&self, names: &HashMap<u64, String>, depth: usize, lines: &mut Vec<String>) {
        let name = names.get(&self.function).map_or("?", String::as_str);
        lines.push(format!("{:>12.3} us  {:indent$}{name}", self.ns as f64 / 1e3, "", indent = 2 * depth));
        self.within.iter().for_each(|call| call.lines(names, depth + 1, lines));
    }

    fn json(&self, names: &HashMap<u64, String>) -> Json {
        let within: Vec<Json> = self.within.iter().map(|call| call.json(names)).collect();
        json!({ "function": names.get(&self.function), "ns": self.ns, "calls": within })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_stand_in_those_they_were_made_in() {
        let mut threads = Threads::default();
        let mut take = |thread, from, when, function, outermost| {
            let call = Call { when, function, ns: when - from, within: Vec::new() };
            threads.take(thread, call, outermost).map(|call| {
                let mut lines = Vec::new();
                call.lines(&HashMap::from([(1, "a".into()), (2, "b".into()), (3, "c".into())]), 0, &mut lines);
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
}
