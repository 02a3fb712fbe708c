//! `slower`: calls that took long, one by one, as they return.

use super::{
    object::Wanted,
    patterns, read_patterns,
    signatures::{self, Known},
    stage::{Stage, Told},
    Failure, Tool, Work,
};
use crate::names::Function;
use clap::{value_parser, Arg, ArgMatches, Command};
use serde_json::json;

pub const TOOL: Tool = Tool {
    name: "slower",
    about: "Shows calls of functions that took long, with arguments and result, as they return",
    usage: "[OPTIONS] MICROSECONDS PATTERN...",
    details: "\
A line has the seconds since the programs were attached, the microseconds that the call took, the function with its first arguments, and what \
it returned; numbers of more than 16 bits in hexadecimal. Arguments are those in registers, as they were at the entry.",
    define,
    read,
};

/// Arguments that are shown without being asked for.
pub const ARGUMENTS: usize = 3;

fn define(command: Command) -> Command {
    let microseconds = Arg::new("MICROSECONDS").required(true).value_parser(value_parser!(u64));
    command
        .arg(microseconds.help("Least time that a call takes to be shown"))
        .arg(patterns())
        .arg(signatures::count(
            "Arguments to be shown of functions of which nobody knows how many they have, 0 to 6; 3 unless told",
        ))
        .arg(signatures::debug())
}

fn read(matches: &ArgMatches) -> Result<Box<dyn Work>, String> {
    let microseconds: u64 = matches.get_one("MICROSECONDS").copied().unwrap_or(0);
    let least_ns = microseconds.checked_mul(1000).ok_or("MICROSECONDS: so long takes nothing")?;
    Ok(Box::new(Slower {
        least_ns,
        patterns: read_patterns(matches),
        arguments: signatures::read_count(matches).unwrap_or(ARGUMENTS),
        known: signatures::read_debug(matches)?,
    }))
}

struct Slower {
    least_ns: u64,
    patterns: Vec<String>,
    arguments: usize,
    known: Known,
}

impl Work for Slower {
    fn run(&self, stage: &mut Stage) -> Result<(), Failure> {
        let targets = stage.targets(&self.patterns)?;
        stage.distinct(&targets)?;
        let names = stage.addresses(&targets)?;
        let begin = stage.now_ns()?;
        let values = [("least_ns", self.least_ns.to_string())];
        stage.attach(&Wanted { programs: "slower", values: &values, targets: &targets, ..Wanted::default() })?;
        let (json, arguments) = (stage.is_json(), self.arguments);
        stage.follow("slower.calls", |words| {
            let &[when, key, result, a, b, c, d, e, f, ns] = words else { return Told::line(format!("{words:x?}")) };
            let unknown = Function::from("?");
            let function = names.get(&key).unwrap_or(&unknown);
            let symbol = function.symbol();
            let (given, at) = ([a, b, c, d, e, f], when.saturating_sub(begin) as f64 / 1e9);
            if json {
                let mut call = json!({ "at": at, "ns": ns });
                function.put(&mut call, "function");
                self.known.put_result(&mut call, symbol, result);
                self.known.put(&mut call, symbol, &given, arguments);
                return Told::line(call.to_string());
            }
            Told::line(format!(
                "{at:>12.6} {:>12.1} us  {}({}){}",
                ns as f64 / 1e3,
                function.without_parameters(),
                self.known.text(symbol, &given, arguments),
                self.known.result(symbol, result)
            ))
        })?;
        stage.tell_lost(Some("slower.calls"), None)?;
        Ok(())
    }
}
