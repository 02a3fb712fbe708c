//! The Kraftfiles against this repository: what they switch on exists, and what they name is there. Whether kraft takes them
//! only kraft can say: docs/unikraft.md tells how they were built and run with it.

use super::{root, text};
use yaml_rust2::{Yaml, YamlLoader};

const FILES: [&str; 6] = [
    "kraft.yaml",
    "app-demo/kraft.yaml",
    "examples/sqlite/kraft.yaml",
    "examples/redis/kraft.yaml",
    "examples/nginx/kraft.yaml",
    "examples/cpp-rust/kraft.yaml",
];

fn kraftfile(path: &str) -> Yaml {
    let documents = YamlLoader::load_from_str(&text(path)).expect("YAML");
    let [file] = documents.as_slice() else {
        panic!("{path}: one document");
    };
    file.clone()
}

/// Every `kconfig` mapping of a Kraftfile.
fn kconfigs(file: &Yaml) -> Vec<&Yaml> {
    let libraries = file["libraries"].as_hash();
    let targets = file["targets"].as_vec().expect("targets is a list");
    let all = [&file["unikraft"]["kconfig"]]
        .into_iter()
        .chain(libraries.into_iter().flat_map(|libraries| libraries.values()).map(|library| &library["kconfig"]))
        .chain(targets.iter().map(|target| &target["kconfig"]));
    all.filter(|kconfig| !kconfig.is_badvalue()).collect()
}

/// kraft writes values into .config unchanged: a bare `y` would be a YAML boolean.
#[test]
fn options_stand_in_quotes_and_ours_exist() {
    let menu = text("Config.uk");
    for path in FILES {
        let file = kraftfile(path);
        for kconfig in kconfigs(&file) {
            for (key, value) in kconfig.as_hash().expect("kconfig is a mapping") {
                let key = key.as_str().expect("an option's name");
                assert!(value.as_str().is_some(), "{path}: the value of {key} stands in quotes");
                let option = key.strip_prefix("CONFIG_").expect("CONFIG_ comes first");
                let ours = ["LIBUBPF_RS", "LIBUSHELL_RS"];
                if ours.iter().any(|ours| option.starts_with(ours)) {
                    let known = menu.lines().any(
                        |line| matches!(line.split_once(' '), Some(("config" | "menuconfig", name)) if name == option),
                    );
                    assert!(known, "{path}: {key} is not in Config.uk");
                }
            }
        }
    }
}

/// kraft makes `CONFIG_LIB<KEY>` of a library's key: only keys with an underscore give our symbols. Its folder is there, too.
#[test]
fn libraries_have_the_keys_and_folders_that_kraft_needs() {
    for path in FILES {
        let file = kraftfile(path);
        let folder = root().join(path).parent().expect("a folder").to_path_buf();
        for (key, library) in file["libraries"].as_hash().into_iter().flatten() {
            let key = key.as_str().expect("a name");
            if let Some(source) = library["source"].as_str() {
                assert!(matches!(key, "ubpf_rs" | "ushell_rs"), "{path}: {key}");
                assert!(folder.join(source).join("Makefile.uk").is_file(), "{path}: {source}");
            }
        }
    }
}

/// A folder that `rootfs` names and nothing makes stops kraft's build.
#[test]
fn nothing_is_needed_that_a_fresh_clone_has_not() {
    for path in FILES {
        let folder = root().join(path).parent().expect("a folder").to_path_buf();
        let rootfs = &kraftfile(path)["rootfs"];
        let is_there = rootfs.as_str().is_some_and(|rootfs| folder.join(rootfs).is_dir());
        assert!(rootfs.is_badvalue() || is_there, "{path}: {rootfs:?}");
    }
}

/// kraft reads `Makefile.uk` and `Config.uk` of the application.
#[test]
fn each_kraftfile_lies_in_an_application() {
    for path in FILES {
        let folder = root().join(path).parent().expect("a folder").to_path_buf();
        for name in ["Makefile.uk", "Config.uk"] {
            assert!(folder.join(name).is_file(), "{path}: {name}");
        }
    }
}
