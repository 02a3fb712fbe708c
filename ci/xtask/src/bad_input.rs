//! Bad input and the shell's whole life against the demo in a Linux process: in every case the application goes on, the
//! shell answers the next client, and what is refused changes nothing.

use crate::{
    demo::{Demo, STUBS},
    noise::garbage,
    target, Result,
};
use std::{
    io::Write,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};
use ubpf_client::text::{put, TextClient};

const BODY: &str = "body of function myfun";
const REPORT: &str = "uBPF error:";

/// All cases.
pub fn run(root: &Path) -> Result<()> {
    let stubs = STUBS.first().ok_or("no kind of entry stub")?;
    let demo = Demo::start(root, stubs, 5)?;
    let stage = CaseStage { demo: &demo, root, stubs: stubs.name };
    let cases: [(&str, Case); 9] = [
        ("programs", programs),
        ("names", names),
        ("lines", lines),
        ("clients that vanish", vanishing),
        ("a script", script),
        ("every command explains itself", help),
        ("symbols", symbols),
        ("programs that fail", failing),
        ("limits and run times", limits),
    ];
    for (name, case) in cases {
        case(&stage).map_err(|error| format!("bad input on Linux: {name}: {error}"))?;
        stage.goes_on().map_err(|error| format!("bad input on Linux: after {name}: {error}"))?;
        println!("bad input on Linux: {name} ok");
    }
    Ok(())
}

type Case = fn(&CaseStage<'_>) -> Result<()>;

struct CaseStage<'a> {
    demo: &'a Demo,
    root: &'a Path,
    stubs: &'a str,
}

