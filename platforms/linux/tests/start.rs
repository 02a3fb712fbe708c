//! The start in a C program: what it leaves alone, what it says when it fails, and that it can be tried again.

mod common;

use common::{root, text, Folder};
use std::{
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, Output, Stdio},
};

/// What programs do with stdout, with the engine or without.
const STREAMS: &str = r#"
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <ubpf_linux.h>
int main(int argc, char **argv)
{
	if (argc > 1 && ubpf_linux_start("shell"))
		return 1;
	std::cout << "1 cout\n";
	std::printf("2 printf\n");
	std::cout << "3 cout\n";
	std::puts("4 puts");
	std::cout << "fileno " << fileno(stdout) << "\n";
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	FILE *full = freopen("/dev/full", "w", stdout);
	std::fprintf(stderr, "freopen %d\n", full == stdout);
	std::printf("lost\n");
	int code = std::fflush(stdout);
	std::fprintf(stderr, "fflush %d %s ferror %d\n", code, code ? strerror(errno) : "", ferror(stdout) != 0);
	FILE *file = freopen("file", "w", stdout);
	std::printf("to the file\n");
	std::fflush(stdout);
	std::fprintf(stderr, "freopen %d, cat %d\n", file == stdout, std::system("cat file >&2"));
	return 0;
}
"#;

#[test]
fn the_stream_stdout_is_as_without_the_engine() {
    let folder = Folder::new("streams");
    folder.write("streams.cc", STREAMS);
    let program = folder.build(&["streams.cc"], &[]);
    let said = |output: Output| (output.status.code(), text(&output.stdout), text(&output.stderr));
    let plain = said(folder.run(&program, &[]));
    let with = said(folder.run(&program, &["with"]));
    assert_eq!(plain, with);
    assert!(plain.1.contains("1 cout\n2 printf\n3 cout\n4 puts\nfileno 1\n"), "{plain:?}");
    assert!(plain.2.contains("fflush -1 No space left on device ferror 1"), "{plain:?}");
}

/// Who wants order asks for it: reports come before what is printed after them.
const ORDERED: &str = r#"
#include <stdio.h>
#include <ubpf_linux.h>
#include <ubpf_rs.h>
__attribute__((noinline)) void traced(int i)
{
	ubpf_linux_drain();
	printf("body %d\n", i);
}
int main(void)
{
	ubpf_error error;
	ubpf_program notify;
	ubpf_probe probe;
	ubpf_linux_drain();
	if (ubpf_linux_start("shell") || ubpf_load_file("notify.bin", NULL, &notify, &error) ||
	    ubpf_attach("traced", notify, NULL, &probe, &error))
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < 2000; i++)
		traced(i);
	return 0;
}
"#;

#[test]
fn reports_stand_before_what_is_printed_after_a_drain() {
    let folder = Folder::new("ordered");
    folder.write("ordered.c", ORDERED);
    let notify = ubpf_rs::isa::assemble("r1 = *(u64 *)(r1 + 0)\ncall 3\nr0 = 0\nexit");
    folder.write("notify.bin", notify.unwrap());
    let program = folder.build(&["ordered.c"], &["-O2"]);
    let output = folder.run(&program, &[]);
    let expected: String = (0..2000).map(|i| format!("Notify: traced\nbody {i}\n")).collect();
    assert_eq!(text(&output.stderr), "");
    assert!(text(&output.stdout) == expected, "{}", text(&output.stdout));
}

