//! Makes the list of all files of `tests/programs`, with their text, as a Rust constant: the crate needs no file
//! system when it runs.

use std::{env, fmt::Write, fs, path::Path};

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs");
    println!("cargo::rerun-if-changed={}", folder.display());
    let entries = fs::read_dir(&folder).expect("the folder tests/programs");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "data"));
    paths.sort();
    let mut list = String::from("&[\n");
    for path in paths {
        println!("cargo::rerun-if-changed={}", path.display());
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        writeln!(list, "({name:?}, include_str!({path:?})),").expect("writing to a string");
    }
    list.push_str("]\n");
    let out = env::var_os("OUT_DIR").expect("a folder for generated files");
    fs::write(Path::new(&out).join("files.rs"), list).expect("a writable folder");
}
