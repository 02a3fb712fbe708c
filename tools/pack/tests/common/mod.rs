//! Compiling sources for tests.
#![allow(dead_code)]

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};
use ubpf_pack::Options;
use ubpf_rs::object::Object;

/// A compiler and how it is called.
#[derive(Clone)]
pub struct Compiler {
    command: &'static str,
    flags: Vec<&'static str>,
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.command, self.flags.join(" "))
    }
}

impl Compiler {
    pub fn clang(level: &'static str, cpu: &'static str) -> Compiler {
        let cpu: &'static str = ["-mcpu=v1", "-mcpu=v2", "-mcpu=v3"][usize::from(cpu.as_bytes()[1] - b'1')];
        Compiler { command: "clang", flags: vec!["-target", "bpf", "-g", level, cpu] }
    }

    fn gcc(level: &'static str) -> Compiler {
        Compiler { command: "bpf-gcc", flags: vec!["-gbtf", level] }
    }

    /// Whether it can compile calls through pointers.
    pub fn calls_pointers(&self) -> bool {
        self.command == "clang"
    }

    pub fn without_types(&self) -> Compiler {
        let mut one = self.clone();
        one.flags.retain(|flag| !flag.starts_with("-g"));
        one
    }
}

/// All of them.
pub fn compilers() -> Vec<Compiler> {
    let mut all = vec![Compiler::clang("-O2", "v1"), Compiler::clang("-O2", "v2")];
    all.extend(["-O1", "-O2", "-O3", "-Os"].map(|level| Compiler::clang(level, "v3")));
    all.extend(["-O1", "-O2", "-Os"].map(Compiler::gcc));
    all
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn run(compiler: &Compiler, input: &Path, flags: &[&str]) -> Option<Vec<u8>> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let stem = input.file_stem()?.to_string_lossy();
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{stem}-{}-{number}.o", std::process::id()));
    let mut command = Command::new(compiler.command);
    command.args(&compiler.flags).args(flags).arg("-Werror=implicit-function-declaration");
    command.arg("-I").arg(root().join("include")).arg("-c").arg(input).arg("-o").arg(&output);
    match command.status() {
        Ok(status) => assert!(status.success(), "{}: {compiler}", input.display()),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
            return None;
        }
    }
    let bytes = std::fs::read(&output).expect("the object");
    let _ = std::fs::remove_file(&output);
    Some(bytes)
}

/// The object of a source in `tests/objects`, where the compiler is there.
pub fn compile(compiler: &Compiler, name: &str) -> Option<Vec<u8>> {
    run(compiler, &root().join(format!("tests/objects/{name}.c")), &[])
}

/// The object of a text.
#[allow(dead_code)]
pub fn compile_text(compiler: &Compiler, folder: &Path, name: &str, text: &str, flags: &[&str]) -> Option<Vec<u8>> {
    let input = folder.join(format!("{name}-{}.c", std::process::id()));
    std::fs::write(&input, text).expect("the source");
    run(compiler, &input, flags)
}

/// The package of an object.
pub fn pack_with(bytes: &[u8], options: &Options) -> Result<Vec<u8>, String> {
    ubpf_pack::pack(bytes, &Options { name: "x.o".into(), ..options.clone() })
}

/// What is read of a package.
pub fn unpack(package: &[u8]) -> Object<'_> {
    Object::parse(package).expect("it was just written")
}
