//! From a compiler's object to a package ([`ubpf_rs::object`]): what the host thinks so that the image need not.
//!
//! ELF is read by the crate `object`. BTF is read here: `btf-rs` is under the LGPL and reads no `.BTF.ext`, and `aya-obj` knows a fixed list of
//! sections, refuses objects with any other, and resolves maps to file descriptors. What is needed of BTF is small (`btf.rs`). DWARF of images
//! is read by `gimli`.
//!
//! Without the feature `host` it is what an image can have in it: no standard library, memory that may be none, an end to the work that an
//! object can make, and pauses meanwhile.
#![cfg_attr(not(feature = "host"), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

extern crate alloc;

mod btf;
mod callbacks;
#[cfg(feature = "host")]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "on the host only")]
mod core_image;
mod core_types;
mod elf;
mod error;
mod functions;
#[cfg(feature = "host")]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "on the host only")]
mod image;
mod link;
mod maps;
mod packets;
mod section;
#[cfg(feature = "host")]
mod signatures;
mod slot;
mod symbols;
#[cfg(feature = "host")]
mod types;
#[cfg(feature = "host")]
mod unwind;
#[cfg(feature = "host")]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "on the host only")]
mod value;
mod variables;
mod work;

#[cfg(feature = "host")]
pub use btf::PlacedVariable;
pub use core_types::CoreTypes;
pub use error::PackError;
#[cfg(feature = "host")]
pub use image::Image;
#[cfg(feature = "host")]
pub use section::sections;
#[cfg(feature = "host")]
pub use signatures::{Outcome, Parameter, ParameterKind, Signature, Signatures};
#[cfg(feature = "host")]
pub use unwind::{End, Kept, Unwinder};
#[cfg(feature = "host")]
pub use value::{MapTypes, Shape, Types, Value};
#[cfg(feature = "host")]
pub use variables::{number, range};

use alloc::{string::String, vec::Vec};
use btf::Btf;
#[cfg(feature = "host")]
use btf::CoreRelocation;
use core_types::Core;
use elf::File;
use error::Error;
use sha2::{Digest, Sha256};
#[cfg(feature = "host")]
use std::path::Path;
use ubpf_rs::{
    object::{self, Object, Wish, WriteError, ID_BYTES},
    platform::Pause,
    program::Abi,
    runtime,
};
use work::{collected, Steps};

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
    #[cfg(feature = "host")]
    pub values: Vec<(String, String)>,
    /// The types that CO-RE relocations are resolved with.
    pub types: CoreTypes,
    /// The image that the package is for, whose types CO-RE relocations are resolved with; only that one takes it then.
    #[cfg(feature = "host")]
    pub image: Option<Image>,
    /// No types go along for those who look at maps later.
    #[cfg(feature = "host")]
    pub no_types: bool,
}

impl Options {
    /// The image that takes the package alone, where the object is resolved with its types; else zeros.
    #[cfg(feature = "host")]
    fn image_id(&self, is_used: bool) -> [u8; ID_BYTES] {
        self.image.as_ref().filter(|_| is_used).map_or([0; ID_BYTES], |image| image.id)
    }

    #[cfg(not(feature = "host"))]
    fn image_id(&self, _is_used: bool) -> [u8; ID_BYTES] {
        [0; ID_BYTES]
    }
}

pub use ubpf_rs::program::is_object;

/// The name of the object in a file: that of the file, without its ending.
#[cfg(feature = "host")]
pub fn object_name(file: &Path) -> String {
    name_in(&file.to_string_lossy())
}

/// The same, of a path that is text.
fn name_in(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.rsplit_once('.').map(|(stem, _)| stem).filter(|stem| !stem.is_empty()).unwrap_or(file);
    let name: String = stem.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    match name.as_str() {
        "" | "-" => "object".into(),
        _ => name,
    }
}

/// The package of an object.
///
/// # Errors
/// In words.
#[cfg(feature = "host")]
pub fn pack(bytes: &[u8], options: &Options) -> Result<Vec<u8>, String> {
    Ok(pack_in_pieces(bytes, options, &mut ubpf_rs::platform::no_pause)?)
}

/// Packs for an engine that loads objects ([`pack_objects_with`](ubpf_rs::runtime::Runtime::pack_objects_with)).
///
/// # Errors
/// What is wrong with the object, and where; or that there is no memory, or `pause` said no.
pub fn pack_for_engine(bytes: &[u8], path: &str, pause: &mut Pause<'_>) -> Result<Vec<u8>, runtime::Error> {
    pack_in_pieces(bytes, &Options { name: name_in(path), ..Options::default() }, pause).map_err(|error| match error {
        PackError::Refused(reason) => runtime::Error::Object { reason },
        PackError::NoMemory => runtime::Error::NoMemory,
        PackError::Cancelled => runtime::Error::Cancelled,
    })
}

