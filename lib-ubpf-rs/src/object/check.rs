//! What the parts of an object say of each other, and of instructions.

use super::{
    error::malformed, format::section, Malformed, MapContent, Object, ObjectError, ProgramDef, Relocation, SlotNeed,
    MAX_MAPS,
};
use crate::{
    isa::RawInsn,
    platform::{Cancelled, Pause},
    program::{
        limits::PIECE,
        planted::{self, Bug},
        MAX_INSNS,
    },
};

/// Gives where a section begins.
type Begin<'b> = &'b dyn Fn(u16) -> usize;

/// Source fields of a wide load.
mod wide {
    pub const NUMBER: u8 = 0;
    pub const CODE: u8 = 4;
    pub const MAP: u8 = 5;
    pub const DATA: u8 = 6;
}
const WIDE_LOAD: u8 = 0x18;
const CALL: u8 = 0x85;
/// Loads, and the part of an opcode that says how much.
const LOAD: u8 = 0x61;
const LOAD_SIGNED: u8 = 0x81;
const SIZE: u8 = 0x18;
const LOCAL: u8 = 1;

pub(super) fn check(object: &Object<'_>, begin: Begin<'_>, pause: &mut Pause<'_>) -> Result<(), ObjectError> {
    let at = |kind| move |what| malformed(begin(kind), what);
    maps(object).map_err(at(section::MAPS))?;
    let names = || object.maps.iter().map(|map| map.name);
    distinct(names, "maps", pause)?.map_err(at(section::MAPS))?;
    let names = || object.data.iter().map(|data| data.name);
    distinct(names, "data sections", pause)?.map_err(at(section::DATA))?;
    variables(object).map_err(at(section::VARIABLES))?;
    entries(object).map_err(at(section::ENTRIES))?;
    let names = || object.programs.iter().map(|program| program.name);
    distinct(names, "programs", pause)?.map_err(at(section::PROGRAMS))?;
    order(object.slots.iter().map(|slot| (slot.program, slot.pc)), "slot").map_err(at(section::SLOTS))?;
    let starts = object.functions.iter().map(|f| (f.program, f.start));
    order(starts, "function").map_err(at(section::FUNCTIONS))?;
    programs(object, begin, pause)
}

fn maps(object: &Object<'_>) -> Result<(), Malformed> {
    if object.maps.len().saturating_add(object.data.len()) > MAX_MAPS {
        return Err(Malformed::TooMany { what: "maps and data sections", limit: MAX_MAPS });
    }
    let count = object.maps.len();
    for map in &object.maps {
        if map.inner.is_some_and(|inner| inner as usize >= count) {
            return Err(Malformed::Outside("map within a map"));
        }
    }
    Ok(())
}

/// Of one name there is one. The lists are short.
fn distinct<'n, I: Iterator<Item = &'n str>>(
    names: impl Fn() -> I,
    what: &'static str,
    pause: &mut Pause<'_>,
) -> Result<Result<(), Malformed>, Cancelled> {
    for (at, name) in names().enumerate() {
        pause()?;
        if names().take(at).any(|before| before == name) && !planted::active(Bug::TwoOfOneName) {
            return Ok(Err(Malformed::Twice(what)));
        }
    }
    Ok(Ok(()))
}

fn variables(object: &Object<'_>) -> Result<(), Malformed> {
    for variable in &object.variables {
        let data = object.data.get(variable.data as usize);
        let end = variable.offset.checked_add(variable.size);
        let within = data.zip(end).is_some_and(|(data, end)| end <= data.size);
        if !within || !matches!(variable.size, 1 | 2 | 4 | 8) {
            return Err(Malformed::Outside("variable"));
        }
    }
    Ok(())
}

fn entries(object: &Object<'_>) -> Result<(), Malformed> {
    for entry in &object.entries {
        let map = object.maps.get(entry.map as usize);
        let has_room = map.is_some_and(|map| entry.key < map.max_entries || planted::active(Bug::KeyBeyond));
        let exists = match entry.value {
            MapContent::Map(index) => object.maps.get(index as usize).is_some(),
            MapContent::Program(index) => object.programs.get(index as usize).is_some(),
        };
        if !has_room || !exists {
            return Err(Malformed::Outside("entry of a map"));
        }
    }
    Ok(())
}

fn order(places: impl Iterator<Item = (u32, u32)> + Clone, what: &'static str) -> Result<(), Malformed> {
    match places.clone().zip(places.skip(1)).all(|(a, b)| a < b) {
        true => Ok(()),
        false => Err(Malformed::Order(what)),
    }
}

fn programs(object: &Object<'_>, begin: Begin<'_>, pause: &mut Pause<'_>) -> Result<(), ObjectError> {
    let mut slots = object.slots.as_slice();
    let mut functions = object.functions.as_slice();
    for (index, program) in (0..).zip(&object.programs) {
        let own = slots.partition_point(|slot| slot.program == index);
        let (these, rest) = slots.split_at_checked(own).unwrap_or((slots, &[]));
        slots = rest;
        let own = functions.partition_point(|function| function.program == index);
        let (starts, rest) = functions.split_at_checked(own).unwrap_or((functions, &[]));
        functions = rest;
        let mut starts = starts.iter().map(|function| function.start);
        let begin = begin(section::PROGRAMS);
        let mut walk = CodeWalk { object, program, slots: these, begin };
        walk.run(&mut starts, pause)?;
    }
    if !slots.is_empty() {
        return Err(malformed(begin(section::SLOTS), Malformed::Outside("slot")));
    }
    if !functions.is_empty() {
        let what = Malformed::Outside("name of a function");
        return Err(malformed(begin(section::FUNCTIONS), what));
    }
    Ok(())
}

