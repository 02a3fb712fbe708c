//! Images of applications of our own (`ci/xtask/apps`), built from a checkout of Unikraft in `target/unikraft`.

use crate::{setup, target, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Options of every image. Nothing asks for random numbers, and QEMU before 8 does not know the instruction.
const ALWAYS: &str = "CONFIG_UK_NAME=\"image\"
CONFIG_ARCH_X86_64=y
CONFIG_PLAT_KVM=y
CONFIG_KVM_VMM_QEMU=y
CONFIG_KVM_BOOT_PROTO_MULTIBOOT=y
CONFIG_OPTIMIZE_PERF=y
CONFIG_PAGING=y
CONFIG_LIBVFSCORE=y
CONFIG_LIBVFSCORE_AUTOMOUNT_CI=y
# CONFIG_LIBUKRANDOM is not set
";

/// A checkout.
pub struct Checkout {
    folder: PathBuf,
    /// `0.17`, …
    pub version: String,
}

/// Whether a folder is a checkout of Unikraft.
pub fn is_checkout(folder: &Path) -> bool {
    folder.join("version.mk").exists() && folder.join("Makefile").exists()
}

impl Checkout {
    /// The checkout in this folder.
    pub fn new(folder: &Path) -> Result<Self> {
        if !is_checkout(folder) {
            return Err(format!("{} is no checkout of Unikraft (no version.mk in it)", folder.display()).into());
        }
        let folder = folder.canonicalize()?;
        let version = version(&fs::read_to_string(folder.join("version.mk"))?)
            .ok_or_else(|| format!("{}/version.mk names no version", folder.display()))?;
        Ok(Checkout { folder, version })
    }

    /// Builds `ci/xtask/apps/APP` with these lines in its configuration; gives the folder of the build. `name` tells builds of an
    /// application apart.
    pub fn build(&self, root: &Path, app: &str, name: &str, options: &str) -> Result<PathBuf> {
        let target = target::folder(root, "unikraft");
        let folder = target.join(format!("{}-{app}-{name}", self.version));
        // What another configuration left behind would be linked.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let defconfig = folder.join("defconfig");
        fs::write(&defconfig, [ALWAYS, options].concat())?;
        eprintln!("Unikraft {}: {app} {name}", self.version);
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        for (more, log) in [
            (vec![format!("UK_DEFCONFIG={}", defconfig.display()), "defconfig".into()], "configure.log"),
            (vec![format!("-j{jobs}")], "make.log"),
        ] {
            let output = fs::File::create(folder.join(log))?;
            let mut command = Command::new("make");
            command.env_remove("MAKEFLAGS").arg("-C").arg(&self.folder);
            for (variable, value) in [
                ("A", &root.join("ci/xtask/apps").join(app)),
                ("L", &root.to_path_buf()),
                ("O", &folder),
                ("C", &folder.join(".config")),
                // Shared by all: the same options make the same archive.
                ("UBPF_CARGO_DIR", &target.join("cargo")),
            ] {
                command.arg(format!("{variable}={}", value.display()));
            }
            command.args(more).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
            setup::run(&mut command).map_err(|error| format!("{error}; see {}", folder.join(log).display()))?;
        }
        Ok(folder)
    }
}

/// The image in the folder of such a build.
pub fn image(build: &Path) -> PathBuf {
    build.join("image_qemu-x86_64")
}

/// `0.17` of a file that says `UK_VERSION = 0` and `UK_SUBVERSION = 17`.
fn version(text: &str) -> Option<String> {
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once('=')?.1.trim().to_owned())
    };
    Some(format!("{}.{}", value("UK_VERSION")?, value("UK_SUBVERSION")?))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn the_version_is_read() {
        let text = "UK_VERSION = 0\nUK_SUBVERSION = 17\nUK_EXTRAVERSION = 0\n";
        assert_eq!(version(text).as_deref(), Some("0.17"));
        assert_eq!(version("nothing"), None);
    }
}
