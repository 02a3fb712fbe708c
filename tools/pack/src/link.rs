//! Programs with all they call, each address in them replaced by what it stands for.

use crate::{
    btf::Btf,
    callbacks::Caller,
    core_types::{Change, Core},
    elf::{self, File, Place, Relocation, Symbol},
    functions::{Functions, SLOT},
    maps::{Map, Maps},
    packets,
    section::Wanted,
    slot::{distance, imm, is_jump, is_load, set_imm, CALL, LOCAL, LONG_JUMP, WIDE_LOAD},
    symbols,
};
use std::collections::{BTreeMap, BTreeSet};
use ubpf_rs::{
    object::{self as package, ProgramDef, SlotNeed},
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
/// What a call through a pointer becomes, for each function that it may lead to.
const CALL_SLOTS: usize = 3;
/// What a pointer to the first function is, where programs call through pointers: no address, and no helper's number.
const POINTER: u32 = 0x4000_0000;
/// The section of settings that a kernel would have.
const SETTINGS: &str = ".kconfig";

/// What linking gives.
pub struct Linked {
    pub programs: Vec<Program>,
    pub data: Vec<Section>,
    pub slots: Vec<Slot>,
    pub names: Vec<Name>,
}

/// A program.
pub struct Program {
    pub name: String,
    pub section: String,
    pub place: Wanted,
    code: Vec<u8>,
}

impl Program {
    pub fn def(&self) -> ProgramDef<'_> {
        ProgramDef {
            name: &self.name,
            section: &self.section,
            kind: self.place.kind,
            attach: self.place.attach,
            target: &self.place.target,
            offset: self.place.offset,
            code: &self.code,
        }
    }
}

/// A data section.
pub struct Section {
    pub name: String,
    /// The section of the file; `None` for what is made here.
    pub index: Option<usize>,
    pub read_only: bool,
    pub size: u32,
    /// Nothing where all is zero.
    pub bytes: Vec<u8>,
    /// Where each setting stands, in the section of settings.
    pub settings: BTreeMap<String, u32>,
}

impl Section {
    pub fn data(&self) -> package::Data<'_> {
        package::Data { name: &self.name, read_only: self.read_only, size: self.size, bytes: &self.bytes }
    }
}

/// What an instruction needs.
#[derive(Clone)]
enum Need {
    Helper(String),
    Symbol(String),
    WeakSymbol(String),
    Missing(String),
    Probing,
}

/// An instruction that needs something.
pub struct Slot {
    program: u32,
    pc: u32,
    need: Need,
}

impl Slot {
    pub fn def(&self) -> package::Slot<'_> {
        package::Slot {
            program: self.program,
            pc: self.pc,
            need: match &self.need {
                Need::Helper(name) => SlotNeed::Helper(name),
                Need::Symbol(name) => SlotNeed::Symbol(name),
                Need::WeakSymbol(name) => SlotNeed::WeakSymbol(name),
                Need::Missing(text) => SlotNeed::Missing(text),
                Need::Probing => SlotNeed::Probing,
            },
        }
    }
}

/// The name of a function.
pub struct Name {
    program: u32,
    start: u32,
    name: String,
}

impl Name {
    pub fn def(&self) -> package::Function<'_> {
        package::Function { program: self.program, start: self.start, name: &self.name }
    }
}

/// What stands for an instruction's address or number.
#[derive(Clone)]
enum Use {
    /// A call of a function.
    Call(usize),
    /// The address of a function.
    Address(usize),
    /// A map.
    Map(usize),
    /// A place in a section of the file.
    Data(usize, u32),
    /// A setting of a kernel, by name.
    Setting(String),
    /// Another number, of a type's field.
    Number(u64),
    /// Something that is found when the program is loaded.
    Need(Need),
}

/// The uses of a function, by instruction.
type Uses = BTreeMap<usize, Use>;

