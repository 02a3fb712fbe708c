//! Programs with all they call, each address in them replaced by what it stands for.

use crate::{
    btf::Btf,
    callbacks::{Caller, CALL_SLOTS},
    core_types::{Change, Core},
    elf::{self, File, Place, Relocation, Symbol},
    error::{refused, text, Error},
    functions::{Functions, SLOT},
    maps::Maps,
    packets,
    section::Wanted,
    slot::{
        between, imm, is_jump, is_load, set_imm, set_off, set_ref, set_src, slot, src, target, Slot, CALL, CALL_LOCAL,
        JUMP, JUMP_UNEQUAL, LOCAL, LONG_JUMP, WIDE_LOAD,
    },
    symbols,
    work::{Put, Steps},
};
use alloc::{borrow::Cow, vec::Vec};
use core::fmt;
use ubpf_rs::{
    object::{self as package, ProgramDef, ProgramKind, SlotNeed, LONGEST_NAME, MAX_DATA_BYTES},
    platform::sort_by_in_pieces,
    program::limits::MAX_INSNS,
};

const CALL_REGISTER: u8 = 0x8d;
const JUMP_REGISTER: u8 = 0x0d;
/// Types of relocations (llvm, `BPF.def`).
const R_64_64: u32 = 1;
const R_64_32: u32 = 10;
/// Source fields of wide loads in a package.
const CODE: u8 = 4;
const MAP: u8 = 5;
const DATA: u8 = 6;
/// What a pointer to the first function is, where programs call through pointers: no address, and no helper's number.
const POINTER: u32 = 0x4000_0000;
/// The section of settings that a kernel would have.
const SETTINGS: &str = ".kconfig";

/// What linking gives.
#[derive(Default)]
pub struct Linked<'a> {
    pub programs: Vec<Program<'a>>,
    pub data: Vec<DataSection<'a>>,
    pub slots: Vec<package::Relocation<'a>>,
    pub names: Vec<package::FunctionName<'a>>,
}

/// A program.
pub struct Program<'a> {
    pub name: &'a str,
    pub section: &'a str,
    pub place: Wanted<'a>,
    code: Vec<Slot>,
}

impl Program<'_> {
    pub fn def(&self) -> ProgramDef<'_> {
        ProgramDef {
            name: self.name,
            section: self.section,
            kind: self.place.kind,
            attach: self.place.attach,
            target: &self.place.target,
            offset: self.place.offset,
            code: self.code.as_flattened(),
        }
    }
}

/// A data section.
pub struct DataSection<'a> {
    pub name: Cow<'a, str>,
    /// The section of the file; `None` for what is made here.
    pub index: Option<usize>,
    pub read_only: bool,
    pub size: u32,
    /// Nothing where all is zero.
    pub bytes: Vec<u8>,
    /// Where each setting stands, in the section of settings.
    pub settings: Vec<(&'a str, u32)>,
}

impl DataSection<'_> {
    pub fn data(&self) -> package::Data<'_> {
        package::Data { name: &self.name, read_only: self.read_only, size: self.size, bytes: &self.bytes }
    }
}

/// What stands for an instruction's address or number.
#[derive(Clone, Copy)]
enum Use<'a> {
    /// A call of a function.
    Call(usize),
    /// The address of a function.
    Address(usize),
    /// A map.
    Map(usize),
    /// A place in a section of the file.
    Data(usize, u32),
    /// A setting of a kernel, by name.
    Setting(&'a str),
    /// Another number, of a type's field.
    Number(u64),
    /// Something that is found when the program is loaded.
    Need(SlotNeed<'a>),
}

/// The uses of all functions.
#[derive(Default)]
struct Uses<'a> {
    /// Of each function those by instruction, ascending.
    list: Vec<(usize, Use<'a>)>,
    /// Where those of each function end.
    ends: Vec<usize>,
}

impl<'a> Uses<'a> {
    fn of(&self, function: usize) -> &[(usize, Use<'a>)] {
        let end = |at: Option<usize>| at.and_then(|at| self.ends.get(at)).copied().unwrap_or(0);
        self.list.get(end(function.checked_sub(1))..end(Some(function))).unwrap_or_default()
    }

    fn at(&self, function: usize, pc: usize) -> Option<Use<'a>> {
        let uses = self.of(function);
        let at = uses.binary_search_by_key(&pc, |one| one.0).ok()?;
        uses.get(at).map(|one| one.1)
    }
}

/// What is read of the object.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    pub file: &'a File<'a>,
    pub maps: &'a Maps<'a>,
    pub functions: &'a Functions<'a>,
    pub core: &'a Core,
    pub btf: &'a Btf<'a>,
}

