//! Commands and uploads over a client, their output on standard output.

use crate::{
    help, hist,
    json::{self, Form},
    names::{self, names, Function, Resolver},
    options::{upload, Options, Upload, OBJECT, PACKAGE},
    tools::{self, Keys},
    typed::{self, FoundValue, Typed},
};
use serde_json::{json, Value as Json};
use std::{
    collections::HashSet,
    fs::File,
    io::{self, IsTerminal, Write},
};
use ubpf_client::{
    machine::{quote, Client},
    ClientError,
};
use ubpf_embed::files::{read_bounded, shown};
use ubpf_pack::Value;
use ubpf_rs::platform::is_pattern;
use ubpf_tools::{
    output::say,
    progress::{Progress, Unit},
};
use ushell_rs::words;

/// A conversation.
pub struct Session {
    pub client: Client,
    echo: bool,
    json: bool,
    /// Functions are named as the image has them.
    mangled: bool,
    /// A console's lines stand between those of commands.
    quiet: bool,
    /// Where `^C` is a key.
    keys: Option<Keys>,
    over: bool,
    /// The last command has attached for as long as the session lasts.
    goes: bool,
}

/// How a command takes functions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Also as patterns.
    Patterns,
    /// Any number of names.
    Names,
    /// One.
    One,
    /// It only tells of them.
    None,
}

/// Commands with functions, and from which of their words on those are.
const WITH_FUNCTIONS: &[(&str, Takes, usize)] = &[
    ("bpf_attach", Takes::Patterns, 1),
    ("bpf_detach", Takes::Patterns, 1),
    ("bpf_list", Takes::Names, 1),
    ("bench", Takes::One, 1),
    ("bpf_get_addr", Takes::One, 1),
    ("bpf_get_ret_addr", Takes::One, 1),
    ("bpf_exec", Takes::One, 2),
    ("bpf_get_name", Takes::None, 0),
    ("functions", Takes::None, 0),
    ("prog", Takes::None, 0),
];

impl Session {
    /// `quiet`: something else writes on the terminal.
    pub fn new(client: Client, options: &Options, quiet: bool) -> Self {
        let Options { echo, json, mangled, .. } = *options;
        Self { client, echo, json, mangled, quiet, keys: None, over: false, goes: false }
    }

    /// At a terminal where `^C` is a key: `pressed` is asked while something is at work.
    pub fn set_keys(&mut self, pressed: Keys) {
        self.keys = Some(pressed.clone());
        self.client.set_interrupt(move || pressed());
    }

    /// Whether the conversation was ended by `quit`.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Shows a line that nobody has typed.
    pub fn show_line(&self, line: &str) -> Result<(), ClientError> {
        writeln!(io::stdout(), "> {line}").map_err(ClientError::Output)
    }

