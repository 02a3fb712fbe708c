//! A series of images, each without one option more, built from a checkout of Unikraft.

use super::build::Build;
use crate::{
    qemu::{Machine, Options},
    setup, Result,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Options of every image.
const ALWAYS: &str = "CONFIG_UK_NAME=\"size\"
CONFIG_ARCH_X86_64=y
CONFIG_PLAT_KVM=y
CONFIG_KVM_VMM_QEMU=y
CONFIG_KVM_BOOT_PROTO_MULTIBOOT=y
CONFIG_OPTIMIZE_PERF=y
CONFIG_PAGING=y
CONFIG_LIBVFSCORE=y
CONFIG_LIBVFSCORE_AUTOMOUNT_CI=y
CONFIG_LIBVFSCORE_AUTOMOUNT_CI_RAMFS=y
# CONFIG_LIBUKRANDOM is not set
";

/// What is left out, one after the other: the option, and what goes with it.
pub const STEPS: &[(&str, &str)] = &[
    ("LIBUBPF_RS_SYMBOLS", "names of functions"),
    ("LIBUBPF_RS_CAPI", "C interface"),
    ("LIBUBPF_RS_JIT", "compiler to machine code, and memory for that"),
    ("LIBUSHELL_RS", "shell and what it selects"),
    ("LIBUBPF_RS_TRACER", "tracer"),
    ("LIBUBPF_RS", "engine and what it selects"),
];

/// The images of one version.
pub struct Series {
    /// `0.17`, …
    pub version: String,
    /// The whole one, then each without one option of [`STEPS`] more.
    pub builds: Vec<Build>,
    /// Bytes of memory that Unikraft's allocator has free while the application sleeps: in the whole image, and in the last one.
    pub free: (u64, u64),
    /// Bytes of a thread's stack.
    pub stack: u64,
}

/// Whether a folder is a checkout of Unikraft.
pub fn is_checkout(folder: &Path) -> bool {
    folder.join("version.mk").exists() && folder.join("Makefile").exists()
}

/// Builds and boots.
pub fn measure(root: &Path, checkouts: &[PathBuf]) -> Result<Vec<Series>> {
    setup::ensure()?;
    let measured = checkouts.iter().map(|checkout| {
        let checkout = checkout.canonicalize()?;
        let version = version(&fs::read_to_string(checkout.join("version.mk"))?)
            .ok_or_else(|| format!("{}/version.mk names no version", checkout.display()))?;
        let folder = root.join("target/size").join(&version);
        let built = (0..=STEPS.len()).map(|left_out| {
            let folder = folder.join(left_out.to_string());
            make(root, &checkout, &folder, left_out)?;
            Build::read(&folder)
        });
        let builds = built.collect::<Result<Vec<Build>>>()?;
        let free = match builds.as_slice() {
            [whole, .., without] => (free(root, &whole.image)?, free(root, &without.image)?),
            _ => return Err("no images".into()),
        };
        let config = fs::read_to_string(folder.join("0/.config"))?;
        Ok(Series { stack: stack(&config), version, builds, free })
    });
    measured.collect()
}

/// `0.17` of a file that says `UK_VERSION = 0` and `UK_SUBVERSION = 17.0`.
fn version(text: &str) -> Option<String> {
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once('=')?.1.trim().to_owned())
    };
    let sub = value("UK_SUBVERSION")?;
    let sub = sub.split('.').next().unwrap_or(&sub);
    Some(format!("{}.{sub}", value("UK_VERSION")?))
}

fn stack(config: &str) -> u64 {
    let order = config.lines().find_map(|line| line.strip_prefix("CONFIG_STACK_SIZE_PAGE_ORDER="));
    4096 << order.and_then(|order| order.trim().parse::<u32>().ok()).unwrap_or(0)
}

/// The options of the image without the first so many of [`STEPS`].
fn options(left_out: usize) -> String {
    let mut text = ALWAYS.to_owned();
    for (number, (option, _)) in STEPS.iter().enumerate() {
        match number < left_out {
            true => text.push_str(&format!("# CONFIG_{option} is not set\n")),
            false => text.push_str(&format!("CONFIG_{option}=y\n")),
        }
    }
    text
}

fn make(root: &Path, checkout: &Path, folder: &Path, left_out: usize) -> Result<()> {
    // What another configuration left behind would be linked.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    let defconfig = folder.join("defconfig");
    fs::write(&defconfig, options(left_out))?;
    println!("{}: {}", checkout.display(), folder.display());
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    for (more, log) in [
        (vec![format!("UK_DEFCONFIG={}", defconfig.display()), "defconfig".into()], "configure.log"),
        (vec![format!("-j{jobs}")], "make.log"),
    ] {
        let output = fs::File::create(folder.join(log))?;
        let mut command = Command::new("make");
        command
            .env_remove("MAKEFLAGS")
            .arg("-C")
            .arg(checkout)
            .arg(format!("A={}", root.join("ci/xtask/src/size/app").display()))
            .arg(format!("L={}", root.display()))
            .arg(format!("O={}", folder.display()))
            .arg(format!("C={}", folder.join(".config").display()))
            // Shared by all: the same options make the same archive.
            .arg(format!("UBPF_CARGO_DIR={}", root.join("target/size/cargo").display()))
            .args(more)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        setup::run(&mut command).map_err(|error| format!("{error}; see {}", folder.join(log).display()))?;
    }
    Ok(())
}

fn free(root: &Path, image: &Path) -> Result<u64> {
    let options = Options { initrd: None, ..Options::default() };
    let mut machine = Machine::start(root, image, &options)?;
    machine.wait_until("how much memory is free", |console| said(console).is_some())?;
    said(&machine.console()).ok_or_else(|| "the application says nothing of memory".into())
}

fn said(console: &str) -> Option<u64> {
    let (_, rest) = console.split_once("memory free: ")?;
    rest.split_once(" bytes")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{options, said, stack, version, STEPS};

    #[test]
    fn what_is_left_out_is_switched_off() {
        let all = options(0);
        let none = options(STEPS.len());
        for (option, _) in STEPS {
            assert!(all.contains(&format!("CONFIG_{option}=y\n")));
            assert!(none.contains(&format!("# CONFIG_{option} is not set\n")));
        }
        let one = options(1);
        assert!(one.contains("# CONFIG_LIBUBPF_RS_SYMBOLS is not set\n"));
        assert!(one.contains("CONFIG_LIBUBPF_RS_CAPI=y\n"));
    }

    #[test]
    fn what_unikraft_says_is_read() {
        let text = "UK_VERSION = 0\nUK_SUBVERSION = 17.0\nUK_CODENAME ?= x\n";
        assert_eq!(version(text).as_deref(), Some("0.17"));
        assert_eq!(version("nothing"), None);
        assert_eq!(stack("CONFIG_A=y\nCONFIG_STACK_SIZE_PAGE_ORDER=4\n"), 65_536);
        assert_eq!(said("booted\nmemory free: 4096 bytes\n"), Some(4096));
        assert_eq!(said("memory free: 40"), None);
    }
}
