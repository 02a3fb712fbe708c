//! Numbers that a person may set by name. Those of read-only data decide branches; gcc keeps `const volatile` in data that can be written.

#[cfg(feature = "host")]
use crate::error::refused;
use crate::{
    btf::{Btf, Kind},
    elf::{File, Place},
    error::Error,
    link::DataSection,
    maps::{check_values, Seen},
    work::{Put, Steps},
};
use alloc::vec::Vec;
#[cfg(feature = "host")]
use core::ops::RangeInclusive;
use ubpf_rs::object::Variable;

/// The numbers in the data that have a name.
pub fn read<'f>(
    file: &File<'f>,
    btf: &Btf<'f>,
    data: &[DataSection<'_>],
    seen: &mut Seen,
    steps: &mut Steps<'_>,
) -> Result<Vec<Variable<'f>>, Error> {
    let mut list = Vec::new();
    for (at, section) in data.iter().enumerate() {
        let Some(index) = section.index else { continue };
        steps.take(file.symbols.len() / 4)?;
        for symbol in file.symbols.iter().filter(|symbol| symbol.place == Place::Section(index)) {
            let kind = btf.variable(&section.name, symbol.name, steps)?;
            if let Some(kind) = kind {
                let checked = check_values(btf, kind, seen, steps);
                checked.map_err(|reason| reason.of(format_args!("variable {}", symbol.name)))?;
            }
            let fits = matches!(symbol.size, 1 | 2 | 4 | 8) && !symbol.name.is_empty();
            let end = symbol.address.saturating_add(symbol.size);
            if !fits || end > section.size.into() {
                continue;
            }
            let kind = kind.map(|kind| btf.plain(kind)).transpose()?;
            let signed = match kind.map(|kind| &kind.kind) {
                Some(Kind::Int { signed, .. } | Kind::Enum { signed, .. }) => *signed,
                // Compiled without types.
                None => true,
                Some(_) => continue,
            };
            let (offset, size) = (symbol.address as u32, symbol.size as u32);
            list.put(Variable { name: symbol.name, data: at as u32, offset, size, signed })?;
        }
    }
    Ok(list)
}

/// Sets variables: names and numbers.
#[cfg(feature = "host")]
pub fn set_all(
    data: &mut [DataSection<'_>],
    variables: &[Variable<'_>],
    values: &[(String, String)],
) -> Result<(), Error> {
    values.iter().try_for_each(|(name, value)| set(data, variables, name, value))
}

/// Sets a variable.
#[cfg(feature = "host")]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "what was read is within its section")]
pub fn set(data: &mut [DataSection<'_>], variables: &[Variable<'_>], name: &str, value: &str) -> Result<(), Error> {
    let variable = variables.iter().find(|variable| variable.name == name).ok_or_else(|| {
        let names: Vec<&str> = variables.iter().map(|variable| variable.name).collect();
        match names.is_empty() {
            true => refused!("{name}: the object has no variables that can be set (they are numbers, and used)"),
            false => refused!("{name}: no such variable; there are {}", names.join(", ")),
        }
    })?;
    let bits = 8 * variable.size;
    let number = number(value).ok_or_else(|| refused!("{name}={value}: a number is expected"))?;
    let range = range(bits, variable.signed);
    if !range.contains(&number) {
        return Err(refused!("{name}={value}: it holds {} to {}", range.start(), range.end()));
    }
    let section = &mut data[variable.data as usize];
    section.bytes.resize(section.size as usize, 0);
    let from = variable.offset as usize;
    let size = variable.size as usize;
    section.bytes[from..from + size].copy_from_slice(&number.to_le_bytes()[..size]);
    Ok(())
}

/// What so many bits hold, 1 to 64.
#[cfg(feature = "host")]
#[allow(clippy::arithmetic_side_effects, reason = "64 bits at most")]
pub fn range(bits: u32, signed: bool) -> RangeInclusive<i128> {
    match signed {
        true => -(1i128 << (bits - 1))..=(1i128 << (bits - 1)) - 1,
        false => 0..=(1i128 << bits) - 1,
    }
}

#[cfg(feature = "host")]
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
    Some(if negative { number.wrapping_neg() } else { number })
}
