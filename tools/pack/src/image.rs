//! The types of an image, of the DWARF in its debug file: what CO-RE relocations are resolved with. DWARF is read by the crate `gimli`, which is
//! maintained, and answers hostile bytes with errors.

use crate::btf::{Btf, Kind, Member, Type};
use gimli::{
    AttributeValue, DebuggingInformationEntry, Dwarf, EndianSlice, EntriesTreeNode, LittleEndian, Unit, UnitOffset,
};
use object::{Object as _, ObjectSection as _};
use std::{borrow::Cow, collections::HashMap};
use ubpf_rs::object::ID_BYTES;

/// An image by its types, and by what tells it from others.
#[derive(Clone)]
pub struct Image {
    pub(crate) types: Btf<'static>,
    /// Its id, with zeros behind it; zeros where it has none.
    pub id: [u8; ID_BYTES],
}

pub(crate) type Slice<'d> = EndianSlice<'d, LittleEndian>;
/// Types of an image: those of a large one.
const MOST: usize = 4 << 20;

impl Image {
    /// The types in a debug file of the image with this id.
    ///
    /// # Errors
    /// In words: it is no such file, or has no types.
    pub fn read(file: &[u8], id: &[u8]) -> Result<Image, String> {
        let sections = sections_of(file)?;
        let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
        let mut reader = DebugReader { dwarf, types: vec![Type { name: Cow::Borrowed(""), kind: Kind::Void }] };
        reader.all().map_err(|error| format!("its types: {error}"))?;
        if reader.types.len() < 2 {
            return Err("it has no types: give the image's debug file (.dbg), compiled with -g".into());
        }
        let mut whole = [0; ID_BYTES];
        whole.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
        Ok(Image { types: Btf::of(reader.types), id: whole })
    }
}

/// The sections of a debug file with DWARF.
pub(crate) fn sections_of(file: &[u8]) -> Result<gimli::DwarfSections<Cow<'_, [u8]>>, String> {
    let object = object::File::parse(file).map_err(|error| error.to_string())?;
    let section = |name: gimli::SectionId| -> Result<Cow<'_, [u8]>, String> {
        let section = object.section_by_name(name.name());
        let data = section.map(|section| section.uncompressed_data()).transpose();
        Ok(data.map_err(|error| format!("{}: {error}", name.name()))?.unwrap_or_default())
    };
    gimli::DwarfSections::load(section)
}

struct DebugReader<'d> {
    dwarf: Dwarf<Slice<'d>>,
    types: Vec<Type<'static>>,
}

/// What a unit's types are numbered.
type Numbers = HashMap<UnitOffset, u32>;

impl<'d> DebugReader<'d> {
    fn all(&mut self) -> gimli::Result<()> {
        let mut headers = self.dwarf.units();
        while let Some(header) = headers.next()? {
            let unit = self.dwarf.unit(header)?;
            self.unit(&unit)?;
        }
        Ok(())
    }

    fn unit(&mut self, unit: &Unit<Slice<'d>>) -> gimli::Result<()> {
        let mut numbers = Numbers::new();
        let mut offsets = Vec::new();
        let mut entries = unit.entries();
        while let Some((_, entry)) = entries.next_dfs()? {
            if is_type(entry.tag()) && self.types.len() < MOST {
                numbers.insert(entry.offset(), self.types.len() as u32);
                offsets.push((entry.offset(), self.types.len()));
                self.types.push(Type { name: Cow::Borrowed(""), kind: Kind::Other });
            }
        }
        for (offset, number) in offsets {
            let one = self.one(unit, offset, &numbers)?;
            self.types[number] = one;
        }
        Ok(())
    }