/// Links all programs of the object.
pub fn link<'a>(reading: Reading<'a>, steps: &mut Steps<'_>) -> Result<Linked<'a>, Error> {
    let (file, functions) = (reading.file, reading.functions);
    let count = functions.list.len();
    let mut uses = Uses::default();
    for at in 0..count {
        reading.uses(at, &mut uses, steps)?;
    }
    let mut called = Vec::new();
    called.grow(count, false)?;
    for at in 0..count {
        for &(_, one) in uses.of(at) {
            let (Use::Call(to) | Use::Address(to)) = one else { continue };
            if let Some(called) = called.get_mut(to).filter(|_| to != at) {
                *called = true;
            }
        }
    }
    let programs = functions.programs(file, &called, steps)?;
    if programs.len() > package::MAX_PROGRAMS {
        return Err(refused!("the object has {} programs (limit {})", programs.len(), package::MAX_PROGRAMS));
    }
    let mut marks = Marks::default();
    for marks in [&mut marks.known, &mut marks.pointed, &mut marks.start] {
        marks.grow(count, 0)?;
    }
    marks.section.grow(file.sections.len(), 0)?;
    let mut linker = Linker { reading, uses: &uses, marks, linked: Linked::default(), steps };
    for (function, place) in programs {
        linker.program(function, place)?;
    }
    Ok(linker.linked)
}

/// An instruction, for messages.
struct At<'a> {
    function: &'a str,
    pc: usize,
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PC {} of {}", self.pc, self.function)
    }
}

impl<'a> Reading<'a> {
    fn uses(&self, at: usize, uses: &mut Uses<'a>, steps: &mut Steps<'_>) -> Result<(), Error> {
        let Some(function) = self.functions.list.get(at) else { return Ok(()) };
        let mut second_half = false;
        for (&slot, pc) in function.code.iter().zip(0usize..) {
            steps.take(1)?;
            // The second half of a wide load is no instruction.
            if core::mem::take(&mut second_half) {
                continue;
            }
            second_half = slot[0] == WIDE_LOAD;
            let address = function.address.saturating_add((pc as u64).saturating_mul(SLOT));
            let place = At { function: &function.name, pc };
            if slot[0] == JUMP_REGISTER {
                return Err(refused!("{place} jumps by a table, which is not supported: compile with -mcpu=v3"));
            }
            let relocation = self.file.relocation(function.section, address);
            let one = match (relocation, self.core.change(function.section, address)) {
                (Some(relocation), _) => self.relocated(&place, slot, relocation, steps)?,
                (None, Some(Change::Number(number))) => Use::Number(*number),
                (None, Some(Change::Missing(text))) => Use::Need(SlotNeed::Missing(text)),
                (None, None) if slot[0] == CALL && src(slot) == LOCAL => {
                    let to = imm(slot).wrapping_add(1).wrapping_mul(SLOT as i64).wrapping_add(address as i64);
                    Use::Call(self.starting_at(&place, function.section, to)?)
                }
                (None, None) => continue,
            };
            uses.list.put((pc, one))?;
        }
        uses.ends.put(uses.list.len())
    }

    fn starting_at(&self, place: &At<'_>, section: usize, address: i64) -> Result<usize, Error> {
        let found = self.functions.at(section, address);
        found.ok_or_else(|| refused!("{place}: it leads to no function of the object"))
    }

