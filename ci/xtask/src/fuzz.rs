//! `cargo xtask fuzz`: builds the fuzz targets with coverage counters (libFuzzer, stable Rust) and runs them.

use crate::{setup, target, usage, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// The targets, and mistakes that each must find when they are planted.
const TARGETS: [(&str, &[&str]); 7] = [
    (
        "soundness",
        &[
            "AddWraps",
            "HalfIsWhole",
            "AccessSize",
            "SignedLoad",
            "SameFrame",
            "BitwiseHalf",
            "PartialSpill",
            "JoinKeepsFirst",
            "WildStore",
            "RoomBeyond",
            "ShiftBeyond",
            "FewPasses",
            "ShiftedAlike",
            "ReachForgotten",
            "StaleRelation",
            "RemainderOfPart",
            "AnyEnd",
            "StraightRecursion",
            "AnyArgument",
            "FirstMap",
            "MovedNull",
            "NullBothSides",
            "StaleRecord",
            "HeldOnOneWay",
            "KeptWord",
        ],
    ),
    (
        "engines",
        &[
            "GuardSize",
            "WideMove",
            "ZeroFill",
            "ProbeLost",
            "CheapLoop",
            "LightOperation",
            "EndlessChain",
            "FreshBudget",
        ],
    ),
    (
        "direct",
        &["LostRegister", "OneArgument", "DirtyArgument", "OneCounted", "LightOperation", "WideKey", "RecordNotLent"],
    ),
    ("slow", &["FreeStates", "NoLimit", "WeightlessStates"]),
    ("package", &["OffsetBeyond", "MapBeyond", "MiddleOfWide", "TwoOfOneName", "KeyBeyond", "AnyInstruction"]),
    ("object", &["RelocationOutside", "NoSymbol", "SectionBeyond", "SharedBytes"]),
    (
        "maps",
        &[
            "OneSlot",
            "OldSlots",
            "NewestGoes",
            "PrefixUncut",
            "FlagsForgotten",
            "FewerBits",
            "SameHash",
            "StillHeld",
            "AnyInner",
            "NoGrace",
            "KeptPrograms",
        ],
    ),
];
/// What the compiler adds to each basic block and comparison.
const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];
/// The target that measures time is built without what costs time in each comparison and addition.
const TIMED: (&str, [&str; 6]) =
    ("slow", [FLAGS[0], FLAGS[1], FLAGS[2], "-Cdebug-assertions=off", "-Coverflow-checks=off", FLAGS[5]]);
/// The target that is given objects, and sources of `tests/objects` with something of everything that the packer reads.
const OBJECTS: (&str, [&str; 7]) = ("object", ["maps", "held", "core", "pointers", "packets", "callbacks", "externs"]);
/// A target of its own keeps the flags away from build scripts.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
const USAGE: &str =
    "usage: cargo xtask fuzz [soundness|engines|direct|slow|package|object|maps] [--seconds N] [--planted]";
/// Longest input in bytes, and seconds that one may take.
const INPUT: u32 = 400;
const PATIENCE: u32 = 20;

/// Runs one target, or each; with `--planted`, with one mistake after the other planted, each of which must be found.
pub fn main(root: &Path, arguments: &[String]) -> Result<()> {
    let (mut wanted, mut seconds, mut planted) = (None, 60, false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => {
                let number = arguments.next().and_then(|n| n.parse().ok());
                seconds = number.filter(|&n: &u32| n > 0).ok_or_else(|| usage(USAGE))?;
            }
            "--planted" => planted = true,
            name if TARGETS.iter().any(|t| t.0 == name) => wanted = Some(name),
            _ => return Err(usage(USAGE)),
        }
    }
    setup::ensure()?;
    let fuzz = Fuzz::build(root, wanted)?;
    let mut missed = Vec::new();
    for (name, mistakes) in TARGETS {
        if wanted.is_some_and(|wanted| wanted != name) {
            continue;
        }
        if planted {
            for mistake in mistakes {
                if !fuzz.find(name, mistake, seconds)? {
                    missed.push(format!("{name} does not find {mistake}"));
                }
            }
        } else {
            fuzz.run(name, seconds)?;
        }
    }
    match missed.is_empty() {
        true => Ok(()),
        false => Err(format!("in {seconds} s: {}", missed.join(", ")).into()),
    }
}

struct Fuzz {
    /// Where everything lies that is made on the way.
    folder: PathBuf,
}

