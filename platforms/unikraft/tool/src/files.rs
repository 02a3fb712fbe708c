//! Files are read within bounds, and replaced whole: all that belong together, or none.

use std::{
    ffi::OsString,
    fmt::Display,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// What can be read of something: a device may have no end.
pub fn read_bounded(from: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::Error::other(format!("more than {limit} bytes"))),
        false => Ok(bytes),
    }
}

/// The contents of an ordinary file of at most `limit` bytes.
pub fn read_ordinary(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let failed = |e: &dyn Display| format!("cannot read {}: {e}", shown(path));
    let file = File::open(path).map_err(|e| failed(&e))?;
    let about = file.metadata().map_err(|e| failed(&e))?;
    if !about.is_file() {
        return Err(failed(&"it is no ordinary file"));
    }
    if about.len() > limit {
        return Err(failed(&format_args!("it is larger than {limit} bytes")));
    }
    read_bounded(file, limit).map_err(|e| failed(&e))
}

/// A path in a message: nothing in it drives a terminal.
pub fn shown(path: &Path) -> String {
    let mut text = String::new();
    for c in path.to_string_lossy().chars() {
        match c.is_control() {
            true => text.extend(c.escape_default()),
            false => text.push(c),
        }
    }
    text
}

/// Writes files beside those that they replace, then renames them: all, or none. A link stays, and what it leads to is
/// replaced. What is there and no ordinary file (a device, a pipe) is written to.
pub fn replace(files: &[(&Path, &[u8])]) -> Result<(), String> {
    let mut parts = Vec::new();
    let result = prepare(files, &mut parts).and_then(|()| rename(&parts));
    for part in &parts {
        // Renamed, unless something failed.
        let _ = fs::remove_file(&part.new);
        let _ = fs::remove_file(&part.old);
    }
    result
}

/// A file on its way.
struct Part {
    path: PathBuf,
    /// Its next contents.
    new: PathBuf,
    /// The present ones, until all are replaced.
    old: PathBuf,
    exists: bool,
}

fn prepare(files: &[(&Path, &[u8])], parts: &mut Vec<Part>) -> Result<(), String> {
    let (mut devices, count) = (Vec::new(), files.len());
    for (at, &(path, bytes)) in files.iter().enumerate() {
        let failed = |e: io::Error| format!("cannot write {}: {e}", shown(path));
        let about = match fs::metadata(path) {
            Ok(about) if !about.is_file() && !about.is_dir() => {
                devices.push((path, bytes));
                continue;
            }
            Ok(about) => Some(about),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        let part = Part::of(path, about.is_some()).map_err(failed)?;
        let (new, old, path) = (part.new.clone(), part.old.clone(), part.path.clone());
        parts.push(part);
        let mut file = create(&new).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        if let Some(about) = about {
            fs::set_permissions(&new, about.permissions()).map_err(failed)?;
            // Who comes last takes nobody's place in vain.
            if at + 1 < count {
                keep(&path, &old).map_err(failed)?;
            }
        }
        file.sync_all().map_err(failed)?;
    }
    for (path, bytes) in devices {
        let file = OpenOptions::new().write(true).open(path);
        file.and_then(|mut file| file.write_all(bytes)).map_err(|e| format!("cannot write {}: {e}", shown(path)))?;
    }
    Ok(())
}

impl Part {
    fn of(path: &Path, exists: bool) -> io::Result<Part> {
        let path = match exists {
            true => fs::canonicalize(path)?,
            false => path.to_owned(),
        };
        let beside = |end: &str| {
            let mut name = OsString::from(&path);
            name.push(format!(".{}.{end}", std::process::id()));
            PathBuf::from(name)
        };
        Ok(Part { new: beside("new"), old: beside("old"), path, exists })
    }
}

/// A file that is not there yet; one of this name can only be left over by a process that has ended.
fn create(path: &Path) -> io::Result<File> {
    let _ = fs::remove_file(path);
    File::create_new(path)
}

/// Gives a file a second name, or copies it where there are no such names.
fn keep(path: &Path, old: &Path) -> io::Result<()> {
    let _ = fs::remove_file(old);
    fs::hard_link(path, old).or_else(|_| fs::copy(path, old).map(drop))
}

fn rename(parts: &[Part]) -> Result<(), String> {
    for (at, part) in parts.iter().enumerate() {
        let Err(error) = fs::rename(&part.new, &part.path) else {
            continue;
        };
        let mut reason = format!("cannot replace {}: {error}", shown(&part.path));
        for done in &parts[..at] {
            let back = match done.exists {
                true => fs::rename(&done.old, &done.path),
                false => fs::remove_file(&done.path),
            };
            if let Err(error) = back {
                let what = shown(&done.path);
                reason.push_str(&format!("; {what}, replaced already, stays so: {error}"));
            }
        }
        return Err(reason);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{symlink, PermissionsExt};

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("embed-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn names(folder: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_cannot_be_replaced_leaves_everything_as_it_was() {
        let folder = folder("none");
        let (first, fresh, blocked) = (folder.join("a"), folder.join("b"), folder.join("c"));
        fs::write(&first, "before").unwrap();
        fs::create_dir(&blocked).unwrap();
        let error = replace(&[(&first, b"x"), (&fresh, b"y"), (&blocked, b"z")]).unwrap_err();
        assert!(error.contains("cannot replace"), "{error}");
        assert_eq!(fs::read(&first).unwrap(), b"before");
        assert_eq!(names(&folder), ["a", "c"]);
        let error = replace(&[(&first, b"x"), (&folder.join("no/d"), b"z")]).unwrap_err();
        assert!(error.contains("cannot write"), "{error}");
        assert_eq!(names(&folder), ["a", "c"]);
    }

    #[test]
    fn links_and_permissions_stay() {
        let folder = folder("stay");
        let (file, link) = (folder.join("file"), folder.join("link"));
        fs::write(&file, "before").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o751)).unwrap();
        symlink("file", &link).unwrap();
        replace(&[(&link, b"after"), (Path::new("/dev/null"), b"x")]).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"after");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o751);
        assert_eq!(names(&folder), ["file", "link"]);
    }

    #[test]
    fn what_has_no_end_is_read_to_the_limit() {
        assert!(read_bounded(io::repeat(1), 1000).is_err());
        assert_eq!(read_bounded(io::repeat(1).take(9), 9).unwrap(), [1; 9]);
        let error = read_ordinary(Path::new("/dev/zero"), 9).unwrap_err();
        assert!(error.contains("no ordinary file"), "{error}");
        assert_eq!(shown(Path::new("a\x1b[b\n")), "a\\u{1b}[b\\n");
    }
}
