//! What a map is, as plain data: verifier, loader and `maps` agree on this.

/// The kinds: enum, list, numbers and names derive from the rows.
macro_rules! kinds {
    ($(#[$doc:meta] $kind:ident = $number:literal, $name:literal;)*) => {
        /// Kind of a map. The numbers are those of Linux (`enum bpf_map_type`); the classic map, which Linux does not have, has one of ours.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u32)]
        pub enum MapKind {
            $(#[$doc] $kind = $number,)*
        }

        impl MapKind {
            /// All of them.
            pub const ALL: &[MapKind] = &[$(MapKind::$kind,)*];

            /// Its name, as the tools of Linux write it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(MapKind::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// Values by a key of any bytes.
    Hash = 1, "hash";
    /// Values by a number from 0; all of them are always there.
    Array = 2, "array";
    /// Programs by number, for tail calls.
    ProgArray = 3, "prog_array";
    /// Records for a reader, one buffer per CPU.
    PerfEventArray = 4, "perf_event_array";
    /// A hash with a value per CPU.
    PercpuHash = 5, "percpu_hash";
    /// An array with a value per CPU.
    PercpuArray = 6, "percpu_array";
    /// Stack traces by number.
    StackTrace = 7, "stack_trace";
    /// Control groups by number.
    CgroupArray = 8, "cgroup_array";
    /// A hash that gives up what was not used for the longest time.
    LruHash = 9, "lru_hash";
    /// The same with a value per CPU.
    LruPercpuHash = 10, "lru_percpu_hash";
    /// Values by the longest prefix of a key.
    LpmTrie = 11, "lpm_trie";
    /// Maps by number.
    ArrayOfMaps = 12, "array_of_maps";
    /// Maps by a key of any bytes.
    HashOfMaps = 13, "hash_of_maps";
    /// Values, first in, first out.
    Queue = 22, "queue";
    /// Values, last in, first out.
    Stack = 23, "stack";
    /// Records for a reader, one buffer.
    Ringbuf = 27, "ringbuf";
    /// Whether a value was put, with false hits.
    BloomFilter = 30, "bloom_filter";
    /// The classic map: two 64-bit keys, one 64-bit value.
    TwoKey = 0x8000_0000, "two_key";
}

impl MapKind {
    /// The kind with this number.
    pub fn new(number: u32) -> Option<MapKind> {
        Self::ALL.iter().copied().find(|kind| kind.number() == number)
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Whether helpers of this family take such a map.
    pub const fn offers(self, family: MapFamily) -> bool {
        match family {
            MapFamily::Lookup => self.has_values() || self.holds_maps(),
            MapFamily::Change => self.has_values(),
            MapFamily::PerCpu => self.is_per_cpu(),
            MapFamily::Push | MapFamily::Peek => {
                matches!(self, MapKind::Queue | MapKind::Stack | MapKind::BloomFilter)
            }
            MapFamily::Pop => matches!(self, MapKind::Queue | MapKind::Stack),
            MapFamily::Cgroups => matches!(self, MapKind::CgroupArray),
            MapFamily::Ring => matches!(self, MapKind::Ringbuf),
            MapFamily::Events => matches!(self, MapKind::PerfEventArray),
            MapFamily::Programs => matches!(self, MapKind::ProgArray),
            MapFamily::Stacks => matches!(self, MapKind::StackTrace),
        }
    }

    /// Whether its values are maps or programs.
    pub const fn holds_things(self) -> bool {
        self.holds_maps() || matches!(self, MapKind::ProgArray)
    }

    /// Whether its values are maps.
    pub const fn holds_maps(self) -> bool {
        matches!(self, MapKind::ArrayOfMaps | MapKind::HashOfMaps)
    }

    /// Whether there can be such maps within a map, as with Linux: no maps that hold maps or programs themselves.
    const fn can_be_inner(self) -> bool {
        !self.holds_maps() && !matches!(self, MapKind::ProgArray | MapKind::TwoKey)
    }

    /// Slots of each value: one, or one for each lane.
    pub const fn slots(self) -> usize {
        match self.is_per_cpu() {
            true => super::limits::LANES,
            false => 1,
        }
    }

    /// Whether each CPU has values of its own.
    pub const fn is_per_cpu(self) -> bool {
        matches!(self, MapKind::PercpuArray | MapKind::PercpuHash | MapKind::LruPercpuHash)
    }

    /// Whether programs reach its values by keys.
    const fn has_values(self) -> bool {
        match self {
            MapKind::Hash
            | MapKind::Array
            | MapKind::PercpuHash
            | MapKind::PercpuArray
            | MapKind::LruHash
            | MapKind::LruPercpuHash
            | MapKind::LpmTrie => true,
            MapKind::ProgArray
            | MapKind::PerfEventArray
            | MapKind::StackTrace
            | MapKind::CgroupArray
            | MapKind::ArrayOfMaps
            | MapKind::HashOfMaps
            | MapKind::Queue
            | MapKind::Stack
            | MapKind::Ringbuf
            | MapKind::BloomFilter
            | MapKind::TwoKey => false,
        }
    }

    /// What its keys are.
    const fn keys(self) -> Keys {
        match self {
            MapKind::Array
            | MapKind::ProgArray
            | MapKind::PerfEventArray
            | MapKind::PercpuArray
            | MapKind::CgroupArray
            | MapKind::ArrayOfMaps => Keys::Numbers,
            MapKind::StackTrace => Keys::Bytes(4, 4),
            MapKind::LpmTrie => Keys::Bytes(5, MapDef::MAX_PREFIX),
            MapKind::TwoKey => Keys::Bytes(16, 16),
            MapKind::Hash | MapKind::PercpuHash | MapKind::LruHash | MapKind::LruPercpuHash | MapKind::HashOfMaps => {
                Keys::Bytes(1, MapDef::MAX_KEY)
            }
            MapKind::Queue | MapKind::Stack | MapKind::Ringbuf | MapKind::BloomFilter => Keys::None,
        }
    }
}

/// What the keys of a kind are.
#[derive(Clone, Copy)]
enum Keys {
    /// Numbers below the number of entries; they take no memory.
    Numbers,
    /// So many bytes at least, and at most.
    Bytes(u32, u32),
    /// There are none.
    None,
}

/// Helpers that take the same kinds of maps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MapFamily {
    /// They look for a value by a key.
    Lookup,
    /// They change the value of a key, or take it away.
    Change,
    /// They look for the value of one CPU by a key.
    PerCpu,
    /// They put a value into a queue, a stack or a filter.
    Push,
    /// They look at the first value of a queue or a stack, or for one in a filter.
    Peek,
    /// They take the first value of a queue or a stack.
    Pop,
    /// They ask whether something belongs to a group of an array.
    Cgroups,
    /// They write records into a ring.
    Ring,
    /// They write records for the reader of an array of events.
    Events,
    /// They go on in a program of an array.
    Programs,
    /// They put a stack trace into a map.
    Stacks,
}

bitflags::bitflags! {
    /// Flags of a map, with the numbers of Linux.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct MapFlags: u32 {
        /// Memory is to be taken when it is needed. All is taken beforehand all the same.
        const NO_PREALLOC = 1;
        /// Each CPU is to have a list of its own of what was used last.
        const NO_COMMON_LRU = 1 << 1;
        /// Memory is to be near a CPU.
        const NUMA_NODE = 1 << 2;
        /// The shell and the application may not change it.
        const RDONLY = 1 << 3;
        /// The shell and the application may not read it.
        const WRONLY = 1 << 4;
        /// The hash has no secret in it.
        const ZERO_SEED = 1 << 6;
        /// Programs may not change it.
        const RDONLY_PROG = 1 << 7;
        /// Programs may not read it.
        const WRONLY_PROG = 1 << 8;
        /// User space may map it.
        const MMAPABLE = 1 << 10;
    }
}

/// Name of a map: 1 to [`MapName::LONGEST`] printable characters of one byte, without spaces.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MapName {
    bytes: [u8; MapName::LONGEST],
    len: u8,
}

impl MapName {
    /// Most bytes of a name.
    pub const LONGEST: usize = 63;

    /// This name; `None` where a map cannot have it.
    pub fn new(name: &str) -> Option<MapName> {
        let mut bytes = [0; Self::LONGEST];
        let shown = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        bytes.get_mut(..name.len()).filter(|_| shown)?.copy_from_slice(name.as_bytes());
        Some(MapName { bytes, len: name.len() as u8 })
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len));
        core::str::from_utf8(bytes.unwrap_or(&[])).unwrap_or("")
    }
}

