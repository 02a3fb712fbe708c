//! One engine instance: it binds platform, maps, helpers, symbols, loaded programs and the tracer. The C
//! interface and the shell stand on [`Runtime`] and know nothing below it.
//!
//! The control path (load, exec, attach, list …) may be called from any thread; its locks are short and never held over a call into
//! the platform's files or console, nor while it gives way: a long operation is done in pieces, first what changes nothing, then what
//! it changes, piece by piece. What a hook needs is read without a lock.

mod attached;
mod blocks;
mod code;
#[cfg_attr(not(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none"))), path = "compiler_none.rs")]
mod compiler;
mod config;
mod console;
mod embedded;
mod error;
mod host;
mod image;
mod linked;
mod maps;
mod measure;
mod objects;
mod owned;
mod programs;
mod replace;
mod reserve;
mod snapshot;
mod status;
mod symbols;
mod syscalls;
mod timers;
mod trace;

pub use attached::STACK_BYTES;
pub use blocks::{Blocks, Pages};
pub use config::{Config, Engine, LoadOptions};
pub use embedded::Embedded;
pub use error::{Error, Namesakes, Refusal, Stopped};
pub use linked::LinkedCount;
pub use maps::MapPart;
pub use measure::{CallTime, Measured};
pub use objects::ObjectProgram;
pub use owned::Using;
pub use programs::ProgramId;
pub use replace::ReplaceReport;
pub use reserve::WithReserve;
pub use status::Status;
pub use symbols::{Symbol, SymbolError, SymbolTable};
pub use trace::{AttachLimits, AttachReport, AttachedProgram, FunctionReport, MANY_FUNCTIONS};

use crate::{
    helpers::{Helper, HelperFn, RegisterError, Registry, Time},
    maps::TwoKeyMap,
    platform::{copied, has_room, shown, DirEntry, Pace, Pause, Platform, SMALL_THINGS, SMALL_THINGS_THAT_STAY},
    program::{is_object, Abi, HelperSignature, LoadError, Program},
    tracer::{Fault, InitError, Ring, Slot, TracerConfig, TRACER},
    verifier::{self, Cap, VerifiedProgram, VerifyError, Work},
    vm::{Memory, Run, Slices, Stop, StopKind, SLICE, STACK_BYTES as VM_STACK},
};
use alloc::{boxed::Box, format, string::String, vec::Vec};
use code::Use;
use host::Services;
use image::Image;
use owned::Owned;
use programs::{Loaded, Programs};
use snapshot::Snapshot;
use spin::{Mutex, Once};

static RUNTIME: Slot<Runtime> = Slot::new();

