//! Commands of the application, known to every shell of the image. They may be registered from any thread, before a
//! shell starts and while it runs; they are never taken back.

use crate::{
    command::{check, Command, RegisterError},
    commands,
};
use alloc::vec::Vec;
use spin::Mutex;

static COMMANDS: Mutex<Vec<Command>> = Mutex::new(Vec::new());

/// Adds a command of the application to all shells.
pub fn register_command(command: Command) -> Result<(), RegisterError> {
    check(&command)?;
    let mut registered = COMMANDS.lock();
    let same = |other: &Command| other.name == command.name;
    if commands::all().any(same) || registered.iter().any(same) {
        return Err(RegisterError::Exists { name: command.name.into_owned() });
    }
    registered.try_reserve(1).map_err(|_| RegisterError::NoMemory)?;
    // It is never taken back, so its texts may stay.
    registered.push(command.kept());
    Ok(())
}

/// The command that was registered after `known` others.
pub(crate) fn command(known: usize) -> Option<Command> {
    COMMANDS.lock().get(known).cloned()
}
