//! Objects: the programs and maps of a package, loaded together. One instance of an object is there at a time; it goes with the last
//! program of it that is attached, unless it was loaded to stay.

use super::{
    copy,
    maps::{Before, Fresh, Types},
    programs::Loaded,
    room_for, Error, LoadOptions, MapPart, Refusal, Runtime,
};
use crate::{
    isa::Insn,
    maps::InUse,
    object::{self, Externs, LowerError, Object, ObjectError, ProgramKind, Variable, Wish},
    platform::SMALL_THINGS_THAT_STAY,
    program::{Abi, PointKind, Program},
    tracer::{AtSite, AttachOptions, Point, Site, SiteKind},
    verifier::{Context, Policy, VerifyError},
    vm::Executable,
};
use alloc::{
    format,
    string::{String, ToString},
    sync::{Arc, Weak},
    vec::Vec,
};

/// An object that is loaded.
pub(super) struct Instance {
    name: String,
    source: [u8; object::ID_BYTES],
    licence: String,
    parts: Vec<ObjectPart>,
}

/// A program of it.
struct ObjectPart {
    section: String,
    attach: Option<PointKind>,
    target: String,
    /// Bytes behind the beginning of the function.
    offset: u64,
    loaded: Loaded,
}

/// A program that is to be attached to a function, or to those that a pattern fits.
pub(super) struct Wanted {
    /// What it is called.
    pub program: String,
    pub pattern: String,
    pub loaded: Loaded,
}

/// A program of an object, as it is listed.
#[derive(Clone, Copy, Debug)]
pub struct ObjectProgram<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its section, as it was written.
    pub section: &'a str,
    /// Its instructions, by slots, as they were verified: what it needs of the image is in them.
    pub insns: &'a [Insn],
    /// Bytes of its machine code, where it has some.
    pub machine_code: Option<usize>,
    /// How many of its memory accesses are proved, and how many are checked when they happen.
    pub accesses: (usize, usize),
    /// The licence of its object.
    pub licence: &'a str,
    /// Why it cannot be attached.
    pub refusal: Option<&'static str>,
}

/// Objects by name.
#[derive(Default)]
pub(super) struct Objects {
    list: Vec<KnownObject>,
}

struct KnownObject {
    instance: Weak<Instance>,
    /// It is to stay.
    kept: Option<Arc<Instance>>,
}

impl Objects {
    fn find(&self, name: &str) -> Option<Arc<Instance>> {
        let mut all = self.list.iter().filter_map(|known| known.instance.upgrade());
        all.find(|instance| instance.name == name)
    }

    fn add(&mut self, instance: &Arc<Instance>) -> Result<(), Error> {
        self.list.retain(|known| known.instance.strong_count() > 0);
        if self.find(&instance.name).is_some() {
            return Err(Error::Busy { command: "another command that loads this object" });
        }
        self.list.try_reserve(1).map_err(|_| Error::NoMemory)?;
        self.list.push(KnownObject { instance: Arc::downgrade(instance), kept: None });
        Ok(())
    }

    /// Puts an object into the place of another one, to stay if that was to. Gives whether it was; exchanged once more, all is as before.
    pub(super) fn exchange(&mut self, old: &Arc<Instance>, new: &Arc<Instance>) -> Result<bool, Error> {
        if old.name != new.name && self.find(&new.name).is_some() {
            return Err(Error::Object { reason: format!("there is an object {} already", new.name) });
        }
        let known = self.list.iter_mut().find(|known| known.instance.as_ptr() == Arc::as_ptr(old));
        let known = known.ok_or(Error::Busy { command: "another command that changes this object" })?;
        let stays = known.kept.is_some();
        *known = KnownObject { instance: Arc::downgrade(new), kept: stays.then(|| new.clone()) };
        Ok(stays)
    }

    /// Lets all of them go; to be dropped without the lock.
    pub(super) fn take(&mut self) -> Option<Arc<Instance>> {
        self.list.iter_mut().find_map(|known| known.kept.take())
    }
}

