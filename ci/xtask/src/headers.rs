//! `cargo xtask headers [--check]`: the C headers from the Rust sources, and the Rust declarations from the C headers that
//! platforms implement. With `--check` nothing is written, and a file that differs is an error.

use crate::Result;
use std::{fs, path::Path};

/// Crates with a C interface, the files it is in, and the header made from them.
const HEADERS: &[(&str, &[&str], &str)] = &[
    (
        "lib-ubpf-rs",
        &[
            "src/ffi/codes.rs",
            "src/ffi/args.rs",
            "src/ffi/engine.rs",
            "src/ffi/programs.rs",
            "src/ffi/trace.rs",
        ],
        "include/ubpf_rs.h",
    ),
    ("lib-ushell-rs", &["src/ffi.rs"], "include/ushell_rs.h"),
];

/// C headers that something below the libraries implements, and the Rust declarations made from them.
const BINDINGS: &[(&str, &str)] = &[("include/ubpf/platform.h", "lib-ubpf-rs/src/ffi/bindings.rs")];

pub fn main(root: &Path, arguments: &[String]) -> Result<()> {
    let check = match arguments {
        [] => false,
        [check] if check == "--check" => true,
        _ => return Err("usage: cargo xtask headers [--check]".into()),
    };
    for (folder, sources, header) in HEADERS {
        put(root, header, &generate(&root.join(folder), sources)?, check)?;
    }
    for (header, bindings) in BINDINGS {
        put(root, bindings, &bind(root, header)?, check)?;
    }
    Ok(())
}

/// Writes or compares one file.
fn put(root: &Path, file: &str, text: &str, check: bool) -> Result<()> {
    let path = root.join(file);
    if !check {
        return fs::write(&path, text).map_err(|error| format!("{file}: {error}").into());
    }
    if fs::read_to_string(&path).unwrap_or_default() == text {
        return Ok(());
    }
    Err(format!("{file} is not what the sources say: run cargo xtask headers").into())
}

/// The C header of a crate.
pub fn generate(folder: &Path, sources: &[&str]) -> Result<String> {
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
    Ok(String::from_utf8(text)?)
}

/// The Rust declarations of a C header: those of the file itself, not of what it includes.
fn bind(root: &Path, header: &str) -> Result<String> {
    let path = root.join(header);
    let path = path
        .to_str()
        .ok_or("the path of the sources is not UTF-8")?;
    let text = bindgen::Builder::default()
        .header(path)
        .allowlist_file(path)
        .use_core()
        .generate_comments(false)
        .derive_debug(false)
        .formatter(bindgen::Formatter::Rustfmt)
        .disable_header_comment()
        .raw_line(format!("// Made from {header} by `cargo xtask headers`."))
        .generate()?
        .to_string();
    Ok(text)
}
