//! Every layout of entry stubs that gcc and clang make, in C programs of their own: a program attached to a function runs
//! at each of its calls, or the stub is refused with the reason; what the function does never changes.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        atomic::{AtomicUsize, Ordering},
        OnceLock,
    },
};

const FUNCTIONS: &[&str] = &["plain", "second", "shortest", "loops", "shared", "also_shared", "parted", "chosen_here"];

fn run(command: &mut Command) -> String {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}: {}\n{said}{text}", output.status);
    format!("{said}{text}")
}

/// The archive of this crate, built once, in a folder of its own.
fn archive() -> &'static Path {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("linux");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["rustc", "--package", "ubpf-platform-linux", "--lib"]);
        cargo.args(["--crate-type", "staticlib"]).env_remove("RUSTFLAGS").env("CARGO_PROFILE_DEV_DEBUG", "0");
        run(cargo.arg("--target-dir").arg(&target));
        target.join("debug/libubpf_platform_linux.a")
    })
}

fn has(compiler: &str) -> bool {
    let found = Command::new(compiler).arg("--version").output().is_ok();
    if !found {
        eprintln!("{compiler} is not installed: its stubs are left out");
    }
    found
}

/// What the program says, compiled with these flags.
fn layouts(compiler: &str, flags: &[&str]) -> String {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("layouts-{number}"));
    let mut compile = Command::new(compiler);
    compile.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror"]).args(flags);
    compile.arg("-I").arg(own.join("../../include"));
    compile.arg(own.join("tests/c/layouts.c")).arg(archive());
    compile.args(["-lpthread", "-ldl", "-lm", "-Wl,-z,nostart-stop-gc"]);
    run(compile.arg("-o").arg(&program));
    // The name of a socket must be short.
    let socket = std::env::temp_dir().join(format!("ubpf-layouts-{}-{number}", std::process::id()));
    let text = run(Command::new(&program).arg(&socket));
    for file in [&program, &socket] {
        // What was made is of no use any more, and whether it goes matters to nobody.
        let _ = std::fs::remove_file(file);
    }
    text
}

fn check(compiler: &str, n: usize, m: usize, more: &[&str]) {
    let option = format!("-fpatchable-function-entry={n},{m}");
    let flags: Vec<&str> = [option.as_str()].into_iter().chain(more.iter().copied()).collect();
    let text = layouts(compiler, &flags);
    let what = format!("{compiler} {flags:?}:\n{text}");
    let says = |line: &str| text.lines().any(|l| l == line);
    let refused = |function: &str, reason: &str| {
        let start = format!("{function} refused: function {function}: this stub cannot be used: {reason}");
        assert!(text.lines().any(|l| l.starts_with(&start)), "{function}, {what}");
    };
    for function in FUNCTIONS {
        if n - m >= 5 {
            assert!(says(&format!("{function} runs")), "{function}, {what}");
        } else if n > 0 {
            refused(function, &format!("{} bytes of nops stand at its entry", n - m));
        }
    }
    for function in ["split", "five"] {
        assert!(says(&format!("{function} runs")), "{function}, {what}");
    }
    refused("four", "4 bytes of nops");
    refused("ahead", "0 bytes of nops");
    assert!(text.contains("none refused: function none has no entry stub"), "{what}");
}

/// N and M as in `-fpatchable-function-entry=N,M`.
const LAYOUTS: &[(usize, usize)] = &[
    (5, 0),
    (7, 2),
    (6, 1),
    (5, 1),
    (8, 3),
    (9, 4),
    (5, 4),
    (10, 3),
    (10, 5),
    (16, 11),
    (5, 5),
    (8, 0),
    (9, 0),
    (10, 0),
    (16, 0),
    (300, 290),
    (3, 0),
    (1, 1),
];

#[test]
fn every_n_and_m_of_gcc_runs_or_says_why_not() {
    for &(n, m) in LAYOUTS {
        check("gcc", n, m, &["-O2"]);
    }
}

#[test]
fn every_n_and_m_of_clang_runs_or_says_why_not() {
    if has("clang") {
        for &(n, m) in LAYOUTS {
            check("clang", n, m, &["-O2"]);
        }
    }
}

#[test]
fn whatever_else_moves_an_entry() {
    let more: &[&[&str]] = &[
        &["-O2", "-fcf-protection=full"],
        &["-O0"],
        &["-Os", "-falign-functions=1"],
        &["-O2", "-no-pie", "-fno-pie"],
        &["-O2", "-ffunction-sections"],
        &["-O2", "-flto"],
        &["-O1", "-fstack-protector-all", "-fno-omit-frame-pointer"],
    ];
    for compiler in ["gcc", "clang"].into_iter().filter(|c| has(c)) {
        for more in more.iter().filter(|more| compiler == "gcc" || !more.contains(&"-flto")) {
            check(compiler, 5, 0, more);
            check(compiler, 8, 3, more);
        }
    }
}
