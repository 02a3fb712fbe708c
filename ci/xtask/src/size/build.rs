//! What can be read of a finished build: the image, and our own code in it by part.

use crate::Result;
use object::{
    elf::{SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE},
    Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _, Section, SectionFlags, SymbolKind,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A build folder of Unikraft.
pub struct Build {
    /// The stripped image, which is booted.
    pub image: PathBuf,
    /// Bytes of that file.
    pub file: u64,
    /// Bytes of memory that it takes where it is loaded.
    pub loaded: u64,
    /// Our own code; `None` in an image without it.
    pub own: Option<Own>,
}

/// Bytes of the engine, tracer, shell and glue, before they are linked into the image.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Own {
    /// Machine code of each of [`PARTS`], and of none of them.
    pub code: [u64; PARTS.len() + 1],
    /// Constants but the names of functions and what the image carries.
    pub constants: u64,
    /// The table of names.
    pub names: u64,
    /// Data that is written: what it begins with, and what is zero then.
    pub data: u64,
    /// Memory for machine code.
    pub arena: u64,
}

/// Parts of the code, each with the beginnings of the names that belong to it. The first that fits counts.
pub const PARTS: &[(&str, &[&str])] = &[
    ("verifier", &["ubpf_rs::verifier::"]),
    ("compiler to machine code", &["ubpf_rs::jit::"]),
    ("interpreter", &["ubpf_rs::vm::"]),
    ("tracer", &["ubpf_rs::tracer::"]),
    (
        "programs, instruction set, maps, helpers",
        &["ubpf_rs::program::", "ubpf_rs::isa::", "ubpf_rs::maps::", "ubpf_rs::helpers::"],
    ),
    ("packages and their maps", &["ubpf_rs::object::", "ubpf_rs::runtime::objects::", "ubpf_rs::runtime::maps::"]),
    ("runtime: programs at hand, runs, names", &["ubpf_rs::"]),
    ("shell", &["ushell_rs::"]),
    ("port and platform", &["ubpf_image::", "ubpf_virtio_serial::", "ubpf_uk_"]),
    ("C interface", &["ubpf_", "ushell_"]),
    ("glue in C", &["ukglue_", "rust_eh_personality", "_Unwind_Resume"]),
    ("Rust's `core` and `alloc`", &["core::", "alloc::", "compiler_builtins::", "__rust"]),
];

/// The file in a build folder that our code is linked to first.
const OWN: &str = "libubpf_rs.o";
const NAMES: &str = "symbol_table";
const ARENA: &str = "exec_arena";

impl Build {
    /// Reads the folder: `…/NAME.dbg`, `…/NAME` and, where the image has our library, `…/libubpf_rs.o`.
    pub fn read(folder: &Path) -> Result<Self> {
        let debug = debug_image(folder)?;
        let image = debug.with_extension("");
        let file = fs::metadata(&image).map_err(|error| format!("{}: {error}", image.display()))?;
        let own = folder.join(OWN);
        Ok(Build {
            loaded: loaded(&read(&debug)?).map_err(|error| format!("{}: {error}", debug.display()))?,
            file: file.len(),
            own: match own.exists() {
                true => Some(Own::of(&read(&own)?).map_err(|error| format!("{}: {error}", own.display()))?),
                false => None,
            },
            image,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn debug_image(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "dbg"))
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(_), false) => {
            Err(format!("{} has several images (*.dbg): name an own folder for each build (O=)", folder.display())
                .into())
        }
        (None, _) => Err(format!(
            "{} is neither a checkout of Unikraft nor the folder of a finished build (no *.dbg in it)",
            folder.display()
        )
        .into()),
    }
}

fn loaded(bytes: &[u8]) -> Result<u64> {
    let file = object::File::parse(bytes)?;
    Ok(file.segments().map(|segment| segment.size()).sum())
}

impl Own {
    /// Reads the object.
    pub fn of(bytes: &[u8]) -> Result<Self> {
        let file = object::File::parse(bytes)?;
        let mut own = Own::default();
        let mut code = 0;
        for section in file.sections() {
            match room(&section) {
                Some(Room::Code) => code += section.size(),
                Some(Room::Constants) => own.constants += section.size(),
                Some(Room::Data) => own.data += section.size(),
                None => {}
            }
        }
        for symbol in file.symbols() {
            let section = symbol.section_index().and_then(|at| file.section_by_index(at).ok());
            let name = symbol.name().unwrap_or_default();
            let Some(room) = section.and_then(|section| room(&section)) else {
                continue;
            };
            match (room, name) {
                (Room::Code, _) if symbol.kind() == SymbolKind::Text => own.count(name, symbol.size()),
                (Room::Code, _) => {}
                (room, NAMES) => own.names += own.take(room, symbol.size()),
                (room, ARENA) => own.arena += own.take(room, symbol.size()),
                _ => {}
            }
        }
        let counted: u64 = own.code.iter().sum();
        own.rest(code.saturating_sub(counted));
        Ok(own)
    }

    /// Takes an item that has a line of its own from where it lies.
    fn take(&mut self, room: Room, bytes: u64) -> u64 {
        let from = match room {
            Room::Constants => &mut self.constants,
            _ => &mut self.data,
        };
        *from = from.saturating_sub(bytes);
        bytes
    }

    fn count(&mut self, name: &str, bytes: u64) {
        let name = format!("{:#}", rustc_demangle::demangle(name));
        let part = PARTS.iter().position(|(_, beginnings)| belongs(&name, beginnings));
        if let Some(count) = self.code.get_mut(part.unwrap_or(PARTS.len())) {
            *count += bytes;
        }
    }

    fn rest(&mut self, bytes: u64) {
        if let Some(count) = self.code.last_mut() {
            *count += bytes;
        }
    }
}

/// Whether a function is of a part: by its own name, or for `<A as B>::f` and `<A>::f` by that of `A`.
fn belongs(name: &str, beginnings: &[&str]) -> bool {
    let name = name.trim_start_matches(['<', '&', '*']);
    let name = name.trim_start_matches("mut ").trim_start_matches("dyn ");
    beginnings.iter().any(|beginning| name.starts_with(beginning))
}

/// Where a section's bytes lie in the image.
enum Room {
    Code,
    Constants,
    Data,
}

/// `None`: it is not loaded.
fn room(section: &Section<'_, '_>) -> Option<Room> {
    let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
        return None;
    };
    let has = |flag: object::elf::SectionFlags| sh_flags.0 & flag.0 != 0;
    let constant = section.name().is_ok_and(|name| name.starts_with(".data.rel.ro"));
    match () {
        () if !has(SHF_ALLOC) => None,
        () if has(SHF_EXECINSTR) => Some(Room::Code),
        () if has(SHF_WRITE) && !constant => Some(Room::Data),
        () => Some(Room::Constants),
    }
}
