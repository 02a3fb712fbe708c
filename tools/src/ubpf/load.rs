//! Programs of every form of file: flat ones, packages, and objects, which are packed first.

use crate::{kernel, pack, read_bytes, refused, Failure, LARGEST};
use std::{ffi::OsStr, sync::Arc};
use ubpf_embed::files::shown;
use ubpf_pack::{CoreTypes, Options};
use ubpf_rs::{
    helpers::Registry,
    maps::{Map, Maps},
    object::{self, Externs, MapEntry, Object, ProgramKind},
    platform::no_pause,
    program::{Abi, Program},
    verifier::Context,
};

/// What a file holds.
pub struct File {
    pub programs: Vec<Loaded>,
    /// The maps that its programs share.
    pub maps: Option<Arc<Maps>>,
    /// What maps hold at first.
    pub entries: Vec<MapEntry>,
}

impl File {
    /// The program of this name, or the only one.
    pub fn one(&self, name: Option<&str>) -> Result<&Loaded, String> {
        let names = || {
            let names: Vec<&str> = self.programs.iter().map(|one| one.program.name.as_str()).collect();
            names.join(", ")
        };
        match (name, self.programs.as_slice()) {
            (None, [one]) => Ok(one),
            (None, _) => Err(format!("which program? -p NAME says it; there are {}", names())),
            (Some(name), all) => {
                let found = all.iter().find(|one| one.program.name == name);
                found.ok_or_else(|| format!("there is no program {name}; there are {}", names()))
            }
        }
    }
}

/// A program of a file.
pub struct Loaded {
    pub program: Program,
    /// What it is given.
    pub context: Context,
    pub kind: ProgramKind,
    pub section: String,
    /// What is missing where, for messages.
    missing: Vec<(usize, String)>,
}

impl Loaded {
    /// What the verifier says, with what is missing by name.
    pub fn explain(&self, error: &ubpf_rs::verifier::VerifyError) -> String {
        use ubpf_rs::verifier::VerifyError::Missing;
        match error {
            Missing { pc } => match self.missing.iter().find(|missing| missing.0 == *pc) {
                Some((_, what)) => format!("PC {pc} needs {what}"),
                None => error.to_string(),
            },
            error => error.to_string(),
        }
    }
}

/// How files are read.
pub struct How<'h> {
    /// Numbering of helpers; of objects and packages their own, unless this is given.
    pub abi: Option<Abi>,
    pub types: CoreTypes,
    /// What stands before the reason why a flat program is refused.
    pub refused: &'static str,
    pub helpers: &'h Registry,
}

/// Reads a file.
pub fn load(path: &OsStr, how: &How<'_>) -> Result<File, Failure> {
    let bytes = read_bytes(path, LARGEST)?;
    let as_a_kernel = ubpf_pack::is_object(&bytes) && how.types == CoreTypes::Own;
    let package = if ubpf_pack::is_object(&bytes) {
        let name = ubpf_pack::object_name(path.as_ref());
        pack::package(path, &bytes, &Options { name, abi: how.abi, types: how.types, ..Options::default() })?
    } else if object::is_package(&bytes) {
        bytes
    } else {
        let program = Program::from_flat(&shown(path.as_ref()), &bytes, how.abi.unwrap_or(Abi::Classic));
        let program = program.map_err(|error| refused(&format_args!("{}{error}", how.refused)))?;
        let context = Context::default();
        let kind = ProgramKind::Memory;
        let one = Loaded { program, context, kind, section: ".text".into(), missing: Vec::new() };
        return Ok(File { programs: vec![one], maps: None, entries: Vec::new() });
    };
    let mut object =
        Object::parse(&package).map_err(|error| refused(&format_args!("{}: {error}", shown(path.as_ref()))))?;
    if as_a_kernel {
        kernel::make_maps(&mut object);
    }
    of_object(&object, how).map_err(|reason| refused(&format_args!("{}: {reason}", shown(path.as_ref()))))
}

fn of_object(object: &Object<'_>, how: &How<'_>) -> Result<File, String> {
    let maps = (0..object.map_count()).map(|slot| map(object, slot).map(Arc::new));
    let maps = maps.collect::<Result<Vec<Arc<Map>>, String>>()?;
    let maps = Maps::new(maps).ok_or("too many maps")?;
    let names = HostNames { helpers: how.helpers };
    let mut programs = Vec::new();
    for (index, def) in object.programs.iter().enumerate() {
        let program = object.lower(index, &names, &mut no_pause).map_err(|error| error.to_string())?;
        let missing = (0..program.insns.len()).filter_map(|pc| Some((pc, object.missing(index, pc)?.to_string())));
        let context = Context::of(def.kind);
        let (kind, section) = (def.kind, def.section.into());
        programs.push(Loaded { missing: missing.collect(), program, context, kind, section });
    }
    Ok(File { programs, maps: Some(Arc::new(maps)), entries: object.entries.clone() })
}

fn map(object: &Object<'_>, slot: usize) -> Result<Map, String> {
    let def = object.definition(slot).map_err(|error| error.to_string())?;
    let made = |error: ubpf_rs::maps::MapError| format!("map {}: {error}", object.map_name(slot).unwrap_or("?"));
    let mut map = Map::new(def).map_err(made)?;
    if !object.contents(slot).is_empty() {
        map.fill(0, object.contents(slot)).map_err(made)?;
    }
    if object.is_frozen(slot) {
        map.freeze().map_err(made)?;
    }
    Ok(map)
}

/// The host has helpers, and no symbols.
struct HostNames<'r> {
    helpers: &'r Registry,
}

impl Externs for HostNames<'_> {
    fn helper(&self, abi: Abi, name: &str) -> Option<u32> {
        self.helpers.number(abi, name)
    }
    fn has_helper(&self, abi: Abi, number: u32) -> bool {
        self.helpers.get(abi, number).is_some()
    }
    fn symbol(&self, _name: &str) -> Option<u64> {
        None
    }
}
