//! CO-RE with the types of an image: its debug file knows them.

use crate::{
    btf::{Btf, CoreRelocation, Kind},
    core_types::{flavourless, kind, path, steps, Change, Path, Step},
    error::Error,
};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

/// Kinds of relocations that are asked for apart here.
const FIELD_EXISTS: u32 = 2;
const TYPE_EXISTS: u32 = 8;
const ENUM_EXISTS: u32 = 10;
const ENUM_VALUE: u32 = 11;
const TYPE_MATCHES: u32 = 12;

/// A field as it was found.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Found {
    /// Where it begins, in bits.
    at: u64,
    /// Bits that it has, where it is a part of its type only; else 0.
    bits: u32,
    /// Bytes of its type.
    size: u64,
    signed: bool,
}

/// What a relocation changes with the types of an image; `missing` is what is said without them.
pub fn change(btf: &Btf<'_>, one: &CoreRelocation<'_>, image: &Btf<'static>, missing: Change) -> Result<Change, Error> {
    let root = btf.get(one.root)?;
    let name = flavourless(&root.name);
    let is_enum = matches!(btf.plain(one.root)?.kind, Kind::Enum { .. });
    let fits = |number: &u32| match image.plain(*number).map(|plain| &plain.kind) {
        Ok(Kind::Forward) | Err(_) => false,
        Ok(Kind::Enum { .. }) => is_enum,
        Ok(_) => !is_enum,
    };
    let all: Vec<u32> = image.all_called(name).filter(fits).collect();
    let exists = |is: bool| Change::Number(u64::from(is));
    let agreed = |numbers: Vec<u64>, what: &str| match numbers.as_slice() {
        [] => missing.clone(),
        [first, others @ ..] if others.iter().all(|other| other == first) => Change::Number(*first),
        _ => Change::Missing(format!("{what}, of which this image has several that differ")),
    };
    let path = path(btf, one)?;
    let what: String = match path.as_slice() {
        [] => name.to_string(),
        path => format!("{} of {name}", Path(path)),
    };
    Ok(match one.kind {
        TYPE_EXISTS | TYPE_MATCHES => exists(!all.is_empty()),
        kind::TYPE_SIZE => agreed(all.iter().filter_map(|&number| image.size(number).ok()).collect(), &what),
        ENUM_EXISTS | ENUM_VALUE => {
            let wanted = path.first().map_or("", |name| flavourless(name));
            let value = |&number: &u32| match image.plain(number).map(|plain| &plain.kind) {
                Ok(Kind::Enum { values, .. }) => values.iter().find(|(name, _)| name == wanted).map(|found| found.1),
                _ => None,
            };
            let values: Vec<u64> = all.iter().filter_map(value).collect();
            match one.kind {
                ENUM_EXISTS => exists(!values.is_empty()),
                _ => agreed(values, &what),
            }
        }
        _ => {
            let steps = steps(btf, one)?;
            let found: Vec<Found> = all.iter().filter_map(|&number| follow(image, number, &steps)).collect();
            if one.kind == FIELD_EXISTS {
                return Ok(exists(!found.is_empty()));
            }
            let own = follow(btf, one.root, &steps);
            if let (kind::BYTE_OFFSET, Some(own), Some(first)) = (one.kind, own, found.first()) {
                if own.size != first.size && own.bits == 0 {
                    let (bytes, wanted) = (first.size, own.size);
                    return Ok(Change::Missing(format!(
                        "{what}, which has {bytes} bytes in this image, and not {wanted}"
                    )));
                }
            }
            agreed(found.iter().map(|found| found.answer(one.kind)).collect(), &what)
        }
    })
}

impl Found {
    /// Bytes to load, and where they begin (libbpf, `bpf_core_calc_field_relo`).
    fn unit(&self) -> (u64, u64) {
        let mut size = self.size.max(1);
        if self.bits == 0 {
            return (self.at / 8, size);
        }
        let mut at = self.at / 8 / size * size;
        while self.at + u64::from(self.bits) - at * 8 > size * 8 && size < 8 {
            size *= 2;
            at = self.at / 8 / size * size;
        }
        (at, size)
    }

    fn answer(&self, kind: u32) -> u64 {
        let (at, size) = self.unit();
        let bits = if self.bits == 0 { 8 * size } else { self.bits.into() };
        match kind {
            kind::BYTE_OFFSET => at,
            kind::BYTE_SIZE => size,
            kind::SIGNED => u64::from(self.signed),
            kind::LEFT => 64u64.saturating_sub(self.at + bits - at * 8),
            _ => 64u64.saturating_sub(bits),
        }
    }
}

/// Goes the same way through other types.
fn follow(btf: &Btf<'_>, root: u32, steps: &[Step<'_>]) -> Option<Found> {
    let (mut at, mut bits, mut number) = (0u64, 0, root);
    for (place, step) in steps.iter().enumerate() {
        match step {
            // The first is that of an array round the type.
            Step::Index(index) if place == 0 => {
                at = at.checked_add(btf.size(number).ok()?.checked_mul(8)?.checked_mul(*index)?)?
            }
            Step::Index(index) => {
                let Kind::Array { element, .. } = btf.plain(number).ok()?.kind else { return None };
                at = at.checked_add(btf.size(element).ok()?.checked_mul(8)?.checked_mul(*index)?)?;
                number = element;
            }
            Step::Member(name) => {
                let (offset, member_bits, kind) = member(btf, number, name, (16, &mut { MEMBERS }))?;
                (at, bits, number) = (at.checked_add(offset)?, member_bits, kind);
            }
        }
    }
    let signed =
        matches!(btf.plain(number).ok()?.kind, Kind::Int { signed: true, .. } | Kind::Enum { signed: true, .. });
    Some(Found { at, bits, size: btf.size(number).ok()?, signed })
}

/// Members without names that are looked into: types may lead anywhere.
const MEMBERS: u32 = 10_000;

/// A member by its name, also within members that have none.
fn member(btf: &Btf<'_>, number: u32, name: &str, (depth, left): (u32, &mut u32)) -> Option<(u64, u32, u32)> {
    let depth = depth.checked_sub(1)?;
    *left = left.checked_sub(1)?;
    let Kind::Struct { members, .. } = &btf.plain(number).ok()?.kind else { return None };
    members.iter().find_map(|one| match one.name.as_ref() {
        found if found == name => Some((one.offset.into(), one.bits, one.kind)),
        "" => {
            let (offset, bits, kind) = member(btf, one.kind, name, (depth, &mut *left))?;
            Some((offset + u64::from(one.offset), bits, kind))
        }
        _ => None,
    })
}