/// What a map is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapDef {
    /// Its kind.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value, of one CPU.
    pub value_size: u32,
    /// Most entries; of a ring the bytes that it holds.
    pub max_entries: u32,
    /// What else was asked for.
    pub flags: MapFlags,
    /// What the maps within it are like, where it holds maps.
    pub inner: Option<InnerDef>,
    /// What it is called.
    pub name: MapName,
}

/// What all maps within a map are like: a definition without a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InnerDef {
    kind: MapKind,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: MapFlags,
}

impl InnerDef {
    /// Like this map.
    pub const fn of(def: &MapDef) -> InnerDef {
        let MapDef { kind, key_size, value_size, max_entries, flags, .. } = *def;
        InnerDef { kind, key_size, value_size, max_entries, flags }
    }

    /// As the definition of a map of this name.
    pub const fn named(self, name: MapName) -> MapDef {
        let InnerDef { kind, key_size, value_size, max_entries, flags } = self;
        MapDef { kind, key_size, value_size, max_entries, flags, inner: None, name }
    }

    /// Whether each CPU has values of its own.
    pub const fn is_per_cpu(&self) -> bool {
        self.kind.is_per_cpu()
    }

    /// Whether a map is like this. As with Linux, only arrays need as many entries.
    pub fn fits(&self, def: &MapDef) -> bool {
        let is_array = matches!(self.kind, MapKind::Array | MapKind::PercpuArray);
        let max_entries = if is_array { self.max_entries } else { def.max_entries };
        InnerDef { max_entries, ..*self } == InnerDef::of(def)
    }
}

