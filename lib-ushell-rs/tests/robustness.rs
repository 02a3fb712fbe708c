//! What must hold for every input: no stall, no growth, nothing that depends on how the input is cut.
//!
//! Also compiled into the freestanding image and run there.

mod common;

use common::{Fake, Session};
use std::{
    string::{String, ToString},
    sync::{atomic::Ordering::SeqCst, Arc},
    vec::Vec,
};
use ubpf_rs::{
    maps::{handle, Map, Maps, Records},
    program::{MapDef, MapFlags, MapKind, MapName},
};
use ushell_rs::{
    crc32::crc32,
    frame::{self, Frame, Kind, Outcome, Received, Receiver},
    Call, Command, Config, Failure, RegisterError, Shell,
};

/// A small generator of random numbers (xorshift), so that failures repeat.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// A value of more bytes than a page has room for is shown as a whole.
#[cfg_attr(test, test)]
pub(crate) fn long_values_come_in_pieces() {
    let mut session = Session::new();
    session.drain();
    let name = MapName::new("long").unwrap();
    let (kind, key_size, value_size, max_entries, flags) = (MapKind::Array, 4, 30_000, 2, MapFlags::empty());
    let mut map = Map::new(MapDef { kind, key_size, value_size, max_entries, flags, inner: None, name }).unwrap();
    map.fill(0, &[0xab; 30_000]).unwrap();
    map.fill(30_000, &[1]).unwrap();
    session.fake.0.lock().unwrap().maps.insert("long".into(), Arc::new(map));
    let (first, second) = ("ab".repeat(30_000), format!("01{}", "0".repeat(59_998)));
    assert_eq!(session.text("map dump long\n"), format!("0: hex:{first}\n1: hex:{second}\n> "));
    assert_eq!(session.text("map lookup long 1\n"), format!("hex:{second}\n> "));
}

/// What `prog attach` attached goes with its session, however that ends; what was attached otherwise stays.
#[cfg_attr(test, test)]
pub(crate) fn what_a_session_attached_goes_with_it() {
    let owned = |session: &Session| session.fake.0.lock().unwrap().owned.len();
    let mut session = Session::new();
    session.drain();
    let said = "Program first was attached to myfun successfully.\nProgram second was attached to 2 functions successfully.\n> ";
    for ends in [Shell::disconnected, Shell::connected] {
        assert_eq!(session.text("prog attach count.bin\n"), said);
        session.say(b"bpf_attach myfun count.bin\n");
        assert_eq!(owned(&session), 3);
        ends(&mut session.shell);
        assert_eq!(owned(&session), 0);
        session.drain();
        let listed = session.text("bpf_list\n");
        assert!(listed.contains("count.bin"), "{listed}");
    }
    // Again and again in one session: what has gone is not remembered for ever.
    for _ in 0..100 {
        session.say(b"prog attach count.bin\n");
        session.fake.0.lock().unwrap().owned.clear();
    }
    assert_eq!(session.text("prog attach count.bin --keep\n"), said);
    session.say(b"quit\n");
    session.shell.connected();
    assert_eq!(owned(&session), 3);
}

/// The shell of a session with a ring, which it traces.
fn tracing(command: &str) -> (Session, Arc<Map>) {
    let mut session = Session::new();
    session.drain();
    let name = MapName::new("ring").unwrap();
    let (kind, key_size, value_size, max_entries, flags) = (MapKind::Ringbuf, 0, 0, 4096, MapFlags::empty());
    let ring =
        Arc::new(Map::new(MapDef { kind, key_size, value_size, max_entries, flags, inner: None, name }).unwrap());
    session.fake.0.lock().unwrap().maps.insert("ring".into(), ring.clone());
    ring.write_record([1, 2, 3][..].into()).unwrap();
    assert_eq!(session.text(command), "hex:010203\n");
    (session, ring)
}

fn drained(session: &mut Session) -> String {
    String::from_utf8(session.drain()).unwrap()
}

