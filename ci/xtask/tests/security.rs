//! SECURITY.md against the tests: each promise names those that attack it, and they exist and are run.

mod common;

use common::{files, is_rust, root};
use std::fs;

/// Folders whose tests `cargo test --workspace` runs, with what is left out of them.
const TESTED: [&str; 7] = [
    "lib-ubpf-rs",
    "lib-ushell-rs",
    "platforms/linux",
    "platforms/virtio-serial",
    "tools",
    "tests/runner",
    "ci/xtask/tests",
];
/// What `cargo xtask qemu test` plays: the calls that do it, in these files.
const IN_QEMU: [&str; 3] = ["ci/xtask/src/qemu/mod.rs", "tests/image/selftest.rs", "tests/image/tests.rs"];

/// The functions marked as tests that are not ignored.
fn tests_of(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut names = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if *line != "#[test]" {
            continue;
        }
        let head: Vec<&&str> = lines[at + 1..].iter().take_while(|line| line.starts_with("#[")).collect();
        let function = lines.get(at + 1 + head.len());
        let name = function.and_then(|line| line.strip_prefix("fn ")?.split(['(', '<']).next());
        if let (Some(name), false) = (name, head.iter().any(|line| line.starts_with("#[ignore"))) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The promises of the section, each with what stands in backquotes behind its "Test".
fn promises(text: &str) -> Vec<(String, Vec<String>)> {
    let section = text.split("## Promised").nth(1).expect("the section");
    let section = section.split("\n## ").next().expect("its end");
    let mut promises = Vec::new();
    for item in section.split("\n- ").skip(1) {
        let item = item.split("\n\n").next().expect("an item").replace("\n  ", " ");
        let (words, tests) = ["Tests: ", "Test: "]
            .iter()
            .find_map(|mark| item.split_once(mark))
            .unwrap_or_else(|| panic!("no test is named: {item}"));
        let names = tests.split('`').skip(1).step_by(2).map(str::to_owned);
        promises.push((words.to_owned(), names.collect()));
    }
    let marks = section.matches("Test:").count() + section.matches("Tests:").count();
    assert_eq!(marks, promises.len(), "a promise with tests that is no item, or an item with several lists of tests");
    promises
}

#[test]
fn every_promise_has_its_tests_and_they_are_run() {
    let root = root();
    let sources = TESTED.iter().flat_map(|folder| {
        let folder = root.join(folder);
        assert!(folder.is_dir(), "no folder {}", folder.display());
        files(&folder, is_rust)
    });
    let known: Vec<String> = sources.flat_map(|path| tests_of(&fs::read_to_string(path).expect("a source"))).collect();
    let in_qemu: String = IN_QEMU.iter().map(|path| fs::read_to_string(root.join(path)).expect("a source")).collect();
    let security = fs::read_to_string(root.join("SECURITY.md")).expect("SECURITY.md");
    let promises = promises(&security);
    assert!(promises.len() > 8, "the promises were not found");
    for (words, names) in promises {
        assert!(!names.is_empty(), "no test is named: {words}");
        for name in names {
            let run = known.contains(&name) || in_qemu.contains(&format!("{name}("));
            assert!(run, "there is no test {name}, or it is not run: {words}");
        }
    }
}

/// The test above would be worth nothing if it took anything for a test.
#[test]
fn what_is_no_test_is_not_taken_for_one() {
    let text = "#[test]\nfn one() {}\n#[test]\n#[ignore = \"slow\"]\nfn two() {}\nfn three() {}\n";
    assert_eq!(tests_of(text), ["one"]);
}
