//! Sites, symbols, attach, detach, list.

use super::programs::Loaded;
use super::{
    attached::TracedProgram, copy, image::Image, objects, objects::Wanted, room_for, room_for_small_things, symbols,
    timers, Error, LoadOptions, Namesakes, ProgramId, Refusal, Runtime, Symbol, SymbolError, SymbolTable,
};
use crate::{
    helpers::Names,
    platform::{
        copied, fits, is_pattern, no_pause, shown, sort_by_in_pieces, Pace, Pause, SMALL_THINGS,
        SMALL_THINGS_THAT_STAY, SYSCALL,
    },
    tracer::{
        deny_reason, goes_by, returns_twice, AttachError, AttachOptions, AttachRequest, DetachError, Point, ProbeId,
        ProbeReport, Site, SiteCount, SiteKind, StubMoment, Subject, Unusable, STUB_REACH, TRACER,
    },
};
use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::cell::Cell;

/// When an attached program is taken off by itself.
pub type AttachLimits = AttachOptions;

/// A traced function with its programs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunctionReport {
    /// Its name.
    pub function: String,
    /// Its programs, in the order they run.
    pub probes: Vec<ProbeReport>,
}

/// A program at a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttachedProgram {
    /// The program's name.
    pub program: String,
    /// The function's.
    pub function: String,
    /// What takes it off again.
    pub id: ProbeId,
}

/// What was attached.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AttachReport {
    /// Remarks on the program, as in [`ExecReport`](super::ExecReport).
    pub warnings: Vec<String>,
    /// Programs and functions, in the order in which the programs were given; those that a pattern fits by their names.
    pub attached: Vec<AttachedProgram>,
}

/// Functions that a pattern may fit without being asked again.
pub const MANY_FUNCTIONS: usize = 300;
/// Refusals that are told one by one.
const TOLD: usize = 8;

/// Takes the functions to which a program cannot be attached, and why.
type RefusedFunctions<'r> = &'r mut dyn FnMut(&str, Error);

/// Such functions, for one message.
#[derive(Default)]
struct RefusalTally {
    count: usize,
    first: Option<Error>,
    text: String,
    /// There was no memory for one of them.
    full: bool,
}

impl RefusalTally {
    fn add(&mut self, function: &str, error: Error) {
        self.full |= room_for_small_things().is_err();
        if self.full {
            return;
        }
        self.count = self.count.saturating_add(1);
        if self.count <= TOLD {
            self.text.push_str(&alloc::format!("\n {}: {error}", shown(function)));
        }
        self.first.get_or_insert(error);
    }

    /// Nothing where there is none; the first as it is, unless there are `several` functions.
    fn end(self, others: usize, several: bool) -> Result<(), Error> {
        if self.full {
            return Err(Error::NoMemory);
        }
        let Some(first) = self.first else { return Ok(()) };
        if !several {
            return Err(first);
        }
        let (count, all) = (self.count, self.count.saturating_add(others));
        let mut reason =
            alloc::format!("nothing was attached: {count} of {all} functions cannot have it:{}", self.text);
        if count > TOLD {
            reason.push_str(&alloc::format!("\n and {} more", count - TOLD));
        }
        Err(Error::NotAll { reason })
    }
}

impl Runtime {
    /// Whether this is a pattern, also one of [system calls](SYSCALL): the name of a C++ function may have a `*` as well, and is that function.
    fn is_pattern(&self, function: &str) -> bool {
        is_pattern(function) && self.services.image.read().symbols.address(function.as_bytes()).is_none()
    }

    /// Adds the compiler's records: addresses of entry stubs (of functions for [`SiteKind::Instrumented`]). A stub of nops is
    /// used when a symbol says where its function begins, so the symbols come first. To be called at start, before threads run in
    /// these functions.
    pub fn add_sites(&self, records: &[u64], kind: SiteKind) -> SiteCount {
        let _one_writer = self.image_writer.lock();
        let symbols = self.services.image.read().symbols.clone();
        let Ok(room) = room_for_sites(records.len()) else {
            return SiteCount::without_memory(records.len());
        };
        let count = TRACER.add_sites(records, kind, &|address| symbols.neighbours(address));
        self.publish(symbols, room);
        count
    }

    /// Checks that the symbols known and the compiler's records are of one image: unless there are none of either, some record must lie
    /// at the entry of a function.
    ///
    /// # Errors
    /// [`SymbolError::FitsNoStub`].
    pub fn check_sites(&self, records: &[u64]) -> Result<(), SymbolError> {
        let symbols = self.services.image.read().symbols.clone();
        if symbols.is_empty() {
            return Ok(());
        }
        fits_a_stub(&symbols, |look| records.iter().for_each(|&record| look(record)))
    }

