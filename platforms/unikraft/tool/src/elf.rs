//! What is needed of an ELF file: its sections, function symbols and code. Every number in it may be wrong.

/// A section.
#[derive(Debug)]
pub struct Section<'a> {
    /// Its name.
    pub name: &'a str,
    kind: u32,
    flags: u64,
    /// Address of its first byte.
    pub addr: u64,
    /// Its bytes; none where the file has none of it.
    pub data: &'a [u8],
    link: u32,
}

/// A function symbol.
#[derive(Clone, Copy)]
pub struct Symbol<'a> {
    /// Address of the function.
    pub address: u64,
    /// As it stands in the file; need not be text.
    pub name: &'a [u8],
    /// Whether other files may refer to it.
    pub global: bool,
}

/// A 64-bit little-endian ELF file for x86-64.
pub struct Elf<'a> {
    sections: Vec<Section<'a>>,
}

const EXECUTABLE: u64 = 4;

impl<'a> Elf<'a> {
    /// The file with these bytes; the text says why it is none.
    pub fn new(file: &'a [u8]) -> Result<Self, String> {
        let cut = || "the file is truncated: its section headers are not in it".to_string();
        if !file.starts_with(b"\x7fELF") {
            return Err("this is no ELF file".into());
        }
        match (file.get(4), file.get(5)) {
            (Some(1), _) => return Err("this is a 32-bit file; x86-64 is needed".into()),
            (_, Some(2)) => return Err("this is a big-endian file; x86-64 is needed".into()),
            (Some(2), Some(1)) => {}
            _ => return Err("the file is truncated, or no ELF file".into()),
        }
        match u16_at(file, 18) {
            Some(62) => {}
            Some(183 | 40) => return Err("this is a file for ARM; x86-64 is needed".into()),
            Some(other) => return Err(format!("this is a file for machine {other}; x86-64 is needed")),
            None => return Err(cut()),
        }
        let header = |at: usize| u16_at(file, at).map(usize::from).ok_or_else(cut);
        let table = u64_at(file, 40).and_then(|at| usize::try_from(at).ok());
        let table = table.ok_or_else(cut)?;
        let (size, count, names) = (header(58)?, header(60)?, header(62)?);
        let head = |i: usize| {
            let at = table.checked_add(i.checked_mul(size)?)?;
            file.get(at..at.checked_add(64)?).filter(|_| size >= 64)
        };
        let data = |head: &[u8]| {
            let (at, len) = (u64_at(head, 24)?, u64_at(head, 32)?);
            let (at, len) = (usize::try_from(at).ok()?, usize::try_from(len).ok()?);
            match u32_at(head, 4)? {
                // Takes no place in the file.
                8 => Some(&file[..0]),
                _ => file.get(at..at.checked_add(len)?),
            }
        };
        let strings = head(names).and_then(data).ok_or_else(cut)?;
        let section = |head: &[u8]| {
            let name = bytes_at(strings, u32_at(head, 0)? as usize)?;
            Some(Section {
                name: std::str::from_utf8(name).unwrap_or("?"),
                kind: u32_at(head, 4)?,
                flags: u64_at(head, 8)?,
                addr: u64_at(head, 16)?,
                data: data(head)?,
                link: u32_at(head, 40)?,
            })
        };
        let sections: Option<Vec<_>> = (0..count).map(|i| section(head(i)?)).collect();
        let sections = sections.ok_or_else(|| "the file is truncated: a section lies beyond its end".to_string())?;
        Ok(Self { sections })
    }

    /// Function symbols, in the order of the file.
    pub fn functions(&self) -> impl Iterator<Item = Symbol<'a>> + '_ {
        let tables = self.sections.iter().filter(|s| s.kind == 2);
        tables.flat_map(|table| {
            let strings = self.sections.get(table.link as usize).map(|s| s.data);
            table.data.chunks_exact(24).filter_map(move |symbol| {
                let (info, section) = (symbol[4], u16_at(symbol, 6)?);
                let name = bytes_at(strings?, u32_at(symbol, 0)? as usize)?;
                let function = info & 15 == 2 && section != 0 && !name.is_empty();
                function.then_some(Symbol { address: u64_at(symbol, 8)?, name, global: info >> 4 != 0 })
            })
        })
    }

    /// Sections with code.
    pub fn code(&self) -> impl Iterator<Item = &Section<'a>> {
        let code = self.sections.iter();
        code.filter(|s| s.flags & EXECUTABLE != 0 && !s.data.is_empty())
    }

    /// The code from an address to the end of its section.
    pub fn text(&self, addr: u64) -> &'a [u8] {
        let at = |s: &Section<'a>| s.data.get(usize::try_from(addr.checked_sub(s.addr)?).ok()?..);
        let mut found = self.code().filter_map(at);
        found.find(|text| !text.is_empty()).unwrap_or(&[])
    }

    /// Addresses in the compiler's records of this name, ascending.
    pub fn records(&self, name: &str) -> Vec<u64> {
        let sections = self.sections.iter().filter(|s| s.name == name);
        let words = sections.flat_map(|s| s.data.chunks_exact(8));
        let mut records: Vec<u64> = words.filter_map(|word| u64_at(word, 0)).collect();
        records.sort_unstable();
        records
    }
}

pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let word = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(word.try_into().ok()?))
}

pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(word.try_into().ok()?))
}

fn bytes_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let bytes = bytes.get(at..)?;
    let end = bytes.iter().position(|b| *b == 0)?;
    Some(&bytes[..end])
}