/// Starts twice with the arguments and says the codes.
const TWICE: &str = r#"
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <ubpf_linux.h>
#include <ubpf_rs.h>
#include <unistd.h>
__attribute__((noinline)) int traced(int i)
{
	return i + 1;
}
int main(int argc, char **argv)
{
	ubpf_error error;
	ubpf_program count;
	ubpf_probe probe;
	const char *how = argc > 3 ? argv[3] : "";
	int sum = 0;
	if (!strcmp(how, "deny") && prctl(65 /* PR_SET_MDWE */, 1, 0, 0, 0))
		return 77;
	if (!strcmp(how, "elsewhere") && ((geteuid() && unshare(CLONE_NEWUSER)) || chroot(".")))
		return 77;
	for (int i = 1; i < 3; i++)
		printf("%d\n", ubpf_linux_start(argv[i]));
	if (ubpf_load_file("count.bin", NULL, &count, &error) || ubpf_attach("traced", count, NULL, &probe, &error)) {
		puts(error.text);
		return 1;
	}
	for (int i = 0; i < 100; i++)
		sum += traced(i);
	if (ubpf_detach(probe, &error))
		puts(error.text);
	printf("sum %d\n", sum);
	return 0;
}
"#;

const COUNT: &str = "r6 = *(u64 *)(r1 + 0)\nr1 = r6\nr2 = 1\ncall 0\nr3 = r0\nif r3 != -1 goto +1\nr3 = 0\nr3 += 1\n\
    r1 = r6\nr2 = 1\ncall 1\nr0 = 0\nexit";

fn starter(name: &str) -> (Folder, std::path::PathBuf) {
    let folder = Folder::new(name);
    folder.write("twice.c", TWICE);
    folder.write("count.bin", ubpf_rs::isa::assemble(COUNT).unwrap());
    let program = folder.build(&["twice.c"], &["-O2"]);
    (folder, program)
}

fn check(output: &Output, said: &str, complaint: &str) {
    assert_eq!(text(&output.stdout), said, "{}", text(&output.stderr));
    let error = text(&output.stderr);
    assert!(error.contains(complaint), "{error:?} has no {complaint:?}");
}

#[test]
fn a_failed_start_says_which_step_and_can_be_repeated() {
    let (folder, program) = starter("again");
    let run = |first: &str, second: &str| folder.run(&program, &[first, second]);
    let nowhere = run("no/such/folder/shell", "shell");
    check(&nowhere, "2\n0\nsum 5050\n", "ubpf: listening on no/such/folder/shell: ");
    // The process is gone, its socket is not: in the way of nobody.
    assert!(folder.0.join("shell").exists());
    let twice = run("shell", "other");
    check(&twice, "0\n114\nsum 5050\n", "run already");
}

/// In another root there is no `/proc`.
#[test]
fn without_its_own_file_the_start_says_what_it_could_not_read() {
    let (folder, program) = starter("elsewhere");
    let output = folder.run(&program, &["shell", "shell", "elsewhere"]);
    if output.status.code() == Some(77) {
        return println!("this system lets nobody change the root");
    }
    assert!(text(&output.stdout).starts_with("2\n2\n"), "{output:?}");
    let complaint = "ubpf: reading the symbols of the program from /proc/self/exe: No such file or directory";
    assert_eq!(text(&output.stderr).matches(complaint).count(), 2, "{output:?}");
}

/// What cannot be said ends nobody.
#[test]
fn a_full_or_closed_standard_error_changes_nothing() {
    let (folder, _) = starter("unheard");
    // Too short for a call, which is a remark at the start.
    let program = folder.build(&["twice.c"], &["-O2", "-fpatchable-function-entry=4"]);
    for redirect in ["2>/dev/full", "2>&-", "2>/dev/null"] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {} shell shell {redirect}", program.display())]);
        let output = shell.current_dir(&folder.0).stdin(Stdio::null()).output().unwrap();
        let said = text(&output.stdout);
        assert!(said.starts_with("0\n114\n") && said.contains("4 bytes of nops"), "{redirect}: {output:?}");
        assert_eq!(output.status.code(), Some(1), "{redirect}");
    }
}