    /// Names a function of the engine, once. A list of symbols that has lost the local names says by it how far the image was moved.
    #[cfg(feature = "capi")]
    pub(crate) fn set_known_function(&self, function: Symbol<'static>) {
        self.known_function.call_once(|| function);
    }

    /// Symbols whose addresses the engine knows by itself.
    fn own_symbols(&self) -> [Symbol<'static>; 2] {
        let subject = Symbol { name: Subject::SYMBOL, address: Subject::address(), function: true };
        [subject, self.known_function.get().copied().unwrap_or(subject)]
    }

    /// Gives the engine the symbols that the platform knows of the image; they replace those known before. To be called at
    /// start, before threads run in the functions that have entry stubs. Without memory for them nothing is known anew;
    /// [`try_add_symbols`](Self::try_add_symbols) says so.
    pub fn add_symbols(&self, symbols: SymbolTable) {
        let _ = self.try_add_symbols(symbols);
    }

    /// As [`add_symbols`](Self::add_symbols). The error is always that of memory; the call can be made again then.
    pub fn try_add_symbols(&self, symbols: SymbolTable) -> Result<(), SymbolError> {
        let _one_writer = self.image_writer.lock();
        let no_memory = |_| SymbolError::NoMemory;
        recheck(&symbols, StubMoment::Start, &mut no_pause).map_err(no_memory)?;
        let room = room_for_sites(0).map_err(no_memory)?;
        self.publish(Arc::new(symbols), room);
        Ok(())
    }

    /// Says once what tells this image from others: [`status`](Self::status) shows it, and [`load_symbols`](Self::load_symbols)
    /// refuses a list that names another one.
    pub fn set_image_id(&self, id: [u8; 16]) {
        self.image_id.call_once(|| id);
    }

    /// Gives the engine the symbols of this image as the output of `nm`, as [`add_symbols`](Self::add_symbols) does. Where the
    /// engine's own functions are among them, they say how far the image was moved when it was loaded. Gives how many symbols there
    /// are.
    ///
    /// # Errors
    /// [`SymbolError`]: the text has no symbols, or they are of another image; those known before stay.
    pub fn add_symbol_list(&self, text: &[u8]) -> Result<usize, SymbolError> {
        let mut pace = self.pace();
        let pause: &mut Pause<'_> = &mut || pace.point();
        let mut table = parse(text, pause)?;
        let bias = symbols::own_bias(&self.own_symbols(), &table)?.unwrap_or(0);
        if bias != 0 {
            table = SymbolTable::joined(&table, bias, &SymbolTable::default(), pause)?;
        }
        fits_a_stub(&table, all_stubs)?;
        let count = table.len();
        self.try_add_symbols(table)?;
        Ok(count)
    }

    /// Reads symbols from a file (the output of `nm`, or of `ubpf symbols`), when it belongs to this image. What was known before stays
    /// known when it does not. Gives how many symbols there are.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Symbols`]: there are none, or they are of another image; [`Error::Busy`]; [`Error::NoMemory`];
    /// [`Error::Cancelled`].
    pub fn load_symbols(&self, path: &str) -> Result<usize, Error> {
        let refused = |error| Error::Symbols(Refusal::new(shown(path), error));
        let mut pace = self.pace();
        let text = self.read_file(path)?;
        let pause: &mut Pause<'_> = &mut || pace.point();
        symbols::check_image(self.image_id.get(), &text).map_err(refused)?;
        let file = parse(&text, pause).map_err(refused)?;
        let known = self.services.image.read().symbols.clone();
        let bias = symbols::load_bias(&self.own_symbols(), &known, &file, pause).map_err(refused)?;
        let table = SymbolTable::joined(&file, bias, &known, pause).map_err(refused)?;
        room_for(SMALL_THINGS_THAT_STAY)?;
        let count = table.len();
        recheck(&table, StubMoment::Later, pause)?;
        let _one_writer = self.image_writer.lock();
        if !Arc::ptr_eq(&known, &self.services.image.read().symbols) {
            return Err(Error::Busy { command: "another reading of symbols" });
        }
        let room = room_for_sites(0)?;
        self.publish(Arc::new(table), room);
        Ok(count)
    }

    /// Replaces what is known of the image, with `sites` as room for the sites; the caller holds the writer's lock.
    fn publish(&self, symbols: Arc<SymbolTable>, mut sites: Vec<Site>) {
        TRACER.for_each_site(&mut |site| {
            if sites.len() < sites.capacity() {
                sites.push(site);
            }
        });
        self.services.image.replace(Box::new(Image { symbols, sites }));
    }

