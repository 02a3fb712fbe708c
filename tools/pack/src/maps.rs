//! The maps that an object defines: by BTF in `.maps`, or as plain structs in `maps`.

use crate::{
    btf::{Btf, Kind, Member},
    elf::{self, File, Place, Symbol},
    link::Program,
};
use std::collections::BTreeSet;
use ubpf_rs::object::{Entry, Held, MapDef};

/// Map types of Linux that hold maps, or programs.
const ARRAY_OF_MAPS: u32 = 12;
const HASH_OF_MAPS: u32 = 13;
/// A map of Linux whose entries are records.
const RINGBUF: u32 = 27;
/// Bytes of a definition in `maps`: type, key, value, entries, flags.
const LEGACY: u64 = 20;
/// What a map of BTF may be pinned by (libbpf, `LIBBPF_PIN_BY_NAME`).
const PIN_BY_NAME: u32 = 1;

/// A map of the object.
#[derive(Clone, Default)]
pub struct Map {
    pub name: String,
    pub kind: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
    pub shared: bool,
    pub inner: Option<u32>,
    /// Types of keys and values, where the definition says them.
    pub key_type: Option<u32>,
    pub value_type: Option<u32>,
    /// Where `values` begin in its definition, where it has some.
    values: Option<u64>,
}

impl Map {
    pub fn def(&self) -> MapDef<'_> {
        MapDef {
            name: &self.name,
            kind: self.kind,
            key_size: self.key_size,
            value_size: self.value_size,
            max_entries: self.max_entries,
            flags: self.flags,
            shared: self.shared,
            inner: self.inner,
        }
    }
}

/// All maps of the object.
#[derive(Default)]
pub struct Maps {
    pub list: Vec<Map>,
    /// Section and address of those that have a symbol, by place in the list.
    places: Vec<(usize, u64, usize)>,
    /// What they hold at first: map, key, and the name of a map or a function.
    held: Vec<(u32, u32, String)>,
}

impl Maps {
    /// The map that is defined there.
    pub fn at(&self, section: usize, address: u64) -> Option<usize> {
        let place = self.places.iter().find(|place| (place.0, place.1) == (section, address));
        place.map(|place| place.2)
    }

    /// What maps hold at first.
    pub fn entries(&self, programs: &[Program]) -> Result<Vec<Entry>, String> {
        let entry = |(map, key, name): &(u32, u32, String)| {
            let program = programs.iter().position(|program| program.name == *name);
            let held = self.list.iter().position(|map| map.name == *name);
            let value = match (held, program) {
                (Some(map), _) => Held::Map(map as u32),
                (None, Some(program)) => Held::Program(program as u32),
                (None, None) => return Err(format!("a map holds {name}, which is neither a map nor a program")),
            };
            Ok(Entry { map: *map, key: *key, value })
        };
        self.held.iter().map(entry).collect()
    }
}

/// Reads all definitions.
pub fn read(file: &File<'_>, btf: &Btf<'_>) -> Result<Maps, String> {
    let mut maps = Maps::default();
    for (index, section) in file.sections.iter().enumerate() {
        let symbols = || {
            let symbols = file.symbols_of(index).into_iter();
            symbols.filter(|symbol| !symbol.name.is_empty() && symbol.name != section.name)
        };
        match section.name.as_str() {
            ".maps" => {
                for symbol in symbols() {
                    let kind = btf.variable(".maps", &symbol.name)?;
                    let kind = kind.ok_or_else(|| {
                        format!("map {}: nothing says what it is: compile with -g (gcc: -gbtf)", symbol.name)
                    })?;
                    let at = maps.list.len();
                    maps.list.push(Map::default());
                    maps.list[at] = defined(btf, &symbol.name, kind, &mut maps, 0)
                        .map_err(|error| format!("map {}: {error}", symbol.name))?;
                    maps.places.push((index, symbol.address, at));
                }
            }
            "maps" => {
                for symbol in symbols() {
                    let map = legacy(section.bytes, symbol)?;
                    maps.places.push((index, symbol.address, maps.list.len()));
                    maps.list.push(map);
                }
            }
            _ => {}
        }
    }
    read_held(file, &mut maps)?;
    Ok(maps)
}

/// A definition of BTF: a struct whose members' types are the numbers.
fn defined(btf: &Btf<'_>, name: &str, kind: u32, maps: &mut Maps, depth: u32) -> Result<Map, String> {
    let Kind::Struct { members, .. } = &btf.plain(kind)?.kind else {
        return Err("its definition is no struct".into());
    };
    let mut map = Map { name: name.into(), ..Map::default() };
    let mut offset = 0;
    for member in members.clone() {
        let number = || number(btf, &member);
        match member.name.as_str() {
            "type" => map.kind = number()?,
            "max_entries" => map.max_entries = number()?,
            "map_flags" => map.flags = number()?,
            "key_size" => map.key_size = number()?,
            "value_size" => map.value_size = number()?,
            // Where memory lies does not matter here; what a kind needs beyond this is looked at where the kind is.
            "numa_node" | "map_extra" => drop(number()?),
            "pinning" => map.shared = number()? == PIN_BY_NAME,
            "key" => {
                map.key_size = pointed_size(btf, &member)?;
                map.key_type = Some(pointed(btf, &member)?);
            }
            "value" => {
                let value = pointed(btf, &member)?;
                map.value_size = pointed_size(btf, &member)?;
                map.value_type = Some(value);
                check_value(btf, value)?;
            }
            "values" => {
                map.values = Some(offset);
                inner(btf, name, &member, &mut map, maps, depth)?;
            }
            other => return Err(format!("`{other}` in its definition is unknown")),
        }
        offset += btf.size(member.kind)?;
    }
    if map.kind == RINGBUF {
        // The type of records, which are of any size.
        (map.key_size, map.value_size) = (0, 0);
    }
    Ok(map)
}

