//! Files below one directory.

use std::{
    fs, io,
    io::Read,
    path::{Component, Path, PathBuf},
};
use ubpf_rs::platform::{DirEntry, FileError, Files};

/// Room for a file before its length is known.
const ONE_READ: usize = 4096;

/// A directory as the root of all paths.
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Files below `root`.
    pub fn new(root: PathBuf) -> Directory {
        Directory { root }
    }

    /// `path` below the root; nothing leads out of it.
    fn resolve(&self, path: &str) -> Result<PathBuf, FileError> {
        let mut full = self.root.clone();
        for part in Path::new(path).components() {
            match part {
                Component::Normal(name) => full.push(name),
                Component::CurDir | Component::RootDir => {}
                Component::ParentDir | Component::Prefix(_) => return Err(FileError::NotFound),
            }
        }
        Ok(full)
    }
}

impl Files for Directory {
    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, FileError> {
        let file = fs::File::open(self.resolve(path)?).map_err(of_io)?;
        let mut contents = Vec::new();
        // Most files are programs, read at once.
        contents.try_reserve(ONE_READ).map_err(|_| FileError::NoMemory)?;
        file.take(limit as u64 + 1).read_to_end(&mut contents).map_err(of_io)?;
        if contents.len() > limit {
            return Err(FileError::TooLarge { limit });
        }
        Ok(contents)
    }

    fn list(&self, path: &str) -> Result<Vec<DirEntry>, FileError> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.resolve(path)?).map_err(of_io)? {
            let entry = entry.map_err(of_io)?;
            // A file that vanished since is left out.
            let Ok(meta) = fs::metadata(entry.path()) else {
                continue;
            };
            let is_dir = meta.is_dir();
            let size = if is_dir { 0 } else { meta.len() };
            entries.push(DirEntry { name: entry.file_name().to_string_lossy().into_owned(), size, is_dir });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn write(&self, path: &str, contents: &[u8]) -> Result<(), FileError> {
        let full = self.resolve(path)?;
        let mut aside = full.clone().into_os_string();
        aside.push(".new");
        fs::write(&aside, contents).and_then(|()| fs::rename(&aside, &full)).map_err(|error| {
            let _ = fs::remove_file(&aside);
            of_io(error)
        })
    }

    fn remove(&self, path: &str) -> Result<(), FileError> {
        fs::remove_file(self.resolve(path)?).map_err(of_io)
    }
}

fn of_io(error: io::Error) -> FileError {
    match error.kind() {
        io::ErrorKind::NotFound => FileError::NotFound,
        io::ErrorKind::OutOfMemory => FileError::NoMemory,
        _ => FileError::Io(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_the_root() {
        let files = Directory::new("/nowhere".into());
        assert_eq!(files.resolve("../etc/passwd"), Err(FileError::NotFound));
        assert_eq!(files.resolve("/a/./b"), Ok("/nowhere/a/b".into()));
        assert_eq!(files.read("a", 10), Err(FileError::NotFound));
    }

    #[test]
    fn writes_lists_limits_and_removes() {
        let root = std::env::temp_dir().join(format!("ubpf-files-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let files = Directory::new(root.clone());
        files.write("b.bin", b"12345").unwrap();
        files.write("a.bin", b"").unwrap();
        let names: Vec<_> = files.list("").unwrap().into_iter().map(|e| (e.name, e.size)).collect();
        assert_eq!(names, [("a.bin".into(), 0), ("b.bin".into(), 5)]);
        assert_eq!(files.read("b.bin", 5).unwrap(), b"12345");
        assert_eq!(files.read("b.bin", 4), Err(FileError::TooLarge { limit: 4 }));
        files.remove("b.bin").unwrap();
        fs::remove_dir_all(root).unwrap();
    }
}