    /// Shows stubs that cannot be used, from place `first` in the list on (0 is its start), until `visit` says false: the name of
    /// the function (empty where it is unknown), its address, and why. Shows some of them only, as [`functions`](Self::functions)
    /// does, and gives the place at which to go on; `None` at the end.
    pub fn refused_stubs(&self, first: usize, visit: &mut dyn FnMut(&str, u64, Unusable) -> bool) -> Option<usize> {
        let image = self.services.image.read();
        TRACER.some_refused(first, &mut |refused| {
            let mut symbols = image.symbols.at(refused.function);
            let name = symbols.find(|symbol| symbol.function);
            visit(name.map_or("", |s| s.name), refused.function, refused.reason)
        })
    }

    /// Address of a symbol.
    pub fn symbol_address(&self, name: &str) -> Option<u64> {
        self.services.symbol_address(name.as_bytes())
    }

    /// Name of the symbol at or before an address, and the distance in bytes.
    pub fn symbol_name(&self, address: u64) -> Option<(String, u64)> {
        let image = self.services.image.read();
        let found = image.symbols.containing(address);
        found.and_then(|(symbol, distance)| Some((copied(symbol.name)?, distance)))
    }

    /// Name of the function that an address lies in, as far as symbols tell, and the distance in bytes from its start.
    pub fn function_at(&self, address: u64) -> Option<(String, u64)> {
        let image = self.services.image.read();
        let found = image.symbols.containing(address).filter(|(symbol, _)| symbol.function);
        found.and_then(|(symbol, distance)| Some((copied(symbol.name)?, distance)))
    }

    /// Shows the name of the symbol at or before an address, and the distance in bytes; false where there is none.
    pub fn with_symbol(&self, address: u64, show: &mut dyn FnMut(&str, u64)) -> bool {
        let image = self.services.image.read();
        let found = image.symbols.containing(address);
        if let Some((symbol, distance)) = found {
            show(symbol.name, distance);
        }
        found.is_some()
    }

    /// Address by which a traced function is known.
    pub fn trace_address(&self, name: &str) -> Option<u64> {
        self.services.trace_address(name.as_bytes())
    }

    /// Shows the names of the traceable functions, ascending, from place `first` in the list on (0 is its start), until `visit` says
    /// false; with the address of the function if others of this name can be traced, too. It shows some of them only, so that a list
    /// of any length is gone through in pieces: gives the place at which to go on, that of the name `visit` refused if it did;
    /// `None` at the end.
    pub fn functions(&self, first: usize, visit: &mut dyn FnMut(&str, Option<u64>) -> bool) -> Option<usize> {
        let image = self.services.image.read();
        let rest = image.symbols.by_name(first);
        let left = rest.len();
        for (at, symbol) in rest.take(NAMES).enumerate() {
            let site = image.site_at(symbol.address);
            // A function with several names is shown by one of them.
            let shown = site.is_some_and(|site| image.function_of(site) == Some(symbol.name));
            if !shown {
                continue;
            }
            let several = image.has_several(symbol.name.as_bytes());
            if !visit(symbol.name, several.then_some(symbol.address)) {
                return Some(first + at);
            }
        }
        (left > NAMES).then_some(first + NAMES)
    }

    /// The addresses of the traceable functions of this name, ascending.
    pub fn functions_called(&self, name: &str) -> Vec<u64> {
        let image = self.services.image.read();
        let mut found = Vec::new();
        for (address, _) in image.sites_of(name.as_bytes()) {
            // Those that there is memory for.
            if found.try_reserve(1).is_ok() {
                found.push(address);
            }
        }
        found
    }

    /// Whether several traceable functions have this name.
    pub fn has_several(&self, name: &str) -> bool {
        self.services.image.read().has_several(name.as_bytes())
    }

    /// Attaches a loaded program to the entry of a function, named or given as `0x…` address.
    ///
    /// # Errors
    /// [`Error::UnknownFunction`], [`Error::Ambiguous`], [`Error::NoStub`], [`Error::UnusableStub`]: the function; [`Error::StaleProgram`];
    /// [`Error::Attach`]: it may not be traced, has the program already, or its text could not be changed; [`Error::NoMemory`].
    pub fn attach(&self, function: &str, id: ProgramId, limits: AttachLimits) -> Result<ProbeId, Error> {
        room_for_small_things()?;
        let loaded = self.programs.lock().get(id)?;
        self.attach_loaded(function, loaded, limits)
    }

