//! The maps that an object defines: by BTF in `.maps`, or as plain structs in `maps`.

use crate::{
    btf::{Btf, Kind, Member},
    elf::{self, File, Place, Symbol},
    error::{refused, text, Error},
    work::{Put, Steps},
};
use alloc::{borrow::Cow, vec::Vec};
use core::fmt;
use ubpf_rs::object::{MapContent, MapEntry, ObjectMap, LONGEST_NAME, MAX_MAPS};

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
pub struct Map<'f> {
    pub name: Cow<'f, str>,
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

impl Map<'_> {
    pub fn def(&self) -> ObjectMap<'_> {
        ObjectMap {
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
pub struct Maps<'f> {
    pub list: Vec<Map<'f>>,
    /// Section and address of those that have a symbol, by place in the list.
    places: Vec<(usize, u64, usize)>,
    /// What they hold at first: map, key, and the name of a map or a function.
    held: Vec<(u32, u32, &'f str)>,
}

impl<'f> Maps<'f> {
    /// The map that is defined there.
    pub fn at(&self, section: usize, address: u64) -> Option<usize> {
        let place = self.places.iter().find(|place| (place.0, place.1) == (section, address));
        place.map(|place| place.2)
    }

    /// What maps hold at first, among these programs.
    pub fn entries<'p>(
        &self,
        programs: impl Iterator<Item = &'p str> + Clone,
        steps: &mut Steps<'_>,
    ) -> Result<Vec<MapEntry>, Error> {
        let mut entries = Vec::new();
        for &(map, key, name) in &self.held {
            steps.take(self.list.len().saturating_add(64))?;
            let program = programs.clone().position(|program| program == name);
            let held = self.list.iter().position(|map| map.name == name);
            let value = match (held, program) {
                (Some(map), _) => MapContent::Map(map as u32),
                (None, Some(program)) => MapContent::Program(program as u32),
                (None, None) => return Err(refused!("a map holds {name}, which is neither a map nor a program")),
            };
            entries.put(MapEntry { map, key, value })?;
        }
        Ok(entries)
    }

    /// Puts a map behind the others; its place.
    fn add(&mut self, map: Map<'f>) -> Result<usize, Error> {
        let at = self.list.len();
        if at >= MAX_MAPS {
            return Err(refused!("the object has more than {MAX_MAPS} maps"));
        }
        self.list.put(map)?;
        Ok(at)
    }

    /// Puts a map into its place.
    fn set(&mut self, at: usize, map: Map<'f>) {
        if let Some(place) = self.list.get_mut(at) {
            *place = map;
        }
    }
}

/// Reads all definitions.
pub fn read<'f>(file: &File<'f>, btf: &Btf<'f>, seen: &mut Seen, steps: &mut Steps<'_>) -> Result<Maps<'f>, Error> {
    let mut maps = Maps::default();
    for (index, section) in file.sections.iter().enumerate() {
        let symbols = || {
            let symbols = file.symbols_of(index);
            symbols.filter(|symbol| !symbol.name.is_empty() && symbol.name != section.name)
        };
        match section.name {
            ".maps" => {
                for symbol in symbols() {
                    let name = symbol.name;
                    let kind = btf.variable(".maps", name, steps)?;
                    let kind = kind
                        .ok_or_else(|| refused!("map {name}: nothing says what it is: compile with -g (gcc: -gbtf)"))?;
                    let at = maps.add(Map::default())?;
                    let mut reading = MapReading { btf, maps: &mut maps, seen: &mut *seen, steps: &mut *steps };
                    let map = reading.defined(Cow::Borrowed(name), kind, 0);
                    let map = map.map_err(|error| error.of(format_args!("map {name}")))?;
                    maps.set(at, map);
                    maps.places.put((index, symbol.address, at))?;
                }
            }
            "maps" => {
                for symbol in symbols() {
                    steps.take(1)?;
                    let map = maps.add(legacy(section.bytes, symbol)?)?;
                    maps.places.put((index, symbol.address, map))?;
                }
            }
            _ => {}
        }
    }
    read_held(file, &mut maps, steps)?;
    Ok(maps)
}

/// Definitions of BTF on their way.
struct MapReading<'r, 'f, 'p> {
    btf: &'r Btf<'f>,
    maps: &'r mut Maps<'f>,
    seen: &'r mut Seen,
    steps: &'r mut Steps<'p>,
}

