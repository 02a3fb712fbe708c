//! `stackcount`: which calls led to a function, and how often.

use super::{
    count::{self, Counts},
    graphs::Graphs,
    object::Wanted,
    patterns, read_patterns,
    stacks::Stacks,
    stage::{several, Lost, Span, Stage, Turn},
    unwound::{self, Unwinding},
    Failure, Tool, Work,
};
use crate::names::Function;
use clap::{value_parser, Arg, ArgMatches, Command};
use serde_json::{json, Value as Json};
use std::{collections::HashMap, fmt::Write};

pub const TOOL: Tool = Tool {
    name: "stackcount",
    about: "Counts the calls of functions by the stacks that led to them",
    usage: "[OPTIONS] PATTERN...",
    details: "\
Stacks are followed by frame pointers: build the image with them (-fno-omit-frame-pointer; in Unikraft OPTIMIZE_NOOMITFP). Where an address \
cannot be a caller, [no frame pointers] stands in place of what lies behind; a function without a frame pointer may also be left out. The \
function is followed by its callers, the outermost last. With --dwarf no frame pointers are needed: each call brings registers and 4 KiB of the stack along.",
    define,
    read,
};

fn define(command: Command) -> Command {
    let stacks = value_parser!(u32).range(1..=65_536);
    let stacks = Arg::new("stacks").long("stacks").value_name("N").default_value("1024").value_parser(stacks);
    let stacks = stacks.help("Places for different stacks in the image, of 2 KiB each");
    Graphs::define(command.arg(patterns()).arg(count::top())).arg(stacks).arg(unwound::dwarf())
}

fn read(matches: &ArgMatches) -> Result<Box<dyn Work>, String> {
    Ok(Box::new(StackCount {
        patterns: read_patterns(matches),
        top: count::read_top(matches),
        graphs: Graphs::read(matches),
        stacks: matches.get_one("stacks").copied().unwrap_or(1),
        unwinding: unwound::read_dwarf(matches)?,
    }))
}

struct StackCount {
    patterns: Vec<String>,
    top: usize,
    graphs: Graphs,
    /// Places for different stacks.
    stacks: u32,
    /// What follows calls where frame pointers do not.
    unwinding: Option<Unwinding>,
}

/// A stack by names, and how often it was seen.
type StackRow = (Vec<Function>, u64);

impl Work for StackCount {
    fn run(&self, stage: &mut Stage) -> Result<(), Failure> {
        if let Some(unwinding) = &self.unwinding {
            return self.unwound(unwinding, stage);
        }
        let entries = Some(self.stacks.next_power_of_two());
        let targets = stage.targets(&self.patterns)?;
        stage.attach(&Wanted { programs: "stackcount", targets: &targets, entries, ..Wanted::default() })?;
        let (mut counts, mut stacks) = (Counts::default(), Default::default());
        loop {
            let turn = stage.wait()?;
            let (span, all) = (stage.span(), stage.counts("stackcount.counts")?);
            let lost = stage.lost(Some("stackcount.lost"))?;
            let told =
                ToldStacks { rows: rows(stage, &mut stacks, counts.take(all.clone(), stage.is_parted()))?, span, lost };
            stage.show(turn, || told.text(self), || told.json(self.top))?;
            if turn == Turn::End {
                let all = || Ok(rows(stage, &mut stacks, all)?.into_iter().collect());
                return self.graphs.draw(&self.title(), "calls", all);
            }
        }
    }
}

impl StackCount {
    fn title(&self) -> String {
        format!("Calls of {}", self.patterns.join(", "))
    }

    /// The same with stacks that are unwound here.
    fn unwound(&self, unwinding: &Unwinding, stage: &mut Stage) -> Result<(), Failure> {
        let located = unwinding.located(stage)?;
        let targets = stage.targets(&self.patterns)?;
        stage.attach(&Wanted { programs: "stackcount_dwarf", targets: &targets, ..Wanted::default() })?;
        let mut counts: HashMap<_, u64> = HashMap::new();
        located.follow(stage, "stackcount_dwarf.samples", |[], stack| *counts.entry(stack).or_default() += 1)?;
        let lost = stage.lost(None)?.and_full(stage.refused_by("stackcount_dwarf.samples")?);
        let told = ToldStacks { rows: sorted(unwound::named(stage, counts)?), span: stage.span(), lost };
        stage.show(Turn::End, || told.text(self), || told.json(self.top))?;
        self.graphs.draw(&self.title(), "calls", || Ok(told.rows.into_iter().collect()))
    }
}

/// The stacks of counts, the most frequent first.
fn rows(stage: &mut Stage, stacks: &mut [Stacks; 2], counts: Vec<(u64, u64)>) -> Result<Vec<StackRow>, Failure> {
    // Calls at several places of one function are told together.
    let mut by_names: HashMap<Vec<Function>, u64> = HashMap::new();
    // The upper half of a number says in which of two maps the stack is.
    for ((stacks, map), which) in stacks.iter_mut().zip(["stackcount.first", "stackcount.second"]).zip(0..) {
        let of_map = counts.iter().filter(|(key, count)| key >> 32 == which && *count > 0);
        let of_map: Vec<(u64, u64)> = of_map.map(|(key, count)| (key & 0xffff_ffff, *count)).collect();
        stacks.look_up(stage, map, of_map.iter().map(|(number, _)| *number))?;
        for (number, count) in of_map {
            let all = by_names.entry(stacks.functions(number)).or_insert(0);
            *all = all.saturating_add(count);
        }
    }
    Ok(sorted(by_names))
}

fn sorted(by_names: impl IntoIterator<Item = StackRow>) -> Vec<StackRow> {
    let mut rows: Vec<StackRow> = by_names.into_iter().collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    rows
}

/// What is told at a time.
struct ToldStacks {
    rows: Vec<StackRow>,
    span: Span,
    lost: Lost,
}

impl ToldStacks {
    fn calls(&self) -> u64 {
        self.rows.iter().map(|row| row.1).fold(0, u64::saturating_add)
    }

    fn text(&self, how: &StackCount) -> String {
        let mut text = self.span.head();
        if let Some(lines) = how.graphs.lines(|| self.rows.iter().cloned().collect()) {
            return text + &lines;
        }
        let _ = writeln!(text, "{:>12}  stack", "calls");
        let (shown, rest) = count::first(&self.rows, how.top);
        for (stack, count) in shown {
            let mut count = count.to_string();
            for name in stack {
                let _ = writeln!(text, "{:>12}  {name}", std::mem::take(&mut count));
            }
        }
        let (calls, stacks) = (several(self.calls(), "call"), several(self.rows.len() as u64, "stack"));
        let _ = writeln!(text, "{calls}, {stacks} in {:.1} s{rest}", self.span.seconds());
        text + &self.lost.text()
    }

    fn json(&self, top: usize) -> Json {
        let (shown, _) = count::first(&self.rows, top);
        let stacks = shown.iter().map(|(stack, count)| {
            let mut value = json!({ "calls": count });
            Function::put_all(stack, &mut value, "stack");
            value
        });
        let stacks: Vec<Json> = stacks.collect();
        self.span.json(json!({ "calls": self.calls(), "lost": self.lost.json(), "stacks": stacks }))
    }
}
