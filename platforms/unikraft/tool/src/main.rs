//! Writes the names of functions into a linked Unikraft image: `ubpf-embed IMAGE.dbg IMAGE`.
//!
//! The image has a table with a magic word and a capacity (`ukglue.c`). Nothing moves: the table is filled in place,
//! in the image and in its `.dbg`. Format: per name `u32` address minus that of the first function, `u8` kind of stub
//! (0 none, 1 nops, 2 a nop of the `-pg` kind, 3 calls `__cyg_profile_func_enter`), `u8` distance of the stub from the entry, `u16` length
//! of the name, the name; in order of address, several names of one address after each other, of which the first has the stub. Before
//! all: `u64` address of the first function, `u32` number of names.
//!
//! Both files are replaced, by renaming, when everything is known to be right.

mod elf;
mod names;

use elf::Elf;
use names::Function;
use std::{
    env, fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

const MAGIC: &[u8; 16] = b"ubpf-rs\x1bsymtab\x02\0";

/// Largest file that is read.
const LARGEST: u64 = 1 << 30;

fn main() -> ExitCode {
    let args: Vec<_> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [debug, image] = args.as_slice() else {
        return say("usage: ubpf-embed IMAGE.dbg IMAGE", ExitCode::from(2));
    };
    match embed(debug, image) {
        Ok(said) => say(&said, ExitCode::SUCCESS),
        Err(error) => say(&error, ExitCode::FAILURE),
    }
}

/// A closed standard error is no reason to stop.
fn say(text: &str, code: ExitCode) -> ExitCode {
    for line in text.lines() {
        let _ = writeln!(std::io::stderr(), "ubpf-embed: {line}");
    }
    code
}

fn embed(debug: &Path, image: &Path) -> Result<String, String> {
    let of = |path: &Path, error: String| format!("{}: {error}", path.display());
    let debug_file = read(debug)?;
    let elf = Elf::new(&debug_file).map_err(|e| of(debug, e))?;
    let (functions, remarks) = names::functions(&elf);
    let table = encode(&functions).map_err(|e| of(debug, e))?;
    let mut image_file = read(image)?;
    if let Some(section) = elf.code().find(|code| !holds(&image_file, code.data)) {
        return Err(format!(
            "{} is of another build than {}: its section {} is not in the image",
            debug.display(),
            image.display(),
            section.name
        ));
    }
    let room = fill(&mut image_file, &table).map_err(|e| of(image, e))?;
    let mut filled = debug_file.clone();
    fill(&mut filled, &table).map_err(|e| of(debug, e))?;
    replace(&[(debug, filled, &debug_file), (image, image_file, &[])])?;
    let stubs = functions.iter().filter(|f| f.stub.0 != 0).count();
    Ok(format!("{} names, {stubs} with entry stubs, {} of {room} bytes\n{remarks}", functions.len(), table.len()))
}

/// The contents of an ordinary file.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |e: &dyn std::fmt::Display| format!("cannot read {}: {e}", path.display());
    let file = fs::File::open(path).map_err(|e| failed(&e))?;
    let about = file.metadata().map_err(|e| failed(&e))?;
    if !about.is_file() {
        return Err(failed(&"it is no ordinary file"));
    }
    if about.len() > LARGEST {
        return Err(failed(&format_args!("it is larger than {LARGEST} bytes")));
    }
    let mut bytes = Vec::new();
    let read = file.take(LARGEST).read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(|e| failed(&e))
}

/// Whether the image holds these bytes, wherever.
fn holds(image: &[u8], bytes: &[u8]) -> bool {
    // An exact search for the beginning first: sections begin in a way that seldom occurs twice.
    let head = &bytes[..bytes.len().min(64)];
    let Some(&first) = head.first() else {
        return true;
    };
    let mut at = 0;
    while let Some(next) = image[at..].iter().position(|&b| b == first) {
        let found = &image[at + next..];
        if found.starts_with(head) && found.starts_with(bytes) {
            return true;
        }
        at += next + 1;
    }
    false
}

/// Writes files beside those that they replace, then renames them: all, or none.
fn replace(files: &[(&Path, Vec<u8>, &[u8])]) -> Result<(), String> {
    let mut written: Vec<(PathBuf, PathBuf)> = Vec::new();
    let result = (|| {
        for (path, bytes, _) in files {
            let failed = |e: std::io::Error| format!("cannot write {}: {e}", path.display());
            // Not the link to it.
            let path = fs::canonicalize(path).map_err(failed)?;
            let mut name = path.clone().into_os_string();
            name.push(format!(".{}.new", std::process::id()));
            let new = PathBuf::from(name);
            written.push((new.clone(), path.clone()));
            let mut file = fs::File::create(&new).map_err(failed)?;
            file.write_all(bytes).map_err(failed)?;
            let permissions = fs::metadata(&path).map_err(failed)?.permissions();
            fs::set_permissions(&new, permissions).map_err(failed)?;
            file.sync_all().map_err(failed)?;
        }
        for (at, (new, path)) in written.iter().enumerate() {
            if let Err(error) = fs::rename(new, path) {
                // What was replaced already gets its contents back.
                for ((_, old), (_, _, before)) in written.iter().zip(files).take(at) {
                    let _ = fs::write(old, before);
                }
                return Err(format!("cannot replace {}: {error}", path.display()));
            }
        }
        Ok(())
    })();
    for (new, _) in &written {
        // Renamed, unless something failed.
        let _ = fs::remove_file(new);
    }
    result
}

/// Puts the table into its place and says how large that is.
fn fill(file: &mut [u8], table: &[u8]) -> Result<usize, String> {
    let places: Vec<usize> =
        file.windows(MAGIC.len()).enumerate().filter(|(_, window)| window == MAGIC).map(|(at, _)| at).collect();
    let [at] = places.as_slice() else {
        return Err(format!("{} places for names, one expected; is LIBUBPF_RS linked?", places.len()));
    };
    let head = at + MAGIC.len();
    let ends = || "the file ends in the table".to_string();
    let capacity = elf::u32_at(file, head).ok_or_else(ends)? as usize;
    if table.len() > capacity {
        return Err(format!(
            "names need {} bytes, there are {capacity}: set LIBUBPF_RS_SYMBOLS_KIB to {} or more",
            table.len(),
            table.len().div_ceil(1024)
        ));
    }
    let space = file.get_mut(head + 8..head + 8 + capacity).ok_or_else(ends)?;
    space.fill(0);
    space[..table.len()].copy_from_slice(table);
    file[head + 4..head + 8].copy_from_slice(&(table.len() as u32).to_le_bytes());
    Ok(capacity)
}

fn encode(functions: &[Function<'_>]) -> Result<Vec<u8>, String> {
    let base = functions.first().ok_or("no function symbols")?.address;
    let mut table = base.to_le_bytes().to_vec();
    table.extend((functions.len() as u32).to_le_bytes());
    for function in functions {
        let distance =
            u32::try_from(function.address - base).map_err(|_| "the text is larger than 4 GiB".to_string())?;
        let name = function.name.as_bytes();
        let len = u16::try_from(name.len()).map_err(|_| "a name is too long".to_string())?;
        table.extend(distance.to_le_bytes());
        table.extend([function.stub.0, function.stub.1]);
        table.extend(len.to_le_bytes());
        table.extend(name);
    }
    Ok(table)
}