    fn one(&mut self, unit: &Unit<Slice<'d>>, offset: UnitOffset, numbers: &Numbers) -> gimli::Result<Type<'static>> {
        let mut tree = unit.entries_tree(Some(offset))?;
        let root = tree.root()?;
        let entry = root.entry().clone();
        let name = self.name(unit, &entry)?;
        let size = number(&entry, gimli::DW_AT_byte_size)?.unwrap_or(0) as u32;
        let of = || to(&entry, numbers);
        let is_declaration = entry.attr_value(gimli::DW_AT_declaration)?.is_some();
        let kind = match entry.tag() {
            gimli::DW_TAG_base_type => {
                let encoding = encoding(&entry)?;
                let is = |one: gimli::DwAte| encoding == Some(one);
                match is(gimli::DW_ATE_float) {
                    true => Kind::Float { size },
                    false => Kind::Int {
                        size,
                        signed: is(gimli::DW_ATE_signed) || is(gimli::DW_ATE_signed_char),
                        boolean: is(gimli::DW_ATE_boolean),
                    },
                }
            }
            gimli::DW_TAG_pointer_type => Kind::Pointer(of()?),
            gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type | gimli::DW_TAG_class_type if is_declaration => {
                Kind::Forward
            }
            gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type | gimli::DW_TAG_class_type => {
                let union = entry.tag() == gimli::DW_TAG_union_type;
                let members = children(root, gimli::DW_TAG_member)?;
                let members = members.iter().filter_map(|child| self.member(unit, child, numbers).transpose());
                let members = members.collect::<gimli::Result<_>>()?;
                Kind::Struct { union, size, members }
            }
            gimli::DW_TAG_enumeration_type => {
                let values = children(root, gimli::DW_TAG_enumerator)?;
                let values = values
                    .iter()
                    .map(|child| Ok((self.name(unit, child)?, number(child, gimli::DW_AT_const_value)?.unwrap_or(0))));
                let values = values.collect::<gimli::Result<_>>()?;
                Kind::Enum { size, signed: false, values }
            }
            gimli::DW_TAG_array_type => {
                let counts = children(root, gimli::DW_TAG_subrange_type)?;
                let mut counts = counts.iter().map(count).collect::<gimli::Result<Vec<u32>>>()?.into_iter();
                let first = counts.next().unwrap_or(0);
                let mut element = of()?;
                for count in counts.rev() {
                    self.types.push(Type { name: Cow::Borrowed(""), kind: Kind::Array { element, count } });
                    element = self.types.len() as u32 - 1;
                }
                Kind::Array { element, count: first }
            }
            _ => Kind::Alias(of()?),
        };
        Ok(Type { name, kind })
    }

    fn member(
        &self,
        unit: &Unit<Slice<'d>>,
        entry: &Entry<'_, 'd>,
        numbers: &Numbers,
    ) -> gimli::Result<Option<Member<'static>>> {
        let bytes = number(entry, gimli::DW_AT_data_member_location)?.unwrap_or(0);
        let bits = number(entry, gimli::DW_AT_bit_size)?.unwrap_or(0) as u32;
        let from_end = number(entry, gimli::DW_AT_bit_offset)?;
        let offset = match (number(entry, gimli::DW_AT_data_bit_offset)?, from_end) {
            (Some(offset), _) => offset,
            // As DWARF had it before version 4: counted from the other end.
            (None, Some(offset)) => {
                let size = number(entry, gimli::DW_AT_byte_size)?.unwrap_or(4);
                (8 * (bytes.saturating_add(size))).saturating_sub(offset).saturating_sub(bits.into())
            }
            (None, None) => bytes.saturating_mul(8),
        };
        let Ok(offset) = u32::try_from(offset) else { return Ok(None) };
        Ok(Some(Member { name: self.name(unit, entry)?, kind: to(entry, numbers)?, offset, bits }))
    }

    fn name(&self, unit: &Unit<Slice<'d>>, entry: &Entry<'_, 'd>) -> gimli::Result<Cow<'static, str>> {
        Ok(name_of(&self.dwarf, unit, entry, gimli::DW_AT_name)?.into())
    }
}

/// The text of an attribute; empty where there is none.
pub(crate) fn name_of<'d>(
    dwarf: &Dwarf<Slice<'d>>,
    unit: &Unit<Slice<'d>>,
    entry: &Entry<'_, 'd>,
    attribute: gimli::DwAt,
) -> gimli::Result<String> {
    let Some(value) = entry.attr_value(attribute)? else { return Ok(String::new()) };
    let text = dwarf.attr_string(unit, value)?;
    Ok(text.to_string_lossy().into_owned())
}

pub(crate) type Entry<'u, 'd> = DebuggingInformationEntry<'u, 'u, Slice<'d>>;

/// The children of an entry that have this tag.
pub(crate) fn children<'u, 'd>(
    entry: EntriesTreeNode<'u, 'u, '_, Slice<'d>>,
    tag: gimli::DwTag,
) -> gimli::Result<Vec<Entry<'u, 'd>>> {
    let mut found = Vec::new();
    let mut children = entry.children();
    while let Some(child) = children.next()? {
        if child.entry().tag() == tag {
            found.push(child.entry().clone());
        }
    }
    Ok(found)
}

/// The elements in one dimension of an array; 0 where that is not said.
fn count(entry: &Entry<'_, '_>) -> gimli::Result<u32> {
    let last = number(entry, gimli::DW_AT_upper_bound)?;
    let count = number(entry, gimli::DW_AT_count)?.or(last.map(|last| last.wrapping_add(1)));
    Ok(count.unwrap_or(0) as u32)
}

/// The type that an entry is of; none is `void`. One of another unit is not followed.
fn to(entry: &Entry<'_, '_>, numbers: &Numbers) -> gimli::Result<u32> {
    Ok(to_offset(entry)?.and_then(|offset| numbers.get(&offset).copied()).unwrap_or(0))
}

/// Where that type stands, in the same unit.
pub(crate) fn to_offset(entry: &Entry<'_, '_>) -> gimli::Result<Option<UnitOffset>> {
    Ok(match entry.attr_value(gimli::DW_AT_type)? {
        Some(AttributeValue::UnitRef(offset)) => Some(offset),
        _ => None,
    })
}

pub(crate) fn number(entry: &Entry<'_, '_>, name: gimli::DwAt) -> gimli::Result<Option<u64>> {
    let value = entry.attr_value(name)?;
    Ok(value.and_then(|value| value.udata_value().or_else(|| value.sdata_value().map(|number| number as u64))))
}

/// How the bits of a type of numbers are to be read.
pub(crate) fn encoding(entry: &Entry<'_, '_>) -> gimli::Result<Option<gimli::DwAte>> {
    Ok(match entry.attr_value(gimli::DW_AT_encoding)? {
        Some(AttributeValue::Encoding(encoding)) => Some(encoding),
        _ => None,
    })
}

fn is_type(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_base_type
            | gimli::DW_TAG_pointer_type
            | gimli::DW_TAG_structure_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_class_type
            | gimli::DW_TAG_enumeration_type
            | gimli::DW_TAG_array_type
            | gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
    )
}
