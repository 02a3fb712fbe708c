//! Writes the names of functions into a linked Unikraft image: `ubpf-embed IMAGE.dbg IMAGE`.
//!
//! The image has a table with a magic word and a capacity (`ukglue.c`). Nothing moves: the table is filled in place,
//! in the image and in its `.dbg`. Format: per function `u32` address minus that of the first one, `u8` kind of stub
//! (0 none, 1 nops, 2 a nop of the `-pg` kind, 3 calls `__cyg_profile_func_enter`), `u8` distance of the stub from the entry, `u8` length of the name,
//! the name; in order of address. Before all: `u64` address of the first function, `u32` number of functions.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    process::ExitCode,
};

const MAGIC: &[u8; 16] = b"ubpf-rs\x1bsymtab\x01\0";
const NOPS: [u8; 5] = [0x90; 5];
/// Has a stub for measurements only.
const OURS: &[u8] = b"ubpf_subject";
const NOP5: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];
const NOP5_CLANG: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x08];
const ENDBR: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [debug, image] = args.as_slice() else {
        eprintln!("usage: ubpf-embed IMAGE.dbg IMAGE");
        return ExitCode::from(2);
    };
    match embed(debug, image) {
        Ok(said) => {
            eprintln!("ubpf-embed: {said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ubpf-embed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn embed(debug: &str, image: &str) -> Result<String, String> {
    let read = |path: &str| fs::read(path).map_err(|e| format!("cannot read {path}: {e}"));
    let symbols_file = read(debug)?;
    let elf = Elf::new(&symbols_file).ok_or_else(|| format!("{debug}: not a 64-bit ELF file"))?;
    let functions = elf.functions();
    let table = encode(&elf, &functions)?;
    let stubs = functions.iter().filter(|f| elf.stub(*f.0).0 != 0).count();
    let mut image_file = read(image)?;
    let room = fill(&mut image_file, &table).map_err(|e| format!("{image}: {e}"))?;
    let mut filled = symbols_file.clone();
    fill(&mut filled, &table).map_err(|e| format!("{debug}: {e}"))?;
    let write =
        |path: &str, bytes| fs::write(path, bytes).map_err(|e| format!("cannot write {path}: {e}"));
    write(image, image_file)?;
    write(debug, filled)?;
    Ok(format!(
        "{} functions, {stubs} with entry stubs, {} of {room} bytes",
        functions.len(),
        table.len()
    ))
}

/// Puts the table into its place and says how large that is.
fn fill(file: &mut [u8], table: &[u8]) -> Result<usize, String> {
    let places: Vec<usize> = file
        .windows(MAGIC.len())
        .enumerate()
        .filter(|(_, window)| window == MAGIC)
        .map(|(at, _)| at)
        .collect();
    let [at] = places.as_slice() else {
        return Err(format!(
            "{} places for names, one expected; is LIBUBPF_RS linked?",
            places.len()
        ));
    };
    let head = at + MAGIC.len();
    let capacity = u32_at(file, head).ok_or("file ends in the table")? as usize;
    if table.len() > capacity {
        return Err(format!(
            "names need {} bytes, there are {capacity}: set LIBUBPF_RS_SYMBOLS_KIB to {} or more",
            table.len(),
            table.len().div_ceil(1024)
        ));
    }
    let space = file
        .get_mut(head + 8..head + 8 + capacity)
        .ok_or("file ends in the table")?;
    space.fill(0);
    space[..table.len()].copy_from_slice(table);
    file[head + 4..head + 8].copy_from_slice(&(table.len() as u32).to_le_bytes());
    Ok(capacity)
}

fn encode(elf: &Elf<'_>, functions: &BTreeMap<u64, &str>) -> Result<Vec<u8>, String> {
    let base = *functions.keys().next().ok_or("no function symbols")?;
    let mut table = base.to_le_bytes().to_vec();
    table.extend((functions.len() as u32).to_le_bytes());
    for (addr, name) in functions {
        let distance = u32::try_from(addr - base).map_err(|_| "text is larger than 4 GiB")?;
        let name = &name.as_bytes()[..name.len().min(255)];
        let (kind, offset) = match name {
            OURS => (0, 0),
            _ => elf.stub(*addr),
        };
        table.extend(distance.to_le_bytes());
        table.extend([kind, offset, name.len() as u8]);
        table.extend(name);
    }
    Ok(table)
}

struct Section<'a> {
    name: &'a str,
    kind: u32,
    flags: u64,
    addr: u64,
    data: &'a [u8],
    link: u32,
}

struct Elf<'a> {
    sections: Vec<Section<'a>>,
    /// Addresses in `__mcount_loc`.
    mcount: Vec<u64>,
    /// Functions that call `__cyg_profile_func_enter`.
    instrumented: BTreeSet<u64>,
}

