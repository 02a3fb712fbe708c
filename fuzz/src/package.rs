//! Packages that lie. A good package is changed as the fuzzer's bytes say, or the bytes are one themselves, with length and checksum put
//! right; the reader must give an object of which everything holds that is promised of one, or refuse. What is read is written and read again,
//! decoded, and given to the verifier.
#![no_main]

#[allow(dead_code, reason = "no programs are made here")]
mod input;

use libfuzzer_sys::fuzz_target;
use std::{collections::BTreeSet, sync::OnceLock};
use ubpf_rs::{
    helpers::Registry,
    isa::{Call, ImmKind, Insn},
    object::{
        self, crc32::Crc32, Data, Externs, FunctionName, MapContent, MapEntry, Object, ObjectMap, ProgramDef,
        ProgramKind, Relocation, SlotNeed, Variable, Wish,
    },
    platform::no_pause,
    program::{Abi, PointKind},
    verifier::{self, Environment, Policy, Work},
    vm::soundness::Numbers,
};

/// A wide load of register 1.
fn wide(source: u8, number: u32, offset: u32) -> [u8; 16] {
    let ([n0, n1, n2, n3], [o0, o1, o2, o3]) = (number.to_le_bytes(), offset.to_le_bytes());
    [0x18, source << 4 | 1, 0, 0, n0, n1, n2, n3, 0, 0, 0, 0, o0, o1, o2, o3]
}

/// A package with some of everything.
fn template() -> &'static [u8] {
    static TEMPLATE: OnceLock<Vec<u8>> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let call = [0x85, 0, 0, 0, 3, 0, 0, 0];
        let end = [0xb7, 0, 0, 0, 7, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
        let load = [0x79, 0x11, 0, 0, 0, 0, 0, 0];
        let parts: [&[u8]; 7] = [&wide(5, 1, 0), &wide(6, 2, 3), &wide(4, 4, 0), &call, &wide(0, 0, 0), &load, &end];
        let first = parts.concat();
        let map = |name, kind, inner| ObjectMap {
            name,
            kind,
            key_size: 4,
            value_size: 8,
            max_entries: 4,
            flags: 0,
            shared: false,
            inner,
        };
        let program = |name, code| ProgramDef {
            name,
            section: "kprobe/f",
            kind: ProgramKind::Registers,
            attach: Some(PointKind::Entry),
            target: "f",
            offset: 0,
            code,
        };
        let object = Object {
            name: "x",
            abi: Abi::Classic,
            wish: Wish::None,
            image: [0; 32],
            source: [0; 32],
            licence: "GPL",
            maps: vec![map("a", 2, None), map("b", 12, Some(0))],
            entries: vec![MapEntry { map: 1, key: 2, value: MapContent::Map(0) }],
            data: vec![
                Data { name: ".rodata", read_only: true, size: 5, bytes: b"12345" },
                Data { name: ".bss", read_only: false, size: 64, bytes: b"" },
            ],
            variables: vec![Variable { name: "v", data: 0, offset: 1, size: 4, signed: false }],
            programs: vec![program("p", &first), program("q", &end)],
            slots: vec![
                Relocation { program: 0, pc: 6, need: SlotNeed::Helper("bpf_notify") },
                Relocation { program: 0, pc: 7, need: SlotNeed::Symbol("s") },
                Relocation { program: 0, pc: 9, need: SlotNeed::Probing },
            ],
            functions: vec![
                FunctionName { program: 0, start: 0, name: "p" },
                FunctionName { program: 1, start: 0, name: "q" },
            ],
            types: b"types",
        };
        object::write(&object).expect("a good object")
    })
}

/// The package that the bytes make.
fn package(data: &[u8]) -> Vec<u8> {
    let Some((&mode, rest)) = data.split_first() else {
        return Vec::new();
    };
    if mode >= 0xf0 {
        return rest.to_vec();
    }
    let mut package = template().to_vec();
    let mut numbers = Numbers::Bytes(rest);
    for _ in 0..1 + mode % 8 {
        let len = package.len();
        // Mostly behind the header, where a word begins.
        let at = 20 + numbers.below((len - 24) as u64) as usize;
        let word = at & !3;
        match numbers.below(8) {
            0 => package[at] = numbers.below(256) as u8,
            1 => package[at] ^= 1 << numbers.below(8),
            2 => package[word..word + 4].copy_from_slice(&[0xff; 4]),
            3 => package.truncate(at.max(104)),
            4 => {
                let from = (104 + numbers.below((len - 104).max(1) as u64) as usize) & !7;
                let part = package[from..(from + 48).min(len)].to_vec();
                package.extend(part);
            }
            _ => package[word..word + 4].copy_from_slice(&(numbers.below(24) as u32).to_le_bytes()),
        }
    }
    package
}

