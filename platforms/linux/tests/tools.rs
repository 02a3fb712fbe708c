//! The tools of `ushell` on a process whose calls are known: what they say, and that nothing stays when they end.

// Programs that run by themselves are others' matter.
#[allow(dead_code)]
mod common;
#[path = "common/lines.rs"]
mod lines;

use common::{root, text};
use lines::Process;
use serde_json::{json, Value as Json};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::{
        fd::FromRawFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Once,
    },
    thread,
    time::Duration,
};

/// The tool, built beside the tests.
fn ushell() -> PathBuf {
    static ONCE: Once = Once::new();
    let tests = std::env::current_exe().unwrap();
    let target = tests.ancestors().nth(3).unwrap().to_path_buf();
    ONCE.call_once(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "ubpf-tools", "--bin", "ushell", "--target-dir"]).arg(&target);
        let done = cargo.current_dir(root()).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
    });
    target.join("debug/ushell")
}

/// Whether there are tools: their programs need a compiler.
fn have_programs() -> bool {
    let clang = Command::new("clang").arg("--version").output();
    clang.is_ok_and(|done| done.status.success())
}

/// A process with the engine, whose calls are those of `known.c`.
struct Known(Process);

impl Known {
    fn new(name: &str, flags: &[&str]) -> Self {
        Self::of(name, include_str!("c/known.c"), flags)
    }

    /// The same with another program.
    fn of(name: &str, source: &str, flags: &[&str]) -> Self {
        Self(Process::new(name, source, flags))
    }

    /// A path in its folder.
    fn path(&self, name: &str) -> PathBuf {
        self.0.folder.0.join(name)
    }

    /// Its program, which has the debug information.
    fn program(&self) -> String {
        self.path("program").display().to_string()
    }

    /// Makes the calls: `how` is a line for it.
    fn call(&mut self, how: &str) {
        self.0.ask(how);
        assert_eq!(self.0.line(), "done");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(ushell());
        command.arg(self.path("socket")).args(args).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn ushell(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts a tool, and waits until it has attached. What it warned of before is left out.
    fn tool(&self, args: &[&str]) -> Tool {
        let mut process = self.command(args).spawn().unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while line.is_empty() || line.starts_with("warning: ") {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "{args:?}");
        }
        assert!(line.contains(": attached to "), "{line}");
        Tool { process, attached: line }
    }

    /// Nothing is attached, no map and no file of a tool is there.
    fn expect_nothing(&self) {
        let output = self.ushell(&["-c", "bpf_list", "-c", "map list", "-c", "prog list"]);
        assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("", Some(0)), "{}", text(&output.stderr));
        let files = fs::read_dir(self.path("")).unwrap().flatten().map(|entry| entry.file_name());
        assert!(files.into_iter().all(|name| !name.to_string_lossy().contains("ushell")));
    }
}

/// A tool at work.
struct Tool {
    process: Child,
    /// What it said of that.
    attached: String,
}

impl Tool {
    fn signal(&self, signal: i32) {
        // SAFETY: a process of ours that was not waited for yet.
        assert_eq!(unsafe { libc::kill(self.process.id() as i32, signal) }, 0);
    }

    /// Presses `^C`; what it printed.
    fn end(self) -> String {
        self.signal(libc::SIGINT);
        let output = self.process.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
        text(&output.stdout)
    }

    /// The same for one that prints JSON.
    fn json(self) -> Vec<Json> {
        self.end().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn calls_are_counted_exactly() {
    if !have_programs() {
        return;
    }
    let mut known = Known::new("funccount", &[]);
    let tool = known.tool(&["funccount", "known_*", "--json"]);
    assert_eq!(tool.attached, "funccount: attached to 8 functions; ^C ends it\n");
    known.call("go");
    known.call("never");
    let counts = tool.json();
    let functions = json!([
        { "function": "known_often", "calls": 4000 },
        { "function": "known_seldom", "calls": 400 },
        { "function": "known_once", "calls": 4 },
        { "function": "known_work", "calls": 4 },
        { "function": "known_never", "calls": 1 },
    ]);
    assert_eq!(counts.len(), 1);
    assert_eq!(counts[0]["functions"], functions);
    assert_eq!((&counts[0]["calls"], &counts[0]["not_called"]), (&json!(4409), &json!(3)));
    known.expect_nothing();

    // Two patterns that fit the same, a name twice, and only the first of them.
    let tool = known.tool(&["funccount", "known_o*", "*_often", "known_often", "known_often", "--top", "1"]);
    known.call("go");
    let shown = tool.end();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[..2], ["       calls  function", "        2000  known_often"], "{shown}");
    assert!(lines[2].starts_with("2002 calls, 2 functions in "), "{shown}");
    assert!(lines[2].ends_with(" s, the first 1 shown; 0 not called"), "{shown}");
    known.expect_nothing();
}

/// A name without parameters is every function that the source calls so; spaces make no difference.
#[test]
fn functions_of_cpp_and_rust_are_counted_by_their_names_in_the_source() {
    if !have_programs() {
        return;
    }
    let mut known = Known::of("mangled", include_str!("c/mangled.c"), &[]);
    for (named, counts) in [
        (
            &["bank::Account::deposit"][..],
            &[("bank::Account::deposit(long)", 30), ("bank::Account::deposit(long, long)", 10)][..],
        ),
        (
            &["bank::Account::deposit(long,long)", "shop::*"],
            &[("bank::Account::deposit(long, long)", 10), ("shop::price", 7)],
        ),
        (&["_ZN4shop5price17h0123456789abcdefE"], &[("shop::price", 7)]),
    ] {
        let tool = known.tool(&[&["funccount", "--json"], named].concat());
        known.call("go");
        let said = tool.json();
        let rows = said[0]["functions"].as_array().unwrap().iter();
        let rows: Vec<_> =
            rows.map(|row| (row["function"].as_str().unwrap(), row["calls"].as_i64().unwrap())).collect();
        assert_eq!(rows, counts, "{named:?}");
        known.expect_nothing();
    }
    let several = text(&known.ushell(&["graph", "bank::Account::deposit", "--duration", "0.1"]).stderr);
    assert!(several.contains("is several functions: name one with its parameters"), "{several}");
}

#[test]
fn parts_add_up() {
    if !have_programs() {
        return;
    }
    let mut known = Known::new("funccount-parts", &[]);
    let tool = known.tool(&["--json", "funccount", "known_often", "--interval", "0.1"]);
    for _ in 0..5 {
        known.call("go");
        thread::sleep(Duration::from_millis(60));
    }
    let parts = tool.json();
    assert!(parts.len() > 2, "{parts:?}");
    assert_eq!(parts.iter().map(|part| part["calls"].as_u64().unwrap()).sum::<u64>(), 10_000);
    assert!(parts.windows(2).all(|two| two[0]["to"] == two[1]["from"]), "{parts:?}");
    known.expect_nothing();
    // It ends by itself.
    let output = known.ushell(&["funccount", "known_often", "--interval", "0.2", "--duration", "0.5"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout).matches("from ").count(), 3, "{}", text(&output.stdout));
}

/// `from` and `to` of each slot with its count, of numbers as C has them.
fn powers(numbers: impl Iterator<Item = i64>) -> BTreeMap<(i64, i64), u64> {
    let mut slots = BTreeMap::new();
    for number in numbers {
        let power = 1i64 << number.unsigned_abs().max(1).ilog2();
        let slot = match number {
            0 => (0, 1),
            1.. => (if power == 1 { 0 } else { power }, 2 * power - 1),
            _ => (1 - 2 * power, -power),
        };
        *slots.entry(slot).or_default() += 1;
    }
    slots
}

/// The same as a tool says it, without slots that count nothing.
fn said_powers(value: &Json) -> BTreeMap<(i64, i64), u64> {
    let slots = value["slots"].as_array().unwrap().iter();
    let slots = slots.map(|slot| {
        let number = |name| slot[name].as_i64().unwrap();
        ((number("from"), number("to")), number("count") as u64)
    });
    slots.filter(|slot| slot.1 > 0).collect()
}

#[test]
fn arguments_are_counted_by_powers_of_two() {
    if !have_programs() {
        return;
    }
    let mut known = Known::new("argdist", &[]);
    let mut json = |args: &[&str]| {
        let tool = known.tool(&[&["argdist"], args, &["--json"]].concat());
        known.call("go");
        let said = tool.json();
        known.expect_nothing();
        assert_eq!((said.len(), &said[0]["lost"]), (1, &json!(0)));
        said_powers(&said[0])
    };
    assert_eq!(json(&["known_often"]), powers((0..2000).map(|n| n % 1000)));
    let tens = || (0..200).map(|n| n % 100 * 10);
    assert_eq!(json(&["known_seldom", "2:int"]), powers(tens().map(|n| -n)));
    assert_eq!(json(&["known_seldom", "arg3:u8"]), powers(tens().map(|n| n & 255)));
    // Without its type, what stands above an `int` in its register counts, too.
    assert_eq!(json(&["known_seldom", "2"]), powers(tens().map(|n| i64::from(-n as u32))));
    let some = tens().filter(|n| *n > 500 && *n & 255 != 4);
    let filtered = ["known_seldom", "2:int", "--if", "arg2:int < -500", "--if", "arg3:u8 != 4"];
    assert_eq!(json(&filtered), powers(some.map(|n| -n)));

    let tool = known.tool(&["argdist", "known_seldom", "2:int", "--if", "arg2:int >= -20"]);
    known.call("go");
    let shown = tool.end();
    let bar = |stars| format!("|{:<40}|", "*".repeat(stars));
    let expected = [
        "     value : count".to_string(),
        format!("-31 -> -16 : 2        {}", bar(40)),
        format!("-15 -> -8  : 2        {}", bar(40)),
    ];
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[..3], expected, "{shown}");
    assert_eq!(lines.last(), Some(&format!("  0 -> 1   : 2        {}", bar(40)).as_str()), "{shown}");
}

