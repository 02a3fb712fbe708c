//! `cargo xtask archive`: the libraries as archives for programs in C, with their headers.
//!
//! What cargo makes is not yet fit to be given away: it exports the names of Rust functions, refers to an unwinder that nothing uses,
//! and holds bitcode that stops other compilers' tools. Here everything becomes one object whose global names are those of the headers.

use crate::{
    headers::{functions, FOR_C},
    setup, target, usage, Result,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const USAGE: &str = "usage: cargo xtask archive [ubpf-rs|ushell-rs|linux]... [--to FOLDER]";

/// A library as an archive.
struct Archive {
    /// What it is called on the command line.
    name: &'static str,
    package: &'static str,
    features: &'static str,
    /// The headers whose functions it has.
    headers: &'static [&'static str],
    /// What it has beside them.
    more: &'static [&'static str],
    /// Names that are exchanged: a compiler's library, or none, has the first ones.
    renamed: &'static [&'static str],
}

/// `bcmp` is asked for where the result of `memcmp` is only compared with 0; who has no C library need not have it. Nothing unwinds in an
/// engine that stands alone.
const ALONE: &[&str] = &["bcmp=memcmp", "_Unwind_Resume=ubpf_unwind_resume"];

const ARCHIVES: &[Archive] = &[
    Archive {
        name: "ubpf-rs",
        package: "ubpf-rs",
        features: "standalone",
        headers: &["ubpf_rs.h"],
        more: &["ubpf_instrument_entry"],
        renamed: ALONE,
    },
    Archive {
        name: "ushell-rs",
        package: "ushell-rs",
        features: "standalone",
        headers: &["ubpf_rs.h", "ushell_rs.h"],
        more: &["ubpf_instrument_entry"],
        renamed: ALONE,
    },
    Archive {
        name: "linux",
        package: "ubpf-platform-linux",
        features: "capi",
        headers: &["ubpf_rs.h", "ushell_rs.h", "ubpf_linux.h"],
        more: &["__cyg_profile_func_enter", "__cyg_profile_func_exit"],
        renamed: &[],
    },
];

/// `cargo xtask archive [NAME]... [--to FOLDER]`: makes the archives of these names, or all, and says where they are.
pub fn main(root: &Path, arguments: &[String]) -> Result<()> {
    let (mut wanted, mut to) = (Vec::new(), target::folder(root, "archive"));
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--to" {
            to = arguments.next().ok_or_else(|| usage(USAGE))?.into();
            continue;
        }
        let found = ARCHIVES.iter().find(|archive| archive.name == argument);
        wanted.push(found.ok_or_else(|| usage(USAGE))?);
    }
    if wanted.is_empty() {
        wanted = ARCHIVES.iter().collect();
    }
    setup::ensure()?;
    headers(root, &to.join("include"))?;
    for archive in wanted {
        println!("{}", archive.build(root, &to)?.display());
    }
    Ok(())
}

/// Copies the headers that programs include.
fn headers(root: &Path, to: &Path) -> Result<()> {
    for header in FOR_C {
        let path = to.join(header);
        fs::create_dir_all(path.parent().unwrap_or(to))?;
        fs::copy(root.join("include").join(header), &path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

impl Archive {
    /// Makes the archive in a folder; gives its path.
    fn build(&self, root: &Path, to: &Path) -> Result<PathBuf> {
        let file = format!("lib{}.a", self.package.replace('-', "_"));
        let work = target::folder(root, "archive-build");
        self.compile(root, &work)?;
        let names = self.names(root)?;
        let parts = work.join(format!("{}-parts.a", self.name));
        let object = work.join(format!("{}.o", self.package));
        self.clean(&work.join("release").join(&file), &parts)?;
        let whole = work.join(format!("{}-whole.o", self.name));
        join(&parts, &names, &whole)?;
        hide(&whole, &names, &object)?;
        let made = to.join(file);
        let _ = fs::remove_file(&made); // else the object would come beside the old one
        let mut ar = Command::new("ar");
        setup::run(ar.arg("rcsD").arg(&made).arg(&object))?;
        Ok(made)
    }

    fn compile(&self, root: &Path, work: &Path) -> Result<()> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["rustc", "--quiet", "--release", "--lib"]);
        cargo.args(["--package", self.package, "--features", self.features]);
        cargo.args(["--crate-type", "staticlib"]);
        setup::run(cargo.current_dir(root).arg("--target-dir").arg(work))
    }

    /// What the archive is to export.
    fn names(&self, root: &Path) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.more.iter().map(|&name| name.into()).collect();
        for header in self.headers {
            let text = fs::read_to_string(root.join("include").join(header))?;
            names.extend(functions(&text).map(str::to_owned));
        }
        Ok(names)
    }

    /// Drops the bitcode, of which linkers with another LLVM make nothing, and exchanges names.
    fn clean(&self, from: &Path, to: &Path) -> Result<()> {
        let mut objcopy = Command::new("llvm-objcopy");
        objcopy.args(["--remove-section=.llvmbc", "--remove-section=.llvmcmd"]);
        for pair in self.renamed {
            objcopy.arg(format!("--redefine-sym={pair}"));
        }
        setup::run(objcopy.arg(from).arg(to))
    }
}

/// One object of all that the functions need.
fn join(parts: &Path, names: &[String], whole: &Path) -> Result<()> {
    let mut ld = Command::new("ld");
    ld.args(["-r", "--gc-sections"]);
    for name in names {
        ld.args(["-u", name]);
    }
    setup::run(ld.arg(parts).arg("-o").arg(whole))
}

/// Makes every other name local.
fn hide(whole: &Path, names: &[String], object: &Path) -> Result<()> {
    let list = object.with_extension("names");
    fs::write(&list, names.join("\n"))?;
    let mut objcopy = Command::new("objcopy");
    objcopy.arg("--keep-global-symbols").arg(&list);
    setup::run(objcopy.arg(whole).arg(object))
}