/// The engine of an image.
pub struct Runtime {
    config: Config,
    services: &'static Services,
    /// Replaced when a helper is registered; loaded programs keep the one they were verified with.
    helpers: Mutex<&'static Registry>,
    programs: Mutex<Programs>,
    /// Programs that are part of the image, by name.
    linked: Mutex<Vec<Loaded>>,
    /// Maps of objects, by name.
    maps: Mutex<maps::MapTable>,
    /// Objects that are loaded.
    objects: Mutex<objects::Objects>,
    /// How many programs are or were interpreted for want of machine code, and why the last one.
    fallbacks: Mutex<Option<(u64, &'static str)>>,
    /// What tells this image from others, where it knows.
    image_id: Once<[u8; 16]>,
    /// A function of the engine whose name is to be found where local names are not.
    known_function: Once<Symbol<'static>>,
    /// What makes a package of an object, where the image has that.
    packer: Once<Packer>,
    /// One writer of the image's symbols and sites at a time.
    image_writer: Mutex<()>,
    /// The last of it, so that it is freed last.
    owned: Mutex<Owned>,
}

/// Makes a package of a compiler's object: its bytes, the path of its file, and what to call meanwhile.
pub type Packer = fn(&[u8], &str, &mut Pause<'_>) -> Result<Vec<u8>, Error>;

/// What `exec` gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExecReport {
    /// r0.
    pub value: u64,
    /// What it says of a packet, as Linux calls it.
    pub verdict: Option<&'static str>,
    /// Budget left.
    pub budget_left: u64,
    /// What was charged.
    pub charged: u64,
    /// Remarks of the verifier, why the program is interpreted where machine code was to be expected, and what the map that it looked
    /// into has lost.
    pub warnings: Vec<String>,
}

impl Runtime {
    /// Starts the engine; there is one in an image. What it needs is allocated now; where there is not enough memory, what was taken
    /// is given back.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`], [`Error::NoMemory`].
    pub fn init(platform: Platform, config: Config) -> Result<&'static Runtime, Error> {
        let ring = Ring::new(config.ring_bytes).ok_or(Error::NoMemory)?;
        let helpers = Registry::with_builtins().map_err(|_| Error::NoMemory)?;
        let mut arena = zeroed_words(config.arena_bytes.div_ceil(8)).ok_or(Error::NoMemory)?.into_boxed_slice();
        let mut registries = Vec::new();
        registries.try_reserve(1).map_err(|_| Error::NoMemory)?;
        room_for_small_things()?;
        let platform = compiler::share_pages(platform);
        let services = Box::into_raw(Box::new(Services {
            platform,
            map: Once::new(),
            image: Snapshot::new(Image::default()),
            ring,
            arena: (arena.as_mut_ptr() as u64, (arena.len() * 8) as u64),
        }));
        // SAFETY: it came from a box, and is freed only below, where nobody has got it.
        let kept: &'static Services = unsafe { &*services };
        let tracer = TracerConfig {
            hook_areas: config.hook_areas,
            hook_stack: config.hook_stack,
            budget: config.hook_budget,
            budget_interrupt: config.irq_budget,
            ..TracerConfig::default()
        };
        if let Err(error) = TRACER.init(tracer, platform, &kept.ring) {
            // SAFETY: a tracer that did not start keeps nothing.
            drop(unsafe { Box::from_raw(services) });
            return Err(match error {
                InitError::Twice => Error::AlreadyRunning,
                InitError::NoMemory { .. } => Error::NoMemory,
            });
        }
        TRACER.set_sums(kept);
        let helpers = Box::into_raw(Box::new(helpers));
        registries.push(helpers);
        let arena = Box::into_raw(arena);
        RUNTIME.put(Box::new(Runtime {
            config,
            services: kept,
            // SAFETY: it came from a box, and is freed after the engine.
            helpers: Mutex::new(unsafe { &*helpers }),
            programs: Mutex::new(Programs::default()),
            linked: Mutex::new(Vec::new()),
            maps: Mutex::new(maps::MapTable::default()),
            fallbacks: Mutex::new(None),
            objects: Mutex::default(),
            image_id: Once::new(),
            known_function: Once::new(),
            packer: Once::new(),
            image_writer: Mutex::new(()),
            owned: Mutex::new(Owned { services, arena, registries, names: Vec::new() }),
        }));
        RUNTIME.get().ok_or(Error::NoMemory)
    }

    /// Ends the engine and gives its memory back: programs are detached and forgotten, hooks waited for, and maps, symbols, sites and
    /// helpers are gone. It can be started again then, over the same platform or another one with the same way of counting. What is kept
    /// for that is what threads may be in without being seen: a few bytes for each function that ever had a program, and executable memory
    /// for the calls of these. Gives the platform.
    ///
    /// After an error the engine runs on, with nothing attached or loaded if it came that far: others use it, a hook does not end, or a
    /// call cannot be taken out of the text.
    ///
    /// # Safety
    /// Nobody uses a reference to the engine, or to something that it gave out, but those who have a [`Using`] for as long.
    pub unsafe fn stop(using: Using) -> Result<Platform, Error> {
        let runtime = RUNTIME.hide();
        let alone =
            using.alone().then_some(()).ok_or(Error::Busy { command: "another call, or a session of the shell," });
        if let Err(error) = alone.and_then(|()| using.end()) {
            RUNTIME.show(runtime);
            return Err(error);
        }
        let platform = *using.platform();
        drop(using);
        // SAFETY: it came from a box, and nobody has it any more: it was hidden, and is used by nobody else.
        drop(unsafe { Box::from_raw(runtime) });
        compiler::give_back_pages();
        Ok(platform)
    }

