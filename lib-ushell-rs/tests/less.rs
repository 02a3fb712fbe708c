//! Images with less in them; `ci/arch.sh` builds them so. Without packages flat programs run as ever, and what packages bring is refused by
//! name. A terse one says the same in codes, and leaves editing and help to its client.
#![cfg(any(feature = "terse", not(feature = "packages")))]

use std::{sync::OnceLock, time::Instant};
use ubpf_rs::{
    isa::assemble,
    object::MAGIC,
    platform::{Clock, DirEntry, FileError, Files, Platform},
    runtime::{self, Runtime},
};
use ushell_rs::{Config, Shell};

struct Uptime;

impl Clock for Uptime {
    fn now_ns(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

struct SomeFiles;

impl Files for SomeFiles {
    fn read(&self, path: &str, _: usize) -> Result<Vec<u8>, FileError> {
        let flat = |text| Ok(assemble(text).expect("a program"));
        match path {
            "put.bin" => flat("r1 = 1\nr2 = 2\nr3 = 5\ncall 1\nr1 = 1\nr2 = 2\ncall 0\nexit"),
            "empty.bin" => Ok(Vec::new()),
            "lookup.bin" => flat("call 1\nexit"),
            "calls.pkg" => Ok(MAGIC.to_vec()),
            _ => Err(FileError::NotFound),
        }
    }
    fn list(&self, _: &str) -> Result<Vec<DirEntry>, FileError> {
        Ok(Vec::new())
    }
    fn write(&self, _: &str, _: &[u8]) -> Result<(), FileError> {
        Err(FileError::ReadOnly)
    }
    fn remove(&self, _: &str) -> Result<(), FileError> {
        Err(FileError::ReadOnly)
    }
}

/// A session with the engine; there is one in a process.
fn session() -> impl FnMut(&str) -> String {
    let platform = Platform { files: &SomeFiles, ..Platform::bare("test", &Uptime) };
    let engine = Runtime::init(platform, runtime::Config::default()).expect("an engine");
    let mut shell = Shell::new(engine, Config::default());
    shell.connected();
    move |line| {
        assert_eq!(shell.feed(format!("{line}\n").as_bytes()), line.len() + 1);
        let mut output = vec![0; 65536];
        let count = shell.drain(&mut output);
        String::from_utf8(output[..count].to_vec()).expect("text").replace("> ", "")
    }
}

#[cfg(not(feature = "packages"))]
#[test]
fn flat_programs_run_and_packages_are_refused() {
    let mut say = session();
    assert_eq!(say("bpf_exec put.bin"), "The program returned: 5\n");
    assert_eq!(say("bpf_map_get 1 2"), "5\n");
    let refused = say("bpf_exec calls.pkg");
    assert!(refused.contains("takes flat programs only"), "{refused}");
    let refused = say("bpf_exec lookup.bin --abi linux");
    assert!(refused.contains("unknown helper 1 at PC 0"), "{refused}");
    for command in ["prog list", "map list", "trace records"] {
        let answer = say(command);
        assert!(answer.starts_with("unknown command"), "{command}: {answer}");
        assert!(
            answer.ends_with("this image takes flat programs only (Unikraft: LIBUBPF_RS_PACKAGES)\n"),
            "{command}: {answer}"
        );
    }
    assert!(!say("help").contains("packages"), "no word of what there is not");
}

#[cfg(all(feature = "terse", feature = "packages"))]
#[test]
fn a_terse_image_has_codes_and_no_editing() {
    let mut say = session();
    assert_eq!(say("bpf_exec put.bin"), "The program returned: 5\n");
    let refused = say("bpf_exec empty.bin");
    let code = refused.trim_end().strip_prefix("Failed to load code: #").expect("a code");
    assert!(code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_hexdigit()), "{refused}");
    let refused = say("bpf_exec lookup.bin --abi linux");
    assert!(refused.contains('#') && refused.ends_with(")\n"), "a code with its values: {refused}");
    assert_eq!(say("help version"), "Usage: version\n");
    assert!(say("help").lines().any(|line| line == "version"), "usage alone");
    assert_eq!(say("versio"), "unknown command `versio`; try `help`\n");
    for command in ["mode terminal", "terminal on"] {
        assert_eq!(say(command), "no editing in a terse image: `ushell` has it\n");
    }
    // A key of a terminal is no text, and switches nothing on.
    assert_eq!(say("\x1b[A"), "line contains control characters: ignored\n");
    assert_eq!(say("version\t"), format!("ushell-rs {}\n", env!("CARGO_PKG_VERSION")));
    // What a client completes with.
    assert!(say("complete ver").contains("version"), "for programs");
}
