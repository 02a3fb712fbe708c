//! The functions of an object.

use crate::{
    elf::{File, Symbol},
    section::{self, Wanted},
};
use object::SymbolKind;
use std::collections::BTreeSet;

/// Bytes of an instruction slot.
pub const SLOT: u64 = 8;
/// The name of a program by convention, where a section's name says nothing.
const USUAL: &str = "bpf_prog";

/// A function.
pub struct Function<'f> {
    pub name: String,
    /// Its section, and where it begins there.
    pub section: usize,
    pub address: u64,
    pub code: &'f [u8],
    pub global: bool,
}

/// All of them, in the order of the file: ascending by section and address.
pub struct Functions<'f> {
    pub list: Vec<Function<'f>>,
}

/// Reads the functions.
pub fn read<'f>(file: &File<'f>) -> Result<Functions<'f>, String> {
    let mut list = Vec::new();
    for (index, section) in file.sections.iter().enumerate().filter(|(_, section)| section.executable) {
        let symbols = file.symbols_of(index);
        let mut symbols: Vec<&Symbol> = symbols.into_iter().filter(|s| s.kind == SymbolKind::Text).collect();
        symbols.dedup_by_key(|symbol| symbol.address);
        for (at, symbol) in symbols.iter().enumerate() {
            let next = symbols.get(at + 1).map_or(section.size, |next| next.address);
            let end = match symbol.size {
                0 => next,
                size => symbol.address.saturating_add(size),
            };
            list.push(function(symbol, index, section.bytes, end)?);
        }
        // Text that an old compiler or an assembler wrote without functions is one program.
        if symbols.is_empty() {
            list.push(Function {
                name: section.name.trim_start_matches('.').replace(char::is_whitespace, "_"),
                section: index,
                address: 0,
                code: whole(section.bytes, &section.name)?,
                global: true,
            });
        }
    }
    match list.is_empty() {
        true => Err("the object has no function".into()),
        false => Ok(Functions { list }),
    }
}

fn function<'f>(symbol: &Symbol, section: usize, bytes: &'f [u8], end: u64) -> Result<Function<'f>, String> {
    let name = symbol.name.clone();
    let range = usize::try_from(symbol.address).ok().zip(usize::try_from(end).ok());
    let code = range.and_then(|(from, to)| bytes.get(from..to));
    let code = code.ok_or_else(|| format!("function {name} is not within its section"))?;
    Ok(Function { code: whole(code, &name)?, name, section, address: symbol.address, global: symbol.global })
}

fn whole<'f>(code: &'f [u8], name: &str) -> Result<&'f [u8], String> {
    match (code.len() as u64).is_multiple_of(SLOT) && !code.is_empty() {
        true => Ok(code),
        false => Err(format!("function {name} has {} bytes, which are no instructions", code.len())),
    }
}

impl Functions<'_> {
    /// The function that begins there.
    pub fn at(&self, section: usize, address: i64) -> Option<usize> {
        let place = (section, u64::try_from(address).ok()?);
        self.list.binary_search_by_key(&place, |f| (f.section, f.address)).ok()
    }

    /// Those that are programs, with what their sections want of them. In a section of its own name every global function is one; where
    /// there is only `.text`, the function called `bpf_prog`, or those that no other calls.
    pub fn programs(&self, file: &File<'_>, called: &[bool]) -> Result<Vec<(usize, Wanted)>, String> {
        let name = |function: &Function<'_>| file.sections[function.section].name.as_str();
        let is_named = |function: &Function<'_>| name(function) != ".text";
        let all = || self.list.iter().enumerate();
        let with_global: BTreeSet<usize> = self.list.iter().filter(|f| f.global).map(|f| f.section).collect();
        let mut found = Vec::new();
        for (at, function) in all().filter(|(_, function)| is_named(function)) {
            if function.global || !with_global.contains(&function.section) && !called[at] {
                found.push((at, section::wanted(name(function))));
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        let usual = all().find(|(_, function)| function.name == USUAL).map(|(at, _)| at);
        let several = self.list.len() > 1;
        let free = |&(at, function): &(usize, &Function<'_>)| !several || function.global && !called[at];
        let programs: Vec<usize> = match usual {
            Some(at) => vec![at],
            None => all().filter(free).map(|(at, _)| at).collect(),
        };
        match programs.is_empty() {
            true => Err("no function is a program: one must be global and called by no other".into()),
            false => Ok(programs.into_iter().map(|at| (at, section::wanted(".text"))).collect()),
        }
    }
}