    fn relocated(
        &self,
        place: &At<'_>,
        slot: Slot,
        relocation: &Relocation,
        steps: &mut Steps<'_>,
    ) -> Result<Use<'a>, Error> {
        let symbol = self.file.target(relocation).map_err(|error| error.of(format_args!("{place}")))?;
        match (relocation.kind, slot[0]) {
            (R_64_32, CALL) => self.call(place, slot, symbol),
            (R_64_64, WIDE_LOAD) => self.address(place, slot, symbol, steps),
            (kind, opcode) => {
                let name = symbol.name;
                Err(refused!("{place}: a relocation of type {kind} ({name}) for an instruction {opcode:#04x}"))
            }
        }
    }

    fn call(&self, place: &At<'_>, slot: Slot, symbol: &Symbol<'a>) -> Result<Use<'a>, Error> {
        match symbol.place {
            Place::Section(section) => {
                let behind = imm(slot).wrapping_add(1).wrapping_mul(SLOT as i64);
                Ok(Use::Call(self.starting_at(place, section, behind.wrapping_add(symbol.address as i64))?))
            }
            _ if symbol.name.is_empty() => Err(refused!("{place}: it calls what has no name")),
            _ => Ok(Use::Need(SlotNeed::Helper(symbol.name))),
        }
    }

    fn address(
        &self,
        place: &At<'_>,
        slot: Slot,
        symbol: &Symbol<'a>,
        steps: &mut Steps<'_>,
    ) -> Result<Use<'a>, Error> {
        let name = symbol.name;
        let index = match symbol.place {
            Place::Section(index) => index,
            Place::Common => return Err(refused!("{place}: {name} has no section: compile with -fno-common")),
            _ if name.is_empty() => return Err(refused!("{place}: it uses what has no name")),
            _ if self.btf.variable(SETTINGS, name, steps)?.is_some() => return Ok(Use::Setting(name)),
            _ if symbol.weak => return Ok(Use::Need(SlotNeed::WeakSymbol(name))),
            _ => return Ok(Use::Need(SlotNeed::Symbol(name))),
        };
        let section = self.file.sections.get(index).ok_or_else(|| refused!("{place}: {name} is in no section"))?;
        let address = place_of(self.file, symbol, imm(slot));
        if section.executable {
            return Ok(Use::Address(self.starting_at(place, index, address)?));
        }
        if section.name == ".maps" || section.name == "maps" {
            let map = u64::try_from(address).ok().and_then(|address| self.maps.at(index, address));
            let map = map.ok_or_else(|| refused!("{place}: {name} is no map of {}", section.name))?;
            return Ok(Use::Map(map));
        }
        if !section.allocated {
            return Err(refused!("{place}: it uses {name} in {}, which is no data", section.name));
        }
        let offset = u32::try_from(address).ok().filter(|&offset| u64::from(offset) < section.size);
        let offset = offset.ok_or_else(|| {
            refused!("{place}: byte {address:#x} of {} ({name}) is outside of the section", section.name)
        })?;
        Ok(Use::Data(index, offset))
    }
}

/// Where a wide load leads: the symbol, and so far behind it as the instruction says. GNU's assembler counts the symbol's own place in the
/// instruction as well.
fn place_of(file: &File<'_>, symbol: &Symbol<'_>, imm: i64) -> i64 {
    let from = symbol.address as i64;
    let within = (0..=symbol.size as i64).contains(&imm.wrapping_sub(from));
    match file.is_gnu && within {
        true => imm,
        false => from.wrapping_add(imm),
    }
}

struct Linker<'l, 'a, 'p> {
    reading: Reading<'a>,
    uses: &'l Uses<'a>,
    marks: Marks,
    linked: Linked<'a>,
    steps: &'l mut Steps<'p>,
}

/// What is known of functions and sections while a program is made: for which program that is, or a place in it.
#[derive(Default)]
struct Marks {
    known: Vec<u32>,
    pointed: Vec<u32>,
    section: Vec<u32>,
    /// Where a function of the program begins.
    start: Vec<u32>,
}

/// Marks something for a program; whether it was not.
fn mark(marks: &mut [u32], at: usize, program: u32) -> bool {
    marks.get_mut(at).is_some_and(|mark| core::mem::replace(mark, program) != program)
}

