//! Completion: most is asked of the shell, which knows neither this tool's own commands nor files of this machine.

use crate::{session::Session, tools};
use rustyline::completion::{FilenameCompleter, Pair};
use ubpf_client::machine::quote;
use ushell_rs::words::{split_partial, Partial};

/// Options that name a file of this machine.
const FILES: [&str; 3] = ["--debug", "--dwarf", "--svg"];

/// What the last word of the line can become, and where it begins.
pub fn candidates(session: &mut Session, before: &str) -> rustyline::Result<(usize, Vec<Pair>)> {
    let Partial { words, last } = split_partial(before);
    if is_file_here(&words) {
        return FilenameCompleter::new().complete_path(before, before.len());
    }
    let start = before.len().saturating_sub(last.len());
    let names = match words.first().map(String::as_str) {
        None => first(session, before),
        Some(tool) if tools::is_tool(tool) => of_tool(session, tool, &last),
        // The shell does not know this command, which takes what `trace` takes.
        Some("hist") => ask(session, &before.replacen("hist", "trace", 1)),
        Some("help") if words.len() == 1 => with_own(ask(session, before), &last),
        Some(_) => ask(session, before),
    };
    let only = names.len() == 1;
    let pair = |name: String| Pair { replacement: replacement(&name, only), display: name };
    // An image that knows no better must not drive the terminal.
    let names = names.into_iter().filter(|name| !name.contains(char::is_control));
    Ok((start, names.map(pair).collect()))
}

/// Whether the word behind these is a file of this machine.
fn is_file_here(words: &[String]) -> bool {
    match words {
        [put] => put == "put",
        [tool, .., option] => tools::is_tool(tool) && FILES.contains(&option.as_str()),
        [] => false,
    }
}

fn first(session: &mut Session, before: &str) -> Vec<String> {
    with_own(ask(session, before), before.trim_start())
}

/// With the commands that only this tool has.
fn with_own(mut names: Vec<String>, begun: &str) -> Vec<String> {
    let own = tools::summary().map(|(name, _)| name).chain(["hist"]);
    names.extend(own.filter(|name| name.starts_with(begun)).map(String::from));
    names.sort();
    names.dedup();
    names
}

/// Options of a tool, or functions.
fn of_tool(session: &mut Session, tool: &str, last: &str) -> Vec<String> {
    match last.starts_with('-') {
        true => tools::options(tool).into_iter().filter(|option| option.starts_with(last)).collect(),
        false => ask(session, &format!("bpf_attach {}", quote(last))),
    }
}

fn ask(session: &mut Session, line: &str) -> Vec<String> {
    // A broken connection shows at the next command.
    session.client.ask(&format!("complete {}", quote(line))).unwrap_or_default()
}

/// What a completed word is on the line: the next one can follow, unless this is a folder.
fn replacement(name: &str, only: bool) -> String {
    let mut word = name.replace(' ', "\\ ");
    if only && !word.ends_with('/') {
        word.push(' ');
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_candidate_ends_its_word() {
        assert_eq!(replacement("a b.bin", true), "a\\ b.bin ");
        assert_eq!(replacement("count.bin", false), "count.bin");
        assert_eq!(replacement("folder/", true), "folder/");
    }

    #[test]
    fn words_that_are_files_of_this_machine() {
        let is_file = |line: &str| is_file_here(&split_partial(line).words);
        for line in ["put ", "put fi", "profile --svg ", "funccount --debug x", "profile --hz 9 --dwarf "] {
            assert!(is_file(line), "{line}");
        }
        for line in ["pu", "put a b", "bpf_attach f ", "bpf_attach --svg ", "profile --svg a "] {
            assert!(!is_file(line), "{line}");
        }
    }

    #[test]
    fn own_commands_stand_between_the_others() {
        let names = with_own(vec!["help".into(), "put".into()], "h");
        assert_eq!(names, ["help", "hist", "put"]);
        assert!(with_own(Vec::new(), "func").contains(&"funclatency".into()));
    }
}
