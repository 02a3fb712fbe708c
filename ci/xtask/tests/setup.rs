//! What a machine without clang sees: the chores run with a PATH of their own, which has nothing but what a test puts there.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

/// A folder as the only one on the PATH.
struct Machine(PathBuf);

impl Machine {
    fn new(name: &str) -> Machine {
        let folder = std::env::temp_dir().join(format!("setup-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Machine(folder)
    }

    /// Puts a shell script there.
    fn program(&self, name: &str, body: &str) {
        let path = self.0.join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn samples(&self) -> Output {
        self.xtask_samples().output().unwrap()
    }

    fn xtask_samples(&self) -> Command {
        let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
        // Nothing that was built before helps.
        xtask.arg("samples").env("PATH", &self.0).env("CARGO_TARGET_DIR", self.0.join("target"));
        xtask
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn who_may_not_install_is_told_the_one_command() {
    let machine = Machine::new("user");
    machine.program("id", "echo 1000");
    machine.program("apt-get", "echo must not run >&2; exit 1");
    for present in ["gcc", "g++", "make", "qemu-system-x86_64"] {
        machine.program(present, "exit 0");
    }
    let output = machine.samples();
    assert_eq!(
        complaint(&output),
        "clang is missing: it compiles programs for BPF\n\
         llvm-objcopy is missing: it takes the text out of objects\n\
         llvm-objdump is missing: it disassembles programs in tests\n\
         xtask: install what is missing, for instance with: sudo apt-get install -y clang llvm\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

/// The end is the same, whoever hears of it.
#[test]
fn a_full_standard_error_ends_no_chore() {
    let machine = Machine::new("full");
    machine.program("id", "echo 1000");
    let full = fs::File::create("/dev/full").unwrap();
    assert_eq!(machine.xtask_samples().stderr(full).status().unwrap().code(), Some(1));
}

/// A relative folder is that of whoever said it.
#[test]
fn what_is_built_lands_where_cargo_is_told_to_build() {
    let machine = Machine::new("target");
    let full = fs::File::create("/dev/full").unwrap();
    for output in [Stdio::piped(), full.into()] {
        let heard = fs::exists(machine.0.join("a b")).is_ok_and(|exists| !exists);
        let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
        xtask.arg("samples").env("CARGO_TARGET_DIR", "a b").current_dir(&machine.0).stdout(output);
        let done = xtask.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert!(done.status.success(), "{}", complaint(&done));
        let folder = machine.0.join("a b/bpf");
        assert!(folder.join("O2/count.bin").is_file());
        let said = if heard { format!("{}\n", folder.display()) } else { String::new() };
        assert_eq!(String::from_utf8_lossy(&done.stdout), said);
    }
}

#[test]
fn root_installs_what_is_missing() {
    let machine = Machine::new("root");
    machine.program("id", "echo 0");
    for present in ["gcc", "g++", "make", "qemu-system-x86_64"] {
        machine.program(present, "exit 0");
    }
    // Those of this machine come with it.
    let (here, path) = (machine.0.display(), std::env::var("PATH").unwrap());
    let install = format!(
        "echo \"$@\" >> {here}/called\n\
         if [ \"$1\" = install ]; then for p in clang llvm-objcopy llvm-objdump; do \
         /bin/ln -s \"$(PATH='{path}' command -v $p)\" {here}/$p; done; fi"
    );
    machine.program("apt-get", &install);
    let output = machine.samples();
    assert!(output.status.success(), "{}", complaint(&output));
    assert!(complaint(&output).contains("installing: apt-get install -y clang llvm\n"));
    let called = fs::read_to_string(machine.0.join("called")).unwrap();
    // The first call asks whether it is there.
    let calls = ["--version", "update", "install -y --no-install-recommends clang llvm"];
    assert_eq!(called.lines().collect::<Vec<_>>(), calls);
}

#[test]
fn an_installation_that_fails_ends_with_the_command_for_it() {
    let machine = Machine::new("offline");
    machine.program("id", "echo 0");
    machine.program("apt-get", "[ \"$1\" = --version ]");
    let output = machine.samples();
    let said = complaint(&output);
    let last = said.lines().last().unwrap_or_default();
    assert!(last.ends_with("with: apt-get install -y clang g++ gcc libc6-dev llvm make qemu-system-x86"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

/// Whatever is not understood is said, before anything is built.
#[test]
fn no_argument_is_passed_over() {
    let machine = Machine::new("arguments");
    for (line, words, status) in [
        ("demo --smp 0", "--smp: 1 to 255 CPUs", 64),
        ("demo --smp", "--smp needs a value", 64),
        ("demo --accel fast", "--accel: tcg or kvm, not fast", 64),
        ("demo --linux --smp 2", "--accel and --smp are for QEMU", 64),
        ("demo --what", "unknown option --what", 64),
        ("test fast", "unknown argument fast", 64),
        ("samples all", "unknown argument all", 64),
        ("bad-input --what", "unknown argument --what", 64),
        ("what", "usage: cargo xtask COMMAND", 64),
    ] {
        let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
        xtask.args(line.split(' ')).env("PATH", &machine.0);
        let output = xtask.output().unwrap();
        assert!(complaint(&output).contains(words), "{line}: {}", complaint(&output));
        assert_eq!(output.status.code(), Some(status), "{line}");
    }
}
