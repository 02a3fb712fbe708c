//! C and C++ programs that link the archive as a user does, and what they say.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Once,
};

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("ubpf-linux-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap();
        path
    }

    /// Compiles sources of this folder, with the flags that a user is told, and links the archive.
    pub fn build(&self, sources: &[&str], flags: &[&str]) -> PathBuf {
        let program = self.0.join("program");
        let compiler = if sources.iter().any(|s| s.ends_with(".cc")) { "g++" } else { "gcc" };
        let mut build = Command::new(compiler);
        build.args(["-fpatchable-function-entry=5", "-I"]).arg(root().join("include"));
        build.args(flags).args(sources).arg("-o").arg(&program);
        build.arg(archive()).args(["-lpthread", "-ldl", "-lm"]);
        let done = build.current_dir(&self.0).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
        program
    }

    /// Runs the program there.
    pub fn run(&self, program: &Path, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.0).stdin(Stdio::null());
        command.output().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap().into()
}

/// Engine, platform and shell as one archive, beside the tests.
fn archive() -> PathBuf {
    static ONCE: Once = Once::new();
    let tests = std::env::current_exe().unwrap();
    let target = tests.ancestors().nth(3).unwrap().to_path_buf();
    ONCE.call_once(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "ubpf-platform-linux", "--lib"]);
        let done = cargo.arg("--target-dir").arg(&target).current_dir(root()).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
    });
    target.join("debug/libubpf_platform_linux.a")
}
