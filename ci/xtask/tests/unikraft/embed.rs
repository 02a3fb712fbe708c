//! The tool that writes names into a finished image, on programs of its own.

use super::{root, scratch};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

const TABLE: &str = r#"
extern "C" const volatile struct { char magic[16]; unsigned capacity, used; char data[CAPACITY]; }
    names __attribute__((used)) = { "ubpf-rs\x1bsymtab\x04", CAPACITY, 0, { 1 } };
"#;

const SOURCE: &str = r#"
#define KEEP __attribute__((noinline, used))
template<class T> KEEP int pattern(T) { return sizeof(T); }
namespace app { KEEP int inner(int x) { return x; } }
struct Klass { KEEP int method(int x) { return x + 1; } static KEEP int fixed() { return 2; } };
extern "C" {
KEEP int _Rust_like(int x) { return x + 3; }
KEEP int _ZNot_rust(int x) { return x + 4; }
#ifndef PLUS
#define PLUS 5
#endif
KEEP int named(int x) { return x + PLUS; }
int alias_of_named(int x) __attribute__((alias("named")));
KEEP __attribute__((patchable_function_entry(0, 0))) int bare(int x) { return x + 6; }
KEEP __attribute__((patchable_function_entry(4, 0))) int four(int x) { return x + 7; }
}
struct LONG {};
int main() {
    Klass k;
    return pattern(1) + pattern(LONG()) + app::inner(1) + k.method(1) + Klass::fixed() + _Rust_like(1) + _ZNot_rust(1) + named(1) + bare(1) + four(1);
}
"#;

fn tool() -> &'static Path {
    static TOOL: OnceLock<PathBuf> = OnceLock::new();
    TOOL.get_or_init(|| {
        let target = scratch("embed-tool");
        let package = root().join("platforms/unikraft/tool");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.arg("build").args(["--offline", "--locked", "--quiet"]);
        cargo.current_dir(package).arg("--target-dir").arg(&target);
        assert!(cargo.status().expect("cargo starts").success());
        target.join("debug/ubpf-embed")
    })
}

/// A program with its table, as image and as debug file.
struct Image {
    debug: PathBuf,
    image: PathBuf,
}

impl Image {
    fn new(name: &str, flags: &[&str], capacity: usize) -> Image {
        let folder = scratch(&format!("embed-{name}"));
        let source = folder.join("main.cc");
        let long = "X".repeat(3000);
        let table = TABLE.replace("extern \"C\" const", "extern const").replace("CAPACITY", &capacity.to_string());
        fs::write(&source, format!("{table}{}", SOURCE.replace("LONG", &long))).expect("a source");
        let debug = folder.join("image.dbg");
        let mut compile = Command::new("g++");
        compile.args(["-O1", "-no-pie", "-fpatchable-function-entry=5"]).args(flags);
        compile.arg(&source).arg("-o").arg(&debug);
        assert!(compile.status().expect("g++ starts").success());
        let image = folder.join("image");
        let strip = Command::new("strip").arg(&debug).arg("-o").arg(&image).status();
        assert!(strip.expect("strip starts").success());
        Image { debug, image }
    }

    fn embed(&self) -> Output {
        let mut tool = Command::new(tool());
        tool.arg(&self.debug).arg(&self.image).output().expect("the tool starts")
    }

    fn contents(&self) -> [Vec<u8>; 2] {
        [&self.debug, &self.image].map(|path| fs::read(path).expect("a file"))
    }

    /// Refused with this text, and both files as they were.
    fn refused(&self, why: &str) {
        let before = self.contents();
        let output = self.embed();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{why}: {said}");
        assert!(before == self.contents(), "{why}: a file was changed");
        let folder = self.image.parent().expect("a folder");
        assert_eq!(fs::read_dir(folder).expect("the folder").count(), 3, "something is left over");
    }

    /// What was written into the image.
    fn table(&self) -> Vec<u8> {
        let [debug, image] = self.contents().map(|file| table(&file).to_vec());
        assert!(debug.starts_with(&image[..1000]));
        image
    }

    /// The id of the image, as it stands there; the tool says the same.
    fn id(&self) -> String {
        let said = self.embed().stderr;
        let id: String = self.table()[..16].iter().map(|b| format!("{b:02x}")).collect();
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with(&format!("ubpf-embed: image {id}: ")), "{said}");
        id
    }

    /// Names with kind of stub and address, as they stand in the image.
    fn names(&self) -> Vec<(String, u8, u64)> {
        let image = self.table();
        let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().expect("4 bytes"));
        let count = word(16 + 8) as usize;
        let names = &image[16 + 12 + count * 10..];
        let entry = |at: usize| {
            let rest = word(at + 4);
            let name = names[(rest & 0xff_ffff) as usize..].split(|byte| *byte == 0).next().expect("a name");
            let name = String::from_utf8(name.to_vec()).expect("a text");
            (name, (rest >> 24) as u8 & 3, u64::from(word(at)))
        };
        (0..count).map(|number| entry(16 + 12 + number * 8)).collect()
    }
}

/// What was written behind the numbers of the table.
fn table(file: &[u8]) -> &[u8] {
    let magic = b"ubpf-rs\x1bsymtab\x04\0";
    let mut windows = file.windows(16);
    let at = windows.position(|window| window == magic).expect("a table");
    &file[at + 24..]
}

