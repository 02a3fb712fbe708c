//! `examples/sqlite`: each batch makes calls whose numbers are known, and ends with a line on the console. The shell works while the
//! application sleeps between two batches, so that what a tool counts is of whole batches.

use super::{
    all, expect, rounds,
    running::{expect_stacks, list, number, only, row, sum, sum_with, word, Image},
    Check,
};
use crate::Result;
use serde_json::Value as Json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Rows of a batch.
const ROWS: u64 = 1000;
/// How many batches a tool sees at least.
const BATCHES: u64 = 5;
/// How many it is sampled in: each works for some milliseconds.
const SAMPLED: u64 = 100;
/// How long these take at most.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause after a batch.
const PAUSE_NS: u64 = 20_000_000;

/// The application.
struct SqliteApplication<'a> {
    image: &'a Image,
    console: PathBuf,
}

/// Plays all tools.
pub fn play(image: &Image, console: &Path) -> Result<()> {
    let mut sqlite = SqliteApplication { image, console: console.to_path_buf() };
    let checks: &[Check<SqliteApplication<'_>>] = &[
        ("funccount", funccount),
        ("argdist", argdist),
        ("argdist --count", values),
        ("funclatency", funclatency),
        ("slower", slower),
        ("graph", graph),
        ("stackcount", stackcount),
        ("memleak", memleak),
        ("offcpu", offcpu),
        ("profile", profile),
        ("syscount", syscount),
        ("syscalls", syscalls),
    ];
    all(image, &mut sqlite, "SQLite", checks)
}

impl SqliteApplication<'_> {
    /// The lines of finished batches.
    fn lines(&self) -> Result<Vec<String>> {
        let bytes = fs::read(&self.console).map_err(|error| format!("{}: {error}", self.console.display()))?;
        let text = String::from_utf8_lossy(&bytes).replace('\r', "");
        let ended = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        Ok(ended.lines().filter(|line| line.starts_with("batch ")).map(str::to_owned).collect())
    }

    fn batches(&self) -> Result<u64> {
        Ok(self.lines()?.len() as u64)
    }

    /// A tool during some batches: what it told, and how many it saw, at least and at most.
    fn during(&self, arguments: &[&str]) -> Result<(Vec<Json>, RangeInclusive<u64>)> {
        self.during_many(BATCHES, arguments)
    }

    fn during_many(&self, batches: u64, arguments: &[&str]) -> Result<(Vec<Json>, RangeInclusive<u64>)> {
        let before = self.batches()?;
        let (told, (first, last)) = self.image.during(arguments, || {
            let (first, begin) = (self.batches()?, Instant::now());
            while self.batches()? < first + batches {
                expect(begin.elapsed() < PATIENCE, || "the application's console shows no further batches".into())?;
                thread::sleep(Duration::from_millis(20));
            }
            Ok((first, self.batches()?))
        })?;
        Ok((told, last - first..=self.batches()? - before))
    }
}

fn funccount(sqlite: &mut SqliteApplication<'_>) -> Result<String> {
    let (told, of) = sqlite.during(&["funccount", "sqlite3BtreeInsert", "sqlite3_bind_int", "sqlite3_exec"])?;
    let told = only(&told)?;
    let mut batches = 0;
    for (function, each) in [("sqlite3BtreeInsert", ROWS), ("sqlite3_bind_int", 2 * ROWS), ("sqlite3_exec", 3)] {
        batches = rounds(function, number(row(told, "functions", "function", function)?, "calls")?, each, &of)?;
    }
    Ok(format!("{batches} batches, as the console says, of 1000 inserts, 2000 numbers bound and 3 statements each"))
}

/// How many of `0..ROWS` are in each slot, by the slot's first number: those from a power of two on, and 0 with 1.
fn powers_of_rows() -> BTreeMap<u64, u64> {
    let mut powers = BTreeMap::new();
    for number in 0..ROWS {
        let slot = number.max(1).ilog2();
        *powers.entry(if slot == 0 { 0 } else { 1 << slot }).or_default() += 1;
    }
    powers
}