/// A program on its way.
#[derive(Default)]
struct Draft<'a> {
    text: Vec<Slot>,
    /// The functions of it, in order.
    functions: Vec<usize>,
    /// Where they begin, those behind them as well, and their names.
    starts: Vec<(usize, Cow<'a, str>)>,
    /// Instructions whose distance to a function is filled in when all begins are known.
    distances: Vec<(usize, usize)>,
    needs: Vec<(usize, SlotNeed<'a>)>,
    /// The functions that a pointer may lead to, where there are calls through pointers, also by helpers.
    pointed: Vec<usize>,
    /// Calls of helpers that call functions.
    callers: Vec<(usize, Caller)>,
}

impl Draft<'_> {
    /// Makes what is given packets of what was compiled for a context; what stands at instructions moves along.
    fn take_packets(&mut self, kind: ProgramKind, steps: &mut Steps<'_>) -> Result<(), Error> {
        packets::rewrite(&mut self.text, &self.starts, kind, steps)?;
        let Self { text, needs, starts, .. } = self;
        needs.retain(|need| need.1 != SlotNeed::Probing || text.get(need.0).is_some_and(|slot| is_load(*slot)));
        let front = packets::FRONT.len();
        text.try_reserve(front)?;
        text.splice(0..0, packets::FRONT);
        needs.iter_mut().for_each(|need| need.0 = need.0.saturating_add(front));
        starts.iter_mut().for_each(|start| start.0 = start.0.saturating_add(front));
        Ok(())
    }
}

impl<'a> Linker<'_, 'a, '_> {
    fn program(&mut self, entry: usize, place: Wanted<'a>) -> Result<(), Error> {
        let Some(function) = self.reading.functions.list.get(entry) else { return Ok(()) };
        let program = self.linked.programs.len() as u32;
        let mut draft = Draft::default();
        self.needed(entry, program.wrapping_add(1), &mut draft)?;
        for at in 0..draft.functions.len() {
            let Some(&function) = draft.functions.get(at) else { break };
            let start = draft.text.len();
            draft.starts.put((start, Cow::Borrowed(self.reading.functions.name(function))))?;
            if let Some(place) = self.marks.start.get_mut(function) {
                *place = start as u32;
            }
            self.function(function, &mut draft)?;
        }
        self.callers(&mut draft)?;
        for &(pc, function) in &draft.distances {
            let start = self.marks.start.get(function).copied().unwrap_or(0) as usize;
            if let Some(slot) = draft.text.get_mut(pc) {
                set_imm(slot, between(pc, start) as u32);
            }
        }
        if place.kind.is_given_packets() {
            draft.take_packets(place.kind, self.steps)?;
        }
        for (pc, need) in draft.needs {
            self.linked.slots.put(package::Relocation { program, pc: pc as u32, need })?;
        }
        for (start, name) in draft.starts {
            // All of them are names of the file, or of helpers.
            let Cow::Borrowed(name) = name else { continue };
            self.linked.names.put(package::FunctionName { program, start: start as u32, name })?;
        }
        let section = self.reading.file.section_name(function.section);
        self.linked.programs.put(Program { name: &function.name, section, place, code: draft.text })
    }