    /// Loads a file and attaches it to a function, or to all whose names fit a pattern with `*`, unless a function has it
    /// as its name: to all of them, or none.
    ///
    /// # Errors
    /// Those of [`load_file`](Self::load_file) and of [`attach`](Self::attach).
    pub fn attach_file(
        &self,
        function: &str,
        path: &str,
        options: &LoadOptions,
        limits: AttachLimits,
    ) -> Result<AttachReport, Error> {
        room_for_small_things()?;
        if !self.is_pattern(function) {
            self.resolve(function)?;
        }
        let loaded = self.prepare_file(path, options)?;
        // What it was may have changed meanwhile: it is looked up again.
        let warnings = loaded.remarks();
        let wanted = Wanted { program: copy(&loaded.name)?, pattern: copy(function)?, loaded };
        let attached = self.attach_wanted(&mut [wanted].into_iter(), options, limits)?;
        let warnings = warnings.into_iter().chain(timers::slower(&attached)).collect();
        Ok(AttachReport { warnings, attached })
    }

    /// Attaches a loaded program to many functions, named as for [`attach`](Self::attach): to all of them, or to none. It runs at all of them
    /// from one moment on. A function that is named twice, by whatever name, is taken once. Gives the probes, ascending by address of
    /// their functions.
    ///
    /// # Errors
    /// [`Error::NoneAttached`] after `refused` was called with each function that cannot have it, and why; those of `attach` that are of no one
    /// function; [`Error::Cancelled`].
    pub fn attach_all(
        &self,
        functions: &[&str],
        id: ProgramId,
        limits: AttachLimits,
        refused: &mut dyn FnMut(&str, Error),
    ) -> Result<Vec<ProbeId>, Error> {
        room_for_small_things()?;
        let loaded = self.programs.lock().get(id)?;
        self.attach_loaded_to(functions, loaded, limits, refused)
    }

    /// Loads a file and attaches it to many functions, as [`attach_all`](Self::attach_all) does; gives the remarks on it.
    ///
    /// # Errors
    /// Those of [`load_file`](Self::load_file) and of `attach_all`.
    pub fn attach_file_to(
        &self,
        functions: &[&str],
        path: &str,
        options: &LoadOptions,
        limits: AttachLimits,
        refused: &mut dyn FnMut(&str, Error),
    ) -> Result<Vec<String>, Error> {
        room_for_small_things()?;
        let loaded = self.prepare_file(path, options)?;
        let warnings = loaded.remarks();
        self.attach_loaded_to(functions, loaded, limits, refused)?;
        Ok(warnings)
    }

    /// Loads a package, or takes the object of this name, and attaches each of its programs to the function that its section names: all of
    /// them, or to those that its pattern fits, or none. They run from one moment on.
    ///
    /// # Errors
    /// Those of [`load_object`](Self::load_object) and of [`attach`](Self::attach); [`Error::NotAttachable`]: nothing can call one of the
    /// programs, or not there; [`Error::Object`]: none of them names a function.
    pub fn attach_object(
        &self,
        path: &str,
        options: &LoadOptions,
        limits: AttachLimits,
    ) -> Result<AttachReport, Error> {
        room_for_small_things()?;
        let instance = self.object_of(path, options)?;
        let wanted = instance.wanted(path)?;
        if wanted.is_empty() {
            let reason = alloc::format!("no program of {path} names the function it wants: attach them by name");
            return Err(Error::Object { reason });
        }
        let attached = self.attach_wanted(&mut wanted.into_iter(), options, limits)?;
        let warnings = timers::slower(&attached).into_iter().collect();
        Ok(AttachReport { warnings, attached })
    }

    /// Attaches each program to its function, or to those that its pattern fits: all of them, or none.
    fn attach_wanted(
        &self,
        wanted: &mut dyn Iterator<Item = Wanted>,
        options: &LoadOptions,
        limits: AttachLimits,
    ) -> Result<Vec<AttachedProgram>, Error> {
        room_for(SMALL_THINGS_THAT_STAY)?;
        let (mut pace, mut several) = (self.pace(), false);
        let (mut refused, mut places, mut names) = (RefusalTally::default(), Vec::new(), Vec::new());
        for Wanted { program, pattern, loaded } in wanted {
            several |= self.is_pattern(&pattern);
            let functions = self.fitting(&pattern, objects::is_at_return(&loaded, &limits), &mut pace)?;
            let functions = &mut functions.iter().map(String::as_str);
            let refused = &mut |function: &str, error| refused.add(function, error);
            self.add_places((functions, &limits), &self.body(loaded), &mut places, &mut pace, refused)?;
            while names.len() < places.len() {
                names.try_reserve(1).map_err(|_| Error::NoMemory)?;
                names.push(copy(&program)?);
            }
        }
        let count = places.len();
        if count > MANY_FUNCTIONS && !options.many {
            let reason = alloc::format!("that is {count} functions: say --yes to attach to so many");
            return Err(Error::NotAll { reason });
        }
        refused.end(count, several)?;
        let (mut attached, mut refused) = (Vec::new(), RefusalTally::default());
        attached.try_reserve_exact(count).map_err(|_| Error::NoMemory)?;
        let ids =
            attach_places(&places, limits, &mut |function, error| refused.add(function, error)).or_else(|error| {
                let others = count.saturating_sub(refused.count);
                refused.end(others, several).and(Err(error))
            })?;
        for ((place, program), id) in places.into_iter().zip(names).zip(ids) {
            attached.push(AttachedProgram { program, function: place.function, id });
        }
        Ok(attached)
    }