#[test]
fn values_of_arguments_are_counted() {
    if !have_programs() {
        return;
    }
    let mut known = Known::new("argdist-count", &[]);
    let tool = known.tool(&["argdist", "known_seldom", "2:int", "--count", "--top", "3", "--if", "arg2:int <= -970"]);
    // Of two threads, one may find the map busy for too long.
    known.call("alone");
    let shown = tool.end();
    let rows = "       calls  value\n           2  -990\n           2  -980\n           2  -970\n6 calls, 3 values in ";
    assert!(shown.starts_with(rows), "{shown}");
    known.expect_nothing();
    // More values than there is room for: what was not counted is said.
    let tool = known.tool(&["argdist", "known_often", "--count", "--json"]);
    known.call("many");
    let said = &tool.json()[0];
    let values = said["values"].as_array().unwrap();
    let (calls, lost) = (said["calls"].as_u64().unwrap(), said["lost"].as_u64().unwrap());
    assert_eq!((values.len(), calls + lost), (4096, 2000 + 5000));
    assert_eq!(lost, 904);
    assert!(values.iter().all(|one| (1..=3).contains(&one["calls"].as_u64().unwrap())), "{said}");
    known.expect_nothing();
}

/// What `funclatency` says of each function: calls, and of how many of them a slot knows.
fn latencies(said: &Json) -> BTreeMap<String, (u64, u64)> {
    let each = said["latencies"].as_array().unwrap().iter().map(|one| {
        let counts = one["slots"].as_array().unwrap().iter().map(|slot| slot["count"].as_u64().unwrap());
        (one["function"].as_str().unwrap_or("").into(), (one["calls"].as_u64().unwrap(), counts.sum()))
    });
    each.collect()
}