/// Links all programs of the object.
pub fn link(
    file: &File<'_>,
    btf: &Btf<'_>,
    maps: &Maps,
    functions: &Functions<'_>,
    core: &Core,
) -> Result<Linked, String> {
    let reader = Reading { file, maps, functions, core, btf };
    let all = 0..functions.list.len();
    let uses = all.map(|at| reader.uses(at)).collect::<Result<Vec<Uses>, String>>()?;
    let mut called = vec![false; functions.list.len()];
    for (at, uses) in uses.iter().enumerate() {
        for one in uses.values() {
            match *one {
                Use::Call(to) | Use::Address(to) if to != at => called[to] = true,
                _ => {}
            }
        }
    }
    let programs = functions.programs(file, &called)?;
    if programs.len() > package::MAX_PROGRAMS {
        return Err(format!("the object has {} programs (limit {})", programs.len(), package::MAX_PROGRAMS));
    }
    let mut linker = Linker {
        file,
        functions,
        uses: &uses,
        maps: &maps.list,
        linked: Linked { programs: Vec::new(), data: Vec::new(), slots: Vec::new(), names: Vec::new() },
        btf,
        core,
    };
    for (function, place) in programs {
        linker.program(function, place)?;
    }
    Ok(linker.linked)
}

/// What is read of the object.
struct Reading<'r, 'f> {
    file: &'r File<'f>,
    maps: &'r Maps,
    functions: &'r Functions<'f>,
    core: &'r Core,
    btf: &'r Btf<'f>,
}

/// An instruction, for messages.
struct At<'a> {
    function: &'a str,
    pc: usize,
}

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PC {} of {}", self.pc, self.function)
    }
}

impl Reading<'_, '_> {
    fn uses(&self, at: usize) -> Result<Uses, String> {
        let function = &self.functions.list[at];
        let section = &self.file.sections[function.section];
        let mut uses = Uses::new();
        let mut second_half = false;
        for (pc, slot) in function.code.as_chunks::<8>().0.iter().enumerate() {
            // The second half of a wide load is no instruction.
            if std::mem::take(&mut second_half) {
                continue;
            }
            second_half = slot[0] == WIDE_LOAD;
            let address = function.address + pc as u64 * SLOT;
            let place = At { function: &function.name, pc };
            if slot[0] == JUMP_REGISTER {
                return Err(format!("{place} jumps by a table, which is not supported: compile with -mcpu=v3"));
            }
            let relocation = section.relocations.get(&address);
            let change = self.core.changes.get(&(section.name.clone(), address));
            let one = match (relocation, change) {
                (Some(relocation), _) => Some(self.relocated(&place, *slot, relocation)?),
                (None, Some(Change::Number(number))) => Some(Use::Number(*number)),
                (None, Some(Change::Missing(text))) => Some(Use::Need(Need::Missing(text.clone()))),
                (None, None) if slot[0] == CALL && slot[1] >> 4 == LOCAL => {
                    let to = (address + SLOT) as i64 + imm(*slot) * SLOT as i64;
                    Some(Use::Call(self.starting_at(&place, function.section, to)?))
                }
                (None, None) => None,
            };
            uses.extend(one.map(|one| (pc, one)));
        }
        Ok(uses)
    }

    fn starting_at(&self, place: &At<'_>, section: usize, address: i64) -> Result<usize, String> {
        let found = self.functions.at(section, address);
        found.ok_or_else(|| format!("{place}: it leads to no function of the object"))
    }

    fn relocated(&self, place: &At<'_>, slot: [u8; 8], relocation: &Relocation) -> Result<Use, String> {
        let symbol = self.file.target(relocation).map_err(|error| format!("{place}: {error}"))?;
        match (relocation.kind, slot[0]) {
            (R_64_32, CALL) => self.call(place, slot, symbol),
            (R_64_64, WIDE_LOAD) => self.address(place, slot, symbol),
            (kind, opcode) => {
                let name = &symbol.name;
                Err(format!("{place}: a relocation of type {kind} ({name}) for an instruction {opcode:#04x}"))
            }
        }
    }

    fn call(&self, place: &At<'_>, slot: [u8; 8], symbol: &Symbol) -> Result<Use, String> {
        match symbol.place {
            Place::Section(section) => {
                let to = (symbol.address as i64).wrapping_add((imm(slot) + 1) * SLOT as i64);
                Ok(Use::Call(self.starting_at(place, section, to)?))
            }
            _ if symbol.name.is_empty() => Err(format!("{place}: it calls what has no name")),
            _ => Ok(Use::Need(Need::Helper(symbol.name.clone()))),
        }
    }

