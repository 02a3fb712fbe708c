//! Programs of tools: from the object that was built in to the package that goes to an image.

use std::iter::repeat_n;
use ubpf_pack::Options;
use ubpf_rs::{
    object::{self, Function, Object, ProgramDef, Slot},
    program::{MapKind, PointKind},
};

include!(concat!(env!("OUT_DIR"), "/objects.rs"));

/// What is wanted of an object.
#[derive(Clone, Copy)]
pub struct Wanted<'w> {
    /// Its name.
    pub programs: &'w str,
    /// Its numbers that are set, by name.
    pub values: &'w [(&'static str, String)],
    /// The functions, or patterns, at which each of its programs is to be.
    pub targets: &'w [String],
    /// Most entries of its hashes that are declared to have one.
    pub entries: Option<u32>,
}

/// The package of an object.
pub fn package(wanted: &Wanted<'_>) -> Result<Vec<u8>, String> {
    let Wanted { programs: name, values, targets, entries } = *wanted;
    let objects = OBJECTS.map_err(|reason| {
        format!("this ushell was built without the programs of its tools ({reason}): install clang, and build it again")
    })?;
    let found = objects.iter().find(|(known, _)| *known == name);
    let (_, bytes) = found.ok_or_else(|| format!("there are no programs {name} in this ushell"))?;
    let values = values.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    let packed = ubpf_pack::pack(bytes, &Options { name: name.into(), values, ..Options::default() })?;
    let mut object = Object::parse(&packed).map_err(|error| error.to_string())?;
    let hash = MapKind::Hash.number();
    for map in object.maps.iter_mut().filter(|map| (map.kind, map.max_entries) == (hash, 1)) {
        map.max_entries = entries.unwrap_or(1);
    }
    at(object, targets)
}

/// The package of an object with each of its programs at each of these functions: they share its maps. A program whose section does not
/// say where in a function it belongs is for the return.
fn at(object: Object<'_>, targets: &[String]) -> Result<Vec<u8>, String> {
    let count = object.programs.len();
    let names: Vec<String> = (0..targets.len())
        .flat_map(|copy| object.programs.iter().map(move |program| named(program.name, copy)))
        .collect();
    let programs = object.programs.iter().cycle();
    let targets = targets.iter().flat_map(|target| repeat_n(target, count));
    let programs: Vec<ProgramDef<'_>> = names
        .iter()
        .zip(targets)
        .zip(programs)
        .map(|((name, target), program)| {
            let attach = program.attach.or(Some(PointKind::Return));
            ProgramDef { name, target, attach, ..*program }
        })
        .collect();
    let copies = (0..programs.len()).step_by(count.max(1)).map(|first| first as u32);
    let slots = copies.clone().flat_map(|first| {
        object.slots.iter().map(move |slot| Slot { program: first.saturating_add(slot.program), ..*slot })
    });
    let functions = copies.flat_map(|first| {
        object.functions.iter().map(move |one| Function { program: first.saturating_add(one.program), ..*one })
    });
    let (slots, functions) = (slots.collect(), functions.collect());
    let object = Object { programs, slots, functions, ..object.clone() };
    object::write(&object).map_err(|error| format!("so many patterns, or such, do not go into a package: {error}"))
}

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
        let function = |program, name| Function { program, start: 0, name };
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
            programs: vec![program("a"), program("b")],
            slots: vec![],
            functions: vec![function(0, "a"), function(1, "b")],
            types: &[],
        };
        let package = at(object.clone(), &["x*".into(), "y".into()]).unwrap();
        let read = Object::parse(&package).unwrap();
        let programs: Vec<_> = read.programs.iter().map(|program| (program.name, program.target)).collect();
        assert_eq!(programs, [("a", "x*"), ("b", "x*"), ("a.1", "y"), ("b.1", "y")]);
        let functions: Vec<_> = read.functions.iter().map(|function| (function.program, function.name)).collect();
        assert_eq!(functions, [(0, "a"), (1, "b"), (2, "a"), (3, "b")]);
        assert!(at(object, &["x".repeat(300)]).is_err());
    }

    #[test]
    fn every_tool_has_its_programs() {
        let Ok(objects) = OBJECTS else { return };
        for (name, _) in objects {
            let wanted = Wanted { programs: name, values: &[], targets: &["myfun".into()], entries: Some(7) };
            let package = package(&wanted).unwrap();
            let programs = Object::parse(&package).unwrap().programs;
            assert!(programs.iter().all(|program| program.target == "myfun" && program.attach.is_some()), "{name}");
        }
    }
}
