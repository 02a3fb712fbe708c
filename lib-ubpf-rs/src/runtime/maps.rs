//! Maps of objects: made and found by name, all or none, and gone with the last program that has them unless somebody keeps them.

use super::{
    code, copied, copy, programs::Loaded, refused, room_for, room_for_small_things, shown, Error, LoadOptions,
    ProgramId, Refusal, Runtime,
};
use crate::{
    maps::{self, Bytes, Held, HeldProgram, InUse, Kept, Map, MapError, Maps},
    object::MapEntry,
    program::{
        limits::{MAX_MAPS, MAX_MAPS_OF_MAPS, MAX_MAP_MEMORY},
        MapDef, MapKind, MapName, Program,
    },
    verifier::{self, Context, Environment, Work},
    vm::Callee,
};
use alloc::{
    format,
    string::String,
    sync::{Arc, Weak},
    vec::Vec,
};

/// A map of an object that is loaded.
#[derive(Clone, Copy, Debug)]
pub struct MapPart<'a> {
    /// What it is; its name is that within the object.
    pub def: MapDef,
    /// What its values hold at first, one behind the other; zeros where that ends. A map of which programs only read its one value is
    /// never changed afterwards, so its contents decide what programs do.
    pub contents: &'a [u8],
    /// Whether objects that define a map of this name share one; else its name is that of the object and its own, with a dot between.
    pub shared: bool,
}

/// What there is of maps by name.
#[derive(Default)]
pub(super) struct MapTable {
    entries: Vec<Named>,
}

struct Named {
    name: String,
    map: Weak<Map>,
    /// Somebody wants it to stay.
    kept: Option<Kept>,
    /// The types of its object, for who shows it.
    types: Types,
}

/// Types that nobody here looks into, where there are any.
pub(super) type Types = Option<Arc<Vec<u8>>>;

impl MapTable {
    fn find(&self, name: &str) -> Option<Arc<Map>> {
        self.entries.iter().find(|entry| entry.name == name)?.map.upgrade()
    }

    /// Bytes of all maps that there are.
    fn memory(&self) -> u64 {
        let maps = self.entries.iter().filter_map(|entry| entry.map.upgrade());
        maps.map(|map| Map::memory(map.def())).fold(0, u64::saturating_add)
    }

    /// What is to be changed for an object that takes the place of another one, and the maps that are new by their names: those of
    /// `maps` that `before` had go on.
    fn changes(
        &self,
        (object, maps): (&str, &[Arc<Map>]),
        before: &Before,
        fresh: Fresh,
        types: &Types,
    ) -> Result<(Vec<NameChange>, Fresh), Error> {
        let (mut changes, mut added) = (Vec::new(), Fresh::new());
        changes.try_reserve_exact(maps.len()).map_err(|_| Error::NoMemory)?;
        added.try_reserve_exact(fresh.len()).map_err(|_| Error::NoMemory)?;
        let mut kept = Fresh::new();
        kept.try_reserve_exact(before.maps.len()).map_err(|_| Error::NoMemory)?;
        for map in maps.iter().filter(|map| before.has(map)) {
            kept.push((named(object, map.def().name.as_str()).ok_or(Error::NoMemory)?, map.clone()));
        }
        for (name, map) in kept.into_iter().chain(fresh) {
            let of_name = self.entries.iter().find(|entry| entry.name == name && entry.map.strong_count() > 0);
            if of_name.and_then(|entry| entry.map.upgrade()).is_some_and(|known| !before.has(&known)) {
                return Err(Error::MapExists { name });
            }
            let goes_on =
                before.has(&map).then(|| self.entries.iter().find(|entry| entry.map.as_ptr() == Arc::as_ptr(&map)));
            match goes_on.flatten().or(of_name) {
                Some(now) => {
                    let kept = now.kept.is_some().then(|| Kept::new(map.clone()));
                    let entry = Named { name, map: Arc::downgrade(&map), kept, types: types.clone() };
                    changes.push(NameChange { of: now.map.clone(), entry });
                }
                None => added.push((name, map)),
            }
        }
        Ok((changes, added))
    }

