//! The client and a real shell over a line that loses, doubles and changes bytes, and whose platform takes the reader for a
//! new one at any moment. What holds then: a command runs once or not at all, a file arrives as it was or not at all, its
//! contents are never taken for commands, and whatever is missing is said.

#[path = "../../../lib-ushell-rs/tests/common/mod.rs"]
mod common;

use common::Fake;
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    thread,
    time::Duration,
};
use ubpf_client::{
    machine::{Client, Timing},
    ClientError,
};
use ushell_rs::{
    frame::{self, Frame, Kind, Received, Receiver},
    Backend, Beats, Command, Config, Shell, BEAT_NS,
};

/// A generator of random numbers (xorshift), so that failures repeat.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// What a line does to bytes.
#[derive(Clone, Copy)]
struct Faults {
    /// One in so many chunks is damaged on its way to the shell, and so many on the way back; 0: none.
    there: usize,
    back: usize,
    /// Before one in so many chunks the shell is told that a new reader has come.
    readers: usize,
}

const NONE: Faults = Faults { there: 0, back: 0, readers: 0 };

fn hits(random: &mut Random, one_in: usize) -> bool {
    one_in > 0 && random.below(one_in) == 0
}

/// A part of the chunk is lost, doubled, or changed.
fn damage(random: &mut Random, chunk: &[u8]) -> Vec<u8> {
    let from = random.below(chunk.len());
    let to = from + 1 + random.below(chunk.len() - from);
    let (before, part, after) = (&chunk[..from], &chunk[from..to], &chunk[to..]);
    match random.below(4) {
        0 => [before, part, part, after].concat(),
        1 => [before, &[part[0] ^ (1 << random.below(8))], &part[1..], after].concat(),
        2 => Vec::new(),
        _ => [before, after].concat(),
    }
}

struct Line {
    client: UnixStream,
    fake: Fake,
    marks: Arc<AtomicUsize>,
}

fn line(seed: u64, faults: Faults) -> Line {
    let (client, stream) = UnixStream::pair().unwrap();
    let (fake, marks) = (Fake::new(), Arc::new(AtomicUsize::new(0)));
    let mut shell = Shell::new(fake.clone(), Config::default());
    let counted = marks.clone();
    let mark = Command::new("mark", "[TEXT]", "count", move |call| {
        counted.fetch_add(1, Ordering::SeqCst);
        (0..40).for_each(|_| call.out.line("marked, in a line that is long enough for two frames"));
        Ok(())
    });
    shell.register_command(mark).unwrap();
    thread::spawn(move || serve(shell, stream, Random(seed), faults));
    Line { client, fake, marks }
}

fn serve(mut shell: Shell, mut stream: UnixStream, mut random: Random, faults: Faults) {
    shell.connected();
    let (mut input, mut output) = ([0; 333], [0; 100]);
    while let Ok(count @ 1..) = stream.read(&mut input) {
        let mut chunk = input[..count].to_vec();
        if hits(&mut random, faults.there) {
            chunk = damage(&mut random, &chunk);
        }
        if hits(&mut random, faults.readers) {
            shell.disconnected();
            shell.connected();
        }
        let mut rest = &chunk[..];
        loop {
            rest = &rest[shell.feed(rest)..];
            let count = shell.drain(&mut output);
            if count == 0 {
                break;
            }
            let mut chunk = output[..count].to_vec();
            if hits(&mut random, faults.back) {
                chunk = damage(&mut random, &chunk);
            }
            if stream.write_all(&chunk).is_err() {
                return;
            }
        }
    }
}

const QUICK: Timing =
    Timing { tick: Duration::from_millis(1), timeout: Duration::from_secs(20), patience: Duration::from_secs(20) };

