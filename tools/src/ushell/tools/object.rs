//! Programs of tools: from the object that was built in to the package that goes to an image.

use ubpf_pack::Options;
use ubpf_rs::{
    object::{self, FunctionName, Object, ProgramDef, Relocation},
    program::PointKind,
};

include!(concat!(env!("OUT_DIR"), "/objects.rs"));

/// What is wanted of an object.
#[derive(Clone, Copy, Default)]
pub struct Wanted<'w> {
    /// Its name.
    pub programs: &'w str,
    /// Its numbers that are set, by name.
    pub values: &'w [(&'static str, String)],
    /// The functions, or patterns, at which each of its programs is to be.
    pub targets: &'w [String],
    /// Programs with the functions, or patterns, at which each is to be; where there are such, others of the object are left out.
    pub at: &'w [(String, String)],
    /// The function at which its program `first` is to be, and nowhere else.
    pub first: Option<&'w str>,
    /// Entries of those of its arrays that leave it to the tool (`PLACES` in `slots.h`): a power of two, also in its variable `places`.
    pub places: Option<u32>,
    /// Entries of such maps where nothing but the tool knows of them.
    pub entries: Option<u32>,
}

/// The package of an object.
pub fn package(wanted: &Wanted<'_>) -> Result<Vec<u8>, String> {
    let Wanted { programs: name, values, targets, at: each, first, places, entries } = *wanted;
    let objects = OBJECTS.map_err(|reason| {
        format!("this ushell was built without the programs of its tools ({reason}): install clang, and build it again")
    })?;
    let found = objects.iter().find(|(known, _)| *known == name);
    let (_, bytes) = found.ok_or_else(|| format!("there are no programs {name} in this ushell"))?;
    let mut values: Vec<_> = values.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    values.extend(places.map(|places| ("places".into(), places.to_string())));
    let packed = ubpf_pack::pack(bytes, &Options { name: name.into(), values, ..Options::default() })?;
    let mut object = Object::parse(&packed).map_err(|error| error.to_string())?;
    let left_open = object.maps.iter_mut().filter(|map| map.max_entries == PLACES);
    left_open.for_each(|map| map.max_entries = places.or(entries).unwrap_or(1));
    let mut targets: Vec<ProgramTarget<'_>> =
        targets.iter().map(|target| ProgramTarget { program: None, target }).collect();
    targets.extend(each.iter().map(|(program, target)| ProgramTarget { program: Some(program), target }));
    at(object, &targets, first)
}

/// Where a program is to be, or each of an object.
#[derive(Clone, Copy)]
struct ProgramTarget<'t> {
    program: Option<&'t str>,
    target: &'t str,
}

/// The package of an object with each of its programs at each of these functions: they share its maps. A program whose section does not
/// say where in a function it belongs is for the return.
fn at(object: Object<'_>, targets: &[ProgramTarget<'_>], first: Option<&str>) -> Result<Vec<u8>, String> {
    let everywhere = targets.iter().flat_map(|&ProgramTarget { program, target }| {
        let programs = object.programs.iter().enumerate();
        programs.filter(move |one| program.is_none_or(|name| one.1.name == name)).map(move |one| (one, target))
    });
    let is_first = |program: &ProgramDef<'_>| program.name == FIRST;
    let once = object.programs.iter().enumerate().filter(|(_, program)| is_first(program));
    let once = once.flat_map(|one| first.map(|target| (one, target)));
    // Numbers of programs, the programs, and where they are to be.
    let all: Vec<_> = once.chain(everywhere.filter(|((_, program), _)| !is_first(program))).collect();
    let names: Vec<String> =
        all.iter().enumerate().map(|(copy, ((_, program), _))| named(program.name, copy)).collect();
    let (mut programs, mut slots, mut functions) = (Vec::new(), Vec::new(), Vec::new());
    for ((((number, program), target), name), copy) in all.into_iter().zip(&names).zip(0u32..) {
        let elsewhere = match program.kind {
            object::ProgramKind::Sample => PointKind::Timer,
            _ => PointKind::Return,
        };
        let attach = program.attach.or(Some(elsewhere));
        programs.push(ProgramDef { name, target, attach, ..*program });
        let own = object.slots.iter().filter(|slot| slot.program as usize == number);
        slots.extend(own.map(|slot| Relocation { program: copy, ..*slot }));
        let own = object.functions.iter().filter(|one| one.program as usize == number);
        functions.extend(own.map(|one| FunctionName { program: copy, ..*one }));
    }
    let object = Object { programs, slots, functions, ..object.clone() };
    object::write(&object).map_err(|error| format!("so many patterns, or such, do not go into a package: {error}"))
}

/// Entries of an array of which the tool says how many there are.
const PLACES: u32 = 1 << 20;

/// Places for so many keys, with as many left that most keys are near where they are looked for.
pub fn places(keys: usize) -> u32 {
    u32::try_from(keys.max(4)).ok().and_then(|keys| (keys + keys / 2).checked_next_power_of_two()).unwrap_or(PLACES)
}

/// The program that is at one function alone.
const FIRST: &str = "first";

/// Programs of one object have different names.
fn named(program: &str, copy: usize) -> String {
    match copy {
        0 => program.into(),
        copy => format!("{program}.{copy}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_is_at_each_function() {
        let insns = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]].concat();
        let program = |name| ProgramDef {
            name,
            section: "kprobe.multi",
            kind: object::ProgramKind::Registers,
            attach: Some(PointKind::Entry),
            target: "",
            offset: 0,
            code: &insns,
        };
        let function = |program, name| FunctionName { program, start: 0, name };
        let object = Object {
            name: "o",
            abi: ubpf_rs::program::Abi::Linux,
            wish: object::Wish::None,
            image: [0; 32],
            source: [0; 32],
            licence: "",
            maps: vec![],
            entries: vec![],
            data: vec![],
            variables: vec![],
            programs: vec![program("first"), program("b")],
            slots: vec![],
            functions: vec![function(0, "first"), function(1, "b")],
            types: &[],
        };
        let each = |target| ProgramTarget { program: None, target };
        let package = at(object.clone(), &["x*", "y"].map(each), Some("z")).unwrap();
        let read = Object::parse(&package).unwrap();
        let programs: Vec<_> = read.programs.iter().map(|program| (program.name, program.target)).collect();
        assert_eq!(programs, [("first", "z"), ("b.1", "x*"), ("b.2", "y")]);
        let functions: Vec<_> = read.functions.iter().map(|function| (function.program, function.name)).collect();
        assert_eq!(functions, [(0, "first"), (1, "b"), (2, "b")]);
        let package = at(object.clone(), &[ProgramTarget { program: Some("b"), target: "y" }], None).unwrap();
        assert_eq!(Object::parse(&package).unwrap().programs.len(), 1);
        assert!(at(object, &[each(&"x".repeat(300))], None).is_err());
    }

    #[test]
    fn every_tool_has_its_programs() {
        let Ok(objects) = OBJECTS else { return };
        for (name, _) in objects {
            let wanted =
                Wanted { programs: name, targets: &["myfun".into()], first: Some("myfun"), ..Wanted::default() };
            let package = package(&wanted).unwrap();
            let programs = Object::parse(&package).unwrap().programs;
            assert!(!programs.is_empty());
            assert!(programs.iter().all(|program| program.target == "myfun" && program.attach.is_some()), "{name}");
        }
    }
}