/// `int (*member)[N]` is the number N.
fn number(btf: &Btf<'_>, member: &Member) -> Result<u32, String> {
    match btf.plain(pointed(btf, member)?)?.kind {
        Kind::Array { count, .. } => Ok(count),
        _ => Err(format!("`{}` in its definition is no __uint(…)", member.name)),
    }
}

fn pointed(btf: &Btf<'_>, member: &Member) -> Result<u32, String> {
    match btf.plain(member.kind)?.kind {
        Kind::Pointer(to) => Ok(to),
        _ => Err(format!("`{}` in its definition is no __type(…) or __uint(…)", member.name)),
    }
}

fn pointed_size(btf: &Btf<'_>, member: &Member) -> Result<u32, String> {
    let size = btf.size(pointed(btf, member)?)?;
    u32::try_from(size).map_err(|_| format!("`{}` in its definition is too large", member.name))
}

/// Values hold numbers: what only Linux's kernel can keep there is refused by name. Each type is looked at once, however many members are of it.
fn check_value(btf: &Btf<'_>, kind: u32) -> Result<(), String> {
    const KEPT: [&str; 7] =
        ["bpf_spin_lock", "bpf_timer", "bpf_list_head", "bpf_rb_root", "bpf_refcount", "bpf_wq", "bpf_res_spin_lock"];
    const MARKS: [&str; 4] = ["kptr", "kptr_untrusted", "percpu_kptr", "uptr"];
    let mut seen = BTreeSet::new();
    let mut left = vec![kind];
    while let Some(kind) = left.pop() {
        if !seen.insert(kind) {
            continue;
        }
        match &btf.plain(kind)?.kind {
            Kind::Struct { members, .. } => {
                for member in members {
                    let found =
                        KEPT.iter().find(|&&name| btf.is_called(member.kind, &|found| found == name).unwrap_or(false));
                    if let Some(name) = found {
                        return Err(format!("its value has a {name} ({}), which is not supported", member.name));
                    }
                    left.push(member.kind);
                }
            }
            Kind::Array { element, .. } => left.push(*element),
            Kind::Pointer(to) if btf.is_called(*to, &|name| MARKS.contains(&name))? => {
                return Err("its value has a pointer to an object of the kernel (kptr), which is not supported".into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// `__array(values, …)`: of maps, or of programs.
fn inner(btf: &Btf<'_>, name: &str, member: &Member, map: &mut Map, maps: &mut Maps, depth: u32) -> Result<(), String> {
    let Kind::Array { element, .. } = btf.plain(member.kind)?.kind else {
        return Err("`values` in its definition is no __array(…)".into());
    };
    let Kind::Pointer(to) = btf.plain(element)?.kind else {
        return Err("`values` in its definition holds no pointers".into());
    };
    map.key_size = if map.key_size == 0 { 4 } else { map.key_size };
    map.value_size = 4;
    if !matches!(map.kind, ARRAY_OF_MAPS | HASH_OF_MAPS) {
        return Ok(());
    }
    if depth > 0 {
        return Err("maps of maps of maps do not exist".into());
    }
    let template = defined(btf, &format!("{name}.inner"), to, maps, depth + 1)?;
    map.inner = Some(maps.list.len() as u32);
    maps.list.push(template);
    Ok(())
}

/// A definition in `maps`.
fn legacy(bytes: &[u8], symbol: &Symbol) -> Result<Map, String> {
    let wrong = |what: &str| format!("map {}: {what}", symbol.name);
    let from = usize::try_from(symbol.address).unwrap_or(usize::MAX);
    let end = usize::try_from(symbol.size.max(LEGACY)).unwrap_or(usize::MAX);
    let definition = bytes.get(from..).and_then(|rest| rest.get(..end));
    let definition = definition.ok_or_else(|| wrong("its definition reaches beyond the section"))?;
    let (words, _) = definition.as_chunks::<4>();
    let mut words = words.iter().map(|&word| u32::from_le_bytes(word));
    let mut next = || words.next().unwrap_or(0);
    let map = Map {
        name: symbol.name.clone(),
        kind: next(),
        key_size: next(),
        value_size: next(),
        max_entries: next(),
        flags: next(),
        ..Map::default()
    };
    match words.all(|word| word == 0) {
        true => Ok(map),
        false => Err(wrong("its definition has more than type, key_size, value_size, max_entries and map_flags")),
    }
}

/// What stands in `values`: relocations within `.maps`.
fn read_held(file: &File<'_>, maps: &mut Maps) -> Result<(), String> {
    let Some((index, section)) = file.section(".maps") else {
        return Ok(());
    };
    for (&address, relocation) in &section.relocations {
        let target = file.target(relocation)?;
        let before = maps.places.iter().filter(|place| place.0 == index && place.1 <= address);
        let place = before.max_by_key(|place| place.1);
        let place = place.ok_or_else(|| format!(".maps, byte {address:#x}: a relocation outside of any map"))?;
        let map = &maps.list[place.2];
        let key = map.values.and_then(|values| (address - place.1).checked_sub(values));
        let key = key.filter(|at| at % 8 == 0 && elf::DATA_64.contains(&relocation.kind));
        let key = key.ok_or_else(|| format!("map {}: a relocation outside of its values", map.name))?;
        // The section's symbol with an offset is what compilers write for what is not global, and they name these anyway.
        if target.name.is_empty() || target.place == Place::Outside {
            return Err(format!("map {}: it holds what has no name in the object", map.name));
        }
        maps.held.push((place.2 as u32, (key / 8) as u32, target.name.clone()));
    }
    Ok(())
}
