//! Compiles the programs of the tools that `ushell` brings, each a source of `app-demo/bpf/tools`. Without a compiler `ushell` is built all the
//! same, and its tools say what is missing.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    let own = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let root = own.join("..");
    let (sources, headers) = (root.join("app-demo/bpf/tools"), root.join("include"));
    println!("cargo:rerun-if-changed={}", sources.display());
    println!("cargo:rerun-if-changed={}", headers.join("bpf").display());
    println!("cargo:rerun-if-env-changed=UBPF_CLANG");
    let objects = match objects(&sources, &headers, &out) {
        Ok(names) => {
            let each = names.iter().map(|name| format!("({name:?}, include_bytes!({:?})),", format!("{name}.o")));
            format!("Ok(&[{}])", each.collect::<String>())
        }
        Err(reason) => {
            println!("cargo:warning=the tools of ushell are left out: {reason}");
            // A compiler that comes later is found: a file that is not there has always changed.
            println!("cargo:rerun-if-changed={}", out.join("no compiler").display());
            format!("Err({reason:?})")
        }
    };
    let text = format!("/// Names and bytes of the objects, or why there are none.\npub const OBJECTS: Result<&[(&str, &[u8])], &str> = {objects};\n");
    fs::write(out.join("objects.rs"), text).expect("the build's folder can be written");
}

/// Compiles each source; the names of the objects.
fn objects(sources: &Path, headers: &Path, out: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(sources).map_err(|error| format!("{}: {error}", sources.display()))?;
    let mut names = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "c") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            compile(&path, headers, &out.join(&name).with_extension("o"))?;
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn compile(source: &Path, headers: &Path, object: &Path) -> Result<(), String> {
    let clang = env::var("UBPF_CLANG").unwrap_or_else(|_| "clang".into());
    let mut command = Command::new(&clang);
    command.args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]);
    command.arg("-I").arg(headers).arg("-c").arg(source).arg("-o").arg(object);
    let done = command.output().map_err(|error| format!("{clang}: {error}"))?;
    match done.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&done.stderr);
            Err(format!("{clang} does not compile {}: {}", source.display(), said.lines().next().unwrap_or("")))
        }
    }
}
