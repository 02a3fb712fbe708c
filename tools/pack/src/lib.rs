//! From a compiler's object to a package ([`ubpf_rs::object`]): what the host thinks so that the image need not.
//!
//! ELF is read by the crate `object`. BTF is read here: `btf-rs` is under the LGPL and reads no `.BTF.ext`, and `aya-obj` knows a fixed list of
//! sections, refuses objects with any other, and resolves maps to file descriptors. What is needed of BTF is small (`btf.rs`). DWARF of images
//! is read by `gimli`.
#![forbid(unsafe_code)]

mod btf;
mod callbacks;
mod core_types;
mod elf;
mod functions;
mod image;
mod link;
mod maps;
mod packets;
mod section;
mod slot;
mod symbols;
mod types;
mod value;
mod variables;

pub use btf::Placed;
pub use core_types::CoreTypes;
pub use image::Image;
pub use section::sections;
pub use value::{MapTypes, Shape, Types, Value};
pub use variables::{number, range};

use btf::Btf;
use elf::File;
use sha2::{Digest, Sha256};
use std::path::Path;
use ubpf_rs::{
    object::{self, Object, Wish, ID_BYTES},
    program::Abi,
};

/// What a person wants of the package.
#[derive(Clone, Default)]
pub struct Options {
    /// Name of the object: usually that of its file.
    pub name: String,
    /// Numbering of helpers; `None`: linux for an object that has maps or sections of Linux's kinds of programs, else classic.
    pub abi: Option<Abi>,
    /// How much is to be proved of it.
    pub wish: Wish,
    /// Constants that are set: names and numbers.
    pub values: Vec<(String, String)>,
    /// The types that CO-RE relocations are resolved with.
    pub types: CoreTypes,
    /// The image that the package is for, whose types CO-RE relocations are resolved with; only that one takes it then.
    pub image: Option<Image>,
    /// No types go along for those who look at maps later.
    pub no_types: bool,
}

/// Whether these are the bytes of an object.
pub fn is_object(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

/// The name of the object in a file: that of the file, without its ending.
pub fn object_name(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name: String = stem.unwrap_or_default().chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    match name.as_str() {
        "" | "-" => "object".into(),
        _ => name,
    }
}

/// The package of an object.
pub fn pack(bytes: &[u8], options: &Options) -> Result<Vec<u8>, String> {
    let file = File::parse(bytes)?;
    let btf = Btf::read(&file)?;
    let maps = maps::read(&file, &btf)?;
    let functions = functions::read(&file)?;
    let core = core_types::read(&file, &btf, options.types, options.image.as_ref())?;
    let linked = link::link(&file, &btf, &maps, &functions, &core)?;
    let mut data = linked.data;
    let variables = variables::read(&file, &btf, &data)?;
    for (name, value) in &options.values {
        variables::set(&mut data, &variables, name, value)?;
    }
    let is_linux = !maps.list.is_empty() || linked.programs.iter().any(|p| p.place.is_linux());
    let abi = options.abi.unwrap_or(if is_linux { Abi::Linux } else { Abi::Classic });
    let licence = file.licence();
    let types = if options.no_types { Vec::new() } else { types::of(&file, &btf, &maps, &data) };
    let object = Object {
        name: &options.name,
        abi,
        wish: options.wish,
        image: options.image.as_ref().filter(|_| core.uses_image).map_or([0; ID_BYTES], |image| image.id),
        source: Sha256::digest(bytes).into(),
        licence: &licence,
        maps: maps.list.iter().map(maps::Map::def).collect(),
        entries: maps.entries(&linked.programs)?,
        data: data.iter().map(link::Section::data).collect(),
        variables: variables.iter().map(variables::Variable::def).collect(),
        programs: linked.programs.iter().map(link::Program::def).collect(),
        slots: linked.slots.iter().map(link::Slot::def).collect(),
        functions: linked.names.iter().map(link::Name::def).collect(),
        types: &types,
    };
    object::write(&object).map_err(|error| format!("it cannot be packed: {error}"))
}
