//! `kraft.yaml` against the rules of the Kraftfile schema, version 0.6 (kraft's documentation, "Kraftfile v0.6").

use super::{root, text};
use yaml_rust2::{Yaml, YamlLoader};

const TOP: &[&str] = &[
    "spec",
    "specification",
    "name",
    "labels",
    "outdir",
    "template",
    "runtime",
    "rootfs",
    "volumes",
    "env",
    "cmd",
    "unikraft",
    "targets",
    "libraries",
];

fn keys<'y>(yaml: &'y Yaml, what: &str) -> Vec<&'y str> {
    let hash = yaml
        .as_hash()
        .unwrap_or_else(|| panic!("{what} is a mapping"));
    hash.keys()
        .map(|key| key.as_str().expect("keys are strings"))
        .collect()
}

fn only(yaml: &Yaml, what: &str, allowed: &[&str]) {
    for key in keys(yaml, what) {
        assert!(allowed.contains(&key), "{what}: unknown key `{key}`");
    }
}

/// Options with their values: strings, as kraft writes them into .config unchanged.
fn kconfig(yaml: &Yaml, what: &str) {
    for (key, value) in yaml
        .as_hash()
        .unwrap_or_else(|| panic!("{what}: kconfig is a mapping"))
    {
        let key = key.as_str().expect("an option's name");
        assert!(key.starts_with("CONFIG_"), "{what}: {key}");
        assert!(
            value.as_str().is_some(),
            "{what}: the value of {key} stands in quotes"
        );
    }
}

#[test]
fn the_kraftfiles_follow_the_schema() {
    follows_the_schema("kraft.yaml");
    follows_the_schema("examples/sqlite/kraft.yaml");
}

fn follows_the_schema(path: &str) {
    let documents = YamlLoader::load_from_str(&text(path)).expect("YAML");
    let [file] = documents.as_slice() else {
        panic!("{path}: one document");
    };
    only(file, path, TOP);
    if let Some(libraries) = file["libraries"].as_hash() {
        for library in libraries.values() {
            only(library, path, &["source", "version", "kconfig"]);
        }
    }
    assert!(matches!(file["spec"].as_str(), Some("v0.6" | "0.6")));
    assert!(file["name"].as_str().is_some_and(|name| !name.is_empty()));
    only(
        &file["unikraft"],
        "unikraft",
        &["source", "version", "kconfig"],
    );
    kconfig(&file["unikraft"]["kconfig"], "unikraft");
    let targets = file["targets"].as_vec().expect("targets is a list");
    assert!(!targets.is_empty());
    for target in targets {
        only(
            target,
            "target",
            &[
                "name",
                "architecture",
                "arch",
                "platform",
                "plat",
                "kconfig",
            ],
        );
        assert_eq!(target["architecture"].as_str(), Some("x86_64"));
        assert_eq!(target["platform"].as_str(), Some("qemu"));
        kconfig(&target["kconfig"], "target");
    }
}

/// kraft reads `Makefile.uk` and `Config.uk` of the application, here of the top folder.
#[test]
fn the_top_folder_is_an_application_and_a_library() {
    for name in [
        "Makefile.uk",
        "Config.uk",
        "exportsyms.uk",
        "app-demo/Makefile.uk",
        "app-demo/Config.uk",
    ] {
        assert!(root().join(name).is_file(), "{name}");
    }
}
