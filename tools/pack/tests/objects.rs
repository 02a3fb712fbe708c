//! Objects as compilers make them, of the sources in `tests/objects`: what is in their packages.

mod common;

use common::{compile, compilers, pack_with, unpack, Compiler};
use ubpf_pack::{CoreTypes, Options};
use ubpf_rs::{
    isa::{decode, Call, ImmKind, Insn},
    object::{MapContent, MapEntry, Object, ObjectMap, ProgramKind, SlotNeed},
    platform::{no_pause, Cancelled},
    program::{Abi, ArgType, PointKind, RetType},
    runtime::{Config, Error},
};

/// Packs a source as each compiler makes it, and shows what is read of the package.
fn each(name: &str, look: impl Fn(&Object<'_>)) {
    for compiler in compilers().iter().filter(|compiler| name != "pointers" || compiler.is_clang()) {
        let Some(bytes) = compile(compiler, name) else { continue };
        println!("{name} by {compiler}");
        let package = pack_with(&bytes, &Options::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        look(&unpack(&package));
    }
}

fn names(object: &Object<'_>) -> Vec<String> {
    let mut names: Vec<String> = object.programs.iter().map(|program| program.name.into()).collect();
    names.sort();
    names
}

fn program(object: &Object<'_>, name: &str) -> Vec<Insn> {
    let program = object.programs.iter().find(|program| program.name == name);
    decode(program.expect("the program").code).expect("instructions")
}

#[test]
fn data_and_constants() {
    each("globals", |object| {
        assert_eq!(object.licence, "Dual BSD/GPL");
        assert_eq!(object.abi, Abi::Linux);
        let [program] = object.programs.as_slice() else { panic!("{:?}", names(object)) };
        assert_eq!(
            (program.kind, program.attach, program.target),
            (ProgramKind::Registers, Some(PointKind::Entry), "myfun")
        );
        let data = |name: &str| object.data.iter().find(|data| data.name == name).copied();
        let bss = data(".bss").expect(".bss");
        assert!(bss.bytes.is_empty() && !bss.read_only && bss.size >= 16);
        let started = data(".data").expect(".data");
        assert!(started.bytes.starts_with(&40u64.to_le_bytes()) && !started.read_only);
        // gcc keeps what is `const volatile` where it can be written.
        assert!(data(".rodata").is_none_or(|data| data.read_only));
        let variable = |name: &str| {
            let one = object.variables.iter().find(|variable| variable.name == name).expect("the variable");
            (one.size, one.signed)
        };
        assert_eq!(variable("limit"), (4, false));
        assert_eq!(variable("step"), (2, true));
    });
}

#[test]
fn constants_are_set_by_name() {
    let Some(bytes) = compile(&Compiler::clang("-O2", "-mcpu=v3"), "globals") else { return };
    let with = |name: &str, value: &str| {
        let values = vec![(name.to_string(), value.to_string())];
        pack_with(&bytes, &Options { values, ..Options::default() })
    };
    let value = |name: &str, package: &[u8]| -> Vec<u8> {
        let object = unpack(package);
        let one = object.variables.iter().find(|variable| variable.name == name).unwrap();
        let from = one.offset as usize;
        object.data[one.data as usize].bytes[from..from + one.size as usize].to_vec()
    };
    assert_eq!(value("limit", &with("limit", "0x10").unwrap()), [16, 0, 0, 0]);
    assert_eq!(value("step", &with("step", "-32768").unwrap()), [0, 0x80]);
    assert_eq!(value("runs", &with("runs", "7").unwrap()), 7u64.to_le_bytes());
    for (name, number, said) in [
        ("limit", "-1", "it holds 0 to 4294967295"),
        ("limit", "4294967296", "it holds 0 to"),
        ("step", "32768", "it holds -32768 to 32767"),
        ("limit", "many", "a number is expected"),
        ("limits", "1", "no such variable; there are "),
        ("table", "1", "no such variable"),
    ] {
        let error = with(name, number).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn maps_by_types() {
    each("maps", |object| {
        let map = |name: &str| *object.maps.iter().find(|map| map.name == name).expect("the map");
        let counts = map("counts");
        assert_eq!((counts.kind, counts.key_size, counts.value_size, counts.max_entries), (2, 4, 8, 4));
        let seen = map("seen");
        assert_eq!((seen.kind, seen.key_size, seen.value_size, seen.max_entries, seen.flags), (1, 16, 16, 64, 1));
        assert!(map("common").shared && !seen.shared);
        assert_eq!(names(object), ["first", "second"]);
        let second = object.programs.iter().find(|program| program.name == "second").unwrap();
        assert_eq!((second.attach, second.section), (Some(PointKind::Return), "kretprobe/myfun"));
        // Both programs have the maps that they use, and the function that they call.
        for name in ["first", "second"] {
            let insns = program(object, name);
            let maps = insns.iter().filter(|insn| matches!(insn, Insn::LoadImm64 { kind: ImmKind::MapIndex, .. }));
            assert!(maps.count() >= 2, "{name}");
        }
    });
}

#[test]
fn maps_of_old_compilers() {
    for compiler in compilers() {
        let Some(bytes) = compile(&compiler.without_types(), "legacy_maps") else { continue };
        let package = pack_with(&bytes, &Options::default()).unwrap();
        let object = unpack(&package);
        let map = |map: &ObjectMap<'_>| (map.name.to_string(), map.kind, map.key_size, map.value_size);
        let mut maps: Vec<_> = object.maps.iter().map(map).collect();
        maps.sort();
        assert_eq!(maps, [("numbers".to_string(), 2, 4, 8), ("others".to_string(), 1, 8, 4)]);
    }
}

/// Data sections that have one name are several all the same, also where a section has the name that one of them would get.
#[test]
fn data_sections_of_one_name() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let compiler = Compiler::clang("-O2", "-mcpu=v3");
    let most = [".data"; ubpf_rs::object::MAX_MAPS];
    for (case, sections, names) in [
        ("three", &[".data", ".data", ".data"][..], &[".data", ".data.1", ".data.2"][..]),
        ("taken", &[".data.2", ".data", ".data"], &[".data.2", ".data", ".data.3"]),
        ("taken-later", &[".data", ".data", ".data.1"], &[".data", ".data.1", ".data.1.2"]),
        ("most", &most, &[]),
    ] {
        let section =
            |(name, n): (&&str, usize)| format!(".section {name},\"aw\",@progbits,unique,{n}\nd{n}:\n.quad {n}\n");
        let data: String = sections.iter().zip(1..).map(section).collect();
        let loads: String = (1..=sections.len()).map(|n| format!("r1 = d{n} ll\n")).collect();
        let text = format!(".section prog,\"ax\"\n.globl p\n.type p,@function\np:\n{loads}exit\n.size p, .-p\n{data}");
        let name = format!("one-name-{case}");
        let Some(bytes) = common::compile_text(&compiler, folder, &name, &text, &["-x", "assembler"]) else { return };
        let package = pack_with(&bytes, &Options::default()).unwrap();
        let data = unpack(&package).data;
        assert!(data.iter().zip(1u64..).all(|(data, n)| data.bytes == n.to_le_bytes()), "{case}");
        assert_eq!(data.len(), sections.len());
        let found: Vec<&str> = data.iter().map(|data| data.name).collect();
        assert!(found.starts_with(names), "{case}: {found:?}");
    }
}

#[test]
fn what_maps_hold_at_first() {
    each("held", |object| {
        let at = |name: &str| object.maps.iter().position(|map| map.name == name).expect("the map") as u32;
        let outer = &object.maps[at("outer") as usize];
        let inner = &object.maps[outer.inner.expect("a template") as usize];
        assert_eq!((inner.kind, inner.max_entries), (2, 2));
        let tail = object.programs.iter().position(|program| program.name == "tail").unwrap() as u32;
        let entry = |map: &str, key, value| MapEntry { map: at(map), key, value };
        let expected = [
            entry("outer", 1, MapContent::Map(at("one"))),
            entry("outer", 3, MapContent::Map(at("two"))),
            entry("calls", 1, MapContent::Program(tail)),
        ];
        assert!(object.entries.len() == 3 && expected.iter().all(|one| object.entries.contains(one)));
    });
}

#[test]
fn functions_of_several_sections() {
    each("calls", |object| {
        assert_eq!(names(object), ["first", "second"]);
        let calls =
            |name: &str| program(object, name).iter().filter(|insn| matches!(insn, Insn::Call(Call::Local(_)))).count();
        assert!(calls("first") >= 3);
        assert_eq!(calls("second"), 1);
        let functions = object.functions.iter().filter(|function| function.program == 0);
        let mut functions: Vec<&str> = functions.map(|function| function.name).collect();
        functions.sort_unstable();
        assert_eq!(functions, ["beside", "first", "global", "in_text"]);
    });
}

#[test]
fn fields_of_types_that_are_not_there() {
    let Some(bytes) = compile(&Compiler::clang("-O2", "-mcpu=v3"), "core") else { return };
    let package = pack_with(&bytes, &Options::default()).unwrap();
    let object = unpack(&package);
    let index = |name: &str| object.programs.iter().position(|program| program.name == name).unwrap() as u32;
    let missing = |name: &str| -> Vec<&str> {
        let slots = object.slots.iter().filter(|slot| slot.program == index(name));
        slots
            .map(|slot| match slot.need {
                SlotNeed::Missing(text) => text,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert!(missing("registers").is_empty());
    let loads: Vec<i16> = program(&object, "registers")
        .iter()
        .filter_map(|insn| match insn {
            Insn::Load { off, .. } => Some(*off),
            _ => None,
        })
        .collect();
    // rsi in the layout of the engine.
    assert_eq!(loads, [104]);
    assert_eq!(
        missing("needs"),
        [
            "real_parent of struct task_struct, which this image does not have",
            "pid of struct task_struct, which this image does not have"
        ]
    );
    // To be verified with its own types, nothing is missing.
    let types = CoreTypes::Own;
    let package = pack_with(&bytes, &Options { types, ..Options::default() }).unwrap();
    assert!(unpack(&package).slots.is_empty());
}

#[test]
fn names_of_the_image() {
    each("externs", |object| {
        let weak = object.slots.iter().any(|slot| slot.need == SlotNeed::WeakSymbol("nothing_of_this_name"));
        assert!(weak, "{:?}", object.slots);
        let settings = object.data.iter().find(|data| data.name == ".kconfig").expect("settings");
        assert!(settings.read_only);
        // Linux 6.1, and nothing.
        assert!(settings.bytes.chunks(8).any(|word| word[..4] == 0x6_0100u32.to_le_bytes()));
    });
}

#[test]
fn pointers_to_functions() {
    each("pointers", |object| {
        assert_eq!(object.abi, Abi::Classic);
        for name in ["by_table", "by_value"] {
            let insns = program(object, name);
            let calls = insns.iter().filter(|insn| matches!(insn, Insn::Call(Call::Local(_)))).count();
            assert_eq!(calls, 2, "{name}");
        }
    });
}

#[test]
fn what_cannot_be_packed_is_refused_by_name() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let refused = |name: &str, source: &str, flags: &[&str]| -> String {
        let compiler = Compiler::clang("-O2", "-mcpu=v3");
        let Some(bytes) = common::compile_text(&compiler, folder, name, source, flags) else { return String::new() };
        pack_with(&bytes, &Options::default()).expect_err(name)
    };
    let check = |name: &str, source: &str, flags: &[&str], said: &str| {
        let error = refused(name, source, flags);
        assert!(error.is_empty() || error.contains(said), "{name}: {error}");
    };
    const HEAD: &str = "#include <bpf/bpf_helpers.h>\n";
    let with = |text: &str| format!("{HEAD}{text}");
    let used = "SEC(\"kprobe\") int f(void *c) { __u32 k = 0; return !!bpf_map_lookup_elem(&m, &k); }";
    let map = |members: &str| with(&format!("struct {{ {members} }} m SEC(\".maps\"); {used}"));
    check("big", &with("SEC(\"kprobe\") int f(void *c) { return 0; }"), &["-target", "bpfeb"], "byte 5");
    check(
        "text",
        &with(
            "static const char *const t[2] = {\"a\", \"b\"}; SEC(\"kprobe\") int f(long *c) { return t[*c & 1][0]; }",
        ),
        &[],
        "holds the address of",
    );
    check("member", &map("__uint(type, 2); __uint(colour, 5);"), &[], "map m: `colour` in its definition is unknown");
    check("number", &map("int type;"), &[], "map m: `type` in its definition is no __type");
    check("untyped", &map("__uint(type, 2);"), &["-g0"], "map m: nothing says what it is: compile with -g");
    let lock = "struct bpf_spin_lock { int v; }; struct val { int a; struct bpf_spin_lock guard; };";
    let text = format!(
        "{lock} struct {{ __uint(type, 2); __type(key, int); __type(value, struct val); }} m SEC(\".maps\"); {used}"
    );
    check("lock", &with(&text), &[], "map m: its value has a bpf_spin_lock (guard)");
    let types = "struct bpf_spin_lock { int v; }; struct bpf_timer { long o[2]; }; struct bpf_list_head { long o[2]; }; struct file;
                 #define __kptr __attribute__((btf_type_tag(\"kptr\")))
                 #define __kptr_untrusted __attribute__((btf_type_tag(\"kptr_untrusted\")))
                 struct inner { struct bpf_timer timers[2]; }; typedef struct bpf_spin_lock lock_t;";
    for (name, value, reason) in [
        ("whole", "struct bpf_spin_lock", "map m: its value has a bpf_spin_lock, which"),
        ("renamed", "lock_t", "map m: its value has a bpf_spin_lock, which"),
        ("timers", "struct { int a; struct inner inner; }", "map m: its value has a bpf_timer (timers)"),
        ("lists", "struct { struct bpf_list_head head; }", "map m: its value has a bpf_list_head (head)"),
        (
            "kptr",
            "struct { struct file __kptr *file; }",
            "map m: its value has a pointer to an object of the kernel (kptr, file)",
        ),
        ("kptrs", "struct { struct file __kptr_untrusted *one; }", "of the kernel (kptr, one)"),
    ] {
        let map = format!("struct {{ __uint(type, 2); __uint(max_entries, 1); __type(key, int); __type(value, {value}); }} m SEC(\".maps\");");
        check(name, &with(&format!("{types} {map} {used}")), &[], reason);
    }
    let variable =
        "struct bpf_spin_lock guard SEC(\".data.locks\") = {1}; SEC(\"kprobe\") int f(void *c) { return guard.v++; }";
    check(
        "variable",
        &with(&format!("{types} {variable}")),
        &[],
        "variable guard: its value has a bpf_spin_lock, which",
    );
    check(
        "setting",
        &with("extern int CONFIG_HZ __kconfig; SEC(\"kprobe\") int f(void *c) { return CONFIG_HZ; }"),
        &[],
        "CONFIG_HZ is a setting",
    );
    check("none", "int x = 5;", &[], "the object has no function");
}

/// What is small to write and large to go through: an answer, soon.
#[test]
fn objects_that_unfold() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let compiler = Compiler::clang("-O2", "-mcpu=v3");
    // Eight members of each type in the next, 20 times: 8^20 ways to the lock.
    let types = (1..=20).map(|n| format!("struct s{n} {{ struct s{} a, b, c, d, e, f, g, h; }};", n - 1));
    let types = types.collect::<String>();
    let head = "#include <bpf/bpf_helpers.h>\nstruct bpf_spin_lock {}; struct none {};";
    for (member, refused) in [("none", false), ("bpf_spin_lock", true)] {
        let text = format!(
            "{head} struct s0 {{ struct {member} last; }}; {types}
             struct {{ __uint(type, 2); __type(key, int); __type(value, struct s20); }} m SEC(\".maps\");
             SEC(\"kprobe\") int f(void *c) {{ __u32 k = 0; return !!bpf_map_lookup_elem(&m, &k); }}"
        );
        let Some(bytes) = common::compile_text(&compiler, folder, &format!("nested-{member}"), &text, &[]) else {
            return;
        };
        let said = pack_with(&bytes, &Options::default()).err().unwrap_or_default();
        assert_eq!(said.contains("map m: its value has a bpf_spin_lock (last)"), refused, "{said}");
    }
    // Calls through pointers that each become three instructions for each function there is.
    let calls = |functions: usize, calls: usize| {
        let mut text = String::from(".section prog,\"ax\"\n.globl p\n.type p,@function\np:\nr1 = table ll\n");
        // `callx r1`, which not every assembler knows.
        text += &".quad 0x10000008d\n".repeat(calls);
        text += "exit\n.size p, .-p\n.text\n";
        for n in 0..functions {
            text += &format!(".type f{n},@function\nf{n}:\nr0 = {n}\nexit\n.size f{n}, .-f{n}\n");
        }
        text += ".section .rodata,\"a\"\n.globl table\ntable:\n";
        (0..functions).for_each(|n| text += &format!(".quad f{n}\n"));
        let name = format!("calls-{functions}-{calls}");
        common::compile_text(&compiler, folder, &name, &text, &["-x", "assembler"])
    };
    for (functions, count, said) in [
        (300, 200, "p has 180803 instructions with all that it calls (limit 65536)"),
        (11_000, 1, "PC 2 of p: 11000 functions are too many for a call through a pointer"),
    ] {
        let Some(bytes) = calls(functions, count) else { return };
        assert_eq!(pack_with(&bytes, &Options::default()).unwrap_err(), said);
    }
    let Some(bytes) = calls(10_000, 1) else { return };
    pack_with(&bytes, &Options::default()).unwrap();
}

/// An object with types of its own: the text of its section `prog`, its types after one another, and the names of them. Names and counts repeat.
fn with_types(name: &str, program: &str, types: &str, names: &str, more: &str) -> Option<Vec<u8>> {
    let text = format!(
        ".section prog,\"ax\"\n.globl p\n.type p,@function\np:\n{program}\nexit\n.size p, .-p\n
         .section .BTF,\"\"\n.short 0xeb9f, 1\n.long 24, 0, names-types, names-types, end-names\n
         types:\n{types}\nnames:\n.byte 0\n{names}\nend:\n{more}"
    );
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    common::compile_text(&Compiler::clang("-O2", "-mcpu=v3"), folder, name, &text, &["-x", "assembler"])
}

/// Packs as an engine does; and how often it was paused.
fn pack_counting(bytes: &[u8]) -> (Result<Vec<u8>, Error>, usize) {
    let mut pauses = 0;
    let packed = ubpf_pack::pack_for_engine(bytes, "x.o", &mut || {
        pauses += 1;
        Ok(())
    });
    (packed, pauses)
}

/// What is small to write and is looked through again and again counts: whoever waits is asked meanwhile.
#[test]
fn lists_that_are_looked_through_count() {
    const ENTRIES: usize = 20_000;
    const NAMES: &str = ".asciz \".kconfig\", \".data\", \"v\"";
    // A variable, and what is placed in a section; the number 0 is no variable.
    const VARIABLE: &str = ".long 16, 14 << 24, 0, 0\n";
    let entries = |variable: usize| format!(".rept {ENTRIES}\n.long {variable}, 0, 0\n.endr\n");
    let section = |name: usize, entries: &str| format!("{VARIABLE}.long {name}, 15 << 24 | {ENTRIES}, 0\n{entries}");
    let sections = format!(".rept {ENTRIES}\n.long 16, 15 << 24, 0\n.endr\n");
    const USES: usize = 100;
    let settings = format!(".rept {USES}\nr1 = outside ll\n.endr");
    let one = "r1 = d ll";
    let data = format!(".section .data,\"aw\"\nd:\n.rept {USES}\n1: .quad 0\n.endr");
    let symbols: String = (0..USES).map(|n| format!(".globl d{n}\nd{n}:\n")).collect();
    let data = format!("{data}\n{symbols}");
    for (name, program, types, more) in [
        ("settings", settings.as_str(), section(1, &entries(1)), ""),
        ("settings-none", &settings, section(1, &entries(0)), ""),
        ("settings-sections", &settings, sections.clone(), ""),
        ("variables", one, section(10, &entries(1)), data.as_str()),
        ("variables-none", one, section(10, &entries(0)), &data),
        ("variables-sections", one, sections, &data),
    ] {
        let Some(bytes) = with_types(name, program, &types, NAMES, more) else { return };
        let (packed, pauses) = pack_counting(&bytes);
        assert!(packed.is_ok(), "{name}: {packed:?}");
        // Some thousand steps lie between two.
        assert!(pauses >= USES * ENTRIES / 4096, "{name}: {pauses}");
    }
}

/// What the section of a program says is asked for each that there is, also where there are more than a package has.
#[test]
fn programs_without_end() {
    const PROGRAMS: usize = 5000;
    let program = |n| format!(".globl p{n}\n.type p{n},@function\np{n}:\nexit\n.size p{n}, .-p{n}\n");
    let text = format!(".section prog,\"ax\"\n{}", (0..PROGRAMS).map(program).collect::<String>());
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let compiler = Compiler::clang("-O2", "-mcpu=v3");
    let Some(bytes) = common::compile_text(&compiler, folder, "programs", &text, &["-x", "assembler"]) else { return };
    let (packed, pauses) = pack_counting(&bytes);
    assert_eq!(packed.unwrap_err().to_string(), "the object has 5000 programs (limit 256)");
    assert!(pauses >= PROGRAMS * 128 / 4096, "{pauses}");
}

/// An object that an image reads may come to the end of what it may cost, and is told so.
#[test]
fn the_work_for_an_object_has_an_end() {
    // Relocations by types that all have the longest access.
    let object = |relocations: usize| {
        let names = format!(".asciz \"prog\", \"{}\"", "1:".repeat(1023));
        let more = format!(
            ".section .BTF.ext,\"\"\n.short 0xeb9f, 1\n.long 32, 0, 0, 0, 0, 0, last-first\nfirst:\n.long 16, 1, {relocations}\n
             .rept {relocations}\n.long 0, 1, 6, 10\n.endr\nlast:\n"
        );
        let program = "r0 = 0";
        with_types(&format!("relocations-{relocations}"), program, ".long 1, 6 << 24, 4", &names, &more)
    };
    let Some((bytes, more)) = object(700).zip(object(800)) else { return };
    assert!(more.len() < Config::default().file_limit);
    pack_with(&bytes, &Options::default()).unwrap();
    let said = "it takes more than 50000000 steps to pack: it is no honest object";
    assert_eq!(pack_with(&more, &Options::default()).unwrap_err(), said);
}

#[test]
fn objects_that_are_none() {
    let error = |bytes: &[u8]| pack_with(bytes, &Options::default()).unwrap_err();
    assert!(error(b"\x7fELF").contains("no object file"));
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(error(&own).contains("compile with clang -target bpf"));
}

/// Where something stands in an object: in its header, in that of the first section of a type, in what that holds, in the
/// symbol of the first relocation.
#[derive(Clone, Copy)]
enum Field {
    Header(usize),
    Section(u32, usize),
    Entry(u32, usize),
    Symbol(usize),
}

/// The place of a field in an object that is well formed.
fn place(bytes: &[u8], field: Field) -> usize {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let count = u16::from_le_bytes(bytes[60..62].try_into().unwrap());
    let headers = || (0..usize::from(count)).map(|number| word(40) + 64 * number);
    let of_type = |wanted: u32| headers().find(|at| bytes[at + 4..at + 8] == wanted.to_le_bytes()).unwrap();
    match field {
        Field::Header(offset) => offset,
        Field::Section(wanted, offset) => of_type(wanted) + offset,
        Field::Entry(wanted, offset) => word(of_type(wanted) + 24) + offset,
        Field::Symbol(offset) => {
            let number = word(place(bytes, Field::Entry(RELOCATIONS, 8))) >> 32;
            place(bytes, Field::Entry(SYMBOLS, 24 * number)) + offset
        }
    }
}

const SYMBOLS: u32 = 2;
const RELOCATIONS: u32 = 9;

/// What other loaders added up without looking, a line each: a field of an object, what stands there, and the answer. Nothing reads program headers.
#[test]
fn numbers_that_overflowed_in_other_loaders() {
    let Some(bytes) = compile(&Compiler::clang("-O2", "-mcpu=v3"), "globals") else { return };
    let pack = |bytes: &[u8]| pack_with(bytes, &Options::default());
    let code = |package: &[u8]| unpack(package).programs[0].code.to_vec();
    let good = code(&pack(&bytes).unwrap());
    for (name, field, value, answer) in [
        (
            "cve_2021_46102_the_place_of_a_relocation",
            Field::Entry(RELOCATIONS, 0),
            u64::MAX,
            Some("which is outside of it"),
        ),
        (
            "cve_2021_46102_eight_bytes_before_the_end",
            Field::Entry(RELOCATIONS, 0),
            u64::MAX - 7,
            Some("which is outside of it"),
        ),
        ("cve_2021_46102_the_value_of_its_symbol", Field::Symbol(8), u64::MAX - 3, Some("")),
        (
            "cve_2021_46102_the_number_of_its_symbol",
            Field::Entry(RELOCATIONS, 8),
            0xffff_ffff_0000_0001,
            Some("does not exist"),
        ),
        ("cve_2021_46102_bytes_of_a_section", Field::Section(RELOCATIONS, 32), u64::MAX - 15, Some("")),
        ("cve_2021_46102_where_a_section_begins", Field::Section(RELOCATIONS, 24), u64::MAX - 15, Some("")),
        ("cve_2022_31264_where_program_headers_begin", Field::Header(32), u64::MAX - 7, None),
        ("cve_2022_31264_many_program_headers", Field::Header(54), 0xffff_0038, Some("")),
        ("cve_2022_31264_where_section_headers_begin", Field::Header(40), u64::MAX - 63, Some("")),
    ] {
        let mut changed = bytes.clone();
        let at = place(&bytes, field);
        changed[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let packed = pack(&changed);
        println!("{name}: {:?}", packed.as_ref().map(Vec::len));
        match answer {
            None => assert_eq!(code(&packed.unwrap()), good, "{name}"),
            Some(answer) => assert!(packed.unwrap_err().contains(answer), "{name}"),
        }
    }
}

/// Cut at every byte, and with bytes changed: an answer, and what is made of it is a package.
#[test]
fn damaged_objects() {
    let pack = |bytes: &[u8]| ubpf_pack::pack_for_engine(bytes, "x.o", &mut no_pause);
    for name in ["maps", "core", "held", "packets"] {
        let Some(good) = compile(&Compiler::clang("-O2", "-mcpu=v3"), name) else { return };
        let table = u64::from_le_bytes(good[40..48].try_into().unwrap()) as usize;
        for end in 0..good.len() {
            match pack(&good[..end]) {
                Err(Error::Object { reason }) => assert!(!reason.is_empty()),
                // The table of sections stands at the end.
                answer => assert!(end >= table && answer.is_ok(), "{name}: {end} {answer:?}"),
            }
        }
        for at in (0..good.len()).step_by(if cfg!(debug_assertions) { 3 } else { 1 }) {
            let mut changed = good.clone();
            changed[at] = [0, 1, 0x7f, 0xff][at % 4];
            if let Ok(package) = pack(&changed) {
                unpack(&package);
            }
        }
    }
}

/// 10,000 maps, in a definition of BTF as small as it can be.
#[test]
fn maps_without_end() {
    let maps: String = (0..10_000).map(|n| format!("struct m m{n} SEC(\".maps\");\n")).collect();
    let text = format!(
        "#include <bpf/bpf_helpers.h>\nstruct m {{ __uint(type, 2); __uint(max_entries, 1); __type(key, int); __type(value, int); }};\n{maps}
         SEC(\"kprobe\") int f(void *c) {{ return 0; }}"
    );
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let compiler = Compiler::clang("-O2", "-mcpu=v3");
    let Some(bytes) = common::compile_text(&compiler, folder, "many", &text, &[]) else { return };
    assert_eq!(pack_with(&bytes, &Options::default()).unwrap_err(), "the object has more than 64 maps");
}

/// Whoever waits may stop waiting at each pause; then nothing was made.
#[test]
fn packing_is_cancelled_at_each_pause() {
    let Some(good) = compile(&Compiler::clang("-O2", "-mcpu=v3"), "maps") else { return };
    let (packed, pauses) = pack_counting(&good);
    packed.unwrap();
    // Some thousand steps lie between two.
    assert!(pauses >= good.len() / 4096, "{pauses}");
    for wanted in 0..pauses {
        let mut left = wanted;
        let answer = ubpf_pack::pack_for_engine(&good, "x.o", &mut || {
            left = left.wrapping_sub(1);
            if left == usize::MAX {
                Err(Cancelled)
            } else {
                Ok(())
            }
        });
        assert!(matches!(answer, Err(Error::Cancelled)), "{wanted}: {answer:?}");
    }
}

/// What stands for an argument or a result: an address, or a number.
fn is_address(text: &str) -> bool {
    text.contains('*')
}

/// The same of an argument of a helper of the engine.
fn takes_address(argument: ArgType) -> bool {
    !matches!(argument, ArgType::Scalar | ArgType::Length | ArgType::RecordSize)
}

/// The header names each helper of Linux that the engine has, by the engine's number and with its arguments. It has more of them: what an
/// image lacks is refused when it is called.
#[test]
fn the_header_has_the_helpers_of_the_engine() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include/bpf/bpf_helper_defs.h");
    let header = std::fs::read_to_string(path).unwrap();
    let lines = header.lines().filter_map(|line| line.strip_prefix("UBPF_HELPER(")?.strip_suffix(");"));
    let lines: Vec<Vec<&str>> = lines.map(|line| line.split(", ").collect()).collect();
    let number_of = |line: &Vec<&str>| line[2].parse().unwrap();
    let rows: std::collections::BTreeMap<u32, &str> = lines.iter().map(|line| (number_of(line), line[1])).collect();
    assert_eq!(rows.len(), lines.len(), "a number stands there twice");
    let helpers = ubpf_rs::helpers::Registry::with_builtins().unwrap();
    let mut known = 0;
    for number in 0..=ubpf_rs::helpers::MAX_NUMBER {
        if let Some(helper) = helpers.get(Abi::Linux, number) {
            // Several numbers may be those of one helper, which has one of their names.
            assert!(rows.contains_key(&number), "helper {number}, {}", helper.name);
            let own = rows.iter().find(|row| *row.1 == helper.name);
            let own_number = *own.unwrap_or_else(|| panic!("{}", helper.name)).0;
            assert_eq!(helpers.get(Abi::Linux, own_number).map(|helper| helper.name), Some(helper.name));
            let line = lines.iter().find(|line| number_of(line) == own_number).unwrap();
            let args = line[3..].iter().filter(|&&arg| arg != "void" && arg != "...");
            let given: Vec<bool> = args.map(|arg| is_address(arg)).collect();
            let taken = helper.signature.args.into_iter().take_while(|&arg| arg != ArgType::Unused);
            let taken: Vec<bool> = taken.map(takes_address).collect();
            assert_eq!(given, taken, "arguments of {}", helper.name);
            let gives = matches!(helper.signature.ret, RetType::MapValueOrNull | RetType::RecordOrNull);
            assert_eq!(is_address(line[0]), gives, "result of {}", helper.name);
            known += 1;
        }
    }
    assert!(known >= 10, "{known}");
}