    /// Exchanges what names stand for with what they are to stand for; once more, and all is as before.
    fn exchange(&mut self, changes: &mut [NameChange]) {
        for change in changes {
            let entry = self.entries.iter_mut().find(|entry| entry.map.ptr_eq(&change.of));
            if let Some(entry) = entry {
                core::mem::swap(entry, &mut change.entry);
                change.of = entry.map.clone();
            }
        }
    }

    /// Takes in maps that are not in it. There is room for all, or nothing is changed.
    fn add(&mut self, maps: Vec<(String, Arc<Map>)>, types: &Types) -> Result<(), Error> {
        self.entries.retain(|entry| entry.map.strong_count() > 0);
        self.entries.try_reserve(maps.len()).map_err(|_| Error::NoMemory)?;
        for (name, map) in maps {
            self.entries.push(Named { name, map: Arc::downgrade(&map), kept: None, types: types.clone() });
        }
        Ok(())
    }
}

/// The maps of an object of which another one takes the place, and whether each is shared by name.
#[derive(Default)]
pub(super) struct Before {
    maps: Vec<(Arc<Map>, bool)>,
}

impl Before {
    /// Whether a map is one that the object has to itself.
    fn has(&self, map: &Arc<Map>) -> bool {
        self.maps.iter().any(|(own, shared)| !shared && Arc::ptr_eq(own, map))
    }

    /// The map that goes on as this one of the new object. Constants and programs are those of the new object.
    fn keeps(&self, part: &MapPart<'_>) -> Result<Option<Arc<Map>>, Error> {
        let MapPart { def, shared, .. } = part;
        let Some((map, was_shared)) = self.maps.iter().find(|(map, _)| map.def().name == def.name) else {
            return Ok(None);
        };
        let is_constant = |def: &MapDef| def.has_one_value() && !def.is_writable_by_programs();
        let is_new = |def: &MapDef| is_constant(def) || def.kind == MapKind::ProgArray;
        if is_new(def) && is_new(map.def()) {
            return Ok(None);
        }
        match difference(map.def(), def, (*was_shared, *shared)) {
            None => Ok((!shared).then(|| map.clone())),
            Some((what, was, is)) => {
                let name = def.name.as_str();
                let reason = format!("map {name} cannot be kept: {what} {was} before and {is} now; unload the object and load the new one");
                Err(Error::Object { reason })
            }
        }
    }

    /// Whether the contents of a data section are those of the object before.
    pub(super) fn keeps_contents(&self, part: &MapPart<'_>) -> Result<bool, Error> {
        Ok(self.keeps(part)?.is_some())
    }
}

/// The first thing in which two definitions of a map differ, whatever it is called.
fn difference(a: &MapDef, b: &MapDef, shared: (bool, bool)) -> Option<(&'static str, u32, u32)> {
    let all = [
        ("its kind was", (a.kind.number(), b.kind.number())),
        ("its keys had (bytes)", (a.key_size, b.key_size)),
        ("its values had (bytes)", (a.value_size, b.value_size)),
        ("its entries were", (a.max_entries, b.max_entries)),
        ("its flags were", (a.flags.bits(), b.flags.bits())),
        ("shared by name it was", (shared.0.into(), shared.1.into())),
    ];
    let different = all.into_iter().find(|(_, (a, b))| a != b);
    let inner = || (!agree(a, b)).then_some(("the maps in it were as defined", (0, 1)));
    different.or_else(inner).map(|(what, (a, b))| (what, a, b))
}

/// What a name is to stand for, and the map that it stands for now.
pub(super) struct NameChange {
    of: Weak<Map>,
    entry: Named,
}

/// Programs that are ready, and maps that nobody else knows yet.
pub(super) struct Parts {
    pub(super) loaded: Vec<Loaded>,
    fresh: Fresh,
}

/// Maps that nobody else knows yet, by name.
pub(super) type Fresh = Vec<(String, Arc<Map>)>;