#[test]
fn times_of_calls_are_counted_exactly() {
    if !have_programs() {
        return;
    }
    let mut known = Known::new("funclatency", &[]);
    let tool = known.tool(&["funclatency", "known_*", "--each", "--json"]);
    for how in ["never", "deep", "slow"] {
        known.call(how);
    }
    let said = &tool.json()[0];
    let calls = [("often", 6000), ("seldom", 600), ("once", 6), ("work", 6), ("never", 1), ("deep", 101), ("slow", 3)];
    let expected: BTreeMap<_, _> = calls.map(|(name, calls)| (format!("known_{name}"), (calls, calls))).into();
    assert_eq!(latencies(said), expected);
    assert_eq!((&said["lost"], &said["not_returned"]), (&json!(0), &json!(0)));
    let slow = said["latencies"].as_array().unwrap().iter().find(|one| one["function"] == "known_slow").unwrap();
    assert!(
        slow["mean_ns"].as_u64() >= Some(2_000_000) && slow["slots"][0]["from"].as_u64() >= Some(1 << 20),
        "{slow}"
    );
    known.expect_nothing();

    // A line for each, those of most time together first.
    let tool = known.tool(&["funclatency", "known_*", "--summary", "--top", "5"]);
    known.call("deep");
    known.call("slow");
    let shown = tool.end();
    let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((lines[0].join(" ").as_str(), lines.len()), ("together ms calls mean ns function", 7), "{shown}");
    let times: Vec<f64> = lines[1..6].iter().map(|line| line[0].parse().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{shown}");
    let slow = lines.iter().find(|line| line.last() == Some(&"known_slow")).unwrap();
    assert!(slow[1] == "3" && slow[0].parse::<f64>().unwrap() >= 6.0, "{shown}");
    assert_eq!(lines[6].join(" "), "6 functions, the first 5 shown");
    assert_eq!(known.ushell(&["funclatency", "known_*", "--top", "1", "--duration", "0.1"]).status.code(), Some(64));
    known.expect_nothing();

    // Together, and one that is jumped out of.
    let tool = known.tool(&["funclatency", "known_often", "known_jump", "--json"]);
    known.call("jump");
    let said = &tool.json()[0];
    assert_eq!(latencies(said), BTreeMap::from([(String::new(), (2000, 2000))]));
    assert_eq!((&said["lost"], &said["not_returned"]), (&json!(0), &json!(1)));
    known.expect_nothing();
    let tool = known.tool(&["funclatency", "known_slow"]);
    known.call("slow");
    let shown = tool.end();
    assert!(shown.lines().any(|line| line.starts_with("3 calls, mean ") && line.contains(" ns, together ")), "{shown}");
    let tool = known.tool(&["funclatency", "known_slow"]);
    assert_eq!(tool.end(), "no call has returned\n");
    known.expect_nothing();
}

#[test]
fn slow_calls_are_shown_one_by_one() {
    if !have_programs() {
        return;
    }
    let mut known = Known::new("slower", &[]);
    let mut tool = known.tool(&["slower", "1000", "known_slow", "--args", "2"]);
    known.call("slow");
    // They come while it goes on.
    let mut lines = BufReader::new(tool.process.stdout.take().unwrap()).lines();
    for number in 0..3 {
        let line = lines.next().unwrap().unwrap();
        let call = format!(" us  known_slow(0x11170, {number}) = {:#x}", 70_000 + number);
        assert!(line.ends_with(&call), "{line}");
    }
    tool.signal(libc::SIGINT);
    assert_eq!(tool.process.wait().unwrap().code(), Some(0));
    known.expect_nothing();
    let tool = known.tool(&["slower", "1000", "known_sl*", "--json"]);
    known.call("slow");
    let said = tool.json();
    assert_eq!(said.len(), 3);
    for (number, call) in said.iter().enumerate() {
        let ns = call["ns"].as_u64().unwrap();
        assert!(ns >= 2_000_000 && call["at"].as_f64() >= Some(ns as f64 / 1e9), "{call}");
        assert_eq!((&call["function"], &call["result"]), (&json!("known_slow"), &json!(70_000 + number)));
        assert_eq!(call["arguments"].as_array().unwrap()[..2], [json!(70_000), json!(number)]);
    }
    // None is as slow as that; it ends by itself.
    let output = known.ushell(&["slower", "3600000000", "known_*", "--duration", "0.3"]);
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("", Some(0)), "{}", text(&output.stderr));
    known.expect_nothing();
}

/// With the debug file arguments are those that a function has, by name and type.
#[test]
fn arguments_have_the_names_of_the_debug_file() {
    if !have_programs() {
        return;
    }
    let mut known = Known::new("debug", &["-g"]);
    let program = known.program();
    let tool = known.tool(&["slower", "1000", "known_slow", "--debug", &program]);
    known.call("slow");
    let shown = tool.end();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    assert!(lines[2].ends_with(" us  known_slow(first=70000, second=2) = 70002"), "{shown}");
    let tool = known.tool(&["slower", "0", "known_seldom", "known_once", "--json", "--debug", &program]);
    known.call("go");
    let said = tool.json();
    let of = |name: &str| said.iter().find(|call| call["function"] == name).unwrap();
    assert_eq!(of("known_once")["arguments"], json!([]));
    assert_eq!(of("known_seldom")["names"], json!(["name", "number", "byte"]));
    let tool = known.tool(&["argdist", "known_seldom", "number", "--count", "--json", "--debug", &program]);
    known.call("alone");
    let said = tool.json();
    assert_eq!(said[0]["calls"], 200);
    assert!(said[0].to_string().contains("-990"), "{}", said[0]);
    known.expect_nothing();
    for (args, said) in [
        (&["argdist", "known_seldom", "number"][..], "with --debug FILE an argument is found by its name"),
        (
            &["argdist", "known_seldom", "size", "--debug", &program],
            "known_seldom has no argument size in a register; it has name, number, byte",
        ),
        (&["slower", "0", "known_once", "--debug", "/nowhere"], "--debug /nowhere: "),
        (&["slower", "0", "known_once", "--debug", "/dev/null"], "--debug /dev/null: "),
    ] {
        let output = known.ushell(args);
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(64));
    }
    let mut calls = Known::of("syscalls-debug", include_str!("c/handlers.c"), &["-g"]);
    let program = calls.path("program").display().to_string();
    let tool = calls.tool(&["syscalls", "close", "getpid", "chdir", "--debug", &program]);
    calls.call("go");
    let shown = tool.end();
    let ends = [" getpid() = 7", " close(fd=3) = 0", " chdir(path=0x0) = -2"];
    assert!(shown.lines().zip(ends).all(|(line, end)| line.ends_with(end)) && shown.lines().count() == 3, "{shown}");
    calls.expect_nothing();
}

#[test]
fn calls_are_shown_in_those_they_were_made_in() {
    if !have_programs() {
        return;
    }
    let mut known = Known::new("graph", &[]);
    // By what is indented, without times.
    let shape = |shown: &str| {
        let lines = shown.lines().map(|line| line.split_once(" us  ").map_or("at", |(_, call)| call));
        lines.map(String::from).collect::<Vec<_>>()
    };
    let tree = ["at", "tree_root", "  tree_branch", "    tree_leaf", "  tree_branch", "    tree_leaf"];
    let tool = known.tool(&["graph", "tree_root", "tree_*", "known_*"]);
    known.call("tree");
    // Outside of the function nothing is shown.
    known.call("deep");
    assert_eq!(shape(&tool.end()), [tree, tree].concat());
    known.expect_nothing();
    let tool = known.tool(&["graph", "tree_branch", "--json", "--calls", "3"]);
    known.call("tree");
    let output = tool.process.wait_with_output().unwrap();
    let said: Vec<Json> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    for call in &said {
        assert_eq!((&call["call"]["function"], &call["call"]["calls"]), (&json!("tree_branch"), &json!([])));
        assert_eq!(call["thread"], said[0]["thread"]);
    }
    known.expect_nothing();
    // One that calls itself is shown as a whole; two threads have their own.
    let tool = known.tool(&["graph", "known_deep"]);
    known.call("deep");
    let shown = shape(&tool.end());
    let deep = (0..=100).map(|depth| format!("{:indent$}known_deep", "", indent = 2 * depth));
    assert_eq!(shown, ["at".to_string()].into_iter().chain(deep).collect::<Vec<_>>());
    known.expect_nothing();
    let tool = known.tool(&["graph", "known_work", "known_seldom", "--json"]);
    known.call("go");
    let said = tool.json();
    assert!(said.len() == 2 && said[0]["thread"] != said[1]["thread"], "{said:?}");
    assert!(said.iter().all(|call| call["call"]["calls"].as_array().unwrap().len() == 100), "{said:?}");
    known.expect_nothing();
    let tool = known.tool(&["graph", "tree_root", "--least", "3600000000"]);
    known.call("tree");
    assert_eq!(tool.end(), "");
}

