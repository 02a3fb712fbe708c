//! The order of the engine's folders: each may use only what stands to its left in `ORDER`.

use std::fs;
use std::path::{Path, PathBuf};

const ORDER: &[&str] = &[
    "isa", "platform", "program", "verifier", "maps", "helpers", "vm", "jit", "tracer", "runtime",
    "ffi",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every layer named as `crate::LAYER` that stands to the right of `layer`.
fn broken(layer: &str, text: &str) -> Vec<String> {
    let place = |name: &str| ORDER.iter().position(|known| *known == name);
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .unwrap_or("")
        })
        .filter(|name| place(name) > place(layer))
        .map(|name| format!("rule `{layer} must not use {name}`"))
        .collect()
}

#[test]
fn layers_use_only_what_stands_to_their_left() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lib-ubpf-rs/src");
    let mut faults = Vec::new();
    for layer in ORDER.iter().filter(|layer| root.join(layer).is_dir()) {
        let mut files = Vec::new();
        sources(&root.join(layer), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).expect("a source file");
            faults.extend(
                broken(layer, &text)
                    .into_iter()
                    .map(|rule| format!("{}: {rule}", file.display())),
            );
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_use_of_a_later_layer_is_found() {
    assert_eq!(
        broken("isa", "use crate::vm::Run;"),
        ["rule `isa must not use vm`"]
    );
    assert!(broken("vm", "use crate::isa::Insn;").is_empty());
}
