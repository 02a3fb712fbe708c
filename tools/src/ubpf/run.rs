//! `ubpf run`: one program, once.

use crate::{
    code_memory, parse_abi, parse_number, parse_policy, read_program, text, usage, Failure, EXIT_REFUSED, EXIT_STOPPED,
};
use lexopt::Arg::{Long, Value};
use std::{process::ExitCode, sync::Mutex, time::Instant};
use ubpf_rs::{
    helpers::{Host, Registry},
    jit::{self, JitProgram},
    maps::TwoKeyMap,
    program::{Abi, Program},
    runtime::Config,
    verifier::{self, Policy},
    vm::{Executable, Interpreter, Memory, Run, INTERPRETED, STACK_BYTES},
};

#[derive(Clone, Copy)]
enum Engine {
    Interpreter,
    Jit,
}

struct Options {
    engine: Engine,
    program: String,
    memory: Vec<u8>,
    abi: Abi,
    /// As the command line has it.
    budget: Option<u64>,
    policy: Policy,
}

pub fn main(args: lexopt::Parser) -> Result<ExitCode, Failure> {
    let options = parse(args)?;
    let bytes = read_program(&options.program)?;
    let refused = |reason: String| Failure(EXIT_REFUSED, format!("Failed to load code: {reason}"));
    let program = Program::from_flat(&options.program, &bytes, options.abi);
    let program = program.map_err(|error| refused(error.to_string()))?;
    let helpers = Registry::with_builtins().map_err(|error| refused(error.to_string()))?;
    let mut work = verifier::Work::default();
    let verified = verifier::verify(program, options.policy, &verifier::Environment::new(&helpers), &mut work);
    let verified = verified.map_err(|error| refused(error.to_string()))?;
    for warning in verified.warnings() {
        eprintln!("ubpf: warning: {warning}");
    }
    match options.engine {
        Engine::Interpreter => run(&Interpreter::new(verified), options, &helpers),
        Engine::Jit => {
            let code = JitProgram::new(verified, &code_memory::Pages, jit::Options::default(), &mut work);
            let code = code.map_err(|(error, _)| refused(error.to_string()))?;
            run(&code, options, &helpers)
        }
    }
}

fn run(code: &dyn Executable, mut options: Options, helpers: &Registry) -> Result<ExitCode, Failure> {
    let mut stack = vec![0u64; STACK_BYTES / 8];
    // SAFETY: the words are plain memory of that size, borrowed for as long as the bytes are used.
    let stack = unsafe { std::slice::from_raw_parts_mut(stack.as_mut_ptr().cast(), STACK_BYTES) };
    let host = ToolHost::new();
    let len = options.memory.len() as u64;
    let memory = Memory::new(&mut options.memory, stack);
    let mut run = Run {
        args: [memory.argument().base, len],
        memory,
        budget: options.budget.unwrap_or(Config::default().exec_budget),
        helpers,
        host: &host,
    };
    if options.budget.is_none() && code.interprets(&run, false) {
        run.budget /= INTERPRETED;
    }
    match code.run(&mut run) {
        Ok(value) => {
            crate::out(format_args!("{value:#x}"));
            Ok(ExitCode::SUCCESS)
        }
        Err(stop) => Err(Failure(EXIT_STOPPED, format!("{stop}\n{}", run.memory))),
    }
}

fn parse(mut args: lexopt::Parser) -> Result<Options, Failure> {
    let (mut program, mut argument, mut memory) = (None, None, None);
    let (mut abi, mut budget, mut policy) = (Abi::Classic, None, Policy::Guarded);
    let mut engine = Engine::Jit;
    while let Some(arg) = args.next()? {
        match arg {
            Long("mem-hex") if memory.is_none() => memory = Some(hex(&text(&mut args)?)?),
            Long("mem") if memory.is_none() => {
                let path = text(&mut args)?;
                let read = std::fs::read(&path);
                memory = Some(read.map_err(|error| usage(format!("--mem {path}: {error}")))?);
            }
            Long("mem-hex" | "mem") => return Err(usage("--mem and --mem-hex exclude each other")),
            Long("abi") => abi = parse_abi(&text(&mut args)?)?,
            Long("budget") => budget = Some(parse_number("--budget", &text(&mut args)?)?),
            Long("policy") => policy = parse_policy(&text(&mut args)?)?,
            Long("engine") => match text(&mut args)?.as_str() {
                "interp" => engine = Engine::Interpreter,
                "jit" => engine = Engine::Jit,
                other => return Err(usage(format!("--engine {other}: interp or jit is expected"))),
            },
            Value(value) if program.is_none() => program = Some(value.to_string_lossy().into_owned()),
            Value(value) if argument.is_none() => argument = Some(value),
            other => return Err(other.unexpected().into()),
        }
    }
    let program = program.ok_or_else(|| usage("PROG is missing"))?;
    let memory = match (argument, memory) {
        (Some(_), Some(_)) => return Err(usage("ARG excludes --mem and --mem-hex")),
        (Some(argument), None) => {
            let mut bytes = std::os::unix::ffi::OsStringExt::into_vec(argument);
            bytes.push(0);
            bytes
        }
        (None, memory) => memory.unwrap_or_default(),
    };
    Ok(Options { engine, program, memory, abi, budget, policy })
}

fn hex(digits: &str) -> Result<Vec<u8>, Failure> {
    let bad = || usage(format!("--mem-hex {digits}: pairs of hexadecimal digits are expected"));
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Err(bad());
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| bad())).collect()
}

/// Helpers' surroundings on the host: a map of its own, output on standard error, no symbols.
struct ToolHost {
    map: TwoKeyMap,
    start: Instant,
    output: Mutex<()>,
}

impl ToolHost {
    fn new() -> ToolHost {
        let map = TwoKeyMap::new(1024).expect("memory for 1024 map entries");
        ToolHost { map, start: Instant::now(), output: Mutex::new(()) }
    }

    fn print(&self, line: &str) {
        let _one_line_at_a_time = self.output.lock();
        eprintln!("{line}");
    }
}

impl Host for ToolHost {
    fn map2(&self) -> Option<&TwoKeyMap> {
        Some(&self.map)
    }
    fn notify(&self, address: u64) {
        self.print(&format!("Notify: {address:#x}"));
    }
    fn puts(&self, text: &[u8]) {
        self.print(&String::from_utf8_lossy(text));
    }
    fn probe_read(&self, address: u64, dst: &mut [u8]) -> usize {
        let local = libc::iovec { iov_base: dst.as_mut_ptr().cast(), iov_len: dst.len() };
        let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: dst.len() };
        // SAFETY: the kernel copies at most `dst.len()` bytes to `dst` and checks the other address itself.
        let read = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
        usize::try_from(read).unwrap_or(0)
    }
    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}
