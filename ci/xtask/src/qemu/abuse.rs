//! Bad input: what the image must survive. In every case the application goes on, and wherever there is a port the shell
//! answers.

use super::{
    machine::{archive, Machine, Options, Port},
    sample_files, EXIT_FAULT,
};
use crate::{noise::garbage, Result};
use std::{
    io::{ErrorKind, Read, Write},
    path::Path,
    thread,
    time::Duration,
};
use ubpf_client::text::{put, TextClient};

const BODY: &str = "body of function myfun";

/// Where the image lies and what it is started with.
pub struct Stage<'a> {
    /// The repository.
    pub root: &'a Path,
    /// The image.
    pub image: &'a Path,
}

impl Stage<'_> {
    fn start(&self, options: &Options) -> Result<Machine> {
        Machine::start(self.root, self.image, options)
    }
}

/// All cases.
pub fn run(stage: &Stage<'_>) -> Result<()> {
    devices(stage)?;
    initrds(stage)?;
    port(stage)?;
    memory(stage)?;
    last_words(stage)
}

fn options(period: &str) -> Options {
    Options { command_line: format!("-- {period}"), ..Options::default() }
}

/// Waits for new lines of the application.
fn goes_on(machine: &mut Machine) -> Result<()> {
    let bodies = machine.console().matches(BODY).count();
    machine.wait_until("two more lines of the application", |console| console.matches(BODY).count() >= bodies + 2)
}

fn shell_works(machine: &Machine) -> Result<()> {
    TextClient::synchronised(&machine.socket)?.expect("status", "platform: qemu")
}

fn passed(name: &str) {
    println!("bad input: {name} ok");
}

/// No device, a device without ports, two devices, another port beside the shell's.
fn devices(stage: &Stage<'_>) -> Result<()> {
    let start = |port| stage.start(&Options { port, ..options("20") });
    let mut machine = start(Port::NoDevice)?;
    machine.wait_for("no virtio-serial device: no shell")?;
    goes_on(&mut machine)?;
    let mut machine = start(Port::Bare)?;
    goes_on(&mut machine)?;
    for port in [Port::TwoPorts, Port::FirstDevice, Port::SecondDevice] {
        let mut machine = start(port)?;
        shell_works(&machine)?;
        // Nobody reads the other port: its host is held up, and disturbs nobody.
        let mut other = TextClient::connect(&machine.other_socket())?;
        other.stream.set_nonblocking(true)?;
        flood(&mut other, &garbage(64 << 10, 1));
        shell_works(&machine)?;
        goes_on(&mut machine)?;
    }
    passed("devices and ports");
    Ok(())
}

/// No initrd, and archives that are none, end too early, or lie about sizes.
fn initrds(stage: &Stage<'_>) -> Result<()> {
    let good = archive(&[("first".into(), vec![1; 100]), ("second".into(), vec![2; 5000])]);
    let cut = |at: usize| good.get(..at).map(<[u8]>::to_vec);
    let lying = |field: usize, value: &[u8; 8]| {
        let mut archive = good.clone();
        archive.splice(6 + 8 * field..14 + 8 * field, *value);
        Some(archive)
    };
    const DAMAGED: &str = "not a whole cpio archive";
    let cases: [(&str, Option<Vec<u8>>, &str, &str); 8] = [
        ("missing", None, "no initrd: no files", ""),
        ("random bytes", Some(garbage(8192, 7)), DAMAGED, ""),
        ("one byte", cut(1), DAMAGED, ""),
        ("cut in a header", cut(120 + 100 + 60), DAMAGED, "first\n"),
        ("cut in the contents", cut(2000), DAMAGED, "first\n"),
        ("no trailer", cut(good.len() - 124), DAMAGED, "first\nsecond\n"),
        ("a huge file", lying(6, b"ffffffff"), DAMAGED, ""),
        ("a huge name", lying(11, b"fffffff0"), DAMAGED, ""),
    ];
    for (name, initrd, words, files) in cases {
        let mut machine = stage.start(&Options { initrd, ..options("20") })?;
        machine.wait_for(words)?;
        let listed = TextClient::at_prompt(&machine.socket)?.command("ls")?;
        if listed != files {
            return Err(format!("initrd: {name}: `ls` shows {listed:?}, expected {files:?}").into());
        }
        goes_on(&mut machine)?;
        passed(&format!("initrd, {name}"));
    }
    Ok(())
}