/// Why a map cannot be as it is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapDefError {
    /// No key, a key where there can be none, or one that is too long.
    KeySize {
        /// Bytes asked for.
        size: u32,
        /// Fewest bytes.
        least: u32,
        /// Most bytes.
        most: u32,
    },
    /// No value, a value where there can be none, or one that is too long.
    ValueSize {
        /// Bytes asked for.
        size: u32,
        /// Fewest bytes.
        least: u32,
        /// Most bytes.
        most: u32,
    },
    /// The bytes of a value are no multiple of what it is made of.
    ValueStep {
        /// Bytes asked for.
        size: u32,
        /// What they are a multiple of.
        step: u32,
    },
    /// No entry, or too many.
    Entries {
        /// Entries asked for.
        entries: u32,
        /// Most entries.
        most: u32,
    },
    /// The bytes of a ring are not a power of two of at least a page.
    RingSize {
        /// Bytes asked for.
        bytes: u32,
    },
    /// A map that holds maps without a word of what they are like, one that holds maps itself, or another map with such a word.
    Inner {
        /// Its kind.
        kind: MapKind,
    },
    /// The values, keys and entries fit one by one, but not all together.
    TooLarge {
        /// Bytes that keys and values would take.
        bytes: u64,
        /// Most bytes.
        most: u64,
    },
}

/// So many maps an address is looked for in at the charge of a unit: half a nanosecond each takes.
const MAPS_OF_A_UNIT: usize = 8;

impl MapDef {
    /// Longest key in bytes: as long as a frame of the stack.
    pub const MAX_KEY: u32 = super::limits::FRAME_BYTES as u32;
    /// Longest key of a map by prefixes in bytes: a number of bits, and 256 bytes of them.
    pub const MAX_PREFIX: u32 = 260;
    /// Longest value in bytes.
    pub const MAX_VALUE: u32 = 1 << 20;
    /// Longest value in bytes of which each CPU has one, as with Linux.
    pub const MAX_VALUE_PER_CPU: u32 = 32 << 10;
    /// Most entries.
    pub const MAX_ENTRIES: u32 = 4 << 20;
    /// Bytes of the ring behind an array of events.
    pub const EVENT_BYTES: u32 = 64 << 10;
    /// Most bytes of all keys and values.
    pub const MAX_BYTES: u64 = 64 << 20;

    /// Whether there can be such a map. Whether this image has the kind, and the memory, is known when the map is made.
    pub fn check(&self) -> Result<(), MapDefError> {
        let (least, most) = self.key_sizes();
        if !(least..=most).contains(&self.key_size) {
            let size = self.key_size;
            return Err(MapDefError::KeySize { size, least, most });
        }
        let (least, most) = self.value_sizes();
        if !(least..=most).contains(&self.value_size) {
            let size = self.value_size;
            return Err(MapDefError::ValueSize { size, least, most });
        }
        let step = if self.kind == MapKind::StackTrace { size_of::<u64>() as u32 } else { 1 };
        if !self.value_size.is_multiple_of(step) {
            return Err(MapDefError::ValueStep { size: self.value_size, step });
        }
        let most = Self::MAX_ENTRIES;
        let entries = self.max_entries;
        if self.kind == MapKind::Ringbuf {
            let bytes = entries;
            if !bytes.is_power_of_two() || bytes < 4096 {
                return Err(MapDefError::RingSize { bytes });
            }
        } else if self.kind == MapKind::PerfEventArray && entries == 0 {
            // One for each CPU, as many as there are.
        } else if !(1..=most).contains(&entries) {
            return Err(MapDefError::Entries { entries, most });
        }
        let inner = match self.inner {
            Some(inner) => self.kind.holds_maps() && inner.kind.can_be_inner(),
            None => !self.kind.holds_maps(),
        };
        if !inner {
            return Err(MapDefError::Inner { kind: self.kind });
        }
        let (bytes, most) = (self.bytes(), Self::MAX_BYTES);
        if bytes > most {
            return Err(MapDefError::TooLarge { bytes, most });
        }
        Ok(())
    }

