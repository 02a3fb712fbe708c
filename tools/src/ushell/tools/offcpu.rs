//! `offcpu`: how long threads are away from the CPU, by thread and by the stacks that gave it away.

use super::{
    count::{read_top, top},
    object::Wanted,
    stacks::Stacks,
    stage::{several, Lost, Span, Stage, Turn},
    unwound::{self, Stack, Unwinding},
    Failure, Tool, Work,
};
use crate::names::Function;
use clap::{value_parser, Arg, ArgMatches, Command};
use serde_json::{json, Value as Json};
use std::collections::{BTreeMap, HashMap};
use ubpf_tools::cli::flag;

pub const TOOL: Tool = Tool {
    name: "offcpu",
    about: "Shows how long threads are away from the CPU, by thread and stack",
    usage: "[OPTIONS] [FUNC]...",
    details: "\
In a Unikraft image a thread is away from when it calls the scheduler until that returns, which is seen where the scheduler has entry stubs \
(LIBUBPF_RS_SCOPE_IMAGE). A thread that has not come back is not told of yet. Elsewhere, as in a Linux process, name the functions in which the \
application waits: the time from call to return is told then.",
    define,
    read,
};

/// Functions through which threads leave the CPU: those of Unikraft, and those of the image in `platforms/qemu`.
const SCHEDULER: &[&str] = &["schedcoop_schedule", "thread_schedule"];

fn define(command: Command) -> Command {
    let number = value_parser!(u64).range(1..);
    command
        .arg(Arg::new("FUNC").num_args(0..).help("Functions in which the application waits"))
        .arg(flag("idle").help("Also the thread that runs where no other can"))
        .arg(
            Arg::new("least")
                .long("least")
                .value_name("MICROSECONDS")
                .value_parser(number)
                .help("Only when it was so long"),
        )
        .arg(top())
        .arg(unwound::dwarf())
}

fn read(matches: &ArgMatches) -> Result<Box<dyn Work>, String> {
    let least: u64 = matches.get_one("least").copied().unwrap_or(0);
    let functions = matches.get_many::<String>("FUNC").into_iter().flatten().cloned();
    Ok(Box::new(Away {
        functions: functions.collect(),
        idle: matches.get_flag("idle"),
        least_ns: least.checked_mul(1000).ok_or("--least: so long takes nothing")?,
        top: read_top(matches),
        unwinding: unwound::read_dwarf(matches)?,
    }))
}

struct Away {
    functions: Vec<String>,
    idle: bool,
    least_ns: u64,
    top: usize,
    /// What follows calls where frame pointers do not.
    unwinding: Option<Unwinding>,
}

/// Times, nanoseconds, the longest of them.
type Sum = [u64; 3];

impl Work for Away {
    fn run(&self, stage: &mut Stage) -> Result<(), Failure> {
        let targets = self.targets(stage)?;
        stage.distinct(&targets)?;
        let values = [("idle", u32::from(self.idle).to_string()), ("least_ns", self.least_ns.to_string())];
        if let Some(unwinding) = &self.unwinding {
            return self.unwound(unwinding, stage, &values, &targets);
        }
        stage.attach(&Wanted { programs: "offcpu", values: &values, targets: &targets, ..Wanted::default() })?;
        let (mut stacks, mut before) = (Stacks::default(), HashMap::new());
        loop {
            let turn = stage.wait()?;
            let (span, words) = (stage.span(), stage.words("offcpu.aways")?);
            let lost = stage.lost(Some("offcpu.lost"))?;
            // Below the thread stands the stack, or an error.
            let stack = |key: u64| i64::from(key as u32 as i32) as u64;
            stacks.look_up(stage, "offcpu.stacks", words.iter().map(|(key, _)| stack(*key)))?;
            let mut threads: BTreeMap<u64, Thread> = BTreeMap::new();
            for (key, words) in words {
                let &[times, ns, longest, name, rest] = words.as_slice() else { continue };
                let [times, ns] = match stage.is_parted() {
                    true => {
                        let [times_before, ns_before] = before.insert(key, [times, ns]).unwrap_or_default();
                        [times.saturating_sub(times_before), ns.saturating_sub(ns_before)]
                    }
                    false => [times, ns],
                };
                if times > 0 {
                    let thread = threads.entry(key >> 32).or_insert_with(|| Thread::new(key >> 32, [name, rest]));
                    thread.add(stacks.functions(stack(key)), [times, ns, longest]);
                }
            }
            self.tell(stage, turn, span, lost, threads)?;
            if turn == Turn::End {
                return Ok(());
            }
        }
    }
}

impl Away {
    fn tell(
        &self,
        stage: &mut Stage,
        turn: Turn,
        span: Span,
        lost: Lost,
        threads: BTreeMap<u64, Thread>,
    ) -> Result<(), Failure> {
        let mut threads: Vec<Thread> = threads.into_values().collect();
        threads.sort_by_key(|thread| std::cmp::Reverse(thread.sum()[1]));
        let text = || {
            let each: String = threads.iter().map(|thread| thread.text(self.top)).collect();
            let each = if threads.is_empty() { "no thread has come back\n" } else { &each };
            format!("{}{each}{}", span.head(), lost.text())
        };
        let value = || {
            let each: Vec<Json> = threads.iter().map(|thread| thread.json(self.top)).collect();
            span.json(json!({ "threads": each, "lost": lost.json(), "not_returned": lost.unreturned() }))
        };
        stage.show(turn, text, value)
    }

