//! What the crates depend on keeps to deny.toml: licences, versions, sources. `cargo deny` checks the same where it is installed.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folders whose lock files are of what is given away, built or tested.
const WORKSPACES: [&str; 3] = [".", "platforms/qemu", "platforms/unikraft"];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

type Names = BTreeSet<String>;

fn names(list: &toml::Value) -> Names {
    let list = list.as_array().expect("a list");
    list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn deny() -> toml::Table {
    let text = fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    text.parse().expect("TOML")
}

/// The packages of a workspace with their licence and source.
fn packages(workspace: &str) -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked"]);
    cargo.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let output = cargo.current_dir(root().join(workspace)).output().expect("cargo starts");
    assert!(output.status.success(), "{workspace}: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn text<'v>(package: &'v Value, key: &str) -> &'v str {
    package[key].as_str().unwrap_or("")
}

/// Whether an expression of licences can be met by those allowed: `AND` binds stronger than `OR`, as does `/` of old manifests.
fn is_met(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = either(&mut rest, allowed);
    met && rest.is_empty()
}

fn either(words: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = both(words, allowed);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        met |= both(words, allowed);
    }
    met
}

fn both(words: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = one(words, allowed);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = either(words, allowed);
            let [")", rest @ ..] = *words else { return false };
            *words = rest;
            met
        }
        // An exception allows more than the licence.
        [licence, "WITH", _, rest @ ..] | [licence, rest @ ..] => {
            *words = rest;
            allowed(licence)
        }
        [] => false,
    }
}

#[test]
fn expressions_of_licences() {
    let allowed = |licence: &str| ["MIT", "ISC"].contains(&licence);
    for good in ["MIT", "GPL-3.0 OR MIT", "GPL-3.0/MIT", "(GPL-3.0 OR MIT) AND ISC", "MIT WITH more OR GPL-3.0"] {
        assert!(is_met(good, &allowed), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "MIT AND (GPL-3.0)", "(MIT", "MIT ISC", "MIT AND ISC AND GPL-3.0"] {
        assert!(!is_met(bad, &allowed), "{bad}");
    }
}

#[test]
fn dependencies_keep_to_deny_toml() {
    let deny = deny();
    let licences = names(&deny["licenses"]["allow"]);
    let exceptions = deny["licenses"]["exceptions"].as_array().expect("a list");
    let skip = names(&deny["bans"]["skip"]);
    let (mut faults, mut several) = (Vec::new(), Names::new());
    for workspace in WORKSPACES {
        let mut versions: BTreeMap<String, Names> = BTreeMap::new();
        for package in packages(workspace) {
            let (name, licence) = (text(&package, "name"), text(&package, "license"));
            versions.entry(name.into()).or_default().insert(text(&package, "version").into());
            let excepted = exceptions.iter().find(|e| e["crate"].as_str() == Some(name));
            let excepted = excepted.map(|e| names(&e["allow"])).unwrap_or_default();
            if !is_met(licence, &|one| licences.contains(one) || excepted.contains(one)) {
                faults.push(format!("{workspace}: {name} has the licence {licence:?}"));
            }
            let source = package["source"].as_str();
            if source.is_some_and(|source| source != CRATES_IO) {
                faults.push(format!("{workspace}: {name} comes from {source:?}"));
            }
        }
        several.extend(versions.into_iter().filter(|(_, versions)| versions.len() > 1).map(|(name, _)| name));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    // Both ways: an exception that is not needed any more goes.
    assert_eq!(several, skip, "crates in several versions, and those that deny.toml names");
}
