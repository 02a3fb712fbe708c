//! `bpf_list -v` says by which way each program is run, and why it is not the short one.

// Programs that run by themselves, and what processes are told, are others' matter.
#[allow(dead_code)]
mod common;
#[allow(dead_code)]
#[path = "common/lines.rs"]
mod lines;

use lines::Process;
use std::time::Duration;
use ubpf_client::machine::Client;
use ubpf_rs::isa::assemble;

const NOTHING: &str = "r0 = 0\nexit";
const FUNC_IP: &str = "call 173\nr0 = 0\nexit";
const FUNC_ARG_CNT: &str = "call 185\nr0 = 0\nexit";
/// Reads where its argument leads to.
const READS: &str = "r1 = *(u64 *)(r1 + 0)\nr0 = *(u64 *)(r1 + 0)\nexit";
/// Counts its argument down.
const LOOPS: &str = "r1 = *(u64 *)(r1 + 0)\nr1 += -1\nif r1 != 0 goto -2\nr0 = 0\nexit";

/// A function, what is attached to it, with which options, and the way.
const CASES: &[(&str, &str, &str, &str)] = &[
    ("malloc", "nothing", "", "direct"),
    ("malloc", "nothing", "--exit", "direct"),
    ("malloc", "nothing", "--engine interp", "interpreted"),
    ("malloc", "nothing", "--hits 1000000", "general: has a limit of runs"),
    ("malloc", "func_ip", "--abi linux", "direct"),
    ("malloc", "func_arg_cnt", "--abi linux", "general: calls bpf_get_func_arg_cnt"),
    ("malloc", "reads", "", "general: accesses are checked as it runs"),
    ("malloc", "loops", "", "general: time is charged as it runs"),
    ("interval:s:1000", "nothing", "", "general: at a timer"),
    ("interval:s:1000", "nothing", "--engine interp", "interpreted"),
];

struct Shell(Client);

impl Shell {
    /// What a command says, line by line; it must do well.
    fn ask(&mut self, line: &str) -> Vec<String> {
        let (good, lines) = self.0.answer(line).unwrap();
        assert!(good, "{line}: {lines:?}");
        lines
    }

    /// The ways of the programs of a function.
    fn ways(&mut self, function: &str) -> Vec<String> {
        let lines = self.ask(&format!("bpf_list -v {function}"));
        let way = |line: &String| Some(line.split_once(", way ")?.1.strip_suffix(')')?.to_string());
        lines.iter().filter(|line| line.starts_with(" - ")).map(|line| way(line).expect(line)).collect()
    }
}

#[test]
fn the_way_of_each_program_is_said() {
    let process = Process::new("ways", include_str!("c/allocator.c"), &["-fno-builtin"]);
    let programs = [
        ("nothing", NOTHING),
        ("func_ip", FUNC_IP),
        ("func_arg_cnt", FUNC_ARG_CNT),
        ("reads", READS),
        ("loops", LOOPS),
    ];
    for (name, source) in programs {
        process.folder.write(&format!("{name}.bin"), assemble(source).unwrap());
    }
    let patience = Duration::from_secs(30);
    let mut shell = Shell(Client::connect(&process.folder.0.join("socket"), patience, patience).unwrap());
    for (function, program, options, way) in CASES {
        shell.ask(&format!("bpf_attach {function} {program}.bin {options}"));
        assert_eq!(shell.ways(function), [*way], "{program} {options}");
        shell.ask(&format!("bpf_detach {function}"));
    }
    // One that cannot takes the others along.
    shell.ask("bpf_attach free nothing.bin");
    shell.ask("bpf_attach free reads.bin");
    let both = ["general: another program here takes it or did", "general: accesses are checked as it runs"];
    assert_eq!(shell.ways("free"), both);
    shell.ask("bpf_detach free reads.bin");
    assert_eq!(shell.ways("free"), ["direct"]);
    shell.ask("stats on");
    assert_eq!(shell.ways("free"), ["general: run times are measured"]);
    shell.ask("stats off");
    assert_eq!(shell.ways("free"), ["direct"]);
}
