//! The command line: one definition for parsing, help, completions and the manual page.

use clap::{value_parser, Arg, ArgAction, ArgMatches, Command, ValueHint};
use clap_complete::Shell;
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

const AFTER: &str = "\
Without -c and --put, commands come from the terminal, or line by line from standard input. A line that starts with `#` is a
comment. -c and --put may be repeated and are done in their order.

Exit status: 0 all commands did well; 1 a command failed, or a line was not run; 3 no connection, or it broke; 64 wrong usage;
66 standard input cannot be read; 74 standard output cannot be written; 141 nobody reads it any more.";

/// Wrong usage.
pub const EXIT_USAGE: u8 = 64;

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Lines for the shell.
    Commands(String),
    /// An upload.
    Put(Upload),
}

/// A file to upload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upload {
    /// File on this machine.
    pub file: PathBuf,
    /// Its name on the other.
    pub name: String,
}

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    pub socket: PathBuf,
    pub console: Option<PathBuf>,
    pub steps: Vec<Step>,
    pub stop: bool,
    pub echo: bool,
    pub timeout: Duration,
    pub wait: Duration,
}

/// What this call of the tool is for.
#[derive(Debug)]
pub enum Task {
    /// A conversation.
    Talk(Options),
    /// Completions for a shell of this machine.
    Completions(Shell),
    /// The manual page.
    Manual,
}

/// The definition.
pub fn definition() -> Command {
    let path = |name: &'static str| {
        Arg::new(name)
            .value_parser(value_parser!(PathBuf))
            .value_hint(ValueHint::FilePath)
    };
    let flag = |name: &'static str, short| Arg::new(name).short(short).action(ArgAction::SetTrue);
    let time = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("SECONDS")
            .value_parser(seconds)
    };
    Command::new("ushell")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Talks to the shell of a unikernel through the Unix socket of its virtio-serial port",
        )
        .after_help(AFTER)
        .arg(
            path("SOCKET")
                .required_unless_present_any(["completions", "manual"])
                .help("The socket that QEMU was given, or that the process opened"),
        )
        .arg(
            Arg::new("command")
                .short('c')
                .value_name("COMMAND")
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
                .help("Run a command of the shell; each line of it is one"),
        )
        .arg(
            Arg::new("put")
                .long("put")
                .value_name("FILE[=NAME]")
                .value_parser(value_parser!(OsString))
                .value_hint(ValueHint::FilePath)
                .action(ArgAction::Append)
                .help("Upload a file (as NAME; otherwise under its own name)"),
        )
        .arg(
            path("console")
                .long("console")
                .value_name("FILE|SOCKET")
                .help("Show the lines of the application's console, too, marked with `|`"),
        )
        .arg(flag("stop", 'e').help("Stop at the first command that fails"))
        .arg(flag("echo", 'x').help("Show each command before its output"))
        .arg(
            time("timeout")
                .default_value("10")
                .help("Give up when nothing comes for so long"),
        )
        .arg(time("wait").help("Wait so long for the socket and the shell to appear"))
        .arg(
            Arg::new("completions")
                .long("completions")
                .value_name("SHELL")
                .value_parser(value_parser!(Shell))
                .help("Print completions for a shell of this machine"),
        )
        .arg(
            Arg::new("manual")
                .long("manual")
                .action(ArgAction::SetTrue)
                .help("Print the manual page"),
        )
}

/// Reads the arguments; the error holds help and version, too.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Task, clap::Error> {
    let matches = definition().try_get_matches_from(args)?;
    if let Some(&shell) = matches.get_one::<Shell>("completions") {
        return Ok(Task::Completions(shell));
    }
    if matches.get_flag("manual") {
        return Ok(Task::Manual);
    }
    let time = |name| {
        matches
            .get_one::<Duration>(name)
            .copied()
            .unwrap_or_default()
    };
    Ok(Task::Talk(Options {
        socket: matches.get_one("SOCKET").cloned().unwrap_or_default(),
        console: matches.get_one("console").cloned(),
        steps: steps(&matches)?,
        stop: matches.get_flag("stop"),
        echo: matches.get_flag("echo"),
        timeout: time("timeout"),
        wait: time("wait"),
    }))
}

