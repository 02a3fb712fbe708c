//! Objects: packages of programs that belong together, loaded, listed, attached as a whole.

use super::{
    maps::{bytes, Hex, Long},
    programs::{arguments, load_options, refused, returned, warn},
};
use crate::{
    backend::{AttachLimits, AttachReport, Backend, ObjectProgram},
    command::{Call, Command, Failure, Stream},
    output::Printable,
    Output,
};
use alloc::{format, string::String, vec::Vec};
use core::fmt::Write;
use ubpf_rs::platform::copied;

pub(super) const COMMANDS: &[Command] = &[Command::builtin(
    "prog",
    "load|attach|detach|replace|list|show|dump|run|unload [FILE] [NAME=VALUE...] [-p PROG] [--data DATA] [--yes] [--keep] [--args N] [--own] [--abi ABI] [--policy POLICY] [--engine ENGINE]",
    "programs of objects\n\
     load: the package FILE, with numbers of its data set by name; it stays until `prog unload OBJECT`. attach: each program\n\
     of the package, or of the loaded object, to the function that its section names, or to those that its pattern fits (--yes: also\n\
     to more than 300); all or none, and they begin at one moment. They are detached when the session ends, unless --keep. --args and --own are those of\n\
     bpf_attach. detach: the programs of the object, or package, FILE, wherever they are. replace OLD FILE: the program FILE takes the place of the program OLD wherever that is attached, or the package\n\
     FILE that of the object OLD, at one moment, so that no call is missed or seen by both. Maps stay as they are, or the object\n\
     is refused. list: the programs of all objects. show: those of one, with what became of them. dump: their instructions, eight bytes each, in hexadecimal.\n\
     run: the program PROG of FILE, once, with the bytes of DATA as its argument, or its packet: a file, or hex:0a0b; shows what becomes\n\
     of them.\n\
     An object's maps go with its last program, unless `map keep` keeps them. Other options are those of bpf_exec.",
    prog,
)];

fn prog(call: &mut Call<'_>) -> Result<(), Failure> {
    let (action, file) = (call.args.required(0), call.args.get(1));
    let more = call.args.from(2);
    if action == "list" {
        return match file {
            None => {
                call.stream(Programs { next: Some(0) });
                Ok(())
            }
            Some(word) => Err(Failure::excess(word)),
        };
    }
    let file = file.ok_or_else(|| Failure::message(format!("prog {action}: FILE is missing")))?;
    let takes: &[&str] = match action {
        "dump" => &["-p"],
        "run" => &["-p", "--data"],
        "replace" => &["-p"],
        "attach" => &["--yes", "--keep", "--args", "--own"],
        _ => &[],
    };
    for option in ["-p", "--data", "--yes", "--keep", "--args", "--own"] {
        if !takes.contains(&option) && call.args.option(option).is_some() {
            return Err(Failure::message(format!("prog {action}: there is no option {option}")));
        }
    }
    match (action, more) {
        ("load", values) => load(call, file, values),
        ("replace", [new, values @ ..]) => replace(call, file, new, values),
        ("replace", []) => Err(Failure::message("prog replace: OLD and FILE are expected")),
        (_, [word, ..]) => Err(Failure::excess(word)),
        ("attach", []) => attach(call, file),
        ("detach", []) => detach(call, file),
        ("show" | "dump", []) => show(call, file, action == "dump"),
        ("run", []) => run(call, file),
        _ => unload(call, file),
    }
}

fn load(call: &mut Call<'_>, file: &str, words: &[&str]) -> Result<(), Failure> {
    let (options, values) = (load_options(call)?, values(words)?);
    let loaded = call.backend.load_object(file, &options, &values);
    let name = loaded.map_err(|error| refused(call.backend, error))?;
    let _ = writeln!(call.out, "Object {} was loaded successfully.", Printable(&name));
    Ok(())
}