/// Length and checksum as they should be.
fn seal(package: &mut [u8]) {
    if package.len() < 20 {
        return;
    }
    let length = (package.len() as u32).to_le_bytes();
    package[12..16].copy_from_slice(&length);
    let mut crc = Crc32::new();
    crc.add(&package[..16]);
    crc.add(&package[20..]);
    package[16..20].copy_from_slice(&crc.value().to_le_bytes());
}

struct NoNames;

impl Externs for NoNames {
    fn helper(&self, _: Abi, _: &str) -> Option<u32> {
        Some(3)
    }
    fn has_helper(&self, _: Abi, number: u32) -> bool {
        number < 6
    }
    fn symbol(&self, _: &str) -> Option<u64> {
        None
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && !name.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn all_differ<'n>(names: impl Iterator<Item = &'n str>) -> bool {
    let mut seen = BTreeSet::new();
    names.into_iter().all(|name| seen.insert(name))
}

/// Everything that is promised of an object, looked at in another way than the reader does.
fn judge(object: &Object<'_>) {
    let maps = object.maps.len();
    assert!(maps + object.data.len() <= object::MAX_MAPS && !object.programs.is_empty());
    assert!(object.maps.iter().all(|map| is_name(map.name) && map.inner.is_none_or(|inner| (inner as usize) < maps)));
    assert!(all_differ(object.maps.iter().map(|map| map.name)));
    assert!(all_differ(object.programs.iter().map(|program| program.name)));
    assert!(all_differ(object.data.iter().map(|data| data.name)));
    for data in &object.data {
        assert!(data.size > 0 && (data.bytes.is_empty() || data.bytes.len() == data.size as usize));
    }
    for one in &object.variables {
        let size = object.data[one.data as usize].size;
        assert!(u64::from(one.offset) + u64::from(one.size) <= size.into() && matches!(one.size, 1 | 2 | 4 | 8));
    }
    for entry in &object.entries {
        assert!(entry.key < object.maps[entry.map as usize].max_entries);
        match entry.value {
            MapContent::Map(map) => assert!((map as usize) < maps),
            MapContent::Program(program) => assert!((program as usize) < object.programs.len()),
        }
    }
    for one in &object.functions {
        assert!((one.program as usize) < object.programs.len() && is_name(one.name));
    }
    for (index, program) in object.programs.iter().enumerate() {
        if let Ok(insns) = ubpf_rs::isa::decode(program.code) {
            judge_program(object, index as u32, &insns);
        }
    }
}

fn judge_program(object: &Object<'_>, index: u32, insns: &[Insn]) {
    let maps = object.maps.len();
    let starts = object.functions.iter().filter(|one| one.program == index);
    starts.for_each(|one| assert_ne!(insns[one.start as usize], Insn::WideTail));
    for (pc, insn) in insns.iter().enumerate() {
        let Insn::LoadImm64 { kind, imm, .. } = *insn else { continue };
        let (low, high) = (imm as u32 as usize, (imm >> 32) as u32);
        match kind {
            ImmKind::Value => {}
            ImmKind::MapIndex => assert!(low < maps && high == 0),
            ImmKind::MapIndexValue => assert!(high < object.data[low - maps].size),
            ImmKind::Code => {
                let to = pc as i64 + 1 + i64::from(low as u32 as i32);
                assert_ne!(insns[to as usize], Insn::WideTail);
            }
            other => panic!("{other:?}"),
        }
    }
    for slot in object.slots.iter().filter(|slot| slot.program == index) {
        let insn = insns[slot.pc as usize];
        match slot.need {
            SlotNeed::Helper(name) => {
                assert!(is_name(name) && matches!(insn, Insn::Call(Call::Helper(_) | Call::Btf(_))))
            }
            SlotNeed::Symbol(name) | SlotNeed::WeakSymbol(name) => {
                assert!(is_name(name) && matches!(insn, Insn::LoadImm64 { kind: ImmKind::Value, .. }));
            }
            SlotNeed::Missing(_) => assert_ne!(insn, Insn::WideTail),
            SlotNeed::Probing => assert!(matches!(insn, Insn::Load { .. })),
        }
    }
}

fuzz_target!(init: input::plant(), |data: &[u8]| {
    let mut package = package(data);
    seal(&mut package);
    let Ok(object) = Object::parse(&package) else {
        return;
    };
    judge(&object);
    let again = object::write(&object).expect("what was read can be written");
    assert_eq!(Object::parse(&again).as_ref(), Ok(&object));
    static HELPERS: OnceLock<Registry> = OnceLock::new();
    let helpers = HELPERS.get_or_init(|| Registry::with_builtins().expect("helpers"));
    for index in 0..object.programs.len() {
        if let Ok(program) = object.lower(index, &NoNames, &mut no_pause) {
            let mut work = Work::new(Work::LIMIT / 64);
            let _ = verifier::verify(program, Policy::Guarded, &Environment::new(helpers), &mut work);
        }
    }
});