fn argdist(sqlite: &mut SqliteApplication<'_>) -> Result<String> {
    // Of each row its number and its value, which is another order of the same numbers.
    let (told, of) = sqlite.during(&["argdist", "sqlite3_bind_int", "3:int"])?;
    let (mut batches, slots) = (BTreeSet::new(), list(only(&told)?, "slots")?);
    let mut found: BTreeMap<u64, u64> = BTreeMap::new();
    for slot in slots {
        found.insert(number(slot, "from")?, number(slot, "count")?);
    }
    for (from, each) in powers_of_rows() {
        let calls = found.remove(&from).unwrap_or_default();
        batches.insert(rounds(&format!("numbers from {from}"), calls, 2 * each, &of)?);
    }
    expect(batches.len() == 1 && found.values().all(|count| *count == 0), || {
        format!("slots of {batches:?} batches, and {found:?}")
    })?;
    Ok(format!("each of the numbers 0 to 999 twice a batch, in {} slots", powers_of_rows().len()))
}

fn values(sqlite: &mut SqliteApplication<'_>) -> Result<String> {
    let (told, of) = sqlite.during(&["argdist", "sqlite3_bind_int", "2:int", "--count"])?;
    let rows = list(only(&told)?, "values")?;
    expect(rows.len() == 2, || format!("{} values", rows.len()))?;
    for row in rows {
        rounds("a parameter", number(row, "calls")?, ROWS, &of)?;
    }
    Ok("two parameters, 1000 calls a batch with each".into())
}

fn funclatency(sqlite: &mut SqliteApplication<'_>) -> Result<String> {
    let (told, of) = sqlite.during(&["funclatency", "sqlite3BtreeInsert"])?;
    let latency = match list(only(&told)?, "latencies")? {
        [one] => one,
        others => return Err(format!("{} latencies", others.len()).into()),
    };
    let (calls, total) = (number(latency, "calls")?, number(latency, "total_ns")?);
    let batches = rounds("sqlite3BtreeInsert", calls, ROWS, &of)?;
    let slots = sum(latency, "slots", "count")?;
    expect(slots == calls && total > calls, || format!("{slots} of {calls} calls in slots, {total} ns together"))?;
    Ok(format!("the calls of {batches} batches, each in a slot"))
}

fn slower(sqlite: &mut SqliteApplication<'_>) -> Result<String> {
    let (told, of) = sqlite.during(&["slower", "0", "sqlite3_exec"])?;
    let batches = rounds("sqlite3_exec", told.len() as u64, 3, &of)?;
    let mut statements: BTreeMap<u64, u64> = BTreeMap::new();
    for call in &told {
        let text = list(call, "arguments")?.get(1).and_then(Json::as_u64).ok_or("no second argument")?;
        *statements.entry(text).or_default() += 1;
        expect(call["result"] == 0, || format!("SQLite's statements end well: {call}"))?;
    }
    expect(statements.len() == 3 && statements.values().all(|calls| *calls == batches), || {
        format!("three statements {batches} times each: {statements:?}")
    })?;
    Ok(format!("the same three statements in each of {batches} batches, all with result 0"))
}

fn graph(sqlite: &mut SqliteApplication<'_>) -> Result<String> {
    let (told, of) = sqlite.during(&["graph", "sqlite3_exec", "sqlite3VdbeExec"])?;
    let batches = rounds("sqlite3_exec", told.len() as u64, 3, &of)?;
    for call in told.iter().map(|value| &value["call"]) {
        let within = list(call, "calls")?;
        let fits = word(call, "function")? == "sqlite3_exec" && within.len() == 1;
        let inner = within.first().ok_or_else(|| format!("nothing was called in {call}"))?;
        let fits = fits && word(inner, "function")? == "sqlite3VdbeExec" && number(inner, "ns")? <= number(call, "ns")?;
        expect(fits, || format!("each statement runs its program once: {call}"))?;
    }
    Ok(format!("three statements in each of {batches} batches, each with one run of its program in it"))
}

