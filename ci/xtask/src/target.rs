//! Where cargo puts what it builds.

use crate::Result;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The name by which cargo is told.
const VARIABLE: &str = "CARGO_TARGET_DIR";

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Finds out where cargo builds: `target` in the repository, or what `CARGO_TARGET_DIR` or a configuration of cargo says. A relative
/// `CARGO_TARGET_DIR` is made absolute for everything that is started from here, whatever folder that works in.
pub fn init(root: &Path) -> Result<()> {
    if let Some(folder) = std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) {
        std::env::set_var(VARIABLE, std::path::absolute(folder)?);
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--no-deps"]);
    let output = cargo.current_dir(root).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let folder = metadata["target_directory"].as_str();
    let folder = folder.ok_or("cargo does not say where it builds")?;
    FOLDER.get_or_init(|| folder.into());
    Ok(())
}

/// A folder or file where cargo builds.
pub fn folder(root: &Path, name: &str) -> PathBuf {
    match FOLDER.get() {
        Some(target) => target.join(name),
        None => root.join("target").join(name),
    }
}