/// What is to be done, in the order it was given.
fn steps(matches: &ArgMatches) -> Result<Vec<Step>, clap::Error> {
    let mut steps = Vec::new();
    let places = |name| matches.indices_of(name).into_iter().flatten();
    let commands = matches.get_many::<String>("command").into_iter().flatten();
    for (place, command) in places("command").zip(commands) {
        steps.push((place, Step::Commands(command.clone())));
    }
    let puts = matches.get_many::<OsString>("put").into_iter().flatten();
    for (place, put) in places("put").zip(puts) {
        let upload = upload(put).map_err(|error| {
            definition().error(
                clap::error::ErrorKind::ValueValidation,
                format!("--put: {error}"),
            )
        })?;
        steps.push((place, Step::Put(upload)));
    }
    steps.sort_by_key(|(place, _)| *place);
    Ok(steps.into_iter().map(|(_, step)| step).collect())
}

/// `FILE` or `FILE=NAME`.
pub fn upload(text: &OsStr) -> Result<Upload, String> {
    let bytes = text.as_bytes();
    let (file, name) = match bytes.iter().rposition(|&byte| byte == b'=') {
        Some(at) => (&bytes[..at], OsStr::from_bytes(&bytes[at + 1..])),
        None => {
            let name = Path::new(text).file_name();
            let name = name.ok_or_else(|| format!("`{}` is not a file name", shown(text)))?;
            (bytes, name)
        }
    };
    Ok(Upload {
        file: PathBuf::from(OsStr::from_bytes(file)),
        name: check_name(name)?,
    })
}

/// Longest name of a file that the shell takes, in bytes.
const NAME_BYTES: usize = 255;

/// A name that the shell takes.
fn check_name(name: &OsStr) -> Result<String, String> {
    let text = name.to_str();
    let text =
        text.ok_or_else(|| format!("the name `{}` is not UTF-8; give =NAME", shown(name)))?;
    if text.is_empty() {
        return Err("the name is empty".into());
    }
    if text.len() > NAME_BYTES {
        return Err(format!(
            "the name has {} bytes (limit {NAME_BYTES})",
            text.len()
        ));
    }
    if text.contains(char::is_control) {
        return Err(format!(
            "the name `{}` has control characters",
            text.escape_debug()
        ));
    }
    Ok(text.into())
}

fn shown(text: &OsStr) -> String {
    text.to_string_lossy().escape_debug().to_string()
}

fn seconds(value: &str) -> Result<Duration, String> {
    let seconds = value.parse().ok().filter(|&seconds: &f64| seconds > 0.0);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "not a number of seconds above 0".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, clap::Error> {
        let words = line.split_whitespace().map(OsString::from);
        match super::parse([OsString::from("ushell")].into_iter().chain(words))? {
            Task::Talk(options) => Ok(options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        definition().debug_assert();
    }

    #[test]
    fn steps_keep_their_order() {
        let options =
            parse("sock -c ls --put dir/a.bin -e --put b=c -c -x --timeout 0.5 --console log")
                .unwrap();
        let put = |file: &str, name: &str| {
            Step::Put(Upload {
                file: file.into(),
                name: name.into(),
            })
        };
        let command = |line: &str| Step::Commands(line.into());
        assert_eq!(
            options.steps,
            [
                command("ls"),
                put("dir/a.bin", "a.bin"),
                put("b", "c"),
                command("-x")
            ]
        );
        assert_eq!(options.timeout, Duration::from_millis(500));
        assert!(options.stop && !options.echo);
        assert_eq!(options.console, Some("log".into()));
    }

    #[test]
    fn mistakes() {
        for line in [
            "",
            "a b",
            "a -c",
            "a --what",
            "a --console",
            "a --timeout x",
            "a --timeout 0",
            "a --put /",
            "a --put x=",
            "a --put x=\u{1}",
            &format!("a --put x={}", "n".repeat(1100)),
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
