//! `funccount`: how often functions are called. The engine counts the runs of a program that does nothing.

use super::{
    count::{self, Counts, Name, Table},
    object::Wanted,
    patterns, read_patterns,
    stage::{Stage, Turn},
    Failure, Tool, Work,
};
use clap::{ArgMatches, Command};
use serde_json::json;

pub const TOOL: Tool = Tool {
    name: "funccount",
    about: "Counts the calls of functions",
    usage: "[OPTIONS] PATTERN...",
    details: "The counts are exact. Functions that were not called are left out.",
    define: |command: Command| command.arg(patterns()).arg(count::top()),
    read,
};

fn read(matches: &ArgMatches) -> Result<Box<dyn Work>, String> {
    Ok(Box::new(FunctionCount { patterns: read_patterns(matches), top: count::read_top(matches) }))
}

struct FunctionCount {
    patterns: Vec<String>,
    top: usize,
}

impl Work for FunctionCount {
    fn run(&self, stage: &mut Stage) -> Result<(), Failure> {
        let targets = stage.targets(&self.patterns)?;
        stage.attach(&Wanted { programs: "funccount", targets: &targets, ..Wanted::default() })?;
        let mut counts = Counts::default();
        loop {
            let turn = stage.wait()?;
            let (span, calls) = (stage.span(), stage.calls()?);
            let attached = calls.len();
            let calls = counts.take(calls, stage.is_parted());
            let calls = calls.into_iter().map(|(name, calls)| (Name::Function(name), calls)).collect();
            let table = Table::of(calls, self.top, span, Default::default());
            let others = attached.saturating_sub(table.len());
            let text = || table.text("function", &format!("; {others} not called"));
            stage.show(turn, text, || {
                let mut all = table.json("function");
                all["not_called"] = json!(others);
                all
            })?;
            if turn == Turn::End {
                return Ok(());
            }
        }
    }
}
