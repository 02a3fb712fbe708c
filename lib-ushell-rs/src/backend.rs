//! What the shell's commands need from the engine and its platform; tests use a fake.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::fmt::{Display, Write};
use ubpf_rs::platform::{DirEntry, FileError};
pub use ubpf_rs::{
    maps::Map,
    runtime::{
        AttachLimits, AttachReport, AttachedProgram, CallTime, LoadOptions, Measured, ObjectProgram, ReplaceReport,
    },
    tracer::ProbeId,
    vm::Detour,
};

/// Takes a stub that cannot be used: name of its function (empty where that is unknown), its address, and why. False for enough.
pub type RefusedStub<'a> = &'a mut dyn FnMut(&str, u64, &dyn Display) -> bool;

/// Why the engine did not do what a command asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum BackendError {
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// Why not.
        error: FileError,
    },
    /// The program is not admitted.
    #[error("{reason}")]
    Load {
        /// Why not.
        reason: String,
    },
    /// The program was stopped while it ran.
    #[error("{stop}")]
    Stopped {
        /// What stopped it and where.
        stop: String,
    },
    /// No function of this name can be traced.
    #[error("no traceable function `{name}`")]
    UnknownFunction {
        /// The name.
        name: String,
    },
    /// The reader wanted no more of it.
    #[error("cancelled")]
    Cancelled,
    /// Anything else, in words.
    #[error("{reason}")]
    Other {
        /// What went wrong.
        reason: String,
    },
}

/// What `bpf_exec` gives.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExecReport {
    /// Value of r0.
    pub value: u64,
    /// What it says of a packet, by the name that Linux has for it.
    pub verdict: Option<&'static str>,
    /// Units of budget charged, if known.
    pub charged: Option<u64>,
    /// Remarks of loader and verifier.
    pub warnings: Vec<String>,
}

/// One attached program.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Probe {
    /// Name of the program.
    pub program: String,
    /// Whether it runs when the function returns.
    pub at_return: bool,
    /// How often it ran.
    pub runs: u64,
    /// Of a program at returns: calls that have not returned yet.
    pub outstanding: u64,
    /// Of such a program: calls that will not return.
    pub abandoned: u64,
    /// Calls of the function at which it could not run.
    pub misses: u64,
    /// Calls that the engine's own control path has made, at which it did not run.
    pub left_out: u64,
    /// Runs that were stopped.
    pub failures: u64,
    /// Why it does not run straight from the function, if it does not.
    pub detour: Option<Detour>,
    /// Mean time of a run, if any was measured.
    pub mean_ns: Option<u64>,
    /// Of a program at a timer: tenths of times a second that were asked for, and those that it has run.
    pub rates: Option<[u64; 2]>,
}

/// One traced function.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Site {
    /// Name of the function, or of the timer.
    pub function: String,
    /// Its programs in the order they run.
    pub probes: Vec<Probe>,
}

/// The engine as the commands see it. Where threads are cooperative, a call that takes long gives way to others in between.
pub trait Backend: Send {
    /// Entries of a directory, sorted; empty = the default one.
    fn list_files(&self, directory: &str) -> Result<Vec<DirEntry>, FileError>;
    /// A whole file.
    fn read_file(&self, path: &str) -> Result<Vec<u8>, FileError>;
    /// Creates or replaces a file, or leaves the old one untouched.
    fn write_file(&self, path: &str, contents: &[u8]) -> Result<(), FileError>;
    /// Removes a file.
    fn remove_file(&self, path: &str) -> Result<(), FileError>;

    /// Reads symbols from a file; gives their number.
    fn load_symbols(&self, path: &str) -> Result<usize, BackendError>;

