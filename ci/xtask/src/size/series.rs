//! A series of images, each without one option more, built from a checkout of Unikraft.

use super::build::Build;
use crate::{
    qemu::{Machine, Options},
    setup,
    unikraft::Checkout,
    Result,
};
use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

/// Longest wait for the application to say it.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the application says first.
const BEGUN: &str = "begun\n";

/// What is left out, one after the other: the option, and what goes with it. One that ends with `=y` is switched on for that.
pub const STEPS: &[(&str, &str)] = &[
    ("LIBUBPF_RS_SYMBOLS", "names of functions"),
    ("LIBUBPF_RS_CAPI", "C interface"),
    ("LIBUBPF_RS_JIT", "compiler to machine code, and memory for that"),
    ("LIBUBPF_RS_PACKAGES", "packages and maps of any kind; interpreter, tracer and shell stay, and the verifier"),
    ("LIBUBPF_RS_TERSE=y", "sentences and line editing, which `ushell` has; the smallest that is useful stays"),
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
    /// Instructions of the guest from its start: to the first answer of the shell in the whole image, to rest in the last one.
    pub boot: (u64, u64),
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
    let [first, .., last] = builds.as_slice() else {
        return Err("no images".into());
    };
    Ok(Series {
        version: checkout.version.clone(),
        free: (free(root, &first.image)?, free(root, &last.image)?),
        boot: (boot(root, &first.image, true)?, boot(root, &last.image, false)?),
        builds,
    })
}

/// The options of the image without the first so many of [`STEPS`].
fn options(left_out: usize) -> String {
    let mut text = String::from("CONFIG_LIBVFSCORE_AUTOMOUNT_CI_RAMFS=y\n");
    for (number, (option, _)) in STEPS.iter().enumerate() {
        let is_left_out = number < left_out;
        let (option, is_set) = match option.strip_suffix("=y") {
            Some(option) => (option, is_left_out),
            None => (*option, !is_left_out),
        };
        match is_set {
            true => text.push_str(&format!("CONFIG_{option}=y\n")),
            false => text.push_str(&format!("# CONFIG_{option} is not set\n")),
        }
    }
    text
}

/// What is executed until the shell answers a client who was there before, or until the application has begun.
fn boot(root: &Path, image: &Path, has_shell: bool) -> Result<u64> {
    let options = Options { initrd: None, counted: true, ..Options::default() };
    let mut machine = Machine::start(root, image, &options)?;
    if has_shell {
        let mut shell = UnixStream::connect(&machine.socket)?;
        shell.set_read_timeout(Some(PATIENCE))?;
        shell.write_all(b"\n")?;
        shell.read_exact(&mut [0])?;
    } else {
        machine.wait_within(PATIENCE, "that the application began", |console| console.contains(BEGUN))?;
    }
    machine.instructions()
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
    use super::{options, said, STEPS};

    #[test]
    fn what_is_left_out_is_switched_off() {
        let all = options(0);
        let none = options(STEPS.len());
        for (option, _) in STEPS {
            let (with, without) = match option.strip_suffix("=y") {
                Some(option) => (format!("# CONFIG_{option} is not set\n"), format!("CONFIG_{option}=y\n")),
                None => (format!("CONFIG_{option}=y\n"), format!("# CONFIG_{option} is not set\n")),
            };
            assert!(all.contains(&with) && none.contains(&without), "{option}");
        }
        let one = options(1);
        assert!(one.contains("# CONFIG_LIBUBPF_RS_SYMBOLS is not set\n"));
        assert!(one.contains("CONFIG_LIBUBPF_RS_CAPI=y\n"));
    }

    #[test]
    fn what_unikraft_says_is_read() {
        assert_eq!(said("booted\nmemory free: 4096 bytes\n"), Some(4096));
        assert_eq!(said("memory free: 40"), None);
    }
}
