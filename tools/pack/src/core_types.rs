//! CO-RE: what a program wants to know of types that it does not bring along.
//!
//! A unikernel has none of Linux's types. The engine offers those that contexts are made of; of all others a program is told that
//! they do not exist, and an instruction that needs more than that is marked as missing, with the name of the field.

use crate::{
    btf::{Btf, CoreRelocation, Kind},
    elf::File,
};
use std::collections::HashMap;

/// The types that CO-RE relocations are resolved with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CoreTypes {
    /// Those that the engine offers.
    #[default]
    Offered,
    /// The object's own, as if the kernel it was made for ran it: to verify it, and no more.
    Own,
}

/// What becomes of an instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// This number stands in it.
    Number(u64),
    /// What it needs is missing.
    Missing(String),
}

/// By section and byte.
pub type Changes = HashMap<(String, u64), Change>;

/// Kinds of relocations (Linux, `enum bpf_core_relo_kind`).
mod kind {
    pub const BYTE_OFFSET: u32 = 0;
    pub const EXISTS: [u32; 4] = [2, 8, 10, 12];
    pub const LOCAL_ID: u32 = 6;
    pub const TARGET_ID: u32 = 7;
    pub const BYTE_SIZE: u32 = 1;
    pub const SIGNED: u32 = 3;
    pub const LEFT: u32 = 4;
    pub const RIGHT: u32 = 5;
    pub const TYPE_SIZE: u32 = 9;
    pub const LAST: u32 = 12;
}

/// The registers of x86-64 in Linux's order, by both of their names.
const REGISTERS: [(&str, &str); 21] = [
    ("r15", "r15"),
    ("r14", "r14"),
    ("r13", "r13"),
    ("r12", "r12"),
    ("bp", "rbp"),
    ("bx", "rbx"),
    ("r11", "r11"),
    ("r10", "r10"),
    ("r9", "r9"),
    ("r8", "r8"),
    ("ax", "rax"),
    ("cx", "rcx"),
    ("dx", "rdx"),
    ("si", "rsi"),
    ("di", "rdi"),
    ("orig_ax", "orig_rax"),
    ("ip", "rip"),
    ("cs", "cs"),
    ("flags", "eflags"),
    ("sp", "rsp"),
    ("ss", "ss"),
];

/// What the relocations of an object change.
pub fn read(file: &File<'_>, btf: &Btf<'_>, types: CoreTypes) -> Result<Changes, String> {
    let mut changes = Changes::new();
    for one in btf.relocations(file)? {
        if let Some(change) = resolve(btf, &one, types)? {
            changes.insert((one.section, one.offset.into()), change);
        }
    }
    Ok(changes)
}

/// What a relocation changes; `None` leaves the number that the compiler has put in, which is that of the object's own types.
fn resolve(btf: &Btf<'_>, one: &CoreRelocation, types: CoreTypes) -> Result<Option<Change>, String> {
    if one.kind > kind::LAST {
        return Err(format!("a CO-RE relocation of kind {}, which is unknown", one.kind));
    }
    let root = btf.get(one.root)?;
    if types == CoreTypes::Own || one.kind == kind::LOCAL_ID {
        return Ok(None);
    }
    let path = path(btf, one)?;
    let wanted = flavourless(&root.name);
    if let ("pt_regs", [register]) = (wanted, path.as_slice()) {
        return Ok(of_register(one.kind, register));
    }
    let exists = wanted == "pt_regs" && path.is_empty();
    Ok(Some(match one.kind {
        kind if kind::EXISTS.contains(&kind) => Change::Number(u64::from(exists)),
        kind::TARGET_ID => Change::Number(0),
        kind::TYPE_SIZE if exists => Change::Number(8 * REGISTERS.len() as u64),
        _ => Change::Missing(missing(wanted, &root.kind, &path)),
    }))
}

/// The register of this name, in the layout that the engine offers.
fn of_register(kind: u32, name: &str) -> Option<Change> {
    let place = REGISTERS.iter().position(|&(short, long)| name == short || name == long);
    let Some(place) = place else {
        return Some(match kind::EXISTS.contains(&kind) {
            true => Change::Number(0),
            false => Change::Missing(format!("register {name} of pt_regs")),
        });
    };
    Some(Change::Number(match kind {
        kind::BYTE_OFFSET => 8 * place as u64,
        kind::BYTE_SIZE => 8,
        kind::SIGNED | kind::LEFT | kind::RIGHT => 0,
        kind if kind::EXISTS.contains(&kind) => 1,
        _ => return None,
    }))
}

/// `x___old` is another shape of `x`.
fn flavourless(name: &str) -> &str {
    name.find("___").and_then(|at| name.get(..at)).filter(|name| !name.is_empty()).unwrap_or(name)
}

/// The names of the members that are gone through, without those that have none. Of an enum's value its name.
fn path(btf: &Btf<'_>, one: &CoreRelocation) -> Result<Vec<String>, String> {
    let wrong = || format!("the access `{}` does not fit type {}", one.access, one.root);
    let indexes = one.access.split(':').map(|index| index.parse::<usize>().map_err(|_| wrong()));
    let mut indexes = indexes.collect::<Result<Vec<usize>, String>>()?.into_iter();
    let mut current = btf.plain(one.root)?;
    if let Kind::Enum { values, .. } = &current.kind {
        let value = indexes.next().and_then(|index| values.get(index));
        return Ok(value.map(|value| value.0.clone()).into_iter().collect());
    }
    // The first is that of an array round the type.
    indexes.next();
    let mut names = Vec::new();
    for index in indexes {
        let next = match &current.kind {
            Kind::Struct { members, .. } => {
                let member = members.get(index).ok_or_else(wrong)?;
                if !member.name.is_empty() {
                    names.push(member.name.clone());
                }
                member.kind
            }
            Kind::Array { element, .. } => *element,
            _ => return Err(wrong()),
        };
        current = btf.plain(next)?;
    }
    Ok(names)
}

fn missing(name: &str, kind: &Kind, path: &[String]) -> String {
    let what = match kind {
        Kind::Enum { .. } => "enum",
        Kind::Struct { .. } | Kind::Forward => "struct",
        _ => "type",
    };
    match path {
        [] => format!("{what} {name}, which this image does not have"),
        path => format!("{} of {what} {name}, which this image does not have", path.join(".")),
    }
}
