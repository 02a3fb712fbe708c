//! Packages: what is written is read, and whatever else the bytes are, the reader says no in words, and allocates no more than they justify.

use ubpf_rs::{
    isa::assemble,
    object::{
        self, crc32::Crc32, is_package, Data, FunctionName, Malformed, MapContent, MapEntry, Object, ObjectError,
        ObjectMap, ProgramDef, ProgramKind, Relocation, SlotNeed, Variable, Wish,
    },
    program::{Abi, PointKind},
};

const ARRAY: ObjectMap<'static> = ObjectMap {
    name: "counts",
    kind: 2,
    key_size: 4,
    value_size: 8,
    max_entries: 16,
    flags: 0,
    shared: false,
    inner: None,
};

fn code(text: &str) -> Vec<u8> {
    assemble(text).expect("a program")
}

/// A wide load of a kind: register 1, source, number and offset.
fn wide(source: u8, number: u32, offset: u32) -> Vec<u8> {
    let [n0, n1, n2, n3] = number.to_le_bytes();
    let [o0, o1, o2, o3] = offset.to_le_bytes();
    vec![0x18, source << 4 | 1, 0, 0, n0, n1, n2, n3, 0, 0, 0, 0, o0, o1, o2, o3]
}

fn exit() -> Vec<u8> {
    code("r0 = 7\nexit")
}

fn program<'a>(name: &'a str, code: &'a [u8]) -> ProgramDef<'a> {
    ProgramDef {
        name,
        section: "kprobe/myfun",
        kind: ProgramKind::Registers,
        attach: Some(PointKind::Entry),
        target: "myfun",
        offset: 0,
        code,
    }
}

fn small<'a>(code: &'a [u8]) -> Object<'a> {
    Object {
        name: "small.o",
        abi: Abi::Linux,
        wish: Wish::None,
        image: [0; 32],
        source: [0; 32],
        licence: "",
        maps: Vec::new(),
        entries: Vec::new(),
        data: Vec::new(),
        variables: Vec::new(),
        programs: vec![program("only", code)],
        slots: Vec::new(),
        functions: Vec::new(),
        types: &[],
    }
}

/// An object that has some of everything.
fn large<'a>(first: &'a [u8], second: &'a [u8]) -> Object<'a> {
    let inner = ObjectMap { name: "outer", kind: 12, inner: Some(0), ..ARRAY };
    let calls = ObjectMap { name: "calls", kind: 3, value_size: 4, shared: true, ..ARRAY };
    let constants = Data { name: ".rodata", read_only: true, size: 12, bytes: b"hello world\0" };
    let zeros = Data { name: ".bss", read_only: false, size: 4096, bytes: b"" };
    let slot = |program, pc, need| Relocation { program, pc, need };
    let function = |program, start, name| FunctionName { program, start, name };
    Object {
        name: "large.o",
        wish: Wish::Strict,
        image: [7; 32],
        source: [9; 32],
        licence: "Dual BSD/GPL",
        maps: vec![ARRAY, inner, calls],
        entries: vec![
            MapEntry { map: 1, key: 3, value: MapContent::Map(0) },
            MapEntry { map: 2, key: 0, value: MapContent::Program(1) },
        ],
        data: vec![constants, zeros],
        variables: vec![Variable { name: "limit", data: 0, offset: 4, size: 4, signed: true }],
        programs: vec![program("first", first), program("second", second)],
        slots: vec![
            slot(0, 6, SlotNeed::Helper("bpf_notify")),
            slot(0, 7, SlotNeed::Symbol("jiffies")),
            slot(0, 9, SlotNeed::Missing("field x of task_struct")),
            slot(1, 0, SlotNeed::Missing("pid of struct task_struct")),
        ],
        functions: vec![function(0, 0, "first"), function(0, 9, "tail"), function(1, 0, "second")],
        types: b"any bytes",
        ..small(first)
    }
}

fn first() -> Vec<u8> {
    let call = code("call 3");
    [wide(5, 2, 0), wide(6, 3, 11), wide(4, 4, 0), call, wide(0, 0, 0), exit()].concat()
}