impl ObjectPart {
    /// What it is attached to, or why nothing can call it by itself.
    fn point(&self) -> Result<AtSite, &'static str> {
        match self.loaded.kind {
            ProgramKind::Unfired | ProgramKind::Tracepoint | ProgramKind::Words => {
                Err("nothing in a unikernel fires programs of its section")
            }
            ProgramKind::Xdp | ProgramKind::Classifier | ProgramKind::Socket => {
                Err("it is given packets, and nothing hands packets to programs")
            }
            ProgramKind::Sample => Point::of(PointKind::Timer, self.offset),
            ProgramKind::Memory | ProgramKind::Registers | ProgramKind::Arguments => {
                Point::of(self.attach.unwrap_or(PointKind::Entry), self.offset)
            }
        }
    }
}

impl Instance {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What keeps its maps in use.
    pub(super) fn maps(&self) -> Option<&Arc<InUse>> {
        self.parts.first()?.loaded.maps.as_ref()
    }

    /// The names of its programs.
    pub(super) fn program_names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| part.loaded.name.as_str())
    }

    /// Which of its programs takes the place of one of the object before it: that of the same name, or the only one of the only one.
    pub(super) fn successor(&self, before: &Instance, code: &Arc<dyn Executable>) -> Result<&str, Error> {
        let has_code = |part: &&ObjectPart| core::ptr::addr_eq(Arc::as_ptr(&part.loaded.code), Arc::as_ptr(code));
        let name = before.parts.iter().find(has_code).map_or("?", |part| &part.loaded.name);
        let next = match (self.parts.as_slice(), before.parts.len()) {
            ([only], 1) => Some(only),
            (all, _) => all.iter().find(|part| part.loaded.name == name),
        };
        let none = || format!("the new object has no program {name}, which is attached: detach it first");
        next.map(|part| part.loaded.name.as_str()).ok_or_else(|| Error::Object { reason: none() })
    }

    /// The program of this name, or the only one, as `path` calls it.
    pub(super) fn pick(self: &Arc<Self>, path: &str, program: Option<&str>) -> Result<Loaded, Error> {
        let part = match (program, self.parts.as_slice()) {
            (None, [one]) => Some(one),
            (Some(name), all) => all.iter().find(|part| part.loaded.name == name),
            (None, _) => None,
        };
        let part = part.ok_or_else(|| self.which(path, program))?;
        let mut loaded = part.loaded.clone();
        loaded.name = match self.parts.len() {
            1 => path.to_string(),
            _ => format!("{path}:{}", part.loaded.name),
        };
        loaded.point = part.point();
        loaded.says_where = part.attach.is_some();
        loaded.object = Some(self.clone());
        Ok(loaded)
    }

    /// Its programs with the functions that they want to be attached to. One that nothing can call is an error; one that names no function is
    /// left to who runs it or attaches it by name.
    pub(super) fn wanted(self: &Arc<Self>, path: &str) -> Result<Vec<Wanted>, Error> {
        let mut wanted = Vec::new();
        for part in &self.parts {
            super::room_for_small_things()?;
            let loaded = self.pick(path, Some(&part.loaded.name))?;
            if let Err(reason) = loaded.point {
                return Err(Error::NotAttachable(Refusal::new(loaded.name, reason)));
            }
            if part.attach.is_none() || part.target.is_empty() {
                continue;
            }
            wanted.try_reserve(1).map_err(|_| Error::NoMemory)?;
            wanted.push(Wanted { program: copy(&part.loaded.name)?, pattern: copy(&part.target)?, loaded });
        }
        Ok(wanted)
    }

    fn which(&self, path: &str, wanted: Option<&str>) -> Error {
        let mut names = String::new();
        for part in &self.parts {
            if !names.is_empty() {
                names.push_str(", ");
            }
            names.push_str(&part.loaded.name);
            if names.len() > LISTED {
                names.push_str(" ...");
                break;
            }
        }
        let reason = match wanted {
            Some(name) => format!("{path} has no program {name}; it has {names}"),
            None => format!("{path} has several programs, -p says which: {names}"),
        };
        Error::Object { reason }
    }
}

/// Names in a message, in bytes.
const LISTED: usize = 200;