fn run(client: &mut Client, line: &str) -> Result<(bool, String), ClientError> {
    let mut output = Vec::new();
    let good = client.run(line, &mut |bytes| {
        output.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok((good, String::from_utf8(output).unwrap()))
}

fn put(client: &mut Client, name: &str, contents: &[u8]) -> Result<bool, ClientError> {
    client.put(name, contents, &mut |_| Ok(()), &mut |_| {})
}

#[test]
fn a_good_line() {
    let line = line(1, NONE);
    let mut client = Client::over(line.client, QUICK).unwrap();
    assert_eq!(run(&mut client, "version").unwrap(), (true, "ushell-rs 0.1.0\n".into()));
    let (good, text) = run(&mut client, "cat nothing").unwrap();
    assert_eq!((good, text.as_str()), (false, "nothing: no such file\n"));
    assert_eq!(run(&mut client, "cat 'no newline.txt'").unwrap(), (true, "no newline".into()));
    let mut raw = Vec::new();
    let good = client.run("cat bytes --raw", &mut |bytes| {
        raw.extend_from_slice(bytes);
        Ok(())
    });
    assert!(good.unwrap() && raw == b"\x7fELF\0\x01\x02".repeat(5));
    let contents: Vec<u8> = (0..100_000u32).map(|n| ((n * 31) >> 3) as u8).collect();
    assert!(put(&mut client, "a b", &contents).unwrap());
    assert!(put(&mut client, "empty", b"").unwrap());
    assert!(!put(&mut client, "large", &vec![0; 2 << 20]).unwrap());
    let state = line.fake.0.lock().unwrap();
    assert!(state.files["a b"] == contents && state.files["empty"].is_empty());
    assert!(!state.files.contains_key("large"));
}

/// A person's `^C` ends an upload: it is not begun again.
#[test]
fn a_file_that_is_broken_off() {
    let line = line(1, NONE);
    let mut client = Client::over(line.client, QUICK).unwrap();
    let mut presses = 0;
    client.set_interrupt(move || {
        presses += 1;
        presses == 1
    });
    let contents = vec![b'x'; 900_000];
    assert!(matches!(put(&mut client, "large", &contents), Err(ClientError::BrokenOff)));
    assert!(!line.fake.0.lock().unwrap().files.contains_key("large"));
    assert!(put(&mut client, "large", &contents).unwrap());
}

/// Names that cannot be: said, and nothing of the contents is run.
#[test]
fn names_that_cannot_be() {
    let line = line(1, NONE);
    let mut client = Client::over(line.client, QUICK).unwrap();
    let contents = b"\x03\nrm hello.txt\nmark\n".repeat(3000);
    for name in [&"n".repeat(256), "", "a\nb", "a\x1b[2Jb", "\x7f"] {
        assert!(!put(&mut client, name, &contents).unwrap(), "{name:?}");
    }
    assert!(matches!(put(&mut client, &"n".repeat(1100), &contents), Err(ClientError::LongLine(_))));
    assert!(matches!(run(&mut client, &"n".repeat(1100)), Err(ClientError::LongLine(_))));
    assert!(!run(&mut client, "put x 3 0").unwrap().0, "no raw bytes in this mode");
    assert!(!run(&mut client, "version\nrm hello.txt").unwrap().0, "one command at a time");
    assert_eq!(line.marks.load(Ordering::SeqCst), 0);
    assert!(line.fake.0.lock().unwrap().files.contains_key("hello.txt"));
}

/// Whatever the line does, for many seeds.
#[test]
fn lines_that_lose_double_and_change() {
    let kinds = [
        Faults { there: 6, ..NONE },
        Faults { back: 12, ..NONE },
        Faults { readers: 12, ..NONE },
        Faults { there: 12, back: 24, readers: 24 },
    ];
    for (kind, faults) in kinds.into_iter().enumerate() {
        // Most of the time is spent waiting.
        let seeds = (1..=12)
            .map(|seed| thread::spawn(move || conversation(seed, faults, &format!("kind {kind}, seed {seed}"))));
        let seeds: Vec<_> = seeds.collect();
        let ends = seeds.into_iter().map(|seed| seed.join().unwrap());
        let (mut done, mut said) = (0, Vec::new());
        for (more, failed) in ends {
            done += more;
            said.extend(failed);
        }
        assert!(done > 20, "kind {kind}: {done} done, not {said:?}");
        assert!(said.is_empty() || kind > 0, "what is lost on its way there is sent again: {said:?}");
    }
}

/// Plays one conversation; how much was done, and what was said of the rest.
fn conversation(seed: u64, faults: Faults, name: &str) -> (usize, Vec<String>) {
    let line = line(seed * 0x9e37_79b9, faults);
    let mut client = Client::over(line.client, QUICK).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (mut done, mut said) = (0, Vec::new());
    let contents = b"\x03\nrm hello.txt\nmark\nmode plain\nmark\n".repeat(100 + seed as usize);
    for round in 0..4 {
        let before = line.marks.load(Ordering::SeqCst);
        let result = run(&mut client, "mark");
        let ran = line.marks.load(Ordering::SeqCst) - before;
        match result {
            Ok((good, text)) => {
                assert!(good && ran == 1, "{name}: ran {ran} times");
                assert_eq!(text.lines().count(), 40, "{name}");
                done += 1;
            }
            Err(error @ (ClientError::Lost { .. } | ClientError::BrokenOff)) => {
                assert_eq!(ran, 1, "{name}");
                said.push(format!("{name}, mark {round}: {error}"));
            }
            Err(error) => panic!("{name}: {error}"),
        }
        let file = format!("file{round}");
        let result = put(&mut client, &file, &contents);
        let stored = line.fake.0.lock().unwrap().files.get(&file).cloned();
        match result {
            Ok(true) => {
                assert!(stored.as_ref() == Some(&contents), "{name}");
                done += 1;
            }
            Ok(false) => panic!("{name}: refused"),
            Err(error @ (ClientError::Lost { .. } | ClientError::BrokenOff)) => {
                assert!(stored.is_none_or(|stored| stored == contents), "{name}");
                said.push(format!("{name}, put {round}: {error}"));
            }
            Err(error) => panic!("{name}: {error}"),
        }
        assert_eq!(line.marks.load(Ordering::SeqCst), before + 1, "{name}: contents ran");
    }
    assert!(line.fake.0.lock().unwrap().files.contains_key("hello.txt"), "{name}");
    (done, said)
}

/// A shell that answers in text.
fn answers(reply: &'static str) -> ClientError {
    let (client, mut stream) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        let mut page = [0; 999];
        let count = stream.read(&mut page).unwrap();
        let line = String::from_utf8_lossy(&page[..count]).into_owned();
        let nonce = line.split_whitespace().nth(2).unwrap().to_owned();
        let _ = stream.write_all(reply.replace("NONCE", &nonce).as_bytes());
        let _ = stream.read(&mut page);
    });
    Client::over(client, QUICK).err().unwrap()
}