    /// Finds the functions that a program consists of, and those of them that it has pointers to, if it calls through pointers.
    fn needed(&mut self, entry: usize, number: u32, draft: &mut Draft<'a>) -> Result<(), Error> {
        let order = &mut draft.functions;
        mark(&mut self.marks.known, entry, number);
        order.put(entry)?;
        let (mut at, mut slots, mut calls, mut callers) = (0usize, 0usize, 0usize, 0usize);
        let mut held = Vec::new();
        while let Some((&function, code)) =
            order.get(at).and_then(|at| Some((at, self.reading.functions.list.get(*at)?.code)))
        {
            at = at.saturating_add(1);
            slots = slots.saturating_add(code.len());
            self.check_size(entry, slots)?;
            self.steps.take(code.len())?;
            calls = calls.saturating_add(code.iter().filter(|slot| slot[0] == CALL_REGISTER).count());
            let of_helpers = code.iter().enumerate().filter(|(pc, slot)| self.caller(function, *pc, **slot).is_some());
            callers = callers.saturating_add(of_helpers.count());
            for &(_, one) in self.uses.of(function) {
                held.clear();
                match one {
                    Use::Call(to) => held.put((0, to))?,
                    Use::Address(to) => {
                        held.put((0, to))?;
                        if mark(&mut self.marks.pointed, to, number) {
                            draft.pointed.put(to)?;
                        }
                    }
                    Use::Data(section, _) if mark(&mut self.marks.section, section, number) => {
                        self.held(section, &mut held)?;
                        for &(_, to) in &held {
                            if mark(&mut self.marks.pointed, to, number) {
                                draft.pointed.put(to)?;
                            }
                        }
                    }
                    _ => {}
                }
                for &(_, to) in &held {
                    if mark(&mut self.marks.known, to, number) {
                        order.put(to)?;
                    }
                }
            }
        }
        let slots = slots.saturating_add(callers.saturating_mul(Caller::SLOTS));
        let calls = calls.saturating_add(callers);
        let through = CALL_SLOTS.saturating_mul(draft.pointed.len());
        self.check_size(entry, slots.saturating_add(calls.saturating_mul(through)))?;
        if calls == 0 {
            draft.pointed.clear();
        }
        sort_by_in_pieces(&mut draft.pointed, |one, other| one < other, || self.steps.take(1))
    }

    /// Before a program is made that no package can have: what calls through pointers become may be much.
    fn check_size(&self, entry: usize, slots: usize) -> Result<(), Error> {
        match slots > MAX_INSNS {
            true => {
                let name = self.reading.functions.name(entry);
                Err(refused!("{name} has {slots} instructions with all that it calls (limit {MAX_INSNS})"))
            }
            false => Ok(()),
        }
    }

    /// The functions that a data section has pointers to, by place. Pointers to anything else cannot be loaded.
    fn held(&mut self, section: usize, held: &mut Vec<(u64, usize)>) -> Result<(), Error> {
        let (file, functions) = (self.reading.file, self.reading.functions);
        let Some(data) = file.sections.get(section) else { return Ok(()) };
        for relocation in file.relocations_of(section) {
            self.steps.take(1)?;
            let address = relocation.address;
            let symbol = file.target(relocation)?;
            let begin = usize::try_from(address).unwrap_or(usize::MAX);
            let addend = data.bytes.get(begin..).and_then(|rest| rest.first_chunk());
            let addend = addend.map_or(0, |bytes| u64::from_le_bytes(*bytes));
            let target = match symbol.place {
                Place::Section(index) if file.sections.get(index).is_some_and(|section| section.executable) => {
                    functions.at(index, symbol.address.wrapping_add(addend) as i64)
                }
                _ => None,
            };
            let function = target.filter(|_| elf::DATA_64.contains(&relocation.kind)).ok_or_else(|| {
                refused!(
                    "byte {address:#x} of {} holds the address of {}: data that points to data cannot be loaded; use an index, or an array of arrays",
                    data.name,
                    if symbol.name.is_empty() { "other data" } else { symbol.name },
                )
            })?;
            held.put((address, function))?;
        }
        Ok(())
    }