/// What can be tested without an image stands beside the tool's sources.
#[test]
fn the_tools_own_tests() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--offline", "--locked", "--quiet"]);
    cargo.current_dir(root().join("platforms/unikraft/tool"));
    let output = cargo.arg("--target-dir").arg(scratch("embed-tests")).output();
    let output = output.expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Another byte of code or another name: another image. A stub that is exchanged while the image runs: the same.
#[test]
fn an_image_has_an_id() {
    let image = Image::new("id", &[], 32 << 10);
    let id = image.id();
    assert_eq!(id, image.id(), "nothing is left of the first time");
    assert_ne!(id, Image::new("id-code", &["-DPLUS=9"], 32 << 10).id());
    assert_ne!(id, Image::new("id-name", &["-Dinner=outer"], 32 << 10).id());

    let attached = Image::new("id-attached", &[], 32 << 10);
    let change = |path: &Path, new: &[u8]| {
        let mut file = fs::read(path).expect("a file");
        let mut places = file.windows(5);
        let at = places.position(|window| window == [0x90; 5]);
        let at = at.expect("a stub");
        file[at..at + new.len()].copy_from_slice(new);
        fs::write(path, file).expect("writable");
    };
    for path in [&attached.debug, &attached.image] {
        change(path, &[0x0f, 0x1f, 0x44, 0, 0]);
    }
    assert_eq!(id, attached.id());
}

#[test]
fn help_and_version_stand_on_standard_output() {
    let run = |args: &[&str]| Command::new(tool()).args(args).output().expect("the tool starts");
    for (args, words) in [(["--help"], "Usage: ubpf-embed IMAGE.dbg IMAGE"), (["-V"], "ubpf-embed 0.1.0")] {
        let output = run(&args);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(words), "{said}");
    }
    for args in [&[][..], &["one"], &["one", "two", "three"]] {
        assert_eq!(run(args).status.code(), Some(64), "{args:?}");
    }
}

#[test]
fn names_of_cpp_and_all_names_of_an_address_stay() {
    let image = Image::new("names", &[], 32 << 10);
    let output = image.embed();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 functions begin with fewer than 5 bytes of nops"), "{said}");
    let names = image.names();
    let find = |name: &str| {
        let mut found = names.iter().filter(|n| n.0 == name);
        let first = found.next().unwrap_or_else(|| panic!("{name} in {names:?}"));
        assert!(found.next().is_none());
        first
    };
    for name in ["_ZN3app5innerEi", "_ZN5Klass6methodEi", "_ZN5Klass5fixedEv", "_Rust_like", "_ZNot_rust", "main"] {
        assert_eq!(find(name).1, 1, "{name}");
    }
    assert_eq!((find("bare").1, find("four").1), (0, 0));
    assert_eq!(find("named").2, find("alias_of_named").2);
    assert_eq!(find("named").1 + find("alias_of_named").1, 1, "one of the two has the stub");
    let long = names.iter().filter(|n| n.0.len() > 3000).count();
    assert_eq!(long, 1, "a name of thousands of bytes stays whole");
}

#[test]
fn stubs_of_every_layout_are_found_behind_the_entry() {
    for (name, flags) in [
        ("7-2", &["-fpatchable-function-entry=7,2"][..]),
        ("cet", &["-fpatchable-function-entry=8,3", "-fcf-protection=full"]),
        ("10-5", &["-fpatchable-function-entry=10,5"]),
        ("16", &["-fpatchable-function-entry=16"]),
    ] {
        let image = Image::new(name, flags, 32 << 10);
        assert!(image.embed().status.success());
        let names = image.names();
        let with = |kind: u8| names.iter().filter(|n| n.1 == kind).count();
        assert!(with(1) >= 8, "{name}: {names:?}");
    }
    for (name, flags) in [("5-5", "-fpatchable-function-entry=5,5"), ("4", "-fpatchable-function-entry=4")] {
        let image = Image::new(name, &[flags], 32 << 10);
        assert!(image.embed().status.success());
        assert!(image.names().iter().all(|n| n.1 == 0), "{name}");
    }
}

#[test]
fn files_that_are_not_of_this_image_are_refused_by_name_and_nothing_is_changed() {
    let change = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let image = Image::new(name, &[], 32 << 10);
        let mut debug = fs::read(&image.debug).expect("a file");
        change(&mut debug);
        fs::write(&image.debug, debug).expect("writable");
        image
    };
    change("big", &|file| file[5] = 2).refused("big-endian");
    change("arm", &|file| file[18] = 183).refused("for ARM");
    change("short", &|file| file[4] = 1).refused("32-bit");
    change("text", &|file| *file = b"hello".to_vec()).refused("no ELF file");
    change("cut", &|file| file.truncate(file.len() / 2)).refused("truncated");
    let other = Image::new("other", &["-O2", "-DLATER"], 32 << 10);
    change("build", &|file| *file = fs::read(&other.debug).expect("a file")).refused("of another build");
    Image::new("small", &[], 1024).refused("set LIBUBPF_RS_SYMBOLS_KIB");
    // Without end, and no ordinary file.
    let mut endless = Image::new("endless", &[], 32 << 10);
    let debug = std::mem::replace(&mut endless.debug, "/dev/zero".into());
    let output = endless.embed();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("no ordinary file"), "{said}");
    endless.debug = debug;
    assert!(endless.embed().status.success());
}
