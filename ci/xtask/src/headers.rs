//! `cargo xtask headers [--check]`: the C headers from the Rust sources, the Rust declarations from the C headers that
//! platforms implement, the lists of `docs/compatibility.md`, and `docs/codes.md`. With `--check` nothing is written, and a file that
//! differs is an error.

use crate::{tables, usage, Result};
use std::{fs, path::Path};
use ubpf_rs::{
    helpers::{Registry, Row, BUILTINS, MAX_NUMBER},
    program::{Abi, ArgType, RetType},
};

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

/// Headers for BPF programs: the part that stands by itself, up to the first helper, is kept; the helpers are made from their rows.
const HELPERS: &[(Abi, &str)] =
    &[(Abi::Classic, "include/ubpf/classic/bpf_helpers.h"), (Abi::Uio, "include/ubpf/uio/bpf_helpers.h")];

/// Where in such a header the helpers begin.
const FIRST_HELPER: &str = "#ifdef __clang__\n";

/// What the C code of a Unikraft image may call: Unikraft keeps other symbols of the library to itself.
const EXPORTS: &str = "exportsyms.uk";

pub fn main(root: &Path, arguments: &[String]) -> Result<()> {
    let check = match arguments {
        [] => false,
        [check] if check == "--check" => true,
        _ => return Err(usage("usage: cargo xtask headers [--check]")),
    };
    for (folder, sources, header) in HEADERS {
        put(root, header, &generate(&root.join(folder), sources)?, check)?;
    }
    put(root, EXPORTS, &exports(root)?, check)?;
    for (abi, header) in HELPERS {
        put(root, header, &helpers(&fs::read_to_string(root.join(header))?, *abi)?, check)?;
    }
    put(root, tables::PAGE, &tables::page(&fs::read_to_string(root.join(tables::PAGE))?)?, check)?;
    put(root, tables::CODES, &tables::codes(), check)?;
    for (header, bindings) in BINDINGS {
        put(root, bindings, &bind(root, header)?, check)?;
    }
    Ok(())
}

/// A header with the helpers of an ABI: what stands before the first of them, then all, once for clang and once for gcc.
fn helpers(header: &str, abi: Abi) -> Result<String> {
    let (kept, rest) = header.split_once(FIRST_HELPER).ok_or("no `#ifdef __clang__` in a header of helpers")?;
    let (_, end) = rest.rsplit_once("\n#endif /*").ok_or("a header of helpers does not end in `#endif /*`")?;
    let mut rows: Vec<(u32, &Row)> = BUILTINS.iter().filter_map(|row| Some((row.number(abi)?, row))).collect();
    rows.sort_by_key(|(number, _)| *number);
    let mut text = format!("{kept}{FIRST_HELPER}");
    for (number, row) in &rows {
        text.push_str(&comment(row.doc, *number == 0));
        text.push_str(&if *number == 0 { assembler_statement(row) } else { pointer(row, *number) });
    }
    text.push_str("\n#else /* gcc */\n");
    for (number, row) in &rows {
        let (ret, name, args) = (returned(row), row.name, arguments(row));
        text.push_str(&comment(row.doc, false));
        text.push_str(&format!("{ret} {name}({args}) __attribute__((kernel_helper({number})));\n"));
    }
    text.push_str(&format!("\n#endif\n\n#endif /*{end}"));
    Ok(text)
}

fn pointer(row: &Row, number: u32) -> String {
    format!("static {} (*const {})({}) = (void *){number};\n", returned(row), row.name, arguments(row))
}

/// A call of number 0, which clang would take for one through a null pointer.
fn assembler_statement(row: &Row) -> String {
    let names = || row.args.iter().map(|(name, _)| name);
    let moves: String = (1..=row.args.len()).map(|n| format!("r{n} = %{n}\\n\\t")).collect();
    let inputs = names().map(|name| format!("\"ri\"({name})")).collect::<Vec<_>>().join(", ");
    format!(
        "static inline __attribute__((always_inline)) {ret}\n{name}({args})\n{{\n\t{ret} value;\n\n\t__asm__ volatile(\"{moves}call 0\\n\\t%0 = r0\"\n\
         \t\t\t : \"=r\"(value)\n\t\t\t : {inputs}\n\t\t\t : \"r0\", \"r1\", \"r2\", \"r3\", \"r4\", \"r5\", \"memory\");\n\treturn value;\n}}\n",
        ret = returned(row),
        name = row.name,
        args = arguments(row),
    )
}

fn returned(row: &Row) -> &'static str {
    match row.ret {
        RetType::Void => "void",
        RetType::Scalar | RetType::EndIfZero | RetType::TailCall => "uint64_t",
        RetType::MapValueOrNull | RetType::RecordOrNull => "void *",
    }
}

fn arguments(row: &Row) -> String {
    let argument = |(name, kind): &(&str, ArgType)| match kind {
        ArgType::Unused | ArgType::Scalar | ArgType::Length | ArgType::AnyAddress | ArgType::RecordSize => {
            format!("uint64_t {name}")
        }
        ArgType::CString => format!("const char *{name}"),
        ArgType::MemRead | ArgType::MapKey | ArgType::MapValue => format!("const void *{name}"),
        ArgType::MemWrite | ArgType::WriteWord | ArgType::Map(_) | ArgType::MapValueOut | ArgType::Record => {
            format!("void *{name}")
        }
    };
    let all: Vec<String> = row.args.iter().map(argument).collect();
    if all.is_empty() {
        return "void".into();
    }
    all.join(", ")
}

/// A comment of one line, or of lines as long as comments may be.
fn comment(doc: &str, is_statement: bool) -> String {
    const WIDTH: usize = 128;
    let reason = "Helper number 0 is an assembler statement: the compiler deletes a call through a null pointer.";
    if !is_statement && doc.len() + 8 <= WIDTH {
        return format!("\n/** {doc} */\n");
    }
    let mut text = String::from("\n/**");
    for sentence in [Some(doc), is_statement.then_some(reason)].into_iter().flatten() {
        let mut line = String::from("\n *");
        for word in sentence.split(' ') {
            if line.len() + 1 + word.len() > WIDTH {
                text.push_str(&line);
                line = "\n *".into();
            }
            line.push(' ');
            line.push_str(word);
        }
        text.push_str(&line);
    }
    text + "\n */\n"
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
    Ok(String::from_utf8(text)?.replace(TAKEN, &taken()?))
}

/// Stands in `cbindgen.toml` for the numbers of helpers that are taken.
const TAKEN: &str = "@taken@";

/// The numbers that helpers of any ABI have.
fn taken() -> Result<String> {
    let registry = Registry::with_builtins().map_err(|error| error.to_string())?;
    let abis = [Abi::Classic, Abi::Uio, Abi::Linux];
    let is_taken = |number: &u32| abis.iter().any(|abi| registry.get(*abi, *number).is_some());
    let numbers: Vec<u32> = (0..=MAX_NUMBER).filter(is_taken).collect();
    let shown = numbers.chunk_by(|a, b| a.checked_add(1) == Some(*b)).map(|run| match run {
        [first, .., last] => format!("{first} to {last}"),
        others => others.iter().map(u32::to_string).collect(),
    });
    Ok(shown.collect::<Vec<_>>().join(", "))
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
