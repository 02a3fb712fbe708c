//! Every option and exit status of `ubpf`.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};
use ubpf_rs::isa::assemble;

/// A folder of its own for the files of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("ubpf-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn file(&self, name: &str, contents: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap();
        path.to_str().unwrap().into()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the tool with this program on its standard input.
fn ubpf(source: &str, args: &[&str]) -> Output {
    feed(&assemble(source).unwrap(), args)
}

fn feed(input: &[u8], args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ubpf"));
    command.args(args).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A tool that is content with its command line may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Exit status, standard output, and whether something stands on standard error.
fn outcome(output: &Output) -> (i32, &str, bool) {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    (output.status.code().unwrap(), text, !output.stderr.is_empty())
}

fn complaint(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn the_result_stands_alone_on_standard_output() {
    let output = ubpf("r0 = 42\nexit", &["run", "-"]);
    assert_eq!(outcome(&output), (0, "0x2a\n", false));
    let output = ubpf("r0 = -1\nexit", &["run", "-"]);
    assert_eq!(outcome(&output), (0, "0xffffffffffffffff\n", false));
    let output = ubpf("r0 = 0\nexit", &["run", "-"]);
    assert_eq!(outcome(&output), (0, "0x0\n", false));
}

#[test]
fn a_program_comes_from_a_file_or_from_standard_input() {
    let folder = Folder::new("file");
    let path = folder.file("seven.bin", &assemble("r0 = 7\nexit").unwrap());
    assert_eq!(outcome(&feed(b"", &["run", &path])), (0, "0x7\n", false));
    let output = ubpf("r0 = 8\nexit", &["run", "-"]);
    assert_eq!(outcome(&output), (0, "0x8\n", false));
}

#[test]
fn what_a_program_prints_stands_on_standard_error() {
    let output = ubpf("r1 = 0x1234\ncall 3\nr0 = 1\nexit", &["run", "-"]);
    assert_eq!(outcome(&output), (0, "0x1\n", true));
    assert_eq!(complaint(&output), "Notify: 0x1234\n");
}

#[test]
fn a_remark_stands_on_standard_error() {
    let output = ubpf("r0 = r3\nexit", &["run", "-"]);
    assert_eq!(outcome(&output), (0, "0x0\n", true));
    assert!(complaint(&output).contains("r3 is read at PC 0"));
}

#[test]
fn a_refused_program_ends_with_2() {
    for (source, reason) in [
        ("", "the program is empty"),
        (".hex 95", "1 bytes are no whole number of 8-byte instructions"),
        (".hex ff00000000000000", "unknown opcode 0xff at PC 0"),
        ("r0 = 0\ngoto -2", "infinite loop at PC 1"),
        ("r0 = 0\ncall 77\nexit", "unknown helper 77 at PC 1"),
        ("goto +7\nexit", "jump out of the program at PC 0"),
    ] {
        let output = ubpf(source, &["run", "-"]);
        assert_eq!(outcome(&output), (2, "", true), "{source}");
        let complaint = complaint(&output);
        let expected = format!("ubpf: Failed to load code: {reason}");
        assert!(complaint.starts_with(&expected), "{complaint}");
    }
}

#[test]
fn a_program_that_cannot_be_read_ends_with_2() {
    let output = feed(b"", &["run", "/no/such/file.bin"]);
    assert_eq!(outcome(&output), (2, "", true));
    assert!(complaint(&output).contains("/no/such/file.bin"));
}

#[test]
fn a_stopped_program_ends_with_3() {
    let output = ubpf("r3 = 0\nr0 = *(u32 *)(r3 + 0)\nexit", &["run", "-"]);
    assert_eq!(outcome(&output), (3, "", true));
    let mut lines = complaint(&output).lines();
    let first = lines.next().unwrap();
    assert!(first.ends_with("out of bounds memory load at PC 1, addr 0x0, size 4"), "{first}");
    let second = lines.next().unwrap();
    assert!(second.starts_with("mem 0x0/0 stack 0x") && second.ends_with("/512"), "{second}");
}

#[test]
fn a_budget_that_is_used_up_ends_with_3() {
    let source = "r3 = *(u64 *)(r1 + 0)\nr0 = 0\nagain: if r3 == 1 goto out\ngoto again\nout: exit";
    let memory = ["--mem-hex", "0000000000000000"];
    let output = ubpf(source, &[&["run", "-", "--budget", "1000"], &memory[..]].concat());
    assert_eq!(outcome(&output), (3, "", true));
    assert!(complaint(&output).contains("instruction budget exhausted at PC 3"));
    // The default is a million instructions: it ends too.
    let output = ubpf(source, &[&["run", "-"], &memory[..]].concat());
    assert_eq!(outcome(&output), (3, "", true));
    let output = ubpf("r0 = 1\nexit", &["run", "-", "--budget", "0x2"]);
    assert_eq!(outcome(&output), (0, "0x1\n", false));
    let output = ubpf("r0 = 1\nexit", &["run", "-", "--budget", "1"]);
    assert_eq!(outcome(&output), (3, "", true));
}

#[test]
fn memory_is_the_argument() {
    let length = "r0 = r2\nexit";
    let last = "r1 += r2\nr0 = *(u8 *)(r1 - 1)\nexit";
    let folder = Folder::new("memory");
    let file = folder.file("memory", &[1, 2, 0xfe]);
    for (option, value) in [("--mem-hex", "0102fe"), ("--mem-hex", "0102FE"), ("--mem", &file)] {
        let output = ubpf(length, &["run", "-", option, value]);
        assert_eq!(outcome(&output), (0, "0x3\n", false), "{option} {value}");
        let output = ubpf(last, &["run", option, value, "-"]);
        assert_eq!(outcome(&output), (0, "0xfe\n", false), "{option} {value}");
    }
}

#[test]
fn an_argument_is_its_bytes_and_a_nul() {
    let output = ubpf("r0 = r2\nexit", &["run", "-", "myfun"]);
    assert_eq!(outcome(&output), (0, "0x6\n", false));
    let output = ubpf("r0 = *(u32 *)(r1 + 2)\nexit", &["run", "-", "myfun"]);
    assert_eq!(outcome(&output), (0, "0x6e7566\n", false));
    let output = ubpf("r0 = r2\nexit", &["run", "-", ""]);
    assert_eq!(outcome(&output), (0, "0x1\n", false));
}

#[test]
fn without_memory_r1_and_r2_are_zero() {
    let both = "r0 = r1\nr0 |= r2\nexit";
    assert_eq!(outcome(&ubpf(both, &["run", "-"])), (0, "0x0\n", false));
    let output = ubpf(both, &["run", "-", "--mem-hex", ""]);
    assert_eq!(outcome(&output), (0, "0x0\n", false));
}

#[test]
fn the_numbering_of_helpers_is_chosen() {
    // Number 1 is map_get in the one and map_put in the other numbering.
    let source = "r1 = 1\nr2 = 2\nr3 = 3\ncall 1\nexit";
    let run = |abi: &[&str]| ubpf(source, &[&["run", "-"], abi].concat());
    assert_eq!(outcome(&run(&[])), (0, "0x0\n", false));
    assert_eq!(outcome(&run(&["--abi", "classic"])), (0, "0x0\n", false));
    assert_eq!(outcome(&run(&["--abi", "uio"])), (0, "0xffffffffffffffff\n", false));
}

#[test]
fn the_policy_is_chosen() {
    let unset = "r0 = r3\nexit";
    let run = |policy: &[&str]| ubpf(unset, &[&["run", "-"], policy].concat());
    assert_eq!(outcome(&run(&["--policy", "checked"])), (0, "0x0\n", false));
    assert_eq!(outcome(&run(&["--policy", "guarded"])), (0, "0x0\n", true));
    let strict = run(&["--policy", "strict"]);
    assert_eq!(outcome(&strict), (2, "", true));
    assert!(complaint(&strict).contains("r3 is read at PC 0"));
}

#[test]
fn the_engine_is_chosen() {
    let stops = "r0 = 5\nr0 = *(u8 *)(r0 + 0)\nexit";
    for engine in [&[][..], &["--engine", "interp"], &["--engine", "jit"]] {
        let output = ubpf("r0 = 5\nexit", &[&["run", "-"], engine].concat());
        assert_eq!(outcome(&output), (0, "0x5\n", false), "{engine:?}");
        let output = ubpf(stops, &[&["run", "-"], engine].concat());
        assert_eq!(outcome(&output), (3, "", true), "{engine:?}");
        assert!(complaint(&output).contains("load at PC 1, addr 0x5, size 1"));
    }
}

#[test]
fn a_wrong_command_line_ends_with_64() {
    let folder = Folder::new("usage");
    let file = folder.file("memory", b"x");
    for args in [
        &[][..],
        &["fly"],
        &["run"],
        &["run", "-", "one", "two"],
        &["run", "-", "--nonsense"],
        &["run", "-", "-x"],
        &["run", "-", "--budget"],
        &["run", "-", "--budget", "many"],
        &["run", "-", "--budget", "-1"],
        &["run", "-", "--budget", "0x"],
        &["run", "-", "--budget", "0x+1"],
        &["run", "-", "--budget", "18446744073709551616"],
        &["run", "-", "--abi", "linux"],
        &["run", "-", "--abi", ""],
        &["run", "-", "--policy", "loose"],
        &["run", "-", "--engine", "steam"],
        &["run", "-", "--mem", "/no/such/file"],
        &["run", "-", "--mem-hex", "123"],
        &["run", "-", "--mem-hex", "zz"],
        &["run", "-", "--mem-hex", "+1"],
        &["run", "-", "--mem-hex", "é"],
        &["run", "-", "--mem", &file, "--mem-hex", "00"],
        &["run", "-", "--mem-hex", "00", "--mem", &file],
        &["run", "-", "--mem-hex", "00", "--mem-hex", "00"],
        &["run", "-", "text", "--mem-hex", "00"],
        &["run", "--mem", &file, "-", "text"],
        &["verify"],
        &["verify", "--nonsense", "-"],
        &["verify", "--policy", "loose", "-"],
        &["verify", "--abi", "other", "-"],
        &["disasm"],
        &["disasm", "--json"],
        &["disasm", "-", "more"],
    ] {
        let output = ubpf("r0 = 0\nexit", args);
        assert_eq!(outcome(&output), (64, "", true), "{args:?}");
        assert!(complaint(&output).contains("usage: ubpf run"), "{args:?}");
    }
}

#[test]
fn help_is_no_mistake() {
    for args in [["help"], ["--help"], ["-h"]] {
        let output = feed(b"", &args);
        let (status, text, complains) = outcome(&output);
        assert_eq!((status, complains), (0, false));
        assert!(text.starts_with("usage: ubpf run"));
    }
}

#[test]
fn disasm_prints_what_the_assembler_reads() {
    let source = "r0 = 5\nr1 = 81985529216486895 ll\nif w0 s> -3 goto +0\nlock *(u64 *)(r10 - 8) += r1\nexit";
    let output = ubpf(source, &["disasm", "-"]);
    let (status, text, complains) = outcome(&output);
    assert_eq!((status, complains), (0, false));
    let lines: Vec<(&str, &str)> = text.lines().filter_map(|l| l.split_once(": ")).collect();
    let places: Vec<&str> = lines.iter().map(|line| line.0.trim()).collect();
    assert_eq!(places, ["0", "1", "3", "4", "5"]);
    let insns: Vec<&str> = lines.iter().map(|line| line.1).collect();
    assert_eq!(insns.join("\n"), source);
}

#[test]
fn disasm_refuses_what_is_no_program() {
    let output = ubpf(".hex ff00000000000000", &["disasm", "-"]);
    assert_eq!(outcome(&output), (2, "", true));
    assert!(complaint(&output).contains("unknown opcode 0xff at PC 0"));
}

#[test]
fn verify_has_a_line_for_each_program() {
    let folder = Folder::new("verify");
    let good = folder.file("good.bin", &assemble("r0 = *(u8 *)(r1 + 0)\nexit").unwrap());
    let bad = folder.file("bad \"quoted\".bin", &assemble("goto -1").unwrap());
    let output = feed(b"", &["verify", &good]);
    let (status, text, _) = outcome(&output);
    assert_eq!((status, text.lines().count()), (0, 1));
    assert!(text.starts_with(&format!("{good}\t")) && text.contains("\tok\t2\t"), "{text}");

    let output = feed(b"", &["verify", &good, &bad, "/no/such.bin"]);
    let (status, text, _) = outcome(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((status, lines.len()), (2, 3));
    assert!(lines[1].contains("\trejected\t1\t") && lines[1].ends_with("infinite loop at PC 0"));
    assert!(lines[2].starts_with("/no/such.bin\t") && lines[2].contains("\trejected\t"));

    let output = feed(b"", &["verify", "--json", &bad]);
    let (status, text, _) = outcome(&output);
    assert_eq!(status, 2);
    assert!(text.contains("bad \\\"quoted\\\".bin\"") && text.contains("\"verdict\":\"rejected\""));

    let output = feed(b"", &["verify", "--policy", "strict", &bad]);
    assert_eq!(output.status.code(), Some(2));
    let uio = folder.file("uio.bin", &assemble("call 6\nexit").unwrap());
    assert_eq!(feed(b"", &["verify", &uio]).status.code(), Some(2));
    assert_eq!(feed(b"", &["verify", "--abi", "uio", &uio]).status.code(), Some(0));
}

/// The fields of the only line that `ubpf verify` prints of this program.
fn verdict(folder: &Folder, source: &str, options: &[&str]) -> (i32, Vec<String>) {
    let file = folder.file("program.bin", &assemble(source).unwrap());
    let output = feed(b"", &[&["verify"], options, &[&file]].concat());
    let (status, text, _) = outcome(&output);
    let line = text.strip_suffix('\n').unwrap();
    let fields: Vec<String> = line.split('\t').map(str::to_string).collect();
    assert_eq!(fields[0], file);
    (status, fields[1..].to_vec())
}

#[test]
fn verify_says_how_many_accesses_are_proved_and_guarded() {
    let folder = Folder::new("verify-counts");
    let mixed = "r0 = *(u8 *)(r1 + 0)\n*(u64 *)(r10 - 8) = r0\nr3 = *(u32 *)(r0 + 4)\nexit";
    let (status, fields) = verdict(&folder, mixed, &[]);
    let remark = "1 of 3 memory accesses are checked at run time";
    let expected = [".text", "program", "ok", "4", "4", "2", "1", remark];
    assert_eq!((status, fields), (0, expected.map(str::to_string).into()));

    let (status, fields) = verdict(&folder, mixed, &["--policy", "checked"]);
    let expected = [".text", "program", "ok", "4", "4", "0", "3", ""];
    assert_eq!((status, fields), (0, expected.map(str::to_string).into()));
}

#[test]
fn strict_says_what_is_not_proved() {
    let folder = Folder::new("verify-strict");
    let cases = [
        (
            "r2 = *(u8 *)(r1 + 0)\nr3 = r10\nr3 -= r2\nr0 = *(u16 *)(r3 - 400)\nexit",
            "memory access at PC 3 through r3-400 is not proved to be in bounds: r3 is the frame pointer plus -255 to 0; \
             an offset from -512 to -2 is needed (strict policy)",
        ),
        (
            "r0 = *(u64 *)(r2 + 0)\nexit",
            "memory access at PC 0 through r2 is not proved to be in bounds: r2 is a number from 0 to 2147483647; \
             a pointer to the argument, the stack or memory of the runtime is needed (strict policy)",
        ),
        (
            "r0 = r7\nexit",
            "r7 is read at PC 0 but was not set on every path to it",
        ),
        (
            "r0 = *(u64 *)(r1 + 0)\nr0 += -1\nif r0 != 0 goto -2\nexit",
            "loop at PC 1: the end is not proved (strict policy)",
        ),
        (
            "r0 = *(u64 *)(r1 + 0)\ncallx r0\nexit",
            "",
        ),
    ];
    for (source, reason) in cases {
        let (status, fields) = verdict(&folder, source, &["--policy", "strict"]);
        assert_eq!((status, fields[2].as_str()), (2, "rejected"), "{source}");
        assert!(fields[7].starts_with(reason), "{source}\n{}", fields[7]);
        // What strict refuses for want of a proof, guarded takes.
        assert_eq!(verdict(&folder, source, &[]).0, 0, "{source}");
    }
}

#[test]
fn verbose_shows_the_state_before_each_instruction_apart_from_the_lines() {
    let folder = Folder::new("verify-v");
    let source = "r6 = *(u8 *)(r1 + 0)\nr6 += 2\n*(u64 *)(r10 - 8) = r6\nr0 = 0\nexit";
    let file = folder.file("program.bin", &assemble(source).unwrap());
    for option in ["-v", "--verbose"] {
        let output = feed(b"", &["verify", "--json", option, &file]);
        let (status, text, _) = outcome(&output);
        assert_eq!((status, text.lines().count()), (0, 1));
        assert!(text.starts_with('{') && text.ends_with("\"reason\":\"\"}\n"), "{text}");
        let states = complaint(&output);
        let last = states.lines().nth(4).unwrap();
        assert!(last.trim_start().starts_with("4: exit"), "{states}");
        for known in ["r0=0", "r1=argument", "r6=2..=257", "r10=stack", "u64[-8]=2..=257"] {
            assert!(last.contains(known), "{known}: {last}");
        }
    }
}

#[test]
fn a_name_with_a_tab_stays_one_field() {
    let folder = Folder::new("verify-tab");
    let file = folder.file("a\tb\nc.bin", &assemble("r0 = 0\nexit").unwrap());
    let output = feed(b"", &["verify", &file]);
    let (status, text, _) = outcome(&output);
    assert_eq!((status, text.matches('\t').count(), text.lines().count()), (0, 8, 1));
}

/// Not a panic with a backtrace.
#[test]
fn a_result_that_cannot_be_written_is_said() {
    let full = fs::File::create("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ubpf"));
    command.args(["run", "-"]).stdin(Stdio::piped());
    command.stdout(full).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let program = assemble("r0 = 0\nexit").unwrap();
    child.stdin.take().unwrap().write_all(&program).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    let said = complaint(&output);
    assert!(said.starts_with("ubpf: standard output: ") && said.lines().count() == 1, "{said}");
}

#[test]
fn half_an_object_file_is_told_from_a_program() {
    let output = feed(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", &["run", "-"]);
    assert_eq!(output.status.code(), Some(2));
    let said = complaint(&output);
    assert!(said.contains("no object file"), "{said}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure_to_report() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ubpf"));
    command.args(["disasm", "-"]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let many = assemble("exit").unwrap().repeat(10_000);
    let _ = child.stdin.take().unwrap().write_all(&many);
    let output = child.wait_with_output().unwrap();
    assert_eq!(complaint(&output), "");
}

#[test]
fn disasm_shows_machine_code() {
    let output = ubpf("r0 = 5\nexit", &["disasm", "--native", "-"]);
    assert_eq!(output.status.code(), Some(0));
    let shown = String::from_utf8(output.stdout).unwrap();
    let words: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = [
        &["0:", "r0", "=", "5"][..],
        &["0", "b8", "05", "00", "00", "00", "mov", "eax,", "5"],
        &["1:", "exit"],
        &["5", "c3", "ret"],
        &["2", "instructions,", "6", "bytes,", "3.00", "bytes", "per", "instruction"],
    ];
    assert_eq!(words, expected);
}