#[test]
fn nothing_but_a_dead_socket_is_removed() {
    let (folder, program) = starter("in-the-way");
    folder.write("file", "precious");
    let run = |first: &str| folder.run(&program, &[first, "shell"]);
    check(&run("file"), "17\n0\nsum 5050\n", "file is in the way, and no socket");
    assert_eq!(std::fs::read(folder.0.join("file")).unwrap(), b"precious");
    std::os::unix::fs::symlink("file", folder.0.join("link")).unwrap();
    check(&run("link"), "17\n0\nsum 5050\n", "link is in the way, and no socket");
    let alive = folder.0.join("alive");
    let _listener = UnixListener::bind(&alive).unwrap();
    check(&run("alive"), "98\n0\nsum 5050\n", "somebody listens on alive already");
    assert!(Path::new(&alive).exists());
}

/// No page that was written to may become executable in such a process (Linux 6.3 and newer).
#[test]
fn a_process_that_denies_new_code_pages_is_traced_all_the_same() {
    let (folder, program) = starter("mdwe");
    let output = folder.run(&program, &["shell", "shell", "deny"]);
    if output.status.code() == Some(77) {
        return println!("this kernel does not know PR_SET_MDWE");
    }
    check(&output, "0\n114\nsum 5050\n", "run already");
}

/// Says how many entries the two-key map takes.
const ENTRIES: &str = r#"
#include <stdio.h>
#include <ubpf_linux.h>
#include <ubpf_rs.h>
int main(void)
{
	int n = 0;
	if (ubpf_linux_start("shell"))
		return 1;
	while (n < 100000 && ubpf_map_put(n, 1, 1, NULL) == UBPF_OK)
		n++;
	printf("%d\n", n);
	return 0;
}
"#;

#[test]
fn the_map_has_the_size_that_is_asked_for_or_says_what_is_wrong() {
    let folder = Folder::new("entries");
    folder.write("entries.c", ENTRIES);
    let program = folder.build(&["entries.c"], &[]);
    let run = |entries: &str| {
        let mut command = Command::new(&program);
        let output = command.env("UBPF_MAP_ENTRIES", entries).current_dir(&folder.0).stdin(Stdio::null()).output();
        output.unwrap()
    };
    for entries in ["1", "3", "20000"] {
        check(&run(entries), &format!("{entries}\n"), "");
    }
    for wrong in ["many", "0", "-1", "67108865", ""] {
        check(&run(wrong), "", &format!("UBPF_MAP_ENTRIES={wrong}: a number from 1 to 67108864 is wanted"));
    }
}

/// A template and an inline function that two files have, without optimisation: the linker keeps one copy.
const SHARED: &str = r#"
#pragma once
template<class T> __attribute__((noinline)) T twice(T a) { return a + a; }
__attribute__((noinline)) inline int once() { static int n = 0; return ++n; }
"#;
const SHARED_A: &str = r#"
#include "shared.h"
int a(int x) { return twice(x) + once(); }
"#;
const SHARED_MAIN: &str = r#"
#include <cstdio>
#include <ubpf_linux.h>
#include <ubpf_rs.h>
#include "shared.h"
int a(int);
int main()
{
	ubpf_error error;
	ubpf_program count;
	ubpf_probe probe;
	const char *names[] = { "_Z5twiceIiET_S0_", "_Z4oncev", "_Z1ai" };
	// What the programs know them by: where their stubs end.
	const uint64_t keys[] = { (uint64_t)&twice<int> + 5, (uint64_t)&once + 5, (uint64_t)&a + 5 };
	if (ubpf_linux_start("shell") || ubpf_load_file("count.bin", NULL, &count, &error))
		return 1;
	for (const char *name : names)
		if (ubpf_attach(name, count, NULL, &probe, &error))
			std::puts(error.text);
	std::printf("%d\n", a(1) + twice(2) + once());
	for (int i = 0; i < 3; i++) {
		uint64_t value = 0;
		ubpf_map_get(keys[i], 1, &value, NULL);
		std::printf("%s %d\n", names[i], (int)value);
	}
	return 0;
}
"#;