/// The package of an object, calling `pause` again and again meanwhile.
///
/// # Errors
/// What is wrong with the object, and where; or that there is no memory, or `pause` said no.
pub fn pack_in_pieces<'p>(bytes: &[u8], options: &Options, pause: &'p mut Pause<'p>) -> Result<Vec<u8>, PackError> {
    let steps = &mut Steps::new(pause);
    packed(bytes, options, steps).map_err(|error| match error.0 {
        Some(reason) => PackError::Refused(reason.into_iter().collect()),
        None if steps.cancelled => PackError::Cancelled,
        None => PackError::NoMemory,
    })
}

fn packed(bytes: &[u8], options: &Options, steps: &mut Steps<'_>) -> Result<Vec<u8>, Error> {
    let file = File::parse(bytes, steps)?;
    let btf = Btf::read(&file, steps)?;
    let mut seen = maps::Seen::default();
    let maps = maps::read(&file, &btf, &mut seen, steps)?;
    let functions = functions::read(&file, steps)?;
    let core = core_of(&file, &btf, options, steps)?;
    let reading = link::Reading { file: &file, btf: &btf, maps: &maps, functions: &functions, core: &core };
    let linked = link::link(reading, steps)?;
    #[cfg_attr(not(feature = "host"), allow(unused_mut))]
    let mut data = linked.data;
    let variables = variables::read(&file, &btf, &data, &mut seen, steps)?;
    #[cfg(feature = "host")]
    variables::set_all(&mut data, &variables, &options.values)?;
    // What is packed in an image brings no types: its programs and maps are the same.
    #[cfg(not(feature = "host"))]
    let types = Vec::new();
    #[cfg(feature = "host")]
    let types = if options.no_types { Vec::new() } else { types::of(&file, &btf, &maps, &data, steps)? };
    let image = options.image_id(core.uses_image);
    let licence = file.licence()?;
    let is_linux = !maps.list.is_empty() || linked.programs.iter().any(|program| program.place.is_linux());
    let object = Object {
        name: &options.name,
        abi: options.abi.unwrap_or(if is_linux { Abi::Linux } else { Abi::Classic }),
        wish: options.wish,
        image,
        source: hash(bytes, steps)?,
        licence: &licence,
        maps: collected(maps.list.iter().map(|map| Ok(map.def())))?,
        entries: maps.entries(linked.programs.iter().map(|program| program.name), steps)?,
        data: collected(data.iter().map(|data| Ok(data.data())))?,
        variables,
        programs: collected(linked.programs.iter().map(|program| Ok(program.def())))?,
        slots: linked.slots,
        functions: linked.names,
        types: &types,
    };
    written(&object, steps)
}

fn written(object: &Object<'_>, steps: &mut Steps<'_>) -> Result<Vec<u8>, Error> {
    object::write_in_pieces(object, &mut || steps.pause(8)).map_err(|error| match error {
        WriteError::NoMemory | WriteError::Cancelled => Error(None),
        error => error::refused!("it cannot be packed: {error}"),
    })
}

#[cfg(feature = "host")]
fn core_of<'f>(file: &File<'f>, btf: &Btf<'f>, options: &Options, steps: &mut Steps<'_>) -> Result<Core, Error> {
    let image = options.image.as_ref();
    let known =
        image.map(|image| |one: &CoreRelocation<'_>, change| core_image::change(btf, one, &image.types, change));
    core_types::read(file, btf, options.types, known.as_ref().map(|known| known as &core_types::Known<'_>), steps)
}

#[cfg(not(feature = "host"))]
fn core_of<'f>(file: &File<'f>, btf: &Btf<'f>, options: &Options, steps: &mut Steps<'_>) -> Result<Core, Error> {
    core_types::read(file, btf, options.types, None, steps)
}

/// SHA-256 of the file.
fn hash(bytes: &[u8], steps: &mut Steps<'_>) -> Result<[u8; ID_BYTES], Error> {
    let mut hash = Sha256::new();
    for piece in bytes.chunks(4096) {
        // Some 10 ns for each byte, in little code.
        steps.take(4096)?;
        hash.update(piece);
    }
    Ok(hash.finalize().into())
}