/// What calls were given and gave back: by the debug file, or as many words as are asked for.
#[test]
fn calls_in_each_other_have_arguments_and_results() {
    if !have_programs() {
        return;
    }
    let mut known = Known::new("graph-values", &["-g"]);
    let program = known.program();
    // Without times, and without the line that says when.
    let shape = |shown: &str| {
        let lines = shown.lines().filter(|line| !line.starts_with("at "));
        lines.map(|line| line.split_at(17).1.to_string()).collect::<Vec<_>>()
    };
    let tool = known.tool(&["graph", "tree_root", "tree_*", "--calls", "1", "--debug", &program]);
    known.call("tree");
    let output = tool.process.wait_with_output().unwrap();
    let expected = [
        "tree_root(number=1) {",
        "  tree_branch(number=1) {",
        "    tree_leaf(number=1) = 2;",
        "  } = 3;",
        "  tree_branch(number=1) {",
        "    tree_leaf(number=1) = 2;",
        "  } = 3;",
        "} = 6;",
    ];
    assert_eq!(shape(&text(&output.stdout)), expected);
    known.expect_nothing();
    // Nobody knows their types: words.
    let tool = known.tool(&["graph", "known_slow", "--args", "2"]);
    known.call("slow");
    let expected = (0..3).map(|number| format!("known_slow(0x11170, {number}) = {:#x};", 70_000 + number));
    assert_eq!(shape(&tool.end()), expected.collect::<Vec<_>>());
    known.expect_nothing();
    let tool = known.tool(&["graph", "known_work", "known_*", "--json", "--debug", &program]);
    known.call("go");
    let said = tool.json();
    assert_eq!(said.len(), 2);
    for work in said.iter().map(|said| &said["call"]) {
        let calls = work["calls"].as_array().unwrap();
        assert_eq!((&work["names"], calls.len()), (&json!(["result"]), 1101), "{said:?}");
        for (number, call) in calls.iter().filter(|call| call["function"] == "known_often").enumerate() {
            let expected = (&json!(["number"]), &json!([number]), &json!(number + 1));
            assert_eq!((&call["names"], &call["arguments"], &call["result"]), expected);
        }
        let once = calls.iter().find(|call| call["function"] == "known_once").unwrap();
        assert_eq!((&once["arguments"], &once["result"]), (&json!([]), &json!(1)));
    }
    known.expect_nothing();
}

/// Of handlers that call each other the outermost is the system call.
#[test]
fn system_calls_are_told_of_once() {
    if !have_programs() {
        return;
    }
    let mut known = Known::of("syscalls", include_str!("c/handlers.c"), &[]);
    let tool = known.tool(&["syscount", "--json"]);
    known.call("go");
    let said = &tool.json()[0];
    let calls = said["calls"].as_array().unwrap().iter();
    let calls = calls.map(|one| (one["name"].as_str().unwrap(), one["calls"].as_u64(), one["errors"].as_u64()));
    let mut calls: Vec<_> = calls.collect();
    calls.sort();
    let expected = [
        ("chdir", Some(1), Some(1)),
        ("close", Some(1), Some(0)),
        ("dup", Some(1), Some(0)),
        ("getpid", Some(1), Some(0)),
        ("write", Some(30), Some(1)),
    ];
    assert_eq!((calls.as_slice(), &said["lost"]), (&expected[..], &json!(0)));
    known.expect_nothing();
    let tool = known.tool(&["syscalls", "chdir", "dup"]);
    known.call("go");
    let shown = tool.end();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("] chdir(0, ") && lines[0].ends_with(" = -2"), "{shown}");
    assert!(lines[1].contains("] dup(4, ") && lines[1].ends_with(" = 5"), "{shown}");
    known.expect_nothing();
    let tool = known.tool(&["syscalls", "write", "clos*"]);
    known.call("go");
    let shown = tool.end();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 31, "{shown}");
    assert!(lines[0].contains("] write(-1, 0x123456, 0, ") && lines[0].ends_with(" = -9"), "{shown}");
    assert!(lines[29].contains("] write(2, 0, 40, ") && lines[29].ends_with(" = 40"), "{shown}");
    assert!(lines[30].contains("] close(3, ") && lines[30].ends_with(" = 0"), "{shown}");
    known.expect_nothing();
    for (tool, said) in [
        (&["syscount", "mount"][..], "syscount: no system call mount can be traced"),
        (&["syscalls", "write", "w*"], "uk_syscall_e_write is named by syscall:write and by syscall:w*"),
    ] {
        let output = known.ushell(tool);
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(1));
        known.expect_nothing();
    }
    // The handler that calls the other one is left out, for any program.
    let tool = known.tool(&["funccount", "syscall:write", "syscall:getpid", "syscall:dup", "--json"]);
    assert_eq!(tool.attached, "funccount: attached to 3 functions; ^C ends it\n");
    known.call("go");
    let functions = json!([{ "function": "uk_syscall_r_write", "calls": 31 }, { "function": "uk_syscall_do_dup", "calls": 1 }, { "function": "uk_syscall_e_getpid", "calls": 1 }]);
    assert_eq!(tool.json()[0]["functions"], functions);
    known.expect_nothing();
    let known = Known::new("no-syscalls", &[]);
    let output = known.ushell(&["syscount"]);
    assert!(text(&output.stderr).contains("those of a Linux process are the kernel's"), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
}

/// However a tool ends, what it attached goes with it.
#[test]
fn nothing_stays_attached() {
    if !have_programs() {
        return;
    }
    let mut known = Known::new("ends", &[]);
    for (tool, signal) in [
        (&["funccount", "known_*"][..], libc::SIGKILL),
        (&["funclatency", "known_*", "--each"], libc::SIGKILL),
        (&["slower", "0", "known_*"], libc::SIGKILL),
        (&["graph", "known_work", "known_often"], libc::SIGKILL),
        (&["argdist", "known_*"], libc::SIGTERM),
        (&["slower", "0", "known_*"], libc::SIGHUP),
    ] {
        let mut tool = known.tool(tool);
        tool.signal(signal);
        let status = tool.process.wait().unwrap();
        assert_eq!(status.success(), signal != libc::SIGKILL, "{signal}");
        known.expect_nothing();
    }
    // Nobody reads what it prints, or there is no room for it.
    let mut tool = known.tool(&["funccount", "known_*", "--interval", "0.1"]);
    drop(tool.process.stdout.take());
    assert_eq!(tool.process.wait().unwrap().code(), Some(141));
    known.expect_nothing();
    // Each call is told of while the shell's command goes on.
    let mut tool = known.tool(&["slower", "0", "known_*"]);
    drop(tool.process.stdout.take());
    known.call("go");
    assert_eq!(tool.process.wait().unwrap().code(), Some(141));
    known.expect_nothing();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = known.command(&["funccount", "known_*", "--duration", "0.1"]);
    assert_eq!(command.stdout(full).status().unwrap().code(), Some(74));
    known.expect_nothing();
    // The process goes.
    let tool = known.tool(&["funccount", "known_*"]);
    known.0.child.kill().unwrap();
    let output = tool.process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}