/// Names and numbers of variables.
fn values<'w>(words: &[&'w str]) -> Result<Vec<(&'w str, &'w str)>, Failure> {
    let expected = |word| move || Failure::message(format!("`{word}`: NAME=VALUE is expected"));
    words.iter().map(|word| word.split_once('=').ok_or_else(expected(word))).collect()
}

fn replace(call: &mut Call<'_>, old: &str, new: &str, words: &[&str]) -> Result<(), Failure> {
    let (options, values) = (load_options(call)?, values(words)?);
    let replaced = call.backend.replace(old, new, &options, &values);
    let report = replaced.map_err(|error| refused(call.backend, error))?;
    warn(call.out, &report.warnings);
    let (old, new) = (Printable(old), Printable(new));
    let _ = match report.count {
        0 => writeln!(call.out, "{old} was replaced by {new} successfully; nothing of it is attached."),
        1 => writeln!(call.out, "{old} was replaced by {new} successfully."),
        count => writeln!(call.out, "{old} was replaced by {new} successfully, {count} times."),
    };
    Ok(())
}

fn attach(call: &mut Call<'_>, file: &str) -> Result<(), Failure> {
    let options = load_options(call)?;
    let own = call.args.option("--own").is_some();
    let limits = AttachLimits { arguments: arguments(call)?, own, ..AttachLimits::default() };
    let attached = call.backend.attach_object(file, &options, &limits);
    let AttachReport { mut attached, warnings } = attached.map_err(|error| refused(call.backend, error))?;
    if call.args.option("--keep").is_none() {
        call.own(attached.iter().map(|one| one.id))?;
    }
    ubpf_rs::platform::sort_by(&mut attached, |a, b| a.program < b.program);
    for of_one in attached.chunk_by(|a, b| a.program == b.program) {
        let Some(first) = of_one.first() else { continue };
        let _ = write!(call.out, "Program {} was attached to ", Printable(&first.program));
        let _ = match of_one.len() {
            1 => writeln!(call.out, "{} successfully.", Printable(&first.function)),
            count => writeln!(call.out, "{count} functions successfully."),
        };
    }
    warn(call.out, &warnings);
    Ok(())
}

fn detach(call: &mut Call<'_>, name: &str) -> Result<(), Failure> {
    let detached = call.backend.detach_object(name);
    let _ = match detached.map_err(|error| refused(call.backend, error))? {
        0 => {
            return Err(Failure::message(format!(
                "no program of `{name}` is attached (`bpf_list` shows those that are)"
            )))
        }
        1 => writeln!(call.out, "Program was detached successfully."),
        count => writeln!(call.out, "{count} programs were detached successfully."),
    };
    Ok(())
}

fn unload(call: &mut Call<'_>, name: &str) -> Result<(), Failure> {
    match call.backend.unload_object(name) {
        true => {
            let _ = writeln!(call.out, "Object {} was unloaded successfully.", Printable(name));
            let mut stays = false;
            call.backend.object_programs(0, &mut |known, _, _| {
                stays = known == name;
                !stays
            });
            if stays {
                call.out.line("Programs of it are attached or in maps, and stay until they are not (`prog detach`).");
            }
            Ok(())
        }
        false => Err(Failure::message(format!("no object `{name}` was loaded (`prog list` shows those there are)"))),
    }
}

/// The programs of an object, or of these that with the name that was given.
fn show(call: &mut Call<'_>, object: &str, insns: bool) -> Result<(), Failure> {
    let wanted = call.args.option("-p");
    let mut found = false;
    call.backend.object_programs(0, &mut |known, _, program| {
        found = known == object && wanted.is_none_or(|wanted| wanted == program.name);
        !found
    });
    if !found {
        let what = if wanted.is_some() { "program of this name in an object" } else { "object" };
        return Err(Failure::message(format!("there is no {what} `{object}` (`prog list` shows those there are)")));
    }
    let no_memory = || Failure::message("out of memory");
    let copied = |text: &str| copied(text).ok_or_else(no_memory);
    let (object, wanted) = (copied(object)?, wanted.map(copied).transpose()?);
    call.stream(Details { object, wanted, insns, next: Some(0), pc: None });
    Ok(())
}