fn second() -> Vec<u8> {
    [code("r1 = *(u64 *)(r1 + 8)"), exit()].concat()
}

/// The package of the object with everything.
fn package() -> Vec<u8> {
    let (first, second) = (first(), second());
    object::write(&large(&first, &second)).expect("it can be written")
}

/// Makes the length and the checksum right again.
fn seal(package: &mut [u8]) {
    let length = (package.len() as u32).to_le_bytes();
    package[12..16].copy_from_slice(&length);
    let mut crc = Crc32::new();
    crc.add(&package[..16]);
    crc.add(&package[20..]);
    package[16..20].copy_from_slice(&crc.value().to_le_bytes());
}

fn refusal(package: &[u8]) -> ObjectError {
    match Object::parse(package) {
        Ok(object) => panic!("it was read: {object:?}"),
        Err(error) => error,
    }
}

/// Where a section begins (its head), and its length.
fn section(package: &[u8], wanted: u16) -> (usize, usize) {
    let mut at = 104;
    loop {
        let kind = u16::from_le_bytes([package[at], package[at + 1]]);
        let length = u32::from_le_bytes(package[at + 4..at + 8].try_into().unwrap()) as usize;
        if kind == wanted {
            return (at, length);
        }
        at += 8 + length.next_multiple_of(8);
    }
}

#[test]
fn what_is_written_is_read() {
    let (first, second) = (first(), second());
    let object = large(&first, &second);
    let package = object::write(&object).unwrap();
    assert!(is_package(&package));
    assert_eq!(Object::parse(&package), Ok(object));
    assert_eq!(package.len() % 8, 0);
}

#[test]
fn a_package_cut_at_any_byte_is_refused() {
    let package = package();
    for end in 0..package.len() {
        let cut = &package[..end];
        let error = refusal(cut);
        let length = matches!(error, ObjectError::Length { found, .. } if found == end);
        assert!(length || end < 8 && error == ObjectError::NotAPackage, "{end}: {error}");
        // A cut that says it is none.
        if end >= 20 {
            let mut cut = cut.to_vec();
            seal(&mut cut);
            assert!(
                !matches!(Object::parse(&cut), Ok(object) if object.functions.len() == 3 && !object.types.is_empty()),
                "{end}"
            );
        }
    }
    let mut longer = package.clone();
    longer.extend([0; 8]);
    assert!(matches!(refusal(&longer), ObjectError::Length { .. }));
}

#[test]
fn a_changed_byte_is_found() {
    let package = package();
    for at in 0..package.len() {
        for bit in 0..8 {
            let mut changed = package.clone();
            changed[at] ^= 1 << bit;
            refusal(&changed);
        }
    }
}

/// A change that somebody meant: the checksum is right.
#[test]
fn any_byte_may_be_anything() {
    let package = package();
    for at in 20..package.len() {
        for value in [0, 1, 2, 4, 7, 8, 16, 0x18, 0x7f, 0x80, 0x85, 0xff] {
            let mut changed = package.clone();
            changed[at] = value;
            seal(&mut changed);
            if let Ok(object) = Object::parse(&changed) {
                // What was read can be written again, so it is an object.
                let again = object::write(&object).expect("it can be written");
                assert_eq!(Object::parse(&again), Ok(object), "byte {at} = {value}");
            }
        }
    }
}

#[test]
fn versions() {
    let mut newer = package();
    newer[8..10].copy_from_slice(&2u16.to_le_bytes());
    seal(&mut newer);
    let text = refusal(&newer).to_string();
    assert!(text.contains("format 2") && text.contains("update the image"), "{text}");
    let mut older = package();
    older[8..10].copy_from_slice(&0u16.to_le_bytes());
    seal(&mut older);
    let text = refusal(&older).to_string();
    assert!(text.contains("format 0") && text.contains("newer `ubpf`"), "{text}");
}

