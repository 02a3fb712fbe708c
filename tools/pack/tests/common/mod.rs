//! Compiling sources for tests.
#![allow(dead_code)]

#[path = "../../../../tests/objects/matrix.rs"]
mod matrix;

pub use matrix::Compiler;
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};
use ubpf_pack::Options;
use ubpf_rs::object::Object;

/// All of them.
pub fn compilers() -> Vec<Compiler> {
    let mut all = vec![Compiler::clang("-O2", "-mcpu=v1"), Compiler::clang("-O2", "-mcpu=v2")];
    all.extend(["-O1", "-O2", "-O3", "-Os"].map(|level| Compiler::clang(level, "-mcpu=v3")));
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
    let mut command = compiler.called(&root());
    command.args(flags).arg("-Werror=implicit-function-declaration").arg("-c").arg(input).arg("-o").arg(&output);
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