    /// The same with stacks that are unwound here.
    fn unwound(
        &self,
        unwinding: &Unwinding,
        stage: &mut Stage,
        values: &[(&'static str, String)],
        targets: &[String],
    ) -> Result<(), Failure> {
        const RING: &str = "offcpu_dwarf.samples";
        let located = unwinding.located(stage)?;
        stage.attach(&Wanted { programs: "offcpu_dwarf", values, targets, ..Wanted::default() })?;
        let mut sums: HashMap<(u64, [u64; 2], u64, Stack), Sum> = HashMap::new();
        located.follow(stage, RING, |[thread, function, ns, name, rest], stack| {
            add(sums.entry((thread, [name, rest], function, stack)).or_default(), [1, ns, ns]);
        })?;
        let lost = stage.lost(Some("offcpu_dwarf.lost"))?.and_full(stage.refused_by(RING)?);
        let names = unwound::learned_at_returns(stage, sums.keys().map(|(_, _, function, stack)| (*function, stack)))?;
        let mut threads: BTreeMap<u64, Thread> = BTreeMap::new();
        for ((number, name, function, stack), sum) in sums {
            let thread = threads.entry(number).or_insert_with(|| Thread::new(number, name));
            thread.add(unwound::functions_at_return(&names, function, &stack), sum);
        }
        let span = stage.span();
        self.tell(stage, Turn::End, span, lost, threads)
    }

    /// The functions to attach to.
    fn targets(&self, stage: &mut Stage) -> Result<Vec<String>, Failure> {
        if !self.functions.is_empty() {
            return stage.targets(&self.functions);
        }
        let mut targets = Vec::new();
        for function in SCHEDULER {
            if stage.is_there(function)? {
                targets.push(function.to_string());
            }
        }
        match targets.is_empty() {
            false => Ok(targets),
            true => Err(Failure::Refused(
                "there is no scheduler here that can be traced: in Unikraft it has entry stubs with LIBUBPF_RS_SCOPE_IMAGE, and that of Linux is the kernel's. Name the functions in which the application waits".into(),
            )),
        }
    }
}

struct Thread {
    number: u64,
    name: String,
    /// By the functions that gave the CPU away.
    stacks: BTreeMap<Vec<Function>, Sum>,
}

impl Thread {
    fn new(number: u64, name: [u64; 2]) -> Self {
        let bytes: Vec<u8> = name.into_iter().flat_map(u64::to_le_bytes).take_while(|&byte| byte != 0).collect();
        Self { number, name: String::from_utf8_lossy(&bytes).into_owned(), stacks: BTreeMap::new() }
    }

    fn add(&mut self, functions: Vec<Function>, sum: Sum) {
        add(self.stacks.entry(functions).or_default(), sum);
    }

    fn sum(&self) -> Sum {
        let mut all = Sum::default();
        self.stacks.values().for_each(|&sum| add(&mut all, sum));
        all
    }

    /// Its stacks, those of most time first.
    fn first(&self, top: usize) -> impl Iterator<Item = (&Vec<Function>, &Sum)> {
        let mut stacks: Vec<_> = self.stacks.iter().collect();
        stacks.sort_by_key(|(_, sum)| std::cmp::Reverse(sum[1]));
        stacks.into_iter().take(top)
    }

    fn text(&self, top: usize) -> String {
        let mut text = format!("thread {} ({}): {}\n", self.number, self.name, told(self.sum()));
        for (functions, &sum) in self.first(top) {
            text.push_str(&format!("  {}:\n{}", told(sum), Stacks::text(functions)));
        }
        text
    }

    fn json(&self, top: usize) -> Json {
        let [times, ns, longest] = self.sum();
        let stacks = self.first(top).map(|(functions, [times, ns, longest])| {
            let mut value = json!({ "times": times, "total_ns": ns, "longest_ns": longest });
            Function::put_all(functions, &mut value, "functions");
            value
        });
        let stacks: Vec<Json> = stacks.collect();
        json!({ "thread": self.number, "name": self.name, "times": times, "total_ns": ns, "longest_ns": longest, "stacks": stacks })
    }
}

fn add(all: &mut Sum, [times, ns, longest]: Sum) {
    let [all_times, all_ns, all_longest] = all;
    *all_times = all_times.saturating_add(times);
    *all_ns = all_ns.saturating_add(ns);
    *all_longest = longest.max(*all_longest);
}

fn told([times, ns, longest]: Sum) -> String {
    let ms = |ns: u64| ns as f64 / 1e6;
    format!("{}, {:.3} ms, the longest {:.3} ms", several(times, "time"), ms(ns), ms(longest))
}
