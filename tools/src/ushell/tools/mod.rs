//! The tools that `ushell` brings, one command each. A tool is a row of [`TOOLS`]: its command line, what of that it makes, and the source of its
//! programs in `app-demo/bpf/tools`. The programs count and record; what is told of it is worked out here.

mod argdist;
mod arguments;
mod count;
mod funccount;
mod funclatency;
mod graph;
mod graphs;
mod image_file;
mod memleak;
mod object;
mod offcpu;
mod profile;
mod screen;
mod signatures;
mod slower;
mod stackcount;
mod stacks;
mod stage;
mod syscalls;
mod unwound;

use crate::options::seconds;
use clap::{Arg, ArgMatches, Command};
use image_file::ImageFile;
pub use stage::{Keys, Start};
use stage::{Limits, Stage};
use std::time::Duration;
use ubpf_client::{machine::Client, ClientError};
use ubpf_tools::cli::{self, flag};

/// A tool.
pub struct Tool {
    /// The word that starts it.
    name: &'static str,
    /// What it does, in a line.
    about: &'static str,
    /// Its arguments, in the line that shows its usage.
    usage: &'static str,
    /// What its help says behind the list of options.
    details: &'static str,
    /// Adds its arguments.
    define: fn(Command) -> Command,
    /// Reads them; an error is a mistake of the person.
    read: fn(&ArgMatches) -> Result<Box<dyn Work>, String>,
}

/// All of them, in the order in which they are listed.
pub const TOOLS: &[Tool] = &[
    funccount::TOOL,
    argdist::TOOL,
    funclatency::TOOL,
    slower::TOOL,
    graph::TOOL,
    stackcount::TOOL,
    memleak::TOOL,
    offcpu::TOOL,
    profile::TOOL,
    syscalls::COUNT,
    syscalls::SHOW,
];

/// A tool with its arguments.
trait Work {
    /// Does it, until the person, or the time, ends it.
    fn run(&self, stage: &mut Stage) -> Result<(), Failure>;
}

/// Why a tool ends before its time.
enum Failure {
    /// There is no talking to the shell, or nobody to be told.
    Client(ClientError),
    /// What cannot be done, in words.
    Refused(String),
    /// Somebody has ended it before it began.
    Ended,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// What the command line asks of a tool.
pub struct Job {
    tool: &'static Tool,
    work: Box<dyn Work>,
    /// What it was told of the image.
    files: Vec<ImageFile>,
    limits: Limits,
}

/// Adds the tools as commands.
pub fn with_tools(command: Command, status: &'static str) -> Command {
    TOOLS.iter().fold(command, |command, tool| command.subcommand(tool.definition(status)))
}

impl Tool {
    /// Its definition where it is a line of a session.
    fn within_session(&self) -> Command {
        self.definition("").override_usage(format!("{} {}", self.name, self.usage))
    }