/// A way through the instructions of a program.
struct CodeWalk<'o, 'a> {
    object: &'o Object<'a>,
    program: &'o ProgramDef<'a>,
    /// Those of the program that are still to come.
    slots: &'o [Relocation<'a>],
    begin: usize,
}

impl CodeWalk<'_, '_> {
    fn run(&mut self, starts: &mut dyn Iterator<Item = u32>, pause: &mut Pause<'_>) -> Result<(), ObjectError> {
        let (insns, rest) = self.program.code.as_chunks::<8>();
        if !rest.is_empty() || insns.is_empty() {
            let what = "a program is no whole number of instructions";
            return Err(malformed(self.begin, Malformed::Instruction(what)));
        }
        if insns.len() > MAX_INSNS {
            let (what, limit) = ("instructions of a program", MAX_INSNS);
            return Err(malformed(self.begin, Malformed::TooMany { what, limit }));
        }
        let mut start = starts.next();
        let mut all = (0u32..).zip(insns);
        let mut looked = 0usize;
        while let Some((pc, insn)) = all.next() {
            if looked.is_multiple_of(PIECE) {
                pause()?;
            }
            looked = looked.wrapping_add(1);
            let insn = RawInsn::from_bytes(*insn);
            let second = match insn.opcode {
                WIDE_LOAD => all.next().map(|(_, second)| RawInsn::from_bytes(*second)),
                _ => None,
            };
            let checked = self.insn(pc, insn, second, insns.len());
            checked.map_err(|what| malformed(self.begin, what))?;
            if start == Some(pc) {
                start = starts.next();
            }
        }
        if start.is_some() || !self.slots.is_empty() {
            let what = "there is none at this place, or only the second half of one";
            return Err(malformed(self.begin, Malformed::Claim(what)));
        }
        Ok(())
    }

    fn insn(&mut self, pc: u32, insn: RawInsn, second: Option<RawInsn>, len: usize) -> Result<(), Malformed> {
        if insn.opcode == WIDE_LOAD {
            // A half one is found when it is decoded.
            let offset = second.map_or(0, |second| second.imm as u32);
            self.wide_load(insn, offset, (pc, len))?;
        }
        match self.slots.split_first() {
            Some((slot, rest)) if slot.pc == pc => {
                self.slots = rest;
                slot_fits(slot.need, insn)
            }
            _ => Ok(()),
        }
    }

    fn wide_load(&self, insn: RawInsn, offset: u32, place: (u32, usize)) -> Result<(), Malformed> {
        let index = insn.imm as u32 as usize;
        let maps = self.object.maps.len();
        let fits = match insn.src {
            wide::NUMBER => true,
            wide::MAP => (index < maps || planted::active(Bug::MapBeyond)) && offset == 0,
            wide::DATA => {
                let data = self.object.data_at(index);
                data.is_some_and(|data| offset < data.size || planted::active(Bug::OffsetBeyond))
            }
            wide::CODE => offset == 0 && self.is_start(insn.imm, place),
            _ => {
                let what = "a wide load of a kind that no package has";
                return Err(Malformed::Instruction(what));
            }
        };
        match fits {
            true => Ok(()),
            false => Err(Malformed::Outside("an instruction")),
        }
    }

    /// Whether there is an instruction so far behind the one at `pc`, and not the second half of one.
    fn is_start(&self, distance: i32, (pc, len): (u32, usize)) -> bool {
        let to = i64::from(pc).checked_add(1).and_then(|next| next.checked_add(i64::from(distance)));
        let to = to.and_then(|to| usize::try_from(to).ok());
        let to = to.filter(|&to| to < len);
        let insn = to.and_then(|to| self.program.code.as_chunks::<8>().0.get(to));
        // A second half begins with 0, and nothing else does.
        insn.and_then(|insn| insn.first()).is_some_and(|&opcode| opcode != 0 || planted::active(Bug::MiddleOfWide))
    }
}

fn slot_fits(need: SlotNeed<'_>, insn: RawInsn) -> Result<(), Malformed> {
    let claim = |fits: bool, what| match fits || planted::active(Bug::AnyInstruction) {
        true => Ok(()),
        false => Err(Malformed::Claim(what)),
    };
    let is_number = insn.opcode == WIDE_LOAD && insn.src == wide::NUMBER;
    match need {
        SlotNeed::Helper(_) => claim(insn.opcode == CALL && insn.src != LOCAL, "no call of a helper"),
        SlotNeed::Symbol(_) | SlotNeed::WeakSymbol(_) => claim(is_number, "no wide load of a number"),
        SlotNeed::Missing(_) => Ok(()),
        SlotNeed::Probing => claim(matches!(insn.opcode & !SIZE, LOAD | LOAD_SIGNED), "no load"),
    }
}
