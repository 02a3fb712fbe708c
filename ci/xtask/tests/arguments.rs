//! The command line of `cargo xtask`.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    process::{Command, Output, Stdio},
};

fn xtask(args: &[&OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(args).output().expect("xtask starts")
}

#[test]
fn help_and_version_are_no_mistakes_and_others_end_with_64() {
    for (args, words) in [
        (&["--help"][..], "usage: cargo xtask COMMAND"),
        (&["help"], "Exit status: 0 done"),
        (&["demo", "--help"], "usage: cargo xtask COMMAND"),
        (&["--version"], "xtask "),
    ] {
        let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        let output = xtask(&args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains(words), "{args:?}: {text}");
        assert!(output.stderr.is_empty(), "{args:?}");
    }
    for args in [&[][..], &[OsStr::new("fly")], &[OsStr::from_bytes(b"\xff")], &["samples", "x"].map(OsStr::new)] {
        assert_eq!(xtask(args).status.code(), Some(64), "{args:?}");
    }
    let full = std::fs::File::create("/dev/full").expect("/dev/full");
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    assert_eq!(command.arg("fly").stderr(Stdio::from(full)).status().expect("xtask starts").code(), Some(64));
}