#[test]
fn the_one_to_update_is_named() {
    let old = answers("> > unknown command `session`; try `help`\n> ").to_string();
    assert!(old.contains("update the image's ushell-rs"), "{old}");
    let newer = answers("> > session NONCE: version 2 is spoken here, not 1\n> ").to_string();
    assert!(newer.ends_with("this tool 1: update this tool"), "{newer}");
    let older = answers("session NONCE: version 0 is spoken here, not 1\n> ").to_string();
    assert!(older.ends_with("update the image's ushell-rs"), "{older}");
}

/// What arrives by no means is not sent for ever, and what a shell says of no request is no trouble.
#[test]
fn a_request_that_never_arrives() {
    let (client, mut stream) = UnixStream::pair().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    thread::spawn(move || {
        let (mut page, mut receiver) = ([0; 999], Receiver::new());
        let count = stream.read(&mut page).unwrap();
        let line = String::from_utf8_lossy(&page[..count]).into_owned();
        let nonce: u64 = line.split_whitespace().nth(2).unwrap().parse().unwrap();
        let mut line = stream.try_clone().unwrap();
        let mut say = |kind, id, place, payload: &[u8]| {
            let mut bytes = Vec::new();
            Frame { kind, id, place, payload }.write(|byte| bytes.push(byte));
            line.write_all(&bytes).is_ok()
        };
        say(Kind::Greeting, 0, 0, &nonce.to_le_bytes());
        say(Kind::Greeting, u32::MAX, 0, &nonce.to_le_bytes());
        say(Kind::Output, 1, u32::MAX, b"?");
        while let Ok(count @ 1..) = stream.read(&mut page) {
            for &byte in &page[..count] {
                if receiver.push(byte) == Received::Frame {
                    let is_request = receiver.frame().unwrap().kind == Kind::Command;
                    counted.fetch_add(is_request.into(), Ordering::SeqCst);
                    if !say(Kind::State, 0, 0, &[]) {
                        return;
                    }
                }
            }
        }
    });
    let second = Duration::from_secs(1);
    let mut client = Client::over(client, Timing { tick: second / 100, timeout: second, ..QUICK }).unwrap();
    assert!(matches!(run(&mut client, "version"), Err(ClientError::Timeout(_))));
    // A tick apart.
    assert!((2..=101).contains(&sent.load(Ordering::SeqCst)), "{sent:?}");
}

/// The shell's side of it.
#[test]
fn another_version_is_refused_in_text() {
    let mut shell = Shell::new(Fake::new(), Config::default());
    let mut output = [0; 999];
    let crc = frame::sum(2, 77);
    shell.feed(format!("\x03session 2 77 {crc}\n").as_bytes());
    let count = shell.drain(&mut output);
    let text = String::from_utf8_lossy(&output[..count]);
    assert_eq!(text, "> > session 77: version 1 is spoken here, not 2\n> ");
}