impl<'f> MapReading<'_, 'f, '_> {
    /// A definition of BTF: a struct whose members' types are the numbers.
    fn defined(&mut self, name: Cow<'f, str>, kind: u32, depth: u32) -> Result<Map<'f>, Error> {
        let btf = self.btf;
        let Kind::Struct { members, .. } = &btf.plain(kind)?.kind else {
            return Err(refused!("its definition is no struct"));
        };
        let mut map = Map { name, ..Map::default() };
        let mut offset = 0u64;
        for member in members {
            self.steps.take(1)?;
            self.member(member, &mut map, offset, depth)?;
            offset = offset.saturating_add(btf.size(member.kind)?);
        }
        if map.kind == RINGBUF {
            // The type of records, which are of any size.
            (map.key_size, map.value_size) = (0, 0);
        }
        Ok(map)
    }

    /// What this member says of the map; `offset` is where the definition has it.
    fn member(&mut self, member: &Member<'f>, map: &mut Map<'f>, offset: u64, depth: u32) -> Result<(), Error> {
        let btf = self.btf;
        let number = || number(btf, member);
        match member.name.as_ref() {
            "type" => map.kind = number()?,
            "max_entries" => map.max_entries = number()?,
            "map_flags" => map.flags = number()?,
            "key_size" => map.key_size = number()?,
            "value_size" => map.value_size = number()?,
            // Where memory lies does not matter here; what a kind needs beyond this is looked at where the kind is.
            "numa_node" | "map_extra" => drop(number()?),
            "pinning" => map.shared = number()? == PIN_BY_NAME,
            "key" => {
                map.key_size = pointed_size(btf, member)?;
                map.key_type = Some(pointed(btf, member)?);
            }
            "value" => {
                let value = pointed(btf, member)?;
                map.value_size = pointed_size(btf, member)?;
                map.value_type = Some(value);
                check_values(btf, value, self.seen, self.steps)?;
            }
            "values" => {
                map.values = Some(offset);
                self.inner(member, map, depth)?;
            }
            other => return Err(refused!("`{other}` in its definition is unknown")),
        }
        Ok(())
    }

    /// `__array(values, …)`: of maps, or of programs.
    fn inner(&mut self, member: &Member<'_>, map: &mut Map<'f>, depth: u32) -> Result<(), Error> {
        let Kind::Array { element, .. } = self.btf.plain(member.kind)?.kind else {
            return Err(refused!("`values` in its definition is no __array(…)"));
        };
        let Kind::Pointer(to) = self.btf.plain(element)?.kind else {
            return Err(refused!("`values` in its definition holds no pointers"));
        };
        map.key_size = if map.key_size == 0 { 4 } else { map.key_size };
        map.value_size = 4;
        if !matches!(map.kind, ARRAY_OF_MAPS | HASH_OF_MAPS) {
            return Ok(());
        }
        if depth > 0 {
            return Err(refused!("maps of maps of maps do not exist"));
        }
        let name = Cow::Owned(text(format_args!("{}.inner", map.name), LONGEST_NAME)?);
        let template = self.defined(name, to, 1)?;
        map.inner = Some(self.maps.add(template)? as u32);
        Ok(())
    }
}

/// `int (*member)[N]` is the number N.
fn number(btf: &Btf<'_>, member: &Member<'_>) -> Result<u32, Error> {
    match btf.plain(pointed(btf, member)?)?.kind {
        Kind::Array { count, .. } => Ok(count),
        _ => Err(refused!("`{}` in its definition is no __uint(…)", member.name)),
    }
}

fn pointed(btf: &Btf<'_>, member: &Member<'_>) -> Result<u32, Error> {
    match btf.plain(member.kind)?.kind {
        Kind::Pointer(to) => Ok(to),
        _ => Err(refused!("`{}` in its definition is no __type(…) or __uint(…)", member.name)),
    }
}

fn pointed_size(btf: &Btf<'_>, member: &Member<'_>) -> Result<u32, Error> {
    let size = btf.size(pointed(btf, member)?)?;
    u32::try_from(size).map_err(|_| refused!("`{}` in its definition is too large", member.name))
}

/// Types that were looked at: each is once, however many are of it.
#[derive(Default)]
pub struct Seen(Vec<bool>);

impl Seen {
    /// Whether it was not seen before.
    fn insert(&mut self, number: u32) -> Result<bool, Error> {
        let at = number as usize;
        self.0.grow(self.0.len().max(at.saturating_add(1)), false)?;
        Ok(self.0.get_mut(at).is_some_and(|seen| !core::mem::replace(seen, true)))
    }
}

/// The member that a kind of value is in.
struct Within<'m>(&'m str, &'m str);

impl fmt::Display for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            "" => Ok(()),
            member => write!(f, "{}{member}{}", self.0, if self.0 == " (" { ")" } else { "" }),
        }
    }
}