    /// Runs one line; tells whether it did well. What would break the conversation is done here.
    pub fn command(&mut self, line: &str) -> Result<bool, ClientError> {
        if self.echo {
            self.show_line(line)?;
        }
        let Ok(words) = words::split(line) else {
            // The shell says what is wrong with it.
            return self.run(line);
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let good = self.command_of(line, &words)?;
        self.goes = good && words.starts_with(&["prog", "attach"]) && !words.contains(&"--keep");
        Ok(good)
    }

    /// Says what the person may not expect at the end: that the last command has been for nothing.
    pub fn tell_what_goes(&self) {
        if self.goes {
            say("ushell: what `prog attach` attached is detached again, as the session ends: --keep leaves it attached\n");
        }
    }

    /// The same in words.
    fn command_of(&mut self, line: &str, words: &[&str]) -> Result<bool, ClientError> {
        if !self.mangled {
            match words {
                ["functions", pattern, ..] if !pattern.starts_with('-') => return self.functions(line, words, pattern),
                ["prog", "dump", ..] => return self.disassemble(line),
                [command, ..] => {
                    if let Some((_, takes, from)) = WITH_FUNCTIONS.iter().find(|(known, ..)| known == command) {
                        return self.with_functions(line, words, *takes, *from);
                    }
                }
                [] => {}
            }
        }
        match words {
            [] => Ok(true),
            [name, ..] if self.is_tool(name)? => self.tool(words),
            ["help", name] if self.is_tool(name)? => self.tool(&[name, "--help"]),
            ["quit" | "exit"] => {
                self.over = true;
                self.run("quit")
            }
            ["mode" | "terminal" | "session", ..] => {
                say("ushell: this tool needs the shell in its own mode\n");
                Ok(false)
            }
            ["put", file] => self.put_as(upload(file.as_ref())),
            ["put", file, name] => self.put_as(upload(format!("{file}={name}").as_ref())),
            ["put", ..] => {
                say("Usage: put FILE [NAME]\n");
                Ok(false)
            }
            ["map", "dump", map] => self.dump(line, map),
            ["map", "lookup", map, ..] => self.lookup(line, map),
            ["map", "update", map, ..] => self.update(line, map),
            ["map", "delete", map, ..] => self.delete(line, map),
            ["prog", "dump", ..] => self.disassemble(line),
            ["trace", map, ..] => self.trace(line, map),
            ["hist", map] => self.hist(map, ""),
            ["hist", map, unit] => self.hist(map, unit),
            ["help", "hist"] if !self.json => {
                self.show_help(true, &hist::HELP.lines().map(String::from).collect::<Vec<_>>())
            }
            ["hist", ..] => {
                say(hist::HELP);
                Ok(false)
            }
            ["help", "put"] if !self.json => {
                self.show_help(true, &help::PUT.lines().map(String::from).collect::<Vec<_>>())
            }
            ["help"] => self.help(line, true),
            ["help", ..] => self.help(line, false),
            words if self.json => self.run_json(line, Form::of(words)),
            _ => self.run(line),
        }
    }

    /// Whether this is a tool. A command that an application has under the name of one comes first.
    fn is_tool(&mut self, name: &str) -> Result<bool, ClientError> {
        Ok(tools::is_tool(name) && !self.client.answer(&format!("help {name}"))?.0)
    }

    /// A tool within the session: what others have attached stays.
    fn tool(&mut self, words: &[&str]) -> Result<bool, ClientError> {
        let mut job = match tools::job_of(words) {
            Ok(job) => job,
            Err((text, true)) => {
                ubpf_tools::output::print(text.as_bytes()).map_err(ClientError::Output)?;
                return Ok(true);
            }
            Err((text, false)) => {
                say(&text);
                return Ok(false);
            }
        };
        if self.json {
            job.json();
        }
        if self.mangled {
            job.mangled();
        }
        let start = tools::Start { quiet: self.quiet, within: true, keys: self.keys.clone() };
        let good = job.run(&mut self.client, start);
        match &self.keys {
            Some(pressed) => self.set_keys(pressed.clone()),
            None => self.client.set_interrupt(|| false),
        }
        good
    }

    /// `help`, or that of one command.
    fn help(&mut self, line: &str, all: bool) -> Result<bool, ClientError> {
        let mut lines = Vec::new();
        let good = self.collect(line, &mut |line| lines.push(help::of_this_tool(line)))?;
        if all {
            lines.extend(help::more().lines().map(String::from));
        }
        self.show_help(good, &lines)
    }

    /// Shows what was said of commands: at a terminal as wide as that is.
    fn show_help(&self, good: bool, lines: &[String]) -> Result<bool, ClientError> {
        let lines: Vec<String> = lines.iter().map(|line| shown_text(line)).collect();
        if self.json {
            return self.print_json(good, json!({ "output": lines }), &lines);
        }
        let text = match help::columns() {
            Some(columns) => help::fitted(&lines, columns),
            None => lines.iter().map(|line| format!("{line}\n")).collect(),
        };
        ubpf_tools::output::print(text.as_bytes()).map_err(ClientError::Output)?;
        Ok(good)
    }

    /// A command with functions: they go by the names of the source.
    fn with_functions(&mut self, line: &str, words: &[&str], takes: Takes, from: usize) -> Result<bool, ClientError> {
        let first = words.iter().skip(1).position(|word| !word.starts_with('-')).map(|at| at + 1);
        let is_function = |at: usize, word: &str| match takes {
            _ if word.starts_with('-') || at < from => false,
            Takes::None => false,
            Takes::Names => true,
            // Behind the first stands the program; what a program is given need not be a function.
            Takes::Patterns => Some(at) == first,
            Takes::One => at == 1 || word.contains("::") || word.contains('('),
        };
        let mut lines = vec![line.to_string()];
        let mut all: Vec<String> = words.iter().map(|word| quote(word)).collect();
        let mut resolver = Resolver::default();
        for (at, word) in words.iter().enumerate().filter(|(at, word)| is_function(*at, word)) {
            let found = match self.found(word, takes, &mut resolver)? {
                Ok(found) if found.as_slice() == [*word] => continue,
                Ok(found) => found,
                Err(reason) => return self.refuse(&reason),
            };
            let mut with = |text: String| {
                all.get_mut(at).into_iter().for_each(|place| place.clone_from(&text));
                all.join(" ")
            };
            lines = match takes {
                Takes::Patterns => found.iter().map(|target| with(quote(target))).collect(),
                _ => vec![with(found.iter().map(|name| quote(name)).collect::<Vec<_>>().join(" "))],
            };
        }
        let mut good = true;
        for line in lines {
            good &= match self.json {
                true => self.run_json(&line, Form::of(words))?,
                false => self.run_lines(&line, &mut names::line_of_source)?,
            };
        }
        Ok(good)
    }

    /// What a command is told in place of a name.
    fn found(
        &mut self,
        word: &str,
        takes: Takes,
        resolver: &mut Resolver,
    ) -> Result<Result<Vec<String>, String>, ClientError> {
        let found = match resolver.targets(word, &mut |line| self.client.ask(line))? {
            Ok(found) if takes != Takes::Patterns && found.as_slice() != [word] => self.each_of(found)?,
            found => return Ok(found),
        };
        if takes == Takes::One && found.len() > 1 {
            let names: Vec<String> = found.iter().map(|name| names::line_of_source(name)).collect();
            return Ok(Err(format!("{word} is several functions: {}", names.join("; "))));
        }
        Ok(Ok(found))
    }

    /// Each function that these names and patterns fit; by its address where others have its name.
    fn each_of(&mut self, targets: Vec<String>) -> Result<Vec<String>, ClientError> {
        let mut all = Vec::new();
        for target in targets {
            if !is_pattern(&target) {
                all.push(target);
                continue;
            }
            let lines = self.client.ask(&format!("functions {}", quote(&target)))?;
            all.extend(lines.iter().map(|line| names::parts(line).1.unwrap_or(line).into()));
        }
        Ok(all)
    }

    /// `functions PATTERN`: also those that it fits, or is a part of, as the source has them.
    fn functions(&mut self, line: &str, words: &[&str], pattern: &str) -> Result<bool, ClientError> {
        let part = if is_pattern(pattern) { pattern.to_string() } else { format!("*{pattern}*") };
        let mut lines = Vec::new();
        let good = self.collect(line, &mut |line| lines.push(line.to_string()))?;
        if good {
            let more: Vec<&str> = words.iter().skip(2).copied().collect();
            let mut known: HashSet<String> = lines.iter().cloned().collect();
            for others in names::OF_OTHERS {
                let asked = self.client.ask(&format!("functions {} {}", quote(others), more.join(" ")))?;
                let found = asked.into_iter().filter(|line| names::is_called(&part, line));
                lines.extend(found.filter(|line| known.insert(line.clone())));
            }
        }
        if self.json {
            return self.print_json(good, self.both_names(Form::Functions.json(&lines)), &lines);
        }
        let text: String = lines.iter().map(|line| shown_text(&names::line_of_source(line)) + "\n").collect();
        ubpf_tools::output::print(text.as_bytes()).map_err(ClientError::Output)?;
        Ok(good)
    }

    /// What is known of a map's types; tells of those that are wrong.
    fn typed(&mut self, map: &str) -> Result<Option<Typed>, ClientError> {
        let (typed, wrong) = Typed::of(&mut self.client, map)?;
        if let Some(reason) = wrong {
            say(&format!("ushell: the types of {map} are not used: {}\n", shown_text(&reason)));
        }
        Ok(typed.filter(|typed| !typed.is_untyped()))
    }

    /// The traces of a map of such, as names of functions, the innermost first.
    fn dump_stacks(&mut self, line: &str) -> Result<bool, ClientError> {
        let (mut traces, mut others) = (Vec::new(), Vec::new());
        let good = self.collect(line, &mut |line| match trace(line) {
            Some(trace) => traces.push(trace),
            None => others.push(line.to_string()),
        })?;
        let all = traces.iter().flat_map(|(_, trace)| trace).copied().collect();
        let names = names(all, |line| self.client.ask(line))?;
        let named = |trace: &[u64]| -> Vec<Function> {
            trace.iter().filter_map(|at| Some(Function::of(names.get(at)?, self.mangled))).collect()
        };
        if self.json {
            let each = traces.iter().map(|(key, trace)| {
                let mut entry = json!({ "key": key });
                Function::put_all(&named(trace), &mut entry, "value");
                entry
            });
            return self.print_json(good, each.collect(), &others);
        }
        let joined = |trace: &[u64]| named(trace).iter().map(Function::to_string).collect::<Vec<_>>().join("; ");
        let each = traces.iter().map(|(key, trace)| format!("{key}: {}", joined(trace)));
        let text: String = each.chain(others).map(|line| shown_text(&line).to_string() + "\n").collect();
        ubpf_tools::output::print(text.as_bytes()).map_err(ClientError::Output)?;
        Ok(good)
    }

    /// What kind of map it is; empty where there is none.
    fn kind(&mut self, map: &str) -> Result<String, ClientError> {
        let shown = self.client.answer(&format!("map show {}", quote(map)))?;
        Ok(Form::Maps.json(&shown.1)[0]["kind"].as_str().unwrap_or_default().into())
    }

    /// `map dump MAP`, by types where there are some.
    fn dump(&mut self, line: &str, map: &str) -> Result<bool, ClientError> {
        let kind = self.kind(map)?;
        if kind == "stack_trace" {
            return self.dump_stacks(line);
        }
        if ["ringbuf", "perf_event_array"].contains(&kind.as_str()) && !self.json {
            return self
                .refuse(&format!("{map} is a ring: trace {map} shows its records as they come, and takes them off"));
        }
        let typed = self.typed(map)?;
        if typed.is_none() && !self.json {
            return self.run(line);
        }
        let mut wrong = None;
        let mut parts = |line: &str| entry(typed.as_ref(), line, &mut wrong);
        let good = if self.json {
            let mut entries = Vec::new();
            let mut lines = Vec::new();
            let good = self.collect(line, &mut |line| match parts(line) {
                Some((key, value)) => {
                    let mut entry = value.json(kind.contains("percpu"));
                    entry["key"] = json::value(&key);
                    entries.push(entry);
                }
                None => lines.push(line.to_string()),
            })?;
            self.print_json(
                good,
                if lines.is_empty() { json!(entries) } else { json!({ "entries": entries, "output": lines }) },
                &lines,
            )?
        } else {
            self.run_lines(line, &mut |line| match parts(line) {
                Some((key, value)) => format!("{key}: {value}"),
                None => line.into(),
            })?
        };
        self.tell_wrong(map, wrong);
        Ok(good)
    }

    /// `prog dump`: the instructions as text.
    fn disassemble(&mut self, line: &str) -> Result<bool, ClientError> {
        let (mut lines, mut code) = (Vec::new(), Vec::new());
        let good = self.collect(line, &mut |line| match typed::slot(line) {
            Some(slot) => code.push(slot),
            None => {
                lines.append(&mut typed::disassembled(&mut code));
                lines.push(line.to_string());
            }
        })?;
        lines.append(&mut typed::disassembled(&mut code));
        if self.json {
            return self.print_json(good, Form::Code.json(&lines), &lines);
        }
        let mut shown = ShownOutput::new();
        for line in lines {
            shown.take(format!("{line}\n").as_bytes()).map_err(ClientError::Output)?;
        }
        shown.end()?;
        Ok(good)
    }

    /// `trace MAP`: each record as it comes. That somebody ends it is no failure.
    fn trace(&mut self, line: &str, map: &str) -> Result<bool, ClientError> {
        let typed = self.typed(map)?;
        let (mut wrong, json) = (None, self.json);
        let mut lines = Vec::new();
        let mut record = |line: &str| {
            let value = shown_as(typed.as_ref().map(|t| t.value(line)), line, &mut wrong);
            match value {
                Some(value) if json => Some(json::value(&value).to_string()),
                Some(value) => Some(value.to_string()),
                None if json => {
                    lines.push(line.to_string());
                    None
                }
                None => Some(line.into()),
            }
        };
        let good = match self.lines_of(line, &mut record) {
            Err(ClientError::BrokenOff) => Ok(true),
            result => self.told(result),
        };
        if !lines.is_empty() {
            self.print_json(false, Json::Null, &lines)?;
        }
        self.tell_wrong(map, wrong);
        good
    }

    /// `hist MAP`: what `map dump` says, drawn.
    fn hist(&mut self, map: &str, unit: &str) -> Result<bool, ClientError> {
        let typed = self.typed(map)?;
        let (mut wrong, mut entries, mut lines) = (None, Vec::new(), Vec::new());
        let good = self.collect(&format!("map dump {}", quote(map)), &mut |line| match entry(
            typed.as_ref(),
            line,
            &mut wrong,
        ) {
            Some((key, value)) => entries.extend(value.total().map(|value| (key, value))),
            None => lines.push(line.to_string()),
        })?;
        self.tell_wrong(map, wrong);
        if !good {
            return match self.json {
                true => self.print_json(false, Json::Null, &lines),
                false => {
                    writeln!(io::stdout(), "{}", shown_text(&lines.join(" "))).map_err(ClientError::Output)?;
                    Ok(false)
                }
            };
        }
        match hist::of(entries) {
            Ok(all) if self.json => {
                let all: Vec<Json> = all.iter().map(hist::Histogram::json).collect();
                self.print_json(true, json!(all), &[])
            }
            Ok(all) => {
                let pictures: String = all.iter().map(|one| one.picture(&shown_text(unit))).collect();
                io::stdout().write_all(pictures.as_bytes()).map_err(ClientError::Output)?;
                Ok(true)
            }
            Err(reason) => self.refuse(&format!("{map}: {reason}")),
        }
    }

    /// `map lookup MAP KEY`.
    fn lookup(&mut self, line: &str, map: &str) -> Result<bool, ClientError> {
        let typed = self.typed(map)?;
        let line = match self.with_key(line, map, "lookup", typed.as_ref()) {
            Ok(line) => line,
            Err(reason) => return self.refuse(&reason),
        };
        if typed.is_none() && !self.json {
            return self.run(&line);
        }
        let mut wrong = None;
        let mut value = |line: &str| found(typed.as_ref(), line, &mut wrong);
        let good = if self.json {
            let per_cpu = self.kind(map)?.contains("percpu");
            let (mut found, mut lines) = (Json::Null, Vec::new());
            let good = self.collect(&line, &mut |line| match value(line) {
                Some(value) if per_cpu => found = value.json(true),
                Some(value) => found = value.json(false)["value"].take(),
                None => lines.push(line.to_string()),
            })?;
            self.print_json(good, found, &lines)?
        } else {
            self.run_lines(&line, &mut |line| value(line).map_or_else(|| line.into(), |value| value.to_string()))?
        };
        self.tell_wrong(map, wrong);
        Ok(good)
    }

    fn delete(&mut self, line: &str, map: &str) -> Result<bool, ClientError> {
        let typed = self.typed(map)?;
        match self.with_key(line, map, "delete", typed.as_ref()) {
            Ok(line) => self.run_plainly(&line),
            Err(reason) => self.refuse(&reason),
        }
    }

    /// The command with the key as the shell takes it; as it is where nothing is known of the map.
    fn with_key(&self, line: &str, map: &str, action: &str, typed: Option<&Typed>) -> Result<String, String> {
        let Some((typed, rest)) = typed.zip(behind(line, action, map)) else { return Ok(line.into()) };
        let (key, rest) = typed.read_key(rest)?;
        Ok(format!("map {action} {} {key} {rest}", quote(map)))
    }

    /// `map update MAP KEY VALUE`.
    fn update(&mut self, line: &str, map: &str) -> Result<bool, ClientError> {
        let typed = self.typed(map)?;
        let Some((typed, rest)) = typed.zip(behind(line, "update", map)) else { return self.run_plainly(line) };
        let (key, rest) = match typed.read_key(rest) {
            Ok(read) => read,
            Err(reason) => return self.refuse(&reason),
        };
        let before = match typed.has_variables() {
            false => None,
            true => {
                let lines = self.client.ask(&format!("map lookup {} {key}", quote(map)))?;
                let before = lines.first().and_then(|value| typed.value_bytes(value));
                if before.is_none() {
                    return self.refuse(&format!("{map}: what it holds under this key cannot be read"));
                }
                before
            }
        };
        match typed.read_value(rest, before) {
            Ok((value, rest)) => self.run_plainly(&format!("map update {} {key} {value} {rest}", quote(map))),
            Err(reason) => self.refuse(&reason),
        }
    }

    /// What was typed is wrong.
    fn refuse(&mut self, reason: &str) -> Result<bool, ClientError> {
        let reason = shown_text(reason);
        match self.json {
            true => self.print_json(false, Json::Null, &[reason]),
            false => {
                say(&format!("ushell: {reason}\n"));
                Ok(false)
            }
        }
    }

    fn tell_wrong(&self, map: &str, wrong: Option<String>) {
        if let Some(reason) = wrong {
            say(&format!("ushell: some of {map} is shown as numbers: {}\n", shown_text(&reason)));
        }
    }

    /// Runs a command whose output has no form of its own.
    fn run_plainly(&mut self, line: &str) -> Result<bool, ClientError> {
        match self.json {
            true => self.run_json(line, Form::Lines),
            false => self.run(line),
        }
    }

    fn run_json(&mut self, line: &str, form: Form) -> Result<bool, ClientError> {
        let mut lines = Vec::new();
        let good = self.collect(line, &mut |line| lines.push(line.to_string()))?;
        self.print_json(good, self.both_names(form.json(&lines)), &lines)
    }

    /// The functions of a value by both of their names.
    fn both_names(&self, mut said: Json) -> Json {
        let lists = match said.get_mut("functions") {
            Some(functions) => functions,
            None => &mut said,
        };
        for value in lists.as_array_mut().into_iter().flatten().filter(|_| !self.mangled) {
            for name in ["name", "function"] {
                let symbol = value[name].as_str().map(String::from);
                if let Some(symbol) = symbol {
                    Function::of(&symbol, false).put(value, name);
                }
            }
        }
        said
    }

    /// Prints what a command said, or the lines of one that failed.
    fn print_json(&self, good: bool, said: Json, lines: &[String]) -> Result<bool, ClientError> {
        let json = if good { said } else { json!({ "error": lines }) };
        writeln!(io::stdout(), "{json}").and_then(|()| io::stdout().flush()).map_err(ClientError::Output)?;
        Ok(good)
    }

    /// Runs a command and shows each line of its output to `each`; tells whether it did well.
    fn collect(&mut self, line: &str, each: &mut dyn FnMut(&str)) -> Result<bool, ClientError> {
        let mut lines = Lines::default();
        let result = self.client.run(line, &mut |page| {
            lines.take(page, each);
            Ok(())
        });
        lines.end(each);
        self.told(result)
    }

    /// Runs a command and shows its output, each line as `change` makes it; tells whether it did well.
    fn run_lines(&mut self, line: &str, change: &mut dyn FnMut(&str) -> String) -> Result<bool, ClientError> {
        let result = self.lines_of(line, &mut |line| Some(change(line)));
        self.told(result)
    }

    /// The same without those lines that `change` keeps, and as the client tells it.
    fn lines_of(&mut self, line: &str, change: &mut dyn FnMut(&str) -> Option<String>) -> Result<bool, ClientError> {
        let (mut lines, mut shown) = (Lines::default(), ShownOutput::new());
        let result = self.client.run(line, &mut |page| {
            let mut text = String::new();
            lines.take(page, &mut |line| {
                if let Some(line) = change(line) {
                    text.push_str(&line);
                    text.push('\n');
                }
            });
            shown.take(text.as_bytes())
        });
        let mut last = String::new();
        lines.end(&mut |line| last = change(line).unwrap_or_default());
        shown.take(last.as_bytes()).map_err(ClientError::Output)?;
        shown.end()?;
        result
    }

    fn put_as(&mut self, upload: Result<Upload, String>) -> Result<bool, ClientError> {
        match upload {
            Ok(upload) => self.put(&upload),
            Err(error) => {
                say(&format!("ushell: {error}\n"));
                Ok(false)
            }
        }
    }

    /// Uploads a file; tells whether it did well.
    pub fn put(&mut self, upload: &Upload) -> Result<bool, ClientError> {
        let Upload { file, name } = upload;
        let read = File::open(file).and_then(|file| read_bounded(file, LARGEST)).map_err(|error| error.to_string());
        let contents = match read.and_then(|contents| packed(upload, contents)) {
            Ok(contents) => contents,
            Err(reason) => {
                say(&format!("ushell: {}: {reason}\n", shown(file)));
                return Ok(false);
            }
        };
        let progress = Progress::new(name, Unit::Bytes(contents.len() as u64));
        let mut shown = ShownOutput::new();
        let result =
            self.client.put(name, &contents, &mut |page| shown.take(page), &mut |done| progress.set(done as u64));
        drop(progress);
        shown.end()?;
        self.told(result)
    }

    /// Runs a command and shows its output; tells whether it did well.
    fn run(&mut self, line: &str) -> Result<bool, ClientError> {
        let mut shown = ShownOutput::new();
        let result = self.client.run(line, &mut |page| shown.take(page));
        shown.end()?;
        self.told(result)
    }

    /// What is wrong with one command alone does not end the conversation.
    fn told(&self, result: Result<bool, ClientError>) -> Result<bool, ClientError> {
        use ClientError::{BrokenOff, LargeFile, LongLine, Lost};
        match result {
            Err(error @ (BrokenOff | LargeFile | LongLine(_) | Lost { .. })) => {
                say(&format!("ushell: {error}\n"));
                Ok(false)
            }
            result => result,
        }
    }
}

/// Lines of what comes in pieces.
#[derive(Default)]
pub struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes a piece; shows the lines that have their end in it.
    pub fn take(&mut self, page: &[u8], each: &mut dyn FnMut(&str)) {
        for piece in page.split_inclusive(|&byte| byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if self.begun.last() == Some(&b'\n') {
                self.begun.pop();
                self.end(each);
                self.begun.clear();
            }
        }
    }

