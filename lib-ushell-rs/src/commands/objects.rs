//! Objects: packages of programs that belong together, loaded, listed, attached as a whole.

use super::programs::{load_options, refused};
use crate::{
    backend::{AttachLimits, Backend},
    command::{Call, Command, Failure, Stream},
    output::Printable,
    Output,
};
use alloc::{format, vec::Vec};
use core::fmt::Write;

pub(super) const COMMANDS: &[Command] = &[Command::builtin(
    "prog",
    "load|attach|list|unload [FILE] [NAME=VALUE...] [--abi ABI] [--policy POLICY] [--engine ENGINE]",
    "programs of objects\n\
     load: the package FILE, with numbers of its data set by name; it stays until `prog unload OBJECT`. attach: each program\n\
     of the package, or of the loaded object, to the function that its section names; all or none. list: the programs\n\
     of all objects. An object's maps go with its last program, unless `map keep` keeps them. Other options are those of bpf_exec.",
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
            Some(word) => Err(excess(word)),
        };
    }
    let file = file.ok_or_else(|| Failure::message(format!("prog {action}: FILE is missing")))?;
    match (action, more) {
        ("load", values) => load(call, file, values),
        (_, [word, ..]) => Err(excess(word)),
        ("attach", []) => attach(call, file),
        _ => unload(call, file),
    }
}

/// A word that an action does not take.
pub(super) fn excess(word: &str) -> Failure {
    Failure::message(format!("`{word}` is one argument too many"))
}

fn load(call: &mut Call<'_>, file: &str, words: &[&str]) -> Result<(), Failure> {
    let options = load_options(call)?;
    let mut values = Vec::new();
    for word in words {
        let value = word.split_once('=');
        values.push(value.ok_or_else(|| Failure::message(format!("`{word}`: NAME=VALUE is expected")))?);
    }
    let loaded = call.backend.load_object(file, &options, &values);
    let name = loaded.map_err(|error| refused(call.backend, error))?;
    let _ = writeln!(call.out, "Object {} was loaded successfully.", Printable(&name));
    Ok(())
}

fn attach(call: &mut Call<'_>, file: &str) -> Result<(), Failure> {
    let options = load_options(call)?;
    let attached = call.backend.attach_object(file, &options, &AttachLimits::default());
    for (program, function) in attached.map_err(|error| refused(call.backend, error))? {
        let (program, function) = (Printable(&program), Printable(&function));
        let _ = writeln!(call.out, "Program {program} was attached to {function} successfully.");
    }
    Ok(())
}

fn unload(call: &mut Call<'_>, name: &str) -> Result<(), Failure> {
    match call.backend.unload_object(name) {
        true => {
            let _ = writeln!(call.out, "Object {} was unloaded successfully.", Printable(name));
            Ok(())
        }
        false => Err(Failure::message(format!("no object `{name}` was loaded (`prog list` shows those there are)"))),
    }
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
                let (object, name, section) = (Printable(object), Printable(program.name), Printable(program.section));
                let _ = write!(out, "{object}:{name} {section} {} instructions", program.insns);
                if !stays {
                    let _ = write!(out, ", gone when it is detached");
                }
                if let Some(why) = program.refusal {
                    let _ = write!(out, ", cannot be attached: {why}");
                }
                out.line("");
            }
            room
        });
        self.next.is_some()
    }
}
