//! What tools that count stacks show of them beside a table: folded lines, and a flame graph when they end.

use super::Failure;
use crate::folded::Folded;
use clap::{value_parser, Arg, ArgMatches, Command};
use std::path::PathBuf;
use ubpf_tools::cli::flag;

/// What the command line says of that.
pub struct Graphs {
    folded: bool,
    svg: Option<PathBuf>,
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
                    .value_parser(value_parser!(PathBuf))
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
