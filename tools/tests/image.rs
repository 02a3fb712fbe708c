//! Files of images that are damaged, byte by byte: an error or an id, and nothing else.

use std::{fs, process::Command};
use ubpf_embed::{id, names, table, Elf};

/// A small program with stubs and its names.
fn program(flags: &[&str]) -> Vec<u8> {
    let name = format!("image-{}-{}", std::process::id(), flags.len());
    let (source, output) = ["c", "out"].map(|end| std::env::temp_dir().join(format!("{name}.{end}"))).into();
    let text =
        "int f(int x) { return x + 1; }\nint g(int x) { return f(x) + 2; }\nvoid _start(void) { g(1); for (;;); }\n";
    fs::write(&source, text).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-fno-inline", "-nostdlib", "-static", "-no-pie", "-fno-pie"]).args(flags);
    assert!(gcc.arg(&source).arg("-o").arg(&output).status().unwrap().success());
    let file = fs::read(&output).unwrap();
    let _ = (fs::remove_file(&source), fs::remove_file(&output));
    file
}

/// All that is done with a file before anything is written.
fn read(file: &[u8]) -> Option<usize> {
    let elf = Elf::new(file).ok()?;
    let (functions, _) = names::functions(&elf);
    let table = table::encode(&functions).ok()?;
    let _ = id::of_image(&elf, &functions, &table);
    let _ = id::of_file(file);
    Some(functions.iter().filter(|f| f.stub.0 != 0).count())
}

#[test]
fn a_damaged_file_is_refused_or_read_and_no_more() {
    for flags in [&["-fpatchable-function-entry=5"][..], &["-pg", "-mfentry", "-mrecord-mcount", "-mnop-mcount"]] {
        let file = program(flags);
        assert_eq!(read(&file), Some(3), "{flags:?}");
        for at in 0..file.len() {
            // Most of a file is padding.
            if file[at] == 0 && !file[at.saturating_sub(8)..(at + 8).min(file.len())].iter().any(|&byte| byte != 0) {
                continue;
            }
            for value in [0, 0xff, file[at] ^ 0x80, file[at].wrapping_add(1)] {
                let mut damaged = file.clone();
                damaged[at] = value;
                read(&damaged);
                // A whole number of the largest kind, and its neighbours.
                if let Some(word) = damaged.get_mut(at..at + 8) {
                    word.fill(0xff);
                    word[0] = value;
                    read(&damaged);
                }
            }
        }
        for length in (0..file.len()).step_by(7) {
            assert_eq!(read(&file[..length]), None, "{length}");
        }
    }
}