/// Records are shown when they come, until a key, `^C`, or the end of the connection.
#[cfg_attr(test, test)]
pub(crate) fn records_are_shown_as_they_come() {
    for end in ["x", "\x03"] {
        let (mut session, ring) = tracing("trace ring\n");
        assert!(session.drain().is_empty() && session.shell.is_writing());
        ring.write_record([7; 8][..].into()).unwrap();
        ring.write_record([0xcd; 1000][..].into()).unwrap();
        let long = format!("506381209866536711\nhex:{}\n", "cd".repeat(1000));
        assert!(drained(&mut session) == long);
        assert_eq!(session.text(end), "> ");
        assert_eq!(session.text("version\n"), concat!("ushell-rs ", env!("CARGO_PKG_VERSION"), "\n> "));
    }
    let (mut session, ring) = tracing("trace ring -n 2\n");
    ring.write_record([1; 1][..].into()).unwrap();
    ring.write_record([2; 1][..].into()).unwrap();
    assert_eq!(drained(&mut session), "1\n> ");
    // Who is gone leaves the rest where it is, and nobody is kept from it.
    let (mut session, ring) = tracing("trace ring\n");
    session.shell.disconnected();
    ring.write_record([1; 1][..].into()).unwrap();
    session.shell.connected();
    session.drain();
    let memory = Map::memory(ring.def());
    let shown = format!("entries 16 of 4096, flags 0x0, memory {memory}, full 0, busy 0\n> ");
    assert_eq!(session.text("map show ring\n"), format!("ring ringbuf key 0 value 0 {shown}"));
    assert_eq!(session.text("map clear ring\n"), "> ");
    assert_eq!(session.text("trace ring -n 0\n"), "> ");
    assert_eq!(ring.len(), 0);
    // Only those that are there, and at most so many.
    for (options, shown) in [("--rest", "1\n2\n> "), ("--rest", "> "), ("--rest -n 1", "1\n> ")] {
        if ring.is_empty() && shown != "> " {
            for byte in [1, 2] {
                ring.write_record([byte; 1][..].into()).unwrap();
            }
        }
        assert_eq!(session.text(&format!("trace ring {options}\n")), shown);
    }
}

/// More records were discarded than are passed over at a time: those behind them are shown, also where only what is there is wanted.
#[cfg_attr(test, test)]
pub(crate) fn records_behind_discarded_ones() {
    let mut session = Session::new();
    session.drain();
    let name = MapName::new("ring").unwrap();
    let (kind, key_size, value_size, max_entries, flags) = (MapKind::Ringbuf, 0, 0, 1 << 16, MapFlags::empty());
    let ring =
        Arc::new(Map::new(MapDef { kind, key_size, value_size, max_entries, flags, inner: None, name }).unwrap());
    session.fake.0.lock().unwrap().maps.insert("ring".into(), ring.clone());
    let maps = Maps::new([ring.clone()].into()).unwrap();
    let records = Records::new(Some(&maps));
    for options in ["--rest", "--rest -n 1", "-n 1"] {
        for _ in 0..3000 {
            let address = records.reserve(handle(0), 8).unwrap();
            assert!(records.release(address, false));
        }
        ring.write_record([7; 1][..].into()).unwrap();
        let mut shown = session.text(&format!("trace ring {options}\n"));
        // Where records are waited for, each look passes over some.
        (0..3).for_each(|_| shown += &drained(&mut session));
        assert_eq!(shown, "7\n> ", "{options}");
    }
}

/// Programs that write faster than anybody reads: the shell writes what fits, and can be ended.
#[cfg_attr(test, test)]
pub(crate) fn a_ring_that_is_never_empty() {
    let (mut session, ring) = tracing("trace ring\n");
    let mut page = [0; 64];
    let mut shown = 0;
    for _ in 0..200 {
        while ring.write_record([1; 40][..].into()).is_ok() {}
        shown += session.shell.drain(&mut page);
    }
    assert!(shown > 10_000 && ring.lost_full() > 0);
    assert_eq!(session.shell.feed(b"\x03"), 1);
    let rest = String::from_utf8(session.drain()).unwrap();
    assert!(rest.len() < 20_000 && rest.ends_with("\n> "), "{}", rest.len());
    // The rest are those that were there, however many more come meanwhile and however long they are.
    while ring.read_record(&mut page).is_some() {}
    (0..3).for_each(|_| ring.write_record([2; 1000][..].into()).unwrap());
    session.shell.feed(b"trace ring --rest\n");
    let mut rest = Vec::new();
    for _ in 0..1000 {
        let _ = ring.write_record([1; 1000][..].into());
        let count = session.shell.drain(&mut page);
        rest.extend_from_slice(&page[..count]);
    }
    let line = format!("hex:{}\n", "02".repeat(1000));
    assert_eq!(String::from_utf8(rest).unwrap(), line.repeat(3) + "> ");
}