    fn address(&self, place: &At<'_>, slot: [u8; 8], symbol: &Symbol) -> Result<Use, String> {
        let name = symbol.name.as_str();
        let Place::Section(index) = symbol.place else {
            return match symbol.place {
                Place::Common => Err(format!("{place}: {name} has no section: compile with -fno-common")),
                _ if name.is_empty() => Err(format!("{place}: it uses what has no name")),
                _ if self.btf.variable(SETTINGS, name)?.is_some() => Ok(Use::Setting(name.into())),
                _ if symbol.weak => Ok(Use::Need(Need::WeakSymbol(name.into()))),
                _ => Ok(Use::Need(Need::Symbol(name.into()))),
            };
        };
        let section = &self.file.sections[index];
        let address = place_of(self.file, symbol, imm(slot));
        if section.executable {
            return Ok(Use::Address(self.starting_at(place, index, address)?));
        }
        if section.name == ".maps" || section.name == "maps" {
            let map = u64::try_from(address).ok().and_then(|address| self.maps.at(index, address));
            let map = map.ok_or_else(|| format!("{place}: {name} is no map of {}", section.name))?;
            return Ok(Use::Map(map));
        }
        if !section.allocated {
            return Err(format!("{place}: it uses {name} in {}, which is no data", section.name));
        }
        let offset = u32::try_from(address).ok().filter(|&offset| u64::from(offset) < section.size);
        let offset = offset.ok_or_else(|| {
            format!("{place}: byte {address:#x} of {} ({name}) is outside of the section", section.name)
        })?;
        Ok(Use::Data(index, offset))
    }
}

/// Where a wide load leads: the symbol, and so far behind it as the instruction says. GNU's assembler counts the symbol's own place in the
/// instruction as well.
fn place_of(file: &File<'_>, symbol: &Symbol, imm: i64) -> i64 {
    let from = symbol.address as i64;
    let within = (0..=symbol.size as i64).contains(&imm.wrapping_sub(from));
    match file.is_gnu() && within {
        true => imm,
        false => from.wrapping_add(imm),
    }
}

struct Linker<'l, 'f> {
    file: &'l File<'f>,
    functions: &'l Functions<'f>,
    uses: &'l [Uses],
    /// The maps: data sections are counted on behind them.
    maps: &'l [Map],
    linked: Linked,
    btf: &'l Btf<'f>,
    core: &'l Core,
}

/// A program on its way.
struct Draft {
    text: Vec<[u8; 8]>,
    /// The functions of it, in order, and where they begin.
    functions: Vec<usize>,
    starts: BTreeMap<usize, usize>,
    /// Instructions whose distance to a function is filled in when all begins are known.
    distances: Vec<(usize, usize)>,
    needs: BTreeMap<usize, Need>,
    /// The functions that a pointer may lead to, where there are calls through pointers, also by helpers.
    pointed: Vec<usize>,
    /// Calls of helpers that call functions.
    callers: Vec<(usize, Caller)>,
}