    /// The function of this name, or those that a pattern fits, as they are found again; functions that may not be traced fit none, nor,
    /// `at_return`, those that return twice.
    fn fitting(&self, pattern: &str, at_return: bool, pace: &mut Pace<'_>) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        if !self.is_pattern(pattern) {
            all.push(copy(pattern)?);
            return Ok(all);
        }
        let mut next = Some(0);
        while let Some(first) = next {
            room_for_small_things()?;
            let image = self.services.image.read();
            let why_not = |name: &str| deny_reason(name).or_else(|| returns_twice(name).filter(|_| at_return));
            let is_denied = |site| image.denied(site, why_not).is_some();
            let mut full = false;
            next = self.functions(first, &mut |name, address| {
                if image.site_of(name, address).is_some_and(|site| fits(pattern, name) && !is_denied(site)) {
                    // Where others have the name, its address tells which it is.
                    let function = address.map_or_else(|| copied(name), |address| Some(alloc::format!("{address:#x}")));
                    match (all.try_reserve(1), function) {
                        (Ok(()), Some(function)) => all.push(function),
                        _ => full = true,
                    }
                }
                !full
            });
            if full {
                return Err(Error::NoMemory);
            }
            pace.point()?;
        }
        if pattern.starts_with(SYSCALL) {
            self.without_callers(&mut all, pace)?;
        }
        match all.is_empty() {
            true => Err(Error::UnknownFunction { name: shown(pattern) }),
            false => Ok(all),
        }
    }

    fn attach_loaded(&self, function: &str, loaded: Loaded, limits: AttachLimits) -> Result<ProbeId, Error> {
        room_for(SMALL_THINGS_THAT_STAY)?;
        let place = self.place(function, &self.body(loaded), &limits)?;
        TRACER.attach(place.request(limits)).map_err(Error::from)
    }

    fn attach_loaded_to(
        &self,
        functions: &[&str],
        loaded: Loaded,
        limits: AttachLimits,
        refused: RefusedFunctions<'_>,
    ) -> Result<Vec<ProbeId>, Error> {
        let count = Cell::new(0);
        let refused = &mut |function: &str, error| {
            count.set(count.get() + 1);
            refused(function, error);
        };
        let none = || Error::NoneAttached { refused: count.get(), wanted: functions.len() };
        let (mut pace, mut places) = (self.pace(), Vec::new());
        self.add_places(
            (&mut functions.iter().copied(), &limits),
            &self.body(loaded),
            &mut places,
            &mut pace,
            refused,
        )?;
        if count.get() > 0 {
            return Err(none());
        }
        sort_by_in_pieces(&mut places, |a, b| a.point.site() < b.point.site(), || pace.point())?;
        places.dedup_by_key(|place| place.point);
        let mut ids = Vec::new();
        ids.try_reserve_exact(places.len()).map_err(|_| Error::NoMemory)?;
        let attached = attach_places(&places, limits, refused);
        let attached = attached.map_err(|error| if count.get() > 0 { none() } else { error })?;
        ids.extend(attached.take(places.len()));
        Ok(ids)
    }

    /// Adds where a program is attached at each of these functions.
    fn add_places(
        &self,
        (functions, limits): (&mut dyn Iterator<Item = &str>, &AttachLimits),
        body: &Arc<TracedProgram>,
        places: &mut Vec<Placement>,
        pace: &mut Pace<'_>,
        refused: RefusedFunctions<'_>,
    ) -> Result<(), Error> {
        for function in functions {
            pace.point()?;
            room_for_small_things()?;
            match self.place(function, body, limits) {
                Ok(place) => {
                    places.try_reserve(1).map_err(|_| Error::NoMemory)?;
                    places.push(place);
                }
                Err(Error::NoMemory) => return Err(Error::NoMemory),
                Err(error) => refused(function, error),
            }
        }
        Ok(())
    }

    /// A program as the tracer runs it.
    pub(super) fn body(&self, loaded: Loaded) -> Arc<TracedProgram> {
        Arc::new(TracedProgram { loaded, services: self.services })
    }

    /// Where a program is attached at a function, if it can be.
    fn place(&self, function: &str, body: &Arc<TracedProgram>, limits: &AttachLimits) -> Result<Placement, Error> {
        let (function, site) = self.resolve(function)?;
        let image = self.services.image.read();
        if let Some(reason) = image.denied(site, deny_reason) {
            let function = shown(&function);
            return Err(AttachError::Denied { function, reason }.into());
        }
        let loaded = &body.loaded;
        let point = match objects::point(loaded, site, limits) {
            Ok(point) => point,
            Err(reason) => return Err(Error::NotAttachable(Refusal::new(copy(&loaded.name)?, reason))),
        };
        let twice = image.denied(site, returns_twice).filter(|_| point.is_return());
        if let Some(reason) = twice {
            let function = shown(&function);
            return Err(AttachError::NoReturn { function, reason }.into());
        }
        Ok(Placement { function, point, start: image.start_of(site), body: body.clone() })
    }

    /// The site of a function, with the function's name, or that of a timer.
    pub(super) fn resolve(&self, function: &str) -> Result<(String, Site), Error> {
        if let Some(timer) = timers::named(function) {
            return Ok((copy(function)?, timer?.site()));
        }
        let image = self.services.image.read();
        if let Some(address) = address(function) {
            let site = image.site_at(address).or_else(|| image.site_with_key(address));
            let site = site.ok_or_else(|| no_stub(function, address))?;
            return Ok((copy(image.function_of(site).unwrap_or(function))?, site));
        }
        let mut sites = image.sites_of(function.as_bytes());
        let Some((start, site)) = sites.next() else {
            let name = shown(function);
            return Err(match image.symbols.address(function.as_bytes()) {
                Some(start) => no_stub(function, start),
                None => Error::UnknownFunction { name },
            });
        };
        match sites.count() {
            0 => Ok((copy(function)?, site)),
            more => {
                let about = Namesakes { count: more + 1, example: start };
                Err(Error::Ambiguous(Refusal::new(shown(function), about)))
            }
        }
    }

    /// Detaches one probe.
    ///
    /// # Errors
    /// [`Error::Detach`]: it is not attached (any more), somebody else is at work, or its call could not be taken out of the text (it does
    /// nothing then); [`Error::NoMemory`].
    pub fn detach_probe(&self, id: ProbeId) -> Result<(), Error> {
        room_for_small_things()?;
        TRACER.detach(id).map_err(Error::from)
    }

    /// Whether a probe is attached.
    pub fn is_attached(&self, id: ProbeId) -> bool {
        TRACER.has_probe(id)
    }

    /// Detaches every probe; gives the first failure after having tried all.
    fn detach_everything(&self, pace: &mut Pace<'_>) -> Result<(), Error> {
        let mut result = Ok(());
        while let Some(id) = TRACER.any_probe() {
            room_for_small_things()?;
            match TRACER.detach(id) {
                Ok(()) | Err(DetachError::NotAttached) => {}
                Err(error @ DetachError::Busy { .. }) => return Err(error.into()),
                Err(error) => result = result.and(Err(error.into())),
            }
            pace.point()?;
        }
        result
    }

    /// Detaches every probe, forgets every loaded program and empties the two-key map. Helpers, symbols and sites stay.
    ///
    /// # Errors
    /// [`Error::Detach`]: a call could not be taken out of the text; all the rest is done all the same, unless somebody else is at work.
    /// [`Error::Cancelled`]: what was done stays done.
    pub fn reset(&self) -> Result<(), Error> {
        let mut pace = self.pace();
        let result = self.detach_everything(&mut pace);
        match &result {
            Err(Error::Cancelled) => return result,
            Err(Error::Detach(error)) if matches!(**error, DetachError::Busy { .. }) => return result,
            _ => {}
        }
        let mut from = 0;
        loop {
            let next = self.programs.lock().take_from(from);
            let Some((at, loaded)) = next else { break };
            // Freed with no lock held.
            drop(loaded);
            from = at;
            pace.point()?;
        }
        loop {
            let next = self.objects.lock().take();
            // Freed with no lock held.
            let Some(object) = next else { break };
            drop(object);
            pace.point()?;
        }
        pace.wait_until(super::maps::RUNS_END_NS, crate::maps::settle_left);
        let mut go_on = Ok(());
        if let Some(map) = self.services.map.get() {
            map.for_each(|key1, key2, _| {
                if go_on.is_ok() {
                    map.del(key1, key2);
                    go_on = pace.point();
                }
            });
        }
        self.drain_console();
        go_on?;
        result
    }

    /// Detaches a program from a function, or all of its programs; from all functions whose names fit, where `function` is a pattern as for
    /// [`attach_file`](Self::attach_file). The name of an object, or of the file that it is in, stands for all of its programs. Gives how many.
    ///
    /// # Errors
    /// Those of [`attach`](Self::attach) about the function; [`Error::NotAttached`]; [`Error::Detach`]; [`Error::Cancelled`].
    pub fn detach(&self, function: &str, program: Option<&str>) -> Result<usize, Error> {
        room_for_small_things()?;
        let (called, count) = match self.is_pattern(function) {
            true => (shown(function), self.detach_fitting(function, program)?),
            false => {
                let (name, site) = self.resolve(function)?;
                (shown(&name), detach_from(site, program)?)
            }
        };
        // What the programs reported stands on the console before the answer does.
        self.drain_console();
        match (count, program) {
            (0, Some(program)) => Err(Error::NotAttached(Refusal::new(called, shown(program)))),
            _ => Ok(count),
        }
    }

    /// Detaches the programs of this name, or all, from the functions that a pattern fits; gives how many. What is attached is gone through:
    /// that is less than all functions. Those are asked where nothing was found: whether there is any that the pattern fits.
    fn detach_fitting(&self, pattern: &str, program: Option<&str>) -> Result<usize, Error> {
        let count = self.detach_where(&|probe| {
            let image = self.services.image.read();
            program.is_none_or(|wanted| goes_by(&probe.program, wanted))
                && image.function_of(probe.point.site()).is_some_and(|function| fits(pattern, function))
        })?;
        if count == 0 {
            self.fitting(pattern, false, &mut self.pace())?;
        }
        Ok(count)
    }

    /// Detaches those of the programs that are attached; gives how many.
    fn detach_where(&self, is_wanted: &dyn Fn(&ProbeReport) -> bool) -> Result<usize, Error> {
        room_for_reports(None)?;
        let (mut pace, mut count) = (self.pace(), 0);
        // The tracer finds what was attached last at once.
        for probe in TRACER.reports(None, || pace.point())?.into_iter().rev() {
            pace.point()?;
            if is_wanted(&probe) {
                count += detach_one(probe.id)?;
            }
        }
        Ok(count)
    }

    /// Detaches the programs of an object wherever they are, also at timers; gives how many. It goes by its name, or by that of its package.
    ///
    /// # Errors
    /// [`Error::NoMemory`]; [`Error::Detach`]; [`Error::Cancelled`]: what was detached stays so.
    pub fn detach_object(&self, name: &str) -> Result<usize, Error> {
        let count = self.detach_where(&|probe| {
            let in_package = probe.program.strip_prefix(name).and_then(|rest| rest.strip_prefix(".pkg"));
            goes_by(&probe.program, name) || in_package.is_some_and(|rest| goes_by(rest, ""))
        })?;
        self.drain_console();
        Ok(count)
    }

    /// The functions that have programs, or just this one (which may have none).
    ///
    /// # Errors
    /// Those of [`attach`](Self::attach) about the function; [`Error::NoMemory`]; [`Error::Cancelled`].
    pub fn list(&self, function: Option<&str>) -> Result<Vec<FunctionReport>, Error> {
        room_for_small_things()?;
        let mut pace = self.pace();
        let pause = &mut || pace.point();
        if let Some(function) = function {
            let (function, site) = self.resolve(function)?;
            room_for_reports(Some(site))?;
            return Ok(alloc::vec![FunctionReport { function, probes: TRACER.reports(Some(site), pause)? }]);
        }
        room_for_reports(None)?;
        let mut reports: Vec<FunctionReport> = Vec::new();
        for probe in TRACER.reports(None, &mut *pause)? {
            pause()?;
            room_for_small_things()?;
            // The programs of a site stand together.
            match reports.last_mut().filter(|r| r.probes.first().is_some_and(|p| p.point.site() == probe.point.site()))
            {
                Some(report) => report.probes.push(probe),
                None => {
                    let function = copy(&probe.function)?;
                    reports.push(FunctionReport { function, probes: alloc::vec![probe] });
                }
            }
        }
        sort_by_in_pieces(&mut reports, |a, b| a.function < b.function, || pace.point())?;
        Ok(reports)
    }

    /// Switches the measuring of programs' run times.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn set_stats(&self, on: bool) -> Result<(), Error> {
        let done = TRACER.set_stats(on);
        done.map_err(|command| Error::Busy { command })
    }

    /// Takes off what has used up its runs or its time. To be called now and then by the platform.
    pub fn poll(&self) -> usize {
        TRACER.poll()
    }
}

