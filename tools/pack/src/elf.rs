//! The object file: sections, symbols and relocations, as the other parts need them.

use object::{
    elf, Architecture, Endianness, Object as _, ObjectKind, ObjectSection, ObjectSymbol, RelocationFlags,
    RelocationTarget, SectionFlags, SymbolKind, SymbolSection,
};
use std::collections::BTreeMap;

/// Types of relocations of 64 bits of data: llvm's (`BPF.def`) and that of GNU's assembler (`elf/bpf.h` of binutils up to 2.40).
pub const DATA_64: [u32; 2] = [2, 12];

/// An object file, taken apart.
pub struct File<'f> {
    /// By index; holes are empty sections without a name.
    pub sections: Vec<Section<'f>>,
    pub symbols: Vec<Symbol>,
}

/// A section.
#[derive(Default)]
pub struct Section<'f> {
    pub name: String,
    pub bytes: &'f [u8],
    /// Bytes in memory: of `.bss` more than are in the file.
    pub size: u64,
    pub executable: bool,
    /// Whether it is part of the program, and not about it.
    pub allocated: bool,
    pub writable: bool,
    /// By address in it.
    pub relocations: BTreeMap<u64, Relocation>,
}

/// A relocation.
#[derive(Clone, Copy)]
pub struct Relocation {
    pub kind: u32,
    /// Index into the symbols.
    pub symbol: usize,
}

/// A symbol.
#[derive(Clone)]
pub struct Symbol {
    pub name: String,
    pub address: u64,
    pub size: u64,
    pub place: Place,
    pub kind: SymbolKind,
    pub global: bool,
    pub weak: bool,
}

/// Where a symbol is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a section.
    Section(usize),
    /// Nowhere in this object.
    Outside,
    /// In memory that a linker would give it.
    Common,
    /// Not a place.
    None,
}

