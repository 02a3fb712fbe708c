//! The object file: sections, symbols and relocations, as the other parts need them. The crate `object` knows the form of each; what they say
//! is checked here.

use crate::{
    error::{refused, Error},
    work::{name_at, planted, Put, Steps},
};
use alloc::{string::String, vec::Vec};
use object::{
    elf,
    read::elf::{FileHeader as _, Rel as _, Rela as _, SectionHeader as _, SectionTable, Sym as _},
    LittleEndian, SectionIndex, SymbolIndex,
};
use ubpf_rs::platform::{find, sort_by_in_pieces};

/// Types of relocations of 64 bits of data: llvm's (`BPF.def`) and that of GNU's assembler (`elf/bpf.h` of binutils up to 2.40).
pub const DATA_64: [u32; 2] = [2, 12];

type Header = elf::FileHeader64<LittleEndian>;
type SectionHeader = elf::SectionHeader64<LittleEndian>;
const LE: LittleEndian = LittleEndian;

/// An object file, taken apart.
pub struct File<'f> {
    /// By index.
    pub sections: Vec<Section<'f>>,
    pub symbols: Vec<Symbol<'f>>,
    /// Those that are in a section, ascending by section and address.
    placed: Vec<SymbolPlace>,
    /// Ascending by section and address, of which each has one.
    relocations: Vec<Relocation>,
    /// Whether GNU's compiler and assembler made it.
    pub is_gnu: bool,
}

/// A section.
pub struct Section<'f> {
    pub name: &'f str,
    pub bytes: &'f [u8],
    /// Bytes in memory: of `.bss` more than are in the file.
    pub size: u64,
    pub executable: bool,
    /// Whether it is part of the program, and not about it.
    pub allocated: bool,
    pub writable: bool,
}

/// A relocation.
#[derive(Clone, Copy)]
pub struct Relocation {
    /// What is changed: section and byte.
    section: usize,
    pub address: u64,
    pub kind: u32,
    /// Index into the symbols.
    pub symbol: usize,
    /// Its place among all of them.
    order: usize,
}

/// A symbol.
#[derive(Clone, Copy)]
pub struct Symbol<'f> {
    pub name: &'f str,
    pub address: u64,
    pub size: u64,
    pub place: Place,
    pub function: bool,
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

impl Place {
    /// What a symbol says of its section; `number` is the section's where it does not fit there.
    fn of(said: u16, number: Option<u32>) -> Self {
        match said {
            elf::SHN_UNDEF => Self::Outside,
            elf::SHN_COMMON => Self::Common,
            elf::SHN_XINDEX => match number {
                Some(number) if number != 0 => Self::Section(number as usize),
                _ => Self::None,
            },
            index if index < elf::SHN_LORESERVE => Self::Section(index.into()),
            _ => Self::None,
        }
    }
}

/// Section, address and index of a symbol.
type SymbolPlace = (usize, u64, usize);

