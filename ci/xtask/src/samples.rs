//! Compiles the sample programs of `app-demo/bpf` to flat binaries.

use crate::{setup, target, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Optimisation levels at which every sample is made.
pub const LEVELS: [&str; 2] = ["O0", "O2"];

/// `cargo xtask samples`: makes them and says where they are.
pub fn main(root: &Path) -> Result<()> {
    setup::ensure()?;
    println!("{}", build(root)?.display());
    Ok(())
}

/// Makes `target/bpf/{O0,O2}/NAME.bin` (and `.o`) of all samples; gives the folder.
pub fn build(root: &Path) -> Result<PathBuf> {
    let out = target::folder(root, "bpf");
    for level in LEVELS {
        fs::create_dir_all(out.join(level))?;
        for abi in ["classic", "uio"] {
            for entry in fs::read_dir(root.join("app-demo/bpf").join(abi))? {
                compile(root, &entry?.path(), abi, level, &out)?;
            }
        }
    }
    Ok(out)
}

fn compile(root: &Path, source: &Path, abi: &str, level: &str, out: &Path) -> Result<()> {
    let name = source.file_stem().unwrap_or_default();
    let object = out.join(level).join(name).with_extension("o");
    let flat = object.with_extension("bin");
    let include = root.join("include/ubpf").join(abi);
    let mut clang = Command::new("clang");
    clang.args(["-target", "bpf", "-Wall", "-Wextra", "-Werror"]);
    clang.args(["-Wno-unused-const-variable", &format!("-{level}"), "-I"]).arg(include);
    setup::run(clang.arg("-c").arg(source).arg("-o").arg(&object))?;
    let mut objcopy = Command::new("llvm-objcopy");
    objcopy.args(["-O", "binary", "--only-section=.text"]);
    setup::run(objcopy.arg(&object).arg(&flat))
}

/// The flat binaries in a folder made by [`build`], by name.
pub fn files(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "bin") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            files.push((name.into_owned(), fs::read(&path)?));
        }
    }
    files.sort();
    Ok(files)
}
