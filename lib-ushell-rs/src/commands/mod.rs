//! The built-in commands, by subject. They know no terminal.

pub(crate) mod complete;
mod files;
mod lines;
mod map;
#[cfg(feature = "packages")]
mod maps;
mod memory;
#[cfg(feature = "packages")]
mod objects;
mod programs;
mod session;

pub use session::listed;

use crate::command::Command;
use alloc::borrow::Cow;

/// The argument line of a built-in command of this version and what it does, for a client of an image that leaves this to it.
pub fn help_of(name: &str) -> Option<(&'static str, &'static str)> {
    let command = all().find(|command| command.name == name)?;
    match (&command.args, &command.help) {
        (Cow::Borrowed(args), Cow::Borrowed(help)) => Some((args, help)),
        _ => None,
    }
}

/// The commands that packages bring: an image without those says so, and does not take them for mistyped ones.
pub(crate) const OF_PACKAGES: [&str; 3] = ["prog", "map", "trace"];

/// All built-in commands.
pub(crate) fn all() -> impl Iterator<Item = &'static Command> {
    let groups: &[&'static [Command]] = &[
        session::COMMANDS,
        files::COMMANDS,
        programs::COMMANDS,
        map::COMMANDS,
        #[cfg(feature = "packages")]
        objects::COMMANDS,
        #[cfg(feature = "packages")]
        maps::COMMANDS,
        memory::COMMANDS,
        complete::COMMANDS,
    ];
    groups.iter().copied().flatten()
}

#[cfg(all(test, feature = "packages"))]
mod tests {
    use super::*;

    #[test]
    fn commands_of_packages_are_all_named() {
        let commands = [objects::COMMANDS, maps::COMMANDS].into_iter().flatten();
        assert!(commands.map(|command| &*command.name).eq(OF_PACKAGES));
    }
}
