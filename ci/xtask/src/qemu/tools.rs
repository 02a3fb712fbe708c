//! The tools of `ushell` on the image: what they say of an application that is known.

use super::{
    machine::{Machine, Options},
    sample_files,
};
use crate::{
    demo,
    tools::{
        self,
        running::{list, number, row, stacks_with, sum_with},
    },
    Result,
};
use serde_json::Value as Json;
use std::{ops::RangeInclusive, path::Path, process::Command};
use ubpf_client::text::TextClient;

/// What the application prints at each call of `myfun`.
const LINE: &str = "body of function myfun";
/// Samples that are there in three seconds at least, of some 300.
const FEW: u64 = 60;
/// Rounds of `work_round` that there are in three seconds at least, of some 140, and more than there can be.
const ROUNDS: u64 = 10;
const MANY: u64 = 100_000;
/// Bytes that a round loses, and those that it frees again; how long it sleeps.
const LOST: u64 = 48;
const USED: u64 = 200;
const PAUSE_NS: u64 = 20_000_000;

/// Plays them.
pub fn run(root: &Path, image: &Path) -> Result<()> {
    let ushell = demo::build_ushell(root)?;
    let options = Options { initrd: Some(sample_files(root)?), ..Options::default() };
    let mut machine = Machine::start(root, image, &options)?;
    machine.wait_for(LINE)?;
    // The shell is there when this is.
    drop(TextClient::at_prompt(&machine.socket)?);
    let stage = ToolStage { ushell: &ushell, machine: &machine, image };
    stage.calls()?;
    stage.memory()?;
    stage.waiting()?;
    stage.system_calls()?;
    stage.samples()?;
    let left = stage.ushell(&["-c", "bpf_list", "-c", "map list", "-c", "prog list"])?;
    expect(left.0.is_empty(), "tools leave something behind", &left.0)?;
    println!("the tools say of the image what is so");
    Ok(())
}

struct ToolStage<'s> {
    ushell: &'s Path,
    machine: &'s Machine,
    image: &'s Path,
}

/// What a tool said, and what happened meanwhile at most.
struct Seen {
    told: Vec<Json>,
    /// Lines that the application printed.
    lines: u64,
    /// Rounds of `work_round`, one of them perhaps not to its end.
    rounds: RangeInclusive<u64>,
}

impl Seen {
    /// What a tool says that says all of it at its end.
    fn only(&self) -> Result<&Json> {
        tools::running::only(&self.told)
    }
}

fn expect(is: bool, otherwise: &str, said: impl std::fmt::Display) -> Result<()> {
    tools::expect(is, || format!("{otherwise}: {said}"))
}