impl Fuzz {
    /// Builds the targets, or the one that is wanted.
    fn build(root: &Path, wanted: Option<&str>) -> Result<Fuzz> {
        let fuzz = Fuzz { folder: target::folder(root, "fuzz") };
        for (target, _) in TARGETS {
            if wanted.is_some_and(|wanted| wanted != target) {
                continue;
            }
            let flags = if target == TIMED.0 { TIMED.1 } else { FLAGS };
            let mut build = Command::new(env!("CARGO"));
            build
                .args(["build", "--release", "--quiet", "--target", TRIPLE])
                .args(["--bin", target])
                .current_dir(root.join("fuzz"))
                .env("CARGO_TARGET_DIR", fuzz.built(target))
                .env_remove("RUSTFLAGS")
                .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
            setup::run(&mut build)?;
        }
        if wanted.is_none_or(|wanted| wanted == OBJECTS.0) {
            fuzz.compile_objects(root)?;
        }
        Ok(fuzz)
    }

    /// Compiles what the target of objects changes.
    fn compile_objects(&self, root: &Path) -> Result<()> {
        let folder = self.folder.join("objects");
        fs::create_dir_all(&folder)?;
        for source in OBJECTS.1 {
            let object = folder.join(source).with_extension("o");
            let mut clang = Command::new("clang");
            clang.args(["-target", "bpf", "-O2", "-g", "-mcpu=v3", "-c", "-I"]).arg(root.join("include"));
            clang.arg(root.join("tests/objects").join(source).with_extension("c")).arg("-o").arg(object);
            setup::run(&mut clang)?;
        }
        Ok(())
    }

    /// The build folder of a target.
    fn built(&self, target: &str) -> PathBuf {
        self.folder.join(if target == TIMED.0 { "timed" } else { "" })
    }

    /// A run of a target that keeps what it learns in `corpus`, and what fails under `found`.
    fn command(&self, target: &str, corpus: &str, found: &str, seconds: u32) -> Result<Command> {
        let (corpus, found) = (self.folder.join(corpus), self.folder.join(found));
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&found)?;
        let mut command = Command::new(self.built(target).join(TRIPLE).join("release").join(target));
        command
            .env("UBPF_OBJECTS", self.folder.join("objects"))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={INPUT}"))
            .arg(format!("-timeout={PATIENCE}"))
            .args(["-len_control=0", "-print_final_stats=1"])
            .arg(format!("-artifact_prefix={}/", found.display()))
            .arg(corpus);
        Ok(command)
    }

    fn run(&self, target: &str, seconds: u32) -> Result<()> {
        let corpus = format!("corpus/{target}");
        let found = format!("found/{target}");
        let output = self.command(target, &corpus, &found, seconds)?.stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            eprintln!("{text}");
            return Err(format!("{target} has a finding; the input is in {}", self.folder.join(found).display()).into());
        }
        let units = statistic(&text, "stat::number_of_executed_units:");
        let coverage = text.lines().rev().find_map(|line| {
            let (_, rest) = line.split_once(" cov: ")?;
            rest.split_whitespace().next()
        });
        println!(
            "fuzz {target}: {units} programs in {seconds} s, {} edges, no finding (seed {})",
            coverage.unwrap_or("?"),
            statistic(&text, "INFO: Seed:")
        );
        Ok(())
    }

    /// Plants a mistake and starts with nothing: whether it is found.
    fn find(&self, target: &str, mistake: &str, seconds: u32) -> Result<bool> {
        let corpus = format!("planted/{target}-{mistake}");
        let _ = fs::remove_dir_all(self.folder.join(&corpus));
        let start = Instant::now();
        let output = self
            .command(target, &corpus, "planted", seconds)?
            .env("UBPF_PLANT", mistake)
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        // A loop that is charged too little may also never end; a program without its argument touches what is not there.
        let found = ["panicked at", "libFuzzer: timeout", "deadly signal"];
        let found = !output.status.success() && found.iter().any(|sign| text.contains(sign));
        let units = statistic(&text, "stat::number_of_executed_units:");
        let took = start.elapsed().as_secs_f32();
        let seed = statistic(&text, "INFO: Seed:");
        let how = if found { "found" } else { "NOT FOUND" };
        println!("fuzz {target}: {mistake} {how} after {units} programs, {took:.1} s (seed {seed})");
        Ok(found)
    }
}

fn statistic<'t>(text: &'t str, name: &str) -> &'t str {
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    found.map_or("?", str::trim)
}

#[cfg(test)]
mod tests {
    use super::TARGETS;

    #[test]
    fn every_mistake_is_planted_for_a_target() {
        let source = include_str!("../../../lib-ubpf-rs/src/program/planted.rs");
        let (_, all) = source.split_once("pub const ALL").expect("the list of mistakes");
        let names = all.split("];").next().unwrap_or_default().split("Bug::").skip(1);
        let names: Vec<&str> = names.filter_map(|rest| rest.split(',').next()).collect();
        assert!(names.len() > 40, "{names:?}");
        for name in names {
            assert!(TARGETS.iter().any(|(_, mistakes)| mistakes.contains(&name)), "{name}");
        }
    }
}