/// A command that is ended in the middle of what it writes: a person is told in words, a program by the outcome alone.
#[cfg_attr(test, test)]
pub(crate) fn what_is_cancelled_says_so_once() {
    let long = "bpf_probe_read 0x1000 0x9000";
    let ended = |begin: &[u8]| {
        let mut session = Session::new();
        session.drain();
        assert_eq!(session.shell.feed(begin), begin.len());
        session.fake.1.store(1, SeqCst);
        session.drain()
    };
    assert!(ended(format!("{long}\n").as_bytes()).ends_with(b"cancelled\n> "));
    let mut bytes = framed()[0].clone();
    Frame { kind: Kind::Command, id: 1, place: 0, payload: long.as_bytes() }.write(|byte| bytes.push(byte));
    let (mut receiver, mut said, mut end) = (Receiver::default(), Vec::new(), None);
    for byte in ended(&bytes) {
        if receiver.push(byte) != Received::Frame {
            continue;
        }
        match receiver.frame() {
            Some(Frame { kind: Kind::Output, payload, .. }) => said.extend(payload),
            Some(Frame { kind: Kind::End, payload, .. }) => end = payload.first().copied(),
            _ => {}
        }
    }
    assert_eq!(end, Some(Outcome::BrokenOff as u8));
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("0x0000000000001000: ") && !said.contains("cancelled"), "{said}");
}

/// Who has heard nothing for a while asks again for a greeting, in the middle of an answer: that is whole all the same.
#[cfg_attr(test, test)]
pub(crate) fn who_asks_again_disturbs_nothing() {
    let [hello, ..] = framed();
    let again = [&[frame::ESCAPE, b'\n'], &hello[1..]].concat();
    // At each of the first drains, and never.
    let answer = |at: usize| {
        let (mut session, mut page) = (Session::new(), [0; 600]);
        session.say(&hello);
        let mut begin = Vec::new();
        let line = b"bpf_probe_read 0x1000 0x9000";
        Frame { kind: Kind::Command, id: 1, place: 0, payload: line }.write(|byte| begin.push(byte));
        assert_eq!(session.shell.feed(&begin), begin.len());
        let (mut receiver, mut greetings, mut said) = (Receiver::default(), 0, Vec::new());
        for drained in 0.. {
            if drained == at {
                // What waits for room comes as soon as there is some.
                let mut rest = &again[..];
                while !rest.is_empty() {
                    rest = &rest[session.shell.feed(rest)..];
                    let count = session.shell.drain(&mut page[..30]);
                    page[..count].iter().for_each(|&byte| take(&mut receiver, byte, &mut greetings, &mut said));
                }
            }
            let count = session.shell.drain(&mut page);
            if count == 0 {
                return (greetings, said);
            }
            page[..count].iter().for_each(|&byte| take(&mut receiver, byte, &mut greetings, &mut said));
        }
        unreachable!()
    };
    fn take(receiver: &mut Receiver, byte: u8, greetings: &mut usize, said: &mut Vec<u8>) {
        if receiver.push(byte) != Received::Frame {
            return;
        }
        match receiver.frame() {
            Some(Frame { kind: Kind::Greeting, .. }) => *greetings += 1,
            Some(Frame { kind: Kind::Output | Kind::End, payload, .. }) => said.extend(payload),
            _ => {}
        }
    }
    let (none, whole) = answer(usize::MAX);
    assert!(none == 0 && whole.len() > 50_000 && whole.ends_with(&[b'\n', Outcome::Good as u8]));
    for at in 0..40 {
        let (one, same) = answer(at);
        assert!(one == 1 && same == whole, "asked again at {at}: {one} greetings, {} of {}", same.len(), whole.len());
    }
}

#[cfg_attr(test, test)]
pub(crate) fn cutting_the_input_changes_nothing() {
    let upload = format!("put a 6 {:#x}\nab\n\x1b[Ecat a\n", crc32(b"ab\n\x1b[E"));
    let frames = framed().concat();
    let inputs: [&[u8]; 7] = [
        &frames,
        b"bpf_attach myfun count.bin\r\nbpf_list\nls\n",
        b"terminal on\rver\x1b[D\x1b[D\x1b[3~x\x01y\x05z\x17bpf_l\t\r\x1b[A\x1b[A\x1bOB\r",
        upload.as_bytes(),
        "cat größe☃\n\x1b[12;5Hxyz\nmode machine\nversion\n".as_bytes(),
        b"terminal on\nbpf_attach my\tfun co\t\n\x0cabc\x03functions\n",
        b"put a 3 0\nabcversion\n\x1b\x1b[\x1b[A\x1b[Aversion\n",
    ];
    for input in inputs {
        let whole = Session::new().say(input);
        for cut in 0..input.len() {
            let mut session = Session::new();
            let mut parts = session.say(&input[..cut]);
            parts.extend(session.say(&input[cut..]));
            let input = input.escape_ascii();
            assert_eq!(whole.escape_ascii().to_string(), parts.escape_ascii().to_string(), "{input} cut at {cut}");
        }
        let mut session = Session::new();
        let bytes: Vec<u8> = input.iter().flat_map(|&byte| session.say(&[byte])).collect();
        assert_eq!(whole, bytes);
    }
}

