//! `cargo xtask headers [--check]`: the C headers from the Rust sources. With `--check` nothing is written, and a header that
//! differs is an error.

use std::{fs, path::Path};

/// Crates with a C interface, the files it is in, and the header made from them.
const HEADERS: &[(&str, &[&str], &str)] = &[("lib-ushell-rs", &["src/ffi.rs"], "include/ushell.h")];

pub fn main(root: &Path, arguments: &[String]) -> Result<(), String> {
    let check = match arguments {
        [] => false,
        [check] if check == "--check" => true,
        _ => return Err("usage: cargo xtask headers [--check]".into()),
    };
    for (folder, sources, header) in HEADERS {
        let text = generate(&root.join(folder), sources)?;
        let path = root.join(header);
        if !check {
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        } else if fs::read_to_string(&path).unwrap_or_default() != text {
            return Err(format!(
                "{header} is not what the sources say: run cargo xtask headers"
            ));
        }
    }
    Ok(())
}

fn generate(folder: &Path, sources: &[&str]) -> Result<String, String> {
    let mut builder = cbindgen::Builder::new()
        .with_config(cbindgen::Config::from_file(folder.join("cbindgen.toml"))?);
    for source in sources {
        builder = builder.with_src(folder.join(source));
    }
    let bindings = builder
        .generate()
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).map_err(|error| error.to_string())
}