impl Runtime {
    /// Loads the programs of a package, or takes those that are there of the same one, and keeps them. `values` are numbers of its data
    /// that are set before anything is verified: names and numbers. Gives the object's name.
    pub fn load_object(&self, path: &str, options: &LoadOptions<'_>, values: &[(&str, &str)]) -> Result<String, Error> {
        super::room_for_small_things()?;
        let bytes = self.read_programs(path)?;
        if !object::is_package(&bytes) {
            return Err(no_package(path));
        }
        let instance = self.object(&bytes, options, values)?;
        room_for(SMALL_THINGS_THAT_STAY)?;
        let name = copy(&instance.name)?;
        let mut objects = self.objects.lock();
        let place = objects.list.iter_mut().find(|known| known.instance.as_ptr() == Arc::as_ptr(&instance));
        if let Some(known) = place {
            known.kept = Some(instance);
        }
        Ok(name)
    }

    /// Lets a loaded object go; what is attached of it stays until it is detached. False where none of this name was loaded to stay.
    pub fn unload_object(&self, name: &str) -> bool {
        let mut objects = self.objects.lock();
        let known = objects.list.iter_mut().find(|known| known.kept.as_ref().is_some_and(|kept| kept.name == name));
        let kept = known.and_then(|known| known.kept.take());
        // Freed with no lock held.
        drop(objects);
        kept.is_some()
    }

