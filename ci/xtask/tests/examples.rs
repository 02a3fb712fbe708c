//! Each example is built and run by the words of its page alone, in an empty folder outside of the repository: what stands in blocks of
//! `sh` is run by one shell, and must say what the block of `text` behind it says. There, `...` stands for anything.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository")
}

/// A step of a page: commands, and what they say where the page tells.
#[derive(Debug, PartialEq)]
struct Step {
    commands: String,
    says: Option<String>,
}

/// The steps of a page.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, part) in page.split("```").enumerate() {
        // Every other part stands in a block.
        let Some((kind, text)) = part.split_once('\n').filter(|_| index % 2 == 1) else {
            continue;
        };
        match (kind, steps.last_mut()) {
            ("sh", _) => steps.push(Step { commands: text.into(), says: None }),
            ("text", Some(step)) => step.says = Some(text.into()),
            _ => panic!("a block of {kind}"),
        }
    }
    steps
}

/// Whether a text is the wanted one, in which `...` stands for anything.
fn is_like(text: &str, wanted: &str) -> bool {
    let mut parts = wanted.split("...");
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        last = Some(part);
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || last.is_some_and(|part| part.trim().is_empty() || text.ends_with(part))
}

/// What stands between the answers of two steps.
const NEXT: &str = "==== next step ====";

/// Runs the page of an example in an empty folder, which goes when all went well.
fn play(example: &str) {
    let folder = std::env::temp_dir().join(format!("ubpf-example-{example}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    let page = fs::read_to_string(root().join("examples").join(example).join("README.md")).expect("the page");
    let steps = steps(&page);
    let mut script = String::from("set -eu\n");
    for step in &steps {
        script.push_str(&step.commands);
        script.push_str(&format!("echo '{NEXT}'\n"));
    }
    let place = "UBPF=/path/to/ubpf-rs\n";
    assert!(script.contains(place), "{example}: the page does not begin with {place}");
    let script = script.replace(place, &format!("UBPF='{}'\n", root().display()));
    let mut bash = Command::new("bash");
    // Only what the page says: a folder of the tests for what is built would be used by its commands as well.
    bash.args(["-c", &script]).current_dir(&folder).stdin(std::process::Stdio::null());
    let done = bash.output().expect("bash starts");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{example}: {}\n{said}\n{errors}", done.status);
    let next = format!("{NEXT}\n");
    let mut answers = said.split(&next);
    for step in steps {
        let answer = answers.next().unwrap_or_default();
        if let Some(wanted) = step.says {
            assert!(is_like(answer, &wanted), "{example}: {}said\n{answer}and not\n{wanted}", step.commands);
        }
    }
    fs::remove_dir_all(&folder).expect("the folder goes");
}

#[test]
fn the_engine_in_a_c_program() {
    play("c-engine");
}

#[test]
fn a_platform_of_its_own_in_c() {
    play("c-platform");
}

#[test]
fn a_traced_cpp_program() {
    play("cpp-traced");
}

#[test]
fn the_engine_in_a_rust_program() {
    play("rust");
}

#[test]
fn the_engine_without_a_standard_library() {
    play("rust-no-std");
}

/// Each example with such a page is played here.
#[test]
fn no_example_is_forgotten() {
    let own = fs::read_to_string(root().join("ci/xtask/tests/examples.rs")).expect("this file");
    for entry in fs::read_dir(root().join("examples")).expect("the examples") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let played = own.contains(&format!("play(\"{name}\")"));
        assert!(played || !path.join("README.md").exists(), "{name}");
    }
}

#[test]
fn pages_are_read_and_answers_compared() {
    let page = "Text\n\n```sh\na\nb\n```\n\nand\n\n```text\n1\n```\n\n```sh\nc\n```\n";
    let step = |commands: &str, says: Option<&str>| Step { commands: commands.into(), says: says.map(str::to_owned) };
    assert_eq!(steps(page), [step("a\nb\n", Some("1\n")), step("c\n", None)]);
    assert!(is_like("one\ntwo\n", "one\ntwo\n") && !is_like("one\ntwo\n", "one\n") && !is_like("one\n", "one\ntwo\n"));
    assert!(is_like("one\ntwo\nthree\n", "one\n...\nthree\n") && is_like("one 5\n", "one ...\n"));
    assert!(
        is_like("5 one\n", "... one\n") && !is_like("5 two\n", "... one\n") && !is_like("one 5\ntwo\n", "two ...\n")
    );
}