impl Linker<'_, '_> {
    fn program(&mut self, entry: usize, place: Wanted) -> Result<(), String> {
        let name = self.functions.list[entry].name.clone();
        let index = self.linked.programs.len() as u32;
        let (functions, pointed) = self.needed(entry)?;
        let mut draft = Draft {
            text: Vec::new(),
            functions,
            starts: BTreeMap::new(),
            distances: Vec::new(),
            needs: BTreeMap::new(),
            pointed,
            callers: Vec::new(),
        };
        for function in draft.functions.clone() {
            draft.starts.insert(function, draft.text.len());
            self.function(function, &mut draft)?;
        }
        let mut callers = self.callers(&mut draft)?;
        for &(pc, function) in &draft.distances {
            let distance = draft.starts[&function] as i64 - pc as i64 - 1;
            set_imm(&mut draft.text[pc], distance as u32);
        }
        let program = index;
        if place.kind.is_given_packets() {
            let names = draft.starts.iter().map(|(&f, &start)| (start, self.functions.list[f].name.clone()));
            let more = callers.iter().map(|&(start, caller)| (start, caller.name().into()));
            packets::rewrite(&mut draft.text, &names.chain(more).collect(), place.kind)?;
            draft.needs.retain(|&pc, need| !matches!(need, Need::Probing) || is_load(draft.text[pc]));
            callers.iter_mut().for_each(|caller| caller.0 += packets::FRONT_SLOTS);
            draft.text.splice(0..0, packets::front()?);
            draft.needs = draft.needs.into_iter().map(|(pc, need)| (pc + packets::FRONT_SLOTS, need)).collect();
            draft.starts.values_mut().for_each(|start| *start += packets::FRONT_SLOTS);
        }
        self.linked.slots.extend(draft.needs.into_iter().map(|(pc, need)| Slot { program, pc: pc as u32, need }));
        let mut starts: Vec<(usize, usize)> = draft.starts.into_iter().map(|(f, start)| (start, f)).collect();
        starts.sort_unstable();
        for (start, function) in starts {
            let name = self.functions.list[function].name.clone();
            self.linked.names.push(Name { program, start: start as u32, name });
        }
        for (start, caller) in callers {
            self.linked.names.push(Name { program, start: start as u32, name: caller.name().into() });
        }
        let section = self.file.sections[self.functions.list[entry].section].name.clone();
        self.linked.programs.push(Program { name, section, place, code: draft.text.concat() });
        Ok(())
    }

    /// The functions that a program consists of, and those of them that it has pointers to, if it calls through pointers.
    fn needed(&self, entry: usize) -> Result<(Vec<usize>, Vec<usize>), String> {
        let mut order = vec![entry];
        let mut known = BTreeSet::from([entry]);
        let (mut pointed, mut sections) = (BTreeSet::new(), BTreeSet::new());
        let (mut at, mut slots, mut calls, mut callers) = (0, 0, 0, 0usize);
        while let Some(&function) = order.get(at) {
            at += 1;
            let code = self.functions.list[function].code.as_chunks::<8>().0;
            slots += code.len();
            self.check_size(entry, slots)?;
            calls += code.iter().filter(|slot| slot[0] == CALL_REGISTER).count();
            callers += (0..code.len()).filter(|&pc| self.caller(function, pc, code[pc]).is_some()).count();
            for one in self.uses[function].values() {
                let to = match *one {
                    Use::Call(to) => vec![to],
                    Use::Address(to) => {
                        pointed.insert(to);
                        vec![to]
                    }
                    Use::Data(section, _) if sections.insert(section) => {
                        let held = self.held(section)?;
                        pointed.extend(held.values().copied());
                        held.into_values().collect()
                    }
                    _ => Vec::new(),
                };
                order.extend(to.into_iter().filter(|&to| known.insert(to)));
            }
        }
        let slots = slots.saturating_add(callers.saturating_mul(Caller::SLOTS));
        calls += callers;
        self.check_size(entry, slots.saturating_add(calls.saturating_mul(CALL_SLOTS * pointed.len())))?;
        let pointed = if calls > 0 { pointed.into_iter().collect() } else { Vec::new() };
        Ok((order, pointed))
    }

    /// Before a program is made that no package can have: what calls through pointers become may be much.
    fn check_size(&self, entry: usize, slots: usize) -> Result<(), String> {
        match slots > MAX_INSNS {
            true => {
                let name = &self.functions.list[entry].name;
                Err(format!("{name} has {slots} instructions with all that it calls (limit {MAX_INSNS})"))
            }
            false => Ok(()),
        }
    }