    fn function(&mut self, at: usize, draft: &mut Draft<'a>) -> Result<(), Error> {
        let reading = self.reading;
        let Some(function) = reading.functions.list.get(at) else { return Ok(()) };
        let slots = function.code;
        self.steps.take(slots.len())?;
        let uses = self.uses;
        let is_symbol = |pc| matches!(uses.at(at, pc), Some(Use::Need(SlotNeed::Symbol(_) | SlotNeed::WeakSymbol(_))));
        let mut of_symbols = symbols::loads(slots, is_symbol, self.steps)?.into_iter().peekable();
        let begin = draft.text.len();
        // Where each slot has got to.
        let mut places = Vec::new();
        let mut jumps = Vec::new();
        let mut wide = None;
        for (pc, &slot) in slots.iter().enumerate() {
            let to = draft.text.len();
            places.put(to)?;
            let place = At { function: &function.name, pc };
            if let Some(first) = wide.take() {
                draft.text.put(slot)?;
                self.second_half(uses.at(at, first), draft)?;
                continue;
            }
            wide = (slot[0] == WIDE_LOAD).then_some(pc);
            if slot[0] == CALL_REGISTER && !draft.pointed.is_empty() {
                call_pointer(&place, slot, draft, self.steps)?;
                continue;
            }
            if let Some(caller) = self.caller(at, pc, slot).filter(|_| !draft.pointed.is_empty()) {
                draft.callers.put((to, caller))?;
                draft.text.put(CALL_LOCAL)?;
                continue;
            }
            let mut changed = slot;
            if let Some(one) = uses.at(at, pc) {
                self.used(&place, (&mut changed, to), one, draft)?;
            }
            draft.text.put(changed)?;
            if is_jump(slot) {
                jumps.put((pc, to))?;
            }
            let of_symbol = of_symbols.next_if_eq(&pc).is_some();
            let address = function.address.saturating_add((pc as u64).saturating_mul(SLOT));
            let probes = is_load(slot) && (of_symbol || reading.core.is_field(function.section, address));
            if probes && draft.needs.last().is_none_or(|need| need.0 != to) {
                draft.needs.put((to, SlotNeed::Probing))?;
            }
        }
        places.put(draft.text.len())?;
        if draft.text.len().checked_sub(begin) == Some(slots.len()) {
            return Ok(());
        }
        for (pc, to) in jumps {
            if let Some(slot) = draft.text.get_mut(to) {
                retarget(&At { function: &function.name, pc }, slot, to, &places)?;
            }
        }
        Ok(())
    }

    /// The helper that an instruction calls, if that is one that calls functions.
    fn caller(&self, function: usize, pc: usize, slot: Slot) -> Option<Caller> {
        if slot[0] != CALL {
            return None;
        }
        match self.uses.at(function, pc) {
            Some(Use::Need(SlotNeed::Helper(name))) => Caller::of_name(name),
            None if src(slot) == 0 => Caller::of_number(imm(slot)),
            _ => None,
        }
    }

    /// Puts the functions that such calls become behind all others.
    fn callers(&mut self, draft: &mut Draft<'a>) -> Result<(), Error> {
        for &(pc, caller) in &draft.callers {
            let start = draft.text.len();
            if let Some(slot) = draft.text.get_mut(pc) {
                set_imm(slot, between(pc, start) as u32);
            }
            let mut pointed = draft.pointed.iter();
            let pointers = draft.pointed.iter().map(|&function| pointer(function));
            for slot in caller.code(pointers, &self.reading.maps.list)? {
                self.steps.take(1)?;
                if slot[0] == CALL && src(slot) == LOCAL {
                    if let Some(&function) = pointed.next() {
                        draft.distances.put((draft.text.len(), function))?;
                    }
                }
                draft.text.put(slot)?;
            }
            draft.starts.put((start, Cow::Borrowed(caller.name())))?;
        }
        Ok(())
    }

    /// Puts what stands for an address or a number into the instruction, which gets to place `to`.
    fn used(
        &mut self,
        place: &At<'_>,
        (slot, to): (&mut Slot, usize),
        one: Use<'a>,
        draft: &mut Draft<'a>,
    ) -> Result<(), Error> {
        match one {
            Use::Call(function) => {
                set_src(slot, LOCAL);
                draft.distances.put((to, function))?;
            }
            Use::Address(function) if draft.pointed.is_empty() => {
                set_src(slot, CODE);
                draft.distances.put((to, function))?;
            }
            Use::Address(function) => set_imm(slot, pointer(function)),
            Use::Map(map) => set_ref(slot, MAP, map as u32),
            Use::Data(section, _) => {
                let data = self.data(section)?;
                set_ref(slot, DATA, self.behind_maps(data));
            }
            Use::Setting(name) => {
                let (data, _) = self.setting(name)?;
                set_ref(slot, DATA, self.behind_maps(data));
            }
            Use::Number(number) => set_number(place, slot, number)?,
            Use::Need(need) => {
                if let SlotNeed::Helper(_) = need {
                    set_ref(slot, 0, 0);
                }
                draft.needs.put((to, need))?;
            }
        }
        Ok(())
    }