impl ToolStage<'_> {
    /// Standard output and error of `ushell`.
    fn ushell(&self, arguments: &[&str]) -> Result<(String, String)> {
        let output = Command::new(self.ushell).arg(&self.machine.socket).args(arguments).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((text(&output.stdout), text(&output.stderr)))
    }

    /// What a tool says in three seconds.
    fn tool(&self, arguments: &[&str]) -> Result<Json> {
        let told = self.all(arguments)?;
        told.into_iter().next().ok_or_else(|| format!("{arguments:?} says nothing").into())
    }

    fn all(&self, arguments: &[&str]) -> Result<Vec<Json>> {
        let (said, error) = self.ushell(&[arguments, &["--json", "--duration", "3"]].concat())?;
        let value = |line| {
            serde_json::from_str(line).map_err(|wrong| format!("{arguments:?} says {said}{error}: {wrong}").into())
        };
        let told: Vec<Json> = said.lines().map(value).collect::<Result<_>>()?;
        expect(!told.is_empty(), &format!("{arguments:?} says nothing"), error)?;
        Ok(told)
    }

    fn lines(&self) -> u64 {
        self.machine.console().matches(LINE).count() as u64
    }

    /// Lets the image's thread `work` make so many rounds; how many it has made.
    fn work(&self, rounds: u64) -> Result<u64> {
        let (made, error) = self.ushell(&["-c", &format!("work {rounds}")])?;
        made.trim().parse().map_err(|_| format!("`work` says {made}{error}").into())
    }

    /// The same while that thread works.
    fn during_work(&self, arguments: &[&str]) -> Result<Seen> {
        let (lines, made) = (self.lines(), self.work(MANY)?);
        let told = self.all(arguments)?;
        let made = self.work(0)? - made;
        Ok(Seen { told, lines: self.lines() - lines, rounds: ROUNDS..=made + 1 })
    }

    /// Those that tell of calls.
    fn calls(&self) -> Result<()> {
        let before = self.lines();
        let said = self.tool(&["funccount", "my*"])?;
        let (calls, printed) = (number(&said, "calls")?, self.lines() - before);
        let is = (1..=printed).contains(&calls) && said["functions"][0]["function"] == "myfun" && said["lost"] == 0;
        expect(is, "funccount counts what is printed", &said)?;
        let said = self.tool(&["funclatency", "myfun"])?;
        let latency = &said["latencies"][0];
        let counted = tools::running::sum(latency, "slots", "count")?;
        let is = counted > 0 && latency["calls"] == counted && latency["total_ns"].as_u64() > Some(0);
        expect(is, "funclatency measures each call", &said)?;
        let said = self.tool(&["stackcount", "myfun"])?;
        let stack = &said["stacks"][0]["stack"];
        expect(stack[0] == "myfun" && stack[1] == "main", "stackcount tells who calls", &said)?;
        let said = self.tool(&["slower", "0", "myfun"])?;
        expect(said["function"] == "myfun" && said["ns"].as_u64() > Some(0), "slower shows a call", &said)?;
        let said = self.tool(&["graph", "myfun"])?;
        expect(said["call"]["function"] == "myfun", "graph shows a call", &said)
    }

    /// What is allocated: two sizes a round, one of which is never freed.
    fn memory(&self) -> Result<()> {
        let seen = self.during_work(&["argdist", "malloc", "1", "--count"])?;
        let said = seen.only()?;
        let [lost, used] = [LOST, USED].map(|size| {
            let values = list(said, "values").into_iter().flatten();
            values.filter(|value| value["value"] == size).map(|value| number(value, "calls").unwrap_or(0)).sum::<u64>()
        });
        let is = lost == used && seen.rounds.contains(&lost) && list(said, "values")?.len() == 2 && said["lost"] == 0;
        expect(is, &format!("argdist counts both sizes in {:?} rounds", seen.rounds), said)?;
        let seen = self.during_work(&["memleak"])?;
        let said = seen.only()?;
        let [allocated, freed, blocks, bytes] =
            ["allocated", "freed", "blocks", "bytes"].map(|name| number(said, name).unwrap_or(u64::MAX));
        let rounds = blocks;
        let is = seen.rounds.contains(&rounds) && allocated == 2 * rounds && freed == rounds && bytes == rounds * LOST;
        expect(is, &format!("memleak finds {LOST} bytes lost in each of {:?} rounds", seen.rounds), said)?;
        let [stack] = list(said, "stacks")? else { return expect(false, "memleak tells who lost them", said) };
        let is = ["malloc", "lose", "work_round"].iter().enumerate().all(|(at, name)| stack["functions"][at] == *name)
            && number(stack, "blocks")? == rounds
            && said["lost"] == 0;
        expect(is, "memleak tells who lost them", said)
    }

    /// How long threads wait: one a known time in each round, the application a second after each line, and the shell's, which is left out.
    fn waiting(&self) -> Result<()> {
        let seen = self.during_work(&["offcpu"])?;
        let said = seen.only()?;
        let threads = list(said, "threads")?;
        expect(threads.len() == 2 && said["lost"] == 0, "two threads wait that are told of", said)?;
        let span = ((said["to"].as_f64().unwrap_or(0.0) - said["from"].as_f64().unwrap_or(0.0)) * 1e9) as u64;
        for (name, function, of, pause) in
            [("work", "work_round", seen.rounds.clone(), PAUSE_NS), ("main", "main", 1..=seen.lines, 1_000_000_000)]
        {
            let thread = row(said, "threads", "name", name)?;
            let [times, ns] = ["times", "total_ns"].map(|name| sum_with(thread, "functions", function, name));
            let (times, ns) = (times?, ns?);
            // It cannot have been away for longer than there was time. One pause may have begun before.
            let is =
                of.contains(&times) && (times * pause..=span).contains(&ns) && number(thread, "times")? <= times + 1;
            expect(is, &format!("{name} waits {pause} ns in each of {of:?} rounds"), thread)?;
            let first = stacks_with(thread, "functions", function)?;
            let is = first.iter().all(|stack| stack["functions"][0] == "thread_schedule");
            expect(is, "it waits in the scheduler", thread)?;
        }
        let said = self.tool(&["offcpu", "--own", "--idle"])?;
        expect(row(&said, "threads", "name", "ushell").is_ok(), "the shell's thread waits, too", &said)
    }

    /// Two are there: each line is a `write`, each pause a `nanosleep`.
    fn system_calls(&self) -> Result<()> {
        let seen = self.during_work(&["syscount"])?;
        let said = seen.only()?;
        expect(list(said, "calls")?.len() == 2 && said["lost"] == 0, "there are two system calls", said)?;
        let [writes, sleeps] = ["write", "nanosleep"].map(|name| row(said, "calls", "name", name));
        let (writes, sleeps) = (writes?, sleeps?);
        let is = (1..=seen.lines).contains(&number(writes, "calls")?) && writes["errors"] == 0;
        expect(is, &format!("each of {} lines is written", seen.lines), writes)?;
        let (calls, ns) = (number(sleeps, "calls")?, number(sleeps, "total_ns")?);
        let of = *seen.rounds.start()..=seen.rounds.end() + seen.lines;
        let is = of.contains(&calls) && ns >= calls * PAUSE_NS && sleeps["errors"] == 0;
        expect(is, &format!("each pause is a system call, of {of:?}"), sleeps)?;
        let seen = self.during_work(&["syscalls", "write"])?;
        let lines = seen.told.iter().filter(|call| call["name"] == "write" && call["result"] == LINE.len() + 1);
        let is = lines.count() == seen.told.len() && seen.told.len() as u64 <= seen.lines;
        expect(is, "the length of each line is a result", format!("{:?}", seen.told))
    }

    /// Those that are interrupts of the timer: the machine does nothing but wait.
    fn samples(&self) -> Result<()> {
        let said = self.tool(&["profile", "--idle"])?;
        let (samples, reached) = (said["samples"].as_u64().unwrap_or(0), said["reached_hz"].as_f64().unwrap_or(0.0));
        let waits = said["functions"][0]["function"] == "thread_next";
        let is = samples >= FEW && reached > 20.0 && reached < 110.0 && waits;
        expect(is, "profile finds the machine waiting", &said)?;
        let stacks = said["stacks"].as_array().into_iter().flatten();
        let known = stacks.filter(|stack| stack["stack"].as_array().is_some_and(|stack| stack.len() > 1)).count();
        expect(known > 0, "profile tells who waits", &said)?;
        let said = self.tool(&["profile"])?;
        // The application works for less than a twentieth of the time, the shell by itself for less than that.
        let (samples, left_out) = (number(&said, "samples")?, number(&said, "left_out")?);
        expect(
            left_out >= FEW && samples * 10 < left_out,
            "profile leaves out waiting and the shell's own work",
            &said,
        )?;
        // The image has no unwind tables but those of its assembly. What matters here is that an interrupt's budget pays for a sample.
        let image = self.image.display().to_string();
        let said = self.tool(&["profile", "--idle", "--dwarf", &image])?;
        let (samples, lost) = (said["samples"].as_u64().unwrap_or(0), said["lost"].as_u64().unwrap_or(u64::MAX));
        expect(samples >= FEW / 2 && lost <= samples, "an interrupt takes along its stack", &said)?;
        let waits = number(row(&said, "functions", "function", "thread_next")?, "samples")?;
        expect(waits * 2 > samples, "most of the time nothing is done", &said)?;
        self.own_work()?;
        let (status, _) = self.ushell(&["-c", "status"])?;
        expect(status.contains("timer ticks per second: 0\n"), "the timer stands still", &status)
    }

    /// While the shell works most of the time, ticks hit its thread, and are left out.
    fn own_work(&self) -> Result<()> {
        let mut words = vec!["-c", "bpf_attach profile:99 noop.bin"];
        words.extend(["-c", "functions"].repeat(1000));
        words.extend(["-c", "bpf_list -v", "-c", "bpf_detach profile:99"]);
        let (said, _) = self.ushell(&words)?;
        let line = said.lines().rfind(|line| line.contains("(runs ")).unwrap_or_default();
        let number = |before: &str| -> Option<u64> { line.split_once(before)?.1.split(',').next()?.parse().ok() };
        let (runs, left_out) = (number("(runs "), number(", left out "));
        let is = left_out >= Some(FEW / 4) && runs.is_some_and(|runs| Some(runs * 4) < left_out);
        expect(is, "ticks in the shell's thread are left out", line)
    }
}