/// The beginning of a conversation in frames; requests.
fn framed() -> [Vec<u8>; 3] {
    let file = [&crc32(b"ab\n").to_le_bytes()[..], b"a"].concat();
    let frames = [
        (Kind::Command, 1, 0, &b"version"[..]),
        (Kind::Command, 1, 0, b"version"),
        (Kind::File, 2, 3, &file),
        (Kind::Piece, 2, 0, b"ab\n"),
        (Kind::Command, 3, 0, b"nothing\x1b"),
        (Kind::Ask, 3, 0, b""),
        (Kind::Command, 4, 0, b"cat a"),
    ];
    let mut bytes = Vec::new();
    for (kind, id, place, payload) in frames {
        let frame = Frame { kind, id, place, payload };
        frame.write(|byte| bytes.push(byte));
    }
    let end = bytes.split_off(20);
    let hello = format!("\x03session 1 77 {}\n", frame::sum(1, 77));
    [hello.into_bytes(), bytes, end]
}

/// Random bytes, mixed with pieces that lead deeper into the shell.
fn garbage(random: &mut Random) -> Vec<u8> {
    let frames = framed();
    let pieces: [&[u8]; 17] = [
        &frames[0],
        &frames[1],
        &frames[2],
        b"\n",
        b"\r\n",
        b"\x1b[",
        b"\x1b[A",
        b"\t",
        b"terminal on\n",
        b"help\n",
        b"'",
        b"functions\n",
        b"bpf_attach my",
        b"put x 5 0\n",
        b"mode machine\n",
        b"\xc3\xa4",
        b"bpf_probe_read 0x1000 0x900\n",
    ];
    let mut bytes = Vec::new();
    while bytes.len() < 2000 {
        match random.below(3) {
            0 => bytes.extend(pieces[random.below(pieces.len())]),
            1 => bytes.push(random.next() as u8),
            _ => bytes.push(b' ' + random.below(95) as u8),
        }
    }
    bytes
}

#[cfg_attr(test, test)]
pub(crate) fn random_bytes_never_stall_it() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..200 {
        let mut session = Session::new();
        session.say(&garbage(&mut random));
        session.shell.connected();
        session.drain();
        assert_eq!(session.text("version\n"), "ushell-rs 0.1.0\n> ");
    }
}

#[cfg_attr(test, test)]
pub(crate) fn a_long_line_is_refused_once() {
    let mut session = Session::new();
    session.drain();
    let line = "x".repeat(10_000) + "\nversion\n";
    let expected = "line too long (limit 1024 bytes): ignored\n> ushell-rs 0.1.0\n> ";
    assert_eq!(session.text(&line), expected);
}

#[cfg_attr(test, test)]
pub(crate) fn a_long_line_is_refused_at_a_terminal_too() {
    let mut session = Session::new();
    session.text("terminal on\n");
    let said = session.text(&("x".repeat(10_000) + "\r"));
    assert!(said.ends_with("line too long (limit 1024 bytes): ignored\r\n> "));
    // ^U makes the line good again.
    session.text(&"x".repeat(10_000));
    assert!(session.text("\x15version\r").ends_with("ushell-rs 0.1.0\r\n> "));
}

#[cfg_attr(test, test)]
pub(crate) fn a_reader_who_does_not_read_holds_the_writer_up() {
    let mut session = Session::new();
    session.fake.0.lock().unwrap().functions = (0..20_000).map(|n| format!("f{n}")).collect();
    let input = b"functions\n".repeat(100);
    let taken = session.shell.feed(&input);
    assert!(taken < input.len(), "{taken} of {}", input.len());
    assert_eq!(session.shell.feed(&input[taken..]), 0);
    let output = session.drain();
    assert_eq!(output.iter().filter(|&&byte| byte == b'\n').count(), 20_000);
}

