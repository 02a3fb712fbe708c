//! The tool against a real shell behind a Unix socket.

#[path = "../../lib-ushell-rs/tests/common/mod.rs"]
mod common;

use common::Fake;
use nix::{
    poll::{poll, PollFd, PollFlags, PollTimeout},
    pty::{openpty, OpenptyResult},
    sys::{
        signal::{kill, Signal},
        termios::tcgetattr,
    },
    unistd::Pid,
};
use std::{
    ffi::OsStr,
    fs,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        atomic::{AtomicU8, Ordering},
        mpsc, Arc,
    },
    thread,
    time::{Duration, Instant},
};
use ubpf_client::{machine::Client, ClientError};
use ubpf_rs::{maps::Map, object::Object};
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
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ushell"));
        command.arg(self.folder.join("socket")).args(args);
        command
    }

    /// Runs a script given on standard input, which is a file.
    fn script(&self, script: &[u8], args: &[&str]) -> Output {
        let path = self.folder.join("script");
        fs::write(&path, script).unwrap();
        let input = fs::File::open(path).unwrap();
        self.command(args).stdin(input).output().unwrap()
    }

    /// The tool at a terminal.
    fn terminal(&self) -> Terminal {
        let OpenptyResult { master, slave } = openpty(None, None).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let mut command = self.command(&[]);
        command.stdin(end()).stdout(end()).stderr(end());
        command.env("HOME", &self.folder).env("TERM", "xterm");
        let child = command.spawn().unwrap();
        Terminal { keys: fs::File::from(master), screen: slave, child, shown: String::new() }
    }
}

/// A tool at a terminal.
struct Terminal {
    keys: fs::File,
    screen: OwnedFd,
    child: Child,
    shown: String,
}

