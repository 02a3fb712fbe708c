//! From a compiler's object to a flat program: the functions that the program needs, its own first, each call resolved. Whatever else
//! the object has that a flat program cannot have is refused by name.

use object::{
    elf, Architecture, Endianness, Object, ObjectSection, ObjectSymbol, Relocation, RelocationFlags, RelocationTarget,
    SectionIndex, SectionKind, Symbol, SymbolKind, SymbolSection,
};
use std::collections::BTreeMap;

/// Bytes of an instruction slot.
const SLOT: u64 = 8;
const WIDE_LOAD: u8 = 0x18;
const CALL: u8 = 0x85;
/// Source field of a call of a function of the program.
const LOCAL: u8 = 1;
/// The program's name by convention.
const USUAL: &str = "bpf_prog";

/// The flat program of an object, starting with the function `entry`, or with the one that must be meant.
pub fn flatten(bytes: &[u8], entry: Option<&str>) -> Result<Vec<u8>, String> {
    let file = object::File::parse(bytes).map_err(|error| format!("no object file: {error}"))?;
    if file.architecture() != Architecture::Bpf {
        let machine = file.architecture();
        return Err(format!("this object is for {machine:?}: compile with clang -target bpf, or with bpf-gcc"));
    }
    if file.endianness() == Endianness::Big {
        return Err("this object is big-endian: compile with -target bpfel".into());
    }
    let source = Source::new(&file)?;
    let entry = source.entry(entry)?;
    source.link(entry)
}

/// A function of the object.
struct Function<'f> {
    name: String,
    global: bool,
    section: SectionIndex,
    address: u64,
    code: &'f [u8],
}

struct Source<'f> {
    file: &'f object::File<'f>,
    /// In the order of the file.
    functions: Vec<Function<'f>>,
    /// Relocations of the sections that have functions, by section and address.
    relocations: BTreeMap<(usize, u64), Relocation>,
}