#[cfg_attr(test, test)]
pub(crate) fn control_c_ends_long_output() {
    let mut session = Session::new();
    session.fake.0.lock().unwrap().functions = (0..20_000).map(|n| format!("f{n}")).collect();
    session.shell.feed(b"functions\n");
    session.shell.drain(&mut [0; 500]);
    assert_eq!(session.shell.feed(b"\x03"), 1);
    let output = session.drain();
    assert!(output.len() < 20_000 && output.ends_with(b"\n> "));
}

#[cfg_attr(test, test)]
pub(crate) fn what_a_command_writes_at_once_is_bounded() {
    let mut session = Session::new();
    let flood = |call: &mut Call<'_>| -> Result<(), Failure> {
        (0..100_000).for_each(|_| call.out.line("0123456789"));
        Ok(())
    };
    session.shell.register_command(Command::new("flood", "", "flood", flood)).unwrap();
    let said = session.text("flood\n");
    assert!(said.len() <= 16 * 1024);
    assert!(said.ends_with("[output truncated]\n> "), "{}", &said[said.len() - 50..]);
}

#[cfg_attr(test, test)]
pub(crate) fn commands_of_the_application() {
    let mut session = Session::new();
    session.drain();
    let greet = |call: &mut Call<'_>| {
        let name = call.args.required(0);
        if name == "nobody" {
            return Err(Failure::message("nobody is there"));
        }
        call.out.line(&format!("hello {name}"));
        Ok(())
    };
    let command = Command::new("greet", "NAME", "greet someone", greet);
    session.shell.register_command(command.clone()).unwrap();
    assert_eq!(session.text("greet you\n"), "hello you\n> ");
    assert_eq!(session.text("greet nobody\n"), "nobody is there\n> ");
    assert_eq!(session.text("help greet\n"), "Usage: greet NAME\ngreet someone\n> ");
    assert_eq!(session.text("complete gr\n"), "greet\n> ");
    let exists = RegisterError::Exists { name: "greet".into() };
    assert_eq!(session.shell.register_command(command), Err(exists));
    for name in ["", "a b", "a\n"] {
        let command = Command::new(name, "", "", |_| Ok(()));
        assert!(matches!(session.shell.register_command(command), Err(RegisterError::BadName { .. })));
    }
}

#[cfg_attr(test, test)]
pub(crate) fn a_client_that_vanishes_leaves_the_old_file() {
    let mut session = Session::new();
    let old = b"count.bin".to_vec();
    session.say(b"put count.bin 100 0x1234\nhalf of it");
    session.shell.disconnected();
    session.shell.connected();
    assert_eq!(session.text("cat count.bin\n"), "> count.bin\n> ");
    assert_eq!(session.fake.0.lock().unwrap().files["count.bin"], old);
}

#[cfg_attr(test, test)]
pub(crate) fn uploads_of_all_sizes() {
    for size in [0, 1, 1000, 300_000, 1024 * 1024] {
        let contents: Vec<u8> = (0..size).map(|n: u32| (n * 7) as u8).collect();
        let mut session = Session::new();
        session.drain();
        let mut input = format!("put f {size} {}\n", crc32(&contents)).into_bytes();
        input.extend(&contents);
        assert_eq!(session.say(&input), format!("f: {size} bytes written.\n> ").into_bytes());
        assert_eq!(session.fake.0.lock().unwrap().files["f"], contents);
    }
}

#[cfg_attr(test, test)]
pub(crate) fn a_file_that_is_refused_is_not_taken_for_commands() {
    let mut session = Session::new();
    session.drain();
    let mut input = format!("put f {} 0\n", 2 * 1024 * 1024).into_bytes();
    input.extend(b"rm x\n".repeat(2 * 1024 * 1024 / 5 + 1));
    input.truncate(input.len() - 3);
    let said = String::from_utf8(session.say(&input)).unwrap();
    assert!(said.starts_with("file too large (limit 1048576 bytes); nothing was written\n> "));
}

#[cfg_attr(test, test)]
pub(crate) fn input_without_a_connection_starts_a_session() {
    let mut shell = Shell::new(Fake::new(), Config::default());
    assert!(!shell.has_output());
    shell.feed(b"version\n");
    let mut output = [0; 100];
    let count = shell.drain(&mut output);
    assert_eq!(&output[..count], b"> ushell-rs 0.1.0\n> ");
}

#[cfg_attr(test, test)]
pub(crate) fn quit_ends_the_session() {
    let mut session = Session::new();
    assert_eq!(session.text("version\nquit\nversion\n"), "> ushell-rs 0.1.0\n> ");
    assert!(session.shell.wants_close());
    assert_eq!(session.text("version\n"), "> ushell-rs 0.1.0\n> ");
}
