//! What functions of an image are called with: names and types of their parameters, of the DWARF in its debug file.

use crate::image::{children, encoding, name_of, number, sections_of, to_offset, Entry, Slice};
use gimli::{Dwarf, EndianSlice, LittleEndian, Unit, UnitOffset};
use std::collections::HashMap;

/// A parameter that is passed in one register.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameter {
    /// Empty where it has none.
    pub name: String,
    /// Its bits, up to 64.
    pub bits: u32,
    /// What it is.
    pub kind: ParameterKind,
}

/// What a parameter is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParameterKind {
    /// A number with a sign.
    Signed,
    /// One without.
    Unsigned,
    /// An address.
    Pointer,
}

/// What is known of a function's parameters in registers.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Signature {
    /// Those of the first registers, in their order.
    pub parameters: Vec<Parameter>,
    /// Nobody knows what lies in the other registers: there are more parameters, whose registers cannot be told.
    pub open: bool,
    /// What it gives back.
    pub result: Outcome,
}

/// What a function gives back.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Outcome {
    /// Nothing.
    Nothing,
    /// A value of so many bits, up to 64, in the first register.
    Number {
        /// Its bits.
        bits: u32,
        /// What it is.
        kind: ParameterKind,
    },
    /// What does not lie in that register, or of which nobody knows it.
    #[default]
    Elsewhere,
}

/// The functions of an image by their names.
pub struct Signatures(HashMap<String, Option<Signature>>);

/// Registers of numbers and addresses, by the System V convention.
const REGISTERS: usize = 6;
/// Aliases of aliases are followed so far.
const MOST_ALIASES: usize = 32;

impl Signatures {
    /// Those in a debug file.
    ///
    /// # Errors
    /// In words: it is no such file, or has no functions.
    pub fn read(file: &[u8]) -> Result<Signatures, String> {
        let sections = sections_of(file)?;
        let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
        let mut all = Signatures(HashMap::new());
        all.units(&dwarf).map_err(|error| format!("its functions: {error}"))?;
        match all.0.is_empty() {
            true => {
                Err("it says nothing of functions: give the debug file (.dbg), or the program itself, compiled with -g"
                    .into())
            }
            false => Ok(all),
        }
    }

    /// That of a function; `None` where it is not known, or others of its name have other ones.
    pub fn of(&self, function: &str) -> Option<&Signature> {
        self.0.get(function)?.as_ref()
    }

    fn units(&mut self, dwarf: &Dwarf<Slice<'_>>) -> gimli::Result<()> {
        let mut headers = dwarf.units();
        while let Some(header) = headers.next()? {
            let unit = dwarf.unit(header)?;
            let mut functions = Vec::new();
            let mut entries = unit.entries();
            while let Some((_, entry)) = entries.next_dfs()? {
                if entry.tag() == gimli::DW_TAG_subprogram {
                    functions.push(entry.offset());
                }
            }
            for offset in functions {
                self.function(dwarf, &unit, offset)?;
            }
        }
        Ok(())
    }

    /// Takes in a function that has its name and its parameters in one entry. What is said of it elsewhere refers to that one.
    fn function<'d>(
        &mut self,
        dwarf: &Dwarf<Slice<'d>>,
        unit: &Unit<Slice<'d>>,
        offset: UnitOffset,
    ) -> gimli::Result<()> {
        let mut tree = unit.entries_tree(Some(offset))?;
        let root = tree.root()?;
        let entry = root.entry().clone();
        if entry.attr_value(gimli::DW_AT_abstract_origin)?.is_some() {
            return Ok(());
        }
        let declared = match entry.attr_value(gimli::DW_AT_specification)? {
            Some(gimli::AttributeValue::UnitRef(offset)) => Some(unit.entry(offset)?),
            _ => None,
        };
        let named = |attribute| -> gimli::Result<String> {
            let own = name_of(dwarf, unit, &entry, attribute)?;
            match &declared {
                Some(declared) if own.is_empty() => name_of(dwarf, unit, declared, attribute),
                _ => Ok(own),
            }
        };
        let (linked, plain) = (named(gimli::DW_AT_linkage_name)?, named(gimli::DW_AT_name)?);
        let name = if linked.is_empty() { plain } else { linked };
        let is_declaration = entry.attr_value(gimli::DW_AT_declaration)?.is_some();
        if name.is_empty() || is_declaration {
            return Ok(());
        }
        let own = entry.attr_value(gimli::DW_AT_type)?.is_some();
        let says = if own { &entry } else { declared.as_ref().unwrap_or(&entry) };
        let (open, result) = (may_be_structure(unit, says)?, outcome(unit, says)?);
        let mut signature = Signature { open, result, ..Signature::default() };
        if !signature.open {
            for parameter in children(root, gimli::DW_TAG_formal_parameter)? {
                if signature.parameters.len() == REGISTERS {
                    break;
                }
                match to_offset(&parameter)?.map(|offset| class(unit, offset)).transpose()?.flatten() {
                    Some(Class::Number { bits, kind }) => {
                        let name = name_of(dwarf, unit, &parameter, gimli::DW_AT_name)?;
                        signature.parameters.push(Parameter { name, bits, kind });
                    }
                    Some(Class::Elsewhere) => {}
                    None => {
                        signature.open = true;
                        break;
                    }
                }
            }
        }
        let same = |known: &mut Option<Signature>| {
            known.take_if(|known| *known != signature);
        };
        self.0.entry(name).and_modify(same).or_insert_with(|| Some(signature.clone()));
        Ok(())
    }
}