    /// The number of a data section: they are counted on behind the maps.
    fn behind_maps(&self, data: usize) -> u32 {
        self.reading.maps.list.len().saturating_add(data) as u32
    }

    /// The second half of a wide load, which was just put in: an offset, or the upper half of a number.
    fn second_half(&mut self, first: Option<Use<'a>>, draft: &mut Draft<'a>) -> Result<(), Error> {
        let word = match first {
            Some(Use::Data(_, offset)) => offset,
            Some(Use::Setting(name)) => self.setting(name)?.1,
            Some(Use::Number(number)) => (number >> 32) as u32,
            _ => return Ok(()),
        };
        if let Some(slot) = draft.text.last_mut() {
            set_imm(slot, word);
        }
        Ok(())
    }

    /// The place of a section among the data of the package.
    fn data(&mut self, index: usize) -> Result<usize, Error> {
        let known = self.linked.data.iter().position(|data| data.index == Some(index));
        if let Some(known) = known {
            return Ok(known);
        }
        let file = self.reading.file;
        let Some(section) = file.sections.get(index) else { return Ok(0) };
        let size = usize::try_from(section.size).ok().filter(|&size| size <= MAX_DATA_BYTES);
        let size = size.ok_or_else(|| refused!("section {} is too large", section.name))? as u32;
        let mut bytes = Vec::new();
        bytes.put_all(section.bytes)?;
        self.steps.take(section.bytes.len() / 64)?;
        let mut held = Vec::new();
        self.held(index, &mut held)?;
        for (address, function) in held {
            let pointer = u64::from(pointer(function)).to_le_bytes();
            let place = usize::try_from(address).ok().and_then(|at| bytes.get_mut(at..)?.first_chunk_mut());
            if let Some(place) = place {
                *place = pointer;
            }
        }
        let is_taken = |name: &str| self.linked.data.iter().any(|data| data.name == name);
        let mut name = Cow::Borrowed(section.name);
        let mut number = self.linked.data.len();
        while is_taken(&name) && number < 2 * package::MAX_MAPS {
            name = Cow::Owned(text(format_args!("{}.{number}", section.name), LONGEST_NAME)?);
            number = number.saturating_add(1);
        }
        let read_only = !section.writable;
        self.add_data(DataSection { name, index: Some(index), read_only, size, bytes, settings: Vec::new() })
    }

    fn add_data(&mut self, data: DataSection<'a>) -> Result<usize, Error> {
        let at = self.linked.data.len();
        if self.behind_maps(at) as usize >= package::MAX_MAPS {
            return Err(refused!("the object has more than {} maps and data sections", package::MAX_MAPS));
        }
        self.linked.data.put(data)?;
        Ok(at)
    }

    /// The section of settings among the data, which comes with the first of them.
    fn settings(&mut self) -> Result<usize, Error> {
        let known = self.linked.data.iter().position(|data| data.name == SETTINGS);
        let section = || DataSection {
            name: Cow::Borrowed(SETTINGS),
            index: None,
            read_only: true,
            size: 0,
            bytes: Vec::new(),
            settings: Vec::new(),
        };
        known.map_or_else(|| self.add_data(section()), Ok)
    }

