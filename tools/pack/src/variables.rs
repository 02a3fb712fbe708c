//! Numbers that a person may set by name. Those of read-only data decide branches; gcc keeps `const volatile` in data that can be written.

use crate::btf::{Btf, Kind};
use crate::{
    elf::{File, Place},
    link::Section,
};
use std::ops::RangeInclusive;
use ubpf_rs::object;

/// A number in the data.
pub struct Variable {
    pub name: String,
    data: usize,
    offset: u32,
    size: u32,
    signed: bool,
}

impl Variable {
    pub fn def(&self) -> object::Variable<'_> {
        object::Variable {
            name: &self.name,
            data: self.data as u32,
            offset: self.offset,
            size: self.size,
            signed: self.signed,
        }
    }
}

/// The numbers in the data that have a name.
pub fn read(file: &File<'_>, btf: &Btf<'_>, data: &[Section]) -> Result<Vec<Variable>, String> {
    let mut list = Vec::new();
    for (at, section) in data.iter().enumerate() {
        let Some(index) = section.index else { continue };
        for symbol in file.symbols.iter().filter(|symbol| symbol.place == Place::Section(index)) {
            let fits = matches!(symbol.size, 1 | 2 | 4 | 8) && !symbol.name.is_empty();
            let end = symbol.address.saturating_add(symbol.size);
            if !fits || end > section.size.into() {
                continue;
            }
            let kind = btf.variable(&section.name, &symbol.name)?;
            let kind = kind.map(|kind| btf.plain(kind)).transpose()?;
            let signed = match kind.map(|kind| &kind.kind) {
                Some(Kind::Int { signed, .. } | Kind::Enum { signed, .. }) => *signed,
                // Compiled without types.
                None => true,
                Some(_) => continue,
            };
            list.push(Variable {
                name: symbol.name.clone(),
                data: at,
                offset: symbol.address as u32,
                size: symbol.size as u32,
                signed,
            });
        }
    }
    Ok(list)
}

/// Sets a variable.
pub fn set(data: &mut [Section], variables: &[Variable], name: &str, value: &str) -> Result<(), String> {
    let variable = variables.iter().find(|variable| variable.name == name).ok_or_else(|| {
        let names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
        match names.is_empty() {
            true => format!("{name}: the object has no variables that can be set (they are numbers, and used)"),
            false => format!("{name}: no such variable; there are {}", names.join(", ")),
        }
    })?;
    let bits = 8 * variable.size;
    let number = number(value).ok_or_else(|| format!("{name}={value}: a number is expected"))?;
    let range = range(bits, variable.signed);
    if !range.contains(&number) {
        return Err(format!("{name}={value}: it holds {} to {}", range.start(), range.end()));
    }
    let section = &mut data[variable.data];
    section.bytes.resize(section.size as usize, 0);
    let from = variable.offset as usize;
    let size = variable.size as usize;
    section.bytes[from..from + size].copy_from_slice(&number.to_le_bytes()[..size]);
    Ok(())
}

/// What so many bits hold, 1 to 64.
pub fn range(bits: u32, signed: bool) -> RangeInclusive<i128> {
    match signed {
        true => -(1i128 << (bits - 1))..=(1i128 << (bits - 1)) - 1,
        false => 0..=(1i128 << bits) - 1,
    }
}

/// A number, decimal or `0x…`, with a sign.
pub fn number(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let number = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    let number = i128::from(number.ok().filter(|_| !digits.starts_with('+'))?);
    Some(if negative { -number } else { number })
}
