//! The functions of an object.

use crate::{
    elf::{File, Symbol},
    error::{refused, text, Error},
    section::{self, Wanted},
    work::{Put, Steps},
};
use alloc::{borrow::Cow, vec::Vec};
use ubpf_rs::object::LONGEST_NAME;

/// Bytes of an instruction slot.
pub const SLOT: u64 = 8;
/// The name of a program by convention, where a section's name says nothing.
const USUAL: &str = "bpf_prog";

/// Steps to find out what a section's name says.
const WANTED: usize = 128;

/// A function.
pub struct Function<'f> {
    pub name: Cow<'f, str>,
    /// Its section, and where it begins there.
    pub section: usize,
    pub address: u64,
    pub code: &'f [[u8; 8]],
    pub global: bool,
}

/// All of them, in the order of the file: ascending by section and address.
pub struct Functions<'f> {
    pub list: Vec<Function<'f>>,
}

/// Reads the functions.
pub fn read<'f>(file: &File<'f>, steps: &mut Steps<'_>) -> Result<Functions<'f>, Error> {
    let mut list = Vec::new();
    for (index, section) in file.sections.iter().enumerate().filter(|(_, section)| section.executable) {
        let mut functions = file.symbols_of(index).filter(|symbol| symbol.function).peekable();
        let mut any = false;
        while let Some(symbol) = functions.next() {
            steps.take(1)?;
            any = true;
            // Of one address, the first name.
            while functions.next_if(|next| next.address == symbol.address).is_some() {}
            let next = functions.peek().map_or(section.size, |next| next.address);
            let end = match symbol.size {
                0 => next,
                size => symbol.address.saturating_add(size),
            };
            list.put(function(symbol, index, section.bytes, end)?)?;
        }
        // Text that an old compiler or an assembler wrote without functions is one program.
        if !any {
            let name = section.name.trim_start_matches('.');
            let name = match name.contains(char::is_whitespace) {
                true => Cow::Owned(text(format_args!("{}", Joined(name)), LONGEST_NAME)?),
                false => Cow::Borrowed(name),
            };
            let code = whole(section.bytes, section.name)?;
            list.put(Function { name, section: index, address: 0, code, global: true })?;
        }
    }
    match list.is_empty() {
        true => Err(refused!("the object has no function")),
        false => Ok(Functions { list }),
    }
}

/// A text with something to be seen in place of what is not.
struct Joined<'t>(&'t str);

impl core::fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.chars().try_for_each(|c| core::fmt::Write::write_char(f, if c.is_whitespace() { '_' } else { c }))
    }
}

fn function<'f>(symbol: &Symbol<'f>, section: usize, bytes: &'f [u8], end: u64) -> Result<Function<'f>, Error> {
    let name = symbol.name;
    let range = usize::try_from(symbol.address).ok().zip(usize::try_from(end).ok());
    let code = range.and_then(|(from, to)| bytes.get(from..to));
    let code = code.ok_or_else(|| refused!("function {name} is not within its section"))?;
    let (address, global) = (symbol.address, symbol.global);
    Ok(Function { code: whole(code, name)?, name: Cow::Borrowed(name), section, address, global })
}

fn whole<'f>(code: &'f [u8], name: &str) -> Result<&'f [[u8; 8]], Error> {
    match code.as_chunks() {
        (slots, []) if !slots.is_empty() => Ok(slots),
        _ => Err(refused!("function {name} has {} bytes, which are no instructions", code.len())),
    }
}

impl<'f> Functions<'f> {
    /// The function that begins there.
    pub fn at(&self, section: usize, address: i64) -> Option<usize> {
        let place = (section, u64::try_from(address).ok()?);
        self.list.binary_search_by_key(&place, |f| (f.section, f.address)).ok()
    }

    /// The name of a function.
    pub fn name(&self, at: usize) -> &str {
        self.list.get(at).map_or("?", |function| &function.name)
    }

    /// Those in sections of their own names: the global ones, or where a section has none of these, what no other calls.
    fn in_named_sections(
        &self,
        file: &File<'f>,
        called: &[bool],
        steps: &mut Steps<'_>,
    ) -> Result<Vec<(usize, Wanted<'f>)>, Error> {
        let name = |function: &Function<'_>| file.section_name(function.section);
        let mut with_global: Vec<bool> = Vec::new();
        with_global.grow(file.sections.len(), false)?;
        for function in self.list.iter().filter(|function| function.global) {
            if let Some(with_global) = with_global.get_mut(function.section) {
                *with_global = true;
            }
        }
        let mut found = Vec::new();
        for (at, function) in self.list.iter().enumerate().filter(|(_, function)| name(function) != ".text") {
            let none_global = with_global.get(function.section) == Some(&false);
            if function.global || none_global && !called.get(at).copied().unwrap_or(false) {
                steps.take(WANTED)?;
                found.put((at, section::wanted(name(function))?))?;
            }
        }
        Ok(found)
    }

    /// Those that are programs, with what their sections want of them. In a section of its own name every global function is one; where
    /// there is only `.text`, the function called `bpf_prog`, or those that no other calls.
    pub fn programs(
        &self,
        file: &File<'f>,
        called: &[bool],
        steps: &mut Steps<'_>,
    ) -> Result<Vec<(usize, Wanted<'f>)>, Error> {
        let found = self.in_named_sections(file, called, steps)?;
        if !found.is_empty() {
            return Ok(found);
        }
        let is_called = |at: usize| called.get(at).copied().unwrap_or(false);
        let all = || self.list.iter().enumerate();
        let mut found = Vec::new();
        let usual = all().find(|(_, function)| function.name == USUAL).map(|(at, _)| at);
        let several = self.list.len() > 1;
        for (at, function) in all() {
            let is_one = match usual {
                Some(usual) => at == usual,
                None => !several || function.global && !is_called(at),
            };
            if is_one {
                steps.take(WANTED)?;
                found.put((at, section::wanted(".text")?))?;
            }
        }
        match found.is_empty() {
            true => Err(refused!("no function is a program: one must be global and called by no other")),
            false => Ok(found),
        }
    }
}
