//! Programs: run, attach, list, detach.

use crate::{
    backend::{AttachLimits, Backend, BackendError, CallTime, ExecReport, LoadOptions, Probe, Site},
    command::{parse_number, Call, Command, Failure, Stream},
    output::Printable,
    pace::{all_functions, Pace},
    suggest::Nearest,
    Output,
};
use alloc::{
    format,
    string::{String, ToString},
    vec::{IntoIter, Vec},
};
use core::fmt::{self, Display, Formatter, Write};
use ubpf_rs::{
    platform::{find, fits, is_pattern, FileError},
    program::{limits::MOST_ARGUMENTS, Abi},
    runtime::Engine,
    verifier::Policy,
};

pub(super) const COMMANDS: &[Command] = &[
    Command::builtin(
        "bpf_exec",
        "FILE [ARG] [DEBUG] [-p PROG] [--abi ABI] [--policy POLICY] [--engine ENGINE]",
        "run a program\n\
         FILE is a program, a package, or a loaded object; of several programs PROG says which.\n\
         ARG becomes its argument, with a NUL at its end. Any word as DEBUG shows the cost of the run and\n\
         remarks of the verifier. ABI is classic, uio or linux; POLICY is checked, guarded or strict;\n\
         ENGINE is auto, interp or jit.",
        exec,
    ),
    Command::builtin(
        "bpf_attach",
        "FUNC FILE [--exit] [--own] [-p PROG] [--all] [--yes] [--hits N] [--for SECONDS] [--args N] [--cookie N] [--replace OLD] [--abi ABI] [--policy POLICY] [--engine ENGINE]",
        "attach a program to a function\n\
         It then runs at each call of the function, after those attached before it; with --exit, or if its section says so, when\n\
         the call returns. It is detached by itself after N runs or after SECONDS. --all: to every function of this name. FUNC with `*`\n\
         for any characters: to all that it fits, or to none; they begin at one moment. syscall:NAME: to the handlers of a system call. --yes: also to more than 300. --args: how many\n\
         arguments the function has, for programs of a section fexit. --own: also when this shell's own work calls it. --cookie: a number for bpf_get_attach_cookie. The other\n\
         options are those of bpf_exec. FUNC may be a timer: profile:99 runs it 99 times a second of CPU time, at whatever runs then;\n\
         interval:s:N, interval:ms:N every so often by the clock. bpf_list -v shows how often it came to run.\n\
         --replace: in the place of the attached program OLD of FUNC; each call is seen by one of the two, and what was said of OLD stays.",
        attach,
    ),
    Command::builtin(
        "bpf_list",
        "[FUNC...] [-v]",
        "list attached programs\n\
         Without FUNC those of all functions; -v shows counters, and by which way each is run: direct, straight from the function; general,\n\
         and why; interpreted.",
        list,
    ),
    Command::builtin(
        "bpf_detach",
        "FUNC [FILE...] [--all]",
        "detach programs from a function\n\
         Without FILE all of them. --all: from every function of this name. FUNC with `*` for any characters:\n\
         from all that it fits.",
        detach,
    ),
    Command::builtin(
        "bench",
        "FUNC FILE [-p PROG] [--runs N] [--abi ABI] [--policy POLICY] [--engine ENGINE]",
        "measure what a program costs at each call of a function\n\
         Calls a function of the engine's own, entered as FUNC is, N times (10000 unless told): with its bare\n\
         stub, with the programs of FUNC, and with FILE behind them. FUNC itself is not called, nothing\n\
         stays attached, and counts are kept apart. Text that programs print with puts is printed.",
        bench,
    ),
    Command::builtin(
        "functions",
        "[PATTERN] [-v]",
        "list functions that programs can be attached to\n\
         PATTERN is a part of the name, or has `*` for any characters; syscall:NAME are the handlers of system calls. Where several functions have a name,\n\
         the address of each is shown: name it by that, or take all of them with --all. -v also lists those\n\
         whose entry stub cannot be used, and says why.",
        functions,
    ),
    Command::builtin(
        "load",
        "FILE",
        "read symbols from a file\nFILE is the output of `nm` or `ubpf symbols` for this image; that of another is refused.",
        load,
    ),
];