fn stackcount(sqlite: &mut SqliteApplication<'_>) -> Result<String> {
    let (told, of) = sqlite.during(&["stackcount", "sqlite3BtreeInsert"])?;
    let told = only(&told)?;
    let batches = rounds("sqlite3BtreeInsert", number(told, "calls")?, ROWS, &of)?;
    expect_stacks(told, &["sqlite3BtreeInsert", "sqlite3VdbeExec", "sqlite3_step"], "main")?;
    Ok(format!("all inserts of {batches} batches come from main by sqlite3_step and sqlite3VdbeExec"))
}

fn memleak(sqlite: &mut SqliteApplication<'_>) -> Result<String> {
    let (told, _) = sqlite.during(&["memleak"])?;
    let told = only(&told)?;
    let [allocated, freed, blocks] = ["allocated", "freed", "blocks"].map(|name| number(told, name));
    let (allocated, freed, blocks) = (allocated?, freed?, blocks?);
    let few = blocks <= 100 && allocated >= 10 * BATCHES;
    expect(few && allocated == freed + blocks, || {
        format!("SQLite frees what a batch took: {allocated} allocated, {freed} freed, {blocks} left")
    })?;
    Ok(format!("{allocated} blocks allocated, {freed} freed, {blocks} left: no leak"))
}

fn offcpu(sqlite: &mut SqliteApplication<'_>) -> Result<String> {
    let (told, of) = sqlite.during(&["offcpu"])?;
    let thread = row(only(&told)?, "threads", "name", "init")?;
    let (times, total) = (number(thread, "times")?, number(thread, "total_ns")?);
    // It was away already when the tool came, and may be when that goes.
    expect((of.start() - 1..=*of.end()).contains(&times) && total >= times * PAUSE_NS, || {
        format!("it sleeps 20 ms after each of {of:?} batches: {thread}")
    })?;
    Ok(format!("{times} pauses of at least 20 ms, as there were batches"))
}

fn profile(sqlite: &mut SqliteApplication<'_>) -> Result<String> {
    let (told, _) = sqlite.during_many(SAMPLED, &["profile", "--hz", "499"])?;
    let told = only(&told)?;
    let all = number(told, "samples")?;
    let first = list(told, "functions")?.first().ok_or("no function was seen")?;
    let (name, samples) = (word(first, "function")?, number(first, "samples")?);
    // The first by callgrind, too, which counts a third of all instructions in it.
    expect(name == "sqlite3VdbeExec" && all >= 20 && samples * 6 >= all && samples * 3 <= all * 2, || {
        format!("{samples} of {all} samples in {name}")
    })?;
    let from_main = sum_with(told, "stack", "main", "samples")?;
    expect(from_main * 10 >= all * 7, || format!("{from_main} of {all} samples are below main"))?;
    Ok(format!("{samples} of {all} samples in {name}, {from_main} below main"))
}

fn syscount(sqlite: &mut SqliteApplication<'_>) -> Result<String> {
    let (told, of) = sqlite.during(&["syscount"])?;
    let told = only(&told)?;
    for name in ["writev", "nanosleep"] {
        let call = row(told, "calls", "name", name)?;
        let calls = number(call, "calls")?;
        expect(of.contains(&calls) && number(call, "errors")? == 0, || {
            format!("one in each of {of:?} batches: {call}")
        })?;
    }
    Ok("one writev and one nanosleep a batch, none with an error".into())
}

fn syscalls(sqlite: &mut SqliteApplication<'_>) -> Result<String> {
    let (told, of) = sqlite.during(&["syscalls", "writev"])?;
    expect(of.contains(&(told.len() as u64)), || format!("{} of {of:?} lines", told.len()))?;
    let lines = sqlite.lines()?;
    let written: BTreeSet<u64> = lines.iter().map(|line| line.len() as u64 + 1).collect();
    for call in &told {
        expect(written.contains(&number(call, "result")?), || {
            format!("lines of {written:?} bytes were written: {call}")
        })?;
    }
    Ok(format!("{} lines were written, with their lengths as results", told.len()))
}
