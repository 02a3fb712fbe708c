//! `ushell`: talks to the shell of a running unikernel, for a person or for a script.
#![forbid(unsafe_code)]

mod console;
mod interactive;
mod options;
mod session;

use options::{Options, Step, USAGE};
use session::Session;
use std::{
    io::{self, BufRead, IsTerminal, Read, Write},
    path::Path,
    process::ExitCode,
};
use ubpf_client::{machine::Client, ClientError};

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Good,
    CommandFailed,
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            // Who cannot read the help is helped no further.
            let _ = io::stdout().write_all(USAGE.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprint!("ushell: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(End::Good) => ExitCode::SUCCESS,
        Ok(End::CommandFailed) => ExitCode::from(1),
        Err(error) => {
            eprintln!("ushell: {error}");
            ExitCode::from(3)
        }
    }
}

fn run(options: &Options) -> Result<End, ClientError> {
    let client = Client::connect(&options.socket, options.timeout, options.wait)?;
    let console = options.console.as_deref().map(open_console).transpose()?;
    let mut session = Session::new(client, options.echo);
    if options.steps.is_empty() && io::stdin().is_terminal() {
        return interactive::run(session, console).map(|()| End::Good);
    }
    if let Some(console) = console {
        // A reader that has gone is told of by what the commands write.
        console::follow(console, |line| {
            drop(io::stdout().write_all(line.as_bytes()))
        });
    }
    if !options.steps.is_empty() {
        return run_steps(&mut session, &options.steps, options.stop);
    }
    let lines = io::stdin().lock().lines().map_while(Result::ok);
    let steps: Vec<Step> = lines.map(Step::Command).collect();
    run_steps(&mut session, &steps, options.stop)
}

fn open_console(path: &Path) -> Result<Box<dyn Read + Send>, ClientError> {
    console::open(path).map_err(|error| ClientError::Connect {
        socket: path.display().to_string(),
        error,
    })
}

fn run_steps(session: &mut Session, steps: &[Step], stop: bool) -> Result<End, ClientError> {
    let mut end = End::Good;
    for step in steps {
        let good = match step {
            Step::Command(line) => session.command(line)?,
            Step::Put { file, name } => session.put(file, name)?,
        };
        if !good {
            end = End::CommandFailed;
        }
        if session.is_over() || (stop && !good) {
            break;
        }
    }
    Ok(end)
}