pub(super) fn load_options<'a>(call: &Call<'a>) -> Result<LoadOptions<'a>, Failure> {
    let abi = match call.args.option("--abi") {
        None => None,
        Some(word) => Some(Abi::of_word(word).ok_or_else(|| not_one_of("ABI", word, Abi::WORDS))?),
    };
    let policy = match call.args.option("--policy") {
        None => None,
        Some(word) => Some(Policy::of_word(word).ok_or_else(|| not_one_of("POLICY", word, Policy::WORDS))?),
    };
    let engine = match call.args.option("--engine") {
        None | Some("auto") => Engine::Auto,
        Some("interp" | "interpreter") => Engine::Interpreter,
        Some("jit") => Engine::Jit,
        Some(other) => return Err(not_one_of("ENGINE", other, "auto, interp, jit")),
    };
    Ok(LoadOptions { abi, policy, engine, program: call.args.option("-p"), many: call.args.option("--yes").is_some() })
}

fn not_one_of(name: &str, word: &str, allowed: &str) -> Failure {
    Failure::message(format!("{name}: `{word}` is not one of {allowed}"))
}

/// The failure for a function that cannot be traced, with the nearest that can.
pub(super) fn unknown_function(backend: &dyn Backend, name: &str) -> Failure {
    let mut nearest = Nearest::new(name);
    let all = all_functions(backend, &mut |known| {
        nearest.offer(known);
        true
    });
    if let Err(cancelled) = all {
        return cancelled.into();
    }
    let error = BackendError::UnknownFunction { name: name.into() };
    Failure::message(match nearest.found() {
        Some(near) => format!("{error}; did you mean `{near}`?"),
        None => error.to_string(),
    })
}

/// A file that is not there; with the name of one beside it that may be meant: a similar one of this ending, or the same with one.
fn unknown_file(backend: &dyn Backend, path: String) -> Failure {
    let begin = path.rfind('/').map_or(0, |slash| slash.saturating_add(1));
    let (directory, name) = path.split_at(begin);
    let (stem, ending) = name.split_at(name.rfind('.').unwrap_or(name.len()));
    let (mut nearest, mut ended) = (Nearest::new(stem), None);
    let (entries, mut pace) = (backend.list_files(directory).unwrap_or_default(), Pace::new(backend));
    for entry in entries.into_iter().filter(|entry| !entry.is_dir).take_while(|_| pace.point().is_ok()) {
        match entry.name.strip_suffix(ending) {
            Some(known) if !ending.is_empty() => nearest.offer(known),
            _ if !stem.is_empty() && entry.name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('.')) => {
                ended = Some(entry.name);
            }
            _ => {}
        }
    }
    let near = ended.or_else(|| nearest.found().map(|stem| format!("{stem}{ending}")));
    let near = near.map(|near| format!("{directory}{near}"));
    let error = BackendError::File { path, error: FileError::NotFound };
    match near {
        Some(near) => Failure::message(format!("{error}; did you mean `{}`?", Printable(&near))),
        None => Failure::Backend(error),
    }
}

/// The wording for a program or function that was refused.
pub(super) fn refused(backend: &dyn Backend, error: BackendError) -> Failure {
    match error {
        BackendError::Load { reason } => Failure::message(format!("Failed to load code: {reason}")),
        BackendError::Stopped { stop } => Failure::message(format!("BPF program execution failed.\n{stop}")),
        BackendError::UnknownFunction { name } => unknown_function(backend, &name),
        BackendError::File { path, error: FileError::NotFound } => unknown_file(backend, path),
        other => Failure::Backend(other),
    }
}

/// What a program has returned, and what that says of its packet.
pub(super) fn returned(out: &mut Output, report: &ExecReport) {
    let _ = write!(out, "The program returned: {}", report.value);
    if let Some(verdict) = report.verdict {
        let _ = write!(out, " ({verdict})");
    }
    out.line("");
}

