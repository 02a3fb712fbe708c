//! The command line: one definition for parsing, help, completions and the manual page.

use crate::{kraft, tools};
use clap::{
    error::{ContextKind, ErrorKind},
    parser::ValueSource,
    value_parser, Arg, ArgAction, ArgMatches, Command, ValueHint,
};
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use ubpf_tools::{
    cli::{self, flag, path},
    output::say,
};

const AFTER: &str = "\
Without -c and --put, commands come from the terminal, or line by line from standard input. A line that starts with `#` is a
comment. -c and --put may be repeated and are done in their order.

Functions of C++ and Rust are shown, and named, as the source has them, 'Ledger<long>::total() const', with or without the types of parameters, or by
a pattern, 'Ledger<*'; --no-demangle shows and takes the names that the image has.

Keys and values of maps are shown, and taken, by the types of their objects: map dump, map lookup, map update MAP KEY VALUE with
values as C has them, {.pid = 7, .name = \"a\"}; trace MAP shows records so until ^C. hist MAP [UNIT] draws counts by powers of two.";

const STATUS: &str = "\
Exit status: 0 all commands did well; 1 a command failed, or a line was not run; 3 no connection, or it broke; 64 wrong usage;
66 standard input cannot be read; 74 standard output cannot be written; 141 nobody reads it any more.";

const KRAFT: &str = "\
`kraft run` has no option for a port. A machine gets one before it starts:

    kraft run --no-start -n NAME …
    ushell kraft NAME --start

or by a QEMU that brings it: `kraft run --qemu …/platforms/unikraft/qemu-ushell`.";

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

/// Whom to talk to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    Socket(PathBuf),
    /// A machine of kraft.
    Kraft(kraft::MachineTask),
}

/// What the command line asks for.
pub struct Options {
    pub target: Target,
    pub console: Option<PathBuf>,
    pub steps: Vec<Step>,
    /// Instead of steps.
    pub job: Option<tools::Job>,
    pub stop: bool,
    pub echo: bool,
    pub json: bool,
    /// Functions are named as the image has them.
    pub mangled: bool,
    pub timeout: Duration,
    pub wait: Duration,
}

/// The definition.
pub fn definition() -> Command {
    let machine = Command::new("kraft")
        .about("Talks to a machine of kraft, by its name; without a name, lists the machines and their ports")
        .after_help(format!("{KRAFT}\n\n{STATUS}"))
        .arg(Arg::new("NAME").help("The machine's name or id"))
        .arg(flag("port").help("Give the machine, which has not started, a port"))
        .arg(flag("start").help("Give the machine a port, start it, and talk to it"))
        .disable_help_subcommand(true);
    let tool = Command::new("ushell")
        .about("Talks to the shell of a unikernel through the Unix socket of its virtio-serial port")
        .after_help(format!("{AFTER}\n\n{STATUS}"))
        .arg(path("SOCKET").required(true).help("The socket that QEMU was given, or that the process opened"))
        .subcommand(tools::with_tools(with_talk(machine), STATUS));
    cli::with_documents(tools::with_tools(with_talk(tool), STATUS))
        .args_conflicts_with_subcommands(false)
        .subcommand_negates_reqs(true)
}

/// What every conversation takes.
fn with_talk(command: Command) -> Command {
    let short = |name: &'static str, short| Arg::new(name).short(short).action(ArgAction::SetTrue);
    let time = |name: &'static str| Arg::new(name).long(name).value_name("SECONDS").value_parser(seconds);
    command
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
                .help("Upload a file (as NAME; otherwise under its own name); of a compiler's object (x.o) the package (x.pkg)"),
        )
        .arg(
            path("console")
                .long("console")
                .value_name("FILE|SOCKET")
                .help("Show the lines of the application's console, too, marked with `|`"),
        )
        .arg(short("stop", 'e').help("Stop at the first command that fails"))
        .arg(short("echo", 'x').help("Show each command before its output"))
        .arg(flag("json").help("Print a value of JSON for each command, on one line: of those that list, show or dump, and of status, what they say; else the lines, as \"output\" or \"error\""))
        .arg(tools::no_demangle())
        .arg(time("timeout").default_value("10").help("Give up when nothing comes for so long"))
        .arg(time("wait").help("Wait so long for the socket and the shell to appear"))
}

/// Reads the arguments; where they ask for something else than a conversation, the tool ends with this.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Options, ExitCode> {
    let args: Vec<OsString> = args.collect();
    let parsed = cli::parse(definition, args.iter().cloned(), read);
    if let (Err(_), Some(word)) = (&parsed, command_in_place_of_tool(&args)) {
        say(&format!("\nA command of the shell stands behind -c: ushell SOCKET -c '{word}'\n"));
    }
    parsed
}

/// What stands where a tool may, and is none.
fn command_in_place_of_tool(args: &[OsString]) -> Option<String> {
    let error = definition().try_get_matches_from(args).err()?;
    if !matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand) {
        return None;
    }
    let kinds = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand];
    let said = kinds.into_iter().find_map(|kind| error.get(kind))?.to_string();
    (!said.starts_with('-')).then_some(said)
}

