//! The allocator of a process, traced while the engine itself allocates with it: nothing stands still or comes back to itself, and what is
//! counted is what the application has called.

// Programs that run by themselves are others' matter.
#[allow(dead_code)]
mod common;
#[path = "common/lines.rs"]
mod lines;

use lines::Process;
use std::time::Duration;
use ubpf_client::machine::Client;
use ubpf_rs::isa::assemble;

const FUNCTIONS: [&str; 4] = ["malloc", "calloc", "realloc", "free"];

/// Adds one under the function's key; adds the time, by a helper that is no inline one; says the function's name.
const COUNT: &str = "r1 = *(u64 *)(r1 + 0)\nr6 = r1\nr2 = 0\ncall 0\nif r0 != -1 goto +1\nr0 = 0\nr3 = r0\nr3 += 1\nr1 = r6\nr2 = 0\ncall 1\nr0 = 0\nexit";
const NOTIFY: &str = "r1 = *(u64 *)(r1 + 0)\ncall 3\nr0 = 0\nexit";
const NOTHING: &str = "r0 = 0\nexit";

/// A process whose allocator can be traced.
struct Traced {
    process: Process,
    shell: Client,
}

impl Traced {
    fn new(name: &str) -> Self {
        let process = Process::new(name, include_str!("c/allocator.c"), &["-fno-builtin"]);
        for (name, source) in [("count", COUNT), ("notify", NOTIFY), ("nothing", NOTHING)] {
            process.folder.write(&format!("{name}.bin"), assemble(source).unwrap());
        }
        let patience = Duration::from_secs(30);
        let shell = Client::connect(&process.folder.0.join("socket"), patience, patience).unwrap();
        Self { process, shell }
    }

    /// What a command says, line by line; it must do well.
    fn ask(&mut self, line: &str) -> Vec<String> {
        let (good, lines) = self.shell.answer(line).unwrap();
        assert!(good, "{line}: {lines:?}");
        lines
    }

    fn begin(&mut self, number: usize) {
        self.process.ask(number);
    }

    /// How often the application has called each of the functions, and the engine all of them.
    fn called(&mut self) -> Vec<u64> {
        loop {
            let line = self.process.line();
            // What programs said stands before it.
            let Ok(numbers) = line.split_whitespace().map(str::parse).collect() else { continue };
            while self.process.line() != "done" {}
            return numbers;
        }
    }

    /// The counters of the first program of a function, by their names.
    fn counter(&mut self, function: &str, name: &str) -> u64 {
        let lines = self.ask(&format!("bpf_list -v {function}"));
        let line = &lines[1];
        let after = line.split(&format!("{name} ")).nth(1).map(|rest| rest.split([',', ')']).next().unwrap());
        after.map_or(0, |number| number.parse().unwrap())
    }
}

/// Programs at entries and at returns, straight from the function and with the help of the engine: each has run as often as the application
/// has called, and the engine's own calls are counted apart.
#[test]
fn only_the_calls_of_the_application_are_counted() {
    for program in ["nothing", "count", "notify"] {
        for exit in ["", " --exit"] {
            let mut traced = Traced::new(&format!("own-{program}{exit}"));
            // What was called so far, and buffers of streams.
            traced.begin(1);
            traced.called();
            for function in FUNCTIONS {
                traced.ask(&format!("bpf_attach {function} {program}.bin{exit}"));
            }
            for _ in 0..20 {
                traced.ask("bpf_list -v");
            }
            traced.begin(500);
            let called = traced.called();
            assert_eq!(called[2], 1000, "{called:?}");
            assert!(called[4] > 100, "the engine allocates: {called:?}");
            let mut left_out = 0;
            for (function, called) in FUNCTIONS.into_iter().zip(called) {
                assert_eq!(traced.counter(function, "runs"), called, "{function} {program}{exit}");
                // A hook that allocated would meet its own program.
                assert_eq!(traced.counter(function, "misses"), 0, "{function} {program}{exit}");
                left_out += traced.counter(function, "left out");
            }
            assert!(left_out > 100, "{left_out}");
        }
    }
}

/// A thread of the engine's own looks for new threads while a timer ticks, and runs programs by the clock: what it calls for that is not the
/// application's.
#[test]
fn calls_of_who_looks_after_timers_are_not_counted() {
    let mut traced = Traced::new("own-timers");
    traced.begin(1);
    traced.called();
    for timer in ["profile:50", "interval:ms:5"] {
        traced.ask(&format!("bpf_attach {timer} nothing.bin"));
    }
    for function in FUNCTIONS {
        traced.ask(&format!("bpf_attach {function} nothing.bin"));
    }
    traced.begin(500_000);
    let called = traced.called();
    for (function, called) in FUNCTIONS.into_iter().zip(called) {
        assert_eq!(traced.counter(function, "runs"), called, "{function}");
    }
    assert!(traced.counter("interval:ms:5", "runs") > 0, "programs by the clock still run there");
}

/// Who wants to know what the engine does asks for it.
#[test]
fn calls_of_the_engine_run_programs_that_ask_for_them() {
    let mut traced = Traced::new("own-asked");
    for exit in ["", " --exit"] {
        traced.ask(&format!("bpf_attach malloc count.bin --own{exit}"));
        traced.ask(&format!("bpf_attach malloc nothing.bin{exit}"));
        let before = traced.counter("malloc", "runs");
        for _ in 0..20 {
            traced.ask("bpf_list -v");
        }
        assert!(traced.counter("malloc", "runs") >= before + 20);
        let lines = traced.ask("bpf_list -v malloc");
        assert!(lines[2].contains("nothing.bin") && lines[2].contains("(runs 0, misses 0"), "{lines:?}");
        traced.ask("bpf_detach malloc");
    }
}

/// Programs come and go while two threads, and the engine, are in the functions all the time.
#[test]
fn programs_come_and_go_while_everybody_allocates() {
    let mut traced = Traced::new("own-exchange");
    traced.begin(100_000);
    for round in 0..24 {
        let program = ["nothing", "count", "notify"][round % 3];
        let exit = ["", " --exit"][round % 2];
        for function in FUNCTIONS {
            traced.ask(&format!("bpf_attach {function} {program}.bin{exit}"));
        }
        let failed = traced
            .ask("bpf_list -v")
            .iter()
            .filter(|line| line.contains("failures") && !line.contains("failures 0"))
            .count();
        assert_eq!(failed, 0);
        for function in FUNCTIONS {
            traced.ask(&format!("bpf_detach {function}"));
        }
    }
    let called = traced.called();
    assert_eq!(called[2], 200_000);
    // Nothing is left, and it goes on.
    let attached = traced.ask("bpf_list");
    assert!(attached.iter().all(|line| !line.contains(".bin")), "{attached:?}");
    traced.begin(10);
    assert_eq!(traced.called()[2], 20);
    let status = traced.ask("status").join("\n");
    assert!(!status.contains("never returned"), "{status}");
}
