//! Completion from the command table: what an argument is called says what it can be.

use super::lines::Text;
use crate::{
    args,
    backend::Backend,
    command::{Call, Command, Failure, Table},
    pace::{all_functions, Pace},
    words::split_partial,
    Output,
};
use alloc::{format, string::String};

pub(super) const COMMANDS: &[Command] =
    &[Command::builtin("complete", "LINE", "list what the last word of LINE can become (for programs)", complete)];

/// Most candidates given at once.
const MOST: usize = 100;

/// What completion found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// How many candidates there are.
    pub(crate) count: usize,
    /// What all of them have next, with a blank after the only one.
    pub(crate) insert: String,
}

/// Completes the line in front of the cursor.
pub(crate) fn find(table: &Table, backend: &dyn Backend, before: &str) -> Found {
    let mut count: usize = 0;
    let mut common: Option<String> = None;
    let typed = candidates(table, backend, before, &mut |name| {
        count = count.saturating_add(1);
        match &mut common {
            None => common = Some(name.into()),
            Some(common) => {
                let same = common.chars().zip(name.chars()).take_while(|(a, b)| a == b);
                let length = same.map(|(c, _)| c.len_utf8()).sum();
                common.truncate(length);
            }
        }
        true
    });
    let mut insert = common.unwrap_or_default().get(typed..).unwrap_or("").replace(' ', "\\ ");
    if count == 1 && !insert.ends_with('/') {
        insert.push(' ');
    }
    Found { count, insert }
}

/// Writes the candidates below each other.
pub(crate) fn show(table: &Table, backend: &dyn Backend, before: &str, out: &mut Output) {
    let mut shown: usize = 0;
    candidates(table, backend, before, &mut |name| {
        if shown >= MOST || !out.has_room() {
            out.line("...");
            return false;
        }
        shown = shown.saturating_add(1);
        out.line(name);
        true
    });
}

fn complete(call: &mut Call<'_>) -> Result<(), Failure> {
    let mut text = Ok(Text::default());
    let mut count: usize = 0;
    candidates(call.table, call.backend, call.args.required(0), &mut |name| {
        count = count.saturating_add(1);
        let so_far = core::mem::replace(&mut text, Ok(Text::default()));
        text = so_far.and_then(|text| text.line(format_args!("{name}")));
        count < MOST && text.is_ok()
    });
    call.stream(text?);
    Ok(())
}

/// Shows the candidates to `visit` until it returns false; gives the length of what is typed of the last word.
fn candidates(table: &Table, backend: &dyn Backend, before: &str, visit: &mut dyn FnMut(&str) -> bool) -> usize {
    let partial = split_partial(before);
    let last = partial.last.as_str();
    // A name with control characters cannot be typed.
    let fits = |name: &str| name.starts_with(last) && !name.contains(char::is_control);
    let mut visit = |name: &str| !fits(name) || visit(name);
    match partial.words.split_first() {
        None => visit_commands(table, &mut visit),
        Some((command, words)) => {
            if let Some(command) = table.find(command) {
                visit_argument(table, backend, command, words, last, &mut visit);
            }
        }
    }
    last.len()
}

fn visit_commands(table: &Table, visit: &mut dyn FnMut(&str) -> bool) {
    let _ = table.iter().all(|command| visit(&command.name));
}

fn visit_argument(
    table: &Table,
    backend: &dyn Backend,
    command: &Command,
    words: &[String],
    last: &str,
    visit: &mut dyn FnMut(&str) -> bool,
) {
    if last.starts_with('-') {
        let _ = args::items(&command.args).all(|item| match item {
            args::Item::Flag(flag, _) => visit(flag),
            _ => true,
        });
        return;
    }
    let kind = expected(&command.args, words);
    match kind {
        "CMD" => visit_commands(table, visit),
        "FUNC" => {
            // Who is not waited for any more gets what was found so far.
            let _ = all_functions(backend, visit);
        }
        #[cfg(feature = "packages")]
        "MAP" => visit_maps(backend, visit),
        "FILE" if &*command.name == "bpf_detach" => visit_attached(backend, words, visit),
        "FILE" | "DIR" => visit_files(backend, last, visit),
        "ABI" => visit_words("classic|uio|linux", visit),
        "ENGINE" => visit_words("auto|interp|jit", visit),
        "POLICY" => visit_words("checked|guarded|strict", visit),
        words => visit_words(words, visit),
    }
}

/// Name of the argument that comes after `words`.
fn expected<'s>(spec: &'s str, words: &[String]) -> &'s str {
    let value_of = |word: &str| {
        args::items(spec).find_map(|item| match item {
            args::Item::Flag(flag, value) if flag == word => Some(value),
            _ => None,
        })
    };
    let mut position: usize = 0;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match value_of(word) {
            None => position = position.saturating_add(1),
            Some(None) => {}
            Some(Some(name)) => {
                if words.next().is_none() {
                    return name;
                }
            }
        }
    }
    args::positional(spec, position).unwrap_or("")
}

fn visit_words(words: &str, visit: &mut dyn FnMut(&str) -> bool) {
    if words.contains('|') {
        let _ = words.split('|').all(visit);
    }
}

fn visit_files(backend: &dyn Backend, last: &str, visit: &mut dyn FnMut(&str) -> bool) {
    let directory = last.rfind('/').and_then(|at| last.get(..=at)).unwrap_or("");
    let entries = backend.list_files(directory).unwrap_or_default();
    let mut pace = Pace::new(backend);
    let _ = entries.iter().take_while(|_| pace.point().is_ok()).all(|entry| {
        let slash = if entry.is_dir { "/" } else { "" };
        visit(&format!("{directory}{}{slash}", entry.name))
    });
}

#[cfg(feature = "packages")]
fn visit_maps(backend: &dyn Backend, visit: &mut dyn FnMut(&str) -> bool) {
    let mut next = Some(0);
    while let Some(first) = next {
        let mut go_on = true;
        next = backend.maps(first, &mut |name, _, _| {
            go_on = visit(name);
            go_on
        });
        next = next.filter(|_| go_on);
    }
}

fn visit_attached(backend: &dyn Backend, words: &[String], visit: &mut dyn FnMut(&str) -> bool) {
    let function = words.first().map(String::as_str);
    let sites = backend.sites(function).unwrap_or_default();
    let programs = sites.iter().flat_map(|site| &site.probes);
    let mut pace = Pace::new(backend);
    let _ = programs.take_while(|_| pace.point().is_ok()).all(|probe| visit(&probe.program));
}