fn exec(call: &mut Call<'_>) -> Result<(), Failure> {
    let options = load_options(call)?;
    let mut argument: Vec<u8> = match call.args.get(1) {
        Some(word) => word.bytes().chain([0]).collect(),
        None => Vec::new(),
    };
    let result = call.backend.exec(call.args.required(0), &mut argument, &options);
    let report = result.map_err(|error| refused(call.backend, error))?;
    returned(call.out, &report);
    if call.args.get(2).is_some() {
        if let Some(charged) = report.charged {
            let _ = writeln!(call.out, "budget charged: {charged}");
        }
        warn(call.out, &report.warnings);
    }
    Ok(())
}

pub(super) fn warn(out: &mut Output, warnings: &[String]) {
    for warning in warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
}

fn attach(call: &mut Call<'_>) -> Result<(), Failure> {
    let options = load_options(call)?;
    let limits = AttachLimits {
        max_runs: call.number_option("--hits")?.map(one_or_more).transpose()?,
        max_ns: call.args.option("--for").map(nanoseconds).transpose()?,
        cookie: call.number_option("--cookie")?.unwrap_or(0),
        arguments: arguments(call)?,
        at_return: call.args.option("--exit").is_some(),
        own: call.args.option("--own").is_some(),
    };
    let path = call.args.required(1);
    if let Some(old) = call.args.option("--replace") {
        return take_place(call, old, path, &options);
    }
    for_each_function(call, &mut |call, function| {
        let result = call.backend.attach(function, path, &options, &limits);
        let report = result.map_err(|error| refused(call.backend, error))?;
        match report.attached.len() {
            1 => call.out.line("Program was attached successfully."),
            count => {
                let _ = writeln!(call.out, "Program was attached to {count} functions successfully.");
            }
        }
        warn(call.out, &report.warnings);
        Ok(())
    })
}

/// Lets the program in a file take the place of an attached one.
fn take_place(call: &mut Call<'_>, old: &str, path: &str, options: &LoadOptions<'_>) -> Result<(), Failure> {
    let of_old = ["--hits", "--for", "--cookie", "--args", "--exit", "--own", "--yes"];
    if let Some(name) = of_old.into_iter().find(|name| call.args.option(name).is_some()) {
        return Err(Failure::message(format!(
            "{name}: with --replace the new program has what was said of the old one"
        )));
    }
    for_each_function(call, &mut |call, function| {
        let replaced = call.backend.replace_at(function, old, path, options);
        let report = replaced.map_err(|error| refused(call.backend, error))?;
        call.out.line("Program was replaced successfully.");
        warn(call.out, &report.warnings);
        Ok(())
    })
}

/// Does something with FUNC; with `--all`, with each function of that name.
fn for_each_function<'a>(
    call: &mut Call<'a>,
    work: &mut dyn FnMut(&mut Call<'a>, &str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let name = call.args.required(0);
    if call.args.option("--all").is_none() {
        return work(call, name);
    }
    let addresses = call.backend.functions_called(name);
    if addresses.is_empty() {
        return Err(unknown_function(call.backend, name));
    }
    let mut pace = Pace::new(call.backend);
    for address in addresses {
        pace.point()?;
        work(call, &format!("{address:#x}"))?;
    }
    Ok(())
}

/// How many arguments a function has.
pub(super) fn arguments(call: &Call<'_>) -> Result<Option<u8>, Failure> {
    let Some(count) = call.number_option("--args")? else { return Ok(None) };
    match u8::try_from(count) {
        Ok(few) if usize::from(few) <= MOST_ARGUMENTS => Ok(Some(few)),
        _ => Err(Failure::message(format!("--args: 0 to {MOST_ARGUMENTS}, those that are given in registers"))),
    }
}

/// A program that may not run once would be gone before anybody saw it.
fn one_or_more(hits: u64) -> Result<u64, Failure> {
    match hits {
        0 => Err(Failure::message("--hits: at least 1")),
        hits => Ok(hits),
    }
}

fn nanoseconds(seconds: &str) -> Result<u64, Failure> {
    let seconds = parse_number(seconds, "--for")?;
    if seconds == 0 {
        return Err(Failure::message("--for: at least 1 second"));
    }
    let nanoseconds = seconds.checked_mul(1_000_000_000);
    nanoseconds.ok_or_else(|| Failure::message("--for: at most 18446744073 seconds"))
}

