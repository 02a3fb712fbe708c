//! What `help` says here: the shell's own commands as this tool takes them, the tools, and lines as wide as the terminal.

use crate::{hist, tools};
use std::io::{self, IsTerminal};

/// `help put`: the shell's own takes raw bytes.
pub const PUT: &str = "Usage: put FILE [NAME]
upload a file of this machine
Of a compiler's object (x.o) the package (x.pkg) is sent. NAME is what it is called there, otherwise as here.
";

/// A line of what the shell says of its commands, as it is for this tool.
pub fn of_this_tool(line: &str) -> String {
    match line.strip_prefix("put NAME SIZE CRC32") {
        Some(_) => format!("{:<29}upload a file of this machine", "put FILE [NAME]"),
        // Other keys are kept here for the next line.
        None => line.replace("Until a key is pressed (^C for programs)", "Until ^C"),
    }
}

/// What stands behind the list of the shell's commands.
pub fn more() -> String {
    let mut text = format!("{}\n\nTools (`help TOOL` has their options, ^C ends them):\n", hist::SUMMARY);
    for (name, about) in tools::summary() {
        text.push_str(&format!("{name:<29}{about}\n"));
    }
    text
}

/// Columns of the terminal, where there is one.
pub fn columns() -> Option<usize> {
    let terminal = io::stdout().is_terminal();
    let columns = terminal.then(|| usize::from(console::Term::stdout().size().1));
    columns.filter(|&columns| columns > 0)
}

/// Shorter than this, a line ends where its writer wanted it to; a longer one was broken for want of room.
const BROKEN: usize = 90;

/// Lines of at most so many columns, broken between words; those that were broken elsewhere are put together before.
pub fn fitted(lines: &[String], columns: usize) -> String {
    let mut whole: Vec<String> = Vec::new();
    let mut open = false;
    for line in lines {
        match whole.last_mut().filter(|_| open && !line.starts_with(' ')) {
            Some(last) => last.extend([" ", line]),
            None => whole.push(line.clone()),
        }
        open = line.chars().count() >= BROKEN && !line.starts_with("Usage: ");
    }
    whole.iter().map(|line| wrapped(line, columns)).collect()
}

fn wrapped(line: &str, columns: usize) -> String {
    let before = line.len() - line.trim_start().len();
    // Behind "Usage: NAME" stand its arguments, and behind a command what it does.
    let indent = if line.starts_with("Usage: ") { "       ".len() } else { before };
    let (mut text, mut width) = (" ".repeat(before), before);
    for word in line.split_whitespace() {
        let length = word.chars().count();
        if width > indent && width + 1 + length > columns {
            text.push_str(&format!("\n{}", " ".repeat(indent)));
            width = indent;
        } else if width > before {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += length;
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        let lines = ["Usage: put FILE [NAME]", "one two three four", "    five six seven"].map(String::from);
        assert_eq!(
            fitted(&lines, 14),
            "Usage: put\n       FILE\n       [NAME]\none two three\nfour\n    five six\n    seven\n"
        );
        assert_eq!(fitted(&lines, 80), lines.map(|line| line + "\n").concat());
    }

    #[test]
    fn lines_that_had_no_room_go_on_in_the_next() {
        let (long, words) = ("long ".repeat(20), "short and the end");
        let lines = [long.trim_end().to_string(), words.to_string(), "another".to_string()];
        assert_eq!(fitted(&lines, 200), format!("{long}{words}\nanother\n"));
    }
}
