//! Standard output and standard error. Who has closed one, or has no room for it, ends no tool in the middle of its work.

use crate::progress;
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Standard input cannot be read (`EX_NOINPUT` of sysexits.h).
pub const EXIT_INPUT: u8 = 66;
/// Standard output cannot be written (`EX_IOERR`).
pub const EXIT_OUTPUT: u8 = 74;
/// Nobody reads standard output any more: as if SIGPIPE had ended the tool.
pub const EXIT_CLOSED: u8 = 141;

/// Writes to standard error. Control characters but tabs and ends of lines are shown as escapes: nothing that a file or an argument is
/// called drives the person's terminal.
pub fn say(text: &str) {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    progress::aside(|| drop(io::stderr().write_all(shown.as_bytes())));
}

/// Writes to standard output, at once.
pub fn print(text: &[u8]) -> io::Result<()> {
    let mut result = Ok(());
    progress::aside(|| {
        let mut output = io::stdout();
        result = output.write_all(text).and_then(|()| output.flush());
    });
    result
}

/// How a tool ends that could not write its output; a reader that has seen enough hears nothing of it.
pub fn failed(tool: &str, error: &io::Error) -> ExitCode {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return ExitCode::from(EXIT_CLOSED);
    }
    say(&format!("{tool}: standard output: {error}\n"));
    ExitCode::from(EXIT_OUTPUT)
}
