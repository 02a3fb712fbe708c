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
        &["run", "-", "--abi", "windows"],
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
        &["disasm", "-", "--abi", "uio"],
        &["aot", "-", "-o", "one", "-o", "two", "--name", "x"],
        &["flat", "-", "-o", "one", "-o", "two"],
        &["aot", "-", "-o", "one", "--name", "a b"],
        &["aot", "-", "-o", "one", "--name", "a\x1bb"],
        &["aot", "-", "-o", "one", "--name", ""],
        &["image-id"],
        &["image-id", "-", "--expect", "12"],
        &["symbols"],
        &["--manual", "nothing"],
        &["pack", "-"],
        &["pack", "-", "-o", "one", "--policy", "checked"],
        &["pack", "-", "-o", "one", "no assignment"],
    ] {
        let output = ubpf("r0 = 0\nexit", args);
        assert_eq!(outcome(&output), (64, "", true), "{args:?}");
        assert!(complaint(&output).contains("try '--help'"), "{args:?}");
    }
}

const COMMANDS: [&str; 8] = ["run", "verify", "aot", "flat", "pack", "disasm", "image-id", "symbols"];

/// Files and arguments need not be text; what is shown of them drives no terminal.
#[test]
fn arguments_that_are_not_utf8() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let folder = Folder::new("bytes");
    let name = OsStr::from_bytes(b"\xff\x1b[2J");
    let path = folder.0.join(name);
    fs::write(&path, assemble("r0 = *(u8 *)(r1 + 0)\nexit").unwrap()).unwrap();
    let run = |args: &[&OsStr]| Command::new(env!("CARGO_BIN_EXE_ubpf")).args(args).output().unwrap();
    let output = run(&["run".as_ref(), path.as_ref(), OsStr::from_bytes(b"\xfe")]);
    assert_eq!(outcome(&output), (0, "0xfe\n", false));
    let object = path.with_extension("o");
    let output = run(&["aot".as_ref(), path.as_ref(), "-o".as_ref(), object.as_ref()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(complaint(&output).contains("is called \u{fffd}_[2J in the image"), "{}", complaint(&output));
    for args in [
        &["verify".as_ref(), path.as_ref()][..],
        &["run".as_ref(), folder.0.join("no").join(name).as_ref()],
        &["run".as_ref(), path.as_ref(), "--mem".as_ref(), name],
        &["run".as_ref(), path.as_ref(), "--abi".as_ref(), name],
        &[name],
    ] {
        let output = run(args);
        assert!(output.status.code().is_some_and(|code| code != 101), "{args:?}");
        for text in [&output.stdout, &output.stderr] {
            assert!(!text.contains(&0x1b), "{args:?}: {}", String::from_utf8_lossy(text));
        }
    }
}

/// Nobody reads, nobody listens, no room: no panic, and the right exit status.
#[test]
fn pipes_that_are_closed_or_full() {
    let folder = Folder::new("pipes");
    let noisy = folder.file("noisy", &assemble("r1 = 0x1234\ncall 3\nr0 = r7\nexit").unwrap());
    let many =
        folder.file("many", &[&assemble("r0 = 0").unwrap().repeat(20_000)[..], &assemble("exit").unwrap()].concat());
    let with = |args: &[&str], redirect: &str| {
        let line = format!("\"$@\" {redirect}");
        let mut sh = Command::new("bash");
        sh.args(["-o", "pipefail", "-c", &line, "bash", env!("CARGO_BIN_EXE_ubpf")]).args(args);
        sh.stdin(Stdio::null()).output().unwrap()
    };
    let output = with(&["disasm", &many], "| head -n 1");
    assert_eq!((output.status.code(), complaint(&output)), (Some(141), ""));
    for args in [&["--help"][..], &["disasm", &many], &["verify", &many], &["--manual"], &["run", &noisy]] {
        assert_eq!(with(args, ">/dev/full").status.code(), Some(74), "{args:?}");
    }
    for redirect in ["2>/dev/full", "2>&-"] {
        let output = with(&["run", &noisy], redirect);
        assert_eq!(outcome(&output), (0, "0x0\n", false), "{redirect}");
        assert_eq!(with(&["verify", "-v", &noisy], redirect).status.code(), Some(0), "{redirect}");
        for (args, status) in [(&["fly"][..], 64), (&["run", "/nowhere"], 2)] {
            assert_eq!(with(args, redirect).status.code(), Some(status), "{redirect}");
        }
    }
}

/// Another build of an image has another id; a list of symbols says which image it is of.
#[test]
fn images_are_told_apart() {
    let folder = Folder::new("image-id");
    let source = folder.file("image.c", b"int plus(int x) { return x + PLUS; }\nint main(void) { return plus(1); }\n");
    let image = |name: &str, plus: &str| {
        let path = folder.0.join(name).to_str().unwrap().to_string();
        let mut gcc = Command::new("gcc");
        gcc.args(["-no-pie", "-fpatchable-function-entry=5", plus, &source, "-o", &path]);
        assert!(gcc.status().unwrap().success());
        path
    };
    let (first, second) = (image("first", "-DPLUS=1"), image("second", "-DPLUS=2"));
    let id = |path: &str| {
        let output = feed(b"", &["image-id", path]);
        let (status, text, _) = outcome(&output);
        assert_eq!((status, text.len()), (0, 33), "{text}");
        text.trim_end().to_string()
    };
    let own = id(&first);
    assert_eq!(own, id(&image("again", "-DPLUS=1")));
    assert_ne!(own, id(&second));
    assert_eq!(outcome(&feed(b"", &["image-id", &first, "--expect", &own])), (0, "", false));
    let output = feed(b"", &["image-id", &second, "--expect", &own]);
    assert_eq!(outcome(&output), (2, "", true));
    assert!(complaint(&output).contains(&format!("not of {own}")), "{}", complaint(&output));

    let output = feed(b"", &["symbols", &first]);
    let (status, list, _) = outcome(&output);
    assert!(status == 0 && list.starts_with(&format!("# image {own}\n")), "{list}");
    let line = list.lines().find(|line| line.ends_with(" T plus")).unwrap();
    assert!(u64::from_str_radix(&line[..16], 16).unwrap() > 0, "{line}");
    let program = folder.file("program", &assemble("exit").unwrap());
    for command in ["image-id", "symbols"] {
        assert_eq!(feed(b"", &[command, &program]).status.code(), Some(2));
        assert_eq!(feed(b"\x7fELF\x02\x02", &[command, "-"]).status.code(), Some(2));
    }
}

/// A device without an end is refused, not read until memory is full.
#[test]
fn what_has_no_end_is_not_read() {
    for args in [&["run", "/dev/zero"][..], &["flat", "/dev/zero", "-o", "/dev/null"], &["image-id", "/dev/zero"]] {
        let mut limited = Command::new("bash");
        limited.args(["-c", "ulimit -v 4000000; exec \"$@\"", "bash", env!("CARGO_BIN_EXE_ubpf")]).args(args);
        let output = limited.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(complaint(&output).contains("/dev/zero: "), "{}", complaint(&output));
    }
}

/// At a terminal, what takes longer than half a second shows that it goes on; nothing of it stays.
#[test]
fn progress_is_shown_at_a_terminal() {
    use std::io::Read;
    let folder = Folder::new("progress");
    let endless = "r1 = 1\nr2 = 2\ncall 0\nif r0 == 1 goto +1\ngoto -5\nexit";
    let file = folder.file("endless", &assemble(endless).unwrap());
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ubpf"));
    command.args(["run", &file, "--budget", "0x7fffffffffffffff"]).env("TERM", "xterm");
    let mut child = command.stderr(Stdio::from(pty.slave)).stdout(Stdio::null()).spawn().unwrap();
    // The terminal's other end belongs to the tool alone: without it the reading below would not end.
    drop(command);
    let (mut screen, mut shown, mut page) = (fs::File::from(pty.master), String::new(), [0; 999]);
    while !shown.contains("running: 1s") {
        let count = screen.read(&mut page).unwrap();
        shown.push_str(&String::from_utf8_lossy(&page[..count]));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What is read is not written over, whatever it is called; what fails leaves the output as it was.
#[test]
fn an_output_is_replaced_as_a_whole() {
    let folder = Folder::new("output");
    let program = folder.file("program", &assemble("r0 = 1\nexit").unwrap());
    let before = fs::read(&program).unwrap();
    let link = folder.0.join("link");
    std::os::unix::fs::symlink("program", &link).unwrap();
    let hard = folder.0.join("hard");
    fs::hard_link(&program, &hard).unwrap();
    for output in [program.as_ref(), link.as_path(), &hard] {
        let output = output.to_str().unwrap();
        let done = feed(b"", &["aot", &program, "-o", output]);
        assert_eq!(outcome(&done), (64, "", true), "{output}");
        assert!(complaint(&done).contains("the file that is read"), "{}", complaint(&done));
        assert_eq!(fs::read(&program).unwrap(), before);
    }
    let object = folder.file("object", b"as it was");
    let bad = folder.file("bad", &assemble("goto -1").unwrap());
    assert_eq!(feed(b"", &["aot", &bad, "-o", &object]).status.code(), Some(2));
    assert_eq!(fs::read(&object).unwrap(), b"as it was");
    // Whoever reads the old one goes on reading it.
    let mut reader = fs::File::open(&object).unwrap();
    assert_eq!(feed(b"", &["aot", &program, "-o", &object]).status.code(), Some(0));
    assert!(fs::read(&object).unwrap().starts_with(b"\x7fELF"));
    let mut old = String::new();
    std::io::Read::read_to_string(&mut reader, &mut old).unwrap();
    assert_eq!(old, "as it was");
    let left: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 5, "{left:?}");
}

#[test]
fn help_is_no_mistake() {
    for args in [["help"], ["--help"], ["-h"]] {
        let output = feed(b"", &args);
        let (status, text, complains) = outcome(&output);
        assert_eq!((status, complains), (0, false));
        assert!(text.contains("Usage: ubpf") && text.contains("Exit status: 0 done"), "{text}");
    }
    let output = feed(b"", &["--completions", "bash"]);
    let (status, text, _) = outcome(&output);
    assert!(status == 0 && text.contains("--engine") && text.contains("image-id"), "{text}");
    let output = feed(b"", &["--version"]);
    assert_eq!(outcome(&output), (0, "ubpf 0.1.0\n", false));
    for command in COMMANDS {
        for args in [&[command, "--help"][..], &["help", command], &["--manual", command]] {
            let output = feed(b"", args);
            let (status, text, complains) = outcome(&output);
            assert_eq!((status, complains), (0, false), "{args:?}");
            for words in [command, "Exit status: 0 done"] {
                assert!(text.replace('\\', "").contains(words), "{args:?}: {words}\n{text}");
            }
        }
        let output = feed(b"", &[command, "--version"]);
        assert_eq!(outcome(&output), (0, format!("ubpf-{command} 0.1.0\n").as_str(), false));
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