impl<'f> File<'f> {
    pub fn parse(bytes: &'f [u8], steps: &mut Steps<'_>) -> Result<File<'f>, Error> {
        let header = header(bytes)?;
        let wrong = |error| refused!("no object file: {error}");
        let headers = header.section_headers(LE, bytes).map_err(wrong)?;
        let table: SectionTable<'f, Header, &'f [u8]> = header.sections(LE, bytes).map_err(wrong)?;
        let names = header.shstrndx(LE, bytes).map_err(wrong)?;
        let names = strings(headers, names as usize, bytes)?;
        let mut file = File {
            sections: Vec::new(),
            symbols: Vec::new(),
            placed: Vec::new(),
            relocations: Vec::new(),
            is_gnu: false,
        };
        for (at, header) in headers.iter().enumerate() {
            file.sections.put(section(at, header, names, bytes, steps)?)?;
        }
        file.is_gnu = file.is_made_by_gnu();
        file.check_overlaps(headers, steps)?;
        let symbols = table.symbols(LE, bytes, elf::SHT_SYMTAB).map_err(wrong)?;
        let names = match symbols.is_empty() {
            true => &[][..],
            false => strings(headers, symbols.string_section().0, bytes)?,
        };
        for (index, symbol) in symbols.enumerate() {
            let number = symbols.shndx(LE, index);
            file.symbol(index, symbol, number, names, steps)?;
        }
        sort_by_in_pieces(&mut file.placed, |one, other| one < other, || steps.take(1))?;
        for (at, header) in headers.iter().enumerate() {
            if header.link(LE) == symbols.section() && symbols.section() != SectionIndex(0) {
                file.relocations_in(at, header, bytes, steps)?;
            }
        }
        file.sort_relocations(steps)?;
        Ok(file)
    }

    /// Orders relocations by their address; the last one of an address is what counts.
    fn sort_relocations(&mut self, steps: &mut Steps<'_>) -> Result<(), Error> {
        let before = |one: &Relocation, other: &Relocation| one.key() < other.key();
        sort_by_in_pieces(&mut self.relocations, before, || steps.take(1))?;
        self.relocations.reverse();
        self.relocations.dedup_by_key(|one| (one.section, one.address));
        self.relocations.reverse();
        Ok(())
    }

    pub fn section(&self, name: &str) -> Option<(usize, &Section<'f>)> {
        self.sections.iter().enumerate().find(|(_, section)| section.name == name)
    }

    /// The name of a section.
    pub fn section_name(&self, index: usize) -> &'f str {
        self.sections.get(index).map_or("?", |section| section.name)
    }

    /// The symbols of a section, ascending by address.
    pub fn symbols_of(&self, section: usize) -> impl Iterator<Item = &Symbol<'f>> {
        let from = self.placed.partition_point(|placed| placed.0 < section);
        let placed = self.placed.get(from..).unwrap_or_default().iter().take_while(move |placed| placed.0 == section);
        placed.filter_map(|placed| self.symbols.get(placed.2))
    }

    /// The relocations of a section, ascending by address.
    pub fn relocations_of(&self, section: usize) -> &[Relocation] {
        let from = self.relocations.partition_point(|one| one.section < section);
        let to = self.relocations.partition_point(|one| one.section <= section);
        self.relocations.get(from..to).unwrap_or_default()
    }

    /// The relocation of a byte of a section.
    pub fn relocation(&self, section: usize, address: u64) -> Option<&Relocation> {
        let key = |one: &Relocation| (one.section, one.address);
        let at = self.relocations.binary_search_by_key(&(section, address), key).ok()?;
        self.relocations.get(at)
    }

    /// The symbol of a relocation.
    pub fn target(&self, relocation: &Relocation) -> Result<&Symbol<'f>, Error> {
        let symbol = self.symbols.get(relocation.symbol);
        symbol.ok_or_else(|| refused!("a relocation names symbol {}, which does not exist", relocation.symbol))
    }

    /// Whether GNU's compiler and assembler made it.
    fn is_made_by_gnu(&self) -> bool {
        let comment = self.section(".comment").map_or(&[][..], |(_, section)| section.bytes);
        comment.windows(4).any(|word| word == b"GCC:")
    }

    /// The licence, as far as it can be shown.
    pub fn licence(&self) -> Result<String, Error> {
        let bytes = self.section("license").map_or(&[][..], |(_, section)| section.bytes);
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        let mut licence = String::new();
        licence.try_reserve(256)?;
        let text = text.get(..256).unwrap_or(text).utf8_chunks().flat_map(|chunk| chunk.valid().chars());
        licence.extend(text.filter(|c| !c.is_control()).take(64));
        Ok(licence)
    }

    /// Sections of an honest object do not share bytes of the file.
    fn check_overlaps(&self, headers: &[SectionHeader], steps: &mut Steps<'_>) -> Result<(), Error> {
        let mut ranges: Vec<(u64, u64, usize)> = Vec::new();
        for (at, header) in headers.iter().enumerate() {
            if let Some((from, size)) = header.file_range(LE).filter(|range| range.1 > 0) {
                ranges.put((from, from.saturating_add(size), at))?;
            }
        }
        sort_by_in_pieces(&mut ranges, |one, other| one < other, || steps.take(1))?;
        for pair in ranges.windows(2) {
            let [(_, end, first), (from, _, second)] = pair else {
                continue;
            };
            let (first, second) = (self.section_name(*first), self.section_name(*second));
            // Tables of names may be one.
            if from < end
                && !planted!(SharedBytes)
                && !(find(first, "strtab").is_some() && find(second, "strtab").is_some())
            {
                return Err(refused!("byte {from:#x}: sections {first} and {second} overlap"));
            }
        }
        Ok(())
    }

    fn symbol(
        &mut self,
        index: SymbolIndex,
        symbol: &elf::Sym64<LittleEndian>,
        number: Option<u32>,
        names: &'f [u8],
        steps: &mut Steps<'_>,
    ) -> Result<(), Error> {
        let at = index.0;
        // The first one is none.
        let name = match at {
            0 => "",
            _ => name_at(names, symbol.st_name(LE) as usize).ok_or_else(|| refused!("symbol {at} has no name"))?,
        };
        steps.take((name.len() / 8).saturating_add(1))?;
        let place = if at == 0 { Place::None } else { Place::of(symbol.st_shndx(LE), number) };
        if let Place::Section(section) = place {
            if section >= self.sections.len() && !planted!(SectionBeyond) {
                return Err(refused!("symbol {name} is in section {section}, which does not exist"));
            }
            self.placed.put((section, symbol.st_value(LE), at))?;
        }
        self.symbols.put(Symbol {
            name,
            address: symbol.st_value(LE),
            size: symbol.st_size(LE),
            place,
            function: matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_GNU_IFUNC),
            global: symbol.st_bind() != elf::STB_LOCAL,
            weak: symbol.st_bind() == elf::STB_WEAK,
        })
    }

    /// Reads the relocations in a section, if it has some.
    fn relocations_in(
        &mut self,
        at: usize,
        header: &SectionHeader,
        bytes: &'f [u8],
        steps: &mut Steps<'_>,
    ) -> Result<(), Error> {
        let wrong = |error| refused!("section {at}: {error}");
        let section = header.sh_info(LE) as usize;
        if let Some((list, _)) = header.rel(LE, bytes).map_err(wrong)? {
            for one in list {
                self.relocated(section, one.r_offset(LE), (one.r_type(LE), one.r_sym(LE)), steps)?;
            }
        }
        if let Some((list, _)) = header.rela(LE, bytes).map_err(wrong)? {
            for one in list {
                let (kind, symbol) = (one.r_type(LE, false), one.r_sym(LE, false));
                self.relocated(section, one.r_offset(LE), (kind, symbol), steps)?;
            }
        }
        Ok(())
    }

    fn relocated(
        &mut self,
        section: usize,
        address: u64,
        (kind, symbol): (u32, u32),
        steps: &mut Steps<'_>,
    ) -> Result<(), Error> {
        steps.take(1)?;
        let of = self.sections.get(section).filter(|_| section != 0);
        let of = of.ok_or_else(|| refused!("a relocation of section {section}, which does not exist"))?;
        if symbol == 0 && !planted!(NoSymbol) {
            return Err(refused!("section {}, byte {address:#x}: a relocation without a symbol", of.name));
        }
        if address >= of.size && of.allocated && !planted!(RelocationOutside) {
            return Err(refused!("section {}: a relocation of byte {address:#x}, which is outside of it", of.name));
        }
        let order = self.relocations.len();
        self.relocations.put(Relocation { section, address, kind, symbol: symbol as usize, order })
    }
}