#[test]
fn functions_that_several_cxx_files_have_are_linked_and_traced() {
    let folder = Folder::new("shared");
    folder.write("shared.h", SHARED);
    folder.write("a.cc", SHARED_A);
    folder.write("main.cc", SHARED_MAIN);
    folder.write("count.bin", ubpf_rs::isa::assemble(COUNT).unwrap());
    let tool = root().join("tools/gcc12/");
    for optimised in ["-O0", "-O2"] {
        let flags = [optimised, "-B", tool.to_str().unwrap()];
        let program = folder.build(&["a.cc", "main.cc"], &flags);
        let output = folder.run(&program, &[]);
        let said = "9\n_Z5twiceIiET_S0_ 2\n_Z4oncev 2\n_Z1ai 1\n";
        assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), (said, ""));
    }
}

/// Works with nothing of the engine in it.
const UNTOUCHED: &str = r#"
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
__attribute__((noinline)) int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
int main(void)
{
	int status = -1;
	pid_t child;
	printf("%d\n", fib(24));
	fflush(stdout);
	child = fork();
	if (!child)
		_exit(fib(10));
	waitpid(child, &status, 0);
	printf("%d %d\n", WEXITSTATUS(status), fib(20));
	return 0;
}
"#;

/// As docs/linux.md says.
#[test]
fn a_program_whose_source_stays_as_it_is_is_traced() {
    let folder = Folder::new("untouched");
    folder.write("program.c", UNTOUCHED);
    folder.write("count.bin", ubpf_rs::isa::assemble(COUNT).unwrap());
    folder.write("noop.bin", ubpf_rs::isa::assemble("r0 = 0\nexit").unwrap());
    let mut compile = Command::new("gcc");
    compile.args(["-O2", "-Wall", "-Werror", "-I"]).arg(root().join("include")).arg("-c");
    compile.arg(root().join("examples/linux/trace.c")).arg("-o").arg("trace.o");
    assert!(compile.current_dir(&folder.0).status().unwrap().success());
    let program = folder.build(&["program.c", "trace.o"], &["-O2"]);
    let run = |settings: &[(&str, &str)]| {
        let mut command = Command::new(&program);
        command.envs(settings.iter().copied()).current_dir(&folder.0).stdin(Stdio::null());
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let plain = run(&[]);
    assert_eq!(plain, (Some(0), "46368\n55 6765\n".into(), String::new()));
    let traced = [("UBPF_SHELL", "."), ("UBPF_ATTACH", "count.bin")];
    assert_eq!(run(&traced), plain);
    let exchanged = run(&[&traced[..], &[("UBPF_EXCHANGE", "noop.bin"), ("UBPF_SAY", "1")]].concat());
    assert_eq!((exchanged.0, &exchanged.1), (plain.0, &plain.1));
    assert!(exchanged.2.contains("trace: 2 of 2 functions attached"), "{}", exchanged.2);
    folder.write("only", "fib\n");
    let one = run(&[&traced[..], &[("UBPF_ONLY", "only"), ("UBPF_SAY", "1")]].concat());
    assert!(one.2.contains("trace: 1 of 1 functions attached"), "{}", one.2);
    let wrong = run(&[("UBPF_SHELL", "."), ("UBPF_ATTACH", "none.bin")]);
    assert_eq!((wrong.0, wrong.2.as_str()), (Some(1), "trace: none.bin: cannot be read\n"));
    let long = run(&[("UBPF_SHELL", &"./".repeat(60))]);
    assert_eq!((long.0, long.2.as_str()), (Some(1), "trace: UBPF_SHELL: the path of a socket has at most 107 bytes\n"));
    folder.write("large.bin", [0; 65536]);
    let large = run(&[("UBPF_SHELL", "."), ("UBPF_ATTACH", "large.bin")]);
    assert_eq!((large.0, large.2.as_str()), (Some(1), "trace: large.bin: too large for this example\n"));
}