fn list(call: &mut Call<'_>) -> Result<(), Failure> {
    let all = match call.args.from(0) {
        [] => listed(call.backend, None)?,
        functions => {
            let mut all = Vec::new();
            let mut pace = Pace::new(call.backend);
            for function in functions {
                all.extend(listed_by_name(call.backend, function)?);
                pace.point()?;
            }
            all
        }
    };
    let counters = call.args.option("-v").is_some();
    call.stream(Sites {
        sites: all.into_iter(),
        probes: Vec::new().into_iter(),
        counters,
        note: call.backend.map_note(),
    });
    Ok(())
}

fn listed(backend: &dyn Backend, function: Option<&str>) -> Result<Vec<Site>, Failure> {
    let sites = backend.sites(function);
    sites.map_err(|error| refused(backend, error))
}

/// Where several functions have the name, those of them that have programs.
fn listed_by_name(backend: &dyn Backend, name: &str) -> Result<Vec<Site>, Failure> {
    let addresses = backend.functions_called(name);
    if addresses.len() < 2 {
        return listed(backend, Some(name));
    }
    let mut all = Vec::new();
    for address in addresses {
        let sites = listed(backend, Some(&format!("{address:#x}")))?;
        all.extend(sites.into_iter().filter(|site| !site.probes.is_empty()));
    }
    Ok(all)
}

/// What is left of a list of attached programs.
struct Sites {
    sites: IntoIter<Site>,
    /// Those left of the site that is being shown.
    probes: IntoIter<Probe>,
    counters: bool,
    /// The last line.
    note: Option<String>,
}

impl Stream for Sites {
    fn page(&mut self, _: &dyn Backend, out: &mut Output) -> bool {
        if let Some(probe) = self.probes.next() {
            out.line(&describe(&probe, self.counters));
            return true;
        }
        let Some(site) = self.sites.next() else {
            let note = self.note.take();
            note.iter().for_each(|note| out.line(note));
            return note.is_some();
        };
        let _ = writeln!(out, "{}:", Printable(&site.function));
        self.probes = site.probes.into_iter();
        true
    }
}

/// A number of tenths.
struct Tenths(u64);