/// A tool whose time is over tells what is still there; whoever ends it does not wait for that.
/// Within a session a tool takes off what it has attached, and leaves what others have.
#[test]
fn a_tool_within_a_session_leaves_the_rest_of_it() {
    if !have_programs() {
        return;
    }
    let known = Known::new("tools-within", &[]);
    let object = known.path("mine.o");
    let source = known.path("mine.c");
    fs::write(&source, "#include <bpf/bpf_helpers.h>\nSEC(\"kprobe/known_often\") int mine(void *ctx) { return 0; }\n")
        .unwrap();
    let mut clang = Command::new("clang");
    clang.args(["-target", "bpf", "-O2", "-g", "-I"]).arg(root().join("include"));
    assert!(clang.arg("-c").arg(&source).arg("-o").arg(&object).status().unwrap().success());
    let put = object.display().to_string();
    let mut lines = vec!["--put", &put];
    for line in [
        "prog attach mine.pkg",
        "funccount known_often known_once --duration 0.1",
        "profile --duration 0.1",
        "funclatency known_often --duration 0.1",
        "funccount nothing_there",
        "funccount --help",
        "bpf_list",
        "ls",
        "map list",
    ] {
        lines.extend(["-c", line]);
    }
    let output = known.ushell(&lines);
    let (said, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(errors.contains("funccount: no traceable function `nothing_there`"), "{errors}");
    assert!(said.contains("Usage: funccount [OPTIONS] PATTERN..."), "{said}");
    let left = said.rsplit_once("known_often:\n - mine.pkg\n").map(|(_, left)| left.to_string());
    let left = left.unwrap_or_else(|| panic!("{said}{errors}"));
    assert!(!left.contains("ushell-") && left.contains("mine.pkg\n"), "{left}");
    assert_eq!(output.status.code(), Some(1), "{errors}");
    known.expect_nothing();
}

/// At a terminal `^C` is a key: it ends the tool, and the conversation goes on.
#[test]
fn a_key_ends_a_tool_within_a_session() {
    if !have_programs() {
        return;
    }
    let known = Known::new("tools-key", &[]);
    let (mut master, mut slave) = (0, 0);
    // SAFETY: both numbers are written, and nothing else is asked for.
    let made =
        unsafe { libc::openpty(&mut master, &mut slave, std::ptr::null_mut(), std::ptr::null(), std::ptr::null()) };
    assert_eq!(made, 0);
    // SAFETY: both were just opened, and nobody else has them.
    let (master, slave) = unsafe { (fs::File::from_raw_fd(master), fs::File::from_raw_fd(slave)) };
    let end = || Stdio::from(slave.try_clone().unwrap());
    let home = known.path("home");
    fs::create_dir_all(&home).unwrap();
    let mut command = Command::new(ushell());
    command.arg(known.path("socket")).env("HOME", home).env("TERM", "xterm");
    let mut process = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    let (mut keys, mut screen, mut shown) = (master.try_clone().unwrap(), master, String::new());
    let mut wait_for = |words: &str| {
        let mut page = [0; 999];
        while !shown.contains(words) {
            let count = screen.read(&mut page).unwrap();
            shown.push_str(&String::from_utf8_lossy(&page[..count]));
        }
        shown.clear();
    };
    for (press, answer) in [
        ("", "> "),
        ("funccount known_often\r", "attached to 1 function"),
        ("\x03", "0 calls"),
        ("slower 1 known_often\r", "attached to 1 function"),
        ("\x03version\r", "ushell-rs 0."),
        ("quit\r", "quit"),
    ] {
        keys.write_all(press.as_bytes()).unwrap();
        wait_for(answer);
    }
    assert_eq!(process.wait().unwrap().code(), Some(0));
    known.expect_nothing();
}

#[test]
fn a_signal_ends_a_tool_in_its_last_command() {
    if !have_programs() {
        return;
    }
    let known = Known::new("last-command", &[]);
    let between = known.path("between");
    let listener = UnixListener::bind(&between).unwrap();
    let shell = UnixStream::connect(known.path("socket")).unwrap();
    // What the shell says from then on is kept back until the command is to end.
    let held = Arc::new(AtomicBool::new(false));
    let is_held = held.clone();
    thread::spawn(move || {
        let (mut client, mut page) = (listener.accept().unwrap().0, [0; 4096]);
        let (mut to_shell, mut from_shell, mut to_client) =
            (&shell, shell.try_clone().unwrap(), client.try_clone().unwrap());
        let kept = is_held.clone();
        thread::spawn(move || {
            let mut page = [0; 4096];
            while let Ok(count @ 1..) = from_shell.read(&mut page) {
                while kept.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
                if to_client.write_all(&page[..count]).is_err() {
                    return;
                }
            }
        });
        while let Ok(count @ 1..) = client.read(&mut page) {
            if page[..count].windows(6).any(|part| part == b"--rest") {
                is_held.store(true, Ordering::SeqCst);
            } else if page[..count].contains(&3) {
                is_held.store(false, Ordering::SeqCst);
            }
            to_shell.write_all(&page[..count]).unwrap();
        }
        shell.shutdown(Shutdown::Both).unwrap();
    });
    let mut command = Command::new(ushell());
    command.arg(&between).args(["slower", "0", "known_*", "--duration", "0.1"]).stderr(Stdio::null());
    let mut tool = Tool { process: command.spawn().unwrap(), attached: String::new() };
    while !held.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(1));
    }
    tool.signal(libc::SIGTERM);
    assert_eq!(tool.process.wait().unwrap().code(), Some(0));
    known.expect_nothing();
}

/// Functions whose compiler left calls in them have neither arguments nor returns.
#[test]
fn functions_with_calls_of_the_compiler_are_counted_and_nothing_else() {
    if !have_programs() {
        return;
    }
    let mut known = Known::new("instrumented", &["-fpatchable-function-entry=0", "-finstrument-functions"]);
    let tool = known.tool(&["funccount", "known_often", "--json"]);
    known.call("go");
    assert_eq!(tool.json()[0]["calls"], json!(2000));
    known.expect_nothing();
    for tool in [&["argdist", "known_often"][..], &["funclatency", "known_often"], &["slower", "0", "known_often"]] {
        let output = known.ushell(tool);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("-finstrument-functions"), "{}", text(&output.stderr));
        known.expect_nothing();
    }
}