/// Values and variables hold numbers: what only Linux's kernel can keep there is refused by name.
pub fn check_values(btf: &Btf<'_>, kind: u32, seen: &mut Seen, steps: &mut Steps<'_>) -> Result<(), Error> {
    const KEPT: [&str; 7] =
        ["bpf_spin_lock", "bpf_timer", "bpf_list_head", "bpf_rb_root", "bpf_refcount", "bpf_wq", "bpf_res_spin_lock"];
    const MARKS: [&str; 4] = ["kptr", "kptr_untrusted", "percpu_kptr", "uptr"];
    let mut left: Vec<(u32, &str)> = Vec::new();
    left.put((kind, ""))?;
    while let Some((kind, member)) = left.pop() {
        // Number 0 and what there is none of are no values.
        let plain = btf.plain(kind)?;
        if !seen.insert(kind)? {
            continue;
        }
        steps.take(16)?;
        let mut names = KEPT.iter();
        if let Some(name) = names.find(|&&name| btf.is_called(kind, &|found| found == name).unwrap_or(false)) {
            return Err(refused!("its value has a {name}{}, which is not supported", Within(" (", member)));
        }
        match &plain.kind {
            Kind::Struct { members, .. } => {
                steps.take(members.len())?;
                for one in members {
                    left.put((one.kind, &one.name))?;
                }
            }
            Kind::Array { element, .. } => left.put((*element, member))?,
            Kind::Pointer(to) if btf.is_called(*to, &|name| MARKS.contains(&name))? => {
                return Err(refused!(
                    "its value has a pointer to an object of the kernel (kptr{}), which is not supported",
                    Within(", ", member)
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A definition in `maps`.
fn legacy<'f>(bytes: &[u8], symbol: &Symbol<'f>) -> Result<Map<'f>, Error> {
    let wrong = |what: &str| refused!("map {}: {what}", symbol.name);
    let from = usize::try_from(symbol.address).unwrap_or(usize::MAX);
    let end = usize::try_from(symbol.size.max(LEGACY)).unwrap_or(usize::MAX);
    let definition = bytes.get(from..).and_then(|rest| rest.get(..end));
    let definition = definition.ok_or_else(|| wrong("its definition reaches beyond the section"))?;
    let (words, _) = definition.as_chunks::<4>();
    let mut words = words.iter().map(|&word| u32::from_le_bytes(word));
    let mut next = || words.next().unwrap_or(0);
    let map = Map {
        name: Cow::Borrowed(symbol.name),
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
fn read_held<'f>(file: &File<'f>, maps: &mut Maps<'f>, steps: &mut Steps<'_>) -> Result<(), Error> {
    let Some((index, _)) = file.section(".maps") else {
        return Ok(());
    };
    for relocation in file.relocations_of(index) {
        steps.take(maps.places.len().saturating_add(1))?;
        let address = relocation.address;
        let target = file.target(relocation)?;
        let before = maps.places.iter().filter(|place| place.0 == index && place.1 <= address);
        let place = before.max_by_key(|place| place.1);
        let &(_, begin, at) =
            place.ok_or_else(|| refused!(".maps, byte {address:#x}: a relocation outside of any map"))?;
        let Some(map) = maps.list.get(at) else { continue };
        let key = map.values.and_then(|values| address.checked_sub(begin)?.checked_sub(values));
        let key = key.filter(|at| at % 8 == 0 && elf::DATA_64.contains(&relocation.kind));
        let key = key.ok_or_else(|| refused!("map {}: a relocation outside of its values", map.name))?;
        // The section's symbol with an offset is what compilers write for what is not global, and they name these anyway.
        if target.name.is_empty() || target.place == Place::Outside {
            return Err(refused!("map {}: it holds what has no name in the object", map.name));
        }
        maps.held.put((at as u32, (key / 8) as u32, target.name))?;
    }
    Ok(())
}
