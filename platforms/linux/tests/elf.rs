//! Compilers' objects in an engine that packs them itself: the same programs and maps as of the package that the host makes, and an answer to
//! whatever else begins as an object does.

#[path = "common/objects.rs"]
mod common;

use common::*;
use std::path::Path;
use ubpf_rs::{
    platform::no_pause,
    runtime::{AttachLimits, LoadOptions, Runtime},
};

/// An engine that loads objects.
fn packing() -> (&'static Runtime, std::sync::MutexGuard<'static, ()>) {
    let (engine, turn) = engine();
    engine.pack_objects_with(ubpf_pack::pack_for_engine);
    (engine, turn)
}

/// What there is of objects: each program with its instructions, and each map.
fn everything(engine: &Runtime) -> (Vec<String>, Vec<String>) {
    let mut programs = Vec::new();
    engine.object_programs(0, &mut |object, _, program| {
        programs.push(format!("{object} {} {} {} {:?}", program.name, program.section, program.licence, program.insns));
        true
    });
    let mut maps = maps(engine);
    maps.iter_mut().for_each(|name| {
        let map = engine.map(name).unwrap();
        *name = format!("{name} {:?}", map.def());
    });
    (programs, maps)
}

/// The sources of `tests/objects`.
fn sources() -> Vec<&'static str> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/objects");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".c").map(|stem| &*String::leak(stem.to_string()))).collect()
}

