//! The tool against a real shell behind a Unix socket.

#[path = "../../lib-ushell-rs/tests/common/mod.rs"]
mod common;

use common::Fake;
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    thread,
    time::Duration,
};
use ushell_rs::{Config, Shell};

/// A folder of its own with a socket, and a shell behind it.
struct Target {
    folder: PathBuf,
    fake: Fake,
}

impl Target {
    fn new(name: &str, serve: fn(Fake, UnixStream)) -> Self {
        let folder = std::env::temp_dir().join(format!("ushell-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let listener = UnixListener::bind(folder.join("socket")).unwrap();
        let fake = Fake::new();
        let served = fake.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(served.clone(), stream.unwrap());
            }
        });
        Self { folder, fake }
    }

    fn ushell(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ushell"));
        command.arg(self.folder.join("socket")).args(args);
        command.stdin(Stdio::null()).output().unwrap()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A shell with small pages, so that answers come in pieces.
fn serve(fake: Fake, mut stream: UnixStream) {
    let mut shell = Shell::new(fake, Config::default());
    shell.connected();
    let (mut input, mut output) = ([0; 777], [0; 33]);
    loop {
        let count = match stream.read(&mut input) {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        let mut rest = &input[..count];
        while !rest.is_empty() || shell.has_output() {
            rest = &rest[shell.feed(rest)..];
            let count = shell.drain(&mut output);
            if stream.write_all(&output[..count]).is_err() {
                return;
            }
        }
        if shell.wants_close() {
            return;
        }
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn commands_in_order() {
    let target = Target::new("order", serve);
    let attach = [
        "-c",
        "bpf_attach myfun count.bin",
        "-c",
        "bpf_list",
        "-c",
        "cat 'no newline.txt'",
    ];
    let output = target.ushell(&attach);
    let expected = "Program was attached successfully.\nmyfun:\n - count.bin\nno newline";
    assert_eq!(text(&output.stdout), expected);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn failures_show_in_the_status() {
    let target = Target::new("failures", serve);
    let output = target.ushell(&["-x", "-c", "cat nothing", "-c", "version"]);
    let expected = "> cat nothing\nnothing: no such file\n> version\nushell-rs 0.1.0\n";
    assert_eq!(text(&output.stdout), expected);
    assert_eq!(output.status.code(), Some(1));
    let output = target.ushell(&["-e", "-c", "cat nothing", "-c", "version"]);
    assert_eq!(text(&output.stdout), "nothing: no such file\n");
    let output = target.ushell(&["-c", "quit", "-c", "cat nothing"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn uploads() {
    let target = Target::new("uploads", serve);
    let contents: Vec<u8> = (0..100_000u32).map(|n| ((n * 31) >> 3) as u8).collect();
    let file = target.folder.join("a b.bin");
    fs::write(&file, &contents).unwrap();
    let file = file.to_str().unwrap();
    let output = target.ushell(&["--put", file, "--put", &format!("{file}=c"), "-c", "ls"]);
    assert!(text(&output.stdout).starts_with("a b.bin: 100000 bytes written.\nc: 100000 bytes"));
    assert_eq!(output.status.code(), Some(0));
    let state = target.fake.0.lock().unwrap();
    assert!(state.files["a b.bin"] == contents && state.files["c"] == contents);
}

#[test]
fn an_upload_that_is_refused() {
    let target = Target::new("refused", serve);
    let file = target.folder.join("large");
    fs::write(&file, vec![b'\n'; 2 * 1024 * 1024]).unwrap();
    let output = target.ushell(&["--put", file.to_str().unwrap(), "-c", "version"]);
    let expected = "file too large (limit 1048576 bytes); nothing was written\nushell-rs 0.1.0\n";
    assert_eq!(text(&output.stdout), expected);
    assert_eq!(output.status.code(), Some(1));
    let output = target.ushell(&["--put", "/nowhere/nothing"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_target_that_vanishes() {
    let target = Target::new("vanishes", |_, mut stream| {
        let _ = stream.read(&mut [0; 5]);
    });
    let output = target.ushell(&["-c", "version"]);
    assert_eq!(
        text(&output.stderr),
        "ushell: the unikernel closed the connection\n"
    );
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_target_that_is_silent() {
    let target = Target::new(
        "silent",
        |_, mut stream| while stream.read(&mut [0; 99]).unwrap() > 0 {},
    );
    let output = target.ushell(&["--timeout", "0.2", "-c", "version"]);
    assert_eq!(text(&output.stderr), "ushell: no answer for 0.2 s\n");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn no_target() {
    let output = Command::new(env!("CARGO_BIN_EXE_ushell"))
        .arg("/nowhere/socket")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let output = Command::new(env!("CARGO_BIN_EXE_ushell")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// Pressed while a command runs: neither the tool ends nor whatever it was started with.
#[test]
fn control_c_at_a_terminal_does_not_end_the_conversation() {
    /// 1: the command has come; 2: it may be answered.
    static STEP: AtomicU8 = AtomicU8::new(0);
    fn wait_for(step: u8) {
        let mut waits = 0..2_000;
        while STEP.load(Ordering::SeqCst) != step && waits.next().is_some() {
            thread::sleep(Duration::from_millis(5));
        }
    }
    let target = Target::new("terminal", |fake, stream| {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut back = (far.try_clone().unwrap(), stream.try_clone().unwrap());
        thread::spawn(move || serve(fake, near));
        thread::spawn(move || std::io::copy(&mut back.0, &mut back.1));
        let (mut stream, mut page) = (stream, [0; 999]);
        while let Ok(count @ 1..) = stream.read(&mut page) {
            if page[..count].windows(6).any(|part| part == b"status") {
                STEP.store(1, Ordering::SeqCst);
                wait_for(2);
            }
            far.write_all(&page[..count]).unwrap();
        }
    });
    let tool = format!(
        "{} {}",
        env!("CARGO_BIN_EXE_ushell"),
        target.folder.join("socket").display()
    );
    let mut script = Command::new("script");
    script.args(["-qfec", &tool, "/dev/null"]);
    script.env("HOME", &target.folder).env("TERM", "xterm");
    script.stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = script.spawn() else {
        println!("script is not installed: there is no terminal to be had");
        return;
    };
    let mut keys = child.stdin.take().unwrap();
    keys.write_all(b"status\r").unwrap();
    wait_for(1);
    keys.write_all(b"\x03").unwrap();
    thread::sleep(Duration::from_millis(200));
    STEP.store(2, Ordering::SeqCst);
    // Keys that are typed ahead may get lost.
    while child.try_wait().unwrap().is_none() {
        let _ = keys.write_all(b"quit\r");
        thread::sleep(Duration::from_millis(200));
    }
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("platform: fake"), "{shown}");
    assert_eq!(output.status.code(), Some(0));
}
