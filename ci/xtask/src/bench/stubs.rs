//! Every kind of entry stub in a real program, SQLite: size, instructions, time; and `count` on a function that is called for each row.

use super::{
    instructions, output,
    results::Figure,
    sample::{Samples, Spread},
    Plan,
};
use crate::{setup, target, Result};
use object::{Object, ObjectSection, SectionFlags};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A kind of entry stub: name, flags of gcc.
struct StubKind {
    name: &'static str,
    flags: &'static [&'static str],
}

const NONE: &str = "none";
const KINDS: &[StubKind] = &[
    StubKind { name: NONE, flags: &[] },
    StubKind { name: "patchable", flags: &["-fpatchable-function-entry=5"] },
    StubKind { name: "mfentry", flags: &["-pg", "-mfentry", "-mrecord-mcount", "-mnop-mcount"] },
    StubKind { name: "pg", flags: &["-pg", "-mrecord-mcount", "-mnop-mcount"] },
    StubKind { name: "instrument", flags: &["-finstrument-functions"] },
];
/// The kind whose five nops the engine makes one when it starts.
const PATCHABLE: &str = "patchable";
/// Percent more instructions with stubs made ready and nothing attached, at most.
const INSTRUCTIONS: f64 = 2.0;
/// Percent of the throughput that `count` may take.
const LOSS: f64 = -5.0;
/// Called for each row of a query.
const PER_ROW: &str = "sqlite3VdbeExec";

/// What is measured of one kind.
struct Built {
    name: &'static str,
    program: PathBuf,
    sizes: Sizes,
}

/// Bytes.
struct Sizes {
    /// `.text` of SQLite and the workload.
    text: u64,
    /// Everything of them that is loaded, records included.
    loaded: u64,
    /// The stripped program.
    file: u64,
}

/// All figures.
pub fn run(plan: &Plan) -> Result<Vec<Figure>> {
    let source = sqlite_source(plan)?;
    let library = library(plan)?;
    let folder = target::folder(&plan.root, "bench/sqlite");
    fs::create_dir_all(&folder)?;
    let mut built = Vec::new();
    for kind in KINDS {
        built.push(build(plan, kind, &source, &library, &folder)?);
    }
    let mut figures = sizes(&built)?;
    figures.extend(times(plan, &built, &folder)?);
    if !plan.smoke {
        figures.extend(counted(&built, &folder)?);
    }
    Ok(figures)
}

/// The folder with `sqlite3.c`, in the crate that carries it.
fn sqlite_source(plan: &Plan) -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--features", "sqlite-source"]);
    let text = output(cargo.current_dir(plan.root.join("bench")))?;
    let manifest = text.split('"').find(|part| part.contains("/libsqlite3-sys-") && part.ends_with("/Cargo.toml"));
    let manifest = Path::new(manifest.ok_or("cargo does not say where libsqlite3-sys is")?);
    let folder = manifest.with_file_name("sqlite3");
    match folder.join("sqlite3.c").is_file() {
        true => Ok(folder),
        false => Err(format!("{} has no sqlite3.c", folder.display()).into()),
    }
}

/// Engine, tracer and shell as an archive.
fn library(plan: &Plan) -> Result<PathBuf> {
    let target = target::folder(&plan.root, "bench-build");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--release", "--package", "ubpf-platform-linux"]);
    cargo.current_dir(plan.root.join("bench"));
    setup::run(cargo.env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join("release/libubpf_platform_linux.a"))
}

/// Compiles SQLite, which takes long and is kept, and the workload, and links both.
fn build(plan: &Plan, kind: &StubKind, source: &Path, library: &Path, folder: &Path) -> Result<Built> {
    let workload = plan.root.join("bench/c/sqlite.c");
    let mut objects = Vec::new();
    for (part, file) in [("sqlite3", source.join("sqlite3.c")), ("workload", workload)] {
        let object = folder.join(format!("{part}-{}.o", kind.name));
        if part == "workload" || !object.exists() {
            let partial = object.with_extension("partial");
            let mut gcc = Command::new("gcc");
            gcc.args(["-O2", "-fno-pie", "-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION", "-w"]);
            gcc.args(kind.flags).arg("-I").arg(plan.root.join("include")).arg("-I").arg(source);
            setup::run(gcc.arg("-c").arg(&file).arg("-o").arg(&partial))?;
            fs::rename(&partial, &object)?;
        }
        objects.push(object);
    }
    let program = folder.join(kind.name);
    let mut gcc = Command::new("gcc");
    gcc.arg("-no-pie").args(&objects).arg(library).arg("-o").arg(&program);
    setup::run(gcc.args(["-lpthread", "-ldl", "-lm", "-Wl,--gc-sections", "-Wl,-z,nostart-stop-gc"]))?;
    let sizes = measure(&objects, &program)?;
    Ok(Built { name: kind.name, program, sizes })
}

fn measure(objects: &[PathBuf], program: &Path) -> Result<Sizes> {
    const ALLOC: u64 = 2;
    let (mut text, mut loaded) = (0, 0);
    for object in objects {
        let bytes = fs::read(object)?;
        for section in object::File::parse(&*bytes)?.sections() {
            if section.name()?.starts_with(".text") {
                text += section.size();
            }
            if matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.0 & ALLOC != 0) {
                loaded += section.size();
            }
        }
    }
    let stripped = program.with_extension("stripped");
    setup::run(Command::new("llvm-objcopy").arg("--strip-all").arg(program).arg(&stripped))?;
    let file = fs::metadata(stripped)?.len();
    Ok(Sizes { text, loaded, file })
}

