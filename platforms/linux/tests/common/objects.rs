//! Objects of clang in the engine of a process, whose functions they are attached to.
#![allow(dead_code)]

#[path = "image.rs"]
mod image;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{LazyLock, Mutex, MutexGuard},
};
use ubpf_platform_linux::platform;
use ubpf_rs::{
    maps::Map,
    object::{self, Object},
    runtime::{Config, Engine, LoadOptions, Runtime},
    verifier::Policy,
};

extern "C" {
    // It takes nothing; what is in the registers of arguments is looked at by programs alone.
    pub fn gcc_patchable_myfun(first: u64, second: u64);
    pub fn gcc_patchable_recursion(n: i64) -> i64;
}

pub const MYFUN: &str = "gcc_patchable_myfun";

pub fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ubpf-objects-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn start() -> &'static Runtime {
    let engine = Runtime::init(platform(folder()), Config::default()).unwrap();
    image::add_image(engine);
    engine.set_image_id(IMAGE);
    engine
}

/// The id of this image.
pub const IMAGE: [u8; 16] = [0x1f; 16];

/// The engine of this process with nothing attached or loaded. Tests take turns.
pub fn engine() -> (&'static Runtime, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    static ENGINE: LazyLock<&'static Runtime> = LazyLock::new(start);
    let turn = TURN.lock().unwrap_or_else(|error| error.into_inner());
    ENGINE.reset().unwrap();
    (*ENGINE, turn)
}

/// Puts the package of a source in `tests/objects` where the engine finds it as `NAME.pkg`; false where there is no compiler.
pub fn packed(name: &str) -> bool {
    // The types of the application are those of the object.
    let types = if name == "probing" { ubpf_pack::CoreTypes::Own } else { ubpf_pack::CoreTypes::Offered };
    let options = ubpf_pack::Options { name: name.into(), types, ..ubpf_pack::Options::default() };
    pack(name, &[], name, &options)
}

/// Puts the package of such a source, compiled with more flags, there as `FILE.pkg`; its object is called `object`.
pub fn packed_as(name: &str, flags: &[&str], (file, object): (&str, &str)) -> bool {
    let options = ubpf_pack::Options { name: object.into(), ..ubpf_pack::Options::default() };
    pack(name, flags, file, &options)
}

/// Makes each file once: another test may be reading it.
fn pack(name: &str, flags: &[&str], file: &str, options: &ubpf_pack::Options) -> bool {
    static MADE: Mutex<BTreeMap<String, bool>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    *made.entry(file.into()).or_insert_with(|| compile_and_pack(name, flags, file, options))
}

fn compile_and_pack(name: &str, flags: &[&str], file: &str, options: &ubpf_pack::Options) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let object = folder().join(format!("{file}.o"));
    let mut clang = Command::new("clang");
    clang.args(["-target", "bpf", "-O2", "-g", "-mcpu=v3", "-c", "-I"]).arg(root.join("include"));
    clang.args(flags).arg(root.join(format!("tests/objects/{name}.c"))).arg("-o").arg(&object);
    match clang.status() {
        Ok(status) => assert!(status.success()),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
            return false;
        }
    }
    let package = ubpf_pack::pack(&std::fs::read(object).unwrap(), options).unwrap();
    std::fs::write(folder().join(format!("{file}.pkg")), package).unwrap();
    true
}

/// A package with something changed, under a name of its own.
pub fn changed(from: &str, to: &str, change: impl FnOnce(&mut Object<'_>)) {
    let package = std::fs::read(folder().join(from)).unwrap();
    let mut object = Object::parse(&package).unwrap();
    change(&mut object);
    std::fs::write(folder().join(to), object::write(&object).unwrap()).unwrap();
}

pub fn number(map: &Map, key: &[u8]) -> Option<u64> {
    let mut bytes = [0; 8];
    map.value(key.into())?.first().copy_to(&mut bytes);
    Some(u64::from_le_bytes(bytes))
}

/// The numbers of an array.
pub fn numbers(engine: &Runtime, name: &str) -> Vec<u64> {
    let map = engine.map(name).unwrap_or_else(|| panic!("map {name}"));
    (0..map.def().max_entries).map(|key| number(&map, &key.to_le_bytes()).unwrap()).collect()
}

/// Bytes of an object's data.
pub fn bytes(engine: &Runtime, name: &str) -> Vec<u8> {
    let map = engine.map(name).unwrap_or_else(|| panic!("map {name}"));
    let mut bytes = vec![0; map.def().value_size as usize];
    map.value(0u32.to_le_bytes()[..].into()).unwrap().first().copy_to(&mut bytes);
    bytes
}

/// Numbers of an object's data, by their place.
pub fn data(engine: &Runtime, name: &str) -> Vec<u64> {
    bytes(engine, name).chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
}

pub fn maps(engine: &Runtime) -> Vec<String> {
    let mut names = Vec::new();
    engine.maps(0, &mut |name, _, _| {
        names.push(name.to_owned());
        true
    });
    names.sort();
    names
}

/// Takes everything off; the objects go with it.
pub fn detach(engine: &Runtime) {
    for function in engine.list(None).unwrap() {
        engine.detach(&function.function, None).unwrap();
    }
    assert_eq!(maps(engine), [""; 0], "all of it is gone");
}

pub fn call(first: u64, second: u64) {
    // SAFETY: a C function without arguments, which may be called with any.
    unsafe { gcc_patchable_myfun(first, second) }
}

pub fn options(engine: Engine) -> LoadOptions<'static> {
    LoadOptions { engine, ..LoadOptions::default() }
}

pub const BOTH: [Engine; 2] = [Engine::Interpreter, Engine::Jit];

/// Every way in which a program may run: proved and guarded, interpreted and as machine code.
pub fn all_ways() -> [LoadOptions<'static>; 4] {
    [Policy::Strict, Policy::Checked]
        .map(|policy| BOTH.map(|on| LoadOptions { policy: Some(policy), ..options(on) }))
        .concat()
        .try_into()
        .unwrap()
}

pub const RECURSION: &str = "gcc_patchable_recursion";

pub fn recursion(n: i64) {
    // SAFETY: a C function of a number.
    assert_eq!(unsafe { gcc_patchable_recursion(n) }, n * (n + 1) / 2);
}