    /// Bytes of all its keys and values, without what it takes to find them.
    pub fn bytes(&self) -> u64 {
        if self.kind.offers(MapFamily::Ring) {
            return self.max_entries.into();
        }
        if self.kind.offers(MapFamily::Events) {
            return Self::EVENT_BYTES.into();
        }
        if self.kind == MapKind::CgroupArray {
            // All of them are the same.
            return 0;
        }
        if self.kind == MapKind::BloomFilter {
            // Seven bits for each, as a power of two of words: of 28 values that are not in a full one, one seems to be.
            let words = u64::from(self.max_entries).saturating_mul(7) / 64;
            return words.saturating_add(1).next_power_of_two().saturating_mul(8);
        }
        if self.kind == MapKind::StackTrace {
            // A power of two of them; their keys are numbers.
            return u64::from(self.max_entries).next_power_of_two().saturating_mul(self.value_stride());
        }
        let keys = match self.kind.keys() {
            Keys::Numbers | Keys::None => 0,
            Keys::Bytes(..) => u64::from(self.key_size),
        };
        let entry = self.value_stride().saturating_mul(self.kind.slots() as u64).saturating_add(keys);
        u64::from(self.max_entries).saturating_mul(entry)
    }

    /// What a search by prefixes walks for each length that it asks for: it makes a hash of the key.
    pub const fn walked_to_ask(&self) -> u32 {
        (self.key_size / 8).saturating_mul(4).saturating_add(20)
    }

    /// Bytes that a change of a value is charged for. Of a key that is new, all slots are written.
    pub fn bytes_changed(&self) -> u32 {
        match self.kind.is_per_cpu() {
            true => self.value_size.saturating_mul(3),
            false => self.value_size,
        }
    }

    /// What it is charged to ask whether an address lies in one of the maps that it holds: they are searched by halves.
    const fn search(&self) -> u32 {
        match self.kind.holds_maps() {
            true => u32::BITS.saturating_sub(self.max_entries.leading_zeros()).saturating_add(4),
            false => 0,
        }
    }

    /// What it is charged to ask in which of an object's maps an address lies, which are gone through one by one, and in which of those that they
    /// hold.
    pub fn search_all(maps: impl ExactSizeIterator<Item = MapDef>) -> u32 {
        let among_own = maps.len() / MAPS_OF_A_UNIT;
        maps.map(|def| def.search()).fold(among_own as u32, u32::saturating_add)
    }

    /// Most that a search walks, where one of a hash map walks so much: by prefixes, there is one for each length.
    pub fn most_walked(&self, in_hash: u32) -> u32 {
        match self.kind {
            MapKind::LpmTrie => {
                let lengths = self.key_size.saturating_sub(4).saturating_mul(8).saturating_add(1);
                lengths.saturating_mul(in_hash.saturating_add(self.walked_to_ask()))
            }
            _ => in_hash,
        }
    }

    /// Distance of two values in bytes: values begin at multiples of 8.
    pub const fn value_stride(&self) -> u64 {
        (self.value_size as u64).next_multiple_of(8)
    }

    /// Whether programs may change its values by their own instructions.
    pub fn is_writable_by_programs(&self) -> bool {
        !self.flags.contains(MapFlags::RDONLY_PROG)
    }

    /// Whether a program may have the address of its value loaded: there is one value, and it is always there.
    pub fn has_one_value(&self) -> bool {
        self.kind == MapKind::Array && self.max_entries == 1
    }

    fn key_sizes(&self) -> (u32, u32) {
        match self.kind.keys() {
            Keys::Numbers => (4, 4),
            Keys::Bytes(least, most) => (least, most),
            Keys::None => (0, 0),
        }
    }