/// Writes until the other side takes no more for a while; how many bytes went. Nothing is read.
fn flood(client: &mut TextClient, bytes: &[u8]) -> usize {
    let (mut sent, mut waits) = (0, 0);
    while let (Some(rest), true) = (bytes.get(sent..).filter(|rest| !rest.is_empty()), waits < 20) {
        match client.stream.write(rest) {
            Ok(count) => (sent, waits) = (sent + count, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                waits += 1;
                thread::sleep(Duration::from_millis(10));
            }
            Err(_) => break,
        }
    }
    sent
}

/// Garbage, floods and readers that do not read, on one machine.
fn port(stage: &Stage<'_>) -> Result<()> {
    let mut machine = stage.start(&Options { initrd: Some(sample_files(stage.root)?), ..options("20") })?;
    for _ in 0..300 {
        drop(TextClient::connect(&machine.socket)?);
    }
    shell_works(&machine)?;
    passed("300 clients that only come and go");
    for seed in 1..=8 {
        let mut client = TextClient::connect(&machine.socket)?;
        let mut reader = client.stream.try_clone()?;
        let sink = thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        client.stream.write_all(&garbage(64 << 10, seed))?;
        client.stream.shutdown(std::net::Shutdown::Both)?;
        // How the reader ended says nothing.
        let _ = sink.join();
        shell_works(&machine)?;
    }
    goes_on(&mut machine)?;
    passed("garbage");
    let lines = ["help\n", "\n", "cat count.bin\n", "bpf_exec count.bin 0 1\n", "\t\t", "\x1b[A\x1b[A\n"];
    for line in lines {
        let mut client = TextClient::connect(&machine.socket)?;
        client.stream.set_nonblocking(true)?;
        flood(&mut client, &line.as_bytes().repeat((256 << 10) / line.len()));
        goes_on(&mut machine)?;
        drop(client);
        shell_works(&machine)?;
    }
    passed("floods by clients that do not read");
    slow_reader(&mut machine)?;
    uploads(&machine)?;
    goes_on(&mut machine)
}

/// A reader that takes one byte after the other gets all of it, in order.
fn slow_reader(machine: &mut Machine) -> Result<()> {
    let whole = TextClient::at_prompt(&machine.socket)?.command("help")?;
    let mut client = TextClient::at_prompt(&machine.socket)?;
    client.stream.write_all(&b"help\n".repeat(100))?;
    let mut text = Vec::new();
    let mut byte = [0];
    while text.len() < 100 * (whole.len() + 2) {
        client.stream.read_exact(&mut byte)?;
        text.extend(byte);
    }
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    if text != format!("{whole}> ").repeat(100) {
        return Err("a slow reader got other text than a fast one".into());
    }
    goes_on(machine)?;
    passed("a slow reader");
    Ok(())
}

