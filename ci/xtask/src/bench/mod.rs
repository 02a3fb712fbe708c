//! `cargo xtask bench`: the evaluations, measured in processes of their own, in turns, and written to `target/bench`.
//!
//! - `sample`: figures of several processes to medians, ranges and ratios.
//! - `results`: what is written, and what each figure must reach.
//! - `probes`, `engines`, `charges`, `answers`, `stacks`, `stubs`, `guest`: one evaluation each.

mod answers;
mod charges;
mod engines;
mod guest;
mod probes;
mod results;
mod sample;
mod stacks;
mod stubs;

use crate::{samples, setup, target, usage, Result};
use results::Figure;
use sample::Samples;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const USAGE: &str = "usage: cargo xtask bench [NAME...] [--doc] [--processes N] [--smoke]
  NAME         probes, engines, charges, answers, stacks, stubs, guest; without one, all of them
  --doc        write docs/performance.md and its pictures from the results that are there, after what was named was measured
  --processes  how many processes measure each figure, 9 unless told
  --smoke      a single short pass, to see that everything works; writes to target/bench/smoke";

/// How it is measured.
struct Plan {
    root: PathBuf,
    /// Where results go.
    folder: PathBuf,
    /// The measuring program for the tracer, which draws and writes as well.
    program: PathBuf,
    /// The one for the engines.
    engines: PathBuf,
    /// Processes per figure.
    processes: usize,
    /// Only to see that it works.
    smoke: bool,
}

type Group = (&'static str, fn(&Plan) -> Result<Vec<Figure>>);

/// The evaluations by name.
const GROUPS: &[Group] = &[
    ("probes", probes::run),
    ("engines", engines::run),
    ("charges", charges::run),
    ("answers", answers::run),
    ("stacks", stacks::run),
    ("stubs", stubs::run),
    ("guest", guest::run),
];

/// What the page shows, in `docs/img`.
const PICTURES: &[&str] = &["probes.svg", "programs.svg", "engines.svg", "jit.svg"];

/// `cargo xtask bench [NAME...]`
pub fn main(root: &Path, arguments: &[String]) -> Result<()> {
    let (mut names, mut doc, mut processes, mut smoke) = (Vec::new(), false, 9, false);
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        match argument {
            "--doc" => doc = true,
            "--smoke" => smoke = true,
            "--processes" => processes = rest.next().and_then(|n| n.parse().ok()).ok_or_else(|| usage(USAGE))?,
            name if GROUPS.iter().any(|group| group.0 == name) => names.push(name),
            _ => return Err(usage(USAGE)),
        }
    }
    setup::ensure_for_bench()?;
    let folder = target::folder(root, if smoke { "bench/smoke" } else { "bench" });
    fs::create_dir_all(&folder)?;
    let plan = Plan {
        root: root.into(),
        program: build(root, "ubpf-bench", &[])?,
        engines: build_engines(root)?,
        folder,
        processes: if smoke { 1 } else { processes.max(1) },
        smoke,
    };
    if !(doc && names.is_empty()) {
        measure(&plan, &names)?;
    }
    plot_and_document(&plan, doc)
}

/// The machine and the sources in a sentence each, for the page.
fn machine(root: &Path) -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = cpus
        .lines()
        .filter_map(|line| Some(line.strip_prefix("model name")?.trim_start_matches([' ', '\t', ':'])))
        .collect();
    let first_line = |command: &mut Command| {
        let text = output(command).unwrap_or_default();
        text.lines().next().unwrap_or("unknown").to_owned()
    };
    let version = |program: &str| first_line(Command::new(program).arg("--version"));
    let sources = first_line(Command::new("git").arg("-C").arg(root).args(["log", "-1", "--format=%h of %cs"]));
    format!(
        "Machine: {} x {}, virtual unless said otherwise; {}; {}; {}. Sources: {sources}.",
        models.len(),
        models.first().unwrap_or(&"unknown CPU"),
        version("gcc"),
        version("clang"),
        version("rustc"),
    )
}

fn measure(plan: &Plan, names: &[&str]) -> Result<()> {
    fs::write(plan.folder.join("machine.txt"), machine(&plan.root))?;
    samples::build(&plan.root)?;
    for (name, run) in GROUPS {
        if names.is_empty() || names.contains(name) {
            println!("== {name}");
            let figures = run(plan)?;
            figures.iter().for_each(|figure| println!("{figure}"));
            results::write(&plan.folder, name, &figures)?;
        }
    }
    results::join(&plan.folder, GROUPS.iter().map(|group| group.0))
}

fn plot_and_document(plan: &Plan, doc: bool) -> Result<()> {
    let results = plan.folder.join("results.json");
    setup::run(Command::new(&plan.program).arg("plot").arg(&results).arg(&plan.folder))?;
    println!("{}", results.display());
    if doc {
        let page = plan.root.join("docs/performance.md");
        setup::run(Command::new(&plan.program).arg("doc").arg(&results).arg(&page))?;
        println!("{}", page.display());
        let pictures = plan.root.join("docs/img");
        fs::create_dir_all(&pictures)?;
        for picture in PICTURES {
            fs::copy(plan.folder.join(picture), pictures.join(picture))?;
        }
    }
    Ok(())
}

/// Builds one of the measuring programs. Each by itself: together they would have the same options.
fn build(root: &Path, package: &str, more: &[&str]) -> Result<PathBuf> {
    let target = target::folder(root, "bench-build");
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--release", "--package", package]);
    command.args(more).current_dir(root.join("bench"));
    setup::run(command.env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join("release").join(package))
}

/// Without uBPF where that does not build.
fn build_engines(root: &Path) -> Result<PathBuf> {
    let package = "ubpf-bench-engines";
    build(root, package, &[]).or_else(|error| {
        println!("uBPF (crate libubpf-sys) does not build here and is left out: {error}");
        build(root, package, &["--no-default-features"])
    })
}

impl Plan {
    /// What so many processes of a measuring program print.
    fn sample(&self, program: &Path, arguments: &[&str]) -> Result<Samples> {
        let mut samples = Samples::default();
        for _ in 0..self.processes {
            samples.add(&output(Command::new(program).args(arguments))?)?;
        }
        Ok(samples)
    }

    /// The compiled sample programs.
    fn programs(&self) -> PathBuf {
        target::folder(&self.root, "bpf/O2")
    }
}

/// What a command prints; its failure is an error that names it.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output();
    let output = output.map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} ended with {}: {said}", output.status).into())
}

/// Instructions that a program executes, as callgrind counts them; `None` where valgrind is not installed.
fn instructions(program: &Path, options: &[&str], arguments: &[&str]) -> Result<Option<f64>> {
    if !setup::have("valgrind") {
        return Ok(None);
    }
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--smc-check=all"]);
    command.args(options).arg(program).args(arguments);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| line.split_once("Collected : "));
    match count.and_then(|(_, count)| count.trim().parse().ok()) {
        Some(count) if output.status.success() => Ok(Some(count)),
        _ => Err(format!("{command:?} ended with {}: {said}", output.status).into()),
    }
}