    /// Shows the programs of the objects there are, from place `first` on (0 is the start), until `visit` says false: the object's name,
    /// whether it is to stay, and its program. Gives the place at which to go on, that of the one it refused if it did; `None` at the end.
    pub fn object_programs(
        &self,
        first: usize,
        visit: &mut dyn FnMut(&str, bool, ObjectProgram<'_>) -> bool,
    ) -> Option<usize> {
        let objects = self.objects.lock();
        let mut at = 0usize;
        for known in &objects.list {
            let Some(instance) = known.instance.upgrade() else { continue };
            for part in &instance.parts {
                at += 1;
                if at <= first {
                    continue;
                }
                let verified = part.loaded.code.verified();
                let program = ObjectProgram {
                    name: &part.loaded.name,
                    section: &part.section,
                    insns: &verified.program().insns,
                    machine_code: part.loaded.code.machine_code(),
                    accesses: verified.accesses(),
                    licence: &instance.licence,
                    refusal: part.point().err(),
                };
                if !visit(&instance.name, known.kept.is_some(), program) {
                    return Some(at - 1);
                }
            }
        }
        None
    }

    /// The object of this name, or that of the package in the file.
    pub(super) fn object_of(&self, path: &str, options: &LoadOptions<'_>) -> Result<Arc<Instance>, Error> {
        if let Some(known) = self.known_object(path) {
            return Ok(known);
        }
        let bytes = self.read_programs(path)?;
        match object::is_package(&bytes) {
            true => self.object(&bytes, options, &[]),
            false => Err(no_package(path)),
        }
    }

    /// The object of this name, if it is there.
    pub(super) fn known_object(&self, name: &str) -> Option<Arc<Instance>> {
        match object::TAKEN {
            true => self.objects.lock().find(name),
            false => None,
        }
    }

    /// The object of a package: the one that is there, or a new one, which is there as a whole or not at all.
    pub(super) fn object(
        &self,
        bytes: &[u8],
        options: &LoadOptions<'_>,
        values: &[(&str, &str)],
    ) -> Result<Arc<Instance>, Error> {
        packages_are_taken()?;
        let object = self.parsed(bytes, options)?;
        if let Some(known) = self.known_object(object.name) {
            return match known.source == object.source && values.is_empty() {
                true => Ok(known),
                false => Err(Error::Object {
                    reason: format!(
                        "there is an object {} already, of another file or with other values: unload it, and detach its programs, first",
                        object.name
                    ),
                }),
            };
        }
        let MadeObject { instance, fresh, types } = self.make_object(&object, options, values, &Before::default())?;
        self.objects.lock().add(&instance)?;
        self.publish_maps(fresh, &types)?;
        Ok(instance)
    }

    /// What is read of a package, if it is for this image.
    pub(super) fn parsed<'b>(&self, bytes: &'b [u8], options: &LoadOptions<'_>) -> Result<Object<'b>, Error> {
        let mut pace = self.pace();
        let mut object = Object::parse_in_pieces(bytes, &mut || pace.point()).map_err(refused_object)?;
        super::room_for_small_things()?;
        self.fits_image(&object)?;
        object.abi = options.abi.unwrap_or(object.abi);
        Ok(object)
    }

    /// Makes the object of a package, which nobody sees yet; with maps of the one that was there before.
    pub(super) fn make_object(
        &self,
        object: &Object<'_>,
        options: &LoadOptions<'_>,
        values: &[(&str, &str)],
        before: &Before,
    ) -> Result<MadeObject, Error> {
        let set = set_values(object, values)?;
        let maps = parts(object, &set)?;
        for part in set.iter().filter_map(|(slot, _)| maps.get(*slot)) {
            if before.keeps_contents(part)? {
                let reason = format!(
                    "the variables of {} keep their values: change them with `map update`",
                    part.def.name.as_str()
                );
                return Err(Error::Object { reason });
            }
        }
        let mut programs = Vec::new();
        programs.try_reserve_exact(object.programs.len()).map_err(|_| Error::NoMemory)?;
        for index in 0..object.programs.len() {
            programs.push(self.lowered(object, index)?);
        }
        let options = LoadOptions { policy: Some(self.policy_for(object.wish, options)), ..*options };
        let (maps, fresh) = self.make_maps(object.name, &maps, before)?;
        let mut parts = Vec::new();
        parts.try_reserve_exact(programs.len()).map_err(|_| Error::NoMemory)?;
        for (index, program) in programs.into_iter().enumerate() {
            super::room_for_small_things()?;
            let context = context_of(object, index);
            let loaded = self.prepare_with(program, maps.clone(), context, &options);
            parts.push(part(object, index, loaded.map_err(|error| explained(object, index, error))?)?);
        }
        if let Some(maps) = &maps {
            self.hold_entries(&object.entries, maps, &fresh, &|index, map| {
                let part = parts.get(index as usize).ok_or(Error::NoMemory)?;
                part.loaded.callee_of(map, Some(object.name))
            })?;
        }
        let types = types_of(object)?;
        room_for(SMALL_THINGS_THAT_STAY)?;
        let (name, licence) = (copy(object.name)?, copy(object.licence)?);
        let instance = Arc::new(Instance { name, source: object.source, licence, parts });
        Ok(MadeObject { instance, fresh, types })
    }

    /// A package that was made with the types of one image is for no other.
    fn fits_image(&self, object: &Object<'_>) -> Result<(), Error> {
        let own = self.image_id.get().map_or(&[][..], |id| &id[..]);
        let is_own = !own.is_empty() && object.image.starts_with(own);
        match object.image.iter().all(|&byte| byte == 0) || is_own {
            true => Ok(()),
            false => Err(Error::Object {
                reason: "the package was made for another image: make it again for this one".into(),
            }),
        }
    }

    /// The author's wish makes a policy stricter, and never weaker.
    fn policy_for(&self, wish: Wish, options: &LoadOptions<'_>) -> Policy {
        let own = options.policy.unwrap_or(self.config.policy);
        match (wish, own) {
            (Wish::Strict, _) => Policy::Strict,
            (Wish::Guarded, Policy::Checked) => Policy::Guarded,
            (_, own) => own,
        }
    }

    fn lowered(&self, object: &Object<'_>, index: usize) -> Result<Program, Error> {
        let mut pace = self.pace();
        let names = ImageNames { runtime: self };
        object.lower(index, &names, &mut || pace.point()).map_err(|error| match error {
            LowerError::NoMemory => Error::NoMemory,
            LowerError::Cancelled => Error::Cancelled,
            error => Error::Object { reason: error.to_string() },
        })
    }
}

/// An object that nobody sees yet, with those of its maps that nobody knows yet.
pub(super) struct MadeObject {
    pub(super) instance: Arc<Instance>,
    pub(super) fresh: Fresh,
    pub(super) types: Types,
}

pub(super) fn no_package(path: &str) -> Error {
    let reason =
        format!("{path} is no package: make one with `ubpf pack FILE.o -o FILE.pkg`, or send it with `ushell --put`");
    Error::Object { reason }
}

/// Refuses packages in an image that takes none.
#[inline]
pub(super) fn packages_are_taken() -> Result<(), Error> {
    match object::TAKEN {
        true => Ok(()),
        false => Err(Error::Object {
            reason: "this image takes flat programs only: make one with `ubpf flat FILE.o -o FILE.bin`, or build it with packages".into(),
        }),
    }
}

fn refused_object(error: ObjectError) -> Error {
    match error {
        ObjectError::NoMemory => Error::NoMemory,
        ObjectError::Cancelled => Error::Cancelled,
        error => Error::Object { reason: error.to_string() },
    }
}

/// A refusal with the program's name, and what is missing by its name.
fn explained(object: &Object<'_>, index: usize, error: Error) -> Error {
    let program = object.programs.get(index).map_or("?", |program| program.name);
    let reason = match error {
        Error::Verify(error) => match *error {
            VerifyError::Missing { pc } => match object.missing(index, pc) {
                Some(missing) => format!("PC {pc} needs {missing}"),
                None => error.to_string(),
            },
            error => error.to_string(),
        },
        Error::NotCompiled { .. } => error.to_string(),
        other => return other,
    };
    Error::Object { reason: format!("{program}: {reason}") }
}

fn part(object: &Object<'_>, index: usize, mut loaded: Loaded) -> Result<ObjectPart, Error> {
    let def = object.programs.get(index).ok_or(Error::NoMemory)?;
    loaded.kind = def.kind;
    loaded.claim_programs()?;
    let (section, target) = (copy(def.section)?, copy(def.target)?);
    Ok(ObjectPart { section, attach: def.attach, target, offset: def.offset, loaded })
}

fn context_of(object: &Object<'_>, index: usize) -> Context {
    object.programs.get(index).map_or(Context::default(), |program| Context::of(program.kind))
}

/// A data section with numbers set in it, by its place.
type Set = (usize, Vec<u8>);

fn parts<'o>(object: &Object<'o>, set: &'o [Set]) -> Result<Vec<MapPart<'o>>, Error> {
    let mut parts = Vec::new();
    parts.try_reserve_exact(object.map_count()).map_err(|_| Error::NoMemory)?;
    for slot in 0..object.map_count() {
        let def = object.definition(slot).map_err(|error| Error::Object { reason: error.to_string() })?;
        let changed = set.iter().find(|(place, _)| *place == slot);
        let contents = changed.map_or(object.contents(slot), |(_, bytes)| bytes);
        let shared = object.maps.get(slot).is_some_and(|map| map.shared);
        parts.push(MapPart { def, contents, shared });
    }
    Ok(parts)
}

/// The types that stay with its maps.
fn types_of(object: &Object<'_>) -> Result<Types, Error> {
    if object.types.is_empty() {
        return Ok(None);
    }
    let mut types = Vec::new();
    types.try_reserve_exact(object.types.len()).map_err(|_| Error::NoMemory)?;
    types.extend_from_slice(object.types);
    Ok(Some(Arc::new(types)))
}

/// The data sections in which numbers are set.
fn set_values(object: &Object<'_>, values: &[(&str, &str)]) -> Result<Vec<Set>, Error> {
    let mut sets: Vec<Set> = Vec::new();
    for &(name, text) in values {
        let wrong = |why: &str| Error::Object { reason: format!("{name}={text}: {why}") };
        let (slot, variable) = object.variable(name).ok_or_else(|| wrong("the object has no such variable"))?;
        let bits = number(text, variable).ok_or_else(|| wrong("this is no number that the variable can hold"))?;
        if !sets.iter().any(|(place, _)| *place == slot) {
            sets.push((slot, whole(object, slot)?));
        }
        let size = variable.size as usize;
        for (_, bytes) in sets.iter_mut().filter(|(place, _)| *place == slot) {
            let place = bytes.get_mut(variable.offset as usize..).and_then(|rest| rest.get_mut(..size));
            if let (Some(place), Some(from)) = (place, bits.to_le_bytes().get(..size)) {
                place.copy_from_slice(from);
            }
        }
    }
    Ok(sets)
}

/// All bytes of a data section.
fn whole(object: &Object<'_>, slot: usize) -> Result<Vec<u8>, Error> {
    let size = object.data_at(slot).map_or(0, |data| data.size as usize);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| Error::NoMemory)?;
    bytes.extend_from_slice(object.contents(slot));
    bytes.resize(size, 0);
    Ok(bytes)
}

