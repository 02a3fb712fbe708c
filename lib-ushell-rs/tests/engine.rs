//! The shell over the real engine on a platform of the test: what a person sees when programs run for real.
//!
//! Also compiled into the freestanding image and run there, on this platform in place of the image's own.

mod common;

use std::{borrow::ToOwned, collections::BTreeMap, string::String, sync::Mutex, vec::Vec};
use ubpf_rs::{
    platform::{Clock, Console, Cpu, DirEntry, FaultSafeRead, FileError, Files, Platform, Preemptive},
    runtime::{self, Runtime, Symbol, SymbolTable},
};
use ushell_rs::{Config, Shell};

struct Fake {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    console: Mutex<String>,
}

static FAKE: Fake = Fake { files: Mutex::new(BTreeMap::new()), console: Mutex::new(String::new()) };

impl Clock for Fake {
    fn now_ns(&self) -> u64 {
        1000
    }
}
// SAFETY: a fault ends the read, and nothing but the destination is written.
unsafe impl FaultSafeRead for Fake {
    fn read(&self, _: u64, _: &mut [u8]) -> usize {
        0
    }
}
impl Console for Fake {
    fn write(&self, bytes: &[u8]) {
        self.console.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
    }
}
impl Cpu for Fake {
    fn id(&self) -> u32 {
        0
    }
    fn in_interrupt(&self) -> bool {
        false
    }
}
impl Files for Fake {
    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, FileError> {
        let contents = self.files.lock().unwrap().get(path).cloned();
        let contents = contents.ok_or(FileError::NotFound)?;
        (contents.len() <= limit).then_some(contents).ok_or(FileError::TooLarge { limit })
    }
    fn list(&self, _: &str) -> Result<Vec<DirEntry>, FileError> {
        let files = self.files.lock().unwrap();
        let entry = |(name, contents): (&String, &Vec<u8>)| DirEntry {
            name: name.clone(),
            size: contents.len() as u64,
            is_dir: false,
        };
        Ok(files.iter().map(entry).collect())
    }
    fn write(&self, path: &str, contents: &[u8]) -> Result<(), FileError> {
        self.files.lock().unwrap().insert(path.into(), contents.to_vec());
        Ok(())
    }
    fn remove(&self, path: &str) -> Result<(), FileError> {
        self.files.lock().unwrap().remove(path).map(drop).ok_or(FileError::NotFound)
    }
}

/// One slot: opcode, destination and source, offset, immediate.
fn slot(opcode: u8, registers: u8, offset: i16, immediate: i32) -> [u8; 8] {
    let (o, i) = (offset.to_le_bytes(), immediate.to_le_bytes());
    [opcode, registers, o[0], o[1], i[0], i[1], i[2], i[3]]
}

const EXIT: u8 = 0x95;
const MOV: u8 = 0xb7;
const LOAD_BYTE: u8 = 0x71;
const LOAD_WORD: u8 = 0x61;
const LOAD: u8 = 0x79;
const STORE: u8 = 0x7b;
const JUMP: u8 = 0x05;
const CALL: u8 = 0x85;

fn install(name: &str, slots: &[[u8; 8]]) {
    Files::write(&FAKE, name, &slots.concat()).unwrap();
}

fn install_programs() {
    install("noop.bin", &[slot(MOV, 0, 0, 0), slot(EXIT, 0, 0, 0)]);
    install("first_byte.bin", &[slot(LOAD_BYTE, 0x10, 0, 0), slot(EXIT, 0, 0, 0)]);
    install("map_get.bin", &[slot(MOV, 1, 0, 7), slot(MOV, 2, 0, 8), slot(CALL, 0, 0, 0), slot(EXIT, 0, 0, 0)]);
    let stored = slot(STORE, 0x1a, -8, 0);
    install("loop_fail.bin", &[stored, slot(JUMP, 0, 0, 0), slot(JUMP, 0, -1, 0)]);
    let oob = [
        stored,
        slot(MOV, 1, 0, 0),
        slot(STORE, 0x1a, -16, 0),
        slot(LOAD, 0xa1, -16, 0),
        slot(LOAD_WORD, 0x11, 0, 0),
        slot(MOV, 0, 0, 0),
        slot(EXIT, 0, 0, 0),
    ];
    install("oob.bin", &oob);
    install("empty.bin", &[]);
    Files::write(&FAKE, "half.bin", &[0; 12]).unwrap();
}

fn say(shell: &mut Shell, input: &str) -> String {
    assert_eq!(shell.feed(input.as_bytes()), input.len());
    let mut output = vec![0; 65536];
    let count = shell.drain(&mut output);
    String::from_utf8(output[..count].to_vec()).unwrap()
}

/// Addresses of stack and memory differ from run to run.
fn without_addresses(text: &str) -> String {
    let mut words = text.split_inclusive([' ', '\n']).collect::<Vec<_>>();
    for word in &mut words {
        if word.starts_with("0x") && word.trim_end().ends_with("/512") {
            *word = "0x…/512\n";
        }
    }
    words.concat()
}

extern "C" fn raise(signal: i32) -> i32 {
    signal - 1
}

#[cfg_attr(test, test)]
pub(crate) fn a_session() {
    let platform = Platform {
        name: "test",
        clock: &FAKE,
        probe_read: &FAKE,
        console: &FAKE,
        text: None,
        exec: None,
        files: &FAKE,
        cpu: &FAKE,
        give_way: &Preemptive,
        timer: None,
    };
    install_programs();
    let runtime = Runtime::init(platform, runtime::Config::default()).unwrap();
    let symbols = [("main", 0x1000), ("other", 0x2000)];
    let symbols = symbols.map(|(name, address)| Symbol { name, address, function: true });
    runtime.add_symbols(SymbolTable::new(symbols.into_iter()).unwrap());
    let config = Config { raise: Some(raise), ..Config::default() };
    let mut shell = Shell::new(runtime, config);

    let expected = include_str!("transcripts/engine.session");
    let mut actual = String::new();
    let mut prompt = "> ".to_owned();
    for line in expected.lines().filter_map(|line| line.strip_prefix("> ")) {
        actual.push_str(&format!("> {line}\n"));
        let said = say(&mut shell, &format!("{line}\n"));
        let said = said.strip_prefix(&prompt).unwrap();
        prompt.clear();
        actual.push_str(said.strip_suffix("> ").unwrap());
        for line in std::mem::take(&mut *FAKE.console.lock().unwrap()).lines() {
            actual.push_str(&format!("console: {line}\n"));
        }
    }
    let actual = without_addresses(&actual);
    #[cfg(test)]
    if std::env::var_os("USHELL_BLESS").is_some() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
        return std::fs::write(std::path::Path::new(folder).join("engine.session"), actual).unwrap();
    }
    common::assert_same("engine.session", &actual, expected);
}
