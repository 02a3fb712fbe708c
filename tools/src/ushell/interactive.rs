//! For a person: line editing, history, and completion by asking the shell.

use crate::{
    complete, console, script,
    session::Session,
    terminal::{Ahead, Terminal},
};
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
use std::{cell::RefCell, io::Read, path::PathBuf, rc::Rc};
use ubpf_client::ClientError;

/// Runs until the person leaves. Lines of a console appear above the one that is being typed.
pub fn run(session: Session, console: Option<Box<dyn Read + Send>>) -> Result<(), ClientError> {
    let _terminal = Terminal::take();
    let config = Config::builder().completion_type(CompletionType::List).build();
    let broken = |error: ReadlineError| ClientError::Broken(std::io::Error::other(error));
    let mut editor: Editor<Shell, FileHistory> = Editor::with_config(config).map_err(broken)?;
    editor.set_helper(Some(Shell { session: RefCell::new(session) }));
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
    let ahead = Rc::new(RefCell::new(Ahead::default()));
    if let Some(shell) = editor.helper() {
        let keys = ahead.clone();
        shell.session.borrow_mut().set_keys(Rc::new(move || keys.borrow_mut().take_keys()));
    }
    let mut begun = String::new();
    loop {
        let text = match editor.readline_with_initial("> ", (&begun, "")) {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => {
                begun.clear();
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(ClientError::Broken(std::io::Error::other(error))),
        };
        // What was pasted, and what was typed while it ran.
        let mut lines: Vec<String> = script::commands(&text).map(String::from).collect();
        begun.clear();
        while !lines.is_empty() {
            for (index, line) in lines.iter().enumerate() {
                let _ = editor.add_history_entry(line);
                if run_line(editor, line, index > 0)? {
                    return Ok(());
                }
            }
            (lines, begun) = ahead.borrow_mut().lines();
        }
    }
}

/// Runs a line; tells whether it ended the conversation.
fn run_line(editor: &mut Editor<Shell, FileHistory>, line: &str, show: bool) -> Result<bool, ClientError> {
    let Some(shell) = editor.helper() else {
        return Ok(true);
    };
    let mut session = shell.session.borrow_mut();
    if show {
        session.show_line(line)?;
    }
    session.command(line)?;
    Ok(session.is_over())
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

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        complete::candidates(&mut self.session.borrow_mut(), &line[..position])
    }
}

impl Hinter for Shell {
    type Hint = String;
}
impl Highlighter for Shell {}
impl Validator for Shell {}
impl Helper for Shell {}