/// Programs of an object from place `next` on.
struct Details {
    object: String,
    wanted: Option<String>,
    /// Whether their instructions are shown.
    insns: bool,
    next: Option<usize>,
    /// The next instruction of one of which the first line was written.
    pc: Option<usize>,
}

impl Stream for Details {
    fn page(&mut self, backend: &dyn Backend, out: &mut Output) -> bool {
        let Some(first) = self.next else { return false };
        let Self { object, wanted, insns, pc, .. } = self;
        self.next = backend.object_programs(first, &mut |known, stays, program| {
            if known != object || wanted.as_ref().is_some_and(|wanted| wanted != program.name) {
                return true;
            }
            if !out.has_room() {
                return false;
            }
            if pc.is_none() {
                describe(out, (known, stays), &program, true);
            }
            let mut at = pc.take().unwrap_or(0);
            while let Some(insn) = program.insns.get(at).filter(|_| *insns) {
                if !out.has_room() {
                    *pc = Some(at);
                    return false;
                }
                let (slot, more) = insn.to_raw().unwrap_or_default();
                let _ = writeln!(out, "{at:8}: {}", Hex(&slot.to_bytes()));
                if let Some(second) = more {
                    at = at.saturating_add(1);
                    let _ = writeln!(out, "{at:8}: {}", Hex(&second.to_bytes()));
                }
                at = at.saturating_add(1);
            }
            true
        });
        self.next.is_some()
    }
}

/// Runs a program once, with bytes as its argument.
fn run(call: &mut Call<'_>, file: &str) -> Result<(), Failure> {
    let options = load_options(call)?;
    let mut data = match call.args.option("--data") {
        None => Vec::new(),
        Some(word) => match word.strip_prefix("hex:") {
            Some(digits) => bytes("--data", word, digits.len() / 2)?,
            None => call.backend.read_file(word).map_err(|error| Failure::File { path: word.into(), error })?,
        },
    };
    let result = call.backend.exec(file, &mut data, &options);
    let report = result.map_err(|error| refused(call.backend, error))?;
    returned(call.out, &report);
    if !data.is_empty() {
        Long::show(call, data);
    }
    Ok(())
}

/// What a program is and what became of it, in a line.
fn describe(out: &mut Output, (object, stays): (&str, bool), program: &ObjectProgram<'_>, details: bool) {
    let (name, section) = (Printable(program.name), Printable(program.section));
    let _ = write!(out, "{}:{name} {section} {} instructions", Printable(object), program.insns.len());
    if details {
        let (proved, checked) = program.accesses;
        let _ = match program.machine_code {
            Some(bytes) => write!(out, ", {bytes} bytes of machine code"),
            None => write!(out, ", interpreted"),
        };
        let _ = write!(out, ", {proved} accesses proved, {checked} checked");
        if !program.licence.is_empty() {
            let _ = write!(out, ", licence {}", Printable(program.licence));
        }
    }
    if !stays {
        let _ = write!(out, ", gone when it is detached");
    }
    if let Some(why) = program.refusal {
        let _ = write!(out, ", cannot be attached: {why}");
    }
    out.line("");
}

/// Programs of objects from place `next` on.
struct Programs {
    next: Option<usize>,
}

impl Stream for Programs {
    fn page(&mut self, backend: &dyn Backend, out: &mut Output) -> bool {
        let Some(first) = self.next else { return false };
        self.next = backend.object_programs(first, &mut |object, stays, program| {
            let room = out.has_room();
            if room {
                describe(out, (object, stays), &program, false);
            }
            room
        });
        self.next.is_some()
    }
}
