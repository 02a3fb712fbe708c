//! The demo on Linux: builds the application with entry stubs of one kind, starts it, and connects to its shell.

use crate::{objects, qemu, samples, setup, target, tour, usage, Result};
use std::{
    fs::{self, File},
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    thread,
    time::{Duration, Instant},
};

/// A compiler with the flags of one kind of entry stub.
pub struct Stubs {
    /// Name for messages and folders.
    pub name: &'static str,
    compiler: &'static str,
    flags: &'static [&'static str],
}

/// Every kind of entry stub that each compiler offers. gcc records no mcount sites in position-independent code.
pub const STUBS: &[Stubs] = &[
    Stubs { name: "gcc-patchable", compiler: "gcc", flags: &["-fpatchable-function-entry=5"] },
    Stubs {
        name: "gcc-mfentry",
        compiler: "gcc",
        flags: &["-pg", "-mfentry", "-mrecord-mcount", "-mnop-mcount", "-fno-pie"],
    },
    Stubs {
        name: "gcc-pg",
        compiler: "gcc",
        flags: &["-pg", "-mrecord-mcount", "-mnop-mcount", "-fno-pie", "-fno-omit-frame-pointer"],
    },
    Stubs { name: "gcc-instrument", compiler: "gcc", flags: &["-finstrument-functions"] },
    Stubs { name: "clang-patchable", compiler: "clang", flags: &["-fpatchable-function-entry=5"] },
    Stubs { name: "clang-instrument", compiler: "clang", flags: &["-finstrument-functions"] },
];

/// `cargo xtask demo [--linux] [--script | --serve] [--accel tcg|kvm] [--smp N]`
pub fn main(root: &Path, given: &[String]) -> Result<()> {
    let mut options = qemu::Options::default();
    let arguments = &qemu::machine_options(given, &mut options)?;
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let known = ["--linux", "--script", "--serve"];
    if let Some(other) = arguments.iter().find(|a| !known.contains(&a.as_str())) {
        return Err(usage(format!("demo: unknown option {other}")));
    }
    let shown = match (has("--script"), has("--serve")) {
        (true, true) => return Err(usage("demo: --script or --serve, not both")),
        (true, false) => Shown::Tour,
        (false, true) => Shown::Socket,
        (false, false) => Shown::Shell,
    };
    if has("--linux") && arguments.len() < given.len() {
        return Err(usage("demo: --accel and --smp are for QEMU, not for --linux"));
    }
    setup::ensure()?;
    if shown != Shown::Tour {
        // So that nobody waits for it when the application runs.
        build_ushell(root)?;
    }
    if has("--linux") {
        let stubs = STUBS.first().ok_or("no kind of entry stub")?;
        let mut demo = Demo::start(root, stubs, 1000)?;
        let target = demo.target();
        return present(root, &target, shown, &mut || Ok(demo.child.try_wait()?.is_some()));
    }
    let (mut machine, target) = machine(root, options)?;
    present(root, &target, shown, &mut || Ok(machine.wait(Duration::from_millis(2))?.is_some()))
}

/// What is done with a demo that runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Its shell.
    Shell,
    /// The tour.
    Tour,
    /// Only where its shell is: others talk to it.
    Socket,
}

/// The freestanding image in QEMU, with the samples in its initrd.
fn machine(root: &Path, options: qemu::Options) -> Result<(qemu::Machine, tour::Target)> {
    let programs = samples::build(root)?.join("O0");
    let machine = qemu::stage(root, options)?;
    let (socket, console) = (machine.socket.clone(), machine.console.clone());
    Ok((machine, tour::Target { socket, console, programs }))
}

/// The tour in QEMU, on one CPU and on two.
pub fn tours_in_qemu(root: &Path) -> Result<()> {
    setup::ensure()?;
    (1..=2).try_for_each(|cpus| tour_in_qemu(root, cpus))
}

/// The tour in QEMU, on so many CPUs.
fn tour_in_qemu(root: &Path, cpus: u32) -> Result<()> {
    println!("== tour in QEMU, {cpus} CPU(s)");
    let options = qemu::Options { cpus, command_line: "-- 250".into(), ..qemu::Options::default() };
    let (machine, target) = machine(root, options)?;
    tour::run(&target)?;
    match cpus {
        1 => objects::run(root, &target.socket, objects::Sent::Packages)?,
        _ => qemu::second_cpu_is_traced(&machine)?,
    }
    qemu::sealed_code_is_walked(&machine)
}

fn present(
    root: &Path,
    target: &tour::Target,
    shown: Shown,
    has_ended: &mut dyn FnMut() -> Result<bool>,
) -> Result<()> {
    match shown {
        Shown::Tour => tour::run(target),
        Shown::Shell => interactive(root, target),
        Shown::Socket => serve(target, has_ended),
    }
}

