//! `cargo xtask size` on build folders that a C compiler makes.

use super::scratch;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Functions, constants and data as they are called in our object.
const OWN: &str = r#"
int one(int n) __asm__("_ZN7ubpf_rs8verifier7analyse17h93e74a3932643991E");
int one(int n) { return n * 3; }
int two(int n) __asm__("_ZN76_$LT$ubpf_rs..jit..x86_64..JitProgram$u20$as$u20$ubpf_rs..vm..Executable$GT$3run17h5a99e31a4821ef3aE");
int two(int n) { return n * 5; }
int ubpf_attach(int n) { return n * 7; }
int ukglue_wait(int n) { return n * 9; }
int of_no_part(int n) { return n * 11; }
const char message[100] = "a constant";
static volatile char symbol_table[1000] __attribute__((used)) = { 1 };
static volatile char exec_arena[4096] __attribute__((used));
char data[32] = { 1 };
"#;

fn run(command: &mut Command) {
    assert!(command.status().expect("a tool").success(), "{command:?}");
}

/// A folder as Unikraft leaves one behind.
fn build(name: &str, own: bool) -> PathBuf {
    let folder = scratch(&format!("size-{name}"));
    fs::write(folder.join("own.c"), OWN).expect("a source");
    fs::write(folder.join("main.c"), "int main(void) { return 0; }\n").expect("a source");
    let mut image = Command::new("gcc");
    image.current_dir(&folder);
    run(image.args(["-static", "-nostdlib", "-Wl,-emain", "-o", "app_qemu-x86_64.dbg", "main.c"]));
    let mut strip = Command::new("strip");
    strip.current_dir(&folder);
    run(strip.args(["app_qemu-x86_64.dbg", "-o", "app_qemu-x86_64"]));
    if own {
        let mut object = Command::new("gcc");
        object.current_dir(&folder);
        run(object.args([
            "-O2",
            "-ffunction-sections",
            "-fno-asynchronous-unwind-tables",
            "-c",
            "own.c",
            "-o",
            "libubpf_rs.o",
        ]));
    }
    folder
}

/// What the command writes, and whether it succeeded.
fn size(arguments: &[&Path]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("size").args(arguments).output().expect("xtask");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// The value in the first column of a row.
fn value(table: &str, row: &str) -> u64 {
    let line = table.lines().find(|line| line.starts_with(&format!("| {row}")));
    let line = line.unwrap_or_else(|| panic!("no row {row}:\n{table}"));
    let cell = line.split('|').nth(2).expect("a cell").trim().replace(',', "");
    cell.parse().expect("a number")
}

#[test]
fn code_is_counted_by_part_and_nothing_is_lost() {
    let folder = build("parts", true);
    let (read, table) = size(&[&folder]);
    assert!(read, "{table}");
    let image = fs::metadata(folder.join("app_qemu-x86_64")).expect("an image");
    assert_eq!(value(&table, "size-parts"), image.len());
    for part in ["verifier", "compiler", "C interface", "glue in C", "the rest"] {
        assert!(value(&table, part) > 0, "{part}:\n{table}");
    }
    assert_eq!(value(&table, "interpreter"), 0);
    assert_eq!(value(&table, "names of functions"), 1000);
    assert_eq!(value(&table, "memory for machine code"), 4096);
    assert_eq!(value(&table, "data"), 32);
    assert_eq!(value(&table, "constants"), 100);
    let code: u64 = table
        .lines()
        .skip_while(|line| !line.starts_with("| verifier"))
        .take_while(|line| !line.starts_with("| code, together"))
        .map(|line| value(line, ""))
        .sum();
    assert_eq!(code, value(&table, "code, together"));
}

#[test]
fn builds_stand_side_by_side_with_the_library_or_without() {
    let (with, without) = (build("with", true), build("without", false));
    let (read, table) = size(&[&with, &without]);
    assert!(read, "{table}");
    assert!(value(&table, "size-with") > 0 && value(&table, "size-without") > 0);
    let (read, table) = size(&[&without]);
    assert!(read && !table.contains("verifier"), "{table}");
}

#[test]
fn what_is_no_build_is_named() {
    let empty = scratch("size-empty");
    let broken = build("broken", true);
    fs::write(broken.join("libubpf_rs.o"), "no object").expect("a file");
    let two = build("two", false);
    fs::write(two.join("second.dbg"), "").expect("a file");
    let gone = empty.join("gone");
    for (folder, sentence) in
        [(&empty, "no *.dbg in it"), (&gone, "gone"), (&two, "several images"), (&broken, "libubpf_rs.o")]
    {
        let (read, said) = size(&[folder]);
        assert!(!read && said.contains(sentence), "{sentence}: {said}");
    }
    let (read, said) = size(&[]);
    assert!(!read && said.contains("usage"), "{said}");
}
