//! `ubpf run`: one program, once.

use crate::{
    code_memory,
    load::{load, How, Loaded},
    options::{given, hex, input, number, numbering, policy, policy_of},
    out, refused, Failure, EXIT_STOPPED, LARGEST,
};
use clap::{
    builder::{PossibleValuesParser, TypedValueParser},
    value_parser, Arg, ArgMatches, Command,
};
use std::{
    ffi::OsString,
    fs::File,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};
use ubpf_embed::files::{read_bounded, replace, shown};
use ubpf_pack::CoreTypes;
use ubpf_rs::{
    helpers::{Names, Output, ReadMemory, Registry, RingLayout, Threads, Time, Traced, TracedCall, TwoKey, TwoKeyMaps},
    jit::{self, JitProgram},
    maps::{HeldProgram, InUse, Maps as ObjectMaps, TwoKeyMap},
    object::{MapContent, ProgramKind},
    platform::{copy_of, Thread, Ticks},
    program::Abi,
    runtime::Config,
    verifier::{self, Environment},
    vm::{Callee, Executable, Interpreter, Memory, Run, Stop, INTERPRETED, STACK_BYTES},
};
use ubpf_tools::{
    cli::path,
    output::say,
    progress::{Progress, Unit},
};

#[derive(Clone, Copy)]
enum Engine {
    Interpreter,
    Jit,
}

pub fn definition() -> Command {
    let engine = PossibleValuesParser::new(["interp", "jit"]).map(|name| match name.as_str() {
        "interp" => Engine::Interpreter,
        _ => Engine::Jit,
    });
    Command::new("run")
        .about("Runs a program once, and prints r0; what it prints itself goes to standard error")
        .arg(input("PROG"))
        .arg(
            Arg::new("ARG")
                .value_parser(value_parser!(OsString))
                .conflicts_with_all(["mem", "mem-hex"])
                .help("Its argument: these bytes, and a NUL"),
        )
        .arg(
            Arg::new("mem-hex")
                .long("mem-hex")
                .value_name("HEX")
                .value_parser(hex)
                .conflicts_with("mem")
                .help("Its argument, in hexadecimal"),
        )
        .arg(
            path("mem")
                .long("mem")
                .visible_alias("data")
                .value_name("FILE")
                .help("Its argument, or the packet that it is given: the contents of a file"),
        )
        .arg(
            path("data-out")
                .long("data-out")
                .value_name("FILE")
                .help("Where to write what became of its argument or packet"),
        )
        .arg(numbering(&Abi::ALL).help("How helpers are numbered [default: as the object has it, else classic]"))
        .arg(
            Arg::new("program")
                .short('p')
                .long("program")
                .value_name("NAME")
                .help("Which program of an object or package, where there are several"),
        )
        .arg(
            Arg::new("budget")
                .long("budget")
                .value_name("N")
                .value_parser(number)
                .help("How much it may cost at most [default: 1000000; a thirtieth of it where it is interpreted]"),
        )
        .arg(
            Arg::new("engine")
                .long("engine")
                .value_name("ENGINE")
                .value_parser(engine)
                .help("Interpreter or machine code [default: jit]"),
        )
        .arg(policy())
}

pub fn main(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let memory = memory(matches)?;
    let path = given(matches, "PROG");
    let refuse = |reason: &dyn std::fmt::Display| refused(&format_args!("Failed to load code: {reason}"));
    let helpers = Registry::with_builtins().map_err(|error| refuse(&error))?;
    let abi = matches.get_one::<Abi>("abi").copied();
    let file =
        load(path, &How { abi, types: CoreTypes::Offered, refused: "Failed to load code: ", helpers: &helpers })?;
    let maps = file.maps.clone();
    let loaded = file.one(matches.get_one::<String>("program").map(String::as_str)).map_err(|error| refuse(&error))?;
    loaded.kind.check_argument(memory.len()).map_err(|error| Failure::Usage(error.to_string()))?;
    let engine = matches.get_one("engine").copied().unwrap_or(Engine::Jit);
    let infos = maps.as_deref().and_then(ObjectMaps::infos).unwrap_or_default();
    let prepare = |loaded: &Loaded| {
        let env = Environment { context: loaded.context, ..Environment::new(&helpers).with_maps(&infos) };
        let mut work = verifier::Work::default();
        let verified = verifier::verify(loaded.program.clone(), policy_of(matches), &env, &mut work);
        let verified = verified.map_err(|error| refuse(&loaded.explain(&error)))?;
        for warning in verified.warnings() {
            say(&format!("ubpf: warning: {warning}\n"));
        }
        let code: Arc<dyn Executable> = match engine {
            Engine::Interpreter => Arc::new(Interpreter::new(verified)),
            Engine::Jit => {
                let (pages, options) = (&code_memory::Pages, jit::Options::default());
                let code = JitProgram::with_maps(verified, maps.clone(), pages, options, &mut work);
                Arc::new(code.map_err(|(error, _)| refuse(&error))?)
            }
        };
        Ok::<_, Failure>(code)
    };
    let code = prepare(loaded)?;
    for entry in &file.entries {
        let Some(maps) = &maps else { continue };
        let mut program: Option<HeldProgram> = match entry.value {
            MapContent::Map(_) => None,
            MapContent::Program(index) => {
                let Some(loaded) = file.programs.get(index as usize) else { continue };
                let (name, maps, code) = (loaded.program.name.clone(), Some(maps.clone()), prepare(loaded)?);
                Some(Arc::new(Callee { name, code, maps, helpers: None }))
            }
        };
        maps.hold(entry, &mut |_| program.take()).map_err(|error| refuse(&error))?;
    }
    let budget = matches.get_one("budget").copied();
    let given = Given {
        argument: memory,
        kind: loaded.kind,
        after: matches.get_one::<PathBuf>("data-out").map(PathBuf::as_path),
        budget,
        helpers: &helpers,
        maps: maps.as_deref(),
    };
    let result = run(&*code, given);
    // Programs that call each other would keep each other.
    drop(maps.map(InUse::new));
    result
}

