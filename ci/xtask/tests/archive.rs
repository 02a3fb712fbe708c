//! The archives of `cargo xtask archive`: what they export and what they need, read from their symbols.

use object::{Object, ObjectSymbol};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn run(command: &mut Command) -> Vec<u8> {
    let done = command.output().expect("it starts");
    assert!(done.status.success(), "{command:?}: {done:?}");
    done.stdout
}

/// The folder with all archives, made once.
fn archives() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("archives");
        let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
        run(xtask.arg("archive").arg("--to").arg(&folder));
        folder
    })
}

type Names = BTreeSet<String>;

fn names(list: &[&str]) -> Names {
    list.iter().map(|&name| name.into()).collect()
}

/// The functions of the C interface of the engine, and of the shell, as Unikraft exports them.
fn interface(prefixes: &[&str]) -> Names {
    let list = fs::read_to_string(root().join("exportsyms.uk")).expect("the list of exports");
    let known = |line: &&str| prefixes.iter().any(|prefix| line.starts_with(prefix));
    list.lines().filter(known).map(str::to_owned).collect()
}

/// What an archive is to export, by its file.
fn expected(file: &str) -> Names {
    let (prefixes, more): (&[&str], &[&str]) = match file {
        "libubpf_rs.a" => (&["ubpf_"], &["ubpf_instrument_entry"]),
        "libushell_rs.a" => (&["ubpf_", "ushell_"], &["ubpf_instrument_entry"]),
        _ => (
            &["ubpf_", "ushell_"],
            &["ubpf_linux_start", "ubpf_linux_drain", "__cyg_profile_func_enter", "__cyg_profile_func_exit"],
        ),
    };
    &interface(prefixes) | &names(more)
}

const FILES: [&str; 3] = ["libubpf_rs.a", "libushell_rs.a", "libubpf_platform_linux.a"];

/// What `nm` says with these options, the names alone.
fn nm(options: &[&str], file: &Path) -> Names {
    let text = run(Command::new("nm").args(options).arg(file));
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter(|line| line.starts_with([' ', '0']));
    lines.filter_map(|line| line.split_whitespace().last().map(str::to_owned)).collect()
}

#[test]
fn an_archive_exports_the_c_interface_alone() {
    for file in FILES {
        let exported = nm(&["-g", "--defined-only"], &archives().join(file));
        assert_eq!(exported, expected(file), "{file}");
    }
}

#[test]
fn so_does_a_shared_object_made_of_it() {
    for file in FILES {
        let object = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file.replace(".a", ".so"));
        let mut link = Command::new("gcc");
        link.args(["-shared", "-Wl,-z,text", "-Wl,--whole-archive"]);
        link.arg(archives().join(file));
        run(link.arg("-Wl,--no-whole-archive").arg("-o").arg(&object));
        let bytes = fs::read(&object).expect("the shared object");
        let parsed = object::File::parse(&*bytes).expect("an ELF file");
        let symbols = parsed.dynamic_symbols().filter(|s| !s.is_undefined());
        let exported = symbols.filter_map(|s| s.name().ok().map(str::to_owned));
        assert_eq!(exported.collect::<Names>(), expected(file), "{file}");
    }
}

/// Five functions that every C compiler expects, and those of platform.h.
#[test]
fn an_archive_that_stands_alone_needs_nothing_surprising() {
    for file in ["libubpf_rs.a", "libushell_rs.a"] {
        let needed = nm(&["-u"], &archives().join(file));
        let of_c = names(&["memcmp", "memcpy", "memmove", "memset", "strlen"]);
        let of_platform = names(&["ubpf_platform_alloc", "ubpf_platform_free", "ubpf_platform_panic"]);
        assert_eq!(needed, &of_c | &of_platform, "{file}");
    }
}