#[test]
fn what_cannot_be_done_is_said() {
    if !have_programs() {
        return;
    }
    let known = Known::new("refused", &[]);
    let refused = |args: &[&str], code, said: &str| {
        let output = known.ushell(args);
        let stderr = text(&output.stderr);
        assert!(output.status.code() == Some(code) && stderr.contains(said), "{args:?}: {stderr}");
        assert_eq!(text(&output.stdout), "");
        known.expect_nothing();
    };
    refused(
        &["funccount", "known_oftn"],
        1,
        "funccount: no traceable function `known_oftn`; did you mean `known_often`?",
    );
    refused(&["funccount", "known_often", "nothing_fits*"], 1, "no traceable function `nothing_fits*`");
    refused(&["funccount"], 64, "PATTERN");
    refused(&["funccount", "known_*", "--top", "0"], 64, "--top");
    refused(&["funccount", "known_*", "--interval", "0"], 64, "not a number of seconds above 0");
    refused(&["argdist", "known_often", "7"], 64, "ARG: `7`: the number of an argument is expected, 1 to 6");
    refused(
        &["stackcount", "known_often", "--svg", "/nonexistent/x.svg"],
        64,
        "for '--svg <FILE>': there is no such folder",
    );
    refused(&["profile", "--svg", "/"], 64, "for '--svg <FILE>': it is a folder");
    refused(&["argdist", "known_often", "--if", "arg1 ~ 1"], 64, "--if: `arg1 ~ 1`: argN[:TYPE] == NUMBER is expected");
    refused(&["argdist", "known_often", "--top", "3"], 64, "--count");
    refused(&["argdist", "nothing"], 1, "argdist: no traceable function `nothing`");
    refused(&["slower", "x", "known_often"], 64, "MICROSECONDS");
    refused(&["slower", "18446744073709551615", "known_often"], 64, "MICROSECONDS");
    refused(&["slower", "10", "known_often", "--args", "7"], 64, "--args");
    refused(&["funclatency", "known_*", "known_once"], 1, "known_once is named by known_* and by known_once");
    refused(&["slower", "1", "known_o*", "*_often"], 1, "known_often is named by known_o* and by *_often");
    refused(&["graph", "nothing"], 1, "no traceable function `nothing`");
    refused(&["graph", "known_once", "--calls", "0"], 64, "--calls");
    refused(&["funclatency", "nothing"], 1, "funclatency: no traceable function `nothing`");
    refused(&["-c", "version", "funccount", "known_*"], 64, "a tool runs by itself, without --command");
    refused(&["functioncount"], 64, "functioncount");
    let without = Command::new(ushell()).args(["funccount", "x"]).output().unwrap();
    assert!(text(&without.stderr).contains("SOCKET is missing"), "{}", text(&without.stderr));
    assert_eq!(without.status.code(), Some(64));
    // One at a time.
    let tool = known.tool(&["funccount", "known_*"]);
    let second = known.ushell(&["--timeout", "0.2", "funccount", "known_*"]);
    let said = format!("the port takes one client at a time, and process {} (ushell) holds it\n", tool.process.id());
    assert!(text(&second.stderr).ends_with(&said), "{}", text(&second.stderr));
    assert_eq!(second.status.code(), Some(3));
    tool.end();
    known.expect_nothing();
}