    /// Loads, runs and unloads a program with `argument` as its memory.
    fn exec(&self, path: &str, argument: &mut [u8], options: &LoadOptions) -> Result<ExecReport, BackendError>;
    /// Loads a program and attaches it to a function, or to all that a pattern fits.
    fn attach(
        &self,
        function: &str,
        path: &str,
        options: &LoadOptions,
        limits: &AttachLimits,
    ) -> Result<AttachReport, BackendError>;
    /// Loads a program and lets it take the place of one that is attached to this function.
    fn replace_at(
        &self,
        function: &str,
        old: &str,
        path: &str,
        options: &LoadOptions,
    ) -> Result<ReplaceReport, BackendError>;
    /// Takes off what was attached so, if it is still there.
    fn detach_probe(&self, id: ProbeId);
    /// Whether it is still there.
    fn is_attached(&self, id: ProbeId) -> bool;
    /// Detaches one program of a function, or all of them; gives how many.
    fn detach(&self, function: &str, program: Option<&str>) -> Result<usize, BackendError>;
    /// Measures what a program would cost at each call of a function, over about so many calls of one of the engine's own.
    fn measure(&self, function: &str, path: &str, options: &LoadOptions, calls: u64) -> Result<Measured, BackendError>;
    /// The functions with attached programs, or just this one (which may have none).
    fn sites(&self, function: Option<&str>) -> Result<Vec<Site>, BackendError>;
    /// Shows some names of traceable functions, ascending, to `visit`, from place `first` in the list on, until it returns false; with the
    /// address where several functions have the name. Gives the place at
    /// which to go on, that of the name that was refused if one was; `None` at the end.
    fn functions(&self, first: usize, visit: &mut dyn FnMut(&str, Option<u64>) -> bool) -> Option<usize>;
    /// The addresses of the traceable functions of this name.
    fn functions_called(&self, name: &str) -> Vec<u64>;
    /// Shows some of the entry stubs that cannot be used to `visit`, from place `first` in the list on, until it returns false. Gives the
    /// place at which to go on, as `functions` does.
    fn refused_stubs(&self, first: usize, visit: RefusedStub<'_>) -> Option<usize>;

    /// Loads the object of a package, with numbers of its data set, and keeps it; gives its name.
    #[cfg(feature = "packages")]
    fn load_object(&self, path: &str, options: &LoadOptions, values: &[(&str, &str)]) -> Result<String, BackendError>;
    /// Detaches the programs of an object wherever they are; gives how many. `name` is its own, or that of its package.
    #[cfg(feature = "packages")]
    fn detach_object(&self, name: &str) -> Result<usize, BackendError>;
    /// Lets an object go that was loaded so; false when there was none.
    #[cfg(feature = "packages")]
    fn unload_object(&self, name: &str) -> bool;
    /// Attaches each program of an object to the function that it names, or that its pattern fits, or none.
    #[cfg(feature = "packages")]
    fn attach_object(
        &self,
        path: &str,
        options: &LoadOptions,
        limits: &AttachLimits,
    ) -> Result<AttachReport, BackendError>;
    /// Lets a program or an object take the place of another one, wherever that is attached; with numbers of an object's data set.
    #[cfg(feature = "packages")]
    fn replace(
        &self,
        old: &str,
        path: &str,
        options: &LoadOptions,
        values: &[(&str, &str)],
    ) -> Result<ReplaceReport, BackendError>;
    /// Shows some programs of objects to `visit`, as `functions` does: the object, whether it was loaded to stay, the program.
    #[cfg(feature = "packages")]
    fn object_programs(
        &self,
        first: usize,
        visit: &mut dyn FnMut(&str, bool, ObjectProgram<'_>) -> bool,
    ) -> Option<usize>;
    /// Shows some maps of objects to `visit`, as `functions` does: name, map, whether it is kept.
    #[cfg(feature = "packages")]
    fn maps(&self, first: usize, visit: &mut dyn FnMut(&str, &Map, bool) -> bool) -> Option<usize>;
    /// The map of this name.
    #[cfg(feature = "packages")]
    fn map(&self, name: &str) -> Option<Arc<Map>>;
    /// The types that came with a map's object, as its package has them.
    #[cfg(feature = "packages")]
    fn map_types(&self, name: &str) -> Option<Arc<Vec<u8>>>;
    /// Puts what is called `what` under a key of a map that holds maps.
    #[cfg(feature = "packages")]
    fn hold(&self, map: &str, key: &[u8], what: &str) -> Result<(), BackendError>;
    /// The name of what a map holds under a key.
    #[cfg(feature = "packages")]
    fn held_name(&self, map: &Map, key: &[u8]) -> Option<String>;
    /// Keeps a map when its last program goes, or no longer; false when there is none.
    #[cfg(feature = "packages")]
    fn keep_map(&self, name: &str, keep: bool) -> bool;

    /// Value in the two-key map.
    fn map_get(&self, key1: u64, key2: u64) -> Option<u64>;
    /// Inserts or replaces.
    fn map_put(&self, key1: u64, key2: u64, value: u64) -> Result<(), BackendError>;
    /// Removes; false when there was none.
    fn map_del(&self, key1: u64, key2: u64) -> bool;

    /// Shows some entries of the two-key map to `visit`, as `functions` does.
    fn map_entries(&self, first: usize, visit: &mut dyn FnMut(u64, u64, u64) -> bool) -> Option<usize>;
    /// What the map has lost, in one line for those who look at counts; `None` when it has everything.
    fn map_note(&self) -> Option<String>;

    /// Address of a symbol.
    fn symbol_address(&self, name: &str) -> Option<u64>;
    /// Address by which a traced function is known.
    fn trace_address(&self, name: &str) -> Option<u64>;
    /// Copies application memory; gives how many leading bytes were readable.
    fn probe_read(&self, address: u64, into: &mut [u8]) -> usize;
    /// Monotonic time.
    fn now_ns(&self) -> u64;

    /// Writes the state of engine and platform, one `name: value` per line.
    fn status(&self, out: &mut dyn Write);
    /// Switches the measuring of run times.
    fn set_stats(&self, measure: bool) -> Result<(), BackendError>;

    /// Name of the function that an address lies in, and the distance in bytes from its start.
    fn function_at(&self, address: u64) -> Option<(String, u64)> {
        let _ = address;
        None
    }
    /// Lets other threads run, and returns.
    fn give_way(&self) {}
    /// Says whether this thread does the engine's own work from now on; gives what was said before.
    fn set_own(&self, own: bool) -> bool {
        own
    }
    /// Asked after it: whether the command is to end.
    fn is_cancelled(&self) -> bool {
        false
    }
}