impl Display for Tenths {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

fn describe(probe: &Probe, counters: bool) -> String {
    let mut line = format!(" - {}", Printable(&probe.program));
    if probe.at_return {
        line.push_str(" at exit");
    }
    if counters {
        let Probe { runs, misses, failures, outstanding, abandoned, left_out, .. } = probe;
        let _ = write!(line, " (runs {runs}, misses {misses}, failures {failures}");
        if probe.at_return {
            let _ = write!(line, ", outstanding {outstanding}, abandoned {abandoned}");
        }
        if *left_out > 0 {
            let _ = write!(line, ", left out {left_out}");
        }
        if let Some(mean) = probe.mean_ns {
            let _ = write!(line, ", {mean} ns each");
        }
        if let Some([asked, reached]) = probe.rates {
            let (asked, reached) = (Tenths(asked), Tenths(reached));
            let _ = write!(line, ", asked {asked} Hz, reached {reached} Hz");
        }
        match probe.detour {
            None => line.push_str(", way direct)"),
            Some(detour) => drop(write!(line, ", way {detour})")),
        }
    }
    line
}

fn detach(call: &mut Call<'_>) -> Result<(), Failure> {
    for_each_function(call, &mut detach_from)
}

fn detach_from(call: &mut Call<'_>, function: &str) -> Result<(), Failure> {
    let mut detach = |program| -> Result<(), Failure> {
        let result = call.backend.detach(function, program);
        let count = result.map_err(|error| refused(call.backend, error))?;
        match count {
            0 => return Err(nothing_attached(function, program)),
            many if many > 1 && function.contains('*') => {
                let _ = writeln!(call.out, "{many} programs were detached successfully.");
            }
            few => (0..few).for_each(|_| call.out.line("Program was detached successfully.")),
        }
        Ok(())
    };
    match call.args.from(1) {
        [] => detach(None),
        programs => {
            let mut pace = Pace::new(call.backend);
            for program in programs {
                pace.point()?;
                detach(Some(program))?;
            }
            Ok(())
        }
    }
}

/// Calls measured unless told.
const CALLS: u64 = 10_000;
/// Most calls that can be asked for.
const MOST_CALLS: u64 = 1_000_000;

fn bench(call: &mut Call<'_>) -> Result<(), Failure> {
    let options = load_options(call)?;
    let calls = call.number_option("--runs")?.unwrap_or(CALLS);
    if !(1..=MOST_CALLS).contains(&calls) {
        return Err(Failure::message(format!("--runs: 1 to {MOST_CALLS}")));
    }
    let (function, path) = (call.args.required(0), call.args.required(1));
    let result = call.backend.measure(function, path, &options, calls);
    let found = result.map_err(|error| refused(call.backend, error))?;
    write_time(call.out, "bare stub", found.stub, None);
    if let Some(present) = found.present {
        let name = format!("programs there now ({})", found.programs);
        write_time(call.out, &name, present, Some(found.stub));
    }
    write_time(call.out, &format!("with {path}"), found.with, Some(found.stub));
    if found.failures > 0 {
        let _ = writeln!(call.out, "{path} was stopped {} times", found.failures);
    }
    if found.misses > 0 {
        let _ = writeln!(call.out, "{path} could not run {} times", found.misses);
    }
    Ok(())
}

/// A line: nanoseconds of a call, and how many more than over the bare stub.
fn write_time(out: &mut Output, name: &str, time: CallTime, stub: Option<CallTime>) {
    let ns = |hundredths: u64| format!("{}.{:02}", hundredths / 100, hundredths % 100);
    let (median, least) = (ns(time.median), ns(time.least));
    let _ = write!(out, "{name}: {median} ns a call, least {least}, {} calls", time.calls);
    if let Some(stub) = stub {
        let more = ns(time.median.saturating_sub(stub.median));
        let _ = write!(out, "; a hit costs {more} ns");
    }
    out.line("");
}

fn nothing_attached(function: &str, program: Option<&str>) -> Failure {
    Failure::message(match program {
        Some(program) => format!("{program} is not attached to {function}"),
        None => format!("nothing is attached to {function}"),
    })
}

fn load(call: &mut Call<'_>) -> Result<(), Failure> {
    let count = call.backend.load_symbols(call.args.required(0))?;
    let _ = writeln!(call.out, "{count} symbols loaded.");
    Ok(())
}

fn functions(call: &mut Call<'_>) -> Result<(), Failure> {
    let pattern = call.args.get(0).unwrap_or("");
    call.stream(Functions { pattern: pattern.into(), next: Some(0), refused: call.args.option("-v").map(|_| 0) });
    Ok(())
}

/// Names of traceable functions from place `next` on; then the stubs that cannot be used from place `refused` on.
struct Functions {
    pattern: String,
    next: Option<usize>,
    refused: Option<usize>,
}

impl Stream for Functions {
    fn page(&mut self, backend: &dyn Backend, out: &mut Output) -> bool {
        if let Some(first) = self.next {
            self.next = backend.functions(first, &mut |name, address| {
                let room = out.has_room();
                if room && matches(&self.pattern, name) {
                    let _ = match address {
                        None => writeln!(out, "{}", Printable(name)),
                        Some(address) => writeln!(out, "{} {address:#x}", Printable(name)),
                    };
                }
                room
            });
        } else if let Some(first) = self.refused {
            self.refused = backend.refused_stubs(first, &mut |name, address, reason| {
                let room = out.has_room();
                if room && matches(&self.pattern, name) {
                    let name = if name.is_empty() { "?" } else { name };
                    // The queue takes every text.
                    let _ = writeln!(out, "{} ({address:#x}): this stub cannot be used: {reason}", Printable(name));
                }
                room
            });
        }
        self.next.is_some() || self.refused.is_some()
    }
}

/// Whether a name has the pattern as a part, or fits it as a whole if that is more than a part of a name.
fn matches(pattern: &str, name: &str) -> bool {
    match is_pattern(pattern) {
        true => fits(pattern, name),
        false => find(name, pattern).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name) in
            [("", "f"), ("yfu", "myfun"), ("my*", "myfun"), ("*fun", "myfun"), ("m*f*n", "myfun"), ("**", "x")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("x", "myfun"), ("my*x", "myfun"), ("fun*", "myfun"), ("a*a", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