#[test]
fn unknown_sections() {
    let base = package();
    for (kind, flags, minor, read) in [
        (900u16, 1u16, 0u16, true),
        (900, 0, 0, false),
        (0, 0, 0, false),
        (900, 3, 0, false),
        // A newer minor version may know more flags.
        (900, 3, 1, true),
        // Nothing is there twice.
        (9, 1, 0, false),
    ] {
        let mut package = base.clone();
        package[10..12].copy_from_slice(&minor.to_le_bytes());
        package.extend(kind.to_le_bytes());
        package.extend(flags.to_le_bytes());
        package.extend(5u32.to_le_bytes());
        package.extend(*b"12345\0\0\0");
        seal(&mut package);
        let result = Object::parse(&package);
        assert_eq!(result.is_ok(), read, "{kind} {flags} {minor}: {result:?}");
        if kind == 900 && flags == 0 {
            let at = base.len();
            assert_eq!(result, Err(ObjectError::UnknownSection { at, kind }));
        }
    }
}

/// A section that stands there already, or before one that should follow it, is as good as any other: only its place is wrong.
#[test]
fn sections_stand_once_and_in_their_order() {
    let base = package();
    let (at, length) = section(&base, 10);
    let types = &base[at..];
    assert_eq!(types.len(), 8 + length.next_multiple_of(8));
    let (functions, _) = section(&base, 9);
    let twice = [&base[..], types].concat();
    let swapped = [&base[..functions], types, &base[functions..at]].concat();
    for mut package in [twice, swapped] {
        seal(&mut package);
        let error = refusal(&package);
        assert!(matches!(error, ObjectError::Malformed { what: Malformed::Order("section"), .. }), "{error}");
    }
}

/// Nobody looks into the types of a package, and there is an end to them.
#[test]
fn types_are_bytes_of_which_there_are_not_too_many() {
    let code = exit();
    let with = |types: &[u8]| object::write(&Object { types, ..small(&code) });
    let most = vec![0xff; object::MAX_TYPES];
    let package = with(&most).unwrap();
    assert_eq!(Object::parse(&package).unwrap().types, most);
    let error = with(&vec![0; object::MAX_TYPES + 1]).unwrap_err().to_string();
    assert!(error.contains("more than 16384 bytes of types"), "{error}");
}

/// A word of the package is replaced, at a place counted from the begin of a section's contents.
fn with_word(kind: u16, place: usize, word: u32) -> Vec<u8> {
    let mut package = package();
    let at = section(&package, kind).0 + 8 + place;
    package[at..at + 4].copy_from_slice(&word.to_le_bytes());
    seal(&mut package);
    package
}

#[test]
fn lying_numbers() {
    const LYING: &[u32] = &[0x7fff_ffff, 0x8000_0000, 0xffff_fff8, u32::MAX];
    // Names, length of contents, sizes, variables' places, programs' lengths, entries, slots, starts of functions.
    let words: &[(u16, &[usize])] = &[
        (3, &[0, 4, 28, 32, 36]),
        (4, &[0, 4, 8, 12, 16, 20]),
        (5, &[0, 4, 8, 12, 16, 20]),
        (6, &[0, 4, 8, 12, 16, 20, 24, 28, 40, 44]),
        (7, &[0, 4, 8, 12]),
        (8, &[0, 4, 8, 12, 16, 20]),
        (9, &[0, 4, 8, 12]),
    ];
    for &(kind, places) in words {
        for &place in places {
            for &word in LYING {
                let error = refusal(&with_word(kind, place, word));
                let expected = matches!(error, ObjectError::Malformed { .. });
                assert!(expected, "section {kind}, byte {place}, {word:#x}: {error}");
            }
        }
    }
    // The length of a section itself.
    for word in [1, 7, 41, u32::MAX] {
        let mut package = package();
        let at = section(&package, 3).0 + 4;
        package[at..at + 4].copy_from_slice(&word.to_le_bytes());
        seal(&mut package);
        refusal(&package);
    }
}