/// The program's argument.
fn memory(matches: &ArgMatches) -> Result<Vec<u8>, Failure> {
    if let Some(argument) = matches.get_one::<OsString>("ARG") {
        return Ok([argument.as_bytes(), &[0]].concat());
    }
    if let Some(path) = matches.get_one::<PathBuf>("mem") {
        let read = File::open(path).and_then(|file| read_bounded(file, LARGEST));
        return read.map_err(|error| Failure::Usage(format!("--mem {}: {error}", shown(path))));
    }
    Ok(matches.get_one::<Vec<u8>>("mem-hex").cloned().unwrap_or_default())
}

/// What a run is given.
struct Given<'g> {
    argument: Vec<u8>,
    kind: ProgramKind,
    /// Where to write what became of the argument.
    after: Option<&'g Path>,
    /// As the command line has it.
    budget: Option<u64>,
    helpers: &'g Registry,
    maps: Option<&'g ObjectMaps>,
}

/// What is said of a run that was stopped: why, the memory, and the program where another one was called.
fn stopped(run: &Run<'_>, stop: &Stop) -> Failure {
    let program = run.memory.stopped_in().map(|name| format!("\nin program {name}"));
    Failure::Work(EXIT_STOPPED, format!("{stop}\n{}{}", run.memory.regions(), program.unwrap_or_default()))
}

fn run(code: &dyn Executable, given: Given<'_>) -> Result<ExitCode, Failure> {
    let Given { mut argument, kind, after, budget, helpers, maps } = given;
    let mut stack = vec![0u64; STACK_BYTES / 8];
    // SAFETY: the words are plain memory of that size, borrowed for as long as the bytes are used.
    let stack = unsafe { std::slice::from_raw_parts_mut(stack.as_mut_ptr().cast(), STACK_BYTES) };
    let host = ToolHost::new();
    let len = argument.len() as u64;
    let memory = Memory::new(&mut argument, stack);
    let memory = match maps {
        Some(maps) => memory.with_maps(maps),
        None => memory,
    };
    let mut run = Run {
        args: [memory.argument().base, len],
        memory,
        budget: budget.unwrap_or(Config::default().exec_budget),
        helpers,
        host: &host,
    };
    match code.interprets(&run, false) {
        true if budget.is_none() => run.budget /= INTERPRETED,
        false if budget.is_none() => run.memory.divide_for_callees(),
        _ => {}
    }
    let progress = Progress::new("running", Unit::Time);
    let result = code.run(&mut run);
    drop(progress);
    let value = match result {
        Ok(value) => value,
        Err(stop) => return Err(stopped(&run, &stop)),
    };
    drop(run);
    if let Some(path) = after {
        replace(&[(path, &argument)]).map_err(|reason| refused(&reason))?;
    }
    let verdict = kind.verdict(value).map(|verdict| format!(" {verdict}")).unwrap_or_default();
    out(format_args!("{value:#x}{verdict}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Helpers' surroundings on the host: a map of its own, output on standard error, no symbols.
struct ToolHost {
    map: TwoKeyMap,
    start: Instant,
}

impl ToolHost {
    fn new() -> ToolHost {
        let map = TwoKeyMap::new(1024).expect("memory for 1024 map entries");
        ToolHost { map, start: Instant::now() }
    }
}

impl TwoKeyMaps for ToolHost {
    fn two_key(&self) -> TwoKey<'_> {
        TwoKey::Map(&self.map)
    }
}

impl Names for ToolHost {
    fn symbol_address(&self, _name: &[u8]) -> Option<u64> {
        None
    }
    fn trace_address(&self, _name: &[u8]) -> Option<u64> {
        None
    }
}

impl Output for ToolHost {
    fn notify(&self, address: u64) {
        say(&format!("Notify: {address:#x}\n"));
    }
    fn puts(&self, text: &[u8]) {
        say(&format!("{}\n", String::from_utf8_lossy(text)));
    }
    fn ring(&self) -> Option<RingLayout> {
        None
    }
}

impl ReadMemory for ToolHost {
    fn probe_read(&self, address: u64, dst: &mut [u8]) -> usize {
        let local = libc::iovec { iov_base: dst.as_mut_ptr().cast(), iov_len: dst.len() };
        let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: dst.len() };
        // SAFETY: the kernel copies at most `dst.len()` bytes to `dst` and checks the other address itself.
        let read = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
        usize::try_from(read).unwrap_or(0)
    }
}

impl TracedCall for ToolHost {
    fn traced(&self) -> Option<Traced> {
        None
    }
    fn stack(&self, _out: &mut [u64]) -> usize {
        0
    }
}

impl Time for ToolHost {
    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
    fn ticks(&self) -> Option<Ticks> {
        None
    }
}

impl Threads for ToolHost {
    fn thread(&self) -> Thread {
        Thread::ONLY
    }
    fn thread_name(&self, into: &mut [u8]) -> usize {
        copy_of("ubpf", into)
    }
}