/// Lets it run until it ends, or until Enter is pressed.
fn serve(target: &tour::Target, has_ended: &mut dyn FnMut() -> Result<bool>) -> Result<()> {
    println!("The demo application runs; its console goes to {}", target.console.display());
    println!("Its shell is at {}: for ushell in another terminal", target.socket.display());
    let pressed = Arc::new(AtomicBool::new(false));
    if io::stdin().is_terminal() {
        println!("Enter ends it");
        let pressed = pressed.clone();
        thread::spawn(move || {
            // A terminal that is gone ends it, too.
            let _ = io::stdin().read_line(&mut String::new());
            pressed.store(true, Ordering::Relaxed);
        });
    }
    while !pressed.load(Ordering::Relaxed) {
        if has_ended()? {
            return Err("the demo has ended by itself".into());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The tour with every kind of stub. Gives how many passed.
pub fn tours(root: &Path) -> Result<usize> {
    for stubs in STUBS {
        println!("== tour on Linux: {}", stubs.name);
        let demo = Demo::start(root, stubs, 250)?;
        tour::run(&demo.target()).map_err(|error| format!("{}: {error}", stubs.name))?;
    }
    Ok(STUBS.len())
}

/// A running demo application; ended when dropped.
pub struct Demo {
    child: Child,
    folder: PathBuf,
    programs: PathBuf,
}

impl Demo {
    /// Builds and starts the application; `period_ms` is the pause between two calls of `myfun`.
    pub fn start(root: &Path, stubs: &Stubs, period_ms: u32) -> Result<Demo> {
        let programs = samples::build(root)?.join("O0");
        let folder = target::folder(root, "demo").join(stubs.name);
        let application = build(root, stubs, &folder)?;
        let files = folder.join("files");
        fs::create_dir_all(&files)?;
        for (name, contents) in samples::files(&programs)? {
            fs::write(files.join(name), contents)?;
        }
        let socket = folder.join("ushell.sock");
        let _ = fs::remove_file(&socket);
        let console = File::create(folder.join("console.log"))?;
        let mut command = Command::new(application);
        command.arg(&socket).arg(period_ms.to_string()).current_dir(&files);
        let child = command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console).spawn()?;
        let demo = Demo { child, folder, programs };
        demo.wait_for_socket()?;
        Ok(demo)
    }

    fn wait_for_socket(&self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if self.target().socket.exists() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        let said = fs::read_to_string(self.target().console).unwrap_or_default();
        Err(format!("the demo application did not open its shell; it said: {said}").into())
    }

    /// Where the tour finds it.
    pub fn target(&self) -> tour::Target {
        tour::Target {
            socket: self.folder.join("ushell.sock"),
            console: self.folder.join("console.log"),
            programs: self.programs.clone(),
        }
    }
}

/// The shell in the foreground, the application's console lines above its prompt.
fn interactive(root: &Path, target: &tour::Target) -> Result<()> {
    println!("The demo application runs; its console lines are marked with `|`.");
    println!("Its shell is at {}, and has one client at a time: this prompt", target.socket.display());
    println!("Try: help, bpf_attach myfun count.bin, bpf_exec get_count.bin myfun, funccount 'my*', quit");
    let mut shell = ushell(root, "run");
    shell.args(["--quiet", "--"]).arg(&target.socket);
    shell.arg("--console").arg(&target.console);
    match shell.status()?.code() {
        Some(0) => return Ok(()),
        Some(1) => return Err("a command of the script failed".into()),
        _ => {}
    }
    let console = fs::read_to_string(&target.console).unwrap_or_default();
    let lines: Vec<&str> = console.lines().collect();
    let last = &lines[lines.len().saturating_sub(10)..];
    Err(format!("the conversation broke off; the console's last lines:\n{}", last.join("\n")).into())
}

/// Builds `ushell`; where it lies.
pub fn build_ushell(root: &Path) -> Result<PathBuf> {
    setup::run(ushell(root, "build").args(setup::loudness()))?;
    Ok(target::folder(root, "debug/ushell"))
}

/// `cargo build` or `cargo run` of the tool that talks to the shell.
fn ushell(root: &Path, action: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    let package = ["--package", "ubpf-tools", "--bin", "ushell"];
    cargo.arg(action).args(package).current_dir(root);
    cargo
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Ending a process that has ended is no error worth telling.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn build(root: &Path, stubs: &Stubs, folder: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--package", "ubpf-platform-linux", "--lib"]).args(setup::loudness()).current_dir(root);
    setup::run(&mut cargo)?;
    fs::create_dir_all(folder)?;
    let application = folder.join("app-demo");
    let mut compiler = Command::new(stubs.compiler);
    compiler.args(["-O2", "-g", "-Wall", "-Wextra", "-Werror"]).args(stubs.flags);
    compiler.arg("-DUBPF_DEMO_LINUX").arg("-I").arg(root.join("include"));
    compiler.arg(root.join("app-demo/main.c")).arg("-o").arg(&application);
    compiler.arg(target::folder(root, "debug/libubpf_platform_linux.a"));
    compiler.args(["-lpthread", "-ldl", "-lm", "-Wl,-z,nostart-stop-gc"]);
    if stubs.flags.contains(&"-fno-pie") {
        compiler.arg("-no-pie");
    }
    setup::run(&mut compiler)?;
    Ok(application)
}
