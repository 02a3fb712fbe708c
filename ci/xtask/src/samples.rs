//! The sample programs: C to flat BPF text, once unoptimised and once optimised.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Where the sources are; both folders hold one program a file.
const SOURCES: &[&str] = &["app-demo/bpf", "app-demo/bpf/uio"];
/// Folder below `target/bpf` and compiler option of each build.
const LEVELS: &[&str] = &["O0", "O2"];

/// Compiles every sample into `target/bpf/{O0,O2}/NAME.bin`.
pub fn build(root: &Path) -> Result<()> {
    for level in LEVELS {
        let out = root.join("target/bpf").join(level);
        fs::create_dir_all(&out)?;
        for folder in SOURCES {
            for entry in fs::read_dir(root.join(folder))? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "c") {
                    compile(root, &path, level, &out)?;
                }
            }
        }
    }
    Ok(())
}

fn compile(root: &Path, source: &Path, level: &str, out: &Path) -> Result<()> {
    let name = source.file_stem().ok_or("a sample without a name")?;
    let object = out.join(name).with_extension("o");
    let mut clang = Command::new("clang");
    clang.args(["-target", "bpf", "-ffreestanding", "-Wall", "-Werror", "-c"]);
    clang
        .arg(format!("-{level}"))
        .arg("-I")
        .arg(root.join("include"));
    run(clang.arg(source).arg("-o").arg(&object))?;
    let mut objcopy = Command::new("llvm-objcopy");
    objcopy.args(["-O", "binary", "--only-section=.text"]);
    run(objcopy.arg(&object).arg(object.with_extension("bin")))
}

/// Runs a command to its end; one that fails, or cannot be started, is an error that names it.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .map_err(|error| format!("{command:?}: {error}; apt-get install clang llvm gcc"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?}: {status}").into())
    }
}