/// Runs a command that is silent for twice as long as a shell may be, and says something before, amid and after that; `beat` is asked at
/// each of its turns what it writes on the line.
fn work(beat: impl Fn(usize, &[u8], &mut UnixStream) + Send + Sync + 'static) -> Result<(bool, String), ClientError> {
    const TURNS: usize = 40;
    let timing = Timing { timeout: Duration::from_secs(1), ..QUICK };
    let (client, mut stream) = UnixStream::pair().unwrap();
    let beats: &'static Beats = Box::leak(Box::new(Beats::new()));
    let line = stream.try_clone().unwrap();
    let (fake, config) = (Fake::new(), Config { beats: Some(beats), ..Config::default() });
    let begin = fake.now_ns();
    let mut shell = Shell::new(fake, config);
    let work = Command::new("work", "", "work for long", move |call| {
        for turn in 0..TURNS {
            if turn % 20 == 0 {
                call.out.line(&"said at work ".repeat(60));
            }
            thread::sleep(2 * timing.timeout / TURNS as u32);
            // Some 250 ms of the image's clock go by.
            let now = begin + (turn as u64 + 1) * BEAT_NS;
            beats.beat(|| now, |bytes| beat(turn, bytes, &mut line.try_clone().unwrap()));
            beats.beat(|| now, |_| panic!("a beat that is not due"));
        }
        call.out.line("done");
        Ok(())
    });
    shell.register_command(work).unwrap();
    thread::spawn(move || {
        shell.connected();
        let (mut input, mut output) = ([0; 333], [0; 100]);
        while let Ok(count @ 1..) = stream.read(&mut input) {
            let mut rest = 0..count;
            while !rest.is_empty() || shell.has_output() {
                rest.start += shell.feed(&input[rest.clone()]);
                let count = shell.drain(&mut output);
                if stream.write_all(&output[..count]).is_err() {
                    return;
                }
            }
        }
    });
    let mut client = Client::over(client, timing)?;
    let answer = run(&mut client, "work");
    assert!(answer.is_err() || run(&mut client, "version").unwrap().0);
    answer
}

#[test]
fn a_shell_at_work_is_waited_for() {
    let expected = format!("{0}\n{0}\ndone\n", "said at work ".repeat(60));
    let answer = work(|_, bytes, line| line.write_all(bytes).unwrap()).unwrap();
    assert_eq!(answer, (true, expected.clone()));
    // Where the line has no room for all of it, what comes next is whole all the same.
    let answer = work(|turn, bytes, line| match turn % 3 {
        0 => line.write_all(&bytes[..bytes.len() / 2]).unwrap(),
        _ => line.write_all(bytes).unwrap(),
    });
    assert_eq!(answer.unwrap(), (true, expected));
    // One that is not at work is not.
    assert!(matches!(work(|_, _, _| {}), Err(ClientError::Timeout(_))));
}

/// A shell that counts the beats while its command `work` runs, and between its commands.
fn counting() -> (Shell, &'static Beats, Arc<AtomicUsize>) {
    let (beats, count) = (&*Box::leak(Box::new(Beats::new())), Arc::new(AtomicUsize::new(0)));
    let mut shell = Shell::new(Fake::new(), Config { beats: Some(beats), ..Config::default() });
    let own = count.clone();
    let work = Command::new("work", "", "work", move |_| {
        beats.beat(
            || u64::MAX,
            |_| {
                own.fetch_add(1, Ordering::SeqCst);
            },
        );
        Ok(())
    });
    shell.register_command(work).unwrap();
    shell.connected();
    (shell, beats, count)
}

fn drained(shell: &mut Shell) -> usize {
    let mut output = [0; 999];
    shell.drain(&mut output)
}

#[test]
fn who_reads_text_hears_no_beats() {
    let (mut shell, beats, count) = counting();
    let idle =
        || beats.beat(|| panic!("the clock is read for nothing"), |_| panic!("a beat of a shell that does nothing"));
    idle();
    drained(&mut shell);
    assert_eq!(shell.feed(b"work\n"), 5);
    idle();
    drained(&mut shell);
    // In frames there is one; not where a command in text comes in the same bytes as the end of the frames.
    let session = |version| format!("\x03session {version} 77 {}\n", frame::sum(version, 77));
    shell.feed(session(u64::from(frame::VERSION)).as_bytes());
    drained(&mut shell);
    let mut request = Vec::new();
    Frame { kind: Kind::Command, id: 1, place: 0, payload: b"work" }.write(|byte| request.push(byte));
    shell.feed(&request);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    idle();
    drained(&mut shell);
    let text = session(99) + "work\n";
    assert_eq!(shell.feed(text.as_bytes()), text.len());
    assert_eq!(count.load(Ordering::SeqCst), 1, "a frame in the middle of text");
}

/// Who has not been given all of a frame hears no beat, which would be in its middle.
#[test]
fn no_beat_is_in_the_middle_of_a_frame() {
    let (mut shell, _, count) = counting();
    shell.feed(format!("session {0} 77 {1}\n", frame::VERSION, frame::sum(u64::from(frame::VERSION), 77)).as_bytes());
    drained(&mut shell);
    let mut requests = Vec::new();
    Frame { kind: Kind::Command, id: 1, place: 0, payload: b"help" }.write(|byte| requests.push(byte));
    assert_eq!(shell.feed(&requests), requests.len());
    assert_eq!(shell.drain(&mut [0; 5]), 5);
    requests.clear();
    Frame { kind: Kind::Command, id: 2, place: 0, payload: b"work" }.write(|byte| requests.push(byte));
    assert_eq!(shell.feed(&requests), requests.len());
    assert_eq!(count.load(Ordering::SeqCst), 0);
}