    /// The functions that a data section has pointers to, by place. Pointers to anything else cannot be loaded.
    fn held(&self, section: usize) -> Result<BTreeMap<u64, usize>, String> {
        let section = &self.file.sections[section];
        let mut held = BTreeMap::new();
        for (&address, relocation) in &section.relocations {
            let symbol = self.file.target(relocation)?;
            let begin = usize::try_from(address).unwrap_or(usize::MAX);
            let addend = section.bytes.get(begin..).and_then(|rest| rest.first_chunk());
            let addend = addend.map_or(0, |bytes| u64::from_le_bytes(*bytes));
            let target = match symbol.place {
                Place::Section(index) if self.file.sections[index].executable => {
                    self.functions.at(index, symbol.address.wrapping_add(addend) as i64)
                }
                _ => None,
            };
            let function = target.filter(|_| elf::DATA_64.contains(&relocation.kind)).ok_or_else(|| {
                format!(
                    "byte {address:#x} of {} holds the address of {}: data that points to data cannot be loaded; use an index, or an array of arrays",
                    section.name,
                    if symbol.name.is_empty() { "other data" } else { &symbol.name },
                )
            })?;
            held.insert(address, function);
        }
        Ok(held)
    }

    fn function(&mut self, at: usize, draft: &mut Draft) -> Result<(), String> {
        let function = &self.functions.list[at];
        let slots = function.code.as_chunks::<8>().0;
        let is_symbol = |pc| matches!(self.uses[at].get(&pc), Some(Use::Need(Need::Symbol(_) | Need::WeakSymbol(_))));
        let of_symbols = symbols::loads(slots, is_symbol);
        let begin = draft.text.len();
        // Where each slot has got to.
        let mut moved = Vec::with_capacity(slots.len());
        let mut jumps = Vec::new();
        let mut second_half = false;
        for (pc, &slot) in slots.iter().enumerate() {
            let to = draft.text.len();
            moved.push(to);
            if std::mem::take(&mut second_half) {
                draft.text.push(slot);
                if let Some(Use::Data(..) | Use::Setting(_) | Use::Number(_)) = self.uses[at].get(&(pc - 1)) {
                    self.second_half(at, pc - 1, draft)?;
                }
                continue;
            }
            second_half = slot[0] == WIDE_LOAD;
            if slot[0] == CALL_REGISTER && !draft.pointed.is_empty() {
                call_pointer(&At { function: &function.name, pc }, slot, draft)?;
                continue;
            }
            if let Some(caller) = self.caller(at, pc, slot).filter(|_| !draft.pointed.is_empty()) {
                draft.callers.push((to, caller));
                draft.text.push([CALL, LOCAL << 4, 0, 0, 0, 0, 0, 0]);
                continue;
            }
            draft.text.push(slot);
            if is_jump(slot) {
                jumps.push((pc, to));
            }
            if let Some(one) = self.uses[at].get(&pc) {
                self.used(&At { function: &function.name, pc }, to, &one.clone(), draft)?;
            }
            if is_load(slot) && (self.goes_to_a_field(at, pc) || of_symbols.contains(&pc)) {
                draft.needs.entry(to).or_insert(Need::Probing);
            }
        }
        moved.push(draft.text.len());
        if draft.text.len() - begin != slots.len() {
            for (pc, to) in jumps {
                retarget(&At { function: &function.name, pc }, &mut draft.text[to], to, &moved)?;
            }
        }
        Ok(())
    }

    /// Whether an instruction goes to a field of a type that the object does not bring along. What the address is, the verifier finds out: it may
    /// be the program's all the same.
    fn goes_to_a_field(&self, function: usize, pc: usize) -> bool {
        let function = &self.functions.list[function];
        let section = self.file.sections[function.section].name.clone();
        self.core.fields.contains(&(section, function.address + pc as u64 * SLOT))
    }

    /// The helper that an instruction calls, if that is one that calls functions.
    fn caller(&self, function: usize, pc: usize, slot: [u8; 8]) -> Option<Caller> {
        match self.uses[function].get(&pc) {
            _ if slot[0] != CALL || slot[1] >> 4 != 0 && !self.uses[function].contains_key(&pc) => None,
            Some(Use::Need(Need::Helper(name))) => Caller::of_name(name),
            Some(_) => None,
            None => Caller::of_number(imm(slot)),
        }
    }