/// Where something is passed.
enum Class {
    /// In a register for numbers and addresses.
    Number { bits: u32, kind: ParameterKind },
    /// In one for floating point numbers.
    Elsewhere,
}

/// Where a value of a type is passed; `None` where that is not looked at.
fn class(unit: &Unit<Slice<'_>>, offset: UnitOffset) -> gimli::Result<Option<Class>> {
    let Some(entry) = resolved(unit, offset)? else { return Ok(None) };
    let bits = number(&entry, gimli::DW_AT_byte_size)?.unwrap_or(8).saturating_mul(8);
    let number_of = |kind| (1..=64).contains(&bits).then_some(Class::Number { bits: bits as u32, kind });
    Ok(match entry.tag() {
        gimli::DW_TAG_base_type => {
            let encoding = encoding(&entry)?;
            let is = |one: gimli::DwAte| encoding == Some(one);
            match () {
                () if is(gimli::DW_ATE_float) && bits <= 64 => Some(Class::Elsewhere),
                () if is(gimli::DW_ATE_signed) || is(gimli::DW_ATE_signed_char) => number_of(ParameterKind::Signed),
                () if is(gimli::DW_ATE_float) || is(gimli::DW_ATE_complex_float) => None,
                () => number_of(ParameterKind::Unsigned),
            }
        }
        gimli::DW_TAG_pointer_type | gimli::DW_TAG_reference_type | gimli::DW_TAG_rvalue_reference_type => {
            Some(Class::Number { bits: 64, kind: ParameterKind::Pointer })
        }
        gimli::DW_TAG_enumeration_type => number_of(ParameterKind::Signed),
        _ => None,
    })
}

/// What a function gives back.
fn outcome(unit: &Unit<Slice<'_>>, function: &Entry<'_, '_>) -> gimli::Result<Outcome> {
    if function.attr_value(gimli::DW_AT_type)?.is_none() {
        return Ok(Outcome::Nothing);
    }
    Ok(match to_offset(function)?.map(|offset| class(unit, offset)).transpose()?.flatten() {
        Some(Class::Number { bits, kind }) => Outcome::Number { bits, kind },
        Some(Class::Elsewhere) | None => Outcome::Elsewhere,
    })
}

/// Whether a function may give back a structure: the first register may say where, then.
fn may_be_structure(unit: &Unit<Slice<'_>>, function: &Entry<'_, '_>) -> gimli::Result<bool> {
    if function.attr_value(gimli::DW_AT_type)?.is_none() {
        return Ok(false);
    }
    let of = to_offset(function)?.map(|offset| resolved(unit, offset)).transpose()?.flatten();
    Ok(of.is_none_or(|of| {
        matches!(of.tag(), gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type | gimli::DW_TAG_class_type)
    }))
}

/// The type itself, without other names and qualifiers.
fn resolved<'u, 'd>(unit: &'u Unit<Slice<'d>>, offset: UnitOffset) -> gimli::Result<Option<Entry<'u, 'd>>> {
    let mut offset = offset;
    for _ in 0..MOST_ALIASES {
        let entry = unit.entry(offset)?;
        match entry.tag() {
            gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
            | gimli::DW_TAG_atomic_type => match to_offset(&entry)? {
                Some(next) => offset = next,
                None => return Ok(None),
            },
            _ => return Ok(Some(entry)),
        }
    }
    Ok(None)
}
