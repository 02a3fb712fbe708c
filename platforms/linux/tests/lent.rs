//! What helpers are lent: memory of each region, given to helpers of each sort, by every way in which a program runs. All do the same.
#![cfg(target_arch = "x86_64")]

#[path = "common/image.rs"]
mod image;

use std::fmt::Write;
use ubpf_platform_linux::platform;
use ubpf_rs::{
    isa::assemble,
    maps::Map,
    program::{Abi, InnerDef, MapDef, MapFlags, MapKind, MapName, Program},
    runtime::{AttachLimits, Config, Engine, LoadOptions, MapPart, ProgramId, Runtime},
    verifier::Policy,
};

extern "C" {
    fn gcc_patchable_myfun();
}

const MYFUN: &str = "gcc_patchable_myfun";

/// The maps by their places: names, kinds, and bytes of a key and a value, and entries.
const MAPS: [(&str, MapKind, [u32; 3]); 16] = [
    ("data", MapKind::Array, [4, 256, 1]),
    ("constants", MapKind::Array, [4, 40, 1]),
    ("array", MapKind::Array, [4, 40, 4]),
    ("percpu_array", MapKind::PercpuArray, [4, 40, 2]),
    ("hash", MapKind::Hash, [8, 40, 4]),
    ("percpu_hash", MapKind::PercpuHash, [8, 40, 4]),
    ("lru_hash", MapKind::LruHash, [8, 40, 4]),
    ("prefixes", MapKind::LpmTrie, [5, 40, 4]),
    ("outer", MapKind::ArrayOfMaps, [4, 4, 2]),
    ("ring", MapKind::Ringbuf, [0, 0, 4096]),
    ("keys", MapKind::Hash, [8, 8, 8]),
    ("queue", MapKind::Queue, [0, 8, 4]),
    ("filter", MapKind::BloomFilter, [0, 8, 4]),
    ("copies", MapKind::Ringbuf, [0, 0, 4096]),
    ("events", MapKind::PerfEventArray, [4, 4, 1]),
    ("calls", MapKind::ProgArray, [4, 4, 1]),
];

/// Bytes of a region that are used.
const BYTES: usize = 40;
/// A key, a text, a format, and room.
const KEY: u64 = 5;
const TEXT: &[u8; 8] = b"12 abc\0\0";
const FORMAT: &[u8; 8] = b"%d\0\0\0\0\0\0";

/// How r6 becomes the address of a region, and what is done when it has been looked at.
struct Region {
    name: &'static str,
    enter: &'static str,
    leave: &'static str,
    writable: bool,
}

macro_rules! value {
    ($name:literal, $map:literal, $key:literal) => {
        Region {
            name: $name,
            enter: concat!(
                "r1 = ",
                $key,
                " ll\n*(u64 *)(r10 - 8) = r1\nr2 = r10\nr2 += -8\nr1 = map_index(",
                $map,
                ") ll\ncall 1\nif r0 == 0 goto none\nr6 = r0\n"
            ),
            leave: "",
            writable: true,
        }
    };
}

const REGIONS: &[Region] = &[
    Region { name: "stack", enter: "r6 = r10\nr6 += -40\n", leave: "", writable: true },
    Region {
        name: "outer frame",
        enter: "r1 = r10\nr1 += -40\ncall local function\nr0 = 0\nexit\nfunction:\nr6 = r1\n",
        leave: "",
        writable: true,
    },
    Region { name: "argument", enter: "r6 = r1\n", leave: "", writable: true },
    Region { name: "end of the argument", enter: "r6 = r1\nr6 += 85\n", leave: "", writable: true },
    Region { name: "data", enter: "r6 = map_index_value(0) ll\nr6 += 128\n", leave: "", writable: true },
    Region { name: "constants", enter: "r6 = map_index_value(1) ll\n", leave: "", writable: false },
    value!("array", "2", "1"),
    value!("percpu_array", "3", "1"),
    value!("hash", "4", "5"),
    value!("percpu_hash", "5", "5"),
    value!("lru_hash", "6", "5"),
    value!("prefixes", "7", "0x500000008"),
    Region {
        name: "map within a map",
        enter: "*(u64 *)(r10 - 8) = 1\nr2 = r10\nr2 += -8\nr1 = map_index(8) ll\ncall 1\nif r0 == 0 goto none\n\
                r1 = r0\nr2 = r10\nr2 += -8\ncall 1\nif r0 == 0 goto none\nr6 = r0\n",
        leave: "",
        writable: true,
    },
    Region {
        name: "record",
        enter: "r1 = map_index(9) ll\nr2 = 40\nr3 = 0\ncall 131\nif r0 == 0 goto none\nr6 = r0\n",
        leave: "r1 = r6\nr2 = 0\ncall 132\n",
        writable: true,
    },
];

