//! `argdist`: what a function is called with, by powers of two or by values.

use super::{
    arguments::{self, Argument, Values},
    count::{self, Counts, Name, Table},
    object::Wanted,
    signatures,
    stage::{Stage, Turn},
    Failure, Tool, Work,
};
use crate::hist::Histogram;
use clap::{Arg, ArgMatches, Command};
use serde_json::json;
use ubpf_tools::cli::flag;

pub const TOOL: Tool = Tool {
    name: "argdist",
    about: "Shows what a function is called with: the distribution of an argument",
    usage: "[OPTIONS] FUNC [ARG]",
    details: "\
ARG is the number of an argument that is passed in a register, 1 to 6 (1 if it is left out), with its type where it has no 64 bits with \
a sign: 2:int, 1:u8; or with --debug its name. Types are u8 to u64, s8 to s64, bool, char, short, int, unsigned, long, size_t.",
    define,
    read,
};

fn define(command: Command) -> Command {
    command
        .arg(
            Arg::new("FUNC")
                .required(true)
                .help("The function; with `*` for any characters, all that it fits together"),
        )
        .arg(Arg::new("ARG").default_value("1").help("The argument, and its type; or its name"))
        .arg(flag("hist").help("Count by powers of two, and draw it (usual)"))
        .arg(flag("count").conflicts_with("hist").help("Count each value"))
        .arg(count::top().requires("count"))
        .arg(arguments::conditions())
        .arg(signatures::debug())
}

fn read(matches: &ArgMatches) -> Result<Box<dyn Work>, String> {
    let text = |name| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let argument = match text("ARG") {
        // As conditions have it; with the names of the source it may be one of those.
        number if is_numbered(&number) && !matches.contains_id("debug") => Argument::read(&number["arg".len()..]),
        name if name.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
            signatures::read_debug(matches)?.argument(&text("FUNC"), &name)
        }
        number => Argument::read(&number),
    };
    let argument = argument.map_err(|error| format!("ARG: {error}"))?;
    let mut values = argument.values();
    values.extend(arguments::read_conditions(matches)?);
    let exact = matches.get_flag("count");
    Ok(Box::new(Distribution { function: text("FUNC"), argument, values, exact, top: count::read_top(matches) }))
}

/// `argN`.
fn is_numbered(text: &str) -> bool {
    text.strip_prefix("arg").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

struct Distribution {
    function: String,
    argument: Argument,
    values: Values,
    /// Each value by itself.
    exact: bool,
    top: usize,
}

impl Work for Distribution {
    fn run(&self, stage: &mut Stage) -> Result<(), Failure> {
        let (programs, map) = match self.exact {
            true => ("argdist_count", "argdist_count.values"),
            false => ("argdist_hist", "argdist_hist.powers"),
        };
        let targets = stage.targets(std::slice::from_ref(&self.function))?;
        stage.attach(&Wanted { programs, values: &self.values, targets: &targets, ..Wanted::default() })?;
        let mut counts = Counts::default();
        loop {
            let turn = stage.wait()?;
            let (span, found) = (stage.span(), stage.counts(map)?);
            let lost = stage.lost(self.exact.then_some("argdist_count.lost"))?;
            let found = counts.take(found, stage.is_parted());
            if self.exact {
                let number = |(word, count)| (Name::Number(self.argument.value(word)), count);
                let table = Table::of(found.into_iter().map(number).collect(), self.top, span, lost);
                stage.show(turn, || table.text("value", ""), || table.json("value"))?;
            } else {
                let picture = Histogram::of_powers(&found);
                let text = || format!("{}{}{}", span.head(), picture.picture("value"), lost.text());
                stage
                    .show(turn, text, || span.json(json!({ "slots": picture.json()["slots"], "lost": lost.json() })))?;
            }
            if turn == Turn::End {
                return Ok(());
            }
        }
    }
}