    /// Puts the functions that such calls become behind all others; where they begin.
    fn callers(&self, draft: &mut Draft) -> Result<Vec<(usize, Caller)>, String> {
        let pointers: Vec<u32> = draft.pointed.iter().map(|&function| pointer(function)).collect();
        let mut starts = Vec::new();
        for (pc, caller) in draft.callers.clone() {
            let start = draft.text.len();
            set_imm(&mut draft.text[pc], (start - pc - 1) as u32);
            let mut pointed = draft.pointed.iter();
            for (slot, at) in caller.code(&pointers, self.maps)?.as_chunks::<8>().0.iter().zip(start..) {
                draft.text.push(*slot);
                if slot[0] == CALL && slot[1] >> 4 == LOCAL {
                    draft.distances.extend(pointed.next().map(|&function| (at, function)));
                }
            }
            starts.push((start, caller));
        }
        Ok(starts)
    }

    /// Puts what stands for an address or a number into the instruction.
    fn used(&mut self, place: &At<'_>, to: usize, one: &Use, draft: &mut Draft) -> Result<(), String> {
        let slot = &mut draft.text[to];
        match one {
            Use::Call(function) => {
                slot[1] = LOCAL << 4 | slot[1] & 0xf;
                draft.distances.push((to, *function));
            }
            Use::Address(function) if draft.pointed.is_empty() => {
                slot[1] = CODE << 4 | slot[1] & 0xf;
                draft.distances.push((to, *function));
            }
            Use::Address(function) => set_imm(slot, pointer(*function)),
            Use::Map(map) => {
                slot[1] = MAP << 4 | slot[1] & 0xf;
                set_imm(slot, *map as u32);
            }
            Use::Data(section, _) => {
                let data = self.data(*section)?;
                slot[1] = DATA << 4 | slot[1] & 0xf;
                set_imm(slot, (self.maps.len() + data) as u32);
            }
            Use::Setting(name) => {
                let (data, _) = self.setting(name)?;
                slot[1] = DATA << 4 | slot[1] & 0xf;
                set_imm(slot, (self.maps.len() + data) as u32);
            }
            Use::Number(number) => set_number(place, slot, *number)?,
            Use::Need(need) => {
                if let Need::Helper(_) = need {
                    slot[1] &= 0xf;
                    set_imm(slot, 0);
                }
                draft.needs.insert(to, need.clone());
            }
        }
        Ok(())
    }

    /// The second half of a wide load: an offset, or the upper half of a number.
    fn second_half(&mut self, at: usize, first: usize, draft: &mut Draft) -> Result<(), String> {
        let word = match &self.uses[at][&first] {
            Use::Data(_, offset) => *offset,
            Use::Setting(name) => self.setting(&name.clone())?.1,
            Use::Number(number) => (*number >> 32) as u32,
            _ => return Ok(()),
        };
        if let Some(slot) = draft.text.last_mut() {
            set_imm(slot, word);
        }
        Ok(())
    }

    /// The place of a section among the data of the package.
    fn data(&mut self, index: usize) -> Result<usize, String> {
        let known = self.linked.data.iter().position(|data| data.index == Some(index));
        if let Some(known) = known {
            return Ok(known);
        }
        let section = &self.file.sections[index];
        let size = u32::try_from(section.size).map_err(|_| format!("section {} is too large", section.name))?;
        let mut bytes = section.bytes.to_vec();
        for (address, function) in self.held(index)? {
            let pointer = u64::from(pointer(function)).to_le_bytes();
            let place = usize::try_from(address).ok().and_then(|at| bytes.get_mut(at..at + 8));
            if let Some(place) = place {
                place.copy_from_slice(&pointer);
            }
        }
        let same = self.linked.data.iter().filter(|data| self.file.section(&data.name).is_some()).count();
        let twice = self.linked.data.iter().any(|data| data.name == section.name);
        self.linked.data.push(Section {
            name: if twice { format!("{}.{same}", section.name) } else { section.name.clone() },
            index: Some(index),
            read_only: !section.writable,
            size,
            bytes,
            settings: BTreeMap::new(),
        });
        Ok(self.linked.data.len() - 1)
    }

