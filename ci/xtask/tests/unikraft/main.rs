//! What of the Unikraft integration can be tested without a Unikraft tree: the menu, the makefiles on a harness of
//! ours, the Kraftfile, and the QEMU wrapper for kraft.

mod embed;
mod glue;
mod kraft;
mod make;
mod memory;
mod menu;
mod size;
mod wrapper;

use std::path::{Path, PathBuf};

/// The repository's top folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// An empty folder for one test.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}