    fn value_sizes(&self) -> (u32, u32) {
        match self.kind {
            MapKind::TwoKey => (8, 8),
            MapKind::Ringbuf => (0, 0),
            MapKind::ProgArray
            | MapKind::PerfEventArray
            | MapKind::CgroupArray
            | MapKind::ArrayOfMaps
            | MapKind::HashOfMaps => (4, 4),
            MapKind::StackTrace => (8, 8 * super::limits::MOST_FRAMES as u32),
            MapKind::PercpuHash | MapKind::PercpuArray | MapKind::LruPercpuHash => (1, Self::MAX_VALUE_PER_CPU),
            MapKind::Hash
            | MapKind::Array
            | MapKind::LruHash
            | MapKind::LpmTrie
            | MapKind::Queue
            | MapKind::Stack
            | MapKind::BloomFilter => (1, Self::MAX_VALUE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn def(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> MapDef {
        let (flags, name) = (MapFlags::empty(), MapName::new("m").unwrap());
        MapDef { kind, key_size, value_size, max_entries, flags, inner: None, name }
    }

    #[test]
    fn kinds_have_the_numbers_of_linux() {
        let numbers: std::vec::Vec<u32> = MapKind::ALL.iter().map(|k| k.number()).collect();
        assert_eq!(numbers[..numbers.len() - 1], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 22, 23, 27, 30]);
        for kind in MapKind::ALL {
            assert_eq!(MapKind::new(kind.number()), Some(*kind));
        }
        assert_eq!(MapKind::new(0), None);
        assert_eq!(MapKind::new(14), None);
    }

    #[test]
    fn impossible_maps_are_refused() {
        use MapDefError::*;
        let check = |kind, key, value, entries| def(kind, key, value, entries).check();
        assert_eq!(check(MapKind::Array, 4, 1, 1), Ok(()));
        assert_eq!(check(MapKind::Hash, 512, 1 << 20, 1), Ok(()));
        assert_eq!(check(MapKind::Ringbuf, 0, 0, 1 << 16), Ok(()));
        assert_eq!(check(MapKind::TwoKey, 16, 8, 1024), Ok(()));
        assert!(matches!(check(MapKind::Array, 8, 1, 1), Err(KeySize { .. })));
        assert!(matches!(check(MapKind::Hash, 0, 1, 1), Err(KeySize { .. })));
        assert!(matches!(check(MapKind::Hash, 513, 1, 1), Err(KeySize { .. })));
        assert!(matches!(check(MapKind::Hash, 1, 0, 1), Err(ValueSize { .. })));
        assert!(matches!(check(MapKind::Hash, 1, 1, 0), Err(Entries { .. })));
        assert!(matches!(check(MapKind::Hash, 1, 1, u32::MAX), Err(Entries { .. })));
        assert!(matches!(check(MapKind::Ringbuf, 0, 0, 5000), Err(RingSize { .. })));
        let large = check(MapKind::Hash, 8, 1 << 20, 1 << 20);
        assert!(matches!(large, Err(TooLarge { .. })));
    }

    #[test]
    fn maps_that_hold_maps_hold_those_of_one_definition() {
        let holder = |kind, inner: Option<MapDef>| {
            let inner = inner.as_ref().map(InnerDef::of);
            MapDef { inner, ..def(kind, 4, 4, 8) }.check()
        };
        let refused = |kind| Err(MapDefError::Inner { kind });
        let hash = def(MapKind::Hash, 8, 16, 32);
        for kind in [MapKind::ArrayOfMaps, MapKind::HashOfMaps] {
            assert_eq!(holder(kind, Some(hash)), Ok(()));
            assert_eq!(holder(kind, None), refused(kind));
            for inner in [MapKind::ArrayOfMaps, MapKind::HashOfMaps, MapKind::ProgArray, MapKind::TwoKey] {
                assert_eq!(holder(kind, Some(def(inner, 4, 4, 1))), refused(kind));
            }
        }
        assert_eq!(holder(MapKind::Hash, Some(hash)), refused(MapKind::Hash));

        let like = InnerDef::of(&hash);
        assert!(like.fits(&MapDef { max_entries: 1, ..hash }));
        for other in [
            MapDef { kind: MapKind::LruHash, ..hash },
            MapDef { key_size: 4, ..hash },
            MapDef { value_size: 8, ..hash },
            MapDef { flags: MapFlags::RDONLY_PROG, ..hash },
        ] {
            assert!(!like.fits(&other), "{other:?}");
        }
        let array = def(MapKind::Array, 4, 8, 4);
        assert!(InnerDef::of(&array).fits(&array));
        assert!(!InnerDef::of(&array).fits(&MapDef { max_entries: 5, ..array }));
    }

    #[test]
    fn names_can_be_shown_in_a_line() {
        assert_eq!(MapName::new("x.bss").unwrap().as_str(), "x.bss");
        let longest = "n".repeat(MapName::LONGEST);
        assert_eq!(MapName::new(&longest).unwrap().as_str(), longest);
        for bad in ["", "a b", "a\n", "\u{e9}", &"n".repeat(64)] {
            assert_eq!(MapName::new(bad), None);
        }
    }
}