    /// What has no end.
    fn end(&mut self, each: &mut dyn FnMut(&str)) {
        if !self.begun.is_empty() {
            each(&String::from_utf8_lossy(&self.begun));
            self.begun.clear();
        }
    }
}

/// What stands behind `map ACTION MAP` in a line; `None` where quotes are in these words, which the shell reads.
fn behind<'l>(line: &'l str, action: &str, map: &str) -> Option<&'l str> {
    let mut rest = line;
    for word in ["map", action, map] {
        rest = rest.trim_start_matches([' ', '\t']).strip_prefix(word)?;
    }
    rest.starts_with([' ', '\t']).then_some(rest)
}

/// A line of `map dump` of a map of stack traces: the number, and the addresses to be looked up. Behind the first one, where a function begins,
/// they are where calls return to: the call is before that.
fn trace(line: &str) -> Option<(u64, Vec<u64>)> {
    let (key, value) = line.split_once(": ")?;
    let bytes = match typed::plain(value)? {
        Value::Bytes(bytes) => bytes,
        // A trace of one address.
        Value::Number(number) => number.to_le_bytes().to_vec(),
        _ => return None,
    };
    let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).take_while(|&word| word != 0);
    Some((key.parse().ok()?, words.enumerate().map(|(at, word)| word - u64::from(at > 0)).collect()))
}