/// The bits of a number, decimal or `0x…`, with a sign if the variable has one.
fn number(text: &str, variable: &Variable<'_>) -> Option<u64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let number = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    let number = number.ok().filter(|_| !digits.starts_with('+'))?;
    let bits = 8 * variable.size;
    let most = u64::MAX >> (64 - bits);
    match (negative, variable.signed) {
        (false, false) => (number <= most).then_some(number),
        (false, true) => (number <= most >> 1).then_some(number),
        (true, true) => (number <= (most >> 1) + 1).then_some(number.wrapping_neg()),
        (true, false) => None,
    }
}

/// Names, as this image has them.
struct ImageNames<'r> {
    runtime: &'r Runtime,
}

impl Externs for ImageNames<'_> {
    fn helper(&self, abi: Abi, name: &str) -> Option<u32> {
        self.runtime.helpers.lock().number(abi, name)
    }
    fn has_helper(&self, abi: Abi, number: u32) -> bool {
        self.runtime.helpers.lock().get(abi, number).is_some()
    }
    fn symbol(&self, name: &str) -> Option<u64> {
        self.runtime.symbol_address(name)
    }
}

/// Whether a program, attached so, is for the returns of functions.
pub(super) fn is_at_return(loaded: &Loaded, limits: &AttachOptions) -> bool {
    let nowhere = Site { addr: 0, kind: SiteKind::Patchable };
    limits.at_return || loaded.point.is_ok_and(|at| at(nowhere).is_return())
}