impl Runtime {
    /// Loads the programs of an object with its maps, which their instructions name by their place in `maps`: all of them, or nothing.
    /// Gives the programs' ids in their order.
    pub fn load_parts(
        &self,
        object: &str,
        maps: &[MapPart<'_>],
        programs: Vec<Program>,
        options: &LoadOptions,
    ) -> Result<Vec<ProgramId>, Error> {
        let parts = self.prepare_parts(object, maps, programs, options)?;
        self.keep_parts(parts)
    }

    /// Does what [`load_parts`](Self::load_parts) does, and keeps nothing.
    pub fn check_parts(
        &self,
        object: &str,
        maps: &[MapPart<'_>],
        programs: Vec<Program>,
        options: &LoadOptions,
    ) -> Result<(), Error> {
        self.prepare_parts(object, maps, programs, options).map(drop)
    }

    /// Makes what [`load_parts`](Self::load_parts) loads; nobody sees it yet.
    pub(super) fn prepare_parts(
        &self,
        object: &str,
        maps: &[MapPart<'_>],
        programs: Vec<Program>,
        options: &LoadOptions,
    ) -> Result<Parts, Error> {
        let (maps, fresh) = self.make_maps(object, maps, &Before::default())?;
        let mut loaded = Vec::new();
        loaded.try_reserve_exact(programs.len()).map_err(|_| Error::NoMemory)?;
        for program in programs {
            let one = self.prepare_with(program, maps.clone(), Context::default(), options)?;
            one.claim_programs()?;
            loaded.push(one);
        }
        Ok(Parts { loaded, fresh })
    }

    /// Lets all see it, or nobody.
    pub(super) fn keep_parts(&self, parts: Parts) -> Result<Vec<ProgramId>, Error> {
        let mut ids = Vec::new();
        ids.try_reserve_exact(parts.loaded.len()).map_err(|_| Error::NoMemory)?;
        self.publish_maps(parts.fresh, &None)?;
        for loaded in parts.loaded {
            match self.keep(loaded) {
                Ok(id) => ids.push(id),
                Err(error) => {
                    for id in ids {
                        _ = self.unload(id);
                    }
                    return Err(error);
                }
            }
        }
        Ok(ids)
    }

    /// The maps of an object of which another one is to take the place.
    pub(super) fn maps_before(&self, maps: Option<&Arc<InUse>>) -> Result<Before, Error> {
        let (mut before, table) = (Before::default(), self.maps.lock());
        for map in maps.into_iter().flat_map(|maps| maps.list()) {
            let entry = table.entries.iter().find(|entry| entry.map.as_ptr() == Arc::as_ptr(map));
            let shared = entry.is_some_and(|entry| entry.name == map.def().name.as_str());
            before.maps.try_reserve(1).map_err(|_| Error::NoMemory)?;
            before.maps.push((map.clone(), shared));
        }
        Ok(before)
    }

    /// Gives names to the maps of an object that takes the place of another one; what is given [takes that back](Self::exchange_maps).
    pub(super) fn rename_maps(
        &self,
        object: (&str, &[Arc<Map>]),
        before: &Before,
        fresh: Fresh,
        types: &Types,
    ) -> Result<Vec<NameChange>, Error> {
        let mut table = self.maps.lock();
        let (mut changes, added) = table.changes(object, before, fresh, types)?;
        table.add(added, types)?;
        table.exchange(&mut changes);
        Ok(changes)
    }

    /// Takes back what [`rename_maps`](Self::rename_maps) did.
    pub(super) fn exchange_maps(&self, changes: &mut [NameChange]) {
        self.maps.lock().exchange(changes);
    }

    pub(super) fn publish_maps(&self, fresh: Fresh, types: &Types) -> Result<(), Error> {
        let mut table = self.maps.lock();
        // Somebody may have been quicker.
        if let Some((name, _)) = fresh.iter().find(|(name, _)| table.find(name).is_some()) {
            return Err(Error::MapExists { name: copy(name)? });
        }
        table.add(fresh, types)
    }

    /// One program of an object.
    pub(super) fn prepare_with(
        &self,
        program: Program,
        maps: Option<Arc<InUse>>,
        context: Context,
        options: &LoadOptions,
    ) -> Result<Loaded, Error> {
        let policy = options.policy.unwrap_or(self.config.policy);
        let helpers = *self.helpers.lock();
        let name = copy(&program.name)?;
        let mut pace = self.pace();
        let mut pause = || pace.point();
        let mut work = Work::with_pause(Work::LIMIT, super::WORK_SLICE, &mut pause);
        let infos = match &maps {
            Some(maps) => maps.infos().ok_or(Error::NoMemory)?,
            None => Vec::new(),
        };
        let environment = Environment { context, ..Environment::new(helpers).with_maps(&infos) };
        let verified = verifier::verify(program, policy, &environment, &mut work).map_err(refused)?;
        room_for_small_things()?;
        let platform = &self.services.platform;
        let own = maps.as_ref().map(|maps| maps.maps());
        let made = code::make(verified, own, options.engine, code::Use::Often, platform, &mut work)?;
        self.note_fallback(made.fallback);
        self.with_its_map(Loaded::new(name, made.code, helpers, made.fallback, maps))
    }

    /// The maps of an object by their place, and those of them that are new.
    pub(super) fn make_maps(
        &self,
        object: &str,
        parts: &[MapPart<'_>],
        before: &Before,
    ) -> Result<(Option<Arc<InUse>>, Fresh), Error> {
        if parts.is_empty() {
            return Ok((None, Vec::new()));
        }
        let count = parts.len();
        if count > MAX_MAPS {
            return Err(Error::TooManyMaps { count });
        }
        let holders = parts.iter().filter(|part| part.def.kind.holds_maps()).count();
        if holders > MAX_MAPS_OF_MAPS {
            let reason = format!("the object has {holders} maps that hold maps, more than {MAX_MAPS_OF_MAPS}");
            return Err(Error::Object { reason });
        }
        self.have_room(parts, before)?;
        let mut pace = self.pace();
        let (mut list, mut fresh) = (Vec::new(), Vec::new());
        list.try_reserve_exact(parts.len()).map_err(|_| Error::NoMemory)?;
        fresh.try_reserve_exact(parts.len()).map_err(|_| Error::NoMemory)?;
        for part in parts {
            let name = full_name(object, part).ok_or(Error::NoMemory)?;
            if fresh.iter().any(|(other, _): &(String, _)| *other == name) {
                return Err(Error::MapExists { name });
            }
            let known = self.maps.lock().find(&name).filter(|map| !before.has(map));
            let map = match before.keeps(part)?.or(known) {
                Some(map) if before.has(&map) => map,
                Some(map) if part.shared && agree(map.def(), &part.def) => map,
                Some(_) => return Err(Error::MapExists { name }),
                None => {
                    let map = make_map(part, &mut || pace.go_on()).map_err(|error| refused_map(&part.def, error))?;
                    let map = Arc::new(map);
                    fresh.push((name, map.clone()));
                    map
                }
            };
            list.push(map);
        }
        let maps = Maps::new(list).ok_or(Error::NoMemory)?;
        Ok((Some(Arc::new(InUse::new(Arc::new(maps)))), fresh))
    }

    /// Whether there is memory for all of them, before any of it is taken.
    fn have_room(&self, parts: &[MapPart<'_>], before: &Before) -> Result<(), Error> {
        for part in parts {
            part.def.check().map_err(|error| refused_map(&part.def, MapError::Definition(error)))?;
        }
        let mut bytes = 0u64;
        for part in parts {
            if before.keeps(part)?.is_none() {
                bytes = bytes.saturating_add(Map::memory(&part.def));
            }
        }
        let all = bytes.saturating_add(self.maps.lock().memory());
        if all > MAX_MAP_MEMORY {
            return Err(Error::MapMemory { bytes, most: MAX_MAP_MEMORY });
        }
        room_for(usize::try_from(bytes).map_err(|_| Error::NoMemory)?)
    }

    /// The map of this name.
    pub fn map(&self, name: &str) -> Option<Arc<Map>> {
        self.maps.lock().find(name)
    }

    /// Puts the map or the program called `what` under a key of the map called `name`, which holds maps or programs. Runs that have found what
    /// was there go on with that, and it is given back when they are over. A program is called `OBJECT:PROGRAM`, or `PROGRAM` where it is of
    /// the map's own object.
    pub fn hold(&self, name: &str, key: &[u8], what: &str) -> Result<(), Error> {
        room_for_small_things()?;
        let holder = self.existing_map(name)?;
        let (held, _loaded) = match holder.def().kind {
            MapKind::ProgArray => {
                let (program, loaded) = self.callee(name, what, &holder)?;
                (Held::Program(program), Some(loaded))
            }
            _ => (Held::Map(self.existing_map(what)?), None),
        };
        self.put(&holder, key, held)
    }

    /// Puts a loaded program under a key of a map that holds programs, as [`hold`](Self::hold) does.
    pub fn hold_program(&self, name: &str, key: &[u8], id: ProgramId) -> Result<(), Error> {
        room_for_small_things()?;
        let holder = self.existing_map(name)?;
        let loaded = self.programs.lock().get(id)?;
        let held = Held::Program(loaded.callee_of(&holder, None)?);
        self.put(&holder, key, held)
    }

    /// Puts something under a key of a map that holds such, and waits until no run uses what was there before.
    fn put(&self, holder: &Map, key: &[u8], held: Held) -> Result<(), Error> {
        let put = holder.hold(Bytes::from(key), held, maps::update::ANY);
        put.map_err(|error| refused_map(holder.def(), error))?;
        // Who uses it for longer than that is not waited for.
        self.pace().wait_until(RUNS_END_NS, || holder.settle());
        Ok(())
    }

    /// The map of this name, or an error that says that there is none.
    fn existing_map(&self, name: &str) -> Result<Arc<Map>, Error> {
        self.map(name).ok_or_else(|| Error::NoMap { name: shown(name) })
    }

    /// The program that is called `what` beside a map, and what keeps its maps in use: until it is in the map, which may be one of them, and would
    /// never let go of it if that were unloaded meanwhile.
    fn callee(&self, map: &str, what: &str, holder: &Map) -> Result<(HeldProgram, Loaded), Error> {
        let (object, program) = match what.rsplit_once(':') {
            Some((object, program)) => (self.known_object(object), Some(program)),
            // Names of objects may have dots in them.
            None => match map.match_indices('.').find_map(|(dot, _)| self.known_object(map.get(..dot)?)) {
                Some(object) => (Some(object), Some(what)),
                None => (self.known_object(what), None),
            },
        };
        let none = || Error::Object { reason: format!("there is no program {}: load its object first", shown(what)) };
        let object = object.ok_or_else(none)?;
        let loaded = object.pick(object.name(), program)?;
        Ok((loaded.callee_of(holder, Some(object.name()))?, loaded))
    }

    /// The name of what a map holds under a key, where it holds maps or programs.
    pub fn held_name(&self, holder: &Map, key: &[u8]) -> Option<String> {
        let held = match holder.held(Bytes::from(key))? {
            Held::Map(held) => held,
            Held::Program(program) => return copied(&program.downcast_ref::<Callee>()?.name),
        };
        let table = self.maps.lock();
        let entry = table.entries.iter().find(|entry| entry.map.as_ptr() == Arc::as_ptr(&held));
        copied(entry.map_or(held.def().name.as_str(), |entry| &entry.name))
    }

    /// Puts into the maps of an object what it says that they hold at first; those that were there before have it already.
    pub(super) fn hold_entries(
        &self,
        entries: &[MapEntry],
        maps: &Maps,
        fresh: &Fresh,
        program: &dyn Fn(u32, &Map) -> Result<HeldProgram, Error>,
    ) -> Result<(), Error> {
        let mut pace = self.pace();
        for entry in entries {
            pace.point()?;
            let holder = u16::try_from(entry.map).ok().and_then(|slot| maps.get(slot));
            let Some(holder) = holder.filter(|holder| fresh.iter().any(|(_, map)| Arc::ptr_eq(map, holder))) else {
                continue;
            };
            let mut failed = None;
            let mut callee = |index| match program(index, holder) {
                Ok(program) => Some(program),
                Err(error) => {
                    failed = Some(error);
                    None
                }
            };
            let put = maps.hold(entry, &mut callee);
            failed.map_or(Ok(()), Err)?;
            put.map_err(|error| refused_map(holder.def(), error))?;
        }
        Ok(())
    }

    /// The types that came with the object of this map, of keys, values and variables, as its package has them; nothing where there are none.
    pub fn map_types(&self, name: &str) -> Option<Arc<Vec<u8>>> {
        let table = self.maps.lock();
        let entry = table.entries.iter().find(|entry| entry.name == name && entry.map.strong_count() > 0)?;
        entry.types.clone()
    }

    /// Shows the maps there are, with whether somebody keeps each, from place `first` on (0 is the start), until `visit` says false; gives
    /// the place at which to go on, that of the map it refused if it did, and `None` at the end.
    pub fn maps(&self, first: usize, visit: &mut dyn FnMut(&str, &Map, bool) -> bool) -> Option<usize> {
        let table = self.maps.lock();
        for (at, entry) in table.entries.iter().enumerate().skip(first) {
            if let Some(map) = entry.map.upgrade() {
                if !visit(&entry.name, &map, entry.kept.is_some()) {
                    return Some(at);
                }
            }
        }
        None
    }

    /// Keeps a map when its last program goes, or no longer; false where there is none of this name.
    pub fn keep_map(&self, name: &str, keep: bool) -> bool {
        let mut table = self.maps.lock();
        let Some(entry) = table.entries.iter_mut().find(|entry| entry.name == name) else { return false };
        let map = entry.map.upgrade();
        let found = map.is_some();
        let before = core::mem::replace(&mut entry.kept, map.filter(|_| keep).map(Kept::new));
        // What is given back is given back without the lock.
        drop(table);
        drop(before);
        found
    }

    /// Ends what other threads were doing to maps, in a process in which they are not.
    pub(super) fn maps_after_fork(&self) {
        maps::after_fork();
        // Somebody who is not there may have been at work on the table: then it is left as it is.
        let Some(table) = self.maps.try_lock() else { return };
        for map in table.entries.iter().filter_map(|entry| entry.map.upgrade()) {
            map.after_fork();
        }
    }
}

/// `OBJECT.MAP`, or the map's own name where objects share it.
fn full_name(object: &str, part: &MapPart<'_>) -> Option<String> {
    let own = part.def.name;
    match part.shared {
        true => copied(own.as_str()),
        false => named(object, own.as_str()),
    }
}

fn named(object: &str, own: &str) -> Option<String> {
    let mut name = String::new();
    name.try_reserve_exact(object.len().checked_add(own.len())?.checked_add(1)?).ok()?;
    name.push_str(object);
    name.push('.');
    name.push_str(own);
    Some(name)
}

/// How long runs are waited for that may use what a map held.
pub(super) const RUNS_END_NS: u64 = 100_000_000;

/// Bytes of contents that are copied at once.
const PIECE: usize = 4096;

/// Whether two definitions are of the same map, whatever it is called.
fn agree(a: &MapDef, b: &MapDef) -> bool {
    let unnamed = |def: &MapDef, name: MapName| MapDef { name, ..*def };
    unnamed(a, b.name) == *b
}

fn make_map(part: &MapPart<'_>, between: &mut dyn FnMut()) -> Result<Map, MapError> {
    let mut map = Map::new_in_pieces(part.def, between)?;
    for (number, piece) in part.contents.chunks(PIECE).enumerate() {
        map.fill(number.saturating_mul(PIECE), piece)?;
        between();
    }
    if part.def.has_one_value() && !part.def.is_writable_by_programs() {
        map.freeze()?;
    }
    Ok(map)
}

fn refused_map(def: &MapDef, error: MapError) -> Error {
    match error {
        MapError::NoMemory => Error::NoMemory,
        error => Error::Map(Refusal::new(def.name.as_str().into(), error)),
    }
}