/// A line of `map dump`.
fn entry(typed: Option<&Typed>, line: &str, wrong: &mut Option<String>) -> Option<(Value, FoundValue)> {
    let (key, value) = line.split_once(": ")?;
    let key = shown_as(typed.map(|typed| typed.key(key)), key, wrong)?;
    Some((key, found(typed, value, wrong)?))
}

/// What stands there for a value.
fn found(typed: Option<&Typed>, text: &str, wrong: &mut Option<String>) -> Option<FoundValue> {
    FoundValue::of(text, |text| shown_as(typed.map(|typed| typed.value(text)), text, wrong))
}

/// A value by its type, or without one where there is none, or where it is wrong; `None` for what is no value.
fn shown_as(typed: Option<Result<Value, String>>, text: &str, wrong: &mut Option<String>) -> Option<Value> {
    match typed {
        Some(Ok(value)) => Some(value),
        Some(Err(reason)) => {
            let plain = typed::plain(text)?;
            wrong.get_or_insert(reason);
            Some(plain)
        }
        None => typed::untyped(text),
    }
}

/// Without what could drive a terminal.
pub fn shown_text(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The package of a compiler's object, unless it is to be there as an object; any other file as it is.
fn packed(upload: &Upload, contents: Vec<u8>) -> Result<Vec<u8>, String> {
    let Upload { file, name } = upload;
    let is_called_so = file.as_os_str().as_encoded_bytes().ends_with(OBJECT.as_bytes());
    match ubpf_pack::is_object(&contents) {
        true if name.ends_with(OBJECT) => return Ok(contents),
        true => {}
        false if is_called_so && name.ends_with(PACKAGE) => {
            return Err(
                "it is no object of a compiler (ELF), though it is called so: clang -target bpf -g -O2 -c makes one"
                    .into(),
            )
        }
        false => return Ok(contents),
    }
    let options = ubpf_pack::Options { name: ubpf_pack::object_name(name.as_ref()), ..ubpf_pack::Options::default() };
    ubpf_pack::pack(&contents, &options)
}

/// Largest file that is read; no shell takes more. A device may have no end.
const LARGEST: u64 = 256 << 20;

/// Output of a command on its way to standard output.
struct ShownOutput {
    /// Control characters are shown as `?`, and the prompt gets a line of its own.
    terminal: bool,
    /// The last line has no end yet.
    open: bool,
    /// The last byte.
    before: u8,
}

impl ShownOutput {
    fn new() -> Self {
        Self { terminal: io::stdout().is_terminal(), open: false, before: 0 }
    }

    fn take(&mut self, page: &[u8]) -> io::Result<()> {
        let mut page = page.to_vec();
        self.open = page.last().is_some_and(|&byte| byte != b'\n');
        if self.terminal {
            mask_controls(&mut page, &mut self.before);
        }
        io::stdout().write_all(&page)
    }

    fn end(self) -> Result<(), ClientError> {
        if self.open && self.terminal {
            io::stdout().write_all(b"\n").map_err(ClientError::Output)?;
        }
        io::stdout().flush().map_err(ClientError::Output)
    }
}

/// Contents of files must not drive the person's terminal: control characters become `?`, also those of two bytes (U+0080 to
/// U+009F). `before` is the last byte of the piece before, and becomes that of this one.
pub fn mask_controls(piece: &mut [u8], before: &mut u8) {
    for byte in piece {
        let is_control = matches!(byte, 0..=8 | 11..=31 | 127) || (*before == 0xc2 && matches!(byte, 0x80..=0x9f));
        *before = *byte;
        if is_control {
            *byte = b'?';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::mask_controls;

    #[test]
    fn control_characters_are_masked_in_pieces_of_any_size() {
        let text = "a\tb\u{1b}[2J\u{9b}é\u{7f}\n".as_bytes();
        let wanted = b"a\tb?[2J\xc2?\xc3\xa9?\n";
        for size in 1..text.len() {
            let mut before = 0;
            let mut masked = text.to_vec();
            masked.chunks_mut(size).for_each(|piece| mask_controls(piece, &mut before));
            assert_eq!(masked, wanted, "{size}");
        }
    }
}
