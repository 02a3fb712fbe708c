//! `profile`: where the time of the CPU goes, by samples.

use super::{
    count::{read_top, top, Counts},
    graphs::Graphs,
    object::Wanted,
    stacks::Stacks,
    stage::{several, Lost, Rates, Span, Stage, Turn},
    unwound::{self, Unwinding},
    Failure, Tool, Work,
};
use crate::names::Function;
use clap::{value_parser, Arg, ArgMatches, Command};
use serde_json::{json, Value as Json};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write,
};
use ubpf_tools::cli::flag;

pub const TOOL: Tool = Tool {
    name: "profile",
    about: "Shows where the time goes, by samples of what runs",
    usage: "[OPTIONS]",
    details: "\
A timer interrupts what runs, N times a second of CPU time, and counts in which function that was, and by which calls it came there. Calls are followed by \
frame pointers: build the image with them (-fno-omit-frame-pointer; in Unikraft OPTIMIZE_NOOMITFP). The thread that runs where no other can is left out, and \
so is what the shell itself does. With --dwarf no frame pointers are needed: each sample brings the innermost part of the stack (4 KiB in a Linux process, 1.5 KiB elsewhere), \
which is followed here by the unwind tables of FILE. In a Linux process the kernel's tick is the fastest rate, and system calls that wait may end early.",
    define,
    read,
};

fn define(command: Command) -> Command {
    let rate = value_parser!(u32).range(1..=100_000);
    let rate = Arg::new("hz").long("hz").value_name("N").default_value("99").value_parser(rate);
    let command = command.arg(rate.help("Samples a second of CPU time")).arg(top());
    Graphs::define(command)
        .arg(flag("total").help("Also the samples in which each function had called what ran; orders by these"))
        .arg(flag("idle").help("Also the thread that runs where no other can, and what the shell itself does"))
        .arg(unwound::dwarf())
}

fn read(matches: &ArgMatches) -> Result<Box<dyn Work>, String> {
    Ok(Box::new(Profile {
        hz: matches.get_one("hz").copied().unwrap_or(99),
        top: read_top(matches),
        graphs: Graphs::read(matches),
        total: matches.get_flag("total"),
        idle: matches.get_flag("idle"),
        unwinding: unwound::read_dwarf(matches)?,
    }))
}

struct Profile {
    hz: u32,
    top: usize,
    graphs: Graphs,
    total: bool,
    idle: bool,
    /// What follows calls where frame pointers do not.
    unwinding: Option<Unwinding>,
}

/// Bits of an address in a key of the program's; above them stands the number of the callers' trace + 1.
const ADDRESS: u32 = 48;

/// Where a key says that it was.
fn address(key: u64) -> u64 {
    // Above the address of one's own half of memory stand its upper bits.
    ((key << (64 - ADDRESS)) as i64 >> (64 - ADDRESS)) as u64
}

/// The number of the callers' trace; below zero for none.
fn callers(key: u64) -> u64 {
    (key >> ADDRESS).wrapping_sub(1)
}

impl Work for Profile {
    fn run(&self, stage: &mut Stage) -> Result<(), Failure> {
        if self.idle {
            stage.take_own();
        }
        if let Some(unwinding) = &self.unwinding {
            return self.unwound(unwinding, stage);
        }
        let targets = [format!("profile:{}", self.hz)];
        stage.attach(&Wanted { programs: "profile", targets: &targets, ..Wanted::default() })?;
        let (mut counts, mut stacks) = (Counts::default(), Stacks::of_callers());
        loop {
            let turn = stage.wait()?;
            let (span, all) = (stage.span(), stage.counts("profile.samples")?);
            let (lost, rates) = stage.lost_and_rates(Some("profile.lost"))?;
            let told = ToldSamples {
                span,
                lost,
                rates,
                stacks: named(stage, &mut stacks, counts.take(all.clone(), stage.is_parted()))?,
            };
            stage.show(turn, || told.text(self), || told.json(self))?;
            if turn == Turn::End {
                let all = || Ok(named(stage, &mut stacks, all)?.into_iter().collect());
                return self.graphs.draw(&self.title(), "samples", all);
            }
        }
    }
}

/// Pieces of a stack, of 512 bytes, that a sample brings along: in an interrupt as many as its budget pays for.
const PIECES: u32 = 8;
const PIECES_IN_INTERRUPTS: u32 = 3;

impl Profile {
    fn title(&self) -> String {
        format!("CPU time, {} samples a second", self.hz)
    }

    /// The same with stacks that are unwound here.
    fn unwound(&self, unwinding: &Unwinding, stage: &mut Stage) -> Result<(), Failure> {
        let located = unwinding.located(stage)?;
        let targets = [format!("profile:{}", self.hz)];
        let pieces = if stage.is_process()? { PIECES } else { PIECES_IN_INTERRUPTS };
        let values = [("pieces", pieces.to_string())];
        stage.attach(&Wanted { programs: "profile_dwarf", values: &values, targets: &targets, ..Wanted::default() })?;
        let mut counts: HashMap<_, u64> = HashMap::new();
        located.follow(stage, "profile_dwarf.samples", |[], stack| *counts.entry(stack).or_default() += 1)?;
        let (lost, rates) = stage.lost_and_rates(None)?;
        let lost = lost.and_full(stage.refused_by("profile_dwarf.samples")?);
        let stacks = unwound::named(stage, counts)?;
        let told = ToldSamples { span: stage.span(), lost, rates, stacks };
        stage.show(Turn::End, || told.text(self), || told.json(self))?;
        self.graphs.draw(&self.title(), "samples", || Ok(told.stacks.into_iter().collect()))
    }
}

