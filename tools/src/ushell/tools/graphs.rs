//! What tools that count stacks show of them beside a table: folded lines, and a flame graph when they end.

use super::Failure;
use crate::folded::Folded;
use clap::{
    builder::{OsStringValueParser, TypedValueParser},
    Arg, ArgMatches, Command,
};
use std::{ffi::OsString, path::PathBuf};
use ubpf_tools::cli::flag;

/// What the command line says of that.
pub struct Graphs {
    folded: bool,
    svg: Option<PathBuf>,
}

/// A file in a folder that is there: it is written when all has been counted, which is too late to find out.
fn beside_others(path: OsString) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.is_none_or(|folder| folder.is_dir()) && !path.is_dir() {
        true => Ok(path),
        false if path.is_dir() => Err("it is a folder".into()),
        false => Err("there is no such folder".into()),
    }
}

impl Graphs {
    /// Adds the options, for a command that has `--top`.
    pub fn define(command: Command) -> Command {
        command
            .arg(
                flag("folded")
                    .conflicts_with_all(["json", "top"])
                    .help("Print a line for each stack, as flame graphs are made of"),
            )
            .arg(
                Arg::new("svg")
                    .long("svg")
                    .value_name("FILE")
                    .value_parser(OsStringValueParser::new().try_map(beside_others))
                    .help("Write a flame graph into FILE at the end; a browser opens it"),
            )
    }

    pub fn read(matches: &ArgMatches) -> Self {
        Self { folded: matches.get_flag("folded"), svg: matches.get_one("svg").cloned() }
    }

    /// The folded lines, where they are to stand in place of the table. Stacks are names, the innermost function first, with how often.
    pub fn lines(&self, stacks: impl FnOnce() -> Folded) -> Option<String> {
        self.folded.then(|| stacks().lines().map(|line| line + "\n").collect())
    }

    /// Writes the flame graph, where there is to be one. `of`: what is counted.
    pub fn draw(&self, title: &str, of: &str, stacks: impl FnOnce() -> Result<Folded, Failure>) -> Result<(), Failure> {
        let Some(path) = &self.svg else { return Ok(()) };
        stacks()?.write_svg(path, title, of).map_err(Failure::Refused)
    }
}
