//! The command line of a tool: parsing, help, version, completions and manual pages come from one definition.

use crate::output;
use clap::{
    builder::PossibleValuesParser, error::ErrorKind, value_parser, Arg, ArgAction, ArgMatches, Command, ValueHint,
};
use clap_complete::Shell;
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

/// Wrong usage (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// Adds the options that print what a system installs, and `--version` everywhere. With these two, nothing else is needed.
pub fn with_documents(tool: Command) -> Command {
    let commands = tool.get_subcommands().map(|command| command.get_name().to_owned());
    let pages: Vec<String> = [tool.get_name().to_owned()].into_iter().chain(commands).collect();
    let own = tool.get_name().to_owned();
    tool.version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .args_conflicts_with_subcommands(true)
        .arg(
            Arg::new("completions")
                .long("completions")
                .value_name("SHELL")
                .exclusive(true)
                .value_parser(value_parser!(Shell))
                .help("Print completions for a shell of this machine"),
        )
        .arg(
            Arg::new("manual")
                .long("manual")
                .value_name("COMMAND")
                .num_args(0..=1)
                .default_missing_value(own)
                .exclusive(true)
                .value_parser(PossibleValuesParser::new(pages))
                .hide_possible_values(true)
                .help("Print the manual page, or that of a command"),
        )
}

/// Reads the arguments. What needs nothing else of the tool is done here, and so are mistakes: then this is how the tool ends.
pub fn parse<T>(
    definition: fn() -> Command,
    args: impl Iterator<Item = OsString>,
    read: impl FnOnce(&ArgMatches) -> Result<T, clap::Error>,
) -> Result<T, ExitCode> {
    let tool = definition().get_name().to_owned();
    let matches = definition().try_get_matches_from(args).map_err(|error| told(&tool, &error))?;
    if let Some(&shell) = matches.get_one::<Shell>("completions") {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut definition(), &tool, &mut text);
        return Err(printed(&tool, &text));
    }
    if let Some(page) = matches.get_one::<String>("manual") {
        return Err(printed(&tool, &manual(definition(), page)));
    }
    read(&matches).map_err(|error| told(&tool, &error))
}

/// A manual page in roff.
fn manual(mut tool: Command, page: &str) -> Vec<u8> {
    tool.build();
    let command = tool.find_subcommand(page).unwrap_or(&tool).clone();
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = clap_mangen::Man::new(command).render(&mut text);
    text
}

/// Help and version go to standard output, mistakes to standard error.
fn told(tool: &str, error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if !error.use_stderr() {
        return printed(tool, text.as_bytes());
    }
    output::say(&text);
    ExitCode::from(EXIT_USAGE)
}

fn printed(tool: &str, text: &[u8]) -> ExitCode {
    match output::print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failed(tool, &error),
    }
}

/// A mistake that the definition cannot name; shown with the usage of the command (or of the tool) that it was made in.
pub fn mistake(mut tool: Command, command: Option<&str>, reason: &str) -> clap::Error {
    tool.build();
    let found = command.and_then(|name| tool.find_subcommand(name).cloned());
    found.unwrap_or(tool).error(ErrorKind::ValueValidation, reason)
}

/// An argument that is a file of this machine, whatever it is called.
pub fn path(name: &'static str) -> Arg {
    Arg::new(name).value_parser(value_parser!(PathBuf)).value_hint(ValueHint::FilePath)
}

/// An option without a value.
pub fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}