impl<'f> File<'f> {
    pub fn parse(bytes: &'f [u8]) -> Result<File<'f>, String> {
        let file = object::File::parse(bytes).map_err(|error| format!("no object file: {error}"))?;
        if file.architecture() != Architecture::Bpf {
            let machine = file.architecture();
            return Err(format!("this object is for {machine:?}: compile with clang -target bpf, or with bpf-gcc"));
        }
        if file.endianness() == Endianness::Big {
            return Err("byte 5: this object is big-endian: compile with -target bpfel".into());
        }
        if file.kind() != ObjectKind::Relocatable {
            return Err("byte 16: this is no relocatable object: compile with -c".into());
        }
        let mut sections = Vec::new();
        for section in file.sections() {
            let at = section.index().0;
            let one = read_section(&section)?;
            if at >= sections.len() {
                sections.resize_with(at + 1, Section::default);
            }
            sections[at] = one;
        }
        check_overlaps(&file)?;
        Ok(File { symbols: read_symbols(&file, sections.len())?, sections })
    }

    pub fn section(&self, name: &str) -> Option<(usize, &Section<'f>)> {
        self.sections.iter().enumerate().find(|(_, section)| section.name == name)
    }

    /// The symbols of a section, ascending by address.
    pub fn symbols_of(&self, section: usize) -> Vec<&Symbol> {
        let mut list: Vec<&Symbol> =
            self.symbols.iter().filter(|symbol| symbol.place == Place::Section(section)).collect();
        list.sort_by_key(|symbol| symbol.address);
        list
    }

    /// The symbol of a relocation.
    pub fn target(&self, relocation: &Relocation) -> Result<&Symbol, String> {
        let symbol = self.symbols.get(relocation.symbol);
        symbol.ok_or_else(|| format!("a relocation names symbol {}, which does not exist", relocation.symbol))
    }

    /// Whether GNU's compiler and assembler made it.
    pub fn is_gnu(&self) -> bool {
        let comment = self.section(".comment").map_or(&[][..], |(_, section)| section.bytes);
        comment.windows(4).any(|word| word == b"GCC:")
    }

    /// The licence, as far as it can be shown.
    pub fn licence(&self) -> String {
        let bytes = self.section("license").map_or(&[][..], |(_, section)| section.bytes);
        let text = String::from_utf8_lossy(bytes.split(|&byte| byte == 0).next().unwrap_or_default());
        text.chars().filter(|c| !c.is_control()).take(64).collect()
    }
}

fn read_section<'f>(section: &object::Section<'f, '_>) -> Result<Section<'f>, String> {
    let name = section.name().map_err(|error| format!("section {}: {error}", section.index().0))?;
    let flags = match section.flags() {
        SectionFlags::Elf { sh_flags } => sh_flags,
        _ => 0,
    };
    let has = |flag: u32| flags & u64::from(flag) != 0;
    if flags & u64::from(elf::SHF_COMPRESSED) != 0 && has(elf::SHF_ALLOC) {
        return Err(format!("section {name} is compressed"));
    }
    let bytes = section.data().map_err(|error| format!("section {name}: {error}"))?;
    let mut relocations = BTreeMap::new();
    for (address, relocation) in section.relocations() {
        let RelocationTarget::Symbol(symbol) = relocation.target() else {
            return Err(format!("section {name}, byte {address:#x}: a relocation without a symbol"));
        };
        let kind = match relocation.flags() {
            RelocationFlags::Elf { r_type } => r_type,
            _ => 0,
        };
        let one = Relocation { kind, symbol: symbol.0 };
        let within = address < section.size();
        if !within && has(elf::SHF_ALLOC) {
            return Err(format!("section {name}: a relocation of byte {address:#x}, which is outside of it"));
        }
        relocations.insert(address, one);
    }
    Ok(Section {
        name: name.into(),
        bytes,
        size: section.size(),
        executable: has(elf::SHF_EXECINSTR) && !bytes.is_empty(),
        allocated: has(elf::SHF_ALLOC),
        writable: has(elf::SHF_WRITE),
        relocations,
    })
}

fn read_symbols(file: &object::File<'_>, sections: usize) -> Result<Vec<Symbol>, String> {
    let mut symbols = Vec::new();
    for symbol in file.symbols() {
        let at = symbol.index().0;
        let name = symbol.name().map_err(|error| format!("symbol {at}: {error}"))?;
        let place = match symbol.section() {
            SymbolSection::Section(index) if index.0 >= sections => {
                let index = index.0;
                return Err(format!("symbol {name} is in section {index}, which does not exist"));
            }
            SymbolSection::Section(index) => Place::Section(index.0),
            SymbolSection::Undefined => Place::Outside,
            SymbolSection::Common => Place::Common,
            _ => Place::None,
        };
        let none = Symbol {
            name: String::new(),
            address: 0,
            size: 0,
            place: Place::None,
            kind: SymbolKind::Unknown,
            global: false,
            weak: false,
        };
        if at >= symbols.len() {
            symbols.resize(at + 1, none);
        }
        symbols[at] = Symbol {
            name: name.into(),
            address: symbol.address(),
            size: symbol.size(),
            place,
            kind: symbol.kind(),
            global: symbol.is_global(),
            weak: symbol.is_weak(),
        };
    }
    Ok(symbols)
}

/// Sections of an honest object do not share bytes of the file.
fn check_overlaps(file: &object::File<'_>) -> Result<(), String> {
    let ranges = file.sections().filter_map(|section| {
        let (from, size) = section.file_range()?;
        let name = section.name().unwrap_or("?").to_string();
        (size > 0).then_some((from, from.saturating_add(size), name))
    });
    let mut ranges: Vec<(u64, u64, String)> = ranges.collect();
    ranges.sort();
    for pair in ranges.windows(2) {
        let [(_, end, first), (from, _, second)] = pair else {
            continue;
        };
        // Tables of names may be one.
        if from < end && !(first.contains("strtab") && second.contains("strtab")) {
            return Err(format!("byte {from:#x}: sections {first} and {second} overlap"));
        }
    }
    Ok(())
}
