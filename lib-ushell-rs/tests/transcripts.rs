//! Real sessions as text. In `transcripts/*.txt` the lines that start with the prompt are what a person types, the others what
//! the shell answers. In `transcripts/*.keys` a line `<` holds the bytes that come in and the lines `>` after it those that go
//! out, both with escapes. `USHELL_BLESS=1 cargo test` writes the answers anew.

mod common;

use common::Session;
use std::{fs, path::PathBuf};

fn files(extension: &str) -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    assert!(!paths.is_empty());
    paths.sort();
    paths
}

fn compare(path: &PathBuf, expected: &str, actual: &str) {
    if std::env::var_os("USHELL_BLESS").is_some() {
        fs::write(path, actual).unwrap();
    } else {
        assert_eq!(actual, expected, "{}", path.display());
    }
}

#[test]
fn sessions() {
    for path in files("txt") {
        let expected = fs::read_to_string(&path).unwrap();
        let mut session = Session::new();
        let mut actual = String::from_utf8(session.drain()).unwrap();
        for line in expected.lines().filter_map(|line| line.strip_prefix("> ")) {
            actual.push_str(line);
            actual.push('\n');
            actual.push_str(&session.text(&format!("{line}\n")));
        }
        let actual = actual.strip_suffix("> ").expect("ends with a prompt");
        compare(&path, &expected, actual);
    }
}

#[test]
fn keys() {
    for path in files("keys") {
        let expected = fs::read_to_string(&path).unwrap();
        let mut session = Session::new();
        session.drain();
        let mut actual = String::new();
        for line in expected.lines().filter(|line| !line.starts_with('>')) {
            actual.push_str(line);
            actual.push('\n');
            if let Some(input) = line.strip_prefix("< ") {
                for line in session
                    .say(&unescape(input))
                    .split_inclusive(|&b| b == b'\n')
                {
                    actual.push_str(&format!("> {}\n", line.escape_ascii()));
                }
            }
        }
        compare(&path, &expected, &actual);
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
