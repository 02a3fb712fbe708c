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

#[test]
fn the_headers_come_with_the_archives() {
    let source = "#include <ubpf_rs.h>\n#include <ushell_rs.h>\n#include <ubpf_linux.h>\n";
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("includes.c");
    fs::write(&file, source).expect("a source");
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c99", "-pedantic", "-Werror", "-fsyntax-only", "-I"]);
    run(gcc.arg(archives().join("include")).arg(&file));
}