impl Terminal {
    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until so many of these words were shown.
    fn wait_for(&mut self, words: &str, times: usize) {
        let begin = Instant::now();
        while self.shown.matches(words).count() < times {
            assert!(begin.elapsed() < Duration::from_secs(20), "{words}: {}", self.shown);
            let mut fds = [PollFd::new(self.keys.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::from(100u8)).unwrap() > 0 {
                let mut page = [0; 999];
                let count = self.keys.read(&mut page).unwrap();
                self.shown.push_str(&String::from_utf8_lossy(&page[..count]));
            }
        }
    }

    fn end(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    let attach = ["-c", "bpf_attach myfun count.bin", "-c", "bpf_list", "-c", "cat 'no newline.txt'"];
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
    let output = target.ushell(&["-c", "quit"]);
    assert_eq!(output.status.code(), Some(0));
    let output = target.ushell(&["-c", "cat 'hello.txt"]);
    assert_eq!(text(&output.stdout), "quote ' at column 5 is not closed\n");
    assert_eq!(output.status.code(), Some(1));
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
    for file in ["/nowhere/nothing", "/", "/dev/zero=zeros"] {
        let output = target.ushell(&["--put", file]);
        assert!(matches!(output.status.code(), Some(1 | 64)), "{file}: {}", text(&output.stderr));
    }
}

#[test]
fn a_target_that_vanishes() {
    let target = Target::new("vanishes", |_, mut stream| {
        let _ = stream.read(&mut [0; 5]);
    });
    let output = target.ushell(&["-c", "version"]);
    assert_eq!(text(&output.stderr), "ushell: the unikernel or process has closed the connection, or has ended\n");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_target_that_is_silent() {
    let target = Target::new("silent", |_, mut stream| while stream.read(&mut [0; 99]).unwrap() > 0 {});
    let output = target.ushell(&["--timeout", "0.2", "-c", "version"]);
    let said = text(&output.stderr);
    assert!(said.starts_with("ushell: no answer for 0.2 s: ") && said.contains("name=ushell"), "{said}");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn no_target() {
    let output = Command::new(env!("CARGO_BIN_EXE_ushell")).arg("/nowhere/socket").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let output = Command::new(env!("CARGO_BIN_EXE_ushell")).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    // The socket of a process that has ended stays behind.
    let left = Target::new("left-behind", serve).folder.join("left");
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    drop(UnixListener::bind(&left).unwrap());
    let output = Command::new(env!("CARGO_BIN_EXE_ushell")).arg(&left).args(["-c", "version"]).output().unwrap();
    let said = format!("ushell: {}: nobody listens there: who opened this socket has ended\n", left.display());
    assert_eq!((text(&output.stderr), output.status.code()), (&*said, Some(3)));
    fs::remove_dir_all(left.parent().unwrap()).unwrap();
    for other in ["/", "/dev/null", env!("CARGO_BIN_EXE_ushell")] {
        let output = Command::new(env!("CARGO_BIN_EXE_ushell")).arg(other).args(["-c", "version"]).output().unwrap();
        assert_eq!(text(&output.stderr), format!("ushell: {other}: is no socket\n"));
        assert_eq!(output.status.code(), Some(3));
    }
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
        thread::spawn(move || io::copy(&mut back.0, &mut back.1));
        let (mut stream, mut page) = (stream, [0; 999]);
        while let Ok(count @ 1..) = stream.read(&mut page) {
            if page[..count].windows(6).any(|part| part == b"status") {
                STEP.store(1, Ordering::SeqCst);
                wait_for(2);
            }
            far.write_all(&page[..count]).unwrap();
        }
    });
    let mut terminal = target.terminal();
    terminal.wait_for("> ", 1);
    terminal.press("status\r");
    wait_for(1);
    terminal.press("\x03");
    thread::sleep(Duration::from_millis(200));
    STEP.store(2, Ordering::SeqCst);
    terminal.wait_for("platform: fake", 1);
    terminal.press("quit\r");
    assert_eq!(terminal.end().code(), Some(0), "{}", terminal.shown);
}

/// As terminals without and with bracketed paste give it; the third line is finished by a key.
#[test]
fn three_pasted_lines_are_three_commands() {
    let target = Target::new("paste", serve);
    for paste in [
        "cat hello.txt\rversion\rcat 'no newline.txt'\r",
        "\x1b[200~cat hello.txt\nversion\r\ncat 'no newline.txt'\x1b[201~\r",
    ] {
        let mut terminal = target.terminal();
        terminal.wait_for("> ", 1);
        terminal.press(paste);
        for answer in ["hello\r\n", "ushell-rs 0.1.0\r\n", "no newline\r\n"] {
            terminal.wait_for(answer, 1);
        }
        terminal.press("quit\r");
        assert_eq!(terminal.end().code(), Some(0), "{}", terminal.shown);
    }
}

/// What the shell does not know is completed, too: commands of this tool, its tools with their options, and files of this machine.
#[test]
fn the_tab_key_knows_tools_and_files_of_this_machine() {
    let target = Target::new("tab", serve);
    fs::write(target.folder.join("own program.bin"), "contents").unwrap();
    let mut terminal = target.terminal();
    terminal.wait_for("> ", 1);
    terminal.press(&format!("put {}/own\t\r", target.folder.display()));
    terminal.wait_for("own program.bin: 8 bytes written.", 1);
    terminal.press("funcl\t--dur\t\x15");
    terminal.wait_for("funclatency --duration ", 1);
    terminal.press("help funcc\t\r");
    terminal.wait_for("Usage: funccount [OPTIONS] PATTERN...", 1);
    terminal.press("quit\r");
    assert_eq!(terminal.end().code(), Some(0), "{}", terminal.shown);
    assert_eq!(target.fake.0.lock().unwrap().files["own program.bin"], b"contents");
}

/// What looks as if it had been done is told of where it was for nothing.
#[test]
fn what_a_newcomer_stumbles_over_is_said() {
    let target = Target::new("newcomer", serve);
    let bare = target.ushell(&["status"]);
    assert!(text(&bare.stderr).ends_with("ushell SOCKET -c 'status'\n"), "{}", text(&bare.stderr));
    assert_eq!(bare.status.code(), Some(64));
    let other = target.ushell(&["--bogus"]);
    assert!(!text(&other.stderr).contains("-c '"), "{}", text(&other.stderr));
    let file = target.folder.join("program.o");
    for contents in [&b"no ELF"[..], b""] {
        fs::write(&file, contents).unwrap();
        let sent = target.ushell(&["--put", file.to_str().unwrap()]);
        assert!(text(&sent.stderr).contains("is no object of a compiler"), "{}", text(&sent.stderr));
        assert_eq!(sent.status.code(), Some(1));
        assert!(!target.fake.0.lock().unwrap().files.contains_key("program.pkg"));
    }
    // Whoever says what it is to be called means it.
    assert!(target.ushell(&["--put", &format!("{}=any.bin", file.display())]).status.success());
    target.fake.0.lock().unwrap().files.insert("x.pkg".into(), Vec::new());
    for (lines, goes) in [
        (&["-c", "prog attach x.pkg"][..], true),
        (&["-c", "prog attach x.pkg --keep"], false),
        (&["-c", "prog attach x.pkg", "-c", "version"], false),
        (&["-c", "prog attach none.pkg"], false),
    ] {
        let output = target.ushell(lines);
        assert_eq!(text(&output.stderr).contains("--keep leaves it attached"), goes, "{lines:?} {output:?}");
    }
}

#[test]
fn help_tells_of_what_this_tool_adds() {
    let target = Target::new("help", serve);
    let output = target.ushell(&["-c", "help", "-c", "help put", "-c", "help hist", "-c", "help trace"]);
    let said = text(&output.stdout);
    for line in [
        "put FILE [NAME]              upload a file of this machine\n",
        "\nhist MAP [UNIT]              draw counts by powers of two\n",
        "\nfunccount                    Counts the calls of functions\n",
        "\nUsage: put FILE [NAME]\n",
        "\nUsage: hist MAP [UNIT]\n",
        "\nUntil ^C, or for so many RECORDS",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("CRC32\n  "), "{said}");
}

#[test]
fn a_second_client_is_told_who_holds_the_port() {
    let target = Target::new("second", serve);
    let mut first = target.terminal();
    first.wait_for("> ", 1);
    let output = target.ushell(&["--timeout", "0.3", "-c", "version"]);
    let expected = format!("and process {} (ushell) holds it\n", first.child.id());
    let said = text(&output.stderr);
    assert!(said.ends_with(&expected), "{said}");
    assert!(said.lines().next().is_some_and(|line| line.ends_with("holds it; waiting up to 0.3 s for it")), "{said}");
    assert_eq!(output.status.code(), Some(3));
    // It waits for its turn.
    let second = target.command(&["-c", "version"]).stdout(Stdio::piped()).spawn().unwrap();
    first.press("quit\r");
    assert_eq!(first.end().code(), Some(0));
    assert_eq!(text(&second.wait_with_output().unwrap().stdout), "ushell-rs 0.1.0\n");
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let target = Target::new("signal", serve);
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let mut terminal = target.terminal();
        let before = tcgetattr(&terminal.screen).unwrap().local_flags;
        terminal.wait_for("> ", 1);
        assert_ne!(tcgetattr(&terminal.screen).unwrap().local_flags, before);
        kill(Pid::from_raw(terminal.child.id() as i32), signal).unwrap();
        assert_eq!(terminal.end().code(), Some(128 + signal as i32));
        assert_eq!(tcgetattr(&terminal.screen).unwrap().local_flags, before);
    }
}

#[test]
fn lines_of_one_argument_are_commands() {
    let target = Target::new("lines", serve);
    let output = target.ushell(&["-c", "cat hello.txt\n# comment\r\nversion\n", "-c", "version"]);
    assert_eq!(text(&output.stdout), "hello\nushell-rs 0.1.0\nushell-rs 0.1.0\n");
    assert_eq!(output.status.code(), Some(0));
}

/// Comments and a byte-order mark are left out; what is not run is said, with an exit status.
#[test]
fn scripts() {
    let target = Target::new("scripts", serve);
    let output = target.script(b"\xef\xbb\xbfversion\r\n\n  # comment\ncat hello.txt", &[]);
    assert_eq!(text(&output.stdout), "ushell-rs 0.1.0\nhello\n");
    assert_eq!(output.status.code(), Some(0));

    let output = target.script(b"version\ncat \xff\nversion\n", &[]);
    assert_eq!(text(&output.stdout), "ushell-rs 0.1.0\nushell-rs 0.1.0\n");
    assert_eq!(text(&output.stderr), "ushell: line 2 is not UTF-8: not run\n");
    assert_eq!(output.status.code(), Some(1));

    let output = target.script(b"version\nquit\n# nothing\nrm hello.txt\n", &[]);
    let expected = "ushell: after `quit` nothing is run: line 4: rm hello.txt\n";
    assert_eq!(text(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(1));
    let output = target.ushell(&["-c", "quit\nrm hello.txt"]);
    assert_eq!(output.status.code(), Some(1));

    let folder = fs::File::open(&target.folder).unwrap();
    let output = target.command(&[]).stdin(folder).output().unwrap();
    assert!(text(&output.stderr).starts_with("ushell: standard input: Is a directory"));
    assert_eq!(output.status.code(), Some(66));

    let output = target.script(b"rm hello.txt\n", &["-c", "version"]);
    assert!(text(&output.stderr).contains("standard input is a script, which is not read"));
    assert_eq!(output.status.code(), Some(64));
    assert!(target.fake.0.lock().unwrap().files.contains_key("hello.txt"));
}

/// Names that the shell does not take: an error, and the contents are never commands.
#[test]
fn names_of_uploads() {
    let target = Target::new("names", serve);
    let file = target.folder.join("file");
    fs::write(&file, b"rm hello.txt\n".repeat(1000)).unwrap();
    let file = file.to_str().unwrap();
    for name in ["n".repeat(1100), "a\nb".into(), "a\x1bb".into(), String::new()] {
        let output = target.ushell(&["--put", &format!("{file}={name}")]);
        assert_eq!(output.status.code(), Some(64), "{}", text(&output.stderr));
        let output = target.script(format!("put {file} '{name}'\n").as_bytes(), &[]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    }
    assert!(target.fake.0.lock().unwrap().files.contains_key("hello.txt"));
}

#[test]
fn arguments_that_are_not_utf8() {
    let bad = OsStr::from_bytes(b"\xff");
    for args in [vec![bad], vec!["s".as_ref(), "-c".as_ref(), bad], vec!["s".as_ref(), bad, bad]] {
        let output = Command::new(env!("CARGO_BIN_EXE_ushell")).args(&args).output().unwrap();
        // A socket may be called so.
        let expected = if args.len() == 1 { 3 } else { 64 };
        assert_eq!(output.status.code(), Some(expected), "{args:?}");
    }
    let target = Target::new("not-utf8", serve);
    let file = target.folder.join(bad);
    fs::write(&file, b"x").unwrap();
    let mut named = file.into_os_string();
    let output = target.command(&["--put"]).arg(&named).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    named.push("=x");
    let output = target.command(&["--put"]).arg(&named).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

/// Nobody reads, nobody listens, no room: no panic, and the right exit status.
#[test]
fn pipes_that_are_closed_or_full() {
    let target = Target::new("pipes", serve);
    let with = |args: &[&str], redirect: &str| {
        let tool = [env!("CARGO_BIN_EXE_ushell"), target.folder.join("socket").to_str().unwrap()].map(String::from);
        let line = format!("\"$@\" {redirect}");
        let mut sh = Command::new("bash");
        sh.args(["-o", "pipefail", "-c", &line, "bash"]).args(tool).args(args);
        sh.stdin(Stdio::null()).output().unwrap()
    };
    let all = "help\n".repeat(100);
    let output = with(&["-c", &all], "| head -n 1");
    assert_eq!((text(&output.stderr), output.status.code()), ("", Some(141)));
    assert_eq!(with(&["-c", "help"], ">/dev/full").status.code(), Some(74));
    for redirect in ["2>/dev/full", "2>&-"] {
        assert_eq!(with(&["--what"], redirect).status.code(), Some(64), "{redirect}");
        assert_eq!(with(&["--put", "/nowhere"], redirect).status.code(), Some(1), "{redirect}");
        let output = with(&["-c", "version"], redirect);
        assert_eq!((text(&output.stdout), output.status.code()), ("ushell-rs 0.1.0\n", Some(0)));
    }
}

#[test]
fn help_version_completions_and_the_manual() {
    let run = |arg: &[&str]| Command::new(env!("CARGO_BIN_EXE_ushell")).args(arg).output().unwrap();
    for (args, words) in [
        (&["--help"][..], "Exit status: 0 all commands did well"),
        (&["--version"], "ushell 0.1.0"),
        (&["--completions", "bash"], "--timeout"),
        (&["--manual"], "Stop at the first command that fails"),
        (&["--manual", "kraft"], "Give the machine a port, start it, and talk to it"),
        (&["--help"], "funccount"),
        (&["--completions", "bash"], "funclatency"),
        (&["--manual", "argdist"], "arg2:int >= 100"),
        (&["funccount", "--help"], "Usage: ushell SOCKET funccount [OPTIONS] PATTERN"),
        (&["help", "slower"], "MICROSECONDS"),
        (&["kraft", "--help"], "graph"),
        (&["kraft", "--help"], "Exit status: 0 all commands did well"),
        (&["help", "kraft"], "Usage: ushell kraft"),
        (&["kraft", "--version"], "ushell-kraft 0.1.0"),
    ] {
        let output = run(args);
        assert!(text(&output.stdout).contains(words), "{args:?}: {}", text(&output.stdout));
        assert_eq!((text(&output.stderr), output.status.code()), ("", Some(0)));
    }
}

/// A machine of kraft: a `kraft` that tells of it, and QEMU's control socket. What QEMU is asked is kept.
struct FakeKraft {
    target: Target,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
}

impl FakeKraft {
    fn new(name: &str, status: &'static str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let target = Target::new(name, serve);
        let machine = target.folder.join("the-id");
        fs::create_dir_all(&machine).unwrap();
        let script = r#"#!/bin/sh
case $1 in
ps) echo '[{"name":"mine","status":"created","machine_id":"the-id"},{"name":"e\u001b[2Jvil","status":"exited","machine_id":"no"}]' ;;
start) [ "$2 $3" = '--detach mine' ] || exit 1 ;;
esac
"#;
        let kraft = target.folder.join("kraft");
        fs::write(&kraft, script).unwrap();
        fs::set_permissions(&kraft, fs::Permissions::from_mode(0o755)).unwrap();
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let control = UnixListener::bind(machine.join("qemu_control.sock")).unwrap();
        let (kept, socket) = (asked.clone(), target.folder.join("socket"));
        thread::spawn(move || {
            for stream in control.incoming() {
                qmp(stream.unwrap(), status, &kept);
                // The device's socket is there from now on.
                let _ = std::os::unix::fs::symlink(&socket, machine.join("ushell.sock"));
            }
        });
        Self { target, asked }
    }

    fn ushell(&self, args: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        Command::new(env!("CARGO_BIN_EXE_ushell"))
            .args(args)
            .stdin(Stdio::null())
            .env("PATH", format!("{}:{path}", self.target.folder.display()))
            .env("KRAFTKIT_RUNTIME_DIR", &self.target.folder)
            .output()
            .unwrap()
    }
}

/// Answers as QEMU does; an event comes before an answer.
fn qmp(stream: UnixStream, status: &str, asked: &std::sync::Mutex<Vec<String>>) {
    use std::io::BufRead;
    let mut lines = io::BufReader::new(stream.try_clone().unwrap()).lines();
    let mut stream = stream;
    stream.write_all(b"{\"QMP\": {}}\n").unwrap();
    while let Some(Ok(line)) = lines.next() {
        let answer = match line.contains("query-status") {
            true => {
                format!("{{\"event\": \"RESUME\"}}\n{{\"return\": {{\"status\": \"{status}\"}}}}\n")
            }
            false => "{\"return\": {}}\n".into(),
        };
        asked.lock().unwrap().push(line);
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// A machine of kraft gets its port before it starts, and is talked to by its name.
#[test]
fn a_machine_of_kraft_gets_a_port() {
    let kraft = FakeKraft::new("kraft", "prelaunch");
    let listed = kraft.ushell(&["kraft"]);
    assert!(text(&listed.stdout).contains("no port"), "{listed:?}");
    assert!(text(&listed.stdout).contains("e\\u{1b}[2Jvil"), "{listed:?}");

    let without = kraft.ushell(&["kraft", "mine", "-c", "version"]);
    assert_eq!(without.status.code(), Some(3));
    assert!(text(&without.stderr).contains("`ushell kraft mine --start`"), "{without:?}");

    let started = kraft.ushell(&["kraft", "mine", "--start", "-c", "version", "--wait", "5"]);
    assert!(started.status.success(), "{started:?}");
    assert!(text(&started.stdout).contains("ushell-rs"), "{started:?}");
    let asked = kraft.asked.lock().unwrap().join("\n");
    for words in ["chardev-add", "virtio-serial-pci", "virtserialport", "the-id/ushell.sock"] {
        assert!(asked.contains(words), "{words} of {asked}");
    }
    let again = kraft.ushell(&["kraft", "mine", "-c", "version"]);
    assert!(again.status.success(), "{again:?}");
}

/// What cannot be done is said, with what to do.
#[test]
fn a_machine_of_kraft_that_cannot_get_a_port() {
    let running = FakeKraft::new("kraft-runs", "running");
    let refused = running.ushell(&["kraft", "mine", "--port"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("--no-start"), "{refused:?}");

    let unknown = running.ushell(&["kraft", "other"]);
    assert_eq!(unknown.status.code(), Some(3));
    let said = text(&unknown.stderr);
    assert!(said.contains("no machine other") && said.contains("mine"), "{said}");
}

/// A compiler's object is sent as its package, unless it is wanted as it is.
#[test]
fn an_object_is_packed_on_its_way() {
    let target = Target::new("pack", serve);
    let source = target.folder.join("counter.c");
    fs::write(&source, "long count = 5; long prog(void *m) { return ++count; }").unwrap();
    let object = target.folder.join("counter.o");
    let clang =
        Command::new("clang").args(["-target", "bpf", "-O2", "-g", "-c"]).arg(&source).arg("-o").arg(&object).status();
    if clang.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return;
    }
    let path = object.to_str().unwrap();
    let as_object = format!("{path}=counter.o");
    let output = target.ushell(&["--put", path, "--put", &format!("{path}=other"), "--put", &as_object]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let files = &target.fake.0.lock().unwrap().files;
    for (name, said) in [("counter.pkg", "counter"), ("other", "other")] {
        let package = Object::parse(&files[name]).expect("a package");
        assert_eq!((package.name, package.programs.len()), (said, 1));
    }
    assert_eq!(files["counter.o"], fs::read(&object).unwrap());
}

#[test]
fn an_object_that_cannot_be_packed_is_not_sent() {
    let target = Target::new("nopack", serve);
    let object = target.folder.join("cut.o");
    fs::write(&object, b"\x7fELF").unwrap();
    let output = target.ushell(&["--put", object.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cut.o: no object file"), "{}", text(&output.stderr));
    assert!(!target.fake.0.lock().unwrap().files.contains_key("cut.pkg"));
}

/// A shell with the maps of an object of which the types are known: those of a source in `tests/objects`, if there is a compiler.
fn typed_target(name: &str, source: &str) -> Option<(Target, Vec<u8>)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let object = std::env::temp_dir().join(format!("ushell-{}-{name}.o", std::process::id()));
    let mut clang = Command::new("clang");
    clang.args(["-target", "bpf", "-g", "-O2", "-c"]).arg("-I").arg(root.join("include"));
    if !clang
        .arg(root.join(format!("tests/objects/{source}.c")))
        .arg("-o")
        .arg(&object)
        .status()
        .is_ok_and(|s| s.success())
    {
        return None;
    }
    let options = ubpf_pack::Options { name: source.into(), ..Default::default() };
    let package = ubpf_pack::pack(&fs::read(&object).unwrap(), &options).unwrap();
    fs::remove_file(object).unwrap();
    let object = Object::parse(&package).unwrap();
    let types = Arc::new(object.types.to_vec());
    let target = Target::new(name, serve);
    let mut state = target.fake.0.lock().unwrap();
    for slot in 0..object.map_count() {
        let def = object.definition(slot).unwrap();
        let full = format!("{source}.{}", def.name.as_str());
        let mut map = Map::new(def).unwrap();
        let contents = object.contents(slot);
        if !contents.is_empty() {
            map.fill(0, contents).unwrap();
        }
        state.maps.insert(full.clone(), Arc::new(map));
        state.types.insert(full, types.clone());
    }
    drop(state);
    let types = types.to_vec();
    Some((target, types))
}

#[test]
fn maps_are_shown_and_set_by_their_types() {
    let Some((target, _)) = typed_target("typed", "types") else { return };
    let said = |line: &str| {
        let output = target.ushell(&["-c", line]);
        assert!(output.stderr.is_empty(), "{line}: {}", text(&output.stderr));
        (output.status.code(), text(&output.stdout).to_string())
    };
    let good = |line: &str, expected: &str| assert_eq!(said(line), (Some(0), expected.into()), "{line}");
    good(r#"map update types.seen {pid = 7, name = "a b"} {.count = 3, .state = RUNNING, .places = [{1, -2}]}"#, "");
    let value = "{count = 3, state = RUNNING, active = false, level = 0, low = 0, high = 0, signed_part = 0, \
                 places = [{x = 1, y = -2}, {x = 0, y = 0}], number = 0, bytes = [0, 0, 0, 0], where = 0x0, next = 0x0}";
    good("map dump types.seen", &format!("{{pid = 7, name = \"a b\"}}: {value}\n"));
    // What was shown is taken.
    good(&format!("map update types.seen {{pid = 8}}: {value}"), "");
    good(r#"map lookup types.seen {8}"#, &format!("{value}\n"));
    good(r#"map delete types.seen {8, ""}"#, "");
    assert_eq!(said("map lookup types.seen {8}"), (Some(1), "the map does not have this key\n".into()));
    good("map update types.levels 1 -5", "");
    good("map dump types.levels", "0: 0\n1: -5\n");
    good("map update types.levels 0 hex:0100000000000000", "");
    good("map lookup types.levels 0x0", "1\n");
    // A variable is set, and the others stay.
    good("map update types..data 0 {last = {.y = 5}}", "");
    good("map dump types..data", "0: {last = {x = 1, y = 5}}\n");
    good("map dump types..bss", "0: {runs = 0}\n");
    // As everybody else has it.
    good("map dump counters.counts", "0: 0\n1: 0\n2: 0\n");
    // What a map holds is called by its name.
    good("map update outer 1 counters.counts", "");
    good("map dump outer", "1: counters.counts\n");
    good("map delete outer 1", "");
    let refused = |line: &str, expected: &str| {
        let output = target.ushell(&["-c", line]);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), expected), "{line}");
    };
    refused("map update types.levels 1 x", "ushell: VALUE: a number of 64 bits with a sign is expected at `x`\n");
    refused("map update types.levels 1 5x", "ushell: VALUE: a number of 64 bits with a sign is expected at `5x`\n");
    refused(
        "map update types..data 5 {last = {1}}",
        "ushell: types..data: what it holds under this key cannot be read\n",
    );
    refused("map delete types.seen 8", "ushell: KEY: `{` is expected at `8`\n");
    let (code, many) = said("map update types.levels 1 5 6");
    assert!(code == Some(1) && many.starts_with("`6` is one argument too many"), "{many}");
}

#[test]
fn values_of_each_cpu_are_shown_by_their_types_and_added_up() {
    let Some((target, _)) = typed_target("percpu", "percpu") else { return };
    let put = |map: &str, lane: u32, key: &[u8], value: &[u8]| {
        let map = target.fake.0.lock().unwrap().maps[map].clone();
        map.update_in(lane, key.into(), value.into(), 0, &mut 0).unwrap();
    };
    let counts = |calls: u64, numbers: u64| [calls.to_le_bytes(), numbers.to_le_bytes()].concat();
    put("percpu.counts", 3, &[1, 0, 0, 0], &counts(5, 2));
    put("percpu.counts", 7, &[1, 0, 0, 0], &counts(1, 0));
    for (lane, number) in [(0, 3u64), (2, 4), (15, 5)] {
        put("percpu.by_number", lane, &[9, 0, 0, 0, 0, 0, 0, 0], &number.to_le_bytes());
    }
    let said = |options: &[&str], line: &str| {
        let output = target.ushell(&[options, &["-c", line]].concat());
        assert!(output.stderr.is_empty(), "{line}: {}", text(&output.stderr));
        text(&output.stdout).to_string()
    };
    let second = "{calls = 5, numbers = 2} | {calls = 1, numbers = 0}";
    assert_eq!(said(&[], "map dump percpu.counts"), format!("0: {{calls = 0, numbers = 0}}\n1: {second}\n"));
    assert_eq!(said(&[], "map lookup percpu.counts 1"), format!("{second}\n"));
    assert_eq!(said(&[], "map dump percpu.by_number"), "9: 12 = 3 + 4 + 5\n");
    assert_eq!(said(&[], "map lookup percpu.by_number 9"), "12 = 3 + 4 + 5\n");
    let json = |line: &str| serde_json::from_str::<serde_json::Value>(&said(&["--json"], line)).unwrap();
    let [none, first, other] = [(0, 0), (5, 2), (1, 0)].map(|(c, n)| serde_json::json!({ "calls": c, "numbers": n }));
    let entries = serde_json::json!([
        { "key": 0, "value": none, "values": [none] },
        { "key": 1, "value": null, "values": [first, other] },
    ]);
    assert_eq!(json("map dump percpu.counts"), entries);
    let numbers = serde_json::json!({ "value": 12, "values": [3, 4, 5] });
    assert_eq!(json("map lookup percpu.by_number 9"), numbers);
}

#[test]
fn commands_speak_json() {
    let Some((target, _)) = typed_target("json", "types") else { return };
    target.ushell(&["-c", r#"map update types.seen {7, "x"} {.count = 18446744073709551615, .active = true}"#]);
    let said = |line: &str| {
        let output = target.ushell(&["--json", "-c", line]);
        assert!(output.stderr.is_empty(), "{line}: {}", text(&output.stderr));
        let stdout = text(&output.stdout);
        assert_eq!(stdout.lines().count(), 1, "{line}: {stdout}");
        (output.status.code(), serde_json::from_str::<serde_json::Value>(stdout).unwrap())
    };
    let entry = serde_json::json!([{
        "key": { "pid": 7, "name": "x" },
        "value": {
            "count": u64::MAX, "state": "IDLE", "active": true, "level": 0, "low": 0, "high": 0, "signed_part": 0,
            "places": [{ "x": 0, "y": 0 }, { "x": 0, "y": 0 }], "number": 0, "bytes": [0, 0, 0, 0], "where": 0, "next": 0,
        },
    }]);
    assert_eq!(said("map dump types.seen"), (Some(0), entry));
    assert_eq!(said("map lookup types.levels 0"), (Some(0), serde_json::json!(0)));
    assert_eq!(said("map dump shared"), (Some(0), serde_json::json!([])));
    target.ushell(&["-c", "map update outer 2 counters.counts"]);
    let held = serde_json::json!([{ "key": 2, "value": "counters.counts" }]);
    assert_eq!(said("map dump outer"), (Some(0), held));
    assert_eq!(said("map lookup outer 2"), (Some(0), serde_json::json!("counters.counts")));
    let (code, list) = said("map list");
    assert_eq!((code, &list[0]["name"], &list[0]["max_entries"]), (Some(0), &"counters.counts".into(), &3.into()));
    assert_eq!(said("status"), (Some(0), serde_json::json!({ "platform": "fake" })));
    assert_eq!(said("version").1["output"][0], concat!("ushell-rs ", env!("CARGO_PKG_VERSION")));
    let none = "there is no map `none` (`map list` shows those there are)";
    assert_eq!(said("map dump none"), (Some(1), serde_json::json!({ "error": [none] })));
    assert_eq!(said("map update types.levels 1 x").0, Some(1));
    assert!(said("map update types.levels 1 x").1["error"][0].as_str().unwrap().starts_with("VALUE: "));
}

/// Types that an image was given by somebody else.
#[test]
fn types_that_lie_are_told_of_and_numbers_shown() {
    let Some((target, types)) = typed_target("lying", "types") else { return };
    let set = |map: &str, types: Vec<u8>| drop(target.fake.0.lock().unwrap().types.insert(map.into(), Arc::new(types)));
    let said = |line: &str| {
        let output = target.ushell(&["-c", line]);
        (output.status.code(), text(&output.stdout).to_string(), text(&output.stderr).to_string())
    };
    // Of another size: `x.levels` has 4 bytes of key and 12 of value.
    set("shared", types.clone());
    let shared = target.fake.0.lock().unwrap().maps["shared"].clone();
    let (key, value) = ([1, 0, 0, 0], [2; 12]);
    shared.update(key[..].into(), value[..].into(), 0, &mut 0).unwrap();
    target.fake.0.lock().unwrap().maps.insert("x.levels".into(), shared);
    set("x.levels", types.clone());
    let (code, stdout, stderr) = said("map dump x.levels");
    assert_eq!((code, stdout.as_str()), (Some(0), "1: hex:020202020202020202020202\n"));
    assert_eq!(stderr, "ushell: some of x.levels is shown as numbers: its types have 8 bytes of 12\n");
    for (wrong, reason) in [
        (b"\x1b[2J".to_vec(), "types: byte 0x4 is beyond their end"),
        (types[..100].to_vec(), "names of types lie outside of their section"),
        (vec![7; 20_000], "there are more than 16384 bytes of types"),
    ] {
        set("types.levels", wrong);
        let (code, stdout, stderr) = said("map dump types.levels");
        assert_eq!((code, stdout.as_str()), (Some(0), "0: 0\n1: 0\n"), "{reason}");
        assert!(stderr.starts_with("ushell: the types of types.levels are not used: "), "{stderr}");
        assert!(stderr.contains(reason) || reason.contains("0x4"), "{reason}: {stderr}");
    }
}

#[test]
fn records_counts_and_instructions_are_shown_by_their_types() {
    let Some((target, _)) = typed_target("records", "types") else { return };
    let ring = target.fake.0.lock().unwrap().maps["types.events"].clone();
    let record = |pid: u8, text: &[u8]| {
        let mut record = [0; 20];
        record[0] = pid;
        record[4..4 + text.len()].copy_from_slice(text);
        ring.write_record(record[..].into()).unwrap();
    };
    let said = |args: &[&str]| {
        let output = target.ushell(args);
        assert!(output.stderr.is_empty(), "{args:?}: {}", text(&output.stderr));
        (output.status.code(), text(&output.stdout).to_string())
    };
    record(9, b"a record");
    record(8, b"\x1b[2J");
    let shown = "{pid = 9, text = \"a record\"}\n{pid = 8, text = \"\\x1b[2J\"}\n";
    assert_eq!(said(&["-c", "trace types.events -n 2"]), (Some(0), shown.into()));
    record(7, b"x");
    let json = "{\"pid\":7,\"text\":\"x\"}\n";
    assert_eq!(said(&["--json", "-c", "trace types.events -n 1"]), (Some(0), json.into()));
    let none = "types.seen is no ring: its kind is hash\n";
    assert_eq!(said(&["-c", "trace types.seen"]), (Some(1), none.into()));

    target.ushell(&["-c", "map update counters.counts 1 3"]);
    let picture = "       : count\n\
                   2 -> 3 : 3        |****************************************|\n";
    assert_eq!(said(&["-c", "hist counters.counts"]), (Some(0), picture.into()));
    assert_eq!(said(&["-c", "hist none"]).0, Some(1));
    let listing = "counters:first kprobe/myfun 12 instructions, 77 bytes of machine code, 2 accesses proved, 1 checked, licence GPL\n       0: r1 = map_index(2) ll\n       2: exit\n";
    let (code, listed) = said(&["-c", "prog dump counters -p first"]);
    assert!(code == Some(0) && listed.starts_with(listing), "{listed}");
    assert!(said(&["-c", "help"]).1.contains("hist MAP [UNIT]"));
    assert!(said(&["-c", "help trace"]).1.contains("trace MAP [-n RECORDS]"));
}

/// Who traces and is killed leaves the shell, and the ring, to the next one.
#[test]
fn a_client_that_is_killed_while_it_traces() {
    let Some((target, _)) = typed_target("killed", "types") else { return };
    let ring = target.fake.0.lock().unwrap().maps["types.events"].clone();
    for _ in 0..3 {
        ring.write_record([7; 20][..].into()).unwrap();
        let mut command = target.command(&["-c", "trace types.events"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 5];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        assert_eq!(&first, b"{pid ");
        child.kill().unwrap();
        child.wait().unwrap();
        let output = target.ushell(&["-c", "map show types.events"]);
        assert!(
            text(&output.stdout).starts_with("types.events ringbuf key 0 value 0 entries 0 of 4096, flags 0x0"),
            "{}",
            text(&output.stdout)
        );
    }
}

/// A command whose output nobody reads any more has ended when the client says so, and the next one runs: a tool takes off what it attached.
#[test]
fn output_that_nobody_reads_ends_the_command() {
    let Some((target, _)) = typed_target("unread", "types") else { return };
    target.fake.0.lock().unwrap().maps["types.events"].write_record([7; 20][..].into()).unwrap();
    let (done, end) = mpsc::channel();
    let socket = target.folder.join("socket");
    thread::spawn(move || {
        let mut client = Client::connect(&socket, Duration::from_secs(10), Duration::ZERO).unwrap();
        let traced = client.run("trace types.events", &mut |_| Err(io::ErrorKind::BrokenPipe.into()));
        assert!(matches!(traced, Err(ClientError::Output(_))), "{traced:?}");
        done.send(client.answer("map show types.events").unwrap()).unwrap();
    });
    let (good, shown) = end.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(good && shown[0].starts_with("types.events ringbuf"), "{shown:?}");
}

/// What was read of a file of another image names and unwinds nothing: a tool says so before it brings anything.
#[test]
fn a_debug_file_is_of_the_image_that_runs() {
    let target = Target::new("debug-file", serve);
    let (source, file) = (target.folder.join("image.c"), target.folder.join("image.dbg"));
    fs::write(&source, "int myfun(int number) { return number; }\nint main(void) { return myfun(0); }\n").unwrap();
    let gcc = Command::new("gcc").args(["-g", "-O0"]).arg(&source).arg("-o").arg(&file).status().unwrap();
    assert!(gcc.success());
    let id = ubpf_embed::id::of_file(&fs::read(&file).unwrap()).unwrap().to_string();
    let other = "00112233445566778899aabbccddeeff".to_string();
    let path = file.to_str().unwrap();
    let said = |image: Option<&String>, args: &[&str]| {
        target.fake.0.lock().unwrap().image = image.cloned();
        let output = target.ushell(&[args, &[path, "--duration", "0.1"]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        (text(&output.stderr).to_string(), target.fake.0.lock().unwrap().files.len())
    };
    for args in [
        &["slower", "0", "myfun", "--debug"][..],
        &["syscalls", "--debug"],
        &["argdist", "myfun", "number", "--debug"],
        &["profile", "--dwarf"],
    ] {
        let files = target.fake.0.lock().unwrap().files.len();
        let (refused, after) = said(Some(&other), args);
        assert!(
            refused.contains(&format!("{path}: this is of image {id}, and image {other} runs: give ")),
            "{refused}"
        );
        assert_eq!((refused.lines().count(), after), (1, files), "{refused}");
        // The shell of this test attaches nothing; what it says is no matter here.
        assert!(!said(Some(&id), args).0.contains(&*id), "{args:?}");
        let warned = said(None, args).0;
        assert!(warned.starts_with("warning: --") && warned.contains(" has no image id"), "{warned}");
    }
    // A file that was made of the image, and has no names any more.
    let strip = Command::new("strip").args(["--strip-all", "--keep-section=.debug*"]).arg(&file).status().unwrap();
    assert!(strip.success());
    let (refused, _) = said(Some(&id), &["profile", "--dwarf"]);
    assert!(refused.contains(&format!("whether it is of image {id}, which runs (")), "{refused}");
}

/// The image has names as compilers of C++ and Rust have made them; a person sees and types those of the source.
#[test]
fn functions_go_by_the_names_of_the_source() {
    let target = Target::new("source", serve);
    {
        let mut state = target.fake.0.lock().unwrap();
        for name in ["_ZN2ns1fEi", "_ZN2ns1fEl", "_ZN2ns5Class3getEv", "_ZN4shop5price17h0123456789abcdefE", "_Zebra"] {
            state.functions.push(name.into());
        }
    }
    let said = |args: &[&str]| {
        let output = target.ushell(args);
        (output.status.code(), [text(&output.stdout), text(&output.stderr)].concat())
    };
    let good = |args: &[&str], lines: &str| assert_eq!(said(args), (Some(0), lines.into()), "{args:?}");
    good(&["-c", "functions ns::*"], "ns::f(int)\nns::f(long)\nns::Class::get()\n");
    good(&["-c", "functions price"], "shop::price\n");
    good(&["-c", "functions _Z*a"], "_Zebra\n");
    good(&["--no-demangle", "-c", "functions *price*"], "_ZN4shop5price17h0123456789abcdefE\n");
    good(&["--no-demangle", "-c", "functions shop::price"], "");
    good(
        &["--json", "-c", "functions ns::f"],
        "[{\"name\":\"ns::f(int)\",\"symbol\":\"_ZN2ns1fEi\"},{\"name\":\"ns::f(long)\",\"symbol\":\"_ZN2ns1fEl\"}]\n",
    );
    good(&["-c", "bpf_attach 'ns::f(int)' count.bin"], "Program was attached successfully.\n");
    good(&["-c", "bpf_attach --yes shop::price count.bin"], "Program was attached successfully.\n");
    good(&["-c", "bpf_list"], "ns::f(int):\n - count.bin\nshop::price:\n - count.bin\n");
    good(&["-c", "bpf_list ns::f(int)"], "ns::f(int):\n - count.bin\n");
    assert!(target.fake.0.lock().unwrap().sites.contains_key("_ZN2ns1fEi"));
    let (code, json) = said(&["--json", "-c", "bpf_list"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let first = &json["functions"][0];
    assert_eq!((code, &first["function"], &first["symbol"]), (Some(0), &"ns::f(int)".into(), &"_ZN2ns1fEi".into()));
    let (code, several) = said(&["-c", "bench ns::f count.bin"]);
    assert_eq!((code, several.as_str()), (Some(1), "ushell: ns::f is several functions: ns::f(int); ns::f(long)\n"));
    good(&["-c", "bpf_detach ns::f(int)"], "Program was detached successfully.\n");
    good(&["-c", "bpf_list"], "shop::price:\n - count.bin\n");
    let (code, unknown) = said(&["-c", "bpf_attach ns::none count.bin"]);
    assert!(code == Some(1) && unknown.contains("ns::none"), "{unknown}");
}