/// Samples by names of functions, the innermost first.
fn named(
    stage: &mut Stage,
    stacks: &mut Stacks,
    counts: Vec<(u64, u64)>,
) -> Result<BTreeMap<Vec<Function>, u64>, Failure> {
    stacks.look_up(stage, "profile.stacks", counts.iter().map(|(key, _)| callers(*key)))?;
    stacks.learn(stage, counts.iter().map(|(key, _)| address(*key)))?;
    let mut by_names = BTreeMap::new();
    for (key, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        let mut names = vec![stacks.name(address(key))];
        names.extend(stacks.functions(callers(key)));
        let sum: &mut u64 = by_names.entry(names).or_default();
        *sum = sum.saturating_add(count);
    }
    Ok(by_names)
}

/// Samples of a function.
#[derive(Clone, Copy, Default)]
struct Samples {
    /// In which it ran.
    own: u64,
    /// In which it ran, or had called what ran.
    total: u64,
}

/// What is told at a time.
struct ToldSamples {
    span: Span,
    lost: Lost,
    rates: Rates,
    stacks: BTreeMap<Vec<Function>, u64>,
}

impl ToldSamples {
    fn samples(&self) -> u64 {
        self.stacks.values().copied().fold(0, u64::saturating_add)
    }

    /// Samples by function, the most first.
    fn functions(&self, how: &Profile) -> Vec<(Function, Samples)> {
        let mut all: HashMap<Function, Samples> = HashMap::new();
        for (stack, count) in &self.stacks {
            let add = |sum: &mut u64| *sum = sum.saturating_add(*count);
            add(&mut all.entry(stack.first().cloned().unwrap_or_else(|| "?".into())).or_default().own);
            // One that calls itself is there once.
            let each: BTreeSet<&Function> = stack.iter().collect();
            each.into_iter().for_each(|function| add(&mut all.entry(function.clone()).or_default().total));
        }
        let mut all: Vec<_> = all.into_iter().filter(|(_, samples)| how.total || samples.own > 0).collect();
        // Of two that have the same total the caller comes first.
        let by = |&Samples { own, total }: &Samples| if how.total { (Reverse(total), own) } else { (Reverse(own), 0) };
        all.sort_by(|a, b| by(&a.1).cmp(&by(&b.1)).then_with(|| a.0.cmp(&b.0)));
        all
    }

    fn text(&self, how: &Profile) -> String {
        let mut text = self.span.head();
        if let Some(lines) = how.graphs.lines(|| self.stacks.clone().into_iter().collect()) {
            return text + &lines;
        }
        let (samples, functions) = (self.samples(), self.functions(how));
        let heads = if how.total { &["total", "samples"][..] } else { &["samples"] };
        let heads: String = heads.iter().map(|head| format!("{head:>12} {:>7}", "%")).collect();
        let _ = writeln!(text, "{heads}  function");
        for (function, Samples { own, total }) in functions.iter().take(how.top) {
            let counts = if how.total { &[*total, *own][..] } else { &[*own] };
            let percent = |count: u64| count as f64 * 100.0 / samples.max(1) as f64;
            let counts: String = counts.iter().map(|&count| format!("{count:>12} {:>7.1}", percent(count))).collect();
            let _ = writeln!(text, "{counts}  {function}");
        }
        let Rates { asked, reached, left_out } = self.rates;
        let (all, each) = (several(samples, "sample"), several(functions.len() as u64, "function"));
        let _ = write!(
            text,
            "{all}, {each} in {:.1} s, {reached:.1} of {asked:.1} a second of CPU time",
            self.span.seconds()
        );
        if left_out > 0 {
            let hint = if samples == 0 { ", which --idle shows" } else { "" };
            let _ = write!(text, "; {left_out} of the idle thread or the shell itself{hint}");
        }
        text.push('\n');
        match self.lost.json().as_u64() {
            Some(0) | None => text,
            Some(lost) => format!("{text}{} missing\n", several(lost, "sample")),
        }
    }

    fn json(&self, how: &Profile) -> Json {
        let functions = self.functions(how).into_iter().take(how.top);
        let functions: Vec<Json> = functions
            .map(|(function, Samples { own, total })| {
                let mut value = json!({ "samples": own, "total": total });
                function.put(&mut value, "function");
                value
            })
            .collect();
        let stacks = self.stacks.iter().map(|(stack, count)| {
            let mut value = json!({ "samples": count });
            Function::put_all(stack, &mut value, "stack");
            value
        });
        let stacks: Vec<Json> = stacks.collect();
        let Rates { asked, reached, left_out } = self.rates;
        self.span.json(json!({
            "samples": self.samples(), "left_out": left_out, "asked_hz": asked, "reached_hz": reached,
            "lost": self.lost.json(), "functions": functions, "stacks": stacks,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hold_an_address_and_a_trace() {
        assert_eq!((address(0x1234), callers(0x1234) as i64), (0x1234, -1));
        assert_eq!((address(3 << 48 | 0x1234), callers(3 << 48 | 0x1234)), (0x1234, 2));
        assert_eq!(address(1 << 48 | 0xffff_8000_0000), 0xffff_ffff_8000_0000);
    }
}
