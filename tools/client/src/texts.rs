//! What a terse image leaves to its client: sentences in the place of codes, and what commands are for.

use std::io;
use ushell_rs::{help_of, listed, text::expand, words};

/// Most bytes that are held back for the end of a code and its values.
const LONGEST: usize = 4096;

/// Makes text of the output of one command, as it comes.
#[derive(Default)]
pub(crate) struct Texts {
    form: Form,
    /// What may be the beginning of a code, or of a line.
    begun: Vec<u8>,
}

/// What is done with output.
#[derive(Default)]
enum Form {
    /// Codes become sentences.
    #[default]
    Codes,
    /// It is the contents of a file.
    Contents,
    /// The same, and lines of commands are told what for they are.
    List,
    /// The explanation of one command.
    Command(String),
}

impl Texts {
    /// For the answer to this line.
    pub(crate) fn of(line: &str) -> Self {
        let words = words::split(line).unwrap_or_default();
        let form = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["cat", ..] => Form::Contents,
            ["help"] => Form::List,
            ["help", name] => Form::Command((*name).into()),
            _ => Form::Codes,
        };
        Texts { form, begun: Vec::new() }
    }

    /// Takes a piece of output, and shows what is whole.
    pub(crate) fn take(&mut self, bytes: &[u8], show: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if matches!(self.form, Form::Contents) {
            return show(bytes);
        }
        self.begun.extend_from_slice(bytes);
        let whole = match self.form {
            // Little, and it is known at the end whether something is missing.
            Form::List | Form::Command(_) => return Ok(()),
            _ => whole(&self.begun),
        };
        let rest = self.begun.split_off(whole);
        let piece = std::mem::replace(&mut self.begun, rest);
        match piece.is_empty() {
            true => Ok(()),
            false => show(&text(piece)),
        }
    }

    /// Shows the rest.
    pub(crate) fn end(&mut self, show: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let piece = text(std::mem::take(&mut self.begun));
        if piece.is_empty() {
            return Ok(());
        }
        match (&self.form, std::str::from_utf8(&piece)) {
            (Form::List, Ok(lines)) => show(list(lines).as_bytes()),
            (Form::Command(name), Ok(answer)) => show(explained(name, answer).as_bytes()),
            _ => show(&piece),
        }
    }
}

/// How much of it ends before a code that may go on.
fn whole(bytes: &[u8]) -> usize {
    let line = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    match bytes[line..].iter().position(|&byte| byte == b'#') {
        Some(at) if bytes.len() - line - at <= LONGEST => line + at,
        _ => bytes.len(),
    }
}

fn text(bytes: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(bytes) {
        Ok(said) if said.contains('#') => expand(&said).into_bytes(),
        Ok(said) => said.into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

/// The list of commands with what they are for, where the image does not say it.
fn list(lines: &str) -> String {
    let said = |line: &str| match usage(line) {
        Some((usage, help)) if usage == line => listed(&usage, help.lines().next().unwrap_or("")) + "\n",
        _ => format!("{line}\n"),
    };
    // In an image that says it, a long usage stands alone in its line, too: one that begins with blanks follows it.
    match lines.lines().any(|line| line.starts_with("  ")) {
        true => lines.into(),
        false => lines.lines().map(said).collect(),
    }
}

/// The explanation of a command, where the image has none.
fn explained(name: &str, answer: &str) -> String {
    let line = answer.trim_end();
    match (line.strip_prefix("Usage: "), usage(name)) {
        (Some(said), Some((usage, help))) if said == usage => format!("{line}\n{help}\n"),
        _ => answer.into(),
    }
}

/// The usage of the command at the beginning of a line, and its explanation.
fn usage(line: &str) -> Option<(String, &'static str)> {
    let name = line.split(' ').next()?;
    let (args, help) = help_of(name)?;
    Some((format!("{name} {args}").trim_end().into(), help))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ushell_rs::text::code_of;

    /// The output in pieces of every length.
    fn shown(line: &str, output: &str) -> String {
        let mut all: Vec<String> = Vec::new();
        for size in 1..=output.len() {
            let (mut texts, mut shown) = (Texts::of(line), Vec::new());
            let mut show = |bytes: &[u8]| {
                shown.extend_from_slice(bytes);
                Ok(())
            };
            for piece in output.as_bytes().chunks(size) {
                texts.take(piece, &mut show).unwrap();
            }
            texts.end(&mut show).unwrap();
            all.push(String::from_utf8(shown).unwrap());
        }
        all.dedup();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    #[test]
    fn codes_become_sentences_and_contents_stay() {
        let empty = "the program is empty: it has no instruction";
        let said = format!("Failed: {}\nnext # {} é", code_of(empty), code_of(empty));
        assert_eq!(shown("bpf_exec a", &said), format!("Failed: {empty}\nnext # {empty} é"));
        assert_eq!(shown("cat a", &said), said);
        let long = format!("#{}\n", "x".repeat(3 * LONGEST));
        assert_eq!(whole(long.trim_end().as_bytes()), long.len() - 1);
        // Nothing waits for an end that cannot come.
        assert_eq!(whole(b"one\ntwo"), 7);
    }

    #[test]
    fn commands_are_explained() {
        let (args, help) = help_of("bpf_list").unwrap();
        let usage = format!("Usage: bpf_list {args}\n");
        assert_eq!(shown("help bpf_list", &usage), format!("{usage}{help}\n"));
        // What the image says itself, and what is of another version or the application's.
        for whole in [format!("{usage}{help}\n"), "Usage: bpf_list OTHER\n".into(), "Usage: own\n".into()] {
            assert_eq!(shown("help bpf_list", &whole), whole);
        }
        let terse = format!("bpf_list {args}\nown\nversion\n");
        let summary = help.lines().next().unwrap();
        let listed = shown("help", &terse);
        assert!(
            listed.contains(summary) && listed.contains("\nown\n") && listed.contains("show the version"),
            "{listed}"
        );
        assert_eq!(shown("help", &listed), listed);
    }
}
