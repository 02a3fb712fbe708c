//! The tools of `ushell` on a process whose calls are known: what they say, and that nothing stays when they end.

// Programs that run by themselves are others' matter.
#[allow(dead_code)]
mod common;

use common::{root, text, Folder};
use serde_json::{json, Value as Json};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
    sync::Once,
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
struct Known {
    folder: Folder,
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Known {
    fn new(name: &str, flags: &[&str]) -> Self {
        Self::of(name, include_str!("c/known.c"), flags)
    }

    /// The same with another program.
    fn of(name: &str, source: &str, flags: &[&str]) -> Self {
        let folder = Folder::new(name);
        folder.write("known.c", source);
        let program = folder.build(&["known.c"], &[&["-O2"], flags].concat());
        let mut command = Command::new(program);
        command.arg("socket").current_dir(&folder.0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut known = Self { folder, process, input, output: BufReader::new(output) };
        known.expect("ready");
        known
    }

    fn expect(&mut self, line: &str) {
        let mut read = String::new();
        self.output.read_line(&mut read).unwrap();
        assert_eq!(read.trim_end(), line);
    }

    /// Makes the calls: `how` is a line for it.
    fn call(&mut self, how: &str) {
        writeln!(self.input, "{how}").unwrap();
        self.expect("done");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(ushell());
        command.arg(self.folder.0.join("socket")).args(args).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn ushell(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts a tool, and waits until it has attached.
    fn tool(&self, args: &[&str]) -> Tool {
        let mut process = self.command(args).spawn().unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains(": attached to "), "{line}");
        Tool { process, attached: line }
    }

    /// Nothing is attached, no map and no file of a tool is there.
    fn expect_nothing(&self) {
        let output = self.ushell(&["-c", "bpf_list", "-c", "map list", "-c", "prog list"]);
        assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("", Some(0)), "{}", text(&output.stderr));
        let files = fs::read_dir(&self.folder.0).unwrap().flatten().map(|entry| entry.file_name());
        assert!(files.into_iter().all(|name| !name.to_string_lossy().contains("ushell")));
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
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
    assert_eq!(json(&["known_seldom", "3:u8"]), powers(tens().map(|n| n & 255)));
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
    known.call("go");
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
    // Of two threads, one may find the map busy for too long.
    assert!((904..1000).contains(&lost), "{lost}");
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
    let expected = [("close", Some(1), Some(0)), ("getpid", Some(1), Some(0)), ("write", Some(30), Some(1))];
    assert_eq!((calls.as_slice(), &said["lost"]), (&expected[..], &json!(0)));
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
        (&["syscalls", "write", "w*"], "uk_syscall_r_write is named by uk_syscall_r_write and by uk_syscall_r_w*"),
    ] {
        let output = known.ushell(tool);
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(1));
        known.expect_nothing();
    }
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
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = known.command(&["funccount", "known_*", "--duration", "0.1"]);
    assert_eq!(command.stdout(full).status().unwrap().code(), Some(74));
    known.expect_nothing();
    // The process goes.
    let tool = known.tool(&["funccount", "known_*"]);
    known.process.kill().unwrap();
    let output = tool.process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
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
