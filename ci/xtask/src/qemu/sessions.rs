//! Rude clients, one after the other, on one machine: after each some the shell answers the next client, and after all of them
//! memory, buffers and the host's descriptors are as they were.

use super::{
    machine::{Machine, Options},
    sample_files,
};
use crate::{noise::garbage, Result};
use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};
use ubpf_client::text::{TextClient, PROMPT};

const BODY: &str = "body of function myfun";
/// What is asked for by those who do not read it: five times as much in hexadecimal, which is more than a socket holds.
const LARGE: usize = 96 << 10;
/// How long a client waits for the first word.
const HEARS: Duration = Duration::from_secs(10);
/// So many kinds of clients are followed by one that wants an answer.
const TOGETHER: u64 = 4;

/// A kind of client: what it is called, and what it does.
type ClientKind = (&'static str, fn(&mut UnixStream, u64) -> std::io::Result<()>);

const KINDS: [ClientKind; 10] = [
    ("comes and goes", |_, _| Ok(())),
    ("leaves in the middle of a line", |stream, seed| write!(stream, "bpf_attach myfun cou{seed}")),
    ("leaves in the middle of a file", |stream, seed| {
        // Whole lines of at most 2,048 bytes may be sent at once. For more a client waits for the prompt (docs/unikraft.md): else the
        // first of it may count as its predecessor's, and the rest as commands.
        let (waits, lines) = (seed % 2 == 0, if seed % 2 == 0 { 200 } else { 70 });
        if waits {
            hear(stream, &mut Vec::new(), |text| text.ends_with(PROMPT))?;
        }
        let file = format!("put upload{seed} 200000 0x1\n{}", "bpf_attach myfun noop.bin\n".repeat(lines));
        some(stream, file.as_bytes())
    }),
    ("says something at once and leaves", |stream, _| stream.write_all(b"bpf_map_put 1 2 3\nbpf_map_get 1 2\n")),
    ("writes garbage", |stream, seed| some(stream, &garbage(3000, seed))),
    ("asks, ends its own side, reads to the end", |stream, _| {
        stream.write_all(b"bpf_map_get 7 8\n")?;
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }),
    ("floods and does not read", |stream, seed| {
        // Each answer of `help` costs the image a while; most floods are of less.
        let line: &[u8] = if seed % 200 < 10 { b"help\n" } else { b"\n" };
        some(stream, &line.repeat(5000))
    }),
    ("leaves with unread output", |stream, _| {
        stream.write_all(b"cat large\n")?;
        thread::sleep(Duration::from_millis(15));
        Ok(())
    }),
    ("leaves after a part of the output", |stream, _| {
        stream.write_all(b"cat large\n")?;
        stream.read_exact(&mut [0; 3000])
    }),
    ("types at a terminal and leaves", |stream, _| stream.write_all(b"mode terminal\nbpf_a\t myf\x1b[A\x1b[")),
];

/// Writes what is taken at once.
fn some(stream: &mut UnixStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.set_nonblocking(true)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or(&[]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What must be the same after all sessions as before.
#[derive(PartialEq, Eq, Debug)]
struct State {
    /// Bytes of the heap in use, transmit buffers that the device has not, and how many there are.
    heap: u64,
    free: u64,
    buffers: u64,
    /// Descriptors of the host that QEMU has open.
    descriptors: usize,
    files: String,
    attached: String,
}

/// Plays `count` sessions.
pub fn run(root: &Path, image: &Path, count: u64) -> Result<()> {
    let mut machine = Machine::start(
        root,
        image,
        &Options { initrd: Some(sample_files(root)?), command_line: "-- 20".into(), ..Options::default() },
    )?;
    let mut client = TextClient::at_prompt(&machine.socket)?;
    client.put("large", &garbage(LARGE, 5))?;
    // Whatever is made only once is there afterwards: the map takes its memory when something is put into it first.
    client.command("bpf_map_put 1 2 3")?;
    drop(client);
    play(&machine, 0, KINDS.len() as u64)?;
    let before = state(&machine)?;
    let (first, _) = reclaimed(&machine)?;
    let (begin, mut silent) = (Instant::now(), 0);
    for session in 0..count.div_ceil(TOGETHER) {
        let (start, end) = (session * TOGETHER, ((session + 1) * TOGETHER).min(count));
        silent +=
            play(&machine, start, end).map_err(|error| format!("sessions {start} to {end} of {count}: {error}"))?;
    }
    let time = begin.elapsed();
    let bodies = machine.console().matches(BODY).count();
    machine.wait_until("two more lines of the application", |console| console.matches(BODY).count() >= bodies + 2)?;
    let after = state(&machine)?;
    if after != before {
        return Err(format!("after {count} sessions: {after:?}, before: {before:?}").into());
    }
    let (last, starved) = reclaimed(&machine)?;
    if count >= 10 * KINDS.len() as u64 && first == last {
        return Err("no client left while the device had sent a part of a buffer".into());
    }
    println!(
        "{count} rude sessions of {} kinds in {:.1} s: memory, {} transmit buffers and descriptors are as before; {} buffers were \
         kept by the device, {starved} times it was asked anew, {silent} clients heard nothing and connected again",
        KINDS.len(),
        time.as_secs_f64(),
        after.buffers,
        last - first,
    );
    Ok(())
}

/// Clients in a row that may hear nothing: where a client leaves in the middle of a write, QEMU may send nothing to the next one, until that
/// one leaves as well.
const SILENT: u64 = 3;

/// These sessions, each of another kind; then one by a client that says its line at once and wants an answer. How many heard nothing.
fn play(machine: &Machine, start: u64, end: u64) -> Result<u64> {
    let (mut upload, mut silent) = (false, 0);
    for session in start..end {
        // Each kind comes before and after each other one.
        let kind = (session + session / KINDS.len() as u64 * 3) as usize % KINDS.len();
        let (name, act) = KINDS[kind];
        let mut stream = TextClient::connect(&machine.socket)?.stream;
        stream.set_read_timeout(Some(HEARS))?;
        match act(&mut stream, session) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && silent < SILENT => silent += 1,
            Err(error) if !is_farewell(&error) => return Err(format!("{name}: {error}").into()),
            _ => {}
        }
        upload |= name.contains("file");
    }
    Ok(silent + answers(machine, end, upload)?)
}

/// The image may end a conversation first (`quit` in garbage).
fn is_farewell(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
}

/// A first line, sent by one write as soon as there is a connection, is answered for itself. Whoever hears nothing at all connects
/// again; how often that was needed.
fn answers(machine: &Machine, number: u64, waits: bool) -> Result<u64> {
    let word = format!("stranger{number}");
    let wanted = format!("unknown command `{word}`; try `help`\n");
    let mut silent = 0;
    loop {
        let mut client = TextClient::connect(&machine.socket)?;
        client.stream.set_read_timeout(Some(HEARS))?;
        let mut text = Vec::new();
        // A line may still be of the file that a client before was sending.
        let ready = if waits { hear(&mut client.stream, &mut text, |text| text.ends_with(PROMPT)) } else { Ok(()) };
        let heard = ready.and_then(|()| {
            client.stream.write_all(format!("{word}\n").as_bytes())?;
            hear(&mut client.stream, &mut text, |text| is_at_the_end(text, wanted.as_bytes()))
        });
        match heard {
            Ok(()) => return Ok(silent),
            Err(_) if text.is_empty() && silent < SILENT => silent += 1,
            Err(error) => {
                let end = text.get(text.len().saturating_sub(200)..).unwrap_or(&[]);
                let end = String::from_utf8_lossy(end);
                return Err(format!("a first line was answered by {end:?}: {error}").into());
            }
        }
    }
}

/// Most bytes that are read at once.
const READ: usize = 4096;

/// Reads until that is reached.
fn hear(stream: &mut UnixStream, text: &mut Vec<u8>, reached: impl Fn(&[u8]) -> bool) -> std::io::Result<()> {
    let mut buffer = [0; READ];
    while !reached(text) {
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => text.extend_from_slice(buffer.get(..count).unwrap_or(&[])),
        }
    }
    Ok(())
}

/// Whether these words are in what was read last. The lines of a client before may be carried out first, and their answers be long.
fn is_at_the_end(text: &[u8], words: &[u8]) -> bool {
    let end = text.len().saturating_sub(READ + words.len());
    let end = text.get(end..).unwrap_or(&[]);
    end.windows(words.len()).any(|part| part == words)
}

fn state(machine: &Machine) -> Result<State> {
    let mut client = TextClient::synchronised(&machine.socket)?;
    let port = client.command("port")?;
    let [free, buffers] = numbers(&port, "transmit buffers: ")?;
    let [heap, _] = numbers(&port, "heap: ")?;
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", machine.process()))?.count();
    Ok(State { heap, free, buffers, descriptors, files: client.command("ls")?, attached: client.command("bpf_list")? })
}

/// How many buffers the device kept, and how often it was asked anew.
fn reclaimed(machine: &Machine) -> Result<(u64, u64)> {
    let port = TextClient::synchronised(&machine.socket)?.command("port")?;
    let [_, _, kept] = numbers(&port, "transmit buffers: ")?;
    let [_, anew] = numbers(&port, "control messages: ")?;
    Ok((kept, anew))
}

/// The first numbers in the line that begins so.
fn numbers<const N: usize>(text: &str, start: &str) -> Result<[u64; N]> {
    let line = text.lines().find_map(|line| line.strip_prefix(start));
    let words = line.unwrap_or("").split(|c: char| !c.is_ascii_digit());
    let found: Vec<u64> = words.filter_map(|word| word.parse().ok()).take(N).collect();
    let none = || format!("`port` answered {text:?}");
    Ok(<[u64; N]>::try_from(found).map_err(|_| none())?)
}
