//! The session and the state of the whole.

use super::lines::Text;
use crate::{
    command::{for_application, Call, Command, Failure, Then},
    frame,
    shell::{another_version, Mode},
    TERSE,
};
use alloc::{format, string::String};
use core::fmt::Write;

pub(super) const COMMANDS: &[Command] = &[
    Command::builtin("help", "[CMD]", "list commands, or explain one", help),
    Command::builtin(
        "mode",
        "plain|terminal|machine",
        "choose who reads: a script, a person at a raw terminal, or a program\n\
         plain: a prompt, no echo, no escape sequences (the mode of every new connection).\n\
         terminal: echo, editing, history, completion; the first arrow key switches to it, too.\n\
         machine: no prompt; output lines start with `|`, and a line `=ok` or `=error` ends each command.",
        mode,
    ),
    Command::builtin("terminal", "on|off", "switch editing on or off (see mode)", terminal),
    Command::builtin(
        "session",
        "VERSION NONCE CRC32",
        "talk in frames with length and checksum (for programs)\n\
         NONCE is a number that names the conversation, CRC32 the sum of both numbers as 64 bits, little-endian.\n\
         The ushell tool does this by itself.",
        session,
    ),
    Command::builtin("quit", "", "end the session", quit),
    Command::builtin("kill", "N", "raise signal N in the application", kill),
    Command::builtin("status", "", "show the state of engine and platform", status),
    Command::builtin(
        "stats",
        "on|off",
        "measure run times of attached programs, or stop it\nbpf_list -v shows them.",
        stats,
    ),
    Command::builtin("version", "", "show the version", version),
];

/// Width of the column of names and arguments.
const HELP_COLUMN: usize = 27;

fn help(call: &mut Call<'_>) -> Result<(), Failure> {
    let Some(name) = call.args.get(0) else {
        let mut text = Text::default();
        for command in call.table.iter() {
            text = text.line(format_args!("{}", listed(&command.usage(), command.summary())))?;
        }
        call.stream(text);
        return Ok(());
    };
    let command = call.table.find(name);
    let command = command.ok_or_else(|| crate::shell::unknown_command(call.table, name))?;
    call.out.line(&format!("Usage: {}", command.usage()));
    if !command.help.is_empty() {
        call.out.line(&command.help);
    }
    Ok(())
}

/// What `help` says of a command in its list: one or, where the arguments take much room, two lines.
pub fn listed(usage: &str, summary: &str) -> String {
    match usage.len() <= HELP_COLUMN {
        _ if summary.is_empty() => usage.into(),
        true => format!("{usage:<HELP_COLUMN$}  {summary}"),
        false => format!("{usage}\n{:HELP_COLUMN$}  {summary}", ""),
    }
}

fn mode(call: &mut Call<'_>) -> Result<(), Failure> {
    *call.mode = match call.args.required(0) {
        "terminal" if TERSE => return Err(no_editing()),
        "terminal" => Mode::Terminal,
        "machine" => Mode::Machine,
        _ => Mode::Plain,
    };
    Ok(())
}

/// In an image that leaves that to its client.
fn no_editing() -> Failure {
    Failure::message("no editing in a terse image: `ushell` has it")
}

fn terminal(call: &mut Call<'_>) -> Result<(), Failure> {
    *call.mode = match call.args.required(0) {
        "on" if TERSE => return Err(no_editing()),
        "on" => Mode::Terminal,
        _ => Mode::Plain,
    };
    Ok(())
}

fn session(call: &mut Call<'_>) -> Result<(), Failure> {
    let (version, nonce) = (call.number(0, "VERSION")?, call.number(1, "NONCE")?);
    if call.number(2, "CRC32")? != u64::from(frame::sum(version, nonce)) {
        return Err(Failure::message("CRC32: not that of VERSION and NONCE"));
    }
    if version != u64::from(frame::VERSION) {
        return Err(another_version(version, nonce));
    }
    call.then = Then::Session(nonce);
    Ok(())
}

fn quit(call: &mut Call<'_>) -> Result<(), Failure> {
    call.then = Then::Quit;
    Ok(())
}

/// `ENOSYS`, from an image without signals.
const NO_SIGNALS: i32 = 38;

fn kill(call: &mut Call<'_>) -> Result<(), Failure> {
    let signal = call.number(0, "N")?;
    let signal = i32::try_from(signal).ok().filter(|signal| (1..=64).contains(signal));
    let signal = signal.ok_or_else(|| Failure::message("N: signals are 1 to 64"))?;
    let raise = call.config.raise;
    let raise = raise.ok_or_else(|| Failure::message("this platform has no signals"))?;
    match for_application(call.backend, || raise(signal)) {
        0 => Ok(()),
        NO_SIGNALS => Err(Failure::message(
            "this image has no signals: in Unikraft, they need CONFIG_LIBUKSIGNAL (option \"uksignal\")",
        )),
        code => Err(Failure::message(format!("signal {signal} was not raised (code {code})"))),
    }
}

fn status(call: &mut Call<'_>) -> Result<(), Failure> {
    call.backend.status(call.out);
    Ok(())
}

fn stats(call: &mut Call<'_>) -> Result<(), Failure> {
    Ok(call.backend.set_stats(call.args.required(0) == "on")?)
}

fn version(call: &mut Call<'_>) -> Result<(), Failure> {
    let _ = writeln!(call.out, "ushell-rs {}", env!("CARGO_PKG_VERSION"));
    Ok(())
}