fn refusal_of(object: &Object<'_>) -> Malformed {
    match object::write(object) {
        Err(object::WriteError::Unreadable(ObjectError::Malformed { what, .. })) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn lying_claims_about_instructions() {
    let claim = |pc, need| {
        let first = first();
        let mut object = large(&first, &first);
        object.functions.clear();
        object.slots = vec![Relocation { program: 0, pc, need }];
        object.programs.truncate(1);
        object.entries.clear();
        object::write(&object).map(drop)
    };
    let good = |pc, need| assert_eq!(claim(pc, need), Ok(()), "{pc}");
    let bad = |pc, need| assert!(claim(pc, need).is_err(), "{pc} {need:?}");
    good(6, SlotNeed::Helper("x"));
    bad(0, SlotNeed::Helper("x"));
    good(7, SlotNeed::Symbol("x"));
    // A wide load that is a map, and the second half of one.
    bad(0, SlotNeed::Symbol("x"));
    bad(8, SlotNeed::Symbol("x"));
    bad(1, SlotNeed::Missing("x"));
    bad(11, SlotNeed::Missing("x"));
    good(10, SlotNeed::Missing("x"));
    bad(10, SlotNeed::Missing("a\nb"));
    bad(6, SlotNeed::Helper(""));
    bad(6, SlotNeed::Probing);
    bad(0, SlotNeed::Probing);
    bad(8, SlotNeed::Probing);
    // Loads of each size may probe, and nothing else that goes to memory.
    for (text, good) in [
        ("r1 = *(u8 *)(r1 + 8)", true),
        ("r1 = *(u16 *)(r1 + 8)", true),
        ("r1 = *(u32 *)(r1 + 8)", true),
        ("r1 = *(u64 *)(r1 + 8)", true),
        ("r1 = *(s32 *)(r1 + 8)", true),
        ("*(u64 *)(r1 + 8) = r1", false),
        ("*(u64 *)(r1 + 8) = 1", false),
        ("lock *(u64 *)(r1 + 8) += r1", false),
        ("r1 += 1", false),
    ] {
        let code = [code(text), exit()].concat();
        let mut object = small(&code);
        object.slots = vec![Relocation { program: 0, pc: 0, need: SlotNeed::Probing }];
        assert_eq!(object::write(&object).is_ok(), good, "{text}");
    }
}

/// A load that probes has no text: what stands there would mean something one day.
#[test]
fn a_probing_load_says_no_more() {
    let code = second();
    let mut object = small(&code);
    object.slots = vec![Relocation { program: 0, pc: 0, need: SlotNeed::Probing }];
    let package = object::write(&object).expect("it can be written");
    assert_eq!(Object::parse(&package).expect("it can be read").slots, object.slots);
    for (from_end, text) in [(8, "begin"), (4, "length")] {
        let mut package = package.clone();
        let at = package.len() - from_end;
        package[at] = 1;
        seal(&mut package);
        let ObjectError::Malformed { what, .. } = refusal(&package) else { panic!("{text}") };
        assert_eq!(what, Malformed::Reserved("slot"), "{text}");
    }
}

#[test]
fn starts_of_functions_within_a_wide_load_or_beyond_the_end() {
    let first = first();
    for (start, good) in [(0, true), (1, false), (2, true), (8, false), (10, true), (11, false)] {
        let mut object = small(&first);
        object.maps = vec![ARRAY, ObjectMap { name: "b", ..ARRAY }, ObjectMap { name: "c", ..ARRAY }];
        object.data = large(&first, &first).data;
        object.functions = vec![FunctionName { program: 0, start, name: "f" }];
        assert_eq!(object::write(&object).is_ok(), good, "{start}");
    }
}

#[test]
fn lying_wide_loads() {
    let check = |source, number, offset| {
        let code = [wide(source, number, offset), exit()].concat();
        let mut object = large(&code, &code);
        object.slots.clear();
        object.functions.clear();
        object::write(&object).map(drop)
    };
    let good = |source, number, offset| {
        assert_eq!(check(source, number, offset), Ok(()), "{source} {number} {offset}");
    };
    let bad = |source, number, offset| {
        assert!(check(source, number, offset).is_err(), "{source} {number} {offset}");
    };
    good(0, 5, 5);
    // Descriptors and variables of a kernel.
    (1..=3).for_each(|source| bad(source, 0, 0));
    good(5, 2, 0);
    bad(5, 3, 0);
    bad(5, 0, 1);
    bad(5, u32::MAX, 0);
    good(6, 3, 11);
    good(6, 4, 4095);
    bad(6, 3, 12);
    bad(6, 0, 0);
    bad(6, 5, 0);
    // Code: to the next instruction, into the wide load itself, to the end, before the begin.
    good(4, 1, 0);
    bad(4, 0, 0);
    bad(4, 3, 0);
    bad(4, -3i32 as u32, 0);
    bad(4, i32::MIN as u32, 0);
    bad(4, i32::MAX as u32, 0);
    bad(4, 1, 1);
    bad(7, 0, 0);
}

#[test]
fn what_an_object_says_of_itself_must_fit() {
    let code = exit();
    let change = |change: fn(&mut Object<'_>)| {
        let (first, second) = (first(), second());
        let mut object = large(&first, &second);
        change(&mut object);
        refusal_of(&object)
    };
    assert_eq!(change(|o| o.maps[1].name = "counts"), Malformed::Twice("maps"));
    assert_eq!(change(|o| o.programs[1].name = "first"), Malformed::Twice("programs"));
    assert_eq!(change(|o| o.data[1].name = ".rodata"), Malformed::Twice("data sections"));
    assert_eq!(change(|o| o.maps[0].inner = Some(3)), Malformed::Outside("map within a map"));
    assert_eq!(change(|o| o.entries[0].key = 16), Malformed::Outside("entry of a map"));
    assert_eq!(change(|o| o.entries[0].map = 3), Malformed::Outside("entry of a map"));
    assert_eq!(change(|o| o.variables[0].offset = 9), Malformed::Outside("variable"));
    assert_eq!(change(|o| o.variables[0].size = 3), Malformed::Outside("variable"));
    assert_eq!(change(|o| o.data[1].size = 0), Malformed::Outside("data section"));
    assert_eq!(change(|o| o.data[0].size = 13), Malformed::Outside("data section"));
    assert_eq!(change(|o| o.slots.swap(0, 1)), Malformed::Order("slot"));
    assert_eq!(change(|o| o.slots[3].program = 2), Malformed::Outside("slot"));
    assert_eq!(change(|o| o.programs.clear()), Malformed::NoProgram);
    assert_eq!(change(|o| o.programs[1].name = "a b"), Malformed::Text);
    assert!(object::write(&small(&code)).is_ok());
}

#[test]
fn sizes_that_cannot_be() {
    let code = exit();
    let names: Vec<String> = (0..10_000).map(|n| format!("map{n}")).collect();
    let mut object = small(&code);
    object.maps = names.iter().map(|name| ObjectMap { name, ..ARRAY }).collect();
    let what = "maps";
    assert_eq!(refusal_of(&object), Malformed::TooMany { what, limit: 64 });
    let mut object = small(&code);
    let data = |name, size| Data { name, read_only: false, size, bytes: b"" };
    object.data = vec![data(".bss", 1 << 24), data(".bss.2", 1)];
    let what = "bytes of data";
    assert_eq!(refusal_of(&object), Malformed::TooMany { what, limit: 1 << 24 });
    let half = vec![0; 12];
    let what = "a program is no whole number of instructions";
    assert_eq!(refusal_of(&small(&half)), Malformed::Instruction(what));
    let long = code.repeat(40_000);
    let what = "instructions of a program";
    assert_eq!(refusal_of(&small(&long)), Malformed::TooMany { what, limit: 65_536 });
}

/// However long a package is, others run meanwhile.
#[test]
fn reading_pauses_and_can_be_cancelled() {
    let code = exit().repeat(20_000);
    let package = object::write(&small(&code)).unwrap();
    let mut pauses = 0;
    Object::parse_in_pieces(&package, &mut || {
        pauses += 1;
        Ok(())
    })
    .unwrap();
    assert!(pauses > 100, "{pauses}");
    let cancelled = &mut || Err(ubpf_rs::platform::Cancelled);
    let result = Object::parse_in_pieces(&package, cancelled);
    assert_eq!(result, Err(ObjectError::Cancelled));
}