impl CaseStage<'_> {
    fn client(&self) -> Result<TextClient> {
        TextClient::at_prompt(&self.demo.target().socket)
    }

    fn console(&self) -> String {
        std::fs::read_to_string(self.demo.target().console).unwrap_or_default()
    }

    fn count(&self, words: &str) -> usize {
        self.console().matches(words).count()
    }

    /// Two more lines of the application, and a shell that answers.
    fn goes_on(&self) -> Result<()> {
        let before = self.count(BODY);
        let begin = Instant::now();
        while self.count(BODY) < before + 2 {
            if begin.elapsed() > Duration::from_secs(20) {
                return Err("the application stands still".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.client()?.expect("version", "ushell-rs")
    }
}

/// Uploaded, run and attached: refused with a reason, and nothing is attached.
fn programs(stage: &CaseStage<'_>) -> Result<()> {
    const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
    let mut client = stage.client()?;
    let mut refused: Vec<(String, Vec<u8>)> = vec![
        ("empty".into(), Vec::new()),
        ("a byte".into(), vec![0x95]),
        ("odd-sized".into(), [&EXIT[..], b"abc"].concat()),
        ("no program".into(), b"#!/bin/sh\necho hello\n".to_vec()),
        ("unknown opcode".into(), vec![0xff, 0, 0, 0, 0, 0, 0, 0]),
        ("unknown helper".into(), [&[0x85, 0, 0, 0, 0xe7, 3, 0, 0], &EXIT[..]].concat()),
        ("without an end".into(), vec![0xb7, 0, 0, 0, 0, 0, 0, 0]),
        ("1 MiB of bytes".into(), garbage(1 << 20, 1)),
    ];
    for seed in 2..40 {
        let size = 8 * (seed as usize % 7 + 1);
        refused.push((format!("bytes {seed}"), garbage(size, seed)));
    }
    for (name, bytes) in &refused {
        client.put("bad.bin", bytes)?;
        for command in ["bpf_exec bad.bin", "bpf_attach myfun bad.bin"] {
            let wanted = "Failed to load code: ";
            client.expect(command, wanted).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    client.put("large.bin", &EXIT.repeat((1 << 20) / EXIT.len()))?;
    let answer = client.command("bpf_exec large.bin")?;
    let clear = ["The program returned: 0", "Failed to load code: "];
    if !clear.iter().any(|words| answer.starts_with(words)) {
        return Err(format!("1 MiB of exits: {answer:?}").into());
    }
    let nothing = client.command("bpf_list")?;
    if !nothing.is_empty() {
        return Err(format!("something was attached: {nothing:?}").into());
    }
    client.command("rm bad.bin")?;
    client.command("rm large.bin").map(drop)
}

/// Unknown functions, files and commands; things done twice or undone too early.
fn names(stage: &CaseStage<'_>) -> Result<()> {
    let mut client = stage.client()?;
    for (line, words) in [
        ("bpf_attach nothing count.bin", "no traceable function `nothing`"),
        ("bpf_attach myfum count.bin", "did you mean `myfun`?"),
        ("bpf_attach ubpf_linux_drain count.bin", "has no entry stub"),
        ("bpf_attach myfun nothing.bin", "nothing.bin: no such file"),
        ("bpf_exec nothing.bin", "nothing.bin: no such file"),
        ("cat ../../../etc/passwd", "no such file"),
        ("load nothing", "nothing: no such file"),
        ("bpf_lisst", "did you mean `bpf_list`?"),
        ("period -1", "MS: a number"),
        ("period", "5 ms"),
        ("bpf_detach myfun", "nothing is attached to myfun"),
        ("bpf_detach myfun count.bin", "count.bin is not attached to myfun"),
        ("bpf_attach myfun count.bin", "Program was attached successfully."),
        ("bpf_attach myfun count.bin", "already"),
        ("bpf_list myfun", "myfun:\n - count.bin\n"),
        ("bpf_detach myfun count.bin", "Program was detached successfully."),
        ("bpf_detach myfun count.bin", "count.bin is not attached to myfun"),
        ("bpf_list myfun", "myfun:\n"),
    ] {
        client.expect(line, words)?;
    }
    Ok(())
}

/// Too long, not text, broken off in an escape sequence.
fn lines(stage: &CaseStage<'_>) -> Result<()> {
    let mut client = stage.client()?;
    client.expect(&"x".repeat(10_000), "line too long")?;
    client.expect("\x1b[12;", "control characters")?;
    client.expect("ver\0sion", "control characters")?;
    client.stream.write_all(b"ver\xffsion\n")?;
    let answer = client.answer()?;
    if !answer.contains("not UTF-8") {
        return Err(format!("bytes that are no text: {answer:?}").into());
    }
    client.expect("cat 'open", "is not closed")?;
    client.expect("version", "ushell-rs")?;
    // One client at a time.
    drop(client);
    for seed in 1..=8 {
        let mut client = stage.client()?;
        let mut reader = client.stream.try_clone()?;
        let sink = thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        client.stream.write_all(&garbage(64 << 10, seed))?;
        client.stream.shutdown(std::net::Shutdown::Both)?;
        // How the reader ended says nothing.
        let _ = sink.join();
        stage.goes_on()?;
    }
    Ok(())
}

/// In the middle of an upload, of a command's output, of a line; and many that only come and go.
fn vanishing(stage: &CaseStage<'_>) -> Result<()> {
    let old = stage.client()?.command("ls -l")?;
    let upload = put("count.bin", &garbage(20_000, 3));
    for end in [5, 30, 100, 10_000, upload.len() - 1] {
        let mut client = stage.client()?;
        client.stream.write_all(upload.get(..end).unwrap_or(&[]))?;
        drop(client);
        let new = stage.client()?.command("ls -l")?;
        if new != old {
            return Err(format!("after {end} bytes of an upload `ls -l` shows {new:?}").into());
        }
    }
    let large = garbage(1 << 20, 5);
    stage.client()?.put("large", &large)?;
    for pause in [0, 1, 10, 50] {
        let mut client = stage.client()?;
        client.stream.write_all(b"cat large\nhelp\n")?;
        thread::sleep(Duration::from_millis(pause));
        drop(client);
        stage.goes_on()?;
    }
    stage.client()?.command("rm large")?;
    for _ in 0..200 {
        drop(TextClient::connect(&stage.demo.target().socket)?);
    }
    let mut client = stage.client()?;
    client.stream.write_all(b"bpf_attach myfun count.b")?;
    drop(client);
    match stage.client()?.command("bpf_list")?.as_str() {
        "" => Ok(()),
        list => Err(format!("half a line was run: {list:?}").into()),
    }
}

/// All commands at once, then the end of input, as a pipe into socat does: every answer comes, and nothing but answers.
fn script(stage: &CaseStage<'_>) -> Result<()> {
    let mut client = TextClient::connect(&stage.demo.target().socket)?;
    client
        .stream
        .write_all(b"bpf_map_put 0x7 8 9\nbpf_map_get 7 0x8\r\nbpf_map_del 7 8\nbpf_map_get 7 8\nperiod 5\n")?;
    client.stream.shutdown(std::net::Shutdown::Write)?;
    let said = client.rest();
    let wanted = "> > 9\n> > no entry for keys 0x7 0x8\n> 5 ms\n> ";
    match said == wanted {
        true => Ok(()),
        false => Err(format!("{said:?}, expected {wanted:?}").into()),
    }
}

/// Those of the reference and that of the application among them.
fn help(stage: &CaseStage<'_>) -> Result<()> {
    let mut client = stage.client()?;
    let list = client.command("help")?;
    let names = list.lines().filter(|line| !line.starts_with(' '));
    let names: Vec<&str> = names.filter_map(|l| l.split_whitespace().next()).collect();
    for name in &names {
        client.expect(&format!("help {name}"), &format!("Usage: {name}"))?;
    }
    let reference = "help ls cat load kill bpf_exec bpf_attach bpf_list bpf_detach bpf_map_get bpf_map_put \
                     bpf_map_del bpf_get_addr bpf_get_ret_addr bpf_probe_read bpf_time_get_ns quit put rm status \
                     version stats period";
    match reference.split_whitespace().find(|name| !names.contains(name)) {
        None => Ok(()),
        Some(name) => Err(format!("`help` does not show {name}").into()),
    }
}

/// Those of this image, with what else `nm` writes, are taken; those of another are not, and the old ones stay.
fn symbols(stage: &CaseStage<'_>) -> Result<()> {
    let own = target::folder(stage.root, "demo").join(stage.stubs).join("app-demo");
    // This program itself, also when its file has been replaced since by a newer one.
    let other = format!("/proc/{}/exe", std::process::id()).into();
    let mut client = stage.client()?;
    for (file, words) in [(own, "symbols loaded."), (other, "of another image")] {
        let nm = Command::new("nm").arg(&file).output()?;
        let text = [&b"\nodd line\n                 U undefined\n"[..], &nm.stdout].concat();
        // What of a large one is left out does not matter.
        let text = text.get(..text.len().min(8 << 20)).unwrap_or(&[]);
        client.put("symbols", text)?;
        client.expect("load symbols", words)?;
        client.expect("bpf_get_addr myfun", "0x")?;
    }
    client.expect("bpf_attach myfun noop.bin", "attached successfully")?;
    client.expect("bpf_detach myfun", "detached successfully")?;
    client.command("rm symbols").map(drop)
}

/// Each run is counted, few are reported, and the program beside it runs on.
fn failing(stage: &CaseStage<'_>) -> Result<()> {
    let before = stage.count(REPORT);
    let mut client = stage.client()?;
    client.expect("bpf_attach myfun oob.bin", "attached successfully")?;
    client.expect("bpf_attach myfun noop.bin", "attached successfully")?;
    thread::sleep(Duration::from_secs(1));
    let list = client.command("bpf_list -v myfun")?;
    client.expect("bpf_detach myfun", "detached successfully")?;
    let after = |line: &str, word: &str| -> Option<u64> {
        let rest = line.split_once(word)?.1;
        rest.split([',', ')']).next()?.trim().parse().ok()
    };
    let line = |name: &str| list.lines().find(|line| line.contains(name)).unwrap_or("");
    let (runs, failures) = (after(line("oob"), "runs"), after(line("oob"), "failures"));
    let beside = after(line("noop"), "runs");
    let reports = stage.count(REPORT) - before;
    let bounded = (1..20).contains(&reports) && runs > Some(reports as u64);
    if runs != failures || runs < Some(20) || beside < Some(20) || !bounded {
        return Err(format!("{reports} reports; {list:?}").into());
    }
    Ok(())
}

/// `--hits`, `--for`, `stats on`.
fn limits(stage: &CaseStage<'_>) -> Result<()> {
    let mut client = stage.client()?;
    client.expect("bpf_attach myfun notify.bin --hits 3", "attached successfully")?;
    client.expect("bpf_attach myfun noop.bin --for 1", "attached successfully")?;
    client.command("stats on")?;
    let before = Instant::now();
    let mut timed = false;
    while !client.command("bpf_list")?.is_empty() {
        timed |= client.command("bpf_list -v")?.contains(" ns each, way ");
        if before.elapsed() > Duration::from_secs(20) {
            return Err("programs with limits stay attached".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    client.command("stats off")?;
    let notices = stage.count("Notify: myfun");
    match (notices, timed) {
        (3, true) => Ok(()),
        _ => Err(format!("{notices} notices of 3; run times shown: {timed}").into()),
    }
}
