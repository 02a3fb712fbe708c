//! `cargo xtask headers [--check]`: the C headers from the Rust sources, and the Rust declarations from the C headers that
//! platforms implement. With `--check` nothing is written, and a file that differs is an error.

use crate::Result;
use std::{fs, path::Path};

/// Crates with a C interface, the files it is in, and the header made from them.
const HEADERS: &[(&str, &[&str], &str)] = &[
    (
        "lib-ubpf-rs",
        &["src/ffi/codes.rs", "src/ffi/args.rs", "src/ffi/engine.rs", "src/ffi/programs.rs", "src/ffi/trace.rs"],
        "include/ubpf_rs.h",
    ),
    ("lib-ushell-rs", &["src/ffi/codes.rs", "src/ffi/session.rs", "src/ffi/command.rs"], "include/ushell_rs.h"),
];

/// C headers that something below the libraries implements, and the Rust declarations made from them.
const BINDINGS: &[(&str, &str)] = &[
    ("include/ubpf/platform.h", "lib-ubpf-rs/src/ffi/bindings.rs"),
    ("platforms/unikraft/ukglue.h", "platforms/unikraft/src/bindings.rs"),
];

/// What programs in C include.
pub const FOR_C: &[&str] = &[
    "ubpf_rs.h",
    "ushell_rs.h",
    "ubpf_linux.h",
    "ubpf/platform.h",
    "ubpf/classic/bpf_helpers.h",
    "ubpf/classic/config.h",
    "ubpf/uio/bpf_helpers.h",
];

/// What the C code of a Unikraft image may call: Unikraft keeps other symbols of the library to itself.
const EXPORTS: &str = "exportsyms.uk";

pub fn main(root: &Path, arguments: &[String]) -> Result<()> {
    let check = match arguments {
        [] => false,
        [check] if check == "--check" => true,
        _ => return Err("usage: cargo xtask headers [--check]".into()),
    };
    for (folder, sources, header) in HEADERS {
        put(root, header, &generate(&root.join(folder), sources)?, check)?;
    }
    put(root, EXPORTS, &exports(root)?, check)?;
    for (header, bindings) in BINDINGS {
        put(root, bindings, &bind(root, header)?, check)?;
    }
    Ok(())
}

/// The functions of all headers, one a line.
fn exports(root: &Path) -> Result<String> {
    let mut text = String::from("# The C interface: made from include/ by `cargo xtask headers`.\n");
    for (_, _, header) in HEADERS {
        for name in functions(&fs::read_to_string(root.join(header))?) {
            text.push_str(name);
            text.push('\n');
        }
    }
    Ok(text)
}

/// Names of the functions that a generated header declares: what stands before the bracket of a line that starts a
/// declaration.
pub fn functions(header: &str) -> impl Iterator<Item = &str> {
    header.lines().filter_map(|line| {
        let starts = line.starts_with(|c: char| c.is_ascii_lowercase());
        let declaration = starts && !line.starts_with("typedef") && !line.starts_with("extern");
        let (before, _) = line.split_once('(').filter(|_| declaration)?;
        before.rsplit([' ', '*']).next()
    })
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
    let mut builder = cbindgen::Builder::new().with_config(cbindgen::Config::from_file(folder.join("cbindgen.toml"))?);
    for source in sources {
        builder = builder.with_src(folder.join(source));
    }
    let bindings = builder.generate().map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    Ok(String::from_utf8(text)?)
}

/// The Rust declarations of a C header: those of the file itself, not of what it includes.
fn bind(root: &Path, header: &str) -> Result<String> {
    let path = root.join(header);
    let path = path.to_str().ok_or("the path of the sources is not UTF-8")?;
    let text = bindgen::Builder::default()
        .header(path)
        .allowlist_file(path)
        .use_core()
        .enable_function_attribute_detection()
        .generate_comments(false)
        .derive_debug(false)
        .formatter(bindgen::Formatter::Rustfmt)
        .disable_header_comment()
        .raw_line(format!("// Made from {header} by `cargo xtask headers`."))
        .generate()?
        .to_string();
    Ok(text)
}
