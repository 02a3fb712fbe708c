//! Builds the image and fills its symbol table.

use super::folder;
use crate::{setup, Result};
use object::{
    read::elf::{ElfFile64, ProgramHeader as _},
    LittleEndian, Object, ObjectSection, ObjectSymbol, SymbolKind,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The host target; naming it keeps the flags away from build scripts and macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What the compiler is told beyond the manifest's profile.
const RUSTFLAGS: &str =
    "-Crelocation-model=static -Cno-redzone=yes -Cforce-frame-pointers=yes -Cforce-unwind-tables=no";
/// Largest sum of the loaded parts of the image, the table of names for fault reports (72 KiB) included. It was 704 KiB before there were
/// stack traces, programs of timers, exchanges of programs, maps changed by machine code, results of system calls, the way each program is run,
/// beats of a command at work, what tools can hold on to, and programs that are detached by their object.
pub const SIZE_LIMIT: usize = 756 << 10;
const SYMBOL_HEADER: usize = 16;
const SYMBOL_ENTRY: usize = 12;

/// Builds the image that is delivered and fills its symbol table.
pub fn build(root: &Path) -> Result<PathBuf> {
    let (image, loaded) = build_with(root, "ubpf-qemu", &[])?;
    if loaded > SIZE_LIMIT {
        return Err(format!("the image loads {loaded} bytes; at most {SIZE_LIMIT} are allowed").into());
    }
    Ok(image)
}

/// The same with the tests that run inside.
pub fn build_tests(root: &Path) -> Result<PathBuf> {
    build_with(root, "ubpf-qemu-tests", &["--features", "tests"]).map(|(image, _)| image)
}

/// Builds with these options of cargo; the finished file, and how many bytes are loaded of it.
fn build_with(root: &Path, name: &str, options: &[&str]) -> Result<(PathBuf, usize)> {
    let status = Command::new("cargo")
        .args(["build", "--release", "--target", TARGET])
        .args(setup::loudness())
        .args(options)
        .arg("--manifest-path")
        .arg(root.join("platforms/qemu/Cargo.toml"))
        .env("CARGO_TARGET_DIR", folder(root))
        .env("RUSTFLAGS", RUSTFLAGS)
        .status()?;
    if !status.success() {
        return Err("the image does not build".into());
    }
    let image = folder(root).join(name).with_extension("elf");
    let mut bytes = fs::read(folder(root).join(TARGET).join("release/ubpf-qemu"))?;
    let count = fill_symbols(&mut bytes)?;
    let loaded = loaded_size(&bytes)?;
    fs::write(&image, bytes)?;
    println!("{name}: {} KiB, {count} symbols", loaded / 1024);
    Ok((image, loaded))
}

fn loaded_size(image: &[u8]) -> Result<usize> {
    let file = ElfFile64::<LittleEndian>::parse(image)?;
    let headers = file.elf_program_headers().iter();
    Ok(headers.map(|header| header.p_filesz(LittleEndian) as usize).sum())
}

/// Writes the functions of `image` into its `.symbols` section; the layout is told in platforms/qemu/src/symbols.rs.
fn fill_symbols(image: &mut [u8]) -> Result<usize> {
    let (range, table, count) = {
        let file = ElfFile64::<LittleEndian>::parse(&*image)?;
        let section = file.section_by_name(".symbols").ok_or("the image has no .symbols section")?;
        let (offset, size) = section.file_range().ok_or("the section .symbols has no contents")?;
        let old = section.data()?;
        if old.get(..4) != Some(b"USYM") {
            return Err("the section .symbols does not begin with its mark".into());
        }
        let capacity = u32::from_le_bytes(old[4..8].try_into()?) as usize;
        let functions = functions(&file);
        (offset as usize..(offset + size) as usize, symbol_table(&functions, capacity)?, functions.len())
    };
    image[range][..table.len()].copy_from_slice(&table);
    Ok(count)
}

struct Function {
    address: u64,
    size: u64,
    name: String,
}

/// The functions by address, one name each; names of C are preferred, those of Rust made readable.
fn functions(file: &ElfFile64<'_, LittleEndian>) -> Vec<Function> {
    let text = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0);
    let mut functions: Vec<Function> = text
        .filter_map(|symbol| {
            let name = short(&format!("{:#}", rustc_demangle::demangle(symbol.name().ok()?)));
            Some(Function { address: symbol.address(), size: symbol.size(), name })
        })
        .collect();
    functions.sort_by_key(|function| (function.address, function.name.contains("::")));
    functions.dedup_by_key(|function| function.address);
    functions
}

/// A name as short as it can be told from others: without the crate, and of a method the type without the trait.
fn short(name: &str) -> String {
    let method = name.strip_prefix('<').and_then(|rest| {
        let (whole, method) = rest.rsplit_once(">::")?;
        let (own, _) = whole.split_once(" as ").unwrap_or((whole, ""));
        Some(format!("{own}::{method}"))
    });
    let name = method.as_deref().unwrap_or(name);
    // A block of methods of a type of another module: the type is enough.
    let name = name.rsplit_once("<impl ").map_or(name, |(_, rest)| rest).replace(">::", "::");
    ["ubpf_rs::", "ushell_rs::", "ubpf_qemu::", "core::", "alloc::"]
        .iter()
        .fold(name, |name, part| name.replace(part, ""))
}

fn symbol_table(functions: &[Function], capacity: usize) -> Result<Vec<u8>> {
    let mut names = Vec::new();
    let mut table = b"USYM".to_vec();
    table.extend(u32::try_from(capacity)?.to_le_bytes());
    table.extend(u32::try_from(functions.len())?.to_le_bytes());
    table.extend([0; 4]);
    for function in functions {
        table.extend(u32::try_from(function.address)?.to_le_bytes());
        table.extend(u32::try_from(function.size)?.to_le_bytes());
        table.extend(u32::try_from(names.len())?.to_le_bytes());
        names.extend(function.name.bytes().chain([0]));
    }
    debug_assert_eq!(table.len(), SYMBOL_HEADER + SYMBOL_ENTRY * functions.len());
    let names_len = u32::try_from(names.len())?.to_le_bytes();
    table[12..16].copy_from_slice(&names_len);
    table.extend(names);
    if table.len() > capacity {
        let need = table.len();
        return Err(format!("the symbols need {need} bytes; raise CAPACITY ({capacity}) in symbols.rs").into());
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short() {
        let is = |name, wanted| assert_eq!(short(name), wanted);
        is("kernel_main", "kernel_main");
        is("ubpf_rs::verifier::analyse", "verifier::analyse");
        is(
            "<ubpf_rs::vm::interpreter::Interpreter as ubpf_rs::vm::Executable>::run",
            "vm::interpreter::Interpreter::run",
        );
        is("<&T as core::fmt::Debug>::fmt", "&T::fmt");
        is("ubpf_rs::runtime::objects::<impl ubpf_rs::runtime::Runtime>::object", "runtime::Runtime::object");
        is("core::ptr::drop_in_place<ubpf_rs::program::Program>", "ptr::drop_in_place<program::Program>");
    }

    #[test]
    fn a_full_symbol_table_is_refused() {
        let function = |n: u64| Function { address: n, size: 1, name: format!("function_{n}") };
        let functions: Vec<Function> = (0..10).map(function).collect();
        let table = symbol_table(&functions, 4096).unwrap();
        assert_eq!(table.len(), 16 + 10 * 12 + 10 * 11);
        assert!(symbol_table(&functions, table.len()).is_ok());
        assert!(symbol_table(&functions, table.len() - 1).is_err());
    }
}