impl<'a> Elf<'a> {
    fn new(file: &'a [u8]) -> Option<Self> {
        if file.get(..5)? != b"\x7fELF\x02" {
            return None;
        }
        let (at, size) = (u64_at(file, 40)? as usize, u16_at(file, 58)? as usize);
        let (count, names) = (u16_at(file, 60)? as usize, u16_at(file, 62)? as usize);
        let header = |i: usize| file.get(at + i * size..at + (i + 1) * size);
        let data = |head: &[u8]| match u32_at(head, 4)? {
            8 => Some(&file[..0]),
            _ => file
                .get(u64_at(head, 24)? as usize..)?
                .get(..u64_at(head, 32)? as usize),
        };
        let strings = data(header(names)?)?;
        let mut sections = Vec::new();
        for i in 0..count {
            let head = header(i)?;
            sections.push(Section {
                name: str_at(strings, u32_at(head, 0)? as usize)?,
                kind: u32_at(head, 4)?,
                flags: u64_at(head, 8)?,
                addr: u64_at(head, 16)?,
                data: data(head)?,
                link: u32_at(head, 40)?,
            });
        }
        let mcount = sections
            .iter()
            .filter(|s| s.name == "__mcount_loc")
            .flat_map(|s| s.data.chunks_exact(8).filter_map(|c| u64_at(c, 0)))
            .collect();
        let mut elf = Self {
            sections,
            mcount,
            instrumented: BTreeSet::new(),
        };
        elf.find_instrumented();
        Some(elf)
    }

    /// Functions that call `__cyg_profile_func_enter`, by what a near call to it looks like.
    fn find_instrumented(&mut self) {
        let functions = self.functions();
        let Some((&hook, _)) = functions
            .iter()
            .find(|f| *f.1 == "__cyg_profile_func_enter")
        else {
            return;
        };
        let ends = functions.keys().skip(1).copied().chain([u64::MAX]);
        for (&start, end) in functions.keys().zip(ends) {
            let len = usize::try_from(end - start).unwrap_or(0);
            let text = self.text(start);
            let text = &text[..text.len().min(len)];
            let calls = (start..).zip(text.windows(5)).any(|(at, window)| {
                let Some(to) = u32_at(window, 1) else {
                    return false;
                };
                let target = at.wrapping_add(5).wrapping_add(to as i32 as u64);
                // A call, or a jump where the call came last.
                matches!(window[0], 0xe8 | 0xe9) && target == hook
            });
            if calls {
                self.instrumented.insert(start);
            }
        }
    }

    /// Functions by address; of several names the first global one, else the first.
    fn functions(&self) -> BTreeMap<u64, &'a str> {
        let mut found: BTreeMap<u64, (bool, &'a str)> = BTreeMap::new();
        for table in self.sections.iter().filter(|s| s.kind == 2) {
            let Some(strings) = self.sections.get(table.link as usize) else {
                continue;
            };
            for symbol in table.data.chunks_exact(24) {
                let (info, defined) = (symbol[4], u16_at(symbol, 6).unwrap_or(0) != 0);
                let (Some(name), Some(addr)) = (
                    u32_at(symbol, 0).and_then(|at| str_at(strings.data, at as usize)),
                    u64_at(symbol, 8),
                ) else {
                    continue;
                };
                // Functions of C: what Rust and the compiler made up is not for people to attach to.
                if info & 15 != 2
                    || !defined
                    || name.is_empty()
                    || name.starts_with("_R")
                    || name.starts_with("_ZN")
                {
                    continue;
                }
                let global = info >> 4 != 0;
                let entry = found.entry(addr).or_insert((global, name));
                if global && !entry.0 {
                    *entry = (global, name);
                }
            }
        }
        found
            .into_iter()
            .map(|(addr, (_, name))| (addr, name))
            .collect()
    }

    fn text(&self, addr: u64) -> &'a [u8] {
        self.sections
            .iter()
            .filter(|s| s.flags & 4 != 0)
            .find_map(|s| {
                s.data
                    .get(usize::try_from(addr.checked_sub(s.addr)?).ok()?..)
            })
            .unwrap_or(&[])
    }

    /// Kind and distance of the entry stub of a function.
    fn stub(&self, addr: u64) -> (u8, u8) {
        if self.instrumented.contains(&addr) {
            return (3, 0);
        }
        let near = |record: &&u64| (addr..addr + 32).contains(*record);
        if let Some(record) = self.mcount.iter().find(near) {
            if self.text(*record).starts_with(&NOP5) {
                return (2, (record - addr) as u8);
            }
        }
        let text = self.text(addr);
        let (text, offset) = match text.strip_prefix(&ENDBR) {
            Some(rest) => (rest, ENDBR.len() as u8),
            None => (text, 0),
        };
        let stub = [NOPS, NOP5, NOP5_CLANG]
            .iter()
            .any(|nop| text.starts_with(nop));
        (u8::from(stub && self.mcount.is_empty()), offset)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn str_at(bytes: &[u8], at: usize) -> Option<&str> {
    let bytes = bytes.get(at..)?;
    let end = bytes.iter().position(|b| *b == 0)?;
    std::str::from_utf8(&bytes[..end]).ok()
}
