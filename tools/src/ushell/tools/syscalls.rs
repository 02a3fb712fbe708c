//! `syscount` and `syscalls`: the system calls of an image, which are functions of it.

use super::{
    count::{Counts, Words},
    object::{places, Wanted},
    signatures::{self, shown, Known},
    stage::{Stage, Told, Turn},
    Failure, Tool, Work,
};
use crate::names::Function;
use clap::{Arg, ArgMatches, Command};
use serde_json::{json, Value as Json};
use std::collections::{BTreeMap, HashMap};
use ubpf_rs::platform::{syscall_of, SYSCALL};

pub const COUNT: Tool = Tool {
    name: "syscount",
    about: "Counts system calls of an image, with errors and time",
    usage: "[OPTIONS] [NAME]...",
    details: DETAILS,
    define,
    read: |matches| Ok(Box::new(SyscallCount(names(matches)))),
};

pub const SHOW: Tool = Tool {
    name: "syscalls",
    about: "Shows system calls of an image with arguments and result, as they return",
    usage: "[OPTIONS] [NAME]...",
    details: DETAILS,
    define: |command| define(command).arg(signatures::debug()),
    read: |matches| Ok(Box::new(Show { names: names(matches), known: signatures::read_debug(matches)? })),
};

const DETAILS: &str = "\
NAME is a system call, or has `*`: openat, 'm*'; without one, all. In a Unikraft image system calls are functions, and those are told of that have \
entry stubs (LIBUBPF_RS_SCOPE_IMAGE). A call that is made within another one of the same thread is a part of that one. Linux processes have no \
system calls of their own.";

fn define(command: Command) -> Command {
    command.arg(Arg::new("NAME").num_args(0..).help("Names of system calls"))
}

fn names(matches: &ArgMatches) -> Vec<String> {
    matches.get_many::<String>("NAME").map_or_else(|| vec!["*".into()], |names| names.cloned().collect())
}

/// Attaches to the handlers of these; gives those by their addresses.
fn attach(stage: &mut Stage, programs: &str, names: &[String]) -> Result<HashMap<u64, Function>, Failure> {
    let mut targets = Vec::new();
    for name in names {
        let target = format!("{SYSCALL}{name}");
        if targets.contains(&target) {
            continue;
        }
        if !stage.is_there(&target)? {
            let reason = match name.as_str() {
                "*" => "no system call can be traced here: in a Unikraft image they are functions, which have entry stubs where LIBUBPF_RS_SCOPE_IMAGE is set; those of a Linux process are the kernel's".into(),
                name => format!("no system call {name} can be traced"),
            };
            return Err(Failure::Refused(reason));
        }
        targets.push(target);
    }
    stage.distinct(&targets)?;
    let functions = stage.addresses(&targets)?;
    let places = (programs == COUNT.name).then(|| places(functions.len()));
    stage.take_many();
    stage.attach(&Wanted { programs, targets: &targets, places, ..Wanted::default() })?;
    Ok(functions)
}

/// The system call of a handler.
fn call_of(handler: &str) -> &str {
    syscall_of(handler).unwrap_or(handler)
}

struct SyscallCount(Vec<String>);

/// Calls, errors, nanoseconds.
type Total = [u64; 3];

impl Work for SyscallCount {
    fn run(&self, stage: &mut Stage) -> Result<(), Failure> {
        let names = attach(stage, "syscount", &self.0)?;
        let mut counts = Counts::default();
        loop {
            let turn = stage.wait()?;
            let (span, words) = (stage.span(), stage.words("syscount.totals")?);
            let lost = stage.lost(Some("syscount.lost"))?;
            let words = words.into_iter().filter_map(|(_, words)| Some((*words.first()?, words.get(1..)?.to_vec())));
            let words = words.filter(|(function, _)| *function != 0);
            let rows = totals(counts.take_words(words, stage.is_parted()), &names);
            let text = || {
                let mut text =
                    format!("{}{:>12} {:>9} {:>12} {:>12}  call\n", span.head(), "calls", "errors", "ms", "mean us");
                for (name, [calls, errors, ns]) in &rows {
                    let (ms, mean) = (*ns as f64 / 1e6, *ns as f64 / 1e3 / (*calls).max(1) as f64);
                    text.push_str(&format!("{calls:>12} {errors:>9} {ms:>12.3} {mean:>12.3}  {name}\n"));
                }
                text + &lost.text()
            };
            let value = || {
                let each = rows.iter().map(|(name, [calls, errors, ns])| {
                    json!({ "name": name, "calls": calls, "errors": errors, "total_ns": ns })
                });
                span.json(json!({ "calls": each.collect::<Vec<Json>>(), "lost": lost.json() }))
            };
            stage.show(turn, text, value)?;
            if turn == Turn::End {
                return Ok(());
            }
        }
    }
}

/// The words of `struct total`, but for the first, by names, the most calls first.
fn totals(words: Words, names: &HashMap<u64, Function>) -> Vec<(String, Total)> {
    let mut all: BTreeMap<&str, Total> = BTreeMap::new();
    for ((key, place), word) in words {
        let one = all.entry(names.get(&key).map_or("?", |name| call_of(name.symbol()))).or_default();
        if let Some(sum) = one.get_mut(place) {
            *sum = sum.saturating_add(word);
        }
    }
    let mut all: Vec<_> = all.into_iter().map(|(name, total)| (name.to_string(), total)).collect();
    all.retain(|(_, [calls, ..])| *calls > 0);
    all.sort_by_key(|(_, [calls, ..])| std::cmp::Reverse(*calls));
    all
}

struct Show {
    names: Vec<String>,
    known: Known,
}

impl Work for Show {
    fn run(&self, stage: &mut Stage) -> Result<(), Failure> {
        let begin = stage.now_ns()?;
        let names = attach(stage, "syscalls", &self.names)?;
        let json = stage.is_json();
        stage.follow("syscalls.calls", |words| {
            let &[when, thread, key, result, a, b, c, d, e, f, ns] = words else {
                return Told::line(format!("{words:x?}"));
            };
            let handler = names.get(&key).map_or("?", Function::symbol);
            let name = call_of(handler);
            let (given, at) = ([a, b, c, d, e, f], when.saturating_sub(begin) as f64 / 1e9);
            if json {
                let mut call = json!({ "at": at, "ns": ns, "thread": thread, "name": name, "result": result as i64 });
                self.known.put(&mut call, handler, &given, given.len());
                return Told::line(call.to_string());
            }
            let (given, result) = (self.known.text(handler, &given, given.len()), shown(result));
            Told::line(format!("{at:>12.6} {:>12.1} us  [{thread}] {name}({given}) = {result}", ns as f64 / 1e3))
        })?;
        stage.tell_lost(Some("syscalls.calls"), Some("syscalls.lost"))
    }
}
