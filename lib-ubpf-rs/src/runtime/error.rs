//! What can go wrong between a person's command and a running program.

use super::SymbolError;
use crate::{
    helpers::RegisterError,
    maps::MapError,
    object::NoPacket,
    platform::{Cancelled, FileError},
    program::{limits, LoadError},
    tracer::{AttachError, DetachError, Fault, NoReport, Unusable},
    verifier::VerifyError,
    vm::{Regions, Stop},
};
use alloc::{boxed::Box, string::String};
use core::fmt;

/// Why the engine refused. The wording is for the person at the shell.
#[derive(Clone, Debug, thiserror_no_std::Error)]
pub enum Error {
    /// The engine was started before.
    #[error("the engine is already running in this image")]
    AlreadyRunning,
    /// No memory; nothing was changed.
    #[error("out of memory")]
    NoMemory,
    /// The operation was cancelled before it changed anything, or while it was repeating something: what it did so far stays.
    #[error("cancelled")]
    Cancelled,
    /// Another operation changes what this one must change. Nothing was changed.
    #[error("busy: {command} is at work; try again")]
    Busy {
        /// The other operation.
        command: &'static str,
    },
    /// A program cannot have this name.
    #[error("`{name}` is no name for a program: it has 1 to 256 bytes, without control characters")]
    ProgramName {
        /// Its beginning.
        name: String,
    },
    /// A program that was compiled ahead of time cannot be used.
    #[error("program {} of the image: {}", .0.name, .0.about)]
    Linked(Box<Refusal<String>>),
    /// The bytes are no program.
    #[error("{0}")]
    Load(Box<LoadError>),
    /// The program is refused.
    #[error("{0}")]
    Verify(Box<VerifyError>),
    /// The program cannot run as machine code, which was asked for.
    #[error("the program cannot be compiled: {reason}")]
    NotCompiled {
        /// Why.
        reason: &'static str,
    },
    /// A file could not be read, written or removed.
    #[error("{}: {}", .0.name, .0.about)]
    File(Box<Refusal<FileError>>),
    /// The id names no loaded program (any more).
    #[error("no program with id {id:#x}: it was unloaded or never loaded")]
    StaleProgram {
        /// The id as a number.
        id: u64,
    },
    /// An object cannot be loaded, or has no such program.
    #[error("{reason}")]
    Object {
        /// Why, with the names of its programs and maps.
        reason: String,
    },
    /// A program of an object cannot be attached.
    #[error("{} cannot be attached: {}", .0.name, .0.about)]
    NotAttachable(Box<Refusal<&'static str>>),
    /// The name of a timer that there cannot be.
    #[error("{} is no timer: {}", .0.name, .0.about)]
    NoTimer(Box<Refusal<&'static str>>),
    /// A program was to be attached to many functions, and some of them cannot have it.
    #[error("nothing was attached: {refused} of {wanted} functions cannot have this program")]
    NoneAttached {
        /// How many cannot.
        refused: usize,
        /// How many were named.
        wanted: usize,
    },
    /// The same, in words: with the functions that were found for a pattern, and why each cannot have it.
    #[error("{reason}")]
    NotAll {
        /// Which of them, and why.
        reason: String,
    },
    /// A map cannot be made.
    #[error("map {}: {}", .0.name, .0.about)]
    Map(Box<Refusal<MapError>>),
    /// No map has this name.
    #[error("there is no map `{name}` (`map list` shows those there are)")]
    NoMap {
        /// The name asked for.
        name: String,
    },
    /// There is a map of this name, and it is not one that this object shares.
    #[error("there is a map {name} already: unload the programs that have it, or load the object under another name")]
    MapExists {
        /// Its name.
        name: String,
    },
    /// An object has too many maps.
    #[error("the object has {count} maps and data sections, more than {}", limits::MAX_MAPS)]
    TooManyMaps {
        /// How many.
        count: usize,
    },
    /// Maps would take too much memory.
    #[error("the maps take {bytes} bytes; with those that there are it would be more than {most}")]
    MapMemory {
        /// Bytes that they would take.
        bytes: u64,
        /// Most bytes of all maps.
        most: u64,
    },
    /// So many runs of programs with values per CPU are going on that no slot is left for another one.
    #[error("{}", Fault::NoLane)]
    NoLane,
    /// The program is given packets, and its argument is none.
    #[error("{0}")]
    NoPacket(NoPacket),
    /// The program stopped before its end.
    #[error("{0}")]
    Stopped(Box<Stopped>),
    /// No such function.
    #[error("no function {name} in this image")]
    UnknownFunction {
        /// The name asked for.
        name: String,
    },
    /// Nothing can be measured now.
    #[error("nothing can be measured now: another measurement runs, or this image cannot attach programs")]
    NoSubject,
    /// The function was compiled without an entry stub.
    #[error("function {name} has no entry stub: compile it with -fpatchable-function-entry=5 (or see docs)")]
    NoStub {
        /// The name asked for.
        name: String,
    },
    /// The function has a stub that cannot be used.
    #[error("function {}: this stub cannot be used: {}", .0.name, .0.about)]
    UnusableStub(Box<Refusal<Unusable>>),
    /// Several functions have the name.
    #[error("{} functions are called {}: name one by address, for instance {:#x}", .0.about.count, .0.name, .0.about.example)]
    Ambiguous(Box<Refusal<Namesakes>>),
    /// The tracer refused to attach.
    #[error("{0}")]
    Attach(Box<AttachError>),
    /// The program is not attached to the function.
    #[error("{} is not attached to {}", .0.about, .0.name)]
    NotAttached(Box<Refusal<String>>),
    /// The map is full or was being changed by somebody else for too long.
    #[error("the map took no entry: it is full ({capacity} entries)")]
    MapFull {
        /// Its capacity.
        capacity: usize,
    },
    /// A call could not be taken out of the text.
    #[error("{0}")]
    Detach(Box<DetachError>),
    /// A symbol file was refused.
    #[error("{}: {}", .0.name, .0.about)]
    Symbols(Box<Refusal<SymbolError>>),
    /// A helper cannot be registered.
    #[error("helper {} cannot be registered: {}", .0.name, .0.about)]
    Helper(Box<Refusal<RegisterError>>),
}

/// An error is handed on at every call: what it holds is small, or apart.
const _: () = assert!(size_of::<Error>() <= 32);

/// What is said of something that has a name: a file, a function, a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal<E> {
    /// Its name, or the beginning of it.
    pub name: String,
    /// What is wrong with it.
    pub about: E,
}

impl<E> Refusal<E> {
    /// For an error.
    pub(crate) fn new(name: String, about: E) -> Box<Self> {
        Box::new(Refusal { name, about })
    }
}

/// Several functions of one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Namesakes {
    /// How many there are.
    pub count: usize,
    /// The address of one of them.
    pub example: u64,
}

/// How a run ended before its end.
#[derive(Clone, Debug)]
pub struct Stopped {
    /// Where and why.
    pub stop: Stop,
    /// The program in which that was, where tail calls have led to another one.
    pub program: Option<String>,
    /// Budget left.
    pub budget_left: u64,
    /// The memory it had.
    pub regions: Regions,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stop.fmt(f)?;
        match &self.program {
            Some(program) => write!(f, "\nin program {program}"),
            None => Ok(()),
        }
    }
}

impl From<NoReport> for Error {
    fn from(why: NoReport) -> Self {
        match why {
            NoReport::Cancelled(_) => Error::Cancelled,
            NoReport::NoMemory => Error::NoMemory,
        }
    }
}

impl From<Cancelled> for Error {
    fn from(_: Cancelled) -> Self {
        Error::Cancelled
    }
}

impl From<AttachError> for Error {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::NoMemory => Error::NoMemory,
            error => Error::Attach(Box::new(error)),
        }
    }
}

impl From<DetachError> for Error {
    fn from(error: DetachError) -> Self {
        match error {
            DetachError::NoMemory => Error::NoMemory,
            error => Error::Detach(Box::new(error)),
        }
    }
}
