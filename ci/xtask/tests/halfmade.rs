//! Changes that a newcomer makes by half: each of `tests/halfmade` is made in a copy of the sources, and the compiler must say what is
//! missing, in the words of CONTRIBUTING.md.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What a change says of itself before its first hunk, and the hunks.
struct Change {
    name: String,
    check: String,
    errors: BTreeSet<String>,
    diff: String,
}

impl Change {
    fn read(path: &Path) -> Change {
        let text = fs::read_to_string(path).expect("a patch is text");
        let start = text.find("--- ").expect("a patch has a hunk");
        let (about, diff) = text.split_at(start);
        let given = |key| about.lines().filter_map(move |line| line.strip_prefix(key)).map(str::to_string);
        Change {
            name: path.file_stem().expect("a name").to_string_lossy().into(),
            check: given("check: ").next().expect("a patch says what is checked"),
            errors: given("error: ").collect(),
            diff: diff.into(),
        }
    }

    /// The files that it changes, as they are after it.
    fn made(&self, tree: &Path) -> Vec<(PathBuf, String)> {
        let files = self.diff.split("--- ").filter(|part| !part.is_empty());
        files.map(|part| self.made_file(part, tree)).collect()
    }

    fn made_file(&self, part: &str, tree: &Path) -> (PathBuf, String) {
        let (header, hunks) = part.split_once("\n@@").expect("a file of a patch has a hunk");
        let (_, to) = header.split_once("\n+++ b/").expect("a file of a patch has a name");
        let path = tree.join(to);
        let new = header.starts_with("/dev/null");
        let mut text = if new { String::new() } else { fs::read_to_string(&path).unwrap_or_default() };
        for hunk in hunks.split("\n@@") {
            let lines = || hunk.lines().skip(1).filter(|line| !line.is_empty());
            let side = |other: char| -> String {
                let kept = lines().filter(|line| !line.starts_with(other));
                kept.map(|line| format!("{}\n", &line[1..])).collect()
            };
            let (before, after) = (side('+'), side('-'));
            assert_eq!(
                text.matches(&before).count(),
                1,
                "{}: what tests/halfmade changes in {to} is not there once: make the patch again\n{before}",
                self.name
            );
            text = text.replacen(&before, &after, 1);
        }
        (path, text)
    }
}

/// Copies what cargo needs of the sources; what is the same stays as it is, so that it is not built again.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the scratch folder can be made");
    for entry in fs::read_dir(from).expect("the sources can be read").flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        if name.to_string_lossy().starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
            continue;
        }
        let contents = fs::read(&path).expect("the sources can be read");
        let to = to.join(name);
        if !fs::read(&to).is_ok_and(|there| there == contents) {
            fs::write(to, contents).expect("the copy can be written");
        }
    }
}

/// `E0004 file` for each error that the compiler reports.
fn errors(tree: &Path, check: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["check", "--quiet", "--offline", "--message-format=short", "--target-dir"]).arg(tree.join("target"));
    cargo.args(["--package"]).args(check.split(' ')).current_dir(tree);
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = cargo.output().expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let error = |line: &str| {
        let (place, message) = line.split_once(": error[")?;
        Some(format!("{} {}", message.split(']').next()?, place.split(':').next()?))
    };
    let found: BTreeSet<String> = text.lines().filter_map(error).collect();
    assert!(!found.is_empty(), "{check}: the compiler says nothing of what is missing\n{text}");
    found
}

#[test]
fn each_half_made_change_is_caught_where_the_pages_say() {
    let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("halfmade");
    copy(&root(), &tree);
    let pages = fs::read_to_string(root().join("CONTRIBUTING.md")).expect("CONTRIBUTING.md");
    let folder = root().join("tests/halfmade");
    let mut patches: Vec<_> = fs::read_dir(folder).expect("tests/halfmade").flatten().map(|e| e.path()).collect();
    patches.retain(|path| path.extension().is_some_and(|e| e == "patch"));
    patches.sort();
    assert!(patches.len() >= 9, "{} patches", patches.len());
    for change in patches.iter().map(|path| Change::read(path)) {
        for (path, text) in change.made(&tree) {
            fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
            fs::write(path, text).expect("the copy can be written");
        }
        let found = errors(&tree, &change.check);
        let missing: Vec<_> = change.errors.difference(&found).collect();
        assert!(missing.is_empty(), "{}: the compiler does not say {missing:?}, but {found:?}", change.name);
        let row = pages.lines().find(|line| line.contains(&format!("`{}.patch`", change.name)));
        let row = row.unwrap_or_else(|| panic!("{}: CONTRIBUTING.md does not name it", change.name));
        for error in &change.errors {
            let (code, file) = error.split_once(' ').expect("a code and a file");
            let short =
                file.strip_prefix("lib-ubpf-rs/src/").or(file.strip_prefix("lib-ushell-rs/src/")).unwrap_or(file);
            assert!(row.contains(code) && row.contains(short), "{}: CONTRIBUTING.md does not say {error}", change.name);
        }
        for (path, _) in change.made(&root()) {
            let copied = tree.join(path.strip_prefix(root()).expect("below the sources"));
            if !path.exists() {
                fs::remove_file(copied).expect("what was added can be removed");
            }
        }
        copy(&root(), &tree);
    }
}