impl Relocation {
    fn key(&self) -> (usize, u64, usize) {
        (self.section, self.address, self.order)
    }
}

/// The header, of a file that this is about.
fn header(bytes: &[u8]) -> Result<&Header, Error> {
    let header = Header::parse(bytes).map_err(|error| match (bytes.get(4), bytes.get(5)) {
        (Some(&elf::ELFCLASS32), _) => refused!("byte 4: this object is for a machine of 32 bits, not for BPF: compile with clang -target bpf, or with bpf-gcc"),
        _ => refused!("no object file: {error}"),
    })?;
    let is_big = header.is_big_endian();
    // Of either byte order.
    let machine = header.e_machine(LE);
    let machine = if is_big && machine != elf::EM_BPF { machine.swap_bytes() } else { machine };
    if machine != elf::EM_BPF {
        return Err(refused!(
            "byte 18: this object is for machine {machine}, not for BPF ({}): compile with clang -target bpf, or with bpf-gcc",
            elf::EM_BPF
        ));
    }
    if is_big {
        return Err(refused!("byte 5: this object is big-endian: compile with -target bpfel"));
    }
    if header.e_type(LE) != elf::ET_REL {
        return Err(refused!("byte 16: this is no relocatable object: compile with -c"));
    }
    Ok(header)
}

/// The bytes of a table of names.
fn strings<'f>(headers: &[SectionHeader], at: usize, bytes: &'f [u8]) -> Result<&'f [u8], Error> {
    match headers.get(at) {
        None if headers.is_empty() => Ok(&[]),
        None => Err(refused!("the names stand in section {at}, which does not exist")),
        Some(header) => header.data(LE, bytes).map_err(|error| refused!("section {at}, of names: {error}")),
    }
}

fn section<'f>(
    at: usize,
    header: &SectionHeader,
    names: &'f [u8],
    bytes: &'f [u8],
    steps: &mut Steps<'_>,
) -> Result<Section<'f>, Error> {
    // The first one is none.
    let name = match at {
        0 => "",
        _ => name_at(names, header.sh_name(LE) as usize).ok_or_else(|| refused!("section {at} has no name"))?,
    };
    steps.take((name.len() / 8).saturating_add(1))?;
    let flags = header.sh_flags(LE);
    let has = |flag: u32| flags & u64::from(flag) != 0;
    if has(elf::SHF_COMPRESSED) && has(elf::SHF_ALLOC) {
        return Err(refused!("section {name} is compressed"));
    }
    let bytes = match at {
        0 => &[][..],
        _ => header.data(LE, bytes).map_err(|error| refused!("section {name}: {error}"))?,
    };
    Ok(Section {
        name,
        bytes,
        size: if at == 0 { 0 } else { header.sh_size(LE) },
        executable: has(elf::SHF_EXECINSTR) && !bytes.is_empty(),
        allocated: has(elf::SHF_ALLOC),
        writable: has(elf::SHF_WRITE),
    })
}