    /// Where a setting of a kernel stands: its section among the data, and the offset.
    fn setting(&mut self, name: &'a str) -> Result<(usize, u32), Error> {
        let at = self.settings()?;
        let Some(data) = self.linked.data.get_mut(at) else { return Ok((at, 0)) };
        self.steps.take(data.settings.len())?;
        if let Some(&(_, offset)) = data.settings.iter().find(|setting| setting.0 == name) {
            return Ok((at, offset));
        }
        let kind = self.reading.btf.variable(SETTINGS, name, self.steps)?;
        let size = self.reading.btf.size(kind.ok_or_else(|| refused!("{name} has no type"))?)?;
        let size = size.clamp(1, 4096) as usize;
        let symbols = &self.reading.file.symbols;
        self.steps.take(symbols.len() / 4)?;
        let weak = symbols.iter().any(|symbol| symbol.name == name && symbol.weak);
        let value = setting_value(name, weak)?;
        let offset = data.bytes.len();
        let end = offset.saturating_add(size).next_multiple_of(8);
        if end > MAX_DATA_BYTES {
            return Err(refused!("the settings are too large"));
        }
        data.bytes.grow(end, 0)?;
        let value = value.to_le_bytes();
        let place = data.bytes.get_mut(offset..).unwrap_or_default();
        place.iter_mut().zip(value).take(size).for_each(|(to, byte)| *to = byte);
        data.size = end as u32;
        data.settings.put((name, offset as u32))?;
        Ok((at, offset as u32))
    }
}

/// What a setting of a Linux kernel is here; one that may be missing is 0.
fn setting_value(name: &str, weak: bool) -> Result<u64, Error> {
    match name {
        "LINUX_KERNEL_VERSION" => Ok(6 << 16 | 1 << 8),
        _ if weak || name.starts_with("LINUX_HAS_") => Ok(0),
        _ => Err(refused!("{name} is a setting of a Linux kernel, and this is none: declare it __weak")),
    }
}

/// The pointer that stands for a function.
fn pointer(function: usize) -> u32 {
    POINTER.wrapping_add(function as u32)
}

/// Puts another number into an instruction: an offset or an immediate.
fn set_number(place: &At<'_>, slot: &mut Slot, number: u64) -> Result<(), Error> {
    let wrong = || refused!("{place}: {number} does not fit the instruction");
    match slot[0] & 7 {
        // Loads and stores.
        1..=3 => set_off(slot, i16::try_from(number).map_err(|_| wrong())?),
        // Arithmetic with an immediate.
        4 | 7 if slot[0] & 8 == 0 => set_imm(slot, i32::try_from(number).map_err(|_| wrong())? as u32),
        _ if slot[0] == WIDE_LOAD => set_imm(slot, number as u32),
        _ => return Err(refused!("{place}: a CO-RE relocation of an instruction {:#04x}", slot[0])),
    }
    Ok(())
}

/// A jump within a function whose instructions have moved.
fn retarget(place: &At<'_>, slot: &mut Slot, to: usize, places: &[usize]) -> Result<(), Error> {
    let target = target(place.pc, *slot).and_then(|target| places.get(target));
    let target = *target.ok_or_else(|| refused!("{place}: a jump out of the function"))?;
    let distance = between(to, target);
    if slot[0] == LONG_JUMP {
        set_imm(slot, distance as u32);
    } else {
        set_off(slot, i16::try_from(distance).map_err(|_| refused!("{place}: the jump is too far"))?);
    }
    Ok(())
}

/// A call through a pointer: the function whose pointer it is, else what the machine does, which is a helper by number.
fn call_pointer(place: &At<'_>, one: Slot, draft: &mut Draft<'_>, steps: &mut Steps<'_>) -> Result<(), Error> {
    // Compilers write the register into one of two fields.
    let register = match imm(one) {
        0 => crate::slot::dst(one),
        number => (number & 0xf) as u8,
    };
    let count = draft.pointed.len();
    steps.take(count)?;
    let end = count.saturating_mul(CALL_SLOTS).saturating_add(draft.text.len()).saturating_add(1);
    for &function in &draft.pointed {
        draft.text.put(slot(JUMP_UNEQUAL, register, 0, 2, pointer(function) as i32))?;
        draft.distances.put((draft.text.len(), function))?;
        draft.text.put(CALL_LOCAL)?;
        let distance = i16::try_from(between(draft.text.len(), end));
        let distance =
            distance.map_err(|_| refused!("{place}: {count} functions are too many for a call through a pointer"))?;
        draft.text.put(slot(JUMP, 0, 0, distance, 0))?;
    }
    draft.text.put(one)
}