fn object(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

#[test]
fn an_object_is_loaded_as_its_package_is() {
    let (engine, _turn) = packing();
    let options = LoadOptions::default();
    let (mut loaded, mut refused) = (0, 0);
    for name in sources() {
        // Of that the package is made in another way.
        if name == "probing" {
            continue;
        }
        if !packed(name) {
            return;
        }
        let packed = ubpf_pack::pack_for_engine(&object(&format!("{name}.o")), &format!("/a/{name}.o"), &mut no_pause);
        assert_eq!(packed.unwrap(), object(&format!("{name}.pkg")), "{name}");
        let mut ways = Vec::new();
        for ending in ["pkg", "o"] {
            let answer = engine.load_object(&format!("{name}.{ending}"), &options, &[]);
            ways.push((answer.map_err(|error| error.to_string()), everything(engine)));
            engine.unload_object(name);
            assert_eq!(maps(engine), [""; 0], "{name}.{ending}");
        }
        assert_eq!(ways[0], ways[1], "{name}");
        match ways[0].0 {
            Ok(_) => loaded += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(loaded > 30 && refused < 5, "{loaded} loaded, {refused} refused");
}

/// Whatever takes a package takes an object: a run, an attach of all of it and of one program, numbers set by name, an exchange.
#[test]
fn objects_go_where_packages_go() {
    let (engine, _turn) = packing();
    std::fs::create_dir_all(folder().join("second")).unwrap();
    let second = || packed_as("replaced", &["-DVERSION=2"], ("second/replaced", "replaced"));
    if !["array", "entries", "globals", "replaced"].into_iter().all(packed) || !second() {
        return;
    }
    let (options, limits) = (LoadOptions::default(), AttachLimits::default());
    let runs = ["array.pkg", "array.o"].map(|file| {
        let fill = LoadOptions { program: Some("fill"), ..options };
        engine.exec_file(file, &mut [0; 168], &fill).unwrap().value
    });
    assert_eq!(runs, [2140; 2]);
    let package = engine.attach_object("entries.pkg", &options, limits).unwrap();
    detach(engine);
    let report = engine.attach_object("entries.o", &options, limits).unwrap();
    assert_eq!(report.attached.len(), package.attached.len());
    (0..5).for_each(|_| call(0, 0));
    let reports = engine.list(Some(MYFUN)).unwrap();
    assert!(!reports[0].probes.is_empty() && reports[0].probes.iter().all(|probe| probe.runs == 5), "{reports:?}");
    detach(engine);
    let marks = LoadOptions { program: Some("marks"), ..options };
    engine.attach_file(MYFUN, "replaced.o", &marks, limits).unwrap();
    call(0, 0);
    assert_eq!(engine.replace("replaced", "second/replaced.o", &options, &[]).unwrap().count, 1);
    (0..2).for_each(|_| call(0, 0));
    // By the version that has seen them.
    assert_eq!(data(engine, "replaced..bss")[..2], [1, 2]);
    detach(engine);
    let error = engine.load_object("globals.o", &options, &[("nothing_of_this_name", "1")]).unwrap_err();
    assert!(error.to_string().contains("nothing_of_this_name"), "{error}");
    assert_eq!(maps(engine), [""; 0]);
    engine.load_object("globals.o", &options, &[("limit", "1")]).unwrap();
    assert!(engine.unload_object("globals"));
}

/// What is no good object gets an answer that says what and where, and leaves nothing.
fn refused(engine: &Runtime, bytes: &[u8], said: &str) {
    std::fs::write(folder().join("bad.o"), bytes).unwrap();
    let error = match engine.load_object("bad.o", &LoadOptions::default(), &[]) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{said}"),
    };
    assert!(error.contains(said), "{said}: {error}");
    assert!(error.contains("bad.o: "), "{error}");
    assert_eq!(maps(engine), [""; 0], "{error}");
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Where the header of the section of this kind stands, the first of them.
fn header(bytes: &[u8], kind: u32) -> usize {
    let (table, count) = (word(bytes, 40) as usize, u16::from_le_bytes([bytes[60], bytes[61]]));
    let mut headers = (0..count as usize).map(|number| table + 64 * number);
    headers.find(|at| bytes[at + 4..at + 8] == kind.to_le_bytes()).expect("such a section")
}

const SYMBOLS: u32 = 2;
const RELOCATIONS: u32 = 9;
/// The type of a symbol.
const FUNCTION: u8 = 2;

#[test]
fn objects_that_lie_are_refused_with_what_and_where() {
    let (engine, _turn) = packing();
    if !packed("maps") {
        return;
    }
    let good = object("maps.o");
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    let put = |at: usize, what: &'static [u8]| with(&move |bytes| bytes[at..at + what.len()].copy_from_slice(what));
    refused(engine, &put(5, &[2]), "byte 5: this object is big-endian");
    refused(engine, &put(4, &[1]), "byte 4: this object is for a machine of 32 bits");
    refused(engine, &put(18, &[62]), "byte 18: this object is for machine 62");
    refused(engine, &put(16, &[2]), "byte 16: this is no relocatable object");
    let symbols = word(&good, header(&good, SYMBOLS) + 24) as usize;
    let relocations = word(&good, header(&good, RELOCATIONS) + 24) as usize;
    refused(engine, &put(relocations + 12, &[0xff, 0xff, 0xff]), "names symbol 16777215, which does not exist");
    refused(engine, &put(relocations, &[0xff, 0xff]), "a relocation of byte 0xffff, which is outside of it");
    refused(engine, &put(relocations + 8, &[77]), "a relocation of type 77");
    refused(
        engine,
        &put(header(&good, RELOCATIONS) + 44, &[0xff]),
        "a relocation of section 255, which does not exist",
    );
    refused(engine, &put(symbols + 24 + 6, &[0x77, 0]), "in section 119, which does not exist");
    let function = (symbols..).step_by(24).find(|at| good[at + 4] & 0xf == FUNCTION).unwrap();
    refused(engine, &put(function + 16, &[4]), "has 4 bytes, which are no instructions");
    refused(engine, &put(function + 10, &[1]), "is not within its section");
    // The first section of all reaches into the others.
    let text = header(&good, SYMBOLS) + 24;
    refused(engine, &put(text, &[64]), "overlap");
    refused(
        engine,
        &put(header(&good, SYMBOLS) + 24, &[0xff; 8]),
        "section .symtab: Invalid ELF section size or offset",
    );
}