/// What a program is attached to at a site, if it is attached so; or why it cannot be.
pub(super) fn point(loaded: &Loaded, site: Site, limits: &AttachOptions) -> Result<Point, &'static str> {
    let point = loaded.point?(site);
    match (site.kind, point) {
        (SiteKind::Timer, _) if limits.at_return => return Err("a timer has no returns"),
        (SiteKind::Timer, Point::Timer(_)) => return Ok(point),
        // A flat program is given the address of what was interrupted.
        (SiteKind::Timer, _) if loaded.kind == ProgramKind::Memory && !loaded.says_where => {
            return Ok(Point::Timer(site))
        }
        (SiteKind::Timer, _) => return Err("it is for a function, and this is a timer"),
        (_, Point::Timer(_)) => return Err("it is for a timer: attach it to profile:HZ, or to interval:ms:N"),
        _ => {}
    }
    let point = match limits.at_return && !point.is_return() {
        true if loaded.says_where => return Err("its section says that it is for the entry of a function"),
        true => Point::Return(site),
        false => point,
    };
    let refused = match point.is_return() {
        false => without_registers(site.kind).filter(|_| loaded.needs_registers()),
        true if loaded.kind == ProgramKind::Arguments && loaded.needs_registers() && limits.arguments.is_none() => Some(
            "it looks at arguments and result as an array, and where in it the result is depends on how many arguments the function has: say it with --args",
        ),
        true => None,
    };
    refused.map_or(Ok(point), Err)
}

/// Why a program that looks at registers cannot run at such a site.
fn without_registers(kind: SiteKind) -> Option<&'static str> {
    match kind {
        SiteKind::Instrumented => Some(
            "it looks at registers, which are gone where -finstrument-functions calls: compile the function with -fpatchable-function-entry=5",
        ),
        SiteKind::Patchable | SiteKind::Mcount | SiteKind::Timer => None,
    }
}