impl<'f> Source<'f> {
    fn new(file: &'f object::File<'f>) -> Result<Source<'f>, String> {
        let mut source = Source { file, functions: Vec::new(), relocations: BTreeMap::new() };
        for section in file.sections().filter(|s| s.kind() == SectionKind::Text) {
            let code = section.data().map_err(|error| error.to_string())?;
            let index = section.index();
            source.add_functions(index, code)?;
            let relocations = section.relocations();
            let placed = relocations.map(|(address, one)| ((index.0, address), one));
            source.relocations.extend(placed);
        }
        source.functions.sort_by_key(|f| (f.section.0, f.address));
        match source.functions.is_empty() {
            true => Err("the object has no function".into()),
            false => Ok(source),
        }
    }

    fn add_functions(&mut self, section: SectionIndex, code: &'f [u8]) -> Result<(), String> {
        let before = self.functions.len();
        let symbols = self
            .file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.section_index() == Some(section));
        for symbol in symbols.filter(|symbol| symbol.size() > 0) {
            let (name, from) = (name(&symbol), symbol.address());
            let to = from.checked_add(symbol.size());
            let range = to.and_then(|to| Some(usize::try_from(from).ok()?..usize::try_from(to).ok()?));
            let code = range.and_then(|range| code.get(range));
            let code = code.filter(|code| (code.len() as u64).is_multiple_of(SLOT));
            self.functions.push(Function {
                code: code.ok_or_else(|| format!("function {name} is not within its section"))?,
                name,
                global: symbol.is_global(),
                section,
                address: from,
            });
        }
        // Text that an assembler wrote, without functions: one program.
        if before == self.functions.len() && !code.is_empty() {
            self.functions.push(Function { name: ".text".into(), global: true, section, address: 0, code });
        }
        Ok(())
    }

    fn named(&self, wanted: &str) -> Option<usize> {
        self.functions.iter().position(|f| f.name == wanted)
    }

    /// The function that the program starts with.
    fn entry(&self, wanted: Option<&str>) -> Result<usize, String> {
        if let Some(wanted) = wanted {
            let has = || self.list((0..self.functions.len()).collect());
            return self.named(wanted).ok_or_else(|| format!("the object has no function {wanted}; it has {}", has()));
        }
        if let Some(usual) = self.named(USUAL) {
            return Ok(usual);
        }
        let mut free: Vec<usize> = (0..self.functions.len()).collect();
        if free.len() > 1 {
            free.retain(|&index| self.functions[index].global);
        }
        if free.len() > 1 {
            let called = self.called();
            free.retain(|index| !called.contains(index));
        }
        match free.as_slice() {
            [one] => Ok(*one),
            _ => Err(format!(
                "which function is the program? --entry NAME says it (or call it {USUAL}); there are {}",
                self.list((0..self.functions.len()).collect())
            )),
        }
    }

    fn list(&self, indexes: Vec<usize>) -> String {
        let names: Vec<&str> = indexes.iter().map(|&index| self.functions[index].name.as_str()).collect();
        names.join(", ")
    }

    /// The functions that another one calls.
    fn called(&self) -> Vec<usize> {
        let all = 0..self.functions.len();
        let callees = all.flat_map(|index| {
            let calls = self.calls(index).unwrap_or_default();
            calls.into_iter().map(move |(_, to)| (index, to))
        });
        callees.filter(|(from, to)| from != to).map(|(_, to)| to).collect()
    }

    /// The calls of a function: slot and callee. Errors are those of everything that a flat program cannot have.
    fn calls(&self, index: usize) -> Result<Vec<(usize, usize)>, String> {
        let function = &self.functions[index];
        let mut calls = Vec::new();
        let mut wide = false;
        for (pc, slot) in function.code.chunks_exact(SLOT as usize).enumerate() {
            // The second half of a wide load is no instruction.
            let second_half = wide;
            wide = !second_half && slot[0] == WIDE_LOAD;
            if second_half {
                continue;
            }
            let address = function.address + pc as u64 * SLOT;
            let relocation = self.relocations.get(&(function.section.0, address));
            let imm = i64::from(i32::from_le_bytes([slot[4], slot[5], slot[6], slot[7]]));
            let is_local = slot[0] == CALL && slot[1] >> 4 == LOCAL;
            let place = Place { function, pc };
            let target = match relocation {
                Some(relocation) => self.relocated(&place, slot[0], imm, relocation)?,
                None if is_local => {
                    let next = address as i64 + SLOT as i64;
                    (function.section, next.wrapping_add(imm * SLOT as i64))
                }
                None => continue,
            };
            calls.push((pc, self.starting_at(&place, target)?));
        }
        Ok(calls)
    }

    /// Where a relocated call leads; everything else that is relocated is refused.
    fn relocated(
        &self,
        place: &Place<'_>,
        opcode: u8,
        imm: i64,
        relocation: &Relocation,
    ) -> Result<(SectionIndex, i64), String> {
        let RelocationTarget::Symbol(symbol) = relocation.target() else {
            return Err(format!("{place}: a relocation without a symbol"));
        };
        let symbol = self.file.symbol_by_index(symbol);
        let symbol = symbol.map_err(|error| format!("{place}: {error}"))?;
        let kind = match relocation.flags() {
            RelocationFlags::Elf { r_type } => r_type,
            _ => 0,
        };
        match (kind, symbol.section()) {
            (elf::R_BPF_64_32, SymbolSection::Section(section)) if opcode == CALL => {
                let from = symbol.address() as i64;
                Ok((section, from.wrapping_add((imm + 1) * SLOT as i64)))
            }
            (elf::R_BPF_64_32, _) => {
                Err(format!("{place}: function {} is called but not in the object: define it there", name(&symbol)))
            }
            _ => Err(format!("{place}: {}", self.missing(&symbol))),
        }
    }

    /// What a flat program lacks when the address of this symbol is taken.
    fn missing(&self, symbol: &Symbol<'_, '_>) -> String {
        let section = symbol.section_index().and_then(|index| self.file.section_by_index(index).ok());
        let Some(section) = section else {
            let name = name(symbol);
            return format!("the address of {name} is taken, which is not in the object");
        };
        let own = section.name().unwrap_or("?").to_string();
        let advice = match section.kind() {
            SectionKind::Text => {
                "takes the address of a function, and programs cannot call through one: call it by name"
            }
            SectionKind::ReadOnlyString => {
                "uses a string literal: a flat program has no constant data; build the string on the stack, as in char s[] = {'a', 0}"
            }
            SectionKind::ReadOnlyData | SectionKind::ReadOnlyDataWithRel => {
                "uses constant data: a flat program has none; fill an array on the stack, or use a switch"
            }
            _ => "uses a global variable: a flat program has none; use the map",
        };
        format!("{advice} ({})", symbol_in(symbol, &own))
    }

    fn starting_at(&self, place: &Place<'_>, (section, address): (SectionIndex, i64)) -> Result<usize, String> {
        let found = self.functions.iter().position(|f| f.section == section && f.address as i64 == address);
        found.ok_or_else(|| format!("{place}: a call leads to no function of the object"))
    }

    /// The entry and what it needs, one after the other.
    fn link(&self, entry: usize) -> Result<Vec<u8>, String> {
        let mut order = vec![entry];
        let mut calls = Vec::new();
        let mut at = 0;
        while let Some(&function) = order.get(at) {
            let found = self.calls(function)?;
            for (_, callee) in &found {
                if !order.contains(callee) {
                    order.push(*callee);
                }
            }
            calls.push(found);
            at += 1;
        }
        let mut starts = BTreeMap::new();
        let mut text: Vec<u8> = Vec::new();
        for &function in &order {
            starts.insert(function, text.len() as u64 / SLOT);
            text.extend(self.functions[function].code);
        }
        for (function, calls) in order.iter().zip(calls) {
            for (pc, callee) in calls {
                let pc = starts[function] + pc as u64;
                let distance = starts[&callee] as i64 - pc as i64 - 1;
                let distance = i32::try_from(distance).map_err(|_| "the object is too large")?;
                let at = (pc * SLOT) as usize;
                // Compilers may leave the kind of the call to the relocation.
                text[at + 1] = LOCAL << 4;
                text[at + 4..at + 8].copy_from_slice(&distance.to_le_bytes());
            }
        }
        Ok(text)
    }
}

/// An instruction, for messages.
struct Place<'p> {
    function: &'p Function<'p>,
    pc: usize,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PC {} of {}", self.pc, self.function.name)
    }
}

fn name(symbol: &Symbol<'_, '_>) -> String {
    symbol.name().unwrap_or("?").to_string()
}

/// `tab in .rodata`, or the section alone.
fn symbol_in(symbol: &Symbol<'_, '_>, section: &str) -> String {
    match symbol.name() {
        Ok(name) if !name.is_empty() && name != section => format!("{name} in {section}"),
        _ => section.to_string(),
    }
}