fn read(matches: &ArgMatches) -> Result<Options, clap::Error> {
    let (target, matches) = match matches.subcommand() {
        Some(("kraft", machine)) => {
            let before = given(matches).next();
            mistaken(before.map(|arg| format!("{arg} stands behind `kraft`, or not at all")))?;
            (Target::Kraft(wanted(machine)), machine)
        }
        _ => {
            let socket: Option<PathBuf> = matches.get_one("SOCKET").cloned();
            mistaken(socket.is_none().then(|| "SOCKET is missing, before the tool's name".into()))?;
            (Target::Socket(socket.unwrap_or_default()), matches)
        }
    };
    let time = |name| matches.get_one::<Duration>(name).copied().unwrap_or_default();
    Ok(Options {
        target,
        console: matches.get_one("console").cloned(),
        steps: steps(matches)?,
        job: job(matches)?,
        stop: matches.get_flag("stop"),
        echo: matches.get_flag("echo"),
        json: matches.get_flag("json"),
        mangled: matches.get_flag("no-demangle"),
        timeout: time("timeout"),
        wait: time("wait"),
    })
}

/// The names of the arguments that were given.
fn given(matches: &ArgMatches) -> impl Iterator<Item = &str> {
    let ids = matches.ids().map(clap::Id::as_str);
    ids.filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine))
}

/// What the definition cannot say.
fn mistaken(reason: Option<String>) -> Result<(), clap::Error> {
    reason.map_or(Ok(()), |reason| Err(cli::mistake(definition(), None, &reason)))
}

/// The tool that was asked for.
fn job(matches: &ArgMatches) -> Result<Option<tools::Job>, clap::Error> {
    let Some((name, own)) = matches.subcommand() else { return Ok(None) };
    let Some(job) = tools::job(name, own) else { return Ok(None) };
    let other = given(matches).find(|arg| ["command", "put", "stop", "echo"].contains(arg));
    mistaken(other.map(|arg| format!("a tool runs by itself, without --{arg}")))?;
    let mut job = job.map_err(|reason| cli::mistake(definition(), Some(name), &reason))?;
    if matches.get_flag("json") {
        job.json();
    }
    if matches.get_flag("no-demangle") {
        job.mangled();
    }
    Ok(Some(job))
}

fn wanted(matches: &ArgMatches) -> kraft::MachineTask {
    kraft::MachineTask {
        name: matches.get_one("NAME").cloned(),
        port: matches.get_flag("port"),
        start: matches.get_flag("start"),
    }
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
        let upload = upload(put).map_err(|error| cli::mistake(definition(), None, &format!("--put: {error}")))?;
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
            let name = check_name(name.ok_or_else(|| format!("`{}` is not a file name", shown(text)))?)?;
            // What is sent of an object is its package.
            let stem = name.strip_suffix(OBJECT).filter(|stem| !stem.is_empty());
            let name = stem.map_or(name.clone(), |stem| format!("{stem}{PACKAGE}"));
            return Ok(Upload { file: PathBuf::from(text), name });
        }
    };
    Ok(Upload { file: PathBuf::from(OsStr::from_bytes(file)), name: check_name(name)? })
}

/// How names of objects end.
pub const OBJECT: &str = ".o";
/// How names of packages end.
pub const PACKAGE: &str = ".pkg";

/// Longest name of a file that the shell takes, in bytes.
const NAME_BYTES: usize = 255;

/// A name that the shell takes.
fn check_name(name: &OsStr) -> Result<String, String> {
    let text = name.to_str();
    let text = text.ok_or_else(|| format!("the name `{}` is not UTF-8; give =NAME", shown(name)))?;
    if text.is_empty() {
        return Err("the name is empty".into());
    }
    if text.len() > NAME_BYTES {
        return Err(format!("the name has {} bytes (limit {NAME_BYTES})", text.len()));
    }
    if text.contains(char::is_control) {
        return Err(format!("the name `{}` has control characters", text.escape_debug()));
    }
    Ok(text.into())
}

fn shown(text: &OsStr) -> String {
    text.to_string_lossy().escape_debug().to_string()
}

/// A time.
pub fn seconds(value: &str) -> Result<Duration, String> {
    let seconds = value.parse().ok().filter(|&seconds: &f64| seconds > 0.0);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "not a number of seconds above 0".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, clap::Error> {
        let words = line.split_whitespace().map(OsString::from);
        let words = [OsString::from("ushell")].into_iter().chain(words);
        definition().try_get_matches_from(words).and_then(|matches| read(&matches))
    }

    #[test]
    fn the_definition_is_sound() {
        definition().debug_assert();
    }

    #[test]
    fn steps_keep_their_order() {
        let options = parse("sock -c ls --put dir/a.bin -e --put b=c -c -x --timeout 0.5 --console log").unwrap();
        let put = |file: &str, name: &str| Step::Put(Upload { file: file.into(), name: name.into() });
        let command = |line: &str| Step::Commands(line.into());
        assert_eq!(options.steps, [command("ls"), put("dir/a.bin", "a.bin"), put("b", "c"), command("-x")]);
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