    /// Where a setting of a kernel stands: its section among the data, and the offset.
    fn setting(&mut self, name: &str) -> Result<(usize, u32), String> {
        let known = self.linked.data.iter().position(|data| data.name == SETTINGS);
        let data = known.unwrap_or_else(|| {
            self.linked.data.push(Section {
                name: SETTINGS.into(),
                index: None,
                read_only: true,
                size: 0,
                bytes: Vec::new(),
                settings: BTreeMap::new(),
            });
            self.linked.data.len() - 1
        });
        if let Some(&offset) = self.linked.data[data].settings.get(name) {
            return Ok((data, offset));
        }
        let kind = self.btf.variable(SETTINGS, name)?.ok_or_else(|| format!("{name} has no type"))?;
        let size = self.btf.size(kind)?.clamp(1, 4096) as usize;
        let weak = self.file.symbols.iter().any(|symbol| symbol.name == name && symbol.weak);
        let value: u64 = match name {
            "LINUX_KERNEL_VERSION" => 6 << 16 | 1 << 8,
            _ if weak || name.starts_with("LINUX_HAS_") => 0,
            _ => return Err(format!("{name} is a setting of a Linux kernel, and this is none: declare it __weak")),
        };
        let section = &mut self.linked.data[data];
        let offset = section.bytes.len();
        section.bytes.extend(value.to_le_bytes().iter().take(size));
        section.bytes.resize((offset + size).next_multiple_of(8), 0);
        section.size = section.bytes.len() as u32;
        section.settings.insert(name.into(), offset as u32);
        Ok((data, offset as u32))
    }
}

/// The pointer that stands for a function.
fn pointer(function: usize) -> u32 {
    POINTER + function as u32
}

/// Puts another number into an instruction: an offset or an immediate.
fn set_number(place: &At<'_>, slot: &mut [u8; 8], number: u64) -> Result<(), String> {
    let wrong = || format!("{place}: {number} does not fit the instruction");
    match slot[0] & 7 {
        // Loads and stores.
        1..=3 => {
            let off = i16::try_from(number).map_err(|_| wrong())?;
            slot[2..4].copy_from_slice(&off.to_le_bytes());
        }
        // Arithmetic with an immediate.
        4 | 7 if slot[0] & 8 == 0 => set_imm(slot, i32::try_from(number).map_err(|_| wrong())? as u32),
        _ if slot[0] == WIDE_LOAD => set_imm(slot, number as u32),
        _ => return Err(format!("{place}: a CO-RE relocation of an instruction {:#04x}", slot[0])),
    }
    Ok(())
}

/// A jump within a function whose instructions have moved.
fn retarget(place: &At<'_>, slot: &mut [u8; 8], to: usize, moved: &[usize]) -> Result<(), String> {
    let target = usize::try_from(place.pc as i64 + 1 + distance(*slot)).ok().and_then(|target| moved.get(target));
    let target = *target.ok_or_else(|| format!("{place}: a jump out of the function"))?;
    let distance = target as i64 - to as i64 - 1;
    if slot[0] == LONG_JUMP {
        set_imm(slot, distance as u32);
    } else {
        let distance = i16::try_from(distance).map_err(|_| format!("{place}: the jump is too far"))?;
        slot[2..4].copy_from_slice(&distance.to_le_bytes());
    }
    Ok(())
}

/// A call through a pointer: the function whose pointer it is, else what the machine does, which is a helper by number.
fn call_pointer(place: &At<'_>, slot: [u8; 8], draft: &mut Draft) -> Result<(), String> {
    // Compilers write the register into one of two fields.
    let register = match imm(slot) {
        0 => slot[1] & 0xf,
        number => (number & 0xf) as u8,
    };
    let count = draft.pointed.len();
    let end = draft.text.len() + CALL_SLOTS * count + 1;
    for function in draft.pointed.clone() {
        // if register != pointer goto +2
        let mut test = [0x55, register, 2, 0, 0, 0, 0, 0];
        set_imm(&mut test, pointer(function));
        draft.text.push(test);
        draft.distances.push((draft.text.len(), function));
        draft.text.push([CALL, LOCAL << 4, 0, 0, 0, 0, 0, 0]);
        // goto end
        let distance = i16::try_from(end - draft.text.len() - 1);
        let distance =
            distance.map_err(|_| format!("{place}: {count} functions are too many for a call through a pointer"))?;
        let [low, high] = distance.to_le_bytes();
        draft.text.push([0x05, 0, low, high, 0, 0, 0, 0]);
    }
    draft.text.push(slot);
    Ok(())
}