/// Functions of a stack, the engine's own names left out.
fn functions(of: &Json) -> Vec<&str> {
    of["functions"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

/// What is not freed is told of, with who allocated it, and nothing else; the shell allocates meanwhile.
#[test]
fn leaks_are_found() {
    if !have_programs() {
        return;
    }
    let flags = ["-fno-builtin", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"];
    let mut known = Known::of("memleak", include_str!("c/leaks.c"), &flags);
    known.call("nothing");
    let tool = known.tool(&["memleak", "--json"]);
    known.call("leak");
    let said = &tool.json()[0];
    let stacks: Vec<&Json> = said["stacks"].as_array().unwrap().iter().collect();
    let of = |function: &str| -> Vec<(u64, u64, Vec<&str>)> {
        let stacks = stacks.iter().filter(|stack| functions(stack).contains(&function));
        let numbers = stacks.map(|stack| {
            (stack["bytes"].as_u64().unwrap(), stack["blocks"].as_u64().unwrap(), functions(stack)[..2].to_vec())
        });
        numbers.collect()
    };
    assert_eq!(of("leaks_seven"), [(280, 7, vec!["malloc", "leaks_seven"])], "{said}");
    assert_eq!(of("leaks_nothing"), []);
    let others = [
        (1234, 1, vec!["realloc", "leaks_others"]),
        (555, 1, vec!["posix_memalign", "leaks_others"]),
        (300, 1, vec!["calloc", "leaks_others"]),
    ];
    assert_eq!(of("leaks_others"), others, "{said}");
    assert_eq!((&said["allocated"], &said["freed"]), (&json!(2012), &json!(2002)), "{said}");
    assert_eq!(
        (&said["blocks"], &said["bytes"], &said["lost"]),
        (&json!(10), &json!(280 + 1234 + 555 + 300), &json!(0))
    );
    known.expect_nothing();

    // Named functions, and only what is old.
    let tool = known.tool(&["memleak", "--alloc", "malloc", "--free", "free:1", "--older", "30"]);
    known.call("leak");
    let shown = tool.end();
    assert!(shown.starts_with("0 bytes in 0 blocks of 0 stacks; "), "{shown}");
    known.expect_nothing();
    let tool = known.tool(&["memleak", "--alloc", "malloc", "--free", "free", "--top", "2"]);
    known.call("leak");
    let shown = tool.end();
    assert!(
        shown.contains("280 bytes in 7 blocks, ") && shown.contains("\n      malloc\n      leaks_seven\n"),
        "{shown}"
    );
    known.expect_nothing();
    let plain = Known::new("no-allocator", &[]);
    let output = plain.ushell(&["memleak"]);
    assert!(text(&output.stderr).contains("Name the application's own functions with --alloc and --free"));
    assert_eq!(output.status.code(), Some(1));
}

/// Times of waiting, by thread and by who waits.
#[test]
fn waiting_is_told_by_thread() {
    if !have_programs() {
        return;
    }
    let flags = ["-fno-builtin", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"];
    let mut known = Known::of("offcpu", include_str!("c/leaks.c"), &flags);
    let tool = known.tool(&["offcpu", "waits", "--json"]);
    known.call("two threads");
    let said = &tool.json()[0];
    let threads = said["threads"].as_array().unwrap().iter().map(|thread| {
        let stack = &thread["stacks"][0];
        let (name, times) = (thread["name"].as_str().unwrap(), thread["times"].as_u64().unwrap());
        assert_eq!((stack["times"].as_u64(), &functions(stack)[..1]), (Some(times), &["waits"][..]), "{said}");
        // A wait may be longer, but never shorter.
        assert!(thread["total_ns"].as_u64().unwrap() >= times * 20_000_000, "{said}");
        assert!(thread["longest_ns"].as_u64().unwrap() >= 20_000_000, "{said}");
        // What lies in no function that is known has no name.
        assert!(functions(stack)[2].starts_with("0x"), "{said}");
        (name, times, functions(stack)[1])
    });
    let mut threads: Vec<_> = threads.collect();
    threads.sort();
    assert_eq!(threads, [("often", 3, "waits_often"), ("once", 1, "waits_once")], "{said}");
    known.expect_nothing();
    let output = known.ushell(&["offcpu"]);
    assert!(text(&output.stderr).contains("Name the functions in which the application waits"));
    assert_eq!(output.status.code(), Some(1));
}

/// With frame pointers: of the tree every stack is told, by which calls it came.
#[test]
fn stackcount_tells_which_calls_led_there() {
    if !have_programs() {
        return;
    }
    let mut known = Known::new("stackcount", &["-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"]);
    let picture = known.path("tree.svg");
    let stacks = |value: &Json| {
        let each = value["stacks"].as_array().unwrap().iter().map(|row| {
            let names = row["stack"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            // What lies behind is the C library's.
            let own: Vec<&str> = names.take_while(|name| name.starts_with("tree_") || *name == "main").collect();
            (own.join(" "), row["calls"].as_u64().unwrap())
        });
        each.collect::<BTreeMap<String, u64>>()
    };
    let expected = [
        ("tree_leaf main", 1),
        ("tree_leaf tree_branch tree_root main", 4),
        ("tree_branch tree_root main", 4),
        ("tree_root main", 2),
    ];
    let expected: BTreeMap<String, u64> = expected.map(|(stack, calls)| (stack.to_string(), calls)).into();
    let tool = known.tool(&["stackcount", "--json", "--svg", picture.to_str().unwrap(), "tree_*"]);
    assert_eq!(tool.attached, "stackcount: attached to 3 functions; ^C ends it\n");
    known.call("tree");
    let told = tool.json();
    assert_eq!((told.len(), &told[0]["calls"], &told[0]["lost"]), (1, &json!(11), &json!(0)), "{told:?}");
    assert_eq!(stacks(&told[0]), expected);
    let drawn = fs::read_to_string(picture).unwrap();
    for part in ["<svg", "Calls of tree_*", "tree_branch (8 calls", "tree_leaf (4 calls", "main (11 calls"] {
        assert!(drawn.contains(part), "{part}");
    }

    // Folded, in intervals, and as a table. The recursion is counted once at each depth.
    let tool = known.tool(&["stackcount", "--folded", "tree_leaf"]);
    known.call("tree");
    let folded = tool.end();
    let of = |end: &str| folded.lines().filter(|line| line.ends_with(end)).count();
    assert_eq!((of("main;tree_root;tree_branch;tree_leaf 4"), of("main;tree_leaf 1")), (1, 1), "{folded}");
    let tool = known.tool(&["stackcount", "--top", "1", "known_deep"]);
    known.call("deep");
    let table = tool.end();
    assert!(table.contains("\n           1  known_deep\n"), "{table}");
    assert!(table.contains("101 calls, 101 stacks in ") && table.contains(", the first 1 shown"), "{table}");

    // More stacks than there are places for: what is not told is said.
    let tool = known.tool(&["stackcount", "--stacks", "1", "--json", "known_deep"]);
    known.call("deep");
    let told = tool.json();
    assert_eq!((&told[0]["calls"], &told[0]["lost"]), (&json!(1), &json!(100)), "{told:?}");
    known.expect_nothing();
}

/// Without frame pointers the function and its caller are told, and nothing that is no call behind them.
#[test]
fn stackcount_without_frame_pointers() {
    if !have_programs() {
        return;
    }
    let mut known = Known::new("stackcount-without", &["-fomit-frame-pointer", "-fno-optimize-sibling-calls"]);
    let tool = known.tool(&["stackcount", "--json", "tree_leaf"]);
    known.call("tree");
    let told = tool.json();
    assert_eq!((&told[0]["calls"], &told[0]["lost"]), (&json!(5), &json!(0)));
    for row in told[0]["stacks"].as_array().unwrap() {
        let names: Vec<&str> = row["stack"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert!(matches!(names[..2], ["tree_leaf", "tree_branch" | "main"]), "{names:?}");
    }
    known.expect_nothing();
}

/// Samples fall where the time goes, and the calls that led there are told.
#[test]
fn time_is_told_by_function_and_stack() {
    if !have_programs() {
        return;
    }
    let flags = ["-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"];
    let mut known = Known::of("profile", include_str!("c/works.c"), &flags);
    let picture = known.path("profile.svg");
    let tool = known.tool(&["profile", "--json", "--svg", picture.to_str().unwrap()]);
    assert_eq!(tool.attached, "profile: attached to profile:99; ^C ends it\n");
    known.call("work");
    let said = &tool.json()[0];
    let samples = |function: &str| -> u64 {
        let all = said["functions"].as_array().unwrap().iter();
        all.filter(|one| one["function"] == function).map(|one| one["samples"].as_u64().unwrap()).sum()
    };
    let (all, much, little) = (said["samples"].as_u64().unwrap(), samples("works_much"), samples("works_little"));
    assert!(all >= 10 && much > little && much * 10 >= all * 7 && much + little <= all, "{said}");
    let stacks = said["stacks"].as_array().unwrap().iter();
    let names = |stack: &Json| -> Vec<String> {
        stack["stack"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().into()).collect()
    };
    let of_works = stacks.filter(|stack| names(stack).starts_with(&["works_much".into(), "works".into()]));
    assert_eq!(of_works.map(|stack| stack["samples"].as_u64().unwrap()).sum::<u64>(), much, "{said}");
    let drawn = fs::read_to_string(picture).unwrap();
    for part in ["<svg", "CPU time, 99 samples a second", &format!("works_much ({much} samples")] {
        assert!(drawn.contains(part), "{part}");
    }
    assert!(said["asked_hz"] == 99.0 && said["reached_hz"].as_f64().unwrap() > 0.0, "{said}");
    known.expect_nothing();

    let tool = known.tool(&["profile", "--hz", "50", "--folded"]);
    known.call("work");
    let shown = tool.end();
    assert!(shown.lines().any(|line| line.contains("works;works_much ")), "{shown}");
    known.expect_nothing();
    let tool = known.tool(&["profile", "--hz", "50", "--top", "1"]);
    known.call("work");
    let shown = tool.end();
    let rows: Vec<&str> = shown.lines().collect();
    assert!(rows[1].ends_with("  works_much") && rows[2].contains(" of 50.0 a second of CPU time"), "{shown}");
    let tool = known.tool(&["profile", "--hz", "50", "--total"]);
    known.call("work");
    let shown = tool.end();
    let row = |name: &str| -> Vec<f64> {
        let row = shown.lines().find(|line| line.ends_with(&format!("  {name}"))).expect(&shown);
        row.split_whitespace().map_while(|word| word.parse().ok()).collect()
    };
    assert!(shown.starts_with("       total       %     samples       %  function\n"), "{shown}");
    // What it calls is told with it, and comes behind it.
    let (works, much) = (row("works"), row("works_much"));
    assert!(works[0] >= much[0] && much[0] == much[2] && works[2] < works[0] && works[1] > 70.0, "{shown}");
    assert!(shown.find("  works\n") < shown.find("  works_much\n"), "{shown}");
    assert_eq!(text(&known.ushell(&["profile", "--hz", "0"]).stdout), "");
    known.expect_nothing();
    let status = text(&known.ushell(&["-c", "status"]).stdout);
    assert!(status.contains("timer ticks per second: 0\n"), "{status}");
}

/// Functions without frame pointers are followed by their unwind tables, on a piece of the stack that a sample brings along.
#[test]
fn stacks_without_frame_pointers_are_unwound() {
    if !have_programs() {
        return;
    }
    let flags = ["-fomit-frame-pointer", "-fno-optimize-sibling-calls"];
    let mut known = Known::of("unwinds", include_str!("c/unwinds.c"), &flags);
    let program = known.program();
    let picture = known.path("unwound.svg");
    let tool = known.tool(&["profile", "--json", "--dwarf", &program, "--svg", picture.to_str().unwrap()]);
    known.call("work");
    let said = &tool.json()[0];
    let stacks = said["stacks"].as_array().unwrap();
    let samples = |stacks: &mut dyn Iterator<Item = &Json>| -> u64 {
        stacks.map(|stack| stack["samples"].as_u64().unwrap()).sum()
    };
    let all = samples(&mut stacks.iter());
    let spins = |stack: &&Json| stack["stack"][0] == "spins";
    let known_way = json!(["spins", "within", "between", "outer", "main"]);
    let is_whole = |stack: &&Json| stack["stack"].as_array().unwrap().starts_with(known_way.as_array().unwrap());
    let (spinning, whole) = (samples(&mut stacks.iter().filter(spins)), samples(&mut stacks.iter().filter(is_whole)));
    assert!(all >= 10 && spinning * 10 >= all * 8 && whole == spinning, "{said}");
    assert_eq!(said["samples"].as_u64(), Some(all));
    assert!(fs::read_to_string(picture).unwrap().contains("between ("));
    // Who called `main` is in no image's file.
    let ends = stacks.iter().filter(is_whole).map(|stack| stack["stack"].as_array().unwrap().last().unwrap());
    assert!(ends.clone().count() > 0 && ends.into_iter().all(|end| end == "[no unwind information]"), "{said}");
    known.expect_nothing();
    // By frame pointers they are not found.
    let tool = known.tool(&["profile", "--folded"]);
    known.call("work");
    let shown = tool.end();
    assert!(shown.contains("spins ") && !shown.contains("within;spins"), "{shown}");
    known.expect_nothing();
    let refused = known.ushell(&["profile", "--dwarf", "/dev/null"]);
    assert!(text(&refused.stderr).contains("--dwarf /dev/null: "), "{}", text(&refused.stderr));
}

/// So are those of calls: with the frame pointer that a function of unknown size keeps, at returns, and in threads.
#[test]
fn stacks_of_calls_are_unwound() {
    if !have_programs() {
        return;
    }
    let flags = ["-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-builtin"];
    let mut known = Known::of("unwinds-calls", include_str!("c/unwinds.c"), &flags);
    let program = known.program();
    let tool = known.tool(&["stackcount", "spins", "between", "--json", "--dwarf", &program]);
    known.call("work");
    let said = &tool.json()[0];
    let stacks = said["stacks"].as_array().unwrap().iter();
    let mut stacks: Vec<_> = stacks.map(|stack| (stack["stack"].clone(), stack["calls"].as_u64().unwrap())).collect();
    stacks.sort_by_key(|(stack, _)| stack.as_array().unwrap().len());
    // Who called `main` is in no image's file.
    let whole = |functions: &[&str]| -> bool {
        let stack = &stacks[usize::from(functions.len() > 3)];
        let known = stack.0.as_array().unwrap().starts_with(json!(functions).as_array().unwrap());
        known && stack.1 == 10 && stack.0.as_array().unwrap().last().unwrap() == "[no unwind information]"
    };
    assert!(whole(&["between", "outer", "main"]) && whole(&["spins", "within", "between", "outer", "main"]), "{said}");
    assert_eq!((stacks.len(), &said["calls"], &said["lost"]), (2, &json!(20), &json!(0)));
    known.expect_nothing();

    let mut known = Known::of("unwinds-leaks", include_str!("c/leaks.c"), &flags);
    let program = known.program();
    let tool = known.tool(&["memleak", "--json", "--dwarf", &program]);
    known.call("leak");
    let said = &tool.json()[0];
    let seven = said["stacks"].as_array().unwrap().iter().find(|stack| stack["blocks"] == 7).unwrap();
    assert_eq!((&functions(seven)[..3], &seven["bytes"]), (&["malloc", "leaks_seven", "main"][..], &json!(280)));
    // There is room for some hundred stacks that were not read yet; blocks are counted all the same.
    assert_eq!((&said["allocated"], &said["freed"], &said["blocks"]), (&json!(2012), &json!(2002), &json!(10)));
    known.expect_nothing();
    let tool = known.tool(&["offcpu", "waits", "--json", "--dwarf", &program]);
    known.call("two threads");
    let said = &tool.json()[0];
    let threads = said["threads"].as_array().unwrap().iter().map(|thread| {
        let (name, times) = (thread["name"].as_str().unwrap(), thread["times"].as_u64().unwrap());
        assert!(thread["total_ns"].as_u64().unwrap() >= times * 20_000_000, "{said}");
        (name, times, functions(&thread["stacks"][0])[..2].to_vec())
    });
    let mut threads: Vec<_> = threads.collect();
    threads.sort();
    let expected = [("often", 3, vec!["waits", "waits_often"]), ("once", 1, vec!["waits", "waits_once"])];
    assert_eq!(threads, expected, "{said}");
    known.expect_nothing();
    let output = known.ushell(&["offcpu", "waits", "--interval", "1", "--duration", "0.1", "--dwarf", &program]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output.stderr));
}

/// A map of stack traces is shown by the names of functions.
#[test]
fn traces_in_maps_have_names() {
    if !have_programs() {
        return;
    }
    let mut known = Known::new("stack-map", &["-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"]);
    let source = "#include <bpf/bpf_helpers.h>\nstruct { __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(key_size, 4); \
                  __uint(value_size, 64); __uint(max_entries, 16384); } traces SEC(\".maps\");\n\
                  SEC(\"kprobe/tree_root\") int at(void *ctx) { return bpf_get_stackid(ctx, &traces, 0); }";
    known.0.folder.write("stacks.c", source);
    let mut clang = Command::new("clang");
    clang.args(["-target", "bpf", "-O2", "-g", "-I"]).arg(root().join("include")).args(["-c", "stacks.c"]);
    assert!(clang.current_dir(known.path("")).status().unwrap().success());
    let object = known.path("stacks.o");
    let output = known.ushell(&["--put", object.to_str().unwrap(), "-c", "prog attach stacks.pkg --keep"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    known.call("tree");
    let dumped = text(&known.ushell(&["-c", "map dump stacks.traces"]).stdout);
    assert!(dumped.lines().count() == 2 && dumped.lines().all(|line| line.contains(": tree_root; main")), "{dumped}");
    let json = known.ushell(&["--json", "-c", "map dump stacks.traces"]);
    let json: Json = serde_json::from_slice(&json.stdout).unwrap();
    assert!(json.to_string().contains(r#"["tree_root","main""#), "{json}");
}