/// Uploads that end early, are damaged, or too large.
fn uploads(machine: &Machine) -> Result<()> {
    let contents = garbage(20_000, 3);
    let good = put("file", &contents);
    for cut in [5, 30, 100, 10_000, good.len() - 1] {
        let mut client = TextClient::at_prompt(&machine.socket)?;
        client.stream.write_all(good.get(..cut).unwrap_or(&[]))?;
        drop(client);
        TextClient::at_prompt(&machine.socket)?.expect("cat file", "no such file")?;
    }
    let mut client = TextClient::at_prompt(&machine.socket)?;
    let mut damaged = good.clone();
    if let Some(last) = damaged.last_mut() {
        *last ^= 1;
    }
    client.stream.write_all(&damaged)?;
    let answer = client.answer()?;
    if !answer.contains("nothing was written") {
        return Err(format!("a damaged upload answered {answer:?}").into());
    }
    client.expect("put huge 0x100000000 0", "at most")?;
    // This one is awaited, so that its bytes are not taken for commands; the client leaves.
    client.stream.write_all(b"put huge 0xffffffff 0\nstatus\n")?;
    drop(client);
    client = TextClient::at_prompt(&machine.socket)?;
    let answer = client.put("file", &contents)?;
    if !answer.contains("20000 bytes written") {
        return Err(format!("a good upload answered {answer:?}").into());
    }
    client.command("rm file")?;
    passed("uploads");
    Ok(())
}

/// Memory taken up by uploads on a small machine, and by the application on any: commands fail, nothing else does.
fn memory(stage: &Stage<'_>) -> Result<()> {
    let mut machine = stage.start(&Options { memory: 8, ..options("20") })?;
    let mut client = TextClient::at_prompt(&machine.socket)?;
    let large = garbage(1 << 20, 5);
    let mut written = 0;
    let refusal = loop {
        let answer = client.put(&format!("file{written}"), &large)?;
        if !answer.contains("bytes written") {
            break answer;
        }
        written += 1;
    };
    if !refusal.contains("memory") {
        return Err(format!("after {written} files of 1 MiB on a machine of 8 MiB: {refusal:?}").into());
    }
    // Smaller ones take what is left; the shell's commands, `rm` among them, still have what they need.
    for size in [64 << 10, 15_000, 1000] {
        let contents = garbage(size, 6);
        while client.put(&format!("file{written}"), &contents)?.contains("bytes written") {
            written += 1;
        }
    }
    client.expect("status", "platform: qemu")?;
    client.expect("help", "bpf_attach")?;
    for number in 0..written {
        let answer = client.command(&format!("rm file{number}"))?;
        if !answer.is_empty() {
            return Err(format!("`rm` without memory: {answer:?}").into());
        }
    }
    for _ in 0..3 {
        let answer = client.put("again", &large)?;
        if !answer.contains("bytes written") {
            return Err(format!("memory did not come back: {answer:?}").into());
        }
    }
    goes_on(&mut machine)?;
    passed("uploads larger than memory");
    let mut machine = stage.start(&Options {
        initrd: Some(sample_files(stage.root)?),
        command_line: "test=greedy".into(),
        ..Options::default()
    })?;
    machine.wait_for("the application has all memory")?;
    let mut client = TextClient::at_prompt(&machine.socket)?;
    client.expect("bpf_attach myfun count.bin", "attached successfully")?;
    client.expect("bpf_exec get_count.bin myfun", "The program returned: ")?;
    let answer = client.put("file", &large)?;
    if !answer.contains("memory") {
        return Err(format!("without memory: {answer:?}").into());
    }
    client.expect("bpf_detach myfun", "detached successfully")?;
    passed("all memory taken by the application");
    Ok(())
}

/// A fault in the application: console and port name function and address, the host gets a status.
fn last_words(stage: &Stage<'_>) -> Result<()> {
    let mut machine = stage.start(&Options { command_line: "test=fault".into(), ..Options::default() })?;
    let mut client = TextClient::at_prompt(&machine.socket)?;
    client.stream.write_all(b"fault\n")?;
    let said = client.rest();
    let status = machine.wait(Duration::from_secs(10))?;
    let console = machine.console();
    let words = "fault: page fault at faulty+0x";
    let address = "address 0x8";
    let named = |text: &str| text.lines().any(|line| line.contains(words) && line.contains(address));
    if !named(&said) || !named(&console) || !console.contains("called from ") || status != Some(EXIT_FAULT) {
        return Err(format!("a fault: status {status:?}, the port said {said:?}, the console:\n{console}").into());
    }
    passed("a fault in the application");
    Ok(())
}
