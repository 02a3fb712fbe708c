//! What a tool shows: blocks that stand one below the other, or, at a terminal, one that is drawn again in its place.

use crate::session::shown_text;
use console::Term;
use serde_json::Value as Json;
use std::io::{self, IsTerminal};
use ubpf_client::ClientError;
use ubpf_tools::output;

/// Standard output of a tool.
pub struct Screen {
    /// What is shown before the end is drawn in place of what was shown before.
    live: bool,
    /// Lines of what stands there and goes with the next.
    drawn: usize,
}

impl Screen {
    /// `quiet`: something else writes there.
    pub fn new(quiet: bool) -> Self {
        Self { live: !quiet && io::stdout().is_terminal(), drawn: 0 }
    }

    /// Whether something is shown before the end though nobody asked for it.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Shows what goes when something else comes: as many of its lines as the terminal has.
    pub fn draw(&mut self, text: &str) -> Result<(), ClientError> {
        let (rows, columns) = Term::stdout().size();
        let (rows, columns) = (usize::from(rows.max(2)) - 1, usize::from(columns.max(2)) - 1);
        let lines = text.lines().take(rows).map(|line| line.chars().take(columns).collect::<String>() + "\n");
        let lines: Vec<String> = lines.collect();
        self.print(&lines.concat())?;
        self.drawn = lines.len();
        Ok(())
    }

    /// Shows what stays.
    pub fn print(&mut self, text: &str) -> Result<(), ClientError> {
        // Names come from the image, and must not drive the terminal.
        let lines = text.lines().map(|line| shown_text(line) + "\n").collect::<String>();
        let cleared = self.clear();
        output::print(format!("{cleared}{lines}").as_bytes()).map_err(ClientError::Output)
    }

    /// A value on a line of its own.
    pub fn json(&mut self, value: &Json) -> Result<(), ClientError> {
        self.print(&value.to_string())
    }

    /// What takes away what goes.
    fn clear(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[J"),
        }
    }
}
