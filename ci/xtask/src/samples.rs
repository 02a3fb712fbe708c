//! Compiles the sample programs of `app-demo/bpf`: to flat binaries, and those for Linux to packages, as those of the bench.

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

/// Makes `target/bpf/{O0,O2}/NAME.bin` (and `.o`) of all samples, and `NAME.pkg` of those for Linux; gives the folder.
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
    for folder in ["app-demo/bpf/linux", "bench/bpf"] {
        for entry in fs::read_dir(root.join(folder))? {
            pack(root, &entry?.path(), &out)?;
        }
    }
    Ok(out)
}

/// A package of an object with maps and data, beside the flat programs of both levels.
fn pack(root: &Path, source: &Path, out: &Path) -> Result<()> {
    let name = source.file_stem().unwrap_or_default();
    let object = out.join("O2").join(name).with_extension("o");
    let mut clang = Command::new("clang");
    clang.args([
        "-target",
        "bpf",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-const-variable",
        "-Wno-unused-parameter",
    ]);
    clang.args(["-O2", "-g", "-I"]).arg(root.join("include"));
    setup::run(clang.arg("-c").arg(source).arg("-o").arg(&object))?;
    let options = ubpf_pack::Options { name: name.to_string_lossy().into_owned(), ..ubpf_pack::Options::default() };
    let package = ubpf_pack::pack(&fs::read(&object)?, &options)?;
    for level in LEVELS {
        fs::write(out.join(level).join(name).with_extension("pkg"), &package)?;
    }
    Ok(())
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