/// Detaches the programs of this name from a site, or all; gives how many.
fn detach_from(site: Site, program: Option<&str>) -> Result<usize, Error> {
    let mut count = 0;
    while let Some(id) = TRACER.find_probe(site, program) {
        count += detach_one(id)?;
    }
    Ok(count)
}

/// Detaches a program; gives how many that are: none where it has gone meanwhile.
fn detach_one(id: ProbeId) -> Result<usize, Error> {
    match TRACER.detach(id) {
        Ok(()) => Ok(1),
        Err(DetachError::NotAttached) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// A program and where it goes.
struct Placement {
    function: String,
    point: Point,
    /// Where the function begins.
    start: u64,
    body: Arc<TracedProgram>,
}

impl Placement {
    fn request(&self, options: AttachLimits) -> AttachRequest<'_> {
        let Placement { function, point, start, body } = self;
        let (point, start, program, body) = (*point, *start, &body.loaded.name, body.clone());
        AttachRequest { point, function, start, program, body, options }
    }
}

/// Attaches programs at all of these places, or at none; their probes, in the order of the places.
fn attach_places(
    places: &[Placement],
    limits: AttachLimits,
    refused: RefusedFunctions<'_>,
) -> Result<impl Iterator<Item = ProbeId> + use<>, Error> {
    let mut requests = Vec::new();
    requests.try_reserve_exact(places.len()).map_err(|_| Error::NoMemory)?;
    requests.extend(places.iter().map(|place| place.request(limits)));
    let first = TRACER.attach_all(&requests, &mut |index, error| {
        if let Some(place) = places.get(index) {
            refused(&place.function, error.into());
        }
    });
    Ok((first?.raw()..).map(ProbeId::from_raw))
}

/// Bytes of a text gone through, and names shown, between two points at which other threads may run.
const PIECE: usize = 16 * 1024;
const NAMES: usize = 64;

/// How many times as long as the reports on probes is what is there of them at once on their way to a reader: lists that
/// grow, copies by function, and those of the shell.
const REPORT_COPIES: usize = 6;

/// Refuses what would report on more probes than there is memory for.
fn room_for_reports(site: Option<Site>) -> Result<(), Error> {
    let reports = TRACER.report_bytes(site).saturating_mul(REPORT_COPIES);
    room_for(reports.saturating_add(SMALL_THINGS))
}

/// Symbols of the output of `nm`, of which there must be some.
fn parse(text: &[u8], pause: &mut Pause<'_>) -> Result<SymbolTable, SymbolError> {
    let table = SymbolTable::from_nm_in_pieces(text, pause)?;
    if table.is_empty() {
        let mut lines = 1;
        for piece in text.chunks(PIECE) {
            lines += piece.iter().filter(|&&b| b == b'\n').count();
            pause()?;
        }
        return Err(SymbolError::Empty { lines });
    }
    Ok(table)
}

/// Room for all known sites and some more, and for the small things of publishing them.
fn room_for_sites(more: usize) -> Result<Vec<Site>, Error> {
    room_for_small_things()?;
    let mut sites = Vec::new();
    let count = TRACER.site_count().saturating_add(more);
    let room = sites.try_reserve_exact(count);
    room.map_err(|_| Error::NoMemory)?;
    Ok(sites)
}

/// Looks again at the stubs that could not be used.
fn recheck(symbols: &SymbolTable, moment: StubMoment, pause: &mut Pause<'_>) -> Result<(), Error> {
    let mut next = Some(0);
    while let Some(from) = next {
        let looked = TRACER.recheck(from, &|address| symbols.neighbours(address), moment);
        next = looked.ok_or(Error::NoMemory)?;
        pause()?;
    }
    Ok(())
}

/// Refuses a list of symbols of which no function has one of the stubs.
fn fits_a_stub(table: &SymbolTable, each: impl FnOnce(&mut dyn FnMut(u64))) -> Result<(), SymbolError> {
    let (mut stubs, mut fit) = (0, false);
    each(&mut |address| {
        let round = table.neighbours(address);
        let behind = round.function.is_some_and(|start| address - start < STUB_REACH);
        let before = round.next.is_some_and(|next| next - address < STUB_REACH);
        stubs += 1;
        fit |= behind || before;
    });
    match fit || stubs == 0 {
        true => Ok(()),
        false => Err(SymbolError::FitsNoStub { stubs }),
    }
}

/// Goes through the stubs known, those that cannot be used among them.
fn all_stubs(look: &mut dyn FnMut(u64)) {
    TRACER.for_each_site(&mut |site| look(site.addr));
    let mut next = Some(0);
    while let Some(first) = next {
        next = TRACER.some_refused(first, &mut |refused| {
            look(refused.function);
            true
        });
    }
}

/// Why a function has no site.
fn no_stub(function: &str, start: u64) -> Error {
    let name = shown(function);
    match TRACER.refusal(start) {
        Some(reason) => Error::UnusableStub(Refusal::new(name, reason)),
        None => Error::NoStub { name },
    }
}

/// A function given as a hexadecimal address.
fn address(function: &str) -> Option<u64> {
    u64::from_str_radix(function.strip_prefix("0x")?, 16).ok()
}