/// What is done with a region, and whether that writes there.
const USES: &[(&str, &str, bool)] = &[
    ("lookup", "r1 = map_index(10) ll\nr2 = r6\ncall 1\nif r0 == 0 goto out\nr0 = *(u64 *)(r0 + 0)\n", false),
    ("update", "r1 = map_index(10) ll\nr2 = r6\nr3 = r6\nr3 += 16\nr4 = 0\ncall 2\n", false),
    ("delete", "r1 = map_index(10) ll\nr2 = r6\ncall 3\n", false),
    ("value of percpu", "r1 = map_index(5) ll\nr2 = r6\nr3 = r6\nr4 = 2\ncall 2\n", false),
    ("map_key", "r1 = map_index(2) ll\nr2 = 3\nr3 = r6\nr3 += 24\nr4 = 4\ncall 255\n", true),
    ("push", "r1 = map_index(11) ll\nr2 = r6\nr2 += 16\nr3 = 0\ncall 87\n", false),
    ("pop", "r1 = map_index(11) ll\nr2 = r6\nr2 += 24\ncall 88\n", true),
    ("peek", "r1 = map_index(11) ll\nr2 = r6\nr2 += 24\ncall 89\n", true),
    ("filter", "r1 = map_index(12) ll\nr2 = r6\nr3 = 0\ncall 87\nr1 = map_index(12) ll\nr2 = r6\ncall 89\n", true),
    ("ringbuf_output", "r1 = map_index(13) ll\nr2 = r6\nr2 += 3\nr3 = 24\nr4 = 0\ncall 130\n", false),
    ("event", "r1 = r6\nr2 = map_index(14) ll\nr3 = -1\nr4 = r6\nr5 = 24\ncall 25\n", false),
    ("strncmp", "r1 = r6\nr1 += 8\nr2 = 8\nr3 = r6\nr3 += 16\ncall 182\n", false),
    ("strtol", "r1 = r6\nr1 += 8\nr2 = 8\nr3 = 10\nr4 = r6\nr4 += 24\ncall 105\n", true),
    ("snprintf", "r1 = r6\nr1 += 24\nr2 = 16\nr3 = r6\nr3 += 16\nr4 = r6\nr5 = 8\ncall 165\n", true),
    ("trace_printk", "r1 = r6\nr1 += 16\nr2 = 8\nr3 = 77\nr4 = 0\nr5 = 0\ncall 6\n", false),
    ("trace_vprintk", "r1 = r6\nr1 += 16\nr2 = 8\nr3 = r6\nr4 = 8\ncall 177\n", false),
    ("probe_read", "r1 = r6\nr1 += 24\nr2 = 16\nr3 = map_index_value(1) ll\ncall 113\n", true),
    ("probe_read_str", "r1 = r6\nr1 += 27\nr2 = 13\nr3 = map_index_value(1) ll\nr3 += 8\ncall 115\n", true),
    ("current_comm", "r1 = r6\nr1 += 24\nr2 = 16\ncall 16\n", true),
    ("get_stack", "r1 = r6\nr2 = r6\nr2 += 24\nr3 = 12\nr4 = 0\ncall 67\n", true),
    ("func_arg", "*(u64 *)(r6 + 24) = -1\nr1 = r6\nr2 = 9\nr3 = r6\nr3 += 24\ncall 183\n", true),
    ("func_ret", "*(u64 *)(r6 + 24) = -1\nr1 = r6\nr2 = r6\nr2 += 24\ncall 184\n", true),
];

/// What a region holds before it is used.
fn words() -> [u64; BYTES / 8] {
    let mut words = [0; BYTES / 8];
    words[..3].copy_from_slice(&[KEY, u64::from_le_bytes(*TEXT), u64::from_le_bytes(*FORMAT)]);
    words
}