fn of<'b>(built: &'b [Built], name: &str) -> Result<&'b Built> {
    built.iter().find(|b| b.name == name).ok_or_else(|| format!("no kind of stub {name}").into())
}

fn percent(value: f64, base: f64) -> f64 {
    100.0 * (value / base - 1.0)
}

fn sizes(built: &[Built]) -> Result<Vec<Figure>> {
    let base = &of(built, NONE)?.sizes;
    let mut figures = vec![
        Figure::plain("stubs.bytes.text.none", Spread::exact(base.text as f64 / 1024.0), "KiB"),
        Figure::plain("stubs.bytes.loaded.none", Spread::exact(base.loaded as f64 / 1024.0), "KiB"),
    ];
    let more = |value: u64, base: u64| Spread::exact(percent(value as f64, base as f64));
    for Built { name, sizes, .. } in built.iter().filter(|b| b.name != NONE) {
        figures.push(Figure::plain(format!("stubs.text.{name}"), more(sizes.text, base.text), "%"));
        figures.push(Figure::plain(format!("stubs.loaded.{name}"), more(sizes.loaded, base.loaded), "%"));
        let file = (sizes.file as f64 - base.file as f64) / 1024.0;
        figures.push(Figure::plain(format!("stubs.file.{name}"), Spread::exact(file), "KiB"));
    }
    Ok(figures)
}

/// One workload in its own process; its figures.
fn workload(built: &Built, arguments: &[&str], folder: &Path) -> Result<String> {
    output(Command::new(&built.program).args(arguments).current_dir(folder))
}

/// Nanoseconds of one process of each kind, in turns, several times; then `count` per row.
fn times(plan: &Plan, built: &[Built], folder: &Path) -> Result<Vec<Figure>> {
    fs::copy(plan.programs().join("count.bin"), folder.join("count.bin"))?;
    let rounds = if plan.smoke { "1" } else { "21" };
    let (mut samples, mut attached) = (Samples::default(), Samples::default());
    for _ in 0..plan.processes {
        let mut lines = String::new();
        let mut add = |name: &str, text: &str| {
            let time = text.lines().find_map(|line| line.strip_prefix("off\t"));
            lines.push_str(&format!("{name}\t{}\n", time.unwrap_or("none")));
        };
        for kind in built {
            add(kind.name, &workload(kind, &["plain", rounds], folder)?);
        }
        for name in [NONE, PATCHABLE] {
            let text = workload(of(built, name)?, &["started", rounds, "socket"], folder)?;
            add(&format!("{name}-started"), &text);
        }
        samples.add(&lines)?;
        let count = ["count", rounds, "socket", PER_ROW, "count.bin"];
        attached.add(&workload(of(built, PATCHABLE)?, &count, folder)?)?;
    }
    let more = |name: &str, base: &str| samples.over(|get| Some(percent(get(name)?, get(base)?)));
    let base = samples.over(|get| Some(get(NONE)? / 1e6))?;
    let mut figures = vec![Figure::plain("stubs.workload.none", base, "ms")];
    for kind in built.iter().filter(|b| b.name != NONE) {
        figures.push(Figure::plain(format!("stubs.time.{}", kind.name), more(kind.name, NONE)?, "%"));
    }
    let rewritten = more("patchable-started", "none-started")?;
    figures.push(Figure::plain("stubs.time.rewritten", rewritten, "%"));
    let loss = attached.over(|get| Some(100.0 * (1.0 / get("ratio")? - 1.0)))?;
    figures.push(Figure::at_least("stubs.count.throughput", loss, "%", LOSS));
    figures.push(Figure::plain("stubs.count.hits", attached.of("hits")?, "count"));
    let each = attached.over(|get| Some((get("on")? - get("off")?) / get("hits")?))?;
    figures.push(Figure::plain("stubs.count.hit", each, "ns"));
    Ok(figures)
}

/// Instructions of one workload.
fn counted(built: &[Built], folder: &Path) -> Result<Vec<Figure>> {
    let count = |name: &str, arguments: &[&str]| {
        let program = &of(built, name)?.program;
        instructions(program, &["--toggle-collect=workload"], arguments)
    };
    let socket = folder.join("socket-counted");
    let socket = socket.to_string_lossy();
    let Some(base) = count(NONE, &["plain", "1"])? else {
        println!("valgrind is not installed: no instructions are counted");
        return Ok(Vec::new());
    };
    let mut figures = vec![Figure::plain("stubs.workload.instructions", Spread::exact(base / 1e6), "M")];
    for kind in KINDS.iter().filter(|kind| kind.name != NONE) {
        let more = count(kind.name, &["plain", "1"])?.map_or(f64::NAN, |count| percent(count, base));
        figures.push(Figure::plain(format!("stubs.instructions.{}", kind.name), Spread::exact(more), "%"));
    }
    if let Some(rewritten) = count(PATCHABLE, &["started", "1", &socket])? {
        let more = Spread::exact(percent(rewritten, base));
        figures.push(Figure::at_most("stubs.instructions.rewritten", more, "%", INSTRUCTIONS));
    }
    Ok(figures)
}
