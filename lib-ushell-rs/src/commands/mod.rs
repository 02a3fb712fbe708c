//! The built-in commands, by subject. They know no terminal.

pub(crate) mod complete;
mod files;
mod lines;
mod map;
mod memory;
mod programs;
mod session;

use crate::command::Command;

/// All built-in commands.
pub(crate) fn all() -> impl Iterator<Item = &'static Command> {
    let groups: [&'static [Command]; 6] =
        [session::COMMANDS, files::COMMANDS, programs::COMMANDS, map::COMMANDS, memory::COMMANDS, complete::COMMANDS];
    groups.into_iter().flatten()
}
