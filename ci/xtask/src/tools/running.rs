//! A tool at work in a running image.

use super::expect;
use crate::{demo, setup, Result};
use serde_json::Value as Json;
use std::{
    io::{BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
};
use ubpf_client::text::TextClient;

/// The image, by its shell, and the tool's program.
pub struct Image {
    socket: PathBuf,
    ushell: PathBuf,
}

/// A tool that has attached.
pub struct Tool {
    process: Child,
    errors: BufReader<ChildStderr>,
    name: String,
}

impl Image {
    /// Builds `ushell`; the image is asked for nothing yet.
    pub fn new(root: &Path, socket: &Path) -> Result<Self> {
        Ok(Self { socket: socket.to_path_buf(), ushell: demo::build_ushell(root)? })
    }

    /// Starts a tool, and waits until it has attached.
    pub fn start(&self, arguments: &[&str]) -> Result<Tool> {
        let name = arguments.join(" ");
        let mut command = Command::new(&self.ushell);
        command.arg(&self.socket).args(arguments).arg("--json").stdin(Stdio::null());
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut errors = BufReader::new(process.stderr.take().ok_or("no standard error output")?);
        let mut line = String::new();
        errors.read_line(&mut line)?;
        let tool = Tool { process, errors, name };
        match line.contains(": attached to ") {
            true => Ok(tool),
            false => Err(format!("{}: {line}{}", tool.name.clone(), tool.rest()).into()),
        }
    }

    /// A tool while `work` is done: what it told, and what `work` gave.
    pub fn during<T>(&self, arguments: &[&str], work: impl FnOnce() -> Result<T>) -> Result<(Vec<Json>, T)> {
        let tool = self.start(arguments)?;
        let done = work()?;
        Ok((tool.end()?, done))
    }

    /// Nothing is attached, and no map is left.
    pub fn expect_nothing(&self) -> Result<()> {
        let mut shell = TextClient::synchronised(&self.socket)?;
        for command in ["bpf_list", "map list", "prog list"] {
            let left = shell.command(command)?;
            expect(left.trim().is_empty(), || format!("after all tools have ended, {command} says:\n{left}"))?;
        }
        Ok(())
    }
}

impl Tool {
    /// Presses `^C`; the values that it printed.
    pub fn end(mut self) -> Result<Vec<Json>> {
        setup::run(Command::new("kill").args(["-INT", &self.process.id().to_string()]))?;
        let mut told = String::new();
        if let Some(mut output) = self.process.stdout.take() {
            output.read_to_string(&mut told)?;
        }
        let status = self.process.wait()?;
        let name = self.name.clone();
        let errors = self.rest();
        expect(status.success(), || format!("{name} ended with {status}: {errors}"))?;
        expect(errors.is_empty(), || format!("{name} says: {errors}"))?;
        told.lines()
            .map(|line| serde_json::from_str(line).map_err(|error| format!("{name}: {error}: {line}").into()))
            .collect()
    }

    /// What it wrote on its standard error output since.
    fn rest(mut self) -> String {
        let mut text = String::new();
        // What cannot be read is only missing from a message.
        let _ = self.errors.read_to_string(&mut text);
        text
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The only value of a tool that tells all of it at its end.
pub fn only(told: &[Json]) -> Result<&Json> {
    match told {
        [one] => Ok(one),
        _ => Err(format!("{} values instead of one", told.len()).into()),
    }
}

/// A list in a value.
pub fn list<'a>(value: &'a Json, name: &str) -> Result<&'a [Json]> {
    value[name].as_array().map(Vec::as_slice).ok_or_else(|| format!("no list {name} in {value}").into())
}

/// A number in a value.
pub fn number(value: &Json, name: &str) -> Result<u64> {
    value[name].as_u64().ok_or_else(|| format!("no number {name} in {value}").into())
}

/// A text in a value.
pub fn word<'a>(value: &'a Json, name: &str) -> Result<&'a str> {
    value[name].as_str().ok_or_else(|| format!("no text {name} in {value}").into())
}

/// The row of a list that has this text under this name.
pub fn row<'a>(value: &'a Json, of: &str, name: &str, text: &str) -> Result<&'a Json> {
    let found = list(value, of)?.iter().find(|row| row[name] == text);
    found.ok_or_else(|| format!("no {name} {text} in {value}").into())
}

/// The functions of a stack, the innermost first; under this name.
fn functions<'a>(row: &'a Json, name: &str) -> Result<Vec<&'a str>> {
    Ok(list(row, name)?.iter().map(|function| function.as_str().unwrap_or("?")).collect())
}

/// The sum of the numbers of this name in a list.
pub fn sum(value: &Json, of: &str, name: &str) -> Result<u64> {
    list(value, of)?.iter().map(|row| number(row, name)).sum()
}

/// Those rows of the list `stacks` that have this function among theirs, which stand under this name.
pub fn stacks_with<'a>(value: &'a Json, name: &str, function: &str) -> Result<Vec<&'a Json>> {
    let mut found = Vec::new();
    for row in list(value, "stacks")? {
        found.extend(functions(row, name)?.contains(&function).then_some(row));
    }
    Ok(found)
}

/// The sum of the numbers of this name in such rows.
pub fn sum_with(value: &Json, name: &str, function: &str, number_of: &str) -> Result<u64> {
    stacks_with(value, name, function)?.into_iter().map(|row| number(row, number_of)).sum()
}

/// Each stack begins with these functions, and `outermost` is among the others.
pub fn expect_stacks(value: &Json, innermost: &[&str], outermost: &str) -> Result<()> {
    for row in list(value, "stacks")? {
        let stack = functions(row, "stack")?;
        let fits = stack.starts_with(innermost) && stack.contains(&outermost);
        expect(fits, || format!("stacks begin with {innermost:?} and come from {outermost}: {stack:?}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stacks_are_found_and_added_up_by_their_functions() {
        let told = json!({ "stacks": [
            { "stack": ["f", "g", "main"], "calls": 3 }, { "stack": ["f", "main"], "calls": 4 }, { "stack": ["f", "g"], "calls": 5 },
        ] });
        assert_eq!(sum(&told, "stacks", "calls").ok(), Some(12));
        assert_eq!(sum_with(&told, "stack", "main", "calls").ok(), Some(7));
        assert_eq!(sum_with(&told, "stack", "h", "calls").ok(), Some(0));
        assert!(sum_with(&told, "functions", "main", "calls").is_err() && sum(&told, "stacks", "bytes").is_err());
        assert!(expect_stacks(&told, &["f"], "f").is_ok());
        // One has no `main`, one has no `g` behind `f`.
        assert!(expect_stacks(&told, &["f"], "main").is_err() && expect_stacks(&told, &["f", "g"], "f").is_err());
    }
}