    /// Takes everything off that could run.
    fn end(&self) -> Result<(), Error> {
        self.reset()?;
        // SAFETY: the caller is the only one that uses the engine, and with it the tracer.
        unsafe { TRACER.stop() }?;
        self.programs.lock().end();
        Ok(())
    }

    /// The engine, if it was started.
    pub fn get() -> Option<&'static Runtime> {
        RUNTIME.get()
    }

    /// Sizes and limits.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The pace of an operation that begins now.
    pub(crate) fn pace(&self) -> Pace<'_> {
        Pace::new(&self.services.platform)
    }

    /// The platform below.
    pub fn platform(&self) -> &Platform {
        &self.services.platform
    }

    /// Lets the application do something on this thread: the functions that it calls are the application's calls, and not the
    /// [engine's own](crate::platform::Cpu::set_own).
    pub(crate) fn for_application<R>(&self, work: impl FnOnce() -> R) -> R {
        let cpu = self.platform().cpu;
        let own = cpu.set_own(false);
        let result = work();
        cpu.set_own(own);
        result
    }

    /// Memory that programs may read and write: address and length in bytes. The application may share it with them
    /// through a helper that gives its address; it must access it atomically.
    pub fn arena(&self) -> (u64, u64) {
        self.services.arena
    }

    /// Registers a helper of the application for programs loaded from now on.
    ///
    /// # Errors
    /// [`Error::Helper`]: name or number is taken or not possible, or the engine could not check such arguments; [`Error::NoMemory`].
    pub fn register_helper(
        &self,
        name: &str,
        number: u32,
        signature: HelperSignature,
        function: HelperFn,
    ) -> Result<(), Error> {
        room_for_small_things()?;
        self.two_key()?;
        let mut current = self.helpers.lock();
        let numbers = Abi::ALL.map(|abi| (abi, number));
        let refused = |error| match error {
            RegisterError::NoMemory => Error::NoMemory,
            error => Error::Helper(Refusal::new(shown(name), error)),
        };
        current.check(name, &signature, &numbers).map_err(refused)?;
        let mut owned = self.owned.lock();
        let room = owned.names.try_reserve(1).and_then(|()| owned.registries.try_reserve(1));
        room.map_err(|_| Error::NoMemory)?;
        let own = Box::into_raw(copy(name)?.into_boxed_str());
        owned.names.push(own);
        // SAFETY: it came from a box, and is freed after the engine.
        let name: &'static str = unsafe { &*own };
        let helper = Helper { name, signature, function };
        let mut added = current.add(helper, &numbers);
        if added == Err(RegisterError::Full) {
            let larger = current.larger().ok_or(Error::NoMemory)?;
            let larger = Box::into_raw(Box::new(larger));
            owned.registries.push(larger);
            // SAFETY: as above.
            *current = unsafe { &*larger };
            added = current.add(helper, &numbers);
        }
        added.map_err(refused)
    }

    /// Loads a program from memory.
    ///
    /// # Errors
    /// [`Error::Load`]: the bytes are no program; [`Error::Verify`]: the policy does not admit it; [`Error::NotCompiled`]: machine code was
    /// asked for by name, and there is none; [`Error::NoMemory`]; [`Error::Cancelled`].
    pub fn load(&self, name: &str, bytes: &[u8], options: &LoadOptions) -> Result<ProgramId, Error> {
        let loaded = self.prepare(name, bytes, options, Use::Often)?;
        self.keep(loaded)
    }

    /// Checks a program as [`load`](Self::load) does, and keeps nothing.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn check(&self, name: &str, bytes: &[u8], options: &LoadOptions) -> Result<(), Error> {
        self.prepare(name, bytes, options, Use::Often).map(drop)
    }

    /// Loads a program from a file of the platform, or one of the image by its name.
    ///
    /// # Errors
    /// Those of [`load`](Self::load), and [`Error::File`].
    pub fn load_file(&self, path: &str, options: &LoadOptions) -> Result<ProgramId, Error> {
        let loaded = self.prepare_file(path, options)?;
        self.keep(loaded)
    }

    fn keep(&self, loaded: Loaded) -> Result<ProgramId, Error> {
        room_for(SMALL_THINGS_THAT_STAY)?;
        self.programs.lock().insert(loaded)
    }

    /// Forgets a loaded program. Probes that run it go on.
    ///
    /// # Errors
    /// [`Error::StaleProgram`].
    pub fn unload(&self, id: ProgramId) -> Result<(), Error> {
        self.programs.lock().remove(id).map(drop)
    }

    /// The verified form of a loaded program, for `status`, `verify` and the like.
    ///
    /// # Errors
    /// [`Error::StaleProgram`].
    pub fn with_program<T>(&self, id: ProgramId, look: impl FnOnce(&VerifiedProgram) -> T) -> Result<T, Error> {
        let loaded = self.programs.lock().get(id)?;
        Ok(look(loaded.code.verified()))
    }

    /// Runs a loaded program with `memory` as its argument.
    ///
    /// # Errors
    /// [`Error::Stopped`]: the program came to no end of its own (the console says where, too); [`Error::StaleProgram`];
    /// [`Error::NoMemory`]; [`Error::Cancelled`].
    pub fn exec(&self, id: ProgramId, memory: &mut [u8], budget: Option<u64>) -> Result<ExecReport, Error> {
        let loaded = self.programs.lock().get(id)?;
        self.run(&loaded, memory, budget)
    }

    /// How many updates of the two-key map were lost and why, for those who look at counts; `None` when there were none.
    pub fn map_note(&self) -> Option<String> {
        TRACER.tally(None);
        let map = self.services.map.get()?;
        let capacity = map.capacity();
        let lost = map.lost().saturating_add(TRACER.helpers_missed());
        if lost == 0 || !has_room(SMALL_THINGS) {
            return None;
        }
        let why = if map.len() >= capacity {
            alloc::format!("it is full ({capacity} entries): delete some, or start with a larger one")
        } else {
            "it was full, or others were at work on it for too long".into()
        };
        Some(alloc::format!("{lost} updates of the two-key map were lost, so counts may be too low: {why}"))
    }

    /// Ends what other threads were doing, in a process in which they are not: to be called in a child of a fork, by the only thread
    /// there is. Programs that are attached go on then with counters and a map of their own.
    pub fn after_fork(&self) {
        if let Some(map) = self.services.map.get() {
            map.after_fork();
        }
        self.maps_after_fork();
        TRACER.after_fork();
    }

    /// Loads a file, or takes a program of the image by its name, runs it once and forgets it.
    ///
    /// # Errors
    /// Those of [`load_file`](Self::load_file) and of [`exec`](Self::exec).
    pub fn exec_file(&self, path: &str, memory: &mut [u8], options: &LoadOptions) -> Result<ExecReport, Error> {
        let loaded = self.prepare_source(path, options, Use::Once)?;
        self.run(&loaded, memory, None)
    }

    /// A program of the image of that name, else the file.
    fn prepare_file(&self, path: &str, options: &LoadOptions) -> Result<Loaded, Error> {
        self.prepare_source(path, options, Use::Often)
    }

    /// A program of the image of that name, a program of the object of that name, or the file.
    fn prepare_source(&self, path: &str, options: &LoadOptions, how: Use) -> Result<Loaded, Error> {
        if let Some(loaded) = self.linked(path, options) {
            return Ok(loaded);
        }
        room_for_small_things()?;
        if let Some(object) = self.known_object(path) {
            return object.pick(path, options.program);
        }
        let bytes = self.read_programs(path)?;
        if crate::object::is_package(&bytes) {
            let object = self.object(&bytes, options, &[])?;
            room_for_small_things()?;
            return object.pick(path, options.program);
        }
        if let Some(program) = options.program {
            let reason = format!("{path} is a flat program: there is no {} in it", shown(program));
            return Err(Error::Object { reason });
        }
        self.prepare(path, &bytes, options, how)
    }

    fn prepare(&self, name: &str, bytes: &[u8], options: &LoadOptions, how: Use) -> Result<Loaded, Error> {
        if !programs::is_name(name) {
            let name = shown(name);
            return Err(Error::ProgramName { name });
        }
        let abi = options.abi.unwrap_or(self.config.flat_abi);
        let policy = options.policy.unwrap_or(self.config.policy);
        let helpers = *self.helpers.lock();
        let mut pace = self.pace();
        let mut pause = || pace.point();
        let program = Program::from_flat_in_pieces(name, bytes, abi, &mut pause).map_err(refused_load)?;
        // From here to the machine code.
        let mut work = Work::with_pause(Work::LIMIT, WORK_SLICE, &mut pause);
        let verified =
            verifier::verify(program, policy, &verifier::Environment::new(helpers), &mut work).map_err(refused)?;
        room_for_small_things()?;
        let made = code::make(verified, None, options.engine, how, &self.services.platform, &mut work)?;
        self.note_fallback(made.fallback);
        self.with_its_map(Loaded::new(copy(name)?, made.code, helpers, made.fallback, None))
    }

    /// The two-key map, made where there is none yet. Not for hooks: a helper of the application's may put something there, and so it is made
    /// when such a one is registered.
    fn two_key(&self) -> Result<&TwoKeyMap, Error> {
        if let Some(map) = self.services.map.get() {
            return Ok(map);
        }
        let mut pace = self.pace();
        let map = TwoKeyMap::in_pieces(self.config.map_entries, &mut || pace.go_on()).ok_or(Error::NoMemory)?;
        // Somebody else may have been quicker meanwhile.
        Ok(self.services.map.call_once(|| map))
    }

    /// A program, for which there is the two-key map now if it looks into that.
    fn with_its_map(&self, loaded: Loaded) -> Result<Loaded, Error> {
        if loaded.calls_a_map_helper() {
            self.two_key()?;
        }
        Ok(loaded)
    }

    /// Counts a program that is interpreted where machine code was to be expected.
    fn note_fallback(&self, why: Option<&'static str>) {
        if let Some(why) = why {
            let mut fallbacks = self.fallbacks.lock();
            *fallbacks = Some((fallbacks.map_or(0, |(count, _)| count).saturating_add(1), why));
        }
    }

    fn run(&self, loaded: &Loaded, memory: &mut [u8], budget: Option<u64>) -> Result<ExecReport, Error> {
        loaded.kind.check_argument(memory.len()).map_err(Error::NoPacket)?;
        room_for_small_things()?;
        TRACER.tally(None);
        let mut stack = zeroed_words(VM_STACK / 8).ok_or(Error::NoMemory)?;
        let len = memory.len() as u64;
        let lane = loaded.claim_lane().map_err(|_| Error::NoLane)?;
        let memory = Memory::new(memory, words_as_bytes(&mut stack));
        let memory = attached::surrounded(memory, loaded, lane.as_ref(), self.services);
        let mut run = Run {
            args: [memory.argument().base, len],
            memory,
            budget: budget.unwrap_or(self.config.exec_budget),
            helpers: loaded.helpers,
            host: self.services,
        };
        if budget.is_none() {
            attached::divide_budget(&*loaded.code, &mut run, true);
        }
        let given = run.budget;
        let mut pace = self.pace();
        let slices = Slices { units: SLICE, pause: &mut || pace.point() };
        let result = loaded.code.run_in_slices(&mut run, slices);
        let Run { budget: budget_left, memory, .. } = run;
        let answer = match result {
            Ok(value) => {
                let mut warnings = loaded.remarks();
                warnings.extend(self.map_note().filter(|_| loaded.calls_a_map_helper()));
                let (verdict, charged) = (loaded.kind.verdict(value), given.saturating_sub(budget_left));
                Ok(ExecReport { value, verdict, budget_left, charged, warnings })
            }
            Err(Stop { kind: StopKind::Cancelled, .. }) => Err(Error::Cancelled),
            Err(stop) => {
                let regions = memory.regions();
                let program = memory.stopped_in().and_then(copied);
                let now = self.services.now_ns();
                let name = program.as_deref().unwrap_or("");
                self.services.ring.push_error(now, Fault::Stopped { stop, regions }, name);
                Err(Error::Stopped(Box::new(Stopped { stop, program, budget_left, regions })))
            }
        };
        self.drain_console();
        answer
    }

    /// A whole file, within the configured limit.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>, Error> {
        let files = self.services.platform.files;
        let contents = files.read(path, self.config.file_limit);
        contents.map_err(|error| Error::File(Refusal::new(shown(path), error)))
    }

    /// From now on a compiler's object is loaded as the package that `packer` makes of it. The first one stays.
    pub fn pack_objects_with(&self, packer: Packer) {
        self.packer.call_once(|| packer);
    }

    /// A file that programs are loaded from: what is an object becomes a package, where the image can do that.
    fn read_programs(&self, path: &str) -> Result<Vec<u8>, Error> {
        let bytes = self.read_file(path)?;
        let Some(packer) = self.packer.get().filter(|_| cfg!(feature = "elf") && is_object(&bytes)) else {
            return Ok(bytes);
        };
        let mut pace = self.pace();
        packer(&bytes, path, &mut || pace.point()).map_err(|error| match error {
            Error::Object { reason } => Error::Object { reason: format!("{}: {reason}", shown(path)) },
            error => error,
        })
    }

    /// Entries of a directory.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn list_files(&self, path: &str) -> Result<Vec<DirEntry>, Error> {
        let entries = self.services.platform.files.list(path);
        entries.map_err(|error| Error::File(Refusal::new(shown(path), error)))
    }

    /// Value in the two-key map.
    pub fn map_get(&self, key1: u64, key2: u64) -> Option<u64> {
        TRACER.tally(Some(key1));
        self.services.map.get()?.get(key1, key2)
    }

    /// Inserts or replaces in the two-key map.
    ///
    /// # Errors
    /// [`Error::MapFull`]; [`Error::NoMemory`] where nothing was put there before.
    pub fn map_put(&self, key1: u64, key2: u64, value: u64) -> Result<(), Error> {
        TRACER.tally(Some(key1));
        let map = self.two_key()?;
        map.put(key1, key2, value).map_err(|_| Error::MapFull { capacity: map.capacity() })
    }

    /// Removes from the two-key map; whether there was an entry.
    pub fn map_del(&self, key1: u64, key2: u64) -> bool {
        TRACER.tally(Some(key1));
        self.services.map.get().is_some_and(|map| map.del(key1, key2))
    }

    /// Shows some entries of the two-key map (keys and value, in no order) to `visit`, from place `first` on (0 is the start), until it
    /// says false; gives the place at which to go on, that of the entry it refused if it did, and `None` at the end.
    pub fn map_entries(&self, first: usize, visit: &mut dyn FnMut(u64, u64, u64) -> bool) -> Option<usize> {
        if first == 0 {
            TRACER.tally(None);
        }
        self.services.map.get()?.for_some(first, visit)
    }

    /// Monotonic time in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        self.services.now_ns()
    }

    /// Fault-safe read of application memory; how many leading bytes were readable.
    pub fn probe_read(&self, address: u64, dst: &mut [u8]) -> usize {
        self.services.platform.probe_read.read(address, dst)
    }
}

