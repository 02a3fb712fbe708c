//! Keys and values by the types that a package brings along: shown, read back, and wrong in every way.

mod common;

use common::{compile, compilers, pack_with, unpack, Compiler};
use ubpf_pack::{MapTypes, Options, Shape, Types};

/// The types in the package of `tests/objects/types.c`.
fn packed(compiler: &Compiler) -> Option<Vec<u8>> {
    let package = pack_with(&compile(compiler, "types")?, &Options::default()).expect("a package");
    Some(unpack(&package).types.to_vec())
}

fn shape(types: &Types, map: &str, of: fn(&MapTypes) -> &Option<Shape>) -> Shape {
    of(&types.map(map).unwrap()).clone().unwrap_or_else(|| panic!("{map}"))
}

fn key(types: &MapTypes) -> &Option<Shape> {
    &types.key
}

fn value(types: &MapTypes) -> &Option<Shape> {
    &types.value
}

const SEEN: &str = r#"{count = 5, state = BROKEN, active = true, level = -4, low = 5, high = 300, signed_part = -3, places = [{x = 1, y = 2}, {x = -3, y = 4}], number = 67305985, bytes = [1, 2, 3, 4], where = 0x1234, next = 0x0}"#;

#[test]
fn what_is_shown_is_read_back() {
    for compiler in compilers() {
        let Some(bytes) = packed(&compiler) else { continue };
        println!("{compiler}: {} bytes of types", bytes.len());
        assert!(bytes.len() < 2048, "{}", bytes.len());
        let types = Types::parse(&bytes).unwrap();
        let check = |shape: Shape, typed: &str, shown: &str| {
            let mut bytes = vec![0; types.size(&shape).unwrap() as usize];
            assert_eq!(types.read(&shape, typed, &mut bytes), Ok(" rest"), "{typed}");
            let value = types.show(&shape, &bytes).unwrap().to_string();
            assert_eq!(value, shown);
            let mut again = vec![0; bytes.len()];
            assert_eq!(types.read(&shape, &value, &mut again), Ok(""));
            assert_eq!(again, bytes, "{value}");
        };
        let name = |shape: &Shape| types.name(shape);
        assert_eq!(name(&shape(&types, "x.seen", value)), "struct value");
        assert_eq!(name(&shape(&types, "a.b.levels", value)), "__s64");
        check(shape(&types, "x.seen", key), r#"{ 7, "a\"\x1b\n" } rest"#, r#"{pid = 7, name = "a\"\x1b\n"}"#);
        check(shape(&types, "x.seen", value), &format!("{SEEN} rest"), SEEN);
        let short = "{.state=RUNNING,places=[{},{.y=9}],.high=0x1ff,.bytes={0,0,0,1}} rest";
        let shown = "{count = 0, state = RUNNING, active = false, level = 0, low = 0, high = 511, signed_part = 0, places = [{x = 0, y = 0}, {x = 0, y = 9}], number = 16777216, bytes = [0, 0, 0, 1], where = 0x0, next = 0x0}";
        check(shape(&types, "x.seen", value), short, shown);
        check(shape(&types, "x.levels", value), "-5 rest", "-5");
        check(shape(&types, "events", value), r#"{9, "a record"} rest"#, r#"{pid = 9, text = "a record"}"#);
        check(shape(&types, "x..bss", value), "{runs = 4} rest", "{runs = 4}");
        // What is not named stays.
        let data = shape(&types, "x..data", value);
        let size = types.size(&data).unwrap() as usize;
        let mut bytes = vec![9; size];
        types.read(&data, "{last = {.y = -1}}", &mut bytes).unwrap();
        assert!(types.show(&data, &bytes).unwrap().to_string().contains("last = {x = 2313, y = -1}"));
    }
}

#[test]
fn what_is_typed_wrongly_says_what_is_expected() {
    let Some(bytes) = packed(&Compiler::clang("-O2", "-mcpu=v3")) else { return };
    let types = Types::parse(&bytes).unwrap();
    let refused = |shape: &Shape, typed: &str, said: &str| {
        let mut bytes = vec![0; types.size(shape).unwrap() as usize];
        let error = types.read(shape, typed, &mut bytes).expect_err(typed);
        assert!(error.contains(said), "{typed}: {error}");
    };
    let seen = shape(&types, "x.seen", value);
    refused(&seen, "", "`{` is expected at the end");
    refused(&seen, "5", "`{` is expected at `5`");
    refused(&seen, "{.counts = 5}", "there is no `counts`; there are count, state, active");
    refused(&seen, "{.count = x}", "count: a number of 64 bits is expected at `x}`");
    refused(&seen, "{.low = 8}", "low: a number of 3 bits is expected");
    refused(&seen, "{.signed_part = 16}", "a number of 5 bits with a sign");
    refused(
        &seen,
        "{.state = WALKING}",
        "state: one of IDLE, RUNNING, BROKEN, or its number, is expected at `WALKING}`",
    );
    refused(&seen, "{.places = [{1,2},{3,4},{5,6}]}", "places: there are 2 elements, and no more");
    refused(&seen, "{.count = 1", "`,` or `}` is expected at the end");
    refused(&shape(&types, "x.seen", key), r#"{1, "thirteen bytes"}"#, "a text of 14 bytes has no room in 12");
    refused(&shape(&types, "x.seen", key), r#"{1, "open"#, "a quote is not closed");
    refused(&shape(&types, "x.seen", key), "hex:00", "16 bytes in hexadecimal are expected");
    refused(&shape(&types, "x.levels", key), "-1", "a number of 32 bits");
}

/// Types that were cut, and changed in every byte: nothing but an error, or something that is shown in finite time and space.
#[test]
fn types_that_lie() {
    let Some(good) = packed(&Compiler::clang("-O2", "-mcpu=v3")) else { return };
    let all = |bytes: &[u8]| {
        let Ok(types) = Types::parse(bytes) else { return };
        for map in ["x.seen", "x.levels", "x.events", "x..bss", "x..data", "x..rodata"] {
            let Ok(of) = types.map(map) else { continue };
            for shape in [of.key, of.value].into_iter().flatten() {
                let _ = types.name(&shape);
                if let Ok(shown) = types.show(&shape, &[0xa5; 80]) {
                    let text = shown.to_string();
                    assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
                    let _ = types.read(&shape, &text, &mut [0; 80]);
                }
                let _ = types.read(&shape, "{1, {2, 3}, [4, 5]}", &mut [0; 8]);
            }
        }
    };
    for end in 0..good.len() {
        all(&good[..end]);
    }
    for at in 0..good.len() {
        for byte in [0, 0xff, good[at] ^ 1, 0x1b] {
            let mut bad = good.clone();
            bad[at] = byte;
            all(&bad);
        }
    }
}

/// BTF of these types, each its words.
fn made(types: &[&[u32]], strings: &[u8]) -> Vec<u8> {
    let words: Vec<u32> = types.concat();
    let length = 4 * words.len() as u32;
    let head = [0x1_eb9f, 24, 0, length, length, strings.len() as u32];
    let mut bytes: Vec<u8> = head.iter().chain(&words).flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend(strings);
    bytes
}

#[test]
fn cycles_and_giants_end() {
    const STRINGS: &[u8] = b"\0.maps\0m\0value\0a\x1b[2J\0";
    let map = |value: &[&[u32]]| {
        // 1: pointer to 4; 2: struct { value }; 3: the variable; then the section is last.
        let mut types: Vec<&[u32]> = vec![&[0, 2 << 24, 4], &[0, 4 << 24 | 1, 8, 9, 1, 0], &[7, 14 << 24, 2, 1]];
        types.extend(value);
        let section = [1, 15 << 24 | 1, 0, 3, 0, 8];
        types.push(&section);
        Types::parse(&made(&types, STRINGS)).unwrap()
    };
    let shown = |types: &Types| {
        let of = types.map("m")?;
        types.show(&of.value.unwrap(), &[0; 64]).map(|value| value.to_string())
    };
    // A struct of itself, a name of itself, an array of itself.
    assert!(shown(&map(&[&[0, 4 << 24 | 1, 64, 15, 4, 0]])).is_err());
    assert!(shown(&map(&[&[0, 8 << 24, 4]])).is_err());
    assert!(shown(&map(&[&[0, 3 << 24, 0, 4, 4, 1]])).is_err());
    // Four thousand million elements of nothing.
    let error = shown(&map(&[&[0, 3 << 24, 0, 5, 5, u32::MAX], &[0, 4 << 24, 0]])).unwrap_err();
    assert!(error.contains("too many parts"), "{error}");
    // A hundred arrays of two within each other, of nothing.
    let nested: Vec<Vec<u32>> = (0..30).map(|n| vec![0, 3 << 24, 0, 5 + n, 5 + n, 2]).collect();
    let mut nested: Vec<&[u32]> = nested.iter().map(Vec::as_slice).collect();
    nested.push(&[0, 4 << 24, 0]);
    assert!(shown(&map(&nested)).is_err());
    // Members without names, of the struct itself, many times over.
    let mut nameless = vec![0, 4 << 24 | 20, 64];
    (0..20).for_each(|_| nameless.extend([0, 4, 0]));
    let types = map(&[&nameless]);
    let of = types.map("m").unwrap().value.unwrap();
    types.show(&of, &[0; 64]).unwrap_err();
    types.read(&of, "{1}", &mut [0; 64]).unwrap_err();
    // And of others, eight in each: no path is deep, and there are 8^20.
    let unfolding: Vec<Vec<u32>> =
        (5..25).map(|next| [vec![0, 4 << 24 | 8, 0], [0, next, 0].repeat(8)].concat()).collect();
    let mut unfolding: Vec<&[u32]> = unfolding.iter().map(Vec::as_slice).collect();
    unfolding.push(&[0, 4 << 24, 0]);
    let types = map(&unfolding);
    let of = types.map("m").unwrap().value.unwrap();
    for error in [types.show(&of, &[]).unwrap_err(), types.read(&of, "{1}", &mut []).unwrap_err()] {
        assert!(error.contains("too many parts"), "{error}");
    }
    // Names that would drive a terminal; numbers of no bytes, and of many bits.
    let named = map(&[&[0, 4 << 24 | 1, 64, 15, 5, 0], &[0, 1 << 24, 8, 64]]);
    assert_eq!(shown(&named).unwrap(), "{a?[2J = 0}");
    let types = map(&[&[0, 1 << 24, 0, 1 << 24]]);
    let of = types.map("m").unwrap().value.unwrap();
    types.read(&of, "0", &mut []).unwrap_err();
    let types = map(&[&[0, 1 << 31 | 4 << 24 | 1, 64, 15, 5, 255 << 24], &[0, 1 << 24, 8, 1 << 24 | 64]]);
    let of = types.map("m").unwrap().value.unwrap();
    types.show(&of, &[0; 64]).unwrap_err();
    types.read(&of, "{1}", &mut [0; 64]).unwrap_err();
}

/// Compilers leave the places of variables to the symbols.
#[test]
fn variables_are_shown_from_where_they_lie() {
    for compiler in compilers() {
        let Some(bytes) = compile(&compiler, "globals") else { continue };
        let package = pack_with(&bytes, &Options::default()).expect("a package");
        let object = unpack(&package);
        let types = Types::parse(object.types).unwrap();
        let mut seen = 0;
        for (at, data) in (0..).zip(&object.data) {
            let mut contents = vec![0; data.size as usize];
            let all: Vec<_> = (2u8..).zip(object.variables.iter().filter(|variable| variable.data == at)).collect();
            all.iter().for_each(|(number, variable)| contents[variable.offset as usize] = *number);
            let Some(shape) = types.map(&format!("x.{}", data.name)).unwrap().value else { continue };
            let text = types.show(&shape, &contents).unwrap().to_string();
            for (number, variable) in all {
                assert!(text.contains(&format!("{} = {number}", variable.name)), "{compiler}: {}: {text}", data.name);
                seen += 1;
            }
        }
        assert!(seen >= 5, "{compiler}: {seen}");
    }
    // The settings of a kernel lie where packing has put them.
    let Some(bytes) = compile(&Compiler::clang("-O2", "-mcpu=v3"), "externs") else { return };
    let package = pack_with(&bytes, &Options::default()).expect("a package");
    let object = unpack(&package);
    let settings = object.data.iter().find(|data| data.name == ".kconfig").expect("settings");
    let types = Types::parse(object.types).unwrap();
    let text = types.show(&shape(&types, "x..kconfig", value), settings.bytes).unwrap().to_string();
    assert!(text.contains("LINUX_KERNEL_VERSION = 393472") && text.contains("CONFIG_NONE = 0"), "{text}");
}

/// In a number of its own and in a part of one, whether its type says that it has a sign or not.
#[test]
fn names_of_negative_numbers() {
    const STRINGS: &[u8] = b"\0.maps\0m\0value\0whole\0part\0LOW\0FIVE\0";
    for flag in [0, 1 << 31] {
        // 4: struct { enum whole; enum part : 4; }; 5: enum { LOW = -2, FIVE = 5 }.
        let types: [&[u32]; 6] = [
            &[0, 2 << 24, 4],
            &[0, 4 << 24 | 1, 8, 9, 1, 0],
            &[7, 14 << 24, 2, 1],
            &[0, 1 << 31 | 4 << 24 | 2, 8, 15, 5, 0, 21, 5, 4 << 24 | 32],
            &[0, flag | 6 << 24 | 2, 4, 26, -2i32 as u32, 30, 5],
            &[1, 15 << 24 | 1, 0, 3, 0, 8],
        ];
        let types = Types::parse(&made(&types, STRINGS)).unwrap();
        let of = types.map("m").unwrap().value.unwrap();
        let mut bytes = [0; 8];
        for text in ["{whole = LOW, part = LOW}", "{whole = FIVE, part = FIVE}"] {
            types.read(&of, text, &mut bytes).unwrap();
            assert_eq!(types.show(&of, &bytes).unwrap().to_string(), text);
        }
        // What has no name.
        types.read(&of, "{3, 3}", &mut bytes).unwrap();
        assert_eq!(types.show(&of, &bytes).unwrap().to_string(), "{whole = 3, part = 3}");
    }
}

#[test]
fn types_can_be_left_out() {
    let Some(bytes) = compile(&Compiler::clang("-O2", "-mcpu=v3"), "types") else { return };
    let options = Options { no_types: true, ..Options::default() };
    assert!(unpack(&pack_with(&bytes, &options).unwrap()).types.is_empty());
}

/// A debug file that was cut, and damaged: an error, or some types; nothing else.
#[test]
fn debug_files_that_lie() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, file) = (folder.join("lying.c"), folder.join("lying.so"));
    std::fs::write(
        &source,
        "struct s { struct s *next; int a : 3; char b[2][3]; } s; enum e { A, B } e; union u { int i; } u;",
    )
    .unwrap();
    let made =
        std::process::Command::new("cc").args(["-g", "-shared", "-nostdlib", "-o"]).arg(&file).arg(&source).status();
    if !made.is_ok_and(|status| status.success()) {
        return;
    }
    let good = std::fs::read(&file).unwrap();
    assert!(ubpf_pack::Image::read(&good, &[1; 16]).is_ok());
    for end in (0..good.len()).step_by(97) {
        let _ = ubpf_pack::Image::read(&good[..end], &[]);
    }
    for at in (0..good.len()).step_by(3) {
        for byte in [0, 0xff, good[at] ^ 0x10] {
            let mut bad = good.clone();
            bad[at] = byte;
            let _ = ubpf_pack::Image::read(&bad, &[]);
        }
    }
    assert!(ubpf_pack::Image::read(b"\x7fELF", &[]).is_err());
}
