//! For a person: line editing, history, and completion by asking the shell.

use crate::{console, session::Session};
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};
use rustyline::{
    completion::{Completer, Pair},
    config::CompletionType,
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::Validator,
    Config, Context, Editor, ExternalPrinter, Helper,
};
use std::{cell::RefCell, io::Read, path::PathBuf};
use ubpf_client::{machine::quote, ClientError};
use ushell_rs::words::split_partial;

/// The terminal while a conversation lasts: `^C` is a key like others and ends neither this tool nor what it was started with.
struct Keyboard(Option<Termios>);

impl Keyboard {
    fn take() -> Keyboard {
        let before = termios::tcgetattr(std::io::stdin()).ok();
        if let Some(mut changed) = before.clone() {
            changed.local_flags.remove(LocalFlags::ISIG);
            set(&changed);
        }
        Keyboard(before)
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            set(before);
        }
    }
}

/// A terminal that is gone needs no settings.
fn set(settings: &Termios) {
    let _ = termios::tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, settings);
}

/// Runs until the person leaves. Lines of a console appear above the one that is being typed.
pub fn run(session: Session, console: Option<Box<dyn Read + Send>>) -> Result<(), ClientError> {
    let _keyboard = Keyboard::take();
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .build();
    let broken = |error: ReadlineError| ClientError::Broken(std::io::Error::other(error));
    let mut editor: Editor<Shell, FileHistory> = Editor::with_config(config).map_err(broken)?;
    editor.set_helper(Some(Shell {
        session: RefCell::new(session),
    }));
    if let Some(console) = console {
        let mut printer = editor.create_external_printer().map_err(broken)?;
        // A terminal that is gone ends the conversation, too.
        console::follow(console, move |line| drop(printer.print(line)));
    }
    let history = history_file();
    if let Some(history) = &history {
        let _ = editor.load_history(history);
    }
    let result = read_lines(&mut editor);
    if let Some(history) = &history {
        let _ = editor.save_history(history);
    }
    result
}

fn read_lines(editor: &mut Editor<Shell, FileHistory>) -> Result<(), ClientError> {
    loop {
        let line = match editor.readline("> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(ClientError::Broken(std::io::Error::other(error))),
        };
        let _ = editor.add_history_entry(&line);
        let Some(shell) = editor.helper() else {
            return Ok(());
        };
        let mut session = shell.session.borrow_mut();
        session.command(&line)?;
        if session.is_over() {
            return Ok(());
        }
    }
}

/// Where lines are kept from one session to the next.
fn history_file() -> Option<PathBuf> {
    Some(PathBuf::from(std::env::var_os("HOME")?).join(".ushell_history"))
}

struct Shell {
    session: RefCell<Session>,
}

impl Completer for Shell {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..position];
        let start = position.saturating_sub(split_partial(before).last.len());
        let question = format!("complete {}", quote(before));
        let answer = self.session.borrow_mut().client.ask(&question);
        // A broken connection shows at the next command.
        let names = answer.unwrap_or_default();
        let only = names.len() == 1;
        let pair = |name: String| Pair {
            replacement: replacement(&name, only),
            display: name,
        };
        Ok((start, names.into_iter().map(pair).collect()))
    }
}

/// What a completed word is on the line: the next one can follow, unless this is a folder.
fn replacement(name: &str, only: bool) -> String {
    let mut word = name.replace(' ', "\\ ");
    if only && !word.ends_with('/') {
        word.push(' ');
    }
    word
}

impl Hinter for Shell {
    type Hint = String;
}
impl Highlighter for Shell {}
impl Validator for Shell {}
impl Helper for Shell {}

#[cfg(test)]
mod tests {
    use super::replacement;

    #[test]
    fn the_only_candidate_ends_its_word() {
        assert_eq!(replacement("a b.bin", true), "a\\ b.bin ");
        assert_eq!(replacement("count.bin", false), "count.bin");
        assert_eq!(replacement("folder/", true), "folder/");
    }
}
