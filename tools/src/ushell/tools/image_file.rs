//! Files of images that options name: what is read of them, and whether they are of the image that runs.

use super::{stage::Stage, Failure};
use clap::ArgMatches;
use std::{
    fs::File,
    path::{Path, PathBuf},
};
use ubpf_embed::{
    files::{read_bounded, shown},
    id, table,
};
use ubpf_tools::output::say;

/// The options that name such a file.
const OPTIONS: [&str; 2] = ["debug", "dwarf"];
/// Largest file that is read.
const LARGEST: u64 = 1 << 30;

/// Such a file, and its option.
pub struct ImageFile {
    option: &'static str,
    path: PathBuf,
}

/// What is read of the file that an option names, if it is there.
pub fn read_file<T>(
    matches: &ArgMatches,
    option: &str,
    read: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let Some(path) = matches.get_one::<PathBuf>(option) else { return Ok(None) };
    bytes(path).and_then(|bytes| read(&bytes)).map(Some).map_err(|reason| about(option, path, &reason))
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    File::open(path).and_then(|file| read_bounded(file, LARGEST)).map_err(|error| error.to_string())
}

fn about(option: &str, path: &Path, reason: &str) -> String {
    format!("--{option} {}: {reason}", shown(path))
}

impl ImageFile {
    /// Those of a command line.
    pub fn all(matches: &ArgMatches) -> Vec<Self> {
        // A tool need not have the option.
        let path = |option| matches.try_get_one::<PathBuf>(option).ok().flatten().cloned();
        OPTIONS.iter().filter_map(|option| Some(Self { option, path: path(option)? })).collect()
    }

    /// That it is of the image that runs. What has no id cannot be compared, and that is told.
    pub fn check(&self, stage: &mut Stage) -> Result<(), Failure> {
        let about = |reason: &str| about(self.option, &self.path, reason);
        let Some(running) = stage.image_id()? else {
            let reason =
                "what runs here has no image id, so nobody can tell whether the file is of it; names and stacks are wrong if it is not";
            say(&format!("warning: {}\n", about(reason)));
            return Ok(());
        };
        let advice =
            "give the debug file (.dbg) that was linked with the running image, or boot the image that this file is of";
        let bytes = bytes(&self.path).map_err(|reason| Failure::Refused(about(&reason)))?;
        // What was written when the file was linked says it for certain: what is found in it now depends on the version that looks.
        let written = table::stored(&bytes).ok().flatten();
        let reason = match written.map_or_else(|| id::of_file(&bytes), Ok) {
            Ok(found) if found.to_string() == running => return Ok(()),
            Ok(found) => format!("this is of image {found}, and image {running} runs: {advice}"),
            Err(reason) => {
                format!("nobody can tell whether it is of image {running}, which runs ({reason}): {advice}")
            }
        };
        Err(Failure::Refused(about(&reason)))
    }
}
