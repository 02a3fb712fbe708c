//! A series of images, each without one option more, built from a checkout of Unikraft.

use super::build::Build;
use crate::{
    qemu::{Machine, Options},
    setup,
    unikraft::Checkout,
    Result,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Longest wait for the application to say it.
const PATIENCE: Duration = Duration::from_secs(120);

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

/// Builds and boots.
pub fn measure(root: &Path, checkouts: &[PathBuf]) -> Result<Vec<Series>> {
    setup::ensure()?;
    checkouts.iter().map(|folder| one(root, &Checkout::new(folder)?)).collect()
}

fn one(root: &Path, checkout: &Checkout) -> Result<Series> {
    let build = |left_out: usize| checkout.build(root, "size", &left_out.to_string(), &options(left_out));
    let folders = (0..=STEPS.len()).map(build).collect::<Result<Vec<PathBuf>>>()?;
    let builds = folders.iter().map(|folder| Build::read(folder)).collect::<Result<Vec<Build>>>()?;
    let ([whole, ..], [first, .., last]) = (folders.as_slice(), builds.as_slice()) else {
        return Err("no images".into());
    };
    Ok(Series {
        version: checkout.version.clone(),
        free: (free(root, &first.image)?, free(root, &last.image)?),
        stack: stack(&fs::read_to_string(whole.join(".config"))?),
        builds,
    })
}

fn stack(config: &str) -> u64 {
    let order = config.lines().find_map(|line| line.strip_prefix("CONFIG_STACK_SIZE_PAGE_ORDER="));
    4096 << order.and_then(|order| order.trim().parse::<u32>().ok()).unwrap_or(0)
}

/// The options of the image without the first so many of [`STEPS`].
fn options(left_out: usize) -> String {
    let mut text = String::from("CONFIG_LIBVFSCORE_AUTOMOUNT_CI_RAMFS=y\n");
    for (number, (option, _)) in STEPS.iter().enumerate() {
        match number < left_out {
            true => text.push_str(&format!("# CONFIG_{option} is not set\n")),
            false => text.push_str(&format!("CONFIG_{option}=y\n")),
        }
    }
    text
}

fn free(root: &Path, image: &Path) -> Result<u64> {
    let options = Options { initrd: None, ..Options::default() };
    let mut machine = Machine::start(root, image, &options)?;
    machine.wait_within(PATIENCE, "how much memory is free", |console| said(console).is_some())?;
    said(&machine.console()).ok_or_else(|| "the application says nothing of memory".into())
}

fn said(console: &str) -> Option<u64> {
    let (_, rest) = console.split_once("memory free: ")?;
    rest.split_once(" bytes")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{options, said, stack, STEPS};

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
        assert_eq!(stack("CONFIG_A=y\nCONFIG_STACK_SIZE_PAGE_ORDER=4\n"), 65_536);
        assert_eq!(said("booted\nmemory free: 4096 bytes\n"), Some(4096));
        assert_eq!(said("memory free: 40"), None);
    }
}