/// A program that puts r0 and the region into the data.
fn text(region: &Region, body: &str) -> String {
    let mut text = String::from(region.enter);
    for (at, word) in words().iter().enumerate().filter(|_| region.writable) {
        writeln!(text, "r1 = {word} ll\n*(u64 *)(r6 + {}) = r1", 8 * at).unwrap();
    }
    text += body;
    text += "out:\nr7 = map_index_value(0) ll\n*(u64 *)(r7 + 0) = r0\n";
    for at in (0..BYTES).step_by(8) {
        writeln!(text, "r1 = *(u64 *)(r6 + {at})\n*(u64 *)(r7 + {}) = r1", at + 8).unwrap();
    }
    text + region.leave + "none:\nr0 = 0\nexit"
}

fn program(name: &str, text: &str) -> Program {
    let code = assemble(text).unwrap_or_else(|error| panic!("line {}: {}\n{text}", error.line, error.problem));
    Program::from_flat(name, &code, Abi::Linux).unwrap()
}

/// How a program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Exec,
    /// In the place of one that has called it.
    Called,
    /// At a function, by the general way.
    Hook,
    /// At a function, called there too.
    CalledInHook,
    /// At a function, straight from it if that can be.
    Direct,
}

/// All ways, proved and checked, interpreted and as machine code.
fn ways() -> impl Iterator<Item = (Policy, Engine, Way)> {
    let engines = [Engine::Interpreter, Engine::Jit].into_iter();
    let both = engines.flat_map(|on| [Policy::Strict, Policy::Checked].map(|policy| (policy, on)));
    both.flat_map(|(policy, on)| {
        let direct = (on == Engine::Jit && policy == Policy::Strict).then_some(Way::Direct);
        let all = [Way::Exec, Way::Called, Way::Hook, Way::CalledInHook].into_iter().chain(direct);
        all.map(move |way| (policy, on, way))
    })
}

const CALLS: &str = "r2 = map_index(15) ll\nr3 = 0\ncall 12\nr0 = 0\nexit";

/// What is left.
#[derive(PartialEq, Eq, Debug)]
struct Left {
    data: Vec<u8>,
    records: Vec<(String, Vec<u8>)>,
    keys: Vec<Option<Vec<u8>>>,
    lengths: Vec<usize>,
}

/// A value; of those per CPU what all together hold, since each way has its own.
fn bytes_of(map: &Map, key: &[u8]) -> Option<Vec<u8>> {
    let mut all = vec![0; map.def().value_size as usize];
    for slot in map.value(key.into())?.iter() {
        let mut bytes = vec![0; all.len()];
        slot.copy_to(&mut bytes);
        all.iter_mut().zip(bytes).for_each(|(all, byte)| *all |= byte);
    }
    Some(all)
}

struct Table {
    engine: &'static Runtime,
    direct: usize,
}

impl Table {
    fn map(&self, name: &str) -> std::sync::Arc<Map> {
        self.engine.map(&format!("lent.{name}")).unwrap()
    }

    /// Loads the program, and one that calls it, with maps that hold something.
    fn load(&self, text: &str, options: &LoadOptions<'_>) -> Option<[ProgramId; 2]> {
        let contents: Vec<u8> = words().iter().flat_map(|word| word.to_le_bytes()).collect();
        let array = MAPS[2];
        let def = |(name, kind, [key_size, value_size, max_entries]): (&str, MapKind, [u32; 3])| {
            let name = MapName::new(name).unwrap();
            MapDef { kind, key_size, value_size, max_entries, flags: MapFlags::empty(), inner: None, name }
        };
        let parts = MAPS.map(|map| {
            let mut def_of = def(map);
            let mut given = &[][..];
            match map.1 {
                MapKind::ArrayOfMaps => def_of.inner = Some(InnerDef::of(&def(array))),
                _ if map.0 == "constants" => (def_of.flags, given) = (MapFlags::RDONLY_PROG, &contents),
                _ => {}
            }
            MapPart { def: def_of, contents: given, shared: false }
        });
        let programs = vec![program("use", text), program("calls", CALLS)];
        let ids = self.engine.load_parts("lent", &parts, programs, options).ok()?;
        for (map, key) in [("hash", KEY), ("percpu_hash", KEY), ("lru_hash", KEY), ("prefixes", 0x5_0000_0008)] {
            let map = self.map(map);
            let key = &key.to_le_bytes()[..map.def().key_size as usize];
            map.update(key.into(), [0; BYTES][..].into(), 0, &mut 0).unwrap();
        }
        self.map("keys").update(KEY.to_le_bytes()[..].into(), 77u64.to_le_bytes()[..].into(), 0, &mut 0).unwrap();
        self.map("queue").push(88u64.to_le_bytes()[..].into(), 0).unwrap();
        self.engine.hold("lent.outer", &1u32.to_le_bytes(), "lent.array").unwrap();
        self.engine.hold_program("lent.calls", &[0; 4], ids[0]).unwrap();
        Some([ids[0], ids[1]])
    }

