//! The built-in commands, by subject. They know no terminal.

pub(crate) mod complete;
mod files;
mod lines;
mod map;
mod maps;
mod memory;
mod objects;
mod programs;
mod session;

use crate::command::Command;

/// All built-in commands.
pub(crate) fn all() -> impl Iterator<Item = &'static Command> {
    let groups: [&'static [Command]; 8] = [
        session::COMMANDS,
        files::COMMANDS,
        programs::COMMANDS,
        map::COMMANDS,
        objects::COMMANDS,
        maps::COMMANDS,
        memory::COMMANDS,
        complete::COMMANDS,
    ];
    groups.into_iter().flatten()
}
