//! The freestanding image: build it, start it in QEMU, prove what it promises.
//!
//! - `image`: cargo, and the symbol table that is filled after linking.
//! - `machine`: QEMU with the image in it.
//! - `proofs`: what the image proves of itself.
//! - `bench`: its figures; `gaps`: how long a command keeps the application from the CPU.
//! - `tools`: what the tools of `ushell` say of it.
//! - `abuse`: bad input from every side; `cuts`: clients that leave after every byte; `sessions`: rude clients by the thousand.

mod abuse;
mod bench;
mod cuts;
mod gaps;
mod image;
mod machine;
mod proofs;
mod sessions;
mod tools;

use crate::{samples, setup, target, usage, Result};
pub use bench::stripped_bytes;
pub use machine::{archive, Accel, Machine, Options};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use ubpf_client::text::TextClient;

/// Exit status of QEMU when the application ended well (see `Exit` in platforms/qemu/src/fault.rs).
const EXIT_SUCCESS: i32 = 33;
const EXIT_FAILURE: i32 = 35;
const EXIT_FAULT: i32 = 37;

/// CPUs that QEMU's machine can have; the image uses two.
const MOST_CPUS: u32 = 255;

/// Rude sessions among the tests; `cargo xtask qemu sessions N` plays more.
const SESSIONS: u64 = 400;

const USAGE: &str =
    "usage: cargo xtask qemu build | test | tour | bench | gaps | tools | sessions N | run [--accel tcg|kvm] [--smp N]";

/// `cargo xtask qemu build|test|bench|gaps|sessions|run`: `run` leaves the console in the terminal. The tour is the demo's.
pub fn main(root: &Path, arguments: &[String]) -> Result<()> {
    setup::ensure()?;
    let (command, rest) = arguments.split_first().ok_or_else(|| usage(USAGE))?;
    if !matches!(command.as_str(), "run" | "sessions") && !rest.is_empty() {
        return Err(usage(USAGE));
    }
    match command.as_str() {
        "build" => image::build(root).map(drop),
        "test" => test(root),
        "bench" => bench::run(root, &image::build(root)?),
        "gaps" => {
            let image = image::build(root)?;
            gaps::interrupts(root, &image)?;
            gaps::run(root, &image)
        }
        "tools" => tools::run(root, &image::build(root)?),
        "sessions" => {
            let count = match rest {
                [count] => count.parse().ok(),
                _ => None,
            };
            let count = count.ok_or_else(|| usage("qemu sessions: how many?"))?;
            sessions::run(root, &image::build(root)?, count)
        }
        "run" => {
            let mut options = Options { initrd: Some(sample_files(root)?), ..Options::default() };
            if let [option, ..] = machine_options(rest, &mut options)?.as_slice() {
                return Err(usage(format!("qemu run: unknown option {option}")));
            }
            Machine::foreground(root, &image::build(root)?, &options)
        }
        _ => Err(usage(USAGE)),
    }
}

/// `cargo xtask gaps UK_ROOT...`
pub fn gaps(root: &Path, arguments: &[String]) -> Result<()> {
    if arguments.is_empty() {
        return Err(usage("usage: cargo xtask gaps UK_ROOT..."));
    }
    setup::ensure()?;
    arguments.iter().try_for_each(|folder| gaps::in_unikraft(root, Path::new(folder)))
}

/// Takes `--accel tcg|kvm` and `--smp N` out of the arguments; gives the others.
pub fn machine_options(arguments: &[String], options: &mut Options) -> Result<Vec<String>> {
    let (mut others, mut rest) = (Vec::new(), arguments.iter());
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| usage(format!("{argument} needs a value")));
        match argument.as_str() {
            "--accel" => {
                options.accel = match value()?.as_str() {
                    "tcg" => Accel::Tcg,
                    "kvm" => Accel::Kvm,
                    other => return Err(usage(format!("--accel: tcg or kvm, not {other}"))),
                }
            }
            "--smp" => {
                let cpus = value()?.parse().ok();
                let cpus = cpus.filter(|cpus| (1..=MOST_CPUS).contains(cpus));
                options.cpus = cpus.ok_or_else(|| usage(format!("--smp: 1 to {MOST_CPUS} CPUs")))?;
            }
            _ => others.push(argument.clone()),
        }
    }
    Ok(others)
}

