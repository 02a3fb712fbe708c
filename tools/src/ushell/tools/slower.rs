//! `slower`: calls that took long, one by one, as they return.

use super::{
    object::Wanted,
    patterns, read_patterns,
    stage::{Stage, Told},
    Failure, Tool, Work,
};
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
const ARGUMENTS: u8 = 3;

fn define(command: Command) -> Command {
    let microseconds = Arg::new("MICROSECONDS").required(true).value_parser(value_parser!(u64));
    let arguments = value_parser!(u8).range(0..=6);
    command.arg(microseconds.help("Least time that a call takes to be shown")).arg(patterns()).arg(
        Arg::new("args")
            .long("args")
            .value_name("N")
            .value_parser(arguments)
            .help("Arguments to be shown, 0 to 6; 3 unless told"),
    )
}

fn read(matches: &ArgMatches) -> Result<Box<dyn Work>, String> {
    let microseconds: u64 = matches.get_one("MICROSECONDS").copied().unwrap_or(0);
    let least_ns = microseconds.checked_mul(1000).ok_or("MICROSECONDS: so long takes nothing")?;
    let arguments: u8 = matches.get_one("args").copied().unwrap_or(ARGUMENTS);
    Ok(Box::new(Slower { least_ns, patterns: read_patterns(matches), arguments: arguments.into() }))
}

struct Slower {
    least_ns: u64,
    patterns: Vec<String>,
    arguments: usize,
}

impl Work for Slower {
    fn run(&self, stage: &mut Stage) -> Result<(), Failure> {
        stage.distinct(&self.patterns)?;
        let names = stage.addresses(&self.patterns)?;
        let begin = stage.now_ns()?;
        let values = [("least_ns", self.least_ns.to_string())];
        stage.attach(&Wanted { programs: "slower", values: &values, targets: &self.patterns, ..Wanted::default() })?;
        let (json, arguments) = (stage.is_json(), self.arguments);
        stage.follow("slower.calls", |words| {
            let &[when, key, result, a, b, c, d, e, f, ns] = words else { return Told::line(format!("{words:x?}")) };
            let name = names.get(&key).map_or("?", String::as_str);
            let (given, at) = ([a, b, c, d, e, f], when.saturating_sub(begin) as f64 / 1e9);
            let given = given.get(..arguments).unwrap_or(&given);
            if json {
                let call = json!({ "at": at, "ns": ns, "function": name, "arguments": given, "result": result });
                return Told::line(call.to_string());
            }
            let given: Vec<String> = given.iter().map(|&word| shown(word)).collect();
            Told::line(format!(
                "{at:>12.6} {:>12.1} us  {name}({}) = {}",
                ns as f64 / 1e3,
                given.join(", "),
                shown(result)
            ))
        })?;
        stage.tell_lost(Some("slower.calls"), None)?;
        Ok(())
    }
}

/// A word, of which nobody knows whether it is a number or an address.
pub fn shown(word: u64) -> String {
    match i16::try_from(word as i64) {
        Ok(small) => small.to_string(),
        Err(_) if word <= 0xffff => word.to_string(),
        Err(_) => format!("{word:#x}"),
    }
}