fn refused_load(error: LoadError) -> Error {
    match error {
        LoadError::Cancelled => Error::Cancelled,
        LoadError::NoMemory => Error::NoMemory,
        error => Error::Load(Box::new(error)),
    }
}

fn refused(error: VerifyError) -> Error {
    match error {
        VerifyError::Unfinished { cap: Cap::Cancelled } => Error::Cancelled,
        VerifyError::NoMemory => Error::NoMemory,
        error => Error::Verify(Box::new(error)),
    }
}

/// Units of a verification's or a compilation's work between two looks at the clock.
const WORK_SLICE: u64 = 4_000;

/// A copy of a name, which may be as long as a C++ name is.
fn copy(text: &str) -> Result<String, Error> {
    copied(text).ok_or(Error::NoMemory)
}

/// Refuses an operation that could run out of memory half way.
fn room_for_small_things() -> Result<(), Error> {
    room_for(SMALL_THINGS)
}

fn room_for(bytes: usize) -> Result<(), Error> {
    has_room(bytes).then_some(()).ok_or(Error::NoMemory)
}

fn zeroed_words(count: usize) -> Option<Vec<u64>> {
    let mut words = Vec::new();
    words.try_reserve_exact(count).ok()?;
    words.resize(count, 0);
    Some(words)
}

/// The bytes of 8-aligned memory.
fn words_as_bytes(words: &mut [u64]) -> &mut [u8] {
    let len = size_of_val(words);
    // SAFETY: the words are plain memory of that length, borrowed exclusively; every byte pattern is valid for both.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), len) }
}
