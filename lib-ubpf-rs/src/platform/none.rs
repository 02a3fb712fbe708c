//! Parts of a platform for images that lack them.

use super::{Console, Cpu, DirEntry, FileError, Files};
use alloc::vec::Vec;

/// No console: what programs report is dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoConsole;

impl Console for NoConsole {
    fn write(&self, _: &[u8]) {}
}

/// No files: every operation is [`FileError::Unsupported`].
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str, _: usize) -> Result<Vec<u8>, FileError> {
        Err(FileError::Unsupported)
    }
    fn list(&self, _: &str) -> Result<Vec<DirEntry>, FileError> {
        Err(FileError::Unsupported)
    }
    fn write(&self, _: &str, _: &[u8]) -> Result<(), FileError> {
        Err(FileError::Unsupported)
    }
    fn remove(&self, _: &str) -> Result<(), FileError> {
        Err(FileError::Unsupported)
    }
}

/// No memory can be read safely. Programs run as always, but what a helper is to read for them from outside of their own memory is as
/// good as not mapped, and no entry stub can be looked at: nothing can be traced.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReads;

/// One CPU, and no code of the application that is called in an interrupt.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneCpu;

impl Cpu for OneCpu {
    fn id(&self) -> u32 {
        0
    }
    fn in_interrupt(&self) -> bool {
        false
    }
}
