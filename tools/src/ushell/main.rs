//! `ushell`: talks to the shell of a running unikernel, for a person or for a script.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod complete;
mod console;
mod folded;
mod help;
mod hist;
mod interactive;
mod json;
mod kraft;
mod names;
mod options;
mod script;
mod session;
mod terminal;
mod tools;
mod typed;

use options::{Options, Step, Target};
use session::Session;
use std::{
    io::{self, IsTerminal, Read, Seek, Write},
    os::fd::AsFd,
    path::Path,
    process::ExitCode,
};
use ubpf_client::{machine::Client, ClientError};
use ubpf_tools::{
    cli::EXIT_USAGE,
    output::{self, say, EXIT_INPUT},
};

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Good,
    CommandFailed,
    /// Standard input cannot be read.
    NoInput,
}

fn main() -> ExitCode {
    match options::parse(std::env::args_os()) {
        Ok(options) => talk(&options),
        Err(end) => end,
    }
}

fn talk(options: &Options) -> ExitCode {
    if let Err(error) = unread_script(options) {
        say(&format!("ushell: {error}\n"));
        return ExitCode::from(EXIT_USAGE);
    }
    let place = match &options.target {
        Target::Socket(socket) => kraft::Place { socket: socket.clone(), console: None },
        Target::Kraft(wanted) => match kraft::find(wanted) {
            Ok(kraft::Found::Port(place)) => place,
            Ok(kraft::Found::Text(text)) => {
                let printed = output::print(text.as_bytes()).map_err(ClientError::Output);
                return printed.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS);
            }
            Err(error) => {
                say(&format!("ushell: {error}\n"));
                return ExitCode::from(3);
            }
        },
    };
    match run(options, place) {
        Ok(End::Good) => ExitCode::SUCCESS,
        Ok(End::CommandFailed) => ExitCode::from(1),
        Ok(End::NoInput) => ExitCode::from(EXIT_INPUT),
        Err(error) => failed(&error),
    }
}

fn failed(error: &ClientError) -> ExitCode {
    if let ClientError::Output(error) = error {
        return output::failed("ushell", error);
    }
    say(&format!("ushell: {error}\n"));
    match error {
        ClientError::LongLine(_) | ClientError::LargeFile => ExitCode::from(1),
        _ => ExitCode::from(3),
    }
}

/// A script that nobody would read is told of; what is left of one (`while read ...`) is not.
fn unread_script(options: &Options) -> Result<(), String> {
    if options.steps.is_empty() {
        return Ok(());
    }
    let input = io::stdin().as_fd().try_clone_to_owned().map(std::fs::File::from);
    let Ok(mut input) = input else {
        return Ok(());
    };
    let unread = input.metadata().is_ok_and(|input| input.is_file() && input.len() > 0)
        && input.stream_position().is_ok_and(|place| place == 0);
    match unread {
        true => Err("standard input is a script, which is not read where -c or --put is given".into()),
        false => Ok(()),
    }
}

fn run(options: &Options, place: kraft::Place) -> Result<End, ClientError> {
    tell_of_holder(options, &place.socket);
    let mut client = Client::connect(&place.socket, options.timeout, options.wait)?;
    let interactive = options.steps.is_empty() && options.job.is_none() && io::stdin().is_terminal();
    // A person at a terminal sees a machine's console without asking.
    let own = place.console.filter(|_| interactive);
    let console = options.console.clone().or(own);
    let console = console.as_deref().map(open_console).transpose()?;
    if interactive {
        let session = Session::new(client, options, console.is_some());
        return interactive::run(session, console).map(|()| End::Good);
    }
    let quiet = console.is_some();
    if let Some(console) = console {
        // A reader that has gone is told of by what the commands write.
        console::follow(console, |line| drop(io::stdout().write_all(line.as_bytes())));
    }
    if let Some(job) = &options.job {
        let start = tools::Start { quiet, within: false, keys: None };
        return Ok(if job.run(&mut client, start)? { End::Good } else { End::CommandFailed });
    }
    let mut session = Session::new(client, options, quiet);
    let end = match options.steps.is_empty() {
        true => run_script(&mut session, options.stop),
        false => run_steps(&mut session, options),
    };
    session.tell_what_goes();
    end
}

/// Says for whom this one waits, so that nobody waits without knowing for what.
fn tell_of_holder(options: &Options, socket: &Path) {
    if let Some(error) = Client::held(socket) {
        let seconds = options.timeout.max(options.wait).as_secs_f64();
        say(&format!("ushell: {error}; waiting up to {seconds} s for it\n"));
    }
}

fn open_console(path: &Path) -> Result<Box<dyn Read + Send>, ClientError> {
    console::open(path).map_err(|error| ClientError::Connect { socket: path.display().to_string(), error })
}

fn run_steps(session: &mut Session, options: &Options) -> Result<End, ClientError> {
    let mut end = End::Good;
    for step in &options.steps {
        let lines: Vec<&str> = match step {
            Step::Commands(text) => script::commands(text).collect(),
            Step::Put(upload) => {
                if session.is_over() {
                    return Ok(not_run(&format!("--put {}", upload.file.display())));
                }
                if !session.put(upload)? {
                    end = End::CommandFailed;
                }
                Vec::new()
            }
        };
        for line in lines {
            if session.is_over() {
                return Ok(not_run(line));
            }
            if !session.command(line)? {
                end = End::CommandFailed;
            }
            if options.stop && end != End::Good {
                return Ok(end);
            }
        }
        if options.stop && end != End::Good {
            return Ok(end);
        }
    }
    Ok(end)
}

fn not_run(what: &str) -> End {
    say(&format!("ushell: after `quit` nothing is run: {what}\n"));
    End::CommandFailed
}

/// Runs what standard input holds, line by line as it comes.
fn run_script(session: &mut Session, stop: bool) -> Result<End, ClientError> {
    let (mut end, mut number) = (End::Good, 0);
    let mut input = io::stdin().lock();
    loop {
        let line = match script::next(&mut input, &mut number) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(end),
            Err(error) => {
                say(&format!("ushell: standard input: {error}\n"));
                return Ok(End::NoInput);
            }
        };
        let good = match line {
            Ok(line) if session.is_over() => return Ok(not_run(&format!("line {number}: {line}"))),
            Ok(line) => session.command(&line)?,
            Err(error) => {
                say(&format!("ushell: {error}\n"));
                false
            }
        };
        if !good {
            end = End::CommandFailed;
        }
        if stop && !good {
            return Ok(end);
        }
    }
}