    fn definition(&self, status: &'static str) -> Command {
        let command = Command::new(self.name)
            .about(self.about)
            .override_usage(format!("ushell SOCKET {} {}", self.name, self.usage))
            .after_help(format!("{}\n\n{COMMON}\n\n{status}", self.details).trim_end().to_owned());
        let time = |name, help| Arg::new(name).long(name).value_name("SECONDS").value_parser(seconds).help(help);
        (self.define)(command)
            .arg(time("interval", "Print what came in each so many seconds"))
            .arg(time("duration", "End after so many seconds; else ^C ends it"))
            .arg(flag("json").help("Print JSON: a value on each line"))
            .arg(flag("yes").help("Attach to more than 300 functions, too"))
            .arg(flag("own").help("Also calls that the shell's own work makes in the image"))
            .arg(no_demangle())
    }
}

const COMMON: &str = "\
PATTERN is the name of a function, or has `*` for any characters (quote it), or is syscall:NAME; `functions PATTERN` of the shell lists what it fits. \
Functions of C++ and Rust go by their names in the source, with or without the types of parameters: 'Ledger<long>::total', 'shop::*'. \
Nothing stays attached when the tool has ended, however it ended.";

/// The tool of this name with what the command line says; `None`: there is none of this name.
pub fn job(name: &str, matches: &ArgMatches) -> Option<Result<Job, String>> {
    let tool = TOOLS.iter().find(|tool| tool.name == name)?;
    let time = |name| matches.get_one::<Duration>(name).copied();
    let limits = Limits {
        interval: time("interval"),
        duration: time("duration"),
        json: matches.get_flag("json"),
        many: matches.get_flag("yes"),
        own: matches.get_flag("own"),
        mangled: matches.get_flag("no-demangle"),
    };
    Some((tool.read)(matches).map(|work| Job { tool, work, files: ImageFile::all(matches), limits }))
}

/// Whether there is a tool of this name.
pub fn is_tool(name: &str) -> bool {
    TOOLS.iter().any(|tool| tool.name == name)
}

/// Each tool and what it does, in a line.
pub fn summary() -> impl Iterator<Item = (&'static str, &'static str)> {
    TOOLS.iter().map(|tool| (tool.name, tool.about))
}

/// The long options of a tool.
pub fn options(name: &str) -> Vec<String> {
    let tools = TOOLS.iter().filter(|tool| tool.name == name);
    let command = tools.map(Tool::within_session).next().unwrap_or_default();
    command.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect()
}

/// Reads the words of a line that begins with the name of a tool: what it asks for, or what is said in its place, and whether that is help.
pub fn job_of(words: &[&str]) -> Result<Job, (String, bool)> {
    let told = |error: clap::Error| (error.render().to_string(), !error.use_stderr());
    let name = words.first().copied().unwrap_or_default();
    let Some(tool) = TOOLS.iter().find(|tool| tool.name == name) else {
        return Err((format!("there is no tool {name}\n"), false));
    };
    let command = tool.within_session();
    let matches = command.clone().try_get_matches_from(words).map_err(told)?;
    match job(name, &matches) {
        Some(job) => job.map_err(|reason| told(cli::mistake(command, None, &reason))),
        None => Err((format!("there is no tool {name}\n"), false)),
    }
}

impl Job {
    /// As `--json` before the tool's name.
    pub fn json(&mut self) {
        self.limits.json = true;
    }

    /// As `--no-demangle` before the tool's name.
    pub fn mangled(&mut self) {
        self.limits.mangled = true;
    }

    /// Does it. Tells whether it did well.
    pub fn run(&self, client: &mut Client, start: Start) -> Result<bool, ClientError> {
        let mut stage = Stage::new(self.tool.name, client, self.limits, start);
        let checked = self.files.iter().try_for_each(|file| file.check(&mut stage));
        let result = checked.and_then(|()| self.work.run(&mut stage));
        // What is attached goes at once, whatever happened; of two troubles the first is told.
        let ended = stage.end();
        match result {
            Ok(()) => ended.map(|()| true),
            Err(Failure::Ended) => ended.map(|()| true),
            Err(Failure::Client(error)) => Err(error),
            Err(Failure::Refused(reason)) => {
                stage::refuse(self.tool.name, &reason);
                Ok(false)
            }
        }
    }
}

/// The option for names as the image has them.
pub fn no_demangle() -> Arg {
    flag("no-demangle").help("Name functions of C++ and Rust as the image has them, not as the source does")
}

/// The patterns that a tool is given.
fn patterns() -> Arg {
    Arg::new("PATTERN").required(true).num_args(1..).help("Functions: a name, or with `*` for any characters")
}

/// Those of the command line, each once.
fn read_patterns(matches: &ArgMatches) -> Vec<String> {
    let mut patterns: Vec<String> = Vec::new();
    for pattern in matches.get_many::<String>("PATTERN").into_iter().flatten() {
        if !patterns.contains(pattern) {
            patterns.push(pattern.clone());
        }
    }
    patterns
}
