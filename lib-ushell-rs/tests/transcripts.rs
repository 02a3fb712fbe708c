//! Real sessions as text. In `transcripts/*.txt` the lines that start with the prompt are what a person types, the others what
//! the shell answers. In `transcripts/*.keys` a line `<` holds the bytes that come in and the lines `>` after it those that go
//! out, both with escapes. `USHELL_BLESS=1 cargo test` writes the answers anew.
//! Also compiled into the freestanding image and run there.

mod common;

use common::Session;
use std::{string::String, vec::Vec};

macro_rules! files {
    ($($name:literal)*) => { &[$(($name, include_str!(concat!("transcripts/", $name)))),*] };
}

const SESSIONS: &[(&str, &str)] = files!("commands.txt" "mistakes.txt" "reference.txt");
const KEYS: &[(&str, &str)] = files!("editing.keys" "machine.keys");

fn compare(name: &str, expected: &str, actual: &str) {
    #[cfg(test)]
    if std::env::var_os("USHELL_BLESS").is_some() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
        return std::fs::write(std::path::Path::new(folder).join(name), actual).unwrap();
    }
    common::assert_same(name, actual, expected);
}

#[test]
fn a_difference_is_told_by_its_line() {
    assert_eq!(common::first_difference("a\nb\n", "a\nb\n"), None);
    assert_eq!(common::first_difference("a\nb\nc", "a\nx\nc"), Some((2, ("b", "x"))));
    assert_eq!(common::first_difference("a", "a\nb"), Some((2, ("nothing", "b"))));
}

#[test]
fn all_files_are_played() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let mut played = SESSIONS.iter().chain(KEYS);
        assert!(name.ends_with(".session") || played.any(|file| file.0 == name), "{name}");
    }
}

#[cfg_attr(test, test)]
pub(crate) fn sessions() {
    for (name, expected) in SESSIONS {
        let mut session = Session::new();
        let mut actual = String::from_utf8(session.drain()).unwrap();
        for line in expected.lines().filter_map(|line| line.strip_prefix("> ")) {
            actual.push_str(line);
            actual.push('\n');
            actual.push_str(&session.text(&format!("{line}\n")));
        }
        let actual = actual.strip_suffix("> ").expect("ends with a prompt");
        compare(name, expected, actual);
    }
}

#[cfg_attr(test, test)]
pub(crate) fn keys() {
    for (name, expected) in KEYS {
        let mut session = Session::new();
        session.drain();
        let mut actual = String::new();
        for line in expected.lines().filter(|line| !line.starts_with('>')) {
            actual.push_str(line);
            actual.push('\n');
            if let Some(input) = line.strip_prefix("< ") {
                for line in session.say(&unescape(input)).split_inclusive(|&b| b == b'\n') {
                    actual.push_str(&format!("> {}\n", line.escape_ascii()));
                }
            }
        }
        compare(name, expected, &actual);
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().unwrap() {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'e' => 0x1b,
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            },
            other => other,
        });
    }
    bytes
}