/// A traced program over the test platform, stripped archive and all; with these options of the compiler.
fn traced(name: &str, archive: &Path, options: &[&str]) -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (own, platform) = (root().join("ci/xtask/tests/c"), root().join("lib-ubpf-rs/tests/c"));
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=gnu99", "-O1", "-Wall", "-Wextra", "-Werror", "-fpatchable-function-entry=5"]).args(options);
    gcc.arg("-I").arg(archives().join("include")).arg("-I").arg(&platform);
    gcc.args([own.join("symbols.c"), platform.join("platform.c"), platform.join("traced.c")]).arg(archive);
    run(gcc.args(["-lpthread", "-Wl,-z,nostart-stop-gc", "-o"]).arg(&program));
    program
}

/// What `nm` prints of a program, in a file.
fn list(program: &Path, options: &[&str], name: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&file, run(Command::new("nm").args(options).arg(program))).expect("a list");
    file
}

/// Starts a traced program with a list of symbols and how it is given; what it says.
fn play(program: &Path, list: &Path, order: &str) -> String {
    let said = run(Command::new(program).arg(list).arg(order));
    String::from_utf8_lossy(&said).into_owned()
}

/// A list as `nm` prints it is good, wherever the program was loaded and whatever the list has lost; one that fits no entry stub is
/// refused, whether it comes before the stubs or after them.
#[test]
fn symbols_are_moved_with_the_program_or_refused() {
    let stripped = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stripped.a");
    let whole = archives().join("libubpf_rs.a");
    run(Command::new("strip").args(["--strip-unneeded", "-o"]).arg(&stripped).arg(&whole));
    for (name, archive, options) in [
        ("fixed", &whole, ["-fno-pie", "-no-pie"]),
        ("moved", &whole, ["-fpie", "-pie"]),
        ("moved-stripped", &stripped, ["-fpie", "-pie"]),
    ] {
        let program = traced(name, archive, &options);
        let full = list(&program, &[], "full.nm");
        let global = list(&program, &["-g", "--defined-only"], "global.nm");
        // Nothing of the engine in it, so nothing says how far the program was moved.
        let bare = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bare.nm");
        let text = fs::read_to_string(&full).expect("the list");
        let lines = text.lines().filter(|line| !line.contains("ubpf"));
        fs::write(&bare, lines.collect::<Vec<_>>().join("\n")).expect("a list");
        let far = Path::new(env!("CARGO_TARGET_TMPDIR")).join("far.nm");
        fs::write(&far, "40001000 T main\n40002000 T traced\n").expect("a list");
        // Another program with the same engine: two functions of it lie differently.
        let other = Path::new(env!("CARGO_TARGET_TMPDIR")).join("other.nm");
        fs::write(&other, text.replace(" T ubpf_start\n", " T started\n") + "10 T ubpf_start\n").expect("a list");
        for order in ["symbols-first", "sites-first"] {
            for good in [&full, &global] {
                assert_eq!(play(&program, good, order), "traced\n", "{name} {order} {}", good.display());
            }
            let moved = options.contains(&"-pie");
            let said = play(&program, &bare, order);
            assert_eq!(said == "traced\n", !moved, "{name} {order}: {said}");
            assert!(!moved || said.contains("lies in a function of the list"), "{name} {order}: {said}");
            let said = play(&program, &far, order);
            assert!(said.contains("lies in a function of the list"), "{name} {order}: {said}");
            if archive == &whole {
                let said = play(&program, &other, order);
                assert!(said.contains("of another image: ubpf_start"), "{name} {order}: {said}");
            }
        }
    }
}

#[test]
fn the_headers_come_with_the_archives() {
    let source = "#include <ubpf_rs.h>\n#include <ushell_rs.h>\n#include <ubpf_linux.h>\n";
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("includes.c");
    fs::write(&file, source).expect("a source");
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c99", "-pedantic", "-Werror", "-fsyntax-only", "-I"]);
    run(gcc.arg(archives().join("include")).arg(&file));
}