    fn left(&self) -> Left {
        let mut records = Vec::new();
        for ring in ["ring", "copies", "events"] {
            let mut out = [0; 128];
            while let Some(len) = self.map(ring).read_record(&mut out) {
                records.push((ring.to_string(), out[..len].to_vec()));
            }
        }
        let keys = ["keys", "percpu_hash"].map(|name| bytes_of(&self.map(name), &KEY.to_le_bytes()));
        let lengths = ["keys", "queue", "filter", "ring", "copies"].map(|name| self.map(name).len());
        let data = bytes_of(&self.map("data"), &[0; 4]).unwrap();
        // What the region holds is in the first part.
        Left { data: data[..8 + BYTES].to_vec(), records, keys: keys.into(), lengths: lengths.into() }
    }

    fn call(&mut self, id: ProgramId, limits: AttachLimits, engine: Engine) {
        self.engine.attach(MYFUN, id, limits).unwrap();
        // SAFETY: a C function without arguments.
        unsafe { gcc_patchable_myfun() };
        let detour = self.engine.list(Some(MYFUN)).unwrap()[0].probes[0].detour;
        self.direct += usize::from(detour.is_none());
        assert!(detour.is_some() || engine == Engine::Jit && limits.max_runs.is_none());
        assert_eq!(self.engine.detach(MYFUN, None).unwrap(), 1);
    }

    /// What a program leaves; nothing where it is refused under this policy.
    fn run(&mut self, text: &str, way: Way, (policy, engine): (Policy, Engine)) -> Option<Left> {
        let options = LoadOptions { policy: Some(policy), engine, ..LoadOptions::default() };
        let [own, caller] = self.load(text, &options)?;
        let id = if matches!(way, Way::Called | Way::CalledInHook) { caller } else { own };
        let limited = AttachLimits { max_runs: Some(2), ..AttachLimits::default() };
        match way {
            Way::Exec | Way::Called => _ = self.engine.exec(id, &mut [0; 128], None).unwrap(),
            Way::Hook | Way::CalledInHook => self.call(id, limited, engine),
            Way::Direct => self.call(id, AttachLimits::default(), engine),
        }
        let left = self.left();
        [own, caller].into_iter().for_each(|id| self.engine.unload(id).unwrap());
        Some(left)
    }
}

#[test]
fn helpers_are_lent_the_same_by_every_way() {
    let engine = Runtime::init(platform(std::env::temp_dir()), Config::default()).unwrap();
    image::add_image(engine);
    let mut table = Table { engine, direct: 0 };
    let (mut programs, mut strict) = (0, 0);
    for region in REGIONS {
        for (name, body, _) in USES.iter().filter(|(_, _, writes)| region.writable || !writes) {
            let text = text(region, body);
            let expected = table.run(&text, Way::Exec, (Policy::Guarded, Engine::Interpreter)).unwrap();
            let about = format!("{name} in {}", region.name);
            assert_eq!(expected.data[8..16], KEY.to_le_bytes(), "{about} ran to its end");
            programs += 1;
            for (policy, on, way) in ways() {
                let run = |table: &mut Table, policy| table.run(&text, way, (policy, on));
                let proved = run(&mut table, policy);
                strict += usize::from(policy == Policy::Strict && proved.is_some());
                // What is refused where all is to be proved is checked.
                let left = proved.or_else(|| run(&mut table, Policy::Guarded)).unwrap();
                assert_eq!(left, expected, "{about}: {way:?}, {policy:?}, {on:?}");
            }
        }
    }
    let direct = table.direct;
    assert!(programs > 250 && strict > 2000 && direct > 120, "{programs} {strict} {direct}");
}