/// Everything that the image is held to.
fn test(root: &Path) -> Result<()> {
    let image = image::build(root)?;
    bench::check_sizes(root, &image)?;
    proofs::run(root, &image)?;
    proofs::run_inside(root, &image::build_tests(root)?)?;
    let stage = abuse::Stage { root, image: &image };
    abuse::run(&stage)?;
    cuts::run(&stage)?;
    gaps::run(root, &image)?;
    gaps::interrupts(root, &image)?;
    tools::run(root, &image)?;
    sessions::run(root, &image, SESSIONS)
}

/// Builds the image.
pub fn build_image(root: &Path) -> Result<PathBuf> {
    image::build(root)
}

/// The image with the sample programs in its initrd.
pub fn stage(root: &Path, options: Options) -> Result<Machine> {
    let image = image::build(root)?;
    let options = Options { initrd: Some(sample_files(root)?), ..options };
    Machine::start(root, &image, &options)
}

/// With a compiled program attached there is generated code, and nothing is writable and executable; what programs leave
/// behind does not grow, however often they come and go.
pub fn sealed_code_is_walked(machine: &Machine) -> Result<()> {
    let mut client = TextClient::at_prompt(&machine.socket)?;
    let mut come_and_go = || -> Result<(u64, u64)> {
        client.expect("bpf_attach myfun count.bin --engine jit", "attached successfully")?;
        let with = generated_kib(&client.command("pages")?)?;
        client.expect("bpf_detach myfun", "detached successfully")?;
        Ok((with, generated_kib(&client.command("pages")?)?))
    };
    let (with, without) = come_and_go()?;
    for _ in 0..20 {
        if come_and_go()? != (with, without) {
            return Err("generated code grows with programs that come and go".into());
        }
    }
    match with > 0 && without <= with {
        true => Ok(()),
        false => Err(format!("generated code: {with} KiB, after detach {without} KiB").into()),
    }
}

/// What `pages` says of generated code, where it finds nothing writable and executable.
fn generated_kib(answer: &str) -> Result<u64> {
    let number = answer
        .lines()
        .find_map(|line| line.strip_prefix("generated code, read and execute: "))
        .and_then(|rest| rest.strip_suffix(" KiB")?.parse().ok());
    match number {
        Some(kib) if answer.contains("writable and executable: none") => Ok(kib),
        _ => Err(format!("`pages` answered {answer:?}").into()),
    }
}

/// A function that only the second CPU runs is counted while a program is attached, and no longer.
pub fn second_cpu_is_traced(machine: &Machine) -> Result<()> {
    let mut client = TextClient::at_prompt(&machine.socket)?;
    let function = "second_cpu_work";
    client.expect(&format!("bpf_attach {function} count.bin"), "attached successfully")?;
    let count = |client: &mut TextClient| client.number(&format!("bpf_exec get_count.bin {function}"));
    let first = count(&mut client)?;
    let begin = Instant::now();
    while count(&mut client)? <= first {
        if begin.elapsed() > Duration::from_secs(20) {
            return Err("the second CPU's function is not counted".into());
        }
    }
    client.expect(&format!("bpf_detach {function}"), "detached successfully")?;
    let last = count(&mut client)?;
    std::thread::sleep(Duration::from_millis(100));
    match count(&mut client)? {
        same if same == last => Ok(()),
        more => Err(format!("{} calls were counted after the detach", more - last).into()),
    }
}

/// An initrd with the compiled sample programs.
fn sample_files(root: &Path) -> Result<Vec<u8>> {
    let programs = samples::build(root)?.join("O0");
    Ok(archive(&samples::files(&programs)?))
}

fn folder(root: &Path) -> PathBuf {
    target::folder(root, "qemu")
}
