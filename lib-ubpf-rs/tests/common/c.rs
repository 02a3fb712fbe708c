//! Plain C and C++ programs linked with a stand-alone archive alone, over the platform of `lib-ubpf-rs/tests/c`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// C99 with every warning an error; the same for C++.
const STRICT: &[&str] = &["-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"];

/// C99.
pub const C99: &[&str] = &["gcc", "-std=c99"];
/// C++11.
pub const CPP: &[&str] = &["g++", "-std=c++11", "-x", "c++"];

/// The repository's top folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(command: &mut Command) -> String {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The archive of this crate, built once, in a folder of its own: the tests' own build has other features.
pub fn archive() -> &'static Path {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standalone");
        let package = env!("CARGO_PKG_NAME");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["rustc", "--package", package, "--lib"]);
        cargo.args(["--crate-type", "staticlib", "--features", "standalone"]);
        cargo.current_dir(root()).env_remove("RUSTFLAGS");
        run(cargo.arg("--target-dir").arg(&target));
        target.join(format!("debug/lib{}.a", package.replace('-', "_")))
    })
}

/// Compiles `tests/c/SOURCE.c` of this crate with a compiler, and runs it; gives what it printed.
pub fn program(compiler: &[&str], source: &str) -> String {
    program_with(compiler, source, &[])
}

/// The same with more objects or sources of assembly.
pub fn program_with(compiler: &[&str], source: &str, more: &[PathBuf]) -> String {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
    let platform = root().join("lib-ubpf-rs/tests/c");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let name = format!("{source}-{}", compiler.join("").replace(['=', '+'], "_"));
    let compile = |compiler: &[&str], file: PathBuf, more: &[&str]| {
        let object = out.join(format!("{name}-{}.o", file.file_stem().unwrap_or_default().display()));
        let mut command = Command::new(compiler[0]);
        command.args(&compiler[1..]).args(STRICT).args(more);
        for include in [&root().join("include"), &platform] {
            command.arg("-I").arg(include);
        }
        run(command.arg("-c").arg(file).arg("-o").arg(&object));
        object
    };
    let objects = [
        compile(C99, platform.join("platform.c"), &["-D_DEFAULT_SOURCE"]),
        compile(C99, platform.join("traced.c"), &["-fpatchable-function-entry=5"]),
        compile(compiler, own.join(format!("{source}.c")), &[]),
    ];
    let executable = out.join(&name);
    let mut link = Command::new("gcc");
    link.args(objects).args(more).arg(archive());
    link.args(["-lpthread", "-no-pie", "-Wl,-z,nostart-stop-gc"]);
    run(link.arg("-o").arg(&executable));
    run(&mut Command::new(executable))
}

/// The functions that `exportsyms.uk` lists, by their prefix.
pub fn exports(prefix: &str) -> Vec<String> {
    let list = std::fs::read_to_string(root().join("exportsyms.uk")).expect("the list of exports");
    let names = list.lines().filter(|line| line.starts_with(prefix));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort_unstable();
    names
}

/// Memory ends at the first, the second … allocation of each exported function, as `tests/c/each_call.c` plays it.
pub fn memory_ends_in_each_function(prefix: &str, more: &[PathBuf]) {
    let said = program_with(C99, "each_call", more);
    let played = said.lines().filter_map(|line| line.split(' ').next());
    let mut played: Vec<&str> = played.collect();
    played.sort_unstable();
    assert_eq!(played, exports(prefix), "played, and listed in exportsyms.uk");
}

/// What the header of this crate declares is in the archive, and the list for Unikraft (`exportsyms.uk`) has the same.
pub fn header_archive_and_exports_agree(header: &str, prefix: &str) {
    let header = std::fs::read_to_string(root().join("include").join(header)).expect("the header");
    let mut declared: Vec<&str> = header.split(prefix).skip(1).filter_map(called).collect();
    declared.sort_unstable();
    declared.dedup();
    let listed = exports(prefix);
    let listed: Vec<&str> = listed.iter().map(|name| &name[prefix.len()..]).collect();
    assert_eq!(declared, listed, "declared in {header}, listed in exportsyms.uk");
    let mut nm = Command::new("nm");
    let symbols = nm.args(["-g", "--defined-only"]).arg(archive()).output();
    let symbols = symbols.expect("nm starts").stdout;
    let symbols = String::from_utf8_lossy(&symbols);
    for name in listed {
        let defined = format!(" T {prefix}{name}\n");
        assert!(symbols.contains(&defined), "{prefix}{name} is not defined");
    }
}

/// The rest of a name that an opening bracket follows, where the text begins with one.
fn called(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    text[end..].starts_with('(').then_some(&text[..end])
}

/// Each function of a header has a sentence on threads, and its errors where it can fail.
pub fn each_function_is_described(header: &str) {
    let text = std::fs::read_to_string(root().join("include").join(header)).expect("the header");
    let mut comment = String::new();
    let mut functions = 0;
    for line in text.lines() {
        if line.starts_with("//") {
            comment += line;
            continue;
        }
        let declares = line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains('(');
        if declares && !line.starts_with("typedef") {
            functions += 1;
            assert!(comment.contains("// Threads: "), "{line}");
            let fails = line.starts_with("int ") || line.starts_with("ptrdiff_t ");
            assert!(!fails || comment.contains("// Errors: "), "{line}");
        }
        comment.clear();
    }
    assert!(functions > 8);
}
